-- SPDX-License-Identifier: MIT
-- Done callbacks on two tasks: the loop calls them as soon as the task has ended, with
-- the task as the argument. One of the two fails.
--
-- Python:
--[[
import asyncio

async def good(seconds):
    await asyncio.sleep(seconds)
    return f"slept {seconds} s"

async def bad(seconds):
    await asyncio.sleep(seconds)
    raise ValueError("fell out of bed")

def report(task):
    if task.exception():
        print("callback: failed:", task.exception())
    else:
        print("callback: returned:", task.result())

async def main():
    tasks = [asyncio.create_task(good(2)), asyncio.create_task(bad(1))]
    for task in tasks:
        task.add_done_callback(report)
    print("main: waiting")
    await asyncio.wait(tasks)
    print("main: both are done")

asyncio.run(main())
]]
-- Output:
--[[
main: waiting
callback: failed: fell out of bed
callback: returned: slept 2 s
main: both are done
]]

local weft = require "weft"

local function good(seconds)
  weft.sleep(seconds)
  return "slept " .. seconds .. " s"
end

local function bad(seconds)
  weft.sleep(seconds)
  error("fell out of bed", 0)
end

local function report(task)
  if task:exception() then
    print("callback: failed: " .. task:exception().message)
  else
    print("callback: returned: " .. task:result())
  end
end

local function main()
  local tasks = { weft.create_task(good, 2), weft.create_task(bad, 1) }
  for _, task in ipairs(tasks) do
    task:add_done_callback(report)
  end
  print("main: waiting")
  weft.wait(tasks)
  print("main: both are done")
end

weft.main(main)
