-- SPDX-License-Identifier: MIT
-- weft.options: what is said of an unknown option and of a wrong argument, by the module and
-- by the functions that use it.

local weft = require "weft"
local options = require "weft.options"
local support = require "spec.support"
local testing = require "weft.testing"

local raises = support.raises

describe("options.check", function()
  local KNOWN = { timeout = true, return_when = true, concurrency = true }

  it("gives the table, or an empty one for nil", function()
    local opts = { timeout = 1, concurrency = false }
    assert.equal(opts, options.check(opts, KNOWN, "f"))
    assert.same({}, options.check(nil, KNOWN, "f"))
    assert.same({}, options.check({}, KNOWN, "f"))
  end)

  it("names the nearest known option", function()
    for word, nearest in pairs { timeot = "timeout", Timeout = "timeout", time = "timeout",
      returnwhen = "return_when", concurency = "concurrency", [""] = "timeout" } do
      local e = raises({ "type", "unknown_option" }, options.check, { [word] = 1 }, KNOWN, "f")
      assert.equal(("f: unknown option '%s' (did you mean '%s'?)"):format(word, nearest), e.message)
    end
  end)

  it("refuses keys that are no words, and what is no table", function()
    raises({ "type", "unknown_option" }, options.check, { 5 }, KNOWN, "f")
    raises({ "type", "unknown_option" }, options.check, { [true] = 5 }, KNOWN, "f")
    for _, opts in ipairs { 5, "timeout", true, print } do
      local e = raises("type", options.check, opts, KNOWN, "f")
      assert.equal("f: the options must be a table, got " .. type(opts), e.message)
    end
    raises("type", options.check, false, KNOWN, "f")
  end)
end)

describe("options.nearest", function()
  it("counts letters left out, added and changed", function()
    local set = { abcd = true, abxy = true, zzzzzz = true }
    assert.equal("abcd", options.nearest("abcd", set))
    assert.equal("abcd", options.nearest("abd", set))
    assert.equal("abcd", options.nearest("xabcd", set))
    assert.equal("abxy", options.nearest("abxz", set))
    assert.equal("zzzzzz", options.nearest("zzzz", set))
    assert.is_nil(options.nearest("x", {}))
  end)

  it("takes the first by the alphabet of several", function()
    assert.equal("aa", options.nearest("ax", { ab = true, aa = true, ac = true }))
    assert.equal("b", options.nearest("", { c = true, b = true }))
  end)
end)

describe("options.expect, callable, number and count", function()
  it("give the value if it is what it must be", function()
    assert.equal("x", options.expect("x", "string", "it"))
    assert.equal(print, options.callable(print, "it"))
    local object = setmetatable({}, { __call = print })
    assert.equal(object, options.callable(object, "it"))
    assert.equal(-1.5, options.number(-1.5, "it"))
    assert.equal(0, options.number(0, "it", 0))
    assert.equal(math.huge, options.number(math.huge, "it", 0))
    assert.equal(3, options.count(3, "it", 1))
  end)

  it("say what is wrong else", function()
    for message, call in pairs {
      ["it must be a string, got number"] = { options.expect, 5, "string" },
      ["it must be a table, got nil"] = { options.expect, nil, "table" },
      ["it must be a function, got nil"] = { options.callable, nil },
      ["it must be a function, got table"] = { options.callable, {} },
      ["it must be a function, got string"] = { options.callable, "print" },
      ["it must be a number, got string"] = { options.number, "5" },
      ["it must be a number, got NaN"] = { options.number, 0 / 0 },
      ["it must be a number, got nil"] = { options.number, nil },
      ["it must be at least 1, got 0"] = { options.count, 0, 1 },
      ["it must be at least 0, got -1"] = { options.number, -1, 0 },
      ["it must be a whole number, got 1.5"] = { options.count, 1.5, 1 },
    } do
      local fn, value, extra = call[1], call[2], call[3]
      local e
      if fn == options.expect then
        e = raises("type", fn, value, extra, "it")
      else
        e = raises("type", fn, value, "it", extra)
      end
      assert.equal(message, e.message)
    end
  end)

  it("take only metamethods that are there", function()
    raises("type", options.callable, setmetatable({}, {}), "it")
    raises("type", options.callable, setmetatable({}, { __metatable = "locked" }), "it")
  end)
end)

describe("an unknown option", function()
  local function nothing() end

  -- function, its arguments before the options, the wrong option, the nearest one
  local CASES = {
    { "gather", weft.gather, { { nothing } }, "return_exception", "return_exceptions" },
    { "wait", weft.wait, { { nothing } }, "time_out", "timeout" },
    { "wait", weft.wait, { { nothing } }, "returnwhen", "return_when" },
    { "as_completed", weft.as_completed, { { nothing } }, "timeot", "timeout" },
    { "map", weft.map, { { 1 }, nothing }, "concurency", "concurrency" },
    { "map", weft.map, { { 1 }, nothing }, "order", "ordered" },
    { "runner", weft.runner, {}, "debugg", "debug" },
    { "runner", weft.runner, {}, "handle_siginit", "handle_sigint" },
    { "cancel_everywhere", testing.cancel_everywhere, { nothing, nothing }, "every_tasks",
      "every_task" },
  }

  for _, case in ipairs(CASES) do
    local name, fn, arguments, wrong, right = (table.unpack or unpack)(case)

    it(("'%s' of %s is named, with '%s', and nothing is started"):format(wrong, name, right),
      support.virtual(function()
        local before = weft.statistics().created
        local all = { (table.unpack or unpack)(arguments) }
        all[#all + 1] = { [wrong] = 1 }
        local e = raises({ "type", "unknown_option" }, fn, (table.unpack or unpack)(all))
        assert.equal(("%s: unknown option '%s' (did you mean '%s'?)"):format(name, wrong, right),
          e.message)
        assert.equal(before, weft.statistics().created)
      end))
  end
end)
