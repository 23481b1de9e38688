-- SPDX-License-Identifier: MIT
-- weft.datagram: UDP endpoints.
--
-- Owns: which address an endpoint gets, and what errors say. The socket is in src/net/udp.c.
-- Must not know: what is in a datagram.
-- Invariant: what has come and was not received lies in the kernel's buffer; a receive that
-- was cancelled has taken nothing.

local core = require "weft.core"
local errors = require "weft.error"
local await = require "weft.await"
local options = require "weft.options"
local resolver = require "weft.resolver"

local raise = errors.raise
local udp_receive, udp_send, gate = core.udp_receive, core.udp_send, core.gate

---@class weft
local M = {}

-- What a code of the system means; the others are of kind `os`.
local KINDS = { ECONNREFUSED = "connection", ECONNRESET = "connection",
  EHOSTUNREACH = "connection", ENETUNREACH = "connection", ENETDOWN = "connection",
  EHOSTDOWN = "connection", EMSGSIZE = "limit" }

local function fail(what, code, message, host, port)
  raise(KINDS[code] or "os", ("cannot %s: %s"):format(what, message),
    { code = code, host = host, port = port })
end

local function place(host, port)
  return (host:find(":", 1, true) and "[%s]:%d" or "%s:%d"):format(host, port)
end

--- addresses ------------------------------------------------------------------------

local function split(text, what)
  local host, port = text:match("^%[(.*)%]:(%d+)$")
  if not host then
    host, port = text:match("^([^:]*):(%d+)$")
  end
  if not host then
    raise("type", ("%s must be \"host:port\" or {host, port}, got %q"):format(what, text))
  end
  return host ~= "" and host or nil, tonumber(port)
end

local function check_port(port, what)
  if type(port) ~= "number" or not (port >= 0 and port <= 65535) or port % 1 ~= 0 then
    raise("type", ("%s: the port must be a whole number from 0 to 65535, got %s")
      :format(what, tostring(port)))
  end
  return port
end

-- Host (nil: any) and port from "host:port" or {host, port}.
local function parse(value, what)
  if type(value) == "string" then
    local host, port = split(value, what)
    return host, check_port(port, what)
  end
  options.expect(value, "table", what)
  local host, port = value[1] or value.host, value[2] or value.port
  if host ~= nil then
    options.expect(host, "string", what .. ": the host")
  end
  return host, check_port(port or 0, what)
end

-- The first address of a host, of the family if one is given.
local function look_up(host, port, family, is_passive)
  return resolver.getaddrinfo(host, port, { family = family, passive = is_passive })[1]
end

--- the endpoint ---------------------------------------------------------------------

---A UDP socket. Made by `weft.datagram_endpoint`.
---@class weft.DatagramEndpoint
local Endpoint = {}
Endpoint.__index = Endpoint

-- The peer of a connected socket, for errors.
local function peer_of(self)
  return self._host, self._port
end

local function has_room(self, data, host, port)
  local sent, code, message = udp_send(self._udp, data, host, port)
  if sent == nil then
    if code == "EINVAL" and host and not core.numeric_address(host) then
      local address = look_up(host, port, self.family)
      return has_room(self, data, address.address, address.port)
    end
    if not host then
      host, port = peer_of(self)
    end
    fail(host and "send to " .. place(host, port) or "send", code, message, host, port)
  end
  return sent, host, port
end

---Sends one datagram, to `host` and `port`, or to the peer of an endpoint that has one. Waits
---while the socket's buffer is full, and for the look-up if `host` is a name. That it was sent
---does not mean that it arrives.
---
---Raises `limit`, code "EMSGSIZE", for one that is too long; `connection` with `host`, `port`
---and `code`, also for what became of a datagram sent before ("ECONNREFUSED": nobody has that
---port); `os`; `dns`; `closed`; `type`; `cancelled`; `state` outside a task.
---@async
---@param data string
---@param host string?
---@param port integer?
function Endpoint:send(data, host, port)
  options.expect(data, "string", "send: the datagram")
  if host ~= nil then
    options.expect(host, "string", "send: the host")
    check_port(port, "send")
  elseif not self._host then
    raise("type", "send: host and port expected, as the endpoint has no peer")
  end
  if not gate[1] then
    await._checkpoint()
  end
  local sent
  while true do
    sent, host, port = has_room(self, data, host, port)
    if sent then
      return
    end
    local ok = core.udp_wait_writable(self._udp)
    if ok ~= true then
      return await._interrupted(ok)
    end
  end
