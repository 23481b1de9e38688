-- SPDX-License-Identifier: MIT
-- A million tasks asleep at once, and what they cost. The argument is another number of
-- them: `luajit examples/asyncio/10_million_sleepers.lua 20000`.
--
-- Python:
--[[
import asyncio, resource, sys, time

asleep = 0

def memory():  # in bytes; on Linux
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

async def sleeper(seconds):
    global asleep
    asleep += 1
    await asyncio.sleep(seconds)
    asleep -= 1

async def main(count):
    loop = asyncio.get_running_loop()
    start, before = loop.time(), memory()
    # Long enough that all are asleep before the first one wakes.
    tasks = [asyncio.create_task(sleeper(30 + n / count)) for n in range(count)]
    await asyncio.sleep(0)  # now each of them runs, up to its sleep
    used = memory() - before
    print(f"{asleep} tasks asleep after {loop.time() - start:.1f} s")
    print(f"{used / 2**20:.0f} MiB of memory, {used / count:.0f} bytes a task")
    await asyncio.wait(tasks)
    print(f"{asleep} tasks asleep after {loop.time() - start:.1f} s")
    print(f"{time.process_time():.1f} s of CPU time")

asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000))
]]
-- Output, of LuaJIT:
--[[
1000000 tasks asleep after 0.9 s
651 MiB of memory, 683 bytes a task
0 tasks asleep after 7.1 s
2.1 s of CPU time
]]
-- and, on the same machine, of Python 3.11:
--[[
1000000 tasks asleep after 15.5 s
1444 MiB of memory, 1514 bytes a task
0 tasks asleep after 46.7 s
20.5 s of CPU time
]]

local weft = require "weft"

local asleep = 0

-- In bytes: what Lua has, and what weft's C code has beside it.
local function memory()
  collectgarbage()
  return collectgarbage("count") * 1024 + weft.statistics().memory
end

local function sleeper(seconds)
  asleep = asleep + 1
  weft.sleep(seconds)
  asleep = asleep - 1
end

local function main(count)
  local loop = weft.get_running_loop()
  local start, before = loop:time(), memory()
  local tasks = {}
  for n = 1, count do -- long enough that all are asleep before the first one wakes
    tasks[n] = weft.create_task(sleeper, 5 + n / count)
  end
  weft.sleep(0) -- now each of them runs, up to its sleep
  print(("%d tasks asleep after %.1f s"):format(asleep, loop:time() - start))
  local used = memory() - before
  print(("%.0f MiB of memory, %.0f bytes a task"):format(used / 2^20, used / count))
  weft.wait(tasks)
  print(("%d tasks asleep after %.1f s"):format(asleep, loop:time() - start))
  print(("%.1f s of CPU time"):format(os.clock()))
end

weft.main(main, tonumber(arg[1]) or 1000000)
