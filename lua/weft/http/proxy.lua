-- SPDX-License-Identifier: MIT
-- weft.http.proxy: what a proxy is asked, over a stream to it: HTTP proxies, by CONNECT or by
-- requests that name the whole URL, and SOCKS.
--
-- Owns: what a proxy's URL means; the error when it cannot be reached or refuses.
-- Must not know: how the stream to the proxy came to be.
-- Invariant: credentials for the proxy are in nothing but what goes to the proxy.

local connections = require "weft.http.connection"
local core = require "weft.core"
local errors = require "weft.error"
local fields = require "weft.http.fields"
local socks = require "weft.http.socks"
local urls = require "weft.url"

local M = {}

-- A proxy's answer to CONNECT has a few fields.
local REPLY_LIMITS = { max_line_size = 8 * 1024, max_field_size = 16 * 1024, max_fields = 100,
  max_head_size = 64 * 1024, max_informational = 4 }

local REPLY_OPTIONS = {}

-- Errors that are the proxy's; others are the program's, or come from a limit or a cancellation.
local ITS_ERRORS = { connection = true, dns = true, tls = true, protocol = true, limit = true,
  decode = true, os = true }

-- By scheme: the port if the URL has none, and how it is spoken to. curl's names: with an `a` or
-- `h`, the proxy looks names up.
local SCHEMES = {
  http = { port = 80 },
  https = { port = 443, is_tls = true },
  socks4 = { port = 1080, version = 4, looks_up = true },
  socks4a = { port = 1080, version = 4 },
  socks5 = { port = 1080, version = 5, looks_up = true },
  socks5h = { port = 1080, version = 5 },
}

---Host without the brackets of IPv6.
---@private
function M.bare_host(host)
  return host:match("^%[(.*)%]$") or host
end

local function decoded(text)
  return text ~= "" and urls.percent_decode(text) or nil
end

local function basic(user, password)
  return user and "Basic " .. core.base64_encode(user .. ":" .. (password or "")) or nil
end

---What a request's `proxy` means, for a URL that `is_tls` or not.
---
---Raises `type`, code "invalid_url", for what is no proxy.
---@private
---@param proxy {url: weft.url.URL, auth: string?, tls: any, headers: any}
---@param is_tls boolean
---@return table spec
function M.spec(proxy, is_tls)
  local url = proxy.url
  local scheme = SCHEMES[url.scheme]
  if not scheme or (url.hostname or "") == "" then
    errors.raise("type", ("'%s' is no proxy: it must be http, https, socks4, socks4a, socks5 or "
      .. "socks5h, and have a host"):format(url.scheme), { code = "invalid_url" })
  end
  local user, password = decoded(url.username), decoded(url.password)
  local host, port = M.bare_host(url.hostname), url.port or scheme.port
  return { kind = scheme.version and "socks" or is_tls and "tunnel" or "forward", host = host,
    port = port, is_tls = scheme.is_tls, version = scheme.version, looks_up = scheme.looks_up,
    user = user or password and "", password = password, tls = proxy.tls,
    auth = proxy.auth or basic(user, password), headers = proxy.headers,
    name = ("%s://%s:%d"):format(url.scheme, url.hostname, port) }
end

--- errors --------------------------------------------------------------------------------------

local function failed(spec, e)
  if errors.is_error(e, "timeout") or errors.is_error(e, "proxy") then
    e.phase = e.phase and "proxy"
    e.proxy = spec.name
  elseif errors.is_error(e) and ITS_ERRORS[e.kind] then
    e = errors.new("proxy", ("proxy %s: %s"):format(spec.name, e.message),
      { cause = e, code = e.code, phase = "proxy", proxy = spec.name, host = spec.host,
        port = spec.port })
  end
  error(e, 0)
end

local function checked(spec, ok, ...)
  if not ok then
    return failed(spec, (...))
  end
  return ...
end

---Calls `fn(...)`, which has to do with the proxy alone.
---
---Raises `proxy`, with `cause`, `code`, `phase` "proxy" and `proxy` (its URL without credentials),
---for all that is the proxy's fault; else what `fn` raised.
---@private
---@async
function M.guarded(spec, fn, ...)
  return checked(spec, errors.guarded(fn, ...))
end

--- CONNECT -------------------------------------------------------------------------------------

local function add_own_fields(list, spec)
  if spec.headers then
    for name, value in fields.new(spec.headers):iter() do
      list:set(name, value)
    end
  end
  if spec.auth then
    list:set("Proxy-Authorization", spec.auth)
  end
  return list
end

---The fields of a request that goes to the proxy as it is.
---@private
function M.forwarded(list, spec)
  if not spec.auth and not spec.headers then
    return list
  end
  return add_own_fields(list:copy(), spec)
end

local function refused(spec, head)
  errors.raise("proxy", ("the proxy %s refuses the connection: %d %s"):format(spec.name,
    head.status, head.reason or ""), { status = head.status, reason = head.reason, phase = "proxy",
    proxy = spec.name, headers = head.fields })
end

local function connect(conn, spec, authority)
  local list = add_own_fields(fields.new({ { "Host", authority } }), spec)
  local head = conn:exchange({ method = "CONNECT", target = authority, fields = list },
    REPLY_OPTIONS)
  if not head.is_tunnel then
    refused(spec, head)
  end
  return conn:detach()
end

local function closed_on_error(conn, ok, ...)
  if not ok then
    conn:close()
    error((...), 0)
  end
  return ...
end

-- Host and port as in a request line and a Host field.
local function authority_of(host, port)
  return (host:find(":", 1, true) and "[%s]:%d" or "%s:%d"):format(host, port)
end

---Makes of a stream to the proxy one to `host` and `port`; closes it if that fails.
---
---Raises as `guarded`; `proxy` with `status` if the proxy refuses a CONNECT, with `reply` for
---SOCKS.
---@private
---@async
---@param stream weft.Stream
---@param spec table
---@param host string for SOCKS a numeric address, if the client looks names up
---@param port integer
---@return weft.Stream
function M.open(stream, spec, host, port)
  if spec.kind == "tunnel" then
    local conn = connections.new(stream, REPLY_LIMITS)
    stream = closed_on_error(conn, errors.guarded(M.guarded, spec, connect, conn, spec,
      authority_of(host, port)))
  else
    closed_on_error(stream, errors.guarded(M.guarded, spec, socks.connect, stream, spec.version,
      host, port, spec.user, spec.password))
  end
  local own = core.stream_table(stream)
  own.name, own.host, own.port = authority_of(host, port) .. " by " .. spec.name, host, port
  return stream
end

return M
