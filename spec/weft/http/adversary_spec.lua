-- SPDX-License-Identifier: MIT
-- Sessions against servers that break the protocol: what a script gets to see of it, and that no
-- slot and no connection is lost by it.

local compress = require "weft.http.compress"
local hostile = require "spec.http_hostile"
local raw = require "spec.http_raw"
local support = require "spec.support"
local weft = require "weft"

local head, raises, run = hostile.head, support.raises, support.run

local function fetch(session, url, opts)
  return session:get(url, opts):read()
end

local function fetch_in_pieces(session, url, opts)
  local parts = {}
  for piece in session:get(url, opts):iter_chunked(7) do
    parts[#parts + 1] = piece
  end
  return table.concat(parts)
end

local function fetch_lines(session, url, opts)
  local parts = {}
  for line in session:get(url, opts):iter_lines() do
    parts[#parts + 1] = line
  end
  return table.concat(parts)
end

-- "hello hello hello" in each coding.
local HELLO = "hello hello hello"
local CODED = {
  gzip = hostile.bytes "1f8b0800000000000203cb48cdc9c957c84090008088f9e511000000",
  deflate = hostile.bytes "78dacb48cdc9c957c84090003a2e067d",
  br = hostile.bytes "1f1000f88d946ede445586966c206f014f1c601c",
  zstd = hostile.bytes "28b52ffd04586500003068656c6c6f200100314a11a2ed1e0c",
}

local function coded(coding)
  local body = CODED[coding]
  return { head(("Content-Encoding: %s\r\nContent-Length: %d"):format(coding, #body)), body, HELLO }
end

local CUT = {
  { "a length", { head("Content-Length: 10"), "0123456789", "0123456789" } },
  { "chunks and trailers", { head("Transfer-Encoding: chunked"),
    raw.chunked("0123456789", 3, "A: b\r\n"), "0123456789" } },
  { "fields and a 103", { head("Link: <x>", "103 Early Hints") .. head("A: b\r\nA: c\r\n"
    .. "Content-Length: 2"), "ok", "ok" } },
  { "gzip", coded "gzip" }, { "deflate", coded "deflate" }, { "br", coded "br" },
  { "zstd", coded "zstd" },
}

-- Each prefix of a response, by each way of reading it.
local function cut_everywhere(first, body, text, play)
  local whole, acts = first .. body, {}
  for k = 0, #whole - 1 do
    acts["cut" .. k] = play(whole:sub(1, k))
  end
  acts.whole = whole
  hostile.with(acts, nil, function(session, site)
    for _, read in ipairs { fetch, fetch_in_pieces, fetch_lines } do
      for k = 0, #whole - 1, support.slow and 7 or 1 do
        local url = site.url .. "cut" .. k
        local e = raises("connection", read, session, url)
        assert.equal(k < #first and "head" or "body", e.phase, k)
        assert.same({ url, "GET" }, { e.url, e.method })
        if k < #first then
          assert.is_nil(e.partial)
        else
          assert.equal(text:sub(1, #e.partial), read == fetch and e.partial
            or text:sub(1, #e.partial))
        end
        hostile.quiet(session)
      end
      assert.equal(text, read(session, site.url .. "whole"))
      hostile.fine(session, site)
    end
  end)
end

describe("a response with", function()
  for _, case in ipairs(CUT) do
    it(case[1] .. " that is cut after any byte is an error", run(function()
      cut_everywhere(case[2][1], case[2][2], case[2][3], function(text)
        return { text }
      end)
    end))
  end

  it("a length is an error when the connection is reset after any byte", run(function()
    local first, body = head("Content-Length: 5"), "01234"
    local whole, acts = first .. body, {}
    for k = 0, #whole - 1 do
      acts["cut" .. k] = function(stream)
        stream:write(whole:sub(1, k)) -- the request's body is not read: that makes a reset
      end
    end
    hostile.with(acts, nil, function(session, site)
      for k = 0, #whole - 1, support.slow and 7 or 1 do
        local e = raises("connection", function()
          return session:post(site.url .. "cut" .. k, { data = "not taken" }):read()
        end)
        assert.truthy(e.phase == "head" or e.phase == "send" or e.phase == "body", e.phase)
        hostile.quiet(session)
      end
      hostile.fine(session, site)
    end)
  end))

  it("a length that is cut tells the bytes that had come, also when they were awaited",
    run(function()
      hostile.with({ cut = { head("Content-Length: 9") .. "abc", function() weft.sleep(0.01) end,
        "def" } }, nil, function(session, site)
        local resp = session:get(site.url .. "cut")
        local e = raises({ "connection", "ETRUNCATED" }, resp.read, resp)
        assert.same({ "abcdef", "body" }, { e.partial, e.phase })
        e = raises("closed", resp.read, resp)
        assert.equal("abcdef", e.cause.partial)
        hostile.fine(session, site)
      end)
    end))
end)

-- Each is an error of this kind, by reading whole and in pieces; then the session is as before.
local function all_fail(kind, responses, opts, check)
  local acts = {}
  for i, response in ipairs(responses) do
    acts["bad" .. i] = type(response) == "string" and { response, raw.hang() } or response
  end
  hostile.with(acts, opts, function(session, site)
    for i, response in ipairs(responses) do
      for _, read in ipairs { fetch, fetch_in_pieces } do
        local ok, e = pcall(raises, kind, read, session, site.url .. "bad" .. i)
        if not ok then
          error(("%s (case %d: %s)"):format(tostring(e), i, type(response) == "string"
            and ("%q"):format(response:sub(1, 80)) or "an act"), 0)
        end
        assert.truthy(e.phase == "head" or e.phase == "body")
        if check then
          check(e, i)
        end
        hostile.quiet(session)
      end
    end
    hostile.fine(session, site)
  end)
end

describe("framing", function()
  it("by chunks with impossible sizes is refused", run(function()
    local bad = {}
    for i, size in ipairs { "10000000000000000", "ffffffffffffffff", "fffffffffffffffff",
      "7fffffffffffffffffffffff", "-1", "+1", "0x1", "zz", "", " 1", "1 2", "1\0", "1;\1",
      "\r\n1", "1\n\n" } do
      bad[i] = head("Transfer-Encoding: chunked") .. size .. "\r\nabc"
    end
    bad[#bad + 1] = head("Transfer-Encoding: chunked") .. "3\r\nabcd\r\n0\r\n\r\n"
    bad[#bad + 1] = head("Transfer-Encoding: chunked") .. "3\r\nabcX0\r\n\r\n"
    for i = 1, #bad do -- what is not refused at once waits for more, or is cut
      bad[i] = { bad[i] }
    end
    local acts = {}
    for i, act in ipairs(bad) do
      acts["bad" .. i] = act
    end
    hostile.with(acts, nil, function(session, site)
      for i = 1, #bad do
        local e = support.error_of(fetch, session, site.url .. "bad" .. i)
        assert.is_true(weft.is_error(e, "protocol") or weft.is_error(e, "connection")
          or weft.is_error(e, "limit"), i .. ": " .. tostring(e))
        hostile.quiet(session)
      end
      hostile.fine(session, site)
    end)
  end))

  it("in two ways at once is refused", run(function()
    all_fail("protocol", {
      head("Content-Length: 5\r\nTransfer-Encoding: chunked") .. raw.chunked("hello", 5),
      head("Transfer-Encoding: chunked\r\nContent-Length: 5") .. raw.chunked("hello", 5),
      head("Content-Length: 5\r\nContent-Length: 6") .. "hello!",
      head("Content-Length: 5, 6") .. "hello!",
      head("Content-Length: +5") .. "hello",
      head("Content-Length: -5") .. "hello",
      head("Content-Length: 0x5") .. "hello",
      head("Content-Length: 5 5") .. "hello",
      head("Content-Length: 99999999999999999999999") .. "hello",
      head("Content-Length: 5\r\n folded: 6") .. "hello",
      head("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked") .. raw.chunked("hello", 5),
    }, nil, function(e)
      assert.equal("head", e.phase)
    end)
  end))

  it("that can be understood in one way only is taken, with its defects", run(function()
    hostile.with({ twice = head("Content-Length: 2\r\nContent-Length: 2") .. "ok",
      space = head("Content-Length : 2") .. "ok" }, nil, function(session, site)
        for _, name in ipairs { "twice", "space" } do
          local resp = session:get(site.url .. name)
          assert.equal("ok", resp:read())
          assert.is_true(#resp.defects > 0)
          hostile.fine(session, site)
        end
      end)
  end))

  it("too long waits and is cut, too short leaves what nobody uses", run(function()
    hostile.with({
      long = head("Content-Length: 6") .. "hello",
      short = { head("Content-Length: 4") .. "hello", raw.hang() },
      twice = { raw.response("first") .. raw.response("second"), raw.hang() },
      none = { head("Content-Length: 2", "204 No Content") .. "ab", raw.hang() },
      garbage = { raw.response("first") .. "\0\1\2", raw.hang() },
      late = { raw.response("first"), function() weft.sleep(0.005) end, "HTTP/1.1 200 OK\r\n",
        raw.hang() },
    }, { limit = 1 }, function(session, site)
      raises({ "connection", "ETRUNCATED" }, fetch, session, site.url .. "long")
      for name, text in pairs { short = "hell", twice = "first", none = "", garbage = "first",
        late = "first" } do
        assert.equal(text, fetch(session, site.url .. name))
        if name == "late" then
          weft.sleep(0.02)
        end
        local before = site.server.connections
        hostile.fine(session, site)
        assert.equal(before + 1, site.server.connections, name)
      end
    end)
  end))
end)

describe("a server that never ends", function()
  local function limited(name, first, piece, opts)
    it(name .. " meets a limit", run(function()
      hostile.with({ bad = hostile.endless(first, piece) }, opts, function(session, site)
        for _, read in ipairs { fetch, fetch_in_pieces } do
          local e = support.error_of(read, session, site.url .. "bad")
          assert.is_true(weft.is_error(e, "limit") or weft.is_error(e, "protocol"), tostring(e))
          assert.truthy(e.phase)
          hostile.quiet(session)
        end
        hostile.fine(session, site)
      end)
    end))
  end

  local LINE = ("x"):rep(997)
  limited("its status line", "HTTP/1.1 200 ", LINE)
  limited("its fields", "HTTP/1.1 200 OK\r\n", "A: b\r\n")
  limited("one field", "HTTP/1.1 200 OK\r\nA: ", LINE)
  limited("the name of a field", "HTTP/1.1 200 OK\r\n", LINE)
  limited("its large fields", "HTTP/1.1 200 OK\r\n", "A: " .. LINE .. "\r\n")
  limited("informational responses", "", head("A: b", "100 Continue"))
  limited("early hints", "", head("Link: <" .. LINE .. ">", "103 Early Hints"))
  limited("chunk extensions", head("Transfer-Encoding: chunked") .. "1", ";a=" .. LINE)
  limited("the size of a chunk", head("Transfer-Encoding: chunked"), ("0"):rep(1000))
  limited("trailers", head("Transfer-Encoding: chunked") .. "1\r\na\r\n0\r\n", "A: b\r\n")
  limited("one trailer", head("Transfer-Encoding: chunked") .. "0\r\nA: ", LINE)
  limited("extensions of many chunks", head("Transfer-Encoding: chunked"),
    "1;" .. ("e"):rep(8000) .. "\r\na\r\n", { max_body_size = 100 })

  it("its body meets the limit of what is read at once", run(function()
    local piece = ("x"):rep(60000)
    hostile.with({
      close = hostile.endless("HTTP/1.1 200 OK\r\n\r\n", piece),
      chunks = hostile.endless(head("Transfer-Encoding: chunked"), ("%x\r\n%s\r\n"):format(#piece,
        piece)),
      length = hostile.endless(head("Content-Length: 999999999999"), piece),
    }, { max_body_size = 1000000 }, function(session, site)
      for _, name in ipairs { "close", "chunks", "length" } do
        for _, method in ipairs { "read", "text", "json" } do
          local e = raises({ "limit", "max_body_size" }, function()
            local resp = session:get(site.url .. name)
            return resp[method](resp)
          end)
          assert.equal("body", e.phase)
          hostile.quiet(session)
        end
      end
      hostile.fine(session, site)
    end)
  end))

  it("a line of its body meets the limit of lines", run(function()
    hostile.with({ line = hostile.endless("HTTP/1.1 200 OK\r\n\r\n", ("x"):rep(60000)) }, nil,
      function(session, site)
        raises("limit", fetch_lines, session, site.url .. "line")
        hostile.fine(session, site)
      end)
  end))
end)

describe("a slow server", function()
  local UNIT = support.slow and 0.4 or 0.02 -- seconds in which the client gets to read a head

  local function slow(name, act, opts, phase, timeout)
    it(name .. " passes " .. timeout, run(function()
      hostile.with({ slow = act }, { limit = 1 }, function(session, site)
        local e = raises("timeout", fetch, session, site.url .. "slow", opts)
        assert.same({ phase, timeout }, { e.phase, e.timeout })
        hostile.fine(session, site)
      end)
    end))
  end

  local function drip(first)
    return hostile.endless(first, "x", UNIT / 2)
  end

  slow("that says nothing", raw.hang(), { timeout = { ttfb = 2 * UNIT } }, "head", "ttfb")
  slow("that falls silent in the head", { "HTTP/1.1 ", raw.hang() },
    { timeout = { sock_read = 2 * UNIT } }, "head", "sock_read")
  slow("that falls silent in the body", { head("Content-Length: 5") .. "ab", raw.hang() },
    { timeout = { sock_read = 2 * UNIT } }, "body", "sock_read")
  slow("that falls silent in a chunk's size", { head("Transfer-Encoding: chunked") .. "5",
    raw.hang() }, { timeout = { sock_read = 2 * UNIT } }, "body", "sock_read")
  slow("that drips its head", drip("HTTP/1.1 200 "), { timeout = { total = 5 * UNIT,
    sock_read = 100 * UNIT } }, "head", "total")
  slow("that drips its body", drip(head("Content-Length: 99999")), { timeout = { total = 5 * UNIT,
    sock_read = 100 * UNIT } }, "body", "total")
  slow("that does not take what is sent", function() weft.sleep(10) end, { data = ("x"):rep(9e6),
    timeout = { sock_read = 5 * UNIT } }, "send", "sock_read")
  slow("that sends 100s", hostile.endless("", head("A: b", "102 Processing"), 2 * UNIT),
    { timeout = { total = 5 * UNIT }, max_informational = 1000 }, "head", "total")

  it("that drips its body passes min_rate", run(function()
    hostile.with({ drip = drip(head("Content-Length: 99999")) }, { limit = 1 },
      function(session, site)
        local resp = session:get(site.url .. "drip", { timeout = { min_rate = 1e6 } })
        resp._body._rate.credit = 0.02 -- in place of ten seconds
        local e = raises("timeout", resp.read, resp)
        assert.same({ "body", "min_rate" }, { e.phase, e.timeout })
        hostile.fine(session, site)
      end)
  end))
end)

describe("a connection", function()
  local function closed_port()
    local server = raw.serve {}
    server:close()
    return server.port
  end

  it("that is refused says so", run(function()
    hostile.with({}, nil, function(session, site)
      local url = ("http://127.0.0.1:%d/"):format(closed_port())
      local e = raises({ "connection", "ECONNREFUSED" }, session.get, session, url)
      assert.same({ "connect", url, "GET" }, { e.phase, e.url, e.method })
      hostile.fine(session, site)
    end)
  end))

  -- What becomes of a request of a method whose kept connection the server closes as it comes.
  local function stale(method, close)
    hostile.with({ stale = function(stream, reader)
      local count = 0
      for _, sent in ipairs(reader.requests) do
        count = count + (sent:find("/stale", 1, true) and 1 or 0)
      end
      if count > 1 then
        stream:write(raw.response("again"))
        return true
      end
      return close(stream)
    end }, { limit = 1 }, function(session, site)
      session:get(site.url .. "good"):read()
      local ok, resp = pcall(session.request, session, method, site.url .. "stale")
      local times = 0
      for _, sent in ipairs(site.server.requests) do
        times = times + (sent:find("/stale", 1, true) and 1 or 0)
      end
      local again = method ~= "POST" and method ~= "PATCH"
      assert.equal(again and 2 or 1, times, method)
      assert.equal(again, ok)
      assert.equal(again and 1 or 0, session:statistics().retries)
      if ok then
        resp:release()
      else
        assert.equal("connection", resp.kind)
      end
      hostile.fine(session, site)
    end)
  end

  it("that is closed when it is used again is replaced for what may be sent twice", run(function()
    for _, method in ipairs { "GET", "HEAD", "OPTIONS", "PUT", "DELETE", "POST", "PATCH" } do
      stale(method, function() end)
    end
  end))

  it("is replaced once, and not after a byte of the response", run(function()
    hostile.with({ dead = function() end, byte = { "H" } }, { limit = 1 },
      function(session, site)
        for name, times in pairs { dead = 2, byte = 1 } do
          session:get(site.url .. "good"):read()
          local before = #site.server.requests
          raises("connection", session.get, session, site.url .. name)
          assert.equal(before + times, #site.server.requests, name)
          hostile.fine(session, site)
        end
      end)
  end))

  it("that closes right after each response is never used again", run(function()
    hostile.with({ last = function(stream, reader)
      reader:body(reader.requests[#reader.requests])
      stream:write(raw.response("last"))
    end }, { limit = 1 }, function(session, site)
      for i = 1, support.rounds(50) do
        local ok, resp = pcall(session.request, session, i % 2 == 0 and "POST" or "GET",
          site.url .. "last")
        -- a POST can meet a connection whose end is under way; it must not be sent again then
        assert.is_true(ok or i % 2 == 0 and resp.kind == "connection", tostring(resp))
        if ok then
          assert.equal("last", resp:read())
        end
        hostile.quiet(session)
      end
    end)
  end))
end)

describe("an upload", function()
  local UPLOAD = ("u"):rep(8000000)

  local function source()
    local left = #UPLOAD
    return function()
      left = left - 100000
      return left >= 0 and UPLOAD:sub(1, 100000) or nil
    end
  end

  for name, make in pairs { ["a string"] = function() return UPLOAD end, ["a source"] = source } do
    it("of " .. name .. " that is refused with 413 gives the response", run(function()
      hostile.with({
        close = { head("Connection: close\r\nContent-Length: 9", "413 Too Large") .. "too large",
          raw.shutdown() },
        keep = { head("Content-Length: 9", "413 Too Large") .. "too large", raw.hang() },
        empty = { head("Content-Length: 0", "413 Too Large"), raw.hang() },
      }, { limit = 1 }, function(session, site)
        for _, how in ipairs { "close", "keep", "empty" } do
          local resp = session:post(site.url .. how, { data = make() })
          assert.equal(413, resp.status)
          assert.equal(how == "empty" and "" or "too large", resp:read())
          hostile.quiet(session)
        end
        hostile.fine(session, site)
      end)
    end))

    it("of " .. name .. " that is reset is an error", run(function()
      hostile.with({ reset = function(_, reader) reader:exactly(10) end }, { limit = 1 },
        function(session, site)
          local e = raises("connection", session.post, session, site.url .. "reset",
            { data = make() })
          assert.truthy(e.phase == "send" or e.phase == "head", e.phase)
          hostile.fine(session, site)
        end)
    end))

    it("of " .. name .. " that is answered with garbage is an error", run(function()
      hostile.with({ garbage = { "garbage\r\n\r\n", raw.hang() } }, { limit = 1 },
        function(session, site)
          raises("protocol", session.post, session, site.url .. "garbage", { data = make() })
          hostile.fine(session, site)
        end)
    end))
  end

  it("whose source fails loses nothing", run(function()
    hostile.with({ take = raw.hang() }, { limit = 1 }, function(session, site)
      local i = 0
      local e = support.error_of(session.post, session, site.url .. "take", { data = function()
        i = i + 1
        if i == 3 then
          error("no more", 0)
        end
        return "some"
      end })
      assert.equal("no more", e)
      hostile.fine(session, site)
    end)
  end))
end)

describe("a bomb", function()
  local MEGABYTES = 64

  -- Frames of zstd whose blocks are runs of a byte: 128 KiB in four bytes.
  local function zstd_bomb()
    local size = 2 ^ 17
    local function block(is_last)
      local n = size * 8 + 2 + (is_last and 1 or 0)
      return string.char(n % 256, math.floor(n / 256) % 256, math.floor(n / 65536)) .. "\0"
    end
    return "\40\181\47\253\0\56" .. block(false):rep(MEGABYTES * 8 - 1) .. block(true)
  end

  local BOMBS = {
    gzip = function()
      return compress.string("gzip", compress.string("gzip", ("\0"):rep(MEGABYTES * 2 ^ 20))),
        "gzip, gzip"
    end,
    deflate = function()
      return compress.string("deflate", ("\0"):rep(MEGABYTES * 2 ^ 20)), "deflate"
    end,
    br = function()
      return hostile.bytes("cfffff7f002400e2b14072effff9ffff0f8004401c1680eefd3fffffff01900088c302"
        .. "d0bdffcfffff7f001200715800baf7ff"), "br"
    end,
    zstd = function() return zstd_bomb(), "zstd" end,
  }

  for name, make in pairs(BOMBS) do
    it("of " .. name .. " is an error before it is large", run(function()
      local data, coding = make()
      assert.is_true(#data > 40)
      local act = { head(("Content-Encoding: %s\r\nContent-Length: %d"):format(coding, #data))
        .. data, raw.hang() }
      hostile.with({ bomb = act }, nil, function(session, site)
        local taken = 0
        raises("limit", function()
          for piece in session:get(site.url .. "bomb"):iter_any() do
            taken = taken + #piece
          end
        end)
        assert.is_true(taken <= 8 * 2 ^ 20, tostring(taken))
        raises("limit", fetch, session, site.url .. "bomb")
        raises("limit", fetch, session, site.url .. "bomb", { max_body_size = 100000 })
        hostile.fine(session, site)
      end)
    end))
  end

  it("of many codings is an error", run(function()
    local body = CODED.gzip
    all_fail("limit", { head("Content-Encoding: " .. ("gzip, "):rep(20) .. "gzip\r\n"
      .. "Content-Length: " .. #body) .. body })
  end))
end)
