-- SPDX-License-Identifier: MIT
-- weft.crawl.politeness: how many at once, how long after one another, in which order; and that
-- a cancelled wait costs nobody anything.

local politeness = require "weft.crawl.politeness"
local support = require "spec.support"
local testing = require "weft.testing"
local weft = require "weft"

local function time()
  return weft.get_running_loop():time()
end

local function about(expected, got)
  assert.is_true(math.abs(expected - got) < 0.01, ("%s instead of %s"):format(got, expected))
end

-- The seconds after which each of n requests to a host began, each taking `length`.
local function starts_of(polite, n, length, host)
  local begin, starts = time(), {}
  local function request()
    starts[#starts + 1] = time() - begin
    weft.sleep(length)
  end
  weft.task_group(function(group)
    for _ = 1, n do
      group:create_task(polite.with, polite, host or "a", request)
    end
  end)
  return starts
end

describe("weft.crawl.politeness", function()
  it("lets a host have so many requests at once", support.virtual(function()
    local starts = starts_of(politeness.new { concurrency = 2 }, 6, 10)
    for i, expected in ipairs { 0, 0, 10, 10, 20, 20 } do
      about(expected, starts[i])
    end
  end))

  it("lets a delay pass between two beginnings, more or less its jitter", support.virtual(function()
    local starts = starts_of(politeness.new { delay = 2, jitter = 0 }, 4, 0)
    for i, expected in ipairs { 0, 2, 4, 6 } do
      about(expected, starts[i])
    end
    local values, i = { 0, 1, 0.5 }, 0
    starts = starts_of(politeness.new { delay = 2, jitter = 0.5, random = function()
      i = i % 3 + 1
      return values[i]
    end }, 4, 0)
    for n, expected in ipairs { 0, 1, 4, 6 } do
      about(expected, starts[n])
    end
  end))

  it("does not have one host wait for another", support.virtual(function()
    local polite = politeness.new { concurrency = 1 }
    polite:acquire("a")
    polite:acquire("b")
    assert.equal("Politeness<hosts=2 active=2 waiting=0>", tostring(polite))
    polite:release("a")
    polite:release("b")
  end))

  it("serves those who wait in their order, and lets nobody overtake", support.virtual(function()
    local polite, order = politeness.new { concurrency = 1, delay = 1, jitter = 0 }, {}
    polite:acquire("a")
    local tasks = {}
    for i = 1, 4 do
      tasks[i] = weft.create_task(function()
        polite:acquire("a")
        order[#order + 1] = i
        polite:release("a")
      end)
    end
    weft.yield()
    assert.equal(4, polite:statistics().waiting)
    polite:release("a")
    assert.is_false((polite:try_acquire("a")))
    weft.gather(tasks)
    assert.same({ 1, 2, 3, 4 }, order)
  end))

  it("says when it is worth trying again", support.virtual(function()
    local polite, freed = politeness.new { concurrency = 2, delay = 3, jitter = 0 }, {}
    polite:on_free(function(host)
      freed[#freed + 1] = host
    end)
    assert.is_true(polite:try_acquire("a"))
    local ok, seconds = polite:try_acquire("a")
    assert.is_false(ok)
    about(3, seconds)
    weft.sleep(3)
    assert.is_true(polite:try_acquire("a"))
    ok, seconds = polite:try_acquire("a")
    assert.is_false(ok)
    assert.is_nil(seconds)
    polite:release("a")
    assert.same({ "a" }, freed)
    polite:release("a")
  end))

  it("tells those who only tried when the last who waited has given up", support.virtual(function()
    local polite, freed = politeness.new { concurrency = 1 }, 0
    polite:on_free(function()
      freed = freed + 1
    end)
    polite:acquire("a")
    local task = weft.create_task(polite.acquire, polite, "a")
    weft.yield()
    assert.is_false((polite:try_acquire("a")))
    task:cancel()
    weft.try(task.await, task)
    assert.equal(1, freed)
    polite:release("a")
  end))

  it("has a host wait as long as it asked for, within bounds", support.virtual(function()
    local polite = politeness.new { delay = 1, jitter = 0, max_delay = 10 }
    for asked, expected in pairs { [0.5] = 1, [5] = 5, [1000] = 10 } do
      local host = tostring(asked)
      polite:set_delay(host, asked)
      about(expected, starts_of(polite, 2, 0, host)[2])
    end
    polite:set_delay("a", nil)
    about(1, starts_of(polite, 2, 0, "a")[2])
  end))

  it("pauses when asked to, and takes back a request that was none", support.virtual(function()
    local polite = politeness.new { delay = 1, jitter = 0 }
    polite:acquire("a")
    polite:release("a", { pause = 7 })
    local begin = time()
    polite:acquire("a")
    about(7, time() - begin)
    polite:release("a", { unused = true })
    assert.is_true(polite:try_acquire("a"))
    polite:release("a")
    assert.is_false((polite:try_acquire("a")))
  end))

  it("forgets hosts that were not visited for a while", support.virtual(function()
    local polite = politeness.new { idle = 10 }
    polite:acquire("busy")
    for i = 1, 1000 do
      polite:with("h" .. i, weft.sleep, 1)
    end
    assert.is_true(polite:statistics().hosts < 130)
    assert.equal(1, polite:statistics().active)
    polite:release("busy")
  end))

  it("refuses a release too many", support.virtual(function()
    local polite = politeness.new()
    support.raises({ "state", "over_release" }, polite.release, polite, "a")
    polite:acquire("a")
    polite:release("a")
    support.raises({ "state", "over_release" }, polite.release, polite, "a")
    support.raises("type", politeness.new, { jitter = 2 })
    support.raises({ "type", "unknown_option" }, politeness.new, { delays = 2 })
    support.raises("state", function()
      polite:with("a", error, weft.Error { kind = "state", message = "x" })
    end)
    assert.equal(0, polite:statistics().active)
  end))

  it("loses no place to a cancellation", function()
    for _, delay in ipairs { 0, 2 } do
      local polite
      testing.cancel_everywhere(function()
        polite = politeness.new { concurrency = 1, delay = delay, jitter = 0 }
        starts_of(polite, 4, 1)
      end, function()
        assert.equal("Politeness<hosts=1 active=0 waiting=0>", tostring(polite))
        polite:with("a", weft.sleep, 1)
      end, { every_task = true })
    end
  end)
end)
