-- SPDX-License-Identifier: MIT
-- report.lua: runs the crawls that run.sh built, in rounds, sees to it that all found the same, and
-- prints one table of medians.
local USAGE = [[
usage: bench/crawl/run.sh [ROUNDS] [--only NAME,...] [--markdown]
  ROUNDS      how often each program crawls the site; 3 by default
  --only      the programs to run, of: weft limit scrapy aiohttp
  --markdown  the machine, the command and the table as bench/README.md has them

A cell is the median over the rounds. In brackets: weft divided by it, the median of the
ratios within each round; below 1, weft needs less. The figures of each run go to stderr.
SITE in the environment is the folder that is served, LUA_FLAGS goes to weft's interpreter.
The exit status is 1 if the programs did not find the same.]]

local DEFAULT_ROUNDS = 3
local CONNECTIONS = 64
local TIME_LIMIT = 120 -- seconds for one crawl; then it has failed

local env = os.getenv
local here, out = env "WEFT_BENCH_DIR", env "WEFT_BENCH_OUT"
local common = dofile(here .. "/../common.lua")
local pages = dofile(here .. "/pages.lua")
local quoted, capture = common.quoted, common.capture
local weft_lua = (env "LUA" or "luajit") .. " " .. (env "LUA_FLAGS" or "")
local python = quoted(env "PYTHON" or "python3")
local limit = quoted(out .. "/limit")

local function python_version(name, module)
  return ([[%s -c 'import %s as m; print("%s", m.__version__)']]):format(python, module, name)
end

-- The programs, in the order of the columns. `probe` succeeds where the program can run.
local programs = {
  {
    name = "weft",
    command = weft_lua .. " " .. quoted(here .. "/weft_crawl.lua"),
    probe = weft_lua
      .. [[ -e 'assert(require("weft.html.xpath").core); require "weft.crawl"']],
    needs = "a build of weft, with libxml2",
  },
  {
    name = "limit",
    title = "C",
    command = limit,
    probe = "test -x " .. limit,
    version = "echo libxml2 $(pkg-config --modversion libxml-2.0)",
    needs = "gcc, libxml2-dev and what weft's build needs",
  },
  {
    name = "scrapy",
    title = "Scrapy",
    command = python .. " " .. quoted(here .. "/spider.py"),
    probe = python .. " -c 'import scrapy'",
    version = python_version("Scrapy", "scrapy"),
    needs = "python3-scrapy",
  },
  {
    name = "aiohttp",
    title = "aiohttp + lxml",
    command = python .. " " .. quoted(here .. "/crawl.py"),
    probe = python .. " -c 'import aiohttp, lxml, uvloop, w3lib'",
    version = python_version("aiohttp", "aiohttp") .. " && "
      .. python_version("lxml", "lxml.etree"),
    needs = "python3-aiohttp, python3-lxml, python3-uvloop and python3-w3lib",
  },
}

-- What, unit, target, format, and the figure made of the fields of a run.
local rows = {
  { "processor time", "ms a page", "≤ 1.3 × C, 1/10 × Scrapy, 1/4 × aiohttp", "%.3f",
    function(r) return r.cpu / r.n * 1e3 end },
  { "rate", "pages/s", "", "%.0f", function(r) return r.n / r.wall end },
  { "memory at its peak", "MB", "≤ 1/2 × Scrapy", "%.1f", function(r) return r.rss / 1e6 end },
}

-- ---- the command line ----

local function die(message)
  io.stderr:write("bench: ", message, "\n\n", USAGE, "\n")
  os.exit(2)
end

local function parse(args)
  local options = { rounds = DEFAULT_ROUNDS }
  local only, i = nil, 1
  while args[i] do
    local a = args[i]
    if a == "--help" or a == "-h" then
      print(USAGE)
      os.exit(0)
    elseif a == "--markdown" then
      options.markdown = true
    elseif a == "--only" then
      i = i + 1
      only = args[i] or die "--only wants a value"
    elseif a:match "^%d+$" then
      options.rounds = math.max(1, tonumber(a))
    else
      die("no option '" .. a .. "'")
    end
    i = i + 1
  end
  local unknown
  options.programs, unknown = common.chosen_programs(programs, only)
  if unknown then die("no program '" .. unknown .. "'") end
  return options
