-- SPDX-License-Identifier: MIT
-- weft.crawl.robots: the rules of RFC 9309, what Google does beyond them, and no file that could
-- hold a crawl up.

local robots = require "weft.crawl.robots"
local support = require "spec.support"

local function allowed(text, path, agent)
  return robots.parse(text):allowed(agent or "MyBot", "https://example.com" .. path)
end

describe("weft.crawl.robots", function()
  it("follows the rules of its own group, and those for * only without one", function()
    local text = "User-agent: *\nDisallow: /\n\nUser-agent: MyBot\nDisallow: /x\n"
    assert.is_true(allowed(text, "/y"))
    assert.is_false(allowed(text, "/x"))
    assert.is_false(allowed(text, "/y", "Other"))
    assert.is_true(allowed("User-agent: MyBot\n\nUser-agent: *\n", "/"))
  end)

  it("is found by the name in a whole User-Agent, in any case", function()
    local text = "User-agent: mybot/2\nDisallow: /\n"
    for _, agent in ipairs { "MyBot", "MYBOT/1.0", "MyBot/1.0 (+https://a)", "MyBot (x)" } do
      assert.is_false(allowed(text, "/", agent))
    end
    assert.is_true(allowed(text, "/", "My"))
    assert.is_true(allowed(text, "/", "MyBotX"))
    assert.is_true(allowed(text, "/", ""))
  end)

  it("merges the groups of one robot, and gives one group to several", function()
    local text = "User-agent: A\nUser-agent: MyBot\nDisallow: /a\n\nUser-agent: B\nDisallow: /b\n"
      .. "User-agent: mybot\nDisallow: /c\n"
    assert.is_false(allowed(text, "/a"))
    assert.is_true(allowed(text, "/b"))
    assert.is_false(allowed(text, "/c"))
    assert.is_false(allowed(text, "/a", "A"))
    assert.is_true(allowed(text, "/c", "A"))
  end)

  it("lets the longest rule win, and allow among equals", function()
    local text = "User-agent: *\nDisallow: /p\nAllow: /p/q\nDisallow: /p/*/z\nAllow: /same\n"
      .. "Disallow: /same\nDisallow: /*ame2\nAllow: /same2\nDisallow: /a*c\nAllow: /abc\n"
    assert.is_false(allowed(text, "/p"))
    assert.is_true(allowed(text, "/p/q"))
    assert.is_false(allowed(text, "/p/q/z"))
    assert.is_true(allowed(text, "/same"))
    assert.is_true(allowed(text, "/same2"))
    assert.is_true(allowed(text, "/abc"))
    assert.is_false(allowed(text, "/abbc"))
  end)

  it("knows * anywhere, and $ at the end only", function()
    local text = "User-agent: *\nDisallow: /*.gif$\nDisallow: /a*b*c\nDisallow: /d$e\n"
      .. "Disallow: *f$\nDisallow: /g*$\nDisallow: /h$\nDisallow: /i*i$\n"
    for path, verdict in pairs { ["/x.gif"] = false, ["/x.gif?y"] = true, ["/a1b2c3"] = false,
      ["/acb"] = true, ["/d$e"] = false, ["/de"] = true, ["/xf"] = false, ["/xfx"] = true,
      ["/g1"] = false, ["/h"] = false, ["/h1"] = true, ["/i"] = true, ["/ii"] = false } do
      assert.equal(verdict, allowed(text, path), path)
    end
  end)

  it("takes keys with the usual typos, comments, and lines without a colon", function()
    for _, key in ipairs { "disallow", "DISALLOW", "dissallow", "dissalow", "disalow", "diasllow",
      "disallaw", "Disallow " } do
      assert.is_false(allowed("user agent : mybot # me\n" .. key .. ": /x # not there", "/x"), key)
    end
    assert.is_false(allowed("useragent mybot\ndisallow /x", "/x"))
    assert.is_true(allowed("user-agent mybot\ndisallow /x /y", "/x"))
    assert.is_true(allowed("user-agent: mybot\n# disallow: /x\n: /x\n/x\n", "/x"))
  end)

  it("reads all line ends, and a file with a byte order mark or a part of one", function()
    for _, text in ipairs { "\239\187\191User-agent: *\r\nDisallow: /x\r\n",
      "\239\187User-agent: *\rDisallow: /x\r", "User-agent: *\n\n\n\nDisallow: /x" } do
      assert.is_false(allowed(text, "/x"))
    end
    assert.is_true(allowed("\187User-agent: *\nDisallow: /x\n", "/x"))
  end)

  it("matches what is not ASCII, and %XX in either case", function()
    local text = "User-agent: *\nDisallow: /\195\164\nDisallow: /%c3%b6\n"
    assert.is_false(allowed(text, "/%C3%A4"))
    assert.is_false(allowed(text, "/%C3%B6"))
    assert.is_true(allowed(text, "/%C3"))
  end)

  it("says nothing for an empty rule, a rule before any group, and an empty file", function()
    assert.is_true(allowed("User-agent: *\nDisallow:\n", "/"))
    assert.is_true(allowed("Disallow: /\nUser-agent: *\n", "/"))
    assert.is_true(allowed("", "/"))
    assert.is_true(robots.all():allowed("MyBot", "https://example.com/"))
    assert.is_false(robots.all(false):allowed("MyBot", "https://example.com/"))
  end)

  it("takes URL objects, and URLs without a path or with a fragment", function()
    local rules = robots.parse("User-agent: *\nDisallow: /x#\nDisallow: /y?\nDisallow: /$\n")
    local url = require("weft").url
    assert.is_false(rules:allowed("MyBot", url.parse("https://example.com/y?a")))
    assert.is_false(rules:allowed("MyBot", "https://example.com"))
    assert.is_false(rules:allowed("MyBot", "https://example.com#z"))
    assert.is_true(rules:allowed("MyBot", "https://example.com/y#?"))
  end)

  it("gives the delay of a robot, and the sitemaps", function()
    local rules = robots.parse("Sitemap: https://a/1\nUser-agent: A\nCrawl-delay: 2.5\n"
      .. "User-agent: MyBot\nDisallow: /x\nCrawl-Delay: .5 # s\nUser-agent: *\nCrawl-delay: x\n"
      .. "site-map: /2\nSitemap:\n")
    assert.equal(2.5, rules:crawl_delay("A"))
    assert.equal(0.5, rules:crawl_delay("MyBot"))
    assert.is_nil(rules:crawl_delay("Other"))
    assert.same({ "https://a/1", "/2" }, rules.sitemaps)
    assert.equal("Robots<3 groups>", tostring(rules))
  end)

  it("reads whole lines of a file that is too long", function()
    local text = "User-agent: *\nDisallow: /x\nDisallow: /yes\n"
    local cut = robots.parse(text, { max = #text - 3 })
    assert.is_true(cut.truncated)
    assert.is_true(cut:allowed("MyBot", "/yes"))
    assert.is_false(cut:allowed("MyBot", "/x"))
    assert.is_false(robots.parse(text, { max = #text - 1 }):allowed("MyBot", "/yes"))
    assert.is_false(robots.parse(text).truncated)
    local long = robots.parse("#" .. ("x"):rep(2 ^ 20) .. "\nUser-agent: *\nDisallow: /")
    assert.is_true(long.truncated)
    assert.is_true(long:allowed("MyBot", "/"))
  end)

  it("is not held up by hostile patterns and paths", function()
    local lines = { "User-agent: *" }
    for i = 1, 200 do
      lines[#lines + 1] = "Disallow: /" .. ("*a"):rep(200) .. i .. "$"
    end
    local rules = robots.parse(table.concat(lines, "\n"))
    local start = os.clock()
    assert.is_true(rules:allowed("MyBot", "https://example.com/" .. ("a"):rep(5000) .. "b"))
    assert.is_true(os.clock() - start < (support.slow and 20 or 2))
  end)

  it("refuses what is no text", function()
    support.raises("type", robots.parse, nil)
    support.raises({ "type", "unknown_option" }, robots.parse, "", { maximum = 1 })
    support.raises("type", robots.all, 1)
    local rules = robots.parse("")
    support.raises("type", rules.allowed, rules, nil, "/")
    support.raises("type", rules.allowed, rules, "MyBot", nil)
  end)
end)
