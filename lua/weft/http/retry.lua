-- SPDX-License-Identifier: MIT
-- weft.http.retry: whether a request that failed is made again, and when.
--
-- Owns: the policy: which failures are worth another attempt, and the pauses between them.
-- Must not know: how a request is sent.
-- Invariant: without a policy nothing is made again; a cancellation never is.

local core = require "weft.core"
local errors = require "weft.error"
local httpdate = require "weft.http.httpdate"
local options = require "weft.options"

local M = {}

-- Pauses in seconds: the first one, what they double up to, and the longest that a server may
-- ask for: who waits longer wants to know of it.
local BACKOFF = 0.5
local BACKOFF_MAX = 30
local RETRY_AFTER_MAX = 60

-- How much of a pause is left to chance, so that clients that failed together do not come back
-- together.
local JITTER = 0.5

local ATTEMPTS = 3

-- "Not now", "not from here": what another attempt may mend.
local STATUSES = { 429, 500, 502, 503, 504 }

-- What may be done twice (RFC 9110, section 9.2.2).
local METHODS = { "GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE" }

-- Failures of the way there, not of the request.
local KINDS = { connection = true, dns = true, timeout = true, proxy = true }

local KNOWN = { attempts = true, backoff = true, max_backoff = true, jitter = true,
  statuses = true, methods = true, respect_retry_after = true, max_retry_after = true }

---How failed requests are made again. A pause is `backoff` seconds before the second attempt
---and twice the one before from then on, `jitter` of it (0 to 1) by chance; or what the server
---asks for in Retry-After. A server that asks for more than `max_retry_after` gets no further
---attempt.
---@class weft.http.Retry
---@field attempts integer? how often at most, with the first; default 3
---@field backoff number? seconds; default 0.5
---@field max_backoff number? seconds; default 30
---@field jitter number? default 0.5
---@field statuses integer[]? default 429, 500, 502, 503, 504
---@field methods string[]? default GET, HEAD, OPTIONS, TRACE, PUT, DELETE
---@field respect_retry_after boolean? default true
---@field max_retry_after number? seconds; default 60
local Retry = {} -- luacheck: ignore 211

local function set_of(list, what, check)
  local set = {}
  for i, item in ipairs(options.expect(list, "table", what)) do
    set[check(item, ("%s[%d]"):format(what, i))] = true
  end
  return set
end

local function method(value, what)
  return options.expect(value, "string", what):upper()
end

local function status(value, what)
  return options.count(value, what, 100)
end

local function number(opts, name, default, what)
  local value = opts[name]
  return options.number(value == nil and default or value, ("%s.%s"):format(what, name), 0)
end

---The policy of an option `retry`: true, how many attempts, or a table.
---@private
---@param value boolean | integer | weft.http.Retry
---@param what string
---@return table
function M.policy(value, what)
  if type(value) == "number" then
    value = { attempts = value }
  end
  local opts = options.check(value ~= true and value or {}, KNOWN, what)
  return {
    attempts = options.count(opts.attempts or ATTEMPTS, what .. ".attempts", 1),
    backoff = number(opts, "backoff", BACKOFF, what),
    max_backoff = number(opts, "max_backoff", BACKOFF_MAX, what),
    jitter = math.min(number(opts, "jitter", JITTER, what), 1),
    statuses = set_of(opts.statuses or STATUSES, what .. ".statuses", status),
    methods = set_of(opts.methods or METHODS, what .. ".methods", method),
    respect_retry_after = opts.respect_retry_after ~= false,
    max_retry_after = number(opts, "max_retry_after", RETRY_AFTER_MAX, what),
  }
end

-- A number from 0 to 1, different in each process.
local function chance()
  local a, b, c = core.random_bytes(3):byte(1, 3)
  return (a * 65536 + b * 256 + c) / 16777215
end

---Seconds before the attempt after the `n`-th.
---@private
function M.backoff(policy, n)
  local pause = math.min(policy.backoff * 2 ^ (n - 1), policy.max_backoff)
  return pause * (1 - policy.jitter * chance())
end

---Seconds that a response asks to wait, or nil.
---@private
---@param headers weft.http.Headers
---@param now number? seconds since 1970
function M.retry_after(headers, now)
  local value = headers:get("retry-after")
  local seconds = value and value:match("^%s*(%d+)%s*$")
  if seconds then
    return tonumber(seconds)
  end
  local date = value and httpdate.parse(value)
  return date and math.max(date - (now or os.time()), 0) or nil
end

local function may_repeat(policy, request, n)
  return n < policy.attempts and policy.methods[request.method] and request:can_repeat()
end

---The pause before the next attempt after an error in the `n`-th, or nil for none.
---@private
function M.after_error(policy, request, e, n)
  if not errors.is_error(e) or not KINDS[e.kind] or e.timeout == "total" or e.status
    or not may_repeat(policy, request, n) then
    return nil
  end
  return M.backoff(policy, n)
end

---The pause before the next attempt after a response to the `n`-th, or nil for none.
---@private
function M.after_response(policy, request, code, headers, n)
  if not policy.statuses[code] or not may_repeat(policy, request, n) then
    return nil
  end
  local asked = policy.respect_retry_after and M.retry_after(headers)
  if not asked then
    return M.backoff(policy, n)
  end
  return asked <= policy.max_retry_after and asked or nil
end

return M
