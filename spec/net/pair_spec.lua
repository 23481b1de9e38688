-- SPDX-License-Identifier: MIT
-- src/net/pair.c by testing.pair: pieces, delays, bounds and faults by their scripts, in real
-- and in virtual time; which end goes first. Operations at random are in stream_spec.lua.

local weft = require "weft"
local core = require "weft.core"
local support = require "spec.support"
local testing = require "weft.testing"

-- The sizes in which the bytes come.
local function pieces(stream)
  local list = {}
  repeat
    local some = stream:read()
    list[#list + 1] = #some
  until some == ""
  return list
end

describe("a pair", function()
  it("carries bytes both ways", support.run(function()
    local a, b = testing.pair()
    a:write("to b")
    b:write("to a")
    assert.same({ "to a", "to b" }, { a:read(), b:read() })
  end))

  it("needs no descriptor and no handle", support.run(function()
    local before = #core.descriptors()
    local handles = core.loop_statistics(weft.get_running_loop()).handles
    local a = testing.pair()
    weft.create_task(function() pcall(a.read, a) end)
    weft.sleep(0)
    assert.equal(before, #core.descriptors())
    assert.equal(handles, core.loop_statistics(weft.get_running_loop()).handles)
    a:close()
    weft.sleep(0)
  end))

  it("takes pieces by a list, which begins again", support.run(function()
    local a, b = testing.pair { splits = { 3, 1, 2 } }
    a:write("0123456789")
    a:close()
    assert.same({ 3, 1, 2, 3, 1, 0 }, pieces(b))
  end))

  it("takes pieces by a function, which is called at once", support.run(function()
    local calls = {}
    local a, b = testing.pair { b = { splits = function(i)
      calls[i] = true
      return i <= 3 and i or nil
    end } }
    assert.equal(4, #calls)
    a:write("0123456789")
    a:close()
    assert.same({ 1, 2, 3, 1, 2, 1, 0 }, pieces(b))
    local n = 0
    testing.pair { a = { splits = function()
      n = n + 1
      return 1
    end } }
    assert.equal(4096, n)
  end))

  it("has no pieces by an empty list", support.run(function()
    local a, b = testing.pair { splits = {} }
    a:write("0123456789")
    a:close()
    assert.same({ 10, 0 }, pieces(b))
  end))

  it("lets others run between two pieces", support.run(function()
    local a, b = testing.pair { splits = { 1 } }
    a:write("12345")
    local reader = weft.create_task(function() return b:read_exactly(5) end)
    weft.sleep(0)
    assert.is_false(reader:done())
    assert.equal("12345", reader:await())
  end))

  it("has options for each direction", support.virtual(function()
    local a, b = testing.pair { capacity = 5, delay = 1, b = { delay = 0, splits = { 2 } },
      a = { capacity = 100 } }
    b:write(("x"):rep(100)) -- fits
    a:write("12345")
    assert.same({ 2, 2, 1 }, { #b:read(), #b:read(), #b:read() })
    local loop = weft.get_running_loop()
    local start = loop:time()
    assert.equal(100, #a:read())
    assert.near(1, loop:time() - start, 1e-6)
  end))

  it("holds capacity bytes, no more", support.run(function()
    local a, b = testing.pair { capacity = 10 }
    a:write("0123456789")
    local task = weft.create_task(function() a:write("x") end)
    testing.wait_all_parked()
    assert.is_false(task:done())
    assert.equal("0", b:read(1))
    task:await()
    assert.equal("123456789x", b:read(100))
    local default, peer = testing.pair()
    default:write(("x"):rep(65536))
    task = weft.create_task(function() default:write("x") end)
    testing.wait_all_parked()
    assert.is_false(task:done())
    peer:close()
    support.raises({ "connection", "EPIPE" }, task.await, task)
  end))

  it("carries more than it holds", support.run(function()
    local a, b = testing.pair { capacity = 3 }
    local text = ("0123456789"):rep(1000)
    local task = weft.create_task(function()
      a:write(text)
      a:shutdown()
    end)
    assert.equal(text, b:read_all())
    task:await()
  end))

  it("refuses options that cannot be", support.run(function()
    for _, bad in ipairs { { capacity = 0 }, { capacity = -1 }, { capacity = 1.5 },
      { capacity = "1" }, { capacity = 2 ^ 40 }, { capacity = 0 / 0 }, { delay = -1 },
      { delay = "1" }, { delay = 0 / 0 }, { splits = 5 }, { splits = { 0 } },
      { splits = { 1, -1 } }, { splits = { 1.5 } }, { splits = { "x" } }, { splits = { 2 ^ 40 } },
      { splits = function() return 0 end }, { a = 5 }, { b = { capacity = 0 } } } do
      local ok, e = pcall(testing.pair, bad)
      assert.is_false(ok, next(bad))
      assert.is_true(weft.is_error(e, "type"), tostring(e))
    end
    local e = support.raises({ "type", "unknown_option" }, testing.pair, { split = { 1 } })
    assert.equal("pair: unknown option 'split' (did you mean 'splits'?)", e.message)
    e = support.raises({ "type", "unknown_option" }, testing.pair, { a = { dely = 1 } })
    assert.equal("pair: a: unknown option 'dely' (did you mean 'delay'?)", e.message)
    support.raises("type", testing.pair, 5)
  end))

  it("passes on what a function for pieces raises", support.run(function()
    assert.equal("mine", support.error_of(testing.pair, { splits = function()
      error("mine", 0)
    end }))
  end))

  it("is made of ends that may go in any order", support.outside(function()
    for order = 1, 4 do
      weft.run(function()
        local a, b = testing.pair { delay = order % 2 }
        a:write("abc")
        b:write("def")
        if order <= 2 then
          a:close()
          b:close()
        elseif order == 3 then
          a = nil -- luacheck: ignore
          collectgarbage()
          collectgarbage()
        end
      end)
    end
  end))

  it("is freed when its loop has gone, with a delay under way", support.outside(function()
    local a, b
    weft.run(function()
      a, b = testing.pair { delay = 1000 }
      a:write("abc")
      weft.create_task(function() b:read() end)
      weft.sleep(0)
    end)
    b:close()
    a = nil -- luacheck: ignore
  end))

  it("want of memory is told, and leaves nothing", support.run(function()
    for n = 1, 3 do
      local blocks = core.memory()
      local ok, e = testing.fail_allocation(n, testing.pair,
        { splits = { 1 }, a = { splits = { 2 } } })
      assert.is_false(ok, n)
      assert.equal("not enough memory", e)
      collectgarbage()
      assert.equal(blocks, (core.memory()))
    end
  end))
end)

describe("a pair with a delay", function()
  it("delivers each write after it, by a virtual clock", support.virtual(function()
    local a, b = testing.pair { delay = 3600 }
    local loop = weft.get_running_loop()
    local start = loop:time()
    local function passed()
      return math.floor(loop:time() - start + 0.5)
    end
    a:write("1")
    weft.sleep(60)
    a:write("2")
    weft.sleep(60)
    a:close()
    assert.same({ "1", 3600 }, { b:read(), passed() })
    assert.same({ "2", 3660 }, { b:read(), passed() })
    assert.same({ "", 3720 }, { b:read(), passed() })
  end))

  it("delivers in real time too", support.run(function()
    local a, b = testing.pair { delay = 0.01 }
    local loop = weft.get_running_loop()
    local start = loop:time()
    a:write("x")
    assert.equal("x", b:read())
    assert.is_true(loop:time() - start >= 0.01)
  end))

  it("does not slow down writing, but what is under way counts", support.virtual(function()
    local a, b = testing.pair { delay = 10, capacity = 4 }
    local loop = weft.get_running_loop()
    local start = loop:time()
    a:write("1234")
    assert.near(0, loop:time() - start, 1e-6)
    local reader = weft.create_task(function() return b:read_exactly(5) end)
    a:write("5")
    assert.near(10, loop:time() - start, 1e-6)
    assert.equal("12345", reader:await())
    assert.near(20, loop:time() - start, 1e-6)
  end))

  it("delivers what comes at one time together", support.virtual(function()
    local a, b = testing.pair { delay = 5 }
    a:write("1")
    a:write("2", "3")
    assert.equal("123", b:read())
  end))

  it("lets a time limit strike first", support.virtual(function()
    local a, b = testing.pair { delay = 10 }
    a:write("late")
    support.raises("timeout", weft.timeout, 9, b.read, b)
    assert.equal("late", weft.timeout(2, b.read, b))
  end))

  it("without end never delivers", support.virtual(function()
    local a, b = testing.pair { delay = math.huge }
    a:write("never")
    support.raises("timeout", weft.timeout, 1e6, b.read, b)
  end))
end)

describe("a deadlock on a pair", function()
  local function hangs(run)
    local e = support.raises({ "state", "deadlock" }, run, function()
      local a, b = testing.pair()
      weft.create_task(function() a:read() end)
      b:read_line()
    end)
    assert.matches("main: waits in read_line", e.message)
  end

  it("is found in real time", support.outside(function() hangs(weft.run) end))
  it("is found by a virtual clock", support.outside(function() hangs(testing.virtual_clock) end))

  it("is found in a writer too", support.outside(function()
    support.raises({ "state", "deadlock" }, weft.run, function()
      local a, b = testing.pair { capacity = 1 }
      a:write("12")
      return b
    end)
  end))

  it("is none while a delay runs", support.virtual(function()
    local a, b = testing.pair { delay = 1e5 }
    a:write("x")
    assert.equal("x", b:read())
  end))
end)

describe("a fault", function()
  it("reset breaks both ends after so many bytes", support.run(function()
    local a, b = testing.pair()
    b:fault("reset", 3)
    a:write("12345")
    assert.equal("12", b:read(2))
    assert.equal("3", b:read())
    support.raises({ "connection", "ECONNRESET" }, b.read, b)
    support.raises({ "connection", "ECONNRESET" }, b.write, b, "x")
    support.raises({ "connection", "ECONNRESET" }, a.read, a)
    support.raises({ "connection", "ECONNRESET" }, a.write, a, "x")
    support.raises({ "connection", "ECONNRESET" }, a.shutdown, a)
  end))

  it("strikes in the middle of waits, of both ends", support.run(function()
    local a, b = testing.pair { capacity = 2 }
    local tasks = {}
    tasks[1] = weft.create_task(function() a:read() end)
    tasks[2] = weft.create_task(function() b:read() end)
    tasks[3] = weft.create_task(function() b:write("12345") end)
    testing.wait_all_parked()
    a:fault("reset", 5)
    for i = 1, 3 do
      local ok = tasks[i]:done()
      assert.equal(i == 1, ok) -- it has read; nothing is broken yet
    end
    b:fault("reset")
    for i = 2, 3 do
      support.raises({ "connection", "ECONNRESET" }, tasks[i].await, tasks[i])
    end
  end))

  it("eof is the end for the one, and nothing to the other", support.run(function()
    local a, b = testing.pair()
    b:fault("eof", 2)
    a:write("12345")
    assert.equal("12", support.raises({ "connection", "EOF" }, b.read_exactly, b, 5).partial)
    assert.equal("", b:read())
    a:write("6")
    b:write("fine")
    assert.equal("fine", a:read())
  end))

  it("timeout breaks the one, and the other is not told", support.run(function()
    local a, b = testing.pair()
    b:fault("timeout", 1)
    a:write("12")
    assert.equal("1", support.raises({ "connection", "ETIMEDOUT" }, b.read_exactly, b, 2).partial)
    support.raises({ "connection", "ETIMEDOUT" }, b.write, b, "x")
    a:write("more")
    support.raises("timeout", weft.timeout, 0.001, a.read, a)
  end))

  it("at once wakes a reader and a writer", support.run(function()
    for kind, code in pairs { reset = "ECONNRESET", timeout = "ETIMEDOUT" } do
      local a = testing.pair { capacity = 1 }
      local reader = weft.create_task(function() a:read() end)
      local writer = weft.create_task(function() a:write("12") end)
      testing.wait_all_parked()
      a:fault(kind)
      support.raises({ "connection", code }, reader.await, reader)
      support.raises({ "connection", code }, writer.await, writer)
    end
    local a = testing.pair()
    local reader = weft.create_task(function() return a:read() end)
    testing.wait_all_parked()
    a:fault("eof")
    assert.equal("", reader:await())
  end))

  it("can be taken back by a later one, as long as it has not come", support.run(function()
    local a, b = testing.pair()
    b:fault("reset", 3)
    b:fault("eof", 5)
    a:write("1234567")
    assert.equal("12345", b:read_all())
  end))

  it("is for streams of a pair, and of a known kind", support.run(function()
    local a, b = testing.pair()
    support.raises("type", a.fault, a, "explosion")
    support.raises("type", a.fault, a)
    for _, bad in ipairs { -1, 0.5, "x", 0 / 0 } do
      support.raises("type", a.fault, a, "eof", bad)
    end
    a:close()
    support.raises({ "closed", "ESTREAMCLOSED" }, a.fault, a, "eof")
    local c, d = core.socket_pair()
    support.raises("state", c.fault, c, "eof")
    c:close()
    d:close()
    assert.equal("", b:read())
  end))
end)
