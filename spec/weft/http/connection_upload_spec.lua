-- SPDX-License-Identifier: MIT
-- weft.http.connection: sending: bodies, sources, chunks, 100 (Continue), responses that come
-- before all is sent; and what is no ordinary exchange: tunnels, upgrades, idle connections.

local connection = require "weft.http.connection"
local fields = require "weft.http.fields"
local http = require "spec.http_exchange"
local raw = require "spec.http_raw"
local streams = require "spec.streams"
local support = require "spec.support"
local testing = require "weft.testing"
local weft = require "weft"

local GET = http.request("GET")
local OK = raw.response("ok")

-- A source of the list's items; `log` gets what happens to it.
local function source(list, log)
  local i = 0
  return function()
    i = i + 1
    local ok, e = pcall(weft.sleep, 0.001)
    if not ok then
      log[#log + 1] = e.kind
      error(e, 0)
    end
    if log then
      log[#log + 1] = i
    end
    return list[i]
  end
end

-- What a server got of a request: its head and body.
local function sent(message, opts, pair)
  local head, body
  http.with(function(conn, peer)
    http.tasks[1] = weft.create_task(function()
      head, body = raw.reader(peer):request()
      peer:write(OK)
    end)
    assert.equal("ok", conn:exchange(message, opts).body)
    assert.equal("idle", conn.state)
  end, pair)
  return head, body
end

local NARROW = { b = { capacity = 11, splits = { 3, 1 } } }

describe("a request's body", function()
  it("is a string or a list of strings", support.run(function()
    for _, pair in ipairs { {}, NARROW } do
      local head, body = sent(http.request("POST", "hello"), nil, pair)
      assert.equal("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n", head)
      assert.equal("hello", body)
      head, body = sent(http.request("POST", { "a", "", "bc" }), nil, pair)
      assert.equal("3", raw.field(head, "content-length"))
      assert.equal("abc", body)
      local list = {}
      for i = 1, 100 do
        list[i] = ("%03d"):format(i)
      end
      head, body = sent(http.request("POST", list), nil, pair)
      assert.equal("300", raw.field(head, "content-length"))
      assert.equal(table.concat(list), body)
    end
  end))

  it("is announced as none by methods that usually have one", support.run(function()
    for method, length in pairs { POST = "0", PUT = "0", PATCH = "0", GET = false,
      DELETE = false } do
      local head = sent(http.request(method))
      assert.equal(length or nil, raw.field(head, "content-length"))
    end
    assert.equal("0", raw.field(sent(http.request("DELETE", "")), "content-length"))
  end))

  it("comes in chunks from a source", support.run(function()
    for _, pair in ipairs { {}, NARROW } do
      local head, body = sent(http.request("POST", source { "abc", "", ("x"):rep(300), "d" }), nil,
        pair)
      assert.equal("chunked", raw.field(head, "transfer-encoding"))
      assert.is_nil(raw.field(head, "content-length"))
      assert.equal("abc" .. ("x"):rep(300) .. "d", body)
    end
  end))

  it("comes in its length from a source", support.run(function()
    for _, pair in ipairs { {}, NARROW } do
      local head, body = sent(http.request("POST", source { "abc", "", "de" }, { length = 5 }), nil,
        pair)
      assert.is_nil(raw.field(head, "transfer-encoding"))
      assert.equal("5", raw.field(head, "content-length"))
      assert.equal("abcde", body)
      head, body = sent(http.request("POST", source {}, { length = 0 }), nil, pair)
      assert.equal("0", raw.field(head, "content-length"))
      assert.equal("", body)
    end
  end))

  it("has trailers", support.run(function()
    for _, body in ipairs { "abc", { "a", "bc" }, source { "ab", "c" } } do
      http.with(function(conn, peer)
        local head, got, trailers
        http.tasks[1] = weft.create_task(function()
          local reader = raw.reader(peer)
          head = reader:head()
          got, trailers = reader:chunks()
          peer:write(OK)
        end)
        conn:exchange(http.request("POST", body, { trailers = fields.new { Digest = "x" } }))
        assert.equal("chunked", raw.field(head, "transfer-encoding"))
        assert.equal("abc", got)
        assert.same({ "Digest: x" }, trailers)
      end)
    end
  end))

  it("tells when all is sent", support.run(function()
    for _, message in ipairs { GET, http.request("POST", ("x"):rep(100)),
      http.request("POST", source { "a", "b" }),
      http.request("POST", "abc", { expect_continue = true }) } do
      local calls = 0
      sent(message, { on_sent = function()
        calls = calls + 1
      end, expect_timeout = 0 })
      assert.equal(1, calls)
    end
  end))

  local function broken(make, kind, length)
    http.with(function(conn, peer)
      http.answer(peer, false)
      local e = support.raises(kind, conn.exchange, conn, http.request("POST", make,
        { length = length }))
      assert.equal("closed", conn.state)
      assert.is_nil(weft.is_error(e) and e.phase or nil)
    end)
  end

  it("fails with its source", support.run(function()
    broken(function()
      error(weft.Error { kind = "os", message = "no file", code = "ENOENT" })
    end, { "os", "ENOENT" })
    broken(source { "abc", 5 }, { "type", "invalid_body" })
    broken(source { "abc", "de" }, { "type", "invalid_body" }, 4)
    broken(source { "abc" }, { "type", "invalid_body" }, 4)
    http.with(function(conn, peer)
      http.answer(peer, false)
      local e = support.error_of(conn.exchange, conn, http.request("POST", function()
        error({ foreign = true })
      end))
      assert.same({ foreign = true }, e)
    end)
    http.with(function(conn)
      support.raises({ "type", "invalid_header" }, conn.exchange, conn, http.request("POST", "x",
        { trailers = fields.new { Host = "x" } }))
    end)
  end))

  it("that fails after the head of the response fails its reading", support.run(function()
    http.with(function(conn, peer)
      peer:write("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab")
      local go = weft.event()
      local head = conn:exchange(http.request("POST", function()
        go:wait()
        error("gone")
      end))
      assert.is_nil(head.body)
      assert.equal("ab", conn:read_some())
      go:set()
      assert.truthy(tostring(support.error_of(conn.read_some, conn)):find("gone", 1, true))
      support.raises("closed", conn.read_some, conn)
    end)
  end))
end)

describe("a response before all is sent", function()
  it("is returned, and the upload goes on", support.run(function()
    http.with(function(conn, peer)
      local go, got = weft.event(), nil
      http.tasks[1] = weft.create_task(function()
        local reader = raw.reader(peer)
        reader:head()
        peer:write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
        got = reader:chunks()
        peer:write("ok")
      end)
      local n = 0
      local head = conn:exchange(http.request("POST", function()
        n = n + 1
        if n == 2 then
          go:wait()
        end
        return n < 4 and "x" or nil
      end))
      assert.equal(200, head.status)
      go:set()
      assert.equal("ok", conn:read_all())
      assert.equal("xxx", got)
      assert.equal("idle", conn.state)
    end)
  end))

  it("that is whole ends the upload and the connection", support.virtual(function()
    for _, text in ipairs { raw.response("too large", nil, "413 Content Too Large"),
      "HTTP/1.1 413 Content Too Large\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ntoo \r\n" } do
      http.with(function(conn, peer)
        local log = {}
        http.tasks[1] = weft.create_task(function()
          raw.reader(peer):head()
          peer:write(text)
          if not text:find("large", 1, true) then
            weft.sleep(0.01)
            peer:write("5\r\nlarge\r\n0\r\n\r\n")
          end
        end)
        local list = setmetatable({}, { __index = function()
          return "x"
        end })
        local head = conn:exchange(http.request("POST", source(list, log)))
        assert.equal(413, head.status)
        assert.equal("too large", head.body or conn:read_all())
        assert.equal("closed", conn.state)
        assert.equal("cancelled", log[#log])
        local n = #log
        weft.sleep(0.01)
        assert.equal(n, #log) -- it has ended
      end)
    end
  end))

  it("counts though the rest could not be sent", support.run(function()
    local server = raw.serve { raw.head(), raw.response("too large", "Connection: close\r\n",
      "413 Content Too Large"), raw.shutdown() }
    for _, body in ipairs { ("x"):rep(8 * 1024 * 1024), function()
      return ("x"):rep(64 * 1024)
    end } do
      local conn = connection.new(weft.open_connection { host = "127.0.0.1", port = server.port })
      local head = conn:exchange(http.request("POST", body))
      assert.equal(413, head.status)
      assert.equal("too large", head.body or conn:read_all())
      assert.equal("closed", conn.state)
    end
    server:close()
  end))

  it("that never comes is a failure of sending, if that failed", support.run(function()
    local server = raw.serve { raw.most(), raw.reset() }
    for _, body in ipairs { ("x"):rep(8 * 1024 * 1024), function()
      return ("x"):rep(64 * 1024)
    end } do
      local conn = connection.new(weft.open_connection { host = "127.0.0.1", port = server.port })
      local e = support.raises("connection", conn.exchange, conn, http.request("POST", body))
      assert.is_true(e.code == "ECONNRESET" or e.code == "EPIPE")
      assert.is_true(e.phase == "send" or e.phase == "head")
      assert.is_false(conn.has_response_begun)
      assert.truthy(e.message:find("127.0.0.1", 1, true))
    end
    server:close()
  end))
end)

describe("100 (Continue)", function()
  local BODIES = { "abc", { "a", "bc" }, function()
    return source { "a", "bc" }
  end }

  local function each(fn)
    for _, body in ipairs(BODIES) do
      http.with(function(conn, peer)
        fn(conn, peer, http.request("PUT", type(body) == "function" and body() or body,
          { expect_continue = true, fields = fields.new { Host = "h", Expect = "100-continue" } }))
      end)
    end
  end

  it("lets the body go", support.virtual(function()
    each(function(conn, peer, message)
      local task = weft.create_task(function()
        local reader = raw.reader(peer)
        local head = reader:head()
        weft.sleep(0.5)
        peer:write("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n")
        local start = weft.get_running_loop():time()
        assert.equal("abc", reader:body(head))
        assert.near(start, weft.get_running_loop():time(), 0.1)
        peer:write(OK)
      end)
      local seen = {}
      assert.equal("ok", conn:exchange(message, { on_informational = function(status)
        seen[#seen + 1] = status
      end }).body)
      assert.same({ 103, 100 }, seen)
      assert.equal("idle", conn.state)
      task:await()
    end)
  end))

  it("is not waited for longer than expect_timeout", support.virtual(function()
    for timeout, expected in pairs { [0.25] = 0.25, [false] = 1 } do
      each(function(conn, peer, message)
        local start = weft.get_running_loop():time()
        local task = weft.create_task(function()
          local reader = raw.reader(peer)
          local head = reader:head()
          assert.equal("abc", reader:body(head))
          assert.near(start + expected, weft.get_running_loop():time(), 0.1)
          peer:write("HTTP/1.1 100 Continue\r\n\r\n" .. OK)
        end)
        assert.equal("ok", conn:exchange(message, { expect_timeout = timeout or nil }).body)
        assert.equal("idle", conn.state)
        task:await()
      end)
    end
  end))

  it("in whose place the response comes, keeps the body back", support.virtual(function()
    each(function(conn, peer, message)
      local task = weft.create_task(function()
        raw.reader(peer):head()
        peer:write(raw.response("no", nil, "417 Expectation Failed"))
      end)
      local head = conn:exchange(message)
      assert.equal(417, head.status)
      assert.equal("no", head.body)
      assert.equal("closed", conn.state)
      task:await()
      assert.equal("", peer:read())
    end)
  end))

  it("that does not come as the connection ends is a failure", support.virtual(function()
    each(function(conn, peer, message)
      local task = weft.create_task(function()
        raw.reader(peer):head()
        peer:shutdown()
      end)
      local e = support.raises({ "connection", "ETRUNCATED" }, conn.exchange, conn, message)
      assert.equal("head", e.phase)
      task:await()
    end)
  end))
end)

describe("an informational response", function()
  it("is told, with its fields", support.run(function()
    http.with(function(conn, peer)
      http.answer(peer, false, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
        .. "HTTP/1.1 103 Early Hints\r\nLink: </b>\r\n\r\n" .. OK)
      local seen = {}
      local head = conn:exchange(GET, { on_informational = function(status, f)
        seen[#seen + 1] = status .. f.link
      end })
      assert.same({ "103</a>", "103</b>" }, seen)
      assert.is_nil(head.fields.link)
      assert.equal("ok", head.body)
    end, { splits = { 5 } })
  end))

  it("may raise in the program, which closes the connection", support.run(function()
    http.with(function(conn, peer)
      http.answer(peer, false, "HTTP/1.1 103 Early Hints\r\n\r\n" .. OK)
      assert.equal("mine", support.error_of(conn.exchange, conn, GET, {
        on_informational = function()
          error("mine", 0)
        end }))
      assert.equal("closed", conn.state)
    end)
  end))
end)

describe("a tunnel", function()
  it("begins behind the response to CONNECT, and keeps what came with it", support.run(function()
    for _, splits in ipairs { { 1 }, { 1000 } } do
      http.with(function(conn, peer)
        http.answer(peer, false, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
        local head = conn:exchange { method = "CONNECT", target = "a:443",
          fields = fields.new { Host = "a:443" } }
        assert.is_true(head.is_tunnel)
        assert.is_nil(head.body)
        assert.same({ "no-body-here" }, head.defects)
        assert.is_false(conn:is_reusable())
        assert.is_false(conn:drain(100))
        local stream = conn:detach()
        assert.equal("closed", conn.state)
        support.raises("closed", conn.detach, conn)
        conn:close()
        assert.equal("hello", stream:read_exactly(5))
        stream:write("back")
        assert.equal("back", peer:read_exactly(4))
        stream:close()
      end, { splits = splits })
    end
  end))

  it("does not begin when CONNECT is refused", support.run(function()
    http.with(function(conn, peer)
      http.answer(peer, false, raw.response("no", nil, "403 Forbidden"))
      local head = conn:exchange { method = "CONNECT", target = "a:443",
        fields = fields.new { Host = "a:443" } }
      assert.equal(403, head.status)
      assert.equal("no", head.body)
      assert.is_false(head.is_tunnel)
      assert.is_true(conn:is_reusable())
    end)
  end))

  it("begins with a 101 that was asked for", support.run(function()
    http.with(function(conn, peer)
      http.answer(peer, false, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nraw")
      local head = conn:exchange(GET, { upgrade = true, idle_timeout = 5 })
      assert.equal(101, head.status)
      assert.is_true(head.is_tunnel)
      assert.equal("raw", conn:detach():read_exactly(3))
    end)
  end))

  it("does not begin before all of the request is sent", support.run(function()
    http.with(function(conn, peer)
      peer:write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n")
      local e = support.raises("protocol", conn.exchange, conn, http.request("POST", function()
        weft.sleep(100)
      end), { upgrade = true })
      assert.equal("head", e.phase)
      assert.equal("closed", conn.state)
    end)
  end))
end)

describe("what is left of a body", function()
  local function begun(text, fn, opts, exchange)
    http.with(function(conn, peer)
      http.answer(peer, false, text)
      conn:exchange(GET, exchange)
      fn(conn, peer)
    end, opts)
  end

  it("is dropped when it is there", support.virtual(function()
    local text = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" .. raw.chunked(
      ("x"):rep(3000), 100)
    begun(text:sub(1, 200), function(conn, peer)
      peer:write(text:sub(201))
      weft.sleep(0.001)
      assert.is_true(conn:drain(10000))
      assert.equal("idle", conn.state)
      http.answer(peer, false, OK)
      assert.equal("ok", conn:exchange(GET).body)
    end)
    begun(text, function(conn)
      assert.is_false(conn:drain(10000)) -- it is too large already
      assert.equal("active", conn.state)
    end, nil, { max_body_size = 10 })
  end))

  it("is not waited for", support.virtual(function()
    for _, text in ipairs { "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab",
      "HTTP/1.1 200 OK\r\n\r\nab", "HTTP/1.1 200 OK\r\nContent-Length: 500000\r\n\r\nab" } do
      begun(text, function(conn)
        assert.is_false(conn:drain(1000))
        support.raises("closed", conn.read_all, conn)
      end)
    end
  end))

  it("that is coded is dropped as it is", support.virtual(function()
    local text = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: "
      .. #http.GZIP_HELLO .. "\r\n\r\n" .. http.GZIP_HELLO
    begun(text:sub(1, -6), function(conn, peer)
      assert.equal("h", conn:read_some(1))
      peer:write(text:sub(-5))
      weft.sleep(0.001)
      assert.is_true(conn:drain(5))
      assert.is_true(conn:is_reusable())
    end, nil, { decode = true })
  end))
end)

describe("an idle connection", function()
  for _, kind in ipairs(streams.kinds) do
    it("is alive until something comes, over " .. kind.name, support.run(function()
      for _, what in ipairs { "bytes", "end" } do
        streams.with(kind, function(a, b)
          local conn = connection.new(a)
          http.answer(b, false, OK)
          assert.equal("ok", conn:exchange(GET).body or conn:read_all())
          for _ = 1, 3 do
            assert.is_true(conn:is_alive())
            weft.sleep(0)
          end
          if what == "bytes" then
            b:write("x")
          else
            b:close()
          end
          while conn:is_alive() do
            weft.sleep(0.001)
          end
          assert.is_true(conn:is_reusable())
          conn:close()
          assert.is_false(conn:is_reusable())
          http.tasks = {}
        end)
      end
    end))
  end

  it("that a server has closed fails before a byte of a response", support.run(function()
    http.with(function(conn, peer)
      http.answer(peer, false, OK)
      conn:exchange(GET)
      peer:close()
      local e = support.raises("connection", conn.exchange, conn, GET)
      assert.is_false(conn.has_response_begun)
      assert.truthy(e.phase)
      assert.equal("closed", conn.state)
    end)
  end))

  it("shows itself, and closes at the end of its scope", support.run(function()
    local a, peer = testing.pair()
    local conn = connection.new(a, { max_line_size = 100 })
    assert.equal("Connection<idle>", tostring(conn))
    getmetatable(conn).__close(conn)
    assert.is_true(a:is_closed())
    assert.equal("closed", conn.state)
    support.raises("type", connection.new, a, { max_lines = 1 })
    support.raises("type", connection.new, a, { max_fields = 0 })
    support.raises("type", connection.new, {})
    peer:close()
  end))
end)
