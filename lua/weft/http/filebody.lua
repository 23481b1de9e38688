-- SPDX-License-Identifier: MIT
-- weft.http.filebody: a file as a body, or a part of one: read as it is sent, a piece at a time.
--
-- Owns: the files that it opened itself, while they are sent.
-- Must not know: forms, requests, or how a body is framed.
-- Invariant: a file whose length was told gives that many bytes, or raises.

local core = require "weft.core"
local errors = require "weft.error"
local fs = require "weft.fs"
local mimetypes = require "weft.http.mimetypes"
local options = require "weft.options"

-- Read at once: large enough that going to a thread and back does not count.
local CHUNK = 262144

---@class weft.http
local M = {}

---A file to be sent, by its path. It is opened when its turn comes, and closed behind it, so that
---it can be sent again, for a redirect or a retry.
---@class weft.http.FileBody
---@field path string
---@field filename string what the server is told
---@field content_type string
local FileBody = {}
FileBody.__index = FileBody
FileBody.__name = "weft.http.FileBody"

function FileBody:__tostring()
  return ("FileBody<'%s' %s>"):format(self.path, self.content_type)
end

local OPTIONS = { filename = true, content_type = true }

---A file as the body of a request, or as a value in a form. An open file (`weft.fs.open`) can be
---sent, too: from where it stands, and it stays open and where it is.
---
---    session:put(url, { data = http.file("video.mp4") })
---    session:post(url, { data = { title = "A video", video = http.file("video.mp4") } })
---
---Options: `filename`, what the server is told (default: the last part of the path);
---`content_type` (default: by the end of the name).
---
---Raises `type`.
---@param path string
---@param opts {filename: string?, content_type: string?}?
---@return weft.http.FileBody
function M.file(path, opts)
  options.expect(path, "string", "the path")
  opts = options.check(opts, OPTIONS, "file")
  local filename = options.expect(opts.filename or path:match("[^/]*$"), "string", "filename")
  return setmetatable({ path = path, filename = filename,
    content_type = options.expect(opts.content_type or mimetypes.guess(filename), "string",
      "content_type") }, FileBody)
end

---True for what can be sent as a file.
---@private
function M.is_file(value)
  local meta = getmetatable(value)
  return meta ~= nil and (meta == FileBody or meta == core.classes.File)
end

--- reading ------------------------------------------------------------------------

local function has_changed(path)
  errors.raise("os", ("the file '%s' became shorter while it was sent"):format(path),
    { code = "file_changed", path = path })
end

-- A source of `length` bytes of an open file, from `from` on; of all there is if that is nil.
local function source_of(file, path, from, length)
  local sent, has_ended = 0, false
  return function()
    if has_ended or length and sent >= length then
      return nil
    end
    local size = length and math.min(CHUNK, length - sent) or CHUNK
    local data = file:read(size, from and from + sent)
    if data == "" then
      if length then
        has_changed(path)
      end
      has_ended = true
      return nil
    end
    sent = sent + #data
    return data
  end
end

local function open_file(file)
  local path, fd, position = core.file_state(file)
  if not fd then
    errors.raise("closed", ("the file '%s' is closed"):format(path), { path = path })
  end
  local filename = path:match("[^/]*$")
  local part = { filename = filename, content_type = mimetypes.guess(filename),
    is_replayable = position ~= nil }
  if position then
    part.length = math.max(0, file:stat().size - position)
  end
  function part.start()
    return source_of(file, path, position, part.length)
  end
  return part
end

-- Opens the file at the first call of the source, and closes it at its end.
local function start_path(part, path)
  local file, read
  return function()
    if not file then
      file = fs.open(path)
      part._file = file
      read = source_of(file, path, part.length and 0, part.length)
    end
    local data = read()
    if data == nil then
      file:close()
    end
    return data
  end
end

local function open_path(body)
  local path = body.path
  local status = fs.stat(path)
  if status.type == "directory" or not fs.access(path, "r") then
    local is_directory = status.type == "directory"
    errors.raise("os", ("'%s' cannot be sent: %s"):format(path, is_directory and "it is a directory"
      or "permission denied"), { code = is_directory and "EISDIR" or "EACCES", path = path })
  end
  local is_regular = status.type == "file"
  local part = { filename = body.filename, content_type = body.content_type,
    is_replayable = is_regular, length = is_regular and status.size or nil }
  function part.start()
    part.close()
    return start_path(part, path)
  end
  function part.close()
    if part._file then
      part._file:close()
      part._file = nil
    end
  end
  return part
end

---Looks what there is to send. The result has `length` (nil if that cannot be known),
---`filename`, `content_type`, `is_replayable`, `start()`, which gives a source from the beginning,
---and, where there is something to close, `close()`.
---
---Raises `os`; `closed`; `cancelled`.
---@async
---@private
---@param value weft.http.FileBody | weft.File
---@return table part
function M.open(value)
  return getmetatable(value) == FileBody and open_path(value) or open_file(value)
end

return M
