-- SPDX-License-Identifier: MIT
-- weft.fs: files, directories, temporary ones; what a cancellation leaves behind, and what a
-- failure does.

local weft = require "weft"
local core = require "weft.core"
local support = require "spec.support"
local testing = require "weft.testing"

local fs = weft.fs

-- A spec with a directory of its own.
local function in_directory(fn)
  return support.run(function()
    fs.temporary_directory(fn)
  end)
end

local function names(path)
  local list = {}
  for name in fs.entries(path) do
    list[#list + 1] = name
  end
  return list
end

local function octal(text)
  return tonumber(text, 8)
end

describe("weft.fs", function()
  describe("a file", function()
    it("reads from where it stands, to the end, then nothing", in_directory(function(dir)
      fs.write_file(dir .. "/f", "0123456789")
      local file = fs.open(dir .. "/f")
      assert.equal("0123", file:read(4))
      assert.equal("456", file:read(3))
      assert.equal("789", file:read(100))
      assert.equal("", file:read(1))
      assert.equal("", file:read())
      file:close()
    end))

    it("reads at an offset without moving", in_directory(function(dir)
      fs.write_file(dir .. "/f", "0123456789")
      local file = fs.open(dir .. "/f")
      assert.equal("67", file:read(2, 6))
      assert.equal("01", file:read(2))
      assert.equal("", file:read(2, 50))
      file:close()
    end))

    it("writes all of it where it stands, or at an offset", in_directory(function(dir)
      local file = fs.open(dir .. "/f", "w+")
      file:write("hello")
      file:write(" world")
      file:write("J", 0)
      assert.equal(11, file:seek())
      assert.equal(0, file:seek("set"))
      assert.equal("Jello world", file:read_all())
      file:close()
    end))

    it("seeks from the beginning, the position and the end", in_directory(function(dir)
      fs.write_file(dir .. "/f", "0123456789")
      local file = fs.open(dir .. "/f")
      assert.equal(3, file:seek("set", 3))
      assert.equal(5, file:seek("cur", 2))
      assert.equal(8, file:seek("end", -2))
      assert.equal("89", file:read())
      support.raises("type", file.seek, file, "set", -1)
      support.raises("type", file.seek, file, "begin")
      file:close()
    end))

    it("appends, whatever the position", in_directory(function(dir)
      fs.write_file(dir .. "/f", "one")
      local file = fs.open(dir .. "/f", "a+")
      assert.equal("o", file:read(1))
      file:write("two")
      assert.equal(6, file:seek())
      file:close()
      assert.equal("onetwo", fs.read_file(dir .. "/f"))
    end))

    it("gives lines, with the position behind the last", in_directory(function(dir)
      fs.write_file(dir .. "/f", "one\n\ntwo\r\nlast")
      local file = fs.open(dir .. "/f")
      local got = {}
      for line in file:lines() do
        got[#got + 1] = line
        if #got == 2 then
          assert.equal(5, file:seek())
        end
      end
      assert.same({ "one", "", "two\r", "last" }, got)
      file:seek("set", 4)
      local next_line = file:lines()
      assert.equal("", next_line())
      file:seek("set", 1)
      assert.equal("ne", next_line())
      file:close()
    end))

    it("gives lines longer than what it reads at once", in_directory(function(dir)
      local long = ("x"):rep(150000)
      fs.write_file(dir .. "/f", long .. "\ny\n")
      local file = fs.open(dir .. "/f")
      local next_line = file:lines()
      assert.equal(long, next_line())
      assert.equal("y", next_line())
      assert.is_nil(next_line())
      file:seek("set", 0)
      support.raises("limit", file:lines(149999))
      file:seek("set", 0)
      assert.equal(long, file:lines(150000)())
      file:close()
    end))

    it("moves megabytes", in_directory(function(dir)
      local data = ("0123456789abcdef"):rep(300000)
      local file = fs.open(dir .. "/f", "w+")
      file:write(data)
      file:seek("set")
      assert.is_true(data == file:read_all())
      assert.is_true(data:sub(1, 2000000) == file:read(2000000, 0))
      file:close()
    end))

    it("takes any size and offset that is a number", in_directory(function(dir)
      fs.write_file(dir .. "/f", "0123456789")
      local file = fs.open(dir .. "/f", "r+")
      assert.equal("0123456789", file:read(math.huge))
      assert.equal("", file:read(math.huge, math.huge))
      assert.equal("0123456789", fs.read_file(dir .. "/f", math.huge))
      support.raises("type", file.read, file, -1)
      support.raises("type", file.read, file, 0 / 0)
      support.raises("type", file.read, file, 1.5)
      support.raises("type", file.read, file, 1, "1")
      file:close()
    end))

    it("is cut and lengthened", in_directory(function(dir)
      local file = fs.open(dir .. "/f", "w+")
      file:write("hello")
      file:truncate(2)
      assert.equal(2, file:stat().size)
      file:truncate(4)
      assert.equal("he\0\0", file:read(10, 0))
      file:sync()
      file:sync(true)
      file:close()
    end))

    it("is not opened where there is none, or where one must not be", in_directory(function(dir)
      local path = dir .. "/nope"
      local e = support.raises({ "os", "ENOENT" }, fs.open, path)
      assert.equal(("open '%s': no such file or directory"):format(path), e.message)
      assert.equal(path, e.path)
      fs.open(path, "x"):close()
      support.raises({ "os", "EEXIST" }, fs.open, path, "x")
      support.raises({ "os", "EISDIR" }, fs.open, dir, "w")
      support.raises("type", fs.open, path, "rw")
      support.raises("type", fs.open, 1)
      support.raises({ "type", "invalid_path" }, fs.open, "a\0b")
    end))

    it("is made with the permissions asked for", in_directory(function(dir)
      fs.open(dir .. "/f", "w", octal("600")):close()
      assert.equal(octal("600"), fs.stat(dir .. "/f").mode)
    end))

    it("refuses all once closed, and is closed twice", in_directory(function(dir)
      local file = fs.open(dir .. "/f", "w")
      assert.is_number(file:fileno())
      file:close()
      file:close()
      assert.is_nil(file:fileno())
      assert.is_true(file:is_closed())
      assert.matches("^File<closed '", tostring(file))
      for _, name in ipairs { "read", "read_all", "sync", "truncate", "stat", "seek" } do
        support.raises("closed", file[name], file)
      end
      support.raises("closed", file.write, file, "x")
    end))

    it("does the work of several tasks in the order of the calls", in_directory(function(dir)
      local file = fs.open(dir .. "/f", "w+")
      weft.gather(
        function() file:write(("a"):rep(100000)) end,
        function() file:write(("b"):rep(100000)) end,
        function() file:write(("c"):rep(100000)) end)
      file:seek("set")
      assert.is_true(file:read_all() == ("a"):rep(100000) .. ("b"):rep(100000)
        .. ("c"):rep(100000))
      file:close()
    end))

    it("closed with work in line raises closed in what has not begun", in_directory(function(dir)
      local file = fs.open(dir .. "/f", "w+")
      local tasks = {}
      for i = 1, 5 do
        tasks[i] = weft.create_task(function() file:write(("x"):rep(1000)) end)
      end
      weft.sleep(0)
      file:close()
      weft.await(tasks[1])
      for i = 2, 5 do
        support.raises("closed", weft.await, tasks[i])
      end
    end))

    it("a read that is cancelled moves nothing", in_directory(function(dir)
      fs.write_file(dir .. "/f", "0123456789")
      local file = fs.open(dir .. "/f")
      local task = weft.create_task(function() file:read(5) end)
      weft.sleep(0)
      task:cancel()
      support.raises("cancelled", weft.await, task)
      assert.equal("01234", file:read(5))
      file:close()
    end))

    it("that is collected is closed", in_directory(function(dir)
      local before = #core.descriptors()
      fs.open(dir .. "/f", "w")
      collectgarbage()
      collectgarbage()
      while core.loop_statistics(weft.get_running_loop()).requests > 0 do
        weft.sleep(0)
      end
      assert.equal(before, #core.descriptors())
    end))

    it("with: is closed on return and on error", in_directory(function(dir)
      local kept
      assert.equal("x", fs.open(dir .. "/f", "w"):with(function(file, x)
        kept = file
        return x
      end, "x"))
      assert.is_true(kept:is_closed())
      assert.equal("boom", support.error_of(function()
        fs.open(dir .. "/f"):with(function(file)
          kept = file
          error("boom", 0)
        end)
      end))
      assert.is_true(kept:is_closed())
    end))

    it("belongs to its loop, and is closed with it", support.outside(function()
      local file, path
      weft.run(function()
        file, path = fs.mkstemp()
      end)
      assert.is_true(file:is_closed())
      weft.run(function()
        support.raises("closed", file.read, file, 1)
        fs.unlink(path)
      end)
      file:close()
    end))

    it("of another loop is refused", support.outside(function()
      local one, two = weft.new_event_loop(), weft.new_event_loop()
      local file, path
      one:run_until_complete(function() file, path = fs.mkstemp() end)
      two:run_until_complete(function()
        support.raises({ "state", "EOTHERLOOP" }, file.read, file, 1)
        fs.unlink(path)
      end)
      one:run_until_complete(function() assert.equal("", file:read(1)) end)
      one:close()
      two:close()
      assert.is_true(file:is_closed())
    end))
  end)

  describe("whole files", function()
    it("are written, read and appended to", in_directory(function(dir)
      fs.write_file(dir .. "/f", "a\0b")
      fs.append_file(dir .. "/f", "c")
      assert.equal("a\0bc", fs.read_file(dir .. "/f"))
      fs.write_file(dir .. "/f", "")
      assert.equal("", fs.read_file(dir .. "/f"))
      fs.append_file(dir .. "/new", "c")
      assert.equal("c", fs.read_file(dir .. "/new"))
    end))

    it("are read up to a limit", in_directory(function(dir)
      fs.write_file(dir .. "/f", "12345")
      assert.equal("12345", fs.read_file(dir .. "/f", 5))
      support.raises("limit", fs.read_file, dir .. "/f", 4)
      support.raises("limit", fs.read_file, "/dev/zero", 100000)
      assert.is_true(#fs.read_file("/proc/self/status") > 100)
    end))

    it("written atomically leave nothing else", in_directory(function(dir)
      fs.write_atomic(dir .. "/f", "one")
      fs.chmod(dir .. "/f", octal("640"))
      fs.write_atomic(dir .. "/f", "two")
      assert.equal("two", fs.read_file(dir .. "/f"))
      assert.equal(octal("640"), fs.stat(dir .. "/f").mode)
      assert.same({ "f" }, names(dir))
    end))

    it("written atomically through a link keep the link", in_directory(function(dir)
      fs.write_file(dir .. "/f", "one")
      fs.symlink("f", dir .. "/l")
      fs.write_atomic(dir .. "/l", "two")
      assert.equal("link", fs.lstat(dir .. "/l").type)
      assert.equal("two", fs.read_file(dir .. "/f"))
    end))

    it("written atomically over a directory fail and leave nothing", in_directory(function(dir)
      fs.mkdir(dir .. "/d")
      support.raises("os", fs.write_atomic, dir .. "/d", "x")
      assert.same({ "d" }, names(dir))
      support.raises({ "os", "ENOENT" }, fs.write_atomic, dir .. "/no/f", "x")
    end))

    it("take strings only, and known options", in_directory(function(dir)
      support.raises("type", fs.write_file, dir .. "/f", 1)
      support.raises({ "type", "unknown_option" }, fs.write_file, dir .. "/f", "", { perm = 1 })
      assert.is_false(fs.exists(dir .. "/f"))
    end))
  end)

  describe("directories", function()
    it("are made, listed and removed", in_directory(function(dir)
      fs.mkdir(dir .. "/d")
      support.raises({ "os", "EEXIST" }, fs.mkdir, dir .. "/d")
      fs.write_file(dir .. "/d/b", "")
      fs.symlink("b", dir .. "/d/a")
      assert.same({ { name = "a", type = "link" }, { name = "b", type = "file" } },
        fs.readdir(dir .. "/d"))
      support.raises({ "os", "ENOTEMPTY" }, fs.rmdir, dir .. "/d")
      support.raises({ "os", "ENOTDIR" }, fs.readdir, dir .. "/d/b")
      fs.unlink(dir .. "/d/a")
      fs.unlink(dir .. "/d/b")
      fs.rmdir(dir .. "/d")
      assert.same({}, fs.readdir(dir))
    end))

    it("are made with those above", in_directory(function(dir)
      fs.mkdir(dir .. "/a//b/c/", { recursive = true })
      assert.equal("directory", fs.stat(dir .. "/a/b/c").type)
      fs.mkdir(dir .. "/a/b/c", { recursive = true })
      fs.write_file(dir .. "/a/f", "")
      local e = support.raises("os", fs.mkdir, dir .. "/a/f/x", { recursive = true })
      assert.equal(dir .. "/a/f", e.where)
      support.raises({ "os", "ENOENT" }, fs.mkdir, dir .. "/x/y")
    end))

    it("are removed with all that is in them, but links are not followed",
      in_directory(function(dir)
        fs.mkdir(dir .. "/keep")
        fs.write_file(dir .. "/keep/f", "x")
        fs.mkdir(dir .. "/d/e/f", { recursive = true })
        for i = 1, 50 do
          fs.write_file(("%s/d/e/%d"):format(dir, i), "")
        end
        fs.symlink("../../keep", dir .. "/d/e/link")
        fs.symlink("keep", dir .. "/link")
        fs.remove_all(dir .. "/d")
        fs.remove_all(dir .. "/link/")
        assert.same({ "keep" }, names(dir))
        assert.equal("x", fs.read_file(dir .. "/keep/f"))
        fs.remove_all(dir .. "/keep/f")
        fs.remove_all(dir .. "/nothing")
        assert.same({}, names(dir .. "/keep"))
      end))
  end)

  describe("names", function()
    it("are given, changed and taken", in_directory(function(dir)
      local a, b = dir .. "/a", dir .. "/b"
      fs.write_file(a, "x")
      fs.link(a, b)
      assert.equal(2, fs.stat(a).nlink)
      support.raises({ "os", "EEXIST" }, fs.link, a, b)
      fs.rename(b, dir .. "/c")
      assert.same({ "a", "c" }, names(dir))
      local e = support.raises({ "os", "ENOENT" }, fs.rename, b, a)
      assert.equal(("rename '%s' to '%s': no such file or directory"):format(b, a), e.message)
      fs.symlink("a", dir .. "/l")
      assert.equal("a", fs.readlink(dir .. "/l"))
      support.raises({ "os", "EINVAL" }, fs.readlink, a)
      assert.equal(fs.realpath(a), fs.realpath(dir .. "/l"))
      support.raises({ "os", "ENOENT" }, fs.realpath, b)
    end))

    it("are copied, over another or not", in_directory(function(dir)
      fs.write_file(dir .. "/a", "x", { perms = octal("600") })
      fs.copy(dir .. "/a", dir .. "/b")
      fs.copy(dir .. "/a", dir .. "/b")
      assert.equal("x", fs.read_file(dir .. "/b"))
      assert.equal(octal("600"), fs.stat(dir .. "/b").mode)
      support.raises({ "os", "EEXIST" }, fs.copy, dir .. "/a", dir .. "/b", { exclusive = true })
    end))

    it("are asked for", in_directory(function(dir)
      fs.write_file(dir .. "/a", "x")
      fs.symlink("nothing", dir .. "/l")
      assert.is_true(fs.exists(dir .. "/a"))
      assert.is_false(fs.exists(dir .. "/b"))
      assert.is_false(fs.exists(dir .. "/a/b"))
      assert.is_false(fs.exists(dir .. "/l"))
      assert.is_true(fs.access(dir .. "/a", "rw"))
      assert.is_false(fs.access(dir .. "/a", "x"))
      assert.is_false(fs.access(dir .. "/b"))
      support.raises("type", fs.access, dir .. "/a", "q")
    end))

    it("have times and types", in_directory(function(dir)
      fs.write_file(dir .. "/a", "x")
      fs.utime(dir .. "/a", 1000.5, 2000)
      local st = fs.stat(dir .. "/a")
      assert.near(1000.5, st.atime, 1e-3)
      assert.near(2000, st.mtime, 1e-3)
      assert.equal("file", st.type)
      assert.equal(1, st.size)
      assert.equal("char", fs.stat("/dev/null").type)
      support.raises({ "os", "ENOENT" }, fs.stat, dir .. "/b")
      support.raises({ "os", "ENOENT" }, fs.utime, dir .. "/b")
    end))
  end)

  describe("a FIFO", function()
    it("is opened by both ends, read and cancelled", in_directory(function(dir)
      os.execute("mkfifo " .. support.quote(dir .. "/f"))
      local reader, writer
      weft.gather(
        function() writer = fs.open(dir .. "/f", "w") end,
        function()
          reader = fs.open(dir .. "/f")
        end)
      support.raises("timeout", weft.timeout, 0.01, reader.read, reader)
      writer:write("hello")
      assert.equal("hello", reader:read(100))
      support.raises({ "os", "ESPIPE" }, reader.seek, reader)
      writer:write("one\ntwo\n")
      writer:close()
      local got = {}
      for line in reader:lines() do
        got[#got + 1] = line
      end
      assert.same({ "one", "two" }, got)
      reader:close()
      os.execute("mkfifo " .. support.quote(dir .. "/nobody"))
      support.raises("timeout", weft.timeout, 0.01, fs.open, dir .. "/nobody", "w")
    end))
  end)

  describe("temporary", function()
    it("files and directories go with the function, also when it fails", support.run(function()
      local paths = {}
      assert.equal("x", fs.temporary_directory(function(path, x)
        paths[#paths + 1] = path
        fs.mkdir(path .. "/d")
        assert.equal(octal("700"), fs.stat(path).mode)
        return x
      end, "x"))
      assert.equal("boom", support.error_of(fs.temporary_file, function(file, path)
        paths[#paths + 1] = path
        file:write("x")
        assert.equal("x", fs.read_file(path))
        error("boom", 0)
      end))
      for _, path in ipairs(paths) do
        assert.is_false(fs.exists(path))
      end
    end))

    it("ones begin as they are told to", in_directory(function(dir)
      local path = fs.mkdtemp(dir .. "/x-")
      assert.matches("/x%-......$", path)
      local file, name = fs.mkstemp(dir .. "/y-")
      assert.matches("/y%-......$", name)
      file:close()
      support.raises({ "os", "ENOENT" }, fs.mkdtemp, dir .. "/no/x-")
      support.raises({ "os", "ENOENT" }, fs.mkstemp, dir .. "/no/x-")
    end))
  end)

  describe("cancelled", function()
    it("at each wait leaves nothing open and nothing temporary", support.outside(function()
      local dir
      weft.run(function() dir = fs.mkdtemp() end)
      local prefix = dir .. "/t-"
      local runs = testing.cancel_everywhere(function()
        local path = fs.mkdtemp(prefix)
        weft.finally(function() end, function() fs.rmdir(path) end)
        local file, name = fs.mkstemp(prefix)
        weft.finally(function()
          file:write(("x"):rep(100000))
          file:sync()
          file:read(10, 0)
          file:stat()
        end, function()
          file:close()
          fs.unlink(name)
        end)
        fs.write_atomic(dir .. "/f", ("y"):rep(100000))
        fs.read_file(dir .. "/f")
        fs.open(dir .. "/f"):close()
      end, function()
        for _, entry in ipairs(fs.readdir(dir)) do
          assert(entry.name == "f", "left: " .. entry.name)
        end
      end)
      assert.is_true(runs >= 9)
      weft.run(function() fs.remove_all(dir) end)
    end))

    it("in the middle of a temporary directory, it is removed", support.outside(function()
      local dirs = {}
      testing.cancel_everywhere(function()
        fs.temporary_directory(function(path)
          dirs[#dirs + 1] = path
          fs.write_file(path .. "/f", "x")
          weft.sleep(1)
        end)
      end, function()
        for _, path in ipairs(dirs) do
          assert(not fs.exists(path), "left: " .. path)
        end
      end)
      assert.is_true(#dirs >= 2)
    end))

    it("by the end of the run, it leaves nothing", support.outside(function()
      weft.run(function()
        fs.temporary_file(function(file)
          for _ = 1, 20 do
            weft.create_task(function() pcall(file.write, file, ("x"):rep(100000)) end)
          end
          weft.create_task(function() pcall(fs.read_file, "/dev/zero") end)
          weft.sleep(0)
        end)
      end)
    end))
  end)

  it("survives a failure of each allocation", support.run(function()
    fs.temporary_directory(function(dir)
      for n = 1, 60 do
        local ok, e = testing.fail_allocation(n, function()
          local file = fs.open(dir .. "/f", "w+")
          file:write("x")
          file:read(1, 0)
          file:close()
          fs.readdir(dir)
        end)
        assert.is_true(ok or tostring(e):find("not enough memory", 1, true) ~= nil, tostring(e))
      end
      collectgarbage() -- a file that was opened and not closed
      collectgarbage()
    end)
  end))

  it("outside a task is refused before anything happens", support.outside(function()
    support.raises("state", fs.write_file, "/tmp/weft-never", "x")
    local file = io.open("/tmp/weft-never")
    assert.is_nil(file)
  end))
end)
