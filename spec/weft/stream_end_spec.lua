-- SPDX-License-Identifier: MIT
-- weft.stream: how streams end: closing on either side, resets, misuse, collection, loops
-- that are closed, want of memory; and what they say about themselves.

local weft = require "weft"
local core = require "weft.core"
local support = require "spec.support"
local streams = require "spec.streams"
local testing = require "weft.testing"

local sockets = require("spec.c.cc").module("sockets")

-- Resets the connection from a's side, so that b sees it.
local function reset(a, b, kind)
  if kind.is_socket then
    sockets.linger(a:fileno())
    a:close()
  else
    b:fault("reset")
  end
end

-- What gives no end but a reset: a Unix socket has no such option.
local function each_resettable(it_, text, fn)
  for _, kind in ipairs(streams.kinds) do
    if kind.is_tcp or not kind.is_socket then
      it_(text:format(kind.name), support.run(function()
        streams.with(kind, function(a, b) fn(a, b, kind) end)
      end))
    end
  end
end

local function clogged(a)
  local text = streams.pattern(8000000)
  local task = weft.create_task(function() a:write(text) end)
  testing.wait_all_parked()
  assert.is_false(task:done())
  return task
end

describe("closing a stream", function()
  streams.each(it, "wakes its reader and its writer with closed, over %s", function(a)
    local reader = weft.create_task(function() return a:read() end)
    local writer = clogged(a)
    a:close()
    local e = support.raises({ "closed", "ESTREAMCLOSED" }, reader.await, reader)
    assert.matches("read from .*: the stream is closed", e.message)
    e = support.raises({ "closed", "ESTREAMCLOSED" }, writer.await, writer)
    assert.matches("write to .*: the stream is closed", e.message)
  end)

  streams.each(it, "is idempotent, and refuses all that comes after, over %s", function(a)
    assert.is_false(a:is_closed())
    a:close()
    a:close()
    assert.is_true(a:is_closed())
    for name, argument in pairs { read = 1, read_exactly = 0, read_until = "x", read_line = 1,
      read_all = 1, write = "x", drain = false, shutdown = false } do
      local e = support.raises({ "closed", "ESTREAMCLOSED" }, a[name], a, argument or nil)
      assert.equal("the stream is closed", e.message)
    end
    support.raises({ "closed", "ESTREAMCLOSED" }, a:lines())
    support.raises("closed", a.getpeername, a)
    support.raises("closed", a.getsockname, a)
    assert.is_nil(a:fileno())
  end)

  streams.each(it, "lets the peer read what was written, over %s", function(a, b, kind)
    local text = kind.is_socket and streams.pattern(50000) or "sent"
    a:write(text)
    a:close()
    assert.equal(text, b:read_all())
    assert.equal("", b:read())
  end)

  streams.each(it, "ends the peer's reading, whichever it is, over %s", function(a, b)
    local reader = weft.create_task(function()
      return support.raises({ "connection", "EOF" }, b.read_exactly, b, 10).partial
    end)
    a:write("partly")
    testing.wait_all_parked()
    a:close()
    assert.equal("partly", reader:await())
  end)

  streams.each(it, "breaks the peer's writing, over %s", function(a, b)
    local writer = clogged(b)
    a:close()
    local e = support.raises("connection", writer.await, writer)
    assert.is_true(e.code == "EPIPE" or e.code == "ECONNRESET", e.code)
    e = support.raises("connection", b.write, b, "more")
    assert.is_true(e.code == "EPIPE" or e.code == "ECONNRESET", e.code)
  end)

  streams.each(it, "in the turn in which its reader was woken is told, over %s", function(a, b)
    local reader = weft.create_task(function() return b:read() end)
    testing.wait_all_parked()
    a:write("x")
    b:close()
    support.raises("closed", reader.await, reader)
  end)

  streams.each(it, "is what with does, on return, error and cancellation, over %s",
    function(a, b, kind)
      assert.same({ 1, nil, 3 }, { a:with(function(stream, x)
        assert.equal(a, stream)
        return x, nil, 3
      end, 1) })
      assert.is_true(a:is_closed())
      local e = support.error_of(b.with, b, function() error("mine", 0) end)
      assert.equal("mine", e)
      assert.is_true(b:is_closed())
      local c, d = kind.make()
      local task = weft.create_task(function() c:with(c.read) end)
      testing.wait_all_parked()
      task:cancel()
      support.raises("cancelled", task.await, task)
      assert.is_true(c:is_closed())
      d:close()
      support.raises("type", d.with, d, "no function")
    end)
end)

