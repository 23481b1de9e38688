-- SPDX-License-Identifier: MIT
-- weft.http.trace: telling a script's hooks what happens to a request, and when.
--
-- Owns: which hook is called for which event.
-- Must not know: what the events mean, or who tells them.
-- Invariant: without hooks nothing is made and nothing is called.

local core = require "weft.core"
local options = require "weft.options"

local M = {}

---Hooks, by aiohttp's names. Each is called as `fn(session, context, params)`, in the task of the
---request: it may wait, and what it raises ends the request. `context` is a table of the
---request's own, in which `trace_request_ctx` is the request's option of that name. `params` has
---`method`, `url`, `time` (of the loop's clock) and what there is to tell: `headers`,
---`response`, `exception`, `chunk` or `size`, `host`, `started`.
---
---`on_event(event, fields)` is called for everything, `event` being one of "start", "queued",
---"dns", "connect", "tls", "reused", "upload", "sent", "head", "chunk", "end", "redirect",
---"retry" and "error"; a phase is told when it is over, with `started` and `time`. An "upload" is
---a piece of the body that was sent, a "chunk" one that was received; a body that streams is sent
---by a task of its own, in which the hooks for its pieces are called.
---@class weft.http.Trace
---@field on_request_start fun(session, context: table, params: table)?
---@field on_request_headers_sent fun(session, context: table, params: table)?
---@field on_request_chunk_sent fun(session, context: table, params: table)?
---@field on_response_chunk_received fun(session, context: table, params: table)?
---@field on_request_redirect fun(session, context: table, params: table)?
---@field on_request_end fun(session, context: table, params: table)?
---@field on_request_exception fun(session, context: table, params: table)?
---@field on_connection_queued_start fun(session, context: table, params: table)?
---@field on_connection_queued_end fun(session, context: table, params: table)?
---@field on_connection_create_start fun(session, context: table, params: table)?
---@field on_connection_create_end fun(session, context: table, params: table)?
---@field on_connection_reuseconn fun(session, context: table, params: table)?
---@field on_dns_resolvehost_start fun(session, context: table, params: table)?
---@field on_dns_resolvehost_end fun(session, context: table, params: table)?
---@field on_event fun(event: string, fields: table)?
local Trace = {} -- luacheck: ignore 211

-- The hooks for each event; of two, the first tells the beginning of what is over.
local SIGNALS = {
  start = { "on_request_start" },
  queued = { "on_connection_queued_start", "on_connection_queued_end" },
  dns = { "on_dns_resolvehost_start", "on_dns_resolvehost_end" },
  connect = { "on_connection_create_start", "on_connection_create_end" },
  reused = { "on_connection_reuseconn" },
  sent = { "on_request_headers_sent" },
  upload = { "on_request_chunk_sent" },
  chunk = { "on_response_chunk_received" },
  redirect = { "on_request_redirect" },
  response = { "on_request_end" },
  error = { "on_request_exception" },
}

local KNOWN = { on_event = true }
for _, names in pairs(SIGNALS) do
  for _, name in ipairs(names) do
    KNOWN[name] = true
  end
end

---The hooks of an option `trace`: a table of them, or a list of such tables.
---@private
---@param value weft.http.Trace | weft.http.Trace[]
---@param what string
---@return table[]
function M.hooks(value, what)
  options.expect(value, "table", what)
  local list = value[1] ~= nil and value or { value }
  for i, hooks in ipairs(list) do
    for name, fn in pairs(options.check(hooks, KNOWN, ("%s[%d]"):format(what, i))) do
      options.callable(fn, ("%s.%s"):format(what, name))
    end
  end
  return list
end

local function call(self, name, params)
  for i, hooks in ipairs(self.list) do
    if hooks[name] then
      hooks[name](self.session, self.contexts[i], params)
    end
  end
end

-- The same table with another time: hooks may keep what they get.
local function begun(params)
  local copy = {}
  for key, value in pairs(params) do
    copy[key] = value
  end
  copy.time = params.started or params.time
  return copy
end

local function emit(self, event, fields)
  local request = self.request
  local params = fields or {}
  params.method, params.url = params.method or request.method,
    params.url or request.address.real_href
  params.time = params.time or core.loop_time(core.running_loop())
  if event ~= "response" then
    for _, hooks in ipairs(self.list) do
      if hooks.on_event then
        hooks.on_event(event, params)
      end
    end
  end
  local names = SIGNALS[event]
  if names and names[2] then
    call(self, names[1], begun(params))
    call(self, names[2], params)
  elseif names then
    call(self, names[1], params)
  end
end

---The function by which all that has to do with a request tells what happens.
---@private
---@param session weft.http.Session
---@param request weft.http.Request
---@param list table[] as `hooks` returns them
---@return fun(event: string, fields: table?)
function M.tracer(session, request, list)
  local contexts = {}
  for i = 1, #list do
    contexts[i] = { trace_request_ctx = request.trace_request_ctx }
  end
  local self = { session = session, request = request, list = list, contexts = contexts }
  return function(event, fields)
    return emit(self, event, fields)
  end
end

return M
