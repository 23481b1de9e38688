-- SPDX-License-Identifier: MIT
-- src/loop/coroutine.c: the chain of coroutines of a task, running and parked. What programs
-- see of it is spec/weft/coroutines_spec.lua's.

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

local function collect()
  collectgarbage()
  collectgarbage()
end

describe("core.resume", function()
  it("passes values in both directions, and says what went wrong", virtual(function()
    local co = coroutine.create(function(...)
      local got = pack(coroutine.yield(select("#", ...), ...))
      error(got, 0)
    end)
    assert.same({ n = 4, true, 2, nil, "x" }, pack(core.resume(co, nil, "x")))
    local results = pack(core.resume(co, 1, nil))
    assert.same({ 2, false }, { results.n, results[1] })
    assert.same({ n = 2, 1 }, results[2])
    assert.same({ n = 2, false, "cannot resume dead coroutine" }, pack(core.resume(co)))
  end))

  it("refuses what cannot be resumed, without harm to it", virtual(function()
    local me = coroutine.running()
    assert.same({ false, "cannot resume running coroutine" }, { core.resume(me) })
    coroutine.wrap(function()
      assert.same({ false, "cannot resume normal coroutine" }, { core.resume(me, 1, 2, 3) })
    end)()
    local done = coroutine.create(function() return 1 end)
    core.resume(done)
    for _ = 1, 3 do
      assert.same({ false, "cannot resume dead coroutine" }, { core.resume(done, 1, 2) })
    end
    for _, x in ipairs { 5, "x", {}, print } do
      local e = raises("type", core.resume, x)
      assert.equal("a coroutine expected, got " .. type(x), e.message)
    end
  end))

  it("takes thousands of values", virtual(function()
    local values = {}
    for i = 1, 5000 do
      values[i] = i
    end
    local co = coroutine.create(function(...)
      weft.sleep(1)
      local n = select("#", coroutine.yield(...))
      weft.sleep(1)
      return n, ...
    end)
    local first = pack(core.resume(co, unpack(values)))
    assert.same({ 5001, 5000 }, { first.n, first[5001] })
    local second = pack(core.resume(co, unpack(values)))
    assert.same({ 5002, 5000, 5000 }, { second.n, second[2], second[5002] })
  end))

  it("has room for as many values as Lua, and an error beyond", virtual(function()
    local co = coroutine.create(function(...) return select("#", ...) end)
    local values = {}
    for i = 1, 7000 do
      values[i] = i
    end
    assert.same({ true, 7000 }, { core.resume(co, unpack(values)) })
  end))
end)

