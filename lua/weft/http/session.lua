-- SPDX-License-Identifier: MIT
-- weft.http.session: what all requests of a script have in common: options, cookies, connections.
--
-- Owns: the class Session, its jar and its transport, and the session of each loop for requests
-- of which there is only one.
-- Must not know: how a request is made (weft.http.request) and sent (weft.http.exchange).
-- Invariant: once it is closed, nothing is sent any more, and no connection is open.

local addresses = require "weft.http.address"
local cookies = require "weft.http.cookies"
local core = require "weft.core"
local errors = require "weft.error"
local exchange = require "weft.http.exchange"
local guard = require "weft.http.guard"
local loops = require "weft.loop"
local netrc = require "weft.http.netrc"
local network = require "weft.http.network"
local options = require "weft.options"
local quick = require "weft.http.quick"
local requestfields = require "weft.http.requestfields"
local settings = require "weft.http.settings"
local transports = require "weft.http.transport"
local weft = require "weft"

---@class weft.http
local M = {}

-- Who a request comes from, if the script does not say.
local USER_AGENT = "weft/" .. weft._VERSION:match("^%d+%.%d+")

---Options of `weft.http.session`. Those without "session only" can be given to a request, too,
---where they come before the session's; false takes an option of the session back.
---@class weft.http.SessionOptions
---@field base_url (string | weft.url.URL)? what URLs are relative to; ends with "/"; session only
---@field headers (table | weft.http.Headers)? false in place of a value takes one away
---@field cookies table<string, string>? for the jar, to be sent to every host
---@field cookie_jar (weft.http.CookieJar | false)? default: a new one; false: none; session only
---@field auth any `http.basic_auth` or the like, or a function; with a `base_url` for its origin
---@field timeout (number | weft.http.Timeouts | false)? seconds: a number is the total
---@field limit integer? connections at once, default 100; 0 is no limit; session only
---@field limit_per_host integer? default 0, no limit; session only
---@field keepalive_timeout number? seconds that a connection is kept; default 15; session only
---@field force_close boolean? close each connection after its response, and say so before
---@field dns_cache_ttl number? seconds; session only
---@field resolver any session only
---@field family string? "inet" or "inet6"; session only
---@field local_addr any session only
---@field path string? of a Unix socket to which all requests go; session only
---@field proxy (string | weft.url.URL | false)? http, https, socks4, socks4a, socks5, socks5h
---@field proxy_auth any as `auth`
---@field proxy_headers (table | weft.http.Headers)? for the CONNECT
---@field proxy_tls (table | weft.TLSContext)? for a TLS proxy; default: `tls`
---@field trust_env boolean? take proxies from the environment, and passwords from ~/.netrc
---@field tls (table | weft.TLSContext)? options of `weft.tls.context`, or a context
---@field server_hostname string? whom the certificate must name, in place of the URL's host
---@field allow_redirects boolean? default true
---@field max_redirects integer? default 10
---@field allow_downgrade boolean? follow redirects from https to http; default false
---@field auto_decompress boolean? default true
---@field max_line_size integer? of a status line, bytes; default 16 KiB
---@field max_field_size integer? of a header field, bytes; default 32 KiB
---@field max_fields integer? default 256
---@field max_head_size integer? bytes; default 128 KiB
---@field max_informational integer? responses before the final one; default 16
---@field max_body_size integer? what `read` collects, bytes; default 1 GiB
---@field raise_for_status (boolean | fun(response: weft.http.Response))? for each response
---@field user_agent (string | false)? session only
---@field skip_auto_headers string[]? headers that are sent only if the script gives them
---@field retry (boolean | integer | weft.http.Retry)? default: none
---@field trace (weft.http.Trace | weft.http.Trace[])?
---@field middlewares weft.http.Middleware[]? functions around each request
---@field transport function? takes the place of the network; session only
---@field fallback_encoding string? of text that names none; default "utf-8"
---@field compress (boolean | string)? of request bodies: true ("deflate"), "gzip", "deflate"
---@field expect100 boolean? wait for "100 Continue" before a body is sent
---@field expect_timeout number? seconds that this waits; default 1
---@field read_until_eof boolean? false: a body without a length is taken for none; default true
local SessionOptions = {} -- luacheck: ignore 211

