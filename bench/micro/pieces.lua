-- pieces.lua: what single pieces of weft cost in CPU time, to see where an operation spends it.
-- usage: luajit pieces.lua [NAME...] [--scale X]; without names, all.
-- One name and a large scale suit a profiler:
--   perf record -g luajit bench/micro/pieces.lua event --scale 20
--   luajit -jp=vl bench/micro/pieces.lua event --scale 20
--   luajit -jv bench/micro/pieces.lua event
-- LUA_PATH and LUA_CPATH are as `make -s env` says.
local weft = require "weft"

local await, create_task, sleep = weft.await, weft.create_task, weft.sleep
local order, pieces = {}, {}

-- Adds a piece: `run(n)` does it n times. A scale of 1 should take about a tenth of a second.
local function piece(name, n, what, run)
  table.insert(order, name)
  pieces[name] = { n = n, what = what, run = run }
end

local function nothing() end

piece("call", 1e7, "an empty Lua function, for scale", function(n)
  local f = nothing
  for _ = 1, n do f() end
end)

piece("current_task", 1e6, "current_task()", function(n)
  for _ = 1, n do weft.current_task() end
end)

piece("sleep0", 1e6, "sleep(0), alone: park, ready queue, unpark", function(n)
  for _ = 1, n do sleep(0) end
end)

piece("sleep0_pair", 1e6, "sleep(0), two tasks", function(n)
  local other = create_task(function()
    for _ = 1, n / 2 do sleep(0) end
  end)
  for _ = 1, n / 2 do sleep(0) end
  await(other)
end)

piece("sleep0_deep", 1e6, "sleep(0) under 20 Lua frames and a pcall", function(n)
  local function deep(level)
    if level == 0 then
      for _ = 1, n do sleep(0) end
      return
    end
    deep(level - 1)
    return nil
  end
  assert(pcall(deep, 20))
end)

piece("create", 1e5, "create_task alone; the task runs and ends, nobody awaits it", function(n)
  for i = 1, n do
    create_task(nothing)
    if i % 10000 == 0 then sleep(0) end
  end
end)

piece("create_await", 3e5, "create_task and await, one at a time", function(n)
  for _ = 1, n do await(create_task(nothing)) end
end)

piece("await_function", 3e5, "await(fn)", function(n)
  for _ = 1, n do await(nothing) end
end)

piece("await_done", 1e6, "await of a task that has ended", function(n)
  local task = create_task(nothing)
  await(task)
  for _ = 1, n do await(task) end
end)

piece("future", 3e5, "create_future, set_result, await: no wait", function(n)
  local loop = weft.get_running_loop()
  for _ = 1, n do
    local f = loop:create_future()
    f:set_result(1)
    f:await()
  end
end)

piece("event", 5e5, "one wait woken by another task: set, wait, clear", function(n)
  local ping, pong = weft.event(), weft.event()
  local other = create_task(function()
    for _ = 1, n / 2 do
      ping:wait()
      ping:clear()
      pong:set()
    end
  end)
  for _ = 1, n / 2 do
    ping:set()
    pong:wait()
    pong:clear()
  end
  await(other)
end)

piece("semaphore", 1e6, "acquire and release of a free semaphore", function(n)
  local sem = weft.semaphore(1)
  for _ = 1, n do
    sem:acquire()
    sem:release()
  end
end)

piece("semaphore_with", 1e6, "semaphore:with(fn), free", function(n)
  local sem = weft.semaphore(1)
  for _ = 1, n do sem:with(nothing) end
end)

piece("semaphore_taken", 3e5, "acquire and release of a semaphore that another holds", function(n)
  local sem = weft.semaphore(1)
  local function job()
    for _ = 1, n / 2 do
      sem:acquire()
      sleep(0)
      sem:release()
    end
  end
  local other = create_task(job)
  job()
  await(other)
end)

