-- SPDX-License-Identifier: MIT
-- weft.html.node: nodes: what of their methods is Lua.
--
-- Owns: the class Node, whose other methods are those of src/html/l_node.c.
-- Must not know: documents.

local list = require "weft.html.list"
local query = require "weft.html.xpath"

---A node of a document: an element, or a text, an attribute or a comment that a query gave. It
---keeps its document alive, and nothing else. Two are equal when they are the same node.
---
---`name` of other nodes than elements is "#text", "#comment" or the attribute's name; `kind` is
---"element", "text", "attribute", "comment" or "other". `text` is the text as a reader sees it:
---white space is one space, there is none at the ends, one between blocks and for `<br>`, and
---scripts and styles are left out; `text_content` is all text in it, as it is. `get` is the
---markup of an element, and the value of a text or an attribute. `next` and `prev` are the
---siblings that are elements.
---
---Every method but `document` raises `closed` once the document is closed.
---@class weft.html.Node
---@field name fun(self): string
---@field kind fun(self): string
---@field namespace fun(self): string? the URI
---@field line fun(self): integer where it begins in the text
---@field attr fun(self, name: string): string? the value of an attribute
---@field attrs fun(self): table<string, string>, string[] all of them, and the names in order
---@field text fun(self): string
---@field text_content fun(self): string
---@field html fun(self): string its markup
---@field inner_html fun(self): string the markup in it
---@field get fun(self): string
---@field parent fun(self): weft.html.Node?
---@field next fun(self): weft.html.Node?
---@field prev fun(self): weft.html.Node?
---@field children fun(self): weft.html.SelectorList the elements in it
local Node = query.core and query.core.Node or {}
Node.__name = "weft.html.Node"

local M = {}

---Evaluates an XPath 1.0 expression with this node as its context: ".//a" is below it, "//a" in
---the whole document. Beside the functions of XPath there are `has-class(name)`,
---`ends-with(s, end)` and `lower-case(s)`.
---
---```lua
---local doc = require("weft.html").parse("<p class='a b'>one<p>two")
---print(doc:xpath("//p[has-class($c)]/text()", { c = "b" }):get()) --> one
---print(doc:xpath("count(//p) > 1")[1]) --> true
---```
---
---Raises `type` (code "invalid_xpath", `position`: the message shows where); `limit`, code
---"max_steps", for an expression that would take seconds; `closed`.
---@param expression string
---@param variables table<string, any>? for `$name`: strings, numbers, booleans, lists of nodes
---@return weft.html.SelectorList
function Node:xpath(expression, variables)
  return query.xpath(self, expression, variables)
end

---The nodes that a CSS selector selects, among this node and those below it. Beside Selectors
---Level 3 there are `:is`, `:where`, `:has`, `:not` and `:nth-child(… of …)` with lists of any
---selectors, `:scope` (this node), `:contains("text")`, `[a=b i]`, `[a!=b]`, and at the end
---`::text` (the texts directly in it) and `::attr(name)`.
---
---Raises `type` (code "invalid_selector", `position`: the message shows where); `limit`, code
---"max_steps"; `closed`.
---@param selector string
---@return weft.html.SelectorList
function Node:css(selector)
  return query.css(self, selector)
end

---What a Lua pattern finds in its text, as `get` has it: the captures, or the whole matches.
---
---Raises `type`, code "invalid_pattern"; `closed`.
---@param pattern string
---@return (string | integer)[]
function Node:re(pattern)
  return list.new({ self }):re(pattern)
end

---The first of what `re` would find.
---
---Raises `type`, code "invalid_pattern"; `closed`.
---@param pattern string
---@param default any? what to return if there is nothing; nil
---@return any
function Node:re_first(pattern, default)
  return list.new({ self }):re_first(pattern, default)
end

---The document that it is in; also of one that is closed.
---@return weft.html.Document
function Node:document()
  return query.core.table_of(self)[1]
end

function Node:__tostring()
  if self:document():is_closed() then
    return "Node<closed>"
  elseif self:kind() ~= "element" then
    return ("Node<%s>"):format(self:name())
  end
  local id, class = self:attr("id"), self:attr("class")
  return ("Node<%s%s%s>"):format(self:name(), id and "#" .. id or "",
    class and class ~= "" and "." .. class:gsub("%s+", ".") or "")
end

M.Node = Node

return M
