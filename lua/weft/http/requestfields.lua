-- SPDX-License-Identifier: MIT
-- weft.http.requestfields: the header fields of requests: the defaults, the session's, the
-- request's, and which of them counts.
--
-- Owns: their order, and what a script may not set.
-- Must not know: what the other fields mean.
-- Invariant: Host comes first, unless the script gives it; nothing frames a body.

local errors = require "weft.error"
local fields = require "weft.http.fields"
local options = require "weft.options"

local M = {}

local function sorted_pairs(map)
  local list = {}
  for name, value in pairs(map) do
    if type(name) ~= "string" then
      errors.raise("type", "a header's name must be a string, got " .. type(name),
        { code = "invalid_header" })
    end
    list[#list + 1] = { name, value }
  end
  table.sort(list, function(a, b) return a[1] < b[1] end)
  return list
end

-- What a script gave as header fields, as a list of pairs.
local function pairs_of(source)
  local list = {}
  if fields.is(source) then
    for name, value in source:iter() do
      list[#list + 1] = { name, value }
    end
    return list
  elseif source[1] == nil then
    return sorted_pairs(source)
  end
  for i, pair in ipairs(source) do
    list[i] = options.expect(pair, "table", ("headers[%d]"):format(i))
  end
  return list
end

---Fields that come in the place of those of the same names; false takes them away.
---
---Raises `type` (code "invalid_header").
---@private
---@param target weft.http.Headers
---@param source table | weft.http.Headers
function M.override(target, source)
  local list = pairs_of(source)
  for _, pair in ipairs(list) do
    target:remove(options.expect(pair[1], "string", "a header's name"))
  end
  for _, pair in ipairs(list) do
    local name, value = pair[1], pair[2]
    if type(value) == "table" then
      for _, one in ipairs(value) do
        target:add(name, one)
      end
    elseif value ~= false and value ~= nil then
      target:add(name, value)
    end
  end
end

---Whether a script gave a field of this name (in lower case).
---@private
---@param source table | weft.http.Headers
---@return boolean
function M.gives(source, name)
  for _, pair in ipairs(pairs_of(source)) do
    if type(pair[1]) == "string" and pair[1]:lower() == name and pair[2] then
      return true
    end
  end
  return false
end

---The fields that all requests of a session begin with.
---@private
---@param defaults table list of pairs
---@param made table its settings
---@return weft.http.Headers
function M.defaults(defaults, made)
  local list = fields.new(defaults)
  if made.skip_auto_headers then
    for name in pairs(made.skip_auto_headers) do
      list:remove(name)
    end
  end
  if made.user_agent ~= nil then
    M.override(list, { ["User-Agent"] = made.user_agent })
  end
  if made.headers then
    M.override(list, made.headers)
  end
  for _, name in ipairs({ "Content-Length", "Transfer-Encoding" }) do
    if list:has(name) then
      errors.raise("type", ("session: the header %s cannot be set for all requests"):format(name),
        { code = "invalid_header", name = name })
    end
  end
  return list
end

-- Host first, as RFC 9110 (7.2) advises, then the session's.
local function template(session, host)
  local list = fields.new()
  list:add("Host", host)
  if session._fields:has("host") then
    list:remove("host")
  end
  for name, value in session._fields:iter() do
    list:add(name, value)
  end
  return list
end

---The fields that a request begins with: a copy of those of all requests to its host, which are
---kept with the address.
---@private
---@param session weft.http.Session
---@param address table of the session's cache
---@return weft.http.Headers
function M.initial(session, address)
  local list = address.fields
  if not list then
    list = template(session, address.host)
    address.fields = list
  end
  return list:copy()
end

---@private
function M.refuse(name, why)
  errors.raise("type", ("header \"%s\": %s"):format(name, why),
    { code = "invalid_header", name = name })
end

---The length that a script set, which is taken out: the connection writes the framing.
---
---Raises `type` (code "invalid_header").
---@private
---@param list weft.http.Headers
---@return integer?
function M.take_framing(list)
  if list:has("transfer-encoding") then
    M.refuse("Transfer-Encoding", "it cannot be set: the framing follows from the body")
  end
  local length = list:get("content-length")
  if not length then
    return nil
  elseif not length:find("^%d+$") or #list:getall("content-length") > 1 or #length > 15 then
    M.refuse("Content-Length", "it must be one whole number")
  end
  list:remove("content-length")
  return tonumber(length)
end

return M
