-- SPDX-License-Identifier: MIT
-- weft.http.settings: the options of sessions and requests: what they may be, their defaults,
-- and how those of a request come before those of its session.
--
-- Owns: the names of the options, and the form in which the other files find them.
-- Must not know: how a request is made of them or sent.
-- Invariant: settings are complete and checked; nobody changes them once they are made.

local auth = require "weft.http.auth"
local environ = require "weft.http.environ"
local errors = require "weft.error"
local fields = require "weft.http.fields"
local options = require "weft.options"
local retry = require "weft.http.retry"
local timeouts = require "weft.http.timeouts"
local tls = require "weft.tls"
local trace = require "weft.http.trace"
local urls = require "weft.url"

local M = {}

-- Seconds that a request takes at most, with its redirects, retries and body; and that one
-- attempt to connect does: aiohttp's. A handshake may take as long as connecting: a server that
-- is silent then will stay so.
local TOTAL = 300
local SOCK_CONNECT = 30
local HANDSHAKE = 30

-- As browsers have it about; a chain that is longer is a loop more often than not.
local REDIRECTS_MAX = 10

-- What `read` collects at most, in bytes.
local BODY_MAX = 1024 * 1024 * 1024

-- Contexts that are kept for the `tls` tables of requests: more differ by mistake.
local CONTEXTS_MAX = 64

--- checks -------------------------------------------------------------------------------

local check = {}

local function refuse(what, wanted, value)
  errors.raise("type", ("%s must be %s, got %s"):format(what, wanted,
    type(value) == "string" and ("%q"):format(value) or type(value)))
end

function check.boolean(value, what)
  return options.expect(value, "boolean", what)
end

function check.string(value, what)
  return options.expect(value, "string", what)
end

function check.count(value, what)
  return options.count(value, what, 0)
end

function check.size(value, what)
  return options.count(value, what, 1)
end

function check.seconds(value, what)
  return options.number(value, what, 0)
end

function check.headers(value, what)
  if type(value) ~= "table" and type(value) ~= "userdata" then
    refuse(what, "a table or Headers", value)
  end
  return value
end

function check.table(value, what)
  return options.expect(value, "table", what)
end

function check.any(value)
  return value
end

function check.url(value, what)
  if type(value) ~= "string" and type(value) ~= "table" then
    refuse(what, "a URL", value)
  end
  return urls.parse(value)
end

local PROXIES = { http = true, https = true, socks4 = true, socks4a = true, socks5 = true,
  socks5h = true }

function check.proxy(value, what)
  local url = check.url(value, what)
  if not PROXIES[url.scheme] or (url.hostname or "") == "" then
    errors.raise("type", ("%s: '%s' is no proxy: it must be http, https, socks4, socks4a, socks5 "
      .. "or socks5h, and have a host"):format(what, url.href), { code = "invalid_url" })
  end
  return url
end

function check.raise_for_status(value, what)
  return type(value) == "boolean" and value or options.callable(value, what)
end

function check.middlewares(value, what)
  if type(value) ~= "table" then
    refuse(what, "a list of functions", value)
  end
  local list = {}
  for i, middleware in ipairs(value) do
    list[i] = options.callable(middleware, ("%s[%d]"):format(what, i))
  end
  return list[1] and list or false
end

function check.skip(value, what)
  local set = {}
  for i, name in ipairs(options.expect(value, "table", what)) do
    set[options.expect(name, "string", ("%s[%d]"):format(what, i)):lower()] = true
  end
  return set
end

function check.jar(value, what)
  local is_one = type(value) == "table" and value.header_for and value.set_from_header
  if not is_one then
    refuse(what, "what http.cookie_jar returns", value)
  end
  return value
end

-- What a request and a session may both have. false is always "none", or "no".
local COMMON = {
  allow_downgrade = check.boolean, allow_redirects = check.boolean, auth = auth.check,
  auto_decompress = check.boolean, compress = check.any, expect100 = check.boolean,
  expect_timeout = check.seconds, fallback_encoding = check.string, force_close = check.boolean,
  max_body_size = check.count, max_field_size = check.size, max_fields = check.size,
  max_head_size = check.size, max_informational = check.count, max_line_size = check.size,
  max_redirects = check.count, middlewares = check.middlewares, proxy = check.proxy,
  proxy_auth = auth.check, proxy_headers = check.headers, proxy_tls = check.any,
  raise_for_status = check.raise_for_status, read_until_eof = check.boolean,
  retry = retry.policy, server_hostname = check.string, skip_auto_headers = check.skip,
  tls = check.any, trace = trace.hooks, trust_env = check.boolean, timeout = check.any,
}

local SESSION = { base_url = check.url, cookie_jar = check.jar, cookies = check.table,
  dns_cache_ttl = check.seconds, family = check.any, headers = check.headers,
  keepalive_timeout = check.seconds, limit = check.count, limit_per_host = check.count,
  local_addr = check.any, path = check.string, resolver = check.any, transport = check.any,
  user_agent = check.string }

local REQUEST = { cookies = check.table, cookie_jar = check.jar, data = check.any,
  headers = check.headers, json = check.any, params = check.any,
  trace_request_ctx = check.any, trailers = check.headers, upgrade = check.boolean,
  on_informational = options.callable }

