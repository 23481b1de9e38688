-- SPDX-License-Identifier: MIT
-- weft.peek: the look from compiled code into a task's memory gives the answers of the slow
-- way. Elsewhere than on LuaJIT there is only the slow way.

local weft = require "weft"
local core = require "weft.core"
local support = require "spec.support"
local testing = require "weft.testing"
local has_returned_nothing = require "weft.peek"

local is_jit = rawget(_G, "jit") ~= nil

local function pack(...)
  return { n = select("#", ...), ... }
end

-- The slow answer.
local function is_empty(x)
  return core.kind_of(x) == "task" and core.state(x) == "returned"
    and select("#", core.outcome(x)) == 1
end

local function fails(value)
  return function()
    error(value, 0)
  end
end

-- A task or future of each kind, done and not; by name.
local function zoo()
  local all = {}
  for name, fn in pairs {
    nothing = function() end,
    ["nothing, after a wait"] = function() weft.sleep(0) end,
    ["nil"] = function() return nil end,
    ["false"] = function() return false end,
    ["true"] = function() return true end,
    zero = function() return 0 end,
    half = function() return 0.5 end,
    text = function() return "" end,
    table = function() return {} end,
    ["two nils"] = function() return nil, nil end,
    ["an error"] = fails("x"),
    ["the error nil"] = fails(nil),
    cancelled = fails(weft.Error { kind = "cancelled" }),
  } do
    all[name] = weft.create_task(fn)
    all[name .. ", with arguments"] = weft.create_task(fn, 1, 2)
  end
  all["cancelled before the start"] = weft.create_task(print)
  all["cancelled before the start"]:cancel()
  all["a future with nothing"] = weft.create_future()
  all["a future with nothing"]:set_result()
  all["a future with false"] = weft.create_future()
  all["a future with false"]:set_result(false)
  all["a cancelled future"] = weft.create_future()
  all["a cancelled future"]:cancel()
  testing.wait_all_parked()
  all["a pending future"] = weft.create_future()
  all["a new task"] = weft.create_task(function() end)
  all["a parked task"] = weft.create_task(weft.sleep, 1)
  return all
end

describe("peek", function()
  it("gives the slow way's answer for every state", support.virtual(function()
    local empty = 0
    for name, x in pairs(zoo()) do
      assert.equal(is_jit and is_empty(x), has_returned_nothing(x), name)
      empty = empty + (is_empty(x) and 1 or 0)
      if core.is_done(x) then
        pcall(x.result, x)
      end
    end
    assert.equal(4, empty)
    weft.sleep(2)
  end))

  it("sees the running task, with values kept and callbacks set", support.virtual(function()
    assert.is_false(has_returned_nothing(weft.current_task()))
    local task = weft.create_task(function() weft.sleep(0) end)
    task:set_name("it")
    task.context = {}
    task:add_done_callback(function() end)
    assert.is_false(has_returned_nothing(task))
    task:await()
    assert.equal(is_jit, has_returned_nothing(task))
    assert.equal(0, select("#", task:await()))
  end))

  it("takes no other userdata for a task", support.virtual(function()
    for _, x in ipairs { io.stdout, weft.get_running_loop(), core.waitlist(), core.latch {},
      weft.get_running_loop():call_soon(function() end) } do
      assert.is_false(has_returned_nothing(x))
    end
    if rawget(_G, "newproxy") then
      assert.is_false(has_returned_nothing(newproxy())) -- luacheck: ignore 113
      assert.is_false(has_returned_nothing(newproxy(true))) -- luacheck: ignore 113
    end
    weft.sleep(0)
  end))
end)

describe("await in a hot loop", function()
  -- What await gives, as text.
  local function outcome(x)
    local results = pack(pcall(weft.await, x))
    for i = 1, results.n do
      results[i] = tostring(results[i])
    end
    return table.concat(results, " ")
  end

  it("gives the same as the slow way, whatever it is of", support.virtual(function()
    local all, names, expected = zoo(), {}, {}
    for name, x in pairs(all) do
      if core.is_done(x) then
        names[#names + 1] = name
        local slow = pack(core.outcome(x))
        for i = 1, slow.n do
          slow[i] = tostring(slow[i])
        end
        expected[name] = slow[1] == "true" and table.concat(slow, " ") or outcome(x)
      end
    end
    assert.is_true(#names > 25)
    for _, name in ipairs(names) do
      for _ = 1, support.rounds(300) do -- long enough to be compiled
        assert(outcome(all[name]) == expected[name], name)
      end
    end
    for _ = 1, support.rounds(100) do -- and all of them through the same trace
      for _, name in ipairs(names) do
        assert(outcome(all[name]) == expected[name], name)
      end
    end
    weft.sleep(2)
  end))

  it("waits for those that are not done", support.virtual(function()
    local order = 0
    for i = 1, support.rounds(2000) do
      local task = weft.create_task(function()
        if i % 7 == 0 then
          weft.sleep(0)
        end
        order = order + 1
      end)
      if i % 3 == 0 then
        weft.sleep(0)
      end
      assert(select("#", task:await()) == 0)
      assert(order == i)
    end
  end))

  it("raises a cancellation that comes in the middle of it", support.virtual(function()
    local n = support.rounds(2000)
    local empty = weft.create_task(function() end)
    empty:await()
    local reached, me
    local task = weft.create_task(function()
      me = weft.current_task()
      for i = 1, 2 * n do
        if i == n then
          me:cancel()
        end
        empty:await()
        reached = i
      end
    end)
    support.raises("cancelled", task.await, task)
    assert.equal(n - 1, reached)
  end))

  it("raises a time limit that has passed", support.virtual(function()
    local empty = weft.create_task(function() end)
    empty:await()
    support.raises("timeout", weft.timeout, 0, function()
      for _ = 1, 1000 do
        empty:await()
      end
    end)
  end))

  it("is refused outside of tasks, hot or not", support.outside(function()
    local loop = weft.new_event_loop()
    local empty = loop:create_task(function()
      local done = weft.create_task(function() end)
      for _ = 1, 1000 do
        done:await()
      end
    end)
    loop:run_until_complete(empty)
    for _ = 1, 1000 do
      local ok, e = pcall(empty.await, empty)
      assert(not ok and e.code == "ENOTASK")
    end
    loop:close()
  end))
end)
