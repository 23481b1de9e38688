-- SPDX-License-Identifier: MIT
-- A chat: the first line of a client is its name, each other one goes to all others. Try it
-- with several of `nc 127.0.0.1 8008`; with a certificate and its key it speaks TLS, and
-- `openssl s_client -quiet -connect 127.0.0.1:8008` is a client.
--
--   luajit examples/net/chat_server.lua [port [CERT.pem KEY.pem]]
--
-- A client has two tasks, so that it can be written to while it is read from: one reads its
-- lines, one writes what is in its queue. The queue is bounded: a client that does not read
-- is dropped, and does not hold up the others.

local weft = require "weft"

local WAITING_MAX = 100 -- lines for a client that does not read

local clients = {} -- name -> { queue =, stream = }

local function tell_all(from, text)
  for name, client in pairs(clients) do
    if name ~= from and not pcall(client.queue.put_nowait, client.queue, text) then
      client.stream:close() -- too slow
    end
  end
end

local function write_lines(client)
  while true do
    client.stream:write(client.queue:get(), "\n")
  end
end

-- Reads the lines of a client until it leaves.
local function read_lines(name, client)
  tell_all(name, name .. " has come")
  for line in client.stream:lines(1000) do
    tell_all(name, name .. ": " .. line)
  end
end

local function serve(stream)
  stream:write("who are you?\n")
  local name = weft.timeout(60, stream.read_line, stream, 40)
  if not name or name == "" or clients[name] then
    stream:write("there is one of that name already, or it is none\n")
    return
  end
  local client = { queue = weft.queue(WAITING_MAX), stream = stream }
  clients[name] = client
  local writer = weft.create_task(write_lines, client)
  weft.finally(function()
    read_lines(name, client)
  end, function()
    clients[name] = nil
    tell_all(name, name .. " has gone")
    writer:cancel()
    weft.try(writer.await, writer) -- its failure is the connection's
  end)
end

weft.main(function()
  local server = weft.start_server(serve, { port = tonumber(arg[1]) or 8008,
    max_connections = 1000, tls = arg[2] and { cert = arg[2], key = arg[3] } or nil })
  print(("listening on %s:%d"):format(server:getsockname()))
  io.stdout:flush()
  server:serve_forever()
end)
