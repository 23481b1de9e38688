-- SPDX-License-Identifier: MIT
-- weft.url: URLs, as the URL Standard of the WHATWG has them, which is what browsers do.
--
-- Owns: the class weft.url.URL, whose fields are read only and change through `set`. How a
-- text becomes a record is weft.url.parser's. Must not know: the loop, HTTP.
-- Invariant: `href` is parsed to an equal URL.

local errors = require "weft.error"
local host = require "weft.url.host"
local options = require "weft.options"
local parser = require "weft.url.parser"
local percent = require "weft.url.percent"
local query = require "weft.url.query"

---URLs: parsing, joining, queries. It is the whole of the URL Standard (url.spec.whatwg.org), so
---that a link means here what it means in a browser.
---@class weft.url
local M = {
  percent_encode = percent.percent_encode,
  percent_decode = percent.percent_decode,
  encode_query = query.encode_query,
  decode_query = query.decode_query,
}

local find, gsub, match, sub = string.find, string.gsub, string.match, string.sub

local SPECIAL = parser.SPECIAL

-- Longer texts are no URLs: browsers take up to 2 MiB, data: URLs in pages included.
local MAX_LENGTH = 2 * 1024 * 1024

-- How much of a URL, and of its part at fault, an error quotes.
local QUOTED, QUOTED_PART = 200, 60

---A URL. Its fields cannot be assigned; `set` changes them. Two URLs are equal when their `href`
---is, and `tostring` gives that.
---@class weft.url.URL
---@field href string the whole
---@field scheme string in lower case, without ":"
---@field username string "" for none
---@field password string "" for none
---@field host string? with the port, if there is one; nil as in "mailto:a@b"
---@field hostname string? without the port; an IPv6 address is in brackets
---@field host_kind string? "domain", "ipv4", "ipv6", "opaque" (of another scheme) or "empty"
---@field port integer? nil for none and for the scheme's default
---@field path string
---@field query string? without "?"; nil for none, "" where there is only the "?"
---@field fragment string? without "#"; nil for none
---@field origin string "https://example.com:8080", or "null"
local URL = {}

local Class = { __name = "weft.url.URL" }

--- errors ------------------------------------------------------------------------------

local function quoted(text, most)
  text = #text > most and sub(text, 1, most) .. "…" or text
  return (gsub(text, "[%z\1-\31\127]", function(c)
    return ("\\x%02X"):format(c:byte())
  end))
end

local function invalid(text, part, why, what)
  errors.raise("type", ("invalid URL \"%s\": the %s %s%s"):format(quoted(text, QUOTED), part,
    what and ("'%s' "):format(quoted(what, QUOTED_PART)) or "", why),
    { code = "invalid_url", url = text, part = part })
end

