-- SPDX-License-Identifier: MIT
-- tools/cast.lua: what its terminal shows, when, and the picture that it makes of that; and the
-- picture in the README.

local cast = dofile("tools/cast.lua")
local support = require "spec.support"

-- What stands in a terminal after these pieces.
local function shown(...)
  local terminal = cast.terminal()
  for _, piece in ipairs { ... } do
    terminal:write(piece)
  end
  return terminal:lines()
end

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read("*a")
  file:close()
  return text
end

describe("the terminal of tools/cast.lua", function()
  it("has lines, and draws over one after a carriage return", function()
    assert.same({ "one", "two", "" }, shown("one\r\ntwo\r\n"))
    assert.same({ "1wo" }, shown("two\r1"))
    assert.same({ "4" }, shown("two\r\27[K3", "\r\27[K4"))
    assert.same({ "tw" }, shown("two\rtw\27[K"))
    assert.same({ "", " x" }, shown("y", "\r\27[K \n", "\r x"))
  end)

  it("waits for the rest of a character and of an escape", function()
    assert.same({ "žx" }, shown("\197", "\190x"))
    assert.same({ "b" }, shown("a\r\27", "[", "K", "b"))
    assert.same({ "a" }, shown("a\226\130"))
  end)

  it("leaves colours out, and refuses what it does not know", function()
    assert.same({ "red" }, shown("\27[1;31mred\27[0m"))
    assert.has_error(function() shown("\27[2J") end)
    assert.has_error(function() shown("\7") end)
  end)
end)

describe("tools/cast.lua", function()
  it("knows when what stood where", function()
    local spans, seconds = cast.spans({ { 0.5, "1" }, { 1, "\r2" }, { 1, "\r\n3" } }, { "$ x" })
    assert.equal(2.5, seconds)
    assert.same({ { row = 1, text = "$ x", from = 0 },
      { row = 2, text = "1", from = 0.5, to = 1.5 },
      { row = 2, text = "2", from = 1.5 }, { row = 3, text = "3", from = 2.5 } }, spans)
  end)

  it("takes changes that follow at once as one", function()
    local spans = cast.spans { { 0, "1" }, { 0.01, "\r2" }, { 0.01, "\r3" }, { 1, "\r4" } }
    assert.same({ { row = 1, text = "3", from = 0, to = 1.02 },
      { row = 1, text = "4", from = 1.02 } }, spans)
  end)

  it("finds what came when in the files of script", function()
    assert.same({ { 0.5, "ab" }, { 1.25, "c" } },
      cast.chunks("Script started …\nabc\nScript done …\n", "0.500000 2\n1.250000 1\n"))
  end)

  it("draws so that what does not move shows the end", function()
    local svg = cast.svg("a & b", { { row = 1, text = "<1>", from = 0, to = 1 },
      { row = 1, text = "2", from = 1 } }, 2)
    assert.truthy(svg:find("<title>a &amp; b</title>", 1, true))
    assert.truthy(svg:find('opacity="0" style="animation-name:f1">&lt;1&gt;</text>', 1, true), svg)
    assert.truthy(svg:find('y="31" style="animation-name:f2">2</text>', 1, true), svg)
    assert.truthy(svg:find("f1{0%{opacity:1}12.50%{opacity:0}100%{opacity:0}}", 1, true), svg)
    assert.truthy(svg:find("f2{0%{opacity:0}12.50%{opacity:1}100%{opacity:1}}", 1, true), svg)
  end)

  it("records a command, in a terminal", function()
    local path = os.tmpname()
    -- What a sanitizer finds in util-linux is not weft's.
    local status = os.execute(("env -u LD_PRELOAD %s tools/cast.lua %s '%s' >/dev/null"):format(
      support.quote(support.interpreter), path, "test -t 2 && echo it is"))
    assert.truthy(status == 0 or status == true)
    local svg = read(path)
    os.remove(path)
    assert.truthy(svg:find(">it is</text>", 1, true), svg)
  end)

  it("has made the picture in the README, in which nothing of its machine is", function()
    local svg = read("docs/crawl.svg")
    assert.truthy(#svg < 100 * 1024)
    assert.truthy(svg:find("<title>make crawl</title>", 1, true))
    assert.truthy(svg:find(" pages and 0 broken links are in build/crawl</text>", 1, true))
    assert.falsy(svg:find("/home/", 1, true) or svg:find("/tmp/", 1, true))
  end)
end)
