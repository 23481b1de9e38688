-- SPDX-License-Identifier: MIT
-- weft.http.download: responses into files, and going on where a download was broken off.
-- The spec answers the requests itself: spec.http_fake.

local fake = require "spec.http_fake"
local support = require "spec.support"
local weft = require "weft"

local raises, run, virtual = support.raises, support.run, support.virtual

local URL = "http://example.com/file"
local TEXT = ("0123456789"):rep(10)

-- Calls fn with a path that nothing is at, and removes what it left there.
local function with_path(fn)
  local path = os.tmpname()
  os.remove(path)
  weft.finally(function() fn(path) end, function()
    for _, suffix in ipairs({ "", ".part", ".part.info" }) do
      os.remove(path .. suffix)
    end
  end)
end

local function broken()
  error(weft.Error({ kind = "connection", code = "ETRUNCATED", message = "gone" }), 0)
end

-- A server that breaks off `breaks` times, each time after 30 bytes more.
local function server(breaks, opts)
  opts = opts or {}
  local count = 0
  return function(request)
    count = count + 1
    local etag = opts.etags and opts.etags[count] or '"v1"'
    local first = tonumber((request.headers.range or ""):match("^bytes=(%d+)%-$"))
    local is_rest = first and request.headers["if-range"] == etag and not opts.ignores_ranges
    local text = TEXT:sub((is_rest and first or 0) + 1)
    local headers = { ETag = etag, ["Content-Length"] = #text }
    if is_rest then
      headers["Content-Range"] = ("bytes %d-%d/%d"):format(first, #TEXT - 1, #TEXT)
    end
    local breaks_now, sent = count <= breaks, false
    return { status = is_rest and 206 or 200, headers = headers, body = function()
      if sent then
        return breaks_now and broken() or nil
      end
      sent = true
      return breaks_now and text:sub(1, 30) or text
    end }
  end
end

describe("save", function()
  it("writes a file that is whole", run(function()
    with_path(function(path)
      local steps = {}
      local session = fake.session({ default = { status = 200, headers = { ["Content-Length"] = 4 },
        body = fake.pieces("ab", "cd") } })
      assert.equal(4, session:get(URL):save(path, { on_progress = function(size, total)
        steps[#steps + 1] = size .. "/" .. tostring(total)
      end }))
      assert.equal("abcd", weft.fs.read_file(path))
      assert.same({ "2/4", "4/4" }, steps)
    end)
  end))

  it("writes what was read before", run(function()
    with_path(function(path)
      local resp = fake.session({ default = "abc" }):get(URL)
      resp:read()
      assert.equal(3, resp:save(path))
      assert.equal("abc", resp:text())
    end)
  end))

  it("leaves what was there when it is broken off", run(function()
    with_path(function(path)
      weft.fs.write_file(path, "before")
      local session = fake.session({ default = server(1) })
      local resp = session:get(URL)
      raises({ "connection", "ETRUNCATED" }, resp.save, resp, path)
      assert.equal("before", weft.fs.read_file(path))
      assert.is_false(weft.fs.exists(path .. ".part"))
    end)
  end))

  it("checks its options", run(function()
    local resp = fake.session({ default = "abc" }):get(URL)
    raises({ "type", "unknown_option" }, resp.save, resp, "/nowhere", { resum = true })
    raises("type", resp.save, resp, "/nowhere", { on_progress = 3 })
    raises("type", resp.save, resp)
  end))
end)

describe("a download that is broken off", function()
  it("is gone on with by the next call", run(function()
    with_path(function(path)
      local session, seen = fake.session({ default = server(1) })
      local resp = session:get(URL)
      raises("connection", resp.save, resp, path, { resume = true })
      assert.equal(30, #weft.fs.read_file(path .. ".part"))
      local total
      assert.equal(100, session:get(URL):save(path, { resume = true, on_progress = function(_, t)
        total = t
      end }))
      assert.equal(TEXT, weft.fs.read_file(path))
      assert.is_false(weft.fs.exists(path .. ".part"))
      assert.same({ "bytes=30-", '"v1"', "identity", 100 }, { seen[3].headers.range,
        seen[3].headers["if-range"], seen[3].headers["accept-encoding"], total })
    end)
  end))

  it("is gone on with at once where there are retries", virtual(function()
    with_path(function(path)
      local session, seen = fake.session({ default = server(3) }, { retry = { attempts = 4 } })
      assert.equal(100, session:get(URL):save(path, { resume = true }))
      assert.equal(TEXT, weft.fs.read_file(path))
      assert.same({ 4, "bytes=30-", "bytes=60-", "bytes=90-" }, { #seen, seen[2].headers.range,
        seen[3].headers.range, seen[4].headers.range })
      assert.equal(3, session:statistics().retries)
    end)
  end))

  it("ends when there are no retries left, and keeps what came", virtual(function()
    with_path(function(path)
      local session = fake.session({ default = server(9) }, { retry = { attempts = 2 } })
      local resp = session:get(URL)
      raises("connection", resp.save, resp, path, { resume = true })
      assert.equal(60, #weft.fs.read_file(path .. ".part"))
    end)
  end))

  it("begins anew when there is another version by now", virtual(function()
    with_path(function(path)
      local session = fake.session({ default = server(1, { etags = { '"v1"', '"v2"' } }) },
        { retry = true })
      assert.equal(100, session:get(URL):save(path, { resume = true }))
      assert.equal(TEXT, weft.fs.read_file(path))
    end)
  end))

  it("begins anew where the server knows no ranges", virtual(function()
    with_path(function(path)
      local session = fake.session({ default = server(1, { ignores_ranges = true }) },
        { retry = true })
      assert.equal(100, session:get(URL):save(path, { resume = true }))
      assert.equal(TEXT, weft.fs.read_file(path))
    end)
  end))

  it("is not mixed with what the server did not say to be its rest", virtual(function()
    with_path(function(path)
      local session = fake.session({ default = { server(1), { status = 206, body = "xyz",
        headers = { ["Content-Range"] = "bytes 7-9/100", ETag = '"v1"' } } } }, { retry = true })
      local resp = session:get(URL)
      raises({ "protocol", "bad_range" }, resp.save, resp, path, { resume = true })
    end)
  end))

  it("is whole when the server has nothing to add", virtual(function()
    with_path(function(path)
      local session = fake.session({ default = { function()
        local sent = false
        return { status = 200, headers = { ETag = '"v1"' }, body = function()
          if sent then
            broken()
          end
          sent = true
          return TEXT
        end }
      end, { status = 416, headers = { ["Content-Range"] = "bytes */100" } } } },
        { retry = true })
      assert.equal(100, session:get(URL):save(path, { resume = true }))
      assert.equal(TEXT, weft.fs.read_file(path))
    end)
  end))
end)