describe("a reset", function()
  each_resettable(it, "wakes a reader, with what there was, over %s", function(a, b, kind)
    a:write("abc")
    local reader = weft.create_task(function()
      return support.raises({ "connection", "ECONNRESET" }, b.read_exactly, b, 10)
    end)
    testing.wait_all_parked()
    weft.sleep(0.001) -- the bytes are read before the reset comes
    reset(a, b, kind)
    local e = reader:await()
    assert.equal("abc", e.partial)
    assert.matches("connection reset by peer", e.message)
  end)

  each_resettable(it, "stays, for reading and for writing, over %s", function(a, b, kind)
    reset(a, b, kind)
    for _ = 1, 2 do
      support.raises({ "connection", "ECONNRESET" }, b.read, b)
      support.raises({ "connection", "ECONNRESET" }, b.read_line, b)
      support.raises({ "connection", "ECONNRESET" }, b.read_all, b)
    end
    support.raises("connection", b.write, b, "x")
  end)

  each_resettable(it, "wakes a writer, over %s", function(a, b, kind)
    local writer = clogged(b)
    reset(a, b, kind)
    local e = support.raises("connection", writer.await, writer)
    assert.is_true(e.code == "ECONNRESET" or e.code == "EPIPE", e.code)
  end)

  each_resettable(it, "wakes both at once, over %s", function(a, b, kind)
    local writer = clogged(b)
    local reader = weft.create_task(function() return b:read() end)
    testing.wait_all_parked()
    reset(a, b, kind)
    support.raises({ "connection", "ECONNRESET" }, reader.await, reader)
    support.raises("connection", writer.await, writer)
  end)
end)

describe("a cancelled read", function()
  streams.each(it, "loses nothing, whichever method it was, over %s", function(a, b)
    for name, argument in pairs { read = 5, read_exactly = 100, read_until = "\0",
      read_line = 100, read_all = 100 } do
      local reader = weft.create_task(function() return b[name](b, argument) end)
      testing.wait_all_parked()
      if name ~= "read" then
        a:write("ab")
        testing.wait_all_parked()
      end
      reader:cancel()
      support.raises("cancelled", reader.await, reader)
      a:write("cd")
      assert.equal(name == "read" and "cd" or "abcd", b:read_exactly(name == "read" and 2 or 4))
    end
  end)

  streams.each(it, "in a task that is cancelled already reads nothing, over %s", function(a, b)
    a:write("there")
    local task = weft.create_task(function()
      pcall(weft.sleep, 60)
      support.raises("cancelled", b.read, b)
      support.raises("cancelled", b.write, b, "x")
    end)
    testing.wait_all_parked()
    task:cancel()
    task:await()
    assert.equal("there", b:read_exactly(5))
    b:close()
    assert.equal("", a:read_all())
  end)
end)

