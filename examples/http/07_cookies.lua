-- SPDX-License-Identifier: MIT
-- The cookies of a session: a server sets some, the session keeps them and sends them back;
-- `filter_cookies` tells which of them go to a URL. aiohttp keeps none of a host that is an IP
-- address, unless the jar is told to; weft does.
--
--   luajit examples/http/07_cookies.lua [site]
--
-- Python:
--[[
import asyncio, sys
import aiohttp

site = sys.argv[1] if sys.argv[1:] else "http://127.0.0.1:8080"

async def main():
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(cookie_jar=jar) as session:
        params = {"flavour": "oat", "size": "large"}
        async with session.get(f"{site}/cookies/set", params=params) as response:
            for name, value in sorted((await response.json()).items()):
                print("the server has seen", name, "=", value)
        for name, cookie in sorted(session.cookie_jar.filter_cookies(site).items()):
            print("the session has", name, "=", cookie.value)
        print(len(session.cookie_jar.filter_cookies("http://other.example/")), "for others")

asyncio.run(main())
]]
-- Output:
--[[
the server has seen flavour = oat
the server has seen size = large
the session has flavour = oat
the session has size = large
0 for others
]]

local weft = require "weft"
local http = require "weft.http"

local site = arg[1] or "http://127.0.0.1:8080"

-- Prints names with values, in the order of the names.
local function show(what, values)
  local names = {}
  for name in pairs(values) do
    names[#names + 1] = name
  end
  table.sort(names)
  for _, name in ipairs(names) do
    print(what .. " " .. name .. " = " .. values[name])
  end
end

weft.main(function()
  http.session():with(function(session)
    local params = { flavour = "oat", size = "large" }
    local response = session:get(site .. "/cookies/set", { params = params })
    show("the server has seen", response:json())
    show("the session has", session.cookie_jar:filter_cookies(site))
    local others = session.cookie_jar:filter_cookies("http://other.example/")
    print((next(others) and "some" or 0) .. " for others")
  end)
end)
