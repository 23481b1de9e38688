-- SPDX-License-Identifier: MIT
-- weft.http.environ: which of the variables counts for a URL, and what is no proxy; the
-- environment is a table here.

local environ = require "weft.http.environ"
local support = require "spec.support"
local urls = require "weft.url"

local function with(variables, fn)
  return support.outside(function()
    local getenv = environ._getenv
    environ._getenv = function(name) return variables[name] end
    local ok, e = pcall(fn)
    environ._getenv = getenv
    if not ok then
      error(e, 0)
    end
  end)
end

local function proxy_for(text)
  local found = environ.proxy_for(urls.parse(text))
  return found and found.href
end

describe("the environment", function()
  it("names a proxy for each scheme, and one for all others", with({
    http_proxy = "http://one.test:3128", HTTPS_PROXY = "https://two.test", ALL_PROXY = "three.test",
  }, function()
    assert.equal("http://one.test:3128/", proxy_for("http://a.test"))
    assert.equal("http://one.test:3128/", proxy_for("ws://a.test"))
    assert.equal("https://two.test/", proxy_for("https://a.test"))
    assert.equal("https://two.test/", proxy_for("wss://a.test"))
    assert.is_nil(proxy_for("ftp://a.test"))
    assert.equal("http://one.test:3128/", environ.proxy_for("http://a.test").href)
  end))

  it("is asked for all_proxy where there is nothing else", with({
    all_proxy = "socks5h://u:p@localhost:1080",
  }, function()
    for _, text in ipairs({ "http://a.test", "https://a.test" }) do
      local proxy = environ.proxy_for(urls.parse(text))
      assert.same({ "socks5h", "localhost", 1080, "u", "p" }, { proxy.scheme, proxy.hostname,
        proxy.port, proxy.username, proxy.password })
    end
  end))

  it("counts in lower case first, and a variable that is empty names none", with({
    http_proxy = "lower.test", HTTP_PROXY = "upper.test", https_proxy = " ", ALL_PROXY = "all.test",
  }, function()
    assert.equal("http://lower.test/", proxy_for("http://a.test"))
    assert.is_nil(proxy_for("https://a.test"))
  end))

  it("takes HTTP_PROXY", with({ HTTP_PROXY = "localhost:8080" }, function()
    assert.equal("http://localhost:8080/", proxy_for("http://a.test"))
    assert.is_nil(proxy_for("https://a.test"))
  end))

  it("does not take HTTP_PROXY from a CGI request", with({
    REQUEST_METHOD = "GET", HTTP_PROXY = "evil.test", HTTPS_PROXY = "fine.test",
  }, function()
    assert.is_nil(proxy_for("http://a.test"))
    assert.equal("http://fine.test/", proxy_for("https://a.test"))
  end))

  it("still takes http_proxy then", with({
    REQUEST_METHOD = "GET", HTTP_PROXY = "evil.test", http_proxy = "fine.test",
  }, function()
    assert.equal("http://fine.test/", proxy_for("http://a.test"))
  end))

  it("leaves out what no_proxy lists", with({
    ALL_PROXY = "proxy.test", NO_PROXY = "proxy.test, a.test, b.test:443, [::1], 10.0.0.0/8",
  }, function()
    for _, text in ipairs({ "http://a.test", "https://x.a.test", "https://b.test",
      "http://[::1]:81", "http://10.1.2.3", "http://proxy.test" }) do
      assert.is_nil(proxy_for(text), text)
    end
    for _, text in ipairs({ "http://b.test", "http://c.test", "http://11.1.2.3" }) do
      assert.equal("http://proxy.test/", proxy_for(text))
    end
  end))

  it("prefers no_proxy in lower case, be it empty", with({
    ALL_PROXY = "proxy.test", NO_PROXY = "*", no_proxy = "",
  }, function()
    assert.equal("http://proxy.test/", proxy_for("http://a.test"))
  end))

  for value, why in pairs({ ["http://u:secret@"] = "no URL", ["ftp://u:secret@a.test"] = "'ftp'",
    ["socks5://"] = "no host", ["http://u:secret@a.test:99999"] = "no URL",
    ["u:secret@a b"] = "no URL" }) do
    it("is refused with " .. value:gsub("secret", "…") .. " for a proxy", with({
      HTTPS_PROXY = value,
    }, function()
      local e = support.raises({ "type", "invalid_proxy" }, proxy_for, "https://a.test")
      assert.matches("^HTTPS_PROXY", e.message)
      assert.matches(why, e.message)
      assert.not_matches("secret", tostring(e))
      assert.is_nil(proxy_for("http://a.test"))
    end))
  end

  it("is refused with a bad no_proxy", with({ ALL_PROXY = "p.test", no_proxy = "1.2.3.4/99" },
    function()
      support.raises({ "type", "invalid_no_proxy" }, proxy_for, "http://a.test")
    end))

  it("is read anew each time, and what was read is kept in bounds", support.outside(function()
    local getenv, value = environ._getenv, nil
    environ._getenv = function(name) return name == "http_proxy" and value or nil end
    for i = 1, 100 do
      value = "p" .. i .. ".test"
      assert.equal("http://p" .. i .. ".test/", proxy_for("http://a.test"))
    end
    environ._getenv = getenv
  end))
end)
