-- SPDX-License-Identifier: MIT
-- 1,000 jobs of 1 second behind a semaphore of 500: they take 2 seconds, and there are
-- never more than 500 at once.
--
-- Python:
--[[
import asyncio

running = most = 0

async def job(semaphore, n):
    global running, most
    async with semaphore:
        running += 1
        most = max(most, running)
        await asyncio.sleep(1)
        running -= 1
    return n

async def main():
    loop = asyncio.get_running_loop()
    start = loop.time()
    semaphore = asyncio.Semaphore(500)
    tasks = [asyncio.create_task(job(semaphore, n)) for n in range(1, 1001)]
    results = await asyncio.gather(*tasks)
    print(f"{len(results)} jobs, the last one is {results[-1]}")
    print(f"at most {most} at once")
    print(f"{loop.time() - start:.1f} s in all")

asyncio.run(main())
]]
-- Output:
--[[
1000 jobs, the last one is 1000
at most 500 at once
2.0 s in all
]]

local weft = require "weft"

local running, most = 0, 0

local function job(semaphore, n)
  semaphore:with(function()
    running = running + 1
    most = math.max(most, running)
    weft.sleep(1)
    running = running - 1
  end)
  return n
end

local function main()
  local loop = weft.get_running_loop()
  local start = loop:time()
  local semaphore = weft.semaphore(500)
  local tasks = {}
  for n = 1, 1000 do
    tasks[n] = weft.create_task(job, semaphore, n)
  end
  local results = weft.gather(tasks)
  print(("%d jobs, the last one is %d"):format(results.n, results[results.n]))
  print(("at most %d at once"):format(most))
  print(("%.1f s in all"):format(loop:time() - start))
end

weft.main(main)
