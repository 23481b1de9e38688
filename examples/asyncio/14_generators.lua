-- SPDX-License-Identifier: MIT
-- Generators that wait, inside a for loop. Python needs an async generator and `async
-- for`; in Lua an ordinary coroutine.wrap and an ordinary `for` may wait.
--
-- Python:
--[[
import asyncio

async def countdown(n, seconds):
    for i in range(n, 0, -1):
        await asyncio.sleep(seconds)
        yield i

async def pairs_of(source):
    previous = None
    async for i in source:
        if previous is not None:
            yield previous, i
        previous = i

async def single(name, seconds):
    async for i in countdown(3, seconds):
        print(f"{name}: {i}")
    print(f"{name}: lift-off")

async def paired(name, seconds):
    async for a, b in pairs_of(countdown(3, seconds)):
        print(f"{name}: {a} and {b}")
    print(f"{name}: lift-off")

async def main():
    await asyncio.gather(single("A", 2), paired("B", 2.5))

asyncio.run(main())
]]
-- Output:
--[[
A: 3
A: 2
B: 3 and 2
A: 1
A: lift-off
B: 2 and 1
B: lift-off
]]

local weft = require "weft"

local function countdown(n, seconds)
  return coroutine.wrap(function()
    for i = n, 1, -1 do
      weft.sleep(seconds)
      coroutine.yield(i)
    end
  end)
end

local function pairs_of(source)
  return coroutine.wrap(function()
    local previous
    for i in source do
      if previous then
        coroutine.yield(previous, i)
      end
      previous = i
    end
  end)
end

local function single(name, seconds)
  for i in countdown(3, seconds) do
    print(name .. ": " .. i)
  end
  print(name .. ": lift-off")
end

local function paired(name, seconds)
  for a, b in pairs_of(countdown(3, seconds)) do
    print(name .. ": " .. a .. " and " .. b)
  end
  print(name .. ": lift-off")
end

local function main()
  weft.gather(weft.create_task(single, "A", 2), weft.create_task(paired, "B", 2.5))
end

weft.main(main)
