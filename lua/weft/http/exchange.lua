-- SPDX-License-Identifier: MIT
-- weft.http.exchange: from a request to the response that the script gets: middlewares,
-- credentials, retries and redirects around what the transport does.
--
-- Owns: their order: a redirect makes a new request, which goes through the middlewares; what
-- they send is retried; each attempt answers challenges.
-- Must not know: options as scripts write them; sockets.
-- Invariant: a response that the script does not get is released or closed, whatever happens.

local await = require "weft.await"
local core = require "weft.core"
local errors = require "weft.error"
local options = require "weft.options"
local redirect = require "weft.http.redirect"
local responses = require "weft.http.response"
local retry = require "weft.http.retry"
local timeouts = require "weft.http.timeouts"
local trace = require "weft.http.trace"
local transports = require "weft.http.transport"

local M = {}

local REDIRECTS = redirect.STATUSES

--- one attempt ------------------------------------------------------------------------------

-- Sends, and once more where a challenge is to be answered.
local function send_with_auth(session, request)
  local auth, transport = request.auth, session._transport
  auth:apply(request)
  local head, body = transport:send(request)
  while auth:challenged(request, head) and request:can_repeat() do
    if body then
      body:release()
    end
    request:reset_body()
    auth:apply(request)
    head, body = transport:send(request)
  end
  return head, body
end

local function send(session, request)
  if request.auth then
    return send_with_auth(session, request)
  end
  return session._transport:send(request)
end

--- retries --------------------------------------------------------------------------------

-- A pause that the whole request has no time for is none.
local function has_time(request, pause)
  return not request.deadline
    or core.loop_time(core.running_loop()) + pause < request.deadline
end

local function send_again(session, request, policy)
  local n = 1
  while true do
    local ok, head, body = errors.guarded(send, session, request)
    local pause
    if ok then
      pause = retry.after_response(policy, request, head.status, head.fields, n)
    else
      pause = retry.after_error(policy, request, head, n)
    end
    if not pause or not has_time(request, pause) then
      if ok then
        return head, body
      end
      error(head, 0)
    end
    if body then
      body:release()
    end
    session:_retried(request, not ok and head or nil, n, pause, ok and head.status or nil)
    await.sleep(pause)
    request:reset_body()
    n = n + 1
  end
end

--- one request and its response -------------------------------------------------------------

local function take_cookies(request, response)
  local jar = request.jar
  if not jar or not response.headers:has("set-cookie") then
    return
  end
  local address = response._address
  for _, value in ipairs(response.headers:getall("set-cookie")) do
    if jar._take then
      jar:_take(value, address.place)
    else
      jar:set_from_header(value, address.href)
    end
  end
end

local function one(session, request)
  local policy = request.settings.retry
  local head, body
  if policy then
    head, body = send_again(session, request, policy)
  else
    head, body = send(session, request)
  end
  local response = responses.new(request, head, body)
  request.response = response
  take_cookies(request, response)
  return response
end

local function response_of(request, value)
  if responses.is(value) then
    return value
  elseif type(value) ~= "table" then
    errors.raise("type", "a middleware must return a response, got " .. type(value))
  end
  return responses.new(request, transports.head_of(value, request.method))
end

local function through(session, request, list, i)
  local middleware = list[i]
  if not middleware then
    request:settle()
    return one(session, request)
  end
  local response = response_of(request, middleware(request, function(changed)
    if changed ~= nil and changed ~= request then
      options.expect(changed, "table", "the request")
      errors.raise("type", "a middleware must pass on the request that it got")
    end
    return through(session, request, list, i + 1)
  end))
  request.response = response
  return response
end

--- redirects ----------------------------------------------------------------------------

local function follow(session, request, response)
  if not redirect.follow(request, response) then
    return false
  end
  session._redirects = session._redirects + 1
  local history = {}
  for i, before in ipairs(request.history or {}) do
    history[i] = before
  end
  history[#history + 1] = response
  request.history = history
  if request.trace then
    request.trace("redirect", { response = response, status = response.status,
      url = response.url, method = response.method, location = request.address.real_href })
  end
  response:release()
  return true
end

local function check_status(response, how)
  if type(how) == "function" or type(how) == "table" then
    how(response)
  else
    response:raise_for_status()
  end
end

local function perform(session, request)
  local settings = request.settings
  if request.trace then
    request.trace("start", { headers = request.headers })
  end
  local response
  repeat
    if settings.middlewares then
      response = through(session, request, settings.middlewares, 1)
    else
      response = one(session, request)
    end
  until not REDIRECTS[response.status] or not settings.allow_redirects
    or not follow(session, request, response)
  if request.trace then
    request.trace("response", { response = response, headers = response.headers,
      status = response.status })
  end
  if settings.raise_for_status then
    check_status(response, settings.raise_for_status)
  end
  return response
end

-- The request has failed with `e`, which is raised again.
local function fail(request, e)
  local response = request.response
  if response then
    response:close()
  end
  request:close_body()
  request:blame(e)
  if request.trace then
    request.trace("error", { exception = e })
  end
  error(e, 0)
end

---Sends a request, and returns what came of it in the end. The limit for the whole of it begins
---now, unless it has begun.
---@private
---@async
---@param session weft.http.Session
---@param request weft.http.Request
---@param now number? by the loop's clock
---@return weft.http.Response
function M.run(session, request, now)
  local total = request.settings.total
  local hooks = request.settings.trace
  if not request.started then
    request.started = now or core.loop_time(core.running_loop() or core.default_loop())
    if total then
      request.total, request.deadline = total, request.started + total
    end
  end
  if hooks then
    request.trace = request.trace or trace.tracer(session, request, hooks)
  end
  local ok, response
  if total then
    ok, response = timeouts.try_by("total", request, request.deadline, total, perform, session,
      request)
  else
    ok, response = errors.guarded(perform, session, request)
  end
  if not ok then
    fail(request, response)
  end
  return response
end

return M
