-- SPDX-License-Identifier: MIT
-- weft.html.node, weft.html.list: nodes and lists of them: names, texts, markup, neighbours,
-- patterns.

local html = require "weft.html"
local support = require "spec.weft.html.support"

local PAGE = "<div id=d class='a  b'>x<p>one <b>two</b><br>three\n\t four</p><!--c-->"
  .. "<script>s()</script><ul><li>1</li><li>2</li></ul></div>"

local function with(fn)
  return support.documents(function()
    local doc = html.parse(PAGE)
    fn(doc, doc:css("div")[1])
    doc:close()
  end)
end

describe("a node", function()
  it("has a name and attributes", with(function(doc, div)
    assert.equal("div", div:name())
    assert.equal("element", div:kind())
    assert.equal("a  b", div:attr("class"))
    assert.is_nil(div:attr("no"))
    local map, names = div:attrs()
    assert.same({ id = "d", class = "a  b" }, map)
    assert.same({ "id", "class" }, names)
    assert.is_nil(div:namespace())
    assert.equal(1, div:line())
    support.raises("type", div.attr, div)
    support.raises("type", div.name, doc)
    support.raises("type", div.name, io.stdout)
    support.raises("type", div.text, 1)
    support.raises("type", doc.close, div)
  end))

  it("has its text, as a reader sees it and as it is", with(function(doc, div)
    assert.equal("x one two three four 1 2", div:text())
    assert.equal("xone twothree\n\t fours()12", div:text_content())
    assert.equal("one two three four", doc:css("p")[1]:text())
    assert.equal("s()", doc:css("script")[1]:text())
    assert.equal("a b", html.parse("<p title=' a\n b '>"):xpath("//@title")[1]:text())
    assert.equal("ab c", html.parse("<p>a<b>b</b> <i> c </i> ")
      :css("p")[1]:text())
  end))

  it("has its markup", with(function(doc, div)
    local p = doc:css("ul")[1]
    assert.equal("<ul><li>1</li><li>2</li></ul>", p:html())
    assert.equal("<li>1</li><li>2</li>", p:inner_html())
    assert.equal(p:html(), p:get())
    assert.equal("x", div:css("::text")[1]:get())
    assert.equal("", html.parse("<br>"):css("br")[1]:inner_html())
    assert.is_truthy(doc:html():find("<html><body><div id=\"d\"", 1, true))
  end))

  it("has neighbours", with(function(doc, div)
    local p = div:children()[1]
    assert.equal(3, #div:children())
    assert.equal("p", p:name())
    assert.equal("script", p:next():name())
    assert.equal("p", p:next():prev():name())
    assert.is_nil(p:prev())
    assert.is_nil(doc:css("ul")[1]:next())
    assert.equal(div, p:parent())
    assert.is_nil(doc:root():parent())
    local text = div:css("::text")[1]
    assert.equal("#text", text:name())
    assert.equal("text", text:kind())
    assert.equal("p", text:next():name())
    assert.same({}, text:children():getall())
    local attribute = doc:xpath("//@id")[1]
    assert.same({ "id", "attribute", "d" }, { attribute:name(), attribute:kind(),
      attribute:get() })
    assert.equal(div, attribute:parent())
    assert.is_nil(attribute:next())
    assert.is_nil(attribute:attr("x"))
    local comment = doc:xpath("//comment()")[1]
    assert.same({ "#comment", "comment", "c" }, { comment:name(), comment:kind(),
      comment:text_content() })
  end))

  it("is equal to itself alone", with(function(doc, div)
    assert.is_true(div == doc:css("div")[1])
    assert.is_false(div == doc:css("p")[1])
    assert.is_false(div == doc)
    assert.is_false(div == io.stdout)
  end))

  it("says what it is", with(function(doc, div)
    assert.equal("Node<div#d.a.b>", tostring(div))
    assert.equal("Node<p>", tostring(doc:css("p")[1]))
    assert.equal("Node<#text>", tostring(div:css("::text")[1]))
    assert.equal("SelectorList<2>", tostring(doc:css("li")))
  end))

  it("is searched by pattern", with(function(doc)
    assert.same({ "one", "two" }, doc:css("p::text, b::text")[1]:re("%a+") and
      { doc:css("p")[1]:re_first("(o%a+)"), doc:css("b")[1]:re_first("t%a+") })
    assert.equal("none", doc:css("b")[1]:re_first("%d", "none"))
  end))
end)

describe("a selector list", function()
  it("is a table of nodes", with(function(doc)
    local list = doc:css("li")
    assert.equal(2, #list)
    assert.equal("2", list[2]:text())
    assert.is_nil(list[3])
    local seen = {}
    for i, node in ipairs(list) do
      seen[i] = node:text()
    end
    for node in list:iter() do
      seen[#seen + 1] = node:text()
    end
    assert.same({ "1", "2", "1", "2" }, seen)
  end))

  it("gives texts", with(function(doc)
    assert.equal("<li>1</li>", doc:css("li"):get())
    assert.equal("1", doc:css("li::text"):get())
    assert.is_nil(doc:css("i"):get())
    assert.equal("none", doc:css("i"):get("none"))
    assert.same({ "1", "2" }, doc:css("li::text"):getall())
    assert.same({ "1", "2" }, doc:css("li"):texts())
    assert.same({ "3" }, doc:xpath("1 + 2"):texts())
    assert.equal("d", doc:css("div"):attr("id"))
    assert.is_nil(doc:css("i"):attr("id"))
    assert.same({}, doc:css("i"):getall())
  end))

  it("finds by pattern, captures first", with(function(doc)
    assert.same({ "1", "2" }, doc:css("li::text"):re("%d"))
    assert.same({ "l", "i", "l", "i", "l", "i", "l", "i" }, doc:css("li"):re("(l)(i)"))
    assert.equal("2", doc:css("li"):re_first(">([2-9])<"))
    assert.equal("2", doc:css("li::text"):re_first("^2$"))
    assert.same({ "1", "2" }, doc:css("li::text"):re("^."))
    assert.same({ "", "" }, doc:css("li::text"):re("^"))
    assert.same({ "o", "n", "e" }, doc:css("p::text")[1]:re("%a"))
    assert.same({ 1, 3 }, doc:css("p::text")[1]:re("()[oe]"))
    assert.is_nil(doc:css("li"):re_first("x"))
    assert.equal(0, doc:css("li"):re_first("x", 0))
    support.raises({ "type", "invalid_pattern" }, doc.css(doc, "li").re, doc:css("li"), "(")
    support.raises("type", doc.css(doc, "li").re, doc:css("li"))
  end))

  it("is searched below", with(function(doc)
    assert.same({ "1", "2" }, doc:css("div"):css("ul"):xpath("li/text()"):getall())
    assert.same({}, doc:css("i"):css("b"):getall())
    local numbers = doc:xpath("1")
    support.raises("type", numbers.css, numbers, "a")
  end))
end)
