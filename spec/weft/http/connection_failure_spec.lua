-- SPDX-License-Identifier: MIT
-- weft.http.connection: what goes wrong: responses cut, reset, malformed, too large or too slow;
-- cancellation and closing at every wait. After each the connection is closed, and nothing is left.

local fields = require "weft.http.fields"
local http = require "spec.http_exchange"
local raw = require "spec.http_raw"
local support = require "spec.support"
local testing = require "weft.testing"
local weft = require "weft"

local GET = http.request("GET")

local HEAD = "HTTP/1.1 200 OK\r\n"

-- What is read, whether it came with the head or not.
local function fetch(conn, message, opts, max)
  local head = conn:exchange(message or GET, opts)
  return head.body or conn:read_all(max), head
end

local function fetch_some(conn, message, opts)
  local head, parts = conn:exchange(message or GET, opts), {}
  if head.body then
    return head.body, parts
  end
  repeat
    parts[#parts + 1] = conn:read_some(4)
  until parts[#parts] == ""
  return table.concat(parts), parts
end

-- The error of a response; the connection must be closed after it.
local function failure(kind, text, ends, fn, ...)
  local args, e = { n = select("#", ...), ... }, nil
  http.with(function(conn, peer)
    http.answer(peer, ends, text)
    e = support.raises(kind, fn or fetch, conn, (table.unpack or unpack)(args, 1, args.n))
    assert.equal("closed", conn.state)
    assert.is_false(conn:is_reusable())
    assert.is_false(conn:is_alive())
    support.raises("closed", conn.exchange, conn, GET)
    support.raises("closed", conn.read_all, conn)
  end)
  return e
end

local CUT = {
  { "a length", HEAD .. "Content-Length: 10\r\n\r\n", "0123456789" },
  { "chunks", HEAD .. "Transfer-Encoding: chunked\r\n\r\n",
    raw.chunked("0123456789", 3, "A: b\r\n") },
  { "gzip", HEAD .. "Content-Encoding: gzip\r\nContent-Length: " .. #http.GZIP_HELLO .. "\r\n\r\n",
    http.GZIP_HELLO },
}

describe("a response with", function()
  for _, case in ipairs(CUT) do
    it(case[1] .. " that is cut after any byte is a failure", support.run(function()
      local text = case[2] .. case[3]
      for k = 0, #text - 1 do
        local e = failure({ "connection", "ETRUNCATED" }, text:sub(1, k), true, nil, GET,
          { decode = true })
        assert.equal(k < #case[2] and "head" or "body", e.phase)
        if e.phase == "body" then
          assert.equal(e.partial, ("0123456789hello hello hello"):match(
            (case[1] == "gzip" and "hello hello hello" or "0123456789"):sub(1, #e.partial)))
        else
          assert.is_nil(e.partial)
        end
      end
    end))

    it(case[1] .. " is a failure when the connection is reset at any byte", support.run(function()
      local text = case[2] .. case[3]
      for k = 0, #text - 1 do
        http.with(function(conn, peer, stream)
          stream:fault("reset", k)
          if k > 0 then
            http.answer(peer, false, text)
          end
          local e = support.raises("connection", fetch, conn, GET, { decode = true })
          assert.equal(k == 0 and "EPIPE" or "ECONNRESET", k == 0 and "EPIPE" or e.code)
          assert.equal(k == 0 and "send" or k < #case[2] and "head" or "body",
            k == 0 and "send" or e.phase)
          assert.equal(k > 0, conn.has_response_begun)
          assert.equal("closed", conn.state)
        end)
      end
    end))
  end

  it("a cut body gives what came before it fails", support.run(function()
    http.with(function(conn, peer)
      http.answer(peer, true, HEAD .. "Content-Length: 10\r\n\r\n01234")
      conn:exchange(GET)
      assert.equal("012", conn:read_some(3))
      assert.equal("34", conn:read_some(3))
      local e = support.raises({ "connection", "ETRUNCATED" }, conn.read_some, conn)
      assert.equal("", e.partial)
      assert.equal("body", e.phase)
    end)
  end))

  it("a cut body tells the bytes that were not handed out", support.run(function()
    for _, framing in ipairs { "Content-Length: 10\r\n\r\n01234",
      "Transfer-Encoding: chunked\r\n\r\n3\r\n012\r\nff\r\n34" } do
      http.with(function(conn, peer)
        http.answer(peer, true, HEAD .. framing)
        conn:exchange(GET)
        assert.equal("01", conn:read_some(2))
        local e = support.raises({ "connection", "ETRUNCATED" }, conn.read_all, conn)
        assert.equal("234", e.partial)
      end)
    end
  end))

  it("nothing before its end is told from one that was cut", support.run(function()
    local e = failure({ "connection", "ETRUNCATED" }, "", true)
    assert.truthy(e.message:find("before the message began", 1, true))
    assert.truthy(e.message:find("pair a", 1, true))
    e = failure({ "connection", "ETRUNCATED" }, "H", true)
    assert.truthy(e.message:find("inside the message", 1, true))
  end))
end)

-- What a shell's command writes, by gzip.
local function gzip(command)
  local pipe = assert(io.popen(command .. " 2>/dev/null | gzip -9", "r"))
  local data = pipe:read("*a")
  pipe:close()
  return data
end

local function coded(body, framing)
  return HEAD .. "Content-Encoding: gzip\r\n" .. (framing == "chunked"
    and "Transfer-Encoding: chunked\r\n\r\n" .. raw.chunked(body, 1000)
    or ("Content-Length: %d\r\n\r\n%s"):format(#body, body))
end

describe("a response that is malformed", function()
  local BAD = {
    { "HTTP/2 200 OK\r\n\r\n", "head", 0 },
    { "SSH-2.0-OpenSSH\r\n\r\n", "head", 0 },
    { HEAD .. "A\0: b\r\n\r\n", "head" },
    { HEAD .. "Content-Length: 1\r\nContent-Length: 2\r\n\r\nx", "head" },
    { HEAD .. "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\nx", "head" },
    { "HTTP/1.1 101 Switching Protocols\r\n\r\n", "head" },
    { HEAD .. "Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n", "body", 53 },
    { HEAD .. "Transfer-Encoding: chunked\r\n\r\nzz\r\n", "body", 47 },
  }
  for i, case in ipairs(BAD) do
    it("is a failure of the protocol, with the byte, " .. i, support.run(function()
      for _, read in ipairs { fetch, fetch_some } do
        local e = failure({ "protocol", "EPROTOCOL" }, case[1], false, read)
        assert.equal(case[2], e.phase)
        assert.equal("number", type(e.at))
        assert.equal(case[3] or e.at, e.at)
      end
    end))
  end

  it("by its coding is a failure to decode", support.run(function()
    for _, framing in ipairs { "length", "chunked" } do
      for _, read in ipairs { fetch, fetch_some } do
        local e = failure({ "decode", "EDECODE" }, coded("this is no gzip", framing), false, read,
          GET, { decode = true })
        assert.equal("body", e.phase)
        e = failure({ "decode", "ECODINGCUT" }, coded(http.GZIP_HELLO:sub(1, -3), framing), false,
          read, GET, { decode = true })
        assert.equal("body", e.phase)
      end
    end
  end))

  it("by a transfer coding that is not known is a failure to decode", support.run(function()
    local e = failure({ "decode", "ECODING" }, HEAD
      .. "Transfer-Encoding: compress, chunked\r\n\r\n" .. raw.chunked("x", 1), false)
    assert.equal("body", e.phase)
  end))

  it("by a content coding that is not known is left as it is", support.run(function()
    http.with(function(conn, peer)
      http.answer(peer, false, HEAD .. "Content-Encoding: snappy\r\nContent-Length: 3\r\n\r\nabc")
      local body, head = fetch(conn, GET, { decode = true })
      assert.equal("abc", body)
      assert.same({ "unknown-coding" }, head.defects)
      assert.same({ "unknown-coding" }, conn:defects())
    end)
  end))

  it("without harm is taken, with its defects", support.run(function()
    http.with(function(conn, peer)
      http.answer(peer, false, "HTTP/1.1 200\nContent-Length: 2\nContent-Length: 2\n\nok")
      local body, head = fetch(conn)
      assert.equal("ok", body)
      assert.same({ "bare-lf", "no-reason", "length-repeated" }, head.defects)
    end)
  end))

  it("by its coding is as it is when nobody asks for decoding", support.run(function()
    http.with(function(conn, peer)
      http.answer(peer, false, coded(http.GZIP_HELLO, "length"))
      assert.equal(http.GZIP_HELLO, (fetch(conn)))
    end)
  end))
end)

describe("a response that is too large", function()
  it("in its head is a failure, by the limits of the connection", support.run(function()
    local LIMITS = {
      { { max_line_size = 30 }, "HTTP/1.1 200 " .. ("x"):rep(30) .. "\r\n\r\n" },
      { { max_field_size = 30 }, HEAD .. "A: " .. ("x"):rep(30) .. "\r\n\r\n" },
      { { max_fields = 2 }, HEAD .. "A: 1\r\nB: 2\r\nC: 3\r\n\r\n" },
      { { max_head_size = 60 }, HEAD .. ("A: 1234567\r\n"):rep(5) .. "\r\n" },
      { { max_informational = 1 }, ("HTTP/1.1 103 Hints\r\n\r\n"):rep(2) .. HEAD .. "\r\n" },
      { {}, "HTTP/1.1 200 " .. ("x"):rep(17000) .. "\r\n\r\n" },
      { {}, HEAD .. "A: " .. ("x"):rep(33000) .. "\r\n\r\n" },
      { {}, HEAD .. ("A: 1\r\n"):rep(257) .. "\r\n" },
      { {}, HEAD .. ("A: " .. ("x"):rep(30000) .. "\r\n"):rep(5) .. "\r\n" },
      { {}, ("HTTP/1.1 103 Hints\r\n\r\n"):rep(17) .. HEAD .. "\r\n" },
    }
    for _, case in ipairs(LIMITS) do
      http.with(function(conn, peer)
        http.answer(peer, false, case[2])
        local e = support.raises({ "limit", "ELIMIT" }, fetch, conn)
        assert.equal("head", e.phase)
        assert.equal("number", type(e.at))
        assert.equal("closed", conn.state)
      end, { limits = case[1], capacity = 256 * 1024 })
    end
  end))

  it("within all limits but just so is taken", support.run(function()
    http.with(function(conn, peer)
      http.answer(peer, false, HEAD .. ("A: 1\r\n"):rep(255) .. "Content-Length: 0\r\n\r\n")
      local _, head = fetch(conn)
      assert.equal(256, head.fields:count())
    end)
  end))

  local FRAMINGS = {
    ["a length"] = function(body)
      return raw.response(body), false
    end,
    chunks = function(body)
      return HEAD .. "Transfer-Encoding: chunked\r\n\r\n" .. raw.chunked(body, 300), false
    end,
    ["the end of the stream"] = function(body)
      return HEAD .. "\r\n" .. body, true
    end,
  }
  for name, make in pairs(FRAMINGS) do
    it("in its body is a failure, with " .. name, support.run(function()
      local text, ends = make(("x"):rep(1000))
      for _, opts in ipairs { { splits = { 1 } }, { splits = { 700 } }, {} } do
        for _, case in ipairs { { 999, nil, true }, { 1000 }, { 1001 }, { nil, 999, true },
          { nil, 1000 }, { 500, 2000, true } } do
          http.with(function(conn, peer)
            http.answer(peer, ends, text)
            local head = conn:exchange(GET, { max_body_size = case[2] })
            if head.body then -- read_all was not asked
              assert.equal(1000, #head.body)
              assert.is_nil(case[2] == 999 or nil)
            elseif case[3] then
              local e = support.raises({ "limit", "max_body_size" }, conn.read_all, conn, case[1])
              assert.equal("body", e.phase)
              assert.equal("closed", conn.state)
            else
              assert.equal(1000, #conn:read_all(case[1]))
            end
          end, opts)
        end
        http.with(function(conn, peer)
          http.answer(peer, ends, text)
          conn:exchange(GET, { max_body_size = 999 })
          local e = support.raises({ "limit", "max_body_size" }, function()
            while conn:read_some(100) ~= "" do end
          end)
          assert.equal("body", e.phase)
        end, opts)
      end
    end))
  end

  it("when decoded is a failure before it is decoded", support.run(function()
    local size = 8 * 1024 * 1024
    local data = gzip(("yes 'It is a long text' 2>/dev/null | head -c %d"):format(size))
    for _, framing in ipairs { "length", "chunked" } do
      for _, read in ipairs { fetch, fetch_some } do
        local e = failure({ "limit", "max_body_size" }, coded(data, framing), false, read, GET,
          { decode = true, max_body_size = 100000 })
        assert.equal("body", e.phase)
      end
      failure({ "limit", "max_body_size" }, coded(data, framing), false, fetch, GET,
        { decode = true }, 100000)
    end
    http.with(function(conn, peer)
      http.answer(peer, false, coded(data, "chunked"))
      assert.equal(size, #fetch(conn, GET, { decode = true }))
    end)
  end))

  it("for what it was made of is a failure", support.run(function()
    local bomb = HEAD .. "Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s"
    local data = gzip("head -c 67108864 /dev/zero")
    local e = failure({ "limit", "EEXPANSION" }, bomb:format(#data, data), false, fetch, GET,
      { decode = true })
    assert.equal("body", e.phase)
  end))
end)

describe("an exchange that is broken off", function()
  local function whole(opts, message, read)
    return function()
      http.with(function(conn, peer)
        http.answer(peer, opts.ends, opts.text)
        read(conn, message and message() or GET, { decode = true, idle_timeout = opts.idle })
      end, opts)
    end
  end

  local CASES = {
    { "with a length", { text = raw.response(("x"):rep(20)), splits = { 9 } } },
    { "in chunks", { text = HEAD .. "Transfer-Encoding: chunked\r\n\r\n"
      .. raw.chunked(("x"):rep(20), 7), splits = { 9 } } },
    { "up to the end", { text = HEAD .. "\r\n" .. ("x"):rep(20), ends = true, splits = { 9 } } },
    { "with gzip", { text = coded(http.GZIP_HELLO, "chunked"), splits = { 11 } } },
    { "with a limit on silence", { text = raw.response(("x"):rep(20)), splits = { 9 }, idle = 5 } },
    { "with a body that is slow to go", { text = raw.response("ok"), b = { capacity = 16 } },
      function()
        return http.request("POST", ("x"):rep(100))
      end },
    { "with a source", { text = raw.response("ok"), b = { capacity = 16 } }, function()
      local i = 0
      return http.request("POST", function()
        weft.sleep(0.1)
        i = i + 1
        return i < 4 and ("x"):rep(10) or nil
      end)
    end },
    { "with a source of a length that waits for a 100", { b = { capacity = 16 },
      text = HEAD .. "Content-Length: 0\r\n\r\n" }, function()
      local i = 0
      return http.request("PUT", function()
        weft.sleep(0.1)
        i = i + 1
        return i < 4 and ("x"):rep(10) or nil
      end, { length = 30, expect_continue = true })
    end },
  }
  for _, case in ipairs(CASES) do
    it(case[1] .. ", at any wait, leaves nothing", support.outside(function()
      assert.is_true(testing.cancel_everywhere(whole(case[2], case[3], fetch)) > 0)
      testing.cancel_everywhere(whole(case[2], case[3], fetch_some))
    end))

    it(case[1] .. ", in any task, leaves nothing", support.outside(function()
      testing.cancel_everywhere(whole(case[2], case[3], function(...)
        local ok, e = weft.try(weft.timeout, 20, fetch, ...)
        assert(ok or weft.is_error(e))
      end), nil, { every_task = true })
    end))
  end

  it("closes the connection", support.run(function()
    http.with(function(conn, peer)
      local task = weft.create_task(fetch, conn)
      testing.wait_all_parked()
      task:cancel()
      assert.is_nil((weft.try(task.await, task)))
      assert.equal("closed", conn.state)
      assert.equal("GET", peer:read_exactly(3))
      assert.truthy(peer:read_all():find("Host: h", 1, true))
    end)
  end))

  it("by close gives closed to who waits", support.virtual(function()
    for _, text in ipairs { "", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab" } do
      http.with(function(conn, peer)
        http.answer(peer, false, text)
        local task = weft.create_task(fetch, conn)
        weft.sleep(1)
        conn:close()
        conn:close()
        local e = support.raises("closed", task.await, task)
        assert.equal(text == "" and "head" or "body", e.phase)
      end)
    end
  end))
end)

describe("silence", function()
  -- The server's texts, each after so many seconds.
  local function slow(peer, ...)
    local steps = { ... }
    http.tasks[#http.tasks + 1] = weft.create_task(function()
      raw.reader(peer):request()
      for i = 1, #steps, 2 do
        weft.sleep(steps[i])
        peer:write(steps[i + 1])
      end
    end)
  end

  local function timed_out(limit, phase, opts, ...)
    local steps, e = { ... }, nil
    http.with(function(conn, peer)
      slow(peer, (table.unpack or unpack)(steps))
      local start = weft.get_running_loop():time()
      e = support.raises("timeout", fetch, conn, GET, opts)
      e.after = weft.get_running_loop():time() - start
      assert.equal("closed", conn.state)
    end)
    assert.equal(limit, e.timeout)
    assert.equal(phase, e.phase)
    return e
  end

  it("before the response passes ttfb", support.virtual(function()
    local e = timed_out("ttfb", "head", { ttfb = 3, idle_timeout = 5 }, 4, raw.response("ok"))
    assert.near(3, e.after, 0.01)
    assert.truthy(e.message:find("no byte of the response was received for 3 s", 1, true))
  end))

  it("before or in the response passes idle_timeout", support.virtual(function()
    local e = timed_out("sock_read", "head", { idle_timeout = 5 }, 6, raw.response("ok"))
    assert.near(5, e.after, 0.01)
    e = timed_out("sock_read", "head", { ttfb = 5, idle_timeout = 5 }, 4, "HTTP/1.1 ", 4, "200 O",
      6, "K\r\n\r\n")
    assert.near(13, e.after, 0.01)
    e = timed_out("sock_read", "body", { ttfb = 1, idle_timeout = 5 }, 0, HEAD
      .. "Content-Length: 9\r\n\r\n", 4, "abc", 4, "def", 6, "ghi")
    assert.near(13, e.after, 0.01)
    assert.equal("abcdef", e.partial)
  end))

  it("shorter than the limits does no harm", support.virtual(function()
    http.with(function(conn, peer)
      slow(peer, 2, "HTTP/1.1 ", 4, "200 OK\r\nContent-Length: 4\r\n", 4, "\r\na", 4, "b", 4, "cd")
      assert.equal("abcd", (fetch(conn, GET, { ttfb = 3, idle_timeout = 5 })))
      assert.is_true(conn:is_reusable())
    end)
  end))

  it("of a source is none of the server", support.virtual(function()
    http.with(function(conn, peer)
      slow(peer, 1, raw.response("ok"))
      local i = 0
      local message = http.request("POST", function()
        weft.sleep(60)
        i = i + 1
        return i < 4 and "x" or nil
      end)
      assert.equal("ok", (fetch(conn, message, { ttfb = 3, idle_timeout = 5 })))
    end)
  end))

  it("of a server that does not take the request is told so", support.virtual(function()
    for _, body in ipairs { ("x"):rep(100), function()
      return "0123456789"
    end } do
      http.with(function(conn)
        local e = support.raises("timeout", fetch, conn, http.request("POST", body),
          { ttfb = 3 })
        assert.equal("send", e.phase)
        assert.truthy(e.message:find("the request could not be sent for 3 s", 1, true))
      end, { b = { capacity = 70 } })
    end
  end))

  it("is measured while the request goes, slowly", support.virtual(function()
    http.with(function(conn, peer)
      http.tasks[#http.tasks + 1] = weft.create_task(function()
        local size = 0
        while size < 200 do
          size = size + #peer:read(20)
          weft.sleep(2)
        end
        peer:write(raw.response("ok"))
      end)
      assert.equal("ok", (fetch(conn, http.request("POST", ("x"):rep(200)), { idle_timeout = 3 })))
    end, { b = { capacity = 20 } })
  end))

  it("is over when an outer limit expires first", support.virtual(function()
    http.with(function(conn, peer)
      slow(peer, 4, raw.response("ok"))
      local e = support.raises("timeout", weft.timeout, 2, fetch, conn, GET, { idle_timeout = 5 })
      assert.is_nil(e.phase)
      assert.equal("closed", conn.state)
    end)
  end))
end)

describe("a connection", function()
  it("is misused without harm", support.run(function()
    http.with(function(conn, peer)
      http.answer(peer, false, HEAD .. "Content-Length: 4\r\n\r\nab", "cd")
      support.raises("state", conn.read_all, conn)
      support.raises("state", conn.read_some, conn)
      assert.is_false(conn:drain(0))
      for message, code in pairs {
        [{ method = "G T" }] = "invalid_method",
        [{ target = "/a b" }] = "invalid_url",
        [{ target = "" }] = "invalid_url",
        [{ fields = fields.new() }] = "invalid_header",
        [{ fields = fields.new { Host = "h", ["Content-Length"] = 3 } }] = "invalid_header",
        [{ fields = fields.new { Host = "h", ["Transfer-Encoding"] = "gzip" } }]
          = "invalid_header",
      } do
        message = setmetatable(message, { __index = GET })
        support.raises({ "type", code }, conn.exchange, conn, message)
        assert.equal("idle", conn.state)
      end
      support.raises("type", conn.exchange, conn, http.request("POST", 5))
      support.raises("type", conn.exchange, conn, http.request("POST", { "a", 5 }))
      support.raises("type", conn.exchange, conn, http.request("POST", { "a", 5 },
        { expect_continue = true }))
      support.raises("type", conn.exchange, conn, { method = "GET", target = "/", fields = {} })
      assert.equal("idle", conn.state)
      assert.equal(0, conn.bytes_sent)
      conn:exchange(GET)
      support.raises("state", conn.exchange, conn, GET)
      local other = weft.create_task(conn.read_all, conn)
      testing.wait_all_parked()
      assert.equal("abcd", other:await())
    end)
  end))

  it("is read by one task at a time", support.run(function()
    http.with(function(conn, peer)
      http.answer(peer, false, HEAD .. "Content-Length: 4\r\n\r\nab")
      conn:exchange(GET)
      assert.equal("ab", conn:read_some())
      local first = weft.create_task(conn.read_all, conn)
      testing.wait_all_parked()
      support.raises("state", conn.read_all, conn)
      peer:write("cd")
      assert.equal("cd", first:await())
    end)
  end))

  it("cannot be used by another task's loop or outside of one", support.outside(function()
    local conn, a, peer
    weft.run(function()
      a, peer = testing.pair()
      conn = require "weft.http.connection".new(a)
    end)
    support.raises("state", conn.exchange, conn, GET)
    weft.run(function()
      support.raises("state", conn.exchange, conn, GET)
    end)
    conn:close()
    peer:close()
  end))

  it("fails as a whole when memory is out", support.virtual(function()
    local text = coded(http.GZIP_HELLO, "chunked")
    local n, done = 0, false
    repeat
      n = n + 1
      http.with(function(conn, peer)
        http.answer(peer, false, text)
        local message = http.request("GET")
        local ok, e = testing.fail_allocation(n, function()
          return (weft.timeout(60, fetch, conn, message, { decode = true }))
        end)
        if ok then
          done = e == "hello hello hello" and n > 5
        else
          assert.truthy(tostring(e):find("not enough memory", 1, true) or weft.is_error(e))
        end
      end, { splits = { 20 } })
    until done or n == 200
    assert.is_true(done)
  end))

  it("survives the collector", support.run(function()
    testing.gc_stress(function()
      for _, text in ipairs { raw.response(("x"):rep(100)), coded(http.GZIP_HELLO, "chunked") } do
        http.with(function(conn, peer)
          http.answer(peer, false, text)
          local body = fetch_some(conn, http.request("POST", { ("x"):rep(50), ("y"):rep(70) }),
            { decode = true, idle_timeout = 5 })
          assert.is_true(#body > 10)
        end, { splits = { 13 }, b = { capacity = 30 } })
      end
    end)
  end))

  it("that is forgotten in any state leaves nothing", support.outside(function()
    for stage = 1, 4 do
      weft.run(function()
        local a, peer = testing.pair { b = { capacity = 64 } }
        local conn = require "weft.http.connection".new(a)
        if stage > 1 then
          local task = weft.create_task(function()
            local head = conn:exchange(http.request("POST", ("x"):rep(stage == 2 and 500 or 5)))
            return stage > 3 and conn:read_some(1) or head
          end)
          testing.wait_all_parked()
          if stage > 2 then
            raw.reader(peer):request()
            peer:write(coded(("x"):rep(50), "chunked"))
            task:await()
          end
        end
      end)
    end
  end))
end)
