-- SPDX-License-Identifier: MIT
-- weft.fs: files and directories, without holding up the loop.
--
-- Owns: the errors of all that, and what is made of the pieces of work that weft.core
-- does on threads (open, read, …; each is one piece from beginning to end).
-- Must not know: how work gets to a thread and back.

local core = require "weft.core"
local errors = require "weft.error"
local await = require "weft.await"
local options = require "weft.options"
local scope = require "weft.scope"

local guarded = errors.guarded
local unpack = table.unpack or unpack
local pack = table.pack or function(...)
  return { n = select("#", ...), ... }
end
local interrupted = await._interrupted
local flags = core.open_flags

---Files and directories. The work is done by a few threads of libuv's (four; the environment
---variable `UV_THREADPOOL_SIZE` says otherwise), so that the loop never waits for a disk.
---
---Errors have the kind `os`, `code` ("ENOENT", "EACCES", …) and `path`. A path with a NUL is
---refused with `type`. Work that is cancelled leaves nothing open and nothing temporary behind,
---but what it did before is done.
---@class weft.fs
local M = {}

-- What is read without a limit of the caller's: more is a mistake.
local READ_MAX = 2 ^ 30
-- Of one line: more is no text.
local LINE_MAX = 2 ^ 20
-- Read at once by read() and lines().
local CHUNK = 65536

local DEFAULT_PERMS = 438 -- 0666, less the umask
local DIRECTORY_PERMS = 511 -- 0777

---@class weft.fs.Stat what is known of a file
---@field type "file"|"directory"|"link"|"fifo"|"socket"|"char"|"block"|"unknown"
---@field size integer bytes
---@field mode integer permissions, as for `weft.fs.chmod`
---@field uid integer
---@field gid integer
---@field nlink integer names it has
---@field ino integer
---@field dev integer
---@field blocks integer of 512 bytes
---@field blksize integer
---@field atime number seconds since 1970: last read
---@field mtime number last written
---@field ctime number last changed in any way
---@field birthtime number made, where the system knows it

---@class weft.fs.Entry what stands in a directory
---@field name string
---@field type "file"|"directory"|"link"|"fifo"|"socket"|"char"|"block"|"unknown"

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

local function call(what, path, fields)
  check_path(path)
  fields = fields or {}
  return result(what, path, fields.other, core.fs(what, path, fields))
end

local function check_perms(perms, default)
  if perms == nil then
    return default
  end
  options.count(perms, "the permissions", 0)
  return perms
end

local function check_max(max, default)
  if max == nil then
    return default
  elseif max == math.huge then
    return 2 ^ 53
  end
  return options.count(max, "the limit", 0)
end

-- As `result`, for what has a limit.
local function limited(what, path, max, ok, value, code, ...)
  if ok == true and value == nil and code == "EFBIG" then
    errors.raise("limit", ("%s %s: more than %d bytes"):format(what, quoted(path), max),
      { path = path })
  end
  return (result(what, path, nil, ok, value, code, ...))
end

--- files --------------------------------------------------------------------------

---An open file. Reading and writing begin where the one before ended, as with Lua's `io`, or
---at an offset. Several tasks may use it: the work is done piece by piece, in the order of the
---calls. A read that was cancelled does not move the position; a write that was cancelled may
---have been done in part. A file that is collected is closed.
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

local function check_offset(offset)
  if offset ~= nil then
    options.count(offset, "the offset", 0)
  end
  return offset
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
  n = n == nil and CHUNK or options.count(n, "the number of bytes", 0)
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
  size = size == nil and 0 or options.count(size, "the size", 0)
  file_result(self, "truncate", core.file_do(self, "truncate", size))
end

---What is known of the file.
---
---Raises `os`; `closed`; `cancelled`.
---@async
---@return weft.fs.Stat
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

