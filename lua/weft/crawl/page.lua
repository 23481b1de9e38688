-- SPDX-License-Identifier: MIT
-- weft.crawl.page: a page that was fetched, as it is given to the function that makes something of
-- it.
--
-- Owns: what is made of the bytes when it is asked for. Must not know: how it was fetched.
-- Invariant: what is followed belongs to the crawl, and is fetched once.

local encoding = require "weft.http.encoding"
local errors = require "weft.error"
local html = require "weft.html"
local options = require "weft.options"
local url = require "weft.url"

local M = {}

---A page that was fetched, as `parse` gets it (`weft.crawl.crawler`).
---@class weft.crawl.Page
---@field url string without its fragment
---@field status integer of the answer: below 400
---@field headers weft.http.Headers of the answer
---@field content_type string without parameters
---@field body string the bytes
---@field depth integer how many links lead to it
---@field seconds number from the request to the end of the answer
---@field data any what `follow` was given for it
local Page = {}
Page.__index = Page

---The page as a document, parsed the first time that this is called; its encoding is the one that
---the headers, or the page itself, say.
---
---Raises as `weft.html.parse`.
---@return weft.html.Document
function Page:document()
  if not self._document then
    self._document = html.parse(self.body, { url = self.url,
      content_type = self.headers:get("content-type") })
  end
  return self._document
end

---The page as text, in UTF-8.
---
---Raises `decode` for an encoding that there is not.
---@return string
function Page:text()
  local name = encoding.charset_of(self.headers:get("content-type"), self.body)
  return encoding.decode(self.body, name)
end

local FOLLOW = { text = true, priority = true, data = true }
local NONE = {}

-- A reference as a URL in full, without its fragment, or nil.
local function absolute(self, address)
  address = tostring(address)
  if not address:find("^https?://[^/?#]") then
    local ok, joined = pcall(url.join, self.url, address)
    if not ok then
      return nil
    end
    address = joined
  end
  return (address:match("^[^#]*"))
end

---Has a URL be fetched, unless it does not belong to the crawl, or was found before. `text` is that
---of the link, for the list of broken ones; `priority` counts in a crawl of that order; `data` is
---for its page.
---
---If it is not going to be fetched for this, the second result says why: as `frontier:add`'s, or
---"elsewhere".
---
---Raises `type` for unknown options.
---@param address string | weft.url.URL relative to the page
---@param opts {text: string?, priority: number?, data: any}?
---@return boolean added
---@return string? why
function Page:follow(address, opts)
  opts = opts and options.check(opts, FOLLOW, "page:follow") or NONE
  local crawler = self._crawler
  local text = absolute(self, address)
  if not text then
    return false, "invalid"
  elseif not text:find("^https?:") then
    return false, "scheme"
  elseif not crawler._scope:has(text) then
    return false, "elsewhere"
  end
  local ok, e = pcall(crawler.referrers.link, crawler.referrers, self.url, text, opts.text)
  if not ok then
    if errors.is_error(e, "type") and e.code == "invalid_url" then
      return false, "invalid"
    end
    error(e, 0)
  end
  return crawler.frontier:add(text, { depth = self.depth + 1, priority = opts.priority,
    data = opts.data ~= nil and { user = opts.data } or nil })
end

---Follows all links of the page, which must be HTML.
---
---Raises as `page:document`.
---@return integer added how many lead to what was not known before
function Page:follow_links()
  local added = 0
  for _, link in ipairs(self:document():links()) do
    if self:follow(link.url, { text = link.text }) then
      added = added + 1
    end
  end
  return added
end

function Page:__tostring()
  return ("Page<%d %s>"):format(self.status, self.url)
end

---What a crawl without a function of its own does with a page.
---@private
function M.follow_links(page)
  page:follow_links()
  page:document():close()
end

---A page.
---@private
function M.new(crawler, item, response, body, seconds)
  return setmetatable({ url = item.url, status = response.status, headers = response.headers,
    content_type = response.content_type, body = body, depth = item.depth, seconds = seconds,
    data = item.data and item.data.user, _crawler = crawler }, Page)
end

return M
