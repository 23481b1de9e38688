-- SPDX-License-Identifier: MIT
-- weft.http.body: what a script gives as the body of a request, made ready to be sent.
--
-- Owns: which value becomes which body, with which type and length.
-- Must not know: connections, or how a body is framed.
-- Invariant: `length`, where it is told, is what the body has.

local compress = require "weft.http.compress"
local core = require "weft.core"
local errors = require "weft.error"
local filebody = require "weft.http.filebody"
local jsonbody = require "weft.http.jsonbody"
local mime = require "weft.http.mime"
local multipart = require "weft.http.multipart"
local url = require "weft.url"

local M = {}

local OCTETS = "application/octet-stream"
local FORM = "application/x-www-form-urlencoded"

local function of_string(data, content_type)
  return { body = data, length = #data, content_type = content_type, is_replayable = true }
end

--- sources ------------------------------------------------------------------------

local function wrong_piece(piece)
  errors.raise("type", ("the body's function must return strings, and nil at the end, got %s")
    :format(type(piece)), { code = "invalid_body" })
end

local function of_function(fn, length)
  return { length = length, content_type = OCTETS, is_replayable = false,
    body = function()
      local piece = fn()
      if piece ~= nil and type(piece) ~= "string" then
        wrong_piece(piece)
      end
      return piece
    end }
end

local function of_stream(stream, length)
  return of_function(function()
    local data = stream:read()
    return data ~= "" and data or nil
  end, length)
end

local function of_file(file)
  local part = filebody.open(file)
  return { body = part.start(), length = part.length, content_type = part.content_type,
    is_replayable = part.is_replayable, rewind = part.is_replayable and part.start or nil,
    close = part.close }
end

--- tables -------------------------------------------------------------------------

local function is_streamed(value)
  return filebody.is_file(value) or type(value) == "function"
end

local function has_file(value)
  if type(value) ~= "table" or getmetatable(value) ~= nil then
    return is_streamed(value)
  end
  for _, one in ipairs(value) do
    if is_streamed(one) then
      return true
    end
  end
  return false
end

-- A table that is neither a list nor a text is no value; `{path = …}` is none either, as what
-- has that form may come from somebody else.
local function check_value(name, value)
  if type(value) == "table" and getmetatable(value) == nil and #value == 0
    and next(value) ~= nil then
    errors.raise("type", ("the form's field '%s' is a table that is no list (a file is "
      .. "http.file(path), a field with options needs http.form_data)"):format(tostring(name)),
      { code = "invalid_body" })
  end
end

-- A table as a form: multipart if there is a file among its values.
local function of_table(data)
  local is_multipart = false
  for key, value in pairs(data) do
    if type(key) == "number" and type(value) == "table" then
      key, value = value[1], value[2]
    end
    check_value(key, value)
    is_multipart = is_multipart or has_file(value)
  end
  if is_multipart then
    return multipart.form_data({ fields = data }):_prepare()
  end
  return of_string(url.encode_query(data), FORM)
end

--- choosing -----------------------------------------------------------------------

-- The length that the script has told for what it streams.
local function told_length(fields)
  local value = fields and fields:get("Content-Length")
  return value and value:find("^%d+$") and tonumber(value) or nil
end

local function of_data(data, fields)
  local kind, meta = type(data), getmetatable(data)
  if kind == "string" then
    return of_string(data, OCTETS)
  elseif kind == "function" then
    return of_function(data, told_length(fields))
  elseif multipart.is_form(data) then
    return data:_prepare()
  elseif filebody.is_file(data) then
    return of_file(data)
  elseif kind == "userdata" and meta == core.classes.Stream then
    return of_stream(data, told_length(fields))
  elseif type(meta) == "table" and meta.__call then
    return of_function(data, told_length(fields))
  elseif kind == "table" and meta == nil then
    return of_table(data)
  end
  local what = kind == "table" and tostring(data) or kind
  if io.type(data) then
    what = "a file of Lua's io, which would hold up the loop: use http.file(path)"
  end
  errors.raise("type", ("data must be a string, a table, a form, a file or a function, got %s")
    :format(what), { code = "invalid_body" })
end

-- A Content-Type that the script set wins; but a form cannot be read without its boundary.
local function settle_type(prepared, fields)
  local given = fields and fields:get("Content-Type")
  if not given then
    return
  end
  local boundary = prepared.content_type:match('^multipart/form%-data; boundary="?([^"]*)')
  local parsed = boundary and mime.parse_mime(given)
  if parsed and parsed.type == "multipart" and parsed.parameters.boundary ~= boundary then
    errors.raise("type", ("Content-Type: %s lacks the form's boundary: leave that header to the "
      .. "form"):format(given), { code = "invalid_header" })
  end
  prepared.content_type = nil
end

--- compressing --------------------------------------------------------------------

-- A source of what is no source yet.
local function source_of(body)
  if type(body) == "function" then
    return body
  end
  local list, i = type(body) == "string" and { body } or body, 0
  return function()
    i = i + 1
    return list[i]
  end
end

local function compressed(prepared, coding)
  local body, rewind = prepared.body, prepared.rewind
  local is_source = type(body) == "function"
  prepared.content_encoding = coding
  if not is_source and prepared.length <= compress.WHOLE_MAX then
    body = type(body) == "table" and table.concat(body) or body
    prepared.body = compress.string(coding, body)
    prepared.length = #prepared.body
    return
  end
  prepared.body = compress.source(coding, source_of(body))
  prepared.length = nil
  if prepared.is_replayable then
    function prepared.rewind()
      return compress.source(coding, source_of(rewind and rewind() or body))
    end
  end
end

local function settle_coding(prepared, option, fields)
  local coding = compress.coding(option)
  if not coding then
    return
  elseif fields and fields:get("Content-Encoding") then
    errors.raise("type", "compress cannot be given together with a Content-Encoding header",
      { code = "invalid_header" })
  end
  compressed(prepared, coding)
end

---What a body is made of, ready to be sent.
---@private
---@class weft.http.Prepared
---@field body string | string[] | (async fun(): string?) a source gives nil at the end
---@field length integer? bytes; nil: unknown, to be sent in chunks
---@field content_type string? nil: the script has set the header
---@field content_encoding string? "gzip" or "deflate"
---@field is_replayable boolean whether it can be sent again: as it is, or by `rewind`
---@field rewind (fun(): function)? gives a fresh source; nil where `body` is none
---@field close fun()? to be called when the body is needed no more

---Makes the body of a request from its options `data`, `json` and `compress`; `fields` are the
---headers that the script has set, in which a Content-Type goes before the one that the body
---suggests, and a Content-Length tells the length of what is streamed.
---
---`data` is a string; a table, which is an urlencoded form, or a multipart one if there is a file
---among its values; `http.form_data()`; `http.file(path)` or an open file, from where it stands; a
---function (also an iterator, or any object that can be called) which returns the next string, nil
---at the end; or a stream, up to its end. `json` is any value; `compress` is true (deflate), "gzip"
---or "deflate".
---
---Raises `type` for what cannot be a body, and for both of `data` and `json`; `os` for a file that
---cannot be sent; `closed`; `state` (code "no_cjson"); `cancelled`.
---@async
---@private
---@param opts {data: any, json: any, compress: (boolean|string)?}
---@param fields weft.http.Headers?
---@return weft.http.Prepared? prepared nil if there is no body
function M.prepare(opts, fields)
  local data, json = opts.data, opts.json
  local prepared
  if json ~= nil then
    if data ~= nil then
      errors.raise("type", "data and json cannot be given together", { code = "two_bodies" })
    end
    prepared = of_string(jsonbody.encode(json), "application/json")
  elseif data ~= nil then
    prepared = of_data(data, fields)
  else
    return nil
  end
  settle_type(prepared, fields)
  settle_coding(prepared, opts.compress, fields)
  return prepared
end

return M
