-- SPDX-License-Identifier: MIT
-- bench/net/tls.lua: what TLS costs in weft, beside tls_openssl.c: full and resumed handshakes,
-- and bulk. Both have a server and a client, which talk to each other's, so that one end can be
-- measured against the same other end.
-- usage: tls.lua server CERT KEY CONNECTIONS
--        tls.lua client PORT full|resumed|bulk N
--        tls.lua compare TLS_OPENSSL CERT KEY HANDSHAKES MIB
-- Each end prints its CPU milliseconds; the server first its port.

local weft = require "weft"

local CHUNK = 65536

local function serve(cert, key, count)
  local left = count
  local server = weft.start_server(function(stream, server)
    left = left - 1
    if left == 0 then
      server:close()
    end
    if stream:read():byte() == 104 then -- "h"
      stream:write("h")
    else
      while stream:read() ~= "" do end -- luacheck: ignore 542
    end
  end, { tls = weft.tls.context { cert = cert, key = key } })
  print((select(2, server:getsockname())))
  io.stdout:flush()
  server:wait_closed()
end

local function talk(port, mode, n)
  local context = weft.tls.context { verify = false, session_resumption = mode == "resumed" }
  local opts = { host = "127.0.0.1", port = port, tls = context, server_hostname = "localhost" }
  if mode == "bulk" then
    local stream, chunk = weft.open_connection(opts), ("b"):rep(CHUNK)
    for _ = 1, n * 1024 * 1024 / CHUNK do
      stream:write(chunk)
    end
    stream:shutdown()
    stream:read() -- unread tickets would reset the connection
    stream:close()
    return
  end
  for _ = 1, n do
    local stream = weft.open_connection(opts)
    stream:write("h")
    stream:read()
    stream:close()
  end
end

local function output(format, ...)
  local pipe = io.popen(format:format(...))
  return pipe, function() return tonumber(pipe:read("*l")) end
end

local RUNS = 5 -- of which the quickest counts: what is slower was disturbed

-- CPU milliseconds of a server and a client, given as commands.
local function once(server, client, cert, key, mode, n)
  local pipe, number = output("%s server %s %s %d", server, cert, key, mode == "bulk" and 1 or n)
  local port = number()
  local other, result = output("%s client %d %s %d", client, port, mode, n)
  local of_client, of_server = result(), number()
  other:close()
  pipe:close()
  return of_server, of_client
end

local function quickest(best, server, client)
  return { math.min(best[1], server), math.min(best[2], client) }
end

local function compare(openssl, cert, key, handshakes, mib)
  local this = arg[-1] .. " " .. arg[0]
  for _, mode in ipairs { "full", "resumed", "bulk" } do
    local n = mode == "bulk" and mib or handshakes
    local function us(ms)
      return mode == "bulk" and ("%d ms"):format(ms) or ("%d us"):format(ms * 1000 / n)
    end
    local best = {}
    for _ = 1, RUNS do
      for i, ends in ipairs { { openssl, openssl }, { openssl, this }, { this, openssl } } do
        best[i] = quickest(best[i] or { math.huge, math.huge },
          once(ends[1], ends[2], cert, key, mode, n))
      end
    end
    local server, client, ours, theirs = best[1][1], best[1][2], best[2][2], best[3][1]
    print(("%-8s client: C %s, weft %s (%.2f)   server: C %s, weft %s (%.2f)"):format(mode,
      us(client), us(ours), ours / client, us(server), us(theirs), theirs / server))
  end
end

local clock = os.clock()
if arg[1] == "server" then
  weft.run(serve, arg[2], arg[3], tonumber(arg[4]))
elseif arg[1] == "client" then
  weft.run(talk, tonumber(arg[2]), arg[3], tonumber(arg[4]))
else
  return compare(arg[2], arg[3], arg[4], tonumber(arg[5]), tonumber(arg[6]))
end
print(("%.0f"):format((os.clock() - clock) * 1000))
