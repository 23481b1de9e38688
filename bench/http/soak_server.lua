-- SPDX-License-Identifier: MIT
-- bench/http/soak_server.lua: a raw HTTP/1.1 server that does to each request what its path says:
-- /FAULT/ID/SIZE/CUT. The body of a response is made of ID, so that the client sees whose it is.
--
-- Owns: the faults. Must not know: weft.http.

local weft = require "weft"

local M = {}

local HEAD_MAX = 16 * 1024
local BODY_MAX = 1024 * 1024

-- Longer than the client waits for a response that is late (see soak.lua).
local LATE = 0.2

---The body of a response.
function M.body(id, size)
  local unit = ("<%07d>"):format(id)
  return unit:rep(math.ceil(size / #unit)):sub(1, size)
end

local function head(fields, status)
  return ("HTTP/1.1 %s\r\n%s\r\n\r\n"):format(status or "200 OK", fields)
end

local function with_length(r)
  return head("Content-Length: " .. r.size) .. r.body
end

local function chunked(r)
  local parts, at = { head "Transfer-Encoding: chunked" }, 1
  while at <= r.size do
    local piece = r.body:sub(at, at + math.max(1, r.cut) - 1)
    parts[#parts + 1] = ("%x\r\n%s\r\n"):format(#piece, piece)
    at = at + #piece
  end
  parts[#parts + 1] = "0\r\n\r\n"
  return table.concat(parts)
end

-- Reads what is left of a request's body.
local function take_body(stream, r)
  if r.length then
    stream:read_exactly(r.length)
  end
  while r.is_chunked do
    local size = tonumber(stream:read_line(100):match "^%x+", 16)
    stream:read_exactly(size)
    stream:read_line(100)
    r.is_chunked = size > 0
  end
end

-- What is done to a request; the connection is kept where it returns true. The request's body has
-- been read already, but in those of UNREAD.
local faults = {}
local UNREAD = { reset = true, early = true }

function faults.ok(stream, r)
  stream:write(with_length(r))
  return true
end

function faults.chunked(stream, r)
  stream:write(chunked(r))
  return true
end

function faults.in_pieces(stream, r)
  local text = chunked(r)
  stream:write(text:sub(1, r.cut))
  weft.sleep(0)
  stream:write(text:sub(r.cut + 1))
  return true
end

function faults.until_close(stream, r)
  stream:write(head "Connection: close" .. r.body)
end

-- The client may find out when it has sent its next request.
function faults.close_after(stream, r)
  stream:write(with_length(r))
end

function faults.redirect(stream, r)
  stream:write(head(("Content-Length: 5\r\nLocation: /ok/%d/%d/%d"):format(r.id, r.size, r.cut),
    "302 Found") .. "moved")
  return true
end

function faults.informational(stream, r)
  stream:write(head("Link: </x>; rel=preload", "103 Early Hints"):rep(5) .. with_length(r))
  return true
end

function faults.flood(stream)
  stream:write(head("Link: </x>; rel=preload", "103 Early Hints"):rep(200))
end

function faults.garbage_after(stream, r)
  stream:write(with_length(r) .. "\1\2 HTTP/1.1 200 OK\r\n\r\n")
  stream:read()
end

function faults.short_length(stream, r)
  stream:write(head("Content-Length: " .. math.floor(r.size / 2)) .. r.body)
  stream:read()
end

function faults.long_length(stream, r)
  stream:write(head("Content-Length: " .. r.size + 1 + r.cut) .. r.body)
end

function faults.truncated(stream, r)
  local text = r.cut % 2 == 0 and with_length(r) or chunked(r)
  stream:write(text:sub(1, r.cut % #text))
end

-- There are bytes of the request that nobody took: the system sends a reset.
function faults.reset(stream, r)
  local text = with_length(r)
  stream:write(text:sub(1, r.cut % #text))
end

-- Answers before the request's body is in, then takes it.
function faults.early(stream, r)
  stream:write(with_length(r))
  if r.cut % 2 == 0 then
    take_body(stream, r)
    return true
  end
end

function faults.empty() end

function faults.garbage(stream, r)
  stream:write(("\0garbage %d\r\n"):format(r.id):rep(1 + r.cut % 5))
end

function faults.late(stream, r)
  weft.sleep(LATE)
  stream:write(with_length(r))
  return true
end

function faults.stalled(stream, r)
  local text = with_length(r)
  stream:write(text:sub(1, #text - 1))
  weft.sleep(LATE)
  stream:write(text:sub(-1))
  return true
end

local function read_request(stream)
  local text = stream:read_until("\r\n\r\n", HEAD_MAX)
  local fault, id, size, cut = text:match "^%u+ /([%w_]+)/(%d+)/(%d+)/(%d+) HTTP/1%.1\r\n"
  assert(faults[fault], "not a request of the client: " .. text)
  local lower = text:lower()
  local r = { fault = fault, id = tonumber(id), size = tonumber(size), cut = tonumber(cut),
    length = tonumber(lower:match "\r\ncontent%-length: *(%d+)\r\n"),
    is_chunked = lower:find("\r\ntransfer-encoding: chunked\r\n", 1, true) ~= nil }
  assert(not (r.length and r.is_chunked), "both Content-Length and Transfer-Encoding")
  assert((r.length or 0) <= BODY_MAX)
  r.body = M.body(r.id, r.size)
  return r
end

local function serve(stream)
  repeat
    local r = read_request(stream)
    if not UNREAD[r.fault] then
      take_body(stream, r)
    end
  until not faults[r.fault](stream, r)
end

-- A client that goes away, by a cancellation say, is expected; anything else is not.
local function handler(failures)
  return function(stream)
    local ok, e = weft.try(serve, stream)
    if not ok and not weft.is_error(e, "connection") then
      failures[#failures + 1] = tostring(e)
    end
  end
end

---Starts the server on a free port of the loopback interface. Returns it, its port, and a list
---of what went wrong in it, by the client's fault.
---@async
function M.start()
  local failures = {}
  local server = weft.start_server(handler(failures), { host = "127.0.0.1", port = 0 })
  local _, port = server:getsockname()
  return server, port, failures
end

---The names of the faults.
M.faults = faults

return M
