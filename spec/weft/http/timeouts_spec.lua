-- SPDX-License-Identifier: MIT
-- weft.http.timeouts: limits with a name: whose expiry raises what, and which passes through;
-- limits on a rate.

local support = require "spec.support"
local testing = require "weft.testing"
local timeouts = require "weft.http.timeouts"
local weft = require "weft"

local raises, virtual = support.raises, support.virtual

local function now()
  return weft.get_running_loop():time()
end

describe("within", function()
  it("gives what the function returns", virtual(function()
    assert.same({ 1, 2, 3 }, { timeouts.within("pool", "pool", 5, function(...)
      weft.sleep(1)
      return ...
    end, 1, 2, 3) })
    assert.equal("x", timeouts.within("pool", "pool", nil, function() return "x" end))
  end))

  it("names the limit and the phase when it has passed", virtual(function()
    local start = now()
    local e = raises("timeout", timeouts.within, "sock_connect", "connect", 5, weft.sleep, 9)
    assert.same({ "sock_connect", "connect", 5 }, { e.timeout, e.phase, e.seconds })
    assert.equal("timed out after 5 s, connecting (limit: sock_connect)", e.message)
    assert.equal(5, now() - start)
    raises("timeout", timeouts.within, "dns", "dns", 0, weft.sleep, 9)
  end))

  it("takes the phase from a table when it has passed", virtual(function()
    local state = { phase = "dns", progress = function() return ", nothing done" end }
    local e = raises("timeout", timeouts.within, "connect", state, 5, function()
      weft.sleep(2)
      state.phase = "tls"
      weft.sleep(9)
    end)
    assert.equal("tls", e.phase)
    assert.equal("timed out after 5 s, in the TLS handshake, nothing done (limit: connect)",
      e.message)
  end))

  it("lets other limits, cancellations and errors pass", virtual(function()
    local e = raises("timeout", timeouts.within, "connect", "connect", 3, function()
      timeouts.within("dns", "dns", 5, weft.sleep, 9)
    end)
    assert.equal("connect", e.timeout)
    e = raises("timeout", timeouts.within, "connect", "connect", 5, function()
      timeouts.within("dns", "dns", 3, weft.sleep, 9)
    end)
    assert.equal("dns", e.timeout)
    e = raises("timeout", timeouts.within, "connect", "connect", 5, weft.timeout, 1, weft.sleep, 9)
    assert.is_nil(e.phase)
    assert.equal("mine", support.error_of(timeouts.within, "dns", "dns", 5, error, "mine"))
    local task = weft.create_task(timeouts.within, "dns", "dns", 5, weft.sleep, 9)
    testing.wait_all_parked()
    task:cancel()
    raises("cancelled", task.await, task)
  end))

  it("up to a time is shared by several calls", virtual(function()
    local when = now() + 5
    timeouts.by("total", "head", when, 5, weft.sleep, 3)
    local e = raises("timeout", timeouts.by, "total", "body", when, 5, weft.sleep, 3)
    assert.same({ "total", "body", 5 }, { e.timeout, e.phase, e.seconds })
    timeouts.by("total", "body", nil, nil, weft.sleep, 3)
  end))
end)

describe("min_rate", function()
  -- A count that grows by `bytes` every `seconds`, `times` over.
  local function source(bytes, seconds, times)
    local state = { count = 0 }
    state.task = weft.create_task(function()
      for _ = 1, times do
        weft.sleep(seconds)
        state.count = state.count + bytes
      end
    end)
    return state
  end

  local function count(state)
    return state.count
  end

  it("lets what is fast enough take any time", virtual(function()
    local state = source(1000, 5, 100)
    timeouts.rate(150, count, state):within(weft.await, state.task)
    assert.equal(100000, state.count)
  end))

  it("breaks off what is too slow", virtual(function()
    local state = source(1000, 5, 100)
    local e = raises("timeout", function()
      timeouts.rate(300, count, state):within(weft.shield, state.task)
    end)
    assert.same({ "min_rate", "body" }, { e.timeout, e.phase })
    assert.truthy(state.count >= 2000 and state.count <= 6000)
    state.task:cancel()
  end))

  it("breaks off silence after 20 seconds at most, however fast it was", virtual(function()
    local state = source(10 ^ 9, 1, 1)
    local start = now()
    raises("timeout", function()
      timeouts.rate(1, count, state):within(weft.sleep, 1000)
    end)
    assert.truthy(now() - start > 10.9 and now() - start < 20.1)
  end))

  it("does not count the time in which nobody waits", virtual(function()
    local state = source(100, 1, 1000)
    local rate = timeouts.rate(90, count, state)
    for _ = 1, 3 do
      rate:within(weft.sleep, 4)
      state.count = state.count - 60 * 100 -- nothing of this was received
      weft.sleep(60)
    end
    state.task:cancel()
  end))

  it("lets errors pass", virtual(function()
    local rate = timeouts.rate(90, count, { count = 0 })
    assert.equal("mine", support.error_of(rate.within, rate, error, "mine"))
  end))

  it("lets cancellations pass", support.outside(function()
    assert.equal(1, testing.cancel_everywhere(function()
      timeouts.rate(90, count, { count = 0 }):within(weft.sleep, 1)
    end))
  end))
end)

describe("the names of the limits", function()
  it("are checked", function()
    assert.same({ total = 5, pool = false }, timeouts.check({ total = 5, pool = false }, "x"))
    local e = raises({ "type", "unknown_option" }, timeouts.check, { totl = 5 }, "x")
    assert.matches("did you mean 'total'", e.message)
    raises("type", timeouts.check, { total = -1 }, "x")
  end)
end)
