-- SPDX-License-Identifier: MIT
-- weft.server: what accepts connections and runs a task for each.
--
-- Owns: what a server does with a connection, how it fares when descriptors run out, and how
-- it ends.
-- Must not know: what is said over a connection.

local core = require "weft.core"
local errors = require "weft.error"
local await = require "weft.await"
local net = require "weft.net"
local options = require "weft.options"
local resolver = require "weft.resolver"
local scope = require "weft.scope"
local sync = require "weft.sync"
local tls = require "weft.tls"

local place, raise_code = net._place, net._raise_code

---@class weft
local M = {}

---What accepts connections. Made by `weft.start_server`.
---@class weft.Server
local Server = {}
Server.__index = Server

local SERVER_OPTIONS = { host = true, port = true, path = true, tls = true, backlog = true,
  reuse_port = true, max_connections = true, keepalive = true, delay = true,
  handshake_timeout = true }

-- Too many open files and the like: accepting again at once would fail again. Seconds.
local BACKOFF_FIRST, BACKOFF_MAX = 0.05, 1

-- Connections accepted in a row before others have their turn.
local ACCEPTS_MAX = 64

local TRANSIENT = { EMFILE = true, ENFILE = true, ENOMEM = true, ENOBUFS = true,
  ECONNABORTED = true, EPROTO = true, EPERM = true, ENETDOWN = true, EHOSTUNREACH = true }

local function report(self, message, e)
  self._loop:call_exception_handler({ message = message, exception = e,
    traceback = errors.is_error(e) and e.traceback or nil })
end

-- Peers whose handshake fails are no fault of the program's: they are only counted, and reported
-- when the loop debugs.
local PEERS = { tls = true, connection = true, timeout = true }

local function secure(self, stream)
  local ok, e = pcall(scope.timeout, self._handshake_timeout, tls._start, stream, self._tls, true)
  if not ok and not (errors.is_error(e) and PEERS[e.kind]) then
    error(e, 0)
  elseif not ok then
    self._failed = self._failed + 1
    if self._loop:get_debug() then
      report(self, "a TLS handshake failed", e)
    end
  end
  return ok
end

local function handle(self, stream)
  if not self._tls or secure(self, stream) then
    return self._handler(stream, self)
  end
end

local function serve(self, stream)
  local own = core.stream_table(stream)
  local host, port = core.getpeername(stream)
  own.name = host and host ~= "" and place(host, port) or self._name
  own.host, own.port = port and host, port
  local ok, e = errors.guarded(handle, self, stream)
  stream:close()
  if not ok and not errors.is_error(e, "cancelled") then
    report(self, "error in a connection's handler", e)
  elseif not ok then
    error(e, 0)
  end
end

-- A handler's task has ended; it may never have begun, when it was cancelled before.
local function leave(self, task)
  self._streams[task]:close()
  self._streams[task] = nil
  self._count = self._count - 1
  if self._permits then
    self._permits:release()
  end
  if self._count == 0 and self._closed then
    self._idle:set()
  end
end

-- May raise for want of memory; then nothing has changed.
local function admit(self, stream)
  local task = core.create_task(serve, self, stream)
  local ok, e = pcall(task.add_done_callback, task, self._leave)
  if not ok then
    task:cancel()
    error(e, 0)
  end
  self._streams[task] = stream
  self._count = self._count + 1
  self._accepted = self._accepted + 1
  self._idle:clear()
end

-- Accepts one connection. Returns why not: the name of an error, and its message.
local function accept_one(self, listener)
  if self._permits then
    self._permits:acquire()
  end
  local stream, code = core.accept(listener, self._options)
  local ok = stream and pcall(admit, self, stream)
  if ok then
    return nil
  elseif stream then
    stream:close()
  end
  if self._permits then
    self._permits:release()
  end
  if stream then
    return "ENOMEM", "not enough memory"
  end
  return core.error_of(code)
end

-- Accepts what there is. Returns how long to wait before trying again, or nil: until there
-- is a connection; then also why no other will come.
local function accept_some(self, listener, delay)
  for _ = 1, ACCEPTS_MAX do
    local name, message = accept_one(self, listener)
    if name == "EAGAIN" then
      return nil
    elseif name then
      local e = errors.new("connection", ("accept on %s: %s"):format(self._name, message),
        { code = name })
      if not TRANSIENT[name] then
        return nil, e
      elseif not delay then
        report(self, "cannot accept connections for now", e)
      end
      return math.min((delay or BACKOFF_FIRST / 2) * 2, BACKOFF_MAX)
    end
    delay = nil
  end
  return 0
