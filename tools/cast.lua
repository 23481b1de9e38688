-- SPDX-License-Identifier: MIT
-- tools/cast.lua: runs a command in a terminal of its own and draws what it shows as a moving
-- picture: `luajit tools/cast.lua docs/crawl.svg 'make crawl'`.
--
-- Owns: the recording (script of util-linux), a terminal that knows CR, LF and "erase to the end of
-- the line", and the SVG. Must not know: what the command is.
-- Invariant: a viewer without animations shows the last frame. Loaded by another program it returns
-- `cast`, for the spec.

local cast = {}

local COLUMNS, ROWS = 96, 30
-- Seconds: how often the picture changes at most, and how long the end stands.
local STEP, HOLD = 0.08, 6
-- Pixels.
local FONT, ADVANCE, LINE, MARGIN = 14, 8.43, 20, 16

--- the terminal -----------------------------------------------------------------------

local Terminal = {}
Terminal.__index = Terminal

function cast.terminal()
  return setmetatable({ rows = { {} }, row = 1, column = 1 }, Terminal)
end

local function put(self, character)
  local row = self.rows[self.row]
  for i = #row + 1, self.column - 1 do
    row[i] = " "
  end
  row[self.column], self.column = character, self.column + 1
end

local function erase_rest(self)
  local row = self.rows[self.row]
  for i = #row, self.column, -1 do
    row[i] = nil
  end
end

-- The escape or character at i, or nil if it is not whole.
local function next_piece(bytes, i)
  local text = bytes:match("^\27%[[%d;?]*%a", i) or bytes:match("^[^\27\192-\255]", i)
  if not text and bytes:find("^[\192-\255]", i) then
    local first = bytes:byte(i)
    local size = first >= 240 and 4 or first >= 224 and 3 or 2
    text = #bytes >= i + size - 1 and bytes:sub(i, i + size - 1) or nil
  end
  return text
end

-- Writes bytes; a character or an escape that they end in the middle of waits for the next ones.
function Terminal:write(bytes)
  bytes = (self.rest or "") .. bytes
  local i = 1
  while i <= #bytes do
    local text = next_piece(bytes, i)
    if not text then
      break
    elseif text == "\n" then
      self.row, self.column = self.row + 1, 1
      self.rows[self.row] = self.rows[self.row] or {}
    elseif text == "\r" then
      self.column = 1
    elseif text == "\27[K" then
      erase_rest(self)
    elseif text:find("^%c") and not text:find("^\27%[[%d;]*m$") then
      error(("the terminal does not know %q"):format(text), 0)
    elseif not text:find("^\27") then
      put(self, text)
    end
    i = i + #text
  end
  self.rest = bytes:sub(i)
end

function Terminal:lines()
  local lines = {}
  for i, row in ipairs(self.rows) do
    lines[i] = (table.concat(row):gsub(" +$", ""))
  end
  return lines
end

--- the recording ----------------------------------------------------------------------

