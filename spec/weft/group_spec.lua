-- SPDX-License-Identifier: MIT
-- weft.group: task_group: it ends when its tasks have, with what failed, whoever is cancelled
-- meanwhile.

local weft = require "weft"
local support = require "spec.support"
local testing = require "weft.testing"

local virtual, raises = support.virtual, support.raises
local spawn, parked = weft.create_task, testing.wait_all_parked

local function now()
  return weft.get_running_loop():time()
end

local function elapsed(fn, ...)
  local start = now()
  fn(...)
  return now() - start
end

local function after(seconds, a, b, c)
  return function()
    weft.sleep(seconds)
    return a, b, c
  end
end

local function failing(seconds, e)
  return function()
    weft.sleep(seconds)
    error(e, 0)
  end
end

local function my_error(message)
  return weft.Error { kind = "protocol", message = message }
end

-- A function that sleeps, and notes in `log` how that ended and when it had cleaned up.
local function noting(log, name, seconds, cleanup)
  return function()
    local start = now()
    weft.finally(function()
      local ok, e = pcall(weft.sleep, seconds)
      log[#log + 1] = name .. (ok and " returned" or " " .. e.kind)
      if not ok then
        error(e, 0)
      end
    end, function()
      if cleanup then
        weft.sleep(cleanup)
        log[#log + 1] = ("%s cleaned up at %g"):format(name, now() - start)
      end
    end)
  end
end

local function messages(e)
  local list = {}
  for i, child in ipairs(e.errors) do
    list[i] = child.message
  end
  return list
end

describe("weft.task_group", function()
  it("returns what the function returned, when all tasks have ended", virtual(function()
    local log, results = {}, nil
    assert.near(3, elapsed(function()
      results = { n = select("#", weft.task_group(after(0, 1, nil, 3))),
        weft.task_group(function(group)
          group:create_task(noting(log, "a", 3))
          group:create_task(noting(log, "b", 1))
          return 1, nil, 3
        end) }
    end), 1e-6)
    assert.same({ n = 3, 1, nil, 3 }, results)
    assert.same({ "b returned", "a returned" }, log)
  end))

  it("of no tasks returns at once", virtual(function()
    local others = 0
    spawn(function() others = others + 1 end)
    assert.equal("value", weft.task_group(function() return "value" end))
    assert.equal(0, select("#", weft.task_group(function() end)))
    assert.equal(0, others)
    weft.sleep(0)
  end))

  it("gives tasks, which take arguments and have results", virtual(function()
    local task = weft.task_group(function(group)
      local task = group:create_task(function(...)
        weft.sleep(1)
        return select("#", ...), ...
      end, 1, nil, 3)
      assert.is_false(task:done())
      assert.same({ 3, 1, nil, 3 }, { task:await() })
      return task
    end)
    assert.same({ 3, 1, nil, 3 }, { task:result() })
  end))

  it("waits for tasks that its tasks make, also after the function has returned", virtual(
    function()
      local log = {}
      assert.near(6, elapsed(weft.task_group, function(group)
        group:create_task(function()
          weft.sleep(1)
          group:create_task(function()
            weft.sleep(2)
            group:create_task(noting(log, "grandchild", 3))
          end)
        end)
      end), 1e-6)
      assert.same({ "grandchild returned" }, log)
    end))

  it("waits for a task that is made in the turn in which the last one ends", virtual(function()
    local event, log, group = weft.event(), {}, nil
    local task = spawn(weft.task_group, function(g)
      group = g
      g:create_task(event.wait, event)
    end)
    parked()
    spawn(function()
      event:wait()
      group:create_task(noting(log, "late", 3))
    end)
    parked()
    event:set()
    assert.near(3, elapsed(task.await, task), 1e-6)
    assert.same({ "late returned" }, log)
  end))

  it("keeps nothing of the tasks that have ended", virtual(function()
    local seen, count = setmetatable({}, { __mode = "k" }), 0
    weft.task_group(function(group)
      for i = 1, 200 do
        seen[group:create_task(function() return { i } end)] = true
        weft.sleep(0)
      end
      group:create_task(function() end)
      weft.sleep(1)
      collectgarbage()
      collectgarbage()
      for _ in pairs(seen) do
        count = count + 1
      end
    end)
    assert.is_true(count <= 3, count)
  end))

  it("in each other ends from the inside out", virtual(function()
    local log = {}
    weft.task_group(function(outer)
      outer:create_task(noting(log, "outer", 2))
      weft.task_group(function(inner)
        inner:create_task(noting(log, "inner", 1))
        outer:create_task(noting(log, "outer's, made inside", 3))
      end)
      log[#log + 1] = "inner ended"
    end)
    assert.same({ "inner returned", "inner ended", "outer returned",
      "outer's, made inside returned" }, log)
  end))

  it("works in a generator, which may yield inside", virtual(function()
    local step = coroutine.wrap(function()
      return weft.task_group(function(group)
        local task = group:create_task(after(2, "from a task"))
        coroutine.yield("yielded")
        coroutine.yield(task:await())
        return "returned"
      end)
    end)
    assert.same({ "yielded", "from a task", "returned" }, { step(), step(), step() })
  end))

  it("shows itself", virtual(function()
    local group
    pcall(weft.task_group, function(g)
      group = g
      assert.equal("TaskGroup<open tasks=0>", tostring(g))
      local task = g:create_task(function()
        weft.finally(after(100), function()
          assert.equal("TaskGroup<ending tasks=1>", tostring(g))
        end)
      end)
      assert.equal("TaskGroup<open tasks=1>", tostring(g))
      weft.sleep(1)
      assert.is_false(task:done())
      error("end", 0)
    end)
    assert.equal("TaskGroup<ended tasks=0>", tostring(group))
  end))

  it("is told of as what waits for children", virtual(function()
    local task = spawn(weft.task_group, function(group)
      group:create_task(after(1)):set_name("child")
    end)
    task:set_name("parent")
    parked()
    assert.matches("parent: waits for children for 0.0 s at [^\n]*\n  child: sleeps", weft.tree())
    task:await()
  end))

  it("refuses what is no function", virtual(function()
    raises("type", weft.task_group)
    raises("type", weft.task_group, 1)
    weft.task_group(function(group)
      raises("type", group.create_task, group)
      raises("type", group.create_task, group, {})
      assert.equal(3, group:create_task(setmetatable({}, { __call = function(_, x) return x end }),
        3):await())
    end)
  end))

  it("cannot be entered outside a task, or where no wait is possible", virtual(function()
    local calls, done, e = 0, weft.create_future(), nil
    local function fn() calls = calls + 1 end
    weft.get_running_loop():call_soon(function()
      e = support.error_of(weft.task_group, fn)
      done:set_result()
    end)
    done:await()
    assert.same({ "state", "ENOTASK" }, { e.kind, e.code })
    table.sort({ 1, 2 }, function(a, b)
      raises({ "state", "EBLOCKED" }, weft.task_group, fn)
      return a < b
    end)
    assert.equal(0, calls)
  end))
end)

describe("a failure in a task group", function()
  it("of one task cancels the others, and the function's wait, and is raised as it is", virtual(
    function()
      for _, e in ipairs { my_error("broken"), "words", {} } do
        local log, inside = {}, nil
        local raised
        assert.near(2, elapsed(function()
          raised = support.error_of(weft.task_group, function(group)
            group:create_task(noting(log, "a", 100))
            group:create_task(failing(2, e))
            group:create_task(noting(log, "b", 1))
            inside = support.error_of(weft.sleep, 100)
            error(inside, 0)
          end)
        end), 1e-6)
        assert.is_true(rawequal(e, raised))
        assert.is_true(weft.is_error(inside, "cancelled"))
        assert.same({ "b returned", "a cancelled" }, log)
        weft.sleep(1) -- the one who waited is not cancelled
      end
    end))

  it("is raised when all have ended, clean-up too", virtual(function()
    local log = {}
    assert.near(7, elapsed(raises, "protocol", weft.task_group, function(group)
      group:create_task(noting(log, "a", 100, 5))
      group:create_task(failing(2, my_error("broken")))
      weft.finally(after(100), after(3))
    end), 1e-6)
    assert.same({ "a cancelled", "a cleaned up at 7" }, log)
  end))

  it("of the function cancels the tasks", virtual(function()
    local log, e = {}, my_error("broken")
    local raised
    assert.near(4, elapsed(function()
      raised = support.error_of(weft.task_group, function(group)
        group:create_task(noting(log, "a", 100, 3))
        group:create_task(noting(log, "b", 100))
        weft.sleep(1)
        error(e, 0)
      end)
    end), 1e-6)
    assert.is_true(rawequal(e, raised))
    assert.same({ "a cancelled", "b cancelled", "a cleaned up at 4" }, log)
  end))

  it("of the function keeps tasks that have not begun from it", virtual(function()
    local calls = 0
    assert.equal("at once", support.error_of(weft.task_group, function(group)
      group:create_task(function() calls = calls + 1 end)
      error("at once", 0)
    end))
    assert.equal(0, calls)
  end))

  it("after the function has returned is raised in place of its results", virtual(function()
    local log = {}
    assert.equal("broken", support.error_of(weft.task_group, function(group)
      group:create_task(failing(1, "broken"))
      group:create_task(noting(log, "a", 100))
      return "value"
    end))
    assert.same({ "a cancelled" }, log)
  end))

  it("that the function does not let through is raised all the same", virtual(function()
    local broken = 0
    assert.equal("broken", support.error_of(weft.task_group, function(group)
      group:create_task(failing(1, "broken"))
      for _ = 1, 3 do
        broken = broken + (pcall(weft.sleep, 100) and 0 or 1)
      end
      return "value"
    end))
    assert.equal(3, broken) -- each wait
  end))

  it("that the function awaited, and caught, is raised all the same", virtual(function()
    assert.equal("broken", support.error_of(weft.task_group, function(group)
      pcall(weft.await, group:create_task(failing(1, "broken")))
    end))
  end))

  it("that the function awaited, and let through, is one failure", virtual(function()
    for _, e in ipairs { my_error("broken"), "words", {} } do
      assert.is_true(rawequal(e, support.error_of(weft.task_group, function(group)
        group:create_task(failing(1, e)):await()
      end)))
      assert.is_true(rawequal(e, support.error_of(weft.task_group, function(group)
        weft.gather(group:create_task(after(3)), group:create_task(failing(1, e)))
      end)))
    end
  end))

  it("that another task of the group awaited, and let through, is one failure", virtual(function()
    local e = my_error("broken")
    assert.is_true(rawequal(e, support.error_of(weft.task_group, function(group)
      local task = group:create_task(failing(1, e))
      group:create_task(task.await, task)
    end)))
  end))

  it("is one of several, though they look alike", virtual(function()
    local e = raises("group", weft.task_group, function(group)
      for _ = 1, 2 do
        group:create_task(function()
          pcall(weft.sleep, 1)
          error("words", 0)
        end)
      end
    end)
    assert.same({ "words", "words" }, messages(e))
  end))

  it("among several is one error of kind group, with all of them", virtual(function()
    local first = my_error("first")
    local e = raises("group", weft.task_group, function(group)
      group:create_task(function()
        pcall(weft.sleep, 100)
        error(my_error("second"), 0)
      end)
      group:create_task(failing(1, first))
      group:create_task(function()
        weft.finally(after(100), function()
          weft.sleep(5)
          error("third", 0)
        end)
      end)
      group:create_task(after(100))
    end)
    assert.same({ "first", "second", "third" }, messages(e))
    assert.is_true(rawequal(first, e.errors[1]))
    assert.same({ "raised", "third" }, { e.errors[3].kind, e.errors[3].value })
    assert.equal("group: 3 tasks of the group failed: protocol: first; protocol: second; "
      .. "raised: third", tostring(e))
    for i = 1, 2 do
      assert.matches("group_spec.lua", e.errors[i].traceback)
    end
  end))

  it("of both the function and tasks has the function's first", virtual(function()
    local e = raises("group", weft.task_group, function(group)
      group:create_task(failing(1, my_error("task")))
      pcall(weft.sleep, 100)
      error(my_error("function"), 0)
    end)
    assert.same({ "function", "task" }, messages(e))
    e = raises("group", weft.task_group, function(group)
      group:create_task(function()
        pcall(weft.sleep, 100)
        error(my_error("task"), 0)
      end)
      weft.sleep(1)
      error(my_error("function"), 0)
    end)
    assert.same({ "function", "task" }, messages(e))
  end))

  it("of several in one turn has those that had woken to fail", virtual(function()
    local e = raises("group", weft.task_group, function(group)
      for i = 1, 3 do
        group:create_task(failing(1, my_error(tostring(i))))
      end
    end)
    assert.same({ "1", "2", "3" }, messages(e))
  end))

  it("is not reported as lost", support.outside(function()
    local reports = 0
    testing.virtual_clock(function()
      weft.get_running_loop():set_exception_handler(function() reports = reports + 1 end)
      raises("group", weft.task_group, function(group)
        group:create_task(failing(1, my_error("a")))
        pcall(weft.sleep, 100)
        error(my_error("b"), 0)
      end)
    end)
    assert.equal(0, reports)
  end))

  it("in an inner group goes to the outer one", virtual(function()
    local log = {}
    local e = support.error_of(weft.task_group, function(outer)
      outer:create_task(noting(log, "outer", 100))
      outer:create_task(weft.task_group, function(inner)
        inner:create_task(noting(log, "inner", 100, 1))
        inner:create_task(failing(1, "broken"))
      end)
    end)
    assert.equal("broken", e)
    assert.same({ "inner cancelled", "inner cleaned up at 2", "outer cancelled" }, log)
  end))

  it("in an outer group cancels the inner one", virtual(function()
    local log = {}
    local e = support.error_of(weft.task_group, function(outer)
      outer:create_task(failing(1, "broken"))
      weft.task_group(function(inner)
        inner:create_task(noting(log, "inner", 100, 1))
      end)
      log[#log + 1] = "went on"
    end)
    assert.equal("broken", e)
    assert.same({ "inner cancelled", "inner cleaned up at 2" }, log)
  end))

  it("in groups in groups makes groups of groups", virtual(function()
    local function two(a, b)
      return function()
        weft.task_group(function(group)
          group:create_task(a)
          group:create_task(b)
        end)
      end
    end
    local function late(message)
      return function()
        pcall(weft.sleep, 100)
        error(my_error(message), 0)
      end
    end
    local e = raises("group", two(two(failing(1, my_error("a")), late("b")),
      two(late("c"), late("d"))))
    assert.same({ "group", "group" }, { e.errors[1].kind, e.errors[2].kind })
    assert.same({ "a", "b" }, messages(e.errors[1]))
    assert.same({ "c", "d" }, messages(e.errors[2]))
  end))

  it("has the traceback of the task", virtual(function()
    local e = raises("protocol", weft.task_group, function(group)
      group:create_task(function()
        weft.sleep(1)
        local function the_culprit()
          error(my_error("broken"), 0)
        end
        the_culprit()
        return 1
      end)
    end)
    assert.matches("group_spec.lua:%d+", e.traceback)
    assert.matches("the_culprit", e.traceback)
  end))
end)

describe("a cancellation in a task group", function()
  it("of one task by others is no failure", virtual(function()
    local log = {}
    assert.equal("value", weft.task_group(function(group)
      local task = group:create_task(after(100))
      local unstarted = group:create_task(after(100))
      unstarted:cancel()
      group:create_task(noting(log, "a", 3))
      weft.sleep(1)
      task:cancel()
      return "value"
    end))
    assert.same({ "a returned" }, log)
  end))

  it("of one task, which answers with an error, is a failure", virtual(function()
    assert.equal("answer", support.error_of(weft.task_group, function(group)
      local task = group:create_task(function()
        pcall(weft.sleep, 100)
        error("answer", 0)
      end)
      weft.sleep(1)
      task:cancel()
    end))
  end))

  it("of something that a task awaits makes it cancelled: no failure", virtual(function()
    weft.task_group(function(group)
      local other = spawn(after(100))
      local task = group:create_task(other.await, other)
      weft.sleep(1)
      other:cancel()
      weft.sleep(1)
      assert.is_true(task:cancelled())
    end)
  end))

  it("that comes out of the function cancels the tasks and is raised", virtual(function()
    local log, other = {}, spawn(after(100))
    weft.get_running_loop():call_later(1, other.cancel, other, "by others")
    local e = raises("cancelled", weft.task_group, function(group)
      group:create_task(noting(log, "a", 100, 2))
      other:await()
    end)
    assert.equal("by others", e.message)
    assert.same({ "a cancelled", "a cleaned up at 3" }, log)
    weft.sleep(1) -- not cancelled itself
  end))

  for _, where in ipairs { "in the function", "at the end" } do
    it("of its own task " .. where .. " goes to all tasks, and is raised when they have ended",
      virtual(function()
        local log = {}
        local task = spawn(weft.task_group, function(group)
          group:create_task(noting(log, "a", 100, 2))
          group:create_task(noting(log, "b", 100))
          if where == "in the function" then
            weft.sleep(100)
          end
        end)
        weft.sleep(1)
        task:cancel("enough")
        assert.near(2, elapsed(function()
          assert.equal("enough", raises("cancelled", task.await, task).message)
        end), 1e-6)
        assert.is_true(task:cancelled())
        assert.same({ "a cancelled", "b cancelled", "a cleaned up at 3" }, log)
      end))

    it("again " .. where .. " does not end it before its tasks", virtual(function()
      local log = {}
      local task = spawn(weft.task_group, function(group)
        group:create_task(noting(log, "a", 100, 5))
        if where == "in the function" then
          weft.sleep(100)
        end
      end)
      for _ = 1, 3 do
        weft.sleep(1)
        task:cancel()
      end
      assert.near(3, elapsed(raises, "cancelled", task.await, task), 1e-6)
      assert.same({ "a cancelled", "a cleaned up at 6" }, log)
    end))

    it("of its own task " .. where .. " loses to a failure, and comes at the next wait", virtual(
      function()
        local raised, later
        local task = spawn(function()
          raised = support.error_of(weft.task_group, function(group)
            group:create_task(function()
              pcall(weft.sleep, 100)
              error("answer", 0)
            end)
            if where == "in the function" then
              weft.sleep(100)
            end
          end)
          later = support.error_of(weft.sleep, 0)
          error(later, 0)
        end)
        weft.sleep(1)
        task:cancel()
        raises("cancelled", task.await, task)
        assert.equal("answer", raised)
        assert.is_true(weft.is_error(later, "cancelled"))
      end))
  end

  it("while it ends because of a failure loses to that", virtual(function()
    local raised, later
    local task = spawn(function()
      raised = support.error_of(weft.task_group, function(group)
        group:create_task(weft.finally, after(100), after(5))
        group:create_task(failing(1, "broken"))
      end)
      later = weft.is_error(support.error_of(weft.sleep, 0), "cancelled")
    end)
    weft.sleep(3)
    task:cancel()
    task:await()
    assert.same({ "broken", true }, { raised, later })
  end))

  it("at its entry runs nothing", virtual(function()
    local calls = 0
    local task = spawn(function()
      weft.current_task():cancel()
      weft.task_group(function() calls = calls + 1 end)
    end)
    raises("cancelled", task.await, task)
    assert.equal(0, calls)
  end))

  it("inside a function that does not wait is raised at the end", virtual(function()
    local log = {}
    local task = spawn(weft.task_group, function(group)
      group:create_task(noting(log, "a", 100))
      weft.current_task():cancel()
      return "value"
    end)
    raises("cancelled", task.await, task)
    assert.same({}, log) -- it never began
  end))

  it("that comes when all have ended already takes nothing away", virtual(function()
    local results, later
    local event, task = weft.event(), nil
    task = spawn(function()
      results = weft.task_group(function(group)
        group:create_task(event.wait, event)
        group:create_task(function()
          event:wait()
          weft.sleep(0)
          weft.get_running_loop():call_soon(function() task:cancel() end)
        end)
        return "value"
      end)
      later = weft.is_error(support.error_of(weft.sleep, 0), "cancelled")
    end)
    parked()
    event:set()
    -- the last task ends, which wakes the group's; the callback comes before that
    task:await()
    assert.same({ "value", true }, { results, later })
  end))

  it("that is taken back by uncancel lets the task go on", virtual(function()
    local task = spawn(function()
      raises("cancelled", weft.task_group, function(group)
        group:create_task(after(100))
      end)
      weft.current_task():uncancel()
      return weft.task_group(after(1, "again"))
    end)
    weft.sleep(1)
    task:cancel()
    assert.equal("again", task:await())
  end))

  it("by a timeout around it ends the tasks, and is a timeout", virtual(function()
    for _, inside in ipairs { 0, 100 } do
      local log = {}
      local e
      assert.near(3, elapsed(function()
        e = raises("timeout", weft.timeout, 1, weft.task_group, function(group)
          group:create_task(noting(log, "a", 100, 2))
          weft.sleep(inside)
        end)
      end), 1e-6)
      assert.equal("timed out after 1 s", e.message)
      assert.same({ "a cancelled", "a cleaned up at 3" }, log)
    end
  end))

  it("by a timeout inside the function is that function's affair", virtual(function()
    local log = {}
    weft.task_group(function(group)
      group:create_task(noting(log, "a", 5))
      raises("timeout", weft.timeout, 1, weft.sleep, 100)
    end)
    assert.same({ "a returned" }, log)
  end))

  it("by a timeout that the function lets through ends the tasks", virtual(function()
    local log = {}
    raises("timeout", weft.task_group, function(group)
      group:create_task(noting(log, "a", 100))
      weft.timeout(1, weft.sleep, 100)
    end)
    assert.same({ "a cancelled" }, log)
  end))
end)

describe("group:create_task", function()
  it("after the end is a state error, and starts nothing", virtual(function()
    local group, calls = nil, 0
    weft.task_group(function(g) group = g end)
    local e = raises({ "state", "group_ended" }, group.create_task, group,
      function() calls = calls + 1 end)
    assert.equal("the task group has ended", e.message)
    weft.sleep(1)
    assert.equal(0, calls)
  end))

  it("while it is ending because of a failure or a cancellation is a state error", virtual(
    function()
      for _, cancel in ipairs { false, true } do
        local calls, codes = 0, {}
        local task = spawn(weft.task_group, function(group)
          group:create_task(weft.finally, after(100), function()
            codes[1] = support.error_of(group.create_task, group,
              function() calls = calls + 1 end).code
          end)
          if not cancel then
            group:create_task(failing(1, "broken"))
          end
          weft.finally(after(100), function()
            codes[2] = not cancel and support.error_of(group.create_task, group,
              function() calls = calls + 1 end).code
          end)
        end)
        weft.sleep(1)
        if cancel then
          task:cancel()
        end
        support.error_of(task.await, task)
        weft.sleep(1)
        assert.same({ "group_ending", not cancel and "group_ending" }, codes)
        assert.equal(0, calls)
      end
    end))

  it("from other tasks and callbacks is possible while it is open", virtual(function()
    local log = {}
    weft.task_group(function(group)
      weft.get_running_loop():call_later(1, group.create_task, group, noting(log, "callback's", 1))
      spawn(function() group:create_task(noting(log, "task's", 1)) end)
      weft.sleep(1.5)
    end)
    assert.same({ "task's returned", "callback's returned" }, log)
  end))
end)

describe("cancelled everywhere, a task group", function()
  -- All tasks that began have ended, clean-up too, whenever the group has.
  local function scenario(body)
    local begun, ended, inside
    local function child(seconds, e)
      return function()
        begun = begun + 1
        weft.finally(after(seconds), function()
          weft.sleep(1)
          ended = ended + 1
        end)
        if e then
          error(e, 0)
        end
      end
    end
    return function()
      begun, ended = 0, 0
      local ok, e = pcall(weft.task_group, function(group) body(group, child) end)
      inside = begun - ended
      if not ok and (weft.is_error(e, "cancelled")) then
        error(e, 0)
      end
    end, function() assert.equal(0, inside) end
  end

  it("leaves no task behind", function()
    local fn, check = scenario(function(group, child)
      group:create_task(child(2))
      weft.sleep(1)
      group:create_task(child(3))
    end)
    assert.equal(2, testing.cancel_everywhere(fn, check))
    assert.is_true(testing.cancel_everywhere(fn, check, { every_task = true }) >= 5)
  end)

  it("leaves no task behind when one fails", function()
    local fn, check = scenario(function(group, child)
      group:create_task(child(2, "broken"))
      group:create_task(child(3))
      weft.finally(after(100), after(1))
    end)
    assert.is_true(testing.cancel_everywhere(fn, check) >= 2)
    assert.is_true(testing.cancel_everywhere(fn, check, { every_task = true }) >= 5)
  end)

  it("leaves no task behind with a group in it", function()
    local fn, check = scenario(function(group, child)
      group:create_task(child(2))
      weft.task_group(function(inner)
        inner:create_task(child(1))
        group:create_task(child(4))
        weft.sleep(1)
      end)
    end)
    assert.equal(3, testing.cancel_everywhere(fn, check))
    assert.is_true(testing.cancel_everywhere(fn, check, { every_task = true }) >= 6)
  end)
end)
