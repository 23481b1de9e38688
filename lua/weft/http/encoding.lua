-- SPDX-License-Identifier: MIT
-- weft.http.encoding: text from bytes: which encoding they are in, and decoding, whole or
-- piece by piece.
--
-- Owns: where the encoding of a document is looked for, and in which order.
-- Must not know: connections and responses.
-- Invariant: what `replace` and `ignore` give is well-formed UTF-8, whatever the bytes.

local charsets = require "weft.http.charsets"
local core = require "weft.core"
local errors = require "weft.error"
local mime = require "weft.http.mime"
local options = require "weft.options"

-- How far the beginning of a document is searched for its encoding, as in the HTML Standard.
local PRESCAN = 1024

-- The numbers are those of src/bind/l_text.c.
local ERRORS = { replace = 0, strict = 1, ignore = 2 }
local OPTIONS = { errors = "string" }

local REPLACEMENT, BOM = "\239\191\189", "\239\187\191"

---@class weft.http
local M = {}

--- decoding -----------------------------------------------------------------------

-- Made once: a table for each encoding that has one; of those that iconv reads, one that
-- nobody uses, as it has a state.
local tables, idle = {}, {}

local function no_charset(name)
  errors.raise("decode", ("%s is not known to this system's iconv"):format(name),
    { code = "unknown_encoding", encoding = name })
end

-- What decodes: fn(bytes, errors, is_last) -> text or nil, how many bytes were used.
local READERS = {}

function READERS.utf8()
  return core.decode_utf8
end

function READERS.utf16le()
  return function(...) return core.decode_utf16(false, ...) end
end

function READERS.utf16be()
  return function(...) return core.decode_utf16(true, ...) end
end

-- The encodings that nobody should use, and in which text could hide: one error.
function READERS.replacement()
  local has_begun = false
  return function(bytes, on_error)
    if has_begun or bytes == "" then
      return "", #bytes
    end
    has_begun = true
    if on_error == ERRORS.strict then
      return nil, 0
    end
    return on_error == ERRORS.replace and REPLACEMENT or "", #bytes
  end
end

function READERS.table(name, method)
  local charset = tables[name] or core.charset_table(method.charset, method.patches)
  tables[name] = charset or no_charset(name)
  return function(bytes, on_error) return core.decode_table(charset, bytes, on_error) end
end

function READERS.iconv(name, method)
  local charset = idle[name] or core.charset_open(method.charset, method.leads, method.patches)
  idle[name] = nil
  if not charset then
    no_charset(name)
  end
  return function(bytes, on_error, is_last)
    local text, used = core.decode_iconv(charset, bytes, on_error, is_last)
    if text and is_last then
      idle[name] = charset
    end
    return text, used
  end
end

local function name_of(label)
  local name = charsets.name(options.expect(label, "string", "the encoding"))
  if not name then
    errors.raise("decode", ("there is no encoding '%s'"):format(label),
      { code = "unknown_encoding", encoding = label })
  end
  return name
end

local function check_errors(opts, what)
  opts = options.check(opts, OPTIONS, what)
  local number = ERRORS[opts.errors or "replace"]
  if not number then
    errors.raise("type", ("%s: errors must be 'replace', 'strict' or 'ignore', got '%s'")
      :format(what, tostring(opts.errors)))
  end
  return number
end

---Decodes a text that comes in pieces, split anywhere.
---@class weft.http.Decoder
---@field encoding string the encoding's name
local Decoder = {}
Decoder.__index = Decoder
Decoder.__name = "weft.http.Decoder"

-- A mark at the very beginning of UTF-8 and UTF-16 says what they are, and is no text.
local function without_bom(decoder, text)
  if decoder._has_begun or text == "" then
    return text
  end
  decoder._has_begun = true
  return decoder._has_bom and text:sub(1, 3) == BOM and text:sub(4) or text
end

---Decodes the next piece. A character that is cut at its end is kept for the next one, unless
---it is the last: then it is malformed. After the last piece another text can begin.
---
---Raises `decode` (code "malformed", `encoding`, `offset`: how many bytes of the text are before
---what is malformed) with `errors = "strict"`.
---@param bytes string
---@param is_last boolean?
---@return string text UTF-8
function Decoder:decode(bytes, is_last)
  options.expect(bytes, "string", "the bytes")
  bytes = self._rest ~= "" and self._rest .. bytes or bytes
  self._read = self._read or READERS[self._method.kind](self.encoding, self._method)
  local text, used = self._read(bytes, self._errors, is_last or false)
  local offset = self._offset + used
  if not text or is_last then
    self._read, self._offset, self._rest = nil, 0, ""
  else
    self._offset, self._rest = offset, bytes:sub(used + 1)
  end
  if not text then
    self._has_begun = false
    errors.raise("decode", ("malformed %s at byte %d"):format(self.encoding, offset),
      { code = "malformed", encoding = self.encoding, offset = offset })
  end
  text = without_bom(self, text)
  self._has_begun = self._has_begun and not is_last
  return text
