-- SPDX-License-Identifier: MIT
-- weft.http.record: exchanges written into a file, and given again from it, so that a program can
-- be tested without a network.
--
-- Owns: the format of the file: a head, then an exchange in JSON on each line.
-- Must not know: connections, sessions, or who calls a transport.
-- Invariant: an exchange is in the file whole or not at all, and without the secrets that are to
-- be left out.

local core = require "weft.core"
local errors = require "weft.error"
local fs = require "weft.fs"
local jsonbody = require "weft.http.jsonbody"
local options = require "weft.options"
local scope = require "weft.scope"
local sync = require "weft.sync"
local url = require "weft.url"

---@class weft.http
local M = {}

local HEAD = '{"weft_recording":1}'

-- Of a body, in bytes: what a test needs is far less.
local BODY_MAX = 64 * 1024 * 1024

-- What stands in place of a secret.
local REDACTED = "REDACTED"
local SECRETS = { "Authorization", "Cookie", "Proxy-Authorization" }

-- What is compared, for the error that names the nearest recording: its cost is their product.
local NEAREST_ENTRIES, NEAREST_BYTES = 60, 160

-- Failures that come from outside, and are recorded as such.
local FAILURES = { connection = true, dns = true, tls = true, proxy = true, protocol = true,
  timeout = true, limit = true, decode = true }

--- what is left out -----------------------------------------------------------------

local function set_of(list, what)
  local set = {}
  for _, name in ipairs(options.expect(list, "table", what)) do
    set[options.expect(name, "string", "a name in " .. what):lower()] = true
  end
  return set
end

local function policy_of(opts)
  return { headers = set_of(opts.redact or SECRETS, "redact"),
    query = set_of(opts.redact_query or {}, "redact_query") }
end

local function redacted_pair(pair, names)
  local name = pair:match("^[^=]*")
  local decoded = url.decode_query(name)[1]
  if decoded and names[decoded[1]:lower()] then
    return name .. "=" .. REDACTED
  end
end

-- A URL without the secrets, and without what is not sent.
local function redacted_url(text, policy)
  text = text:gsub("#.*$", ""):gsub("^(%a[%w+.%-]*://)[^/?#]*@", "%1")
  local before, query = text:match("^([^?]*%?)(.*)$")
  if not query or next(policy.query) == nil then
    return text
  end
  return before .. query:gsub("[^&]+", function(pair)
    return redacted_pair(pair, policy.query)
  end)
end

