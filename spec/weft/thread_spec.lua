-- SPDX-License-Identifier: MIT
-- weft.thread: functions in threads: what is copied, what is refused, what comes back, and
-- what happens to a function that nobody waits for.

local weft = require "weft"
local support = require "spec.support"
local testing = require "weft.testing"

local run_in_thread = weft.run_in_thread

-- Blocks for some seconds of the clock, as C code would.
local function busy(seconds)
  local start = os.clock()
  while os.clock() - start < seconds do end -- luacheck: ignore
  return "done"
end

describe("weft.run_in_thread", function()
  it("calls a function of a module", support.run(function()
    assert.equal("ababab", run_in_thread("string.rep", "ab", 3))
  end))

  it("calls a function that uses nothing from outside", support.run(function()
    assert.same({ 3, nil, "x" }, { run_in_thread(function(a, b)
      return a + b, nil, ("x"):lower()
    end, 1, 2) })
    assert.equal(0, select("#", run_in_thread(function() end)))
    assert.equal(3, select("#", run_in_thread(function() return nil, nil, nil end)))
  end))

  it("copies what can be copied, both ways", support.run(function()
    local shared = { "s" }
    local value = { 1, 2.5, "a\0b", true, false, { deep = { deeper = {} } }, [10] = -1,
      [false] = "f", [1.5] = "x", first = shared, second = shared, huge = 2 ^ 60,
      inf = math.huge }
    local copy = run_in_thread(function(...) return ... end, value)
    assert.same(value, copy)
    assert.are_not.equal(copy.first, copy.second)
    local nan = run_in_thread(function(x) return x end, 0 / 0)
    assert.is_true(nan ~= nan)
    if math.type then
      assert.equal("integer", math.type(run_in_thread(function(x) return x end, 3)))
      assert.equal("float", math.type(run_in_thread(function(x) return x end, 3.0)))
    end
    local long = ("x"):rep(1000000)
    assert.is_true(long .. "y" == run_in_thread(function(x) return x .. "y" end, long))
  end))

  it("leaves metatables behind", support.run(function()
    local t = setmetatable({ 1 }, { __index = function() return "other" end })
    assert.is_nil(run_in_thread(function(x) return x.nothing end, t))
  end))

  it("refuses what cannot be copied, by its way", support.run(function()
    local function refused(pattern, ...)
      local e = support.raises("type", run_in_thread, "string.rep", ...)
      assert.matches(pattern, e.message)
    end
    refused("argument 2: a function cannot be copied", "x", print)
    refused("argument 1%.a%[2%]%.b: a userdata", { a = { 1, { b = io.stdout } } })
    refused("argument 1%.t: a thread", { t = coroutine.create(print) })
    refused("argument 1%.x: a table as a key", { x = { [{}] = 1 } })
    refused("argument 1%[true%]: a function", { [true] = print })
    local cycle = { list = {} }
    cycle.list[3] = { back = cycle }
    refused("argument 1%.list%[3%]%.back: a cycle", cycle)
    local e = support.raises("type", run_in_thread, function() return 1, { f = print } end)
    assert.matches("result 2%.f: a function", e.message)
  end))

  it("refuses what is too deep", support.run(function()
    local function nested(n)
      local t = {}
      for _ = 2, n do
        t = { t }
      end
      return t
    end
    run_in_thread(function(t) return t end, nested(100))
    support.raises("limit", run_in_thread, function() end, nested(101))
    support.raises("limit", run_in_thread, function()
      local t = {}
      for _ = 1, 100 do
        t = { t }
      end
      return t
    end)
  end))

  it("refuses a function with variables from outside, by their name", support.run(function()
    local counter = 0
    local e = support.raises({ "type", "upvalue" }, run_in_thread, function()
      counter = counter + 1
    end)
    assert.matches("'counter'", e.message)
    assert.matches("thread_spec.lua:%d+", e.message)
    support.raises("type", run_in_thread, print)
    support.raises("type", run_in_thread, 1)
    support.raises("type", run_in_thread, "nothing")
  end))

  it("says which function is not there", support.run(function()
    local e = support.raises("type", run_in_thread, "string.nope")
    assert.matches("the module 'string' has no function 'nope'", e.message)
    e = support.raises("raised", run_in_thread, "no.such.module.f")
    assert.matches("module 'no.such.module' not found", e.message)
  end))

  it("raises what the function raised, with where it was", support.run(function()
    local e = support.raises("raised", run_in_thread, function() error("boom") end)
    assert.matches("thread_spec.lua:%d+: boom", e.value)
    assert.matches("stack traceback", e.traceback)
    assert.matches("thread_spec.lua", e.traceback)
    e = support.raises("raised", run_in_thread, function() error({ code = 7 }) end)
    assert.same({ code = 7 }, e.value)
    e = support.raises("raised", run_in_thread, function()
      error(setmetatable({ print }, { __tostring = function() return "odd" end }))
    end)
    assert.equal("odd", e.value)
    e = support.raises("raised", run_in_thread, function() error() end)
    assert.is_nil(e.value)
    e = support.raises("raised", run_in_thread, function() error(print) end)
    assert.matches("^function", e.value)
  end))

  it("raises an error object of weft as it was", support.run(function()
    local e = support.raises({ "http", "E404" }, run_in_thread, function()
      local inner = require "weft"
      error(inner.Error { kind = "http", message = "not found", code = "E404", status = 404,
        list = { 1, 2 }, odd = print,
        cause = inner.Error { kind = "os", message = "inner", code = "EIO" } })
    end)
    assert.equal("not found", e.message)
    assert.equal(404, e.status)
    assert.same({ 1, 2 }, e.list)
    assert.matches("^function", e.odd)
    assert.is_true(weft.is_error(e.cause, "os"))
    assert.equal("EIO", e.cause.code)
    assert.matches("thread_spec.lua", e.traceback)
  end))

  it("says in the report of a task where the thread failed", support.run(function()
    local task = weft.create_task(function()
      run_in_thread(function() error("boom") end)
    end)
    local e = support.error_of(weft.await, task)
    assert.matches("in a thread:", e.traceback)
  end))

  it("may run weft in the thread", support.run(function()
    assert.equal(42, run_in_thread(function()
      local inner = require "weft"
      return inner.run(function()
        inner.sleep(0.001)
        return inner.run_in_thread(function() return 42 end)
      end)
    end))
  end))

  it("does not hold up the loop", support.run(function()
    local turns = 0
    local ticker = weft.create_task(function()
      while true do
        turns = turns + 1
        weft.sleep(0)
      end
    end)
    -- valgrind lets one thread at a time run, and changes over now and then
    assert.equal("done", run_in_thread(busy, support.slow and 2 or 0.02))
    ticker:cancel()
    assert.is_true(turns > 10)
  end))

  it("runs calls in turn, each thread one at a time", support.run(function()
    weft.thread_limit(1)
    local order, tasks = {}, {}
    for i = 1, 20 do
      tasks[i] = function()
        local x = run_in_thread(function(x) return x end, i)
        order[#order + 1] = x
      end
    end
    local _ = weft.gather((table.unpack or unpack)(tasks))
    for i = 1, 20 do
      assert.equal(i, order[i])
    end
    local counts = weft.thread_statistics()
    assert.equal(1, counts.threads)
    assert.equal(20, counts.completed)
    assert.equal(0, counts.queued)
    support.raises("type", weft.thread_limit, 0)
  end))

  it("has several at work at once", support.run(function()
    weft.thread_limit(3)
    local tasks = {}
    for i = 1, 30 do
      tasks[i] = function()
        assert.equal(i, run_in_thread(function(x)
          for _ = 1, 10000 do x = x + 1 end
          return x - 10000
        end, i))
      end
    end
    weft.gather((table.unpack or unpack)(tasks))
    assert.is_true(weft.thread_statistics().threads <= 3)
  end))

  it("a call that is cancelled in the queue never runs", support.outside(function()
    local path = os.tmpname()
    os.remove(path)
    weft.run(function()
      weft.thread_limit(1)
      local first = weft.create_task(function() return run_in_thread(busy, 0.05) end)
      local second = weft.create_task(function()
        run_in_thread(function(name) io.open(name, "w"):close() end, path)
      end)
      weft.sleep(0)
      second:cancel()
      support.raises("cancelled", weft.await, second)
      assert.equal("done", weft.await(first))
      assert.equal("x", run_in_thread("string.rep", "x", 1))
    end)
    assert.is_nil(io.open(path))
  end))

  it("a call that is cancelled runs on, and others are served meanwhile", support.run(function()
    weft.thread_limit(1)
    local call = weft.create_task(run_in_thread, busy, support.slow and 5 or 0.2)
    local counts
    repeat -- it has begun
      weft.sleep(0.001)
      counts = weft.thread_statistics()
    until counts.threads - counts.idle == 1 and counts.queued == 0
    call:cancel()
    support.raises("cancelled", call.await, call)
    assert.equal(1, weft.thread_statistics().abandoned)
    assert.equal("x", run_in_thread("string.rep", "x", 1))
    if not support.slow then -- there the first may have ended before the second began
      assert.equal(1, weft.thread_statistics().abandoned)
    end
  end))

  it("cancelled at each wait leaves nothing", support.outside(function()
    local runs = testing.cancel_everywhere(function()
      assert.equal(3, run_in_thread(function(a, b) return a + b end, 1, 2))
      run_in_thread("string.rep", "x", 100000)
      pcall(run_in_thread, "string.nope")
    end)
    assert.equal(3, runs)
  end))

  it("survives a failure of each allocation", support.run(function()
    for n = 1, 5 do
      local ok, e = testing.fail_allocation(n, run_in_thread, "string.rep", "x", 2)
      assert.is_true(ok or tostring(e):find("not enough memory", 1, true) ~= nil, tostring(e))
    end
  end))

  it("works while everything is collected all the time", support.run(function()
    testing.gc_stress(function()
      for i = 1, 5 do
        assert.same({ i }, run_in_thread(function(t) return t end, { i }))
      end
    end)
  end))

  it("that never returns does not keep the program from ending", function()
    local text, status = support.script([[
      local weft = require "weft"
      weft.run(function()
        pcall(weft.timeout, 0.01, weft.run_in_thread, function() while true do end end)
      end)
      print "ended"
    ]], "timeout 20")
    assert.equal("ended\n", text)
    assert.equal(0, status)
  end)

  it("outside a task is refused", support.outside(function()
    support.raises("state", run_in_thread, "string.rep", "x", 1)
    support.raises("state", weft.thread_statistics)
  end))
end)
