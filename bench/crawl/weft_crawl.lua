-- SPDX-License-Identifier: MIT
-- bench/crawl/weft_crawl.lua: weft, by weft.crawl, weft.html and the writer of JSON lines. It has
-- retries, limits for each host and the list of broken links, as a crawl has that sets no option;
-- robots.txt is left out, as the site has none and the others do not ask for it.
-- usage: weft_crawl.lua URL CONNECTIONS FILE

local weft = require "weft"
local crawl = require "weft.crawl"
local weft_url = require "weft.url"

local start, connections, path = arg[1], tonumber(arg[2]), arg[3]
local FIELDS = { "url", "title", "headings", "links" }

-- Each spelling is made canonical once.
local canonical = setmetatable({}, { __index = function(self, address)
  local text = weft_url.canonicalize(address)
  self[address] = text
  return text
end })

local function links_of(page, doc)
  local links = {}
  for _, link in ipairs(doc:links()) do
    local address = link.url:match "^[^#]*"
    if address:find "^https?:" then
      links[#links + 1] = { url = canonical[address], text = link.text }
      page:follow(address, { text = link.text })
    end
  end
  return links
end

local function record_of(page)
  local doc = page:document()
  local headings = {}
  for i, node in ipairs(doc:css "h1, h2, h3") do
    headings[i] = node:text()
  end
  local record = { url = page.url, title = doc:title() or "", headings = headings,
    links = links_of(page, doc) }
  doc:close()
  return record
end

weft.main(function()
  crawl.export.json_lines(path, { fields = FIELDS }):with(function(writer)
    crawl.run { start = start, concurrency = connections, per_host = connections,
      robots = false, parse = function(page)
        writer:write(record_of(page))
      end }
  end)
end)
