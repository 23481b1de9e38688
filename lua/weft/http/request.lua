-- SPDX-License-Identifier: MIT
-- weft.http.request: a request as it is sent: made of what a script asked for, and changed by
-- redirects.
--
-- Owns: the order in which credentials come before each other, and what a redirect takes along.
-- Must not know: connections, or what comes of the request.
-- Invariant: what `message` has can be sent: method and fields are checked, Host is there, and
-- nothing in it frames the body.

local addresses = require "weft.http.address"
local auths = require "weft.http.auth"
local bodies = require "weft.http.body"
local environ = require "weft.http.environ"
local errors = require "weft.error"
local fields = require "weft.http.fields"
local options = require "weft.options"
local requestcookies = require "weft.http.requestcookies"
local requestfields = require "weft.http.requestfields"
local settings = require "weft.http.settings"
local urls = require "weft.url"

local override, take_framing = requestfields.override, requestfields.take_framing
local refuse_header = requestfields.refuse

local M = {}

---A request that is about to be sent, as middlewares and auth functions get it. They may change
---`method`, `url`, `headers` and `body`.
---@class weft.http.Request
---@field method string
---@field url weft.url.URL where it goes, without credentials; a string is taken too
---@field headers weft.http.Headers
---@field body (string | string[] | async fun(): string?)? a function gives piece after piece
---@field message table what goes over the wire: for weft's own files
local Request = {}
Request.__index = Request
Request.__name = "weft.http.Request"

function Request:__tostring()
  return ("Request<%s %s>"):format(self.method, tostring(self.url))
end

--- methods --------------------------------------------------------------------------------

-- Those that may be given in lower case; whether they may be repeated (RFC 9110, 9.2.2).
local KNOWN = { GET = true, HEAD = true, OPTIONS = true, TRACE = true, PUT = true, DELETE = true,
  POST = false, PATCH = false }

-- Requests that have a body, be it empty, so that servers need not wonder.
local WITH_BODY = { POST = true, PUT = true, PATCH = true }

local function check_method(method)
  if KNOWN[method] ~= nil then
    return method
  end
  options.expect(method, "string", "the method")
  local upper = method:upper()
  if KNOWN[upper] ~= nil then
    return upper
  elseif not method:find("^[%w!#$%%&'*+%-.^_`|~]+$") or upper == "CONNECT" then
    errors.raise("type", ("invalid method %s: %s"):format(("%q"):format(method:sub(1, 60))
      :gsub("\\\n", "\\n"), upper == "CONNECT" and "tunnels are made by the option 'proxy'"
      or "it must be a word of letters, digits and !#$%&'*+-.^_`|~"), { code = "invalid_method" })
  end
  return method
end

--- the body -----------------------------------------------------------------------------------

local function size_of(body)
  if type(body) == "string" then
    return #body
  elseif type(body) == "table" then
    local size = 0
    for _, piece in ipairs(body) do
      size = size + #piece
    end
    return size
  end
  return body == nil and 0 or nil
end

-- Puts a body into the message; `length` is what the script says of it.
local function set_body(self, body, length, given)
  local message = self.message
  local size = size_of(body) or length
  if given and size and given ~= size then
    refuse_header("Content-Length", ("it is %d, and the body has %d bytes"):format(given, size))
  end
  if body == nil and WITH_BODY[self.method] then
    body = ""
  end
  self.body, message.body, message.length = body, body, size or given
  self.is_replayable = type(body) ~= "function"
end

-- Lets a body that is streamed be sent once more, if there is a way.
local function set_rewind(self)
  local prepared = self.prepared
  if type(self.body) ~= "function" or not prepared.is_replayable then
    return
  end
  self.is_replayable, self.source = true, self.body
  function self.rewind()
    local body = prepared.rewind()
    self.body, self.message.body, self.source = body, body, body
    return body
  end
end

local function set_default(self, name, value)
  local skip = self.settings.skip_auto_headers
  if value and not self.headers:has(name) and not (skip and skip[name:lower()]) then
    self.headers:set(name, value)
  end
end

local function prepare_body(self, opts, given)
  local prepared = bodies.prepare({ data = opts.data, json = opts.json,
    compress = self.settings.compress or nil }, self.headers)
  self.prepared = prepared
  set_default(self, "Content-Type", prepared.content_type)
  if prepared.content_encoding then
    self.headers:set("Content-Encoding", prepared.content_encoding)
  end
  local ok, e = pcall(set_body, self, prepared.body, prepared.length, given)
  if not ok then
    self:close_body()
    error(e, 0)
  end
  set_rewind(self)
  self.message.expect_continue = self.settings.expect100 and true or nil
end

---True if it can be sent once more.
---@private
function Request:can_repeat()
  return type(self.body) ~= "function" or self.rewind ~= nil and self.body == self.source
end

---Makes its body ready to be sent once more.
---@private
function Request:reset_body()
  if type(self.body) == "function" and self.rewind then
    self.rewind()
  end
end

---Ends what its body holds, a file, say.
---@private
function Request:close_body()
  local prepared = self.prepared
  if prepared and prepared.close then
    prepared.close()
  end
