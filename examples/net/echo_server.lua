-- SPDX-License-Identifier: MIT
-- An echo server: what a client sends comes back to it. A task for each client; a client that
-- does not read holds back only its own.
--
--   luajit examples/net/echo_server.lua [port]
--
-- Ends with Ctrl-C.

local weft = require "weft"

local function echo(stream)
  repeat
    local some = stream:read() -- what there is; "" at the end
    stream:write(some)
  until some == ""
end

weft.main(function()
  local server = weft.start_server(echo, { port = tonumber(arg[1]) or 8007 })
  print(("listening on %s:%d"):format(server:getsockname()))
  io.stdout:flush()
  server:serve_forever()
end)