local function check_text(value, what)
  options.expect(value, "string", what)
  if #value > MAX_LENGTH then
    errors.raise("limit", ("%s has %d bytes, more than %d"):format(what, #value, MAX_LENGTH),
      { code = "url_too_long" })
  end
  return value
end

--- parsing -----------------------------------------------------------------------------

local function is_url(value)
  return getmetatable(value) == Class
end

local function new(text, base, encoding)
  local u, part, why, what = parser.parse(check_text(text, "the URL"), base, encoding)
  if not u then
    invalid(text, part, why, what)
  end
  return setmetatable(u, Class)
end

-- The base that was given as a text the last time: the links of a page come one by one.
local last_text, last_base

local function base_of(base)
  if base == nil or is_url(base) then
    return base
  elseif base ~= last_text then
    last_base = new(base)
    last_text = base
  end
  return last_base
end

local OPTIONS = { encoding = true }

---Parses a URL, or a reference that is relative to `base`. Spaces around it, and tabs and
---newlines in it, are not part of it. Bytes that are not UTF-8 are kept, as %XX, everywhere but
---in hosts. `encoding` is for links in documents that are not in UTF-8, "windows-1251" and the
---like: the link is given in UTF-8, and its query is encoded in that, as browsers do.
---
---Raises `type`, code "invalid_url", if it is none: `part` ("scheme", "host", "port", …) and the
---message tell what is wrong; `limit`, code "url_too_long", above 2 MiB.
---@param text string
---@param base (string | weft.url.URL)?
---@param opts {encoding: string?}?
---@return weft.url.URL
function M.parse(text, base, opts)
  if is_url(text) then
    text = text.href
  end
  local encoding
  if opts ~= nil then
    encoding = options.check(opts, OPTIONS, "url.parse").encoding
    if encoding ~= nil then
      options.expect(encoding, "string", "encoding")
    end
  end
  return new(text, base_of(base), encoding)
end

---Whether `weft.url.parse` would take it.
---@param text string
---@param base (string | weft.url.URL)?
---@return boolean
function M.can_parse(text, base)
  check_text(text, "the URL")
  local record
  if base ~= nil and not is_url(base) then
    record = parser.parse(check_text(base, "the base URL"))
    if not record then
      return false
    end
  end
  return parser.parse(text, record or base) ~= nil
end

---The URL, as text, that a reference means in a document at `base`.
---
---    url.join("http://example.com/a/b", "../c?d") --> http://example.com/c?d
---
---Raises as `weft.url.parse`.
---@param base string | weft.url.URL
---@param ref string
---@return string href
function M.join(base, ref)
  if base == nil then
    errors.raise("type", "the base URL must be a string or a URL, got nil")
  end
  return M.parse(ref, base).href
end

--- fields ------------------------------------------------------------------------------

local function origin(u)
  local scheme = u._scheme
  if SPECIAL[scheme] then
    return scheme .. "://" .. u._hostname .. (u._port and ":" .. u._port or "")
  elseif scheme == "blob" then
    local inner = parser.parse(u._path)
    if inner and (inner._scheme == "http" or inner._scheme == "https") then
      return origin(inner)
    end
  end
  return "null"
end

local FIELDS = {
  scheme = "_scheme", username = "_username", password = "_password", hostname = "_hostname",
  port = "_port", path = "_path", query = "_query", fragment = "_fragment",
}

local MADE = {
  href = function(u)
    local href = rawget(u, "_href")
    if not href then
      href = parser.serialize(u)
      rawset(u, "_href", href)
    end
    return href
  end,
  host = function(u)
    local name, port = u._hostname, u._port
    return name and port and name .. ":" .. port or name
  end,
  host_kind = function(u)
    return host.kind_of(u._hostname, SPECIAL[u._scheme] ~= nil)
  end,
  origin = origin,
}

function Class.__index(u, key)
  local field = FIELDS[key]
  if field then
    return rawget(u, field)
  end
  local made = MADE[key]
  if made then
    return made(u)
  end
  return URL[key]
end

function Class.__newindex(u, key, value)
  if find(key, "^_") then -- weft's own
    return rawset(u, key, value)
  end
  errors.raise("type", ("the fields of a URL cannot be assigned: use u:set(name, value) for '%s'")
    :format(tostring(key)))
end

function Class.__tostring(u)
  return u.href
end

function Class.__concat(a, b)
  return tostring(a) .. tostring(b)
end

function Class.__eq(a, b)
  return is_url(a) and is_url(b) and a.href == b.href
end

--- setters -----------------------------------------------------------------------------

local function has_no_credentials(u)
  return not u._hostname or u._hostname == "" or u._scheme == "file"
end

local function without_newlines(value)
  return (gsub(value, "[\t\n\r]", ""))
end

-- What stands before the path, in a value for the host.
local function before_path(u, value)
  local special = SPECIAL[u._scheme] ~= nil
  return match(without_newlines(value), special and "^[^/?#\\]*" or "^[^/?#]*")
end

local function set_file_host(u, name)
  if name == "" then
    u._hostname = ""
    return true
  end
  local parsed = host.parse(name, false)
  if parsed then
    u._hostname = parsed == "localhost" and "" or parsed
  end
  return parsed ~= nil
end

local function set_port(u, text)
  local digits = match(text, "^[0-9]+")
  local port = digits and parser.parse_port(u._scheme, digits)
  if not digits or port == false then
    return false
  end
  u._port = port
  return true
end

local function set_host(u, value, is_hostname)
  if u._is_opaque then
    return false
  end
  local text = before_path(u, value)
  if u._scheme == "file" then
    return set_file_host(u, text)
  end
  local special = SPECIAL[u._scheme] ~= nil
  local colon = parser.find_colon(text)
  local name = colon and sub(text, 1, colon - 1) or text
  if colon and (is_hostname or name == "") or special and name == "" then
    return false
  elseif name == "" and (u._username ~= "" or u._password ~= "" or u._port) then
    return false
  end
  local parsed = host.parse(name, not special)
  if not parsed then
    return false
  end
  u._hostname = parsed
  return not colon or colon == #text or set_port(u, sub(text, colon + 1))
end

local SETTERS = {}

function SETTERS.href(u, value)
  local fresh = new(value)
  for _, field in pairs(FIELDS) do
    rawset(u, field, rawget(fresh, field))
  end
  rawset(u, "_is_opaque", rawget(fresh, "_is_opaque"))
  return true
end

function SETTERS.protocol(u, value)
  local scheme = match(without_newlines(value) .. ":", "^([A-Za-z][A-Za-z0-9+.%-]*):")
  scheme = scheme and scheme:lower()
  if not scheme or (SPECIAL[scheme] ~= nil) ~= (SPECIAL[u._scheme] ~= nil) then
    return false
  elseif scheme == "file" and (u._username ~= "" or u._password ~= "" or u._port) then
    return false
  elseif u._scheme == "file" and u._hostname == "" and scheme ~= "file" then
    return false
  end
  u._scheme = scheme
  if u._port == SPECIAL[scheme] then
    u._port = nil
  end
  return true
end

function SETTERS.username(u, value)
  if has_no_credentials(u) then
    return false
  end
  u._username = parser.parse_credential(value)
  return true
end

function SETTERS.password(u, value)
  if has_no_credentials(u) then
    return false
  end
  u._password = parser.parse_credential(value)
  return true
end

function SETTERS.host(u, value)
  return set_host(u, value, false)
end

function SETTERS.hostname(u, value)
  return set_host(u, value, true)
end

function SETTERS.port(u, value)
  if has_no_credentials(u) then
    return false
  elseif value == "" then
    u._port = nil
    return true
  end
  return set_port(u, without_newlines(value))
end

function SETTERS.pathname(u, value)
  if u._is_opaque then
    return false
  end
  value = without_newlines(value)
  local special = SPECIAL[u._scheme] ~= nil
  if value == "" then
    u._path = (special or not u._hostname) and "/" or ""
  else
    local has_slash = find(value, special and "^[/\\]" or "^/")
    u._path = parser.parse_path(u._scheme, has_slash and value or "/" .. value)
  end
  return true
end

function SETTERS.search(u, value)
  u._query = value ~= "" and parser.parse_query(u._scheme, gsub(value, "^%?", "", 1)) or nil
  return true
end

function SETTERS.hash(u, value)
  u._fragment = value ~= "" and parser.parse_fragment(gsub(value, "^#", "", 1)) or nil
  return true
end

---Changes a part, by one of the Standard's setters: "protocol", "username", "password", "host"
---(with a port, if it has one), "hostname", "port", "pathname", "search" (with or without its
---"?"), "hash" (with or without its "#"), or "href" for all of it. "" or nil takes away what can
---be taken away. What the part cannot be leaves it as it is, as in browsers; so does an invalid
---port behind a host, when the host is taken.
---
---Raises `type` for an unknown name, and for a "href" that is no URL.
---@param name string
---@param value (string | integer)?
---@return boolean accepted
function URL:set(name, value)
  local setter = SETTERS[name]
  if not setter then
    errors.raise("type", ("URL: nothing is set by the name '%s' (did you mean '%s'?)")
      :format(tostring(name), options.nearest(tostring(name), SETTERS)))
  end
  if type(value) == "number" and name == "port" then
    value = ("%d"):format(options.count(value, "port", 0))
  end
  value = check_text(value == nil and "" or value, name)
  rawset(self, "_href", nil)
  return setter(self, value)
end

local function copy(u)
  local made = {}
  for key, value in next, u do
    made[key] = value
  end
  return setmetatable(made, Class)
end

---Another URL: this one with the query that `weft.url.encode_query` makes of a table, or with a
---query that is given as text, or with none, for nil.
---
---Raises `type` for what is no query.
---@param params (table | string)?
---@return weft.url.URL
function URL:with_query(params)
  if type(params) == "table" then
    params = query.encode_query(params)
  end
  params = options.expect(params == nil and "" or params, "string", "the query")
  local made = copy(self)
  made:set("search", params ~= "" and "?" .. params or "")
  return made
end

--- duplicates ----------------------------------------------------------------------------

local CANONICAL = { keep_fragment = true, drop = true }

---One spelling for URLs that most likely mean the same, for filters of duplicates; not always
---what to request. Beyond parsing (lower case, default port, dots in paths): no fragment; %XX in
---upper case, and for no letter, digit or any of "-._~"; parameters of the query sorted, empty
---ones and those in `drop` left out, "+" for a space; and no "?" without a query. `drop` is a list
---of names, or of beginnings with "*" ("utm_*"). With `keep_fragment` the fragment stays.
---
---Raises as `weft.url.parse`.
---@param text string | weft.url.URL
---@param opts {keep_fragment: boolean?, drop: string[]?}?
---@return string
function M.canonicalize(text, opts)
  opts = options.check(opts, CANONICAL, "url.canonicalize")
  local u = is_url(text) and copy(text) or new(text)
  local drop = options.expect(opts.drop or {}, "table", "drop")
  if not u._is_opaque then
    u._path = query._normal(u._path)
    u._query = u._query and query._canonical(u._query, drop)
  end
  return parser.serialize(u, not opts.keep_fragment)
end

return M
