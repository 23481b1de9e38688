-- SPDX-License-Identifier: MIT
-- weft.http.proxy and connector, through the transport: HTTP proxies, TLS to and through them,
-- SOCKS; refusals; who sees which credentials; sessions of TLS.

local certs = require "spec.tls_certs"
local core = require "weft.core"
local fields = require "weft.http.fields"
local networks = require "weft.http.network"
local proxies = require "spec.http_proxies"
local proxy_module = require "weft.http.proxy"
local raw = require "spec.http_raw"
local support = require "spec.support"
local testing = require "weft.testing"
local urls = require "weft.url"
local weft = require "weft"

local raises, run = support.raises, support.run

local OK = raw.response("hello")
local LARGE = raw.response(("x"):rep(300000))

local function server_tls()
  return weft.tls.context { cert = certs.path "b.pem", key = certs.path "b.key" }
end

local function client_tls(more)
  local opts = { ca_file = certs.path "root.pem" }
  for key, value in pairs(more or {}) do
    opts[key] = value
  end
  return weft.tls.context(opts)
end

local function request(url, proxy, more)
  url = urls.parse(url)
  local made = { method = "GET", url = url, timeouts = {}, options = {}, is_replayable = true,
    is_idempotent = true, proxy = proxy,
    message = { method = "GET", fields = fields.new { Host = url.host } } }
  for key, value in pairs(more or {}) do
    made[key] = value
  end
  return made
end

local function proxy_at(scheme, port, more)
  local made = { url = urls.parse(("%s://%s127.0.0.1:%d"):format(scheme,
    more and more.login and more.login .. "@" or "", port)) }
  for key, value in pairs(more or {}) do
    made[key] = value
  end
  return made
end

-- Calls fn(transport, server, proxy); each of the servers is closed in the end.
local function with(script, tls, proxy, fn)
  local server, transport = raw.serve(script, { tls = tls }), networks.new()
  weft.finally(function()
    fn(transport, server, proxy)
  end, function()
    transport:close()
    if proxy then
      proxy:close()
    end
    server:close()
  end)
end

local function get(transport, ...)
  local head, body = transport:send(request(...))
  return body and body:read_all() or head.body, head
end

local function quiet(transport)
  local counts = transport:statistics()
  assert.same({ 0, 0 }, { counts.in_use, counts.waiting })
end

