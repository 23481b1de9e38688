-- SPDX-License-Identifier: MIT
-- spec.weft.http.hops: requests and response heads as weft.http.auth sees them, without a
-- network.
--
-- Owns: nothing.

local fields = require "weft.http.fields"
local urls = require "weft.url"

local M = {}

---A request that is about to be sent.
function M.request(method, url, body)
  return { method = method, url = urls.parse(url),
    message = { fields = fields.new(), body = body } }
end

---What a request says of who sends it.
function M.authorization(request)
  return request.message.fields:get("Authorization")
end

---The head of a response.
function M.head(status, values)
  return { status = status, fields = fields.new(values) }
end

return M
