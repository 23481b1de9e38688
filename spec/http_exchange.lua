-- SPDX-License-Identifier: MIT
-- spec.http_exchange: a connection whose server is the other end of a pair in memory, for the
-- specs of weft.http.connection.
--
-- Owns: nothing that outlives a spec.

local weft = require "weft"
local connection = require "weft.http.connection"
local fields = require "weft.http.fields"
local raw = require "spec.http_raw"
local testing = require "weft.testing"

local M = {}

local function bytes(hex)
  return (hex:gsub("%x%x", function(pair)
    return string.char(tonumber(pair, 16))
  end))
end

---"hello hello hello" by gzip, as Python's gzip.compress(…, mtime=0) gives it.
M.GZIP_HELLO = bytes "1f8b0800000000000203cb48cdc9c957c84090008088f9e511000000"

M.tasks = {} -- of the servers of the spec that runs

---A message without a body.
function M.request(method, body, more)
  local message = { method = method or "GET", target = "/", fields = fields.new { Host = "h" },
    body = body }
  for key, value in pairs(more or {}) do
    message[key] = value
  end
  return message
end

---Calls fn(conn, peer, stream) with a connection and the other end of its pair; closes both.
---Options: those of testing.pair for what the connection receives; `limits`, the connection's.
function M.with(fn, opts)
  opts = opts or {}
  local a, peer = testing.pair { a = { splits = opts.splits, capacity = opts.capacity,
    delay = opts.delay }, b = opts.b }
  local conn = connection.new(a, opts.limits)
  local ok, e = xpcall(fn, function(e)
    return type(e) == "string" and debug.traceback(e, 2) or e
  end, conn, peer, a)
  conn:close()
  a:close()
  peer:close()
  for _, task in ipairs(M.tasks) do
    task:cancel()
    weft.try(weft.shield, task)
  end
  M.tasks = {}
  if not ok then
    error(e, 0)
  end
end

---Starts a task that reads a request with its body, then sends the texts, each 1 ms after the one
---before; and, if it `ends`, the end of the stream.
function M.answer(peer, ends, ...)
  local texts = { ... }
  M.tasks[#M.tasks + 1] = weft.create_task(function()
    raw.reader(peer):request()
    for i, text in ipairs(texts) do
      weft.sleep(i > 1 and 0.001 or 0)
      if text ~= "" then
        peer:write(text)
      end
    end
    if ends then
      peer:shutdown()
    end
  end)
end

return M
