-- SPDX-License-Identifier: MIT
-- weft.http.network and body_stream: connections kept and not, dead ones, what is given back
-- when, limits. By proxies: proxy_spec.

local networks = require "weft.http.network"
local fields = require "weft.http.fields"
local raw = require "spec.http_raw"
local support = require "spec.support"
local testing = require "weft.testing"
local timeouts = require "weft.http.timeouts"
local urls = require "weft.url"
local weft = require "weft"

local raises, run = support.raises, support.run

-- A request as a session makes it.
local function request(port, more)
  local url = urls.parse(("http://127.0.0.1:%d%s"):format(port, more and more.path or "/"))
  local made = { method = "GET", url = url, timeouts = {}, options = {}, is_replayable = true,
    is_idempotent = true }
  for key, value in pairs(more or {}) do
    made[key] = value
  end
  made.message = made.message or { method = made.method, body = made.body,
    fields = fields.new { Host = url.host } }
  return made
end

-- Calls fn(transport, port, server) with both.
local function with(script, opts, fn)
  local server, transport = raw.serve(script), networks.new(opts)
  weft.finally(function()
    fn(transport, server.port, server)
  end, function()
    transport:close()
    server:close()
  end)
end

local function get(transport, port, more)
  local head, body = transport:send(request(port, more))
  return body and body:read_all() or head.body, head
end

-- Nothing is in use any more.
local function quiet(transport)
  local counts = transport:statistics()
  assert.same({ 0, 0 }, { counts.in_use, counts.waiting })
end

local OK = raw.response("hello")
local LARGE = raw.response(("x"):rep(300000))
local CHUNKED = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

