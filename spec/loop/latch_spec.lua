-- SPDX-License-Identifier: MIT
-- src/loop/latch.c: waiting for many futures at once, and the lists of waiters. What is made
-- of them (gather, wait, groups; locks, queues) has specs of its own.

local weft = require "weft"
local core = require "weft.core"
local support = require "spec.support"
local testing = require "weft.testing"

-- A latch that watches `n` fresh futures.
local function watch(n)
  local futures = {}
  local latch = core.latch(futures)
  for i = 1, n do
    core.latch_add(latch, weft.create_future(), i)
  end
  return latch, futures
end

-- The ways in which a future can end. The errors are looked at: nothing is to be reported.
local END = {
  r = function(future) future:set_result("value") end,
  e = function(future)
    future:set_exception("failed")
    pcall(future.result, future)
  end,
  c = function(future) future:cancel() end,
}

local function taken(latch)
  local list = {}
  for index in core.latch_take, latch do
    list[#list + 1] = index
  end
  return list
end

-- A task that is parked on the latch.
local function waiter(latch, ...)
  local task = weft.create_task(core.latch_wait, latch, ...)
  weft.sleep(0)
  return task
end

describe("a latch", function()
  -- For each "until" what three futures must have done for it to open: letters of END.
  local cases = {
    all = { opens = { "rrr", "eee", "ccc", "rec" }, stays = { "", "r", "rr", "e", "ec", "cc" } },
    failure = { opens = { "e", "c", "re", "rrc", "rrr" }, stays = { "", "r", "rr" } },
    raised = { opens = { "e", "re", "ce", "rrr", "ccc", "rcc" }, stays = { "", "r", "c", "rc" } },
    any = { opens = { "r", "e", "c" }, stays = { "" } },
  }
  for until_, case in pairs(cases) do
    for _, ends in ipairs(case.opens) do
      it(("opens until '%s' when the futures ended thus: %s"):format(until_, ends), support.run(
        function()
          local latch, futures = watch(3)
          local task = waiter(latch, until_)
          for i = 1, #ends do
            assert.is_false(task:done())
            END[ends:sub(i, i)](futures[i])
            weft.sleep(0)
          end
          assert.is_true(task:done())
          assert.is_true((task:result()))
          assert.is_true((core.latch_wait(latch, until_)))
        end))
    end
    for _, ends in ipairs(case.stays) do
      it(("stays shut until '%s' when the futures ended thus: %s"):format(until_, ends),
        support.run(function()
          local latch, futures = watch(3)
          local task = waiter(latch, until_)
          for i = 1, #ends do
            END[ends:sub(i, i)](futures[i])
          end
          weft.sleep(0)
          assert.is_false(task:done())
          core.latch_close(latch)
          weft.sleep(0)
        end))
    end
  end

  it("that watches nothing is open", support.run(function()
    local latch = core.latch {}
    for _, until_ in ipairs { "all", "failure", "raised", "any" } do
      assert.is_true((core.latch_wait(latch, until_)))
    end
    assert.is_nil((core.latch_take(latch)))
  end))

  it("does not suspend when it is open", support.run(function()
    local latch, futures = watch(1)
    futures[1]:set_result()
    local turned = false
    weft.create_task(function() turned = true end)
    core.latch_wait(latch, "all")
    assert.is_false(turned)
    weft.sleep(0)
  end))

  it("gives the futures in the order in which they completed", support.run(function()
    local latch, futures = watch(4)
    futures[3]:set_result()
    futures[1]:cancel()
    assert.same({ 3, 1 }, taken(latch))
    futures[4]:set_result()
    futures[2]:set_result()
    assert.same({ 4, 2 }, taken(latch))
    assert.same({}, taken(latch))
  end))

  it("gives those that were done already in the order in which they were added", support.run(
    function()
      local latch = core.latch {}
      for i = 3, 1, -1 do
        local future = weft.create_future()
        future:set_result(i)
        core.latch_add(latch, future, i)
      end
      assert.same({ 3, 2, 1 }, taken(latch))
    end))

  it("counts the pending, the completed that were not taken, and the failures", support.run(
    function()
      local latch, futures = watch(4)
      assert.same({ 4, 0, 0 }, { core.latch_counts(latch) })
      END.r(futures[1])
      END.e(futures[2])
      END.c(futures[3])
      assert.same({ 1, 3, 2 }, { core.latch_counts(latch) })
      taken(latch)
      assert.same({ 1, 0, 2 }, { core.latch_counts(latch) })
      core.latch_close(latch)
    end))

  it("until 'any' opens anew for each", support.run(function()
    local latch, futures = watch(2)
    futures[1]:set_result()
    assert.is_true((core.latch_wait(latch, "any")))
    core.latch_take(latch)
    local task = waiter(latch, "any")
    assert.is_false(task:done())
    futures[2]:set_result()
    assert.is_true((task:await()))
    core.latch_take(latch)
    assert.is_true((core.latch_wait(latch, "any"))) -- nothing is left to wait for
  end))

  it("may watch a future twice, and gives it twice", support.run(function()
    local future = weft.create_future()
    local latch = core.latch {}
    core.latch_add(latch, future, 1)
    core.latch_add(latch, future, 2)
    future:set_result()
    assert.same({ 1, 2 }, taken(latch))
  end))

  it("shares a future with other latches and with tasks that await it", support.run(function()
    local future = weft.create_future()
    local order, latches = {}, {}
    for i = 1, 6 do
      if i % 2 == 0 then
        latches[i] = core.latch {}
        core.latch_add(latches[i], future, i)
      end
      weft.create_task(function()
        if latches[i] then
          core.latch_wait(latches[i], "all")
        else
          future:await()
        end
        order[#order + 1] = i
      end)
    end
    testing.wait_all_parked()
    core.latch_close(latches[4])
    future:set_result()
    testing.wait_all_parked()
    table.sort(order)
    assert.same({ 1, 2, 3, 4, 5, 6 }, order)
    assert.same({ 2 }, taken(latches[2]))
    assert.same({}, taken(latches[4]))
  end))

  it("wakes its task once, however many complete in a turn", support.run(function()
    local latch, futures = watch(3)
    local rounds = 0
    local task = weft.create_task(function()
      for _ = 1, 2 do
        core.latch_wait(latch, "any")
        rounds = rounds + 1
        taken(latch)
      end
    end)
    weft.sleep(0)
    futures[1]:set_result()
    futures[2]:set_result()
    weft.sleep(0)
    assert.equal(1, rounds)
    futures[3]:set_result()
    task:await()
    assert.equal(2, rounds)
  end))

  it("lets one task wait at a time", support.run(function()
    local latch = watch(1)
    local task = waiter(latch, "all")
    support.raises("state", core.latch_wait, latch, "all")
    core.latch_close(latch)
    task:await()
  end))

  it("refuses a future of another loop, and watches on", support.outside(function()
    local other = weft.new_event_loop()
    local stranger = other:create_future()
    weft.run(function()
      local latch, futures = watch(1)
      support.raises("state", core.latch_add, latch, stranger, 2)
      futures[1]:set_result()
      assert.is_true((core.latch_wait(latch, "all")))
    end)
    other:close()
  end))

  it("can be waited for in a task only", support.run(function()
    local latch = watch(1)
    local done = weft.create_future()
    weft.get_running_loop():call_soon(function()
      done:set_result(pcall(core.latch_wait, latch, "all"))
    end)
    local ok, e = done:await()
    assert.is_false(ok)
    assert.is_true(weft.is_error(e, "state"), tostring(e))
    core.latch_close(latch)
  end))

  it("watches many thousands", support.run(function()
    local n = support.rounds(20000)
    local latch, futures = watch(n)
    local task = waiter(latch, "all")
    for i = n, 1, -1 do
      futures[i]:set_result(i)
    end
    task:await()
    local list = taken(latch)
    assert.equal(n, #list)
    for i = 1, n do
      assert.equal(n + 1 - i, list[i])
    end
  end))
end)

describe("a wait on a latch that is broken off", function()
  it("returns false, and can be taken up again", support.virtual(function()
    local latch, futures = watch(1)
    local task = weft.create_task(function()
      assert.is_false((core.latch_wait(latch, "all")))
      assert.is_false((core.latch_wait(latch, "all")))
      weft.current_task():uncancel()
      return core.latch_wait(latch, "all")
    end)
    testing.wait_all_parked()
    task:cancel()
    testing.wait_all_parked()
    assert.is_false(task:done())
    futures[1]:set_result()
    assert.is_true((task:await()))
  end))

  it("leaves the place to another task", support.virtual(function()
    local latch, futures = watch(1)
    local first = waiter(latch, "all")
    first:cancel()
    local second = weft.create_task(core.latch_wait, latch, "all")
    assert.is_false((first:await()))
    futures[1]:set_result()
    assert.is_true((second:await()))
  end))

  it("is not, once the latch is open", support.virtual(function()
    local latch, futures = watch(1)
    local task = waiter(latch, "all")
    futures[1]:set_result()
    task:cancel()
    assert.is_true((task:await()))
  end))

  it("stays broken off when the latch opens before the task runs", support.virtual(function()
    local latch, futures = watch(1)
    local task = waiter(latch, "all")
    task:cancel()
    futures[1]:set_result()
    assert.is_false((task:await()))
  end))

  it("is refused at entry, open or not", support.virtual(function()
    local latch, futures = watch(1)
    local task = weft.create_task(function()
      weft.current_task():cancel()
      assert.is_false((core.latch_wait(latch, "all")))
      futures[1]:set_result()
      assert.is_false((core.latch_wait(latch, "all")))
    end)
    task:await()
  end))

  it("waits on when shielded from a cancel of before, but not from a new one", support.virtual(
    function()
      local latch, futures = watch(1)
      local log = {}
      local task = weft.create_task(function()
        weft.current_task():cancel()
        log[1] = core.latch_wait(latch, "all", true)
        log[2] = core.latch_wait(latch, "all", true)
      end)
      testing.wait_all_parked()
      assert.same({}, log)
      task:cancel()
      testing.wait_all_parked()
      assert.same({ false }, log)
      futures[1]:set_result()
      task:await()
      assert.same({ false, true }, log)
    end))
end)

describe("closing a latch", function()
  it("stops the watching and lets the one who waits go on", support.run(function()
    local latch, futures = watch(3)
    futures[1]:set_result()
    local task = waiter(latch, "all")
    core.latch_close(latch)
    assert.is_true((task:await()))
    futures[2]:set_result()
    assert.same({}, taken(latch))
    local pending, completed = core.latch_counts(latch)
    assert.same({ 0, 0 }, { pending, completed })
  end))

  it("is idempotent", support.run(function()
    local latch, futures = watch(1)
    core.latch_close(latch)
    core.latch_close(latch)
    futures[1]:set_result()
  end))

  it("frees its memory, as does its collection", support.run(function()
    local before = core.memory()
    local latch = watch(100)
    assert.is_true(core.memory() >= before + 100)
    core.latch_close(latch)
    assert.equal(before, (core.memory()))
    latch = watch(100)
    local futures = core.latch_futures(latch)
    latch = nil -- luacheck: ignore 311
    collectgarbage()
    collectgarbage()
    assert.equal(before, (core.memory()))
    futures[1]:set_result() -- nobody watches any more
  end))

  it("comes with the collection of the latch and its futures together", support.run(function()
    local before = core.memory()
    for i = 1, 50 do
      local _, futures = watch(3)
      futures[1]:set_result(i)
    end
    collectgarbage()
    collectgarbage()
    assert.equal(before, (core.memory()))
  end))
end)

describe("a latch without memory", function()
  it("does not watch what it could not add", support.run(function()
    local latch, futures = watch(1)
    local ok, e = testing.fail_allocation(1, core.latch_add, latch, weft.create_future(), 2)
    assert.is_false(ok)
    assert.matches("not enough memory", tostring(e))
    assert.equal(1, (core.latch_counts(latch)))
    futures[1]:set_result()
    assert.is_true((core.latch_wait(latch, "all")))
  end))
end)

describe("a list of waiters", function()
  it("wakes one at a time, first come, first served, with values", support.run(function()
    local list, order, tasks = core.waitlist(), {}, {}
    for i = 1, 3 do
      tasks[i] = weft.create_task(function()
        local result = { i, core.park(list) }
        order[#order + 1] = result
      end)
    end
    assert.equal(0, core.waiting(list))
    weft.sleep(0)
    assert.equal(3, core.waiting(list))
    assert.is_true(core.wake(list, "a", nil, "b"))
    assert.is_true(core.wake(list))
    assert.equal(1, core.waiting(list))
    assert.is_true(core.wake(list, nil))
    assert.is_false(core.wake(list, "nobody"))
    weft.gather(tasks)
    assert.same({ { 1, true, "a", nil, "b" }, { 2, true }, { 3, true, nil } }, order)
  end))

  it("lets one that is broken off go, and takes nothing from the others", support.run(function()
    local list, results, tasks = core.waitlist(), {}, {}
    for i = 1, 3 do
      tasks[i] = weft.create_task(function()
        results[i] = { core.park(list) }
      end)
    end
    weft.sleep(0)
    tasks[2]:cancel()
    assert.equal(2, core.waiting(list))
    core.wake(list, 1)
    core.wake(list, 2)
    weft.gather(tasks)
    assert.same({ { true, 1 }, { false }, { true, 2 } }, results)
  end))

  it("gives the values to one that was woken and then cancelled", support.run(function()
    local list, result = core.waitlist(), nil
    local task = weft.create_task(function()
      result = { core.park(list) }
    end)
    weft.sleep(0)
    core.wake(list, "item")
    task:cancel()
    task:await()
    assert.same({ true, "item" }, result)
  end))

  it("hands over many values", support.run(function()
    local list, values = core.waitlist(), {}
    for i = 1, 200 do
      values[i] = i
    end
    local task = weft.create_task(function()
      return { core.park(list) }
    end)
    weft.sleep(0)
    core.wake(list, (table.unpack or unpack)(values))
    local got = task:await()
    assert.equal(201, #got)
    assert.equal(200, got[201])
  end))
end)