end

local function accept_loop(self, listener)
  local delay, e
  while not self._closed do
    delay, e = accept_some(self, listener, delay ~= 0 and delay or nil)
    if e then
      if not self._closed then
        error(e, 0)
      end
      return
    elseif delay then
      await.sleep(delay)
    else
      local ok = core.accept_wait(listener)
      if ok ~= true then
        await._interrupted(ok)
      end
    end
  end
end

---Stops accepting. Connections under way go on. Idempotent.
function Server:close()
  if self._closed then
    return
  end
  self._closed = true
  for _, listener in ipairs(self._listeners) do
    core.listener_close(listener)
  end
  for _, task in ipairs(self._tasks) do
    task:cancel()
  end
  if self._unlink then
    os.remove(self._unlink)
  end
  if self._count == 0 then
    self._idle:set()
  end
end

---True once it was closed.
---@return boolean
function Server:is_closed()
  return self._closed
end

---Waits until the server was closed and its last handler has ended.
---
---Raises `cancelled`; `state` outside a task.
---@async
function Server:wait_closed()
  return self._idle:wait()
end

---Closes it, lets the handlers end for at most `grace` seconds (nil: no limit), then cancels
---those that are left and waits for them.
---
---Raises `cancelled`, after cancelling the handlers; `state` outside a task.
---@async
---@param grace number? seconds
function Server:shutdown(grace)
  self:close()
  local ok, e = pcall(scope.timeout, grace, self._idle.wait, self._idle)
  if not ok then
    for task in pairs(self._streams) do
      task:cancel()
    end
    scope.finally(function() end, function() self._idle:wait() end)
    if not errors.is_error(e, "timeout") then
      error(e, 0)
    end
  end
end

---Waits until the server is closed; when the waiting task is cancelled, closes it.
---
---Raises `cancelled`; `state` outside a task.
---@async
function Server:serve_forever()
  return scope.finally(function() self._idle:wait() end, function() self:close() end)
end

local function ended(self, ok, ...)
  scope.finally(function() end, function() self:shutdown(0) end)
  if not ok then
    error((...), 0)
  end
  return ...
end

---Calls `fn(server, ...)`; on return, error and cancellation alike the server is closed and its
---handlers are cancelled.
---
---Raises what `fn` raised.
---@async
---@param fn async fun(server: weft.Server, ...): ...
---@param ... any
---@return any ... the results of fn
function Server:with(fn, ...)
  options.callable(fn, "the function")
  return ended(self, errors.guarded(fn, self, ...))
end

---The address and port on which it listens (the first, if there are several); the path for a
---Unix socket.
---
---Raises `closed`.
---@return string host
---@return integer? port
function Server:getsockname()
  local host, port = core.listener_name(self._listeners[1])
  if host == nil then
    errors.raise("closed", "the server is closed")
  end
  return host, port
end

---Counts: `connections` now, `accepted` ever, TLS handshakes that `failed`.
---@return {connections: integer, accepted: integer, failed: integer}
function Server:statistics()
  return { connections = self._count, accepted = self._accepted, failed = self._failed }
end

Server.__close = Server.close

function Server:__tostring()
  return ("Server<%s %s connections=%d>"):format(self._closed and "closed" or "listening",
    self._name, self._count)
end

-- A socket file that nobody listens on is left over from before: it may be replaced. Any other
-- file would refuse the connection too, and is not ours.
local function remove_stale(path)
  if not core.is_socket_file(path) then
    return
  end
  local ok, e = pcall(net._connect_address, path, nil, {})
  if ok then
    e:close()
  elseif errors.is_error(e, "connection") and e.code == "ECONNREFUSED" then
    os.remove(path)
  end
end

local function listen(address, port, opts)
  local listener, code = core.listen(address, port, opts)
  if not listener then
    raise_code(code, "listen on " .. place(address, port), { phase = "listen",
      host = port and address, port = port, path = not port and address or nil })
  end
  return listener
end

-- More than any system keeps waiting for an accept.
local BACKLOG_MAX = 65535

