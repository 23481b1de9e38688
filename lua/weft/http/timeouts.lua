-- SPDX-License-Identifier: MIT
-- weft.http.timeouts: time limits that have a name, for the phases of an exchange.
--
-- Owns: the words of the error when one has passed.
-- Must not know: who waits for what.
-- Invariant: the expiry of a limit from further out, or a cancellation, passes through.

local core = require "weft.core"
local errors = require "weft.error"
local options = require "weft.options"
local scope = require "weft.scope"

local M = {}

-- What was going on, by phase.
local DOING = {
  pool = "waiting for a free connection",
  dns = "looking up the name",
  connect = "connecting",
  proxy = "connecting through the proxy",
  tls = "in the TLS handshake",
  send = "sending the request",
  head = "waiting for the head of the response",
  body = "reading the body of the response",
}

-- How many seconds a min_rate's credit lasts when nothing comes: the average is taken over about
-- this time. Long enough for a stall of a mobile network.
local RATE_WINDOW = 10

-- Seconds of credit that count as none, so that a rounded time is not looked at again and again.
local RATE_STEP = 0.001

-- What had happened by then, where the phase is told by a request under way.
local function progress(state)
  if type(state) ~= "table" then
    return ""
  end
  return (state.bytes_sent and (", %d bytes sent and %d received"):format(state.bytes_sent,
    state.bytes_received) or "") .. (state.progress and state:progress() or "")
end

local function expired(name, state, seconds)
  local phase = type(state) == "table" and state.phase or state
  return errors.new("timeout", ("timed out after %g s, %s%s (limit: %s)"):format(seconds,
    DOING[phase] or phase, progress(state), name),
    { phase = phase, timeout = name, seconds = seconds })
end

-- The function of limits that are expired from the start, or later.
local function limited(when, name, phase, seconds, fn, ...)
  return scope._limit(when, expired, name, phase, seconds, nil, fn, ...)
end

---Calls `fn(...)` and returns its results, unless `seconds` pass first (nil: no limit). `phase`
---is that of the error: a word, or a table whose field `phase` has the word by then. What had
---happened is told by its fields `bytes_sent` and `bytes_received` and its method `progress`, each
---if it is there.
---
---Raises `timeout` with `phase`, `timeout` (the name) and `seconds`; what `fn` raised.
---@private
---@async
---@param name string the option's
---@param phase string | {phase: string}
---@param seconds number?
---@param fn async fun(...): ...
---@param ... any
---@return any ... the results of fn
function M.within(name, phase, seconds, fn, ...)
  if seconds == nil then
    return fn(...)
  end
  local now = core.loop_time(core.running_loop() or core.default_loop())
  return limited(seconds > 0 and now + seconds or 0, name, phase, seconds, fn, ...)
end

---The same up to a time of the loop's clock, for a limit that several calls share; `seconds` is
---how long it was, for the message.
---
---Raises as `within`.
---@private
---@async
---@param name string
---@param phase string | {phase: string}
---@param when number? by the loop's clock; nil: no limit
---@param seconds number?
---@param fn async fun(...): ...
---@param ... any
---@return any ... the results of fn
function M.by(name, phase, when, seconds, fn, ...)
  if when == nil then
    return fn(...)
  end
  return limited(when, name, phase, seconds, fn, ...)
end

---As `by`, for a function of two arguments and one result, without raising: whether it returned,
---and the result or the error.
---@private
---@async
function M.try_by(name, phase, when, seconds, fn, x, y)
  return scope._limit_try(when, expired, name, phase, seconds, fn, x, y)
end

--- min_rate ------------------------------------------------------------------------------

-- A bucket of seconds: it fills with what was received and empties with the time that was
-- spent waiting. Its size is the window.
local Rate = {}
Rate.__index = Rate

---Watches that `count()` grows by `bytes_per_second` on average while something waits for it.
---@private
---@param bytes_per_second number above 0
---@param count fun(state: any): integer the bytes so far, in all
---@param state any what is passed to `count`
function M.rate(bytes_per_second, count, state)
  return setmetatable({ rate = bytes_per_second, count = count, state = state,
    credit = RATE_WINDOW, seen = count(state), phase = "body" }, Rate)
end

-- Brings the credit up to date.
function Rate:settle(now)
  local total = self.count(self.state)
  self.credit = math.min(RATE_WINDOW,
    self.credit - (now - self.since) + (total - self.seen) / self.rate)
  self.seen, self.since = total, now
end

local function look(self, scope_of_wait)
  local loop = core.running_loop()
  local now = core.loop_time(loop)
  self:settle(now)
  if self.credit > RATE_STEP then
    self.timer = core.callback(loop, now + self.credit, look, self, scope_of_wait)
  else
    core.scope_reschedule(scope_of_wait, 0)
  end
end

local function too_slow(self)
  return errors.new("timeout", ("the response came at less than %g bytes/s for too long "
    .. "(limit: min_rate)"):format(self.rate),
    { phase = "body", timeout = "min_rate", seconds = RATE_WINDOW })
end

local function watch(scope_of_wait, self)
  local loop = core.running_loop()
  local now = core.loop_time(loop)
  self.since = now
  self.timer = core.callback(loop, now + math.max(self.credit, RATE_STEP), look, self,
    scope_of_wait)
end

local function unwatched(self, ok, ...)
  core.callback_cancel(self.timer)
  self:settle(core.loop_time(core.running_loop()))
  if not ok then
    error((...), 0)
  end
  return ...
end

local function watched(self, fn, ...)
  return unwatched(self, errors.guarded(fn, ...))
end

---Calls `fn(...)`, which waits for what is counted, unless that comes too slowly.
---
---Raises `timeout` with `phase` "body" and `timeout` "min_rate"; what `fn` raised.
---@async
function Rate:within(fn, ...)
  return scope._limit(nil, too_slow, self, nil, nil, watch, watched, self, fn, ...)
end

---Limits of a request. What a request does not say is as its session has it; 0 and false are none.
---The error of a limit is of kind `timeout`, has its name in `timeout`, and the phase in `phase`.
---@class weft.http.Timeouts
---@field total number? seconds for all of it, with redirects, retries and the body; default 300
---@field pool number? seconds for a free connection
---@field dns number? seconds for looking up the name
---@field connect number? seconds for all that comes before the request
---@field sock_connect number? seconds for connecting to one address; default 30
---@field tls number? seconds for the TLS handshake; default 30
---@field ttfb number? seconds for the first byte of the response
---@field sock_read number? seconds of silence
---@field min_rate number? not seconds: bytes per second of the body, on average
local Timeouts = {} -- luacheck: ignore 211

local NAMES = { "total", "pool", "dns", "connect", "sock_connect", "tls", "ttfb", "sock_read",
  "min_rate" }

---The names of the limits that there are, as a set.
---@private
M.NAMES = {}
for _, name in ipairs(NAMES) do
  M.NAMES[name] = true
end

---Raises `type` for what cannot be a table of limits: seconds (`min_rate`: bytes per second) by
---name, false for none.
---@private
---@param limits table?
---@param what string whose option it is
---@return table limits
function M.check(limits, what)
  limits = options.check(limits, M.NAMES, what)
  for name, value in pairs(limits) do
    if value ~= false then
      options.number(value, ("%s: %s"):format(what, name), 0)
    end
  end
  return limits
end

return M
