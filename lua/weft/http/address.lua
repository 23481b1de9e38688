-- SPDX-License-Identifier: MIT
-- weft.http.address: a URL as requests need it: where it leads, what Host field and credentials
-- it has, and, per session, the header fields that all requests to a host begin with.
--
-- Owns: the bounded cache of URLs that were asked for, so that a loop does not parse them twice.
-- Must not know: what is requested there.
-- Invariant: an address is never changed; what is in a cache was parsed and checked.

local auth = require "weft.http.auth"
local cookiestore = require "weft.http.cookiestore"
local errors = require "weft.error"
local options = require "weft.options"
local urls = require "weft.url"

local M = {}

-- Entries of half a cache, and the longest text in it in bytes: together a few megabytes.
local HALF = 512
local TEXT_MAX = 2048

local SCHEMES = { http = true, https = true }

local function refuse(url, why)
  errors.raise("type", ("invalid URL \"%s\": %s"):format(url.href, why),
    { code = "invalid_url", url = url.href })
end

local function without_credentials(url)
  url = urls.parse(url.href)
  url:set("username", nil)
  url:set("password", nil)
  return url
end

---Where a URL leads. It has `url` (without credentials), `href` (without the fragment too),
---`real_href` (with it), `host` (as the field Host has it), `origin`, `is_secure`, `auth`.
---
---Raises `type` (code "invalid_url") for what is no http or https URL.
---@private
---@param url weft.url.URL
---@return table
function M.of(url)
  if not SCHEMES[url.scheme] then
    refuse(url, ("the scheme must be http or https, not '%s'"):format(url.scheme))
  elseif (url.hostname or "") == "" then
    refuse(url, "it has no host")
  end
  local credentials = auth.from_url(url)
  if credentials then
    url = without_credentials(url)
  end
  local real, fragment = url.href, url.fragment
  local href = fragment and real:sub(1, -#fragment - 2) or real
  return { url = url, href = href, real_href = real, host = url.host, origin = url.origin,
    hostname = url.hostname, is_secure = url.scheme == "https", auth = credentials,
    place = cookiestore.place_of(url), fields = nil }
end

---Where a text, or a URL object, leads; relative to `base` if there is one.
---
---Raises `type` (code "invalid_url").
---@private
---@param text string | weft.url.URL
---@param base weft.url.URL?
function M.parse(text, base)
  if type(text) ~= "string" and type(text) ~= "table" then
    options.expect(text, "string", "the URL")
  end
  return M.of(urls.parse(text, base))
end

--- the cache ------------------------------------------------------------------------------

---An empty cache: of two halves, the older one of which goes when the other is full.
---@private
function M.cache()
  return { new = {}, old = {}, count = 0 }
end

local function keep(cache, text, address)
  if cache.count >= HALF then
    cache.new, cache.old, cache.count = {}, cache.new, 0
  end
  cache.new[text], cache.count = address, cache.count + 1
  return address
end

---The same as `parse`, from the cache if it is there.
---@private
function M.find(cache, text, base)
  local address = cache.new[text]
  if address then
    return address
  end
  address = cache.old[text]
  if address then
    return keep(cache, text, address)
  end
  address = M.parse(text, base)
  if type(text) ~= "string" or #text > TEXT_MAX then
    return address
  end
  return keep(cache, text, address)
end

return M
