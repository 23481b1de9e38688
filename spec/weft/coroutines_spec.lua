-- SPDX-License-Identifier: MIT
-- weft.coroutines: any coroutine inside a task may wait, its own yields reach its own resumer,
-- and outside tasks coroutines are as they were.

local weft = require "weft"
local core = require "weft.core"
local support = require "spec.support"
local testing = require "weft.testing"

local unpack = table.unpack or unpack
local is_jit = rawget(_G, "jit") ~= nil

local function pack(...)
  return { n = select("#", ...), ... }
end

-- fn(...) in `depth` coroutines, one inside the other.
local function nested(depth, fn, ...)
  if depth == 0 then
    return fn(...)
  end
  return coroutine.wrap(nested)(depth - 1, fn, ...)
end

-- The same by coroutine.create and resume.
local function nested_by_resume(depth, fn, ...)
  if depth == 0 then
    return fn(...)
  end
  local co = coroutine.create(nested_by_resume)
  local results = pack(coroutine.resume(co, depth - 1, fn, ...))
  if not results[1] then
    error(results[2], 0)
  end
  return unpack(results, 2, results.n)
end

-- A future and a function that sets its results from a callback, in a later turn.
local function soon(...)
  local future = weft.create_future()
  weft.get_running_loop():call_later(1, function(...) future:set_result(...) end, ...)
  return future
end

describe("a wait in a coroutine inside a task", function()
  it("returns what it waited for, at any depth", support.virtual(function()
    for depth = 1, 50 do
      for _, nest in ipairs { nested, nested_by_resume } do
        assert.same({ n = 4, 1, nil, "x", depth }, pack(nest(depth, function(a, b)
          weft.sleep(1)
          return soon(a, b, "x", depth):await()
        end, 1, nil)))
      end
    end
  end))

  it("raises what was awaited, through all of them", support.virtual(function()
    local value = {}
    for depth = 1, 50 do
      local function fail()
        weft.await(function()
          weft.sleep(1)
          error(value)
        end)
      end
      assert.equal(value, support.error_of(nested, depth, fail))
      assert.equal(value, support.error_of(nested_by_resume, depth, fail))
    end
  end))

  it("is broken off by a cancel, at any depth", support.virtual(function()
    for depth = 1, 50 do
      local inner
      local task = weft.create_task(nested, depth, function()
        inner = support.error_of(weft.sleep, 100)
        error(inner, 0)
      end)
      testing.wait_all_parked()
      task:cancel("enough")
      local e = support.raises("cancelled", task.await, task)
      assert.equal("enough", e.message)
      assert.equal(inner, support.raises("cancelled", task.result, task).cause or inner)
      assert.is_true(task:cancelled())
    end
  end))

  it("is broken off by a time limit further out", support.virtual(function()
    local loop = weft.get_running_loop()
    for _, depth in ipairs { 1, 7, 50 } do
      local start = loop:time()
      support.raises("timeout", weft.timeout, 2, nested, depth, weft.sleep, 100)
      assert.near(2, loop:time() - start, 1e-6)
    end
  end))

  it("goes on through many waits, with a collection at each step", support.virtual(function()
    testing.gc_stress(function()
      assert.equal(20, nested(7, function()
        local sum = 0
        for _ = 1, 20 do
          weft.sleep(0)
          sum = sum + soon(1):await()
        end
        return sum
      end))
    end)
  end))

  it("may be one of a hundred tasks with chains of their own", support.virtual(function()
    local tasks = {}
    for i = 1, 100 do
      tasks[i] = function()
        return nested(i % 10, function()
          for _ = 1, i % 7 do
            weft.sleep(i % 3)
          end
          return i
        end)
      end
    end
    local results = weft.gather(tasks)
    for i = 1, 100 do
      assert.equal(i, results[i])
    end
  end))

  it("passes many values in both directions", support.virtual(function()
    local values = {}
    for i = 1, 200 do
      values[i] = i
    end
    local co = coroutine.create(function(...)
      weft.sleep(1)
      local got = pack(coroutine.yield(...))
      weft.sleep(1)
      return unpack(got, 1, got.n)
    end)
    local first = pack(coroutine.resume(co, unpack(values)))
    assert.same({ true, 1, 200, 201 }, { first[1], first[2], first[201], first.n })
    local second = pack(coroutine.resume(co, nil, nil, nil))
    assert.same({ n = 4, true }, second)
    assert.equal("dead", coroutine.status(co))
  end))
end)

