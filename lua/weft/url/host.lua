-- SPDX-License-Identifier: MIT
-- weft.url.host: the host of a URL: a domain, an IPv4 or IPv6 address, or opaque.
--
-- Owns: what may be a host, and its one spelling. Must not know: URLs around it, name servers.
-- Invariant: a host that was parsed is parsed to itself.

local idna = require "weft.url.idna"
local percent = require "weft.url.percent"

local M = {}

local byte, find, gmatch, gsub = string.byte, string.find, string.gmatch, string.gsub
local lower, match, sub = string.lower, string.match, string.sub
local decode, encode = percent._decode, percent._encode

local FORBIDDEN = "[%z\t\n\r #/:<>?@%[\\%]^|]"
local FORBIDDEN_DOMAIN = "[%z\1-\32#/:<>?@%[\\%]^|%%\127]"

local function forbidden(s, at)
  local c = sub(s, at, at)
  return ("has a character that no host may have, %s"):format(
    find(c, "[ -~]") and ("'%s'"):format(c) or ("byte %d"):format(byte(c)))
end

--- IPv4 ------------------------------------------------------------------------------

-- The last label of a domain, its final dot aside.
local function last_label(domain)
  local stop = byte(domain, -1) == 46 and #domain - 1 or #domain
  local s = sub(domain, 1, stop)
  return match(s, "^.*%.(.*)$") or s
end

local function ends_in_number(domain)
  local label = last_label(domain)
  local first = byte(label)
  return first and first >= 48 and first <= 57
    and (find(label, "^[0-9]+$") or find(label, "^0[xX][0-9A-Fa-f]*$")) and true or false
end

-- More digits than these are too many for 32 bits in any base.
local MOST_DIGITS = 12

local function ipv4_number(part)
  local digits, base = match(part, "^0[xX](.*)$"), 16
  if not digits then
    digits, base = match(part, "^0(.+)$"), 8
  end
  if not digits then
    digits, base = part, 10
  end
  local set = base == 16 and "[^0-9A-Fa-f]" or base == 8 and "[^0-7]" or "[^0-9]"
  if find(digits, set) or part == "" then
    return nil
  end
  digits = gsub(digits, "^0+", "")
  return digits == "" and 0 or #digits > MOST_DIGITS and math.huge or tonumber(digits, base)
end

local function ipv4(domain)
  local parts, n = {}, 0
  local s = byte(domain, -1) == 46 and sub(domain, 1, -2) or domain
  for part in gmatch(s .. ".", "([^.]*)%.") do
    n = n + 1
    parts[n] = n <= 4 and ipv4_number(part)
    if not parts[n] then
      return nil, n > 4 and "has more numbers than an IPv4 address"
        or ("ends in a number, so that it is an IPv4 address, and '%s' cannot be in one")
        :format(sub(part, 1, 20))
    end
  end
  local address = parts[n]
  for i = 1, n - 1 do
    if parts[i] > 255 then
      return nil, "is an IPv4 address with a number that is too large"
    end
    address = address + parts[i] * 256 ^ (4 - i)
  end
  if parts[n] >= 256 ^ (5 - n) then
    return nil, "is an IPv4 address with a number that is too large"
  end
  return ("%d.%d.%d.%d"):format(math.floor(address / 16777216) % 256,
    math.floor(address / 65536) % 256, math.floor(address / 256) % 256, address % 256)
end

--- IPv6 ------------------------------------------------------------------------------

-- The IPv4 address at the end of one, as two pieces; decimal only, without zeros in front.
local function embedded(text)
  local numbers = { match(text, "^([0-9]+)%.([0-9]+)%.([0-9]+)%.([0-9]+)$") }
  if not numbers[1] then
    return nil
  end
  for i = 1, 4 do
    if #numbers[i] > 3 or find(numbers[i], "^0.") or tonumber(numbers[i]) > 255 then
      return nil
    end
    numbers[i] = tonumber(numbers[i])
  end
  return numbers[1] * 256 + numbers[2], numbers[3] * 256 + numbers[4]
end

