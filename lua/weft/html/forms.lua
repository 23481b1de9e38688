-- SPDX-License-Identifier: MIT
-- weft.html.forms: forms, filled in as a browser would send them.
--
-- Owns: the HTML Standard's construction of a form's entries. Must not know: how a body is made
-- of them.

local errors = require "weft.error"
local options = require "weft.options"
local query = require "weft.html.xpath"
local url = require "weft.url"

local M = {}

---A control of a form.
---@class weft.html.Control
---@field name string? nil: it is never sent
---@field type string an input's type, "select", "textarea", or a button's type
---@field value string? what it sends; of a select, of the first that is chosen
---@field values string[]? of a select: all that are chosen
---@field options string[]? of a select: all that can be
---@field is_checked boolean of checkboxes and radio buttons
---@field is_disabled boolean
---@field node weft.html.Node
local Control = {} -- luacheck: ignore 211

---A form.
---
---```lua
---local html = require "weft.html"
---local form = html.parse([[<form action="/search"><input name="q"><input name="n" value="10">
---  <button name="go" value="1">Go</button></form>]], { url = "http://a.example/" }):forms()[1]
---print(form:request({ q = "lua" })) --> GET	http://a.example/search?q=lua&n=10&go=1
---```
---@class weft.html.Form
---@field node weft.html.Node
---@field id string?
---@field name string?
---@field action string? absolute; nil if it cannot be made so
---@field method string "GET", "POST" or "DIALOG"
---@field enctype string "application/x-www-form-urlencoded", "multipart/form-data" or "text/plain"
---@field controls weft.html.Control[] all that have a part in it, in order
local Form = {}
Form.__index = Form
Form.__name = "weft.html.Form"

local METHODS = { get = "GET", post = "POST", dialog = "DIALOG" }
local URLENCODED = "application/x-www-form-urlencoded"
local ENCTYPES = { [URLENCODED] = true, ["multipart/form-data"] = true, ["text/plain"] = true }

local INPUT_TYPES = {}
for name in ([[hidden text search tel url email password date month week time datetime-local
  number range color checkbox radio file submit image reset button]]):gmatch("%S+") do
  INPUT_TYPES[name] = true
end

-- Of one line: a newline in the attribute is not in the value.
local ONE_LINE = { text = true, search = true, tel = true, url = true, email = true,
  password = true }

local function collapsed(text)
  return (text:gsub("[\t\n\f\r ]+", " "):gsub("^ ", ""):gsub(" $", ""))
end

--- controls -----------------------------------------------------------------------

local function option_value(node)
  return node:attr("value") or collapsed(node:text_content())
end

local function is_option_disabled(node)
  local parent = node:parent()
  return node:attr("disabled") ~= nil
    or parent:name() == "optgroup" and parent:attr("disabled") ~= nil
end

