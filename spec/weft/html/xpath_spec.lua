-- SPDX-License-Identifier: MIT
-- weft.html.xpath: expressions: their values, variables and namespaces, and what is said of bad
-- ones.

local html = require "weft.html"
local support = require "spec.weft.html.support"

local PAGE = "<ul class='a b'><li>1<li class=b>2<li>3</ul><p title=x>t<!--c--></p>"

local function with(fn)
  return support.documents(function()
    local doc = html.parse(PAGE)
    fn(doc)
    doc:close()
  end)
end

describe("an XPath expression", function()
  it("gives nodes, or one value", with(function(doc)
    assert.same({ "1", "2", "3" }, doc:xpath("//li"):texts())
    assert.same({ 3 }, { doc:xpath("count(//li)")[1] })
    assert.same({ true }, { doc:xpath("//li = 2")[1] })
    assert.same({ "t" }, { doc:xpath("string(//p)")[1] })
    assert.equal("3", doc:xpath("count(//li)"):get())
    assert.equal("0.5", doc:xpath("1 div 2"):get())
    assert.equal("true", doc:xpath("true()"):get())
    assert.same({ "x" }, doc:xpath("//@title"):getall())
    assert.same({ "c" }, { doc:xpath("//comment()")[1]:text() })
    assert.same({ "<!--c-->" }, doc:xpath("//comment()"):getall())
    assert.is_true(rawequal(doc, doc:xpath("/")[1]))
    assert.equal("Document<HTML>", tostring(doc:xpath("/")[1]))
  end))

  it("is evaluated where it is asked", with(function(doc)
    local ul = doc:css("ul")[1]
    assert.equal(3, #ul:xpath("li"))
    assert.equal(3, #ul:xpath(".//li"))
    assert.equal(1, #ul:xpath("//p"))
    assert.equal("body", ul:xpath("..")[1]:name())
    assert.equal(1, #doc:xpath("//p/@title")[1]:xpath(".."))
    assert.equal("2", doc:xpath("//ul"):xpath("li[2]"):texts()[1])
  end))

  it("has functions that XPath 1.0 lacks", with(function(doc)
    assert.equal(2, doc:xpath("count(//*[has-class('b')])")[1])
    assert.equal(0, doc:xpath("count(//*[has-class('')])")[1])
    assert.equal(0, doc:xpath("count(//*[has-class('a b')])")[1])
    assert.is_true(doc:xpath("ends-with('abc', 'bc')")[1])
    assert.is_false(doc:xpath("ends-with('bc', 'abc')")[1])
    assert.equal("abé", doc:xpath("lower-case('ABé')")[1])
  end))

  it("has variables", with(function(doc)
    assert.equal("2", doc:xpath("//li[. = $v]", { v = "2" }):texts()[1])
    assert.equal("2", doc:xpath("//li[$v]", { v = 2 }):texts()[1])
    assert.equal(0, #doc:xpath("//li[$v]", { v = false }))
    assert.equal(2, doc:xpath("count($nodes)", { nodes = doc:css("li.b, p") })[1])
    assert.equal(0, doc:xpath("count($nodes)", { nodes = {} })[1])
    assert.equal("'\"", doc:xpath("string($q)", { q = "'\"" })[1])
    for _, bad in ipairs({ "a\0b", print, { 1 }, { doc } }) do
      support.raises({ "type", "invalid_variable" }, doc.xpath, doc, "$v", { v = bad })
    end
    local other = html.parse(PAGE)
    support.raises({ "type", "invalid_variable" }, doc.xpath, doc, "$v", { v = other:css("p") })
    other:close()
    support.raises({ "type", "invalid_variable" }, doc.xpath, doc, "$v", { "x" })
    support.raises("type", doc.xpath, doc, "$v", "x")
    local e = support.raises({ "type", "invalid_xpath" }, doc.xpath, doc, "//p['$w' = $v]",
      { w = 1 })
    assert.equal(12, e.position)
  end))

  it("gives the namespaces in scope as strings", support.documents(function()
    local doc = html.parse_xml("<a xmlns:x='urn:x'/>")
    local found = doc:xpath("/a/namespace::x")
    assert.same({ "urn:x" }, { found[1] })
    doc:close()
  end))
end)

describe("a bad XPath expression", function()
  it("raises type with its position under a caret", with(function(doc)
    local e = support.raises({ "type", "invalid_xpath" }, doc.xpath, doc, "//li[foo(1)]")
    assert.equal("invalid XPath expression, at 6: there is no function foo()\n"
      .. "  //li[foo(1)]\n       ^", e.message)
    for expression, position in pairs({ ["//a["] = 5, ["$x"] = 1, ["//q:a"] = 3,
      ["'a' and b()"] = 9, ["1 +"] = 4, ["]"] = 1, ["'$y' = $x"] = 8,
      ["//a\0"] = 4, ["\255"] = 1, ["q:f()"] = 1 }) do
      assert.equal(position, support.raises("type", doc.xpath, doc, expression).position,
        expression)
    end
    for _, expression in ipairs({ "", "count()", "count(1)", "'abc", "1 | 2", "//", "a b", "$",
      "//a[1", "/..//::", "@", "has-class()", "has-class(1, 2)", "ends-with('a')",
      "lower-case()", "weft-nth(1)", "child::", "foo::a" }) do
      support.raises({ "type", "invalid_xpath" }, doc.xpath, doc, expression)
    end
    support.raises("type", doc.xpath, doc)
    support.raises("type", doc.xpath, doc, ("("):rep(20000) .. "1" .. (")"):rep(20000))
    support.raises("type", doc.xpath, doc, (" "):rep(70000))
    assert.equal(3, doc:xpath("count(//li)")[1])
  end))

  it("is the only thing that a changed one can be", with(function(doc)
    math.randomseed(11)
    local list = require("spec.weft.html.selectors").xpath
    local letters = "a1/[]()@*$'\"|=<>!+-:.,#& \n"
    for _ = 1, support.rounds(10000) do
      local text = list[math.random(#list)]
      for _ = 1, math.random(3) do
        local at, i = math.random(#text + 1), math.random(#letters)
        text = text:sub(1, at - 1) .. letters:sub(i, i) .. text:sub(at + math.random(3) - 1)
      end
      local ok, e = pcall(doc.xpath, doc, text)
      if not ok and (type(e) ~= "table" or e.kind ~= "type" or not e.position) then
        error(text .. ": " .. tostring(e), 0)
      end
    end
  end))

  it("does not fill the memory with what is made up", with(function(doc)
    for i = 1, 1200 do
      assert.equal(i, doc:xpath(tostring(i))[1])
    end
    assert.equal(3, #doc:css("li"))
  end))
end)
