-- SPDX-License-Identifier: MIT
-- src/net/resolve*.c by the functions of src/bind/l_resolve.c: numeric addresses and names
-- that need no name server, and c-ares against a name server of the specs' own.

local weft = require "weft"
local core = require "weft.core"
local dns_server = require "spec.dns_server"
local support = require "spec.support"

-- A look-up of one name by a channel of its own; returns what core.lookup_answer does.
local function look_up(host, family, settings)
  local channel = core.resolve_new(settings or {})
  local lookup = core.lookup(channel, host, family or 0)
  assert.is_true(core.lookup_wait(lookup))
  return core.lookup_answer(lookup)
end

local function addresses(list)
  local out = {}
  for i, entry in ipairs(assert(list)) do
    out[i] = entry.address
  end
  return table.concat(out, " ")
end

local function error_of(...)
  local list, code, message = look_up(...)
  assert.is_nil(list)
  assert.is_string(message)
  return code
end

describe("a name that needs no name server", function()
  it("may be numeric, of either family", support.run(function()
    assert.equal("192.0.2.7", addresses(look_up("192.0.2.7")))
    assert.equal("2001:db8::1", addresses(look_up("2001:DB8:0::1")))
    assert.equal("ENODATA", error_of("192.0.2.7", 6))
    assert.equal("ENODATA", error_of("::1", 4))
  end))

  it("may have a scope, by name or by number", support.run(function()
    local list = look_up("fe80::1%lo")
    assert.equal("fe80::1%lo", list[1].address)
    assert.is_true(list[1].scope_id > 0)
    assert.equal("fe80::1%lo", addresses(look_up("fe80::1%" .. list[1].scope_id)))
    assert.equal("ENODEV", error_of("fe80::1%no-such-if"))
    assert.equal("ENODEV", error_of("fe80::1%0"))
  end))

  it("may be localhost or below it", support.run(function()
    for _, name in ipairs({ "localhost", "LocalHost.", "a.localhost", "a.b.localhost." }) do
      assert.equal("127.0.0.1 ::1", addresses(look_up(name)))
      assert.equal("127.0.0.1", addresses(look_up(name, 4)))
      assert.equal("::1", addresses(look_up(name, 6)))
    end
  end))

  it("may be one that cannot be", support.run(function()
    local names = { "", ".", "a..b", ".a", "a b", "a\0b", "a:b", "1::2::3", "a/b", "a%b",
      "m\195\188n", ("a"):rep(64) .. ".example", ("a."):rep(127) .. "a", ("x"):rep(100000) }
    for _, name in ipairs(names) do
      assert.equal("EBADNAME", error_of(name), name:sub(1, 20))
    end
  end))

  it("has no time to live", support.run(function()
    local _, ttl, name = look_up("127.0.0.1")
    assert.is_nil(ttl)
    assert.is_nil(name)
  end))
end)

describe("a channel", function()
  it("is no open handle when it is idle, and may be collected", support.run(function()
    local before = weft.statistics().handles
    look_up("127.0.0.1")
    assert.equal(before, weft.statistics().handles)
  end))

  it("can be closed twice, and refuses look-ups then", support.run(function()
    local channel = core.resolve_new({})
    core.resolve_close(channel)
    core.resolve_close(channel)
    support.raises("closed", core.lookup, channel, "127.0.0.1", 0)
    assert.same({ 0, 0 }, { core.resolve_counts(channel) })
  end))

  it("may outlive its loop", support.outside(function()
    local channel
    weft.run(function()
      channel = core.resolve_new({})
    end)
    support.raises("closed", core.lookup, channel, "127.0.0.1", 0)
    core.resolve_close(channel)
  end))
end)

if not core.has_cares then
  describe("without c-ares", function()
    it("/etc/hosts and names that are not there are libc's", support.run(function()
      assert.equal("127.0.0.1", look_up("127.0.0.1")[1].address)
      assert.equal("ENOTFOUND", error_of("no-such-name.invalid"):gsub("ETIMEOUT", "ENOTFOUND"))
    end))

    it("name servers cannot be chosen", support.run(function()
      assert.same({ nil, "ENOTSUP" }, { core.resolve_new({ servers = "127.0.0.1:1" }) })
      assert.same({ nil, "ENOTSUP" }, { core.resolve_new({ ndots = 1 }) })
    end))

    it("the loop may be closed during a look-up", support.outside(function()
      local lookup
      weft.run(function()
        lookup = core.lookup(core.resolve_new({}), "no-such-name.invalid", 0)
        assert.equal("pending", core.lookup_state(lookup))
      end)
    end))
  end)
  return
