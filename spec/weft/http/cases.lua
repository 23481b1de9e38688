-- SPDX-License-Identifier: MIT
-- spec.weft.http.cases: conformance cases that others wrote. They are not part of weft: the
-- folder is what WEFT_DATA names, else ../shared/data; without it there are none.

local M = {}

local FOLDER = os.getenv("WEFT_DATA") or "../shared/data"

---The text of a file of the folder; nil where there is no folder.
function M.read(path)
  local file = io.open(FOLDER .. "/" .. path, "rb")
  if not file then
    return nil
  end
  local text = file:read("*a")
  file:close()
  return text
end

---The contents of a JSON file of the folder; an empty table where there is no folder. Comment
---lines at its head are dropped.
function M.json(path)
  local text = M.read(path)
  if not text then
    return {}
  end
  while text:find("^%s*//") do
    text = text:gsub("^%s*//[^\n]*", "")
  end
  return require("cjson").decode(text)
end

---Prints how many cases were run.
function M.ran(what, count)
  io.write(("%s: %d cases\n"):format(what, count))
end

return M
