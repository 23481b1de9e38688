-- SPDX-License-Identifier: MIT
-- src/bind/l_hash.c, src/base/base64.c, src/net/tls_hash.c: digests, base64, random bytes; the
-- vectors of FIPS 180-4's examples, RFC 1321 and RFC 4648.

local core = require "weft.core"
local support = require "spec.support"

local function hex(bytes)
  return (bytes:gsub(".", function(c) return ("%02x"):format(c:byte()) end))
end

local DIGESTS = {
  { "md5", "", "d41d8cd98f00b204e9800998ecf8427e" },
  { "md5", "abc", "900150983cd24fb0d6963f7d28e17f72" },
  { "sha1", "abc", "a9993e364706816aba3e25717850c26c9cd0d89d" },
  { "sha256", "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
  { "sha512", "abc", "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
    .. "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f" },
  { "sha512-256", "abc", "53048e2681941ef99b2e29b76b4c7dabe4c2d0c634fc6d46e0e2f13107e7af23" },
}

describe("hash", function()
  it("gives the digests that the standards print", support.outside(function()
    for _, case in ipairs(DIGESTS) do
      assert.equal(case[3], hex(core.hash(case[1], case[2])), case[1])
    end
    assert.equal("7707d6ae4e027c70eea2a935c2296f21", hex(core.hash("md5", ("a"):rep(1000000))))
  end))

  it("refuses a digest that it does not know", support.outside(function()
    local e = support.raises("type", core.hash, "md6", "")
    assert.matches("md6", e.message)
    support.error_of(core.hash, "md5")
  end))
end)

describe("base64", function()
  it("gives the texts of RFC 4648, and takes them back", support.outside(function()
    for bytes, text in pairs({ [""] = "", f = "Zg==", fo = "Zm8=", foo = "Zm9v", foob = "Zm9vYg==",
      fooba = "Zm9vYmE=", foobar = "Zm9vYmFy", ["\255\239\190"] = "/+++" }) do
      assert.equal(text, core.base64_encode(bytes))
      assert.equal(bytes, core.base64_decode(text))
    end
  end))

  it("is the same after there and back, at every length", support.outside(function()
    for size = 0, 2100 do
      local bytes = core.random_bytes(size)
      local text = core.base64_encode(bytes)
      assert.equal(math.ceil(size / 3) * 4, #text)
      assert.is_true(bytes == core.base64_decode(text), size)
    end
  end))

  it("decodes nothing that is not spelt as it would be", support.outside(function()
    for _, text in ipairs({ "Z", "Zg", "Zg=", "Zg===", "Zh==", "Zm9=", "Zg==Zg==", "Zm8=Zm8=",
      "====", "=Zg=", "Z===", "Zm 9v", "Zm9v\n", "Zm9-", "Zm9_", "Zm\0v", "Zm9\255" }) do
      assert.is_nil(core.base64_decode(text), text)
    end
  end))
end)

describe("random_bytes", function()
  it("gives as many as were asked for, others each time", support.outside(function()
    for _, size in ipairs({ 0, 1, 16, 1024, 1025, 65536 }) do
      assert.equal(size, #core.random_bytes(size))
    end
    assert.not_equal(core.random_bytes(16), core.random_bytes(16))
  end))

  it("refuses a count that makes no sense", support.outside(function()
    for _, count in ipairs({ -1, 65537, 0 / 0, math.huge }) do
      support.raises("type", core.random_bytes, count)
    end
  end))
end)