end

---Receives one datagram, waiting until there is one. Of one that is longer than `max` the rest
---is lost.
---
---Raises `connection` with `host`, `port` and `code` for what became of a datagram sent by an
---endpoint that has a peer ("ECONNREFUSED": nobody has that port); `closed`, also when it is
---closed meanwhile; `os`; `type`; `cancelled`; `state` outside a task.
---@async
---@param max integer? bytes; default 65535
---@return string data
---@return string host whence it came
---@return integer port
---@return boolean is_truncated whether it was longer
function Endpoint:receive(max)
  if max ~= nil then
    options.count(max, "receive: the size", 0)
  end
  if not gate[1] then
    await._checkpoint()
  end
  while true do
    local data, host, port, is_cut = udp_receive(self._udp, max)
    if data then
      return data, host, port, is_cut
    elseif data == nil then
      local code, message = host, port
      local peer_host, peer_port = peer_of(self)
      fail("receive", code, message, peer_host, peer_port)
    end
    local ok = core.udp_wait_readable(self._udp)
    if ok ~= true then
      return await._interrupted(ok)
    end
  end
end

---Iterates over the datagrams that come, until the endpoint is closed: `for data, host, port in
---endpoint:iter()`.
---
---Raises as `endpoint:receive`, but for `closed`: then it ends.
---@async
---@param max integer? bytes; default 65535
---@return async fun(): string?, string, integer, boolean
function Endpoint:iter(max)
  local function step()
    if not core.udp_is_open(self._udp) then
      return nil
    end
    return self:receive(max)
  end
  return function()
    local ok, data, host, port, is_cut = errors.guarded(step)
    if ok then
      return data, host, port, is_cut
    elseif errors.is_error(data, "closed") and not core.udp_is_open(self._udp) then
      return nil
    end
    error(data, 0)
  end
end

local function checked(what, ok, code, message)
  if not ok then
    fail(what, code, message)
  end
end

