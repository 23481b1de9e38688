-- SPDX-License-Identifier: MIT
-- tools/docs/sources.lua: what the sources document (classes, members, aliases), and what
-- is wrong with it.
--
-- Owns: the model that stubs and manual are made of. Knows neither Markdown nor the form of
-- a stub. The model:
--   entries: all that has a heading in the manual, in its order: functions and methods
--     { class =, name =, block =, owner = (a method's class) }, classes { members = }, and
--     aliases; each with name_in_full, heading, page (a number), file and line
--   targets: the entries by their full names; a field's and an inherited method's too
--   class_list: all classes; those with is_module are modules, and have no heading
--   problems: what is wrong: { path =, line =, why = }

local here = debug.getinfo(1, "S").source:match("^@(.*/)") or ""
local annotations = dofile(here .. "annotations.lua")

local sources = {}

-- ----------------------------------------------------------------- reading

local function extend(list, values)
  for _, value in ipairs(values) do
    list[#list + 1] = value
  end
end

-- The class of this name. Its block is made of those above all its tables.
local function open_class(file, block)
  local model = file.model
  local class = model.classes[block.class]
  if not class then
    class = { name = block.class, short_name = block.class:match("[^.]+$"), file = file,
      line = block.line, block = block, members = {}, undocumented = {} }
    model.classes[block.class] = class
    table.insert(model.class_list, class)
    return class
  end
  for _, key in ipairs({ "text", "plain", "raises", "examples", "fields", "overloads" }) do
    extend(class.block[key], block[key])
  end
  return class
end

-- The fields in a class's constructor of several lines, from the line after its `{`: those
-- with a block are the class's; the others must be told elsewhere.
local function read_constructor(file, class, line)
  local lines, block = file.lines, nil
  while lines[line] and not lines[line]:find("^}") do
    if annotations.is_doc(lines[line]) then
      block, line = annotations.parse(lines, line, file.report)
    else
      local name = lines[line]:match("^  ([%a_][%w_]*)%s*=")
      local field = { name = name, line = line, file = file }
      if name and block then
        field.type, field.text = block.type or "any", table.concat(block.text, " ")
        table.insert(class.block.fields, field)
      elseif name and not name:find("^_") then
        table.insert(class.undocumented, field)
      end
      block, line = nil, line + 1
    end
  end
end

-- The names in the parameter list that opens behind `prefix` in this line.
local function signature(file, line, prefix)
  local text = table.concat(file.lines, " ", line, math.min(line + 9, #file.lines))
  local names = {}
  for name in (text:match("^%s*(%b())", #prefix + 1) or ""):gmatch("[%w_.]+") do
    names[#names + 1] = name
  end
  return names
end

-- The member of a known class that a line defines, or nil. `sep` is "." or ":", nil where
-- the line does not tell.
local function member_at(file, line)
  local text = file.lines[line] or ""
  local prefix, var, sep, name = text:match("^(function ([%w_]+)([.:])([%w_]+))%s*%(")
  if not prefix then
    var, name = text:match("^([%a_][%w_]*)%.([%w_]+)%s*=")
    prefix = text:match("^([%w_.]+%s*=%s*function)%s*%(")
  end
  local class = var and file.vars[var]
  if not class then return nil end
  local names = prefix and signature(file, line, prefix)
  if names and names[1] == "self" then
    sep = table.remove(names, 1) and ":"
  end
  return { class = class, name = name, sep = sep, signature = names, line = line, file = file }
end

local function read_member(file, line, block)
  local member = member_at(file, line)
  if not member or block and block.is_private then return end
  member.is_call, member.block = member.name == "__call", block
  if member.is_call and block or not member.name:find("^_") then
    table.insert(member.class.members, member)
  end
end

-- A line with the block above it, if there is one.
local function read_line(file, line, block)
  local text = file.lines[line] or ""
  local var, returned = text:match("^local ([%w_]+)%s*="), text:match("^return ([%w_]+)%s*$")
  if block and block.is_private and (block.class or block.alias) then
    return -- nor are its members anybody's
  elseif block and block.class and var then
    file.vars[var] = open_class(file, block)
    if text:find("{%s*$") then read_constructor(file, file.vars[var], line + 1) end
  elseif block and block.class then
    file.report(block.line, "---@class belongs above `local NAME = …`")
  elseif block and block.alias then
    table.insert(file.model.aliases, { name = block.alias, block = block, file = file })
  elseif returned and file.vars[returned] then
    file.vars[returned].is_module = true
  elseif block and block.has_tags and not text:find("%S") then
    file.report(block.line, "a block with tags belongs to what is in the line below it")
  else
    read_member(file, line, block)
  end
end

local function read_file(model, path, text)
  local module = path:gsub("^lua/", ""):gsub("%.lua$", ""):gsub("/init$", ""):gsub("/", ".")
  local lines = {}
  for line in (text .. "\n"):gmatch("(.-)\r?\n") do lines[#lines + 1] = line end
  local file = { model = model, module = module, vars = {}, lines = lines }
  function file.report(line, why)
    table.insert(model.problems, { path = path, line = line, why = why })
  end
  local line = 1
  while line <= #lines do
    local block
    if lines[line]:find("^%-") and annotations.is_doc(lines[line]) then
      block, line = annotations.parse(lines, line, file.report)
    end
    read_line(file, line, block)
    line = line + 1
  end
end

-- --------------------------------------------------------------- arranging

-- What the manual calls an object of a class: task_group.
local function object_of(class)
  return (class.short_name:gsub("(%l)(%u)", "%1_%2"):lower())
end

-- What the manual calls a member: weft.run, task_group:create_task; an object that is
-- called: sequencer.
local function name_of(member)
  local class = member.class
  if class.is_module then return class.name .. "." .. member.name end
  local object = object_of(class)
  return member.is_call and object or object .. (member.sep or ":") .. member.name
end

-- The number of the page for what has this name and is in this file, and its rank there.
local function page_of(pages, name, file)
  local page, rank
  for number, candidate in ipairs(pages) do
    for i, also in ipairs(candidate.also or {}) do
      if also == name then return number, #candidate.from + i end
    end
    for i, module in ipairs(candidate.from) do
      if module == file.module then page, rank = number, i end
    end
  end
  return page, rank
end

local function add_entry(model, entry, name, owner)
  entry.name_in_full, entry.owner, entry.heading = name, owner, entry.heading or name
  entry.page, entry.rank = page_of(model.pages, owner and owner.name or name, entry.file)
  if entry.block then
    table.insert(model.entries, entry)
    model.targets[name] = model.targets[name] or entry
  end
end

-- What has no heading of its own and is told of under another: fields under their class,
-- inherited methods where they are from.
local function add_targets(model, class)
  for _, field in ipairs(class.block.fields) do
    model.targets[object_of(class) .. "." .. field.name] = class
  end
  local parent = model.classes[class.block.parent or ""]
  for _, member in ipairs(parent and parent.members or {}) do
    local name = object_of(class) .. (member.sep or ":") .. member.name
    model.targets[name] = model.targets[name] or member.block and member
  end
end

local function arrange(model)
  for _, class in ipairs(model.class_list) do
    if not class.is_module then
      class.heading = "class " .. class.name
      add_entry(model, class, class.name)
    end
    for _, member in ipairs(class.members) do
      add_entry(model, member, name_of(member), not class.is_module and class or nil)
    end
  end
  for _, alias in ipairs(model.aliases) do
    alias.line = alias.block.line
    add_entry(model, alias, alias.name)
  end
  for _, class in ipairs(model.class_list) do
    if not class.is_module then
      model.objects[object_of(class)] = true
      add_targets(model, class)
    end
  end
end

-- The order of the manual: on each page functions, then classes, each with its methods.
local function is_before(a, b)
  local top_a, top_b = a.owner or a, b.owner or b
  local has_class_a, has_class_b = top_a.class ~= nil, top_b.class ~= nil
  if a.page ~= b.page then return a.page < b.page end
  if has_class_a ~= has_class_b then return has_class_a end
  if a.rank ~= b.rank then return a.rank < b.rank end
  if top_a.line ~= top_b.line then return top_a.line < top_b.line end
  return a.line < b.line
end

-- ----------------------------------------------------------------- judging

-- The ---@param lines of a member beside its signature.
local function judge_params(member)
  local report, name = member.file.report, member.name_in_full
  local lines, is_known = {}, {}
  for _, param in ipairs(member.block.params) do lines[param.name] = param.line end
  for i, param in ipairs(member.signature) do
    is_known[param] = true
    if not lines[param] then
      report(member.line, ("%s: the parameter %s has no ---@param"):format(name, param))
    elseif lines[param] ~= (member.block.params[i] or {}).line then
      report(lines[param], ("%s: ---@param %s is not in the signature's order"):format(name, param))
    end
  end
  for _, param in ipairs(member.block.params) do
    if not is_known[param.name] then
      report(param.line, ("%s: there is no parameter %s"):format(name, param.name))
    end
  end
end

local function judge_member(member)
  local report, name, block = member.file.report, member.name_in_full, member.block
  if not block then
    return report(member.line, name .. " has no doc block")
  elseif #block.plain == 0 then
    report(block.line, name .. ": the doc block has no text")
  elseif block.is_async and #block.raises == 0 then
    report(block.line, name .. ' waits, and no paragraph begins with "Raises"')
  end
  if member.signature then judge_params(member) end
end

local function judge_class(class)
  if #class.block.plain == 0 then
    class.file.report(class.line, ("the class %s has no text"):format(class.name))
  end
  local is_known = {}
  for _, field in ipairs(class.block.fields) do is_known[field.name] = true end
  for _, member in ipairs(class.members) do
    if is_known[member.name] then
      member.file.report(member.line, member.name_in_full .. " is documented twice")
    end
    is_known[member.name] = true
    judge_member(member)
  end
  for _, field in ipairs(class.undocumented) do
    if not is_known[field.name] then
      field.file.report(field.line, ("%s.%s has no doc block"):format(class.name, field.name))
    end
  end
end

-- Whatever of weft's a text or a type names must be there.
local function judge_names(model, entry, line, text, pattern)
  for name in text:gmatch(pattern) do
    if not model.targets[name] and not model.classes[name] then
      entry.file.report(line, name .. " is documented nowhere")
    end
  end
end

-- The same for the objects: `loop:time()`, `task.context`.
local function judge_objects(model, entry, line, text)
  for object, sep, name in text:gmatch("`(%l[%l_]*)([.:])(%l[%l_]*)[^`]*`") do
    if model.objects[object] and not model.targets[object .. sep .. name] then
      entry.file.report(line, object .. sep .. name .. " is documented nowhere")
    end
  end
end

-- What is measured has a unit, in its text or as its name.
local function judge_unit(entry, one)
  if one.type:find("^number%??$") and one.text == "" and one.name ~= "seconds" then
    entry.file.report(one.line or entry.line,
      ("%s: in what unit is %s?"):format(entry.name_in_full, one.name or "the result"))
  end
end

local function judge_entry(model, entry)
  local block = entry.block
  if not entry.page then
    entry.file.report(entry.line, entry.name_in_full .. " is on no page: see tools/docs/pages.lua")
  end
  for _, list in ipairs({ block.params, block.returns, block.fields, block.overloads }) do
    for _, one in ipairs(list) do
      judge_names(model, entry, one.line, one.type, "%f[%w_]weft%.[%w_.]*%w")
      if one.text then judge_unit(entry, one) end
    end
  end
  for _, text in ipairs(annotations.prose(block.text)) do
    judge_names(model, entry, block.line, text, "`(weft%.[%w_.]*%w)[^`]*`")
    judge_objects(model, entry, block.line, text)
  end
end

local function judge(model)
  for _, class in ipairs(model.class_list) do judge_class(class) end
  for _, entry in ipairs(model.entries) do judge_entry(model, entry) end
  table.sort(model.problems, function(a, b)
    if a.path ~= b.path then return a.path < b.path end
    return a.line < b.line or a.line == b.line and a.why < b.why
  end)
end

-- The model of sources given as { [path] = text }, for the pages of tools/docs/pages.lua.
function sources.read(files, pages)
  local model = { pages = pages, classes = {}, class_list = {}, aliases = {}, entries = {},
    targets = {}, objects = {}, problems = {} }
  local paths = {}
  for path in pairs(files) do paths[#paths + 1] = path end
  table.sort(paths)
  for _, path in ipairs(paths) do read_file(model, path, files[path]) end
  arrange(model)
  judge(model)
  if not model.problems[1] then table.sort(model.entries, is_before) end
  return model
end

return sources
