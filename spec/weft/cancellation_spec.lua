-- SPDX-License-Identifier: MIT
-- Cancellation, across all of weft: every wait of every primitive, cancelled before it, in it,
-- and in the turn in which it is woken; timed out; and in clean-up. After each, all that there
-- is to lose or to double is counted: permits, items, places, locks, waiters, tasks.

local weft = require "weft"
local core = require "weft.core"
local support = require "spec.support"
local testing = require "weft.testing"

local virtual, raises = support.virtual, support.raises
local spawn, parked = weft.create_task, testing.wait_all_parked

local function is_cancelled(fn, ...)
  local ok, e = pcall(fn, ...)
  return not ok and weft.is_error(e, "cancelled")
end

local function count(condition)
  return condition and 1 or 0
end

--- the waits ---------------------------------------------------------------------

-- name -> a function that makes a wait `w`:
--   w.wait()            waits, and returns true
--   w.wake()            gives it what it waits for, or, if nobody waits, whoever comes next;
--                       never suspends
--   w.check(got, woken, entered)
--                       when all is over: counts. got: w.wait returned; woken: w.wake was called;
--                       entered: it had to be broken off, if it did not return
--   w.needs_task        w.wake can be called in a task only
--   w.early             what a cancel in the turn of the wake, after it, comes to, if not "got"
--   w.late              the same for a cancel just before the wake, if not "cancelled"
--   w.is_once           a cancellation ends what it waits for: it cannot be waited for again
--   w.passes_on         its cancellation ends with that of another task, some turns later
local WAITS = {}

-- Waits for a future, by `how`. Cancelling the wait cancels it if `ends` is true.
local function on_future(how, ends, late)
  return function()
    local future = weft.create_future()
    return { is_once = ends, late = late,
      wait = function() return how(future) == "value" end,
      wake = function()
        if not future:done() then
          future:set_result("value")
        end
      end,
      check = function(got, woken, entered)
        if got then
          assert.equal("value", future:result())
        else
          assert.equal(woken or ends and entered, future:done())
        end
        future:cancel()
      end }
  end
end

local WAITS_IN_PEACE = { ["shield, of a future"] = true, ["timeout_at around shield"] = true }

WAITS["await, of a future"] = on_future(weft.await, true, "got")
WAITS["shield, of a future"] = on_future(weft.shield, false, "got")
WAITS["wait_for, of a future"] = on_future(function(x) return weft.wait_for(x, 1e3) end, true,
  "got")
WAITS["timeout around await"] = on_future(function(x) return weft.timeout(1e3, weft.await, x) end,
  true, "got")
WAITS["timeout_at around shield"] = on_future(function(x)
  return weft.timeout_at(1e9, weft.shield, x)
end, false, "got")
WAITS["gather"] = on_future(function(x) return weft.gather(x)[1] end, true)
WAITS["gather with return_exceptions"] = on_future(function(x)
  return weft.gather({ x, x }, { return_exceptions = true })[2]
end, true)
WAITS["wait"] = on_future(function(x) return weft.wait({ x })[1]:result() end, false)
WAITS["wait with a timeout"] = on_future(function(x)
  return weft.wait({ x }, { timeout = 1e3 })[1]:result()
end, false)
WAITS["wait, FIRST_COMPLETED"] = on_future(function(x)
  return weft.wait({ x }, { return_when = "FIRST_COMPLETED" })[1]:result()
end, false)
WAITS["wait, FIRST_EXCEPTION"] = on_future(function(x)
  return weft.wait({ x }, { return_when = "FIRST_EXCEPTION" })[1]:result()
end, false)
WAITS["as_completed's step"] = on_future(function(x)
  return weft.as_completed({ x })():result()
end, false)
WAITS["as_completed's step with a timeout"] = on_future(function(x)
  return weft.as_completed({ x }, { timeout = 1e3 })():result()
end, false)

-- Waits, by `how`, for tasks made of a function that waits for an event, and then cleans up.
local function on_tasks(how, fields)
  return function()
    local event, begun, ended = weft.event(), 0, 0
    local function child()
      begun = begun + 1
      weft.finally(function() event:wait() end, function()
        weft.sleep(0)
        ended = ended + 1
      end)
      return "value"
    end
    local w = { is_once = false, passes_on = true,
      wait = function() return how(child, event) == "value" end,
      wake = function() event:set() end,
      check = function(got, _, entered)
        if not entered then -- what was made beforehand has not been cancelled
          event:set()
          parked()
        end
        assert.equal(begun, ended)
        assert.is_true(begun >= count(got))
        assert.equal(0, event:statistics().waiting)
      end }
    for key, value in pairs(fields or {}) do
      w[key] = value
    end
    return w
  end
