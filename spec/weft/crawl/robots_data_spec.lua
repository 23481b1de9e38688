-- SPDX-License-Identifier: MIT
-- weft.crawl.robots against the checks of Google's parser, and against the files of real sites.
--
-- The data is not part of the project: it is read from the folder that WEFT_DATA names, or
-- ../shared/data. Where there is none, this file says so.

local robots = require "weft.crawl.robots"

local FOLDER = os.getenv("WEFT_DATA") or "../shared/data"
local CASES = FOLDER .. "/google-robots/cases.jsonl"
local VERDICTS = FOLDER .. "/robots-real/sample300-verdicts.tsv"
local SITES = FOLDER .. "/robots-real/sample300/"

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read("*a")
  file:close()
  return text
end

local function exists(path)
  local file = io.open(path, "rb")
  return file and file:close() and true or false
end

local function bytes(text, hex)
  return text or (hex:gsub("%x%x", function(digits)
    return string.char(tonumber(digits, 16))
  end))
end

local function report(count, what, from)
  print(("\nrobots: %d %s of %s"):format(count, what, from))
end

describe("weft.crawl.robots", function()
  it("gives the answers of Google's parser", function()
    if not exists(CASES) then
      return pending("no data at " .. CASES)
    end
    local decode, count, failures = require("cjson").decode, 0, {}
    for line in io.lines(CASES) do
      local case = decode(line)
      local got = robots.parse(bytes(case.robots, case.robots_hex)):allowed(case.agent,
        bytes(case.url, case.url_hex))
      count = count + 1
      if got ~= case.allowed then
        failures[#failures + 1] = line:sub(1, 500)
      end
    end
    report(count, "checks", CASES)
    assert.same({}, failures)
    assert.is_true(count >= 145)
  end)

  it("gives the verdicts of three parsers on the files of real sites", function()
    if not exists(VERDICTS) then
      return pending("no data at " .. VERDICTS)
    end
    local sites, count, files, failures = {}, 0, 0, {}
    for line in io.lines(VERDICTS) do
      local name, agent, url, verdict = line:match("^([^\t]*)\t([^\t]*)\t([^\t]*)\t([01])\r?$")
      if not sites[name] then
        files, sites[name] = files + 1, robots.parse(read(SITES .. name))
      end
      count = count + 1
      if sites[name]:allowed(agent, url) ~= (verdict == "1") then
        failures[#failures + 1] = line
      end
    end
    report(count, ("verdicts on %d files"):format(files), VERDICTS)
    assert.same({}, failures)
    assert.is_true(count >= 12794)
  end)
end)
