-- SPDX-License-Identifier: MIT
-- Sessions against what is meant to make them say more than they should: line ends and others in
-- every option that reaches the wire, redirects that lead astray, floods of cookies, credentials
-- for one origin on the way to another.

local certs = require "spec.tls_certs"
local hostile = require "spec.http_hostile"
local http = require "weft.http"
local proxies = require "spec.http_proxies"
local raw = require "spec.http_raw"
local support = require "spec.support"
local weft = require "weft"

local head, raises, run = hostile.head, support.raises, support.run

local function to(location, status, fields)
  return raw.response("moved", ("Location: %s\r\n%s"):format(location, fields or ""),
    status or "302 Found")
end

-- An act that answers and keeps the connection.
local function answer(text)
  return function(stream, reader)
    reader:body(reader.requests[#reader.requests])
    stream:write(text)
    return true
  end
end

describe("an injection", function()
  -- What an attacker would like to have on lines of its own.
  local BAD = { "a\r\nEvil: 1", "a\nEvil: 1", "a\rEvil: 1", "a\0b", "a\r\n\r\nGET /evil HTTP/1.1",
    "\r\n", "\n", "a\127b", "a\1b" }

  -- Nothing evil has come to the server, whatever the option was: an error of kind `type` was
  -- raised before anything was sent, or the value was made harmless.
  local function harmless(name, make, must_fail)
    it("by " .. name .. " does no harm", run(function()
      hostile.with({}, nil, function(session, site)
        for _, bad in ipairs(BAD) do
          local before = #site.server.requests
          local ok, e = pcall(make, session, site.url, bad)
          if not ok then
            assert.is_true(weft.is_error(e, "type"), tostring(e))
            assert.equal(before, #site.server.requests)
          end
          assert.is_true(not must_fail or not ok, ("%s: %q"):format(name, bad))
          for i = before + 1, #site.server.requests do
            local text = site.server.requests[i]
            assert.is_nil(text:find("[\r\n]Evil"), text)
            assert.is_nil(text:find("[\r\n]GET /evil"), text)
            assert.is_nil(text:find("[%z\1-\9\11\12\14-\31\127]"), text)
            assert.is_nil(text:gsub("\r\n", ""):find("[\r\n]"), text)
          end
        end
        hostile.fine(session, site)
      end)
    end))
  end

  harmless("method", function(s, url, bad) s:request("GET" .. bad, url) end, true)
  harmless("method and target", function(s, url, bad)
    s:request("GET / HTTP/1.1" .. bad, url)
  end, true)
  harmless("path", function(s, url, bad) s:get(url .. bad) end)
  harmless("host", function(s, url, bad) s:get((url:gsub("(//[^:]*)", "%1" .. bad))) end)
  harmless("query", function(s, url, bad) s:get(url .. "?a=" .. bad) end)
  harmless("fragment", function(s, url, bad) s:get(url .. "#" .. bad) end)
  harmless("user name in the URL", function(s, url, bad)
    s:get((url:gsub("//", "//" .. bad:gsub("%%", "") .. ":p@")))
  end)
  harmless("params", function(s, url, bad) s:get(url, { params = { [bad] = bad } }) end)
  harmless("params as text", function(s, url, bad) s:get(url, { params = bad }) end)
  harmless("header value", function(s, url, bad) s:get(url, { headers = { ["X-A"] = bad } }) end,
    true)
  harmless("header name", function(s, url, bad) s:get(url, { headers = { ["X" .. bad] = "a" } })
    end, true)
  harmless("Host", function(s, url, bad) s:get(url, { headers = { Host = bad } }) end, true)
  harmless("one header of several", function(s, url, bad)
    s:get(url, { headers = { { "A", "b" }, { "A", bad } } })
  end, true)
  harmless("the session's headers", function(_, url, bad)
    http.session({ headers = { A = bad } }):with(function(s) s:get(url) end)
  end, true)
  harmless("user_agent", function(_, url, bad)
    http.session({ user_agent = bad }):with(function(s) s:get(url) end)
  end, true)
  harmless("cookie value", function(s, url, bad) s:get(url, { cookies = { a = bad } }) end, true)
  harmless("cookie name", function(s, url, bad) s:get(url, { cookies = { [bad] = "a" } }) end,
    true)
  harmless("second cookie in a value", function(s, url)
    local ok = pcall(s.get, s, url, { cookies = { a = "1; Evil=2" } })
    assert.is_false(ok)
  end)
  harmless("the session's cookies", function(_, url, bad)
    http.session({ cookies = { a = bad } }):with(function(s) s:get(url) end)
  end)
  harmless("the jar", function(s, url, bad)
    s.cookie_jar:set_from_header("a=" .. bad .. "; Path=/", url)
    s:get(url)
    s.cookie_jar:clear()
  end)
  harmless("basic auth", function(s, url, bad) s:get(url, { auth = http.basic_auth(bad, bad) }) end)
  harmless("bearer auth", function(s, url, bad) s:get(url, { auth = http.bearer_auth(bad) }) end,
    true)
  harmless("an auth function", function(s, url, bad)
    s:get(url, { auth = function(request) request.headers.authorization = bad end })
  end, true)
  harmless("trailers", function(s, url, bad)
    s:post(url, { data = "x", trailers = { A = bad } })
  end, true)
  harmless("Content-Type of a part", function(s, url, bad)
    local form = http.form_data()
    form:add_field("a", "b", { content_type = bad })
    s:post(url, { data = form })
  end, true)
  harmless("a file's name", function(s, url, bad)
    local form = http.form_data()
    form:add_field(bad, "content", { filename = bad })
    s:post(url, { data = form })
    local sent = 0
    s:get(url)
    return sent
  end)
  harmless("a middleware", function(_, url, bad)
    http.session({ middlewares = { function(request, next)
      request.headers["X-A"] = bad
      return next(request)
    end } }):with(function(s) s:get(url) end)
  end, true)
  harmless("digest auth", function(_, url, bad)
    http.session({ auth = http.digest_auth(bad, bad) }):with(function(s) s:get(url) end)
  end)

  it("by a digest's user name or realm does no harm", run(function()
    local act = answer(head("WWW-Authenticate: Digest realm=\"a\\\"b\", nonce=\"n\", qop=\"auth\""
      .. "\r\nContent-Length: 0", "401 Unauthorized"))
    hostile.with({ digest = act }, nil, function(session, site)
      for _, bad in ipairs(BAD) do
        pcall(function()
          session:get(site.url .. "digest", { auth = http.digest_auth(bad, "p") }):read()
        end)
        hostile.quiet(session)
      end
      for _, text in ipairs(site.server.requests) do
        assert.is_nil(text:find("[\r\n]Evil"), text)
        assert.is_nil(text:gsub("\r\n", ""):find("[%z\1-\8\10-\31\127]"), text)
      end
      hostile.fine(session, site)
    end)
  end))

  it("by names of multipart does no harm to the body", run(function()
    hostile.with({}, nil, function(session, site)
      local form = http.form_data()
      form:add_field("a\"\r\nEvil: 1", "content", { filename = "b\"\r\nEvil: 2\r\n\r\nx" })
      session:post(site.url .. "good", { data = form })
      local body = site.server.bodies[#site.server.bodies]
      assert.is_nil(body:find("[\r\n]Evil"), body)
      assert.truthy(body:find("%%0D%%0A"), body)
    end)
  end))

  it("by the credentials of a proxy does no harm", run(function()
    local proxy = proxies.connect { answer = head("Content-Length: 0", "403 No") }
    for _, bad in ipairs(BAD) do
      http.session({ tls = { verify = false } }):with(function(session)
        for _, make in ipairs { function() return { proxy_auth = http.basic_auth(bad, bad) } end,
          function() return { proxy_auth = http.bearer_auth(bad) } end,
          function() return { proxy_headers = { A = bad } } end } do
          local ok, e = pcall(function()
            local opts = make()
            opts.proxy = ("http://127.0.0.1:%d"):format(proxy.port)
            session:get("https://a.test/", opts)
          end)
          assert.is_false(ok)
          assert.is_true(weft.is_error(e, "type") or weft.is_error(e, "proxy"), tostring(e))
          hostile.quiet(session)
        end
        pcall(session.get, session, "https://a.test/", { proxy = ("http://%s:x@127.0.0.1:%d")
          :format(bad, proxy.port) })
      end)
    end
    for _, text in ipairs(proxy.heads) do
      assert.is_nil(text:find("[\r\n]Evil"), text)
      assert.is_nil(text:find("[%z\1-\9\11\12\14-\31\127]"), text)
    end
    proxy:close()
  end))
end)

describe("a redirect", function()
  it("in a circle or a long chain ends", run(function()
    hostile.with({ loop = answer(to("/loop")), ping = answer(to("pong")), pong = answer(to("ping")),
      chain = function(stream, reader)
        local n = tonumber(reader.requests[#reader.requests]:match("%?(%d+)"))
        stream:write(to("/chain?" .. n + 1))
        return true
      end }, nil, function(session, site)
      for name, code in pairs { loop = "redirect_loop", ping = "redirect_loop",
        ["chain?1"] = "too_many_redirects" } do
        local before = #site.server.requests
        local e = raises({ "redirect", code }, session.get, session, site.url .. name)
        assert.same({ before + 11, 11 }, { #site.server.requests, #e.history })
        hostile.fine(session, site)
      end
    end)
  end))

  it("to rubbish goes nowhere", run(function()
    local rubbish = { "javascript:alert(1)", "data:text/html,x", "file:///etc/passwd", "ftp://h/",
      "mailto:a@b", "http://", "http:///", "http://[::1", "http://a b/", "http://h:99999/",
      "http://h:1x/", "//", "https://%00/", "http://a<b>/", "about:blank", "ws://127.0.0.1/",
      "unix:/tmp/x" }
    local acts = {}
    for i, location in ipairs(rubbish) do
      acts["to" .. i] = answer(to(location))
    end
    hostile.with(acts, nil, function(session, site)
      for i, location in ipairs(rubbish) do
        local ok, e = pcall(session.get, session, site.url .. "to" .. i)
        assert.is_false(ok, location)
        assert.equal("redirect", e.kind, location .. ": " .. tostring(e))
        assert.equal(location, e.location)
        hostile.fine(session, site)
      end
    end)
  end))

  it("with what is no line of a head stays within its line", run(function()
    local acts = { raw = answer(to("/good?\t\1 \128\255\"<>")),
      encoded = answer(to("/good%0d%0aEvil:%201")), backslash = answer(to("\\\\\\good")),
      port = { to("//127.0.0.1:1/") } }
    hostile.with(acts, nil, function(session, site)
      for _, name in ipairs { "raw", "encoded", "backslash" } do
        support.error_of(function()
          session:get(site.url .. name):read()
          error("whatever comes of it")
        end)
        hostile.quiet(session)
      end
      raises({ "connection", "ECONNREFUSED" }, session.get, session, site.url .. "port")
      for _, text in ipairs(site.server.requests) do
        assert.is_nil(text:find("[\r\n]Evil"), text)
        assert.is_nil(text:find("[%z\1-\9\11\12\14-\31\127-\255]"), text)
      end
      hostile.fine(session, site)
    end)
  end))

  it("with a body that does not end is followed without it", run(function()
    hostile.with({ endless = hostile.endless(head("Location: /good\r\nTransfer-Encoding: chunked",
      "302 Found"), "1\r\nx\r\n"), cut = { head("Location: /good\r\nContent-Length: 99",
      "302 Found") .. "x" } }, { limit = 1 }, function(session, site)
      assert.equal("fine", session:get(site.url .. "endless"):text())
      assert.equal("fine", session:get(site.url .. "cut"):text())
      hostile.fine(session, site)
    end)
  end))
end)

-- Credentials of every kind.
local SECRETS = { "authorization", "cookie", "proxy-authorization" }

local function secrets_of(text)
  local found = {}
  for _, name in ipairs(SECRETS) do
    found[#found + 1] = raw.field(text, name)
  end
  return found
end

describe("credentials", function()
  local WAYS = {
    { auth = http.basic_auth("u", "p") },
    { auth = http.bearer_auth("t") },
    { headers = { Authorization = "a", Cookie = "b=c", ["Proxy-Authorization"] = "d" } },
    { headers = { authorization = "a" }, cookies = { e = "f" } },
    { auth = function(request) request.headers.Authorization = "fn" end },
    { auth = http.digest_auth("u", "p") },
  }

  it("do not go to another port, host or scheme, nor come back", run(function()
    local tls = weft.tls.context { cert = certs.path "b.pem", key = certs.path "b.key" }
    local other, back = {}, nil
    local function elsewhere(stream, reader)
      while reader:head() do
        stream:write(to(back .. "back"))
      end
    end
    local plain, secure = raw.serve(elsewhere), raw.serve(elsewhere, { tls = tls })
    other.port = ("http://127.0.0.1:%d/"):format(plain.port)
    other.host = ("http://localhost:%d/"):format(plain.port)
    other.upgrade = ("https://localhost:%d/"):format(secure.port)
    local acts = {}
    for name, url in pairs(other) do
      acts[name] = answer(to(url .. "x"))
    end
    hostile.with(acts, { tls = { verify = false }, allow_downgrade = true },
      function(session, site)
        back = site.url
        for name in pairs(other) do
          for i, opts in ipairs(WAYS) do
            local first = #site.server.requests + 1
            assert.equal("fine", session:get(site.url .. name, opts):text())
            assert.is_true(i == 6 or #secrets_of(site.server.requests[first]) > 0)
            local last = site.server.requests[#site.server.requests]
            assert.truthy(last:find("^GET /back "))
            for _, text in ipairs { last, plain.requests[#plain.requests],
              secure.requests[#secure.requests] } do
              local found = secrets_of(text)
              -- the cookies that a script gives hold for the host, on all its ports
              if name == "port" and found[1] == "e=f" then
                table.remove(found, 1)
              end
              assert.same({}, found, ("%s, way %d: %s"):format(name, i, text))
            end
          end
        end
        hostile.fine(session, site)
      end)
    plain:close()
    secure:close()
  end))

  it("do not go from TLS to plain text", run(function()
    local tls = weft.tls.context { cert = certs.path "b.pem", key = certs.path "b.key" }
    local plain = raw.serve(raw.answer(raw.response("plain")))
    local act = answer(to(("http://127.0.0.1:%d/x"):format(plain.port), nil,
      "Set-Cookie: s=secret; Secure; Path=/\r\n"))
    hostile.with({ down = act }, { serve = { tls = tls }, tls = { verify = false } },
      function(session, site)
        local e = raises({ "redirect", "downgrade" }, session.get, session, site.url .. "down")
        assert.equal(0, #plain.requests)
        assert.equal(302, e.status)
        for _, opts in ipairs(WAYS) do
          opts.allow_downgrade = true
          assert.equal("plain", session:get(site.url .. "down", opts):text())
          assert.same({}, secrets_of(plain.requests[#plain.requests]))
          opts.allow_downgrade = nil
        end
        hostile.fine(session, site)
      end)
    plain:close()
  end))

  it("of a URL that a server makes up are its own", run(function()
    local plain = raw.serve(raw.answer(raw.response("plain")))
    hostile.with({ user = answer(to(("http://x:y@127.0.0.1:%d/"):format(plain.port))) }, nil,
      function(session, site)
        local resp = session:get(site.url .. "user", { auth = http.basic_auth("mine", "secret") })
        assert.equal(("http://127.0.0.1:%d/"):format(plain.port), resp.url)
        local sent = raw.field(plain.requests[1], "authorization")
        assert.is_true(sent == nil or sent == "Basic eDp5")
      end)
    plain:close()
  end))
end)

describe("cookies", function()
  it("by the thousand are bounded, in the jar and on the wire", run(function()
    local acts = {}
    local function flood(n, make)
      local parts = {}
      for i = 1, n do
        parts[i] = "Set-Cookie: " .. make(i) .. "\r\n"
      end
      return answer("HTTP/1.1 200 OK\r\n" .. table.concat(parts) .. "Content-Length: 0\r\n\r\n")
    end
    acts.many = flood(3000, function(i) return ("c%d=v"):format(i) end)
    acts.large = flood(1, function() return "big=" .. ("x"):rep(2 ^ 20) end)
    acts.allowed = flood(3000, function(i) return ("c%d=%s"):format(i, ("v"):rep(30)) end)
    hostile.with(acts, nil, function(session, site)
      raises("limit", session.get, session, site.url .. "many")
      raises("limit", session.get, session, site.url .. "large")
      assert.equal(0, #session.cookie_jar)
      hostile.fine(session, site)
      local opts = { max_fields = 5000, max_head_size = 2 ^ 22, max_field_size = 2 ^ 21 }
      for name, n in pairs { allowed = 3000, large = 1 } do
        local resp = session:get(site.url .. name, opts)
        assert.equal(200, resp.status)
        assert.equal(n, #resp.headers:getall("set-cookie"))
        resp:release()
        hostile.fine(session, site)
        local sent = raw.field(site.server.requests[#site.server.requests], "cookie") or ""
        assert.is_true(#sent < 64 * 1024, tostring(#sent))
      end
    end)
  end))

  it("that are no cookies do no harm", run(function()
    local fields = {}
    for i, value in ipairs { "", "=", ";", "a", "=b", "a=b=c", "a\tb=c",
      "a=\"x;y\"", ("; "):rep(900), "a=b; Max-Age=" .. ("9"):rep(400),
      "a=b; Max-Age=-" .. ("9"):rep(400),
      "a=b; Path=", "a=b; Domain=.", "a=b; Domain=com", "a=b; Domain=127.0.0.1.",
      "a=b; Domain=" .. ("x."):rep(500),
      "a=b; Expires=" .. ("9:"):rep(999), "__Host-a=b; Domain=127.0.0.1", "__Secure-a=b",
      "a=\128\255", "a=b; SameSite=" .. ("x"):rep(1000) } do
      fields[i] = "Set-Cookie: " .. value .. "\r\n"
    end
    hostile.with({ odd = answer("HTTP/1.1 200 OK\r\n" .. table.concat(fields)
      .. "Content-Length: 0\r\n\r\n") }, nil, function(session, site)
      local resp = session:get(site.url .. "odd")
      assert.equal("table", type(resp.cookies))
      hostile.fine(session, site)
      local sent = raw.field(site.server.requests[#site.server.requests], "cookie") or ""
      assert.is_nil(sent:find("__", 1, true), sent)
      assert.is_nil(sent:find("[%z\1-\8\10-\31\127]")) -- RFC 6265bis lets a tab be
    end)
  end))
end)