end

WAITS["await, of a function"] = on_tasks(weft.await)
WAITS["await, of a task"] = on_tasks(function(fn) return spawn(fn):await() end)
WAITS["await, of a task that awaits one"] = on_tasks(function(fn)
  return weft.await(function() return weft.await(fn) end)
end)
WAITS["wait_for, of a function"] = on_tasks(function(fn) return weft.wait_for(fn, 1e3) end)
WAITS["gather, of functions"] = on_tasks(function(fn) return weft.gather(fn, fn)[2] end,
  { early = "cancelled" })
WAITS["gather in gather"] = on_tasks(function(fn)
  return weft.gather(fn, function() return weft.gather(fn, fn)[2] end)[2]
end, { early = "cancelled" })
WAITS["task_group's end"] = on_tasks(function(fn)
  return weft.task_group(function(group)
    group:create_task(fn)
    group:create_task(fn)
    return "value"
  end)
end, { early = "cancelled" })
WAITS["task_group's function"] = on_tasks(function(fn, event)
  return weft.task_group(function(group)
    group:create_task(fn)
    event:wait()
    return "value"
  end)
end, { early = "cancelled" })
WAITS["map's step"] = on_tasks(function(fn)
  local m = weft.map({ 1, 2, 3, 4, 5 }, fn, { concurrency = 2 })
  local ok, _, value = pcall(m.next, m)
  m:close()
  return ok and value or error(_, 0)
end, { early = "cancelled" })
WAITS["map's step, unordered"] = on_tasks(function(fn)
  local m = weft.map({ 1, 2, 3, 4, 5 }, fn, { concurrency = 2, ordered = false })
  return m:collect()[5]
end, { early = "cancelled" })
WAITS["finally around a wait"] = on_tasks(function(fn)
  return weft.finally(function() return weft.await(fn) end, function() weft.sleep(1) end)
end)

-- Takes a permit, which is kept. `free` tells how many are left.
local function on_permit(acquire, release, free)
  return function()
    return { wait = acquire, wake = release, check = function(got, woken)
      assert.equal(count(woken), free() + count(got))
    end }
  end
end

WAITS["semaphore:acquire"] = function()
  local s = weft.semaphore(0)
  return on_permit(function() return s:acquire() end, function() s:release() end,
    function()
      assert.equal(0, s:statistics().waiting)
      return s:statistics().free
    end)()
end
WAITS["bounded_semaphore:acquire"] = function()
  local s = weft.bounded_semaphore(1)
  s:acquire()
  return on_permit(function() return s:acquire() end, function() s:release() end,
    function()
      assert.equal(0, s:statistics().waiting)
      return s:statistics().free
    end)()
end
WAITS["semaphore:with"] = function()
  local s = weft.semaphore(0)
  return { wait = function() return s:with(function() return true end) end,
    wake = function() s:release() end,
    check = function(_, woken)
      assert.same({ free = count(woken), waiting = 0 }, s:statistics())
    end }
end
WAITS["lock:acquire"] = function()
  local lock = weft.lock()
  lock:acquire()
  return { wait = function() return lock:acquire() end, wake = function() lock:release() end,
    check = function(got, woken)
      assert.same({ locked = got or not woken, waiting = 0 }, lock:statistics())
    end }
end
WAITS["lock:with"] = function()
  local lock = weft.lock()
  lock:acquire()
  return { wait = function() return lock:with(function() return true end) end,
    wake = function() lock:release() end,
    check = function(_, woken)
      assert.same({ locked = not woken, waiting = 0 }, lock:statistics())
    end }
end
WAITS["event:wait"] = function()
  local event = weft.event()
  return { wait = function() return event:wait() end, wake = function() event:set() end,
    check = function(_, woken)
      assert.same({ set = woken, waiting = 0 }, event:statistics())
    end }
end

