-- SPDX-License-Identifier: MIT
-- weft.sync: semaphore, lock, event, condition, barrier.
--
-- Owns: their counters. Who waits is in a list of weft.core, first come, first served:
-- `core.wake` hands a permit to the first waiter, and what was handed over cannot be
-- lost, because a wait that was given something does not raise any more.
-- Must not know: queues, tasks' insides, time.

local core = require "weft.core"
local errors = require "weft.error"
local await = require "weft.await"
local options = require "weft.options"

local gate, park, wake = core.gate, core.park, core.wake
local raise, guarded = errors.raise, errors.guarded
local checkpoint, interrupted = await._checkpoint, await._interrupted

---@class weft
local M = {}

-- Runs fn between acquire and release of `object`.
local function released(object, ok, ...)
  object:release()
  if ok then
    return ...
  end
  error((...), 0)
end

local function with(object, fn, ...)
  options.callable(fn, "the function")
  object:acquire()
  return released(object, guarded(fn, ...))
end

--- semaphore ------------------------------------------------------------------

---A counter of permits. Fair: first come, first served. Made by `weft.semaphore` and
---`weft.bounded_semaphore`.
---@class weft.Semaphore
local Semaphore = {}
Semaphore.__index = Semaphore

---Takes a permit, waiting until there is one.
---
---Raises `cancelled`; `state` outside a task.
---@async
---@return true
function Semaphore:acquire()
  if not gate[1] then
    checkpoint()
  end
  local value = self._value
  if value > 0 then
    self._value = value - 1
    return true
  end
  local ok = park(self._waiters)
  if ok ~= true then
    interrupted(ok)
  end
  return true
end

---Gives a permit back, or adds one; the first waiter gets it. Any task may do so, and a
---callback too.
---
---Raises `state`, code "over_release", for a bounded semaphore that has all its permits.
function Semaphore:release()
  local value = self._value
  if self._bound and value >= self._bound then
    raise("state", "the semaphore was released too often", { code = "over_release" })
  end
  if value > 0 or not wake(self._waiters) then
    self._value = value + 1
  end
end

---True if `semaphore:acquire` would have to wait.
---@return boolean
function Semaphore:locked()
  return self._value == 0
end

---Calls `fn(...)` with a permit, which is given back on return, error and cancellation
---alike.
---
---Raises `cancelled`; `state` outside a task; what `fn` raised.
---@async
---@param fn async fun(...): ...
---@param ... any
---@return any ... the results of fn
function Semaphore:with(fn, ...)
  return with(self, fn, ...)
end

---Counts: `free` permits, `waiting` tasks.
---@return {free: integer, waiting: integer}
function Semaphore:statistics()
  return { free = self._value, waiting = core.waiting(self._waiters) }
end

function Semaphore:__tostring()
  return ("%s<%s waiting=%d>"):format(self._bound and "BoundedSemaphore" or "Semaphore",
    self._value > 0 and "free=" .. self._value or "locked", core.waiting(self._waiters))
end

---A semaphore with `n` permits (default 1).
---@param n integer? 0 or more
---@return weft.Semaphore
function M.semaphore(n)
  n = options.count(n == nil and 1 or n, "the number of permits", 0)
  return setmetatable({ _value = n, _waiters = core.waitlist() }, Semaphore)
end

---A semaphore with `n` permits (default 1) that cannot be released more often than it was
---acquired.
---@param n integer? 0 or more
---@return weft.Semaphore
function M.bounded_semaphore(n)
  local self = M.semaphore(n)
  self._bound = self._value
  return self
end

--- lock ---------------------------------------------------------------------

---A lock for tasks. Fair; not owned: any task may release it. Made by `weft.lock`.
---@class weft.Lock
local Lock = {}
Lock.__index = Lock

---Takes the lock, waiting until it is free.
---
---Raises `cancelled`; `state` outside a task.
---@async
---@return true
function Lock:acquire()
  if not gate[1] then
    checkpoint()
  end
  if not self._locked then
    self._locked = true
    return true
  end
  local ok = park(self._waiters)
  if ok ~= true then
    interrupted(ok)
  end
  return true
end

---Frees the lock, or hands it to the first waiter.
---
---Raises `state`, code "over_release", if it is not locked.
function Lock:release()
  if not self._locked then
    raise("state", "the lock is not locked", { code = "over_release" })
  end
  if not wake(self._waiters) then
    self._locked = false
  end
