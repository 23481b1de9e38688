-- SPDX-License-Identifier: MIT
-- tools/docs/annotations.lua: a doc block as data: its text, its tags, the types in them.
--
-- Owns: which tags there are and how each is read. Knows nothing of Lua code.

local annotations = {}

-- ------------------------------------------------------------------- types

local FIRST_OF_TYPE = {
  '^"[^"]*"()', "^'[^']*'()", "^%b()()", "^%b{}()", "^%.%.%.()", "^%-?%d+()",
  "^[%a_][%w_.]*%b<>()", "^[%a_][%w_.]*()",
}

local type_end

-- Where a `fun(…): …` that begins at `at` ends, exclusively; nil if there is none.
local function function_end(s, at)
  local last = s:match("^async%s+fun%s*%b()()", at) or s:match("^fun%s*%b()()", at)
  local following = last and s:match("^%s*:%s*()", last)
  while following do
    last = type_end(s, following)
    following = last and s:match("^%s*,%s*()", last)
  end
  return last
end

-- Where the type that begins at `at` ends, exclusively; nil if there is none.
function type_end(s, at)
  local last = function_end(s, at)
  for _, pattern in ipairs(FIRST_OF_TYPE) do
    last = last or s:match(pattern, at)
  end
  while last do
    local suffix = s:match("^%[%]()", last) or s:match("^%?()", last)
    local union = s:match("^%s*|%s*()", last)
    if union then return type_end(s, union) end
    if not suffix then return last end
    last = suffix
  end
end

-- The type at the start of `s`, and the text that follows it; nil if there is none.
local function take_type(s)
  local last = type_end(s, 1)
  if not last then return nil end
  return s:sub(1, last - 1), s:sub(last):match("^%s*#?%s*(.-)%s*$")
end

-- -------------------------------------------------------------------- tags

-- What each tag adds to its block; returns what is wrong, or nil.
local TAGS = {}

function TAGS.class(block, rest)
  block.class, block.parent = rest:match("^([%a_][%w_.]*)%s*:?%s*([%w_.]*)$")
  if block.parent == "" then block.parent = nil end
  return not block.class and "wants a name, and the class that it extends if any" or nil
end

function TAGS.alias(block, rest)
  local name, kind = rest:match("^([%a_][%w_.]*)%s*(.*)$")
  block.alias, block.type, block.choices = name, take_type(kind or ""), {}
  return not name and 'wants a name and a type, or values in lines of ---| "value"' or nil
end

