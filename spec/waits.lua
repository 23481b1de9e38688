-- SPDX-License-Identifier: MIT
-- spec.waits: what holds for every wait of every primitive, whichever it is: tried on each
-- of a table of them by the specs of locks and of queues.
--
-- Owns: the `it`s that are the same for all. Knows a wait only by the functions below.

local assert = require "luassert"

local weft = require "weft"
local core = require "weft.core"
local support = require "spec.support"
local testing = require "weft.testing"

local M = {}

---A case is a table:
---  name     of the wait, as the spec's names show it
---  parked   the method by which `weft.tree` names it
---  make()   makes, in a task, a wait `w` that would have to wait:
---    w.wait()     waits (on a condition, with its lock), not by a tail call; gives w.result
---    w.call()     the bare wait, if that is not the same
---    w.wake()     lets (at least) one waiter go; does not suspend the caller after that
---    w.ready()    makes that w.call() would not have to wait; it always does without
---    w.hold()     on a condition: takes the lock, which w.call() needs
---    w.tidy()     ends the tasks that the functions above have made, if there are any
---    w.waiting()  how many wait
---    w.state()    all that the wait could have changed, as text
local function nothing() end

local function make(case)
  local w = case.make()
  w.call = w.call or w.wait
  w.hold, w.ready, w.tidy = w.hold or nothing, w.ready or nothing, w.tidy or nothing
  return w
end

local function start(w, count)
  local tasks = {}
  for i = 1, count do
    tasks[i] = weft.create_task(w.wait)
  end
  testing.wait_all_parked()
  assert.equal(count, w.waiting())
  return tasks
end

local CHECKS = {}

CHECKS["%s returns when it is woken"] = function(w)
  local task = start(w, 1)[1]
  w.wake()
  assert.equal(w.result, (task:await()))
  assert.equal(0, w.waiting())
end

CHECKS["%s does not suspend when it need not wait"] = function(w)
  if w.ready == nothing then
    return
  end
  w.ready()
  local others = 0
  weft.create_task(function() others = others + 1 end)
  assert.equal(w.result, (w.call()))
  assert.equal(0, others)
  weft.sleep(0)
end

CHECKS["%s that is cancelled raises cancelled and takes nothing"] = function(w)
  local tasks = start(w, 3)
  tasks[1]:cancel()
  tasks[2]:cancel("enough")
  support.raises("cancelled", tasks[1].await, tasks[1])
  assert.equal("enough", support.raises("cancelled", tasks[2].await, tasks[2]).message)
  assert.equal(1, w.waiting())
  w.wake()
  assert.equal(w.result, (tasks[3]:await()))
end

CHECKS["a timeout around %s ends it and takes nothing"] = function(w)
  local loop = weft.get_running_loop()
  local before = loop:time()
  support.raises("timeout", weft.timeout, 2, w.wait)
  assert.near(2, loop:time() - before, 1e-6)
  assert.equal(0, w.waiting())
  local task = start(w, 1)[1]
  w.wake()
  assert.equal(w.result, (task:await()))
end

CHECKS["wait_for around %s ends it and takes nothing"] = function(w)
  support.raises("timeout", weft.wait_for, w.wait, 2)
  assert.equal(0, w.waiting())
  w.wake()
end

CHECKS["a timeout of zero breaks off %s at once"] = function(w)
  local state = w.state()
  support.raises("timeout", weft.timeout, 0, w.wait)
  assert.equal(state, w.state())
end

CHECKS["an outer timeout around %s is not blamed on the inner one"] = function(w)
  local inner
  local e = support.raises("timeout", weft.timeout, 1, function()
    inner = support.error_of(weft.timeout, 2, w.wait)
    error(inner, 0)
  end)
  assert.is_true(weft.is_error(inner, "cancelled"))
  assert.matches("after 1 s", e.message)
end

-- A wait that got what it waited for does not raise, even if the cancel comes before the
-- task runs again: that raises at its next wait.
CHECKS["%s that was woken and then cancelled returns"] = function(w)
  local result, later
  local task = weft.create_task(function()
    result = w.wait()
    later = support.error_of(weft.sleep, 0)
  end)
  testing.wait_all_parked()
  w.wake()
  assert.is_true(task:cancel())
  task:await()
  assert.equal(w.result, result)
  assert.is_true(weft.is_error(later, "cancelled"))
end

CHECKS["%s that was cancelled and then woken raises, and the next is woken"] = function(w)
  local tasks = start(w, 2)
  tasks[1]:cancel()
  w.wake()
  support.raises("cancelled", tasks[1].await, tasks[1])
  assert.equal(w.result, (tasks[2]:await()))
end

CHECKS["%s in a cancelled task raises at entry, even if it need not wait"] = function(w)
  w.ready()
  w.hold()
  local state = w.state()
  local again
  local task = weft.create_task(function()
    weft.current_task():cancel()
    again = support.error_of(w.call)
    w.call()
  end)
  support.raises("cancelled", task.await, task)
  assert.is_true(weft.is_error(again, "cancelled"))
  assert.equal(state, w.state())
