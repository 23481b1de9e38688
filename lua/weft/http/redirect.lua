-- SPDX-License-Identifier: MIT
-- weft.http.redirect: where a redirect leads, by which method, and whether to go there.
--
-- Owns: the rules of browsers (the Fetch Standard, HTTP-redirect fetch), and what is refused.
-- Must not know: how the next request is sent.
-- Invariant: nobody is led to another protocol, from TLS to plain text, or in circles for ever.

local addresses = require "weft.http.address"
local errors = require "weft.error"
local urls = require "weft.url"

local M = {}

local STATUSES = { [301] = true, [302] = true, [303] = true, [307] = true, [308] = true }

---True if a response of this status may be a redirect.
---@private
M.STATUSES = STATUSES

-- How much of a bad Location an error quotes.
local QUOTED = 200

local function fail(response, code, why, location, cause)
  local history = { response }
  for i, before in ipairs(response.history) do
    history[i] = before
  end
  history[#response.history + 1] = response
  errors.raise("redirect", why, { code = code, status = response.status, cause = cause,
    location = location, history = history, url = response.url, method = response.method })
end

local function target_of(request, response, location)
  local ok, url = pcall(urls.parse, location, request.url)
  if not ok then
    fail(response, "invalid_location", ("a redirect to what is no URL: \"%s\"")
      :format(location:sub(1, QUOTED)), location, url)
  elseif url.scheme ~= "http" and url.scheme ~= "https" then
    fail(response, "unsupported_scheme", ("a redirect to a %s: URL"):format(url.scheme), location)
  elseif (url.hostname or "") == "" then
    fail(response, "invalid_location", "a redirect to a URL without a host", location)
  end
  if url.fragment == nil and request.url.fragment ~= nil then
    url:set("hash", request.url.fragment)
  end
  return addresses.of(url)
end

local function is_visited(response, href)
  for _, before in ipairs(response.history) do
    if before.url == href then
      return true
    end
  end
  return response.url == href
end

local function check_count(response, settings, address, location)
  local max = settings.max_redirects or 0
  if #response.history < max then
    return
  end
  local in_circle = is_visited(response, address.href)
  fail(response, in_circle and "redirect_loop" or "too_many_redirects",
    ("more than %d redirects%s"):format(max, in_circle and ", in a circle" or ""), location)
end

-- The method of the next request, and whether it has the body.
local function method_after(status, method)
  if status == 303 and method ~= "HEAD" and method ~= "GET"
    or (status == 301 or status == 302) and method == "POST" then
    return "GET", false
  end
  return method, true
end

---Turns the request into the one that the response redirects to; returns false if there is
---nothing to follow.
---
---Raises `redirect`, with the codes "too_many_redirects", "redirect_loop", "invalid_location",
---"unsupported_scheme", "downgrade" and "body_not_replayable", and `history`, `location`,
---`status`.
---@private
---@param request weft.http.Request
---@param response weft.http.Response
---@return boolean
function M.follow(request, response)
  local location = response.headers:get("location")
  if not location then
    return false
  end
  local settings = request.settings
  local address = target_of(request, response, location)
  check_count(response, settings, address, location)
  if request.address.is_secure and not address.is_secure and not settings.allow_downgrade then
    fail(response, "downgrade", ("a redirect from https to %s, which 'allow_downgrade' would "
      .. "follow"):format(address.href), location)
  end
  local method, keeps_body = method_after(response.status, request.method)
  if keeps_body and not request:can_repeat() then
    fail(response, "body_not_replayable", ("a redirect (%d) of a request whose body cannot be "
      .. "sent a second time"):format(response.status), location)
  end
  response.method, response._address = request.method, request.address -- which change now
  request:redirect(address, method, keeps_body)
  return true
end

return M
