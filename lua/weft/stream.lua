-- SPDX-License-Identifier: MIT
-- weft.stream: the methods of streams: TCP, TLS, Unix sockets and pipes alike.
--
-- Owns: limits, what a return is and what an error, and the words of the errors. Bytes are
-- moved in src/net/stream.c.
-- Must not know: how a stream came to be (weft.net, weft.process).

local core = require "weft.core"
local errors = require "weft.error"
local await = require "weft.await"
local options = require "weft.options"

local interrupted = await._interrupted
local read, write = core.stream_read, core.stream_write

---@class weft
local M = {}

-- What a peer may make us keep when the program has set no bound: a line, a message that
-- ends somewhere, a whole stream.
local LINE_MAX = 64 * 1024
local UNTIL_MAX = 1024 * 1024
local ALL_MAX = 1024 * 1024 * 1024

---A connection, or an end of a pipe: bytes in order, in both directions. One task may read and
---one may write at a time; a second raises `state`. What was not read stays in the system's
---buffers, and so holds the peer back.
---@class weft.Stream
local Stream = {}

-- Codes by which a connection fails, whatever the side.
local EOF = "EOF"

local function describe(self)
  return core.stream_table(self).name or "the stream"
end

-- The error of a code that weft.core gave for an operation on a stream.
local function failure(self, code, what, partial, phase)
  local name, message, kind = core.error_of(code)
  local own = core.stream_table(self)
  local fields = { code = name, host = own.host, port = own.port, path = own.path,
    phase = phase, partial = partial }
  if name == "ENOMEM" then
    return "not enough memory"
  elseif name == EOF then
    message = "the peer closed the connection"
  elseif own.explain then -- a filter that can say more: TLS
    local words, more = own.explain(self, code)
    if words then
      message, kind = words, more and more.kind or kind
      for key, value in pairs(more or {}) do
        fields[key] = value
      end
    end
  end
  return errors.new(kind or "connection", ("%s %s: %s"):format(what, describe(self), message),
    fields)
end

---@private
M._failure = failure

local function fail(self, ok, code, what, partial, phase)
  if ok ~= true then
    return interrupted(ok)
  end
  error(failure(self, code, what, partial, phase), 0)
end

-- What a read that came to too little had got: "" where it was nothing.
local function short(self, ok, code, partial)
  return fail(self, ok, code, "read from",
    partial or core.stream_is_open(self) and "" or nil)
end

---Reads some bytes: as many as are there, at least one, at most `n` (default 64 KiB). "" at the
---end of the stream.
---
---Raises `cancelled`; `connection` when it broke; `closed`; `state` while another task reads.
---@async
---@param n integer? bytes
---@return string
function Stream:read(n)
  local ok, data, code = read(self, n)
  if data then
    return data
  end
  return fail(self, ok, code, "read from")
end

---Reads exactly `n` bytes.
---
---Raises `connection` if the stream ends before (`partial` has what there was); else as
---`stream:read`.
---@async
---@param n integer bytes
---@return string
function Stream:read_exactly(n)
  options.count(n, "the number of bytes", 0)
  local ok, data, code, partial = core.stream_read_exactly(self, n)
  if data then
    return data
  end
  return short(self, ok, code, partial)
end

---Reads up to a separator, and returns it too.
---
---Raises `limit` if it does not come within `max` bytes (they stay unread); `connection` if the
---stream ends before (`partial`); else as `stream:read`.
---@async
---@param separator string 1 to 64 bytes
---@param max integer? bytes, with the separator; default 1 MiB
---@return string
function Stream:read_until(separator, max)
  options.expect(separator, "string", "the separator")
  max = options.count(max == nil and UNTIL_MAX or max, "the limit", 1)
  local ok, data, code, partial = core.stream_read_until(self, separator, max)
  if data then
    return data
  elseif ok == true and core.error_of(code) == "ELIMIT" then
    errors.raise("limit", ("read from %s: no %q within %d bytes"):format(describe(self),
      separator, max), { limit = max })
  end
  return short(self, ok, code, partial)
end