-- Appends the pieces of a text with ":" between them; false if they are none.
local function add_pieces(pieces, text, may_end_in_ipv4)
  if text == "" then
    return true
  end
  local last = match(text, "([^:]*)$", math.max(1, #text - 15))
  local high, low
  if may_end_in_ipv4 and find(last, ".", 1, true) then
    high, low = embedded(last)
    text = sub(text, 1, -#last - 1)
    if not high or #text == 1 then
      return false
    end
    text = sub(text, 1, -2)
  end
  for piece in gmatch(text == "" and "" or text .. ":", "([^:]*):") do
    if not find(piece, "^[0-9A-Fa-f][0-9A-Fa-f]?[0-9A-Fa-f]?[0-9A-Fa-f]?$") then
      return false
    end
    pieces[#pieces + 1] = tonumber(piece, 16)
  end
  pieces[#pieces + 1] = high
  pieces[#pieces + 1] = low
  return true
end

-- The eight numbers of an IPv6 address, or nil.
local function ipv6_pieces(text)
  if #text > 45 then -- more than the longest spelling of one
    return nil
  end
  local pieces, tail = {}, {}
  local gap = find(text, "::", 1, true)
  if not add_pieces(pieces, gap and sub(text, 1, gap - 1) or text, not gap)
    or gap and not add_pieces(tail, sub(text, gap + 2), true) then
    return nil
  end
  local missing = 8 - #pieces - #tail
  if gap and missing < 1 or not gap and missing ~= 0 then
    return nil
  end
  for _ = 1, missing do
    pieces[#pieces + 1] = 0
  end
  for _, piece in ipairs(tail) do
    pieces[#pieces + 1] = piece
  end
  return pieces
end

-- Where the first of the longest runs of two or more zeros begins, and how long it is.
local function zeros(pieces)
  local best, best_length, from = nil, 1, nil
  for i = 1, 9 do
    if pieces[i] == 0 then
      from = from or i
    elseif from then
      if i - from > best_length then
        best, best_length = from, i - from
      end
      from = nil
    end
  end
  return best, best_length
end

local function ipv6(text)
  local pieces = ipv6_pieces(text)
  if not pieces then
    return nil, "is no IPv6 address"
  end
  local from, length = zeros(pieces)
  local words = {}
  for i = 1, 8 do
    words[i] = ("%x"):format(pieces[i])
  end
  if not from then
    return "[" .. table.concat(words, ":") .. "]"
  end
  return ("[%s::%s]"):format(table.concat(words, ":", 1, from - 1),
    table.concat(words, ":", from + length))
end

--- hosts -----------------------------------------------------------------------------

-- Whether a host is a domain as it is: most are. Nothing to decode, to lower, to refuse, and a
-- last letter that no number ends with.
local function is_plain(s)
  local last = byte(s, -1)
  return last and last > 102 and last ~= 120 and not find(s, "[^a-z0-9.-]")
    and not find(s, "xn--", 1, true)
end

local function domain(input)
  if is_plain(input) then
    return input
  end
  local s = decode(input)
  if find(s, "[\128-\255]") or find(s, "[xX][nN]%-%-") then
    local why
    s, why = idna.to_ascii(s)
    if not s then
      return nil, why
    end
  else
    s = lower(s)
  end
  if s == "" then
    return nil, "is empty"
  end
  local at = find(s, FORBIDDEN_DOMAIN)
  if at then
    return nil, forbidden(s, at)
  elseif ends_in_number(s) then
    return ipv4(s)
  end
  return s
end

---The host in its one spelling; nil and why it is none.
---@private
---@param input string
---@param is_opaque boolean of a scheme that is not special
---@return string?
---@return string?
function M.parse(input, is_opaque)
  if byte(input) == 91 then
    if byte(input, -1) ~= 93 then
      return nil, "has a '[' without its ']'"
    end
    return ipv6(sub(input, 2, -2))
  elseif not is_opaque then
    return domain(input)
  end
  local at = find(input, FORBIDDEN)
  if at then
    return nil, forbidden(input, at)
  end
  return encode(input, percent._SETS.c0_control)
end

---"ipv4", "ipv6", "domain", "opaque" or "empty"; nil for no host.
---@private
---@param host string?
---@param is_special boolean
---@return string?
function M.kind_of(host, is_special)
  if not host then
    return nil
  elseif host == "" then
    return "empty"
  elseif byte(host) == 91 then
    return "ipv6"
  elseif not is_special then
    return "opaque"
  end
  return ends_in_number(host) and "ipv4" or "domain"
end

return M
