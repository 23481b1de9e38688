-- SPDX-License-Identifier: MIT
-- weft.crawl.robots: robots.txt: what a site asks robots not to fetch.
--
-- Owns: the reading of such a file (RFC 9309, with what Google documents beyond it), once, into
-- tables in which a URL is looked up. Must not know: where the file comes from, and what its
-- absence means; that is weft.crawl.robotscache's.
-- Invariant: no file and no URL makes a look-up slower than the product of their lengths.

local errors = require "weft.error"
local options = require "weft.options"

---robots.txt files: RFC 9309, and where that is silent what Google's own parser does.
---
---    local rules = robots.parse(text)
---    if rules:allowed("MyBot", "https://example.com/private/") then … end
---@class weft.crawl.robots
local M = {}

local find, lower, match, sub = string.find, string.lower, string.match, string.sub

-- Of a file: what RFC 9309 asks for at least, and what Google reads.
local MAX = 500 * 1024
-- Of a line: eight times the longest URL that Internet Explorer took, as Google's; what goes
-- beyond it is not read.
local LINE_MAX = 2083 * 8 - 1

--- lines -----------------------------------------------------------------------------

-- A key is known by how it begins. Those behind the first of each are Google's list of typos.
local KEYS = {
  agent = { "user-agent", "useragent", "user agent" },
  allow = { "allow" },
  disallow = { "disallow", "dissallow", "dissalow", "disalow", "diasllow", "disallaw" },
  sitemap = { "sitemap", "site-map" },
  delay = { "crawl-delay", "crawldelay", "crawl delay" },
}

