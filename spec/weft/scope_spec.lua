-- SPDX-License-Identifier: MIT
-- weft.scope: timeout, timeout_at, current_deadline, wait_for, finally. Which wait a scope
-- breaks off is src/loop/scope.c's, and spec/loop/scope_spec.lua's.

local weft = require "weft"
local support = require "spec.support"
local testing = require "weft.testing"

local virtual, raises = support.virtual, support.raises
local spawn, parked = weft.create_task, testing.wait_all_parked

local function now()
  return weft.get_running_loop():time()
end

local function elapsed(fn, ...)
  local start = now()
  fn(...)
  return now() - start
end

local function after(seconds, a, b, c)
  return function()
    weft.sleep(seconds)
    return a, b, c
  end
end

local function my_error(message)
  return weft.Error { kind = "protocol", message = message }
end

local function is_cancelled(fn, ...)
  local ok, e = pcall(fn, ...)
  return not ok and weft.is_error(e, "cancelled")
end

-- A run without the guard's time limit around it.
local function unguarded(fn)
  return support.outside(function() testing.virtual_clock(fn) end)
end

-- Both ways to set a limit of so many seconds.
local LIMITS = {
  { "timeout", function(seconds, fn, ...) return weft.timeout(seconds, fn, ...) end },
  { "timeout_at", function(seconds, fn, ...)
    return weft.timeout_at(seconds and now() + seconds, fn, ...)
  end },
}

local function each_limit(name, fn)
  for _, limit in ipairs(LIMITS) do
    it(("weft.%s %s"):format(limit[1], name), virtual(function() fn(limit[2], limit[1]) end))
  end
end

