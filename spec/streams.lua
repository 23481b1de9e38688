-- SPDX-License-Identifier: MIT
-- spec.streams: two connected streams of each kind that there is, for specs that hold for all
-- of them.
--
-- Owns: nothing that outlives a spec but the name of a socket file.

local weft = require "weft"
local core = require "weft.core"
local support = require "spec.support"
local testing = require "weft.testing"

local M = {}

---A listener that only `accept` takes connections from, and where it listens.
function M.listen(host, port, opts)
  local listener, code = core.listen(host, port, opts or {})
  assert(listener, code and core.error_of(code))
  return listener, core.listener_name(listener)
end

---The next connection of a listener.
function M.accept(listener)
  while true do
    local stream, code = core.accept(listener, {})
    if stream then
      return stream
    end
    assert(core.error_of(code) == "EAGAIN", core.error_of(code))
    assert(core.accept_wait(listener), "interrupted")
  end
end

---A name for a socket file that does not exist.
function M.path()
  local path = os.tmpname()
  os.remove(path)
  return path
end

---Two ends of a connection over TCP.
function M.tcp(host)
  local listener, address, port = M.listen(host, 0)
  local a = weft.open_connection { host = address, port = port }
  local b = M.accept(listener)
  core.listener_close(listener)
  return a, b
end

local function unix()
  local path = M.path()
  local listener = M.listen(path)
  local a = weft.open_connection { path = path }
  local b = M.accept(listener)
  core.listener_close(listener)
  os.remove(path)
  return a, b
end

local has_v6 = pcall(function()
  core.listener_close((M.listen("::1", 0)))
end)

---All kinds: `name`, and `make()`, which gives two streams. `is_socket`: with a descriptor.
M.kinds = {
  { name = "TCP", is_socket = true, is_tcp = true, make = function()
    return M.tcp("127.0.0.1")
  end },
  { name = "a Unix socket", is_socket = true, make = unix },
  { name = "a pair", make = testing.pair },
  { name = "a pair, byte by byte", make = function()
    return testing.pair { splits = { 1 } }
  end },
  { name = "a pair for seven bytes", make = function()
    return testing.pair { capacity = 7, splits = { 3, 1, 2 } }
  end },
}
if has_v6 then -- a machine may have no IPv6
  table.insert(M.kinds, 2, { name = "TCP over IPv6", is_socket = true, is_tcp = true,
    make = function()
      return M.tcp("::1")
    end })
end

---Calls fn(a, b) with two connected streams and closes them.
function M.with(kind, fn)
  local a, b = kind.make()
  local ok, e = xpcall(fn, function(e)
    return type(e) == "string" and debug.traceback(e, 2) or e
  end, a, b)
  a:close()
  b:close()
  if not ok then
    error(e, 0)
  end
end

---Makes an `it` of fn(a, b) for each kind of stream; its name is text with %s for the kind.
function M.each(it, text, fn)
  for _, kind in ipairs(M.kinds) do
    it(text:format(kind.name), support.run(function()
      M.with(kind, function(a, b)
        fn(a, b, kind)
      end)
    end))
  end
end

---Calls fn(a, b, k) with two fresh streams for each k from 0 to n: all places of a split.
function M.at_each(kind, n, fn)
  for k = 0, n do
    M.with(kind, function(a, b)
      fn(a, b, k)
    end)
  end
end

---Starts a task that writes the strings, letting all others wait in between, and then ends
---the stream.
function M.feed(stream, ...)
  local list = { ... }
  return weft.create_task(function()
    for _, text in ipairs(list) do
      stream:write(text)
      testing.wait_all_parked()
    end
    stream:shutdown()
  end)
end

local longest = ""

---`size` bytes in which each place can be told.
function M.pattern(size)
  if #longest < size then
    local parts = {}
    for i = 0, math.ceil(size / 8) - 1 do
      parts[i + 1] = ("%08x"):format(i)
    end
    longest = table.concat(parts)
  end
  return longest:sub(1, size)
end

return M
