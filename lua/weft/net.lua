-- SPDX-License-Identifier: MIT
-- weft.net: connections and servers.
--
-- Owns: which addresses are tried, what a server does with a connection, and how it ends.
-- Must not know: what is said over a connection.

local core = require "weft.core"
local errors = require "weft.error"
local await = require "weft.await"
local options = require "weft.options"
local scope = require "weft.scope"
local streams = require "weft.stream"
local sync = require "weft.sync"

---@class weft
local M = {}

local function raise_code(code, what, fields)
  local name, message, kind = core.error_of(code)
  fields.code = name
  errors.raise(kind or "connection", what .. ": " .. message, fields)
end

--- connecting -----------------------------------------------------------------------

local function place(host, port)
  if port == nil then
    return host
  end
  return (host:find(":", 1, true) and "[%s]:%d" or "%s:%d"):format(host, port)
end

-- Waits until the chain of a stream is ready for use; closes it if that fails.
local function establish(stream, phase)
  local ok, done, code = core.stream_connect(stream)
  if done then
    return stream
  end
  local e = ok == true and streams._failure(stream, code, "connect to", nil, phase)
  core.stream_close(stream)
  if not e then
    return await._interrupted(ok)
  end
  error(e, 0)
end

---@private
M._establish = establish

-- Connects to one numeric address, or to the path of a Unix socket (port nil).
local function connect_address(address, port, opts)
  await._before_wait()
  local stream, code = core.connect_start(address, port, opts)
  local name = place(address, port)
  if not stream then
    raise_code(code, "connect to " .. name, { phase = "connect", port = port,
      host = port and address, path = not port and address or nil })
  end
  local own = core.stream_table(stream)
  own.name = name
  own.host, own.port = port and address, port
  own.path = not port and address or nil
  return establish(stream, "connect")
end

local CONNECT_OPTIONS = { host = true, port = true, path = true, tls = true, timeout = true,
  local_addr = true, family = true, keepalive = true, delay = true, resolver = true,
  server_hostname = true }

local function check_port(port, what)
  if type(port) ~= "number" or port < 0 or port > 65535 or port % 1 ~= 0 then
    errors.raise("type", what .. ": port must be a whole number from 0 to 65535, got "
      .. tostring(port))
  end
end

-- A first byte of zero is Linux's abstract name space.
local function check_path(path, what)
  options.expect(path, "string", what .. ": path")
  if path == "" or path:byte() ~= 0 and path:find("%z") then
    errors.raise("type", ("%s: path %q is no file name"):format(what, path))
  end
end

-- Where to go: checked before anything is opened.
local function check_target(opts, what)
  if opts.path ~= nil then
    check_path(opts.path, what)
    if opts.host ~= nil or opts.port ~= nil then
      errors.raise("type", what .. ": either host and port, or path")
    end
    return
  end
  options.expect(opts.host, "string", what .. ": host")
  if opts.host == "" or opts.host:find("[%z\1-\32\127]") then
    errors.raise("type", ("%s: host %q is no host name"):format(what, opts.host))
  end
  check_port(opts.port, what)
end

-- Linux takes no more for the time after which a silent peer is asked. Seconds.
local KEEPALIVE_MAX = 32767

local function check_tcp_options(opts, what)
  if opts.keepalive ~= nil then
    options.count(opts.keepalive, what .. ": keepalive", 1)
    if opts.keepalive > KEEPALIVE_MAX then
      errors.raise("type", ("%s: keepalive must be at most %d seconds, got %s"):format(what,
        KEEPALIVE_MAX, opts.keepalive))
    end
  end
  if opts.delay ~= nil then
    options.expect(opts.delay, "boolean", what .. ": delay")
  end
end

local function socket_options(opts, what)
  check_tcp_options(opts, what)
  local sock = { keepalive = opts.keepalive, delay = opts.delay }
  local addr = opts.local_addr
  if addr ~= nil then
    options.expect(addr, "table", what .. ": local_addr")
    sock.local_host, sock.local_port = addr[1] or addr.host, addr[2] or addr.port or 0
    options.expect(sock.local_host, "string", what .. ": local_addr's host")
    check_port(sock.local_port, what)
  end
  return sock
end

local function connect(opts)
  local sock = socket_options(opts, "open_connection")
  if opts.path then
    return connect_address(opts.path, nil, sock)
  end
  return connect_address(opts.host, opts.port, sock)
end

