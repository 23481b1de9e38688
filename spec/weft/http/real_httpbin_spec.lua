-- SPDX-License-Identifier: MIT
-- weft.http against httpbin under gunicorn: what a request says arrives, and what a server does
-- is understood, endpoint by endpoint.

local http = require "weft.http"
local servers = require "spec.servers"
local support = require "spec.support"
local weft = require "weft"

local suite = servers.suite("httpbin")

-- The body of a spec: `fn(session, base)` with a session of its own.
local function client(fn, opts)
  return suite.spec(function(server)
    local base = "http://127.0.0.1:" .. server.ports[1]
    local all = { base_url = base .. "/" }
    for name, value in pairs(opts or {}) do
      all[name] = value
    end
    http.session(all):with(fn, base)
  end)
end

local function status_of(response)
  local status = response.status
  response:release()
  return status
end

describe("httpbin", function()
  if suite.missing then
    pending(suite.missing)
    return
  end
  setup(suite.start)
  teardown(suite.stop)

  it("is told the method, the parameters and the headers", client(function(session, base)
    local got = session:get("/get", { params = { q = "a b&c", z = 1 },
      headers = { ["X-Own"] = "yes" } }):json()
    assert.same({ q = "a b&c", z = "1" }, got.args)
    assert.equal("yes", got.headers["X-Own"])
    assert.matches("^weft/", got.headers["User-Agent"])
    assert.equal(base .. "/get?q=a b%26c&z=1", (got.url:gsub("[+]", " "):gsub("%%20", " ")))
    for _, method in ipairs({ "PUT", "PATCH", "DELETE", "POST" }) do
      local answer = session:request(method, "/anything/x", { data = "body" }):json()
      assert.same({ method, "body" }, { answer.method, answer.data })
    end
    assert.same({ 200, "" }, { status_of(session:head("/get")), session:head("/get"):read() })
    assert.matches("OPTIONS", session:options("/get").headers:get("Allow"))
    assert.equal(405, status_of(session:get("/post")))
  end))

  it("gets bodies of every kind", client(function(session)
    local function post(opts)
      return session:post("/post", opts):json()
    end
    assert.equal("plain", post{ data = "plain" }.data)
    assert.same({ a = "1", b = "x y" }, post{ data = { a = 1, b = "x y" } }.form)
    assert.same({ k = { 1, 2 } }, post{ json = { k = { 1, 2 } } }.json)
    local parts = { "one ", "two ", "", "three" }
    local i = 0
    local streamed = post{ data = function()
      i = i + 1
      return parts[i]
    end }
    assert.equal("one two three", streamed.data)
    assert.equal("chunked", streamed.headers["Transfer-Encoding"])
    local form = http.form_data()
    form:add_field("name", "value")
    form:add_field("file", "content\0\255", { filename = 'a "b".bin' })
    local got = post{ data = form }
    assert.equal("value", got.form.name)
    assert.matches("^data:", got.files.file)
    assert.same({ 200, ("x"):rep(300000) }, (function()
      local response = session:put("/put", { data = ("x"):rep(300000) })
      return { response.status, response:json().data }
    end)())
  end))

  it("answers 100 before the body is sent", client(function(session)
    assert.equal("wait", session:post("/post", { data = "wait", expect100 = true }):json().data)
  end))

  it("is asked who asks", client(function(session)
    assert.equal("127.0.0.1", session:get("/ip"):json().origin)
    assert.equal("me", session:get("/user-agent", { headers = { ["User-Agent"] = "me" } })
      :json()["user-agent"])
    assert.matches("gzip", session:get("/headers"):json().headers["Accept-Encoding"])
  end))

  it("keeps its cookies with the session", client(function(session, base)
    local answer = session:get("/cookies/set", { params = { a = "1", b = "2" } })
    assert.same({ a = "1", b = "2" }, answer:json().cookies)
    assert.equal(1, #answer.history)
    session:get("/cookies/set/c/3"):release()
    session:get("/cookies/delete", { params = { a = "" } }):release()
    assert.same({ b = "2", c = "3" }, session:get("/cookies"):json().cookies)
    assert.same({ b = "2", c = "3" }, session.cookie_jar:filter_cookies(base .. "/"))
    assert.same({ b = "2", c = "3", d = "4" },
      session:get("/cookies", { cookies = { d = "4" } }):json().cookies)
  end))

  it("asks for a password", client(function(session)
    local auth = http.basic_auth("user", "pass")
    assert.same({ authenticated = true, user = "user" },
      session:get("/basic-auth/user/pass", { auth = auth }):json())
    assert.equal(401, status_of(session:get("/basic-auth/user/pass")))
    assert.equal(401, status_of(session:get("/basic-auth/user/other", { auth = auth })))
    assert.equal(200, status_of(session:get("/hidden-basic-auth/user/pass", { auth = auth })))
    assert.equal(404, status_of(session:get("/hidden-basic-auth/user/pass")))
    assert.same({ authenticated = true, token = "token" },
      session:get("/bearer", { auth = http.bearer_auth("token") }):json())
    assert.equal(401, status_of(session:get("/bearer")))
  end))

  it("is told who asks by a netrc file", client(function(session)
    weft.fs.temporary_file(function(_, path)
      weft.fs.write_file(path, "machine 127.0.0.1 login user password pass")
      local getenv = os.getenv
      os.getenv = function(name) return name == "NETRC" and path or nil end -- luacheck: ignore
      weft.finally(function()
        assert.equal(200, status_of(session:get("/basic-auth/user/pass")))
        assert.equal(401, status_of(session:get("/basic-auth/user/pass", { auth = false })))
      end, function()
        os.getenv = getenv -- luacheck: ignore
      end)
    end)
  end, { trust_env = true }))

  for _, algorithm in ipairs({ "MD5", "SHA-256", "SHA-512" }) do
    for _, qop in ipairs({ "auth", "auth-int" }) do
      it("asks for a digest by " .. algorithm .. ", " .. qop, client(function(session)
        local path = ("/digest-auth/%s/user/pass/%s"):format(qop, algorithm)
        local auth = http.digest_auth("user", "pass")
        for _ = 1, 3 do
          assert.same({ authenticated = true, user = "user" },
            session:get(path, { auth = auth }):json())
        end
        local before = session:statistics().requests
        assert.equal(401, status_of(session:get(path, { auth = http.digest_auth("user", "no") })))
        assert.is_true(session:statistics().requests - before <= 2)
        assert.equal(401, status_of(session:get(path)))
      end))
    end
  end

  it("finds a nonce stale", client(function(session)
    local auth = http.digest_auth("user", "pass")
    for _ = 1, 4 do
      assert.equal(200, status_of(session:get("/digest-auth/auth/user/pass/MD5/2",
        { auth = auth })))
    end
  end))

  it("redirects, near and far", client(function(session, base)
    for _, path in ipairs({ "/redirect/3", "/relative-redirect/3", "/absolute-redirect/3" }) do
      local response = session:get(path)
      assert.same({ 200, 3, base .. "/get" }, { response.status, #response.history, response.url })
      response:release()
    end
    assert.equal("redirect", support.raises("redirect", session.get, session, "/redirect/11").kind)
    assert.equal(302, status_of(session:get("/redirect/1", { allow_redirects = false })))
  end))

  it("redirects with the method that browsers use", client(function(session, base)
    local function method(status)
      local response = session:post("/redirect-to", { data = "body",
        params = { url = base .. "/anything", status_code = status } }):json()
      return { response.method, response.data }
    end
    assert.same({ "GET", "" }, method(301))
    assert.same({ "GET", "" }, method(302))
    assert.same({ "GET", "" }, method(303))
    assert.same({ "POST", "body" }, method(307))
    assert.same({ "POST", "body" }, method(308))
  end))

  it("gives every status", client(function(session)
    for _, status in ipairs({ 200, 204, 400, 404, 418, 429, 500, 503 }) do
      local response = session:get("/status/" .. status)
      assert.same({ status, status < 400 }, { response.status, response.ok })
      response:release()
    end
    local e = support.raises("http", function()
      session:get("/status/404", { raise_for_status = true })
    end)
    assert.equal(404, e.status)
    assert.equal(304, status_of(session:get("/status/304")))
  end))

  it("takes its time, and is not waited for longer than was said", client(function(session)
    local e = support.raises("timeout", session.get, session, "/delay/5", { timeout = 0.3 })
    assert.matches("/delay/5", e.url)
    assert.equal(200, status_of(session:get("/delay/0.2")))
    local response = session:get("/drip", { params = { numbytes = 5, duration = 0.5 } })
    assert.equal("*****", response:read())
    response = session:get("/drip", { params = { numbytes = 5, duration = 20 },
      timeout = { sock_read = 0.3 } })
    support.raises("timeout", response.read, response)
  end))

  it("serves a hundred at once", client(function(session)
    local list = {}
    for i = 1, 100 do
      list[i] = function() return session:get("/get", { params = { i = i } }):json().args.i end
    end
    local results = weft.gather(list)
    for i = 1, 100 do
      assert.equal(tostring(i), results[i])
    end
  end, { limit = 10 }))

  it("streams lines and bytes", client(function(session)
    local count = 0
    for line in session:get("/stream/20"):iter_lines() do
      assert.matches('^{.*"id": ' .. count, line)
      count = count + 1
    end
    assert.equal(20, count)
    local whole = session:get("/bytes/5000", { params = { seed = 1 } }):read()
    assert.equal(5000, #whole)
    local pieces = {}
    for piece in session:get("/stream-bytes/5000",
      { params = { seed = 1, chunk_size = 64 } }):iter_chunked(100) do
      assert.is_true(#piece <= 100)
      pieces[#pieces + 1] = piece
    end
    assert.equal(5000, #table.concat(pieces))
  end))

  it("gives ranges", client(function(session)
    local response = session:get("/range/1024", { headers = { Range = "bytes=10-19" } })
    assert.equal(206, response.status)
    assert.equal("bytes 10-19/1024", response.headers:get("Content-Range"))
    assert.equal("klmnopqrst", response:read())
    assert.equal(1024, #session:get("/range/1024"):read())
    assert.equal(416, status_of(session:get("/range/10", { headers = { Range = "bytes=20-" } })))
  end))

  it("compresses", client(function(session)
    assert.is_true(session:get("/gzip"):json().gzipped)
    assert.is_true(session:get("/deflate"):json().deflated)
    if session:get("/headers"):json().headers["Accept-Encoding"]:find("br") then
      assert.is_true(session:get("/brotli"):json().brotli)
    end
    local raw = session:get("/gzip", { auto_decompress = false }):read()
    assert.equal("\31\139", raw:sub(1, 2))
  end))

  it("has documents of all sorts", client(function(session)
    assert.equal("utf-8", session:get("/encoding/utf8").charset)
    assert.matches("Herman Melville", session:get("/html"):text())
    assert.matches("^<%?xml", session:get("/xml"):text())
    assert.matches("^User%-agent: %*\nDisallow: /deny", session:get("/robots.txt"):text())
    assert.matches("YOU SHOULDN'T BE HERE", session:get("/deny"):text())
    assert.matches("^%x+%-%x+%-4%x+%-%x+%-%x+$", session:get("/uuid"):json().uuid)
    assert.equal("hello", session:get("/base64/aGVsbG8="):text())
    assert.matches("href=['\"]/links/5/1['\"]", session:get("/links/5/0"):text())
    assert.matches("<form", session:get("/forms/post"):text())
    local page = session:get("/html")
    support.raises({ "decode", "content_type" }, page.json, page)
    local e = support.raises({ "decode", "invalid_json" }, page.json, page,
      { content_type = false })
    assert.equal(1, e.line)
  end))

  it("has images", client(function(session)
    for kind, start in pairs({ png = "^\137PNG", jpeg = "^\255\216", webp = "^RIFF",
      ["svg"] = "<svg" }) do
      local response = session:get("/image/" .. kind)
      assert.matches("^image/" .. kind, response.content_type)
      assert.matches(start, response:read())
    end
    assert.equal("image/webp", session:get("/image", { headers = { Accept = "image/webp" } })
      .content_type)
    assert.equal(406, status_of(session:get("/image", { headers = { Accept = "text/x" } })))
  end))

  it("knows caches", client(function(session)
    local response = session:get("/cache")
    assert.is_truthy(response.headers:get("Last-Modified"))
    response:release()
    local since = { ["If-Modified-Since"] = "Sat, 01 Jan 2022 00:00:00 GMT" }
    response = session:get("/cache", { headers = since })
    assert.same({ 304, "" }, { response.status, response:read() })
    assert.equal("public, max-age=60", session:get("/cache/60").headers:get("Cache-Control"))
    local function etag(name, value)
      return status_of(session:get("/etag/abc", { headers = { [name] = value } }))
    end
    assert.same({ 304, 412, 200 }, { etag("If-None-Match", "abc"), etag("If-Match", '"x"'),
      etag("If-None-Match", "x") })
  end))

  it("sends what headers it is told to", client(function(session)
    local response = session:get("/response-headers?X-One=1&X-One=2&Server-Own=%20x")
    assert.same({ "1", "2" }, response.headers:getall("x-one"))
    assert.equal("x", response.headers["server-own"])
    response:release()
  end))

  it("is downloaded", client(function(session)
    weft.fs.temporary_directory(function(dir)
      session:get("/range/100000"):save(dir .. "/file")
      assert.equal(100000, #weft.fs.read_file(dir .. "/file"))
    end)
  end))
end)
