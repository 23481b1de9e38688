-- SPDX-License-Identifier: MIT
-- lua/weft/tls.lua and src/bind/l_tls.c: TLS on real connections. Which certificates are
-- refused, and how, is in spec/net/tls_spec.lua.

local certs = require "spec.tls_certs"
local core = require "weft.core"
local support = require "spec.support"
local testing = require "weft.testing"
local weft = require "weft"

local raises, run, outside = support.raises, support.run, support.outside

local IS_LUA54 = _VERSION == "Lua 5.4"

local function options(more, base)
  for key, value in pairs(more or {}) do
    base[key] = value
  end
  return base
end

-- A server's context, for localhost, and a client's that trusts it.
local function server_context(more)
  return weft.tls.context(options(more, { cert = certs.path "b.pem", key = certs.path "b.key" }))
end

local function client_context(more)
  return weft.tls.context(options(more, { ca_file = certs.path "root.pem" }))
end

-- What comes in goes out, until the peer says that it is the end.
local function echo(stream)
  repeat
    local data = stream:read()
    stream:write(data)
  until data == ""
  pcall(stream.shutdown, stream) -- who closed is not there any more
end

-- Calls fn(port, server) with a server; `opts` are those of its context, or more.
local function with_server(opts, fn, handler, more)
  local server = weft.start_server(handler or echo, options(more, {
    tls = opts.tls == nil and server_context(opts) or opts.tls or nil }))
  return server:with(function()
    return fn(select(2, server:getsockname()), server)
  end)
end

local function connect(port, tls, more)
  return weft.open_connection(options(more, { host = "127.0.0.1", port = port,
    tls = tls or client_context(), server_hostname = "localhost" }))
end

local function ask(stream, text)
  return stream:with(function()
    stream:write(text)
    stream:shutdown()
    return stream:read_all()
  end)
end

