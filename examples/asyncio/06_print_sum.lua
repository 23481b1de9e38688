-- SPDX-License-Identifier: MIT
-- Coroutines that call coroutines: three print_sum(compute(x, y)) at once. A plain call
-- is all that Python's "await coroutine()" takes in Lua.
--
-- Python:
--[[
import asyncio

async def compute(x, y):
    print(f"compute {x} + {y} ...")
    await asyncio.sleep(1)
    return x + y

async def print_sum(x, y):
    result = await compute(x, y)
    print(f"{x} + {y} = {result}")

async def main():
    tasks = [asyncio.create_task(print_sum(x, y)) for x, y in ((1, 2), (3, 4), (5, 6))]
    await asyncio.wait(tasks)

asyncio.run(main())
]]
-- Output:
--[[
compute 1 + 2 ...
compute 3 + 4 ...
compute 5 + 6 ...
1 + 2 = 3
3 + 4 = 7
5 + 6 = 11
]]

local weft = require "weft"

local function compute(x, y)
  print(("compute %d + %d ..."):format(x, y))
  weft.sleep(1)
  return x + y
end

local function print_sum(x, y)
  local result = compute(x, y)
  print(("%d + %d = %d"):format(x, y, result))
end

local function main()
  local tasks = {}
  for i, pair in ipairs { { 1, 2 }, { 3, 4 }, { 5, 6 } } do
    tasks[i] = weft.create_task(print_sum, pair[1], pair[2])
  end
  weft.wait(tasks)
end

weft.main(main)
