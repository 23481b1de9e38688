-- SPDX-License-Identifier: MIT
-- weft.html: documents from bytes.
--
-- Owns: how a document's encoding is found, and the limits of parsing. Must not know: HTTP's
-- messages. Where weft was built without libxml2 this module loads, and its calls raise.

local encoding = require "weft.http.encoding"
local errors = require "weft.error"
local options = require "weft.options"
local query = require "weft.html.xpath"
local selector = require "weft.html.selector"
require "weft.html.document"
require "weft.html.node"

local core = query.core

---HTML and XML documents: parsing, XPath and CSS selectors, links, forms, tables. The parser is
---libxml2's, which repairs what is wrong; it reads no files, loads nothing and expands no
---entities that a document declares.
---@class weft.html
local M = {}

-- Of bytes: no page is as large, some downloads are.
local MAX_SIZE = 64 * 1024 * 1024

-- Deeper ones are made to hurt: what looks at the ancestors of each element takes long.
local MAX_DEPTH = 10000

-- Elements, texts and attributes: a gigabyte of memory at most, roughly.
local MAX_NODES = 5000000

local LIMITS = {
  max_depth = "the document's elements are nested more than %d deep",
  max_nodes = "the document has more than %d nodes",
  repairs = "the document has too much to repair",
}

local OPTIONS = { url = true, encoding = true, content_type = true, fallback = true,
  max_size = true, max_depth = true, max_nodes = true }
local XML_OPTIONS = { strict = true, namespaces = true }
for name in pairs(OPTIONS) do
  XML_OPTIONS[name] = true
end

-- What feeds and sitemaps are made of.
local NAMESPACES = {
  atom = "http://www.w3.org/2005/Atom",
  content = "http://purl.org/rss/1.0/modules/content/",
  dc = "http://purl.org/dc/elements/1.1/",
  image = "http://www.google.com/schemas/sitemap-image/1.1",
  itunes = "http://www.itunes.com/dtds/podcast-1.0.dtd",
  media = "http://search.yahoo.com/mrss/",
  news = "http://www.google.com/schemas/sitemap-news/0.9",
  rdf = "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
  rss = "http://purl.org/rss/1.0/",
  sitemap = "http://www.sitemaps.org/schemas/sitemap/0.9",
  svg = "http://www.w3.org/2000/svg",
  video = "http://www.google.com/schemas/sitemap-video/1.1",
  xhtml = "http://www.w3.org/1999/xhtml",
  xlink = "http://www.w3.org/1999/xlink",
}

---What `weft.html.parse` takes.
---@class weft.html.ParseOptions
---@field url (string | weft.url.URL)? the document's own, for its links
---@field encoding string? a label, for when you know it better
---@field content_type string? the value of that header
---@field fallback string? a label; default "utf-8"
---@field max_size integer? bytes; default 64 MiB
---@field max_depth integer? default 10,000
---@field max_nodes integer? elements, texts and attributes; default 5,000,000
local ParseOptions = {} -- luacheck: ignore 211

---What `weft.html.parse_xml` takes.
---@class weft.html.ParseXMLOptions: weft.html.ParseOptions
---@field strict boolean? raise for what is not well-formed
---@field namespaces table<string, string>? more prefixes, and their URIs
local ParseXMLOptions = {} -- luacheck: ignore 211

local function need_core()
  if not core then
    errors.raise("state", "weft was built without libxml2, which weft.html needs "
      .. "(libxml2-dev on Debian; then build it again)", { code = "no_libxml2" })
  end
end

--- reading --------------------------------------------------------------------------

