-- SPDX-License-Identifier: MIT
-- A time limit of one millisecond, to a server that takes longer. The error names the phase in
-- which the time ran out.
--
--   luajit examples/http/09_timeout.lua [url]
--
-- Python:
--[[
import asyncio, sys
import aiohttp

url = sys.argv[1] if sys.argv[1:] else "http://127.0.0.1:8080/slow?seconds=1"

async def main():
    async with aiohttp.ClientSession() as session:
        try:
            timeout = aiohttp.ClientTimeout(total=0.001)
            async with session.get(url, timeout=timeout) as response:
                print(await response.text())
        except asyncio.TimeoutError:
            print("no answer within 1 ms")

asyncio.run(main())
]]
-- Output:
--[[
no answer within 1 ms
]]

local weft = require "weft"
local http = require "weft.http"

local url = arg[1] or "http://127.0.0.1:8080/slow?seconds=1"

weft.main(function()
  http.session():with(function(session)
    local ok, e = weft.try(session.get, session, url, { timeout = 0.001 })
    if ok then
      print(e:text()) -- it is the response
    elseif weft.is_error(e, "timeout") then
      print("no answer within 1 ms")
      io.stderr:write(tostring(e), "\n")
    else
      error(e, 0)
    end
  end)
end)
