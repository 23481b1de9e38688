-- SPDX-License-Identifier: MIT
-- bench/net/idle.lua: what an idle connection costs: as many from this process to itself, in
-- each of which the server's task reads and the client does nothing. Prints the KB of resident
-- memory of one end: half of what a pair takes, its task included.
-- usage: idle.lua tcp|tls CERT KEY CONNECTIONS

local weft = require "weft"

local kind, cert, key, n = arg[1], arg[2], arg[3], tonumber(arg[4])

local function resident_kb()
  collectgarbage()
  collectgarbage()
  for line in io.lines("/proc/self/status") do
    local kb = line:match("VmRSS:%s+(%d+)")
    if kb then
      return tonumber(kb)
    end
  end
end

weft.main(function()
  local is_tls = kind == "tls"
  local server = weft.start_server(function(stream)
    stream:write(".")
    stream:read()
  end, { host = "127.0.0.1", backlog = 1024,
    tls = is_tls and weft.tls.context{ cert = cert, key = key } or nil })
  local host, port = server:getsockname()
  local context = is_tls and weft.tls.context{ ca_file = cert } or nil
  local streams = {}
  local function open(count)
    for _ = 1, count do
      local stream = weft.open_connection{ host = host, port = port, tls = context,
        server_hostname = is_tls and "localhost" or nil }
      stream:read_exactly(1)
      streams[#streams + 1] = stream
    end
  end
  open(200) -- what is there once, whatever the number
  local before = resident_kb()
  open(n)
  print(("%.2f"):format((resident_kb() - before) / n / 2))
  for _, stream in ipairs(streams) do
    stream:close()
  end
  server:shutdown(5)
end)
