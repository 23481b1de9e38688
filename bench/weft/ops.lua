-- ops.lua: the operations of the benchmark in weft, written with its public interface alone.
-- usage: luajit ops.lua OPERATION [SCALE]; LUA_PATH and LUA_CPATH as `make -s env` says
local weft = require "weft"

local BATCH = 10000
local await, create_task, sleep = weft.await, weft.create_task, weft.sleep
local unpack = table.unpack or unpack

-- A clock that is not the loop's, so that a loop with a stale clock is found out. Without the ffi
-- there is only the loop's.
local function monotonic()
  local found, ffi = pcall(require, "ffi")
  if not found then
    local loop = weft.get_running_loop()
    return function() return loop:time() end
  end
  ffi.cdef [[
    typedef struct { long sec, nsec; } bench_timespec;
    int bench_clock_gettime(int, bench_timespec *) asm("clock_gettime");
  ]]
  local t = ffi.new "bench_timespec"
  return function()
    ffi.C.bench_clock_gettime(1, t) -- CLOCK_MONOTONIC on Linux
    return tonumber(t.sec) + tonumber(t.nsec) * 1e-9
  end
end

local function await_all(tasks)
  for i = 1, #tasks do await(tasks[i]) end
end

local function trivial() end

local function pass_create(n)
  for _ = 1, n / BATCH do
    local tasks = {}
    for i = 1, BATCH do tasks[i] = create_task(trivial) end
    await_all(tasks)
  end
end

local function pass_sleep0(n)
  for _ = 1, n do sleep(0) end
end

local function pass_tasks(n)
  local tasks = {}
  for i = 1, 1000 do tasks[i] = create_task(pass_sleep0, n / 1000) end
  await_all(tasks)
end

local function pass_semaphore(n)
  local sem = weft.semaphore(500)
  local function job()
    sem:acquire()
    sleep(0)
    sem:release()
  end
  local tasks = {}
  for i = 1, n do tasks[i] = create_task(job) end
  await_all(tasks)
end

local function pass_queue(n)
  local queue = weft.queue(100)
  local producer = create_task(function()
    for i = 1, n do queue:put(i) end
  end)
  local consumer = create_task(function()
    for _ = 1, n do queue:get() end
  end)
  await_all { producer, consumer }
end

local function rss()
  for line in io.lines("/proc/self/status") do
    local kib = line:match("^VmRSS:%s*(%d+)")
    if kib then return tonumber(kib) * 1024 end
  end
end

local function op_sleepers(scale)
  local n, asleep, rss_asleep, woken = math.floor(1000000 * scale), 0, 0, 0
  local now, done = monotonic(), weft.event()
  local function sleeper(delay)
    asleep = asleep + 1
    if asleep == n then rss_asleep = rss() end
    sleep(delay)
    woken = woken + 1
    if woken == n then done:set() end
  end
  local before, cpu, wall = rss(), os.clock(), now()
  for i = 0, n - 1 do
    create_task(sleeper, 1 + i * 7919 % 1000003 / 1000003)
  end
  done:wait()
  cpu, wall = os.clock() - cpu, now() - wall
  print(("op=sleepers n=%d cpu=%.6f wall=%.6f rss=%d"):format(n, cpu, wall, rss_asleep - before))
end

local function op_timers(scale)
  local n, late, early = math.floor(10000 * scale), {}, 0
  local loop, now, done = weft.get_running_loop(), monotonic(), weft.event()
  local function fire(deadline)
    late[#late + 1] = now() - deadline
    if #late == n then done:set() end
  end
  local base = now() + 0.1
  for i = 0, n - 1 do -- in an order that is not that of the deadlines
    local deadline = base + i * 7919 % n / n
    loop:call_later(deadline - now(), fire, deadline)
  end
  done:wait()
  table.sort(late)
  for _, d in ipairs(late) do
    if d < 0 then early = early + 1 end
  end
  local p50, p99 = late[math.floor((n - 1) / 2) + 1], late[math.floor((n - 1) * 0.99) + 1]
  print(
    ("op=timers n=%d p50=%.6f p99=%.6f early=%d earliest=%.6f"):format(
      n,
      p50,
      p99,
      early,
      math.max(0, -late[1])
    )
  )
end

-- name: the pass, operations in a pass, passes that are measured after one that is not
local passes = {
  create = { pass_create, 10 * BATCH, 5 },
  sleep0 = { pass_sleep0, 500000, 4 },
  tasks = { pass_tasks, 500000, 4 },
  semaphore = { pass_semaphore, 100000, 3 },
  queue = { pass_queue, 500000, 4 },
}

local function op_passes(name, scale)
  local run, n, count = unpack(passes[name])
  n = math.max(BATCH, math.floor(n * scale / BATCH) * BATCH)
  run(n)
  local now = monotonic()
  local cpu, wall = os.clock(), now()
  for _ = 1, count do run(n) end
  cpu, wall = os.clock() - cpu, now() - wall
  print(("op=%s n=%d cpu=%.6f wall=%.6f"):format(name, n * count, cpu, wall))
end

local name, scale = arg[1], tonumber(arg[2]) or 1
weft.run(function()
  if name == "sleepers" then
    op_sleepers(scale)
  elseif name == "timers" then
    op_timers(scale)
  elseif passes[name] then
    op_passes(name, scale)
  else
    error("ops.lua: no operation '" .. tostring(name) .. "'", 0)
  end
end)
