-- SPDX-License-Identifier: MIT
-- bench/crawl/pages.lua: what a crawl wrote, so that two can be compared. White space is left out,
-- which each library treats in its own way, and of a link the spelling that a canonical URL may
-- have in more than one way: %-escapes, and the order of the query. The site's own URLs begin
-- with "/".

local cjson = require "cjson"

local M = {}

local function bare(text)
  return (text:gsub("\194\160", ""):gsub("%s+", ""))
end

local function decoded(text)
  return (text:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end))
end

local function bare_url(address, origin)
  if address:sub(1, #origin) == origin then address = address:sub(#origin) end
  local path, query = decoded(address):match "^([^?]*)%??(.*)$"
  local pairs_of_it = {}
  for pair in query:gmatch "[^&;]+" do
    table.insert(pairs_of_it, pair)
  end
  table.sort(pairs_of_it)
  return path .. "?" .. table.concat(pairs_of_it, "&")
end

local function bare_record(record, origin)
  local parts = { bare_url(record.url, origin), bare(record.title) }
  for _, text in ipairs(record.headings) do
    table.insert(parts, "h " .. bare(text))
  end
  for _, link in ipairs(record.links) do
    table.insert(parts, "a " .. bare_url(link.url, origin) .. " " .. bare(link.text))
  end
  return table.concat(parts, "\t")
end

-- The records of a file by their URLs, and how many there are; nil and why it is no crawl. `start`
-- is a URL of the site.
function M.read(path, start)
  local origin = start:match "^%w+://[^/]+/"
  local pages, count = {}, 0
  for line in io.lines(path) do
    local ok, record = pcall(cjson.decode, line)
    if not ok then return nil, "a line that is no JSON" end
    if pages[record.url] then return nil, record.url .. " twice" end
    pages[record.url], count = bare_record(record, origin), count + 1
  end
  return pages, count
end

-- The SHA-256 of all that was read, in the order of the URLs.
function M.digest(pages, path)
  local lines = {}
  for _, record in pairs(pages) do
    table.insert(lines, record)
  end
  table.sort(lines)
  local file = assert(io.open(path, "w"))
  file:write(table.concat(lines, "\n"), "\n")
  file:close()
  local command = assert(io.popen("sha256sum <'" .. path:gsub("'", "'\\''") .. "'"))
  local digest = command:read "*a"
  command:close()
  return digest:match "^%x+"
end

-- How many pages are not the same in both, and the first of them.
function M.differences(a, b)
  local count, first = 0, nil
  local function look(pages, others)
    for address, record in pairs(pages) do
      if others[address] ~= record and (others == b or others[address] == nil) then
        count = count + 1
        first = first and first < address and first or address
      end
    end
  end
  look(a, b)
  look(b, a)
  return count, first
end

return M
