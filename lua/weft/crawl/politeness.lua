-- SPDX-License-Identifier: MIT
-- weft.crawl.politeness: how much of a crawl a host has to bear: how many requests at once, and
-- how long after one another.
--
-- Owns: a slot for each host that was visited lately. Must not know: requests, and which host is
-- to be visited next. Invariant: as many requests are under way on a host as its slot says, and no
-- two begin closer to each other than its delay.

local await = require "weft.await"
local core = require "weft.core"
local errors = require "weft.error"
local options = require "weft.options"
local sync = require "weft.sync"

---Limits for each host: the crawl waits, and not the host.
---@class weft.crawl.politeness
local M = {}

-- Slots that are kept before those are looked for that nobody needs any more.
local SLOTS = 64

-- Timers round: one that is set for a moment may fire just before it, and again and again.
local TICK = 1e-6

---Limits for each host. Made by `weft.crawl.politeness.new`.
---@class weft.crawl.Politeness
local Politeness = {}
Politeness.__index = Politeness

local function now()
  local loop = core.running_loop()
  if not loop then
    await._checkpoint() -- raises: there is no task
  end
  return core.loop_time(loop)
end

--- slots -----------------------------------------------------------------------------

local function is_idle(self, slot, time)
  return slot.active == 0 and slot.users == 0 and slot.next_at <= time
    and time - slot.seen >= self._idle
end

-- Forgets the hosts that nobody has visited for a while, once there are twice as many as the last
-- time it did: a share of the cost of making them.
local function collect(self, time)
  local left = 0
  for host, slot in pairs(self._slots) do
    if is_idle(self, slot, time) then
      self._slots[host] = nil
    else
      left = left + 1
    end
  end
  self._count, self._sweep_at = left, math.max(SLOTS, left * 2)
end

local function slot_of(self, host)
  local slot = self._slots[host]
  if not slot then
    options.expect(host, "string", "the host")
    local time = now()
    if self._count >= self._sweep_at then
      collect(self, time)
    end
    slot = { active = 0, users = 0, next_at = -math.huge, seen = time, delay = self._delay,
      lock = sync.lock(), freed = core.waitlist() }
    self._slots[host], self._count = slot, self._count + 1
  end
  return slot
end

local function pause_of(self, slot)
  local delay = slot.delay
  return delay > 0 and delay * (1 + self._jitter * (2 * self._random() - 1)) or 0
end

-- Takes a place of the slot: true, or false and the seconds until it is worth trying; nil for
-- those: when a place is given back.
local function take(self, slot)
  if slot.active >= self._concurrency then
    return false
  end
  local time = now()
  if slot.next_at > time then
    return false, slot.next_at - time
  end
  slot.active, slot.seen = slot.active + 1, time
  slot.before = slot.next_at
  slot.next_at = time + pause_of(self, slot)
  return true
end

-- The first in line: the others wait for the lock.
local function wait_for_place(self, slot)
  while true do
    local ok, seconds = take(self, slot)
    if ok then
      return
    elseif seconds then
      await.sleep(seconds + TICK)
    else
      local woken = core.park(slot.freed)
      if woken ~= true then
        await._interrupted(woken)
      end
    end
  end
end

--- for users -------------------------------------------------------------------------

---Waits until a request to a host may begin. First come, first served.
---
---Raises `cancelled`; `state` outside a task.
---@async
---@param host string
function Politeness:acquire(host)
  await._checkpoint()
  local slot = slot_of(self, host)
  if slot.users == 0 and take(self, slot) then
    return
  end
  slot.users = slot.users + 1
  local ok, e = errors.guarded(slot.lock.with, slot.lock, wait_for_place, self, slot)
  slot.users = slot.users - 1
  if slot.users == 0 then
    self._on_free(host) -- who only tried was turned away meanwhile
  end
  if not ok then
    error(e, 0)
  end
end

---Whether a request to a host may begin at once; if it may, it has. If not, the second result is
---the seconds until it is worth trying again, or nil: when one ends (see `on_free`).
---@param host string
---@return boolean
---@return number? seconds
function Politeness:try_acquire(host)
  local slot = slot_of(self, host)
  if slot.users > 0 then
    return false -- others wait: no overtaking
  end
  return take(self, slot)
end

local RELEASE = { pause = true, unused = true }

