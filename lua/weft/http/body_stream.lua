-- SPDX-License-Identifier: MIT
-- weft.http.body_stream: the body of a response, on the connection that it comes by.
--
-- Owns: the connection's slot in the pool, from the head of the response until the body's end.
-- Must not know: what the bytes mean.
-- Invariant: the slot is given back once: at the end, after a failure, by `release` or `close`, or
-- when the object is collected.

local core = require "weft.core"
local errors = require "weft.error"
local timeouts = require "weft.http.timeouts"

---A body that is still coming.
---@private
---@class weft.http.BodyStream
---@field ended boolean all of it was read
local BodyStream = {}
BodyStream.__index = BodyStream

-- How much of a body that nobody wants is read to save the connection: about what a new
-- connection costs in bytes and time.
local DRAIN_MAX = 64 * 1024

local newproxy = rawget(_G, "newproxy")

-- What is collected together with the body; tables have no finalizers on Lua 5.1.
local function sentinel(lease)
  local function collect()
    if lease.conn then
      lease.pool:lose(lease.conn, lease.name)
    end
  end
  if newproxy then
    local proxy = newproxy(true)
    getmetatable(proxy).__gc = collect
    return proxy
  end
  return setmetatable({}, { __gc = collect })
end

-- The bytes that a connection has received so far, taken or not.
local function received(conn)
  if conn.state == "closed" then
    return conn.bytes_received
  end
  local _, bytes = core.h1_counts(conn._h1)
  return bytes
end

local function new(pool, conn, route, request)
  local lease = { pool = pool, conn = conn, name = route.name }
  local min_rate = request.timeouts.min_rate
  pool:lend()
  return setmetatable({ ended = false, _lease = lease, _sentinel = sentinel(lease),
    _key = route.key, _request = request, _trace = request.trace or false,
    _can_keep = not request.options.force_close,
    _rate = min_rate and timeouts.rate(min_rate, received, conn) or false }, BodyStream)
end

-- Gives the slot back, and the connection if it can be used again.
local function finish(self)
  local lease = self._lease
  local conn = lease.conn
  if not conn then
    return
  end
  lease.conn = nil
  lease.pool:take_back()
  self._trailers, self._defects = conn.trailers, conn:defects()
  if self._request.connection == conn then
    self._request.connection = nil
  end
  if conn:is_reusable() and self._can_keep then
    lease.pool:put(conn, self._key, lease.name)
  else
    lease.pool:discard(conn, lease.name)
  end
end

-- How much of an exchange that failed had been sent and received, for the words of a time limit.
local function note_progress(request, conn)
  request.bytes_sent = conn.bytes_sent - conn._sent_before
  request.bytes_received = conn.bytes_received - conn._received_before
end

local function failed(self, e)
  local conn = self._lease.conn
  if conn and conn.state ~= "active" then -- else it was misuse, and nothing has happened
    note_progress(self._request, conn)
    finish(self)
  end
  error(e, 0)
end

local function at_end(self)
  self.ended = true
  finish(self)
  if self._trace then
    self._trace("end", { time = core.loop_time(core.running_loop()) })
  end
end

local function check_open(self)
  if self._lease.conn then
    return self._lease.conn
  end
  errors.raise("closed", "the response is closed", { phase = "body" })
end

-- What a hook did not let through is missing in the body: it cannot be read on.
local function tell_chunk(self, conn, data)
  local ok, e = errors.guarded(self._trace, "chunk", { chunk = data, size = #data,
    time = core.loop_time(core.running_loop()) })
  if not ok then
    conn:close()
    finish(self)
    error(e, 0)
  end
end

local function read(self, conn, fn, max)
  local ok, data
  if self._rate then
    ok, data = errors.guarded(self._rate.within, self._rate, fn, conn, max)
  else
    ok, data = errors.guarded(fn, conn, max)
  end
  if not ok then
    return failed(self, data)
  end
  if data ~= "" and self._trace then
    tell_chunk(self, conn, data)
  end
  return data
end

---Some of it: what is there, at least one byte, at most `max`. "" at the end.
---
---Raises as the connection; `closed` after `release` or `close`.
---@private
---@async
---@param max integer?
---@return string
function BodyStream:read_some(max)
  if self.ended then
    return ""
  end
  local conn = check_open(self)
  local data = read(self, conn, conn.read_some, max)
  if data == "" then
    at_end(self)
  end
  return data
end

---All that is left.
---
---Raises as `read_some`; `limit` if it is more than `max`.
---@private
---@async
---@param max integer?
---@return string
function BodyStream:read_all(max)
  if self.ended then
    return ""
  end
  local conn = check_open(self)
  local data = read(self, conn, conn.read_all, max)
  at_end(self)
  return data
end

---As `read_some` without waiting: nil when nothing is there.
---@private
function BodyStream:read_ready(max)
  if self.ended then
    return ""
  end
  local conn = check_open(self)
  local ok, data = pcall(conn.read_ready, conn, max)
  if not ok then
    return failed(self, data)
  elseif data == "" then
    at_end(self)
  end
  return data
end

---Gives the connection back if the rest is short and there already; else closes it. Never waits.
---Idempotent.
---@private
function BodyStream:release()
  local conn = self._lease.conn
  if conn then
    local ok, is_over = pcall(conn.drain, conn, DRAIN_MAX)
    if not ok or not is_over then
      conn:close()
    end
    finish(self)
  end
end

---Closes the connection, unless the body has ended. Idempotent.
---@private
function BodyStream:close()
  local conn = self._lease.conn
  if conn then
    conn:close()
    finish(self)
  end
end

---The fields behind the body, once it has ended; or nil.
---@private
---@return weft.http.Headers?
function BodyStream:trailers()
  return self._trailers
end

---What the server got wrong without harm; complete at the end.
---@private
---@return string[]
function BodyStream:defects()
  local conn = self._lease.conn
  return conn and conn:defects() or self._defects
end

return { new = new, note_progress = note_progress }