describe("a time limit:", function()
  each_limit("gives what the function returns", function(limit)
    assert.same({ "n", 3, { 1, nil, 3 } }, { "n", select("#", limit(5, after(1, 1, nil, 3))),
      { limit(5, after(1, 1, nil, 3)) } })
    assert.equal(0, select("#", limit(5, function() end)))
  end)

  each_limit("passes the arguments on", function(limit)
    assert.same({ 1, nil, "x" }, { limit(5, function(...)
      weft.sleep(1)
      return ...
    end, 1, nil, "x") })
  end)

  each_limit("breaks off the wait in which it finds the function", function(limit, name)
    local e
    assert.near(2, elapsed(function()
      e = raises("timeout", limit, 2, weft.sleep, 100)
    end), 1e-6)
    assert.equal(name == "timeout" and "timed out after 2 s" or "the deadline has passed",
      e.message)
    weft.sleep(5) -- not cancelled
  end)

  each_limit("breaks off each later wait too", function(limit)
    local broken = 0
    raises("timeout", limit, 2, function()
      for _ = 1, 5 do
        broken = broken + (is_cancelled(weft.sleep, 100) and 1 or 0)
      end
      weft.sleep(0)
    end)
    assert.equal(5, broken)
  end)

  each_limit("is none for nil", function(limit)
    assert.equal("value", limit(nil, after(1000, "value")))
    assert.equal("raised", support.error_of(limit, nil, error, "raised", 0))
  end)

  each_limit("is none for infinity", function(limit)
    assert.equal("value", limit(math.huge, after(1e6, "value")))
  end)

  each_limit("of zero or less expires at the first wait, not before", function(limit)
    for _, seconds in ipairs { 0, -1, -math.huge } do
      local began, went_on = false, false
      assert.near(0, elapsed(raises, "timeout", limit, seconds, function()
        began = true
        weft.sleep(0)
        went_on = true
      end), 1e-6)
      assert.same({ true, false }, { began, went_on })
      assert.equal("no wait", limit(seconds, function() return "no wait" end))
    end
  end)

  each_limit("gives the value of a function that swallows the expiry", function(limit)
    assert.equal("all the same", limit(1, function()
      pcall(weft.sleep, 100)
      return "all the same"
    end))
    weft.sleep(1)
  end)

  each_limit("gives the error of a function that fails at the expiry", function(limit)
    local e = my_error("mine")
    assert.is_true(rawequal(e, support.error_of(limit, 1, function()
      pcall(weft.sleep, 100)
      error(e, 0)
    end)))
    assert.equal("words", support.error_of(limit, 1, function()
      pcall(weft.sleep, 100)
      error("words", 0)
    end))
  end)

  each_limit("gives the error of a function that fails before", function(limit)
    assert.equal("words", support.error_of(limit, 1, error, "words", 0))
    local foreign = {}
    assert.is_true(rawequal(foreign, support.error_of(limit, 1, error, foreign)))
    assert.is_nil(support.error_of(limit, 1, error, nil))
  end)

  each_limit("does not take another's timeout or cancellation for its own", function(limit)
    local e = weft.Error { kind = "timeout", message = "of another" }
    assert.is_true(rawequal(e, support.error_of(limit, 1, error, e)))
    local task = spawn(after(100))
    weft.get_running_loop():call_later(0.5, task.cancel, task, "by others")
    e = raises("cancelled", limit, 1, task.await, task)
    assert.equal("by others", e.message)
    e = weft.Error { kind = "cancelled", message = "made by hand" }
    assert.is_true(rawequal(e, support.error_of(limit, 1, function()
      pcall(weft.sleep, 100)
      error(e, 0)
    end)))
  end)

  each_limit("is over when the function is", function(limit)
    limit(1, function() end)
    limit(1, pcall, error, "x")
    pcall(limit, 1, error, "x")
    local timers = weft.statistics().timers
    assert.equal(1, timers) -- the guard's
    assert.near(5, elapsed(weft.sleep, 5), 1e-6)
  end)

  each_limit("lets the clean-up of the function wait, if shielded", function(limit)
    local log = {}
    assert.near(4, elapsed(raises, "timeout", limit, 1, weft.finally, after(100), function()
      weft.sleep(3)
      log[1] = "cleaned up"
    end), 1e-6)
    assert.same({ "cleaned up" }, log)
  end)

  each_limit("cancels what the function awaits, and waits for that", function(limit)
    local task = spawn(weft.finally, after(100), after(3))
    assert.near(4, elapsed(raises, "timeout", limit, 1, weft.await, task), 1e-6)
    assert.is_true(task:cancelled())
  end)

  each_limit("does not cancel what is shielded", function(limit)
    local task = spawn(after(3, "value"))
    assert.near(1, elapsed(raises, "timeout", limit, 1, weft.shield, task), 1e-6)
    assert.equal("value", task:await())
  end)

  each_limit("that passes in the turn in which a result comes counts the result", function(limit)
    local future = weft.create_future()
    weft.get_running_loop():call_later(1, future.set_result, future, "in time")
    assert.equal("in time", limit(1, weft.shield, future))
    future = weft.create_future()
    weft.get_running_loop():call_later(1, future.set_result, future, "in time")
    assert.equal("in time", limit(1, weft.await, future))
  end)

  each_limit("that passes just before takes nothing from what comes then", function(limit)
    local semaphore = weft.semaphore(0)
    local task = spawn(limit, 1, semaphore.acquire, semaphore)
    parked()
    weft.get_running_loop():call_later(1, semaphore.release, semaphore)
    raises("timeout", task.await, task)
    parked()
    assert.equal(1, semaphore:statistics().free)
  end)

  each_limit("yields to a cancellation in the same turn", function(limit)
    local task
    weft.get_running_loop():call_later(1, function() task:cancel("enough") end)
    task = spawn(limit, 1, weft.sleep, 100)
    assert.equal("enough", raises("cancelled", task.await, task).message)
    -- in the other order the task is gone already, or else cancelled as well
    task = spawn(limit, 1, function()
      pcall(weft.sleep, 100)
      weft.current_task():cancel("enough")
      weft.sleep(0)
    end)
    raises("cancelled", task.await, task)
    assert.is_true(task:cancelled())
  end)

  each_limit("leaves the cancellation of the task standing", function(limit)
    local later
    local task = spawn(function()
      later = { is_cancelled(limit, 5, weft.sleep, 100), is_cancelled(weft.sleep, 0) }
      weft.sleep(0)
    end)
    weft.sleep(1)
    task:cancel()
    raises("cancelled", task.await, task)
    assert.same({ true, true }, later)
  end)

  each_limit("holds for a task that was cancelled and took it back", function(limit)
    local task = spawn(function()
      is_cancelled(weft.sleep, 100)
      weft.current_task():uncancel()
      return elapsed(raises, "timeout", limit, 2, weft.sleep, 100)
    end)
    weft.sleep(1)
    task:cancel()
    assert.near(2, task:await(), 1e-6)
  end)

  each_limit("is not inherited by tasks made inside", function(limit)
    local task
    raises("timeout", limit, 1, function()
      task = spawn(after(3, "value"))
      weft.sleep(100)
    end)
    assert.equal("value", task:await())
  end)

  each_limit("refuses what is no number or no function", function(limit)
    for _, bad in ipairs { "1", true, {}, function() end } do
      local calls = 0
      raises("type", weft.timeout, bad, function() calls = calls + 1 end)
      raises("type", weft.timeout_at, bad, function() calls = calls + 1 end)
      assert.equal(0, calls)
    end
    raises("type", weft.timeout, 0 / 0, weft.sleep)
    raises("type", limit, 1, nil)
    raises("type", limit, nil, nil)
    raises("type", limit, nil, "x")
    assert.equal(3, limit(1, setmetatable({}, { __call = function(_, x) return x end }), 3))
  end)

  it("outside a task are state errors", virtual(function()
    local results, done = {}, weft.create_future()
    local calls = 0
    local function fn() calls = calls + 1 end
    weft.get_running_loop():call_soon(function()
      for i, f in ipairs { weft.timeout, weft.timeout_at } do
        results[i] = support.error_of(f, 1, fn).code
      end
      results[3] = support.error_of(weft.wait_for, fn, 1).code
      done:set_result()
    end)
    done:await()
    assert.same({ "ENOTASK", "ENOTASK", "ENOTASK" }, results)
    assert.equal(0, calls)
  end))

  it("outside of any loop are state errors", support.outside(function()
    raises("state", weft.timeout, 1, function() end)
    raises("state", weft.timeout_at, 1, function() end)
    raises("state", weft.wait_for, function() end, 1)
    assert.is_nil(weft.current_deadline())
  end))

  it("by the real clock are kept", support.run(function()
    local start = now()
    raises("timeout", weft.timeout, 0.02, weft.sleep, 20)
    local took = now() - start
    assert.is_true(took >= 0.02 and took < 10, took)
  end))

  it("hold through very many", virtual(function()
    local expired = 0
    local tasks = {}
    for i = 1, support.rounds(5000) do
      tasks[i] = spawn(function()
        local ok = pcall(weft.timeout, i % 10 + 0.5, weft.sleep, 5)
        expired = expired + (ok and 0 or 1)
      end)
    end
    weft.gather(tasks)
    assert.equal(support.rounds(5000) / 2, expired)
    assert.equal(1, weft.statistics().timers)
  end))
end)

