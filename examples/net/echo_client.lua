-- SPDX-License-Identifier: MIT
-- A client of the echo server: sends each argument as a line, and prints what comes back.
--
--   luajit examples/net/echo_client.lua port text...

local weft = require "weft"

local function talk(stream)
  for i = 2, #arg do
    stream:write(arg[i], "\n")
  end
  stream:shutdown() -- nothing more will come from here
  for line in stream:lines() do
    print(line)
  end
end

weft.main(function()
  local port = assert(tonumber(arg[1]), "which port?")
  local stream = weft.open_connection { host = "127.0.0.1", port = port, timeout = 5 }
  weft.timeout(5, stream.with, stream, talk) -- `with` closes it
end)
