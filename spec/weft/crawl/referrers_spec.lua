-- SPDX-License-Identifier: MIT
-- weft.crawl.referrers: links are reported when it is known that they are broken, once
-- each.

local referrers = require "weft.crawl.referrers"

local function new()
  local found = {}
  return referrers.new { on_broken = function(link)
    found[#found + 1] = ("%s %s %s %s"):format(link.page, link.text, link.url, link.why)
  end }, found
end

describe("weft.crawl.referrers", function()
  it("reports links to what turns out to be broken, and those found later", function()
    local links, found = new()
    links:link("/a", "/x#1", "one")
    links:link("/b", "/x", "two")
    links:link("/b", "/y")
    assert.same({}, found)
    assert.equal(3, links:pending())
    links:good("/y")
    links:broken("/x", 404)
    links:link("/c", "/x#2", "three")
    links:link("/c", "/y", "four")
    assert.same({ "/a one /x#1 404", "/b two /x 404", "/c three /x#2 404" }, found)
    assert.equal("Referrers<broken=3 pending=0>", tostring(links))
  end)

  it("follows redirects, in whatever order they become known", function()
    for order = 1, 3 do
      local links, found = new()
      if order == 1 then
        links:broken("/to", "gone")
      end
      links:link("/a", "/from", "x")
      links:link("/b", "/to", "y")
      links:redirect("/from", "/middle")
      if order == 2 then
        links:broken("/to", "gone")
      end
      links:redirect("/middle", "/to")
      if order == 3 then
        links:broken("/to", "gone")
      end
      links:link("/c", "/from", "z")
      table.sort(found)
      assert.same({ "/a x /from gone", "/b y /to gone", "/c z /from gone" }, found)
    end
  end)

  it("takes a redirect in a circle for broken", function()
    local links, found = new()
    links:link("/a", "/x", "x")
    links:redirect("/x", "/y")
    links:redirect("/y", "/x")
    links:link("/b", "/x", "y")
    assert.equal(2, #found)
    links, found = new()
    links:redirect("/x", "/x#top")
    links:link("/b", "/x", "y")
    assert.same({ "/b y /x redirect to itself" }, found)
  end)

  it("keeps to what was said first", function()
    local links, found = new()
    links:good("/x")
    links:broken("/x", 404)
    links:redirect("/x", "/y")
    links:link("/a", "/x")
    assert.same({}, found)
  end)
end)