-- Waits on a condition with its lock; whatever comes of it, the lock is held then.
local function on_condition(wait)
  return function()
    local lock = weft.lock()
    local condition, ready = weft.condition(lock), false
    return {
      wait = function()
        condition:acquire()
        return weft.finally(function() return wait(condition, function() return ready end) end,
          function()
            assert.is_true(condition:locked())
            condition:release()
          end)
      end,
      wake = function() -- the lock is free, or about to be
        ready = true
        if not condition:locked() then
          condition:with(condition.notify_all, condition)
        end
      end, needs_task = true,
      check = function()
        assert.same({ locked = false, waiting = 0 }, condition:statistics())
        assert.equal(0, lock:statistics().waiting)
      end }
  end
end

WAITS["condition:wait_for"] = on_condition(function(condition, predicate)
  return condition:wait_for(predicate)
end)
WAITS["condition:wait"] = on_condition(function(condition, predicate)
  return predicate() or condition:wait()
end)
WAITS["condition:acquire"] = function()
  local condition = weft.condition()
  condition:acquire()
  return { wait = function() return condition:acquire() end,
    wake = function() condition:release() end,
    check = function(got, woken)
      assert.same({ locked = got or not woken, waiting = 0 }, condition:statistics())
    end }
end
WAITS["barrier:wait"] = function()
  local barrier, came = weft.barrier(2), false
  return { wait = function() return came or barrier:wait() == 1 end,
    wake = function()
      came = true
      if barrier.n_waiting == 1 then
        assert.equal(2, barrier:wait())
      end
    end, needs_task = true,
    check = function()
      assert.same({ parties = 2, waiting = 0, broken = false }, barrier:statistics())
    end }
end

for _, kind in ipairs { "queue", "priority_queue", "lifo_queue" } do
  local function on_get(get)
    return function()
      local q = weft[kind](1)
      return { wait = function() return get(q) == 7 end, wake = function() q:put_nowait(7) end,
        check = function(got, woken)
          assert.same({ size = count(woken and not got), maxsize = 1, getters = 0, putters = 0,
            unfinished = count(woken) }, q:statistics())
          if q:empty() then
            q:put_nowait(1) -- the place is there
          end
          assert.is_true(q:full())
        end }
    end
  end
  WAITS[kind .. ":get"] = on_get(function(q) return q:get() end)
  WAITS[kind .. ":iter's step"] = on_get(function(q) return q:iter()() end)
  WAITS[kind .. ":put"] = function()
    local q = weft[kind](1)
    q:put_nowait(1)
    return {
      wait = function()
        q:put(2)
        return true
      end,
      wake = function() assert.equal(1, q:get_nowait()) end,
      check = function(got, woken)
        assert.same({ size = 1 - count(woken) + count(got), maxsize = 1, getters = 0, putters = 0,
          unfinished = 1 + count(got) }, q:statistics())
        assert.equal(not q:empty(), q:full()) -- no place is promised to nobody
        if got then
          assert.equal(2, q:get_nowait())
        end
      end }
  end
  WAITS[kind .. ":join"] = function()
    local q = weft[kind]()
    q:put_nowait(1)
    return {
      wait = function()
        q:join()
        return true
      end,
      wake = function() q:task_done() end,
      check = function(_, woken)
        assert.equal(count(not woken), q:statistics().unfinished)
        assert.equal(0, core.waiting(q._joiners))
      end }
  end
end

WAITS["testing.sequencer"] = function()
  local sequence, waiting = testing.sequencer(), 0
  local n = 1
  return { wait = function()
      waiting, n = waiting + 1, n + 1
      local mine = n
      return weft.finally(function() return sequence(mine, function() return true end) end,
        function() waiting = waiting - 1 end)
    end,
    wake = function() sequence(1) end, is_once = true, needs_task = true,
    check = function() assert.equal(0, waiting) end }
end

--- what holds for all of them ------------------------------------------------------

-- A task that waits, its outcome, and what it meets at its next wait.
local function victim_of(w)
  local victim = {}
  victim.task = spawn(function()
    victim.began = true
    local ok, e = pcall(w.wait)
    victim.got = ok
    if ok then
      assert.is_true(e)
    else
      assert(weft.is_error(e, "cancelled"), e)
      victim.message = e.message
    end
    victim.later = is_cancelled(weft.sleep, 0)
  end)
  return victim
end

local function outcome(victim)
  weft.wait({ victim.task })
  if not victim.task:cancelled() then
    assert.is_nil(victim.task:exception())
  end
  return victim.got and "got" or "cancelled"
end

