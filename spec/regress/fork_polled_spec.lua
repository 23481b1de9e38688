-- SPDX-License-Identifier: MIT
-- A child of a fork that ended, or collected what it had from its parent, took the parent's
-- sockets out of the epoll descriptor that both have: the parent waited for ever.

local cc = require "spec.c.cc"

local certs = require "spec.tls_certs"

-- The parent has a task that waits for `wait`; the child ends; `act` makes the wait end.
local function survives(wait, act, ending, is_tls)
  local client, server = "nil", "nil"
  if is_tls then
    client = ("{ ca_file = %q }"):format(certs.path "root.pem")
    server = ("{ cert = %q, key = %q }"):format(certs.path "b.pem", certs.path "b.key")
  end
  local text, status = cc.script(("local CLIENT, SERVER = %s, %s\n"):format(client, server) .. [[
    local loop = weft.new_event_loop()
    weft.set_event_loop(loop)
    loop:set_exception_handler(function() end)
    local endpoint, host, port, stream, peer, task
    loop:run_until_complete(function()
      endpoint = weft.datagram_endpoint { local_addr = "127.0.0.1:0" }
      host, port = endpoint:getsockname()
      local server = weft.start_server(function(other)
        peer = peer or other
        weft.event():wait()
      end, { tls = SERVER })
      local server_host, server_port = server:getsockname()
      stream = weft.open_connection { host = server_host, port = server_port, tls = CLIENT,
        server_hostname = CLIENT and "localhost" or nil }
      while not peer do
        weft.sleep(0)
      end
      task = weft.create_task(function()
        return ]] .. wait .. [[

      end)
      weft.sleep(0.005)
    end)
    local pid = posix.fork()
    if pid == 0 then
      task = nil
      ]] .. ending .. [[

    end
    assert(posix.wait(pid) == 0, "the child failed")
    print((loop:run_until_complete(function()
      ]] .. act .. [[

      return weft.timeout(5, task.await, task)
    end)))
    os.exit(0)]], "ASAN_OPTIONS=detect_leaks=0") -- some of these ends free nothing
  assert.same({ "hello\n", 0 }, { text, status }, ending)
end

local ENDINGS = { "os.exit(0, true)", "os.exit(0)", "loop:close() os.exit(0, true)",
  "endpoint:close() stream:close() os.exit(0, true)",
  "endpoint, stream, peer = nil collectgarbage() collectgarbage() os.exit(0, true)" }

describe("a socket that the parent of a fork waits for", function()
  it("hears of datagrams, however the child ends", function()
    for _, ending in ipairs(ENDINGS) do
      survives("endpoint:receive()", "endpoint:send('hello', host, port)", ending)
    end
  end)

  it("hears of bytes, however the child ends", function()
    for _, ending in ipairs(ENDINGS) do
      survives("stream:read(5)", "peer:write('hello')", ending)
    end
  end)

  it("hears no goodbye that TLS says in the child", function()
    for _, ending in ipairs(ENDINGS) do
      survives("stream:read(5)", "peer:write('hello')", ending, true)
    end
  end)
end)
