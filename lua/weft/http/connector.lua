-- SPDX-License-Identifier: MIT
-- weft.http.connector: from where a request goes to a stream on which it can be said: looking the
-- name up, connecting, a proxy, TLS.
--
-- Owns: the order of these phases, their time limits, and which of them a request is in.
-- Must not know: how many connections there may be; HTTP.
-- Invariant: what `connect` does not return is closed.

local await = require "weft.await"
local core = require "weft.core"
local errors = require "weft.error"
local net = require "weft.net"
local options = require "weft.options"
local proxies = require "weft.http.proxy"
local resolvers = require "weft.resolver"
local timeouts = require "weft.http.timeouts"
local tls = require "weft.tls"

---Makes connections. Made by `connector.new`.
---@private
---@class weft.http.Connector
local Connector = {}
Connector.__index = Connector

local function now()
  return core.loop_time(core.running_loop())
end

-- A phase is over. A stream that there is by then is closed if the hook raises.
local function tell(request, event, started, more, stream)
  if not request.trace then
    return
  end
  more.started, more.time = started, now()
  local ok, e = errors.guarded(request.trace, event, more)
  if not ok then
    if stream then
      stream:close()
    end
    error(e, 0)
  end
end

-- In the words of errors: all that has to do with reaching a proxy is the phase "proxy".
local function enter(request, phase, is_proxy)
  request.phase = is_proxy and "proxy" or phase
  return request.phase
end

--- phases ----------------------------------------------------------------------------------

-- The addresses of a name; nil for what is one already.
local function look_up(self, request, host, port, is_proxy)
  if core.address(host, port) then
    return nil
  end
  local phase, started = enter(request, "dns", is_proxy), now()
  local addresses = timeouts.within("dns", phase, request.timeouts.dns, net._resolve, host, port,
    self._family, self._resolver)
  tell(request, "dns", started, { host = host })
  return addresses
end

local function dial(self, host, port, addresses)
  if addresses then
    return net._connect_name(addresses, host, port, self._socket)
  end
  return net._connect_address(host, port, self._socket)
end

local function connect_tcp(self, request, host, port, is_proxy)
  local addresses = look_up(self, request, host, port, is_proxy)
  local phase, started = enter(request, "connect", is_proxy), now()
  local stream = timeouts.within("sock_connect", phase, request.timeouts.sock_connect, dial, self,
    host, port, addresses)
  local own = core.stream_table(stream)
  own.address = own.address or host
  tell(request, "connect", started, { host = host, port = port, address = own.address }, stream)
  return stream
end

local function connect_path(self, request)
  local phase, started = enter(request, "connect"), now()
  local stream = timeouts.within("sock_connect", phase, request.timeouts.sock_connect,
    net._connect_address, self._path, nil, self._socket)
  tell(request, "connect", started, { path = self._path }, stream)
  return stream
end

-- Contexts that were made of tables of options, so that connections can resume sessions.
local contexts = setmetatable({}, { __mode = "k" })

local function context_of(value)
  if value == nil then
    return tls._context(true, "tls")
  elseif type(value) ~= "table" then
    return tls._context(value, "tls")
  end
  contexts[value] = contexts[value] or tls._context(value, "tls")
  return contexts[value]
end

