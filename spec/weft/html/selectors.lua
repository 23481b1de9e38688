-- SPDX-License-Identifier: MIT
-- spec.weft.html.selectors: the selectors and expressions that are compared with what lxml,
-- cssselect and parsel answer, one on each line. Not here: what cssselect 1.2 gets wrong or
-- refuses (:only-child of the root, :is() behind another condition, nested :not(),
-- *:first-of-type, the `i` flag).

local M = {}

local function lines(text)
  local list = {}
  for line in text:gmatch("[^\n]+") do
    list[#list + 1] = line:match("^%s*(.-)%s*$")
  end
  return list
end

M.css = lines [[
*
a
p
LI
h1, h2, h3
h2,h1,  h2
table td
table > tr
div > div
div p
div div div p a
div > p > a
body > *
html > head > title
p a
p > a
ul li a
li > p
dl dt + dd
dt + dd
dd ~ dt
dt ~ dd ~ dt
h2 + *
h2 ~ p
p + p
p ~ ul
a + a
* + a
* > a > *
td + td
tr ~ tr
th ~ td a
.title
.menu
.sect1
div.sect1
div.sect1 .title
.navheader td a
.navfooter a
.directive-section h2
.note
p.menu a
.code.literal
code.type
code.literal
.indexterm
a.indexterm
a.xref
.refentry .synopsis
#page-header
div#page-content
#page-content p
body#docContent
#docContent > div
#no-such-id
.no-such-class
.Title
[href]
a[href]
a[name]
a[name][id]
[id]
[class][id]
td[align]
td[align=left]
td[align="right"]
[width='10%']
[width="10%"][align=left]
[class=title]
[class~=title]
[class~="literal"]
[class~="a b"]
[class~=""]
[class^=sect]
[class^="dir"]
[class^=""]
[class$=list]
[class$=term]
[class$=""]
[class*=e]
[class*="nav"]
[class*=""]
[lang|=en]
[lang|="ko"]
[hreflang|=en]
a[href^=http]
a[href^="https://"]
a[href$=".html"]
a[href$=html]
a[href*="mod"]
a[href*='#']
a[href!="#"]
a[class!=indexterm]
a[title!=""]
link[rel=stylesheet]
link[rel~=alternate]
meta[http-equiv]
meta[content*=charset]
meta[name=generator]
a[HREF]
A[Title]
[accesskey=n]
[accesskey="p"], [accesskey=u]
:root
:root > body
html:root
:first-child
:last-child
body :only-child
p:first-child
p:last-child
a:only-child
td:first-child a
tr:last-child
li:first-child
li:last-child
li:only-child
p:first-of-type
p:last-of-type
h2:first-of-type
td:only-of-type
a:only-of-type
dd:last-of-type
code:first-of-type
:nth-child(1)
:nth-child(2)
li:nth-child(odd)
li:nth-child(even)
li:nth-child(2n+1)
li:nth-child(2n)
li:nth-child(3n-1)
td:nth-child(n)
td:nth-child(-n+2)
td:nth-child(n+3)
tr:nth-child( 2n + 1 )
p:nth-child(+3)
p:nth-child(0)
p:nth-child(-1)
p:nth-child(-2n+7)
p:nth-last-child(1)
p:nth-last-child(2)
li:nth-last-child(odd)
li:nth-last-child(-n+2)
td:nth-last-child(2n+1)
p:nth-of-type(2)
p:nth-of-type(2n)
a:nth-of-type(3)
a:nth-of-type(n+2)
h2:nth-of-type(1)
p:nth-last-of-type(1)
p:nth-last-of-type(2n+1)
dt:nth-last-of-type(2)
:empty
a:empty
td:empty
p:not(.menu)
a:not([href])
a:not(.indexterm)
a:not([class])
td:not([align=left])
li:not(:first-child)
li:not(:last-child) a
:not(div) > p
div:not(#page-header)
p:not(:nth-child(2))
code:not(.literal)
:link
a:link
a:visited
a:hover
a:contains("Next")
a:contains(Prev)
p:contains('the')
h2:contains("no such heading")
td:contains("Home") a
:lang(en)
p:lang(en)
p:lang(ko)
body:lang(EN)
div:has(p)
div:has(> p)
p:has(a)
p:has(> a)
tr:has(th)
dt:has(+ dd)
li:has(code)
div:has(.title)
:is(h1, h2)
:where(h1, h2)
:matches(td, th)
:is(.title)
a::text
p::text
title::text
h1::text, h2::text
td a::text
li::text
p *::text
a::attr(href)
a::attr("href")
a::attr(class)
link::attr(href)
meta::attr(content)
td::attr(align)
a[href$=html]::attr(href)
.title::text
div > a::attr(id)
body ::text
p ::attr(href)
div *::attr(id)
h2 ::text
a:first-child::attr(href)
td:nth-child(2) a::text
/* all */ a
  a
a/* a comment */, b
h\32
\70
#\70 age-header
[class="tit\6C e"]
input:checked
option:checked
input:disabled
ul > li:first-child > a:only-child
table tr > td:not(:first-child) + td
]]

M.xpath = lines [[
//a
//a/@href
//p//text()
//title/text()
count(//a)
count(//p) > 2
string(//title)
normalize-space(//h2)
sum(//td/@colspan)
//a[@href][1]
(//a[@href])[1]
//a[last()]
//p[position() < 3]
//li[position() mod 2 = 1]
//*[@id]
//@id
//comment()
//a/ancestor::div[1]/@class
//h2/following-sibling::*[1]
//dt/following-sibling::dd
//dd/preceding-sibling::dt[1]
//a/..
//p | //h2
//a[contains(@href, 'html')]/@href
//a[starts-with(., 'N')]
//*[self::h1 or self::h2]
//div[not(p)]
//td[string-length(.) > 20]
//a[normalize-space() = 'Next']
concat(count(//a), '-', count(//p))
translate(//title, 'abc', 'ABC')
substring-before(//title, ' ')
boolean(//form)
name(//*[1])
//text()[contains(., 'the')]
//*[count(*) = 3]
//p/following::h2[1]
//h2/preceding::p[1]
//meta/@content
local-name(/*)
round(3.4) + floor(2.6) * ceiling(1.2)
//*[lang('en')][1]
//div//a
//div//div//p
//div//a/@href
//div//p/text()
//p//text()
//*//text()
//div[@class='titlepage']//h2
//div[@id]//a[@href]//text()
//div[contains(@class, 'sect')]//p[@class]
//table//tr//td/@align
//*[@class]//*[@href="index.html"]
//div//a[1]
//div[1]//a
//dl//dt | //ul//li
//div//p/a
//div//text()[1]
]]

-- A selector below what another one selects.
M.below = {
  { "div", "a" }, { "div", ":scope > p" }, { "td", "a::attr(href)" }, { "li", "::text" },
  { "table", "tr td" }, { "p", "p" }, { ".title", "*" }, { "dl", "dt > *" }, { "body", "div > p" },
  { "div", "div div" }, { "tr", ":scope > td:first-child" }, { "a", "::attr(title)" },
}

return M
