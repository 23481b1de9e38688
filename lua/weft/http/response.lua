-- SPDX-License-Identifier: MIT
-- weft.http.response: a response, as scripts have it: its head at once, its body when asked for.
--
-- Owns: what of the body was read, and how; what is computed of the head when it is asked for.
-- Must not know: how the response came.
-- Invariant: a body is read whole and kept, or streamed once; when it is over, or not wanted, the
-- connection is given back.

local core = require "weft.core"
local download = require "weft.http.download"
local encoding = require "weft.http.encoding"
local errors = require "weft.error"
local jsonbody = require "weft.http.jsonbody"
local lines = require "weft.http.lines"
local links = require "weft.http.links"
local mime = require "weft.http.mime"
local options = require "weft.options"
local setcookie = require "weft.http.setcookie"
local timeouts = require "weft.http.timeouts"

local M = {}

-- What is asked for at once where the script does not say, in bytes.
local SOME = 64 * 1024

-- How much of a body the error of raise_for_status shows, in bytes.
local EXCERPT = 200

---A response. It is there as soon as its head is: the body is read by its methods, as it comes.
---Read it, release it, or use `with`: else it keeps its connection until it is collected, and
---those who wait for one wait for that. `read`, `text` and `json` may be called again and in any
---order; what was streamed is gone.
---@class weft.http.Response
---@field status integer
---@field reason string what stands behind the status; often empty
---@field version string of HTTP: "1.1"
---@field headers weft.http.Headers
---@field method string of the request
---@field url string of the request, after redirects, without the fragment
---@field real_url string the same with the fragment
---@field history weft.http.Response[] the redirects that led here, in order
---@field cookies table<string, weft.http.Cookie> that this response sets
---@field content_type string in lower case, without parameters; or "application/octet-stream"
---@field charset string? that Content-Type names, in lower case
---@field content_length integer? what the server says
---@field links table<string, weft.http.Link> of the Link fields, by `rel`
---@field ok boolean true for a status below 400
---@field elapsed number seconds from the start of the request to the head of the response
---@field defects string[] what was wrong with it, and did no harm; whole at the end of the body
---@field trailers weft.http.Headers? the fields behind the body, once that was read
---@field connection_info table? `peer`, `reused`, `tls`
---@field closed boolean whether it was closed, or given back
local Response = {}

local Class = { __name = "weft.http.Response" }

--- what is made when it is asked for ---------------------------------------------------

local function essence_of(self)
  local value = self.headers:get("content-type")
  return value and mime.parse_mime(value)
end

local function cookies_of(self)
  local found = {}
  for _, value in ipairs(self.headers:getall("set-cookie")) do
    local cookie = setcookie.parse(value)
    if cookie then
      found[cookie.name] = cookie
    end
  end
  return found
end

-- Kept once they are made.
local KEPT = {
  history = function() return {} end,
  cookies = cookies_of,
  content_type = function(self)
    local parsed = essence_of(self)
    return parsed and parsed.essence or "application/octet-stream"
  end,
  links = function(self) return links.parse(self.headers, self.url) end,
}

local MADE = {
  -- These four are fields of responses that share no request's message.
  reason = function(self) return self._head.reason end,
  version = function(self) return self._head.version end,
  method = function(self) return self._request.method end,
  _address = function(self) return self._request.address end,
  url = function(self) return self._address.href end,
  real_url = function(self) return self._address.real_href end,
  ok = function(self) return self.status < 400 end,
  closed = function(self) return self._is_closed or false end,
  elapsed = function(self) return self._at - (self._request.started or self._at) end,
  charset = function(self)
    local parsed = essence_of(self)
    local label = parsed and parsed.parameters.charset
    return label and label:lower()
  end,
  content_length = function(self) return self._head.length end,
  connection_info = function(self) return self._head.connection_info end,
  defects = function(self)
    local list = self._body and self._body:defects() or self._head.defects
    return list and list[1] and list or {}
  end,
  trailers = function(self)
    return self._body and self._body:trailers() or self._head.trailers
  end,
}

function Class.__index(self, key)
  local value = Response[key]
  if value ~= nil then
    return value
  end
  local make = KEPT[key]
  if make then
    value = make(self)
    rawset(self, key, value)
    return value
  end
  make = MADE[key]
  return make and make(self)
