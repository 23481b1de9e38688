-- SPDX-License-Identifier: MIT
-- weft.http.fields: what header fields can be made of, look-ups, and what is refused. Their bytes
-- are the subject of spec/proto/fields_spec.lua.

local core = require "weft.core"
local fields = require "weft.http.fields"
local support = require "spec.support"
local testing = require "weft.testing"

local function list_of(headers)
  local list = {}
  for name, value in headers:iter() do
    list[#list + 1] = name .. "=" .. value
  end
  return table.concat(list, " ")
end

local function refused(fn, ...)
  local e = support.raises({ "type", "invalid_header" }, fn, ...)
  return e.message
end

describe("header fields", function()
  it("are found whatever the case of the name, and keep its spelling", support.run(function()
    local h = fields.new { { "Content-Type", "text/html" }, { "x-A", "1" } }
    assert.equal("text/html", h:get("content-TYPE"))
    assert.equal("text/html", h["CONTENT-type"])
    assert.is_true(h:has("X-a"))
    assert.is_false(h:has("X-b"))
    assert.is_nil(h:get("X-b"))
    assert.is_nil(h["X-b"])
    assert.equal("Content-Type=text/html x-A=1", list_of(h))
    assert.equal("Content-Type: text/html\nx-A: 1", tostring(h))
  end))

  it("keep the order of a list, and several values of a name", support.run(function()
    local h = fields.new { { "B", "1" }, { "a", "2" }, { "b", "3" } }
    assert.equal("B=1 a=2 b=3", list_of(h))
    assert.same({ "1", "3" }, h:getall("b"))
    assert.same({}, h:getall("c"))
    assert.equal(3, h:count())
  end))

  it("come in the order of their names from a map", support.run(function()
    local h = fields.new { b = "2", a = "1", C = { "3", 4 } }
    assert.equal("C=3 C=4 a=1 b=2", list_of(h))
  end))

  it("are set in the place of the first, added at the end, removed all", support.run(function()
    local h = fields.new { { "A", "1" }, { "B", "2" }, { "a", "3" } }
    h:set("a", "4")
    assert.equal("a=4 B=2", list_of(h))
    h:add("A", "5")
    assert.equal("a=4 B=2 A=5", list_of(h))
    h["b"] = "6"
    h["C"] = 7
    assert.equal("a=4 b=6 A=5 C=7", list_of(h))
    h["C"] = nil
    assert.equal(2, h:remove("a"))
    assert.equal(0, h:remove("a"))
    assert.equal("b=6", list_of(h))
  end))

  it("are copied, by copy and by new", support.run(function()
    local h = fields.new { A = "1", B = "2" }
    h:remove("A")
    for _, copy in ipairs { h:copy(), fields.new(h) } do
      copy:set("C", "3")
      copy:set("B", ("x"):rep(3000))
      assert.equal("B=2", list_of(h))
      assert.equal(2, copy:count())
      assert.equal("3", copy.c)
    end
    assert.equal(0, fields.new():copy():count())
    assert.is_true(fields.is(h))
    assert.is_false(fields.is {})
  end))

  it("take numbers, as they are written", support.run(function()
    local h = fields.new { A = 5, B = 1.5, C = 2 ^ 40 }
    assert.equal("A=5 B=1.5 C=1099511627776", list_of(h))
  end))

  it("leave the spaces around a value out", support.run(function()
    local h = fields.new { A = " \tb c\t " }
    h:set("D", "  ")
    assert.equal("b c", h.A)
    assert.equal("", h.D)
  end))

  it("carry every byte that a value may have", support.run(function()
    local h = fields.new()
    h:set("A", "caf\195\169 \255\128\t!")
    assert.equal("caf\195\169 \255\128\t!", h.A)
  end))

  it("refuse what cannot be sent, and say what is wrong", support.run(function()
    local h = fields.new()
    assert.equal('header "A": a line feed in its value', refused(h.set, h, "A", "x\ny"))
    assert.equal('header "A": a carriage return in its value', refused(h.add, h, "A", "x\r\ny"))
    assert.equal('header "A": a NUL in its value', refused(h.add, h, "A", "\0"))
    assert.equal('header "A": the control character 0x07 in its value',
      refused(h.add, h, "A", "\7"))
    assert.equal('header "A": the control character 0x7F in its value',
      refused(fields.new, { A = "\127" }))
    assert.equal("a header's name is empty", refused(h.add, h, "", "x"))
    assert.equal('header name "a b": " " cannot stand in a name', refused(h.add, h, "a b", "x"))
    assert.equal('header name "a:": ":" cannot stand in a name', refused(h.set, h, "a:", "x"))
    assert.truthy(refused(h.set, h, "a\n", "x"):find("a line feed cannot stand in a name", 1, true))
    assert.equal(0, h:count())
  end))

  it("refuse every byte that a name or a value cannot have", support.run(function()
    local h = fields.new()
    for c = 0, 255 do
      local char = string.char(c)
      local in_name = pcall(h.add, h, "x" .. char, "v")
      assert.equal(char:find("[%w!#$%%&'*+%-.^_`|~]") ~= nil and c < 128, in_name)
      local in_value = pcall(h.add, h, "n", "v" .. char .. "v")
      assert.equal(c >= 32 and c ~= 127 or c == 9, in_value)
      h = fields.new()
    end
  end))

  it("refuse values of other types", support.run(function()
    local h = fields.new()
    assert.equal('header "A": its value must be a string or a number, got boolean',
      refused(h.set, h, "A", true))
    assert.equal("a header's name must be a string, got number", refused(h.set, h, 1, "x"))
    assert.equal('header "A": its value must be a string or a number, got nil',
      refused(h.add, h, "A"))
    refused(fields.new, { { "A" } })
    refused(fields.new, { "A: b" })
    refused(fields.new, { A = { {} } })
    refused(fields.new, { [true] = "x" })
    support.raises("type", fields.new, "A: b")
    support.raises("type", h.get, h, nil)
    support.raises("type", h.remove, h, {})
    support.raises("type", core.fields_get, {}, "A")
  end))

  it("have bounds", support.run(function()
    local h = fields.new()
    support.raises({ "limit", "too_many_headers" }, h.set, h, "A", ("x"):rep(32 * 1024))
    h:set("A", ("x"):rep(32 * 1024 - 1))
    for i = 2, 4 do
      h:set("A" .. i, ("x"):rep(32 * 1024 - 2))
    end
    support.raises({ "limit", "too_many_headers" }, h.set, h, "B", "")
    h = fields.new()
    for i = 1, 256 do
      h:add("a", i)
    end
    support.raises({ "limit", "too_many_headers" }, h.add, h, "B", "")
    assert.equal("256", h:getall("a")[256])
  end))

  it("are as they were when memory is out", support.run(function()
    local h = fields.new { A = "1" }
    local ok = testing.fail_allocation(1, h.set, h, "B", ("x"):rep(2000))
    assert.is_false(ok)
    assert.equal("A=1", list_of(h))
    assert.is_false((testing.fail_allocation(1, h.copy, h)))
    h:set("B", "2")
    assert.equal("A=1 B=2", list_of(h))
  end))

  it("survive the collector", support.run(function()
    testing.gc_stress(function()
      local h = fields.new { A = "1" }
      for i = 1, 50 do
        h = h:copy()
        h:add("B" .. i, i)
        collectgarbage("step")
      end
      assert.equal(51, h:count())
      assert.equal("50", h.b50)
    end)
  end))
end)
