-- SPDX-License-Identifier: MIT
-- weft.http.httpdate: the dates of header fields (RFC 9110, section 5.6.7).
--
-- Owns: the three forms in which they come, and the one in which they are sent.
-- Must not know: which fields have dates, or what they are good for.
-- Invariant: nothing that a server can send raises; what is no date is nil.

local options = require "weft.options"
local setcookie = require "weft.http.setcookie"

local floor = math.floor

local M = {}

-- Not os.date's %a and %b, which follow the locale.
local DAYS = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" }
local MONTHS = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov",
  "Dec" }

-- The last second of the year 9999.
local LATEST = 253402300799

-- Day, month, year and time in each form: IMF-fixdate, RFC 850's, asctime's. Without regard to
-- case, and to what the day of the week is.
local IMF = "^%a+, (%d%d) (%a%a%a) (%d%d%d%d) (%d%d:%d%d:%d%d) [GU][MT][TC]$"
local RFC850 = "^%a+, (%d%d)%-(%a%a%a)%-(%d%d) (%d%d:%d%d:%d%d) [GU][MT][TC]$"
local ASCTIME = "^%a%a%a (%a%a%a) +(%d%d?) (%d%d:%d%d:%d%d) (%d%d%d%d)$"

-- A year of two digits is one that is not more than 50 years ahead.
local function full_year(digits, now)
  local this = tonumber(os.date("!%Y", floor(now)))
  local year = this - this % 100 + tonumber(digits)
  if year > this + 50 then
    year = year - 100
  end
  return year
end

---Reads the value of a field such as Date, Last-Modified or Retry-After.
---@private
---@param text string
---@param now number? seconds since 1970; default `os.time()`. For years of two digits.
---@return integer? seconds since 1970; nil if it is no date
function M.parse(text, now)
  text = text:gsub("^[ \t]+", ""):gsub("[ \t]+$", ""):gsub(" gmt$", " GMT")
  local day, month, year, time = text:match(IMF)
  if not day then
    day, month, year, time = text:match(RFC850)
    year = year and full_year(year, now or os.time())
  end
  if not day then
    month, day, time, year = text:match(ASCTIME)
  end
  if not day then
    return nil
  end
  time = time:gsub(":60$", ":59") -- a leap second
  return setcookie.parse_date(("%s %s %04d %s"):format(day, month, year, time))
end

---The date as it is sent: "Sun, 06 Nov 1994 08:49:37 GMT".
---
---Raises `type` for what is no time from 1970 to 9999.
---@private
---@param seconds number since 1970; a fraction is left out
---@return string
function M.format(seconds)
  options.number(seconds, "the time", 0)
  if seconds > LATEST then
    options.number(nil, "the time, before the year 10000,")
  end
  local t = os.date("!*t", floor(seconds))
  return ("%s, %02d %s %04d %02d:%02d:%02d GMT"):format(DAYS[t.wday], t.day, MONTHS[t.month],
    t.year, t.hour, t.min, t.sec)
end

return M
