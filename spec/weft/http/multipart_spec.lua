-- SPDX-License-Identifier: MIT
-- weft.http.multipart: forms to the byte, what is escaped and refused, and how they are
-- streamed.

local http = require "weft.http.multipart"
local filebody = require "weft.http.filebody"
local support = require "spec.support"
local weft = require "weft"

local fs = weft.fs

-- The body of a form as a string, after looking whether its length is right.
local function sent(form)
  local prepared = form:_prepare()
  local body = prepared.body
  if type(body) == "function" then
    local parts = {}
    for part in body do
      parts[#parts + 1] = part
    end
    body = table.concat(parts)
  elseif type(body) == "table" then
    body = table.concat(body)
  end
  if prepared.length then
    assert.equal(prepared.length, #body)
  end
  return body, prepared
end

local function form_of(fields, opts)
  opts = opts or {}
  opts.fields, opts.boundary = fields, opts.boundary or "B"
  return http.form_data(opts)
end

local function in_directory(fn)
  return support.run(function()
    fs.temporary_directory(fn)
  end)
end

describe("a form", function()
  it("is urlencoded as long as there is nothing else in it", support.outside(function()
    local form = http.form_data()
    assert.equal("", (sent(form)))
    form:add_field("b", "x y&"):add_field("a", 1):add_field("c", true)
    form:add_fields({ { "b", "ü" } })
    local body, prepared = sent(form)
    assert.equal("b=x+y%26&a=1&c=true&b=%C3%BC", body)
    assert.equal("application/x-www-form-urlencoded", prepared.content_type)
    assert.is_true(prepared.is_replayable)
    assert.equal("FormData<urlencoded, 4 fields>", tostring(form))
  end))

  it("is multipart when asked to be", support.outside(function()
    local body, prepared = sent(form_of({ a = "1", b = { "2", 3 } }, { multipart = true }))
    assert.equal('--B\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n'
      .. '--B\r\nContent-Disposition: form-data; name="b"\r\n\r\n2\r\n'
      .. '--B\r\nContent-Disposition: form-data; name="b"\r\n\r\n3\r\n--B--\r\n', body)
    assert.equal("multipart/form-data; boundary=B", prepared.content_type)
    assert.equal("--B--\r\n", (sent(form_of({}, { multipart = true }))))
  end))

  it("has heads as they are asked for", support.outside(function()
    local form = form_of({})
    form:add_field("f", "data", { filename = "a.json", headers = { ["X-B"] = 2, ["X-A"] = "1" } })
    form:add_field("g", "data", { content_type = "text/x", content_transfer_encoding = "binary" })
    form:add_field("h", "data", { filename = "a.json", headers = { ["content-type"] = "own/own" } })
    assert.is_true(form:is_multipart())
    assert.equal('--B\r\nContent-Disposition: form-data; name="f"; filename="a.json"\r\n'
      .. "Content-Type: application/json\r\nX-A: 1\r\nX-B: 2\r\n\r\ndata\r\n"
      .. '--B\r\nContent-Disposition: form-data; name="g"\r\nContent-Type: text/x\r\n'
      .. "Content-Transfer-Encoding: binary\r\n\r\ndata\r\n"
      .. '--B\r\nContent-Disposition: form-data; name="h"; filename="a.json"\r\n'
      .. "content-type: own/own\r\n\r\ndata\r\n--B--\r\n", (sent(form)))
  end))

  it("escapes names as browsers do, and lets nobody break out of a head",
    support.outside(function()
      local form = form_of({})
      form:add_field('a"b\r\nc\\ü', "v", { filename = 'x"\r\n\r\ny\nü.txt' })
      assert.truthy(sent(form):find('name="a%22b%0D%0Ac\\ü"; filename="x%22%0D%0A%0D%0Ay%0Aü.txt"'
        .. "\r\nContent-Type: text/plain\r\n\r\nv\r\n", 1, true))
      for _, opts in ipairs({ { content_type = "a/b\r\nX: y" }, { headers = { ["X\n"] = "y" } },
        { headers = { X = "y\nz" } }, { headers = { X = "\0" } }, { headers = { [""] = "y" } },
        { content_transfer_encoding = "b\r" }, { headers = { X = {} } }, { headers = { "X: y" } },
        { headers = { ["Content-Disposition"] = "x" } } }) do
        support.raises({ "type", "invalid_header" }, form.add_field, form, "n", "v", opts)
      end
      support.raises("type", form.add_field, form, "n", "v", { filename = 5 })
      support.raises({ "type", "unknown_option" }, form.add_field, form, "n", "v", { file = "x" })
    end))

  it("refuses what is no value", support.outside(function()
    local form = form_of({})
    for _, value in ipairs({ {}, { 1 }, coroutine.create(print), io.stdout }) do
      support.raises("type", form.add_field, form, "n", value)
    end
    support.raises("type", form.add_field, form, "n", nil)
    support.raises("type", form.add_field, form, 5, "v")
    support.raises("type", form.add_fields, form, { "x" })
    support.raises("type", form.add_fields, form, { { "x" } })
    support.raises("type", form.add_fields, form, { { "x", 1 }, y = 2 })
    support.raises("type", form.add_fields, form, { x = { y = 1 } })
    support.raises({ "type", "unknown_option" }, http.form_data, { feilds = {} })
  end))

  it("has a boundary that is nowhere in it", support.outside(function()
    local form, other = http.form_data({ multipart = true }), http.form_data()
    assert.are_not.equal(form.boundary, other.boundary)
    assert.truthy(form.boundary:find("^%-%-%-%-weft%-%x+$"))
    local first = form.boundary
    form:add_field("a", "x--" .. first .. "y")
    local body, prepared = sent(form)
    assert.are_not.equal(first, form.boundary)
    assert.truthy(prepared.content_type:find(form.boundary, 1, true))
    assert.equal("--" .. form.boundary .. "--\r\n", body:sub(-#form.boundary - 6))
    form = form_of({ a = "a--Ba" }, { multipart = true })
    support.raises({ "type", "invalid_boundary" }, sent, form)
  end))

  it("takes a boundary that can be one", support.outside(function()
    local _, prepared = sent(form_of({ a = 1 }, { multipart = true, boundary = "x y=1" }))
    assert.equal('multipart/form-data; boundary="x y=1"', prepared.content_type)
    for _, boundary in ipairs({ "", "a ", 'a"', "a\r\nb", "ü", ("x"):rep(71) }) do
      support.raises({ "type", "invalid_boundary" }, http.form_data, { boundary = boundary })
    end
  end))

  it("streams files with their length, as often as needed", in_directory(function(dir)
    fs.write_file(dir .. "/a.png", "PNG")
    fs.write_file(dir .. "/b", ("b"):rep(300000))
    local open = fs.open(dir .. "/b")
    open:read(299998)
    local form = form_of({ { "t", "text" }, { "p", filebody.file(dir .. "/a.png") },
      { "q", { path = dir .. "/a.png" } }, { "o", open } })
    form:add_field("big", filebody.file(dir .. "/b"), { filename = "n", content_type = "x/y" })
    local expected = '--B\r\nContent-Disposition: form-data; name="t"\r\n\r\ntext\r\n'
      .. '--B\r\nContent-Disposition: form-data; name="p"; filename="a.png"\r\n'
      .. "Content-Type: image/png\r\n\r\nPNG\r\n"
      .. '--B\r\nContent-Disposition: form-data; name="q"; filename="a.png"\r\n'
      .. "Content-Type: image/png\r\n\r\nPNG\r\n"
      .. '--B\r\nContent-Disposition: form-data; name="o"; filename="b"\r\n'
      .. "Content-Type: application/octet-stream\r\n\r\nbb\r\n"
      .. '--B\r\nContent-Disposition: form-data; name="big"; filename="n"\r\n'
      .. "Content-Type: x/y\r\n\r\n" .. ("b"):rep(300000) .. "\r\n--B--\r\n"
    local body, prepared = sent(form)
    assert.is_true(expected == body)
    assert.equal(#expected, prepared.length)
    local parts = {}
    for part in prepared.rewind() do
      parts[#parts + 1] = part
    end
    assert.is_true(expected == table.concat(parts))
    prepared.rewind()()
    prepared.close()
    open:close()
  end))

  it("streams functions, once, with no length", support.run(function()
    local n = 0
    local form = form_of({ a = 1 })
    form:add_field("f", function()
      n = n + 1
      weft.yield()
      return n <= 3 and ("x"):rep(n - 1) or nil
    end, { filename = "f.txt" })
    form:add_field("z", "end")
    local body, prepared = sent(form)
    assert.same({ false }, { prepared.is_replayable, prepared.length, prepared.rewind })
    assert.truthy(body:find('filename="f.txt"\r\nContent-Type: text/plain\r\n\r\nxxx\r\n--B\r\n', 1,
      true))
    form = form_of({})
    form:add_field("f", function() return 5 end)
    support.raises({ "type", "invalid_body" }, sent, form)
  end))

  it("sends small strings together, and large ones as they are", support.run(function()
    local large = ("x"):rep(100000)
    local form = form_of({ a = 1, b = 2, c = large, d = 3 })
    form:add_field("f", function() end)
    local source, sizes = form:_prepare().body, {}
    for part in source do
      sizes[#sizes + 1] = #part
    end
    assert.equal(#large, sizes[2])
    assert.equal(4, #sizes)
  end))

  it("names the file that is missing", in_directory(function(dir)
    local form = form_of({ a = filebody.file(dir .. "/none") })
    local e = support.raises({ "os", "ENOENT" }, sent, form)
    assert.equal(dir .. "/none", e.path)
  end))
end)
