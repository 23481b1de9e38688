-- SPDX-License-Identifier: MIT
-- weft.crawl.frontier: the URLs that a crawl has found and has not visited yet.
--
-- Owns: which URLs were found before, the queue of each host, and whose turn it is. How it is kept
-- in a file is weft.crawl.frontierfile's. Must not know: how a URL is visited.
-- Invariant: a host with items that wait is in line (`_ready`), in the heap of those that may be
-- tried later (`_timed`), or set aside until its gate opens, and in one of them only; an item
-- that was taken is active until `done` or `again`.

local await = require "weft.await"
local core = require "weft.core"
local errors = require "weft.error"
local frontierfile = require "weft.crawl.frontierfile"
local heap = require "weft.crawl.heap"
local hostqueue = require "weft.crawl.hostqueue"
local options = require "weft.options"
local scope = require "weft.scope"
local url = require "weft.url"

---Frontiers of crawls: what is to be visited, each URL once.
---@class weft.crawl.frontier
local M = {}

-- Texts of URLs whose fingerprint is remembered, so that they are not parsed again: most links of
-- a page are those of the page before.
local TEXTS = 8192

-- Timers round: one that is set for a moment may fire just before it, and again and again.
local TICK = 1e-6

---URLs to visit. Made by `weft.crawl.frontier.new`.
---@class weft.crawl.Frontier
local Frontier = {}
Frontier.__index = Frontier

local function now()
  local loop = core.running_loop()
  if not loop then
    await._checkpoint() -- raises: there is no task
  end
  return core.loop_time(loop)
end

--- whether it was found before -------------------------------------------------------

-- 53 bits of a digest: a number costs a third of what the URL would. Of a million URLs, one is
-- taken for another with a probability of 1 in 18,000.
local function fingerprint(text)
  local a, b, c, d, e, f, g = core.hash("sha1", text):byte(1, 7)
  return (((((a * 256 + b) * 256 + c) * 256 + d) * 256 + e) * 256 + f) * 32 + g % 32
end

local function remember(self, text, key)
  if self._text_count >= TEXTS then
    self._old_texts, self._texts, self._text_count = self._texts, {}, 0
  end
  self._texts[text], self._text_count = key, self._text_count + 1
end

-- The fingerprint of a URL as it is spelled, without its fragment, if it is remembered.
local function remembered(self, text)
  local key = self._texts[text]
  if not key then
    key = self._old_texts[text]
    if key then
      remember(self, text, key)
    end
  end
  return key
end

local function text_of(address)
  return (tostring(address):match("^[^#]*"))
end

--- lines of hosts --------------------------------------------------------------------

local function wake(self)
  core.wake(self._waiters)
end

local function line_up(self, queue)
  local tail = self._ready_tail
  self._ready[tail], self._ready_tail, queue.place = queue, tail + 1, "ready"
end

local function push(self, item, first)
  local queue = self._hosts[item.host]
  if not queue then
    queue = hostqueue.new(item.host, self._order)
    self._hosts[item.host] = queue
  end
  queue:push(item, first)
  self._queued = self._queued + 1
  if not queue.place then
    line_up(self, queue)
  end
  wake(self)
end

-- What was to be tried later and may be tried now.
local function promote(self)
  local timed = self._timed
  while timed.size > 0 and timed:first() <= now() do
    local entry = timed:pop()
    if entry.item then
      self._delayed = self._delayed - 1
      push(self, entry.item, true)
    else
      line_up(self, entry.queue)
    end
  end
end

-- Asks the gate whether the host may be visited; if not, puts it where it belongs.
local function may_visit(self, queue)
  if not self._gate then
    return true
  end
  local ok, seconds = self._gate:try_acquire(queue.host)
  if ok then
    return true
  elseif seconds then
    queue.place = "timed"
    self._timed:push(now() + seconds, { queue = queue })
  else
    queue.place = "aside"
  end
  return false
end

-- Whoever comes first in line and may be visited; then it goes to the end of the line.
local function take(self)
  promote(self)
  while self._ready_head < self._ready_tail do
    local head = self._ready_head
    local queue = self._ready[head]
    self._ready[head], self._ready_head, queue.place = nil, head + 1, nil
    if may_visit(self, queue) then
      local item = queue:pop()
      self._queued = self._queued - 1
      if queue.size > 0 then
        line_up(self, queue)
      else
        self._hosts[queue.host] = nil
      end
      self._active[item], self._active_count = true, self._active_count + 1
      return item
    end
  end
end

local function is_finished(self)
  return self._queued == 0 and self._delayed == 0 and self._active_count == 0
end

local function wake_all(self)
  while core.wake(self._waiters) do end
  while core.wake(self._joiners) do end
end

local function park(waiters)
  local ok = core.park(waiters)
  if ok ~= true then
    await._interrupted(ok)
  end
end

-- Waits until something has changed, or what comes first in time has come.
local function wait(self)
  local when = self._timed:first()
  if not when then
    return park(self._waiters)
  end
  when = math.max(when, now()) + TICK
  local ok, e = errors.try(scope.timeout_at, when, park, self._waiters)
  if not ok and not errors.is_error(e, "timeout") then
    error(e, 0)
  end
