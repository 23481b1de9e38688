-- SPDX-License-Identifier: MIT
-- weft.crawl.progress: what is shown, when, on a terminal and elsewhere, and what is said
-- at the end.

local progress = require "weft.crawl.progress"
local support = require "spec.support"
local testing = require "weft.testing"
local weft = require "weft"

-- Progress whose output is kept, and that.
local function new(opts)
  local out = {}
  opts.write = function(text)
    out[#out + 1] = text
  end
  return progress.new(opts), out
end

local function state()
  return { active = 64, queued = 1234 }
end

describe("weft.crawl.progress", function()
  it("writes plain lines now and then, where there is no terminal", support.virtual(function()
    local p, out = new { tty = false }
    p:with(state, function()
      for i = 1, 100 do
        p:page("http://a/" .. i, i % 10 == 0 and 404 or 200, 12345)
        weft.sleep(0.121)
      end
    end)
    assert.same({
      "42 pages  8.4/s  64 in flight  1,234 queued  4 errors  518.5 kB  0:05\n",
      "83 pages  8.2/s  64 in flight  1,234 queued  8 errors  1.0 MB  0:10\n" }, out)
  end))

  it("draws one line anew on a terminal, and leaves none behind", support.virtual(function()
    local p, out = new { tty = true, interval = 1 }
    p:with(state, function()
      p:page("http://a/", 200)
      weft.sleep(1.5)
      p:print("something")
      weft.sleep(4000)
    end)
    assert.equal("\r\27[K1 pages  1.0/s  64 in flight  1,234 queued  0 errors  0 B  0:01", out[1])
    assert.equal("\r\27[K", out[2])
    assert.equal("something\n", out[3])
    assert.equal("\r\27[K1 pages", out[4]:sub(1, 11))
    assert.truthy(out[#out - 1]:find("0.0/s.*1:06:4%d$"))
    assert.equal("\r\27[K", out[#out])
  end))

  it("writes nothing when told so, and counts all the same", support.virtual(function()
    local p, out = new { quiet = true }
    assert.equal(7, p:with(nil, function()
      p:page("http://a/", 200, 10)
      p:print("something")
      p:show()
      weft.sleep(100)
      return 7
    end))
    assert.same({}, out)
    assert.same({ pages = 1, bytes = 10, failures = 0, seconds = 100, statuses = { [200] = 1 },
      errors = {}, skips = {} }, p:statistics())
    assert.equal("Progress<pages=1 failures=0>", tostring(p))
  end))

  it("sums up", support.virtual(function()
    local p = new { quiet = true }
    p:with(nil, function()
      for i = 1, 1200 do
        p:page("http://a/" .. i, i > 1190 and 404 or 200, 1000, i % 7 / 10 + i / 1e5)
      end
      p:failure(weft.Error { kind = "connection", code = "ECONNREFUSED", message = "refused" })
      p:failure("a string")
      p:skip("robots")
      weft.sleep(10)
    end)
    assert.equal([[
1,200 pages in 10.0 s: 120.0 pages/s, 1.2 MB, 120.0 kB/s
  status      1,190  200
                 10  404
  errors          1  connection ECONNREFUSED
                  1  raised
  skipped         1  robots
  slowest    0.612s  http://a/1196
             0.612s  http://a/1189
             0.612s  http://a/1182
             0.612s  http://a/1175
             0.612s  http://a/1168]], p:summary())
  end))

  it("ends its line when it is cancelled, and leaves no task", function()
    testing.cancel_everywhere(function()
      local p, out = new { tty = true }
      local ok, e = pcall(p.with, p, state, function()
        weft.sleep(1)
        weft.sleep(1)
      end)
      if out[1] then
        assert.equal("\r\27[K", out[#out])
      end
      if not ok then
        error(e, 0)
      end
    end)
  end)

  it("writes to stderr, and asks it whether it is a terminal", function()
    local output = support.script([[
      local weft, progress = require "weft", require "weft.crawl.progress"
      weft.run(function()
        progress.new { interval = 0.01 }:with(nil, weft.sleep, 0.05)
      end)
    ]])
    assert.truthy(output:find("^0 pages  0.0/s  0 in flight  0 queued  0 errors  0 B  0:00\n"))
  end)

  it("refuses unknown options", support.run(function()
    support.raises({ "type", "unknown_option" }, progress.new, { quit = true })
  end))
end)
