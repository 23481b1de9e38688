-- SPDX-License-Identifier: MIT
-- tools/docs/pages/crawl.lua: the pages of the manual on crawls.
--
-- Owns: the text that belongs to no single name. The form is that of tools/docs/pages.lua.

local pages = {}

local function add(page) pages[#pages + 1] = page end

add { name = "crawl", title = "Crawls", from = { "weft.crawl.crawler", "weft.crawl.page",
    "weft.crawl.frontier", "weft.crawl.hostqueue" },
  summary = '`require "weft.crawl"`: all pages of a site, each once; and what is to be visited.',
  text = [[
A crawl begins somewhere and gives each page to a function, which says what is to be fetched next.
`page:document` is for what is on the page (see [Documents](documents.md)). `site` is the address
of the site that comes with the examples.

```lua
local crawl = require "weft.crawl"

local counts = crawl.run {
  start = site .. "/tea/", agent = "MyBot/1.0 (+https://me.example/bot)",
  parse = function(page)
    local doc = page:document()
    print(page.depth, page.url, doc:title())
    for _, link in ipairs(doc:css("tr:nth-child(2) a, a[rel = next]")) do
      page:follow(link:attr("href"))
    end
  end,
}
--> 0	http://127.0.0.1:8080/tea/	Teas
--> 1	http://127.0.0.1:8080/tea/assam	Assam
--> 2	http://127.0.0.1:8080/tea/keemun	Keemun
--> 3	http://127.0.0.1:8080/tea/sencha	Sencha
print(counts.pages, counts.statuses[404]) --> 5	1
```

The whole program around it, with files, progress and an end by Ctrl-C after which the next run goes
on, is [examples/crawl.lua](../../examples/crawl.lua).

What a crawl is made of can be used by itself. A frontier has the URLs that were found, each once,
however it is spelled, and gives them out until all are done:

```lua
local crawl = require "weft.crawl"

local frontier = crawl.frontier.new { max_depth = 1 }
print(frontier:add("http://a.example/")) --> true
print(frontier:add("HTTP://A.example:80/#top")) --> false	duplicate
print(frontier:add("mailto:ann@a.example")) --> false	scheme
for item in frontier:iter() do
  print(item.url, frontier:add(item.url .. "tea/", { depth = item.depth + 1 }))
  frontier:done(item)
end
--> http://a.example/	true
--> http://a.example/tea/	false	depth
```
]] }

add { name = "crawl-politeness", title = "Politeness of crawls", from = { "weft.crawl.robots",
    "weft.crawl.robotscache", "weft.crawl.politeness" },
  summary = "What a site asks of robots (RFC 9309), and how much a host has to bear.",
  text = [[
A crawl does all of this by itself. For other programs, the rules in a robots.txt:

```lua
local crawl = require "weft.crawl"

local rules = crawl.robots.parse([=[
User-agent: *
Disallow: /private/
Allow: /private/tea
Crawl-delay: 2
Sitemap: http://a.example/map.xml]=])
print(rules:allowed("MyBot/1.0", "http://a.example/private/diary")) --> false
print(rules:allowed("MyBot/1.0", "http://a.example/private/tea")) --> true
print(rules:crawl_delay("MyBot/1.0"), rules.sitemaps[1]) --> 2	http://a.example/map.xml
```

The files of all sites that are visited, each fetched when it is first needed, by a function:

```lua
local crawl = require "weft.crawl"

local files = crawl.robotscache.new { agent = "MyBot", fetch = function(address)
  local response = http.get(address, { allow_redirects = false })
  return response.status, response:text(), response.headers:get("location")
end }
print(files:allowed(site .. "/tea/assam")) --> true
print(files:allowed(site .. "/tea/private/blend")) --> false	robots
```

And limits for each host:

```lua
local crawl = require "weft.crawl"

local loop = weft.get_running_loop()
local start = loop:time()
local gate = crawl.politeness.new { delay = 2, jitter = 0 }
weft.map({ "a.example", "a.example", "b.example" }, function(host)
  gate:with(host, function()
    print(("%s after %.0f s"):format(host, loop:time() - start))
  end)
end):collect()
--> a.example after 0 s
--> b.example after 0 s
--> a.example after 2 s
```
]] }

add { name = "crawl-output", title = "What crawls write", from = { "weft.crawl.export",
    "weft.crawl.progress", "weft.crawl.referrers" },
  summary = "Files of records, progress, broken links.",
  text = [[
Records go into files that hold whole ones at any time, whatever ends the program:

```lua
local crawl = require "weft.crawl"

weft.fs.temporary_directory(function(dir)
  local path = dir .. "/pages.jsonl"
  crawl.export.json_lines(path, { fields = { "url", "title" } }):with(function(writer)
    writer:write { url = "http://a.example/", title = "Tea" }
    writer:write { url = "http://a.example/cups" }
  end)
  print((weft.fs.read_file(path):gsub("\n$", "")))
end)
--> {"url":"http://a.example/","title":"Tea"}
--> {"url":"http://a.example/cups","title":null}
```

A crawl counts what it does, and knows on which page a broken link is:

```lua
local crawl = require "weft.crawl"

local progress = crawl.progress.new { quiet = true } -- else it is shown on stderr
crawl.run {
  start = site .. "/tea/", progress = progress,
  on_broken = function(link)
    print(link.page, link.text, link.why)
    --> http://127.0.0.1:8080/tea/sencha	The next one	404
  end,
}
print(progress.pages, progress.failures) --> 5	1
print(progress:statistics().skips["robots.txt"]) --> 1
```

Without a crawl:

```lua
local crawl = require "weft.crawl"

local links = crawl.referrers.new { on_broken = function(link)
  print(link.page, link.text, link.why)
end }
links:link("http://a.example/", "http://a.example/cups", "Cups")
links:broken("http://a.example/cups", 404) --> http://a.example/	Cups	404
links:link("http://a.example/tea", "http://a.example/cups#big") --> http://a.example/tea		404
```
]] }

return pages
