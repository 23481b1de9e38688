-- SPDX-License-Identifier: MIT
-- spec.support: what the specs share: a fresh loop for each, with a guard time and a leak
-- check, and running scripts in a process of their own.
--
-- Owns: nothing that outlives a spec.

local weft = require "weft"
local core = require "weft.core"
local testing = require "weft.testing"

local jit = rawget(_G, "jit")

local M = {}

-- Under valgrind and sanitizers everything is slower, and loops may be shorter.
M.slow = os.getenv("WEFT_SLOW") and os.getenv("WEFT_SLOW") ~= "0" or false

-- Seconds after which a spec is broken off: far above what any takes.
M.GUARD = M.slow and 300 or 30

---`n` rounds in a plain run, a tenth (at least one) where all is slow.
function M.rounds(n)
  return M.slow and math.max(1, math.floor(n / 10)) or n
end

-- What there is more of than before: blocks of C memory, descriptors.
local function left_behind(blocks, descriptors)
  return core.memory() - blocks, #core.descriptors() - descriptors
end

---The body of a spec that makes its own loops, outside of any: `fn()`; fails if it leaves
---descriptors or C memory behind. What it left to the collector is collected only when there is
---something: as each spec leaves nothing, nothing of another one can hide it.
function M.outside(fn)
  return function()
    local before, descriptors = core.memory(), #core.descriptors()
    fn()
    local blocks, left = left_behind(before, descriptors)
    for _ = 1, 3 do
      if blocks <= 0 and left <= 0 then
        return
      end
      if jit then
        jit.flush() -- compiled code holds some objects as constants
      end
      collectgarbage()
      blocks, left = left_behind(before, descriptors)
    end
    if blocks > 0 then
      error(("leak: %d blocks of C memory"):format(blocks), 0)
    elseif left > 0 then
      error(("leak: %d descriptors"):format(left), 0)
    end
  end
end

local function around(run, fn, guard)
  return M.outside(function()
    run(function()
      weft.timeout(guard, testing.leaks, fn)
    end)
  end)
end

---The body of a spec: `fn` as the main task of a fresh loop; fails if it leaves tasks,
---handles, descriptors or C memory behind, or takes longer than the guard time.
function M.run(fn)
  return around(weft.run, fn, M.GUARD)
end

---The same with a virtual clock, in which sleeps take no time (and the guard is a year).
function M.virtual(fn)
  return around(testing.virtual_clock, fn, 366 * 86400)
end

---The error that fn(...) raises; fails if it raises none.
function M.error_of(fn, ...)
  local ok, e = pcall(fn, ...)
  if ok then
    error("an error was expected", 2)
  end
  return e
end

---Fails unless fn(...) raises a weft.Error of the kind (and code); returns it.
function M.raises(kind, fn, ...)
  local code
  if type(kind) == "table" then
    kind, code = kind[1], kind[2]
  end
  local e = M.error_of(fn, ...)
  if not weft.is_error(e, kind) or code and e.code ~= code then
    error(("expected an error of kind %s%s, got %s"):format(kind, code and " code " .. code or "",
      tostring(e)), 2)
  end
  return e
end

---The interpreter that runs the specs.
M.interpreter = arg and arg[-1] and (function()
  local i = -1
  while arg[i - 1] do
    i = i - 1
  end
  return arg[i]
end)() or "luajit"

local function quote(s)
  return "'" .. s:gsub("'", "'\\''") .. "'"
end

M.quote = quote

---Runs Lua source in a process of its own, with weft's paths; returns what it wrote to
---stdout and stderr (together), and its exit status (128 + n for a signal).
---`before` is put in front of the interpreter's name in the shell's command.
function M.script(source, before)
  local path = os.tmpname()
  local file = assert(io.open(path, "w"))
  file:write(source)
  file:close()
  local pipe = assert(io.popen(("%s %s %s 2>&1; echo; echo status=$?"):format(before or "",
    quote(M.interpreter), quote(path)):gsub("; echo; echo status=%$%?",
    "; status=$?; echo; echo status=$status"), "r"))
  local output = pipe:read("*a")
  pipe:close()
  os.remove(path)
  local text, status = output:match("^(.*)\nstatus=(%d+)\n$")
  return text, tonumber(status)
end

return M