local MODES = {
  ["r"] = flags.RDONLY,
  ["r+"] = flags.RDWR,
  ["w"] = flags.WRONLY + flags.CREAT + flags.TRUNC,
  ["w+"] = flags.RDWR + flags.CREAT + flags.TRUNC,
  ["a"] = flags.WRONLY + flags.CREAT + flags.APPEND,
  ["a+"] = flags.RDWR + flags.CREAT + flags.APPEND,
  ["x"] = flags.WRONLY + flags.CREAT + flags.EXCL,
  ["x+"] = flags.RDWR + flags.CREAT + flags.EXCL,
}

---The flags of `open`, to be added up: RDONLY, WRONLY, RDWR, CREAT, EXCL, TRUNC, APPEND, SYNC,
---NOFOLLOW, DIRECTORY.
---@type table<string, integer>
M.flags = flags

local function check_mode(mode)
  if type(mode) == "number" then
    return options.count(mode, "the flags", 0)
  end
  local known = mode == nil and flags.RDONLY or type(mode) == "string" and MODES[mode:gsub("b", "")]
  if not known then
    errors.raise("type", ("open: no mode '%s'"):format(tostring(mode)))
  end
  return known
end

---Opens a file. The modes are those of Lua's `io.open`, "r" (also nil), "r+", "w", "w+", "a",
---"a+", and "x", "x+", which make a new file and fail if there is one.
---
---Raises `os` ("ENOENT", "EACCES", "EISDIR", …); `type` for an unknown mode; `cancelled`.
---@async
---@param path string
---@param mode (string|integer)? or a sum of `weft.fs.flags`
---@param perms integer? of a new file, less the umask; default 0666 (octal)
---@return weft.File
function M.open(path, mode, perms)
  return (call("open", path, { flags = check_mode(mode),
    mode = check_perms(perms, DEFAULT_PERMS) }))
end

--- whole files --------------------------------------------------------------------

---Reads a file.
---
---Raises `limit` if it is longer than `max`; `os`; `cancelled`.
---@async
---@param path string
---@param max integer? bytes; default 1 GiB
---@return string
function M.read_file(path, max)
  max = check_max(max, READ_MAX)
  check_path(path)
  return limited("read_file", path, max, core.fs("read_file", path, { size = max }))
end

local PERMS_OPTIONS = { perms = "integer" }

local function write_file(what, how, path, data, opts)
  options.expect(data, "string", "the data")
  opts = options.check(opts, PERMS_OPTIONS, what)
  check_path(path)
  result(what, path, nil, core.fs(what == "write_atomic" and what or "write_file", path,
    { flags = how, mode = check_perms(opts.perms, DEFAULT_PERMS), data = data }))
end

---Writes a file, in place of what was in it.
---
---Raises `os`; `cancelled`: then it may have been written in part (see `weft.fs.write_atomic`).
---@async
---@param path string
---@param data string
---@param opts {perms: integer?}? of a new file
function M.write_file(path, data, opts)
  write_file("write_file", MODES.w, path, data, opts)
end

---Writes to the end of a file, which is made if need be.
---
---Raises `os`; `cancelled`: then it may have been written in part.
---@async
---@param path string
---@param data string
---@param opts {perms: integer?}? of a new file
function M.append_file(path, data, opts)
  write_file("append_file", MODES.a, path, data, opts)
end

---Writes a file so that whoever reads it, also after a crash, finds either what was there or all
---of `data`: writes a new one beside it, waits until that is on the disk, renames it, and waits
---until the directory is on the disk. What is at `path` keeps its permissions; a link is
---followed. On failure and on cancellation the new file is removed.
---
---Raises `os`; `cancelled`.
---@async
---@param path string
---@param data string
---@param opts {perms: integer?}? of a new file
function M.write_atomic(path, data, opts)
  write_file("write_atomic", 0, path, data, opts)
end

--- what is there ------------------------------------------------------------------

---What is known of a file; of what it leads to, if it is a link.
---
---Raises `os`; `cancelled`.
---@async
---@param path string
---@return weft.fs.Stat
function M.stat(path)
  return (call("stat", path))
end

---What is known of a file; of a link itself.
---
---Raises `os`; `cancelled`.
---@async
---@param path string
---@return weft.fs.Stat
function M.lstat(path)
  return (call("lstat", path))
end

