-- SPDX-License-Identifier: MIT
-- spec.weft.http.hops: requests and response heads as weft.http.auth sees them, without a
-- network.
--
-- Owns: nothing.

local urls = require "weft.url"

local M = {}

local Fields = {}
Fields.__index = Fields

function Fields:getall(name)
  return self[name:lower()] or {}
end

function Fields:get(name)
  return self:getall(name)[1]
end

function Fields:set(name, value)
  self[name:lower()] = { value }
end

---Header fields: names map to values or lists of them.
function M.fields(values)
  local fields = setmetatable({}, Fields)
  for name, value in pairs(values or {}) do
    fields[name:lower()] = type(value) == "table" and value or { value }
  end
  return fields
end

---A request that is about to be sent.
function M.request(method, url, body)
  return { method = method, url = urls.parse(url),
    message = { fields = M.fields(), body = body } }
end

---What a request says of who sends it.
function M.authorization(request)
  return request.message.fields:get("Authorization")
end

---The head of a response.
function M.head(status, values)
  return { status = status, fields = M.fields(values) }
end

return M