-- All that may still be under way has ended then.
local function over(w, got, woken, entered)
  weft.sleep(5)
  parked()
  w.check(got, woken, entered ~= false)
end

local CHECKS = {}
local CHECKS_AT_ENTRY = {} -- not of those that wait in peace in a cancelled task

CHECKS["cancelled before its task begins: nothing happens"] = function(w)
  local victim = victim_of(w)
  assert.is_true(victim.task:cancel())
  weft.wait({ victim.task })
  assert.is_true(victim.task:cancelled())
  assert.is_nil(victim.began)
  over(w, false, false, false)
end

CHECKS_AT_ENTRY["in a task that is cancelled already: raises, and takes nothing, again and again"] =
  function(w)
    local broken = 0
    spawn(function()
      weft.current_task():cancel()
      for _ = 1, 3 do
        broken = broken + count(is_cancelled(w.wait))
      end
    end):await()
    assert.equal(3, broken)
    over(w, false, false, false)
  end

CHECKS["cancelled while it waits: raises with the message, and each later wait does"] = function(w)
  local victim = victim_of(w)
  parked()
  victim.task:cancel("enough")
  assert.equal("cancelled", outcome(victim))
  assert.same({ "enough", true }, { victim.message, victim.later })
  over(w, false, false)
end

CHECKS["cancelled twice while it waits: raises once it can"] = function(w)
  local victim = victim_of(w)
  parked()
  victim.task:cancel()
  victim.task:cancel("enough")
  assert.equal(2, victim.task:cancelling())
  assert.equal("cancelled", outcome(victim))
  assert.is_true(victim.later)
  over(w, false, false)
end

CHECKS["cancelled, and taken back by uncancel: can wait again"] = function(w)
  local again
  local task = spawn(function()
    assert.is_true(is_cancelled(w.wait))
    assert.equal(0, weft.current_task():uncancel())
    again = w.is_once or w.wait()
  end)
  parked()
  task:cancel()
  parked()
  w.wake()
  task:await()
  assert.is_true(again)
  over(w, not w.is_once, true)
end

CHECKS["woken and then cancelled in the same turn: returns, and the next wait raises"] = function(w)
  local victim = victim_of(w)
  parked()
  w.wake()
  victim.task:cancel()
  assert.equal(w.early or "got", outcome(victim))
  assert.is_true(victim.later)
  over(w, victim.got, true)
end

CHECKS["cancelled and then woken in the same turn: raises, and nothing is lost"] = function(w)
  local victim = victim_of(w)
  parked()
  victim.task:cancel()
  w.wake()
  assert.equal(w.late or "cancelled", outcome(victim))
  assert.is_true(victim.later)
  over(w, victim.got, true)
end

CHECKS["timed out while it waits: a timeout, and nothing is lost"] = function(w)
  local loop = weft.get_running_loop()
  local start = loop:time()
  raises("timeout", weft.timeout, 2, w.wait)
  assert.is_true(loop:time() - start >= 2 and loop:time() - start < 4)
  over(w, false, false)
  weft.sleep(0) -- the task is not cancelled
end

CHECKS_AT_ENTRY["with no time at all: a timeout, and nothing is lost"] = function(w)
  raises("timeout", weft.timeout, 0, w.wait)
  over(w, false, false, false)
end

CHECKS["in a generator, cancelled: raises through it, and nothing is lost"] = function(w)
  local through
  local task = spawn(function()
    local step = coroutine.wrap(function()
      coroutine.yield("first")
      coroutine.yield(w.wait())
    end)
    assert.equal("first", step())
    through = is_cancelled(step)
    weft.sleep(0)
  end)
  parked()
  task:cancel()
  weft.wait({ task })
  assert.same({ true, true }, { through, task:cancelled() })
  over(w, false, false)
end

CHECKS["in the clean-up of a cancelled task: waits in peace, whatever cancels come"] = function(w)
  local result
  local task = spawn(weft.finally, function() weft.sleep(1e3) end, function()
    result = w.wait()
  end)
  parked()
  for _ = 1, 3 do
    task:cancel()
    parked()
    assert.is_nil(result)
  end
  w.wake()
  raises("cancelled", task.await, task)
  assert.is_true(result)
  over(w, true, true)
end

-- These make a wait for each of their runs.
local SERIES = {}

