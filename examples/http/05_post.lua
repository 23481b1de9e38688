-- SPDX-License-Identifier: MIT
-- Posts a form, then JSON. The server answers with what it got.
--
--   luajit examples/http/05_post.lua [url]
--
-- Python:
--[[
import asyncio, json, sys
import aiohttp

url = sys.argv[1] if sys.argv[1:] else "http://127.0.0.1:8080/echo"

async def main():
    async with aiohttp.ClientSession() as session:
        form = {"name": "Ann Smith", "city": "Zürich"}
        async with session.post(url, data=form) as response:
            got = await response.json()
            print(got["method"], got["headers"]["content-type"])
            print(got["form"]["name"], "from", got["form"]["city"])

        async with session.post(url, json={"name": "Bob", "tags": ["a", "b"]}) as response:
            got = await response.json()
            print(got["method"], got["headers"]["content-type"])
            sent = json.loads(got["body"])
            print(sent["name"], "has", len(sent["tags"]), "tags")

asyncio.run(main())
]]
-- Output:
--[[
POST application/x-www-form-urlencoded
Ann Smith from Zürich
POST application/json
Bob has 2 tags
]]

local weft = require "weft"
local http = require "weft.http"
local json = require "cjson"

local url = arg[1] or "http://127.0.0.1:8080/echo"

weft.main(function()
  http.session():with(function(session)
    local form = { name = "Ann Smith", city = "Zürich" }
    local got = session:post(url, { data = form }):json()
    print(got.method .. " " .. got.headers["content-type"])
    print(got.form.name .. " from " .. got.form.city)

    got = session:post(url, { json = { name = "Bob", tags = { "a", "b" } } }):json()
    print(got.method .. " " .. got.headers["content-type"])
    local sent = json.decode(got.body)
    print(sent.name .. " has " .. #sent.tags .. " tags")
  end)
end)
