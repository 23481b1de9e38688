-- SPDX-License-Identifier: MIT
-- src/loop/task.c: the life of a task as weft.core shows it: its states, its threads, its
-- cancellation count. What users see of it is spec/weft/task_spec.lua's.

local weft = require "weft"
local core = require "weft.core"
local support = require "spec.support"
local testing = require "weft.testing"

local unpack = table.unpack or unpack
local virtual, raises = support.virtual, support.raises
local parked = testing.wait_all_parked

local function threads()
  return weft.get_running_loop():statistics().threads
end

describe("a task's state", function()
  it("goes from pending to returned, raised or cancelled", virtual(function()
    local seen = {}
    local function look(task)
      seen[#seen + 1] = core.state(task)
    end
    local task
    task = core.create_task(function()
      look(task) -- running
      core.sleep(1)
      look(task)
      core.sleep(0)
      look(task)
    end)
    look(task) -- pending: not started
    weft.sleep(0)
    look(task) -- parked
    weft.sleep(1)
    look(task) -- it was woken first, and passes its turn now: ready
    weft.sleep(0)
    look(task)
    assert.equal("pending running parked running ready running returned",
      table.concat(seen, " "))
    task = core.create_task(error)
    weft.sleep(0)
    assert.equal("raised", core.state(task))
    pcall(weft.await, task)
    task = core.create_task(core.sleep, 1)
    weft.sleep(0)
    core.cancel(task)
    assert.equal("ready", core.state(task))
    weft.sleep(0)
    assert.equal("returned", core.state(task)) -- core.sleep only gives false
    task = core.create_task(error)
    core.cancel(task)
    assert.equal("pending", core.state(task))
    weft.sleep(0)
    assert.equal("cancelled", core.state(task))
  end))

  it("is that of another when one runs inside its awaiter", virtual(function()
    local outer
    outer = weft.create_task(function()
      return weft.await(function() return core.state(outer) end)
    end)
    assert.equal("parked", outer:await())
  end))
end)

describe("the place of a task", function()
  it("is its function before the start, then its innermost coroutine", virtual(function()
    local function body()
      coroutine.wrap(function() weft.sleep(10) end)()
    end
    for _, arguments in ipairs { {}, { 1, 2 } } do
      local inner
      local function start()
        coroutine.wrap(function()
          inner = coroutine.running()
          weft.sleep(10)
        end)()
      end
      local task = weft.create_task(start, unpack(arguments))
      assert.equal(start, core.start_of(task))
      weft.sleep(2)
      assert.is_nil(core.start_of(task))
      local co, word, object, since = core.place(task)
      assert.equal(inner, co)
      assert.same({ "sleep" }, { word, object })
      assert.near(2, since, 0.002)
      local own = core.resumer(task, inner)
      assert.equal("thread", type(own))
      assert.is_nil(core.resumer(task, own))
      task:cancel()
      pcall(task.await, task)
      assert.is_nil(core.place(task))
      assert.is_nil(core.resumer(task, inner))
    end
    assert.equal("function", type(body))
  end))

  it("tells what is awaited, by name and object", virtual(function()
    local future = weft.create_future()
    local list = core.waitlist()
    local latch = core.latch {}
    core.latch_add(latch, future, 1)
    for word, case in pairs {
      await = { future, function() core.await(future) end },
      wait = { list, function() core.park(list) end },
      children = { latch, function() core.latch_wait(latch, "all") end },
    } do
      local task = weft.create_task(case[2])
      parked()
      local _, what, object = core.place(task)
      assert.equal(word, what)
      assert.equal(case[1], object)
      task:cancel()
      task:await()
      future = future:done() and weft.create_future() or future
    end
    core.latch_close(latch)
  end))

  it("tells it of a chain from its innermost", virtual(function()
    local future = weft.create_future()
    local function deep(n)
      if n == 0 then
        return future:await()
      end
      return coroutine.wrap(deep)(n - 1)
    end
    local task = weft.create_task(deep, 5)
    parked()
    local co, word, object = core.place(task)
    assert.same({ "await", true }, { word, object == future })
    local length = 0
    while co do
      length = length + 1
      assert.is_true(core.is_parked(co))
      co = core.resumer(task, co)
    end
    assert.equal(6, length)
    future:set_result("x")
    assert.equal("x", task:await())
  end))

  it("is the running coroutine of the task that asks", virtual(function()
    local me = weft.current_task()
    local own = coroutine.running()
    assert.equal(own, (core.place(me)))
    assert.is_nil(core.resumer(me, own))
    coroutine.wrap(function()
      local inner = coroutine.running()
      assert.equal(own, core.resumer(me, inner))
      coroutine.wrap(function()
        assert.equal(inner, core.resumer(me, coroutine.running()))
        weft.sleep(1)
        assert.equal(inner, core.resumer(me, coroutine.running()))
        assert.equal(own, core.resumer(me, inner))
        assert.is_nil(core.resumer(me, own))
      end)()
      assert.equal(own, core.resumer(me, inner))
    end)()
  end))

  it("is found through coroutines in a place where none can wait", virtual(function()
    local me, own = weft.current_task(), coroutine.running()
    table.sort({ 1, 2 }, function(a, b)
      coroutine.wrap(function()
        local inner = coroutine.running()
        assert.equal(own, core.resumer(me, inner))
        coroutine.wrap(function()
          assert.equal(inner, core.resumer(me, coroutine.running()))
        end)()
      end)()
      return a < b
    end)
  end))
end)

describe("finished threads", function()
  it("are used again", virtual(function()
    local first
    weft.await(function() first = coroutine.running() end)
    for _ = 1, 10 do
      assert.equal(first, weft.await(coroutine.running))
    end
  end))

  it("are not when an error is left on them", virtual(function()
    local first
    local failed = weft.create_task(function()
      first = coroutine.running()
      error("x", 0)
    end)
    pcall(failed.await, failed)
    for _ = 1, 10 do
      assert.not_equal(first, weft.await(coroutine.running))
    end
    assert.equal("dead", coroutine.status(first))
  end))

  it("are one for tasks that run one after the other", virtual(function()
    local before = threads()
    for _ = 1, 1000 do
      weft.create_task(function() end)
    end
    parked()
    assert.is_true(threads() - before <= 1)
  end))

  it("are as many as there were tasks at once", virtual(function()
    local before = threads()
    for _ = 1, 100 do
      weft.create_task(weft.sleep, 1)
    end
    weft.sleep(2)
    assert.is_true(threads() - before >= 99)
    for _ = 1, 5 do
      for _ = 1, 100 do
        weft.create_task(weft.sleep, 1)
      end
      weft.sleep(2)
    end
    assert.is_true(threads() - before <= 110)
  end))

  it("that somebody kept run no other's code", virtual(function()
    local kept
    weft.await(function() kept = coroutine.running() end)
    assert.is_false((coroutine.resume(kept)))
    assert.equal("x", weft.await(function()
      assert(coroutine.running() == kept)
      weft.sleep(1)
      return "x"
    end))
    local task = weft.create_task(function(...)
      assert(coroutine.running() == kept)
      return ...
    end, 1, nil)
    assert.is_true(core.is_parked(kept))
    assert.is_false((coroutine.resume(kept)))
    assert.same({ 1, nil }, { task:await() })
    task = weft.create_task(function() error("never") end, 1)
    task:cancel()
    raises("cancelled", task.await, task)
    assert.is_false(core.is_parked(kept))
    assert.equal("x", weft.await(function() return weft.sleep(1, "x") end))
  end))
end)

describe("the count of cancellations", function()
  it("ends at 65535 and can be taken back", virtual(function()
    local task = weft.create_task(weft.sleep, 1)
    for _ = 1, 70000 do
      core.cancel(task)
    end
    assert.equal(65535, task:cancelling())
    assert.equal(65534, task:uncancel())
    while task:uncancel() > 0 do end
    assert.equal(0, task:cancelling())
    task:await()
  end))

  it("goes down to nothing and not below", virtual(function()
    local task = weft.create_task(weft.sleep, 1)
    assert.equal(0, task:uncancel())
    task:cancel()
    assert.equal(0, task:uncancel())
    assert.equal(0, task:uncancel())
    task:await()
    assert.is_false(task:cancelled())
  end))
end)

describe("an interrupted wait", function()
  -- Each wait of weft.core: what it gives when a cancel comes, false alone.
  for name, wait in pairs {
    sleep = function() return core.sleep(10) end,
    await = function() return core.await(weft.create_task(weft.sleep, 10)) end,
    await_shielded = function() return core.await_shielded(weft.create_future()) end,
    park = function() return core.park(core.waitlist()) end,
    latch_wait = function()
      local latch = core.latch {}
      core.latch_add(latch, weft.create_future(), 1)
      return core.latch_wait(latch, "all")
    end,
  } do
    it("of core." .. name .. " gives false", virtual(function()
      local results
      local task = weft.create_task(function()
        results = { (function(...) return select("#", ...), (...) end)(wait()) }
      end)
      parked()
      task:cancel()
      task:await()
      assert.equal(false, results[2])
      assert.equal(name == "await" and 2 or 1, results[1]) -- with the other's error
    end))
  end

  it("that was refused at entry gives false, and touches nothing", virtual(function()
    local future, list, done = weft.create_future(), core.waitlist(), weft.create_future()
    done:set_result()
    local task = weft.create_task(function()
      core.cancel(weft.current_task())
      assert(core.await(done) == false)
      assert(core.sleep(1) == false)
      assert(core.await(future) == false)
      assert(core.park(list) == false)
      assert(core.checkpoint() == false)
      assert(core.can_park() == false)
      assert(core.can_park(true) == true)
      assert(core.interruption() == "cancel")
      assert(core.gate[1] == false)
      core.uncancel(weft.current_task())
      assert(core.gate[1] == true)
      assert(core.interruption() == nil)
      assert(core.checkpoint() == true)
    end)
    task:await()
    assert.equal(0, core.waiting(list))
    assert.is_false(future:done())
  end))
end)

describe("loops and tasks", function()
  it("keep each other: a loop is collected with its tasks", support.outside(function()
    local watched = setmetatable({}, { __mode = "k" })
    local task
    do
      local loop = weft.new_event_loop()
      loop:set_exception_handler(function() end)
      watched[loop] = true
      task = loop:create_task(weft.sleep, 1)
      loop:run_once()
    end
    collectgarbage()
    collectgarbage()
    assert.equal("weft", tostring(task:get_loop()):find("Loop<open", 1, true) and "weft")
    assert.is_not_nil((next(watched)))
    task = nil -- luacheck: ignore 311
    collectgarbage()
    collectgarbage()
    assert.is_nil((next(watched)))
  end))

  it("list the live ones in order of creation", virtual(function()
    local tasks = { weft.current_task() }
    for i = 2, 20 do
      tasks[i] = weft.create_task(weft.sleep, i)
    end
    local all = weft.all_tasks()
    assert.equal(20, #all)
    for i = 1, 20 do
      assert.equal(tasks[i], all[i])
    end
    weft.sleep(10.5)
    assert.equal(11, #weft.all_tasks())
    weft.sleep(20)
    assert.equal(1, #weft.all_tasks())
  end))
end)
