-- SPDX-License-Identifier: MIT
-- weft.http.network: the transport of a session: one request, one response, over connections that
-- are kept and used again.
--
-- Owns: which connections are alike; the second attempt when a kept one turns out dead; what
-- becomes of a connection after an exchange.
-- Must not know: redirects, cookies, retries, or anything that takes more than one request.
-- Invariant: every slot that was taken from the pool is given back exactly once: by `send` where
-- there is no body to be read, else by the body.

local await = require "weft.await"
local bodies = require "weft.http.body_stream"
local connections = require "weft.http.connection"
local connectors = require "weft.http.connector"
local core = require "weft.core"
local errors = require "weft.error"
local options = require "weft.options"
local pools = require "weft.http.pool"
local proxies = require "weft.http.proxy"
local scope = require "weft.scope"
local timeouts = require "weft.http.timeouts"
local tls = require "weft.tls"

---What sends requests. Made by `network.new`.
---@private
---@class weft.http.Network
local Network = {}
Network.__index = Network

local NO_LIMITS = {}

local PORTS = { http = 80, https = 443 }

local function now()
  return core.loop_time(core.running_loop())
end

--- routes ----------------------------------------------------------------------------------

local ids, last_id = setmetatable({}, { __mode = "k" }), 0

-- A short name for what is told apart by identity: contexts, tables of options.
local function id_of(object)
  if type(object) ~= "table" and type(object) ~= "userdata" then
    return tostring(object)
  end
  if not ids[object] then
    last_id = last_id + 1
    ids[object] = "#" .. last_id
  end
  return ids[object]
end

-- All by which connections by a proxy differ; nil without one.
local function identity_of(proxy)
  if not proxy then
    return nil
  end
  return table.concat({ proxy.url.href, proxy.auth or "", id_of(proxy.tls), id_of(proxy.headers) },
    "|")
end

local function target_of(url)
  local query = url.query
  return query and url.path .. "?" .. query or url.path
end

local function make_route(request, identity)
  local url = request.url
  local is_tls = url.scheme == "https"
  local spec = request.proxy and proxies.spec(request.proxy, is_tls)
  local origin = url.origin
  local route = { href = url.href, tls_key = request.tls_key, identity = identity,
    server_hostname = request.server_hostname, name = origin, is_tls = is_tls, proxy = spec,
    host = proxies.bare_host(url.hostname), port = url.port or PORTS[url.scheme],
    target = target_of(url), is_forward = spec and spec.kind == "forward" }
  if route.is_forward then
    route.target = origin .. route.target
    route.key = "forward|" .. identity
  else
    route.key = table.concat({ origin, is_tls and tostring(request.tls_key) or "",
      is_tls and request.server_hostname or "", identity or "" }, "|")
  end
  return route
end

-- How a request gets to its server. It is kept by the URL object, which sessions use again.
local function route_of(self, request)
  local url = request.url
  local route, identity = self._routes[url], identity_of(request.proxy)
  if route and route.identity == identity and route.tls_key == request.tls_key
    and route.server_hostname == request.server_hostname and route.href == url.href then
    return route
  end
  route = make_route(request, identity)
  self._routes[url] = route
  return route
end

--- connections -----------------------------------------------------------------------------

-- What is known of a connection's TLS. It is much work to put together: that is done when it is
-- asked for, or else once, when the connection is closed.
local function tls_of(secured)
  if secured.stream and not secured.stream:is_closed() then
    local last = secured.last
    secured.info = tls._info(secured.stream, last.peer)
    last.peer = secured.info and secured.info.peer or last.peer
  end
  secured.stream = nil
  return secured.info
end

local Info = {}

function Info.__index(info, key)
  if key ~= "tls" or not info._secured then
    return nil
  end
  local value = tls_of(info._secured)
  rawset(info, "tls", value)
  return value
end

-- The metatable of heads that came by a connection: a field more in each of them would have cost
-- more than all else that is done here.
local function class_of(secured, peer, is_reused)
  return { __index = { connection_info = setmetatable({ peer = peer, reused = is_reused,
    _secured = secured }, Info) } }
end

