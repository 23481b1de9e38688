-- SPDX-License-Identifier: MIT
-- src/loop/loop.c: what a loop is to its process: fork, threads, memory, and its end, in any
-- order and at any time. Turns and order are in spec/weft/loop_spec.lua and timer_spec.lua.
--
-- What ends a lua_State is tried in processes of their own, whose exit status tells of a
-- crash, and in which a sanitizer, if the specs run under one, looks for leaks.

local weft = require "weft"
local core = require "weft.core"
local cc = require "spec.c.cc"
local support = require "spec.support"
local waits = require "spec.waits"

local function collect()
  collectgarbage()
  collectgarbage()
end

describe("a loop after fork", function()
  it("is refused in the child, which can make its own; the parent's goes on", function()
    local text, status = cc.script [[
      local loop = weft.get_event_loop()
      local got = 0
      loop:add_signal_handler("SIGUSR1", function() got = got + 1 end)
      local task = loop:create_task(function() weft.sleep(0.05) return "parent" end)
      loop:run_once()
      local pid = posix.fork()
      if pid == 0 then
        for _, name in ipairs { "run_once", "run_forever" } do
          local ok, e = pcall(loop[name], loop)
          print(name, e.kind, e.code)
        end
        print("run", select(2, pcall(loop.run_until_complete, loop, print)).message)
        print(tostring(loop), weft.get_event_loop() == loop)
        print(weft.run(function() weft.sleep(0.001) return "child" end))
        loop:close()
        os.exit(7, true)
      end
      print(posix.wait(pid))
      posix.kill(0, 10)
      print(loop:run_until_complete(task), got)
      loop:remove_signal_handler "SIGUSR1"
      loop:close()]]
    assert.same({ "run_once\tstate\tEFORKED\nrun_forever\tstate\tEFORKED\n"
      .. "run\tthe event loop belongs to the parent process: it cannot be used after fork\n"
      .. "Loop<forked tasks=1>\tfalse\nchild\n7\nparent\t1\n", 0 }, { text, status })
  end)

  it("ends with the child, in whatever way, and harms nothing of the parent's", function()
    for _, ending in ipairs { "os.exit(0, true)", "os.exit(0)", "posix.leave(0)",
      "loop:close() os.exit(0, true)",
      "loop = nil collectgarbage() collectgarbage() os.exit(0, true)" } do
      local text, status = cc.script([[
        local loop = weft.new_event_loop()
        loop:set_exception_handler(function() end)
        local got
        loop:add_signal_handler("SIGUSR1", function() got = true loop:stop() end)
        loop:create_task(weft.sleep, 1000)
        loop:run_once()
        local pid = posix.fork()
        if pid == 0 then ]] .. ending .. [[ end
        assert(posix.wait(pid) == 0, "the child failed")
        posix.kill(0, 10)
        loop:run_forever()
        print(got)
        loop:close()]], ending == "os.exit(0)" and "ASAN_OPTIONS=detect_leaks=0")
      assert.same({ "true\n", 0 }, { text, status }, ending)
    end
  end)

  it("that is in a turn ends its run in the child", function()
    local text, status = cc.script [[
      local pid
      local ok, e = pcall(weft.run, function()
        weft.create_task(weft.sleep, 1000)
        pid = posix.fork()
        weft.sleep(0.001)
        return "parent goes on"
      end)
      if pid == 0 then
        print(ok, e.code)
        os.exit(0, true)
      end
      print(posix.wait(pid), ok)]]
    assert.same({ "false\tEFORKED\n0\ttrue\n", 0 }, { text, status })
  end)

  it("lets a task of the child leave at once", function()
    local text, status = cc.script [[
      weft.run(function()
        local pid = posix.fork()
        if pid == 0 then os.exit(5, true) end
        weft.sleep(0.001)
        print(posix.wait(pid))
      end)]]
    assert.same({ "5\n", 0 }, { text, status })
  end)
end)

