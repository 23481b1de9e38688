-- SPDX-License-Identifier: MIT
-- weft.process: child processes: starting, talking to, ending and waiting for them.
--
-- Owns: what becomes of a child that nobody wants any more.
-- Must not know: how a descriptor gets to a child; how streams move bytes.

local core = require "weft.core"
local errors = require "weft.error"
local await = require "weft.await"
local options = require "weft.options"
local scope = require "weft.scope"
local combine = require "weft.combine"

---@class weft
local M = {}

-- What a child may say to `communicate` when the program has set no bound.
local OUTPUT_MAX = 2 ^ 30
-- Seconds between asking a child to end and ending it.
local GRACE = 5

local names = {} -- of signals, by number
for name, number in pairs(core.signals) do
  names[number] = name
end

---A child process. One that is collected, or whose loop is closed, is killed (SIGKILL) if it
---runs, unless it was started `detached`; it is waited for in any case, so that none becomes a
---zombie.
---@class weft.Process
---@field pid integer
---@field returncode integer? once it has ended: exit status, or the negative number of a signal
---@field stdin weft.Stream? for `stdin = "pipe"`: what is written the child can read
---@field stdout weft.Stream? for `stdout = "pipe"`
---@field stderr weft.Stream? for `stderr = "pipe"`
local Process = {}

local Class = core.classes.Process

function Class:__index(key)
  if Process[key] ~= nil then
    return Process[key]
  elseif key == "pid" then
    return (core.process_state(self))
  elseif key == "returncode" then
    local _, code, signal = core.process_state(self)
    return code and (signal ~= 0 and -signal or code)
  end
  return core.process_table(self)[key]
end

function Class:__tostring()
  local code = self.returncode
  return ("Process<%s pid=%d %s>"):format(code and "ended" or "running", self.pid,
    code and "returncode=" .. code or core.process_table(self).command)
end

---Waits until the process has ended. Any number of tasks may wait. A child that writes to a pipe
---which nobody reads does not end: see `communicate`.
---
---Raises `cancelled`; `state` outside a task.
---@async
---@return {code: integer?, signal: string?} how exit status, or the signal that ended it
function Process:wait()
  local ok = core.process_wait(self)
  if ok ~= true then
    await._interrupted(ok)
  end
  local _, code, signal = core.process_state(self)
  if not code then
    errors.raise("closed", "the event loop was closed")
  elseif signal ~= 0 then
    return { signal = names[signal] or tostring(signal) }
  end
  return { code = code }
end

---Sends a signal.
---
---Raises `os`; `type` for an unknown signal.
---@param signal string|integer "SIGTERM", "SIGHUP", … or a number
---@return boolean sent false if the process has ended
function Process:send_signal(signal)
  local number = type(signal) == "number" and signal or core.signals[signal]
  if not number then
    errors.raise("type", ("no signal '%s'%s"):format(tostring(signal), type(signal) == "string"
      and (" (did you mean '%s'?)"):format(options.nearest(signal, core.signals)) or ""))
  end
  local sent, code = core.process_kill(self, number)
  if sent then
    return true
  end
  local name, message = core.error_of(code)
  if name == "ESRCH" then
    return false
  end
  return errors.raise("os", ("send a signal to %d: %s"):format(self.pid, message), { code = name })
end

---Asks it to end: sends SIGTERM.
---
---Raises `os`.
---@return boolean sent false if the process has ended
function Process:terminate()
  return self:send_signal("SIGTERM")
end

---Ends it: sends SIGKILL, or another signal.
---
---Raises `os`; `type` for an unknown signal.
---@param signal (string|integer)?
---@return boolean sent false if the process has ended
function Process:kill(signal)
  return self:send_signal(signal or "SIGKILL")
end

local function close_streams(self)
  for _, name in ipairs { "stdin", "stdout", "stderr" } do
    local stream = self[name]
    if stream then
      stream:close()
    end
  end
