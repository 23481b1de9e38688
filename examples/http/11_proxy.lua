-- SPDX-License-Identifier: MIT
-- A request that goes through a proxy, which adds a Via header to what the server gets; the
-- server answers with what it got. Start `forward_proxy.lua` too.
--
--   luajit examples/http/11_proxy.lua [url [proxy]]
--
-- Python:
--[[
import asyncio, sys
import aiohttp

url = sys.argv[1] if sys.argv[1:] else "http://127.0.0.1:8080/echo"
proxy = sys.argv[2] if sys.argv[2:] else "http://127.0.0.1:8081"

async def main():
    async with aiohttp.ClientSession() as session:
        async with session.get(url) as response:
            print("directly:", (await response.json())["headers"].get("via", "no Via"))
        async with session.get(url, proxy=proxy) as response:
            print("by proxy:", (await response.json())["headers"].get("via", "no Via"))

asyncio.run(main())
]]
-- Output:
--[[
directly: no Via
by proxy: 1.1 weft
]]

local weft = require "weft"
local http = require "weft.http"

local url = arg[1] or "http://127.0.0.1:8080/echo"
local proxy = arg[2] or "http://127.0.0.1:8081"

weft.main(function()
  http.session():with(function(session)
    local got = session:get(url):json()
    print("directly: " .. (got.headers.via or "no Via"))
    got = session:get(url, { proxy = proxy }):json()
    print("by proxy: " .. (got.headers.via or "no Via"))
  end)
end)
