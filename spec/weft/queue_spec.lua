-- SPDX-License-Identifier: MIT
-- weft.queue: queue, priority_queue, lifo_queue: their order, bounds and fairness, shutdown,
-- and that no item, place or waiter is lost.

local weft = require "weft"
local core = require "weft.core"
local support = require "spec.support"
local testing = require "weft.testing"
local waits = require "spec.waits"

local virtual, raises = support.virtual, support.raises
local spawn, parked = weft.create_task, testing.wait_all_parked

local KINDS = { "queue", "priority_queue", "lifo_queue" }

-- An `it` for each kind of queue; fn gets what makes one.
local function each_kind(name, fn, body)
  for _, kind in ipairs(KINDS) do
    it(("%s: %s"):format(kind, name), (body or virtual)(function() fn(weft[kind], kind) end))
  end
end

local function plain(fn) return fn end

-- Starts `count` tasks that do fn(i), one after the other, and waits until they are parked.
local function start(count, fn)
  local tasks = {}
  for i = 1, count do
    tasks[i] = spawn(fn, i)
    weft.sleep(0)
  end
  parked()
  return tasks
end

local function ended(tasks)
  weft.gather(tasks, { return_exceptions = true })
end

local function fill(q, ...)
  for i = 1, select("#", ...) do
    q:put_nowait((select(i, ...)))
  end
  return q
end