---Reads a line and returns it without its end, which is "\n" or "\r\n". The last one need not
---have an end. nil at the end of the stream.
---
---Raises `limit` if it is longer than `max`; else as `stream:read`.
---@async
---@param max integer? bytes, with its end; default 64 KiB
---@return string?
function Stream:read_line(max)
  max = options.count(max == nil and LINE_MAX or max, "the limit", 1)
  local ok, data, code, partial = core.stream_read_until(self, "\n", max)
  if data then
    return (data:gsub("\r?\n$", ""))
  elseif ok == true and core.error_of(code) == EOF then
    return partial
  elseif ok == true and core.error_of(code) == "ELIMIT" then
    errors.raise("limit", ("read from %s: a line longer than %d bytes"):format(describe(self),
      max), { limit = max })
  end
  return fail(self, ok, code, "read from", partial)
end

---Reads up to the end of the stream.
---
---Raises `limit` if that is more than `max` bytes; else as `stream:read`.
---@async
---@param max integer? bytes; default 1 GiB
---@return string
function Stream:read_all(max)
  max = options.count(max == nil and ALL_MAX or max, "the limit", 0)
  local ok, data, code, partial = core.stream_read_all(self, max)
  if data then
    return data
  elseif ok == true and core.error_of(code) == "ELIMIT" then
    errors.raise("limit", ("read from %s: more than %d bytes"):format(describe(self), max),
      { limit = max })
  end
  return fail(self, ok, code, "read from", partial)
end

---Iterates over the lines: `for line in stream:lines()`. A step raises as `stream:read_line`.
---@param max integer? bytes in a line; default 64 KiB
---@return async fun(): string?
function Stream:lines(max)
  return function()
    return self:read_line(max)
  end
end

---Sends the strings in order, without joining them, and returns when the system has taken all
---of it: while the peer does not read, it waits. Broken off by a cancellation after a part was
---sent, nothing can be written any more.
---
---Raises `cancelled`; `connection` when it broke; `closed`; `state` while another task writes,
---or after a write that was broken off; `type` for what is no string.
---@async
---@param ... string
function Stream:write(...)
  local ok, done, code = write(self, ...)
  if not done then
    return fail(self, ok, code, "write to")
  end
end

---Waits until all that was written is on its way. As `write` does so already, this only gives
---way to a cancellation; it is here for those who are used to it.
---
---Raises as `stream:write`.
---@async
function Stream:drain()
  return self:write()
end

---Half close: tells the peer that nothing more will come. Reading goes on.
---
---Raises as `stream:write`.
---@async
function Stream:shutdown()
  local ok, done, code = core.stream_shutdown(self)
  if not done and not (ok == true and core.error_of(code) == "ENOTCONN") then
    return fail(self, ok, code, "shut down")
  end
end

---Closes it. What was written is still sent by the system; who reads or writes gets `closed`.
---Idempotent.
function Stream:close()
  core.stream_close(self)
end

---True once it was closed on this side.
---@return boolean
function Stream:is_closed()
  return not core.stream_is_open(self)
end

local function closed(self, ok, ...)
  self:close()
  if not ok then
    error((...), 0)
  end
  return ...
end

---Calls `fn(stream, ...)` and closes the stream on return, error and cancellation alike.
---
---Raises what `fn` raised.
---@async
---@param fn async fun(stream: weft.Stream, ...): ...
---@param ... any
---@return any ... the results of fn
function Stream:with(fn, ...)
  options.callable(fn, "the function")
  return closed(self, errors.guarded(fn, self, ...))
end

local function name(self, get)
  local host, port = get(self)
  if host == nil then
    error(failure(self, port, "ask about"), 0)
  end
  return host, port
end

---The peer's address and port; the path for a Unix socket.
---
---Raises `connection` if there is none; `closed`.
---@return string host
---@return integer? port
function Stream:getpeername()
  return name(self, core.getpeername)
end

---This side's address and port; the path for a Unix socket.
---
---Raises `connection` if there is none; `closed`.
---@return string host
---@return integer? port
function Stream:getsockname()
  return name(self, core.getsockname)
end

---The number of its descriptor, or nil when it has none.
---@return integer?
function Stream:fileno()
  return core.fileno(self)
end

local Class = core.classes.Stream

Class.__index = Stream
Class.__close = Stream.close

function Class:__tostring()
  local own = core.stream_table(self)
  return ("Stream<%s%s>"):format(core.stream_is_open(self) and "open" or "closed",
    own.name and " " .. own.name or "")
end

---@private
M._Stream = Stream

return M
