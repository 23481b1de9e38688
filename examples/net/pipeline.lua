-- SPDX-License-Identifier: MIT
-- A pipeline of processes, and one in which this program is a part: counts the words of its
-- standard input, the most frequent first.
--
--     luajit examples/net/pipeline.lua <FILE

local weft = require "weft"

-- tr | sort | uniq -c, each at work at once. What a child was given is closed here, so that the
-- one before learns when the one after has ended.
local function counted_words()
  local words = weft.create_subprocess("tr", { "-cs", "[:alpha:]", "\n" }, { stdout = "pipe" })
  local sorted = weft.create_subprocess("sort", {}, { stdin = words.stdout, stdout = "pipe" })
  words.stdout:close()
  local counted = weft.create_subprocess("uniq", { "-c" },
    { stdin = sorted.stdout, stdout = "pipe" })
  sorted.stdout:close()
  return counted, { words, sorted, counted }
end

weft.main(function()
  local counted, all = counted_words()
  local counts = {}
  for line in counted.stdout:lines() do
    local count, word = line:match("(%d+) (%a+)")
    if word then
      counts[#counts + 1] = { word = word, count = tonumber(count) }
    end
  end
  table.sort(counts, function(a, b)
    return a.count > b.count or a.count == b.count and a.word < b.word
  end)
  for i = 1, math.min(#counts, 10) do
    print(("%5d %s"):format(counts[i].count, counts[i].word))
  end
  for _, process in ipairs(all) do
    local how = process:wait()
    if how.code ~= 0 then
      error(("%s: %s"):format(tostring(process), how.signal or how.code), 0)
    end
    process:close()
  end
end)
