-- SPDX-License-Identifier: MIT
-- weft.sync: semaphore, lock, event, condition, barrier: fairness, misuse, and that no permit,
-- notification or waiter is lost.

local weft = require "weft"
local support = require "spec.support"
local testing = require "weft.testing"
local waits = require "spec.waits"

local virtual, raises = support.virtual, support.raises
local spawn, parked = weft.create_task, testing.wait_all_parked

-- Starts `count` tasks that do fn(i), one after the other, and waits until they are parked.
local function start(count, fn)
  local tasks = {}
  for i = 1, count do
    tasks[i] = spawn(fn, i)
    weft.sleep(0)
  end
  parked()
  return tasks
end

local function ended(tasks)
  weft.gather(tasks, { return_exceptions = true })
end

-- The name of each and how it is made, for what all that can be held have in common.
local HELD = {
  { "semaphore", function() return weft.semaphore(1) end },
  { "bounded_semaphore", function() return weft.bounded_semaphore(1) end },
  { "lock", function() return weft.lock() end },
  { "condition", function() return weft.condition() end },
}

local function each_held(name, fn)
  for _, held in ipairs(HELD) do
    it(held[1] .. ": " .. name, virtual(function() fn(held[2]()) end))
  end
end

describe("weft.sync: every wait:", function()
  waits.check(it, {
    { name = "semaphore:acquire", parked = "acquire", make = function()
      local s = weft.semaphore(0)
      local function release() s:release() end
      return { result = true, wait = function() return (s:acquire()) end, wake = release,
        ready = release, waiting = function() return s:statistics().waiting end,
        state = function() return tostring(s) end }
    end },
    { name = "bounded_semaphore:acquire", parked = "acquire", make = function()
      local s = weft.bounded_semaphore(1)
      s:acquire()
      local function release() s:release() end
      return { result = true, wait = function() return (s:acquire()) end, wake = release,
        ready = release, waiting = function() return s:statistics().waiting end,
        state = function() return tostring(s) end }
    end },
    { name = "semaphore:with", parked = "%a+", make = function()
      local s = weft.semaphore(0)
      local function release() s:release() end
      return { result = "result", wake = release, ready = release,
        wait = function() return s:with(function() return "result" end) end,
        waiting = function() return s:statistics().waiting end,
        state = function() return tostring(s) end }
    end },
    { name = "lock:acquire", parked = "acquire", make = function()
      local lock = weft.lock()
      lock:acquire()
      local function release() lock:release() end
      return { result = true, wait = function() return (lock:acquire()) end, wake = release,
        ready = release, waiting = function() return lock:statistics().waiting end,
        state = function() return tostring(lock) end }
    end },
    { name = "event:wait", parked = "wait", make = function()
      local event = weft.event()
      local function set() event:set() end
      return { result = true, wait = function() return (event:wait()) end, wake = set,
        ready = set, waiting = function() return event:statistics().waiting end,
        state = function() return tostring(event) end }
    end },
    { name = "condition:acquire", parked = "acquire", make = function()
      local c = weft.condition()
      c:acquire()
      local function release() c:release() end
      return { result = true, wait = function() return (c:acquire()) end, wake = release,
        ready = release, state = function() return tostring(c) end,
        waiting = function() return tonumber(tostring(c._lock):match("waiting=(%d+)")) end }
    end },
    { name = "condition:wait", parked = "wait", make = function()
      local c = weft.condition()
      local function call() return (c:wait()) end
      return { result = true, wait = function() return c:with(call) end, call = call,
        hold = function() c:acquire() end,
        wake = function() c:with(c.notify, c) end,
        waiting = function() return c:statistics().waiting end,
        state = function() return tostring(c) end }
    end },
    { name = "condition:wait_for", parked = "wait_for", make = function()
      local c, answer = weft.condition(), nil
      local function predicate() return answer end
      local function call() return (c:wait_for(predicate)) end
      return { result = "yes", wait = function() return c:with(call) end, call = call,
        hold = function() c:acquire() end,
        ready = function() answer = "yes" end,
        wake = function()
          answer = "yes"
          c:with(c.notify, c)
        end,
        waiting = function() return c:statistics().waiting end,
        state = function() return tostring(c) end }
    end },
    { name = "barrier:wait", parked = "wait", make = function()
      local b = weft.barrier(4)
      local w = { result = 1, wait = function() return (b:wait()) end,
        waiting = function() return b.n_waiting end, state = function() return tostring(b) end,
        tidy = function() b:abort() end }
      local function others() -- so many come that one is missing
        for _ = b.n_waiting + 1, 3 do
          weft.create_task(function() pcall(b.wait, b) end)
        end
        weft.sleep(0)
      end
      function w.ready()
        others()
        w.result = 4
      end
      function w.wake()
        others()
        b:wait()
      end
      return w
    end },
  })
end)

