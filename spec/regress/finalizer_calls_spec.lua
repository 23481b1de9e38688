-- SPDX-License-Identifier: MIT
-- A finalizer that scheduled a call crashed the process when the collector ran it while the loop
-- made a thread: it ran on the stack of the loop's own coroutine.

local support = require "spec.support"
local weft = require "weft"

local newproxy = rawget(_G, "newproxy")

local function with_finalizer(fn)
  if newproxy then
    getmetatable(newproxy(true)).__gc = fn
  else
    setmetatable({}, { __gc = fn })
  end
end

describe("a finalizer", function()
  it("can schedule calls whenever it runs", support.run(function()
    local loop = weft.get_running_loop()
    local called, finalized = 0, 0
    collectgarbage("setpause", 50)
    for _ = 1, support.rounds(100) do
      local tasks = {}
      for i = 1, 100 do
        with_finalizer(function()
          finalized = finalized + 1
          loop:call_soon(function() called = called + 1 end)
        end)
        tasks[i] = weft.create_task(weft.sleep, 0)
      end
      weft.wait(tasks)
    end
    collectgarbage("setpause", 200)
    collectgarbage()
    collectgarbage()
    weft.sleep(0)
    weft.sleep(0)
    assert.equal(finalized, called)
    assert.truthy(called > 0)
  end))
end)
