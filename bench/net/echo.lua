-- SPDX-License-Identifier: MIT
-- bench/net/echo.lua: echo round trips over weft's streams: as many connections from this
-- process to itself, each sending a message and waiting for it to come back. Prints the CPU
-- nanoseconds of a round trip.
-- usage: echo.lua CONNECTIONS ROUNDS SIZE

local weft = require "weft"

local connections = tonumber(arg[1]) or 64
local rounds = tonumber(arg[2]) or 3000
local size = tonumber(arg[3]) or 64
local message = ("x"):rep(size)

local function serve(stream)
  while true do
    local data = stream:read()
    if data == "" then
      return
    end
    stream:write(data)
  end
end

weft.main(function()
  local server = weft.start_server(serve, { host = "127.0.0.1" })
  local _, port = server:getsockname()
  local start = os.clock()
  local clients = {}
  for i = 1, connections do
    clients[i] = weft.create_task(function()
      local stream = weft.open_connection{ host = "127.0.0.1", port = port }
      for _ = 1, rounds do
        stream:write(message)
        stream:read_exactly(size)
      end
      stream:close()
    end)
  end
  weft.gather(clients)
  print(("%.0f"):format((os.clock() - start) * 1e9 / (connections * rounds)))
  server:close()
end)
