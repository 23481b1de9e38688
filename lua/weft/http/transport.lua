-- SPDX-License-Identifier: MIT
-- weft.http.transport: a function of the script's in the place of the network.
--
-- Owns: how what the function returns becomes the head and the body of a response.
-- Must not know: sessions, sockets.
-- Invariant: a body is read to its end once, or closed, and never both.

local errors = require "weft.error"
local fields = require "weft.http.fields"
local options = require "weft.options"

local M = {}

--- bodies -------------------------------------------------------------------------------

-- A body that a function gives, piece by piece.
local Body = {}
Body.__index = Body

local function next_piece(self)
  local piece = self._source()
  if piece == nil then
    self.ended, self._source = true, nil
  elseif type(piece) ~= "string" then
    errors.raise("type", "the transport: a body's function must return strings, and nil at the "
      .. "end, got " .. type(piece))
  end
  return piece
end

-- Some bytes, at most `max`; "" at the end.
function Body:read_some(max)
  if self._is_closed then
    errors.raise("closed", "the body is closed", { phase = "body" })
  end
  while self._rest == "" and not self.ended do
    self._rest = next_piece(self) or ""
  end
  local data = self._rest
  if max and #data > max then
    self._rest = data:sub(max + 1)
    return data:sub(1, max)
  end
  self._rest = ""
  return data
end

-- Everything, or `limit`.
function Body:read_all(max)
  local parts, size = {}, 0
  while true do
    local data = self:read_some()
    if data == "" then
      return table.concat(parts)
    end
    parts[#parts + 1], size = data, size + #data
    if max and size > max then
      self:close()
      errors.raise("limit", ("the body is larger than the limit of %d bytes"):format(max),
        { code = "max_body_size", limit = max, phase = "body", partial = table.concat(parts) })
    end
  end
end

function Body:close()
  if not self._is_closed then
    self._is_closed, self._source, self._rest = true, nil, ""
    if self._on_close then
      self._on_close()
    end
  end
end

Body.release = Body.close

function Body:trailers()
  return self.ended and self._trailers or nil
end

function Body:defects() -- luacheck: no self
  return {}
end

--- heads ---------------------------------------------------------------------------------

local REASONS = { [200] = "OK", [201] = "Created", [202] = "Accepted", [204] = "No Content",
  [206] = "Partial Content", [301] = "Moved Permanently", [302] = "Found", [303] = "See Other",
  [304] = "Not Modified", [307] = "Temporary Redirect", [308] = "Permanent Redirect",
  [400] = "Bad Request", [401] = "Unauthorized", [403] = "Forbidden", [404] = "Not Found",
  [405] = "Method Not Allowed", [409] = "Conflict", [410] = "Gone", [416] = "Range Not Satisfiable",
  [429] = "Too Many Requests", [500] = "Internal Server Error", [502] = "Bad Gateway",
  [503] = "Service Unavailable", [504] = "Gateway Timeout" }

---A response as a transport, or a middleware, makes it.
---@class weft.http.Answer
---@field status integer
---@field reason string? default: the usual one
---@field version string? default "1.1"
---@field headers (table | weft.http.Headers)?
---@field body (string | async fun(): string?)? a function gives piece after piece, nil at the end
---@field trailers (table | weft.http.Headers)?
---@field close fun()? called when a body that a function gives is needed no more
local KNOWN = { status = true, reason = true, version = true, headers = true, body = true,
  trailers = true, close = true, url = true, method = true }

local WITHOUT_BODY = { [204] = true, [304] = true }

local function length_of(headers)
  local value = headers:get("content-length")
  return value and value:find("^%d+$") and tonumber(value) or nil
end

---The head and the body of an answer, as `transport:send` returns them. Raises `type`.
---@private
---@param answer weft.http.Answer
---@param method string
---@param max integer? bytes of a whole body
---@return table head
---@return table? body
function M.head_of(answer, method, max)
  options.expect(answer, "table", "the transport's response")
  options.check(answer, KNOWN, "the transport's response")
  local status = options.count(answer.status, "the response's status", 100)
  local source = answer.body
  local head = { status = status, reason = answer.reason or REASONS[status] or "",
    version = answer.version or "1.1", fields = fields.new(answer.headers), defects = {} }
  head.length = length_of(head.fields)
  if source == nil or method == "HEAD" or WITHOUT_BODY[status] then
    head.body = ""
  elseif type(source) == "string" then
    if max and #source > max then
      errors.raise("limit", ("the body is larger than the limit of %d bytes"):format(max),
        { code = "max_body_size", limit = max, phase = "body" })
    end
    head.body = source
  else
    options.callable(source, "the response's body")
    return head, setmetatable({ _source = source, _rest = "", _is_closed = false, ended = false,
      _on_close = answer.close, _trailers = answer.trailers and fields.new(answer.trailers) },
      Body)
  end
  return head
end

--- the transport ----------------------------------------------------------------------------

local Transport = {}
Transport.__index = Transport

-- What is asked for at once of a body of the network, in bytes.
local SOME = 64 * 1024

-- A response of the network as an answer.
local function answer_of(head, body)
  local answer = { status = head.status, reason = head.reason, version = head.version,
    headers = head.fields, body = head.body }
  if body then
    function answer.body()
      local data = body:read_some(SOME)
      return data ~= "" and data or nil
    end
    function answer.close()
      body:close()
    end
  end
  return answer
end

-- Sends what the function passes on, over the network.
local function send_on(self, request, view)
  if not self._network then
    self._network = self._make_network()
  end
  request.message.body = view.body
  return answer_of(self._network:send(request))
end

function Transport:send(request)
  if self._is_closed then
    errors.raise("closed", "the session is closed")
  end
  self._requests = self._requests + 1
  local message = request.message
  request.phase = "head"
  if request.trace then
    request.trace("sent", { headers = message.fields })
  end
  local answer = self._fn({ method = request.method, url = request.address.href,
    headers = message.fields, body = message.body }, function(view)
    return send_on(self, request, view)
  end)
  local head, body = M.head_of(answer, request.method, request.options.max_body_size)
  if request.trace then
    request.trace("head", { status = head.status, headers = head.fields })
  end
  return head, body
end

function Transport:close()
  self._is_closed = true
  if self._network then
    self._network:close()
  end
end

function Transport:statistics()
  local counts = self._network and self._network:statistics() or { open = 0, idle = 0, in_use = 0,
    waiting = 0, reused = 0, retries = 0, bytes_sent = 0, bytes_received = 0 }
  counts.requests = self._requests
  return counts
end

---A transport of a function, which gets `{method=, url=, headers=, body=}`, and as a second
---argument a function that sends such a request over the network; it returns a
---`weft.http.Answer`, as that does.
---@private
---@param fn async fun(request: table, send: async fun(request: table): table): weft.http.Answer
---@param make_network fun(): table
---@return table
function M.of(fn, make_network)
  return setmetatable({ _fn = options.callable(fn, "session: transport"), _requests = 0,
    _is_closed = false, _make_network = make_network }, Transport)
end

return M
