-- SPDX-License-Identifier: MIT
-- weft.html.tables: tables as rows of texts.
--
-- Owns: which cells a row has when cells span columns and rows, as the HTML Standard's table
-- model says. Must not know: documents.

local errors = require "weft.error"
local query = require "weft.html.xpath"

local M = {}

-- The HTML Standard's bounds for an attribute, and one for a table: a few bytes can ask for a
-- column in each of very many rows.
local COLSPAN_MAX, ROWSPAN_MAX, CELLS_MAX = 1000, 65534, 1000000

---A table. `rows` has a list of texts for each row; a cell that spans columns or rows is in each
---of its places. Where the first rows are all in `<thead>`, or the first row has `<th>` alone,
---`header` is the last of them, and `rows` are those behind.
---@class weft.html.Table
---@field node weft.html.Node
---@field caption string?
---@field header string[]?
---@field rows string[][]
local Table = {}
Table.__index = Table
Table.__name = "weft.html.Table"

-- The number that an attribute begins with.
local function span(cell, name, most)
  local digits = (cell:attr(name) or ""):match("^%s*%+?(%d+)")
  local number = digits and tonumber(digits) or 1
  return math.min(number, most)
end

-- Puts a cell's text into the columns `from` on of the rows `y` on; of those that have a row.
local function place(grid, y, from, columns, rows, text)
  for i = y, y + rows - 1 do
    local row = grid[i]
    for x = from, from + columns - 1 do
      if row[x] == nil then
        row[x] = text
        row.width = math.max(row.width, x)
        grid.cells = grid.cells + 1
      end
    end
  end
  if grid.cells > CELLS_MAX then
    errors.raise("limit", ("the table spans more than %d cells"):format(CELLS_MAX),
      { code = "max_cells" })
  end
end

-- Rows of one table, not of those in its cells.
local ROWS = "tr | thead/tr | tbody/tr | tfoot/tr"

-- The last row that a cell of row `y` can reach: a row group's cells stay in it.
local function last_of_group(nodes, y)
  local group = nodes[y]:parent()
  while nodes[y + 1] and nodes[y + 1]:parent() == group do
    y = y + 1
  end
  return y
end

-- Places a row's cells; whether it has headings alone.
local function fill(grid, nodes, y, last)
  local x, has_cells, has_data = 1, false, false
  for _, cell in ipairs(nodes[y]:children()) do
    local name = cell:name()
    if name == "td" or name == "th" then
      has_cells, has_data = true, has_data or name == "td"
      while grid[y][x] ~= nil do
        x = x + 1
      end
      local columns = math.max(1, span(cell, "colspan", COLSPAN_MAX))
      local rows = span(cell, "rowspan", ROWSPAN_MAX)
      rows = rows == 0 and last - y + 1 or math.min(rows, last - y + 1)
      place(grid, y, x, columns, rows, cell:text())
      x = x + columns
    end
  end
  return has_cells and not has_data
end

-- Rows have no holes: what no cell covers is "".
local function closed(row)
  local cells = {}
  for x = 1, row.width do
    cells[x] = row[x] or ""
  end
  return cells
end

-- How many rows at the beginning are header.
local function header_rows(nodes, is_heading)
  local count = 0
  while nodes[count + 1] and nodes[count + 1]:parent():name() == "thead" do
    count = count + 1
  end
  if count == 0 and nodes[2] and is_heading[1] then
    count = 1
  end
  return count
end

---The table that a `<table>` is.
---@private
---@param node weft.html.Node
---@return weft.html.Table
function M.new(node)
  local nodes = query.xpath(node, ROWS)
  local grid, is_heading, rows = { cells = 0 }, {}, {}
  for y = 1, #nodes do
    grid[y] = { width = 0 }
  end
  local last = 0
  for y = 1, #nodes do
    last = y > last and last_of_group(nodes, y) or last
    is_heading[y] = fill(grid, nodes, y, last)
  end
  local first = header_rows(nodes, is_heading)
  for y = first + 1, #nodes do
    rows[#rows + 1] = closed(grid[y])
  end
  local caption = query.xpath(node, "caption")[1]
  return setmetatable({ node = node, caption = caption and caption:text(),
    header = first > 0 and closed(grid[first]) or nil, rows = rows }, Table)
end

---The rows as tables from the header's texts to the cells'; of equal ones in the header the first
---counts.
---
---Raises `state` if there is no header.
---@return table<string, string>[]
function Table:records()
  if not self.header then
    errors.raise("state", "the table has no header")
  end
  local records = {}
  for i, row in ipairs(self.rows) do
    local record = {}
    for x = #self.header, 1, -1 do
      record[self.header[x]] = row[x]
    end
    records[i] = record
  end
  return records
end

M.Table = Table

return M
