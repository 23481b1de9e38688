-- SPDX-License-Identifier: MIT
-- weft.dial: which of several addresses to connect to, by trying them (RFC 8305, "Happy
-- Eyeballs").
--
-- Owns: the order of the attempts, when the next one starts, and the end of those that lost.
-- Must not know: sockets; an attempt is a function that waits and returns a connection.
-- Invariant: when `dial` returns or raises, no attempt of its own is under way, and of the
-- connections at most the one that it returns is open.

local core = require "weft.core"
local errors = require "weft.error"
local await = require "weft.await"
local scope = require "weft.scope"
local combine = require "weft.combine"
local options = require "weft.options"

local M = {}

-- Seconds between the starts of two attempts: RFC 8305's "Connection Attempt Delay". Long
-- enough for most handshakes, short enough that nobody notices one that is not answered.
local DELAY = 0.25

---The addresses with the families taking turns, the first address' family first; those of one
---family stay in their order.
---@private
---@param addresses weft.Address[]
---@return weft.Address[]
function M.interleave(addresses)
  local first = addresses[1] and addresses[1].family
  local lists = { {}, {} }
  for _, address in ipairs(addresses) do
    local list = lists[address.family == first and 1 or 2]
    list[#list + 1] = address
  end
  local ordered = {}
  for i = 1, math.max(#lists[1], #lists[2]) do
    ordered[#ordered + 1] = lists[1][i]
    ordered[#ordered + 1] = lists[2][i]
  end
  return ordered
end

-- Ends all attempts, and waits until they have ended; a connection that one of them made,
-- perhaps in the turn in which another won, is closed.
local function end_attempts(attempts, winner)
  for _, task in ipairs(attempts) do
    core.cancel(task)
  end
  for _, task in ipairs(attempts) do
    local ok, connection = pcall(await.shield, task)
    if ok and task ~= winner and connection ~= nil then
      connection:close()
    end
  end
end

-- What the attempt failed with, as an error object that names the address.
local function failure_of(task, address)
  local e
  if task:cancelled() then
    e = errors.new("cancelled", "the attempt was cancelled")
  else
    e = task:exception()
  end
  if rawget(e, "address") == nil then
    e.address = address.address
  end
  if rawget(e, "port") == nil then
    e.port = address.port
  end
  return e
end

-- Waits until one of the attempts is done, `seconds` at most (nil: no limit). Returns the task
-- of a connection, or takes those that failed out of `running`; and whether one has failed.
local function look(running, seconds)
  local done = combine.wait(running, { timeout = seconds, return_when = "FIRST_COMPLETED" })
  for _, task in ipairs(done) do
    if core.state(task) == "returned" then
      return task, false
    end
  end
  for i = #running, 1, -1 do
    if core.is_done(running[i]) then
      table.remove(running, i)
    end
  end
  return nil, #done > 0
end

-- Starts the attempts one after the other: the next when one has failed or `delay` has passed.
-- Returns the task of the first that succeeded; nil if all failed.
local function race(addresses, attempt, delay, attempts)
  local running, next_start = {}, nil
  local loop = core.running_loop()
  while true do
    local now = core.loop_time(loop)
    if #attempts < #addresses and (not next_start or now >= next_start) then
      local task = core.create_task(attempt, addresses[#attempts + 1])
      attempts[#attempts + 1] = task
      running[#running + 1] = task
      next_start = now + delay
    end
    if #running == 0 then
      return nil
    end
    local is_last = #attempts == #addresses
    local winner, has_failed = look(running, not is_last and next_start - now or nil)
    if winner then
      return winner
    elseif has_failed then
      next_start = nil
    end
  end
end

local function same_code(list)
  for i = 2, #list do
    if list[i].code ~= list[1].code then
      return nil
    end
  end
  return list[1].code
end

local function fail(addresses, attempts, host)
  local list, parts = {}, {}
  for i, task in ipairs(attempts) do
    list[i] = failure_of(task, addresses[i])
    parts[i] = addresses[i].address
  end
  local port = addresses[1].port
  local target = host or addresses[1].address
  errors.raise("connection", ("cannot connect to %s port %s (%s)"):format(target, tostring(port),
    table.concat(parts, ", ")), { code = same_code(list), host = target, port = port,
    phase = "connect", errors = list })
end

local OPTIONS = { host = true, delay = true }

---Connects to the first of the addresses that answers. `attempt(address)` waits and returns a
---connection (with `:close()`) or raises; it runs in a task of its own, up to one for each
---address. The families take turns; the next attempt starts when one has failed, or `delay`
---seconds after the last start. The first success wins: the others are cancelled, and what
---they made is closed.
---
---Raises `connection` when all have failed, with `errors` (one for each address, in order, with
---`address` and `port`), `host`, `port`, `phase` "connect" and, if all have the same, `code`;
---`cancelled`; `state` outside a task; `type` for an empty list.
---@private
---@async
---@param addresses weft.Address[]
---@param attempt async fun(address: weft.Address): any
---@param opts {host: string?, delay: number?}? `host` for the error; `delay`: seconds, 0.25
---@return any connection
---@return weft.Address address
function M.dial(addresses, attempt, opts)
  opts = options.check(opts, OPTIONS, "dial")
  options.callable(attempt, "dial: the attempt")
  local delay = options.number(opts.delay or DELAY, "dial: the delay", 0)
  options.expect(addresses, "table", "dial: the addresses")
  if #addresses == 0 then
    errors.raise("type", "dial: there are no addresses")
  end
  await._before_wait()
  local ordered, attempts, winner = M.interleave(addresses), {}, nil
  scope.finally(function()
    winner = race(ordered, attempt, delay, attempts)
  end, function()
    end_attempts(attempts, winner)
  end)
  if not winner then
    fail(ordered, attempts, opts.host)
  end
  for i, task in ipairs(attempts) do
    if task == winner then
      return select(2, core.outcome(task)), ordered[i]
    end
  end
end

return M
