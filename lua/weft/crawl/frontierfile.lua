-- SPDX-License-Identifier: MIT
-- weft.crawl.frontierfile: a frontier in a file, so that a crawl can be gone on with.
--
-- Owns: the format: a head, lines of fingerprints, a line of JSON for each item, and a last line
-- that says how many of both there are. Must not know: what is done with it.
-- Invariant: a file is read whole or not at all.

local errors = require "weft.error"
local fs = require "weft.fs"
local jsonbody = require "weft.http.jsonbody"

local M = {}

local HEAD = "weft frontier 1"
-- Of fingerprints on a line.
local PER_LINE = 16
-- Of a file: some 50 million URLs.
local MAX = 2 ^ 30

local function write_seen(lines, seen)
  local row, count = {}, 0
  for key in pairs(seen) do
    count = count + 1
    row[#row + 1] = ("%.0f"):format(key)
    if #row == PER_LINE then
      lines[#lines + 1] = "S " .. table.concat(row, " ")
      row = {}
    end
  end
  if row[1] then
    lines[#lines + 1] = "S " .. table.concat(row, " ")
  end
  return count
end

local function by_depth(a, b)
  return a.depth < b.depth
end

-- In the order in which they are to be taken, as far as a depth tells.
local function sorted(items)
  local places = {}
  for i, item in ipairs(items) do
    places[item] = i
  end
  table.sort(items, function(a, b)
    if a.depth ~= b.depth then
      return by_depth(a, b)
    end
    return places[a] < places[b]
  end)
  return items
end

---Writes what there is of a frontier. At the path is always a whole file.
---
---Raises `os`; `type`; `state`; `cancelled`.
---@async
---@private
function M.save(path, state)
  local lines = { HEAD }
  local count = write_seen(lines, state.seen)
  for host, n in pairs(state.per_host) do
    lines[#lines + 1] = ("H %d %s"):format(n, host)
  end
  for _, item in ipairs(sorted(state.items)) do
    lines[#lines + 1] = "I " .. jsonbody.encode(item)
  end
  lines[#lines + 1] = ("E %d %d %d\n"):format(state.added, count, #state.items)
  fs.write_atomic(path, table.concat(lines, "\n"))
end

local function invalid(path, line, why)
  errors.raise("decode", ("%s:%d: %s"):format(path, line, why),
    { code = "invalid_state", path = path, line = line })
end

local READERS = {}

function READERS.S(state, rest)
  for word in rest:gmatch("%S+") do
    local key = word:find("^%d+$") and tonumber(word)
    if not key then
      return "no fingerprint"
    end
    state.seen[key], state.seen_count = true, state.seen_count + 1
  end
end

function READERS.H(state, rest)
  local count, host = rest:match("^(%d+) (.*)$")
  if not count then
    return "no count of a host"
  end
  state.per_host[host] = tonumber(count)
end

function READERS.I(state, rest)
  local ok, item = errors.try(jsonbody.decode, rest)
  if not ok then
    return tostring(item)
  elseif type(item) ~= "table" or type(item.url) ~= "string" or type(item.host) ~= "string"
    or type(item.depth) ~= "number" or type(item.priority) ~= "number"
    or type(item.attempts) ~= "number" then
    return "no item"
  end
  state.items[#state.items + 1] = item
end

function READERS.E(state, rest)
  local added, seen, items = rest:match("^(%d+) (%d+) (%d+)$")
  if not added or tonumber(seen) ~= state.seen_count or tonumber(items) ~= #state.items then
    return "the counts at the end are not what is there"
  end
  state.added = tonumber(added)
end

---Reads such a file.
---
---Raises `os`; `decode`, code "invalid_state"; `cancelled`.
---@async
---@private
function M.load(path)
  local state = { seen = {}, seen_count = 0, per_host = {}, items = {} }
  local number = 0
  for line in fs.read_file(path, MAX):gmatch("([^\n]*)\n") do
    number = number + 1
    if number == 1 then
      if line ~= HEAD then
        invalid(path, 1, "this is not the state of a crawl")
      end
    else
      local kind, rest = line:match("^(%u) (.*)$")
      local reader = READERS[kind]
      local why = not reader and "no such line" or state.added and "more behind the end"
        or reader(state, rest)
      if why then
        invalid(path, number, why)
      end
    end
  end
  if not state.added then
    invalid(path, number + 1, "the end is missing")
  end
  return state
end

return M
