-- SPDX-License-Identifier: MIT
-- weft.http.links: what Link fields say (RFC 8288): where a page has its next one, and the like.
--
-- Owns: the syntax.
-- Must not know: responses, or what a relation means.
-- Invariant: nothing that a server can send raises; a link that is malformed is left out.

local encoding = require "weft.http.encoding"
local url = require "weft.url"

local M = {}

---A link of a response. Its other parameters, such as `type`, `title` or `anchor`, stand beside
---`url` and `rel`, their names in lower case.
---@alias weft.http.Link {url: string, rel: string, [string]: string}

local TOKEN = "[%w!#$%%&'*+%-.^_`|~]+"

-- The quoted string that opens at `at`, and what is behind it; nil if it does not end.
local function quoted(text, at)
  local parts, from = {}, at + 1
  while true do
    local stop = text:find('["\\]', from)
    if not stop then
      return nil, #text + 1
    end
    parts[#parts + 1] = text:sub(from, stop - 1)
    if text:sub(stop, stop) == '"' then
      return table.concat(parts), stop + 1
    end
    parts[#parts + 1] = text:sub(stop + 1, stop + 1)
    from = stop + 2
  end
end

-- RFC 8187: charset'language'text, in %XX.
local function extended(value)
  local charset, rest = value:match("^([%w%-_]+)'[^']*'(.*)$")
  if not charset then
    return nil
  end
  local bytes = rest:gsub("%%(%x%x)", function(digits)
    return string.char(tonumber(digits, 16))
  end)
  return encoding.encoding_name(charset) and encoding.decode(bytes, charset)
end

-- The first of a name counts; what is in extended notation goes before what is not.
local function add(link, name, value)
  local plain = name:match("^(.+)%*$")
  if plain then
    link._extended[plain] = link._extended[plain] or plain ~= "url" and extended(value) or nil
  elseif link[name] == nil then
    link[name] = value
  end
end

-- The parameter at `at`, into the link; returns what is behind it.
local function parameter(text, at, link)
  local name, stop = text:match("^[ \t]*(" .. TOKEN .. ")[ \t]*()", at)
  if not name then
    return at
  elseif text:sub(stop, stop) ~= "=" then
    add(link, name:lower(), "")
    return stop
  end
  local value
  stop = text:find("[^ \t]", stop + 1) or #text + 1
  if text:sub(stop, stop) == '"' then
    value, stop = quoted(text, stop)
  else
    value, stop = text:match("^([^;,]*)()", stop)
    value = value:gsub("[ \t]+$", "")
  end
  if value then
    add(link, name:lower(), value)
  end
  return stop
end

-- Behind the next comma that is in no quotes.
local function next_link(text, at)
  while at <= #text do
    local stop, _, char = text:find('([,"])', at)
    if not stop then
      return #text + 1
    elseif char == "," then
      return stop + 1
    end
    at = select(2, quoted(text, stop))
  end
  return at
end

-- The link whose "<" is at `at`, and what is behind its parameters.
local function read_link(text, at)
  local target, stop = text:match("^<([^>]*)>[ \t]*()", at)
  if not target then
    return nil, at
  end
  local link = { url = target, _extended = {} }
  while text:sub(stop, stop) == ";" do
    stop = parameter(text, stop + 1, link)
    stop = text:find("[^ \t]", stop) or #text + 1
  end
  for name, value in pairs(link._extended) do
    link[name] = value
  end
  link._extended = nil
  return link, stop
end

-- The links of one field into the list.
local function read_field(text, base, list)
  local at = 1
  while at <= #text do
    at = text:find("[^ \t,]", at) or #text + 1
    local link, stop = read_link(text, at)
    local fine, target
    if link then
      fine, target = pcall(url.join, base or link.url, link.url)
    end
    if fine then
      link.url, link.rel = target, link.rel or ""
      list[#list + 1] = link
    end
    at = next_link(text, stop)
  end
end

local function values_of(source)
  if type(source) == "string" then
    return { source }
  elseif type(source) == "table" and not source.getall then
    return source
  end
  return source:getall("Link")
end

---All links of a response in their order.
---@private
---@param source any its Headers, the value of a Link field, or a list of such
---@param base string? the URL that relative ones are relative to; without one they are left out
---@return weft.http.Link[]
function M.list(source, base)
  local list = {}
  for _, value in ipairs(values_of(source)) do
    read_field(value, base, list)
  end
  return list
end

---The links of a response by their relations. A link that has several is under each; of several
---links with one relation the first counts; one without a relation is under its URL.
---@private
---@param source any its Headers, the value of a Link field, or a list of such
---@param base string? the URL that relative ones are relative to; without one they are left out
---@return table<string, weft.http.Link>
function M.parse(source, base)
  local map = {}
  for _, link in ipairs(M.list(source, base)) do
    local has_relation = false
    for relation in link.rel:gmatch("[^ \t]+") do
      -- A relation that is a URL keeps its case, any other has none.
      relation = relation:find(":", 1, true) and relation or relation:lower()
      map[relation], has_relation = map[relation] or link, true
    end
    if not has_relation then
      map[link.url] = map[link.url] or link
    end
  end
  return map
end

return M
