-- SPDX-License-Identifier: MIT
-- weft.http.links: the syntax of RFC 8288, several relations, relative URLs, text in
-- extended notation, and what servers get wrong.

local links = require "weft.http.links"
local support = require "spec.support"

local BASE = "http://example.com/a/b?c"

describe("Link fields", function()
  it("map relations to URLs, which they make absolute", support.outside(function()
    local map = links.parse('</page?n=2>; rel="next", <../x>; rel=up', BASE)
    assert.same({ next = { url = "http://example.com/page?n=2", rel = "next" },
      up = { url = "http://example.com/x", rel = "up" } }, map)
  end))

  it("are read from Headers, a list or one value", support.outside(function()
    local headers = {
      getall = function(_, name)
        return name == "Link" and { "<a>; rel=x", "<b>; rel=y" } or {}
      end,
    }
    for _, source in ipairs({ headers, { "<a>; rel=x", "<b>; rel=y" }, "<a>;rel=x,<b>;rel=y" }) do
      local map = links.parse(source, BASE)
      assert.equal("http://example.com/a/a", map.x.url)
      assert.equal("http://example.com/a/b", map.y.url)
    end
    assert.same({}, links.parse({}, BASE))
  end))

  it("may have several relations, and parameters", support.outside(function()
    local map = links.parse('<a>; REL="Next last http://Example.org/R"; title="a \\"b\\", c"; '
      .. 'type=text/html; crossorigin', BASE)
    assert.equal(map.next, map.last)
    assert.equal(map.next, map["http://Example.org/R"])
    assert.same({ url = "http://example.com/a/a", rel = "Next last http://Example.org/R",
      title = 'a "b", c', type = "text/html", crossorigin = "" }, map.next)
  end))

  it("without a relation are under their URL", support.outside(function()
    local map = links.parse("<a>; title=x", BASE)
    assert.equal("x", map["http://example.com/a/a"].title)
  end))

  it("count once: the first link of a relation, the first parameter of a name",
    support.outside(function()
      local value = "<a>; rel=next; rel=last, <b>; rel=next"
      local map = links.parse(value, BASE)
      assert.equal("http://example.com/a/a", map.next.url)
      assert.is_nil(map.last)
      assert.equal(2, #links.list(value, BASE))
    end))

  it("take text in extended notation before other text", support.outside(function()
    local map = links.parse("<a>; rel=x; title*=UTF-8'de'n%c3%a4chstes; title=plain", BASE)
    assert.equal("nächstes", map.x.title)
    map = links.parse("<a>; rel=x; title*=nothing''%c3; title=plain; url=u; url*=UTF-8''u", BASE)
    assert.same({ url = "http://example.com/a/a", rel = "x", title = "plain" }, map.x)
  end))

  it("have commas and semicolons in URLs and quotes", support.outside(function()
    local map = links.parse('<a,b;c>; rel="x"; t="1,2;3" , <d>;rel=y', BASE)
    assert.equal("http://example.com/a/a,b;c", map.x.url)
    assert.equal("1,2;3", map.x.t)
    assert.equal("http://example.com/a/d", map.y.url)
  end))

  it("that are malformed are left out", support.outside(function()
    local map = links.parse({ "<http://[bad>; rel=a, <ok>; rel=b", "no link, <ok2>; rel=c",
      "<open; rel=d", '<e>; rel="open', "<f> rel=f", "<g>; =x; rel=g", ",,<h>;;rel=h;,", "" },
      BASE)
    local found = {}
    for relation in pairs(map) do
      found[#found + 1] = relation
    end
    table.sort(found)
    assert.same({ "b", "c", "h", "http://example.com/a/e", "http://example.com/a/f",
      "http://example.com/a/g" }, found)
    assert.same({}, links.parse("<relative>; rel=x"))
    assert.equal("http://a/", links.parse("<http://a>; rel=x").x.url)
  end))

  it("of any bytes raise nothing and take linear time", support.outside(function()
    local state = 1
    for _ = 1, support.rounds(2000) do
      local bytes = {}
      for i = 1, 40 do
        state = (state * 16807) % 2147483647
        bytes[i] = ("<>;,=\"\\ax '*%"):sub(state % 13 + 1, state % 13 + 1)
      end
      links.parse(table.concat(bytes), BASE)
    end
    for _, piece in ipairs({ "<a>;", "<", '"', ",", "<a>; rel=\"", "; ", "\\" }) do
      links.parse("<a>" .. piece:rep(30000), BASE)
    end
  end))
end)
