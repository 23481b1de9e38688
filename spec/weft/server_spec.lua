-- SPDX-License-Identifier: MIT
-- weft.server: handlers, limits, the ways to end one, socket files, want of
-- descriptors and memory, many connections at once.

local weft = require "weft"
local core = require "weft.core"
local support = require "spec.support"
local streams = require "spec.streams"
local testing = require "weft.testing"

local cc = require "spec.c.cc"
local sockets = cc.module("sockets")

local function echo(stream)
  while true do
    local some = stream:read()
    if some == "" then
      return
    end
    stream:write(some)
  end
end

-- fn(server, connect) with a server, and a function that connects to it.
local function with_server(handler, opts, fn)
  weft.start_server(handler, opts):with(function(server)
    local host, port = server:getsockname()
    fn(server, function()
      return weft.open_connection(port and { host = host, port = port } or { path = host })
    end)
  end)
end

-- Calls fn with a list to which the loop's exception handler adds what it is told.
local function with_reports(fn)
  local reports = {}
  local loop = weft.get_running_loop()
  loop:set_exception_handler(function(_, context)
    reports[#reports + 1] = context
  end)
  fn(reports)
  loop:set_exception_handler(nil)
end

local function file_with(path, text)
  local file = assert(io.open(path, "w"))
  file:write(text)
  file:close()
end

local function contents(path)
  local file = io.open(path)
  local text = file and file:read("*a")
  if file then
    file:close()
  end
  return text
end

describe("a server", function()
  for _, place in ipairs { "127.0.0.1", "::1", "path" } do
    local opts = place == "path" and { path = streams.path() } or { host = place, port = 0 }
    it("serves connections to " .. (opts.path and "a path" or place), support.run(function()
      if place == "::1" and #streams.kinds < 6 then
        return -- a machine without IPv6
      end
      local seen
      with_server(function(stream, server)
        seen = { stream, server }
        echo(stream)
      end, opts, function(server, connect)
        local a = connect()
        a:write("hello")
        assert.equal("hello", a:read())
        assert.equal(server, seen[2])
        assert.same({ connections = 1, accepted = 1, failed = 0 }, server:statistics())
        a:shutdown()
        assert.equal("", a:read())
        assert.is_true(seen[1]:is_closed())
        a:close()
        assert.same({ connections = 0, accepted = 1, failed = 0 }, server:statistics())
      end)
    end))
  end

  it("listens on loopback, at a free port, unless told otherwise", support.run(function()
    with_server(echo, nil, function(server)
      local host, port = server:getsockname()
      assert.equal("127.0.0.1", host)
      assert.is_true(port > 0)
      assert.equal(("Server<listening 127.0.0.1:%d connections=0>"):format(port),
        tostring(server))
    end)
  end))

  it("closes a connection when its handler returns", support.run(function()
    with_server(function(stream) stream:write("bye") end, nil, function(_, connect)
      local a = connect()
      assert.equal("bye", a:read_all())
      a:close()
    end)
  end))

  it("names the peer to its handler", support.run(function()
    local name
    with_server(function(stream) name = { tostring(stream), stream:getpeername() } end, nil,
      function(_, connect)
        local a = connect()
        local host, port = a:getsockname()
        assert.equal("", a:read())
        assert.same({ ("Stream<open %s:%d>"):format(host, port), host, port }, name)
        a:close()
      end)
  end))

  it("tells errors of handlers to the exception handler, and goes on", support.run(function()
    with_reports(function(reports)
      with_server(function(stream)
        error("oops " .. stream:read_line(), 0)
      end, nil, function(_, connect)
        for i = 1, 2 do
          local a = connect()
          a:write(i, "\n")
          assert.equal("", a:read())
          a:close()
          assert.equal("error in a connection's handler", reports[i].message)
          assert.equal("oops " .. i, reports[i].exception)
        end
        assert.equal(2, #reports)
      end)
    end)
  end))

  it("tells a connection's failure with its peer", support.run(function()
    with_reports(function(reports)
      with_server(function(stream) stream:read_exactly(10) end, nil, function(_, connect)
        local a = connect()
        local _, port = a:getsockname()
        a:write("123")
        a:close()
        while not reports[1] do
          weft.sleep(0)
        end
        local e = reports[1].exception
        assert.same({ "connection", "EOF", "127.0.0.1", port, "123" },
          { e.kind, e.code, e.host, e.port, e.partial })
      end)
    end)
  end))

  it("reports no handler that was cancelled", support.run(function()
    with_reports(function(reports)
      with_server(echo, nil, function(_, connect)
        local a = connect()
        a:write("x")
        assert.equal("x", a:read())
        a:close()
      end)
      assert.same({}, reports)
    end)
  end))

  it("takes a callable for a handler, and nothing else", support.run(function()
    with_server(setmetatable({}, { __call = function(_, stream) stream:write("called") end }),
      nil, function(_, connect)
        local a = connect()
        assert.equal("called", a:read_all())
        a:close()
      end)
    for _, bad in ipairs { 1, "x", {}, true } do
      support.raises("type", weft.start_server, bad, { port = 0 })
    end
    support.raises("type", weft.start_server)
  end))

  it("serves no more than max_connections at once", support.run(function()
    local now, most, gate = 0, 0, weft.event()
    with_server(function(stream)
      now = now + 1
      most = math.max(most, now)
      gate:wait()
      now = now - 1
      stream:write("served")
    end, { max_connections = 2 }, function(server, connect)
      local tasks = {}
      for i = 1, 7 do
        tasks[i] = weft.create_task(function()
          return connect():with(function(a) return a:read_all() end)
        end)
      end
      while now < 2 do
        weft.sleep(0)
      end
      for _ = 1, 20 do
        weft.sleep(0.0001)
      end
      assert.same({ 2, 2 }, { most, server:statistics().connections })
      gate:set()
      for _, task in ipairs(tasks) do
        assert.equal("served", task:await())
      end
      assert.equal(2, most)
      assert.equal(7, server:statistics().accepted)
    end)
  end))

  it("shares a port with others that reuse it", support.run(function()
    with_server(echo, { reuse_port = true }, function(server)
      local host, port = server:getsockname()
      with_server(echo, { port = port, reuse_port = true }, function(second)
        assert.same({ host, port }, { second:getsockname() })
      end)
      local e = support.raises({ "connection", "EADDRINUSE" }, weft.start_server, echo,
        { port = port })
      assert.same({ host, port, "listen" }, { e.host, e.port, e.phase })
      assert.equal(("listen on 127.0.0.1:%d: address already in use"):format(port), e.message)
    end)
  end))

  it("may take a port at once that was closed with connections", support.run(function()
    local port
    with_server(function(stream) stream:write("x") end, nil, function(server, connect)
      port = select(2, server:getsockname())
      local a = connect()
      assert.equal("x", a:read_all())
      a:close()
    end)
    with_server(echo, { port = port }, function(server)
      assert.equal(port, (select(2, server:getsockname())))
    end)
  end))

  it("keeps backlog connections waiting for it", support.run(function()
    local listener, host, port = streams.listen("127.0.0.1", 0, { backlog = 1 })
    local made = 0
    for _ = 1, 8 do
      local ok, e = pcall(weft.open_connection, { host = host, port = port, timeout = 0.02 })
      if not ok then
        assert.equal("timeout", e.kind)
        break
      end
      made = made + 1
    end
    assert.is_true(made >= 1 and made <= 2, made)
    core.listener_close(listener)
    collectgarbage()
  end))

  it("passes options on to its connections", support.run(function()
    local values
    with_server(function(stream)
      local fd = stream:fileno()
      values = { sockets.option(fd, "nodelay"), sockets.option(fd, "keepalive") }
    end, { keepalive = 30, delay = true }, function(_, connect)
      local a = connect()
      assert.equal("", a:read())
      assert.equal(0, values[1])
      assert.is_true(values[2] ~= 0)
      a:close()
    end)
  end))

  it("refuses options that cannot be, and opens nothing", support.run(function()
    local before = #core.descriptors()
    for _, bad in ipairs { { port = -1 }, { port = "80" }, { port = 70000 }, { port = 1.5 },
      { host = "" }, { host = "a b", port = 0 }, { host = "a\r\nb", port = 0 },
      { host = "a\0b", port = 0 }, { host = 5, port = 0 }, { path = "" }, { path = "a\0b" },
      { path = 5 }, { path = "/tmp/x", port = 1 }, { backlog = "x" }, { backlog = 0 },
      { backlog = 1.5 },
      { backlog = -1 }, { backlog = 1e6 }, { max_connections = 0 }, { max_connections = "x" },
      { max_connections = 1.5 }, { keepalive = "x" }, { delay = 1 }, { reuse_port = 1 },
      { handshake_timeout = "1" }, { handshake_timeout = -1 } } do
      local ok, e = pcall(weft.start_server, echo, bad)
      assert.is_false(ok, next(bad))
      assert.is_true(weft.is_error(e, "type"), next(bad) .. ": " .. tostring(e))
    end
    local e = support.raises({ "type", "unknown_option" }, weft.start_server, echo,
      { max_connection = 1 })
    assert.equal("start_server: unknown option 'max_connection' (did you mean "
      .. "'max_connections'?)", e.message)
    support.raises("type", weft.start_server, echo, 80)
    assert.equal(before, #core.descriptors())
  end))
end)

describe("ending a server", function()
  it("close stops accepting, and lets connections go on", support.run(function()
    with_server(echo, nil, function(server, connect)
      local host, port = server:getsockname()
      local a = connect()
      a:write("1")
      assert.equal("1", a:read())
      server:close()
      server:close()
      assert.is_true(server:is_closed())
      assert.matches("^Server<closed 127.0.0.1:%d+ connections=1>$", tostring(server))
      support.raises("closed", server.getsockname, server)
      support.raises({ "connection", "ECONNREFUSED" }, weft.open_connection,
        { host = host, port = port })
      local closed = weft.create_task(server.wait_closed, server)
      a:write("2")
      assert.equal("2", a:read())
      assert.is_false(closed:done())
      a:close()
      closed:await()
    end)
  end))

  it("wait_closed waits for close, and then for the last handler", support.run(function()
    with_server(echo, nil, function(server, connect)
      local waiter = weft.create_task(server.wait_closed, server)
      testing.wait_all_parked()
      assert.is_false(waiter:done())
      local a = connect()
      a:write("x")
      assert.equal("x", a:read())
      a:close()
      testing.wait_all_parked()
      weft.sleep(0.001)
      assert.is_false(waiter:done()) -- no connection, but it is open
      server:close()
      waiter:await()
      server:wait_closed()
    end)
  end))

  it("shutdown lets handlers end in time", support.run(function()
    local gate, ended = weft.event(), 0
    with_server(function(stream)
      stream:write("x")
      gate:wait()
      ended = ended + 1
    end, nil, function(server, connect)
      local a, b = connect(), connect()
      assert.equal("xx", a:read() .. b:read())
      local task = weft.create_task(server.shutdown, server, 60)
      testing.wait_all_parked()
      assert.is_false(task:done())
      gate:set()
      task:await()
      assert.equal(2, ended)
      assert.same({ "", "" }, { a:read(), b:read() })
      a:close()
      b:close()
    end)
  end))

  it("shutdown cancels those that take longer, and waits for their clean-up",
    support.run(function()
      local cleaned = 0
      with_server(function(stream)
        stream:write("x")
        weft.finally(function() weft.event():wait() end, function()
          weft.sleep(0)
          cleaned = cleaned + 1
        end)
      end, nil, function(server, connect)
        local a, b = connect(), connect()
        assert.equal("xx", a:read() .. b:read())
        server:shutdown(0.001)
        assert.equal(2, cleaned)
        assert.equal(0, server:statistics().connections)
        a:close()
        b:close()
      end)
    end))

  it("shutdown without a limit waits for all", support.run(function()
    local done
    with_server(function(stream)
      stream:read_all()
      done = true
    end, nil, function(server, connect)
      local a = connect()
      a:write("x")
      local task = weft.create_task(server.shutdown, server)
      weft.sleep(0.001)
      assert.is_false(task:done())
      a:close()
      task:await()
      assert.is_true(done)
    end)
  end))

  it("a cancelled shutdown cancels the handlers", support.run(function()
    with_server(echo, nil, function(server, connect)
      local a = connect()
      a:write("x")
      assert.equal("x", a:read())
      local task = weft.create_task(server.shutdown, server, 60)
      testing.wait_all_parked()
      task:cancel()
      support.raises("cancelled", task.await, task)
      assert.equal(0, server:statistics().connections)
      assert.equal("", a:read())
      a:close()
    end)
  end))

  it("serve_forever ends with close, and closes when it is cancelled", support.run(function()
    with_server(echo, nil, function(server)
      local task = weft.create_task(server.serve_forever, server)
      testing.wait_all_parked()
      assert.is_false(task:done())
      server:close()
      task:await()
    end)
    with_server(echo, nil, function(server)
      local task = weft.create_task(server.serve_forever, server)
      testing.wait_all_parked()
      task:cancel()
      support.raises("cancelled", task.await, task)
      assert.is_true(server:is_closed())
    end)
  end))

  it("with closes it on return, error and cancellation, handlers too", support.run(function()
    local server = weft.start_server(echo)
    assert.same({ 1, nil, 3 }, { server:with(function(self, x)
      assert.equal(server, self)
      return x, nil, 3
    end, 1) })
    assert.is_true(server:is_closed())
    server = weft.start_server(echo)
    local host, port = server:getsockname()
    local a = weft.open_connection { host = host, port = port }
    a:write("x")
    assert.equal("x", a:read())
    assert.equal("mine", support.error_of(server.with, server, function() error("mine", 0) end))
    assert.equal("", a:read())
    a:close()
    server = weft.start_server(echo)
    local task = weft.create_task(server.with, server, weft.sleep)
    task:cancel()
    pcall(task.await, task)
    server:close()
    support.raises("type", server.with, server, 5)
    weft.sleep(0)
  end))

  it("a connection that was accepted in the same turn is still served", support.run(function()
    local served = 0
    local server = weft.start_server(function() served = served + 1 end)
    local host, port = server:getsockname()
    local list = {}
    for i = 1, 5 do
      list[i] = weft.open_connection { host = host, port = port }
    end
    while server:statistics().accepted < 5 do
      weft.sleep(0)
    end
    server:close()
    server:wait_closed()
    assert.equal(5, served)
    for _, a in ipairs(list) do
      assert.equal("", a:read())
      a:close()
    end
  end))

  it("with its loop leaves no descriptor", support.outside(function()
    local before = #core.descriptors()
    local server, path = nil, streams.path()
    weft.run(function()
      server = weft.start_server(function(stream) stream:read() end)
      weft.start_server(echo, { path = path })
      local host, port = server:getsockname()
      local a = weft.open_connection { host = host, port = port }
      a:write("")
      weft.sleep(0.001)
    end)
    assert.equal(before, #core.descriptors())
    server:close()
    os.remove(path)
  end))

  it("that nobody holds goes on, because it accepts", support.run(function()
    local server = weft.start_server(echo)
    local host, port = server:getsockname()
    local weak = setmetatable({ server }, { __mode = "v" })
    server = nil -- luacheck: ignore
    collectgarbage()
    collectgarbage()
    local a = weft.open_connection { host = host, port = port }
    a:write("x")
    assert.equal("x", a:read())
    a:close()
    weak[1]:shutdown()
  end))
end)

describe("the file of a Unix socket", function()
  it("is there while the server is, and removed when it closes", support.run(function()
    local path = streams.path()
    local server = weft.start_server(echo, { path = path })
    assert.equal(path, (server:getsockname()))
    assert.equal(("Server<listening %s connections=0>"):format(path), tostring(server))
    local a = weft.open_connection { path = path }
    a:write("x")
    assert.equal("x", a:read())
    a:close()
    server:shutdown()
    support.raises({ "connection", "ENOENT" }, weft.open_connection, { path = path })
  end))

  it("of a server that is gone is replaced", support.run(function()
    local path = streams.path()
    core.listener_close((streams.listen(path))) -- leaves the file
    support.raises({ "connection", "ECONNREFUSED" }, weft.open_connection, { path = path })
    with_server(echo, { path = path }, function(_, connect)
      local a = connect()
      a:write("x")
      assert.equal("x", a:read())
      a:close()
    end)
  end))

  it("of a live server is left alone", support.run(function()
    local path = streams.path()
    with_server(echo, { path = path }, function(_, connect)
      local e = support.raises({ "connection", "EADDRINUSE" }, weft.start_server, echo,
        { path = path })
      assert.same({ path, "listen" }, { e.path, e.phase })
      local a = connect()
      a:write("x")
      assert.equal("x", a:read())
      a:close()
    end)
  end))

  it("is never another file", support.run(function()
    local path = streams.path()
    file_with(path, "precious")
    support.raises({ "connection", "EADDRINUSE" }, weft.start_server, echo, { path = path })
    assert.equal("precious", contents(path))
    os.remove(path)
  end))

  it("in a folder that is not there is an error", support.run(function()
    local path = streams.path() .. "/x"
    local e = support.raises({ "connection", "ENOENT" }, weft.start_server, echo,
      { path = path })
    assert.equal(path, e.path)
  end))
end)

describe("a server in adversity", function()
  -- Some clients at once, each with a few exchanges.
  local function exchange()
    weft.get_running_loop():set_exception_handler(function() end)
    weft.start_server(function(stream)
      for line in stream:lines() do
        stream:write(line:upper(), "\n")
      end
    end):with(function(server)
      local host, port = server:getsockname()
      weft.task_group(function(group)
        for _, text in ipairs { "a", "b", "c" } do
          group:create_task(function()
            weft.open_connection { host = host, port = port }:with(function(a)
              for i = 1, 2 do
                a:write(text, i, "\n")
                assert.equal(text:upper() .. i, a:read_line())
              end
              a:shutdown()
              assert.is_nil(a:read_line())
            end)
          end)
        end
      end)
    end)
  end

  it("leaks nothing, wherever it is cancelled", function()
    assert.is_true(testing.cancel_everywhere(exchange) >= 1)
    assert.is_true(testing.cancel_everywhere(function()
      weft.try(weft.timeout, 3600, exchange)
    end, nil, { every_task = true }) >= 5)
  end)

  it("collections at each step do no harm", support.run(function()
    testing.gc_stress(exchange)
  end))

  it("serves again when it was short of memory", support.outside(function()
    local n, failures, is_done = 0, 0, false
    while not is_done do
      n = n + 1
      weft.run(function()
        local _, _, before = core.memory()
        local ok, e = testing.fail_allocation(n, weft.timeout, 20, exchange)
        local _, _, after = core.memory()
        is_done = after - before < n
        if not ok then -- what failed may be the client or, seen by the client, the server
          failures = failures + 1
          assert.is_false(weft.is_error(e, "timeout") or weft.is_error(e, "state"), tostring(e))
        end
        exchange()
      end)
    end
    assert.is_true(failures > 5, failures)
  end))

  it("out of descriptors accepts again when there are some", function()
    local output, status = cc.script(([[
      local sockets = package.loadlib(%q, "luaopen_sockets")()
      local core = require "weft.core"
      weft.run(function()
        local reports = {}
        weft.get_running_loop():set_exception_handler(function(_, context)
          reports[#reports + 1] = context
        end)
        local server = weft.start_server(function(s) s:write(s:read()) end, { port = 0 })
        local host, port = server:getsockname()
        local raw = {}
        for i = 1, 5 do
          raw[i] = sockets.connect(port) -- in the queue
        end
        sockets.descriptors(#core.descriptors())
        weft.sleep(0.12) -- it tries, waits, tries again
        print(server:statistics().accepted < 5, #reports, reports[1].exception.code)
        print(reports[1].message)
        sockets.descriptors(1000)
        while server:statistics().accepted < 5 do
          weft.sleep(0.001)
        end
        for _, fd in ipairs(raw) do
          sockets.close(fd)
        end
        local s = weft.open_connection { host = host, port = port }
        s:write("on")
        print(s:read())
        s:close()
        server:shutdown(0)
        print(#reports)
      end)
    ]]):format("./" .. cc.module_path("sockets")))
    assert.equal("true\t1\tEMFILE\ncannot accept connections for now\non\n1\n", output)
    assert.equal(0, status)
  end)

  it("serves a thousand connections at once", support.run(function()
    local N = support.slow and 100 or 1000
    local limit = sockets.descriptors(4 * N)
    local gate, arrived = weft.event(), 0
    with_server(function(stream)
      local line = stream:read_line()
      arrived = arrived + 1
      gate:wait()
      stream:write(line, "\n")
    end, nil, function(server, connect)
      local tasks = {}
      for i = 1, N do
        tasks[i] = weft.create_task(function()
          return connect():with(function(a)
            a:write(i, "\n")
            return a:read_line()
          end)
        end)
      end
      while arrived < N do
        weft.sleep(0.001)
      end
      assert.equal(N, server:statistics().connections)
      gate:set()
      for i, task in ipairs(tasks) do
        assert.equal(tostring(i), task:await())
      end
    end)
    sockets.descriptors(limit)
  end))
end)