---Joins a multicast group, on an interface given by name or number (nil: the system's choice).
---
---Raises `os` (with `code`); `type`; `closed`.
---@param group string numeric address
---@param interface (string | integer)?
function Endpoint:join_multicast(group, interface)
  options.expect(group, "string", "join_multicast: the group")
  checked("join " .. group, core.udp_membership(self._udp, group, interface, true))
end

---Leaves a multicast group.
---
---Raises as `endpoint:join_multicast`.
---@param group string numeric address
---@param interface (string | integer)?
function Endpoint:leave_multicast(group, interface)
  options.expect(group, "string", "leave_multicast: the group")
  checked("leave " .. group, core.udp_membership(self._udp, group, interface, false))
end

-- The options that can be set, with what may be set.
local SETTINGS = { ttl = 255, multicast_ttl = 255, multicast_loop = "boolean",
  multicast_interface = "interface", receive_buffer = 2 ^ 30, send_buffer = 2 ^ 30 }

---Sets options: `ttl` and `multicast_ttl` (0 to 255 hops), `multicast_loop` (whether what is
---sent to a group comes back to this machine), `multicast_interface` (name or number: where
---what is sent to groups goes), `receive_buffer` and `send_buffer` (bytes, in the kernel).
---
---Raises `type` for an unknown option or value; `os` (with `code`); `closed`.
---@param settings table<string, any>
function Endpoint:set(settings)
  options.check(settings, SETTINGS, "set")
  for name, value in pairs(settings) do
    local most = SETTINGS[name]
    if most == "boolean" then
      value = options.expect(value, "boolean", name) and 1 or 0
    elseif most ~= "interface" then
      options.count(value, name, 0)
      if value > most then
        raise("type", ("%s must be at most %d, got %d"):format(name, most, value))
      end
    elseif type(value) ~= "string" then
      options.count(value, name, 1)
    end
    checked("set " .. name, core.udp_set(self._udp, name, value))
  end
end

local function name_of(what, host, port, message)
  if not host then
    fail(what, port, message)
  end
  return host, port
end

---The address that it has.
---
---Raises `closed`; `os`.
---@return string host
---@return integer port
function Endpoint:getsockname()
  return name_of("get the address", core.udp_name(self._udp))
end

---The address of its peer.
---
---Raises `os`, code "ENOTCONN", if it has none; `closed`.
---@return string host
---@return integer port
function Endpoint:getpeername()
  return name_of("get the peer's address", core.udp_peer(self._udp))
end

---Closes it. Who waits to receive or send gets `closed`. Idempotent.
function Endpoint:close()
  core.udp_close(self._udp)
end

Endpoint.__close = Endpoint.close

---True once it is closed.
---@return boolean
function Endpoint:is_closed()
  return not core.udp_is_open(self._udp)
end

local function left(self, ok, ...)
  self:close()
  if not ok then
    error((...), 0)
  end
  return ...
end

---Calls `fn(self, ...)` and closes it on return, error and cancellation alike.
---
---Raises what `fn` raised.
---@async
---@param fn async fun(endpoint: weft.DatagramEndpoint, ...): ...
---@param ... any
---@return any ... the results of fn
function Endpoint:with(fn, ...)
  options.callable(fn, "the function")
  return left(self, errors.guarded(fn, self, ...))
end

function Endpoint:__tostring()
  if self:is_closed() then
    return "DatagramEndpoint<closed>"
  end
  local peer = self._host and " peer=" .. place(self._host, self._port) or ""
  return ("DatagramEndpoint<%s%s>"):format(place(self:getsockname()), peer)
end

--- making ---------------------------------------------------------------------------

---What `weft.datagram_endpoint` takes.
---@class weft.DatagramOptions
---@field local_addr (string | table)? "host:port" or {host, port}; port 0: any
---@field remote_addr (string | table)? the peer, the only one that it hears then
---@field family string? "inet" or "inet6"; default: that of the addresses, else "inet"
---@field reuse_address boolean? others may have the same address: for multicast
---@field reuse_port boolean? others may have the same port, and share what comes
---@field broadcast boolean? may send to broadcast addresses
---@field ipv6_only boolean? an "inet6" endpoint takes no IPv4
---@field ttl integer? hops
---@field multicast_ttl integer? hops
---@field multicast_loop boolean?
---@field multicast_interface (string | integer)?
---@field receive_buffer integer? bytes
---@field send_buffer integer? bytes
local OPTIONS = { local_addr = true, remote_addr = true, family = true, reuse_address = true,
  reuse_port = true, broadcast = true, ipv6_only = true }
for name in pairs(SETTINGS) do
  OPTIONS[name] = true
end

-- The addresses of both ends, which are of one family.
local function addresses_of(opts)
  local here, there
  local family = opts.family
  if opts.remote_addr ~= nil then
    local host, port = parse(opts.remote_addr, "datagram_endpoint: remote_addr")
    there = look_up(host, port, family)
    family = there.family
  end
  if opts.local_addr ~= nil then
    local host, port = parse(opts.local_addr, "datagram_endpoint: local_addr")
    here = look_up(host, port, family, true)
    family = here.family
  end
  return here, there, family or "inet"
end

local function set_up(self, here, there, opts)
  if here then
    local ok, code, message = core.udp_bind(self._udp, here.address, here.port)
    if not ok then
      fail("bind to " .. place(here.address, here.port), code, message, here.address, here.port)
    end
  end
  if there then
    local ok, code, message = core.udp_connect(self._udp, there.address, there.port)
    if not ok then
      fail("connect to " .. place(there.address, there.port), code, message, there.address,
        there.port)
    end
    self._host, self._port = there.address, there.port
  end
  local settings = {}
  for name in pairs(SETTINGS) do
    settings[name] = opts[name]
  end
  self:set(settings)
end

---Opens a UDP endpoint: with `local_addr` one that others can send to, with `remote_addr` one
---that has a peer.
---
---Raises `type` for options that cannot be; `os` or `connection` with `code`, `host` and `port`;
---`dns` for a name; `cancelled`; `state` outside a task.
---@async
---@param opts weft.DatagramOptions?
---@return weft.DatagramEndpoint
function M.datagram_endpoint(opts)
  opts = options.check(opts, OPTIONS, "datagram_endpoint")
  if opts.family ~= nil and opts.family ~= "inet" and opts.family ~= "inet6" then
    raise("type", ("datagram_endpoint: the family must be \"inet\" or \"inet6\", got %s")
      :format(tostring(opts.family)))
  end
  await._checkpoint()
  local here, there, family = addresses_of(opts)
  local udp, code, message = core.udp_open(family, opts)
  if not udp then
    fail("open a datagram endpoint", code, message)
  end
  local self = setmetatable({ _udp = udp, family = family }, Endpoint)
  local ok, e = pcall(set_up, self, here, there, opts)
  if not ok then
    self:close()
    error(e, 0)
  end
  return self
end

return M
