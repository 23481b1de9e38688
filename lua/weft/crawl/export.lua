-- SPDX-License-Identifier: MIT
-- weft.crawl.export: records into files, as lines of JSON or as CSV.
--
-- Owns: the file and what is to be written into it. Must not know: what the records are of.
-- Invariant: what is in the file ends with the end of a record, whatever breaks the program off:
-- it grows by whole records, in writes that no cancellation breaks off, and a write that failed
-- is taken back. Hence no temporary file: it can be read while it grows.

local core = require "weft.core"
local errors = require "weft.error"
local fs = require "weft.fs"
local json = require "weft.crawl.json"
local options = require "weft.options"
local scope = require "weft.scope"
local sync = require "weft.sync"

---Records into files. Whatever breaks the program off, the files hold whole records: they grow by
---whole ones, and can be read meanwhile.
---@class weft.crawl.export
local M = {}

-- Written at once; who writes more has to wait until it is.
local BLOCK = 65536
-- Seconds for which a record may wait for others, as long as any come.
local INTERVAL = 1

local function nothing()
end

-- Calls fn(...) to its end, whatever comes meanwhile.
local function whole(fn)
  return scope.finally(nothing, fn)
end

local function now()
  return core.loop_time(core.running_loop())
end

--- the end of the last record ---------------------------------------------------------

-- How a record ends: at a newline. In CSV, at one that is not between quotes: a flag that each
-- quote turns over tells.
local SCANNERS = {
  json = function(chunk)
    return chunk:match("^.*()\n")
  end,
  csv = function(chunk, state)
    local last
    for at, c in chunk:gmatch('()(["\n])') do
      if c == '"' then
        state.is_quoted = not state.is_quoted
      elseif not state.is_quoted then
        last = at
      end
    end
    return last
  end,
}

-- Where the last record ends that is whole, in a file that is to be gone on with.
local function size_of_records(file, kind)
  local scan, state, at, last = SCANNERS[kind], {}, 0, 0
  while true do
    local chunk = file:read(BLOCK, at)
    if chunk == "" then
      return last
    end
    local found = scan(chunk, state)
    last = found and at + found or last
    at = at + #chunk
  end
end

--- writing ---------------------------------------------------------------------------

---A file of records. Made by `weft.crawl.export.json_lines` and `weft.crawl.export.csv`. Several
---tasks may write to it. It must be closed: what waits to be written is lost otherwise.
---@class weft.crawl.Writer
---@field path string
---@field count integer records that were written
local Writer = {}
Writer.__index = Writer

-- Writes what waits. If that fails, the file is cut back to the records before, and nothing is
-- written any more: a file with a gap would not be noticed.
local function write_block(self)
  local data = table.concat(self._lines)
  self._lines, self._bytes, self._written_at = {}, 0, now()
  local ok, e = errors.guarded(whole, function()
    self._file:write(data, self._size)
  end)
  if not ok then
    self._failure = e
    if self._size then
      whole(function()
        errors.try(self._file.truncate, self._file, self._size)
      end)
    end
    error(e, 0)
  end
  self._size = self._size and self._size + #data
end

local function flush(self)
  if self._failure then
    error(self._failure, 0)
  elseif self._lines[1] then
    write_block(self)
  end
end

local function check_open(self)
  if self._closed then
    errors.raise("closed", ("%s is closed"):format(self.path))
  elseif self._failure then
    error(self._failure, 0)
  end
end

