-- SPDX-License-Identifier: MIT
-- weft.http.guard: the connections of a session that was collected.
-- The transport is the spec's own: only its close counts.

local guards = require "weft.http.guard"
local support = require "spec.support"
local weft = require "weft"

local function transport()
  local made = { closed = 0 }
  function made.close()
    made.closed = made.closed + 1
  end
  return made
end

local function collect()
  for _ = 1, 3 do
    collectgarbage()
    weft.sleep(0)
  end
end

-- In a coroutine of its own: LuaJIT may leave what a function is done with on the stack.
local function kept_for_a_while(fn)
  weft.create_task(fn):await()
end

describe("what nobody closed", function()
  it("is closed when it is collected, and reported in debug mode", support.run(function()
    local one, reported = transport(), nil
    local loop = weft.get_running_loop()
    loop:set_debug(true)
    loop:set_exception_handler(function(_, context) reported = context.message end)
    kept_for_a_while(function()
      local guard = guards.new(one)
      collect()
      assert.equal(0, one.closed)
      assert.is_table(guard)
    end)
    collect()
    assert.equal(1, one.closed)
    assert.truthy(reported:find("unclosed client session", 1, true))
  end))

  it("is closed without a word otherwise", support.run(function()
    local one, reported = transport(), nil
    weft.get_running_loop():set_exception_handler(function(_, context)
      reported = context.message
    end)
    kept_for_a_while(function()
      assert.is_table(guards.new(one))
    end)
    collect()
    assert.same({ 1 }, { one.closed, reported })
  end))
end)

describe("what was closed", function()
  it("is not closed again", support.run(function()
    local one = transport()
    local guard = guards.new(one)
    guards.disarm(guard)
    guard = nil -- luacheck: ignore 311
    collect()
    assert.equal(0, one.closed)
  end))
end)