end

---A decoder for an encoding, by any of its labels on the web. What is malformed becomes U+FFFD
---(`errors = "replace"`), is left out ("ignore") or raises ("strict"). A byte order mark of UTF-8
---and UTF-16 is no part of the text.
---
---Raises `decode` (code "unknown_encoding").
---@param label string
---@param opts {errors: string?}?
---@return weft.http.Decoder
function M.decoder(label, opts)
  local name = name_of(label)
  local method = charsets.method(name)
  return setmetatable({ encoding = name, _method = method, _errors = check_errors(opts, "decoder"),
    _has_bom = method.kind:sub(1, 3) == "utf", _has_begun = false, _rest = "", _offset = 0 },
    Decoder)
end

---Decodes bytes, as `weft.http.decoder` does.
---
---Raises `decode` (code "unknown_encoding"; "malformed" with `errors = "strict"`).
---@param bytes string
---@param label string
---@param opts {errors: string?}?
---@return string text UTF-8
function M.decode(bytes, label, opts)
  if label == "UTF-8" and opts == nil then -- what nearly all is
    options.expect(bytes, "string", "the bytes")
    local text = core.decode_utf8(bytes, ERRORS.replace, true)
    return text:sub(1, 3) == BOM and text:sub(4) or text
  end
  return M.decoder(label, opts):decode(bytes, true)
end

---The name of the encoding that a label stands for, as browsers take it: that of "latin1" is
---"windows-1252".
---@param label string
---@return string? name nil if there is none
function M.encoding_name(label)
  return charsets.name(options.expect(label, "string", "the label"))
end

--- which encoding -----------------------------------------------------------------

local BOMS = { { BOM, "UTF-8" }, { "\254\255", "UTF-16BE" }, { "\255\254", "UTF-16LE" } }

