-- SPDX-License-Identifier: MIT
-- weft.http.transport: functions in the place of the network, and what they may return.
-- Where the network matters, it is spec.http_raw's.

local fake = require "spec.http_fake"
local http = require "weft.http"
local raw = require "spec.http_raw"
local support = require "spec.support"
local weft = require "weft"

local raises, run = support.raises, support.run

local SITE = "http://example.com/"

describe("a transport", function()
  it("gets the request as it would be sent", run(function()
    local got
    local session = http.session({ transport = function(request)
      got = request
      return { status = 204 }
    end })
    local resp = session:put(SITE .. "?a#b", { data = "x", headers = { A = "b" } })
    assert.same({ "PUT", SITE .. "?a", "x", "b" }, { got.method, got.url, got.body,
      got.headers.a })
    assert.same({ 204, "No Content", "" }, { resp.status, resp.reason, resp:read() })
  end))

  it("returns a status, and what else there is", run(function()
    local function get(answer)
      return http.session({ transport = function() return answer end }):get(SITE)
    end
    local resp = get({ status = 299, reason = "So", version = "1.0", headers = { { "A", "1" },
      { "a", "2" } }, body = fake.pieces("x"), trailers = { T = "t" } })
    assert.same({ 299, "So", "1.0", "2", "x" }, { resp.status, resp.reason, resp.version,
      resp.headers:getall("a")[2], resp:read() })
    assert.equal("t", resp.trailers.t)
    assert.equal("", get({ status = 200 }):read())
    for _, bad in ipairs({ "text", {}, { status = "200" }, { status = 3 },
      { status = 200, body = 3 }, { status = 200, bodi = "x" }, { status = 200,
      headers = { A = "\n" } } }) do
      raises("type", get, bad)
    end
    raises("type", get, nil)
    resp = get({ status = 200, body = function() return 3 end })
    raises("type", resp.read, resp)
  end))

  it("has no body where HTTP has none", run(function()
    local session = fake.session({ default = "body" })
    assert.equal("", session:head(SITE):read())
    session = fake.session({ default = { status = 304, body = "body" } })
    assert.equal("", session:get(SITE):read())
  end))

  it("can send over the network", run(function()
    local server = raw.serve(raw.answer(function(_, body)
      return "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        .. raw.chunked(("<" .. body .. ">"):rep(50000), 100000)
    end))
    local session = http.session({ transport = function(request, send)
      request.headers["X-Seen"] = "1"
      local answer = send(request)
      answer.headers["X-Answer"] = "1"
      return answer
    end })
    local url = ("http://127.0.0.1:%d/"):format(server.port)
    local resp = session:post(url, { data = "a" })
    assert.equal(("<a>"):rep(50000), resp:read())
    assert.equal("1", resp.headers["x-answer"])
    assert.equal("1", raw.field(server.requests[1], "x-seen"))
    session:post(url, { data = "b" }):close()
    assert.equal(0, session:statistics().in_use)
    session:close()
    server:close()
  end))

  it("can record and replay", run(function()
    local path = os.tmpname()
    local server = raw.serve(raw.answer(raw.response("hello", "X-A: b\r\n")))
    local url = ("http://127.0.0.1:%d/"):format(server.port)
    local session = http.session({ transport = http.record(path) })
    assert.equal("hello", session:get(url):text())
    session:close()
    server:close()
    session = http.session({ transport = http.replay(path) })
    local resp = session:get(url)
    assert.same({ "hello", "b" }, { resp:text(), resp.headers["x-a"] })
    raises({ "state", "no_recording" }, session.get, session, url)
    os.remove(path)
  end))

  it("must be a function", support.outside(function()
    raises("type", http.session, { transport = 3 })
  end))

  it("is not called once the session is closed", run(function()
    local session = http.session({ transport = function()
      weft.sleep(0)
      return { status = 200 }
    end })
    session:close()
    raises("closed", session._transport.send, session._transport, {})
  end))
end)
