-- SPDX-License-Identifier: MIT
-- weft.url.percent: bytes to %XX and back, by the sets of the URL Standard; and text that
-- must be UTF-8.
--
-- Owns: the percent-encode sets. Must not know: which part of a URL takes which set.
-- Invariant: what was encoded decodes to the same bytes; encoding twice is not encoding once,
-- unless the set leaves the "%" alone, which all but "component" and "form" do.

local errors = require "weft.error"
local options = require "weft.options"
local core = require "weft.core"

---@class weft.url
local M = {}

local byte, char, find, gsub, sub = string.byte, string.char, string.find, string.gsub, string.sub

-- Each set as the pattern of what is in it: the complement of what stays as it is. Ranges are
-- written out, because what %w means depends on the locale.
local SETS = {
  c0_control = "[^ -~]",
  fragment = "[^!#-;=?-_a-~]",
  query = "[^!$-;=?-~]",
  special_query = "[^!$-&(-;=?-~]",
  path = "[^!$-;=@-[\\%]_a-z|~]",
  userinfo = "[^!$-.0-9A-Z_a-z~]",
  component = "[^!'-*%-.0-9A-Z_a-z~]",
  form = "[^*%-.0-9A-Z_a-z]",
}
M._SETS = SETS

local ENCODED, DECODED = {}, {}
for b = 0, 255 do
  local upper, lower = ("%02X"):format(b), ("%02x"):format(b)
  ENCODED[char(b)] = "%" .. upper
  for _, first in ipairs({ upper:sub(1, 1), lower:sub(1, 1) }) do
    for _, second in ipairs({ upper:sub(2), lower:sub(2) }) do
      DECODED[first .. second] = char(b)
    end
  end
end

-- `s` with each byte that fits `set`, a pattern, as %XX.
local function encode(s, set)
  if find(s, set) then
    return (gsub(s, set, ENCODED))
  end
  return s
end
M._encode = encode

-- The bytes that `s` stands for; a "%" that begins no %XX stays.
local function decode(s)
  if find(s, "%", 1, true) then
    return (gsub(s, "%%([0-9A-Fa-f][0-9A-Fa-f])", DECODED))
  end
  return s
end
M._decode = decode

---Bytes as %XX, by one of the Standard's sets: "c0_control", "fragment", "query",
---"special_query", "path", "userinfo", "component" or "form". What may stand in a value of a
---query, a segment of a path or the like as it is, "component" leaves alone; it is
---`encodeURIComponent` of browsers.
---
---Raises `type` for any other set.
---@param s string
---@param set string? default "component"
---@return string
function M.percent_encode(s, set)
  options.expect(s, "string", "what to encode")
  set = set == nil and "component" or set
  local pattern = SETS[set]
  if not pattern then
    errors.raise("type", ("percent_encode: unknown set '%s' (did you mean '%s'?)")
      :format(tostring(set), options.nearest(tostring(set), SETS)))
  end
  return encode(s, pattern)
end

---The bytes that a text with %XX stands for. A "%" without two hexadecimal digits stays as it
---is, and so does "+": in a query, that is `weft.url.decode_query`'s.
---@param s string
---@return string
function M.percent_decode(s)
  return decode(options.expect(s, "string", "what to decode"))
end

--- UTF-8 -------------------------------------------------------------------------

-- By the first byte: how many follow, and the range of the second.
local function follow(b)
  if b < 0xC2 or b > 0xF4 then
    return 0
  elseif b < 0xE0 then
    return 1, 0x80, 0xBF
  elseif b < 0xF0 then
    return 2, b == 0xE0 and 0xA0 or 0x80, b == 0xED and 0x9F or 0xBF
  end
  return 3, b == 0xF0 and 0x90 or 0x80, b == 0xF4 and 0x8F or 0xBF
end

-- The length of the character at `i`, and whether it is whole: the longest beginning of one
-- that there is becomes one U+FFFD, as the Encoding Standard says.
local function character(s, i)
  local first = byte(s, i)
  if first < 0x80 then
    return 1, true
  end
  local count, low, high = follow(first)
  for k = 1, count do
    local b = byte(s, i + k)
    if not b or b < low or b > high then
      return k, false
    end
    low, high = 0x80, 0xBF
  end
  return count + 1, count > 0
end

