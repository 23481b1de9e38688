-- SPDX-License-Identifier: MIT
-- weft.html.xpath: evaluates XPath expressions and CSS selectors, and says what is wrong with
-- them.
--
-- Owns: the compiled expressions, a bounded number of them. Must not know: how documents are
-- parsed, or how a selector becomes XPath.
-- Invariant: without weft.html_core this can be loaded, and nothing else.

local caret = require "weft.html.caret"
local encoding = require "weft.http.encoding"
local errors = require "weft.error"
local options = require "weft.options"
local selector = require "weft.html.selector"

local has_core, core = pcall(require, "weft.html_core")

local M = { core = has_core and core or nil }

-- Programs have few expressions; one that makes them up has its cache emptied.
local CACHE_MAX = 512

local cached, cached_count = {}, 0

local MAX_LENGTH = 64 * 1024

--- errors ---------------------------------------------------------------------------

-- libxml2's numbers for what is wrong.
local UNDEFINED_VARIABLE, UNKNOWN_FUNCTION, UNDEFINED_PREFIX, LIMIT, DEPTH = 5, 9, 19, 25, 26

local REASONS = {
  [1] = "a number was expected", [2] = "the literal does not end", [3] = "a literal was expected",
  [4] = "a variable's name was expected", [6] = "the predicate is malformed",
  [7] = "this cannot stand here", [8] = "a bracket is not closed",
  [10] = "the operand is not what it must be", [11] = "the argument's type is wrong",
  [12] = "the number of arguments is wrong", [21] = "a character that cannot be there",
}

local FUNCTIONS = {}
for name in ([[last position count id local-name namespace-uri name string concat starts-with
  contains substring-before substring-after substring string-length normalize-space translate
  boolean not true false lang number sum floor ceiling round has-class ends-with lower-case
  weft-nth weft-in-scope weft-is-scope text comment node processing-instruction and or div mod]])
  :gmatch("%S+") do
  FUNCTIONS[name] = true
end

