-- SPDX-License-Identifier: MIT
-- src/net/stream.c over src/net/pair.c: operations at random beside a model, in spec/c/stream.c,
-- a program that runs with the address sanitizer. What Lua sees of streams is in
-- spec/weft/stream_*.lua.

local cc = require "spec.c.cc"
local support = require "spec.support"

describe("a stream over a pair", function()
  it("does what its model does, loses nothing and wakes whoever waits", function()
    local output, status = cc.run(cc.unit("stream", "src/net/stream.c src/net/pair.c "
      .. "src/net/filter.c src/base/buffer.c src/base/mem.c src/base/err.c", "libuv"),
      tostring(support.rounds(200)))
    assert.same({ "", 0 }, { output, status })
  end)
end)
