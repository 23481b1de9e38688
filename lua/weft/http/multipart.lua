-- SPDX-License-Identifier: MIT
-- weft.http.multipart: forms as they are sent: multipart/form-data (RFC 7578, as browsers write
-- it), or urlencoded where no file is in them.
--
-- Owns: the fields of a form, and its boundary.
-- Must not know: requests.
-- Invariant: no name, file name or header of a part ends its line; the boundary is in no string
-- of the form.

local core = require "weft.core"
local errors = require "weft.error"
local filebody = require "weft.http.filebody"
local mimetypes = require "weft.http.mimetypes"
local options = require "weft.options"
local url = require "weft.url"

-- Strings are sent together up to this many bytes.
local TOGETHER = 65536

-- RFC 2046: what a boundary may be made of.
local BOUNDARY = "^[%w'()+_,%-./:=? ]+$"
local BOUNDARY_MAX = 70

---@class weft.http
local M = {}

---A form to be sent: `data` of a request.
---@class weft.http.FormData
---@field boundary string what stands between the parts of a multipart form
local FormData = {}
FormData.__index = FormData
FormData.__name = "weft.http.FormData"

--- what may be in a part ------------------------------------------------------------

local function refuse(what, why)
  errors.raise("type", ("a form's %s %s"):format(what, why), { code = "invalid_header" })
end

local function check_header(name, value)
  if type(name) ~= "string" or not name:find("^[%w!#$%%&'*+%-.^_`|~]+$") then
    refuse(("header name %q"):format(tostring(name)), "is no token")
  end
  value = type(value) == "number" and tostring(value) or value
  if type(value) ~= "string" then
    refuse("header " .. name, "must be a string, got " .. type(value))
  elseif value:find("[%z\1-\8\10-\31\127]") then
    refuse("header " .. name, "has a control character, such as the end of a line, in it")
  end
  return name .. ": " .. value
end

-- As browsers write a name into a head.
local ESCAPES = { ['"'] = "%22", ["\r"] = "%0D", ["\n"] = "%0A" }

local function escaped(name)
  return (name:gsub('["\r\n]', ESCAPES))
end

-- A value of a field as a string; nil for what is streamed.
local function text_of(value, name)
  local kind = type(value)
  if kind == "string" then
    return value
  elseif kind == "number" and value == math.floor(value) and math.abs(value) < 2 ^ 53 then
    return ("%d"):format(value)
  elseif kind == "number" or kind == "boolean"
    or kind == "table" and (getmetatable(value) or {}).__tostring then
    return tostring(value)
  end
  if io.type(value) then
    kind = "a file of Lua's io, which would hold up the loop: use http.file(path)"
  end
  errors.raise("type", ("the form's field '%s' must be a string, a number, a boolean, a file or "
    .. "a function, got %s"):format(name, kind))
end

local function file_of(value)
  if type(value) == "table" and type(value.path) == "string" and getmetatable(value) == nil then
    return filebody.file(value.path)
  end
  return filebody.is_file(value) and value or nil
end

--- building -----------------------------------------------------------------------

local FIELD_OPTIONS = { content_type = true, filename = true, content_transfer_encoding = true,
  headers = true }

