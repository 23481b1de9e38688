-- SPDX-License-Identifier: MIT
-- weft.await: awaiting, sleeping, and how a cancellation shows at the waits of a task.
-- Time limits and finally are spec/weft/scope_spec.lua's.

local weft = require "weft"
local core = require "weft.core"
local support = require "spec.support"
local testing = require "weft.testing"

local unpack = table.unpack or unpack
local virtual, raises, error_of = support.virtual, support.raises, support.error_of
local parked = testing.wait_all_parked

local function pack(...)
  return { n = select("#", ...), ... }
end

local function now()
  return weft.get_running_loop():time()
end

local function returns(...)
  local values = pack(...)
  return function()
    return unpack(values, 1, values.n)
  end
end

local function fails(value)
  return function()
    error(value, 0)
  end
end

-- A task that waits for ever and counts how often it was broken off.
local function sleeper()
  local seen = {}
  return weft.create_task(function()
    seen[#seen + 1] = error_of(weft.sleep, 1e6)
    error(seen[#seen], 0)
  end), seen
end

-- What can be awaited, made from a function.
local KINDS = {
  { "a task", weft.create_task },
  { "a function", function(fn) return fn end },
  { "a callable table", function(fn)
    return setmetatable({}, { __call = function() return fn() end })
  end },
  { "a future", function(fn)
    local future = weft.create_future()
    weft.get_running_loop():call_soon(function()
      local results = pack(pcall(fn))
      if results[1] then
        future:set_result(select(2, unpack(results, 1, results.n)))
      else
        future:set_exception(results[2])
      end
    end)
    return future
  end },
  { "a task that is done", function(fn)
    local task = weft.create_task(fn)
    weft.sleep(0)
    return task
  end },
}

describe("await", function()
  for _, kind in ipairs(KINDS) do
    it("gives all results of " .. kind[1], virtual(function()
      for _, values in ipairs { pack(), pack(nil), pack(1, nil, 3), pack(nil, nil), pack(false),
        pack("x", {}, print) } do
        assert.same(values, pack(weft.await(kind[2](returns(unpack(values, 1, values.n))))))
      end
    end))

    it("raises what was raised in " .. kind[1] .. ", as it was", virtual(function()
      for _, value in ipairs { "text", "", 5, true, false, {}, print,
        setmetatable({}, { __tostring = function() error("not to be called") end }),
        weft.Error { kind = "dns" } } do
        assert.equal(value, error_of(weft.await, kind[2](fails(value))))
      end
    end))
  end

  it("raises nil too", virtual(function()
    local task = weft.create_task(function() error(nil) end)
    assert.same({ n = 2, false }, pack(pcall(task.await, task)))
    assert.same({ n = 2, false }, pack(pcall(task.await, task)))
    local e = task:exception()
    assert.is_true(weft.is_error(e, "raised"))
    assert.equal("raised: nil", tostring(e))
    assert.is_false(task:cancelled())
  end))

  it("gives the same, as often as it is asked", virtual(function()
    local value = {}
    local task = weft.create_task(returns(value, 2))
    local failed = weft.create_task(fails(value))
    for _ = 1, 3 do
      assert.same({ n = 2, value, 2 }, pack(task:await()))
      assert.equal(value, error_of(failed.await, failed))
    end
  end))

  it("gives a thousand results", virtual(function()
    local values = {}
    for i = 1, 1000 do
      values[i] = i
    end
    local got = pack(weft.await(returns(unpack(values))))
    assert.equal(1000, got.n)
    assert.equal(1000, got[1000])
    local future = weft.create_future()
    future:set_result(unpack(values))
    assert.equal(1000, select("#", future:await()))
  end))

  it("does not suspend for what is done", virtual(function()
    local done, empty = weft.create_task(returns(1)), weft.create_task(returns())
    local future = weft.create_future()
    future:set_result("x")
    weft.sleep(0)
    local others = 0
    weft.create_task(function() others = others + 1 end)
    for _ = 1, 100 do
      assert.equal(1, done:await())
      assert.equal(0, select("#", empty:await()))
      assert.equal("x", future:await())
    end
    assert.equal(0, others)
    weft.sleep(0)
    assert.equal(1, others)
  end))

  it("wakes all who wait, first come, first served", virtual(function()
    for _, make in ipairs { weft.create_future, function()
      local gate = weft.create_future()
      local task = weft.create_task(function() return gate:await() end)
      return task, gate
    end } do
      local shared, gate = make()
      local order = {}
      for i = 1, 50 do
        weft.create_task(function()
          local a, b, c = shared:await()
          order[#order + 1] = a == "x" and b == nil and c == 3 and i or -i
        end)
      end
      parked();
      (gate or shared):set_result("x", nil, 3)
      parked()
      local expected = {}
      for i = 1, 50 do
        expected[i] = i
      end
      assert.same(expected, order)
    end
  end))

  it("raises the same error to all who wait", virtual(function()
    local value, seen = {}, 0
    local future = weft.create_future()
    local tasks = {}
    for i = 1, 10 do
      tasks[i] = weft.create_task(function()
        local e = error_of(future.await, future)
        seen = seen + (e == value and 1 or 0)
      end)
    end
    parked()
    future:set_exception(value)
    weft.gather(tasks)
    assert.equal(10, seen)
  end))

  it("does not wake a waiter that was cancelled, and wakes the others", virtual(function()
    for victim = 1, 3 do
      local shared = weft.create_future()
      local woken, tasks = {}, {}
      for i = 1, 3 do
        tasks[i] = weft.create_task(function()
          weft.shield(shared)
          woken[#woken + 1] = i
        end)
      end
      parked()
      tasks[victim]:cancel()
      parked()
      assert.is_true(tasks[victim]:cancelled())
      assert.is_false(shared:done())
      shared:set_result()
      parked()
      assert.equal(2, #woken)
      assert.is_true(woken[1] < woken[2])
    end
  end))

  it("awaits a chain of ten thousand tasks", virtual(function()
    local n = support.rounds(10000)
    local last = weft.create_task(returns(0))
    for _ = 1, n do
      local inner = last
      last = weft.create_task(function()
        return inner:await() + 1
      end)
    end
    assert.equal(n, last:await())
  end))

  it("refuses what cannot be awaited", virtual(function()
    for _, x in ipairs { 5, "x", {}, true, coroutine.create(print) } do
      local e = raises("type", weft.await, x)
      assert.equal("a task, a future or a function expected, got " .. type(x), e.message)
    end
    for _, x in ipairs { io.stdout, weft.get_running_loop() } do
      assert.matches("expected, got userdata$", raises("type", weft.await, x).message)
    end
    raises("type", weft.await)
    raises("type", weft.await, setmetatable({}, { __call = false }).x)
    raises("type", weft.shield, 5)
    local task = weft.create_task(returns())
    raises("type", task.await, {})
    task:await()
  end))
end)

describe("awaiting is a state error", function()
  local function refused(code, x, how)
    local before = weft.statistics()
    local e = raises({ "state", code }, how or weft.await, x)
    local after = weft.statistics()
    assert.equal(before.created, after.created)
    assert.equal(before.tasks, after.tasks)
    return e
  end

  it("outside of any loop", support.outside(function()
    local loop = weft.new_event_loop()
    local task, future = loop:create_task(returns(5)), loop:create_future()
    for _, wait in ipairs { function() weft.await(task) end, function() task:await() end,
      function() weft.await(future) end, function() future:await() end,
      function() weft.await(returns()) end, function() weft.shield(task) end,
      function() weft.shield(returns()) end, function() weft.sleep(1) end,
      function() weft.sleep(0) end, weft.yield } do
      local e = raises({ "state", "ENOTASK" }, wait)
      assert.equal("waiting is possible only inside a task", e.message)
    end
    assert.is_false(task:done())
    assert.equal(5, loop:run_until_complete(task))
    raises({ "state", "ENOTASK" }, task.await, task) -- though it is done
    future:set_result(1)
    raises({ "state", "ENOTASK" }, future.await, future)
    loop:close()
  end))

  it("in a callback", virtual(function()
    local task = weft.create_task(function() weft.sleep(1) end)
    local done = weft.create_future()
    weft.get_running_loop():call_soon(function()
      done:set_result(pcall(function()
        refused("ENOTASK", task)
        refused("ENOTASK", returns())
        refused("ENOTASK", returns(), weft.shield)
      end))
    end)
    assert.same({ n = 1, true }, pack(done:await()))
    task:await()
  end))

  it("for oneself", virtual(function()
    local me = weft.current_task()
    assert.equal("a task cannot await itself", refused("ESELF", me).message)
    refused("ESELF", me, weft.shield)
    coroutine.wrap(function() refused("ESELF", me) end)()
    raises({ "state", "ESELF" }, weft.wait_for, me, 1)
    weft.sleep(1)
  end))

  it("for a cycle of two, and both can go on", virtual(function()
    local a, b
    a = weft.create_task(function() return "a" .. b:await() end)
    b = weft.create_task(function()
      parked()
      local e = refused("ECYCLE", a)
      assert.equal("the tasks would await each other in a cycle", e.message)
      refused("ECYCLE", a, weft.shield)
      return "b"
    end)
    assert.equal("ab", a:await())
  end))

  it("for a cycle of three, in coroutines too", virtual(function()
    local a, b, c
    a = weft.create_task(function() return "a" .. b:await() end)
    b = weft.create_task(function()
      return coroutine.wrap(function() return "b" .. c:await() end)()
    end)
    c = weft.create_task(function()
      parked()
      coroutine.wrap(function() refused("ECYCLE", a) end)()
      refused("ECYCLE", b)
      return "c"
    end)
    assert.equal("abc", a:await())
  end))

  it("for what belongs to another loop", virtual(function()
    local other = weft.new_event_loop()
    local task, future = other:create_task(returns(1)), other:create_future()
    assert.equal("the object belongs to another event loop", refused("EOTHERLOOP", task).message)
    refused("EOTHERLOOP", future)
    refused("EOTHERLOOP", task, weft.shield)
    assert.is_false(task:done())
    future:set_result("x")
    assert.equal("x", future:await()) -- what is done can be had anywhere
    task:cancel()
    other:set_exception_handler(function() end)
    other:close()
  end))

  it("for a future of a closed loop, but its tasks are cancelled", virtual(function()
    local other = weft.new_event_loop()
    other:set_exception_handler(function() end)
    local task, future = other:create_task(weft.sleep, 1), other:create_future()
    local done = other:create_future()
    done:set_result("x")
    other:close()
    refused("EOTHERLOOP", future)
    local e = raises("cancelled", weft.await, task)
    assert.equal("Task-1 was cancelled", e.message)
    assert.equal("x", done:await())
    raises("closed", future.set_result, future, 1)
    assert.is_false(future:done())
  end))
end)

describe("sleep", function()
  it("returns its other arguments, after its time", virtual(function()
    local start = now()
    assert.same({ n = 3, 1, nil, nil }, pack(weft.sleep(2.5, 1, nil, nil)))
    assert.near(2.5, now() - start, 1e-9)
    assert.same({ n = 0 }, pack(weft.sleep(0)))
    assert.same({ n = 1, "x" }, pack(weft.sleep(0, "x")))
    assert.same({ n = 0 }, pack(weft.yield()))
    assert.near(2.5, now() - start, 1e-9)
  end))

  it("of zero or less lets the others run once, without a timer", virtual(function()
    for _, nap in ipairs { weft.yield, function() weft.sleep(0) end,
      function() weft.sleep(-1) end, function() weft.sleep(-math.huge) end } do
      local order, start = {}, now()
      for i = 1, 3 do
        weft.create_task(function()
          order[#order + 1] = "a" .. i
          nap()
          order[#order + 1] = "b" .. i
        end)
      end
      nap()
      nap()
      assert.equal("a1 a2 a3 b1 b2 b3", table.concat(order, " "))
      assert.equal(start, now())
    end
  end))

  it("wakes in the order of the deadlines, equal ones as they began", virtual(function()
    local order = {}
    for _, delay in ipairs { 3, 1, 2, 1, 3, 2, 1 } do
      weft.create_task(function()
        weft.sleep(delay)
        order[#order + 1] = delay .. "." .. core.id(weft.current_task())
      end)
    end
    weft.sleep(10)
    local sorted = { unpack(order) }
    table.sort(sorted)
    assert.equal(7, #order)
    assert.same(sorted, order)
  end))

  it("refuses what is no time", virtual(function()
    local e = raises("type", weft.sleep, 0 / 0)
    assert.matches("NaN", e.message)
    e = raises("type", weft.sleep, "1")
    assert.equal("the delay must be a number, got string", e.message)
    raises("type", weft.sleep)
    raises("type", weft.sleep, nil, 1)
  end))

  it("may be endless, until it is cancelled", virtual(function()
    local task = weft.create_task(weft.sleep, math.huge)
    weft.sleep(1e6)
    assert.is_false(task:done())
    task:cancel()
    raises("cancelled", task.await, task)
  end))

  it("takes its time by the real clock", support.run(function()
    local start = now()
    weft.sleep(0.02)
    local took = now() - start
    assert.is_true(took >= 0.02, took)
  end))
end)

--- cancellation -----------------------------------------------------------------------

describe("a cancelled task", function()
  it("is broken off, and ends as cancelled", virtual(function()
    local task, seen = sleeper()
    parked()
    assert.is_true(task:cancel())
    assert.is_false(task:done())
    local e = raises("cancelled", task.await, task)
    assert.equal(seen[1], e)
    assert.equal("cancelled: the task was cancelled", tostring(e))
    assert.is_true(task:cancelled())
    assert.is_true(task:done())
  end))

  it("that catches it in a loop is broken off again at each wait, without a turn", virtual(
    function()
      local tries, others = 0, 0
      local function poll()
        while true do
          others = others + 1
          weft.sleep(0)
        end
      end
      local task = weft.create_task(function()
        for _ = 1, 100 do
          pcall(weft.sleep, 100)
          tries = tries + 1
        end
        for _, wait in ipairs { weft.yield, function() weft.await(returns()) end,
          function() weft.create_future():await() end, function() weft.semaphore(1):acquire() end,
          function() weft.gather(returns()) end } do
          raises("cancelled", wait)
        end
        return "in the end"
      end)
      parked()
      local poller = weft.create_task(poll)
      task:cancel()
      assert.equal("in the end", task:await())
      assert.equal(100, tries)
      assert.is_true(others <= 2, others)
      assert.is_false(task:cancelled())
      assert.equal(1, task:cancelling())
      poller:cancel()
    end))

  it("gets another error object each time, with the same message", virtual(function()
    local errors = {}
    local task = weft.create_task(function()
      for i = 1, 3 do
        errors[i] = error_of(weft.sleep, 1)
      end
    end)
    parked()
    task:cancel("stop it")
    task:await()
    for i = 1, 3 do
      assert.equal("stop it", errors[i].message)
      assert.equal("cancelled", errors[i].kind)
    end
    assert.not_equal(errors[1], errors[2])
  end))

  it("may go on when it takes the request back", virtual(function()
    local task = weft.create_task(function()
      raises("cancelled", weft.sleep, 100)
      assert(weft.current_task():cancelling() == 1)
      assert(weft.current_task():uncancel() == 0)
      weft.sleep(1)
      assert(weft.await(returns("x")) == "x")
      return "went on"
    end)
    parked()
    task:cancel()
    assert.equal("went on", task:await())
    assert.equal(0, task:cancelling())
    assert.is_false(task:cancelled())
  end))

  it("counts requests, and must take all back", virtual(function()
    local task = weft.create_task(function()
      local me = weft.current_task()
      pcall(weft.sleep, 100)
      assert(me:cancelling() == 3)
      assert(me:uncancel() == 2)
      raises("cancelled", weft.sleep, 0)
      assert(me:uncancel() == 1)
      raises("cancelled", weft.sleep, 0)
      assert(me:uncancel() == 0)
      assert(me:uncancel() == 0) -- there is nothing more to take back
      weft.sleep(0)
      return "x"
    end)
    parked()
    assert.equal(0, task:cancelling())
    for i = 1, 3 do
      assert.is_true(task:cancel())
      assert.equal(i, task:cancelling())
    end
    assert.equal("x", task:await())
    assert.is_false(task:cancel())
    assert.equal(0, task:cancelling())
  end))

  it("has the message of the latest request", virtual(function()
    local task = sleeper()
    parked()
    task:cancel("first")
    task:cancel("second")
    task:cancel()
    assert.equal("second", raises("cancelled", task.await, task).message)
    task = sleeper()
    parked()
    task:cancel(42)
    assert.equal("cancelled: 42", tostring(raises("cancelled", task.await, task)))
  end))

  it("that has not started never does", virtual(function()
    local ran = 0
    for _, arguments in ipairs { {}, { 1, 2, 3 } } do
      local task = weft.create_task(function() ran = ran + 1 end,
        unpack(arguments))
      assert.is_true(task:cancel("too early"))
      assert.is_false(task:done())
      assert.is_false(task:cancelled())
      local e = raises("cancelled", task.await, task)
      assert.equal("too early", e.message)
      assert.is_true(task:cancelled())
    end
    local task = weft.create_task(function() ran = ran + 1 end)
    task:cancel()
    assert.matches("^Task%-%d+ was cancelled$", raises("cancelled", task.await, task).message)
    assert.equal(0, ran)
  end))

  it("that has not started does when the request is taken back in time", virtual(function()
    local task = weft.create_task(returns("x"))
    task:cancel()
    assert.equal(0, task:uncancel())
    assert.equal("x", task:await())
  end))

  it("that is done is not touched", virtual(function()
    for _, fn in ipairs { returns(1), fails("x"), function() error(weft.Error {
      kind = "cancelled" }, 0) end } do
      local task = weft.create_task(fn)
      parked()
      pcall(task.result, task)
      local before = tostring(task)
      assert.is_false(task:cancel("late"))
      assert.equal(0, task:cancelling())
      assert.equal(before, tostring(task))
    end
  end))

  it("that returns all the same has finished", virtual(function()
    local task = weft.create_task(function()
      pcall(weft.sleep, 100)
      return "done", 2
    end)
    parked()
    task:cancel()
    assert.same({ n = 2, "done", 2 }, pack(task:await()))
    assert.is_false(task:cancelled())
    assert.equal(1, task:cancelling())
  end))

  it("that raises something else has failed", virtual(function()
    local task = weft.create_task(function()
      pcall(weft.sleep, 100)
      error("broken", 0)
    end)
    parked()
    task:cancel()
    assert.equal("broken", error_of(task.await, task))
    assert.is_false(task:cancelled())
  end))

  it("that has cancelled itself is broken off at its next wait", virtual(function()
    local reached = false
    local task = weft.create_task(function()
      weft.current_task():cancel("by myself")
      reached = true
      weft.sleep(0)
      error("not here")
    end)
    assert.equal("by myself", raises("cancelled", task.await, task).message)
    assert.is_true(reached)
    task = weft.create_task(function()
      weft.current_task():cancel()
      return "no wait follows"
    end)
    assert.equal("no wait follows", task:await())
  end))

  it("gets what arrived before the cancel, and is broken off at its next wait", virtual(function()
    for _, how in ipairs { "result", "error" } do
      local future, got, later = weft.create_future(), nil, nil
      local task = weft.create_task(function()
        got = pack(pcall(future.await, future))
        later = error_of(weft.sleep, 0)
        return "end"
      end)
      parked()
      if how == "result" then
        future:set_result("x", 2)
      else
        future:set_exception("x")
      end
      task:cancel()
      assert.equal("end", task:await())
      assert.same(how == "result" and { n = 3, true, "x", 2 } or { n = 2, false, "x" }, got)
      assert.is_true(weft.is_error(later, "cancelled"))
    end
  end))

  it("gets what arrived after the cancel, before it could run", virtual(function()
    for _, wait in ipairs { weft.await, weft.shield } do
      for how, complete in pairs {
        result = function(future) future:set_result("x", nil) end,
        error = function(future) future:set_exception("x") end,
      } do
        local future, got, later = weft.create_future(), nil, nil
        local task = weft.create_task(function()
          got = pack(pcall(wait, future))
          later = error_of(weft.sleep, 0)
        end)
        parked()
        task:cancel()
        complete(future)
        task:await()
        assert.same(how == "result" and { n = 3, true, "x", nil } or { n = 2, false, "x" }, got)
        assert.is_true(weft.is_error(later, "cancelled"))
      end
    end
  end))

  it("raises its own cancellation if what it awaits is cancelled then", virtual(function()
    local future = weft.create_future()
    local task = weft.create_task(function() future:await() end)
    parked()
    task:cancel("the task's")
    future:cancel("the future's")
    assert.equal("the task's", raises("cancelled", task.await, task).message)
  end))

  it("gets what a task returns in answer to the cancel", virtual(function()
    local inner = weft.create_task(function()
      pcall(weft.sleep, 100)
      return "answer"
    end)
    local got
    local task = weft.create_task(function()
      got = inner:await()
      weft.sleep(0)
    end)
    parked()
    task:cancel()
    raises("cancelled", task.await, task)
    assert.equal("answer", got)
  end))

  it("cancels a future that it awaits, for all who wait", virtual(function()
    local future = weft.create_future()
    local tasks = {}
    for i = 1, 2 do
      tasks[i] = weft.create_task(function() future:await() end)
    end
    parked()
    tasks[1]:cancel("mine")
    assert.equal("mine", raises("cancelled", tasks[1].await, tasks[1]).message)
    assert.is_true(future:cancelled())
    raises("cancelled", tasks[2].await, tasks[2])
    assert.equal(0, tasks[2]:cancelling())
    raises("cancelled", future.result, future)
  end))

  it("cancels a task that it awaits, and goes on when that has ended", virtual(function()
    local order = {}
    local inner = weft.create_task(function()
      weft.finally(function() weft.sleep(100) end, function()
        weft.sleep(5)
        order[#order + 1] = "inner"
      end)
    end)
    local outer = weft.create_task(function()
      pcall(inner.await, inner)
      order[#order + 1] = "outer"
    end)
    parked()
    local start = now()
    outer:cancel()
    outer:await()
    assert.same({ "inner", "outer" }, order)
    assert.near(5, now() - start, 1e-6)
    assert.is_true(inner:cancelled())
    assert.equal(1, inner:cancelling())
  end))

  it("raises its own cancellation, of which that of the awaited one is the cause", virtual(
    function()
      local inner, seen = sleeper()
      local outer = weft.create_task(function() inner:await() end)
      parked()
      outer:cancel("outer")
      local e = raises("cancelled", outer.await, outer)
      assert.equal("outer", e.message)
      assert.equal(seen[1], e.cause)
    end))

  it("at the head of a thousand awaits cancels them all, from the innermost on", virtual(function()
    local n, order = 1000, {}
    local innermost = weft.create_task(function() weft.sleep(1e6) end)
    local last = innermost
    local tasks = { last }
    for i = 2, n do
      local inner = last
      last = weft.create_task(function()
        local ok, e = pcall(inner.await, inner)
        order[#order + 1] = i
        assert(not ok)
        error(e, 0)
      end)
      tasks[i] = last
    end
    parked()
    last:cancel()
    raises("cancelled", last.await, last)
    for i = 2, n do
      assert.equal(i, order[i - 1])
      assert.is_true(tasks[i]:cancelled())
    end
    assert.is_true(innermost:cancelled())
  end))

  it("breaks off at entry what would not have waited, and nothing is taken", virtual(function()
    local sem, event, queue = weft.semaphore(1), weft.event(), weft.queue()
    local done, empty = weft.create_task(returns(1)), weft.create_task(returns())
    event:set()
    queue:put("x")
    parked()
    local task = weft.create_task(function()
      weft.current_task():cancel()
      for _, wait in ipairs { function() sem:acquire() end, function() event:wait() end,
        function() queue:get() end, function() queue:put(1) end, function() done:await() end,
        function() empty:await() end, function() weft.await(empty) end,
        function() weft.gather() end, function() weft.gather(done) end,
        function() weft.wait { done } end, function() weft.wait_for(done, 1) end } do
        raises("cancelled", wait)
      end
    end)
    task:await()
    assert.equal(1, sem:statistics().free)
    assert.equal(1, queue:qsize())
  end))

  it("is not seen as such from inside another's wait", virtual(function()
    local inner = sleeper()
    local outer = weft.create_task(function()
      local e = raises("cancelled", inner.await, inner)
      weft.sleep(1) -- it is not this task that was cancelled
      return e.message
    end)
    parked()
    inner:cancel("inner alone")
    assert.equal("inner alone", outer:await())
  end))
end)

describe("an error of kind cancelled that is raised by hand", function()
  it("cancels the task, without a request", virtual(function()
    local e = weft.Error { kind = "cancelled", message = "own" }
    local task = weft.create_task(fails(e))
    assert.equal(e, error_of(task.await, task))
    assert.is_true(task:cancelled())
    assert.equal(0, task:cancelling())
    weft.sleep(0)
  end))

  it("cancels a future", virtual(function()
    local e = weft.Error { kind = "cancelled", message = "own" }
    local future = weft.create_future()
    future:set_exception(e)
    assert.is_true(future:cancelled())
    assert.equal(e, error_of(future.await, future))
    assert.equal(e, error_of(future.exception, future))
  end))
end)

describe("try", function()
  it("returns true and the results, or nil and the error as it was", virtual(function()
    assert.same({ n = 4, true, 1, nil, 3 }, pack(weft.try(returns(1, nil, 3))))
    assert.same({ n = 3, true, 1, nil }, pack(weft.try(function(...) return ... end, 1, nil)))
    local value = {}
    assert.same({ n = 2, nil, value }, pack(weft.try(fails(value))))
    assert.equal(value, select(2, weft.try(fails(value))))
    assert.same({ n = 2, nil, nil }, pack(weft.try(fails(nil))))
    assert.same({ n = 2, nil, "x" }, pack(weft.try(function()
      weft.sleep(1)
      error("x", 0)
    end)))
  end))

  it("raises the current task's own cancellation again", virtual(function()
    local after = false
    local task = weft.create_task(function()
      weft.try(weft.sleep, 100)
      after = true
    end)
    parked()
    task:cancel("mine")
    assert.equal("mine", raises("cancelled", task.await, task).message)
    assert.is_false(after)
  end))

  it("in a coroutine inside the task too", virtual(function()
    local task = weft.create_task(function()
      coroutine.wrap(function() weft.try(weft.sleep, 100) end)()
      error("not here")
    end)
    parked()
    task:cancel()
    raises("cancelled", task.await, task)
  end))

  it("returns the cancellation of another task like any error", virtual(function()
    local inner = sleeper()
    local outer = weft.create_task(function()
      local ok, e = weft.try(inner.await, inner)
      weft.sleep(1)
      return ok, e.kind, e.message
    end)
    parked()
    inner:cancel("its own")
    assert.same({ n = 3, nil, "cancelled", "its own" }, pack(outer:await()))
    assert.same({ nil, "cancelled" }, { (weft.try(fails(weft.Error { kind = "cancelled" }))),
      select(2, weft.try(fails(weft.Error { kind = "cancelled" }))).kind })
  end))

  it("returns other errors of a task that is cancelled", virtual(function()
    local task = weft.create_task(function()
      weft.current_task():cancel()
      return weft.try(fails("x"))
    end)
    assert.same({ n = 2, nil, "x" }, pack(task:await()))
  end))

  it("works outside of tasks", support.outside(function()
    assert.same({ n = 2, true, 5 }, pack(weft.try(returns(5))))
    assert.same({ n = 2, nil, "x" }, pack(weft.try(fails("x"))))
    local e = weft.Error { kind = "cancelled" }
    assert.same({ n = 2, nil, e }, pack(weft.try(fails(e))))
  end))
end)

describe("shield", function()
  it("gives and raises what x does", virtual(function()
    assert.same({ n = 3, 1, nil, 3 }, pack(weft.shield(returns(1, nil, 3))))
    assert.equal("x", error_of(weft.shield, fails("x")))
    assert.same({ n = 1, 5 }, pack(weft.shield(weft.create_task(returns(5)))))
    local future = weft.create_future()
    future:set_result("f")
    assert.equal("f", weft.shield(future))
  end))

  it("raises at once when a cancel comes, and x runs on", virtual(function()
    local inner = weft.create_task(function() return weft.sleep(10, "ran on") end)
    local outer = weft.create_task(function() weft.shield(inner) end)
    parked()
    local start = now()
    outer:cancel("why")
    assert.equal("why", raises("cancelled", outer.await, outer).message)
    assert.near(0, now() - start, 1e-9)
    assert.equal(0, inner:cancelling())
    assert.equal("ran on", inner:await())
  end))

  it("in a task that is cancelled already waits in peace, with new waits inside", virtual(
    function()
      local cleaned
      local task = weft.create_task(function()
        pcall(weft.sleep, 100)
        cleaned = weft.shield(function() return weft.sleep(3, "cleaned") end)
        weft.sleep(0)
        error("not here")
      end)
      parked()
      local start = now()
      task:cancel()
      raises("cancelled", task.await, task)
      assert.near(3, now() - start, 1e-6)
      assert.equal("cleaned", cleaned)
    end))

  it("in a task that is cancelled again during it raises at once", virtual(function()
    local inner
    local task = weft.create_task(function()
      pcall(weft.sleep, 100)
      inner = weft.create_task(function() return weft.sleep(3, "x") end)
      weft.shield(inner)
    end)
    parked()
    task:cancel()
    parked()
    task:cancel("again")
    assert.equal("again", raises("cancelled", task.await, task).message)
    assert.equal("x", inner:await())
  end))

  it("passes x's own cancellation on as an error", virtual(function()
    local inner = sleeper()
    local outer = weft.create_task(function()
      local e = raises("cancelled", weft.shield, inner)
      weft.sleep(1)
      return e.message
    end)
    parked()
    inner:cancel("inner")
    assert.equal("inner", outer:await())
  end))

  it("does not cancel a future, nor what x awaits", virtual(function()
    local future = weft.create_future()
    local inner = weft.create_task(function() return future:await() end)
    local outer = weft.create_task(function() return weft.shield(inner) end)
    local other = weft.create_task(function() return weft.shield(future) end)
    parked()
    outer:cancel()
    other:cancel()
    raises("cancelled", outer.await, outer)
    raises("cancelled", other.await, other)
    future:set_result("x")
    assert.equal("x", inner:await())
  end))
end)

describe("finally", function()
  it("cleans up after a return, an error and a cancellation, and gives what came", virtual(
    function()
      local cleaned = 0
      local function cleanup()
        weft.sleep(1)
        cleaned = cleaned + 1
      end
      assert.same({ n = 3, 1, nil, 3 }, pack(weft.finally(returns(1, nil, 3), cleanup)))
      assert.equal("x", error_of(weft.finally, fails("x"), cleanup))
      local task = weft.create_task(weft.finally, function() weft.sleep(100) end, cleanup)
      parked()
      task:cancel("stop")
      assert.equal("stop", raises("cancelled", task.await, task).message)
      assert.equal(3, cleaned)
    end))

  it("holds back cancels that come during the clean-up", virtual(function()
    local steps, later = 0, nil
    local task = weft.create_task(function()
      weft.finally(function() end, function()
        for _ = 1, 5 do
          weft.sleep(1)
          weft.await(function() weft.sleep(0) end)
          steps = steps + 1
        end
      end)
      later = error_of(weft.sleep, 0)
      error(later, 0)
    end)
    parked()
    for _ = 1, 4 do
      task:cancel()
      weft.sleep(1)
    end
    raises("cancelled", task.await, task)
    assert.equal(5, steps)
    assert.equal(4, task:cancelling())
    assert.is_true(weft.is_error(later, "cancelled"))
  end))
end)

describe("cancelling everywhere", function()
  it("finds nothing lost in a web of tasks that await each other", function()
    local runs = testing.cancel_everywhere(function()
      local shared = weft.create_task(function() return weft.sleep(2, "x") end)
      local function user()
        weft.sleep(1)
        assert(weft.shield(shared) == "x")
        weft.await(function() weft.sleep(0) end)
      end
      weft.finally(function()
        weft.gather(user, user, user)
      end, function()
        shared:await()
      end)
    end)
    assert.is_true(runs >= 1)
  end)
end)
