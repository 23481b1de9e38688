-- SPDX-License-Identifier: MIT
-- weft.http.noproxy: NO_PROXY, the list of hosts to which no proxy leads, as curl and Go have it.
--
-- Owns: what an entry may be, and when it fits. Must not know: the environment.
-- Invariant: an address is compared by its value, never as text.

local errors = require "weft.error"
local hosts = require "weft.url.host"

local M = {}

-- IPv4 in IPv6, ::ffff:a.b.c.d: the same address.
local MAPPED = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255 }

--- addresses -------------------------------------------------------------------------------

-- The bytes of the one spelling of an IPv6 address, in brackets.
local function ipv6_bytes(text)
  local head, tail = text:match("^%[(.-)::(.*)%]$")
  head = head or text:sub(2, -2)
  local bytes, after = {}, {}
  local function add(list, part)
    for piece in part:gmatch("%x+") do
      local value = tonumber(piece, 16)
      list[#list + 1] = math.floor(value / 256)
      list[#list + 1] = value % 256
    end
  end
  add(bytes, head)
  add(after, tail or "")
  for _ = 1, 16 - #bytes - #after do
    bytes[#bytes + 1] = 0
  end
  for _, byte in ipairs(after) do
    bytes[#bytes + 1] = byte
  end
  return bytes
end

local function is_mapped(bytes)
  for i, byte in ipairs(MAPPED) do
    if bytes[i] ~= byte then
      return false
    end
  end
  return true
end

-- The bytes of an address, four or sixteen; nil for what is none.
local function address_of(text)
  if text:find("^%d+%.%d+%.%d+%.%d+$") then
    local a, b, c, d = (hosts.parse(text, false) or ""):match("^(%d+)%.(%d+)%.(%d+)%.(%d+)$")
    return a and { tonumber(a), tonumber(b), tonumber(c), tonumber(d) }
  end
  local inner = text:match("^%[(.*)%]$") or text
  local canonical = inner:find(":", 1, true) and hosts.parse("[" .. inner .. "]", false)
  if not canonical then
    return nil
  end
  local bytes = ipv6_bytes(canonical)
  return is_mapped(bytes) and { bytes[13], bytes[14], bytes[15], bytes[16] } or bytes
end

-- Whether the first `bits` bits are the same.
local function has_prefix(address, prefix, bits)
  if #address ~= #prefix then
    return false
  end
  local whole = math.floor(bits / 8)
  for i = 1, whole do
    if address[i] ~= prefix[i] then
      return false
    end
  end
  local unit = 2 ^ (8 - bits % 8)
  return bits % 8 == 0
    or math.floor(address[whole + 1] / unit) == math.floor(prefix[whole + 1] / unit)
end

--- entries ---------------------------------------------------------------------------------

local function refuse(entry, name, why)
  errors.raise("type", ("%s: '%s' %s"):format(name, entry, why), { code = "invalid_no_proxy" })
end

local function network_of(entry, name)
  local text, bits = entry:match("^(.*)/(%d+)$")
  local address = text and address_of(text)
  bits = tonumber(bits)
  if not address then
    refuse(entry, name, "is neither a host nor a network such as 10.0.0.0/8")
  elseif bits > 8 * #address then
    refuse(entry, name, ("has more than the %d bits of an address"):format(8 * #address))
  end
  return { address = address, bits = bits }
end

-- The host of an entry, without its port, and the port.
local function split_port(entry, name)
  if address_of(entry) then
    return entry, nil
  end
  local host, port = entry:match("^(.*):([^:%]]*)$")
  if not host then
    return entry, nil
  end
  port = port:find("^%d%d?%d?%d?%d?$") and tonumber(port)
  if not port or port > 65535 then
    refuse(entry, name, "has no number of a port behind its ':'")
  end
  return host, port
end

local function entry_of(entry, name)
  if entry == "*" then
    return { is_all = true }
  elseif entry:find("://", 1, true) then
    refuse(entry, name, "is a URL, where a host is to be")
  elseif entry:find("/", 1, true) then
    return network_of(entry, name)
  end
  local host, port = split_port(entry, name)
  local address = address_of(host)
  if address then
    return { address = address, bits = 8 * #address, port = port }
  end
  local domain = host:lower():gsub("^%*?%.", ""):gsub("%.$", "")
  domain = domain ~= "" and hosts.parse(domain, false)
  if not domain then
    refuse(entry, name, "is neither a host nor a network such as 10.0.0.0/8")
  end
  return { domain = domain, port = port }
end

---Reads a list: hosts and networks, with commas or spaces between.
---
---Raises `type`, code "invalid_no_proxy", naming the entry that is none.
---@private
---@param text string
---@param name string of the variable, for errors
---@return table[] list for `matches`
function M.parse(text, name)
  local list = {}
  for entry in text:gmatch("[^%s,]+") do
    list[#list + 1] = entry_of(entry, name)
  end
  return list
end

--- matching --------------------------------------------------------------------------------

local function fits(entry, host, address, port)
  if entry.is_all then
    return true
  elseif entry.port and entry.port ~= port then
    return false
  elseif entry.address then
    return address and has_prefix(address, entry.address, entry.bits) or false
  end
  local domain = entry.domain
  return not address and (host == domain or host:sub(-#domain - 1) == "." .. domain)
end

---Whether a host is in the list.
---@private
---@param list table[]
---@param hostname string as in a URL: an IPv6 address is in brackets
---@param port integer
---@return boolean
function M.matches(list, hostname, port)
  local address = address_of(hostname)
  local host = hostname:gsub("%.$", "")
  for _, entry in ipairs(list) do
    if fits(entry, host, address, port) then
      return true
    end
  end
  return false
end

return M