---A function around each request: `next(request)` sends it, and returns the response; it may be
---called several times, or not at all. What is returned is a response, or a `weft.http.Answer`.
---@alias weft.http.Middleware async fun(request: weft.http.Request, next: function): table

---Options of a request, beside those of `weft.http.SessionOptions`.
---@class weft.http.RequestOptions: weft.http.SessionOptions
---@field params (table | string)? parameters, added to the URL's query
---@field data any the body: a string, a form, a file, a stream, a function: see the page on bodies
---@field json any the body, as JSON
---@field cookies table<string, string>? for this request, beside those of the jar
---@field trailers (table | weft.http.Headers)? fields to be sent behind the body
---@field upgrade boolean? allow a 101, as the header Upgrade does; see `response:detach`
---@field on_informational fun(status: integer, headers: weft.http.Headers)?
---@field trace_request_ctx any for hooks
local RequestOptions = {} -- luacheck: ignore 211

---Makes requests that have options, cookies and connections in common. Made by
---`weft.http.session`.
---@class weft.http.Session
---@field cookie_jar weft.http.CookieJar | false
---@field closed boolean
local Session = {}
Session.__index = Session
Session.__name = "weft.http.Session"

--- making ---------------------------------------------------------------------------------

-- What a client says of itself that a script need not.
local function default_headers()
  return { { "Accept", "*/*" }, { "Accept-Encoding", core.coding_names() },
    { "User-Agent", USER_AGENT } }
end

local NETWORK = { "limit", "limit_per_host", "keepalive_timeout", "dns_cache_ttl", "resolver",
  "family", "local_addr", "path" }

local function make_network(made)
  local opts = {}
  for _, name in ipairs(NETWORK) do
    opts[name] = made[name] or nil
  end
  return network.new(opts)
end

local function jar_of(made)
  if made.cookie_jar == false then
    if made.cookies then
      errors.raise("type", "session: cookies need a cookie_jar, which is false")
    end
    return false
  end
  local jar = made.cookie_jar or cookies.cookie_jar()
  if made.cookies then
    jar:update_cookies(made.cookies)
  end
  return jar
end

local function check_base(url)
  if url and url.path:sub(-1) ~= "/" then
    errors.raise("type", ("session: base_url must end with '/', or the last part of '%s' would be "
      .. "replaced"):format(url.path), { code = "invalid_url", url = url.href })
  end
  return url and addresses.of(url) -- raises for what is no http
end

---Makes a session. It belongs to the loop in which it is used first.
---
---Raises `type` for options that there are not, or that cannot be.
---
---```lua
---local session = http.session { base_url = site .. "/", timeout = 30,
---  headers = { ["X-Api-Key"] = "secret" } }
---for _, book in ipairs(session:get("books", { params = { page = 3 } }):json().books) do
---  print(book.title) --> The War of the Worlds
---end
---session:close()
---```
---@param opts weft.http.SessionOptions?
---@return weft.http.Session
function M.session(opts)
  local made = settings.of_session(opts)
  check_base(made.base_url)
  local self = setmetatable({ cookie_jar = jar_of(made), closed = false, _settings = made,
    _addresses = addresses.cache(), _fields = requestfields.defaults(default_headers(), made),
    _redirects = 0, _retries = 0 }, Session)
  self._own_cookie = self._fields:get("cookie")
  local function connect()
    return make_network(made)
  end
  self._transport = made.transport and transports.of(made.transport, connect) or connect()
  self._guard = guard.new(self._transport)
  self._quick = quick.of(self)
  return self
end

--- requests -------------------------------------------------------------------------------

---Makes a request, and returns as soon as the head of the response is there.
---
---Raises `type` for what cannot be requested (codes "invalid_method", "invalid_url",
---"invalid_header", "invalid_cookie", …); `dns`, `connection`, `tls`, `proxy`, `protocol`,
---`timeout`, `limit`, with `url`, `method` and `phase`; `redirect`; `http` with
---`raise_for_status`; `closed`; `cancelled`.
---@async
---@param method string
---@param url string | weft.url.URL
---@param opts weft.http.RequestOptions?
---@return weft.http.Response
function Session:request(method, url, opts)
  local now = core.task_time()
  if self.closed then
    errors.raise("closed", "the session is closed")
  elseif not now then
    errors.raise("state", "requests can be made in tasks only: see weft.run")
  end
  return exchange.run(self, quick.new(self, method, url, opts), now)