local function refused(denied, what, path, ok, value, code, ...)
  if ok == true and value == nil and denied[code] then
    return false
  end
  result(what, path, nil, ok, value, code, ...)
  return true
end

local ABSENT = { ENOENT = true, ENOTDIR = true }
local DENIED = { ENOENT = true, ENOTDIR = true, EACCES = true, EPERM = true, EROFS = true }
local ACCESS = { r = 4, w = 2, x = 1 }

---True if there is something at `path` (or where a link there leads to).
---
---Raises `os` if that cannot be told; `cancelled`.
---@async
---@param path string
---@return boolean
function M.exists(path)
  check_path(path)
  return refused(ABSENT, "exists", path, core.fs("stat", path, {}))
end

---True if this process may read, write or execute it.
---
---Raises `os` if that cannot be told; `type`; `cancelled`.
---@async
---@param path string
---@param mode string? letters of "rwx"; default: whether it is there
---@return boolean
function M.access(path, mode)
  check_path(path)
  local bits, seen = 0, {}
  for letter in options.expect(mode or "", "string", "the mode"):gmatch(".") do
    if not ACCESS[letter] then
      errors.raise("type", ("access: no mode '%s'"):format(mode))
    end
    bits = bits + (seen[letter] and 0 or ACCESS[letter])
    seen[letter] = true
  end
  return refused(DENIED, "access", path, core.fs("access", path, { mode = bits }))
end

local function by_name(a, b)
  return a.name < b.name
end

---What is in a directory, by name, without "." and "..".
---
---Raises `os`; `cancelled`.
---@async
---@param path string
---@return weft.fs.Entry[]
function M.readdir(path)
  check_path(path)
  local list = result("readdir", path, nil, core.fs("list", path, {}))
  table.sort(list, by_name)
  return list
end

---Iterates over what is in a directory, by name:
---
---    for name, type in fs.entries(path) do … end
---
---What is added or removed meanwhile does not disturb it.
---
---Raises `os`; `cancelled`.
---@async
---@param path string
---@return fun(): string?, string? next
function M.entries(path)
  local list, i = M.readdir(path), 0
  return function()
    i = i + 1
    if list[i] then
      return list[i].name, list[i].type
    end
  end
end

---The absolute path without links, "." and "..".
---
---Raises `os`; `cancelled`.
---@async
---@param path string
---@return string
function M.realpath(path)
  return (call("realpath", path))
end

---Where a link leads to.
---
---Raises `os` ("EINVAL" if it is no link); `cancelled`.
---@async
---@param path string
---@return string
function M.readlink(path)
  return (call("readlink", path))
end

--- changing ---------------------------------------------------------------------

local MKDIR_OPTIONS = { recursive = "boolean", perms = "integer" }

---Makes a directory. `recursive`: those above it too, and it may be there already.
---
---Raises `os` ("EEXIST", "ENOENT", …); `cancelled`.
---@async
---@param path string
---@param opts {recursive: boolean?, perms: integer?}? perms: less the umask; default 0777 (octal)
function M.mkdir(path, opts)
  opts = options.check(opts, MKDIR_OPTIONS, "mkdir")
  local fields = { mode = check_perms(opts.perms, DIRECTORY_PERMS) }
  check_path(path)
  result("mkdir", path, nil, core.fs(opts.recursive and "mkdir_all" or "mkdir", path, fields))
end

---Removes an empty directory.
---
---Raises `os` ("ENOTEMPTY", …); `cancelled`.
---@async
---@param path string
function M.rmdir(path)
  call("rmdir", path)
end

---Removes a file, or a directory with all that is in it; a link itself, never what it leads to.
---If nothing is there, nothing is done.
---
---Raises `os`, with `where`, the name of what could not be removed; `cancelled`: then a part of
---it is left.
---@async
---@param path string
function M.remove_all(path)
  call("remove_all", path)
end

---Removes a name of a file.
---
---Raises `os`; `cancelled`.
---@async
---@param path string
function M.unlink(path)
  call("unlink", path)
end