-- `s` with U+FFFD in place of what is not UTF-8.
local function utf8_text(s)
  if not find(s, "[\128-\255]") then
    return s
  end
  local parts, n, from, i = {}, 0, 1, 1
  while i <= #s do
    local length, ok = character(s, i)
    if not ok then
      parts[n + 1], parts[n + 2] = sub(s, from, i - 1), "\239\191\189"
      n, from = n + 2, i + length
    end
    i = i + length
  end
  parts[n + 1] = sub(s, from)
  return table.concat(parts)
end
M._utf8_text = utf8_text

-- The code points of a string; nil where it is not UTF-8.
function M._code_points(s)
  local list, n, i = {}, 0, 1
  while i <= #s do
    local length, ok = character(s, i)
    if not ok then
      return nil
    end
    local a, b, c, d = byte(s, i, i + length - 1)
    n = n + 1
    list[n] = length == 1 and a
      or length == 2 and (a - 0xC0) * 64 + b - 0x80
      or length == 3 and (a - 0xE0) * 4096 + (b - 0x80) * 64 + c - 0x80
      or (a - 0xF0) * 262144 + (b - 0x80) * 4096 + (c - 0x80) * 64 + d - 0x80
    i = i + length
  end
  return list
end

-- The UTF-8 of a code point.
function M._utf8_char(c)
  local floor = math.floor
  if c < 0x80 then
    return char(c)
  elseif c < 0x800 then
    return char(0xC0 + floor(c / 64), 0x80 + c % 64)
  elseif c < 0x10000 then
    return char(0xE0 + floor(c / 4096), 0x80 + floor(c / 64) % 64, 0x80 + c % 64)
  end
  return char(0xF0 + floor(c / 262144), 0x80 + floor(c / 4096) % 64,
    0x80 + floor(c / 64) % 64, 0x80 + c % 64)
end

--- other encodings -----------------------------------------------------------------

-- Names of the Encoding Standard for which iconv has another one.
local ICONV = {
  big5 = "BIG5-HKSCS", ["euc-kr"] = "CP949", shift_jis = "CP932",
  ["iso-8859-8-i"] = "ISO-8859-8", ["windows-874"] = "CP874", ["x-mac-cyrillic"] = "MAC-UK",
}

-- Encodings that no text is sent in: UTF-8 is, in their place.
local NOT_SENT = { ["utf-8"] = true, utf8 = true, ["utf-16le"] = true, ["utf-16be"] = true,
  ["utf-16"] = true, replacement = true }

-- `s` in an encoding that iconv knows, as %XX; nil if it knows none of that name.
local function encode_by(s, set, name)
  local pieces = core.text_encode(s, name)
  for i = 1, pieces and #pieces or 0 do
    local piece = pieces[i]
    pieces[i] = type(piece) == "string" and encode(piece, set)
      or ("%%26%%23%d%%3B"):format(piece)
  end
  return pieces and table.concat(pieces)
end

-- The same around the private character U+E5E5, which the Standard's Chinese encoders refuse,
-- and iconv's do not.
local function encode_chinese(s, set, name)
  local parts = {}
  for part in (s .. "\238\151\165"):gmatch("(.-)\238\151\165") do
    parts[#parts + 1] = encode_by(part, set, name)
  end
  return parts[1] and table.concat(parts, "%26%2358853%3B")
end

-- `s`, UTF-8, in another encoding (by its name in the Encoding Standard, or iconv's), as %XX:
-- the query of a URL in a document that is not UTF-8. What the encoding lacks becomes "&#N;",
-- in %XX. nil and why for an unknown encoding.
function M._encode_as(s, set, encoding)
  local name, encoded = encoding:lower(), nil
  if NOT_SENT[name] then
    return encode(s, set)
  end
  s = utf8_text(s)
  if name == "iso-2022-jp" then -- the controls by which it would switch its own state
    s = gsub(s, "[\14\15\27]", "\239\191\189")
  end
  if name == "gbk" or name == "gb2312" or name == "gb18030" then
    encoded = encode_chinese(s, set, name == "gb2312" and "GBK" or name)
  elseif find(name, "^[0-9a-z]") then
    encoded = encode_by(s, set, ICONV[name] or name)
  end
  if not encoded then
    return nil, ("cannot be in the encoding '%s', which iconv does not know"):format(encoding)
  end
  return encoded
end

return M