end

---True while a task has the lock.
---@return boolean
function Lock:locked()
  return self._locked
end

---Calls `fn(...)` with the lock held; it is freed on return, error and cancellation alike.
---
---Raises `cancelled`; `state` outside a task; what `fn` raised.
---@async
---@param fn async fun(...): ...
---@param ... any
---@return any ... the results of fn
function Lock:with(fn, ...)
  return with(self, fn, ...)
end

---Whether it is `locked`, and the count of `waiting` tasks.
---@return {locked: boolean, waiting: integer}
function Lock:statistics()
  return { locked = self._locked, waiting = core.waiting(self._waiters) }
end

function Lock:__tostring()
  return ("Lock<%s waiting=%d>"):format(self._locked and "locked" or "unlocked",
    core.waiting(self._waiters))
end

---A lock, free.
---@return weft.Lock
function M.lock()
  return setmetatable({ _locked = false, _waiters = core.waitlist() }, Lock)
end

--- event ----------------------------------------------------------------------

---A flag that tasks can wait for. Made by `weft.event`.
---@class weft.Event
local Event = {}
Event.__index = Event

---Waits until the flag is set.
---
---Raises `cancelled`; `state` outside a task.
---@async
---@return true
function Event:wait()
  if not gate[1] then
    checkpoint()
  end
  if not self._set then
    local ok = park(self._waiters)
    if ok ~= true then
      interrupted(ok)
    end
  end
  return true
end

---Sets the flag and wakes all that wait.
function Event:set()
  if not self._set then
    self._set = true
    while wake(self._waiters) do end
  end
end

---Takes the flag back.
function Event:clear()
  self._set = false
end

---True while the flag is set.
---@return boolean
function Event:is_set()
  return self._set
end

---Whether it is `set`, and the count of `waiting` tasks.
---@return {set: boolean, waiting: integer}
function Event:statistics()
  return { set = self._set, waiting = core.waiting(self._waiters) }
end

function Event:__tostring()
  return ("Event<%s waiting=%d>"):format(self._set and "set" or "unset",
    core.waiting(self._waiters))
end

---An event, its flag not set.
---@return weft.Event
function M.event()
  return setmetatable({ _set = false, _waiters = core.waitlist() }, Event)
end

--- condition ----------------------------------------------------------------

---A lock together with a list of tasks that wait to be notified. Made by `weft.condition`.
---@class weft.Condition
local Condition = {}
Condition.__index = Condition

---Takes the lock, waiting until it is free.
---
---Raises `cancelled`; `state` outside a task.
---@async
---@return true
function Condition:acquire()
  self._lock:acquire()
  return true
end

---Frees the lock, or hands it to the first that waits for it.
---
---Raises `state`, code "over_release", if it is not locked.
function Condition:release()
  self._lock:release()
end

---True while a task has the lock.
---@return boolean
function Condition:locked()
  return self._lock:locked()
end

local function check_held(self)
  if not self._lock:locked() then
    raise("state", "the condition's lock is not held", { code = "not_locked" })
  end
end

-- Takes the lock again, whatever happens: the caller holds it on every way out.
local function reacquire(lock)
  local scope = core.scope(nil, true)
  lock:acquire()
  core.scope_leave(scope)
end

---Frees the lock, waits to be notified, and takes the lock again, also when it raises.
---A task that was notified does not raise: no notification is lost.
---
---Raises `cancelled`; `state` outside a task, and, with the code "not_locked", if the lock is
---not held.
---@async
---@return true
function Condition:wait()
  local ok = core.can_park() -- asked first: a lock that was let go may be another's at once
  if ok ~= true then
    interrupted(ok)
  end
  check_held(self)
  self._lock:release()
  ok = park(self._waiters)
  reacquire(self._lock)
  if ok ~= true then
    interrupted(ok)
  end
  return true
end

---Waits until `predicate()` gives a true value, which is returned; it is asked at first
---and after each notification.
---
---Raises as `condition:wait`; what `predicate` raised.
---@async
---@param predicate fun(): any
---@return any
function Condition:wait_for(predicate)
  options.callable(predicate, "the predicate")
  if not gate[1] then
    checkpoint()
  end
  local result = predicate()
  while not result do
    self:wait()
    result = predicate()
  end
  return result
end

