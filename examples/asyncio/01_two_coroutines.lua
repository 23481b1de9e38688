-- SPDX-License-Identifier: MIT
-- Two coroutines and a loop: while one sleeps, the other goes on.
--
-- Python:
--[[
import asyncio

async def make_tea():
    print("tea: put the kettle on")
    await asyncio.sleep(2)
    print("tea: ready")

async def make_toast():
    print("toast: put the bread in")
    await asyncio.sleep(1)
    print("toast: ready")

loop = asyncio.new_event_loop()
tasks = [loop.create_task(make_tea()), loop.create_task(make_toast())]
loop.run_until_complete(asyncio.wait(tasks))
loop.close()
]]
-- Output:
--[[
tea: put the kettle on
toast: put the bread in
toast: ready
tea: ready
]]

local weft = require "weft"

local function make_tea()
  print("tea: put the kettle on")
  weft.sleep(2)
  print("tea: ready")
end

local function make_toast()
  print("toast: put the bread in")
  weft.sleep(1)
  print("toast: ready")
end

local loop = weft.new_event_loop()
local tasks = { loop:create_task(make_tea), loop:create_task(make_toast) }
loop:run_until_complete(function()
  weft.wait(tasks)
end)
loop:close()
