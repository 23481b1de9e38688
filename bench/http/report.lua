-- SPDX-License-Identifier: MIT
-- report.lua: runs the HTTP clients that run.sh built, in rounds, and prints one table of
-- medians.
local USAGE = [[
usage: bench/http/run.sh [CASE...] [ROUNDS] [--only NAME,...] [--seconds S] [--markdown]
  CASE         of: keep1 keep64 tls1 fresh slow100 slow1000 slow10000; all by default
  ROUNDS       how often each program runs; 3 by default
  --only       the programs to run, of: weft limit wrk go aiohttp lua-http
  --seconds S  how long each is measured, after half a second to warm up; 2 by default
  --markdown   the machine, the command and the table as bench/README.md has them

A cell is the median over the rounds. In brackets: weft divided by it, the median of the
ratios within each round; below 1, weft needs less. The figures of each run go to stderr.
LUA_FLAGS in the environment goes to weft's interpreter: LUA_FLAGS=-joff.]]

local DEFAULT_ROUNDS = 3
local DEFAULT_SECONDS = 2
local CONNECTIONS = 64
local TIME_LIMIT = 60 -- seconds for one program beside those of --seconds; then it has failed

local env = os.getenv
local here, out = env "WEFT_BENCH_DIR", env "WEFT_BENCH_OUT"
local common = dofile(here .. "/../common.lua")
local quoted, capture = common.quoted, common.capture
local weft_lua = (env "LUA" or "luajit") .. " " .. (env "LUA_FLAGS" or "")
local peer_lua = "env -u LUA_PATH -u LUA_CPATH luajit"
local python = quoted(env "PYTHON" or "python3")
local limit, go = quoted(out .. "/http-limit"), quoted(out .. "/http-go")

-- The programs, in the order of the columns. `probe` succeeds where the program can run; `skip`
-- are the cases that it cannot do.
local programs = {
  {
    name = "weft",
    command = weft_lua .. " " .. quoted(here .. "/weft_client.lua"),
    probe = weft_lua .. [[ -e 'require "weft.http"']],
    needs = "a build of weft",
  },
  {
    name = "limit",
    command = limit,
    probe = "test -x " .. limit,
    version = "openssl version | cut -d' ' -f1,2",
    needs = "gcc and what weft's build needs",
  },
  {
    name = "wrk",
    command = "wrk",
    probe = "command -v wrk && command -v bash",
    version = "wrk -v 2>&1 | head -n 1 | cut -d' ' -f1,2",
    needs = "wrk",
    skip = { fresh = true, slow = true },
  },
  {
    name = "go",
    command = "env GOMAXPROCS=1 " .. go,
    probe = "test -x " .. go,
    version = "go version | cut -d' ' -f3",
    needs = "golang-go",
  },
  {
    name = "aiohttp",
    command = python .. " " .. quoted(here .. "/client.py"),
    probe = python .. " -c 'import aiohttp, uvloop'",
    version = python
      .. [[ -c 'import aiohttp, uvloop; print("aiohttp", aiohttp.__version__ + ",", ]]
      .. [["uvloop", uvloop.__version__)']],
    needs = "python3-aiohttp and python3-uvloop",
  },
  {
    name = "lua-http",
    command = peer_lua .. " " .. quoted(here .. "/client_cqueues.lua"),
    probe = peer_lua .. [[ -e 'require "http.request"']],
    version = peer_lua .. [[ -e 'print("lua-http " .. require("http.version").version)']],
    needs = "lua-http and lua-cqueues",
  },
}

local function micros(r) return r.cpu / r.n * 1e6 end
local function rate(r) return r.n / r.wall end
local function wall(r) return r.wall end
local function kilobytes(r) return r.rss / 1024 end

-- A case: what a client does, where, with how many connections, and the rows it gives: what,
-- unit, target, format, and the figure made of the fields that a program printed.
local function throughput(what, url, target, operation)
  return { operation = operation or "keep", url = url, connections = CONNECTIONS, rows = {
    { what, "µs CPU", target, "%.1f", micros },
    { "the same", "requests/s", "", "%.0f", rate, no_ratio = true },
  } }
end

local function slow(count, seconds)
  return { operation = "slow", url = env "WEFT_BENCH_SLOW" .. "/", connections = count, rows = {
    { count .. " at once, answered after 3 s", "s wall", "≤ " .. seconds, "%.3f", wall },
    { "the same", "KB each", "≤ 12", "%.1f", kilobytes },
  } }
end

local http, https = env "WEFT_BENCH_HTTP", env "WEFT_BENCH_HTTPS"
local cases = {
  keep1 = throughput("1 KiB, keep-alive", http .. "/1k", "≤ 1.5 × C"),
  keep64 = throughput("64 KiB, keep-alive", http .. "/64k", "≤ 1.3 × C"),
  tls1 = throughput("1 KiB over TLS 1.3, keep-alive", https .. "/1k", "≤ 1.5 × C"),
  fresh = throughput("1 KiB, new TLS 1.3 connection each", https .. "/1k", "≤ 1.15 × C",
    "fresh"),
  slow100 = slow(100, "3.02"),
  slow1000 = slow(1000, "3.1"),
  slow10000 = slow(10000, "3.9"),
}
local order = { "keep1", "keep64", "tls1", "fresh", "slow100", "slow1000", "slow10000" }

-- ---- the command line ----

local function die(message)
  io.stderr:write("bench: ", message, "\n\n", USAGE, "\n")
  os.exit(2)
end

local function parse(args)
  local options = { rounds = DEFAULT_ROUNDS, seconds = DEFAULT_SECONDS, cases = {} }
  local chosen, only, i = {}, nil, 1
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
    elseif a == "--seconds" then
      options.seconds = tonumber(value()) or die "--seconds wants a number"
    elseif a == "--only" then
      only = value()
    elseif a:match "^%d+$" then
      options.rounds = math.max(1, tonumber(a))
    elseif cases[a] then
      chosen[a] = true
    else
      die("no case or option '" .. a .. "'")
    end
    i = i + 1
  end
  for _, name in ipairs(order) do
    if chosen[name] or not next(chosen) then table.insert(options.cases, name) end
  end
  local unknown
  options.programs, unknown = common.chosen_programs(programs, only)
  if unknown then die("no program '" .. unknown .. "'") end
  return options
end

-- ---- measuring ----

-- wrk counts its requests but not its time: bash does.
local function wrk_command(case, seconds)
  local command = ("%s wrk -t 1 -c %d -d %d %s"):format(env "WEFT_BENCH_PIN", case.connections,
    math.max(1, math.ceil(seconds)), case.url)
  return ([[bash -c 'TIMEFORMAT="cpu %%3U %%3S"; time timeout %d %s' 2>&1]]):format(
    TIME_LIMIT + seconds, command)
end

local function wrk_fields(text)
  local n, seconds = text:match "(%d+) requests in ([%d.]+)s"
  local user, system = text:match "cpu ([%d.]+) ([%d.]+)"
  if not (n and user) or text:find("Non-2xx", 1, true) or text:find("Socket errors", 1, true) then
    return nil, "errors, or no figures"
  end
  return { n = tonumber(n), wall = tonumber(seconds), cpu = tonumber(user) + tonumber(system) }
end

-- Runs one program once; the fields that it printed, or nil and why not.
local function measure(program, case, seconds)
  if program.name == "wrk" then return wrk_fields(capture(wrk_command(case, seconds))) end
  local errors = quoted(out .. "/stderr")
  local ca = case.url:match "^https" and quoted(env "WEFT_BENCH_CA") or ""
  local line = capture(("timeout %d %s %s %s %s %d %s %s 2>%s"):format(TIME_LIMIT + seconds,
    env "WEFT_BENCH_PIN", program.command, case.operation, case.url, case.connections, seconds, ca,
    errors)):match("op=" .. case.operation .. " [^\n]*")
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

-- What a reader of the table must know about a run.
local function judge(program, name, fields, why, notes)
  if why then
    notes[("%s %s failed: %s"):format(program.name, name, why)] = true
  elseif name == "fresh" and (fields.resumed or 0) < 0.99 * fields.n then
    notes[("%s fresh: %.0f %% of the handshakes were resumed"):format(program.name,
      (fields.resumed or 0) / fields.n * 100)] = true
  end
end

-- All rounds of one case: results[program][round] are the fields. Every other round goes
-- backwards, so that a drift of the machine's speed favours no one.
local function run_case(name, options, notes)
  local case, results, count = cases[name], {}, #options.programs
  for _, p in ipairs(options.programs) do results[p.name] = {} end
  for round = 1, options.rounds do
    local figures = {}
    for i = 1, count do
      local p = options.programs[round % 2 == 1 and i or count + 1 - i]
      if not p.missing and not (p.skip and p.skip[case.operation]) then
        local fields, why = measure(p, case, options.seconds)
        results[p.name][round] = fields
        judge(p, name, fields, why, notes)
        for _, row in ipairs(fields and case.rows or {}) do
          table.insert(figures, p.name .. "=" .. row[4]:format(row[5](fields)))
        end
      end
    end
    io.stderr:write(("%s %d/%d: "):format(name, round, options.rounds))
    io.stderr:write(table.concat(figures, " "), "\n")
  end
  return results
end

-- ---- the table ----

local function print_head(options)
  local machine = common.machine(weft_lua, options.programs) .. ", " .. capture "nginx -v 2>&1"
  if not options.markdown then return print(machine) end
  print("Machine: " .. machine .. ".\n")
  print(("Command: `bench/http/run.sh %s`, %s.\n"):format(table.concat(arg, " "),
    os.date "%Y-%m-%d"))
end

local function main()
  local options, notes, head = parse(arg), {}, { "case", "unit", "target" }
  for _, p in ipairs(options.programs) do
    p.missing = not common.succeeds(p.probe)
    if p.missing then notes[("%s: n/a, needs %s"):format(p.name, p.needs)] = true end
    table.insert(head, p.name == "limit" and "C" or p.name)
  end
  local rows = { head }
  for _, name in ipairs(options.cases) do
    local results = run_case(name, options, notes)
    for _, row in ipairs(cases[name].rows) do
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
