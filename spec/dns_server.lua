-- SPDX-License-Identifier: MIT
-- spec.dns_server: a name server on loopback that answers as it is told, right or wrong.
--
-- `dns_server.start(zone)`: `zone` maps names (or "*") to what is answered, or is a function
-- of name and type ("A", "AAAA", …) that returns it. An answer is a table:
--   a, aaaa    lists of addresses (aaaa: of 16 bytes each, or "::1")
--   ttl        seconds, default 60
--   cname      list of names: the chain that leads to the addresses; cname_ttl
--   rcode      "SERVFAIL", "NXDOMAIN", …
--   gate       an event to wait for before answering
--   silent     true: no answer (or a function that is asked each time)
--   mangle     function(answer, query): what is sent in place of it: a datagram, or a list
-- A name that is not in the zone is NXDOMAIN. `server.queries` lists what was asked.

local weft = require "weft"

local M = {}

local TYPES = { [1] = "A", [28] = "AAAA", A = 1, AAAA = 28, CNAME = 5 }
local RCODES = { NOERROR = 0, FORMERR = 1, SERVFAIL = 2, NXDOMAIN = 3, NOTIMP = 4, REFUSED = 5 }

local function u16(n)
  return string.char(math.floor(n / 256) % 256, n % 256)
end

local function u32(n)
  return u16(math.floor(n / 65536)) .. u16(n % 65536)
end

local function read_u16(s, at)
  local a, b = s:byte(at, at + 1)
  return a * 256 + b
end

local function encode_name(name)
  return (name:gsub("%.$", ""):gsub("[^.]+%.?", function(label)
    label = label:gsub("%.$", "")
    return string.char(#label) .. label
  end)) .. "\0"
end

-- The question: name in lower case, its type, where it ends.
local function read_question(query)
  local labels, at = {}, 13
  while query:byte(at) ~= 0 do
    local size = query:byte(at)
    labels[#labels + 1] = query:sub(at + 1, at + size)
    at = at + size + 1
  end
  return table.concat(labels, "."):lower(), TYPES[read_u16(query, at + 1)] or "other", at + 4
end

local function record(name, kind, ttl, data)
  return encode_name(name) .. u16(TYPES[kind]) .. u16(1) .. u32(ttl) .. u16(#data) .. data
end

local function v4(text)
  return (text:gsub("(%d+)%.?", function(n)
    return string.char(tonumber(n))
  end))
end

local function v6(text)
  return text == "::1" and ("\0"):rep(15) .. "\1" or text
end

local function records(name, kind, answer)
  local list, owner = {}, name
  for _, target in ipairs(answer.cname or {}) do
    list[#list + 1] = record(owner, "CNAME", answer.cname_ttl or answer.ttl or 60,
      encode_name(target))
    owner = target
  end
  local encode = kind == "A" and v4 or v6
  for _, address in ipairs(kind == "A" and answer.a or kind == "AAAA" and answer.aaaa or {}) do
    local data = record(owner, kind, answer.ttl or 60, encode(address))
    if owner == name then -- a pointer to the question
      data = "\192\12" .. data:sub(#encode_name(owner) + 1)
    end
    list[#list + 1] = data
  end
  return list
end

---The datagram that answers `query` as `answer` says.
function M.encode(query, answer)
  local name, kind, last = read_question(query)
  local list = records(name, kind, answer)
  local flags = 0x8180 + RCODES[answer.rcode or "NOERROR"]
  return query:sub(1, 2) .. u16(flags) .. u16(1) .. u16(#list) .. u16(0) .. u16(0)
    .. query:sub(13, last) .. table.concat(list)
end

---Sets the bit that says that an answer was cut.
function M.truncated(answer)
  return answer:sub(1, 2) .. string.char(answer:byte(3) + 2) .. answer:sub(4)
end

local function is_silent(answer)
  if type(answer.silent) == "function" then
    return answer.silent()
  end
  return answer.silent
end

local Server = {}
Server.__index = Server

function Server:_answer(query, host, port)
  local name, kind = read_question(query)
  self.queries[#self.queries + 1] = { name = name, type = kind }
  local zone = self._zone
  local answer = type(zone) == "function" and zone(name, kind)
    or type(zone) == "table" and (zone[name] or zone["*"]) or { rcode = "NXDOMAIN" }
  if answer.gate then
    answer.gate:wait()
  end
  if is_silent(answer) then
    return
  end
  local sent = M.encode(query, answer)
  if answer.mangle then
    sent = answer.mangle(sent, query)
  end
  for _, datagram in ipairs(type(sent) == "table" and sent or { sent }) do
    self._endpoint:send(datagram, host, port)
  end
end

---How often this was asked for; no arguments: all.
function Server:count(name, kind)
  local n = 0
  for _, query in ipairs(self.queries) do
    if (not name or query.name == name) and (not kind or query.type == kind) then
      n = n + 1
    end
  end
  return n
end

---Ends it, and the answers that wait.
function Server:close()
  self._endpoint:close()
  self._task:cancel()
  for task in pairs(self._answers) do
    task:cancel()
  end
end

---Starts a server; `server.address` is "127.0.0.1:port".
function M.start(zone)
  local endpoint = weft.datagram_endpoint { local_addr = "127.0.0.1:0", receive_buffer = 2 ^ 20 }
  local self = setmetatable({ _zone = zone, _endpoint = endpoint, queries = {}, _answers = {} },
    Server)
  local host, port = endpoint:getsockname()
  self.address, self.host, self.port = ("%s:%d"):format(host, port), host, port
  self._task = weft.create_task(function()
    for query, from, from_port in endpoint:iter() do
      local task
      task = weft.create_task(function()
        self:_answer(query, from, from_port)
        self._answers[task] = nil
      end)
      self._answers[task] = true
    end
  end)
  return self
end

---Calls `fn(server, resolve)` with a server and ends it; returns the results.
function M.with(zone, fn)
  local server = M.start(zone)
  local results = { pcall(fn, server) }
  server:close()
  weft.sleep(0)
  if not results[1] then
    error(results[2], 0)
  end
  return results[2]
end

return M