describe("a generator that waits", function()
  local function count(n, delay)
    return coroutine.wrap(function()
      for i = 1, n do
        weft.sleep(delay)
        coroutine.yield(i)
      end
    end)
  end

  it("yields to the loop that it is the iterator of", support.virtual(function()
    local loop = weft.get_running_loop()
    local start, got = loop:time(), {}
    for i in count(5, 2) do
      got[#got + 1] = i
      assert.near(2 * i, loop:time() - start, 1e-6)
    end
    assert.same({ 1, 2, 3, 4, 5 }, got)
  end))

  it("may be made of generators", support.virtual(function()
    local function tree(depth)
      return coroutine.wrap(function()
        if depth == 0 then
          weft.sleep(1)
          coroutine.yield("leaf")
          return
        end
        for _ = 1, 2 do
          for leaf in tree(depth - 1) do
            weft.sleep(0)
            coroutine.yield(leaf)
          end
        end
      end)
    end
    local leaves = 0
    for leaf in tree(5) do
      assert.equal("leaf", leaf)
      leaves = leaves + 1
    end
    assert.equal(32, leaves)
  end))

  it("gets what it is resumed with, after any number of waits", support.virtual(function()
    local got = {}
    local co = coroutine.create(function(a)
      got[1] = a
      for i = 2, 4 do
        weft.sleep(1)
        weft.sleep(0)
        got[i] = coroutine.yield("out" .. i)
        weft.yield()
      end
      return "end"
    end)
    assert.same({ true, "out2" }, { coroutine.resume(co, "in1") })
    assert.equal("suspended", coroutine.status(co))
    assert.same({ true, "out3" }, { coroutine.resume(co, "in2") })
    assert.same({ true, "out4" }, { coroutine.resume(co, "in3") })
    assert.same({ true, "end" }, { coroutine.resume(co, "in4") })
    assert.same({ "in1", "in2", "in3", "in4" }, got)
    assert.equal("dead", coroutine.status(co))
    assert.is_false(coroutine.resume(co))
  end))

  it("may be stepped by one task after the other", support.virtual(function()
    local step = count(6, 1)
    local got = {}
    for _ = 1, 3 do
      got[#got + 1] = weft.await(step)
      got[#got + 1] = step()
    end
    assert.same({ 1, 2, 3, 4, 5, 6 }, got)
  end))

  it("may be begun outside of tasks and go on inside, and the reverse", support.outside(function()
    local co = coroutine.create(function()
      coroutine.yield(1)
      weft.sleep(0)
      coroutine.yield(2)
      coroutine.yield(3)
      return pcall(weft.sleep, 0)
    end)
    assert.same({ true, 1 }, { coroutine.resume(co) })
    assert.same({ true, 2 }, weft.run(function() return { coroutine.resume(co) } end))
    assert.same({ true, 3 }, { coroutine.resume(co) })
    local _, ok, e = coroutine.resume(co)
    assert.is_false(ok)
    assert.equal("ENOTASK", e.code)
  end))

  it("raises its error at its consumer, which can go on", support.virtual(function()
    local value = {}
    local step = coroutine.wrap(function()
      coroutine.yield(1)
      weft.sleep(1)
      error(value)
    end)
    assert.equal(1, step())
    assert.equal(value, support.error_of(step))
    assert.matches("cannot resume dead coroutine", support.error_of(step))
    weft.sleep(1)
  end))

  it("is at its end when a cancel strikes its wait", support.virtual(function()
    local co = coroutine.create(function()
      coroutine.yield(1)
      weft.sleep(100)
      coroutine.yield(2)
    end)
    local results
    local task = weft.create_task(function()
      coroutine.resume(co)
      results = pack(coroutine.resume(co))
      weft.sleep(0)
    end)
    testing.wait_all_parked()
    task:cancel()
    support.raises("cancelled", task.await, task)
    assert.is_false(results[1])
    assert.is_true(weft.is_error(results[2], "cancelled"))
    assert.equal("dead", coroutine.status(co))
  end))

  it("that waits can be left to the collector with its loop", support.outside(function()
    local watched = setmetatable({}, { __mode = "k" })
    local loop = weft.new_event_loop()
    loop:set_exception_handler(function() end)
    local co = coroutine.create(function()
      coroutine.yield(1)
      weft.create_future():await()
    end)
    watched[co] = true
    local task = loop:create_task(function()
      coroutine.resume(co)
      return nested(3, coroutine.resume, co)
    end)
    while not core.is_parked(co) do
      loop:run_once()
    end
    loop:close()
    assert.equal("normal", coroutine.status(co))
    local ok, e = coroutine.resume(co)
    assert.is_false(ok)
    assert.is_true(weft.is_error(e, "state"))
    assert.is_true(task:cancelled())
    co, task, loop, e = nil, nil, nil, nil -- luacheck: ignore 311 331
    collectgarbage()
    collectgarbage()
    assert.is_nil((next(watched)))
  end))

  it("that is dropped between two steps takes nothing along", support.virtual(function()
    local sem = weft.semaphore(1)
    local step = coroutine.wrap(function()
      sem:with(function()
        weft.sleep(1)
        coroutine.yield(1)
      end)
    end)
    assert.equal(1, step())
    assert.equal(0, sem:statistics().free) -- as in plain Lua: nobody finished it
    step = nil -- luacheck: ignore 311
    collectgarbage()
    collectgarbage()
    weft.sleep(1)
  end))
end)

--- where a wait works ----------------------------------------------------------------

-- What can stand between a task and its wait. Each calls `wait` and returns what it gives.
local WAYS = {
  { "pcall", function(wait) return select(2, assert(pcall(wait))) end },
  { "xpcall", function(wait) return select(2, assert(xpcall(wait, print))) end },
  { "a pcall in a pcall", function(wait)
    return select(3, pcall(pcall, wait))
  end },
  { "weft.try", function(wait) return select(2, assert(weft.try(wait))) end },
  { "an iterator", function(wait)
    local result
    for value in function(_, last) return not last and wait() or nil end do
      result = value
    end
    return result
  end },
  { "a vararg call", function(wait)
    return (select(2, (function(...) return ... end)(1, wait())))
  end },
  { "a tail call", function(wait) return wait() end },
}

local function with_metamethod(event, use)
  WAYS[#WAYS + 1] = { event, function(wait)
    local result
    local meta = { [event] = function()
      result = wait()
      return result
    end }
    use(setmetatable({}, meta), setmetatable({}, meta))
    return result
  end }
end

with_metamethod("__index", function(a) return a.x end)
with_metamethod("__newindex", function(a) a.x = 1 end)
with_metamethod("__call", function(a) return a() end)
with_metamethod("__add", function(a, b) return a + b end)
with_metamethod("__unm", function(a) return -a end)
with_metamethod("__concat", function(a) return a .. "x" end)
with_metamethod("__eq", function(a, b) return a == b end)
with_metamethod("__lt", function(a, b) return a < b end)
with_metamethod("__le", function(a, b) return a <= b end)
if not is_jit then -- LuaJIT has these events for userdata only, or not at all
  with_metamethod("__len", function(a) return #a end)
  with_metamethod("__idiv", load "local a, b = ... return a // b")
  with_metamethod("__close", load "local a <close> = ...")
end

describe("a wait passes through", function()
  for _, way in ipairs(WAYS) do
    local name, through = way[1], way[2]

    it(name, support.virtual(function()
      assert.equal("x", through(function()
        weft.sleep(1)
        return soon("x"):await()
      end))
    end))

    it(name .. ", in a coroutine inside the task", support.virtual(function()
      local step = coroutine.wrap(function()
        coroutine.yield("first")
        coroutine.yield(through(function()
          weft.sleep(1)
          return "x"
        end))
        return "last"
      end)
      assert.equal("first", step())
      assert.equal("x", step())
      assert.equal("last", step())
    end))

    it(name .. ", and is broken off there", support.virtual(function()
      local seen
      local task = weft.create_task(function()
        return through(function()
          seen = support.error_of(weft.sleep, 100)
          return "after"
        end)
      end)
      testing.wait_all_parked()
      task:cancel()
      assert.equal("after", (task:await()))
      assert.is_true(weft.is_error(seen, "cancelled"))
    end))
  end
end)

--- where it is impossible ---------------------------------------------------------------

local function in_gc(fn)
  if rawget(_G, "newproxy") then
    getmetatable(newproxy(true)).__gc = fn -- luacheck: ignore 113
  else
    setmetatable({}, { __gc = fn })
  end
  collectgarbage()
  collectgarbage()
end

local module_count = 0

local PLACES = {
  { "table.sort", "a comparator of table.sort", function(fn)
    table.sort({ 1, 2 }, function(a, b)
      fn()
      return a < b
    end)
  end },
  { "string.gsub", "a callback of string.gsub", function(fn) string.gsub("x", ".", fn) end },
  { "require", "through require", function(fn)
    module_count = module_count + 1
    local name = "spec_module_" .. module_count
    package.preload[name] = function() fn() end
    require(name)
    package.preload[name], package.loaded[name] = nil, nil
  end },
  { "load", "through load", function(fn)
    load(function() fn() end)
  end },
  { "a finalizer", is_jit and "a C function, a finalizer or an error handler"
    or "a __gc metamethod", in_gc },
  { "a handler of xpcall", "a C function, a finalizer or an error handler", function(fn)
    xpcall(error, function() fn() end)
  end },
  { "a generator inside a comparator", "a comparator of table.sort", function(fn)
    table.sort({ 1, 2 }, function(a, b)
      nested(3, fn)
      return a < b
    end)
  end },
}
if is_jit then -- Lua 5.4's can be waited in
  PLACES[#PLACES + 1] = { "dofile", "through dofile", function(fn)
    local path = os.tmpname()
    local file = assert(io.open(path, "w"))
    file:write("spec_callback()")
    file:close()
    rawset(_G, "spec_callback", fn)
    dofile(path)
    rawset(_G, "spec_callback", nil)
    os.remove(path)
  end }
end

-- name, make() -> a wait and a function that tells all that it could have changed
local WAITS = {
  { "sleep", function() return function() weft.sleep(1) end end },
  { "sleep(0)", function() return weft.yield end },
  { "awaiting a function", function()
    return function() weft.await(function() end) end
  end },
  { "awaiting a future", function()
    local future = weft.create_future()
    return function() future:await() end
  end },
  { "awaiting a task", function()
    local task = weft.create_task(function() return 1 end)
    return function() task:await() end, nil, function() task:await() end
  end },
  { "shield", function()
    return function() weft.shield(function() end) end
  end },
  { "gather", function()
    return function() weft.gather(function() end, function() end) end
  end },
  { "wait", function()
    return function() weft.wait { function() end } end
  end },
  { "wait_for", function()
    return function() weft.wait_for(function() end, 1) end
  end },
  { "a step of map", function()
    local map = weft.map({ 1 }, function() end)
    return function() map() end
  end },
  { "a semaphore's acquire", function()
    local sem = weft.semaphore(1)
    sem:acquire()
    return function() sem:acquire() end, function() return tostring(sem) end
  end },
  { "a lock's with", function()
    local lock = weft.lock()
    lock:acquire()
    return function() lock:with(function() end) end, function() return tostring(lock) end
  end },
  { "an event's wait", function()
    local event = weft.event()
    return function() event:wait() end, function() return tostring(event) end
  end },
  { "a queue's get", function()
    local queue = weft.queue()
    return function() queue:get() end, function() return tostring(queue) end
  end },
  { "a queue's put", function()
    local queue = weft.queue(1)
    queue:put(1)
    return function() queue:put(2) end, function() return tostring(queue) end
  end },
  { "a barrier's wait", function()
    local barrier = weft.barrier(2)
    return function() barrier:wait() end, function() return tostring(barrier) end
  end },
}

describe("a wait is refused, by name and without a trace, in", function()
  for _, place in ipairs(PLACES) do
    it(place[1], support.virtual(function()
      for _, case in ipairs(WAITS) do
        local wait, state, tidy = case[2]()
        local before = state and state()
        local e
        place[3](function()
          -- The tables of C functions in a finalizer are not to change what is counted.
          local counts = weft.statistics()
          local ok, problem = pcall(wait)
          local after = weft.statistics()
          e = not ok and problem or error(case[1] .. " did not raise")
          assert(counts.created == after.created, case[1])
          assert(counts.timers == after.timers, case[1])
        end)
        assert.is_true(weft.is_error(e, "state"), case[1] .. ": " .. tostring(e))
        assert.equal("EBLOCKED", e.code, case[1])
        assert.matches(place[2], e.message, 1, true)
        assert.equal(before, state and state(), case[1])
        if tidy then
          tidy()
        end
      end
      weft.sleep(1) -- and all goes on
    end))
  end

  it("dofile on LuaJIT only", support.virtual(function()
    local path = os.tmpname()
    local file = assert(io.open(path, "w"))
    file:write("require 'weft'.sleep(1) return 'x'")
    file:close()
    local ok, result = pcall(dofile, path)
    os.remove(path)
    if is_jit then
      assert.is_true(weft.is_error(result, "state"))
    else
      assert.same({ true, "x" }, { ok, result })
    end
  end))

  it("none of these places, if there is nothing to wait for", support.virtual(function()
    local sem, done = weft.semaphore(1), weft.create_future()
    done:set_result("x")
    for _, place in ipairs(PLACES) do
      local got
      place[3](function()
        sem:acquire()
        got = done:await()
        sem:release()
      end)
      assert.equal("x", got, place[1])
      assert.equal(1, sem:statistics().free)
    end
  end))

  it("coroutines that do not wait work in these places", support.virtual(function()
    for _, place in ipairs(PLACES) do
      local got
      place[3](function()
        local step = coroutine.wrap(function()
          coroutine.yield(1)
          coroutine.yield(2)
        end)
        got = { step(), step() }
      end)
      assert.same({ 1, 2 }, got, place[1])
    end
  end))
end)

--- who may resume -------------------------------------------------------------------

describe("while something in a chain waits", function()
  -- Parks a chain of three coroutines in a task of its own.
  local function parked_chain()
    local chain, gate = {}, weft.create_future()
    local function go(depth)
      chain[depth] = coroutine.running()
      if depth == 3 then
        return gate:await()
      end
      return coroutine.wrap(go)(depth + 1)
    end
    local task = weft.create_task(go, 1)
    testing.wait_all_parked()
    return chain, gate, task
  end

  it("all of it is normal", support.virtual(function()
    local chain, gate, task = parked_chain()
    for depth = 1, 3 do
      assert.equal("normal", coroutine.status(chain[depth]))
    end
    gate:set_result("x")
    assert.equal("normal", coroutine.status(chain[3])) -- it is ready and has not run
    assert.equal("x", (task:await()))
    for depth = 2, 3 do
      assert.equal("dead", coroutine.status(chain[depth]))
    end
  end))

  it("nobody can resume it: not a task, a coroutine, a callback", support.virtual(function()
    local chain, gate, task = parked_chain()
    local refused = 0
    local function try()
      for depth = 1, 3 do
        local results = pack(coroutine.resume(chain[depth], "stray"))
        assert(results.n == 2 and results[1] == false)
        assert(weft.is_error(results[2], "state") and results[2].code == "parked")
        assert(results[2].message == "cannot resume a coroutine that is waiting in a task")
        refused = refused + 1
      end
    end
    try()
    nested(2, try)
    weft.await(try)
    local done = weft.create_future()
    weft.get_running_loop():call_soon(function()
      try()
      done:set_result()
    end)
    done:await()
    assert.equal(12, refused)
    gate:set_result("x")
    assert.equal("x", (task:await()))
  end))

  it("nobody can resume it from outside the run", support.outside(function()
    local loop = weft.new_event_loop()
    local chain, gate, task
    loop:run_until_complete(function()
      chain, gate, task = parked_chain()
    end)
    for depth = 1, 3 do
      local ok, e = coroutine.resume(chain[depth])
      assert.is_false(ok)
      assert.is_true(weft.is_error(e, "state"))
      assert.equal("normal", coroutine.status(chain[depth]))
    end
    gate:set_result("x")
    assert.equal("x", (loop:run_until_complete(task)))
    loop:close()
  end))

  it("a second consumer's step raises, and the first gets its item", support.virtual(function()
    local step = coroutine.wrap(function()
      for i = 1, 3 do
        weft.sleep(1)
        coroutine.yield(i)
      end
    end)
    local first = weft.create_task(step)
    testing.wait_all_parked()
    local e = support.raises({ "state", "parked" }, step)
    assert.equal("state: cannot resume a coroutine that is waiting in a task (parked)",
      tostring(e))
    assert.equal(1, (first:await()))
    assert.equal(2, step())
  end))

  it("who resumes is normal, who is resumed is running", support.virtual(function()
    local outer = coroutine.running()
    local inner
    inner = coroutine.create(function()
      assert(coroutine.status(outer) == "normal")
      assert(coroutine.status(inner) == "running")
      assert(coroutine.running() == inner)
      weft.sleep(1)
      assert(coroutine.status(outer) == "normal")
      assert(coroutine.status(inner) == "running")
      assert(coroutine.running() == inner)
      assert(not coroutine.resume(outer))
      assert(not coroutine.resume(inner))
      return "fine"
    end)
    assert.equal("suspended", coroutine.status(inner))
    assert.same({ true, "fine" }, { coroutine.resume(inner) })
    assert.equal(outer, coroutine.running())
    assert.equal("running", coroutine.status(outer))
  end))

  it("a task's coroutine that passes its turn cannot be resumed either", support.virtual(function()
    local co
    local task = weft.create_task(function()
      co = coroutine.running()
      for _ = 1, 3 do
        weft.sleep(0)
      end
      return "x"
    end)
    weft.sleep(0)
    assert.is_false((coroutine.resume(co)))
    assert.equal("normal", coroutine.status(co))
    assert.equal("x", (task:await()))
    assert.is_false((coroutine.resume(co)))
  end))

  it("a task that has not started cannot be run by hand", support.virtual(function()
    local co
    weft.await(function() co = coroutine.running() end)
    local runs = 0
    local task = weft.create_task(function(a) -- it may get the coroutine of the last one
      runs = runs + 1
      assert(coroutine.running() == co)
      return a
    end, "x")
    local ok, e = coroutine.resume(co)
    assert.is_false(ok)
    assert.is_true(weft.is_error(e, "state"))
    assert.equal("normal", coroutine.status(co))
    assert.equal(0, runs)
    assert.equal("x", (task:await()))
    assert.equal(1, runs)
  end))
end)

if rawget(coroutine, "close") then -- LuaJIT has none
  describe("coroutine.close", function()
    local close = rawget(coroutine, "close")

    it("is refused for a coroutine that waits, which goes on", support.virtual(function()
      local co
      local task = weft.create_task(function()
        co = coroutine.create(function()
          weft.sleep(1)
          return "x"
        end)
        return select(2, coroutine.resume(co))
      end)
      testing.wait_all_parked()
      local e = support.raises({ "state", "parked" }, close, co)
      assert.equal("cannot close a coroutine that is waiting in a task", e.message)
      assert.equal("x", (task:await()))
    end))

    it("closes one that is between two steps, with what it holds", support.virtual(function()
      local closed
      local co = coroutine.create(load([[
        local weft, note = ...
        return function()
          local guard <close> = setmetatable({}, { __close = note })
          weft.sleep(1)
          coroutine.yield(1)
        end]])(weft, function() closed = true end))
      assert.same({ true, 1 }, { coroutine.resume(co) })
      assert.is_true(close(co))
      assert.is_true(closed)
      assert.equal("dead", coroutine.status(co))
    end))

    it("gives the error of what cannot wait there", support.virtual(function()
      local sem = weft.semaphore(0)
      local co = coroutine.create(load([[
        local sem = ...
        return function()
          local guard <close> = setmetatable({}, { __close = function() sem:acquire() end })
          coroutine.yield(1)
        end]])(sem))
      coroutine.resume(co)
      local ok, e = close(co)
      assert.is_false(ok)
      assert.is_true(weft.is_error(e, "state"))
      assert.equal(0, sem:statistics().waiting)
      weft.sleep(1)
    end))
  end)

  describe("__close in a task", function()
    local with_guard = load [[
      local guard, fn = ...
      local kept <close> = guard
      return fn()]]

    it("may wait on the way out, after a return and after an error", support.virtual(function()
      local loop = weft.get_running_loop()
      local start = loop:time()
      local guard = setmetatable({}, { __close = function() weft.sleep(1) end })
      assert.equal(5, with_guard(guard, function() return 5 end))
      assert.near(1, loop:time() - start, 1e-6)
      assert.equal("x", support.error_of(with_guard, guard, function() error("x", 0) end))
      assert.near(2, loop:time() - start, 1e-6)
    end))
  end)
end

--- errors ---------------------------------------------------------------------------

describe("an error in a coroutine", function()
  it("comes out of resume and wrap as it was", support.virtual(function()
    for _, value in ipairs { "text", { "table" }, weft.Error { kind = "dns" }, 5, false } do
      local function fail()
        weft.sleep(1)
        error(value, 0)
      end
      local co = coroutine.create(fail)
      local results = pack(coroutine.resume(co))
      assert.equal(2, results.n)
      assert.is_false(results[1])
      assert.equal(value, results[2])
      assert.equal("dead", coroutine.status(co))
      assert.equal(value, support.error_of(coroutine.wrap(fail)))
    end
    assert.same({ n = 2, false, nil }, pack(coroutine.resume(coroutine.create(function()
      weft.sleep(1)
      error()
    end))))
  end))

  it("leaves the stack to debug.traceback", support.virtual(function()
    local co = coroutine.create(function()
      local function a_name_to_find()
        weft.sleep(1)
        error("x", 0)
      end
      a_name_to_find()
      return 1
    end)
    coroutine.resume(co)
    assert.matches("a_name_to_find", debug.traceback(co))
  end))

  it("is in the traceback of the task, with all coroutines through which it came",
    support.virtual(function()
      for _, depth in ipairs { 1, 2, 5, 50 } do
        local function climb(n)
          if n > 0 then
            coroutine.wrap(climb)(n - 1)
            return 1
          end
          weft.sleep(1)
          local function where_it_fails() error("the reason", 0) end
          where_it_fails()
          return 1
        end
        local task = weft.create_task(function()
          climb(depth)
          return 1
        end)
        assert.equal("the reason", support.error_of(task.await, task))
        local text = task:traceback()
        assert.matches("^in [^\n]*Task%-%d+:\n", text)
        assert.matches("where_it_fails", text)
        local _, stacks = text:gsub("stack traceback:", "")
        assert.equal(depth + 1, stacks)
        local _, links = text:gsub("\nresumed by\n", "")
        assert.equal(depth, links)
      end
    end))

  it("that was caught is not in the traceback of the next", support.virtual(function()
    local task = weft.create_task(function()
      pcall(coroutine.wrap(function()
        local function the_first() error("same", 0) end
        the_first()
        return 1
      end))
      coroutine.wrap(function()
        local function the_second() error("same", 0) end
        the_second()
        return 1
      end)()
      return 1
    end)
    assert.equal("same", support.error_of(task.await, task))
    assert.matches("the_second", task:traceback())
    assert.is_nil(task:traceback():match("the_first"))
  end))

  it("does not pile up in a task that catches it again and again", support.virtual(function()
    local function fail() error("same", 0) end
    for _ = 1, 10 do
      nested(3, pcall, coroutine.wrap(fail))
    end
    collectgarbage()
    collectgarbage()
    local before = collectgarbage("count")
    for _ = 1, support.rounds(10000) do
      pcall(coroutine.wrap(fail))
    end
    collectgarbage()
    collectgarbage()
    assert.is_true(collectgarbage("count") - before < 100)
  end))

  if rawget(coroutine, "close") then -- LuaJIT has no <close>
    it("in a wrapped coroutine closes it, inside tasks and out", function()
      local make = load [[
        local note, value = ...
        return coroutine.wrap(function()
          local guard <close> = setmetatable({}, { __close = note })
          coroutine.yield()
          error(value, 0)
        end)]]
      local function check()
        local noted
        local step = make(function(_, e) noted = e end, "x")
        step()
        local ok, e = pcall(step)
        assert(not ok and e == "x" and noted == "x", e)
        step = make(function() error("another", 0) end, "x")
        step()
        assert(select(2, pcall(step)) == "another")
      end
      check()
      support.run(check)()
    end)
  end
end)

--- misuse -----------------------------------------------------------------------------

describe("a bare coroutine.yield", function()
  it("in a task's own coroutine raises state there", support.virtual(function()
    local e = support.raises({ "state", "EYIELD" }, function()
      coroutine.yield(1, 2, 3)
      error("not here")
    end)
    assert.matches("coroutine.yield outside a coroutine that somebody resumed", e.message)
    weft.sleep(1)
    support.raises({ "state", "EYIELD" }, function() coroutine.yield() return 1 end)
  end))

  it("fails the task if nobody catches it", support.virtual(function()
    local task = weft.create_task(function()
      weft.sleep(1)
      coroutine.yield()
      return 1
    end)
    support.raises({ "state", "EYIELD" }, task.await, task)
    task = weft.create_task(coroutine.yield, 1)
    assert.is_true((pcall(task.await, task))) -- it has run nothing of Lua that could raise
  end))

  it("keeps a debug hook", support.virtual(function()
    local lines = 0
    local function hook() lines = lines + 1 end
    local task = weft.create_task(function()
      debug.sethook(hook, "", 1000)
      pcall(function() coroutine.yield() return 1 end)
      local same = debug.gethook() == hook
      debug.sethook()
      return same
    end)
    assert.is_true((task:await()))
  end))
end)

describe("a resume that was taken before weft was loaded", function()
  local function script(body)
    local text, status = support.script([[
      local resume, wrap, create = coroutine.resume, coroutine.wrap, coroutine.create
      local status, yield = coroutine.status, coroutine.yield
      local weft = require "weft"
      local loop = weft.new_event_loop()
      loop:set_exception_handler(function(_, context) print(context.message) end)
      ]] .. body .. "\nprint 'end'")
    assert.equal(0, status, text)
    return text
  end

  it("works for coroutines that do not wait", function()
    assert.equal("1\t2\nend\n", script [[
      weft.run(function()
        local step = wrap(function() yield(1) yield(2) end)
        print(step(), step())
      end)]])
  end)

  it("gets a clear error for those that do, and nothing is changed", function()
    local text = script [[
      weft.run(function()
        local sem, created = weft.semaphore(1), weft.statistics().created
        for _, wait in ipairs { weft.yield, function() weft.sleep(1) end,
          function() weft.await(function() end) end, function() sem:acquire() sem:acquire() end,
          function() weft.gather(function() end) end } do
          local ok, e = resume(create(wait))
          assert(not ok and weft.is_error(e, "state") and e.code == "EFOREIGN", e)
          print(e.message)
        end
        assert(sem:statistics().free == 0 and sem:statistics().waiting == 0)
        assert(weft.statistics().created == created)
        weft.sleep(0)
      end)]]
    local line = "cannot wait in this coroutine: it was resumed by a function that was taken "
      .. "from the coroutine library before weft was loaded\n"
    assert.equal(line:rep(5) .. "end\n", text)
  end)

  it("gets it at any depth below", function()
    assert.equal("EFOREIGN\tEFOREIGN\nend\n", script [[
      weft.run(function()
        local function wait() return select(2, pcall(weft.sleep, 0)).code end
        local function inner() return coroutine.wrap(wait)() end
        local _, code = resume(create(inner))
        print(code, coroutine.wrap(function() return wrap(inner)() end)())
      end)]])
  end)

  it("ends the wait of a task that it resumes, and the task with a state error", function()
    assert.equal("false\tERESUMED\nsuspended\nERESUMED\nend\n", script [[
      weft.run(function()
        local co
        local task = weft.create_task(function()
          co = coroutine.running()
          local ok, e = pcall(weft.sleep, 1e-3)
          print(ok, e.code)
          yield()
          print "not here"
        end)
        weft.sleep(0)
        print(resume(co) and status(co))
        local ok, e = pcall(task.await, task)
        print(e.code)
        weft.await(function() weft.sleep(0) end)
      end)]])
  end)

  it("may do so from outside a run, to the end", function()
    assert.equal("ENOTASK\ndead\nERESUMED\nend\n", script [[
      local co
      local task = loop:create_task(function()
        co = coroutine.running()
        pcall(weft.sleep, 1e-3)
        local ok, e = pcall(weft.sleep, 0)
        print(e.code)
      end)
      loop:run_once()
      resume(co)
      print(status(co))
      local ok, e = pcall(loop.run_until_complete, loop, task)
      print(e.code)
      loop:close()]])
  end)

  it("may do so to one in the middle of a chain", function()
    assert.equal("ERESUMED\nend\n", script [[
      weft.run(function()
        local middle
        local task = weft.create_task(function()
          coroutine.wrap(function()
            middle = coroutine.running()
            coroutine.wrap(function() weft.sleep(1e-3) end)()
          end)()
        end)
        weft.sleep(0)
        resume(middle)
        local ok, e = pcall(task.await, task)
        print(e.code)
      end)]])
  end)

  it("cannot run a task that has not started", function()
    assert.equal("false\nERESUMED\nend\n", script [[
      weft.run(function()
        local co
        weft.await(function() co = coroutine.running() end)
        local task = weft.create_task(function(a) print(a) end, "ran")
        print((resume(co)))
        local ok, e = pcall(task.await, task)
        print(e.code)
        local other = weft.create_task(function() end, 1)
        other:cancel()
        pcall(other.await, other)
      end)]])
  end)
end)

describe("too many coroutines inside one another", function()
  it("are an error, not a crash", support.virtual(function()
    local e = support.error_of(nested, 100000, function() end)
    assert.matches("C stack overflow", e)
    local reached = 0
    table.sort({ 1, 2 }, function(a, b) -- where none of them may wait
      e = support.error_of(nested, 100000, function() reached = reached + 1 end)
      return a < b
    end)
    assert.matches("C stack overflow", e)
    assert.equal(0, reached)
    assert.equal("x", nested(50, function()
      weft.sleep(1)
      return "x"
    end))
  end))

  it("may be as many as Lua 5.4 allows", support.virtual(function()
    assert.equal("x", nested(150, function()
      weft.sleep(1)
      return "x"
    end))
  end))
end)

--- outside tasks --------------------------------------------------------------------

describe("coroutines outside tasks", function()
  it("work as they did", support.outside(function()
    local co = coroutine.create(function(a, b)
      local c = coroutine.yield(a + b)
      error(c, 0)
    end)
    assert.equal("suspended", coroutine.status(co))
    assert.same({ true, 3 }, { coroutine.resume(co, 1, 2) })
    assert.same({ false, "x" }, { coroutine.resume(co, "x") })
    assert.equal("dead", coroutine.status(co))
    assert.same({ false, "cannot resume dead coroutine" }, { coroutine.resume(co) })
    local step = coroutine.wrap(function(...)
      coroutine.yield(...)
      return "end"
    end)
    assert.same({ n = 3, 1, nil, nil }, pack(step(1, nil, nil)))
    assert.equal("end", step())
    assert.matches("cannot resume dead coroutine", support.error_of(step))
  end))

  it("have the caller's place before the text of an error, as they had", support.outside(function()
    local function call(fn)
      return coroutine.wrap(fn)() or nil
    end
    local _, e = pcall(call, function() error("x", 0) end)
    assert.matches("^[^\n]*coroutines_spec.lua:%d+: x$", e)
    local value = {}
    _, e = pcall(call, function() error(value) end)
    assert.equal(value, e)
  end))

  it("refuse what is no coroutine and no function, as they did", support.outside(function()
    assert.matches("bad argument #1", support.error_of(coroutine.resume, 5))
    assert.matches("bad argument #1", support.error_of(coroutine.resume))
    assert.matches("bad argument #1", support.error_of(coroutine.status, nil))
    assert.matches("bad argument #1", support.error_of(coroutine.wrap, {}))
    weft.run(function()
      assert.matches("bad argument #1", support.error_of(coroutine.resume, 5))
      assert.matches("bad argument #1", support.error_of(coroutine.wrap, {}))
    end)
  end))

  it("may run a loop", support.outside(function()
    assert.equal("x", nested(3, weft.run, function()
      weft.sleep(0)
      return nested(3, function()
        weft.sleep(0)
        return "x"
      end)
    end))
  end))

  it("and those in callbacks cannot wait", support.virtual(function()
    local done = weft.create_future()
    weft.get_running_loop():call_soon(function()
      done:set_result(nested(3, function()
        return pcall(weft.sleep, 0)
      end))
    end)
    local ok, e = done:await()
    assert.is_false(ok)
    assert.equal("ENOTASK", e.code)
  end))
end)

describe("coroutine.running and isyieldable", function()
  it("tell of the task's coroutine, or the one inside it", support.virtual(function()
    local main = coroutine.running()
    assert.equal("thread", type(main))
    local other = weft.await(coroutine.running)
    assert.equal("thread", type(other))
    assert.not_equal(main, other)
    nested(2, function()
      local inner = coroutine.running()
      assert.not_equal(main, inner)
      weft.sleep(1)
      assert.equal(inner, coroutine.running())
    end)
    assert.equal(main, coroutine.running())
  end))

  it("say where a wait is possible", support.virtual(function()
    assert.is_true(coroutine.isyieldable())
    assert.is_true(nested(3, coroutine.isyieldable))
    local inside
    table.sort({ 1, 2 }, function(a, b)
      inside = coroutine.isyieldable()
      return a < b
    end)
    assert.is_false(inside)
  end))
end)
