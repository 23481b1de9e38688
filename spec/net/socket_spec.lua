-- SPDX-License-Identifier: MIT
-- src/net/socket.c. The cases are in spec/c/socket.c, a program that runs with the address
-- sanitizer; connecting and accepting are in spec/weft/net_spec.lua and server_spec.lua.

local cc = require "spec.c.cc"

describe("a socket", function()
  it("tells events once, moves bytes, ends, and outlives its loop", function()
    local output, status = cc.run(cc.unit("socket", "src/net/socket.c src/net/filter.c "
      .. "src/base/mem.c", "libuv"))
    assert.same({ "", 0 }, { output, status })
  end)
end)
