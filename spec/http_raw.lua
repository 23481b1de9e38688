-- SPDX-License-Identifier: MIT
-- spec.http_raw: a server on the loopback address that does what a script says, to the byte, for
-- specs of HTTP clients.
--
--     local server = raw.serve { raw.request(), "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" }
--     … connect to 127.0.0.1, server.port …
--     server:close()
--
-- A script is what is done on a connection, after which it is closed: a function(stream, reader),
-- or a list of steps, each a string to be sent, or a function(stream, reader), such as those that
-- `raw.request`, `raw.pieces` and the others make. A list of lists has a script for the first
-- connection, one for the second, …; the last one is for all that follow.
--
-- Owns: nothing beyond a server's close.

local weft = require "weft"
local M = {}

--- reading requests -------------------------------------------------------------------

---Reads requests from a stream, never more of it than is asked for, so that what is left when it
---is closed makes the system send a reset. Each head read is added to `requests`, `bodies` has
---what came with it.
---@class spec.http_raw.Reader
local Reader = {}
Reader.__index = Reader

---A reader for a stream.
function M.reader(stream, requests, bodies)
  return setmetatable({ stream = stream, requests = requests or {}, bodies = bodies or {} },
    Reader)
end

-- Exactly one byte; raises at the end of the stream.
local function byte(self)
  local c = self.stream:read(1)
  if c == "" then
    error("the client closed the connection", 0)
  end
  return c
end

