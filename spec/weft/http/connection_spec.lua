-- SPDX-License-Identifier: MIT
-- weft.http.connection: exchanges one after the other: every framing, at every split of the
-- response; what ends an exchange, and whether another may follow. What goes wrong is in
-- connection_failure_spec.lua, sending in connection_upload_spec.lua.

local connection = require "weft.http.connection"
local fields = require "weft.http.fields"
local http = require "spec.http_exchange"
local raw = require "spec.http_raw"
local support = require "spec.support"
local weft = require "weft"

local GET = http.request("GET")

describe("an exchange", function()
  it("sends a request and returns the response", support.run(function()
    local server = raw.serve(raw.answer(raw.response("hello", "X-A: 1\r\n")))
    local conn = connection.new(weft.open_connection { host = "127.0.0.1", port = server.port })
    for i = 1, 3 do
      local head = conn:exchange { method = "GET", target = "/a?b", fields = fields.new {
        Host = "h", Accept = "*/*" } }
      assert.equal(200, head.status)
      assert.equal("OK", head.reason)
      assert.equal("1.1", head.version)
      assert.equal("1", head.fields["x-a"])
      assert.same({}, head.defects)
      assert.equal("hello", head.body)
      assert.equal(5, head.length)
      assert.is_false(head.is_tunnel)
      assert.equal("GET /a?b HTTP/1.1\r\nAccept: */*\r\nHost: h\r\n\r\n", server.requests[i])
      assert.is_true(conn:is_reusable())
      assert.is_true(conn:is_alive())
      assert.equal(i * #server.requests[1], conn.bytes_sent)
      assert.equal(i * 51, conn.bytes_received)
    end
    conn:close()
    assert.equal(1, server.connections)
    server:close()
  end))
end)

-- Responses: text, what is read of it, and whether the connection lives on. `ends`: the end of
-- the stream is that of the body.
local RESPONSES = {
  { "a length", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789", "0123456789", true },
  { "no bytes", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "", true },
  { "chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    .. raw.chunked("0123456789", 3, "X-T: 1\r\n"), "0123456789", true, trailer = "1" },
  { "no chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "", true },
  { "the end of the stream", "HTTP/1.1 200 OK\r\n\r\n0123456789", "0123456789", false,
    ends = true },
  { "the end of the stream at once", "HTTP/1.1 200 OK\r\n\r\n", "", false, ends = true },
  { "HTTP/1.0", "HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc", "abc", false },
  { "HTTP/1.0 kept alive",
    "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\nabc", "abc", true },
  { "close", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc", "abc", false },
  { "204", "HTTP/1.1 204 No Content\r\n\r\n", "", true },
  { "304", "HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n", "", true },
  { "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", "", true, method = "HEAD" },
  { "informational ones", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue"
    .. "\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "ok", true },
  { "gzip", "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: "
    .. #http.GZIP_HELLO .. "\r\n\r\n" .. http.GZIP_HELLO, "hello hello hello", true },
  { "gzip in chunks", "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked"
    .. "\r\n\r\n" .. raw.chunked(http.GZIP_HELLO, 7), "hello hello hello", true },
  { "gzip up to the end", "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" .. http.GZIP_HELLO,
    "hello hello hello", false, ends = true },
  { "gzip as a transfer coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"
    .. raw.chunked(http.GZIP_HELLO, 5), "hello hello hello", true },
}

-- How a body is read, when it did not come with the head.
local READERS = {
  all = function(conn)
    return conn:read_all()
  end,
  some = function(conn)
    local parts = {}
    repeat
      parts[#parts + 1] = conn:read_some(4)
    until parts[#parts] == ""
    return table.concat(parts)
  end,
  ready = function(conn)
    local parts = {}
    repeat
      local part = conn:read_ready()
      parts[#parts + 1] = part
      if not part then
        weft.sleep(0)
      end
    until part == ""
    return table.concat(parts)
  end,
}

local function check(conn, case, read)
  local head = conn:exchange(http.request(case.method or "GET"), { decode = true })
  assert.equal(case[3], head.body or read(conn))
  assert.equal(case[4], conn:is_reusable())
  assert.equal(case[4] and "idle" or "closed", conn.state)
  assert.equal(case.trailer, conn.trailers and conn.trailers["x-t"])
  assert.equal("", conn:read_some())
  assert.equal("", conn:read_all())
  assert.is_true(conn:drain(0))
  assert.same({}, head.defects)
end

describe("a response ended by", function()
  for _, case in ipairs(RESPONSES) do
    for name, read in pairs(READERS) do
      it(case[1] .. ", at every split, read " .. name, support.run(function()
        for k = 1, #case[2] do
          http.with(function(conn, peer)
            http.answer(peer, case.ends, case[2])
            check(conn, case, read)
          end, { splits = { k, #case[2] } })
        end
      end))

      it(case[1] .. ", byte by byte, read " .. name, support.run(function()
        http.with(function(conn, peer)
          http.answer(peer, case.ends, case[2])
          check(conn, case, read)
        end, { splits = { 1 } })
      end))
    end
  end
end)

describe("a connection", function()
  it("serves one exchange after the other, whatever their framing", support.run(function()
    http.with(function(conn, peer)
      local task = weft.create_task(function()
        local reader = raw.reader(peer)
        for _, case in ipairs(RESPONSES) do
          if case[4] then
            reader:request()
            peer:write(case[2])
          end
        end
      end)
      for _, case in ipairs(RESPONSES) do
        if case[4] then
          check(conn, case, READERS.all)
        end
      end
      task:await()
    end)
  end))

  it("is not used again when the request said so", support.run(function()
    for value, can in pairs { close = false, ["x, Close"] = false, ["keep-alive"] = true,
      closed = true } do
      http.with(function(conn, peer)
        http.answer(peer, false, raw.response("ok"))
        conn:exchange(http.request("GET", nil, { fields = fields.new { Host = "h",
          Connection = value } }))
        assert.equal(can, conn:is_reusable())
      end)
    end
  end))

  it("does not take for an answer what came before the request", support.run(function()
    http.with(function(conn, peer)
      http.answer(peer, false, raw.response("ok"))
      conn:exchange(GET)
      peer:write(raw.response("forged"))
      assert.is_false(conn:is_alive())
      local e = support.raises("protocol", conn.exchange, conn, GET)
      assert.equal("send", e.phase)
      assert.is_false(conn.has_response_begun)
      assert.equal("closed", conn.state)
    end)
  end))

  it("takes limits that nothing reaches for none", support.run(function()
    http.with(function(conn, peer)
      http.answer(peer, false, raw.response("ok"))
      assert.equal("ok", conn:exchange(GET, { max_body_size = math.huge }).body)
      support.raises("type", conn.exchange, conn, http.request("PUT", function() end,
        { length = math.huge }))
      assert.equal("idle", conn.state)
    end, { limits = { max_line_size = math.huge, max_fields = 2 ^ 60 } })
  end))

  it("is not used again when something came behind the response", support.run(function()
    http.with(function(conn, peer)
      http.answer(peer, false, raw.response("ok") .. "x")
      assert.equal("ok", conn:exchange(GET).body)
      assert.equal("closed", conn.state)
      assert.is_false(conn:is_reusable())
    end)
  end))
end)
