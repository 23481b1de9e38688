-- SPDX-License-Identifier: MIT
-- weft.map: the bounded parallel map: its order, its bounds (calls, memory), and its end, by
-- failure, cancellation, close and collection.

local weft = require "weft"
local core = require "weft.core"
local support = require "spec.support"
local testing = require "weft.testing"

local virtual, raises = support.virtual, support.raises
local spawn, parked = weft.create_task, testing.wait_all_parked

local function now()
  return weft.get_running_loop():time()
end

local function elapsed(fn, ...)
  local start = now()
  fn(...)
  return now() - start
end

local function my_error(message)
  return weft.Error { kind = "protocol", message = message }
end

-- 1, 2, 3, … without end, and how often it was asked.
local function endless()
  local counter = { asked = 0 }
  return function()
    counter.asked = counter.asked + 1
    return counter.asked
  end, counter
end

local function range(n)
  local list = {}
  for i = 1, n do
    list[i] = i
  end
  return list
end

-- A function that takes the seconds it is told, and counts how many of its calls run.
local function meter(seconds_of)
  local m = { now = 0, most = 0, begun = 0, ended = 0 }
  return function(item, ...)
    m.begun, m.now = m.begun + 1, m.now + 1
    m.most = math.max(m.most, m.now)
    weft.finally(function()
      weft.sleep(seconds_of and seconds_of(item) or 1)
    end, function() m.now, m.ended = m.now - 1, m.ended + 1 end)
    return item, ...
  end, m
end

