-- SPDX-License-Identifier: MIT
-- weft.error: the class of errors and their kinds, foreign values among them, tracebacks, and
-- errors that nobody looked at, which are reported once.

local weft = require "weft"
local errors = require "weft.error"
local support = require "spec.support"
local testing = require "weft.testing"

local virtual, raises, error_of = support.virtual, support.raises, support.error_of

local function fails(value)
  return function()
    error(value, 0)
  end
end

-- The contexts that reach the loop's exception handler.
local function collect_reports(loop)
  local contexts = {}
  loop:set_exception_handler(function(_, context)
    contexts[#contexts + 1] = context
  end)
  return contexts
end

-- The numbers of the lines of this file that a traceback names.
local function count(text, pattern)
  return select(2, text:gsub(pattern, ""))
end

local function collect()
  collectgarbage()
  collectgarbage()
end

describe("weft.Error", function()
  it("makes an error of each fixed kind, with the fields given", support.outside(function()
    local kinds = {}
    for kind in pairs(errors.KINDS) do
      kinds[#kinds + 1] = kind
      local e = weft.Error { kind = kind, message = "m", code = "C", host = "h", port = 1,
        status = 404, url = "u", anything = false }
      assert.equal(kind, e.kind)
      assert.same({ "m", "C", "h", 1, 404, "u", false },
        { e.message, e.code, e.host, e.port, e.status, e.url, e.anything })
      assert.is_true(weft.is_error(e))
      assert.is_true(weft.is_error(e, kind))
      assert.is_false(weft.is_error(e, kind == "os" and "dns" or "os"))
      assert.equal(weft.Error, getmetatable(e))
    end
    table.sort(kinds)
    assert.equal("cancelled closed connection decode dns group http interrupt limit os protocol "
      .. "proxy queue raised redirect state timeout tls type", table.concat(kinds, " "))
  end))

  it("has the kind as its message when none is given", function()
    local e = weft.Error { kind = "dns" }
    assert.equal("dns", e.message)
    assert.equal("dns: dns", tostring(e))
    assert.equal("42", weft.Error { kind = "dns", message = 42 }.message)
  end)

  it("copies the table that it is given", function()
    local fields = { kind = "dns", message = "before" }
    local e = weft.Error(fields)
    fields.message = "after"
    assert.equal("before", e.message)
    assert.is_nil(getmetatable(fields))
  end)

  it("refuses any other kind, and what is no table", function()
    for _, fields in ipairs { { kind = "no such" }, {}, { message = "m" }, { kind = 5 }, "dns",
      { kind = "Cancelled" }, print } do
      local e = raises("type", weft.Error, fields)
      assert.equal("weft.Error takes a table with one of the fixed kinds", e.message)
    end
    raises("type", weft.Error)
    raises("type", weft.Error, nil)
  end)

  it("knows no other fields than those that it was given", function()
    local e = weft.Error { kind = "dns" }
    assert.is_nil(e.code)
    assert.is_nil(e.cause)
    assert.is_nil(e.traceback)
    assert.is_nil(e.no_such_field)
  end)
end)

describe("tostring of an error", function()
  it("is one line: the kind, the message, the code", function()
    for text, fields in pairs {
      ["dns: no such host"] = { kind = "dns", message = "no such host" },
      ["state: m (deadlock)"] = { kind = "state", message = "m", code = "deadlock" },
      ["connection: m (111)"] = { kind = "connection", message = "m", code = 111 },
      ["http: 404 for x://y"] = { kind = "http", message = "404 for x://y", url = "x://y",
        method = "GET" },
      ["dns: m (c) (GET x://y)"] = { kind = "dns", message = "m", code = "c", url = "x://y",
        method = "GET" },
      ["decode: m (x://y)"] = { kind = "decode", message = "m", url = "x://y" },
      ["raised: a b c"] = { kind = "raised", message = "a\n  b \n\n\t c" },
      ["raised: 100%"] = { kind = "raised", message = "100%" },
    } do
      assert.equal(text, tostring(weft.Error(fields)))
    end
  end)

  it("names the children of a group", virtual(function()
    local e = raises("group", weft.task_group, function(group)
      group:create_task(function()
        weft.sleep(1)
        error("one\nline", 0)
      end)
      group:create_task(function()
        pcall(weft.sleep, 100)
        error(weft.Error { kind = "dns", message = "two" })
      end)
    end)
    assert.is_nil(tostring(e):find("\n"))
    assert.matches(": raised: one line; dns: two$", tostring(e))
    assert.equal(2, #e.errors)
    assert.equal("one\nline", e.errors[1].value)
  end))
end)

describe("is_error", function()
  it("is true for error objects alone", function()
    for _, value in ipairs { "dns: x", 5, false, {}, { kind = "dns" }, print,
      setmetatable({ kind = "dns" }, {}) } do
      assert.is_false(weft.is_error(value))
      assert.is_false(weft.is_error(value, "dns"))
    end
    assert.is_false(weft.is_error(nil))
    assert.is_false(weft.is_error())
    assert.is_true(weft.is_error(weft.Error { kind = "dns" }, nil))
  end)
end)

describe("a foreign value", function()
  local VALUES = { "text", 5, true, false, {}, print, setmetatable({}, { __tostring = function()
    return "shown"
  end }) }

  it("is wrapped where errors stand among results", virtual(function()
    for _, value in ipairs(VALUES) do
      local results = weft.gather({ fails(value), function() return "fine" end },
        { return_exceptions = true })
      assert.equal("fine", results[2])
      local e = results[1]
      assert.is_true(weft.is_error(e, "raised"))
      assert.equal(value, e.value)
      assert.equal(tostring(value), e.message)
      local task = weft.create_task(fails(value))
      assert.equal(value, error_of(task.await, task))
      assert.equal(value, task:exception().value)
    end
  end))

  it("of kind nil too", virtual(function()
    local e = weft.gather({ fails(nil) }, { return_exceptions = true })[1]
    assert.is_true(weft.is_error(e, "raised"))
    assert.is_nil(e.value)
    assert.equal("raised: nil", tostring(e))
  end))

  it("is not wrapped if it is an error object", virtual(function()
    local mine = weft.Error { kind = "dns" }
    assert.equal(mine, weft.gather({ fails(mine) }, { return_exceptions = true })[1])
    local task = weft.create_task(fails(mine))
    assert.equal(mine, error_of(task.await, task))
    assert.equal(mine, task:exception())
  end))
end)

--- tracebacks -------------------------------------------------------------------------

describe("the traceback", function()
  local function where_it_failed(value)
    error(value, 0)
  end

  it("of a task that failed has its stack, whatever it raised", virtual(function()
    for _, value in ipairs { "text", { 1 }, weft.Error { kind = "dns" }, false } do
      local task = weft.create_task(function()
        weft.sleep(1)
        where_it_failed(value)
        return 1
      end)
      task:set_name("the one")
      assert.equal(value, error_of(task.await, task))
      local text = task:traceback()
      assert.matches("^in the one:\nstack traceback:\n", text)
      assert.matches("error_spec.lua:%d+: in [^\n]*where_it_failed", text)
      assert.equal(text, weft.traceback(task))
    end
  end))

  it("of an error object is that of the task, and names who awaited it", virtual(function()
    local inner = weft.create_task(function()
      where_it_failed(weft.Error { kind = "dns" })
      return 1
    end)
    local function relay()
      inner:await()
      return 1
    end
    local waiters = {}
    for i = 1, 2 do
      waiters[i] = weft.create_task(relay)
      waiters[i]:set_name("waiter " .. i)
    end
    inner:set_name("inner")
    local e = raises("dns", waiters[1].await, waiters[1])
    raises("dns", waiters[2].await, waiters[2])
    assert.matches("^in inner:\n", e.traceback)
    assert.matches("where_it_failed", e.traceback)
    assert.matches("\nawaited by waiter 1 at [^\n]*error_spec.lua:%d+", e.traceback)
    assert.matches("\nawaited by waiter 2 at [^\n]*error_spec.lua:%d+", e.traceback)
  end))

  it("of a chain of tasks names each, from where it began", virtual(function()
    for _, value in ipairs { "text", weft.Error { kind = "dns" } } do
      local last = weft.create_task(function()
        weft.sleep(1)
        where_it_failed(value)
        return 1
      end)
      last:set_name("task 1")
      for i = 2, 5 do
        local inner = last
        last = weft.create_task(function()
          inner:await()
          return 1
        end)
        last:set_name("task " .. i)
      end
      error_of(last.await, last)
      local text = last:traceback()
      assert.matches("^in task 1:\n.*where_it_failed.*awaited by task 2:.*awaited by task 3:"
        .. ".*awaited by task 4:.*awaited by task 5:", text)
      assert.equal(5, count(text, "stack traceback:"))
    end
  end))

  it("goes through tasks that are awaited in coroutines", virtual(function()
    local function in_coroutines(depth, fn)
      if depth == 0 then
        fn()
      else
        coroutine.wrap(in_coroutines)(depth - 1, fn)
      end
      return 1
    end
    local inner = weft.create_task(in_coroutines, 3, function() where_it_failed "text" end)
    inner:set_name("inner")
    local outer = weft.create_task(in_coroutines, 2, function() inner:await() end)
    outer:set_name("outer")
    error_of(outer.await, outer)
    local text = outer:traceback()
    assert.matches("where_it_failed.*\nawaited by outer:\n", text)
    local before, after = text:match("^(.*)\nawaited by outer:\n(.*)$")
    assert.equal(4, count(before, "stack traceback:"))
    assert.equal(3, count(after, "stack traceback:"))
  end))

  it("goes through calls that weft guards", virtual(function()
    for name, guard in pairs {
      timeout = function(fn) weft.timeout(10, fn) end,
      finally = function(fn) weft.finally(fn, function() end) end,
      with = function(fn) weft.lock():with(fn) end,
      try = function(fn) error(select(2, weft.try(fn)), 0) end,
    } do
      local task = weft.create_task(function()
        guard(function()
          where_it_failed("text")
          return 1
        end)
        return 1
      end)
      assert.equal("text", error_of(task.await, task))
      assert.matches("where_it_failed", task:traceback(), 1, false, name)
    end
  end))

  it("is that of the last failure, not of an equal one before", virtual(function()
    local function first() error("same", 0) end
    local function second() error("same", 0) end
    local one = weft.create_task(function() first() return 1 end)
    local two = weft.create_task(function() second() return 1 end)
    local task = weft.create_task(function()
      pcall(one.await, one)
      two:await()
      return 1
    end)
    assert.equal("same", error_of(task.await, task))
    assert.matches("second", task:traceback())
    assert.is_nil(task:traceback():find("'first'", 1, true))
  end))

  it("has nothing of an equal failure that ended in a coroutine", virtual(function()
    local function first() error("same", 0) end
    local function second() error("same", 0) end
    local task = weft.create_task(function()
      coroutine.wrap(function()
        pcall(weft.timeout, 10, function()
          first()
          return 1
        end)
      end)()
      second()
      return 1
    end)
    assert.equal("same", error_of(task.await, task))
    assert.matches("second", task:traceback())
    assert.equal(1, count(task:traceback(), "stack traceback:"))
  end))

  it("of a live task is where it waits, in whichever coroutine", virtual(function()
    local function where_it_waits() weft.sleep(100) end
    local task = weft.create_task(function()
      coroutine.wrap(function()
        where_it_waits()
        return 1
      end)()
      return 1
    end)
    local text = task:traceback()
    assert.matches("^not started: .*error_spec.lua:%d+$", text)
    testing.wait_all_parked()
    text = task:traceback()
    assert.matches("where_it_waits.*\nresumed by\n", text)
    assert.equal(2, count(text, "stack traceback:"))
    assert.equal(text, weft.traceback(task))
    task:cancel()
    raises("cancelled", task.await, task)
  end))

  it("of the task that asks is its own", virtual(function()
    local function the_one_who_asks() return weft.traceback(weft.current_task()), 1 end
    assert.matches("the_one_who_asks", (the_one_who_asks()))
  end))

  it("of one that returned is nil; what is no task has none", virtual(function()
    local task = weft.create_task(function() end)
    task:await()
    assert.is_nil(task:traceback())
    raises("type", weft.traceback, weft.create_future())
    raises("type", weft.traceback, 5)
  end))

  it("is text that does not keep growing when it is raised again", virtual(function()
    local e = weft.Error { kind = "dns" }
    local task = weft.create_task(fails(e))
    error_of(task.await, task)
    local text = e.traceback
    assert.equal("string", type(text))
    assert.equal(text, e.traceback)
  end))
end)

--- errors that nobody looked at -----------------------------------------------------------

-- name, make(loop, value) -> the failed object, what its context calls it
local LOST = {
  { "task", function(_, value) return weft.create_task(fails(value)) end },
  { "future", function(loop, value)
    local future = loop:create_future()
    future:set_exception(value)
    return future
  end },
}

for _, case in ipairs(LOST) do
  local name, make = case[1], case[2]

  -- A fresh loop in which fn(contexts, loop) runs; what is reported in all is returned.
  local function reports_of(fn)
    local loop = weft.new_event_loop()
    local contexts = collect_reports(loop)
    loop:run_until_complete(function()
      fn(contexts, loop)
    end)
    loop:close()
    collect()
    return contexts
  end

  describe("the error of a " .. name .. " that nobody looked at", function()
    it("is reported once, when it is collected", support.outside(function()
      local value = { "the error" }
      local in_time
      local contexts = reports_of(function(contexts, loop)
        make(loop, value)
        weft.sleep(0)
        collect()
        weft.sleep(0)
        weft.sleep(0)
        in_time = #contexts
        collect()
        weft.sleep(0)
      end)
      assert.equal(1, in_time)
      assert.equal(1, #contexts)
      local context = contexts[1]
      assert.matches("^the error of a " .. name .. " was never retrieved: ", context.message)
      assert.is_true(weft.is_error(context.exception, "raised"))
      assert.equal(value, context.exception.value)
      assert.equal("userdata", type(context[name]))
      assert.is_nil(context[name == "task" and "future" or "task"])
      if name == "task" then
        assert.matches("stack traceback", context.traceback)
      end
    end))

    it("is reported when the loop closes, if it is still held", support.outside(function()
      local held
      local contexts = reports_of(function(_, loop)
        held = make(loop, weft.Error { kind = "dns" })
        weft.sleep(0)
        collect()
        weft.sleep(0)
      end)
      assert.equal(1, #contexts)
      assert.equal(held, contexts[1][name])
      assert.equal("dns", contexts[1].exception.kind)
      assert.equal("dns", held:exception().kind)
    end))

    it("is reported when it was collected after the run", support.outside(function()
      local loop = weft.new_event_loop()
      local contexts = collect_reports(loop)
      loop:run_until_complete(function()
        make(loop, "x")
        weft.sleep(0)
      end)
      collect()
      assert.equal(1, #contexts)
      loop:close()
      assert.equal(1, #contexts)
    end))

    it("is named, with all of many", support.outside(function()
      local contexts = reports_of(function(_, loop)
        for i = 1, 100 do
          make(loop, i)
        end
        weft.sleep(0)
      end)
      assert.equal(100, #contexts)
      local seen = {}
      for _, context in ipairs(contexts) do
        seen[context.exception.value] = true
      end
      assert.equal(100, #seen)
    end))

    it("goes to stderr without a handler", function()
      local text, status = support.script([[
        local weft = require "weft"
        weft.run(function()
          local function fail() error("the reason", 0) end
          ]] .. (name == "task" and "weft.create_task(function() fail() return 1 end):set_name 'it'"
            or "weft.create_future():set_exception('the reason')") .. [[

          weft.sleep(0)
        end)]])
      assert.equal(0, status)
      assert.matches("^weft: the error of a " .. name .. " was never retrieved: ", text)
      assert.matches("\nraised: the reason\n", text)
      assert.equal(1, count(text, "the reason"))
    end)

    -- How one looks at an error.
    for how, look in pairs {
      awaiting = function(x) pcall(x.await, x) end,
      result = function(x) pcall(x.result, x) end,
      exception = function(x) x:exception() end,
      gather = function(x) weft.gather({ x }, { return_exceptions = true }) end,
      wait_for = function(x) pcall(weft.wait_for, x, 1) end,
      shield = function(x) pcall(weft.shield, x) end,
      ["a callback that asks"] = function(x)
        x:add_done_callback(function() x:exception() end)
        weft.sleep(0)
      end,
    } do
      it("is not lost by " .. how, support.outside(function()
        for _, held in ipairs { false, true } do
          local x
          local contexts = reports_of(function(_, loop)
            local failed = make(loop, "x")
            if held then
              x = failed
            end
            weft.sleep(0)
            look(failed)
            failed = nil -- luacheck: ignore 311
            collect()
            weft.sleep(0)
          end)
          assert.equal(0, #contexts)
          assert.equal(held, x ~= nil)
        end
      end))
    end

    it("is not looked at by what only asks for its state", support.outside(function()
      local contexts = reports_of(function(_, loop)
        local x = make(loop, "x")
        weft.sleep(0)
        assert(x:done() and not x:cancelled() and tostring(x) and tostring(x):find("x"))
        weft.wait { x }
        x:add_done_callback(function() end)
        x:remove_done_callback(print)
        weft.sleep(0)
      end)
      assert.equal(1, #contexts)
    end))

    it("is not lost to a task that waited when it failed", support.outside(function()
      local contexts = reports_of(function(_, loop)
        local x = loop:create_future()
        local waiter = weft.create_task(function() x:await() end)
        testing.wait_all_parked()
        x:set_exception("x")
        assert.equal("x", error_of(waiter.await, waiter))
      end)
      assert.equal(0, #contexts)
    end))

    it("may be looked at in its report", support.outside(function()
      local loop = weft.new_event_loop()
      local seen
      loop:set_exception_handler(function(_, context)
        seen = { pcall(context[name].result, context[name]) }
      end)
      loop:run_until_complete(function()
        make(loop, "x")
        weft.sleep(0)
      end)
      loop:close()
      collect()
      assert.same({ false, "x" }, seen)
    end))
  end)
end

describe("a cancelled task or future", function()
  it("is never reported", support.outside(function()
    local loop = weft.new_event_loop()
    local contexts = collect_reports(loop)
    loop:run_until_complete(function()
      weft.create_task(weft.sleep, 1):cancel()
      local task = weft.create_task(weft.sleep, 1)
      weft.sleep(0)
      task:cancel()
      weft.create_future():cancel()
      weft.create_future():set_exception(weft.Error { kind = "cancelled" })
      weft.create_future() -- and one that never gets an outcome
      weft.sleep(0)
      weft.sleep(0)
    end)
    collect()
    loop:close()
    assert.same({}, contexts)
  end))
end)