-- What stands where and when: a list of { row =, text =, from =, to = }, where `to` is nil for what
-- stands at the end, and the time of the end. `chunks` is a list of { seconds, bytes }, each so
-- long after the one before.
function cast.spans(chunks, first_lines)
  local terminal, time, changed_at = cast.terminal(), 0, 0
  local spans, current = {}, {}
  local function draw()
    for row, text in ipairs(terminal:lines()) do
      local span = current[row]
      if text ~= (span and span.text or "") then
        if span then
          span.to = changed_at
        end
        current[row] = text ~= "" and { row = row, text = text, from = changed_at } or nil
        spans[#spans + 1] = current[row]
      end
    end
    changed_at = nil
  end
  for _, line in ipairs(first_lines or {}) do
    terminal:write(line .. "\r\n")
  end
  for _, chunk in ipairs(chunks) do
    time = time + chunk[1]
    if changed_at and time - changed_at >= STEP then
      draw()
    end
    changed_at = changed_at or time
    terminal:write(chunk[2])
  end
  if changed_at then
    draw()
  end
  return spans, time
end

-- The chunks of script's output and of its file of times, which has "seconds bytes" in each line.
function cast.chunks(output, times)
  local chunks, at = {}, (output:find("\n", 1, true) or 0) + 1 -- behind script's own first line
  for seconds, size in times:gmatch("(%d+%.?%d*) (%d+)\n") do
    chunks[#chunks + 1] = { tonumber(seconds), output:sub(at, at + size - 1) }
    at = at + size
  end
  return chunks
end

--- the picture ------------------------------------------------------------------------

local ENTITIES = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;" }

local function escape(text)
  return (text:gsub("[&<>]", ENTITIES))
end

-- The moments of a span as parts of the whole, in CSS.
local function keyframes(name, span, duration)
  local function percent(time)
    return ("%.2f%%"):format(time / duration * 100)
  end
  local frames = { ("@keyframes %s{"):format(name) }
  if span.from > 0 then
    frames[#frames + 1] = "0%{opacity:0}"
  end
  frames[#frames + 1] = (span.from > 0 and percent(span.from) or "0%") .. "{opacity:1}"
  if span.to then
    frames[#frames + 1] = percent(span.to) .. "{opacity:0}"
  end
  return table.concat(frames) .. "100%{opacity:" .. (span.to and 0 or 1) .. "}}"
end

local function size_of(spans)
  local columns, rows = 0, 0
  for _, span in ipairs(spans) do
    local _, count = span.text:gsub("[^\128-\191]", "")
    columns, rows = math.max(columns, count), math.max(rows, span.row)
  end
  return math.ceil(columns * ADVANCE + 2 * MARGIN), rows * LINE + 2 * MARGIN
end

function cast.svg(title, spans, seconds)
  local width, height = size_of(spans)
  local duration = seconds + HOLD
  local styles, texts = {}, {}
  for i, span in ipairs(spans) do
    local moves, name = span.from > 0 or span.to, "f" .. i
    if moves then
      styles[#styles + 1] = keyframes(name, span, duration)
    end
    texts[#texts + 1] = ('<text x="%d" y="%d"%s%s>%s</text>'):format(MARGIN,
      MARGIN + span.row * LINE - 5, span.to and ' opacity="0"' or "",
      moves and (' style="animation-name:%s"'):format(name) or "", escape(span.text))
  end
  return table.concat({
    ('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d">')
      :format(width, height, width, height),
    "<!-- Made by tools/cast.lua from a run. -->",
    ("<title>%s</title>"):format(escape(title)), "<style>",
    ("text{font:%dpx ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace;fill:#d0d7de;")
      :format(FONT) .. ("white-space:pre;animation:%.2fs step-end infinite}"):format(duration),
    table.concat(styles, "\n"),
    "@media (prefers-reduced-motion:reduce){text{animation:none!important}}", "</style>",
    '<rect width="100%" height="100%" rx="8" fill="#161b22"/>',
    '<g xml:space="preserve">', table.concat(texts, "\n"), "</g>", "</svg>", "" }, "\n")
end

--- the program ------------------------------------------------------------------------

local function quote(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read("*a")
  file:close()
  os.remove(path)
  return text
end

-- Runs a command in a terminal and returns its chunks.
local function record(command)
  local output, times = os.tmpname(), os.tmpname()
  local status = os.execute(("script -q -e -E never -O %s -T %s -c %s </dev/null"):format(
    quote(output), quote(times),
    quote(("stty cols %d rows %d; %s"):format(COLUMNS, ROWS, command))))
  local text, moments = read(output), read(times)
  if status ~= 0 and status ~= true then
    error("the command failed", 0)
  end
  return cast.chunks(text, moments)
end

local function main(path, command)
  if not command then
    io.stderr:write("usage: cast.lua FILE.svg COMMAND\n")
    return 2
  end
  local spans, seconds = cast.spans(record(command), { "$ " .. command })
  local file = assert(io.open(path, "wb"))
  assert(file:write(cast.svg(command, spans, seconds)))
  file:close()
  return 0
end

if arg and arg[0] and arg[0]:find("cast%.lua$") then os.exit(main(...)) end

return cast
