-- SPDX-License-Identifier: MIT
-- weft.crawl.json: what is written is JSON, on one line, and what cannot be is
-- refused.

local json = require "weft.crawl.json"
local support = require "spec.support"

describe("weft.crawl.json", function()
  it("writes values", function()
    for expected, value in pairs { ["1"] = 1, ["-1.5"] = -1.5, ["true"] = true, ["[]"] = {},
      ['"a\\"b\\\\c\\nd\\u0001\\u007f"'] = 'a"b\\c\nd\1\127',
      ['{"a":[1,2],"b":{"c":"x"}}'] = { b = { c = "x" }, a = { 1, 2 } }, ["1e+300"] = 1e300,
      ["9007199254740991"] = 2 ^ 53 - 1, ["0"] = 0 } do
      assert.equal(expected, json.encode(value))
    end
    assert.equal("null", json.encode(nil))
  end)

  it("writes fields in the order that was asked for", function()
    local value = { z = 1, m = {}, x = 2 }
    assert.equal('{"z":1,"a":null,"m":[]}', json.encode(value, { "z", "a", "m" }))
  end)

  it("keeps UTF-8, and makes UTF-8 of what is none", function()
    assert.equal('"ä€𝄞"', json.encode("ä€𝄞"))
    assert.equal('"a\239\191\189b"', json.encode("a\255b"))
    assert.equal('"\\u0000\\u001f"', json.encode("\0\31"))
  end)

  it("is read by another as what it was", function()
    local value = { a = { 1, 2.5, "x\0y" }, b = { c = { d = true } }, ["\n"] = "ü\t" }
    assert.same(value, require("cjson").decode(json.encode(value)))
  end)

  it("refuses what JSON has not", function()
    local cycle = {}
    cycle[1] = cycle
    for _, value in ipairs { print, 0 / 0, math.huge, cycle, { [1] = 1, x = 2 }, { [1.5] = 1 } } do
      support.raises({ "type", "invalid_json" }, json.encode, value)
    end
  end)
end)
