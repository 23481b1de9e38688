-- SPDX-License-Identifier: MIT
-- weft.tty: terminals: is it one, how large is it, and single keys from it.
--
-- Owns: nothing. That raw mode ends with the process is src/net/tty.c's.
-- Must not know: what is drawn.

local core = require "weft.core"
local errors = require "weft.error"
local await = require "weft.await"
local options = require "weft.options"

---Terminals, for progress displays and the like. Where a descriptor is taken, an open file or
---stream is, too.
---@class weft.tty
local M = {}

local function descriptor(fd, default)
  if fd == nil then
    return default
  elseif type(fd) == "userdata" or type(fd) == "table" then
    fd = type(fd.fileno) == "function" and fd:fileno()
  end
  if type(fd) ~= "number" then
    errors.raise("type", "a descriptor, an open file or a stream expected, got " .. type(fd))
  end
  return options.count(fd, "the descriptor", 0)
end

local function result(what, fd, value, code, message)
  if value == nil then
    errors.raise("os", ("%s of descriptor %d: %s"):format(what, fd, message), { code = code })
  end
  return value, code
end

---True for a terminal.
---@param fd any? default 1, stdout
---@return boolean
function M.is_tty(fd)
  return core.tty_is(descriptor(fd, 1))
end

---How large the terminal is, in characters.
---
---Raises `os`, code "ENOTTY", if it is none.
---@param fd any? default 1, stdout
---@return integer columns
---@return integer rows
function M.size(fd)
  fd = descriptor(fd, 1)
  return result("size", fd, core.tty_size(fd))
end

---Calls of a function when a terminal changes its size. Made by `weft.tty.on_resize`.
---@class weft.tty.Resize
local Resize = {}
Resize.__index = Resize

---Ends the calls. Idempotent.
function Resize:close()
  if self._signal then
    core.signal_close(self._signal)
    self._signal = nil
  end
end

Resize.__close = Resize.close

---Has the running loop call `fn(columns, rows)` each time the terminal changes its size, as a
---callback, which cannot wait; until the result is closed or collected.
---
---Raises `state` outside a task; `os` if it is no terminal.
---@param fn fun(columns: integer, rows: integer)
---@param fd any? default 1, stdout
---@return weft.tty.Resize
function M.on_resize(fn, fd)
  options.callable(fn, "the function")
  fd = descriptor(fd, 1)
  M.size(fd)
  await._checkpoint()
  local signal = core.signal(core.running_loop(), core.signals.SIGWINCH, false, false, function()
    fn(M.size(fd))
  end)
  return setmetatable({ _signal = signal }, Resize)
end

---A terminal in raw mode: each key is there to be read at once, is not shown, and raises no
---signal, Ctrl-C neither. Collected, it is set back.
---@class weft.tty.RawMode
local RawMode = {}

local Class = core.classes.RawMode
Class.__index = RawMode

---Sets the terminal back to how it was. Idempotent.
function RawMode:close()
  core.tty_restore(self)
end

Class.__close = RawMode.close

---True until it was closed.
---@return boolean
function RawMode:is_raw()
  return core.tty_is_raw(self)
end

local function closed(self, ok, ...)
  self:close()
  if not ok then
    error((...), 0)
  end
  return ...
end

---Calls `fn(...)`, then sets the terminal back, on return, error and cancellation alike.
---
---Raises what `fn` raised.
---@async
---@param fn async fun(...): ...
---@param ... any
---@return any ... the results of fn
function RawMode:with(fn, ...)
  options.callable(fn, "the function")
  return closed(self, errors.guarded(fn, ...))
end

function Class:__tostring()
  return ("RawMode<%s>"):format(core.tty_is_raw(self) and "raw" or "closed")
end

---Sets a terminal to raw mode. It is set back by `close`, when the result is collected, and when
---the process exits, whichever comes first; only a signal that kills the process leaves it so.
---
---    weft.tty.raw():with(function() … end)
---
---Raises `os`, code "ENOTTY", if it is no terminal.
---@param fd any? default 0, stdin
---@return weft.tty.RawMode
function M.raw(fd)
  fd = descriptor(fd, 0)
  return (result("raw mode", fd, core.tty_raw(fd)))
end

return M