end

---Asks for what is at a URL: `session:request` with the method GET.
---
---Raises as `session:request`.
---@async
---@param url string | weft.url.URL
---@param opts weft.http.RequestOptions?
---@return weft.http.Response
function Session:get(url, opts)
  return self:request("GET", url, opts)
end

---Sends something to a URL: `session:request` with the method POST.
---
---Raises as `session:request`.
---@async
---@param url string | weft.url.URL
---@param opts weft.http.RequestOptions?
---@return weft.http.Response
function Session:post(url, opts)
  return self:request("POST", url, opts)
end

---Sends what shall be at a URL: `session:request` with the method PUT.
---
---Raises as `session:request`.
---@async
---@param url string | weft.url.URL
---@param opts weft.http.RequestOptions?
---@return weft.http.Response
function Session:put(url, opts)
  return self:request("PUT", url, opts)
end

---Sends changes of what is at a URL: `session:request` with the method PATCH.
---
---Raises as `session:request`.
---@async
---@param url string | weft.url.URL
---@param opts weft.http.RequestOptions?
---@return weft.http.Response
function Session:patch(url, opts)
  return self:request("PATCH", url, opts)
end

---Asks to remove what is at a URL: `session:request` with the method DELETE.
---
---Raises as `session:request`.
---@async
---@param url string | weft.url.URL
---@param opts weft.http.RequestOptions?
---@return weft.http.Response
function Session:delete(url, opts)
  return self:request("DELETE", url, opts)
end

---Asks what may be done with a URL: `session:request` with the method OPTIONS.
---
---Raises as `session:request`.
---@async
---@param url string | weft.url.URL
---@param opts weft.http.RequestOptions?
---@return weft.http.Response
function Session:options(url, opts)
  return self:request("OPTIONS", url, opts)
end

---Asks for the head alone: `session:request` with the method HEAD; as aiohttp's, it follows no
---redirects unless told to.
---
---Raises as `session:request`.
---@async
---@param url string | weft.url.URL
---@param opts weft.http.RequestOptions?
---@return weft.http.Response
function Session:head(url, opts)
  if opts == nil then
    opts = { allow_redirects = false }
  elseif type(opts) == "table" and opts.allow_redirects == nil then
    local copy = { allow_redirects = false }
    for name, value in pairs(opts) do
      copy[name] = value
    end
    opts = copy
  end
  return self:request("HEAD", url, opts)
end

-- For weft.http.download: a request that was made of another one.
function Session:_run(request)
  if self.closed then
    errors.raise("closed", "the session is closed")
  end
  return exchange.run(self, request)
end

-- Another attempt will be made after `pause` seconds.
function Session:_retried(request, e, attempt, pause, status)
  self._retries = self._retries + 1
  if request.trace then
    request.trace("retry", { exception = e, attempt = attempt, delay = pause, status = status })
  end
end

-- What ~/.netrc has for a host. It is read once.
function Session:_netrc_auth(hostname)
  if not self._netrc then
    self._netrc = netrc.load()
  end
  return self._netrc:find(hostname)
end

--- the rest -------------------------------------------------------------------------------

---Counts: connections `open`, `idle`, `in_use`, tasks `waiting` for one; since it was made,
---`requests`, those on a connection that was `reused`, `retries`, `redirects`, `bytes_sent`,
---`bytes_received`.
---@return table<string, integer>
function Session:statistics()
  local counts = self._transport:statistics()
  counts.redirects, counts.retries = self._redirects, (counts.retries or 0) + self._retries
  return counts
end

---Closes all connections, also those on which a response is being read. Idempotent.
function Session:close()
  if not self.closed then
    self.closed = true
    guard.disarm(self._guard)
    self._transport:close()
  end
end

Session.__close = Session.close

