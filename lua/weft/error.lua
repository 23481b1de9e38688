-- SPDX-License-Identifier: MIT
-- weft.error: the one kind of error that weft raises, and where it came from.
--
-- Owns: the class weft.Error, the fixed words of its `kind`, what a failed task's
-- traceback is made of, and the functions through which all of weft raises.
-- Must not know: the loop, or anything that waits.

local core = require "weft.core"

---What went wrong, in one of these words.
---@alias weft.Kind
---| "cancelled"  # the task was cancelled
---| "timeout"    # a time limit has passed
---| "connection" # refused, reset, unreachable, closed early
---| "dns"        # a name could not be resolved
---| "tls"        # the handshake or a certificate was refused
---| "protocol"   # the peer broke the protocol
---| "http"       # a status of 400 or more, from raise_for_status
---| "redirect"   # too many, in a loop, or to where it must not go
---| "proxy"      # the proxy could not be reached or refused
---| "decode"     # charset, JSON, compression
---| "limit"      # a bound on a size or a count was passed
---| "closed"     # something that is closed was used
---| "state"      # misuse: not now, not here, not twice
---| "type"       # a value of the wrong type, or one that cannot be
---| "raised"     # wraps a value that is no weft.Error, in `value`
---| "interrupt"  # Ctrl-C
---| "group"      # several errors, in `errors`
---| "os"         # a system call failed
---| "queue"      # a queue is full, empty or shut down

---What every failure of weft raises. `tostring` gives one line. Other fields, where they
---apply: `host`, `port`, `url`, `method`, `status`. A program makes its own by
---`weft.Error{kind = …, message = …}` and raises it with `error`.
---@class weft.Error
---@field kind weft.Kind
---@field message string
---@field code string? a fixed word, such as "ECONNREFUSED" or "deadlock"
---@field cause any what led to it
---@field errors weft.Error[]? the failures in a `group`
---@field value any of kind `raised`: what was raised
---@field traceback string? where the task failed, and which tasks awaited it
---@overload fun(fields: {kind: weft.Kind, message: string?, [string]: any}): weft.Error
local Error = core.classes.Error

local KINDS = {}
for kind in ([[cancelled timeout connection dns tls protocol http redirect proxy
  decode limit closed state type raised interrupt group os queue]]):gmatch("%a+") do
  KINDS[kind] = true
end

---@class weft
local M = { Error = Error, KINDS = KINDS }

--- where ------------------------------------------------------------------

-- The folder of weft's own Lua files, whose frames say nothing to a user.
local HERE = debug.getinfo(1, "S").source:match("^(.*[/\\])[^/\\]*$") or "@?"

---"file:line" of a function's definition.
---@private
function M.defined_at(fn)
  if type(fn) ~= "function" then
    return "?"
  end
  local info = debug.getinfo(fn, "S")
  if info.what == "C" then
    return "[C]"
  end
  return info.short_src .. ":" .. info.linedefined
end

