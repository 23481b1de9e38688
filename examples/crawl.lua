-- SPDX-License-Identifier: MIT
-- Crawls a site: fetches every page once, politely, and writes what is on them into files.
--
--   luajit examples/crawl.lua https://example.com/ --out found
--
-- Ctrl-C ends it at any time: the files are whole, and --resume goes on from there. The exit
-- status is 0, 1 if nothing could be fetched, 2 for a wrong option, 130 after Ctrl-C.

local weft = require "weft"
local crawl = require "weft.crawl"

local HELP = [[
usage: crawl.lua URL [options]

  --out DIR           where the files go (default: crawl-HOST): pages.jsonl, broken.csv
  --concurrency N     requests at once (default 16)
  --delay SECONDS     between two requests to a host (default 0)
  --max-pages N       how many URLs at most
  --max-depth N       how many links from the first page at most
  --folder            only what is below the folder of URL; otherwise, all of its host
  --agent NAME        who asks (default weft-crawl/1.0)
  --ignore-robots     fetch what robots.txt forbids, too
  --resume            go on with a crawl that was broken off
  --quiet             no progress, no summary
  --help              this text
]]

local OPTIONS = { out = "string", concurrency = "number", delay = "number", quiet = "flag",
  ["max-pages"] = "number", ["max-depth"] = "number", folder = "flag", agent = "string",
  ["ignore-robots"] = "flag", resume = "flag", help = "flag" }

local function refuse(message)
  io.stderr:write("crawl.lua: ", message, " (try --help)\n")
  os.exit(2)
end

local function read_arguments(words)
  local opts, i = { out = nil, concurrency = 16, agent = "weft-crawl/1.0" }, 1
  while words[i] do
    local name, value = words[i]:match("^%-%-([%w-]+)=?(.*)$")
    local kind = OPTIONS[name]
    if not name and words[i]:sub(1, 1) ~= "-" and not opts.url then
      opts.url = words[i]
    elseif kind == "flag" and not words[i]:find("=") then
      opts[name] = true
    elseif kind and kind ~= "flag" then
      if not words[i]:find("=") then
        i = i + 1
        value = words[i] or refuse("--" .. name .. " needs a value")
      end
      opts[name] = kind == "number" and (tonumber(value) or refuse(value .. " is no number"))
        or value
    else
      refuse("what is " .. words[i] .. "?")
    end
    i = i + 1
  end
  return opts
end

-- What is written of a page, after its links were followed.
local function read_page(page)
  local doc = page:document()
  local links = {}
  for i, link in ipairs(doc:links()) do
    links[i] = link.url
    page:follow(link.url, { text = link.text })
  end
  local record = {
    url = page.url, depth = page.depth, bytes = #page.body, seconds = page.seconds,
    title = doc:title(),
    headings = doc:css("h1, h2, h3"):texts(),
    description = doc:xpath("string(//meta[@name = 'description']/@content)"):get(),
    links = links,
  }
  doc:close()
  return record
end

local function main(opts, finished)
  weft.fs.mkdir(opts.out, { recursive = true })
  local state = opts.out .. "/state"
  if not opts.resume and weft.fs.exists(state) then
    weft.fs.unlink(state)
  end
  local pages = crawl.export.json_lines(opts.out .. "/pages.jsonl", { append = opts.resume,
    fields = { "url", "title", "headings", "description", "links", "depth", "bytes", "seconds" } })
  local broken = crawl.export.csv(opts.out .. "/broken.csv", { "page", "text", "url", "why" },
    { append = opts.resume })
  local progress = crawl.progress.new { quiet = opts.quiet }
  local crawler = crawl.crawler {
    start = opts.url, agent = opts.agent, scope = opts.folder and "folder" or "host",
    concurrency = opts.concurrency, per_host = opts.concurrency, delay = opts.delay,
    max_pages = opts["max-pages"], max_depth = opts["max-depth"],
    robots = not opts["ignore-robots"], progress = progress, state = state,
    parse = function(page) pages:write(read_page(page)) end,
    on_broken = function(link) broken:write(link) end,
  }
  weft.finally(function() crawler:run() end, function() -- also after Ctrl-C
    pages:close()
    broken:close()
    finished(crawler, pages.count, broken.count)
  end)
end

local opts = read_arguments(arg)
if opts.help then
  io.stdout:write(HELP)
  os.exit(0)
end
local fine, first = pcall(weft.url.parse, opts.url or refuse("which URL?"))
if not fine or not first.scheme:find("^https?$") then
  refuse(opts.url .. " is no URL that can be crawled")
end
opts.out = opts.out or "crawl-" .. first.hostname
local fetched = 0
local ok, e = pcall(weft.run, main, opts, function(crawler, page_count, broken_count)
  fetched = page_count
  if not opts.quiet then
    io.stderr:write(crawler.progress:summary(), ("\n%d pages and %d broken links are in %s%s\n")
      :format(page_count, broken_count, opts.out, crawler.frontier:qsize() > 0
        and ": --resume goes on" or ""))
  end
end)
if not ok then
  local interrupted = weft.is_error(e, "interrupt")
  io.stderr:write(interrupted and "interrupted\n" or "crawl.lua: " .. tostring(e) .. "\n")
  os.exit(interrupted and 130 or 1, true)
end
os.exit(fetched > 0 and 0 or 1, true)
