-- SPDX-License-Identifier: MIT
-- weft.http.exchange: middlewares, and in which order everything around a request happens.
-- Where the network matters, it is spec.http_raw's.

local fake = require "spec.http_fake"
local http = require "weft.http"
local raw = require "spec.http_raw"
local support = require "spec.support"
local testing = require "weft.testing"
local weft = require "weft"

local raises, run = support.raises, support.run

local SITE = "http://example.com/"

describe("a middleware", function()
  it("can change the request", run(function()
    local session, seen = fake.session({ default = "ok" }, { middlewares = { function(request, next)
      request.headers["X-Own"] = request.method .. " " .. tostring(request.url)
      request.method = "PUT"
      request.url = "http://other.example/y"
      request.body = "new"
      return next(request)
    end } })
    local resp = session:post(SITE .. "x", { data = "old" })
    assert.same({ "PUT", "http://other.example/y", "new", "other.example" }, { seen[1].method,
      seen[1].url, seen[1].body, seen[1].headers.host })
    assert.equal("POST " .. SITE .. "x", seen[1].headers["x-own"])
    assert.equal("http://other.example/y", resp.url)
  end))

  it("cannot make what cannot be sent", run(function()
    local function with(change)
      local session = fake.session({ default = "ok" }, { middlewares = { function(request, next)
        change(request)
        return next(request)
      end } })
      return session:post(SITE, { data = "x" })
    end
    raises({ "type", "invalid_method" }, with, function(r) r.method = "A B" end)
    raises({ "type", "invalid_url" }, with, function(r) r.url = "ftp://x/" end)
    raises({ "type", "invalid_header" }, with, function(r) r.headers = { a = "\n" } end)
    raises({ "type", "invalid_header" }, with, function(r)
      r.headers["Content-Length"] = 9
      r.body = "abc"
    end)
    raises({ "type", "invalid_header" }, with, function(r)
      r.headers["Transfer-Encoding"] = "chunked"
    end)
  end))

  it("is around those that follow, and around each redirect", run(function()
    local order = {}
    local function mark(name)
      return function(request, next)
        order[#order + 1] = name .. request.url.path
        local resp = next(request)
        order[#order + 1] = resp.status .. name
        return resp
      end
    end
    local session, seen = fake.session({ ["/"] = { status = 302, headers = { Location = "/b" } },
      ["/b"] = "ok" }, { middlewares = { mark("a"), mark("b"), function(request, next)
        request.headers:add("X-Own", "1")
        return next(request)
      end } })
    session:get(SITE)
    assert.same({ "a/", "b/", "302b", "302a", "a/b", "b/b", "200b", "200a" }, order)
    assert.same({ "1" }, seen[2].headers:getall("x-own"))
  end))

  it("can send again, and make a response itself", run(function()
    local session, seen = fake.session({ ["/"] = { { status = 401 }, "ok" } })
    local resp = session:get(SITE, { middlewares = { function(request, next)
      local first = next(request)
      assert.equal(401, first.status)
      first:release()
      return next(request)
    end } })
    assert.same({ "ok", 2 }, { resp:text(), #seen })
    resp = session:get(SITE .. "c", { middlewares = { function()
      return { status = 200, body = "made", headers = { A = "b" } }
    end } })
    assert.same({ "made", "b", SITE .. "c", 2 }, { resp:text(), resp.headers.a, resp.url, #seen })
    raises("type", session.get, session, SITE, { middlewares = { function() end } })
    assert.equal("mine", support.error_of(session.get, session, SITE, { middlewares = { function()
      error("mine", 0)
    end } }))
  end))

  it("does not change the URLs that the session remembers", run(function()
    local session, seen = fake.session({ default = "ok" })
    session:get(SITE .. "x")
    session:get(SITE .. "x", { middlewares = { function(request, next)
      request.url:set("pathname", "/y")
      return next(request)
    end } })
    session:get(SITE .. "x")
    assert.same({ SITE .. "x", SITE .. "y", SITE .. "x" }, { seen[1].url, seen[2].url,
      seen[3].url })
  end))
end)

describe("a failed request", function()
  it("closes the response that nobody gets", run(function()
    local closed = 0
    local function answer(status)
      return { status = status, body = function() return "x" end,
        close = function() closed = closed + 1 end }
    end
    local session = fake.session({ default = function() return answer(404) end })
    raises("http", session.get, session, SITE, { raise_for_status = true })
    assert.equal(1, closed)
    support.error_of(session.get, session, SITE, { raise_for_status = function()
      error("mine", 0)
    end })
    assert.equal(2, closed)
    support.error_of(session.get, session, SITE, { middlewares = { function(request, next)
      next(request)
      error("mine", 0)
    end } })
    assert.equal(3, closed)
  end))
end)

describe("cancelled at any wait", function()
  it("a request leaves nothing behind", support.outside(function()
    assert.is_true(testing.cancel_everywhere(function()
      local server = raw.serve(function(stream, reader)
        while true do
          local head = reader:request()
          if not head then
            return
          elseif head:find("^GET /a") then
            stream:write("HTTP/1.1 302 Found\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n")
          else
            stream:write("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc")
            weft.sleep(0)
            stream:write("def")
          end
        end
      end)
      local session = http.session({ limit = 1, timeout = 20 })
      weft.finally(function()
        local url = ("http://127.0.0.1:%d/"):format(server.port)
        local resp = session:get(url .. "a")
        assert(resp:read() == "abcdef")
        assert(session:post(url, { data = fake.pieces("x", "y") }):read() == "abcdef")
        assert(session:statistics().in_use == 0)
      end, function()
        session:close()
        server:close()
      end)
    end) > 3)
  end))

  it("the session is good for another one", run(function()
    local server = raw.serve(raw.answer(function(_, _, n)
      weft.sleep(n == 1 and 5 or 0)
      return raw.response("ok")
    end))
    local session = http.session({ limit = 1 })
    local url = ("http://127.0.0.1:%d/"):format(server.port)
    for _ = 1, 3 do
      raises("timeout", session.get, session, url, { timeout = 0.02 })
      local task = weft.create_task(session.get, session, url)
      testing.wait_all_parked()
      task:cancel()
      raises("cancelled", task.await, task)
    end
    local counts = session:statistics()
    assert.same({ 0, 0, 0 }, { counts.in_use, counts.open, counts.waiting })
    session:close()
    server:close()
  end))
end)

describe("a session that is closed", function()
  it("ends the requests that are under way", run(function()
    local server = raw.serve({ raw.hang() })
    local session = http.session()
    local task = weft.create_task(session.get, session,
      ("http://127.0.0.1:%d/"):format(server.port))
    testing.wait_all_parked()
    session:close()
    raises("closed", task.await, task)
    server:close()
  end))
end)
