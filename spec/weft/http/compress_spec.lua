-- SPDX-License-Identifier: MIT
-- weft.http.compress: what comes out is gzip and deflate, whatever the pieces; and it waits where
-- it would hold up the loop.

local compress = require "weft.http.compress"
local core = require "weft.core"
local support = require "spec.support"
local weft = require "weft"

-- What gzip(1) makes of it.
local function gunzip(data)
  local path = os.tmpname()
  local file = assert(io.open(path, "wb"))
  file:write(data)
  file:close()
  local pipe = assert(io.popen("gzip -dc < " .. path .. " 2>&1"))
  local text = pipe:read("*a")
  pipe:close()
  os.remove(path)
  return text
end

local function source_of(list)
  local i = 0
  return function()
    i = i + 1
    return list[i]
  end
end

local function all(source)
  local parts = {}
  for part in source do
    assert.are_not.equal("", part)
    parts[#parts + 1] = part
  end
  assert.is_nil(source())
  return table.concat(parts)
end

describe("compress", function()
  it("makes gzip, and deflate in zlib's wrapping", support.outside(function()
    for _, text in ipairs({ "", "a", ("hello "):rep(10000), core.random_bytes(5000) }) do
      local gzip, deflate = compress.string("gzip", text), compress.string("deflate", text)
      assert.is_true(gunzip(gzip) == text)
      assert.equal(gzip:sub(11, -9), deflate:sub(3, -5))
      assert.equal("\120\156", deflate:sub(1, 2))
    end
  end))

  it("makes the same of any pieces", support.run(function()
    local text = ("0123456789"):rep(30000) .. core.random_bytes(60000)
    local whole = compress.string("gzip", text)
    for _, size in ipairs({ 1000, 65536, 100000, #text }) do
      local pieces = { "" }
      for at = 1, #text, size do
        pieces[#pieces + 1] = text:sub(at, at + size - 1)
        pieces[#pieces + 1] = ""
      end
      local got = all(compress.source("gzip", source_of(pieces)))
      assert.is_true(got == whole or gunzip(got) == text)
    end
    assert.equal("", gunzip(all(compress.source("gzip", source_of({})))))
  end))

  it("lets others run while it compresses much into little", support.run(function()
    local turns, n = 0, 0
    local task = weft.create_task(function()
      while true do
        turns = turns + 1
        weft.yield()
      end
    end)
    local blank = (" "):rep(65536)
    all(compress.source("gzip", function()
      n = n + 1
      return n <= 100 and blank or nil
    end))
    task:cancel()
    assert.is_true(turns > 5)
  end))

  it("raises what its source raises, and can be left", support.run(function()
    local source = compress.source("deflate", function() error("no more", 0) end)
    assert.equal("no more", support.error_of(source))
    compress.source("deflate", source_of({ core.random_bytes(60000) }))()
  end))

  it("is named, or true for deflate", support.outside(function()
    assert.same({ "deflate", "gzip", "deflate" }, { compress.coding(true),
      compress.coding("gzip"), compress.coding("deflate") })
    assert.is_nil(compress.coding(false))
    assert.is_nil(compress.coding(nil))
    support.raises("type", compress.coding, "br")
    support.raises("type", compress.coding, 9)
  end))
end)
