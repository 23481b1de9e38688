-- SPDX-License-Identifier: MIT
-- weft.http.httpdate: the three forms, what is none, what two digits of a year mean,
-- and that a date that was sent is read again.

local httpdate = require "weft.http.httpdate"
local support = require "spec.support"

local EXAMPLE = 784111777

describe("a date", function()
  it("is read in its three forms", support.outside(function()
    assert.equal(EXAMPLE, httpdate.parse("Sun, 06 Nov 1994 08:49:37 GMT"))
    assert.equal(EXAMPLE, httpdate.parse("Sunday, 06-Nov-94 08:49:37 GMT"))
    assert.equal(EXAMPLE, httpdate.parse("Sun Nov  6 08:49:37 1994"))
    assert.equal(EXAMPLE, httpdate.parse(" Sun, 06 nov 1994 08:49:37 gmt\t"))
    assert.equal(EXAMPLE, httpdate.parse("Sun, 06 Nov 1994 08:49:37 UTC"))
    assert.equal(EXAMPLE + 22, httpdate.parse("Sun, 06 Nov 1994 08:49:60 GMT"))
  end))

  it("with a year of two digits is at most 50 years ahead", support.outside(function()
    local now = httpdate.parse("Mon, 01 Jun 2026 00:00:00 GMT")
    local function year_of(digits)
      local time = httpdate.parse(("Monday, 01-Jun-%s 00:00:00 GMT"):format(digits), now)
      return tonumber(os.date("!%Y", time))
    end
    assert.same({ 2026, 2000, 2076, 1977, 1999 },
      { year_of("26"), year_of("00"), year_of("76"), year_of("77"), year_of("99") })
  end))

  it("that is none is nil", support.outside(function()
    for _, text in ipairs({ "", "0", "-1", "120", "Sun, 06 Nov 1994", "06 Nov 1994 08:49:37 GMT",
      "Sun, 31 Feb 1994 08:49:37 GMT", "Sun, 06 Nov 1994 24:00:00 GMT",
      "Sun, 06 Abc 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 +0100",
      "Sun, 06 Nov 1994 08:49:37 GMT, x" }) do
      assert.is_nil(httpdate.parse(text), text)
    end
  end))

  it("is sent in the form for all", support.outside(function()
    assert.equal("Sun, 06 Nov 1994 08:49:37 GMT", httpdate.format(EXAMPLE + 0.9))
    assert.equal("Thu, 01 Jan 1970 00:00:00 GMT", httpdate.format(0))
    for time = 0, 4e9, 123456789 do
      assert.equal(time, httpdate.parse(httpdate.format(time)))
    end
    for _, bad in ipairs({ -1, 0 / 0, math.huge, "0" }) do
      support.raises("type", httpdate.format, bad)
    end
  end))
end)
