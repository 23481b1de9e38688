-- SPDX-License-Identifier: MIT
-- Nested coroutines: what `wait` found done and still pending goes up as the results of
-- the coroutine that waited. Two results are nothing special: Lua returns both.
--
-- Python:
--[[
import asyncio

async def work(seconds):
    try:
        await asyncio.sleep(seconds)
        return f"work of {seconds} s"
    except asyncio.CancelledError:
        print(f"work of {seconds} s: cancelled")
        raise

async def start_all():
    tasks = [asyncio.create_task(work(seconds)) for seconds in (1, 2, 4)]
    dones, pendings = await asyncio.wait(tasks, timeout=3)
    return dones, pendings

async def main():
    dones, pendings = await start_all()
    print(f"{len(dones)} done, {len(pendings)} pending")
    for result in sorted(task.result() for task in dones):  # dones is a set
        print("done:", result)
    for task in pendings:
        task.cancel()
    await asyncio.wait(pendings)

asyncio.run(main())
]]
-- Output:
--[[
2 done, 1 pending
done: work of 1 s
done: work of 2 s
work of 4 s: cancelled
]]

local weft = require "weft"

local function work(seconds)
  local ok, e = pcall(weft.sleep, seconds)
  if not ok then
    print("work of " .. seconds .. " s: cancelled")
    error(e, 0)
  end
  return "work of " .. seconds .. " s"
end

local function start_all()
  local tasks = {}
  for i, seconds in ipairs { 1, 2, 4 } do
    tasks[i] = weft.create_task(work, seconds)
  end
  local dones, pendings = weft.wait(tasks, { timeout = 3 })
  return dones, pendings
end

local function main()
  local dones, pendings = start_all()
  print(("%d done, %d pending"):format(#dones, #pendings))
  for _, task in ipairs(dones) do -- dones is a list, in the order of `tasks`
    print("done: " .. task:result())
  end
  for _, task in ipairs(pendings) do
    task:cancel()
  end
  weft.wait(pendings)
end

weft.main(main)
