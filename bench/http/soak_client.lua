-- SPDX-License-Identifier: MIT
-- bench/http/soak_client.lua: many requests, each with a fault of the server or none (see
-- soak_server.lua), some cancelled at a random moment. What is done is a function of the seed; when
-- it happens is not.
--
-- Owns: the requests and what may come of each. Must not know: how the process fares; that is for
-- soak.lua, and for the specs.
-- Invariant: each response is that of its own request, and each failure is one that the fault
-- explains.

local weft = require "weft"
local http = require "weft.http"

local M = {}

local WORKERS = 50
local CANCELLED = 0.1 -- of all requests
local ABANDONED = 0.01 -- of all responses are dropped with their body unread
local PATIENCE = 0.05 -- seconds, where the server is late on purpose
local TIMEOUT = 20 -- seconds otherwise: none may take as long
local UPLOAD = ("u"):rep(300000) -- more than the system's buffers and a read of the server take

-- A sequence that is the same everywhere (Park and Miller's).
local state = 1
local function random(n)
  state = state * 16807 % 2147483647
  return state % n
end

local function chance(p) return random(1000000) < p * 1000000 end

local function pick(list) return list[random(#list) + 1] end

-- ---- what may come of a fault ----

-- `true` is a whole response. A connection that is used again may turn out to be closed, and a
-- request that is not idempotent is not sent a second time: hence `connection` everywhere.
local OUTCOMES = {
  ok = { weight = 20, [true] = true, connection = true },
  chunked = { weight = 12, [true] = true, connection = true },
  in_pieces = { weight = 8, [true] = true, connection = true },
  until_close = { weight = 5, [true] = true, connection = true },
  close_after = { weight = 5, [true] = true, connection = true },
  redirect = { weight = 5, [true] = true, connection = true },
  informational = { weight = 4, [true] = true, connection = true },
  flood = { weight = 2, limit = true, protocol = true, connection = true },
  garbage_after = { weight = 4, [true] = true, connection = true },
  short_length = { weight = 4, [true] = true, connection = true },
  long_length = { weight = 4, connection = true },
  truncated = { weight = 6, connection = true },
  reset = { weight = 6, connection = true },
  early = { weight = 6, [true] = true, connection = true },
  empty = { weight = 4, connection = true },
  garbage = { weight = 4, protocol = true, connection = true },
  late = { weight = 2, timeout = true, connection = true },
  stalled = { weight = 2, timeout = true, connection = true },
  refused = { weight = 4, connection = true },
}

-- Where a failure is nothing but bad luck with a connection that is used again; how many of these
-- there may be, of the requests that GET and were not cancelled.
local BAD_LUCK_MAX = 0.02

local names = {}
for name, outcome in pairs(OUTCOMES) do
  for _ = 1, outcome.weight do
    names[#names + 1] = name
  end
end
table.sort(names) -- pairs has no order

---The names of the faults, each as often as its weight says.
M.names = names

-- ---- a request ----

local function source(size)
  local left = size
  return function()
    if left <= 0 then
      return nil
    end
    local n = math.min(left, 5000)
    left = left - n
    return ("s"):rep(n)
  end
end

local function plan(id)
  local p = { id = id, fault = pick(names), size = pick { 0, 1, 20, 500, 500, 5000, 40000, 200000 },
    cut = 1 + random(6000), read = random(6), is_abandoned = chance(ABANDONED),
    cancel_after = chance(CANCELLED) and random(40) or nil }
  local has_upload = p.fault == "reset" or p.fault == "early" or chance(0.3)
  p.method = has_upload and "POST" or "GET"
  p.upload = random(4)
  return p
end

local function upload(p)
  if p.method ~= "POST" then
    return nil
  elseif p.fault == "reset" or p.fault == "early" then
    return p.upload < 2 and UPLOAD or source(#UPLOAD)
  end
  return p.upload < 2 and UPLOAD:sub(1, p.cut) or source(p.cut)
end

-- The body, taken in one of the ways there are.
local function body_of(response, how)
  if how > 1 then
    return response:read()
  end
  local parts = {}
  for piece in how == 0 and response:iter_any() or response:iter_chunked(700) do
    parts[#parts + 1] = piece
  end
  return table.concat(parts)
end

local function expected(p)
  local body = M.server.body(p.id, p.size)
  return p.fault == "short_length" and body:sub(1, math.floor(p.size / 2)) or body
end

local function request(session, p, ports)
  local is_late = p.fault == "late" or p.fault == "stalled"
  local response = session:request(p.method, ("http://127.0.0.1:%d/%s/%d/%d/%d"):format(
    p.fault == "refused" and ports.closed or ports.open, p.fault, p.id, p.size, p.cut), {
    data = upload(p), timeout = is_late and PATIENCE or TIMEOUT })
  if p.is_abandoned then
    return "abandoned"
  elseif p.read == 5 then
    response:close()
    return "closed"
  end
  local body = body_of(response, p.read)
  assert(response.status == 200, "status " .. response.status)
  assert(body == expected(p), "the body of another request, or not all of it")
  return true
end

-- Waits a number of turns, or of milliseconds; then cancels the task.
local function cancel_later(task, after)
  for _ = 1, after < 20 and after or 0 do
    weft.sleep(0)
  end
  if after >= 20 then
    weft.sleep((after - 20) / 1000)
  end
  task:cancel()
end

-- ---- the run ----

local problems, counts, luck

local function problem(text)
  problems[#problems + 1] = text
end

local function count(p, what)
  local of_fault = counts[p.fault] or {}
  counts[p.fault] = of_fault
  of_fault[what] = (of_fault[what] or 0) + 1
end

-- true or a word for a response; the kind of an error, which has to be one that the fault explains.
local function judge(p, ok, result)
  local allowed = OUTCOMES[p.fault]
  local what = ok and result or weft.is_error(result) and result.kind or "no weft.Error"
  count(p, ok and result == true and "whole" or what)
  if what == "cancelled" and p.cancel_after then
    return
  end
  if not ok and not allowed[what] or result == true and not allowed[true] then
    problem(("request %d (%s %s, size %d, cut %d): %s"):format(p.id, p.method, p.fault, p.size,
      p.cut, ok and "a whole response" or tostring(result)))
  elseif allowed[true] and p.method == "GET" then
    luck.all = luck.all + 1
    luck.bad = luck.bad + (ok and 0 or 1)
  end
end

local function one(session, p, ports)
  if not p.cancel_after then
    judge(p, pcall(request, session, p, ports))
    return
  end
  local task = weft.create_task(request, session, p, ports)
  cancel_later(task, p.cancel_after)
  judge(p, pcall(task.await, task))
end

local next_id
local function worker(session, ports, requests, on_progress)
  while next_id < requests do
    next_id = next_id + 1
    if on_progress then
      on_progress(next_id)
    end
    one(session, plan(next_id), ports)
  end
end

-- A port on which nobody listens.
local function closed_port()
  local server = weft.start_server(function() end, { host = "127.0.0.1", port = 0 })
  local _, port = server:getsockname()
  server:close()
  server:wait_closed()
  return port
end

-- What the session says of itself when all is over.
local function check_session(session)
  for _ = 1, 10 do -- abandoned responses give their slots back when they are collected
    collectgarbage()
    weft.sleep(0.01)
  end
  local s = session:statistics()
  local words = ("reused %d, retries %d, redirects %d"):format(s.reused, s.retries, s.redirects)
  for _, name in ipairs { "in_use", "waiting" } do
    if s[name] ~= 0 then
      problem(("session: %s is %d"):format(name, s[name]))
    end
  end
  session:close()
  s = session:statistics()
  if s.open ~= 0 then
    problem(("session: %d connections are open after close"):format(s.open))
  end
  return words
end

---Makes the requests, with a server of their own. Returns what came of them: `problems`, a list of
---what must not be; `counts` by fault and outcome; `statistics`, in words.
---@async
---@param server table soak_server.lua
---@param requests integer
---@param seed integer
---@param on_progress fun(n: integer)? called with the number of each request
function M.run(server, requests, seed, on_progress)
  M.server, state, next_id = server, seed % 2147483646 + 1, 0
  problems, counts, luck = {}, {}, { all = 0, bad = 0 }
  local listener, port, failures = server.start()
  local ports = { open = port, closed = closed_port() }
  local session = http.session { limit = 30 }
  weft.task_group(function(group)
    for _ = 1, WORKERS do
      group:create_task(worker, session, ports, requests, on_progress)
    end
  end)
  local statistics = check_session(session)
  listener:close()
  listener:wait_closed()
  for i = 1, math.min(#failures, 5) do
    problem("server: " .. failures[i])
  end
  if luck.bad > luck.all * BAD_LUCK_MAX then
    problem(("%d of %d GETs failed without a fault"):format(luck.bad, luck.all))
  end
  return { problems = problems, counts = counts, statistics = statistics }
end

return M