describe("time limits in each other:", function()
  -- the limits from the outside in; which of them raises timeout, and after what time
  for _, case in ipairs {
    { { 1, 2 }, 1 }, { { 2, 1 }, 2 }, { { 1, 1 }, 1 }, { { 3, 1, 2 }, 2 }, { { 1, 2, 3 }, 1 },
    { { 3, 2, 1 }, 3 }, { { 2, 1, 1 }, 2 }, { { 0, 1 }, 1 }, { { 1, 0 }, 2 }, { { 0, 0 }, 1 },
    { { 1, math.huge, 2 }, 1 }, { { math.huge, 2, math.huge }, 2 },
  } do
    local limits, guilty = case[1], case[2]
    it(("of %s, number %d is blamed"):format(table.concat(limits, ", "), guilty),
      virtual(function()
        local kinds = {}
        local function nested(level)
          if not limits[level] then
            return weft.sleep(100)
          end
          local ok, e = pcall(weft.timeout, limits[level], nested, level + 1)
          kinds[level] = not ok and e.kind
          error(e, 0)
        end
        assert.near(limits[guilty], elapsed(pcall, nested, 1), 1e-6)
        for level = 1, #limits do
          local expected = level > guilty and "cancelled" or "timeout"
          assert.equal(expected, kinds[level], "level " .. level)
        end
        weft.sleep(5)
      end))
  end

  it("an inner one that expired is the outer one's value", virtual(function()
    assert.equal("inner", weft.timeout(5, function()
      raises("timeout", weft.timeout, 1, weft.sleep, 100)
      weft.sleep(1)
      return "inner"
    end))
  end))

  it("an outer one that expires during the clean-up of an inner one is blamed", virtual(function()
    local inner
    local e = raises("timeout", weft.timeout, 2, function()
      inner = support.error_of(weft.timeout, 1, weft.finally, after(100), after(5))
      error(inner, 0)
    end)
    assert.equal("timed out after 2 s", e.message)
    assert.equal("cancelled", inner.kind)
  end))

  it("one after the other are independent", virtual(function()
    for i = 1, 5 do
      assert.near(i, elapsed(raises, "timeout", weft.timeout, i, weft.sleep, 100), 1e-6)
      assert.equal(i, weft.timeout(i + 1, after(i, i)))
    end
  end))

  it("around wait_for, and it around one", virtual(function()
    local e = raises("timeout", weft.timeout, 1, weft.wait_for, after(100), 2)
    assert.equal("timed out after 1 s", e.message)
    e = raises("timeout", weft.timeout, 2, weft.wait_for, after(100), 1)
    assert.equal("timed out after 1 s", e.message)
    e = raises("timeout", weft.wait_for, function() weft.timeout(1, weft.sleep, 100) end, 2)
    assert.equal("timed out after 1 s", e.message)
    e = raises("timeout", weft.wait_for, function() weft.timeout(3, weft.sleep, 100) end, 2)
    assert.equal("timed out after 2 s", e.message)
  end))
end)

