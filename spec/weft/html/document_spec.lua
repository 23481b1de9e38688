-- SPDX-License-Identifier: MIT
-- weft.html.document: title, base and links; which links there are, what they are called and
-- where they lead.

local html = require "weft.html"
local support = require "spec.weft.html.support"
local url = require "weft.url"

local function links(text, opts, how)
  local doc = html.parse(text, opts)
  local found = {}
  for i, link in ipairs(doc:links(how)) do
    found[i] = tostring(link.url) .. " " .. link.text .. (link.rel and " " .. link.rel or "")
  end
  doc:close()
  return found
end

describe("the links of a document", function()
  it("are absolute, with text and rel", support.documents(function()
    assert.same({ "http://a.example/x/b?c=1 B", "http://a.example/r root nofollow ugc",
      "http://o.example/ other", "http://a.example/x/y?q ", "mailto:a@b mail",
      "http://a.example/x/y#f top", "http://a.example/x/y " }, links([[<a href=b?c=1> B </a>
      <a href=/r rel="NoFollow ugc">root</a><a name=n>no link</a><a href="//o.example">other</a>
      <map><area href="?q"></map><a href=mailto:a@b>mail</a><a href=" #f
      ">top</a><a href="">]], { url = "http://a.example/x/y" }))
  end))

  it("are relative to <base>, itself relative to the document", support.documents(function()
    assert.same({ "http://a.example/base/b B" }, links(
      '<base target=x><base href="/base/"><base href="/other/"><a href=b>B',
      { url = url.parse("http://a.example/x/y") }))
    assert.same({ "http://c.example/b B" }, links('<base href="http://c.example"><a href=b>B'))
    assert.same({ "http://a.example/b B" }, links('<base href="http://["><a href=b>B',
      { url = "http://a.example" }))
    assert.same({ "http://a.example/b B" }, links('<base href="data:x"><a href=b>B',
      { url = "http://a.example" }))
  end))

  it("leave out what is no URL, unless all are asked for", support.documents(function()
    local text = '<a href="http://[">bad</a><a href=rel>rel</a><a href="http://a.example">good'
    assert.same({ "http://a.example/ good" }, links(text))
    assert.same({ "nil bad", "nil rel", "http://a.example/ good" }, links(text, nil,
      { all = true }))
  end))

  it("have their queries in the document's encoding", support.documents(function()
    assert.same({ "http://a.example/%C3%A9?%E9 x" }, links("<a href='/\233?\233'>x",
      { url = "http://a.example", encoding = "latin1" }))
  end))

  it("lead where doc:absolute says, whatever they look like", support.documents(function()
    local hrefs = { "b.html", "b.html#f", "#f", "#", "", ".", "..", ".b", "b..c", "_b-c.9", "b/c",
      "b?c", "b#c d", "b%20c", "b#c%20", "b:c", "?q", "é", "B.HTML#F.g-h_i", "b##c", "http:b", "-",
      "1" }
    for _, base in ipairs { "http://a.example", "http://a.example/x", "https://a.example/x/y.html",
      "http://a.example/x/?q/r#f/g", "http://a.example/x;y/z?a#b", "file:///x/y", "foo:/x/y",
      "mailto:x", "foo://a/x" } do
      local text = {}
      for i, href in ipairs(hrefs) do
        text[i] = ('<a href="%s">x</a>'):format(href)
      end
      local doc = html.parse(table.concat(text), { url = base })
      local found = doc:links { all = true }
      for i, href in ipairs(hrefs) do
        assert.equal(href, found[i].href)
        assert.equal(url.can_parse(href, base) and url.parse(href, base).href or nil,
          found[i].url, base .. " " .. href)
        assert.equal(doc:absolute(href), found[i].url)
      end
      doc:close()
    end
  end))

  it("are found in XML too, where they have no namespace", support.documents(function()
    local doc = html.parse_xml([[<r xmlns:n="urn:n"><a href="b">B</a><n:a href="c">C</n:a>
      <a n:href="d">D</a></r>]], { url = "http://a.example/" })
    assert.equal(1, #doc:links())
    assert.equal("http://a.example/b", doc:links()[1].url)
    doc:close()
  end))

  it("have an image's text where there is no other", support.documents(function()
    assert.same({ "http://a.example/ pic", "http://a.example/ map" }, links(
      "<a href=/> <img alt=pic> </a><area href=/ alt=map>", { url = "http://a.example" }))
  end))
end)

describe("a document", function()
  it("has a title", support.documents(function()
    local function title(text)
      return html.parse(text):title()
    end
    assert.equal("A B", title("<title> A\n\tB </title>"))
    assert.equal("", title("<title></title>"))
    assert.is_nil(title("<p>x"))
    assert.equal("one", title("<body><svg><title>no</title></svg><title>one</title>"))
  end))

  it("knows its URL and base", support.documents(function()
    local doc = html.parse("<base href=/b/>", { url = "http://a.example/c" })
    assert.equal("http://a.example/c", doc:url())
    assert.equal("http://a.example/b/", doc:base())
    assert.equal("http://a.example/b/x", doc:absolute("x"))
    assert.is_nil(doc:absolute("http://["))
    assert.equal("Document<HTML http://a.example/c>", tostring(doc))
    doc:close()
    doc = html.parse("")
    assert.is_nil(doc:base())
    assert.is_nil(doc:url())
    assert.is_nil(doc:root())
    doc:close()
  end))

  it("is searched by pattern", support.documents(function()
    assert.same({ "1", "2" }, html.parse("<p>1<p>2"):re(">(%d)<"))
  end))
end)
