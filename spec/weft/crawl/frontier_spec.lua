-- SPDX-License-Identifier: MIT
-- weft.crawl.frontier: each URL once, in its order, hosts in turn; when it ends; and that it can be
-- gone on with.

local frontier = require "weft.crawl.frontier"
local politeness = require "weft.crawl.politeness"
local support = require "spec.support"
local testing = require "weft.testing"
local weft = require "weft"

local fs = weft.fs

local function time()
  return weft.get_running_loop():time()
end

-- Adds the URLs of a text, one a word; returns the frontier.
local function filled(f, text)
  for address in text:gmatch("%S+") do
    assert(f:add(address))
  end
  return f
end

-- All that comes out, each item being done at once.
local function drained(f)
  local got = {}
  for item in f:iter() do
    got[#got + 1] = item.url
    f:done(item)
  end
  return table.concat(got, " ")
end

describe("weft.crawl.frontier", function()
  it("gives each URL once, however it is spelled", support.run(function()
    local f = frontier.new()
    assert.is_true(f:add("http://a.example/x?b=1&a=2#top"))
    for _, address in ipairs { "http://a.example/x?b=1&a=2", "HTTP://A.example:80/y/../x?a=2&b=1",
      "http://a.example/%78?b=1&a=2#other" } do
      for _ = 1, 2 do
        local added, why = f:add(address)
        assert.is_false(added)
        assert.equal("duplicate", why)
      end
      assert.is_true(f:has(address))
    end
    assert.is_false(f:has("http://a.example/"))
    assert.equal("http://a.example/x?b=1&a=2", drained(f))
    assert.is_true(f:mark("http://a.example/z"))
    assert.is_false(f:mark("http://a.example/z"))
    assert.is_false((f:add(weft.url.parse("http://a.example/z"))))
    assert.is_true(f:add("http://a.example/z", { force = true }))
    assert.equal("Frontier<queued=1 active=0 done=1>", tostring(f))
  end))

  it("says why it does not add", support.run(function()
    local f = frontier.new { max_depth = 2, max_count = 4, max_per_host = 2 }
    local function why(...)
      local added, reason = f:add(...)
      assert.equal(reason == nil, added)
      return reason
    end
    assert.equal("scheme", why("mailto:a@b.example"))
    assert.equal("invalid", why("http://[/"))
    assert.equal("invalid", why("no URL"))
    assert.equal("depth", why("http://a.example/", { depth = 3 }))
    assert.is_nil(why("http://a.example/", { depth = 2 })) -- by a shorter way
    assert.is_nil(why("http://a.example/2"))
    assert.equal("host_count", why("http://a.example/3"))
    assert.is_nil(why("http://b.example/"))
    assert.is_nil(why("http://c.example/"))
    assert.equal("count", why("http://d.example/"))
    assert.equal("duplicate", why("http://a.example/"))
    support.raises({ "type", "unknown_option" }, f.add, f, "http://a.example/", { dept = 1 })
  end))

  it("gives items in the order that it was asked for", support.run(function()
    local text = "http://a/1 http://a/2 http://a/3"
    assert.equal(text, drained(filled(frontier.new(), text)))
    assert.equal("http://a/3 http://a/2 http://a/1",
      drained(filled(frontier.new { order = "depth" }, text)))
    local f = frontier.new { order = "priority" }
    for i, priority in ipairs { 0, 5, 1, 5, -1 } do
      f:add("http://a/" .. i, { priority = priority })
    end
    assert.equal("http://a/2 http://a/4 http://a/3 http://a/1 http://a/5", drained(f))
    support.raises("type", frontier.new, { order = "bredth" })
  end))

  it("gives hosts their turns", support.run(function()
    assert.equal("http://a/1 http://b/1 http://c/1 http://a/2 http://b/2 http://a/3",
      drained(filled(frontier.new(),
        "http://a/1 http://a/2 http://a/3 http://b/1 http://b/2 http://c/1")))
  end))

  it("waits while what is being visited may lead to more, and ends after it",
    support.virtual(function()
      local f = filled(frontier.new(), "http://a/0")
      local got = {}
      weft.task_group(function(group)
        for worker = 1, 3 do
          group:create_task(function()
            for item in f:iter() do
              weft.sleep(1)
              got[#got + 1] = worker
              if item.depth < 3 then
                f:add(item.url .. "0", { depth = item.depth + 1 })
                f:add(item.url .. "1", { depth = item.depth + 1, data = { from = item.url } })
              end
              f:done(item)
            end
          end)
        end
        f:join()
        assert.equal(15, #got)
      end)
      assert.is_true(f:statistics().done == 15)
    end))

  it("ends when it is stopped", support.virtual(function()
    local f = filled(frontier.new(), "http://a/1 http://a/2")
    local item = f:next()
    local task = weft.create_task(function()
      f:next()
      return f:next()
    end)
    weft.yield()
    f:stop()
    assert.is_nil(task:await())
    assert.is_nil(f:next())
    f:done(item)
    assert.equal("Frontier<queued=0 active=1 done=1 stopped>", tostring(f))
  end))

  it("gives an item again, at once or later", support.virtual(function()
    local f = filled(frontier.new(), "http://a/1 http://a/2")
    local item = f:next()
    f:again(item, 10)
    support.raises({ "state", "not_active" }, f.done, f, item)
    assert.equal("http://a/2", f:next().url)
    assert.equal(1, f:qsize())
    local begin = time()
    local same = f:next()
    assert.equal(item, same)
    assert.equal(1, same.attempts)
    assert.is_true(math.abs(time() - begin - 10) < 0.01)
    f:again(item)
    assert.equal(2, f:next().attempts)
  end))

  it("keeps to the limits of hosts, and lets none hold up the others", support.virtual(function()
    local gate = politeness.new { concurrency = 1, delay = 10, jitter = 0 }
    local f = filled(frontier.new { gate = gate }, "http://a/1 http://a/2 http://a/3 http://b/1")
    local begin, log = time(), {}
    weft.task_group(function(group)
      for _ = 1, 4 do
        group:create_task(function()
          for item in f:iter() do
            log[#log + 1] = ("%s@%.0f"):format(item.url, time() - begin)
            weft.sleep(item.host == "a" and 15 or 1)
            gate:release(item.host)
            if item.url == "http://b/1" then
              f:add("http://b/2")
            end
            f:done(item)
          end
        end)
      end
    end)
    assert.equal("http://a/1@0 http://b/1@0 http://b/2@10 http://a/2@15 http://a/3@30",
      table.concat(log, " "))
  end))

  it("can be gone on with from a file", support.run(function()
    fs.temporary_directory(function(dir)
      local path = dir .. "/state"
      local f = frontier.new { max_count = 50, max_per_host = 30 }
      for i = 1, 40 do
        f:add(("http://h%d.example/%d"):format(i % 2, i), { depth = i % 3, data = { n = i } })
      end
      local first, second = f:next(), f:next()
      f:done(first)
      f:again(f:next(), 100)
      f:save(path)
      local g = frontier.load(path, { max_count = 50, max_per_host = 30 })
      assert.same({ added = 40, queued = 39, active = 0, done = 1, hosts = 2 }, g:statistics())
      assert.is_false((g:add(first.url)))
      assert.is_false((g:add(second.url)))
      local found, depth = {}, 0
      for item in g:iter() do
        found[item.data.n] = item.url
        assert.equal(tonumber(item.url:match("%d+$")), item.data.n)
        assert.is_true(item.depth >= depth)
        depth = item.host == "h0.example" and 0 or depth
        g:done(item)
      end
      assert.is_nil(found[1])
      assert.equal(second.url, found[2])
      for i = 1, 10 do
        assert.is_true(g:add("http://h0.example/n" .. i))
      end
      assert.equal("count", select(2, g:add("http://h1.example/n")))
    end)
  end))

  it("refuses a file that is not whole, and says where", support.run(function()
    fs.temporary_directory(function(dir)
      local path = dir .. "/state"
      local f = filled(frontier.new(), "http://a/1 http://a/2")
      f:save(path)
      local text = fs.read_file(path)
      local function broken(with, line)
        fs.write_file(path, with)
        assert.equal(line, support.raises({ "decode", "invalid_state" }, frontier.load, path).line)
      end
      broken("", 1)
      broken("something else\n", 1)
      broken(text:gsub("\nE.*", "\n"), 5)
      broken(text:gsub("\nI[^\n]*", "", 1), 4)
      broken(text:gsub("\nI ", "\nI x", 1), 3)
      broken(text:gsub("\nS %d", "\nS x", 1), 2)
      broken(text:gsub('"url"', '"uri"', 1), 3)
      broken(text .. "I {}\n", 6)
      broken(text:gsub("\nS", "\nX"), 2)
    end)
    support.raises("os", frontier.load, "/nonexistent/state")
  end))

  it("keeps as little of a URL as a number", support.run(function()
    local f = frontier.new()
    local count = 20000
    for i = 1, 20000 do -- as many texts are remembered as ever are
      f:mark("http://a.example/a/path/of/usual/length/" .. i)
    end
    collectgarbage()
    collectgarbage()
    local before = collectgarbage("count")
    for i = 1, count do
      f:mark("http://a.example/another/path/of/usual/length/" .. i)
    end
    collectgarbage()
    collectgarbage()
    assert.is_true((collectgarbage("count") - before) * 1024 / count < 100)
  end))

  it("loses no item to a cancellation", function()
    local f, gate, taken
    testing.cancel_everywhere(function()
      gate = politeness.new { concurrency = 1, delay = 1, jitter = 0 }
      f, taken = filled(frontier.new { gate = gate }, "http://a/1 http://a/2 http://b/1"), 0
      weft.task_group(function(group)
        for _ = 1, 3 do
          group:create_task(function()
            for item in f:iter() do
              taken = taken + 1
              local ok, e = pcall(weft.sleep, 2)
              gate:release(item.host)
              if not ok then
                taken = taken - 1
                f:again(item)
                error(e, 0)
              end
              f:done(item)
            end
          end)
        end
      end)
    end, function()
      if f then
        local s = f:statistics()
        assert.equal(0, s.active)
        assert.equal(3, s.done + s.queued)
        assert.equal(taken, s.done)
        assert.equal(0, gate:statistics().active)
      end
    end, { every_task = true })
  end)
end)