end

-- Ends it, politely at first; returns when it has ended.
local function put_down(self)
  close_streams(self)
  if self.returncode then
    return
  end
  self:terminate()
  if not errors.try(scope.timeout, GRACE, self.wait, self) then
    self:kill()
    self:wait()
  end
end

-- After what was done with it: a failure ends the child before it goes on.
local function settled(self, ok, ...)
  if ok then
    close_streams(self)
    return ...
  end
  local e = ...
  scope.finally(function() error(e, 0) end, function() put_down(self) end)
end

---Closes the pipes, and kills the process if it runs and is not detached. Does not wait.
function Process:close()
  close_streams(self)
  if not core.process_table(self).detached then
    self:kill()
  end
end

Class.__close = Process.close

---Calls `fn(process, ...)`. When it returns, closes the pipes and waits for the end of the
---process. On an error or a cancellation, also while waiting, the process is asked to end
---(SIGTERM), killed if it has not after 5 s, and waited for, before the error goes on.
---
---Raises what `fn` raised; `cancelled`.
---@async
---@param fn async fun(process: weft.Process, ...): ...
---@param ... any
---@return any ... the results of fn
function Process:with(fn, ...)
  options.callable(fn, "the function")
  return settled(self, errors.guarded(function(...)
    return self:_waited(fn(self, ...))
  end, ...))
end

---@private
function Process:_waited(...)
  close_streams(self)
  self:wait()
  return ...
end

-- A child need not read what it is given.
local function feed(stream, input)
  local ok, e = errors.try(stream.write, stream, input)
  stream:close()
  if not ok and not (errors.is_error(e) and (e.code == "EPIPE" or e.code == "ECONNRESET")) then
    error(e, 0)
  end
end

