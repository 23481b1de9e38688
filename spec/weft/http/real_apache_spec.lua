-- SPDX-License-Identifier: MIT
-- weft.http against Apache: its Digest and Basic, uploads by WebDAV and CGI, compression, TLS,
-- and a head that is written oddly.

local http = require "weft.http"
local certs = require "spec.tls_certs"
local kinds = require "spec.server_kinds"
local servers = require "spec.servers"
local support = require "spec.support"
local weft = require "weft"

local suite = servers.suite("apache")

local function client(fn, opts)
  return suite.spec(function(server)
    local all = { base_url = ("http://127.0.0.1:%d/"):format(server.ports[1]) }
    for name, value in pairs(opts or {}) do
      all[name] = value
    end
    http.session(all):with(fn, server)
  end)
end

local function status_of(response)
  local status = response.status
  response:release()
  return status
end

describe("Apache", function()
  if suite.missing then
    pending(suite.missing)
    return
  end
  setup(suite.start)
  teardown(suite.stop)

  it("asks for a digest once, and takes those that follow", client(function(session)
    local auth = http.digest_auth("user", "secret")
    for i = 1, 5 do
      assert.equal("digest\n", session:get("/digest/in.txt", { auth = auth }):text())
      assert.equal(i + 1, session:statistics().requests)
    end
    assert.equal("digest\n", session:get("/digest/in.txt?q=a%20b,c", { auth = auth }):text())
  end))

  it("refuses a wrong digest, after one answer", client(function(session)
    local auth = http.digest_auth("user", "wrong")
    assert.equal(401, status_of(session:get("/digest/in.txt", { auth = auth })))
    assert.equal(2, session:statistics().requests)
    assert.equal(401, status_of(session:get("/digest/in.txt")))
  end))

  it("finds a nonce stale, and gives another", client(function(session)
    local auth = http.digest_auth("user", "secret")
    for _ = 1, 2 do
      assert.equal("digest\n", session:get("/brief/in.txt", { auth = auth }):text())
      weft.sleep(support.slow and 4 or 2.1) -- its nonces live for a second
    end
    assert.equal(4, session:statistics().requests)
  end))

  it("asks many for a digest at once", client(function(session)
    local list = {}
    for i = 1, 40 do
      list[i] = function() return session:get("/digest/in.txt"):text() end
    end
    for _, text in ipairs(weft.gather(list)) do
      assert.equal("digest\n", text)
    end
  end, { auth = http.digest_auth("user", "secret"), limit = 10 }))

  it("asks for a digest with a body, which is sent again", client(function(session)
    local auth = http.digest_auth("user", "secret", { preemptive = false })
    local function post(data)
      local response = session:post("/digest/cgi/echo", { data = data, auth = auth,
        headers = { ["Content-Type"] = "text/plain" } })
      return response.status, response:text():match("\n(.*)$")
    end
    assert.same({ 200, "body" }, { post("body") })
    assert.same({ 200, "body" }, { post("body") })
    local form = http.form_data()
    form:add_field("a", "b c")
    assert.same({ 200, "a=b+c" }, { post(form) })
    weft.fs.temporary_file(function(_, path)
      local text = ("x"):rep(200000)
      weft.fs.write_file(path, text)
      local status, body = post(http.file(path))
      assert.equal(200, status)
      assert.is_true(body == text)
    end)
    local count = 3
    assert.equal(401, (post(function() -- which nobody can call again
      count = count - 1
      return count >= 0 and "x" or nil
    end)))
  end))

  it("asks for a password", client(function(session)
    local auth = http.basic_auth("user", "secret")
    assert.equal("basic\n", session:get("/basic/in.txt", { auth = auth }):text())
    assert.equal(401, status_of(session:get("/basic/in.txt",
      { auth = http.basic_auth("user", "wrong") })))
  end))

  it("takes files, and gives them back", client(function(session)
    local body = ("0123456789abcdef"):rep(20000)
    local at = 1
    local function source()
      local piece = body:sub(at, at + 9999)
      at = at + 10000
      return piece ~= "" and piece or nil
    end
    assert.equal(201, status_of(session:put("/dav/a.bin", { data = source })))
    assert.equal(201, status_of(session:put("/dav/b.bin", { data = body, expect100 = true })))
    assert.is_true(session:get("/dav/a.bin"):read() == body)
    assert.is_true(session:get("/dav/b.bin"):read() == body)
    assert.equal(207, status_of(session:request("PROPFIND", "/dav/",
      { headers = { Depth = "1" } })))
    assert.equal(201, status_of(session:request("MKCOL", "/dav/new")))
    for _, path in ipairs({ "/dav/a.bin", "/dav/b.bin", "/dav/new" }) do
      assert.equal(204, status_of(session:delete(path)))
      assert.equal(404, status_of(session:get(path)))
    end
    assert.equal(1, session:statistics().open)
  end))

  it("passes on what was sent as it was", client(function(session)
    assert.equal("POST  4 text/plain\nbody", session:post("/cgi/echo", { data = "body",
      headers = { ["Content-Type"] = "text/plain" } }):text())
    assert.matches("^POST  7 application/x%-www%-form%-urlencoded\na=1&b=2$",
      session:post("/cgi/echo", { data = { { "a", "1" }, { "b", "2" } } }):text())
    assert.matches("^POST  7 application/json[^\n]*\n{\"a\":1}$",
      session:post("/cgi/echo", { json = { a = 1 } }):text())
    assert.matches("^POST .*again$", session:post("/again", { data = "again" }):text())
    assert.equal(1024, #session:post("/see", { data = "x" }):read())
  end))

  it("compresses", client(function(session)
    for path, coding in pairs({ ["/text.txt"] = "gzip", ["/br"] = "br" }) do
      local response = session:get(path, { headers = { ["Accept-Encoding"] = coding } })
      assert.equal(coding, response.headers:get("Content-Encoding"))
      assert.is_true(response:text() == kinds.TEXT)
    end
  end))

  it("gives several parts at once", client(function(session)
    local response = session:get("/1k.bin", { headers = { Range = "bytes=0-1,10-11" } })
    assert.equal(206, response.status)
    assert.equal("multipart/byteranges", response.content_type)
    assert.matches("\r\n\r\n01\r\n.*\r\n\r\nab\r\n", response:text())
  end))

  it("sends a head that is written oddly", client(function(session)
    local response = session:get("/odd.asis")
    assert.same({ "As Is", "a  , b" }, { response.reason, response.headers["x-odd"] })
    assert.equal("asis\n", response:text())
  end))

  it("redirects", client(function(session)
    local response = session:get("/redirect")
    assert.is_true(response:text() == kinds.TEXT)
    assert.same({ 302, 1 }, { response.history[1].status, #response.history })
  end))

  it("speaks TLS", client(function(session, server)
    local base = ("https://localhost:%d"):format(server.ports[2])
    for _ = 1, 3 do
      assert.equal(1024, #session:get(base .. "/1k.bin"):read())
    end
    assert.equal(1, session:statistics().open)
  end, { tls = { ca_file = certs.path "root.pem" } }))

  it("is refused plain text on its TLS port, and says so", client(function(session, server)
    local response = session:get(("http://localhost:%d/"):format(server.ports[2]))
    assert.equal(400, response.status)
    response:release()
  end))

  it("gets long headers, and refuses what is too long", client(function(session)
    local function with_header(size)
      return status_of(session:get("/1k.bin", { headers = { ["X-Long"] = ("x"):rep(size) } }))
    end
    assert.equal(200, with_header(8000))
    assert.equal(400, with_header(9000))
    assert.equal(414, status_of(session:get("/" .. ("x"):rep(9000))))
  end))
end)
