-- SPDX-License-Identifier: MIT
-- weft.http.pool: how many connections there may be, who gets the next one, and which are idle.
--
-- Owns: slots, and the tasks that wait for one. Idle connections are weft.http.idle's.
-- Must not know: how a connection is made, or what is said over it: it has `:is_alive()` and
-- `:close()`, and two hosts may share one (behind a proxy).
-- Invariants: in use + idle is at most `limit`, and for each host `limit_per_host`; nobody waits
-- while there is a slot that he could have; a slot that was handed over cannot be lost, because a
-- wait that was given something does not raise.

local core = require "weft.core"
local errors = require "weft.error"
local await = require "weft.await"
local collector = require "weft.http.collector"
local heap = require "weft.http.heap"
local idle = require "weft.http.idle"
local options = require "weft.options"

---Connections by key: what they have in common that can be used for the same requests.
---@private
---@class weft.http.Pool
local Pool = {}
Pool.__index = Pool

local host_of, forget_host = idle.host_of, idle.forget_host
local group_of, forget_group = idle.group_of, idle.forget_group

-- aiohttp's defaults.
local LIMIT, LIMIT_PER_HOST, KEEPALIVE_TIMEOUT = 100, 0, 15

-- How often in a row a connection goes to one who waits for its key, though another who would
-- have to make a new one waits for longer. So two hosts that compete do not close each other's
-- connections at each turn, and nobody waits for more than so many turns.
local BYPASS_MAX = 16

-- What a waiter is woken with when the pool was closed.
local CLOSED = {}

--- waiting -----------------------------------------------------------------------------------

-- A waiter is in the heap of its key, and either in `_queue`, when only the limit of all holds
-- it back, or in the heap of its host: then its host has no slot to give.
local function enqueue(self, key, name)
  self._seq = self._seq + 1
  local waiter = { seq = self._seq, name = name, group = group_of(self, key),
    list = core.waitlist() }
  local host = host_of(self, name)
  waiter.group.waiters = waiter.group.waiters or heap("_at_group")
  waiter.group.waiters:push(waiter)
  if host and host.in_use + host.queued >= self.limit_per_host then
    host.blocked = host.blocked or heap("_at_host")
    host.blocked:push(waiter)
  else
    self._queue:push(waiter)
    if host then
      host.queued = host.queued + 1
    end
  end
  self.waiting = self.waiting + 1
  collector.start(self)
  return waiter
end

-- A host has room for one more than before: its first blocked waiter now waits for the rest.
local function promote(self, name)
  local host = self.limit_per_host > 0 and self._hosts[name]
  local waiter = host and host.blocked and host.blocked:top()
  if waiter and host.in_use + host.queued < self.limit_per_host then
    host.blocked:remove(waiter)
    self._queue:push(waiter)
    host.queued = host.queued + 1
  elseif host then
    forget_host(self, name)
  end
end

-- Takes a waiter out, whatever becomes of him.
local function dequeue(self, waiter)
  if waiter.is_out then
    return
  end
  waiter.is_out = true
  self.waiting = self.waiting - 1
  if self.waiting == 0 then
    collector.stop(self)
  end
  waiter.group.waiters:remove(waiter)
  local host = self._hosts[waiter.name]
  if waiter._at_queue then
    self._queue:remove(waiter)
    if host then
      host.queued = host.queued - 1
    end
  elseif host then
    host.blocked:remove(waiter)
  end
end

-- Who is next. `group` is that of a connection that has just become idle, or nil.
local function choose(self, group)
  local waiter = self._queue:top()
  if waiter and group and waiter.group ~= group and self._bypassed < BYPASS_MAX
    and waiter.group.first > waiter.group.last and group.first <= group.last then
    local other = group.waiters and group.waiters:top()
    if other and other._at_queue then
      self._bypassed = self._bypassed + 1
      return other
    end
  end
  self._bypassed = 0
  return waiter
end

