-- SPDX-License-Identifier: MIT
-- weft.http.response: what is known of a response, reading its body once and again, in pieces, as
-- text and as JSON.

local fake = require "spec.http_fake"
local raw = require "spec.http_raw"
local http = require "weft.http"
local support = require "spec.support"
local weft = require "weft"

local raises, run = support.raises, support.run

local SITE = "http://example.com/"

-- The response that a session gets for an answer.
local function response(answer, opts, session_opts)
  local session = fake.session({ default = answer }, session_opts)
  return session:get(SITE .. "dir/x", opts), session
end

local function typed(content_type, body)
  return { status = 200, headers = { ["Content-Type"] = content_type }, body = body }
end

local function collect(iterator)
  local list = {}
  for piece in iterator do
    list[#list + 1] = piece
  end
  return list
end

describe("a response", function()
  it("tells what it is", run(function()
    local resp = response({ status = 201, body = "x", headers = {
      ["Content-Type"] = "Text/HTML; charset=UTF-8", ["Content-Length"] = 1,
      ["Set-Cookie"] = { "a=1; Path=/; Secure", "=", "b=2" },
      Link = '</p?2>; rel="next"' } })
    assert.same({ 201, "Created", "1.1", "GET", true, SITE .. "dir/x" }, { resp.status,
      resp.reason, resp.version, resp.method, resp.ok, resp.url })
    assert.same({ "text/html", "utf-8", 1 }, { resp.content_type, resp.charset,
      resp.content_length })
    assert.same({ "1", "/", true, "2" }, { resp.cookies.a.value, resp.cookies.a.path,
      resp.cookies.a.secure, resp.cookies.b.value })
    assert.equal(SITE .. "p?2", resp.links.next.url)
    assert.same({}, resp.history)
    assert.same({}, resp.defects)
    assert.is_true(resp.elapsed >= 0)
    assert.is_nil(resp.nothing)
    assert.is_nil(resp.trailers)
    assert.equal("Response<201 Created GET " .. SITE .. "dir/x>", tostring(resp))
    resp:close()
    assert.equal("Response<201 Created GET " .. SITE .. "dir/x closed>", tostring(resp))
    assert.equal("application/octet-stream", response("x").content_type)
    assert.is_nil(response("x").charset)
  end))

  it("counts the time to its head", support.virtual(function()
    local resp = response(function()
      weft.sleep(2)
      return "x"
    end)
    weft.sleep(5)
    assert.equal(2, resp.elapsed)
  end))

  it("raises for a status when it is asked to", run(function()
    local resp = response("x")
    assert.equal(resp, resp:raise_for_status())
    resp = response({ status = 500, reason = "", body = fake.pieces("x") })
    local e = raises("http", resp.raise_for_status, resp)
    assert.same({ 500, SITE .. "dir/x", "GET" }, { e.status, e.url, e.method })
    assert.is_true(resp.closed)
    resp = response({ status = 404, body = "why\nnot" })
    assert.equal("why\nnot", resp:text())
    assert.equal("why not", raises("http", resp.raise_for_status, resp).excerpt)
    assert.equal("why\nnot", resp:text())
    resp = response({ status = 404, body = "\0\1" })
    assert.is_nil(raises("http", resp.raise_for_status, resp).excerpt)
    resp = response({ status = 404, body = ("ä"):rep(200) })
    assert.equal(("ä"):rep(100) .. "…", raises("http", resp.raise_for_status, resp).excerpt)
  end))
end)

describe("reading", function()
  for name, body in pairs({ ["a whole body"] = function() return "abc" end,
    ["a body in pieces"] = function() return fake.pieces("a", "", "bc") end }) do
    it(("gives the same again, of %s"):format(name), run(function()
      local resp = response({ status = 200, body = body() })
      assert.same({ "abc", "abc", "abc", "abc" }, { resp:read(), resp:text(), resp:read(),
        resp:text() })
      resp:close()
      assert.equal("abc", resp:text())
      assert.same({ "abc" }, collect(resp:iter_any()))
      assert.same({ "ab", "c" }, collect(resp:iter_chunked(2)))
    end))

    it(("is refused after a part was streamed, of %s"):format(name), run(function()
      local resp = response({ status = 200, body = body() })
      assert.equal("a", resp:iter_chunked(1)())
      raises({ "state", "streamed" }, resp.read, resp)
      raises({ "state", "streamed" }, resp.text, resp)
      raises({ "state", "streamed" }, resp.save, resp, "/nowhere")
      assert.same({ "b", "c" }, collect(resp:iter_chunked(1)))
      assert.same({}, collect(resp:iter_any()))
      raises({ "state", "streamed" }, resp.read, resp)
    end))

    it(("is refused after the end, of %s"):format(name), run(function()
      for _, method in ipairs({ "close", "release" }) do
        local resp = response({ status = 200, body = body() })
        resp[method](resp)
        resp[method](resp)
        assert.is_true(resp.closed)
        for _, reader in ipairs({ "read", "text", "json", "iter_any", "iter_lines" }) do
          raises("closed", resp[reader], resp)
        end
      end
    end))
  end

  it("ends with the response while it is iterated over", run(function()
    local resp = response({ status = 200, body = fake.pieces("a", "b") })
    local step = resp:iter_any()
    step()
    resp:close()
    raises("closed", step)
  end))

  it("is bounded", run(function()
    local e = raises({ "limit", "max_body_size" }, response, "abcd", { max_body_size = 3 })
    assert.equal(SITE .. "dir/x", e.url)
    local resp = response({ status = 200, body = fake.pieces("ab", "cd") }, nil,
      { max_body_size = 3 })
    e = raises({ "limit", "max_body_size" }, resp.read, resp)
    assert.same({ SITE .. "dir/x", "GET" }, { e.url, e.method })
    raises({ "closed", "body_failed" }, resp.read, resp)
  end))

  it("fails as the body does, and closes", run(function()
    local closed = 0
    local resp = response({ status = 200, body = function()
      error(weft.Error({ kind = "connection", message = "gone" }))
    end, close = function() closed = closed + 1 end })
    local e = raises("connection", resp.read, resp)
    assert.equal(SITE .. "dir/x", e.url)
    assert.equal(1, closed)
    assert.equal(e, raises({ "closed", "body_failed" }, resp.text, resp).cause)
  end))

  it("ends with `with`", run(function()
    local resp = response({ status = 200, body = fake.pieces("a") })
    assert.equal("x", resp:with(function(r, x)
      assert.equal(resp, r)
      return x
    end, "x"))
    assert.is_true(resp.closed)
    resp = response({ status = 200, body = fake.pieces("a") })
    assert.equal("mine", support.error_of(resp.with, resp, function() error("mine", 0) end))
    assert.is_true(resp.closed)
  end))

  it("waits no more than is allowed, and can be cancelled", support.virtual(function()
    local closed = 0
    local resp = response({ status = 200, body = function()
      weft.sleep(100)
      return "x"
    end, close = function() closed = closed + 1 end })
    local task = weft.create_task(resp.read, resp)
    weft.sleep(1)
    task:cancel()
    raises("cancelled", task.await, task)
    assert.equal(1, closed)
    raises("closed", resp.read, resp)
    resp = response({ status = 200, body = function() weft.sleep(100) end })
    assert.is_nil(raises("timeout", weft.timeout, 3, resp.read, resp).phase)
  end))
end)

describe("lines", function()
  local function lines(max, ...)
    return collect(response({ status = 200, body = fake.pieces(...) }):iter_lines(max))
  end

  it("are what newlines separate, wherever the pieces end", run(function()
    local text = "a\r\nbc\n\n\rd\r\n\r\nend"
    local expected = { "a", "bc", "", "\rd", "", "end" }
    assert.same(expected, lines(nil, text))
    for k = 1, #text do
      assert.same(expected, lines(nil, text:sub(1, k), text:sub(k + 1)))
    end
    assert.same({ "a", "b" }, lines(nil, "a\nb\n"))
    assert.same({}, lines(nil))
    assert.same(expected, collect(response(text):iter_lines()))
  end))

  it("are bounded", run(function()
    assert.same({ "abc", "def" }, lines(3, "abc\r\nd", "ef\n"))
    raises("limit", lines, 3, "ab", "cd", "e")
    raises("type", lines, 0)
  end))

  it("leave the rest to the next iterator", run(function()
    local resp = response({ status = 200, body = fake.pieces("a\nbc\nd", "ef\ng") })
    assert.equal("a", resp:iter_lines()())
    assert.same({ "bc\n", "d" }, { resp:iter_chunked(3)(), resp:iter_chunked(3)() })
    assert.same({ "ef", "g" }, collect(resp:iter_lines()))
  end))
end)

describe("text", function()
  it("is in the encoding that the head, a mark or the document names", run(function()
    assert.equal("Привет", response(typed("text/plain; charset=windows-1251",
      "\207\240\232\226\229\242")):text())
    assert.equal("é", response(typed("text/plain", "\255\254\233\0")):text())
    assert.truthy(response(typed("text/html",
      '<meta charset=gb2312>\196\227\186\195')):text():find("你好", 1, true))
    assert.equal("é", response(typed("text/plain", "\233"), nil,
      { fallback_encoding = "latin1" }):text())
    assert.equal("\239\191\189", response(typed("text/plain", "\233")):text())
  end))

  it("can be read otherwise", run(function()
    local resp = response(typed("text/plain", "a\233"))
    assert.equal("aé", resp:text("latin1"))
    assert.equal("a", resp:text(nil, "ignore"))
    local e = raises("decode", resp.text, resp, "utf-8", "strict")
    assert.equal(SITE .. "dir/x", e.url)
    raises("decode", resp.text, resp, "nothing")
    assert.equal("a\239\191\189", resp:text())
  end))
end)

describe("JSON", function()
  local function json(body)
    return response(typed("application/json", body))
  end

  it("is read", run(function()
    assert.same({ a = { 1, 2 } }, json('{"a":[1,2]}'):json())
    assert.equal("é", response(typed("application/json; charset=latin1", '"\233"')):json())
    assert.is_nil(json("null"):json({ null = "nil" }))
    assert.equal(http.json_null(), json("null"):json())
  end))

  it("that is none says where, and whose", run(function()
    local resp = json('{"a":\n x}')
    local e = raises({ "decode", "invalid_json" }, resp.json, resp)
    assert.same({ 2, SITE .. "dir/x", "GET" }, { e.line, e.url, e.method })
    raises({ "type", "unknown_option" }, resp.json, resp, { x = 1 })
  end))

  it("must say that it is, unless told otherwise", run(function()
    for _, resp in ipairs { response(typed("text/html", "1")), (response("1")) } do
      local e = raises({ "decode", "content_type" }, resp.json, resp)
      assert.same({ SITE .. "dir/x", "GET" }, { e.url, e.method })
      raises({ "decode", "content_type" }, resp.json, resp, { content_type = "text/x" })
      assert.equal(1, resp:json { content_type = false })
      raises("type", resp.json, resp, { content_type = 1 })
    end
    local e = raises("decode", function() response(typed("text/html", "1")):json() end)
    assert.matches("not text/html", e.message, 1, true)
    assert.equal(1, response(typed("text/html", "1")):json { content_type = "text/html" })
    for _, name in ipairs { "text/json", "application/problem+json; charset=utf-8" } do
      assert.equal(1, response(typed(name, "1")):json())
    end
  end))
end)

describe("without read_until_eof", function()
  it("a body without a length is none", run(function()
    local opts = { read_until_eof = false }
    assert.equal("", response({ status = 200, body = fake.pieces("a") }, opts):read())
    assert.equal("a", response({ status = 200, body = fake.pieces("a"),
      headers = { ["Content-Length"] = "1" } }, opts):read())
    assert.equal("a", response({ status = 200, body = fake.pieces("a") }):read())
  end))
end)

describe("over the network", function()
  local function serve(script, fn, opts)
    local server = raw.serve(script)
    local session = http.session(opts)
    weft.finally(function()
      fn(session, ("http://127.0.0.1:%d/"):format(server.port), server)
    end, function()
      session:close()
      server:close()
    end)
  end

  it("a small body comes with the head, and the connection is used again", run(function()
    serve(raw.answer(raw.response("hello")), function(session, url, server)
      for _ = 1, 3 do
        local resp = session:get(url)
        assert.equal("hello", resp:text())
      end
      local counts = session:statistics()
      assert.same({ 1, 3, 2, 1, 0 }, { server.connections, counts.requests, counts.reused,
        counts.idle, counts.in_use })
      assert.equal(server.port, session:get(url).connection_info.peer.port)
    end)
  end))

  it("a body is streamed, and its trailers are there at the end", run(function()
    local body = ("0123456789"):rep(20000)
    serve(raw.answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
      .. raw.chunked(body, 5000, "X-Sum: 7\r\n")), function(session, url)
      local resp = session:get(url)
      local parts = collect(resp:iter_chunked(999))
      assert.equal(body, table.concat(parts))
      assert.equal("7", resp.trailers["x-sum"])
      assert.equal(body, session:get(url):read())
    end)
  end))

  it("a truncated body is an error with what had come", run(function()
    serve({ raw.request(), "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc" },
      function(session, url)
        local resp = session:get(url)
        local e = raises({ "connection", "ETRUNCATED" }, resp.read, resp)
        assert.same({ "abc", "body", url, "GET" }, { e.partial, e.phase, e.url, e.method })
      end)
  end))

  it("a response that nobody reads gives its connection back when collected", run(function()
    serve({ raw.request(), "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nabc", raw.hang() },
      function(session, url)
        local resp = session:get(url)
        assert.equal(200, resp.status)
        resp = nil -- luacheck: ignore 311
        for _ = 1, 5 do
          collectgarbage()
          weft.sleep(0)
        end
        assert.equal(0, session:statistics().in_use)
        assert.equal(200, session:get(url).status)
      end, { limit = 1 })
  end))

  it("another protocol takes the connection over", run(function()
    serve({ raw.head(), "HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\n"
      .. "Connection: Upgrade\r\n\r\nhi", function(stream)
        stream:write(stream:read_exactly(3))
      end }, function(session, url)
        local resp = session:get(url, { headers = { Upgrade = "echo", Connection = "Upgrade" } })
        assert.equal(101, resp.status)
        local stream = resp:detach()
        raises("closed", resp.detach, resp)
        assert.equal("hi", stream:read_exactly(2))
        stream:write("abc")
        assert.equal("abc", stream:read_exactly(3))
        stream:close()
        local other = session:get(url, { upgrade = true,
          headers = { Upgrade = "echo", Connection = "Upgrade" } })
        other:close()
        local e = raises("protocol", session.get, session, url)
        assert.equal("head", e.phase)
      end)
  end))

  it("a response that is no tunnel is not detached", run(function()
    local resp = response("x")
    raises("state", resp.detach, resp)
  end))

  it("informational responses are told", run(function()
    local seen = {}
    serve(raw.answer("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" .. raw.response("x")),
      function(session, url)
        session:get(url, { on_informational = function(status, headers)
          seen[#seen + 1] = status .. (headers.link or "")
        end })
      end)
    assert.same({ "103</a>" }, seen)
  end))

  it("a limit for all of it holds while the body trickles", run(function()
    serve({ raw.request(), "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc", raw.hang() },
      function(session, url)
        local resp = session:get(url, { timeout = 0.05 })
        local e = raises("timeout", resp.read, resp)
        assert.same({ "total", "body", 0.05 }, { e.timeout, e.phase, e.seconds })
        assert.equal(0, session:statistics().open)
      end)
  end))

  it("uploads come with their length, or in chunks", run(function()
    serve(raw.answer(raw.response("ok")), function(session, url, server)
      session:post(url, { data = fake.pieces("ab", "c") })
      session:post(url, { data = fake.pieces("ab", "c"), headers = { ["Content-Length"] = 3 } })
      session:post(url, { json = { a = 1 } })
      session:post(url)
      assert.same({ "abc", "abc", '{"a":1}' }, { server.bodies[1], server.bodies[2],
        server.bodies[3] })
      assert.equal("chunked", raw.field(server.requests[1], "transfer-encoding"))
      assert.equal("3", raw.field(server.requests[2], "content-length"))
      assert.equal("7", raw.field(server.requests[3], "content-length"))
      assert.equal("0", raw.field(server.requests[4], "content-length"))
    end)
  end))
end)
