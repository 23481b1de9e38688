-- SPDX-License-Identifier: MIT
-- bench/net/bulk.lua: bulk throughput of weft's streams: a process of its own sends this one
-- MIB mebibytes over one connection, in writes of 64 KiB. Prints the CPU milliseconds of both.
-- usage: bulk.lua MIB [send PORT]

local weft = require "weft"

local total = (tonumber(arg[1]) or 1024) * 1024 * 1024

local function send(port)
  local chunk = ("x"):rep(65536)
  local stream = weft.open_connection{ host = "127.0.0.1", port = port }
  for _ = 1, total / #chunk do
    stream:write(chunk)
  end
  stream:close()
end

local function receive()
  local received = 0
  local server = weft.start_server(function(stream, server)
    server:close()
    local data = stream:read()
    while data ~= "" do
      received = received + #data
      data = stream:read()
    end
  end, { host = "127.0.0.1" })
  local _, port = server:getsockname()
  local sender = io.popen(("%s %s %s send %d"):format(arg[-1], arg[0], arg[1] or 1024, port))
  server:wait_closed()
  assert(received == total)
  return tonumber(sender:read("*a"))
end

weft.main(function()
  local theirs = 0
  if arg[2] == "send" then
    send(tonumber(arg[3]))
  else
    theirs = receive()
  end
  print(("%.0f"):format(os.clock() * 1e3 + theirs))
end)