local function kind_of(key)
  key = lower(key)
  for kind, names in pairs(KEYS) do
    for _, name in ipairs(names) do
      if sub(key, 1, #name) == name then
        return kind
      end
    end
  end
end

-- The key and the value of a line, or nil. Some forget the colon: two words will do.
local function pair_of(line)
  line = match(sub(line, 1, LINE_MAX), "^[^#]*")
  local key, value = match(line, "^%s*([^:]-)%s*:%s*(.-)%s*$")
  if not key then
    key, value = match(line, "^%s*(%S+)[ \t]+(%S+)%s*$")
  end
  if key and key ~= "" then
    return kind_of(key), value
  end
end

local function escaped_byte(c)
  return ("%%%02X"):format(c:byte())
end

-- One spelling of a pattern: %XX in upper case, and for all that is not ASCII.
local function normal(pattern)
  if find(pattern, "[%%\128-\255]") then
    pattern = pattern:gsub("%%%x%x", string.upper):gsub("[\128-\255]", escaped_byte)
  end
  return pattern
end

--- rules -----------------------------------------------------------------------------

-- A pattern with "*" or a "$" at its end, in pieces between the "*".
local function wildcard(pattern, allows)
  local text = pattern
  local is_anchored = sub(text, -1) == "$"
  if is_anchored then
    text = sub(text, 1, -2)
  end
  local pieces, from = {}, 1
  while true do
    local at = find(text, "*", from, true)
    pieces[#pieces + 1] = sub(text, from, (at or #text + 1) - 1)
    if not at then
      break
    end
    from = at + 1
  end
  return { pieces = pieces, is_anchored = is_anchored, length = #pattern, allows = allows }
end

-- Each piece is looked for as far to the left as can be, which leaves most to the others.
local function fits(rule, path)
  local pieces, at = rule.pieces, 1
  local count = #pieces
  for i = 1, count do
    local piece = pieces[i]
    if i == count and rule.is_anchored then
      local start = #path - #piece + 1
      return start >= at and (i > 1 or start == 1) and sub(path, start) == piece
    elseif i == 1 then
      if sub(path, 1, #piece) ~= piece then
        return false
      end
      at = #piece + 1
    else
      local first, last = find(path, piece, at, true)
      if not first then
        return false
      end
      at = last + 1
    end
  end
  return true
end

local function new_rules()
  return { prefixes = {}, lengths = {}, wildcards = {}, seen = {} }
end

local function add_rule(rules, pattern, allows)
  if pattern == "" then
    return -- fits all, and has the least weight: says nothing
  elseif find(pattern, "*", 1, true) or sub(pattern, -1) == "$" then
    local key = (allows and "+" or "-") .. pattern
    if not rules.seen[key] then
      rules.seen[key] = true
      rules.wildcards[#rules.wildcards + 1] = wildcard(pattern, allows)
    end
  else
    rules.prefixes[pattern] = rules.prefixes[pattern] or allows
  end
end

local function by_weight(a, b)
  if a.length ~= b.length then
    return a.length > b.length
  end
  return a.allows and not b.allows
end

-- Made ready for being asked: the longest first, and what allows before what does not.
local function compile(rules)
  local lengths = {}
  for pattern in pairs(rules.prefixes) do
    lengths[#pattern] = true
  end
  for length in pairs(lengths) do
    rules.lengths[#rules.lengths + 1] = length
  end
  table.sort(rules.lengths, function(a, b)
    return a > b
  end)
  table.sort(rules.wildcards, by_weight)
  rules.seen = nil
end

-- The longest pattern that fits decides, and of equals the one that allows.
local function decide(rules, path)
  local allows, length = true, 0
  local size = #path
  for _, n in ipairs(rules.lengths) do
    if n <= size then
      local found = rules.prefixes[sub(path, 1, n)]
      if found ~= nil then
        allows, length = found, n
        break
      end
    end
  end
  for _, rule in ipairs(rules.wildcards) do
    if rule.length < length then
      break
    elseif (rule.length > length or rule.allows) and fits(rule, path) then
      return rule.allows
    end
  end
  return allows
end

--- parsing ---------------------------------------------------------------------------

-- Whom the lines that follow are for. A rule ends the list of names that began its group; a delay,
-- which Google does not know, only that of those it is for.
local function on_agent(state, value)
  if state.has_rule then
    state.names, state.has_rule = {}, false
  end
  if state.has_delay or not next(state.names) then
    state.delayed, state.has_delay = {}, false
  end
  local name = find(value, "^%*%s") and "*" or value == "*" and "*"
    or lower(match(value, "^[%a_-]*"))
  if name ~= "" then
    state.groups[name] = state.groups[name] or new_rules()
    state.names[name], state.delayed[name] = true, true
  end
end

local function on_rule(state, pattern, allows)
  if next(state.names) == nil then
    return -- before any group
  end
  state.has_rule = true
  pattern = normal(pattern)
  -- As Google has it, who allows the index allows the folder.
  local folder = allows and match(pattern, "^(.*/)index%.htm[^/]*$")
  for name in pairs(state.names) do
    add_rule(state.groups[name], pattern, allows)
    if folder then
      add_rule(state.groups[name], folder .. "$", true)
    end
  end
end

local function on_delay(state, value)
  local seconds = tonumber(match(value, "^%d+%.?%d*$") or match(value, "^%.%d+$"))
  state.has_delay = true
  for name in pairs(seconds and state.delayed or {}) do
    state.groups[name].delay = seconds
  end
end

local function read_line(state, line)
  local kind, value = pair_of(line)
  if kind == "agent" then
    on_agent(state, value)
  elseif kind == "allow" or kind == "disallow" then
    on_rule(state, value, kind == "allow")
  elseif kind == "delay" then
    on_delay(state, value)
  elseif kind == "sitemap" and value ~= "" then
    state.sitemaps[#state.sitemaps + 1] = value
  end
end

-- The mark of the encoding, or as much of it as there is.
local function without_bom(text)
  local bom = "\239\187\191"
  for i = 1, 3 do
    if sub(text, i, i) ~= sub(bom, i, i) then
      return sub(text, i)
    end
  end
  return sub(text, 4)
end

-- What is read of a file that is too long: whole lines only, as half a path means another.
local function within(text, max)
  if #text <= max then
    return text, false
  end
  local cut = sub(text, 1, max)
  if not find(text, "^[\r\n]", max + 1) then
    cut = match(cut, "^(.*[\r\n])") or ""
  end
  return cut, true
end

--- asking ----------------------------------------------------------------------------

---What a site asks of robots, made by `weft.crawl.robots.parse`.
---@class weft.crawl.Robots
---@field sitemaps string[] the URLs of its sitemaps, as they are written there
---@field truncated boolean whether the file was longer than what is read of it
local Robots = {}
Robots.__index = Robots

-- The product token of a robot: "MyBot" of "MyBot/1.0 (+https://…)". What is no such name, as
-- "My Bot", is nobody's but "*"'s.
local function token_of(agent)
  local token, rest = match(agent, "^([%a_-]+)(.*)$")
  if token and not find(rest, "^%s+[^%s(]") then
    return lower(token)
  end
end

-- The last robot that was asked for: it is nearly always the same.
local function group_of(self, agent)
  if agent ~= self._agent then
    options.expect(agent, "string", "the robot's name")
    local token = token_of(agent)
    self._group = token and self._groups[token] or self._groups["*"] or self._none
    self._agent = agent
  end
  return self._group
end

-- The path and the query of a URL, with all that Google takes for one.
local function path_of(url)
  local from = find(url, "^//") and 3 or 1
  local early = find(url, "[/?;]", from)
  local _, colon = find(url, "://", from, true)
  if colon and early and early < colon - 2 then
    colon = nil
  end
  local start = find(url, "[/?;]", colon and colon + 1 or from)
  local hash = find(url, "#", from, true)
  if not start or hash and hash < start then
    return "/"
  end
  local path = sub(url, start, hash and hash - 1 or nil)
  return find(path, "^/") and path or "/" .. path
end

---Whether a robot may fetch a URL. The rules for the robot's own name count, and only if there
---are none for it, those for "*"; of the rules that fit, the longest. `agent` is the product token
---("MyBot"), or a whole User-Agent that begins with it. The URL is one that could be requested,
---as `weft.url` gives it: %XX is not decoded, and what is not ASCII is encoded.
---
---Raises `type`.
---@param agent string
---@param url string | weft.url.URL
---@return boolean
function Robots:allowed(agent, url)
  if type(url) == "table" then
    url = url.href
  end
  return decide(group_of(self, agent), path_of(options.expect(url, "string", "the URL")))
end

---How many seconds a robot shall let pass between two requests (`Crawl-delay`, which is no part
---of the RFC), or nil.
---@param agent string
---@return number? seconds
function Robots:crawl_delay(agent)
  return group_of(self, agent).delay
end

function Robots:__tostring()
  local count = 0
  for _ in pairs(self._groups) do
    count = count + 1
  end
  return ("Robots<%d group%s>"):format(count, count == 1 and "" or "s")
end

local OPTIONS = { max = true }

---Reads a robots.txt. Nothing in it is an error: what is not understood is left out.
---
---Raises `type` for what is no string.
---@param text string
---@param opts {max: integer?}? how many bytes are read of it; default 500 KiB
---@return weft.crawl.Robots
function M.parse(text, opts)
  options.expect(text, "string", "the robots.txt")
  opts = options.check(opts, OPTIONS, "robots.parse")
  local max = options.count(opts.max or MAX, "max", 0)
  local cut, truncated = within(text, max)
  local state = { groups = {}, names = {}, delayed = {}, sitemaps = {},
    has_rule = false, has_delay = false }
  for line in without_bom(cut):gmatch("[^\r\n]+") do
    read_line(state, line)
  end
  for _, rules in pairs(state.groups) do
    compile(rules)
  end
  return setmetatable({ sitemaps = state.sitemaps, truncated = truncated,
    _groups = state.groups, _none = new_rules(), _agent = false }, Robots)
end

---A robots.txt that allows all, which is what none at all means; or, with false, one that
---forbids all.
---@param allows boolean? default true
---@return weft.crawl.Robots
function M.all(allows)
  if allows ~= nil and type(allows) ~= "boolean" then
    errors.raise("type", "true or false expected, got " .. type(allows))
  end
  return M.parse(allows == false and "User-agent: *\nDisallow: /" or "")
end

return M