local function head_lines(opts)
  local lines = {}
  if opts.content_transfer_encoding then
    lines[1] = check_header("Content-Transfer-Encoding", opts.content_transfer_encoding)
  end
  local names = {}
  for name in pairs(opts.headers or {}) do
    names[#names + 1] = tostring(name)
  end
  table.sort(names)
  for _, name in ipairs(names) do
    if name:lower() == "content-disposition" then
      refuse("header " .. name, "is made from the names")
    end
    lines[#lines + 1] = check_header(name, opts.headers[name])
  end
  return lines
end

local function check_string(opts, name)
  return opts[name] ~= nil and options.expect(opts[name], "string", name) or nil
end

---Adds a field. The value is a string, a number, a boolean, a file (`http.file(path)`, an open
---file, or `{path = …}`), or a function that gives the value in pieces, nil at the end. Options:
---`filename`, by which it becomes a file whatever the value is; `content_type`;
---`headers`, more of them; `content_transfer_encoding`, which is only said, not done.
---
---Raises `type` (code "invalid_header" for what would break out of a part's head).
---@param name string
---@param value any
---@param opts table?
---@return weft.http.FormData self
function FormData:add_field(name, value, opts)
  options.expect(name, "string", "the field's name")
  opts = options.check(opts, FIELD_OPTIONS, "add_field")
  local field = { name = name, filename = check_string(opts, "filename"),
    content_type = check_string(opts, "content_type") }
  field.file = file_of(value)
  if type(value) == "function" then
    field.read = value
  elseif not field.file then
    field.text = text_of(value, name)
  end
  if field.content_type then
    check_header("Content-Type", field.content_type)
  end
  field.lines = head_lines(options.expect(opts, "table", "the options"))
  if next(opts) ~= nil or not field.text then
    self._is_multipart = true
  end
  self._fields[#self._fields + 1] = field
  return self
end

local function add_all(form, name, value)
  if type(value) ~= "table" or getmetatable(value) ~= nil or type(value.path) == "string" then
    form:add_field(name, value)
    return
  elseif #value == 0 and next(value) ~= nil then
    errors.raise("type", ("the form's field '%s' is a table that is neither a list nor a file")
      :format(name))
  end
  for _, one in ipairs(value) do
    form:add_field(name, one)
  end
end

---Adds fields: names with values, in the order of the names, where a list repeats the name; or a
---list of pairs `{ name, value }`, which keeps its order.
---
---Raises as `form_data:add_field`.
---@param fields table
---@return weft.http.FormData self
function FormData:add_fields(fields)
  options.expect(fields, "table", "the fields")
  local names = {}
  for key, value in pairs(fields) do
    if type(key) == "string" then
      names[#names + 1] = key
    elseif fields[1] == nil or type(value) ~= "table" or value[1] == nil or value[2] == nil then
      errors.raise("type", "the fields must be either a list of pairs or names with values")
    end
  end
  if names[1] and fields[1] ~= nil then
    errors.raise("type", "the fields must be either a list of pairs or names with values")
  end
  table.sort(names)
  for _, name in ipairs(names) do
    add_all(self, name, fields[name])
  end
  for _, pair in ipairs(fields) do
    add_all(self, text_of(pair[1], "name"), pair[2])
  end
  return self
end

---Whether the form will be sent as multipart/form-data.
---@return boolean
function FormData:is_multipart()
  return self._is_multipart
end

function FormData:__tostring()
  return ("FormData<%s, %d fields>"):format(self._is_multipart and "multipart" or "urlencoded",
    #self._fields)
end

--- sending ------------------------------------------------------------------------

local function part_head(field, part, boundary)
  local lines = { "--" .. boundary }
  local disposition = ('Content-Disposition: form-data; name="%s"'):format(escaped(field.name))
  local filename = field.filename or part and part.filename
  if filename then
    disposition = ('%s; filename="%s"'):format(disposition, escaped(filename))
  end
  lines[2] = disposition
  local content_type = field.content_type or part and part.content_type
    or filename and mimetypes.guess(filename)
  local is_given = false
  for _, line in ipairs(field.lines) do
    is_given = is_given or line:lower():find("^content%-type:") ~= nil
  end
  if content_type and not (is_given and not field.content_type) then
    lines[3] = "Content-Type: " .. content_type
  end
  for _, line in ipairs(field.lines) do
    lines[#lines + 1] = line
  end
  return table.concat(lines, "\r\n") .. "\r\n\r\n"
end

-- The pieces of the body: strings, and what is streamed.
local function layout(form, parts, boundary)
  local pieces = {}
  for i, field in ipairs(form._fields) do
    local part = parts[i]
    pieces[#pieces + 1] = (i > 1 and "\r\n" or "") .. part_head(field, part, boundary)
    pieces[#pieces + 1] = field.text or part
  end
  pieces[#pieces + 1] = (#pieces > 0 and "\r\n" or "") .. "--" .. boundary .. "--\r\n"
  return pieces
end

local function new_boundary()
  return "----weft-" .. core.random_bytes(16):gsub(".", function(byte)
    return ("%02x"):format(byte:byte())
  end)
end

-- Heads need not be searched: what is in a name cannot begin a line.
local function occurs(form, boundary)
  for _, field in ipairs(form._fields) do
    if field.text and field.text:find("--" .. boundary, 1, true) then
      return true
    end
  end
  return false
end

-- Makes sure that the boundary is nowhere in the form.
local function settle_boundary(form)
  while occurs(form, form.boundary) do
    if form._is_given then
      errors.raise("type", "the form's boundary occurs in one of its values",
        { code = "invalid_boundary" })
    end
    form.boundary = new_boundary()
  end
end

-- What a function gives, as the part of a form.
local function function_part(field)
  local part = { is_replayable = false }
  local function read()
    local piece = field.read()
    if piece ~= nil and type(piece) ~= "string" then
      errors.raise("type", ("the function of the form's field '%s' must return strings, and nil "
        .. "at the end, got %s"):format(field.name, type(piece)), { code = "invalid_body" })
    end
    return piece
  end
  function part.start()
    return read
  end
  return part
end

-- The parts that are streamed, by the number of their field.
local function open_parts(form)
  local parts = {}
  for i, field in ipairs(form._fields) do
    if field.file then
      parts[i] = filebody.open(field.file)
    elseif field.read then
      parts[i] = function_part(field)
    end
  end
  return parts
end

-- As many strings as are sent together, from pieces[i] on, and the index of the next piece.
local function strings(pieces, i)
  local first, size = i, 0
  while type(pieces[i]) == "string" and (i == first or size + #pieces[i] <= TOGETHER) do
    size = size + #pieces[i]
    i = i + 1
  end
  return i == first + 1 and pieces[first] or table.concat(pieces, "", first, i - 1), i
end

-- A source that gives one piece after the other.
local function source_of(pieces)
  local i, read = 1, nil
  return function()
    while pieces[i] do
      if type(pieces[i]) == "string" then
        local data
        data, i = strings(pieces, i)
        return data
      end
      read = read or pieces[i].start()
      local data = read()
      if data ~= nil then
        return data
      end
      i, read = i + 1, nil
    end
  end
end

-- The length of all pieces, and whether they can be sent twice.
local function measure(pieces)
  local length, is_replayable, is_streamed = 0, true, false
  for _, piece in ipairs(pieces) do
    local is_string = type(piece) == "string"
    local size = is_string and #piece or not is_string and piece.length or nil
    length = length and size and length + size or nil
    is_replayable = is_replayable and (is_string or piece.is_replayable)
    is_streamed = is_streamed or not is_string
  end
  return length, is_replayable, is_streamed
end

local function quoted_boundary(boundary)
  return boundary:find("^[%w'+_.%-]+$") and boundary or '"' .. boundary .. '"'
end

local function prepare_multipart(form)
  settle_boundary(form)
  local pieces = layout(form, open_parts(form), form.boundary)
  local length, is_replayable, is_streamed = measure(pieces)
  local prepared = { length = length, is_replayable = is_replayable,
    content_type = "multipart/form-data; boundary=" .. quoted_boundary(form.boundary) }
  if not is_streamed then
    prepared.body = pieces
    return prepared
  end
  prepared.body = source_of(pieces)
  if is_replayable then
    function prepared.rewind()
      return source_of(pieces)
    end
  end
  function prepared.close()
    for _, piece in ipairs(pieces) do
      if type(piece) ~= "string" and piece.close then
        piece.close()
      end
    end
  end
  return prepared
end

---The form as a body: see `weft.http.body.prepare`.
---
---Raises `os` for a file that cannot be sent; `type`; `closed`; `cancelled`.
---@async
---@private
---@return table prepared
function FormData:_prepare()
  if self._is_multipart then
    return prepare_multipart(self)
  end
  local list = {}
  for i, field in ipairs(self._fields) do
    list[i] = { field.name, field.text }
  end
  local text = url.encode_query(list)
  return { body = text, length = #text, content_type = "application/x-www-form-urlencoded",
    is_replayable = true }
end

local OPTIONS = { fields = true, multipart = true, boundary = true }

---Makes a form. It is sent urlencoded, or, as soon as something in it is a file or has options of
---its own, as multipart/form-data, its files read while they are sent.
---
---    local form = http.form_data()
---    form:add_field("title", "Spring")
---    form:add_field("picture", http.file("spring.jpg"), { content_type = "image/jpeg" })
---    session:post(url, { data = form })
---
---Options: `fields`, as for `form_data:add_fields`; `multipart = true` for multipart/form-data in
---any case; `boundary` (default: one that nobody can guess).
---
---Raises `type`.
---@param opts {fields: table?, multipart: boolean?, boundary: string?}?
---@return weft.http.FormData
function M.form_data(opts)
  opts = options.check(opts, OPTIONS, "form_data")
  local boundary = check_string(opts, "boundary")
  if boundary and (not boundary:find(BOUNDARY) or boundary:find(" $")
    or #boundary > BOUNDARY_MAX) then
    errors.raise("type", ("%q cannot be a boundary"):format(boundary),
      { code = "invalid_boundary" })
  end
  local form = setmetatable({ boundary = boundary or new_boundary(), _is_given = boundary ~= nil,
    _is_multipart = opts.multipart == true, _fields = {} }, FormData)
  return opts.fields and form:add_fields(opts.fields) or form
end

---True for a form.
---@private
function M.is_form(value)
  return getmetatable(value) == FormData
end

M._FormData = FormData

return M
