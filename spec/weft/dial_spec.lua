-- SPDX-License-Identifier: MIT
-- lua/weft/dial.lua: which addresses are tried when, with attempts that are told how to end
-- and a clock that need not be waited for.

local weft = require "weft"
local dial = require "weft.dial"
local support = require "spec.support"
local testing = require "weft.testing"

local function address(text)
  return { family = text:find(":", 1, true) and "inet6" or "inet", address = text, port = 80 }
end

local function list_of(text)
  local list = {}
  for word in text:gmatch("%S+") do
    list[#list + 1] = address(word)
  end
  return list
end

local function now()
  return weft.get_running_loop():time()
end

-- What attempts do: `plan` maps an address to the seconds after which it succeeds (a number),
-- or fails ({seconds, code}); what is not there never ends. `log` has "start", "end" and
-- "close" with address and time.
local function player(plan)
  local self = { log = {}, open = 0, running = 0 }
  local began = now()
  local function note(what, name)
    self.log[#self.log + 1] = ("%s %s %g"):format(what, name, math.floor((now() - began) * 1000
      + 0.5) / 1000)
  end
  local function body(name)
    local step = plan[name]
    if step == nil then
      weft.sleep(math.huge)
    elseif type(step) == "table" then
      weft.sleep(step[1])
      error(weft.Error { kind = "connection", message = "no", code = step[2] }, 0)
    end
    weft.sleep(step)
    self.open = self.open + 1
    local connection = { name = name }
    function connection.close(c)
      assert(not c.is_closed, "closed twice")
      c.is_closed = true
      self.open = self.open - 1
      note("close", name)
    end
    return connection
  end
  function self.attempt(where)
    note("start", where.address)
    self.running = self.running + 1
    return weft.finally(function()
      return body(where.address)
    end, function()
      self.running = self.running - 1
      note("end", where.address)
    end)
  end
  return self
end

local function names(list)
  local out = {}
  for i, entry in ipairs(list) do
    out[i] = entry.address
  end
  return table.concat(out, " ")
end

describe("interleave", function()
  it("lets the families take turns, that of the first address first", function()
    local cases = {
      { "::1 ::2 ::3 1.1.1.1 2.2.2.2", "::1 1.1.1.1 ::2 2.2.2.2 ::3" },
      { "1.1.1.1 ::1 ::2 ::3", "1.1.1.1 ::1 ::2 ::3" },
      { "1.1.1.1 2.2.2.2 ::1", "1.1.1.1 ::1 2.2.2.2" },
      { "1.1.1.1 2.2.2.2 3.3.3.3 4.4.4.4 ::1", "1.1.1.1 ::1 2.2.2.2 3.3.3.3 4.4.4.4" },
      { "::1", "::1" }, { "", "" },
    }
    for _, case in ipairs(cases) do
      assert.equal(case[2], names(dial.interleave(list_of(case[1]))))
    end
  end)
end)

