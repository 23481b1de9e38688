-- SPDX-License-Identifier: MIT
-- weft.crawl.robotscache: the robots.txt of each site that is visited, fetched when it is needed.
--
-- Owns: what the absence of the file means (RFC 9309, 2.3.1), how long an answer holds, and that
-- of several tasks which want the same file one fetches it. Must not know: how that is done, which
-- is the function `fetch`'s; nor what is in the file.
-- Invariant: a site that could not be asked is not visited.

local core = require "weft.core"
local errors = require "weft.error"
local options = require "weft.options"
local robots = require "weft.crawl.robots"
local sync = require "weft.sync"
local url = require "weft.url"

---The robots.txt files of the sites that a crawl visits.
---@class weft.crawl.robotscache
local M = {}

-- As the RFC has it: not longer than a day.
local TTL = 86400
-- Until a site that did not answer is asked again.
local RETRY = 300
-- Files at most; of those beyond it the ones go that were not asked for lately.
local MAX = 10000
-- The RFC's, too.
local REDIRECTS_MAX = 5

---The robots.txt files of sites. Made by `weft.crawl.robotscache.new`.
---@class weft.crawl.RobotsCache
local Cache = {}
Cache.__index = Cache

local function now()
  return core.loop_time(core.running_loop())
end

--- what an answer means --------------------------------------------------------------

-- Too many requests says that of the server, as 5xx does, and nothing of the file.
local function rules_of(status, body)
  if status >= 200 and status < 300 then
    return robots.parse(body or ""), "file"
  elseif status == 429 or status >= 500 then
    return robots.all(false), "unreachable"
  end
  return robots.all(), "unavailable"
end

-- Fetches the file, wherever it has gone: the rules are for the site that was asked first.
local function load(self, address)
  for _ = 0, REDIRECTS_MAX do
    local status, body, location = self._fetch(address)
    if type(status) ~= "number" then
      errors.raise("type", "fetch must return a status, got " .. type(status))
    end
    if status < 300 or status > 399 or not location then
      return status, rules_of(status, body)
    end
    local ok, target = pcall(url.parse, location, address)
    if not ok or target.scheme ~= "http" and target.scheme ~= "https" then
      return status, robots.all(), "unavailable"
    end
    address = target.href
  end
  return 310, robots.all(), "unavailable"
end

local function renew(self, entry, origin)
  local ok, status, rules, source = errors.try(load, self, origin .. "/robots.txt")
  if not ok then
    local e = status
    if errors.is_error(e, "type") then
      error(e, 0) -- a mistake in `fetch`, and no answer
    end
    entry.error, status, rules, source = e, nil, robots.all(false), "unreachable"
  else
    entry.error = nil
  end
  entry.rules, entry.status, entry.source = rules, status, source
  entry.until_ = now() + (source == "unreachable" and self._retry or self._ttl)
end

--- asking ----------------------------------------------------------------------------

-- The entry of a site. Two tables take turns, so that what is asked for stays.
local function entry_of(self, origin)
  local entry = self._young[origin]
  if not entry then
    entry = self._old[origin] or { lock = sync.lock(), until_ = -math.huge }
    if self._count * 2 >= self._max then
      self._old, self._young, self._count = self._young, {}, 0
    end
    self._young[origin], self._count = entry, self._count + 1
  end
  return entry
end

local function fresh(self, entry, origin)
  if entry.until_ <= now() then
    renew(self, entry, origin)
  end
end

local function current(self, address)
  local u = url.parse(address)
  if u.scheme ~= "http" and u.scheme ~= "https" then
    return nil
  end
  local entry = entry_of(self, u.origin)
  if entry.until_ <= now() then
    entry.lock:with(fresh, self, entry, u.origin)
  end
  return entry
end

---What the site of a URL asks of robots; it is fetched if it has not been lately. `status` is what
---the site answered, `source` what that is taken for: "file", "unavailable" (there is none: all is
---allowed) or "unreachable" (nothing is, until the site has been asked again), with the `error`
---that it was, if it was one.
---
---Raises `type` for what is no URL; `cancelled`.
---@async
---@param address string | weft.url.URL
---@return weft.crawl.Robots
---@return "file" | "unavailable" | "unreachable" source
---@return integer? status
---@return any error
function Cache:get(address)
  local entry = current(self, address)
  if not entry then
    return self._all, "unavailable"
  end
  return entry.rules, entry.source, entry.status, entry.error
end

---Whether a URL may be fetched. If not, the second result says why: "robots", or "unreachable",
---with the status or the error that was the answer.
---
---Raises `type` for what is no URL; `cancelled`.
---@async
---@param address string | weft.url.URL
---@return boolean
---@return ("robots" | "unreachable")? why
---@return any answer
function Cache:allowed(address)
  local rules, source, status, e = self:get(address)
  if source == "unreachable" then
    return false, "unreachable", e or status
  elseif rules:allowed(self._agent, address) then
    return true
  end
  return false, "robots"
end

---How many seconds the site of a URL wants between two requests of this robot, or nil.
---
---Raises `type` for what is no URL; `cancelled`.
---@async
---@param address string | weft.url.URL
---@return number? seconds
function Cache:crawl_delay(address)
  return (self:get(address)):crawl_delay(self._agent)
end

function Cache:__tostring()
  return ("RobotsCache<%s sites=%d>"):format(self._agent, self._count)
end

---What `weft.crawl.robotscache.new` takes.
---@class weft.crawl.RobotsCacheOptions
---@field agent string the name of the robot
---@field fetch async fun(url: string): integer, string?, string? status, body, `Location`
---@field ttl number? seconds that an answer holds; default a day
---@field retry number? seconds until a site that did not answer is asked again; default 300
---@field max integer? sites that are kept; default 10,000
local RobotsCacheOptions = {} -- luacheck: ignore 211

local OPTIONS = { agent = true, fetch = true, ttl = true, retry = true, max = true }

---Robots.txt files, fetched by `fetch(url)`, which returns the status, the body, and the value of
---`Location` of a response, without following redirects. What it raises counts as no answer.
---
---Raises `type`.
---@param opts weft.crawl.RobotsCacheOptions
---@return weft.crawl.RobotsCache
function M.new(opts)
  opts = options.check(opts, OPTIONS, "robotscache.new")
  return setmetatable({
    _agent = options.expect(opts.agent, "string", "agent"),
    _fetch = options.callable(opts.fetch, "fetch"),
    _ttl = options.number(opts.ttl or TTL, "ttl", 0),
    _retry = options.number(opts.retry or RETRY, "retry", 0),
    _max = options.count(opts.max or MAX, "max", 1),
    _all = robots.all(), _young = {}, _old = {}, _count = 0,
  }, Cache)
end

return M
