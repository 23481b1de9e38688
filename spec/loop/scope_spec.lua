-- SPDX-License-Identifier: MIT
-- src/loop/scope.c: which deadlines and shields concern a wait, in whichever coroutine of a
-- task it is. The functions of weft.core are used as they are; weft.scope has its own spec.

local weft = require "weft"
local core = require "weft.core"
local support = require "spec.support"
local testing = require "weft.testing"

local function now()
  return weft.get_running_loop():time()
end

-- Timers but for the one of the spec's guard.
local function timers()
  return weft.statistics().timers - 1
end

-- What breaks off a wait here and now: nil, "cancel", or the name of a scope.
local function blamed(scopes)
  local what = core.interruption()
  if type(what) ~= "userdata" then
    return what
  end
  for name, scope in pairs(scopes) do
    if core.scope_is(scope, what) then
      return name
    end
  end
  return "unknown"
end

local function is_broken_off(fn, ...)
  local ok, e = pcall(fn, ...)
  return not ok and weft.is_error(e, "cancelled")
end

-- `fn` in a task that has no scope of the spec's guard around it.
local function alone(fn)
  return support.virtual(function()
    weft.await(fn)
  end)
end

describe("a scope", function()
  it("breaks off the wait in which its deadline finds the task, and each later one", alone(
    function()
      local start = now()
      local scope = core.scope(start + 2)
      assert.is_true(is_broken_off(weft.sleep, 10))
      assert.near(2, now() - start, 1e-6)
      assert.is_true(is_broken_off(weft.sleep, 10))
      assert.is_true(is_broken_off(weft.sleep, 0))
      assert.near(2, now() - start, 1e-6)
      assert.is_true(core.scope_leave(scope))
      weft.sleep(1)
      assert.near(3, now() - start, 1e-6)
    end))

  it("that is left in time does nothing more", alone(function()
    local scope = core.scope(now() + 2)
    weft.sleep(1)
    assert.is_false(core.scope_leave(scope))
    assert.equal(0, timers())
    weft.sleep(5)
  end))

  it("can be left twice", alone(function()
    local scope = core.scope(0)
    assert.is_true(core.scope_leave(scope))
    assert.is_true(core.scope_leave(scope))
    weft.sleep(0)
  end))

  it("whose deadline has passed breaks off the first wait, without a turn of the loop", alone(
    function()
      local turned = false
      weft.get_running_loop():call_soon(function() turned = true end)
      for _, when in ipairs { 0, -1, now() - 1, now() } do
        local scope = core.scope(when)
        assert.is_true(is_broken_off(weft.sleep, 0))
        assert.is_true(core.scope_leave(scope))
      end
      assert.is_false(turned)
      weft.sleep(0)
    end))

  it("without a deadline never expires", alone(function()
    local scope = core.scope(nil)
    assert.is_nil(core.deadline())
    assert.equal(0, timers())
    weft.sleep(1e6)
    assert.is_false(core.scope_leave(scope))
  end))

  it("at the end of time has no deadline", alone(function()
    local scope = core.scope(math.huge)
    assert.is_nil(core.deadline())
    assert.equal(0, timers())
    core.scope_leave(scope)
  end))

  it("can be entered in a task only", support.virtual(function()
    local done = weft.create_future()
    weft.get_running_loop():call_soon(function()
      done:set_result(pcall(core.scope, nil))
    end)
    local ok, e = done:await()
    assert.is_false(ok)
    assert.is_true(weft.is_error(e, "state"), tostring(e))
  end))

  it("takes a number or nil as its deadline", alone(function()
    for _, bad in ipairs { "1", true, {} } do
      support.raises("type", core.scope, bad)
      assert.is_nil(core.deadline())
    end
  end))

  it("leaves the loop without a timer when its task ends inside", support.virtual(function()
    local scope
    local before = timers()
    weft.await(function()
      scope = core.scope(now() + 100)
    end)
    assert.equal(before, timers())
    assert.is_false(core.scope_leave(scope))
    core.scope_reschedule(scope, 0)
    weft.sleep(200)
  end))

  it("may be open when its loop closes", support.outside(function()
    local scope
    local loop = weft.new_event_loop()
    loop:set_exception_handler(function() end) -- it tells of the task
    loop:create_task(function()
      scope = core.scope(now() + 100)
      weft.sleep(200)
    end)
    loop:run_until_complete(testing.wait_all_parked)
    loop:close()
    assert.is_false(core.scope_leave(scope))
  end))

  it("is not entered when memory is out", support.outside(function()
    weft.run(weft.await, function()
      local ok, e = testing.fail_allocation(1, core.scope, now() + 100)
      assert.is_false(ok)
      assert.matches("not enough memory", tostring(e))
      assert.is_nil(core.deadline())
      assert.is_nil(core.interruption())
      weft.sleep(0)
    end)
  end))
end)

