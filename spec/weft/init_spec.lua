-- SPDX-License-Identifier: MIT
-- weft: every public name is there and is what it is said to be. The lists are written out, so
-- that a name that goes missing, or changes its kind, fails here.

local weft = require "weft"
local support = require "spec.support"
local testing = require "weft.testing"

local virtual = support.virtual

-- Fails unless object[name] is of the type, for each name of the list (of words).
local function has(type_name, object, names)
  for name in names:gmatch("%S+") do
    assert.equal(type_name, type(object[name]), name)
  end
end

local function has_metamethods(object, names)
  has("function", debug.getmetatable(object), names)
end

describe("the module weft", function()
  it("has all functions", function()
    has("function", weft, [[
      run main runner new_event_loop get_event_loop set_event_loop get_running_loop
      create_task spawn ensure_future create_future await current_task all_tasks
      sleep yield finally shield timeout timeout_at current_deadline
      gather wait wait_for as_completed task_group map
      semaphore bounded_semaphore lock event condition barrier
      queue priority_queue lifo_queue
      tree statistics traceback is_error try]])
    assert.equal("table", type(weft.Error))
    assert.equal(weft.Error, getmetatable(weft.Error { kind = "state" }))
    assert.matches("^%d+%.%d+%.%d+$", weft._VERSION)
  end)

  it("loads what is large when it is first used", function()
    local text, status = support.script [[
      local weft = require "weft"
      assert(not package.loaded["weft.http"] and weft.nothing == nil)
      assert(weft.http == require "weft.http" and rawget(weft, "http") == weft.http)
      package.loaded.weft, package.loaded["weft.http"] = nil, nil
      weft.run(function()
        print(type(require("weft").http.session)) -- in a task, too
      end)]]
    assert.same({ "function\n", 0 }, { text, status })
  end)

  it("has no private names", function()
    for name in pairs(weft) do
      assert.is_true(name == "_VERSION" or name:sub(1, 1) ~= "_", name)
    end
  end)

  it("is the same table each time, and all that its file gives", function()
    assert.equal(weft, require "weft")
    local text, status = support.script [[
      local results = { n = select("#", require "weft"), require "weft" }
      print(type(results[1]))
      package.loaded.weft = nil
      for _, module in ipairs { "await", "task", "scope", "combine", "map", "group", "sync",
        "queue", "inspect", "loop", "runner", "error", "options", "coroutines", "testing" } do
        assert(type(require("weft." .. module)) == "table", module)
      end]]
    assert.same({ "table\n", 0 }, { text, status })
  end)

  it("makes no globals and changes only three functions, or four", function()
    local text, status = support.script [[
      local before = {}
      for name in pairs(_G) do before[name] = true end
      local functions = {}
      for module, t in pairs(package.loaded) do
        if type(t) == "table" then
          functions[module] = {}
          for name, value in pairs(t) do functions[module][name] = value end
        end
      end
      local string_index, loaded = getmetatable("").__index, package.loaded
      require "weft"
      require "weft.testing"
      for name in pairs(_G) do
        if not before[name] then print("global", name) end
      end
      local changed = {}
      for module, names in pairs(functions) do
        for name, value in pairs(names) do
          if module ~= "_G" and module ~= "package" and loaded[module][name] ~= value then
            changed[#changed + 1] = module .. "." .. tostring(name)
          end
        end
      end
      table.sort(changed)
      print(table.concat(changed, " "))
      assert(getmetatable("").__index == string_index)]]
    local close = rawget(coroutine, "close") and "coroutine.close " or ""
    assert.same({ (close .. "coroutine.resume coroutine.status coroutine.wrap\n"), 0 },
      { text, status })
  end)
end)

describe("an event loop", function()
  it("has all methods", support.outside(function()
    local loop = weft.new_event_loop()
    has("function", loop, [[
      run_until_complete run_forever stop close is_running is_closed time
      call_soon call_later call_at create_task create_future
      set_exception_handler get_exception_handler call_exception_handler
      default_exception_handler set_debug get_debug add_signal_handler remove_signal_handler
      fileno next_timeout run_once alive on_wakeup statistics]])
    has("number", loop, "slow_callback_duration")
    has_metamethods(loop, "__gc __close __tostring")
    assert.is_nil(loop.no_such_name)
    loop:close()
  end))

  it("gives handles with all methods", support.outside(function()
    local loop = weft.new_event_loop()
    for _, handle in ipairs { loop:call_soon(print), loop:call_later(1, print),
      loop:call_at(loop:time(), print) } do
      has("function", handle, "cancel cancelled when")
      has_metamethods(handle, "__tostring")
      handle:cancel()
    end
    loop:close()
  end))

  it("has counts of what it holds", virtual(function()
    local counts = weft.get_running_loop():statistics()
    for _, name in ipairs { "tasks", "timers", "handles", "threads", "created", "steps" } do
      assert.equal("number", type(counts[name]), name)
    end
    assert.equal("number", type(weft.statistics().memory))
  end))
end)

describe("tasks and futures", function()
  it("have all methods", virtual(function()
    local task, future = weft.create_task(function() end), weft.create_future()
    for _, x in ipairs { task, future } do
      has("function", x, [[
        await done cancelled result exception cancel add_done_callback remove_done_callback
        get_loop set_result set_exception]])
      has_metamethods(x, "__tostring")
    end
    has("function", task, "cancelling uncancel get_name set_name traceback")
    has("table", task, "context")
    assert.is_nil(task.no_such_name)
    assert.is_nil(future.no_such_name)
    task:await()
  end))
end)

describe("a task group, a map and a runner", function()
  it("have all methods", virtual(function()
    weft.task_group(function(group)
      has("function", group, "create_task")
      has_metamethods(group, "__tostring")
    end)
    local map = weft.map({}, print)
    has("function", map, "next close collect")
    has_metamethods(map, "__call __close __tostring")
    map:close()
    local runner = weft.runner()
    has("function", runner, "run get_loop close")
    has_metamethods(runner, "__close __tostring")
    runner:close()
  end))
end)

describe("what synchronises", function()
  it("has asyncio's methods", support.outside(function()
    for _, semaphore in ipairs { weft.semaphore(1), weft.bounded_semaphore(1), weft.lock() } do
      has("function", semaphore, "acquire release locked with statistics")
    end
    has("function", weft.event(), "wait set clear is_set statistics")
    has("function", weft.condition(), [[
      acquire release locked wait wait_for notify notify_all with statistics]])
    has("function", weft.condition(weft.lock()), "wait")
    local barrier = weft.barrier(2)
    has("function", barrier, "wait reset abort statistics")
    has("number", barrier, "parties n_waiting")
    has("boolean", barrier, "broken")
    for _, queue in ipairs { weft.queue(), weft.priority_queue(), weft.lifo_queue(),
      weft.priority_queue(3, function(a, b) return a > b end) } do
      has("function", queue, [[
        put put_nowait get get_nowait qsize empty full task_done join shutdown iter statistics]])
      has("number", queue, "maxsize")
    end
  end))

  it("shows itself as text", support.outside(function()
    for _, object in ipairs { weft.semaphore(1), weft.bounded_semaphore(1), weft.lock(),
      weft.event(), weft.condition(), weft.barrier(1), weft.queue(), weft.priority_queue(),
      weft.lifo_queue(), weft.runner() } do
      assert.matches("^%u%a+<.*>$", tostring(object))
    end
  end))

  it("has statistics", support.outside(function()
    for _, object in ipairs { weft.semaphore(1), weft.lock(), weft.event(), weft.condition(),
      weft.barrier(1) } do
      assert.equal(0, object:statistics().waiting, tostring(object))
    end
    assert.same({ 0, 0 }, { weft.queue():statistics().getters, weft.queue():statistics().size })
  end))
end)

describe("weft.testing", function()
  it("has all functions", function()
    has("function", testing, [[
      virtual_clock wait_all_parked sequencer leaks cancel_everywhere gc_stress
      fail_allocation]])
    assert.equal("table", type(testing.sequencer()))
    has_metamethods(testing.sequencer(), "__call")
  end)
end)
