-- SPDX-License-Identifier: MIT
-- weft.fs: files and directories, without holding up the loop.
--
-- Owns: what is made of the pieces of work that weft.core does on threads (each is one
-- piece from beginning to end).
-- Must not know: how work gets to a thread and back.

local core = require "weft.core"
local errors = require "weft.error"
local options = require "weft.options"
local scope = require "weft.scope"
local files = require "weft.file"

local result, limited = files.result, files.limited
local check_path, check_max = files.check_path, files.check_max
local unpack = table.unpack or unpack
local pack = table.pack or function(...)
  return { n = select("#", ...), ... }
end
local flags = core.open_flags

---Files and directories. The work is done by a few threads of libuv's (four; the environment
---variable `UV_THREADPOOL_SIZE` says otherwise), so that the loop never waits for a disk.
---
---Errors have the kind `os`, `code` ("ENOENT", "EACCES", …) and `path`. A path with a NUL is
---refused with `type`. Work that is cancelled leaves nothing open and nothing temporary behind,
---but what it did before is done.
---@class weft.fs
local M = {}

local DEFAULT_PERMS = 438 -- 0666, less the umask
local DIRECTORY_PERMS = 511 -- 0777

---What is known of a file. `type` is "file", "directory", "link", "fifo", "socket", "char",
---"block" or "unknown"; `size` is in bytes; `mode` are the permissions, as for `weft.fs.chmod`;
---`atime` (last read), `mtime` (last written), `ctime` (last changed in any way) and `birthtime`
---(made, where the system knows it) are seconds since 1970. Also `uid`, `gid`, `nlink` (names
---that it has), `ino`, `dev`, `blocks` (of 512 bytes), `blksize`.
---@alias weft.fs.Status {type: string, size: integer, mtime: number, [string]: number}

---What stands in a directory; `type` as in `weft.fs.Status`.
---@alias weft.fs.Entry {name: string, type: string}

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

--- opening ----------------------------------------------------------------------

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
  max = check_max(max, files.READ_MAX)
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

---The same as `weft.fs.read_file`.
---
---Raises as `weft.fs.read_file`.
---@async
---@param path string
---@param max integer? bytes
---@return string
M.read = M.read_file

---The same as `weft.fs.write_file`.
---
---Raises as `weft.fs.write_file`.
---@async
---@param path string
---@param data string
---@param opts {perms: integer?}? of a new file
M.write = M.write_file

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
---@return weft.fs.Status
function M.stat(path)
  return (call("stat", path))
end

---What is known of a file; of a link itself.
---
---Raises `os`; `cancelled`.
---@async
---@param path string
---@return weft.fs.Status
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

for name, value in pairs(require "weft.watch") do
  M[name] = value
end

return M