describe("weft.sync: what can be held", function()
  each_held("those that wait get it first come, first served", function(held)
    held:acquire()
    local order = {}
    local tasks = start(6, function(i)
      held:acquire()
      order[#order + 1] = i
      weft.sleep(1)
      held:release()
    end)
    tasks[2]:cancel()
    tasks[5]:cancel()
    held:release()
    ended(tasks)
    assert.same({ 1, 3, 4, 6 }, order)
    assert.is_false(held:locked())
  end)

  each_held("who releases it cannot have it again before those that wait", function(held)
    held:acquire()
    local order = {}
    local task = spawn(function()
      held:acquire()
      order[1] = "waiter"
      held:release()
    end)
    parked()
    held:release()
    assert.is_true(held:locked())
    held:acquire()
    order[#order + 1] = "releaser"
    held:release()
    task:await()
    assert.same({ "waiter", "releaser" }, order)
  end)

  each_held("one release lets one in", function(held)
    held:acquire()
    local inside = 0
    local tasks = start(5, function()
      held:acquire()
      inside = inside + 1
    end)
    for released = 1, 5 do
      held:release()
      parked()
      assert.equal(released, inside)
    end
    ended(tasks)
    assert.is_true(held:locked())
  end)

  each_held("it is not held twice by the same task: that waits for ever", function(held)
    held:acquire()
    raises("timeout", weft.timeout, 1e6, held.acquire, held)
  end)

  each_held("any task, and a callback, may release it", function(held)
    held:acquire()
    weft.get_running_loop():call_later(5, held.release, held)
    spawn(function() held:acquire() end):await()
    held:release()
    assert.is_false(held:locked())
  end)

  each_held("with passes arguments and all results on, nils too", function(held)
    local function same(...)
      return select("#", held:with(...)), held:with(...)
    end
    local function pass(...)
      assert.is_true(held:locked())
      return ...
    end
    local n, a, b, c, d = same(pass, 1, nil, 3, nil)
    assert.same({ 4, 1, nil, 3, nil }, { n, a, b, c, d })
    assert.equal(0, (same(pass)))
    assert.is_false(held:locked())
  end)

  each_held("with calls whatever can be called", function(held)
    local callable = setmetatable({}, { __call = function(_, a) return a + 1 end })
    assert.equal(2, held:with(callable, 1))
  end)

  each_held("with gives back when the function raises, and raises the same", function(held)
    local object = setmetatable({}, {})
    for _, value in ipairs { "text", object, 7, false } do
      assert.equal(value, support.error_of(held.with, held, error, value, 0))
      assert.is_false(held:locked())
    end
  end)

  each_held("with keeps where the function failed", function(held)
    local function fails() error("here") end
    local task = spawn(function()
      held:with(function()
        fails()
        return true
      end)
    end)
    support.error_of(task.await, task)
    assert.matches("'fails'", task:traceback())
  end)

  each_held("with gives back when it is cancelled, and when time runs out", function(held)
    local task = spawn(function() held:with(weft.sleep, 10) end)
    parked()
    assert.is_true(held:locked())
    task:cancel()
    raises("cancelled", task.await, task)
    assert.is_false(held:locked())
    raises("timeout", weft.timeout, 1, held.with, held, weft.sleep, 10)
    assert.is_false(held:locked())
  end)

  each_held("with gives back what it got while it was being cancelled", function(held)
    held:acquire()
    local calls = 0
    local tasks = start(3, function()
      held:with(function()
        calls = calls + 1
        weft.sleep(0)
      end)
    end)
    held:release()
    tasks[1]:cancel() -- it has it already: the function is called, and its wait raises
    raises("cancelled", tasks[1].await, tasks[1])
    ended(tasks)
    assert.equal(3, calls)
    assert.is_false(held:locked())
  end)

  each_held("with refuses what cannot be called, and takes nothing", function(held)
    for _, bad in ipairs { 1, "f", {}, true } do
      raises("type", held.with, held, bad)
      assert.is_false(held:locked())
    end
    raises("type", held.with, held)
  end)

  each_held("it may be nested with others", function(held)
    local other = weft.lock()
    assert.equal("deep", held:with(other.with, other, function() return "deep" end))
    assert.is_false(held:locked() or other:locked())
  end)
end)

describe("weft.semaphore", function()
  it("has one permit unless told otherwise", virtual(function()
    assert.equal(1, weft.semaphore():statistics().free)
    assert.equal(1, weft.bounded_semaphore():statistics().free)
  end))

  it("gives its permits at once and then makes wait", virtual(function()
    local s = weft.semaphore(3)
    local tasks = start(5, function() return s:acquire() end)
    assert.same({ free = 0, waiting = 2 }, s:statistics())
    assert.is_true(tasks[3]:done())
    assert.is_false(tasks[4]:done())
    s:release()
    s:release()
    ended(tasks)
    assert.same({ free = 0, waiting = 0 }, s:statistics())
  end))

  it("lets no more in than it has permits, and as many", virtual(function()
    local s, inside, most = weft.semaphore(3), 0, 0
    ended(start(20, function(i)
      s:with(function()
        inside = inside + 1
        most = math.max(most, inside)
        weft.sleep(i % 4)
        inside = inside - 1
      end)
    end))
    assert.equal(3, most)
    assert.equal(3, s:statistics().free)
  end))

  it("grows when it is released more often than acquired", virtual(function()
    local s = weft.semaphore(0)
    s:release()
    s:release()
    assert.same({ free = 2, waiting = 0 }, s:statistics())
    assert.is_true(s:acquire())
    assert.is_false(s:locked())
  end))

  it("that is bounded refuses a release too many and is as it was", virtual(function()
    local s = weft.bounded_semaphore(2)
    raises({ "state", "over_release" }, s.release, s)
    s:acquire()
    s:release()
    raises({ "state", "over_release" }, s.release, s)
    assert.equal(2, s:statistics().free)
    s:acquire()
    s:acquire()
    local task = start(1, function() s:acquire() end)[1]
    s:release()
    task:await()
    s:release()
    s:release()
    raises({ "state", "over_release" }, s.release, s)
  end))

  it("may be made and released outside of a loop", function()
    local s = weft.semaphore(0)
    s:release()
    weft.run(s.acquire, s)
    assert.is_true(s:locked())
  end)

  for _, make in ipairs { "semaphore", "bounded_semaphore" } do
    for _, bad in ipairs { -1, 0.5, 0 / 0, "1", true, {} } do
      it(("refuses weft.%s(%s)"):format(make, tostring(bad)), function()
        raises("type", weft[make], bad)
      end)
    end
  end

  waits.cancelled_everywhere(it, "a semaphore of two", function(each)
    local s, inside = weft.semaphore(2), 0
    for i = 1, 4 do
      each(function()
        s:with(function()
          inside = inside + 1
          assert(inside <= 2)
          weft.finally(function()
            weft.sleep(0)
            weft.sleep(i)
          end, function() inside = inside - 1 end)
        end)
      end)
    end
    return function()
      assert.same({ free = 2, waiting = 0 }, s:statistics())
      assert.equal(0, inside)
    end
  end)

  waits.soak(it, "a semaphore of five", function()
    local s, inside, most = weft.bounded_semaphore(5), 0, 0
    return function(_, random, unit)
      s:with(function()
        inside = inside + 1
        most = math.max(most, inside)
        weft.finally(function() weft.sleep(random(-1, 1) * unit) end,
          function() inside = inside - 1 end)
      end)
    end, function()
      assert.same({ free = 5, waiting = 0 }, s:statistics())
      assert.same({ 0, 5 }, { inside, most })
    end
  end)

  waits.soak(it, "a semaphore that is acquired and released by hand", function()
    local s = weft.semaphore(2)
    return function(_, random, unit)
      local took = s:acquire() -- took effect or raised, never both
      assert(took == true)
      weft.finally(function() weft.sleep(random(-1, 1) * unit) end, function() s:release() end)
    end, function()
      assert.same({ free = 2, waiting = 0 }, s:statistics())
    end
  end)
end)

describe("weft.lock", function()
  it("refuses to be released when it is free", virtual(function()
    local lock = weft.lock()
    raises({ "state", "over_release" }, lock.release, lock)
    lock:acquire()
    lock:release()
    raises({ "state", "over_release" }, lock.release, lock)
    assert.is_false(lock:locked())
    assert.is_true(lock:acquire())
  end))

  it("stays locked while it passes from one to the next", virtual(function()
    local lock = weft.lock()
    lock:acquire()
    local task = start(1, function() lock:acquire() end)[1]
    lock:release()
    assert.is_true(lock:locked())
    task:await()
    assert.is_true(lock:locked())
    lock:release()
    assert.is_false(lock:locked())
  end))

  waits.cancelled_everywhere(it, "a lock", function(each)
    local lock, inside = weft.lock(), 0
    for i = 1, 4 do
      each(function()
        lock:with(function()
          inside = inside + 1
          assert(inside == 1)
          weft.finally(function() weft.sleep(i % 2) end, function() inside = inside - 1 end)
        end)
      end)
    end
    return function()
      assert.same({ locked = false, waiting = 0 }, lock:statistics())
      assert.equal(0, inside)
    end
  end)

  waits.soak(it, "a lock", function()
    local lock, inside, times = weft.lock(), 0, 0
    return function(_, random, unit)
      lock:with(function()
        assert(inside == 0)
        inside, times = 1, times + 1
        weft.finally(function() weft.sleep(random(-6, 1) * unit) end,
          function() inside = 0 end)
      end)
    end, function()
      assert.same({ locked = false, waiting = 0 }, lock:statistics())
      assert(times > 50, times)
    end
  end)
end)

describe("weft.event", function()
  it("wakes all that wait, in order", virtual(function()
    local event, order = weft.event(), {}
    local tasks = start(5, function(i)
      assert.is_true(event:wait())
      order[#order + 1] = i
    end)
    tasks[3]:cancel()
    event:set()
    ended(tasks)
    assert.same({ 1, 2, 4, 5 }, order)
  end))

  it("stays set until it is cleared", virtual(function()
    local event = weft.event()
    assert.is_false(event:is_set())
    event:set()
    event:set()
    assert.is_true(event:is_set())
    assert.is_true(event:wait())
    assert.is_true(event:wait())
    event:clear()
    event:clear()
    assert.is_false(event:is_set())
    raises("timeout", weft.timeout, 1, event.wait, event)
  end))

  it("that is cleared at once still lets those go that waited", virtual(function()
    local event, woken = weft.event(), 0
    local function wait()
      event:wait()
      woken = woken + 1
    end
    local tasks = start(3, wait)
    event:set()
    event:clear()
    tasks[4] = spawn(wait)
    parked()
    assert.equal(3, woken)
    assert.same({ set = false, waiting = 1 }, event:statistics())
    event:set()
    ended(tasks)
    assert.equal(4, woken)
  end))

  it("can be set from a callback, and by nobody in a loop", virtual(function()
    local event = weft.event()
    weft.get_running_loop():call_later(3, event.set, event)
    event:wait()
    assert.is_true(event:is_set())
  end))

  waits.cancelled_everywhere(it, "an event", function(each)
    local event, woken, late = weft.event(), 0, 0
    for _ = 1, 3 do
      each(function()
        if weft.try(weft.timeout, 100, event.wait, event) then
          woken = woken + 1
        elseif event:is_set() then
          late = late + 1
        end
        weft.sleep(0)
      end)
    end
    each(function()
      weft.sleep(0)
      weft.sleep(1)
      event:set()
    end)
    return function()
      assert.equal(0, event:statistics().waiting)
      assert.equal(0, late)
      assert(not event:is_set() or woken >= 2)
    end
  end)

  waits.soak(it, "an event that comes and goes", function(unit)
    local event, sets = weft.event(), 0
    return function()
      local before = event:is_set() and -1 or sets
      event:wait()
      assert(sets > before)
    end, function()
      assert.equal(0, event:statistics().waiting)
      assert(sets > 3)
    end, function()
      while true do
        weft.sleep(7 * unit)
        sets = sets + 1
        event:set()
        weft.sleep(sets % 2 * unit)
        event:clear()
      end
    end
  end)
end)

describe("weft.condition", function()
  local function waiters(c, count)
    local order = {}
    return start(count, function(i)
      c:with(function()
        assert.is_true(c:wait())
        order[#order + 1] = i
      end)
    end), order
  end

  for _, case in ipairs { { nil, 1 }, { 0, 0 }, { 1, 1 }, { 2, 2 }, { 4, 4 }, { 9, 4 } } do
    it(("notify(%s) wakes the first %d of four"):format(tostring(case[1]), case[2]),
      virtual(function()
        local c = weft.condition()
        local tasks, order = waiters(c, 4)
        c:with(c.notify, c, case[1])
        parked()
        assert.equal(case[2], #order)
        assert.equal(4 - case[2], c:statistics().waiting)
        c:with(c.notify_all, c)
        ended(tasks)
        assert.same({ 1, 2, 3, 4 }, order)
      end))
  end

  it("notify_all wakes all, each in turn with the lock", virtual(function()
    local c, inside = weft.condition(), 0
    local tasks = start(5, function()
      c:with(function()
        c:wait()
        inside = inside + 1
        assert.equal(1, inside)
        weft.sleep(1)
        inside = inside - 1
      end)
    end)
    c:with(c.notify_all, c)
    weft.gather(tasks)
    assert.same({ locked = false, waiting = 0 }, c:statistics())
  end))

  it("notify with nobody waiting is not kept for later", virtual(function()
    local c = weft.condition()
    c:with(c.notify, c)
    c:with(c.notify_all, c)
    raises("timeout", weft.timeout, 1, c.with, c, c.wait, c)
  end))

  it("passes over those that were cancelled", virtual(function()
    local c = weft.condition()
    local tasks, order = waiters(c, 4)
    tasks[1]:cancel()
    tasks[3]:cancel()
    c:with(c.notify, c, 2)
    ended(tasks)
    assert.same({ 2, 4 }, order)
  end))

  it("lets the lock go while it waits, and has it again after", virtual(function()
    local c = weft.condition()
    local task = start(1, function()
      c:acquire()
      c:wait()
      assert.is_true(c:locked())
      weft.sleep(5)
      c:release()
    end)[1]
    assert.is_false(c:locked())
    c:acquire()
    c:notify()
    parked()
    assert.is_false(task:done())
    c:release()
    assert.is_true(c:locked()) -- it is the waiter's
    task:await()
    assert.is_false(c:locked())
  end))

  it("that was notified queues for the lock behind those that queue already", virtual(function()
    local c, order = weft.condition(), {}
    local tasks = start(1, function()
      c:with(function()
        c:wait()
        order[#order + 1] = "notified"
      end)
    end)
    c:acquire()
    tasks[2] = spawn(function()
      c:with(function() order[#order + 1] = "acquirer" end)
    end)
    parked()
    c:notify()
    parked()
    c:release()
    ended(tasks)
    assert.same({ "acquirer", "notified" }, order)
  end))

  it("raises with the lock held when it is cancelled", virtual(function()
    local c = weft.condition()
    local held, e
    local task = start(1, function()
      c:acquire()
      e = support.error_of(c.wait, c)
      held = c:locked()
      c:release()
    end)[1]
    task:cancel("stop")
    task:await()
    assert.is_true(weft.is_error(e, "cancelled"))
    assert.equal("stop", e.message)
    assert.is_true(held)
    assert.is_false(c:locked())
  end))

  it("waits for the lock even when it is cancelled, once or again", virtual(function()
    local c = weft.condition()
    local owner = "nobody"
    local task = start(1, function()
      c:with(function()
        local e = support.error_of(c.wait, c)
        assert.equal("main let go", owner)
        error(e, 0)
      end)
    end)[1]
    c:acquire()
    owner = "main"
    for _ = 1, 3 do
      task:cancel()
      parked()
      assert.is_false(task:done())
    end
    owner = "main let go"
    c:release()
    raises("cancelled", task.await, task)
    assert.same({ locked = false, waiting = 0 }, c:statistics())
  end))

  it("that was notified and is cancelled while it waits for the lock gets it", virtual(function()
    local c = weft.condition()
    local result, after
    local task = start(1, function()
      c:acquire()
      result = c:wait()
      after = support.error_of(weft.sleep, 0)
      c:release()
    end)[1]
    c:acquire()
    c:notify()
    parked()
    task:cancel()
    parked()
    assert.is_false(task:done())
    c:release()
    task:await()
    assert.is_true(result)
    assert.is_true(weft.is_error(after, "cancelled"))
    assert.is_false(c:locked())
  end))

  it("loses no notification to a cancel, and wakes no other for it", virtual(function()
    for _, cancel_first in ipairs { true, false } do
      local c = weft.condition()
      local tasks, order = waiters(c, 3)
      c:acquire()
      if cancel_first then
        tasks[1]:cancel()
        c:notify()
      else
        c:notify()
        tasks[1]:cancel()
      end
      c:release()
      parked()
      assert.same(cancel_first and { 2 } or { 1 }, order)
      c:with(c.notify_all, c)
      ended(tasks)
    end
  end))

  it("a time limit waits for the lock, then raises", virtual(function()
    local c = weft.condition()
    local loop = weft.get_running_loop()
    local before, e, held = loop:time(), nil, nil
    local task = start(1, function()
      c:acquire()
      e = support.error_of(weft.timeout, 2, c.wait, c)
      held = c:locked()
      c:release()
    end)[1]
    c:with(weft.sleep, 10)
    task:await()
    assert.is_true(weft.is_error(e, "timeout"))
    assert.is_true(held)
    assert.near(10, loop:time() - before, 1e-6)
  end))

  it("keeps its lock where no wait is possible, though another queues for it", virtual(function()
    local c = weft.condition()
    c:acquire()
    local got = false
    local task = start(1, function()
      c:acquire()
      got = true
    end)[1]
    table.sort({ 1, 2 }, function(a, b)
      raises({ "state", "EBLOCKED" }, c.wait, c)
      return a < b
    end)
    parked()
    assert.is_false(got)
    c:release()
    task:await()
  end))

  it("refuses to wait and to notify when the lock is free", virtual(function()
    local c = weft.condition()
    for _, name in ipairs { "wait", "notify", "notify_all" } do
      raises({ "state", "not_locked" }, c[name], c)
    end
    raises({ "state", "not_locked" }, c.wait_for, c, function() return false end)
    raises({ "state", "over_release" }, c.release, c)
    assert.same({ locked = false, waiting = 0 }, c:statistics())
  end))

  for _, bad in ipairs { -1, 0.5, "1", true, {} } do
    it(("notify(%s) is refused"):format(tostring(bad)), virtual(function()
      local c = weft.condition()
      c:acquire()
      raises("type", c.notify, c, bad)
      c:release()
    end))
  end

  it("takes a lock, which others may use and share", virtual(function()
    local lock = weft.lock()
    local full, empty = weft.condition(lock), weft.condition(lock)
    local box, got = nil, {}
    local taker = spawn(function()
      for i = 1, 3 do
        full:with(function()
          got[i] = full:wait_for(function() return box end)
          box = nil
          empty:notify()
        end)
      end
    end)
    for _, item in ipairs { "a", "b", "c" } do
      lock:with(function()
        assert.is_true(full:locked() and empty:locked())
        empty:wait_for(function() return box == nil end)
        box = item
        full:notify()
      end)
    end
    taker:await()
    assert.same({ "a", "b", "c" }, got)
    assert.is_false(lock:locked())
  end))

  it("refuses what is no lock", function()
    for _, bad in ipairs { 1, "lock", true, {}, weft.semaphore(1), weft.condition() } do
      raises("type", weft.condition, bad)
    end
  end)

  describe("wait_for", function()
    it("asks first, then after each notification, and returns the answer", virtual(function()
      local c, asked, answer = weft.condition(), 0, nil
      local task = start(1, function()
        return c:with(c.wait_for, c, function()
          asked = asked + 1
          assert.is_true(c:locked())
          return answer
        end)
      end)[1]
      assert.equal(1, asked)
      for times = 2, 4 do
        c:with(c.notify, c)
        parked()
        assert.equal(times, asked)
      end
      answer = "answer"
      c:with(c.notify, c)
      assert.equal("answer", task:await())
    end))

    it("raises what the predicate raises, with the lock held", virtual(function()
      local c = weft.condition()
      c:acquire()
      assert.equal("oops", support.error_of(c.wait_for, c, function() error("oops", 0) end))
      assert.is_true(c:locked())
      c:release()
    end))

    it("that is cancelled when the answer is still no raises", virtual(function()
      local c, held = weft.condition(), nil
      local task = start(1, function()
        c:acquire()
        local e = support.error_of(c.wait_for, c, function() return false end)
        held = c:locked()
        c:release()
        error(e, 0)
      end)[1]
      c:acquire()
      c:notify()
      task:cancel()
      c:release()
      raises("cancelled", task.await, task)
      assert.is_true(held)
      assert.same({ locked = false, waiting = 0 }, c:statistics())
    end))

    it("refuses what cannot be called", virtual(function()
      local c = weft.condition()
      c:acquire()
      raises("type", c.wait_for, c, 1)
      raises("type", c.wait_for, c)
      c:release()
    end))
  end)

  -- Items that are put and taken under a condition: a notification that got lost would
  -- leave a taker waiting beside an item.
  local function bounded_buffer()
    local b = { c = weft.condition(), put = 0, taken = 0 }
    local function available() return b.put > b.taken end
    function b.give()
      b.c:with(function()
        b.put = b.put + 1
        b.c:notify()
      end)
    end
    function b.take()
      b.c:with(function()
        b.c:wait_for(available)
        b.taken = b.taken + 1
      end)
    end
    function b.check()
      assert.same({ locked = false, waiting = 0 }, b.c:statistics())
      assert(b.taken <= b.put)
    end
    return b
  end

  waits.cancelled_everywhere(it, "a condition", function(each)
    local b, given_up = bounded_buffer(), 0
    for i = 1, 5 do
      each(function()
        if i % 2 == 0 then
          weft.sleep(i == 4 and 0 or 1)
          b.give()
        else
          local ok, e = weft.try(weft.timeout, 100, b.take)
          given_up = given_up + (not ok and weft.is_error(e, "timeout") and 1 or 0)
        end
      end)
    end
    return function()
      b.check()
      assert(given_up == 0 or b.put == b.taken, "a notification was lost")
    end
  end)

  waits.soak(it, "a condition", function(unit)
    local b = bounded_buffer()
    return function(i, random)
      if i % 2 == 0 then
        b.c:with(weft.sleep, random(-3, 1) * unit)
        return b.give()
      end
      b.take()
    end, b.check, function()
      while true do
        weft.sleep(20 * unit)
        parked()
        assert(b.c:locked() or b.c:statistics().waiting == 0 or b.put == b.taken,
          "a notification was lost")
        b.c:with(function()
          b.put = b.put + 5
          b.c:notify(5)
        end)
      end
    end
  end)
end)

describe("weft.barrier", function()
  it("lets all go when the last has come, and gives each its place", virtual(function()
    local b = weft.barrier(3)
    local tasks = start(2, function() return b:wait() end)
    assert.equal(2, b.n_waiting)
    assert.equal(3, b:wait())
    assert.equal(0, b.n_waiting)
    assert.same({ 1, 2, n = 2 }, weft.gather(tasks))
  end))

  it("can be used again, and those that come later are not let go too soon", virtual(function()
    local b, places = weft.barrier(3), {}
    local tasks = start(8, function(i) places[i] = b:wait() end)
    assert.same({ 1, 2, 3, 1, 2, 3 }, places)
    assert.equal(2, b.n_waiting)
    b:wait()
    ended(tasks)
    assert.same({ 1, 2, 3, 1, 2, 3, 1, 2 }, places)
  end))

  it("of one lets everyone pass", virtual(function()
    local b = weft.barrier(1)
    assert.equal(1, b:wait())
    assert.equal(1, b:wait())
  end))

  it("does not count who was cancelled or ran out of time", virtual(function()
    local b = weft.barrier(3)
    local tasks = start(2, function() return b:wait() end)
    tasks[1]:cancel()
    assert.equal(1, b.n_waiting)
    raises("timeout", weft.timeout, 1, b.wait, b)
    assert.equal(1, b.n_waiting)
    assert.is_false(b.broken)
    tasks[3] = spawn(b.wait, b)
    parked()
    assert.equal(3, b:wait())
    assert.equal(1, tasks[2]:await())
    assert.equal(2, tasks[3]:await())
  end))

  it("when aborted breaks for those that wait and those that come", virtual(function()
    local b = weft.barrier(3)
    local tasks = start(2, function() return b:wait() end)
    b:abort()
    assert.is_true(b.broken)
    assert.equal(0, b.n_waiting)
    for _, task in ipairs(tasks) do
      raises({ "state", "broken_barrier" }, task.await, task)
    end
    raises({ "state", "broken_barrier" }, b.wait, b)
    b:abort()
    assert.is_true(b.broken)
  end))

  it("is whole again after reset", virtual(function()
    local b = weft.barrier(2)
    b:abort()
    b:reset()
    assert.is_false(b.broken)
    local task = start(1, function() return b:wait() end)[1]
    assert.equal(2, b:wait())
    assert.equal(1, task:await())
  end))

  it("when reset breaks for those that wait, not for those that come", virtual(function()
    local b = weft.barrier(2)
    local task = start(1, function() return b:wait() end)[1]
    b:reset()
    local late = spawn(b.wait, b)
    raises({ "state", "broken_barrier" }, task.await, task)
    assert.is_false(b.broken)
    assert.equal(2, (function() parked() return b:wait() end)())
    assert.equal(1, late:await())
    b:reset()
    assert.equal(0, b.n_waiting)
  end))

  it("does not break for those it has let go", virtual(function()
    for _, how in ipairs { "abort", "reset" } do
      local b = weft.barrier(2)
      local task = start(1, function() return b:wait() end)[1]
      b:wait()
      b[how](b)
      assert.equal(1, task:await())
    end
  end))

  it("can be aborted and reset by a callback", virtual(function()
    local b = weft.barrier(2)
    weft.get_running_loop():call_later(1, b.abort, b)
    raises({ "state", "broken_barrier" }, b.wait, b)
  end))

  for _, bad in ipairs { 0, -1, 1.5, "2", true, {} } do
    it(("refuses weft.barrier(%s)"):format(tostring(bad)), function()
      raises("type", weft.barrier, bad)
    end)
  end

  it("refuses to be without a number of parties", function()
    raises("type", weft.barrier)
  end)

  waits.cancelled_everywhere(it, "a barrier", function(each)
    local b, places, late = weft.barrier(3), {}, 0
    for i = 1, 4 do
      each(function()
        weft.sleep(i % 2)
        local ok, place = weft.try(weft.timeout, 100, b.wait, b)
        if ok then
          places[#places + 1] = place
        else
          late = late + (weft.is_error(place, "timeout") and 1 or 0)
        end
      end)
    end
    return function()
      table.sort(places)
      assert.same({ 1, 2, 3 }, { places[1] or 1, places[2] or 2, places[3] or 3 })
      assert(#places == 3 or #places == 0, #places)
      assert(late < 3)
      assert.same({ parties = 3, waiting = 0, broken = false }, b:statistics())
    end
  end)

  waits.soak(it, "a barrier", function(unit)
    local b, places = weft.barrier(4), { 0, 0, 0, 0 }
    local broken = 0
    return function()
      local ok, place = weft.try(b.wait, b)
      if ok then
        places[place] = places[place] + 1
      elseif place.code == "broken_barrier" then
        broken = broken + 1
      else
        error(place, 0)
      end
    end, function()
      assert.equal(0, b.n_waiting)
      -- By the real clock a busy machine decides which of the two there are.
      assert(unit < 1 or places[1] > 10 and broken > 0)
      assert(places[1] + broken > 0)
      assert.same({ places[1], places[1], places[1], places[1] }, places)
    end, function()
      while true do
        weft.sleep(15 * unit)
        b:reset()
      end
    end
  end)
end)

describe("weft.sync shows itself:", function()
  local function one_waits(object, wait)
    local task = start(1, wait)[1]
    local text, statistics = tostring(object), object:statistics()
    task:cancel()
    ended { task }
    return text, statistics
  end

  local CASES = {
    { "Semaphore<free=2 waiting=0>", { free = 2, waiting = 0 }, function()
      return weft.semaphore(2)
    end },
    { "Semaphore<locked waiting=1>", { free = 0, waiting = 1 }, function()
      return weft.semaphore(0)
    end, "acquire" },
    { "BoundedSemaphore<free=1 waiting=0>", { free = 1, waiting = 0 }, function()
      return weft.bounded_semaphore()
    end },
    { "Lock<unlocked waiting=0>", { locked = false, waiting = 0 }, function()
      return weft.lock()
    end },
    { "Lock<locked waiting=1>", { locked = true, waiting = 1 }, function()
      local lock = weft.lock()
      lock:acquire()
      return lock
    end, "acquire" },
    { "Event<set waiting=0>", { set = true, waiting = 0 }, function()
      local event = weft.event()
      event:set()
      return event
    end },
    { "Event<unset waiting=1>", { set = false, waiting = 1 }, function()
      return weft.event()
    end, "wait" },
    { "Condition<unlocked waiting=0>", { locked = false, waiting = 0 }, function()
      return weft.condition()
    end },
    { "Condition<unlocked waiting=1>", { locked = false, waiting = 1 }, function()
      local c = weft.condition()
      c:acquire()
      return c
    end, "wait" },
    { "Barrier<whole 0/3>", { parties = 3, waiting = 0, broken = false }, function()
      return weft.barrier(3)
    end },
    { "Barrier<whole 1/3>", { parties = 3, waiting = 1, broken = false }, function()
      return weft.barrier(3)
    end, "wait" },
    { "Barrier<broken 0/3>", { parties = 3, waiting = 0, broken = true }, function()
      local b = weft.barrier(3)
      b:abort()
      return b
    end },
  }

  for _, case in ipairs(CASES) do
    local text, statistics, make, method = case[1], case[2], case[3], case[4]
    it(text, virtual(function()
      local object = make()
      if method then
        local shown, counted = one_waits(object, function() return object[method](object) end)
        assert.same({ text, statistics }, { shown, counted })
      else
        assert.same({ text, statistics }, { tostring(object), object:statistics() })
      end
    end))
  end

  it("Barrier.parties", function()
    assert.equal(5, weft.barrier(5).parties)
  end)
end)

describe("weft.sync at the end of a process", function()
  it("leaves nothing behind when the state is closed with tasks that wait", function()
    local text, status = support.script [[
      local weft = require "weft"
      local loop = weft.new_event_loop()
      loop:set_exception_handler(function() end)
      loop:run_until_complete(function()
        local held = { weft.semaphore(0), weft.event(), weft.barrier(4), weft.condition() }
        for _, object in ipairs(held) do
          for _ = 1, 3 do
            weft.create_task(function()
              if object.notify then
                object:acquire()
              end
              (object.wait or object.acquire)(object)
            end)
          end
        end
        weft.sleep(0)
        weft.sleep(0)
      end)
      print(#weft.all_tasks(loop))
    ]]
    assert.same({ "12\n", 0 }, { text, status })
  end)
end)
