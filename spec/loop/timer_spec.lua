-- SPDX-License-Identifier: MIT
-- src/loop/timer.c and what the loop makes of it: order, punctuality, and thousands of timers
-- against a plain list. The heap alone is tried by spec/c/timer.c.

local weft = require "weft"
local cc = require "spec.c.cc"
local support = require "spec.support"
local waits = require "spec.waits"

local HUGE_DELAYS = { math.huge, 1e300, 9e9, 2 ^ 63, 2 ^ 64 }

-- The errors of the callbacks of the running loop.
local function collect_problems()
  local problems = {}
  weft.get_running_loop():set_exception_handler(function(_, context)
    problems[#problems + 1] = tostring(context.exception)
  end)
  return problems
end

describe("timers", function()
  it("do what a sorted list does, whatever the order of operations", function()
    local output, status = cc.run(cc.unit("timer", "src/loop/timer.c src/base/mem.c"))
    assert.same({ "", 0 }, { output, status })
  end)

  it("come in the order of their times and their making, ten thousand of them",
    support.virtual(function()
      local loop, random = weft.get_running_loop(), waits.random(7)
      local start, expected, seen = loop:time(), {}, {}
      local problems = collect_problems()
      local handles = {}
      for i = 1, 10000 do
        local when = start + random(0, 2000) / 8
        expected[i] = { when = when, i = i }
        handles[i] = loop:call_at(when, function()
          seen[#seen + 1] = i
          assert(math.abs(loop:time() - math.max(when, start)) < 1e-6)
        end)
      end
      local taken_back = {}
      for _ = 1, 3000 do
        local i = random(1, 10000)
        taken_back[i] = true
        handles[i]:cancel()
      end
      weft.sleep(251)
      table.sort(expected, function(a, b)
        return a.when < b.when or a.when == b.when and a.i < b.i
      end)
      local n = 0
      for _, one in ipairs(expected) do
        if not taken_back[one.i] then
          n = n + 1
          assert(seen[n] == one.i, ("%d came in place of %d"):format(seen[n] or -1, one.i))
        end
      end
      assert.equal(n, #seen)
      assert.same({}, problems)
      assert.equal(1, loop:statistics().timers) -- the guard of this spec
    end))

  it("follow a model while their callbacks start and take back others", support.virtual(function()
    local loop, random = weft.get_running_loop(), waits.random(11)
    local model, count, fired = {}, 0, 0 -- serial -> {when, handle}
    local problems = collect_problems()
    local function first()
      local best
      for serial, one in pairs(model) do
        if not best or one.when < model[best].when
          or one.when == model[best].when and serial < best then
          best = serial
        end
      end
      return best
    end
    local start
    local function fire(serial)
      assert(first() == serial, "another one was due")
      model[serial] = nil
      fired = fired + 1
      for _ = 1, count < 3000 and random(0, 2) or 0 do
        start(random(0, 20))
      end
      if random(1, 4) == 1 then
        local victim = first() -- often due at the same time
        if victim then
          model[victim].handle:cancel()
          model[victim] = nil
        end
      end
    end
    -- What is queued already is before what is still to expire.
    function start(delay)
      count = count + 1
      local serial, when = count, loop:time() + delay + 1
      -- In nanoseconds, as the loop has it: sums of seconds differ in their last digit.
      model[serial] = { when = math.floor(when * 1e9 + 0.5),
        handle = loop:call_at(when, fire, serial) }
    end
    for _ = 1, 60 do
      start(random(0, 20))
    end
    weft.sleep(1e6)
    assert.same({}, problems)
    assert.is_nil(next(model))
    assert.is_true(fired > 200, fired .. " fired")
  end))

  it("are never early, by the real clock", support.run(function()
    local loop, random = weft.get_running_loop(), waits.random(3)
    local n, early, late = support.rounds(400), 0, 0
    local all = weft.event()
    local left = n
    for _ = 1, n do
      local when = loop:time() + random(0, 60000) / 1e6
      loop:call_at(when, function()
        early = early + (loop:time() < when and 1 or 0)
        late = math.max(late, loop:time() - when)
        left = left - 1
        if left == 0 then
          all:set()
        end
      end)
    end
    all:wait()
    assert.equal(0, early)
    assert.is_true(late < 5, late .. " s late")
    for _, delay in ipairs { 1e-9, 1e-6, 0.0004, 0.0011, 0.00199 } do
      local before = loop:time()
      weft.sleep(delay)
      assert.is_true(loop:time() - before >= delay, delay .. " s were less")
    end
  end))

  it("of sleeping tasks and of calls are one sequence", support.virtual(function()
    local loop = weft.get_running_loop()
    local when, seen = loop:time() + 3, {}
    local tasks = {}
    for i = 1, 6 do
      if i % 2 == 0 then
        loop:call_at(when, function() seen[#seen + 1] = i end)
      else
        tasks[#tasks + 1] = weft.create_task(function()
          weft.sleep(when - loop:time())
          seen[#seen + 1] = i
        end)
        weft.sleep(0) -- so that it sleeps
      end
    end
    weft.gather(tasks)
    assert.same({ 1, 2, 3, 4, 5, 6 }, seen)
  end))

  it("that are due take turns with tasks that never wait long", support.run(function()
    local loop, stop, steps = weft.get_running_loop(), false, 0
    local spinners = {}
    for i = 1, 5 do
      spinners[i] = weft.create_task(function()
        while not stop do
          steps = steps + 1
          weft.sleep(0)
        end
      end)
    end
    local ticks, before = 0, loop:time()
    while ticks < 5 do
      weft.sleep(0.002)
      ticks = ticks + 1
    end
    local took = loop:time() - before
    stop = true
    weft.gather(spinners)
    assert.is_true(took >= 0.01)
    assert.is_true(took < 5, took .. " s")
    assert.is_true(steps > 50, steps .. " steps")
  end))

  it("are not kept from a wait of their own by a crowd of ready tasks", support.run(function()
    local tasks, woken = {}, nil
    local timer = weft.create_task(function()
      weft.sleep(0.001)
      woken = true
    end)
    for i = 1, 2000 do
      tasks[i] = weft.create_task(function()
        while not woken do
          weft.sleep(0)
        end
      end)
    end
    weft.gather(tasks)
    assert.is_true(timer:done())
  end))

  -- libuv would wait for the handle's I/O alone, and for ever.
  it("that came due before the loop looked are not missed while a handle is open",
    support.run(function()
      local loop = weft.get_running_loop()
      loop:add_signal_handler("SIGUSR1", print)
      for _ = 1, 5 do
        local due = loop:time() + 0.001
        local task = weft.create_task(weft.sleep, 0.001)
        weft.create_task(function()
          weft.sleep(0)
          while loop:time() < due + 0.003 do end
        end)
        task:await()
      end
      loop:remove_signal_handler("SIGUSR1")
    end))

  it("with a delay below zero are due at once", support.virtual(function()
    local loop = weft.get_running_loop()
    local before = loop:time()
    for _, delay in ipairs { 0, -0.0, -1, -1e300, -math.huge } do
      weft.sleep(delay)
      local event = weft.event()
      loop:call_later(delay, event.set, event)
      event:wait()
    end
    assert.equal(before, loop:time())
  end))

  it("refuse NaN", support.run(function()
    local loop = weft.get_running_loop()
    support.raises("type", weft.sleep, 0 / 0)
    support.raises("type", weft.timeout, 0 / 0, function() end)
    support.raises("type", loop.call_later, loop, 0 / 0, print)
    support.raises("type", loop.call_at, loop, 0 / 0, print)
  end))

  it("with a delay beyond all times never come", support.virtual(function()
    local loop = weft.get_running_loop()
    local sleepers, handles = {}, {}
    for i, delay in ipairs(HUGE_DELAYS) do
      sleepers[i] = weft.create_task(weft.sleep, delay)
      handles[2 * i - 1] = loop:call_later(delay, error, "never")
      handles[2 * i] = loop:call_at(delay, error, "never")
      assert.equal(i, weft.timeout(delay, function()
        weft.sleep(0)
        return i
      end))
    end
    weft.sleep(300 * 86400)
    for i = 1, #HUGE_DELAYS do
      assert.is_false(sleepers[i]:done())
      sleepers[i]:cancel()
      support.raises("cancelled", sleepers[i].await, sleepers[i])
      handles[2 * i - 1]:cancel()
      handles[2 * i]:cancel()
    end
  end))

  it("of a virtual clock jump, and years pass in no time", support.virtual(function()
    local loop = weft.get_running_loop()
    local start, real = loop:time(), os.time()
    local seen = {}
    local tasks = {}
    for i, days in ipairs { 300, 1, 30, 7 } do
      tasks[i] = weft.create_task(function()
        weft.sleep(days * 86400)
        seen[#seen + 1] = days
        assert.near(days * 86400, loop:time() - start, 1e-3)
      end)
    end
    weft.gather(tasks)
    assert.same({ 1, 7, 30, 300 }, seen)
    assert.is_true(os.time() - real < 60)
  end))

  it("are few when they are taken back: the memory is used again", support.virtual(function()
    local loop = weft.get_running_loop()
    local before = loop:statistics().timers
    for _ = 1, 20 do
      local handles = {}
      for i = 1, 500 do
        handles[i] = loop:call_later(i, print)
      end
      assert.equal(before + 500, loop:statistics().timers)
      for i = 500, 1, -1 do
        handles[i]:cancel()
      end
      assert.equal(before, loop:statistics().timers)
    end
  end))
end)
