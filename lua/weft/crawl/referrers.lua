-- SPDX-License-Identifier: MIT
-- weft.crawl.referrers: which links of a crawl are broken, and where they are.
--
-- Owns: what became of each URL, and the links to those of which that is not known yet. Must not
-- know: how a URL is visited, and what is done with a broken link.
-- Invariant: a link is kept only until it is known what became of the URL.

local options = require "weft.options"

---Broken links: they are known when the page that they are on is long forgotten.
---@class weft.crawl.referrers
local M = {}

---A link that leads nowhere.
---@class weft.crawl.BrokenLink
---@field page string the URL of the page that it is on
---@field text string its text
---@field url string where it leads
---@field why string|integer the status, or what went wrong
local BrokenLink = {} -- luacheck: ignore 211

---Links and what became of their targets. Made by `weft.crawl.referrers.new`.
---@class weft.crawl.Referrers
---@field count integer broken links that were found
local Referrers = {}
Referrers.__index = Referrers

local function report(self, page, text, url, why)
  self.count = self.count + 1
  self._on_broken { page = page, text = text, url = url, why = why }
end

-- Where the redirects from a URL have led so far.
local function target_of(self, key)
  local targets = self._targets
  while targets[key] do
    key = targets[key]
  end
  return key
end

---Notes a link. If it is known to be broken it is reported at once, else as soon as it is.
---@param page string
---@param url string
---@param text string?
function Referrers:link(page, url, text)
  local key = target_of(self, self._key(url))
  local outcome = self._outcomes[key]
  if outcome == true then
    return
  elseif outcome then
    return report(self, page, text or "", url, outcome)
  end
  local waiting = self._waiting[key]
  if not waiting then
    waiting = {}
    self._waiting[key] = waiting
  end
  local n = #waiting
  waiting[n + 1], waiting[n + 2], waiting[n + 3] = page, url, text or ""
end

-- What became of the URL is known: so is what became of the links to it.
local function settle(self, key, why)
  if self._outcomes[key] ~= nil then
    return
  end
  self._outcomes[key] = why or true
  local waiting = self._waiting[key]
  self._waiting[key] = nil
  for i = 1, why and waiting and #waiting or 0, 3 do
    report(self, waiting[i], waiting[i + 2], waiting[i + 1], why)
  end
end

---Says that a URL is there, or at least that no more is to be said of it.
---@param url string
function Referrers:good(url)
  settle(self, self._key(url), nil)
end

---Says that a URL is not there, and why: a status, or a text.
---@param url string
---@param why integer | string
function Referrers:broken(url, why)
  settle(self, self._key(url), why)
end

---Says that a URL leads on to another: what becomes of that one counts.
---@param url string
---@param target string
function Referrers:redirect(url, target)
  local from, to = self._key(url), target_of(self, self._key(target))
  if from == to then
    return settle(self, from, "redirect to itself")
  elseif self._outcomes[from] ~= nil or self._targets[from] then
    return
  end
  self._targets[from] = to
  local waiting, outcome = self._waiting[from], self._outcomes[to]
  self._waiting[from] = nil
  if outcome == nil and waiting then
    local there = self._waiting[to]
    if not there then
      self._waiting[to] = waiting
    else
      for i = 1, #waiting do
        there[#there + 1] = waiting[i]
      end
    end
  elseif waiting and outcome ~= true then
    for i = 1, #waiting, 3 do
      report(self, waiting[i], waiting[i + 2], waiting[i + 1], outcome)
    end
  end
end

---How many links wait for it to be known what became of their URL.
---@return integer
function Referrers:pending()
  local count = 0
  for _, waiting in pairs(self._waiting) do
    count = count + #waiting / 3
  end
  return math.floor(count)
end

function Referrers:__tostring()
  return ("Referrers<broken=%d pending=%d>"):format(self.count, self:pending())
end

local OPTIONS = { on_broken = true, key = true }

local function without_fragment(url)
  return (url:match("^[^#]*"))
end

---An empty set of links. `on_broken(link)` is called for each that is broken; if it waits, so does
---the method that found out. `key(url)` gives what a URL is known by (default: the text without its
---fragment), as `frontier:key` does.
---
---Raises `type`.
---@param opts {on_broken: fun(link: weft.crawl.BrokenLink), key: (fun(url: string): any)?}
---@return weft.crawl.Referrers
function M.new(opts)
  opts = options.check(opts, OPTIONS, "referrers.new")
  return setmetatable({ count = 0, _on_broken = options.callable(opts.on_broken, "on_broken"),
    _key = options.callable(opts.key or without_fragment, "key"),
    _outcomes = {}, _targets = {}, _waiting = {} }, Referrers)
end

return M
