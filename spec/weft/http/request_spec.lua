-- SPDX-License-Identifier: MIT
-- weft.http.request: what goes with a request: header fields, parameters, cookies, credentials,
-- the body; and which of several counts.

local core = require "weft.core"
local fake = require "spec.http_fake"
local http = require "weft.http"
local support = require "spec.support"

local raises, run = support.raises, support.run

local SITE = "http://example.com/"

-- What was sent for a request with these options.
local function sent(opts, session_opts, method)
  local session, seen = fake.session({ default = "ok" }, session_opts)
  session:request(method or "GET", SITE, opts)
  return seen[1]
end

local function refused(code, opts, session_opts, method)
  local session, seen = fake.session({ default = "ok" }, session_opts)
  local e = raises({ "type", code }, session.request, session, method or "GET", SITE, opts)
  assert.equal(0, #seen)
  return e
end

describe("the method", function()
  it("is a word, and never CONNECT", run(function()
    local session = fake.session({})
    for _, method in ipairs({ "", "A B", "GET\r\nX: y", "connect", "CONNECT", "a/b" }) do
      raises({ "type", "invalid_method" }, session.request, session, method, SITE)
    end
    raises("type", session.request, session, nil, SITE)
  end))
end)

describe("the URL", function()
  it("is one of http or https, with a host", run(function()
    local session = fake.session({})
    for _, url in ipairs({ "", "nothing", "ftp://x/", "http://", "mailto:a@b", "http://a b/",
      "http://x:99999/", "data:,x" }) do
      raises({ "type", "invalid_url" }, session.get, session, url)
    end
    raises("type", session.get, session, nil)
    raises("type", session.get, session, 3)
  end))

  it("is sent without fragment and without what could split a request", run(function()
    local session, seen = fake.session({ default = "ok" })
    local resp = session:get("http://EXAMPLE.com:80/a b?q=1\r\n2#frag")
    assert.equal(SITE .. "a%20b?q=12", seen[1].url)
    assert.equal(SITE .. "a%20b?q=12", resp.url)
    assert.equal(SITE .. "a%20b?q=12#frag", resp.real_url)
    assert.equal("ok", session:get(http.url(SITE .. "x")):text())
    assert.equal(SITE .. "x", seen[2].url)
  end))

  it("gets the parameters, behind those that it has", run(function()
    local session, seen = fake.session({ default = "ok" })
    session:get(SITE .. "?a=1", { params = { b = "x y&", c = { 1, 2 } } })
    session:get(SITE, { params = { { "z", 1 }, { "a", true } } })
    session:get(SITE .. "?a=1", { params = "raw=%20" })
    session:get(SITE .. "?a=1", { params = {} })
    session:get(SITE .. "#f", { params = { a = 1 } })
    local urls = {}
    for i, request in ipairs(seen) do
      urls[i] = request.url:sub(#SITE + 1)
    end
    assert.same({ "?a=1&b=x+y%26&c=1&c=2", "?z=1&a=true", "?a=1&raw=%20", "?a=1", "?a=1" }, urls)
    raises("type", session.get, session, SITE, { params = 3 })
  end))

  it("gives credentials, which are not part of it any more", run(function()
    local session, seen = fake.session({ default = "ok" })
    local resp = session:get("http://us%40er:pa%3Ass@example.com/x")
    assert.equal("http://example.com/x", resp.real_url)
    assert.equal(http.basic_auth("us@er", "pa:ss"):encode(), seen[1].headers.authorization)
  end))

  it("is remembered, a bounded number of times", run(function()
    local session = fake.session({ default = "ok" })
    for i = 1, 1200 do
      session:get(SITE .. i)
    end
    local cache, count = session._addresses, 0
    for _ in pairs(cache.new) do
      count = count + 1
    end
    for _ in pairs(cache.old) do
      count = count + 1
    end
    assert.is_true(count > 500 and count <= 1024)
    session:get(SITE .. ("x"):rep(5000))
    assert.is_nil(cache.new[SITE .. ("x"):rep(5000)])
  end))
end)

describe("header fields", function()
  it("are those of a polite client", run(function()
    local headers, list = sent().headers, {}
    for name in headers:iter() do
      list[#list + 1] = name
    end
    assert.same({ "Host", "Accept", "Accept-Encoding", "User-Agent" }, list)
    assert.equal("example.com", headers.host)
    assert.equal("*/*", headers.accept)
    assert.truthy(headers["user-agent"]:find("^weft/%d+%.%d+$"))
    assert.truthy(headers["accept-encoding"]:find("^gzip, deflate"))
    assert.equal(core.coding_names(), headers["accept-encoding"]) -- br, zstd where they are
  end))

  it("of the request come before the session's, and those before the defaults", run(function()
    local headers = sent({ headers = { accept = "text/plain", ["x-b"] = "request" } },
      { headers = { ["X-A"] = "session", ["X-B"] = "session", ["User-Agent"] = "me" } }).headers
    assert.same({ "text/plain", "session", "request", "me", 1 }, { headers.accept,
      headers["x-a"], headers["x-b"], headers["user-agent"], #headers:getall("x-b") })
    assert.equal("he", sent(nil, { user_agent = "he" }).headers["user-agent"])
    assert.is_nil(sent(nil, { user_agent = false }).headers["user-agent"])
  end))

  it("are taken away by false", run(function()
    local headers = sent({ headers = { ["user-agent"] = false, ["X-A"] = false } },
      { headers = { ["X-A"] = "session" } }).headers
    assert.is_nil(headers["user-agent"])
    assert.is_nil(headers["x-a"])
    headers = sent({ skip_auto_headers = { "Accept" } }).headers
    assert.is_nil(headers.accept)
    headers = sent({ data = "x" }, { skip_auto_headers = { "content-type", "User-Agent" } }).headers
    assert.is_nil(headers["content-type"])
    assert.is_nil(headers["user-agent"])
  end))

  it("can be given in each form", run(function()
    local expected = { "1", "2" }
    assert.same(expected, sent({ headers = { A = { 1, 2 } } }).headers:getall("a"))
    assert.same(expected, sent({ headers = { { "A", 1 }, { "a", 2 } } }).headers:getall("a"))
    assert.same(expected, sent({ headers = http.headers({ A = expected }) }).headers:getall("a"))
  end))

  it("with control characters, or with framing, are refused", run(function()
    for _, headers in ipairs({ { A = "b\r\nC: d" }, { A = "b\nc" }, { A = "\0" }, { ["A\r"] = "b" },
      { ["A B"] = "c" }, { [""] = "c" }, { ["Transfer-Encoding"] = "chunked" },
      { ["content-length"] = "x" }, { ["Content-Length"] = { 1, 1 } }, { A = true }, { [1] = "a" },
      { ["Content-Length"] = "-1" } }) do
      if headers[1] then
        raises("type", sent, { headers = headers })
      else
        refused("invalid_header", { headers = headers })
      end
    end
    raises({ "type", "invalid_header" }, http.session, { headers = { A = "\n" } })
  end))

  it("have the Host that a script sets", run(function()
    assert.equal("other", sent({ headers = { Host = "other" } }).headers.host)
    assert.same({ "other" }, sent(nil, { headers = { Host = "other" } }).headers:getall("host"))
    assert.equal("example.com", sent({ headers = { Host = false } }).headers.host)
  end))
end)

describe("a Content-Length", function()
  it("must be that of the body", run(function()
    local request = sent({ data = "abc", headers = { ["Content-Length"] = 3 } }, nil, "POST")
    assert.equal("abc", request.body)
    refused("invalid_header", { data = "abc", headers = { ["Content-Length"] = 4 } }, nil, "POST")
    refused("invalid_header", { headers = { ["Content-Length"] = 4 } })
    assert.is_nil(sent({ headers = { ["Content-Length"] = 0 } }).body)
  end))

  it("tells the length of what is streamed", run(function()
    local session = fake.session({ default = "ok" })
    local resp = session:post(SITE, { data = fake.pieces("ab", "c"),
      headers = { ["Content-Length"] = "3" } })
    assert.equal(3, resp._request.message.length)
    assert.is_nil(resp._request.headers["content-length"])
  end))
end)

describe("the body", function()
  it("has a type that the script can set", run(function()
    assert.equal("application/json", sent({ json = { a = 1 } }).headers["content-type"])
    assert.equal("application/x-www-form-urlencoded", sent({ data = { a = 1 } })
      .headers["content-type"])
    assert.equal("text/x", sent({ data = "a", headers = { ["content-type"] = "text/x" } })
      .headers["content-type"])
  end))

  it("is empty, not absent, where one is expected", run(function()
    assert.equal("", sent(nil, nil, "POST").body)
    assert.is_nil(sent(nil, nil, "DELETE").body)
  end))

  it("is one", run(function()
    local session = fake.session({})
    raises("type", session.post, session, SITE, { data = "x", json = 1 })
    raises("type", session.post, session, SITE, { data = false })
    assert.equal("false", sent({ json = false }, nil, "POST").body)
  end))

  it("can be compressed", run(function()
    local request = sent({ data = ("x"):rep(1000), compress = "gzip" }, nil, "POST")
    assert.equal("gzip", request.headers["content-encoding"])
    assert.equal("\31\139", request.body:sub(1, 2))
  end))

  it("may have to wait for the server", run(function()
    local session = fake.session({ default = "ok" }, { expect100 = true })
    assert.is_true(session:post(SITE, { data = "x" })._request.message.expect_continue)
    assert.is_nil(session:get(SITE)._request.message.expect_continue)
  end))
end)

describe("cookies", function()
  it("of a session go to every host", run(function()
    assert.equal("a=1; b=2", sent(nil, { cookies = { b = "2", a = "1" } }).headers.cookie)
    local session, seen = fake.session({ default = "ok" }, { cookies = { a = "1" } })
    session:get("http://other.example/")
    assert.equal("a=1", seen[1].headers.cookie)
    assert.same({ a = "1" }, session.cookie_jar:filter_cookies(SITE))
  end))

  it("of a request come before those of the jar, and those of the host before a script's",
    run(function()
      local session, seen = fake.session({ ["/set"] = { status = 200,
        headers = { ["Set-Cookie"] = { "a=host; Path=/", "b=host; Path=/" } } }, default = "ok" },
        { cookies = { a = "session", c = "session" } })
      session:get(SITE .. "set")
      session:get(SITE)
      session:get(SITE, { cookies = { a = "request", d = 4 } })
      session:get("http://other.example/")
      assert.equal("a=host; b=host; c=session", (function(text)
        local parts = {}
        for part in text:gmatch("[^; ]+") do
          parts[#parts + 1] = part
        end
        table.sort(parts)
        return table.concat(parts, "; ")
      end)(seen[2].headers.cookie))
      assert.truthy(seen[3].headers.cookie:find("^a=request; d=4; "))
      assert.is_nil(seen[3].headers.cookie:find("a=host", 1, true))
      assert.equal("a=session; c=session", seen[4].headers.cookie)
    end))

  it("are added to those that a script writes itself", run(function()
    assert.equal("a=1; z=0; b=2", sent({ headers = { Cookie = "a=1; z=0" } },
      { cookies = { a = "9", b = "2" } }).headers.cookie)
  end))

  it("are neither sent nor kept without a jar", run(function()
    local session, seen = fake.session({ default = { status = 200,
      headers = { ["Set-Cookie"] = "a=1" } } }, { cookie_jar = false })
    assert.same("1", session:get(SITE).cookies.a.value)
    session:get(SITE)
    assert.is_nil(seen[2].headers.cookie)
  end))

  it("cannot split a request", run(function()
    refused("invalid_cookie", { cookies = { a = "b\r\nX: y" } })
    refused("invalid_cookie", { cookies = { a = "b; c=d" } })
    refused("invalid_cookie", { cookies = { ["a;b"] = "c" } })
    refused("invalid_cookie", { cookies = { a = {} } })
  end))
end)

describe("credentials", function()
  local basic, bearer = http.basic_auth("a", "b"), http.bearer_auth("token")

  it("of the request come before the URL's, and those before the session's", run(function()
    local session, seen = fake.session({ default = "ok" }, { auth = bearer })
    session:get(SITE)
    session:get("http://a:b@example.com/")
    session:get("http://x:y@example.com/", { auth = basic })
    session:get(SITE, { auth = false })
    session:get(SITE, { headers = { Authorization = "own" } })
    local values = {}
    for i, request in ipairs(seen) do
      values[i] = request.headers.authorization or false
    end
    assert.same({ "Bearer token", "Basic YTpi", "Basic YTpi", false, "own" }, values)
  end))

  it("are given once", run(function()
    refused("invalid_auth", { auth = basic, headers = { authorization = "own" } })
    assert.equal("Basic YTpi", sent({ auth = basic }, { headers = { Authorization = "own" } })
      .headers.authorization)
  end))

  it("can be made by a function", run(function()
    assert.equal("GET own", sent({ auth = function(request)
      return request.method .. " own"
    end }).headers.authorization)
  end))

  it("answer a challenge", run(function()
    local session, seen = fake.session({ default = function(request)
      if request.headers.authorization then
        return "ok"
      end
      return { status = 401, body = "who?",
        headers = { ["WWW-Authenticate"] = 'Digest realm="r", nonce="n", qop="auth"' } }
    end })
    local resp = session:post(SITE, { auth = http.digest_auth("a", "b"), data = "body" })
    assert.same({ 200, 2, "body", "body" }, { resp.status, #seen, seen[1].body, seen[2].body })
    assert.truthy(seen[2].headers.authorization:find("^Digest "))
    resp = session:post(SITE .. "x", { auth = http.digest_auth("a", "b"),
      data = fake.pieces("once") })
    assert.equal(401, resp.status)
    assert.equal("who?", resp:text())
  end))
end)

describe("a proxy", function()
  it("is the request's, or the session's, with its credentials", run(function()
    local session = fake.session({ default = "ok" }, { proxy = "http://u:p@proxy:3128",
      proxy_headers = { A = "b" } })
    local proxy = session:get(SITE)._request.proxy
    assert.same({ "proxy", "Basic dTpw", "b" }, { proxy.url.hostname, proxy.auth,
      proxy.headers.a })
    proxy = session:get(SITE, { proxy = "socks5h://other:1",
      proxy_auth = http.basic_auth("a", "b") })._request.proxy
    assert.same({ "socks5h", "Basic YTpi" }, { proxy.url.scheme, proxy.auth })
    assert.is_nil(session:get(SITE, { proxy = false })._request.proxy)
  end))

  it("is the environment's when that is trusted", run(function()
    local environ = require "weft.http.environ"
    local before = environ._getenv
    environ._getenv = function(name)
      return ({ http_proxy = "http://env:1", no_proxy = "inside.example" })[name]
    end
    local session = fake.session({ default = "ok" }, { trust_env = true })
    session._netrc = { find = function(_, host)
      return host == "example.com" and http.basic_auth("n", "rc") or nil
    end }
    local request = session:get(SITE)._request
    local inside = session:get("http://inside.example/")._request
    local plain = fake.session({ default = "ok" }):get(SITE)._request
    environ._getenv = before
    assert.equal("env", request.proxy.url.hostname)
    assert.equal(http.basic_auth("n", "rc"):encode(), request.headers.authorization)
    assert.is_nil(inside.proxy)
    assert.is_nil(inside.headers.authorization)
    assert.is_nil(plain.proxy)
  end))
end)

describe("TLS options", function()
  it("that say the same share connections", run(function()
    local session = fake.session({ default = "ok" })
    local a = session:get(SITE, { tls = { verify = false } })._request
    local b = session:get(SITE, { tls = { verify = false } })._request
    local c = session:get(SITE, { tls = { verify = true } })._request
    assert.equal(a.tls_key, b.tls_key)
    assert.is_true(rawequal(a.tls, b.tls))
    assert.not_equal(a.tls_key, c.tls_key)
    assert.is_nil(session:get(SITE)._request.tls_key)
  end))
end)