local function check_options(text, opts, known, what)
  need_core()
  options.expect(text, "string", what .. ": the text")
  opts = options.check(opts, known, what)
  for _, name in ipairs({ "encoding", "content_type", "fallback" }) do
    if opts[name] ~= nil then
      options.expect(opts[name], "string", what .. ": " .. name)
    end
  end
  local given = opts.url
  if given ~= nil and type(given) ~= "string" and not (type(given) == "table" and given.href) then
    errors.raise("type", ("%s: url must be a string or a URL, got %s"):format(what, type(given)))
  end
  local size = options.number(opts.max_size or MAX_SIZE, what .. ": max_size", 0)
  if #text > size then
    errors.raise("limit", ("the document has %d bytes, more than %d"):format(#text, size),
      { code = "max_size" })
  end
  return opts
end

-- The text in UTF-8, the encoding, and where that was found.
local function decoded(bytes, opts, default_type)
  local name, source = opts.encoding, "option"
  if name then
    name = encoding.decoder(name).encoding
  else
    name, source = encoding.charset_of(opts.content_type or default_type, bytes, opts.fallback)
    if source == "fallback" and opts.content_type then
      -- A document that came as another type may still say what it is in.
      local said = encoding.prescan(bytes)
      name, source = said or name, said and "document" or source
    end
  end
  local text = encoding.decode(bytes, name)
  if text:find("\0", 1, true) then
    text = text:gsub("%z", "")
  end
  return text, name, source
end

local function raise_outcome(what, opts, message, line, column)
  if what == "memory" then
    errors.raise("os", "not enough memory")
  elseif what == "malformed" then
    errors.raise("decode", ("malformed XML in line %d, column %d: %s"):format(line, column,
      message), { code = "malformed", line = line, column = column })
  end
  local limit = opts[what] or what == "max_depth" and MAX_DEPTH or MAX_NODES
  errors.raise("limit", LIMITS[what]:format(limit), { code = what })
end

local function parse(bytes, opts, is_xml, what)
  local depth = options.count(opts.max_depth or MAX_DEPTH, what .. ": max_depth", 1)
  local nodes = options.count(opts.max_nodes or MAX_NODES, what .. ": max_nodes", 1)
  local text, name, source = decoded(bytes, opts, is_xml and "text/xml" or "text/html")
  local doc, outcome, message, line, column = core.parse(text, is_xml, opts.strict or false,
    math.min(depth, 2 ^ 30), nodes)
  if not doc then
    raise_outcome(outcome, opts, message, line, column)
  end
  local shared = core.table_of(doc)
  shared.encoding, shared.source, shared.is_xml = name, source, is_xml
  shared.url = opts.url and (opts.url.href or opts.url) or nil
  return doc, shared
end

---Parses HTML. Whatever the bytes are, a document comes of them; what is wrong is repaired.
---
---Options: `url`, its own, for links; `encoding`, a label, for when you know it better;
---`content_type`, the value of that header. Without `encoding` it is what the header says, else
---the byte order mark, else a `<meta>`, else `fallback` (default "utf-8"): all encodings of the
---web. What is malformed in it becomes U+FFFD, and NULs are left out. Limits: `max_size` (bytes,
---64 MiB), `max_depth` (10,000), `max_nodes` (elements, texts and attributes, 5,000,000).
---
---```lua
---local html = require "weft.html"
---local doc = html.parse("<title>Hello</title><p>one<p>two", { url = "http://example.com/" })
---print(doc:title(), #doc:css("p")) --> Hello	2
---```
---
---Raises `limit` (code "max_size", "max_depth", "max_nodes" or "repairs": it is made to take
---long); `decode`, code "unknown_encoding"; `type`; `state`, code "no_libxml2", where weft was
---built without libxml2.
---@param text string the bytes
---@param opts weft.html.ParseOptions?
---@return weft.html.Document
function M.parse(text, opts)
  opts = check_options(text, opts, OPTIONS, "html.parse")
  return (parse(text, opts, false, "html.parse"))
end

local function prefixes(doc, given)
  local map = {}
  for prefix, uri in pairs(NAMESPACES) do
    map[prefix] = uri
  end
  for prefix, uri in pairs(core.declared(doc)) do
    map[prefix] = uri
  end
  for prefix, uri in pairs(given or {}) do
    map[prefix] = uri
  end
  return map
end

---Parses XML: RSS, Atom, sitemaps and the like. What is not well-formed is repaired, unless
---`strict` is given. `namespaces` are more prefixes for XPath and CSS (see
---`weft.html.Document:register_namespace`); the other options are those of `weft.html.parse`, and
---the XML declaration is where the encoding is looked for. A name in a CSS selector is of any
---namespace; one in XPath is of the prefix's, so `//atom:entry` or `//*[local-name() = "entry"]`.
---
---```lua
---local html = require "weft.html"
---local doc = html.parse_xml([[<feed xmlns="http://www.w3.org/2005/Atom">
---  <entry><title>One</title></entry></feed>]])
---print(doc:xpath("//atom:entry/atom:title/text()"):get()) --> One
---print(doc:css("entry title::text"):get()) --> One
---```
---
---Raises as `weft.html.parse`; `decode`, code "malformed", with `line` and `column`, if `strict`.
---@param text string the bytes
---@param opts weft.html.ParseXMLOptions?
---@return weft.html.Document
function M.parse_xml(text, opts)
  opts = check_options(text, opts, XML_OPTIONS, "html.parse_xml")
  local given = opts.namespaces
  if given ~= nil then
    for prefix, uri in pairs(options.expect(given, "table", "html.parse_xml: namespaces")) do
      options.expect(prefix, "string", "html.parse_xml: a prefix")
      options.expect(uri, "string", "html.parse_xml: a namespace's URI")
    end
  end
  local doc, shared = parse(text, opts, true, "html.parse_xml")
  shared.namespaces = prefixes(doc, given)
  return doc
end

--- around ---------------------------------------------------------------------------

---The XPath expression that a CSS selector becomes, for a look at it. The functions in it that
---XPath does not have are weft's.
---
---Raises `type`, code "invalid_selector".
---@param text string
---@param opts {xml: boolean?}? whether names have cases and namespaces
---@return string
function M.css_to_xpath(text, opts)
  opts = options.check(opts, { xml = true }, "css_to_xpath")
  options.expect(text, "string", "the selector")
  return table.concat(selector.compile(text, opts.xml or false, false), " | ")
end

---How many documents are open, and the bytes that they take, roughly.
---@return {documents: integer, bytes: integer}
function M.statistics()
  need_core()
  local documents, bytes = core.statistics()
  return { documents = documents, bytes = bytes }
end

return M
