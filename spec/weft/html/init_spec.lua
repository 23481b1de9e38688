-- SPDX-License-Identifier: MIT
-- weft.html: parsing: encodings, repairs, XML, limits, and what becomes of the memory that
-- documents take.

local html = require "weft.html"
local support = require "spec.weft.html.support"

local function text_of(bytes, opts)
  local doc = html.parse(bytes, opts)
  local name, source = doc:encoding()
  local text = doc:css("p"):texts()[1]
  doc:close()
  return text, name, source
end

describe("the encoding of a document", function()
  it("is that of the option, whatever else is said", support.documents(function()
    assert.same({ "Привет", "windows-1251", "option" }, { text_of(
      '<meta charset="utf-8"><p>\207\240\232\226\229\242', { encoding = "CP1251",
        content_type = "text/html; charset=koi8-r" }) })
  end))

  it("is that of the header, else of the mark, else of <meta>", support.documents(function()
    local bytes = '<meta charset="koi8-r"><p>\207\240\232\226\229\242'
    assert.same({ "Привет", "windows-1251", "header" }, { text_of(bytes,
      { content_type = "text/html; charset=windows-1251" }) })
    assert.same({ "é", "UTF-8", "bom" }, { text_of(
      '\239\187\191<meta charset="koi8-r"><p>é') })
    assert.same({ "Привет", "KOI8-R", "document" }, { text_of(
      '<meta charset="koi8-r"><p>\240\210\201\215\197\212') })
    assert.same({ "中文", "GBK", "document" }, { text_of(
      '<meta http-equiv=content-type content="text/html; charset=gb2312"><p>\214\208\206\196') })
  end))

  it("is the fallback when nothing is said", support.documents(function()
    assert.same({ "é", "UTF-8", "fallback" }, { text_of("<p>é") })
    assert.same({ "é", "windows-1252", "fallback" }, { text_of("<p>\233",
      { fallback = "latin1" }) })
    assert.same({ "é", "KOI8-R", "document" }, { text_of('<meta charset=koi8-r><p>&eacute;',
      { content_type = "text/plain" }) })
  end))

  it("can be any of the web's", support.documents(function()
    assert.equal("こんにちは", (text_of("<p>\164\179\164\243\164\203\164\193\164\207",
      { encoding = "euc-jp" })))
    assert.equal("안녕", (text_of("<p>\190\200\179\231", { encoding = "ks_c_5601-1987" })))
    assert.equal("aé", (text_of("\255\254<\0p\0>\0a\0\233\0")))
    local _, name = text_of("<p>x", { encoding = "unicode-1-1-utf-8" })
    assert.equal("UTF-8", name)
    support.raises({ "decode", "unknown_encoding" }, html.parse, "", { encoding = "utf-9" })
    support.raises({ "decode", "unknown_encoding" }, html.parse, "", { fallback = "x" })
  end))

  it("is not looked for again in what was decoded", support.documents(function()
    assert.equal("é", (text_of('<meta charset="iso-8859-1"><p>é', { encoding = "utf-8" })))
  end))

  it("does not have to be kept to", support.documents(function()
    assert.equal("a\239\191\189b", (text_of("<p>a\255b")))
    assert.equal("ab", (text_of("<p>a\0b")))
  end))
end)

