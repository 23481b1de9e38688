-- SPDX-License-Identifier: MIT
-- examples/crawl.lua: it finds on two manuals what an independent walk over their files finds
-- (spec/examples/walk.py, with lxml); its options and exit statuses; that Ctrl-C leaves whole
-- files, and --resume goes on.

local servers = require "spec.servers"
local support = require "spec.support"
local weft = require "weft"

local decode = require("cjson").decode
local fs = weft.fs

local PYTHON = "env -u LD_PRELOAD /usr/bin/python3" -- a sanitizer is for weft

local function python_has_lxml()
  local status = os.execute(PYTHON .. " -c 'import lxml' 2>/dev/null")
  return status == true or status == 0
end

-- Runs the example; returns the process.
local function start(...)
  return weft.create_subprocess(support.interpreter, { "examples/crawl.lua", ... },
    { stdin = "null", stdout = "pipe", stderr = "stdout" })
end

-- Runs it to its end; returns its exit status and what it wrote.
local function run(...)
  return start(...):with(function(process)
    local text = process.stdout:read_all()
    return process:wait().code, text
  end)
end

local function path_of(address)
  return address:match("^http://127%.0%.0%.1:%d+(/[^#]*)") or address
end

-- The records of pages.jsonl by the paths of their URLs; each must be there once.
local function pages_of(dir)
  local pages, count = {}, 0
  for line in fs.read_file(dir .. "/pages.jsonl"):gmatch("([^\n]*)\n") do
    local record = decode(line)
    local path = path_of(record.url)
    assert.is_nil(pages[path], path)
    pages[path], count = record, count + 1
  end
  return pages, count
end

