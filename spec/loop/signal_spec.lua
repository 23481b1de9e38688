-- SPDX-License-Identifier: MIT
-- src/loop/signal.c and the loop's methods for it: handlers come, are replaced and go; each
-- signal is handled, in every loop that asked for it. Ctrl-C is the runner's: see there.

local weft = require "weft"
local core = require "weft.core"
local cc = require "spec.c.cc"
local support = require "spec.support"
local testing = require "weft.testing"

local posix = cc.module "posix"
local USR1, USR2 = core.signals.SIGUSR1, core.signals.SIGUSR2

local function send(number)
  posix.kill(0, number)
end

-- Waits until check() is true; the guard time of the spec is the limit.
local function wait_until(check)
  while not check() do
    weft.sleep(0.001)
  end
end

local function collect_reports(loop)
  local contexts = {}
  loop:set_exception_handler(function(_, context)
    contexts[#contexts + 1] = context
  end)
  return contexts
end

describe("a signal handler", function()
  it("is called with its arguments for each signal, by name or by number",
    support.run(function()
      local loop = weft.get_running_loop()
      local got = {}
      local function note(...)
        got[#got + 1] = select("#", ...) .. tostring(...)
        assert(weft.current_task() == nil)
      end
      loop:add_signal_handler("SIGUSR1", note, "one", nil)
      loop:add_signal_handler(USR2, note, "two")
      assert.equal("handled", posix.disposition(USR1))
      send(USR1)
      wait_until(function() return #got == 1 end)
      send(USR2)
      wait_until(function() return #got == 2 end)
      for _ = 1, 5 do
        send(USR1)
      end
      wait_until(function() return #got == 7 end)
      assert.same({ "2one", "1two", "2one", "2one", "2one", "2one", "2one" }, got)
      assert.is_true(loop:remove_signal_handler(USR1))
      assert.is_true(loop:remove_signal_handler("SIGUSR2"))
      assert.is_false(loop:remove_signal_handler("SIGUSR1"))
      assert.equal("default", posix.disposition(USR1))
      assert.equal("default", posix.disposition(USR2))
    end))

  it("takes the place of the one before", support.run(function()
    local loop = weft.get_running_loop()
    local got = {}
    loop:add_signal_handler("SIGUSR1", function() got[#got + 1] = "first" end)
    loop:add_signal_handler("SIGUSR1", function() got[#got + 1] = "second" end)
    assert.equal(2, loop:statistics().handles) -- and the run's own, for Ctrl-C
    send(USR1)
    wait_until(function() return got[1] end)
    weft.sleep(0.005)
    assert.same({ "second" }, got)
    loop:remove_signal_handler("SIGUSR1")
  end))

  it("that is removed misses the signals that were not handled yet", support.run(function()
    local loop = weft.get_running_loop()
    local got = 0
    loop:add_signal_handler("SIGUSR1", function() got = got + 1 end)
    send(USR1)
    send(USR1)
    loop:remove_signal_handler("SIGUSR1")
    weft.sleep(0.005)
    assert.equal(0, got)
    loop:add_signal_handler("SIGUSR1", function()
      got = got + 1
      loop:remove_signal_handler("SIGUSR1")
    end)
    for _ = 1, 3 do
      send(USR1)
    end
    wait_until(function() return got > 0 end)
    weft.sleep(0.005)
    assert.equal(1, got) -- from inside itself, too
  end))

  it("whose error reaches the exception handler stops nothing", support.run(function()
    local loop = weft.get_running_loop()
    local reports = collect_reports(loop)
    loop:add_signal_handler("SIGUSR1", error, "bad signal", 0)
    loop:add_signal_handler("SIGUSR2", function() weft.sleep(0) end)
    send(USR1)
    wait_until(function() return #reports == 1 end)
    send(USR1)
    wait_until(function() return #reports == 2 end)
    send(USR2)
    wait_until(function() return #reports == 3 end)
    assert.equal("bad signal", reports[1].exception.value)
    assert.equal("bad signal", reports[2].exception.value)
    assert.matches("^error in a callback defined at %[C%]$", reports[1].message)
    assert.equal("ENOTASK", reports[3].exception.code)
    loop:remove_signal_handler("SIGUSR1")
    loop:remove_signal_handler("SIGUSR2")
  end))

  it("wakes what waits: a task made or a future set in it", support.run(function()
    local loop = weft.get_running_loop()
    local future = loop:create_future()
    loop:add_signal_handler("SIGUSR1", function()
      loop:create_task(function()
        weft.sleep(0)
        future:set_result("from a task")
      end)
    end)
    loop:call_soon(send, USR1)
    assert.equal("from a task", future:await())
    loop:remove_signal_handler("SIGUSR1")
  end))

  it("is not kept from its signal by tasks that never wait long", support.run(function()
    local loop = weft.get_running_loop()
    local stop, steps = false, 0
    loop:add_signal_handler("SIGUSR1", function() stop = true end)
    local tasks = {}
    for i = 1, 10 do
      tasks[i] = weft.create_task(function()
        while not stop do
          steps = steps + 1
          if steps == 500 then
            send(USR1)
          end
          weft.sleep(0)
        end
      end)
    end
    weft.gather(tasks)
    assert.is_true(steps >= 500)
    loop:remove_signal_handler("SIGUSR1")
  end))

  it("belongs to its loop: two loops have two", support.outside(function()
    local loops, got = { weft.new_event_loop(), weft.new_event_loop() }, { 0, 0 }
    for i, loop in ipairs(loops) do
      loop:add_signal_handler("SIGUSR1", function()
        got[i] = got[i] + 1
        loop:stop()
      end)
    end
    send(USR1)
    loops[1]:run_forever()
    assert.same({ 1, 0 }, got)
    loops[2]:run_forever()
    assert.same({ 1, 1 }, got)
    loops[1]:remove_signal_handler("SIGUSR1")
    assert.equal("handled", posix.disposition(USR1))
    send(USR1)
    loops[2]:run_forever()
    assert.same({ 1, 2 }, got)
    loops[1]:close()
    loops[2]:close()
    assert.equal("default", posix.disposition(USR1))
  end))

  it("goes when its loop is closed or collected", support.outside(function()
    local loop = weft.new_event_loop()
    loop:add_signal_handler("SIGUSR1", print)
    loop:close()
    assert.equal("default", posix.disposition(USR1))
    loop = weft.new_event_loop()
    loop:add_signal_handler("SIGUSR1", print)
    loop = nil -- luacheck: ignore 311
    collectgarbage()
    collectgarbage()
    assert.equal("default", posix.disposition(USR1))
  end))

  it("lives without anybody holding it", support.run(function()
    local loop = weft.get_running_loop()
    local got = false
    testing.gc_stress(function()
      loop:add_signal_handler("SIGUSR1", function() got = true end)
      weft.sleep(0)
      send(USR1)
      wait_until(function() return got end)
      loop:remove_signal_handler("SIGUSR1")
    end)
  end))

  it("is refused for what cannot be one", support.run(function()
    local loop = weft.get_running_loop()
    local e = support.raises("type", loop.add_signal_handler, loop, "SIGUSR3", print)
    assert.matches("unknown signal 'SIGUSR3' (did you mean 'SIGUSR", e.message, 1, true)
    support.raises("type", loop.add_signal_handler, loop, "usr1", print)
    support.raises("type", loop.add_signal_handler, loop, nil, print)
    support.raises("type", loop.add_signal_handler, loop, 0, print)
    support.raises("type", loop.add_signal_handler, loop, -1, print)
    support.raises("type", loop.add_signal_handler, loop, 1.5, print)
    support.raises("type", loop.add_signal_handler, loop, "SIGUSR1")
    support.raises("type", loop.add_signal_handler, loop, "SIGUSR1", 5)
    support.raises("type", loop.remove_signal_handler, loop, "SIGUSR3")
    for _, name in ipairs { "SIGKILL", "SIGSTOP", 12345 } do
      support.raises({ "os", "EINVAL" }, loop.add_signal_handler, loop, name, print)
    end
    collectgarbage()
    collectgarbage()
    assert.equal(1, loop:statistics().handles)
  end))

  it("stays when one for the same signal is refused", support.run(function()
    local loop = weft.get_running_loop()
    local got = false
    loop:add_signal_handler("SIGUSR1", function() got = true end)
    support.raises("type", loop.add_signal_handler, loop, "SIGUSR1", "x")
    local ok = testing.fail_allocation(1, loop.add_signal_handler, loop, "SIGUSR1", print)
    assert.is_false(ok)
    send(USR1)
    wait_until(function() return got end)
    loop:remove_signal_handler("SIGUSR1")
  end))
end)

describe("a broken pipe", function()
  it("does not end a process that uses weft, unless it has an effect of its own", function()
    local text, status = cc.script [[
      local loop = weft.new_event_loop()
      assert(posix.disposition(13) == "ignored")
      local r, w = posix.pipe()
      posix.close(r)
      assert(posix.write(w, "x") < 0)
      print "alive"]]
    assert.same({ "alive\n", 0 }, { text, status })
  end)
end)
