-- SPDX-License-Identifier: MIT
-- weft.http.savefile: what is downloaded, into a file: whole or not at all, or so that it can be
-- gone on with later.
--
-- Owns: the temporary file, and the two files of a download that was broken off: `PATH.part`, and
-- `PATH.part.info`, which tells of which version of the resource it is a part.
-- Must not know: responses and connections.
-- Invariant: at the path itself there is what was there before, or all of the new; and no
-- temporary file outlives `save`, whatever ends it.

local core = require "weft.core"
local errors = require "weft.error"
local fs = require "weft.fs"
local httpdate = require "weft.http.httpdate"
local options = require "weft.options"
local scope = require "weft.scope"

local M = {}

-- Written at once, so that going to a thread and back does not count.
local CHUNK = 262144
-- Of a file `PATH.part.info`, in bytes: more is none of ours.
local INFO_MAX = 65536
local INFO_HEAD = "weft partial download 1\n"

-- A partial file is opened as itself, never as what a link leads to.
local NEW = fs.flags.WRONLY + fs.flags.CREAT + fs.flags.TRUNC + fs.flags.NOFOLLOW
local GO_ON = fs.flags.RDWR + fs.flags.NOFOLLOW

local function nothing()
end

-- Calls fn() to its end, whatever comes meanwhile: for what is short and must not be half done.
local function whole(fn)
  scope.finally(nothing, fn)
end

-- The path behind links, and the status of what is there, or nil.
local function target_of(path)
  options.expect(path, "string", "the path")
  if not fs.exists(path) then
    return path, nil
  end
  local target = fs.realpath(path)
  local status = fs.stat(target)
  if status.type == "directory" then
    errors.raise("os", ("save '%s': it is a directory"):format(path),
      { code = "EISDIR", path = path })
  end
  return target, status
end

--- partial files --------------------------------------------------------------------

---Of which version of a resource something is a part.
---@private
---@alias weft.http.Validator {etag: string?, last_modified: string?, url: string?}

---What tells, in a response, one version of the resource from all others: a strong ETag, or a
---date of change that is older than the response.
---@private
---@param fields weft.http.Headers
---@return weft.http.Validator? nil if there is none
function M.validator(fields)
  local etag = fields:get("ETag")
  if etag and etag:find('^"[^"%c]*"$') then
    return { etag = etag }
  end
  local text, date = fields:get("Last-Modified"), fields:get("Date")
  local changed, now = text and httpdate.parse(text), date and httpdate.parse(date)
  return changed and now and now - changed >= 1 and { last_modified = text } or nil
end

local INFO_KEYS = { "etag", "last_modified", "url" }