end

CHECKS["%s waits in peace in the clean-up of a cancelled task"] = function(w)
  local result
  local task = weft.create_task(function()
    weft.finally(function() weft.sleep(100) end, function() result = w.wait() end)
  end)
  testing.wait_all_parked()
  task:cancel()
  testing.wait_all_parked()
  task:cancel()
  testing.wait_all_parked()
  assert.equal(1, w.waiting())
  w.wake()
  support.raises("cancelled", task.await, task)
  assert.equal(w.result, result)
end

CHECKS["%s works, and is cancelled, in a coroutine inside the task"] = function(w)
  local function generator()
    local step = coroutine.wrap(function()
      coroutine.yield("before")
      coroutine.yield(w.wait())
    end)
    assert(step() == "before")
    return step()
  end
  local tasks = { weft.create_task(generator), weft.create_task(generator) }
  testing.wait_all_parked()
  tasks[1]:cancel()
  support.raises("cancelled", tasks[1].await, tasks[1])
  w.wake()
  assert.equal(w.result, (tasks[2]:await()))
end

CHECKS["%s outside a task is a state error and touches nothing"] = function(w)
  w.ready()
  w.hold()
  local state = w.state()
  local done, ok, e = weft.create_future(), nil, nil
  weft.get_running_loop():call_soon(function()
    ok, e = pcall(w.call)
    done:set_result()
  end)
  done:await()
  assert.is_false(ok)
  assert.is_true(weft.is_error(e, "state"), tostring(e))
  assert.equal("ENOTASK", e.code)
  assert.equal(state, w.state())
end

CHECKS["%s where no wait is possible says so and touches nothing"] = function(w)
  w.hold()
  local state = w.state()
  local e
  table.sort({ 1, 2 }, function(a, b)
    e = support.raises({ "state", "EBLOCKED" }, w.call)
    return a < b
  end)
  assert.matches("comparator of table.sort", e.message)
  assert.equal(state, w.state())
end

CHECKS["%s survives a collection at every step"] = function(w)
  testing.gc_stress(function()
    local task = start(w, 1)[1]
    w.wake()
    assert.equal(w.result, (task:await()))
  end)
end

-- These make loops of their own.
local LOOPS = {}

LOOPS["a run in which all are in %s is a deadlock that names it"] = function(case)
  local e = support.raises({ "state", "deadlock" }, weft.run, function()
    local w = make(case)
    weft.create_task(w.wait)
    return (w.wait())
  end)
  local _, named = e.message:gsub("waits in " .. case.parked, "")
  assert.equal(2, named, e.message)
end

LOOPS["a loop may be closed with tasks in %s"] = function(case)
  local w
  local loop = weft.new_event_loop()
  loop:set_exception_handler(function() end)
  loop:run_until_complete(function()
    w = make(case)
    start(w, 2)
  end)
  loop:close()
  assert.equal(0, w.waiting())
  weft.run(function() -- and what they waited for lives on, in another loop
    local task = start(w, 1)[1]
    w.wake()
    assert.equal(w.result, (task:await()))
    w.tidy()
  end)
end

-- The deadline passes while the task that was woken is still to run: the waker takes its
-- time, and then has the loop look at its timers before the next round.
LOOPS["a time limit that passes after %s was woken does not count"] = function(case)
  local w
  local loop = weft.new_event_loop()
  local task = loop:create_task(function()
    w = make(case)
    return (weft.timeout(0.02, w.wait))
  end)
  loop:create_task(function()
    weft.sleep(0)
    w.wake()
    local limit = loop:time() + 0.021
    while loop:time() < limit do end
    loop:stop()
  end)
  loop:run_forever()
  assert.is_false(task:done())
  assert.equal(w.result, (loop:run_until_complete(task)))
  w.tidy()
  loop:close()
end

LOOPS["the end of a run breaks off %s"] = function(case)
  local w, cancelled = nil, 0
  weft.run(function()
    w = make(case)
    for _ = 1, 3 do
      weft.create_task(function()
        local ok, e = pcall(w.wait)
        cancelled = cancelled + (not ok and weft.is_error(e, "cancelled") and 1 or 0)
      end)
    end
    testing.wait_all_parked()
  end)
  assert.equal(3, cancelled)
  assert.equal(0, w.waiting())
end

--- cancelling everywhere ------------------------------------------------------------

---A scenario is a function that gets `spawn(fn)`, by which it starts its tasks, and returns
---what checks, when all have ended, that all is in its place. Whichever task is cancelled,
---the others must come to an end by themselves.
local function in_group(scenario)
  local check
  return function()
    weft.task_group(function(group)
      check = scenario(function(fn) group:create_task(fn) end)
    end)
  end, function() check() end
end

