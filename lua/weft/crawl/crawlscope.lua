-- SPDX-License-Identifier: MIT
-- weft.crawl.crawlscope: which URLs belong to a crawl.
--
-- Owns: the hosts or folders that it is to stay in. Must not know: what was found already.
-- Invariant: it is asked with URLs as weft.url writes them, so that comparing texts will do.

local errors = require "weft.error"
local options = require "weft.options"
local url = require "weft.url"

local M = {}

---Which URLs belong to a crawl.
---@private
---@class weft.crawl.Scope
local Scope = {}
Scope.__index = Scope

local KINDS = { host = true, folder = true, all = true }

local function host_of(text)
  return text:match("^https?://([^/?#]*)")
end

local PREDICATES = {
  host = function(self, text)
    return self._hosts[host_of(text)] == true
  end,
  folder = function(self, text)
    for _, prefix in ipairs(self._prefixes) do
      if text:sub(1, #prefix) == prefix then
        return true
      end
    end
    return false
  end,
  all = function(_, text)
    return host_of(text) ~= nil
  end,
}

---Whether a URL belongs to the crawl.
---@private
---@param text string absolute, as weft.url writes it
---@return boolean
function Scope:has(text)
  if self._fn then
    return host_of(text) ~= nil and self._fn(text) and true or false
  end
  return self._has(self, text)
end

---Takes the host, or the folder, of a URL in.
---@private
---@param address string | weft.url.URL
function Scope:extend(address)
  local u = url.parse(address)
  if u.host then
    self._hosts[u.host] = true
    local prefix = u.origin .. u.path:match("^.*/")
    if not PREDICATES.folder(self, prefix) then
      self._prefixes[#self._prefixes + 1] = prefix
    end
  end
end

---The scope of a crawl that begins at some URLs.
---
---Raises `type`.
---@private
---@param start (string | weft.url.URL)[]
---@param kind "host" | "folder" | "all" | fun(url: string): boolean
---@return weft.crawl.Scope
function M.new(start, kind)
  local self = setmetatable({ _hosts = {}, _prefixes = {} }, Scope)
  if type(kind) == "string" then
    if not KINDS[kind] then
      errors.raise("type", ("there is no scope '%s' (did you mean '%s'?)"):format(kind,
        options.nearest(kind, KINDS)))
    end
    self._has = PREDICATES[kind]
  else
    self._fn = options.callable(kind, "scope")
  end
  for _, address in ipairs(start) do
    self:extend(address)
  end
  return self
end

return M
