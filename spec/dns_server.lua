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
--   tcp        function(stream, answer): what is done where the query came by TCP
-- A name that is not in the zone is NXDOMAIN. `server.queries` lists what was asked, by UDP or
-- (`tcp = true`) by TCP, which is there only if `start` is told so.

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

-- What the zone says about a query, once it may be told.
function Server:_look(query, is_tcp)
  local name, kind = read_question(query)
  self.queries[#self.queries + 1] = { name = name, type = kind, tcp = is_tcp }
  local zone = self._zone
  local answer = type(zone) == "function" and zone(name, kind)
    or type(zone) == "table" and (zone[name] or zone["*"]) or { rcode = "NXDOMAIN" }
  if answer.gate then
    answer.gate:wait()
  end
  return answer
end

function Server:_answer(query, host, port)
  local answer = self:_look(query, false)
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

-- One connection: any number of queries, until the other end closes it.
function Server:_converse(stream)
  while true do
    local ok, head = weft.try(stream.read_exactly, stream, 2)
    if not ok then
      return
    end
    local query = stream:read_exactly(read_u16(head, 1))
    local answer = self:_look(query, true)
    local sent = M.encode(query, answer)
    sent = u16(#sent) .. sent
    if answer.tcp then
      answer.tcp(stream, sent)
    else
      stream:write(sent)
    end
  end
end

-- By TCP at the port of the UDP endpoint, if that is free.
function Server:_listen()
  return weft.try(weft.start_server, function(stream)
    self:_converse(stream)
  end, { host = self.host, port = self.port })
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
  if self._listener then
    self._listener:close()
  end
  self._task:cancel()
  for task in pairs(self._answers) do
    task:cancel()
  end
end

-- How often another port is tried because somebody has it for TCP.
local TRIES = 20

local function open(self, with_tcp)
  for _ = 1, TRIES do
    self._endpoint = weft.datagram_endpoint { local_addr = "127.0.0.1:0",
      receive_buffer = 2 ^ 20 }
    self.host, self.port = self._endpoint:getsockname()
    if not with_tcp then
      return
    end
    local ok, listener = self:_listen()
    if ok then
      self._listener = listener
      return
    end
    self._endpoint:close()
  end
  error("no port is free for both UDP and TCP")
end

---Starts a server; `server.address` is "127.0.0.1:port".
function M.start(zone, with_tcp)
  local self = setmetatable({ _zone = zone, queries = {}, _answers = {} }, Server)
  open(self, with_tcp)
  self.address = ("%s:%d"):format(self.host, self.port)
  local endpoint = self._endpoint
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

---Calls `fn(server)` with a server, whatever comes ends it; returns the results.
function M.with(zone, fn, with_tcp)
  local server = M.start(zone, with_tcp)
  return weft.finally(function()
    return fn(server)
  end, function()
    server:close()
    if server._listener then
      server._listener:shutdown(0)
    end
    weft.sleep(0)
  end)
end

return M
