-- SPDX-License-Identifier: MIT
-- Asks an API, with parameters, a header of its own, and JSON that is made into records; the
-- next page of results is where the response's Link header says.
--
--   luajit examples/http/06_api.lua [site]
--
-- Python:
--[[
import asyncio, sys
import aiohttp

site = sys.argv[1] if sys.argv[1:] else "http://127.0.0.1:8080"

async def books(session, author):
    url, params = f"{site}/books", {"author": author}
    while url:
        async with session.get(url, params=params) as response:
            response.raise_for_status()
            for book in (await response.json())["books"]:
                yield book
            url, params = response.links.get("next", {}).get("url"), None

async def main():
    headers = {"X-Api-Key": "secret"}
    async with aiohttp.ClientSession(headers=headers) as session:
        records = [(book["year"], book["title"])
                   async for book in books(session, "H. G. Wells")
                   if book["year"] >= 1896]
    for year, title in records:
        print(year, title)

asyncio.run(main())
]]
-- Output:
--[[
1896 The Island of Doctor Moreau
1897 The Invisible Man
1898 The War of the Worlds
]]

local weft = require "weft"
local http = require "weft.http"

local site = arg[1] or "http://127.0.0.1:8080"

-- Iterates over an author's books, from page to page.
local function books(session, author)
  return coroutine.wrap(function()
    local url, params = site .. "/books", { author = author }
    while url do
      local response = session:get(url, { params = params })
      response:raise_for_status()
      for _, book in ipairs(response:json().books) do
        coroutine.yield(book)
      end
      local following = response.links.next
      url, params = following and following.url, nil
    end
  end)
end

weft.main(function()
  http.session({ headers = { ["X-Api-Key"] = "secret" } }):with(function(session)
    local records = {}
    for book in books(session, "H. G. Wells") do
      if book.year >= 1896 then
        records[#records + 1] = { year = book.year, title = book.title }
      end
    end
    for _, record in ipairs(records) do
      print(("%d %s"):format(record.year, record.title))
    end
  end)
end)