local function add_named(list, rest, line)
  local name, after = rest:match("^([%w_]+)%??%s+(.*)$")
  if not name then name, after = rest:match("^(%.%.%.)%s+(.*)$") end
  if not name then name, after = rest:match("^(%[%l+%])%s+(.*)$") end -- any key of this type
  local kind, text = take_type(after or "")
  if not kind then return "wants a name and a type" end
  list[#list + 1] = { name = name, type = kind, text = text, line = line }
end

function TAGS.param(block, rest, line) return add_named(block.params, rest, line) end
function TAGS.field(block, rest, line) return add_named(block.fields, rest, line) end

TAGS["return"] = function(block, rest, line)
  local kind, text = take_type(rest)
  if not kind then return "wants a type" end
  local name, after = text:match("^([%a_][%w_]*)%s*(.*)$")
  if not name then name, after = text:match("^(%.%.%.)%s*(.*)$") end
  table.insert(block.returns, { type = kind, name = name, text = after or text, line = line })
end

function TAGS.overload(block, rest, line)
  if take_type(rest) ~= rest then return "wants a function's type" end
  table.insert(block.overloads, { type = rest, line = line })
end

function TAGS.type(block, rest)
  block.type = take_type(rest)
  return not block.type and "wants a type" or nil
end

function TAGS.async(block) block.is_async = true end
function TAGS.private(block) block.is_private = true end
function TAGS.diagnostic() end

-- ------------------------------------------------------------------ blocks

-- Whether a line documents. A heading of the form `--- words -----` does not.
function annotations.is_doc(line)
  local content = line and line:match("^%s*%-%-%-(.*)$")
  return content and (content == "" or not content:find("^%-") and not content:find("%-%-%-$"))
end

-- A line of text without the space that it may begin with; four are Markdown's for code. In a
-- fence only a comment may begin with one: it must not look like a heading.
local function text_of(content, block)
  if content:find("^```") then block.is_code = not block.is_code end
  if not block.is_code and content:find("^    ") then return content end
  return content:match(block.is_code and "^ (%-%-.*)$" or "^ (.*)$") or content
end

local function parse_line(block, content, line, report)
  local tag, rest = content:match("^@([%w_-]*)%s*(.-)%s*$")
  if tag then
    block.has_tags = true
    if not TAGS[tag] then return report(line, "unknown tag ---@" .. tag) end
    local complaint = TAGS[tag](block, rest, line)
    if complaint then report(line, ("---@%s %s"):format(tag, complaint)) end
  elseif block.choices and content:find("^|") then
    local value, text = content:match('^|%s*"([^"]*)"%s*#?%s*(.-)%s*$')
    if not value then return report(line, '---| wants a "value" and a text') end
    table.insert(block.choices, { value = value, text = text })
  elseif not block.has_tags then
    table.insert(block.text, text_of(content, block))
  elseif content:find("%S") then
    report(line, "text after a tag: it belongs above the tags")
  end
end

local function kind_of(paragraph)
  return paragraph:find("^```") and "examples" or paragraph:find("^Raises ") and "raises" or "plain"
end

-- The paragraphs of a text, given as lines, in three lists: plain, raises (those that begin
-- with that word) and examples (in fences, where empty lines do not count).
function annotations.paragraphs(lines)
  local found, part, is_open = { plain = {}, raises = {}, examples = {} }, {}, false
  local function finish()
    local text = table.concat(part, "\n")
    if text ~= "" then table.insert(found[kind_of(text)], text) end
    part = {}
  end
  for _, line in ipairs(lines) do
    local is_fence = line:find("^```")
    if is_fence and not is_open or not is_open and not line:find("%S") then finish() end
    if is_fence or is_open or line:find("%S") then part[#part + 1] = line end
    if is_fence and is_open then finish() end
    if is_fence then is_open = not is_open end
  end
  finish()
  return found
end

-- The lines of a text that are prose, not in a fence, and whether a fence is left open.
function annotations.prose(lines)
  local prose, is_open = {}, false
  for _, line in ipairs(lines) do
    local is_fence = line:find("^```")
    if is_fence then
      is_open = not is_open
    elseif not is_open then
      prose[#prose + 1] = line
    end
  end
  return prose, is_open
end

-- The doc block that begins at the line numbered `first`, and the number of the line after
-- it. What is wrong in it goes to report(line, why). The block:
--   line, text (its lines), plain, raises and examples (its paragraphs), raw (what a stub
--   repeats),
--   params, fields { name =, type =, text = }, returns { type =, name = or nil, text = },
--   overloads { type = }, class, parent, alias, choices { value =, text = }, type,
--   is_async, is_private, has_tags
function annotations.parse(lines, first, report)
  local block = { line = first, text = {}, raw = {}, params = {}, returns = {}, fields = {},
    overloads = {} }
  local line = first
  while annotations.is_doc(lines[line]) do
    local content = lines[line]:match("^%s*%-%-%-(.*)$")
    parse_line(block, content, line, report)
    if not content:find("^@diagnostic") then table.insert(block.raw, "---" .. content) end
    line = line + 1
  end
  for kind, list in pairs(annotations.paragraphs(block.text)) do block[kind] = list end
  if select(2, annotations.prose(block.text)) then report(first, "a fence is not closed") end
  return block, line
end

return annotations