end

function Class:__tostring()
  return ("Response<%d%s %s %s%s>"):format(self.status, self.reason ~= "" and " " .. self.reason
    or "", self.method, self.url, self._is_closed and " closed" or "")
end

--- the end of the body ----------------------------------------------------------------------

-- What the request's body held is needed no more.
local function ended(self)
  local request = self._request
  if request.prepared and not self._has_ended then
    request:close_body()
  end
  self._has_ended = true
end

---Gives the connection back: what is left of a small body is skipped, for the sake of the
---connection; else it is closed. What was not read by then cannot be read. Never waits.
function Response:release()
  if not self._is_closed then
    self._is_closed = true
    if self._body and not self._has_ended then
      self._body:release()
    elseif self._head.stream then
      self._head.stream:close()
    end
    ended(self)
  end
end

---Closes the connection, unless the body has ended. Idempotent.
function Response:close()
  if not self._is_closed then
    self._is_closed = true
    if self._body and not self._has_ended then
      self._body:close()
    elseif self._head.stream then
      self._head.stream:close()
    end
    ended(self)
  end
end

Class.__close = Response.close

local function left(self, ok, ...)
  if ok then
    self:release()
    return ...
  end
  self:close()
  error((...), 0)
end

---Calls `fn(response, ...)`; then gives the connection back, or closes it after an error or a
---cancellation.
---
---Raises what `fn` raised.
---@async
---@param fn async fun(response: weft.http.Response, ...): ...
---@param ... any
---@return any ... the results of fn
function Response:with(fn, ...)
  options.callable(fn, "the function")
  return left(self, errors.guarded(fn, self, ...))
end

---Takes over the connection of a response with the status 101 (Switching Protocols), as a stream.
---A request asks for one by its headers: `{ Upgrade = "chat", Connection = "Upgrade" }`. A server
---that switches although nobody asked is an error of the request, of kind `protocol`.
---
---Raises `state` for any other response, and when it was taken already; `closed`.
---@return weft.Stream
function Response:detach()
  local stream = self._head.stream
  if self._is_closed then
    errors.raise("closed", "the response is closed", { url = self.url, method = self.method })
  elseif not stream then
    errors.raise("state", ("the response is no tunnel: its status is %d"):format(self.status),
      { url = self.url, method = self.method })
  end
  self._is_closed = true
  return stream
end

--- reading ----------------------------------------------------------------------------------

local function misuse(self, kind, code, message)
  errors.raise(kind, message, { code = code, url = self.url, method = self.method,
    cause = self._failure })
end

local function check_open(self)
  if self._failure then
    misuse(self, "closed", "body_failed", "reading the body has failed before")
  elseif self._is_closed then
    misuse(self, "closed", "response_closed", "the response is closed")
  end
end

-- Nothing more of the body can be read.
local function break_off(self, e)
  self._failure = self._request:blame(e)
  if self._body then
    self._body:close()
  end
  ended(self)
  error(e, 0)
end

local function finish(self, ok, data)
  if ok then
    return data
  end
  break_off(self, data)
end

-- fn(body, arg), within the limit for the whole request.
local function bounded(self, fn, arg)
  local request = self._request
  if request.deadline then
    request.phase = "body"
    return finish(self, pcall(timeouts.by, "total", request, request.deadline, request.total, fn,
      self._body, arg))
  end
  return finish(self, errors.guarded(fn, self._body, arg))
end

---The whole body, which is kept.
---
---Raises `connection` (code "ETRUNCATED" if it ended early), with the bytes that had come in
---`partial`; `limit` above `max_body_size`; `decode` for a broken compression; `timeout`;
---`closed`; `state` after a part of it was streamed; `cancelled`.
---@async
---@return string
function Response:read()
  if self._state == "read" then
    return self._bytes
  elseif self._state == "streaming" then
    misuse(self, "state", "streamed", "the body cannot be read: a part of it was streamed")
  end
  check_open(self)
  if not self._bytes then
    self._bytes = bounded(self, self._body.read_all, self._request.options.max_body_size)
    ended(self)
  end
  self._state = "read"
  return self._bytes
end

