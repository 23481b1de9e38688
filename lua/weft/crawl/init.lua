-- SPDX-License-Identifier: MIT
-- weft.crawl: crawls of sites, and their parts. This file only puts the public names together; each
-- is documented where it is made.

local crawler = require "weft.crawl.crawler"

---Crawls: all pages of a site, each once, politely; and the parts of which one is made.
---@class weft.crawl
local crawl = {
  crawler = crawler.crawler,
  run = crawler.run,
  ---Files of records.
  ---@type weft.crawl.export
  export = require "weft.crawl.export",
  ---What is to be visited.
  ---@type weft.crawl.frontier
  frontier = require "weft.crawl.frontier",
  ---Limits for each host.
  ---@type weft.crawl.politeness
  politeness = require "weft.crawl.politeness",
  ---How far it has come.
  ---@type weft.crawl.progress
  progress = require "weft.crawl.progress",
  ---Broken links.
  ---@type weft.crawl.referrers
  referrers = require "weft.crawl.referrers",
  ---robots.txt.
  ---@type weft.crawl.robots
  robots = require "weft.crawl.robots",
  ---The robots.txt of each site.
  ---@type weft.crawl.robotscache
  robotscache = require "weft.crawl.robotscache",
}

return crawl
