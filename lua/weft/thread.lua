-- SPDX-License-Identifier: MIT
-- weft.thread: functions that run in threads of their own lua_State: what blocks in C, or
-- computes for long.
--
-- Owns: which functions can go there, and the errors that come back.
-- Must not know: how a call gets to a thread and back.

local core = require "weft.core"
local errors = require "weft.error"
local await = require "weft.await"
local options = require "weft.options"

---@class weft
local M = {}

-- The pool of a loop, which lives as that does.
local function pool_of(loop)
  local root = core.loop_root(loop)
  if not root.pool then
    root.pool = core.pool_new(loop)
  end
  return root.pool
end

--- what can be called ---------------------------------------------------------

-- The name of an upvalue that the function would have to take along; nil if there is none.
local function upvalue_of(fn)
  local i = 0
  while true do
    i = i + 1
    local name, value = debug.getupvalue(fn, i)
    if not name then
      return nil
    elseif name ~= "_ENV" and value ~= _G then
      return name
    end
  end
end

-- A function as its bytes.
local function dump(fn)
  if debug.getinfo(fn, "S").what == "C" then
    errors.raise("type", "run_in_thread: a function of C goes by its name, 'module.function'")
  end
  local name = upvalue_of(fn)
  if name then
    errors.raise("type", ("run_in_thread: the function at %s uses the local variable '%s' from "
      .. "outside; a thread has its own: pass it as an argument, or require it inside"):format(
        errors.defined_at(fn), name), { code = "upvalue", upvalue = name })
  end
  return string.dump(fn)
end

-- What names a function for a thread: a module and a name, or false and bytes.
local function resolve(code)
  if type(code) == "function" then
    return false, dump(code)
  elseif type(code) ~= "string" then
    errors.raise("type", "run_in_thread: a function or 'module.function' expected, got "
      .. type(code))
  end
  local module, name = code:match("^(.+)%.([^.]+)$")
  if not module then
    errors.raise("type", ("run_in_thread: 'module.function' expected, got '%s'"):format(code))
  end
  return module, name
end

--- what comes back ------------------------------------------------------------

-- An error object of a thread, made again here, with those that it refers to.
local function restore(fields, traceback)
  if type(fields) ~= "table" or not errors.KINDS[fields.kind] then
    return fields
  end
  local e = {}
  for key, value in pairs(fields) do
    if type(key) ~= "string" or key:sub(1, 1) ~= "_" then
      e[key] = value
    end
  end
  e.cause = restore(fields.cause)
  if type(fields.errors) == "table" then
    e.errors = {}
    for i, child in ipairs(fields.errors) do
      e.errors[i] = restore(child)
    end
  end
  e._traceback = traceback
  return errors.new(fields.kind, tostring(fields.message), e)
end

local function raise_from_thread(e, traceback)
  if traceback then
    errors.note(e, "in a thread:\n" .. traceback)
  end
  error(e, 0)
end

local function fail(status, value, message, traceback)
  if status == "error" then
    raise_from_thread(restore(value, message), message)
  elseif status == "raised" then
    raise_from_thread(errors.new("raised", message, { value = value, _traceback = traceback }),
      traceback)
  elseif status == "type" or status == "limit" then
    errors.raise(status, "run_in_thread: " .. value)
  elseif status == "closed" then
    errors.raise("closed", "the event loop was closed")
  end
  error("not enough memory", 0)
end

local function outcome(ok, status, ...)
  if ok ~= true then
    await._interrupted(ok)
  elseif status ~= "ok" then
    fail(status, ...)
  end
  return ...
end

---Calls a function in a thread of the loop's own, and waits for its results. The thread has a Lua
---state of its own, with the same `package.path` and `package.cpath`: it shares no variables with
---the program, and no modules. It may block, and require and run weft itself. A state is used for
---one call after another: what a function leaves in global variables the next may find.
---
---`code` is "module.function", or a function that uses no local variables from outside itself.
---Arguments and results are copied: nil, booleans, numbers, strings, and tables of these, without
---metatables; up to 100 levels deep and 1 GiB. A table that occurs twice is copied twice.
---
---There are as many threads as cores, but at most 4 (`weft.thread_limit`); more calls wait, first
---come, first served. A thread with nothing to do ends after 10 s. A cancelled wait is left at
---once; the function runs on to its end, and meanwhile does not count. Closing the loop waits for
---functions that are under way, but 2 s at most; then it leaves them to themselves.
---
---Raises what the function raised: a `weft.Error` as it was, anything else as `raised` with `value`
---(as a string, if it cannot be copied), both with the traceback of the thread; `type` for a
---function with local variables from outside, a value that cannot be copied (the message tells
---which), or a function that is not there; `limit` for a value too large; `cancelled`.
---@async
---@param code string|fun(...): ...
---@param ... any
---@return any ... the results
function M.run_in_thread(code, ...)
  local module, name = resolve(code)
  await._before_wait()
  local pool = pool_of(core.running_loop())
  return outcome(core.pool_call(pool, package.path, package.cpath, module, name, ...))
end

---Sets how many threads the running loop may have for `weft.run_in_thread`.
---
---Raises `state` outside a task.
---@param n integer 1 or more
function M.thread_limit(n)
  options.count(n, "the number of threads", 1)
  await._checkpoint()
  core.pool_limit(pool_of(core.running_loop()), math.min(n, 10000))
end

---Counts of the running loop's threads: `threads`, those of them that are `idle`, calls that are
---`queued` and `completed`, and `abandoned` threads, whose function goes on though nobody waits
---for it.
---
---Raises `state` outside a task.
---@return table<string, integer>
function M.thread_statistics()
  await._checkpoint()
  return core.pool_statistics(pool_of(core.running_loop()))
end

return M
