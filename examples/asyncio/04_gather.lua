-- SPDX-License-Identifier: MIT
-- Three ways to gather: one by one, as a list, and with errors among the results. The
-- results come in the order of the arguments, whichever is ready first.
--
-- Python:
--[[
import asyncio

async def divide(a, b):
    await asyncio.sleep(b)
    if b == 0:
        raise ValueError("no division by zero")
    return a // b

async def main():
    # 1. The coroutines as arguments.
    results = await asyncio.gather(divide(12, 3), divide(12, 2))
    print("arguments:", *results)

    # 2. A list of tasks.
    tasks = [asyncio.create_task(divide(12, b)) for b in (4, 3, 2)]
    results = await asyncio.gather(*tasks)
    print("list:", *results)

    # 3. A list in which one fails: without return_exceptions, gather would raise.
    tasks = [asyncio.create_task(divide(12, b)) for b in (1, 0)]
    results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            print("error:", result)
        else:
            print("result:", result)

asyncio.run(main())
]]
-- Output:
--[[
arguments: 4 6
list: 3 4 6
result: 12
error: no division by zero
]]

local weft = require "weft"

local function divide(a, b)
  weft.sleep(b)
  if b == 0 then
    error("no division by zero", 0)
  end
  return ("%d"):format(a / b)
end

-- A task for each divisor.
local function divisions(divisors)
  local tasks = {}
  for i, b in ipairs(divisors) do
    tasks[i] = weft.create_task(divide, 12, b)
  end
  return tasks
end

local function main()
  -- 1. The tasks as arguments; where there are no arguments to pass, a function will do.
  local results = weft.gather(weft.create_task(divide, 12, 3), function()
    return divide(12, 2)
  end)
  print("arguments: " .. table.concat(results, " "))

  -- 2. A list of tasks.
  results = weft.gather(divisions { 4, 3, 2 })
  print("list: " .. table.concat(results, " "))

  -- 3. A list in which one fails: without return_exceptions, gather would raise.
  results = weft.gather(divisions { 1, 0 }, { return_exceptions = true })
  for _, result in ipairs(results) do
    if weft.is_error(result) then
      print("error: " .. result.message)
    else
      print("result: " .. result)
    end
  end
end

weft.main(main)