-- The options of a select that are chosen: of one for a single choice the last that says so,
-- else the first that can be.
local function chosen_options(node, found)
  local chosen, first = {}, nil
  for _, item in ipairs(found) do
    first = first or not is_option_disabled(item) and item or nil
    if item:attr("selected") then
      chosen[#chosen + 1] = item
    end
  end
  if node:attr("multiple") then
    return chosen
  elseif #chosen == 0 and (tonumber(node:attr("size") or 1) or 1) <= 1 then
    return { first }
  end
  return { chosen[#chosen] }
end

local function read_select(control, node)
  local found = query.xpath(node, "option | optgroup/option")
  control.type, control.options, control.values = "select", {}, {}
  for i, item in ipairs(found) do
    control.options[i] = option_value(item)
  end
  for _, item in ipairs(chosen_options(node, found)) do
    if not is_option_disabled(item) then
      control.values[#control.values + 1] = option_value(item)
    end
  end
  control.value = control.values[1]
end

local function read_input(control, node)
  local kind = (node:attr("type") or "text"):lower()
  control.type = INPUT_TYPES[kind] and kind or "text"
  local value = node:attr("value")
  if control.type == "checkbox" or control.type == "radio" then
    control.value, control.is_checked = value or "on", node:attr("checked") ~= nil
  elseif control.type == "file" then
    control.value = ""
  elseif control.type == "hidden" and control.name == "_charset_" then
    control.value = "UTF-8"
  else
    value = value or ""
    control.value = ONE_LINE[control.type] and value:gsub("[\r\n]", "") or value
  end
end

local READERS = {
  input = read_input,
  select = read_select,
  textarea = function(control, node)
    control.type = "textarea"
    control.value = node:text_content():gsub("\r\n?", "\n"):gsub("^\n", "")
  end,
  button = function(control, node)
    local kind = (node:attr("type") or "submit"):lower()
    control.type = (kind == "button" or kind == "reset") and kind or "submit"
    control.value = node:attr("value") or ""
  end,
}

-- Whether a control is disabled by itself or by a fieldset, whose first legend is spared.
local function is_disabled(node)
  if node:attr("disabled") then
    return true
  end
  local inner, outer = node, node:parent()
  while outer do
    if outer:name() == "fieldset" and outer:attr("disabled") then
      local legend = query.xpath(outer, "legend[1]")[1]
      if not legend or legend ~= inner then
        return true
      end
    end
    inner, outer = outer, outer:parent()
  end
  return false
end

local function read_control(node)
  local name = node:attr("name")
  local control = { name = name ~= "" and name or nil, node = node, is_checked = false,
    is_disabled = is_disabled(node) }
  READERS[node:name()](control, node)
  return control
end

local CONTROLS = "(%s//input | %s//select | %s//textarea | %s//button)[not(ancestor::datalist)]"

-- Those in the form but for those that belong to another one, and those elsewhere that name it.
local function control_nodes(doc, node)
  local id = node:attr("id")
  if not id or id == "" then
    return query.xpath(node, CONTROLS:gsub("%%s", ".") .. "[not(@form)]")
  end
  return query.xpath(doc, CONTROLS:gsub("%%s", "") .. "[@form = $id or not(@form) "
    .. "and ancestor::form[1][count(. | $node) = 1]]", { id = id, node = { node } })
end

-- Of radio buttons of one name only the last that says so is chosen.
local function settle_radios(controls)
  local chosen = {}
  for i = #controls, 1, -1 do
    local control = controls[i]
    if control.type == "radio" and control.is_checked and control.name then
      control.is_checked = not chosen[control.name]
      chosen[control.name] = true
    end
  end
end

local function method_of(text)
  return METHODS[(text or ""):lower()] or "GET"
end

local function enctype_of(text)
  text = (text or ""):lower()
  return ENCTYPES[text] and text or URLENCODED
end

local function action_of(doc, text)
  if text == nil or text:find("^[%z\1-\32]*$") then
    return doc:url()
  end
  return doc:absolute(text)
end

---@private
---@param doc weft.html.Document
---@param node weft.html.Node
---@return weft.html.Form
function M.new(doc, node)
  local controls = {}
  for i, found in ipairs(control_nodes(doc, node)) do
    controls[i] = read_control(found)
  end
  settle_radios(controls)
  return setmetatable({ node = node, id = node:attr("id"), name = node:attr("name"),
    action = action_of(doc, node:attr("action")), method = method_of(node:attr("method")),
    enctype = enctype_of(node:attr("enctype")), controls = controls, _document = doc }, Form)
end

--- sending ------------------------------------------------------------------------

local function is_submit(control)
  return control.type == "submit" or control.type == "image"
end

-- The button that sends the form: the one asked for, else the first that can; nil for none.
local function submitter_of(form, wanted)
  if wanted == false then
    return nil
  end
  for _, control in ipairs(form.controls) do
    if is_submit(control) and (wanted == nil and not control.is_disabled
      or wanted ~= nil and (control.name == wanted or control.node == wanted)) then
      return control
    end
  end
  if wanted ~= nil then
    errors.raise("type", ("the form has no button '%s' that sends it"):format(tostring(wanted)))
  end
end

local function newlines(text)
  return (text:gsub("\r\n?", "\n"):gsub("\n", "\r\n"))
end

-- Adds what a control sends when nobody touches it.
local function add_default(entries, control)
  local name = control.name
  if control.type == "image" then
    local prefix = name and name .. "." or ""
    entries[#entries + 1] = { prefix .. "x", "0" }
    entries[#entries + 1] = { prefix .. "y", "0" }
  elseif not name then
    return
  elseif control.values then
    for _, value in ipairs(control.values) do
      entries[#entries + 1] = { name, value }
    end
  elseif control.is_checked or control.type ~= "checkbox" and control.type ~= "radio" then
    entries[#entries + 1] = { name, newlines(control.value) }
  end
end

local function text_of(value, name)
  local kind = type(value)
  if kind == "number" and value == math.floor(value) and math.abs(value) < 2 ^ 53 then
    return ("%d"):format(value)
  elseif kind == "string" or kind == "number" then
    return newlines(tostring(value))
  end
  errors.raise("type", ("the value of '%s' must be a string, a number, a boolean or a list, "
    .. "got %s"):format(tostring(name), kind))
end

-- Adds what `value` says for a name: true is "as if checked", false is nothing.
local function add_given(entries, name, value, control)
  if value == true then
    entries[#entries + 1] = { name, control and control.value or "on" }
  elseif type(value) == "table" then
    for _, one in ipairs(value) do
      entries[#entries + 1] = { name, text_of(one, name) }
    end
  elseif value ~= false then
    entries[#entries + 1] = { name, text_of(value, name) }
  end
end

local function sorted_names(values)
  local names = {}
  for name in pairs(values) do
    if type(name) ~= "string" then
      errors.raise("type", ("a field's name must be a string, got %s"):format(type(name)))
    end
    names[#names + 1] = name
  end
  table.sort(names)
  return names
end

local DATA_OPTIONS = { submit = "any" }

local function entries_of(form, values, submitter)
  local names, entries, given = sorted_names(values), {}, {}
  for _, control in ipairs(form.controls) do
    local name = control.name
    local is_button = is_submit(control) or control.type == "button" or control.type == "reset"
    if name and values[name] ~= nil and not is_button then
      if not given[name] then
        given[name] = true
        add_given(entries, name, values[name], control)
      end
    elseif not control.is_disabled and (not is_button or control == submitter) then
      add_default(entries, control)
    end
  end
  for _, name in ipairs(names) do
    if not given[name] then
      add_given(entries, name, values[name])
    end
  end
  return entries
end

---What the form sends: a list of {name, value}. `values` are what a person would fill in: for a
---name a string, a number, a list of them, true (a checkbox is checked) or false (nothing is
---sent); names that the form does not have come last. The others send what they have. `submit`
---is the name (or the node) of the button that is pressed, or false for none; default: the first
---one.
---
---Raises `type`.
---@param values table<string, any>?
---@param opts {submit: any}?
---@return {[1]: string, [2]: string}[]
function Form:data(values, opts)
  opts = options.check(opts, DATA_OPTIONS, "form:data")
  values = options.expect(values or {}, "table", "form:data: the values")
  return entries_of(self, values, submitter_of(self, opts.submit))
end

-- text/plain: for people to read.
local function plain_text(entries)
  local lines = {}
  for i, entry in ipairs(entries) do
    lines[i] = entry[1] .. "=" .. entry[2] .. "\r\n"
  end
  return table.concat(lines)
end

local function multipart_of(entries)
  local data = require("weft.http.multipart").form_data({ multipart = true })
  for _, entry in ipairs(entries) do
    data:add_field(entry[1], entry[2])
  end
  return data
end

---What to request to send the form: `session:request(form:request({ q = "lua" }))`. For GET the
---entries are the URL's query; for POST they are in the option `data`: text with its
---Content-Type in `headers`, or, for "multipart/form-data", a multipart form.
---
---Raises `type`; `state` if the action is no URL, or the form closes a dialog.
---@param values table<string, any>? see `weft.html.Form:data`
---@param opts {submit: any}?
---@return string method
---@return string url
---@return {data: any, headers: table<string, string>?}?
function Form:request(values, opts)
  opts = options.check(opts, DATA_OPTIONS, "form:request")
  values = options.expect(values or {}, "table", "form:request: the values")
  local button = submitter_of(self, opts.submit)
  local function own(name)
    return button and button.node:attr(name)
  end
  local action = own("formaction") and action_of(self._document, own("formaction")) or self.action
  local method = own("formmethod") and method_of(own("formmethod")) or self.method
  local enctype = own("formenctype") and enctype_of(own("formenctype")) or self.enctype
  if not action or method == "DIALOG" then
    errors.raise("state", method == "DIALOG" and "the form is not sent: its method is 'dialog'"
      or "the form's action cannot be made absolute: the document has no URL")
  end
  local entries = entries_of(self, values, button)
  if method == "GET" then
    return method, url.parse(action):with_query(url.encode_query(entries)).href
  elseif enctype == "multipart/form-data" then
    return method, action, { data = multipart_of(entries) }
  end
  return method, action, { headers = { ["Content-Type"] = enctype },
    data = enctype == URLENCODED and url.encode_query(entries) or plain_text(entries) }
end

function Form:__tostring()
  return ("Form<%s %s>"):format(self.method, self.action or "")
end

M.Form = Form

return M
