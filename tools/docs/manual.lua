-- SPDX-License-Identifier: MIT
-- tools/docs/manual.lua: the model as pages of Markdown.
--
-- Owns: the form of an entry, and the links between them. The model is that of
-- tools/docs/sources.lua.

local manual = {}

local function add(lines, ...)
  for _, line in ipairs({ ... }) do lines[#lines + 1] = line end
end

-- ------------------------------------------------------------------- links

-- GitHub's anchor of a heading.
local function anchor(heading)
  return (heading:lower():gsub("[^%w_ -]", ""):gsub(" ", "-"))
end

local function linked_line(model, line, page, self)
  return (line:gsub("`([^`]+)`", function(name)
    local full = name:gsub("[({?%[].*$", "")
    local target = model.targets[full]
      or full:find("^http%.") and model.targets["weft." .. full] -- as scripts call it
    if not target or target == self then return nil end
    local file = target.page ~= page and model.pages[target.page].name .. ".md" or ""
    return ("[`%s`](%s#%s)"):format(name, file, anchor(target.heading))
  end))
end

-- A text on a page (nil: the index), each name in backquotes linked to its entry, except in
-- fences. `self` is the entry that the text is of.
local function linked(model, text, page, self)
  local lines, is_code = {}, false
  for line in (text .. "\n"):gmatch("(.-)\n") do
    if line:find("^```") then is_code = not is_code end
    add(lines, is_code and line or linked_line(model, line, page, self))
  end
  return table.concat(lines, "\n")
end

-- ----------------------------------------------------------------- entries

local function add_paragraphs(lines, paragraphs)
  for _, text in ipairs(paragraphs) do add(lines, text, "") end
end

local function add_list(lines, title, list, head)
  if not list[1] then return end
  add(lines, title, "")
  for _, one in ipairs(list) do
    add(lines, "- " .. head(one) .. (one.text ~= "" and ": " .. one.text or ""))
  end
  add(lines, "")
end

-- A type, the parts of a plain union apart, so that each can be a link.
local function type_text(kind)
  if kind:find("[({<\"]") then return "`" .. kind .. "`" end
  return "`" .. kind:gsub("%s*|%s*", "` | `") .. "`"
end

local function named_head(one) return ("`%s` (%s)"):format(one.name, type_text(one.type)) end
local function choice_head(choice) return ('`"%s"`'):format(choice.value) end

local function return_head(result)
  local name = result.name == "..." and " …" or result.name and " *" .. result.name .. "*" or ""
  return type_text(result.type) .. name
end

local function add_member(lines, member)
  local block, names = member.block, {}
  for _, param in ipairs(block.params) do add(names, param.name) end
  add(lines, ("`%s(%s)`%s"):format(member.name_in_full, table.concat(names, ", "),
    block.is_async and " · *waits*" or ""), "")
  add_paragraphs(lines, block.plain)
  add_list(lines, "Parameters:", block.params, named_head)
  add_list(lines, "Returns:", block.returns, return_head)
  add_paragraphs(lines, block.raises)
  add_paragraphs(lines, block.examples)
end

local function add_type(lines, block)
  add_paragraphs(lines, block.plain)
  if block.parent then add(lines, ("It has what `%s` has, and:"):format(block.parent), "") end
  if block.alias and block.type then add(lines, type_text(block.type), "") end
  add_list(lines, "Fields:", block.fields, named_head)
  add_list(lines, "One of:", block.choices or {}, choice_head)
  add_paragraphs(lines, block.examples)
end

-- The part of a page that tells of one entry.
local function section(model, entry)
  local lines = { (entry.owner and "### " or "## ") .. entry.heading, "" }
  if entry.class then
    add_member(lines, entry)
  else
    add_type(lines, entry.block)
  end
  return linked(model, table.concat(lines, "\n"), entry.page, entry)
end

-- ------------------------------------------------------------------- pages

-- The text of the page of this number; nil if nothing is on it.
function manual.page(model, number, mark)
  local page = model.pages[number]
  local text = page.summary .. "\n" .. (page.text and "\n" .. page.text or "")
  local parts = { ("<!-- %s. -->\n\n# %s\n\n%s"):format(mark, page.title,
    linked(model, text, number)) }
  for _, entry in ipairs(model.entries) do
    if entry.page == number then add(parts, section(model, entry)) end
  end
  return parts[2] and table.concat(parts, "\n") or nil
end

-- A link to an entry from the index.
local function link(model, entry, text)
  return ("[`%s`](%s.md#%s)"):format(text, model.pages[entry.page].name, anchor(entry.heading))
end

-- The names on a page: its functions, then a line for each class with its methods.
local function names_on(model, number)
  local functions, classes, methods = {}, {}, {}
  for _, entry in ipairs(model.entries) do
    local owner = entry.owner
    if entry.page == number and owner then
      local separator = methods[owner][1] and ",\n  " or ": "
      add(methods[owner], separator .. link(model, entry, entry.is_call and "()" or entry.name))
    elseif entry.page == number and entry.class then
      add(functions, link(model, entry, entry.name_in_full))
    elseif entry.page == number then
      methods[entry] = {}
      add(classes, entry)
    end
  end
  local lines = { table.concat(functions, ",\n") }
  for _, entry in ipairs(classes) do
    add(lines, "- " .. link(model, entry, entry.name_in_full) .. table.concat(methods[entry]))
  end
  return lines
end

-- The index: what holds everywhere, then each page with the names on it.
function manual.index(model, conventions, mark)
  local parts = { ("<!-- %s. -->\n\n# Reference\n"):format(mark), linked(model, conventions) }
  for number, page in ipairs(model.pages) do
    local names = names_on(model, number)
    if table.concat(names) ~= "" then
      add(parts, ("## [%s](%s.md)\n\n%s\n"):format(page.title, page.name,
        linked(model, page.summary)))
      if names[1] ~= "" then add(parts, names[1] .. "\n") end
      if names[2] then add(parts, table.concat(names, "\n", 2) .. "\n") end
    end
  end
  return table.concat(parts, "\n")
end

return manual
