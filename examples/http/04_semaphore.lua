-- SPDX-License-Identifier: MIT
-- 1,000 pages behind a semaphore of 500: never more than that many requests at once. The
-- session's own limit, 100 connections, is raised as far.
--
--   luajit examples/http/04_semaphore.lua [site]
--
-- Python:
--[[
import asyncio, sys
import aiohttp

site = sys.argv[1] if sys.argv[1:] else "http://127.0.0.1:8080"
running = most = 0

async def length(session, semaphore, n):
    global running, most
    async with semaphore:
        running += 1
        most = max(most, running)
        async with session.get(f"{site}/page/{n}") as response:
            body = await response.read()
        running -= 1
    return len(body)

async def main():
    semaphore = asyncio.Semaphore(500)
    connector = aiohttp.TCPConnector(limit=500)
    async with aiohttp.ClientSession(connector=connector) as session:
        lengths = await asyncio.gather(
            *[length(session, semaphore, n) for n in range(1, 1001)])
    print(f"{len(lengths)} pages, {sum(lengths)} bytes")
    print("never more than 500 at once" if most <= 500 else "too many at once")

asyncio.run(main())
]]
-- Output:
--[[
1000 pages, 64786 bytes
never more than 500 at once
]]

local weft = require "weft"
local http = require "weft.http"

local site = arg[1] or "http://127.0.0.1:8080"
local running, most = 0, 0

local function length(session, semaphore, n)
  return semaphore:with(function()
    running = running + 1
    most = math.max(most, running)
    local body = session:get(site .. "/page/" .. n):read()
    running = running - 1
    return #body
  end)
end

weft.main(function()
  local semaphore = weft.semaphore(500)
  http.session({ limit = 500 }):with(function(session)
    local tasks, sum = {}, 0
    for n = 1, 1000 do
      tasks[n] = weft.create_task(length, session, semaphore, n)
    end
    for _, bytes in ipairs(weft.gather(tasks)) do
      sum = sum + bytes
    end
    print(("%d pages, %d bytes"):format(#tasks, sum))
    print(most <= 500 and "never more than 500 at once" or "too many at once")
  end)
end)
