-- SPDX-License-Identifier: MIT
-- weft.crawl.progress: how far a crawl has come: a line while it runs, a summary at its end.
--
-- Owns: the counts and the line on the terminal. Must not know: who counts, and what is fetched.
-- Invariant: the line is the last thing on the terminal, or is not there.

local await = require "weft.await"
local core = require "weft.core"
local errors = require "weft.error"
local options = require "weft.options"
local scope = require "weft.scope"
local tty = require "weft.tty"

---Progress of a crawl.
---@class weft.crawl.progress
local M = {}

-- Seconds between two lines: on a terminal, where the one is drawn over, and elsewhere.
local ON_TTY, ELSEWHERE = 0.1, 5
-- Of pages in the summary.
local SLOWEST = 5
-- Seconds over which the rate on the line is a mean.
local WINDOW = 3
local COLUMNS = 80

---Counts of a crawl and how they are shown. Made by `weft.crawl.progress.new`.
---@class weft.crawl.Progress
---@field pages integer answers that came
---@field bytes integer of their bodies
---@field failures integer requests without an answer, and answers of 400 and more
local Progress = {}
Progress.__index = Progress

--- words -----------------------------------------------------------------------------

local function grouped(n)
  local text = ("%.0f"):format(n)
  local rest
  repeat
    text, rest = text:gsub("^(%d+)(%d%d%d)", "%1,%2")
  until rest == 0
  return text
end

local UNITS = { "kB", "MB", "GB", "TB" }

local function size(bytes)
  if bytes < 1000 then
    return ("%.0f B"):format(bytes)
  end
  local unit = 0
  repeat
    bytes, unit = bytes / 1000, unit + 1
  until bytes < 999.95 or unit == #UNITS
  return ("%.1f %s"):format(bytes, UNITS[unit])
end

local function clock(seconds)
  seconds = math.floor(seconds)
  local minutes = math.floor(seconds / 60)
  if minutes < 60 then
    return ("%d:%02d"):format(minutes, seconds % 60)
  end
  return ("%d:%02d:%02d"):format(math.floor(minutes / 60), minutes % 60, seconds % 60)
end

local function rate(count, seconds)
  return seconds > 0 and count / seconds or 0
end

--- counting --------------------------------------------------------------------------

local function now(self)
  return self._clock()
end

local function add(counts, key, n)
  counts[key] = (counts[key] or 0) + (n or 1)
end

-- Keeps the few that took longest, the slowest first.
local function note_duration(self, url, seconds)
  local list = self._slowest
  if #list == SLOWEST and seconds <= list[SLOWEST].seconds then
    return
  end
  local i = #list
  while i > 0 and list[i].seconds < seconds do
    list[i + 1] = list[i]
    i = i - 1
  end
  list[i + 1] = { url = url, seconds = seconds }
  list[SLOWEST + 1] = nil
end

---Counts an answer.
---@param url string
---@param status integer
---@param bytes integer? of the body
---@param seconds number? from the request to its end
function Progress:page(url, status, bytes, seconds)
  self.pages, self.bytes = self.pages + 1, self.bytes + (bytes or 0)
  if status >= 400 then
    self.failures = self.failures + 1
  end
  add(self._statuses, status)
  if seconds then
    note_duration(self, url, seconds)
  end
end

---Counts a request without an answer, by the kind of its error.
---@param e any what was raised
function Progress:failure(e)
  self.failures = self.failures + 1
  e = errors.wrap(e)
  add(self._errors, e.kind .. (e.code and " " .. tostring(e.code) or ""))
end

---Counts a URL that was not requested, or whose body was not read, by the reason.
---@param why string
function Progress:skip(why)
  add(self._skips, why)
end

--- the line --------------------------------------------------------------------------