describe("lua_States in threads", function()
  local source = [[
    local number, round = ...
    package.path = PATH
    local weft = require "weft"
    local core = require "weft.core"
    local blocks = core.memory()
    local sum = weft.run(function()
      local lock, queue, sum = weft.lock(), weft.queue(3), 0
      local tasks = {}
      for i = 1, 50 do
        tasks[i] = weft.create_task(function()
          weft.sleep(i % 7 / 1000)
          queue:put(i)
          local value = queue:get()
          lock:with(function()
            weft.sleep(0)
            sum = sum + value
          end)
        end)
      end
      weft.get_running_loop():add_signal_handler("SIGUSR" .. number % 2 + 1, print)
      weft.gather(tasks)
      assert(weft.current_task():get_name() == "main")
      assert(not pcall(weft.timeout, 0.001, weft.sleep, 10))
      return sum
    end)
    assert(sum == 50 * 51 / 2, sum)
    collectgarbage()
    collectgarbage()
    assert(core.memory() == blocks, core.memory() - blocks)
    if round % 2 == 0 then -- ends with all kinds of things under way
      local loop = weft.get_event_loop()
      loop:create_task(weft.sleep, 100)
      loop:call_later(100, print)
      loop:run_once()
    end
  ]]

  it("have loops of their own and share nothing", function()
    local path = os.tmpname()
    local file = assert(io.open(path, "w"))
    file:write((source:gsub("PATH", ("%q"):format(package.path))))
    file:close()
    local output, status = cc.run(cc.host("states"), ("4 %d %s"):format(support.rounds(6),
      support.quote(path)))
    os.remove(path)
    assert.same({ "", 0 }, { output, status })
  end)
end)

