-- SPDX-License-Identifier: MIT
-- src/net/udp.c and sockaddr.c, by the functions of src/bind/l_udp.c; weft.datagram has a
-- spec of its own.

local weft = require "weft"
local await = require "weft.await"
local core = require "weft.core"
local support = require "spec.support"

local function bound(host, opts)
  local udp = assert(core.udp_open(host:find(":", 1, true) and "inet6" or "inet", opts or {}))
  assert(core.udp_bind(udp, host, 0))
  return udp, core.udp_name(udp)
end

local function code_of(result, code)
  assert.is_nil(result)
  return code
end

-- Receives once there is something.
local function receive(udp, max)
  while true do
    local data, host, port, is_cut = core.udp_receive(udp, max)
    if data ~= false then
      return data, host, port, is_cut
    end
    local ok = core.udp_wait_readable(udp)
    if ok ~= true then
      await._interrupted(ok)
    end
  end
end

for _, host in ipairs({ "127.0.0.1", "::1" }) do
  describe("a UDP socket at " .. host, function()
    it("takes what comes, and says whence", support.run(function()
      local a, _, a_port = bound(host)
      local b, _, b_port = bound(host)
      assert.is_false(core.udp_receive(a))
      assert.is_true(core.udp_send(b, "hello", host, a_port))
      assert.same({ "hello", host, b_port, false }, { receive(a) })
      assert.is_true(core.udp_send(b, "", host, a_port))
      assert.same({ "", host, b_port, false }, { receive(a) })
      core.udp_close(a)
      core.udp_close(b)
    end))

    it("cuts what is longer than asked for, and says so", support.run(function()
      local a, _, port = bound(host)
      for _ = 1, 4 do
        core.udp_send(a, "12345", host, port)
      end
      assert.same({ "123", true }, { receive(a, 3), (select(4, receive(a, 3))) })
      assert.same({ "12345", false }, { receive(a, 5), (select(4, receive(a, 6))) })
      core.udp_send(a, "12345", host, port)
      assert.same({ "", host, port, true }, { receive(a, 0) })
      core.udp_close(a)
    end))

    it("takes the longest there are, and refuses longer ones", support.run(function()
      local a, _, port = bound(host)
      local most = host == "::1" and 65527 or 65507
      core.udp_set(a, "receive_buffer", 1000000)
      assert.is_true(core.udp_send(a, ("x"):rep(most), host, port))
      assert.equal(most, #receive(a))
      assert.equal("EMSGSIZE", code_of(core.udp_send(a, ("x"):rep(most + 1), host, port)))
      core.udp_close(a)
    end))

    it("with a peer hears it alone", support.run(function()
      local a, _, a_port = bound(host)
      local b, _, b_port = bound(host)
      local c = bound(host)
      assert.is_true(core.udp_connect(b, host, a_port))
      assert.same({ host, a_port }, { core.udp_peer(b) })
      core.udp_send(c, "stranger", host, b_port)
      core.udp_send(a, "peer", host, b_port)
      assert.same({ "peer", host, a_port, false }, { receive(b) })
      for _, udp in ipairs({ a, b, c }) do
        core.udp_close(udp)
      end
    end))

    it("hears that its peer's port is closed, by an error", support.run(function()
      local a, _, a_port = bound(host)
      local b = bound(host)
      assert.is_true(core.udp_connect(b, host, a_port))
      core.udp_close(a)
      assert.is_true(core.udp_send(b, "anybody?"))
      assert.equal("ECONNREFUSED", code_of(receive(b)))
      assert.is_false(core.udp_receive(b))
      core.udp_send(b, "anybody?")
      weft.timeout(5, function() -- the error wakes one that waits, too
        assert.equal("ECONNREFUSED", code_of(receive(b)))
      end)
      core.udp_close(b)
    end))
  end)
end

describe("a UDP socket", function()
  it("of IPv6 takes IPv4 too, unless told otherwise", support.run(function()
    local a, _, port = bound("::")
    local b, _, b_port = bound("127.0.0.1")
    core.udp_send(b, "hi", "127.0.0.1", port)
    assert.same({ "hi", "::ffff:127.0.0.1", b_port, false }, { receive(a) })
    assert.is_true(core.udp_send(a, "ho", "127.0.0.1", b_port))
    assert.equal("ho", (receive(b)))
    local only = bound("::", { ipv6_only = true })
    assert.equal("EAFNOSUPPORT", code_of(core.udp_send(only, "x", "127.0.0.1", b_port)))
    assert.equal("EAFNOSUPPORT", code_of(core.udp_send(b, "x", "::1", port)))
    for _, udp in ipairs({ a, b, only }) do
      core.udp_close(udp)
    end
  end))

  it("refuses addresses that are none", support.run(function()
    local a = bound("127.0.0.1")
    assert.equal("EINVAL", code_of(core.udp_send(a, "x", "localhost", 1)))
    assert.equal("EINVAL", code_of(core.udp_send(a, "x", "127.0.0.1\0", 1)))
    assert.equal("ENODEV", code_of(core.udp_send(a, "x", "fe80::1%nope", 1)))
    support.raises("type", core.udp_send, a, "x", "127.0.0.1", 65536)
    support.raises("type", core.udp_send, a, "x", "127.0.0.1", -1)
    support.raises("type", core.udp_send, a, "x", "127.0.0.1", 0 / 0)
    assert.equal("ENOTCONN", code_of(core.udp_peer(a)))
    core.udp_close(a)
  end))

  it("whose address is taken cannot have it", support.run(function()
    local a, host, port = bound("127.0.0.1")
    local b = core.udp_open("inet", {})
    assert.equal("EADDRINUSE", code_of(core.udp_bind(b, host, port)))
    core.udp_close(b)
    core.udp_close(a)
  end))

  it("may share a port", support.run(function()
    local a, host, port = bound("127.0.0.1", { reuse_port = true })
    local b = core.udp_open("inet", { reuse_port = true })
    assert.is_true(core.udp_bind(b, host, port))
    core.udp_close(b)
    core.udp_close(a)
  end))

  it("wakes those that wait one by one", support.run(function()
    local a, host, port = bound("127.0.0.1")
    local got = {}
    local tasks = {}
    for i = 1, 3 do
      tasks[i] = weft.create_task(function()
        got[i] = receive(a)
      end)
    end
    weft.sleep(0)
    for i = 1, 3 do
      core.udp_send(a, "number " .. i, host, port)
    end
    weft.wait(tasks)
    assert.same({ "number 1", "number 2", "number 3" }, got)
    core.udp_close(a)
  end))

  it("that is closed wakes all that wait", support.run(function()
    local a = bound("127.0.0.1")
    local results = {}
    for i = 1, 4 do
      weft.create_task(function()
        results[i] = (i % 2 == 0 and core.udp_wait_readable or core.udp_wait_writable)(a)
        if i % 2 == 0 then
          support.raises("closed", core.udp_receive, a)
        end
      end)
    end
    weft.sleep(0)
    core.udp_close(a)
    core.udp_close(a)
    weft.sleep(0)
    assert.same({ true, true, true, true }, results)
    assert.is_false(core.udp_is_open(a))
    assert.is_true(core.udp_wait_readable(a))
    support.raises("closed", core.udp_send, a, "x")
    support.raises("closed", core.udp_name, a)
  end))

  it("loses nothing to a wait that is cancelled, before or after it was woken",
    support.run(function()
      local a, host, port = bound("127.0.0.1")
      for round = 1, 2 do
        local got
        local task = weft.create_task(function()
          got = receive(a)
        end)
        weft.sleep(0)
        if round == 2 then
          core.udp_send(a, "2", host, port)
          weft.sleep(0.001)
        end
        task:cancel()
        weft.wait({ task })
        if round == 1 then
          assert.is_true(task:cancelled())
          core.udp_send(a, "1", host, port)
          got = receive(a)
        end
        assert.equal(tostring(round), got or (receive(a)))
      end
      core.udp_close(a)
    end))

  it("that nobody waits for is no reason not to see a deadlock", support.outside(function()
    support.raises({ "state", "deadlock" }, weft.run, function()
      local a = bound("127.0.0.1")
      local task = weft.create_task(function()
        receive(a)
      end)
      weft.sleep(0)
      task:cancel()
      weft.event():wait()
    end)
  end))

  it("is closed by the collector and with its loop", support.outside(function()
    local kept
    weft.run(function()
      local n = #core.descriptors()
      kept = bound("127.0.0.1")
      bound("127.0.0.1")
      assert.equal(n + 2, #core.descriptors())
      collectgarbage()
      collectgarbage()
      assert.equal(n + 1, #core.descriptors())
      weft.create_task(function()
        receive(kept)
      end)
      weft.sleep(0)
    end)
    assert.is_false(core.udp_is_open(kept))
    core.udp_close(kept)
  end))

  it("does not spin when what comes is not wanted by those that wait", support.run(function()
    local a, host, port = bound("127.0.0.1")
    core.udp_send(a, "1", host, port)
    assert.equal("1", (receive(a)))
    core.udp_send(a, "2", host, port) -- nobody takes it for a while
    local loop = weft.get_running_loop()
    local task = weft.create_task(function()
      receive(a)
      receive(a)
    end)
    weft.sleep(0.001)
    local steps = core.loop_statistics(loop).steps
    weft.sleep(0.02)
    assert.is_true(core.loop_statistics(loop).steps - steps < 10)
    task:cancel()
    weft.wait({ task })
    core.udp_close(a)
  end))

  it("has options", support.run(function()
    for _, host in ipairs({ "127.0.0.1", "::1" }) do
      local a = bound(host)
      for _, name in ipairs({ "ttl", "multicast_ttl", "multicast_loop" }) do
        assert.is_true(core.udp_set(a, name, 1), name)
      end
      assert.is_true(core.udp_set(a, "multicast_interface", "lo"))
      assert.is_true(core.udp_set(a, "receive_buffer", 10000))
      assert.is_true(core.udp_set(a, "send_buffer", 10000))
      assert.equal("ENODEV", code_of(core.udp_set(a, "multicast_interface", "nope")))
      assert.equal("EINVAL", code_of(core.udp_set(a, "ttl", 1000)))
      core.udp_close(a)
    end
  end))

  it("may be a member of a group", support.run(function()
    for group, any in pairs({ ["239.255.1.2"] = "0.0.0.0", ["ff02::4242"] = "::" }) do
      local a, _, port = bound(any)
      assert.is_true(core.udp_membership(a, group, "lo", true))
      assert.equal("EADDRINUSE", code_of(core.udp_membership(a, group, "lo", true)))
      assert.is_true(core.udp_set(a, "multicast_interface", "lo"))
      assert.is_true(core.udp_set(a, "multicast_loop", 1))
      if any == "0.0.0.0" then -- Linux has no route to IPv6 groups by the loopback
        assert.is_true(core.udp_send(a, "to all", group, port))
        assert.equal("to all", (weft.timeout(5, receive, a)))
      end
      assert.is_true(core.udp_membership(a, group, "lo", false))
      assert.equal("EADDRNOTAVAIL", code_of(core.udp_membership(a, group, "lo", false)))
      assert.equal("ENODEV", code_of(core.udp_membership(a, group, "nope", true)))
      local other = any == "::" and "239.1.1.1" or "ff02::1"
      assert.equal("EINVAL", code_of(core.udp_membership(a, other, "lo", true)))
      core.udp_close(a)
    end
  end))

  it("survives each failure of memory", support.run(function()
    local testing = require "weft.testing"
    for n = 1, 4 do
      local udp
      testing.fail_allocation(n, function()
        udp = bound("127.0.0.1")
        core.udp_receive(udp)
      end)
      if udp then
        core.udp_close(udp)
      end
    end
  end))
end)
