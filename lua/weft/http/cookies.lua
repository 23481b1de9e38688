-- SPDX-License-Identifier: MIT
-- weft.http.cookies: the cookie jar: which cookies are kept, and which go with a request, as
-- in a browser (RFC 6265bis).
--
-- Owns: the cookies of a jar, with their limits.
-- Must not know: sessions, connections, or how a Set-Cookie field is written.
-- Invariant: what is in a jar has been checked; a cookie is in `_domains[domain][key]` once,
-- and the counts agree with that.

local core = require "weft.core"
local cookiefile = require "weft.http.cookiefile"
local cookiestore = require "weft.http.cookiestore"
local errors = require "weft.error"
local fs = require "weft.fs"
local options = require "weft.options"
local setcookie = require "weft.http.setcookie"

-- Seconds that a cookie lives at most: 400 days.
local LIFE_MAX = 400 * 86400

-- The file of a jar at most, in bytes: a full jar is a quarter of it.
local FILE_MAX = 64 * 1024 * 1024

-- A file that holds what logs one in is nobody else's: 0600.
local FILE_PERMS = 384

---A cookie, as a jar shows it: a copy.
---@class weft.http.Cookie
---@field name string empty for `Set-Cookie: value`
---@field value string
---@field domain string the host, or what its name ends with; empty: sent to every host
---@field path string
---@field host_only boolean? sent to the host `domain` alone
---@field expires number? when it ends, in seconds since 1970; nil: with the session
---@field secure boolean? sent by https and wss only
---@field http_only boolean?
---@field same_site string? "Strict", "Lax" or "None"; not used
---@field created number when it came, in seconds since 1970
---@field accessed number when it was last sent, in seconds since 1970
local SHOWN = { name = true, value = true, domain = true, path = true, host_only = true,
  expires = true, secure = true, http_only = true, same_site = true, created = true,
  accessed = true }

---The cookies that servers have set, and to whom they may be sent, as in a browser
---(RFC 6265bis). A port does not separate hosts; an IP address keeps cookies for itself alone;
---no cookie is set for a public suffix such as `co.uk`. A domain has 180 cookies at most, and a
---jar 3,000; more push out expired ones, then those that are not secure (within a domain), then
---those sent longest ago. No cookie lives for more than 400 days.
---@class weft.http.CookieJar
local CookieJar = {}
CookieJar.__index = CookieJar
CookieJar.__name = "weft.http.CookieJar"

--- what may be set ------------------------------------------------------------

-- Without a list of public suffixes, those of one label are all that is known.
local is_public_suffix = core.is_public_suffix or function(domain)
  return not domain:find(".", 1, true)
end

local function shown(cookie)
  local copy = {}
  for name in pairs(SHOWN) do
    copy[name] = cookie[name]
  end
  return copy
end

-- Whether the name keeps what its prefix promises. A cookie without a name must not look like
-- one that has such a name.
local function keeps_prefix(cookie)
  local name = (cookie.name ~= "" and cookie.name or cookie.value):lower()
  if name:find("^__secure%-") then
    return cookie.name ~= "" and cookie.secure
  elseif name:find("^__host%-") then
    return cookie.name ~= "" and cookie.secure and cookie.host_only and cookie.path == "/"
  end
  return true
end

-- Settles whom the cookie belongs to; false if not to whom it says.
local function settle_domain(jar, place, cookie)
  local domain = cookie.domain
  if domain and jar._is_public_suffix(domain) then
    if domain ~= place.host then
      return false
    end
    domain = nil
  end
  cookie.host_only = (cookie.host_only or not domain or place.is_address) or nil
  cookie.domain = domain or place.host
  return cookiestore.domain_matches(place, cookie.domain)
end

local function settle_expiry(cookie, now)
  if cookie.max_age then
    cookie.expires = cookie.max_age > 0 and now + cookie.max_age or -math.huge
  end
  cookie.max_age = nil
  if cookie.expires then
    cookie.expires = math.min(cookie.expires, now + LIFE_MAX)
  end
end

-- Completes a parsed cookie for the place that it came from; returns why it is refused.
local function settle(jar, place, cookie, now)
  if cookie.name == "" and not jar._nameless then
    return "nameless"
  elseif not settle_domain(jar, place, cookie) then
    return "domain"
  end
  settle_expiry(cookie, now)
  cookie.path = cookie.path or cookiestore.default_path(place.path)
  return not keeps_prefix(cookie) and "prefix" or nil
end

--- the jar ------------------------------------------------------------------------

---Takes in a cookie from the value of a Set-Cookie field of a response. One that is already
---over takes away the one in whose place it would come. The reason for a refusal is "control"
---(characters), "empty", "size", "domain", "prefix", "secure" (set or shadowed without TLS) or
---"nameless".
---@param value string
---@param url string of the request
---@return boolean taken
---@return string? reason why not
function CookieJar:set_from_header(value, url)
  return self:_take(value, cookiestore.place_of(url))
