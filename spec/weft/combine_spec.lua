-- SPDX-License-Identifier: MIT
-- weft.combine: gather, wait, as_completed: the order and form of what they give, what becomes
-- of the others when one fails, and of all when the one who waits is cancelled.

local weft = require "weft"
local support = require "spec.support"
local testing = require "weft.testing"

local virtual, raises = support.virtual, support.raises
local spawn, parked = weft.create_task, testing.wait_all_parked

local function now()
  return weft.get_running_loop():time()
end

-- Seconds that fn(...) took.
local function elapsed(fn, ...)
  local start = now()
  fn(...)
  return now() - start
end

-- A function that returns `...` after a while.
local function after(seconds, a, b, c)
  return function()
    weft.sleep(seconds)
    return a, b, c
  end
end

-- A function that raises `e` after a while.
local function failing(seconds, e)
  return function()
    weft.sleep(seconds)
    error(e, 0)
  end
end

local function my_error(message)
  return weft.Error { kind = "protocol", message = message }
end

-- A function that sleeps, and notes in `log` how it ended, `cleanup` seconds after that.
local function noting(log, name, seconds, cleanup)
  return function()
    weft.finally(function()
      local ok, e = pcall(weft.sleep, seconds)
      log[#log + 1] = name .. (ok and " returned" or " " .. e.kind)
      if not ok then
        error(e, 0)
      end
    end, function()
      if cleanup then
        weft.sleep(cleanup)
        log[#log + 1] = name .. " cleaned up"
      end
    end)
  end
end

-- The messages of the errors that nobody looked at, in a run of fn(...) of its own.
local function reported(fn, ...)
  local messages = {}
  testing.virtual_clock(function(...)
    weft.get_running_loop():set_exception_handler(function(_, context)
      messages[#messages + 1] = context.exception.message
    end)
    fn(...)
  end, ...)
  table.sort(messages)
  return messages
end

-- No reports of errors that nobody looks at, where that is not what matters.
local function quietly(fn)
  return virtual(function()
    weft.get_running_loop():set_exception_handler(function() end)
    fn()
  end)
end

local function callable(fn)
  return setmetatable({}, { __call = function(_, ...) return fn(...) end })
end

describe("weft.gather", function()
  it("gives the results in order, whichever comes first, and takes as long as the longest",
    virtual(function()
      local results
      assert.near(3, elapsed(function()
        results = weft.gather(after(3, "a"), after(1, "b"), after(2, "c"))
      end), 1e-6)
      assert.same({ "a", "b", "c", n = 3 }, results)
    end))

  it("gives the first result of each, with nils and an n that counts them", virtual(function()
    local results = weft.gather(after(1), after(2, nil, "second"), after(0, 1, 2, 3),
      after(1, false), after(1, nil))
    assert.same({ n = 5, [3] = 1, [4] = false }, results)
  end))

  it("takes tasks, futures, functions and what can be called", virtual(function()
    local future = weft.create_future()
    weft.get_running_loop():call_later(1, future.set_result, future, "future")
    assert.same({ "task", "future", "function", "callable", n = 4 },
      weft.gather(spawn(after(2, "task")), future, after(0, "function"),
        callable(after(0, "callable"))))
    assert.same({ "callable", n = 1 }, weft.gather(callable(after(0, "callable"))))
  end))

  it("takes one list of them", virtual(function()
    local list = { after(2, "a"), spawn(after(1, "b")), callable(after(0, "c")) }
    assert.same({ "a", "b", "c", n = 3 }, weft.gather(list))
    assert.equal("function", type(list[1]))
    assert.same({ "a", "b", n = 2 }, weft.gather({ after(2, "a"), after(1, "b") }, {}))
  end))

  it("takes the results of another gather's list with n", virtual(function()
    local list = { n = 2, after(1, "a"), after(1, "b"), after(1, "not counted") }
    assert.same({ "a", "b", n = 2 }, weft.gather(list))
  end))

  it("of nothing is an empty table, at once", virtual(function()
    local others = 0
    spawn(function() others = others + 1 end)
    assert.same({ n = 0 }, weft.gather())
    assert.same({ n = 0 }, weft.gather({}))
    assert.same({ n = 0 }, weft.gather({}, { return_exceptions = true }))
    assert.equal(0, others)
    weft.sleep(0)
  end))

  it("does not suspend when all are done", virtual(function()
    local tasks = { spawn(after(0, 1)), spawn(after(0, 2)) }
    weft.sleep(1)
    local others = 0
    spawn(function() others = others + 1 end)
    assert.same({ 1, 2, n = 2 }, weft.gather(tasks))
    assert.equal(0, others)
    weft.sleep(0)
  end))

  it("runs a function twice that is listed twice", virtual(function()
    local calls = 0
    local function fn()
      calls = calls + 1
      weft.sleep(1)
      return calls
    end
    assert.same({ 2, 2, n = 2 }, weft.gather(fn, fn))
    assert.same({ 4, 4, n = 2 }, weft.gather({ fn, fn }))
  end))

  it("gives the result of a task twice that is listed twice", virtual(function()
    local calls = 0
    local task = spawn(function()
      calls = calls + 1
      weft.sleep(1)
      return { "result" }
    end)
    local results = weft.gather(task, after(0, "other"), task)
    assert.equal(1, calls)
    assert.equal("result", results[1][1])
    assert.is_true(rawequal(results[1], results[3]))
    assert.equal("other", results[2])
  end))

  it("starts functions in their order", virtual(function()
    local order, list = {}, {}
    for i = 1, 20 do
      list[i] = function() order[#order + 1] = i end
    end
    weft.gather(list)
    for i = 1, 20 do
      assert.equal(i, order[i])
    end
  end))

  it("of many thousands gives each its place", virtual(function()
    local list, count = {}, support.rounds(20000)
    for i = 1, count do
      list[i] = after(i % 7, i)
    end
    local results = weft.gather(list)
    assert.equal(count, results.n)
    for i = 1, count do
      assert(results[i] == i)
    end
  end))

  it("in each other gives results in each other", virtual(function()
    local results = weft.gather(
      function() return weft.gather(after(1, "a"), after(2, "b")) end,
      function()
        return weft.gather(function() return weft.gather(after(3, "c")) end)
      end)
    assert.same({ { "a", "b", n = 2 }, { { "c", n = 1 }, n = 1 }, n = 2 }, results)
  end))

  it("in a generator waits for all", virtual(function()
    local step = coroutine.wrap(function()
      for i = 1, 3 do
        coroutine.yield(weft.gather(after(1, i), after(2, -i)))
      end
    end)
    for i = 1, 3 do
      assert.same({ i, -i, n = 2 }, step())
    end
  end))
end)

describe("a failure in weft.gather", function()
  it("is raised at once, and the others run on", virtual(function()
    local log, e = {}, my_error("broken")
    local others = { spawn(noting(log, "a", 3)), spawn(noting(log, "b", 1)) }
    local raised
    assert.near(2, elapsed(function()
      raised = support.error_of(weft.gather, others[1], failing(2, e), others[2])
    end), 1e-6)
    assert.is_true(rawequal(e, raised))
    assert.same({ "b returned" }, log)
    weft.sleep(2)
    assert.same({ "b returned", "a returned" }, log)
  end))

  it("is that which came first, wherever it stands", quietly(function()
    local e = raises("protocol", weft.gather, failing(2, my_error("second")),
      failing(1, my_error("first")), failing(3, my_error("third")))
    assert.equal("first", e.message)
    weft.sleep(5)
  end))

  it("is raised as it was: a string, a table", virtual(function()
    assert.equal("words", support.error_of(weft.gather, failing(0, "words")))
    local foreign = {}
    assert.is_true(rawequal(foreign, support.error_of(weft.gather, failing(0, foreign))))
  end))

  it("that was there before is raised without waiting", virtual(function()
    local failed = spawn(failing(0, "before"))
    weft.sleep(1)
    assert.near(0, elapsed(function()
      assert.equal("before", support.error_of(weft.gather, after(5), failed))
    end), 1e-6)
    weft.sleep(5)
  end))

  it("beside which results came in the same turn is still raised", virtual(function()
    local e = support.error_of(weft.gather, after(1, "a"), failing(1, "broken"), after(1, "c"))
    assert.equal("broken", e)
  end))

  it("has the traceback of the child, and of who awaited it", virtual(function()
    local function the_culprit()
      weft.sleep(1)
      error(my_error("broken"), 0)
    end
    local e = raises("protocol", weft.gather, after(2), function()
      the_culprit()
      return 1
    end)
    assert.matches("in function [<'].*combine_spec.lua", e.traceback)
    assert.matches("awaited by main", e.traceback)
    weft.sleep(2)
  end))

  it("after the first is reported, as nobody gets it", support.outside(function()
    assert.same({ "second", "third" }, reported(function()
      assert.equal("first", support.error_of(weft.gather, failing(1, "first"),
        failing(2, my_error("second")), failing(1, my_error("third"))))
      weft.sleep(5)
    end))
  end))

  it("that was raised is not reported", support.outside(function()
    assert.same({}, reported(function()
      raises("protocol", weft.gather, failing(1, my_error("first")))
      weft.gather({ failing(1, "a"), failing(2, "b") }, { return_exceptions = true })
    end))
  end))

  it("can be a child that was cancelled by others, which does not cancel the one who waits",
    virtual(function()
      local task = spawn(after(10))
      weft.get_running_loop():call_later(1, task.cancel, task, "by others")
      local sibling = spawn(after(3, "sibling"))
      local e = raises("cancelled", weft.gather, sibling, task)
      assert.equal("by others", e.message)
      assert.is_false(sibling:done())
      assert.equal("sibling", sibling:await())

      task = spawn(after(10))
      weft.get_running_loop():call_later(1, task.cancel, task)
      local ok
      ok, e = weft.try(weft.gather, task)
      assert.is_nil(ok)
      assert.matches("^cancelled: ", tostring(e))
      weft.sleep(1) -- not cancelled itself
    end))
end)

describe("weft.gather with return_exceptions", function()
  local RETURN = { return_exceptions = true }

  it("waits for all, and gives errors in their places", virtual(function()
    local e, results = my_error("broken"), nil
    assert.near(3, elapsed(function()
      results = weft.gather({ failing(1, e), after(3, "fine"), failing(2, e) }, RETURN)
    end), 1e-6)
    assert.is_true(rawequal(e, results[1]))
    assert.equal("fine", results[2])
    assert.is_true(rawequal(e, results[3]))
    assert.equal(3, results.n)
  end))

  it("wraps what is no error object, kind raised", virtual(function()
    local foreign = setmetatable({}, { __tostring = function() return "foreign" end })
    local results = weft.gather({ failing(0, "words"), failing(0, foreign), failing(0, false) },
      RETURN)
    for i, value in ipairs { "words", foreign, false } do
      assert.is_true(weft.is_error(results[i], "raised"))
      assert.is_true(rawequal(value, results[i].value))
    end
    assert.equal("raised: words", tostring(results[1]))
    assert.equal("raised: foreign", tostring(results[2]))
  end))

  it("gives a nil that was raised a place", virtual(function()
    local results = weft.gather({ function() error(nil) end }, RETURN)
    assert.equal(1, results.n)
    assert.is_true(weft.is_error(results[1], "raised"), tostring(results[1]))
  end))

  it("gives a child that was cancelled by others as an error", virtual(function()
    local started, unstarted = spawn(after(10)), spawn(after(10))
    local future = weft.create_future()
    unstarted:cancel()
    weft.get_running_loop():call_later(1, started.cancel, started, "enough")
    weft.get_running_loop():call_later(1, future.cancel, future)
    local results = weft.gather({ started, unstarted, future, after(2, "fine") }, RETURN)
    for i = 1, 3 do
      assert.is_true(weft.is_error(results[i], "cancelled"))
    end
    assert.equal("enough", results[1].message)
    assert.equal("fine", results[4])
    weft.sleep(1)
  end))

  it("still raises the cancellation of the one who waits", quietly(function()
    local log = {}
    local task = spawn(weft.gather, { noting(log, "a", 10), failing(1, "broken") }, RETURN)
    weft.sleep(2)
    task:cancel()
    raises("cancelled", task.await, task)
    assert.same({ "a cancelled" }, log)
  end))

  it("set to false raises", virtual(function()
    assert.equal("words", support.error_of(weft.gather, { failing(0, "words") },
      { return_exceptions = false }))
  end))
end)

describe("cancelling weft.gather", function()
  it("cancels the children, and raises when they have ended", virtual(function()
    local log = {}
    local task = spawn(weft.gather, noting(log, "a", 100, 5), noting(log, "b", 100, 2),
      noting(log, "c", 1))
    weft.sleep(3)
    task:cancel("enough")
    assert.near(5, elapsed(function()
      assert.equal("enough", raises("cancelled", task.await, task).message)
    end), 1e-6)
    assert.is_true(task:cancelled())
    assert.same({ "c returned", "a cancelled", "b cancelled", "b cleaned up", "a cleaned up" }, log)
  end))

  it("cancels in the order of the list, tasks and functions alike", virtual(function()
    local log, list, expected = {}, {}, {}
    for i = 1, 12 do
      local fn = noting(log, i, 100)
      list[i] = i % 3 == 0 and spawn(fn) or fn
      expected[i] = i .. " cancelled"
    end
    local task = spawn(weft.gather, list)
    weft.sleep(1)
    task:cancel()
    raises("cancelled", task.await, task)
    assert.same(expected, log)
  end))

  it("again while they clean up waits for them all the same", virtual(function()
    local log = {}
    local task = spawn(weft.gather, noting(log, "a", 100, 5))
    weft.sleep(1)
    task:cancel()
    weft.sleep(1)
    task:cancel()
    task:cancel()
    assert.near(4, elapsed(raises, "cancelled", task.await, task), 1e-6)
    assert.same({ "a cancelled", "a cleaned up" }, log)
  end))

  it("cancels tasks and futures that were there before", virtual(function()
    local child, future = spawn(after(100)), weft.create_future()
    local task = spawn(weft.gather, child, future)
    weft.sleep(1)
    task:cancel()
    raises("cancelled", task.await, task)
    assert.is_true(child:cancelled())
    assert.is_true(future:cancelled())
  end))

  it("goes down through gathers in each other", virtual(function()
    local log = {}
    local task = spawn(weft.gather, function()
      weft.gather(noting(log, "a", 100, 1), function() weft.gather(noting(log, "b", 100, 2)) end)
    end, noting(log, "c", 100, 3))
    weft.sleep(1)
    task:cancel()
    assert.near(3, elapsed(raises, "cancelled", task.await, task), 1e-6)
    table.sort(log)
    assert.same({ "a cancelled", "a cleaned up", "b cancelled", "b cleaned up", "c cancelled",
      "c cleaned up" }, log)
  end))

  it("raises cancelled, though a child answers with an error or a result", support.outside(
    function()
      assert.same({ "answer" }, reported(function() -- the error is not lost
        local task = spawn(weft.gather, function()
          pcall(weft.sleep, 100)
          return "a result"
        end, function()
          pcall(weft.sleep, 100)
          error(my_error("answer"), 0)
        end)
        weft.sleep(1)
        task:cancel()
        raises("cancelled", task.await, task)
      end))
    end))

  it("too late, when the results are there, raises at the next wait", virtual(function()
    local results, later
    local child = weft.create_future()
    local task = spawn(function()
      results = weft.gather(child)
      later = support.error_of(weft.sleep, 0)
    end)
    parked()
    child:set_result("result")
    task:cancel()
    task:await()
    assert.same({ "result", n = 1 }, results)
    assert.is_true(weft.is_error(later, "cancelled"))
  end))

  it("before its first step starts nothing", virtual(function()
    local calls = 0
    local task = spawn(weft.gather, function() calls = calls + 1 end)
    task:cancel()
    raises("cancelled", task.await, task)
    assert.equal(0, calls)
  end))

  it("at its entry starts nothing and cancels nothing", virtual(function()
    local calls, child = 0, spawn(after(2, "child"))
    local task = spawn(function()
      weft.current_task():cancel()
      weft.gather(child, function() calls = calls + 1 end)
    end)
    raises("cancelled", task.await, task)
    assert.equal(0, calls)
    assert.equal("child", child:await())
  end))

  it("at its entry does so, even if there is nothing to wait for", virtual(function()
    local task = spawn(function()
      weft.current_task():cancel()
      weft.gather()
    end)
    raises("cancelled", task.await, task)
  end))

  it("is what a timeout around it does", virtual(function()
    local log = {}
    assert.near(6, elapsed(raises, "timeout", weft.timeout, 2, weft.gather,
      noting(log, "a", 100, 4), after(1)), 1e-6)
    assert.same({ "a cancelled", "a cleaned up" }, log)
  end))

  it("is held off by shield", virtual(function()
    local log = {}
    local inner = spawn(weft.gather, noting(log, "a", 3), after(2, "b"))
    raises("timeout", weft.timeout, 1, weft.shield, inner)
    assert.same({}, log)
    assert.equal("b", inner:await()[2])
    assert.same({ "a returned" }, log)
  end))

  it("with a child that must not be cancelled leaves that to shield", virtual(function()
    local kept, lost = spawn(after(5, "kept")), spawn(after(5))
    local task = spawn(weft.gather, function() return weft.shield(kept) end, lost)
    weft.sleep(1)
    task:cancel()
    assert.near(0, elapsed(raises, "cancelled", task.await, task), 1e-6)
    assert.is_true(lost:cancelled())
    assert.equal("kept", kept:await())
  end))

  it("with an uncancel by the one who waits lets it go on", virtual(function()
    local result
    local task = spawn(function()
      raises("cancelled", weft.gather, after(100))
      weft.current_task():uncancel()
      result = weft.gather(after(1, "again"))[1]
    end)
    weft.sleep(1)
    task:cancel()
    task:await()
    assert.equal("again", result)
  end))
end)

describe("the arguments of weft.gather, wait and as_completed", function()
  local BAD = {
    { "a number", 1 }, { "a string", "x" }, { "a boolean", true }, { "a table", {} },
    { "a file", io.stdout },
  }
  for _, bad in ipairs(BAD) do
    it("refuse " .. bad[1] .. " among them before any is started", virtual(function()
      local calls = 0
      local list = { function() calls = calls + 1 end, bad[2] }
      local text = ("item 2: a task, a future or a function expected, got %s"):format(type(bad[2]))
      for name, fn in pairs {
        gather = weft.gather, wait = weft.wait, as_completed = weft.as_completed,
      } do
        local e = raises("type", fn, list)
        assert.equal(("%s: %s"):format(name, text), e.message)
      end
      raises("type", weft.gather, list[1], list[2])
      weft.sleep(1)
      assert.equal(0, calls)
    end))
  end

  it("refuse options that are not known, and name the nearest", virtual(function()
    local e = raises({ "type", "unknown_option" }, weft.gather, {}, { return_exception = true })
    assert.equal("gather: unknown option 'return_exception' (did you mean 'return_exceptions'?)",
      e.message)
    e = raises({ "type", "unknown_option" }, weft.wait, { after(1) }, { returnwhen = 1 })
    assert.matches("did you mean 'return_when'", e.message)
    e = raises({ "type", "unknown_option" }, weft.as_completed, {}, { time_out = 1 })
    assert.matches("did you mean 'timeout'", e.message)
  end))

  it("refuse what is no list", virtual(function()
    assert.equal("wait: the list must be a table, got function",
      raises("type", weft.wait, after(1)).message)
    assert.equal("as_completed: the list must be a table, got nil",
      raises("type", weft.as_completed).message)
    raises("type", weft.gather, nil)
    raises("type", weft.gather, 1, 2)
  end))

  it("refuse a task of another loop before any function is started", function()
    local other = weft.new_event_loop()
    other:set_exception_handler(function() end)
    local foreign = other:create_task(function() end)
    weft.run(function()
      local calls = 0
      local function fn() calls = calls + 1 end
      raises("state", weft.gather, fn, foreign)
      raises("state", weft.wait, { fn, foreign })
      raises("state", weft.as_completed, { fn, foreign })
      weft.sleep(0)
      assert.equal(0, calls)
    end)
    other:close()
  end)

  it("outside a task are a state error, and nothing is started", virtual(function()
    local calls = 0
    local list = { function() calls = calls + 1 end }
    local outcomes, done = {}, weft.create_future()
    weft.get_running_loop():call_soon(function()
      for _, fn in ipairs { weft.gather, weft.wait, weft.as_completed } do
        local _, e = pcall(fn, list)
        outcomes[#outcomes + 1] = e.kind .. " " .. tostring(e.code)
      end
      done:set_result()
    end)
    done:await()
    assert.same({ "state ENOTASK", "state ENOTASK", "state ENOTASK" }, outcomes)
    weft.sleep(1)
    assert.equal(0, calls)
  end))

  it("where no wait is possible say so, and nothing is started", virtual(function()
    local calls = 0
    local function fn() calls = calls + 1 end
    table.sort({ 1, 2 }, function(a, b)
      raises({ "state", "EBLOCKED" }, weft.gather, fn)
      raises({ "state", "EBLOCKED" }, weft.wait, { fn })
      return a < b
    end)
    weft.sleep(1)
    assert.equal(0, calls)
  end))

  it("may not be the one who gathers", virtual(function()
    local calls = 0
    local e = raises({ "state", "ESELF" }, weft.gather, function() calls = calls + 1 end,
      weft.current_task())
    assert.equal("gather: item 2: a task cannot await itself", e.message)
    weft.sleep(0)
    assert.equal(0, calls)
  end))

  it("may be the one who waits, for a while", virtual(function()
    local _, pending = weft.wait({ weft.current_task() }, { timeout = 1 })
    assert.is_true(pending[1] == weft.current_task())
  end))
end)

describe("weft.wait", function()
  local function names(tasks)
    local list = {}
    for i, task in ipairs(tasks) do
      list[i] = task:get_name()
    end
    return table.concat(list, " ")
  end

  local function named(name, fn)
    local task = spawn(fn)
    task:set_name(name)
    return task
  end

  -- return_when, seconds it takes, done, pending; of a: 3 s, b: 1 s, c: fails after 2 s,
  -- d: cancelled after 1.5 s
  for _, case in ipairs {
    { nil, nil, 3, "a b c d", "" },
    { "ALL_COMPLETED", nil, 3, "a b c d", "" },
    { "FIRST_COMPLETED", nil, 1, "b", "a c d" },
    { "FIRST_EXCEPTION", nil, 2, "b c d", "a" },
    { nil, 0.5, 0.5, "", "a b c d" },
    { "ALL_COMPLETED", 1.75, 1.75, "b d", "a c" },
    { "FIRST_COMPLETED", 10, 1, "b", "a c d" },
    { "FIRST_EXCEPTION", 1.6, 1.6, "b d", "a c" },
    { nil, 10, 3, "a b c d", "" },
    { nil, 0, 0, "", "a b c d" },
    { nil, -1, 0, "", "a b c d" },
    { nil, math.huge, 3, "a b c d", "" },
  } do
    it(("%s, timeout %s: after %g s"):format(tostring(case[1]), tostring(case[2]), case[3]),
      virtual(function()
        local list = { named("a", after(3)), named("b", after(1)), named("c", failing(2, "x")),
          named("d", after(100)) }
        weft.get_running_loop():call_later(1.5, list[4].cancel, list[4])
        local done, pending
        assert.near(case[3], elapsed(function()
          done, pending = weft.wait(list, { return_when = case[1], timeout = case[2] })
        end), 1e-6)
        assert.equal(case[4], names(done))
        assert.equal(case[5], names(pending))
        weft.wait(list)
        assert.is_true(list[1]:done() and not list[1]:cancelled()) -- nothing was cancelled
        assert.equal("x", list[3]:exception().value)
      end))
  end

  it("does not suspend when there is nothing to wait for", virtual(function()
    local list = { named("a", after(0)), named("b", after(10)) }
    weft.sleep(1)
    local others = 0
    spawn(function() others = others + 1 end)
    local done, pending = weft.wait(list, { return_when = "FIRST_COMPLETED" })
    assert.same({ "a", "b" }, { names(done), names(pending) })
    weft.wait({ list[1] })
    assert.equal(0, others)
    weft.wait(list)
  end))

  it("with FIRST_EXCEPTION finds an error of before at once", virtual(function()
    local failed = named("a", failing(0, "x"))
    weft.sleep(1)
    local done, pending = weft.wait({ named("b", after(3)), failed },
      { return_when = "FIRST_EXCEPTION" })
    assert.same({ "a", "b" }, { names(done), names(pending) })
    assert.equal("x", failed:exception().value)
    weft.wait(pending)
  end))

  it("with FIRST_EXCEPTION waits for all when none fails", virtual(function()
    assert.near(2, elapsed(weft.wait, { after(1), after(2) },
      { return_when = "FIRST_EXCEPTION" }), 1e-6)
  end))

  it("runs functions, and gives their tasks in place", virtual(function()
    local task = spawn(after(2, "task"))
    local done, pending = weft.wait({ after(1, "function"), task, callable(after(3)) },
      { timeout = 2.5 })
    assert.equal("function", done[1]:result())
    assert.is_true(done[2] == task)
    assert.equal(1, #pending)
    weft.wait(pending)
  end))

  it("gives a task once that is listed twice, and runs a function twice", virtual(function()
    local calls = 0
    local function fn() calls = calls + 1 end
    local task, future = spawn(after(1)), weft.create_future()
    future:set_result()
    local done = weft.wait({ task, future, fn, task, fn, future })
    assert.equal(4, #done)
    assert.is_true(done[1] == task and done[2] == future)
    assert.equal(2, calls)
  end))

  it("raises none of their errors, which are reported if nobody looks", support.outside(function()
    assert.same({ "unseen" }, reported(function()
      local done = weft.wait({ failing(1, my_error("seen")), failing(1, my_error("unseen")) })
      assert.equal("seen", done[1]:exception().message)
    end))
  end))

  it("cancels nothing when it is cancelled, and raises at once", virtual(function()
    local child = spawn(after(5, "child"))
    local task = spawn(weft.wait, { child }, { timeout = 100 })
    weft.sleep(1)
    task:cancel("enough")
    assert.near(0, elapsed(function()
      assert.equal("enough", raises("cancelled", task.await, task).message)
    end), 1e-6)
    assert.equal("child", child:await())
  end))

  it("cancels nothing when a timeout around it expires, before its own or after", virtual(
    function()
      local child = spawn(after(5, "child"))
      raises("timeout", weft.timeout, 1, weft.wait, { child }, { timeout = 3 })
      local done = weft.timeout(3, weft.wait, { child }, { timeout = 1 })
      assert.equal(0, #done)
      weft.sleep(1) -- and its own time limit is over
      assert.equal("child", child:await())
    end))

  it("that is cancelled in the turn in which its time runs out raises", virtual(function()
    local child = spawn(after(5))
    for _, fn in ipairs { weft.wait, function(list, opts) weft.as_completed(list, opts)() end } do
      local task
      weft.get_running_loop():call_later(1, function() task:cancel("enough") end)
      task = spawn(fn, { child }, { timeout = 1 }) -- this timer goes off second
      assert.equal("enough", raises("cancelled", task.await, task).message)
    end
    weft.wait({ child })
  end))

  it("whose last one ends in the turn in which its time runs out counts it", virtual(function()
    for _, first in ipairs { true, false } do
      local future, loop, list = weft.create_future(), weft.get_running_loop(), {}
      local function set() future:set_result("just in time") end
      if first then
        loop:call_later(1, set)
      end
      local task = spawn(function()
        list[1], list[2] = weft.wait({ future }, { timeout = 1 })
      end)
      parked()
      if not first then
        loop:call_later(1, set)
      end
      task:await()
      local late = first and 0 or #list[2]
      assert.equal(1, #list[1] + #list[2])
      assert.equal(late, #list[2])
      future:await()
    end
  end))

  it("refuses an empty list", virtual(function()
    assert.equal("wait: the list is empty", raises("type", weft.wait, {}).message)
  end))

  it("refuses another return_when, naming those there are", virtual(function()
    for _, bad in ipairs { "first_completed", "", 1, true } do
      local calls = 0
      local e = raises("type", weft.wait, { function() calls = calls + 1 end },
        { return_when = bad })
      assert.equal("wait: return_when must be one of ALL_COMPLETED, FIRST_COMPLETED, "
        .. "FIRST_EXCEPTION, got " .. tostring(bad), e.message)
      weft.sleep(0)
      assert.equal(0, calls)
    end
  end))

  it("refuses a timeout that is no number, and starts nothing", virtual(function()
    for _, bad in ipairs { "1", 0 / 0, true, {} } do
      local calls = 0
      raises("type", weft.wait, { function() calls = calls + 1 end }, { timeout = bad })
      raises("type", weft.as_completed, { function() calls = calls + 1 end }, { timeout = bad })
      weft.sleep(0)
      assert.equal(0, calls)
    end
  end))

  it("is how to cancel what takes too long, and wait for it", virtual(function()
    local log = {}
    local _, pending = weft.wait({ after(1), noting(log, "a", 10, 2) }, { timeout = 3 })
    for _, task in ipairs(pending) do
      task:cancel()
    end
    assert.near(2, elapsed(weft.wait, pending), 1e-6)
    assert.same({ "a cancelled", "a cleaned up" }, log)
  end))
end)

describe("weft.as_completed", function()
  it("gives the tasks themselves, done, in the order in which they end", virtual(function()
    local tasks = { spawn(after(3, "a")), spawn(after(1, "b")), spawn(after(2, "c")) }
    local start, order = now(), {}
    for task in weft.as_completed(tasks) do
      assert.is_true(task:done())
      order[#order + 1] = task:await()
      assert.near(#order, now() - start, 1e-6)
      assert.is_true(task == tasks[({ 2, 3, 1 })[#order]])
    end
    assert.same({ "b", "c", "a" }, order)
  end))

  it("takes functions and futures", virtual(function()
    local future = weft.create_future()
    weft.get_running_loop():call_later(2, future.set_result, future, "future")
    local order = {}
    for task in weft.as_completed({ after(3, "a"), future, callable(after(1, "b")) }) do
      order[#order + 1] = task:result()
    end
    assert.same({ "b", "future", "a" }, order)
  end))

  it("gives those that were done already first, in the order of the list", virtual(function()
    local list = { spawn(after(5, "late")), spawn(after(2, "a")), spawn(after(1, "b")) }
    weft.sleep(3)
    local order = {}
    for task in weft.as_completed(list) do
      order[#order + 1] = task:result()
    end
    assert.same({ "a", "b", "late" }, order)
  end))

  it("gives those that ended while nobody was in a step, in their order", virtual(function()
    local order = {}
    for task in weft.as_completed({ after(3, "c"), after(1, "a"), after(2, "b") }) do
      order[#order + 1] = task:result()
      weft.sleep(10)
    end
    assert.same({ "a", "b", "c" }, order)
  end))

  it("gives a task once that is listed twice", virtual(function()
    local task, count = spawn(after(1)), 0
    for given in weft.as_completed({ task, after(2), task }) do
      count = count + (given == task and 1 or 10)
    end
    assert.equal(11, count)
  end))

  it("of an empty list makes no iterations", virtual(function()
    local step = weft.as_completed({})
    assert.is_nil(step())
    assert.is_nil(step())
    for _ in weft.as_completed({}, { timeout = 0 }) do
      error("an iteration")
    end
  end))

  it("ends, and stays so", virtual(function()
    local step = weft.as_completed({ after(1) })
    assert.is_true(step():done())
    assert.is_nil(step())
    assert.is_nil(step())
  end))

  it("raises none of their errors: that is for who awaits them", virtual(function()
    local kinds = {}
    local cancelled = spawn(after(10))
    weft.get_running_loop():call_later(3, cancelled.cancel, cancelled)
    for task in weft.as_completed({ failing(1, my_error("x")), failing(2, "y"), cancelled }) do
      local ok, e = weft.try(task.await, task)
      assert.is_nil(ok)
      kinds[#kinds + 1] = type(e) == "table" and e.kind or e
    end
    assert.same({ "protocol", "y", "cancelled" }, kinds)
  end))

  it("raises timeout in the step that finds it, cancels nothing, and is at its end", virtual(
    function()
      local a, b = spawn(after(1, "a")), spawn(after(5, "b"))
      local step = weft.as_completed({ b, a }, { timeout = 3 })
      assert.is_true(step() == a)
      local start = now()
      assert.equal("as_completed: timed out after 3 s", raises("timeout", step).message)
      assert.near(2, now() - start, 1e-6)
      assert.is_nil(step())
      weft.sleep(1) -- the time limit is over
      assert.equal("b", b:await())
    end))

  it("counts its time from the call, and gives what ended in time all the same", virtual(
    function()
      local step = weft.as_completed({ after(1, "a"), after(2, "b"), after(9, "c") },
        { timeout = 3 })
      weft.sleep(5)
      assert.equal("a", step():result())
      assert.equal("b", step():result())
      assert.near(0, elapsed(raises, "timeout", step), 1e-6)
      weft.sleep(5)
    end))

  it("with no time at all gives those that are done", virtual(function()
    local done = spawn(after(0))
    local pending = spawn(after(5))
    weft.sleep(1)
    for _, timeout in ipairs { 0, -1 } do
      local step = weft.as_completed({ pending, done }, { timeout = timeout })
      assert.is_true(step() == done)
      raises("timeout", step)
    end
    pending:await()
  end))

  it("abandoned half-way cancels nothing and leaks nothing", virtual(function()
    local log = {}
    for _ = 1, 3 do
      local step = weft.as_completed({ noting(log, "a", 1), noting(log, "b", 2) },
        { timeout = 100 })
      assert.is_true(step():done())
    end
    assert.equal(2, weft.statistics().timers) -- the guard's, the last b's; no time limits
    weft.sleep(5)
    assert.equal(6, #log)
  end))

  it("lets go of the tasks when it is abandoned", virtual(function()
    local seen = setmetatable({}, { __mode = "k" })
    do
      local task = spawn(after(1))
      seen[task] = true
      local step = weft.as_completed({ task, after(1), after(10) })
      step()
    end
    weft.sleep(20)
    collectgarbage()
    collectgarbage()
    assert.is_nil(next(seen))
  end))

  it("cancelled in a step cancels nothing, and goes on in a later step", virtual(function()
    local a = spawn(after(5, "a"))
    local got
    local task = spawn(function()
      local step = weft.as_completed({ a })
      raises("cancelled", step)
      raises("cancelled", step)
      weft.current_task():uncancel()
      got = step()
    end)
    weft.sleep(1)
    task:cancel()
    task:await()
    assert.is_true(got == a)
    assert.is_false(a:cancelled())
  end))

  it("whose step is woken and then cancelled gives the task", virtual(function()
    local future, got, later = weft.create_future(), nil, nil
    local task = spawn(function()
      local step = weft.as_completed({ future })
      got = step()
      later = support.error_of(step)
    end)
    parked()
    future:set_result(1)
    task:cancel()
    task:await()
    assert.is_true(got == future)
    assert.is_true(weft.is_error(later, "cancelled"))
  end))

  it("that is broken off by a timeout around it blames that one", virtual(function()
    local a = spawn(after(9))
    local e = raises("timeout", weft.timeout, 1, function()
      for _ in weft.as_completed({ a }, { timeout = 2 }) do
        error("an iteration")
      end
    end)
    assert.equal("timed out after 1 s", e.message)
    a:await()
  end))

  it("may be stepped in a generator, and shared by two tasks one after the other", virtual(
    function()
      local step = weft.as_completed({ after(1, "a"), after(2, "b"), after(3, "c") })
      local generator = coroutine.wrap(function()
        for task in step do
          coroutine.yield(task:result())
        end
      end)
      assert.equal("a", generator())
      assert.equal("b", weft.await(function() return step():result() end))
      assert.equal("c", generator())
    end))

  it("holds each of many thousands once", virtual(function()
    local list, count, sum = {}, support.rounds(5000), 0
    for i = 1, count do
      list[i] = after(i % 13, i)
    end
    for task in weft.as_completed(list) do
      sum = sum + task:result()
    end
    assert.equal(count * (count + 1) / 2, sum)
  end))
end)

describe("cancelled everywhere,", function()
  -- Two children, each with a clean-up that waits; `ended` counts both.
  local function scenario(fn)
    local begun, ended = 0, 0
    local function child()
      begun = begun + 1
      weft.finally(function() weft.sleep(3) end, function()
        weft.sleep(1)
        ended = ended + 1
      end)
    end
    return function()
      begun, ended = 0, 0
      fn(child)
    end, function()
      weft.sleep(10)
      assert(begun == ended, ("%d begun, %d ended"):format(begun, ended))
    end
  end

  it("gather leaves no child behind", function()
    assert.equal(1, testing.cancel_everywhere(scenario(function(child)
      weft.gather(child, child)
    end)))
  end)

  it("gather in gather leaves no child behind, whichever task is cancelled", function()
    local fn, check = scenario(function(child)
      pcall(weft.gather, { child, function() weft.gather(child, child) end },
        { return_exceptions = true })
    end)
    assert.is_true(testing.cancel_everywhere(fn, check, { every_task = true }) >= 5)
  end)

  it("wait and as_completed, with what they wait for in a group, lose none", function()
    local fn, check = scenario(function(child)
      weft.task_group(function(group)
        local tasks = { group:create_task(child), group:create_task(child) }
        weft.wait(tasks, { timeout = 1 })
        for task in weft.as_completed(tasks, { timeout = 50 }) do
          weft.try(task.await, task)
        end
      end)
    end)
    assert.equal(2, testing.cancel_everywhere(fn, check))
    assert.is_true(testing.cancel_everywhere(fn, check, { every_task = true }) >= 5)
  end)
end)
