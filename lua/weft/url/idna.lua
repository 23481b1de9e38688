-- SPDX-License-Identifier: MIT
-- weft.url.idna: domains to ASCII, as the URL Standard asks: UTS #46, non-transitional,
-- without the checks on hyphens and lengths.
--
-- Owns: what libidn2's lookup refuses although UTS #46 allows it. That library applies the
-- rules of IDNA2008 to labels that UTS #46 has mapped: these know no symbols (so no emoji),
-- and some rules on hyphens. What is refused by them alone is looked up once more with a
-- stand-in for those characters, which are then put back. Must not know: URLs.
-- Invariant: the result is ASCII, and its "xn--" labels come out as they went in.

local core = require "weft.core"
local percent = require "weft.url.percent"

local M = {}

local byte, find, gsub, lower, sub = string.byte, string.find, string.gsub, string.lower, string.sub
local code_points, utf8_char = percent._code_points, percent._utf8_char

-- U+A717: a letter of neutral direction that IDNA2008 allows anywhere, and that composes with
-- nothing: it takes part in no rule, as the symbols in whose place it stands.
local STAND_IN = 0xA717

--- Punycode, RFC 3492 ------------------------------------------------------------------

local BASE, T_MIN, T_MAX, SKEW, DAMP = 36, 1, 26, 38, 700
local floor = math.floor

-- A label longer than this in Punycode is no name (63 is what the DNS takes), and the time to
-- decode one grows with the square of its length.
local MAX_LABEL = 256

local function adapt(delta, count, is_first)
  delta = is_first and floor(delta / DAMP) or floor(delta / 2)
  delta = delta + floor(delta / count)
  local k = 0
  while delta > floor((BASE - T_MIN) * T_MAX / 2) do
    delta = floor(delta / (BASE - T_MIN))
    k = k + BASE
  end
  return k + floor((BASE - T_MIN + 1) * delta / (delta + SKEW))
end

local function threshold(k, bias)
  return k <= bias and T_MIN or k >= bias + T_MAX and T_MAX or k - bias
end

local function digit_of(b)
  if not b then
    return nil
  elseif b >= 97 and b <= 122 then
    return b - 97
  end
  return b >= 48 and b <= 57 and b - 22 or nil
end

-- Reads one number at `i`; gives it and where the next one begins, or nil.
local function read_number(s, i, bias)
  local value, weight, k = 0, 1, BASE
  while true do
    local digit = digit_of(byte(s, i))
    if not digit then
      return nil
    end
    value = value + digit * weight
    if value > 0x7FFFFFFF then
      return nil
    end
    local t = threshold(k, bias)
    if digit < t then
      return value, i + 1
    end
    weight, k, i = weight * (BASE - t), k + BASE, i + 1
  end
end

-- The code points of what stands behind "xn--", in lower case; nil if that is no Punycode.
local function decode(s)
  if #s > MAX_LABEL or find(s, "[\128-\255]") then
    return nil
  end
  local basic = s:match("^(.*)%-") or ""
  local out = { byte(basic, 1, -1) }
  local i = #basic > 0 and #basic + 2 or 1
  local n, at, bias = 128, 0, 72
  while i <= #s do
    local delta
    delta, i = read_number(s, i, bias)
    if not delta then
      return nil
    end
    local before, count = at, #out + 1
    at = at + delta
    bias = adapt(at - before, count, before == 0)
    n = n + floor(at / count)
    at = at % count
    if n > 0x10FFFF or n >= 0xD800 and n <= 0xDFFF then
      return nil
    end
    table.insert(out, at + 1, n)
    at = at + 1
  end
  return out
end

