-- SPDX-License-Identifier: MIT
-- weft.http.cookiestore: cookies by domain, with the limits on how many there are, and how
-- hosts and paths are matched.
--
-- Owns: the store: `domains` maps each domain to a bucket, `cookies` by key and their `count`.
-- Must not know: where a cookie comes from, and whether it is allowed.
-- Invariant: a cookie is in the bucket of its domain once, no bucket is empty, and the counts
-- agree with the contents.

local errors = require "weft.error"
local options = require "weft.options"
local urls = require "weft.url"

-- A domain's cookies, and all: what browsers keep at least.
local DOMAIN_MAX = 180
local TOTAL_MAX = 3000

local M = {}

---An empty store.
---@private
function M.new()
  return { domain_max = DOMAIN_MAX, total_max = TOTAL_MAX, domains = {}, count = 0, sequence = 0,
    stored = 0, expired = 0, evicted = 0, _secure_names = {} }
end

--- places --------------------------------------------------------------------------

-- The URL that was given as a text the last time: a response has several cookies.
local last_text, last_url

local function url_of(url)
  if type(url) == "table" then
    return url
  end
  options.expect(url, "string", "the URL")
  if url ~= last_text then
    last_url = urls.parse(url)
    last_text = url
  end
  return last_url
end

---Whom cookies are asked for and set by: a URL, as text or taken apart.
---
---Raises `type` (code "invalid_url").
---@private
function M.place_of(url)
  local parsed = url_of(url)
  local scheme, host, path = parsed.scheme, parsed.hostname, parsed.path
  if (host or "") == "" then
    errors.raise("type", ("'%s' is no URL with a host"):format(tostring(url)),
      { code = "invalid_url" })
  end
  return { host = host, path = path:sub(1, 1) == "/" and path or "/",
    is_secure = scheme == "https" or scheme == "wss",
    is_address = host:find(":", 1, true) ~= nil or host:find("^%d+%.%d+%.%d+%.%d+$") ~= nil }
end

---Whether a host is a domain or below it.
---@private
function M.domain_matches(place, domain)
  return place.host == domain
    or not place.is_address and place.host:sub(-#domain - 1) == "." .. domain
end

---Whether a path is below a cookie's.
---@private
function M.path_matches(path, cookie_path)
  return path == cookie_path or path:sub(1, #cookie_path) == cookie_path
    and (cookie_path:sub(-1) == "/" or path:sub(#cookie_path + 1, #cookie_path + 1) == "/")
end

---The path of a cookie that names none.
---@private
function M.default_path(path)
  return path:match("^(/.*)/") or "/"
end

--- the store ----------------------------------------------------------------------

local function key_of(cookie)
  return cookie.name .. ";" .. (cookie.host_only and "h" or "") .. ";" .. cookie.path
end

-- Counts the secure cookies of each name.
local function count_secure(store, cookie, more)
  if cookie.secure then
    local count = (store._secure_names[cookie.name] or 0) + more
    store._secure_names[cookie.name] = count > 0 and count or nil
  end
end

---Takes out a cookie; false if it is not there any more.
---@private
function M.drop(store, cookie)
  local bucket = store.domains[cookie.domain]
  local key = key_of(cookie)
  if not bucket or bucket.cookies[key] ~= cookie then
    return false
  end
  bucket.cookies[key] = nil
  count_secure(store, cookie, -1)
  bucket.count, store.count = bucket.count - 1, store.count - 1
  if bucket.count == 0 then
    store.domains[cookie.domain] = nil
  end
  return true
end

---Notes that a cookie was sent.
---@private
function M.touch(store, cookie, now)
  store.sequence = store.sequence + 1
  cookie.accessed, cookie._touched = now, store.sequence
end

---@private
function M.is_expired(cookie, now)
  return cookie.expires ~= nil and cookie.expires <= now
end

---Takes out what is over in a bucket.
---@private
function M.drop_expired(store, bucket, now)
  for _, cookie in pairs(bucket.cookies) do
    if M.is_expired(cookie, now) then
      M.drop(store, cookie)
      store.expired = store.expired + 1
    end
  end
end

local function is_staler(a, b)
  if a.accessed ~= b.accessed then
    return a.accessed < b.accessed
  end
  return a._touched < b._touched
end

-- The one to go from a domain: not secure before secure, then the one sent longest ago.
local function goes_first(a, b)
  local is_plain = not a.secure
  if is_plain ~= not b.secure then
    return is_plain
  end
  return is_staler(a, b)
end

local function first_of(bucket, best, is_before)
  for _, cookie in pairs(bucket.cookies) do
    if not best or is_before(cookie, best) then
      best = cookie
    end
  end
  return best
end

local function evict(store, cookie)
  M.drop(store, cookie)
  store.evicted = store.evicted + 1
end

-- Keeps the limits after a cookie was added to `bucket`.
local function shrink(store, bucket, now)
  if bucket.count > store.domain_max then
    M.drop_expired(store, bucket, now)
    if bucket.count > store.domain_max then
      evict(store, first_of(bucket, nil, goes_first))
    end
  end
  if store.count > store.total_max then
    for _, other in pairs(store.domains) do
      M.drop_expired(store, other, now)
    end
    if store.count > store.total_max then
      local best
      for _, other in pairs(store.domains) do
        best = first_of(other, best, is_staler)
      end
      evict(store, best)
    end
  end
end

---Adds a cookie that has been checked. One in whose place it comes passes on its age.
---@private
function M.add(store, cookie, now)
  local bucket = store.domains[cookie.domain]
  if not bucket then
    bucket = { cookies = {}, count = 0 }
    store.domains[cookie.domain] = bucket
  end
  store.sequence = store.sequence + 1
  cookie.created, cookie.accessed = cookie.created or now, cookie.accessed or now
  cookie._order, cookie._touched = store.sequence, store.sequence
  local key = key_of(cookie)
  local old = bucket.cookies[key]
  if old then
    count_secure(store, old, -1)
    cookie.created, cookie._order = old.created, old._order
  else
    bucket.count, store.count = bucket.count + 1, store.count + 1
  end
  bucket.cookies[key] = cookie
  count_secure(store, cookie, 1)
  if M.is_expired(cookie, now) then
    M.drop(store, cookie)
  else
    store.stored = store.stored + 1
    shrink(store, bucket, now)
  end
end

---Whether a plain connection would shadow a cookie that came over a secure one.
---@private
function M.shadows_secure(store, cookie)
  if not store._secure_names[cookie.name] then
    return false -- a look at every domain only where there is one to find
  end
  for domain, bucket in pairs(store.domains) do
    if M.domain_matches({ host = domain }, cookie.domain)
      or M.domain_matches({ host = cookie.domain }, domain) then
      for _, other in pairs(bucket.cookies) do
        if other.secure and other.name == cookie.name
          and M.path_matches(cookie.path, other.path) then
          return true
        end
      end
    end
  end
  return false
end

return M
