-- SPDX-License-Identifier: MIT
-- weft.html.document: documents: what of their methods is Lua.
--
-- Owns: the class Document, and what a link and the base of a document are. What a document and
-- its nodes share (url, encoding, is_xml, namespaces) is in one table, behind the userdata.
-- Must not know: how a document is parsed.

local errors = require "weft.error"
local forms = require "weft.html.forms"
local list = require "weft.html.list"
local options = require "weft.options"
local query = require "weft.html.xpath"
local tables = require "weft.html.tables"
local url = require "weft.url"

local core = query.core

---A parsed document. It and its nodes take memory outside of Lua, which the garbage collector is
---told of: closing is not needed, but frees at once.
---
---All methods but `close` and `is_closed` raise `closed` once it is closed.
---@class weft.html.Document
---@field close fun(self) frees its memory: what is left of its nodes is closed too
---@field is_closed fun(self): boolean
---@field root fun(self): weft.html.Node? the outermost element, `<html>`
---@field text fun(self): string as `weft.html.Node:text`
---@field text_content fun(self): string
---@field html fun(self): string the markup of all of it
local Document = core and core.Document or {}
Document.__name = "weft.html.Document"

local M = {}

-- They read what is below any node, and a document is one to libxml2.
if core then
  for _, name in ipairs({ "text", "text_content", "html" }) do
    Document[name] = core.Node[name]
  end
end

-- Ends in an error if the document is closed.
local function shared_of(doc)
  doc:root()
  return (core.table_of(doc))
end

M.shared_of = shared_of

--- queries --------------------------------------------------------------------------

---Evaluates an XPath expression in the document. See `weft.html.Node:xpath`.
---
---Raises as that.
---@param expression string
---@param variables table<string, any>?
---@return weft.html.SelectorList
function Document:xpath(expression, variables)
  return query.xpath(self, expression, variables)
end

---The nodes that a CSS selector selects. See `weft.html.Node:css`.
---
---```lua
---local html = require "weft.html"
---local doc = html.parse('<ul><li><a href="/a">A</a><li><a href="/b">B</a></ul>')
---for _, a in ipairs(doc:css("li > a")) do
---  print(a:attr("href"), a:text())
---end
--- --> /a	A
--- --> /b	B
---print(doc:css("a::attr(href)"):getall()[2]) --> /b
---```
---
---Raises as that.
---@param selector string
---@return weft.html.SelectorList
function Document:css(selector)
  return query.css(self, selector)
end

---Makes a prefix for XPath and CSS: `doc:xpath("//atom:entry")`, `doc:css("atom|entry")`. The
---prefixes that the document's root declares are there already, and those of feeds and sitemaps:
---`atom`, `content`, `dc`, `image`, `itunes`, `media`, `news`, `rdf`, `rss`, `sitemap`, `svg`,
---`video`, `xhtml`, `xlink`.
---
---Raises `type` for a prefix that is no name; `closed`.
---@param prefix string
---@param uri string
function Document:register_namespace(prefix, uri)
  options.expect(prefix, "string", "the prefix")
  options.expect(uri, "string", "the namespace's URI")
  if not prefix:find("^[%a_][%w_.%-]*$") then
    errors.raise("type", ("'%s' cannot be a prefix"):format(prefix))
  end
  local shared = shared_of(self)
  shared.namespaces = shared.namespaces or {}
  shared.namespaces[prefix] = uri
end

--- what it says of itself --------------------------------------------------------------

---The URL that was given for it.
---@return string?
function Document:url()
  return shared_of(self).url
end

---The encoding it was in, and where that was found: "option", "header", "bom", "document" or
---"fallback".
---@return string name
---@return string source
function Document:encoding()
  local shared = shared_of(self)
  return shared.encoding, shared.source
end

---Whether it was parsed as XML.
---@return boolean
function Document:is_xml()
  return shared_of(self).is_xml
end

local function base_href(self)
  for _, node in ipairs(core.elements(self, "base")) do
    local href = node:attr("href")
    if href then
      return href
    end
  end
end

