-- SPDX-License-Identifier: MIT
-- weft.http.savefile: a file is whole or as it was, whatever breaks it off; and what can be gone
-- on with is what was there.

local core = require "weft.core"
local savefile = require "weft.http.savefile"
local support = require "spec.support"
local testing = require "weft.testing"
local weft = require "weft"

local fs = weft.fs

local function in_directory(fn)
  return support.run(function()
    fs.temporary_directory(fn)
  end)
end

local function names(dir)
  local list = {}
  for name in fs.entries(dir) do
    list[#list + 1] = name
  end
  return list
end

local function source_of(list, failure)
  local i = 0
  return function()
    i = i + 1
    if failure and not list[i] then
      error(failure, 0)
    end
    return list[i]
  end
end

local function headers(fields)
  return {
    get = function(_, name)
      return fields[name]
    end,
  }
end

local ETAG = { etag = '"v1"', url = "http://x/" }

describe("saving", function()
  it("writes all pieces, up to the end", in_directory(function(dir)
    local path = dir .. "/f"
    assert.equal(6, savefile.save(path, source_of({ "abc", "def" })))
    assert.equal("abcdef", fs.read_file(path))
    assert.equal(1, savefile.save(path, source_of({ "x", "", "y" }), { fsync = true }))
    assert.equal("x", fs.read_file(path))
    assert.equal(0, savefile.save(path, source_of({})))
    assert.equal("", fs.read_file(path))
    assert.same({ "f" }, names(dir))
  end))

  it("writes many megabytes, and tells how far it is", in_directory(function(dir)
    local piece, list, seen = core.random_bytes(50000), {}, {}
    for i = 1, 40 do
      list[i] = piece
    end
    assert.equal(2000000, savefile.save(dir .. "/f", source_of(list),
      { on_progress = function(size) seen[#seen + 1] = size end }))
    assert.is_true(fs.read_file(dir .. "/f") == piece:rep(40))
    assert.same({ 40, 50000, 2000000 }, { #seen, seen[1], seen[40] })
  end))

  it("leaves what was there until all is there", in_directory(function(dir)
    local path = dir .. "/f"
    fs.write_file(path, "old")
    savefile.save(path, function()
      assert.equal("old", fs.read_file(path))
      assert.equal(2, #names(dir))
      return nil
    end)
    fs.write_file(path, "old")
    assert.equal("broken", support.error_of(savefile.save, path, source_of({ "new" }, "broken")))
    assert.equal("old", fs.read_file(path))
    assert.same({ "f" }, names(dir))
  end))

  it("keeps permissions and links, and has those that are usual", in_directory(function(dir)
    local path = dir .. "/f"
    fs.write_file(path, "old")
    local usual = fs.stat(path).mode
    savefile.save(dir .. "/g", source_of({ "x" }))
    assert.equal(usual, fs.stat(dir .. "/g").mode)
    fs.chmod(path, tonumber("640", 8))
    fs.symlink("f", dir .. "/link")
    savefile.save(dir .. "/link", source_of({ "new" }))
    assert.same({ "link", tonumber("640", 8), "new" },
      { fs.lstat(dir .. "/link").type, fs.stat(path).mode % 4096, fs.read_file(path) })
    savefile.save(path, source_of({ "new" }), { perms = tonumber("600", 8) })
    assert.equal(tonumber("600", 8), fs.stat(path).mode % 4096)
  end))

  it("writes into what is no file as it is, and into no directory", in_directory(function(dir)
    os.execute("mkfifo " .. dir .. "/fifo")
    local reader = weft.create_task(fs.read_file, dir .. "/fifo")
    savefile.save(dir .. "/fifo", source_of({ "through" }))
    assert.equal("through", reader:await())
    assert.equal("fifo", fs.stat(dir .. "/fifo").type)
    support.raises({ "os", "EISDIR" }, savefile.save, dir, source_of({}))
    support.raises({ "os", "ENOENT" }, savefile.save, dir .. "/no/f", source_of({}))
    assert.same({ "fifo" }, names(dir))
  end))

  it("takes no option that is none", support.run(function()
    local read = source_of({})
    support.raises({ "type", "unknown_option" }, savefile.save, "x", read, { sync = true })
    support.raises("type", savefile.save, "x", read, { offset = 5 })
    support.raises("type", savefile.save, "x", read, { resume = true })
    support.raises("type", savefile.save, "x", "read")
    support.raises("type", savefile.save, 5, read)
  end))

  it("leaves nothing behind when it is cancelled anywhere", support.outside(function()
    local dir = os.tmpname()
    os.remove(dir)
    assert(os.execute("mkdir " .. dir))
    testing.cancel_everywhere(function()
      savefile.save(dir .. "/f", function()
        weft.yield()
        return nil
      end, { fsync = true })
    end, function()
      local list = names(dir)
      assert.is_true(#list == 0 or #list == 1 and list[1] == "f", table.concat(list, " "))
      fs.remove_all(dir .. "/f")
    end)
    os.remove(dir)
  end))
end)

describe("a download that was broken off", function()
  it("is kept with its version, and gone on with", in_directory(function(dir)
    local path = dir .. "/f"
    assert.is_nil(savefile.partial(path))
    support.error_of(savefile.save, path, source_of({ "abc", "de" }, "cut"), { resume = ETAG })
    assert.same({ "f.part", "f.part.info" }, names(dir))
    local partial = savefile.partial(path)
    assert.same({ size = 5, etag = '"v1"', url = "http://x/" }, partial)
    assert.same({ Range = "bytes=5-", ["If-Range"] = '"v1"' }, savefile.request_fields(partial))
    assert.equal(8, savefile.save(path, source_of({ "fgh" }), { resume = ETAG, offset = 5 }))
    assert.equal("abcdefgh", fs.read_file(path))
    assert.same({ "f" }, names(dir))
  end))

  it("is gone on with more than once, and from where it is said", in_directory(function(dir)
    local path = dir .. "/f"
    support.error_of(savefile.save, path, source_of({ "abcXX" }, "cut"), { resume = ETAG })
    support.error_of(savefile.save, path, source_of({ "de" }, "cut"),
      { resume = ETAG, offset = 3 })
    assert.equal(5, savefile.partial(path).size)
    assert.equal(5, savefile.save(path, source_of({}), { resume = ETAG, offset = 5 }))
    assert.equal("abcde", fs.read_file(path))
    support.raises({ "os", "ENOENT" }, savefile.save, path, source_of({}),
      { resume = ETAG, offset = 5 })
    fs.write_file(path .. ".part", "abc")
    support.raises({ "os", "file_changed" }, savefile.save, path, source_of({}),
      { resume = ETAG, offset = 5 })
  end))

  it("is begun again for another version", in_directory(function(dir)
    local path = dir .. "/f"
    support.error_of(savefile.save, path, source_of({ "old old" }, "cut"), { resume = ETAG })
    local other = { last_modified = "Sun, 06 Nov 1994 08:49:37 GMT" }
    support.error_of(savefile.save, path, source_of({ "new" }, "cut"), { resume = other })
    local partial = savefile.partial(path)
    assert.same({ size = 3, last_modified = other.last_modified }, partial)
    assert.equal(other.last_modified, savefile.request_fields(partial)["If-Range"])
  end))

  it("is not kept without a version", in_directory(function(dir)
    support.error_of(savefile.save, dir .. "/f", source_of({ "abc" }, "cut"), { resume = {} })
    assert.same({}, names(dir))
  end))

  it("is not believed when its files are not in order", in_directory(function(dir)
    local path = dir .. "/f"
    fs.write_file(path .. ".part", "abc")
    assert.is_nil(savefile.partial(path))
    for _, text in ipairs({ "", "etag: \"v1\"\n", "weft partial download 1\n",
      "weft partial download 1\netag: \"v1" }) do
      fs.write_file(path .. ".part.info", text)
      assert.is_nil(savefile.partial(path))
    end
    savefile.discard(path)
    savefile.discard(path)
    assert.same({}, names(dir))
  end))

  it("is written by one task at a time", in_directory(function(dir)
    local path, event = dir .. "/f", weft.event()
    local task = weft.create_task(savefile.save, path, function()
      event:set()
      weft.sleep(1000)
    end, { resume = ETAG })
    event:wait()
    support.raises({ "state", "busy" }, savefile.save, path, source_of({}), { resume = ETAG })
    task:cancel()
    weft.wait({ task })
    savefile.save(path, source_of({ "x" }), { resume = ETAG })
  end))

  it("is kept, as far as it came, when it is cancelled anywhere", support.outside(function()
    local dir = os.tmpname()
    os.remove(dir)
    assert(os.execute("mkdir " .. dir))
    testing.cancel_everywhere(function()
      local list, i = { "abc", "def" }, 0
      savefile.save(dir .. "/f", function()
        weft.yield()
        i = i + 1
        return list[i]
      end, { resume = ETAG })
    end, function()
      local list = table.concat(names(dir), " ")
      if list == "f" then
        assert.equal("abcdef", fs.read_file(dir .. "/f"))
      elseif list ~= "" then
        assert.equal("f.part f.part.info", list)
        local data = fs.read_file(dir .. "/f.part")
        assert.is_true(data == "" or data == "abc" or data == "abcdef")
      end
      fs.remove_all(dir .. "/f")
      savefile.discard(dir .. "/f")
    end)
    os.remove(dir)
  end))

  it("is told by a strong ETag, or a date that is no coincidence", support.outside(function()
    local date = "Sun, 06 Nov 1994 08:49:37 GMT"
    assert.same({ etag = '"a"' }, savefile.validator(headers({ ETag = '"a"',
      ["Last-Modified"] = date })))
    assert.same({ last_modified = date }, savefile.validator(headers({ ETag = 'W/"a"',
      ["Last-Modified"] = date, Date = "Sun, 06 Nov 1994 08:49:38 GMT" })))
    for _, fields in ipairs({ {}, { ETag = "a" }, { ETag = 'W/"a"' }, { ["Last-Modified"] = date },
      { ["Last-Modified"] = date, Date = date }, { ["Last-Modified"] = "x", Date = date } }) do
      assert.is_nil(savefile.validator(headers(fields)))
    end
  end))

  it("has its range in Content-Range", support.outside(function()
    local function range_of(value)
      local first, last, size = savefile.content_range(value)
      return ("%s %s %s"):format(first, last, size)
    end
    assert.equal("5 9 10", range_of("bytes 5-9/10"))
    assert.equal("5 9 nil", range_of(" BYTES 5-9/* "))
    assert.equal("nil nil 10", range_of("bytes */10"))
    for _, value in ipairs({ "", "bytes 9-5/10", "bytes 5-10/10", "items 1-2/3", "bytes 5-/10",
      "bytes=5-9/10", "bytes */*" }) do
      assert.equal("nil nil nil", range_of(value))
    end
  end))
end)