describe("a time limit in a generator", function()
  it("holds while the generator runs, and not while it is suspended", virtual(function()
    local step = coroutine.wrap(function()
      weft.timeout(2, function()
        coroutine.yield("first")
        weft.sleep(100)
      end)
    end)
    assert.equal("first", step())
    weft.sleep(5) -- longer than the generator's limit
    assert.near(0, elapsed(raises, "timeout", step), 1e-6)
  end))

  it("is over when the generator goes on past it", virtual(function()
    local step = coroutine.wrap(function()
      coroutine.yield(pcall(weft.timeout, 1, weft.sleep, 100))
      weft.sleep(3)
      coroutine.yield("later")
    end)
    assert.is_false(step())
    assert.equal("later", step())
  end))

  it("of the consumer breaks off the generator's wait, and is blamed outside", virtual(function()
    local inside
    local e = raises("timeout", weft.timeout, 1, function()
      local step = coroutine.wrap(function()
        inside = support.error_of(weft.timeout, 5, weft.sleep, 100)
        error(inside, 0)
      end)
      step()
    end)
    assert.equal("timed out after 1 s", e.message)
    assert.equal("cancelled", inside.kind)
  end))

  it("left behind in the middle strikes nobody, and is collected", virtual(function()
    do
      local step = coroutine.wrap(function()
        weft.timeout(2, coroutine.yield)
      end)
      step()
    end
    weft.sleep(5)
    collectgarbage()
    collectgarbage()
    assert.equal(1, weft.statistics().timers)
  end))

  it("counts as the deadline there, and not outside", unguarded(function()
    local step = coroutine.wrap(function()
      weft.timeout(2, function()
        coroutine.yield(weft.current_deadline())
        coroutine.yield(weft.current_deadline())
      end)
    end)
    local deadline = step()
    assert.near(now() + 2, deadline, 1e-6)
    assert.is_nil(weft.current_deadline())
    assert.equal(deadline, step())
  end))
end)

describe("weft.current_deadline", function()
  it("is the nearest deadline in force, or nil", unguarded(function()
    local loop = weft.get_running_loop()
    assert.is_nil(weft.current_deadline())
    weft.timeout(10, function()
      local outer = weft.current_deadline()
      assert.near(loop:time() + 10, outer, 1e-6)
      weft.timeout(20, function() assert.equal(outer, weft.current_deadline()) end)
      weft.timeout_at(loop:time() + 5, function()
        assert.near(loop:time() + 5, weft.current_deadline(), 1e-6)
      end)
      weft.timeout(nil, function() assert.equal(outer, weft.current_deadline()) end)
      weft.timeout(math.huge, function() assert.equal(outer, weft.current_deadline()) end)
      weft.sleep(3)
      assert.equal(outer, weft.current_deadline())
    end)
    assert.is_nil(weft.current_deadline())
  end))

  it("is none in a shielded clean-up, and in a new task", unguarded(function()
    weft.timeout(10, function()
      weft.finally(function() end, function()
        assert.is_nil(weft.current_deadline())
        weft.timeout(3, function()
          assert.near(now() + 3, weft.current_deadline(), 1e-6)
        end)
      end)
      assert.is_nil(weft.await(function() return weft.current_deadline() end))
    end)
  end))

  it("has passed when the limit has expired", unguarded(function()
    pcall(weft.timeout, 2, function()
      pcall(weft.sleep, 100)
      assert.near(now(), weft.current_deadline(), 1e-6)
    end)
    assert.is_nil(weft.current_deadline())
  end))

  it("is a time that timeout_at takes", unguarded(function()
    local deadline = weft.timeout(10, weft.current_deadline)
    weft.sleep(4)
    assert.near(6, elapsed(raises, "timeout", weft.timeout_at, deadline, weft.sleep, 100), 1e-6)
  end))

  it("is nil outside a task", support.outside(function()
    assert.is_nil(weft.current_deadline())
  end))
end)

