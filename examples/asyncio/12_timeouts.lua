-- SPDX-License-Identifier: MIT
-- Time limits and cancellation, with clean-up that waits. In weft a cancelled task stays
-- cancelled, so clean-up that waits goes into `weft.finally`, which holds that back.
--
-- Python:
--[[
import asyncio

async def download(name, seconds):
    print(f"{name}: open")
    try:
        await asyncio.sleep(seconds)
        return f"{name}: complete"
    finally:
        await asyncio.sleep(1)  # say goodbye to the server
        print(f"{name}: closed")

async def main():
    loop = asyncio.get_running_loop()
    start = loop.time()

    # In time.
    print(await asyncio.wait_for(download("A", 1), 5))

    # A limit on one awaitable.
    try:
        await asyncio.wait_for(download("B", 60), 2)
    except TimeoutError:
        print("B: timeout")

    # A limit on a block of code.
    try:
        async with asyncio.timeout(2):
            await asyncio.sleep(1)
            await download("C", 60)
    except TimeoutError:
        print("C: timeout")

    # Cancelled by hand.
    task = asyncio.create_task(download("D", 60))
    await asyncio.sleep(2)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        print("D: cancelled")

    # A shielded task survives the limit.
    task = asyncio.create_task(download("E", 3))
    try:
        async with asyncio.timeout(2):
            await asyncio.shield(task)
    except TimeoutError:
        print("E: timeout, but it runs on")
    print(await task)

    print(f"{loop.time() - start:.1f} s in all")

asyncio.run(main())
]]
-- Output:
--[[
A: open
A: closed
A: complete
B: open
B: closed
B: timeout
C: open
C: closed
C: timeout
D: open
D: closed
D: cancelled
E: open
E: timeout, but it runs on
E: closed
E: complete
15.0 s in all
]]

local weft = require "weft"

local function download(name, seconds)
  print(name .. ": open")
  return weft.finally(function()
    weft.sleep(seconds)
    return name .. ": complete"
  end, function()
    weft.sleep(1) -- say goodbye to the server
    print(name .. ": closed")
  end)
end

-- Calls fn(...), and prints the text if that raises an error of the kind.
local function expect(kind, text, fn, ...)
  local ok, e = weft.try(fn, ...)
  if not ok and weft.is_error(e, kind) then
    print(text)
  elseif not ok then
    error(e, 0)
  end
end

local function main()
  local loop = weft.get_running_loop()
  local start = loop:time()

  -- In time.
  print(weft.wait_for(weft.create_task(download, "A", 1), 5))

  -- A limit on one awaitable.
  expect("timeout", "B: timeout", weft.wait_for, weft.create_task(download, "B", 60), 2)

  -- A limit on a block of code.
  expect("timeout", "C: timeout", weft.timeout, 2, function()
    weft.sleep(1)
    download("C", 60)
  end)

  -- Cancelled by hand.
  local task = weft.create_task(download, "D", 60)
  weft.sleep(2)
  task:cancel()
  expect("cancelled", "D: cancelled", weft.await, task)

  -- A shielded task survives the limit.
  task = weft.create_task(download, "E", 3)
  expect("timeout", "E: timeout, but it runs on", weft.timeout, 2, weft.shield, task)
  print(weft.await(task))

  print(("%.1f s in all"):format(loop:time() - start))
end

weft.main(main)
