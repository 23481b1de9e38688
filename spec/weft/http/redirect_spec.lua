-- SPDX-License-Identifier: MIT
-- weft.http.redirect: which redirects are followed, by which method, and what goes along.
-- The spec answers the requests itself: spec.http_fake.

local fake = require "spec.http_fake"
local http = require "weft.http"
local support = require "spec.support"
local weft = require "weft"

local raises, run = support.raises, support.run

local SITE = "http://example.com/"

local function to(location, status, headers)
  local made = { Location = location }
  for name, value in pairs(headers or {}) do
    made[name] = value
  end
  return { status = status or 302, headers = made }
end

describe("the method of a redirect", function()
  local CASES = {
    { 301, "GET", "GET" }, { 301, "HEAD", "HEAD" }, { 301, "POST", "GET" }, { 301, "PUT", "PUT" },
    { 302, "GET", "GET" }, { 302, "HEAD", "HEAD" }, { 302, "POST", "GET" }, { 302, "PUT", "PUT" },
    { 303, "GET", "GET" }, { 303, "HEAD", "HEAD" }, { 303, "POST", "GET" }, { 303, "PUT", "GET" },
    { 303, "DELETE", "GET" },
    { 307, "GET", "GET" }, { 307, "POST", "POST" }, { 307, "PUT", "PUT" },
    { 308, "HEAD", "HEAD" }, { 308, "POST", "POST" }, { 308, "PATCH", "PATCH" },
  }
  for _, case in ipairs(CASES) do
    local status, method, expected = case[1], case[2], case[3]
    it(("of status %d after %s is %s"):format(status, method, expected), run(function()
      local session, seen = fake.session({ ["/"] = to("/b", status), ["/b"] = "ok" })
      local opts = { allow_redirects = true }
      if method ~= "GET" and method ~= "HEAD" then
        opts.data, opts.headers = { a = 1 }, { ["Content-Language"] = "en", ["X-Own"] = "1" }
      end
      local resp = session:request(method, SITE, opts)
      assert.same({ 200, expected, SITE .. "b" }, { resp.status, resp.method, resp.url })
      assert.equal(expected, seen[2].method)
      if opts.data and expected == method then
        assert.equal("a=1", seen[2].body)
        assert.equal("application/x-www-form-urlencoded", seen[2].headers["content-type"])
      elseif opts.data then
        assert.is_nil(seen[2].body)
        assert.is_nil(seen[2].headers["content-type"])
        assert.is_nil(seen[2].headers["content-language"])
      end
      assert.equal(opts.data and "1" or nil, seen[2].headers["x-own"])
    end))
  end
end)

describe("a redirect", function()
  it("leads to a URL relative to the last", run(function()
    local session, seen = fake.session({ ["/a/b"] = to("../c?d"), ["/c"] = to("//example.org/x"),
      ["http://example.org/x"] = to("y"), ["http://example.org/y"] = "ok" })
    local resp = session:get(SITE .. "a/b#frag")
    assert.equal("http://example.org/y", resp.url)
    assert.equal("http://example.org/y#frag", resp.real_url)
    assert.equal("example.org", seen[3].headers.host)
    assert.equal("GET", seen[4].method)
    local history = {}
    for i, before in ipairs(resp.history) do
      history[i] = before.url
      assert.is_true(before.closed)
    end
    assert.same({ SITE .. "a/b", SITE .. "c?d", "http://example.org/x" }, history)
  end))

  it("has a fragment of its own if it has one", run(function()
    local session = fake.session({ ["/"] = to("/b#new"), ["/b"] = "ok" })
    assert.equal(SITE .. "b#new", session:get(SITE .. "#old").real_url)
  end))

  it("is a response where that is asked for, and without a Location", run(function()
    local session = fake.session({ ["/"] = to("/b"), ["/none"] = { status = 302, body = "x" },
      ["/304"] = { status = 304, headers = { Location = "/b" } }, ["/300"] = to("/b", 300) })
    assert.equal(302, session:get(SITE, { allow_redirects = false }).status)
    assert.equal(302, session:head(SITE).status)
    assert.equal("x", session:get(SITE .. "none"):text())
    assert.equal(304, session:get(SITE .. "304").status)
    assert.equal(300, session:get(SITE .. "300").status)
  end))

  it("leaves the body of the response before", run(function()
    local closed = 0
    local session = fake.session({ ["/"] = { status = 302, headers = { Location = "/b" },
      body = function() return "x" end, close = function() closed = closed + 1 end },
      ["/b"] = "ok" })
    local resp = session:get(SITE)
    assert.equal(1, closed)
    raises("closed", resp.history[1].read, resp.history[1])
  end))

  it("keeps cookies that it sets", run(function()
    local session, seen = fake.session({ ["/"] = to("/b", 302, { ["Set-Cookie"] = "a=1" }),
      ["/b"] = "ok" })
    session:get(SITE)
    assert.equal("a=1", seen[2].headers.cookie)
  end))
end)