describe("a transport", function()
  it("keeps a connection and uses it again", run(function()
    with(raw.answer(OK), {}, function(transport, port, server)
      local url = urls.parse(("http://127.0.0.1:%d/a?b=c#d"):format(port))
      for i = 1, 3 do
        local text, head = get(transport, port, { url = url })
        assert.same({ "hello", 200, i > 1 }, { text, head.status, head.connection_info.reused })
        assert.same({ host = "127.0.0.1", port = port }, head.connection_info.peer)
        assert.is_nil(head.connection_info.tls)
      end
      assert.equal(1, server.connections)
      assert.matches("^GET /a%?b=c HTTP/1.1\r\n", server.requests[3])
      local counts = transport:statistics()
      assert.same({ 1, 1, 0, 3, 2, 0 }, { counts.open, counts.idle, counts.in_use,
        counts.requests, counts.reused, counts.retries })
      assert.equal(3 * #server.requests[1], counts.bytes_sent)
      assert.equal(3 * #OK, counts.bytes_received)
    end)
  end))

  it("does not keep what it is told not to keep", run(function()
    local closing = raw.response("x", "Connection: close\r\n")
    with({ { raw.request(), closing }, { raw.answer(OK) } }, {},
      function(transport, port, server)
        assert.equal("x", (get(transport, port)))
        assert.equal(0, transport:statistics().open)
        get(transport, port, { options = { force_close = true } })
        assert.equal(0, transport:statistics().open)
        assert.equal(2, server.connections)
      end)
  end))

  it("holds each response to the limits of its own request", run(function()
    local large = raw.response("ok", "A: " .. ("x"):rep(5000) .. "\r\n")
    with(raw.answer(large), { limit = 1 }, function(transport, port, server)
      local tight, wide = { max_field_size = 100 }, { max_field_size = 6000 }
      get(transport, port, { options = wide })
      raises("limit", get, transport, port, { options = tight })
      get(transport, port)
      get(transport, port, { options = wide })
      raises("limit", get, transport, port, { options = tight })
      assert.equal(2, server.connections)
      quiet(transport)
    end)
  end))

  it("does not use one again behind which something came", run(function()
    with({ { raw.request(), OK .. "garbage", raw.hang() }, { raw.answer(OK) } }, {},
      function(transport, port, server)
        assert.equal("hello", (get(transport, port)))
        assert.equal("hello", (get(transport, port)))
        assert.equal(2, server.connections)
        quiet(transport)
      end)
  end))

  it("is closed with what is idle, in use, and waited for", run(function()
    with({ raw.request(), raw.hang() }, { limit = 1 }, function(transport, port)
      local tasks = {}
      for i = 1, 2 do
        tasks[i] = weft.create_task(transport.send, transport, request(port))
      end
      repeat weft.sleep(0) until transport:statistics().bytes_sent >= 0
        and transport:statistics().waiting == 1
      testing.wait_all_parked()
      transport:close()
      transport:close()
      for _, task in ipairs(tasks) do
        raises("closed", task.await, task)
      end
      raises("closed", transport.send, transport, request(port))
      quiet(transport)
    end)
  end))

  it("is closed while it connects, in each phase", run(function()
    local gate = weft.event()
    local resolver = { resolve = function()
      gate:wait()
    end }
    local function closes(transport, phase, made)
      local task = weft.create_task(transport.send, transport, made)
      testing.wait_all_parked()
      repeat weft.sleep(0) until made.phase == phase
      transport:close()
      assert.equal(phase, raises("closed", task.await, task).phase)
      quiet(transport)
      assert.same({}, transport._connecting)
    end
    closes(networks.new { resolver = resolver }, "dns",
      request(80, { url = urls.parse "http://slow.test/" }))
    local server = raw.serve { raw.hang() }
    local url = ("https://127.0.0.1:%d/"):format(server.port)
    closes(networks.new(), "tls", request(80, { url = urls.parse(url) }))
    closes(networks.new(), "proxy", request(80, { url = urls.parse(url),
      proxy = { url = urls.parse(("http://127.0.0.1:%d/"):format(server.port)) } }))
    server:close()
  end))

  it("closed in the turn in which it has connected has nothing open", run(function()
    with(raw.answer(OK), {}, function(transport, port)
      local task = weft.create_task(transport.send, transport, request(port, {
        trace = function(event)
          if event == "connect" then
            transport:close()
          end
        end }))
      assert.is_truthy(raises("closed", task.await, task))
      assert.same({ 0, 0 }, { transport:statistics().open, transport:statistics().in_use })
    end)
  end))

  it("bounds heads as each request says, also over a kept connection", run(function()
    local big = raw.response("hello", "X-A: " .. ("x"):rep(100) .. "\r\n")
    with({ raw.answer(big) }, {}, function(transport, port, server)
      local small = { max_field_size = 50 }
      raises("limit", get, transport, port, { options = small })
      get(transport, port)
      get(transport, port)
      assert.equal(2, server.connections)
      for name, value in pairs { max_field_size = 50, max_line_size = 10, max_fields = 1,
        max_head_size = 60 } do
        local e = raises("limit", get, transport, port, { options = { [name] = value } })
        assert.same({ name, "head" }, { name, e.phase })
        local _, head = get(transport, port)
        assert.is_false(head.connection_info.reused)
        _, head = get(transport, port, { options = { [name] = 1000 } })
        assert.is_true(head.connection_info.reused)
        _, head = get(transport, port) -- the usual limits again
        assert.is_true(head.connection_info.reused)
      end
    end)
  end))

  it("can be used in one loop after the other", support.outside(function()
    local transport = networks.new { limit = 1 }
    for _ = 1, 2 do
      weft.run(function()
        local server = raw.serve(raw.answer(OK))
        for i = 1, 2 do
          local _, head = get(transport, server.port)
          assert.equal(i == 2, head.connection_info.reused)
        end
        server:close()
      end)
    end
    assert.equal(1, transport:statistics().open)
    transport:close()
    assert.equal(0, transport:statistics().open)
  end))

  it("outside a task says so and loses nothing", support.outside(function()
    local transport = networks.new()
    raises("state", transport.send, transport, request(80))
    quiet(transport)
  end))

  it("refuses options that cannot be", function()
    raises({ "type", "unknown_option" }, networks.new, { limits = 1 })
    raises("type", networks.new, { family = "inet5" })
    raises("type", networks.new, { local_addr = "127.0.0.1" })
    raises("type", networks.new, { path = "" })
  end)

  it("connects to a Unix socket", run(function()
    local path = require "spec.streams".path()
    local server = weft.start_server(function(stream)
      stream:read_until("\r\n\r\n")
      stream:write(OK)
    end, { path = path })
    local transport = networks.new { path = path }
    assert.equal("hello", (get(transport, 80)))
    transport:close()
    server:shutdown(0)
  end))
end)

describe("a body that comes later", function()
  it("is read in pieces or at once, and the connection is kept", run(function()
    with(raw.answer(LARGE), {}, function(transport, port, server)
      local head, body = transport:send(request(port))
      assert.same({ 200, nil }, { head.status, head.body })
      assert.equal(1, transport:statistics().in_use)
      local size = 0
      local data
      repeat
        data = body:read_some(1000)
        assert.truthy(#data <= 1000)
        size = size + #data
      until data == ""
      assert.same({ 300000, true, "", "" }, { size, body.ended, body:read_some(), body:read_all() })
      quiet(transport)
      head, body = transport:send(request(port))
      assert.equal(300000, #body:read_all())
      assert.same({ 200, {} }, { head.status, body:defects() })
      assert.equal(1, server.connections)
      body:release()
      body:close()
      quiet(transport)
    end)
  end))

  it("has its trailers at the end", run(function()
    local script = raw.answer(CHUNKED .. raw.chunked(("x"):rep(200000), 5000, "X-Sum: 1\r\n"))
    with(script, {}, function(transport, port)
      local _, body = transport:send(request(port))
      assert.is_nil(body:trailers())
      assert.equal(200000, #body:read_all())
      assert.equal("1", body:trailers():get("x-sum"))
    end)
  end))

  it("is dropped when it is short and there, else the connection is closed", run(function()
    local more = weft.event()
    with({ { raw.request(), "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", raw.wait(more),
      "hello", raw.answer(OK) }, { raw.request(), LARGE, raw.hang() } }, {},
      function(transport, port, server)
        local _, body = transport:send(request(port))
        more:set()
        local first
        repeat -- in steps, until the server has sent it
          weft.sleep(0)
          first = body:read_ready(1)
        until first
        assert.equal("h", first)
        body:release()
        assert.equal(1, transport:statistics().idle)
        raises("closed", body.read_some, body)
        get(transport, port)
        assert.equal(1, server.connections)
        transport:statistics()
      end)
    with({ raw.request(), LARGE, raw.hang() }, {}, function(transport, port)
      local _, body = transport:send(request(port))
      body:release()
      assert.equal(0, transport:statistics().open)
      raises("closed", body.read_all, body)
      _, body = transport:send(request(port))
      body:close()
      assert.equal(0, transport:statistics().open)
    end)
  end))

  it("cut or malformed gives the slot back", run(function()
    with({ { raw.request(), "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello" },
      { raw.request(), CHUNKED .. "5\r\nhello\r\nz\r\n", raw.hang() } }, {},
      function(transport, port)
        local _, body = transport:send(request(port))
        local e = raises({ "connection", "ETRUNCATED" }, body.read_all, body)
        assert.same({ "body", "hello" }, { e.phase, e.partial })
        assert.equal(0, transport:statistics().open)
        raises("closed", body.read_some, body)
        e = raises("protocol", get, transport, port)
        assert.truthy(e.phase == "body" or e.phase == "head")
        assert.equal(0, transport:statistics().open)
      end)
  end))

  it("that nobody has any more gives its slot back", run(function()
    with({ raw.request(), LARGE, raw.hang() }, { limit = 1 }, function(transport, port)
      transport:send(request(port)) -- the body is dropped here
      local task = weft.create_task(transport.send, transport, request(port))
      for _ = 1, 20 do
        weft.sleep(0)
        collectgarbage()
      end
      local _, body = task:await()
      assert.equal(1, transport:statistics().in_use)
      body:close()
      quiet(transport)
    end)
  end))

  it("that nobody has any more is looked for while somebody waits", run(function()
    with({ { raw.request(), LARGE, raw.hang() }, { raw.answer(OK) } }, { limit = 1 },
      function(transport, port)
        weft.create_task(function()
          transport:send(request(port))
        end):await()
        assert.equal("hello", (get(transport, port))) -- after a second
        quiet(transport)
        assert.equal(0, transport._pool.lent)
      end)
  end))

  it("of a wrong use is not touched", run(function()
    with({ raw.request(), LARGE, raw.hang() }, {}, function(transport, port)
      local _, body = transport:send(request(port))
      raises("type", body.read_some, body, "x")
      assert.equal(300000, #body:read_all())
    end)
  end))
end)

describe("a kept connection that was closed", function()
  -- Answers the first request, and closes when it has read the second.
  local STALE = { raw.request(), OK, raw.request() }

  it("is noticed before it is used", run(function()
    with({ { raw.request(), OK }, { raw.answer(OK) } }, {}, function(transport, port, server)
      get(transport, port)
      for _ = 1, 10 do
        weft.sleep(0)
      end
      weft.sleep(0.01)
      get(transport, port, { is_idempotent = false })
      assert.same({ 2, 0 }, { server.connections, transport:statistics().retries })
    end)
  end))

  it("is replaced by a new one, for what may be sent twice", run(function()
    with({ STALE, { raw.answer(OK) } }, { limit = 1 }, function(transport, port, server)
      get(transport, port)
      local text, head = get(transport, port)
      assert.same({ "hello", false }, { text, head.connection_info.reused })
      assert.same({ 2, 1, 3 }, { server.connections, transport:statistics().retries,
        #server.requests })
      quiet(transport)
    end)
  end))

  it("also when it was reset", run(function()
    with({ { raw.request(), OK, raw.most(), raw.reset() }, { raw.answer(OK) } }, {},
      function(transport, port)
        get(transport, port)
        assert.equal("hello", (get(transport, port)))
        assert.equal(1, transport:statistics().retries)
      end)
  end))

  it("is an error for what must not be sent twice", run(function()
    local function post(more)
      more.method, more.body = "POST", "data"
      return more
    end
    for _, more in ipairs { post { is_idempotent = false }, post { is_replayable = false } } do
      with({ STALE, { raw.answer(OK) } }, {}, function(transport, port, server)
        get(transport, port)
        local e = raises("connection", get, transport, port, more)
        assert.equal("head", e.phase)
        assert.same({ 1, 0 }, { server.connections, transport:statistics().retries })
        assert.equal(0, transport:statistics().open)
      end)
    end
  end))

  it("is an error once a byte of the response has come", run(function()
    with({ { raw.request(), OK, raw.request(), "H" }, { raw.answer(OK) } }, {},
      function(transport, port, server)
        get(transport, port)
        raises("connection", get, transport, port)
        assert.equal(1, server.connections)
        assert.equal(0, transport:statistics().open)
      end)
  end))

  it("is tried again once, and a new connection never", run(function()
    with({ STALE, { raw.request() } }, {}, function(transport, port, server)
      get(transport, port)
      local e = raises("connection", get, transport, port)
      assert.equal("head", e.phase)
      assert.same({ 2, 3 }, { server.connections, #server.requests })
      raises("connection", get, transport, port)
      assert.equal(3, server.connections)
      assert.equal(0, transport:statistics().open)
    end)
  end))

  it("that cannot be replaced gives the slot back", run(function()
    with({ STALE }, { limit = 1 }, function(transport, port, server)
      get(transport, port)
      local task = weft.create_task(get, transport, port)
      while #server.requests < 1 do
        weft.sleep(0)
      end
      server._server:close() -- no other connection is accepted
      local ok, e = weft.try(task.await, task)
      assert.is_nil(ok)
      assert.truthy(weft.is_error(e, "connection"))
      quiet(transport)
    end)
  end))

  it("makes a source of the body again, if that can be", run(function()
    local function source()
      local parts = { "ab", "cd" }
      return function() return table.remove(parts, 1) end
    end
    with({ STALE, { raw.answer(OK) } }, {}, function(transport, port, server)
      get(transport, port)
      get(transport, port, { method = "PUT", body = source(), rewind = source })
      assert.same({ "abcd", "abcd" }, { server.bodies[2], server.bodies[3] })
    end)
  end))
end)

describe("limits:", function()
  it("more requests than connections wait for each other", run(function()
    with(raw.answer(OK), { limit = 2 }, function(transport, port, server)
      local list = {}
      for i = 1, 20 do
        list[i] = function() return (get(transport, port)) end
      end
      local results = weft.gather((table.unpack or unpack)(list)) -- luacheck: ignore 113 143
      assert.equal(20, #results)
      assert.equal(2, server.connections)
      assert.equal(18, transport:statistics().reused)
      quiet(transport)
    end)
  end))

  it("waiting for a connection has a time limit", run(function()
    with({ raw.request(), LARGE, raw.hang() }, { limit = 1 }, function(transport, port)
      local _, body = transport:send(request(port))
      local e = raises("timeout", get, transport, port, { timeouts = { pool = 0.01 } })
      assert.same({ "pool", "pool" }, { e.phase, e.timeout })
      e = raises("timeout", get, transport, port, { timeouts = { connect = 0.01 } })
      assert.same({ "pool", "connect" }, { e.phase, e.timeout })
      assert.equal(0, transport:statistics().waiting)
      body:close()
      quiet(transport)
    end)
  end))

  it("silence of the server has one, by phase", run(function()
    local gate = weft.event()
    with({ raw.request(), raw.wait(gate) }, {}, function(transport, port)
      local e = raises("timeout", get, transport, port, { timeouts = { ttfb = 0.01 } })
      assert.same({ "head", "ttfb" }, { e.phase, e.timeout })
      e = raises("timeout", get, transport, port, { timeouts = { sock_read = 0.01 } })
      assert.same({ "head", "sock_read" }, { e.phase, e.timeout })
      assert.equal(0, transport:statistics().open)
    end)
    with({ raw.request(), "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", raw.wait(gate) }, {},
      function(transport, port)
        -- long enough for the head, under valgrind too
        local _, body = transport:send(request(port, { timeouts = { sock_read = 0.3 } }))
        local e = raises("timeout", body.read_all, body)
        assert.same({ "body", "sock_read" }, { e.phase, e.timeout })
        assert.equal(0, transport:statistics().open)
      end)
  end))

  it("one from outside can tell how far it came", run(function()
    local gate = weft.event()
    with({ raw.request(), OK, raw.request(), "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",
      raw.wait(gate) }, {}, function(transport, port, server)
        get(transport, port)
        local made = request(port)
        local _, body = transport:send(made)
        assert.equal("a", body:read_some(1)) -- the rest has come, too, and is not taken
        local e = raises("timeout", timeouts.within, "total", made, 0.02, body.read_all, body)
        assert.same({ "body", "total" }, { e.phase, e.timeout })
        assert.matches((", %d bytes sent and 41 received"):format(#server.requests[1]),
          e.message, 1, true)
        assert.equal(41 + #OK, transport:statistics().bytes_received)
      end)
  end))

  it("looking up has one, and its errors say so", run(function()
    local resolver = { resolve = function(_, host)
      if host == "slow.test" then
        weft.sleep(10)
      end
      error(weft.Error { kind = "dns", message = "no such host", phase = "dns" }, 0)
    end }
    local transport = networks.new { resolver = resolver, limit = 1 }
    local slow, none = urls.parse "http://slow.test/", urls.parse "http://none.test/"
    local e = raises("timeout", get, transport, 80, { url = slow, timeouts = { dns = 0.01 } })
    assert.same({ "dns", "dns" }, { e.phase, e.timeout })
    e = raises("timeout", get, transport, 80, { url = slow, timeouts = { connect = 0.01 } })
    assert.same({ "dns", "connect" }, { e.phase, e.timeout })
    assert.equal("dns", raises("dns", get, transport, 80, { url = none }).phase)
    quiet(transport)
    transport:close()
  end))

  it("the handshake has one", run(function()
    with({ raw.hang() }, {}, function(transport, port)
      local url = urls.parse(("https://127.0.0.1:%d/"):format(port))
      local e = raises("timeout", get, transport, port, { url = url, timeouts = { tls = 0.01 } })
      assert.same({ "tls", "tls" }, { e.phase, e.timeout })
      quiet(transport)
    end)
  end))

  it("a rate has to be kept", run(function()
    with({ raw.request(), "HTTP/1.1 200 OK\r\nContent-Length: 900000\r\n\r\nabc", raw.hang() }, {},
      function(transport, port)
        local _, body = transport:send(request(port, { timeouts = { min_rate = 1e9 } }))
        body._rate.credit = 0.02 -- in place of ten seconds
        local e = raises("timeout", body.read_all, body)
        assert.same({ "body", "min_rate" }, { e.phase, e.timeout })
        assert.equal(0, transport:statistics().open)
      end)
  end))

  it("a rate that is kept takes its time", run(function()
    local function drip(stream)
      for _ = 1, 20 do
        weft.sleep(0.01)
        stream:write(("x"):rep(1000))
      end
    end
    with({ raw.request(), "HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n", drip,
      raw.hang() }, {}, function(transport, port)
      local _, body = transport:send(request(port, { timeouts = { min_rate = 5000 } }))
      body._rate.credit = 0.1 -- in place of ten seconds
      assert.equal(20000, #body:read_all())
    end)
  end))

  it("refused says by whom", run(function()
    local transport = networks.new()
    local server = raw.serve { raw.hang() }
    server:close()
    local e = raises({ "connection", "ECONNREFUSED" }, get, transport, server.port)
    assert.same({ "connect", "127.0.0.1" }, { e.phase, e.host })
    quiet(transport)
    transport:close()
  end))
end)

describe("what is sent", function()
  it("and cannot be leaves the connection as it was", run(function()
    with(raw.answer(OK), {}, function(transport, port, server)
      get(transport, port)
      local e = raises("type", get, transport, port, { method = "GET X" })
      assert.equal("invalid_method", e.code)
      assert.equal("hello", (get(transport, port)))
      assert.equal(1, server.connections)
    end)
  end))

  it("is told step by step to a trace", run(function()
    with({ { raw.request(), OK, raw.request(), LARGE, raw.hang() } }, {},
      function(transport, port)
        local events = {}
        local function trace(event, what)
          events[#events + 1] = event
          assert.equal("number", type(what.time))
        end
        get(transport, port, { trace = trace })
        assert.same({ "connect", "sent", "head", "chunk", "end" }, events)
        events = {}
        get(transport, port, { trace = trace })
        assert.same({ "reused", "sent", "head", "chunk", "end" }, events)
      end)
  end))

  it("a trace that raises loses nothing", run(function()
    for _, at in ipairs { "connect", "reused", "sent", "head", "chunk", "end" } do
      with(raw.answer(LARGE), { limit = 1 }, function(transport, port)
        local function trace(event)
          if event == at then
            error("from the hook", 0)
          end
        end
        if at == "reused" then
          get(transport, port)
        end
        assert.equal("from the hook", support.error_of(get, transport, port, { trace = trace }))
        quiet(transport)
        get(transport, port)
      end)
    end
  end))
end)

describe("under garbage collection at each step", function()
  it("all is as usual", run(function()
    with(raw.answer(LARGE), { limit = 2 }, function(transport, port)
      testing.gc_stress(function()
        for _ = 1, 3 do
          local _, body = transport:send(request(port))
          assert.equal(10, #body:read_some(10))
          assert.equal(299990, #body:read_all())
          transport:send(request(port))
        end
      end)
      collectgarbage()
      collectgarbage()
      weft.sleep(0)
      quiet(transport)
    end)
  end))
end)

describe("another protocol", function()
  it("gets the stream, with what came behind the response", run(function()
    with({ raw.head(), "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n"
      .. "\r\nhi", raw.bytes(3), "bye" }, { limit = 1 }, function(transport, port)
      local head, body = transport:send(request(port, { options = { upgrade = true } }))
      assert.same({ 101, true, nil }, { head.status, head.is_tunnel, body })
      assert.equal(0, transport:statistics().open)
      assert.equal("hi", head.stream:read_exactly(2))
      head.stream:write("abc")
      assert.equal("bye", head.stream:read_all())
      head.stream:close()
    end)
  end))
end)

describe("cancellation", function()
  local function everywhere(script, opts, fn)
    local transport
    testing.cancel_everywhere(function()
      transport = networks.new(opts)
      local server = raw.serve(script)
      weft.finally(function() fn(transport, server.port) end, function()
        quiet(transport)
        transport:close()
        server:close()
      end)
    end)
  end

  it("at any wait loses no slot", support.outside(function()
    everywhere(raw.answer(LARGE), { limit = 1 }, function(transport, port)
      get(transport, port)
      local _, body = transport:send(request(port))
      local done = false
      weft.finally(function()
        repeat until body:read_some() == ""
        done = true
      end, function()
        if not done then
          body:close()
        end
      end)
    end)
  end))

  it("at any wait of an upload and of the second attempt too", support.outside(function()
    local stale = { raw.request(), OK, raw.request() }
    everywhere({ stale, { raw.answer(OK) } }, { limit = 1 }, function(transport, port)
      get(transport, port)
      get(transport, port, { method = "PUT", body = "data" })
    end)
    everywhere(raw.answer(OK), { limit = 1 }, function(transport, port)
      local i = 0
      get(transport, port, { method = "PUT", body = function()
        i = i + 1
        weft.sleep(0)
        return i < 4 and "abc" or nil
      end })
    end)
  end))

  it("of many requests at random times loses nothing", run(function()
    math.randomseed(7)
    with(raw.answer(function(_, _, n)
      return n % 3 == 0 and LARGE or n % 7 == 0 and "nonsense\r\n\r\n" or OK
    end), { limit = 5 }, function(transport, port)
      local tasks = {}
      for i = 1, support.rounds(300) do
        tasks[i] = weft.create_task(function()
          for _ = 1, 3 do
            pcall(get, transport, port)
            weft.sleep(0)
          end
        end)
      end
      for _, task in ipairs(tasks) do
        if math.random(3) == 1 then
          task:cancel()
        elseif math.random(3) == 1 then
          weft.sleep(0)
        end
      end
      weft.wait(tasks)
      for _, task in ipairs(tasks) do
        pcall(task.await, task)
      end
      quiet(transport)
      assert.equal("hello", (get(transport, port, { is_idempotent = true })) and "hello")
    end)
  end))
end)
