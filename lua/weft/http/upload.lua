-- SPDX-License-Identifier: MIT
-- weft.http.upload: the bodies of requests, sent beside the reading of the response.
--
-- Owns: the task that takes a body from its source; what a body may be.
-- Must not know: responses.
-- Invariant: a source is not called any more once its exchange has ended.
--
-- In a connection it keeps `_upload` (the task), `_upload_error`, `_send_code` (what sending has
-- failed with), `_is_sent` (all that there is was given to the system) and `_is_producing` (the
-- program makes the next piece).

local core = require "weft.core"
local await = require "weft.await"
local errors = require "weft.error"
local failures = require "weft.http.failures"

local setmetatable, type = setmetatable, type

local M = {}

local function checked_piece(piece)
  if type(piece) ~= "string" then
    errors.raise("type", "the body is made of strings, got " .. type(piece),
      { code = "invalid_body" })
  end
  return piece
end

-- What is left of the length (nil: any) after a piece.
local function rest_after(piece, rest)
  if rest and #piece > rest then
    errors.raise("type", ("the body: its source gives %d bytes more than its length")
      :format(#piece - rest), { code = "invalid_body" })
  end
  return rest and rest - #piece
end

-- The next piece of the source, at the end nil.
local function produce(self, source)
  self._is_producing = true
  local piece = source()
  self._is_producing = false
  return piece
end

-- Whether an operation of sending was done. What the peer does not take is no failure yet: it
-- may have answered.
local function is_done(self, ok, done, code, what)
  if done then
    return true
  elseif ok ~= true then
    await._interrupted(ok)
  elseif what then
    error(failures.refused(code, what), 0)
  end
  self._send_code = self._send_code or code
  return false
end

local function tell_piece(self, piece)
  if self._on_piece and piece ~= "" then
    self._on_piece(piece)
  end
end

---Tells of a body that is no source, which was given to the stream at once.
---@private
function M.tell_body(self, body)
  if type(body) == "string" then
    tell_piece(self, body)
  elseif type(body) == "table" then
    for _, piece in ipairs(body) do
      tell_piece(self, piece)
    end
  end
end

-- All is sent.
local function tell(self)
  local on_sent = self._on_sent
  self._on_sent = nil
  if on_sent then
    on_sent()
  end
end

local function send_pieces(self, message)
  local h1, rest = self._h1, message.length
  if not is_done(self, core.h1_flush(h1)) then
    return
  end
  self._is_sent = rest == 0
  while true do
    if rest == 0 then
      tell(self)
    end
    local piece = produce(self, message.body)
    if piece == nil then
      break
    end
    rest = rest_after(checked_piece(piece), rest)
    self._is_sent = rest == 0 -- the response may come before the source has ended
    if not is_done(self, core.h1_write(h1, piece)) then
      return
    end
    tell_piece(self, piece)
  end
  if rest and rest > 0 then
    errors.raise("type", ("the body: its source ends %d bytes before its length"):format(rest),
      { code = "invalid_body" })
  end
  self._is_sent = true
  if rest or is_done(self, core.h1_end(h1, message.trailers)) then
    tell(self)
  end
end

-- The upload's task. Its failure is told by closing, which wakes who waits for the response; when
-- that is over, or the connection was closed, which cancels this, it has no meaning any more.
local function upload(self, message)
  local ok, e = errors.guarded(send_pieces, self, message)
  self._is_producing = false
  if not ok and not self._is_over and self.state ~= "closed" then
    self._upload_error = e
    core.h1_close(self._h1)
  end
  if not ok and errors.is_error(e, "cancelled") then
    error(e, 0)
  end
end

---The bytes of a body that is no source.
---@private
function M.size_of(body)
  if type(body) ~= "table" then
    return #checked_piece(body)
  end
  local size = 0
  for _, piece in ipairs(body) do
    size = size + #checked_piece(piece)
  end
  return size
end

-- A body as a source, for what only a source can have: trailers.
local function source_of(body)
  if type(body) == "function" then
    return body
  end
  local list, i = type(body) == "table" and body or { body }, 0
  return function()
    i = i + 1
    return list[i]
  end
end

---The message as it will be sent: a body with trailers is sent in chunks.
---@private
function M.framed(message)
  if not message.trailers or message.body == nil then
    return message
  end
  return setmetatable({ body = source_of(message.body) }, { __index = function(_, key)
    return key ~= "length" and message[key] or nil
  end })
end

---Sends the body of which the head was sent. True if it is sent already.
---@private
function M.start(self, message)
  if type(message.body) == "function" then
    self._upload = core.create_task(upload, self, message)
    core.extra(self._upload, true).name = "HTTP upload"
    return
  end
  local _, sent, code = core.h1_send(self._h1, message.body)
  self._send_code = code
  self._is_sent = true
  M.tell_body(self, message.body)
  return sent
end

---Ends the upload, whatever happens meanwhile.
---@private
---@async
function M.finish(self)
  local task = self._upload
  self._upload = nil
  if task and not core.is_done(task) then
    core.cancel(task)
    while not core.is_done(task) do
      core.await_shielded(task)
    end
  end
end

return M