end

--- credentials and proxies ------------------------------------------------------------------

-- Whose credentials go along: what the request says, the URL, the session (for its base URL, if
-- it has one), the netrc file.
local function auth_for(self)
  local made, address = self.settings, self.address
  if self.own_auth ~= nil then
    return self.own_auth or nil
  elseif self.headers:has("authorization") then
    return nil
  elseif address.auth then
    return address.auth
  elseif made.auth and not self.is_cross_origin
    and (not made.base_url or made.base_url.origin == address.origin) then
    return made.auth
  elseif made.auth == nil and made.trust_env then
    return self.session:_netrc_auth(address.hostname)
  end
  return nil
end

local function proxy_auth(made, url)
  local auth = made.proxy_auth
  if auth then
    local stub = { method = "GET", url = url, message = { fields = fields.new() } }
    auth:apply(stub)
    return stub.message.fields:get("authorization")
  elseif url.username ~= "" or url.password ~= "" then
    return auths.from_url(url):encode()
  end
end

local function proxy_for(self)
  local made = self.settings
  local url = made.proxy
  if url == nil and made.trust_env then
    url = environ.proxy_for(self.address.url)
    url = type(url) == "string" and urls.parse(url) or url
  end
  if not url then
    return nil
  end
  return { url = url, auth = proxy_auth(made, url), tls = made.proxy_tls or made.tls or nil,
    headers = made.proxy_headers or nil }
end

-- Points the request at its address.
local function aim(self)
  local made = self.settings
  self.url = self.address.url
  if self.jar or self.cookies then
    requestcookies.set(self)
  end
  if made.auth or self.own_auth ~= nil or made.trust_env or self.address.auth then
    self.auth = auth_for(self)
  end
  if made.proxy or made.trust_env then
    self.proxy = proxy_for(self)
  end
end

-- Middlewares change the fields of one request, not those of the ones that it is redirected to.
local function keep_pristine(self)
  if self.settings.middlewares then
    self.pristine = self.headers:copy()
  end
end

--- making ----------------------------------------------------------------------------------

local NO_OPTIONS = {}

local function with_params(url, params)
  if type(params) == "table" then
    params = urls.encode_query(params)
  end
  options.expect(params, "string", "params")
  local query = url.query or ""
  if params == "" then
    return url
  end
  return url:with_query(query ~= "" and query .. "&" .. params or params)
end

-- Where a request goes. URLs that a script can get hold of, and change, are not the cache's.
local function address_of(session, text, made, opts)
  local base = session._settings.base_url
  if not made.middlewares and type(text) == "string" and not opts.params then
    return addresses.find(session._addresses, text, base)
  elseif not opts.params then
    return addresses.parse(text, base)
  end
  return addresses.of(with_params(urls.parse(text, base), opts.params))
end

local function apply_options(self, opts)
  local list = self.headers
  local made = self.settings
  local skip = rawget(made, "skip_auto_headers")
  if skip then
    for name in pairs(skip) do
      list:remove(name)
    end
  end
  if opts.headers then
    override(list, opts.headers)
    if not list:has("host") then
      list:set("Host", self.address.host)
    end
  end
  self.own_auth = rawget(made, "auth")
  if self.own_auth and opts.headers
    and requestfields.gives(opts.headers, "authorization") then
    errors.raise("type", "the header Authorization and the option 'auth' exclude each other",
      { code = "invalid_auth" })
  elseif self.own_auth then
    list:remove("authorization")
  end
  self.cookies = opts.cookies and requestcookies.given(opts.cookies) or nil
  self.trace_request_ctx = opts.trace_request_ctx
  self.message.trailers = opts.trailers and fields.new(opts.trailers) or nil
end

-- What all requests have. What is set later has its place from the start: a table that grows costs
-- more than all the rest here.
local function bare(session, made, method, address)
  local headers = requestfields.initial(session, address)
  return setmetatable({ method = method, url = address.url, headers = headers,
    message = { method = method, fields = headers, target = "" }, settings = made,
    address = address, timeouts = made.timeouts, options = made.wire, tls = made.tls,
    tls_key = made.tls_key, server_hostname = made.server_hostname, is_replayable = true,
    is_idempotent = KNOWN[method] or false, jar = session.cookie_jar, session = session,
    own_cookie = session._own_cookie, phase = "pool", started = false, deadline = false,
    total = false, response = false, connection = false }, Request)
end

-- Says to the server what will become of the connection.
local function announce_close(self)
  if self.settings.force_close and not self.headers:has("connection") then
    self.headers:set("Connection", "close")
  end
end

-- A request without options, which most are.
local function plain(session, method, text)
  local made = session._settings
  if KNOWN[method] == nil then
    method = check_method(method)
  end
  local address = address_of(session, text, made, NO_OPTIONS)
  local self = bare(session, made, method, address)
  if WITH_BODY[method] then
    self.body, self.message.body, self.message.length = "", "", 0
  end
  announce_close(self)
  aim(self)
  keep_pristine(self)
  return self
end

