-- SPDX-License-Identifier: MIT
-- weft.crawl.crawler: a crawl: what is found is fetched, once, politely, and given to a function.
--
-- Owns: what is done with an answer: which one is a page, which is tried again, which leads on.
-- Must not know: HTML; what is made of a page; how it is shown (weft.crawl.progress).
-- Invariant: each item of the frontier that was taken is given back, unless the crawl was broken
-- off in the middle of it: then it is still active, and saved as such.

local core = require "weft.core"
local crawlscope = require "weft.crawl.crawlscope"
local errors = require "weft.error"
local frontiers = require "weft.crawl.frontier"
local fs = require "weft.fs"
local groups = require "weft.group"
local http = require "weft.http"
local httpdate = require "weft.http.httpdate"
local options = require "weft.options"
local pages = require "weft.crawl.page"
local politeness = require "weft.crawl.politeness"
local progresses = require "weft.crawl.progress"
local referrers = require "weft.crawl.referrers"
local robotscache = require "weft.crawl.robotscache"
local scope = require "weft.scope"
local sync = require "weft.sync"
local url = require "weft.url"

---@class weft.crawl
local M = {}

local CONCURRENCY, PER_HOST = 64, 8
-- Of a page: more is no page.
local MAX_SIZE = 10 * 1024 * 1024
-- Of a robots.txt: what is read of it anyway.
local ROBOTS_MAX = 512 * 1024
local REDIRECTS_MAX = 10
local RETRIES = 2
-- Seconds before the first retry, which double with each one; and what a server may ask for.
local BACKOFF, PAUSE_MAX = 1, 60

local CONTENT_TYPES = { "text/html", "application/xhtml+xml" }

-- Answers that are worth another try, and those of them that mean the host and not the page.
local TRANSIENT = { [408] = true, [425] = true, [429] = true, [500] = true, [502] = true,
  [503] = true, [504] = true }
local BUSY = { [429] = true, [503] = true }

-- What can go wrong with a request, and whether it is worth another try. All else is a mistake of
-- the program's, and ends the crawl.
local FAILURES = { connection = true, timeout = true, dns = true, proxy = true, protocol = false,
  tls = false, decode = false, limit = false, redirect = false, http = false, type = false }

---A crawl. Made by `weft.crawl.crawler`.
---@class weft.crawl.Crawler
---@field frontier weft.crawl.Frontier what is to be visited
---@field progress weft.crawl.Progress what was counted
---@field session weft.http.Session by which pages are fetched
---@field referrers weft.crawl.Referrers the broken links
local Crawler = {}
Crawler.__index = Crawler

local function now()
  return core.loop_time(core.running_loop())
end

--- what becomes of a URL -------------------------------------------------------------

local function broken(self, item, why)
  self.referrers:broken(item.url, why)
  if self._on_error then
    self._on_error(item.url, why)
  end
end

local function skipped(self, item, why)
  self.progress:skip(why)
  self.referrers:good(item.url)
end

-- How long to wait before the next try, in seconds, or nil if there is none.
local function backoff(self, item)
  if item.attempts < self._retries then
    return BACKOFF * 2 ^ item.attempts
  end
end

local function retry_after(response)
  local value = response.headers:get("retry-after")
  if not value then
    return nil
  end
  local seconds = tonumber(value:match("^%d+$"))
  if not seconds then
    local date = httpdate.parse(value)
    seconds = date and math.max(0, date - os.time())
  end
  return seconds and math.min(seconds, PAUSE_MAX)
end

local function failed(self, item, e)
  local kind = errors.is_error(e) and e.kind
  if FAILURES[kind] == nil then
    error(e, 0)
  elseif kind == "limit" and e.code == "max_body_size" then
    return skipped(self, item, "size")
  end
  local seconds = FAILURES[kind] and backoff(self, item)
  if seconds then
    return seconds
  end
  self.progress:failure(e)
  broken(self, item, e.code and kind .. " " .. tostring(e.code) or kind)
end

-- An answer of 400 and more.
local function refused(self, item, response, seconds)
  local status = response.status
  local again = TRANSIENT[status] and backoff(self, item)
  local pause = again and BUSY[status] and (retry_after(response) or again)
  response:release()
  if again then
    return again, pause
  end
  self.progress:page(item.url, status, 0, seconds)
  broken(self, item, status)
