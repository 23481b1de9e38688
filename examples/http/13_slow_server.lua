-- SPDX-License-Identifier: MIT
-- Five requests to a server that takes 3 s for each: 3 s in all. With more, such as 100, it is
-- the same.
--
--   luajit examples/http/13_slow_server.lua [site [count [seconds]]]
--
-- Python:
--[[
import asyncio, sys, time
import aiohttp

site = sys.argv[1] if sys.argv[1:] else "http://127.0.0.1:8080"
count = int(sys.argv[2]) if sys.argv[2:] else 5
seconds = sys.argv[3] if sys.argv[3:] else "3"

async def fetch(session):
    async with session.get(f"{site}/slow", params={"seconds": seconds}) as response:
        return await response.text()

async def main():
    start = time.monotonic()
    async with aiohttp.ClientSession() as session:
        texts = await asyncio.gather(*[fetch(session) for _ in range(count)])
    print(f"{len(texts)} times: {texts[0]}", end="")
    print(f"{time.monotonic() - start:.0f} s in all")

asyncio.run(main())
]]
-- Output:
--[[
5 times: that took 3 s
3 s in all
]]

local weft = require "weft"
local http = require "weft.http"

local site = arg[1] or "http://127.0.0.1:8080"
local count = tonumber(arg[2]) or 5
local seconds = arg[3] or "3"

local function fetch(session)
  return session:get(site .. "/slow", { params = { seconds = seconds } }):text()
end

weft.main(function()
  local loop = weft.get_running_loop()
  local start = loop:time()
  http.session():with(function(session)
    local tasks = {}
    for i = 1, count do
      tasks[i] = weft.create_task(fetch, session)
    end
    local texts = weft.gather(tasks)
    io.write(("%d times: %s"):format(texts.n, texts[1]))
  end)
  print(("%.0f s in all"):format(loop:time() - start))
end)
