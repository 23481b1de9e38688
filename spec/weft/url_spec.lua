-- SPDX-License-Identifier: MIT
-- lua/weft/url.lua and lua/weft/url/*.lua: parsing, fields, setters, queries, duplicates.
--
-- The cases are the specs' own. Those of the web-platform-tests are in url_data_spec.lua.

local core = require "weft.core"
local support = require "spec.support"
local url = require("weft").url

local function href(text, base)
  return url.parse(text, base).href
end

-- Fails unless each text is parsed to the href behind it; false is a refusal.
local function parses(cases)
  for _, case in ipairs(cases) do
    local ok, u = pcall(url.parse, case[1], case[3])
    assert.equal(case[2], ok and u.href, case[1] .. (ok and "" or ": " .. tostring(u)))
  end
end

describe("parse", function()
  it("gives the parts without their delimiters", support.outside(function()
    local u = url.parse(" HTTPS://User:p%40ss@EXAMPLE.com:8443/a/./b/../c?q=1&r#top\n")
    assert.equal("https://User:p%40ss@example.com:8443/a/c?q=1&r#top", u.href)
    assert.equal("https", u.scheme)
    assert.equal("User", u.username)
    assert.equal("p%40ss", u.password)
    assert.equal("example.com:8443", u.host)
    assert.equal("example.com", u.hostname)
    assert.equal("domain", u.host_kind)
    assert.equal(8443, u.port)
    assert.equal("/a/c", u.path)
    assert.equal("q=1&r", u.query)
    assert.equal("top", u.fragment)
    assert.equal("https://example.com:8443", u.origin)
    assert.equal(u.href, tostring(u))
    assert.equal("<" .. u.href .. ">", "<" .. u .. ">")
  end))

  it("tells what is missing from what is empty", support.outside(function()
    local u = url.parse("http://h")
    assert.equal("", u.username)
    assert.equal("", u.password)
    assert.is_nil(u.port)
    assert.equal("/", u.path)
    assert.is_nil(u.query)
    assert.is_nil(u.fragment)
    u = url.parse("http://h/?#")
    assert.equal("", u.query)
    assert.equal("", u.fragment)
    assert.equal("http://h/?#", u.href)
    u = url.parse("mailto:a@b")
    assert.is_nil(u.host)
    assert.is_nil(u.hostname)
    assert.is_nil(u.host_kind)
    assert.equal("a@b", u.path)
    assert.equal("null", u.origin)
    u = url.parse("file:///etc")
    assert.equal("", u.host)
    assert.equal("empty", u.host_kind)
  end))

  it("drops the default port and keeps others", support.outside(function()
    parses({
      { "http://h:80/", "http://h/" }, { "https://h:443/", "https://h/" },
      { "ws://h:80/", "ws://h/" }, { "wss://h:443", "wss://h/" }, { "ftp://h:21/", "ftp://h/" },
      { "http://h:443/", "http://h:443/" }, { "http://h:/", "http://h/" },
      { "http://h:00080/", "http://h/" }, { "http://h:65535/", "http://h:65535/" },
      { "http://h:65536/", false }, { "http://h:-1/", false }, { "http://h:8a/", false },
      { "http://h:80:80/", false }, { "foo://h:80/", "foo://h:80/" }, { "http://:80/", false },
      { "http://h:99999999999999999999999/", false }, { "http://[::1]:80/", "http://[::1]/" },
    })
  end))

  it("knows all forms of IPv4 addresses", support.outside(function()
    parses({
      { "http://127.0.0.1/", "http://127.0.0.1/" }, { "http://127.1/", "http://127.0.0.1/" },
      { "http://0x7f000001/", "http://127.0.0.1/" }, { "http://017700000001/",
      "http://127.0.0.1/" },
      { "http://2130706433/", "http://127.0.0.1/" }, { "http://127.0x1/", "http://127.0.0.1/" },
      { "http://192.0x00A80001", "http://192.168.0.1/" }, { "http://0x/", "http://0.0.0.0/" },
      { "http://1.2.3.4./", "http://1.2.3.4/" }, { "http://0000000000000300.1/",
      "http://192.0.0.1/" },
      { "http://4294967295", "http://255.255.255.255/" }, { "http://4294967296", false },
      { "http://0xffffffffffffffff1", false }, { "http://256.1.1.1", false },
      { "http://1.2.3.256", false }, { "http://1.2.65536", false }, { "http://1.2.3.4.5", false },
      { "http://1..2", false }, { "http://a.1", false }, { "http://a.0x1", false },
      { "http://09", false }, { "http://1.2.3.08", false }, { "http://1.2.3.4..",
      "http://1.2.3.4../" },
      { "http://1.2.3.a/", "http://1.2.3.a/" }, { "http://0xg/", "http://0xg/" },
      { "http://%31%2e1/", "http://1.0.0.1/" }, { "foo://127.1/", "foo://127.1/" },
    })
    assert.equal("ipv4", url.parse("http://127.1").host_kind)
    assert.equal("opaque", url.parse("foo://127.1").host_kind)
  end))

  it("knows all forms of IPv6 addresses", support.outside(function()
    parses({
      { "http://[::]/", "http://[::]/" }, { "http://[::1]/", "http://[::1]/" },
      { "http://[1::]/", "http://[1::]/" },
      { "http://[2001:DB8:0:0:1:0:0:0]/", "http://[2001:db8:0:0:1::]/" },
      { "http://[1:0:0:2:0:0:3:4]/", "http://[1::2:0:0:3:4]/" },
      { "http://[1:2:3:4:5:6:7:0]/", "http://[1:2:3:4:5:6:7:0]/" },
      { "http://[1:2:3:4:5:6:7::]/", "http://[1:2:3:4:5:6:7:0]/" },
      { "http://[::127.0.0.1]/", "http://[::7f00:1]/" },
      { "http://[1:2:3:4:5:6:1.2.3.4]/", "http://[1:2:3:4:5:6:102:304]/" },
      { "http://[::ffff:1.2.3]/", false }, { "http://[::1.2.3.04]/", false },
      { "http://[::1.2.3.256]/", false }, { "http://[1.2.3.4::]/", false },
      { "http://[:1.2.3.4]/", false }, { "http://[1.2.3.4]/", false },
      { "http://[1:2:3:4:5:6:7:8::]/", false }, { "http://[1:2:3:4:5:6:7]/", false },
      { "http://[1:2:3:4:5:6:7:8:9]/", false }, { "http://[::1::]/", false },
      { "http://[:::1]/", false }, { "http://[1:]/", false }, { "http://[:1]/", false },
      { "http://[]/", false }, { "http://[g::]/", false }, { "http://[12345::]/", false },
      { "http://[::1%25lo]/", false }, { "http://[::1/", false }, { "http://[::1]x/", false },
      { "foo://[::0001]/", "foo://[::1]/" }, { "http://::1/", false },
      { "http://[1:2:3:4:5:6:7:1.2.3.4]/", false }, { "http://[" .. ("0"):rep(99) .. "]/", false },
    })
    assert.equal("ipv6", url.parse("foo://[::1]").host_kind)
  end))

  it("refuses what can be no host", support.outside(function()
    for c in (" #/:<>?@[\\]^|%\0\t\127"):gmatch(".") do
      if not ("#/?\\\t@"):find(c, 1, true) then
        assert.is_false(url.can_parse("http://a" .. c .. "b/"), c)
      end
    end
    parses({ { "http:///", false }, { "http://", false }, { "http://@/", false },
      { "http://a@/", false }, { "foo://a@/", false }, { "http://%zz/", false },
      { "http://%/", false }, { "http://a%00b/", false }, { "foo://", "foo://" },
      { "foo://a b", false }, { "foo://%zz", "foo://%zz" }, { "http://a_b!~*'()/",
      "http://a_b!~*'()/" },
      { "http://A.b./", "http://a.b./" }, { "http://%61", "http://a/" }, { "foo://A", "foo://A" } })
  end))

  it("takes the last @ as the end of the credentials", support.outside(function()
    parses({
      { "http://a@b@c/", "http://a%40b@c/" }, { "http://a:b:c@d/", "http://a:b%3Ac@d/" },
      { "http://:@d/", "http://d/" }, { "http://:x@d/", "http://:x@d/" },
      { "http://a/b@c", "http://a/b@c" }, { "http://a\\b@c", "http://a/b@c" },
      { "http://a?b@c", "http://a/?b@c" }, { "foo://a\\@c/", "foo://a%5C@c/" },
    })
  end))

  it("takes dots out of paths", support.outside(function()
    parses({
      { "http://h/a/../../b", "http://h/b" }, { "http://h/a/%2e%2E/b/%2e", "http://h/b/" },
      { "http://h/.%2E", "http://h/" }, { "http://h/...", "http://h/..." },
      { "http://h//a//../b", "http://h//a/b" }, { "http://h\\a\\..\\b", "http://h/b" },
      { "foo://h/a\\..", "foo://h/a\\.." }, { "foo://h/..", "foo://h/" }, { "foo:/a/..//b",
      "foo:/.//b" },
      { "foo:a/../b", "foo:a/../b" }, { "http://h/a;x=1,2/%7e%zz%", "http://h/a;x=1,2/%7e%zz%" },
      { "http://h/a b{}^`\"<>|é", "http://h/a%20b%7B%7D%5E%60%22%3C%3E|%C3%A9" },
      { "http://h/\255", "http://h/%FF" },
    })
  end))

  it("encodes queries and fragments by their sets", support.outside(function()
    parses({
      { "http://h/?a b'\"<>`é#a b'\"<>`é",
      "http://h/?a%20b%27%22%3C%3E`%C3%A9#a%20b'%22%3C%3E%60%C3%A9" },
      { "foo://h?'", "foo://h?'" }, { "http://h?a?b#c#d", "http://h/?a?b#c#d" },
      { "data:text/plain,a  b ", "data:text/plain,a  b" }, { "data:a #x", "data:a%20#x" },
      { "data:a\1é", "data:a%01%C3%A9" }, { "java\tscript:x", "javascript:x" },
    })
  end))

  it("knows file URLs and their drives", support.outside(function()
    parses({
      { "file:a", "file:///a" }, { "file:", "file:///" }, { "file:///C|/x", "file:///C:/x" },
      { "file:c:\\x\\..\\..", "file:///c:/" }, { "file://c:/x", "file:///c:/x" },
      { "file://localhost/a", "file:///a" }, { "file://h/a", "file://h/a" },
      { "..", "file:///c:/", "file:///c:/x" }, { "y", "file:///c:/y", "file:///c:" },
      { "/y", "file:///c:/y", "file:///c:/x/z" }, { "/d:/y", "file:///d:/y", "file:///c:/x" },
      { "d|", "file://h/d:", "file://h/c:/x" }, { "//h/x", "file://h/x", "file:///c:/" },
      { "?q", "file:///a?q", "file:///a?p#f" }, { "", "file:///a?p", "file:///a?p#f" },
      { "#g", "file:///a?p#g", "file:///a?p#f" }, { "file:b", "file:///a/b", "file:///a/c" },
      { "file:///C|x", "file:///C|x" }, { "file://a:1/", false },
    })
  end))

  it("says what is wrong, and in which part", support.outside(function()
    local function fails(part, word, text, base)
      local e = support.raises({ "type", "invalid_url" }, url.parse, text, base)
      assert.equal(part, e.part)
      assert.is_truthy(tostring(e):find(word, 1, true), tostring(e))
      return e
    end
    assert.equal("http://a b/", fails("host", "' '", "http://a b/").url)
    fails("host", "missing", "https:///")
    fails("host", "IPv6", "http://[1]/")
    fails("host", "1.2.3.4.5", "http://1.2.3.4.5/")
    fails("host", "too large", "http://1.2.3.400/")
    fails("host", "']'", "http://[::1/")
    fails("host", "byte 0", "http://a\0b/")
    fails("port", "99999", "http://a:99999/")
    fails("port", "'8x'", "http://a:8x/")
    fails("scheme", "no base", "/path")
    fails("scheme", "mailto", "x", "mailto:a")
    fails("scheme", "no base", "//h", "relative")
    local e = fails("host", "…", "http://a b" .. ("c"):rep(10000))
    assert.is_true(#e.message < 500)
    assert.is_nil(fails("host", "\\x01", "http://\1/").message:find("\1", 1, true))
  end))

  it("refuses what is no text, and too long a one", support.outside(function()
    support.raises("type", url.parse, nil)
    support.raises("type", url.parse, {})
    support.raises("type", url.parse, "a", 1)
    support.raises("type", url.parse, "a", "http://h/", 1)
    support.raises({ "type", "unknown_option" }, url.parse, "a", "http://h/", { encodin = "x" })
    support.raises("type", url.parse, "a", "http://h/", { encoding = 1 })
    local longest = "http://h/" .. ("a"):rep(2 * 1024 * 1024 - 9)
    assert.equal(longest, href(longest))
    support.raises({ "limit", "url_too_long" }, url.parse, longest .. "a")
    support.raises({ "limit", "url_too_long" }, url.parse, "a", longest .. "a")
  end))

  it("takes time in proportion to the length", support.outside(function()
    local n = support.rounds(200000)
    for _, piece in ipairs({ "a", "/", "..", "/..", "@", ":", "%", "%2e/", " ", "[", "?", ".", "1",
      "xn--", ".xn--", "\195\164", "\\", "&", "a=&" }) do
      for _, front in ipairs({ "http://", "http://h/", "foo:", "", "http://h/?", "http://[" }) do
        local started = os.clock()
        pcall(url.canonicalize, front .. piece:rep(math.floor(n / #piece)))
        local seconds = os.clock() - started
        assert.is_true(seconds < 5, ("%s%s…: %g s"):format(front, piece, seconds))
      end
    end
  end))
end)

describe("can_parse", function()
  it("asks without raising", support.outside(function()
    assert.is_true(url.can_parse("http://a"))
    assert.is_false(url.can_parse("a"))
    assert.is_true(url.can_parse("a", "http://a"))
    assert.is_true(url.can_parse("a", url.parse("http://a")))
    assert.is_false(url.can_parse("a", "b"))
    support.raises("type", url.can_parse, 1)
  end))
end)

describe("join", function()
  it("resolves as RFC 3986's examples and browsers do", support.outside(function()
    local base = "http://a/b/c/d;p?q"
    for ref, wanted in pairs({
      ["g:h"] = "g:h", ["g"] = "http://a/b/c/g", ["./g"] = "http://a/b/c/g",
      ["g/"] = "http://a/b/c/g/", ["/g"] = "http://a/g", ["//g"] = "http://g/",
      ["?y"] = "http://a/b/c/d;p?y", ["g?y"] = "http://a/b/c/g?y", ["#s"] = "http://a/b/c/d;p?q#s",
      ["g#s"] = "http://a/b/c/g#s", [";x"] = "http://a/b/c/;x", [""] = "http://a/b/c/d;p?q",
      ["."] = "http://a/b/c/", [".."] = "http://a/b/", ["../.."] = "http://a/",
      ["../../../g"] = "http://a/g", ["g;x=1/../y"] = "http://a/b/c/y",
      ["g?y/../x"] = "http://a/b/c/g?y/../x",
      ["http:g"] = "http://a/b/c/g", ["https:g"] = "https://g/", ["\\g"] = "http://a/g",
      ["\\\\g\\h"] = "http://g/h", ["///g"] = "http://g/", ["http:///g"] = "http://g/",
      [" g\n"] = "http://a/b/c/g", ["http:"] = "http://a/b/c/d;p?q",
      ["http:#"] = "http://a/b/c/d;p?q#",
    }) do
      assert.equal(wanted, url.join(base, ref), ref)
      assert.equal(wanted, url.join(url.parse(base), ref), ref)
    end
    assert.equal("http://u:p@a:1/x", url.join("http://u:p@a:1/y", "x"))
    assert.equal("foo://h/x", url.join("foo://h", "x"))
    assert.equal("foo:///x", url.join("foo://h/y", "///x"))
    assert.equal("mailto:x#y", url.join("mailto:x", "#y"))
    assert.equal("http://b/", url.join("http://a", url.parse("http://b")))
  end))

  it("needs a base", support.outside(function()
    support.raises("type", url.join, nil, "http://a")
    support.raises({ "type", "invalid_url" }, url.join, "a", "http://a")
    support.raises({ "type", "invalid_url" }, url.join, "a", "http://a") -- not remembered
  end))
end)

describe("a URL", function()
  it("is equal to one with the same href", support.outside(function()
    assert.is_true(url.parse("http://A:80") == url.parse("http://a/"))
    assert.is_false(url.parse("http://a") == url.parse("http://b/"))
    assert.is_false(url.parse("http://a") == url.parse("http://a/#"))
  end))

  it("cannot be assigned to", support.outside(function()
    local u = url.parse("http://a")
    local e = support.raises("type", function() u.path = "/b" end)
    assert.is_truthy(e.message:find("set", 1, true))
    support.raises("type", function() u.anything = 1 end)
    assert.is_nil(u.anything)
    assert.equal("http://a/", u.href)
  end))

  it("has the origin of what a blob is of", support.outside(function()
    assert.equal("https://a:1", url.parse("blob:https://a:1/x").origin)
    assert.equal("null", url.parse("blob:ftp://a/x").origin)
    assert.equal("null", url.parse("blob:x").origin)
    assert.equal("ws://a", url.parse("ws://a").origin)
    assert.equal("null", url.parse("file:///a").origin)
    assert.equal("null", url.parse("foo://a/").origin)
  end))
end)

describe("set", function()
  it("follows the Standard", support.outside(function()
    for _, case in ipairs({
      { "protocol", "http://h:443/", "https", "https://h/" },
      { "protocol", "http://h/", "HTTPS:rest", "https://h/" },
      { "protocol", "http://h/", "foo", false }, { "protocol", "foo://h/", "http", false },
      { "protocol", "foo://h/", "b+a.r-1:", "b+a.r-1://h/" }, { "protocol", "http://h/", "",
      false },
      { "protocol", "http://u@h/", "file", false }, { "protocol", "file:///", "http", false },
      { "protocol", "http://h/", "1x", false }, { "protocol", "file://h/", "http", "http://h/" },
      { "protocol", "mailto:a", "data", "data:a" },
      { "username", "http://h/", "a b:@", "http://a%20b%3A%40@h/" },
      { "username", "http://u:p@h/", "", "http://:p@h/" },
      { "username", "mailto:a", "u", false }, { "username", "file://h/", "u", false },
      { "username", "foo:///", "u", false },
      { "password", "http://h/", "p", "http://:p@h/" }, { "password", "http://u:p@h/", "",
      "http://u@h/" },
      { "password", "foo:/a", "p", false },
      { "host", "http://h:1/a", "g:2", "http://g:2/a" }, { "host", "http://h:1/", "g",
      "http://g:1/" },
      { "host", "http://h/", "g:80", "http://g/" }, { "host", "http://h/", "", false },
      { "host", "http://h/", ":1", false }, { "host", "http://h/", "a b", false },
      { "host", "http://h/", "[::1]:9/x", "http://[::1]:9/" }, { "host", "http://h/", "127.1",
      "http://127.0.0.1/" },
      { "host", "http://h/", "g\\x?y#z", "http://g/" }, { "host", "foo://h/", "g\\x", false },
      { "host", "foo://h/a", "", "foo:///a" }, { "host", "foo://h:1/", "", false },
      { "host", "foo://u@h/", "", false }, { "host", "mailto:a", "h", false },
      { "host", "http://h/", "g:2x", "http://g:2/" }, { "host", "http://h:1/", "g:",
      "http://g:1/" },
      { "host", "file://h/a", "localhost", "file:///a" }, { "host", "file:///a", "G",
      "file://g/a" },
      { "host", "file:///a", "g:1", false }, { "host", "file://h/a", "", "file:///a" },
      { "host", "foo:/a", "h", "foo://h/a" }, { "host", "foo:/.//a", "h", "foo://h//a" },
      { "hostname", "http://h:1/", "g", "http://g:1/" }, { "hostname", "http://h/", "g:1", false },
      { "hostname", "http://h/", "[::1]", "http://[::1]/" }, { "hostname", "http://h/", "", false },
      { "hostname", "foo://h/", "", "foo:///" }, { "hostname", "foo:///", "a^b", false },
      { "port", "http://h/", "8080", "http://h:8080/" }, { "port", "http://h/", 8080,
      "http://h:8080/" },
      { "port", "http://h:1/", "80", "http://h/" }, { "port", "http://h:1/", "", "http://h/" },
      { "port", "http://h:1/", nil, "http://h/" }, { "port", "http://h/", "8a", "http://h:8/" },
      { "port", "http://h/", "a8", false }, { "port", "http://h/", "65536", false },
      { "port", "http://h/", " 1", false }, { "port", "file:///", "1", false },
      { "port", "mailto:a", "1", false },
      { "pathname", "http://h/a?q", "b/../c d?#", "http://h/c%20d%3F%23?q" },
      { "pathname", "http://h/a", "", "http://h/" }, { "pathname", "http://h/", "\\x\\..\\y",
      "http://h/y" },
      { "pathname", "foo://h/a", "", "foo://h" }, { "pathname", "foo:/a", "", "foo:/" },
      { "pathname", "foo:/a", "//p", "foo:/.//p" }, { "pathname", "mailto:a", "b", false },
      { "pathname", "file:///", "C|/x/../..", "file:///C:/" },
      { "search", "http://h/?a#f", "b c'#", "http://h/?b%20c%27%23#f" },
      { "search", "http://h/", "??x", "http://h/??x" }, { "search", "http://h/?a", "",
      "http://h/" },
      { "search", "http://h/?a", "?", "http://h/?" }, { "search", "http://h/?a", nil, "http://h/" },
      { "search", "foo:x", "'a\nb", "foo:x?'ab" },
      { "hash", "http://h/#a", "b c", "http://h/#b%20c" }, { "hash", "http://h/", "##x",
      "http://h/##x" },
      { "hash", "http://h/#a", "", "http://h/" },
      { "hash", "http://h/", "#", "http://h/#" }, { "hash", "mailto:a", "x", "mailto:a#x" },
      { "href", "http://h/#a", "foo:x", "foo:x" }, { "href", "foo:x?q", "http://u:p@g:1/?#",
      "http://u:p@g:1/?#" },
    }) do
      local name, before, value, after = case[1], case[2], case[3], case[4]
      local u = url.parse(before)
      local accepted = u:set(name, value)
      local what = ("%s of %s to %s"):format(name, before, tostring(value))
      assert.equal(after or before, u.href, what)
      assert.equal(after ~= false, accepted, what)
      assert.equal(u.href, href(u.href), what)
    end
  end))

  it("takes a host with a port that cannot be, as browsers do", support.outside(function()
    local u = url.parse("http://h:1/")
    assert.is_false(u:set("host", "g:99999"))
    assert.equal("http://g:1/", u.href)
  end))

  it("refuses other names, and a href that is no URL", support.outside(function()
    local u = url.parse("http://h/")
    local e = support.raises("type", u.set, u, "serch", "x")
    assert.is_truthy(e.message:find("'search'", 1, true))
    support.raises("type", u.set, u, nil, "x")
    support.raises("type", u.set, u, "search", {})
    support.raises("type", u.set, u, "port", 1.5)
    support.raises("type", u.set, u, "port", -1)
    support.raises({ "type", "invalid_url" }, u.set, u, "href", "x")
    support.raises("limit", u.set, u, "search", ("a"):rep(3 * 1024 * 1024))
    assert.equal("http://h/", u.href)
  end))
end)

describe("queries", function()
  it("are encoded from pairs, in order", support.outside(function()
    assert.equal("b=2&a=1&b=x+y%26%3D%2B", url.encode_query({ { "b", 2 }, { "a", "1" }, { "b",
      "x y&=+" } }))
    assert.equal("", url.encode_query({}))
    assert.equal("%C3%A9=%FF%00", url.encode_query({ { "é", "\255\0" } }))
    assert.equal("a=*-._&%7E%27=", url.encode_query({ { "a", "*-._" }, { "~'", "" } }))
  end))

  it("are encoded from names and lists, sorted", support.outside(function()
    assert.equal("a=1&a=2&b=true&c=1.5&d=3", url.encode_query({ d = 3.0, b = true, c = 1.5, a = { 1,
      "2" } }))
    assert.equal("u=http%3A%2F%2Fh%2F", url.encode_query({ u = url.parse("http://h") }))
    assert.equal("", url.encode_query({ a = {} }))
  end))

  it("refuse other values", support.outside(function()
    support.raises("type", url.encode_query, "a=1")
    support.raises("type", url.encode_query, { a = { {} } })
    support.raises("type", url.encode_query, { a = print })
    support.raises("type", url.encode_query, { { "a" } })
    support.raises("type", url.encode_query, { "a" })
    support.raises("type", url.encode_query, { { "a", 1 }, b = 2 })
    support.raises("type", url.encode_query, { [true] = 1 })
    support.raises("type", url.decode_query, nil)
  end))

  it("are decoded to pairs that names find", support.outside(function()
    local params = url.decode_query("b=2&a=1&&b=x+y%26&c&=d&é=%FF%zz")
    assert.same({ { "b", "2" }, { "a", "1" }, { "b", "x y&" }, { "c", "" }, { "", "d" },
      { "é", "\239\191\189%zz" } }, params)
    assert.equal("1", params.a)
    assert.same({ "2", "x y&" }, params.b)
    assert.equal("", params.c)
    assert.is_nil(params.z)
    assert.is_nil(params[7])
    assert.equal(6, #params)
    local text = url.encode_query(params)
    assert.equal(text, url.encode_query(url.decode_query(text)))
    assert.is_nil(url.decode_query("").x)
  end))

  it("replace that of a URL", support.outside(function()
    local u = url.parse("http://h/?a=1#f")
    assert.equal("http://h/?b=x+y&c=1#f", u:with_query({ b = "x y", c = 1 }).href)
    assert.equal("http://h/?q%27#f", u:with_query("q'").href)
    assert.equal("http://h/#f", u:with_query(nil).href)
    assert.equal("http://h/#f", u:with_query({}).href)
    assert.equal("http://h/#f", u:with_query("").href)
    assert.equal("http://h/?a=1#f", u.href)
    support.raises("type", u.with_query, u, 1)
  end))
end)

describe("percent_encode", function()
  it("knows the sets", support.outside(function()
    local all = {}
    for b = 0, 255 do
      all[b + 1] = string.char(b)
    end
    all = table.concat(all)
    for set, kept in pairs({
      c0_control = " !\"#$%&'()*+,-./09:;<=>?@AZ[\\]^_`az{|}~",
        fragment = "!#$%&'()*+,-./09:;=?@AZ[\\]^_az{|}~",
      query = "!$%&'()*+,-./09:;=?@AZ[\\]^_`az{|}~",
        special_query = "!$%&()*+,-./09:;=?@AZ[\\]^_`az{|}~",
      path = "!$%&'()*+,-./09:;=@AZ[\\]_az|~", userinfo = "!$%&'()*+,-.09AZ_az~",
      component = "!'()*-.09AZ_az~", form = "*-.09AZ_az",
    }) do
      local left = url.percent_encode(all, set):gsub("%%[0-9A-F][0-9A-F]", "")
      for c in (" !\"#$&'()*+,-./09:;<=>?@AZ[\\]^_`az{|}~"):gmatch(".") do
        assert.equal(kept:find(c, 1, true) ~= nil, left:find(c, 1, true) ~= nil, set .. c)
      end
      if kept:find("%", 1, true) == nil then
        assert.equal(all, url.percent_decode(url.percent_encode(all, set)))
      end
    end
    assert.equal("a%20b%2F%C3%A9", url.percent_encode("a b/é"))
    local e = support.raises("type", url.percent_encode, "a", "qery")
    assert.is_truthy(e.message:find("'query'", 1, true))
    support.raises("type", url.percent_encode, 1)
  end))

  it("is undone by percent_decode, which leaves what is none", support.outside(function()
    assert.equal("a b+%zz%4%", url.percent_decode("a%20b+%zz%4%"))
    assert.equal("%41", url.percent_decode("%2541"))
    support.raises("type", url.percent_decode, nil)
  end))
end)

describe("parse with an encoding", function()
  it("encodes the query in it, and nothing else", support.outside(function()
    local function query(text, encoding)
      return url.parse("http://h/é?" .. text .. "#é", nil, { encoding = encoding }).query
    end
    assert.equal("%EF%F0%E8", query("при", "windows-1251"))
    assert.equal("%C4%E3", query("你", "gb2312"))
    assert.equal("%26%239731%3B", query("☃", "iso-8859-1"))
    assert.equal("%C3%A9", query("é", "UTF-8"))
    assert.equal("%C3%A9", query("é", "utf-16le"))
    assert.equal("%26%2358853%3Ba%26%2358853%3B", query("\238\151\165a\238\151\165", "gb18030"))
    assert.equal("a=1&b=%27", query("a=1&b='", "windows-1251"))
    local u = url.parse("http://h/é?é#é", nil, { encoding = "windows-1252" })
    assert.equal("http://h/%C3%A9?%E9#%C3%A9", u.href)
    assert.equal("ws://h/?%C3%A9", url.parse("ws://h/?é", nil, { encoding = "windows-1252" }).href)
    assert.equal("foo://h?%C3%A9", url.parse("foo://h?é", nil, { encoding = "windows-1252" }).href)
    for _, name in ipairs({ "nothing", "", "//TRANSLIT" }) do
      local e = support.raises({ "type", "invalid_url" }, query, "é", name)
      assert.equal("query", e.part)
    end
  end))
end)

describe("canonicalize", function()
  it("gives one spelling to what means the same", support.outside(function()
    for _, case in ipairs({
      { "HTTP://Example.COM:80/%7ea/../b%2d?z=1&a=%20x&a=+#f",
      "http://example.com/b-?a=+&a=+x&z=1" },
      { "http://h/?b=1&a=2&&a=1", "http://h/?a=1&a=2&b=1" }, { "http://h/?", "http://h/" },
      { "http://h/?&", "http://h/" }, { "http://h?a&a=", "http://h/?a&a=" },
      { "http://h/%c3%a9%2f%", "http://h/%C3%A9%2F%25" }, { "http://h/%4%31", "http://h/%2541" },
      { "http://h/%2541", "http://h/%2541" }, { "mailto:B@%41#x", "mailto:B@%41" },
      { "http://h/?a=%26&b=%2B", "http://h/?a=%26&b=%2B" },
    }) do
      local got = url.canonicalize(case[1])
      assert.equal(case[2], got)
      assert.equal(got, url.canonicalize(got))
      assert.equal(got, url.canonicalize(url.parse(case[1])))
    end
  end))

  it("has options", support.outside(function()
    assert.equal("http://h/?a#F", url.canonicalize("http://h/?a#F", { keep_fragment = true }))
    assert.equal("http://h/?b=3", url.canonicalize("http://h/?utm_a=1&sid=2&b=3&u%74m_",
      { drop = { "utm_*", "sid" } }))
    assert.equal("http://h/", url.canonicalize("http://h/?sid", { drop = { "sid" } }))
    support.raises({ "type", "unknown_option" }, url.canonicalize, "http://h", { dropp = {} })
    support.raises("type", url.canonicalize, "http://h", { drop = "a" })
    support.raises({ "type", "invalid_url" }, url.canonicalize, "h")
  end))

  it("leaves a URL object as it was", support.outside(function()
    local u = url.parse("http://h/?b&a#f")
    assert.equal("http://h/?a&b", url.canonicalize(u))
    assert.equal("http://h/?b&a#f", u.href)
  end))
end)

if core.idna_lookup then
  describe("internationalized hosts", function()
    it("become ASCII by UTS #46", support.outside(function()
      parses({
        { "http://BÜCHER.de/", "http://xn--bcher-kva.de/" }, { "http://faß.de",
        "http://xn--fa-hia.de/" },
        { "http://日本。ｊｐ", "http://xn--wgv71a.jp/" }, { "http://bu\204\136cher.de",
        "http://xn--bcher-kva.de/" },
        { "http://%C3%A9.x", "http://xn--9ca.x/" }, { "http://ä..b", "http://xn--4ca..b/" },
        { "http://１２７.1", "http://127.0.0.1/" }, { "foo://é", "foo://%C3%A9" },
      })
    end))

    it("may have symbols and hyphens where the Standard lets them", support.outside(function()
      parses({
        { "http://☃.net", "http://xn--n3h.net/" }, { "http://I❤.ws", "http://xn--i-7iq.ws/" },
        { "http://❤️.x", "http://xn--qei.x/" }, { "http://💩.la", "http://xn--ls8h.la/" },
        { "http://r4---sn.ß.x", "http://r4---sn.xn--zca.x/" }, { "http://-ä-.de",
        "http://xn-----via.de/" },
        { "http://ä!b", "http://xn--!b-uia/" }, { "http://א☃ב", "http://xn--4dbc938v/" },
        { "http://ꜗ☃", "http://xn--n3h9238b/" }, { "http://ab--☃", "http://xn--ab---8g3b/" },
        { "http://☃xn--a", "http://xn--xn--a-ib1c/" }, { "http://☃¾", false },
      })
    end))

    it("may be in ASCII already, if that stands for a label", support.outside(function()
      parses({
        { "http://xn--bcher-kva.de", "http://xn--bcher-kva.de/" },
        { "http://XN--Bcher-KVA.de", "http://xn--bcher-kva.de/" },
        { "http://xn--n3h.net", "http://xn--n3h.net/" }, { "http://xn--n3h。☃",
        "http://xn--n3h.xn--n3h/" },
        { "http://axn--b.x", "http://axn--b.x/" }, { "http://xn--zcaⅧ", "http://xn--zcaviii/" },
        { "http://xn--xn--n3h", "http://xn--xn--n3h/" },
        { "http://xn--a!xn--bcher-kva", false },
        { "http://xn--.x", false }, { "http://xn--a", false }, { "http://xn--a-.x", false },
        { "http://xn--☃.x", false }, { "http://xn--0000h", false }, { "http://xn--zca.xn--%",
        false },
        { "http://xn--a\204\136.x", false }, { "http://xn--" .. ("9"):rep(200), false },
        { "http://ｘｎ--a", false }, { "http://xn--80ak6aa92e.com",
        "http://xn--80ak6aa92e.com/" },
      })
    end))

    it("are refused with a reason", support.outside(function()
      for text, word in pairs({
        ["http://a\226\128\140b/"] = "joiner", ["http://\204\136a/"] = "combining",
        ["http://a\217\161/"] = "directions", ["http://\239\191\189/"] = "character",
        ["http://\255/"] = "UTF-8", ["http://%FF/"] = "UTF-8", ["http://xn--a-/"] = "xn--",
        ["http://\194\173/"] = "empty", ["http://ä\0b/"] = "zero",
        ["http://\239\188\133/"] = "'%'",
        ["http://" .. ("ä"):rep(100)] = "libidn2",
      }) do
        local e = support.raises({ "type", "invalid_url" }, url.parse, text)
        assert.equal("host", e.part)
        assert.is_truthy(e.message:find(word, 1, true), e.message)
      end
    end))
  end)
else
  describe("hosts without libidn2", function()
    it("are ASCII, or an error that names it", support.outside(function()
      assert.equal("http://a.x/", href("http://A.x"))
      assert.equal("foo://%C3%A9", href("foo://é"))
      for _, text in ipairs({ "http://ä.x", "http://xn--4ca.x" }) do
        local e = support.raises({ "type", "invalid_url" }, url.parse, text)
        assert.is_truthy(e.message:find("libidn2", 1, true))
      end
    end))
  end)
end
