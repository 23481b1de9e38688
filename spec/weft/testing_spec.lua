-- SPDX-License-Identifier: MIT
-- weft.testing: the virtual clock, waiting for quiet, sequencers, the leak guard, cancellation
-- at every wait, collections at every step, and C memory that runs out.

local weft = require "weft"
local core = require "weft.core"
local cc = require "spec.c.cc"
local support = require "spec.support"
local testing = require "weft.testing"

describe("virtual_clock", function()
  it("lets hours pass at once", support.virtual(function()
    local loop = weft.get_running_loop()
    local start, real = loop:time(), os.time()
    weft.sleep(3600)
    assert.near(3600, loop:time() - start, 1e-6)
    support.raises("timeout", weft.timeout, 1800, weft.sleep, 3600)
    support.raises("timeout", weft.wait_for, weft.create_future(), 1800)
    assert.near(7200, loop:time() - start, 1e-6)
    assert.is_true(os.time() - real < 60)
  end))

  it("passes arguments, results and errors as run does", support.outside(function()
    local function pack(...)
      return { n = select("#", ...), ... }
    end
    assert.same({ n = 3, 1, nil, 3 }, pack(testing.virtual_clock(function(...) return ... end,
      1, nil, 3)))
    assert.equal("x", support.error_of(testing.virtual_clock, error, "x", 0))
    support.raises("type", testing.virtual_clock, 5)
    support.raises({ "state", "ENESTED" }, testing.virtual_clock, testing.virtual_clock, print)
  end))

  it("stands still while a task runs or is ready", support.virtual(function()
    local loop = weft.get_running_loop()
    local start = loop:time()
    local until_ = os.clock() + 0.01
    repeat until os.clock() > until_
    for _ = 1, 200 do
      weft.sleep(0)
    end
    assert.equal(start, loop:time())
  end))

  it("cancels and awaits what is left", support.outside(function()
    local task = testing.virtual_clock(function()
      local task = weft.create_task(weft.sleep, 1e6)
      weft.sleep(0)
      return task
    end)
    assert.is_true(task:cancelled())
  end))

  it("does not jump while a handle may bring something", function()
    local text, status = cc.script [[
      local testing = require "weft.testing"
      testing.virtual_clock(function()
        local loop = weft.get_running_loop()
        local parent = posix.getpid()
        if posix.fork() == 0 then
          posix.poll(-1, 0.05)
          posix.kill(parent, 10)
          posix.leave(0)
        end
        local future, start = loop:create_future(), loop:time()
        loop:add_signal_handler("SIGUSR1", function()
          loop:remove_signal_handler "SIGUSR1"
          future:set_result(loop:time() - start)
        end)
        local hour = weft.create_task(weft.sleep, 3600)
        print(future:await(), hour:done())
        hour:await()
        print(math.floor(loop:time() - start + 0.5))
      end)]]
    assert.matches("^0%.?0?\tfalse\n3600\n$", text)
    assert.equal(0, status)
  end)
end)

describe("wait_all_parked", function()
  it("returns when all others wait, however long their work is", support.virtual(function()
    local done = 0
    local tasks = {}
    for i = 1, 10 do
      tasks[i] = weft.create_task(function()
        for _ = 1, i * 10 do
          weft.sleep(0)
        end
        weft.await(function() weft.sleep(0) end)
        done = done + 1
        weft.sleep(100)
      end)
    end
    testing.wait_all_parked()
    assert.equal(10, done)
    assert.is_false(tasks[1]:done())
    weft.gather(tasks)
  end))

  it("returns at once when there is nobody else", support.run(function()
    testing.wait_all_parked()
  end))

  it("is a wait: outside a task it raises, cancelled it raises", support.run(function()
    local task = weft.create_task(function()
      weft.current_task():cancel()
      testing.wait_all_parked()
    end)
    support.raises("cancelled", task.await, task)
    local ok, e
    weft.get_running_loop():call_soon(function() ok, e = pcall(testing.wait_all_parked) end)
    weft.sleep(0.001)
    assert.is_false(ok)
    assert.equal("ENOTASK", e.code)
  end))
end)

