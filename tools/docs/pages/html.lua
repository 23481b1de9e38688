-- SPDX-License-Identifier: MIT
-- tools/docs/pages/html.lua: the pages of the manual on documents.
--
-- Owns: the text that belongs to no single name. The form is that of tools/docs/pages.lua.

return { { name = "documents", title = "Documents", from = { "weft.html", "weft.html.document",
    "weft.html.node", "weft.html.list", "weft.html.forms", "weft.html.tables" },
  summary = "HTML and XML: parsing, CSS selectors and XPath, links, forms, tables.",
  text = [[
`weft.html.parse` takes the bytes of a page and finds out what they are in; `css` and `xpath` give
lists of nodes, which are tables.

```lua
local html = require "weft.html"

local doc = html.parse([=[<title>Planets</title>
  <ul><li class="inner"><a href="/mars">Mars</a><li><a href="/saturn">Saturn</a></ul>]=],
  { url = "http://a.example/planets/" })

print(doc:title()) --> Planets
for _, a in ipairs(doc:css("li > a")) do
  print(a:text(), doc:absolute(a:attr("href")))
end
--> Mars	http://a.example/mars
--> Saturn	http://a.example/saturn

print(doc:css("li.inner a::attr(href)"):get()) --> /mars
print(doc:xpath("//li[a = $name]/a/@href", { name = "Saturn" }):get()) --> /saturn
print(doc:css("a::text"):re_first("^S%a+")) --> Saturn
```

A selector that is wrong says where:

```lua
local html = require "weft.html"

local ok, e = pcall(html.css_to_xpath, "li > a:frist-child")
print(e.message)
--> invalid selector, at 7: there is no pseudo-class ':frist-child'
-->   li > a:frist-child
-->         ^
```
]] } }
