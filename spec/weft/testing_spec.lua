-- SPDX-License-Identifier: MIT
-- weft.testing: the virtual clock, the leak guard, cancellation at every wait.

local weft = require "weft"
local support = require "spec.support"
local testing = require "weft.testing"

describe("weft.testing", function()
  it("lets hours pass at once in a virtual clock", support.virtual(function()
    local loop = weft.get_running_loop()
    local start, real = loop:time(), os.time()
    weft.sleep(3600)
    assert.near(3600, loop:time() - start, 1e-6)
    assert.is_true(os.time() - real < 60)
  end))

  it("finds a task that was left behind", function()
    local e = support.raises({ "state", "leak" }, weft.run, function()
      testing.leaks(function()
        weft.create_task(function() weft.sleep(100) end)
      end)
    end)
    assert.matches("a task has not ended: Task<pending name=Task%-2 at .*testing_spec.lua:%d+>",
      e.message)
  end)

  it("cancels at each wait in turn", function()
    local sem = weft.semaphore(1)
    local runs = testing.cancel_everywhere(function()
      sem:with(function()
        weft.sleep(1)
        weft.sleep(2)
      end)
    end, function()
      assert.equal(1, sem:statistics().free)
    end)
    assert.equal(2, runs)
  end)

  it("reports a wait whose cancellation leaks", function()
    local lock = weft.lock()
    support.raises({ "state", "leak" }, testing.cancel_everywhere, function()
      lock:acquire()
      weft.sleep(1)
      lock:release()
    end, function()
      assert(not lock:locked(), "the lock is held")
    end)
  end)
end)