describe("weft.wait_for", function()
  it("gives the results of a task, a future or a function", virtual(function()
    local future = weft.create_future()
    weft.get_running_loop():call_later(1, future.set_result, future, 1, nil, 3)
    assert.same({ 3, 1, nil, 3 }, { select("#", weft.wait_for(future, 5)),
      weft.wait_for(future, 5) })
    assert.equal("task", weft.wait_for(spawn(after(1, "task")), 5))
    assert.equal("function", weft.wait_for(after(1, "function"), 5))
    assert.equal("callable", weft.wait_for(setmetatable({}, { __call = after(1, "callable") }), 5))
  end))

  it("raises what x raised", virtual(function()
    local e = my_error("mine")
    assert.is_true(rawequal(e, support.error_of(weft.wait_for, function() error(e, 0) end, 5)))
    assert.equal("words", support.error_of(weft.wait_for, function() error("words", 0) end, 5))
  end))

  it("cancels x when the time runs out, and raises when x has ended", virtual(function()
    local log = {}
    local task = spawn(weft.finally, after(100), function()
      weft.sleep(3)
      log[1] = "cleaned up"
    end)
    local e
    assert.near(5, elapsed(function() e = raises("timeout", weft.wait_for, task, 2) end), 1e-6)
    assert.equal("timed out after 2 s", e.message)
    assert.same({ "cleaned up" }, log)
    assert.is_true(task:cancelled())
  end))

  it("cancels a future when the time runs out", virtual(function()
    local future = weft.create_future()
    assert.near(2, elapsed(raises, "timeout", weft.wait_for, future, 2), 1e-6)
    assert.is_true(future:cancelled())
  end))

  it("does not limit without a time", virtual(function()
    assert.equal("value", weft.wait_for(after(1e6, "value")))
    assert.equal("value", weft.wait_for(after(1e6, "value"), nil))
    assert.equal("value", weft.wait_for(after(1e6, "value"), math.huge))
  end))

  it("counts the value or the error with which x answers the cancellation", virtual(function()
    assert.equal("answer", weft.wait_for(function()
      pcall(weft.sleep, 100)
      return "answer"
    end, 1))
    assert.equal("answer", support.error_of(weft.wait_for, function()
      pcall(weft.sleep, 100)
      error("answer", 0)
    end, 1))
  end))

  it("with no time left gives what is there, and else cancels, also what never began", virtual(
    function()
      for _, seconds in ipairs { 0, -1 } do
        local done = spawn(after(0, "there"))
        weft.sleep(1)
        assert.equal("there", weft.wait_for(done, seconds))
        local failed = spawn(error, "broken", 0)
        weft.sleep(1)
        assert.equal("broken", support.error_of(weft.wait_for, failed, seconds))

        local calls = 0
        raises("timeout", weft.wait_for, function() calls = calls + 1 end, seconds)
        assert.equal(0, calls)
        local running = spawn(weft.finally, after(100), after(3))
        weft.sleep(1)
        assert.near(3, elapsed(raises, "timeout", weft.wait_for, running, seconds), 1e-6)
        assert.is_true(running:cancelled())
        local future = weft.create_future()
        raises("timeout", weft.wait_for, future, seconds)
        assert.is_true(future:cancelled())
      end
    end))

  it("with no time left lets x answer the cancellation", virtual(function()
    local task = spawn(function()
      pcall(weft.sleep, 100)
      return "answer"
    end)
    weft.sleep(1)
    assert.equal("answer", weft.wait_for(task, 0))
    task = spawn(function()
      pcall(weft.sleep, 100)
      error("answer", 0)
    end)
    weft.sleep(1)
    assert.equal("answer", support.error_of(weft.wait_for, task, 0))
  end))

  it("lets a result win that came in the same turn as the end of the time", virtual(function()
    local future = weft.create_future()
    weft.get_running_loop():call_later(1, future.set_result, future, "in time")
    assert.equal("in time", weft.wait_for(future, 1))
    future = weft.create_future()
    weft.get_running_loop():call_later(1, future.set_exception, future, "in time")
    assert.equal("in time", support.error_of(weft.wait_for, future, 1))
    -- and so a task that is about to end at that very time
    local event = weft.event()
    weft.get_running_loop():call_later(1, event.set, event)
    assert.equal("value", weft.wait_for(function()
      pcall(event.wait, event)
      return "value"
    end, 1))
  end))

  it("raises cancelled, not timeout, when x was cancelled by others", virtual(function()
    local task = spawn(after(100))
    weft.get_running_loop():call_later(1, task.cancel, task, "by others")
    assert.equal("by others", raises("cancelled", weft.wait_for, task, 5).message)
    weft.sleep(1)
  end))

  it("raises x's own timeout as it is", virtual(function()
    local e = raises("timeout", weft.wait_for, function() weft.timeout(1, weft.sleep, 9) end, 5)
    assert.equal("timed out after 1 s", e.message)
  end))

  it("passes a cancellation on to x, and raises when x has ended", virtual(function()
    local x = spawn(weft.finally, after(100), after(3))
    local task = spawn(weft.wait_for, x, 50)
    weft.sleep(1)
    task:cancel("enough")
    assert.near(3, elapsed(function()
      assert.equal("enough", raises("cancelled", task.await, task).message)
    end), 1e-6)
    assert.is_true(x:cancelled())
  end))

  it("never swallows a cancellation, whenever it comes", virtual(function()
    -- x ends after 2 s; its time is up after 4 s, if x does not end before; the cancel comes
    -- in each half second, and just before or after the other events of that time
    for _, x_ends in ipairs { 2, 4, 6 } do
      for at = 0, 14 do
        for _, order in ipairs { "first", "last" } do
          local loop, task = weft.get_running_loop(), nil
          local outcome, later
          local function cancel() task:cancel() end
          if order == "first" then
            loop:call_later(at / 2, cancel)
          end
          task = spawn(function()
            outcome = { pcall(weft.wait_for, function()
              weft.finally(after(x_ends), after(1))
              return "value"
            end, 4) }
            later = is_cancelled(weft.sleep, 0)
            weft.sleep(100)
          end)
          parked()
          if order == "last" then
            loop:call_later(at / 2, cancel)
          end
          weft.wait({ task })
          local what = ("x ends at %d, cancelled at %g, %s"):format(x_ends, at / 2, order)
          if not outcome then
            assert.equal(0, at, what) -- it had not begun
          else
            local kind = outcome[1] and "value" or outcome[2].kind
            assert(kind == "value" or kind == "timeout" or kind == "cancelled", what)
            assert.is_true(later or kind ~= "cancelled", what)
            assert.is_true(task:cancelled(), what)
          end
        end
      end
    end
  end))

  it("that is cancelled at its entry does not touch x", virtual(function()
    local x, calls = spawn(after(2, "value")), 0
    local task = spawn(function()
      weft.current_task():cancel()
      raises("cancelled", weft.wait_for, x, 5)
      raises("cancelled", weft.wait_for, x, 0)
      weft.wait_for(function() calls = calls + 1 end, 5)
    end)
    raises("cancelled", task.await, task)
    assert.equal("value", x:await())
    assert.equal(0, calls)
  end))

  it("that is cancelled while x cleans up after the timeout raises cancelled", virtual(function()
    local x = spawn(weft.finally, after(100), after(5))
    local task = spawn(weft.wait_for, x, 1)
    weft.sleep(3)
    task:cancel("enough")
    assert.near(3, elapsed(function()
      assert.equal("enough", raises("cancelled", task.await, task).message)
    end), 1e-6)
  end))

  it("with a shield leaves x running", virtual(function()
    local x = spawn(after(5, "value"))
    assert.near(1, elapsed(raises, "timeout", weft.wait_for,
      function() return weft.shield(x) end, 1), 1e-6)
    assert.equal("value", x:await())
  end))

  it("in each other blames the one whose time ran out", virtual(function()
    local function inner(seconds)
      return function() return weft.wait_for(after(100), seconds) end
    end
    assert.equal("timed out after 1 s", raises("timeout", weft.wait_for, inner(1), 2).message)
    assert.equal("timed out after 2 s", raises("timeout", weft.wait_for, inner(3), 2).message)
  end))

  it("for oneself is a state error", virtual(function()
    raises("state", weft.wait_for, weft.current_task(), 1)
    weft.sleep(2)
  end))

  it("refuses what cannot be awaited, and a time that is no number, and starts nothing", virtual(
    function()
      for _, bad in ipairs { 1, "x", {}, true } do
        raises("type", weft.wait_for, bad, 1)
      end
      local calls = 0
      for _, bad in ipairs { "1", 0 / 0, true, {} } do
        raises("type", weft.wait_for, function() calls = calls + 1 end, bad)
      end
      weft.sleep(0)
      assert.equal(0, calls)
    end))

  it("where no wait is possible says so, and starts nothing", virtual(function()
    local calls = 0
    table.sort({ 1, 2 }, function(a, b)
      raises({ "state", "EBLOCKED" }, weft.wait_for, function() calls = calls + 1 end, 1)
      raises({ "state", "EBLOCKED" }, weft.wait_for, function() calls = calls + 1 end, 0)
      return a < b
    end)
    weft.sleep(0)
    assert.equal(0, calls)
  end))
end)

