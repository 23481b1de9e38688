-- SPDX-License-Identifier: MIT
-- weft.http through squid, tinyproxy and Apache, to nginx: forwarded and tunnelled, with a
-- password and without, by TLS, refused, and as the environment says.

local environ = require "weft.http.environ"
local http = require "weft.http"
local certs = require "spec.tls_certs"
local servers = require "spec.servers"
local support = require "spec.support"
local weft = require "weft"

local suite = servers.suite("nginx", "squid", "tinyproxy", "apache")

-- fn(session, plain, secure, proxies): a session, nginx's addresses, and proxies by name: two of
-- squid's ports, of which one asks for a password, tinyproxy, which does, and Apache, by TLS.
local function client(fn, opts)
  return suite.spec(function(nginx, squid, tinyproxy, apache)
    local all = { tls = { ca_file = certs.path "root.pem" } }
    for name, value in pairs(opts or {}) do
      all[name] = value
    end
    http.session(all):with(fn, "http://127.0.0.1:" .. nginx.ports[1],
      "https://localhost:" .. nginx.ports[2], {
        open = "http://127.0.0.1:" .. squid.ports[1],
        squid = "http://127.0.0.1:" .. squid.ports[2],
        tinyproxy = "http://127.0.0.1:" .. tinyproxy.ports[1],
        secure = "https://localhost:" .. apache.ports[3],
        nobody = "http://127.0.0.1:" .. nginx.ports[3],
        nobody_port = nginx.ports[3],
      })
  end)
end

local function with_password(url)
  return (url:gsub("//", "//user:secret@"))
end

describe("a proxy", function()
  if suite.missing then
    pending(suite.missing)
    return
  end
  setup(suite.start)
  teardown(suite.stop)

  it("forwards", client(function(session, plain, _, proxies)
    for i = 1, 3 do
      local response = session:get(plain .. "/1k.bin", { proxy = proxies.open })
      assert.matches("squid", response.headers:get("Via"))
      assert.equal(1024, #response:read())
      assert.equal(i - 1, session:statistics().reused)
    end
    assert.equal(204, session:get(plain .. "/204", { proxy = proxies.open }).status)
    local response = session:get(plain .. "/redirect", { proxy = proxies.open })
    assert.matches("squid", response.headers:get("Via"))
    response:release()
  end))

  it("tunnels", client(function(session, _, secure, proxies)
    for i = 1, 3 do
      local response = session:get(secure .. "/1k.bin", { proxy = proxies.open })
      assert.is_nil(response.headers:get("Via"))
      assert.equal(1024, #response:read())
      assert.equal(i - 1, session:statistics().reused)
    end
  end))

  for _, name in ipairs({ "squid", "tinyproxy" }) do
    it("named " .. name .. " asks for a password", client(function(session, plain, secure, proxies)
      local proxy = proxies[name]
      local auth = http.basic_auth("user", "secret")
      for _, how in ipairs({ { proxy = with_password(proxy) },
        { proxy = proxy, proxy_auth = auth }, { proxy = with_password(proxy) } }) do
        assert.equal(1024, #session:get(plain .. "/1k.bin", how):read())
        assert.equal(1024, #session:get(secure .. "/1k.bin", how):read())
      end
      local response = session:get(plain .. "/1k.bin", { proxy = proxy })
      assert.equal(407, response.status)
      response:release()
      local e = support.raises("proxy", session.get, session, secure .. "/1k.bin",
        { proxy = proxy })
      assert.same({ 407, "proxy" }, { e.status, e.phase })
      e = support.raises("proxy", session.get, session, secure .. "/1k.bin", { proxy = proxy,
        proxy_auth = http.basic_auth("user", "wrong") })
      assert.equal(name == "tinyproxy" and 401 or 407, e.status) -- what it says to a wrong one
      assert.not_matches("wrong", tostring(e))
    end))
  end

  it("is spoken to by TLS", client(function(session, plain, secure, proxies)
    for _, base in ipairs({ plain, secure }) do
      for _ = 1, 3 do
        local response = session:get(base .. "/1k.bin", { proxy = proxies.secure })
        assert.equal(base == plain, response.headers:get("Via") ~= nil)
        assert.equal(1024, #response:read())
      end
    end
    assert.equal(4, session:statistics().reused)
    local response = session:put(secure .. "/upload", { proxy = proxies.secure,
      data = ("x"):rep(2000000) })
    assert.equal(200, response.status)
    response:release()
    local e = support.raises("proxy", session.get, session, secure .. "/1k.bin",
      { proxy = proxies.secure, proxy_tls = {} })
    assert.equal("tls", e.cause.kind)
  end))

  it("keeps its password to itself", client(function(session, plain, secure, proxies)
    for _, base in ipairs({ plain, secure }) do
      local text = session:get(base .. "/headers", { proxy = with_password(proxies.squid),
        headers = { ["X-Own"] = "own" } }):text()
      assert.matches("|own|", text, 1, true)
    end
  end))

  it("refuses, and cannot reach", client(function(session, plain, _, proxies)
    local e = support.raises("proxy", session.get, session, "https://refused.test/",
      { proxy = proxies.open })
    assert.equal(403, e.status)
    assert.equal(403, session:get("http://refused.test/", { proxy = proxies.open }).status)
    e = support.raises("proxy", session.get, session,
      ("https://127.0.0.1:%d/"):format(proxies.nobody_port), { proxy = proxies.open })
    assert.is_true(e.status >= 500)
    e = support.raises("proxy", session.get, session, plain, { proxy = proxies.nobody })
    assert.equal("ECONNREFUSED", e.cause.code)
  end))

  it("does not make a certificate good", client(function(session, _, secure, proxies)
    local e = support.raises("tls", session.get, session, secure .. "/1k.bin",
      { proxy = proxies.open, tls = {} })
    assert.equal("tls", e.phase)
  end))

  it("carries a large upload", client(function(session, plain, secure, proxies)
    for _, base in ipairs({ plain, secure }) do
      for _, name in ipairs({ "open", "tinyproxy" }) do
        local response = session:put(base .. "/upload", { data = ("x"):rep(2000000),
          proxy = with_password(proxies[name]) })
        assert.equal(200, response.status)
        response:release()
      end
    end
  end))

  it("is found in the environment", client(function(session, plain, secure, proxies)
    local getenv = environ._getenv
    local variables = { ALL_PROXY = proxies.open, NO_PROXY = "localhost" }
    environ._getenv = function(name) return variables[name] end
    weft.finally(function()
      assert.matches("squid", session:get(plain .. "/1k.bin").headers:get("Via"))
      assert.equal(200, session:get(secure .. "/1k.bin").status)
      variables.NO_PROXY = "127.0.0.0/8"
      assert.is_nil(session:get(plain .. "/1k.bin").headers:get("Via"))
      variables = { http_proxy = "ftp://a.test" }
      support.raises({ "type", "invalid_proxy" }, session.get, session, plain)
    end, function()
      environ._getenv = getenv
    end)
  end, { trust_env = true }))

  it("serves many at once", client(function(session, plain, secure, proxies)
    local list = {}
    for i = 1, 60 do
      list[i] = function()
        local base = i % 2 == 0 and plain or secure
        return #session:get(base .. "/1k.bin", { proxy = proxies.open }):read()
      end
    end
    for _, size in ipairs(weft.gather(list)) do
      assert.equal(1024, size)
    end
    assert.equal(0, session:statistics().in_use)
  end, { limit = 8 }))
end)