---Whether a function, of which `info` has the "S", is one of weft's own in Lua.
---@private
function M.is_own(info)
  return info.source:sub(1, #HERE) == HERE
end

---"file:line" of the first frame of a coroutine that is not weft's own.
---@private
function M.place(co)
  local level = 0
  while true do
    local info = debug.getinfo(co, level, "Sl")
    if not info then
      return nil
    end
    if info.what ~= "C" and not M.is_own(info) then
      return info.short_src .. ":" .. info.currentline
    end
    level = level + 1
  end
end

---The name of a task, given or made from its number.
---@private
function M.name_of(task)
  local extra = core.extra(task)
  return extra and extra.name or ("%s-%d"):format(
    core.kind_of(task) == "task" and "Task" or "Future", core.id(task))
end

--- tracebacks ----------------------------------------------------------------

local function same(a, b)
  return rawequal(a, b) or a == b and type(a) == "string"
end

-- The stack of a coroutine; that of a closed one is a text.
local function stack_of(source)
  return type(source) == "thread" and debug.traceback(source) or source
end

local failure_lines

local function source_lines(task, source, lines, seen)
  if type(source) == "thread" then
    lines[#lines + 1] = "in a coroutine of " .. M.name_of(task) .. ":"
    lines[#lines + 1] = stack_of(source)
  elseif type(source) == "string" then
    lines[#lines + 1] = "in " .. M.name_of(task) .. ":"
    lines[#lines + 1] = source
  elseif core.kind_of(source) then
    failure_lines(source, lines, seen)
    lines[#lines + 1] = "awaited by " .. M.name_of(task) .. ":"
  end
end

-- The lines that tell where `task` failed: where the error began (another task that it
-- awaited, a coroutine, a call that weft guarded), the coroutines through which it came, then
-- the task's own stack. See note_failure in src/loop/coroutine.c.
function failure_lines(task, lines, seen)
  local extra = core.extra(task)
  if not extra or seen[task] then
    return
  end
  seen[task] = true
  local noted = extra.noted
  if noted and noted.by == extra.thread and same(noted[1], extra[1]) then
    source_lines(task, noted[2], lines, seen)
    for i = 3, #noted do
      lines[#lines + 1] = type(noted[i - 1]) == "thread" and "resumed by" or nil
      lines[#lines + 1] = stack_of(noted[i])
    end
    lines[#lines + 1] = type(noted[#noted]) == "thread" and "resumed by" or nil
  end
  if extra.thread then
    if #lines == 0 then
      lines[#lines + 1] = "in " .. M.name_of(task) .. ":"
    end
    lines[#lines + 1] = debug.traceback(extra.thread)
  end
end

---Where a failed task failed, as text; nil for any other.
---@private
---@param task userdata
---@return string?
function M.failure_text(task)
  local lines = {}
  failure_lines(task, lines, {})
  local extra = core.extra(task)
  if extra and extra.origin then
    lines[#lines + 1] = "made here:"
    lines[#lines + 1] = extra.origin
  end
  return lines[1] and table.concat(lines, "\n") or nil
end

---Keeps, in the running task, where the error `e` came from. `source` is the task that was
---awaited, or a traceback, which is not needed if the error has come from elsewhere.
---@private
function M.note(e, source)
  local task = core.current_task()
  if not task then
    return
  end
  local extra, by = core.extra(task, true), coroutine.running()
  local noted = extra.noted
  if type(source) == "string" and noted and noted.by == by and same(noted[1], e) then
    return
  end
  extra.noted = { e, source, by = by }
end

---Keeps, in the running task, the stack of a coroutine that has failed and is going to be
---closed.
---@private
function M.keep_stack(co)
  local task = core.current_task()
  local extra = task and core.extra(task)
  local noted = extra and extra.noted
  if noted and noted[#noted] == co then
    noted[#noted] = debug.traceback(co) .. "\nresumed by"
  end
end

---Ties an error object to the task that failed with it (the first one), and
---names who awaits that.
---@private
function M.attribute(e, task)
  if getmetatable(e) ~= Error then
    return
  end
  if not rawget(e, "_task") then
    rawset(e, "_task", task)
  end
  local waiter = core.current_task()
  if waiter and waiter ~= task then
    local waiters = rawget(e, "_waiters")
    if not waiters then
      waiters = {}
      rawset(e, "_waiters", waiters)
    end
    waiters[#waiters + 1] = M.name_of(waiter) .. " at "
      .. (M.place(coroutine.running()) or "?")
  end
end

Error.__name = "weft.Error"

function Error.__index(e, key)
  if key ~= "traceback" then
    return nil
  end
  local task = rawget(e, "_task")
  local text = task and M.failure_text(task) or rawget(e, "_traceback")
  local waiters = rawget(e, "_waiters")
  if text and waiters then
    text = text .. "\nawaited by " .. table.concat(waiters, "\nawaited by ")
  end
  return text
end

-- The request that failed, where the words do not name its URL.
local function request_of(e, text)
  local url = rawget(e, "url")
  if type(url) ~= "string" or text:find(url, 1, true) then
    return ""
  end
  local method = rawget(e, "method")
  return (" (%s%s)"):format(type(method) == "string" and method .. " " or "", url)
end

function Error.__tostring(e)
  local text = e.kind .. ": " .. tostring(e.message)
  if e.code and e.kind ~= "raised" then
    text = text .. " (" .. tostring(e.code) .. ")"
  end
  text = text .. request_of(e, text)
  if e.errors then
    local parts = {}
    for i, child in ipairs(e.errors) do
      parts[i] = tostring(child)
    end
    text = text .. ": " .. table.concat(parts, "; ")
  end
  return (text:gsub("%s*\n%s*", " "))
end

--- making and raising ---------------------------------------------------------

setmetatable(Error, {
  ---Makes an error object; raise it with `error(e)`.
  __call = function(_, fields)
    if type(fields) ~= "table" or not KINDS[fields.kind] then
      error(setmetatable({ kind = "type",
        message = "weft.Error takes a table with one of the fixed kinds" }, Error), 2)
    end
    local e = {}
    for key, value in pairs(fields) do
      e[key] = value
    end
    e.message = tostring(e.message or e.kind)
    return setmetatable(e, Error)
  end,
})

---Makes an error object.
---@private
function M.new(kind, message, fields)
  local e = fields or {}
  e.kind, e.message = kind, message
  return setmetatable(e, Error)
end

---Raises one.
---@private
function M.raise(kind, message, fields)
  error(M.new(kind, message, fields), 0)
end

---True if `e` is an error object, and of the given kind if one is named.
---@param e any
---@param kind weft.Kind?
---@return boolean
function M.is_error(e, kind)
  return getmetatable(e) == Error and (kind == nil or e.kind == kind)
end

local is_error = M.is_error

---An error object for any raised value: itself, or one of kind `raised`.
---@private
function M.wrap(value)
  if getmetatable(value) == Error then
    return value
  end
  return M.new("raised", tostring(value), { value = value })
end

-- What a function calls in place of pcall when it will raise the error again:
-- the stack is gone then, so its text is kept. Not for cancellations, which are
-- frequent and say where they struck by themselves.
local function on_error(e)
  if core.in_task() and not is_error(e, "cancelled") then
    M.note(e, debug.traceback("", 2):sub(2))
  end
  return e
end

---@private
function M.guarded(fn, ...)
  return xpcall(fn, on_error, ...)
end

local function tried(ok, ...)
  if ok then
    return true, ...
  end
  local e = ...
  if is_error(e, "cancelled") and core.in_task() and core.interruption() then
    error(e, 0)
  end
  return nil, e
end

---Calls `fn(...)`; returns true and its results, or nil and what it raised. A cancellation of
---the current task is not swallowed: it is raised again. This waits only where `fn` does, and
---can be called outside tasks too.
---
---Raises `cancelled` when the current task was cancelled; nothing else.
---@async
---@param fn async fun(...): ...
---@param ... any
---@return boolean? ok nil after an error
---@return any ... the results, or the error
function M.try(fn, ...)
  return tried(xpcall(fn, on_error, ...))
end

-- Functions through which a wait cannot pass, for the error that says so.
local BARRIERS = {
  [table.sort] = "a comparator of table.sort",
  [string.gsub] = "a callback of string.gsub",
  [require] = "require",
  [dofile] = "dofile",
  [load] = "load",
}
if rawget(_G, "loadstring") then
  BARRIERS[rawget(_G, "loadstring")] = "loadstring"
end

local function barrier_of(info)
  if info.name == "__gc" or info.namewhat == "metamethod" and info.name == "gc" then
    return "a __gc metamethod"
  end
  return BARRIERS[info.func]
end

-- The innermost one, in this coroutine or those that resumed it.
local function barrier()
  local task, co, level = core.current_task(), coroutine.running(), 3
  while co do
    local info = debug.getinfo(co, level, "fnS")
    local place = info and barrier_of(info)
    if place then
      return place
    elseif info then
      level = level + 1
    else
      co, level = task and core.resumer(task, co), 0
    end
  end
end

core.set_raise(function(kind, code, message)
  if code == "EBLOCKED" then
    local place = barrier()
    message = message .. ": a wait cannot pass through "
      .. (place or "a C function, a finalizer or an error handler")
  end
  M.raise(kind, message, { code = code })
end)

return M