-- Pages a second, lately.
local function recent_rate(self, time)
  local samples = self._samples
  samples[#samples + 1] = { time, self.pages }
  while #samples > 2 and time - samples[2][1] >= WINDOW do
    table.remove(samples, 1)
  end
  return rate(self.pages - samples[1][2], time - samples[1][1])
end

---The line as it would be shown now.
---@return string
function Progress:line()
  local time = now(self)
  local state = self._source and self._source() or {}
  local parts = { grouped(self.pages) .. " pages", ("%.1f/s"):format(recent_rate(self, time)),
    grouped(state.active or 0) .. " in flight", grouped(state.queued or 0) .. " queued",
    grouped(self.failures) .. " errors", size(self.bytes), clock(time - self._started_at) }
  return table.concat(parts, "  ")
end

local ERASE = "\r\27[K"

local function erase(self)
  if self._is_drawn then
    self._write(ERASE)
    self._is_drawn = false
  end
end

local function columns(self)
  local ok, width = pcall(tty.size, self._fd)
  return ok and width > 0 and width or COLUMNS
end

---Shows the line: drawn over itself on a terminal.
function Progress:show()
  if self._is_quiet then
    return
  end
  if self._is_tty then
    self._write(ERASE .. self:line():sub(1, columns(self) - 1))
    self._is_drawn = true
  else
    self._write(self:line() .. "\n")
  end
end

---Writes a line of text above the progress line.
---@param text string
function Progress:print(text)
  if self._is_quiet then
    return
  end
  local was_drawn = self._is_drawn
  erase(self)
  self._write(text .. "\n")
  if was_drawn then
    self:show()
  end
end

local function tick(self)
  while true do
    await.sleep(self._interval)
    self:show()
  end
end

---Calls `fn(...)`, and shows the line now and then until it has ended. `source()` gives what is
---not counted here, such as a `weft.crawl.Frontier`'s `statistics` does: `active`, `queued`.
---
---Raises what `fn` raised.
---@async
---@param source (fun(): {active: integer?, queued: integer?})?
---@param fn async fun(...): ...
---@param ... any
---@return any ... the results of fn
function Progress:with(source, fn, ...)
  options.callable(fn, "the function")
  self._source = source
  self._started_at = now(self)
  self._samples = { { self._started_at, self.pages } }
  local ticker = not self._is_quiet and core.create_task(tick, self)
  local arguments, count = { ... }, select("#", ...)
  return scope.finally(function()
    return fn((table.unpack or unpack)(arguments, 1, count))
  end, function()
    self._ended_at = now(self)
    if ticker then
      ticker:cancel()
      pcall(ticker.await, ticker)
      erase(self)
    end
  end)
end

--- the summary -----------------------------------------------------------------------

---What a `weft.crawl.Progress` has counted.
---@class weft.crawl.Counts
---@field pages integer answers that came
---@field bytes integer of their bodies
---@field failures integer requests without an answer, and answers of 400 and more
---@field seconds number that it took, or has taken so far
---@field statuses table<integer, integer> answers by status
---@field errors table<string, integer> requests without an answer by kind and code of the error
---@field skips table<string, integer> what was not requested, or not read, by the reason
local Counts = {} -- luacheck: ignore 211

local function section(lines, title, counts)
  local keys = {}
  for key in pairs(counts) do
    keys[#keys + 1] = key
  end
  table.sort(keys, function(a, b)
    if counts[a] ~= counts[b] then
      return counts[a] > counts[b]
    end
    return tostring(a) < tostring(b)
  end)
  for i, key in ipairs(keys) do
    lines[#lines + 1] = ("  %-8s %8s  %s"):format(i == 1 and title or "", grouped(counts[key]), key)
  end
end

---What there is to say at the end: how many pages, how fast, by status, by kind of error, what was
---skipped, and the slowest pages.
---@return string text of several lines
function Progress:summary()
  local seconds = (self._ended_at or now(self)) - self._started_at
  local lines = { ("%s pages in %.1f s: %.1f pages/s, %s, %s/s"):format(grouped(self.pages),
    seconds, rate(self.pages, seconds), size(self.bytes), size(rate(self.bytes, seconds))) }
  section(lines, "status", self._statuses)
  section(lines, "errors", self._errors)
  section(lines, "skipped", self._skips)
  for i, page in ipairs(self._slowest) do
    lines[#lines + 1] = ("  %-8s %7.3fs  %s"):format(i == 1 and "slowest" or "", page.seconds,
      page.url)
  end
  return table.concat(lines, "\n")
end

---What was counted.
---
---Raises `state` outside a task, until `progress:with` has ended.
---@return weft.crawl.Counts
function Progress:statistics()
  return { pages = self.pages, bytes = self.bytes, failures = self.failures,
    seconds = (self._ended_at or now(self)) - self._started_at, statuses = self._statuses,
    errors = self._errors, skips = self._skips }
end

function Progress:__tostring()
  return ("Progress<pages=%d failures=%d>"):format(self.pages, self.failures)
end

---What `weft.crawl.progress.new` takes.
---@class weft.crawl.ProgressOptions
---@field quiet boolean? show nothing
---@field interval number? seconds between two lines; default 0.1 on a terminal, 5 elsewhere
---@field tty boolean? whether it is a terminal, if that is known better
---@field fd integer? the terminal whose width counts; default 2
---@field write (fun(text: string))? in place of stderr
local ProgressOptions = {} -- luacheck: ignore 211

local OPTIONS = { quiet = true, tty = true, interval = true, fd = true, write = true }

local function to_stderr(text)
  io.stderr:write(text)
  io.stderr:flush()
end

local function loop_clock()
  local loop = core.running_loop()
  if not loop then
    await._checkpoint() -- raises: there is no task
  end
  return core.loop_time(loop)
end

---Progress on stderr: on a terminal one line that is drawn anew ten times a second, elsewhere a
---line every five seconds. With `quiet`, nothing: the counts are there all the same.
---
---Raises `type`; `state` outside a task.
---@param opts weft.crawl.ProgressOptions?
---@return weft.crawl.Progress
function M.new(opts)
  opts = options.check(opts, OPTIONS, "progress.new")
  local is_tty = opts.tty
  if is_tty == nil then
    is_tty = tty.is_tty(2) and os.getenv("TERM") ~= "dumb"
  end
  local started_at = loop_clock()
  return setmetatable({
    pages = 0, bytes = 0, failures = 0, _statuses = {}, _errors = {}, _skips = {}, _slowest = {},
    _is_quiet = opts.quiet, _is_tty = is_tty, _fd = opts.fd or 2,
    _interval = options.number(opts.interval or (is_tty and ON_TTY or ELSEWHERE), "interval", 0.01),
    _write = options.callable(opts.write or to_stderr, "write"), _clock = loop_clock,
    _started_at = started_at, _samples = { { started_at, 0 } }, _is_drawn = false,
  }, Progress)
end

return M