end

---The same, for a place that `cookiestore.place_of` gave.
---@private
function CookieJar:_take(value, place)
  local now = self._clock()
  local cookie, reason = setcookie.parse(options.expect(value, "string", "the value"))
  if cookie then
    reason = settle(self, place, cookie, now)
    if not reason and not place.is_secure
      and (cookie.secure or cookiestore.shadows_secure(self._store, cookie)) then
      reason = "secure"
    end
  end
  if reason then
    self._rejected = self._rejected + 1
    return false, reason
  end
  cookiestore.add(self._store, cookie, now)
  return true
end

local GIVEN = { name = "string", value = "string", domain = "string", path = "string",
  expires = "number", max_age = "number", secure = "boolean", http_only = "boolean",
  same_site = "string", host_only = "boolean" }

local function refuse(cookie, why)
  errors.raise("type", ("the cookie '%s': %s"):format(tostring(cookie.name), why),
    { code = "invalid_cookie" })
end

-- A cookie that a script gives: a copy, after the same checks as the parser's.
local function given(name, fields)
  if type(fields) ~= "table" then
    fields = { value = fields }
  end
  local cookie = { name = type(name) == "string" and name or nil }
  for key, value in pairs(fields) do
    if not SHOWN[key] and not GIVEN[key] then
      options.check({ [key] = value }, GIVEN, "a cookie")
    elseif GIVEN[key] then
      cookie[key] = value
    end
  end
  if type(cookie.value) == "number" then
    cookie.value = tostring(cookie.value)
  end
  for key, kind in pairs(GIVEN) do
    if (cookie[key] ~= nil or key == "name" or key == "value") and type(cookie[key]) ~= kind then
      refuse(cookie, ("its %s must be a %s"):format(key, kind))
    elseif kind == "string" and cookie[key]
      and (cookie[key]:find(setcookie.CONTROL) or cookie[key]:find(";", 1, true)) then
      refuse(cookie, ("its %s has a character that no cookie may have"):format(key))
    end
  end
  if cookie.name:find("=", 1, true) or cookie.name == "" and cookie.value == "" then
    refuse(cookie, "it has no usable name")
  elseif #cookie.name + #cookie.value > setcookie.PAIR_MAX then
    errors.raise("limit", ("the cookie '%s' is longer than %d bytes"):format(
      cookie.name:sub(1, 64), setcookie.PAIR_MAX))
  end
  return cookie
end

local function prepare(jar, cookie, place, now)
  if cookie.path and cookie.path:sub(1, 1) ~= "/" then
    refuse(cookie, "its path must begin with /")
  end
  local domain = (cookie.domain or ""):gsub("^%.", ""):lower()
  cookie.domain = domain ~= "" and domain or nil
  if place then
    local reason = settle(jar, place, cookie, now)
    if reason then
      refuse(cookie, ("%s forbids it here"):format(reason == "nameless" and "an option of the jar"
        or "its " .. reason))
    end
    return
  end
  settle_expiry(cookie, now)
  cookie.path = cookie.path or "/"
  if cookie.domain and jar._is_public_suffix(cookie.domain) then
    cookie.host_only = true
  end
  cookie.domain = cookie.domain or ""
end

