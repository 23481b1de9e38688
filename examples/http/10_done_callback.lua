-- SPDX-License-Identifier: MIT
-- A done callback that parses: the task fetches, and the loop calls `parse` as soon as it has
-- ended.
--
--   luajit examples/http/10_done_callback.lua [url]
--
-- Python:
--[[
import asyncio, re, sys
import aiohttp

url = sys.argv[1] if sys.argv[1:] else "http://127.0.0.1:8080/page/7"

async def fetch(session):
    async with session.get(url) as response:
        return response.status, await response.text()

def parse(task):
    status, text = task.result()
    print("parsed:", status, re.search("<title>(.*?)</title>", text)[1])

async def main():
    async with aiohttp.ClientSession() as session:
        task = asyncio.create_task(fetch(session))
        task.add_done_callback(parse)
        print("waiting")
        await task
        await asyncio.sleep(0)
        print("done")

asyncio.run(main())
]]
-- Output:
--[[
waiting
parsed: 200 Page 7
done
]]

local weft = require "weft"
local http = require "weft.http"

local url = arg[1] or "http://127.0.0.1:8080/page/7"

local function fetch(session)
  local response = session:get(url)
  return response.status, response:text()
end

local function parse(task)
  local status, text = task:result()
  print("parsed: " .. status .. " " .. text:match("<title>(.-)</title>"))
end

weft.main(function()
  http.session():with(function(session)
    local task = weft.create_task(fetch, session)
    task:add_done_callback(parse)
    print("waiting")
    task:await()
    weft.sleep(0)
    print("done")
  end)
end)
