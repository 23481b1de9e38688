-- SPDX-License-Identifier: MIT
-- weft.html.css, weft.html.selector, weft.html.caret: what selectors mean beyond what the pages'
-- spec compares, what is refused and where, and that no text brings the compiler down.

local html = require "weft.html"
local selectors = require "spec.weft.html.selectors"
local support = require "spec.weft.html.support"

local PAGE = [[<html lang=en><body>
<div id=a class="x y"><p id=b title="One Two">1</p><p id=c class=X>2<b id=d>3</b></p>
<p id=e data-x="it's">4</p></div>
<form id=f><input id=g required><input id=h type=CHECKBOX checked><input id=i disabled>
<select id=j><optgroup disabled><option id=k selected></optgroup><option id=l></select>
<fieldset disabled><input id=m></fieldset><a id=n href=x></a></form>
<ul id=o><li id=p class=t><li id=q><li id=r class=t><li id=s class=t></ul>
<p id="quote'&quot;">5</p></body></html>]]

local function ids(selector)
  local doc = html.parse(PAGE)
  local found = {}
  for _, node in ipairs(doc:css(selector)) do
    found[#found + 1] = node:attr("id")
  end
  doc:close()
  return table.concat(found, " ")
end

describe("a selector", function()
  it("selects what Selectors Level 4 says", support.documents(function()
    for selector, expected in pairs({
      ["p:is(.X, #b)"] = "b c", ["p.X:is(.y)"] = "", [":is(div > p, ul):not(#b)"] = "c e o",
      ["p:not(:not(#b))"] = "b", ["p:not(#b, #c, div ~ *)"] = "e",
      ["div:where(:has(> b), .y)"] = "a", ["p:has(b)"] = "c", ["p:has(+ p + p)"] = "b",
      ["p:has(~ #e)"] = "b c", ["div:has(p b)"] = "a", ["div:has(> b)"] = "",
      ["div:has(b, i)"] = "a", ["p:has(+ .X > b)"] = "b",
      ["[title='one two' i]"] = "b", ["[title='one two']"] = "", ["[title='One Two' s]"] = "b",
      ["[title^=one i]"] = "b", ["[title$=TWO i]"] = "b", ["[title~=two i]"] = "b",
      ["[title*=' t' i]"] = "b", ["div > [title!='one two' i]"] = "c e",
      ["[title|='one two' i]"] = "b", [".x"] = "a", [".X"] = "c", ["div.x.y"] = "a",
      ["li:nth-child(1 of .t)"] = "p", ["li:nth-child(2n of .t)"] = "r",
      ["li:nth-last-child(-n+2 of .t)"] = "r s", ["li:nth-child(2 of :is(.t, #q))"] = "q",
      ["li:nth-child( +2n - 1 )"] = "p r", ["li:nth-child(ODD)"] = "p r",
      ["*:first-of-type#b"] = "b", ["div > *:last-of-type"] = "e", ["ul > *:only-of-type"] = "",
      [":required"] = "g", ["input:optional"] = "h i m", [":checked"] = "h k",
      [":disabled"] = "i k m", ["input:enabled"] = "g h", [":link"] = "n", [":any-link"] = "n",
      ["li:hover"] = "", ["ul :empty"] = "p q r s", ["[data-x=\"it's\"]"] = "e",
      ["[data-x='it\\'s']"] = "e", ["#quote\\'\\\""] = "quote'\"",
      ["[id='quote\\'\"']"] = "quote'\"", [":lang(EN) #d"] = "d", ["LI:NOT(.t)"] = "q",
      ["div /**/ p#b"] = "b", ["div>p+p"] = "c e", ["b ,  i,#e"] = "d e",
      ["p:contains('3')"] = "c", ["#a#a.x[id]"] = "a", ["|p#b"] = "b", ["*|p#b"] = "b",
      ["#\\62"] = "b", ["#\\000062 "] = "b", ["li:nth-child(n):nth-last-child(n)"] = "p q r s",
      ["li:nth-child(99999)"] = "", ["li:nth-child(-99999n+4)"] = "s", [":scope > body > p"] =
        "quote'\"", ["[id=b],[id=b],p#b"] = "b",
    }) do
      assert.equal(expected, ids(selector), selector)
    end
  end))

  it("below a node is for what is in it, and the node", support.documents(function()
    local doc = html.parse("<div class=o><div class=i><p>1</p></div><p>2</p></div><p>3</p>")
    local inner = doc:css(".i")[1]
    assert.same({ "1" }, inner:css("p"):texts())
    assert.same({ "1" }, inner:css("div p"):texts())
    assert.same({}, inner:css(".o p"):texts())
    assert.same({ "1" }, inner:css(":scope > p"):texts())
    assert.same({}, inner:css("div div"):texts())
    assert.same({ "1", "2" }, doc:css(".o"):css(":scope p"):texts())
    assert.equal(1, #inner:css(".i"))
    assert.same({ "1", "2" }, doc:css(".o")[1]:css("p, .i p"):texts())
    doc:close()
  end))

  it("ends with ::text or ::attr", support.documents(function()
    local page = "<div id=1>a<p id=2>b<i id=3>c</i>d</p>e</div>"
    assert.equal("a|e", support.get(page, "div::text"))
    assert.equal("a|b|c|d|e", support.get(page, "div ::text"))
    assert.equal("a|b|c|d|e", support.get(page, "div *::text"))
    assert.equal("1|2|3", support.get(page, "::attr(ID)"))
    assert.equal("1|b|d|c", support.get(page, "div::attr(id), p::text, i::text")
      :gsub("b|c|d", "b|d|c"))
    assert.equal("2", support.get(page, "p::attr( 'id' )"))
  end))

  it("gives the nodes of a group in order, each once", support.documents(function()
    local parts, wanted = {}, {}
    for i = 1, 300 do
      parts[i] = ("<p class=c%d>%d</p>"):format(i, i)
      wanted[301 - i] = ".c" .. i
    end
    wanted[301], wanted[302] = "p:nth-child(even)", "body"
    local doc = html.parse(table.concat(parts))
    local found = doc:css(table.concat(wanted, ","))
    assert.equal(301, #found)
    assert.equal("body", found[1]:name())
    for i = 1, 300 do
      assert.equal(tostring(i), found[i + 1]:text())
    end
    doc:close()
  end))

  it("counts the children of many parents at once", support.documents(function()
    local rows = {}
    for i = 1, 200 do
      rows[i] = "<tr>" .. ("<td>x<td>y"):rep(i % 7 + 1) .. "</tr>"
    end
    local doc = html.parse("<table>" .. table.concat(rows) .. "</table>")
    for i, row in ipairs(doc:css("tr")) do
      local n = (i % 7 + 1) * 2
      assert.equal(n / 2, #row:css("td:nth-child(2n)"))
      assert.equal(1, #row:css("td:nth-last-of-type(" .. n .. ")"))
    end
    assert.equal(200, #doc:css("td:last-of-type"))
    assert.equal(200, #doc:css("td:nth-last-child(1)"))
    doc:close()
  end))

  it("can be looked at as XPath", support.documents(function()
    assert.equal("descendant-or-self::p[has-class('x') and parent::div]",
      html.css_to_xpath("div > P.x"))
    assert.equal("descendant-or-self::*[local-name() = 'P']/text()",
      html.css_to_xpath("P::text", { xml = true }))
  end))
end)

describe("a bad selector", function()
  it("raises type with its position under a caret", support.documents(function()
    local doc = html.parse("")
    local e = support.raises({ "type", "invalid_selector" }, doc.css, doc, "div > p:foo a")
    assert.equal(8, e.position)
    assert.equal("invalid selector, at 8: there is no pseudo-class ':foo'\n"
      .. "  div > p:foo a\n         ^", e.message)
    e = support.raises({ "type", "invalid_selector" }, doc.css, doc, "é ü, ]")
    assert.equal("  é ü, ]\n       ^", e.message:match("\n(.*)$"))
    doc:close()
  end))

  it("of names alone finds what XPath finds", support.documents(function()
    local doc = html.parse([[<h2>1</h2><div><H1>2<b>3</b></H1><svg><a>4</a></svg><div>
      <h3>5</h3></div></div><x-y>6</x-y>]])
    for selector, path in pairs { ["h1, h2,h3"] = "//h1|//h2|//h3", H1 = "//h1", [" b\n"] = "//b",
      ["a,a"] = "//a", div = "//div", none = "//none", ["x"] = "//x", h = "//h" } do
      assert.same(doc:xpath(path):getall(), doc:css(selector):getall(), selector)
    end
    local div = doc:css("div")[1]
    assert.same(div:xpath("descendant-or-self::div"):getall(), div:css("div"):getall())
    assert.same({}, div:css("h2"):getall())
    local feed = html.parse_xml('<n:a xmlns:n="urn:n"/>')
    assert.equal(1, #feed:css("a"))
    feed:close()
    doc:close()
    support.raises("closed", doc.css, doc, "a")
    support.raises("closed", div.css, div, "a")
    support.raises("closed", doc.links, doc)
  end))

  it("is refused where it is bad", support.documents(function()
    local doc = html.parse("")
    for selector, position in pairs({
      [""] = 1, ["  "] = 3, [","] = 1, ["a,"] = 3, ["a,,b"] = 3, ["> a"] = 1, ["a >"] = 4,
      ["a > > b"] = 5, ["a b +"] = 6, ["."] = 2, ["a."] = 3, ["#"] = 2, ["a#"] = 3, [".1"] = 2,
      ["["] = 2, ["[]"] = 2, ["[a"] = 3, ["[a=]"] = 4, ["[a=b"] = 5, ["[a='b]"] = 4,
      ["[a?b]"] = 3, ["[a=b x]"] = 6, ["[a=1]"] = 4, ["[*]"] = 2, [":"] = 2, ["a:"] = 3,
      ["a:b"] = 2, ["a:not"] = 2, ["a:not("] = 7, ["a:not()"] = 7, ["a:not(b"] = 8,
      ["a:b()"] = 2, ["a:nth-child"] = 2, ["a:nth-child()"] = 13, ["a:nth-child(x)"] = 13,
      ["a:nth-child(2n+)"] = 13, ["a:nth-child(- 1)"] = 13, ["a:nth-of-type(1 of b)"] = 15,
      ["a:nth-child(99999999999)"] = 13, ["a:has()"] = 7, ["a:is(,)"] = 6, ["a:contains()"] = 12,
      ["a:lang(1)"] = 8, ["a::b"] = 2, ["a::text b"] = 8, ["a::text:not(b)"] = 8,
      ["a:not(b::text)"] = 8, ["a::attr"] = 8, ["a::attr()"] = 9, ["a::attr(b"] = 10,
      ["::before"] = 1, ["a)"] = 2, ["a]"] = 2, ["a{}"] = 2, ["a!b"] = 2, ["1"] = 1, ["a\\"] = 2,
      ["a\nb\n["] = 6, ["a\1"] = 2, ["a\0"] = 2, ["\255"] = 1, ["'a'"] = 1,
    }) do
      local e = support.raises("type", doc.css, doc, selector)
      assert.equal(position, e.position, selector)
      assert.is_truthy(e.message:find("^", 1, true), selector)
    end
    support.raises("type", doc.css, doc)
    support.raises("type", doc.css, doc, 1)
    support.raises("type", doc.css, doc, (":not("):rep(17) .. "a" .. (")"):rep(17))
    assert.same({}, doc:css((":is("):rep(16) .. "a" .. (")"):rep(16)):getall())
    support.raises("type", doc.css, doc, ("a"):rep(20000))
    doc:close()
  end))

  it("is the only thing that a changed one can be", support.documents(function()
    local doc = html.parse(PAGE)
    math.randomseed(42)
    local letters = "abnp*.#:[]()=~|^$!>+, \"'\\/-_123éI\n%<&;{}@\t"
    local refused, taken = 0, 0
    for _ = 1, support.rounds(10000) do
      local text = selectors.css[math.random(#selectors.css)]
      for _ = 1, math.random(4) do
        local at = math.random(#text + 1)
        local kind = math.random(4)
        local other = selectors.css[math.random(#selectors.css)]
        local i = math.random(#letters)
        if kind == 1 then
          text = text:sub(1, at - 1) .. letters:sub(i, i) .. text:sub(at)
        elseif kind == 2 then
          text = text:sub(1, at - 1) .. text:sub(at + math.random(3))
        elseif kind == 3 then
          text = text:sub(1, at - 1) .. other:sub(math.random(#other)) .. text:sub(at)
        else
          text = text:sub(1, at - 1) .. letters:sub(i, i) .. text:sub(at + 1)
        end
      end
      local ok, e = pcall(doc.css, doc, text)
      if ok then
        taken = taken + 1
      else
        refused = refused + 1
        if type(e) ~= "table" or e.kind ~= "type" or not e.position then
          error(text .. ": " .. tostring(e), 0)
        end
      end
    end
    assert.is_true(taken > 0 and refused > 0)
    doc:close()
  end))
end)