-- The next bytes of what is streamed, as they come: a piece, and where in it they begin; "" at the
-- end.
local function pull(self, max)
  local bytes, at = self._pushed, self._pushed_at
  if bytes then
    self._pushed = nil
    return bytes, at
  end
  if self._state ~= "read" then
    check_open(self)
  end
  bytes, at = self._bytes, self._next or 1
  if bytes then
    self._next = #bytes + 1
    return at <= #bytes and bytes or "", at
  end
  local data = bounded(self, self._body.read_some, max or SOME)
  if data == "" then
    ended(self)
  end
  return data, 1
end

-- Bytes that were pulled and not used, from `at` on.
local function push_back(self, bytes, at)
  if at <= #bytes then
    self._pushed, self._pushed_at = bytes, at
  end
end

-- What iterators read from; what was read whole is iterated from its beginning each time.
local function begin(self)
  if self._state == "read" then
    self._next, self._pushed = 1, nil
  else
    check_open(self)
    self._state = "streaming"
  end
end

---Iterates over the body in pieces of at most `n` bytes: `for piece in resp:iter_chunked(8192)`.
---While the script works on one, no more is received than fits in the buffers.
---
---Raises as `read`, at the step that meets the failure.
---@param n integer? bytes; default 64 KiB
---@return async fun(): string?
function Response:iter_chunked(n)
  n = options.count(n == nil and SOME or n, "the size of the pieces", 1)
  begin(self)
  return function()
    local data, at = pull(self, n)
    if data == "" then
      return nil
    elseif at == 1 and #data <= n then
      return data
    end
    push_back(self, data, at + n)
    return data:sub(at, at + n - 1)
  end
end

---Iterates over the body in pieces as they come.
---
---Raises as `read`, at the step that meets the failure.
---@return async fun(): string?
function Response:iter_any()
  return self:iter_chunked(SOME)
end

---Iterates over the lines of the body, as bytes, without their ends, which are "\n" or "\r\n".
---
---Raises `limit` for a line of more than `max` bytes; else as `read`.
---@param max integer? bytes; default 1 MiB
---@return async fun(): string?
function Response:iter_lines(max)
  begin(self)
  return lines.iterator(self, pull, push_back, break_off, max)
end

--- text -------------------------------------------------------------------------------------

local function decoded(self, label, on_error, fallback)
  local bytes = self:read()
  local name = label
    or encoding.charset_of(self.headers:get("content-type"), bytes, fallback)
  local ok, text = pcall(encoding.decode, bytes, name, on_error and { errors = on_error })
  if not ok then
    self._request:blame(text)
    error(text, 0)
  end
  return text
end

---The body as text, in UTF-8. Its encoding is the one that is given, or else what Content-Type
---says, a byte order mark, the document itself (HTML, XML), or the option `fallback_encoding`.
---What is malformed becomes U+FFFD, raises `decode` ("strict"), or is left out ("ignore").
---
---Raises as `read`; `decode` for an encoding that there is not.
---@async
---@param label string? the encoding
---@param on_error string? "replace" (default), "strict" or "ignore"
---@return string
function Response:text(label, on_error)
  if label ~= nil then
    options.expect(label, "string", "the encoding")
  elseif on_error == nil then
    self._text = self._text or decoded(self, nil, nil, self._request.settings.fallback_encoding)
    return self._text
  end
  return decoded(self, label, on_error, self._request.settings.fallback_encoding)
end

-- What aiohttp expects, too.
local JSON_TYPE = "application/json"

local JSON_OPTIONS = { content_type = true, max_depth = true, null = true,
  invalid_numbers = true, encoding = true }