-- One run in which the task `victim` is cancelled after `turns` turns.
local function cancel_after(scenario, turns, victim)
  local tasks = {}
  local check = scenario(function(fn) tasks[#tasks + 1] = weft.create_task(fn) end)
  for _ = 1, turns do
    weft.sleep(0)
  end
  if tasks[victim] then
    tasks[victim]:cancel()
  end
  for i, result in ipairs(weft.gather(tasks, { return_exceptions = true })) do
    assert(result == nil or weft.is_error(result, "cancelled") and i == victim, result)
  end
  check()
  return #tasks
end

local TURNS = 16 -- as many as the scenarios have without sleeps, and a few

---Four `it`s that cancel a scenario wherever that can be.
function M.cancelled_everywhere(it, name, scenario)
  it(name .. ": nothing is lost when all is cancelled, at each wait", function()
    assert.is_true(testing.cancel_everywhere(in_group(scenario)) >= 1)
  end)

  it(name .. ": nothing is lost when one is cancelled, at each wait", function()
    local fn, check = in_group(scenario)
    assert.is_true(testing.cancel_everywhere(fn, check, { every_task = true }) > 4)
  end)

  it(name .. ": nothing is lost when one is cancelled, in each turn", function()
    for turns = 0, TURNS do
      local victim, count = 0, 0
      repeat
        victim = victim + 1
        testing.virtual_clock(testing.leaks, function()
          count = cancel_after(scenario, turns, victim)
        end)
      until victim == count
    end
  end)
end

--- soaking ----------------------------------------------------------------------

---A generator of numbers that gives the same ones everywhere: random(a, b), both included.
function M.random(seed)
  local state = seed
  return function(a, b)
    state = state * 16807 % 2147483647
    return a + math.floor(state / 2147483647 * (b - a + 1))
  end
end

local EXPECTED = { cancelled = true, timeout = true }

-- Starts `count` tasks that do body(i, random, unit) at random times, with time limits or
-- without; and cancels some. Returns when all have ended; raises what should not be.
local function soak(count, unit, body)
  local random, tasks = M.random(count), {}
  local function limited(i)
    weft.sleep(random(0, 60) * unit)
    local how = random(1, 4)
    if how == 1 then
      weft.timeout(random(0, 12) * unit, body, i, random, unit)
    elseif how == 2 then
      weft.wait_for(function() body(i, random, unit) end, random(0, 12) * unit)
    else
      body(i, random, unit)
    end
  end
  local function killer(task)
    weft.sleep(random(0, 80) * unit)
    task:cancel()
  end
  local killers = {}
  for i = 1, count do
    tasks[i] = weft.create_task(limited, i)
    if random(1, 4) == 1 then
      killers[#killers + 1] = weft.create_task(killer, tasks[i])
    end
  end
  local results = weft.gather(tasks, { return_exceptions = true })
  weft.gather(killers)
  local ended = { none = 0, cancelled = 0, timeout = 0 }
  for i = 1, count do
    local kind = results[i] and results[i].kind or "none"
    assert(results[i] == nil or EXPECTED[kind], results[i])
    ended[kind] = ended[kind] + 1
  end
  for kind, n in pairs(ended) do -- else the soak shows nothing
    assert(n > count / 100, ("only %d of %d ended by: %s"):format(n, count, kind))
  end
end

---Two `it`s: thousands of tasks, by a virtual clock, where many things happen at the very
---same time, and hundreds by the real one. `begin(unit)` returns the body, as above, what
---checks when all have ended, and, if need be, what goes on meanwhile.
function M.soak(it, name, begin)
  local function soaked(count, unit)
    return function()
      local body, check, meanwhile = begin(unit)
      local helper = weft.create_task(meanwhile or weft.sleep, 1e6)
      soak(count, unit, body)
      helper:cancel()
      support.raises("cancelled", helper.await, helper)
      check()
    end
  end
  it(name .. ": all is accounted for after thousands of random cancels and timeouts",
    support.virtual(soaked(support.rounds(4000), 1)))
  -- Where all is slow, so is the clock: or nearly every wait would end by its time limit.
  it(name .. ": the same by the real clock",
    support.run(soaked(support.rounds(1000), support.slow and 0.01 or 0.0005)))
end

--- the `it`s of all cases --------------------------------------------------------

local function fresh(fn, case)
  return function()
    collectgarbage()
    collectgarbage()
    local blocks = core.memory()
    fn(case)
    collectgarbage()
    collectgarbage()
    assert.equal(blocks, (core.memory()))
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

---All checks on all cases, as `it`s of the spec that calls this.
function M.check(it, cases)
  for _, case in ipairs(cases) do
    for _, name in ipairs(sorted(CHECKS)) do
      it(name:format(case.name), support.virtual(function()
        local w = make(case)
        CHECKS[name](w)
        w.tidy()
      end))
    end
    for _, name in ipairs(sorted(LOOPS)) do
      it(name:format(case.name), fresh(LOOPS[name], case))
    end
  end
end

return M
