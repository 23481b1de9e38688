-- SPDX-License-Identifier: MIT
-- weft.http.session: options, shortcuts, closing, the session of a loop.
-- The spec answers the requests itself: spec.http_fake.

local fake = require "spec.http_fake"
local http = require "weft.http"
local raw = require "spec.http_raw"
local support = require "spec.support"
local weft = require "weft"

local raises, run = support.raises, support.run

local SITE = "http://example.com/"

describe("a session", function()
  it("makes requests by their methods", run(function()
    local session, seen = fake.session({ default = "ok" })
    for _, name in ipairs({ "get", "post", "put", "patch", "delete", "options" }) do
      assert.equal("ok", session[name](session, SITE):text())
      assert.equal(name:upper(), seen[#seen].method)
    end
    assert.equal("", session:head(SITE):text())
    assert.equal("HEAD", seen[#seen].method)
    assert.equal("PURGE", session:request("PURGE", SITE).method)
    assert.equal("GET", session:request("get", SITE).method)
  end))

  it("refuses options that there are not", run(function()
    local e = raises({ "type", "unknown_option" }, http.session, { headerz = {} })
    assert.truthy(e.message:find("did you mean 'headers'", 1, true))
    local session = fake.session({})
    raises({ "type", "unknown_option" }, session.get, session, SITE, { limit = 3 })
    raises("type", http.session, { timeout = "soon" })
    raises("type", http.session, { timeout = { totla = 3 } })
    raises("type", http.session, { max_redirects = -1 })
    raises("type", http.session, { middlewares = { 3 } })
    raises("type", http.session, { trace = { on_nothing = print } })
    raises("type", http.session, { trace = { on_request_start = 3 } })
    raises("type", http.session, { retry = { attempts = 0 } })
    raises("type", http.session, { proxy = "ftp://proxy" })
    raises("type", http.session, { cookie_jar = {} })
    raises("type", http.session, { cookie_jar = false, cookies = { a = "1" } })
    raises("type", http.session, { auth = 3 })
    raises("type", http.session, { tls = 3 })
  end))

  it("closes, twice too, and is of no use then", run(function()
    local session = fake.session({ default = "ok" })
    assert.equal("Session<open connections=0 in_use=0>", tostring(session))
    session:close()
    session:close()
    assert.is_true(session.closed)
    assert.equal("Session<closed>", tostring(session))
    raises("closed", session.get, session, SITE)
  end))

  it("closes when with's function has returned or failed", run(function()
    local session = fake.session({ default = "ok" })
    assert.equal("ok", session:with(function(s, url) return s:get(url):text() end, SITE))
    assert.is_true(session.closed)
    session = fake.session({})
    assert.equal("mine", support.error_of(session.with, session, error, "mine") and "mine")
    assert.is_true(session.closed)
  end))

  it("makes requests in tasks only", support.outside(function()
    local session = fake.session({ default = "ok" })
    raises("state", session.get, session, SITE)
    raises("state", http.get, SITE)
  end))

  it("counts requests, redirects and retries", support.virtual(function()
    local session = fake.session({ ["/"] = { { status = 503 }, { status = 302,
      headers = { Location = "/b" } } }, ["/b"] = "ok" }, { retry = true })
    session:get(SITE)
    local counts = session:statistics()
    assert.same({ 3, 1, 1, 0 }, { counts.requests, counts.redirects, counts.retries,
      counts.in_use })
  end))
end)

describe("the base URL", function()
  it("is what URLs are relative to", run(function()
    local session, seen = fake.session({ default = "ok" }, { base_url = SITE .. "v1/" })
    session:get("items?x=1")
    session:get("/root")
    session:get("http://other.example/")
    assert.same({ SITE .. "v1/items?x=1", SITE .. "root", "http://other.example/" },
      { seen[1].url, seen[2].url, seen[3].url })
  end))

  it("ends with a slash, and is of http", run(function()
    raises({ "type", "invalid_url" }, http.session, { base_url = SITE .. "v1" })
    raises({ "type", "invalid_url" }, http.session, { base_url = "ftp://example.com/" })
  end))

  it("is where the session's credentials go, and nowhere else", run(function()
    local session, seen = fake.session({ default = "ok" },
      { base_url = SITE, auth = http.basic_auth("a", "b") })
    session:get("x")
    session:get("http://other.example/")
    assert.equal("Basic YTpi", seen[1].headers.authorization)
    assert.is_nil(seen[2].headers.authorization)
  end))
end)

describe("force_close", function()
  it("tells the server, unless the script says something else", run(function()
    local server = raw.serve(raw.answer(raw.response("x")))
    local url = ("http://127.0.0.1:%d/"):format(server.port)
    local session = http.session { force_close = true }
    session:get(url)
    session:get(url, { headers = { A = "b" } })
    session:get(url, { force_close = false })
    session:get(url, { headers = { Connection = "x-mine" } })
    session:close()
    session = http.session()
    session:get(url, { force_close = true })
    session:get(url)
    session:close()
    local seen = {}
    for i, head in ipairs(server.requests) do
      seen[i] = raw.field(head, "connection") or "-"
    end
    assert.equal("close close - x-mine close -", table.concat(seen, " "))
    assert.equal(5, server.connections)
    server:close()
  end))
end)

describe("time limits", function()
  local function slow(seconds)
    return function()
      weft.sleep(seconds)
      return "late"
    end
  end

  it("are five minutes for all of a request, unless told otherwise", support.virtual(function()
    local session = fake.session({ ["/"] = slow(301), ["/a"] = slow(299) })
    assert.equal("late", session:get(SITE .. "a"):text())
    local e = raises("timeout", session.get, session, SITE)
    assert.same({ "total", 300, "head", SITE, "GET" },
      { e.timeout, e.seconds, e.phase, e.url, e.method })
  end))

  it("can be given as a number, or taken away", support.virtual(function()
    local session = fake.session({ default = slow(400) }, { timeout = 5 })
    assert.equal(5, raises("timeout", session.get, session, SITE).seconds)
    assert.equal(7, raises("timeout", session.get, session, SITE, { timeout = 7 }).seconds)
    assert.equal("late", session:get(SITE, { timeout = false }):text())
    assert.equal("late", session:get(SITE, { timeout = 0 }):text())
    assert.equal("late", session:get(SITE, { timeout = { total = false } }):text())
    assert.equal(5, raises("timeout", session.get, session, SITE,
      { timeout = { connect = 1 } }).seconds)
  end))

  it("hold for the body too", support.virtual(function()
    local session = fake.session({ default = function()
      return { status = 200, body = function()
        weft.sleep(2)
        return "x"
      end }
    end }, { timeout = 5 })
    local resp = session:get(SITE)
    local e = raises("timeout", resp.read, resp)
    assert.same({ "total", "body", SITE }, { e.timeout, e.phase, e.url })
    assert.equal(5, weft.get_running_loop():time() - resp._request.started)
    assert.equal("closed", raises("closed", resp.read, resp).kind)
  end))

  it("tell of the redirects that came before", support.virtual(function()
    local session = fake.session({ ["/"] = { status = 302, headers = { Location = "/b" } },
      ["/b"] = slow(9) }, { timeout = 5 })
    local e = raises("timeout", session.get, session, SITE)
    assert.truthy(e.message:find("after 1 redirect", 1, true), e.message)
    assert.equal(SITE .. "b", e.url)
  end))
end)

describe("errors", function()
  it("tell which request it was", run(function()
    local session = http.session()
    local server = raw.serve(raw.hang())
    local url = ("http://127.0.0.1:%d/a?b"):format(server.port)
    server:close()
    local e = raises("connection", session.get, session, url)
    assert.truthy(tostring(e):find(" (ECONNREFUSED) (GET " .. url .. ")", 1, true), tostring(e))
    session:close()
    session = fake.session({ default = { status = 404 } })
    e = raises("http", session.get, session, SITE, { raise_for_status = true })
    assert.equal("http: 404 Not Found for GET " .. SITE, tostring(e))
  end))

  it("have url and method", run(function()
    local session = fake.session({ default = function()
      error(weft.Error({ kind = "connection", message = "gone", code = "ECONNRESET" }))
    end })
    local e = raises({ "connection", "ECONNRESET" }, session.put, session, SITE .. "a#b")
    assert.same({ SITE .. "a", "PUT" }, { e.url, e.method })
    assert.equal("mine", support.error_of(function()
      fake.session({ default = function() error("mine", 0) end }):get(SITE)
    end))
  end))

  it("of a status are raised when that is asked for", run(function()
    local session = fake.session({ ["/ok"] = "ok" }, { raise_for_status = true })
    assert.equal("ok", session:get(SITE .. "ok"):text())
    local e = raises("http", session.get, session, SITE .. "a")
    assert.same({ 404, SITE .. "a", "GET", "nothing here" },
      { e.status, e.url, e.method, e.excerpt })
    assert.equal("http: 404 Not Found for GET http://example.com/a: nothing here",
      tostring(e):sub(1, 62))
    assert.equal(404, session:get(SITE, { raise_for_status = false }).status)
    local asked
    raises("state", session.get, session, SITE, { raise_for_status = function(resp)
      asked = resp.status
      error(weft.Error({ kind = "state", message = "no" }))
    end })
    assert.equal(404, asked)
  end))
end)

describe("one request", function()
  it("is made without a session of one's own, which has no cookies", support.outside(function()
    local loop = weft.new_event_loop()
    local session
    loop:run_until_complete(function()
      raises("connection", http.get, "http://127.0.0.1:1/", { timeout = 5 })
      raises({ "type", "invalid_url" }, http.request, "GET", "nothing")
      session = require("weft.core").loop_root(weft.get_running_loop()).http_session
      assert.is_false(session.closed)
      assert.is_false(session.cookie_jar)
    end)
    loop:close()
    assert.is_true(session.closed)
  end))
end)
