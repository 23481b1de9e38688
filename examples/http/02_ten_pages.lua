-- SPDX-License-Identifier: MIT
-- Fetches ten pages at once: a task for each, and one wait for all of them.
--
--   luajit examples/http/02_ten_pages.lua [site]
--
-- Python:
--[[
import asyncio, re, sys
import aiohttp

site = sys.argv[1] if sys.argv[1:] else "http://127.0.0.1:8080"

async def title(session, n):
    async with session.get(f"{site}/page/{n}") as response:
        return re.search("<title>(.*?)</title>", await response.text())[1]

async def main():
    async with aiohttp.ClientSession() as session:
        tasks = [asyncio.create_task(title(session, n)) for n in range(1, 11)]
        done, pending = await asyncio.wait(tasks)
        print(f"{len(done)} done, {len(pending)} pending")
        for task in tasks:
            print(task.result())

asyncio.run(main())
]]
-- Output:
--[[
10 done, 0 pending
Page 1
Page 2
Page 3
Page 4
Page 5
Page 6
Page 7
Page 8
Page 9
Page 10
]]

local weft = require "weft"
local http = require "weft.http"

local site = arg[1] or "http://127.0.0.1:8080"

local function title(session, n)
  local text = session:get(site .. "/page/" .. n):text()
  return text:match("<title>(.-)</title>")
end

weft.main(function()
  http.session():with(function(session)
    local tasks = {}
    for n = 1, 10 do
      tasks[n] = weft.create_task(title, session, n)
    end
    local done, pending = weft.wait(tasks)
    print(("%d done, %d pending"):format(#done, #pending))
    for _, task in ipairs(tasks) do
      print(task:result())
    end
  end)
end)
