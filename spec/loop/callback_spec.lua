-- SPDX-License-Identifier: MIT
-- src/loop/callback.c: calls that the loop makes once, soon or at a time, as weft.core has
-- them. The methods of loops are spec/weft/loop_spec.lua's.

local weft = require "weft"
local core = require "weft.core"
local support = require "spec.support"
local testing = require "weft.testing"

local unpack = table.unpack or unpack
local virtual, raises = support.virtual, support.raises

local function pack(...)
  return { n = select("#", ...), ... }
end

local function collect()
  collectgarbage()
  collectgarbage()
end

local function loop()
  return weft.get_running_loop()
end

local function threads()
  return loop():statistics().threads
end

-- A fresh loop, not running, that gathers what is reported.
local function with_loop(fn)
  return support.outside(function()
    local l, contexts = weft.new_event_loop(), {}
    l:set_exception_handler(function(_, context)
      contexts[#contexts + 1] = context
    end)
    fn(l, contexts)
    l:close()
  end)
end

describe("a callback's state", function()
  it("is pending until it is called, then returned", virtual(function()
    local now = loop():time()
    for _, when in ipairs { false, now + 2, now - 5, 0 } do
      local inside
      local callback
      local function fn() inside = core.callback_state(callback) end
      callback = core.callback(loop(), when or nil, fn)
      local state, at, of = core.callback_state(callback)
      assert.equal("pending", state)
      assert.equal(fn, of)
      if when and when > 0 then
        assert.near(when, at, 1e-6)
      end
      weft.sleep(3)
      assert.equal("returned", inside)
      assert.equal("returned", (core.callback_state(callback)))
    end
  end))

  it("is cancelled when it was taken back in time, and stays", virtual(function()
    local called = false
    for _, when in ipairs { false, loop():time() + 2 } do
      local callback = core.callback(loop(), when or nil, function() called = true end)
      core.callback_cancel(callback)
      core.callback_cancel(callback)
      assert.equal("cancelled", (core.callback_state(callback)))
      weft.sleep(3)
      assert.equal("cancelled", (core.callback_state(callback)))
    end
    assert.is_false(called)
  end))

  it("does not change when it is taken back too late", virtual(function()
    local callback = core.callback(loop(), nil, function() end)
    weft.sleep(0)
    core.callback_cancel(callback)
    assert.equal("returned", (core.callback_state(callback)))
    local inside
    callback = core.callback(loop(), nil, function()
      core.callback_cancel(callback)
      inside = core.callback_state(callback)
    end)
    weft.sleep(0)
    assert.equal("returned", inside)
    assert.equal("returned", (core.callback_state(callback)))
  end))

  it("is asked of callbacks alone", virtual(function()
    for _, x in ipairs { 5, {}, io.stdout, loop(), weft.current_task() } do
      raises("type", core.callback_state, x)
      raises("type", core.callback_cancel, x)
    end
    raises("type", core.callback, {}, nil, print)
    raises("type", core.callback, loop(), "soon", print)
  end))
end)

describe("a callback", function()
  it("gets any number of arguments, nils included", virtual(function()
    for n = 0, 60 do
      local arguments = { n = n }
      for i = 1, n do
        arguments[i] = i % 3 ~= 0 and i or nil
      end
      local soon, later
      core.callback(loop(), nil, function(...) soon = pack(...) end, unpack(arguments, 1, n))
      core.callback(loop(), loop():time() + 1, function(...) later = pack(...) end,
        unpack(arguments, 1, n))
      weft.sleep(2)
      assert.same(arguments, soon)
      assert.same(arguments, later)
    end
  end))

  it("is kept while it is scheduled, and let go of then", virtual(function()
    local watched = setmetatable({}, { __mode = "k" })
    local called = 0
    for i = 1, 4 do
      local value = {}
      local callback = core.callback(loop(), i > 2 and loop():time() + 1 or nil, function(v)
        called = called + (v == value and 1 or 0)
      end, value)
      watched[value], watched[callback] = true, true
    end
    collect()
    weft.sleep(2)
    assert.equal(4, called)
    collect()
    assert.is_nil((next(watched)))
  end))

  it("that is taken back is let go of at once", virtual(function()
    local watched = setmetatable({}, { __mode = "k" })
    for i = 1, 4 do
      local value = {}
      local callback = core.callback(loop(), i > 2 and loop():time() + 1 or nil, print, value)
      watched[value], watched[callback] = true, true
      core.callback_cancel(callback)
    end
    local timers = loop():statistics().timers
    collect()
    assert.is_nil((next(watched)))
    assert.is_true(timers <= 1) -- the guard's
  end))

  it("uses one thread after the other, not one each", virtual(function()
    local before = threads()
    for _ = 1, 1000 do
      core.callback(loop(), nil, function() end)
    end
    weft.sleep(0)
    assert.is_true(threads() - before <= 1)
  end))

  it("that fails does not leave its thread to another", with_loop(function(l, contexts)
    local failed
    l:call_soon(function()
      failed = coroutine.running()
      error("x", 0)
    end)
    local others = {}
    for i = 1, 5 do
      l:call_soon(function() others[i] = coroutine.running() end)
    end
    l:run_once()
    assert.equal(1, #contexts)
    assert.equal("x", contexts[1].exception.value)
    assert.equal(5, #others)
    for i = 1, 5 do
      assert.not_equal(failed, others[i])
    end
  end))

  it("gives its traceback when it fails", with_loop(function(l, contexts)
    local function the_place() error({ "value" }) end
    local handle = l:call_soon(function()
      the_place()
      return 1
    end)
    l:run_once()
    assert.equal(1, #contexts)
    assert.matches("the_place", contexts[1].traceback)
    assert.equal(handle, contexts[1].handle)
    assert.same({ "value" }, contexts[1].exception.value)
  end))

  it("may take all others back, itself and what is due with it", virtual(function()
    local callbacks, called = {}, {}
    local when = loop():time() + 1
    for i = 1, 20 do
      callbacks[i] = core.callback(loop(), i % 2 == 0 and when or nil, function()
        called[#called + 1] = i
        if i == 3 or i == 8 then
          for k = 1, 20 do
            core.callback_cancel(callbacks[k])
          end
          if i == 3 then -- those with a time go with them
            callbacks[8] = core.callback(loop(), when, function() called[#called + 1] = "8" end)
          end
        end
      end)
    end
    weft.sleep(2)
    assert.same({ 1, 3, "8" }, called)
  end))

  it("may make more, which come in the next round", virtual(function()
    local order = {}
    local function again(n)
      order[#order + 1] = n
      if n < 5 then
        core.callback(loop(), nil, again, n + 1)
      end
    end
    again(1)
    for n = 1, 5 do
      assert.equal(n, #order)
      weft.sleep(0)
    end
    assert.same({ 1, 2, 3, 4, 5 }, order)
  end))

  it("cannot wait, in none of its coroutines, and the task that runs next can", virtual(function()
    local codes = {}
    core.callback(loop(), nil, function()
      for _, call in ipairs { function() weft.sleep(0) end, function() weft.sleep(1) end,
        function() coroutine.wrap(function() weft.sleep(0) end)() end } do
        codes[#codes + 1] = select(2, pcall(call)).code
      end
    end)
    local task = weft.create_task(function() return weft.sleep(1, "x") end)
    assert.equal("x", task:await())
    assert.same({ "ENOTASK", "ENOTASK", "ENOTASK" }, codes)
  end))
end)

describe("callbacks of a loop", function()
  it("that is closed are never called, and refused", with_loop(function(l)
    local called = false
    local soon = core.callback(l, nil, function() called = true end)
    local later = core.callback(l, l:time(), function() called = true end)
    l:close()
    for _, callback in ipairs { soon, later } do
      assert.equal("cancelled", (core.callback_state(callback)))
      core.callback_cancel(callback)
    end
    raises("closed", core.callback, l, nil, print)
    raises("closed", core.callback, l, 5, print)
    collect()
    assert.is_false(called)
  end))

  it("that is collected with them pending leave nothing", support.outside(function()
    for _ = 1, 10 do
      local l = weft.new_event_loop()
      for i = 1, 100 do
        core.callback(l, i % 2 == 0 and l:time() + 1000 or nil, print, l)
      end
    end
    collect()
  end))

  it("are not scheduled when memory is out, and those before are", support.outside(function()
    testing.virtual_clock(function()
      local called, made, failed = 0, 0, 0
      for n = 1, 3 do
        for _, when in ipairs { false, 1 } do
          testing.fail_allocation(n, function()
            for _ = 1, 500 do
              local ok, e = pcall(core.callback, loop(), when and loop():time() + when or nil,
                function() called = called + 1 end)
              if ok then
                made = made + 1
              else
                failed = failed + 1
                assert(tostring(e):find("not enough memory"), e)
              end
            end
          end)
        end
      end
      weft.sleep(5)
      assert.equal(made, called)
      assert.equal(3000, made + failed)
      assert.is_true(failed >= 1)
    end)
  end))
end)
