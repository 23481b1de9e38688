-- SPDX-License-Identifier: MIT
-- Fetches one page: the response comes as soon as its head is there, the text when it is
-- asked for, in UTF-8 whatever the page was written in.
--
--   luajit examples/http/01_one_page.lua [url]
--
-- Python:
--[[
import asyncio, re, sys
import aiohttp

url = sys.argv[1] if sys.argv[1:] else "http://127.0.0.1:8080/"

async def main():
    async with aiohttp.ClientSession() as session:
        async with session.get(url) as response:
            print(response.status, response.reason, response.content_type)
            text = await response.text()
            print(re.search("<title>(.*?)</title>", text)[1])

asyncio.run(main())
]]
-- Output:
--[[
200 OK text/html
A little site
]]

local weft = require "weft"
local http = require "weft.http"

local url = arg[1] or "http://127.0.0.1:8080/"

weft.main(function()
  http.session():with(function(session)
    local response = session:get(url)
    print(response.status .. " " .. response.reason .. " " .. response.content_type)
    print(response:text():match("<title>(.-)</title>"))
  end)
end)