---Says that a request has ended. With `pause` no other one begins for so many seconds, as when the
---host said `Retry-After`; with `unused` there was none, and the next need not wait for it.
---
---Raises `state`, code "over_release".
---@param host string
---@param opts {pause: number?, unused: boolean?}?
function Politeness:release(host, opts)
  opts = opts and options.check(opts, RELEASE, "release") or RELEASE
  local slot = self._slots[host]
  if not slot or slot.active == 0 then
    errors.raise("state", ("no request to '%s' is under way"):format(tostring(host)),
      { code = "over_release" })
  end
  local time = now()
  slot.active, slot.seen = slot.active - 1, time
  if opts ~= RELEASE then
    if opts.unused then
      slot.next_at = slot.before
    end
    if opts.pause then
      slot.next_at = math.max(slot.next_at, time + options.number(opts.pause, "pause", 0))
    end
  end
  if not core.wake(slot.freed) and slot.users == 0 then
    self._on_free(host)
  end
end

---Calls `fn(...)` as a request to a host: waits until it may begin, and says when it has ended, on
---return, error and cancellation alike.
---
---Raises `cancelled`; `state` outside a task; what `fn` raised.
---@async
---@param host string
---@param fn async fun(...): ...
---@param ... any
---@return any ... the results of fn
function Politeness:with(host, fn, ...)
  options.callable(fn, "the function")
  self:acquire(host)
  local function leave(ok, ...)
    self:release(host)
    if not ok then
      error((...), 0)
    end
    return ...
  end
  return leave(errors.guarded(fn, ...))
end

---Has a host wait longer between two requests, as its robots.txt may want; not less than the
---general delay, and not more than `max_delay`. It counts from the next request on.
---@param host string
---@param seconds number?
function Politeness:set_delay(host, seconds)
  local delay = options.number(seconds or 0, "the delay", 0)
  slot_of(self, host).delay = math.max(self._delay, math.min(delay, self._max_delay))
end

---Has `fn(host)` called when a host that could not be had (`try_acquire`) may be had again. It is
---called in the middle of `release`, and must not wait.
---@param fn fun(host: string)
function Politeness:on_free(fn)
  self._on_free = options.callable(fn, "the function")
end

---Counts: `hosts` with a slot, requests `active`, tasks `waiting`.
---@return {hosts: integer, active: integer, waiting: integer}
function Politeness:statistics()
  local active, waiting = 0, 0
  for _, slot in pairs(self._slots) do
    active, waiting = active + slot.active, waiting + slot.users
  end
  return { hosts = self._count, active = active, waiting = waiting }
end

function Politeness:__tostring()
  local s = self:statistics()
  return ("Politeness<hosts=%d active=%d waiting=%d>"):format(s.hosts, s.active, s.waiting)
end

---What `weft.crawl.politeness.new` takes.
---@class weft.crawl.PolitenessOptions
---@field concurrency integer? requests at once on a host; default 8
---@field delay number? seconds between the beginnings of two; default 0
---@field jitter number? a share of `delay`, 0 to 1: so much longer or shorter; default 0.5
---@field max_delay number? seconds: what a host asks for counts up to that; default 30
---@field idle number? seconds after its last use until a host is forgotten; default 60
---@field random (fun(): number)? from 0 to 1, for the jitter; default `math.random`
local PolitenessOptions = {} -- luacheck: ignore 211

local OPTIONS = { concurrency = true, delay = true, jitter = true, max_delay = true, idle = true,
  random = true }

local function nothing()
end

---Limits for each host: so many requests at once, and so many seconds from the beginning of one to
---that of the next.
---
---Raises `type`.
---@param opts weft.crawl.PolitenessOptions?
---@return weft.crawl.Politeness
function M.new(opts)
  opts = options.check(opts, OPTIONS, "politeness.new")
  local jitter = options.number(opts.jitter or 0.5, "jitter", 0)
  if jitter > 1 then
    errors.raise("type", ("jitter must be at most 1, got %s"):format(jitter))
  end
  return setmetatable({
    _concurrency = options.count(opts.concurrency or 8, "concurrency", 1),
    _delay = options.number(opts.delay or 0, "delay", 0), _jitter = jitter,
    _max_delay = options.number(opts.max_delay or 30, "max_delay", 0),
    _idle = options.number(opts.idle or 60, "idle", 0),
    _random = options.callable(opts.random or math.random, "random"),
    _slots = {}, _count = 0, _sweep_at = SLOTS, _on_free = nothing,
  }, Politeness)
end

return M