piece("queue_nowait", 1e6, "put_nowait and get_nowait", function(n)
  local q = weft.queue()
  for i = 1, n do
    q:put_nowait(i)
    q:get_nowait()
  end
end)

piece("queue_ready", 1e6, "put and get that need not wait", function(n)
  local q = weft.queue()
  for i = 1, n do
    q:put(i)
    q:get()
  end
end)

piece("queue_one", 5e5, "put and get through a queue of one place", function(n)
  local q = weft.queue(1)
  local consumer = create_task(function()
    for _ = 1, n do q:get() end
  end)
  for i = 1, n do q:put(i) end
  await(consumer)
end)

piece("call_soon", 5e5, "call_soon, in batches of 1,000", function(n)
  local loop = weft.get_running_loop()
  for i = 1, n do
    loop:call_soon(nothing)
    if i % 1000 == 0 then sleep(0) end
  end
end)

piece("timer_cancel", 5e5, "call_later and cancel, among 10,000 others", function(n)
  local loop, others = weft.get_running_loop(), {}
  for i = 1, 10000 do others[i] = loop:call_later(1000 + i, nothing) end
  for i = 1, n do loop:call_later(500 + i % 1000, nothing):cancel() end
  for i = 1, #others do others[i]:cancel() end
end)

piece("timer_expire", 3e5, "call_later that expires at once, in batches of 10,000", function(n)
  local loop = weft.get_running_loop()
  for i = 1, n do
    loop:call_later(1e-6 * (i % 100), nothing)
    if i % 10000 == 0 then sleep(0.002) end
  end
end)

piece("timeout", 3e5, "timeout(60, fn) around nothing", function(n)
  for _ = 1, n do weft.timeout(60, nothing) end
end)

piece("wait_for", 1e5, "wait_for(fn, 60)", function(n)
  for _ = 1, n do weft.wait_for(nothing, 60) end
end)

piece("gather", 2e5, "gather of 1,000 functions, each", function(n)
  local list = {}
  for i = 1, 1000 do list[i] = nothing end
  for _ = 1, n / 1000 do weft.gather(list) end
end)

piece("task_group", 2e5, "task_group of 1,000 tasks, each", function(n)
  for _ = 1, n / 1000 do
    weft.task_group(function(group)
      for _ = 1, 1000 do group:create_task(nothing) end
    end)
  end
end)

piece("cancel", 1e5, "create, park, cancel, and see it end", function(n)
  for _ = 1, n / 1000 do
    local tasks = {}
    for i = 1, 1000 do tasks[i] = create_task(sleep, 1000) end
    sleep(0)
    for i = 1, 1000 do tasks[i]:cancel() end
    for i = 1, 1000 do pcall(await, tasks[i]) end
  end
end)

piece("generator", 1e6, "a step of a coroutine.wrap generator inside a task", function(n)
  local yield = coroutine.yield
  for _ in
    coroutine.wrap(function()
      for i = 1, n do yield(i) end
    end)
  do
  end
end)

piece("generator_wait", 5e5, "a step of a generator that does sleep(0) each time", function(n)
  local yield = coroutine.yield
  for _ in
    coroutine.wrap(function()
      for i = 1, n do
        sleep(0)
        yield(i)
      end
    end)
  do
  end
end)

local names, scale, i = {}, 1, 1
while arg[i] do
  if arg[i] == "--scale" then
    i = i + 1
    scale = assert(tonumber(arg[i]), "--scale wants a number")
  else
    assert(pieces[arg[i]], "no piece '" .. arg[i] .. "'")
    table.insert(names, arg[i])
  end
  i = i + 1
end
if #names == 0 then names = order end

weft.run(function()
  for _, name in ipairs(names) do
    local p = pieces[name]
    local n = math.max(10000, math.floor(p.n * scale / 10000) * 10000)
    p.run(n)
    local t = os.clock()
    p.run(n)
    t = os.clock() - t
    print(("%-16s %8.1f ns  %s"):format(name, t / n * 1e9, p.what))
  end
end)
