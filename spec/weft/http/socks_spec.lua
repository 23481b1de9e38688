-- SPDX-License-Identifier: MIT
-- weft.http.socks: what is sent, to the letter; answers good, bad and cut, in all splits; who is
-- let in.

local socks = require "weft.http.socks"
local support = require "spec.support"
local testing = require "weft.testing"
local weft = require "weft"

local unpack = table.unpack or unpack -- luacheck: ignore 113 143
local raises, run = support.raises, support.run

-- Plays a proxy: `script` alternates what is expected of the client and what is answered. After
-- the last answer come bytes of the host, which must be left. Calls fn(stream).
local function with_proxy(script, sizes, fn)
  local a, b = testing.pair { a = { splits = sizes } }
  local proxy = weft.create_task(function()
    for i = 1, #script, 2 do
      local got = #script[i] > 0 and b:read_exactly(#script[i]) or ""
      assert.equal(script[i], got)
      if script[i + 1] then
        b:write(script[i + 1])
      end
    end
    b:shutdown()
  end)
  local ok, e = pcall(fn, a)
  if not ok then
    proxy:cancel()
  end
  local fine, failure = pcall(proxy.await, proxy)
  a:close()
  b:close()
  if not ok or not fine then
    error(not ok and e or failure, 0)
  end
end

