-- SPDX-License-Identifier: MIT
-- weft.stream: writing: order, back-pressure, what a cancellation leaves, half close. On each
-- kind of stream.

local weft = require "weft"
local core = require "weft.core"
local support = require "spec.support"
local streams = require "spec.streams"
local testing = require "weft.testing"

local sockets = require("spec.c.cc").module("sockets")
local unpack = table.unpack or unpack

-- Fills the way from a to b until a write waits; the task that waits, and what it writes.
local function clogged(a, size)
  local text = streams.pattern(size or 8000000)
  local task = weft.create_task(function()
    a:write(text)
  end)
  testing.wait_all_parked()
  assert.is_false(task:done())
  return task, text
end

describe("write", function()
  local COUNTS = { 0, 1, 2, 4, 5, 8, 9, 64, 65, 100, support.slow and 300 or 2000 }

  streams.each(it, "sends strings of any number in order, over %s", function(a, b)
    local expected = {}
    local task = weft.create_task(function()
      for _, n in ipairs(COUNTS) do
        local list = {}
        for i = 1, n do
          list[i] = i % 3 == 0 and "" or ("%d/%d;"):format(i, n)
        end
        expected[#expected + 1] = table.concat(list)
        a:write(unpack(list))
      end
      a:shutdown()
    end)
    local all = b:read_all()
    task:await()
    assert.equal(table.concat(expected), all)
  end)

  streams.each(it, "sends nothing for empty strings, over %s", function(a, b)
    a:write()
    a:write("")
    a:write("", "", "", "", "", "", "", "", "", "")
    a:write("", "x", "")
    a:write("")
    a:shutdown()
    assert.equal("x", b:read_all())
  end)

  streams.each(it, "takes numbers, and sends each byte there is, over %s", function(a, b)
    local bytes = {}
    for i = 0, 255 do
      bytes[i + 1] = string.char(i)
    end
    local task = weft.create_task(function()
      a:write(12, table.concat(bytes), "", 3)
      a:close()
    end)
    assert.equal("12" .. table.concat(bytes) .. "3", b:read_all())
    task:await()
  end)

  it("refuses what is no string before it sends anything", support.run(function()
    local a, b = testing.pair()
    for i, bad in ipairs { {}, true, print, weft.event() } do
      local e = support.raises("type", a.write, a, "x", bad, "y")
      assert.equal("write: argument 2: a string expected, got " .. type(bad), e.message, i)
    end
    support.raises("type", a.write, a, nil)
    a:shutdown()
    assert.equal("", b:read_all())
  end))

  for _, kind in ipairs(streams.kinds) do
    if kind.is_socket then
      it("of much is not joined, waits for a slow reader, and keeps memory, over " .. kind.name,
        support.run(function()
          streams.with(kind, function(a, b)
            local MIB = support.slow and 16 or 64
            local piece = streams.pattern(1024 * 1024)
            local list = {}
            for i = 1, MIB do
              list[i] = piece
            end
            local is_written = false
            local task = weft.create_task(function()
              a:write(unpack(list))
              is_written = true
              a:shutdown()
            end)
            testing.wait_all_parked()
            assert.is_false(is_written)
            local _, before = core.memory()
            local _, bytes
            for i = 1, MIB do
              assert.is_true(piece == b:read_exactly(#piece), i)
              assert.is_true(not is_written or i > MIB - 16) -- the system keeps less
              _, bytes = core.memory()
              assert.is_true(bytes - before < 4 * 1024 * 1024, bytes - before)
            end
            assert.equal("", b:read())
            task:await()
          end)
        end))
    end
  end

  it("waits when a pair is full and goes on when there is room", support.run(function()
    local a, b = testing.pair { capacity = 4 }
    local steps = {}
    local task = weft.create_task(function()
      a:write("1234")
      steps[#steps + 1] = "four"
      a:write("5")
      steps[#steps + 1] = "five"
    end)
    testing.wait_all_parked()
    assert.same({ "four" }, steps)
    assert.equal("1", b:read(1))
    task:await()
    assert.same({ "four", "five" }, steps)
    assert.equal("2345", b:read_exactly(4))
  end))

  streams.each(it, "goes on in both directions at once, over %s", function(a, b)
    local size = 200000
    local text = streams.pattern(size)
    local function both(stream)
      local reader = weft.create_task(function()
        return stream:read_exactly(size)
      end)
      stream:write(text)
      return reader:await()
    end
    local results = weft.gather(function() return both(a) end, function() return both(b) end)
    assert.is_true(results[1] == text and results[2] == text)
  end)

  streams.each(it, "is followed by drain, which has nothing to wait for, over %s", function(a, b)
    a:write("abc")
    a:drain()
    assert.equal("abc", b:read_exactly(3))
  end)
end)

describe("a cancelled write", function()
  for _, kind in ipairs(streams.kinds) do
    it("of which a part was sent leaves a stream that says so, over " .. kind.name,
      support.run(function()
        streams.with(kind, function(a, b)
          local task, text = clogged(a)
          task:cancel()
          support.raises("cancelled", task.await, task)
          local e = support.raises({ "state", "EHALFSENT" }, a.write, a, "more")
          assert.matches("an earlier write was broken off half%-way: nothing more can be written",
            e.message)
          support.raises({ "state", "EHALFSENT" }, a.shutdown, a)
          support.raises({ "state", "EHALFSENT" }, a.drain, a)
          assert.equal(text:sub(1, 7), b:read_exactly(7)) -- the other direction is fine
          b:write("still")
          assert.equal("still", a:read_exactly(5))
          a:close()
        end)
      end))
  end

  it("before any byte went leaves the stream as it was", support.run(function()
    local a, b = testing.pair { capacity = 4 }
    a:write("full")
    local task = clogged(a, 10)
    task:cancel()
    support.raises("cancelled", task.await, task)
    assert.equal("full", b:read_exactly(4))
    a:write("fine")
    a:shutdown()
    assert.equal("fine", b:read_all())
  end))

  it("before any byte went leaves a socket as it was", support.run(function()
    streams.with(streams.kinds[1], function(a, b)
      sockets.set(a:fileno(), "sndbuf", 4096)
      sockets.set(b:fileno(), "rcvbuf", 4096)
      local sent = 0
      local task = weft.create_task(function()
        while true do
          a:write("x") -- one byte is sent or not
          sent = sent + 1
        end
      end)
      testing.wait_all_parked()
      task:cancel()
      support.raises("cancelled", task.await, task)
      assert.is_true(sent > 1)
      local writer = weft.create_task(function()
        a:write("end")
        a:shutdown()
      end)
      assert.equal(("x"):rep(sent) .. "end", b:read_all())
      writer:await()
    end)
  end))

  it("that times out is told by the scope", support.run(function()
    local a = testing.pair { capacity = 4 }
    local e = support.raises("timeout", weft.timeout, 0.01, a.write, a, "12345")
    assert.equal("timeout", e.kind)
    support.raises({ "state", "EHALFSENT" }, a.write, a, "")
  end))

  it("frees what it kept, whatever the number of strings", support.run(function()
    for _, n in ipairs { 1, 4, 5, 8, 9, 100 } do
      local a, b = testing.pair { capacity = 1 }
      local blocks = core.memory()
      local list = setmetatable({}, { __mode = "v" })
      local task = weft.create_task(function()
        local texts = {}
        for i = 1, n do
          texts[i] = "text " .. i
        end
        a:write(unpack(texts))
      end)
      testing.wait_all_parked()
      task:cancel()
      pcall(task.await, task)
      assert.is_true(core.memory() <= blocks + 1, n) -- the byte on its way
      a:close()
      b:close()
      assert.equal(0, #list)
    end
  end))

  it("can be awaited again by another write after a cancelled read", support.run(function()
    local a, b = testing.pair()
    local reader = weft.create_task(function() b:read_exactly(10) end)
    a:write("12345")
    testing.wait_all_parked()
    reader:cancel()
    support.raises("cancelled", reader.await, reader)
    a:write("67890")
    assert.equal("1234567890", b:read_exactly(10)) -- nothing is lost
  end))
end)

describe("one task for each direction", function()
  streams.each(it, "a second writer is refused, over %s", function(a, b)
    local task = clogged(a)
    local e = support.raises("state", a.write, a, "x")
    assert.equal("another task writes on this stream already", e.message)
    support.raises("state", a.shutdown, a)
    support.raises("state", a.drain, a)
    assert.equal("0000", b:read_exactly(4)) -- reading is another matter
    task:cancel()
    pcall(task.await, task)
  end)

  streams.each(it, "a second reader is refused, and the first one goes on, over %s",
    function(a, b)
      local first = weft.create_task(function() return b:read_exactly(3) end)
      testing.wait_all_parked()
      for name, argument in pairs { read = 1, read_exactly = 1, read_until = "x", read_line = 10,
        read_all = 10 } do
        local e = support.raises("state", b[name], b, argument)
        assert.equal("another task reads on this stream already", e.message)
      end
      b:write("answer")
      a:write("abc")
      assert.equal("abc", first:await())
      assert.equal("answer", a:read_exactly(6))
    end)

  streams.each(it, "the next one may come as soon as the first has ended, over %s",
    function(a, b)
      local task = clogged(a)
      task:cancel()
      pcall(task.await, task)
      local reader = weft.create_task(function() return a:read(1) end)
      testing.wait_all_parked()
      reader:cancel()
      pcall(reader.await, reader)
      b:write("x")
      assert.equal("x", a:read(1))
    end)
end)

describe("half close", function()
  streams.each(it, "ends one direction and leaves the other, over %s", function(a, b)
    a:write("bye")
    a:shutdown()
    assert.equal("bye", b:read_all())
    b:write("and")
    b:shutdown()
    assert.equal("and", a:read_all())
    assert.is_false(a:is_closed())
  end)

  streams.each(it, "may be said twice, over %s", function(a, b)
    a:shutdown()
    a:shutdown()
    assert.equal("", b:read())
  end)

  streams.each(it, "lets no more be written, over %s", function(a)
    a:shutdown()
    local e = support.raises({ "connection", "EPIPE" }, a.write, a, "x")
    assert.matches("broken pipe", e.message)
  end)

  streams.each(it, "from both sides at once, over %s", function(a, b)
    weft.gather(function() a:shutdown() end, function() b:shutdown() end)
    assert.equal("", a:read_all())
    assert.equal("", b:read_all())
  end)

  streams.each(it, "is fine after the peer has gone, over %s", function(a, b)
    b:close()
    assert.equal("", a:read())
    a:shutdown()
  end)
end)