-- Gives a connection what its responses will tell of it.
local function describe(conn, stream, is_tls, last)
  local own = core.stream_table(stream)
  local peer = { host = own.address or own.path or own.host, port = own.port }
  local secured = is_tls and { stream = stream, info = nil, last = last } or nil
  conn._first, conn._again = class_of(secured, peer, false), class_of(secured, peer, true)
  if secured then
    conn.on_close = function()
      tls_of(secured)
    end
  end
end

local function closed_meanwhile(_, request)
  return errors.new("closed", "the session is closed", { phase = request.phase })
end

local function note(scope_of_wait, self, request)
  self._connecting[request] = scope_of_wait
end

local function noted(self, request, ok, ...)
  self._connecting[request] = nil
  if not ok then
    error((...), 0)
  end
  return ...
end

local function connect_noted(self, request, route)
  return noted(self, request, errors.guarded(self._connector.connect, self._connector, request,
    route))
end

-- A stream, unless all is closed before it is there.
local function connect(self, request, route)
  return scope._limit(nil, closed_meanwhile, self, request, nil, note, connect_noted, self,
    request, route)
end

local function new_connection(self, request, route)
  local stream = connect(self, request, route)
  local ok, conn = pcall(connections.new, stream)
  if not ok then
    stream:close()
    error(conn, 0)
  end
  describe(conn, stream, route.is_tls, self._last)
  self._pool:add(conn)
  return conn
end

-- Makes a connection for a slot, which is given back if that fails.
local function open(self, request, route)
  local ok, conn = errors.guarded(new_connection, self, request, route)
  if not ok then
    self._pool:free(route.name)
    error(conn, 0)
  end
  return conn
end

local function wait_for(self, request, route)
  request.phase = "pool"
  local started = now()
  local pool = self._pool
  local conn = timeouts.within("pool", "pool", request.timeouts.pool, pool.acquire, pool,
    route.key, route.name)
  if request.trace then
    local ok, e = errors.guarded(request.trace, "queued", { started = started, time = now() })
    if not ok then
      self:_give_back(conn, route)
      error(e, 0)
    end
  end
  return conn
end

-- A connection when there was none idle: `has_slot` if one may be made at once.
local function obtain(self, request, route, has_slot)
  local conn = false
  if not has_slot then
    conn = wait_for(self, request, route)
  end
  if conn then
    return conn, true
  end
  return open(self, request, route), false
end

-- Where waiting is impossible, what the pool gave goes back, and the error is raised.
local function check_wait(pool, route, conn)
  local ok, can_wait = pcall(core.can_park)
  if not ok or can_wait ~= true then
    if conn == false then
      pool:free(route.name)
    end
    await._before_wait()
  end
end

-- Gives back what `pool:acquire` gave.
function Network:_give_back(conn, route)
  if not conn then
    self._pool:free(route.name)
  elseif conn:is_reusable() then
    self._pool:put(conn, route.key, route.name)
  else
    self._pool:discard(conn, route.name)
  end
end

--- exchanges ---------------------------------------------------------------------------------

