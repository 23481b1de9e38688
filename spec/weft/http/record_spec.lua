-- SPDX-License-Identifier: MIT
-- weft.http.record: what was recorded is given again, in its order; secrets are left out; what was
-- not recorded is named.

local record = require "weft.http.record"
local support = require "spec.support"
local testing = require "weft.testing"
local weft = require "weft"

local fs = weft.fs

local function with_path(fn)
  return support.run(function()
    fs.temporary_directory(function(dir)
      fn(dir .. "/exchanges.jsonl")
    end)
  end)
end

local function get(address, more)
  local request = { method = "GET", url = address, headers = { Accept = "*/*" } }
  for key, value in pairs(more or {}) do
    request[key] = value
  end
  return request
end

local function source_of(list)
  local i = 0
  return function()
    i = i + 1
    weft.yield()
    return list[i]
  end
end

-- A transport that answers with the responses of a list.
local function server(list)
  local i = 0
  return function()
    i = i + 1
    weft.yield()
    if list[i].kind then
      error(list[i], 0)
    end
    return list[i]
  end
end

describe("a recording", function()
  it("is given again in its order", with_path(function(path)
    local transport = record.record(path, server({
      { status = 200, reason = "OK", headers = { A = "1", B = { "2", "3" } },
        body = "first\n\"ü\"" },
      { status = 201, headers = { { "B", 2 }, { "A", "1" } },
        body = source_of({ "sec", "", "ond" }) },
      { status = 204 },
    }))
    assert.equal("first\n\"ü\"", transport(get("http://x/a")).body)
    assert.equal("second", transport(get("http://x/a")).body)
    assert.is_nil(transport(get("http://x/b")).body)
    local replay = record.replay(path)
    assert.same({ status = 204, reason = "", headers = {} }, replay(get("http://x/b")))
    assert.same({ status = 200, reason = "OK", headers = { { "A", "1" }, { "B", "2" },
      { "B", "3" } }, body = "first\n\"ü\"" }, replay(get("http://x/a")))
    assert.same({ status = 201, reason = "", headers = { { "B", "2" }, { "A", "1" } },
      body = "second" }, replay(get("http://x/a#fragment")))
  end))

  it("keeps any bytes, of responses and requests", with_path(function(path)
    local bytes = {}
    for i = 0, 255 do
      bytes[i + 1] = string.char(i)
    end
    bytes = table.concat(bytes)
    local transport = record.record(path, function(request)
      local got = {}
      for part in request.body do
        got[#got + 1] = part
      end
      return { status = 200, body = table.concat(got) }
    end)
    local pieces = { bytes, "more" }
    assert.equal(bytes .. "more", transport(get("http://x/", { method = "POST",
      body = source_of(pieces) })).body)
    local replay = record.replay(path, { match_body = true })
    assert.equal(bytes .. "more", replay(get("http://x/", { method = "POST",
      body = source_of(pieces) })).body)
    replay = record.replay(path, { match_body = true })
    local e = support.raises({ "state", "no_recording" }, replay, get("http://x/", {
      method = "POST", body = "other" }))
    assert.truthy(e.message:find("another body", 1, true))
  end))

  it("has no secrets in it", with_path(function(path)
    local transport = record.record(path, server({ { status = 200, headers = {
      ["Set-Cookie"] = "sid=kept" } } }), { redact_query = { "Api_Key" } })
    transport(get("http://user:hidden1@x/?a=1&api_key=hidden2&b=2", { headers = {
      authorization = "hidden3", Cookie = "hidden4", ["Proxy-Authorization"] = "hidden5",
      X = "shown" } }))
    local text = fs.read_file(path)
    assert.is_nil(text:find("hidden"))
    assert.truthy(text:find("shown") and text:find("sid=kept"))
    local replay = record.replay(path, { redact_query = { "api_key" } })
    assert.equal(200, replay(get("http://x/?a=1&api_key=other&b=2")).status)
    transport = record.record(path, server({ { status = 200, headers = {
      ["Set-Cookie"] = "hidden" } } }), { redact = { "Set-Cookie" } })
    transport(get("http://x/", { headers = { Authorization = "shown" } }))
    text = fs.read_file(path)
    assert.is_nil(text:find("hidden"))
    assert.truthy(text:find("shown"))
  end))

  it("that is missing is told by the nearest", with_path(function(path)
    local transport = record.record(path, server({ { status = 200 }, { status = 200 } }))
    transport(get("http://x/list?page=1"))
    transport(get("http://y/other"))
    local replay = record.replay(path)
    local e = support.raises({ "state", "no_recording" }, replay, get("http://x/list?page=2"))
    assert.equal("GET http://x/list?page=1", e.nearest)
    support.raises({ "state", "no_recording" }, replay, get("http://y/other", { method = "PUT" }))
    replay(get("http://y/other"))
    e = support.raises({ "state", "no_recording" }, replay, get("http://y/other"))
    assert.truthy(e.message:find("all 1 recordings", 1, true))
    replay = record.replay(path, { repeats = true })
    for _ = 1, 3 do
      assert.equal(200, replay(get("http://y/other")).status)
    end
  end))

  it("has the failures of the network, too", with_path(function(path)
    local transport = record.record(path, server({ weft.Error({ kind = "connection",
      message = "refused", code = "ECONNREFUSED" }), weft.Error({ kind = "state",
      message = "misuse" }), { status = 200 } }))
    support.raises({ "connection", "ECONNREFUSED" }, transport, get("http://x/"))
    support.raises("state", transport, get("http://x/"))
    transport(get("http://x/"))
    local replay = record.replay(path)
    support.raises({ "connection", "ECONNREFUSED" }, replay, get("http://x/"))
    assert.equal(200, replay(get("http://x/")).status)
  end))

  it("is begun anew, or added to", with_path(function(path)
    record.record(path, server({ { status = 201 } }))(get("http://x/"))
    record.record(path, server({ { status = 202 } }))(get("http://x/"))
    record.record(path, server({ { status = 203 } }), { append = true })(get("http://x/"))
    local replay = record.replay(path)
    assert.same({ 202, 203 }, { replay(get("http://x/")).status, replay(get("http://x/")).status })
    support.raises({ "state", "no_recording" }, replay, get("http://x/"))
    record.record(path .. "2", server({ { status = 204 } }), { append = true })(get("http://x/"))
    assert.equal(204, record.replay(path .. "2")(get("http://x/")).status)
  end))

  it("is sent by the session's own transport where there is no other", with_path(function(path)
    local transport = record.record(path)
    support.raises({ "state", "no_transport" }, transport, get("http://x/"))
    assert.equal(200, transport(get("http://x/"), server({ { status = 200 } })).status)
  end))

  it("of many tasks has every exchange", with_path(function(path)
    local transport = record.record(path, function(request)
      weft.yield()
      return { status = 200, body = request.url }
    end)
    local tasks = {}
    for i = 1, 50 do
      tasks[i] = weft.create_task(transport, get("http://x/" .. i))
    end
    weft.gather(tasks)
    local replay = record.replay(path)
    for i, response in ipairs(weft.gather((function()
      for k = 1, 50 do
        tasks[k] = weft.create_task(replay, get("http://x/" .. k))
      end
      return tasks
    end)())) do
      assert.equal("http://x/" .. i, response.body)
    end
  end))

  it("has a limit for bodies", with_path(function(path)
    local transport = record.record(path, server({ { status = 200, body = source_of({ "12345" }) },
      { status = 200 } }), { max_body_size = 4 })
    support.raises({ "limit", "max_body_size" }, transport, get("http://x/"))
    support.raises("type", record.record, path, nil, { max_body_size = -1 })
    support.raises({ "type", "unknown_option" }, record.record, path, nil, { redacted = {} })
    support.raises({ "type", "unknown_option" }, record.replay, path, { loop = true })
    support.raises("type", record.record, path, "transport")
  end))

  it("that is not in order is refused, with the line", with_path(function(path)
    support.raises({ "os", "ENOENT" }, record.replay(path), get("http://x/"))
    for number, text in pairs({ "", '{"weft_recording":1}\nno JSON', '{"weft_recording":1}\n\n{}',
      '{"weft_recording":1}\n\n\n{"request":{"method":"GET","url":"x","headers":[]},'
      .. '"response":{"status":1,"headers":[],"body_base64":"?"}}' }) do
      fs.write_file(path, text)
      local e = support.raises({ "decode", "invalid_recording" }, record.replay(path),
        get("http://x/"))
      assert.equal(number, e.line)
    end
  end))

  it("has an exchange whole or not at all when it is cancelled anywhere",
    support.outside(function()
      local path = os.tmpname()
      testing.cancel_everywhere(function()
        local transport = record.record(path, server({ { status = 200,
          body = source_of({ "a", "b" }) }, { status = 200 } }))
        transport(get("http://x/", { body = source_of({ "c" }) }))
        transport(get("http://x/"))
      end, function()
        local text = fs.read_file(path)
        fs.write_file(path, '{"weft_recording":1}\n')
        for line in text:gmatch("[^\n]+") do
          assert.equal("}", line:sub(-1))
        end
        assert.is_true(text == "" or text:sub(-1) == "\n")
      end)
      os.remove(path)
    end))
end)