end

--- for users -------------------------------------------------------------------------

local ITEM = { depth = true, priority = true, data = true, force = true }
local NONE = {}

-- Why there is no room for one more, or nil.
local function refusal(self, host, depth)
  if depth > self._max_depth then
    return "depth"
  elseif self._added >= self._max_count then
    return "count"
  elseif (self._per_host[host] or 0) >= self._max_per_host then
    return "host_count"
  end
end

local function accept(self, u, opts)
  local item = { url = u.href, host = u.host or "", depth = opts.depth or 0,
    priority = opts.priority or 0, attempts = 0, data = opts.data }
  self._added = self._added + 1
  if self._max_per_host < math.huge then
    self._per_host[item.host] = (self._per_host[item.host] or 0) + 1
  end
  push(self, item)
end

---Adds a URL, unless it was added before; its fragment is left out. What it was found with:
---`depth`, which is 0 for the first ones; `priority`, the higher the sooner, for a frontier in that
---order; and `data`. With `force` it is added though it was before.
---
---If it is not added, the second result says why: "duplicate"; "scheme", for all but HTTP's;
---"invalid", for what is no URL; or that a limit was reached: "depth", "count", "host_count".
---@param address string | weft.url.URL
---@param opts {depth: integer?, priority: number?, data: any, force: boolean?}?
---@return boolean added
---@return string? why
function Frontier:add(address, opts)
  opts = opts and options.check(opts, ITEM, "frontier:add") or NONE
  local text = text_of(address)
  local key = remembered(self, text)
  if key and self._seen[key] and not opts.force then
    return false, "duplicate"
  end
  local ok, u = pcall(url.parse, text)
  if not ok then
    return false, "invalid"
  elseif u.scheme ~= "http" and u.scheme ~= "https" then
    return false, "scheme"
  end
  if not key then
    key = fingerprint(self._canonicalize(u))
    remember(self, text, key)
  end
  if self._seen[key] and not opts.force then
    return false, "duplicate"
  end
  local why = refusal(self, u.host, opts.depth or 0)
  if why then
    return false, why
  end
  self._seen[key] = true
  accept(self, u, opts)
  return true
end

---The number by which a URL is known: the same for all its spellings.
---
---Raises `type` for what is no URL.
---@param address string | weft.url.URL
---@return integer
function Frontier:key(address)
  local text = text_of(address)
  local key = remembered(self, text)
  if not key then
    key = fingerprint(self._canonicalize(url.parse(text)))
    remember(self, text, key)
  end
  return key
end

---Whether a URL was added before, or is taken for one that was.
---
---Raises `type` for what is no URL.
---@param address string | weft.url.URL
---@return boolean
function Frontier:has(address)
  return self._seen[self:key(address)] == true
end

---Notes that a URL was found, without adding it.
---
---Raises `type` for what is no URL.
---@param address string | weft.url.URL
---@return boolean first whether it was not known before
function Frontier:mark(address)
  local key = self:key(address)
  local first = not self._seen[key]
  self._seen[key] = true
  return first
end

---Takes the next item, waiting until there is one; nil when all are done, or after `stop`. Hosts
---take turns, each with the item that comes first in its order. The item must be given to `done`
---or to `again`.
---
---Raises `cancelled`; `state` outside a task.
---@async
---@return weft.crawl.Item?
function Frontier:next()
  await._checkpoint()
  while not self._stopped do
    local item = take(self)
    if item then
      if self._ready_head < self._ready_tail then
        wake(self) -- there is one for another, too
      end
      return item
    elseif is_finished(self) then
      break
    end
    wait(self)
  end
end

---An iterator over the items, until all are done: `for item in frontier:iter() do … end`.
---@return async fun(): weft.crawl.Item?
function Frontier:iter()
  return function()
    return self:next()
  end
end

local function give_back(self, item)
  if not self._active[item] then
    errors.raise("state", "this item is not being visited", { code = "not_active" })
  end
  self._active[item], self._active_count = nil, self._active_count - 1
end

---Says that an item is dealt with.
---
---Raises `state`, code "not_active", if it was not taken, or was given back.
---@param item weft.crawl.Item
function Frontier:done(item)
  give_back(self, item)
  if is_finished(self) then
    wake_all(self)
  end
end

---Gives an item back, to be taken again in its turn, or after some seconds before all others of
---its host.
---
---Raises `state`, code "not_active".
---@param item weft.crawl.Item
---@param seconds number?
function Frontier:again(item, seconds)
  seconds = options.number(seconds or 0, "the delay", 0)
  give_back(self, item)
  item.attempts = item.attempts + 1
  if seconds > 0 then
    self._timed:push(now() + seconds, { item = item })
    self._delayed = self._delayed + 1
    wake(self) -- it may have to wait less long
  else
    push(self, item)
  end
end

