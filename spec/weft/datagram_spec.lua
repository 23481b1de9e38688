-- SPDX-License-Identifier: MIT
-- lua/weft/datagram.lua: UDP endpoints by their public names, on the loopback; what the socket
-- itself does is in spec/net/udp_spec.lua.

local weft = require "weft"
local core = require "weft.core"
local support = require "spec.support"
local testing = require "weft.testing"

local LOOPBACK = { inet = "127.0.0.1", inet6 = "::1" }

local function open(family, opts)
  opts = opts or {}
  opts.local_addr = opts.local_addr or { LOOPBACK[family or "inet"], 0 }
  return weft.datagram_endpoint(opts)
end

-- A port that nobody has.
local function free_port(family)
  local endpoint = open(family)
  local _, port = endpoint:getsockname()
  endpoint:close()
  return port
end

for family, host in pairs(LOOPBACK) do
  describe("an endpoint of " .. family, function()
    it("sends and receives", support.run(function()
      local a, b = open(family), open(family)
      local _, a_port = a:getsockname()
      local _, b_port = b:getsockname()
      a:send("ping", host, b_port)
      assert.same({ "ping", host, a_port, false }, { b:receive() })
      b:send("pong", host, a_port)
      assert.same({ "pong", host, b_port, false }, { a:receive() })
      a:close()
      b:close()
    end))

    it("may have a peer", support.run(function()
      local server = open(family)
      local server_host, port = server:getsockname()
      local client = weft.datagram_endpoint { remote_addr = { server_host, port } }
      assert.same({ host, port }, { client:getpeername() })
      client:send("hello")
      local data, from, from_port = server:receive()
      assert.same({ "hello", host }, { data, from })
      assert.same({ client:getsockname() }, { from, from_port })
      server:send("hi", from, from_port)
      assert.equal("hi", (client:receive()))
      client:close()
      server:close()
    end))

    it("hears by an error that its peer's port is closed", support.run(function()
      local port = free_port(family)
      local client = weft.datagram_endpoint { remote_addr = { host, port } }
      for _, method in ipairs({ "receive", "send" }) do
        client:send("anybody?")
        local e = support.raises({ "connection", "ECONNREFUSED" }, client[method], client, method
          == "send" and "again" or nil)
        assert.equal(host, e.host)
        assert.equal(port, e.port)
      end
      client:close()
    end))

    it("that waits hears it too", support.run(function()
      local port = free_port(family)
      local client = weft.datagram_endpoint { remote_addr = { host, port } }
      local task = weft.create_task(function()
        return support.raises({ "connection", "ECONNREFUSED" }, client.receive, client)
      end)
      weft.sleep(0)
      client:send("anybody?")
      task:await()
      client:close()
    end))
  end)
end

describe("receive", function()
  it("tells that a datagram was cut", support.run(function()
    local a = open()
    local host, port = a:getsockname()
    a:send("12345", host, port)
    a:send("12345", host, port)
    assert.same({ "1234", host, port, true }, { a:receive(4) })
    assert.same({ "12345", host, port, false }, { a:receive(5) })
    a:close()
  end))

  it("is woken by close, with `closed`", support.run(function()
    local a = open()
    local tasks = {}
    for i = 1, 3 do
      tasks[i] = weft.create_task(a.receive, a)
    end
    weft.sleep(0)
    a:close()
    for _, task in ipairs(tasks) do
      support.raises("closed", task.await, task)
    end
    support.raises("closed", a.receive, a)
    support.raises("closed", a.send, a, "x", "127.0.0.1", 1)
    support.raises("closed", a.getsockname, a)
  end))

  it("can be cancelled and timed out, and loses nothing", support.run(function()
    local a = open()
    local host, port = a:getsockname()
    support.raises("timeout", weft.timeout, 0.005, a.receive, a)
    local task = weft.create_task(a.receive, a)
    weft.sleep(0)
    a:send("kept", host, port)
    task:cancel()
    weft.wait({ task })
    assert.is_true(task:cancelled())
    assert.equal("kept", (a:receive()))
    a:close()
  end))

  it("raises a cancellation though there is a datagram, and leaves it there",
    support.run(function()
      local a = open()
      local host, port = a:getsockname()
      a:send("kept", host, port)
      local task = weft.create_task(function()
        weft.current_task():cancel()
        a:receive()
      end)
      weft.wait({ task })
      assert.is_true(task:cancelled())
      assert.equal("kept", (a:receive()))
      a:close()
    end))

  it("needs a task when it has to wait", support.outside(function()
    weft.run(function()
      local a = open()
      local ok, e
      table.sort({ 1, 2 }, function()
        ok, e = pcall(a.receive, a)
        return false
      end)
      assert.is_false(ok)
      assert.equal("EBLOCKED", e.code)
      a:close()
    end)
  end))

  it("holds no more than the buffer: the rest is lost, the first are kept",
    support.run(function()
      local a = open("inet", { receive_buffer = 10000 })
      local host, port = a:getsockname()
      for i = 1, 1000 do
        a:send(("%04d"):format(i) .. ("x"):rep(500), host, port)
      end
      local n = 0
      local function take()
        return core.udp_receive(a._udp) or nil
      end
      for data in take do
        n = n + 1
        assert.equal(n, tonumber(data:sub(1, 4)))
      end
      assert.is_true(n > 0 and n < 1000)
      a:close()
    end))
end)