local function put(self, line)
  self._lines[#self._lines + 1] = line
  self._bytes = self._bytes + #line
  if self._bytes >= BLOCK or now() - self._written_at >= self._interval then
    self._lock:with(flush, self)
  end
end

---Writes a record. It waits for others in memory, for a second or 64 KiB; then this waits until
---they are in the file.
---
---Raises `type` for what cannot be written; `os`, from then on always, if the file cannot be
---written; `closed`; `cancelled`: the record is written all the same.
---@async
---@param record table
function Writer:write(record)
  check_open(self)
  local line = self._format(options.expect(record, "table", "the record"), self._columns)
  self.count = self.count + 1
  put(self, line)
end

---Waits until all records are in the file.
---
---Raises `os`; `closed`; `cancelled`.
---@async
function Writer:flush()
  check_open(self)
  self._lock:with(flush, self)
end

---Writes what is left and closes the file, also in a task that is cancelled. Idempotent.
---
---Raises `os`.
---@async
function Writer:close()
  if self._closed then
    return
  end
  self._closed = true
  whole(function()
    local ok, e = errors.guarded(self._lock.with, self._lock, flush, self)
    self._file:close()
    if not ok then
      error(e, 0)
    end
  end)
end

---Calls `fn(writer, ...)`, then closes the file, on return, error and cancellation alike.
---
---Raises what `fn` raised; `os`.
---@async
---@param fn async fun(writer: weft.crawl.Writer, ...): ...
---@param ... any
---@return any ... the results of fn
function Writer:with(fn, ...)
  options.callable(fn, "the function")
  local arguments, count = { ... }, select("#", ...)
  return scope.finally(function()
    return fn(self, (table.unpack or unpack)(arguments, 1, count))
  end, function()
    self:close()
  end)
end

function Writer:__tostring()
  return ("Writer<%s records=%d%s>"):format(self.path, self.count,
    self._closed and " closed" or "")
end

--- formats ---------------------------------------------------------------------------

local function json_line(record, fields)
  return json.encode(record, fields) .. "\n"
end

-- RFC 4180: quotes around what has a comma, a quote or a line end in it, or spaces at its ends.
local function field_of(value)
  if value == nil then
    return ""
  elseif type(value) == "number" then
    return json.encode(value)
  end
  local text = tostring(value)
  if text:find('[",\r\n]') or text:find("^%s") or text:find("%s$") then
    return '"' .. text:gsub('"', '""') .. '"'
  end
  return text
end

local function csv_line(record, columns)
  local fields = {}
  for i, name in ipairs(columns) do
    fields[i] = field_of(record[name])
  end
  return table.concat(fields, ",") .. "\r\n"
end

--- opening ---------------------------------------------------------------------------

local OPTIONS = { append = true, interval = true }
local JSON_OPTIONS = { append = true, interval = true, fields = true }

local RDWR = fs.flags.RDWR + fs.flags.CREAT

-- Opens the file: empty, or cut to its whole records. What is no file, as a pipe, has no size.
local function open_file(path, kind, append)
  local status = fs.exists(path) and fs.stat(path)
  if status and status.type ~= "file" then
    return fs.open(path, fs.flags.WRONLY), nil
  end
  local file = fs.open(path, RDWR)
  local ok, size = errors.guarded(function()
    local size = append and size_of_records(file, kind) or 0
    file:truncate(size)
    return size
  end)
  if not ok then
    file:close()
    error(size, 0)
  end
  return file, size
end

local function check_names(names, what)
  for _, name in ipairs(options.expect(names, "table", what)) do
    options.expect(name, "string", "a name in " .. what)
  end
  return names
end

local function new(path, kind, opts, format, columns)
  options.expect(path, "string", "the path")
  local interval = options.number(opts.interval or INTERVAL, "interval", 0)
  local file, size = open_file(path, kind, opts.append)
  return setmetatable({ path = path, count = 0, _file = file, _size = size, _format = format,
    _columns = columns, _lines = {}, _bytes = 0, _interval = interval, _written_at = now(),
    _lock = sync.lock(), _closed = false }, Writer)
end

---A file of records, one line of JSON each. With `fields` those are written, in that order, null
---for what is not there; else all, sorted. With `append` it is gone on with: a record at its end
---that is not whole, as after a crash, is removed. `interval` is how many seconds a record may
---wait for others; default 1.
---
---Raises `os`; `type`; `cancelled`.
---@async
---@param path string
---@param opts {fields: string[]?, append: boolean?, interval: number?}?
---@return weft.crawl.Writer
function M.json_lines(path, opts)
  opts = options.check(opts, JSON_OPTIONS, "json_lines")
  local fields = opts.fields and check_names(opts.fields, "fields")
  return new(path, "json", opts, json_line, fields)
end

---A file of records as CSV (RFC 4180): a line with the names of the columns, then one for each
---record. The other options are those of `weft.crawl.export.json_lines`.
---
---Raises `os`; `type`; `cancelled`.
---@async
---@param path string
---@param columns string[]
---@param opts {append: boolean?, interval: number?}?
---@return weft.crawl.Writer
function M.csv(path, columns, opts)
  opts = options.check(opts, OPTIONS, "csv")
  check_names(columns, "columns")
  local self = new(path, "csv", opts, csv_line, columns)
  if not self._size or self._size == 0 then
    local names = {}
    for _, name in ipairs(columns) do
      names[name] = name
    end
    self._lines[1] = csv_line(names, columns)
    self._bytes = #self._lines[1]
  end
  return self
end

return M