-- Header fields in any form in which they may be given, as a list of pairs.
local function pairs_of(headers)
  local list = {}
  if headers == nil then
    return list
  elseif type(headers) == "userdata" or getmetatable(headers) ~= nil then
    for name, value in headers:iter() do
      list[#list + 1] = { name, value }
    end
  elseif headers[1] ~= nil then
    for i, pair in ipairs(headers) do
      list[i] = { pair[1], tostring(pair[2]) }
    end
  else
    for name, value in pairs(headers) do
      for _, one in ipairs(type(value) == "table" and value or { value }) do
        list[#list + 1] = { name, tostring(one), #list }
      end
    end
    table.sort(list, function(a, b)
      if a[1] ~= b[1] then
        return a[1] < b[1]
      end
      return a[3] < b[3]
    end)
  end
  return list
end

--- the file -----------------------------------------------------------------------

local function headers_text(headers, policy)
  local parts = {}
  for i, pair in ipairs(pairs_of(headers)) do
    local value = policy.headers[pair[1]:lower()] and REDACTED or pair[2]
    parts[i] = jsonbody.encode({ pair[1], value })
  end
  return '"headers":[' .. table.concat(parts, ",") .. "]"
end

-- Text is kept as it is, anything else in base64.
local function body_text(body)
  if body == nil then
    return ""
  elseif core.decode_utf8(body, 1, true) then
    return ',"body":' .. jsonbody.encode(body)
  end
  return ',"body_base64":"' .. core.base64_encode(body) .. '"'
end

-- Written piece by piece, so that the order is the same each time.
local function line_of(request, response, failure, policy)
  local head = ('{"method":%s,"url":%s,%s%s}'):format(jsonbody.encode(request.method),
    jsonbody.encode(redacted_url(request.url, policy)), headers_text(request.headers, policy),
    body_text(request.body))
  local answer
  if failure then
    answer = ('"error":{"kind":%s,"message":%s%s}'):format(jsonbody.encode(failure.kind),
      jsonbody.encode(tostring(failure.message)),
      failure.code and ',"code":' .. jsonbody.encode(tostring(failure.code)) or "")
  else
    answer = ('"response":{"status":%d,"reason":%s,%s%s}'):format(response.status,
      jsonbody.encode(response.reason or ""), headers_text(response.headers, policy),
      body_text(response.body))
  end
  return ('{"request":%s,%s}\n'):format(head, answer)
end

local function invalid(path, number, why)
  errors.raise("decode", ("%s:%d: %s"):format(path, number, why),
    { code = "invalid_recording", path = path, line = number })
end

local function read_body(message)
  if type(message.body_base64) == "string" then
    return core.base64_decode(message.body_base64)
  end
  return message.body
end

local function is_message(message, name)
  return type(message) == "table" and type(message.headers) == "table"
    and message[name] ~= nil
    and (message.body_base64 == nil or read_body(message) ~= nil)
    and (message.body == nil or type(message.body) == "string")
end

local function read_line(path, number, line)
  local ok, entry = pcall(jsonbody.decode, line)
  if not ok then
    if errors.is_error(entry, "state") then
      error(entry, 0)
    end
    invalid(path, number, "no JSON")
  end
  local is_entry = type(entry) == "table" and is_message(entry.request, "method")
    and type(entry.request.url) == "string"
    and (is_message(entry.response, "status") or type(entry.error) == "table")
  if not is_entry then
    invalid(path, number, "no exchange")
  end
  entry.request.body = read_body(entry.request)
  if entry.response then
    entry.response.body = read_body(entry.response)
  end
  return entry
end

local function read_file(path)
  local entries, number = {}, 0
  for line in (fs.read_file(path) .. "\n"):gmatch("([^\n]*)\n") do
    number = number + 1
    if number == 1 and line ~= HEAD then
      invalid(path, number, "not a recording of weft's, or of another version")
    elseif number > 1 and line ~= "" then
      entries[#entries + 1] = read_line(path, number, line)
    end
  end
  return entries
end

--- recording ----------------------------------------------------------------------

local function check_size(size, max)
  if size > max then
    errors.raise("limit", ("a body of more than %d bytes cannot be recorded"):format(max),
      { code = "max_body_size" })
  end
end

-- The whole of a body, a string or a source.
local function whole_body(body, max)
  if type(body) ~= "function" then
    return body
  end
  local parts, size = {}, 0
  for part in body do
    parts[#parts + 1], size = part, size + #part
    check_size(size, max)
  end
  return table.concat(parts)
end

-- The request with a body that is noted in `parts` while it is sent.
local function observed(request, parts, max)
  local source = request.body
  if type(source) ~= "function" then
    for i, part in ipairs(type(source) == "table" and source or { source }) do
      parts[i] = part
    end
    return request
  end
  local copy, size = {}, 0
  for key, value in pairs(request) do
    copy[key] = value
  end
  function copy.body()
    local part = source()
    if part ~= nil then
      parts[#parts + 1], size = part, size + #part
      check_size(size, max)
    end
    return part
  end
  return copy
end

local function append(state, line)
  state.lock = state.lock or sync.lock()
  scope.finally(function() end, function()
    state.lock:with(function()
      if not state.has_begun then
        fs.write_file(state.path, HEAD .. "\n")
        state.has_begun = true
      end
      fs.append_file(state.path, line)
    end)
  end)
end

local function exchange(state, request, send)
  local noted, parts = { method = request.method, url = request.url }, {}
  noted.headers = pairs_of(request.headers) -- as they were before the transport had them
  local ok, response = errors.guarded(send, observed(request, parts, state.max))
  noted.body = request.body ~= nil and table.concat(parts) or nil
  if not ok then
    if errors.is_error(response) and FAILURES[response.kind] then
      append(state, line_of(noted, nil, response, state.policy))
    end
    error(response, 0)
  end
  local copy = {}
  for key, value in pairs(response) do
    copy[key] = value
  end
  copy.body = whole_body(response.body, state.max)
  append(state, line_of(noted, copy, nil, state.policy))
  return copy
end

local RECORD_OPTIONS = { redact = true, redact_query = true, append = true, max_body_size = true }

---Makes a transport that sends requests on and writes each exchange into a file, for
---`weft.http.replay`. A response is handed on when its body is there. The file is begun anew with
---the first exchange; a failure of the network is recorded, too.
---
---    local session = http.session{ transport = http.record("pages.jsonl") }
---
---Options: `redact`, the names of headers whose values are not written (default: Authorization,
---Cookie, Proxy-Authorization; Set-Cookie is no less a secret, but a login cannot be replayed
---without it); `redact_query`, names of parameters of URLs; `append = true` to add to what is in
---the file; `max_body_size` (bytes; default 64 MiB). User names and passwords in URLs are never
---written. What is in a body is.
---
---Raises, when it is called, what sending raised; `limit`; `os`; `cancelled`.
---@param path string
---@param transport (async fun(request: table): table)? what sends; default: the session's own
---@param opts table?
---@return async fun(request: table, send: function?): table transport
function M.record(path, transport, opts)
  options.expect(path, "string", "the path")
  if transport ~= nil then
    options.callable(transport, "the transport")
  end
  opts = options.check(opts, RECORD_OPTIONS, "record")
  local state = { path = path, policy = policy_of(opts), has_begun = false,
    max = options.count(opts.max_body_size or BODY_MAX, "max_body_size", 0) }
  local appends = opts.append
  return function(request, send)
    send = transport or send
    if not send then
      errors.raise("state", "record: there is no transport to send by", { code = "no_transport" })
    end
    if appends then
      state.has_begun, appends = state.has_begun or fs.exists(path), nil
    end
    return exchange(state, request, send)
  end
end

--- replaying ----------------------------------------------------------------------

local function key_of(method, address, body, by_body)
  return by_body and ("%s %s\n%s"):format(method, address, body or "") or method .. " " .. address
end

-- The recordings of each request, in their order.
local function load(state)
  local by_key = {}
  for _, entry in ipairs(read_file(state.path)) do
    local request = entry.request
    local key = key_of(request.method, redacted_url(request.url, state.policy), request.body,
      state.by_body)
    by_key[key] = by_key[key] or { used = 0 }
    table.insert(by_key[key], entry)
  end
  return by_key
end

local function shown(key)
  key = key:match("^[^\n]*")
  return #key <= NEAREST_BYTES and key or key:sub(1, NEAREST_BYTES) .. "…"
end

local function no_recording(state, key, list)
  local fields = { code = "no_recording", path = state.path }
  if list then
    errors.raise("state", ("all %d recordings of %s in %s were used (`repeats = true` goes on with "
      .. "the last)"):format(#list, shown(key), state.path), fields)
  end
  local candidates, count = {}, 0
  for other in pairs(state.by_key) do
    if count < NEAREST_ENTRIES then
      candidates[shown(other)], count = true, count + 1
    end
  end
  local nearest = options.nearest(shown(key), candidates)
  fields.nearest = nearest
  if nearest == shown(key) then
    nearest = "the same with another body"
  end
  errors.raise("state", ("there is no recording of %s in %s%s"):format(shown(key), state.path,
    nearest and (" (the nearest is %s)"):format(nearest) or ", which is empty"), fields)
end

local function next_entry(state, key)
  local list = state.by_key[key]
  if not list or list.used == #list and not state.repeats then
    no_recording(state, key, list)
  end
  list.used = math.min(list.used + 1, #list)
  return list[list.used]
end

-- What was recorded, as a response of its own.
local function response_of(entry)
  if entry.error then
    local kind = FAILURES[entry.error.kind] and entry.error.kind or "connection"
    errors.raise(kind, tostring(entry.error.message), { code = entry.error.code })
  end
  local headers = {}
  for i, pair in ipairs(entry.response.headers) do
    headers[i] = { pair[1], pair[2] }
  end
  return { status = entry.response.status, reason = entry.response.reason, headers = headers,
    body = entry.response.body }
end

local REPLAY_OPTIONS = { match_body = true, repeats = true, redact_query = true }

---Makes a transport that answers from a file that `weft.http.record` wrote, with no network. The
---recordings of a request, which is known by its method and URL, are given in their order.
---
---    local session = http.session{ transport = http.replay("pages.jsonl") }
---
---Options: `match_body = true`, to tell requests apart by their bodies, too; `repeats = true`, to
---give the last recording of a request again and again; `redact_query`, as for the recording.
---
---Raises, when it is called, `state` (code "no_recording", `nearest`) for a request that was not
---recorded, or not as often; what was recorded as a failure; `decode` (code "invalid_recording")
---for a file that is not in order; `os`; `cancelled`.
---@param path string
---@param opts {match_body: boolean?, repeats: boolean?, redact_query: string[]?}?
---@return async fun(request: table): table transport
function M.replay(path, opts)
  options.expect(path, "string", "the path")
  opts = options.check(opts, REPLAY_OPTIONS, "replay")
  local state = { path = path, by_body = opts.match_body, repeats = opts.repeats,
    policy = policy_of({ redact_query = opts.redact_query }) }
  return function(request)
    local by_key = state.by_key or load(state)
    state.by_key = state.by_key or by_key -- another task may have been first
    local body = request.body
    if state.by_body then
      body = type(body) == "table" and table.concat(body) or whole_body(body, BODY_MAX)
    end
    return response_of(next_entry(state, key_of(request.method,
      redacted_url(request.url, state.policy), body, state.by_body)))
  end
end

return M