describe("scopes in each other", function()
  it("give the nearest deadline", alone(function()
    local t = now()
    local cases = {
      { deadlines = { 5 }, nearest = 5 },
      { deadlines = { 5, 3 }, nearest = 3 },
      { deadlines = { 3, 5 }, nearest = 3 },
      { deadlines = { 5, false, 4, 6 }, nearest = 4 },
      { deadlines = { false } },
      { deadlines = { 5, "shield" } },
      { deadlines = { 5, "shield", 9 }, nearest = 9 },
      { deadlines = { "shield", 5, 9 }, nearest = 5 },
    }
    for i, case in ipairs(cases) do
      local scopes = {}
      for k, deadline in ipairs(case.deadlines) do
        scopes[k] = deadline == "shield" and core.scope(nil, true)
          or core.scope(deadline and t + deadline or nil)
      end
      local nearest = core.deadline()
      if case.nearest then
        assert.near(t + case.nearest, nearest, 1e-6, "case " .. i)
      else
        assert.is_nil(nearest, "case " .. i)
      end
      for k = #scopes, 1, -1 do
        core.scope_leave(scopes[k])
      end
      assert.is_nil(core.deadline())
    end
  end))

  -- What is blamed once all of `expired` have expired; the scopes are entered in order.
  local cases = {
    { name = "the inner one alone", scopes = { "outer", "inner" }, expired = { "inner" },
      blamed = "inner" },
    { name = "the outer one alone", scopes = { "outer", "inner" }, expired = { "outer" },
      blamed = "outer" },
    { name = "the outer one of both", scopes = { "outer", "inner" },
      expired = { "inner", "outer" }, blamed = "outer" },
    { name = "the outermost of three", scopes = { "outer", "middle", "inner" },
      expired = { "inner", "middle" }, blamed = "middle" },
    { name = "nothing behind a shield", scopes = { "outer", "shield" }, expired = { "outer" } },
    { name = "what is inside a shield", scopes = { "outer", "shield", "inner" },
      expired = { "outer", "inner" }, blamed = "inner" },
    { name = "the task's cancel before any scope", scopes = { "outer", "inner" },
      expired = { "inner" }, cancelled = true, blamed = "cancel" },
    { name = "no cancel behind a shield", scopes = { "outer", "shield" }, expired = { "outer" },
      cancelled = true },
    { name = "the scope inside a shield before a cancel outside it",
      scopes = { "shield", "inner" }, expired = { "inner" }, cancelled = true,
      blamed = "inner" },
  }
  for _, case in ipairs(cases) do
    it("blame " .. case.name, support.virtual(function()
      local task = weft.create_task(function()
        local scopes, order = {}, {}
        for i, name in ipairs(case.scopes) do
          scopes[name] = core.scope(nil, name == "shield")
          order[i] = scopes[name]
        end
        for _, name in ipairs(case.expired) do
          core.scope_reschedule(scopes[name], 0)
        end
        if case.cancelled then
          weft.current_task():cancel()
        end
        assert.equal(case.blamed, blamed(scopes))
        assert.equal(case.blamed ~= nil, is_broken_off(weft.sleep, 0))
        for i = #order, 1, -1 do
          core.scope_leave(order[i])
        end
        assert.equal(case.cancelled and "cancel" or nil, blamed(scopes))
        assert.equal(case.cancelled or false, is_broken_off(weft.sleep, 0))
      end)
      task:await()
    end))
  end

  it("may be left in any order", alone(function()
    local t = now()
    local a, b, c = core.scope(t + 3), core.scope(t + 1), core.scope(t + 2)
    core.scope_leave(b)
    assert.near(t + 2, core.deadline(), 1e-6)
    core.scope_leave(a)
    assert.near(t + 2, core.deadline(), 1e-6)
    assert.is_true(is_broken_off(weft.sleep, 5))
    core.scope_leave(c)
    weft.sleep(5)
    assert.near(7, now() - t, 1e-6)
  end))

  it("open the fast path again only when none of them has expired", alone(function()
    local outer, inner = core.scope(0), core.scope(0)
    core.scope_leave(inner)
    assert.is_false(core.gate[1] == true)
    assert.is_true(is_broken_off(weft.sleep, 0))
    core.scope_leave(outer)
    assert.is_true(core.gate[1])
    weft.sleep(0)
  end))
end)

