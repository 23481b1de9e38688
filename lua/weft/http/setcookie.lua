-- SPDX-License-Identifier: MIT
-- weft.http.setcookie: what a Set-Cookie field says: its name, value and attributes, and the
-- dates in it, read as browsers do (RFC 6265bis, sections 5.1 and 5.6).
--
-- Owns: the syntax, with its limits on length.
-- Must not know: jars, hosts, or whether a cookie is allowed.
-- Invariant: nothing that a server can send raises; what is malformed is nil or left out.

local M = {}

-- Name and value together, in bytes: what browsers take, and servers rely on.
M.PAIR_MAX = 4096

-- The value of an attribute, in bytes; a longer one is as if it were not there.
M.ATTRIBUTE_MAX = 1024

-- Bytes that no cookie may have: controls, but for TAB.
M.CONTROL = "[%z\1-\8\10-\31\127]"

local DAY = 86400

--- dates --------------------------------------------------------------------------

local MONTHS = {}
for number, name in ipairs({ "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep",
  "oct", "nov", "dec" }) do
  MONTHS[name] = number
end

local MONTH_DAYS = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 }

local function is_leap(year)
  return year % 4 == 0 and (year % 100 ~= 0 or year % 400 == 0)
end

-- Seconds since 1970 of a moment in UTC. Years begin in March here, so that the leap day is
-- the last one.
local function timestamp(year, month, day, seconds)
  local y = month > 2 and year or year - 1
  local months = (month + 9) % 12
  local days = y * 365 + math.floor(y / 4) - math.floor(y / 100) + math.floor(y / 400)
    + math.floor((months * 153 + 2) / 5) + day - 719469
  return days * DAY + seconds
end

-- The first token that looks like a time, a day, a month, a year is that; a token is only one
-- of them. What may follow the digits in a token is anything but a digit.
local function read_token(found, token)
  local hour, minute, second = token:match("^(%d%d?):(%d%d?):(%d%d?)%f[%D]")
  if hour and not found.hour then
    found.hour, found.minute, found.second = tonumber(hour), tonumber(minute), tonumber(second)
    return
  end
  local day = token:match("^(%d%d?)%f[%D]")
  if day and not found.day then
    found.day = tonumber(day)
    return
  end
  local month = MONTHS[token:sub(1, 3):lower()]
  if month and not found.month then
    found.month = month
    return
  end
  local year = token:match("^(%d%d%d?%d?)%f[%D]")
  if year and not found.year then
    found.year = tonumber(year)
  end
end

---Reads a date as a cookie may have it, in almost any form.
---@private
---@param text string
---@return integer? seconds since 1970; nil if it is no date
function M.parse_date(text)
  local found = {}
  for token in text:gmatch("[^\t\32-\47\59-\64\91-\96\123-\126]+") do
    read_token(found, token)
  end
  if not (found.hour and found.day and found.month and found.year) then
    return nil
  end
  local year = found.year
  year = year + (year < 70 and 2000 or year < 100 and 1900 or 0)
  local last = MONTH_DAYS[found.month] + (found.month == 2 and is_leap(year) and 1 or 0)
  if year < 1601 or found.day < 1 or found.day > last or found.hour > 23 or found.minute > 59
    or found.second > 59 then
    return nil
  end
  return timestamp(year, found.month, found.day,
    found.hour * 3600 + found.minute * 60 + found.second)
end

--- fields -------------------------------------------------------------------------

local function trimmed(text)
  return (text:gsub("^[ \t]+", ""):gsub("[ \t]+$", ""))
end

local SAME_SITE = { strict = "Strict", lax = "Lax", none = "None" }

-- What each attribute does to the cookie; the last of each kind counts.
local ATTRIBUTES = {
  secure = function(cookie)
    cookie.secure = true
  end,
  httponly = function(cookie)
    cookie.http_only = true
  end,
  samesite = function(cookie, value)
    cookie.same_site = SAME_SITE[value:lower()]
  end,
  expires = function(cookie, value)
    cookie.expires = M.parse_date(value) or cookie.expires
  end,
  ["max-age"] = function(cookie, value)
    if value:find("^%-?%d+$") then
      cookie.max_age = tonumber(value)
    end
  end,
  -- An empty one is ignored, as RFC 6265 recommends: an earlier one stays in force, which
  -- never gives a cookie to more hosts.
  domain = function(cookie, value)
    local domain = value:gsub("^%.", ""):lower()
    cookie.domain = domain ~= "" and domain or cookie.domain
  end,
  -- An empty path, or one that is none, takes an earlier one back.
  path = function(cookie, value)
    cookie.path = value:sub(1, 1) == "/" and value or nil
  end,
}

local function read_attribute(cookie, text)
  local name, value = text:match("^([^=]*)=(.*)$")
  name, value = trimmed(name or text):lower(), trimmed(value or "")
  local read = ATTRIBUTES[name]
  if read and #value <= M.ATTRIBUTE_MAX then
    read(cookie, value)
  end
end

---Reads the value of a Set-Cookie field. The result has `name` (empty for `Set-Cookie: x`),
---`value`, and, as far as they are given, `domain` (in lower case, without a dot in front),
---`path`, `expires` (seconds since 1970), `max_age` (seconds), `secure`, `http_only` and
---`same_site` ("Strict", "Lax", "None").
---@private
---@param text string
---@return table? cookie nil if it cannot be used
---@return string? why "control", "empty" or "size"
function M.parse(text)
  if text:find(M.CONTROL) then
    return nil, "control"
  end
  local pair, rest = text:match("^([^;]*)(.*)$")
  local name, value = pair:match("^([^=]*)=(.*)$")
  local cookie = { name = trimmed(name or ""), value = trimmed(value or pair) }
  if cookie.name == "" and cookie.value == "" then
    return nil, "empty"
  elseif #cookie.name + #cookie.value > M.PAIR_MAX then
    return nil, "size"
  end
  for attribute in rest:gmatch(";([^;]*)") do
    read_attribute(cookie, attribute)
  end
  return cookie
end

return M