---Makes a request of a session.
---
---Raises `type` (codes "invalid_method", "invalid_url", "invalid_header", "invalid_cookie",
---"unknown_option", …) for what cannot be requested.
---@private
---@param session weft.http.Session
---@param method string
---@param text string | weft.url.URL
---@param opts table?
---@return weft.http.Request
function M.new(session, method, text, opts)
  if opts == nil then
    return plain(session, method, text)
  end
  local made = settings.of_request(session._settings, opts)
  method = check_method(method)
  local self = bare(session, made, method, address_of(session, text, made, opts))
  local headers = self.headers
  apply_options(self, opts)
  announce_close(self)
  if opts.cookie_jar ~= nil then
    self.jar = opts.cookie_jar
  end
  self.own_cookie = headers:get("cookie")
  aim(self)
  local given = take_framing(headers)
  if opts.data ~= nil or opts.json ~= nil then
    prepare_body(self, opts, given)
  else
    set_body(self, nil, nil, given)
  end
  keep_pristine(self)
  return self
end

--- changes --------------------------------------------------------------------------------

---Takes over what a middleware may have changed.
---
---Raises `type`.
---@private
function Request:settle()
  local message = self.message
  if type(self.url) == "string" or self.url.href ~= self.address.real_href then
    local before = self.address.host
    self.address = addresses.parse(self.url)
    self.url = self.address.url
    if self.headers.host == before then
      self.headers:set("Host", self.address.host)
    end
  end
  if not fields.is(self.headers) then
    self.headers = fields.new(self.headers)
  end
  self.method = check_method(self.method)
  self.is_idempotent = KNOWN[self.method] or false
  message.method, message.fields = self.method, self.headers
  local given = take_framing(self.headers)
  if self.body ~= message.body then
    self.rewind = nil
    set_body(self, self.body, nil, given)
  end
end

-- What describes a body, and goes with it; then what a script says to one origin alone.
local OF_BODY = { "Content-Type", "Content-Encoding", "Content-Language", "Content-Location",
  "Content-Disposition", "Content-MD5", "Digest", "Expect" }
local OF_ORIGIN = { "Authorization", "Cookie", "Proxy-Authorization", "Host" }

local function drop(list, names)
  for _, name in ipairs(names) do
    list:remove(name)
  end
end

local function drop_body(self)
  self:close_body()
  drop(self.headers, OF_BODY)
  self.prepared, self.rewind, self.source = nil, nil, nil
  self.message.expect_continue, self.message.trailers = nil, nil
  set_body(self, nil)
end

-- Nothing that was meant for one origin goes to another one, nor comes back from there.
local function leave_origin(self, address)
  drop(self.headers, OF_ORIGIN)
  self.own_cookie, self.is_cross_origin = nil, true
  if self.own_auth then
    self.own_auth = nil
  end
  if address.hostname ~= self.address.hostname then
    self.is_foreign, self.cookies, self.server_hostname = true, nil, nil
  elseif not address.is_secure and self.address.is_secure then
    self.cookies = nil -- what was said in secret stays so
  end
end

---Makes header fields and a message its own that it shares with others (see weft.http.quick):
---before it is changed.
---@private
function Request:own()
  if self.is_shared then
    self.is_shared = false
    self.headers = self.headers:copy()
    self.message = { method = self.method, fields = self.headers, length = self.message.length }
  end
end

---Turns it into the request that a redirect asks for.
---@private
---@param address table
---@param method string
---@param keeps_body boolean
function Request:redirect(address, method, keeps_body)
  self:own()
  self.headers = self.pristine or self.headers
  self.message.fields = self.headers
  self.method, self.message.method = method, method
  self.is_idempotent = KNOWN[method] or false
  if self.auth then
    self.headers:remove("authorization")
    self.auth = nil
  end
  if address.origin ~= self.address.origin then
    leave_origin(self, address)
  end
  if not keeps_body then
    drop_body(self)
  else
    self:reset_body()
  end
  if self.own_cookie then
    self.headers:set("Cookie", self.own_cookie)
  else
    self.headers:remove("cookie")
  end
  if address.host ~= self.address.host or not self.headers:has("host") then
    self.headers:set("Host", address.host)
  end
  self.address, self.auth_state = address, nil
  aim(self)
  keep_pristine(self)
end

---Says in an error object, if it is one, whose it is; returns it.
---@private
function Request:blame(e)
  if errors.is_error(e) and e.kind ~= "cancelled" then
    e.url, e.method = e.url or self.address.href, e.method or self.method
  end
  return e
end

---The same request once more, with other header fields besides: for the rest of a download.
---@private
---@param headers table<string, string>
function Request:again(headers)
  local made = setmetatable({}, getmetatable(self))
  for key, value in pairs(self) do
    made[key] = value
  end
  made.headers, made.is_shared = self.headers:copy(), false
  override(made.headers, headers)
  made.message = { method = self.method, fields = made.headers }
  made.history, made.response, made.pristine = nil, false, self.pristine and made.headers:copy()
  return made
end

---What had happened when a time limit passed, for its message.
---@private
function Request:progress()
  local history = self.history
  return history and (", after %d redirect%s"):format(#history, #history > 1 and "s" or "") or ""
end

M._Request = Request

return M
