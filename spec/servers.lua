-- SPDX-License-Identifier: MIT
-- spec.servers: servers and proxies that others made, for the specs: started on loopback with
-- free ports and files of their own, stopped when the specs of a group are over.
--
--     local suite = servers.suite("nginx")
--     setup(suite.start)
--     teardown(suite.stop)
--     it("does this", suite.spec(function(server) ... server.ports[1] ... end))
--
-- Owns: the process, its folder and its log, which is shown when it does not start. The process
-- belongs to a loop that stands still while the specs run, each in one of its own.
-- Must not know: how any of them is configured; that is spec.server_kinds'.

local weft = require "weft"
local kinds = require "spec.server_kinds"
local support = require "spec.support"

local M = {}

-- A port that was free may be another's a moment later.
local ATTEMPTS = 5

-- Seconds in which a server is to answer, and to end; then it is killed.
local START_MAX = support.slow and 120 or 20
local STOP_MAX = 10

-- Seconds for one that listens before it has read all of its files, and then gives up.
local SETTLE = 0.1

-- Kills the child when this process dies without having had the time for it.
local SETPRIV = { "/usr/bin/setpriv", "--pdeathsig", "TERM" }

-- The sanitizers that the specs may be run under are not for others' programs.
local ENV = { "/usr/bin/env", "-u", "LD_PRELOAD" }

local function exists(path)
  local file = io.open(path, "rb")
  if file then
    file:close()
  end
  return file ~= nil
end

local function program_of(kind)
  for _, path in ipairs(kind.needs or {}) do
    if not exists(path) then
      return nil
    end
  end
  for _, path in ipairs(kind.programs) do
    if exists(path) then
      return path
    end
  end
end

local function free_ports(count)
  local ports, listeners = {}, {}
  for i = 1, count do
    listeners[i] = weft.start_server(function() end, { host = "127.0.0.1", port = 0 })
    local _
    _, ports[i] = listeners[i]:getsockname()
  end
  for _, listener in ipairs(listeners) do
    listener:close()
  end
  return ports
end

local function log_of(server)
  local ok, text = weft.try(weft.fs.read_file, server.dir .. "/log", 65536)
  local fine, more = weft.try(weft.fs.read_file, server.dir .. "/squid.log", 65536)
  return (ok and text or "") .. (fine and more or "")
end

local function spawn(program, args, dir)
  local all = {}
  for _, words in ipairs({ exists(SETPRIV[1]) and SETPRIV or {}, ENV, { program }, args }) do
    for _, word in ipairs(words) do
      all[#all + 1] = word
    end
  end
  local log = weft.fs.open(dir .. "/log", "w")
  local process = weft.create_subprocess(table.remove(all, 1), all,
    { stdin = "null", stdout = log, stderr = log, cwd = dir })
  log:close()
  return process
end

-- Waits until somebody listens on the port; false if the process ends before.
local function wait_for(server, port)
  while not server.ended do
    local ok, stream = weft.try(weft.open_connection, { host = "127.0.0.1", port = port })
    if ok then
      stream:close()
      return true
    end
    weft.sleep(0.02)
  end
  return false
end

local function stop(server)
  server.process:terminate()
  if not weft.try(weft.timeout, STOP_MAX, server.process.wait, server.process) then
    server.process:kill()
    server.process:wait()
  end
  server.process:close()
end

-- One attempt; nil if the process ended at once.
local function launch(name, kind, program, dir)
  local ports = free_ports(kind.ports)
  local server = { name = name, dir = dir, ports = ports }
  server.process = spawn(program, kind.prepare(dir, ports), dir)
  local watch = weft.create_task(function()
    server.process:wait()
    server.ended = true
  end)
  local ready = true
  local fine = weft.try(weft.timeout, START_MAX, function()
    for i = 1, kind.ports - (kind.silent_ports or 0) do
      ready = ready and wait_for(server, ports[i])
    end
    weft.sleep(SETTLE)
  end)
  watch:cancel()
  if fine and ready and not server.ended then
    return server
  end
  stop(server)
end

local function start(name)
  local kind, last = kinds[name], ""
  local program = program_of(kind) or error(name .. " is not installed: make deps", 0)
  for _ = 1, ATTEMPTS do
    local dir = weft.fs.mkdtemp((os.getenv("TMPDIR") or "/tmp") .. "/weft-" .. name .. "-")
    weft.fs.chmod(dir, 511) -- 0777: it may run as another user
    local server = launch(name, kind, program, dir)
    if server then
      return server
    end
    last = log_of({ dir = dir })
    weft.fs.remove_all(dir)
  end
  error(("%s does not start:\n%s"):format(name, last), 0)
end

-- Why the specs with a server are left out; nil if they are not. On Debian they never are.
local function why_not(name)
  if not program_of(kinds[name]) and not exists("/etc/debian_version") then
    return name .. " is not installed"
  end
end

---A group of specs around servers: those named are started one after the other, each on its own
---ports. `suite.spec(fn)` is the body of a spec: `fn(...)` gets the servers, in a task, under
---the guard time and the leak check of spec.support.
function M.suite(...)
  local names, suite, runner = { ... }, {}, nil
  local running, missing = {}, nil
  for _, name in ipairs(names) do
    missing = missing or why_not(name)
  end

  function suite.start()
    runner = weft.runner()
    runner:run(function()
      for i, name in ipairs(missing and {} or names) do
        running[i] = start(name)
      end
    end)
  end

  function suite.stop()
    runner:run(function()
      for i = #running, 1, -1 do
        stop(running[i])
        weft.fs.remove_all(running[i].dir)
      end
    end)
    runner:close()
    runner, running = nil, {}
  end

  function suite.spec(fn)
    return support.run(function()
      fn((table.unpack or unpack)(running))
    end)
  end

  suite.missing = missing
  return suite
end

return M
