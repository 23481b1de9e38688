-- SPDX-License-Identifier: MIT
-- weft.stream: reading. Each method on each kind of stream, with the input split at each
-- place; ends, truncated input and limits. Writing is in stream_write_spec.lua, closing and
-- what goes wrong in stream_end_spec.lua.

local weft = require "weft"
local support = require "spec.support"
local streams = require "spec.streams"
local testing = require "weft.testing"

local TEXT = "one\r\ntwo\n\nthree--four-five\r\r\nend"

-- What a method gives again and again until it gives no more.
local function collect(next_one)
  local list = {}
  for item in next_one do
    list[#list + 1] = item
  end
  return list
end

-- Runs fn(b) at each split of TEXT on each kind: a wrote the first part, and writes the
-- second when b waits.
local function at_each_split(text, fn)
  for _, kind in ipairs(streams.kinds) do
    it(text .. " over " .. kind.name, support.run(function()
      streams.at_each(kind, #TEXT, function(a, b, k)
        local task = streams.feed(a, TEXT:sub(1, k), TEXT:sub(k + 1))
        fn(b)
        task:await()
      end)
    end))
  end
end

describe("a stream at each split of its input", function()
  at_each_split("gives all bytes to read", function(b)
    local all = table.concat(collect(function()
      local some = b:read(5)
      assert.is_true(#some <= 5)
      return some ~= "" and some or nil
    end))
    assert.equal(TEXT, all)
    assert.equal("", b:read())
    assert.equal("", b:read(0))
  end)

  at_each_split("gives exact numbers of bytes", function(b)
    assert.equal("one", b:read_exactly(3))
    assert.equal("", b:read_exactly(0))
    assert.equal("\r", b:read_exactly(1))
    assert.equal(TEXT:sub(5), b:read_exactly(#TEXT - 4))
    assert.equal("", b:read_exactly(0))
  end)

  at_each_split("finds separators", function(b)
    assert.equal("one\r\n", b:read_until("\r\n"))
    assert.equal("two\n\n", b:read_until("\n\n"))
    assert.equal("three--", b:read_until("--", 7))
    assert.equal("four-five\r\r\n", b:read_until("\r\r\n"))
    local e = support.raises({ "connection", "EOF" }, b.read_until, b, "\n")
    assert.equal("end", e.partial)
  end)

  at_each_split("gives lines", function(b)
    assert.same({ "one", "two", "", "three--four-five\r", "end" }, collect(b:lines()))
    assert.is_nil(b:read_line())
    assert.equal("", b:read())
  end)

  at_each_split("gives all there is", function(b)
    assert.equal(TEXT, b:read_all())
    assert.equal("", b:read_all())
    assert.equal("", b:read_all(0))
  end)

  at_each_split("can be read by each method in turn", function(b)
    assert.equal("one", b:read_line())
    assert.equal("tw", b:read_exactly(2))
    assert.equal("o\n\nthree--", b:read_until("--"))
    assert.equal("f", b:read(1))
    assert.equal("our-five\r\r\nend", b:read_all(15))
  end)
end)

describe("the end of a stream", function()
  for _, kind in ipairs(streams.kinds) do
    it("at each place is told with what there was, over " .. kind.name, support.run(function()
      streams.at_each(kind, 5, function(a, b, k)
        streams.feed(a, ("hello"):sub(1, k))
        local e = support.raises({ "connection", "EOF" }, b.read_exactly, b, 6)
        assert.equal(("hello"):sub(1, k), e.partial)
        assert.matches("the peer closed the connection", e.message)
        assert.equal("", b:read())
      end)
      streams.at_each(kind, 5, function(a, b, k)
        streams.feed(a, ("hello"):sub(1, k))
        local e = support.raises({ "connection", "EOF" }, b.read_until, b, "!!")
        assert.equal(("hello"):sub(1, k), e.partial)
      end)
    end))

    it("at each place of a line is the line's, over " .. kind.name, support.run(function()
      local text = "a\r\nb\n"
      local lines = { [0] = {}, { "a" }, { "a\r" }, { "a" }, { "a", "b" }, { "a", "b" } }
      streams.at_each(kind, #text, function(a, b, k)
        streams.feed(a, text:sub(1, k))
        assert.same(lines[k], collect(b:lines()))
        assert.is_nil(b:read_line())
      end)
    end))
  end

  streams.each(it, "stays, whatever is called, over %s", function(a, b)
    a:shutdown()
    for _ = 1, 2 do
      assert.equal("", b:read())
      assert.equal("", b:read(1))
      assert.equal("", b:read_all())
      assert.is_nil(b:read_line())
      assert.equal("", support.raises({ "connection", "EOF" }, b.read_exactly, b, 1).partial)
      assert.equal("", support.raises({ "connection", "EOF" }, b.read_until, b, "x").partial)
    end
    b:write("open")
    b:shutdown()
    assert.equal("open", a:read_all())
  end)
end)

describe("limits of reading", function()
  streams.each(it, "read_until gives no more than max, and loses nothing, over %s",
    function(a, b)
      streams.feed(a, "12345", "6;rest")
      local e = support.raises("limit", b.read_until, b, ";", 6)
      assert.equal(6, e.limit)
      assert.matches('no ";" within 6 bytes', e.message)
      assert.equal("123456;", b:read_until(";", 7))
      support.raises("limit", b.read_until, b, ";", 1)
      assert.equal("rest", b:read_all(4))
    end)

  streams.each(it, "a line of max bytes with its end is given, a longer one is not, over %s",
    function(a, b)
      streams.feed(a, "1234\r\n", "12345\r\n")
      assert.equal("1234", b:read_line(6))
      local e = support.raises("limit", b.read_line, b, 6)
      assert.matches("a line longer than 6 bytes", e.message)
      assert.equal("12345", b:read_line(7))
      assert.is_nil(b:read_line(1))
    end)

  streams.each(it, "read_all gives max bytes, and refuses one more, over %s", function(a, b)
    streams.feed(a, "123", "456")
    local e = support.raises("limit", b.read_all, b, 5)
    assert.equal(5, e.limit)
    assert.matches("more than 5 bytes", e.message)
    assert.equal("123456", b:read_all(6))
  end)

  streams.each(it, "an endless line stops at 64 KiB, over %s", function(a, b)
    local task = weft.create_task(function()
      support.raises("cancelled", function()
        while true do
          a:write(("x"):rep(1000))
        end
      end)
    end)
    local e = support.raises("limit", b.read_line, b)
    assert.equal("limit", e.kind)
    assert.matches("longer than 65536 bytes", e.message)
    task:cancel()
    task:await()
  end)

  it("a separator has 1 to 64 bytes", support.run(function()
    local a, b = testing.pair()
    support.raises("type", b.read_until, b, "")
    support.raises("type", b.read_until, b, ("x"):rep(65))
    support.raises("type", b.read_until, b, nil)
    support.raises("type", b.read_until, b, 5)
    a:write("_" .. ("x"):rep(64))
    assert.equal("_" .. ("x"):rep(64), b:read_until(("x"):rep(64)))
    a:write("0\0001\0\0002")
    assert.equal("0\0001\0\000", b:read_until("\0\0"))
  end))

  it("sizes that cannot be are refused, and nothing is lost", support.run(function()
    local a, b = testing.pair()
    a:write("data")
    for _, bad in ipairs { -1, 0.5, 0 / 0, "3", {}, false, -math.huge } do
      support.raises("type", b.read_exactly, b, bad)
      support.raises("type", b.read_until, b, "\n", bad)
      support.raises("type", b.read_line, b, bad)
      support.raises("type", b.read_all, b, bad)
      if bad ~= 0.5 then
        support.raises("type", b.read, b, bad)
      end
    end
    support.raises("type", b.read_exactly, b)
    support.raises("type", b.read_until, b, "\n", 0)
    support.raises("type", b.read_line, b, 0)
    assert.equal("data", b:read(math.huge))
  end))

  it("a number of bytes beyond any memory waits for the end", support.run(function()
    local a, b = testing.pair()
    a:write("few")
    a:close()
    assert.equal("few", support.raises({ "connection", "EOF" }, b.read_exactly, b, 2 ^ 60).partial)
  end))
end)

describe("reading much", function()
  local SIZE = support.slow and 300000 or 3000000
  for _, kind in ipairs(streams.kinds) do
    local size = kind.is_socket and SIZE or math.floor(SIZE / 50)
    it("gives it as it was written, over " .. kind.name, support.run(function()
      local text = streams.pattern(size)
      for _, read in ipairs { "read_exactly", "read_all" } do
        streams.with(kind, function(a, b)
          local task = weft.create_task(function()
            a:write(text)
            a:close()
          end)
          assert.is_true(text == b[read](b, size), read)
          task:await()
        end)
      end
    end))

    it("gives lines of all lengths, over " .. kind.name, support.run(function()
      streams.with(kind, function(a, b)
        local n = kind.is_socket and 300 or 60
        local task = weft.create_task(function()
          for i = 0, n do
            a:write(("x"):rep(i * i % 977), "\n")
          end
          a:close()
        end)
        local i = 0
        for line in b:lines() do
          assert.equal(i * i % 977, #line)
          i = i + 1
        end
        assert.equal(n + 1, i)
        task:await()
      end)
    end))
  end

  it("takes no more from the system than was asked for and one block", support.run(function()
    local a, b = testing.pair { capacity = 1000000 }
    a:write(("x"):rep(1000000))
    assert.equal(1, #b:read(1))
    local core = require "weft.core"
    assert.is_true(core.stream_state(b) <= 65536)
  end))
end)
