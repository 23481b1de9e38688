-- SPDX-License-Identifier: MIT
-- bench/http/soak.lua: many requests, each with a fault of the server or none, some cancelled at
-- a random moment; then nothing may be left: no connection, slot, task, descriptor, C memory.
-- The requests are soak_client.lua's; the server, soak_server.lua, is in the same process.
-- usage: soak.lua [REQUESTS [SEED]]     100,000 by default; exit status 1 if anything is wrong
--
-- Owns: what is said of the process. Must not know: the faults.

local weft = require "weft"
local core = require "weft.core"
local testing = require "weft.testing"

local here = arg[0]:match "^(.*)/[^/]*$" or "."
local soak_client = dofile(here .. "/soak_client.lua")
local soak_server = dofile(here .. "/soak_server.lua")

local REQUESTS = tonumber(arg[1]) or 100000
local SEED = tonumber(arg[2]) or os.time() % 100000
local RSS_GROWTH_MAX = 8 * 1024 * 1024 -- from a fifth of the requests to the end

local problems, came, resident = {}, {}, nil

local function problem(text)
  problems[#problems + 1] = text
end

local function memory()
  collectgarbage()
  collectgarbage()
  local file = assert(io.open "/proc/self/status")
  local kb = file:read("*a"):match "VmRSS:%s*(%d+)"
  file:close()
  return tonumber(kb) * 1024
end

local function on_progress(n)
  if n == math.floor(REQUESTS / 5) then
    resident = memory()
  elseif n % math.max(1, math.floor(REQUESTS / 10)) == 0 then
    io.stderr:write(n, "\n")
  end
end

-- ---- what is said of it ----

local function print_counts()
  for _, name in ipairs(soak_client.names) do
    local of_fault = came[name]
    if of_fault then
      local words = {}
      for what, n in pairs(of_fault) do
        words[#words + 1] = what .. " " .. n
      end
      table.sort(words)
      print(("%-14s %s"):format(name, table.concat(words, ", ")))
      came[name] = nil
    end
  end
end

local function check_memory(blocks, descriptors)
  collectgarbage()
  local growth = memory() - (resident or 0)
  print(("resident memory grew by %.1f MB in the last four fifths"):format(growth / 2 ^ 20))
  if growth > RSS_GROWTH_MAX then
    problem "resident memory is not flat"
  end
  if core.memory() > blocks then
    problem(("leak: %d blocks of C memory"):format(core.memory() - blocks))
  end
  if #core.descriptors() > descriptors then
    problem(("leak: %d descriptors"):format(#core.descriptors() - descriptors))
  end
end

print(("%d requests, seed %d"):format(REQUESTS, SEED))
weft.run(function() end) -- libuv opens a pipe with its first loop, and keeps it
local blocks, descriptors = core.memory(), #core.descriptors()
local ok, result = pcall(weft.run, testing.leaks, soak_client.run, soak_server, REQUESTS, SEED,
  on_progress)
if ok then
  problems, came = result.problems, result.counts
  print(result.statistics)
else
  problem(tostring(result))
end
print_counts()
if rawget(_G, "jit") then
  jit.flush() -- compiled code holds some objects as constants
end
check_memory(blocks, descriptors)
for i = 1, math.min(#problems, 20) do
  print("PROBLEM " .. problems[i])
end
print(#problems == 0 and "nothing is left" or #problems .. " problems")
os.exit(#problems == 0 and 0 or 1, true)
