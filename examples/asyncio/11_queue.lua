-- SPDX-License-Identifier: MIT
-- A producer and two consumers with a queue between them. The queue holds two items, so
-- that the producer cannot run ahead: `put` waits while it is full.
--
-- Python:
--[[
import asyncio

async def producer(queue):
    for n in range(1, 7):
        await queue.put(n)
    print("producer: all are in the queue")

async def consumer(queue, name):
    while True:
        n = await queue.get()
        print(f"{name}: takes {n}")
        await asyncio.sleep(n)
        print(f"{name}: has done {n}")
        queue.task_done()

async def main():
    queue = asyncio.Queue(2)
    consumers = [asyncio.create_task(consumer(queue, name)) for name in ("Ann", "Bob")]
    await producer(queue)
    await queue.join()  # until task_done was called for every item
    print("main: every item is done")
    for task in consumers:
        task.cancel()
    await asyncio.wait(consumers)

asyncio.run(main())
]]
-- Output:
--[[
Ann: takes 1
Bob: takes 2
Ann: has done 1
Ann: takes 3
Bob: has done 2
Bob: takes 4
producer: all are in the queue
Ann: has done 3
Ann: takes 5
Bob: has done 4
Bob: takes 6
Ann: has done 5
Bob: has done 6
main: every item is done
]]

local weft = require "weft"

local function producer(queue)
  for n = 1, 6 do
    queue:put(n)
  end
  print("producer: all are in the queue")
end

-- Where the producer ends the queue by `queue:shutdown()`, the loop of a consumer is
-- `for n in queue:iter() do`, and nothing has to be cancelled.
local function consumer(queue, name)
  while true do
    local n = queue:get()
    print(name .. ": takes " .. n)
    weft.sleep(n)
    print(name .. ": has done " .. n)
    queue:task_done()
  end
end

local function main()
  local queue = weft.queue(2)
  local consumers = {}
  for i, name in ipairs { "Ann", "Bob" } do
    consumers[i] = weft.create_task(consumer, queue, name)
  end
  producer(queue)
  queue:join() -- until task_done was called for every item
  print("main: every item is done")
  for _, task in ipairs(consumers) do
    task:cancel()
  end
  weft.wait(consumers)
end

weft.main(main)