---Connects and returns a stream.
---
---Raises `connection` (with `host`, `port`, `phase` and the system's `code`); `timeout`;
---`cancelled`; `type` for options that cannot be; `state` outside a task.
---@async
---@param opts weft.ConnectOptions
---@return weft.Stream
function M.open_connection(opts)
  opts = options.check(opts, CONNECT_OPTIONS, "open_connection")
  check_target(opts, "open_connection")
  return scope.timeout(opts.timeout, connect, opts)
end

--- servers --------------------------------------------------------------------------

---What accepts connections. Made by `weft.start_server`.
---@class weft.Server
local Server = {}
Server.__index = Server

local SERVER_OPTIONS = { host = true, port = true, path = true, tls = true, backlog = true,
  reuse_port = true, max_connections = true, keepalive = true, delay = true }

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

local function serve(self, stream)
  local own = core.stream_table(stream)
  local host, port = core.getpeername(stream)
  own.name = host and host ~= "" and place(host, port) or self._name
  own.host, own.port = port and host, port
  local ok, e = errors.guarded(self._handler, stream, self)
  stream:close()
  self._count = self._count - 1
  self._streams[stream] = nil
  if self._permits then
    self._permits:release()
  end
  if self._count == 0 and self._closed then
    self._idle:set()
  end
  if not ok and not errors.is_error(e, "cancelled") then
    report(self, "error in a connection's handler", e)
  elseif not ok then
    error(e, 0)
  end
end

local function admit(self, stream)
  self._count = self._count + 1
  self._accepted = self._accepted + 1
  self._streams[stream] = core.create_task(serve, self, stream)
  self._idle:clear()
end

-- Accepts what there is. Returns how long to wait before trying again, or nil: until there
-- is a connection.
local function accept_some(self, listener, delay)
  for _ = 1, ACCEPTS_MAX do
    if self._permits then
      self._permits:acquire()
    end
    local stream, code = core.accept(listener, self._options)
    if stream then
      admit(self, stream)
      delay = nil
    else
      if self._permits then
        self._permits:release()
      end
      local name = core.error_of(code)
      if name == "EAGAIN" then
        return nil
      elseif not TRANSIENT[name] then
        return nil, code
      elseif not delay then
        report(self, "cannot accept connections for now",
          errors.new("connection", "accept on " .. self._name .. ": "
            .. select(2, core.error_of(code)), { code = name }))
      end
      return math.min((delay or BACKOFF_FIRST / 2) * 2, BACKOFF_MAX)
    end
  end
  return 0
end

local function accept_loop(self, listener)
  local delay, code
  while not self._closed do
    delay, code = accept_some(self, listener, delay ~= 0 and delay or nil)
    if code then
      if not self._closed then
        raise_code(code, "accept on " .. self._name, {})
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
    for _, task in pairs(self._streams) do
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

---Counts: `connections` now, `accepted` ever.
---@return {connections: integer, accepted: integer}
function Server:statistics()
  return { connections = self._count, accepted = self._accepted }
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
  local ok, e = pcall(connect_address, path, nil, {})
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
  return copy
end

---Starts a server: `handler(stream, server)` runs as a task for each connection, and the stream
---is closed when it ends. An error in it goes to the loop's exception handler.
---
---Raises `connection` (code "EADDRINUSE", …); `type` for options that cannot be; `state` outside
---a task.
---@async
---@param handler async fun(stream: weft.Stream, server: weft.Server)
---@param opts weft.ServerOptions
---@return weft.Server
function M.start_server(handler, opts)
  options.callable(handler, "the handler")
  opts = server_options(opts)
  check_target(opts, "start_server")
  await._before_wait()
  if opts.path then
    remove_stale(opts.path)
  end
  local loop = core.running_loop()
  local self = setmetatable({ _handler = handler, _loop = loop, _options = opts,
    _listeners = {}, _tasks = {}, _streams = {}, _count = 0, _accepted = 0, _closed = false,
    _idle = sync.event(), _unlink = opts.path and opts.path:byte() ~= 0 and opts.path or nil,
    _permits = opts.max_connections and sync.semaphore(opts.max_connections) or nil,
  }, Server)
  local listener = listen(opts.path or opts.host, opts.port, opts)
  self._listeners[1] = listener
  local host, port = core.listener_name(listener)
  self._name = place(host, port)
  local task = core.create_task(accept_loop, self, listener)
  task:set_name("accept " .. self._name)
  self._tasks[1] = task
  return self
end

return M
