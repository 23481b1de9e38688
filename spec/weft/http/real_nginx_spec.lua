-- SPDX-License-Identifier: MIT
-- weft.http against nginx: connections that are kept and lost, TLS, compression, ranges, uploads
-- that are refused early.

local http = require "weft.http"
local certs = require "spec.tls_certs"
local kinds = require "spec.server_kinds"
local servers = require "spec.servers"
local support = require "spec.support"
local weft = require "weft"

local suite = servers.suite("nginx")

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

local KILOBYTE = ("0123456789abcdef"):rep(64)

describe("nginx", function()
  if suite.missing then
    pending(suite.missing)
    return
  end
  setup(suite.start)
  teardown(suite.stop)

  it("is asked a thousand times over one connection", client(function(session)
    for _ = 1, support.rounds(1000) do
      local response = session:get("/1k.bin")
      assert.equal(200, response.status)
      assert.is_true(KILOBYTE == response:read())
    end
    local statistics = session:statistics()
    assert.same({ 1, 1, 0 }, { statistics.open, statistics.idle, statistics.in_use })
    assert.equal(statistics.requests - 1, statistics.reused)
  end))

  it("is asked over many connections at once, no more than allowed", client(function(session)
    local most = 0
    local list = {}
    for i = 1, support.rounds(400) do
      list[i] = function()
        local body = session:get("/text.txt"):read()
        most = math.max(most, session:statistics().open)
        return body == kinds.TEXT
      end
    end
    for _, same in ipairs(weft.gather(list)) do
      assert.is_true(same)
    end
    assert.is_true(most <= 8)
  end, { limit = 8 }))

  it("answers with and without a body", client(function(session)
    assert.same({ 200, "" }, { status_of(session:get("/empty.txt")),
      session:get("/empty.txt"):read() })
    assert.same({ 204, "" }, { status_of(session:get("/204")), session:get("/204"):read() })
    local response = session:head("/1k.bin")
    assert.same({ 200, 1024, "" }, { response.status, response.content_length, response:read() })
    assert.equal(1, session:statistics().open)
  end))

  it("compresses in chunks", client(function(session)
    local response = session:get("/text.txt")
    assert.equal("gzip", response.headers:get("Content-Encoding"))
    assert.equal("chunked", response.headers:get("Transfer-Encoding"))
    assert.is_true(response:text() == kinds.TEXT)
    response = session:get("/text.txt", { headers = { ["Accept-Encoding"] = "identity" } })
    assert.equal(#kinds.TEXT, response.content_length)
    assert.is_true(response:read() == kinds.TEXT)
  end))

  it("says in the page what it is written in", client(function(session)
    assert.matches("<p>Прив$", session:get("/page.html"):text())
  end))

  it("is found dead where it had closed, and asked again", client(function(session)
    assert.equal("last", session:get("/last"):text())
    assert.equal(0, session:statistics().open)
    for _ = 1, 3 do
      assert.equal("brief", session:get("/brief"):text())
      weft.sleep(0.15) -- until nginx has closed it
    end
    assert.equal(200, status_of(session:get("/1k.bin")))
  end))

  it("closes without a word", client(function(session)
    local e = support.raises("connection", session.get, session, "/silence")
    assert.same({ "head", "GET" }, { e.phase, e.method })
    assert.matches("/silence$", e.url)
    assert.equal(0, session:statistics().open)
  end))

  it("redirects", client(function(session, server)
    assert.is_true(session:get("/redirect"):text() == kinds.TEXT)
    assert.equal("200\n", session:get("/permanent"):text())
    local response = session:get("/secure")
    assert.equal(("https://localhost:%d/1k.bin"):format(server.ports[2]), response.url)
    assert.equal(KILOBYTE, response:read())
    local e = support.raises("redirect", session.get, session, "/loop")
    assert.matches("loop", e.url)
  end, { tls = { ca_file = certs.path "root.pem" } }))

  it("is not told by a redirect what another host may know", client(function(session)
    local auth = http.basic_auth("user", "secret")
    local told = auth:encode() .. "|a=1|own"
    for _, how in ipairs({ { auth = auth }, { headers = { Authorization = auth:encode() } } }) do
      how.cookies = { a = "1" }
      how.headers = how.headers or {}
      how.headers["X-Own"] = "own"
      assert.equal(told, session:get("/credentials", how):text())
      assert.equal(told, session:get("/here", how):text())
      assert.equal("||own", session:get("/elsewhere", how):text())
    end
  end))

  it("speaks TLS, once for many requests, and resumes", client(function(session, server)
    local base = ("https://localhost:%d"):format(server.ports[2])
    for _ = 1, 5 do
      assert.equal(KILOBYTE, session:get(base .. "/1k.bin"):read())
    end
    assert.equal(4, session:statistics().reused)
    session:get(base .. "/1k.bin", { force_close = true }):read()
    local response = session:get(base .. "/1k.bin")
    local info = response.connection_info
    assert.matches("^TLSv1%.[23]$", info.tls.version)
    assert.same({ false, true }, { info.reused, info.tls.resumed })
    response:release()
  end, { tls = { ca_file = certs.path "root.pem" } }))

  it("is not trusted where nobody vouches for it", client(function(session, server)
    local e = support.raises("tls", session.get, session,
      ("https://localhost:%d/"):format(server.ports[2]))
    assert.equal("tls", e.phase)
    e = support.raises("tls", session.get, session,
      ("https://localhost:%d/"):format(server.ports[2]),
      { tls = { ca_file = certs.path "root.pem" }, server_hostname = "other.test" })
    assert.matches("other.test", e.message)
    support.raises("tls", session.get, session, ("https://localhost:%d/"):format(server.ports[1]))
  end))

  it("gives parts, and is asked whether it has changed", client(function(session)
    local response = session:get("/1k.bin", { headers = { Range = "bytes=1000-" } })
    assert.same({ 206, KILOBYTE:sub(1001) }, { response.status, response:read() })
    local etag = response.headers:get("ETag")
    assert.equal(304, status_of(session:get("/1k.bin", { headers = { ["If-None-Match"] = etag } })))
    assert.equal(1, session:statistics().open)
  end))

  it("goes on with a download where it was broken off", client(function(session)
    weft.fs.temporary_directory(function(dir)
      local path, sizes = dir .. "/file", {}
      support.raises("timeout", function()
        session:get("/part", { timeout = { sock_read = 0.3 } }):save(path, { resume = true })
      end)
      assert.is_false(weft.fs.exists(path))
      session:get("/part"):save(path, { resume = true, on_progress = function(size)
        sizes[#sizes + 1] = size
      end })
      assert.is_true(weft.fs.read_file(path) == kinds.TEXT)
      assert.is_true(sizes[1] > 30000)
      assert.equal(1, #weft.fs.readdir(dir))
    end)
  end))

  it("takes a large upload, and refuses one before it is there", client(function(session)
    local function source(count)
      return function()
        count = count - 1
        return count >= 0 and ("x"):rep(65536) or nil
      end
    end
    assert.equal(200, status_of(session:put("/upload", { data = source(160) })))
    assert.equal(200, status_of(session:put("/upload", { data = ("x"):rep(1000000),
      expect100 = true })))
    assert.equal(413, status_of(session:put("/small", { data = ("x"):rep(2000) })))
    assert.equal(413, status_of(session:put("/small", { data = ("x"):rep(2000000),
      expect100 = true })))
    assert.equal(413, status_of(session:put("/small", { data = source(1000) })))
    assert.equal(502, status_of(session:get("/refused")))
  end))

  it("sends headers more than once", client(function(session)
    local response = session:get("/headers", { params = { x = "1" },
      headers = { ["X-Own"] = "own" } })
    assert.same({ "a=1; Path=/", "b=2; HttpOnly" }, response.headers:getall("set-cookie"))
    assert.equal("1", response.cookies.a.value)
    assert.is_true(response.cookies.b.http_only)
    assert.matches("/next$", response.links.next.url)
    assert.matches("^GET|127.0.0.1:%d+|weft/[^|]*|own||x=1$", response:text())
    assert.matches("|a=1; b=2|$", session:get("/headers"):text())
  end))

  it("asks for a password", client(function(session)
    assert.equal(401, status_of(session:get("/basic/in.txt")))
    assert.equal("basic\n", session:get("/basic/in.txt",
      { auth = http.basic_auth("user", "secret") }):text())
    local url = ("http://user:secret@127.0.0.1:%s/basic/in.txt")
      :format(session:get("/1k.bin").url:match(":(%d+)/"))
    local response = session:get(url)
    assert.same({ "basic\n", nil }, { response:text(), response.url:match("secret") })
  end))

  it("is slow, and not waited for", client(function(session)
    local response = session:get("/slow", { timeout = { total = 0.3 } })
    assert.equal(200, response.status)
    local e = support.raises("timeout", response.read, response)
    assert.equal("body", e.phase)
    assert.equal(0, session:statistics().in_use)
  end))

  it("is retried when it is busy", client(function(session)
    local response = session:get("/status/503", { retry = { attempts = 2, backoff = 0.01,
      respect_retry_after = false } })
    assert.equal(503, response.status)
    response:release()
    assert.equal(1, session:statistics().retries)
  end))

  it("is left in the middle of a body without harm", client(function(session)
    for _ = 1, 20 do
      local response = session:get("/text.txt")
      response:close()
      response = session:get("/text.txt")
      response:release()
    end
    assert.equal(0, session:statistics().in_use)
    assert.equal(KILOBYTE, session:get("/1k.bin"):read())
  end))

  it("is where nobody listens", client(function(session, server)
    local e = support.raises("connection", session.get, session,
      ("http://127.0.0.1:%d/"):format(server.ports[3]))
    assert.same({ "ECONNREFUSED", "connect" }, { e.code, e.phase })
  end))

  it("is asked while tasks are cancelled", client(function(session)
    local tasks = {}
    for i = 1, 60 do
      tasks[i] = weft.create_task(function()
        return session:get(i % 2 == 0 and "/slow" or "/text.txt"):read()
      end)
    end
    weft.sleep(0.05)
    for i, task in ipairs(tasks) do
      if i % 3 ~= 0 or i % 2 == 0 then
        task:cancel()
      end
    end
    weft.wait(tasks)
    assert.equal(0, session:statistics().in_use)
    assert.equal(KILOBYTE, session:get("/1k.bin"):read())
  end, { limit = 5 }))
end)
