-- SPDX-License-Identifier: MIT
-- weft.net: connecting: to whom, by which options, and how it fails, is cancelled and times
-- out. Servers are in server_spec.lua.

local weft = require "weft"
local core = require "weft.core"
local support = require "spec.support"
local streams = require "spec.streams"
local testing = require "weft.testing"

local cc = require "spec.c.cc"
local sockets = cc.module("sockets")

-- fn(port) with a port on which nobody listens and nobody else will.
local function with_dead_port(fn)
  local fd, port = sockets.bound()
  local ok, e = pcall(fn, port)
  sockets.close(fd)
  if not ok then
    error(e, 0)
  end
end

-- fn(port) with a port that answers no connection: its queue is full.
local function with_mute_port(fn)
  local fd, port = sockets.listen(0)
  local fillers = { sockets.connect(port), sockets.connect(port) }
  local ok, e = pcall(fn, port)
  for _, filler in ipairs(fillers) do
    sockets.close(filler)
  end
  sockets.close(fd)
  if not ok then
    error(e, 0)
  end
end

describe("open_connection", function()
  it("gives an open stream", support.run(function()
    local listener, host, port = streams.listen("127.0.0.1", 0)
    local a = weft.open_connection { host = host, port = port }
    local b = streams.accept(listener)
    a:write("hello")
    assert.equal("hello", b:read())
    assert.same({ "127.0.0.1", port }, { a:getpeername() })
    a:close()
    b:close()
    core.listener_close(listener)
  end))

  it("connects to Linux's abstract sockets", support.run(function()
    local name = "\0weft-spec-" .. tostring({}):gsub("%W", "")
    local ok, listener = pcall(streams.listen, name)
    if not ok then -- another system
      assert.matches("INVAL", listener)
      return
    end
    local a = weft.open_connection { path = name }
    assert.equal(name, a:getpeername())
    a:close()
    core.listener_close(listener)
  end))

  it("refused says by whom", support.run(function()
    with_dead_port(function(port)
      local e = support.raises({ "connection", "ECONNREFUSED" }, weft.open_connection,
        { host = "127.0.0.1", port = port })
      assert.same({ "127.0.0.1", port, "connect" }, { e.host, e.port, e.phase })
      assert.equal(("connect to 127.0.0.1:%d: connection refused"):format(port), e.message)
    end)
  end))

  it("to a Unix socket that is not there, or nobody listens on, says so", support.run(function()
    local path = streams.path()
    local e = support.raises({ "connection", "ENOENT" }, weft.open_connection, { path = path })
    assert.same({ path, "connect" }, { e.path, e.phase })
    assert.is_nil(e.port)
    assert.matches(path .. ": no such file or directory", e.message, 1, true)
    core.listener_close((streams.listen(path)))
    e = support.raises({ "connection", "ECONNREFUSED" }, weft.open_connection, { path = path })
    assert.equal(path, e.path)
    os.remove(path)
    support.raises({ "connection", "ENAMETOOLONG" }, weft.open_connection,
      { path = "/" .. ("x"):rep(200) })
  end))

  it("that nobody answers ends with its time limit", support.run(function()
    with_mute_port(function(port)
      local e = support.raises("timeout", weft.open_connection,
        { host = "127.0.0.1", port = port, timeout = 0.02 })
      assert.equal("timeout", e.kind)
      support.raises("timeout", weft.timeout, 0.02, weft.open_connection,
        { host = "127.0.0.1", port = port })
    end)
  end))

  it("that nobody answers can be cancelled", support.run(function()
    with_mute_port(function(port)
      local before = #core.descriptors()
      local task = weft.create_task(function()
        weft.open_connection { host = "127.0.0.1", port = port }
      end)
      testing.wait_all_parked()
      assert.matches("Task%-2: waits", weft.tree())
      assert.equal(before + 1, #core.descriptors())
      task:cancel()
      support.raises("cancelled", task.await, task)
      assert.equal(before, #core.descriptors())
    end)
  end))

  it("in a task that is cancelled already opens nothing", support.run(function()
    local task = weft.create_task(function()
      pcall(weft.sleep, 60)
      local before = #core.descriptors()
      support.raises("cancelled", weft.open_connection, { host = "127.0.0.1", port = 1 })
      support.raises("cancelled", weft.start_server, print, { port = 0 })
      assert.equal(before, #core.descriptors())
    end)
    testing.wait_all_parked()
    task:cancel()
    task:await()
  end))

  it("with a limit of no time at all is over at once", support.run(function()
    with_mute_port(function(port)
      for _, limit in ipairs { 0, -1 } do
        support.raises("timeout", weft.open_connection,
          { host = "127.0.0.1", port = port, timeout = limit })
      end
    end)
  end))

  it("is closed when nobody takes it", support.run(function()
    local listener, host, port = streams.listen("127.0.0.1", 0)
    weft.open_connection { host = host, port = port }
    local b = streams.accept(listener)
    collectgarbage()
    collectgarbage()
    assert.equal("", b:read())
    b:close()
    core.listener_close(listener)
  end))

  it("is refused outside a task, and opens nothing", support.outside(function()
    support.raises({ "state", "ENOTASK" }, weft.open_connection, { host = "127.0.0.1", port = 1 })
    support.raises({ "state", "ENOTASK" }, weft.start_server, print, { port = 0 })
  end))

  it("without a free descriptor fails, and the loop goes on", function()
    local output, status = cc.script(([[
      local sockets = package.loadlib(%q, "luaopen_sockets")()
      local core = require "weft.core"
      weft.run(function()
        local server = weft.start_server(function(s) s:write(s:read()) end, { port = 0 })
        local host, port = server:getsockname()
        sockets.descriptors(#core.descriptors() + 1) -- the list itself took one
        local held = {}
        for i = 1, 100 do
          local ok, e = pcall(weft.open_connection, { host = host, port = port })
          if not ok then
            print(e.kind, e.code, e.phase)
            break
          end
          held[i] = e
        end
        for _, s in ipairs(held) do s:close() end
        sockets.descriptors(1000)
        local s = weft.open_connection { host = host, port = port }
        s:write("on")
        print(s:read())
        s:close()
        server:shutdown()
      end)
    ]]):format("./" .. cc.module_path("sockets")))
    assert.matches("connection\tEMFILE\tconnect\n", output, 1, true)
    assert.matches("on\n$", output)
    assert.equal(0, status)
  end)
end)

describe("options of a connection", function()
  local function connected(opts, fn)
    local listener, host, port = streams.listen("127.0.0.1", 0)
    opts.host, opts.port = host, port
    local a = weft.open_connection(opts)
    local b = streams.accept(listener)
    core.listener_close(listener)
    fn(a, b)
    a:close()
    b:close()
  end

  it("small writes go out at once, unless delay is asked for", support.run(function()
    connected({}, function(a, b)
      assert.equal(1, sockets.option(a:fileno(), "nodelay"))
      assert.equal(1, sockets.option(b:fileno(), "nodelay"))
      assert.equal(0, sockets.option(a:fileno(), "keepalive"))
    end)
    connected({ delay = true }, function(a)
      assert.equal(0, sockets.option(a:fileno(), "nodelay"))
    end)
  end))

  it("keepalive is the seconds after which a silent peer is asked", support.run(function()
    connected({ keepalive = 37 }, function(a)
      assert.is_true(sockets.option(a:fileno(), "keepalive") ~= 0)
      assert.equal(37, sockets.option(a:fileno(), "keepidle") or 37)
    end)
  end))

  it("local_addr is where it comes from", support.run(function()
    local fd, port = sockets.bound()
    sockets.close(fd)
    connected({ local_addr = { "127.0.0.1", port } }, function(a, b)
      assert.same({ "127.0.0.1", port }, { b:getpeername() })
      assert.same({ "127.0.0.1", port }, { a:getsockname() })
    end)
    connected({ local_addr = { host = "127.0.0.1" } }, function(_, b)
      assert.equal("127.0.0.1", (b:getpeername()))
    end)
  end))

  it("local_addr that cannot be is an error of the connection", support.run(function()
    local listener, host, port = streams.listen("127.0.0.1", 0)
    local fd, taken = sockets.bound()
    support.raises({ "connection", "EADDRINUSE" }, weft.open_connection,
      { host = host, port = port, local_addr = { "127.0.0.1", taken } })
    support.raises({ "connection", "EAFNOSUPPORT" }, weft.open_connection,
      { host = host, port = port, local_addr = { "::1", 0 } })
    support.raises({ "connection", "EADDRNOTAVAIL" }, weft.open_connection,
      { host = host, port = port, local_addr = { "192.0.2.1", 0 } })
    sockets.close(fd)
    core.listener_close(listener)
  end))

  it("unknown ones are told with the nearest known one", support.run(function()
    for wrong, right in pairs { hots = "host", prot = "port", time_out = "timeout",
      keep_alive = "keepalive", local_address = "local_addr", paht = "path" } do
      local e = support.raises({ "type", "unknown_option" }, weft.open_connection,
        { host = "127.0.0.1", port = 1, [wrong] = 1 })
      assert.equal(("open_connection: unknown option '%s' (did you mean '%s'?)"):format(wrong,
        right), e.message)
    end
    support.raises("type", weft.open_connection, { "127.0.0.1", 80 })
    support.raises("type", weft.open_connection, "127.0.0.1")
    support.raises("type", weft.open_connection)
  end))

  local function refused(opts)
    local before = #core.descriptors()
    local e = support.raises("type", weft.open_connection, opts)
    assert.equal(before, #core.descriptors())
    return e
  end

  it("hosts that cannot be are refused before anything is opened", support.run(function()
    for _, host in ipairs { "", " ", "a b", "a\0b", "127.0.0.1\0", "a\r\nb", "127.0.0.1\n",
      "a\tb", "\127" } do
      assert.matches("is no host name", refused { host = host, port = 80 }.message, 1, true)
    end
    for _, host in ipairs { 5, true, {} } do
      assert.matches("host must be a string", refused { host = host, port = 80 }.message, 1, true)
    end
    refused { port = 80 }
  end))

  it("ports that cannot be are refused", support.run(function()
    for _, port in ipairs { -1, 65536, 1.5, 0 / 0, math.huge, "80", true, {} } do
      assert.matches("port must be a whole number from 0 to 65535",
        refused({ host = "127.0.0.1", port = port }).message, 1, true)
    end
    refused { host = "127.0.0.1" }
  end))

  it("paths that cannot be are refused", support.run(function()
    refused { path = "" }
    refused { path = "/tmp/a\0b" }
    refused { path = 5 }
    refused { path = "/tmp/a", host = "127.0.0.1" }
    refused { path = "/tmp/a", port = 80 }
  end))

  it("values of the wrong type are refused", support.run(function()
    for _, bad in ipairs { "x", {}, true, -1, 0, 0.5, 2 ^ 40 } do
      refused { host = "127.0.0.1", port = 1, keepalive = bad }
    end
    refused { host = "127.0.0.1", port = 1, delay = "yes" }
    refused { host = "127.0.0.1", port = 1, timeout = "1" }
    refused { host = "127.0.0.1", port = 1, timeout = 0 / 0 }
    for _, bad in ipairs { "127.0.0.1", 1, {}, { 5 }, { "127.0.0.1", "x" }, { "127.0.0.1", -1 } } do
      refused { host = "127.0.0.1", port = 1, local_addr = bad }
    end
  end))
end)
