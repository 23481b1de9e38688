-- SPDX-License-Identifier: MIT
-- weft.html.css: reads CSS selectors: Selectors Level 3, of Level 4 what is of use without a
-- browser, and what cssselect and Scrapy have beside it.
--
-- Owns: the grammar. A group of selectors is a list of complex ones; a complex selector is a list
-- of compounds, each with the `combinator` before it, and maybe a `pseudo` at its end; a compound
-- has a `name`, a `prefix`, and a list of conditions {kind, …, at = position}.
-- Must not know: XPath.

local caret = require "weft.html.caret"

local M = {}

-- Selectors are written by people: longer or deeper ones come from somewhere else.
local MAX_LENGTH, MAX_DEPTH = 16 * 1024, 16

local find, match, sub = string.find, string.match, string.sub

local Reader = {}
Reader.__index = Reader

function Reader:fail(why, at)
  caret.raise("selector", self.text, at or self.at, why, "invalid_selector")
end

-- What stands at the position, for a message.
function Reader:seen()
  if self.at > #self.text then
    return "the end"
  end
  return "'" .. match(self.text, "^[%z\1-\127\192-\255][\128-\191]*", self.at) .. "'"
end

---Skips white space and comments; whether there was any white space.
function Reader:space()
  local before = self.at
  local has_space = false
  while true do
    local stop = match(self.text, "^[ \t\r\n\f]+()", self.at)
    has_space = has_space or stop ~= nil
    if not stop and find(self.text, "^/%*", self.at) then
      local _, last = find(self.text, "*/", self.at + 2, true)
      stop = (last or #self.text) + 1
    end
    if not stop then
      return has_space, before
    end
    self.at = stop
  end
end

---Passes over the text if it stands here.
function Reader:skip(text)
  if sub(self.text, self.at, self.at + #text - 1) == text then
    self.at = self.at + #text
    return true
  end
  return false
end

function Reader:need(text, what)
  if not self:skip(text) then
    self:fail(("expected '%s'%s, got %s"):format(text, what or "", self:seen()))
  end
end

--- words ---------------------------------------------------------------------------

local function utf8_of(code)
  if code == 0 or code >= 0xD800 and code <= 0xDFFF or code > 0x10FFFF then
    code = 0xFFFD
  end
  local char, floor = string.char, math.floor
  if code < 0x80 then
    return char(code)
  elseif code < 0x800 then
    return char(0xC0 + floor(code / 64), 0x80 + code % 64)
  elseif code < 0x10000 then
    return char(0xE0 + floor(code / 4096), 0x80 + floor(code / 64) % 64, 0x80 + code % 64)
  end
  return char(0xF0 + floor(code / 262144), 0x80 + floor(code / 4096) % 64,
    0x80 + floor(code / 64) % 64, 0x80 + code % 64)
end

-- The character that the escape at the position stands for.
function Reader:escape()
  local hex, stop = match(self.text, "^\\(%x%x?%x?%x?%x?%x?)()", self.at)
  if hex then
    self.at = match(self.text, "^\r\n()", stop) or match(self.text, "^[ \t\r\n\f]?()", stop)
    return utf8_of(tonumber(hex, 16))
  end
  local char, after = match(self.text, "^\\([^\r\n\f])()", self.at)
  if not char then
    self:fail("a backslash that escapes nothing")
  end
  self.at = after
  return char
end

-- Letters, digits, "-", "_", what is not ASCII, and escapes; "" where there is none.
function Reader:chars()
  local parts = {}
  while true do
    local plain, stop = match(self.text, "^([%w_%-\128-\255]+)()", self.at)
    if plain then
      parts[#parts + 1], self.at = plain, stop
    elseif find(self.text, "^\\", self.at) then
      parts[#parts + 1] = self:escape()
    else
      return table.concat(parts)
    end
  end
end

function Reader:has_identifier()
  return find(self.text, "^%-?[%a_\128-\255\\]", self.at) ~= nil
    or find(self.text, "^%-%-", self.at) ~= nil
end

function Reader:identifier(what)
  if not self:has_identifier() then
    self:fail(("expected %s, got %s"):format(what, self:seen()))
  end
  return self:chars()
end

-- A string in quotes; nil where there is none.
function Reader:string()
  local quote = match(self.text, "^[\"']", self.at)
  if not quote then
    return nil
  end
  local start, parts = self.at, {}
  self.at = self.at + 1
  while not self:skip(quote) do
    local plain, stop = match(self.text, "^([^\\\r\n\f" .. quote .. "]+)()", self.at)
    local newline = match(self.text, "^\\\r\n()", self.at) or match(self.text, "^\\[\r\n\f]()",
      self.at)
    if plain then
      parts[#parts + 1], self.at = plain, stop
    elseif newline then
      self.at = newline
    elseif find(self.text, "^\\", self.at) and self.at < #self.text then
      parts[#parts + 1] = self:escape()
    else
      self:fail("the string does not end", start)
    end
  end
  return table.concat(parts)
end

function Reader:value(what)
  return self:string() or self:identifier(what)
end

--- attributes ----------------------------------------------------------------------

local OPERATORS = { "=", "~=", "|=", "^=", "$=", "*=", "!=" }

function Reader:operator()
  for _, operator in ipairs(OPERATORS) do
    if self:skip(operator) then
      return operator
    end
  end
  self:fail("expected an operator or ']', got " .. self:seen())
end

-- "name", "prefix|name", "*|name", "|name": the name, and the prefix ("" for none at all).
function Reader:attribute_name()
  local prefix
  if find(self.text, "^%*|[^=]", self.at) then
    prefix, self.at = "*", self.at + 2
  elseif find(self.text, "^|[^=]", self.at) then
    prefix, self.at = "", self.at + 1
  end
  local name = self:identifier("an attribute's name")
  if not prefix and find(self.text, "^|[^=]", self.at) then
    self.at = self.at + 1
    prefix, name = name, self:identifier("an attribute's name")
  end
  return name, prefix
end

function Reader:attribute(at)
  self:space()
  local name, prefix = self:attribute_name()
  local condition = { kind = "attribute", name = name, prefix = prefix, at = at }
  self:space()
  if self:skip("]") then
    return condition
  end
  condition.operator = self:operator()
  self:space()
  condition.value = self:value("a string or a name")
  self:space()
  local flag = match(self.text, "^[iIsS]", self.at)
  if flag then
    condition.is_caseless, self.at = flag:lower() == "i", self.at + 1
    self:space()
  end
  self:need("]")
  return condition
end

--- pseudo-classes ------------------------------------------------------------------

local PLAIN = {}
for name in ([[root scope first-child last-child only-child first-of-type last-of-type
  only-of-type empty link any-link visited hover active focus focus-within focus-visible target
  checked disabled enabled required optional]]):gmatch("%S+") do
  PLAIN[name] = true
end

local NTH = { ["nth-child"] = true, ["nth-last-child"] = true, ["nth-of-type"] = true,
  ["nth-last-of-type"] = true }
local LISTS = { ["not"] = "not", is = "is", where = "is", matches = "is" }

-- The a and b of an+b; nil if the text is none.
local function series(text)
  text = text:lower()
  if text == "odd" or text == "even" then
    return 2, text == "odd" and 1 or 0
  end
  local b = match(text, "^[+-]?%d+$")
  if b then
    return 0, tonumber((b:gsub("^%+", "")))
  end
  local a, rest = match(text, "^([+-]?%d*)n[ \t\r\n\f]*(.-)$")
  if not a then
    return nil
  end
  local sign, digits = match(rest, "^([+-])[ \t\r\n\f]*(%d+)$")
  if rest ~= "" and not sign then
    return nil
  end
  if a == "" or a == "+" or a == "-" then
    a = a .. "1"
  end
  return tonumber((a:gsub("^%+", ""))), sign and tonumber(sign .. digits) or 0
end

-- Far beyond any number of siblings, and exact in XPath.
local NTH_MAX = 1e9

function Reader:nth(name, at)
  self:space()
  local start = self.at
  local text = match(self.text, "^[%w+%- \t\r\n\f]*", self.at)
  local before_of = match(text, "^(.-[ \t\r\n\f])[oO][fF]$")
    or match(text, "^(.-[ \t\r\n\f])[oO][fF][ \t\r\n\f]")
  if before_of and match(name, "child$") then
    text = before_of
  end
  local a, b = series((text:gsub("[ \t\r\n\f]+$", "")))
  if not a or math.abs(a) > NTH_MAX or math.abs(b) > NTH_MAX then
    self:fail("expected a number, 'odd', 'even' or an+b", start)
  end
  self.at = self.at + #text
  local condition = { kind = "nth", name = name, a = a, b = b, at = at }
  if before_of and self.at <= #self.text and find(self.text, "^[oO][fF]", self.at) then
    self.at = self.at + 2
    condition.of = self:list(false)
  end
  return condition
end

function Reader:call(name, at)
  local condition
  if NTH[name] then
    condition = self:nth(name, at)
  elseif LISTS[name] then
    condition = { kind = LISTS[name], list = self:list(false), at = at }
  elseif name == "has" then
    condition = { kind = "has", list = self:list(true), at = at }
  elseif name == "contains" or name == "lang" then
    self:space()
    condition = { kind = name, value = self:value("a string or a name"), at = at }
    self:space()
  else
    self:fail(("there is no pseudo-class ':%s()'"):format(name), at)
  end
  self:need(")")
  return condition
end

function Reader:pseudo_class(at)
  local name = self:identifier("a pseudo-class"):lower()
  if self:skip("(") then
    self.depth = self.depth + 1
    if self.depth > MAX_DEPTH then
      self:fail(("more than %d pseudo-classes in one another"):format(MAX_DEPTH), at)
    end
    local condition = self:call(name, at)
    self.depth = self.depth - 1
    return condition
  elseif PLAIN[name] then
    return { kind = "plain", name = name, at = at }
  elseif NTH[name] or LISTS[name] or name == "has" or name == "contains" or name == "lang" then
    self:fail(("':%s' needs an argument"):format(name), at)
  end
  self:fail(("there is no pseudo-class ':%s'"):format(name), at)
end

-- Behind "::".
function Reader:pseudo_element(at)
  if self.depth > 0 then
    self:fail("a pseudo-element can stand only at the end of a selector", at)
  end
  local name = self:identifier("a pseudo-element"):lower()
  if name == "text" then
    return { name = "text" }
  elseif name ~= "attr" then
    self:fail(("there is no pseudo-element '::%s': only ::text and ::attr(name)"):format(name), at)
  end
  self:need("(", " behind '::attr'")
  self:space()
  local attribute = self:value("an attribute's name")
  self:space()
  self:need(")")
  return { name = "attr", attribute = attribute, at = at }
end

--- selectors -----------------------------------------------------------------------

-- "name", "*", "prefix|name", … at the beginning of a compound; whether there is one.
function Reader:type_selector(compound)
  local function name()
    if self:skip("*") then
      return nil
    end
    return self:identifier("an element's name")
  end
  if find(self.text, "^|[^|=]", self.at) then
    self.at = self.at + 1
    compound.prefix, compound.name = "", name()
    return true
  elseif not find(self.text, "^%*", self.at) and not self:has_identifier() then
    return false
  end
  compound.name = name()
  if find(self.text, "^|[^|=]", self.at) then
    self.at = self.at + 1
    compound.prefix = compound.name or "*"
    compound.name = name()
  end
  return true
end

-- The condition at the position; nil where there is none.
function Reader:condition()
  local at = self.at
  if self:skip(".") then
    return { kind = "class", name = self:identifier("a class"), at = at }
  elseif self:skip("#") then
    local id = self:chars()
    if id == "" then
      self:fail("expected an id, got " .. self:seen())
    end
    return { kind = "id", name = id, at = at }
  elseif self:skip("[") then
    return self:attribute(at)
  elseif find(self.text, "^:[^:]", self.at) or self.at == #self.text and self:skip(":") then
    self:skip(":")
    return self:pseudo_class(at)
  end
end

function Reader:compound(may_be_empty)
  local compound = { at = self.at }
  local has_type = self:type_selector(compound)
  repeat
    local condition = self:condition()
    compound[#compound + 1] = condition
  until not condition
  if not has_type and #compound == 0 and not may_be_empty then
    self:fail("expected a selector, got " .. self:seen())
  end
  return compound
end

-- The combinator at the position; nil where the selector ends.
function Reader:combinator()
  local has_space = self:space()
  local sign = match(self.text, "^[>+~]", self.at)
  if sign then
    self.at = self.at + 1
    self:space()
    return sign
  end
  if self.at > #self.text or find(self.text, "^[,)]", self.at) then
    return nil
  elseif has_space then
    return " "
  end
  self:fail("expected a selector, got " .. self:seen())
end

function Reader:complex(is_relative)
  self:space()
  local complex = {}
  local combinator = is_relative and match(self.text, "^[>+~]", self.at)
  if combinator then
    self.at = self.at + 1
    self:space()
  elseif is_relative then
    combinator = " "
  end
  repeat
    local at = self.at
    local compound = self:compound(find(self.text, "^::", at) ~= nil)
    compound.combinator = combinator
    complex[#complex + 1] = compound
    at = self.at
    if self:skip("::") then
      complex.pseudo = self:pseudo_element(at)
    end
    at = self.at
    combinator = self:combinator()
    if combinator and complex.pseudo then
      self:fail("nothing can follow a pseudo-element", at)
    end
  until not combinator
  return complex
end

function Reader:list(is_relative)
  local list = {}
  repeat
    list[#list + 1] = self:complex(is_relative)
    self:space()
  until not self:skip(",")
  return list
end

---Reads a group of selectors.
---@private
---@param text string well-formed UTF-8
---@return table list
function M.read(text)
  local reader = setmetatable({ text = text, at = 1, depth = 0 }, Reader)
  local bad = find(text, "[%z\1-\8\11\14-\31\127]")
  if #text > MAX_LENGTH then
    reader:fail(("more than %d bytes"):format(MAX_LENGTH), MAX_LENGTH + 1)
  elseif bad then
    reader:fail("a control character", bad)
  end
  local list = reader:list(false)
  if reader.at <= #text then
    reader:fail("expected ',' or the end, got " .. reader:seen())
  end
  return list
end

return M
