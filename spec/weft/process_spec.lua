-- SPDX-License-Identifier: MIT
-- weft.process: starting, talking to, ending and waiting for children; what is left of them
-- when nobody wants them any more.

local weft = require "weft"
local support = require "spec.support"
local testing = require "weft.testing"

local fs = weft.fs

local function shell(command, opts)
  return weft.create_subprocess("sh", { "-c", command }, opts)
end

local function output(cmd, args, opts)
  opts = opts or {}
  opts.stdout = "pipe"
  return (weft.create_subprocess(cmd, args, opts):communicate())
end

-- True while there is a process (also a zombie) of this number.
local function exists(pid)
  return os.execute("kill -0 " .. pid .. " 2>/dev/null") == 0
    or os.execute("kill -0 " .. pid .. " 2>/dev/null") == true
end

describe("weft.create_subprocess", function()
  it("starts a program and tells how it ended", support.run(function()
    local process = shell("exit 3")
    assert.is_number(process.pid)
    assert.is_nil(process.returncode)
    assert.matches("^Process<running pid=%d+ sh>$", tostring(process))
    assert.same({ code = 3 }, process:wait())
    assert.equal(3, process.returncode)
    assert.same({ code = 3 }, process:wait())
    assert.matches("^Process<ended pid=%d+ returncode=3>$", tostring(process))
    assert.is_nil(process.stdin)
    assert.is_nil(process.stdout)
  end))

  it("hands the arguments over as they are", support.run(function()
    assert.equal("[a b]['\"$HOME;*][][7]",
      output("printf", { "[%s]", "a b", "'\"$HOME;*", "", 7 }))
  end))

  it("says which command was not found", support.run(function()
    local e = support.raises({ "os", "ENOENT" }, weft.create_subprocess, "no-such-command")
    assert.equal("start 'no-such-command': no such file or directory", e.message)
    assert.equal("no-such-command", e.path)
    support.raises({ "os", "ENOENT" }, weft.create_subprocess, "cat", {}, { cwd = "/no/such" })
    support.raises({ "os", "EACCES" }, weft.create_subprocess, "/etc/passwd", {},
      { stdin = "pipe", stdout = "pipe", stderr = "pipe" })
  end))

  it("refuses what cannot be handed over", support.run(function()
    support.raises("type", weft.create_subprocess, "a\0b")
    support.raises("type", weft.create_subprocess, "cat", { "a\0b" })
    support.raises("type", weft.create_subprocess, "cat", { {} })
    support.raises("type", weft.create_subprocess, "cat", "x")
    support.raises("type", weft.create_subprocess, "cat", {}, { env = { ["a=b"] = "" } })
    support.raises("type", weft.create_subprocess, "cat", {}, { stdin = "stdout" })
    support.raises("type", weft.create_subprocess, "cat", {}, { stdout = {} })
    support.raises({ "type", "unknown_option" }, weft.create_subprocess, "cat", {}, { cdw = "/" })
  end))

  it("sets environment and directory", support.run(function()
    assert.equal("A=1\nB=x y\n", output("/usr/bin/env", {}, { env = { A = "1", B = "x y" } }))
    assert.equal("/\n", output("pwd", {}, { cwd = "/" }))
    assert.is_true(#output("env") > 0)
  end))

  it("runs as another user, if that is allowed", support.run(function()
    local mine = output("id", { "-u" })
    if mine == "0\n" then
      assert.equal("65534:65534\n", output("sh", { "-c", "echo $(id -u):$(id -g)" },
        { uid = 65534, gid = 65534 }))
    else
      support.raises({ "os", "EPERM" }, weft.create_subprocess, "id", {}, { uid = 0 })
    end
  end))

  it("inherits nothing else", support.outside(function()
    local file = assert(io.open("/dev/null"))
    weft.run(function()
      local kept = fs.open("/dev/null")
      -- ls itself opens the directory that it lists
      assert.equal("0\n1\n2\n3\n", output("ls", { "/proc/self/fd" }))
      kept:close()
    end)
    file:close()
  end))

  it("takes files, streams and descriptors as standard streams", support.run(function()
    fs.temporary_file(function(file, path)
      shell("cat; echo err >&2", { stdin = "null", stdout = file, stderr = "stdout" }):wait()
      shell("echo two", { stdout = file:fileno() }):wait()
      assert.equal("err\ntwo\n", fs.read_file(path))
      fs.open(path):with(function(input)
        assert.equal("err\ntwo\n", output("cat", {}, { stdin = input }))
      end)
    end)
    local first = shell("echo hello", { stdout = "pipe" })
    assert.equal("HELLO\n", output("tr", { "a-z", "A-Z" }, { stdin = first.stdout }))
    first.stdout:close()
    first:wait()
  end))

  it("sends stderr where stdout goes", support.run(function()
    local process = shell("echo a; echo b >&2; echo c", { stdout = "pipe", stderr = "stdout" })
    assert.same({ "a\nb\nc\n" }, { process:communicate() })
  end))

  it("is talked to line by line", support.run(function()
    local process = weft.create_subprocess("sh",
      { "-c", "while read line; do echo \"<$line>\"; done" }, { stdin = "pipe", stdout = "pipe" })
    for i = 1, 5 do
      process.stdin:write(i .. "\n")
      assert.equal("<" .. i .. ">", process.stdout:read_line())
    end
    process.stdin:close()
    assert.is_nil(process.stdout:read_line())
    assert.same({ code = 0 }, process:wait())
    process:close()
  end))

  describe("communicate", function()
    it("moves more than any pipe holds, both ways", support.run(function()
      local data = ("0123456789abcde\n"):rep(50000)
      local process = shell("tee /dev/stderr", { stdin = "pipe", stdout = "pipe",
        stderr = "pipe" })
      local out, err = process:communicate(data)
      assert.is_true(out == data)
      assert.is_true(err == data)
      assert.equal(0, process.returncode)
    end))

    it("does not mind a child that does not read", support.run(function()
      local process = shell("exec <&-; echo done", { stdin = "pipe", stdout = "pipe" })
      assert.equal("done\n", process:communicate(("x"):rep(1000000)))
    end))

    it("bounds what the child says, and ends it", support.run(function()
      local process = shell("exec cat /dev/zero", { stdout = "pipe" })
      support.raises("limit", process.communicate, process, nil, 100000)
      assert.is_true(process.returncode < 0)
    end))

    it("without a pipe for the input is refused", support.run(function()
      local process = shell("exit 0")
      support.raises("state", process.communicate, process, "x")
      assert.same({}, { process:communicate() })
    end))

    it("cancelled ends the child", support.run(function()
      local process = shell("exec sleep 1000", { stdin = "pipe", stdout = "pipe" })
      support.raises("timeout", weft.timeout, 0.02, process.communicate, process)
      assert.equal(-15, process.returncode)
      assert.is_true(process.stdout:is_closed())
    end))
  end)

  describe("signals", function()
    it("end it, and it tells by which", support.run(function()
      local process = weft.create_subprocess("sleep", { "1000" })
      assert.is_true(process:terminate())
      assert.same({ signal = "SIGTERM" }, process:wait())
      assert.equal(-15, process.returncode)
      assert.is_false(process:kill())
      process = weft.create_subprocess("sleep", { "1000" })
      assert.is_true(process:send_signal("SIGKILL"))
      assert.same({ signal = "SIGKILL" }, process:wait())
      process = weft.create_subprocess("sleep", { "1000" })
      assert.is_true(process:kill(1))
      assert.same({ signal = "SIGHUP" }, process:wait())
    end))

    it("go by their names", support.run(function()
      local process = weft.create_subprocess("sleep", { "1000" })
      local e = support.raises("type", process.send_signal, process, "SIGTREM")
      assert.matches("did you mean 'SIGTERM'", e.message)
      support.raises({ "os", "EINVAL" }, process.send_signal, process, 1000)
      process:kill()
      process:wait()
    end))

    it("that a child ignores are followed by one that it cannot", support.run(function()
      local process = shell("trap '' TERM; echo ready; while :; do sleep 0.01; done",
        { stdout = "pipe" })
      assert.equal("ready", process.stdout:read_line())
      process:terminate()
      support.raises("timeout", weft.timeout, 0.02, process.wait, process)
      process:kill()
      assert.same({ signal = "SIGKILL" }, process:wait())
      process:close()
    end))
  end)

  it("is waited for by any number of tasks, one of which may leave", support.run(function()
    local process = shell("read x; exit 4", { stdin = "pipe" })
    local tasks = {}
    for i = 1, 5 do
      tasks[i] = weft.create_task(function() return process:wait().code end)
    end
    weft.sleep(0)
    tasks[3]:cancel()
    process.stdin:write("go\n")
    for i = 1, 5 do
      if i == 3 then
        support.raises("cancelled", weft.await, tasks[i])
      else
        assert.equal(4, weft.await(tasks[i]))
      end
    end
    process:close()
  end))

  describe("with", function()
    it("waits for the end", support.run(function()
      local process = weft.create_subprocess("cat", {}, { stdin = "pipe", stdout = "pipe" })
      assert.equal("x\n", process:with(function(child)
        child.stdin:write("x\n")
        return child.stdout:read(10)
      end))
      assert.equal(0, process.returncode)
    end))

    it("ends the child on an error", support.run(function()
      local process = weft.create_subprocess("sleep", { "1000" })
      assert.equal("boom", support.error_of(process.with, process, function()
        error("boom", 0)
      end))
      assert.equal(-15, process.returncode)
    end))

    it("ends the child on a cancellation, also while it waits for the end", support.run(function()
      local process = weft.create_subprocess("sleep", { "1000" })
      support.raises("timeout", weft.timeout, 0.01, process.with, process, function()
        weft.sleep(100)
      end)
      assert.equal(-15, process.returncode)
      process = weft.create_subprocess("sleep", { "1000" })
      support.raises("timeout", weft.timeout, 0.01, process.with, process, function() end)
      assert.equal(-15, process.returncode)
    end))
  end)

  it("cancelled at each wait leaves no child and no descriptor", support.outside(function()
    local pids = {}
    testing.cancel_everywhere(function()
      local process = weft.create_subprocess("cat", {}, { stdin = "pipe", stdout = "pipe" })
      pids[#pids + 1] = process.pid
      process:with(function()
        process.stdin:write("hello\n")
        process.stdout:read_line()
      end)
      process = weft.create_subprocess("cat", {}, { stdin = "pipe", stdout = "pipe" })
      pids[#pids + 1] = process.pid
      process:communicate("x")
    end, function()
      for _, pid in ipairs(pids) do
        assert(not exists(pid), "a child is left")
      end
    end)
    assert.is_true(#pids > 4)
  end))

  describe("a child that nobody wants", function()
    it("is killed and waited for when it is collected", support.run(function()
      local pid = weft.create_subprocess("sleep", { "1000" }).pid
      collectgarbage()
      collectgarbage()
      while exists(pid) do
        weft.sleep(0.001)
      end
    end))

    it("is killed and waited for as the loop closes", support.outside(function()
      local process
      weft.run(function()
        process = weft.create_subprocess("sleep", { "1000" })
      end)
      assert.is_false(exists(process.pid))
      assert.equal(-9, process.returncode)
      assert.is_false(process:kill())
    end))

    it("runs on if it is detached", support.outside(function()
      local process
      weft.run(function()
        process = weft.create_subprocess("sleep", { "1000" }, { detached = true })
        process:close()
      end)
      assert.is_true(exists(process.pid))
      os.execute("kill -9 " .. process.pid)
    end))

    it("does not keep a run from ending", function()
      local text, status = support.script([[
        local weft = require "weft"
        weft.run(function() weft.create_subprocess("sleep", { "1000" }) end)
        print "ended"
      ]], "timeout 20")
      assert.equal("ended\n", text)
      assert.equal(0, status)
    end)
  end)

  it("starts many at once", support.run(function()
    local results = weft.map({ 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 }, function(i)
      return shell("exit " .. i):wait().code
    end):collect()
    assert.same({ 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, n = 10 }, results)
  end))

  it("survives a failure of each allocation", support.run(function()
    for n = 1, 30 do
      local ok, e = testing.fail_allocation(n, function()
        weft.create_subprocess("true", {}, { stdin = "pipe", stdout = "pipe" })
          :with(function() end)
      end)
      assert.is_true(ok or e.code == "ENOMEM" or tostring(e):find("not enough memory") ~= nil,
        tostring(e))
    end
    collectgarbage()
    collectgarbage()
  end))

  it("outside a task is refused", support.outside(function()
    support.raises("state", weft.create_subprocess, "true")
  end))
end)