---The body as a value, read as JSON. Options: `content_type`, what it must be (default
---"application/json", which stands for "text/json" and all that end with "+json", too), false for
---anything; `encoding`; `null = "nil"` leaves out what is null, which otherwise is
---`http.json_null()`; `invalid_numbers`, `max_depth`.
---
---Raises as `text`; `decode`, with `line`, `column` and `excerpt`, for what is no JSON, with the
---code "content_type" for what does not say that it is; `state` (code "no_cjson") if lua-cjson is
---not installed.
---@async
---@param opts table?
---@return any
function Response:json(opts)
  opts = options.check(opts, JSON_OPTIONS, "json")
  local content_type = opts.content_type
  if content_type == nil then
    content_type = JSON_TYPE
  elseif content_type ~= false then
    options.expect(content_type, "string", "json: content_type")
  end
  local label = opts.encoding or self.charset or "utf-8"
  local text = decoded(self, label)
  local ok, value = pcall(jsonbody.decode, text, { url = self.url, null = opts.null,
    content_type = content_type, actual_type = self.headers:get("content-type"),
    max_depth = opts.max_depth, invalid_numbers = opts.invalid_numbers })
  if not ok then
    error(self._request:blame(value), 0)
  end
  return value
end

--- files and statuses -----------------------------------------------------------------------

---Options of `response:save`.
---@class weft.http.SaveOptions
---@field resume boolean? keep what came before a failure, and go on with it; default false
---@field on_progress fun(size: integer, total: integer?)? called after each piece, with bytes
---@field fsync boolean? wait until all is on the disk; default false
---@field perms integer? the file's permissions
local SaveOptions = {} -- luacheck: ignore 211

---Writes the body into a file, which has its name only when it is whole. With `resume`, what comes
---before a failure is kept beside the file (`PATH.part`) and gone on with by the next call, or at
---once where the request has a `retry`, if the server says that it is still the same (`ETag`,
---`Last-Modified`).
---
---Raises as `read`, but for `limit`; `os`.
---@async
---@param path string
---@param opts weft.http.SaveOptions?
---@return integer size of the file
function Response:save(path, opts)
  if self._state == "streaming" then
    misuse(self, "state", "streamed", "the body cannot be saved: a part of it was streamed")
  end
  return download.save(self, path, opts)
end

-- A bit of the body, if it is there without waiting, and is text.
local function excerpt_of(self)
  local bytes = self._bytes
  if not bytes or bytes == "" or bytes:sub(1, EXCERPT):find("[%z\1-\8\14-\31]") then
    return nil
  end
  local text = bytes:sub(1, EXCERPT)
  if bytes:find("^[\128-\191]", EXCERPT + 1) then
    text = text:gsub("[\192-\255][\128-\191]*$", "")
  end
  return (text:gsub("%s+", " ")) .. (#bytes > EXCERPT and "…" or "")
end

---Makes an error of a status of 400 or more; the connection is given back then. Other responses
---it returns.
---
---Raises `http`, with `status`, `url`, `method`, `headers` and, if it was short and there, a
---bit of the body in `excerpt`.
---@return weft.http.Response self
function Response:raise_for_status()
  if self.status < 400 then
    return self
  end
  local excerpt = excerpt_of(self)
  if not self._state then
    self:release()
  end
  errors.raise("http", ("%d%s for %s %s%s"):format(self.status,
    self.reason ~= "" and " " .. self.reason or "", self.method, self.url,
    excerpt and ": " .. excerpt or ""), { status = self.status, url = self.url,
    method = self.method, headers = self.headers, reason = self.reason, excerpt = excerpt,
    history = rawget(self, "history") })
end

--- making -----------------------------------------------------------------------------------

---A response to a request, of the head and the body that a transport returned.
---@private
function M.new(request, head, body)
  local bytes = head.body
  if not bytes then
    if not body then
      bytes = ""
    elseif not request.settings.read_until_eof and not head.length and not head.is_tunnel
      and not head.fields:has("transfer-encoding") then
      body:close()
      body, bytes = nil, ""
    end
  end
  local at = core.task_time()
  if request.is_shared and bytes then -- the usual case, in a table half the size
    return setmetatable({ status = head.status, headers = head.fields, _head = head,
      _bytes = bytes, _request = request, _at = at, _state = false, _has_ended = true }, Class)
  end
  local self = setmetatable({ status = head.status, reason = head.reason, version = head.version,
    headers = head.fields, method = request.method, _head = head, _body = body, _bytes = bytes,
    _request = request, _address = request.address,
    _at = at }, Class)
  if request.history then
    self.history = request.history
  end
  if bytes then
    ended(self)
  end
  return self
end

---True for responses.
---@private
function M.is(value)
  return getmetatable(value) == Class
end

M._Response = Response

return M
