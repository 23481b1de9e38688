-- SPDX-License-Identifier: MIT
-- run_forever, stopped from the done callback of a gather. In Python gather returns a
-- future; in weft it waits, so it is run as a task to have something to call back from.
--
-- Python:
--[[
import asyncio

async def work(seconds):
    print("start", seconds)
    await asyncio.sleep(seconds)
    print("end", seconds)

loop = asyncio.new_event_loop()

def on_done(future):
    print("all are done: stop the loop")
    loop.stop()

tasks = [loop.create_task(work(1)), loop.create_task(work(3))]
future = asyncio.gather(*tasks)
future.add_done_callback(on_done)
loop.run_forever()
print("the loop has stopped")
loop.close()
]]
-- Output:
--[[
start 1
start 3
end 1
end 3
all are done: stop the loop
the loop has stopped
]]

local weft = require "weft"

local function work(seconds)
  print("start " .. seconds)
  weft.sleep(seconds)
  print("end " .. seconds)
end

local loop = weft.new_event_loop()

local function on_done()
  print("all are done: stop the loop")
  loop:stop()
end

local tasks = { loop:create_task(work, 1), loop:create_task(work, 3) }
local gathered = loop:create_task(weft.gather, tasks)
gathered:add_done_callback(on_done)
loop:run_forever()
print("the loop has stopped")
loop:close()
