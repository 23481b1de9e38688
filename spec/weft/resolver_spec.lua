-- SPDX-License-Identifier: MIT
-- lua/weft/resolver.lua: getaddrinfo, and resolvers with their cache, against a name server
-- of the specs' own.

local weft = require "weft"
local core = require "weft.core"
local dns_server = require "spec.dns_server"
local support = require "spec.support"
local testing = require "weft.testing"

local function addresses(list)
  local out = {}
  for i, entry in ipairs(list) do
    out[i] = entry.address
  end
  return table.concat(out, " ")
end

describe("getaddrinfo", function()
  it("takes numeric addresses as they are", support.run(function()
    assert.same({ { family = "inet", address = "127.0.0.1", port = 80 } },
      weft.getaddrinfo("127.0.0.1", 80))
    assert.same({ { family = "inet6", address = "::1", port = 0 } }, weft.getaddrinfo("0::1"))
    local list = weft.getaddrinfo("fe80::1%lo", "443")
    assert.equal("fe80::1%lo", list[1].address)
    assert.equal(443, list[1].port)
    assert.is_true(list[1].scope_id > 0)
  end))

  it("knows this machine", support.run(function()
    assert.equal("127.0.0.1 ::1", addresses(weft.getaddrinfo("localhost", 80)))
    assert.equal("::1", addresses(weft.getaddrinfo("localhost", 80, { family = "inet6" })))
    assert.equal("127.0.0.1 ::1", addresses(weft.getaddrinfo(nil, 80)))
    assert.equal("0.0.0.0 ::", addresses(weft.getaddrinfo(nil, 80, { passive = true })))
    assert.equal("0.0.0.0", addresses(weft.getaddrinfo(nil, 80, { passive = true,
      family = "inet" })))
    assert.equal(80, weft.getaddrinfo("localhost", 80)[2].port)
  end))

  it("looks nothing up when asked not to", support.run(function()
    assert.equal("::1", addresses(weft.getaddrinfo("::1", 1, { numeric = true })))
    for _, host in ipairs({ "localhost", "example.test", "127.0.0.1" }) do
      local e = support.raises({ "dns", "ENOTFOUND" }, weft.getaddrinfo, host, 1,
        { numeric = true, family = "inet6" })
      assert.equal(host, e.host)
    end
  end))

  it("says what is wrong with a name", support.run(function()
    local e = support.raises({ "dns", "EBADNAME" }, weft.getaddrinfo, "a..b", 80)
    assert.equal("a..b", e.host)
    assert.equal(80, e.port)
    assert.equal("dns", e.phase)
    assert.is_truthy(tostring(e):find("a..b", 1, true))
    support.raises({ "dns", "ENODEV" }, weft.getaddrinfo, "fe80::1%nope", 80)
    support.raises({ "dns", "ENODATA" }, weft.getaddrinfo, "::1", 80, { family = "inet" })
  end))

  it("refuses what cannot be", support.run(function()
    support.raises("type", weft.getaddrinfo, 1, 80)
    support.raises("type", weft.getaddrinfo, "::1", -1)
    support.raises("type", weft.getaddrinfo, "::1", 65536)
    support.raises("type", weft.getaddrinfo, "::1", 1.5)
    support.raises("type", weft.getaddrinfo, "::1", "http")
    support.raises("type", weft.getaddrinfo, "::1", 0 / 0)
    support.raises("type", weft.getaddrinfo, "::1", 80, { family = "inet4" })
    local e = support.raises({ "type", "unknown_option" }, weft.getaddrinfo, "::1", 80,
      { famly = 1 })
    assert.is_truthy(e.message:find("family", 1, true))
  end))

  it("needs a task, and raises its cancellation first", support.outside(function()
    support.raises("state", weft.getaddrinfo, "127.0.0.1", 80)
    weft.run(function()
      local task = weft.create_task(function()
        weft.current_task():cancel()
        weft.getaddrinfo("127.0.0.1", 80)
      end)
      weft.wait({ task })
      assert.is_true(task:cancelled())
    end)
  end))

  it("works in any loop, one after the other", support.outside(function()
    for _ = 1, 3 do
      weft.run(function()
        assert.equal(1, #weft.getaddrinfo("localhost", 80, { family = "inet" }))
      end)
    end
  end))
end)

describe("a resolver", function()
  it("refuses what cannot be", support.outside(function()
    support.raises("type", weft.resolver, { cache_ttl = -1 })
    support.raises("type", weft.resolver, { cache_size = 1.5 })
    support.raises("type", weft.resolver, { negative_ttl = "1" })
    support.raises("type", weft.resolver, { family = 4 })
    support.raises({ "type", "unknown_option" }, weft.resolver, { server = {} })
  end))

  it("that is closed says so", support.run(function()
    local resolver = weft.resolver()
    assert.is_truthy(tostring(resolver):find("open", 1, true))
    resolver:close()
    resolver:close()
    support.raises("closed", resolver.resolve, resolver, "example.test", 80)
    support.raises("closed", resolver.statistics, resolver)
    assert.equal("Resolver<closed>", tostring(resolver))
  end))

  it("may be made outside of a loop, and outlive those it served", support.outside(function()
    local resolver = weft.resolver { family = "inet" }
    for _ = 1, 2 do
      weft.run(function()
        for _ = 1, 2 do
          assert.equal("127.0.0.1", addresses(resolver:resolve("localhost", 1)))
        end
        assert.equal(1, resolver:statistics().hits)
      end)
    end
    resolver:close()
  end))
end)

if not core.has_cares then
  describe("without c-ares", function()
    it("a resolver has no servers of its own, and says why", support.outside(function()
      local opts = { servers = { "127.0.0.1" }, search = { "a" }, ndots = 1, timeout = 1,
        tries = 1 }
      for name, value in pairs(opts) do
        local e = support.raises({ "state", "no_cares" }, weft.resolver, { [name] = value })
        assert.is_truthy(e.message:find("c-ares", 1, true))
      end
    end))

    -- Closing the loop waits for the threads, which have sockets of libc's meanwhile.
    it("look-ups in the pool can be cancelled and shared", support.outside(function()
      weft.run(function()
        local resolver = weft.resolver()
        local tasks = {}
        for i = 1, 20 do
          tasks[i] = weft.create_task(function()
            return weft.try(resolver.resolve, resolver, (i % 5) .. ".no-such-name.invalid", 80)
          end)
        end
        weft.sleep(0)
        assert.equal(15, resolver:statistics().shared)
        for i = 1, 10 do
          tasks[i]:cancel()
        end
        resolver:close()
        weft.wait(tasks)
        for i = 11, 20 do
          assert.equal("closed", select(2, tasks[i]:await()).kind)
        end
      end)
    end))
  end)
  return
end

-- Runs fn(resolver, server).
local function served(zone, fn, opts, run)
  return (run or support.run)(function()
    dns_server.with(zone, function(server)
      local settings = { servers = { server.address }, timeout = support.slow and 2 or 0.1,
        tries = 1, family = "inet" }
      for key, value in pairs(opts or {}) do
        settings[key] = value
      end
      local resolver = weft.resolver(settings)
      fn(resolver, server)
      resolver:close()
    end)
  end)
end

local ONE = { a = { "192.0.2.1" }, aaaa = { "::1" }, ttl = 10 }

describe("the options of a resolver", function()
  it("that say whom to ask are checked", support.outside(function()
    for _, server in ipairs({ "", "localhost", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536",
      "::1:x", "127.0.0.1,::1", "[::1", "1.2.3" }) do
      support.raises("type", weft.resolver, { servers = { server } })
    end
    support.raises("type", weft.resolver, { servers = {} })
    support.raises("type", weft.resolver, { servers = "127.0.0.1" })
    support.raises("type", weft.resolver, { tries = 0 })
    support.raises("type", weft.resolver, { tries = 101 })
    support.raises("type", weft.resolver, { timeout = 0 })
    support.raises("type", weft.resolver, { timeout = 1e9 })
    support.raises("type", weft.resolver, { search = { "a b" } })
    support.raises("type", weft.resolver, { ndots = -1 })
    for _, server in ipairs({ "127.0.0.1", "127.0.0.1:53", "::1", "[::1]", "[::1]:53" }) do
      weft.resolver({ servers = { server } }):close()
    end
  end))

  it("may name its domains", served({ ["host.inside.test"] = ONE }, function(resolver)
    assert.equal("192.0.2.1", addresses(resolver:resolve("host", 80)))
  end, { search = { "outside.test", "inside.test" } }))

  it("may want both families, or one by each call", support.run(function()
    dns_server.with({ ["*"] = ONE }, function(server)
      local resolver = weft.resolver { servers = { server.address } }
      assert.equal(2, #resolver:resolve("a.test", 80))
      assert.equal("::1", addresses(resolver:resolve("a.test", 80, { family = "inet6" })))
      assert.equal("192.0.2.1", addresses(resolver:resolve("a.test", 80, { family = "inet" })))
    end)
  end))
end)

describe("the cache of a resolver", function()
  it("answers what was asked before, whatever its case", served({ ["*"] = ONE },
    function(resolver, server)
      local first = resolver:resolve("a.test", 80)
      first[1].address = "spoilt"
      local second = resolver:resolve("A.Test", 81)
      assert.equal("192.0.2.1", addresses(second))
      assert.equal(81, second[1].port)
      assert.equal("a.test", second.canonical_name)
      assert.equal(1, server:count())
      assert.same({ entries = 1, hits = 1, misses = 1, shared = 0, pending = 0, evicted = 0 },
        resolver:statistics())
    end))

  it("has an answer for each family", served({ ["*"] = ONE }, function(resolver, server)
    resolver:resolve("a.test", 80)
    assert.equal("::1", addresses(resolver:resolve("a.test", 80, { family = "inet6" })))
    assert.equal(2, server:count())
    assert.equal(2, resolver:statistics().entries)
  end))

  -- The server is gone before time passes, so that the virtual clock jumps: a name that is not
  -- in the cache any more is a failure.
  local function lives(zone, name, seconds, opts)
    return served(zone, function(resolver, server)
      pcall(resolver.resolve, resolver, name, 80)
      local before = resolver:statistics()
      server:close()
      weft.sleep(seconds - 0.01)
      pcall(resolver.resolve, resolver, name, 80)
      assert.equal(before.hits + 1, resolver:statistics().hits)
      weft.sleep(0.02)
      support.raises({ "dns", "ECONNREFUSED" }, resolver.resolve, resolver, name, 80)
      assert.equal(before.misses + 1, resolver:statistics().misses)
    end, opts, support.virtual)
  end

  it("keeps an answer as long as that says", lives({ ["*"] = ONE }, "a.test", 10))

  it("keeps an answer no longer than it may", lives({ ["*"] = { a = { "192.0.2.1" },
    ttl = 86400 } }, "a.test", 300))

  it("keeps an answer no longer than it is told to", lives({ ["*"] = ONE }, "a.test", 4,
    { cache_ttl = 4 }))

  it("keeps for 5 s that there is no such name", lives({}, "a.test", 5))

  it("keeps that as long as it is told to", lives({}, "a.test", 60, { negative_ttl = 60 }))

  it("keeps that there is no such address", lives({ ["*"] = {} }, "a.test", 5))

  local function keeps_none(zone, opts)
    return served(zone, function(resolver, server)
      for _ = 1, 2 do
        pcall(resolver.resolve, resolver, "a.test", 80)
      end
      assert.equal(2, server:count())
      assert.equal(0, resolver:statistics().entries)
    end, opts)
  end

  it("keeps no failure that may pass", keeps_none { ["*"] = { rcode = "SERVFAIL" } })

  it("keeps no answer that is not to be kept", keeps_none { ["*"] = { a = { "192.0.2.1" },
    ttl = 0 } })

  it("may be off", keeps_none({ ["*"] = ONE }, { cache_ttl = 0 }))

  it("may have no room", keeps_none({ ["*"] = ONE }, { cache_size = 0 }))

  it("drops the oldest answer when it is full", served({ ["*"] = ONE }, function(resolver, server)
    for i = 1, 5 do
      resolver:resolve(i .. ".test", 80)
    end
    assert.same({ 3, 2 }, { resolver:statistics().entries, resolver:statistics().evicted })
    for i = 5, 1, -1 do
      resolver:resolve(i .. ".test", 80)
    end
    assert.equal(3, resolver:statistics().hits)
    assert.equal(2, server:count("1.test"))
    assert.equal(1, server:count("3.test"))
  end, { cache_size = 3 }))

  it("can be cleared", served({ ["*"] = ONE }, function(resolver, server)
    for _ = 1, 2 do
      resolver:resolve("a.test", 80)
      resolver:clear()
      assert.equal(0, resolver:statistics().entries)
    end
    assert.equal(2, server:count())
  end))

  it("is not one of all loops", support.outside(function()
    local resolver
    for _ = 1, 2 do
      weft.run(function()
        dns_server.with({ ["*"] = ONE }, function(server)
          resolver = resolver or weft.resolver { servers = { server.address }, tries = 1,
            timeout = 0.05, family = "inet" }
          pcall(resolver.resolve, resolver, "a.test", 80)
          assert.equal(1, resolver:statistics().misses)
        end)
      end)
    end
    resolver:close()
  end))
end)

describe("tasks that want the same name", function()
  -- Runs fn(tasks, gate, server, resolver) with tasks that wait for one name.
  local function waiting(n, fn)
    return support.run(function()
      local gate = weft.event()
      dns_server.with({ ["*"] = { a = { "192.0.2.1" }, gate = gate } }, function(server)
        local resolver = weft.resolver { servers = { server.address }, family = "inet" }
        local tasks = {}
        for i = 1, n do
          tasks[i] = weft.create_task(function()
            return addresses(resolver:resolve("shared.test", i))
          end)
        end
        weft.sleep(0)
        fn(tasks, gate, server, resolver)
        resolver:close()
      end)
    end)
  end

  it("share one look-up", waiting(5, function(tasks, gate, server, resolver)
    gate:set()
    for _, result in ipairs(weft.gather(tasks)) do
      assert.equal("192.0.2.1", result)
    end
    assert.equal(1, server:count())
    assert.equal(4, resolver:statistics().shared)
  end))

  it("do not lose it when one of them is cancelled, be it the first",
    waiting(3, function(tasks, gate, server)
      tasks[1]:cancel()
      weft.sleep(0)
      tasks[3]:cancel()
      weft.sleep(0)
      gate:set()
      assert.equal("192.0.2.1", tasks[2]:await())
      assert.is_true(tasks[1]:cancelled() and tasks[3]:cancelled())
      assert.equal(1, server:count())
    end))

  it("end it when the last of them is cancelled", waiting(3, function(tasks, _, _, resolver)
    assert.equal(1, resolver:statistics().pending)
    for _, task in ipairs(tasks) do
      task:cancel()
    end
    weft.wait(tasks)
    assert.equal(0, resolver:statistics().pending)
  end))

  it("get a new one when the last one gave up in this very turn",
    waiting(1, function(tasks, gate, server, resolver)
      tasks[1]:cancel()
      gate:set()
      assert.equal("192.0.2.1", addresses(resolver:resolve("shared.test", 1)))
      weft.wait(tasks)
      assert.is_true(tasks[1]:cancelled())
      assert.is_true(server:count() >= 1)
      assert.equal(2, resolver:statistics().misses)
    end))

  it("all get its failure", support.run(function()
    dns_server.with({}, function(server)
      local resolver = weft.resolver { servers = { server.address } }
      local tasks = {}
      for i = 1, 3 do
        tasks[i] = weft.create_task(function()
          local e = support.raises({ "dns", "ENOTFOUND" }, resolver.resolve, resolver, "x.test", i)
          return e.port
        end)
      end
      assert.same({ 1, 2, 3, n = 3 }, weft.gather(tasks))
      assert.equal(2, server:count())
    end)
  end))

  it("get `closed` when the resolver is closed", waiting(2, function(tasks, _, _, resolver)
    resolver:close()
    for _, task in ipairs(tasks) do
      support.raises("closed", task.await, task)
    end
  end))

  it("may have a limit of time each", waiting(1, function(tasks, gate, _, resolver)
    support.raises("timeout", weft.timeout, 0.01, resolver.resolve, resolver, "shared.test", 80)
    gate:set()
    assert.equal("192.0.2.1", tasks[1]:await())
  end))
end)

describe("very many names at once", function()
  it("are all found, and a slow one holds up none", support.run(function()
    local gate = weft.event()
    local n = support.rounds(1000)
    dns_server.with(function(name)
      return { a = { "192.0.2.1" }, gate = name:find("^slow") and gate or nil }
    end, function(server)
      local resolver = weft.resolver { servers = { server.address }, family = "inet",
        timeout = 5 }
      local slow = weft.create_task(function()
        return #resolver:resolve("slow.test", 80)
      end)
      local tasks = {}
      for i = 1, n do
        tasks[i] = weft.create_task(function()
          return #resolver:resolve(i .. ".test", 80)
        end)
      end
      assert.equal(n, #weft.gather(tasks))
      assert.is_false(slow:done())
      gate:set()
      assert.equal(1, slow:await())
      assert.equal(n + 1, server:count())
    end)
  end))

  it("leave nothing behind, at whichever wait they are cancelled", support.outside(function()
    testing.cancel_everywhere(function()
      dns_server.with({ ["*"] = ONE }, function(server)
        local resolver = weft.resolver { servers = { server.address }, timeout = 0.5, tries = 1 }
        local ok, e = pcall(weft.task_group, function(group)
          for i = 1, 3 do
            group:create_task(resolver.resolve, resolver, (i % 2) .. ".test", 80)
          end
        end)
        resolver:close()
        if not ok then
          error(e, 0)
        end
      end)
    end)
  end))
end)
