-- SPDX-License-Identifier: MIT
-- weft.tty: sizes, changes of size, and raw mode that always ends. The terminal is one that
-- script(1) makes.

local weft = require "weft"
local support = require "spec.support"

local tty = weft.tty

-- Runs Lua source in a terminal of 80 by 24; returns what it showed.
local function in_terminal(source)
  local path = os.tmpname()
  local file = assert(io.open(path, "w"))
  file:write('local weft = require "weft"\nlocal tty = weft.tty\n', [[
    local function mode() -- how the terminal is set, in a word
      local pipe = io.popen("stty -a")
      local text = pipe:read("*a")
      pipe:close()
      return text:find(" %-icanon") and text:find(" %-echo ") and "raw" or "cooked"
    end
  ]], source)
  file:close()
  -- What a sanitizer preloads is for the interpreter alone.
  local command = ("stty cols 80 rows 24; LD_PRELOAD=$PRELOAD %s %s; "
    .. "stty -a | grep -q ' -icanon' && echo still raw"):format(
      support.quote(support.interpreter), support.quote(path))
  local pipe = io.popen(("export PRELOAD=$LD_PRELOAD; unset LD_PRELOAD; "
    .. "timeout 20 script -qec %s /dev/null </dev/null 2>&1"):format(support.quote(command)))
  local text = pipe:read("*a")
  pipe:close()
  os.remove(path)
  return (text:gsub("\r", ""))
end

describe("weft.tty", function()
  it("knows a terminal, and what is none", function()
    assert.equal("true true 80 24\n", in_terminal([[
      print(tty.is_tty(0), tty.is_tty(), tty.size())
    ]]):gsub("\t", " "), nil)
    local path = os.tmpname()
    local file = io.open(path, "w")
    file:close()
    os.remove(path)
    support.run(function()
      weft.fs.temporary_file(function(open)
        assert.is_false(tty.is_tty(open))
        support.raises({ "os", "ENOTTY" }, tty.size, open)
        support.raises({ "os", "ENOTTY" }, tty.raw, open)
        support.raises({ "os", "ENOTTY" }, tty.on_resize, print, open)
        support.raises({ "os", "EBADF" }, tty.size, 9999)
        support.raises("type", tty.size, "stdout")
        support.raises("type", tty.on_resize, 1)
      end)
    end)()
  end)

  it("tells changes of the size", function()
    assert.equal("100 24\n", in_terminal([[
      weft.run(function()
        local changed = weft.event()
        local resize = tty.on_resize(function(columns, rows)
          print(columns .. " " .. rows)
          changed:set()
        end)
        os.execute("stty cols 100") -- rows too would be two changes
        changed:wait()
        resize:close()
        resize:close()
      end)
    ]]))
  end)

  it("is raw for a function, also when that fails", function()
    assert.equal("cooked raw cooked raw boom cooked\n", in_terminal([[
      local words = { mode() }
      local raw = tty.raw()
      assert(raw:is_raw())
      words[3] = raw:with(function() words[2] = mode() return mode() end)
      words[3] = mode()
      assert(not raw:is_raw())
      raw:close()
      local ok, e = pcall(function()
        tty.raw():with(function() words[4] = mode() error("boom", 0) end)
      end)
      words[5], words[6] = e, mode()
      print(table.concat(words, " "))
    ]]))
  end)

  it("is set back in the order in which it was set, also nested", function()
    assert.equal("raw raw cooked\n", in_terminal([[
      local outer, inner = tty.raw(), tty.raw()
      inner:close()
      local first = mode()
      inner = tty.raw()
      local second = mode()
      inner:close()
      outer:close()
      print(first, second, mode())
    ]]):gsub("\t", " "), nil)
  end)

  for name, ending in pairs {
    ["the end of the script"] = "",
    ["an error"] = "error('boom', 0)",
    ["os.exit"] = "os.exit(0)",
    ["os.exit that closes the state"] = "os.exit(0, true)",
    ["being forgotten"] = "guard = nil collectgarbage() collectgarbage()",
  } do
    it("is set back by " .. name, function()
      local text = in_terminal("guard = tty.raw() print(mode()) " .. ending)
      assert.matches("raw", text)
      assert.not_matches("still raw", text)
    end)
  end
end)
