-- SPDX-License-Identifier: MIT
-- weft.inspect: looking inside a loop: the tree of live tasks, counts.
--
-- Owns: the words in which a task's wait is told. Changes nothing.

local core = require "weft.core"
local errors = require "weft.error"
local task_module = require "weft.task"

---@class weft
local M = {}

local WORDS = { sleep = "sleeps", await = "awaits", children = "waits for children" }

-- What a parked task waits for, and the tasks that this leads to.
local function wait_of(task)
  local co, word, object, since = core.place(task)
  if not word then
    return core.state(task), {}, nil, co
  end
  local text, children = WORDS[word] or "waits", {}
  if word == "await" then
    text = text .. " " .. errors.name_of(object)
    children[1] = core.kind_of(object) == "task" and object or nil
  elseif word == "children" then
    for _, child in pairs(core.latch_futures(object)) do
      if core.kind_of(child) == "task" and not core.is_done(child) then
        children[#children + 1] = child
      end
    end
  end
  return text, children, since, co
end

-- The name of the function of weft by which a coroutine waits: "acquire", "get", ...
local function wait_name(co)
  local level, name = 0, nil
  while true do
    local info = debug.getinfo(co, level, "nSl")
    if not info then
      return name
    end
    if info.what ~= "C" and not errors.is_own(info) then
      return name
    end
    if info.what ~= "C" then
      name = info.name or name
    end
    level = level + 1
  end
end

local function line_of(task)
  local text, children, since, co = wait_of(task)
  if text == "waits" then
    local name = type(co) == "thread" and wait_name(co)
    text = name and "waits in " .. name or text
  elseif text == "pending" then
    text = "not started"
  end
  if since then
    text = text .. (" for %.1f s"):format(since)
  end
  return ("%s: %s at %s"):format(errors.name_of(task), text,
    task_module._place_of(task) or "?"), children
end

---One line about a live task.
---@private
function M._describe(task)
  return (line_of(task))
end

local function branch(task, indent, lines, seen, state)
  if seen[task] then
    lines[#lines + 1] = indent .. errors.name_of(task) .. " (above)"
    return
  end
  seen[task] = true
  local line, children = line_of(task)
  lines[#lines + 1] = indent .. line
  table.sort(children, function(a, b) return core.id(a) < core.id(b) end)
  for _, child in ipairs(children) do
    branch(child, indent .. "  ", lines, seen, state)
  end
end

---The live tasks as text, one a line: name, what each waits for and since when, and the line
---where it is; below each task those that it waits for.
---@param loop weft.Loop? default: the running one, or `weft.get_event_loop()`
---@return string
function M.tree(loop)
  loop = loop or core.default_loop()
  local tasks, awaited, lines, seen = core.loop_tasks(loop), {}, {}, {}
  for _, task in ipairs(tasks) do
    local _, children = wait_of(task)
    for _, child in ipairs(children) do
      awaited[child] = true
    end
  end
  for _, task in ipairs(tasks) do
    if not awaited[task] then
      branch(task, "", lines, seen)
    end
  end
  for _, task in ipairs(tasks) do -- what only a cycle leads to
    if not seen[task] then
      branch(task, "", lines, seen)
    end
  end
  return table.concat(lines, "\n")
end

---The tasks that have not ended, in order of creation.
---@param loop weft.Loop? default: the running one, or `weft.get_event_loop()`
---@return weft.Task[]
function M.all_tasks(loop)
  return core.loop_tasks(loop or core.default_loop())
end

---Counts of the loop (see `loop:statistics`), and `memory`: bytes of C memory.
---@param loop weft.Loop? default: the running one, or `weft.get_event_loop()`
---@return table<string, integer>
function M.statistics(loop)
  local counts = core.loop_statistics(loop or core.default_loop())
  local _, bytes = core.memory()
  counts.memory = bytes
  return counts
end

---Prints the tree of tasks to stderr whenever the process gets the signal.
---
---Raises as `loop:add_signal_handler`.
---@param name string | integer "SIGUSR1", say
---@param loop weft.Loop? default: the running one, or `weft.get_event_loop()`
function M.tree_on_signal(name, loop)
  loop = loop or core.default_loop()
  loop:add_signal_handler(name, function()
    io.stderr:write(M.tree(loop), "\n")
  end)
end

return M
