-- SPDX-License-Identifier: MIT
-- spec.http_fake: sessions whose requests are answered by the spec, without a network.
--
--     local session, seen = fake.session({ ["/a"] = { status = 302, headers = { Location = "b" } },
--       ["/b"] = "the text" })
--
-- An answer is a text, a `weft.http.Answer`, a function of the request that returns one of these,
-- or a list of them, one for each request (the last for all that follow). `seen` has the requests.
--
-- Owns: nothing.

local http = require "weft.http"

local M = {}

local function answer_of(routes, request, counts)
  local path = request.url:match("^%a+://[^/]*([^?]*)")
  local answer = routes[request.url] or routes[path] or routes.default
  if type(answer) == "table" and answer[1] ~= nil then
    counts[path] = math.min((counts[path] or 0) + 1, #answer)
    answer = answer[counts[path]]
  end
  while type(answer) == "function" do
    answer = answer(request)
  end
  if type(answer) == "string" then
    return { status = 200, body = answer }
  end
  return answer or { status = 404, body = "nothing here" }
end

-- What a request had, kept as it was.
local function noted(request)
  local body, parts = request.body, {}
  if type(body) == "function" then
    for piece in body do
      parts[#parts + 1] = piece
    end
    body = table.concat(parts)
  elseif type(body) == "table" then
    body = table.concat(body)
  end
  return { method = request.method, url = request.url, headers = request.headers:copy(),
    body = body }
end

---A session and the list of the requests that it made.
---@param routes table answers by URL or path
---@param opts table? options of the session
function M.session(routes, opts)
  local seen, counts, made = {}, {}, {}
  for name, value in pairs(opts or {}) do
    made[name] = value
  end
  function made.transport(request)
    seen[#seen + 1] = noted(request)
    return answer_of(routes, request, counts)
  end
  return http.session(made), seen
end

---A body that comes in pieces.
function M.pieces(...)
  local list, i = { ... }, 0
  return function()
    i = i + 1
    return list[i]
  end
end

return M
