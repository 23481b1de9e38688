-- SPDX-License-Identifier: MIT
-- tools/docs/pages.lua: the pages of the manual in their order: what is on each, and the
-- prose above the entries.
--
-- Owns: the text that belongs to no single name. A page has the functions and classes of the
-- modules `from`, and behind them what it takes by name in `also`, from wherever it is; the
-- index repeats its `summary`, not its `text`. The specs run each example: one that requires
-- weft is a script of its own, any other runs in a task; a comment --> is a line of output.
-- What is built on the HTTP client has files of its own in tools/docs/pages.

local here = debug.getinfo(1, "S").source:match("^@(.*/)") or ""

local pages = {}

pages.conventions = [[
What holds for every entry:

- Times are seconds, fractions allowed. Sizes are bytes. Strings are byte strings.
- *Waits* marks what may suspend the task that calls it, never the thread. Unless its text says
  otherwise it can be called only in a task, in any function or coroutine of it, and raises
  `state` anywhere else; in a task that was cancelled it raises `cancelled`, whether or not it
  would have had to wait.
- A failure raises an error object, `weft.Error`; "Raises" names its kinds. A value of a
  wrong type and an unknown option raise `type` everywhere.
- `t?` is a `t` or nil, `a | b` one or the other, `...` any number of values.
- Options are fields of one table, the last argument.
- Where a task, a future or a function is taken, a function is run as a new task.
- Objects with `close` can be closed twice, and by `local x <close>` on Lua 5.4.

In the examples `-->` shows what is printed. Those that begin with `local weft = require "weft"`
are scripts; all others stand in a function that `weft.run` runs, and `http` in them is
`require "weft.http"`.
]]