local function all_of(map)
  local order = {}
  for i, value in map do
    order[#order + 1] = { i, value }
  end
  return order
end

for _, ordered in ipairs { true, false } do
  local function map(items, fn, concurrency)
    return weft.map(items, fn, { concurrency = concurrency, ordered = ordered })
  end

  describe(("weft.map, ordered = %s:"):format(tostring(ordered)), function()
    it("gives an index and the results for each item, each once", virtual(function()
      local seen, count = {}, 0
      for i, value, second, third in map(range(50), function(item)
        weft.sleep(item * 7 % 5)
        return item * 2, nil, "third"
      end, 8) do
        assert.is_nil(seen[i])
        seen[i], count = true, count + 1
        assert.same({ i * 2, nil, "third" }, { value, second, third })
      end
      assert.equal(50, count)
    end))

    it("gives results that are nil, false or none", virtual(function()
      local results = { [1] = nil, [2] = false }
      local count = 0
      for i, value in map({ 1, 2, 3 }, function(item)
        if item < 3 then
          return results[item]
        end
      end) do
        count = count + 1
        assert.equal(results[i], value)
      end
      assert.equal(3, count)
    end))

    it("of nothing ends at once, and stays so", virtual(function()
      local m = map({}, error)
      assert.is_nil((m:next()))
      assert.is_nil((m:next()))
      assert.same({}, all_of(map(function() end, error)))
      assert.same({ n = 0 }, map({}, error):collect())
    end))

    it("runs as many calls at once as it may, and no more", virtual(function()
      for _, concurrency in ipairs { 1, 2, 3, 7, 20, 30 } do
        local fn, m = meter(function(item) return item % 3 end)
        all_of(map(range(20), fn, concurrency))
        assert.same({ math.min(concurrency, 20), 20, 20 }, { m.most, m.begun, m.ended })
      end
      local fn, m = meter()
      all_of(map(range(40), fn))
      assert.equal(16, m.most)
    end))

    it("takes as long as that", virtual(function()
      local fn = meter()
      assert.near(5, elapsed(all_of, map(range(20), fn, 4)), 1e-6)
      assert.near(20, elapsed(all_of, map(range(20), fn, 1)), 1e-6)
      assert.near(1, elapsed(all_of, map(range(20), fn, 20)), 1e-6)
    end))

    it("counts what waits to be taken as running", virtual(function()
      local next_item, counter = endless()
      local fn, m = meter()
      local it_map = map(next_item, fn, 3)
      for i = 1, 5 do
        it_map:next()
        weft.sleep(50) -- the consumer is slow
        assert.same({ 3 + i, 3 + i }, { m.begun, counter.asked })
      end
      it_map:close()
    end))

    it("begins at the first step", virtual(function()
      local next_item, counter = endless()
      local m = map(next_item, function() end)
      weft.sleep(5)
      assert.equal(0, counter.asked)
      assert.equal("Map<open started=0 taken=0>", tostring(m))
      m:next()
      assert.is_true(counter.asked > 0)
      m:close()
    end))

    it("holds no more, however much goes through", virtual(function()
      local next_item = endless()
      local live, most = setmetatable({}, { __mode = "k" }), 0
      local count = 0
      local m = map(next_item, function(item)
        local result = { item }
        live[result] = true
        weft.sleep(item % 3)
        return result
      end, 4)
      local limit = support.rounds(1000)
      for _ in m do
        count = count + 1
        if count % 100 == 0 then
          collectgarbage()
          collectgarbage()
          local n = 0
          for _ in pairs(live) do
            n = n + 1
          end
          most = math.max(most, n)
        end
        if count == limit then
          m:close()
        end
      end
      assert.equal(limit, count)
      assert.is_true(most <= 4 + 3, most) -- and those that the loop above still holds
      assert.is_true(#weft.all_tasks() <= 6, #weft.all_tasks())
    end))

    it("takes an iterator, which is asked no more than needed", virtual(function()
      local i = 0
      local results = map(function()
        i = i + 1
        if i <= 5 then
          return i, "second"
        end
        assert(i == 6, "asked after the end")
      end, function(a, b)
        weft.sleep(1)
        return a .. b
      end, 2):collect()
      assert.same({ "1second", "2second", "3second", "4second", "5second", n = 5 }, results)
    end))

    it("takes what the generic for takes: a callable object, a coroutine", virtual(function()
      local left = 3
      local object = setmetatable({}, { __call = function()
        left = left - 1
        return left >= 0 and left or nil
      end })
      assert.same({ 2, 1, 0, n = 3 }, map(object, function(x) return x end):collect())
      assert.same({ "a", "b", n = 2 }, map(coroutine.wrap(function()
        coroutine.yield("a")
        weft.sleep(1)
        coroutine.yield("b")
      end), function(x) return x end):collect())
    end))

    it("takes a queue's items as they come", virtual(function()
      local q = weft.queue(2)
      local producer = spawn(function()
        for i = 1, 6 do
          q:put(i)
          weft.sleep(2)
        end
        q:shutdown()
      end)
      local start, order = now(), {}
      for _, value in map(q:iter(), function(item)
        weft.sleep(1)
        return item
      end, 3) do
        order[#order + 1] = value
        -- an iterator that waits holds no result back
        assert.near(#order * 2 - 1, now() - start, 1e-6)
      end
      assert.same({ 1, 2, 3, 4, 5, 6 }, order)
      producer:await()
    end))

    it("takes items that are false", virtual(function()
      assert.same({ true, true, n = 2 },
        map({ false, false }, function(x) return x == false end):collect())
    end))

    it("reads a list as it goes", virtual(function()
      local list = { "a", "b", "c", "d" }
      local m = map(list, function(item)
        weft.sleep(1)
        return item
      end, 1)
      local _, first = m:next()
      list[3], list[5] = "changed", "added"
      assert.equal("a", first)
      local rest = m:collect()
      assert.equal("changed", rest[3])
      assert.equal("added", rest[5])
      assert.equal(5, rest.n)
      assert.same({ "a", n = 1 }, map({ "a", nil, "c" }, function(x) return x end):collect())
    end))

    it("in each other keeps both bounds", virtual(function()
      local fn, m = meter()
      local sums = map(range(4), function(item)
        local sum = 0
        for _, value in map(range(item), fn, 2) do
          sum = sum + value
        end
        return sum
      end, 2):collect()
      assert.same({ 1, 3, 6, 10, n = 4 }, sums)
      assert.is_true(m.most <= 4, m.most)
    end))

    it("may be stepped in a generator, and by several tasks one after the other", virtual(
      function()
        local m = map(range(6), function(x)
          weft.sleep(x)
          return x
        end, 2)
        local step = coroutine.wrap(function()
          for i in m do
            coroutine.yield(i)
          end
        end)
        assert.equal(1, step())
        assert.equal(2, (weft.await(function() return m:next() end)))
        assert.equal(3, step())
        m:close()
      end))

    it("a step while another task is in one is a state error", virtual(function()
      local m = map(range(2), function(x)
        weft.sleep(5)
        return x
      end)
      local first = spawn(m.next, m)
      parked()
      assert.equal("map: another task is in a step of this map",
        raises("state", m.next, m).message)
      assert.equal(1, first:await())
      assert.equal(2, (m:next()))
      assert.is_nil((m:next()))
    end))

    it("close cancels the calls that run, starts no more, and ends the iteration", virtual(
      function()
        local next_item, counter = endless()
        local fn, m = meter(function() return 10 end)
        local it_map = map(next_item, fn, 3)
        local consumer = spawn(it_map.next, it_map)
        weft.sleep(1)
        it_map:close()
        assert.is_nil((consumer:await()))
        assert.is_nil((it_map:next()))
        it_map:close()
        parked()
        assert.same({ 3, 3, 3 }, { m.begun, m.ended, counter.asked })
        assert.equal("Map<closed started=3 taken=0>", tostring(it_map))
        weft.sleep(50)
        assert.equal(3, m.begun)
      end))

    it("close before the first step, after the end, or from a call does no harm", virtual(
      function()
        local calls = 0
        local m = map(range(3), function() calls = calls + 1 end)
        m:close()
        assert.is_nil((m:next()))
        assert.equal(0, calls)
        m = map(range(3), function() calls = calls + 1 end)
        all_of(m)
        m:close()
        assert.equal(3, calls)
        m = map(range(3), function()
          m:close()
          weft.sleep(0)
          calls = calls + 10
        end, 1)
        assert.same({}, all_of(m))
        parked()
        assert.equal(3, calls)
      end))

    it("is closed when it is collected", virtual(function()
      local next_item = endless()
      local fn, m = meter(function(item) return item == 1 and 1 or 100 end)
      do
        local it_map = map(next_item, fn, 3)
        weft.await(function() it_map:next() end)
      end
      parked()
      collectgarbage()
      collectgarbage()
      parked()
      assert.same({ m.begun, 0 }, { m.ended, m.now })
      assert.equal(1, #weft.all_tasks())
    end))

    it("goes on while anybody is in it, though nothing else holds it", virtual(function()
      local sum = 0
      local fn = meter()
      for _, value in map(range(5), fn, 2) do
        collectgarbage()
        weft.sleep(1)
        collectgarbage()
        sum = sum + value
      end
      assert.equal(15, sum)
    end))

    it("works with a collection at every step", virtual(function()
      testing.gc_stress(function()
        local fn = meter(function(item) return item % 3 end)
        assert.equal(10, map(range(10), fn, 3):collect().n)
      end)
    end))

    it("a failure is raised when the others have been cancelled and have ended", virtual(
      function()
        local e, log = my_error("broken"), {}
        local m = map(range(9), function(item)
          if item == 2 then
            weft.sleep(3)
            error(e, 0)
          elseif item == 1 then
            return item
          end
          weft.finally(function() weft.sleep(100) end, function()
            weft.sleep(2)
            log[#log + 1] = item
          end)
        end, 4)
        assert.equal(1, (m:next()))
        local raised
        assert.near(5, elapsed(function() raised = support.error_of(m.next, m) end), 1e-6)
        assert.is_true(rawequal(e, raised))
        assert.same({ 3, 4, 5 }, log)
        assert.is_nil((m:next())) -- it has ended
        assert.matches("^Map<closed", tostring(m))
      end))

    it("a failure is raised as it was, and collect raises it too", virtual(function()
      for _, e in ipairs { "words", {} } do
        assert.is_true(rawequal(e, support.error_of(function()
          map({ 1 }, function() error(e, 0) end):collect()
        end)))
      end
    end))

    it("a call that others cancel is raised as cancelled, and does not cancel the consumer",
      virtual(function()
        local m = map(range(3), function(item)
          if item == 2 then
            weft.current_task():cancel("by hand")
          end
          weft.sleep(item)
          return item
        end)
        local e = raises("cancelled", m.collect, m)
        assert.equal("by hand", e.message)
        weft.sleep(1)
      end))

    it("an error of the iterator is raised, with nothing left running", virtual(function()
      local i, ended = 0, 0
      local m = map(function()
        i = i + 1
        if i == 3 then
          error("iterator", 0)
        end
        return i
      end, function(item)
        weft.finally(function() weft.sleep(item) end, function() ended = ended + 1 end)
        return item
      end, 5)
      assert.equal("iterator", support.error_of(function() all_of(m) end))
      assert.equal(2, ended)
      assert.is_nil((m:next()))
    end))

    it("cancelling the consumer cancels the calls, and raises when they have ended", virtual(
      function()
        local log = {}
        local m = map(endless(), function(item)
          weft.finally(function() weft.sleep(100) end, function()
            weft.sleep(item)
            log[#log + 1] = item
          end)
        end, 3)
        local task = spawn(m.next, m)
        weft.sleep(1)
        task:cancel("enough")
        assert.near(3, elapsed(function()
          assert.equal("enough", raises("cancelled", task.await, task).message)
        end), 1e-6)
        assert.same({ 1, 2, 3 }, log)
        assert.is_nil((m:next()))
      end))

    it("cancelling the consumer again does not end the step before the calls", virtual(function()
      local ended = 0
      local m = map(endless(), function()
        weft.finally(function() weft.sleep(100) end, function()
          weft.sleep(9)
          ended = ended + 1
        end)
      end, 2)
      local task = spawn(m.next, m)
      for _ = 1, 3 do
        weft.sleep(1)
        task:cancel()
      end
      assert.near(7, elapsed(raises, "cancelled", task.await, task), 1e-6)
      assert.equal(2, ended)
    end))

    it("cancelling the consumer between two steps does the same", virtual(function()
      local fn, m = meter(function(item) return item == 1 and 1 or 100 end)
      local it_map = map(range(9), fn, 4)
      local results = {}
      local task = spawn(function()
        it_map:next()
        weft.current_task():cancel()
        results[1] = support.error_of(it_map.next, it_map).kind
        results[2] = m.now
      end)
      task:await()
      assert.same({ "cancelled", 0 }, results)
      assert.same({ 4, 4 }, { m.begun, m.ended })
      assert.is_nil((it_map:next()))
    end))

    it("a timeout around it does the same", virtual(function()
      local fn, m = meter(function() return 100 end)
      local e = raises("timeout", weft.timeout, 2, all_of, map(endless(), fn, 5))
      assert.equal("timed out after 2 s", e.message)
      assert.same({ 5, 5 }, { m.begun, m.ended })
    end))

    it("a step that was woken and then cancelled gives its result", virtual(function()
      local future = weft.create_future()
      local m = map({ future, future }, weft.shield)
      local got, later
      local task = spawn(function()
        got = { m:next() }
        later = support.error_of(m.next, m)
      end)
      parked()
      future:set_result("value")
      weft.sleep(0) -- the calls end, and the step is woken
      task:cancel()
      task:await()
      assert.same({ 1, "value" }, got)
      assert.is_true(weft.is_error(later, "cancelled"))
      m:close()
    end))

    it("a step in a cancelled task raises and starts nothing, at the end too", virtual(function()
      local calls, results = 0, {}
      local task = spawn(function()
        weft.current_task():cancel()
        local m = map(range(3), function() calls = calls + 1 end)
        results[1] = support.error_of(m.next, m).kind
        m:close()
        results[2] = support.error_of(m.next, m).kind
      end)
      task:await()
      assert.same({ "cancelled", "cancelled" }, results)
      assert.equal(0, calls)
    end))

    it("a step outside a task, or where no wait is possible, is a state error", virtual(function()
      local calls, done, e = 0, weft.create_future(), nil
      local m = map(range(3), function() calls = calls + 1 end)
      weft.get_running_loop():call_soon(function()
        e = support.error_of(m.next, m)
        done:set_result()
      end)
      done:await()
      assert.same({ "state", "ENOTASK" }, { e.kind, e.code })
      table.sort({ 1, 2 }, function(a, b)
        raises({ "state", "EBLOCKED" }, m.next, m)
        return a < b
      end)
      parked()
      assert.equal(0, calls)
      assert.equal(3, m:collect().n)
    end))

    it("abandoned at the end of a run leaves nothing", function()
      for taken = 0, 3 do
        local fn, m = meter()
        testing.virtual_clock(testing.leaks, function()
          local it_map = map(range(9), fn, 2)
          for _ = 1, taken do
            it_map:next()
          end
          it_map:close()
          parked()
        end)
        assert.equal(m.begun, m.ended)
        weft.run(function() -- not closed: the end of the run cancels the calls
          local step = map(range(9), meter(function() return 0 end), 2)
          for _ = 1, taken do
            step:next()
          end
        end)
      end
    end)

    it("cancelled everywhere leaves no call behind", function()
      local begun, ended
      local function scenario()
        begun, ended = 0, 0
        local m = map(range(6), function(item)
          begun = begun + 1
          weft.finally(function() weft.sleep(item % 3) end, function()
            weft.sleep(1)
            ended = ended + 1
          end)
        end, 2)
        local ok, e = pcall(all_of, m)
        if not ok then
          m:close()
          error(e, 0)
        end
      end
      local function check()
        weft.sleep(10)
        assert.equal(begun, ended)
      end
      assert.is_true(testing.cancel_everywhere(scenario, check) >= 3)
      assert.is_true(testing.cancel_everywhere(scenario, check, { every_task = true }) >= 10)
    end)
  end)
end

describe("weft.map in order", function()
  it("is the default, and gives each in its turn", virtual(function()
    local order = {}
    for i in weft.map(range(30), function(item) weft.sleep(item * 7 % 5) end) do
      order[#order + 1] = i
    end
    assert.same(range(30), order)
  end))

  it("raises a failure in its turn, what is before it comes first", virtual(function()
    local m = weft.map({ 5, 1, 9 }, function(seconds)
      weft.sleep(seconds)
      if seconds == 1 then
        error("second", 0)
      end
      return seconds
    end)
    local start = now()
    assert.same({ 1, 5 }, { m:next() })
    assert.equal("second", support.error_of(m.next, m))
    assert.near(5, now() - start, 1e-6)
  end))

  it("raises the iterator's error after what it had given", virtual(function()
    local i = 0
    local m = weft.map(function()
      i = i + 1
      return i < 3 and i or error("iterator", 0)
    end, function(item)
      weft.sleep(item)
      return item
    end)
    assert.equal(1, (m:next()))
    assert.equal(2, (m:next()))
    assert.equal("iterator", support.error_of(m.next, m))
  end))

  it("waits for the slowest while it holds the others back, within the bound", virtual(function()
    local fn, m = meter(function(item) return item == 1 and 10 or 1 end)
    local it_map = weft.map(range(20), fn, { concurrency = 4 })
    local start = now()
    it_map:next()
    assert.near(10, now() - start, 1e-6)
    assert.equal(4, m.begun)
    it_map:close()
  end))
end)

describe("weft.map as they come", function()
  it("gives the results in the order in which the calls end", virtual(function()
    local seconds, order = { 4, 1, 3, 2 }, {}
    for i, value in weft.map(seconds, function(s)
      weft.sleep(s)
      return s
    end, { ordered = false }) do
      order[#order + 1] = value
      assert.equal(seconds[i], value)
    end
    assert.same({ 1, 2, 3, 4 }, order)
  end))

  it("is not held back by a slow one", virtual(function()
    local order = {}
    for i in weft.map(range(6), function(item) weft.sleep(item == 1 and 100 or item) end,
      { ordered = false, concurrency = 2 }) do
      order[#order + 1] = i
    end
    assert.same({ 2, 3, 4, 5, 6, 1 }, order)
  end))

  it("raises a failure as soon as it is there", virtual(function()
    local m = weft.map({ 5, 1, 9 }, function(seconds)
      weft.sleep(seconds)
      if seconds == 1 then
        error("second", 0)
      end
    end, { ordered = false })
    assert.near(1, elapsed(function()
      assert.equal("second", support.error_of(m.next, m))
    end), 1e-6)
  end))

  it("raises the iterator's error at once", virtual(function()
    local i = 0
    local m = weft.map(function()
      i = i + 1
      return i < 3 and i or error("iterator", 0)
    end, function() weft.sleep(50) end, { ordered = false })
    assert.near(0, elapsed(function()
      assert.equal("iterator", support.error_of(m.next, m))
    end), 1e-6)
  end))
end)

describe("the errors of a map", function()
  it("that nobody gets are reported", support.outside(function()
    local messages = {}
    testing.virtual_clock(function()
      weft.get_running_loop():set_exception_handler(function(_, context)
        messages[#messages + 1] = context.exception.message
      end)
      local m = weft.map({ 1, 2 }, function(item) error(my_error("call " .. item), 0) end)
      assert.equal("call 1", support.error_of(m.next, m).message)
    end)
    assert.same({ "call 2" }, messages)
  end))

  it("have the traceback of the call", virtual(function()
    local e = raises("protocol", function()
      weft.map({ 1 }, function()
        weft.sleep(1)
        error(my_error("broken"))
      end):collect()
    end)
    assert.matches("map_spec.lua:%d+", e.traceback)
  end))
end)

describe("weft.map refuses", function()
  it("what is no list, iterator or function", support.outside(function()
    for _, bad in ipairs { 1, "x", true } do
      raises("type", weft.map, bad, function() end)
      raises("type", weft.map, {}, bad)
    end
    raises("type", weft.map, nil, function() end)
    raises("type", weft.map, {})
    assert.equal("map: the items (a list or an iterator) must be a function, got number",
      raises("type", weft.map, 1, print).message)
  end))

  it("a concurrency that is no whole number of at least 1", support.outside(function()
    for _, bad in ipairs { 0, -1, 1.5, 0 / 0, "2", true, {} } do
      raises("type", weft.map, {}, print, { concurrency = bad })
    end
  end))

  it("an option that it does not know, naming the nearest", support.outside(function()
    local e = raises({ "type", "unknown_option" }, weft.map, {}, print, { order = true })
    assert.equal("map: unknown option 'order' (did you mean 'ordered'?)", e.message)
  end))
end)

describe("weft.map at the end of a process", function()
  it("may be open and half-way", function()
    local text, status = support.script [[
      local weft = require "weft"
      map = weft.map({ 1, 2, 3 }, function(x)
        weft.sleep(x / 1000)
        return x
      end, { concurrency = 2 })
      local loop = weft.new_event_loop()
      loop:set_exception_handler(function() end)
      print(loop:run_until_complete(function() return map:next() end))
    ]]
    assert.same({ "1\t1\n", 0 }, { text, status })
  end)
end)

if rawget(_G, "_VERSION") ~= "Lua 5.1" then -- to-be-closed variables are Lua 5.4's
  describe("weft.map in a to-be-closed variable", function()
    it("is closed at the end of the block", virtual(function()
      local fn, m = meter(function() return 100 end)
      local block = assert(load [[
        local map, parked = ...
        do
          local m <close> = map
          local task = require "weft".create_task(m.next, m)
          parked()
        end
      ]])
      block(weft.map(range(5), fn, { concurrency = 2 }), parked)
      parked()
      assert.same({ 2, 2 }, { m.begun, m.ended })
      assert.equal(1, #core.loop_tasks(weft.get_running_loop()))
    end))
  end)
end