describe("a sequencer", function()
  it("runs the blocks of any tasks in the order of their numbers", support.run(function()
    local seq, seen = testing.sequencer(), {}
    local function block(n)
      return function()
        return seq(n, function(x)
          weft.sleep(0)
          seen[#seen + 1] = n
          return x, n
        end, "result")
      end
    end
    local a, b = weft.create_task(function()
      block(2)()
      return block(5)()
    end), weft.create_task(function()
      block(4)()
      block(6)()
    end)
    assert.equal("result", (block(1)()))
    block(3)()
    assert.same({ "result", 5 }, { a:await() })
    b:await()
    assert.same({ 1, 2, 3, 4, 5, 6 }, seen)
    seq(7) -- a block may be empty
  end))

  it("breaks the blocks after one that failed", support.run(function()
    local seq = testing.sequencer()
    local later = weft.create_task(seq, 3)
    testing.wait_all_parked()
    seq(1)
    assert.equal("x", support.error_of(seq, 2, error, "x", 0))
    local e = support.raises("state", later.await, later)
    assert.matches("block 3 cannot come", e.message)
  end))

  it("refuses a number twice, and what is no number", support.run(function()
    local seq = testing.sequencer()
    seq(1)
    assert.matches("block 1 is there already", support.raises("state", seq, 1).message)
    for _, n in ipairs { 0, -1, 1.5, "2" } do
      support.raises("type", seq, n)
    end
  end))

  it("breaks the blocks after one that was cancelled, not those before it",
    support.run(function()
      local seq, seen = testing.sequencer(), {}
      local second = weft.create_task(seq, 2, function() end)
      local first = weft.create_task(function()
        weft.sleep(0)
        seq(1, table.insert, seen, "first")
      end)
      local third = weft.create_task(seq, 3, function() end)
      weft.sleep(0)
      second:cancel()
      support.raises("cancelled", second.await, second)
      first:await()
      assert.same({ "first" }, seen)
      assert.matches("block 3 cannot come", support.raises("state", third.await, third).message)
      assert.matches("block 4 cannot come", support.raises("state", seq, 4).message)
    end))

  it("raises at entry in a cancelled task, and the block stays free", support.run(function()
    local seq = testing.sequencer()
    local task
    task = weft.create_task(function()
      task:cancel()
      seq(1)
    end)
    support.raises("cancelled", task.await, task)
    assert.equal("x", seq(1, function() return "x" end))
  end))
end)

describe("leaks", function()
  local function leak(fn)
    return support.raises({ "state", "leak" }, testing.leaks, fn).message
  end

  it("returns results and raises errors, in a run of its own or inside one",
    support.outside(function()
      assert.equal(5, testing.leaks(function(x)
        weft.sleep(0)
        return x
      end, 5))
      assert.equal("x", support.error_of(testing.leaks, error, "x", 0))
      weft.run(function()
        local loop = weft.get_running_loop()
        assert.equal(loop, testing.leaks(weft.get_running_loop))
      end)
      support.raises("type", testing.leaks, "x")
    end))

  it("finds a task that was left behind, and names it", support.outside(function()
    local text = leak(function()
      weft.create_task(function() weft.sleep(100) end)
    end)
    assert.matches("^leak: a task has not ended: Task<pending name=Task%-2 at "
      .. ".*testing_spec.lua:%d+>$", text)
  end))

  it("finds a handle that was left open", support.outside(function()
    assert.equal("leak: 2 handles are open", leak(function()
      local loop = weft.get_running_loop()
      loop:add_signal_handler("SIGUSR1", print)
      loop:add_signal_handler("SIGUSR2", print)
    end))
  end))

  it("finds a descriptor that was left open", support.outside(function()
    local file
    local text = leak(function()
      file = io.open("/dev/null")
    end)
    file:close()
    assert.matches("^leak: descriptor %d+ is open$", text)
  end))

  it("lists all of it", support.outside(function()
    local file
    local text = leak(function()
      weft.create_task(weft.sleep, 1)
      weft.create_task(weft.sleep, 2)
      weft.get_running_loop():add_signal_handler("SIGUSR1", print)
      file = io.open("/dev/null")
    end)
    file:close()
    local _, count = text:gsub(";", "")
    assert.equal(3, count, text)
  end))

  it("does not blame fn for what was there before", support.run(function()
    local task = weft.create_task(weft.sleep, 0.01)
    local file = io.open("/dev/null")
    weft.get_running_loop():add_signal_handler("SIGUSR1", print)
    testing.leaks(function() weft.sleep(0) end)
    weft.get_running_loop():remove_signal_handler("SIGUSR1")
    file:close()
    task:await()
  end))

  it("raises the error of fn in place of a leak", support.outside(function()
    assert.equal("x", support.error_of(testing.leaks, function()
      weft.create_task(weft.sleep, 100)
      error("x", 0)
    end))
  end))
end)

describe("cancel_everywhere", function()
  it("cancels at each wait in turn", function()
    local sem = weft.semaphore(1)
    local seen = {}
    local runs = testing.cancel_everywhere(function()
      sem:with(function()
        for i = 1, 4 do
          seen[#seen + 1] = i
          weft.sleep(1)
        end
      end)
    end, function(n)
      seen[#seen + 1] = "check " .. n
      assert.equal(1, sem:statistics().free)
    end)
    assert.equal(4, runs)
    assert.same({ 1, "check 1", 1, 2, "check 2", 1, 2, 3, "check 3", 1, 2, 3, 4, "check 4",
      1, 2, 3, 4, "check 5" }, seen)
  end)

  it("does so at waits of every kind", function()
    local function child()
      weft.sleep(0)
      weft.sleep(1)
    end
    local runs = testing.cancel_everywhere(function()
      weft.sleep(0)
      weft.sleep(1)
      weft.await(child)
      weft.gather(child, child)
      weft.task_group(function(group) group:create_task(child) end)
      weft.timeout(5, child)
      coroutine.wrap(child)()
      weft.wait_for(child, 5)
    end)
    assert.is_true(runs >= 10, tostring(runs))
  end)

  it("has no runs for what never waits", function()
    assert.equal(0, testing.cancel_everywhere(function() end))
  end)

  it("reports a wait whose cancellation leaks", function()
    local lock = weft.lock()
    local e = support.raises({ "state", "leak" }, testing.cancel_everywhere, function()
      lock:acquire()
      weft.sleep(1)
      lock:release()
    end, function()
      assert(not lock:locked(), "the lock is held")
    end)
    assert.matches("cancelled at wait 1: .*the lock is held", e.message)
  end)

  it("reports a task that is left, an error, and a hang", function()
    local e = support.raises({ "state", "leak" }, testing.cancel_everywhere, function()
      weft.create_task(function() weft.sleep(100) end)
      weft.sleep(1)
    end)
    assert.matches("^cancelled at wait 1: a task has not ended: Task", e.message)
    e = support.raises({ "state", "leak" }, testing.cancel_everywhere, function()
      if not pcall(weft.sleep, 1) then
        error("clean-up failed", 0)
      end
      weft.sleep(1)
    end)
    assert.equal("cancelled at wait 1: it raised clean-up failed", e.message)
    e = support.raises({ "state", "leak" }, testing.cancel_everywhere, function()
      weft.finally(function() weft.sleep(1) end, function() weft.create_future():await() end)
    end)
    assert.matches("^cancelled at wait 1: .*deadlock", e.message)
  end)

  it("with every_task cancels at the waits of the tasks it makes", function()
    local cancelled = {}
    local function child(name)
      return function()
        local ok = pcall(weft.sleep, 1)
        cancelled[#cancelled + 1] = not ok and name or nil
      end
    end
    local runs = testing.cancel_everywhere(function()
      weft.gather(child "a", child "b")
    end, nil, { every_task = true })
    assert.equal(3, runs)
    table.sort(cancelled)
    assert.same({ "a", "a", "b", "b" }, cancelled) -- each alone, and both with their parent
    support.raises("type", testing.cancel_everywhere, print, nil, { all = true })
    support.raises("type", testing.cancel_everywhere, nil)
  end)
end)

describe("gc_stress", function()
  it("collects before every step, and only inside", support.run(function()
    local function collected_between()
      local weak = setmetatable({ {} }, { __mode = "v" })
      weft.sleep(0)
      return weak[1] == nil
    end
    assert.is_true(testing.gc_stress(collected_between))
    collectgarbage()
    collectgarbage("stop")
    local after = collected_between()
    collectgarbage("restart")
    assert.is_false(after)
    assert.equal("x", support.error_of(testing.gc_stress, error, "x", 0))
  end))

  it("makes a run of its own outside of one", support.outside(function()
    assert.equal(3, testing.gc_stress(function(a, b)
      weft.gather(weft.yield, weft.yield)
      return a + b
    end, 1, 2))
    support.raises("type", testing.gc_stress, 1)
  end))

  it("leaves all that waits alive", support.virtual(function()
    testing.gc_stress(function()
      local queue, results = weft.queue(2), {}
      local consumer = weft.create_task(function()
        for item in queue:iter() do
          results[#results + 1] = item[1]
        end
      end)
      for i = 1, 10 do
        weft.timeout(5, queue.put, queue, { i })
      end
      queue:shutdown()
      consumer:await()
      assert.same({ 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 }, results)
    end)
  end))
end)

describe("fail_allocation", function()
  it("lets the n-th allocation of weft's C code fail, and only that one", support.run(function()
    local latch = core.latch {}
    local futures = { weft.create_future(), weft.create_future(), weft.create_future() }
    local added = {}
    local ok, e = testing.fail_allocation(2, function()
      for i, future in ipairs(futures) do
        core.latch_add(latch, future, i)
        added[#added + 1] = i
      end
    end)
    assert.is_false(ok)
    assert.matches("not enough memory", tostring(e))
    assert.same({ 1 }, added)
    core.latch_add(latch, futures[2], 2)
    core.latch_close(latch)
    assert.same({ true, 1, nil, 3, n = 4 }, { n = select("#", testing.fail_allocation(9, function()
      return 1, nil, 3
    end)), testing.fail_allocation(9, function() return 1, nil, 3 end) })
    support.raises("type", testing.fail_allocation, 0, print)
    support.raises("type", testing.fail_allocation, 1, nil)
  end))

  -- Everything that takes C memory: anchors, threads, timers, scopes, watches, handles.
  local function body()
    local loop = weft.get_running_loop()
    local tasks = {}
    for i = 1, 40 do
      tasks[i] = weft.create_task(function(x)
        weft.sleep(0.001 * (i % 3))
        return x
      end, i)
    end
    for i = 41, 70 do
      tasks[i] = weft.create_task(weft.yield)
    end
    for i = 1, 70 do
      loop:call_later(0.001 * (i % 3), function() end)
      loop:call_soon(function() end)
    end
    local sum = 0
    local results = weft.gather(tasks)
    for i = 1, 40 do
      sum = sum + results[i]
    end
    assert(sum == 40 * 41 / 2)
    weft.timeout(5, weft.sleep, 0.001)
    weft.wait({ function() weft.sleep(0.001) end, weft.yield }, { timeout = 5 })
    for _ in weft.as_completed { tasks[60], function() weft.sleep(0) end } do end
    weft.task_group(function(group)
      group:create_task(weft.sleep, 0.001)
      group:create_task(weft.sleep, 0)
    end)
    for _ in weft.map({ 1, 2, 3 }, function(x) weft.sleep(0) return x end) do end
    weft.finally(weft.yield, weft.yield)
    loop:add_signal_handler("SIGUSR1", print)
    loop:remove_signal_handler("SIGUSR1")
    weft.gather(tasks)
    return "passed"
  end

  -- As testing.fail_allocation, and first whether so many allocations were tried; a failure
  -- need not show: less is kept for later, then.
  local function fail_allocation(n, fn, ...)
    local _, _, before = core.memory()
    local ok, result = testing.fail_allocation(n, fn, ...)
    local _, _, after = core.memory()
    return after - before >= n, ok, result
  end

  local function is_clear(e)
    return tostring(e):find("not enough memory", 1, true) ~= nil
  end

  it("at any place is a clear error, leaks nothing and leaves the loop usable",
    support.outside(function()
      local n, failures = 0, 0
      local runner = weft.runner()
      local reached, ok, result
      repeat
        n = n + 1
        local lost = {}
        runner:run(function()
          weft.get_running_loop():set_exception_handler(function(_, context)
            lost[#lost + 1] = tostring(context.exception)
          end)
          reached, ok, result = fail_allocation(n, function()
            return weft.create_task(body):await()
          end)
          for _, task in ipairs(weft.all_tasks()) do
            if task ~= weft.current_task() then
              task:cancel()
            end
          end
          testing.wait_all_parked()
          local tasks = weft.all_tasks()
          assert(#tasks == 1, tostring(tasks[2]))
          collectgarbage()
          collectgarbage()
          weft.sleep(0.001)
          assert(weft.gather(function() weft.sleep(0) return 7 end)[1] == 7)
        end)
        failures = failures + (ok and 0 or 1)
        assert.is_true(ok or is_clear(result), n .. ": " .. tostring(result))
        for _, e in ipairs(lost) do
          assert.is_true(is_clear(e), n .. ": " .. e)
        end
      until not reached -- what has grown needs no more: it takes fewer runs than allocations
      assert.is_true(ok)
      assert.equal("passed", result)
      runner:close()
      assert.is_true(failures > 0)
    end))

  it("at any place of a whole run is a clear error and leaks nothing", support.outside(function()
    local n, failures, blocks = 0, 0, core.memory()
    local reached, ok, result
    repeat
      n = n + 1
      local reports = {}
      reached, ok, result = fail_allocation(n, weft.run, function()
        weft.get_running_loop():set_exception_handler(function(_, context)
          reports[#reports + 1] = tostring(context.exception)
        end)
        return body()
      end)
      collectgarbage()
      collectgarbage()
      assert.equal(blocks, (core.memory()), n)
      failures = failures + (ok and 0 or 1)
      assert.is_true(ok or is_clear(result), n .. ": " .. tostring(result))
      for _, e in ipairs(reports) do
        assert.is_true(is_clear(e), n .. ": " .. e)
      end
    until not reached
    assert.is_true(ok)
    assert.equal("passed", result)
    assert.is_true(failures > 70, failures .. " failures")
  end))
end)
