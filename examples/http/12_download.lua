-- SPDX-License-Identifier: MIT
-- A download with progress, over a connection that breaks: what has come is kept, and the next
-- attempt asks for the rest. The file has its name when it is whole. (With the option `retry`,
-- `save` goes on by itself.)
--
--   luajit examples/http/12_download.lua [url [path]]
--
-- Python:
--[[
import asyncio, os, sys
import aiohttp

url = sys.argv[1] if sys.argv[1:] else "http://127.0.0.1:8080/broken/1000000"
path = sys.argv[2] if sys.argv[2:] else "download.bin"

async def download(session):
    part = path + ".part"
    done = os.path.getsize(part) if os.path.exists(part) else 0
    headers = {"Range": f"bytes={done}-"} if done else {}
    async with session.get(url, headers=headers) as response:
        response.raise_for_status()
        if response.status != 206:
            done = 0
        total = done + response.content_length
        with open(part, "ab" if done else "wb") as file:
            async for chunk in response.content.iter_chunked(65536):
                file.write(chunk)
                done += len(chunk)
                print(f"\r{100 * done // total:3} %", end="", file=sys.stderr)
    os.rename(part, path)

async def main():
    async with aiohttp.ClientSession() as session:
        while True:
            try:
                await download(session)
                break
            except aiohttp.ClientPayloadError:
                print("broken off, going on")
    print("complete:", os.path.getsize(path), "bytes")

asyncio.run(main())
]]
-- Output:
--[[
broken off, going on
complete: 1000000 bytes
]]

local weft = require "weft"
local http = require "weft.http"

local url = arg[1] or "http://127.0.0.1:8080/broken/1000000"
local path = arg[2] or "download.bin"

local function show(size, total)
  io.stderr:write(("\r%3d %%"):format(math.floor(100 * size / total)))
end

local function download(session)
  local response = session:get(url)
  response:raise_for_status()
  return response:save(path, { resume = true, on_progress = show })
end

weft.main(function()
  http.session():with(function(session)
    local ok, size
    repeat
      ok, size = weft.try(download, session)
      if ok then
        print(("complete: %d bytes"):format(size))
      elseif size.code == "ETRUNCATED" then -- it is the error
        print("broken off, going on")
      else
        error(size, 0)
      end
    until ok
  end)
  io.stderr:write("\n")
end)