---Takes in cookies from the script: a table that maps names to values, or to tables with
---`value` and any of `domain`, `path`, `expires` (seconds since 1970), `max_age` (seconds),
---`secure`, `http_only`, `same_site`, `host_only`; or a list of such tables with `name`.
---
---With a URL they are as if set by a response to it; without, a cookie without a `domain` is sent
---to every host. Nothing is taken in when one is refused.
---
---Raises `type` (code "invalid_cookie") for one that cannot be; `limit` for one that is too long.
---@param cookies table<string, string|number|table>|table[]
---@param url string?
function CookieJar:update_cookies(cookies, url)
  local place, now = url and cookiestore.place_of(url), self._clock()
  local ready = {}
  for name, fields in pairs(options.expect(cookies, "table", "the cookies")) do
    local cookie = given(name, fields)
    prepare(self, cookie, place, now)
    ready[#ready + 1] = cookie
    cookie._given = type(name) == "number" and name or cookie.name
  end
  table.sort(ready, function(a, b) -- the same order in every run
    if type(a._given) == type(b._given) then
      return a._given < b._given
    end
    return type(a._given) == "number"
  end)
  for _, cookie in ipairs(ready) do
    cookie._given = nil
    cookiestore.add(self._store, cookie, now)
  end
end

local function is_sent_before(a, b)
  if #a.path ~= #b.path then
    return #a.path > #b.path
  elseif a.created ~= b.created then
    return a.created < b.created
  end
  return a._order < b._order
end

local function collect(jar, found, domain, place, now)
  local store = jar._store
  local bucket = store.domains[domain]
  for _, cookie in pairs(bucket and bucket.cookies or {}) do
    if cookiestore.is_expired(cookie, now) then
      cookiestore.drop(store, cookie)
      store.expired = store.expired + 1
    elseif (not cookie.host_only or domain == place.host)
      and (place.is_secure or not cookie.secure)
      and cookiestore.path_matches(place.path, cookie.path) then
      found[#found + 1] = cookie
    end
  end
end

-- The cookies for a request, in the order in which they are sent.
local function cookies_for(jar, place)
  local now = jar._clock()
  local found, domain = {}, place.host
  while domain and domain ~= "" do
    collect(jar, found, domain, place, now)
    domain = not place.is_address and domain:match("^[^.]*%.(.+)$")
  end
  collect(jar, found, "", place, now)
  table.sort(found, is_sent_before)
  for _, cookie in ipairs(found) do
    cookiestore.touch(jar._store, cookie, now)
  end
  return found
end

---The value of the Cookie field for a request.
---@param url string
---@return string? nil if there is none to send
function CookieJar:header_for(url)
  local found = cookies_for(self, cookiestore.place_of(url))
  for i, cookie in ipairs(found) do
    found[i] = (cookie.name ~= "" and cookie.name .. "=" or "") .. cookie.value
  end
  return found[1] and table.concat(found, "; ") or nil
end

---True while there is nothing in it.
---@private
function CookieJar:_is_empty()
  return self._store.count == 0
end

---The cookies for a request of a session, in order. Of those for every host, which a script has
---given, it has those whose names the host has not set itself; none for a place to which a
---redirect leads from another host.
---@private
---@return weft.http.Cookie[]
function CookieJar:_list_for(place, is_foreign)
  local found, named, list = cookies_for(self, place), {}, {}
  for _, cookie in ipairs(found) do
    named[cookie.name] = named[cookie.name] or cookie.domain ~= ""
  end
  for _, cookie in ipairs(found) do
    if cookie.domain ~= "" or not (is_foreign or named[cookie.name]) then
      list[#list + 1] = cookie
    end
  end
  return list
end

---The cookies that would go with a request: names and values. Of two with one name it has the
---one that is sent first, which is that of the longer path.
---@param url string
---@return table<string, string>
function CookieJar:filter_cookies(url)
  local values = {}
  for _, cookie in ipairs(cookies_for(self, cookiestore.place_of(url))) do
    if values[cookie.name] == nil then
      values[cookie.name] = cookie.value
    end
  end
  return values
end

-- Those that are not expired, from the oldest on.
local function all(jar)
  local list, now = {}, jar._clock()
  for _, bucket in pairs(jar._store.domains) do
    cookiestore.drop_expired(jar._store, bucket, now)
    for _, cookie in pairs(bucket.cookies) do
      list[#list + 1] = cookie
    end
  end
  table.sort(list, function(a, b)
    return a._order < b._order
  end)
  return list
end

---Iterates over the cookies, those that came first before the others. The jar may be changed
---meanwhile.
---
---    for cookie in jar:iter() do print(cookie.name, cookie.value) end
---
---@return fun(): weft.http.Cookie?
function CookieJar:iter()
  local list, i = all(self), 0
  return function()
    i = i + 1
    return list[i] and shown(list[i])
  end
end

---Removes all cookies, or those for which `predicate` is true.
---@param predicate (fun(cookie: weft.http.Cookie): any)?
---@return integer count how many were removed
function CookieJar:clear(predicate)
  local count = 0
  for _, cookie in ipairs(all(self)) do
    if not predicate or predicate(shown(cookie)) then
      if cookiestore.drop(self._store, cookie) then
        count = count + 1
      end
    end
  end
  return count
end

---Removes the cookies of a domain and of the hosts below it.
---@param domain string
---@return integer count how many were removed
function CookieJar:clear_domain(domain)
  domain = options.expect(domain, "string", "the domain"):lower()
  return self:clear(function(cookie)
    return cookiestore.domain_matches({ host = cookie.domain }, domain)
  end)
end

---Counts: `cookies` and `domains` in the jar; since it was made, `stored`, `rejected` (what
---servers may not set), `expired` and `evicted` (pushed out by a limit).
---@return table<string, integer>
function CookieJar:statistics()
  local store, domains = self._store, 0
  for _ in pairs(store.domains) do
    domains = domains + 1
  end
  return { cookies = store.count, domains = domains, stored = store.stored,
    rejected = self._rejected, expired = store.expired, evicted = store.evicted }
end

--- files --------------------------------------------------------------------------

-- The numbers are the same wherever libuv runs, but on Windows.
local CODES = { [1] = "EPERM", [2] = "ENOENT", [5] = "EIO", [13] = "EACCES", [20] = "ENOTDIR",
  [21] = "EISDIR", [24] = "EMFILE", [28] = "ENOSPC", [30] = "EROFS" }

local function refuse_file(path, message, number)
  errors.raise("os", message, { path = path, code = CODES[number] })
end

-- Outside of tasks nothing holds up, and nothing can wait.
local function write_plainly(path, text)
  local new = path .. ".new"
  local file, message, number = io.open(new, "wb")
  if not file then
    refuse_file(path, message, number)
  end
  local ok
  ok, message, number = file:write(text)
  local closed, close_message, close_number = file:close()
  if ok and closed then
    ok, message, number = os.rename(new, path)
  else
    message, number = message or close_message, number or close_number
  end
  if not (ok and closed) then
    os.remove(new)
    refuse_file(path, message, number)
  end
end

local function read_plainly(path)
  local file, message, number = io.open(path, "rb")
  if not file then
    refuse_file(path, message, number)
  end
  local text
  text, message, number = file:read(FILE_MAX + 1)
  file:close()
  if message then
    refuse_file(path, message, number)
  elseif #(text or "") > FILE_MAX then
    errors.raise("limit", ("%s has more than %d bytes"):format(path, FILE_MAX), { path = path })
  end
  return text or ""
end

local FILE_OPTIONS = { format = "string", session = "boolean" }

---Writes the cookies into a file, as JSON, or as Netscape's cookies.txt (of curl and wget) if the
---path ends with `.txt`. In a task the work is done on a thread, and whoever reads the file finds
---the old or the new one, whole; outside of tasks it is done at once. A cookies.txt has no room
---for cookies that are sent to every host, nor for names with a TAB: they are left out. So are,
---with `session = false`, those that end with the session.
---
---Raises `os`; `cancelled`; `state` (code "no_cjson") if JSON is asked for and lua-cjson is not
---installed.
---@async
---@param path string
---@param opts {format: string?, session: boolean?}? `format`: "json" or "netscape"
---@return integer count how many were written
function CookieJar:save(path, opts)
  options.expect(path, "string", "the path")
  opts = options.check(opts, FILE_OPTIONS, "save")
  local list = {}
  for cookie in self:iter() do
    if cookie.expires or opts.session ~= false then
      list[#list + 1] = cookie
    end
  end
  local text, count = cookiefile.write(cookiefile.format(opts.format, path), list)
  if core.in_task() then
    fs.write_atomic(path, text, { perms = FILE_PERMS })
  else
    write_plainly(path, text)
  end
  return count
end

---Adds the cookies of a file that `cookie_jar:save` or another program wrote; those that are
---over are left out. Nothing is added when the file is not in order. It can be called outside
---of tasks too.
---
---Raises `decode` (code "invalid_cookie_file"), naming the place; `limit` for a file of more
---than 64 MiB; `os`; `cancelled`; `state` as `cookie_jar:save`.
---@async
---@param path string
---@param opts {format: string?}? "json" or "netscape"
---@return integer count how many were added
function CookieJar:load(path, opts)
  options.expect(path, "string", "the path")
  opts = options.check(opts, { format = "string" }, "load")
  local format = cookiefile.format(opts.format, path)
  local text = core.in_task() and fs.read_file(path, FILE_MAX) or read_plainly(path)
  local now, count = self._clock(), 0
  for _, cookie in ipairs(cookiefile.read(format, text, path)) do
    settle_expiry(cookie, now)
    if not cookiestore.is_expired(cookie, now) then
      cookiestore.add(self._store, cookie, now)
      count = count + 1
    end
  end
  return count
end

function CookieJar:__tostring()
  return ("CookieJar<%d cookies>"):format(self._store.count)
end

---The HTTP client.
---@class weft.http
local M = { CookieJar = CookieJar }

local JAR_OPTIONS = { clock = "function", nameless = "boolean", is_public_suffix = "function" }

---Makes an empty jar. Options: `clock`, a function that returns the seconds since 1970 (default
---`os.time`); `nameless = false` refuses cookies without a name, which browsers take;
---`is_public_suffix`, a function that tells whether no cookie may be set for a domain (default:
---the list that libpsl has; where weft was built without libpsl, names of one label).
---@param opts table?
---@return weft.http.CookieJar
function M.cookie_jar(opts)
  opts = options.check(opts, JAR_OPTIONS, "cookie_jar")
  return setmetatable({
    _clock = options.callable(opts.clock or os.time, "clock"),
    _nameless = opts.nameless ~= false,
    _is_public_suffix = options.callable(opts.is_public_suffix or is_public_suffix,
      "is_public_suffix"),
    _store = cookiestore.new(),
    _rejected = 0,
  }, CookieJar)
end

return M