local function occupy(self, name)
  self.in_use = self.in_use + 1
  local host = host_of(self, name)
  if host then
    host.in_use = host.in_use + 1
  end
end

-- An idle connection, or false and the right to make one.
local function claim(self, group, name)
  occupy(self, name)
  local conn = idle.take(self, group)
  if conn then
    self.reused = self.reused + 1
  else
    idle.make_room(self, name)
    forget_group(self, group)
  end
  return conn
end

local function dispatch(self, group)
  while self.limit == 0 or self.in_use < self.limit do
    local waiter = choose(self, group)
    if not waiter then
      return
    end
    dequeue(self, waiter)
    if core.waiting(waiter.list) == 0 then -- broken off; his task did not run since
      promote(self, waiter.name)
      forget_group(self, waiter.group)
    else
      self._served = self._served + 1
      core.wake(waiter.list, claim(self, waiter.group, waiter.name))
    end
  end
end

local function check_open(self)
  if self.closed then
    errors.raise("closed", "the session is closed")
  end
end

---Without waiting: an idle connection; false, and the slot for a new one; nil if one has to wait.
---
---Raises `closed`.
---@private
---@param key string what a connection must have in common with the one that is needed
---@param name string the host, for the limit for each
function Pool:take(key, name)
  if self.closed or self._lost[1] then
    check_open(self)
    self:_reap()
  end
  if self.limit > 0 and self.in_use >= self.limit then
    return nil
  end
  local host = self.limit_per_host > 0 and self._hosts[name]
  if host and host.in_use + host.queued >= self.limit_per_host then
    return nil
  end
  return claim(self, group_of(self, key), name)
end

---The same, waiting for it: first come, first served, except that those who wait for a host
---that has all its connections in use hold nobody else up.
---
---Raises `closed`; `cancelled`; `state` outside a task.
---@private
---@async
function Pool:acquire(key, name)
  local conn = self:take(key, name)
  if conn ~= nil then
    return conn
  end
  await._before_wait()
  local waiter = enqueue(self, key, name)
  local ok
  ok, conn = core.park(waiter.list)
  if ok ~= true then
    dequeue(self, waiter)
    promote(self, name)
    forget_group(self, waiter.group)
    dispatch(self)
    return await._interrupted(ok)
  elseif conn == CLOSED then
    check_open(self)
  end
  return conn
end

local function vacate(self, name)
  self.in_use = self.in_use - 1
  local host = self._hosts[name]
  if host then
    host.in_use = host.in_use - 1
  end
end

---Gives a slot back whose connection is there no more, or never was.
---@private
function Pool:free(name)
  vacate(self, name)
  promote(self, name)
  dispatch(self)
end

---Gives a connection back that can be used again.
---@private
function Pool:put(conn, key, name)
  if self.closed or self.keepalive_timeout <= 0 then
    return self:discard(conn, name)
  end
  vacate(self, name)
  idle.put(self, conn, key, name)
  promote(self, name)
  if self.waiting > 0 then
    dispatch(self, conn._group)
  end
end

---Closes a connection and gives its slot back.
---@private
function Pool:discard(conn, name)
  conn:close()
  self:remove(conn)
  self:free(name)
end

-- A connection is no longer one of the pool's.
local function forget(self, conn)
  if self._open[conn] then
    self._open[conn] = nil
    self._sent = self._sent + (conn.bytes_sent or 0)
    self._received = self._received + (conn.bytes_received or 0)
  end
  if conn._group then
    forget_group(self, conn._group)
  end
end

---Notes a new connection, which `close` closes. It belongs to the loop that runs.
---
---Raises `closed`, after closing it.
---@private
function Pool:add(conn)
  if self.closed then
    conn:close()
    check_open(self)
  end
  self._loop = core.running_loop() or core.default_loop()
  conn._made = core.loop_time(self._loop)
  self._open[conn] = true
end

