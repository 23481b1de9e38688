-- SPDX-License-Identifier: MIT
-- weft.crawl.export: the formats, and that a file holds whole records whatever
-- happens.

local export = require "weft.crawl.export"
local support = require "spec.support"
local testing = require "weft.testing"
local weft = require "weft"

local fs = weft.fs

local function in_folder(fn)
  return support.run(function()
    fs.temporary_directory(function(dir)
      fn(dir .. "/out")
    end)
  end)
end

describe("weft.crawl.export", function()
  it("writes a line of JSON for each record", in_folder(function(path)
    local writer = export.json_lines(path, { fields = { "url", "n" } })
    for i = 1, 3 do
      writer:write { n = i, url = "http://a/\n" .. i, other = true }
    end
    assert.equal(("Writer<%s records=3>"):format(path), tostring(writer))
    writer:close()
    writer:close()
    assert.equal('{"url":"http://a/\\n1","n":1}\n{"url":"http://a/\\n2","n":2}\n'
      .. '{"url":"http://a/\\n3","n":3}\n', fs.read_file(path))
    support.raises("closed", writer.write, writer, {})
  end))

  it("writes CSV as RFC 4180 has it", in_folder(function(path)
    export.csv(path, { "a", "b c", "d,e" }):with(function(writer)
      writer:write { a = 1.5, ["b c"] = 'say "x"', ["d,e"] = "two\nlines" }
      writer:write { a = " x", ["b c"] = true }
    end)
    assert.equal('a,b c,"d,e"\r\n1.5,"say ""x""","two\nlines"\r\n" x",true,\r\n',
      fs.read_file(path))
    export.csv(path, { "a" }):close()
    assert.equal("a\r\n", fs.read_file(path))
  end))

  it("goes on with a file, without the half of a record at its end", in_folder(function(path)
    local function appended(before, open)
      fs.write_file(path, before)
      open(path):with(function(writer)
        writer:write { a = 1 }
      end)
      return fs.read_file(path)
    end
    local function json_lines(p)
      return export.json_lines(p, { append = true })
    end
    local function csv(p)
      return export.csv(p, { "a" }, { append = true })
    end
    assert.equal('{}\n{"a":1}\n', appended('{}\n{"a":"hal', json_lines))
    assert.equal('{"a":1}\n', appended("", json_lines))
    assert.equal('{"a":1}\n', appended("half", json_lines))
    local long = '{"a":"' .. ("x"):rep(200000) .. '"}\n'
    assert.equal(long .. '{"a":1}\n', appended(long .. long:sub(1, -2), json_lines))
    assert.equal("a\r\n2\r\n1\r\n", appended("a\r\n2\r\n", csv))
    assert.equal('a\r\n"x""\n"\r\n1\r\n', appended('a\r\n"x""\n"\r\n"half\r\n', csv))
    assert.equal("a\r\n1\r\n", appended("", csv))
  end))

  it("keeps records for a while, and writes them when there are many", in_folder(function(path)
    local writer = export.json_lines(path, { interval = 3600 })
    writer:write { a = 1 }
    assert.equal("", fs.read_file(path))
    writer:flush()
    assert.equal('{"a":1}\n', fs.read_file(path))
    writer:write { a = ("x"):rep(70000) }
    assert.equal(70017, #fs.read_file(path))
    writer:close()
    writer = export.json_lines(path, { interval = 0 })
    writer:write { a = 1 }
    assert.equal('{"a":1}\n', fs.read_file(path))
    writer:close()
  end))

  it("takes records of many tasks, each as a whole", in_folder(function(path)
    export.json_lines(path):with(function(writer)
      weft.task_group(function(group)
        for i = 1, 50 do
          group:create_task(function()
            for _ = 1, 20 do
              writer:write { a = (i .. " "):rep(1000) }
              weft.yield()
            end
          end)
        end
      end)
    end)
    local count = 0
    for line in fs.read_file(path):gmatch("[^\n]+") do
      local i = line:match('^{"a":"(%d+) ')
      assert.equal('{"a":"' .. (i .. " "):rep(1000) .. '"}', line)
      count = count + 1
    end
    assert.equal(1000, count)
  end))

  it("writes what there is when its task is cancelled", in_folder(function(path)
    local task = weft.create_task(function()
      export.json_lines(path, { interval = 3600 }):with(function(writer)
        writer:write { a = 1 }
        weft.sleep(3600)
      end)
    end)
    weft.sleep(0.05)
    task:cancel()
    support.raises("cancelled", task.await, task)
    assert.equal('{"a":1}\n', fs.read_file(path))
  end))

  it("holds whole records wherever it is cancelled", function()
    local path = os.tmpname()
    testing.cancel_everywhere(function()
      export.json_lines(path, { interval = 0 }):with(function(writer)
        for i = 1, 4 do
          writer:write { a = i }
        end
      end)
    end, function()
      assert.is_truthy(("\n" .. fs.read_file(path)):find("^\n[^\n]*}?\n?"))
      for line in fs.read_file(path):gmatch("[^\n]*\n") do
        assert.is_truthy(line:find('^{"a":%d}\n$'))
      end
      assert.is_truthy(fs.read_file(path) == "" or fs.read_file(path):sub(-1) == "\n")
    end)
    os.remove(path)
  end)

  it("raises always once the disk was full", support.run(function()
    if not fs.exists("/dev/full") then
      return
    end
    local writer = export.json_lines("/dev/full", { interval = 0 })
    support.raises({ "os", "ENOSPC" }, writer.write, writer, { a = 1 })
    support.raises({ "os", "ENOSPC" }, writer.write, writer, { a = 1 })
    support.raises({ "os", "ENOSPC" }, writer.close, writer)
  end))

  it("refuses what it cannot write, and stays whole", in_folder(function(path)
    local writer = export.json_lines(path)
    support.raises("type", writer.write, writer, "x")
    support.raises({ "type", "invalid_json" }, writer.write, writer, { a = print })
    writer:write { a = 1 }
    writer:close()
    assert.equal('{"a":1}\n', fs.read_file(path))
    support.raises({ "type", "unknown_option" }, export.csv, path, { "a" }, { fields = {} })
    support.raises("type", export.csv, path, { 1 })
    support.raises({ "os", "ENOTDIR" }, export.json_lines, path .. "/x/y")
  end))
end)