local function traced(request, opts)
  local trace = request.trace
  local copy = {}
  for key, value in pairs(opts) do
    copy[key] = value
  end
  copy.on_sent = function()
    trace("sent", { time = now() })
  end
  function copy.on_piece(piece)
    trace("upload", { chunk = piece, size = #piece, time = now() })
  end
  return copy
end

local WIRE = { "decode", "max_body_size", "expect_timeout", "upgrade", "on_informational" }

-- What a connection is told. The tables of the options are a session's, and the same for most
-- requests: so is the result.
local function exchange_options(self, request)
  local opts, limits = request.options, request.timeouts
  if self._last_options ~= opts or self._last_limits ~= limits then
    local made = { ttfb = limits.ttfb or nil, idle_timeout = limits.sock_read or nil }
    for _, name in ipairs(WIRE) do
      made[name] = opts[name]
    end
    self._last_options, self._last_limits, self._last_made = opts, limits, made
  end
  return request.trace and traced(request, self._last_made) or self._last_made
end

-- What goes by a forwarding proxy has its credentials, which no other message gets to see.
local function message_of(request, route)
  local message = request.message
  if not route.is_forward then
    message.target = route.target
    return message
  end
  local copy = {}
  for key, value in pairs(message) do
    copy[key] = value
  end
  copy.target, copy.fields = route.target, proxies.forwarded(message.fields, route.proxy)
  return copy
end

-- Whether a kept connection has turned out dead before the server can have seen the request as
-- far as is known: no byte of a response came. Then one that may be sent twice is.
local function is_stale(request, conn, e)
  return request.is_idempotent and request.is_replayable and not conn.has_response_begun
    and (errors.is_error(e, "connection") or errors.is_error(e, "tls"))
    and (e.phase == "send" or e.phase == "head")
    and (type(request.message.body) ~= "function" or request.rewind ~= nil)
end

-- Kinds of errors that come from the network, or from waiting for it.
local KINDS = { connection = true, dns = true, tls = true, protocol = true, proxy = true,
  limit = true, decode = true, timeout = true, closed = true, os = true }

local function with_phase(request, e)
  if errors.is_error(e) and KINDS[e.kind] and rawget(e, "phase") == nil then
    e.phase = request.phase
  end
  return e
end

-- An exchange is going to begin. How far it came is counted from here. The tables of the options
-- are a session's for most requests, and so are the limits that the connection has already.
local function begin(request, conn)
  if conn._options ~= request.options then
    conn:set_limits(request.options)
    conn._options = request.options
  end
  request.phase, request.connection = "head", conn
  conn._sent_before, conn._received_before = conn.bytes_sent, conn.bytes_received
end

-- The second attempt is made with a fresh connection and the slot of the first.
local function send_again(self, request, route, conn, opts)
  self._pool:remove(conn)
  self.retries = self.retries + 1
  if request.trace then
    request.trace("retry", { reason = "the kept connection was closed", time = now() })
  end
  local limits = request.timeouts
  conn = timeouts.within("connect", request, limits.connect, new_connection, self, request, route)
  if type(request.message.body) == "function" then
    request.message.body = request.rewind()
  end
  begin(request, conn)
  return conn, conn:exchange(message_of(request, route), opts)
end

-- An exchange has failed: tries it again, or gives the slot back.
local function recover(self, request, route, conn, is_reused, opts, e)
  bodies.note_progress(request, conn)
  if is_reused and is_stale(request, conn, e) then
    conn:close()
    local ok, fresh, head = errors.guarded(send_again, self, request, route, conn, opts)
    if ok then
      return fresh, head
    end
    conn, e = request.connection, fresh
    if conn then
      bodies.note_progress(request, conn)
    end
    if conn and conn.state ~= "closed" then
      conn:close()
    end
    if conn then
      self._pool:remove(conn)
    end
    self._pool:free(route.name)
  else
    self:_give_back(conn, route)
  end
  request.connection = nil
  error(with_phase(request, e), 0)
end

-- Another protocol goes on where the response ends: the stream is the caller's.
local function tunnel(self, conn, route, head)
  self._pool:remove(conn)
  local ok, stream = pcall(conn.detach, conn)
  if not ok then
    conn:close()
  end
  self._pool:free(route.name)
  if not ok then
    error(stream, 0)
  end
  head.stream = stream
  return head
end

local function tell_body(trace, body)
  if body ~= "" then
    trace("chunk", { chunk = body, size = #body, time = now() })
  end
  trace("end", { size = #body, time = now() })
end

-- What to make of a response whose head is in.
local function finish(self, request, route, conn, head, is_reused)
  setmetatable(head, is_reused and conn._again or conn._first)
  if head.is_tunnel then
    return tunnel(self, conn, route, head)
  elseif conn.state ~= "active" then
    request.connection = nil
    if conn.trailers then
      head.trailers = conn.trailers
    end
    if conn.state == "idle" and not request.options.force_close then
      self._pool:put(conn, route.key, route.name)
    else
      self._pool:discard(conn, route.name)
    end
    head.body = head.body or ""
    if request.trace then
      tell_body(request.trace, head.body)
    end
    return head
  end
  request.phase = "body"
  return head, bodies.new(self._pool, conn, route, request)
end

local function tell_head(self, request, route, conn, head)
  local ok, e = errors.guarded(request.trace, "head", { status = head.status, reason = head.reason,
    headers = head.fields, time = now() })
  if not ok then
    if conn.state == "active" then
      conn:close()
    end
    self:_give_back(conn, route)
    error(e, 0)
  end
end

---Sends one request and returns the head of its response, and its body if that has not come with
---it.
---
---The request: `method`, `url` (a `weft.url.URL`), `message` (as `connection:exchange` takes it,
---without `target`), `timeouts`, `options` (two tables that are not changed afterwards), `tls`,
---`tls_key`, `server_hostname`, `proxy`, `is_replayable`, `is_idempotent`, `rewind` (makes the body
---anew), `trace`. Its field `phase` is always the one it is in.
---
---The head has also `connection_info`: `peer` (`host`, `port`), `reused`, `tls` (as
---`stream:tls_info`); `stream` if it `is_tunnel`; `trailers` if they came with it.
---
---Raises `dns`, `connection`, `proxy`, `tls`, `protocol`, `limit`, `timeout`, `closed`, each with
---`phase`; what the body's source or a hook raised; `cancelled`; `type`.
---@private
---@async
---@param request table
---@return table head
---@return weft.http.BodyStream? body
function Network:send(request)
  request.phase = "pool"
  if not request.timeouts or not request.options then
    request.timeouts = request.timeouts or NO_LIMITS
    request.options = request.options or NO_LIMITS
  end
  local pool, route = self._pool, route_of(self, request)
  local message, opts = message_of(request, route), exchange_options(self, request)
  local conn, is_reused = pool:take(route.key, route.name), true
  if not conn then
    check_wait(pool, route, conn)
    local ok
    ok, conn, is_reused = errors.guarded(timeouts.within, "connect", request,
      request.timeouts.connect, obtain, self, request, route, conn == false)
    if not ok then
      error(with_phase(request, conn), 0)
    end
  end
  begin(request, conn)
  self.requests = self.requests + 1
  if request.trace and is_reused then
    self:_tell_reuse(request, route, conn)
  end
  local ok, head = errors.guarded(conn.exchange, conn, message, opts)
  if ok then
    self.reused = self.reused + (is_reused and 1 or 0)
  else
    conn, head = recover(self, request, route, conn, is_reused, opts, head)
    is_reused = false
  end
  if request.trace then
    tell_head(self, request, route, conn, head)
  end
  return finish(self, request, route, conn, head, is_reused)
end

function Network:_tell_reuse(request, route, conn)
  local ok, e = errors.guarded(request.trace, "reused", { host = route.host, port = route.port,
    time = now() })
  if not ok then
    self:_give_back(conn, route)
    error(e, 0)
  end
end

--- all of it -----------------------------------------------------------------------------------

---Closes all connections, and breaks off those that are being made. Who waits for something gets
---`closed`. Idempotent; never waits.
---@private
function Network:close()
  self._pool:close()
  for _, scope_of_wait in pairs(self._connecting) do
    core.scope_reschedule(scope_of_wait, 0)
  end
  self._connector:close()
end

---Counts: those of the pool (`open`, `idle`, `in_use`, `waiting`), and `requests` sent, `reused`
---(how many of them over a kept connection), `retries` (because a kept one was dead),
---`bytes_sent` and `bytes_received`.
---@private
---@return table<string, integer>
function Network:statistics()
  local counts = self._pool:statistics()
  counts.requests, counts.reused, counts.retries = self.requests, self.reused, self.retries
  counts.bytes_sent, counts.bytes_received = self._pool:bytes()
  return counts
end

--- making ----------------------------------------------------------------------------------

local POOL = { "limit", "limit_per_host", "keepalive_timeout", "max_age" }
local CONNECTOR = { "resolver", "family", "local_addr", "dns_cache_ttl", "path" }

local OPTIONS = {}
for _, list in ipairs { POOL, CONNECTOR } do
  for _, name in ipairs(list) do
    OPTIONS[name] = true
  end
end

local function pick(opts, names)
  local picked = {}
  for _, name in ipairs(names) do
    picked[name] = opts[name]
  end
  return picked
end

local M = {}

---Makes a transport. Options: those of the pool (`limit`, `limit_per_host`, `keepalive_timeout`,
---`max_age`) and of the connector (`resolver`, `family`, `local_addr`, `dns_cache_ttl`, `path`).
---
---Raises `type` for options that cannot be.
---@private
---@return weft.http.Network
function M.new(opts)
  opts = options.check(opts, OPTIONS, "session")
  return setmetatable({ requests = 0, reused = 0, retries = 0,
    _pool = pools.new(pick(opts, POOL)), _connector = connectors.new(pick(opts, CONNECTOR)),
    _connecting = {}, _last = {}, _routes = setmetatable({}, { __mode = "k" }) }, Network)
end

return M
