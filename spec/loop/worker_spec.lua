-- SPDX-License-Identifier: MIT
-- src/loop/worker.c, work.c, message.c: threads and loop at once, in a program of its own with
-- the thread sanitizer where there is one. What tasks see of it is in spec/weft/thread_spec.lua.

local cc = require "spec.c.cc"
local support = require "spec.support"

-- Calls of all kinds and fates, in a loop that is closed while some are under way.
local SCRIPT = [[
local number, round = ...
local weft = require "weft"

local function busy(seconds, value)
  local start = os.clock()
  while os.clock() - start < seconds do end
  return value, { value }
end

local function fails(value)
  error({ value })
end

weft.run(function()
  weft.thread_limit(3)
  local jobs = {}
  for i = 1, 40 do
    jobs[i] = weft.create_task(function()
      local kind = i % 5
      if kind == 0 then
        local ok, e = pcall(weft.run_in_thread, fails, i)
        assert(not ok and e.value[1] == i, tostring(e))
      elseif kind == 1 then
        pcall(weft.timeout, 0.0005 * (i % 7), weft.run_in_thread, busy, 0.001, i)
      elseif kind == 2 then
        assert(not pcall(weft.run_in_thread, "string.rep", print))
      else
        local x, t = weft.run_in_thread(busy, 0.0001, i)
        assert(x == i and t[1] == i)
      end
      weft.thread_statistics()
    end)
  end
  for i = 1, 40 do
    if i % 9 == 0 then
      jobs[i]:cancel()
    end
  end
  for i = 1, 40 do
    local ok, e = pcall(weft.await, jobs[i])
    assert(ok or weft.is_error(e, "cancelled"), tostring(e))
  end
  for i = 1, 5 do -- left to the closing of the loop
    weft.create_task(function() weft.run_in_thread(busy, 0.002 * number, i) end)
  end
  weft.sleep(0)
end)
]]

describe("threads of loops", function()
  it("touch nothing at once", function()
    local path = os.tmpname()
    local file = assert(io.open(path, "w"))
    file:write(SCRIPT)
    file:close()
    local output, status = cc.run(cc.host("states"), ("2 %d %s"):format(support.rounds(5),
      support.quote(path)))
    os.remove(path)
    assert.same({ "", 0 }, { output, status })
  end)
end)
