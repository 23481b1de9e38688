-- SPDX-License-Identifier: MIT
-- tail -f: prints the lines of a file, and those that are added to it, until Ctrl-C.
--
--     luajit examples/net/tail.lua FILE [LINES]
--
-- With LINES it ends after that many.

local weft = require "weft"

local fs = weft.fs

-- The next line; waits until there is a whole one. What is read of one that is not stays unread.
local function next_line(file, watch, lines)
  while true do
    local start = file:seek()
    local line = lines()
    if line and file:seek() == start + #line + 1 then
      return line
    end
    file:seek("set", start)
    watch:next()
  end
end

weft.main(function(path, count)
  if not path then
    error("usage: tail.lua FILE [LINES]", 0)
  end
  fs.watch(path):with(function(watch)
    fs.open(path):with(function(file)
      local lines = file:lines()
      for _ = 1, tonumber(count) or math.huge do
        print(next_line(file, watch, lines))
        io.stdout:flush()
      end
    end)
  end)
end, ...)
