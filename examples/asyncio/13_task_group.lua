-- SPDX-License-Identifier: MIT
-- A task group with a failing child: the failure cancels the siblings, and comes out of
-- the group when all have ended. Python always wraps it in an ExceptionGroup; weft raises
-- a single failure as it is, and several as one error of kind "group", with `errors`.
--
-- Python:
--[[
import asyncio

async def child(name, seconds):
    print(f"{name}: starts")
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        print(f"{name}: cancelled")
        raise
    print(f"{name}: done")

async def failing_child(name, seconds):
    await child(name, seconds)
    raise ValueError(f"{name} has failed")

async def main():
    async with asyncio.TaskGroup() as group:
        group.create_task(child("A", 1))
        group.create_task(child("B", 2))
    print("the first group is done")

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(child("C", 1))
            group.create_task(failing_child("D", 2))
            group.create_task(child("E", 60))
            await asyncio.sleep(60)
            print("never printed")
    except* ValueError as e:
        print("the second group:", e.exceptions[0])

asyncio.run(main())
]]
-- Output:
--[[
A: starts
B: starts
A: done
B: done
the first group is done
C: starts
D: starts
E: starts
C: done
D: done
E: cancelled
the second group: D has failed
]]

local weft = require "weft"

local function child(name, seconds)
  print(name .. ": starts")
  local ok, e = pcall(weft.sleep, seconds)
  if not ok then
    print(name .. ": cancelled")
    error(e, 0)
  end
  print(name .. ": done")
end

local function failing_child(name, seconds)
  child(name, seconds)
  error(name .. " has failed", 0)
end

local function main()
  weft.task_group(function(group)
    group:create_task(child, "A", 1)
    group:create_task(child, "B", 2)
  end)
  print("the first group is done")

  local ok, e = weft.try(weft.task_group, function(group)
    group:create_task(child, "C", 1)
    group:create_task(failing_child, "D", 2)
    group:create_task(child, "E", 60)
    weft.sleep(60)
    print("never printed")
  end)
  if not ok then
    print("the second group: " .. tostring(e))
  end
end

weft.main(main)
