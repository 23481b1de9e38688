-- SPDX-License-Identifier: MIT
-- spec.weft.html.support: what the specs of documents share: a check that none is left, and
-- parsing in one word.
--
-- Owns: nothing that outlives a spec.

local html = require "weft.html"
local support = require "spec.support"

local jit = rawget(_G, "jit")

local M = setmetatable({}, { __index = support })

---The body of a spec: `fn()`; fails if it leaves documents that cannot be collected.
function M.documents(fn)
  return support.outside(function()
    local before = html.statistics()
    fn()
    local after
    for _ = 1, 3 do
      if jit then
        jit.flush()
      end
      collectgarbage()
      after = html.statistics()
      if after.documents <= before.documents then
        break
      end
    end
    assert(after.documents <= before.documents, "leak: documents")
    assert(after.bytes <= before.bytes, "leak: bytes of documents")
  end)
end

---The one thing that a selector selects in a text, as text.
function M.get(text, selector)
  local doc = html.parse(text)
  local got = doc:css(selector):getall()
  doc:close()
  return table.concat(got, "|")
end

return M
