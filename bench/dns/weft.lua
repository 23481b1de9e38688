-- SPDX-License-Identifier: MIT
-- bench/dns/weft.lua: the look-ups of lookups.c by weft's resolver: many distinct names at
-- once, each a task, against the name server that lookups.c started at 127.0.0.1:53.
--
-- usage: weft.lua NAMES

local weft = require "weft"

local names = tonumber(arg[1]) or 1000

weft.run(function()
  local loop = weft.get_running_loop()
  local resolver = weft.resolver { servers = { "127.0.0.1" } }
  local latencies, failed, tasks = {}, 0, {}
  local cpu, began = os.clock(), loop:time()
  for i = 1, names do
    tasks[i] = weft.create_task(function()
      local ok = weft.try(resolver.resolve, resolver, ("host-%d.example.com"):format(i), 80)
      latencies[#latencies + 1] = loop:time() - began
      failed = failed + (ok and 0 or 1)
    end)
  end
  weft.gather(tasks)
  table.sort(latencies)
  print(("weft  %d names: %.3f s, p50 %.3f s, p99 %.3f s, %d failed, %.0f us of CPU a name")
    :format(names, loop:time() - began, latencies[math.ceil(names / 2)],
      latencies[math.ceil(names * 0.99)], failed, (os.clock() - cpu) * 1e6 / names))
  resolver:close()
end)
