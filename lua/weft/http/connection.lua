-- SPDX-License-Identifier: MIT
-- weft.http.connection: an HTTP/1 connection of a client: one exchange after the other.
--
-- Owns: the stream; when an exchange is over and whether another may follow; the upload's task;
-- time limits on silence; the words of the errors. Messages are written and read in
-- src/bind/l_h1.c.
-- Must not know: how the stream came to be; URLs, redirects, retries.
-- Invariant: after an error or a cancellation in an exchange the connection is closed, and its
-- upload has ended.

local core = require "weft.core"
local await = require "weft.await"
local errors = require "weft.error"
local failures = require "weft.http.failures"
local options = require "weft.options"
local upload = require "weft.http.upload"

local setmetatable, type = setmetatable, type
local h1_begin, h1_over = core.h1_begin, core.h1_over
local h1_counts, h1_defects = core.h1_counts, core.h1_defects
local h1_read_some, h1_read_all = core.h1_read_some, core.h1_read_all
local h1_read_ready = core.h1_read_ready

local M = {}

---One HTTP/1 connection of a client. Made by `connection.new`, which gives it its stream.
---@private
---@class weft.http.Connection
---@field state "idle"|"active"|"closed"
---@field bytes_sent integer in all exchanges; kept up at the end of each
---@field bytes_received integer likewise
---@field has_response_begun boolean a byte of the response in hand, or of the last one, has come
---@field trailers weft.http.Headers? the fields behind the body, at its end
---@field on_close fun()? called just before the stream is closed; must not raise
local Connection = {}
Connection.__index = Connection
Connection.__name = "weft.http.Connection"

local VERSIONS = { [0] = "1.0", "1.1" }

-- What src/bind/l_h1.c tells of a head.
local INTERIM, OVER, TUNNEL, AGAIN = 0, 2, 3, 4

-- Waits for a head.
local function h1_head(h1, wants_interim)
  local ok, kind, status, reason, minor, fields, defects, length, body
  repeat
    ok, kind, status, reason, minor, fields, defects, length, body = core.h1_head(h1,
      wants_interim)
  until kind ~= AGAIN
  return ok, kind, status, reason, minor, fields, defects, length, body
end

-- Methods whose requests say that they have no content (RFC 9110, 8.6).
local EMPTY_BODY = { POST = "", PUT = "", PATCH = "" }

local EXPECT_TIMEOUT = 1 -- s: what curl waits for a 100 (Continue)

local NO_OPTIONS = {}

--- the end of an exchange -------------------------------------------------------------

---Closes it, also in the middle of an exchange: who waits in it gets `closed`. Idempotent; never
---waits. What is left of an upload is cancelled.
function Connection:close()
  if self.state == "closed" then
    return
  end
  self.state = "closed"
  if self.on_close then
    self.on_close()
  end
  self.bytes_sent, self.bytes_received, self.has_response_begun = h1_counts(self._h1)
  core.h1_close(self._h1)
  if self._upload and not core.is_done(self._upload) then
    core.cancel(self._upload)
  end
end

-- Closes, waits for the upload, and raises what an operation failed with: as
-- failures.of_code, of which the first two tell whether the wait was interrupted.
local function fail(self, phase, ok, code, what, at)
  local e
  if ok == true then
    local _, _, has_begun = h1_counts(self._h1)
    e = self._upload_error
      or failures.of(self._h1, self._stream, phase, code, what, at, has_begun, self._send_code)
    self._upload_error = nil
  end
  self:close()
  upload.finish(self)
  if not e then
    return await._interrupted(ok)
  end
  error(e, 0)
end

-- The response has ended.
local function over(self)
  local can
  can, self.bytes_sent, self.bytes_received, self.trailers = h1_over(self._h1)
  self._is_over = true
  if not (can and self._is_sent) then
    self:close()
  end
  if self._upload then
    upload.finish(self)
  end
  if self.state == "active" then
    self.state = "idle"
  end
end

--- time limits --------------------------------------------------------------------------

local function now()
  return core.loop_time(core.running_loop())
end

-- Until when something must happen, counted from when bytes moved last (or, while the program
-- makes the next piece of what is sent, from now); the limit's name and seconds.
local function due(self, phase)
  local _, _, has_begun, active = h1_counts(self._h1)
  local seconds, name = self._idle_timeout, "sock_read"
  if phase == "head" and not has_begun and self._ttfb and self._ttfb < (seconds or math.huge) then
    seconds, name = self._ttfb, "ttfb"
  end
  if not seconds then
    return nil
  end
  return (self._is_producing and now() or active) + seconds, name, seconds
end

