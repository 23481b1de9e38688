-- SPDX-License-Identifier: MIT
-- weft.crawl.crawlscope: which URLs belong to a crawl, by host, by folder, by a function; and what
-- it is extended by.

local crawlscope = require "weft.crawl.crawlscope"
local support = require "spec.support"

local function new(kind, ...)
  return crawlscope.new({ ... }, kind)
end

describe("weft.crawl.crawlscope", function()
  it("knows hosts, whatever the scheme, but not other ports", function()
    local scope = new("host", "http://a.example/x/y", "http://b.example:8080")
    for text, expected in pairs { ["http://a.example/"] = true, ["https://a.example/z"] = true,
      ["http://a.example:81/"] = false, ["http://b.example:8080/?q"] = true,
      ["http://a.example.b.example/"] = false, ["ftp://a.example/"] = false } do
      assert.equal(expected, scope:has(text), text)
    end
    scope:extend("https://c.example/")
    assert.is_true(scope:has("https://c.example/z"))
  end)

  it("knows folders", function()
    local scope = new("folder", "http://a.example/x/y.html?z", "http://b.example")
    for text, expected in pairs { ["http://a.example/x/"] = true, ["http://a.example/x/z"] = true,
      ["http://a.example/x"] = false, ["http://a.example/"] = false,
      ["https://a.example/x/"] = false, ["http://b.example/z"] = true } do
      assert.equal(expected, scope:has(text), text)
    end
  end)

  it("asks a function, or nobody", function()
    local scope = new(function(text)
      return text:find "y$"
    end, "http://a.example/")
    assert.is_true(scope:has("http://b.example/y"))
    assert.is_false(scope:has("http://a.example/"))
    assert.is_false(scope:has("mailto:y"))
    assert.is_true(new("all", "http://a.example/"):has("https://b.example/"))
    assert.is_false(new("all", "http://a.example/"):has("data:,x"))
  end)

  it("refuses what is no scope", function()
    support.raises("type", new, "hots", "http://a.example/")
    support.raises("type", new, 1, "http://a.example/")
    support.raises({ "type", "invalid_url" }, new, "host", "a.example")
  end)
end)
