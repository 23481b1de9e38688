-- SPDX-License-Identifier: MIT
-- weft.http.socks: asking a SOCKS proxy, on a connected stream, for a connection to a host:
-- versions 4, 4a and 5 (RFC 1928), with user name and password (RFC 1929).
--
-- Owns: the bytes of both versions, and what the proxies' answers mean.
-- Must not know: how the stream came to be; who closes it when this raises.
-- Invariant: not a byte behind the proxy's answer is read.

local core = require "weft.core"
local errors = require "weft.error"

local M = {}

local char = string.char

-- Sizes that a byte in front can tell.
local TEXT_MAX = 255

local function fail(message, fields)
  fields = fields or {}
  fields.phase = "proxy"
  errors.raise("proxy", "the SOCKS proxy " .. message, fields)
end

local function u16(n)
  return char((n - n % 256) / 256, n % 256)
end

--- addresses -------------------------------------------------------------------------------

local function pack_v4(text)
  local a, b, c, d = text:match("^(%d+)%.(%d+)%.(%d+)%.(%d+)$")
  return a and char(tonumber(a), tonumber(b), tonumber(c), tonumber(d))
end

-- The 16-bit groups of a part of an IPv6 address, as bytes; its end may be an IPv4 address.
local function pack_groups(text)
  local parts = {}
  for group in text:gmatch("[^:]+") do
    parts[#parts + 1] = group:find(".", 1, true) and pack_v4(group) or u16(tonumber(group, 16))
  end
  return table.concat(parts)
end

local function pack_v6(text)
  text = text:gsub("%%.*$", "") -- a scope means nothing to the proxy
  local head, tail = text:match("^(.-)::(.*)$")
  head, tail = pack_groups(head or text), pack_groups(tail or "")
  return head .. ("\0"):rep(16 - #head - #tail) .. tail
end

-- The family of a numeric address ("inet", "inet6") and its bytes; nil for a name.
local function packed(host)
  local entry = core.numeric_address(host)
  if not entry then
    return nil
  end
  return entry.family, entry.family == "inet" and pack_v4(entry.address) or pack_v6(entry.address)
end

local function check_name(host)
  if #host > TEXT_MAX or host:find("%z") then
    errors.raise("type", ("the host %q is too long for SOCKS"):format(host:sub(1, 80)),
      { code = "invalid_url", phase = "proxy" })
  end
  return host
end

--- version 4 -------------------------------------------------------------------------------

local REJECTED = 91
local REASONS_4 = {
  [91] = "refused, or failed to connect",
  [92] = "cannot reach the client's identd",
  [93] = "was told another user by the client's identd",
}

local function check_user(user)
  if user:find("%z") or #user > TEXT_MAX then
    errors.raise("type", "the user name for the SOCKS proxy is too long, or has a zero byte",
      { code = "invalid_url", phase = "proxy" })
  end
  return user
end

---Version 4; 4a if the host is a name.
local function connect_4(stream, host, port, user)
  local family, address = packed(host)
  if family == "inet6" then
    fail("cannot connect to an IPv6 address: that takes version 5", { code = "EAFNOSUPPORT" })
  end
  local name = ""
  if not address then
    address, name = "\0\0\0\1", check_name(host) .. "\0"
  end
  stream:write("\4\1", u16(port), address, check_user(user or ""), "\0", name)
  local version, status = stream:read_exactly(8):byte(1, 2)
  if version ~= 0 or status < 90 or status > 93 then
    fail(("answers what is not SOCKS 4 (%d, %d)"):format(version, status))
  elseif status >= REJECTED then
    fail(REASONS_4[status], { reply = status, address = family and host })
  end
end

--- version 5 -------------------------------------------------------------------------------

local NO_AUTH, PASSWORD, NONE_FITS = 0, 2, 255
local IPV4, NAME, IPV6 = 1, 3, 4

local REASONS_5 = {
  { "has failed" },
  { "does not allow this connection", "EACCES" },
  { "cannot reach the network", "ENETUNREACH" },
  { "cannot reach the host", "EHOSTUNREACH" },
  { "was refused the connection by the host", "ECONNREFUSED" },
  { "found the host too far away (TTL expired)", "ETIMEDOUT" },
  { "does not know the command" },
  { "does not know this type of address", "EAFNOSUPPORT" },
}

local function check_version(version)
  if version ~= 5 then
    fail(("answers what is not SOCKS 5 (%d)"):format(version))
  end
end

-- The client may have to prove who it is.
local function log_in(stream, user, password)
  if #user == 0 or #user > TEXT_MAX or #password > TEXT_MAX then
    errors.raise("type", "the user name and the password for a SOCKS proxy have 1 to 255 bytes",
      { code = "invalid_url", phase = "proxy" })
  end
  stream:write("\1", char(#user), user, char(#password), password)
  local version, status = stream:read_exactly(2):byte(1, 2)
  if version ~= 1 or status ~= 0 then
    fail("refuses the user name or the password", { reply = status })
  end
end

local function authenticate(stream, user, password)
  stream:write(user and char(5, 2, NO_AUTH, PASSWORD) or char(5, 1, NO_AUTH))
  local version, method = stream:read_exactly(2):byte(1, 2)
  check_version(version)
  if method == PASSWORD and user then
    log_in(stream, user, password or "")
  elseif method == NONE_FITS then
    fail(user and "accepts no user name and password" or "wants a user name and a password",
      { reply = method })
  elseif method ~= NO_AUTH then
    fail(("wants to authenticate in a way that was not offered (%d)"):format(method))
  end
end

-- Reads the answer, with the address from which the proxy connects, to its last byte.
local function read_reply(stream, address)
  local version, status, _, kind = stream:read_exactly(4):byte(1, 4)
  check_version(version)
  if status ~= 0 then
    local reason = REASONS_5[status] or { ("has failed (%d)"):format(status) }
    fail(reason[1], { reply = status, code = reason[2], address = address })
  end
  local size = kind == IPV4 and 4 or kind == IPV6 and 16
    or kind == NAME and stream:read_exactly(1):byte()
  if not size then
    fail(("answers with an unknown type of address (%d)"):format(kind))
  end
  stream:read_exactly(size + 2)
end

local function connect_5(stream, host, port, user, password)
  local family, address = packed(host)
  local target = family and char(family == "inet" and IPV4 or IPV6) .. address
    or char(NAME, #check_name(host)) .. host
  authenticate(stream, user, password)
  stream:write("\5\1\0", target, u16(port))
  read_reply(stream, family and host)
end

---Asks for a connection to `host` (a name, which the proxy looks up, or a numeric address), after
---which the stream leads there.
---
---Raises `proxy` (`phase` "proxy", `reply`: the proxy's number, `code` where that means one,
---`address` if the proxy did not connect to a numeric one);
---`connection` if the stream ends; `type` for what SOCKS cannot express; `cancelled`.
---@private
---@async
---@param stream weft.Stream
---@param version integer 4 or 5
---@param host string
---@param port integer
---@param user string? nil: without authentication
---@param password string?
function M.connect(stream, version, host, port, user, password)
  return (version == 4 and connect_4 or connect_5)(stream, host, port, user, password)
end

return M
