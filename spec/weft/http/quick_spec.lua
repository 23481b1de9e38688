-- SPDX-License-Identifier: MIT
-- weft.http.quick: requests without options share what they send, and nothing else: neither
-- what a response changes nor what the next request adds.

local http = require "weft.http"
local raw = require "spec.http_raw"
local run = require("spec.support").run

-- A server that answers each request with what answer(head) returns: header lines, or nil.
local function serve(answer)
  return raw.serve(function(stream, reader)
    while true do
      local fields = answer(reader:request()) or ""
      local status = fields:find("Location", 1, true) and "302 Found" or "200 OK"
      stream:write(("HTTP/1.1 %s\r\n%sContent-Length: 2\r\n\r\nok"):format(status, fields))
    end
  end)
end

-- The head of the last request.
local function last(server)
  return server.requests[#server.requests]
end

describe("requests without options", function()
  it("send the same fields each time", run(function()
    local server = serve(function() end)
    http.session({ headers = { ["X-A"] = "1" } }):with(function(session)
      local url = ("http://127.0.0.1:%d/a?b"):format(server.port)
      for _ = 1, 3 do
        assert.equal("ok", session:get(url):text())
      end
      assert.equal(server.requests[1], server.requests[2])
      assert.equal(server.requests[1], server.requests[3])
      assert.truthy(last(server):find("\r\nX-A: 1\r\n", 1, true))
      assert.equal("HEAD", session:head(url).method)
      assert.equal("DELETE", session:delete(url).method)
      assert.equal(session:delete(url):text() and last(server),
        (server.requests[1]:gsub("^GET", "DELETE")))
      session:post(url):read()
      session:post(url):read()
      assert.truthy(last(server):find("\r\nContent-Length: 0\r\n", 1, true))
    end)
    server:close()
  end))

  it("have the cookies of the moment", run(function()
    local server = serve(function(head)
      return head:find("^GET /set") and "Set-Cookie: a=1\r\n" or nil
    end)
    http.session():with(function(session)
      local origin = ("http://127.0.0.1:%d"):format(server.port)
      local function cookie_of(path)
        session:get(origin .. path):read()
        return last(server):match("\r\nCookie: ([^\r]*)")
      end
      assert.is_nil(cookie_of("/"))
      assert.is_nil(cookie_of("/"))
      assert.is_nil(cookie_of("/set"))
      assert.equal("a=1", cookie_of("/"))
      assert.equal("a=1", cookie_of("/set"))
      session.cookie_jar:clear()
      assert.is_nil(cookie_of("/"))
      session.cookie_jar = http.cookie_jar()
      session.cookie_jar:update_cookies({ b = "2" }, origin .. "/")
      assert.equal("b=2", cookie_of("/"))
    end)
    server:close()
  end))

  it("are redirected one by one", run(function()
    local other = serve(function() end)
    local server = serve(function(head)
      return head:find("^GET /a") and ("Location: http://localhost:%d/b\r\n"):format(other.port)
    end)
    http.session({ headers = { Authorization = "secret" } }):with(function(session)
      local url = ("http://127.0.0.1:%d/a"):format(server.port)
      for i = 1, 3 do
        local response = session:get(url)
        assert.equal(("http://localhost:%d/b"):format(other.port), response.url)
        assert.equal(url, response.history[1].url)
        assert.equal(i, #server.requests)
        assert.equal(server.requests[1], last(server))
        assert.truthy(last(server):find("\r\nAuthorization: secret\r\n", 1, true))
        assert.is_nil(last(other):find("Authorization", 1, true))
        assert.truthy(last(other):find(("\r\nHost: localhost:%d\r\n"):format(other.port), 1, true))
        response:release()
      end
    end)
    server:close()
    other:close()
  end))

  it("are made as any other where something goes along", run(function()
    local server = serve(function() end)
    local function ask(opts, url)
      return http.session(opts):with(function(session)
        for _ = 1, 3 do
          session:get((url or "http://127.0.0.1:%d/"):format(server.port)):read()
        end
        return last(server)
      end)
    end
    local function has(opts, text, url)
      return ask(opts, url):find(text, 1, true) ~= nil
    end
    assert.is_true(has({ auth = http.bearer_auth("x") }, "Authorization: Bearer x"))
    assert.is_true(has({}, "Authorization: Basic ", "http://u:p@127.0.0.1:%d/"))
    assert.is_true(has({ headers = { Cookie = "own=1" } }, "Cookie: own=1"))
    assert.is_true(has({ middlewares = { function(request, next)
      request.headers:set("X-M", "1")
      return next(request)
    end } }, "X-M: 1"))
    server:close()
  end))
end)
