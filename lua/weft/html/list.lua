-- SPDX-License-Identifier: MIT
-- weft.html.list: what queries give: lists of nodes, or of one string, number or boolean.
--
-- Owns: the class SelectorList, and the patterns of `re`. A list is a plain table: `#list`,
-- `list[i]` and `ipairs(list)` are Lua's own.
-- Must not know: how nodes are found.

local errors = require "weft.error"
local options = require "weft.options"
local query = require "weft.html.xpath"

local M = {}

---What `xpath` and `css` give: the nodes in document order, `list[1]` to `list[#list]`, which
---`ipairs(list)` goes through; each is a `weft.html.Node`. An XPath expression whose value is no
---set of nodes gives a list of that one string, number or boolean.
---@class weft.html.SelectorList
local SelectorList = query.core and query.core.SelectorList or {}
SelectorList.__index = SelectorList
SelectorList.__name = "weft.html.SelectorList"

local function new(items)
  return setmetatable(items or {}, SelectorList)
end

M.new = new

local function text_of(item)
  if type(item) == "userdata" then
    return item:get()
  elseif type(item) == "number" and item == math.floor(item) and math.abs(item) < 2 ^ 53 then
    return ("%d"):format(item)
  end
  return tostring(item)
end

---The first one as text: an element's markup, a text's or an attribute's value, a number or a
---boolean in words.
---@param default any? what to return if the list is empty; nil
---@return string?
function SelectorList:get(default)
  local item = self[1]
  if item == nil then
    return default
  end
  return text_of(item)
end

---All of them as text, as `get` has it.
---@return string[]
function SelectorList:getall()
  local texts = {}
  for i, item in ipairs(self) do
    texts[i] = text_of(item)
  end
  return texts
end

---The items one by one: `for node in list:iter() do`.
---@return fun(): any
function SelectorList:iter()
  local i = 0
  return function()
    i = i + 1
    return self[i]
  end
end

-- The next match from `at` on: its captures or all of it, and where the search goes on. A pattern
-- with "^" matches at the beginning alone, as in string.find; in gmatch it would not.
local function next_match(text, pattern, at)
  local found = { text:find(pattern, at) }
  local from, to = found[1], found[2]
  if not from then
    return nil
  elseif found[3] == nil then
    found[3] = text:sub(from, to)
  end
  local stop = math.max(to, from) + 1
  return found, pattern:sub(1, 1) ~= "^" and stop <= #text + 1 and stop or nil
end

---@private
function M.matches(text, pattern, found, most)
  local at = 1
  while at and not (most and #found >= most) do
    local ok, match, stop = pcall(next_match, text, pattern, at)
    if not ok then
      errors.raise("type", ("invalid pattern '%s': %s"):format(pattern,
        tostring(match):gsub("^[^:]*:%d+: ", "")), { code = "invalid_pattern" })
    end
    for i = 3, match and #match or 0 do
      found[#found + 1] = match[i]
    end
    at = match and stop
  end
end

---What a Lua pattern finds in the text of each, as `get` has it: its captures, or, where it has
---none, the whole match.
---
---Raises `type`, code "invalid_pattern".
---@param pattern string a Lua pattern, with up to nine captures
---@return (string | integer)[]
function SelectorList:re(pattern)
  options.expect(pattern, "string", "the pattern")
  local found = {}
  for _, item in ipairs(self) do
    M.matches(text_of(item), pattern, found)
  end
  return found
end

---The first of what `re` would find.
---
---Raises `type`, code "invalid_pattern".
---@param pattern string
---@param default any? what to return if there is nothing; nil
---@return any
function SelectorList:re_first(pattern, default)
  options.expect(pattern, "string", "the pattern")
  for _, item in ipairs(self) do
    local found = {}
    M.matches(text_of(item), pattern, found, 1)
    if found[1] ~= nil then
      return found[1]
    end
  end
  return default
end

-- The results of a method of each node, each node once.
local function each(list, method, ...)
  if #list == 1 and type(list[1]) == "userdata" then
    return list[1][method](list[1], ...)
  end
  local results = new()
  for _, item in ipairs(list) do
    if type(item) ~= "userdata" then
      errors.raise("type", ("a query can be made below nodes, not below a %s"):format(type(item)))
    end
    for _, result in ipairs(item[method](item, ...)) do
      results[#results + 1] = result
    end
  end
  return results
end

---Evaluates an XPath expression at each node; gives all results in one list, those of the first
---node first. See `weft.html.Node:xpath`.
---@param expression string
---@param variables table<string, any>?
---@return weft.html.SelectorList
function SelectorList:xpath(expression, variables)
  return each(self, "xpath", expression, variables)
end

---Applies a CSS selector at each node; gives all results in one list, those of the first node
---first. See `weft.html.Node:css`.
---@param selector string
---@return weft.html.SelectorList
function SelectorList:css(selector)
  return each(self, "css", selector)
end

---The visible text of each, as `weft.html.Node:text` has it.
---@return string[]
function SelectorList:texts()
  local texts = {}
  for i, item in ipairs(self) do
    texts[i] = type(item) == "userdata" and item:text() or text_of(item)
  end
  return texts
end

---The value of an attribute of the first node; nil if there is no node or no attribute.
---@param name string
---@return string?
function SelectorList:attr(name)
  local item = self[1]
  return type(item) == "userdata" and item:attr(name) or nil
end

function SelectorList:__tostring()
  return ("SelectorList<%d>"):format(#self)
end

return M