---Forgets a connection, whose slot is not touched.
---@private
function Pool:remove(conn)
  forget(self, conn)
end

---The bytes sent and received by all connections there were and are.
---@private
---@return integer sent
---@return integer received
function Pool:bytes()
  local sent, received = self._sent, self._received
  for conn in pairs(self._open) do
    sent, received = sent + conn.bytes_sent, received + conn.bytes_received
  end
  return sent, received
end

--- what was forgotten --------------------------------------------------------------------------

---Discards the connections that were lost.
---@private
function Pool:_reap()
  local lost = self._lost
  self._lost = {}
  for _, one in ipairs(lost) do
    self:discard(one.conn, one.name)
  end
end

local function reap(ref)
  if ref.pool then
    ref.pool:_reap()
  end
end

---Notes that a connection in use is that of an object which gives it back by `take_back` and one of
---`put`, `discard`, or by `lose`.
---@private
function Pool:lend()
  self.lent = self.lent + 1
  if self.waiting > 0 then
    collector.start(self)
  end
end

---The object has done with its connection.
---@private
function Pool:take_back()
  self.lent = self.lent - 1
end

---Notes that the object of a connection was collected: the connection will be discarded. For
---finalizers, which run in the middle of anything.
---@private
function Pool:lose(conn, name)
  self.lent = self.lent - 1
  self._lost[#self._lost + 1] = { conn = conn, name = name }
  pcall(core.callback, self._loop, nil, reap, self._weak)
end

--- all of it -----------------------------------------------------------------------------------

---Closes all connections, in use or idle; who waits for one gets `closed`. Idempotent.
---@private
function Pool:close()
  if self.closed then
    return
  end
  self.closed = true
  idle.close(self)
  local waiters = {}
  for _, group in pairs(self._groups) do
    for i = 1, group.waiters and group.waiters.count or 0 do
      waiters[#waiters + 1] = group.waiters[i]
    end
  end
  for _, waiter in ipairs(waiters) do
    dequeue(self, waiter)
    forget_host(self, waiter.name)
    core.wake(waiter.list, CLOSED)
  end
  self._groups = {}
  local open = {}
  for conn in pairs(self._open) do
    open[#open + 1] = conn
  end
  for _, conn in ipairs(open) do
    conn:close()
    forget(self, conn)
  end
end

---Counts: `open`, `idle`, `in_use` (being made too), `waiting`, and `reused`, how often an idle one
---was used.
---@private
function Pool:statistics()
  return { open = self.in_use + self.idle, idle = self.idle, in_use = self.in_use,
    waiting = self.waiting, reused = self.reused }
end

local OPTIONS = { limit = true, limit_per_host = true, keepalive_timeout = true, max_age = true }

local M = {}

---Makes a pool. Options: `limit` (connections, default 100; 0: no limit), `limit_per_host`
---(default 0: no limit), `keepalive_timeout` (seconds for which an idle one is kept, default 15;
---0: none is), `max_age` (seconds after which one is not used again; default: no limit).
---
---Raises `type` for options that cannot be.
---@private
---@return weft.http.Pool
function M.new(opts)
  opts = options.check(opts, OPTIONS, "pool")
  local function pick(name, default, check)
    return check(opts[name] == nil and default or opts[name], "pool: " .. name, 0)
  end
  local self = setmetatable({
    limit = pick("limit", LIMIT, options.count),
    limit_per_host = pick("limit_per_host", LIMIT_PER_HOST, options.count),
    keepalive_timeout = pick("keepalive_timeout", KEEPALIVE_TIMEOUT, options.number),
    max_age = opts.max_age and pick("max_age", nil, options.number),
    in_use = 0, waiting = 0, reused = 0, closed = false, _seq = 0, _bypassed = 0,
    _sent = 0, _received = 0,
    _hosts = {}, _queue = heap("_at_queue"), _open = {}, _lost = {},
  }, Pool)
  idle.init(self)
  collector.init(self)
  return self
end

return M
