-- SPDX-License-Identifier: MIT
-- weft.http.settings: defaults, and how options of a request come before a session's.
-- What is refused is in session_spec.

local settings = require "weft.http.settings"
local support = require "spec.support"
local weft = require "weft"

describe("settings", function()
  it("have defaults", support.outside(function()
    local made = settings.of_session()
    assert.equal(30, made.timeouts.tls)
    assert.same({ 300, 30, 10, true, 2 ^ 30, "utf-8" }, { made.total, made.timeouts.sock_connect,
      made.max_redirects, made.allow_redirects, made.wire.max_body_size, made.fallback_encoding })
    assert.is_true(made.wire.decode)
  end))

  it("of a request are the session's where it says nothing", support.outside(function()
    local base = settings.of_session({ timeout = { total = 9, dns = 2 }, max_redirects = 4,
      auto_decompress = false })
    local made = settings.of_request(base, { timeout = { dns = 3, tls = false } })
    assert.same({ 9, 3, 30, 4 }, { made.total, made.timeouts.dns, made.timeouts.sock_connect,
      made.max_redirects })
    assert.is_nil(made.timeouts.tls)
    assert.equal(2, base.timeouts.dns)
    assert.is_true(rawequal(base.wire, made.wire))
    assert.is_false(made.wire.decode)
    made = settings.of_request(base, { auto_decompress = true, max_line_size = 100 })
    assert.same({ true, 100 }, { made.wire.decode, made.wire.max_line_size })
    assert.is_nil(base.wire.max_line_size)
  end))

  it("say none by false", support.outside(function()
    local base = settings.of_session({ timeout = 5, retry = true, middlewares = { print },
      proxy = "http://proxy" })
    local made = settings.of_request(base, { timeout = false, retry = false, middlewares = false,
      proxy = false })
    assert.same({ false, false, false, false }, { made.total, made.retry, made.middlewares,
      made.proxy })
    assert.same({}, made.timeouts)
  end))

  it("make one context of all tables that say the same", support.outside(function()
    local base = settings.of_session({ tls = { verify = false, alpn = { "http/1.1" } } })
    local made = settings.of_request(base, { tls = { alpn = { "http/1.1" }, verify = false } })
    assert.is_true(rawequal(base.tls, made.tls))
    assert.equal(base.tls_key, made.tls_key)
    local context = weft.tls.context({ verify = false })
    assert.is_true(rawequal(context, settings.of_request(base, { tls = context }).tls))
    for i = 1, 100 do
      settings.of_request(base, { tls = { verify = false, server_hostname = "h" .. i } })
    end
    assert.is_true(base.contexts.count <= 64)
  end))
end)
