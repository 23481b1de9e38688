-- SPDX-License-Identifier: MIT
-- A proxy on this machine, for the example that goes through one: forwards requests for http:
-- and tunnels (CONNECT) what is for https:.
--
--   luajit examples/http/forward_proxy.lua [port]
--
-- The port is 8081, or a free one for 0. Ends with Ctrl-C. It serves whoever can connect to it,
-- which on the loopback is this machine alone.

local weft = require "weft"

-- Bytes of a request's head at most; seconds to connect.
local HEAD_MAX, PATIENCE = 64 * 1024, 10

-- Passes on what comes from one stream to another, until it ends; tells the other so.
local function pump(from, to)
  repeat
    local some = from:read()
    to:write(some)
  until some == ""
  to:shutdown()
end

local function join(client, upstream)
  weft.task_group(function(group)
    group:create_task(pump, client, upstream)
    group:create_task(pump, upstream, client)
  end)
end

-- The head that the server gets: its own form of the target, and nothing that was the proxy's.
-- One request for each connection is enough for a proxy this small.
local function rewritten(head, target)
  head = head:gsub("^(%u+) %S+", "%1 " .. target:gsub("%%", "%%%%"), 1)
    :gsub("\r\n[Pp]roxy%-[^\r]*", ""):gsub("\r\n[Cc]onnection:[^\r]*", "")
  return (head:gsub("\r\n\r\n$", "\r\nVia: 1.1 weft\r\nConnection: close\r\n\r\n"))
end

local function forward(client)
  local head = client:read_until("\r\n\r\n", HEAD_MAX)
  local host, port = head:match("^CONNECT ([^:%s]+):(%d+) ")
  local target
  if not host then
    host, port, target = head:match("^%u+ http://([^/:%s]+):?(%d*)(%S*) ")
  end
  if not host then
    return client:write("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
  end
  local ok, upstream = weft.try(weft.open_connection,
    { host = host, port = tonumber(port) or 80, timeout = PATIENCE })
  if not ok then
    return client:write("HTTP/1.1 502 Bad Gateway\r\nConnection: close\r\n\r\n")
  end
  upstream:with(function()
    if target then
      upstream:write(rewritten(head, target:match("^/") and target or "/" .. target))
    else
      client:write("HTTP/1.1 200 Connection established\r\n\r\n")
    end
    join(client, upstream)
  end)
end

-- Peers that go away are no failures of the proxy.
local function serve(client)
  local ok, e = weft.try(forward, client)
  if not ok and not weft.is_error(e, "connection") then
    error(e, 0)
  end
end

weft.main(function()
  local server = weft.start_server(serve, { port = tonumber(arg[1]) or 8081 })
  print(("listening on %s:%d"):format(server:getsockname()))
  io.stdout:flush()
  server:serve_forever()
end)
