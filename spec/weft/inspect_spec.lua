-- SPDX-License-Identifier: MIT
-- weft.inspect, and the tracebacks of weft.task: what is told of live tasks, and that telling
-- it changes nothing.

local weft = require "weft"
local cc = require "spec.c.cc"
local support = require "spec.support"
local testing = require "weft.testing"

local HERE = "spec/weft/inspect_spec.lua:"

local function line(offset)
  return debug.getinfo(2, "l").currentline + (offset or 0)
end

-- Asserts that the lines of `text` are as given, plain text; "@N" stands for line N of here.
local function assert_lines(expected, text)
  local lines = {}
  for one in text:gmatch("[^\n]+") do
    lines[#lines + 1] = one
  end
  for i, one in ipairs(expected) do
    expected[i] = one:gsub("@", "at " .. HERE)
  end
  assert.same(expected, lines)
end

local function end_all(tasks)
  for _, task in ipairs(tasks) do
    task:cancel()
  end
  testing.wait_all_parked()
end

describe("tree", function()
  it("tells of each task what it waits for, since when and where", support.virtual(function()
    local event, lock, queue, future = weft.event(), weft.lock(), weft.queue(), weft.create_future()
    lock:acquire()
    local tasks, at = {}, {}
    local function add(name, fn)
      local task = weft.create_task(fn)
      task:set_name(name)
      tasks[#tasks + 1] = task
    end
    at[1] = line(1)
    add("sleeper", function() weft.sleep(1000) end)
    add("waiter", function() event:wait() end)
    add("locked", function() lock:acquire() end)
    add("hungry", function() queue:get() end)
    add("patient", function() future:await() end)
    weft.sleep(2.5)
    add("unborn", function() end)
    assert_lines({
      "main: running at " .. HERE .. line(7),
      "sleeper: sleeps for 2.5 s @" .. at[1],
      "waiter: waits in wait for 2.5 s @" .. at[1] + 1,
      "locked: waits in acquire for 2.5 s @" .. at[1] + 2,
      "hungry: waits in get for 2.5 s @" .. at[1] + 3,
      "patient: awaits Future-2 for 2.5 s @" .. at[1] + 4,
      "unborn: not started @" .. at[1] + 6,
    }, (weft.tree():gsub(HERE .. "%d+", HERE .. line(), 1)))
    end_all(tasks)
    lock:release()
  end))

  it("puts the tasks that one waits for below it", support.virtual(function()
    local function leaf()
      weft.sleep(10)
    end
    local tasks = {}
    tasks[1] = weft.create_task(function()
      weft.gather(leaf, function() weft.await(leaf) end)
    end)
    tasks[2] = weft.create_task(function() tasks[1]:await() end)
    tasks[3] = weft.create_task(function() tasks[1]:await() end)
    testing.wait_all_parked()
    local text = weft.tree():gsub(" at [^\n]*", ""):gsub(" for 0.0 s", "")
    assert.equal(table.concat({
      "main: running",
      "Task-3: awaits Task-2", -- of this, Task-2 is the one that is waited for
      "  Task-2: waits for children",
      "    Task-5: sleeps",
      "    Task-6: awaits Task-7",
      "      Task-7: sleeps",
      "Task-4: awaits Task-2",
      "  Task-2 (above)",
    }, "\n"), (text:gsub("Task%-(%d+)", function(n) return "Task-" .. n end)))
    end_all(tasks)
  end))

  it("finds its way in coroutines inside a task", support.virtual(function()
    local at = line(3)
    local task = weft.create_task(function()
      coroutine.wrap(function()
        coroutine.wrap(function() weft.sleep(5) end)()
      end)()
    end)
    testing.wait_all_parked()
    assert.is_truthy(weft.tree():find("Task-2: sleeps for 0.0 s at " .. HERE .. at, 1, true))
    end_all { task }
  end))

  it("is that of the running loop, or of the one given", support.outside(function()
    local loop = weft.new_event_loop()
    assert.equal("", weft.tree(loop))
    local task = loop:create_task(function() end)
    assert.matches("^Task%-1: not started at ", weft.tree(loop))
    weft.run(function()
      assert.matches("^main: running at [^\n]*$", weft.tree())
      assert.matches("^Task%-1: not started at ", weft.tree(loop))
    end)
    loop:run_until_complete(task)
    assert.equal("", weft.tree(loop))
    loop:close()
  end))

  it("shows all of a cycle of waits, and the run ends all the same", support.outside(function()
    local cycles = {
      { "waits for children", function(task) weft.gather { task } end },
      { "waits for children", function(task)
        weft.task_group(function(group)
          group:create_task(function() task:await() end)
        end)
      end },
    }
    for _, cycle in ipairs(cycles) do
      local text, reports = nil, {}
      support.raises({ "state", "deadlock" }, weft.run, function()
        weft.get_running_loop():set_exception_handler(function(_, context)
          reports[#reports + 1] = context.message
        end)
        local tasks = {}
        for i = 1, 3 do
          tasks[i] = weft.create_task(function() cycle[2](tasks[i % 3 + 1]) end)
        end
        testing.wait_all_parked()
        text = weft.tree()
        weft.create_future():await()
      end)
      for i = 2, 4 do
        assert.is_truthy(text:find("Task-" .. i .. ": " .. cycle[1], 1, true), text)
      end
      assert.is_truthy(text:find("Task-2 (above)", 1, true), text)
      assert.matches("^the loop was closed before a task had ended: Task%-2: ", reports[1])
    end
  end))

  it("comes in the order in which the tasks were made", support.virtual(function()
    local tasks = {}
    for i = 1, 20 do
      tasks[i] = weft.create_task(weft.sleep, 10)
      if i % 2 == 0 then
        weft.create_task(function() end):await() -- leaves a free place behind
      end
    end
    local last = 0
    for id in weft.tree():gmatch("Task%-(%d+)") do
      assert.is_true(tonumber(id) > last)
      last = tonumber(id)
    end
    end_all(tasks)
  end))

  it("changes nothing, and may be asked for from a callback", support.virtual(function()
    local texts = {}
    local task = weft.create_task(weft.sleep, 5)
    testing.wait_all_parked()
    weft.get_running_loop():call_soon(function() texts[1] = weft.tree() end)
    weft.sleep(0)
    texts[2] = weft.tree()
    assert.matches("main: ready[^\n]*\nTask%-2: sleeps", texts[1])
    assert.matches("main: running[^\n]*\nTask%-2: sleeps", texts[2])
    task:await()
  end))
end)

describe("tree_on_signal", function()
  it("writes the tree to stderr at each signal", function()
    local text, status = cc.script [[
      weft.run(function()
        weft.tree_on_signal "SIGUSR1"
        local task = weft.create_task(function() weft.sleep(100) end)
        task:set_name "the sleeper"
        for _ = 1, 2 do
          weft.sleep(0.01)
          posix.kill(0, 10)
          weft.sleep(0.01)
        end
        weft.get_running_loop():remove_signal_handler "SIGUSR1"
      end)]]
    assert.equal(0, status)
    local _, count = text:gsub("main: sleeps for 0.0 s at [^\n]*:9\n"
      .. "the sleeper: sleeps for 0.0 s at [^\n]*:4\n", "")
    assert.equal(2, count, text)
  end)

  it("refuses an unknown signal", support.run(function()
    support.raises("type", weft.tree_on_signal, "SIGNONE")
  end))
end)

describe("all_tasks", function()
  it("lists those that have not ended", support.run(function()
    local main = weft.current_task()
    assert.same({ main }, weft.all_tasks())
    local task = weft.create_task(function() weft.sleep(0) end)
    assert.same({ main, task }, weft.all_tasks())
    task:await()
    assert.same({ main }, weft.all_tasks())
  end))
end)

describe("statistics", function()
  it("counts what is there and what was done", support.run(function()
    local before = weft.statistics()
    assert.equal(1, before.tasks)
    assert.equal(1, before.timers) -- the guard time of this spec
    local tasks = {}
    for i = 1, 7 do
      tasks[i] = weft.create_task(weft.sleep, 100)
    end
    testing.wait_all_parked()
    weft.get_running_loop():call_later(100, print):cancel()
    local now = weft.statistics()
    assert.equal(8, now.tasks)
    assert.equal(8, now.timers)
    assert.equal(before.handles, now.handles)
    assert.equal(7, now.created - before.created)
    assert.is_true(now.steps - before.steps >= 7)
    assert.is_true(now.memory > 0)
    end_all(tasks)
    now = weft.statistics()
    assert.equal(1, now.tasks)
    assert.equal(1, now.timers)
    assert.equal(before.threads, now.threads) -- those of cancelled tasks are not used again
    weft.gather(function() weft.sleep(0) end, function() weft.sleep(0) end)
    assert.equal(before.threads + 2, weft.statistics().threads)
  end))

  it("are those of the loop that is given", support.outside(function()
    local loop = weft.new_event_loop()
    loop:create_task(function() end)
    assert.equal(1, weft.statistics(loop).tasks)
    assert.equal(1, loop:statistics().tasks)
    loop:run_once()
    assert.equal(0, weft.statistics(loop).tasks)
    loop:close()
  end))
end)

describe("traceback", function()
  it("of a live task says where it is parked", support.virtual(function()
    local function inner()
      weft.sleep(10)
      return 1
    end
    local at = line(-3)
    local task = weft.create_task(function()
      inner()
      return 2
    end)
    assert.equal("not started: " .. HERE .. at + 4, weft.traceback(task))
    testing.wait_all_parked()
    assert.matches("^stack traceback:\n.*inspect_spec.lua:" .. at .. ": in [^\n]*inner[^\n]*\n"
      .. "[^\n]*inspect_spec.lua:" .. at + 5, weft.traceback(task))
    assert.equal(task:traceback(), weft.traceback(task))
    task:await()
    assert.is_nil(weft.traceback(task))
  end))

  it("goes through the coroutines of a task", support.virtual(function()
    local at = line(3)
    local task = weft.create_task(function()
      local step = coroutine.wrap(function()
        weft.sleep(10)
      end)
      step()
    end)
    testing.wait_all_parked()
    assert.matches("inspect_spec.lua:" .. at .. ":.*\nresumed by\nstack traceback:\n.*"
      .. "inspect_spec.lua:" .. at + 2 .. ":", weft.traceback(task))
    task:await()
  end))

  it("of the task that asks, and of one that is ready, says where it is", support.run(function()
    local at = line(1)
    local text = weft.traceback(weft.current_task())
    assert.matches("inspect_spec.lua:" .. at .. ":", text)
    local task = weft.create_task(function()
      weft.sleep(0)
      weft.sleep(0)
    end)
    weft.sleep(0)
    assert.matches("inspect_spec.lua:" .. at + 3 .. ":", weft.traceback(task))
    task:await()
  end))

  it("of a failed task says where it failed, for any value", support.run(function()
    for _, value in ipairs { "text", 5, {}, weft.Error { kind = "dns" } } do
      local at = line(2)
      local task = weft.create_task(function()
        error(value, 0)
      end)
      testing.wait_all_parked()
      assert.matches("^in Task%-%d+:\nstack traceback:\n.*inspect_spec.lua:" .. at .. ":",
        weft.traceback(task))
      support.error_of(task.result, task)
    end
  end))

  it("is refused for anything but a task", support.run(function()
    for _, x in ipairs { 1, "x", {}, weft.create_future() } do
      support.raises("type", weft.traceback, x)
    end
    support.raises("type", weft.traceback, nil)
  end))
end)
