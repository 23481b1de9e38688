-- SPDX-License-Identifier: MIT
-- tools/docs/stubs.lua: the model as a file for the Lua language server: annotations above
-- empty functions.
--
-- Owns: its form. The model is that of tools/docs/sources.lua.

local stubs = {}

local function add(lines, ...)
  for _, line in ipairs({ ... }) do lines[#lines + 1] = line end
end

local function add_all(lines, list)
  for _, line in ipairs(list) do lines[#lines + 1] = line end
end

-- The type of a member as a function's, for objects that are called.
local function function_type(block)
  local params, returns = {}, {}
  for _, one in ipairs(block.params) do add(params, one.name .. ": " .. one.type) end
  for _, one in ipairs(block.returns) do add(returns, one.type) end
  return ("%sfun(%s)%s"):format(block.is_async and "async " or "", table.concat(params, ", "),
    returns[1] and ": " .. table.concat(returns, ", ") or "")
end

local function add_class(lines, class)
  local block = class.block
  for _, text in ipairs(block.text) do add(lines, "---" .. text) end
  add(lines, ("---@class %s%s"):format(class.name, block.parent and ": " .. block.parent or ""))
  for _, field in ipairs(block.fields) do
    add(lines, ("---@field %s %s %s"):format(field.name, field.type, field.text):match("^.*%S"))
  end
  for _, overload in ipairs(block.overloads) do add(lines, "---@overload " .. overload.type) end
  for _, member in ipairs(class.members) do
    if member.is_call then add(lines, "---@overload " .. function_type(member.block)) end
  end
  add(lines, ("local %s = {}"):format(class.short_name), "")
end

local function add_member(lines, member)
  local names = {}
  for _, param in ipairs(member.block.params) do add(names, param.name) end
  add_all(lines, member.block.raw)
  add(lines, ("function %s%s%s(%s) end"):format(member.class.short_name,
    member.sep or member.owner and ":" or ".", member.name, table.concat(names, ", ")), "")
end

local function add_entry(lines, entry)
  if entry.is_call then
    return -- among the class's overloads
  elseif entry.class then
    add_member(lines, entry)
  elseif entry.members then
    add_class(lines, entry)
  else
    add_all(lines, entry.block.raw)
    add(lines, "")
  end
end

-- The module in whose stub an entry is: the longest with which its class's name begins.
local function home_of(model, entry)
  local name = (entry.class or entry).name .. "."
  local best
  for _, class in ipairs(model.class_list) do
    local is_prefix = name:sub(1, #class.name + 1) == class.name .. "."
    if class.is_module and is_prefix and (not best or #class.name > #best.name) then
      best = class
    end
  end
  return best
end

-- The stub of a module, which is one of the model's classes.
function stubs.make(model, module, mark)
  local lines = {}
  add(lines, "-- SPDX-License-Identifier: MIT",
    ("-- %s: types for the Lua language server."):format(module.name), "-- " .. mark .. ".",
    "---@meta " .. module.name, "")
  add_class(lines, module)
  for _, entry in ipairs(model.entries) do
    if home_of(model, entry) == module then add_entry(lines, entry) end
  end
  add(lines, "return " .. module.short_name, "")
  return table.concat(lines, "\n")
end

return stubs