---The next `n` bytes.
function Reader:exactly(n)
  local parts = {}
  while n > 0 do
    local part = self.stream:read(n)
    if part == "" then
      error("the client closed the connection", 0)
    end
    parts[#parts + 1] = part
    n = n - #part
  end
  return table.concat(parts)
end

---Up to a text, with it.
function Reader:until_text(text)
  local bytes = {}
  local tail = ""
  repeat
    local c = byte(self)
    bytes[#bytes + 1] = c
    tail = (tail .. c):sub(-#text)
  until tail == text
  return table.concat(bytes)
end

---The next head, with its empty line; nil if the client has closed in place of a request.
function Reader:head()
  local first = self.stream:read(1)
  if first == "" then
    return nil
  end
  local head = first .. self:until_text("\r\n\r\n")
  self.requests[#self.requests + 1] = head
  return head
end

---The value of a field of a head, or nil. `name` in lower case.
function M.field(head, name)
  for line in head:gmatch("[^\r\n]+") do
    local key, value = line:match("^([^:%s]+):%s*(.-)%s*$")
    if key and key:lower() == name then
      return value
    end
  end
  return nil
end

---The body in chunks, put together; and the trailers as lines.
function Reader:chunks()
  local parts = {}
  while true do
    local size = tonumber(self:until_text("\r\n"):match("^%x+"), 16)
    if size == 0 then
      break
    end
    parts[#parts + 1] = self:exactly(size)
    assert(self:exactly(2) == "\r\n", "a chunk is longer than its size")
  end
  local trailers, line = {}, self:until_text("\r\n")
  while line ~= "\r\n" do
    trailers[#trailers + 1] = line:sub(1, -3)
    line = self:until_text("\r\n")
  end
  return table.concat(parts), trailers
end

---The body that a head announces.
function Reader:body(head)
  local body
  if M.field(head, "transfer-encoding") then
    body = self:chunks()
  else
    body = self:exactly(tonumber(M.field(head, "content-length") or 0))
  end
  self.bodies[#self.requests] = body
  return body
end

---A request: its head and body; nil if the client has closed in its place.
function Reader:request()
  local head = self:head()
  if head then
    return head, self:body(head)
  end
end

--- steps ------------------------------------------------------------------------------

---Reads a request with its body.
function M.request()
  return function(_, reader)
    reader:request()
  end
end

---Reads the head of a request.
function M.head()
  return function(_, reader)
    reader:head()
  end
end

---Reads `n` bytes.
function M.bytes(n)
  return function(_, reader)
    reader:exactly(n)
  end
end

-- Lets the client read what was sent: nothing depends on its doing so.
local function settle()
  weft.sleep(0.001)
end

---Sends a text in pieces of `n` bytes, so that the client can read them one by one.
function M.pieces(text, n)
  return function(stream)
    for i = 1, #text, n do
      stream:write(text:sub(i, i + n - 1))
      settle()
    end
  end
end

---Sends a text in two pieces, the first of `k` bytes.
function M.split(text, k)
  return function(stream)
    stream:write(text:sub(1, k))
    settle()
    stream:write(text:sub(k + 1))
  end
end

---Waits for a weft.event.
function M.wait(event)
  return function()
    event:wait()
  end
end

---Sends nothing more, and reads what comes until the client closes.
function M.shutdown()
  return function(stream)
    stream:shutdown()
    while stream:read() ~= "" do end
  end
end

---Waits until the client closes, dropping what it sends.
function M.hang()
  return function(stream)
    while stream:read() ~= "" do end
  end
end

---Closes the connection so that the client gets a reset: some of what it has sent must not have
---been read. In place of reading a request, or after `raw.most()`.
function M.reset()
  return function(stream, reader)
    if not reader.has_rest then
      byte(reader)
    end
    stream:close()
  end
end

---Reads a head but for its last byte, for `raw.reset()`.
function M.most()
  return function(_, reader)
    reader.requests[#reader.requests + 1] = reader:until_text("\r\n\r") .. "\n"
    reader.has_rest = true
  end
end

---Answers requests with `answer` (a text, or a function of head, body and number) until the client
---closes.
function M.answer(answer)
  return function(stream, reader)
    local n = 0
    while true do
      local head, body = reader:request()
      if not head then
        return
      end
      n = n + 1
      stream:write(type(answer) == "function" and answer(head, body, n) or answer)
    end
  end
end

---A response: status line, fields, Content-Length, body.
function M.response(body, fields, status)
  return ("HTTP/1.1 %s\r\n%sContent-Length: %d\r\n\r\n%s"):format(status or "200 OK",
    fields or "", #body, body)
end

---A text as a body in chunks of `n` bytes, with its end; trailers as text, with line ends.
function M.chunked(text, n, trailers)
  local parts = {}
  for i = 1, #text, n do
    local piece = text:sub(i, i + n - 1)
    parts[#parts + 1] = ("%x\r\n%s\r\n"):format(#piece, piece)
  end
  return table.concat(parts) .. "0\r\n" .. (trailers or "") .. "\r\n"
end

--- serving ----------------------------------------------------------------------------

---Does the steps of a script on a stream.
function M.play(script, stream, reader)
  if type(script) == "function" then
    return script(stream, reader)
  end
  for _, step in ipairs(script) do
    if type(step) == "string" then
      stream:write(step)
    else
      step(stream, reader)
    end
  end
end

---@class spec.http_raw.Server
---@field port integer
---@field requests string[] the heads of the requests read so far
---@field bodies string[] their bodies, where they were read, by the same numbers
---@field connections integer how many have come
---@field errors any[] what scripts have raised, but for their cancellation
local Server = {}
Server.__index = Server

---Stops it, breaks off its scripts and waits until its connections are closed.
function Server:close()
  self._server:shutdown(0)
end

local function script_for(script, n)
  if type(script) == "table" and type(script[1]) == "table" then
    return script[math.min(n, #script)]
  end
  return script
end

---Starts a server on 127.0.0.1. Options: those of weft.start_server (`tls`).
function M.serve(script, opts)
  local self = setmetatable({ requests = {}, bodies = {}, connections = 0, errors = {} }, Server)
  local all = { host = "127.0.0.1", port = 0 }
  for key, value in pairs(opts or {}) do
    all[key] = value
  end
  self._server = weft.start_server(function(stream)
    self.connections = self.connections + 1
    local ok, e = weft.try(M.play, script_for(script, self.connections), stream,
      M.reader(stream, self.requests, self.bodies))
    if not ok then
      self.errors[#self.errors + 1] = e
    end
  end, all)
  self.port = select(2, self._server:getsockname())
  return self
end

return M
