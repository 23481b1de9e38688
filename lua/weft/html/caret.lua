-- SPDX-License-Identifier: MIT
-- weft.html.caret: the error for a selector or an XPath expression that is wrong: what, and
-- where, with a caret under it.
--
-- Owns: how it looks.
-- Must not know: the languages.

local errors = require "weft.error"

local M = {}

-- How much of the text is shown on each side of the caret.
local AROUND = 40

local function width(text)
  return select(2, text:gsub("[^\128-\191]", ""))
end

-- The part of the line around `at`, and how many characters of it stand before `at`.
local function excerpt(text, at)
  local from = at
  while from > 1 and at - from < AROUND and not text:sub(from - 1, from - 1):find("[\r\n]") do
    from = from - 1
  end
  while text:find("^[\128-\191]", from) do
    from = from + 1
  end
  local stop = text:find("[\r\n]", at) or #text + 1
  stop = math.min(stop, at + AROUND)
  while text:find("^[\128-\191]", stop) do
    stop = stop + 1
  end
  local shown = text:sub(from, stop - 1):gsub("[%z\1-\31\127]", " ")
  return shown, width(text:sub(from, at - 1))
end

---Raises `type`, with `position` (in bytes, from 1) and `code`.
---@private
---@param what string "selector" or "XPath expression"
---@param text string
---@param at integer
---@param why string
---@param code string
---@param kind weft.Kind?
function M.raise(what, text, at, why, code, kind)
  at = math.max(1, math.min(at, #text + 1))
  local shown, before = excerpt(text, at)
  errors.raise(kind or "type", ("invalid %s, at %d: %s\n  %s\n  %s^"):format(what, at, why, shown,
    (" "):rep(before)), { code = code, position = at })
end

return M
