-- SPDX-License-Identifier: MIT
-- bench/html.lua: microseconds of CPU for what a crawler does with a page; the same with Python's
-- parsel, where that is installed. By hand: eval "$(make -s env)"; luajit bench/html.lua [FILE]

local html = require "weft.html"

local PAGE = arg[1] or "/usr/share/doc/postgresql-doc-15/html/sql-alterindex.html"
local ROUNDS = 1000

local file = assert(io.open(PAGE, "rb"))
local text = file:read("*a")
file:close()

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
  print(("%-28s %8.1f"):format(name, best / ROUNDS * 1e6))
end

local OPTIONS = { url = "http://a.example/docs/page.html" }
local doc = html.parse(text, OPTIONS)

print(("%s: %d bytes, %d elements"):format(PAGE, #text, #doc:css("*")))
measure("parse and close", function() html.parse(text, OPTIONS):close() end)
measure("parse, left to the collector", function() html.parse(text, OPTIONS) end)
measure("title", function() return doc:title() end)
measure("links", function() return doc:links() end)
measure("h1, h2, h3", function() return doc:css("h1, h2, h3"):getall() end)
measure("a::attr(href)", function() return doc:css("a::attr(href)"):getall() end)
measure("div.refsect1 > h2", function() return doc:css("div.refsect1 > h2"):getall() end)
measure(".literal", function() return doc:css(".literal"):getall() end)
measure("td:nth-child(2)", function() return doc:css("td:nth-child(2)"):getall() end)
measure("//a/@href", function() return doc:xpath("//a/@href"):getall() end)
measure("text", function() return doc:text() end)
io.stdout:flush()

local PEER = [=[
import sys, timeit
from parsel import Selector
with open(sys.argv[1], encoding="utf-8") as file:
    text = file.read()
page = Selector(text=text)
def measure(name, fn):
    print("%-28s %8.1f" % (name, min(timeit.repeat(fn, number=200, repeat=3)) / 200 * 1e6))
print("parsel:")
measure("parse", lambda: Selector(text=text))
for s in ["h1, h2, h3", "a::attr(href)", "div.refsect1 > h2", ".literal", "td:nth-child(2)"]:
    measure(s, lambda: page.css(s).getall())
measure("//a/@href", lambda: page.xpath("//a/@href").getall())
]=]

local script = os.tmpname()
file = assert(io.open(script, "w"))
file:write(PEER)
file:close()
os.execute(("/usr/bin/python3 %s '%s' 2>/dev/null"):format(script, PAGE))
os.remove(script)
