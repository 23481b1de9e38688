-- SPDX-License-Identifier: MIT
-- weft.html.selector: CSS selectors as XPath expressions.
--
-- Owns: what each condition means in XPath. A selector is tested from its end, upwards: its last
-- compound is searched for, and what stands before it becomes conditions on ancestors and
-- siblings. So an expression goes through a document once, and gives each node once, in order.
-- Must not know: libxml2. The functions that XPath lacks are those of src/html/xpath.c.

local caret = require "weft.html.caret"
local css = require "weft.html.css"

local M = {}

-- What a selector is compiled for: `is_xml`, and `is_scoped`, below a node.
local Compiler = {}
Compiler.__index = Compiler

local function fail(self, why, at)
  caret.raise("selector", self.text, at, why, "invalid_selector")
end

--- texts and names -----------------------------------------------------------------

-- XPath has no escapes in its literals.
local function literal(value)
  if not value:find("'", 1, true) then
    return "'" .. value .. "'"
  elseif not value:find('"', 1, true) then
    return '"' .. value .. '"'
  end
  local parts = {}
  for text, quotes in value:gmatch("([^']*)('*)") do
    if text ~= "" then
      parts[#parts + 1] = "'" .. text .. "'"
    end
    if quotes ~= "" then
      parts[#parts + 1] = '"' .. quotes .. '"'
    end
  end
  return "concat(" .. table.concat(parts, ", ") .. ")"
end

function Compiler:literal(value, at)
  if value:find("[%z\1-\8\11\12\14-\31]") then
    fail(self, "a control character", at)
  end
  return literal(value)
end

local function is_safe(name)
  return name:find("^[%a_][%w_%-]*$") ~= nil
end

local function lower(text)
  return (text:gsub("%u", string.lower))
end

-- The node test of a compound, and the condition that it leaves, or nil.
function Compiler:name_test(compound)
  local name, prefix = compound.name, compound.prefix
  if prefix and prefix ~= "" and prefix ~= "*" then
    if not is_safe(prefix) or name and not is_safe(name) then
      fail(self, "a prefix is for plain names", compound.at)
    end
    return prefix .. ":" .. (name or "*")
  elseif not name then
    return "*", prefix == "" and "not(namespace-uri())" or nil
  elseif not self.is_xml then
    name = lower(name)
  end
  if is_safe(name) and (not self.is_xml or prefix == "") then
    return name
  end
  local test = (self.is_xml and "local-name()" or "name()") .. " = "
    .. self:literal(name, compound.at)
  return "*", prefix == "" and "(" .. test .. " and not(namespace-uri()))" or test
end

function Compiler:attribute_path(name, prefix, at)
  if not self.is_xml then
    name = lower(name)
  end
  if prefix and prefix ~= "" and prefix ~= "*" then
    if not is_safe(prefix) or not is_safe(name) then
      fail(self, "a prefix is for plain names", at)
    end
    return "@" .. prefix .. ":" .. name
  elseif prefix == "*" then
    return "@*[local-name() = " .. self:literal(name, at) .. "]"
  elseif is_safe(name) then
    return "@" .. name
  end
  return "@*[name() = " .. self:literal(name, at) .. "]"
end

--- conditions ----------------------------------------------------------------------

-- Each gives a condition that can stand beside an "and".
local CONDITIONS = {}

function CONDITIONS.class(self, condition)
  return "has-class(" .. self:literal(condition.name, condition.at) .. ")"
end

function CONDITIONS.id(self, condition)
  return "@id = " .. self:literal(condition.name, condition.at)
end

-- By operator: the attribute's path (in a function, as text), the value's literal, the value.
local OPERATORS = {
  ["="] = function(path, value) return path .. " = " .. value end,
  ["~="] = function(path, _, text, quote)
    if text == "" or text:find("[ \t\r\n\f]") then
      return "false()"
    end
    return ("contains(concat(' ', normalize-space(%s), ' '), %s)"):format(path,
      quote(" " .. text .. " "))
  end,
  ["|="] = function(path, value, text, quote)
    return ("(%s = %s or starts-with(%s, %s))"):format(path, value, path, quote(text .. "-"))
  end,
  ["^="] = function(path, value) return ("starts-with(%s, %s)"):format(path, value) end,
  ["$="] = function(path, value) return ("ends-with(%s, %s)"):format(path, value) end,
  ["*="] = function(path, value) return ("contains(%s, %s)"):format(path, value) end,
  ["!="] = function(path, value, text)
    return text == "" and path .. " != ''" or ("not(%s = %s)"):format(path, value)
  end,
}

local NEVER_EMPTY = { ["^="] = true, ["$="] = true, ["*="] = true }

function CONDITIONS.attribute(self, condition)
  local path = self:attribute_path(condition.name, condition.prefix, condition.at)
  local operator, text = condition.operator, condition.value
  if not operator then
    return path
  elseif text == "" and NEVER_EMPTY[operator] then
    return "false()"
  end
  local function quote(value)
    return self:literal(value, condition.at)
  end
  if not condition.is_caseless then
    return OPERATORS[operator](path, quote(text), text, quote)
  end
  text = lower(text)
  local test = OPERATORS[operator]("lower-case(" .. path .. ")", quote(text), text, quote)
  -- An attribute that is not there has no value, where lower-case() has an empty one.
  return operator == "!=" and ("not(%s and not(%s))"):format(path, test)
    or path .. " and " .. test
end

-- A condition for "matches one of the list".
function Compiler:any(list)
  local parts = {}
  for i, complex in ipairs(list) do
    parts[i] = self:matches(complex)
  end
  return #parts == 1 and parts[1] or "(" .. table.concat(parts, ") or (") .. ")"
end

CONDITIONS["not"] = function(self, condition)
  return "not(" .. self:any(condition.list) .. ")"
end

function CONDITIONS.is(self, condition)
  return "(" .. self:any(condition.list) .. ")"
end

local AXES = { [" "] = "descendant::", [">"] = "child::", ["~"] = "following-sibling::" }

-- From the context node on to what a relative selector selects.
function CONDITIONS.has(self, condition)
  local paths = {}
  for i, complex in ipairs(condition.list) do
    local steps = {}
    for j, compound in ipairs(complex) do
      local test, conditions = self:compound(compound)
      local axis = AXES[compound.combinator]
      if axis then
        -- One is enough, and the search ends there.
        local rest = j == #complex and "[1]" or ""
        steps[j] = axis .. test .. (conditions and "[" .. conditions .. "]" or rest)
      else
        steps[j] = "following-sibling::*[1][self::" .. test
          .. (conditions and " and " .. conditions or "") .. "]"
      end
    end
    paths[i] = table.concat(steps, "/")
  end
  return #paths == 1 and paths[1] or "(" .. table.concat(paths, " or ") .. ")"
end

function CONDITIONS.contains(self, condition)
  return "contains(., " .. self:literal(condition.value, condition.at) .. ")"
end

function CONDITIONS.lang(self, condition)
  if self.is_xml then
    return "lang(" .. self:literal(condition.value, condition.at) .. ")"
  end
  return ("ancestor-or-self::*[@lang][1][starts-with(concat(lower-case(@lang), '-'), %s)]")
    :format(self:literal(lower(condition.value) .. "-", condition.at))
end

-- an+b of the elements that match a list: counted, as no position says it.
local function counted(a, b, axis, list)
  local n = ("(count(%s::*[%s]) + 1 - %d)"):format(axis, list, b)
  if a == 0 then
    return ("%s = 0"):format(n)
  end
  return ("(%s * %d >= 0 and %s mod %d = 0)"):format(n, a, n, a)
end

function CONDITIONS.nth(self, condition)
  local from_end = condition.name:find("last", 1, true) and 1 or 0
  local of_type = condition.name:find("type", 1, true) and 1 or 0
  if condition.of then
    local list = self:any(condition.of)
    return ("(%s) and %s"):format(list, counted(condition.a, condition.b,
      from_end == 1 and "following-sibling" or "preceding-sibling", list))
  end
  return ("weft-nth(%d, %d, %d, %d)"):format(condition.a, condition.b, from_end, of_type)
end

local INPUT = "self::input[not(@type = 'hidden')] or self::button or self::select "
  .. "or self::textarea"

local PLAIN = {
  root = "not(parent::*)",
  scope = "weft-is-scope()",
  ["first-child"] = "not(preceding-sibling::*[1])",
  ["last-child"] = "not(following-sibling::*[1])",
  ["only-child"] = "not(preceding-sibling::*[1]) and not(following-sibling::*[1])",
  ["first-of-type"] = "weft-nth(0, 1, 0, 1)",
  ["last-of-type"] = "weft-nth(0, 1, 1, 1)",
  ["only-of-type"] = "weft-nth(0, 1, 0, 1) and weft-nth(0, 1, 1, 1)",
  empty = "not(* or text())",
  link = "@href and (self::a or self::link or self::area)",
  checked = "(@selected and self::option or @checked and (self::input or self::command) "
    .. "and (lower-case(@type) = 'checkbox' or lower-case(@type) = 'radio'))",
  disabled = ("(@disabled and (%s or self::command or self::fieldset or self::optgroup "
    .. "or self::option) or (%s) and ancestor::fieldset[@disabled] "
    .. "or self::option and parent::optgroup[@disabled])"):format(INPUT, INPUT),
  enabled = ("(@href and (self::a or self::link or self::area) or not(@disabled) "
    .. "and (self::command or self::fieldset or self::optgroup) or (%s) "
    .. "and not(@disabled or ancestor::fieldset[@disabled]) or self::option "
    .. "and not(@disabled or parent::optgroup[@disabled]))"):format(INPUT),
  required = "@required and (self::input or self::select or self::textarea)",
  optional = "not(@required) and (self::input or self::select or self::textarea)",
}
PLAIN["any-link"] = PLAIN.link

function CONDITIONS.plain(_, condition)
  return PLAIN[condition.name] or "false()" -- what only happens in a browser
end

--- selectors -----------------------------------------------------------------------

-- The node test and the conditions of a compound, as text; nil for no conditions.
function Compiler:compound(compound, more)
  local test, first = self:name_test(compound)
  local parts = { first }
  for _, condition in ipairs(compound) do
    parts[#parts + 1] = CONDITIONS[condition.kind](self, condition)
  end
  parts[#parts + 1] = more
  return test, #parts > 0 and table.concat(parts, " and ") or nil
end

local BEFORE = { [" "] = "ancestor::%s%s", [">"] = "parent::%s%s",
  ["~"] = "preceding-sibling::%s%s", ["+"] = "preceding-sibling::*[1][self::%s%s]" }

-- The condition that what stands before the compound `i` sets for what matches that; `form` is
-- BEFORE's, if it is not that of the combinator.
function Compiler:before(complex, i, is_scoped, form)
  if i == 1 then
    return is_scoped and #complex > 1 and "weft-in-scope()" or nil
  end
  local test, conditions = self:compound(complex[i - 1], self:before(complex, i - 1, is_scoped))
  form = form or BEFORE[complex[i].combinator]
  return form:format(test, conditions and "[" .. conditions .. "]" or "")
end

-- The condition that a node matches a complex selector.
function Compiler:matches(complex)
  local test, conditions = self:compound(complex[#complex], self:before(complex, #complex, false))
  if test == "*" then
    return conditions or "true()"
  end
  return "self::" .. test .. (conditions and " and " .. conditions or "")
end

-- "p *::text" and "p ::text" are all texts in p, as in Scrapy, not only those in its elements.
local function is_anything_in(complex)
  local last = complex[#complex]
  return complex.pseudo and last.combinator == " " and not last.name and not last.prefix
    and #last == 0
end

function Compiler:path(complex)
  local test, conditions = self:compound(complex[#complex], self:before(complex, #complex,
    self.is_scoped, is_anything_in(complex) and "ancestor-or-self::%s%s" or nil))
  local path = "descendant-or-self::" .. test .. (conditions and "[" .. conditions .. "]" or "")
  local pseudo = complex.pseudo
  if not pseudo then
    return path
  elseif pseudo.name == "text" then
    return path .. "/text()"
  end
  return path .. "/" .. self:attribute_path(pseudo.attribute, nil, pseudo.at)
end

---The XPath expressions of a group of selectors, one for each, to be evaluated from a document
---(or, `is_scoped`, from a node).
---@private
---@param text string well-formed UTF-8
---@param is_xml boolean names have cases and namespaces
---@param is_scoped boolean
---@return string[]
function M.compile(text, is_xml, is_scoped)
  local compiler = setmetatable({ text = text, is_xml = is_xml, is_scoped = is_scoped }, Compiler)
  local paths, seen = {}, {}
  for _, complex in ipairs(css.read(text)) do
    local path = compiler:path(complex)
    if not seen[path] then
      seen[path] = true
      paths[#paths + 1] = path
    end
  end
  return paths
end

return M