local function of_bom(bytes)
  for _, entry in ipairs(BOMS) do
    if bytes:sub(1, #entry[1]) == entry[1] then
      return entry[2]
    end
  end
end

local SPACE = "[\t\n\f\r ]"

-- The encoding in the `content` of a <meta>: "text/html; charset=…".
local function of_content(content)
  local at = 1
  while true do
    local _, stop = content:lower():find("charset", at, true)
    if not stop then
      return nil
    end
    at = content:match("^" .. SPACE .. "*()", stop + 1)
    if content:sub(at, at) == "=" then
      break
    end
  end
  at = content:match("^=" .. SPACE .. "*()", at)
  local quote = content:match("^[\"']", at)
  local label = quote and content:match("^([^" .. quote .. "]*)" .. quote, at + 1)
    or not quote and content:match("^[^\t\n\f\r ;]+", at)
  return label and charsets.name(label)
end

-- The attribute at `at`: name and value, and where it ends. No name where the tag ends; no
-- position where the bytes do.
local function read_attribute(bytes, at)
  at = bytes:match("^[\t\n\f\r /]*()", at)
  if bytes:sub(at, at) == ">" then
    return nil, nil, at
  end
  local name, stop = bytes:match("^(=?[^=\t\n\f\r />]*)()", at)
  at = bytes:match("^" .. SPACE .. "*()", stop)
  if at > #bytes then
    return nil
  elseif bytes:sub(at, at) ~= "=" then
    return name:lower(), "", at
  end
  at = bytes:match("^" .. SPACE .. "*()", at + 1)
  local quote = bytes:match("^[\"']", at)
  local value
  if quote then
    value, stop = bytes:match("^([^" .. quote .. "]*)" .. quote .. "()", at + 1)
  else
    value, stop = bytes:match("^([^\t\n\f\r >]*)()", at)
    stop = stop <= #bytes and stop or nil
  end
  return name:lower(), value, stop
end

-- The encoding that the attributes of a <meta> from `at` on name, and where they end.
local function of_meta(bytes, at)
  local has_pragma, needs_pragma, charset, seen = false, nil, nil, {}
  while true do
    local name, value, stop = read_attribute(bytes, at)
    at = stop
    if not name or not at then
      break
    elseif not seen[name] then
      seen[name] = true
      if name == "http-equiv" then
        has_pragma = value:lower() == "content-type"
      elseif name == "content" and not charset then
        charset = of_content(value)
        needs_pragma = charset and true or needs_pragma
      elseif name == "charset" then
        charset, needs_pragma = charsets.name(value), false
      end
    end
  end
  return needs_pragma ~= nil and (has_pragma or not needs_pragma) and charset or nil, at
end

local function skip_attributes(bytes, at)
  while at do
    local name, _, stop = read_attribute(bytes, at)
    at = stop
    if not name then
      break
    end
  end
  return at
end

-- What could not be read if it were true: it is ASCII, as the search found it.
local SENSIBLE = { ["UTF-16LE"] = "UTF-8", ["UTF-16BE"] = "UTF-8",
  ["x-user-defined"] = "windows-1252" }

-- The encoding of the thing that begins with the "<" at `at`, if it tells one; and where to go on.
local function of_tag(bytes, at)
  if bytes:find("^<!%-%-", at) then
    local _, stop = bytes:find("-->", at + 2, true)
    return nil, stop and stop + 1
  elseif bytes:find("^<[mM][eE][tT][aA][\t\n\f\r /]", at) then
    local charset, stop = of_meta(bytes, at + 5)
    return stop and charset, stop
  elseif bytes:find("^</?%a", at) then
    local stop = bytes:match("^[^\t\n\f\r >]*()", at)
    return nil, skip_attributes(bytes, stop)
  elseif bytes:find("^<[!/?]", at) then
    local stop = bytes:find(">", at, true)
    return nil, stop and stop + 1
  end
  return nil, at + 1
end

-- The encoding in an XML declaration.
local function of_xml(bytes)
  if bytes:sub(1, 6) == "<\0?\0x\0" then
    return "UTF-16LE"
  elseif bytes:sub(1, 6) == "\0<\0?\0x" then
    return "UTF-16BE"
  end
  local declaration = bytes:match("^<%?xml[\t\n\f\r ]([^>]*)>")
  local label = declaration and (declaration:match("encoding%s*=%s*\"([^\"]*)\"")
    or declaration:match("encoding%s*=%s*'([^']*)'"))
  local name = label and charsets.name(label)
  return name and (SENSIBLE[name] or name)
end

---The encoding that an HTML or XML document names in its first bytes, in a `<meta>` or an XML
---declaration, found as the HTML Standard says.
---@param bytes string
---@param max integer? how many bytes to search; default 1024
---@return string? name nil if it names none
function M.prescan(bytes, max)
  bytes = options.expect(bytes, "string", "the bytes"):sub(1, max or PRESCAN)
  local declared = of_xml(bytes)
  if declared and declared:sub(1, 6) == "UTF-16" then
    return declared
  end
  local at = 1
  while at do
    local charset
    at = bytes:find("<", at, true)
    if at then
      charset, at = of_tag(bytes, at)
    end
    if charset then
      return SENSIBLE[charset] or charset
    end
  end
  return declared
end

-- The types that were asked for: a server has few.
local TYPES_MAX, TYPE_LENGTH_MAX = 64, 256
local types, type_count = {}, 0

local function parsed_type(text)
  local parsed = types[text]
  if parsed == nil then
    parsed = mime.parse_mime(text) or false
    if #text <= TYPE_LENGTH_MAX then
      if type_count >= TYPES_MAX then
        types, type_count = {}, 0
      end
      types[text], type_count = parsed, type_count + 1
    end
  end
  return parsed
end

---The encoding of a body: what its Content-Type says, else its byte order mark, else (in HTML
---and XML, or where the type is not known) what the document says, else the fallback. An unknown
---label says nothing. If the type says UTF-16, a mark of the other byte order is right.
---
---Raises `decode` (code "unknown_encoding") if the fallback is none.
---@param content_type string? the value of the field
---@param bytes string the beginning of the body: 1024 bytes, or all
---@param fallback string? a label; default "utf-8"
---@return string name
---@return string source "header", "bom", "document" or "fallback"
function M.charset_of(content_type, bytes, fallback)
  local parsed = content_type and parsed_type(content_type)
  local label = parsed and parsed.parameters.charset
  local name, marked = label and charsets.name(label), of_bom(bytes)
  if name and not (marked and name:sub(1, 6) == "UTF-16") then
    return name, "header"
  elseif marked then
    return marked, "bom"
  elseif name then
    return name, "header"
  end
  name = (not parsed or parsed:is_markup()) and M.prescan(bytes)
  if name then
    return name, "document"
  end
  return name_of(fallback or "utf-8"), "fallback"
end

return M