---Wakes the first `n` (default 1) that wait.
---
---Raises `state`, code "not_locked", if the lock is not held.
---@param n integer? 0 or more
function Condition:notify(n)
  n = options.count(n == nil and 1 or n, "the number to notify", 0)
  check_held(self)
  for _ = 1, n do
    if not wake(self._waiters) then
      return
    end
  end
end

---Wakes all that wait.
---
---Raises `state`, code "not_locked", if the lock is not held.
function Condition:notify_all()
  self:notify(math.huge)
end

---Calls `fn(...)` with the lock held; it is freed on return, error and cancellation alike.
---
---Raises `cancelled`; `state` outside a task; what `fn` raised.
---@async
---@param fn async fun(...): ...
---@param ... any
---@return any ... the results of fn
function Condition:with(fn, ...)
  return with(self, fn, ...)
end

---Whether the lock is `locked`, and the count of tasks `waiting` to be notified.
---@return {locked: boolean, waiting: integer}
function Condition:statistics()
  return { locked = self._lock:locked(), waiting = core.waiting(self._waiters) }
end

function Condition:__tostring()
  return ("Condition<%s waiting=%d>"):format(self:locked() and "locked" or "unlocked",
    core.waiting(self._waiters))
end

---A condition, with a lock of its own unless one is given.
---@param lock weft.Lock?
---@return weft.Condition
function M.condition(lock)
  if lock ~= nil and getmetatable(lock) ~= Lock then
    raise("type", "a lock expected, got " .. type(lock))
  end
  return setmetatable({ _lock = lock or M.lock(), _waiters = core.waitlist() }, Condition)
end

--- barrier --------------------------------------------------------------------

---A meeting point of a fixed number of tasks. Made by `weft.barrier`.
---@class weft.Barrier
---@field parties integer how many must arrive
---@field n_waiting integer how many wait now
---@field broken boolean whether `barrier:abort` was called, and `barrier:reset` not yet
local Barrier = {}

local BROKEN = {}

local function broken_error()
  raise("state", "the barrier is broken", { code = "broken_barrier" })
end

---Waits until all parties have arrived. Returns the place in the order of arrival, 1 to
---`barrier.parties`. A task that is cancelled while it waits has not arrived.
---
---Raises `cancelled`; `state` outside a task, and, with the code "broken_barrier", if the
---barrier is or becomes broken.
---
---```lua
---local barrier = weft.barrier(2)
---
---local function worker(seconds)
---  weft.sleep(seconds)
---  return barrier:wait()
---end
---
---local slow, fast = weft.create_task(worker, 2), weft.create_task(worker, 1)
---print(slow:await(), fast:await()) --> 2 1
---```
---@async
---@return integer place
function Barrier:wait()
  if not gate[1] then
    checkpoint()
  end
  if self._broken then
    broken_error()
  end
  local place = core.waiting(self._waiters) + 1
  if place == self.parties then
    for arrived = 1, place - 1 do
      wake(self._waiters, arrived)
    end
    return place
  end
  local ok, arrived = park(self._waiters)
  if ok ~= true then
    interrupted(ok)
  elseif arrived == BROKEN then
    broken_error()
  end
  return arrived
end

---Breaks it: `barrier:wait` raises in all that wait and that come, until `barrier:reset`.
function Barrier:abort()
  self._broken = true
  while wake(self._waiters, BROKEN) do end
end

---Makes it whole again; `barrier:wait` raises in all that wait.
function Barrier:reset()
  while wake(self._waiters, BROKEN) do end
  self._broken = false
end

---The count of `parties`, of tasks `waiting`, and whether it is `broken`.
---@return {parties: integer, waiting: integer, broken: boolean}
function Barrier:statistics()
  return { parties = self.parties, waiting = self.n_waiting, broken = self.broken }
end

function Barrier.__index(self, key)
  if key == "n_waiting" then
    return core.waiting(self._waiters)
  elseif key == "broken" then
    return self._broken
  end
  return Barrier[key]
end

function Barrier:__tostring()
  return ("Barrier<%s %d/%d>"):format(self._broken and "broken" or "whole",
    self.n_waiting, self.parties)
end

---A barrier for `n` tasks.
---@param n integer 1 or more
---@return weft.Barrier
function M.barrier(n)
  return setmetatable({ parties = options.count(n, "the number of parties", 1),
    _broken = false, _waiters = core.waitlist() }, Barrier)
end

return M