describe("the deadline of a scope", function()
  it("can be moved", alone(function()
    local t = now()
    local scope = core.scope(t + 1)
    core.scope_reschedule(scope, t + 3)
    assert.near(t + 3, core.deadline(), 1e-6)
    weft.sleep(2)
    core.scope_reschedule(scope, t + 2.5)
    assert.is_true(is_broken_off(weft.sleep, 10))
    assert.near(2.5, now() - t, 1e-6)
    core.scope_leave(scope)
  end))

  it("can be taken away and given again", alone(function()
    local t = now()
    local scope = core.scope(t + 1)
    core.scope_reschedule(scope, nil)
    assert.is_nil(core.deadline())
    assert.equal(0, timers())
    weft.sleep(2)
    core.scope_reschedule(scope, t + 3)
    assert.is_true(is_broken_off(weft.sleep, 10))
    core.scope_leave(scope)
  end))

  it("stays when it has expired, and once it is left", alone(function()
    local scope = core.scope(0)
    core.scope_reschedule(scope, now() + 10)
    assert.is_true(is_broken_off(weft.sleep, 0))
    assert.is_true(core.scope_leave(scope))
    core.scope_reschedule(scope, 0)
    assert.is_nil(core.interruption())
    weft.sleep(0)
  end))

  it("can be moved by another task, which breaks off the wait that is under way", alone(
    function()
      local scope = core.scope(nil)
      local start = now()
      local other = weft.create_task(function()
        weft.sleep(1)
        core.scope_reschedule(scope, 0)
      end)
      assert.is_true(is_broken_off(weft.sleep, 10))
      assert.near(1, now() - start, 1e-6)
      core.scope_leave(scope)
      other:await()
    end))
end)

describe("a scope in a coroutine", function()
  -- A generator that is inside a scope while it is suspended.
  local function generator(deadline, log)
    return coroutine.wrap(function()
      local scope = core.scope(deadline)
      coroutine.yield("entered")
      log.broken_off = is_broken_off(weft.sleep, 1)
      log.expired = core.scope_leave(scope)
      return "left"
    end)
  end

  it("does not concern the consumer while the generator is suspended", alone(function()
    local t, log = now(), {}
    local step = generator(t + 1, log)
    assert.equal("entered", step())
    assert.is_nil(core.deadline())
    weft.sleep(5)
    assert.is_nil(core.interruption())
    weft.sleep(5)
    assert.near(10, now() - t, 1e-6)
    assert.equal("left", step())
    assert.same({ broken_off = true, expired = true }, log)
    weft.sleep(1)
  end))

  it("concerns it again when it runs", alone(function()
    local t, log = now(), {}
    local step = generator(t + 1.5, log)
    step()
    weft.sleep(1)
    step()
    assert.same({ broken_off = true, expired = true }, log)
    assert.near(1.5, now() - t, 1e-6)
  end))

  it("does not concern another task that resumes it", support.virtual(function()
    local log, step = {}, nil
    local first = weft.create_task(function()
      step = generator(now() + 1, log)
      step()
      weft.sleep(10)
    end)
    weft.sleep(2)
    weft.await(function() step() end)
    assert.same({ broken_off = false, expired = true }, log)
    first:await()
  end))

  it("is that of all coroutines that it resumes", alone(function()
    local t = now()
    local scope = core.scope(t + 1)
    local deadline, broken_off
    coroutine.wrap(function()
      coroutine.wrap(function()
        deadline = core.deadline()
        broken_off = is_broken_off(weft.sleep, 5)
      end)()
    end)()
    assert.near(t + 1, deadline, 1e-6)
    assert.is_true(broken_off)
    assert.near(1, now() - t, 1e-6)
    core.scope_leave(scope)
  end))

  it("inside a scope further out names the outer one when both have expired", alone(function()
    local outer = core.scope(nil)
    local found, inner
    coroutine.wrap(function()
      inner = core.scope(0)
      core.scope_reschedule(outer, 0)
      found = blamed({ outer = outer, inner = inner })
      core.scope_leave(inner)
    end)()
    assert.equal("outer", found)
    core.scope_leave(outer)
  end))

  it("can be a shield, which protects that coroutine and those in it alone", support.virtual(
    function()
      local inside, outside
      local task = weft.create_task(function()
        weft.current_task():cancel()
        local step = coroutine.wrap(function()
          local shield = core.scope(nil, true)
          inside = not is_broken_off(coroutine.wrap(function() weft.sleep(1) end))
          coroutine.yield()
          core.scope_leave(shield)
        end)
        step()
        outside = is_broken_off(weft.sleep, 1)
        step()
      end)
      task:await()
      assert.is_true(inside)
      assert.is_true(outside)
    end))

  it("is left when the coroutine is collected", alone(function()
    do
      local step = generator(now() + 100, {})
      step()
    end
    assert.equal(1, timers())
    collectgarbage()
    collectgarbage()
    assert.equal(0, timers())
    weft.sleep(200)
  end))

  it("strikes the innermost coroutine, wherever in the chain it was entered", alone(function()
    for depth = 1, 4 do
      for entered = 1, depth do
        local scope
        local function descend(level)
          if level == entered then
            scope = core.scope(now() + 1)
          end
          if level == depth then
            assert.is_true(is_broken_off(weft.sleep, 10))
          else
            coroutine.wrap(descend)(level + 1)
          end
          if level == entered then
            assert.is_true(core.scope_leave(scope))
            weft.sleep(1)
          end
        end
        descend(1)
      end
    end
  end))
end)