---Waits until all items are done.
---
---Raises `cancelled`; `state` outside a task.
---@async
function Frontier:join()
  await._checkpoint()
  while not is_finished(self) do
    park(self._joiners)
  end
end

---Ends the giving of items: `frontier:next` returns nil from now on. What is left can be saved.
function Frontier:stop()
  self._stopped = true
  wake_all(self)
end

---Counts: items `added`, `queued`, `active`, and `done`; `hosts` with items.
---@return {added: integer, queued: integer, active: integer, done: integer, hosts: integer}
function Frontier:statistics()
  local hosts = 0
  for _ in pairs(self._hosts) do
    hosts = hosts + 1
  end
  local queued = self._queued + self._delayed
  return { added = self._added, queued = queued, active = self._active_count,
    done = self._added - queued - self._active_count, hosts = hosts }
end

---How many items wait to be taken.
---@return integer
function Frontier:qsize()
  return self._queued + self._delayed
end

function Frontier:__tostring()
  local s = self:statistics()
  return ("Frontier<queued=%d active=%d done=%d%s>"):format(s.queued, s.active, s.done,
    self._stopped and " stopped" or "")
end

---Writes what is left to be done into a file, with the items that are being visited, and which URLs
---were found, so that the crawl can be gone on with (`weft.crawl.frontier.load`). At the path is
---always a whole one. `data` of the items must be what JSON can say.
---
---Raises `os`; `type` for such data; `state`, code "no_cjson", without lua-cjson; `cancelled`.
---@async
---@param path string
function Frontier:save(path)
  local items = {}
  for item in pairs(self._active) do
    items[#items + 1] = item
  end
  for entry in self._timed:iter() do
    items[#items + 1] = entry.item
  end
  for _, queue in pairs(self._hosts) do
    for item in queue:iter() do
      items[#items + 1] = item
    end
  end
  frontierfile.save(path, { added = self._added, seen = self._seen, items = items,
    per_host = self._per_host })
end

---What `weft.crawl.frontier.new` takes.
---@class weft.crawl.FrontierOptions
---@field order ("breadth"|"depth"|"priority")? first found first (default), last, or highest
---@field max_depth integer? what more links than that lead to is not added
---@field max_count integer? of URLs in all
---@field max_per_host integer? of URLs
---@field canonicalize (fun(u: weft.url.URL): string)? what it is known by; `weft.url.canonicalize`
---@field gate weft.crawl.Politeness? when a host can be visited
local FrontierOptions = {} -- luacheck: ignore 211

local OPTIONS = { order = true, max_depth = true, max_count = true, max_per_host = true,
  canonicalize = true, gate = true }

local function limit(value, what)
  return value and options.count(value, what, 0) or math.huge
end

local function check_gate(gate)
  if gate ~= nil and (type(gate) ~= "table" or type(gate.try_acquire) ~= "function") then
    errors.raise("type", "gate must be a weft.crawl.Politeness, or have a method try_acquire")
  end
  return gate
end

---A frontier, empty. With a `gate` an item is given when its host can be visited, and its place
---has been taken: who gets it must say `gate:release(item.host)`.
---
---Raises `type`.
---@param opts weft.crawl.FrontierOptions?
---@return weft.crawl.Frontier
function M.new(opts)
  opts = options.check(opts, OPTIONS, "frontier.new")
  local self = setmetatable({
    _order = hostqueue.check_order(opts.order or "breadth"),
    _max_depth = limit(opts.max_depth, "max_depth"),
    _max_count = limit(opts.max_count, "max_count"),
    _max_per_host = limit(opts.max_per_host, "max_per_host"),
    _canonicalize = options.callable(opts.canonicalize or url.canonicalize, "canonicalize"),
    _gate = check_gate(opts.gate),
    _seen = {}, _texts = {}, _old_texts = {}, _text_count = 0,
    _hosts = {}, _per_host = {}, _ready = {}, _ready_head = 1, _ready_tail = 1,
    _timed = heap.new(), _active = {}, _active_count = 0, _queued = 0, _delayed = 0, _added = 0,
    _stopped = false, _waiters = core.waitlist(), _joiners = core.waitlist(),
  }, Frontier)
  if self._gate and self._gate.on_free then
    self._gate:on_free(function(host)
      local queue = self._hosts[host]
      if queue and queue.place == "aside" then
        line_up(self, queue)
        wake(self)
      end
    end)
  end
  return self
end

---A frontier as it was when it was saved; the options are those of `weft.crawl.frontier.new`, and
---`canonicalize` must be the same as then.
---
---Raises `os`; `decode`, code "invalid_state", with the `line`, if the file is not one that was
---saved; `type`; `cancelled`.
---@async
---@param path string
---@param opts weft.crawl.FrontierOptions?
---@return weft.crawl.Frontier
function M.load(path, opts)
  local self = M.new(opts)
  local state = frontierfile.load(path)
  self._seen, self._added, self._per_host = state.seen, state.added, state.per_host
  for _, item in ipairs(state.items) do
    push(self, item)
  end
  return self
end

return M