describe("without a proxy, TLS", function()
  it("is made and the connection is kept", run(function()
    with(raw.answer(OK), server_tls(), nil, function(transport, server)
      local url = ("https://localhost:%d/"):format(server.port)
      local tls = client_tls()
      for i = 1, 2 do
        local text, head = get(transport, url, nil, { tls = tls, tls_key = "1" })
        assert.same({ "hello", i == 2 }, { text, head.connection_info.reused })
        assert.equal("localhost", head.connection_info.tls.server_name)
      end
      get(transport, url, nil, { tls = tls, tls_key = "2" })
      get(transport, url, nil, { tls = tls, tls_key = "1", server_hostname = "127.0.0.1" })
      assert.equal(3, server.connections)
    end)
  end))

  it("resumes sessions of a context, or of the same table", run(function()
    for _, tls in ipairs { client_tls(), { ca_file = certs.path "root.pem" } } do
      with({ raw.request(), raw.response(("x"):rep(300000)), raw.hang() }, server_tls(), nil,
        function(transport, server)
          local resumed = {}
          for i = 1, 2 do
            local head, body = transport:send(request(("https://localhost:%d/"):format(server.port),
              nil, { tls = tls }))
            body:read_some()
            resumed[i] = head.connection_info.tls.resumed
            body:close()
            assert.equal(resumed[i], head.connection_info.tls.resumed) -- it was noted
          end
          assert.same({ false, true }, resumed)
        end)
    end
  end))

  it("can be told of when the connection was closed long since", run(function()
    local closing = raw.response("x", "Connection: close\r\n")
    with({ { raw.request(), closing }, { raw.request(), LARGE, raw.hang() },
      { raw.request(), LARGE:sub(1, 1000) } }, server_tls(), nil, function(transport, server)
        local url, tls = ("https://localhost:%d/"):format(server.port), client_tls()
        local function info_of(head)
          local info = head.connection_info.tls
          return { info.server_name, #info.peer.pem > 500 }
        end
        local text, head = get(transport, url, nil, { tls = tls })
        assert.equal("x", text)
        assert.same({ "localhost", true }, info_of(head))
        local body
        head, body = transport:send(request(url, nil, { tls = tls }))
        body:close()
        assert.same({ "localhost", true }, info_of(head))
        head, body = transport:send(request(url, nil, { tls = tls }))
        raises("connection", body.read_all, body)
        assert.same({ "localhost", true }, info_of(head))
      end)
  end))

  it("is for HTTP/1.1, whatever the context offers", run(function()
    local server_context = weft.tls.context { cert = certs.path "b.pem", key = certs.path "b.key",
      alpn = { "h2", "http/1.1" } }
    with(raw.answer(OK), server_context, nil, function(transport, server)
      local url = ("https://localhost:%d/"):format(server.port)
      for _, alpn in ipairs { false, { "h2", "http/1.1" }, { "h2" } } do
        local tls = client_tls { alpn = alpn or nil }
        local text, head = get(transport, url, nil, { tls = tls, tls_key = tostring(alpn) })
        assert.same({ "hello", "http/1.1" }, { text, head.connection_info.tls.alpn })
        local stream = weft.open_connection { host = "localhost", port = server.port, tls = tls }
        assert.equal(alpn and "h2" or nil, stream:tls_info().alpn) -- it is the same context
        stream:close()
      end
    end)
  end))

  it("with a server that speaks something else is an error", run(function()
    local other = weft.tls.context { cert = certs.path "b.pem", key = certs.path "b.key",
      alpn = { "h2" } }
    with({ raw.hang() }, other, nil, function(transport, server)
      local url = ("https://localhost:%d/"):format(server.port)
      local e = raises("tls", get, transport, url, nil, { tls = client_tls() })
      assert.matches("ALPN", e.message)
    end)
    local tls_alpn = core.tls_alpn
    with({ raw.hang() }, server_tls(), nil, function(transport, server)
      core.tls_alpn = function() return "h2" end -- OpenSSL's servers are honest
      local e = raises({ "protocol", "alpn" }, get, transport,
        ("https://localhost:%d/"):format(server.port), nil, { tls = client_tls() })
      core.tls_alpn = tls_alpn
      assert.equal("tls", e.phase)
      assert.matches('wants to speak "h2"', e.message)
      quiet(transport)
    end)
  end))

  it("that is not trusted is an error", run(function()
    with(raw.answer(OK), server_tls(), nil, function(transport, server)
      local e = raises("tls", get, transport, ("https://localhost:%d/"):format(server.port))
      assert.equal("tls", e.phase)
      e = raises("tls", get, transport, ("https://localhost:%d/"):format(server.port), nil,
        { tls = client_tls(), server_hostname = "other.test" })
      assert.equal("tls", e.phase)
      raises("type", get, transport, ("https://localhost:%d/"):format(server.port), nil,
        { tls = 5 })
      quiet(transport)
    end)
  end))
end)

describe("a forwarding proxy", function()
  it("gets the whole URL, and connections to it serve all hosts", run(function()
    with(raw.answer(OK), nil, nil, function(transport, server)
      local proxy = proxy_at("http", server.port)
      assert.equal("hello", (get(transport, "http://a.test:81/x?y#z", proxy)))
      assert.equal("hello", (get(transport, "http://b.test/", proxy)))
      assert.equal(1, server.connections)
      assert.matches("^GET http://a.test:81/x%?y HTTP/1.1\r\nHost: a.test:81\r\n",
        server.requests[1])
      assert.matches("^GET http://b.test/ HTTP/1.1\r\n", server.requests[2])
    end)
  end))

  it("alone sees its credentials and fields", run(function()
    with(raw.answer(OK), nil, nil, function(transport, server)
      local proxy = proxy_at("http", server.port, { login = "me:p%40ss",
        headers = fields.new { ["X-Via"] = "1" } })
      local made = request("http://a.test/", proxy)
      transport:send(made)
      assert.equal("Basic bWU6cEBzcw==", raw.field(server.requests[1], "proxy-authorization"))
      assert.equal("1", raw.field(server.requests[1], "x-via"))
      assert.is_false(made.message.fields:has("proxy-authorization"))
      transport:send(request("http://a.test/", proxy_at("http", server.port,
        { auth = "Bearer x" })))
      assert.equal("Bearer x", raw.field(server.requests[2], "proxy-authorization"))
      assert.equal(2, server.connections)
      transport:send(request(("http://127.0.0.1:%d/"):format(server.port)))
      assert.is_nil(raw.field(server.requests[3], "proxy-authorization"))
    end)
  end))

  it("that wants a login gives a response", run(function()
    with(raw.answer(raw.response("", nil, "407 Proxy Authentication Required")), nil, nil,
      function(transport, server)
        local _, head = get(transport, "http://a.test/", proxy_at("http", server.port))
        assert.equal(407, head.status)
      end)
  end))

  it("can itself be reached by TLS", run(function()
    with(raw.answer(OK), server_tls(), nil, function(transport, server)
      local tls = client_tls()
      assert.equal("hello", (get(transport, "http://a.test/",
        proxy_at("https", server.port, { tls = tls }))))
      local e = raises("proxy", get, transport, "http://a.test/",
        proxy_at("https", server.port))
      assert.same({ "tls", "proxy" }, { e.cause.kind, e.phase })
      quiet(transport)
    end)
  end))
end)

describe("CONNECT", function()
  it("makes a tunnel, through which connections are kept", run(function()
    with(raw.answer(OK), server_tls(), proxies.connect(), function(transport, server, proxy)
      local url = ("https://localhost:%d/a"):format(server.port)
      local via = proxy_at("http", proxy.port, { login = "me:x", headers = { ["X-Via"] = "1" } })
      local more = { tls = client_tls(), tls_key = "1" }
      for i = 1, 2 do
        local text, head = get(transport, url, via, more)
        assert.same({ "hello", i == 2 }, { text, head.connection_info.reused })
      end
      assert.same({ 1, 1 }, { proxy.connections, server.connections })
      assert.matches(("^CONNECT localhost:%d HTTP/1.1\r\n"):format(server.port), proxy.heads[1])
      assert.equal(("localhost:%d"):format(server.port), raw.field(proxy.heads[1], "host"))
      assert.equal("Basic bWU6eA==", raw.field(proxy.heads[1], "proxy-authorization"))
      assert.equal("1", raw.field(proxy.heads[1], "x-via"))
      assert.matches("^GET /a HTTP/1.1\r\n", server.requests[1])
      assert.is_nil(raw.field(server.requests[1], "proxy-authorization"))
    end)
  end))

  it("by a proxy with TLS is TLS in TLS", run(function()
    with(raw.answer(OK), server_tls(), proxies.connect { tls = server_tls() },
      function(transport, server, proxy)
        local tls = client_tls()
        assert.equal("hello", (get(transport, ("https://localhost:%d/"):format(server.port),
          proxy_at("https", proxy.port, { tls = tls }), { tls = tls })))
      end)
  end))

  it("with a server that is not trusted is its error, not the proxy's", run(function()
    with(raw.answer(OK), server_tls(), proxies.connect(), function(transport, server, proxy)
      local e = raises("tls", get, transport, ("https://localhost:%d/"):format(server.port),
        proxy_at("http", proxy.port))
      assert.equal("tls", e.phase)
      quiet(transport)
    end)
  end))

  it("refused says so", run(function()
    local answers = {
      ["HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"] = 407,
      ["HTTP/1.1 403 Forbidden\r\nContent-Length: 900000\r\n\r\nsome"] = 403,
      ["HTTP/1.0 502 Bad Gateway\r\n\r\n"] = 502,
    }
    for answer, status in pairs(answers) do
      with({}, nil, proxies.connect { answer = answer }, function(transport, _, proxy)
        local e = raises("proxy", get, transport, "https://a.test/",
          proxy_at("http", proxy.port, { login = "me:secret" }))
        assert.same({ status, "proxy", ("http://127.0.0.1:%d"):format(proxy.port) },
          { e.status, e.phase, e.proxy })
        assert.is_nil(tostring(e):find("secret", 1, true))
        quiet(transport)
      end)
    end
  end))

  it("answered with nonsense, too much or nothing is an error of the proxy", run(function()
    local cases = { { "SSH-2.0-x\r\n\r\n", "protocol" }, { "", "connection" },
      { "HTTP/1.1 200 OK\r\nX: " .. ("x"):rep(20000) .. "\r\n\r\n", "limit" } }
    for _, case in ipairs(cases) do
      with(case[1] == "" and { raw.head() } or { raw.head(), case[1], raw.hang() }, nil, nil,
        function(transport, server)
          local e = raises("proxy", get, transport, "https://a.test/",
            proxy_at("http", server.port))
          assert.same({ case[2], "proxy" }, { e.cause.kind, e.phase })
          quiet(transport)
        end)
    end
  end))

  it("to a proxy that is not there, or silent, is an error of the proxy", run(function()
    with({ raw.hang() }, nil, nil, function(transport, server)
      local e = raises("timeout", get, transport, "https://a.test/",
        proxy_at("http", server.port), { timeouts = { connect = 0.01 } })
      assert.same({ "proxy", "connect" }, { e.phase, e.timeout })
      server:close()
      e = raises("proxy", get, transport, "https://a.test/", proxy_at("http", server.port))
      assert.same({ "connection", "ECONNREFUSED", "proxy" }, { e.cause.kind, e.code, e.phase })
      quiet(transport)
    end)
  end))

  it("does not wait for what the server says first to be plain", run(function()
    with({ raw.head(), "HTTP/1.1 200 OK\r\n\r\nplain text", raw.hang() }, nil, nil,
      function(transport, server)
        local ok = weft.try(get, transport, "https://a.test/", proxy_at("http", server.port))
        assert.is_nil(ok)
        quiet(transport)
      end)
  end))
end)

describe("a SOCKS proxy", function()
  local function through(scheme, opts, host, fn)
    with(raw.answer(OK), nil, proxies.socks(opts), function(transport, server, proxy)
      fn(transport, ("http://%s:%d/"):format(host, server.port),
        proxy_at(scheme, proxy.port, opts and opts.with), proxy, server)
      quiet(transport)
    end)
  end

  it("gets names with h and a, else addresses", run(function()
    for scheme, heads in pairs { socks5h = "localhost", socks4a = "localhost",
      socks5 = "127.0.0.1", socks4 = "127.0.0.1" } do
      through(scheme, nil, "localhost", function(transport, url, via, proxy, server)
        assert.equal("hello", (get(transport, url, via)))
        assert.equal("hello", (get(transport, url, via)))
        assert.same({ heads }, proxy.heads)
        assert.matches("^GET / HTTP/1.1\r\n", server.requests[1])
      end)
    end
  end))

  it("that looks names up is not asked what this machine knows", run(function()
    through("socks5h", nil, "no.such.host.test", function(transport, url, via, proxy)
      assert.equal("hello", (get(transport, url, via)))
      assert.same({ "no.such.host.test" }, proxy.heads)
    end)
  end))

  it("gets a user name and a password", run(function()
    local opts = { user = "me", password = "p@ss", with = { login = "me:p%40ss" } }
    through("socks5h", opts, "a.test", function(transport, url, via)
      assert.equal("hello", (get(transport, url, via)))
    end)
    opts.with.login = "me:wrong"
    through("socks5h", opts, "a.test", function(transport, url, via)
      assert.equal("proxy", raises("proxy", get, transport, url, via).phase)
    end)
  end))

  it("that refuses says why", run(function()
    through("socks5", { reply = 5 }, "127.0.0.1", function(transport, url, via)
      local e = raises({ "proxy", "ECONNREFUSED" }, get, transport, url, via)
      assert.same({ 5, "proxy" }, { e.reply, e.phase })
    end)
  end))

  it("is asked for one address after the other, by a connection each", run(function()
    local function resolver(list)
      return { resolve = function(_, _, port)
        local addresses = {}
        for i, address in ipairs(list) do
          addresses[i] = { family = "inet", address = address, port = port }
        end
        return addresses
      end }
    end
    local proxy, server = proxies.socks { reply = { ["192.0.2.1"] = 4, ["192.0.2.2"] = 5,
      ["192.0.2.9"] = 2 } }, raw.serve(raw.answer(OK))
    local url, via = ("http://a.test:%d/"):format(server.port), proxy_at("socks5", proxy.port)
    local transport = networks.new { resolver = resolver { "192.0.2.1", "192.0.2.2",
      "192.0.2.3", "192.0.2.4" } }
    assert.equal("hello", (get(transport, url, via)))
    assert.same({ "192.0.2.1", "192.0.2.2", "192.0.2.3" }, proxy.heads)
    assert.equal(3, proxy.connections)
    transport:close()
    transport = networks.new { resolver = resolver { "192.0.2.1", "192.0.2.2" } }
    local e = raises({ "proxy", "ECONNREFUSED" }, get, transport, url, via)
    assert.same({ "192.0.2.1", "192.0.2.2" }, { e.errors[1].address, e.errors[2].address })
    assert.same({ "EHOSTUNREACH", "ECONNREFUSED" }, { e.errors[1].code, e.errors[2].code })
    assert.matches("ECONNREFUSED", tostring(e))
    quiet(transport)
    transport:close()
    proxy.close()
    server:close()
  end))

  it("that closes is an error of the proxy", run(function()
    with({ raw.bytes(1) }, nil, nil, function(transport, server)
      local e = raises("proxy", get, transport, "http://a.test/", proxy_at("socks5h", server.port))
      assert.equal("connection", e.cause.kind)
      quiet(transport)
    end)
  end))

  it("carries TLS", run(function()
    with(raw.answer(OK), server_tls(), proxies.socks(), function(transport, server, proxy)
      assert.equal("hello", (get(transport, ("https://localhost:%d/"):format(server.port),
        proxy_at("socks5h", proxy.port), { tls = client_tls() })))
    end)
  end))

  it("of version 4 cannot reach a host that has IPv6 only", run(function()
    local transport = networks.new { resolver = { resolve = function(_, _, port)
      return { { family = "inet6", address = "::1", port = port } }
    end } }
    local e = raises({ "proxy", "EAFNOSUPPORT" }, get, transport, "http://six.test/",
      proxy_at("socks4", 1))
    assert.equal("proxy", e.phase)
    quiet(transport)
    transport:close()
  end))
end)

describe("what is no proxy", function()
  it("is refused", function()
    for _, url in ipairs { "ftp://a.test/", "socks5:", "file:///x" } do
      raises({ "type", "invalid_url" }, proxy_module.spec, { url = urls.parse(url) }, false)
    end
    local spec = proxy_module.spec({ url = urls.parse "socks5://[::1]" }, false)
    assert.same({ "::1", 1080, "socks" }, { spec.host, spec.port, spec.kind })
  end)
end)

describe("cancellation", function()
  it("at any wait of connecting by a proxy leaves nothing", support.outside(function()
    for _, scheme in ipairs { "http", "socks5" } do
      testing.cancel_everywhere(function()
        with(raw.answer(OK), server_tls(), proxies[scheme == "http" and "connect" or "socks"](),
          function(transport, server, proxy)
            weft.finally(function()
              get(transport, ("https://localhost:%d/"):format(server.port),
                proxy_at(scheme, proxy.port), { tls = client_tls() })
            end, function()
              quiet(transport)
            end)
          end)
      end)
    end
  end))
end)
