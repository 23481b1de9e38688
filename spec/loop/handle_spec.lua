-- SPDX-License-Identifier: MIT
-- src/loop/handle.c: a libuv handle and the box that owns it: whichever goes first, in any
-- order, nothing is freed twice, nothing is left. Signals are the handles at hand; the core
-- functions are used as the Lua files of weft use them.

local weft = require "weft"
local core = require "weft.core"
local cc = require "spec.c.cc"
local support = require "spec.support"
local waits = require "spec.waits"

local posix = cc.module "posix"
local USR1 = core.signals.SIGUSR1

local function nothing() end

local function collect()
  collectgarbage()
  collectgarbage()
end

local function open(loop)
  return core.signal(loop, USR1, false, false, nothing)
end

describe("a handle", function()
  it("is counted while it is open", support.run(function()
    local loop = weft.get_running_loop()
    assert.equal(1, loop:statistics().handles) -- the run's own, for Ctrl-C
    local handle = open(loop)
    assert.equal(2, loop:statistics().handles)
    core.signal_close(handle)
    assert.equal(1, loop:statistics().handles)
  end))

  it("can be closed twice, before and after its closing has ended", support.run(function()
    local handle = open(weft.get_running_loop())
    core.signal_close(handle)
    core.signal_close(handle)
    weft.sleep(0.001)
    core.signal_close(handle)
    weft.sleep(0.001)
  end))

  it("is closed by the collector", support.run(function()
    local loop = weft.get_running_loop()
    for _ = 1, 20 do
      open(loop)
    end
    assert.equal(21, loop:statistics().handles)
    collect()
    assert.equal(1, loop:statistics().handles)
    assert.equal("default", posix.disposition(USR1))
  end))

  it("that is collected while its signal is on the way is not called", support.run(function()
    local called = false
    core.signal(weft.get_running_loop(), USR1, false, false, function() called = true end)
    posix.kill(0, USR1)
    collect()
    weft.sleep(0.005)
    assert.is_false(called)
  end))

  it("is freed with its loop, and can be closed after it", support.outside(function()
    local loop = weft.new_event_loop()
    local handles = { open(loop), open(loop), open(loop) }
    core.signal_close(handles[2])
    loop:close()
    for i = 3, 1, -1 do
      core.signal_close(handles[i])
    end
  end))

  it("may be dropped together with its loop", support.outside(function()
    for _ = 1, 20 do
      local loop = weft.new_event_loop()
      local handle = open(loop)
      core.loop_root(loop).cycle = { loop, handle }
    end
    collect()
    assert.equal("default", posix.disposition(USR1))
  end))

  it("keeps its loop open for as long as it is open itself", support.outside(function()
    local loop = weft.new_event_loop()
    local handle = open(loop)
    assert.is_true(loop:alive())
    loop:run_once()
    assert.is_true(loop:alive())
    core.signal_close(handle)
    assert.is_true(loop:alive()) -- its closing is still to end
    assert.equal(0, loop:next_timeout())
    loop:run_once()
    assert.is_false(loop:alive())
    loop:close()
  end))

  it("in the background keeps nothing awake", support.outside(function()
    local loop = weft.new_event_loop()
    local handle = core.signal(loop, USR1, false, true, nothing)
    assert.is_false(loop:alive())
    support.raises({ "state", "deadlock" }, loop.run_until_complete, loop, function()
      loop:create_future():await()
    end)
    core.signal_close(handle)
    loop:set_exception_handler(nothing)
    loop:close()
  end))

  it("for which there is no memory is an error, and nothing is left", support.outside(function()
    local loop = weft.new_event_loop()
    for n = 1, 3 do
      core.fail_allocation(n)
      local ok, e = pcall(open, loop)
      core.fail_allocation(0)
      if not ok then
        assert.matches("not enough memory", e)
      end
      assert.is_true(n > 1 or not ok)
    end
    collect()
    loop:run_once()
    assert.equal(0, loop:statistics().handles)
    loop:close()
  end))

  it("needs no descriptor of its own; a loop for which there is none is an error", function()
    local text, status = cc.script([[
      local core = require "weft.core"
      local blocks = core.memory()
      local loop = weft.new_event_loop()
      repeat until not pcall(posix.pipe)
      local last = io.open("/dev/null") -- of an odd number one is left
      loop:add_signal_handler("SIGUSR1", function() print "signal" loop:stop() end)
      posix.kill(0, 10)
      loop:run_forever()
      for _ = 1, 5 do
        local ok, e = pcall(weft.new_event_loop)
        print(ok, e.kind, e.code)
      end
      loop:close()
      collectgarbage()
      collectgarbage()
      print(core.memory() - blocks)]], "ulimit -n 40;")
    assert.same({ "signal\n" .. ("false\tos\tEMFILE\n"):rep(5) .. "0\n", 0 }, { text, status })
  end)

  it("for a loop that cannot be opened leaves nothing", support.outside(function()
    local n = 0
    repeat
      n = n + 1
      core.fail_allocation(n)
      local ok, loop = pcall(weft.new_event_loop)
      core.fail_allocation(0)
      if ok then
        loop:close()
      else
        assert.matches("not enough memory", loop)
      end
    until ok
    assert.is_true(n > 1)
  end))

  it("survives any order of opening, closing, dropping and running", support.outside(function()
    local random = waits.random(5)
    for _ = 1, support.rounds(200) do
      local loop, handles = weft.new_event_loop(), {}
      for _ = 1, random(1, 12) do
        local what, i = random(1, 6), random(1, 4)
        if what <= 2 then
          handles[i] = open(loop)
        elseif what == 3 and handles[i] then
          core.signal_close(handles[i])
        elseif what == 4 then
          handles[i] = nil
        elseif what == 5 then
          loop:run_once()
        else
          collectgarbage("step", 100)
        end
      end
      if random(1, 2) == 1 then
        loop:close()
      end
    end
    collect()
    assert.equal("default", posix.disposition(USR1))
  end))
end)