end

-- ---- measuring ----

local function first_line(path, default)
  local line = capture("head -n 1 " .. quoted(path))
  return line ~= "" and line or default
end

-- Runs one program once: the fields of measure.c with `n` and `pages`, or nil and why not.
local function measure(program)
  local file, figures, errors = out .. "/" .. program.name .. ".jsonl", out .. "/figures",
    out .. "/stderr"
  os.remove(file)
  os.remove(figures)
  local ok = common.succeeds(("timeout %d %s %s %s %s %s %d %s >&2 2>%s"):format(TIME_LIMIT,
    env "WEFT_BENCH_PIN", quoted(out .. "/measure"), quoted(figures), program.command,
    quoted(env "WEFT_BENCH_URL"), CONNECTIONS, quoted(file), quoted(errors)))
  if not ok then return nil, first_line(errors, "failed, or not within " .. TIME_LIMIT .. " s") end
  local fields = {}
  for key, value in first_line(figures, ""):gmatch "(%w+)=(%S+)" do
    fields[key] = tonumber(value)
  end
  fields.pages, fields.n = pages.read(file, env "WEFT_BENCH_URL")
  if not fields.pages then return nil, fields.n end
  return fields
end

-- All rounds: results[program][round] are the fields. Every other round goes backwards, so that a
-- drift of the machine's speed favours no one.
local function run(options, notes)
  local results, count = {}, #options.programs
  for _, p in ipairs(options.programs) do results[p.name] = {} end
  for round = 1, options.rounds do
    for i = 1, count do
      local p = options.programs[round % 2 == 1 and i or count + 1 - i]
      local fields, why
      if not p.missing then
        fields, why = measure(p)
        results[p.name][round] = fields
      end
      if why then notes[p.name .. " failed: " .. why] = true end
      if fields then
        io.stderr:write(("%d/%d %s:"):format(round, options.rounds, p.name))
        for _, row in ipairs(rows) do
          io.stderr:write((" " .. row[4] .. " %s"):format(row[5](fields), row[2]))
        end
        io.stderr:write "\n"
      end
    end
  end
  return results
end

-- Whether all runs found the same as the first one; a line that says what that is.
local function compare(options, results, notes)
  local reference, name, same = nil, nil, true
  for _, p in ipairs(options.programs) do
    for _, fields in pairs(results[p.name]) do
      reference, name = reference or fields, name or p.name
      local count, first = pages.differences(reference.pages, fields.pages)
      if count > 0 then
        same = false
        notes[("%s and %s differ in %d pages, as %s"):format(name, p.name, count, first)] = true
      end
    end
  end
  if not reference then return false end
  return same, ("%d pages, SHA-256 of what was found in them: %s…"):format(reference.n,
    pages.digest(reference.pages, out .. "/found"):sub(1, 16))
end

-- ---- the table ----

local function print_head(options, found)
  local machine = common.machine(weft_lua, options.programs) .. ", " .. capture "nginx -v 2>&1"
  machine = machine:gsub("\n", ", ")
  if not options.markdown then return print(machine .. "\n" .. found .. "\n") end
  print("Machine: " .. machine .. ".\n")
  print(("Command: `bench/crawl/run.sh %s`, %s: %s.\n"):format(table.concat(arg, " "),
    os.date "%Y-%m-%d", found))
end

local function main()
  local options, notes, head = parse(arg), {}, { "", "unit", "target" }
  for _, p in ipairs(options.programs) do
    p.missing = not common.succeeds(p.probe)
    if p.missing then notes[("%s: n/a, needs %s"):format(p.name, p.needs)] = true end
    table.insert(head, p.title or p.name)
  end
  local results = run(options, notes)
  local same, found = compare(options, results, notes)
  print_head(options, found or "nothing")
  if same then
    local cells = { head }
    for _, row in ipairs(rows) do
      local line = { row[1], row[2], row[3] }
      for _, p in ipairs(options.programs) do
        table.insert(line, common.cell(row, results, p.name, options.rounds))
      end
      table.insert(cells, line)
    end
    common.print_table(cells, options.markdown)
  end
  common.print_notes(notes)
  os.exit(same and 0 or 1)
end

main()
