-- SPDX-License-Identifier: MIT
-- weft.http.body: which value becomes which body, with which type and length, and what of it can
-- be sent twice.

local body = require "weft.http.body"
local compress = require "weft.http.compress"
local core = require "weft.core"
local filebody = require "weft.http.filebody"
local jsonbody = require "weft.http.jsonbody"
local multipart = require "weft.http.multipart"
local support = require "spec.support"
local testing = require "weft.testing"
local weft = require "weft"

local fs = weft.fs

-- Headers, as far as they are needed here.
local function headers(fields)
  return {
    get = function(_, name)
      return fields[name]
    end,
  }
end

local function text_of(value)
  if type(value) ~= "function" then
    return type(value) == "table" and table.concat(value) or value
  end
  local parts = {}
  for part in value do
    parts[#parts + 1] = part
  end
  return table.concat(parts)
end

-- What is sent, after looking whether its length is right, and that again if that is possible.
local function sent(opts, fields)
  local prepared = body.prepare(opts, fields)
  local text = text_of(prepared.body)
  if prepared.length then
    assert.equal(prepared.length, #text)
  end
  if prepared.rewind then
    assert.is_true(prepared.is_replayable)
    assert.is_true(text == text_of(prepared.rewind()))
  end
  if prepared.close then
    prepared.close()
  end
  return text, prepared
end

local function in_directory(fn)
  return support.run(function()
    fs.temporary_directory(fn)
  end)
end

describe("the body of a request", function()
  it("may be none", support.outside(function()
    assert.is_nil(body.prepare({}))
    assert.is_nil(body.prepare({ compress = "gzip" }, headers({})))
  end))

  it("is a string as it is", support.outside(function()
    for _, data in ipairs({ "", "x", "\0\255" }) do
      local text, prepared = sent({ data = data })
      assert.equal(data, text)
      assert.same({ body = data, length = #data, content_type = "application/octet-stream",
        is_replayable = true }, prepared)
    end
  end))

  it("is a form of a table", support.outside(function()
    for expected, data in pairs({ [""] = {}, ["a=1&b=x+y&b=z"] = { b = { "x y", "z" }, a = 1 },
      ["b=1&a=2"] = { { "b", 1 }, { "a", 2 } } }) do
      local text, prepared = sent({ data = data })
      assert.equal(expected, text)
      assert.equal("application/x-www-form-urlencoded", prepared.content_type)
    end
  end))

  it("is a multipart form of a table with a file", in_directory(function(dir)
    fs.write_file(dir .. "/f.txt", "contents")
    local file = filebody.file(dir .. "/f.txt")
    for _, data in ipairs({ { a = 1, f = file }, { { "a", 1 }, { "f", file } },
      { a = 1, f = { file } } }) do
      local text, prepared = sent({ data = data })
      assert.truthy(text:find('filename="f.txt"\r\nContent-Type: text/plain\r\n\r\ncontents\r\n', 1,
        true))
      assert.truthy(prepared.content_type:find("^multipart/form%-data; boundary=%-%-%-%-weft%-"))
    end
  end))

  it("takes no table for a file by its looks", support.outside(function()
    assert.equal("path=%2Fetc%2Fpasswd", (sent({ data = { path = "/etc/passwd" } })))
    for _, data in ipairs({ { f = { path = "/etc/passwd" } }, { { "f", { path = "/etc/passwd" } } },
      { f = { path = "/etc/passwd" }, g = filebody.file("x") } }) do
      support.raises({ "type", "invalid_body" }, body.prepare, { data = data })
    end
  end))

  it("is a form with options", support.outside(function()
    local form = multipart.form_data({ boundary = "B" })
    form:add_field("a", "1", { content_type = "x/y" })
    local text, prepared = sent({ data = form })
    assert.equal('--B\r\nContent-Disposition: form-data; name="a"\r\nContent-Type: x/y\r\n\r\n1\r\n'
      .. "--B--\r\n", text)
    assert.equal("multipart/form-data; boundary=B", prepared.content_type)
  end))

  it("is JSON", support.outside(function()
    local text, prepared = sent({ json = { a = { 1, true } } })
    assert.equal('{"a":[1,true]}', text)
    assert.equal("application/json", prepared.content_type)
    assert.equal("false", (sent({ json = false })))
    assert.equal("null", (sent({ json = jsonbody.json_null() })))
    support.raises({ "type", "invalid_json" }, body.prepare, { json = print })
    support.raises({ "type", "two_bodies" }, body.prepare, { json = 1, data = "x" })
  end))

  it("is what a function gives, once", support.run(function()
    local function pieces()
      local n = 0
      return function()
        n = n + 1
        weft.yield()
        return ({ "a", "", "bc" })[n]
      end
    end
    local text, prepared = sent({ data = pieces() })
    assert.equal("abc", text)
    assert.same({ false, "application/octet-stream" },
      { prepared.is_replayable, prepared.content_type, prepared.length, prepared.rewind })
    assert.equal("abc", (sent({ data = setmetatable({}, { __call = pieces() }) })))
    assert.equal("xy", (sent({ data = coroutine.wrap(function()
      coroutine.yield("x")
      weft.yield()
      coroutine.yield("y")
    end) })))
    assert.equal("abab", (sent({ data = ("ab ab"):gmatch("%w+") })))
    prepared = body.prepare({ data = pieces() }, headers({ ["Content-Length"] = "3" }))
    assert.equal(3, prepared.length)
  end))

  it("is what a function gives, if that is strings", support.outside(function()
    for _, piece in ipairs({ 5, {}, true }) do
      local prepared = body.prepare({ data = function() return piece end })
      support.raises({ "type", "invalid_body" }, prepared.body)
    end
    local prepared = body.prepare({ data = function() error("mine", 0) end })
    assert.equal("mine", support.error_of(prepared.body))
  end))

  it("is what a stream gives up to its end", support.run(function()
    local a, b = testing.pair({ splits = { 3 } })
    a:write("from a stream")
    a:shutdown()
    assert.equal("from a stream", (sent({ data = b })))
    a:close()
    b:close()
  end))

  it("is a file", in_directory(function(dir)
    local data = core.random_bytes(60000):rep(6)
    fs.write_file(dir .. "/f.png", data)
    local text, prepared = sent({ data = filebody.file(dir .. "/f.png") })
    assert.is_true(text == data)
    assert.same({ #data, "image/png" }, { prepared.length, prepared.content_type })
    local file = fs.open(dir .. "/f.png")
    text = sent({ data = file })
    assert.is_true(text == data)
    file:close()
    support.raises({ "os", "ENOENT" }, body.prepare, { data = filebody.file(dir .. "/g") })
  end))

  it("is nothing else", support.outside(function()
    for _, data in ipairs({ 5, true, io.stdout, coroutine.create(print),
      setmetatable({}, {}) }) do
      support.raises({ "type", "invalid_body" }, body.prepare, { data = data })
    end
    local e = support.raises("type", body.prepare, { data = io.stdout })
    assert.truthy(e.message:find("http.file(path)", 1, true))
    support.raises("type", body.prepare, { data = { 1, 2 } })
    support.raises("type", body.prepare, { data = { a = coroutine.create(print) } })
  end))

  it("has the type that the script says, but for a form's boundary", support.outside(function()
    local function type_of(opts, given)
      return body.prepare(opts, headers({ ["Content-Type"] = given })).content_type
    end
    assert.is_nil(type_of({ json = 1 }, "application/vnd.api+json"))
    assert.is_nil(type_of({ data = "x" }, "no type at all"))
    local form = multipart.form_data({ multipart = true, boundary = "B" })
    assert.is_nil(type_of({ data = form }, "multipart/form-data; boundary=B"))
    assert.is_nil(type_of({ data = form }, "text/plain"))
    for _, given in ipairs({ "multipart/form-data", "multipart/mixed; boundary=C" }) do
      support.raises({ "type", "invalid_header" }, type_of, { data = form }, given)
    end
    assert.equal("application/json", type_of({ json = 1 }, nil))
  end))

  it("is compressed: at once, or streamed if it is large", support.run(function()
    local text, prepared = sent({ data = "hello", compress = true })
    assert.is_true(text == compress.string("deflate", "hello"))
    assert.same({ "deflate", #text }, { prepared.content_encoding, prepared.length })
    local large = ("0123456789"):rep(100000)
    text, prepared = sent({ data = large, compress = "gzip" })
    assert.is_true(text == compress.string("gzip", large))
    assert.same({ "gzip", true }, { prepared.content_encoding, prepared.is_replayable })
    assert.is_nil(prepared.length)
    text, prepared = sent({ json = { a = 1 }, compress = "gzip" })
    assert.is_true(text == compress.string("gzip", '{"a":1}'))
    assert.equal("application/json", prepared.content_type)
    support.raises("type", body.prepare, { data = "x", compress = "br" })
    support.raises({ "type", "invalid_header" }, body.prepare, { data = "x", compress = true },
      headers({ ["Content-Encoding"] = "gzip" }))
  end))

  it("is compressed as it is streamed", in_directory(function(dir)
    local data = core.random_bytes(60000):rep(6)
    fs.write_file(dir .. "/f", data)
    local text, prepared = sent({ data = filebody.file(dir .. "/f"), compress = "gzip" })
    assert.is_true(text == compress.string("gzip", data))
    assert.is_nil(prepared.length)
    local form = multipart.form_data({ multipart = true, fields = { a = data } })
    text = sent({ data = form, compress = true })
    assert.equal("\120\156", text:sub(1, 2))
    text, prepared = sent({ compress = "gzip", data = ("a b"):gmatch("%w") },
      headers({ ["Content-Length"] = "2" }))
    assert.is_true(text == compress.string("gzip", "ab"))
    assert.same({ false }, { prepared.is_replayable, prepared.length, prepared.rewind })
  end))

  it("leaves nothing open when it is cancelled anywhere", support.outside(function()
    local path = os.tmpname()
    local file = assert(io.open(path, "wb"))
    file:write(("x"):rep(300000))
    file:close()
    testing.cancel_everywhere(function()
      local prepared = body.prepare({ compress = "gzip", data = { a = filebody.file(path),
        b = filebody.file(path) } })
      weft.finally(function()
        text_of(prepared.body)
        text_of(prepared.rewind())
      end, prepared.close)
    end)
    os.remove(path)
  end))
end)