local function info_text(validator)
  local lines = { INFO_HEAD }
  for _, key in ipairs(INFO_KEYS) do
    local value = validator[key]
    if value and not value:find("%c") then
      lines[#lines + 1] = key .. ": " .. value .. "\n"
    end
  end
  return table.concat(lines)
end

local function read_info(path)
  local text = fs.read_file(path, INFO_MAX)
  if text:sub(1, #INFO_HEAD) ~= INFO_HEAD or text:sub(-1) ~= "\n" then
    return nil
  end
  local info = {}
  for key, value in text:sub(#INFO_HEAD + 1):gmatch("([%a_]+): ([^\n]*)\n") do
    info[key] = value
  end
  return info
end

-- The results of fn(...), or nil where there is no such file.
local function if_there(fn, ...)
  local ok, value = errors.try(fn, ...)
  if ok then
    return value
  elseif errors.is_error(value, "os") and value.code == "ENOENT" then
    return nil
  end
  error(value, 0)
end

---What is there of a download to `path` that was broken off, if it is known of which version it
---is a part.
---
---Raises `os`; `cancelled`.
---@async
---@private
---@param path string
---@return {size: integer, etag: string?, last_modified: string?, url: string?}? partial
function M.partial(path)
  local part = target_of(path) .. ".part"
  local status = if_there(fs.lstat, part)
  local info = status and status.type == "file" and status.size > 0
    and if_there(read_info, part .. ".info")
  if not info or not (info.etag or info.last_modified) then
    return nil
  end
  return { size = status.size, etag = info.etag, last_modified = info.last_modified,
    url = info.url }
end

---The headers by which the rest is asked for: what comes is that, with the status 206, or, if the
---resource has changed, all of it, with 200.
---@private
---@param partial table from `partial`
---@return table<string, string>
function M.request_fields(partial)
  return { ["Range"] = ("bytes=%d-"):format(partial.size),
    ["If-Range"] = partial.etag or partial.last_modified }
end

---Reads a Content-Range field: "bytes 5-9/10", "bytes 5-9/*", "bytes */10".
---@private
---@param value string
---@return integer? first nil without a range
---@return integer? last
---@return integer? size of all, if it is known
function M.content_range(value)
  local first, last, size = value:match("^%s*[Bb][Yy][Tt][Ee][Ss]%s+(%d+)%-(%d+)/([%d*]+)%s*$")
  if first then
    first, last, size = tonumber(first), tonumber(last), tonumber(size)
    if first <= last and (not size or last < size) then
      return first, last, size
    end
    return nil
  end
  return nil, nil, tonumber(value:match("^%s*[Bb][Yy][Tt][Ee][Ss]%s+%*/(%d+)%s*$"))
end

---Removes what is there of a download that was broken off.
---
---Raises `os`; `cancelled`.
---@async
---@private
---@param path string
function M.discard(path)
  local part = target_of(path) .. ".part"
  if_there(fs.unlink, part)
  if_there(fs.unlink, part .. ".info")
end

--- saving -------------------------------------------------------------------------

-- The partial files that are being written.
local active = {}

local function random_name(target)
  return target .. "." .. core.random_bytes(8):gsub(".", function(byte)
    return ("%02x"):format(byte:byte())
  end) .. ".tmp"
end

-- Opens the partial file for more, or makes a new one. Emptied before it is said of what it is.
local function open_part(job, offset)
  local part = job.temp
  if offset == 0 then
    job.file = fs.open(part, NEW)
    if job.keeps then
      fs.write_file(part .. ".info", info_text(job.validator))
    else
      if_there(fs.unlink, part .. ".info")
    end
    return
  end
  job.file = fs.open(part, GO_ON)
  if job.file:stat().size < offset then
    errors.raise("os", ("save '%s': the partial file has become shorter"):format(part),
      { code = "file_changed", path = part })
  end
  job.file:truncate(offset)
  job.file:seek("set", offset)
end

local function open_file(job, offset)
  if job.is_direct then
    job.file = fs.open(job.target, "w")
  elseif job.validator then
    open_part(job, offset)
  else
    job.file = fs.open(job.temp, "x", job.perms)
  end
end

local function flush(job)
  if job.pending[1] then
    local data = table.concat(job.pending)
    job.pending, job.buffered = {}, 0
    job.file:write(data)
  end
end

local function copy(job, read, on_progress)
  while true do
    local data = read()
    if data == nil or data == "" then
      break
    end
    job.pending[#job.pending + 1] = data
    job.buffered, job.size = job.buffered + #data, job.size + #data
    if job.buffered >= CHUNK then
      flush(job)
    end
    if on_progress then
      on_progress(job.size)
    end
  end
  flush(job)
end

local function sync_directory(path)
  local directory = fs.open(path:match("^(.*/)[^/]*$") or ".")
  scope.finally(function()
    directory:sync()
  end, function()
    directory:close()
  end)
end

-- The file is whole: it gets its name.
local function commit(job, is_synced)
  if job.is_direct then
    return
  end
  if is_synced then
    job.file:sync()
  end
  whole(function()
    if job.mode then
      fs.chmod(job.temp, job.mode)
    end
    fs.rename(job.temp, job.target)
    job.is_done = true
    if job.validator then
      if_there(fs.unlink, job.temp .. ".info")
    end
    if is_synced then
      sync_directory(job.target)
    end
  end)
end

-- What is left when it was broken off: nothing, or what can be gone on with.
local function abandon(job)
  if job.is_direct or not job.file then
    return
  end
  if job.keeps then
    errors.try(flush, job)
    return
  end
  errors.try(fs.unlink, job.temp)
end

local function clean(job)
  if not job.is_done then
    abandon(job)
  end
  if job.file then
    job.file:close()
  end
  if job.validator then
    active[job.temp] = nil
  end
end

local OPTIONS = { fsync = true, perms = true, resume = true, offset = true, on_progress = true }

local function new_job(path, opts)
  local target, status = target_of(path)
  local validator = opts.resume
  local job = { target = target, validator = validator, perms = opts.perms,
    temp = validator and target .. ".part" or random_name(target),
    keeps = validator ~= nil and (validator.etag or validator.last_modified) ~= nil,
    is_direct = status ~= nil and status.type ~= "file",
    mode = opts.perms or status and status.mode % 4096, size = opts.offset or 0,
    pending = {}, buffered = 0 }
  if validator and active[job.temp] then
    errors.raise("state", ("save '%s': another task is saving to it"):format(path),
      { code = "busy", path = path })
  end
  return job
end

local function check_options(opts)
  opts = options.check(opts, OPTIONS, "save")
  if opts.perms ~= nil then
    options.count(opts.perms, "perms", 0)
  end
  options.count(opts.offset or 0, "offset", 0)
  if opts.on_progress ~= nil then
    options.callable(opts.on_progress, "on_progress")
  end
  if opts.resume ~= nil then
    options.expect(opts.resume, "table", "resume")
  elseif opts.offset then
    errors.raise("type", "save: an offset needs resume")
  end
  return opts
end

---Writes what `read()` returns, until that is "" or nil, into a file beside `path`, and gives it
---that name when it is whole. On failure and on cancellation that file is removed, and what was
---at `path` is as it was; it keeps its permissions when it is replaced. What is at `path` and no
---file, such as a FIFO, is written to as it is.
---
---Options: `fsync`, to wait until all is on the disk; `perms` of the file; `on_progress`, which
---is called with the size so far after each piece; `resume`, of which version of the resource this
---is (see `validator`; with a `url` beside it): what comes before a failure is kept then, for
---`partial`; `offset`, where in the partial file this goes on.
---
---Raises what `read` raised; `os`; `state` (code "busy") if another task resumes the same;
---`cancelled`.
---@async
---@private
---@param path string
---@param read async fun(): string?
---@param opts table?
---@return integer size of the file
function M.save(path, read, opts)
  options.callable(read, "the function")
  opts = check_options(opts)
  local job = new_job(path, opts)
  if job.validator then
    active[job.temp] = job
  end
  return scope.finally(function()
    whole(function()
      open_file(job, job.size)
    end)
    copy(job, read, opts.on_progress)
    commit(job, opts.fsync)
    return math.floor(job.size)
  end, function()
    clean(job)
  end)
end

return M