local function left(scope, ok, ...)
  local expired = core.scope_leave(scope)
  if not ok then
    error((...), 0)
  end
  return expired, ...
end

-- Nine results are what h1_head has.
local function within(scope, op, h1, arg)
  return left(scope, pcall(op, h1, arg))
end

-- op(h1, arg), again and again until it is done or nothing has happened for too long.
local function limited(self, phase, op, arg)
  while true do
    local when, name, seconds = due(self, phase)
    if not when then
      return op(self._h1, arg)
    end
    local expired, ok, a, b, c, d, e, f, g, h = within(core.scope(when), op, self._h1, arg)
    if ok ~= false or not expired or core.checkpoint() ~= true then
      return ok, a, b, c, d, e, f, g, h
    end
    when = due(self, phase)
    if when <= now() then
      return true, nil, name, seconds
    end
  end
end

--- exchanges -------------------------------------------------------------------------------

local function check_idle(self)
  if self.state == "closed" then
    errors.raise("closed", "the connection is closed", { phase = "send" })
  elseif self.state ~= "idle" then
    errors.raise("state", "another exchange is under way on this connection")
  end
end

-- After h1_begin: nothing has begun if this raises.
local function begun(self, ok, sent, code, what)
  if ok ~= true then
    return await._interrupted(ok)
  elseif what then
    error(failures.refused(code, what), 0)
  end
  if code then
    local name = core.error_of(code)
    if name == "ESTREAMCLOSED" then
      self:close()
      errors.raise("closed", "the connection is closed", { phase = "send" })
    elseif name == "EPROTOCOL" then
      self:close()
      self.has_response_begun = false
      errors.raise("protocol", "the server sent something before it had the request",
        { code = name, phase = "send" })
    end
  end
  self.state = "active"
  self.trailers, self._is_over, self.has_response_begun = nil, false, false
  self._send_code, self._upload_error, self._is_sent = code, nil, true
  return sent
end

-- That of most responses: not to be changed.
local NO_DEFECTS = {}

-- The head that h1_head gave.
local function head_of(self, kind, status, reason, minor, fields, defects, length, body)
  self.has_response_begun = true
  local head = { status = status, reason = reason, version = VERSIONS[minor], fields = fields,
    defects = defects ~= 0 and h1_defects(self._h1) or NO_DEFECTS, body = body, length = length,
    is_tunnel = kind == TUNNEL }
  if kind == OVER then
    over(self)
  end
  return head
end

-- Waits for a 100 (Continue): returns nil when the body is to be sent, or the response that came
-- in its place.
local function await_continue(self, opts)
  local deadline = now() + (opts.expect_timeout or EXPECT_TIMEOUT)
  while true do
    local expired, ok, kind, status, reason, minor, fields, defects, length, body =
      within(core.scope(deadline), h1_head, self._h1, true)
    if ok == false and expired and core.checkpoint() == true then
      return nil
    elseif not kind then
      return fail(self, "head", ok, status, reason, minor)
    elseif kind ~= INTERIM then
      return kind, status, reason, minor, fields, defects, length, body
    elseif opts.on_informational then
      opts.on_informational(status, fields)
    end
    if status == 100 then
      return nil
    end
  end
end

local function await_head(self, opts)
  local wants_interim = opts.on_informational ~= nil
  while true do
    local ok, kind, status, reason, minor, fields, defects, length, body =
      limited(self, "head", h1_head, wants_interim)
    if not kind then
      return fail(self, "head", ok, status, reason, minor)
    elseif kind ~= INTERIM then
      return kind, status, reason, minor, fields, defects, length, body
    end
    opts.on_informational(status, fields)
  end
end

-- Another protocol begins where the response ends: all of the request must be sent.
local function await_sent(self)
  if self._upload and not core.is_done(self._upload) then
    self:close()
    upload.finish(self)
    errors.raise("protocol", "the server switched to another protocol before it had the request",
      { phase = "head" })
  end
  local ok, done, code = core.h1_flush(self._h1)
  if not done then
    return fail(self, "send", ok, code)
  end
end

-- An exchange with all that it may have, once its head is sent.
local function converse(self, message, opts, is_sent)
  local kind, status, reason, minor, fields, defects, length, body
  local has_more = message.expect_continue or type(message.body) == "function"
  if message.expect_continue and message.body ~= nil then
    kind, status, reason, minor, fields, defects, length, body = await_continue(self, opts)
  end
  if has_more and not kind and message.body ~= nil then
    is_sent = upload.start(self, message)
  end
  if not has_more and self._on_piece then
    upload.tell_body(self, message.body)
  end
  if is_sent and opts.on_sent then
    opts.on_sent()
  end
  if not kind then
    kind, status, reason, minor, fields, defects, length, body = await_head(self, opts)
  end
  if kind == TUNNEL then
    await_sent(self)
  end
  return head_of(self, kind, status, reason, minor, fields, defects, length, body)