describe("dial", function()
  it("returns the first connection and its address", support.virtual(function()
    local p = player { ["::1"] = 0.1 }
    local connection, where = dial.dial(list_of("::1 1.1.1.1"), p.attempt)
    assert.equal("::1", connection.name)
    assert.equal("::1", where.address)
    assert.same({ "start ::1 0", "end ::1 0.1" }, p.log)
    assert.equal(1, p.open)
  end))

  it("starts the next attempt after 250 ms, and ends the losers", support.virtual(function()
    local p = player { ["1.1.1.1"] = 0.1 }
    local connection = dial.dial(list_of("::1 ::2 1.1.1.1 2.2.2.2"), p.attempt)
    assert.equal("1.1.1.1", connection.name)
    assert.same({ "start ::1 0", "start 1.1.1.1 0.25", "end 1.1.1.1 0.35", "end ::1 0.35" }, p.log)
    assert.equal(0, p.running)
  end))

  it("starts the next attempt at once when one fails", support.virtual(function()
    local p = player { ["::1"] = { 0.05, "ECONNREFUSED" }, ["::2"] = 0.3, ["1.1.1.1"] = { 0, "X" } }
    assert.equal("::2", dial.dial(list_of("::1 1.1.1.1 ::2 2.2.2.2"), p.attempt).name)
    assert.same({ "start ::1 0", "end ::1 0.05", "start 1.1.1.1 0.05", "end 1.1.1.1 0.05",
      "start ::2 0.05", "start 2.2.2.2 0.3", "end ::2 0.35", "end 2.2.2.2 0.35" }, p.log)
  end))

  it("counts the delay from the last start", support.virtual(function()
    local p = player { ["::1"] = { 0.2, "X" } }
    local ok = pcall(weft.timeout, 1, dial.dial, list_of("::1 ::2 ::3"), p.attempt)
    assert.is_false(ok)
    assert.same({ "start ::1 0", "end ::1 0.2", "start ::2 0.2", "start ::3 0.45", "end ::2 1",
      "end ::3 1" }, p.log)
  end))

  it("takes another delay", support.virtual(function()
    local p = player { ["::2"] = 1 }
    dial.dial(list_of("::1 ::2"), p.attempt, { delay = 3 })
    assert.same({ "start ::1 0", "start ::2 3", "end ::2 4", "end ::1 4" }, p.log)
    p = player { ["::3"] = 1 }
    dial.dial(list_of("::1 ::2 ::3"), p.attempt, { delay = 0 })
    assert.same({ "start ::1 0", "start ::2 0", "start ::3 0" }, { p.log[1], p.log[2], p.log[3] })
  end))

  it("waits for the last attempt without a limit of its own", support.virtual(function()
    local p = player { ["::2"] = 1000 }
    assert.equal("::2", dial.dial(list_of("::1 ::2"), p.attempt).name)
  end))

  it("closes a connection made in the turn in which another won", support.virtual(function()
    local p = player { ["::1"] = 0.5, ["::2"] = 0.25 }
    local connection = dial.dial(list_of("::1 ::2"), p.attempt)
    assert.equal(1, p.open)
    local other = connection.name == "::1" and "::2" or "::1"
    assert.equal(("close %s 0.5"):format(other), p.log[#p.log])
    assert.is_nil(connection.is_closed)
  end))

  it("closes a connection that a loser makes in spite of its end", support.virtual(function()
    local closed
    local connection = dial.dial(list_of("::1 ::2"), function(where)
      if where.address == "::1" then
        pcall(weft.sleep, 100)
        return { close = function() closed = true end }
      end
      return { name = "winner", close = function() error("the winner was closed") end }
    end)
    assert.equal("winner", connection.name)
    assert.is_true(closed)
  end))

  it("raises one error with all failures when all have failed", support.virtual(function()
    local p = player { ["::1"] = { 1, "ECONNREFUSED" }, ["1.1.1.1"] = { 0.1, "ECONNREFUSED" } }
    local e = support.raises({ "connection", "ECONNREFUSED" }, dial.dial,
      list_of("::1 1.1.1.1"), p.attempt, { host = "example.test" })
    assert.equal("example.test", e.host)
    assert.equal(80, e.port)
    assert.equal("connect", e.phase)
    assert.equal(2, #e.errors)
    assert.equal("::1", e.errors[1].address)
    assert.equal("1.1.1.1", e.errors[2].address)
    assert.equal(80, e.errors[2].port)
    assert.is_truthy(tostring(e):find("example.test", 1, true))
    assert.is_truthy(tostring(e):find("::1", 1, true))
    assert.equal(0, p.open)
  end))

  it("has no code when the failures differ", support.virtual(function()
    local p = player { ["::1"] = { 1, "ECONNREFUSED" }, ["::2"] = { 1, "ETIMEDOUT" } }
    assert.is_nil(support.raises("connection", dial.dial, list_of("::1 ::2"), p.attempt).code)
  end))

  it("counts whatever an attempt raises as its failure", support.virtual(function()
    local e = support.raises("connection", dial.dial, list_of("::1 ::2 ::3"), function(where)
      if where.address == "::1" then
        error("a string", 0)
      elseif where.address == "::2" then
        weft.current_task():cancel()
        weft.sleep(1)
      end
      error({}, 0)
    end)
    assert.equal("raised", e.errors[1].kind)
    assert.equal("a string", e.errors[1].message)
    assert.equal("cancelled", e.errors[2].kind)
    assert.equal("raised", e.errors[3].kind)
  end))

  it("ends all attempts when it is cancelled or its time is up", support.virtual(function()
    local p = player {}
    support.raises("timeout", weft.timeout, 0.6, dial.dial, list_of("::1 ::2 ::3"), p.attempt)
    assert.equal(0, p.running)
    local task = weft.create_task(dial.dial, list_of("::1 ::2 ::3"), p.attempt)
    weft.sleep(0.3)
    assert.equal(2, p.running)
    task:cancel()
    weft.wait({ task })
    assert.is_true(task:cancelled())
    assert.equal(0, p.running)
  end))

  it("waits for the end of attempts that take their time to end", support.virtual(function()
    local ended = 0
    support.raises("timeout", weft.timeout, 0.6, dial.dial, list_of("::1 ::2"), function()
      weft.finally(function()
        weft.sleep(100)
      end, function()
        weft.sleep(1)
        ended = ended + 1
      end)
    end)
    assert.equal(2, ended)
  end))

  it("leaves nothing behind, at whichever wait it is cancelled", support.outside(function()
    local p
    local function check()
      assert.equal(0, p.running)
      assert.equal(0, p.open)
    end
    for _, plan in ipairs({ {}, { ["::1"] = 0.5, ["::2"] = 0.25 }, { ["::1"] = { 0.1, "X" },
      ["::2"] = { 0.1, "X" }, ["1.1.1.1"] = 0.3 } }) do
      local function body()
        p = player(plan)
        local list = list_of("::1 ::2 1.1.1.1")
        local ok, connection = pcall(weft.timeout, 2, dial.dial, list, p.attempt)
        if ok then
          connection:close()
        elseif not weft.is_error(connection, "timeout") then
          error(connection, 0)
        end
      end
      assert.is_true(testing.cancel_everywhere(body, check) >= 2)
      testing.cancel_everywhere(function()
        local ok, e = pcall(body)
        assert(ok or weft.is_error(e, "cancelled") or weft.is_error(e, "connection"), tostring(e))
      end, check, { every_task = true })
    end
  end))

  it("refuses what cannot be", support.run(function()
    support.raises("type", dial.dial, {}, print)
    support.raises("type", dial.dial, list_of("::1"), 1)
    support.raises("type", dial.dial, nil, print)
    support.raises({ "type", "unknown_option" }, dial.dial, list_of("::1"), print, { dela = 1 })
    support.raises("type", dial.dial, list_of("::1"), print, { delay = -1 })
  end))

  it("needs a task", support.outside(function()
    support.raises("state", dial.dial, list_of("::1"), print)
  end))
end)