local function check_server_options(opts)
  net._check_tcp_options(opts, "start_server")
  if opts.backlog ~= nil then
    options.count(opts.backlog, "start_server: backlog", 1)
    if opts.backlog > BACKLOG_MAX then
      errors.raise("type", ("start_server: backlog must be at most %d, got %s"):format(BACKLOG_MAX,
        opts.backlog))
    end
  end
  if opts.max_connections ~= nil then
    options.count(opts.max_connections, "start_server: max_connections", 1)
  end
  if opts.reuse_port ~= nil then
    options.expect(opts.reuse_port, "boolean", "start_server: reuse_port")
  end
  if opts.handshake_timeout ~= nil then
    options.number(opts.handshake_timeout, "start_server: handshake_timeout", 0)
  end
end

-- A copy of the options, with the default address: what only this machine can reach.
local function server_options(opts)
  local copy = {}
  for key, value in pairs(options.check(opts, SERVER_OPTIONS, "start_server")) do
    copy[key] = value
  end
  if copy.path == nil then
    copy.host = copy.host == nil and "127.0.0.1" or copy.host
    copy.port = copy.port == nil and 0 or copy.port
  end
  check_server_options(copy)
  return copy
end

-- The addresses to listen on; a path has itself.
local function addresses_of(opts)
  if opts.path or core.address(opts.host, opts.port) then
    return { { address = opts.path or opts.host, port = opts.port } }
  elseif opts.host == "*" then
    return { { address = "0.0.0.0", port = opts.port }, { address = "::", port = opts.port } }
  end
  return resolver.getaddrinfo(opts.host, opts.port)
end

-- A machine without IPv6 (or without IPv4) listens on what it has.
local UNAVAILABLE = { EAFNOSUPPORT = true, EADDRNOTAVAIL = true }

-- Listens on all of the addresses, on one port if any will do; on none if one is refused.
local function listen_on(addresses, opts)
  local listeners, port = {}, opts.port
  for i, address in ipairs(addresses) do
    local ok, listener = pcall(listen, address.address, port, opts)
    if ok then
      listeners[#listeners + 1] = listener
      port = port and select(2, core.listener_name(listener))
    elseif i == #addresses and #listeners == 0 or not UNAVAILABLE[listener.code] then
      for _, other in ipairs(listeners) do
        core.listener_close(other)
      end
      error(listener, 0)
    end
  end
  return listeners
end

---What `weft.start_server` takes.
---@class weft.ServerOptions
---@field host string? an address, a name (all its addresses), or "*"; default "127.0.0.1"
---@field port integer? 0 to 65535; default 0: one that is free
---@field path string? a Unix socket in place of host and port; removed when the server is closed
---@field tls (weft.TLSContext | weft.TLSOptions)? with a certificate and its key
---@field handshake_timeout number? seconds for the TLS handshake
---@field backlog integer? connections that the system keeps until they are accepted; default 511
---@field max_connections integer? connections at once; others wait to be accepted
---@field reuse_port boolean? several processes may listen on one port and share what comes
---@field keepalive integer? as for `weft.open_connection`
---@field delay boolean? as for `weft.open_connection`
local ServerOptions = {} -- luacheck: ignore 211

---Starts a server: `handler(stream, server)` runs as a task for each connection, and the stream
---is closed when it ends. An error in it goes to the loop's exception handler.
---
---Raises `connection` (code "EADDRINUSE", …); `dns`; `type` for options that cannot be; `state`
---outside a task.
---@async
---@param handler async fun(stream: weft.Stream, server: weft.Server)
---@param opts weft.ServerOptions
---@return weft.Server
function M.start_server(handler, opts)
  options.callable(handler, "the handler")
  opts = server_options(opts)
  net._check_target(opts, "start_server")
  local context = tls._server_context(opts.tls, "start_server")
  await._before_wait()
  if opts.path then
    remove_stale(opts.path)
  end
  local listeners = listen_on(addresses_of(opts), opts)
  local self = setmetatable({ _handler = handler, _loop = core.running_loop(), _options = opts,
    _listeners = listeners, _tasks = {}, _streams = {}, _count = 0, _accepted = 0, _failed = 0,
    _closed = false, _idle = sync.event(), _tls = context,
    _name = place(core.listener_name(listeners[1])),
    _handshake_timeout = opts.handshake_timeout or tls._HANDSHAKE_TIMEOUT,
    _unlink = opts.path and opts.path:byte() ~= 0 and opts.path or nil,
    _permits = opts.max_connections and sync.semaphore(opts.max_connections) or nil,
  }, Server)
  self._leave = function(task) leave(self, task) end
  for i, listener in ipairs(listeners) do
    self._tasks[i] = core.create_task(accept_loop, self, listener)
    self._tasks[i]:set_name("accept " .. place(core.listener_name(listener)))
  end
  return self
end

return M
