-- SPDX-License-Identifier: MIT
-- examples/net/tail.lua and pipeline.lua: run as their users would run them, and what they
-- print.

local weft = require "weft"
local support = require "spec.support"

local fs = weft.fs

describe("the example", function()
  it("tail.lua prints lines as they come", support.run(function()
    fs.temporary_directory(function(dir)
      local path = dir .. "/log"
      fs.write_file(path, "one\ntwo\nthr")
      local tail = weft.create_subprocess(support.interpreter,
        { "examples/net/tail.lua", path, "4" }, { stdin = "null", stdout = "pipe" })
      tail:with(function()
        assert.equal("one", tail.stdout:read_line())
        assert.equal("two", tail.stdout:read_line())
        fs.append_file(path, "ee\n")
        assert.equal("three", tail.stdout:read_line())
        fs.append_file(path, "four\nfive\n")
        assert.equal("four", tail.stdout:read_line())
        assert.is_nil(tail.stdout:read_line())
      end)
      assert.equal(0, tail.returncode)
    end)
  end))

  it("tail.lua fails on a file that is not there", support.run(function()
    local tail = weft.create_subprocess(support.interpreter,
      { "examples/net/tail.lua", "/no/such" }, { stdin = "null", stderr = "pipe" })
    local _, err = tail:communicate()
    assert.matches("watch '/no/such': no such file or directory", err)
    assert.equal(1, tail.returncode)
  end))

  it("pipeline.lua counts words", support.run(function()
    -- Under a sanitizer the example's own children, which are not weft's, may leak.
    local count = weft.create_subprocess("env", { "ASAN_OPTIONS=detect_leaks=0",
      support.interpreter, "examples/net/pipeline.lua" }, { stdin = "pipe", stdout = "pipe" })
    assert.equal("    3 b\n    2 a\n    1 c\n", count:communicate("a b, c b.\nb a\n"))
    assert.equal(0, count.returncode)
  end))
end)
