-- SPDX-License-Identifier: MIT
-- tools/docs.lua: how it reads each annotation, what it refuses and where, what it writes; and
-- that what it wrote for weft is what is there, complete, linked and true: every example in
-- the documentation is run, and must print what it says.

local docs = dofile("tools/docs.lua")
local annotations = dofile("tools/docs/annotations.lua")
local weft = require "weft"
local core = require "weft.core"
local loops = require "weft.loop"
local testing = require "weft.testing"
local support = require "spec.support"

local function read(path)
  local file = assert(io.open(path, "rb"), path .. " is not there")
  local text = file:read("*a")
  file:close()
  return text
end

local function lines_of(command)
  local pipe, lines = assert(io.popen(command)), {}
  for line in pipe:lines() do lines[#lines + 1] = line end
  pipe:close()
  return lines
end

-- ------------------------------------------------------------- annotations

-- The block of a text, and what was reported in it.
local function parse(text)
  local lines, reports = {}, {}
  for line in (text .. "\n"):gmatch("(.-)\n") do lines[#lines + 1] = line end
  local block, after = annotations.parse(lines, 1, function(line, why)
    reports[#reports + 1] = line .. ": " .. why
  end)
  return block, reports, after
end

-- The block of a text in which nothing is wrong.
local function parsed(text)
  local block, reports = parse(text)
  assert.same({}, reports)
  return block
end

-- Fails unless the text gives just this report.
local function complains(expected, text)
  local _, reports = parse(text)
  assert.same({ expected }, reports)
end

describe("an annotation block", function()
  it("is text, in paragraphs, those that begin with Raises apart", function()
    local block = parsed("---One,\n--- and more.\n---\n---Raises `type`;\n---`state`.\n"
      .. "---\n---Two.")
    assert.same({ "One,\nand more.", "Two." }, block.plain)
    assert.same({ "Raises `type`;\n`state`." }, block.raises)
    assert.same({}, block.examples)
    assert.is_nil(block.has_tags)
  end)

  it("has examples in fences, in which empty lines separate nothing", function()
    local block = parsed("---Text\n---```lua\n---a()\n---\n---Raises b\n---```\n---more.")
    assert.same({ "```lua\na()\n\nRaises b\n```" }, block.examples)
    assert.same({ "Text", "more." }, block.plain)
    assert.same({}, block.raises)
    block = parsed("---```lua\n---do\n---  a()\n--- --> b\n---end\n---```\n--- more.")
    assert.same({ "```lua\ndo\n  a()\n--> b\nend\n```" }, block.examples)
    assert.same({ "more." }, block.plain)
    complains("1: a fence is not closed", "---Text\n---```lua\n---a()")
  end)

  it("ends at the first line that is none, and repeats its lines but for ---@diagnostic", function()
    local block, _, after = parse("---A.\n---@async\n---@diagnostic disable\nlocal x\n---B.")
    assert.equal(4, after)
    assert.same({ "---A.", "---@async" }, block.raw)
  end)

  it("keeps four spaces at the beginning of a line, which are code", function()
    assert.same({ "Text", "    a()\n    b()", "- one\n  more" },
      parsed("---Text\n---\n---    a()\n---    b()\n---\n--- - one\n---   more").plain)
  end)

  it("is none where a heading is drawn with dashes", function()
    assert.is_falsy(annotations.is_doc("--- words -----"))
    assert.is_falsy(annotations.is_doc("-- a comment"))
    assert.is_falsy(annotations.is_doc("------"))
    assert.is_truthy(annotations.is_doc("---words"))
    assert.is_truthy(annotations.is_doc("---"))
  end)

  it("has parameters with a type and a text", function()
    local block = parsed("---@param n integer? 0 or more\n---@param ... any\n---@param opts? table")
    assert.same({ { name = "n", type = "integer?", text = "0 or more", line = 1 },
      { name = "...", type = "any", text = "", line = 2 },
      { name = "opts", type = "table", text = "", line = 3 } }, block.params)
    complains("1: ---@param wants a name and a type", "---@param n")
    complains("1: ---@param wants a name and a type", "---@param")
  end)

  it("has results with a type, and a name and a text if it tells", function()
    local block = parsed("---@return boolean\n---@return any ... the results\n"
      .. "---@return T[] done, all")
    assert.same({ { type = "boolean", text = "", line = 1 },
      { type = "any", name = "...", text = "the results", line = 2 },
      { type = "T[]", name = "done", text = ", all", line = 3 } }, block.returns)
    complains("1: ---@return wants a type", "---@return")
  end)

  it("has fields and overloads", function()
    local block = parsed("---@field kind weft.Kind the kind\n---@overload fun(a: any): weft.Error")
    assert.same({ { name = "kind", type = "weft.Kind", text = "the kind", line = 1 } },
      block.fields)
    assert.same({ { type = "fun(a: any): weft.Error", line = 2 } }, block.overloads)
    complains("1: ---@field wants a name and a type", "---@field kind")
    complains("1: ---@overload wants a function's type", "---@overload fun(a) and more")
  end)

  it("has a field for any key of a type", function()
    assert.same({ { name = "[string]", type = "integer", text = "by name", line = 1 } },
      parsed("---@field [string] integer by name").fields)
  end)

  it("has a class with what it extends", function()
    local block = parsed("---@class weft.Task: weft.Future")
    assert.equal("weft.Task", block.class)
    assert.equal("weft.Future", block.parent)
    assert.is_nil(parsed("---@class weft.Task").parent)
    complains("1: ---@class wants a name, and the class that it extends if any", "---@class")
  end)

  it("has an alias of a type or of values", function()
    local block = parsed("---@alias T string | integer")
    assert.same({ "T", "string | integer" }, { block.alias, block.type })
    block = parsed('---@alias Kind\n---| "a" # the first\n---| "b"')
    assert.same({ { value = "a", text = "the first" }, { value = "b", text = "" } }, block.choices)
    complains('2: ---| wants a "value" and a text', "---@alias Kind\n---| a")
    complains('1: ---@alias wants a name and a type, or values in lines of ---| "value"',
      "---@alias")
  end)

  it("has flags, and the type of a field", function()
    local block = parsed("---@async\n---@private\n---@type string?")
    assert.same({ true, true, "string?" }, { block.is_async, block.is_private, block.type })
    complains("1: ---@type wants a type", "---@type")
  end)

  it("knows types of every form", function()
    for _, kind in ipairs { "any", "weft.Task?", "string[]", "string | integer", '"a" | "b"', "...",
      "{[integer]: any, n: integer}", "(weft.Task | weft.Future)[]", "table<string, integer>",
      "fun(a: any, b: any): boolean", "async fun(...): ...", "fun(): any, ...", "-1 | 0",
      "async fun(): (weft.Task | weft.Future)?", "(fun(loop: weft.Loop, context: table))?" } do
      local param = parsed("---@param x " .. kind .. " the text").params[1]
      assert.same({ kind, "the text" }, { param.type, param.text })
    end
  end)

  it("refuses tags that it does not know, and text behind tags", function()
    complains("1: unknown tag ---@returns", "---@returns boolean")
    complains("2: text after a tag: it belongs above the tags", "---@async\n---Waits.")
  end)
end)

-- ---------------------------------------------------------------- problems

local PAGES = { { name = "one", title = "One", from = { "weft.one" }, summary = "About one." } }

local HEAD = "---A module.\n---@class weft\nlocal M = {}\n"

-- What is wrong with a module that has this body from its line 1 on.
local function problems_of(body)
  local _, problems = docs.generate({ ["lua/weft/one.lua"] = HEAD .. body .. "\nreturn M\n" },
    PAGES)
  local list = {}
  for i, one in ipairs(problems) do
    assert.equal("lua/weft/one.lua", one.path)
    list[i] = ("%d: %s"):format(one.line - 3, one.why)
  end
  return list
end

local function refuses(expected, body)
  assert.same({ expected }, problems_of(body))
end

local function accepts(body)
  assert.same({}, problems_of(body))
end

describe("the generator refuses", function()
  it("a public function without a doc block, but none that is private", function()
    refuses("1: weft.f has no doc block", "function M.f() end")
    refuses("1: weft.f has no doc block", "M.f = print")
    refuses("2: weft.f has no doc block", "\nM.f = function() end")
    accepts("function M._f() end\nlocal function g() end\nM._g = g")
    accepts("---@private\nfunction M.f() end")
  end)

  it("a method without one", function()
    refuses("4: lock:free has no doc block", "---A lock.\n---@class weft.Lock\nlocal Lock = {}\n"
      .. "function Lock:free() end\nfunction Lock:__tostring() end")
  end)

  it("a block without text", function()
    refuses("1: weft.f: the doc block has no text", "---@return boolean\nfunction M.f() end")
    refuses("1: the class weft.Lock has no text", "---@class weft.Lock\nlocal Lock = {}")
  end)

  it("a wait that does not tell what it raises", function()
    refuses('1: weft.f waits, and no paragraph begins with "Raises"',
      "---Waits. Raises nothing.\n---@async\nfunction M.f() end")
    accepts("---Waits.\n---\n---Raises `cancelled`.\n---@async\nfunction M.f() end")
  end)

  it("parameters that are not those of the signature", function()
    refuses("2: weft.f: the parameter x has no ---@param", "---Does.\nfunction M.f(x) end")
    refuses("2: weft.f: the parameter ... has no ---@param", "---Does.\nM.f = function(...) end")
    refuses("2: weft.f: there is no parameter y", "---Does.\n---@param y any\nfunction M.f() end")
    assert.same({ "2: weft.f: ---@param b is not in the signature's order",
      "3: weft.f: ---@param a is not in the signature's order" },
      problems_of("---Does.\n---@param b any\n---@param a any\nfunction M.f(a, b) end"))
    accepts("---Does.\n---@param a any\nM.f = print")
    accepts("---A lock.\n---@class weft.Lock\nlocal Lock = {}\n"
      .. "---Does.\nfunction Lock.free(self) end")
  end)

  it("a number without a unit", function()
    refuses("2: weft.f: in what unit is delay?",
      "---Does.\n---@param delay number\nfunction M.f(delay) end")
    refuses("2: weft.f: in what unit is the result?",
      "---Does.\n---@return number?\nfunction M.f() end")
    refuses("3: weft.Lock: in what unit is age?",
      "---A lock.\n---@class weft.Lock\n---@field age number\nlocal Lock = {}")
    accepts("---Does.\n---@param seconds number\n---@return number seconds\n"
      .. "function M.f(seconds) end")
    accepts("---Does.\n---@param delay number? seconds\n---@return integer\n"
      .. "function M.f(delay) end")
  end)

  it("names that are documented nowhere", function()
    refuses("1: weft.g is documented nowhere", "---Like `weft.g(1)`.\nfunction M.f() end")
    refuses("2: weft.Lock is documented nowhere",
      "---Does.\n---@return weft.Lock?\nfunction M.f() end")
    local lock = "---A lock. See `%s`.\n---@class weft.Lock\n---@field age integer\n"
      .. "local Lock = {}\n"
      .. "---Frees.\nfunction Lock:free() end"
    refuses("1: lock:hold is documented nowhere", lock:format("lock:hold()"))
    refuses("1: lock.name is documented nowhere", lock:format("lock.name"))
    accepts(lock:format("lock:free()` and `lock.age` and `door.name` and `weft.Lock"))
    accepts("---Does.\n---```lua\n---x = `weft.g`\n---```\nfunction M.f() end")
  end)

  it("what is documented twice, or belongs to nothing", function()
    refuses("4: weft.f is documented twice",
      "---Does.\nfunction M.f() end\n---Does.\nfunction M.f() end")
    refuses("1: a block with tags belongs to what is in the line below it", "---Does.\n---@async\n")
    refuses("1: ---@class belongs above `local NAME = …`",
      "---A.\n---@class weft.A\nfunction M.f() end")
  end)

  it("a field of a module's constructor without a block", function()
    local _, problems = docs.generate({ ["lua/weft/one.lua"] =
      "---A.\n---@class weft\nlocal M = {\n  ---Is.\n  ---@type integer\n  a = 1,\n"
      .. "  _b = 2,\n  c = 3,\n}\nreturn M\n" },
      PAGES)
    assert.same({ { path = "lua/weft/one.lua", line = 8, why = "weft.c has no doc block" } },
      problems)
  end)

  it("what is on no page", function()
    local _, problems = docs.generate({ ["lua/weft/two.lua"] = HEAD
      .. "---Does.\nfunction M.f() end\nreturn M" },
      PAGES)
    assert.same({ { path = "lua/weft/two.lua", line = 5,
      why = "weft.f is on no page: see tools/docs/pages.lua" } }, problems)
  end)

  it("nothing of what is private, be it a class or an alias", function()
    accepts("---@private\n---@class weft.Lock\n---@field age number\nlocal Lock = {}\n"
      .. "function Lock:free() end\n---@private\n---@alias weft.Age integer")
    refuses("4: weft.Lock is documented nowhere", "---@private\n---@class weft.Lock\n"
      .. "local Lock = {}\n---Like `weft.Lock`.\nfunction M.f() end")
  end)

  it("nothing twice, and lists by file and line", function()
    local body = "function M.b() end\nfunction M.a() end\nreturn M\n"
    local made, problems = docs.generate({ ["lua/weft/one.lua"] = HEAD .. body,
      ["lua/weft/a.lua"] = HEAD:gsub("---A module.\n", "") .. "function M.z() end\nreturn M\n" },
        PAGES)
    local list = {}
    for i, one in ipairs(problems) do list[i] = ("%s:%d"):format(one.path, one.line) end
    assert.same({ "lua/weft/a.lua:3", "lua/weft/one.lua:4", "lua/weft/one.lua:5" }, list)
    assert.same({}, made)
  end)
end)

-- --------------------------------------------------------------- what it makes

local SOURCE = [[
---A module.
---@class weft
local M = {}

---A lock. Made by `weft.lock`.
---@class weft.Lock: weft.Thing
---@field age number seconds since it was made
local Lock = {}

---Takes it.
---
---Raises `state`.
---
---```lua
---`weft.lock`()
---
---```
---@async
---@param n integer how often
---@param ... weft.Lock | weft.Thing
---@return true
---@return weft.Lock? other the other one
function Lock:take(n, ...) end

---Calls it.
---@param a any
---@return boolean
function Lock:__call(a) end

---A thing.
---@class weft.Thing
local Thing = {}

---Is it?
function Thing:is() end

---Makes a lock; see `lock:take()`,
---`lock:is` and `lock.age`.
---@return weft.Lock
function M.lock() end

---@private
function M.hidden() end

---One of these.
---@alias weft.Word
---| "a" # the first

return M
]]

local PAGE = [[
<!-- MARK. -->

# One

About one.

## weft.lock

`weft.lock()`

Makes a lock; see [`lock:take()`](#locktake),
[`lock:is`](#thingis) and [`lock.age`](#class-weftlock).

Returns:

- [`weft.Lock`](#class-weftlock)

## class weft.Lock

A lock. Made by [`weft.lock`](#weftlock).

It has what [`weft.Thing`](#class-weftthing) has, and:

Fields:

- `age` (`number`): seconds since it was made

### lock:take

`lock:take(n, ...)` · *waits*

Takes it.

Parameters:

- `n` (`integer`): how often
- `...` ([`weft.Lock`](#class-weftlock) | [`weft.Thing`](#class-weftthing))

Returns:

- `true`
- [`weft.Lock?`](#class-weftlock) *other*: the other one

Raises `state`.

```lua
`weft.lock`()

```

### lock

`lock(a)`

Calls it.

Parameters:

- `a` (`any`)

Returns:

- `boolean`

## class weft.Thing

A thing.

### thing:is

`thing:is()`

Is it?

## weft.Word

One of these.

One of:

- `"a"`: the first
]]

local STUB = [[
-- SPDX-License-Identifier: MIT
-- weft: types for the Lua language server.
-- MARK.
---@meta weft

---A module.
---@class weft
local weft = {}

---Makes a lock; see `lock:take()`,
---`lock:is` and `lock.age`.
---@return weft.Lock
function weft.lock() end

---A lock. Made by `weft.lock`.
---@class weft.Lock: weft.Thing
---@field age number seconds since it was made
---@overload fun(a: any): boolean
local Lock = {}

---Takes it.
---
---Raises `state`.
---
---```lua
---`weft.lock`()
---
---```
---@async
---@param n integer how often
---@param ... weft.Lock | weft.Thing
---@return true
---@return weft.Lock? other the other one
function Lock:take(n, ...) end

---A thing.
---@class weft.Thing
local Thing = {}

---Is it?
function Thing:is() end

---One of these.
---@alias weft.Word
---| "a" # the first

return weft
]]

-- What is generated from one file.
local function generated(source)
  local made, problems = docs.generate({ ["lua/weft/one.lua"] = source }, PAGES)
  assert.same({}, problems)
  return made
end

local function marked(text)
  return (text:gsub("MARK", (docs.mark:gsub("%%", "%%%%"))))
end

describe("the generator makes", function()
  it("a page of the manual", function()
    assert.equal(marked(PAGE), generated(SOURCE)["docs/reference/one.md"])
  end)

  it("links of what scripts call http too", function()
    local made = docs.generate({ ["lua/weft/one.lua"] = HEAD:gsub("@class weft", "%0.http")
      .. "---See `http.put(x)`, `put`.\nfunction M.get() end\n---Puts.\nfunction M.put() end\n"
      .. "return M\n" }, PAGES)
    local page = made["docs/reference/one.md"]
    assert.truthy(page:find("\nSee [`http.put(x)`](#wefthttpput), `put`.\n", 1, true), page)
  end)

  it("a stub for each module", function()
    assert.equal(marked(STUB), generated(SOURCE)["lua/weft/_meta/weft.lua"])
  end)

  it("an index of what is on each page", function()
    local index = generated(SOURCE)["docs/reference/README.md"]
    assert.truthy(index:find("\n" .. [==[
## [One](one.md)

About one.

[`weft.lock`](one.md#weftlock)

- [`weft.Lock`](one.md#class-weftlock): [`take`](one.md#locktake),
  [`()`](one.md#lock)
- [`weft.Thing`](one.md#class-weftthing): [`is`](one.md#thingis)
- [`weft.Word`](one.md#weftword)
]==], 1, true), index)
  end)

  it("nothing else", function()
    local paths = {}
    for path in pairs(generated(SOURCE)) do paths[#paths + 1] = path end
    table.sort(paths)
    assert.same({ "docs/reference/README.md", "docs/reference/one.md", "lua/weft/_meta/weft.lua" },
      paths)
  end)

  it("a class of what several files tell of it, in the order of their names", function()
    local files, expected = {}, {}
    for letter in ("hgfedcba"):gmatch(".") do
      files["lua/weft/" .. letter .. ".lua"] = "---From " .. letter
        .. ".\n---@class weft.Lock\nlocal Lock = {}\n"
      table.insert(expected, 1, "From " .. letter .. ".\n\n")
    end
    local page = { name = "one", title = "One", from = { "weft.a" }, summary = "About one." }
    local page_text = docs.generate(files, { page })["docs/reference/one.md"]
    assert.equal("## class weft.Lock\n\n" .. table.concat(expected):sub(1, -2),
      page_text:match("## class.*$"))
  end)

  it("the same again, whatever the order in which it meets the files", function()
    local files = docs.read(".")
    local made = docs.generate(files)
    local names, shuffled = {}, {}
    for path in pairs(files) do table.insert(names, 1, path) end
    for _, path in ipairs(names) do shuffled[path] = files[path] end
    assert.is_true(#names > 10)
    assert.same(made, docs.generate(shuffled))
  end)
end)

-- ---------------------------------------------------------------- the program

-- Calls fn with a fresh directory, which is removed afterwards, and a function that runs the
-- program in it: that gives its output and exit status.
local function with_tree(fn)
  local root = os.tmpname()
  os.remove(root)
  lines_of("mkdir -p " .. root .. "/lua/weft")
  local ok, e = pcall(fn, root, function()
    local lines = lines_of(("%s tools/docs.lua %s 2>&1; echo $?"):format(
      support.quote(support.interpreter), root))
    local status = table.remove(lines)
    return table.concat(lines, "\n"), tonumber(status)
  end)
  lines_of("rm -r " .. root)
  if not ok then error(e, 0) end
end

local function write(path, text)
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
end

local LOCKS = HEAD .. "\n---A lock.\nfunction M.lock() end\n\nreturn M\n"

describe("tools/docs.lua", function()
  it("writes stubs and manual, removes what it wrote before, leaves what others wrote", function()
    with_tree(function(root, run)
      write(root .. "/lua/weft/sync.lua", LOCKS)
      lines_of("mkdir -p " .. root .. "/docs/reference")
      write(root .. "/docs/reference/old.md", "<!-- " .. docs.mark .. ". -->\n")
      write(root .. "/docs/reference/mine.md", "mine\n")
      assert.same({ "", 0 }, { run() })
      assert.truthy(read(root .. "/docs/reference/synchronisation.md"):find("## weft.lock", 1,
        true))
      assert.truthy(read(root .. "/lua/weft/_meta/weft.lua"):find("function weft.lock() end", 1,
        true))
      assert.equal("mine\n", read(root .. "/docs/reference/mine.md"))
      assert.is_nil(io.open(root .. "/docs/reference/old.md"))
      local before = read(root .. "/docs/reference/README.md")
      assert.same({ "", 0 }, { run() })
      assert.equal(before, read(root .. "/docs/reference/README.md"))
    end)
  end)

  it("lists what is wrong as file:line: what, and writes nothing", function()
    with_tree(function(root, run)
      write(root .. "/lua/weft/sync.lua", (LOCKS:gsub("%-%-%-A lock.\n", "")))
      assert.same({ "lua/weft/sync.lua:5: weft.lock has no doc block", 1 }, { run() })
      assert.is_nil(io.open(root .. "/lua/weft/_meta/weft.lua"))
    end)
  end)

  it("says so where there are no sources", function()
    with_tree(function(_, run)
      assert.same({ "docs: found no sources", 2 }, { run() })
    end)
  end)
end)

-- ------------------------------------------------------- what is there for weft

local made, problems = docs.generate(docs.read("."))

describe("weft's documentation", function()
  it("has nothing wrong", function()
    assert.same({}, problems)
  end)

  it("is what `make docs` generates", function()
    local count = 0
    for path, text in pairs(made) do
      assert.equal(text, read(path), path .. ": run `make docs`")
      count = count + 1
    end
    assert.equal(count, #lines_of("find docs/reference lua/weft/_meta -type f"))
  end)
end)

-- What a user can call or read, by the names that the manual uses.
local PROMISED = [[
  weft.run weft.main weft.runner runner:run runner:get_loop runner:close
  weft.new_event_loop weft.get_event_loop weft.set_event_loop weft.get_running_loop

  loop:run_until_complete loop:run_forever loop:stop loop:close loop:is_running loop:is_closed
  loop:time loop:call_soon loop:call_later loop:call_at handle:cancel handle:cancelled
  handle:when loop:create_task loop:create_future loop:set_exception_handler
  loop:default_exception_handler loop:set_debug loop:get_debug loop.slow_callback_duration
  loop:add_signal_handler loop:remove_signal_handler
  loop:fileno loop:next_timeout loop:run_once loop:alive loop:on_wakeup loop:statistics

  weft.create_task weft.spawn weft.ensure_future weft.create_future weft.await
  weft.current_task weft.all_tasks weft.sleep weft.yield weft.finally
  task:await task:done task:cancelled task:result task:exception task:add_done_callback
  task:remove_done_callback task:cancel task:cancelling task:uncancel task:get_name
  task:set_name task:traceback task.context
  future:await future:done future:cancelled future:result future:exception
  future:add_done_callback future:remove_done_callback future:set_result
  future:set_exception future:cancel

  weft.gather weft.wait weft.wait_for weft.as_completed weft.shield weft.timeout
  weft.timeout_at weft.current_deadline weft.task_group task_group:create_task weft.map
  map:next map:close map:collect

  weft.semaphore weft.bounded_semaphore weft.lock weft.event weft.condition weft.barrier
  weft.queue weft.priority_queue weft.lifo_queue
  semaphore:acquire semaphore:release semaphore:locked semaphore:with semaphore:statistics
  lock:acquire lock:release lock:locked lock:with
  event:wait event:set event:clear event:is_set
  condition:acquire condition:release condition:locked condition:wait condition:wait_for
  condition:notify condition:notify_all condition:with
  barrier:wait barrier:abort barrier:reset barrier.parties barrier.n_waiting barrier.broken
  queue:put queue:put_nowait queue:get queue:get_nowait queue:qsize queue:empty queue:full
  queue:task_done queue:join queue:shutdown queue:iter queue:statistics queue.maxsize

  weft.tree weft.statistics weft.traceback
  weft.Error weft.is_error weft.try error.kind error.message error.code error.errors
  error.cause error.traceback error.value

  weft.testing.virtual_clock weft.testing.wait_all_parked weft.testing.sequencer
  weft.testing.leaks weft.testing.cancel_everywhere weft.testing.gc_stress
  weft.testing.fail_allocation
]]

-- The class whose methods and fields `object.name` and `object:name` are.
local CLASSES = { runner = "Runner", loop = "Loop", handle = "Handle", task = "Task",
  future = "Future", task_group = "TaskGroup", map = "Map", semaphore = "Semaphore",
  lock = "Lock", event = "Event", condition = "Condition", barrier = "Barrier",
  queue = "Queue", error = "Error" }

-- The functions in a stub as { ["Class:name"] = true }, fields as "Class.name".
local function names_in(stub)
  local names, class = {}, nil
  for line in stub:gmatch("[^\n]+") do
    local member = line:match("^function ([%w_]+[.:][%w_]+)%(")
    class = (line:match("^%-%-%-@class ([%w_.]+)") or class or ""):match("[^.]*$")
    local field = line:match("^%-%-%-@field ([%w_]+)")
    if member then names[member] = true end
    if field then names[class .. "." .. field] = true end
    if line:find("^local %w+ = {}") then names[line:match("%w+", 6)] = true end
  end
  return names
end

-- The same of both stubs; what Task has from Future is there too.
local function documented_names()
  local names = names_in(made["lua/weft/_meta/weft.lua"])
  for name in pairs(names_in(made["lua/weft/_meta/testing.lua"])) do names[name] = true end
  for name in pairs(names_in(made["lua/weft/_meta/weft.lua"])) do
    local method = name:match("^Future(:.*)")
    if method then names["Task" .. method] = true end
  end
  return names
end

-- The name of the manual as a stub has it.
local function in_stub(name)
  local object, rest = name:match("^(%l[%l_]*)([.:].*)$")
  if name:find("^weft%.testing%.") then return name:match("testing%..*") end
  return CLASSES[object] and CLASSES[object] .. rest or name:match("^weft%.(%u%w*)$") or name
end

describe("every promised name", function()
  it("has an entry in the stubs", function()
    local names, count = documented_names(), 0
    for name in PROMISED:gmatch("%S+") do
      count = count + 1
      assert.is_true(names[in_stub(name)], name .. " is not in the stubs")
    end
    assert.is_true(count > 150)
  end)

  it("has an entry in the manual", function()
    local manual = {}
    for path, text in pairs(made) do
      if path:find("%.md$") then manual[#manual + 1] = text end
    end
    manual = table.concat(manual, "\n")
    for name in PROMISED:gmatch("%S+") do
      local object, field = name:match("^(%l[%l_]*)%.([%l_]+)$")
      name = name:gsub("^task(:[%l_]+)", function(method) -- inherited
        return not manual:find("### task" .. method .. "\n", 1, true) and "future" .. method or nil
      end)
      local heading = CLASSES[object] and "- `" .. field .. "` (" or "# " .. name .. "\n"
      if name == "weft.Error" then heading = "## class weft.Error\n" end
      assert.truthy(manual:find(heading, 1, true), name .. " is not in the manual")
    end
  end)
end)

-- The same of `require "weft.http"`.
local PROMISED_HTTP = [[
  http.session http.request http.get http.post http.put http.patch http.delete http.head
  http.options http.cookie_jar http.form_data http.file http.basic_auth http.bearer_auth
  http.digest_auth http.record http.replay http.json_null http.json_array http.decode http.decoder
  http.encoding_name http.charset_of http.prescan http.parse_mime

  session:request session:get session:post session:put session:patch session:delete session:head
  session:options session:close session:with session:statistics session.closed session.cookie_jar

  response.status response.reason response.version response.headers response.url response.real_url
  response.method response.history response.cookies response.content_type response.charset
  response.content_length response.links response.ok response.elapsed response.defects
  response.trailers response.connection_info response.closed
  response:read response:text response:json response:iter_chunked response:iter_lines
  response:iter_any response:save response:release response:close response:raise_for_status
  response:with

  headers:get headers:getall headers:set headers:add headers:remove headers:has headers:count
  headers:iter headers:copy
  form:add_field form:add_fields form:is_multipart
  jar:filter_cookies jar:update_cookies jar:header_for jar:set_from_header jar:iter jar:clear
  jar:clear_domain jar:save jar:load jar:statistics
]]

local HTTP_CLASSES = { session = "Session", response = "Response", headers = "Headers",
  form = "FormData", jar = "CookieJar" }

local http_names = names_in(made["lua/weft/_meta/http.lua"] or "")
local html_names = names_in(made["lua/weft/_meta/html.lua"] or "")

describe("every promised name of the HTTP client", function()
  it("is documented", function()
    for name in PROMISED_HTTP:gmatch("%S+") do
      local object, rest = name:match("^(%l+)([.:].*)$")
      assert.is_true(http_names[(HTTP_CLASSES[object] or object) .. rest], name)
    end
  end)

  it("is there, as is all that is documented of the module", function()
    local http = require "weft.http"
    for name in PROMISED_HTTP:gmatch("%f[%w]http%.([%l_]+)") do
      assert.is_not_nil(http[name], "http." .. name)
    end
    for name in pairs(http_names) do
      local member = name:match("^http%.([%l_]+)$")
      assert.is_true(not member or http[member] ~= nil, name .. " is only in the stub")
    end
    for name, value in pairs(http) do
      assert.is_true(type(value) ~= "function" or name:find("^_") ~= nil
        or http_names["http." .. name], "http." .. name .. " is not in the stub")
    end
  end)
end)

-- An object of each class.
local function objects()
  local loop = weft.get_running_loop()
  local group
  weft.task_group(function(given) group = given end)
  return { Runner = weft.runner(), Loop = loop, Handle = loop:call_soon(print, "never"),
    Task = weft.current_task(), Future = weft.create_future(), Map = weft.map({}, print),
    TaskGroup = group, Semaphore = weft.semaphore(), Lock = weft.lock(), Event = weft.event(),
    Condition = weft.condition(), Barrier = weft.barrier(2), Queue = weft.queue() }
end

describe("the stubs", function()
  it("load as Lua", function()
    for path, text in pairs(made) do
      if path:find("%.lua$") then
        local chunk = assert(loadstring and loadstring(text, path) or load(text, path))
        assert.is_table(chunk())
      end
    end
  end)

  it("have the functions that the modules have, and no others", function()
    local modules = { weft = weft, testing = testing, crawl = require "weft.crawl" }
    for name, part in pairs(modules.crawl) do
      modules[name] = type(part) == "table" and part or nil
    end
    assert.is_table(modules.frontier)
    for path, module in pairs(modules) do
      local stub = dofile("lua/weft/_meta/" .. path .. ".lua")
      for name, value in pairs(module) do
        if type(value) == "function" then
          assert.is_function(stub[name], name .. " is not in the stub")
        end
      end
      for name in pairs(stub) do
        assert.is_function(module[name], name .. " is only in the stub")
      end
    end
  end)

  it("have the methods that objects have, and no others", support.run(function()
    local names, all = documented_names(), objects()
    all.Handle:cancel()
    local count = 0
    for name in pairs(names) do
      local class, method = name:match("^(%u%w*):([%w_]+)$")
      if all[class] then
        count = count + 1
        assert.is_function(all[class][method], name .. " is only in the stub")
      end
    end
    assert.is_true(count > 90)
    for class, object in pairs(all) do
      local index = getmetatable(object).__index
      for name, value in pairs(type(index) == "table" and index or {}) do
        if type(value) == "function" and not name:find("^_") then
          assert.is_true(names[class .. ":" .. name], class .. ":" .. name .. " is not in the stub")
        end
      end
    end
  end))

  it("tell what waits", function()
    local waits = {}
    for text, name in made["lua/weft/_meta/weft.lua"]:gmatch("\n\n(.-)\nfunction ([%w_.:]+)%(") do
      local block = text:match("^.*\n\n(.*)$") or text
      waits[name] = block:find("---@async\n", 1, true) and block:find("---Raises ", 1, true) ~= nil
        or nil
    end
    for name in ("weft.sleep weft.gather Lock:acquire Queue:get Future:await"):gmatch("%S+") do
      assert.is_true(waits[name], name)
    end
    for name in ("weft.run Lock:release Queue:get_nowait Future:done Loop:time"):gmatch("%S+") do
      assert.is_nil(waits[name], name)
    end
  end)
end)

-- ---------------------------------------------------------------- links, examples

-- The pages of the documentation that stand in the tree.
local PATHS = lines_of("find docs examples -name '*.md' | LC_ALL=C sort")

-- What GitHub makes of the headings of a page, as { [anchor] = how many }.
local function anchors_of(text)
  local anchors = {}
  for line in table.concat(annotations.prose({ text }), "\n"):gmatch("[^\n]+") do
    local heading = line:match("^#+ (.*)$")
    if heading then
      local plain = heading:gsub("%[(.-)%]%(.-%)", "%1"):lower()
      local anchor = plain:gsub("[^%w_ -]", ""):gsub(" ", "-")
      anchors[anchor] = (anchors[anchor] or 0) + 1
    end
  end
  return anchors
end

-- The text without its fenced blocks, and these, each { line =, text = }.
local function split_fences(text)
  local prose, fences, fence, number = {}, {}, nil, 0
  for line in (text .. "\n"):gmatch("(.-)\n") do
    number = number + 1
    if line:find("^```") and not fence then
      fence = { line = number, language = line:sub(4) }
    elseif line:find("^```") then
      fence.text = table.concat(fence, "\n") .. "\n"
      fences[#fences + 1], fence = fence, nil
    elseif fence then
      fence[#fence + 1] = line
    else
      prose[#prose + 1] = line
    end
  end
  assert(not fence, "a fence is not closed")
  return table.concat(prose, "\n"), fences
end

-- "a/b" for the path "a/x/../b".
local function normal(path)
  local before
  repeat
    before = path
    path = path:gsub("[^/]+/%.%./", "", 1)
  until path == before
  return path
end

describe("the links of", function()
  for _, path in ipairs(PATHS) do
    it(path .. " lead somewhere", function()
      local prose = split_fences(read(path))
      for target in prose:gmatch("%]%(([^)]+)%)") do
        if not target:find("^%a+:") then
          local file, anchor = target:match("^([^#]*)#?(.*)$")
          local full = file == "" and path or normal(path:gsub("[^/]*$", "") .. file)
          local text = assert(io.open(full), target .. " is not there")
          text:close()
          if anchor ~= "" then
            assert.equal(1, anchors_of(split_fences(read(full)))[anchor], target)
          end
        end
      end
    end)

    it(path .. " are of names that weft has", support.run(function()
      local prose, all = split_fences(read(path)), objects()
      all.Handle:cancel()
      for name in prose:gmatch("`weft%.([%l_]+)%f[^%l_.]") do
        assert.is_not_nil(weft[name], "weft." .. name)
      end
      for object, name in prose:gmatch("`(%l[%l_]*):([%l_]+)") do
        object = object == "group" and "task_group" or object
        if CLASSES[object] then
          assert.is_function(all[CLASSES[object]][name], object .. ":" .. name)
        elseif HTTP_CLASSES[object] then
          -- A form of a document has the word of a form that is sent.
          assert.is_true(http_names[HTTP_CLASSES[object] .. ":" .. name]
            or object == "form" and html_names["Form:" .. name], object .. ":" .. name)
        end
      end
      for name in prose:gmatch("`http%.([%l_]+)") do
        assert.is_not_nil(require("weft.http")[name], "http." .. name)
      end
    end))
  end
end)

-- Names of aiohttp's that have nothing to do with its client.
local SERVERS = { GunicornWebWorker = true, GunicornUVLoopWebWorker = true }

describe("the table of aiohttp's names", function()
  local names = lines_of("env -u LD_PRELOAD /usr/bin/python3 -c "
    .. "'import aiohttp; print(*aiohttp.__all__, sep=chr(10))' 2>/dev/null")

  it("has all of them" .. (names[1] and "" or ", which no aiohttp is there to tell"), function()
    local text = read("docs/coming-from-aiohttp.md")
    for _, name in ipairs(names) do
      assert.truthy(SERVERS[name] or text:find("%f[%w_]" .. name .. "%f[^%w_]"), name)
    end
  end)
end)

-- Collects what goes to the exception handlers of the loops that are made while fn runs; these
-- have, where that is wanted, a clock that jumps to the next timer.
local function with_loops(is_virtual, fn)
  local new, reports = loops.new_event_loop, {}
  local function new_loop()
    local loop = new()
    core.loop_set(loop, "virtual", is_virtual)
    loop:set_exception_handler(function(_, context)
      reports[#reports + 1] = tostring(context.message) .. ": " .. tostring(context.exception)
    end)
    return loop
  end
  weft.new_event_loop, loops.new_event_loop = new_loop, new_loop
  local ok, e = pcall(fn)
  weft.new_event_loop, loops.new_event_loop = new, new
  if not ok then error(e, 0) end
  collectgarbage()
  assert.same({}, reports)
end

local function squeezed(text) return (text:gsub("%s+", " ")) end

-- The lines that an example says it prints.
local function promised_output(source)
  local lines = {}
  for text in source:gmatch("%-%-> ?([^\n]*)") do lines[#lines + 1] = squeezed(text) end
  return lines
end

-- weft, whose child processes have no sanitizers: programs like `tr` leak at their end, and
-- would say so by their status.
local calm = setmetatable({
  create_subprocess = function(command, args, opts)
    local copy = { env = { PATH = os.getenv("PATH") } }
    for key, value in pairs(opts or {}) do copy[key] = value end
    return weft.create_subprocess(command, args, copy)
  end,
}, { __index = weft })

-- The site that the examples of the HTTP client talk to, as they write its address; it runs in a
-- process of its own, on a port that was free.
local SITE = "127.0.0.1:8080"
local site = {}

function site.start()
  site.pipe = assert(io.popen("echo $$; exec " .. support.quote(support.interpreter)
    .. " examples/http/site.lua 0 2>&1"))
  site.pid = site.pipe:read("*l")
  local line = site.pipe:read("*l")
  site.address = assert(line and line:match("^listening on (127%.0%.0%.1:%d+)$"), line)
end

function site.stop()
  os.execute("kill -INT " .. site.pid)
  local said = site.pipe:read("*a")
  site.pipe:close()
  assert.equal("", said)
end

local function replaced(text, this, by)
  return (text:gsub(this:gsub("%p", "%%%0"), by))
end

-- What stands for itself in the examples. The module is loaded when one asks for it.
local GIVEN = setmetatable({ weft = calm }, { __index = function(_, name)
  if name == "http" then return require "weft.http" end
  if name == "site" then return "http://" .. site.address end
  return _G[name]
end })

-- Runs an example and returns what it printed. Where others take their time, a clock must not
-- jump.
local function run_example(source)
  local printed, is_real = {}, source:find("%f[%w]site%f[%W]") or source:find(SITE, 1, true)
  local env = setmetatable({ print = function(...)
    local words = { ... }
    for i = 1, select("#", ...) do words[i] = tostring(words[i]) end
    local text = replaced(table.concat(words, " "), site.address, SITE)
    for line in (text .. "\n"):gmatch("(.-)\n") do
      printed[#printed + 1] = squeezed(line)
    end
  end }, { __index = GIVEN })
  local chunk = assert(load(replaced(source, SITE, site.address), "@example.lua", "t", env))
  with_loops(not is_real, function()
    if source:find('^local weft = require "weft"\n') then
      chunk()
    else
      weft.run(chunk)
    end
  end)
  return printed
end

describe("the examples of", function()
  setup(site.start)
  teardown(site.stop)

  for _, path in ipairs(PATHS) do
    local _, fences = split_fences(read(path))
    if path:find("^docs/reference/") and not path:find("README") then
      it(path .. " are at least one", function()
        assert.is_true(#fences > 0)
      end)
    end
    for _, fence in ipairs(path:find("/internals/") and {} or fences) do
      it(("%s:%d prints what it says"):format(path, fence.line), support.outside(function()
        assert.equal("lua", fence.language)
        assert.same(promised_output(fence.text), run_example(fence.text))
      end))
    end
  end
end)
