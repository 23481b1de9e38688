-- SPDX-License-Identifier: MIT
-- src/loop/store.c: what a loop keeps from being collected, for as long as it must and no
-- longer: tasks, callbacks, functions that are still to start; and the threads it uses again.

local weft = require "weft"
local core = require "weft.core"
local support = require "spec.support"
local testing = require "weft.testing"

local function collect()
  collectgarbage()
  collectgarbage()
end

-- A weak table of what `make` returns, and how many are left.
local function watched()
  local weak = setmetatable({}, { __mode = "v" })
  return function(x)
    weak[#weak + 1] = x
    return x
  end, function()
    collect()
    local n = 0
    for _ in pairs(weak) do
      n = n + 1
    end
    return n
  end
end

local function threads()
  return weft.get_running_loop():statistics().threads
end

describe("the store", function()
  it("keeps functions until their tasks start, whatever their order", support.run(function()
    local watch, left = watched()
    local seen = {}
    local function shared()
      seen[#seen + 1] = "shared"
    end
    for i = 1, 300 do
      weft.create_task(watch(function() seen[#seen + 1] = i end))
      if i % 3 == 0 then
        weft.create_task(shared)
        weft.create_task(shared)
      end
      if i % 5 == 0 then -- with arguments it has a thread from the start
        weft.create_task(watch(function(...) seen[#seen + 1] = select("#", ...) end), nil, nil)
      end
    end
    assert.equal(360, left())
    testing.wait_all_parked()
    assert.equal(0, left())
    local at = 0
    local function next_is(x)
      at = at + 1
      assert(seen[at] == x, ("%s in place of %s at %d"):format(tostring(seen[at]), tostring(x), at))
    end
    for i = 1, 300 do
      next_is(i)
      if i % 3 == 0 then
        next_is("shared")
        next_is("shared")
      end
      if i % 5 == 0 then
        next_is(2)
      end
    end
    assert.equal(at, #seen)
  end))

  it("lets go of functions that never start", support.run(function()
    local watch, left = watched()
    local tasks = {}
    for i = 1, 100 do
      local fn = watch(function() error "started" end)
      tasks[2 * i - 1] = weft.create_task(fn)
      tasks[2 * i] = weft.create_task(fn, i)
    end
    for _, task in ipairs(tasks) do
      task:cancel()
    end
    assert.equal(100, left())
    testing.wait_all_parked()
    assert.equal(0, left())
    for _, task in ipairs(tasks) do
      assert.is_true(task:cancelled())
    end
  end))

  it("keeps tasks that nobody holds until they end, and no longer", support.run(function()
    local watch, left = watched()
    local ended = 0
    for i = 1, 200 do
      watch(weft.create_task(function()
        weft.sleep(0.001 * (i % 3))
        ended = ended + 1
      end))
    end
    assert.equal(200, left())
    weft.sleep(0.01)
    testing.wait_all_parked()
    assert.equal(200, ended)
    assert.equal(0, left())
  end))

  it("lets go of what a task returned or raised when nobody holds the task",
    support.run(function()
      local loop = weft.get_running_loop()
      loop:set_exception_handler(function() end)
      local watch, left = watched()
      for _ = 1, 50 do
        weft.create_task(function() return watch {} end)
        weft.create_task(function() error(watch {}) end)
        weft.create_task(function() watch(weft.create_future()):set_result(watch {}) end)
      end
      testing.wait_all_parked()
      left()
      testing.wait_all_parked() -- in which the errors are reported
      assert.equal(0, left())
    end))

  it("lets go of callbacks and their arguments once they ran or were taken back",
    support.run(function()
      local loop = weft.get_running_loop()
      local watch, left = watched()
      for i = 1, 50 do
        watch(loop:call_soon(watch(function() return i end), watch {}))
        watch(loop:call_later(1000, watch(function() return i end), watch {})):cancel()
        loop:call_later(0, watch(function() return i end), watch {})
      end
      assert.is_true(left() >= 250)
      weft.sleep(0.01)
      testing.wait_all_parked()
      assert.equal(0, left())
    end))

  it("lets go of callbacks and tasks for which there was no memory", support.outside(function()
    local watch, left = watched()
    for n = 1, 3 do
      local loop = weft.new_event_loop()
      local ok = testing.fail_allocation(n, loop.call_later, loop, 10,
        watch(function() return n end))
      assert.is_false(ok)
      ok = testing.fail_allocation(1, loop.create_task, loop, watch(function() return n end))
      assert.is_true(not ok or n == 3) -- then the slots are there
      if ok then
        loop:run_once()
      end
      assert.equal(0, left())
      assert.equal(0, loop:statistics().timers)
      assert.equal(0, loop:statistics().tasks)
      loop:close()
    end
  end))

  it("uses its slots again: rounds of work need no more memory than one", support.run(function()
    local function round()
      local tasks = {}
      for i = 1, 500 do
        tasks[i] = weft.create_task(weft.sleep, 0)
        weft.get_running_loop():call_soon(function() end)
      end
      weft.gather(tasks)
    end
    round()
    collect()
    local blocks, bytes = core.memory()
    for _ = 1, support.rounds(20) do
      round()
    end
    collect()
    local blocks_now, bytes_now = core.memory()
    assert.same({ blocks, bytes }, { blocks_now, bytes_now })
  end))

  it("holds as many as come at once", support.run(function()
    local n, sum = support.rounds(20000), 0
    local gate = weft.event()
    for i = 1, n do
      weft.create_task(function()
        gate:wait()
        sum = sum + i
      end)
    end
    testing.wait_all_parked()
    assert.equal(n + 1, weft.statistics().tasks)
    assert.equal(n + 1, #weft.all_tasks())
    gate:set()
    testing.wait_all_parked()
    assert.equal(n * (n + 1) / 2, sum)
    assert.equal(1, weft.statistics().tasks)
  end))

  it("lists the live tasks in order of creation while slots are free between them",
    support.run(function()
      local tasks = {}
      for i = 1, 10 do
        tasks[i] = weft.create_task(weft.sleep, 100)
      end
      testing.wait_all_parked()
      for i = 2, 10, 2 do
        tasks[i]:cancel()
      end
      testing.wait_all_parked()
      local listed = weft.all_tasks()
      assert.same({ weft.current_task(), tasks[1], tasks[3], tasks[5], tasks[7], tasks[9] }, listed)
      for i = 1, 5 do
        listed[6 + i] = weft.create_task(weft.sleep, 100)
      end
      local last = weft.all_tasks()
      assert.same(listed, last)
      for _, task in ipairs(last) do
        if task ~= weft.current_task() then
          task:cancel()
        end
      end
      testing.wait_all_parked()
    end))
end)

describe("finished threads", function()
  it("are used again", support.run(function()
    local function run(n)
      local tasks = {}
      for i = 1, n do
        tasks[i] = weft.create_task(weft.sleep, 0.001)
      end
      weft.gather(tasks)
    end
    run(10)
    local pooled = threads()
    assert.is_true(pooled >= 10)
    for _ = 1, 20 do
      run(10)
    end
    assert.equal(pooled, threads())
  end))

  it("come back empty: nothing of the last task is seen by the next", support.run(function()
    for i = 1, 5 do
      local task = weft.create_task(function(...)
        local a, b, c = ...
        weft.sleep(0)
        return select("#", ...), a, b, c
      end, i)
      local n, a, b, c = task:await()
      assert.same({ 1, i, nil, nil }, { n, a, b, c })
    end
  end))

  it("are not used again after an error, whose traceback they hold", support.run(function()
    local function culprit()
      error("x", 0)
    end
    local failed = weft.create_task(function()
      culprit()
      return 1
    end)
    testing.wait_all_parked()
    for _ = 1, 10 do
      weft.create_task(weft.sleep, 0):await()
    end
    support.error_of(failed.result, failed)
    assert.matches("in function '?.-culprit", failed:traceback():gsub("upvalue", "function"))
  end))

  it("beyond what the last seconds needed are given up", support.run(function()
    local tasks = {}
    for i = 1, 1500 do
      tasks[i] = weft.create_task(weft.sleep, 0)
    end
    weft.gather(tasks)
    assert.is_true(threads() >= 1500)
    weft.sleep(1.01)
    weft.sleep(1.01)
    assert.equal(1024, threads())
  end))
end)
