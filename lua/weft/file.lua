-- SPDX-License-Identifier: MIT
-- weft.file: open files, and what all work with files has in common: its errors and limits.
--
-- Owns: the errors of files. What is done is a piece of work of weft.core's on a thread, one
-- from beginning to end.
-- Must not know: how work gets to a thread and back.

local core = require "weft.core"
local errors = require "weft.error"
local await = require "weft.await"
local options = require "weft.options"

local guarded = errors.guarded
local interrupted = await._interrupted

-- What is read without a limit of the caller's: more is a mistake.
local READ_MAX = 2 ^ 30
-- Of one line: more is no text.
local LINE_MAX = 2 ^ 20
-- Read at once by read() and lines().
local CHUNK = 65536

-- Sizes and offsets go to C as whole numbers; what is larger than any file is as good as this.
local HUGE = 2 ^ 53

local M = { READ_MAX = READ_MAX }

--- errors ---------------------------------------------------------------------

local function quoted(path)
  return "'" .. tostring(path) .. "'"
end

local function fail(what, path, other, code, message, where)
  local subject = quoted(path) .. (other and " to " .. quoted(other) or "")
  local text = ("%s %s: %s"):format(what, subject, message)
  if where then
    text = text .. (" (at %s)"):format(quoted(where))
  end
  errors.raise("os", text, { code = code, path = path, other = other, where = where })
end

-- Makes results or a raise of what a piece of work gave.
local function result(what, path, other, ok, value, ...)
  if ok ~= true then
    interrupted(ok)
  end
  if value == nil then
    fail(what, path, other, ...)
  end
  return value, ...
end

local function check_path(path, name)
  if type(path) ~= "string" then
    errors.raise("type", ("the %s must be a string, got %s"):format(name or "path", type(path)))
  end
  if path:find("\0", 1, true) then
    errors.raise("type", ("the %s must not contain a NUL: %q"):format(name or "path", path),
      { code = "invalid_path" })
  end
  return path
end

local function check_max(max, default)
  if max == nil then
    return default
  end
  return math.min(options.count(max, "the limit", 0), HUGE)
end

-- As `result`, for what has a limit.
local function limited(what, path, max, ok, value, code, ...)
  if ok == true and value == nil and code == "EFBIG" then
    errors.raise("limit", ("%s %s: more than %d bytes"):format(what, quoted(path), max),
      { path = path })
  end
  return (result(what, path, nil, ok, value, code, ...))
end

M.quoted, M.result, M.limited = quoted, result, limited
M.check_path, M.check_max = check_path, check_max

--- files --------------------------------------------------------------------------

---An open file. Reading and writing begin where the one before ended, as with Lua's `io`, or
---at an offset. Several tasks may use it: the work is done piece by piece, in the order of the
---calls. A read that was cancelled does not move the position; a write that was cancelled may
---have been done in part. A file that is collected, or whose loop is closed, is closed.
---@class weft.File
local File = core.classes.File
File.__index = File

local function path_of(file)
  return (core.file_state(file))
end

local function file_result(file, what, ok, value, code, ...)
  if ok == true and value == nil and code == "EBADF" and not select(2, core.file_state(file)) then
    errors.raise("closed", ("%s %s: the file was closed"):format(what, quoted(path_of(file))),
      { path = path_of(file) })
  end
  return (result(what, path_of(file), nil, ok, value, code, ...))
end

local function check_size(size, what)
  return math.min(options.count(size, what, 0), HUGE)
end

local function check_offset(offset)
  return offset and check_size(offset, "the offset")
end

---Reads `n` bytes, less only at the end of the file, where it returns "". Without `n`: a block.
---Of a FIFO, a terminal or the like it returns what there is as soon as there is something.
---With an offset it reads there, and the position stays.
---
---Raises `os`; `closed`; `cancelled`.
---@async
---@param n integer? bytes
---@param offset integer? bytes from the beginning
---@return string
function File:read(n, offset)
  n = n == nil and CHUNK or check_size(n, "the number of bytes")
  return file_result(self, "read", core.file_read(self, n, check_offset(offset)))
end

---Reads all from the position to the end.
---
---Raises `limit` if that is more than `max`; `os`; `closed`; `cancelled`.
---@async
---@param max integer? bytes; default 1 GiB
---@return string
function File:read_all(max)
  max = check_max(max, READ_MAX)
  local ok, data, code, message = core.file_read_all(self, max)
  if code == "EFBIG" then
    return limited("read", path_of(self), max, ok, data, code)
  end
  return file_result(self, "read", ok, data, code, message)
end

---Writes all of `data`, or raises.
---
---Raises `os` ("ENOSPC", …); `closed`; `cancelled`.
---@async
---@param data string
---@param offset integer? bytes from the beginning; the position stays then
function File:write(data, offset)
  options.expect(data, "string", "the data")
  file_result(self, "write", core.file_write(self, data, check_offset(offset)))
