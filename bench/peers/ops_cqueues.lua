-- ops_cqueues.lua: the operations of the benchmark in cqueues, under LuaJIT.
-- cqueues has no task object, semaphore or queue: they are made here of its coroutines and
-- conditions.
-- usage: luajit ops_cqueues.lua OPERATION [SCALE]
local cqueues = require "cqueues"
local condition = require "cqueues.condition"

local BATCH = 10000
local cq = cqueues.new()

-- Counts the coroutines that have ended and wakes the one that waits for all of them.
local function group(n)
  local left, done = n, condition.new()
  local self = {}
  function self.finish()
    left = left - 1
    if left == 0 then done:signal() end
  end
  function self.wait()
    while left > 0 do done:wait() end
  end
  return self
end

local function trivial() end

local function pass_create(n)
  for _ = 1, n / BATCH do
    local all = group(BATCH)
    for _ = 1, BATCH do
      cq:wrap(function()
        trivial()
        all.finish()
      end)
    end
    all.wait()
  end
end

local function pass_sleep0(n)
  for _ = 1, n do cqueues.sleep(0) end
end

local function pass_tasks(n)
  local all = group(1000)
  for _ = 1, 1000 do
    cq:wrap(function()
      pass_sleep0(n / 1000)
      all.finish()
    end)
  end
  all.wait()
end

local function pass_semaphore(n)
  local permits, freed, all = 500, condition.new(), group(n)
  for _ = 1, n do
    cq:wrap(function()
      while permits == 0 do freed:wait() end
      permits = permits - 1
      cqueues.sleep(0)
      permits = permits + 1
      freed:signal(1)
      all.finish()
    end)
  end
  all.wait()
end

local function pass_queue(n)
  local max, buf, head, tail, count = 100, {}, 0, 0, 0
  local filled, emptied, all = condition.new(), condition.new(), group(2)
  local function put(v)
    while count == max do emptied:wait() end
    tail = tail % max + 1
    buf[tail] = v
    count = count + 1
    if count == 1 then filled:signal(1) end
  end
  local function get()
    while count == 0 do filled:wait() end
    head = head % max + 1
    count = count - 1
    if count == max - 1 then emptied:signal(1) end
    return buf[head]
  end
  cq:wrap(function()
    for i = 1, n do put(i) end
    all.finish()
  end)
  cq:wrap(function()
    for _ = 1, n do get() end
    all.finish()
  end)
  all.wait()
end

local function rss()
  for line in io.lines("/proc/self/status") do
    local kib = line:match("^VmRSS:%s*(%d+)")
    if kib then return tonumber(kib) * 1024 end
  end
end

local function op_sleepers(scale)
  local n, asleep, rss_asleep = math.floor(1000000 * scale), 0, 0
  local all = group(n)
  local function sleeper(delay)
    asleep = asleep + 1
    if asleep == n then rss_asleep = rss() end
    cqueues.sleep(delay)
    all.finish()
  end
  local before, cpu, wall = rss(), os.clock(), cqueues.monotime()
  for i = 1, n do
    cq:wrap(sleeper, 1 + (i - 1) * 7919 % 1000003 / 1000003)
  end
  all.wait()
  cpu, wall = os.clock() - cpu, cqueues.monotime() - wall
  print(("op=sleepers n=%d cpu=%.6f wall=%.6f rss=%d"):format(n, cpu, wall, rss_asleep - before))
end

local function op_timers(scale)
  local n, late, early = math.floor(10000 * scale), {}, 0
  local all = group(n)
  local base = cqueues.monotime() + 0.1
  for i = 0, n - 1 do -- in an order that is not that of the deadlines
    local deadline = base + i * 7919 % n / n
    cq:wrap(function()
      cqueues.sleep(deadline - cqueues.monotime())
      late[#late + 1] = cqueues.monotime() - deadline
      all.finish()
    end)
  end
  all.wait()
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
  local cpu, wall = os.clock(), cqueues.monotime()
  for _ = 1, count do run(n) end
  cpu, wall = os.clock() - cpu, cqueues.monotime() - wall
  print(("op=%s n=%d cpu=%.6f wall=%.6f"):format(name, n * count, cpu, wall))
end

local name, scale = arg[1], tonumber(arg[2]) or 1
cq:wrap(function()
  if name == "sleepers" then
    op_sleepers(scale)
  elseif name == "timers" then
    op_timers(scale)
  elseif passes[name] then
    op_passes(name, scale)
  else
    error("ops_cqueues.lua: no operation '" .. tostring(name) .. "'", 0)
  end
end)
assert(cq:loop())
