-- SPDX-License-Identifier: MIT
-- A session under all faults of bench/http/soak_server.lua, with cancellations at random: each
-- response is its own request's, each failure one that the fault explains, and nothing is left.

local support = require "spec.support"

local client = dofile("bench/http/soak_client.lua")
local server = dofile("bench/http/soak_server.lua")

local REQUESTS = tonumber(os.getenv("WEFT_SOAK")) or support.rounds(2000)
local SEED = tonumber(os.getenv("WEFT_SOAK_SEED")) or os.time() % 100000

describe("a session among faults and cancellations", function()
  it("keeps its promises, and leaves nothing", function()
    local ok, e = pcall(support.run(function()
      local result = client.run(server, REQUESTS, SEED)
      assert(#result.problems == 0, table.concat(result.problems, "\n", 1,
        math.min(#result.problems, 10)))
    end))
    if not ok then
      error(("WEFT_SOAK_SEED=%d: %s"):format(SEED, tostring(e)), 0)
    end
  end)
end)
