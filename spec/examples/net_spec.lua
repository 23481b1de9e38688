-- SPDX-License-Identifier: MIT
-- examples/net: each script in a process of its own does what its head says. Only loopback,
-- and ports that the system chooses.

local weft = require "weft"
local support = require "spec.support"
local streams = require "spec.streams"
local core = require "weft.core"
local certs = require "spec.tls_certs"

local DIRECTORY = "examples/net/"

local function start(name, ...)
  return weft.create_subprocess(support.interpreter, { DIRECTORY .. name .. ".lua", ... },
    { stdout = "pipe", stderr = "stdout" })
end

-- fn(port) while the server runs; then it is ended as by Ctrl-C. Returns what it said meanwhile.
local function with_server(name, fn, ...)
  return start(name, "0", ...):with(function(process)
    local line = process.stdout:read_line()
    local port = tonumber(line:match("^listening on 127%.0%.0%.1:(%d+)$"))
    assert.truthy(port, line)
    fn(port)
    process:send_signal("SIGINT")
    assert.equal(130, process:wait().code)
    return process.stdout:read_all()
  end)
end

local function output_of(name, ...)
  return start(name, ...):with(function(process)
    local text = process.stdout:read_all()
    return text, process:wait().code
  end)
end

local function connect(port)
  return weft.open_connection { host = "127.0.0.1", port = port }
end

describe("the example", function()
  it("echo_server sends back what echo_client sends", support.run(function()
    local said = with_server("echo_server", function(port)
      assert.same({ "hello\nworld\n", 0 }, { output_of("echo_client", tostring(port), "hello",
        "world") })
      assert.same({ "", 0 }, { output_of("echo_client", tostring(port)) })
    end)
    assert.equal("", said)
  end))

  it("echo_server serves others while a client does not read", support.run(function()
    with_server("echo_server", function(port)
      local idle = connect(port)
      local flood = weft.create_task(function() idle:write(("x"):rep(20000000)) end)
      local other = connect(port)
      other:write("fine")
      assert.equal("fine", other:read())
      assert.is_false(flood:done())
      flood:cancel()
      pcall(flood.await, flood)
      idle:close()
      other:close()
    end)
  end))

  it("echo_client says when nobody listens", support.run(function()
    local listener, _, port = streams.listen("127.0.0.1", 0)
    core.listener_close(listener)
    local text, status = output_of("echo_client", tostring(port), "x")
    assert.matches("connection refused", text)
    assert.equal(1, status)
  end))

  it("chat_server passes lines on to the others", support.run(function()
    local said = with_server("chat_server", function(port)
      local function join(name)
        local stream = connect(port)
        assert.equal("who are you?", stream:read_line())
        stream:write(name, "\n")
        return stream
      end
      local ann = join("ann")
      local bob = join("bob")
      assert.equal("bob has come", ann:read_line())
      bob:write("hello\n")
      assert.equal("bob: hello", ann:read_line())
      ann:write("hi\r\n")
      assert.equal("ann: hi", bob:read_line())
      local second = join("bob")
      assert.matches("one of that name", second:read_line())
      assert.is_nil(second:read_line())
      second:close()
      bob:close()
      assert.equal("bob has gone", ann:read_line())
      bob = join("bob") -- the name is free again
      assert.equal("bob has come", ann:read_line())
      ann:close()
      assert.equal("ann has gone", bob:read_line())
      bob:close()
    end)
    assert.equal("", said)
  end))

  it("chat_server speaks TLS if it has a certificate", support.run(function()
    local said = with_server("chat_server", function(port)
      local function join(name)
        local stream = weft.open_connection { host = "127.0.0.1", port = port,
          tls = { ca_file = certs.path("root.pem") }, server_hostname = "localhost" }
        assert.equal("who are you?", stream:read_line())
        stream:write(name, "\n")
        return stream
      end
      local ann = join("ann")
      local bob = join("bob")
      assert.equal("bob has come", ann:read_line())
      bob:write("hello\n")
      assert.equal("bob: hello", ann:read_line())
      support.raises("tls", weft.open_connection, { host = "127.0.0.1", port = port, tls = true })
      bob:close()
      assert.equal("bob has gone", ann:read_line())
      ann:close()
    end, certs.path("b.pem"), certs.path("b.key"))
    assert.equal("", said)
  end))

  it("port_scanner finds the open ports", support.run(function()
    local listener, _, port = streams.listen("127.0.0.1", 0, { backlog = 100 })
    local first, last = math.max(1, port - 150), math.min(65535, port + 150)
    local text, status = output_of("port_scanner", tostring(first), tostring(last))
    assert.equal(0, status, text)
    assert.truthy(("\n" .. text):find(("\n%d\n"):format(port), 1, true), text)
    local open, all = text:match("\n(%d+) of (%d+) ports are open\n$")
    assert.is_true(tonumber(open) >= 1, text)
    assert.equal(last - first + 1, tonumber(all))
    core.listener_close(listener)
  end))

  it("of each name is listed in the README, with one line", function()
    local file = assert(io.open(DIRECTORY .. "README.md"))
    local text = file:read("*a")
    file:close()
    local pipe = assert(io.popen("ls " .. DIRECTORY))
    for name in pipe:read("*a"):gmatch("([%w_]+)%.lua") do
      assert.truthy(text:find(("| [%s](%s.lua) |"):format(name, name), 1, true), name)
    end
    pipe:close()
  end)
end)