-- Passes bytes between a client and `port`; once the client has said that it is the end, the
-- last `held` of the server's bytes are held back. Calls fn(port of the proxy).
local function with_proxy(port, held, fn)
  local function forward(from, to, state)
    local kept = ""
    repeat
      local data = from:read()
      kept = kept .. data
      local hold = state.is_holding and held or 0
      if #kept > hold then
        to:write(kept:sub(1, #kept - hold))
        kept = kept:sub(#kept - hold + 1)
      end
    until data == ""
  end
  local function handler(down)
    local up = weft.open_connection { host = "127.0.0.1", port = port }
    local state = {}
    weft.gather(function()
      forward(down, up, {})
      state.is_holding = true
      up:shutdown()
    end, function()
      forward(up, down, state)
      down:shutdown()
    end)
    up:close()
  end
  local server = weft.start_server(handler, {})
  return server:with(function()
    return fn(select(2, server:getsockname()))
  end)
end

-- Echoes what there is when the peer has said that it is the end.
local function echo_at_end(stream)
  stream:write((stream:read_all()))
  pcall(stream.shutdown, stream)
end

describe("weft.tls", function()
  describe("a connection", function()
    it("carries bytes both ways and tells what it is", run(function()
      with_server({}, function(port)
        local stream = connect(port)
        local info = stream:tls_info()
        assert.equal("TLSv1.3", info.version)
        assert.truthy(info.cipher:find("^TLS_"))
        assert.same({ "localhost", false, true, "none" },
          { info.server_name, info.resumed, info.verified, info.ocsp })
        assert.same({ "CN=weft b", "CN=weft root" }, { info.peer.subject, info.peer.issuer })
        assert.same({ "DNS:localhost", "IP:127.0.0.1", "IP:::1" }, info.peer.names)
        assert.same({ 1577836800, 2524608000 }, { info.peer.not_before, info.peer.not_after })
        assert.equal(64, #info.peer.fingerprint)
        assert.equal(certs.read "b.pem", info.peer.pem)
        assert.equal(info.peer.pem, info.peer.chain)
        assert.truthy(info.peer.serial:find("^%x+$"))
        assert.equal("hello, world", ask(stream, "hello, world"))
        raises("closed", stream.tls_info, stream)
      end)
    end))

    it("without TLS has no information", run(function()
      with_server({ tls = false }, function(port)
        local stream = weft.open_connection { host = "127.0.0.1", port = port }
        assert.is_nil(stream:tls_info())
        stream:close()
      end)
    end))

    it("verifies an address when it is given no name", run(function()
      with_server({}, function(port)
        local stream = weft.open_connection { host = "127.0.0.1", port = port,
          tls = client_context() }
        assert.is_nil(stream:tls_info().server_name)
        assert.is_true(stream:tls_info().verified)
        assert.equal("x", ask(stream, "x"))
      end)
    end))

    it("carries megabytes both ways at once", run(function()
      with_server({}, function(port)
        local stream = connect(port)
        local text = ("0123456789abcdef"):rep(support.rounds(262144))
        local answer = weft.gather(function()
          return stream:read_all()
        end, function()
          stream:write(text, "", text)
          stream:shutdown()
        end)[1]
        assert.is_true(answer == text .. text)
        stream:close()
      end)
    end))

    it("gives a line that is longer than what is read at once", run(function()
      local line = ("x"):rep(3000000)
      with_server({}, function(port)
        local stream = connect(port)
        assert.equal(#line, #stream:read_line(4000000))
        assert.equal(line:sub(1, 1000000), stream:read_exactly(1000000))
        assert.equal("", stream:read())
        stream:close()
      end, function(stream)
        stream:write(line, "\n", line:sub(1, 1000000))
        stream:shutdown()
        stream:read()
      end)
    end))

    it("can be half closed by either side", run(function()
      with_server({}, function(port)
        local stream = connect(port)
        stream:shutdown()
        stream:shutdown()
        assert.equal("late", stream:read_all())
        stream:close()
      end, function(stream)
        assert.equal("", stream:read())
        stream:write("late")
        stream:shutdown()
      end)
    end))

    it("over a Unix socket needs a name, or not to verify", run(function()
      local path = os.tmpname()
      os.remove(path)
      local server = weft.start_server(echo, { path = path, tls = server_context() })
      server:with(function()
        local e = raises({ "tls", "NO_HOST" }, weft.open_connection, { path = path,
          tls = client_context() })
        assert.truthy(e.message:find("give server_hostname", 1, true))
        for _, opts in ipairs { { tls = client_context(), server_hostname = "localhost" },
          { tls = { verify = false } } } do
          opts.path = path
          assert.equal("u", ask(weft.open_connection(opts), "u"))
        end
      end)
    end))

    it("can be made with the options of a context, or with the system's authorities", run(function()
      with_server({}, function(port)
        assert.equal("x", ask(connect(port, { ca_file = certs.path "root.pem" }), "x"))
        raises({ "tls", "UNABLE_TO_GET_ISSUER_CERT_LOCALLY" }, connect, port, true)
      end)
    end))

    it("in TLS in TLS works, each layer with its own name", run(function()
      with_server({ tls = false }, function(port)
        local stream = weft.open_connection { host = "127.0.0.1", port = port }
        for _ = 1, 3 do
          assert.equal(stream, stream:start_tls { context = client_context() })
        end
        assert.equal("deep", ask(stream, "deep"))
      end, function(stream)
        for _ = 1, 3 do
          stream:start_tls { context = server_context(), server_side = true }
        end
        echo(stream)
      end)
    end))
  end)

  describe("a handshake that fails", function()
    it("says what is wrong, and with whom", run(function()
      with_server({}, function(port, server)
        local e = raises({ "tls", "HOSTNAME_MISMATCH" }, connect, port, nil,
          { server_hostname = "a.test" })
        assert.same({ "127.0.0.1", port, "tls" }, { e.host, e.port, e.phase })
        assert.equal(("connect to 127.0.0.1:%d: host name mismatch: asked for a.test, certificate "
          .. "is for localhost, 127.0.0.1, ::1"):format(port), e.message)
        server:shutdown()
        assert.equal(1, server:statistics().failed)
      end)
    end))

    it("on an expired certificate has the day", run(function()
      local opts = { cert = certs.path "expired.pem", key = certs.path "expired.key" }
      with_server(opts, function(port)
        local e = raises({ "tls", "CERT_HAS_EXPIRED" }, connect, port, nil,
          { server_hostname = "a.test" })
        assert.truthy(e.message:find("certificate has expired on 2026-01-02", 1, true))
        local stream = connect(port, client_context { verify_time = 1700000000 },
          { server_hostname = "a.test" })
        assert.is_true(stream:tls_info().verified)
        stream:close()
      end)
    end))

    it("on a pinned fingerprint, of which there can be several", run(function()
      with_server({}, function(port)
        local colons = certs.read "a.fingerprint"
        raises({ "tls", "FINGERPRINT_MISMATCH" }, connect, port,
          client_context { fingerprint = colons:gsub("%s", "") })
        local stream = connect(port, { verify = false })
        local right = stream:tls_info().peer.fingerprint
        stream:close()
        stream = connect(port, { verify = false, fingerprint = { ("00"):rep(32), right:upper() } })
        assert.is_false(stream:tls_info().verified)
        stream:close()
      end)
    end))

    it("with a server of something else says so", run(function()
      with_server({ tls = false }, function(port)
        local e = raises({ "tls", "WRONG_VERSION_NUMBER" }, connect, port)
        assert.truthy(e.message:find("the peer does not speak TLS", 1, true))
      end, function(stream)
        stream:write("HTTP/1.1 400 Bad Request\r\n\r\n")
      end)
    end))

    it("because the server goes away is a connection's failure", run(function()
      with_server({ tls = false }, function(port)
        local e = raises({ "connection", "ETLSEOF" }, connect, port)
        assert.truthy(e.message:find("closed the connection during the TLS handshake", 1, true))
      end, function(stream)
        stream:read(1)
        stream:read() -- all of it, or closing would reset the connection
      end)
    end))

    it("with a client of something else is only counted", run(function()
      local reports = 0
      weft.get_running_loop():set_exception_handler(function() reports = reports + 1 end)
      with_server({}, function(port, server)
        local stream = weft.open_connection { host = "127.0.0.1", port = port }
        stream:write("GET / HTTP/1.1\r\n\r\n")
        pcall(stream.read_all, stream)
        stream:close()
        server:close()
        server:wait_closed()
        assert.same({ 1, 0 }, { server:statistics().failed, reports })
      end)
    end))

    it("is reported when the loop debugs", run(function()
      local loop, context = weft.get_running_loop(), nil
      loop:set_exception_handler(function(_, c) context = c end)
      with_server({}, function(port, server)
        loop:set_debug(true)
        raises("tls", connect, port, true)
        server:close()
        server:wait_closed()
        loop:set_debug(false)
      end)
      assert.equal("a TLS handshake failed", context.message)
      assert.equal("TLSV1_ALERT_UNKNOWN_CA", context.exception.code)
      assert.equal("tls", context.exception.phase)
    end))

    it("for want of an answer times out, on either side", run(function()
      with_server({ tls = false }, function(port)
        raises("timeout", connect, port, nil, { timeout = 0.02 })
        local stream = weft.open_connection { host = "127.0.0.1", port = port }
        raises("timeout", stream.start_tls, stream, { timeout = 0.02, verify = false })
        assert.is_true(stream:is_closed())
      end, function(stream)
        stream:read_all()
      end)
      with_server({}, function(port, server)
        local stream = weft.open_connection { host = "127.0.0.1", port = port }
        pcall(stream.read_all, stream)
        stream:close()
        server:close()
        server:wait_closed()
        assert.equal(1, server:statistics().failed)
      end, nil, { handshake_timeout = 0.02 })
    end))

    it("is broken off when its server is shut down", run(function()
      with_server({}, function(port, server)
        local stream = weft.open_connection { host = "127.0.0.1", port = port }
        while server:statistics().accepted == 0 do
          weft.sleep(0)
        end
        server:shutdown(0)
        assert.equal(0, server:statistics().connections)
        pcall(stream.read_all, stream)
        stream:close()
      end)
    end))

    it("leaves nothing, at whichever wait it is cancelled, on either side", outside(function()
      local server, client = server_context(), client_context { session_resumption = false }
      local runs = testing.cancel_everywhere(function()
        with_server({ tls = server }, function(port)
          assert.equal("x", ask(connect(port, client), "x"))
        end)
      end)
      assert.is_true(runs >= 2, runs)
      runs = testing.cancel_everywhere(function()
        weft.get_running_loop():set_exception_handler(function() end)
        with_server({ tls = false }, function(port)
          local stream = weft.open_connection { host = "127.0.0.1", port = port }
          stream:with(function()
            stream:start_tls { context = server, server_side = true }
            echo(stream)
          end)
        end, function(stream)
          stream:start_tls { context = client, server_hostname = "localhost" }
          ask(stream, "x")
        end)
      end)
      assert.is_true(runs >= 2, runs)
      server:close()
      client:close()
    end))

    it("leaves nothing, at whichever allocation fails", outside(function()
      local server, client = server_context(), client_context { session_resumption = false }
      local n, ok = 0, false
      while not ok do
        n = n + 1
        ok = weft.run(function()
          weft.get_running_loop():set_exception_handler(function() end)
          return with_server({ tls = server }, function(port)
            return (testing.fail_allocation(n, function()
              return ask(connect(port, client), "x")
            end))
          end)
        end)
      end
      assert.is_true(n > 3)
    end))
  end)

  describe("start_tls", function()
    -- A dialogue in which both agree to go on with TLS.
    local function upgrade(server_side, client_side)
      with_server({ tls = false }, function(port)
        local stream = weft.open_connection { host = "127.0.0.1", port = port }
        stream:write("STARTTLS\n")
        assert.equal("go", stream:read_line())
        client_side(stream)
        stream:close()
      end, function(stream)
        assert.equal("STARTTLS", stream:read_line())
        stream:write("go\n")
        server_side(stream)
      end)
    end

    it("secures a connection from there on", run(function()
      upgrade(function(stream)
        stream:start_tls { server_side = true, cert = certs.path "b.pem",
          key = certs.path "b.key" }
        echo(stream)
      end, function(stream)
        stream:start_tls(client_context())
        assert.equal("localhost", stream:tls_info().peer.names[1]:match("DNS:(.*)"))
        assert.equal("secret", ask(stream, "secret"))
      end)
    end))

    it("fails and closes the stream when the peer is another", run(function()
      upgrade(function(stream)
        pcall(stream.start_tls, stream, { server_side = true, context = server_context() })
      end, function(stream)
        raises({ "tls", "HOSTNAME_MISMATCH" }, stream.start_tls, stream,
          { context = client_context(), server_hostname = "other.test" })
        assert.is_true(stream:is_closed())
      end)
    end))

    it("refuses to begin after bytes that were not read", run(function()
      with_server({ tls = false }, function(port)
        local stream = weft.open_connection { host = "127.0.0.1", port = port }
        assert.equal("go", stream:read_line())
        local e = raises("state", stream.start_tls, stream, client_context())
        assert.truthy(e.message:find("unread", 1, true))
      end, function(stream)
        stream:write("go\ninjected\n")
      end)
    end))

    it("refuses while another task reads, and on a closed stream", run(function()
      with_server({ tls = false }, function(port)
        local stream = weft.open_connection { host = "127.0.0.1", port = port }
        local reader = weft.create_task(stream.read, stream)
        weft.sleep(0)
        raises("state", stream.start_tls, stream, client_context())
        raises("closed", stream.read, stream)
        raises("closed", reader.await, reader)
        raises("closed", stream.start_tls, stream, client_context())
      end)
    end))

    it("checks its options before anything", run(function()
      with_server({ tls = false }, function(port)
        local stream = weft.open_connection { host = "127.0.0.1", port = port }
        raises({ "type", "unknown_option" }, stream.start_tls, stream, { server_hostnam = "x" })
        raises("type", stream.start_tls, stream, { context = client_context(), verify = false })
        raises("type", stream.start_tls, stream, { server_side = true })
        assert.is_false(stream:is_closed())
        stream:close()
      end)
    end))
  end)

  describe("a server of several names", function()
    local function subject(port, name)
      local stream = connect(port, nil, { server_hostname = name })
      local info = stream:tls_info()
      assert.equal("x", ask(stream, "x"))
      return info.peer.subject
    end

    local function context(name)
      return weft.tls.context { cert = certs.path(name .. ".pem"),
        key = certs.path(name .. ".key") }
    end

    it("takes them from a table, wildcards for one level, its own for others", run(function()
      with_server({ sni = { ["A.test"] = context "a", ["*.wild.test"] = context "wild" } },
        function(port)
          assert.equal("CN=weft a", subject(port, "a.test"))
          assert.equal("CN=weft wild", subject(port, "x.wild.test"))
          assert.equal("CN=weft b", subject(port, "localhost"))
          raises({ "tls", "HOSTNAME_MISMATCH" }, subject, port, "x.y.wild.test")
        end)
    end))

    it("takes them from a function, which may wait", run(function()
      local names = {}
      with_server({ sni = function(name)
        names[#names + 1] = name
        weft.sleep(0.001)
        return name == "a.test" and context "a" or nil
      end }, function(port)
        assert.equal("CN=weft a", subject(port, "a.test"))
        assert.equal("CN=weft b", subject(port, "localhost"))
        assert.equal("CN=weft b", subject(port, "127.0.0.1"))
      end)
      assert.same({ "a.test", "localhost", "" }, names)
    end))

    it("reports what its function raises, and lets the client go", run(function()
      local context_of_error
      weft.get_running_loop():set_exception_handler(function(_, c) context_of_error = c end)
      with_server({ sni = function() error("no such name", 0) end }, function(port)
        local ok, e = pcall(subject, port, "a.test")
        assert.is_false(ok)
        assert.is_true(weft.is_error(e, "connection"), tostring(e))
      end)
      assert.equal("no such name", context_of_error.exception)
    end))

    it("refuses what is no context", run(function()
      local context_of_error
      weft.get_running_loop():set_exception_handler(function(_, c) context_of_error = c end)
      with_server({ sni = function() return "a" end }, function(port)
        pcall(subject, port, "a.test")
      end)
      assert.is_true(weft.is_error(context_of_error.exception, "type"))
      raises("type", server_context, { sni = { a = "b" } })
      raises("type", server_context, { sni = 1 })
    end))

    it("takes a context that was closed meanwhile for an error", run(function()
      local context_of_error
      weft.get_running_loop():set_exception_handler(function(_, c) context_of_error = c end)
      local closed = context "a"
      closed:close()
      with_server({ sni = { ["a.test"] = closed } }, function(port)
        pcall(subject, port, "a.test")
      end)
      assert.is_true(weft.is_error(context_of_error.exception, "closed"))
    end))
  end)

  describe("clients' certificates", function()
    local function identity(name)
      return { cert = certs.path(name .. ".pem"), key = certs.path(name .. ".key") }
    end

    it("are asked for, checked and shown", run(function()
      local seen
      with_server({ client_ca_file = certs.path "root.pem" }, function(port)
        local stream = connect(port, client_context(identity "client"))
        assert.equal("x", ask(stream, "x"))
      end, function(stream)
        seen = stream:tls_info()
        echo(stream)
      end)
      assert.is_true(seen.verified)
      assert.equal("CN=weft client", seen.peer.subject)
      assert.same({ "email:client@a.test" }, seen.peer.names)
      assert.equal(seen.peer.pem, seen.peer.chain)
    end))

    it("are missed, in TLS 1.3 at the first read", run(function()
      with_server({ client_ca_data = certs.read "root.pem" }, function(port)
        local stream = connect(port)
        local e = raises({ "tls", "TLSV13_ALERT_CERTIFICATE_REQUIRED" }, stream.read, stream)
        assert.truthy(e.message:find("the peer wants a certificate", 1, true))
        stream:close()
        raises("tls", connect, port, client_context { max_version = "TLSv1.2" })
      end)
    end))

    it("may be optional", run(function()
      with_server({ client_ca_path = certs.path "hashed", verify = "optional" }, function(port)
        assert.equal("x", ask(connect(port), "x"))
        local stream = connect(port, client_context(identity "foreign"))
        raises({ "tls", "TLSV1_ALERT_UNKNOWN_CA" }, stream.read, stream)
        stream:close()
      end)
    end))
  end)

  it("agrees on a protocol", run(function()
    with_server({ alpn = { "h2", "http/1.1" } }, function(port)
      local stream = connect(port, client_context { alpn = { "http/1.1", "h2" } })
      assert.equal("h2", stream:tls_info().alpn)
      stream:close()
      local e = raises({ "tls", "TLSV1_ALERT_NO_APPLICATION_PROTOCOL" }, connect, port,
        client_context { alpn = { "spdy" } })
      assert.truthy(e.message:find("no shared application protocol (ALPN", 1, true))
    end)
  end))

  it("checks a stapled OCSP response, and can require one", run(function()
    local a = { cert = certs.path "a.pem", key = certs.path "a.key" }
    local more = { server_hostname = "a.test" }
    with_server(options(a, { ocsp_response = certs.read "good.der" }), function(port)
      local stream = connect(port, client_context { ocsp = "require" }, more)
      assert.equal("good", stream:tls_info().ocsp)
      stream:close()
    end)
    with_server({ cert = certs.path "revoked.pem", key = certs.path "revoked.key",
      ocsp_response = certs.read "revoked.der" }, function(port)
      raises({ "tls", "CERT_REVOKED" }, connect, port, nil, more)
    end)
    with_server({}, function(port)
      raises({ "tls", "OCSP_REQUIRED" }, connect, port, client_context { ocsp = "require" })
    end)
  end))

  describe("sessions", function()
    local function resumed(context, port, n)
      local list = {}
      for i = 1, n do
        local stream = connect(port, context)
        list[i] = stream:tls_info().resumed
        assert.equal("x", ask(stream, "x"))
      end
      return list
    end

    it("are resumed, of either version", run(function()
      for _, version in ipairs { "TLSv1.3", "TLSv1.2" } do
        with_server({ max_version = version }, function(port)
          local context = client_context()
          assert.same({ false, true, true }, resumed(context, port, 3))
          assert.is_true(context:statistics().sessions > 0)
          context:close()
        end)
      end
    end))

    it("are not when that is turned off", run(function()
      with_server({}, function(port)
        local context = client_context { session_resumption = false }
        assert.same({ false, false }, resumed(context, port, 2))
        assert.equal(0, context:statistics().sessions)
      end)
    end))

    it("are not shared by servers, nor by names", run(function()
      local context = client_context()
      with_server({}, function(port)
        resumed(context, port, 1)
        with_server({}, function(other)
          assert.same({ false }, resumed(context, other, 1))
        end)
        local stream = connect(port, context, { server_hostname = "127.0.0.1" })
        assert.is_false(stream:tls_info().resumed)
        stream:close()
        context:close()
      end)
    end))

    it("tell of the same peer what is known of it", run(function()
      local context = client_context()
      with_server({}, function(port)
        local first, second = connect(port, context), connect(port, context)
        local peer = first:tls_info().peer
        assert.equal(peer, require("weft.tls")._info(second, peer).peer)
        assert.same(peer, require("weft.tls")._info(second).peer)
        local unlike = { fingerprint = peer.fingerprint:gsub("^.", "x") }
        local other = require("weft.tls")._info(second, unlike).peer
        assert.same(peer, other)
        assert.is_false(rawequal(peer, other))
        first:close()
        second:close()
        context:close()
      end)
    end))

    it("are not kept beyond a bound", run(function()
      local context = client_context()
      with_server({}, function(port)
        local streams = {}
        for i = 1, 60 do -- each is given two
          streams[i] = connect(port, context)
          streams[i]:write("x")
        end
        for _, stream in ipairs(streams) do
          stream:read()
          stream:close()
        end
        assert.equal(100, context:statistics().sessions)
        context:close()
      end)
    end))
  end)

  describe("the end of a stream", function()
    it("without close_notify is an error, with what came before", run(function()
      with_server({}, function(port)
        with_proxy(port, 24, function(proxy) -- 24 bytes: the record of close_notify
          local stream = connect(proxy)
          stream:write("partial")
          stream:shutdown()
          local e = raises({ "connection", "ETLSEOF" }, stream.read_all, stream)
          assert.equal("partial", e.partial)
          assert.truthy(e.message:find("closed the connection without close_notify", 1, true))
          raises({ "connection", "ETLSEOF" }, stream.read, stream)
          stream:close()
        end)
      end, echo_at_end)
    end))

    it("without close_notify is an end where that is allowed", run(function()
      with_server({}, function(port)
        with_proxy(port, 24, function(proxy)
          local stream = connect(proxy, client_context { allow_unclean_close = true })
          assert.equal("partial", ask(stream, "partial"))
        end)
      end, echo_at_end)
    end))

    it("in the middle of a record gives what was whole", run(function()
      with_server({}, function(port)
        with_proxy(port, 30, function(proxy)
          local stream = connect(proxy)
          stream:write("partial")
          stream:shutdown()
          local e = raises({ "connection", "ETLSEOF" }, stream.read_all, stream)
          assert.is_nil(e.partial)
          stream:close()
        end)
      end, echo_at_end)
    end))

    it("by close is clean for the peer", run(function()
      local got
      with_server({}, function(port, server)
        connect(port):close()
        server:close()
        server:wait_closed()
      end, function(stream)
        got = stream:read()
      end)
      assert.equal("", got)
    end))
  end)

  describe("a server", function()
    it("needs a certificate", run(function()
      raises("type", weft.start_server, echo, { tls = true })
      raises("type", weft.start_server, echo, { tls = client_context() })
      raises("type", weft.start_server, echo, { tls = 5 })
    end))

    it("lets handshakes wait without holding up others", run(function()
      with_server({}, function(port)
        local idle = weft.open_connection { host = "127.0.0.1", port = port }
        assert.equal("x", ask(connect(port), "x"))
        idle:close()
      end)
    end))
  end)

  describe("a context", function()
    it("names the nearest option for an unknown one", function()
      local e = raises({ "type", "unknown_option" }, weft.tls.context, { ca_fille = "x" })
      assert.truthy(e.message:find("did you mean 'ca_file'?", 1, true))
    end)

    it("refuses values that cannot be", function()
      for _, opts in ipairs { { verify = "maybe" }, { ocsp = true }, { min_version = "SSLv3" },
        { alpn = "h2" }, { alpn = { "" } }, { alpn = { ("x"):rep(256) } }, { fingerprint = "ab" },
        { fingerprint = {} }, { fingerprint = ("xy"):rep(32) }, { ca_file = 5 }, { key = "x" },
        { ciphers = {} }, { verify_time = "now" }, { ocsp = "require", verify = false },
        { sni = true }, { server_hostname = "a\0b" }, { cert = 5 } } do
        raises("type", weft.tls.context, opts)
      end
    end)

    it("says which file cannot be read", function()
      for _, name in ipairs { "ca_file", "cert", "client_ca_file" } do
        local e = raises({ "os", "ENOENT" }, weft.tls.context, { [name] = "/nowhere/x.pem" })
        assert.truthy(e.message:find(name, 1, true) and e.message:find("/nowhere/x.pem", 1, true))
      end
      raises("os", weft.tls.context, { ca_file = "/" })
    end)

    it("says what OpenSSL refuses", function()
      raises({ "tls", "NO_CERTIFICATE" }, weft.tls.context, { ca_data = "nothing" })
      raises({ "tls", "KEY_VALUES_MISMATCH" }, weft.tls.context, { cert = certs.path "a.pem",
        key = certs.path "b.key" })
      raises({ "tls", "NO_CIPHER_MATCH" }, weft.tls.context, { ciphers = "BOGUS" })
    end)

    it("asks a function for the password", outside(function()
      local calls = 0
      local opts = { cert = certs.read "a.pem", key = certs.read "a.locked.key",
        key_password = function()
          calls = calls + 1
          return "secret"
        end }
      weft.tls.context(opts):close()
      assert.equal(1, calls)
      opts.key_password = "guess"
      raises({ "tls", "BAD_PASSWORD" }, weft.tls.context, opts)
      opts.key_password = nil
      raises({ "tls", "BAD_PASSWORD" }, weft.tls.context, opts)
      opts.key_password = function() error("cancelled by the user", 0) end
      assert.equal("cancelled by the user", support.error_of(weft.tls.context, opts))
    end))

    it("keeps no secret where Lua could see it", outside(function()
      local context = server_context { key_password = "secret" }
      local own = core.tls_context_table(context)
      assert.same({ has_cert = true }, own)
    end))

    it("can be closed twice, and is of no use then", run(function()
      local context = client_context()
      assert.truthy(tostring(context):find("^TLSContext<open sessions=0>$"))
      context:close()
      context:close()
      assert.is_true(context:is_closed())
      assert.equal("TLSContext<closed>", tostring(context))
      assert.same({ sessions = 0 }, context:statistics())
      with_server({}, function(port)
        raises("closed", connect, port, context)
      end)
    end))

    it("lives on in the connections that were made with it", run(function()
      with_server({}, function(port)
        local context = client_context()
        local stream = connect(port, context)
        context:close()
        assert.equal("x", ask(stream, "x"))
      end)
    end))

    if IS_LUA54 then
      it("is closed at the end of its block", outside(function()
        local context = assert(load [[
          local context <close> = (...)
          return context
        ]])(client_context())
        assert.is_true(context:is_closed())
      end))
    end

    it("is collected, with all that it holds, when it is forgotten", outside(function()
      for _ = 1, 10 do
        server_context { client_ca_file = certs.path "root.pem", alpn = { "h2" },
          ocsp_response = certs.read "good.der" }
      end
    end))

    it("fails for want of memory without a leak, at whichever allocation", outside(function()
      local n, ok = 0, false
      while not ok do
        n = n + 1
        ok = testing.fail_allocation(n, server_context, { alpn = { "h2" },
          server_hostname = "x", fingerprint = ("00"):rep(32) })
      end
      assert.is_true(n > 4)
    end))

    it("tells its library", function()
      assert.truthy(weft.tls.library():find("^OpenSSL 3"))
    end)
  end)

  describe("openssl", function()
    -- The process that `command` starts, in the background: a pipe with its output.
    local function start(command, ...)
      local pipe = io.popen(("unset LD_PRELOAD; " .. command):format(...), "r")
      return pipe
    end

    it("s_server answers", run(function()
      for _, version in ipairs { "-tls1_3", "-tls1_2" } do
        local pipe = start("openssl s_server -accept 127.0.0.1:0 -cert %s -key %s -rev %s "
          .. "-naccept 2 -alpn x,y 2>&1 & echo $!; wait", certs.path "b.pem", certs.path "b.key",
          version)
        pipe:read("*l")
        local port
        repeat
          local line = assert(pipe:read("*l"))
          port = line:match("^ACCEPT 127.0.0.1:(%d+)")
        until port
        local context = client_context { alpn = { "y" } }
        for i = 1, 2 do
          local stream = connect(tonumber(port), context)
          stream:write("abc\n")
          assert.equal("cba", stream:read_line())
          assert.same({ "y", i == 2 }, { stream:tls_info().alpn, stream:tls_info().resumed })
          stream:close()
        end
        context:close()
        pipe:close()
      end
    end))

    it("s_client asks", run(function()
      for _, version in ipairs { "-tls1_3", "-tls1_2" } do
        local pipe, asked
        with_server({ alpn = { "x" } }, function(port, server)
          pipe = start("(echo question; sleep 0.3) | openssl s_client -connect 127.0.0.1:%d "
            .. "-CAfile %s -servername localhost -verify_hostname localhost -verify_return_error "
            .. "-alpn x -quiet -no_ign_eof %s 2>&1", port, certs.path "root.pem", version)
          while not asked do
            weft.sleep(0.005)
          end
          server:close()
          server:wait_closed()
        end, function(stream)
          asked = stream:read_line()
          stream:write("answer to " .. asked .. " by " .. stream:tls_info().alpn .. "\n")
          stream:shutdown()
          stream:read_all()
        end)
        assert.truthy(pipe:read("*a"):find("answer to question by x", 1, true))
        pipe:close()
      end
    end))
  end)
end)