describe("the end of a lua_State", function()
  -- A script that begins with what looks at the C memory last of all, and so is finalized
  -- after all of weft.
  local function ends(body, before)
    local text, status = cc.script([[
      SENTINEL = newproxy and newproxy(true) or setmetatable({}, {})
      local meta = getmetatable(SENTINEL)
      meta.__gc = function() print("blocks", (package.loaded["weft.core"].memory())) end
      if not newproxy then setmetatable(SENTINEL, meta) end
    ]] .. body, before)
    return text, status
  end

  local CASES = {
    ["tasks that sleep, wait and were never started"] = [[
      weft.create_task(weft.sleep, 100)
      weft.create_task(function() weft.event():wait() end)
      weft.create_task(function() weft.create_future():await() end)
      weft.get_event_loop():run_once()
      weft.create_task(print, 1, 2, 3)
      weft.create_task(print)]],
    ["tasks that were woken"] = [[
      local q = weft.queue()
      weft.create_task(function() q:get() end)
      weft.create_task(function() weft.sleep(0) weft.sleep(0) end)
      weft.get_event_loop():run_once()
      q:put_nowait(1)]],
    ["callbacks soon, later and taken back"] = [[
      local loop = weft.get_event_loop()
      loop:call_soon(print)
      loop:call_later(100, print, loop)
      loop:call_later(100, print, loop):cancel()]],
    ["signal handlers"] = [[
      local loop = weft.get_event_loop()
      loop:add_signal_handler("SIGUSR1", print)
      loop:run_once()
      loop:add_signal_handler("SIGUSR2", print)
      posix.kill(0, 10)]],
    ["combinations of tasks in the middle of their work"] = [[
      weft.create_task(function()
        weft.timeout(100, function()
          weft.gather(weft.create_task(weft.sleep, 1), function() weft.sleep(100) end)
        end)
      end)
      weft.create_task(function()
        for _ in weft.map({ 1, 2, 3 }, function() weft.sleep(10) end) do end
      end)
      weft.create_task(function()
        weft.task_group(function(g) g:create_task(weft.sleep, 10) weft.sleep(20) end)
      end)
      weft.create_task(function() weft.wait({ weft.create_future() }) end)
      for _ = 1, 4 do weft.get_event_loop():run_once() end]],
    ["coroutines in tasks"] = [[
      weft.create_task(function()
        coroutine.wrap(function()
          coroutine.wrap(function() weft.sleep(100) end)()
        end)()
      end)
      weft.get_event_loop():run_once()]],
    ["several loops, one of them closed"] = [[
      local loops = {}
      for i = 1, 5 do
        loops[i] = weft.new_event_loop()
        loops[i]:create_task(weft.sleep, 100)
        loops[i]:run_once()
      end
      loops[1]:set_exception_handler(function() end)
      loops[1]:close()]],
    ["a run inside of which the program ends"] = [[
      weft.run(function()
        weft.create_task(weft.sleep, 100)
        weft.sleep(0)
        coroutine.wrap(function() os.exit(0, true) end)()
      end)]],
    ["a callback in which the program ends"] = [[
      weft.run(function()
        weft.get_running_loop():call_soon(os.exit, 0, true)
        weft.sleep(100)
      end)]],
    ["an exception handler in which the program ends"] = [[
      weft.run(function()
        local loop = weft.get_running_loop()
        loop:set_exception_handler(function() os.exit(0, true) end)
        loop:call_soon(error)
        weft.sleep(100)
      end)]],
    ["a finalizer that uses weft"] = [[
      local function finalized(fn)
        local p = newproxy and newproxy(true) or setmetatable({}, {})
        getmetatable(p).__gc = fn
        return newproxy and p or setmetatable(p, getmetatable(p))
      end
      local loop = weft.get_event_loop()
      local task = loop:create_task(weft.sleep, 100)
      loop:run_once()
      local function nothing() end
      keep = { finalized(function()
        task:cancel()
        pcall(loop.call_soon, loop, nothing)
        pcall(loop.run_once, loop)
        pcall(loop.close, loop)
        pcall(weft.run, weft.sleep, 0)
        pcall(weft.tree, loop)
      end) }]],
  }
  for name, body in pairs(CASES) do
    it("is clean with " .. name, function()
      assert.same({ "blocks\t0\n", 0 }, { ends(body) })
    end)
  end

  it("reports an error that nobody looked at", function()
    local text, status = ends [[
      local task = weft.create_task(error, "lost", 0)
      weft.get_event_loop():run_once()]]
    assert.equal(0, status)
    assert.matches("^weft: the error of a task was never retrieved: Task%-1\nraised: lost\n.*"
      .. "blocks\t0\n$", text)
  end)

  it("is clean with an error in a finalizer", function()
    local text, status = ends [[
      local p = newproxy and newproxy(true) or setmetatable({}, {})
      getmetatable(p).__gc = function() error "in a finalizer" end
      if not newproxy then setmetatable(p, getmetatable(p)) end
      weft.create_task(weft.sleep, 100)
      weft.get_event_loop():run_once()]]
    assert.equal(0, status)
    assert.matches("blocks\t0\n$", text)
  end)

  it("is clean after an error that ends the program", function()
    local text, status = ends [[
      weft.run(function()
        weft.create_task(weft.sleep, 100)
        weft.sleep(0)
        error("the end", 0)
      end)]]
    assert.equal(1, status)
    assert.matches("the end\n.*blocks\t0\n$", text)
  end)

  it("in the middle of a turn lets the finalizers that come after it use weft", function()
    local text, status = ends [[
      local p = newproxy and newproxy(true) or setmetatable({}, {})
      getmetatable(p).__gc = function()
        print(weft.current_task(), pcall(weft.get_running_loop))
        print(pcall(weft.run, function() return "run" end))
      end
      if not newproxy then setmetatable(p, getmetatable(p)) end
      keep = p
      weft.run(function()
        weft.sleep(0)
        os.exit(0, true)
      end)]]
    assert.equal(0, status)
    assert.matches("^nil\tfalse\tstate: no event loop is running\ntrue\trun\nblocks\t0\n$", text)
  end)

  it("finds nothing left when weft itself was never used", function()
    assert.same({ "blocks\t0\n", 0 }, { ends "" })
  end)

  -- Pseudo-random programs: each makes, drops, closes, runs and collects at random, and ends
  -- at random: by its end, by an error, inside a task, by os.exit.
  it("is clean after anything, in any order", function()
    local program = [[
      local seed = SEED
      local function random(a, b)
        seed = seed * 16807 % 2147483647
        return a + math.floor(seed / 2147483647 * (b - a + 1))
      end
      local loops, things = {}, {}
      local function keep(x) things[random(1, 8)] = x end
      local function loop()
        local i = random(1, 3)
        if not loops[i] or loops[i]:is_closed() then
          loops[i] = weft.new_event_loop()
          loops[i]:set_exception_handler(function() end)
        end
        return loops[i]
      end
      local event, queue = weft.event(), weft.queue(2)
      local body
      local actions = {
        function() keep(loop():create_task(body, random(1, 4))) end,
        function() keep(loop():create_task(body)) end,
        function() keep(loop():create_task(weft.sleep, 0.001 * random(0, 3))) end,
        function() keep(loop():call_soon(function() keep {} end)) end,
        function() keep(loop():call_soon(error, "x")) end,
        function() keep(loop():call_later(0.001 * random(0, 3), function() end)) end,
        function() keep(loop():create_future()) end,
        function() loop():add_signal_handler("SIGUSR1", function() end) end,
        function() loop():remove_signal_handler("SIGUSR1") end,
        function() posix.kill(0, 28) end,
        function() pcall(loop().run_once, loop()) end,
        function() pcall(loop().run_once, loop()) end,
        function() pcall(loop().run_until_complete, loop(), function() weft.sleep(0) end) end,
        function() pcall(loop().close, loop()) end,
        function() loops[random(1, 3)] = nil end,
        function() things = {} end,
        function() collectgarbage() end,
        function() collectgarbage("step", 10) end,
        function() event:set() event:clear() end,
        function() pcall(queue.put_nowait, queue, 1) end,
        function() pcall(queue.get_nowait, queue) end,
        function()
          local x = things[random(1, 8)]
          if x and type(x) ~= "table" and x.cancel then pcall(x.cancel, x) end
        end,
      }
      local function act() actions[random(1, #actions)]() end
      local waits = {
        function() event:wait() end,
        function() queue:put(1) end,
        function() queue:get() end,
        function() weft.sleep(0) end,
        function() weft.sleep(0.001) end,
        function() weft.timeout(0.001, event.wait, event) end,
        function() weft.gather(function() weft.sleep(0) end, body) end,
        function() coroutine.wrap(function() weft.sleep(0) end)() end,
        function() error {} end,
        function() weft.finally(function() weft.sleep(1) end, act) end,
        function() weft.shield(weft.create_task(weft.sleep, 0)) end,
      }
      local ending
      function body(n)
        for _ = 1, n or 2 do
          if random(1, 3) == 1 then act() end
          if ending and random(1, 2) == 1 then ending() end
          waits[random(1, #waits)]()
        end
      end
      for i = 1, random(5, 60) do act() end
      local how = random(1, 5)
      if how == 1 then error "the end" end
      if how == 2 then os.exit(0, true) end
      if how == 3 then
        function ending() os.exit(0, true) end
        for i = 1, 20 do act() end
      end
      if how == 4 then
        pcall(weft.run, function()
          body(3)
          os.exit(0, true)
        end)
      end
    ]]
    for seed = 1, support.rounds(60) do
      local text, status = ends((program:gsub("SEED", seed * 7919)))
      assert.matches("blocks\t0\n$", text, 1, nil, "seed " .. seed)
      local expected = text:find("the end\n", 1, true) and 1 or 0
      assert.equal(expected, status, "seed " .. seed .. ": " .. text)
    end
  end)
end)

describe("the memory of a loop", function()
  it("is given back when it is closed, whatever it was used for", support.outside(function()
    local blocks, bytes = core.memory()
    local loop = weft.new_event_loop()
    loop:set_exception_handler(function() end)
    for i = 1, 300 do
      loop:create_task(weft.sleep, i)
      loop:call_later(i, print)
    end
    loop:run_once()
    local blocks_now, bytes_now = core.memory()
    assert.is_true(blocks_now > blocks and bytes_now > bytes + 300 * 16)
    loop:close()
    blocks_now, bytes_now = core.memory()
    assert.same({ blocks, bytes }, { blocks_now, bytes_now })
  end))

  it("is given back when it is collected", support.outside(function()
    local blocks, bytes = core.memory()
    for _ = 1, 10 do
      local loop = weft.new_event_loop()
      loop:create_task(weft.sleep, 10)
      loop:run_once()
    end
    collect()
    local now, bytes_now = core.memory()
    assert.same({ blocks, bytes }, { now, bytes_now })
  end))

  it("is kept for as long as a task, a future or a handle of it is kept", support.outside(
    function()
      local blocks = core.memory()
      for _, make in ipairs {
        function(loop) return loop:create_task(weft.sleep, 10) end,
        function(loop) return loop:create_future() end,
        function(loop) return loop:call_later(10, print) end,
      } do
        local thing = make(weft.new_event_loop())
        collect()
        assert.is_true(core.memory() > blocks)
        assert.is_string(tostring(thing))
        thing:cancel()
        assert.is_true(thing:cancelled() or thing:cancelling() == 1)
        thing = nil -- luacheck: ignore 311
        collect()
        assert.equal(blocks, (core.memory()))
      end
    end))
end)

describe("loops made, used and dropped at random", function()
  it("leave nothing", support.outside(function()
    local random = waits.random(23)
    local loops, things = {}, {}
    for _ = 1, support.rounds(3000) do
      local i, what = random(1, 4), random(1, 12)
      local loop = loops[i]
      if not loop or loop:is_closed() then
        loop = weft.new_event_loop()
        loop:set_exception_handler(function() end)
        loops[i] = loop
      end
      local j = random(1, 10)
      if what <= 2 then
        things[j] = loop:create_task(weft.sleep, random(0, 2) / 1e4)
      elseif what == 3 then
        things[j] = loop:create_task(function() loop:create_future():await() end)
      elseif what == 4 then
        things[j] = loop:call_later(random(0, 2) / 1e4, function() end)
      elseif what == 5 then
        things[j] = loop:call_soon(error)
      elseif what == 6 then
        things[j] = loop:create_future()
      elseif what == 7 and things[j] then
        pcall(things[j].cancel, things[j])
      elseif what == 8 then
        things[j] = nil
      elseif what == 9 then
        loops[i] = nil
      elseif what == 10 then
        loop:close()
      elseif what == 11 then
        collectgarbage("step", 50)
      else
        loop:run_once()
      end
    end
  end))
end)
