-- SPDX-License-Identifier: MIT
-- weft.crawl.robotscache: what the answers of a site mean, how long they hold, and that one task
-- fetches for all.

local robotscache = require "weft.crawl.robotscache"
local support = require "spec.support"
local testing = require "weft.testing"
local weft = require "weft"

local FORBIDS = "User-agent: *\nDisallow: /x\nCrawl-delay: 3\n"

-- A cache that is answered by the functions or lists of results in `answers`; and what was asked.
local function cache_of(answers, more)
  local asked = {}
  local opts = { agent = "MyBot/1.0", fetch = function(address)
    asked[#asked + 1] = address
    local answer = answers[address] or answers[1]
    if type(answer) == "function" then
      return answer(address)
    end
    return answer[1], answer[2], answer[3]
  end }
  for key, value in pairs(more or {}) do
    opts[key] = value
  end
  return robotscache.new(opts), asked
end

describe("weft.crawl.robotscache", function()
  it("asks each site once", support.virtual(function()
    local cache, asked = cache_of { { 200, FORBIDS } }
    assert.is_true(cache:allowed("http://a.example/y?z#f"))
    local ok, why = cache:allowed("http://a.example/x")
    assert.is_false(ok)
    assert.equal("robots", why)
    assert.equal(3, cache:crawl_delay(weft.url.parse("http://a.example:80/")))
    cache:allowed("https://a.example:8443/")
    assert.same({ "http://a.example/robots.txt", "https://a.example:8443/robots.txt" }, asked)
    assert.equal("RobotsCache<MyBot/1.0 sites=2>", tostring(cache))
  end))

  it("allows all where there is no file, and nothing where there is no answer",
    support.virtual(function()
      for status, source in pairs { [200] = "file", [204] = "file", [301] = "unavailable",
        [401] = "unavailable", [403] = "unavailable", [404] = "unavailable",
        [410] = "unavailable", [429] = "unreachable", [500] = "unreachable",
        [503] = "unreachable" } do
        local cache = cache_of { { status, "" } }
        local _, got, code = cache:get("http://a.example/")
        assert.equal(source, got, status)
        assert.equal(status, code)
        local ok, why, answer = cache:allowed("http://a.example/")
        assert.equal(source ~= "unreachable", ok)
        if not ok then
          assert.equal("unreachable", why)
          assert.equal(status, answer)
        end
      end
    end))

  it("takes a failure to fetch for no answer, and asks again after a while",
    support.virtual(function()
      local fails = true
      local cache, asked = cache_of({ function()
        if fails then
          error(weft.Error { kind = "connection", message = "refused" }, 0)
        end
        return 404
      end }, { retry = 60 })
      local ok, why, e = cache:allowed("http://a.example/")
      assert.is_false(ok)
      assert.equal("unreachable", why)
      assert.is_true(weft.is_error(e, "connection"))
      fails = false
      weft.sleep(59)
      assert.is_false(cache:allowed("http://a.example/"))
      weft.sleep(1.1) -- timers round
      assert.is_true(cache:allowed("http://a.example/"))
      assert.equal(2, #asked)
    end))

  it("asks again when an answer is too old", support.virtual(function()
    local cache, asked = cache_of({ { 200, FORBIDS } }, { ttl = 3600 })
    cache:allowed("http://a.example/")
    weft.sleep(3599)
    cache:allowed("http://a.example/")
    assert.equal(1, #asked)
    weft.sleep(1.1) -- timers round
    cache:allowed("http://a.example/")
    assert.equal(2, #asked)
  end))

  it("follows five redirects, for the site that was asked first", support.virtual(function()
    local cache, asked = cache_of {
      ["http://a.example/robots.txt"] = { 301, "", "https://b.example/r" },
      ["https://b.example/r"] = { 302, "", "/s" },
      ["https://b.example/s"] = { 200, FORBIDS },
    }
    assert.is_false(cache:allowed("http://a.example/x"))
    assert.equal(3, #asked)
    local hops = 0
    local loop = cache_of { function()
      hops = hops + 1
      return 302, "", "/" .. hops
    end }
    local _, source = loop:get("http://a.example/")
    assert.equal("unavailable", source)
    assert.equal(6, hops)
    for _, location in ipairs { "ftp://a.example/", "http://:::/" } do
      local elsewhere = cache_of { { 302, "", location } }
      assert.is_true(elsewhere:allowed("http://a.example/x"))
    end
  end))

  it("lets one task fetch for all, and another one if that is cancelled",
    support.virtual(function()
      local cache, asked = cache_of { function()
        weft.sleep(10)
        return 200, FORBIDS
      end }
      local tasks = {}
      for i = 1, 5 do
        tasks[i] = weft.create_task(cache.allowed, cache, "http://a.example/x")
      end
      weft.sleep(5)
      tasks[1]:cancel()
      assert.same({ false, false, false, false, n = 4 },
        weft.gather(tasks[2], tasks[3], tasks[4], tasks[5]))
      assert.equal(2, #asked)
    end))

  it("keeps the sites that are asked for, and not many more", support.virtual(function()
    local cache, asked = cache_of({ { 404 } }, { max = 10 })
    for i = 1, 100 do
      cache:allowed("http://often.example/")
      cache:allowed(("http://h%d.example/"):format(i))
    end
    assert.equal(101, #asked)
    cache:allowed("http://h1.example/")
    assert.equal(102, #asked)
  end))

  it("says nothing of URLs that are not HTTP's", support.virtual(function()
    local cache, asked = cache_of { { 500 } }
    assert.is_true(cache:allowed("ftp://a.example/"))
    assert.same({}, asked)
  end))

  it("survives cancellation at each wait", function()
    testing.cancel_everywhere(function()
      local cache = cache_of { function()
        weft.sleep(1)
        return 200, FORBIDS
      end }
      cache:allowed("http://a.example/")
      cache:allowed("http://a.example/")
    end)
  end)

  it("refuses what it cannot work with", support.virtual(function()
    support.raises("type", robotscache.new, { agent = "x" })
    support.raises("type", robotscache.new, { agent = "x", fetch = print, ttl = -1 })
    local cache = cache_of { { nil } }
    support.raises("type", cache.get, cache, "http://a.example/")
    support.raises("type", cache.get, cache, "no URL")
  end))
end)
