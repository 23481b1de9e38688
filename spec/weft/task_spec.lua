-- SPDX-License-Identifier: MIT
-- weft.task: making tasks and futures, their names, context, callbacks and outcomes, and in
-- which order they run.

local weft = require "weft"
local support = require "spec.support"
local testing = require "weft.testing"

local unpack = table.unpack or unpack
local virtual, raises, error_of = support.virtual, support.raises, support.error_of
local parked = testing.wait_all_parked

local function pack(...)
  return { n = select("#", ...), ... }
end

local function fails(value)
  return function()
    error(value, 0)
  end
end

local function callable(fn)
  return setmetatable({}, { __call = function(_, ...) return fn(...) end })
end

-- A list, and a function that puts what it is called with at its end.
local function recorder()
  local list = {}
  return list, function(item)
    list[#list + 1] = item
  end
end

local MAKERS = {
  { "create_task", weft.create_task },
  { "spawn", weft.spawn },
  { "loop:create_task", function(...) return weft.get_running_loop():create_task(...) end },
}

describe("a new task", function()
  for _, maker in ipairs(MAKERS) do
    local name, make = maker[1], maker[2]

    it("of " .. name .. " gets its arguments and gives its results, nils included", virtual(
      function()
        for _, arguments in ipairs { pack(), pack(nil), pack(1), pack(1, nil, 3), pack(nil, nil),
          pack(false, "x", {}, print) } do
          local task = make(function(...) return ... end, unpack(arguments, 1, arguments.n))
          assert.same(arguments, pack(task:await()))
          task = make(callable(function(...)
            weft.sleep(1)
            return ...
          end), unpack(arguments, 1, arguments.n))
          assert.same(arguments, pack(task:await()))
        end
      end))

    it("of " .. name .. " starts in the next round, not at once", virtual(function()
      local order, note = recorder()
      local task = make(note, "inside")
      note "outside"
      task:await()
      assert.same({ "outside", "inside" }, order)
    end))

    it("of " .. name .. " refuses what cannot be called", virtual(function()
      local before = weft.statistics()
      for _, x in ipairs { 5, "x", {}, true, coroutine.create(print), weft.current_task() } do
        local e = raises("type", make, x)
        assert.equal("a function expected, got " .. type(x), e.message)
      end
      raises("type", make, nil)
      raises("type", make)
      assert.equal(before.created, weft.statistics().created)
    end))
  end

  it("takes a thousand arguments", virtual(function()
    local values = {}
    for i = 1, 1000 do
      values[i] = i
    end
    local task = weft.create_task(function(...) return select("#", ...), (select(1000, ...)) end,
      unpack(values))
    assert.same({ 1000, 1000 }, { task:await() })
  end))

  it("may be one of very many", virtual(function()
    local n, sum = support.rounds(50000), 0
    local tasks = {}
    for i = 1, n do
      tasks[i] = weft.create_task(function(k)
        weft.sleep(k % 3)
        sum = sum + k
        return k
      end, i)
    end
    for i = 1, n do
      assert(tasks[i]:await() == i)
    end
    assert.equal(n * (n + 1) / 2, sum)
  end))

  it("may be dropped: it runs all the same", virtual(function()
    local ran = 0
    for _ = 1, 100 do
      weft.create_task(function()
        weft.sleep(1)
        collectgarbage("step", 100)
        weft.create_future():add_done_callback(print)
        weft.sleep(1)
        ran = ran + 1
      end)
    end
    collectgarbage()
    weft.sleep(3)
    assert.equal(100, ran)
  end))

  it("is collected when it is done and nobody holds it", virtual(function()
    local watched = setmetatable({}, { __mode = "k" })
    local value = {}
    watched[value] = true
    local task = weft.create_task(function(v) return v end, value)
    watched[task] = true
    task:await()
    task, value = nil, nil -- luacheck: ignore 311
    collectgarbage()
    collectgarbage()
    assert.is_nil((next(watched)))
  end))

  it("outside of a run belongs to the default loop and starts when it runs", support.outside(
    function()
      local loop = weft.new_event_loop()
      weft.set_event_loop(loop)
      local ran
      local task = weft.create_task(function() ran = true return "x" end)
      local future = weft.create_future()
      local other = weft.ensure_future(function() return "y" end)
      for _, x in ipairs { task, future, other } do
        assert.equal(loop, x:get_loop())
        assert.is_false(x:done())
      end
      assert.is_nil(ran)
      assert.equal("x", loop:run_until_complete(task))
      assert.equal("y", other:result())
      loop:close()
      raises("closed", loop.create_task, loop, print)
      raises("closed", loop.create_future, loop)
      weft.set_event_loop(nil)
    end))
end)

describe("ensure_future", function()
  it("gives a task or future as it is, and makes a task of a function", virtual(function()
    local task, future = weft.create_task(function() end), weft.create_future()
    assert.equal(task, weft.ensure_future(task))
    assert.equal(future, weft.ensure_future(future))
    local made = weft.ensure_future(function() return 1, 2 end)
    assert.same({ 1, 2 }, { made:await() })
    assert.equal("x", weft.ensure_future(callable(function() return "x" end)):await())
    for _, x in ipairs { 5, {}, "x" } do
      raises("type", weft.ensure_future, x)
    end
    raises("type", weft.ensure_future)
  end))
end)

describe("the name of a task", function()
  it("has a number of its own, until it is set", virtual(function()
    local seen = {}
    for _ = 1, 10 do
      local task = weft.create_task(function() end)
      assert.matches("^Task%-%d+$", task:get_name())
      assert.is_nil(seen[task:get_name()])
      seen[task:get_name()] = true
      assert.equal(task:get_name(), task:get_name())
    end
    local task = weft.create_task(function() weft.sleep(1) end)
    task:set_name("crawler")
    assert.equal("crawler", task:get_name())
    task:set_name(7)
    assert.equal("7", task:get_name())
    task:await()
    assert.equal("7", task:get_name())
    task:set_name("afterwards")
    assert.equal("afterwards", task:get_name())
  end))

  it("is a task's alone", virtual(function()
    assert.is_nil(weft.create_future().set_name)
    raises("type", weft.current_task().cancel, weft.create_future())
    raises("type", weft.current_task().cancelling, weft.create_future())
    raises("type", weft.current_task().uncancel, 5)
  end))
end)

describe("tostring", function()
  local HERE = "[^ ]*task_spec.lua:%d+"

  local function shows(pattern, x)
    assert.matches("^" .. pattern .. "$", tostring(x))
  end

  it("tells the state of a task, its name and its place", virtual(function()
    local task = weft.create_task(function() weft.sleep(1) end)
    task:set_name("it")
    local line = tostring(task):match(":(%d+)>$")
    shows("Task<pending name=it at " .. HERE .. ">", task) -- where it was defined
    parked()
    shows("Task<pending name=it at " .. HERE .. ">", task)
    assert.equal(line, tostring(task):match(":(%d+)>$"))
    task:cancel()
    shows("Task<pending name=it at " .. HERE .. ">", task)
    pcall(task.await, task)
    shows("Task<cancelled name=it>", task)
    shows("Task<pending name=main at " .. HERE .. ">", weft.current_task())
  end))

  it("tells the line at which it waits, in a coroutine too", virtual(function()
    local first = debug.getinfo(1, "l").currentline
    local task = weft.create_task(function()
      weft.sleep(1) -- first + 2
      coroutine.wrap(function()
        weft.sleep(1) -- first + 4
        return 1
      end)()
      return 1
    end)
    parked()
    assert.equal(first + 2, tonumber(tostring(task):match(":(%d+)>$")))
    weft.sleep(1)
    assert.equal(first + 4, tonumber(tostring(task):match(":(%d+)>$")))
    task:await()
  end))

  it("tells the outcome", virtual(function()
    for _, case in ipairs {
      { function() end, "finished", "" },
      { function() return nil, 2 end, "finished", "" },
      { function() return 5 end, "finished", " result=5" },
      { function() return false end, "finished", " result=false" },
      { function() return "a\"b", 2 end, "finished", ' result="a\\"b"' },
      { fails("bad"), "finished", " exception=bad" },
      { fails(5), "finished", " exception=5" },
      { fails(nil), "finished", " exception=nil" },
      { fails(weft.Error { kind = "dns", message = "m" }), "finished", " exception=dns: m" },
      { fails(weft.Error { kind = "cancelled" }), "cancelled", "" },
    } do
      local fn, state, outcome = unpack(case)
      local task = weft.create_task(fn)
      task:set_name("it")
      weft.sleep(0)
      assert.equal(("Task<%s name=it%s>"):format(state, outcome), tostring(task))
      local future = weft.create_future()
      local results = pack(pcall(fn))
      if results[1] then
        future:set_result(unpack(results, 2, results.n))
      elseif results[2] ~= nil then
        future:set_exception(results[2])
      end
      if results[1] or results[2] ~= nil then
        assert.equal(("Future<%s%s>"):format(state, outcome), tostring(future))
      end
      pcall(task.result, task)
      pcall(future.result, future)
    end
    assert.equal("Future<pending>", tostring(weft.create_future()))
  end))

  it("tells of C functions and of callable tables", virtual(function()
    local task = weft.create_task(type, 1)
    shows("Task<pending name=Task%-%d+ at %[C%]>", task)
    task:await()
    task = weft.create_task(callable(function() end))
    shows("Task<pending name=Task%-%d+ at %?>", task)
    task:await()
  end))
end)

describe("the context of a task", function()
  it("is a copy of that of the task in which it was made, taken then", virtual(function()
    local me = weft.current_task()
    me.context.a, me.context.list = 1, {}
    local child = weft.create_task(function()
      local context = weft.current_task().context
      assert(context.a == 1 and context.b == nil)
      context.a, context.b = "child's", true
      context.list.shared = true -- the table is copied, not what is in it
      local grandchild = weft.create_task(function()
        return weft.current_task().context.a, weft.current_task().context.b
      end)
      context.a = "later"
      return grandchild:await()
    end)
    me.context.a, me.context.c = 2, 3
    assert.same({ "child's", true }, { child:await() })
    assert.same({ a = 2, c = 3, list = { shared = true } }, me.context)
    assert.same({ a = "later", b = true, list = { shared = true } }, child.context)
  end))

  it("is the same in all coroutines of a task", virtual(function()
    local task = weft.create_task(function()
      weft.current_task().context.x = 1
      coroutine.wrap(function()
        assert(weft.current_task().context.x == 1)
        weft.sleep(1)
        weft.current_task().context.x = 2
        assert(weft.await(function() return weft.current_task().context.x end) == 2)
        return 1
      end)()
      return weft.current_task().context.x
    end)
    assert.equal(2, task:await())
  end))

  it("can be set as a whole, by others too, and is empty at first", virtual(function()
    local task = weft.create_task(function()
      return weft.current_task().context.request, weft.await(function()
        return weft.current_task().context.request
      end)
    end)
    assert.same({}, task.context)
    local context = { request = 7 }
    task.context = context
    assert.equal(context, task.context)
    assert.same({ 7, 7 }, { task:await() })
    assert.equal(context, task.context)
    for _, value in ipairs { 5, "x", print } do
      local e = raises("type", function() task.context = value end)
      assert.equal("the context must be a table, got " .. type(value), e.message)
    end
  end))

  it("is not inherited through callbacks", virtual(function()
    local me, done = weft.current_task(), weft.create_future()
    me.context.x = 1
    weft.get_running_loop():call_soon(function()
      done:set_result(weft.create_task(function() return weft.current_task().context.x end))
    end)
    assert.is_nil(done:await():await())
  end))

  it("is the one field that can be set", virtual(function()
    local me = weft.current_task()
    local e = raises("type", function() me.name = "x" end)
    assert.equal("a task has no field 'name' to set", e.message)
    assert.is_nil(me.no_such_field)
    assert.has_error(function() weft.create_future().context = {} end)
  end))
end)

--- callbacks ------------------------------------------------------------------------------

-- name, make() -> the future or task, and a function that gives it its outcome
local COMPLETED = {
  { "a future", function()
    local future = weft.create_future()
    return future, function(...) future:set_result(...) end
  end },
  { "a task", function()
    local gate = weft.create_future()
    local task = weft.create_task(function() return gate:await() end)
    return task, function(...) gate:set_result(...) end
  end },
  { "a cancelled task", function()
    local task = weft.create_task(weft.sleep, 1e6)
    return task, function() task:cancel() end
  end },
  { "a failed future", function()
    local future = weft.create_future()
    return future, function()
      future:set_exception("x")
      future:exception()
    end
  end },
}

describe("done callbacks of", function()
  for _, case in ipairs(COMPLETED) do
    local name, make = case[1], case[2]

    it(name .. " get it, in order, outside any task, before who awaits it goes on", virtual(
      function()
        local x, complete = make()
        local order, note = recorder()
        for i = 1, 3 do
          x:add_done_callback(function(...)
            assert(select("#", ...) == 1 and ... == x and x:done())
            assert(weft.current_task() == nil)
            note(i)
          end)
        end
        local waiter = weft.create_task(function()
          pcall(x.await, x)
          note "waiter"
        end)
        parked()
        complete(1, 2)
        assert.same({}, order)
        waiter:await()
        assert.same({ 1, 2, 3, "waiter" }, order)
        weft.sleep(0)
        assert.equal(4, #order) -- and only once
      end))

    it(name .. " that are added when it is done come soon, not at once", virtual(function()
      local x, complete = make()
      complete()
      parked()
      assert.is_true(x:done())
      local order, note = recorder()
      x:add_done_callback(function(y) note(y == x) end)
      assert.same({}, order)
      weft.sleep(0)
      assert.same({ true }, order)
    end))

    it(name .. " can be removed, all occurrences at once", virtual(function()
      local x, complete = make()
      local order, note = recorder()
      local function twice() note "twice" end
      local function once() note "once" end
      x:add_done_callback(twice)
      x:add_done_callback(once)
      x:add_done_callback(twice)
      assert.equal(0, x:remove_done_callback(print))
      assert.equal(2, x:remove_done_callback(twice))
      assert.equal(0, x:remove_done_callback(twice))
      complete()
      parked()
      assert.same({ "once" }, order)
      assert.equal(0, x:remove_done_callback(once))
    end))

    it(name .. " that are all removed leave nothing", virtual(function()
      local x, complete = make()
      x:add_done_callback(error)
      assert.equal(1, x:remove_done_callback(error))
      complete()
      parked()
    end))

    it(name .. " that fail reach the exception handler, and the others come", support.outside(
      function()
        local contexts = {}
        testing.virtual_clock(function()
          local loop = weft.get_running_loop()
          loop:set_exception_handler(function(_, context)
            contexts[#contexts + 1] = context
          end)
          local x, complete = make()
          local order, note = recorder()
          x:add_done_callback(fails("first"))
          x:add_done_callback(note)
          x:add_done_callback(function() weft.sleep(0) end)
          x:add_done_callback(note)
          complete()
          parked()
          assert.equal(2, #order)
          loop:set_exception_handler(nil)
        end)
        assert.equal(2, #contexts)
        assert.equal("first", contexts[1].exception.value)
        assert.matches("^error in a callback defined at [^\n]*task_spec.lua:%d+$",
          contexts[1].message)
        assert.equal("ENOTASK", contexts[2].exception.code)
      end))
  end

  it("a future may add callbacks to it, make tasks and complete others", virtual(function()
    local a, b = weft.create_future(), weft.create_future()
    local order, note = recorder()
    a:add_done_callback(function()
      a:add_done_callback(function() note "added" end)
      weft.create_task(note, "task")
      b:set_result("b")
      note "first"
    end)
    a:set_result()
    assert.equal("b", b:await())
    weft.sleep(0)
    assert.same({ "first", "added", "task" }, order)
  end))

  it("a future must be functions", virtual(function()
    local future = weft.create_future()
    for _, x in ipairs { 5, {}, "x" } do
      local e = raises("type", future.add_done_callback, future, x)
      assert.equal("the callback must be a function, got " .. type(x), e.message)
    end
    raises("type", future.add_done_callback, future)
    local called
    future:add_done_callback(callable(function(x) called = x end))
    future:set_result()
    weft.sleep(0)
    assert.equal(future, called)
  end))

  it("a future of a closed loop are refused once it is done", support.outside(function()
    local loop = weft.new_event_loop()
    local future = loop:create_future()
    future:set_result()
    loop:close()
    raises("closed", future.add_done_callback, future, print)
  end))
end)

--- outcomes -----------------------------------------------------------------------------------

describe("the outcome of", function()
  local function check(x, state, ...)
    local is_pending = state == "pending"
    assert.equal(not is_pending, x:done())
    assert.equal(state == "cancelled", x:cancelled())
    if is_pending then
      local e = raises({ "state", "ENOTDONE" }, x.result, x)
      assert.equal("the outcome is not there yet", e.message)
      raises({ "state", "ENOTDONE" }, x.exception, x)
    elseif state == "returned" then
      assert.same(pack(...), pack(x:result()))
      assert.is_nil(x:exception())
    elseif state == "cancelled" then
      raises("cancelled", x.result, x)
      raises("cancelled", x.exception, x)
    else
      local value = ...
      local ok, e = pcall(x.result, x)
      assert.is_false(ok)
      assert.equal(value, e)
      e = x:exception()
      assert.is_true(weft.is_error(e))
      if weft.is_error(value) then
        assert.equal(value, e)
      else
        assert.same({ "raised", value, tostring(value) }, { e.kind, e.value, e.message })
      end
    end
  end

  it("a task in each of its states", virtual(function()
    local inside
    local task = weft.create_task(function()
      inside = pack(pcall(check, weft.current_task(), "pending"))
      weft.sleep(1)
      weft.sleep(0)
      return 1, nil
    end)
    check(task, "pending")
    parked()
    check(task, "pending")
    weft.sleep(1)
    check(task, "pending")
    task:await()
    check(task, "returned", 1, nil)
    assert.same({ n = 1, true }, inside)
  end))

  it("a task, whatever it returns or raises", virtual(function()
    for _, values in ipairs { pack(), pack(nil), pack(false), pack(true), pack(1.5), pack(2 ^ 53),
      pack("x"), pack({}), pack(print), pack(1, 2), pack(nil, nil) } do
      local task = weft.create_task(function() return unpack(values, 1, values.n) end)
      weft.sleep(0)
      check(task, "returned", unpack(values, 1, values.n))
    end
    for _, value in ipairs { "x", 5, false, {}, weft.Error { kind = "dns" } } do
      local task = weft.create_task(fails(value))
      weft.sleep(0)
      check(task, "raised", value)
    end
    local task = weft.create_task(weft.sleep, 1)
    task:cancel()
    check(task, "pending")
    weft.sleep(0)
    check(task, "cancelled")
  end))

  it("a future", virtual(function()
    local future = weft.create_future()
    check(future, "pending")
    future:set_result()
    check(future, "returned")
    for _, values in ipairs { pack(nil), pack(false), pack(5), pack("x", nil, {}),
      pack(nil, nil) } do
      future = weft.create_future()
      future:set_result(unpack(values, 1, values.n))
      check(future, "returned", unpack(values, 1, values.n))
    end
    for _, value in ipairs { "x", 5, false, {}, weft.Error { kind = "dns" } } do
      future = weft.create_future()
      future:set_exception(value)
      check(future, "raised", value)
    end
    future = weft.create_future()
    assert.is_true(future:cancel("why"))
    check(future, "cancelled")
    assert.equal("why", raises("cancelled", future.result, future).message)
    assert.equal("why", raises("cancelled", future.await, future).message)
    future = weft.create_future()
    future:cancel()
    assert.matches("^Future%-%d+ was cancelled$",
      raises("cancelled", future.result, future).message)
  end))

  it("a future is set once, and stays", virtual(function()
    for how, complete in pairs {
      returned = function(f) f:set_result("first", 2) end,
      raised = function(f) f:set_exception("first") end,
      cancelled = function(f) f:cancel("first") end,
    } do
      local future = weft.create_future()
      complete(future)
      local before = tostring(future)
      local e = raises({ "state", "EDONE" }, future.set_result, future, "second")
      assert.equal("the outcome is already set", e.message)
      raises({ "state", "EDONE" }, future.set_exception, future, "second")
      assert.is_false(future:cancel("second"))
      assert.equal(before, tostring(future))
      check(future, how, "first", 2)
    end
  end))

  it("a future may be a table or a future", virtual(function()
    local inner, outer = weft.create_future(), weft.create_future()
    outer:set_result(inner)
    assert.equal(inner, outer:await())
  end))

  it("a future cannot be the error nil", virtual(function()
    local future = weft.create_future()
    local e = raises("type", future.set_exception, future, nil)
    assert.equal("an error expected, got nil", e.message)
    raises("type", future.set_exception, future)
    assert.is_false(future:done())
  end))

  it("a task cannot be set", virtual(function()
    local task = weft.create_task(function() return "own" end)
    for _ = 1, 2 do
      local e = raises("state", task.set_result, task, 1)
      assert.equal("a task sets its outcome itself", e.message)
      raises("state", task.set_exception, task, "x")
      assert.equal("own", task:await())
    end
  end))

  it("a future may be set by a task, a callback, and outside of a run", support.outside(function()
    local loop = weft.new_event_loop()
    local a, b, c = loop:create_future(), loop:create_future(), loop:create_future()
    a:set_result("outside")
    loop:call_soon(b.set_result, b, "callback")
    local results = { loop:run_until_complete(function()
      weft.create_task(c.set_result, c, "task")
      return a:await(), b:await(), c:await()
    end) }
    assert.same({ "outside", "callback", "task" }, results)
    loop:close()
  end))

  it("nothing else: methods refuse what is neither task nor future", virtual(function()
    local future = weft.create_future()
    for _, name in ipairs { "await", "done", "cancelled", "result", "exception", "cancel",
      "set_result", "get_loop", "add_done_callback", "remove_done_callback" } do
      for _, x in ipairs { 5, {}, io.stdout, weft.get_running_loop() } do
        raises("type", future[name], x, print)
      end
    end
  end))
end)

describe("current_task", function()
  it("is the task that runs, in all its coroutines, and nil outside of tasks", virtual(function()
    local me, done = weft.current_task(), weft.create_future()
    coroutine.wrap(function() assert.equal(me, weft.current_task()) end)()
    local other
    other = weft.create_task(function()
      assert(weft.current_task() == other)
      weft.sleep(1)
      return weft.current_task() == other
    end)
    assert.is_true(other:await())
    assert.equal(me, weft.current_task())
    weft.get_running_loop():call_soon(function() done:set_result(weft.current_task()) end)
    assert.is_nil(done:await())
  end))

  it("is nil outside of runs", support.outside(function()
    assert.is_nil(weft.current_task())
    weft.run(function() end)
    assert.is_nil(weft.current_task())
  end))
end)

--- the order in which they run ---------------------------------------------------------------

describe("the ready queue", function()
  it("is first in, first out, for tasks and callbacks alike", virtual(function()
    local loop = weft.get_running_loop()
    local order, note = recorder()
    local future = weft.create_future()
    weft.create_task(function()
      future:await()
      note "woken"
    end)
    weft.sleep(0)
    for i = 1, 3 do
      weft.create_task(note, "task" .. i)
      loop:call_soon(note, "call" .. i)
    end
    future:set_result()
    loop:call_soon(note, "last")
    weft.sleep(0)
    assert.equal("task1 call1 task2 call2 task3 call3 woken last", table.concat(order, " "))
  end))

  it("gives each task its turn", virtual(function()
    local n, rounds = 100, 50
    local turns, ahead = {}, 0
    local tasks = {}
    for i = 1, n do
      turns[i] = 0
      tasks[i] = weft.create_task(function()
        for _ = 1, rounds do
          turns[i] = turns[i] + 1
          local next_one = turns[i % n + 1]
          ahead = math.max(ahead, math.abs(turns[i] - next_one))
          weft.sleep(0)
        end
      end)
    end
    weft.gather(tasks)
    assert.equal(rounds, turns[1])
    assert.equal(rounds, turns[n])
    assert.equal(1, ahead)
  end))

  it("runs what a round has made in the next one", virtual(function()
    local order, note = recorder()
    weft.create_task(function()
      note "a"
      weft.create_task(note, "a's")
    end)
    weft.create_task(note, "b")
    weft.sleep(0)
    assert.same({ "a", "b" }, order)
    weft.sleep(0)
    assert.same({ "a", "b", "a's" }, order)
  end))

  it("does not starve the timers, however many tasks spin", support.run(function()
    local loop = weft.get_running_loop()
    for _, spinners in ipairs { 1, 10, 1000 } do
      local stop, spins = false, 0
      for _ = 1, spinners do
        weft.create_task(function()
          while not stop do
            spins = spins + 1
            weft.sleep(0)
          end
        end)
      end
      local fired
      loop:call_later(0.001, function() fired = true end)
      local limit = loop:time() + support.GUARD / 3
      weft.sleep(0.002)
      stop = true
      assert.is_true(fired)
      assert.is_true(loop:time() < limit)
      assert.is_true(spins >= spinners)
      weft.sleep(0)
    end
  end))

  it("does not starve a sleeper by callbacks that make callbacks", support.run(function()
    local loop, stop, count = weft.get_running_loop(), false, 0
    local function again()
      count = count + 1
      if not stop then
        loop:call_soon(again)
      end
    end
    again()
    weft.sleep(0.001)
    stop = true
    weft.sleep(0)
    assert.is_true(count > 0)
  end))
end)

describe("allocation failures while a task is made", function()
  it("raise, and leave nothing behind", virtual(function()
    local function work(...)
      local tasks = {}
      for i = 1, 300 do -- enough to make tables and heaps grow
        tasks[i] = weft.create_task(function(...)
          weft.sleep(1)
          return ...
        end, ...)
      end
      return tasks
    end
    local failed = 0
    for n = 1, 10 do
      local before = weft.statistics().tasks
      local ok, e = testing.fail_allocation(n, work, n)
      if not ok then
        failed = failed + 1
        assert.matches("not enough memory", e)
      end
      weft.sleep(2)
      assert.equal(before, weft.statistics().tasks)
    end
    assert.is_true(failed >= 1)
    assert.equal("x", (weft.await(function() return weft.sleep(1, "x") end)))
    collectgarbage()
  end))

  it("in a sleep raise there, and the task can go on", support.outside(function()
    testing.virtual_clock(function()
      local tasks, failures = {}, 0
      for i = 1, 200 do
        tasks[i] = weft.create_task(function()
          local ok, e = testing.fail_allocation(1, weft.sleep, 1)
          if not ok then
            failures = failures + 1
            assert(tostring(e):find("not enough memory"), e)
          end
          weft.sleep(1)
          return i
        end)
      end
      local results = weft.gather(tasks)
      assert.equal(200, results[200])
      assert.is_true(failures >= 1)
    end)
  end))
end)

describe("an error in a task", function()
  it("is raised to its waiter and to nobody else", virtual(function()
    local value = {}
    local bad = weft.create_task(fails(value))
    local good = weft.create_task(function() return weft.sleep(1, "good") end)
    assert.equal(value, error_of(bad.await, bad))
    assert.equal("good", good:await())
  end))

  it("may be a stack overflow or an error in an error", virtual(function()
    local function deep() return 1 + deep() end
    local task = weft.create_task(deep)
    assert.matches("stack overflow", tostring(error_of(task.await, task)))
    assert.equal("string", type(task:traceback()))
    assert.equal("x", weft.await(function() return weft.sleep(1, "x") end))
  end))
end)