-- The protocol that is spoken, whatever a context offers that serves other connections too.
local PROTOCOL = "http/1.1"
local ALPN = string.char(#PROTOCOL) .. PROTOCOL

-- A server need not choose, but what it chooses must have been offered.
local function check_protocol(stream, host)
  local chosen = core.tls_alpn(stream)
  if chosen and chosen ~= PROTOCOL then
    errors.raise("protocol", ("%s wants to speak %q, which was not offered: only %s was")
      :format(host, chosen, PROTOCOL), { code = "alpn", phase = "tls", alpn = chosen })
  end
end

-- The stream is closed if this fails; also when it does before the handshake.
local function secure(request, stream, value, host, port, is_proxy)
  local phase, started = enter(request, "tls", is_proxy), now()
  local ok, e = errors.guarded(function()
    timeouts.within("tls", phase, request.timeouts.tls, tls._start, stream, context_of(value),
      false, host, port, ALPN)
    check_protocol(stream, host)
  end)
  if not ok then
    stream:close()
    error(e, 0)
  end
  tell(request, "tls", started, { host = host }, stream)
  return stream
end

--- by a proxy ------------------------------------------------------------------------------

local function reach_proxy(self, request, spec)
  local stream = connect_tcp(self, request, spec.host, spec.port, true)
  if spec.is_tls then
    stream = secure(request, stream, spec.tls, spec.host, spec.port, true)
  end
  return stream
end

-- The addresses to be given to a SOCKS proxy that does not look names up.
local function addresses_for(self, request, spec, host, port)
  local addresses = look_up(self, request, host, port)
  if not addresses then
    return { host }
  end
  local list = {}
  for _, address in ipairs(addresses) do
    if spec.version == 5 or address.family == "inet" then
      list[#list + 1] = address.address
    end
  end
  if not list[1] then
    errors.raise("proxy", ("%s has no IPv4 address, and SOCKS 4 knows no others"):format(host),
      { code = "EAFNOSUPPORT", phase = "proxy", proxy = spec.name })
  end
  return list
end

local function open_by_proxy(self, request, spec, host, port)
  local stream = proxies.guarded(spec, reach_proxy, self, request, spec)
  request.phase = "proxy"
  if spec.kind == "forward" then
    return stream
  end
  return proxies.open(stream, spec, host, port)
end

-- Each address by a connection of its own, as a proxy that could not reach one closes: the first
-- that it reaches counts. An error that is not about an address is raised at once.
local function open_first(self, request, spec, addresses, port)
  local failures = {}
  for i, address in ipairs(addresses) do
    local ok, result = errors.guarded(open_by_proxy, self, request, spec, address, port)
    if ok then
      return result
    elseif not errors.is_error(result, "proxy") or not result.address then
      error(result, 0)
    end
    failures[i] = result
  end
  local last = failures[#failures]
  if failures[2] then
    last = errors.new("proxy", "no address of the host could be reached", { code = last.code,
      reply = last.reply, phase = "proxy", proxy = spec.name, errors = failures })
  end
  error(last, 0)
end

local function connect_by_proxy(self, request, route)
  local spec, host, port = route.proxy, route.host, route.port
  if not spec.looks_up then
    return open_by_proxy(self, request, spec, host, port)
  end
  return open_first(self, request, spec, addresses_for(self, request, spec, host, port), port)
end

---Makes a stream for a request: to its host, or to the proxy where that forwards it.
---
---The request's fields: `timeouts` (`dns`, `sock_connect`, `tls`: seconds), `tls` (a context, its
---options, or nil for the default one), `server_hostname`, `trace`; `phase` is set. The route's:
---`host`, `port`, `is_tls`, `proxy` (as `proxy.spec` makes it).
---
---Raises `dns`, `connection`, `proxy`, `tls`, `timeout`, each with `phase`; `cancelled`; `type` for
---options of TLS that cannot be.
---@private
---@async
---@param request table
---@param route table
---@return weft.Stream
function Connector:connect(request, route)
  await._before_wait()
  local stream
  if route.proxy then
    stream = connect_by_proxy(self, request, route)
  elseif self._path then
    stream = connect_path(self, request)
  else
    stream = connect_tcp(self, request, route.host, route.port)
  end
  if route.is_tls then
    stream = secure(request, stream, request.tls, request.server_hostname or route.host,
      route.port)
  end
  return stream
end

---Gives up what it holds. Idempotent.
---@private
function Connector:close()
  if self._own_resolver then
    self._own_resolver:close()
  end
end

--- making ----------------------------------------------------------------------------------

local OPTIONS = { resolver = true, family = true, local_addr = true, dns_cache_ttl = true,
  path = true }

local FAMILIES = { inet = true, inet6 = true }

local M = {}

---Makes a connector. Options: `resolver` (with `:resolve(host, port, opts)`), `family` ("inet" or
---"inet6"), `local_addr` ({host, port}), `dns_cache_ttl` (seconds; for a resolver of its own),
---`path` (a Unix socket that all requests go to which go by no proxy).
---
---Raises `type` for options that cannot be.
---@private
---@return weft.http.Connector
function M.new(opts)
  opts = options.check(opts, OPTIONS, "connector")
  if opts.family ~= nil and not FAMILIES[opts.family] then
    errors.raise("type", ("family must be \"inet\", \"inet6\" or nil, got %s")
      :format(tostring(opts.family)), {})
  elseif opts.path ~= nil then
    net._check_path(opts.path, "session")
  end
  local own
  if opts.dns_cache_ttl ~= nil and opts.resolver == nil then
    own = resolvers.resolver { cache_ttl = opts.dns_cache_ttl }
  end
  return setmetatable({ _resolver = opts.resolver or own, _own_resolver = own,
    _family = opts.family, _path = opts.path, _socket = net._socket_options(opts, "session") },
    Connector)
end

return M
