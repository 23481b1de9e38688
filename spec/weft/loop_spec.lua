-- SPDX-License-Identifier: MIT
-- weft.loop: the methods of event loops: running and stopping, the default loop, calls and
-- their handles, errors nobody caught, debug mode, deadlocks, and a host that drives the loop.

local weft = require "weft"
local support = require "spec.support"
local testing = require "weft.testing"
local cc = require "spec.c.cc"

local unpack = table.unpack or unpack

-- The body of a spec that gets a fresh loop, which is not running.
local function with_loop(fn)
  return support.outside(function()
    local loop = weft.new_event_loop()
    local ok, e = xpcall(fn, function(e)
      return type(e) == "string" and debug.traceback(e, 2) or e
    end, loop)
    loop:close()
    if not ok then
      error(e, 0)
    end
  end)
end

-- A function that notes that it was called, with which arguments.
local function recorder()
  local calls = {}
  return calls, function(...)
    local parts = { n = select("#", ...), ... }
    for i = 1, parts.n do
      parts[i] = tostring(parts[i])
    end
    calls[#calls + 1] = table.concat(parts, " ")
  end
end

local function collect_reports(loop)
  local contexts = {}
  loop:set_exception_handler(function(_, context)
    contexts[#contexts + 1] = context
  end)
  return contexts
end

-- Runs the loop for one turn.
local function turn(loop)
  loop:stop()
  loop:run_forever()
end

describe("run_until_complete", function()
  it("runs a function, a task or a future and returns its results", with_loop(function(loop)
    local function pack(...)
      return { n = select("#", ...), ... }
    end
    assert.same({ n = 3, 1, nil, 3 }, pack(loop:run_until_complete(function()
      weft.sleep(0)
      return 1, nil, 3
    end)))
    local task = loop:create_task(function(a) return a end, "x")
    assert.equal("x", loop:run_until_complete(task))
    assert.equal("x", loop:run_until_complete(task)) -- which is done
    local future = loop:create_future()
    loop:call_later(0.001, function() future:set_result(1, 2) end)
    assert.same({ n = 2, 1, 2 }, pack(loop:run_until_complete(future)))
  end))

  it("raises what it raised", with_loop(function(loop)
    assert.equal("x", support.error_of(loop.run_until_complete, loop, function() error("x", 0) end))
    local future = loop:create_future()
    future:set_exception(weft.Error { kind = "dns" })
    support.raises("dns", loop.run_until_complete, loop, future)
    local task = loop:create_task(weft.sleep, 10)
    task:cancel()
    support.raises("cancelled", loop.run_until_complete, loop, task)
  end))

  it("leaves the other tasks where they are, to go on in the next run", with_loop(function(loop)
    local steps = 0
    local other = loop:create_task(function()
      for _ = 1, 10 do
        steps = steps + 1
        weft.sleep(0)
      end
      return "other"
    end)
    loop:run_until_complete(function() end)
    assert.is_true(steps < 10)
    assert.is_false(other:done())
    assert.equal("other", loop:run_until_complete(other))
    assert.equal(10, steps)
  end))

  it("refuses what is not to be run here", with_loop(function(loop)
    local other = weft.new_event_loop()
    local task = other:create_task(function() return 1 end)
    support.raises("state", loop.run_until_complete, loop, task)
    assert.equal(1, other:run_until_complete(task))
    other:close()
    support.raises("closed", other.run_until_complete, other, function() end)
    support.raises("type", loop.run_until_complete, loop, 5)
    support.raises("type", loop.run_until_complete, loop, nil)
    support.raises("type", loop.run_until_complete, {}, function() end)
    loop:run_until_complete(function()
      support.raises({ "state", "EREENTERED" }, loop.run_until_complete, loop, function() end)
      support.raises({ "state", "EREENTERED" }, loop.run_forever, loop)
      support.raises({ "state", "EREENTERED" }, loop.run_once, loop)
    end)
  end))

  it("raises state when the loop is stopped before the end", with_loop(function(loop)
    local task = loop:create_task(function()
      loop:stop()
      weft.sleep(0)
      return "later"
    end)
    support.raises({ "state", "stopped" }, loop.run_until_complete, loop, task)
    assert.is_false(task:done())
    assert.equal("later", loop:run_until_complete(task))
  end))

  it("is not stopped when the end comes in the same turn", with_loop(function(loop)
    assert.equal(5, loop:run_until_complete(function()
      loop:stop()
      return 5
    end))
  end))

  it("says whether the loop runs", with_loop(function(loop)
    assert.is_false(loop:is_running())
    assert.matches("^Loop<open tasks=0>$", tostring(loop))
    loop:run_until_complete(function()
      assert.is_true(loop:is_running())
      assert.equal("Loop<running tasks=1>", tostring(loop))
    end)
    assert.is_false(loop:is_running())
    loop:close()
    assert.is_false(loop:is_running())
    assert.equal("Loop<closed tasks=0>", tostring(loop))
  end))
end)

describe("run_forever and stop", function()
  it("lets the current turn end, and keeps what comes after it", with_loop(function(loop)
    local calls, note = recorder()
    loop:call_soon(function()
      note("a")
      loop:stop()
      loop:call_soon(note, "later")
      note("b")
    end)
    loop:call_soon(note, "c")
    loop:create_task(note, "task")
    loop:run_forever()
    assert.same({ "a", "b", "c", "task" }, calls)
    turn(loop)
    assert.same({ "a", "b", "c", "task", "later" }, calls)
  end))

  it("makes one turn when it was stopped before", with_loop(function(loop)
    local calls, note = recorder()
    loop:call_soon(note, "ready")
    loop:call_soon(function() loop:call_soon(note, "next turn") end)
    loop:call_later(1000, note, "much later")
    loop:stop()
    loop:stop()
    loop:run_forever()
    assert.same({ "ready" }, calls)
    loop:call_soon(loop.stop, loop)
    loop:run_forever() -- the stops of before count no more
    assert.same({ "ready", "next turn" }, calls)
  end))

  it("is stopped by a task, a callback or a timer", with_loop(function(loop)
    loop:create_task(function()
      weft.sleep(0.001)
      loop:stop()
    end)
    loop:run_forever()
    loop:call_soon(loop.stop, loop)
    loop:run_forever()
    loop:call_later(0.001, loop.stop, loop)
    loop:run_forever()
  end))

  it("waits where run_until_complete would find a deadlock", function()
    local text, status = cc.script [[
      local loop, parent = weft.new_event_loop(), posix.getpid()
      loop:create_task(function() loop:create_future():await() end)
      if posix.fork() == 0 then
        posix.poll(-1, 0.1)
        posix.kill(parent, 9)
        posix.leave(0)
      end
      loop:run_forever()
      print "not here"]]
    assert.same({ "", 128 + 9 }, { text, status })
  end)

  it("uses no processor time while it waits for ever", function()
    local text, status = cc.script [[
      local parent = posix.getpid()
      if posix.fork() == 0 then
        posix.poll(-1, 0.2)
        posix.kill(parent, 15)
        posix.leave(0)
      end
      local loop = weft.get_event_loop()
      loop:add_signal_handler("SIGTERM", loop.stop, loop)
      loop:create_task(weft.sleep, math.huge)
      local before = posix.cpu()
      loop:run_forever()
      loop:remove_signal_handler "SIGTERM"
      assert(posix.cpu() - before < 0.1, posix.cpu() - before)
      before = posix.cpu()
      loop:call_later(0.2, loop.stop, loop)
      loop:run_forever()
      assert(posix.cpu() - before < 0.1, posix.cpu() - before)
      print "fine"]]
    assert.same({ "fine\n", 0 }, { text, status })
  end)
end)

describe("a closed loop", function()
  it("has closed what was to be closed with it, and told what failed", support.outside(function()
    local loops = require "weft.loop"
    local loop, order, reported = weft.new_event_loop(), {}, nil
    loop:set_exception_handler(function(_, context) reported = context.exception end)
    loops._at_close(loop, function() order[#order + 1] = 1 end)
    loops._at_close(loop, function() error("mine", 0) end)
    loops._at_close(loop, function() order[#order + 1] = loop:is_closed() end)
    loop:close()
    loop:close()
    assert.same({ 1, false }, order)
    assert.equal("mine", reported)
  end))

  it("refuses all but questions, and to be closed twice is nothing", support.outside(function()
    local loop = weft.new_event_loop()
    loop:close()
    loop:close()
    local function nothing() end
    for name, arguments in pairs {
      run_until_complete = { nothing }, run_forever = {}, run_once = {}, stop = {},
      call_soon = { nothing }, call_later = { 1, nothing }, call_at = { 1, nothing },
      create_task = { nothing }, create_future = {}, add_signal_handler = { "SIGUSR1", nothing },
      fileno = {}, next_timeout = {}, set_debug = { true }, on_wakeup = { nothing },
    } do
      local e = support.raises("closed", loop[name], loop, unpack(arguments))
      assert.equal("the event loop is closed", e.message, name)
    end
    assert.is_true(loop:is_closed())
    assert.is_false(loop:is_running())
    assert.is_false(loop:alive())
    assert.is_false(loop:remove_signal_handler "SIGUSR1")
    assert.is_number(loop:time())
    assert.equal(0, loop:statistics().tasks)
    assert.same({}, weft.all_tasks(loop))
    assert.equal("", weft.tree(loop))
  end))

  it("cannot be closed while it runs", with_loop(function(loop)
    loop:run_until_complete(function()
      support.raises("state", loop.close, loop)
      weft.sleep(0)
    end)
    loop:call_soon(function()
      support.raises("state", loop.close, loop)
      loop:stop()
    end)
    loop:run_forever()
  end))

  it("reports the tasks that had not ended, and they are cancelled", with_loop(function(loop)
    local reports = collect_reports(loop)
    local tasks = {
      loop:create_task(weft.sleep, 1000), loop:create_task(function()
        loop:create_future():await()
      end),
    }
    turn(loop)
    tasks[3] = loop:create_task(function() end)
    local future = loop:create_future()
    loop:close()
    assert.equal(3, #reports)
    for i, wait in ipairs { "sleeps for 0.0 s", "awaits Future%-3 for 0.0 s", "not started" } do
      assert.matches("^the loop was closed before a task had ended: Task%-%d: " .. wait,
        reports[i].message)
      assert.equal(tasks[i], reports[i].task)
      assert.is_true(tasks[i]:done() and tasks[i]:cancelled())
      assert.is_false(tasks[i]:cancel())
      support.raises("cancelled", tasks[i].result, tasks[i])
    end
    assert.is_false(future:done())
    support.raises("closed", future.set_result, future, 1)
  end))

  it("leaves its handles harmless", with_loop(function(loop)
    local handles = { loop:call_soon(print), loop:call_later(1000, print) }
    loop:close()
    for _, handle in ipairs(handles) do
      assert.is_true(handle:cancelled())
      handle:cancel()
    end
  end))

  it("is what __close makes", support.outside(function()
    local loop = weft.new_event_loop()
    getmetatable(loop).__close(loop, nil)
    assert.is_true(loop:is_closed())
  end))
end)

describe("the default loop", function()
  local function fresh(fn)
    return support.outside(function()
      weft.set_event_loop(nil)
      fn()
      local loop = weft.get_event_loop()
      loop:close()
      weft.set_event_loop(nil)
    end)
  end

  it("is made once, and again when it was closed", fresh(function()
    local loop = weft.get_event_loop()
    assert.equal(loop, weft.get_event_loop())
    loop:close()
    local second = weft.get_event_loop()
    assert.is_false(rawequal(loop, second))
    assert.is_false(second:is_closed())
  end))

  it("holds tasks and futures that are made before it runs", fresh(function()
    local calls, note = recorder()
    local future = weft.create_future()
    local task = weft.create_task(function()
      note("started")
      return future:await()
    end)
    weft.get_event_loop():call_soon(note, "callback")
    assert.same({}, calls)
    assert.equal(weft.get_event_loop(), task:get_loop())
    assert.equal(weft.get_event_loop(), future:get_loop())
    future:set_result("early")
    assert.equal("early", weft.get_event_loop():run_until_complete(task))
    assert.same({ "started", "callback" }, calls)
  end))

  it("has a gather run in it, made outside", fresh(function()
    local tasks = {}
    for i = 1, 3 do
      tasks[i] = weft.create_task(function()
        weft.sleep(0.001)
        return i * i
      end)
    end
    assert.same({ n = 3, 1, 4, 9 }, weft.get_event_loop():run_until_complete(function()
      return weft.gather(tasks)
    end))
  end))

  it("is the running one inside a run, whatever was set", fresh(function()
    local loop = weft.get_event_loop()
    weft.run(function()
      local running = weft.get_running_loop()
      assert.equal(running, weft.get_event_loop())
      assert.is_false(rawequal(loop, running))
      weft.set_event_loop(nil)
      assert.equal(running, weft.get_event_loop())
      running:call_soon(function() assert.equal(running, weft.get_running_loop()) end)
      weft.sleep(0)
    end)
    assert.is_false(rawequal(loop, weft.get_event_loop()))
    loop:close()
  end))

  it("is the one that was set", fresh(function()
    local loop = weft.new_event_loop()
    weft.set_event_loop(loop)
    assert.equal(loop, weft.get_event_loop())
    assert.equal(loop, weft.create_task(function() end):get_loop())
    turn(loop)
    for _, x in ipairs { 1, "loop", {}, print } do
      support.raises("type", weft.set_event_loop, x)
    end
    assert.equal(loop, weft.get_event_loop())
  end))

  it("is not the running one while it does not run", fresh(function()
    weft.get_event_loop()
    local e = support.raises("state", weft.get_running_loop)
    assert.equal("no event loop is running", e.message)
  end))
end)

describe("calls", function()
  it("come in the order in which they were made, with tasks among them", with_loop(function(loop)
    local calls, note = recorder()
    loop:call_soon(note, 1)
    loop:create_task(note, 2)
    loop:call_soon(note, 3)
    loop:create_task(note, 4)
    loop:call_soon(note, 5)
    turn(loop)
    assert.same({ "1", "2", "3", "4", "5" }, calls)
  end))

  it("get their arguments, nils included", with_loop(function(loop)
    local calls, note = recorder()
    loop:call_soon(note)
    loop:call_soon(note, nil)
    loop:call_soon(note, nil, 1, nil)
    loop:call_later(0, note, nil, "later", nil)
    loop:call_at(0, note, nil, "at", nil)
    turn(loop)
    turn(loop)
    assert.same({ "", "nil", "nil 1 nil", "nil at nil", "nil later nil" }, calls)
    local count
    local many = {}
    for i = 1, 200 do
      many[i] = i
    end
    loop:call_soon(function(...) count = select("#", ...) end, unpack(many))
    turn(loop)
    assert.equal(200, count)
  end))

  it("that are made by a call come in the next turn", with_loop(function(loop)
    local calls, note = recorder()
    loop:call_soon(function()
      loop:call_soon(note, "inner")
      note("outer")
    end)
    turn(loop)
    assert.same({ "outer" }, calls)
    turn(loop)
    assert.same({ "outer", "inner" }, calls)
  end))

  it("run outside any task, in the loop", with_loop(function(loop)
    local task, running = "none", nil
    loop:create_task(function()
      loop:call_soon(function()
        task, running = weft.current_task(), weft.get_running_loop()
        loop:stop()
      end)
      weft.sleep(0)
    end)
    loop:run_forever()
    assert.is_nil(task)
    assert.equal(loop, running)
    turn(loop)
  end))

  it("at a time come in the order of their times, equal ones as they were made",
    support.virtual(function()
      local loop = weft.get_running_loop()
      local calls, note = recorder()
      local now = loop:time()
      for _, at in ipairs { 3, 1, 2, 1, 3, 2 } do
        loop:call_at(now + at, note, at, #calls, _)
      end
      weft.sleep(4)
      assert.same({ "1 0 2", "1 0 4", "2 0 3", "2 0 6", "3 0 1", "3 0 5" }, calls)
    end))

  it("later or at the same time come as they were made, a thousand of them",
    support.virtual(function()
      local loop = weft.get_running_loop()
      local when, seen = loop:time() + 5, {}
      for i = 1, 1000 do
        loop:call_at(when, function() seen[#seen + 1] = i end)
      end
      weft.sleep(6)
      for i = 1, 1000 do
        assert.equal(i, seen[i])
      end
    end))

  it("whose time has passed come at once, in the order of their times", with_loop(function(loop)
    local calls, note = recorder()
    loop:call_later(0, note, "zero")
    loop:call_later(-5, note, "negative")
    loop:call_at(loop:time() - 1, note, "past")
    loop:call_at(0, note, "long past")
    loop:call_at(-1, note, "before time")
    loop:call_at(-math.huge, note, "the beginning")
    loop:call_soon(note, "soon")
    turn(loop)
    assert.equal("soon", calls[1])
    turn(loop)
    assert.same({ "soon", "long past", "before time", "the beginning", "past", "zero",
      "negative" }, calls)
  end))

  it("with a delay come no sooner", with_loop(function(loop)
    local start, at = loop:time(), nil
    loop:call_later(0.02, function()
      at = loop:time()
      loop:stop()
    end)
    loop:run_forever()
    assert.is_true(at - start >= 0.02)
    assert.is_true(at - start < 5)
  end))

  it("in an endless time never come", support.virtual(function()
    local loop = weft.get_running_loop()
    local handle = loop:call_later(math.huge, error, "never")
    weft.sleep(1e6)
    assert.is_false(handle:cancelled())
    handle:cancel()
  end))

  it("refuse what is not a function or not a time", with_loop(function(loop)
    local function nothing() end
    for _, case in ipairs {
      { "call_soon" }, { "call_soon", 1 }, { "call_soon", {} }, { "call_later", nothing },
      { "call_later", 1 }, { "call_later", "1", nothing }, { "call_later", 0 / 0, nothing },
      { "call_at", nothing }, { "call_at", 1, "x" }, { "call_at", 0 / 0, nothing },
    } do
      support.raises("type", loop[case[1]], loop, case[2], case[3])
    end
    loop:call_soon(setmetatable({}, { __call = loop.stop }))
    assert.equal(0, loop:statistics().timers)
    assert.has_error(function() loop.call_soon() end)
  end))
end)

describe("a handle", function()
  it("takes its call back, as often as one likes", with_loop(function(loop)
    local calls, note = recorder()
    local handles = {
      loop:call_soon(note, "soon"), loop:call_later(0, note, "later"),
      loop:call_at(loop:time() + 1000, note, "at"),
    }
    for _, handle in ipairs(handles) do
      assert.is_false(handle:cancelled())
      handle:cancel()
      handle:cancel()
      assert.is_true(handle:cancelled())
    end
    assert.equal(0, loop:statistics().timers)
    assert.is_false(loop:alive())
    turn(loop)
    turn(loop)
    assert.same({}, calls)
  end))

  it("tells when the call is due", with_loop(function(loop)
    local now = loop:time()
    assert.is_nil(loop:call_soon(print):when())
    assert.near(now + 2.5, loop:call_at(now + 2.5, print):when(), 1e-6)
    local later = loop:call_later(3, print)
    assert.near(now + 3, later:when(), 0.5)
    later:cancel()
    assert.near(now + 3, later:when(), 0.5)
    assert.matches("^Handle<cancelled when=%d+%.%d%d%d at %[C%]>$", tostring(later))
    for _ = 1, 2 do
      local soon = loop:call_soon(function() end)
      assert.matches("^Handle<pending at .*loop_spec.lua:%d+>$", tostring(soon))
      soon:cancel()
    end
    weft.run(function()
      local handle = weft.get_running_loop():call_soon(function() end)
      weft.sleep(0)
      assert.matches("^Handle<returned at", tostring(handle))
      assert.is_false(handle:cancelled())
      handle:cancel() -- too late: it was called
      assert.is_false(handle:cancelled())
    end)
    loop:close()
  end))

  it("can take back a call of the same turn", with_loop(function(loop)
    local calls, note = recorder()
    local second
    loop:call_soon(function()
      note("first")
      second:cancel()
    end)
    second = loop:call_soon(note, "second")
    loop:call_soon(note, "third")
    turn(loop)
    assert.same({ "first", "third" }, calls)
  end))

  it("can take back a timer that is due with another", support.virtual(function()
    local loop = weft.get_running_loop()
    local calls, note = recorder()
    local when = loop:time() + 1
    local second
    loop:call_at(when, function()
      note("first")
      second:cancel()
    end)
    second = loop:call_at(when, note, "second")
    weft.sleep(2)
    assert.same({ "first" }, calls)
  end))

  it("can be dropped: the call comes all the same", with_loop(function(loop)
    local calls, note = recorder()
    for i = 1, 100 do
      loop:call_soon(note, i)
      loop:call_later(0, note, i)
    end
    collectgarbage()
    collectgarbage()
    turn(loop)
    turn(loop)
    assert.equal(200, #calls)
  end))

  it("can outlive its loop", support.outside(function()
    local handle
    do
      local loop = weft.new_event_loop()
      handle = loop:call_later(1000, print)
    end
    collectgarbage()
    collectgarbage()
    handle:cancel()
    assert.is_true(handle:cancelled())
  end))
end)

describe("an error that nobody caught", function()
  it("in a call reaches the exception handler and stops nothing", with_loop(function(loop)
    local calls, note = recorder()
    local reports = collect_reports(loop)
    local line = debug.getinfo(1, "l").currentline + 1
    local handle = loop:call_soon(function() error("bad") end)
    loop:call_soon(note, "next")
    loop:call_later(0, error, weft.Error { kind = "decode" })
    loop:call_later(0, note, "last")
    turn(loop)
    turn(loop)
    assert.same({ "next", "last" }, calls)
    assert.equal(2, #reports)
    assert.matches("^error in a callback defined at .*loop_spec.lua:" .. line .. "$",
      reports[1].message)
    assert.equal("raised", reports[1].exception.kind)
    assert.matches("loop_spec.lua:" .. line .. ": bad$", reports[1].exception.value)
    assert.equal(handle, reports[1].handle)
    assert.matches("stack traceback:.*loop_spec.lua:" .. line, reports[1].traceback)
    assert.equal("decode", reports[2].exception.kind)
  end))

  it("may be any value", with_loop(function(loop)
    local reports = collect_reports(loop)
    local value = {}
    loop:call_soon(error, value)
    loop:call_soon(error, false)
    loop:call_soon(error)
    turn(loop)
    assert.equal(3, #reports)
    assert.equal(value, reports[1].exception.value)
    assert.is_false(reports[2].exception.value)
    assert.is_nil(reports[3].exception.value)
    assert.equal("raised: nil", tostring(reports[3].exception))
  end))

  -- What the default handler writes, in a process of its own.
  local function stderr_of(source)
    local text, status = cc.script("local loop = weft.get_event_loop()\n" .. source
      .. "\nloop:call_later(0.001, loop.stop, loop) loop:run_forever()")
    assert.equal(0, status)
    return text
  end

  it("goes to stderr without a handler", function()
    assert.matches("^weft: error in a callback defined at .-:3\nraised: .-:3: bad\n"
      .. "stack traceback:\n", stderr_of "loop:call_soon(function() error 'bad' end)")
  end)

  it("comes back with the handler's own when the handler fails", function()
    local text = stderr_of [[
      loop:set_exception_handler(function() error("handler failed", 0) end)
      loop:call_soon(error, "first", 0)
      loop:call_soon(error, "second", 0)]]
    assert.matches("^weft: error in the exception handler\nraised: handler failed\n"
      .. "weft: error in a callback defined at %[C%]\nraised: first\n.-"
      .. "weft: error in the exception handler\nraised: handler failed\n"
      .. "weft: error in a callback defined at %[C%]\nraised: second\n", text)
  end)

  it("comes back when the handler tries to wait or to yield", function()
    for _, case in ipairs { { "weft.sleep(0)", "ENOTASK" }, { "coroutine.yield()", "EYIELD" },
      { "weft.run(print)", "ENESTED" } } do
      local text = stderr_of([[
        loop:set_exception_handler(function() ]] .. case[1] .. [[ end)
        loop:call_soon(error, "first", 0)]])
      assert.matches("^weft: error in the exception handler\nstate: .-%(" .. case[2] .. "%)\n"
        .. "weft: error in a callback defined at %[C%]\nraised: first\n", text)
    end
  end)

  it("goes where the handler sends it", with_loop(function(loop)
    local seen
    loop:set_exception_handler(function(which, context) seen = { which, context } end)
    local context = { message = "made up" }
    loop:call_exception_handler(context)
    assert.equal(loop, seen[1])
    assert.equal(context, seen[2])
    local handler = loop:get_exception_handler()
    assert.is_function(handler)
    loop:set_exception_handler(nil)
    assert.is_nil(loop:get_exception_handler())
    support.raises("type", loop.set_exception_handler, loop, "x")
    support.raises("type", loop.call_exception_handler, loop, "x")
  end))

  it("in a handler that makes work is reported while the work is done", with_loop(function(loop)
    local calls, note = recorder()
    loop:set_exception_handler(function()
      loop:call_soon(note, "from the handler")
      loop:create_task(note, "task of the handler")
    end)
    loop:call_soon(error, "x")
    turn(loop)
    turn(loop)
    assert.same({ "from the handler", "task of the handler" }, calls)
  end))
end)

describe("a call that would wait", function()
  local cases = {
    { "sleep", "ENOTASK", function() weft.sleep(0) end },
    { "await", "ENOTASK", function() weft.await(function() end) end },
    { "a lock's acquire", "ENOTASK", function() weft.lock():acquire() end },
    { "gather", "ENOTASK", function() weft.gather(function() end) end },
    { "yield", "EYIELD", function() coroutine.yield(1, 2, 3) end },
    { "yield in a metamethod", "EYIELD", function()
      return -setmetatable({}, { __unm = function() coroutine.yield() end })
    end },
    { "a coroutine that sleeps", "ENOTASK", function()
      local ok, e = coroutine.resume(coroutine.create(function() weft.sleep(0) end))
      error(not ok and e or "no error", 0)
    end },
  }
  for _, case in ipairs(cases) do
    it("by " .. case[1] .. " gets an error there, which it can catch", with_loop(function(loop)
      local reports = collect_reports(loop)
      local caught
      loop:call_soon(function()
        local ok, e = pcall(case[3])
        caught = not ok and e
      end)
      loop:call_soon(case[3])
      turn(loop)
      turn(loop)
      assert.is_true(weft.is_error(caught, "state"))
      assert.equal(case[2], caught.code)
      assert.equal(1, #reports)
      assert.equal(case[2], reports[1].exception.code)
      assert.same({}, weft.all_tasks(loop))
    end))
  end

  it("may still use coroutines", with_loop(function(loop)
    local sum = 0
    loop:call_soon(function()
      for i in coroutine.wrap(function()
        for i = 1, 4 do
          coroutine.yield(i)
        end
      end) do
        sum = sum + i
      end
    end)
    turn(loop)
    assert.equal(10, sum)
  end))
end)

describe("debug mode", function()
  local function busy(seconds)
    local until_ = os.clock() + seconds
    repeat until os.clock() > until_
  end

  it("reports what runs too long without waiting", with_loop(function(loop)
    local reports = collect_reports(loop)
    assert.is_false(loop:get_debug())
    assert.equal(0.1, loop.slow_callback_duration)
    loop.slow_callback_duration = 0.02
    assert.equal(0.02, loop.slow_callback_duration)
    local function slow()
      busy(0.03)
    end
    loop:call_soon(slow)
    turn(loop)
    assert.equal(0, #reports)
    loop:set_debug(true)
    assert.is_true(loop:get_debug())
    loop:call_soon(slow)
    loop:call_soon(function() end)
    loop:create_task(function()
      slow()
      weft.sleep(0)
    end):set_name("slow one")
    loop:create_task(slow)
    turn(loop)
    assert.equal(3, #reports)
    assert.matches("^a callback ran for 0%.%d+ s without waiting$", reports[1].message)
    assert.matches("^Task<pending name=slow one at .*loop_spec.lua:%d+> ran for 0%.%d+ s",
      reports[2].message)
    assert.matches("^Task%-2 ran for", reports[3].message) -- which has ended
    for _, report in ipairs(reports) do
      assert.is_true(report.duration >= 0.02)
    end
    loop:set_debug(false)
    loop:call_soon(slow)
    turn(loop)
    assert.equal(3, #reports)
  end))

  it("tells where a task was made", support.outside(function()
    local runner = weft.runner { debug = true }
    local task
    local line = debug.getinfo(1, "l").currentline + 3
    runner:run(function()
      local function maker()
        task = weft.create_task(error, "x")
        weft.sleep(0)
      end
      maker()
    end)
    support.error_of(task.result, task)
    assert.matches("made here:\nstack traceback:.*loop_spec.lua:" .. line .. ": in [^\n]*maker",
      task:traceback())
    runner:close()
  end))

  it("takes a number for the duration, and knows no other field", with_loop(function(loop)
    for _, x in ipairs { "0.1", 0 / 0, true } do
      support.raises("type", function() loop.slow_callback_duration = x end)
    end
    support.raises("type", function() loop.slow_callback_duraton = 1 end)
    assert.is_nil(loop.no_such_thing)
    assert.equal(0.1, loop.slow_callback_duration)
  end))
end)

describe("a deadlock", function()
  it("names each task and where it is parked", support.outside(function()
    local first = debug.getinfo(1, "l").currentline
    local e = support.raises({ "state", "deadlock" }, weft.run, function()
      local lock, queue, event = weft.lock(), weft.queue(), weft.event()
      lock:acquire()
      weft.create_task(function()
        lock:acquire()
      end):set_name("locked")
      weft.create_task(function()
        queue:get()
      end):set_name("hungry")
      local task = weft.create_task(function()
        event:wait()
      end)
      task:await()
    end)
    assert.matches("^deadlock: all 4 tasks wait and nothing can wake them: ", e.message)
    for _, line in ipairs {
      "main: awaits Task-4 for 0.0 s at spec/weft/loop_spec.lua:" .. first + 13,
      "locked: waits in acquire for 0.0 s at spec/weft/loop_spec.lua:" .. first + 5,
      "hungry: waits in get for 0.0 s at spec/weft/loop_spec.lua:" .. first + 8,
      "Task-4: waits in wait for 0.0 s at spec/weft/loop_spec.lua:" .. first + 11,
    } do
      assert.is_truthy(e.message:find(line, 1, true), line .. " in " .. e.message)
    end
  end))

  it("is followed by the clean-up of any exit", support.outside(function()
    local cleaned, kind
    support.raises({ "state", "deadlock" }, weft.run, function()
      weft.finally(function()
        local ok, e = pcall(function() weft.create_future():await() end)
        kind = not ok and e.kind
      end, function()
        weft.sleep(0.001)
        cleaned = true
      end)
    end)
    assert.equal("cancelled", kind)
    assert.is_true(cleaned)
  end))

  it("of a loop of one's own leaves it usable", with_loop(function(loop)
    local future = loop:create_future()
    local task = loop:create_task(function() return future:await() end)
    support.raises({ "state", "deadlock" }, loop.run_until_complete, loop, task)
    support.raises({ "state", "deadlock" }, loop.run_until_complete, loop, future)
    local other = loop:create_future()
    task:cancel()
    support.raises("cancelled", loop.run_until_complete, loop, task)
    local e = support.raises({ "state", "deadlock" }, loop.run_until_complete, loop, other)
    assert.equal("deadlock: there is no task, and nothing can wake the loop", e.message)
    future = loop:create_future()
    task = loop:create_task(function() return future:await() end)
    future:set_result("at last")
    assert.equal("at last", loop:run_until_complete(task))
  end))

  it("is found by run, a runner and run_until_complete, with a virtual clock too",
    support.outside(function()
      local function stuck()
        weft.create_future():await()
      end
      local runner, loop = weft.runner(), weft.new_event_loop()
      for _, run in ipairs {
        function() weft.run(stuck) end, function() runner:run(stuck) end,
        function() loop:run_until_complete(loop:create_task(stuck)) end,
        function() testing.virtual_clock(stuck) end,
        function() testing.virtual_clock(weft.sleep, math.huge) end,
      } do
        support.raises({ "state", "deadlock" }, run)
      end
      runner:close()
      collect_reports(loop)
      loop:close()
    end))

  it("is none while a timer runs", support.outside(function()
    weft.run(function()
      local future = weft.create_future()
      weft.get_running_loop():call_later(0.01, future.set_result, future)
      future:await()
    end)
    weft.run(function()
      local task = weft.create_task(weft.sleep, 0.01)
      task:await()
    end)
    support.raises("timeout", weft.run, function()
      weft.timeout(0.01, function() weft.create_future():await() end)
    end)
  end))

  it("is none while there is a handler for a signal", function()
    local text, status = cc.script [[
      local parent = posix.getpid()
      if posix.fork() == 0 then
        posix.poll(-1, 0.05)
        posix.kill(parent, 10)
        posix.leave(0)
      end
      weft.run(function()
        local future = weft.create_future()
        weft.get_running_loop():add_signal_handler("SIGUSR1", function()
          future:set_result "woken"
        end)
        print(future:await())
      end)
      weft.run(function()
        local loop = weft.get_running_loop()
        loop:add_signal_handler("SIGUSR1", print)
        loop:remove_signal_handler "SIGUSR1"
        print(pcall(function() weft.create_future():await() end))
      end)]]
    assert.equal(1, status)
    assert.matches("^woken\nfalse\tcancelled: .-deadlock: the only task waits and nothing can "
      .. "wake it: main: awaits Future%-2", text)
  end)
end)

describe("a host", function()
  local posix = cc.module "posix"

  -- A host's own loop: waits as it is told, and gives the event loop turns.
  local function drive(loop)
    local turns = 0
    while loop:alive() do
      local timeout = loop:next_timeout()
      if timeout ~= 0 then
        posix.poll(loop:fileno(), timeout)
      end
      loop:run_once()
      turns = turns + 1
    end
    return turns
  end

  it("is told how long it may wait", with_loop(function(loop)
    assert.is_nil(loop:next_timeout())
    assert.is_false(loop:alive())
    local handle = loop:call_later(100, print)
    assert.near(100, loop:next_timeout(), 1)
    assert.is_true(loop:alive())
    local task = loop:create_task(function() loop:create_future():await() end)
    assert.equal(0, loop:next_timeout())
    loop:run_once()
    assert.near(100, loop:next_timeout(), 1)
    handle:cancel()
    assert.is_nil(loop:next_timeout()) -- a parked task needs nothing
    assert.is_true(loop:alive())
    task:cancel()
    assert.equal(0, loop:next_timeout())
    assert.is_false(loop:run_once())
    assert.is_true(task:cancelled())
    assert.is_nil(loop:next_timeout())
    loop:call_at(loop:time() - 1, function() end)
    assert.equal(0, loop:next_timeout())
    loop:run_once()
    assert.equal(0, loop:next_timeout()) -- its time has come: the call is ready
    loop:run_once()
    local endless = loop:call_later(math.huge, print)
    assert.is_nil(loop:next_timeout())
    assert.is_true(loop:alive())
    endless:cancel()
    loop:stop()
    assert.equal(0, loop:next_timeout())
    loop:run_once()
    assert.is_nil(loop:next_timeout())
  end))

  it("drives tasks to their end without spinning", with_loop(function(loop)
    local start = posix.now()
    local sum = 0
    for i = 1, 10 do
      loop:create_task(function()
        weft.sleep(0.02)
        sum = sum + i
        weft.sleep(0.02)
      end)
    end
    local turns = drive(loop)
    assert.equal(55, sum)
    assert.is_true(posix.now() - start >= 0.04)
    assert.is_true(turns <= 10, turns .. " turns")
  end))

  it("drives two loops side by side, each by its own descriptor", support.outside(function()
    local loops, seen, tasks, got = {}, {}, {}, {}
    for i = 1, 2 do
      loops[i] = weft.new_event_loop()
      tasks[i] = loops[i]:create_task(function()
        for step = 1, 3 do
          weft.sleep(0.004 * i)
          seen[#seen + 1] = i .. step
          assert(weft.get_running_loop() == loops[i])
        end
        return i
      end)
      loops[i]:add_signal_handler("SIGUSR1", function() got[i] = (got[i] or 0) + 1 end)
    end
    local turns, sent, ready = { 0, 0 }, false, {}
    while true do
      local timeout = 5
      for i, loop in ipairs(loops) do
        local own = loop:next_timeout()
        if ready[i] or own == 0 then
          loop:run_once()
          turns[i] = turns[i] + 1
          own = loop:next_timeout()
        end
        timeout = math.min(timeout, own or timeout)
      end
      if tasks[1]:done() and not sent then
        sent = true
        posix.kill(0, 10)
      end
      if tasks[1]:done() and tasks[2]:done() and got[1] and got[2] then
        break
      end
      ready = { posix.poll_any(timeout, loops[1]:fileno(), loops[2]:fileno()) }
    end
    assert.same({ 1, 2 }, { tasks[1]:result(), tasks[2]:result() })
    assert.same({ 1, 1 }, got)
    table.sort(seen)
    assert.same({ "11", "12", "13", "21", "22", "23" }, seen)
    assert.is_true(turns[1] <= 12 and turns[2] <= 12, table.concat(turns, ", "))
    loops[1]:close()
    loops[2]:close()
  end))

  it("that has nothing to do waits for its own things alone, at no cost", with_loop(function(loop)
    local task = loop:create_task(function() loop:create_future():await() end)
    loop:add_signal_handler("SIGUSR1", print)
    loop:run_once()
    loop:run_once()
    local before = loop:statistics().steps
    for _ = 1, 5 do
      assert.is_nil(loop:next_timeout())
      assert.is_false(posix.poll(loop:fileno(), 0.005))
    end
    assert.equal(before, loop:statistics().steps)
    assert.is_true(loop:alive())
    loop:remove_signal_handler("SIGUSR1")
    task:cancel()
    drive(loop)
  end))

  it("is told when a handler for a signal goes", with_loop(function(loop)
    local count = 0
    loop:add_signal_handler("SIGUSR1", print)
    loop:run_once()
    assert.is_nil(loop:next_timeout())
    loop:on_wakeup(function() count = count + 1 end)
    loop:remove_signal_handler("SIGUSR1")
    assert.equal(1, count)
    assert.equal(0, loop:next_timeout())
    loop:run_once()
    assert.is_false(loop:alive())
  end))

  it("can do so from coroutines of its own", with_loop(function(loop)
    local steps = {}
    for i = 1, 2 do
      loop:create_task(function()
        for step = 1, 3 do
          steps[#steps + 1] = i .. step
          coroutine.wrap(function() weft.sleep(0) end)()
        end
      end)
    end
    local host = coroutine.wrap(function()
      local turns = 0
      while loop:run_once() do
        turns = turns + 1
        coroutine.yield(turns)
      end
      return "end"
    end)
    for turns = 1, 3 do
      assert.equal(turns, host())
    end
    assert.equal("end", host())
    assert.same({ "11", "21", "12", "22", "13", "23" }, steps)
    -- each turn from another one
    local task = loop:create_task(function()
      for _ = 1, 5 do
        weft.sleep(0)
      end
      return "done"
    end)
    while not task:done() do
      coroutine.wrap(function() loop:run_once() end)()
    end
    assert.equal("done", task:result())
  end))

  it("cannot enter a turn from inside it", with_loop(function(loop)
    local errors = {}
    local function enter()
      for _, name in ipairs { "run_once", "run_forever" } do
        errors[#errors + 1] = support.error_of(loop[name], loop).code
      end
    end
    loop:call_soon(enter)
    loop:create_task(enter)
    loop:create_task(function() coroutine.wrap(enter)() end)
    loop:run_once()
    assert.same({ "EREENTERED", "EREENTERED", "EREENTERED", "EREENTERED", "EREENTERED",
      "EREENTERED" }, errors)
    assert.is_false(loop:is_running())
  end))

  it("cannot drive one loop from inside another", with_loop(function(loop)
    weft.run(function()
      support.raises({ "state", "ENESTED" }, loop.run_once, loop)
    end)
    assert.is_false(loop:run_once())
  end))

  it("waits in run_once only if it asks to, and something can wake it", with_loop(function(loop)
    local start = posix.now()
    assert.is_false(loop:run_once(true))
    assert.is_false(loop:run_once())
    local task = loop:create_task(function() loop:create_future():await() end)
    assert.is_true(loop:run_once(true))
    assert.is_true(loop:run_once(true)) -- nothing can wake it
    assert.is_true(posix.now() - start < 5)
    task:cancel()
    assert.is_false(loop:run_once(true))
    local fired = false
    start = posix.now()
    loop:call_later(0.03, function() fired = true end)
    assert.is_true(loop:run_once(false))
    assert.is_true(posix.now() - start < 0.03)
    while loop:run_once(true) do end
    assert.is_true(fired)
    assert.is_true(posix.now() - start >= 0.03)
  end))

  it("runs one turn at a time", with_loop(function(loop)
    local calls, note = recorder()
    loop:call_soon(function()
      note("first")
      loop:call_soon(note, "second")
    end)
    assert.is_true(loop:run_once())
    assert.same({ "first" }, calls)
    assert.is_false(loop:run_once())
    assert.same({ "first", "second" }, calls)
  end))

  it("sees a signal on the descriptor, though the handler came from outside a turn",
    with_loop(function(loop)
      local got = 0
      loop:add_signal_handler("SIGUSR1", function() got = got + 1 end)
      assert.equal(0, loop:next_timeout()) -- a turn makes the descriptor ready for it
      loop:run_once()
      assert.is_nil(loop:next_timeout())
      assert.is_false(posix.poll(loop:fileno(), 0))
      posix.kill(0, 10)
      assert.is_true(posix.poll(loop:fileno(), 5))
      loop:run_once()
      assert.equal(0, loop:next_timeout())
      loop:run_once()
      assert.equal(1, got)
      assert.is_true(loop:alive())
      loop:remove_signal_handler "SIGUSR1"
      drive(loop)
    end))

  it("is told of work that comes from outside a turn", with_loop(function(loop)
    local count = 0
    loop:on_wakeup(function() count = count + 1 end)
    local function told(fn)
      count = 0
      local result = fn()
      assert.is_true(count > 0)
      return result
    end
    local event, future = weft.event(), loop:create_future()
    local waiting = told(function() return loop:create_task(event.wait, event) end)
    local awaiting = told(function() return loop:create_task(future.await, future) end)
    local sleeping = told(function() return loop:create_task(weft.sleep, 100) end)
    count = 0
    loop:run_once()
    assert.equal(0, count) -- inside a turn there is no need
    assert.near(100, loop:next_timeout(), 1)
    told(function() event:set() end)
    told(function() future:set_result() end)
    told(function() sleeping:cancel() end)
    told(function() loop:call_soon(function() end) end)
    told(function() loop:call_later(0, function() end) end)
    told(function() loop:call_at(0, function() end) end)
    told(function() loop:add_signal_handler("SIGUSR1", print) end)
    told(function() loop:stop() end)
    loop:remove_signal_handler("SIGUSR1")
    drive(loop)
    assert.is_true(waiting:done() and awaiting:done() and sleeping:cancelled())
    loop:on_wakeup(nil)
    count = 0
    loop:call_soon(function() end)
    assert.equal(0, count)
    drive(loop)
    support.raises("type", loop.on_wakeup, loop, "x")
  end))

  it("may ask, make work or run a turn when it is told", with_loop(function(loop)
    local calls, note = recorder()
    local timeout
    loop:on_wakeup(function()
      timeout = loop:next_timeout()
      loop:call_soon(note, "of the wakeup")
    end)
    loop:call_soon(note, "first")
    assert.equal(0, timeout)
    drive(loop)
    assert.same({ "first", "of the wakeup" }, calls)
    loop:on_wakeup(function() loop:run_once() end)
    local task = loop:create_task(function()
      weft.sleep(0)
      return "by itself"
    end)
    drive(loop)
    assert.equal("by itself", task:result())
  end))

  it("has an error in what it is told by reported", with_loop(function(loop)
    local reports = collect_reports(loop)
    loop:on_wakeup(function() error("not now", 0) end)
    loop:call_soon(function() end)
    assert.equal(1, #reports)
    assert.equal("error in the function given to on_wakeup", reports[1].message)
    assert.equal("not now", reports[1].exception.value)
    loop:on_wakeup(coroutine.yield)
    loop:call_soon(function() end)
    assert.equal("EYIELD", reports[2].exception.code)
    loop:on_wakeup(nil)
    drive(loop)
  end))

  it("can use a loop that ran by itself before, and the reverse", with_loop(function(loop)
    local task = loop:create_task(function()
      weft.sleep(0.002)
      weft.sleep(0.002)
      weft.sleep(0.002)
      return "end"
    end)
    loop:run_until_complete(function() weft.sleep(0.003) end)
    posix.poll(-1, 0.002)
    loop:run_once()
    assert.equal("end", loop:run_until_complete(task))
    assert.is_false(loop:run_once())
  end))
end)
