-- report.lua: runs the programs of the benchmark in turn, several rounds, and prints one table of
-- medians and ratios. Started by run.sh, which builds the programs and sets WEFT_BENCH_DIR (where
-- this file is), WEFT_BENCH_OUT (where the programs are) and PYTHON.

local USAGE = [[
usage: bench/run.sh [OPERATION...] [ROUNDS] [--only NAME,...] [--scale X] [--markdown]

  OPERATION    create sleep0 tasks semaphore queue sleepers timers; all by default
  ROUNDS       how often each program runs; 5 by default
  --only       the programs to run, of: weft limit go cqueues asyncio uvloop
  --scale X    X times the number of operations; 0.1 for a quick look
  --markdown   the machine, the command and the table as bench/README.md has them

A cell is the median over the rounds. In brackets: weft divided by it, the median of the
ratios within each round; below 1, weft is the cheaper. The figures of each run go to stderr.
LUA_FLAGS in the environment goes to weft's interpreter: LUA_FLAGS=-joff.]]

local DEFAULT_ROUNDS = 5
local TIME_LIMIT = 600 -- seconds for one program; then it counts as failed

local here = os.getenv "WEFT_BENCH_DIR" or "bench"
local common = dofile(here .. "/common.lua")
local quoted, capture = common.quoted, common.capture
local out = os.getenv "WEFT_BENCH_OUT" or "build/bench"
local weft_lua = (os.getenv "LUA" or "luajit") .. " " .. (os.getenv "LUA_FLAGS" or "")
local peer_lua = "env -u LUA_PATH -u LUA_CPATH luajit"
local python = quoted(os.getenv "PYTHON" or "python3")
local ops_py = python .. " " .. quoted(here .. "/peers/ops.py")
local limit, ops_go = quoted(out .. "/limit"), quoted(out .. "/ops-go")

-- The programs, in the order of the columns. `probe` succeeds where the program can run.
local programs = {
  {
    name = "weft",
    command = weft_lua .. " " .. quoted(here .. "/weft/ops.lua"),
    probe = os.getenv "WEFT_BENCH_NO_WEFT" and "false" or weft_lua .. [[ -e 'require "weft"']],
    needs = "a build of weft",
  },
  {
    name = "limit",
    command = limit,
    probe = "test -x " .. limit,
    needs = "gcc, pkg-config and libluajit2-5.1-dev",
  },
  {
    name = "go",
    command = "env GOMAXPROCS=1 " .. ops_go,
    probe = "test -x " .. ops_go,
    version = "go version | cut -d' ' -f3",
    needs = "golang-go",
  },
  {
    name = "cqueues",
    command = peer_lua .. " " .. quoted(here .. "/peers/ops_cqueues.lua"),
    probe = peer_lua .. [[ -e 'require "cqueues"']],
    version = peer_lua .. [[ -e 'print("cqueues " .. require("cqueues").VERSION)']],
    needs = "lua-cqueues",
  },
  {
    name = "asyncio",
    command = ops_py .. " asyncio",
    probe = python .. " -c 'import asyncio'",
    version = python .. " --version",
    needs = "python3",
  },
  {
    name = "uvloop",
    command = ops_py .. " uvloop",
    probe = python .. " -c 'import uvloop'",
    version = python .. [[ -c 'import uvloop; print("uvloop", uvloop.__version__)']],
    needs = "python3-uvloop",
  },
}

local function per_op(r) return r.cpu / r.n * 1e9 end
local function field(name, factor, divisor)
  return function(r) return r[name] * (factor or 1) / (divisor and r[divisor] or 1) end
end

-- The operations, each with the rows it gives: what, unit, target, format, and the figure made of
-- the fields that a program printed.
local operations = {
  create = { { "create_task + await, batches of 10,000", "ns CPU", "≤ 120", "%.0f", per_op } },
  sleep0 = { { "sleep(0), one task", "ns CPU", "≤ 60", "%.1f", per_op } },
  tasks = { { "sleep(0), 1,000 tasks", "ns CPU", "≤ 45", "%.1f", per_op } },
  semaphore = {
    { "semaphore(500) around sleep(0), 100,000 tasks", "ns CPU", "≤ 400", "%.0f", per_op },
  },
  queue = { { "bounded queue, one item through", "ns CPU", "≤ 40", "%.1f", per_op } },
  sleepers = {
    { "1,000,000 tasks asleep 1 to 2 s", "s wall", "≤ 2.9", "%.2f", field "wall" },
    { "the same", "s CPU", "≤ 1.8", "%.2f", field "cpu" },
    { "the same", "bytes a task", "≤ 700", "%.0f", field("rss", 1, "n") },
  },
  timers = {
    { "10,000 timers in 0 to 1 s, late by: p50", "ms", "≤ 1", "%.2f", field("p50", 1e3) },
    { "the same: p99", "ms", "≤ 5", "%.2f", field("p99", 1e3) },
    { "the same: early", "timers", "0", "%.0f", field "early", no_ratio = true },
    { "the same: early by at most", "ms", "0", "%.2f", field("earliest", 1e3), no_ratio = true },
  },
}
local order = { "create", "sleep0", "tasks", "semaphore", "queue", "sleepers", "timers" }

-- ---- the command line ----

local function die(message)
  io.stderr:write("bench: ", message, "\n\n", USAGE, "\n")
  os.exit(2)
end

local function parse(args)
  local options, chosen, only = { rounds = DEFAULT_ROUNDS, scale = "1", operations = {} }, {}, nil
  local i = 1
  local function value()
    i = i + 1
    return args[i] or die(args[i - 1] .. " wants a value")
  end
  while args[i] do
    local a = args[i]
    if a == "--help" or a == "-h" then
      print(USAGE)
      os.exit(0)
    elseif a == "--markdown" then
      options.markdown = true
    elseif a == "--scale" then
      options.scale = value()
      if not tonumber(options.scale) then die "--scale wants a number" end
    elseif a == "--only" then
      only = value()
    elseif a:match "^%d+$" then
      options.rounds = math.max(1, tonumber(a))
    elseif operations[a] then
      chosen[a] = true
    else
      die("no operation or option '" .. a .. "'")
    end
    i = i + 1
  end
  for _, name in ipairs(order) do
    if chosen[name] or not next(chosen) then table.insert(options.operations, name) end
  end
  local unknown
  options.programs, unknown = common.chosen_programs(programs, only)
  if unknown then die("no program '" .. unknown .. "'") end
  return options
end

-- ---- measuring ----

-- Runs one operation of one program; the fields that it printed, or nil and why not.
local function measure(program, operation, scale)
  local errors = quoted(out .. "/stderr")
  local command = ("timeout %d %s %s %s 2>%s"):format(
    TIME_LIMIT,
    program.command,
    operation,
    scale,
    errors
  )
  local line = capture(command):match("op=" .. operation .. " [^\n]*")
  if not line then
    local why = capture("head -n 1 " .. errors)
    return nil, why ~= "" and why or "no figures, or not within " .. TIME_LIMIT .. " s"
  end
  local fields = {}
  for key, value in line:gmatch "(%w+)=(%S+)" do
    fields[key] = tonumber(value)
  end
  return fields
end

-- All rounds of one operation: results[program][round] are the fields. Every other round goes
-- backwards, so that a drift of the machine's speed favours no one.
local function run_operation(name, options, notes)
  local results, count = {}, #options.programs
  for _, p in ipairs(options.programs) do results[p.name] = {} end
  for round = 1, options.rounds do
    local figures = {}
    for i = 1, count do
      local p = options.programs[round % 2 == 1 and i or count + 1 - i]
      local fields, why
      if not p.missing then fields, why = measure(p, name, options.scale) end
      results[p.name][round] = fields
      if why then notes[("%s %s failed: %s"):format(p.name, name, why)] = true end
      for _, row in ipairs(fields and operations[name] or {}) do
        table.insert(figures, p.name .. "=" .. row[4]:format(row[5](fields)))
      end
    end
    io.stderr:write(("%s %d/%d: "):format(name, round, options.rounds))
    io.stderr:write(table.concat(figures, " "), "\n")
  end
  return results
end

-- ---- the table ----

local function print_head(options)
  if not options.markdown then return print(common.machine(weft_lua, options.programs)) end
  print("Machine: " .. common.machine(weft_lua, options.programs) .. ".\n")
  print("Command: `bench/run.sh " .. table.concat(arg, " ") .. "`, " .. os.date "%Y-%m-%d" .. ".\n")
end

local function main()
  local options, notes, head = parse(arg), {}, { "operation", "unit", "target" }
  for _, p in ipairs(options.programs) do
    p.missing = not common.succeeds(p.probe)
    if p.missing then notes[("%s: n/a, needs %s"):format(p.name, p.needs)] = true end
    table.insert(head, p.name)
  end
  local rows = { head }
  for _, name in ipairs(options.operations) do
    local results = run_operation(name, options, notes)
    for _, row in ipairs(operations[name]) do
      local cells = { row[1], row[2], row[3] }
      for _, p in ipairs(options.programs) do
        table.insert(cells, common.cell(row, results, p.name, options.rounds))
      end
      table.insert(rows, cells)
    end
  end
  print_head(options)
  common.print_table(rows, options.markdown)
  common.print_notes(notes)
end

main()