-- Where in the expression, outside of literals, `pattern` (whose first capture is a name)
-- matches something that `is_known` does not know: the position and the name.
local function find_unknown(text, pattern, is_known)
  local bare = text:gsub("(['\"])(.-)%1", function(quote, inner)
    return quote .. (" "):rep(#inner) .. quote
  end)
  for at, name in bare:gmatch(pattern) do
    if not is_known(name) then
      return at, name
    end
  end
end

local function reason(text, code, variables, namespaces)
  local at, name
  if code == UNDEFINED_VARIABLE then
    at, name = find_unknown(text, "()%$([%w_%.:%-]+)", function(n)
      return variables and variables[n] ~= nil
    end)
    return at, ("there is no variable $%s"):format(name or "")
  elseif code == UNKNOWN_FUNCTION then
    at, name = find_unknown(text, "()([%a_][%w_%.:%-]*)%s*%(", function(n)
      return FUNCTIONS[n] or n:find("::", 1, true)
    end)
    return at, ("there is no function %s()"):format(name or "")
  elseif code == UNDEFINED_PREFIX then
    at, name = find_unknown(text, "()([%a_][%w_%.%-]*):[%a_*]", function(n)
      return n == "xml" or namespaces and namespaces[n] ~= nil
    end)
    return at, ("there is no namespace with the prefix '%s'"):format(name or "")
  end
  return nil, REASONS[code]
end

local function fail(text, code, message, offset, variables, namespaces)
  if code == LIMIT then
    errors.raise("limit", "the expression takes too many steps in this document",
      { code = "max_steps" })
  elseif code == DEPTH then
    caret.raise("XPath expression", text, 1, "too deep", "invalid_xpath")
  end
  local at, why = reason(text, code, variables, namespaces)
  caret.raise("XPath expression", text, at or math.max(0, offset) + 1, why or message,
    "invalid_xpath")
end

--- compiling ------------------------------------------------------------------------

local function keep(key, value)
  if cached_count >= CACHE_MAX then
    cached, cached_count = {}, 0
  end
  cached[key], cached_count = value, cached_count + 1
  return value
end

-- libxml2 takes any bytes, and stops at a NUL.
local function check_text(text, what, most)
  options.expect(text, "string", "the " .. what)
  local nul = text:find("\0", 1, true)
  if nul then
    caret.raise(what, text, nul, "a NUL", "invalid_text")
  elseif #text > most then
    caret.raise(what, text, most, ("more than %d bytes"):format(most), "invalid_text")
  end
  local ok, e = pcall(encoding.decode, text, "utf-8", { errors = "strict" })
  if not ok then
    caret.raise(what, text, (e.offset or 0) + 1, "it is not UTF-8", "invalid_text")
  end
end

-- What stands in a step "//name[…]" that is true or false of a node wherever it stands.
local NAME = "[%a_][%w_%-]*"
local PREDICATES = { "^%[@" .. NAME .. "%]()", "^%[@" .. NAME .. " *= *'[^']*'%]()",
  "^%[@" .. NAME .. ' *= *"[^"]*"%]()', "^%[contains%(@" .. NAME .. ", *'[^']*'%)%]()",
  "^%[contains%(@" .. NAME .. ', *"[^"]*"%)%]()', "^%[has%-class%('[^']*'%)%]()" }

-- Where the predicates at `at` end.
local function skip_predicates(text, at)
  local i = 1
  while PREDICATES[i] do
    local stop = text:match(PREDICATES[i], at)
    at, i = stop or at, stop and 1 or i + 1
  end
  return at
end

-- "//a//b" as "//b[ancestor::a]", which is the same. libxml2 goes through what is below each "a",
-- and looks for duplicates in a time that is quadratic: minutes where many are in each other.
local function from_the_end(text)
  local at, path, steps = 1, nil, 0
  while true do
    local stop = text:match("^//" .. NAME .. "()", at) or text:match("^//%*()", at)
    if not stop or text:find("^[%(:.%w]", stop) then
      break
    end
    stop = skip_predicates(text, stop)
    path = text:sub(at + 2, stop - 1) .. (path and "[ancestor::" .. path .. "]" or "")
    at, steps = stop, steps + 1
  end
  local tail = text:sub(at)
  if tail == "//text()" and steps >= 1 then
    return "//text()[ancestor::" .. path .. "]"
  elseif steps >= 2 and (tail == "" or tail == "/text()" or tail:find("^/@" .. NAME .. "$")) then
    return "//" .. path .. tail
  end
  return text
end

local function compiled(text)
  local key = "x" .. text
  local expression = cached[key]
  if not expression then
    check_text(text, "XPath expression", MAX_LENGTH)
    local code, message, offset
    expression, code, message, offset = core.compile(from_the_end(text))
    if not expression then
      fail(text, code, message, offset)
    end
    keep(key, expression)
  end
  return expression
end

-- A selector's expressions. One that libxml2 does not take is at fault: a character that XML
-- does not have, or more inside each other than it allows.
local function compiled_css(text, is_xml, is_scoped)
  options.expect(text, "string", "the selector")
  local key = (is_xml and "m" or "h") .. (is_scoped and "n" or "d") .. text
  local list = cached[key]
  if list then
    return list
  end
  check_text(text, "selector", MAX_LENGTH)
  list = selector.compile(text, is_xml, is_scoped)
  for i, path in ipairs(list) do
    local expression = core.compile(path)
    if not expression then
      caret.raise("selector", text, 1, "it cannot be tested", "invalid_selector")
    end
    list[i] = { expression, path }
  end
  return keep(key, list)
end

--- evaluating -----------------------------------------------------------------------

local function check_variables(variables)
  if variables ~= nil and type(variables) ~= "table" then
    errors.raise("type", ("the variables must be a table, got %s"):format(type(variables)))
  end
end

local function selected(text, variables, namespaces, result, code, message, offset)
  if result then
    return result
  elseif result == false then
    errors.raise("type", ("the variable '%s' must be a string without NUL, a number, a boolean or "
      .. "a list of nodes of the same document"):format(tostring(code)),
      { code = "invalid_variable" })
  end
  fail(text, code, message, offset, variables, namespaces)
end

---@private
function M.xpath(node, text, variables)
  check_variables(variables)
  options.expect(text, "string", "the XPath expression")
  local namespaces = core.table_of(node).namespaces
  return selected(text, variables, namespaces,
    core.select(node, compiled(text), variables, namespaces))
end

-- The prefixes of a selector are in its path too, where an error finds them.
local function apply(node, entry, text, namespaces)
  local result, code, message, offset = core.select(node, entry[1], nil, namespaces)
  if result then
    return result
  elseif code == UNDEFINED_PREFIX then
    local at, name = find_unknown(text, "()([%a_][%w_%-]*)|[%a_*]", function(n)
      return namespaces and namespaces[n] ~= nil
    end)
    caret.raise("selector", text, at or 1, ("there is no namespace with the prefix '%s'")
      :format(name or ""), "invalid_selector")
  end
  fail(entry[2], code, message, offset)
end

-- As many as core.elements takes, and the length of a selector that may have as many.
local NAMES_MAX, NAMES_LENGTH = 16, 256

-- The names of a selector that has nothing but those, as "h1, h2": with a space between them, or
-- false.
local function plain_names(text)
  local names = {}
  for part in (text .. ","):gmatch("([^,]*),") do
    local name = part:match("^[ \t\r\n\f]*(%a%w*)[ \t\r\n\f]*$")
    if not name then
      return false
    end
    names[#names + 1] = name:lower()
  end
  return #names <= NAMES_MAX and table.concat(names, " ")
end

-- What of a selector of HTML can be found without XPath, or false.
local function cached_names(text)
  local key = "n" .. text
  local names = cached[key]
  if names == nil then
    names = keep(key, plain_names(text))
  end
  return names
end

---@private
function M.css(node, text)
  local shared, is_document = core.table_of(node)
  local names = not shared.is_xml and type(text) == "string" and #text <= NAMES_LENGTH
    and cached_names(text)
  if names then
    return core.elements(node, names)
  end
  local list = compiled_css(text, shared.is_xml, not is_document)
  if not list[2] then
    return apply(node, list[1], text, shared.namespaces)
  end
  local results = {}
  for i, entry in ipairs(list) do
    results[i] = apply(node, entry, text, shared.namespaces)
  end
  return core.merge(node, results)
end

return M
