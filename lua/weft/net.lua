-- SPDX-License-Identifier: MIT
-- weft.net: connecting: from a host's name, an address or a path to a stream.
--
-- Owns: what can be asked for, and the errors of connecting. Names are weft.resolver's, the
-- order of the attempts is weft.dial's.
-- Must not know: servers; what is said over a connection.

local core = require "weft.core"
local errors = require "weft.error"
local await = require "weft.await"
local dial = require "weft.dial"
local options = require "weft.options"
local resolver = require "weft.resolver"
local scope = require "weft.scope"
local streams = require "weft.stream"
local tls = require "weft.tls"

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

-- Of the addresses of a name, those that the local address can reach.
local function usable(addresses, local_host)
  if not local_host then
    return addresses
  end
  local family, list = core.address(local_host, 0), {}
  for _, address in ipairs(addresses) do
    if address.family == family then
      list[#list + 1] = address
    end
  end
  return list
end

---The addresses of a name, by a resolver or the one that all of weft uses.
---@private
---@async
function M._resolve(host, port, family, by)
  local wanted = { family = family }
  return by and by:resolve(host, port, wanted) or resolver.getaddrinfo(host, port, wanted)
end

---Connects to the first of a name's addresses that answers.
---@private
---@async
function M._connect_name(addresses, host, port, sock)
  addresses = usable(addresses, sock.local_host)
  if #addresses == 0 then
    errors.raise("connection", ("connect to %s: none of its addresses is of the family of %s")
      :format(place(host, port), sock.local_host),
      { code = "EAFNOSUPPORT", host = host, port = port, phase = "connect" })
  end
  local stream, address = dial.dial(addresses, function(address)
    return connect_address(address.address, address.port, sock)
  end, { host = host })
  local own = core.stream_table(stream)
  own.host, own.name, own.address = host, place(host, port), address.address
  return stream
end

local function connect(opts)
  local sock = socket_options(opts, "open_connection")
  if opts.path then
    return connect_address(opts.path, nil, sock)
  elseif core.address(opts.host, opts.port) then
    return connect_address(opts.host, opts.port, sock)
  end
  local addresses = M._resolve(opts.host, opts.port, opts.family, opts.resolver)
  return M._connect_name(addresses, opts.host, opts.port, sock)
end

local function connect_tls(opts, context)
  return tls._start(connect(opts), context, false, opts.server_hostname or opts.host, opts.port)
end

---What `weft.open_connection` takes: a host and a port, or the path of a Unix socket.
---@class weft.ConnectOptions
---@field host string? a name or a numeric address
---@field port integer? 0 to 65535
---@field path string? a Unix socket
---@field tls (boolean | weft.TLSContext | weft.TLSOptions)? true: verified as by default
---@field server_hostname string? the name that the certificate must have; default: `host`
---@field timeout number? seconds for all of it: look-up, connecting, handshake
---@field local_addr {[1]: string, [2]: integer?}? a numeric address, and a port, to connect from
---@field family string? "inet" or "inet6"; default: both
---@field resolver weft.Resolver? default: the one that all of weft uses
---@field keepalive integer? seconds of silence after which the system asks if the peer lives
---@field delay boolean? true: small pieces wait to be sent together (no TCP_NODELAY)
local ConnectOptions = {} -- luacheck: ignore 211

---Connects and returns a stream; with `tls`, after the handshake. A name is looked up, and its
---addresses are tried by turns (RFC 8305): the next one when one has failed, or after 0.25 s.
---
---Raises `dns`; `connection` (with `host`, `port`, `phase` and the system's `code`); `tls` (`phase`
---"tls", OpenSSL's `code`); `timeout`; `cancelled`; `type` for options that cannot be; `state`
---outside a task; for the options of a context as `weft.tls.context`.
---@async
---@param opts weft.ConnectOptions
---@return weft.Stream
function M.open_connection(opts)
  opts = options.check(opts, CONNECT_OPTIONS, "open_connection")
  check_target(opts, "open_connection")
  local context = tls._context(opts.tls, "open_connection")
  if opts.server_hostname ~= nil then
    options.expect(opts.server_hostname, "string", "open_connection: server_hostname")
    if not context then
      errors.raise("type", "open_connection: server_hostname needs tls")
    end
  end
  return scope.timeout(opts.timeout, context and connect_tls or connect, opts, context)
end

---@private
M._place, M._raise_code, M._connect_address = place, raise_code, connect_address

---@private
M._check_target, M._check_tcp_options = check_target, check_tcp_options

---@private
M._socket_options, M._check_path = socket_options, check_path

return M