describe("a parked chain", function()
  local function park(depth, chain, gate)
    local function go(n)
      chain[n] = coroutine.running()
      if n == depth then
        return gate:await()
      end
      return select(2, core.resume(coroutine.create(go), n + 1))
    end
    local task = weft.create_task(go, 1)
    parked()
    return task
  end

  it("is parked from end to end, and nothing else is", virtual(function()
    for depth = 1, 10 do
      local chain, gate = {}, weft.create_future()
      local task = park(depth, chain, gate)
      for i = 1, depth do
        assert.is_true(core.is_parked(chain[i]))
        assert.equal(chain[i - 1], (core.resumer(task, chain[i])))
      end
      gate:set_result(depth)
      assert.equal(depth, task:await())
      for i = 1, depth do
        assert.is_false(core.is_parked(chain[i]))
      end
    end
    assert.is_false(core.is_parked(coroutine.running()))
    local co = coroutine.create(coroutine.yield)
    assert.is_false(core.is_parked(co))
    core.resume(co, 1)
    assert.is_false(core.is_parked(co))
    core.resume(co)
    assert.is_false(core.is_parked(co))
    assert.is_false(core.is_parked(5))
  end))

  it("keeps its coroutines from the collector, though nobody else does", virtual(function()
    local chain, gate = setmetatable({}, { __mode = "v" }), weft.create_future()
    local task = park(5, chain, gate)
    collect()
    for i = 1, 5 do
      assert.is_not_nil(chain[i], i)
    end
    gate:set_result("x")
    assert.equal("x", task:await())
    task = nil -- luacheck: ignore 311
    collect()
    for i = 2, 5 do
      assert.is_nil(chain[i], i)
    end
  end))

  it("grows and shrinks between waits", virtual(function()
    -- Parks at depth 1, 2, 3, … 8 and back, in one task.
    local function go(n)
      weft.sleep(1)
      local result = n < 8 and coroutine.wrap(go)(n + 1) or "bottom"
      weft.sleep(1)
      return result
    end
    testing.gc_stress(function()
      for _ = 1, 3 do
        assert.equal("bottom", go(1))
      end
    end)
  end))

  it("may have its ends exchanged: a generator goes from task to task", virtual(function()
    local step = coroutine.wrap(function()
      for i = 1, 100 do
        weft.sleep(i % 3)
        coroutine.yield(i)
      end
    end)
    local got = {}
    for _ = 1, 10 do
      weft.await(function()
        for _ = 1, 10 do
          got[#got + 1] = coroutine.wrap(function() return (step()) end)()
        end
      end)
    end
    assert.equal(100, #got)
    for i = 1, 100 do
      assert.equal(i, got[i])
    end
  end))

  it("is collected with its loop, wherever it stands", support.outside(function()
    local chain = setmetatable({}, { __mode = "v" })
    local function run()
      local loop = weft.new_event_loop()
      loop:set_exception_handler(function() end)
      loop:run_until_complete(function() park(5, chain, weft.create_future()) end)
      collect()
      assert.is_not_nil(chain[5])
      loop:close()
    end
    run()
    collect()
    for i = 1, 5 do
      assert.is_nil(chain[i])
    end
  end))

  it("outlives its loop without harm, if somebody holds an end of it", support.outside(function()
    for held = 1, 3 do
      local chain = {}
      local loop = weft.new_event_loop()
      loop:set_exception_handler(function() end)
      loop:run_until_complete(function() park(3, chain, weft.create_future()) end)
      loop:close()
      local co = chain[held]
      chain, loop = nil, nil -- luacheck: ignore 311
      collect()
      assert.equal("normal", coroutine.status(co))
      local ok, e = coroutine.resume(co)
      assert.same({ false, "parked" }, { ok, e.code })
      weft.run(function()
        ok, e = coroutine.resume(co)
        assert.same({ false, "parked" }, { ok, e.code })
      end)
    end
  end))
end)

describe("a random walk through generators", function()
  -- Trees of generators that wait, yield, fail and are cancelled at random; a model that does
  -- not wait says what must come out.
  local function random(seed)
    local state = seed
    return function(n)
      state = state * 16807 % 2147483647
      return math.floor(state / 2147483647 * n) + 1
    end
  end

  local function walk(seed, wait)
    local dice, out = random(seed), {}
    local function node(depth)
      local co = coroutine.wrap(function(...)
        out[#out + 1] = "in" .. select("#", ...)
        for _ = 1, dice(4) do
          local what = dice(6)
          if what <= 2 then
            wait(what - 1)
          elseif what == 3 and depth < 5 then
            local step = node(depth + 1)
            local ok, value = pcall(step, 1)
            out[#out + 1] = tostring(ok) .. tostring(value)
          elseif what == 4 then
            out[#out + 1] = "got" .. tostring(coroutine.yield(depth))
          elseif what == 5 and dice(3) == 1 then
            error("e" .. depth, 0)
          end
        end
        return "end" .. depth
      end)
      return co
    end
    for i = 1, 5 do
      local step = node(1)
      repeat
        local ok, value = pcall(step, i)
        out[#out + 1] = tostring(ok) .. tostring(value):gsub("^.*: ", "")
      until not ok or type(value) == "string"
    end
    return table.concat(out, " ")
  end

  it("gives what the same gives without waits", virtual(function()
    local tasks, expected = {}, {}
    for seed = 1, support.rounds(300) do
      expected[seed] = walk(seed * 7919, function() end)
      tasks[seed] = weft.create_task(walk, seed * 7919, weft.sleep)
    end
    local results = weft.gather(tasks)
    for seed = 1, #tasks do
      assert.equal(expected[seed], results[seed])
    end
  end))
end)