end

local function redirected(self, item, response, seconds)
  local location = response.headers:get("location")
  response:release()
  self.progress:page(item.url, response.status, 0, seconds)
  local ok, target = pcall(url.join, item.url, location)
  local hops = (item.data and item.data.redirects or 0) + 1
  if not ok then
    return broken(self, item, "redirect to no URL")
  elseif hops > REDIRECTS_MAX then
    return broken(self, item, "too many redirects")
  end
  if item.depth == 0 then
    self._scope:extend(target) -- the site has moved
  end
  if not self._scope:has(target) then
    return skipped(self, item, "elsewhere")
  end
  self.referrers:redirect(item.url, target)
  self.frontier:add(target, { depth = item.depth, priority = item.priority,
    data = { redirects = hops, user = item.data and item.data.user } })
end

--- fetching --------------------------------------------------------------------------

-- The body of a page, or nil and why it is none.
local function body_of(self, response)
  local size = response.content_length
  if not self._content_types[response.content_type] then
    return nil, "type " .. response.content_type
  elseif size and size > self._max_size then
    return nil, "size"
  end
  return response:read()
end

local function use(self, item, response, started_at)
  local status = response.status
  if status >= 400 then
    return refused(self, item, response, now() - started_at)
  elseif status >= 300 and response.headers:get("location") then
    return redirected(self, item, response, now() - started_at)
  end
  local body, why = body_of(self, response)
  response:release()
  local seconds = now() - started_at
  self.progress:page(item.url, status, body and #body or 0, seconds)
  if not body then
    return skipped(self, item, why)
  end
  self.referrers:good(item.url)
  return nil, nil, pages.new(self, item, response, body, seconds)
end

local function fetch(self, item)
  local started_at = now()
  local response = self.session:get(item.url, self._request_options)
  local ok, again, pause, page = errors.guarded(use, self, item, response, started_at)
  if not ok then
    response:close()
    error(again, 0)
  end
  return again, pause, page
end

-- Whether robots.txt lets the item be fetched; if not, what became of it is said.
local function is_allowed(self, item)
  if not self._robots then
    return true
  end
  local rules, source, status, e = self._robots:get(item.url)
  self._gate:set_delay(item.host, rules:crawl_delay(self._agent))
  if source == "unreachable" then
    if e and FAILURES[e.kind] ~= nil then
      failed(self, { url = item.url, attempts = self._retries }, e)
    else
      self.progress:skip("robots.txt " .. tostring(status))
      broken(self, item, status or "robots.txt")
    end
    return false
  elseif not rules:allowed(self._agent, item.url) then
    skipped(self, item, "robots.txt")
    return false
  end
  return true
end

-- Fetches an item. Returns in how many seconds it is to be tried again, if it is, for how long the
-- host is to be let alone, and the page, if it is one.
local function visit(self, item)
  local ok, again, pause, page = errors.try(fetch, self, item)
  if ok then
    return again, pause, page
  end
  return failed(self, item, again), nil, nil
end

--- workers ---------------------------------------------------------------------------

-- The host is free as soon as its answer is there: what is made of that is not its business.
local function work(self, item)
  local held = true
  local function let_go(opts)
    if held then
      held = false
      self._gate:release(item.host, opts)
    end
  end
  local ok, e = errors.guarded(function()
    if not is_allowed(self, item) then
      let_go { unused = true }
      return self.frontier:done(item)
    end
    local again, pause, page = visit(self, item)
    let_go(pause and { pause = pause } or nil)
    if again then
      return self.frontier:again(item, again)
    elseif page and self._parse then
      self._parse(page)
    end
    self.frontier:done(item)
  end)
  let_go()
  self._places:release()
  if not ok then
    self._failure = self._failure or e
    self.frontier:stop() -- also if the others are not cancelled, as this was alone
    error(e, 0)
  end
end

local function run_workers(self)
  groups.task_group(function(group)
    while true do
      self._places:acquire()
      local item = self.frontier:next()
      if not item then
        self._places:release()
        return
      end
      group:create_task(work, self, item)
    end
  end)
  if self._failure then
    error(self._failure, 0)
  end
end

---What a crawl has done, and what is left.
---@class weft.crawl.Statistics: weft.crawl.Counts
---@field added integer URLs that were found and belong to it
---@field queued integer of these, those that wait
---@field active integer of these, those that are being fetched
---@field broken integer links that lead nowhere
local Statistics = {} -- luacheck: ignore 211

--- the whole -------------------------------------------------------------------------

-- What the crawl begins with: where it was broken off, or the first URLs.
local function begin(self)
  local known = self._state and fs.exists(self._state)
  if known then
    self.frontier = frontiers.load(self._state, self._frontier_options)
  end
  for _, address in ipairs(self._start) do
    local added, why = self.frontier:add(address)
    if not added and why ~= "duplicate" then
      errors.raise("type", ("the crawl cannot begin at '%s': %s"):format(tostring(address), why),
        { code = "invalid_url", url = tostring(address) })
    end
  end
end

-- Keeps what is left to be done, or removes what was kept.
local function finish(self)
  if self._owns_session then
    self.session:close()
  end
  if not self._state then
    return
  end
  local counts = self.frontier:statistics()
  if counts.queued + counts.active > 0 then
    self.frontier:save(self._state)
  elseif fs.exists(self._state) then
    fs.unlink(self._state)
  end
end

---Fetches all that there is to be fetched, and returns when nothing is left. A crawler runs once.
---
---Raises `state` the second time; `type` if it cannot begin where it should; `os` and `decode` for
---a state that cannot be read or written; what `parse` raised; `cancelled`.
---@async
---@return weft.crawl.Statistics
function Crawler:run()
  if self._has_begun then
    errors.raise("state", "the crawl has run already", { code = "has_run" })
  end
  self._has_begun = true
  scope.finally(function()
    begin(self)
    self.progress:with(function()
      return self.frontier:statistics()
    end, run_workers, self)
  end, function()
    finish(self)
  end)
  return self:statistics()
end

---Has the crawl end when what is being fetched has been: `crawler:run` returns then.
function Crawler:stop()
  self.frontier:stop()
end

---What the crawl has done so far, and what there is to do.
---
---Raises `state` outside a task, until `crawler:run` has ended.
---@return weft.crawl.Statistics
function Crawler:statistics()
  local s, frontier = self.progress:statistics(), self.frontier:statistics()
  s.added, s.queued, s.active = frontier.added, frontier.queued, frontier.active
  s.broken = self.referrers.count
  return s
end

function Crawler:__tostring()
  return ("Crawler<%s>"):format(tostring(self.frontier))
end

--- making ----------------------------------------------------------------------------

---What `weft.crawl.crawler` takes.
---@class weft.crawl.CrawlerOptions
---@field start string | weft.url.URL | (string | weft.url.URL)[] where it begins
---@field parse (async fun(page: weft.crawl.Page))? of a page; default: follow its links
---@field agent string? the User-Agent, and whose rules in robots.txt count; default "weft"
---@field scope ("host" | "folder" | "all" | fun(url: string): boolean)? default "host"
---@field max_depth integer? links from the start; default any
---@field max_pages integer? URLs in all; default any
---@field order ("breadth" | "depth" | "priority")? as in `weft.crawl.FrontierOptions`
---@field canonicalize (fun(u: weft.url.URL): string)? as there, too
---@field robots boolean? false: fetch what robots.txt forbids too
---@field concurrency integer? requests at once; default 64
---@field per_host integer? requests at once on a host; default 8
---@field delay number? seconds between two on a host; default 0
---@field retries integer? after failures that may pass; default 2
---@field max_size integer? bytes of a page; default 10 MiB
---@field content_types string[]? of pages; default HTML
---@field session weft.http.Session? your own, which is not closed
---@field on_broken (fun(link: weft.crawl.BrokenLink))? called with each link that leads nowhere
---@field on_error (fun(url: string, why: string | integer))? called with each such URL
---@field progress weft.crawl.Progress? default one that is quiet
---@field state string? the path of a file; needs lua-cjson
local CrawlerOptions = {} -- luacheck: ignore 211

local OPTIONS = { start = true, parse = true, session = true, agent = true, scope = true,
  concurrency = true, per_host = true, delay = true, max_pages = true, max_depth = true,
  max_size = true, content_types = true, robots = true, retries = true, order = true,
  on_broken = true, on_error = true, progress = true, state = true, canonicalize = true }

-- What fetches robots.txt for the cache: as much of it as is read.
local function robots_fetcher(session)
  return function(address)
    local response = session:get(address, { allow_redirects = false, timeout = 60 })
    local parts, size = {}, 0
    return response:with(function()
      if response.status < 300 then
        for chunk in response:iter_any() do
          parts[#parts + 1], size = chunk, size + #chunk
          if size >= ROBOTS_MAX then
            response:close()
            break
          end
        end
      end
      return response.status, table.concat(parts), response.headers:get("location")
    end)
  end
end

local function nothing()
end

local function check_start(start)
  local list = type(start) == "table" and not start.href and start or { start }
  if #list == 0 then
    errors.raise("type", "start must be a URL, or a list of at least one")
  end
  return list
end

local function set_of(list)
  local set = {}
  for _, name in ipairs(options.expect(list, "table", "content_types")) do
    set[options.expect(name, "string", "a content type"):lower()] = true
  end
  return set
end

local function optional(check, value, what)
  return value ~= nil and check(value, what) or nil
end

-- What the frontier and the politeness are made of.
local function set_up(self, opts)
  self._gate = politeness.new { concurrency = opts.per_host or PER_HOST, delay = opts.delay }
  self._frontier_options = { order = opts.order, max_depth = opts.max_depth,
    max_count = opts.max_pages, canonicalize = opts.canonicalize, gate = self._gate }
  self.frontier = frontiers.new(self._frontier_options)
  self.progress = opts.progress or progresses.new { quiet = true }
  self.referrers = referrers.new { on_broken = opts.on_broken or nothing, key = function(address)
    return self.frontier:key(address)
  end }
end

---A crawl that begins at the URLs `start`. Each page is given to `parse(page)`, in which
---`page:follow(url)` adds what is to be fetched next; without `parse`, all links of HTML are
---followed.
---
---    crawl.run { start = "https://example.com/", agent = "MyBot/1.0 (+https://me.example/bot)",
---      parse = function(page)
---        local doc = page:document()
---        print(page.url, doc:title())
---        page:follow_links()
---      end }
---
---Fetched is what belongs to the `scope`: "host" is the hosts of `start`, "folder" what begins as
---its URLs do, up to the last "/". With `state`, what is left to be done when the crawl is broken
---off is kept in that file, and the next crawl with it goes on from there.
---
---Raises `type`; `state` outside a task.
---@param opts weft.crawl.CrawlerOptions
---@return weft.crawl.Crawler
function M.crawler(opts)
  opts = options.check(opts, OPTIONS, "crawl")
  local agent = options.expect(opts.agent or "weft", "string", "agent")
  local concurrency = options.count(opts.concurrency or CONCURRENCY, "concurrency", 1)
  local start = check_start(opts.start)
  local self = setmetatable({
    _start = start, _agent = agent, _scope = crawlscope.new(start, opts.scope or "host"),
    _parse = opts.parse and options.callable(opts.parse, "parse") or pages.follow_links,
    _places = sync.semaphore(concurrency),
    _max_size = options.count(opts.max_size or MAX_SIZE, "max_size", 0),
    _content_types = set_of(opts.content_types or CONTENT_TYPES),
    _retries = options.count(opts.retries or RETRIES, "retries", 0),
    _on_error = optional(options.callable, opts.on_error, "on_error"),
    _state = optional(function(value)
      return options.expect(value, "string", "state")
    end, opts.state),
    _has_begun = false,
  }, Crawler)
  set_up(self, opts)
  self._owns_session = opts.session == nil
  self.session = opts.session or http.session { limit = concurrency, cookie_jar = false,
    user_agent = opts.agent }
  self._request_options = { allow_redirects = false, max_body_size = self._max_size }
  if opts.robots ~= false then
    self._robots = robotscache.new { agent = agent, fetch = robots_fetcher(self.session) }
  end
  return self
end

---Crawls: `weft.crawl.crawler(opts):run()`.
---
---Raises as these.
---@async
---@param opts weft.crawl.CrawlerOptions
---@return weft.crawl.Statistics
function M.run(opts)
  return M.crawler(opts):run()
end

return M
