-- SPDX-License-Identifier: MIT
-- bench/url.lua: microseconds of CPU for what a crawler does with URLs. By hand:
-- eval "$(make -s env)"; luajit bench/url.lua

local url = require("weft").url

local ROUNDS = 200000

-- The best of three runs.
local function measure(name, fn)
  local best = math.huge
  for _ = 1, 3 do
    collectgarbage()
    local started = os.clock()
    for _ = 1, ROUNDS do
      fn()
    end
    best = math.min(best, os.clock() - started)
  end
  print(("%-28s %6.2f"):format(name, best / ROUNDS * 1e6))
end

local PAGE = "https://www.example.com/news/2026/11/index.html"
local LONG = "https://www.example.com/news/2026/11/some-article-title.html"
  .. "?utm_source=feed&id=12345#comments"

local function parse(text)
  return function() return url.parse(text).href end
end

local function join(ref)
  return function() return url.join(PAGE, ref) end
end

measure("absolute, short", parse("https://example.com/"))
measure("absolute, 94 bytes", parse(LONG))
measure("absolute, letters encoded", parse("https://ru.wikipedia.org/wiki/Заглавная страница"))
measure("internationalized host", parse("https://bücher.example/"))
measure("relative, from the root", join("/products/1234/details?ref=nav"))
measure("relative, beside", join("some-article-title.html#c"))
measure("relative, above", join("../10/other.html"))
measure("canonicalize, 94 bytes", function() return url.canonicalize(LONG) end)