describe("a stream in the wrong place", function()
  it("does not work outside a task", support.outside(function()
    local runner = weft.runner()
    local a, b = runner:run(testing.pair)
    for name, argument in pairs { read = 1, read_line = 1, write = "x", shutdown = false } do
      support.raises({ "state", "ENOTASK" }, a[name], a, argument or nil)
    end
    runner:close()
    support.raises("state", a.read, a)
    a:close()
    b:close()
  end))

  it("does not work in another loop, but may be closed there", support.outside(function()
    local one, two = weft.runner(), weft.runner()
    local a, b = one:run(testing.pair)
    two:run(function()
      support.raises({ "state", "EOTHERLOOP" }, a.read, a)
      support.raises({ "state", "EOTHERLOOP" }, a.write, a, "x")
      support.raises({ "state", "EOTHERLOOP" }, a.shutdown, a)
      a:close()
    end)
    one:run(function()
      assert.equal("", b:read())
    end)
    one:close()
    two:close()
    b:close()
  end))

  it("does not wait where waiting is impossible, and loses nothing", support.run(function()
    local a, b = testing.pair()
    local e
    table.sort({ 2, 1 }, function(x, y)
      e = e or support.raises({ "state", "EBLOCKED" }, b.read, b)
      return x < y
    end)
    assert.matches("comparator of table.sort", e.message)
    a:write("here")
    assert.equal("here", b:read())
  end))

  it("is a type error for what is no stream", support.run(function()
    local a = testing.pair()
    for _, bad in ipairs { {}, 1, "x", weft.event(), io.stdout } do
      support.raises("type", a.read, bad)
      support.raises("type", a.write, bad, "x")
      support.raises("type", a.close, bad)
    end
  end))
end)