local function closed(self, ok, ...)
  self:close()
  if not ok then
    error((...), 0)
  end
  return ...
end

---Calls `fn(session, ...)` and closes the session on return, error and cancellation alike.
---
---Raises what `fn` raised.
---@async
---@param fn async fun(session: weft.http.Session, ...): ...
---@param ... any
---@return any ... the results of fn
function Session:with(fn, ...)
  options.callable(fn, "the function")
  return closed(self, errors.guarded(fn, self, ...))
end

function Session:__tostring()
  if self.closed then
    return "Session<closed>"
  end
  local counts = self._transport:statistics()
  return ("Session<open connections=%d in_use=%d>"):format(counts.open, counts.in_use)
end

--- one request -------------------------------------------------------------------------------

-- The session of the running loop. Its connections are kept for the next call, cookies are not.
local function loop_session()
  if not core.in_task() then
    errors.raise("state", "requests can be made in tasks only: see weft.run")
  end
  local loop = core.running_loop()
  local root = core.loop_root(loop)
  local session = root.http_session
  if not session or session.closed then
    session = M.session({ cookie_jar = false })
    root.http_session = session
    loops._at_close(loop, function()
      session:close()
    end)
  end
  return session
end

---Makes one request, on a session of the running loop that is closed with it, and that keeps no
---cookies from one call to the next.
---
---Raises as `session:request`.
---
---```lua
---print(http.request("GET", site .. "/page/1").status) --> 200
---```
---@async
---@param method string
---@param url string | weft.url.URL
---@param opts weft.http.RequestOptions?
---@return weft.http.Response
function M.request(method, url, opts)
  local session = loop_session()
  local copy = {}
  for name, value in pairs(options.expect(opts == nil and {} or opts, "table", "the options")) do
    copy[name] = value
  end
  if copy.cookie_jar == nil then
    copy.cookie_jar = cookies.cookie_jar()
  end
  if type(method) == "string" and method:upper() == "HEAD" and copy.allow_redirects == nil then
    copy.allow_redirects = false
  end
  return session:request(method, url, copy)
end

---Asks for what is at a URL: `weft.http.request` with the method GET.
---
---Raises as `session:request`.
---@async
---@param url string | weft.url.URL
---@param opts weft.http.RequestOptions?
---@return weft.http.Response
function M.get(url, opts)
  return M.request("GET", url, opts)
end

---Sends something to a URL: `weft.http.request` with the method POST.
---
---Raises as `session:request`.
---@async
---@param url string | weft.url.URL
---@param opts weft.http.RequestOptions?
---@return weft.http.Response
function M.post(url, opts)
  return M.request("POST", url, opts)
end

---Sends what shall be at a URL: `weft.http.request` with the method PUT.
---
---Raises as `session:request`.
---@async
---@param url string | weft.url.URL
---@param opts weft.http.RequestOptions?
---@return weft.http.Response
function M.put(url, opts)
  return M.request("PUT", url, opts)
end

---Sends changes of what is at a URL: `weft.http.request` with the method PATCH.
---
---Raises as `session:request`.
---@async
---@param url string | weft.url.URL
---@param opts weft.http.RequestOptions?
---@return weft.http.Response
function M.patch(url, opts)
  return M.request("PATCH", url, opts)
end

---Asks to remove what is at a URL: `weft.http.request` with the method DELETE.
---
---Raises as `session:request`.
---@async
---@param url string | weft.url.URL
---@param opts weft.http.RequestOptions?
---@return weft.http.Response
function M.delete(url, opts)
  return M.request("DELETE", url, opts)
end

---Asks for the head alone: `weft.http.request` with the method HEAD.
---
---Raises as `session:request`.
---@async
---@param url string | weft.url.URL
---@param opts weft.http.RequestOptions?
---@return weft.http.Response
function M.head(url, opts)
  return M.request("HEAD", url, opts)
end

---Asks what may be done with a URL: `weft.http.request` with the method OPTIONS.
---
---Raises as `session:request`.
---@async
---@param url string | weft.url.URL
---@param opts weft.http.RequestOptions?
---@return weft.http.Response
function M.options(url, opts)
  return M.request("OPTIONS", url, opts)
end

return M