describe("iter", function()
  it("gives what comes until the endpoint is closed", support.run(function()
    local a = open()
    local host, port = a:getsockname()
    local got = {}
    local task = weft.create_task(function()
      for data, from, from_port in a:iter() do
        assert.same({ host, port }, { from, from_port })
        got[#got + 1] = data
      end
    end)
    for i = 1, 5 do
      a:send(tostring(i), host, port)
    end
    weft.sleep(0.002)
    a:close()
    task:await()
    assert.same({ "1", "2", "3", "4", "5" }, got)
    for _ in a:iter() do
      error("nothing can come")
    end
  end))

  it("passes on what else goes wrong", support.run(function()
    local client = weft.datagram_endpoint { remote_addr = { "127.0.0.1", free_port() } }
    client:send("x")
    support.raises({ "connection", "ECONNREFUSED" }, function()
      for _ in client:iter() do
        error("nobody can answer")
      end
    end)
    client:close()
  end))
end)

describe("send", function()
  it("looks names up", support.run(function()
    local a, b = open(), open()
    local _, port = b:getsockname()
    a:send("by name", "localhost", port)
    assert.equal("by name", (b:receive()))
    local e = support.raises({ "dns", "EBADNAME" }, a.send, a, "x", "a..b", port)
    assert.equal("a..b", e.host)
    a:close()
    b:close()
  end))

  it("refuses what is too long", support.run(function()
    local a = open()
    local e = support.raises({ "limit", "EMSGSIZE" }, a.send, a, ("x"):rep(65508), "127.0.0.1", 9)
    assert.equal("127.0.0.1", e.host)
    a:close()
  end))

  it("refuses what cannot be", support.run(function()
    local a = open()
    support.raises("type", a.send, a)
    support.raises("type", a.send, a, 1, "127.0.0.1", 9)
    support.raises("type", a.send, a, "x")
    support.raises("type", a.send, a, "x", "127.0.0.1")
    support.raises("type", a.send, a, "x", "127.0.0.1", 65536)
    support.raises("type", a.receive, a, -1)
    support.raises("type", a.receive, a, 1.5)
    support.raises("os", a.send, a, "x", "::1", 9)
    a:close()
  end))

  it("refuses broadcasts unless they were asked for", support.run(function()
    local a = open("inet", { local_addr = "0.0.0.0:0" })
    support.raises({ "os", "EACCES" }, a.send, a, "x", "255.255.255.255", 9)
    a:close()
  end))

  it("waits while the socket's buffer is full", support.run(function()
    -- The loopback takes datagrams off a sender's buffer at once, so it never fills there: this
    -- is the wait alone, the next one what is done around it.
    local a = open()
    local order = {}
    local task = weft.create_task(function()
      order[#order + 1] = core.udp_wait_writable(a._udp)
    end)
    weft.sleep(0)
    assert.same({}, order)
    task:await()
    assert.same({ true }, order)
    a:close()
  end))

  it("tries again, each time that it was told to wait", support.run(function()
    local a = open()
    local host, port = a:getsockname()
    local full = 3
    local sent = weft.timeout(5, function()
      -- The module with a socket whose buffer is full, three times.
      local real = core.udp_send
      local calls = 0
      local loaded = package.loaded["weft.datagram"]
      package.loaded["weft.datagram"] = nil
      core.udp_send = function(...)
        calls = calls + 1
        if calls <= full then
          return false
        end
        return real(...)
      end
      local ok, datagram = pcall(require, "weft.datagram")
      core.udp_send, package.loaded["weft.datagram"] = real, loaded
      assert.is_true(ok)
      local endpoint = datagram.datagram_endpoint { local_addr = "127.0.0.1:0" }
      endpoint:send("at last", host, port)
      endpoint:close()
      return calls
    end)
    assert.equal(full + 1, sent)
    assert.equal("at last", (a:receive()))
    a:close()
  end))
end)

describe("datagram_endpoint", function()
  it("takes addresses as text and as tables", support.run(function()
    for _, addr in ipairs({ "127.0.0.1:0", { "127.0.0.1", 0 }, { host = "127.0.0.1", port = 0 },
      { "127.0.0.1" }, "localhost:0" }) do
      local a = weft.datagram_endpoint { local_addr = addr }
      assert.equal("127.0.0.1", (a:getsockname()))
      a:close()
    end
    for addr, host in pairs({ [":0"] = "0.0.0.0", ["[::1]:0"] = "::1", ["[::]:0"] = "::" }) do
      local a = weft.datagram_endpoint { local_addr = addr }
      assert.equal(host, (a:getsockname()))
      a:close()
    end
    local a = weft.datagram_endpoint { local_addr = ":0", family = "inet6" }
    assert.equal("::", (a:getsockname()))
    a:close()
    a = weft.datagram_endpoint()
    assert.equal("0.0.0.0", (a:getsockname()))
    a:close()
  end))

  it("refuses what cannot be", support.run(function()
    for _, addr in ipairs({ "127.0.0.1", "::1:80", "127.0.0.1:65536", "x:y", 80, { 80 },
      { "127.0.0.1", "80" }, { "127.0.0.1", 1.5 } }) do
      support.raises("type", weft.datagram_endpoint, { local_addr = addr })
      support.raises("type", weft.datagram_endpoint, { remote_addr = addr })
    end
    support.raises("type", weft.datagram_endpoint, { family = "unix" })
    support.raises("type", weft.datagram_endpoint, { ttl = 256 })
    support.raises("type", weft.datagram_endpoint, { multicast_loop = 1 })
    support.raises({ "type", "unknown_option" }, weft.datagram_endpoint, { local_address = "" })
    support.raises({ "dns", "ENODATA" }, weft.datagram_endpoint, { local_addr = "[::1]:0",
      remote_addr = "127.0.0.1:80" })
  end))

  it("says which address is taken", support.run(function()
    local a = open()
    local host, port = a:getsockname()
    local e = support.raises({ "os", "EADDRINUSE" }, weft.datagram_endpoint,
      { local_addr = { host, port } })
    assert.same({ host, port }, { e.host, e.port })
    assert.is_truthy(tostring(e):find(host .. ":" .. port, 1, true))
    a:close()
  end))

  it("can share a port", support.run(function()
    local a = open("inet", { reuse_port = true })
    local host, port = a:getsockname()
    open("inet", { reuse_port = true, local_addr = { host, port } }):close()
    a:close()
  end))

  it("shows itself", support.run(function()
    local a = open()
    local host, port = a:getsockname()
    assert.equal(("DatagramEndpoint<%s:%d>"):format(host, port), tostring(a))
    local b = open("inet6", { remote_addr = "[::1]:9" })
    assert.is_truthy(tostring(b):find(" peer=[::1]:9>", 1, true))
    a:close()
    a:close()
    assert.equal("DatagramEndpoint<closed>", tostring(a))
    assert.is_true(a:is_closed())
    b:close()
  end))

  it("is closed by with, on return, error and cancellation", support.run(function()
    local kept
    local function body(endpoint, how)
      kept = endpoint
      if how == "error" then
        error("x", 0)
      end
      return how, 2
    end
    assert.same({ "return", 2 }, { open():with(body, "return") })
    assert.is_true(kept:is_closed())
    assert.equal("x", support.error_of(function()
      open():with(body, "error")
    end))
    assert.is_true(kept:is_closed())
    local task = weft.create_task(function()
      open():with(function(endpoint)
        kept = endpoint
        endpoint:receive()
      end)
    end)
    weft.sleep(0)
    task:cancel()
    weft.wait({ task })
    assert.is_true(kept:is_closed())
  end))

  it("joins groups", support.run(function()
    local a = open("inet", { local_addr = "0.0.0.0:0", reuse_address = true,
      multicast_interface = "lo", multicast_loop = true, multicast_ttl = 1 })
    local _, port = a:getsockname()
    a:join_multicast("239.255.3.4", "lo")
    a:send("to all", "239.255.3.4", port)
    assert.equal("to all", (weft.timeout(5, a.receive, a)))
    a:leave_multicast("239.255.3.4", "lo")
    support.raises({ "os", "EADDRNOTAVAIL" }, a.leave_multicast, a, "239.255.3.4", "lo")
    support.raises({ "os", "ENODEV" }, a.join_multicast, a, "239.255.3.4", "no-such-if")
    support.raises({ "os", "EINVAL" }, a.join_multicast, a, "no address")
    support.raises({ "type", "unknown_option" }, a.set, a, { tll = 1 })
    a:set({ ttl = 3 })
    a:close()
  end))

  it("keeps its data apart from others' when many talk at once", support.run(function()
    local server = open()
    local host, port = server:getsockname()
    local echo = weft.create_task(function()
      for data, from, from_port in server:iter() do
        server:send(data:upper(), from, from_port)
      end
    end)
    local clients = {}
    for i = 1, 20 do
      clients[i] = function()
        return weft.datagram_endpoint({ remote_addr = { host, port } }):with(function(client)
          for round = 1, support.rounds(50) do
            local text = ("client %d round %d"):format(i, round)
            client:send(text)
            assert.equal(text:upper(), (client:receive()))
          end
          return true
        end)
      end
    end
    assert.equal(20, #weft.gather(clients))
    server:close()
    echo:await()
  end))

  it("leaves nothing behind, at whichever wait it is cancelled", support.outside(function()
    testing.cancel_everywhere(function()
      open():with(function(a)
        local host, port = a:getsockname()
        weft.task_group(function(group)
          group:create_task(function()
            for _ = 1, 3 do
              a:receive()
            end
          end)
          for i = 1, 3 do
            a:send(tostring(i), host, port)
            weft.sleep(0)
          end
        end)
      end)
    end)
  end))
end)
