-- SPDX-License-Identifier: MIT
-- weft.http.mime: MIME types as browsers read them; the cases of web-platform-tests, where they
-- are at hand.

local cases = require "spec.weft.http.cases"
local http = require "weft.http.mime"
local support = require "spec.support"

describe("a MIME type", function()
  it("is read as web-platform-tests say", support.outside(function()
    local count = 0
    for _, case in ipairs(cases.json("wpt-mimesniff/mime-types.json")) do
      if type(case) == "table" then
        local expected = type(case.output) == "string" and case.output or nil
        local mime = http.parse_mime(case.input)
        assert.equal(expected, mime and mime:serialize(), case.input)
        assert.equal(expected, mime and tostring(http.parse_mime(tostring(mime))), "stable")
        count = count + 1
      end
    end
    cases.ran("wpt-mimesniff/mime-types.json", count)
  end))

  it("has an essence and parameters", support.outside(function()
    local mime = http.parse_mime(' Text/HTML ; Charset="a\\"b\\\\" ; x=1;X=2; y = 3;z=;q="";"=4\t')
    assert.same({ "text", "html", "text/html" }, { mime.type, mime.subtype, mime.essence })
    assert.same({ charset = 'a"b\\', x = "1", q = "" }, mime.parameters)
    assert.equal('text/html;charset="a\\"b\\\\";x=1;q=""', tostring(mime))
    mime.parameters.x = nil
    assert.equal('text/html;charset="a\\"b\\\\";q=""', mime:serialize())
  end))

  it("ends its quoted strings where the text ends", support.outside(function()
    assert.equal("b", http.parse_mime('a/b;c="b').parameters.c)
    assert.equal("b\\", http.parse_mime('a/b;c="b\\').parameters.c)
    assert.equal("", http.parse_mime('a/b;c="').parameters.c)
    assert.same({ c = "x", d = "2" }, http.parse_mime('a/b;c="x"y;d=2').parameters)
  end))

  it("is none without type and subtype", support.outside(function()
    for _, text in ipairs({ "", "text", "text/", "/html", "text/ht ml", "a/b/c", "a/b\0",
      "é/x" }) do
      assert.is_nil(http.parse_mime(text), text)
    end
    support.raises("type", http.parse_mime, nil)
  end))

  it("is markup or not", support.outside(function()
    for text, is in pairs({ ["text/html"] = true, ["TEXT/XML; charset=x"] = true,
      ["application/xhtml+xml"] = true, ["application/xml"] = true, ["image/svg+xml"] = true,
      ["text/plain"] = false, ["application/json"] = false }) do
      assert.equal(is, http.parse_mime(text):is_markup(), text)
    end
  end))
end)
