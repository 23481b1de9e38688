-- SPDX-License-Identifier: MIT
-- weft.http.address: where a URL leads, and the cache of URLs.
-- What requests do with it is in request_spec.

local addresses = require "weft.http.address"
local support = require "spec.support"
local urls = require "weft.url"

describe("an address", function()
  it("has no credentials and, for the server, no fragment", support.outside(function()
    local one = addresses.parse("https://u:p@EXAMPLE.com:8443/a?b#c#d")
    assert.same({ "https://example.com:8443/a?b", "https://example.com:8443/a?b#c#d",
      "example.com:8443", "https://example.com:8443", true }, { one.href, one.real_href, one.host,
      one.origin, one.is_secure })
    assert.equal("u", one.auth.login)
    assert.equal("", one.url.username)
    one = addresses.parse("http://[::1]/#")
    assert.same({ "http://[::1]/", "http://[::1]/#", "[::1]" }, { one.href, one.real_href,
      one.host })
  end))

  it("is relative to a base", support.outside(function()
    assert.equal("http://a/c/d", addresses.parse("d", urls.parse("http://a/c/")).href)
    support.raises({ "type", "invalid_url" }, addresses.parse, "d")
  end))
end)

describe("a cache", function()
  it("gives the same address again", support.outside(function()
    local cache = addresses.cache()
    local one = addresses.find(cache, "http://a/")
    assert.is_true(rawequal(one, addresses.find(cache, "http://a/")))
  end))

  it("keeps what is used, and forgets the rest", support.outside(function()
    local cache = addresses.cache()
    local kept = addresses.find(cache, "http://kept/")
    local lost = addresses.find(cache, "http://lost/")
    for i = 1, 2000 do
      addresses.find(cache, "http://a/" .. i)
      addresses.find(cache, "http://kept/")
    end
    assert.is_true(rawequal(kept, addresses.find(cache, "http://kept/")))
    assert.is_false(rawequal(lost, addresses.find(cache, "http://lost/")))
  end))
end)