describe("redirects that are refused", function()
  local function fails(code, routes, url, opts)
    local session, seen = fake.session(routes, opts)
    local e = raises({ "redirect", code }, session.get, session, url or SITE)
    return e, seen
  end

  it("are more than ten, or than is said", run(function()
    local routes = { ["/12"] = "ok" }
    for i = 0, 11 do
      routes["/" .. i] = to("/" .. i + 1)
    end
    local e, seen = fails("too_many_redirects", routes, SITE .. "0")
    assert.same({ 11, 11, SITE .. "10", "GET", 302, "/11" }, { #seen, #e.history, e.url,
      e.method, e.status, e.location })
    local session = fake.session(routes)
    assert.equal("ok", session:get(SITE .. "2"):text())
    e, seen = fails("too_many_redirects", routes, SITE .. "2", { max_redirects = 1 })
    assert.same({ 2, 2 }, { #seen, #e.history })
    fails("too_many_redirects", routes, SITE .. "2", { max_redirects = 0 })
  end))

  it("go in circles", run(function()
    local e = fails("redirect_loop", { ["/"] = to("/b"), ["/b"] = to("/") })
    assert.truthy(e.message:find("in a circle", 1, true))
    fails("redirect_loop", { ["/"] = to("") })
  end))

  it("lead to another protocol, or nowhere", run(function()
    for _, location in ipairs({ "ftp://example.com/", "file:///etc/passwd", "javascript:1",
      "data:,x" }) do
      fails("unsupported_scheme", { ["/"] = to(location) })
    end
    fails("invalid_location", { ["/"] = to("http://x:99999/") })
    fails("invalid_location", { ["/"] = to("http://[::1") })
  end))

  it("lead from TLS to plain text", run(function()
    local routes = { ["https://example.com/"] = to("http://example.com/b"), ["/b"] = "ok" }
    fails("downgrade", routes, "https://example.com/")
    local session = fake.session(routes, { allow_downgrade = true })
    assert.equal("ok", session:get("https://example.com/"):text())
  end))

  it("would need a body that was sent already", run(function()
    local session = fake.session({ ["/"] = to("/b", 307), ["/b"] = "ok" })
    raises({ "redirect", "body_not_replayable" }, session.post, session, SITE,
      { data = fake.pieces("x") })
    session = fake.session({ ["/"] = to("/b", 303), ["/b"] = "ok" })
    assert.equal("ok", session:post(SITE, { data = fake.pieces("x") }):text())
  end))
end)

describe("a body that can be sent again", function()
  it("is sent again, from its beginning", run(function()
    local path = os.tmpname()
    weft.fs.write_file(path, "of a file")
    local session, seen = fake.session({ ["/"] = to("/b", 308), ["/b"] = "ok" })
    session:put(SITE, { data = http.file(path) })
    assert.same({ "of a file", "of a file" }, { seen[1].body, seen[2].body })
    os.remove(path)
  end))
end)

describe("another origin", function()
  local OTHER = "http://other.example/"
  local SECRETS = { "authorization", "cookie", "proxy-authorization" }

  local function after(location, opts, session_opts)
    local session, seen = fake.session({ ["/"] = to(location), default = "ok" }, session_opts)
    session:get(SITE, opts)
    return seen[2].headers, seen
  end

  it("gets no credentials and no cookies of a script", run(function()
    for _, location in ipairs({ OTHER .. "x", "https://example.com/x", "http://example.com:81/x",
      "http://www.example.com/x" }) do
      local headers = after(location, { headers = { Authorization = "a", Cookie = "b=c",
        ["Proxy-Authorization"] = "d", ["X-Own"] = "1" } })
      for _, name in ipairs(SECRETS) do
        assert.is_nil(headers[name], location .. " " .. name)
      end
      assert.equal("1", headers["x-own"])
      assert.is_nil(after(location, { auth = http.basic_auth("a", "b") }).authorization)
      assert.is_nil(after(location, nil, { auth = http.bearer_auth("a") }).authorization)
      assert.is_nil(after(location, nil, { headers = { Authorization = "a" } }).authorization)
    end
  end))

  it("gets the cookies of a script if only the port differs", run(function()
    assert.is_nil(after(OTHER .. "x", { cookies = { a = "1" } }, { cookies = { b = "2" } }).cookie)
    assert.equal("a=1; b=2", after("http://example.com:81/x", { cookies = { a = "1" } },
      { cookies = { b = "2" } }).cookie)
    assert.equal("a=1; b=2", after("/x", { cookies = { a = "1" } },
      { cookies = { b = "2" } }).cookie)
  end))

  it("has what the same origin keeps", run(function()
    local headers = after("/x", { headers = { Authorization = "a", Cookie = "b=c" } })
    assert.same({ "a", "b=c" }, { headers.authorization, headers.cookie })
    assert.equal("Basic YTpi", after("/x", { auth = http.basic_auth("a", "b") }).authorization)
    assert.equal("Basic YTpi", after("http://a:b@example.com/x").authorization)
    assert.equal("own.example", after("/x", { headers = { Host = "own.example" } }).host)
  end))

  it("gets nothing back that was dropped on the way", run(function()
    local session, seen = fake.session({ ["http://example.com/"] = to(OTHER),
      [OTHER] = to(SITE .. "x"), default = "ok" })
    session:get(SITE, { auth = http.basic_auth("a", "b"), cookies = { c = "1" },
      headers = { Host = "own.example" } })
    assert.equal("Basic YTpi", seen[1].headers.authorization)
    assert.is_nil(seen[3].headers.authorization)
    assert.is_nil(seen[3].headers.cookie)
    assert.equal("other.example", seen[2].headers.host)
    assert.equal("example.com", seen[3].headers.host)
  end))

  it("has the jar's own cookies for it", run(function()
    local session, seen = fake.session({ [SITE] = to(OTHER), default = "ok" })
    session.cookie_jar:set_from_header("mine=1", OTHER)
    session.cookie_jar:set_from_header("his=1", SITE)
    session:get(SITE)
    assert.same({ "his=1", "mine=1" }, { seen[1].headers.cookie, seen[2].headers.cookie })
  end))
end)