local function add(page) pages[#pages + 1] = page end

add { name = "running", title = "Running", from = { "weft.runner" },
  also = { "weft.run", "weft.main", "weft.runner", "weft.new_event_loop",
    "weft.get_event_loop", "weft.set_event_loop", "weft.get_running_loop" },
  summary = "From a script into a loop and out again.",
  text = [[
`weft.run` makes a loop, runs a function in it as a task, and closes it; `weft.main` is the same
as the last line of a script, with an exit status. A function needs no mark to wait: whatever a
task calls may.

```lua
local weft = require "weft"

local function greet(name, seconds)
  weft.sleep(seconds)
  print("hello, " .. name)
end

weft.run(function()
  weft.gather(weft.create_task(greet, "world", 0.2), weft.create_task(greet, "you", 0.1))
end)
--> hello, you
--> hello, world
```

A runner keeps its loop, and what belongs to that, from one run to the next:

```lua
local weft = require "weft"

local runner = weft.runner()
local queue = weft.queue()
runner:run(queue.put, queue, "kept")
print(runner:run(queue.get, queue)) --> kept
runner:close()
```
]] }

add { name = "loop", title = "The event loop", from = { "weft.loop" },
  summary = "Callbacks, timers, signals, errors nobody caught, and the calls by which a host "
    .. "that owns\nthe thread drives a loop.",
  text = [[
Most programs need no method of a loop: `weft.run` makes one, and tasks do the rest. Callbacks
run outside any task, one after the other, and cannot wait; for that, a callback starts a task.

```lua
local weft = require "weft"

local loop = weft.new_event_loop()
loop:call_later(0.2, function()
  print("later")
  loop:stop()
end)
loop:call_later(0.1, print, "between"):cancel()
loop:call_soon(print, "soon")
loop:run_forever()
loop:close()
--> soon
--> later
```

What nobody caught or looked at goes to the exception handler, once:

```lua
local weft = require "weft"

local loop = weft.new_event_loop()
loop:set_exception_handler(function(_, context)
  print(context.exception)
end)
loop:call_soon(error, "a callback failed", 0)
loop:create_task(error, "a task failed", 0)
loop:run_until_complete(function()
  weft.sleep(0.1)
end)
loop:close()
--> raised: a callback failed
--> raised: a task failed
```

As a guest, the loop runs in turns that the host asks for. A host watches the descriptor
`loop:fileno()` for reading, sets a timer of its own to `loop:next_timeout()` seconds, calls
`loop:run_once()` when either is due, and asks for the timeout again after that and when
`loop:on_wakeup` says so. This one has nothing else to do, and so it lets the turn block:

```lua
local weft = require "weft"

local loop = weft.new_event_loop()
loop:create_task(function()
  weft.sleep(0.1)
  print("a task ran as a guest")
end)
while loop:alive() do
  loop:run_once(true)
end
loop:close()
--> a task ran as a guest
```
]] }

add { name = "tasks", title = "Tasks and futures", from = { "weft.task", "weft.await" },
  summary = "What runs, and what it waits for.",
  text = [[
To call a function is to wait for it; to go on meanwhile, run it as a task. A task starts when
the one that made it waits. `weft.await` gives what its function returned, all of it, or raises
what it raised.

```lua
local function add(a, b)
  weft.sleep(1)
  return a + b
end

print(add(1, 2)) --> 3
local task = weft.create_task(add, 3, 4)
print(task:done()) --> false
print(task:await()) --> 7
print(task) --> Task<finished name=Task-2 result=7>
```

A future is an outcome that something else sets, such as a callback:

```lua
local future = weft.create_future()
weft.get_running_loop():call_later(1, future.set_result, future, "an answer", 42)
print(future:await()) --> an answer 42
```

A cancelled task gets `cancelled` out of the wait in which it is, and out of every later one:

```lua
local task = weft.create_task(function()
  local ok, e = pcall(weft.sleep, 60)
  print(ok, e.kind) --> false cancelled
  weft.sleep(60) -- raises again
end)
weft.sleep(1)
task:cancel()
weft.wait { task }
print(task:cancelled()) --> true
```
]] }

add { name = "combining", title = "Combining tasks",
  from = { "weft.combine", "weft.map", "weft.group" },
  summary = "Many at once: all of them, the first, a bounded number, a group that ends "
    .. "together.",
  text = [[
| to have | use | when one fails |
|---|---|---|
| all results, in order | `weft.gather` | it raises; the others run on |
| tasks that do not outlive a function | `weft.task_group` | it cancels the others, then raises |
| the first, or all within a time | `weft.wait` | it raises none of their errors |
| each as soon as it is done | `weft.as_completed` | `task:await()` raises, the loop does not |
| a bounded number at a time | `weft.map` | it cancels the others, then raises |

```lua
local function fetch(name, seconds)
  weft.sleep(seconds)
  return name
end

local slow, fast = weft.create_task(fetch, "slow", 2), weft.create_task(fetch, "fast", 1)
print(table.concat(weft.gather(slow, fast), " ")) --> slow fast
```
]] }

add { name = "scopes", title = "Time limits and clean-up", from = { "weft.scope" },
  also = { "weft.shield" },
  summary = "What holds for a stretch of a task's code: a time limit, peace from "
    .. "cancellations.",
  text = [[
A time limit holds for all that a function does, however deep, so that no other call needs a
timeout of its own. The nearest of several counts.

```lua
local ok, e = weft.try(weft.timeout, 5, function()
  weft.sleep(3)
  weft.sleep(3) -- broken off after 2 s
end)
print(ok, e) --> nil timeout: timed out after 5 s
```

Clean-up that waits goes into `weft.finally`: a task that was cancelled, or whose time is up,
cannot wait anywhere else.

```lua
local task = weft.create_task(weft.finally, function()
  weft.sleep(60)
end, function()
  weft.sleep(1)
  print("cleaned up") --> cleaned up
end)
weft.sleep(1)
task:cancel()
weft.wait { task }
```
]] }

add { name = "synchronisation", title = "Synchronisation", from = { "weft.sync" },
  summary = "Semaphore, lock, event, condition, barrier. All are fair: first come, first "
    .. "served. A wait that\nis cancelled loses no permit.",
  text = [[
Between two waits a task runs alone, so that plain assignments need no lock. A lock is for what
must hold across a wait, a semaphore bounds how many do something at once.

```lua
local semaphore, busy, most = weft.semaphore(2), 0, 0

local function job()
  semaphore:with(function()
    busy = busy + 1
    most = math.max(most, busy)
    weft.sleep(1)
    busy = busy - 1
  end)
end

weft.gather(job, job, job, job)
print(most) --> 2
```

An event wakes all that wait for it, now and later; a condition wakes those that wait when
something that they look at has changed.

```lua
local event, condition, stock = weft.event(), weft.condition(), 0

local buyer = weft.create_task(function()
  event:wait()
  condition:with(function()
    condition:wait_for(function() return stock > 0 end)
    stock = stock - 1
    print("bought")
  end)
end)
event:set()
weft.sleep(1)
condition:with(function()
  stock = 1
  condition:notify()
  print("in stock")
end)
buyer:await()
--> in stock
--> bought
```
]] }

add { name = "queues", title = "Queues", from = { "weft.queue" },
  summary = "Items from task to task: first in first out, by priority, last in first out. A wait "
    .. "that is\ncancelled loses no item.",
  text = [[
A queue with a bound holds the producer back; one that is shut down ends the loops of its
consumers once it is empty.

```lua
local queue = weft.queue(2)

local consumer = weft.create_task(function()
  for item in queue:iter() do
    print(item)
  end
  print("that was all")
end)
for _, item in ipairs { "apple", "pear", "plum" } do
  queue:put(item) -- waits while two are stored
end
queue:shutdown()
consumer:await()
--> apple
--> pear
--> plum
--> that was all
```
]] }

add { name = "errors", title = "Errors", from = { "weft.error" },
  summary = "Failures raise. What a task raised is raised again, as it was, in all that await it.",
  text = [[
`pcall` catches whatever is raised, a cancellation of the task too, which then comes back at the
next wait. `weft.try` catches all but that.

```lua
local ok, e = weft.try(weft.wait_for, weft.create_future(), 1)
if not ok and weft.is_error(e, "timeout") then
  print(e.kind, e.message) --> timeout timed out after 1 s
  print(e) --> timeout: timed out after 1 s
end
```

A program's own errors can be of any type. Only where an error stands among results is one that
is no error object wrapped in one:

```lua
local results = weft.gather({ function()
  error("oops", 0)
end, function()
  error(weft.Error { kind = "limit", message = "too many lines", code = "lines" })
end }, { return_exceptions = true })
print(results[1].kind, results[1].value) --> raised oops
print(results[2].kind, results[2].code) --> limit lines
```
]] }

add { name = "connections", title = "Connections", from = { "weft.net", "weft.server" },
  summary = "TCP and Unix sockets: opening connections, and accepting them.",
  text = [[
`weft.open_connection` gives a [stream](streams.md); a server runs a function for each connection
that it accepts, with the stream, and closes that when the function ends.

```lua
local server = weft.start_server(function(stream)
  for line in stream:lines() do
    stream:write(line:upper(), "\n")
  end
end, { host = "127.0.0.1" })
local host, port = server:getsockname()

local stream = weft.open_connection{ host = host, port = port, timeout = 5 }
stream:write("hello\n")
print(stream:read_line()) --> HELLO
stream:close()
server:shutdown(1)
```

A failure says in which phase it happened, where, and why:

```lua
local ok, e = weft.try(weft.open_connection, { host = "127.0.0.1", port = 1 })
print(ok, e.kind, e.code, e.phase) --> nil	connection	ECONNREFUSED	connect
```
]] }

add { name = "streams", title = "Streams", from = { "weft.stream" },
  also = { "weft.Stream" }, -- methods from other files as well
  summary = "Bytes in order, both ways: connections, TLS, pipes.",
  text = [[
Whatever a stream goes over, it has these methods. What is read has a limit, and a stream that
ends too early is an error that carries what had come:

```lua
local server = weft.start_server(function(stream)
  stream:write("name: weft\r\n", "\r\n", "12345")
end, {})
local host, port = server:getsockname()

weft.open_connection{ host = host, port = port }:with(function(stream)
  print((stream:read_until("\r\n\r\n", 1024):gsub("%s+$", ""))) --> name: weft
  print(stream:read_exactly(2)) --> 12
  local _, e = weft.try(stream.read_exactly, stream, 10)
  print(e.kind, e.partial) --> connection	345
end)
server:close()
```
]] }

add { name = "tls", title = "TLS", from = { "weft.tls" },
  summary = "Verified by default: contexts, certificates, what was agreed on.",
  text = [[
`tls = true` is all that a client needs: the server's certificate must be from an authority that
the system trusts, and for the host that was asked for. What else there is, is in a context, which
is made once and used for many connections; it also keeps their sessions, so that the next
handshake with the same server is shorter. A failure says what is wrong:

```lua
local ok, e = weft.try(weft.tls.context, { ca_data = "no certificate" })
print(ok, e.kind, e.code) --> nil	tls	NO_CERTIFICATE
```

A server has its certificate and key in a context, and may have further contexts by name (`sni`):

    local context = weft.tls.context{ cert = "a.pem", key = "a.key" }
    local server = weft.start_server(handler, { port = 443, tls = context })

A handshake that fails in a server is the peer's affair: it is counted
(`server:statistics().failed`), and reported only when the loop debugs. One that takes longer than
`handshake_timeout` fails. A stream that ends without TLS's own end (close_notify) was cut off by
somebody: that is an error (`connection`, code "ETLSEOF"), unless the context has
`allow_unclean_close`.
]] }

add { name = "names", title = "Names and addresses", from = { "weft.resolver" },
  summary = "From the name of a host to its addresses.",
  text = [[
Connections and datagrams look names up by themselves; for everything else:

```lua
local resolver = weft.resolver{ cache_ttl = 60 }
for _, address in ipairs(resolver:resolve("127.0.0.1", 80)) do
  print(address.family, address.address, address.port) --> inet	127.0.0.1	80
end
resolver:close()
```
]] }

add { name = "datagrams", title = "Datagrams", from = { "weft.datagram" },
  summary = "UDP: single messages, of which each arrives once, several times, or not at all.",
  text = [[
```lua
local echo = weft.datagram_endpoint{ local_addr = { "127.0.0.1", 0 } }
local host, port = echo:getsockname()
local client = weft.datagram_endpoint{ remote_addr = { host, port } }
client:send("ping")
local data, from, from_port = echo:receive()
echo:send(data:upper(), from, from_port)
print((client:receive())) --> PING
client:close()
echo:close()
```
]] }

add { name = "files", title = "Files", from = { "weft.fs", "weft.file", "weft.watch" },
  summary = "Files and directories, without holding up the loop.",
  text = [[
Each call is done by a thread, from beginning to end. A call that is cancelled closes what it
opened and removes what was temporary.

```lua
local fs = weft.fs

fs.temporary_directory(function(dir)
  fs.write_file(dir .. "/list", "apple\npear\n")
  fs.open(dir .. "/list", "a+"):with(function(file)
    file:write("plum\n")
    file:seek("set")
    for line in file:lines() do
      print(line, file:seek())
    end
  end)
  fs.write_atomic(dir .. "/settings", "a = 1")
  for name, type in fs.entries(dir) do
    print(name, type, fs.stat(dir .. "/" .. name).size)
  end
end)
--> apple	6
--> pear	11
--> plum	16
--> list	file	16
--> settings	file	5
```

A watch tells what happens to a file, or in a directory:

```lua
weft.fs.temporary_directory(function(dir)
  weft.fs.watch(dir):with(function(watch)
    weft.create_task(weft.fs.mkdir, dir .. "/new")
    print(watch:next().name) --> new
  end)
end)
```
]] }

add { name = "processes", title = "Processes", from = { "weft.process" },
  summary = "Child processes, and pipes to them as streams.",
  text = [[
```lua
local sort = weft.create_subprocess("sort", { "-r" }, { stdin = "pipe", stdout = "pipe" })
local output = sort:communicate("apple\npear\n")
print(#output, output:match("%a+")) --> 11	pear
print(sort.returncode) --> 0
```

Line by line, and ended by a signal:

```lua
local cat = weft.create_subprocess("cat", {}, { stdin = "pipe", stdout = "pipe" })
cat.stdin:write("hello\n")
print(cat.stdout:read_line()) --> hello
cat:terminate()
print(cat:wait().signal) --> SIGTERM
cat:close()
```
]] }

add { name = "threads", title = "Threads", from = { "weft.thread" },
  summary = "What blocks, or computes for long, in threads with a Lua state of their own.",
  text = [[
```lua
local function fibonacci(n)
  local function fib(i)
    return i < 2 and i or fib(i - 1) + fib(i - 2)
  end
  return fib(n)
end

local results = weft.gather(function()
  return weft.run_in_thread(fibonacci, 20)
end, function()
  return weft.run_in_thread("string.rep", "ab", 3)
end)
print(results[1], results[2]) --> 6765	ababab
```
]] }

add { name = "terminals", title = "Terminals", from = { "weft.tty" },
  summary = "For progress displays: the size of a terminal, and single keys.",
  text = [[
```lua
local tty = weft.tty

local function show(text)
  if tty.is_tty() then
    io.write("\\r", text:sub(1, (tty.size())))
  end
end

for i = 1, 3 do
  show(i .. " of 3")
end
print("done") --> done
```

```lua
if weft.tty.is_tty(0) then
  weft.tty.raw():with(function()
    print("press a key")
    print("that was " .. io.read(1))
  end)
end
```
]] }

add { name = "urls", title = "URLs", from = { "weft.url", "weft.url.query", "weft.url.percent" },
  summary = "Parsing, joining, queries: the URL Standard, as in browsers.",
  text = [[
```lua
local url = weft.url
local u = url.parse("HTTPS://user@Example.com:8443/a/../b?q=one+two#top")
print(u.scheme, u.hostname, u.port) --> https	example.com	8443
print(u.path, u.query, u.fragment) --> /b	q=one+two	top
print(url.decode_query(u.query).q) --> one two
u:set("port", 443)
u:set("hash", "")
print(u) --> https://user@example.com/b?q=one+two
```

What a link in a page means is told by the page's own URL. One that is none raises `type`, code
"invalid_url", and says why:

```lua
local url = weft.url
print(url.join("http://example.com/a/b", "../c?page=2")) --> http://example.com/c?page=2
local ok, e = weft.try(url.parse, "http://a:99999/")
print(ok, e.part) --> nil	port
print(e) --> type: invalid URL "http://a:99999/": the port 99999 is too large (invalid_url)
```

A query is made from names with values, or from pairs where the order matters:

```lua
local url = weft.url
local search = url.parse("http://example.com/search")
print(search:with_query{ q = "tea & milk", tag = { "a", "b" } })
--> http://example.com/search?q=tea+%26+milk&tag=a&tag=b
print(url.encode_query{ { "z", 1 }, { "a", 2 } }) --> z=1&a=2
```

A crawler that asks "have I been here?" asks for `url.canonicalize`'s spelling:

```lua
local url = weft.url
local seen = "http://EXAMPLE.com:80/%7eme?b=2&a=1&utm_source=x#top"
print(url.canonicalize(seen, { drop = { "utm_*" } }))
--> http://example.com/~me?a=1&b=2
```

Hosts with other letters than ASCII's become "xn--" by libidn2 (UTS #46, non-transitional); their
labels have 63 bytes at most. Built without that library, weft refuses them, and says so. Parsing
holds no resource and waits for nothing; all of this can be called outside of tasks.
]] }

add { name = "inspecting", title = "Looking inside", from = { "weft.inspect" },
  also = { "weft.traceback" },
  summary = "What a program is doing, and where.",
  text = [[
```lua
local lock = weft.lock()
lock:acquire()
local waiting = weft.create_task(function()
  lock:acquire()
end)
weft.create_task(function()
  waiting:await()
end):set_name("watcher")
weft.sleep(2)
print(weft.tree())
--> main: running at example.lua:10
--> watcher: awaits Task-2 for 2.0 s at example.lua:7
-->   Task-2: waits in acquire for 2.0 s at example.lua:4
print(weft.statistics().tasks, lock:statistics().waiting) --> 3 1
```
]] }

add { name = "http", title = "HTTP sessions",
  from = { "weft.http", "weft.http.session", "weft.http.settings", "weft.http.retry",
    "weft.http.timeouts" },
  summary = '`require "weft.http"`: requests, over connections that are kept.',
  text = [[
[The chapter](../http-client.md) tells all of it from the start. In the examples `http` is the
module, and `site` the address of the site that comes with them (`examples/http/site.lua`).

```lua
local session = http.session { base_url = site, timeout = 30, retry = true }
local response = session:get("/page/1", { params = { lang = "en" } })
print(response.status, response.url) --> 200 http://127.0.0.1:8080/page/1?lang=en
print(session:statistics().requests) --> 1
session:close()
```

For a single request, or where no cookies are wanted, there is a session of the loop:

```lua
print(http.post(site .. "/echo", { json = { 1, 2, 3 } }):json().body) --> [1,2,3]
```
]] }

add { name = "http-responses", title = "HTTP responses",
  from = { "weft.http.response", "weft.http.fields", "weft.http.links" },
  summary = "What came back: a head at once, a body that is read whole or piece by piece.",
  text = [[
```lua
local response = http.get(site .. "/page/1")
for name, value in response.headers:iter() do
  if name ~= "Date" then print(name, value) end
end
--> Content-Length 61
--> Content-Type text/html; charset=utf-8
print(response) --> Response<200 OK GET http://127.0.0.1:8080/page/1>
print(response:text():match("<title>(.-)</title>"))
--> Page 1
```
]] }

add { name = "http-bodies", title = "HTTP bodies",
  from = { "weft.http.multipart", "weft.http.filebody", "weft.http.jsonbody", "weft.http.body" },
  summary = "What a request sends: forms, files, JSON.",
  text = [[
```lua
local form = http.form_data()
form:add_field("name", "Ann")
print(form:is_multipart()) --> false
form:add_field("notes", "tea\n", { filename = "notes.txt", content_type = "text/plain" })
print(form:is_multipart()) --> true
local got = http.post(site .. "/echo", { data = form }):json()
print(got.form.name, got.form.notes.filename) --> Ann notes.txt
```
]] }

add { name = "http-auth", title = "HTTP authentication",
  from = { "weft.http.auth", "weft.http.digest" },
  summary = "Basic, Bearer, Digest.",
  text = [[
```lua
local auth = http.basic_auth("ann", "secret")
print(auth) --> BasicAuth<login=ann>
print(http.get(site .. "/private", { auth = auth }).status) --> 200
print(http.get(site .. "/private").status) --> 401
```
]] }

add { name = "http-hooks", title = "Hooks and recordings",
  from = { "weft.http.trace", "weft.http.request", "weft.http.transport", "weft.http.record" },
  summary = "Looking at requests, changing them, answering them without a network.",
  text = [[
```lua
local session = http.session { transport = function(request)
  return { status = 200, body = "you asked for " .. request.url }
end }
print(session:get("http://tea.example/"):text()) --> you asked for http://tea.example/
session:close()
```
]] }

add { name = "cookies", title = "Cookies", from = { "weft.http.cookies" },
  summary = "What servers have set, and what goes back to them; kept in a file between runs.",
  text = [[
A session of the HTTP client has a jar of its own, or takes the one that it is given; a jar can
also be used by itself:

```lua
local jar = http.cookie_jar()
jar:set_from_header("id=7; Path=/; Secure; Max-Age=3600", "https://shop.example/login")
jar:set_from_header("seen=yes; Domain=shop.example; Path=/", "https://shop.example/login")
print(jar:header_for("https://shop.example/cart")) --> id=7; seen=yes
print(jar:header_for("http://www.shop.example/")) --> seen=yes
print(jar:set_from_header("all=mine; Domain=example", "https://shop.example/")) --> false domain
```

Public suffixes, such as `co.uk`, are those of libpsl; where weft was built without it, only
names of one label are known to be such.
]] }

add { name = "encodings", title = "Encodings", from = { "weft.http.encoding", "weft.http.mime" },
  summary = "Text from bytes: all encodings of the web, and how it is told which one it is.",
  text = [[
The encodings and their labels are those of the WHATWG's Encoding Standard, as in browsers:
"latin1" and "ascii" are windows-1252, "gb2312" is GBK. The tables are libc's.

```lua
local name, source = http.charset_of("text/html", '<meta charset="windows-1251">')
print(name, source) --> windows-1251 document
print(http.decode("\207\240\232\226\229\242", name)) --> Привет

local decoder = http.decoder("gbk")
print(decoder:decode("\214\208\206") .. decoder:decode("\196", true)) --> 中文
```
]] }

add { name = "testing", title = "Testing", from = { "weft.testing" },
  summary = '`require "weft.testing"`: for tests of programs written with weft.',
  text = [[
With a virtual clock a test takes no time, however long it sleeps, and every run is the same:

```lua
local weft = require "weft"
local testing = require "weft.testing"

local hours = testing.virtual_clock(function()
  local loop = weft.get_running_loop()
  local start = loop:time()
  weft.sleep(24 * 3600)
  return (loop:time() - start) / 3600
end)
print(("%.0f hours later"):format(hours)) --> 24 hours later
```

A function that must survive cancellation is cancelled at each of its waits in turn:

```lua
local weft = require "weft"
local testing = require "weft.testing"

local lock = weft.lock()
local runs = testing.cancel_everywhere(function()
  lock:with(function()
    weft.sleep(1)
    weft.sleep(1)
  end)
end, function()
  assert(not lock:locked())
end)
print(runs .. " waits were broken off") --> 2 waits were broken off
```
]] }

for _, part in ipairs { "html", "crawl" } do
  for _, page in ipairs(dofile(here .. "pages/" .. part .. ".lua")) do add(page) end
end

return pages