end

---Moves the position, as Lua's `file:seek`, and returns where it is.
---
---Raises `type` for an unknown `whence`, and a place before the beginning; `os`, code "ESPIPE",
---for a FIFO or a terminal; `closed`; `cancelled`.
---@async
---@param whence ("set"|"cur"|"end")? default "cur"
---@param offset integer? bytes; default 0
---@return integer position from the beginning
function File:seek(whence, offset)
  local path, fd, position = core.file_state(self)
  if not fd then
    errors.raise("closed", ("the file %s is closed"):format(quoted(path)), { path = path })
  elseif not position then
    fail("seek", path, nil, "ESPIPE", "it has no position")
  end
  offset = offset == nil and 0 or options.count(offset, "the offset")
  if whence == "set" then
    position = 0
  elseif whence == "end" then
    position = self:stat().size
  elseif whence ~= nil and whence ~= "cur" then
    errors.raise("type", ("seek: 'set', 'cur' or 'end' expected, got %s"):format(tostring(whence)))
  end
  position = position + offset
  if position < 0 then
    errors.raise("type", "seek: before the beginning of the file")
  end
  core.file_seek(self, position)
  return math.floor(position)
end

-- The next line and the position behind it; what was read and not used is in `state`.
local function next_line(file, state)
  local _, _, position = core.file_state(file)
  if position ~= state.position then -- somebody else moved it
    state.buffer, state.from = "", 1
  end
  local searched = state.from
  while true do
    local at = state.buffer:find("\n", searched, true)
    if at or #state.buffer - state.from + 1 > state.max then
      local line = state.buffer:sub(state.from, (at or 0) - 1)
      if not at or #line > state.max then
        errors.raise("limit", ("read %s: a line of more than %d bytes")
          :format(quoted(path_of(file)), state.max), { path = path_of(file) })
      end
      state.from = at + 1
      return line, #line + 1
    end
    local rest = state.buffer:sub(state.from)
    local data = position and file:read(CHUNK, position + #rest) or not position and file:read()
    if data == "" then
      state.buffer, state.from = "", 1
      return rest ~= "" and rest or nil, #rest
    end
    searched = #rest + 1
    state.buffer, state.from = rest .. data, 1
  end
end

---Iterates over the lines from the position on, without their ends; the position is always
---behind the line that was given last.
---
---    for line in file:lines() do … end
---
---Raises, in the loop, `limit` for a line longer than `max`; `os`; `closed`; `cancelled`.
---@param max integer? bytes of a line; default 1 MiB
---@return async fun(): string? next
function File:lines(max)
  local state = { buffer = "", from = 1, max = check_max(max, LINE_MAX) }
  state.position = select(3, core.file_state(self))
  return function()
    local line, length = next_line(self, state)
    local _, fd, position = core.file_state(self)
    if position and fd then
      state.position = position + length
      core.file_seek(self, state.position)
    end
    return line
  end
end

---Waits until what was written is on the disk.
---
---Raises `os`; `closed`; `cancelled`.
---@async
---@param data_only boolean? not times and the like
function File:sync(data_only)
  file_result(self, "sync", core.file_do(self, data_only and "datasync" or "sync"))
end

---Makes the file `size` bytes long: cuts it, or adds zeros. The position stays.
---
---Raises `os`; `closed`; `cancelled`.
---@async
---@param size integer? bytes; default 0
function File:truncate(size)
  size = size == nil and 0 or check_size(size, "the size")
  file_result(self, "truncate", core.file_do(self, "truncate", size))
end

---What is known of the file.
---
---Raises `os`; `closed`; `cancelled`.
---@async
---@return weft.fs.Status
function File:stat()
  return file_result(self, "stat", core.file_do(self, "stat"))
end

---The number of the descriptor; nil once closed.
---@return integer?
function File:fileno()
  return (select(2, core.file_state(self)))
end

---True once `close` was called.
---@return boolean
function File:is_closed()
  return select(2, core.file_state(self)) == nil
end

---Closes the file. Work that is under way is ended first; what stands in line behind it raises
---`closed`. Does not wait: the descriptor is closed by a thread. To be sure that data is on the
---disk, `sync` first.
function File:close()
  core.file_close(self)
end

File.__close = File.close

local function closed(object, ok, ...)
  object:close()
  if not ok then
    error((...), 0)
  end
  return ...
end

---Calls `fn(file, ...)`, then closes the file, on return, error and cancellation alike.
---
---Raises what `fn` raised.
---@async
---@param fn async fun(file: weft.File, ...): ...
---@param ... any
---@return any ... the results of fn
function File:with(fn, ...)
  options.callable(fn, "the function")
  return closed(self, guarded(fn, self, ...))
end

function File:__tostring()
  local path, fd, position = core.file_state(self)
  return ("File<%s %s%s>"):format(fd and "open" or "closed", quoted(path),
    position and (" position=%d"):format(position) or "")
end

return M