end

local function closed_on_error(self, ok, ...)
  if ok then
    return ...
  end
  self:close()
  upload.finish(self)
  error((...), 0)
end

local function exchange_at_length(self, message, opts)
  message = upload.framed(message)
  local body, length = message.body, nil
  local is_held = body ~= nil and (message.expect_continue or type(body) == "function")
  if type(body) == "function" then
    length = message.length or -1
  elseif is_held then
    length = upload.size_of(body)
  end
  local sent = begun(self, h1_begin(self._h1, message.method, message.target, message.fields,
    not is_held and (body or EMPTY_BODY[message.method]) or nil, length, opts.upgrade,
    opts.decode, opts.max_body_size))
  self._idle_timeout, self._ttfb, self._on_sent = opts.idle_timeout, opts.ttfb, opts.on_sent
  self._on_piece = opts.on_piece
  self._is_sent = not is_held
  return closed_on_error(self, errors.guarded(converse, self, message, opts, sent and not is_held))
end

---Sends a request and waits until the head of its response is in; if the whole body is there too,
---the exchange is over with that.
---
---The message: `method`; `target`, as in the request line; `fields`, with Host, without
---Transfer-Encoding; `body`, nil, a string, a list of strings, or a source: a function that gives
---the next string at each call, nil at the end, and may wait and raise; `length` of a source (nil:
---it is sent in chunks); `expect_continue`; `trailers`.
---
---Options: `decode` takes off what Content-Encoding says; `max_body_size`, of the decoded body;
---`idle_timeout`, the seconds without a byte in either direction; `ttfb`, those before the first
---byte of the response; `expect_timeout`, those for a 100 (Continue), default 1; `upgrade` allows a
---101, as does a field Upgrade; `on_informational(status, fields)`; `on_sent()`; with
---one of the limits or hooks also `on_piece(bytes)`, for what was sent of the body.
---
---The head: `status`, `reason`, `version`, `fields`, `defects`, `body` (if it came with the head),
---`length` (Content-Length), `is_tunnel`.
---
---A response that comes before all is sent is returned at once, and the sending goes on.
---
---Raises `connection`, `tls`, `protocol`, `limit`, `timeout`, `closed` with `phase` "send" or
---"head"; what the source raised; `cancelled`: after each of them it is closed. `type` (with
---`code`) for what cannot be sent; `state` in the middle of an exchange.
---@private
---@async
---@param message table
---@param opts table?
---@return table head
function Connection:exchange(message, opts)
  opts = opts or NO_OPTIONS
  if self.state ~= "idle" then
    check_idle(self)
  end
  local body = message.body
  if type(body) == "function" or opts.idle_timeout or opts.ttfb or message.expect_continue
      or opts.on_sent or opts.on_informational or message.trailers then
    return exchange_at_length(self, message, opts)
  end
  local h1 = self._h1
  begun(self, h1_begin(h1, message.method, message.target, message.fields,
    body or EMPTY_BODY[message.method], nil, opts.upgrade, opts.decode, opts.max_body_size))
  self._idle_timeout = nil
  local ok, kind, status, reason, minor, fields, defects, length, whole = h1_head(h1)
  if not kind then
    return fail(self, "head", ok, status, reason, minor)
  elseif kind == TUNNEL then
    await_sent(self)
  end
  return head_of(self, kind, status, reason, minor, fields, defects, length, whole)
end

--- the body --------------------------------------------------------------------------------

-- Whether there is a body to be read; false at its end.
local function check_body(self)
  if self._is_over then
    return false
  elseif self._upload_error then
    return fail(self, "body", true)
  elseif self.state ~= "active" then
    errors.raise(self.state == "closed" and "closed" or "state", self.state == "closed"
      and "the connection is closed" or "no exchange is under way", { phase = "body" })
  end
  return true
end

---Reads some of the body: what is there, at least one byte, at most `max` (default 64 KiB). "" at
---the end, with which the exchange is over.
---
---Raises `connection` (code "ETRUNCATED" when the body is cut), `protocol`, `limit` (code
---"max_body_size"), `decode`, `timeout`, `closed`, `cancelled`, with `phase` "body" and `partial`:
---after each it is closed.
---@private
---@async
---@param max integer? bytes
---@return string
function Connection:read_some(max)
  if self.state ~= "active" or self._upload_error then
    if not check_body(self) then
      return ""
    end
  end
  local ok, data, code, what, at
  if self._idle_timeout then
    ok, data, code, what, at = limited(self, "body", h1_read_some, max)
  else
    ok, data, code, what, at = h1_read_some(self._h1, max)
  end
  if not data then
    return fail(self, "body", ok, code, what, at)
  elseif data == "" then
    over(self)
  end
  return data
