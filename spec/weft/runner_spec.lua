-- SPDX-License-Identifier: MIT
-- weft.runner: run, runner and main: what comes out of a run, what is done with the tasks
-- that are left, nesting, and Ctrl-C. What ends a process is tried in one of its own.

local weft = require "weft"
local core = require "weft.core"
local support = require "spec.support"
local cc = require "spec.c.cc"

-- The contexts that reach the exception handler of the running loop.
local function collect_reports()
  local contexts = {}
  weft.get_running_loop():set_exception_handler(function(_, context)
    contexts[#contexts + 1] = context
  end)
  return contexts
end

describe("run", function()
  it("passes arguments and returns results, nils included", support.outside(function()
    local function pack(...)
      return { n = select("#", ...), ... }
    end
    assert.same({ n = 5, 1, nil, "c", nil, nil }, pack(weft.run(function(...)
      weft.sleep(0)
      return ...
    end, 1, nil, "c", nil, nil)))
    assert.same({ n = 0 }, pack(weft.run(function() end)))
  end))

  it("raises what the function raised, as it was", support.outside(function()
    local foreign = setmetatable({}, { __tostring = function() return "foreign" end })
    local own = weft.Error { kind = "decode", message = "bad" }
    for _, value in ipairs { "a string", 42, true, false, foreign, own } do
      for _, wait in ipairs { 0, 1 } do
        local ok, e = pcall(weft.run, function()
          for _ = 1, wait do
            weft.sleep(0)
          end
          error(value, 0)
        end)
        assert.is_false(ok)
        assert.is_true(rawequal(value, e))
      end
    end
    assert.same({ false, nil, n = 2 }, { n = select("#", pcall(weft.run, error)),
      pcall(weft.run, error) })
  end))

  it("takes whatever can be called and nothing else", support.outside(function()
    assert.equal(3, weft.run(setmetatable({}, { __call = function(_, a) return a + 1 end }), 2))
    for _, x in ipairs { 1, "print", {}, true } do
      support.raises("type", weft.run, x)
    end
    support.raises("type", weft.run, nil)
  end))

  it("makes a fresh loop each time and closes it", support.outside(function()
    local first = weft.run(weft.get_running_loop)
    local second = weft.run(weft.get_running_loop)
    assert.is_false(rawequal(first, second))
    assert.is_true(first:is_closed() and second:is_closed())
    support.raises("state", weft.get_running_loop)
    local failed
    pcall(weft.run, function()
      failed = weft.get_running_loop()
      error("x")
    end)
    assert.is_true(failed:is_closed())
  end))

  it("calls the function in a task named main", support.outside(function()
    assert.equal("main", weft.run(function() return weft.current_task():get_name() end))
  end))

  it("raises cancelled when the main task was cancelled", support.outside(function()
    support.raises("cancelled", weft.run, function()
      weft.current_task():cancel()
      weft.sleep(1)
    end)
  end))

  describe("with tasks that are left", function()
    it("cancels them and waits until they have ended", support.outside(function()
      local seen = {}
      local function child(name)
        local ok, e = pcall(weft.sleep, 1000)
        seen[#seen + 1] = name .. ": " .. tostring(ok) .. " " .. e.kind
        weft.finally(function() end, function()
          weft.sleep(0.001)
          seen[#seen + 1] = name .. ": clean"
        end)
      end
      local tasks = weft.run(function()
        local tasks = { weft.create_task(child, "a"), weft.create_task(child, "b") }
        weft.sleep(0)
        return tasks
      end)
      assert.same({ "a: false cancelled", "b: false cancelled", "a: clean", "b: clean" }, seen)
      assert.is_true(tasks[1]:done() and tasks[2]:done())
    end))

    it("does so after an error too", support.outside(function()
      local task
      support.error_of(weft.run, function()
        task = weft.create_task(weft.sleep, 1000)
        weft.sleep(0)
        error("x")
      end)
      assert.is_true(task:cancelled())
    end))

    it("never starts those that had not started", support.outside(function()
      local started, task = false, nil
      weft.run(function()
        task = weft.create_task(function() started = true end)
      end)
      assert.is_false(started)
      assert.is_true(task:cancelled())
    end))

    it("cancels those too that they make while they end", support.outside(function()
      local depth = 0
      local function child()
        depth = depth + 1
        local own = depth
        pcall(weft.sleep, 1000)
        if own < 4 then
          weft.create_task(child)
          weft.finally(function() end, weft.yield)
        end
      end
      weft.run(function()
        weft.create_task(child)
        weft.sleep(0)
      end)
      assert.equal(4, depth)
    end))

    it("reports the errors with which they end", support.outside(function()
      local reports
      assert.equal("fine", weft.run(function()
        reports = collect_reports()
        weft.create_task(function()
          pcall(weft.sleep, 1000)
          error("while ending", 0)
        end):set_name("bad")
        weft.sleep(0)
        return "fine"
      end))
      assert.equal(1, #reports)
      assert.equal("error in a task while the run was ending: bad", reports[1].message)
      assert.equal("while ending", reports[1].exception.value)
      assert.matches("runner_spec.lua", reports[1].traceback, 1, true)
      assert.equal("bad", reports[1].task:get_name())
    end))

    it("reports an error that nobody looked at", support.outside(function()
      local reports
      weft.run(function()
        reports = collect_reports()
        weft.create_task(error, "lost", 0)
        weft.sleep(0)
      end)
      assert.equal(1, #reports)
      assert.matches("the error of a task was never retrieved: Task-2", reports[1].message, 1, true)
      assert.equal("lost", reports[1].exception.value)
    end))

    it("gives up on one that waits for what never comes", support.outside(function()
      local reports
      weft.run(function()
        reports = collect_reports()
        local never = weft.create_future()
        weft.create_task(weft.finally, function() weft.sleep(1000) end, function()
          never:await()
        end):set_name("stuck")
        weft.sleep(0)
      end)
      assert.equal(1, #reports)
      assert.matches("closed before a task had ended: stuck: awaits", reports[1].message)
    end))
  end)

  describe("inside another", function()
    local function refused()
      local e = support.raises({ "state", "ENESTED" }, weft.run, error, "not called")
      assert.matches("inside a running event loop", e.message)
    end

    it("is refused in a task, in a coroutine of one, and in a callback", support.run(function()
      refused()
      coroutine.wrap(refused)()
      local failure = weft.create_future()
      weft.get_running_loop():call_soon(function()
        failure:set_result(pcall(refused))
      end)
      assert(failure:await())
      weft.sleep(0) -- the outer one goes on
    end))

    it("is refused with a loop of its own", support.run(function()
      local loop = weft.new_event_loop()
      support.raises({ "state", "ENESTED" }, loop.run_until_complete, loop, function() end)
      support.raises({ "state", "ENESTED" }, loop.run_forever, loop)
      support.raises({ "state", "ENESTED" }, loop.run_once, loop)
      loop:close()
    end))

    it("is refused to a runner, which can be closed later", support.outside(function()
      local runner = weft.runner()
      weft.run(function()
        support.raises({ "state", "ENESTED" }, runner.run, runner, function() end)
        support.raises({ "state", "ENESTED" }, runner.close, runner)
      end)
      assert.equal(7, runner:run(function() return 7 end))
      runner:close()
    end))
  end)
end)

describe("a runner", function()
  it("runs one function after the other in one loop", support.outside(function()
    local runner = weft.runner()
    local child
    local first = runner:run(function()
      child = weft.create_task(function()
        weft.sleep(0.001)
        return "child"
      end)
      return weft.get_running_loop()
    end)
    assert.is_false(child:done())
    assert.equal("child", runner:run(function()
      assert.equal(first, weft.get_running_loop())
      return child:await()
    end))
    assert.equal(first, runner:get_loop())
    runner:close()
    assert.is_true(first:is_closed())
  end))

  it("cancels what is left when it is closed, once", support.outside(function()
    local runner, ended = weft.runner(), 0
    runner:run(function()
      weft.create_task(weft.finally, function() weft.sleep(1000) end, function()
        ended = ended + 1
      end)
      weft.sleep(0)
    end)
    assert.equal(0, ended)
    runner:close()
    runner:close()
    assert.equal(1, ended)
  end))

  it("has nothing to close before its first use", support.outside(function()
    weft.runner():close()
  end))

  it("refuses to be used once it is closed", support.outside(function()
    local runner = weft.runner()
    assert.equal("Runner<open>", tostring(runner))
    runner:close()
    assert.equal("Runner<closed>", tostring(runner))
    support.raises("closed", runner.run, runner, function() end)
    support.raises("closed", runner.get_loop, runner)
  end))

  it("refuses to be closed from inside, and is not", support.outside(function()
    local runner = weft.runner()
    runner:run(function()
      support.raises({ "state", "EREENTERED" }, runner.close, runner)
    end)
    assert.equal(1, runner:run(function() return 1 end))
    runner:close()
  end))

  it("closes with __close", support.outside(function()
    local runner = weft.runner()
    local loop = runner:get_loop()
    getmetatable(runner).__close(runner, nil)
    assert.is_true(loop:is_closed())
  end))

  it("takes debug and loop_factory, and names an unknown option", support.outside(function()
    local loop = weft.new_event_loop()
    local runner = weft.runner { debug = true, loop_factory = function() return loop end }
    runner:run(function()
      assert.equal(loop, weft.get_running_loop())
      assert.is_true(loop:get_debug())
    end)
    runner:close()
    local e = support.raises({ "type", "unknown_option" }, weft.runner, { debgu = true })
    assert.matches("unknown option 'debgu' (did you mean 'debug'?)", e.message, 1, true)
    support.raises("type", weft.runner, "debug")
  end))
end)

describe("main", function()
  local function result(source, before)
    local text, status = cc.script(source, before)
    return status, text
  end

  it("ends the process with 0 after a return", function()
    assert.same({ 0, "ab\n" }, { result [[
      weft.main(function(...) weft.sleep(0) print(...) return 5 end, "ab") print "not here"]] })
  end)

  it("ends it with 1 after an error, which it shows with where it was raised", function()
    local cases = {
      { "error 'a string'", ":3: a string\n" },
      { "error('bare', 0)", "^bare\n" },
      { "error({})", "^table: " },
      { "error(setmetatable({}, {__tostring = function() return 'mine' end}))", "^mine\n" },
      { "error(weft.Error{kind = 'decode', message = 'bad bytes'})", "^decode: bad bytes\n" },
      { "local x = nil; return x.y", ":3: attempt to index" },
    }
    for _, case in ipairs(cases) do
      local status, text = result(([[
        local function culprit() weft.sleep(0)
          %s
        end
        weft.main(function() culprit() return 1 end)]]):format(case[1]))
      assert.equal(1, status, text)
      assert.matches(case[2], text)
      assert.matches("\nin main:\nstack traceback:\n", text, 1, true)
      assert.matches("\n\t[^\n]* in [^\n]*culprit", text)
    end
  end)

  it("shows the tasks through which an error came", function()
    local status, text = result [[
      local function inner() error "deep" end
      weft.main(function()
        local t = weft.create_task(function() inner() return 1 end)
        t:await()
      end)]]
    assert.equal(1, status)
    assert.matches("in Task%-2:.*:2: in [^\n]*inner.*awaited by main:.*:5: in", text)
  end)

  it("ends it with 1 when every task waits for ever", function()
    local status, text = result [[
      weft.main(function() weft.create_future():await() end)]]
    assert.equal(1, status)
    assert.matches("^state: deadlock: the only task waits and nothing can wake it: main: awaits "
      .. "Future%-2 for 0.0 s at %S+:2 %(deadlock%)\n", text)
  end)

  it("lets os.exit in a task through", function()
    assert.same({ 3, "" }, { result("weft.main(function() weft.sleep(0) os.exit(3) end)",
      "ASAN_OPTIONS=detect_leaks=0") }) -- it does not close the lua_State
    assert.same({ 4, "" }, { result "weft.main(function() weft.sleep(0) os.exit(4, true) end)" })
  end)

  it("refuses to run inside a run", function()
    local status, text = result "weft.run(function() weft.main(print) end)"
    assert.equal(1, status)
    assert.matches("^state: weft.run cannot be called from inside", text)
  end)
end)

describe("Ctrl-C", function()
  -- Runs the source, in which interrupt() sends SIGINT to the process itself.
  local function result(source)
    local text, status = cc.script("local function interrupt() posix.kill(0, 2) end\n"
      .. "io.stdout:setvbuf 'no'\n" .. source)
    return status, text
  end

  it("cancels the main task, lets clean-up wait, and ends main with 130", function()
    assert.same({ 130, "cancelled\nclean\nchild cancelled\n" }, { result [[
      weft.main(function()
        weft.create_task(function()
          local ok, e = pcall(weft.sleep, 100)
          print("child " .. e.kind)
        end)
        weft.get_running_loop():call_soon(interrupt)
        weft.finally(function()
          local ok, e = pcall(weft.sleep, 100)
          print(e.kind)
          error(e, 0)
        end, function()
          weft.sleep(0.001)
          print "clean"
        end)
      end)]] })
  end)

  it("reaches a process that waits, from another one", function()
    assert.same({ 130, "clean\n" }, { result [[
      local parent = posix.getpid()
      if posix.fork() == 0 then
        posix.poll(-1, 0.05)
        posix.kill(parent, 2)
        posix.leave(0)
      end
      weft.main(function()
        weft.finally(function() weft.sleep(100) end, function() print "clean" end)
      end)]] })
  end)

  it("makes run raise interrupt, with the cancellation as its cause", function()
    assert.same({ 0, "interrupt cancelled interrupted\ndefault\n" }, { result [[
      local ok, e = pcall(weft.run, function()
        interrupt()
        weft.sleep(100)
      end)
      print(e.kind .. " " .. e.cause.kind .. " " .. e.cause.message)
      print(posix.disposition(2))]] })
  end)

  it("that the main task takes back lets it go on", function()
    assert.same({ 0, "5\n" }, { result [[
      print(weft.run(function()
        interrupt()
        pcall(weft.sleep, 100)
        weft.current_task():uncancel()
        weft.sleep(0.001)
        return 5
      end))]] })
  end)

  it("whose clean-up fails raises that error", function()
    local status, text = result [[
      weft.main(function()
        interrupt()
        pcall(weft.sleep, 100)
        error "in clean-up"
      end)]]
    assert.equal(1, status)
    assert.matches("in clean-up\n", text, 1, true)
  end)

  it("ends at once the second time, whatever a task does", function()
    local cases = {
      "interrupt() interrupt() while true do end",
      "interrupt() pcall(weft.sleep, 100) interrupt() while true do end",
      "interrupt() weft.finally(weft.yield, function() interrupt() weft.sleep(100) end)",
      "weft.finally(function() interrupt() weft.sleep(100) end, function() interrupt() end)",
    }
    for _, case in ipairs(cases) do
      assert.same({ 130, "" }, { result(
        "pcall(weft.run, function() " .. case .. " print 'after' end) print 'not here'") })
    end
  end)

  it("has its default effect while the tasks that are left are ending", function()
    assert.same({ 130, "ending\n" }, { result [[
      pcall(weft.run, function()
        weft.create_task(function()
          pcall(weft.sleep, 100)
          print "ending"
          interrupt()
          print "not here"
        end)
        weft.sleep(0)
      end)]] })
  end)

  it("counts again in the next run", function()
    assert.same({ 0, "interrupt\n2\ninterrupt\n" }, { result [[
      local runner = weft.runner()
      local function once() interrupt() weft.sleep(100) end
      print(select(2, pcall(runner.run, runner, once)).kind)
      print(runner:run(function() return 2 end))
      print(select(2, pcall(runner.run, runner, once)).kind)
      runner:close()]] })
  end)

  it("is left to a handler that the program adds", function()
    assert.same({ 0, "handler\nhandler\ninterrupt\n" }, { result [[
      local ok, e = pcall(weft.run, function()
        local loop = weft.get_running_loop()
        loop:add_signal_handler("SIGINT", function() print "handler" end)
        interrupt()
        weft.sleep(0.01)
        interrupt()
        weft.sleep(0.01)
        loop:remove_signal_handler "SIGINT"
        interrupt()
        weft.sleep(100)
      end)
      print(e.kind)]] })
  end)

  it("is left alone with handle_sigint = false", function()
    assert.same({ 130, "handled\ndefault\ndefault\n" }, { result [[
      posix.default(2)
      local function look() print(posix.disposition(2)) end
      weft.run(look)
      look()
      local runner = weft.runner { handle_sigint = false }
      runner:run(function() look() interrupt() print "not here" end)]] })
  end)

  it("leaves nothing open", support.outside(function()
    local posix = cc.module "posix"
    for _ = 1, 10 do
      support.raises("interrupt", weft.run, function()
        posix.kill(0, core.signals.SIGINT)
        weft.sleep(100)
      end)
    end
  end))
end)