---The URL that its links are relative to: that of its first `<base href>`, or its own.
---@return string?
function Document:base()
  local shared = shared_of(self)
  if shared.base == nil then
    local href = self:_has_base() and base_href(self)
    local own = shared.url
    local base = href and url.can_parse(href, own) and url.parse(href, own) or nil
    if base and (base.scheme == "data" or base.scheme == "javascript") then
      base = nil
    end
    base = base or own and url.parse(own) or false
    shared.base = base
    local path = base and base.href:match("^https?://[^/?#]+/[^?#]*")
    shared.folder = path and path:match("^.*/")
    shared.resource = path and base.href:match("^[^#]*")
  end
  return shared.base and shared.base.href or nil
end

---The text of its `<title>`, white space being one space; nil if there is none.
---@return string?
function Document:title()
  local is_xml = shared_of(self).is_xml
  local title = not is_xml and core.elements(self, "title svg", true)[1]
  if not title or title:name() == "svg" then
    title = query.xpath(self, is_xml and "//*[local-name() = 'title'][1]"
      or "//title[not(ancestor::svg)]")[1]
  end
  return title and title:text()
end

--- links ----------------------------------------------------------------------------

---A link.
---@class weft.html.Link
---@field url string? absolute; nil if it cannot be made so
---@field href string as it stands there, without white space around it
---@field text string the visible text, or that of an image in its place
---@field rel string? in lower case
---@field node weft.html.Node
local Link = {} -- luacheck: ignore 211

---What a reference in the document means, as a browser would take it: relative to `base`, the
---query in the document's encoding.
---@param href string
---@return string? url nil if it cannot be made absolute
function Document:absolute(href)
  options.expect(href, "string", "the reference")
  local shared = shared_of(self)
  if shared.base == nil then
    self:base()
  end
  local name = shared.encoding
  local ok, parsed = pcall(url.parse, href, shared.base or nil,
    name ~= "UTF-8" and { encoding = name } or nil)
  if ok then
    return parsed.href
  elseif not errors.is_error(parsed, "type") and not errors.is_error(parsed, "limit") then
    error(parsed, 0)
  end
end

-- What stands for a link without a text.
local function alternative(node)
  return query.xpath(node, ".//img/@alt"):get() or node:attr("alt") or ""
end

local LINK_OPTIONS = { all = "boolean" }

---Its links (`<a>` and `<area>`), in order, absolute. Those that cannot be made absolute are left
---out, unless `all` is given.
---
---```lua
---local html = require "weft.html"
---local doc = html.parse('<a href="../b?c" rel="nofollow">B</a>', { url = "http://a.example/d/e" })
---local link = doc:links()[1]
---print(link.url, link.text, link.rel) --> http://a.example/b?c	B	nofollow
---```
---@param opts {all: boolean?}?
---@return weft.html.Link[]
function Document:links(opts)
  opts = options.check(opts, LINK_OPTIONS, "links")
  local shared, links = shared_of(self), {}
  if shared.base == nil then
    self:base()
  end
  for _, link in ipairs(core.links(self, shared.folder, shared.resource)) do
    link.url = link.url or self:absolute(link.href)
    if link.url or opts.all then
      if link.text == "" then
        link.text = alternative(link.node)
      end
      links[#links + 1] = link
    end
  end
  return links
end

--- forms and tables -----------------------------------------------------------------

---Its forms, in order.
---@return weft.html.Form[]
function Document:forms()
  local found = {}
  for i, node in ipairs(query.xpath(self, "//form")) do
    found[i] = forms.new(self, node)
  end
  return found
end

---Its tables, in order; of one in another, both.
---
---Raises `limit`, code "max_cells", for a table that spans too many cells.
---@return weft.html.Table[]
function Document:tables()
  local found = {}
  for i, node in ipairs(query.xpath(self, "//table")) do
    found[i] = tables.new(node)
  end
  return found
end

---What a Lua pattern finds in its markup. See `weft.html.SelectorList:re`.
---@param pattern string
---@return (string | integer)[]
function Document:re(pattern)
  return list.new({ self }):re(pattern)
end

---@private
function Document:get()
  return self:html()
end

function Document:__tostring()
  if self:is_closed() then
    return "Document<closed>"
  end
  local shared = shared_of(self)
  return ("Document<%s%s>"):format(shared.is_xml and "XML" or "HTML",
    shared.url and " " .. shared.url or "")
end

M.Document = Document

return M