local function drain(q)
  local items = {}
  while not q:empty() do
    items[#items + 1] = q:get_nowait()
  end
  return items
end

local function get_case(kind)
  return { name = kind .. ":get", parked = "get", make = function()
    local q = weft[kind]()
    local function put() q:put_nowait(7) end
    return { result = 7, wait = function() return (q:get()) end, wake = put, ready = put,
      waiting = function() return q:statistics().getters end,
      state = function() return tostring(q) end }
  end }
end

local function put_case(kind)
  return { name = kind .. ":put", parked = "put", make = function()
    local q = fill(weft[kind](1), 1)
    local function get() q:get_nowait() end
    return { result = "put", wake = get, ready = get,
      wait = function()
        q:put(2)
        return "put"
      end,
      waiting = function() return q:statistics().putters end,
      state = function() return tostring(q) end }
  end }
end

describe("weft.queue: every wait:", function()
  waits.check(it, {
    get_case("queue"), get_case("priority_queue"), get_case("lifo_queue"),
    put_case("queue"), put_case("priority_queue"), put_case("lifo_queue"),
    { name = "queue:join", parked = "join", make = function()
      local q = fill(weft.queue(), 1)
      local function done() q:task_done() end
      return { result = "joined", wake = done, ready = done,
        wait = function()
          q:join()
          return "joined"
        end,
        waiting = function() return core.waiting(q._joiners) end,
        state = function() return tostring(q) .. q:statistics().unfinished end }
    end },
    { name = "queue:iter", parked = "step", make = function()
      local q = weft.queue()
      local step = q:iter()
      local function put() q:put_nowait(7) end
      return { result = 7, wait = function() return (step()) end, wake = put, ready = put,
        waiting = function() return q:statistics().getters end,
        state = function() return tostring(q) end }
    end },
  })
end)

describe("the order of", function()
  for _, case in ipairs {
    { "queue", { 3, 1, 2 }, { 3, 1, 2 } },
    { "queue", { "b", false, "a" }, { "b", false, "a" } },
    { "lifo_queue", { 3, 1, 2 }, { 2, 1, 3 } },
    { "lifo_queue", { false, true }, { true, false } },
    { "priority_queue", { 3, 1, 2, 1, -5, 2.5 }, { -5, 1, 1, 2, 2.5, 3 } },
    { "priority_queue", { "pear", "apple", "fig" }, { "apple", "fig", "pear" } },
  } do
    it(("%s: %d items, %s first"):format(case[1], #case[2], tostring(case[3][1])),
      virtual(function()
        local q = weft[case[1]]()
        for _, item in ipairs(case[2]) do
          q:put(item)
        end
        assert.same(case[3], drain(q))
      end))
  end

  -- Against a model: a list in which the next item is looked for.
  local NEXT = {
    queue = function() return 1 end,
    lifo_queue = function(list) return #list end,
    priority_queue = function(list)
      local best = 1
      for i = 2, #list do
        best = list[i].priority < list[best].priority and i or best
      end
      return best
    end,
  }

  each_kind("is that of a model after thousands of random puts and gets", function(new, kind)
    local random = waits.random(11)
    local q = new(0, kind == "priority_queue"
      and function(a, b) return a.priority < b.priority end or nil)
    local model = {}
    for i = 1, support.rounds(5000) do
      local filling = i % 400 < 200 and 6 or 3
      if random(0, 9) < filling then
        local item = { priority = random(1, 9) }
        q:put(item)
        model[#model + 1] = item
      elseif #model > 0 then
        assert.equal(table.remove(model, NEXT[kind](model)), q:get())
      end
      assert.equal(#model, q:qsize())
    end
    while #model > 0 do
      assert.equal(table.remove(model, NEXT[kind](model)), q:get_nowait())
    end
    assert.is_true(q:empty())
  end)
end)

describe("weft.priority_queue", function()
  it("gives equals first in, first out", virtual(function()
    local q = weft.priority_queue(0, function(a, b) return a[1] < b[1] end)
    for i = 1, 60 do
      q:put({ i % 3, i })
    end
    local last = { -1, 0 }
    for _ = 1, 60 do
      local item = q:get()
      assert.is_true(item[1] > last[1] or item[1] == last[1] and item[2] > last[2])
      last = item
    end
  end))

  it("takes any order, and objects that can be compared", virtual(function()
    assert.same({ 3, 2, 1 }, drain(fill(weft.priority_queue(nil, function(a, b)
      return a > b
    end), 2, 3, 1)))
    local meta = { __lt = function(a, b) return a.n < b.n end }
    local one, two = setmetatable({ n = 1 }, meta), setmetatable({ n = 2 }, meta)
    local items = drain(fill(weft.priority_queue(), two, one))
    assert.is_true(rawequal(one, items[1]) and rawequal(two, items[2]))
    local callable = setmetatable({}, { __call = function(_, a, b) return a > b end })
    assert.same({ 2, 1 }, drain(fill(weft.priority_queue(nil, callable), 1, 2)))
  end))

  it("gives an item straight to one that waits, though a better one comes", virtual(function()
    local q = weft.priority_queue()
    local task = start(1, function() return q:get() end)[1]
    q:put_nowait(5)
    q:put_nowait(1)
    assert.equal(5, task:await())
    assert.equal(1, q:get())
  end))

  -- An order that fails at the k-th question, for each k: nothing is lost, doubled or moved.
  local function fragile()
    local order = { left = math.huge, asked = 0 }
    return order, function(a, b)
      order.asked, order.left = order.asked + 1, order.left - 1
      if order.left < 0 then
        error("no order", 0)
      end
      return a < b
    end
  end

  it("whose order fails in a put is as before", virtual(function()
    local failures, put_at = 0, nil
    for k = 0, 40 do
      local order, less = fragile()
      local q = fill(weft.priority_queue(nil, less), 9, 4, 8, 3, 7, 2, 6, 5)
      order.left = k
      local ok, e = pcall(q.put_nowait, q, 1)
      order.left = math.huge
      if ok then
        put_at = k
        break
      end
      failures = failures + 1
      assert.equal("no order", e)
      assert.equal(8, q:statistics().unfinished)
      assert.same({ 2, 3, 4, 5, 6, 7, 8, 9 }, drain(q))
    end
    assert.is_true(failures > 2 and put_at ~= nil)
  end))

  it("whose order fails in a get is as before", virtual(function()
    local failures, got_at = 0, nil
    for k = 0, 40 do
      local order, less = fragile()
      local q = fill(weft.priority_queue(nil, less), 9, 4, 8, 3, 7, 2, 6, 5)
      order.left = k
      local ok, e = pcall(q.get, q)
      order.left = math.huge
      if ok then
        got_at = k
        break
      end
      failures = failures + 1
      assert.equal("no order", e)
      assert.same({ 2, 3, 4, 5, 6, 7, 8, 9 }, drain(q))
    end
    assert.is_true(failures >= 4 and got_at ~= nil)
  end))

  it("whose order fails passes a place that was promised on", virtual(function()
    local q = fill(weft.priority_queue(2), 1, 2)
    local tasks = start(3, function(i) q:put(i == 1 and "not a number" or i + 10) end)
    assert.equal(1, q:get())
    support.error_of(tasks[1].await, tasks[1])
    tasks[2]:await()
    assert.same({ size = 2, maxsize = 2, getters = 0, putters = 1, unfinished = 3 },
      q:statistics())
    assert.same({ 2, 12 }, drain(q))
    tasks[3]:await()
    assert.equal(13, q:get())
  end))

  it("whose order fails in the last put after a shutdown lets the getters go", virtual(function()
    local order, less = fragile()
    local q = fill(weft.priority_queue(2, less), 1, 2)
    local putter = start(1, function() q:put(3) end)[1]
    q:get_nowait()
    q:shutdown()
    order.left = 0
    local getter = spawn(function() return { q:get(), (pcall(q.get, q)) } end)
    support.error_of(putter.await, putter)
    assert.same({ 2, false }, getter:await())
  end))
end)

describe("bounds:", function()
  each_kind("no bound is kept for nil, zero and less", function(new)
    for _, maxsize in ipairs { 0, -1, false } do
      local q = new(maxsize or nil)
      assert.equal(maxsize or 0, q.maxsize)
      for i = 1, 1000 do
        q:put(i)
      end
      assert.is_false(q:full())
      assert.equal(1000, q:qsize())
    end
  end)

  each_kind("put waits while it is full", function(new)
    local q = new(2)
    assert.same({ true, false, 0 }, { q:empty(), q:full(), q:qsize() })
    q:put(1)
    assert.same({ false, false, 1 }, { q:empty(), q:full(), q:qsize() })
    q:put(2)
    assert.same({ false, true, 2 }, { q:empty(), q:full(), q:qsize() })
    local task = start(1, function() q:put(3) end)[1]
    assert.is_false(task:done())
    assert.equal(2, q:qsize())
    q:get()
    task:await()
    assert.equal(2, q:qsize())
    assert.is_true(q:full())
  end)

  each_kind("put_nowait raises when it is full, get_nowait when it is empty", function(new)
    local q = new(1)
    raises({ "queue", "empty" }, q.get_nowait, q)
    q:put_nowait(1)
    raises({ "queue", "full" }, q.put_nowait, q, 2)
    assert.equal(1, q:qsize())
    assert.equal(1, q:get_nowait())
    raises({ "queue", "empty" }, q.get_nowait, q)
    assert.equal(1, q:statistics().unfinished)
  end)

  each_kind("nil is refused, and false is not", function(new)
    local q = new(1)
    raises("type", q.put, q, nil)
    raises("type", q.put_nowait, q, nil)
    assert.equal(0, q:statistics().unfinished)
    q:put(false)
    assert.is_false(q:get())
    q:put(1)
    raises("type", q.put, q) -- not after having waited for a place
    local getter = start(1, function() return { q:get(), q:get() } end)[1]
    q:put(false)
    assert.same({ 1, false }, getter:await())
  end)

  each_kind("what does not wait works outside of tasks and wakes those that do", function(new)
    local q = new(1)
    local loop = weft.get_running_loop()
    loop:call_later(1, q.put_nowait, q, "item")
    assert.equal("item", q:get())
    q:put("first")
    loop:call_later(1, q.get_nowait, q)
    q:put("second")
    assert.equal("second", q:get())
  end)

  each_kind("it may be made and filled before there is a loop", function(new)
    local q = fill(new(), 1)
    assert.equal(1, weft.run(q.get, q))
  end, plain)

  for _, bad in ipairs { "1", 0 / 0, true, {} } do
    each_kind(("it refuses the maximum size %s"):format(tostring(bad)), function(new)
      raises("type", new, bad)
    end, plain)
  end

  it("weft.priority_queue refuses an order that cannot be called", function()
    for _, bad in ipairs { 1, "less", {}, true } do
      raises("type", weft.priority_queue, 0, bad)
    end
  end)
end)

describe("fairness:", function()
  each_kind("getters are served first come, first served", function(new)
    local q, got = new(), {}
    local tasks = start(6, function(i)
      local item = q:get()
      got[#got + 1] = { i, item }
    end)
    tasks[1]:cancel()
    tasks[4]:cancel()
    for item = 1, 4 do
      q:put(item)
    end
    ended(tasks)
    assert.same({ { 2, 1 }, { 3, 2 }, { 5, 3 }, { 6, 4 } }, got)
  end)

  each_kind("putters are served first come, first served", function(new)
    local q, order = fill(new(1), 0), {}
    local tasks = start(6, function(i)
      q:put(i)
      order[#order + 1] = i
    end)
    tasks[2]:cancel()
    tasks[5]:cancel()
    for _ = 1, 5 do
      q:get()
      parked()
    end
    ended(tasks)
    assert.same({ 1, 3, 4, 6 }, order)
    assert.is_true(q:empty())
  end)

  each_kind("an item that was given to a getter cannot be had by another", function(new)
    local q = new()
    local task = start(1, function() return q:get() end)[1]
    q:put_nowait("item")
    assert.equal(0, q:qsize())
    raises({ "queue", "empty" }, q.get_nowait, q)
    assert.equal("item", task:await())
  end)

  each_kind("a place that was promised to a putter cannot be had by another", function(new)
    local q = fill(new(1), 1)
    local task = start(1, function() q:put(2) end)[1]
    q:get_nowait()
    assert.same({ 0, true }, { q:qsize(), q:full() })
    raises({ "queue", "full" }, q.put_nowait, q, 3)
    raises({ "queue", "empty" }, q.get_nowait, q)
    local late = spawn(q.put, q, 4)
    task:await()
    assert.equal(2, q:get())
    late:await()
    assert.equal(4, q:get())
  end)

  each_kind("a promised item that a getter takes at once leaves the place to the next",
    function(new)
      local q = fill(new(1), 1)
      local putters = start(3, function(i) q:put(10 + i) end)
      local getters = { spawn(q.get, q), spawn(q.get, q), spawn(q.get, q) }
      assert.equal(1, q:get_nowait())
      assert.same({ 11, 12, 13 }, { getters[1]:await(), getters[2]:await(), getters[3]:await() })
      ended(putters)
      assert.same({ true, false }, { q:empty(), q:full() })
    end)

  each_kind("several places that are free at once go to as many putters", function(new)
    local q = fill(new(3), 1, 2, 3)
    local tasks = start(5, function(i) q:put(10 + i) end)
    drain(q)
    parked()
    assert.same({ 3, 2 }, { q:qsize(), q:statistics().putters })
    drain(q)
    ended(tasks)
    assert.equal(2, #drain(q))
    fill(q, 1, 2, 3)
    assert.is_true(q:full())
  end)

  each_kind("items pass through in order while both sides wait in turn", function(new)
    local q, got = new(1), {}
    local consumer = spawn(function()
      for i = 1, 100 do
        got[i] = q:get()
        if i % 7 == 0 then weft.sleep(1) end
      end
    end)
    for i = 1, 100 do
      q:put(i)
      if i % 5 == 0 then weft.sleep(1) end
    end
    consumer:await()
    for i = 1, 100 do
      assert.equal(i, got[i])
    end
  end)
end)

describe("join and task_done:", function()
  each_kind("join returns when all that was put is dealt with", function(new)
    local q, joined = new(), 0
    q:join()
    fill(q, 1, 2)
    local tasks = start(3, function()
      q:join()
      joined = joined + 1
    end)
    q:get()
    q:get()
    q:task_done()
    parked()
    assert.equal(0, joined)
    q:task_done()
    ended(tasks)
    assert.equal(3, joined)
    q:put(3)
    raises("timeout", weft.timeout, 1, q.join, q)
  end)

  each_kind("task_done too often raises and changes nothing", function(new)
    local q = new()
    raises({ "state", "task_done" }, q.task_done, q)
    q:put(1)
    q:task_done()
    raises({ "state", "task_done" }, q.task_done, q)
    assert.equal(0, q:statistics().unfinished)
    q:put(2)
    assert.equal(1, q:statistics().unfinished)
  end)

  each_kind("an item that goes straight to a getter counts", function(new)
    local q = new()
    local getter = start(1, function() return q:get() end)[1]
    q:put(1)
    assert.equal(1, q:statistics().unfinished)
    getter:await()
    raises("timeout", weft.timeout, 1, q.join, q)
    q:task_done()
    q:join()
  end)

  it("workers, a queue and join, as they are always written", virtual(function()
    local q, done = weft.queue(3), {}
    local workers = start(3, function()
      while true do
        local item = q:get()
        weft.sleep(item % 4)
        done[#done + 1] = item
        q:task_done()
      end
    end)
    for i = 1, 20 do
      q:put(i)
    end
    q:join()
    for _, worker in ipairs(workers) do
      worker:cancel()
    end
    ended(workers)
    table.sort(done)
    assert.equal(20, #done)
    assert.same({ 1, 20 }, { done[1], done[20] })
  end))
end)

describe("shutdown:", function()
  local function is_shut(fn, ...)
    raises({ "queue", "shutdown" }, fn, ...)
  end

  each_kind("nothing can be put any more, what is there can be had", function(new)
    local q = fill(new(), 1, 2, 3)
    q:shutdown()
    is_shut(q.put, q, 4)
    is_shut(q.put_nowait, q, 4)
    local items = { q:get(), q:get_nowait(), q:get() }
    table.sort(items)
    assert.same({ 1, 2, 3 }, items)
    is_shut(q.get, q)
    is_shut(q.get_nowait, q)
    assert.equal(3, q:statistics().unfinished)
  end)

  each_kind("immediate drops what is there", function(new)
    local q = fill(new(3), 1, 2, 3)
    q:get()
    q:shutdown(true)
    is_shut(q.get, q)
    is_shut(q.get_nowait, q)
    is_shut(q.put, q, 4)
    assert.same({ size = 0, maxsize = 3, getters = 0, putters = 0, unfinished = 1 },
      q:statistics())
    assert.is_true(q:empty())
  end)

  for _, immediate in ipairs { false, true } do
    local how = ("shutdown(%s)"):format(tostring(immediate))

    each_kind(how .. " wakes getters that wait", function(new)
      local q = new()
      local tasks = start(3, function() return q:get() end)
      q:shutdown(immediate)
      for _, task in ipairs(tasks) do
        is_shut(task.await, task)
      end
    end)

    each_kind(how .. " wakes putters that wait, and puts nothing", function(new)
      local q = fill(new(1), 1)
      local tasks = start(3, function() q:put(2) end)
      q:shutdown(immediate)
      for _, task in ipairs(tasks) do
        is_shut(task.await, task)
      end
      assert.equal(immediate and 0 or 1, q:qsize())
      assert.equal(immediate and 0 or 1, q:statistics().unfinished)
    end)

    each_kind(how .. " leaves a getter the item that it was given", function(new)
      local q = new()
      local task = start(1, function() return q:get() end)[1]
      q:put_nowait("item")
      q:shutdown(immediate)
      assert.equal("item", task:await())
      assert.equal(1, q:statistics().unfinished)
    end)

    each_kind(how .. " may be repeated, and come from a callback", function(new)
      local q = fill(new(), 1)
      weft.get_running_loop():call_later(1, q.shutdown, q, immediate)
      weft.sleep(2)
      q:shutdown(immediate)
      assert.equal(immediate and 0 or 1, #drain(q))
      q:shutdown(true)
      is_shut(q.get, q)
    end)
  end

  each_kind("a put to which a place was promised still succeeds", function(new)
    local q = fill(new(1), 1)
    local putter = start(1, function()
      q:put(2)
      return "put"
    end)[1]
    q:get_nowait()
    local getters = { spawn(q.get, q), spawn(q.get, q) }
    q:shutdown()
    assert.is_false(putter:done())
    raises({ "queue", "empty" }, q.get_nowait, q) -- not at once, but there is one to come
    assert.equal("put", putter:await())
    assert.equal(2, getters[1]:await())
    is_shut(getters[2].await, getters[2])
    is_shut(q.get_nowait, q)
  end)

  each_kind("a put to which a place was promised fails if it is immediate", function(new)
    local q = fill(new(1), 1)
    local putter = start(1, function() q:put(2) end)[1]
    q:get_nowait()
    local getters = { spawn(q.get, q), spawn(q.get, q) }
    q:shutdown()
    q:shutdown(true)
    is_shut(putter.await, putter)
    is_shut(getters[1].await, getters[1])
    is_shut(getters[2].await, getters[2])
    assert.same({ 0, 1 }, { q:qsize(), q:statistics().unfinished })
  end)

  each_kind("getters that wait for a promised item are let go if it was the last", function(new)
    local q = fill(new(2), 1, 2)
    local putters = start(2, function(i) q:put(10 + i) end)
    local getters = {}
    for i = 1, 4 do
      getters[i] = spawn(q.get, q)
    end
    drain(q) -- wakes the putters, which come after the getters
    q:shutdown()
    assert.same({ 11, 12 }, { getters[1]:await(), getters[2]:await() })
    is_shut(getters[3].await, getters[3])
    is_shut(getters[4].await, getters[4])
    ended(putters)
  end)

  each_kind("a promised put that is cancelled then still lets the getters go", function(new)
    local q = fill(new(1), 1)
    local putter = start(1, function() q:put(2) end)[1]
    q:get_nowait()
    q:shutdown()
    putter:cancel() -- too late, the place is its own
    local getters = { spawn(q.get, q), spawn(q.get, q) }
    putter:await()
    assert.equal(2, getters[1]:await())
    is_shut(getters[2].await, getters[2])
  end)

  each_kind("join still waits for what was there", function(new)
    local q = fill(new(), 1)
    q:shutdown()
    local task = start(1, function() q:join() end)[1]
    assert.is_false(task:done())
    q:get()
    q:task_done()
    task:await()
  end)

  each_kind("immediate ends join, but for what is being dealt with", function(new)
    local q = fill(new(), 1, 2, 3)
    local task = start(1, function() q:join() end)[1]
    q:get()
    q:shutdown(true)
    parked()
    assert.is_false(task:done())
    q:task_done()
    task:await()
  end)

  each_kind("immediate does not mind items that were called done too early", function(new)
    local q = fill(new(2), 1, 2)
    local putter = start(1, function() q:put(3) end)[1]
    q:task_done()
    q:task_done()
    q:shutdown(true)
    is_shut(putter.await, putter)
    assert.same({ size = 0, maxsize = 2, getters = 0, putters = 0, unfinished = 0 },
      q:statistics())
    q:join()
  end)

  -- Whenever it comes: what was put is had (or dropped), what was not is not, nobody hangs.
  for _, immediate in ipairs { false, true } do
    each_kind(("shutdown(%s) in each turn"):format(tostring(immediate)), function(new)
      for turns = 0, 20 do
        local q, put, got = new(2), {}, {}
        local tasks = {}
        for i = 1, 4 do
          tasks[i] = spawn(function()
            for k = 1, 2 do
              q:put(i * 10 + k)
              put[#put + 1] = i * 10 + k
            end
          end)
        end
        for i = 1, 3 do
          tasks[#tasks + 1] = spawn(function()
            for item in q:iter() do
              got[#got + 1] = item
              for _ = 1, i do weft.sleep(0) end
            end
          end)
        end
        for _ = 1, turns do weft.sleep(0) end
        q:shutdown(immediate)
        for _, result in ipairs(weft.gather(tasks, { return_exceptions = true })) do
          assert(result == nil or result.code == "shutdown", result)
        end
        table.sort(put)
        table.sort(got)
        if immediate then
          local missing = #put - #got
          assert(missing >= 0 and missing <= 2, missing)
        else
          assert.same(put, got)
        end
        assert.equal(0, q:qsize())
      end
    end)
  end
end)

describe("iter:", function()
  each_kind("gives the items as they come, and ends at the shutdown", function(new)
    local q, got = new(2), {}
    local task = spawn(function()
      for item in q:iter() do
        got[#got + 1] = item
      end
      return "ended"
    end)
    for i = 1, 5 do
      q:put(i)
      weft.sleep(1)
    end
    q:put(false)
    parked()
    q:shutdown()
    assert.equal("ended", task:await())
    assert.same({ 1, 2, 3, 4, 5, false }, got)
  end)

  each_kind("several share the items", function(new)
    local q, count = fill(new(), 1, 2, 3, 4, 5, 6, 7), { 0, 0 }
    q:shutdown()
    local tasks = start(2, function(i)
      for _ in q:iter() do
        count[i] = count[i] + 1
        weft.sleep(0)
      end
    end)
    ended(tasks)
    assert.equal(7, count[1] + count[2])
    assert.is_true(count[1] >= 3 and count[2] >= 3)
  end)

  each_kind("of a queue that is shut down and empty gives nothing", function(new)
    local q = fill(new(), 1)
    q:shutdown(true)
    local step = q:iter()
    assert.is_nil(step())
    assert.is_nil(step())
  end)

  it("passes on all but the end: a cancellation, an error of the order", virtual(function()
    local q = weft.priority_queue(nil, function() error("no order", 0) end)
    local step = q:iter()
    q:put(1)
    assert.equal(1, step())
    raises("timeout", weft.timeout, 1, step)
  end))

  it("does not take another queue's end for its own", virtual(function()
    local other, ask = weft.queue(), false
    other:shutdown()
    local q = fill(weft.priority_queue(nil, function(a, b)
      return ask and other:get() or a < b
    end), 1, 2, 3)
    ask = true
    raises({ "queue", "shutdown" }, q:iter())
    assert.equal(3, q:qsize())
  end))
end)

describe("memory:", function()
  -- The bytes in use after fn.
  local function used(fn)
    fn()
    collectgarbage()
    collectgarbage()
    return collectgarbage("count") * 1024
  end

  each_kind("what goes through leaves nothing behind", function(new)
    local q = new(8)
    local function pass(n)
      for i = 1, n do
        for k = 1, i % 8 do q:put(k) end
        for _ = 1, i % 8 do q:get() end
      end
    end
    local before = used(function() pass(2000) end)
    local after = used(function() pass(20000) end)
    assert.is_true(after - before < 2048, after - before)
  end)

  each_kind("an item that was taken is not kept", function(new)
    local q = new(0, function(a, b) return a.n < b.n end)
    local seen = setmetatable({}, { __mode = "k" })
    local function put(n)
      local item = { n = n }
      seen[item] = true
      q:put(item)
    end
    for n = 1, 20 do put(n) end
    for _ = 1, 13 do q:get() end
    used(function() end)
    local count = 0
    for _ in pairs(seen) do count = count + 1 end
    assert.equal(7, count)
    q:shutdown(true)
    used(function() end)
    assert.is_nil(next(seen))
  end)

  it("of a ring grows rightly wherever the ring begins", virtual(function()
    for offset = 0, 9 do
      local q, expected = weft.queue(), {}
      for i = 1, offset do
        q:put(i)
        q:get()
      end
      for i = 1, 40 do
        q:put(i)
        expected[i] = i
      end
      assert.same(expected, drain(q))
    end
  end))
end)

describe("adversity:", function()
  -- What was put and what was got, each item once; at the end all must be in its place.
  local function ledger(q)
    local l = { put = {}, got = {} }
    function l.put_one(item)
      q:put(item)
      assert(not l.put[item])
      l.put[item] = true
    end
    function l.get_one()
      local item = q:get()
      assert(not l.got[item], "an item came twice")
      l.got[item] = true
      return item
    end
    function l.check()
      local statistics = q:statistics()
      assert.same({ 0, 0 }, { statistics.getters, statistics.putters })
      assert.equal(statistics.size, statistics.unfinished)
      for _, item in ipairs(drain(q)) do
        assert(not l.got[item], "an item came twice")
        l.got[item] = true
        q:task_done()
      end
      assert.same(l.put, l.got)
      q:join()
      for i = 1, q.maxsize do -- no place is lost, or there twice
        q:put_nowait(i)
      end
      assert.is_true(q:full())
    end
    return l
  end

  for _, kind in ipairs(KINDS) do
    waits.cancelled_everywhere(it, kind, function(each)
      local q = weft[kind](2)
      local l, given_up = ledger(q), 0
      for i = 1, 6 do
        each(function()
          local ok, e = weft.try(weft.timeout, 100, function()
            for k = 1, 2 do
              if i % 2 == 0 then
                l.put_one(i * 10 + k)
              else
                l.get_one()
                weft.finally(function() weft.sleep(i % 3) end, function() q:task_done() end)
              end
            end
          end)
          given_up = given_up + (not ok and weft.is_error(e, "timeout") and 1 or 0)
        end)
      end
      return function()
        assert(given_up <= 2, given_up)
        l.check()
      end
    end)

    waits.cancelled_everywhere(it, kind .. " that is shut down", function(each)
      local q = weft[kind](1)
      local l = ledger(q)
      for i = 1, 5 do
        each(function()
          local ok, e = weft.try(weft.timeout, 100, function()
            if i == 5 then
              weft.sleep(0)
              return q:shutdown()
            elseif i % 2 == 0 then
              l.put_one(i)
              return l.put_one(10 + i)
            end
            for item in q:iter() do
              l.got[item] = true
              q:task_done()
              weft.sleep(0)
            end
          end)
          assert(ok or e.code == "shutdown" or weft.is_error(e, "timeout"), e)
        end)
      end
      return function()
        for _, item in ipairs(drain(q)) do
          l.got[item] = true
          q:task_done()
        end
        assert.same(l.put, l.got)
        q:join()
        assert.same({ size = 0, maxsize = 1, getters = 0, putters = 0, unfinished = 0 },
          q:statistics())
      end
    end)

    waits.soak(it, kind, function(unit)
      local q = weft[kind](3)
      local l, extra = ledger(q), 0
      return function(i, random)
        weft.sleep(random(-3, 2) * unit)
        if i % 2 == 0 then
          l.put_one(i)
          l.put_one(-i)
        else
          l.get_one()
          weft.finally(function() weft.sleep(random(-3, 2) * unit) end,
            function() q:task_done() end)
        end
      end, l.check, function()
        while true do -- lets go of those for whom there is no partner
          weft.sleep(20 * unit)
          parked()
          local statistics = q:statistics()
          assert(statistics.getters == 0 or statistics.size == 0 and statistics.putters == 0)
          assert(statistics.putters == 0 or statistics.size == 3)
          if statistics.getters > 0 then
            extra = extra + 0.5
            l.put_one(extra)
          elseif not q:empty() then
            l.get_one()
            q:task_done()
          end
        end
      end
    end)
  end
end)

describe("shows itself:", function()
  for _, case in ipairs {
    { "Queue<size=0>", "queue" },
    { "Queue<size=2 maxsize=5>", "queue", 5, 2 },
    { "Queue<size=1 shutdown>", "queue", nil, 1, true },
    { "PriorityQueue<size=1 maxsize=1>", "priority_queue", 1, 1 },
    { "LifoQueue<size=2 maxsize=3 shutdown>", "lifo_queue", 3, 2, true },
  } do
    it(case[1], function()
      local q = weft[case[2]](case[3])
      for i = 1, case[4] or 0 do
        q:put_nowait(i)
      end
      if case[5] then
        q:shutdown()
      end
      assert.equal(case[1], tostring(q))
    end)
  end

  each_kind("statistics", function(new)
    local q = new(2)
    assert.same({ size = 0, maxsize = 2, getters = 0, putters = 0, unfinished = 0 },
      q:statistics())
    local getters = start(3, function() q:get() end)
    assert.equal(3, q:statistics().getters)
    fill(q, 1, 2, 3, 4, 5)
    local putters = start(4, function() q:put(6) end)
    assert.same({ size = 2, maxsize = 2, getters = 0, putters = 4, unfinished = 5 },
      q:statistics())
    q:shutdown(true)
    ended(getters)
    ended(putters)
  end)
end)

describe("weft.queue at the end of a process", function()
  it("leaves nothing behind when the state is closed with tasks that wait", function()
    local text, status = support.script [[
      local weft = require "weft"
      local loop = weft.new_event_loop()
      loop:set_exception_handler(function() end)
      loop:run_until_complete(function()
        for _, kind in ipairs { "queue", "priority_queue", "lifo_queue" } do
          local empty, full = weft[kind](), weft[kind](1)
          full:put(1)
          for i = 1, 2 do
            weft.create_task(empty.get, empty)
            weft.create_task(full.put, full, i)
            weft.create_task(full.join, full)
          end
        end
        weft.sleep(0)
        weft.sleep(0)
      end)
      print(#weft.all_tasks(loop))
    ]]
    assert.same({ "18\n", 0 }, { text, status })
  end)
end)