-- The time runs out while the one who waits is ready to run, its result being there.
describe("a result that has arrived", function()
  for _, case in ipairs {
    { "timeout around await", function(x, seconds)
      return weft.timeout(seconds, weft.await, x)
    end },
    { "timeout around shield", function(x, seconds)
      return weft.timeout(seconds, weft.shield, x)
    end },
    { "wait_for", weft.wait_for },
    { "timeout around gather", function(x, seconds)
      return weft.timeout(seconds, weft.gather, x)[1]
    end },
    { "timeout around wait", function(x, seconds)
      return weft.timeout(seconds, weft.wait, { x })[1]:result()
    end },
    { "wait with a timeout", function(x, seconds)
      return weft.wait({ x }, { timeout = seconds })[1]:result()
    end },
    { "as_completed with a timeout", function(x, seconds)
      return weft.as_completed({ x }, { timeout = seconds })():result()
    end },
  } do
    it("is no timeout: " .. case[1], support.outside(function()
      local loop = weft.new_event_loop()
      local future = loop:create_future()
      local task = loop:create_task(case[2], future, 0.03)
      loop:create_task(function()
        weft.sleep(0)
        future:set_result("in time")
        local limit = loop:time() + 0.031
        while loop:time() < limit do end
        loop:stop() -- so that the timers are looked at before the next round
      end)
      loop:run_forever()
      assert.is_false(task:done())
      assert.equal("in time", loop:run_until_complete(task))
      loop:close()
    end))
  end
end)

