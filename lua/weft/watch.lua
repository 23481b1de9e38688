-- SPDX-License-Identifier: MIT
-- weft.watch: what happens to files, as events that a task waits for.
--
-- Owns: the errors. The queue of events is src/net/fswatch.c's.
-- Must not know: what the events are for.

local core = require "weft.core"
local errors = require "weft.error"
local await = require "weft.await"
local options = require "weft.options"
local files = require "weft.file"

---@class weft.fs
local M = {}

-- Events that nobody took yet: what a busy directory has in the time of a slow step.
local EVENTS_MAX = 1024

---What happened to a file. `kind` is "change" (it was written, or its permissions were changed),
---"rename" (it came, went, or got another name), or "overflow" (more happened than the queue held:
---look at everything again). `name` is that of the file in the directory that is watched, or of the
---file itself.
---@alias weft.fs.Event {kind: string, name: string?}

---The events of a file or a directory. Made by `weft.fs.watch`. One that is collected is closed.
---@class weft.fs.Watch
local Watch = {}

local Class = core.classes.Watch
Class.__index = Watch

local function closed(self)
  return select(2, core.watch_path(self)) == false
end

local function fail(self, code, message)
  local path = core.watch_path(self)
  if not code then
    errors.raise("closed", ("the watch of %s is closed"):format(files.quoted(path)),
      { path = path })
  end
  errors.raise("os", ("watch %s: %s"):format(files.quoted(path), message),
    { code = code, path = path })
end

---Waits for the next event. One that a cancelled wait did not get stays.
---
---Raises `closed`; `os`; `cancelled`; `state` while another task waits.
---@async
---@return weft.fs.Event
function Watch:next()
  local ok, kind, name, message = core.watch_next(self)
  if ok ~= true then
    await._interrupted(ok)
  elseif not kind then
    fail(self, name, message)
  end
  return { kind = kind, name = name ~= "" and name or nil }
end

---An iterator over the events as they come: `for event in watch:iter()`. Ends when the watch is
---closed; each step waits, and raises as `watch:next`.
---@return async fun(): weft.fs.Event?
function Watch:iter()
  return function()
    if closed(self) then
      return nil
    end
    local ok, e = errors.try(self.next, self)
    if ok then
      return e
    elseif not errors.is_error(e, "closed") then
      error(e, 0)
    end
  end
end

---Ends it; who waits gets `closed`. Idempotent.
function Watch:close()
  core.watch_close(self)
end

Class.__close = Watch.close

local function closing(self, ok, ...)
  self:close()
  if not ok then
    error((...), 0)
  end
  return ...
end

---Calls `fn(watch, ...)`, then closes the watch, on return, error and cancellation alike.
---
---Raises what `fn` raised.
---@async
---@param fn async fun(watch: weft.fs.Watch, ...): ...
---@param ... any
---@return any ... the results of fn
function Watch:with(fn, ...)
  options.callable(fn, "the function")
  return closing(self, errors.guarded(fn, self, ...))
end

function Class:__tostring()
  local path, is_open = core.watch_path(self)
  return ("Watch<%s %s>"):format(is_open and "open" or "closed", files.quoted(path))
end

local OPTIONS = { max = "integer" }

---Watches a file, or what is directly in a directory.
---
---Raises `os` ("ENOENT", …); `type`; `cancelled`; `state` outside a task.
---@param path string
---@param opts {max: integer?}? max: how many events are kept until they are taken; default 1024
---@return weft.fs.Watch
function M.watch(path, opts)
  files.check_path(path)
  opts = options.check(opts, OPTIONS, "watch")
  local max = options.count(opts.max == nil and EVENTS_MAX or opts.max, "max", 1)
  await._checkpoint()
  local watch, code, message = core.watch_new(path, math.min(max, 2 ^ 31 - 1))
  if not watch then
    errors.raise("os", ("watch %s: %s"):format(files.quoted(path), message),
      { code = code, path = path })
  end
  return watch
end

return M
