-- SPDX-License-Identifier: MIT
-- weft.http.collector: a full collection of garbage now and then, while a task waits for a
-- connection and responses have some that perhaps nobody will ever read.
--
-- Owns: when. A task that waits allocates nothing: without this, nothing might ever be collected.
-- Must not know: how what is collected comes back.
-- Invariant: the timer runs only while somebody waits and a body is out; who waits for what is not
-- coming is left alone in the end, so that a deadlock is found.

local core = require "weft.core"

local M = {}

-- Seconds until the first collection. The pause doubles with each that found nothing, up to
-- PAUSE_MAX: a collection of a large heap takes a while itself.
local PAUSE = 1
local PAUSE_MAX = 64

local arm

local function look(ref)
  local pool = ref.pool
  if not pool then
    return
  end
  pool._collect_timer = nil
  if pool.waiting == 0 or pool.lent == 0 then
    return
  end
  local before, served, pause = pool.lent, pool._served, pool._collect_pause
  collectgarbage()
  pool._collected = core.loop_time(core.running_loop())
  pool._collect_pause = pool.lent < before and PAUSE or math.min(pause * 2, PAUSE_MAX)
  local is_stuck = pause >= PAUSE_MAX and served == pool._served_before and pool.lent == before
  pool._served_before = served
  if not is_stuck then
    arm(pool, pool._collected + pool._collect_pause)
  end
end

-- The loop does not keep the pool: see weft.http.idle.
function arm(pool, when)
  pool._collect_timer = core.callback(core.running_loop(), when, look, pool._weak)
end

---Somebody waits, or a body is out: to be called at either.
---@private
function M.start(pool)
  if pool._collect_timer or pool.waiting == 0 or pool.lent == 0 then
    return
  end
  local now, last = core.loop_time(core.running_loop()), pool._collected
  local is_recent = last and last <= now and last + pool._collect_pause > now
  if not is_recent then
    pool._collect_pause = PAUSE
  end
  pool._served_before = pool._served
  arm(pool, is_recent and math.max(last + pool._collect_pause, now + PAUSE) or now + PAUSE)
end

---Nobody waits any more.
---@private
function M.stop(pool)
  if pool._collect_timer then
    core.callback_cancel(pool._collect_timer)
    pool._collect_timer = nil
  end
end

---Gives a new pool its fields.
---@private
function M.init(pool)
  pool.lent, pool._served, pool._served_before, pool._collect_pause = 0, 0, 0, PAUSE
end

return M
