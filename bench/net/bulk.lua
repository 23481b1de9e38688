-- SPDX-License-Identifier: MIT
-- bench/net/bulk.lua: bulk throughput of weft's streams: this process sends itself MIB
-- mebibytes over one connection, in writes of 64 KiB. Prints the CPU milliseconds.
-- usage: bulk.lua MIB [SIZE OF A READ]

local weft = require "weft"

local total = (tonumber(arg[1]) or 1024) * 1024 * 1024
local read_size = tonumber(arg[2])
local chunk = ("x"):rep(65536)

weft.main(function()
  local start = os.clock()
  local received = 0
  local server = weft.start_server(function(stream)
    while true do
      local data = stream:read(read_size)
      if data == "" then
        return
      end
      received = received + #data
    end
  end, { host = "127.0.0.1" })
  local host, port = server:getsockname()
  local stream = weft.open_connection{ host = host, port = port }
  for _ = 1, total / #chunk do
    stream:write(chunk)
  end
  stream:close()
  server:close()
  server:wait_closed()
  assert(received == total)
  print(("%.0f"):format((os.clock() - start) * 1e3))
end)