-- Asks in each split of the answers: byte by byte, by two, …
local function connects(script, ...)
  for size = 1, 24 do
    local arguments = { ... }
    local full = { unpack(script) }
    full[#full] = full[#full] .. "rest"
    with_proxy(full, { size }, function(stream)
      socks.connect(stream, unpack(arguments, 1, 5))
      assert.equal("rest", stream:read_all())
    end)
  end
end

local function refused(script, ...)
  local arguments, e = { ... }, nil
  with_proxy(script, nil, function(stream)
    e = raises("proxy", socks.connect, stream, unpack(arguments, 1, 5))
  end)
  assert.equal("proxy", e.phase)
  return e
end

describe("SOCKS 4", function()
  local GRANTED = "\0\90" .. ("\0"):rep(6)

  it("sends an address", run(function()
    connects({ "\4\1\1\187\192\0\2\7\0", GRANTED }, 4, "192.0.2.7", 443)
    connects({ "\4\1\0\80\192\0\2\7me\0", GRANTED }, 4, "192.0.2.7", 80, "me")
  end))

  it("sends a name, as 4a", run(function()
    connects({ "\4\1\0\80\0\0\0\1\0a.test\0", GRANTED }, 4, "a.test", 80)
  end))

  it("tells why it was refused", run(function()
    for reply = 91, 93 do
      local e = refused({ "\4\1\0\80\0\0\0\1\0a.test\0", "\0" .. string.char(reply)
        .. ("\0"):rep(6) }, 4, "a.test", 80)
      assert.equal(reply, e.reply)
    end
    local e = refused({ "\4\1\0\80\0\0\0\1\0a.test\0", "HTTP/1.1" }, 4, "a.test", 80)
    assert.matches("not SOCKS 4", e.message)
  end))

  it("cannot carry IPv6, long names, zero bytes", run(function()
    assert.equal("EAFNOSUPPORT", refused({ "" }, 4, "2001:db8::1", 80).code)
    for _, case in ipairs { { ("a"):rep(256), nil }, { "a\0b", nil }, { "a", "u\0v" } } do
      with_proxy({ "" }, nil, function(stream)
        raises("type", socks.connect, stream, 4, case[1], 80, case[2])
      end)
    end
  end))
end)

describe("SOCKS 5", function()
  local GREETING, BOUND = "\5\1\0", "\5\0\0\1\1\2\3\4\5\6"

  it("sends a name, and IPv4 and IPv6 addresses", run(function()
    connects({ GREETING, "\5\0", "\5\1\0\3\6a.test\0\80", BOUND }, 5, "a.test", 80)
    connects({ GREETING, "\5\0", "\5\1\0\1\192\0\2\7\1\187", BOUND }, 5, "192.0.2.7", 443)
    connects({ GREETING, "\5\0", "\5\1\0\4\32\1\13\184" .. ("\0"):rep(10) .. "\0\7\0\80", BOUND },
      5, "2001:db8::7", 80)
    connects({ GREETING, "\5\0", "\5\1\0\4" .. ("\0"):rep(15) .. "\1\0\80", BOUND }, 5, "::1", 80)
    connects({ GREETING, "\5\0", "\5\1\0\4" .. ("\0"):rep(10) .. "\255\255\1\2\3\4\0\80", BOUND },
      5, "::ffff:1.2.3.4", 80)
  end))

  it("takes each type of address in the answer", run(function()
    local request = "\5\1\0\3\6a.test\0\80"
    connects({ GREETING, "\5\0", request, "\5\0\0\4" .. ("x"):rep(18) }, 5, "a.test", 80)
    connects({ GREETING, "\5\0", request, "\5\0\0\3\5proxy\0\1" }, 5, "a.test", 80)
    connects({ GREETING, "\5\0", request, "\5\0\0\3\0\0\1" }, 5, "a.test", 80)
    assert.matches("unknown type of address",
      refused({ GREETING, "\5\0", request, "\5\0\0\9" }, 5, "a.test", 80).message)
  end))

  it("logs in if the proxy wants it", run(function()
    local offer, request = "\5\2\0\2", "\5\1\0\3\6a.test\0\80"
    connects({ offer, "\5\2", "\1\2me\6secret", "\1\0", request, BOUND }, 5, "a.test", 80, "me",
      "secret")
    connects({ offer, "\5\2", "\1\2me\0", "\1\0", request, BOUND }, 5, "a.test", 80, "me")
    connects({ offer, "\5\0", request, BOUND }, 5, "a.test", 80, "me", "secret")
    local e = refused({ offer, "\5\2", "\1\2me\5wrong", "\1\1" }, 5, "a.test", 80, "me", "wrong")
    assert.matches("refuses the user name", e.message)
    with_proxy({ offer, "\5\2" }, nil, function(stream)
      raises("type", socks.connect, stream, 5, "a.test", 80, ("u"):rep(256), "")
    end)
  end))

  it("tells why it was refused", run(function()
    assert.matches("wants a user name", refused({ GREETING, "\5\255" }, 5, "a.test", 80).message)
    assert.matches("accepts no user name", refused({ "\5\2\0\2", "\5\255" }, 5, "a.test", 80, "me",
      "x").message)
    assert.matches("not offered", refused({ GREETING, "\5\2" }, 5, "a.test", 80).message)
    assert.matches("not SOCKS 5", refused({ GREETING, "HT" }, 5, "a.test", 80).message)
    for reply = 1, 9 do
      local e = refused({ GREETING, "\5\0", "\5\1\0\3\6a.test\0\80", "\5" .. string.char(reply)
        .. "\0\1\0\0\0\0\0\0" }, 5, "a.test", 80)
      assert.equal(reply, e.reply)
      assert.equal(reply == 5 and "ECONNREFUSED" or e.code, e.code)
    end
  end))

  it("cut at any byte is an error of the connection", run(function()
    local first, second = "\5\0", BOUND
    for size = 0, #first + #second - 1 do
      local script = { GREETING, first:sub(1, size) }
      if size >= 2 then
        script = { GREETING, first, "\5\1\0\3\6a.test\0\80", second:sub(1, size - 2) }
      end
      with_proxy(script, nil, function(stream)
        raises("connection", socks.connect, stream, 5, "a.test", 80)
      end)
    end
  end))

  it("can be cancelled at any wait", support.outside(function()
    local runs = testing.cancel_everywhere(function()
      with_proxy({ "\5\2\0\2", "\5\2", "\1\2me\6secret", "\1\0", "\5\1\0\3\6a.test\0\80", BOUND },
        { 1 }, function(stream)
          socks.connect(stream, 5, "a.test", 80, "me", "secret")
        end)
    end)
    assert.truthy(runs > 3)
  end))
end)