describe("a stream of a loop that is closed", function()
  for _, kind in ipairs(streams.kinds) do
    it("has let go of its descriptor, over " .. kind.name, support.outside(function()
      local before = #core.descriptors()
      local a, b
      weft.run(function()
        a, b = kind.make()
        weft.create_task(function() a:read() end)
        weft.create_task(function() b:read() end)
        weft.sleep(0)
      end)
      assert.equal(before, #core.descriptors())
      weft.run(function()
        support.raises("state", a.read, a)
        support.raises("state", a.write, a, "x")
      end)
      a:close()
      assert.is_true(a:is_closed())
      assert.is_nil(a:fileno())
    end))

    it("with bytes that nobody took frees them, over " .. kind.name, support.outside(function()
      local a, b
      weft.run(function()
        a, b = kind.make()
        a:write("123456")
        assert.equal("1", b:read_exactly(1))
      end)
      a, b = nil, nil
    end))
  end
end)

describe("a stream that nobody holds", function()
  streams.each(it, "is closed when it is collected, over %s", function(a, b, kind)
    local c, d = kind.make()
    c:write("last")
    c = nil -- luacheck: ignore
    collectgarbage()
    collectgarbage()
    assert.equal("last", d:read_all())
    d = nil -- luacheck: ignore
    collectgarbage()
    collectgarbage()
    b:write("x")
    assert.equal("x", a:read())
  end)

  streams.each(it, "but waits for is kept, over %s", function(_, _, kind)
    local c, d = kind.make()
    local seen
    weft.create_task(function(stream)
      seen = stream:read_line()
      stream:close()
    end, d)
    d = nil -- luacheck: ignore
    for _ = 1, 3 do
      weft.sleep(0)
      collectgarbage()
    end
    c:write("kept\n")
    while not seen do
      weft.sleep(0)
    end
    assert.equal("kept", seen)
    c:close()
  end)

  it("keeps the strings of a write that waits", support.run(function()
    for _, n in ipairs { 1, 3, 4, 5, 9, 50 } do
      local a, b = testing.pair { capacity = 1 }
      local task = weft.create_task(function()
        local list = {}
        for i = 1, n do
          list[i] = ("<%d>"):format(i)
        end
        a:write((table.unpack or unpack)(list))
        a:close()
      end)
      local parts = {}
      repeat
        if #parts < 16 or #parts % 16 == 0 then -- each takes long after thousands of specs
          collectgarbage()
        end
        local some = b:read()
        parts[#parts + 1] = some
      until some == ""
      task:await()
      local expected = {}
      for i = 1, n do
        expected[i] = ("<%d>"):format(i)
      end
      assert.equal(table.concat(expected), table.concat(parts))
    end
  end))
end)

describe("adversity", function()
  -- A request and an answer, with writes that wait and reads of several kinds.
  local function exchange(kind)
    streams.with(kind, function(a, b)
      weft.task_group(function(group)
        group:create_task(b.with, b, function()
          local n = tonumber(b:read_line())
          b:write(("x"):rep(n), "", "\n", "end", "\n", "1", "2", "3", "4", "5")
          b:shutdown()
          assert.equal("bye", b:read_all())
        end)
        a:with(function()
          a:write("10", "\n")
          assert.equal(("x"):rep(10) .. "\n", a:read_until("\n", 100))
          assert.equal("end", a:read_line())
          assert.equal("12", a:read_exactly(2))
          assert.equal("345", a:read_all())
          a:write("bye")
          a:shutdown()
        end)
      end)
    end)
  end

  for _, kind in ipairs(streams.kinds) do
    it("a cancellation at each wait leaks nothing, over " .. kind.name, function()
      assert.is_true(testing.cancel_everywhere(function() exchange(kind) end) >= 1)
      assert.is_true(testing.cancel_everywhere(function()
        weft.try(exchange, kind) -- one that is cancelled fails the group
      end, nil, { every_task = true }) >= 3)
    end)

    it("collections at each step do no harm, over " .. kind.name, support.run(function()
      testing.gc_stress(exchange, kind)
    end))

    it("want of memory at each place is an error and no more, over " .. kind.name,
      support.outside(function()
        local n, failures, is_done = 0, 0, false
        while not is_done do
          n = n + 1
          weft.run(function()
            local _, _, before = core.memory()
            local ok, e = testing.fail_allocation(n, weft.timeout, 10, exchange, kind)
            local _, _, after = core.memory()
            is_done = after - before < n
            if not ok then
              failures = failures + 1
              assert.is_true(tostring(e):find("not enough memory", 1, true) ~= nil
                or tostring(e):find("ENOMEM", 1, true) ~= nil, tostring(e))
            end
          end)
        end
        assert.is_true(failures > 3, failures)
      end))
  end
end)

describe("what a stream says about itself", function()
  streams.each(it, "its state and whom it is connected to, over %s", function(a, _, kind)
    assert.matches("^Stream<open .+>$", tostring(a))
    if kind.is_tcp then
      local host, port = a:getpeername()
      assert.equal(("Stream<open %s:%d>"):format(host:find(":") and "[" .. host .. "]" or host,
        port), tostring(a))
    end
    a:close()
    assert.matches("^Stream<closed .+>$", tostring(a))
  end)

  streams.each(it, "addresses, which are the other side's, over %s", function(a, b, kind)
    if kind.is_tcp then
      local host, port = a:getpeername()
      assert.same({ host, port }, { b:getsockname() })
      assert.same({ a:getsockname() }, { b:getpeername() })
      assert.is_true(host == "127.0.0.1" or host == "::1")
      assert.is_true(port > 0 and port < 65536)
    elseif kind.is_socket then
      assert.equal("", a:getsockname())
      assert.equal(a:getpeername(), b:getsockname())
      assert.is_nil((select(2, a:getpeername())))
    else
      support.raises({ "connection", "ENOTSOCK" }, a.getpeername, a)
      support.raises({ "connection", "ENOTSOCK" }, a.getsockname, a)
      assert.is_nil(a:fileno())
    end
  end)

  streams.each(it, "its descriptor, which children do not inherit, over %s", function(a, b, kind)
    if kind.is_socket then
      assert.is_false(sockets.is_inherited(a:fileno()))
      assert.is_false(sockets.is_inherited(b:fileno()))
    else
      assert.is_nil(a:fileno())
    end
  end)

  it("in its task's place in the tree", support.run(function()
    local a, b = testing.pair { capacity = 1 }
    local reader = weft.create_task(function() a:read() end)
    local writer = weft.create_task(function() a:write("12") end)
    testing.wait_all_parked()
    assert.matches("waits in read", weft.tree())
    assert.matches("waits in write", weft.tree())
    b:write("x")
    assert.equal("12", b:read_exactly(2))
    weft.gather(reader, writer)
  end))

  if _VERSION == "Lua 5.4" then -- the only one with the syntax
    it("closes as a to-be-closed variable", support.run(function()
      local a, b = testing.pair()
      assert(load("local s = ... local x <close> = s"))(a)
      assert.is_true(a:is_closed())
      assert.equal("", b:read())
    end))
  end
end)
