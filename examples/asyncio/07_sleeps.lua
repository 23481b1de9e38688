-- SPDX-License-Identifier: MIT
-- Tasks that sleep 1, 2 and 4 seconds take 4 seconds in all, not 7: they sleep at the
-- same time.
--
-- Python:
--[[
import asyncio

async def work(seconds):
    print(f"work for {seconds} s")
    await asyncio.sleep(seconds)
    return f"done after {seconds} s"

loop = asyncio.new_event_loop()
start = loop.time()
tasks = [loop.create_task(work(seconds)) for seconds in (1, 2, 4)]
loop.run_until_complete(asyncio.wait(tasks))
for task in tasks:
    print(task.result())
print(f"{loop.time() - start:.1f} s in all")
loop.close()
]]
-- Output:
--[[
work for 1 s
work for 2 s
work for 4 s
done after 1 s
done after 2 s
done after 4 s
4.0 s in all
]]

local weft = require "weft"

local function work(seconds)
  print("work for " .. seconds .. " s")
  weft.sleep(seconds)
  return "done after " .. seconds .. " s"
end

local loop = weft.new_event_loop()
local start = loop:time()
local tasks = {}
for i, seconds in ipairs { 1, 2, 4 } do
  tasks[i] = loop:create_task(work, seconds)
end
loop:run_until_complete(function()
  weft.wait(tasks)
end)
for _, task in ipairs(tasks) do
  print(task:result())
end
print(("%.1f s in all"):format(loop:time() - start))
loop:close()
