-- SPDX-License-Identifier: MIT
-- weft.http through SOCKS servers, dante (4 and 5, without a password; of 4a it knows nothing) and
-- microsocks (5, with one), to nginx.

local http = require "weft.http"
local certs = require "spec.tls_certs"
local servers = require "spec.servers"
local support = require "spec.support"
local weft = require "weft"

local suite = servers.suite("nginx", "dante", "microsocks")

-- fn(session, plain, secure, dante, microsocks): a session, nginx's addresses, and those of the
-- proxies without the scheme.
local function client(fn)
  return suite.spec(function(nginx, dante, microsocks)
    http.session{ tls = { ca_file = certs.path "root.pem" } }:with(fn, nginx.ports[1],
      nginx.ports[2], "127.0.0.1:" .. dante.ports[1], "127.0.0.1:" .. microsocks.ports[1],
      nginx.ports[3])
  end)
end

describe("a SOCKS server", function()
  if suite.missing then
    pending(suite.missing)
    return
  end
  setup(suite.start)
  teardown(suite.stop)

  for _, scheme in ipairs({ "socks4", "socks5", "socks5h" }) do
    it("speaks " .. scheme, client(function(session, plain, secure, dante)
      local proxy = scheme .. "://" .. dante
      for i = 1, 3 do
        assert.equal(1024, #session:get(("http://127.0.0.1:%d/1k.bin"):format(plain),
          { proxy = proxy }):read())
        assert.equal(i - 1, session:statistics().reused)
      end
      assert.equal(1024, #session:get(("https://localhost:%d/1k.bin"):format(secure),
        { proxy = proxy }):read())
      assert.equal(1024, #session:get(("http://localhost:%d/1k.bin"):format(plain),
        { proxy = proxy }):read())
    end))
  end

  for _, scheme in ipairs({ "socks5", "socks5h" }) do
    it("asks for a password by " .. scheme, client(function(session, plain, secure, _, microsocks)
      local proxy = ("%s://user:secret@%s"):format(scheme, microsocks)
      -- Of a name's addresses microsocks tries the first only, which may be ::1.
      local host = scheme == "socks5h" and "127.0.0.1" or "localhost"
      assert.equal(1024, #session:get(("http://%s:%d/1k.bin"):format(host, plain),
        { proxy = proxy }):read())
      assert.equal(1024, #session:get(("https://%s:%d/1k.bin"):format(host, secure),
        { proxy = proxy }):read())
      for _, credentials in ipairs({ "", "user:wrong@" }) do
        local e = support.raises("proxy", session.get, session,
          ("http://127.0.0.1:%d/1k.bin"):format(plain),
          { proxy = ("%s://%s%s"):format(scheme, credentials, microsocks) })
        assert.equal("proxy", e.phase)
        assert.not_matches("wrong", tostring(e))
      end
    end))
  end

  it("refuses, and cannot reach", client(function(session, plain, _, dante, _, nobody)
    for _, scheme in ipairs({ "socks4", "socks5" }) do
      local proxy = scheme .. "://" .. dante
      support.raises("proxy", session.get, session, ("http://127.0.0.9:%d/"):format(plain),
        { proxy = proxy })
      support.raises("proxy", session.get, session, ("http://127.0.0.1:%d/"):format(nobody),
        { proxy = proxy })
    end
    local e = support.raises("proxy", session.get, session, ("http://127.0.0.1:%d/"):format(plain),
      { proxy = ("socks5://127.0.0.1:%d"):format(nobody) })
    assert.equal("ECONNREFUSED", e.cause.code)
    assert.equal(0, session:statistics().in_use)
  end))

  it("is no HTTP proxy", client(function(session, plain, _, dante)
    local e = support.error_of(session.get, session, ("http://127.0.0.1:%d/"):format(plain),
      { proxy = "http://" .. dante, timeout = 5 })
    assert.is_true(weft.is_error(e))
  end))

  it("serves many at once", client(function(session, plain, _, dante)
    local list = {}
    for i = 1, 40 do
      list[i] = function()
        return #session:get(("http://127.0.0.1:%d/1k.bin"):format(plain),
          { proxy = "socks5h://" .. dante }):read()
      end
    end
    for _, size in ipairs(weft.gather(list)) do
      assert.equal(1024, size)
    end
    assert.equal(0, session:statistics().in_use)
  end))
end)
