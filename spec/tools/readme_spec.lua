-- SPDX-License-Identifier: MIT
-- README.md: its example runs, its commands are there, its links lead somewhere, and the packages
-- that it names for Debian are those that tools/deps.sh installs.

local support = require "spec.support"

local function read(path)
  local file = assert(io.open(path, "rb"), path .. " is not there")
  local text = file:read("*a")
  file:close()
  return text
end

local README = read("README.md")

-- A command's output, both of its streams.
local function output_of(command)
  local pipe = assert(io.popen(command .. " 2>&1"))
  local text = pipe:read("*a")
  pipe:close()
  return text
end

-- Calls fn(address) while the examples' site runs.
local function with_site(fn)
  local pipe = assert(io.popen("echo $$; exec " .. support.quote(support.interpreter)
    .. " examples/http/site.lua 0 2>&1"))
  local pid, line = pipe:read("*l"), pipe:read("*l")
  local ok, e = pcall(fn, assert(line and line:match("^listening on (127%.0%.0%.1:%d+)$"), line))
  os.execute("kill -INT " .. pid)
  pipe:close()
  if not ok then
    error(e, 0)
  end
end

-- The words after the packages' names in the lines that begin with a command.
local function packages(text, command)
  local set = {}
  for list in text:gsub("\\\n%s*", ""):gmatch("\n    " .. command .. " ([^\n]*)") do
    for name in list:gmatch("%S+") do
      set[name] = true
    end
  end
  return set
end

describe("the README", function()
  it("has an example that runs, also where a page cannot be had", support.outside(function()
    local source, count = README:match("```lua\n(.-)```"), 0
    with_site(function(address)
      source = source:gsub('"https://[%w.]+/"', function()
        count = count + 1
        return ('"http://%s/"'):format(count < 3 and address .. "/page/" .. count .. "?"
          or "127.0.0.1:1")
      end)
      local path = os.tmpname()
      local file = assert(io.open(path, "wb"))
      file:write((source:gsub("retry = true", "retry = { attempts = 1 }")))
      file:close()
      local text = output_of(support.quote(support.interpreter) .. " " .. path)
      os.remove(path)
      local lines = {}
      for line in text:gmatch("[^\n]+") do
        lines[#lines + 1] = line:gsub("^%S+%s+", "")
      end
      assert.equal(3, count)
      assert.same({ "Page 1", "Page 2" }, { lines[1], lines[2] }, text)
      assert.truthy(lines[3]:find("^connection: "), text)
      assert.is_nil(lines[4])
    end)
  end))

  it("has commands that make knows", function()
    local makefile, count = read("Makefile"), 0
    for _, before in ipairs { "\n    ", "`", "sudo " } do
      for target in README:gmatch(before .. "make (%l[%l-]*)") do
        count = count + 1
        assert.truthy(makefile:find("\n" .. target .. ":", 1, true), target)
      end
    end
    assert.is_true(count >= 5)
  end)

  it("has links that lead somewhere", function()
    local count = 0
    for target in README:gmatch("%]%(([^)]+)%)") do
      count = count + 1
      read(target)
    end
    assert.is_true(count > 10)
  end)

  it("names the packages of Debian that the build needs", function()
    local named, build = packages(README, "apt install"),
      read("tools/deps.sh"):match("\ngroup_build%(%) {(.-)\n}")
    local count = 0
    for list in build:gmatch('\n  need "?([^"]-)"? +"') do
      count = count + 1
      for name in list:gmatch("%S+") do
        name = name:gsub("^%$luajit$", "luajit2"):gsub("^%$libluajit%-dev$", "libluajit2-5.1-dev")
        if not name:find("^liblua5.4") and name ~= "lua5.4" then
          assert.truthy(named[name] or name == "gcc" or name == "libc6-dev", name)
        end
      end
    end
    assert.is_true(count > 12)
    assert.truthy(README:find("`lua5.4 liblua5.4-dev`", 1, true))
  end)
end)