local function converse(self, input, max)
  local out, err
  local jobs = {}
  if self.stdin and not self.stdin:is_closed() then
    jobs[#jobs + 1] = function() feed(self.stdin, input or "") end
  end
  if self.stdout then
    jobs[#jobs + 1] = function() out = self.stdout:read_all(max) end
  end
  if self.stderr then
    jobs[#jobs + 1] = function() err = self.stderr:read_all(max) end
  end
  jobs[#jobs + 1] = function() self:wait() end
  combine.gather((table.unpack or unpack)(jobs))
  return out, err
end

---Writes `input` to the process and closes its stdin, reads its stdout and stderr to their ends,
---all at once, and waits for its end. On an error or a cancellation the process is asked to end
---(SIGTERM), killed if it has not after 5 s, and waited for, before the error goes on.
---
---Raises `limit` for more than `max` bytes; `connection`; `cancelled`.
---@async
---@param input string? default ""
---@param max integer? bytes of either; default 1 GiB
---@return string? stdout nil if it is no pipe
---@return string? stderr nil if it is no pipe
function Process:communicate(input, max)
  if input ~= nil then
    options.expect(input, "string", "the input")
    if not self.stdin or self.stdin:is_closed() then
      errors.raise("state", "communicate: the process has no open pipe for stdin")
    end
  end
  max = max == nil and OUTPUT_MAX or options.count(max, "the limit", 0)
  await._before_wait()
  return settled(self, errors.guarded(converse, self, input, max))
end

--- starting ---------------------------------------------------------------------

---How a child process is started.
---@class weft.SubprocessOptions
---@field stdin any? "inherit", "null", "pipe", an open file, a stream or a descriptor
---@field stdout any? the same
---@field stderr any? the same, or "stdout"
---@field env table<string, string>? in place of this program's environment
---@field cwd string? its directory
---@field uid integer? user
---@field gid integer? group
---@field detached boolean? lives in a session of its own, and is never killed
local OPTIONS = { stdin = "string", stdout = "string", stderr = "string", env = "table",
  cwd = "string", uid = "integer", gid = "integer", detached = "boolean" }
local NULL, PIPE, STDOUT = -1, -2, -3

-- A string for a program, in which a NUL would be its end.
local function check_string(value, what)
  if type(value) == "number" then
    value = tostring(value)
  end
  options.expect(value, "string", what)
  if value:find("\0", 1, true) then
    errors.raise("type", ("%s must not contain a NUL: %q"):format(what, value))
  end
  return value
end

-- What weft.core calls what the program said of a standard stream.
local function stdio(value, i, name)
  if value == nil or value == "inherit" then
    return i
  elseif value == "null" then
    return NULL
  elseif value == "pipe" then
    return PIPE
  elseif value == "stdout" and name == "stderr" then
    return STDOUT
  elseif type(value) == "userdata" or type(value) == "table" then
    value = type(value.fileno) == "function" and value:fileno()
  end
  if type(value) ~= "number" then
    errors.raise("type", ("%s must be 'pipe', 'inherit', 'null'%s, a descriptor or an open file")
      :format(name, name == "stderr" and ", 'stdout'" or ""))
  end
  return options.count(value, name, 0)
end

local function environment(env)
  if env == nil then
    return nil
  end
  local list = {}
  for key, value in pairs(options.expect(env, "table", "env")) do
    check_string(key, "the name of a variable")
    if key:find("=", 1, true) or key == "" then
      errors.raise("type", ("no name of a variable: %q"):format(key))
    end
    list[#list + 1] = key .. "=" .. check_string(value, "the variable " .. key)
  end
  table.sort(list)
  return list
end

local function arguments(cmd, args)
  local argv = { check_string(cmd, "the command") }
  for i, arg in ipairs(options.expect(args or {}, "table", "the arguments")) do
    argv[i + 1] = check_string(arg, "argument " .. i)
  end
  return argv
end

local function keep(process, command, detached, streams)
  local own = core.process_table(process)
  own.command, own.detached = command, detached
  for name, stream in pairs(streams) do
    if stream then
      own[name] = stream
      core.stream_table(stream).name = ("%s of %s"):format(name, command)
    end
  end
  return process
end

---Starts a program. No shell is involved: the arguments arrive as they are. The command is looked
---for along PATH (that of `env`, if given) unless it contains a slash.
---
---The child inherits no descriptors but the three that are set here, each to "inherit" (the
---default: this program's own), "null", "pipe" (a stream, `process.stdin` …), or an open file,
---stream or descriptor; `stderr` also to "stdout": where that goes. A stream that a child got is to
---be closed here, as it does not work in both. `env` replaces the whole environment. `detached`
---children live in a session of their own and are never killed by weft.
---
---Raises `os` ("ENOENT" with `path`, the command, …) if it could not be started; `type`;
---`cancelled`; `state` outside a task.
---@param cmd string
---@param args string[]? without the command itself
---@param opts weft.SubprocessOptions?
---@return weft.Process
function M.create_subprocess(cmd, args, opts)
  opts = options.check(opts, OPTIONS, "create_subprocess")
  local argv = arguments(cmd, args)
  local kinds = { stdio(opts.stdin, 0, "stdin"), stdio(opts.stdout, 1, "stdout"),
    stdio(opts.stderr, 2, "stderr") }
  local how = { env = environment(opts.env), uid = opts.uid, gid = opts.gid,
    cwd = opts.cwd and check_string(opts.cwd, "cwd"), detached = opts.detached }
  await._checkpoint()
  local process, stdin, stdout, stderr = core.spawn(cmd, argv, how, kinds)
  if not process then
    local name, message = core.error_of(stdin)
    errors.raise("os", ("start '%s'%s: %s"):format(cmd,
      opts.cwd and (" in '%s'"):format(opts.cwd) or "", message), { code = name, path = cmd })
  end
  return keep(process, cmd, opts.detached, { stdin = stdin, stdout = stdout, stderr = stderr })
end

return M
