-- SPDX-License-Identifier: MIT
-- A task as it shows itself before, during and after its run. Python and weft word it
-- differently; the states are the same.
--
-- Python:
--[[
import asyncio

async def work(seconds):
    await asyncio.sleep(seconds)
    return "slept well"

def yes_or_no(flag):
    return "yes" if flag else "no"

loop = asyncio.new_event_loop()
task = loop.create_task(work(2))

def show(when):
    print(f"{when}: {task}")
    print(f"{when}: done? {yes_or_no(task.done())}")

show("before")
loop.call_later(1, show, "during")
loop.run_until_complete(task)
show("after")
print("result:", task.result())
loop.close()
]]
-- Output:
--[[
before: Task<pending name=Task-1 at examples/asyncio/02_task_states.lua:43>
before: done? no
during: Task<pending name=Task-1 at examples/asyncio/02_task_states.lua:44>
during: done? no
after: Task<finished name=Task-1 result="slept well">
after: done? yes
result: slept well
]]

local weft = require "weft"

local function work(seconds)
  weft.sleep(seconds)
  return "slept well"
end

local function yes_or_no(flag)
  return flag and "yes" or "no"
end

local loop = weft.new_event_loop()
local task = loop:create_task(work, 2)

local function show(when)
  print(when .. ": " .. tostring(task))
  print(when .. ": done? " .. yes_or_no(task:done()))
end

show("before")
loop:call_later(1, show, "during")
loop:run_until_complete(task)
show("after")
print("result: " .. task:result())
loop:close()
