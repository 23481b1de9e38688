-- SPDX-License-Identifier: MIT
-- weft.watch: the events of files, in order and bounded; waiting for them, leaving, and what is
-- left of a watch that nobody closed.

local weft = require "weft"
local support = require "spec.support"
local testing = require "weft.testing"

local fs = weft.fs

local function watching(fn, opts)
  return support.run(function()
    fs.temporary_directory(function(dir)
      fs.watch(dir, opts):with(fn, dir)
    end)
  end)
end

describe("weft.fs.watch", function()
  it("tells what comes, changes and goes", watching(function(watch, dir)
    fs.write_file(dir .. "/a", "x")
    local event = watch:next()
    assert.same({ kind = "rename", name = "a" }, event)
    repeat
      event = watch:next()
    until event.kind == "change"
    assert.equal("a", event.name)
    fs.unlink(dir .. "/a")
    repeat
      event = watch:next()
    until event.kind == "rename"
    assert.equal("a", event.name)
  end))

  it("watches one file", support.run(function()
    fs.temporary_file(function(file, path)
      local watch = fs.watch(path)
      local task = weft.create_task(function() return watch:next() end)
      weft.sleep(0)
      file:write("x")
      assert.equal("change", weft.await(task).kind)
      watch:close()
    end)
  end))

  it("says when there was more than it keeps", watching(function(watch, dir)
    for i = 1, 20 do
      fs.mkdir(dir .. "/" .. i)
    end
    weft.sleep(0.01)
    local kinds = {}
    for i = 1, 4 do
      kinds[i] = watch:next().kind
    end
    assert.same({ "rename", "rename", "rename", "overflow" }, kinds)
    support.raises("timeout", weft.timeout, 0.01, watch.next, watch)
    fs.mkdir(dir .. "/more")
    assert.same({ kind = "rename", name = "more" }, watch:next())
  end, { max = 3 }))

  it("a wait that is cancelled loses nothing", watching(function(watch, dir)
    local task = weft.create_task(function() watch:next() end)
    weft.sleep(0)
    task:cancel()
    support.raises("cancelled", weft.await, task)
    fs.mkdir(dir .. "/a")
    assert.equal("a", watch:next().name)
  end))

  it("one task waits, a second is refused", watching(function(watch)
    local task = weft.create_task(function() watch:next() end)
    weft.sleep(0)
    support.raises("state", watch.next, watch)
    task:cancel()
    support.raises("cancelled", weft.await, task)
  end))

  it("closed wakes who waits, and ends the iteration", watching(function(watch, dir)
    local got = {}
    local task = weft.create_task(function()
      for event in watch:iter() do
        got[#got + 1] = event.name
      end
      return "ended"
    end)
    fs.mkdir(dir .. "/a")
    while not got[1] do
      weft.sleep(0)
    end
    watch:close()
    watch:close()
    assert.equal("ended", weft.await(task))
    assert.same({ "a" }, got)
    support.raises("closed", watch.next, watch)
    assert.matches("^Watch<closed '", tostring(watch))
    assert.is_nil(watch:iter()())
  end))

  it("of what is not there is refused", support.run(function()
    local e = support.raises({ "os", "ENOENT" }, fs.watch, "/no/such")
    assert.equal("/no/such", e.path)
    support.raises("type", fs.watch, "a\0b")
    support.raises("type", fs.watch, "/", { max = 0 })
    support.raises("type", fs.watch, "/", { mx = 1 })
  end))

  it("left open does not keep a run from ending", support.outside(function()
    local watch
    weft.run(function()
      watch = fs.watch("/tmp")
    end)
    weft.run(function()
      support.raises("closed", watch.next, watch)
    end)
    watch:close()
  end))

  it("waited for by the last task is a deadlock only if nothing watches", support.outside(
    function()
      local e = support.raises("timeout", weft.run, function()
        weft.timeout(0.01, function() fs.watch("/proc/self"):next() end)
      end)
      assert.is_truthy(e)
    end))

  it("cancelled at each wait leaves nothing", support.outside(function()
    testing.cancel_everywhere(function()
      fs.temporary_directory(function(dir)
        fs.watch(dir):with(function(watch)
          fs.mkdir(dir .. "/a")
          watch:next()
        end)
      end)
    end)
  end))

  it("survives a failure of each allocation", support.run(function()
    fs.temporary_directory(function(dir)
      for n = 1, 6 do
        local ok, e = testing.fail_allocation(n, function()
          fs.watch(dir):close()
        end)
        assert.is_true(ok or e.code == "ENOMEM" or tostring(e):find("not enough memory") ~= nil,
          tostring(e))
      end
    end)
  end))
end)
