-- SPDX-License-Identifier: MIT
-- weft.http.challenges: what WWW-Authenticate, Proxy-Authenticate and Authentication-Info say
-- (RFC 9110, section 11).
--
-- Owns: the syntax, and what is made of texts that break it.
-- Must not know: any scheme.
-- Invariant: each step moves on, so that the work is in proportion to the text.

local M = {}

local find, gsub, lower, match, sub = string.find, string.gsub, string.lower, string.match,
  string.sub

local TOKEN = "^([%w!#$%%&'*+%-.^_`|~]+)()"
local TOKEN68 = "^([%w%-._~+/]+=*)[ \t]*()"

-- The text of the quoted string whose quote is at `at`, and where it ends; nil where it does not.
local function read_quoted(text, at)
  local from, stop = at + 1, at + 1
  while true do
    stop = find(text, '["\\]', stop)
    if not stop then
      return nil, #text + 1
    elseif sub(text, stop, stop) == '"' then
      return (gsub(sub(text, from, stop - 1), "\\(.)", "%1")), stop + 1
    end
    stop = stop + 2
  end
end

-- The value at `at`, behind a "=", and where it ends; nil for none.
local function read_value(text, at)
  at = match(text, "^[ \t]*()", at)
  if sub(text, at, at) == '"' then
    return read_quoted(text, at)
  end
  local value, stop = match(text, '^([^ \t,"]*)()', at)
  return value ~= "" and value or nil, stop
end

-- Where the element of the list that has `at` in it ends: at its comma, or behind the text.
local function skip(text, at)
  while true do
    at = find(text, '[,"]', at)
    if not at then
      return #text + 1
    elseif sub(text, at, at) == "," then
      return at
    end
    local _
    _, at = read_quoted(text, at)
  end
end

-- Where the next thing begins: behind commas and spaces.
local function next_element(text, at)
  return match(text, "^[ \t,]*()", at)
end

-- Adds to `params` what is at `at`, if it is `name = value`; where it ends, or nil. The first of
-- two with one name counts.
local function read_param(text, at, params)
  local name, stop = match(text, TOKEN, at)
  stop = name and match(text, "^[ \t]*=()", stop)
  if not stop then
    return nil
  end
  local value
  value, stop = read_value(text, stop)
  name = lower(name)
  if value and params and params[name] == nil then
    params[name] = value
  end
  return skip(text, stop)
end

-- What is behind the name of a scheme: a token68, if that is what it is; where it ends.
local function read_token68(text, at)
  local blob, stop = match(text, TOKEN68, at)
  if blob and (stop > #text or sub(text, stop, stop) == ",") then
    return blob, stop
  end
  return nil, at
end

---A challenge: `scheme` in lower case, `params` (names in lower case), or `token68`.
---@private
---@class weft.http.Challenge
---@field scheme string
---@field params table<string, string>
---@field token68 string?

-- Appends the challenges of one field's value.
local function read_field(text, list)
  local current
  local at = next_element(text, 1)
  while at <= #text do
    local stop = read_param(text, at, current and current.params)
    if not stop then
      local scheme, after = match(text, TOKEN, at)
      if scheme and (after > #text or find(text, "^[ \t,]", after)) then
        current = { scheme = lower(scheme), params = {} }
        list[#list + 1] = current
        after = match(text, "^[ \t]*()", after)
        current.token68, stop = read_token68(text, after)
      else -- rubbish: what follows it belongs to nobody
        current, stop = nil, skip(text, at)
      end
    end
    at = next_element(text, stop)
  end
end

---The challenges of the values of one or more fields, in their order. What cannot be understood
---is left out.
---@private
---@param values string[]
---@return weft.http.Challenge[]
function M.parse(values)
  local list = {}
  for i = 1, #values do
    read_field(values[i], list)
  end
  return list
end

---The parameters of an Authentication-Info or Proxy-Authentication-Info field.
---@private
---@param value string
---@return table<string, string>
function M.parse_params(value)
  local params = {}
  local at = next_element(value, 1)
  while at <= #value do
    at = next_element(value, read_param(value, at, params) or skip(value, at))
  end
  return params
end

---A text as a quoted string.
---@private
---@param text string
---@return string
function M.quote(text)
  return '"' .. gsub(text, '["\\]', "\\%0") .. '"'
end

return M