describe("weft.finally", function()
  it("gives what the function returned, after the clean-up", virtual(function()
    local log = {}
    local function body()
      log[#log + 1] = "body"
      return 1, nil, 3
    end
    local results = { n = select("#", weft.finally(body, function() end)) }
    assert.equal(3, results.n)
    log = {}
    assert.same({ 1, nil, 3 }, { weft.finally(body, function()
      weft.sleep(1)
      log[#log + 1] = "clean-up"
      return "not this"
    end) })
    assert.same({ "body", "clean-up" }, log)
  end))

  it("raises what the function raised, after the clean-up", virtual(function()
    for _, e in ipairs { my_error("mine"), "words", {} } do
      local cleaned = false
      assert.is_true(rawequal(e, support.error_of(weft.finally, function() error(e, 0) end,
        function()
          weft.sleep(1)
          cleaned = true
        end)))
      assert.is_true(cleaned)
    end
    assert.is_nil(support.error_of(weft.finally, function() error(nil) end, function() end))
  end))

  it("raises what the clean-up raised, which has the function's error as its cause", virtual(
    function()
      local first, second = my_error("first"), my_error("second")
      assert.is_true(rawequal(second, support.error_of(weft.finally,
        function() error(first, 0) end, function() error(second, 0) end)))
      assert.is_true(rawequal(first, second.cause))
      assert.equal("words", support.error_of(weft.finally, function() end,
        function() error("words", 0) end))
      local same = my_error("same")
      pcall(weft.finally, function() error(same, 0) end, function() error(same, 0) end)
      assert.is_nil(same.cause)
    end))

  it("cleans up in peace after a cancellation, which is raised then", virtual(function()
    local log = {}
    local task = spawn(weft.finally, after(100), function()
      weft.sleep(1)
      log[#log + 1] = "slept"
      weft.gather(after(1), after(2))
      log[#log + 1] = "gathered"
      weft.queue():put(1)
      log[#log + 1] = is_cancelled(weft.sleep, 1)
    end)
    weft.sleep(1)
    task:cancel("enough")
    assert.equal("enough", raises("cancelled", task.await, task).message)
    assert.same({ "slept", "gathered", false }, log)
  end))

  it("holds back cancels that come during the clean-up until it has ended", virtual(function()
    local cleaned, later = false, nil
    local task = spawn(function()
      assert.equal("value", weft.finally(function() return "value" end, function()
        weft.sleep(5)
        cleaned = true
      end))
      later = is_cancelled(weft.sleep, 0)
      weft.sleep(0)
    end)
    weft.sleep(1)
    task:cancel()
    weft.sleep(1)
    task:cancel()
    raises("cancelled", task.await, task)
    assert.same({ true, true }, { cleaned, later })
  end))

  it("holds back a time limit from outside, but not one from inside", virtual(function()
    local inside
    assert.near(5, elapsed(raises, "timeout", weft.timeout, 1, function()
      weft.finally(function() end, function()
        weft.sleep(2)
        inside = support.error_of(weft.timeout, 3, weft.sleep, 100).kind
      end)
      weft.sleep(1)
    end), 1e-6)
    assert.equal("timeout", inside)
  end))

  it("in each other cleans up from the inside out", virtual(function()
    local log = {}
    local function note(text)
      return function()
        weft.sleep(1)
        log[#log + 1] = text
      end
    end
    local task = spawn(weft.finally, function()
      weft.finally(function() weft.finally(after(100), note("inner")) end, note("middle"))
    end, note("outer"))
    weft.sleep(1)
    task:cancel()
    raises("cancelled", task.await, task)
    assert.same({ "inner", "middle", "outer" }, log)
  end))

  it("cleans up when the function is never reached by a cancelled task's wait", virtual(function()
    local log = {}
    local task = spawn(function()
      weft.current_task():cancel()
      weft.finally(function() weft.sleep(0) end, function()
        weft.sleep(1)
        log[1] = "cleaned up"
      end)
    end)
    raises("cancelled", task.await, task)
    assert.same({ "cleaned up" }, log)
  end))

  it("works in a generator, and outside a task if nothing waits", virtual(function()
    local step = coroutine.wrap(function()
      weft.finally(function() coroutine.yield("inside") end, function() weft.sleep(1) end)
      coroutine.yield("after")
    end)
    assert.equal("inside", step())
    assert.equal("after", step())
    local log, done = {}, weft.create_future()
    weft.get_running_loop():call_soon(function()
      log[1] = weft.finally(function() return "value" end, function() log[2] = "cleaned" end)
      done:set_result()
    end)
    done:await()
    assert.same({ "value", "cleaned" }, log)
  end))

  it("refuses what is no function before it runs any", virtual(function()
    local calls = 0
    raises("type", weft.finally, function() calls = calls + 1 end, nil)
    raises("type", weft.finally, nil, function() calls = calls + 1 end)
    assert.equal(0, calls)
  end))

  it("may be reached by no cancel and no time limit at any wait", function()
    local cleaned = 0
    local runs = testing.cancel_everywhere(function()
      cleaned = 0
      weft.finally(function()
        weft.sleep(1)
        weft.timeout(5, weft.sleep, 1)
      end, function()
        weft.sleep(1)
        weft.sleep(1)
        cleaned = 1
      end)
    end, function() assert.equal(1, cleaned) end)
    assert.equal(4, runs)
  end)
end)

describe("weft.shield", function()
  it("raises at once in a task that is cancelled meanwhile, and x runs on", virtual(function()
    local x = spawn(after(5, "value"))
    local task = spawn(weft.shield, x)
    weft.sleep(1)
    task:cancel("enough")
    assert.near(0, elapsed(function()
      assert.equal("enough", raises("cancelled", task.await, task).message)
    end), 1e-6)
    assert.equal("value", x:await())
  end))

  it("in a cancelled task waits in peace, also after a time limit has passed", virtual(function()
    local got
    local task = spawn(function()
      pcall(weft.sleep, 100)
      got = weft.shield(after(2, "value"))
      weft.sleep(0)
    end)
    weft.sleep(1)
    task:cancel()
    raises("cancelled", task.await, task)
    assert.equal("value", got)
    assert.equal("value", weft.timeout(1, function()
      pcall(weft.sleep, 100)
      return weft.shield(after(2, "value"))
    end))
  end))

  it("in shield is one shield", virtual(function()
    local x = spawn(after(3, "value"))
    local inner = spawn(weft.shield, x)
    raises("timeout", weft.timeout, 1, weft.shield, inner)
    assert.equal("value", inner:await())
  end))

  it("does not cancel a future", virtual(function()
    local future = weft.create_future()
    raises("timeout", weft.timeout, 1, weft.shield, future)
    assert.is_false(future:done())
    future:set_result("value")
    assert.equal("value", weft.shield(future))
  end))

  it("gives an x that was cancelled by others as such", virtual(function()
    local x = spawn(after(100))
    weft.get_running_loop():call_later(1, x.cancel, x, "by others")
    assert.equal("by others", raises("cancelled", weft.shield, x).message)
    weft.sleep(1)
  end))
end)
