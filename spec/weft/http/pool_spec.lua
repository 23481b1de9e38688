-- SPDX-License-Identifier: MIT
-- weft.http.pool and idle: slots, who waits, who is next, and which connections stay. The
-- connections are tables that count how many of them are open.

local pools = require "weft.http.pool"
local support = require "spec.support"
local testing = require "weft.testing"
local weft = require "weft"

local raises, virtual = support.raises, support.virtual
local spawn, parked = weft.create_task, testing.wait_all_parked

local open

local Conn = {}
Conn.__index = Conn

function Conn:close()
  if not self.closed then
    self.closed = true
    open = open - 1
  end
end

function Conn:is_alive()
  return not self.closed and not self.is_dead
end

local function new_conn(name)
  open = open + 1
  return setmetatable({ name = name }, Conn)
end

-- What a transport does: takes a slot, makes a connection if it got none.
local function acquire(pool, key, host)
  local conn = pool:acquire(key, host or key)
  if not conn then
    conn = new_conn(key)
    pool:add(conn)
  end
  return conn
end

-- A task that acquires, notes its name in `order`, and waits for `conn.done`.
local function customer(pool, order, name, key, host)
  return spawn(function()
    local conn = acquire(pool, key, host)
    order[#order + 1] = name
    return conn
  end)
end

local function new(opts)
  open = 0
  return pools.new(opts)
end

-- The pool's own counts agree with what is there.
local function check(pool)
  local counts = pool:statistics()
  assert.equal(counts.open, counts.idle + counts.in_use)
  local idle = 0
  for _, group in pairs(pool._groups) do
    idle = idle + group.last - group.first + 1
    local waiters = group.waiters and group.waiters.count or 0
    assert.truthy(group.last >= group.first or waiters > 0 or counts.in_use > 0)
  end
  assert.equal(counts.idle, idle)
  for _, host in pairs(pool._hosts) do
    assert.truthy(host.in_use + host.idle <= pool.limit_per_host)
    assert.truthy(host.in_use > 0 or host.queued > 0 or host.idle > 0)
  end
  assert.truthy(pool.limit == 0 or counts.open <= pool.limit)
end

-- Nothing is left but idle connections.
local function check_quiet(pool)
  check(pool)
  local counts = pool:statistics()
  assert.same({ 0, 0, open }, { counts.in_use, counts.waiting, counts.idle })
end

describe("the pool", function()
  it("gives the idle connection that was used last", virtual(function()
    local pool = new()
    local a, b = acquire(pool, "x"), acquire(pool, "x")
    pool:put(a, "x", "x")
    pool:put(b, "x", "x")
    assert.equal(b, pool:take("x", "x"))
    assert.equal(a, pool:take("x", "x"))
    assert.is_false(pool:take("x", "x"))
    assert.same({ open = 3, idle = 0, in_use = 3, waiting = 0, reused = 2 }, pool:statistics())
    assert.is_false(pool:take("y", "y"))
    for _ = 1, 2 do
      pool:free("x")
    end
    pool:discard(a, "x")
    pool:discard(b, "x")
    check_quiet(pool)
    assert.equal(0, open)
    pool:close()
  end))

  it("does not give dead ones", virtual(function()
    local pool = new()
    local a, b = acquire(pool, "x"), acquire(pool, "x")
    pool:put(a, "x", "x")
    pool:put(b, "x", "x")
    b.is_dead = true
    assert.equal(a, pool:take("x", "x"))
    assert.is_true(b.closed)
    pool:put(a, "x", "x")
    a:close()
    assert.is_false(pool:take("x", "x"))
    pool:free("x")
    check_quiet(pool)
    pool:close()
  end))

  it("closes idle connections in time, with one timer", virtual(function()
    local pool = new { keepalive_timeout = 10 }
    local a, b = acquire(pool, "x"), acquire(pool, "y")
    pool:put(a, "x", "x")
    weft.sleep(4)
    pool:put(b, "y", "y")
    weft.sleep(5.9)
    assert.equal(2, open)
    weft.sleep(0.2)
    assert.equal(1, open)
    weft.sleep(4)
    assert.equal(0, open)
    assert.same({}, pool._groups)
    pool:close()
    assert.is_nil(pool._timer)
  end))

  it("does not reuse what is too old", virtual(function()
    local pool = new { max_age = 10, keepalive_timeout = 100 }
    local a = acquire(pool, "x")
    weft.sleep(9)
    pool:put(a, "x", "x")
    assert.equal(a, pool:take("x", "x"))
    pool:put(a, "x", "x")
    weft.sleep(2)
    assert.is_false(pool:take("x", "x"))
    pool:free("x")
    pool:close()
    assert.equal(0, open)
  end))

  it("keeps none if told so", virtual(function()
    local pool = new { keepalive_timeout = 0 }
    pool:put(acquire(pool, "x"), "x", "x")
    assert.equal(0, open)
    check_quiet(pool)
  end))

  it("refuses options that cannot be", function()
    raises({ "type", "unknown_option" }, pools.new, { limits = 1 })
    raises("type", pools.new, { limit = -1 })
    raises("type", pools.new, { limit_per_host = 1.5 })
    raises("type", pools.new, { keepalive_timeout = "x" })
  end)
end)

describe("waiting for a connection", function()
  it("is first come, first served", virtual(function()
    local pool, order = new { limit = 1 }, {}
    local a = acquire(pool, "x")
    local tasks = {}
    for i = 1, 3 do
      tasks[i] = customer(pool, order, i, "x")
    end
    parked()
    assert.equal(3, pool:statistics().waiting)
    assert.is_nil(pool:take("x", "x"))
    for i = 1, 3 do
      pool:put(a, "x", "x")
      assert.is_nil(pool:take("x", "x"))
      assert.equal(a, tasks[i]:await())
      assert.equal(i, #order)
    end
    pool:put(a, "x", "x")
    check_quiet(pool)
    pool:close()
  end))

  it("for another key closes an idle connection", virtual(function()
    local pool = new { limit = 2 }
    local a, b = acquire(pool, "x"), acquire(pool, "y")
    pool:put(a, "x", "x")
    pool:put(b, "y", "y")
    local c = acquire(pool, "z")
    assert.same({ true, nil, 2 }, { a.closed, b.closed, open })
    pool:put(c, "z", "z")
    check_quiet(pool)
    pool:close()
    assert.equal(0, open)
  end))

  it("for a full host holds nobody else up", virtual(function()
    local pool, order = new { limit_per_host = 1 }, {}
    local a = acquire(pool, "x")
    local second = customer(pool, order, "second x", "x")
    parked()
    local b = acquire(pool, "y")
    pool:put(b, "y", "y")
    check(pool)
    pool:put(a, "x", "x")
    assert.equal(a, second:await())
    pool:put(a, "x", "x")
    check_quiet(pool)
    pool:close()
  end))

  it("for a full host keeps its turn for the rest", virtual(function()
    local pool, order = new { limit = 2, limit_per_host = 1 }, {}
    local a, b = acquire(pool, "x"), acquire(pool, "y")
    local tasks = { customer(pool, order, "x", "x"), customer(pool, order, "z1", "z"),
      customer(pool, order, "z2", "z"), customer(pool, order, "v", "v") }
    parked()
    pool:discard(b, "y") -- x is full, z1 comes
    local z = tasks[2]:await()
    assert.same({ "z1" }, order)
    pool:discard(a, "x") -- x waits for longer than the others
    a = tasks[1]:await()
    pool:discard(z, "z")
    z = tasks[3]:await()
    pool:put(z, "z", "z")
    local v = tasks[4]:await()
    assert.same({ "z1", "x", "z2", "v" }, order)
    pool:put(v, "v", "v")
    pool:put(a, "x", "x")
    check_quiet(pool)
    pool:close()
  end))

  it("one limit for each host counts its connections with all keys", virtual(function()
    local pool, order = new { limit_per_host = 2 }, {}
    local a, b = acquire(pool, "x1", "x"), acquire(pool, "x2", "x")
    local third = customer(pool, order, 3, "x3", "x")
    parked()
    pool:put(a, "x1", "x")
    local c = third:await()
    assert.same({ true, nil }, { a.closed, b.closed })
    pool:put(b, "x2", "x")
    pool:put(c, "x3", "x")
    local d = acquire(pool, "x1", "x")
    assert.same({ true, nil }, { b.closed, c.closed })
    pool:put(d, "x1", "x")
    pool:close()
    assert.equal(0, open)
  end))

  it("an idle connection that served another host is closed from the middle", virtual(function()
    local pool = new { limit_per_host = 1 }
    local a, b, c = acquire(pool, "p", "x"), acquire(pool, "p", "y"), acquire(pool, "p", "z")
    pool:put(a, "p", "x")
    pool:put(b, "p", "y")
    pool:put(c, "p", "z")
    local d = acquire(pool, "q", "y")
    assert.same({ nil, true, nil }, { a.closed, b.closed, c.closed })
    pool:put(d, "q", "y")
    check_quiet(pool)
    pool:close()
    assert.equal(0, open)
  end))

  it("prefers one who can use the connection, for a while", virtual(function()
    local pool, order = new { limit = 1 }, {}
    local a = acquire(pool, "x")
    local tasks = { customer(pool, order, "y", "y") }
    for i = 1, 40 do
      tasks[#tasks + 1] = customer(pool, order, i, "x")
    end
    parked()
    local turns = 0
    repeat
      turns = turns + 1
      pool:put(a, "x", "x")
      parked()
    until order[#order] == "y" or turns > 40
    assert.equal(17, turns)
    assert.equal(16, order[16])
    pool:discard((tasks[1]:await()), "y")
    for i = 17, 40 do
      pool:put((tasks[i + 1]:await()), "x", "x")
    end
    check_quiet(pool)
    pool:close()
  end))

  it("can be cancelled, also just after the slot was given", virtual(function()
    local pool, order = new { limit = 1, limit_per_host = 1 }, {}
    local a = acquire(pool, "x")
    local first, second = customer(pool, order, 1, "x"), customer(pool, order, 2, "x")
    local third = customer(pool, order, 3, "x")
    parked()
    first:cancel()
    pool:put(a, "x", "x") -- the first has not run since
    assert.is_true(weft.shield(second) == a)
    raises("cancelled", first.await, first)
    check(pool)
    pool:put(a, "x", "x") -- the third has it
    third:cancel()
    assert.equal(a, third:await())
    pool:put(a, "x", "x")
    check_quiet(pool)
    pool:close()
  end))

  it("ends with `closed` when the pool is closed", virtual(function()
    local pool, order = new { limit = 2, limit_per_host = 1 }, {}
    local a, b = acquire(pool, "x"), acquire(pool, "y")
    pool:put(b, "y", "y")
    b = acquire(pool, "y")
    local tasks = { customer(pool, order, 1, "x"), customer(pool, order, 2, "z") }
    parked()
    pool:close()
    pool:close()
    assert.same({ true, true, 0 }, { a.closed, b.closed, open })
    for _, task in ipairs(tasks) do
      raises("closed", task.await, task)
    end
    raises("closed", pool.acquire, pool, "x", "x")
    raises("closed", pool.add, pool, new_conn("late"))
    pool:put(a, "x", "x")
    pool:free("y")
    check_quiet(pool)
  end))

  it("ends when a connection that was lost is noticed", virtual(function()
    local pool, order = new { limit = 1 }, {}
    local a = acquire(pool, "x")
    local waiter = customer(pool, order, 1, "x")
    parked()
    pool:lose(a, "x")
    assert.is_nil(a.closed)
    local b = waiter:await()
    assert.is_true(a.closed)
    pool:lose(b, "x")
    assert.is_false(pool:take("x", "x"))
    pool:free("x")
    check_quiet(pool)
    pool:close()
  end))

  it("outside of tasks is refused before anything has changed", function()
    local pool = new { limit = 1 }
    assert.is_false(pool:take("x", "x"))
    raises("state", pool.acquire, pool, "x", "x")
    assert.equal(0, pool:statistics().waiting)
  end)

  it("loses nothing when cancelled at any wait", support.outside(function()
    local pool
    testing.cancel_everywhere(function()
      pool = new { limit = 2, limit_per_host = 1 }
      local function user(key)
        return function()
          for _ = 1, 3 do
            local conn = acquire(pool, key)
            local ok, e = pcall(weft.sleep, 1)
            pool:put(conn, key, key)
            if not ok then
              error(e, 0)
            end
          end
        end
      end
      local users = { spawn(user "x"), spawn(user "x"), spawn(user "y"), spawn(user "z"),
        spawn(user "z") }
      weft.finally(function() end, function() weft.wait(users) end)
    end, function()
      check_quiet(pool)
      pool:close()
      assert.equal(0, open)
    end, { every_task = true })
  end))

  it("keeps its promises in any order of events", support.outside(function()
    for seed = 1, support.rounds(20) do
      math.randomseed(seed)
      testing.virtual_clock(function()
        local pool = new { limit = math.random(0, 4), limit_per_host = math.random(0, 3),
          keepalive_timeout = 3 }
        local tasks = {}
        for i = 1, 60 do
          local host = "h" .. math.random(4)
          local key = host .. "k" .. math.random(2)
          tasks[i] = spawn(function()
            weft.sleep(math.random() * 5)
            local conn = acquire(pool, key, host)
            local ok, e = pcall(weft.sleep, math.random() * 2)
            check(pool)
            if math.random(3) == 1 then
              pool:discard(conn, host)
            else
              conn.is_dead = math.random(5) == 1
              pool:put(conn, key, host)
            end
            check(pool)
            if not ok then
              error(e, 0)
            end
          end)
        end
        for _ = 1, 15 do
          weft.sleep(math.random())
          tasks[math.random(60)]:cancel()
        end
        weft.wait(tasks)
        for _, task in ipairs(tasks) do
          local ok, e = pcall(task.await, task)
          assert.is_true(ok or weft.is_error(e, "cancelled"), tostring(e))
        end
        check_quiet(pool)
        weft.sleep(4)
        assert.same({ 0, {}, {} }, { open, pool._groups, pool._hosts })
        pool:close()
      end)
    end
  end))
end)

describe("what may be garbage", function()
  -- A connection in use whose object can be collected, or not.
  local function lend(pool, key, is_garbage)
    local conn = acquire(pool, key)
    pool:lend()
    if is_garbage then
      local sentinel
      local function collect()
        pool:lose(conn, key)
      end
      if rawget(_G, "newproxy") then
        sentinel = rawget(_G, "newproxy")(true)
        getmetatable(sentinel).__gc = collect
      else
        sentinel = setmetatable({}, { __gc = collect }) -- luacheck: ignore 311
      end
      sentinel = nil -- luacheck: ignore 311
    end
    return conn
  end

  local count
  local collectgarbage = collectgarbage

  -- Runs fn with a collector that counts full collections.
  local function counted(fn)
    return virtual(function()
      count = 0
      rawset(_G, "collectgarbage", function(...)
        count = count + (... == nil and 1 or 0)
        return collectgarbage(...)
      end)
      weft.finally(fn, function()
        rawset(_G, "collectgarbage", collectgarbage)
      end)
    end)
  end

  it("is collected when somebody has waited for a second", counted(function()
    local pool = new { limit = 1 }
    collectgarbage("stop")
    weft.create_task(lend, pool, "x", true):await()
    local start = weft.get_running_loop():time()
    local ok, e = pcall(acquire, pool, "y")
    collectgarbage("restart")
    assert.is_true(ok, tostring(e))
    assert.equal(1, weft.get_running_loop():time() - start)
    assert.same({ 1, 1, 0 }, { count, open, pool.lent })
    pool:close()
  end))

  it("is looked for less and less often when it is none", counted(function()
    local pool = new { limit = 1 }
    local conn = lend(pool, "x")
    local task = spawn(acquire, pool, "y")
    weft.sleep(0.5)
    assert.equal(0, count)
    weft.sleep(63)
    assert.equal(6, count) -- after 1, 3, 7, 15, 31, 63 s
    weft.sleep(936)
    assert.equal(7, count) -- after 127 s, and then not any more
    pool:take_back()
    pool:discard(conn, "x")
    assert.is_truthy(task:await())
    pool:close()
  end))

  it("is not looked for when nobody waits, or the wait is over", counted(function()
    local pool = new { limit = 1 }
    local conn = acquire(pool, "x")
    local task = spawn(acquire, pool, "y")
    parked()
    pool:lend() -- while somebody waits
    task:cancel()
    weft.sleep(500)
    task = spawn(acquire, pool, "y")
    weft.sleep(0.5)
    pool:take_back()
    pool:discard(conn, "x")
    task:await()
    weft.sleep(500)
    assert.equal(0, count)
    pool:close()
  end))

  it("does not hide a deadlock for ever", support.outside(function()
    local e = raises("state", testing.virtual_clock, function()
      local pool = new { limit = 1 }
      pool.conn = lend(pool, "x")
      pool:acquire("y", "y")
    end)
    assert.equal("deadlock", e.code)
  end))
end)

describe("a pool that was forgotten", function()
  it("is collected although its timer runs", virtual(function()
    local weak = setmetatable({}, { __mode = "v" })
    do
      local pool = new()
      pool:put(acquire(pool, "x"), "x", "x")
      weak.pool = pool
    end
    weft.sleep(0)
    collectgarbage()
    collectgarbage()
    assert.is_nil(weak.pool)
  end))
end)