SERIES["cancelled and woken in each pair of turns: got or cancelled, nothing lost"] =
  function(make)
    for cancel_at = 0, 5 do
      for wake_at = 0, 5 do
        for _, first in ipairs { "cancel", "wake" } do
          local w = make()
          local victim = victim_of(w)
          for turn = 0, 5 do
            if turn == wake_at and first == "wake" then w.wake() end
            if turn == cancel_at then victim.task:cancel() end
            if turn == wake_at and first == "cancel" then w.wake() end
            weft.sleep(0)
          end
          local what = outcome(victim)
          assert(victim.later ~= false or what == "got", "a cancellation was lost")
          over(w, what == "got", true)
        end
      end
    end
  end

SERIES["timed out and woken at the same time, in each order: nothing lost"] = function(make)
  for _, first in ipairs { "limit", "wake" } do
    for _, by in ipairs { "timeout", "wait_for" } do
      local w, loop, task = make(), weft.get_running_loop(), nil
      local function begin()
        task = spawn(function()
          if by == "timeout" then
            return weft.timeout(2, w.wait)
          end
          return weft.wait_for(w.wait, 2)
        end)
        parked()
      end
      if first == "limit" then
        begin()
      end
      loop:call_later(2, function()
        if w.needs_task then
          spawn(w.wake)
        else
          w.wake()
        end
      end)
      if first == "wake" then
        begin()
      end
      local ok, e = pcall(task.await, task)
      assert(ok or weft.is_error(e, "timeout"), e)
      over(w, ok, true)
    end
  end
end

SERIES["cancelled by testing.cancel_everywhere: nothing lost, nothing left"] = function(make)
  local w, got, woken
  local function fn()
    w, got, woken = make(), false, false
    local waker = spawn(function()
      weft.sleep(2)
      woken = true
      w.wake()
    end)
    weft.finally(function() got = w.wait() end, function() weft.await(waker) end)
  end
  local function check()
    over(w, got, woken)
  end
  -- outside of the spec's own run: it makes runs
  return function()
    assert.is_true(testing.cancel_everywhere(fn, check) >= 1)
    assert.is_true(testing.cancel_everywhere(fn) >= 1)
  end
end

