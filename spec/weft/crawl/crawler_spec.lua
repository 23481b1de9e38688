-- SPDX-License-Identifier: MIT
-- weft.crawl.crawler: what is fetched, what becomes of each answer, how it ends; against sites that
-- are tables.

local crawl = require "weft.crawl"
local http = require "weft.http"
local support = require "spec.support"
local testing = require "weft.testing"
local weft = require "weft"

local fs = weft.fs

local HTML = { ["Content-Type"] = "text/html; charset=utf-8" }

-- A page with links: "a /x|text b /y".
local function page_of(links)
  local parts = { "<!doctype html><title>T</title>" }
  for link in links:gmatch("%S+") do
    local href, text = link:match("^([^|]*)|?(.*)$")
    parts[#parts + 1] = ('<a href="%s">%s</a>'):format(href, text)
  end
  return { status = 200, headers = HTML, body = table.concat(parts, "\n") }
end

-- A session of sites: a table from URLs to pages (texts of links), answers, or functions that
-- give one; and the list of what was asked for. A site without a robots.txt has none.
local function session_of(sites)
  local asked = {}
  local session = http.session { cookie_jar = false, transport = function(request)
    asked[#asked + 1] = request.url
    local answer = sites[request.url]
    if type(answer) == "function" then
      answer = answer(request)
    end
    if type(answer) == "string" then
      return page_of(answer)
    end
    return answer or { status = 404 }
  end }
  return session, asked
end

-- Crawls the sites; returns the URLs of the pages, sorted, the broken links, and more.
local function crawled(sites, opts)
  local pages, broken = {}, {}
  local session, asked = session_of(sites)
  local all = { start = "http://a.example/", session = session, agent = "TestBot/1",
    parse = function(page)
      pages[#pages + 1] = page.url
      if page.status == 200 then
        page:follow_links()
      end
      page:document():close()
    end,
    on_broken = function(link)
      broken[#broken + 1] = ("%s %s %s %s"):format(link.page, link.text, link.url, link.why)
    end }
  for key, value in pairs(opts or {}) do
    all[key] = value
  end
  local counts = crawl.run(all)
  session:close()
  table.sort(pages)
  table.sort(broken)
  return table.concat(pages, " "), broken, counts, asked
end

describe("weft.crawl.crawler", function()
  it("fetches each page of a host once, and finds its broken links", support.virtual(function()
    local pages, broken, counts, asked = crawled {
      ["http://a.example/"] = "/x#1|x /y|y /x http://b.example/ mailto:a@b.example",
      ["http://a.example/x"] = "/ y/../y /gone|here",
      ["http://a.example/y"] = "x ./gone|there#frag /gone#top|too",
    }
    assert.equal("http://a.example/ http://a.example/x http://a.example/y", pages)
    assert.same({ "http://a.example/x here http://a.example/gone 404",
      "http://a.example/y there#frag http://a.example/gone 404",
      "http://a.example/y too http://a.example/gone 404" }, broken)
    assert.equal(5, #asked)
    assert.equal("http://a.example/robots.txt", asked[1])
    assert.equal(4, counts.pages)
    assert.same({ [200] = 3, [404] = 1 }, counts.statuses)
    assert.equal(3, counts.broken)
    assert.equal(4, counts.added)
  end))

  it("stays where it is told to", support.virtual(function()
    local sites = {
      ["http://a.example/d/"] = "x /y http://b.example/",
      ["http://a.example/d/x"] = "", ["http://a.example/y"] = "", ["http://b.example/"] = "",
    }
    local function urls(opts)
      opts.start = "http://a.example/d/"
      return (crawled(sites, opts):gsub("http://", ""):gsub("%.example", ""))
    end
    assert.equal("a/d/ a/d/x a/y", urls {})
    assert.equal("a/d/ a/d/x", urls { scope = "folder" })
    assert.equal("a/d/ a/d/x a/y b/", urls { scope = "all" })
    assert.equal("a/d/ b/", urls { scope = function(address)
      return address:find("b.example", 1, true)
    end })
    assert.equal("a/d/", urls { max_depth = 0 })
    assert.equal("a/d/ a/d/x", urls { max_pages = 2 })
    support.raises("type", crawl.run, { start = "http://a.example/", scope = "hosts" })
  end))

  it("follows redirects through the filter, and a site that has moved", support.virtual(function()
    local function to(location, status)
      return { status = status or 301, headers = { Location = location } }
    end
    local pages, broken, _, asked = crawled {
      ["http://a.example/"] = to "http://www.a.example/",
      ["http://www.a.example/"] = "/old|o /loop|l /self|s /away|a /bad|b /far|f /new|n /none",
      ["http://www.a.example/old"] = to("/new", 308), ["http://www.a.example/new"] = "",
      ["http://www.a.example/loop"] = to "/loop2", ["http://www.a.example/loop2"] = to "/loop",
      ["http://www.a.example/self"] = to "/self#x",
      ["http://www.a.example/away"] = to "http://c.example/",
      ["http://www.a.example/bad"] = to "http://[/",
      ["http://www.a.example/none"] = { status = 304 },
      ["http://www.a.example/far"] = to "/far1", ["http://www.a.example/far1"] = to "/gone",
    }
    assert.equal("http://www.a.example/ http://www.a.example/new", pages)
    assert.same({ "http://www.a.example/ b http://www.a.example/bad redirect to no URL",
      "http://www.a.example/ f http://www.a.example/far 404",
      "http://www.a.example/ l http://www.a.example/loop redirect to itself",
      "http://www.a.example/ s http://www.a.example/self redirect to itself" }, broken)
    local seen = {}
    for _, address in ipairs(asked) do
      assert.is_nil(seen[address])
      seen[address] = true
    end
  end))

  it("gives up on a chain of redirects", support.virtual(function()
    local sites = setmetatable({ ["http://a.example/"] = "/1|x" }, { __index = function(_, address)
      local n = address:match("/(%d+)$")
      return n and { status = 302, headers = { Location = "/" .. n + 1 } }
    end })
    local _, broken, counts = crawled(sites)
    assert.same({ "http://a.example/ x http://a.example/1 too many redirects" }, broken)
    assert.equal(11, counts.statuses[302])
  end))

  it("obeys robots.txt", support.virtual(function()
    local sites = {
      ["http://a.example/robots.txt"] = { status = 200,
        body = "User-agent: testbot\nDisallow: /x\nCrawl-delay: 5\n" },
      ["http://a.example/"] = "/x|x /y|y", ["http://a.example/x"] = "", ["http://a.example/y"] = "",
    }
    local pages, broken, counts, asked = crawled(sites)
    assert.equal("http://a.example/ http://a.example/y", pages)
    assert.same({}, broken)
    assert.same({ ["robots.txt"] = 1 }, counts.skips)
    assert.equal(3, #asked)
    assert.is_true(counts.seconds >= 2.5)
    pages = crawled(sites, { robots = false })
    assert.equal("http://a.example/ http://a.example/x http://a.example/y", pages)
  end))

  it("does not visit a site that cannot say what it forbids", support.virtual(function()
    local pages, _, counts = crawled { ["http://a.example/robots.txt"] = { status = 503 },
      ["http://a.example/"] = "" }
    assert.equal("", pages)
    assert.same({ ["robots.txt 503"] = 1 }, counts.skips)
    pages, _, counts = crawled { ["http://a.example/robots.txt"] = function()
      error(weft.Error { kind = "connection", code = "ECONNREFUSED", message = "refused" }, 0)
    end }
    assert.equal("", pages)
    assert.same({ ["connection ECONNREFUSED"] = 1 }, counts.errors)
  end))

  it("tries again what may pass, later and later", support.virtual(function()
    local times, loop = {}, weft.get_running_loop()
    local function failing(n, answer)
      local count = 0
      return function(request)
        count = count + 1
        times[#times + 1] = loop:time()
        if count <= n then
          return answer(request)
        end
        return ""
      end
    end
    local pages, broken, counts = crawled {
      ["http://a.example/"] = failing(2, function()
        error(weft.Error { kind = "timeout", message = "slow" }, 0)
      end),
    }
    assert.equal("http://a.example/", pages)
    assert.same({}, broken)
    assert.equal(0, counts.failures)
    assert.is_true(math.abs(times[2] - times[1] - 1) < 0.01)
    assert.is_true(math.abs(times[3] - times[2] - 2) < 0.01)
    local why = {}
    local _
    pages, _, counts = crawled({ ["http://a.example/"] = failing(9, function()
      return { status = 500 }
    end) }, { on_error = function(address, reason)
      why[#why + 1] = address .. " " .. reason
    end, retries = 1 })
    assert.equal("", pages)
    assert.same({ "http://a.example/ 500" }, why)
    assert.equal(1, counts.failures)
    assert.equal(5, #times)
  end))

  it("lets a host alone that asks for it", support.virtual(function()
    local count = 0
    local pages, _, counts = crawled {
      ["http://a.example/"] = function()
        count = count + 1
        return count == 1 and { status = 429, headers = { ["Retry-After"] = "20" } } or ""
      end,
    }
    assert.equal("http://a.example/", pages)
    assert.is_true(math.abs(counts.seconds - 20) < 0.01)
  end))

  it("does not try again what will not pass", support.virtual(function()
    local _, broken, counts = crawled {
      ["http://a.example/"] = "/tls|t /dec|d",
      ["http://a.example/tls"] = function()
        error(weft.Error { kind = "tls", code = "expired", message = "x" }, 0)
      end,
      ["http://a.example/dec"] = function()
        error(weft.Error { kind = "decode", message = "x" }, 0)
      end,
    }
    assert.same({ "http://a.example/ d http://a.example/dec decode",
      "http://a.example/ t http://a.example/tls tls expired" }, broken)
    assert.equal(2, counts.failures)
  end))

  it("reads pages only, and none that are too large", support.virtual(function()
    local closed = 0
    local function answer(headers, body)
      return { status = 200, headers = headers, body = body, close = function()
        closed = closed + 1
      end }
    end
    local endless = function()
      weft.yield()
      return ("x"):rep(10000)
    end
    local pages, broken, counts = crawled({
      ["http://a.example/"] = "/img /long /endless /big /nothing /x",
      ["http://a.example/img"] = answer({ ["Content-Type"] = "image/png" }, endless),
      ["http://a.example/long"] = answer({ ["Content-Type"] = "text/html",
        ["Content-Length"] = "100001" }, endless),
      ["http://a.example/endless"] = answer({ ["Content-Type"] = "text/html" }, endless),
      ["http://a.example/big"] = answer({ ["Content-Type"] = "text/html" }, ("x"):rep(100001)),
      ["http://a.example/nothing"] = answer({}, "x"),
      ["http://a.example/x"] = answer({ ["Content-Type"] = "application/xhtml+xml" }, "<html/>"),
    }, { max_size = 100000 })
    assert.equal("http://a.example/ http://a.example/x", pages)
    assert.same({}, broken)
    assert.same({ size = 3, ["type image/png"] = 1, ["type application/octet-stream"] = 1 },
      counts.skips)
    assert.equal(3, closed)
  end))

  it("gives a page what was said when it was followed", support.virtual(function()
    local got = {}
    crawled({ ["http://a.example/"] = "", ["http://a.example/1"] = "",
      ["http://a.example/2"] = { status = 301, headers = { Location = "/3" } },
      ["http://a.example/3"] = "\228" }, { order = "priority", concurrency = 1,
      parse = function(page)
        got[#got + 1] = ("%s %s %d"):format(page.url:match("[^/]*$"), tostring(page.data),
          page.depth)
        if page.depth == 0 then
          assert.is_true(page:follow("1", { data = "one", priority = 1 }))
          assert.is_true(page:follow("/2", { data = "two", priority = 2 }))
          for address, why in pairs { ["//[/"] = "invalid", ["mailto:x"] = "scheme",
            ["http://b.example/"] = "elsewhere", ["2#x"] = "duplicate", [""] = "duplicate" } do
            assert.equal(why, select(2, page:follow(address)), address)
          end
          assert.equal("Page<200 http://a.example/>", tostring(page))
        end
      end })
    assert.same({ " nil 0", "3 two 1", "1 one 1" }, got)
  end))

  it("ends with what the function raises, and leaves nothing behind", support.virtual(function()
    local session = session_of { ["http://a.example/"] = "" }
    support.raises("decode", crawl.run, { start = "http://a.example/", session = session,
      parse = function()
        error(weft.Error { kind = "decode", message = "a page like no other" }, 0)
      end })
    session:close()
  end))

  it("keeps to its limits", support.virtual(function()
    local active, most, sites = 0, 0, { ["http://a.example/"] = "" }
    for i = 1, 30 do
      sites["http://a.example/"] = sites["http://a.example/"] .. " /" .. i
      sites["http://a.example/" .. i] = function()
        active = active + 1
        most = math.max(most, active)
        weft.sleep(1)
        active = active - 1
        return ""
      end
    end
    for limits, expected in pairs { [{ concurrency = 3 }] = 3, [{ per_host = 5 }] = 5,
      [{}] = 8 } do
      most = 0
      crawled(sites, limits)
      assert.equal(expected, most)
    end
    local _, _, counts = crawled(sites, { delay = 2 })
    assert.is_true(counts.seconds > 30)
  end))

  it("stops when it is told to, and goes on from its state", support.run(function()
    fs.temporary_directory(function(dir)
      local path, sites, seen = dir .. "/state", { ["http://a.example/"] = "" }, {}
      for i = 1, 20 do
        sites["http://a.example/"] = sites["http://a.example/"] .. " /" .. i
        sites["http://a.example/" .. i] = "/"
      end
      local session = session_of(sites)
      local function go(limit)
        local crawler, count = nil, 0
        crawler = crawl.crawler { start = "http://a.example/", session = session, state = path,
          concurrency = 1, parse = function(page)
            assert.is_nil(seen[page.url])
            seen[page.url], count = true, count + 1
            page:follow_links()
            page:document():close()
            if count == limit then
              crawler:stop()
            end
          end }
        local counts = crawler:run()
        support.raises({ "state", "has_run" }, crawler.run, crawler)
        return count, counts.queued
      end
      assert.equal(5, (go(5)))
      assert.is_true(fs.exists(path))
      assert.equal(6, (go(6)))
      assert.equal(10, (go(nil)))
      assert.is_false(fs.exists(path))
      session:close()
    end)
  end))

  it("keeps its state when it is cancelled", support.run(function()
    fs.temporary_directory(function(dir)
      local path, session = dir .. "/state", session_of {
        ["http://a.example/"] = "/slow /x", ["http://a.example/x"] = "",
        ["http://a.example/slow"] = function()
          weft.sleep(3600)
        end }
      local reached = weft.event()
      local task = weft.create_task(crawl.run, { start = "http://a.example/", session = session,
        state = path, robots = false, parse = function(page)
          page:follow_links()
          page:document():close()
          if page.url == "http://a.example/x" then
            reached:set()
          end
        end })
      reached:wait()
      weft.yield()
      task:cancel()
      support.raises("cancelled", task.await, task)
      local f = crawl.frontier.load(path)
      assert.equal("http://a.example/slow", f:next().url)
      assert.equal(0, f:qsize())
      session:close()
    end)
  end))

  it("refuses what it cannot begin with", support.run(function()
    support.raises("type", crawl.run, { start = {} })
    support.raises("type", crawl.run, {})
    support.raises({ "type", "invalid_url" }, crawl.run, { start = "nowhere" })
    support.raises("type", crawl.run, { start = "mailto:a@b.example" })
    support.raises({ "type", "unknown_option" }, crawl.run, { start = "http://a/", paarse = 1 })
  end))

  it("survives cancellation at each wait", function()
    testing.cancel_everywhere(function()
      local session = session_of {
        ["http://a.example/"] = function()
          weft.sleep(1)
          return "/x /y /z"
        end,
        ["http://a.example/x"] = function()
          weft.sleep(1)
          return { status = 503 }
        end,
        ["http://a.example/y"] = { status = 301, headers = { Location = "/x" } },
      }
      session:with(function()
        crawl.run { start = "http://a.example/", session = session, per_host = 2 }
      end)
    end, nil, { every_task = true })
  end)
end)