end

-- What is not answered in this time is asked again.
local TIMEOUT_MS = support.slow and 1000 or 60

-- Runs fn(ask, server), `ask` being look_up at the server.
local function served(zone, fn, more, with_tcp)
  return support.run(function()
    dns_server.with(zone, function(server)
      local settings = { servers = server.address, timeout_ms = TIMEOUT_MS, tries = 2 }
      for key, value in pairs(more or {}) do
        settings[key] = value
      end
      fn(function(host, family)
        return look_up(host, family, settings)
      end, server)
    end, with_tcp)
  end)
end

local function code_of(list, code)
  assert.is_nil(list)
  return code
end

local BOTH = { a = { "192.0.2.1", "192.0.2.2" }, aaaa = { "::1" }, ttl = 7 }

describe("a name server", function()
  it("gives the addresses of both families, or of one, and their time to live",
    served({ ["both.test"] = BOTH }, function(ask, server)
      local list, ttl, name = ask("both.test")
      assert.equal(3, #list)
      assert.equal(7, ttl)
      assert.equal("both.test", name)
      assert.equal("192.0.2.1 192.0.2.2", addresses(ask("both.test", 4)))
      assert.equal(1, server:count("both.test", "AAAA"))
      assert.equal("::1", addresses(ask("Both.Test.", 6)))
      assert.equal(2, server:count("both.test", "A"))
    end))

  it("may have addresses of one family only", served({ ["v4.test"] = { a = { "192.0.2.1" } },
    ["v6.test"] = { aaaa = { "::1" } } }, function(ask)
    assert.equal("192.0.2.1", addresses(ask("v4.test")))
    assert.equal("::1", addresses(ask("v6.test")))
    assert.equal("ENODATA", code_of(ask("v4.test", 6)))
  end))

  it("may not know the name, or have no address for it",
    served({ ["empty.test"] = {} }, function(ask)
      assert.equal("ENOTFOUND", code_of(ask("nowhere.test")))
      assert.equal("ENODATA", code_of(ask("empty.test")))
    end))

  it("may fail, refuse, or not understand", served(function(name)
    return { rcode = name:match("^%a+"):upper() }
  end, function(ask)
    assert.equal("ESERVFAIL", code_of(ask("servfail.test")))
    assert.equal("EREFUSED", code_of(ask("refused.test")))
    assert.equal("ENOTIMP", code_of(ask("notimp.test")))
    assert.equal("EFORMERR", code_of(ask("formerr.test")))
  end))

  it("that fails is passed over for the next one", support.run(function()
    dns_server.with({ ["*"] = { rcode = "SERVFAIL" } }, function(bad)
      dns_server.with({ ["*"] = BOTH }, function(good)
        assert.equal("::1", addresses(look_up("next.test", 6,
          { servers = bad.address .. "," .. good.address })))
        assert.equal(1, bad:count())
      end)
    end)
  end))

  it("leads through a chain of names, whose least time to live counts",
    served({ ["www.test"] = { cname = { "a.test", "b.test" }, cname_ttl = 3, a = { "192.0.2.9" },
      ttl = 50 } }, function(ask)
      local list, ttl, name = ask("www.test", 4)
      assert.equal("192.0.2.9", addresses(list))
      assert.equal(3, ttl)
      assert.equal("b.test", name)
    end))

  it("may give a chain that leads nowhere, or round and round", served({
    ["nowhere.test"] = { cname = { "a.test" } },
    ["round.test"] = { cname = { "a.test", "round.test", "a.test" } } }, function(ask)
    assert.equal("ENODATA", code_of(ask("nowhere.test")))
    assert.equal("ENODATA", code_of(ask("round.test")))
  end))

  it("may not answer: that is a timeout, after all tries",
    served({ ["*"] = { silent = true } }, function(ask, server)
      assert.equal("ETIMEOUT", code_of(ask("silent.test", 4)))
      assert.equal(2, server:count("silent.test"))
    end))

  it("may answer the second time", function()
    local times = 0
    served({ ["*"] = { a = { "192.0.2.1" }, silent = function()
      times = times + 1
      return times == 1
    end } }, function(ask, server)
      assert.equal("192.0.2.1", addresses(ask("late.test", 4)))
      assert.equal(2, server:count("late.test"))
    end)()
  end)

  it("may not be there: refused", support.run(function()
    local endpoint = weft.datagram_endpoint { local_addr = "127.0.0.1:0" }
    local _, port = endpoint:getsockname()
    endpoint:close()
    assert.equal("ECONNREFUSED", error_of("gone.test", 0, { servers = "127.0.0.1:" .. port,
      timeout_ms = 100, tries = 2 }))
  end))

  it("may not be there, and the next one answers", support.run(function()
    local endpoint = weft.datagram_endpoint { local_addr = "127.0.0.1:0" }
    local _, port = endpoint:getsockname()
    endpoint:close()
    dns_server.with({ ["*"] = BOTH }, function(server)
      assert.equal("::1", addresses(look_up("next.test", 6, { timeout_ms = 100, tries = 2,
        servers = ("127.0.0.1:%d,%s"):format(port, server.address) })))
    end)
  end))

  it("is not believed if the number of the query is not ours", served({ ["*"] = {
    a = { "192.0.2.1" }, mangle = function(answer)
      return string.char((answer:byte(1) + 1) % 256) .. answer:sub(2)
    end } }, function(ask)
    assert.equal("ETIMEOUT", code_of(ask("forged.test", 4)))
  end))

  it("is not believed if it answers another question", served({ ["*"] = {
    a = { "192.0.2.1" }, mangle = function(answer, query)
      local other = query:gsub("asked", "other")
      return dns_server.encode(other, { a = { "192.0.2.66" } })
        , answer
    end } }, function(ask)
    assert.equal("ETIMEOUT", code_of(ask("asked.test", 4)))
  end))

  it("may send garbage before the answer", served({ ["*"] = { a = { "192.0.2.1" },
    mangle = function(answer)
      return { "", "x", ("\255"):rep(12), ("\0"):rep(600), answer:sub(1, 12), answer }
    end } }, function(ask)
    local list, code = ask("garbage.test", 4)
    if list then
      assert.equal("192.0.2.1", addresses(list))
    else
      assert.equal("EBADRESP", code)
    end
  end))

  it("may send nothing but garbage with our number", served(function(name)
    local cut = tonumber(name:match("^%d+"))
    return { a = { "192.0.2.1" }, mangle = function(answer)
      return answer:sub(1, -1 - cut)
    end }
  end, function(ask)
    for cut = 1, 34, 3 do
      local code = code_of(ask(cut .. ".cut.test", 4))
      assert.is_truthy(("EBADRESP ETIMEOUT ENODATA"):find(code, 1, true), code)
    end
  end))

  it("may point the names of its answer at themselves", served({ ["*"] = { a = { "192.0.2.1" },
    mangle = function(answer, query)
      return answer:sub(1, #query) .. "\192" .. string.char(#query)
        .. answer:sub(-14)
    end } }, function(ask)
    local code = code_of(ask("loop.test", 4))
    assert.is_truthy(("EBADRESP ETIMEOUT ENODATA"):find(code, 1, true), code)
  end))

  it("may cut its answer, and not be there by TCP", served({ ["*"] = { a = { "192.0.2.1" },
    mangle = dns_server.truncated } }, function(ask)
    local code = code_of(ask("cut.test", 4))
    assert.is_truthy(("ECONNREFUSED ETIMEOUT"):find(code, 1, true), code)
  end))

  it("may send more than fits into a datagram of DNS: that is to be had by TCP alone",
    served({ ["*"] = { a = { "192.0.2.1" }, mangle = function(answer)
      return answer .. ("\0"):rep(60000)
    end } }, function(ask, server)
      assert.equal("ECONNREFUSED", code_of(ask("huge.test", 4)))
      assert.equal(1, server:count())
    end))

  it("is asked in the domains to search in, by the number of dots",
    served({ ["host.one.test"] = { a = { "192.0.2.1" } },
      ["a.b.two.test"] = { a = { "192.0.2.2" } } }, function(ask, server)
        assert.equal("192.0.2.1", addresses(ask("host", 4)))
        assert.equal(0, server:count("host"))
        assert.equal("192.0.2.2", addresses(ask("a.b", 4)))
        assert.equal(1, server:count("a.b.one.test"))
        assert.equal("ENOTFOUND", code_of(ask("host.", 4)))
        assert.equal(1, server:count("host"))
      end, { search = { "one.test", "two.test" }, ndots = 2 }))
end)

describe("a name server with TCP", function()
  -- As `served`, the answers by UDP being cut.
  local function by_tcp(answer, fn)
    answer.mangle = dns_server.truncated
    return served({ ["*"] = answer }, function(ask, server)
      fn(ask, server)
      assert.equal(true, server.queries[#server.queries].tcp)
    end, nil, true)
  end

  local function many(n)
    local list = {}
    for i = 1, n do
      list[i] = "10.1.0." .. i
    end
    return list
  end

  it("is asked by it when the answer was cut", by_tcp({ a = { "192.0.2.1" }, ttl = 9 },
    function(ask, server)
      local list, ttl = ask("cut.test", 4)
      assert.equal("192.0.2.1", addresses(list))
      assert.equal(9, ttl)
      assert.equal(2, server:count())
    end))

  it("may have very many addresses: the first 128 count", by_tcp({ a = many(200) },
    function(ask)
      assert.equal(128, #ask("huge.test", 4))
    end))

  it("may answer in small pieces", by_tcp({ a = many(100), tcp = function(stream, answer)
    for at = 1, #answer, 100 do
      stream:write(answer:sub(at, at + 99))
      weft.sleep(0)
    end
  end }, function(ask)
    assert.equal(100, #ask("pieces.test", 4))
  end))

  it("may hang up in the middle", by_tcp({ a = many(100), tcp = function(stream, answer)
    stream:write(answer:sub(1, 500))
    stream:close()
  end }, function(ask)
    local code = code_of(ask("half.test", 4))
    assert.is_truthy(("ECONNREFUSED ETIMEOUT"):find(code, 1, true), code)
  end))

  it("may fall silent", by_tcp({ a = many(100), tcp = function(stream, answer)
    stream:write(answer:sub(1, 500))
    weft.try(stream.read_exactly, stream, 1)
  end }, function(ask)
    assert.equal("ETIMEOUT", code_of(ask("silent.test", 4)))
  end))
end)

describe("a look-up", function()
  it("holds up no other: a name that is slow, and one that is not", support.run(function()
    local gate = weft.event()
    dns_server.with({ ["slow.test"] = { a = { "192.0.2.1" }, gate = gate }, ["fast.test"] = BOTH },
      function(server)
        local channel = core.resolve_new({ servers = server.address })
        local slow = core.lookup(channel, "slow.test", 4)
        local fast = core.lookup(channel, "fast.test", 4)
        core.lookup_wait(fast)
        assert.equal("pending", core.lookup_state(slow))
        gate:set()
        core.lookup_wait(slow)
        assert.equal("192.0.2.1", addresses(core.lookup_answer(slow)))
      end)
  end))

  it("wakes all that wait for it", support.run(function()
    dns_server.with({ ["*"] = BOTH }, function(server)
      local lookup = core.lookup(core.resolve_new({ servers = server.address }), "all.test", 0)
      local tasks = {}
      for i = 1, 10 do
        tasks[i] = weft.create_task(function()
          core.lookup_wait(lookup)
          return #core.lookup_answer(lookup)
        end)
      end
      for _, n in ipairs(weft.gather(tasks)) do
        assert.equal(3, n)
      end
      assert.equal(2, server:count())
    end)
  end))

  it("ends with the last that waits, and its sockets with it", support.run(function()
    dns_server.with({ ["*"] = { silent = true } }, function(server)
      local before = weft.statistics().handles
      local descriptors = #core.descriptors()
      local channel = core.resolve_new({ servers = server.address })
      local lookup = core.lookup(channel, "silent.test", 0)
      local function wait()
        core.lookup_wait(lookup)
      end
      local one, two = weft.create_task(wait), weft.create_task(wait)
      weft.sleep(0)
      one:cancel()
      weft.sleep(0)
      assert.equal("pending", core.lookup_state(lookup))
      assert.is_true(#core.descriptors() > descriptors)
      two:cancel()
      assert.equal("cancelled", core.lookup_state(lookup))
      assert.equal(descriptors, #core.descriptors())
      assert.same({ 0, 0 }, { core.resolve_counts(channel) })
      weft.wait({ one, two })
      weft.sleep(0.001)
      assert.equal(before, weft.statistics().handles)
    end)
  end))

  it("that was forgotten does not end the others", support.run(function()
    local gate = weft.event()
    dns_server.with({ ["*"] = { a = { "192.0.2.1" }, gate = gate } }, function(server)
      local channel = core.resolve_new({ servers = server.address })
      local tasks = {}
      for i = 1, 5 do
        tasks[i] = weft.create_task(function()
          local lookup = core.lookup(channel, i .. ".test", 4)
          return core.lookup_wait(lookup) and addresses(core.lookup_answer(lookup))
        end)
      end
      weft.sleep(0)
      for i = 2, 5 do
        tasks[i]:cancel()
      end
      gate:set()
      assert.equal("192.0.2.1", tasks[1]:await())
      weft.wait(tasks)
      assert.equal(0, core.resolve_counts(channel))
    end)
  end))

  it("ends with ECLOSED when the channel is closed", support.run(function()
    dns_server.with({ ["*"] = { silent = true } }, function(server)
      local channel = core.resolve_new({ servers = server.address })
      local lookup = core.lookup(channel, "silent.test", 0)
      local task = weft.create_task(function()
        core.lookup_wait(lookup)
        return select(2, core.lookup_answer(lookup))
      end)
      weft.sleep(0)
      core.resolve_close(channel)
      assert.equal("ECLOSED", task:await())
    end)
  end))

  it("may be under way when its loop is closed", support.outside(function()
    local lookup, channel
    weft.run(function()
      local server = dns_server.start({ ["*"] = { silent = true } })
      channel = core.resolve_new({ servers = server.address })
      lookup = core.lookup(channel, "silent.test", 0)
      weft.create_task(function()
        core.lookup_wait(lookup)
      end)
      core.lookup(channel, "nobody.waits.test", 0)
      weft.sleep(0)
    end)
    assert.equal("cancelled", core.lookup_state(lookup))
    core.resolve_close(channel)
  end))

  it("may be collected in the middle", support.run(function()
    dns_server.with({ ["*"] = { silent = true } }, function(server)
      local channel = core.resolve_new({ servers = server.address })
      for i = 1, 10 do
        core.lookup(channel, i .. ".test", 0)
      end
      assert.is_true(core.resolve_counts(channel) == 10)
      collectgarbage()
      collectgarbage()
      assert.equal(0, core.resolve_counts(channel))
    end)
  end))

  it("waits for its turn when very many start at once, and may be cancelled there",
    support.run(function()
      dns_server.with({ ["*"] = { a = { "192.0.2.1" } } }, function(server)
        local channel = core.resolve_new({ servers = server.address })
        local tasks, good = {}, 0
        for i = 1, 300 do
          tasks[i] = weft.create_task(function()
            local lookup = core.lookup(channel, i .. ".test", 4)
            if core.lookup_wait(lookup) and core.lookup_answer(lookup) then
              good = good + 1
            end
          end)
        end
        weft.sleep(0)
        local asked, waiting = core.resolve_counts(channel)
        assert.equal(300, asked + waiting)
        assert.is_true(asked <= 128)
        for i = 290, 300 do
          tasks[i]:cancel()
        end
        assert.equal(waiting - 11, select(2, core.resolve_counts(channel)))
        weft.wait(tasks)
        assert.equal(289, good)
      end)
    end))

  it("survives each failure of memory", support.run(function()
    dns_server.with({ ["*"] = BOTH }, function(server)
      local testing = require "weft.testing"
      for n = 1, 12 do
        local channel = core.resolve_new({ servers = server.address, timeout_ms = 50, tries = 1 })
        testing.fail_allocation(n, function()
          local lookup = core.lookup(channel, "memory.test", 0)
          core.lookup_wait(lookup)
          core.lookup_answer(lookup)
        end)
        core.resolve_close(channel)
      end
    end)
  end))
end)

describe("/etc/hosts", function()
  it("comes before the name servers", support.run(function()
    local known
    local file = io.open("/etc/hosts") -- a container may have none: "localhost" is known anyway
    for line in file and file:lines() or function() end do
      local address, name = line:match("^(%d+%.%d+%.%d+%.%d+)%s+([%w-]+)")
      known = known or name and not name:find("localhost", 1, true) and { address, name }
    end
    if file then
      file:close()
    end
    known = known or { "127.0.0.1", "localhost" }
    dns_server.with({}, function(server)
      local list, ttl = look_up(known[2], 4, { servers = server.address })
      assert.is_truthy(addresses(list):find(known[1], 1, true))
      assert.is_nil(ttl)
      assert.equal(0, server:count())
    end)
  end))
end)
