-- SPDX-License-Identifier: MIT
-- weft.http.lines: lines out of pieces.
-- Responses are iterated over in response_spec; here the pieces are the spec's own.

local lines = require "weft.http.lines"
local support = require "spec.support"

-- A source of pieces: `pull` and `push_back` for it.
local function source(...)
  local self = { list = { ... }, i = 0 }
  local function pull()
    if self.rest then
      local bytes, at = self.rest, self.at
      self.rest = nil
      return bytes, at
    end
    self.i = self.i + 1
    return self.list[self.i] or "", 1
  end
  local function push_back(_, bytes, at)
    if at <= #bytes then
      self.rest, self.at = bytes, at
    end
  end
  return self, pull, push_back
end

local function break_off(_, e)
  error(e, 0)
end

local function all(max, ...)
  local self, pull, push_back = source(...)
  local list = {}
  for line in lines.iterator(self, pull, push_back, break_off, max) do
    list[#list + 1] = line
  end
  return list
end

describe("lines", function()
  it("end with LF or CRLF, and the last one with the text", support.outside(function()
    assert.same({ "a", "b", "", "c\rd", "e" }, all(nil, "a\nb\r\n\r\nc\rd\ne"))
    assert.same({ "a" }, all(nil, "a\n"))
    assert.same({ "" }, all(nil, "\n"))
    assert.same({}, all(nil))
  end))

  it("may come in pieces of any size", support.outside(function()
    local text, pieces = ("line of text\r\n"):rep(50), {}
    for size = 1, 40 do
      for i = 1, #text, size do
        pieces[#pieces + 1] = text:sub(i, i + size - 1)
      end
      assert.equal(50, #all(nil, (table.unpack or unpack)(pieces)))
      pieces = {}
    end
  end))

  it("have a limit, which a line of just that length keeps", support.outside(function()
    assert.same({ "abc" }, all(3, "abc\r\n"))
    assert.same({ "abc" }, all(3, "abc"))
    support.raises("limit", all, 3, "abcde")
    support.raises("limit", all, 3, "abcde\n")
    support.raises("type", all, 0, "a")
  end))
end)