local function sorted(set)
  local names = {}
  for name in pairs(set) do
    names[#names + 1] = name
  end
  table.sort(names)
  return names
end

for _, name in ipairs(sorted(WAITS)) do
  describe(name, function()
    for _, check in ipairs(sorted(CHECKS)) do
      it(check, virtual(function() CHECKS[check](WAITS[name]()) end))
    end
    for _, check in ipairs(WAITS_IN_PEACE[name] and {} or sorted(CHECKS_AT_ENTRY)) do
      it(check, virtual(function() CHECKS_AT_ENTRY[check](WAITS[name]()) end))
    end
    for _, series in ipairs(sorted(SERIES)) do
      if series:find("cancel_everywhere", 1, true) then
        it(series, support.outside(SERIES[series](WAITS[name])))
      else
        it(series, virtual(function() SERIES[series](WAITS[name]) end))
      end
    end
  end)
end

--- sleep, which nobody can wake -----------------------------------------------------

describe("sleep", function()
  local function now()
    return weft.get_running_loop():time()
  end

  for _, seconds in ipairs { 0, 0.5, 1e6 } do
    it(("of %g s in a cancelled task raises at once, again and again"):format(seconds), virtual(
      function()
        local start, broken = now(), 0
        spawn(function()
          weft.current_task():cancel()
          for _ = 1, 3 do
            broken = broken + count(is_cancelled(weft.sleep, seconds, "value"))
          end
        end):await()
        assert.equal(3, broken)
        assert.near(start, now(), 1e-6)
      end))
  end

  it("is broken off at once, and its timer is gone", virtual(function()
    local timers, start = weft.statistics().timers, now()
    local task = spawn(weft.sleep, 1e6)
    parked()
    assert.equal(timers + 1, weft.statistics().timers)
    task:cancel()
    raises("cancelled", task.await, task)
    assert.equal(timers, weft.statistics().timers)
    assert.near(start, now(), 1e-6)
  end))

  it("that has ended in the turn of the cancel returns, and the next wait raises", virtual(
    function()
      for _, first in ipairs { "sleep", "cancel" } do
        local task, woken, later
        local function begin()
          task = spawn(function()
            woken = pcall(weft.sleep, 1)
            later = is_cancelled(weft.sleep, 0)
          end)
          parked()
        end
        if first == "sleep" then
          begin()
        end
        -- a callback runs after the timers of its time have woken their tasks
        weft.get_running_loop():call_later(1, function()
          if not task:done() then
            task:cancel()
          end
        end)
        if first == "cancel" then
          begin()
        end
        task:await()
        assert.is_true(woken)
        assert.equal(first == "cancel", later) -- else it had run on before
      end
    end))

  it("of 0 s that was cancelled meanwhile returns, and the next wait raises", virtual(function()
    local log = {}
    local task = spawn(function()
      log[1] = pcall(weft.sleep, 0)
      log[2] = is_cancelled(weft.yield)
    end)
    weft.sleep(0)
    task:cancel()
    task:await()
    assert.same({ true, true }, log)
  end))

  it("cancelled everywhere leaves nothing", support.outside(function()
    assert.equal(3, testing.cancel_everywhere(function()
      weft.sleep(1)
      weft.sleep(0)
      weft.yield()
    end))
  end))
end)

--- many waits at once -----------------------------------------------------------------

describe("a program of all sorts of waits", function()
  -- Producers put jobs, workers get them, call `map` and `gather` with a permit, and put
  -- results under a condition. A cancelled task loses its own job at most.
  local function program(state)
    local jobs, permits = weft.queue(2), weft.semaphore(2)
    local condition, results = weft.condition(), 0
    state.permits, state.condition, state.jobs = permits, condition, jobs
    state.taken, state.begun, state.ended = 0, 0, 0
    local function call()
      state.begun = state.begun + 1
      weft.finally(function() weft.sleep(1) end, function()
        weft.sleep(0)
        state.ended = state.ended + 1
      end)
      return 1
    end
    local function work(job)
      permits:with(function()
        local m = weft.map({ job, job }, call, { concurrency = 2 })
        local sum = 0
        for _, value in m do
          sum = sum + value
        end
        sum = sum + weft.gather(call, call).n
        condition:with(function()
          results = results + sum
          condition:notify_all()
        end)
      end)
    end
    weft.task_group(function(group)
      group:create_task(weft.finally, function()
        for job = 1, 4 do
          jobs:put(job)
        end
      end, function() jobs:shutdown() end)
      for _ = 1, 2 do
        group:create_task(function()
          for job in jobs:iter() do
            state.taken = state.taken + 1
            weft.finally(function() weft.timeout(100, work, job) end,
              function() jobs:task_done() end)
          end
        end)
      end
      weft.try(weft.timeout, 50, function()
        condition:with(function() condition:wait_for(function() return results == 16 end) end)
      end)
      group:create_task(weft.try, weft.timeout, 50, jobs.join, jobs)
    end)
  end

  local function check(state)
    weft.sleep(200)
    assert.equal(state.begun, state.ended)
    assert.same({ free = 2, waiting = 0 }, state.permits:statistics())
    assert.same({ locked = false, waiting = 0 }, state.condition:statistics())
    local jobs = state.jobs:statistics()
    assert.same({ 0, 0 }, { jobs.getters, jobs.putters })
    assert.equal(jobs.size, jobs.unfinished)
  end

  it("loses nothing when its task is cancelled at any wait", support.outside(function()
    local state = {}
    assert.is_true(testing.cancel_everywhere(function() program(state) end,
      function() check(state) end) >= 2)
  end))

  it("loses nothing when any of its tasks is cancelled at any wait", support.outside(function()
    local state = {}
    assert.is_true(testing.cancel_everywhere(function() program(state) end,
      function() check(state) end, { every_task = true }) >= 30)
  end))

  it("loses nothing whenever its time runs out", function()
    for tenths = 0, 60, 3 do
      local state = {}
      testing.virtual_clock(testing.leaks, function()
        local ok, e = weft.try(weft.timeout, tenths / 10, program, state)
        assert(ok or weft.is_error(e, "timeout"), e)
        if state.jobs then
          check(state)
        end
      end)
    end
  end)
end)

--- trees of tasks, made at random ---------------------------------------------------

describe("a random tree of tasks", function()
  local EXPECTED = { cancelled = true, timeout = true, group = true, raised = true }

  -- A tree of gathers, groups, maps, … over leaves that sleep, fail, or hold a permit; any of
  -- its tasks may be cancelled at any time. Returns what runs it, and what counts afterwards.
  local function tree(random)
    local t = { begun = 0, ended = 0, stragglers = 0, kinds = {}, permits = weft.semaphore(3),
      tasks = {} }
    local node

    local function children(depth)
      local list = {}
      for i = 1, random(1, 3) do
        list[i] = node(depth - 1)
      end
      return list
    end

    -- Calls use(list), which must not end before each of the list that it began.
    local function bounded(list, use)
      local open = 0
      for i, child in ipairs(list) do
        list[i] = function()
          open = open + 1
          local ok, e = pcall(child)
          open = open - 1
          if not ok then
            error(e, 0)
          end
        end
      end
      local ok, e = pcall(use, list)
      t.stragglers = t.stragglers + open
      if not ok then
        error(e, 0)
      end
    end

    local KINDS = {
      function() weft.sleep(random(0, 4)) end,
      function() t.permits:with(weft.sleep, random(0, 4)) end,
      function()
        weft.sleep(random(0, 6))
        error("leaf", 0)
      end,
      function(depth) weft.gather(children(depth)) end,
      function(depth)
        bounded(children(depth), function(list)
          weft.gather(list, { return_exceptions = true })
        end)
      end,
      function(depth)
        bounded(children(depth), function(list)
          weft.task_group(function(group)
            for _, child in ipairs(list) do
              group:create_task(child)
            end
            weft.sleep(random(0, 2))
          end)
        end)
      end,
      function(depth)
        bounded(children(depth), function(list)
          weft.map(list, function(child) child() end,
            { concurrency = 2, ordered = random(0, 1) == 1 }):collect()
        end)
      end,
      function(depth)
        local _, pending = weft.wait(children(depth), { timeout = random(0, 5) })
        for _, task in ipairs(pending) do
          task:cancel()
        end
      end,
      function(depth)
        for task in weft.as_completed(children(depth), { timeout = random(1, 9) }) do
          weft.try(task.await, task)
        end
      end,
      function(depth) weft.wait_for(node(depth - 1), random(0, 6)) end,
      function(depth) weft.timeout(random(0, 6), node(depth - 1)) end,
      function(depth) weft.shield(node(depth - 1)) end,
      function(depth) weft.await(node(depth - 1)) end,
      function(depth) weft.finally(node(depth - 1), node(0)) end,
      function(depth) coroutine.wrap(node(depth - 1))() end,
    }

    function node(depth)
      local kind = depth > 0 and random(1, #KINDS) or random(1, 3)
      return function()
        t.begun, t.kinds[kind] = t.begun + 1, true
        t.tasks[#t.tasks + 1] = weft.current_task()
        local cleanup = random(0, 2)
        weft.finally(function() KINDS[kind](depth) end, function()
          if cleanup > 0 then
            weft.sleep(cleanup)
          end
          t.ended = t.ended + 1
        end)
      end
    end

    t.root = node(4)
    return t
  end

  local function grow(random)
    local loop = weft.get_running_loop()
    loop:set_exception_handler(function() end) -- errors that a gather leaves behind, say
    local t = tree(random)
    local root = spawn(t.root)
    for _ = 1, random(0, 3) do
      loop:call_later(random(0, 12), function()
        if #t.tasks > 0 then
          t.tasks[random(1, #t.tasks)]:cancel()
        end
      end)
    end
    local ok, e = pcall(root.await, root)
    assert(ok or e == "leaf" or EXPECTED[e.kind], e)
    weft.sleep(1000) -- what was shielded, or left behind by a gather, has ended then
    assert.equal(t.begun, t.ended)
    assert.equal(0, t.stragglers)
    assert.same({ free = 3, waiting = 0 }, t.permits:statistics())
    assert.equal(0, weft.statistics().timers)
    return t
  end

  it("ends all that it has begun, and leaves nothing", support.outside(function()
    local begun, kinds = 0, 0
    local seen = {}
    for seed = 1, support.rounds(600) do
      local random = require("spec.waits").random(seed * 7919)
      for _ = 1, 5 do
        random(1, 2)
      end
      local t
      testing.virtual_clock(testing.leaks, function()
        t = grow(random)
      end)
      begun = begun + t.begun
      for kind in pairs(t.kinds) do
        kinds = kinds + (seen[kind] and 0 or 1)
        seen[kind] = true
      end
    end
    assert.is_true(begun > support.rounds(600) * 3, begun)
    assert.equal(15, kinds)
  end))
end)

--- the tool itself ---------------------------------------------------------------------

describe("testing.cancel_everywhere", function()
  local function finds(text, ...)
    local e = raises({ "state", "leak" }, testing.cancel_everywhere, ...)
    assert.equal(text, e.message)
  end

  it("counts the waits of a function that is in order", support.outside(function()
    assert.equal(0, testing.cancel_everywhere(function() end))
    assert.equal(2, testing.cancel_everywhere(function()
      weft.sleep(1)
      weft.await(function() weft.sleep(1) end)
    end))
    assert.equal(3, testing.cancel_everywhere(function()
      weft.sleep(1)
      weft.await(function() weft.sleep(1) end)
    end, nil, { every_task = true }))
  end))

  it("finds a permit that is not given back, and at which wait", support.outside(function()
    local semaphore
    finds("cancelled at wait 2: 0 free\ncancelled at wait 3: 0 free", function()
      semaphore = weft.semaphore(1)
      weft.sleep(1)
      semaphore:acquire()
      weft.sleep(1)
      weft.sleep(1)
      semaphore:release()
      weft.sleep(1)
    end, function()
      local free = semaphore:statistics().free
      if free ~= 1 then
        error(free .. " free", 0)
      end
    end)
  end))

  it("finds an item that is lost", support.outside(function()
    local q, handled
    finds("cancelled at wait 2: lost", function()
      q, handled = weft.queue(), 0
      weft.get_running_loop():call_later(1, q.put_nowait, q, 1)
      q:get()
      weft.sleep(1)
      handled = 1
    end, function()
      weft.sleep(5)
      if q:qsize() + handled ~= 1 then
        error("lost", 0)
      end
    end)
  end))

  it("finds a task that is left behind", support.outside(function()
    local e = raises({ "state", "leak" }, testing.cancel_everywhere, function()
      local task = spawn(function() weft.sleep(10) end)
      weft.sleep(1)
      task:cancel()
    end)
    assert.matches("^cancelled at wait 1: a task has not ended: Task<pending name=Task%-%d+ at "
      .. ".*cancellation_spec.lua:%d+>$", e.message)
  end))

  it("finds a task that hangs", support.outside(function()
    local e = raises({ "state", "leak" }, testing.cancel_everywhere, function()
      pcall(weft.sleep, 1)
      if is_cancelled(weft.sleep, 1) then
        weft.shield(weft.create_future())
      end
    end)
    assert.matches("^cancelled at wait 1: state: deadlock: ", e.message)
    assert.matches("\ncancelled at wait 2: state: deadlock: ", e.message)
  end))

  it("finds an error in the place of the cancellation", support.outside(function()
    finds("cancelled at wait 1: it raised late", function()
      if not pcall(weft.sleep, 1) then
        error("late", 0)
      end
      weft.sleep(1)
    end)
  end))

  it("finds a leak that only the cancellation of another task makes", support.outside(function()
    local lock
    local function fn()
      lock = weft.lock()
      weft.task_group(function(group)
        group:create_task(function()
          lock:acquire()
          weft.sleep(1)
          lock:release()
        end)
      end)
    end
    local function check()
      assert(not lock:locked(), "the lock is held")
    end
    raises({ "state", "leak" }, testing.cancel_everywhere, fn, check)
    local e = raises({ "state", "leak" }, testing.cancel_everywhere, fn, check,
      { every_task = true })
    assert.matches("cancelled at wait 2: .*the lock is held", e.message)
  end))

  it("finds what each of these loses: the same, written right, is in order", support.outside(
    function()
      local lock, q
      assert.equal(1, testing.cancel_everywhere(function()
        lock = weft.lock()
        lock:with(weft.sleep, 1)
      end, function() assert(not lock:locked()) end))
      assert.equal(2, testing.cancel_everywhere(function()
        q = weft.queue()
        weft.get_running_loop():call_later(1, q.put_nowait, q, 1)
        local item = q:get()
        weft.finally(function() weft.sleep(1) end, function() q:put_nowait(item) end)
      end, function()
        weft.sleep(5)
        assert.equal(1, q:qsize())
      end))
    end))

  it("refuses what is no function, and options that it does not know", support.outside(function()
    raises("type", testing.cancel_everywhere)
    raises({ "type", "unknown_option" }, testing.cancel_everywhere, print, nil, { all = true })
  end))
end)
