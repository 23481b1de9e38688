-- SPDX-License-Identifier: MIT
-- weft.http.idle: the idle connections of a pool: by key, the one used last first; and in the order
-- in which they came, for closing them.
--
-- Owns: the pool's fields `idle`, `_groups`, `_ring`, `_timer`, those of a connection that begin
-- with "_", and the count of idle ones of each host.
-- Must not know: who waits for a connection, but that groups with waiters stay.
-- Invariant: in a group and in the ring, the connections are in the same order.

local core = require "weft.core"

local M = {}

--- hosts and groups ------------------------------------------------------------------------

-- What is counted for a host; nothing without a limit for each.
function M.host_of(self, name)
  if self.limit_per_host == 0 then
    return nil
  end
  local host = self._hosts[name]
  if not host then
    host = { in_use = 0, queued = 0, idle = 0 }
    self._hosts[name] = host
  end
  return host
end

-- Forgets a host of which nothing is left: it has waiters only while its connections are in use.
function M.forget_host(self, name)
  local host = self._hosts[name]
  if host and host.in_use == 0 and host.queued == 0 and host.idle == 0 then
    self._hosts[name] = nil
  end
end

-- The idle connections of a key, the oldest at `first`, and those that wait for one. It stays
-- while a connection that was idle is in use, as that mostly comes back.
function M.group_of(self, key)
  local group = self._groups[key]
  if not group then
    group = { first = 1, last = 0, key = key }
    self._groups[key] = group
  end
  return group
end

function M.forget_group(self, group)
  local waiters = group.waiters
  if group.first > group.last and not (waiters and waiters:top())
    and self._groups[group.key] == group then
    self._groups[group.key] = nil
  end
end

--- idle connections ------------------------------------------------------------------------

-- A ring in the order in which they came: behind `_ring` comes the oldest. A connection has its
-- neighbours in two fields of its own.
local function link(self, conn)
  local list = self._ring
  local newest = list._older
  conn._older, conn._newer = newest, list
  newest._newer, list._older = conn, conn
  self.idle = self.idle + 1
end

local function unlink(self, conn)
  local older, newer = conn._older, conn._newer
  older._newer, newer._older = newer, older
  conn._older, conn._newer = nil, nil
  self.idle = self.idle - 1
  if self.limit_per_host > 0 then
    local host = self._hosts[conn._host]
    host.idle = host.idle - 1
    M.forget_host(self, conn._host)
  end
end

-- Takes the oldest of a group out; all idle ones but the oldest leave by the other end.
local function drop_oldest(self, conn)
  local group = conn._group
  group[group.first] = nil
  group.first = group.first + 1
  M.forget_group(self, group)
  unlink(self, conn)
  conn:close()
  self:remove(conn)
end

-- Those that were idle for too long are closed by the timer.
local function is_usable(self, conn)
  return conn:is_alive()
    and (not self.max_age or conn._made + self.max_age > core.loop_time(self._loop))
end

-- The idle connection of a group that was used last, or false; dead ones are closed.
function M.take(self, group)
  while group.first <= group.last do
    local conn = group[group.last]
    group[group.last] = nil
    group.last = group.last - 1
    unlink(self, conn)
    if is_usable(self, conn) then
      return conn
    end
    conn:close()
    self:remove(conn)
  end
  return false
end

-- The oldest idle connection that served a host.
local function oldest_of(self, name)
  local conn = self._ring._newer
  while conn ~= self._ring and conn._host ~= name do
    conn = conn._newer
  end
  return conn ~= self._ring and conn or nil
end

-- Takes a connection out of the middle of its group.
local function drop(self, conn)
  local group = conn._group
  local at = group.first
  while group[at] ~= conn do
    at = at + 1
  end
  for i = at, group.first + 1, -1 do
    group[i] = group[i - 1]
  end
  group[group.first] = conn
  drop_oldest(self, conn)
end

-- A new connection is going to be made: closes idle ones for which there is no room any more.
function M.make_room(self, name)
  while self.limit > 0 and self.idle > 0 and self.in_use + self.idle > self.limit do
    drop_oldest(self, self._ring._newer)
  end
  local host = self.limit_per_host > 0 and self._hosts[name]
  while host and host.idle > 0 and host.in_use + host.idle > self.limit_per_host do
    drop(self, oldest_of(self, name))
  end
end

--- the timer -------------------------------------------------------------------------------

local arm

-- Closes the connections that were idle for too long. One timer serves all: it is not moved
-- when the oldest is taken, and looks again when it goes off.
local function expire(ref)
  local self = ref.pool
  if not self then
    return
  end
  self._timer = nil
  local limit, conn = core.loop_time(self._loop) - self.keepalive_timeout, self._ring._newer
  while conn ~= self._ring and conn._idle_since <= limit do
    drop_oldest(self, conn)
    conn = self._ring._newer
  end
  if conn ~= self._ring then
    arm(self, conn._idle_since + self.keepalive_timeout)
  end
end

-- The loop does not keep the pool: a session that was forgotten can be collected.
function arm(self, when)
  self._timer_loop = self._loop
  self._timer = core.callback(self._loop, when, expire, self._weak)
end

function M.put(self, conn, key, name)
  local group = M.group_of(self, key)
  group.last = group.last + 1
  group[group.last] = conn
  conn._group, conn._host, conn._idle_since = group, name, core.loop_time(self._loop)
  link(self, conn)
  if self.limit_per_host > 0 then
    local host = M.host_of(self, name)
    host.idle = host.idle + 1
  end
  if not self._timer or self._timer_loop ~= self._loop then
    arm(self, conn._idle_since + self.keepalive_timeout)
  end
end

-- Closes all.
function M.close(self)
  if self._timer then
    core.callback_cancel(self._timer)
    self._timer = nil
  end
  while self._ring._newer ~= self._ring do
    drop_oldest(self, self._ring._newer)
  end
end

-- Gives a new pool its fields.
function M.init(self)
  local ring = {}
  ring._older, ring._newer = ring, ring
  self.idle, self._groups, self._ring = 0, {}, ring
  self._weak = setmetatable({ pool = self }, { __mode = "v" })
end

return M