local function write_number(out, value, bias)
  local k = BASE
  while true do
    local t = threshold(k, bias)
    local digit = value < t and value or t + (value - t) % (BASE - t)
    out[#out + 1] = string.char(digit < 26 and 97 + digit or 22 + digit)
    if value < t then
      return
    end
    value, k = floor((value - t) / (BASE - t)), k + BASE
  end
end

-- The smallest code point that is not below `n`.
local function next_point(list, n)
  local best = math.huge
  for _, c in ipairs(list) do
    if c >= n and c < best then
      best = c
    end
  end
  return best
end

local function encode(list)
  local out = {}
  for _, c in ipairs(list) do
    if c < 128 then
      out[#out + 1] = string.char(c)
    end
  end
  local basic = #out
  local handled, n, delta, bias = basic, 128, 0, 72
  if basic > 0 then
    out[basic + 1] = "-"
  end
  while handled < #list do
    local m = next_point(list, n)
    delta, n = delta + (m - n) * (handled + 1), m
    for _, c in ipairs(list) do
      if c < n then
        delta = delta + 1
      elseif c == n then
        write_number(out, delta, bias)
        bias = adapt(delta, handled + 1, handled == basic)
        delta, handled = 0, handled + 1
      end
    end
    delta, n = delta + 1, n + 1
  end
  return table.concat(out)
end

--- domains -----------------------------------------------------------------------------

local function each_label(domain)
  return (domain .. "."):gmatch("([^.]*)%.")
end

-- The Punycode of an "xn--" label: what other characters it has must be mapped to ASCII.
local function punycode_of(label)
  local text = lower(sub(label, 5))
  if find(text, "[\128-\255]") then
    text = core.idna_lookup(text) or ""
    return find(text, "xn--", 1, true) and "" or text
  end
  return text
end

-- The domain with its "xn--" labels decoded, and with these in ASCII; nil and why if one
-- cannot be.
local function decoded(domain)
  local labels, ascii = {}, {}
  for label in each_label(domain) do
    ascii[#ascii + 1] = label
    if find(label, "^[xX][nN]%-%-") then
      local text = punycode_of(label)
      local points = decode(text)
      ascii[#ascii] = "xn--" .. text
      if not points or #points == 0 then
        return nil, ("has the label '%s', which is no Punycode"):format(sub(label, 1, 63))
      end
      for i, c in ipairs(points) do
        points[i] = utf8_char(c)
      end
      label = table.concat(points)
    end
    labels[#labels + 1] = label
  end
  return table.concat(labels, "."), table.concat(ascii, ".")
end

-- Whether a character is one that UTS #46 allows as it is, and only IDNA2008 does not: for a
-- label that is in ASCII already, libidn2 looks at the former first. (The few that UTS #46 maps
-- to such ones, fractions for instance, are refused: what they are mapped to is not told.)
local function is_symbol(c)
  local _, code = core.idna_lookup("a" .. utf8_char(c))
  if code == "DISALLOWED" then
    _, code = core.idna_lookup("xn--" .. encode({ c }))
    return code == "DISALLOWED"
  end
  return code == "CONTEXTO"
end

-- The domain with the stand-in for each character that only IDNA2008 has rules for, and the
-- list of those.
local function disguised(points)
  local out, hidden, known = {}, {}, {}
  for i, c in ipairs(points) do
    local is_hidden
    if c < 128 then
      is_hidden = not find(string.char(c), "[0-9A-Za-z.]")
    else
      if known[c] == nil then
        known[c] = c == STAND_IN or is_symbol(c)
      end
      is_hidden = known[c]
    end
    if is_hidden then
      hidden[#hidden + 1] = c
    end
    out[i] = utf8_char(is_hidden and STAND_IN or c)
  end
  return table.concat(out), hidden
end

-- Puts back what `disguised` took out.
local function revealed(ascii, hidden)
  local labels, taken = {}, 0
  for label in each_label(ascii) do
    local points = find(label, "^xn%-%-") and decode(sub(label, 5)) or { byte(label, 1, -1) }
    local is_ascii = true
    for i, c in ipairs(points) do
      if c == STAND_IN then
        taken = taken + 1
        points[i] = hidden[taken]
        if not points[i] then
          return nil
        end
      end
      is_ascii = is_ascii and points[i] < 128
    end
    if points[1] == 120 and points[2] == 110 and points[3] == 45 and points[4] == 45 then
      return nil -- "xn--" that was hidden from libidn2
    end
    label = is_ascii and string.char((table.unpack or unpack)(points)) or "xn--" .. encode(points)
    labels[#labels + 1] = label
  end
  return taken == #hidden and table.concat(labels, ".") or nil
end

local WHY = {
  DISALLOWED = "has a character that no domain may have",
  CONTEXTJ = "has a joiner where none may be",
  LEADING_COMBINING = "has a label that begins with a combining character",
  BIDI = "mixes writing directions as no domain may",
  UNASSIGNED = "has a character that libidn2 does not know",
  INVALID_NONTRANSITIONAL = "has an 'xn--' label that stands for no label",
}

-- The ASCII form of a domain of Unicode labels; nil and why.
local function looked_up(domain)
  local ascii, code = core.idna_lookup(domain)
  if ascii then
    return ascii
  end
  local points = code_points(domain)
  if not points then
    return nil, "is not UTF-8"
  end
  local text, hidden = disguised(points)
  if #hidden > 0 then
    local again
    ascii, again = core.idna_lookup(text)
    ascii = ascii and revealed(ascii, hidden)
    if ascii then
      return ascii
    end
    code = again or code
  end
  return nil, WHY[code] or ("is no internationalized domain (libidn2 says %s)"):format(code or "?")
end

-- Whether each "xn--" label came out as it went in: what is not in its one spelling is refused.
local function kept(domain, ascii)
  local after = each_label(ascii)
  for label in each_label(domain) do
    local now = after()
    if find(label, "^[xX][nN]%-%-") and lower(label) ~= now then
      return false
    end
  end
  return after() == nil
end

---The ASCII form of a domain, in lower case; nil and why there is none.
---@private
---@param domain string UTF-8
---@return string?
---@return string?
function M.to_ascii(domain)
  local text = domain
  if find(domain, "[\128-\255]") then -- other dots than the ASCII one separate labels, too
    text = gsub(domain, "\227\128\130", ".")
    text = gsub(gsub(text, "\239\188\142", "."), "\239\189\161", ".")
  end
  local has_ace = find(text, "^[xX][nN]%-%-") or find(text, "%.[xX][nN]%-%-")
  if not has_ace and text == domain and not find(domain, "[\128-\255]") then
    return lower(domain)
  elseif not core.idna_lookup then
    return nil, "needs libidn2 (internationalized domains), and weft was built without it"
  elseif find(domain, "%z") then
    return nil, "has a zero byte"
  elseif not has_ace then
    return looked_up(text)
  end
  local unicode, before = decoded(text)
  if not unicode then
    return nil, before
  end
  local ascii, why = looked_up(unicode)
  if ascii and not kept(before, ascii) then
    return nil, "has an 'xn--' label that stands for no label"
  end
  return ascii, why
end

return M