---Gives a file another name; what had that is replaced.
---
---Raises `os` ("EXDEV" for another disk, …); `cancelled`.
---@async
---@param path string
---@param other string
function M.rename(path, other)
  call("rename", path, { other = check_path(other, "new path") })
end

local COPY_OPTIONS = { exclusive = "boolean" }
local COPYFILE_EXCL = 1 -- UV_FS_COPYFILE_EXCL

---Copies a file with its permissions; what has that name is replaced, unless `exclusive`.
---
---Raises `os`; `cancelled`: then it is copied all the same, if that had begun.
---@async
---@param path string
---@param other string
---@param opts {exclusive: boolean?}?
function M.copy(path, other, opts)
  opts = options.check(opts, COPY_OPTIONS, "copy")
  call("copy", path, { other = check_path(other, "new path"),
    flags = opts.exclusive and COPYFILE_EXCL or 0 })
end

---Gives a file one more name.
---
---Raises `os`; `cancelled`.
---@async
---@param path string
---@param other string the new name
function M.link(path, other)
  call("link", path, { other = check_path(other, "new path") })
end

---Makes a symbolic link.
---
---Raises `os`; `cancelled`.
---@async
---@param target string where it leads to, from its own directory
---@param path string the link
function M.symlink(target, path)
  call("symlink", check_path(target, "target"), { other = check_path(path) })
end

---Sets the permissions.
---
---Raises `os`; `cancelled`.
---@async
---@param path string
---@param mode integer such as `tonumber("644", 8)`
function M.chmod(path, mode)
  call("chmod", path, { mode = options.count(mode, "the mode", 0) })
end

---Sets the times of the last reading and writing.
---
---Raises `os`; `cancelled`.
---@async
---@param path string
---@param atime number? seconds since 1970; default now
---@param mtime number? default `atime`
function M.utime(path, atime, mtime)
  atime = atime == nil and os.time() or options.number(atime, "the time")
  mtime = mtime == nil and atime or options.number(mtime, "the time")
  call("utime", path, { atime = atime, mtime = mtime })
end

--- temporary ----------------------------------------------------------------------

local function template(prefix)
  if prefix == nil then
    local dir = os.getenv("TMPDIR")
    prefix = (dir and dir ~= "" and dir or "/tmp") .. "/weft-"
  end
  return check_path(prefix, "prefix") .. "XXXXXX"
end

---Makes a directory of a name of its own, for this user only.
---
---Raises `os`; `cancelled`.
---@async
---@param prefix string? what its path begins with; default "weft-" where temporary files are
---@return string path
function M.mkdtemp(prefix)
  return (call("mkdtemp", template(prefix)))
end

---Makes and opens a file of a name of its own, for this user only.
---
---Raises `os`; `cancelled`.
---@async
---@param prefix string? what its path begins with; default "weft-" where temporary files are
---@return weft.File file for reading and writing
---@return string path
function M.mkstemp(prefix)
  return call("mkstemp", template(prefix))
end

---Calls `fn(path, ...)` with the path of a new directory, which is removed with all that is in
---it on return, error and cancellation alike.
---
---Raises what `fn` raised; `os`; `cancelled`.
---@async
---@param fn async fun(path: string, ...): ...
---@param ... any
---@return any ... the results of fn
function M.temporary_directory(fn, ...)
  options.callable(fn, "the function")
  local path, arguments = M.mkdtemp(), pack(...)
  return scope.finally(function()
    return fn(path, unpack(arguments, 1, arguments.n))
  end, function()
    M.remove_all(path)
  end)
end

---Calls `fn(file, path, ...)` with a new file, which is closed and removed on return, error and
---cancellation alike.
---
---Raises what `fn` raised; `os`; `cancelled`.
---@async
---@param fn async fun(file: weft.File, path: string, ...): ...
---@param ... any
---@return any ... the results of fn
function M.temporary_file(fn, ...)
  options.callable(fn, "the function")
  local file, path = M.mkstemp()
  local arguments = pack(...)
  return scope.finally(function()
    return fn(file, path, unpack(arguments, 1, arguments.n))
  end, function()
    file:close()
    M.remove_all(path)
  end)
end

return M
