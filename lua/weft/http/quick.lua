-- SPDX-License-Identifier: MIT
-- weft.http.quick: requests that say nothing but a method and a URL, in a session that adds nothing
-- to them: their header fields are the same each time, and they share them.
--
-- Owns: which requests these are, and what they share. It is kept with the address.
-- Must not know: how any other request is made (weft.http.request).
-- Invariant: what is shared is never changed: who changes a request calls `request:own()` first.

local requests = require "weft.http.request"

local setmetatable, type = setmetatable, type

local M = {}

-- What is the same for all requests of a session.
local function class_of(session)
  local made, Request = session._settings, requests._Request
  local shared = setmetatable({ settings = made, timeouts = made.timeouts, options = made.wire,
    tls = made.tls, tls_key = made.tls_key, server_hostname = made.server_hostname,
    session = session, is_replayable = true, is_idempotent = true, is_shared = true },
    { __index = Request })
  return { __index = shared, __name = Request.__name, __tostring = Request.__tostring }
end

---What a session needs for such requests; false if it has none of them.
---@private
---@param session weft.http.Session
---@return table | false
function M.of(session)
  local made = session._settings
  if made.middlewares or made.auth or made.trust_env or made.proxy or made.trace
    or made.transport then
    return false
  end
  return class_of(session)
end

-- Whether there are cookies to be sent.
local function has_cookies(jar)
  return jar and not (jar._is_empty and jar:_is_empty())
end

-- Makes a request as any other; the next ones share its message if nothing is special about it.
local function first(session, method, text)
  local request = requests.new(session, method, text)
  local address, message = request.address, request.message
  if session._addresses.new[text] == address and message.body == nil
    and request.is_idempotent and not address.auth and not request.own_cookie
    and not has_cookies(request.jar) then
    address.messages = address.messages or {}
    address.messages[method] = { method = request.method, fields = request.headers:copy(),
      length = message.length }
  end
  return request
end

---As `request.new`.
---@private
---@param session weft.http.Session
---@param method string
---@param text string | weft.url.URL
---@param opts table?
---@return weft.http.Request
function M.new(session, method, text, opts)
  local class = session._quick
  if opts ~= nil or not class or type(text) ~= "string" then
    return requests.new(session, method, text, opts)
  end
  local address = session._addresses.new[text]
  local message = address and address.messages and address.messages[method]
  local jar = session.cookie_jar or nil
  if not message or has_cookies(jar) then
    return first(session, method, text)
  end
  return setmetatable({ method = message.method, url = address.url, headers = message.fields,
    message = message, address = address, jar = jar, started = false, total = false,
    deadline = false, phase = false, response = false, connection = false }, class)
end

return M
