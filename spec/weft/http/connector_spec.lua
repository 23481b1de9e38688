-- SPDX-License-Identifier: MIT
-- weft.http.connector: which options lead where, and what is told of each phase. Its errors and
-- limits: network_spec; by proxies: proxy_spec.

local connectors = require "weft.http.connector"
local dns = require "spec.dns_server"
local raw = require "spec.http_raw"
local support = require "spec.support"
local weft = require "weft"

local raises, run = support.raises, support.run

local function connect(opts, route, request)
  local connector = connectors.new(opts)
  request = request or {}
  request.timeouts = request.timeouts or {}
  return weft.finally(function()
    return connector:connect(request, route)
  end, function()
    connector:close()
    connector:close()
  end)
end

local function with_server(fn, opts)
  local server = raw.serve({ raw.hang() }, opts)
  weft.finally(function() fn(server) end, function() server:close() end)
end

local function resolver_of(list, asked)
  return { resolve = function(_, host, port, opts)
    asked[#asked + 1] = { host, opts.family }
    local addresses = {}
    for i, address in ipairs(list) do
      addresses[i] = { family = address:find(":") and "inet6" or "inet", address = address,
        port = port }
    end
    return addresses
  end }
end

describe("the connector", function()
  it("asks the resolver that it was given, for the family", run(function()
    with_server(function(server)
      local asked = {}
      local stream = connect({ resolver = resolver_of({ "127.0.0.1" }, asked), family = "inet" },
        { host = "a.test", port = server.port })
      assert.same({ { "a.test", "inet" } }, asked)
      assert.same({ "127.0.0.1", server.port }, { stream:getpeername() })
      stream:close()
    end)
  end))

  it("asks nobody about an address", run(function()
    with_server(function(server)
      local stream = connect({ resolver = resolver_of({}, {}) },
        { host = "127.0.0.1", port = server.port })
      stream:close()
    end)
  end))

  it("takes the first address that answers", run(function()
    with_server(function(server)
      local stream = connect({ resolver = resolver_of({ "::1", "127.0.0.1" }, {}) },
        { host = "a.test", port = server.port })
      assert.equal("127.0.0.1", (stream:getpeername()))
      stream:close()
    end)
  end))

  it("keeps answers of name servers as long as it is told", run(function()
    if not require "weft.core".has_cares then
      return
    end
    local connector = connectors.new { dns_cache_ttl = 0 }
    assert.equal(0, connector._own_resolver._cache_ttl)
    connector:close()
    raises("closed", connector._own_resolver.resolve, connector._own_resolver, "a.test")
    local zone = dns.start { ["a.test"] = { a = { "127.0.0.1" } } }
    local resolver = weft.resolver { servers = { zone.address or ("127.0.0.1:" .. zone.port) } }
    with_server(function(server)
      for _ = 1, 2 do
        connect({ resolver = resolver, family = "inet" },
          { host = "a.test", port = server.port }):close()
      end
      assert.equal(1, resolver:statistics().hits)
    end)
    resolver:close()
    zone:close()
  end))

  it("connects from a local address", run(function()
    with_server(function(server)
      local stream = connect({ local_addr = { "127.0.0.2" } },
        { host = "127.0.0.1", port = server.port })
      assert.equal("127.0.0.2", (stream:getsockname()))
      stream:close()
      local e = raises({ "connection", "EAFNOSUPPORT" }, connect,
        { local_addr = { "127.0.0.2" }, resolver = resolver_of({ "::1" }, {}) },
        { host = "a.test", port = server.port })
      assert.equal("connect", e.phase)
    end)
  end))

  it("tells each phase with its times", run(function()
    with_server(function(server)
      local told = {}
      local request = { trace = function(event, fields)
        assert.truthy(fields.started <= fields.time)
        told[#told + 1] = { event, fields.host, fields.port, fields.address }
      end }
      connect({ resolver = resolver_of({ "127.0.0.1" }, {}) },
        { host = "a.test", port = server.port }, request):close()
      assert.same({ { "dns", "a.test" }, { "connect", "a.test", server.port, "127.0.0.1" } }, told)
      assert.equal("connect", request.phase)
    end)
  end))

  it("closes the stream when a hook raises", run(function()
    with_server(function(server)
      assert.equal("mine", support.error_of(connect, nil,
        { host = "127.0.0.1", port = server.port },
        { trace = function() error("mine", 0) end }))
    end)
  end))

  it("refuses options that cannot be", function()
    raises({ "type", "unknown_option" }, connectors.new, { host = "x" })
    raises("type", connectors.new, { family = "ipv4" })
    raises("type", connectors.new, { dns_cache_ttl = -1 })
    raises("type", connectors.new, { path = 5 })
    raises("type", connectors.new, { local_addr = { 5 } })
  end)
end)
