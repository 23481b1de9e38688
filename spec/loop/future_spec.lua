-- SPDX-License-Identifier: MIT
-- src/loop/future.c: outcomes as they are kept, and the ring of waiters. The methods are
-- spec/weft/task_spec.lua's.

local weft = require "weft"
local core = require "weft.core"
local support = require "spec.support"
local testing = require "weft.testing"

local unpack = table.unpack or unpack
local virtual, raises = support.virtual, support.raises
local parked = testing.wait_all_parked

local function pack(...)
  return { n = select("#", ...), ... }
end

local function is_same(a, b)
  return rawequal(a, b) or a ~= a and b ~= b
end

-- All kinds of values that an outcome may keep apart from others.
local VALUES = { true, false, 0, 1, -1, 0.5, 2 ^ 53, -2 ^ 63, math.huge, -math.huge, 0 / 0, "",
  "text", ("x"):rep(1000), {}, print, coroutine.create(print), io.stdout }
if math.tointeger then -- LuaJIT has no integers of their own
  VALUES[#VALUES + 1] = math.maxinteger
  VALUES[#VALUES + 1] = math.mininteger
end

describe("an outcome", function()
  it("keeps each value as it is, its type too", virtual(function()
    for _, value in ipairs(VALUES) do
      local future = core.future()
      core.complete(future, "returned", value)
      local task = core.create_task(function() return value end)
      weft.sleep(0)
      for _, x in ipairs { future, task } do
        local results = pack(core.outcome(x))
        assert.equal(2, results.n)
        assert.is_true(results[1])
        assert.is_true(is_same(value, results[2]), tostring(value))
        assert.equal(math.type and math.type(value), math.type and math.type(results[2]))
      end
    end
    local future = core.future()
    core.complete(future, "returned", -0.0)
    assert.equal(-math.huge, 1 / select(2, core.outcome(future)))
  end))

  it("keeps any number of values, nils included", virtual(function()
    for n = 0, 40 do
      local values = { n = n }
      for i = 1, n do
        values[i] = i % 3 ~= 0 and i or nil
      end
      local future = core.future()
      core.complete(future, "returned", unpack(values, 1, n))
      assert.same({ n = n + 1, true, unpack(values, 1, n) }, pack(core.outcome(future)))
    end
  end))

  it("keeps each error as it is, for reports too", virtual(function()
    for _, value in ipairs(VALUES) do
      local future = core.future()
      core.complete(future, "raised", value)
      assert.equal("raised", core.state(future))
      assert.is_true(is_same(value, core.extra(future)[1]))
      local results = pack(core.outcome(future))
      assert.same({ 2, false }, { results.n, results[1] })
      assert.is_true(is_same(value, results[2]))
    end
  end))

  it("of a cancellation is false, or false and the error", virtual(function()
    local future = core.future()
    core.complete(future, "cancelled")
    assert.same({ n = 1, false }, pack(core.outcome(future)))
    local e = weft.Error { kind = "cancelled" }
    future = core.future()
    core.complete(future, "cancelled", e)
    assert.same({ n = 2, false, e }, pack(core.outcome(future)))
  end))

  it("cannot be had before it is there, nor set twice", virtual(function()
    local future = core.future()
    raises({ "state", "ENOTDONE" }, core.outcome, future)
    core.complete(future, "returned", 1)
    for _, state in ipairs { "returned", "raised", "cancelled" } do
      raises({ "state", "EDONE" }, core.complete, future, state, 2)
    end
    assert.same({ true, 1 }, { core.outcome(future) })
    raises("state", core.complete, weft.current_task(), "returned")
  end))

  it("keeps its table beside name, context and callbacks", virtual(function()
    local task = core.create_task(function() return "a", "b" end)
    task:set_name("it")
    task.context.x = 1
    local called
    task:add_done_callback(function() called = true end)
    assert.same({ true, "a", "b" }, { core.await(task) })
    assert.same({ "it", 1, true }, { task:get_name(), task.context.x, called })
    local future = core.future()
    assert.is_nil(core.extra(future))
    local extra = core.extra(future, true)
    assert.equal(extra, core.extra(future))
  end))

  it("of a closed loop can be had, and none be set", support.outside(function()
    local loop = weft.new_event_loop()
    local done, pending = core.future(loop), core.future(loop)
    local failed = core.future(loop)
    core.complete(done, "returned", 1, 2)
    core.complete(failed, "raised", "x")
    core.outcome(failed)
    loop:close()
    assert.same({ true, 1, 2 }, { core.outcome(done) })
    assert.same({ false, "x" }, { core.outcome(failed) })
    raises("closed", core.complete, pending, "returned")
    raises("closed", core.future, loop)
    assert.equal("pending", core.state(pending))
    assert.equal(loop, core.loop_of(pending))
  end))
end)

describe("the numbers of tasks and futures", function()
  it("are counted by the loop from 1", support.outside(function()
    for _ = 1, 2 do
      local loop = weft.new_event_loop()
      for i = 1, 5 do
        assert.equal(2 * i - 1, core.id(core.future(loop)))
        local task = loop:create_task(print)
        assert.equal(2 * i, core.id(task))
        task:cancel()
      end
      assert.equal(10, loop:statistics().created)
      loop:run_once()
      loop:close()
    end
  end))

  it("tell what is a task, a future, or neither", virtual(function()
    assert.equal("task", core.kind_of(weft.current_task()))
    assert.equal("future", core.kind_of(core.future()))
    for _, x in ipairs { 5, "x", {}, print, io.stdout, weft.get_running_loop(),
      core.waitlist() } do
      assert.is_nil(core.kind_of(x))
    end
    assert.is_nil(core.kind_of(nil))
  end))
end)

describe("the waiters of a future", function()
  -- Tasks parked on it, and latches that watch it, one after the other.
  local function make(future, count)
    local order, waiters = {}, {}
    for i = 1, count do
      if i % 2 == 1 then
        waiters[i] = weft.create_task(function()
          core.await_shielded(future)
          order[#order + 1] = i
        end)
      else
        waiters[i] = weft.create_task(function()
          local latch = core.latch {}
          core.latch_add(latch, future, 1)
          core.latch_wait(latch, "all")
          core.latch_close(latch)
          order[#order + 1] = i
        end)
      end
    end
    parked()
    return order, waiters
  end

  it("go on in the order in which they came, of whichever kind", virtual(function()
    for count = 1, 9 do
      local future = core.future()
      local order = make(future, count)
      core.complete(future, "returned")
      parked()
      local expected = {}
      for i = 1, count do
        expected[i] = i
      end
      assert.same(expected, order)
    end
  end))

  it("may leave in any order, each subset of them", virtual(function()
    for count = 1, 5 do
      for subset = 0, 2 ^ count - 1 do
        for _, backwards in ipairs { false, true } do
          local future = core.future()
          local order, waiters = make(future, count)
          local expected = {}
          for k = 1, count do
            local i = backwards and count + 1 - k or k
            if math.floor(subset / 2 ^ (i - 1)) % 2 == 1 then
              waiters[i]:cancel()
            end
          end
          parked()
          local left = {}
          for _, i in ipairs(order) do
            left[i] = true
          end
          for i = 1, count do
            if not left[i] then
              expected[#expected + 1] = i
            end
          end
          for i = #order, 1, -1 do
            order[i] = nil
          end
          core.complete(future, "returned")
          parked()
          assert.same(expected, order)
        end
      end
    end
  end))

  it("may be very many", virtual(function()
    local future, woken = core.future(), 0
    local n = support.rounds(20000)
    for _ = 1, n do
      weft.create_task(function()
        future:await()
        woken = woken + 1
      end)
    end
    parked()
    core.complete(future, "returned")
    parked()
    assert.equal(n, woken)
  end))
end)

describe("a future that nobody holds", function()
  it("is collected, with what it kept", virtual(function()
    local watched = setmetatable({}, { __mode = "k" })
    for _ = 1, 10 do
      local future, value = core.future(), {}
      watched[future], watched[value] = true, true
      future:add_done_callback(function() return value end)
      core.complete(future, "returned", value, value)
    end
    weft.sleep(0)
    weft.sleep(0)
    collectgarbage()
    collectgarbage()
    assert.is_nil((next(watched)))
  end))

  it("lives while somebody waits for it", virtual(function()
    local watched = setmetatable({}, { __mode = "v" })
    local task
    do
      local future = core.future()
      watched[1] = future
      task = weft.create_task(function(f) return f:await() end, future)
    end
    parked()
    collectgarbage()
    collectgarbage()
    assert.is_not_nil(watched[1])
    watched[1]:set_result("x")
    assert.equal("x", task:await())
    task = nil -- luacheck: ignore 311
    weft.sleep(0)
    collectgarbage()
    collectgarbage()
    assert.is_nil(watched[1])
  end))

  it("lives while somebody waits for it in a coroutine inside a task", virtual(function()
    local watched = setmetatable({}, { __mode = "v" })
    local function make()
      local future = core.future()
      watched[1] = future
      return future
    end
    local task = weft.create_task(function()
      return coroutine.wrap(function() return make():await() end)()
    end)
    parked()
    collectgarbage()
    collectgarbage()
    assert.is_not_nil(watched[1])
    watched[1]:set_result("x")
    assert.equal("x", task:await())
  end))
end)

describe("errors that nobody looked at", function()
  it("are counted by the loop until somebody does", virtual(function()
    local loop = weft.get_running_loop()
    local function count()
      local n = 0
      for _ in pairs(core.loop_unretrieved(loop)) do
        n = n + 1
      end
      return n
    end
    local futures = {}
    for i = 1, 10 do
      futures[i] = core.future()
      core.complete(futures[i], "raised", i)
    end
    assert.equal(10, count())
    for i = 1, 10 do
      assert.same({ false, i }, { core.outcome(futures[i]) })
      assert.equal(10 - i, count())
      core.outcome(futures[i])
    end
    assert.equal(0, count())
  end))
end)

describe("completing when memory is out", function()
  it("wakes whoever waits all the same", virtual(function()
    for n = 1, 4 do
      local future = core.future()
      future:add_done_callback(function() end)
      local task = weft.create_task(function() return future:await() end)
      parked()
      -- The callback's slot may be what there is no memory for.
      local fillers = {}
      testing.fail_allocation(n, function()
        for i = 1, 200 do
          fillers[i] = core.future()
          fillers[i]:add_done_callback(function() end)
          fillers[i]:set_result()
        end
        future:set_result("x")
      end)
      if not future:done() then
        future:set_result("x")
      end
      assert.equal("x", task:await())
    end
  end))
end)
