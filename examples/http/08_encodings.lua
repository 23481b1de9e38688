-- SPDX-License-Identifier: MIT
-- Pages in windows-1251 and in GB2312, as text. The first says so in its Content-Type, the second
-- in the page alone: aiohttp has to be told, weft looks there as a browser does.
--
--   luajit examples/http/08_encodings.lua [url-1 url-2]
--
-- Python:
--[[
import asyncio, re, sys
import aiohttp

site = "http://127.0.0.1:8080"
urls = sys.argv[1:] or [site + "/windows-1251", site + "/gb2312"]

def title(text):
    return re.search("<title>(.*?)</title>", text)[1]

async def main():
    async with aiohttp.ClientSession() as session:
        async with session.get(urls[0]) as response:
            print(title(await response.text()))
        async with session.get(urls[1]) as response:
            print(title(await response.text(encoding="gb2312")))

asyncio.run(main())
]]
-- Output:
--[[
Привет, мир
你好，世界
]]

local weft = require "weft"
local http = require "weft.http"

local site = "http://127.0.0.1:8080"
local urls = { arg[1] or site .. "/windows-1251", arg[2] or site .. "/gb2312" }

weft.main(function()
  http.session():with(function(session)
    for _, url in ipairs(urls) do
      print(session:get(url):text():match("<title>(.-)</title>"))
    end
  end)
end)