for name, fn in pairs(COMMON) do
  SESSION[name], REQUEST[name] = fn, fn
end

-- Options whose false is not "none".
local PLAIN = { json = true, data = true, trace_request_ctx = true }

--- pieces ---------------------------------------------------------------------------------

local function limit(value)
  return value and value > 0 and value or nil
end

-- The limits of `base`, with those of the option before them. 0 and false are none.
local function merged_timeouts(value, base, what)
  if value == false then
    return {}, nil
  elseif type(value) == "number" then
    value = { total = value }
  end
  value = timeouts.check(value, what .. ": timeout")
  local made, total = {}, base.total
  for name, seconds in pairs(base.timeouts) do
    made[name] = seconds
  end
  for name, seconds in pairs(value) do
    if name == "total" then
      total = limit(seconds)
    else
      made[name] = limit(seconds)
    end
  end
  return made, total
end

-- Of what the transport is told: which of them are of the options.
local WIRE = { "max_body_size", "force_close", "max_line_size", "max_field_size", "max_fields",
  "max_head_size", "max_informational", "expect_timeout", "upgrade", "on_informational" }

local function wire_options(settings)
  local made = { decode = settings.auto_decompress ~= false }
  for _, name in ipairs(WIRE) do
    made[name] = settings[name] or nil
  end
  return made
end

local function is_wire(opts)
  if opts.auto_decompress ~= nil then
    return true
  end
  for _, name in ipairs(WIRE) do
    if opts[name] ~= nil then
      return true
    end
  end
  return false
end

local keys, last_key = setmetatable({}, { __mode = "k" }), 0

-- A context's name in the keys of connections.
local function key_of(context)
  local key = keys[context]
  if not key then
    last_key = last_key + 1
    key = ("tls-%d"):format(last_key)
    keys[context] = key
  end
  return key
end

local function spelled(value)
  if type(value) ~= "table" then
    return type(value) .. ":" .. tostring(value)
  end
  local parts = {}
  for name, item in pairs(value) do
    parts[#parts + 1] = ("%q=%q"):format(tostring(name), spelled(item))
  end
  table.sort(parts)
  return "{" .. table.concat(parts, ",") .. "}"
end

-- The context of a `tls` option: one for all requests whose tables say the same, so that they
-- share connections.
local function context_of(contexts, value, what)
  if type(value) ~= "table" or getmetatable(value) ~= nil then
    if type(value) ~= "userdata" and type(value) ~= "table" then
      refuse(what, "a TLS context or a table of its options", value)
    end
    return value
  end
  local text = spelled(value)
  local context = contexts[text]
  if not context then
    if contexts.count >= CONTEXTS_MAX then
      for key in pairs(contexts) do
        contexts[key] = nil
      end
      contexts.count = 0
    end
    context = tls.context(value)
    contexts[text], contexts.count = context, contexts.count + 1
  end
  return context
end

--- making ---------------------------------------------------------------------------------

local function checked(opts, known, what)
  local made = {}
  for name, value in pairs(options.check(opts, known, what)) do
    if value == false or PLAIN[name] then
      made[name] = value
    else
      made[name] = known[name](value, what .. ": " .. name)
    end
  end
  return made
end

-- What is computed of the options that `opts` has, in place.
local function complete(made, base, contexts, what)
  if made.timeout ~= nil then
    made.timeouts, made.total = merged_timeouts(made.timeout, base, what)
    made.total = made.total or false
  end
  for _, name in ipairs({ "tls", "proxy_tls" }) do
    if made[name] then
      made[name] = context_of(contexts, made[name], what .. ": " .. name)
    end
  end
  if made.tls then
    made.tls_key = key_of(made.tls)
  end
  if made.proxy_headers then
    made.proxy_headers = fields.new(made.proxy_headers)
  end
  if made.trust_env then
    made.proxy_for = environ.proxy_for
  end
end

local DEFAULTS = { total = TOTAL, timeouts = { sock_connect = SOCK_CONNECT, tls = HANDSHAKE },
  max_redirects = REDIRECTS_MAX, max_body_size = BODY_MAX, allow_redirects = true,
  auto_decompress = true, read_until_eof = true, fallback_encoding = "utf-8" }

---The settings of a session. Raises `type`.
---@private
---@param opts table?
---@return table settings
function M.of_session(opts)
  local made = checked(opts, SESSION, "session")
  made.contexts = { count = 0 }
  complete(made, DEFAULTS, made.contexts, "session")
  for name, value in pairs(DEFAULTS) do
    if made[name] == nil then
      made[name] = value
    end
  end
  made.wire = wire_options(made)
  made._meta = { __index = made }
  return made
end

---The settings of a request with options. Raises `type`.
---@private
---@param base table the session's
---@param opts table
---@return table settings
function M.of_request(base, opts)
  local made = checked(opts, REQUEST, "request")
  complete(made, base, base.contexts, "request")
  setmetatable(made, base._meta)
  if is_wire(opts) then
    made.wire = wire_options(made)
  end
  return made
end

return M
