-- SPDX-License-Identifier: MIT
-- Fetches 200 pages with `gather`, which gives the results in the order of the tasks. A session
-- has 100 connections at most; the others wait for one.
--
--   luajit examples/http/03_gather.lua [site]
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
        titles = await asyncio.gather(*[title(session, n) for n in range(1, 201)])
        print(f"{len(titles)} pages, from {titles[0]} to {titles[-1]}")

asyncio.run(main())
]]
-- Output:
--[[
200 pages, from Page 1 to Page 200
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
    for n = 1, 200 do
      tasks[n] = weft.create_task(title, session, n)
    end
    local titles = weft.gather(tasks)
    print(("%d pages, from %s to %s"):format(titles.n, titles[1], titles[titles.n]))
  end)
end)