end

---Reads all that is left of the body, with which the exchange is over.
---
---Raises as `connection:read_some`; `limit` if it is more than `max`.
---@private
---@async
---@param max integer? bytes
---@return string
function Connection:read_all(max)
  if not check_body(self) then
    return ""
  end
  local ok, data, code, what, at = limited(self, "body", h1_read_all, max)
  if not data then
    return fail(self, "body", ok, code, what, at)
  end
  over(self)
  return data
end

---As `connection:read_some`, without waiting: nil when nothing is there.
---
---Raises as `connection:read_some`.
---@private
---@param max integer? bytes
---@return string?
function Connection:read_ready(max)
  if not check_body(self) then
    return ""
  end
  local ok, data, code, what, at = h1_read_ready(self._h1, max)
  if not ok then
    return nil
  elseif not data then
    return fail(self, "body", ok, code, what, at)
  elseif data == "" then
    over(self)
  end
  return data
end

---Drops what is left of the body, if that can be done without waiting, within about `bound`
---bytes: true, and the exchange is over. Else the connection is good for nothing but to be closed.
---@private
---@param bound integer bytes
---@return boolean
function Connection:drain(bound)
  if self._is_over then
    return true
  elseif self.state ~= "active" or not self._is_sent
      or self._upload and not core.is_done(self._upload) then
    return false
  end
  if not core.h1_drain(self._h1, bound) then
    return false
  end
  over(self)
  return true
end

---The names of what the server got wrong without harm; complete at the end of the body.
---@private
---@return string[]
function Connection:defects()
  return h1_defects(self._h1)
end

--- between exchanges -----------------------------------------------------------------------

---Other bounds for the responses from now on: as in the options of `connection.new`, among others.
---@private
---@param opts table
function Connection:set_limits(opts)
  core.h1_set_limits(self._h1, opts.max_line_size, opts.max_field_size, opts.max_fields,
    opts.max_head_size, opts.max_informational)
end

---True if another exchange may follow: the last one is over, both sides keep the connection, and
---nothing came behind the response.
---@private
---@return boolean
function Connection:is_reusable()
  return self.state == "idle"
end

---True if an idle connection can be used as far as is known: the peer has not closed it, nor sent
---anything. Asks the system only if an event has come since the last exchange.
---@private
---@return boolean
function Connection:is_alive()
  return self.state == "idle" and core.h1_is_quiet(self._h1)
end

---Gives the stream away, with all bytes that came behind the response, for another protocol. The
---connection counts as closed then.
---
---Raises `closed`; `state` while something is being sent.
---@private
---@return weft.Stream
function Connection:detach()
  if self.state == "closed" then
    errors.raise("closed", "the connection is closed")
  end
  local stream = core.h1_detach(self._h1)
  if not stream then
    errors.raise("state", "the request is still being sent")
  end
  self.bytes_sent, self.bytes_received = h1_counts(self._h1)
  self.state = "closed"
  return stream
end

Connection.__close = Connection.close

function Connection:__tostring()
  return ("Connection<%s>"):format(self.state)
end

--- making ----------------------------------------------------------------------------------

local OPTIONS = { max_line_size = true, max_field_size = true, max_fields = true,
  max_head_size = true, max_informational = true }

---Makes a connection of a stream, which it owns from then on. Options, bounds of a response:
---`max_line_size` (default 16 KiB), `max_field_size` (32 KiB), `max_fields` (256), `max_head_size`
---(128 KiB), `max_informational` (16 responses).
---
---Raises `type`.
---@private
---@param stream weft.Stream
---@param opts table?
---@return weft.http.Connection
function M.new(stream, opts)
  opts = options.check(opts, OPTIONS, "connection")
  for name in pairs(OPTIONS) do
    if opts[name] ~= nil then
      options.count(opts[name], "connection: " .. name, name == "max_informational" and 0 or 1)
    end
  end
  local h1 = core.h1_new(stream, opts.max_line_size, opts.max_field_size, opts.max_fields,
    opts.max_head_size, opts.max_informational)
  return setmetatable({ state = "idle", bytes_sent = 0, bytes_received = 0,
    has_response_begun = false, trailers = nil, _h1 = h1, _stream = stream, _is_over = false,
    _is_sent = true, _is_producing = false }, Connection)
end

return M
