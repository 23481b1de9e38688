-- SPDX-License-Identifier: MIT
-- weft.http.noproxy: which hosts a list is for, what is no entry of one, and addresses in all
-- their spellings.

local noproxy = require "weft.http.noproxy"
local support = require "spec.support"
local urls = require "weft.url"

-- Whether the list is for the URL.
local function fits(list, text)
  local url = urls.parse(text)
  return noproxy.matches(noproxy.parse(list, "no_proxy"), url.hostname,
    url.port or url.scheme == "https" and 443 or 80)
end

local function check(list, cases)
  for text, expected in pairs(cases) do
    assert.equal(expected, fits(list, text), list .. " | " .. text)
  end
end

describe("a NO_PROXY list", function()
  it("has everything, or nothing", support.outside(function()
    check("*", { ["http://a.test"] = true, ["http://[::1]"] = true, ["http://10.0.0.1"] = true })
    check(" , ", { ["http://a.test"] = false })
    check("b.test,*", { ["http://a.test"] = true })
  end))

  it("has domains with what is below them", support.outside(function()
    for _, entry in ipairs({ "a.test", ".a.test", "*.a.test", "A.Test", "a.test.", "x, a.test" }) do
      check(entry, { ["http://a.test/x"] = true, ["http://b.a.test"] = true,
        ["http://c.b.a.test."] = true, ["https://A.TEST"] = true, ["http://ba.test"] = false,
        ["http://a.test.b"] = false, ["http://test"] = false })
    end
    check("bücher.test", { ["http://xn--bcher-kva.test"] = true })
    check("local host", { ["http://local"] = true, ["http://host"] = true })
  end))

  it("has ports", support.outside(function()
    check("a.test:80", { ["http://a.test"] = true, ["http://b.a.test"] = true,
      ["https://a.test"] = false, ["http://a.test:8080"] = false, ["https://a.test:80"] = true })
    check("[::1]:8080, 10.0.0.1:443", { ["http://[::1]:8080"] = true, ["http://[::1]"] = false,
      ["https://10.0.0.1"] = true, ["http://10.0.0.1"] = false })
  end))

  it("has addresses, however they are spelt", support.outside(function()
    check("10.0.0.1", { ["http://10.0.0.1"] = true, ["http://0xA000001"] = true,
      ["http://10.0.0.10"] = false, ["http://[::ffff:10.0.0.1]"] = true,
      ["http://10.0.0.1.test"] = false })
    for _, entry in ipairs({ "::1", "[::1]", "0:0:0:0:0:0:0:1" }) do
      check(entry, { ["http://[::1]"] = true, ["http://[0::0:1]"] = true,
        ["http://[::2]"] = false, ["http://0.0.0.1"] = false })
    end
    check("fe80::a:0:1", { ["http://[fe80:0:0:0:0:a:0:1]"] = true, ["http://[fe80::a:1]"] = false })
    check("0.1", { ["http://10.0.0.1"] = false, ["http://a.0.0.0.1.test"] = false })
  end))

  it("has networks", support.outside(function()
    check("10.0.0.0/8", { ["http://10.255.1.2"] = true, ["http://11.0.0.0"] = false,
      ["http://[::a00:1]"] = false, ["http://10.test"] = false })
    check("192.168.128.0/17", { ["http://192.168.128.1"] = true, ["http://192.168.255.255"] = true,
      ["http://192.168.127.255"] = false })
    check("10.0.0.1/32", { ["http://10.0.0.1"] = true, ["http://10.0.0.2"] = false })
    check("0.0.0.0/0", { ["http://1.2.3.4"] = true, ["http://[::1]"] = false,
      ["http://a.test"] = false })
    check("fe80::/10", { ["http://[febf::1]"] = true, ["http://[fec0::1]"] = false })
    check("[2001:db8::]/33", { ["http://[2001:db8:7fff::]"] = true,
      ["http://[2001:db8:8000::]"] = false })
    check("::/0", { ["http://[::1]"] = true, ["http://10.0.0.1"] = false })
  end))

  it("has no entries that make no sense", support.outside(function()
    for _, entry in ipairs({ "10.0.0.0/33", "fe80::/129", "a.test/8", "10.0.0.0/", "10.0.0.0/x",
      "http://a.test", "a.test:x", "a.test:70000", "a.test:", "a b%", "[::1", "::g", "." }) do
      local e = support.raises({ "type", "invalid_no_proxy" }, noproxy.parse, "ok.test, " .. entry,
        "no_proxy")
      assert.matches("^no_proxy: '", e.message)
    end
  end))
end)
