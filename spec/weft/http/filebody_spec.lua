-- SPDX-License-Identifier: MIT
-- weft.http.filebody: what is told of a file is what is sent; files that change, that cannot be
-- read, that have no length.

local core = require "weft.core"
local filebody = require "weft.http.filebody"
local support = require "spec.support"
local testing = require "weft.testing"
local weft = require "weft"

local fs = weft.fs

local function in_directory(fn)
  return support.run(function()
    fs.temporary_directory(fn)
  end)
end

local function all(source)
  local parts = {}
  for part in source do
    parts[#parts + 1] = part
  end
  assert.is_nil(source())
  return table.concat(parts)
end

describe("a file as a body", function()
  it("is known by its path, name and type", support.outside(function()
    local file = filebody.file("/x/Photo.JPG")
    assert.same({ "Photo.JPG", "image/jpeg" }, { file.filename, file.content_type })
    assert.equal("FileBody<'/x/Photo.JPG' image/jpeg>", tostring(file))
    file = filebody.file("x", { filename = "a.txt" })
    assert.same({ "a.txt", "text/plain" }, { file.filename, file.content_type })
    file = filebody.file("x.", { content_type = "a/b" })
    assert.same({ "x.", "a/b" }, { file.filename, file.content_type })
    assert.equal("application/octet-stream", filebody.file("x").content_type)
    support.raises("type", filebody.file, 5)
    support.raises({ "type", "unknown_option" }, filebody.file, "x", { name = "y" })
    for value, is in pairs({ x = false, [file] = true, [{}] = false, [5] = false }) do
      assert.equal(is, filebody.is_file(value))
    end
  end))

  it("is opened when it is sent, as often as it is", in_directory(function(dir)
    local data = ("0123456789"):rep(70000)
    fs.write_file(dir .. "/f.txt", data)
    local before = #core.descriptors()
    local part = filebody.open(filebody.file(dir .. "/f.txt"))
    assert.same({ #data, true, "f.txt", "text/plain" },
      { part.length, part.is_replayable, part.filename, part.content_type })
    assert.equal(before, #core.descriptors())
    assert.is_true(all(part.start()) == data)
    assert.is_true(#part.start()() < #data)
    assert.is_true(all(part.start()) == data)
    part.start()()
    part.close()
    part.close()
  end))

  it("is sent from where it stands if it is open, and stays there", in_directory(function(dir)
    fs.write_file(dir .. "/f.csv", "0123456789")
    local file = fs.open(dir .. "/f.csv")
    assert.is_true(filebody.is_file(file))
    file:read(3)
    local part = filebody.open(file)
    assert.same({ 7, true, "f.csv", "text/csv" },
      { part.length, part.is_replayable, part.filename, part.content_type })
    assert.equal("3456789", all(part.start()))
    assert.equal("3456789", all(part.start()))
    assert.equal("34", file:read(2))
    file:close()
    support.raises("closed", filebody.open, file)
    support.raises("closed", part.start())
  end))

  it("gives no more than was told if it grows, and raises if it shrinks", in_directory(
    function(dir)
      local path = dir .. "/f"
      fs.write_file(path, "0123456789")
      local part = filebody.open(filebody.file(path))
      fs.append_file(path, "more")
      assert.equal("0123456789", all(part.start()))
      fs.write_file(path, "012")
      local source = part.start()
      assert.equal("012", source())
      support.raises({ "os", "file_changed" }, source)
      part.close()
    end))

  it("may have no length, and is sent once then", in_directory(function(dir)
    os.execute("mkfifo " .. dir .. "/fifo")
    local part = filebody.open(filebody.file(dir .. "/fifo"))
    assert.same({ false }, { part.is_replayable, part.length })
    local writer = weft.create_task(function()
      local file = fs.open(dir .. "/fifo", "w")
      file:write("through a pipe")
      file:close()
    end)
    assert.equal("through a pipe", all(part.start()))
    writer:await()
  end))

  it("that cannot be read is refused before anything is sent", in_directory(function(dir)
    local e = support.raises({ "os", "ENOENT" }, filebody.open, filebody.file(dir .. "/none"))
    assert.equal(dir .. "/none", e.path)
    support.raises({ "os", "EISDIR" }, filebody.open, filebody.file(dir))
  end))

  it("leaves nothing open when it is cancelled anywhere", support.outside(function()
    local path = os.tmpname()
    local file = assert(io.open(path, "wb"))
    file:write(("x"):rep(600000))
    file:close()
    testing.cancel_everywhere(function()
      local part = filebody.open(filebody.file(path))
      weft.finally(function()
        assert.equal(600000, #all(part.start()))
      end, part.close)
    end)
    os.remove(path)
  end))
end)
