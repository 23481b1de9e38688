-- SPDX-License-Identifier: MIT
-- bench/common.lua: what the reports share: running commands, medians, and the table.
-- Must not know: any particular benchmark.

local M = {}

-- A word for the shell.
function M.quoted(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

-- What the command wrote to its standard output, without the white space at its end.
function M.capture(command)
  local f = assert(io.popen(command))
  local text = f:read "*a"
  f:close()
  return (text:gsub("%s+$", ""))
end

function M.succeeds(command)
  return M.capture("( " .. command .. " ) >/dev/null 2>&1 && echo yes") == "yes"
end

-- nil for an empty list, which is sorted otherwise.
function M.median(list)
  table.sort(list)
  local n = #list
  return n > 0 and (list[math.floor((n + 1) / 2)] + list[math.floor(n / 2) + 1]) / 2 or nil
end

-- Takes the programs named in `list` ("a,b"; nil for all) out of `programs`, in their order;
-- nil and the name if there is none of that name.
function M.chosen_programs(programs, list)
  if not list then return programs end
  local wanted, result = {}, {}
  for name in list:gmatch "[^,]+" do wanted[name] = true end
  for _, p in ipairs(programs) do
    if wanted[p.name] then table.insert(result, p) end
    wanted[p.name] = nil
  end
  if next(wanted) then return nil, next(wanted) end
  return result
end

-- One cell of a row, whose [4] is a format and [5] makes a figure of a round's fields: the
-- median, and in brackets the median of weft divided by it.
function M.cell(row, results, program, rounds)
  local values, ratios, weft = {}, {}, results.weft or {}
  for round = 1, rounds do
    local fields = results[program][round]
    if fields then
      local v = row[5](fields)
      table.insert(values, v)
      if weft[round] and program ~= "weft" and not row.no_ratio and v > 0 then
        table.insert(ratios, row[5](weft[round]) / v)
      end
    end
  end
  local value, ratio = M.median(values), M.median(ratios)
  if not value then return "n/a" end
  return row[4]:format(value) .. (ratio and (" (%.2f)"):format(ratio) or "")
end

local function width(text) return select(2, text:gsub("[^\128-\191]", "")) end

-- The first two columns stand to the left, figures to the right.
function M.print_table(rows, markdown)
  local widths, rule = {}, {}
  for _, row in ipairs(rows) do
    for i, text in ipairs(row) do widths[i] = math.max(widths[i] or 3, width(text)) end
  end
  local function print_row(cells)
    if markdown then
      print("| " .. table.concat(cells, " | ") .. " |")
    else
      print((table.concat(cells, "  "):gsub("%s+$", "")))
    end
  end
  for r, row in ipairs(rows) do
    local cells = {}
    for i, text in ipairs(row) do
      local pad = (" "):rep(widths[i] - width(text))
      cells[i] = i <= 2 and text .. pad or pad .. text
      rule[i] = ("-"):rep(widths[i] - 1) .. (i <= 2 and "-" or ":")
    end
    print_row(cells)
    if markdown and r == 1 then print_row(rule) end
  end
end

-- Processor, system, interpreter and libuv, then the versions of the programs that are there.
function M.machine(weft_lua, programs)
  local capture = M.capture
  local cpu = capture "sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1"
  local parts = {
    capture "nproc" .. " × " .. (cpu ~= "" and cpu or capture "uname -m"),
    capture "uname -sr",
    capture '. /etc/os-release && echo "$PRETTY_NAME"',
    capture(weft_lua .. " -v 2>&1 | cut -d' ' -f1,2"),
    "libuv " .. capture "pkg-config --modversion libuv",
  }
  for _, p in ipairs(programs) do
    if p.version and not p.missing then table.insert(parts, capture(p.version)) end
  end
  return table.concat(parts, ", ")
end

-- The keys of a set, sorted, a line each.
function M.print_notes(notes)
  local sorted = {}
  for note in pairs(notes) do table.insert(sorted, note) end
  table.sort(sorted)
  if #sorted > 0 then print("\n" .. table.concat(sorted, "\n")) end
end

return M
