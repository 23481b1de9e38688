-- SPDX-License-Identifier: MIT
-- weft.crawl.frontierfile: what is written is read again as it was. Files that are not whole are in
-- frontier_spec.lua.

local frontierfile = require "weft.crawl.frontierfile"
local support = require "spec.support"
local weft = require "weft"

local fs = weft.fs

describe("weft.crawl.frontierfile", function()
  it("reads what it has written", support.run(function()
    fs.temporary_directory(function(dir)
      local path, seen, items = dir .. "/state", {}, {}
      for i = 1, 100 do
        seen[2 ^ 53 - i * 12345] = true
      end
      for i = 1, 5 do
        items[i] = { url = "http://a/" .. i, host = "a", depth = 5 - i, priority = i / 2,
          attempts = i, data = { text = "\n" .. i } }
      end
      frontierfile.save(path, { added = 7, seen = seen, items = items,
        per_host = { a = 5, ["b c"] = 2 } })
      local state = frontierfile.load(path)
      assert.same(seen, state.seen)
      assert.same({ a = 5, ["b c"] = 2 }, state.per_host)
      assert.equal(7, state.added)
      assert.equal(5, #state.items)
      for i, item in ipairs(state.items) do
        assert.equal("http://a/" .. 6 - i, item.url)
        assert.equal("\n" .. 6 - i, item.data.text)
        assert.equal((6 - i) / 2, item.priority)
      end
      assert.equal(1, #fs.readdir(dir))
    end)
  end))

  it("leaves the file as it was when it cannot write the new one", support.run(function()
    fs.temporary_directory(function(dir)
      local path, state = dir .. "/state", { added = 1, seen = {}, items = {}, per_host = {} }
      frontierfile.save(path, state)
      state.items[1] = { url = "http://a/", host = "a", depth = 0, priority = 0, attempts = 0,
        data = print }
      support.raises("type", frontierfile.save, path, state)
      assert.equal(0, #frontierfile.load(path).items)
    end)
  end))
end)
