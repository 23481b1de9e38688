-- SPDX-License-Identifier: MIT
-- weft.http.requestcookies: the Cookie field of a request.
--
-- Owns: which of several cookies of one name is sent.
-- Must not know: what a jar does with what servers set.
-- Invariant: nothing that a script gives as a cookie can be more than one.

local errors = require "weft.error"
local setcookie = require "weft.http.setcookie"

local M = {}

local function refuse_cookie(name, why)
  errors.raise("type", ("the cookie '%s': %s"):format(tostring(name), why),
    { code = "invalid_cookie" })
end

---Cookies of an option, in the order of their names.
---
---Raises `type` (code "invalid_cookie").
---@private
---@param map table
---@return {name: string, value: string}[]
function M.given(map)
  local list = {}
  for name, value in pairs(map) do
    if type(value) == "table" then
      name, value = value.name or name, value.value
    end
    if type(name) ~= "string" or name == "" or name:find("[%c;=]") then
      refuse_cookie(name, "it has no usable name")
    elseif type(value) ~= "string" and type(value) ~= "number" then
      refuse_cookie(name, "its value must be a string, got " .. type(value))
    elseif tostring(value):find(setcookie.CONTROL) or tostring(value):find(";", 1, true) then
      refuse_cookie(name, "its value has a character that no cookie may have")
    end
    list[#list + 1] = { name = name, value = tostring(value) }
  end
  table.sort(list, function(a, b) return a.name < b.name end)
  return list
end

local function add_cookie(out, seen, cookie)
  if not seen[cookie.name] then
    out[#out + 1] = (cookie.name ~= "" and cookie.name .. "=" or "") .. cookie.value
  end
end

-- The names in a Cookie field that the script wrote.
local function names_in(text)
  local seen = {}
  for name in text:gmatch("([^=;]+)=[^;]*") do
    seen[name:match("^%s*(.-)%s*$")] = true
  end
  return seen
end

local function jar_cookies(self, jar)
  if jar._list_for then
    return not jar:_is_empty() and jar:_list_for(self.address.place, self.is_foreign) or nil
  end
  local text = jar:header_for(self.address.href)
  return text and { { name = "", value = text } } or nil
end

---Sets the Cookie field: what the script wrote itself, its option, then what the jar has beside
---them.
---@private
---@param self weft.http.Request
function M.set(self)
  local own, given = self.own_cookie, self.cookies
  local found = self.jar and jar_cookies(self, self.jar)
  if not given and not (found and found[1]) then
    return
  end
  local out, seen = { own }, own and names_in(own) or {}
  for _, cookie in ipairs(given or {}) do
    add_cookie(out, seen, cookie)
  end
  for _, cookie in ipairs(given or {}) do
    seen[cookie.name] = true
  end
  for _, cookie in ipairs(found or {}) do
    add_cookie(out, seen, cookie)
  end
  self.headers:set("Cookie", table.concat(out, "; "))
end

return M
