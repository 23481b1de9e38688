-- SPDX-License-Identifier: MIT
-- examples/asyncio: each script prints what its head says, in the time that it should take
-- by the loop's clock, and its Python text prints the same.
--
-- Scripts and Python programs run in processes of their own, with a clock that jumps from
-- timer to timer. Where there is no Python of 3.11 or later, the outputs in the heads, which are
-- what it prints, are all that is compared with.

local support = require "spec.support"

local DIRECTORY = "examples/asyncio/"

-- How long each takes, in seconds of the loop's clock.
local EXAMPLES = {
  { "01_two_coroutines", 2 },
  { "02_task_states", 2 },
  { "03_done_callbacks", 2 },
  { "04_gather", 8 },
  { "05_run_forever", 3 },
  { "06_print_sum", 1 },
  { "07_sleeps", 4 },
  { "08_nested", 3 },
  { "09_semaphore", 2 },
  { "11_queue", 12 },
  { "12_timeouts", 15 },
  { "13_task_group", 4 },
  { "14_generators", 7.5 },
}
local MILLION = "10_million_sleepers"

-- Runs a script with virtual clocks; writes, last, the seconds that passed by them.
local LUA_DRIVER = [==[
local weft, core, loops = require "weft", require "weft.core", require "weft.loop"
local new, exit, made, starts = loops.new_event_loop, os.exit, {}, {}
local function new_virtual()
  local loop = new()
  core.loop_set(loop, "virtual", true)
  made[#made + 1], starts[#made + 1] = loop, loop:time()
  return loop
end
weft.new_event_loop, loops.new_event_loop = new_virtual, new_virtual
local function report()
  local seconds = 0
  for i, loop in ipairs(made) do
    seconds = seconds + loop:time() - starts[i]
  end
  io.write("clock=", seconds, "\n")
end
os.exit = function(...)
  report()
  exit(...)
end
arg = { [0] = %q, %s }
assert(loadfile(arg[0]))((unpack or table.unpack)(arg))
report()
]==]

-- The same for a Python program.
local PYTHON_DRIVER = [==[
import asyncio, runpy, selectors, sys

class Selector(selectors.DefaultSelector):
    now = 0

    def select(self, timeout=None):
        events = super().select(0)
        if timeout is None and not events:
            raise RuntimeError("nothing is left to wait for")
        if not events:
            self.now += timeout
        return events

class Loop(asyncio.SelectorEventLoop):
    def __init__(self):
        self.selector = Selector()
        super().__init__(self.selector)

    def time(self):
        return self.selector.now

asyncio.new_event_loop = asyncio.events.new_event_loop = Loop
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
]==]

local function read(path)
  local file = assert(io.open(path))
  local text = file:read("*a")
  file:close()
  return text
end

-- The Python program and the output that stand at the top of an example.
local function head_of(name)
  local text = read(DIRECTORY .. name .. ".lua")
  local python, output = text:match("\n%-%- Python:\n%-%-%[%[\n(.-\n)%]%]\n%-%- Output[^\n]*:\n"
    .. "%-%-%[%[\n(.-\n)%]%]\n")
  assert(python, name .. ": the head is not as it should be")
  return python, output
end

-- What the script prints, and how long it took by the loop's clock.
local function run_lua(name, argument)
  local output, status = support.script(LUA_DRIVER:format(DIRECTORY .. name .. ".lua",
    argument and ("%q"):format(argument) or ""))
  assert.equal(0, status, output)
  local text, seconds = output:match("^(.*)clock=([%d.]+)\n$")
  assert.truthy(text, output)
  return text, tonumber(seconds)
end

-- The output and the exit status of a shell's command.
local function shell(command)
  local pipe = assert(io.popen("{ " .. command .. "; } 2>&1; s=$?; echo; echo status=$s"))
  local text, status = pipe:read("*a"):match("^(.*)\nstatus=(%d+)\n$")
  pipe:close()
  return text, tonumber(status)
end

-- A sanitizer that is loaded into everything is none of Python's business.
local PYTHON = "env -u LD_PRELOAD python3 -c "

local has_python = select(2, shell(PYTHON
  .. support.quote("import sys; sys.exit(sys.version_info < (3, 11))"))) == 0

local function run_python(program, argument)
  local path = os.tmpname()
  local file = assert(io.open(path, "w"))
  file:write(program)
  file:close()
  local output, status = shell(PYTHON .. support.quote(PYTHON_DRIVER) .. " " .. path .. " "
    .. (argument or ""))
  os.remove(path)
  assert.equal(0, status, output)
  return output
end

-- Tasks as text differ between Python and weft: reduces them to state, name and result.
local function plain(text)
  return (text:gsub("[^\n]+", function(line)
    local before, state, rest = line:match("^(.-)<?Task[< ](%a+) (.*)>$")
    return before and ("%s%s %s %s"):format(before, state, rest:match("name='?(Task%-%d+)"),
      rest:match("result=['\"](.-)['\"]") or "no result")
  end))
end

describe("the asyncio example", function()
  for _, example in ipairs(EXAMPLES) do
    local name, seconds = example[1], example[2]

    it(("%s prints what its head says, in %g s"):format(name, seconds), function()
      local _, expected = head_of(name)
      local output, took = run_lua(name)
      assert.equal(expected, output)
      assert.near(seconds, took, 0.001)
    end)

    if has_python then
      it(name .. " prints what its Python text prints", function()
        local python, expected = head_of(name)
        assert.equal(plain(expected), plain(run_python(python)))
      end)
    end
  end

  it("06_print_sum runs from the command line, on the real clock", function()
    local _, expected = head_of("06_print_sum")
    local output, status = shell(support.quote(support.interpreter) .. " " .. DIRECTORY
      .. "06_print_sum.lua")
    assert.equal(expected, output)
    assert.equal(0, status)
  end)

  it(MILLION .. " prints how many sleep, and the time and memory they take", function()
    local count = support.rounds(20000)
    local output, took = run_lua(MILLION, tostring(count))
    local asleep, memory, left = output:match("^(%d+) tasks asleep after 0%.0 s\n"
      .. "%d+ MiB of memory, (%d+) bytes a task\n(%d+) tasks asleep after 6%.0 s\n"
      .. "[%d.]+ s of CPU time\n$")
    assert.equal(count, tonumber(asleep), output)
    assert.equal(0, tonumber(left), output)
    assert.is_true(tonumber(memory) > 200 and tonumber(memory) < 2000, output)
    assert.near(6, took, 0.001)
  end)

  if has_python then
    it(MILLION .. " prints what its Python text prints, but for the figures", function()
      local python, expected = head_of(MILLION)
      local output = run_python(python, "100")
      assert.matches("^100 tasks asleep .*\n0 tasks asleep ", output)
      assert.equal(expected:gsub("[%d.]+", "#"), (output:gsub("[%d.]+", "#")))
    end)
  end
end)

describe("the README of the asyncio examples", function()
  local text = read(DIRECTORY .. "README.md")

  it("lists every script, and the specs run each", function()
    local known = { [MILLION] = true }
    for _, example in ipairs(EXAMPLES) do
      known[example[1]] = true
    end
    local count = 0
    for name in shell("ls " .. DIRECTORY):gmatch("([%w_]+)%.lua") do
      count = count + 1
      assert.is_true(known[name], name .. " is not run")
      assert.truthy(text:find("[" .. name .. "](" .. name .. ".lua)", 1, true),
        name .. " is not listed")
    end
    assert.equal(#EXAMPLES + 1, count)
  end)

  it("tells how to get at the Python text", function()
    local command = text:match("\n    (sed [^\n]-) | python3 %-\n")
    local python = head_of("01_two_coroutines")
    assert.equal(python, (shell(command)))
  end)
end)