-- The fields of a CSV text, line by line.
local function csv_lines(text)
  local lines = {}
  for line in text:gmatch("(.-)\r\n") do
    local fields = {}
    for quoted, plain in (line .. ","):gsub('"(.-)",', function(field)
      return "\1" .. field:gsub(",", "\2") .. ","
    end):gmatch("(\1?)([^,]*),") do
      fields[#fields + 1] = plain:gsub("\2", quoted == "\1" and "," or "\2")
    end
    lines[#lines + 1] = fields
  end
  return lines
end

-- The broken links of broken.csv, as "page text target", sorted.
local function broken_of(dir)
  local found, lines = {}, csv_lines(fs.read_file(dir .. "/broken.csv"))
  assert.same({ "page", "text", "url", "why" }, lines[1])
  for i = 2, #lines do
    local page, text, target, why = (table.unpack or unpack)(lines[i])
    assert.equal("404", why)
    found[i - 1] = ("%s|%s|%s"):format(path_of(page), text, path_of(target))
  end
  table.sort(found)
  return found
end

local function walk_of(root)
  local pipe = io.popen(("%s spec/examples/walk.py %s /index.html"):format(PYTHON, root))
  local walk = decode(pipe:read("*a"))
  pipe:close()
  local broken = {}
  for i, link in ipairs(walk.broken) do
    broken[i] = ("%s|%s|%s"):format(link[1], link[2]:gsub('"', '""'), link[3])
  end
  table.sort(broken)
  walk.broken = broken
  return walk
end

local function same_pages(walk, pages)
  local wrong = {}
  for path, title in pairs(walk.pages) do
    if not pages[path] then
      wrong[#wrong + 1] = "not found: " .. path
    elseif pages[path].title ~= title then
      wrong[#wrong + 1] = ("%s: %s / %s"):format(path, tostring(pages[path].title),
        tostring(title))
    end
  end
  for path in pairs(pages) do
    if not walk.pages[path] then
      wrong[#wrong + 1] = "too many: " .. path
    end
  end
  assert.same({}, wrong)
end

-- What is found of one manual. `least` says how many pages there must be of which encodings.
local function compares(kind, root, least)
  local suite = servers.suite(kind)
  if suite.missing or not python_has_lxml() then
    return pending(suite.missing or "lxml is not installed")
  end
  describe(kind, function()
    local walk
    setup(function()
      walk = walk_of(root)
      suite.start()
    end)
    teardown(suite.stop)

    it("has the pages, titles and broken links that a walk over its files has",
      suite.spec(function(server)
        fs.temporary_directory(function(dir)
          local code, text = run(("http://127.0.0.1:%d/index.html"):format(server.ports[1]),
            "--out", dir, "--concurrency", "32")
          assert.equal(0, code, text)
          local pages, count = pages_of(dir)
          same_pages(walk, pages)
          assert.same(walk.broken, broken_of(dir))
          assert.truthy(text:find(("%d pages and %d broken links are in"):format(count,
            #walk.broken), 1, true), text)
          assert.is_true(count >= least.pages)
        end)
      end))

    it("has pages enough in each encoding for that to say something", function()
      local counts = {}
      for _, name in pairs(walk.encodings) do
        counts[name] = (counts[name] or 0) + 1
      end
      for name, n in pairs(least.encodings) do
        assert.is_true((counts[name] or 0) >= n, name)
      end
    end)
  end)
end

describe("the example crawl.lua", function()
  describe("on a manual:", function()
    compares("postgresql_pages", "/usr/share/doc/postgresql-doc-15/html",
      { pages = 1100, encodings = {} })
    compares("apache_pages", "/usr/share/doc/apache2-doc/manual",
      { pages = 2500, encodings = { ["euc-kr"] = 90, ["iso-8859-1"] = 40 } })
  end)

  -- fn(address, seen) while a site of pages, each with links to the next ones, is served.
  -- `on_request(path)` may hold an answer up.
  local function with_site(on_request, fn)
    local server = weft.start_server(function(stream)
      while true do
        local ok, head = weft.try(stream.read_until, stream, "\r\n\r\n", 65536)
        if not ok then
          return -- the client has gone
        end
        local path = head:match("^GET (%S+)")
        on_request(path)
        local n = tonumber(path:match("^/(%d+)$"))
        local body = n and n < 60 and ('<title>%d</title><a href="/%d">a</a><a href="%d">b</a>')
          :format(n, n * 2 + 1, n * 2 + 2) or n and "<title>leaf</title>" or ""
        stream:write(("HTTP/1.1 %d X\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n%s")
          :format(n and n < 100 and 200 or 404, #body, body))
      end
    end, { host = "127.0.0.1", port = 0 })
    weft.finally(function()
      fn(("http://127.0.0.1:%d/0"):format(select(2, server:getsockname())))
    end, function()
      server:close()
      weft.try(server.wait_closed, server)
    end)
  end

  it("ends with Ctrl-C, its files whole, and goes on with --resume", support.run(function()
    fs.temporary_directory(function(dir)
      local count, enough, hold = 0, weft.event(), weft.event()
      with_site(function()
        count = count + 1
        if count == 30 then
          enough:set()
          hold:wait()
        end
      end, function(address)
        start(address, "--out", dir, "--concurrency", "4"):with(function(process)
          enough:wait()
          process:send_signal("SIGINT")
          local text = process.stdout:read_all()
          assert.equal(130, process:wait().code, text)
          assert.truthy(text:find("--resume goes on", 1, true), text)
          assert.truthy(text:find("interrupted\n", 1, true), text)
        end)
        hold:set()
        local _, before = pages_of(dir)
        assert.is_true(before >= 20 and before < 60)
        local code, text = run(address, "--out", dir, "--resume")
        assert.equal(0, code, text)
        local _, after = pages_of(dir)
        assert.equal(100, after)
        assert.is_false(fs.exists(dir .. "/state"))
      end)
    end)
  end))

  it("begins anew without --resume, and does as its options say", support.run(function()
    fs.temporary_directory(function(dir)
      with_site(function() end, function(address)
        local code, text = run(address, "--out", dir, "--max-depth", "2")
        assert.equal(0, code, text)
        assert.equal(7, (select(2, pages_of(dir))))
        code, text = run(address, "--out=" .. dir, "--max-pages=5", "--quiet")
        assert.equal(0, code)
        assert.equal("", text)
        assert.equal(5, (select(2, pages_of(dir))))
        assert.equal(0, (run(address, "--out", dir)))
        assert.equal(22, #csv_lines(fs.read_file(dir .. "/broken.csv")))
      end)
    end)
  end))

  it("says what it can, and refuses what it cannot", support.run(function()
    local code, text = run("--help")
    assert.equal(0, code)
    assert.truthy(text:find("^usage: crawl.lua URL"))
    for _, words in ipairs { {}, { "--oot", "x" }, { "http://a/", "http://b/" }, { "nowhere" },
      { "ftp://a/" }, { "http://a/", "--delay" }, { "http://a/", "--delay", "x" },
      { "http://a/", "--folder=1" } } do
      code, text = run((table.unpack or unpack)(words))
      assert.equal(2, code, table.concat(words, " "))
      assert.truthy(text:find("^crawl.lua: .* %(try %-%-help%)\n$"), text)
    end
  end))

  it("fails if nothing could be fetched", support.run(function()
    fs.temporary_directory(function(dir)
      local server = weft.start_server(function() end, { host = "127.0.0.1", port = 0 })
      local _, port = server:getsockname()
      server:close()
      local code, text = run(("http://127.0.0.1:%d/"):format(port), "--out", dir,
        "--ignore-robots")
      assert.equal(1, code)
      assert.truthy(text:find("errors +1  connection ECONNREFUSED"), text)
    end)
  end))
end)
