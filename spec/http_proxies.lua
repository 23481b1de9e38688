-- SPDX-License-Identifier: MIT
-- spec.http_proxies: small proxies on loopback, for specs of HTTP clients: CONNECT and SOCKS.
--
-- Each is started by a function that returns `{port=, heads= (what it was asked), close()}`. What
-- is asked for is always connected to on 127.0.0.1, whatever the name.
-- Owns: nothing beyond their close.

local weft = require "weft"

local M = {}

local function pump(from, to)
  while true do
    local data = from:read()
    if data == "" then
      break
    end
    to:write(data)
  end
  to:shutdown()
end

local function relay(down, port)
  local up = weft.open_connection { host = "127.0.0.1", port = port }
  weft.finally(function()
    weft.gather(function() weft.try(pump, down, up) end, function() weft.try(pump, up, down) end)
  end, function()
    up:close()
  end)
end

local function serve(handler, tls)
  local self = { heads = {}, connections = 0 }
  local server = weft.start_server(function(stream)
    self.connections = self.connections + 1
    weft.try(handler, stream, self)
  end, { host = "127.0.0.1", port = 0, tls = tls })
  self.port = select(2, server:getsockname())
  function self.close()
    server:shutdown(0)
  end
  return self
end

---A proxy for CONNECT. Options: `answer` (in place of connecting), `tls` (a server's).
function M.connect(opts)
  opts = opts or {}
  return serve(function(stream, self)
    local head = stream:read_until("\r\n\r\n")
    self.heads[#self.heads + 1] = head
    if opts.answer then
      stream:write(opts.answer)
      stream:read()
      return
    end
    stream:write("HTTP/1.1 200 Connection established\r\n\r\n")
    relay(stream, tonumber(head:match("^CONNECT %S+:(%d+) ")))
  end, opts.tls)
end

---A proxy for SOCKS 5 and 4a; asks for a user name and a password if told which (`user`,
---`password`). `reply`: the number of SOCKS 5 with which it refuses; or a table of such numbers by
---address.
function M.socks(opts)
  opts = opts or {}
  local function five(stream, self)
    local methods = stream:read_exactly(stream:read_exactly(1):byte())
    if opts.user then
      if not methods:find("\2", 1, true) then
        stream:write("\5\255")
        return
      end
      stream:write("\5\2")
      stream:read_exactly(1)
      local user = stream:read_exactly(stream:read_exactly(1):byte())
      local password = stream:read_exactly(stream:read_exactly(1):byte())
      local fits = user == opts.user and password == opts.password
      stream:write(fits and "\1\0" or "\1\1")
    else
      stream:write("\5\0")
    end
    local kind = stream:read_exactly(4):byte(4)
    local size = kind == 1 and 4 or kind == 4 and 16 or stream:read_exactly(1):byte()
    local address = stream:read_exactly(size)
    local high, low = stream:read_exactly(2):byte(1, 2)
    self.heads[#self.heads + 1] = kind == 3 and address
      or table.concat({ address:byte(1, -1) }, ".")
    local reply = opts.reply
    if type(reply) == "table" then
      reply = reply[self.heads[#self.heads]]
    end
    if reply then
      stream:write("\5" .. string.char(reply) .. "\0\1\0\0\0\0\0\0")
      stream:read()
      return
    end
    stream:write("\5\0\0\1\0\0\0\0\0\0")
    relay(stream, high * 256 + low)
  end
  local function four(stream, self)
    local _, high, low = stream:read_exactly(3):byte(1, 3)
    local address = table.concat({ stream:read_exactly(4):byte(1, 4) }, ".")
    stream:read_until("\0")
    local is_name = address:find("^0%.0%.0%.")
    self.heads[#self.heads + 1] = is_name and stream:read_until("\0"):sub(1, -2) or address
    stream:write("\0\90\0\0\0\0\0\0")
    relay(stream, high * 256 + low)
  end
  return serve(function(stream, self)
    if stream:read_exactly(1) == "\5" then
      five(stream, self)
    else
      four(stream, self)
    end
  end)
end

return M
