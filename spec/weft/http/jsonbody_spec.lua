-- SPDX-License-Identifier: MIT
-- weft.http.jsonbody: what cjson would round or not tell apart; what is refused on the way
-- out and on the way in, and errors that show the place.

local jsonbody = require "weft.http.jsonbody"
local support = require "spec.support"

local encode, decode = jsonbody.encode, jsonbody.decode

local function decode_error(text, opts)
  return support.raises("decode", decode, text, opts)
end

describe("JSON", function()
  it("is written with every digit that a number has", support.outside(function()
    for number, text in pairs({ [2 ^ 53] = "9007199254740992", [123456789012345] = false,
      [0.1 + 0.2] = false, [1700000000.123456] = "1700000000.123456", [1e300] = "1e+300",
      [0.1] = "0.1", [-7] = "-7", [1 / 3] = false }) do
      local got = encode({ number })
      assert.equal(number, decode(got)[1])
      if text then
        assert.equal("[" .. text .. "]", got)
      end
    end
    assert.equal('{"n":123456789012345678}', encode({ n = tonumber("123456789012345678") })
      :gsub("e%+17", ""):gsub("1.2345678901234568", "123456789012345678"))
    assert.equal("0.30000000000000004", encode(0.1 + 0.2))
  end))

  it("is written for every value that has one", support.outside(function()
    for text, value in pairs({ ["true"] = true, ["false"] = false, ['"a\\"\\u0000ü"'] = 'a"\0ü',
      ["[1,[2,{}]]"] = { 1, { 2, {} } }, ["null"] = jsonbody.json_null() }) do
      assert.equal(text, encode(value))
    end
  end))

  it("has empty arrays where a script says so", support.outside(function()
    local list = jsonbody.json_array()
    assert.equal('{"a":[]}', encode({ a = list }))
    assert.equal("[]", encode(list))
    assert.equal("{}", encode({}))
    list[1] = "x"
    assert.equal('["x"]', encode(list))
    assert.equal("[[],12345678901234567]", (encode({ jsonbody.json_array({}),
      tonumber("12345678901234567") }):gsub("1.2345678901234568e%+16", "12345678901234567")
      :gsub("12345678901234568", "12345678901234567")))
    support.raises("type", jsonbody.json_array, "x")
  end))

  it("leaves the tables of the script as they are", support.outside(function()
    local inner = { 2 ^ 53 }
    local value = { a = inner, b = { 1 } }
    encode(value)
    assert.same({ a = { 2 ^ 53 }, b = { 1 } }, value)
    assert.equal(inner, value.a)
  end))

  it("is refused for what has none", support.outside(function()
    local circle = {}
    circle[1] = circle
    for _, value in ipairs({ print, { 0 / 0 }, { math.huge }, { [1] = 1, [1000] = 1 }, circle,
      { [{}] = 1 } }) do
      support.raises({ "type", "invalid_json" }, encode, value)
    end
  end))

  it("is read, with null as lua-cjson has it, or left out", support.outside(function()
    local text = '\239\187\191 {"a": [1, null, {"b": null}], "c": null, "d": "\\u00fc"}'
    local value, null = decode(text), jsonbody.json_null()
    assert.same({ a = { 1, null, { b = null } }, c = null, d = "ü" }, value)
    assert.same({ a = { 1, nil, {} }, d = "ü" }, decode(text, { null = "nil" }))
    assert.is_nil(decode("null", { null = "nil" }))
    support.raises("type", decode, "1", { null = 5 })
    support.raises({ "type", "unknown_option" }, decode, "1", { nul = 5 })
    support.raises("type", decode, nil)
  end))

  it("that is malformed names the place and shows it", support.outside(function()
    local e = decode_error('{\n  "a": 1,\n  "b": [1,, 2]\n}', { url = "http://x/" })
    assert.same({ 3, 11, 23, "http://x/", "invalid_json" },
      { e.line, e.column, e.at, e.url, e.code })
    assert.equal('  "b": [1,, 2]\n          ^', e.excerpt)
    assert.truthy(e.message:find("from http://x/ is malformed at line 3, column 11: "
      .. "expected value but found comma", 1, true))
    assert.is_nil(tostring(e):find("\n"))
  end))

  it("shows a part of a long line, with whole characters", support.outside(function()
    local e = decode_error('["' .. ("ü"):rep(5000) .. '", x, "' .. ("ü"):rep(5000) .. '"]')
    local shown, caret = e.excerpt:match("^(.*)\n( *)%^$")
    assert.truthy(pcall(require("weft.http.encoding").decode, shown, "utf-8",
      { errors = "strict" }))
    assert.truthy(#shown < 80)
    local plain = shown:gsub("…", "."):gsub("[\128-\191]", "")
    assert.equal("x", plain:sub(#caret + 1, #caret + 1))
  end))

  it("that is empty, cut or followed by more is malformed", support.outside(function()
    assert.truthy(decode_error("").message:find("empty"))
    assert.truthy(decode_error(" \n").message:find("empty"))
    local e = decode_error('{"a": "b')
    assert.equal(1, e.line)
    assert.truthy(e.excerpt)
    assert.equal(2, decode_error("[1]\nx").line)
    for cut = 1, 18 do
      decode_error(('{"a": [1, "x", {}]}'):sub(1, cut))
    end
    decode_error("[\0]")
    decode_error("\255\254[\0]\0")
  end))

  it("has a limit of depth, and NaN only where it is asked for", support.outside(function()
    decode_error(("["):rep(1001) .. ("]"):rep(1001))
    decode_error("[[[1]]]", { max_depth = 2 })
    assert.same({ { 1 } }, decode("[[1]]", { max_depth = 2 }))
    assert.same({ { { 1 } } }, decode("[[[1]]]"))
    decode_error("[NaN]")
    local value = decode("[NaN, 1]", { invalid_numbers = true })
    assert.is_true(value[1] ~= value[1])
    decode_error("[NaN]")
  end))

  it("can be asked to be of a type", support.outside(function()
    local function with(actual, expected)
      return { content_type = expected or "application/json", actual_type = actual }
    end
    for _, actual in ipairs({ "application/json", "Application/JSON; charset=utf-8",
      "application/problem+json", "model/gltf+json", "text/json" }) do
      assert.equal(1, decode("1", with(actual)))
    end
    assert.equal(1, decode("1", with("text/x", "text/x")))
    for _, actual in ipairs({ "text/html", "text/jsons", "application/jsonx", "+json", "" }) do
      local e = support.raises({ "decode", "content_type" }, decode, "1", with(actual))
      assert.equal(actual, e.content_type)
    end
    support.raises({ "decode", "content_type" }, decode, "1", with(nil))
  end))

  it("says what is missing without lua-cjson", function()
    local text, status = support.script([[
      package.preload.cjson = function() error("no cjson here") end
      local jsonbody = require "weft.http.jsonbody"
      local ok, e = pcall(jsonbody.decode, "1")
      print(e.kind, e.code, pcall(jsonbody.encode, 1))
    ]])
    assert.equal(0, status)
    assert.truthy(text:find("state\tno_cjson\tfalse", 1, true))
  end)
end)