describe("HTML", function()
  it("is repaired, whatever it is", support.documents(function()
    for text, expected in pairs({
      ["<p>a<p>b"] = "<p>a</p><p>b</p>",
      ["<b><i>x</b>y</i>"] = "<b><i>x</i></b>y",
      ["<ul><li>1<li>2"] = "<ul><li>1</li><li>2</li></ul>",
      ["</p>x"] = "<p>x</p>",
      ["<div a=1 a=2 b>x"] = '<div a="1" b>x</div>',
      ["&amp;&lt;&nope;&copy;"] = "<p>&amp;&lt;&amp;nope;©</p>",
      ["<table><td>x"] = "<table><td>x</td></table>",
      ["<"] = "<p>&lt;</p>", ["<!"] = "", ["<!--"] = "", ["<a"] = "<a></a>",
    }) do
      local doc = html.parse(text)
      local body = doc:css("body")[1]
      local got = body and body:inner_html() or ""
      doc:close()
      if not text:find("^<.?.?.?.?$") then -- there versions of libxml2 differ
        assert.equal(expected, got, text)
      end
    end
  end))

  it("can be nothing at all", support.documents(function()
    for _, text in ipairs({ "", " ", "\n\n", "\0", "<!-- c -->", "<!DOCTYPE html>", "<?x?>" }) do
      local doc = html.parse(text)
      assert.same({}, doc:css("p"):getall())
      assert.same({}, doc:xpath("//p"):getall())
      assert.equal(0, doc:xpath("count(//p)")[1])
      assert.is_nil(doc:title())
      assert.same({}, doc:links())
      assert.same({}, doc:forms())
      assert.equal("", doc:text())
      assert.is_string(doc:html())
      doc:close()
    end
  end))

  it("survives any bytes", support.documents(function()
    math.randomseed(7)
    local pieces = { "<", ">", "</", "<p", "<table><tr>", "<td", "&", "&#", "&#x110000;", "<!--",
      "-->", "<![CDATA[", "]]>", "<script>", "</script>", "\"", "'", "=", " ", "\0", "\255",
      "\240\159\152\128", "<select><option", "<form><input name=a", "<a href=", "<svg><g",
      "<math>", "<frameset>", "<body>", "</html>", "<?xml version='1.0'?>", "<!DOCTYPE x [",
      "x", "é", "\r\n" }
    for _ = 1, support.rounds(3000) do
      local parts = {}
      for i = 1, math.random(40) do
        parts[i] = pieces[math.random(#pieces)]
      end
      local text = table.concat(parts)
      local doc = html.parse(text, { url = "http://a.example/" })
      assert.is_string(doc:html() .. doc:text() .. (doc:title() or ""))
      for _, form in ipairs(doc:forms()) do
        form:data()
      end
      assert.is_table(doc:links({ all = true }))
      assert.is_table(doc:tables())
      doc:close()
      html.parse_xml(text):close()
    end
  end))

  it("says nothing on stderr", support.documents(function()
    local output = support.script([[
      local html = require "weft.html"
      local doc = html.parse("<p></b><x>&foo;<p a=1 a=2></div>")
      for _, e in ipairs { "foo(1)", "$x", "//q:a", "q:f()", "(", "count(1)", "1 + ]" } do
        pcall(doc.xpath, doc, e)
      end
      html.parse_xml("<a><b></a>&x;<!DOCTYPE x SYSTEM 'http://a.invalid/'>")
    ]])
    assert.equal("", output)
  end))
end)

describe("XML", function()
  local FEED = [=[<?xml version="1.0" encoding="iso-8859-1"?>
    <rss version="2.0" xmlns:media="http://search.yahoo.com/mrss/" xmlns:own="urn:own">
    <channel><title>T]=] .. "\233" .. [=[</title><item><title>A &amp; B</title>
    <link>http://a.example/1</link><media:content url="u"/><own:x>1</own:x>
    <description><![CDATA[<p>x</p>]]></description></item></channel></rss>]=]

  it("is read as feeds are", support.documents(function()
    local doc = html.parse_xml(FEED)
    assert.is_true(doc:is_xml())
    assert.same({ "windows-1252", "document" }, { doc:encoding() })
    assert.equal("Té", doc:title())
    assert.equal("A & B", doc:css("item > title")[1]:text())
    assert.equal("http://a.example/1", doc:xpath("//item/link/text()"):get())
    assert.equal("u", doc:xpath("//media:content/@url"):get())
    assert.equal("1", doc:css("own|x::text"):get())
    assert.equal("<p>x</p>", doc:xpath("string(//description)")[1])
    assert.equal("own:x", doc:css("x")[1]:name())
    assert.equal("urn:own", doc:css("x")[1]:namespace())
    doc:close()
  end))

  it("has namespaces by prefix, and CSS names in any", support.documents(function()
    local doc = html.parse_xml([[<feed xmlns="http://www.w3.org/2005/Atom" xmlns:o="urn:o">
      <entry o:id="1"><Title>One</Title></entry><entry xmlns=""/></feed>]],
      { namespaces = { a = "http://www.w3.org/2005/Atom" } })
    assert.equal(2, #doc:css("entry"))
    assert.equal(1, #doc:css("|entry"))
    assert.equal(1, #doc:css("atom|entry"))
    assert.equal(1, #doc:css("a|entry > a|Title"))
    assert.equal(0, #doc:css("title"))
    assert.equal(2, #doc:css("*|entry"))
    assert.equal(1, #doc:css("[o|id='1']"))
    assert.equal(1, #doc:css("[*|id]"))
    assert.equal("One", doc:xpath("//atom:entry/*[local-name() = 'Title']/text()"):get())
    local e = support.raises({ "type", "invalid_selector" }, doc.css, doc, "atom|feed z|entry")
    assert.equal(11, e.position)
    doc:register_namespace("z", "urn:o")
    assert.equal("1", doc:xpath("//@z:id"):get())
    support.raises("type", doc.register_namespace, doc, "1", "x")
    doc:close()
  end))

  it("is repaired, or, if strict, refused with line and column", support.documents(function()
    local doc = html.parse_xml("<a><b>x</a>")
    assert.equal("x", doc:css("b"):texts()[1])
    doc:close()
    local e = support.raises({ "decode", "malformed" }, html.parse_xml, "<a>\n<b>x</a>",
      { strict = true })
    assert.equal(2, e.line)
    assert.is_true(e.column > 1)
    support.raises("decode", html.parse_xml, "", { strict = true })
  end))

  it("expands no entities and reads no files", support.documents(function()
    local secret = os.tmpname()
    local file = assert(io.open(secret, "w"))
    file:write("secret")
    file:close()
    local doc = html.parse_xml(([[<!DOCTYPE x [<!ENTITY f SYSTEM "file://%s"><!ENTITY e "text">
      <!ENTITY %% p SYSTEM "file://%s"> %%p; <!ATTLIST x d CDATA "default">]>
      <x>&f;&e;&lt;</x>]]):format(secret, secret))
    assert.equal("&f;&e;<", doc:root():text())
    assert.is_nil(doc:root():attr("d"))
    doc:close()
    os.remove(secret)
  end))

  it("has HTML's entities, and loses nothing behind others", support.documents(function()
    local doc = html.parse_xml('<x y="&lt;&eacute;&amp;">&f;&amp;&eacute;&nbsp;&mdash;'
      .. "&#65;&lt;</x>")
    assert.equal("&f;&é\194\160—A<", doc:text_content())
    assert.equal("<&", doc:root():attr("y"))
    doc:close()
    support.raises({ "decode", "malformed" }, html.parse_xml, "<x>&nbsp;</x>", { strict = true })
  end))

  it("laughs only once", support.documents(function()
    local declarations = { '<!ENTITY a0 "ha">' }
    for i = 1, 20 do
      declarations[#declarations + 1] = ('<!ENTITY a%d "%s">'):format(i,
        ("&a%d;"):format(i - 1):rep(10))
    end
    local doc = html.parse_xml("<!DOCTYPE x [" .. table.concat(declarations) .. "]><x y='&a20;'>"
      .. "&a20;</x>")
    assert.is_true(#doc:text_content() < 100)
    assert.is_true(#doc:html() < 2000)
    doc:close()
  end))
end)

describe("a limit", function()
  local function deep(n, tag)
    return ("<" .. (tag or "div") .. ">"):rep(n)
  end

  it("is on the depth, and 3,000 elements are not beyond it", support.documents(function()
    local page = deep(3000) .. ("<p>x</p>"):rep(support.slow and 10000 or 750000)
    local doc = html.parse(page)
    assert.equal(#page > 6e6 and 750000 or 10000, #doc:xpath("//div//p"))
    assert.equal(3000, #doc:css("div"))
    assert.equal(1, #doc:css("div:not(:has(div))"))
    assert.is_true(#doc:root():html() > #page)
    assert.is_true(#doc:text() > 10000)
    doc:close()
    for _, parse in ipairs({ html.parse, html.parse_xml }) do
      local e = support.raises({ "limit", "max_depth" }, parse, deep(20), { max_depth = 10 })
      assert.is_truthy(tostring(e):find("10 deep", 1, true))
      support.raises({ "limit", "max_depth" }, parse, deep(200000))
    end
  end))

  it("is on the nodes", support.documents(function()
    support.raises({ "limit", "max_nodes" }, html.parse, deep(20, "p"), { max_nodes = 10 })
    support.raises({ "limit", "max_nodes" }, html.parse, "<p a=1 b=2 c=3 d=4>", { max_nodes = 8 })
    support.raises({ "limit", "max_nodes" }, html.parse_xml, "<x>" .. ("<y z='1'/>"):rep(9),
      { max_nodes = 20 })
    support.raises({ "limit", "max_nodes" }, html.parse, ("<!---->"):rep(20), { max_nodes = 10 })
  end))

  it("is on the size", support.documents(function()
    support.raises({ "limit", "max_size" }, html.parse, "12345", { max_size = 4 })
    html.parse("1234", { max_size = 4 }):close()
  end))

  it("is on what there is to repair", support.documents(function()
    if not support.slow then
      support.raises({ "limit", "repairs" }, html.parse, deep(9000, "b") .. ("</i>"):rep(200000))
    end
  end))

  it("is on what an expression does", support.documents(function()
    local doc = html.parse(deep(1000) .. ("<p>x</p>"):rep(9000))
    support.raises({ "limit", "max_steps" }, doc.xpath, doc, "count(//*[count(//*) > 1])")
    assert.equal(9000, doc:xpath("count(//p)")[1])
    doc:close()
  end))
end)

describe("the memory of a document", function()
  it("is given back by close, after which all of it is closed", support.documents(function()
    local before = html.statistics()
    local doc = html.parse("<title>x</title><form><input name=a></form><p>y</p>")
    local node, list, form = doc:css("p")[1], doc:css("p"), doc:forms()[1]
    assert.equal(before.documents + 1, html.statistics().documents)
    assert.is_true(html.statistics().bytes > before.bytes)
    doc:close()
    doc:close()
    assert.is_true(doc:is_closed())
    assert.same(before, html.statistics())
    for _, call in ipairs({ "text", "text_content", "html", "inner_html", "get", "name", "kind",
      "namespace", "line", "attrs", "parent", "children", "next", "prev" }) do
      support.raises("closed", node[call], node)
    end
    support.raises("closed", node.attr, node, "x")
    for _, object in ipairs({ doc, node, list }) do
      support.raises("closed", object.css, object, "p")
      support.raises("closed", object.xpath, object, "//p")
    end
    for _, call in ipairs({ "title", "links", "forms", "tables", "url", "encoding", "base", "root",
      "text", "html", "is_xml" }) do
      support.raises("closed", doc[call], doc)
    end
    support.raises("closed", list.get, list)
    assert.equal("Document<closed>", tostring(doc))
    assert.equal("Node<closed>", tostring(node))
    assert.is_true(rawequal(doc, node:document()))
    assert.equal("a", form.controls[1].name)
  end))

  it("is kept by a node alone", support.documents(function()
    local node = html.parse("<p>kept</p>"):css("p")[1]
    for _ = 1, 3 do
      collectgarbage()
    end
    assert.equal("kept", node:text())
    assert.equal("body", node:parent():name())
    assert.equal("kept", node:document():css("p"):texts()[1])
  end))

  it("is given back by the collector", support.documents(function()
    local before = html.statistics().documents
    for _ = 1, 50 do
      html.parse("<p>x"):css("p")
    end
    collectgarbage()
    collectgarbage()
    assert.is_true(html.statistics().documents - before <= 1)
  end))

  it("does not grow over many pages that nobody closes", support.documents(function()
    local page = "<ul>" .. ("<li class=x><a href='/a'>text</a>"):rep(500) .. "</ul>"
    local huge, most = html.parse(page:rep(150)), 0
    for _ = 1, 300 do -- the collector's pace becomes that of the huge one
      html.parse(page)
    end
    huge:close()
    local count = support.rounds(3000)
    for i = 1, count do
      local doc = html.parse(page)
      assert.equal(500, #doc:css("a"))
      if i % 10 == 0 and i > count / 3 then
        most = math.max(most, html.statistics().bytes)
      end
    end
    assert.is_true(most < 100e6, tostring(most))
  end))

  it("can be used and closed by finalizers in the middle of a query", support.documents(function()
    local page = "<ul>" .. ("<li class=x title=t>text"):rep(300) .. "</ul>"
    local doc, victim, calls = html.parse(page), html.parse(page), 0
    local function on_gc()
      calls = calls + 1
      assert(#doc:css("li") == 300 and #doc:css("li")[1]:text() == 4)
      html.parse(page)
      if calls == 20 then
        victim:close()
      end
    end
    local function make_garbage()
      if newproxy then -- luacheck: ignore 113
        getmetatable(newproxy(true)).__gc = on_gc -- luacheck: ignore 113
      else
        setmetatable({}, { __gc = on_gc })
      end
    end
    local pause, ok, e = collectgarbage("setpause", 100), true, nil
    for _ = 1, support.rounds(400) do
      make_garbage()
      assert.equal(300, #doc:css("li, ul") - 1)
      assert.equal("text", doc:css("li")[300]:text())
      assert.same({ class = "x", title = "t" }, (doc:css("li")[7]:attrs()))
      assert.equal(300, #doc:css("ul")[1]:children())
      if ok then
        ok, e = pcall(function() return #victim:css("li, ul") + #victim:root():html() end)
      end
    end
    collectgarbage()
    collectgarbage("setpause", pause)
    assert.is_true(calls > 0)
    assert.is_true(ok or e.kind == "closed", tostring(e))
    victim:close()
    doc:close()
  end))

  it("is not looked for when the collector is stopped", support.documents(function()
    local page = ("<p>x"):rep(2000)
    local before = html.statistics().documents
    collectgarbage("stop")
    for _ = 1, 40 do
      html.parse(page)
    end
    local after = html.statistics().documents
    collectgarbage("restart")
    assert.equal(before + 40, after)
  end))

  it("is freed when the interpreter ends", support.documents(function()
    local output, status = support.script([[
      local html = require "weft.html"
      local doc = html.parse("<p>x")
      local meta = { __gc = function() print(doc:is_closed()) end }
      KEPT = { doc, doc:css("p"), setmetatable({}, meta) }
      os.exit(0, true)
    ]])
    assert.equal(0, status, output)
  end))

  it("is each thread's own", support.run(function()
    local weft = require "weft"
    local found = weft.gather((function()
      local calls = {}
      for i = 1, 8 do
        calls[i] = function()
          return weft.run_in_thread(function(n)
            local html_of_thread = require "weft.html"
            local count = 0
            for _ = 1, 20 do
              local doc = html_of_thread.parse(("<p class=a>x"):rep(n))
              count = count + #doc:css("p.a") + doc:xpath("count(//p)")[1]
              pcall(doc.xpath, doc, "nothing(")
            end
            return count
          end, i * 10)
        end
      end
      return calls
    end)())
    for i = 1, 8 do
      assert.equal(i * 10 * 2 * 20, found[i])
    end
  end))
end)

describe("without libxml2", function()
  it("the module loads, and its calls say what is missing", support.documents(function()
    local output = support.script([[
      package.preload["weft.html_core"] = function() error("not built") end
      local html = require "weft.html"
      for _, name in ipairs { "parse", "parse_xml", "statistics" } do
        local ok, e = pcall(html[name], "<p>")
        print(ok, e.kind, e.code)
      end
      print(html.css_to_xpath("a"))
    ]])
    assert.equal(("false\tstate\tno_libxml2\n"):rep(3) .. "descendant-or-self::a\n", output)
  end))
end)

describe("options of html.parse", function()
  it("are checked", support.documents(function()
    support.raises("type", html.parse)
    support.raises("type", html.parse, 1)
    support.raises({ "type", "unknown_option" }, html.parse, "", { encodin = "x" })
    support.raises({ "type", "unknown_option" }, html.parse, "", { strict = true })
    support.raises("type", html.parse, "", { encoding = 1 })
    support.raises("type", html.parse, "", { url = 1 })
    support.raises("type", html.parse, "", { max_depth = 0 })
    support.raises("type", html.parse, "", { max_nodes = 1.5 })
    support.raises("type", html.parse_xml, "", { namespaces = { 1 } })
    support.raises("type", html.parse_xml, "", { namespaces = "x" })
  end))
end)
