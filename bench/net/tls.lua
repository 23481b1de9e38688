-- SPDX-License-Identifier: MIT
-- bench/net/tls.lua: a weft client for the server of tls_peer.c: handshakes, and receiving.
-- usage: tls.lua handshakes CERT PORT N full|resumed     CPU µs a handshake
--        tls.lua bulk CERT PORT MIB                      CPU ms to receive as much

local weft = require "weft"

local what, cert, port, n, how = arg[1], arg[2], tonumber(arg[3]), tonumber(arg[4]), arg[5]
local resumed = how == "resumed"

local function connect(context)
  local stream = weft.open_connection{ host = "127.0.0.1", port = port, tls = context,
    server_hostname = "localhost" }
  stream:read_exactly(1)
  return stream
end

local function handshakes(context)
  connect(context):close()
  local start = os.clock()
  for _ = 1, n do
    connect(context):close()
  end
  local took = os.clock() - start
  local last = connect(context)
  assert(last:tls_info().resumed == resumed) -- as all before it
  last:close()
  return ("%.1f"):format(took / n * 1e6)
end

local function bulk(context)
  local stream = connect(context)
  local start, left = os.clock(), n * 1024 * 1024
  stream:write(n .. "\n")
  while left > 0 do
    local data = stream:read()
    assert(data ~= "")
    left = left - #data
  end
  local took = os.clock() - start
  stream:close()
  return ("%.0f"):format(took * 1e3)
end

weft.main(function()
  local context = weft.tls.context{ ca_file = cert, session_resumption = resumed }
  print((what == "bulk" and bulk or handshakes)(context))
end)
