-- SPDX-License-Identifier: MIT
-- A little web site on this machine, for the examples beside it and those in the manual to talk
-- to: pages, a search, cookies, files, what is slow and what breaks.
--
--   luajit examples/http/site.lua [port]
--
-- The port is 8080, or a free one for 0. Ends with Ctrl-C.

local weft = require "weft"
local json = require "cjson"

local url = weft.url

-- Bytes: a request's head and body at most.
local HEAD_MAX, BODY_MAX = 64 * 1024, 16 * 1024 * 1024

local REASONS = { [200] = "OK", [206] = "Partial Content", [302] = "Found", [303] = "See Other",
  [401] = "Unauthorized", [404] = "Not Found", [405] = "Method Not Allowed",
  [416] = "Range Not Satisfiable", [418] = "I'm a teapot", [429] = "Too Many Requests",
  [500] = "Internal Server Error", [503] = "Service Unavailable" }

--- requests -------------------------------------------------------------------

local function read_chunks(stream)
  local pieces, total = {}, 0
  repeat
    local size = tonumber(stream:read_line():match("^%x+"), 16)
    total = total + size
    assert(total <= BODY_MAX, "the request's body is too long")
    pieces[#pieces + 1] = stream:read_exactly(size)
    stream:read_line()
  until size == 0
  return table.concat(pieces)
end

local function read_body(stream, headers)
  if headers.expect then
    stream:write("HTTP/1.1 100 Continue\r\n\r\n")
  end
  if headers["transfer-encoding"] then
    return read_chunks(stream)
  end
  local length = tonumber(headers["content-length"] or 0)
  assert(length <= BODY_MAX, "the request's body is too long")
  return length > 0 and stream:read_exactly(length) or ""
end

-- The next request of a connection; nil where it ends.
local function read_request(stream)
  local ok, head = weft.try(stream.read_until, stream, "\r\n\r\n", HEAD_MAX)
  if not ok then
    return nil
  end
  local method, target = head:match("^(%u+) (/%S*) HTTP/1%.[01]\r\n")
  if not method then
    stream:write("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
    return nil
  end
  local headers = {}
  for name, value in head:gmatch("\r\n([%w_-]+):[ \t]*([^\r]*)") do
    headers[name:lower()] = value
  end
  local path, query = target:match("^([^?]*)%??(.*)$")
  return { method = method, target = target, path = path, headers = headers,
    query = url.decode_query(query), body = read_body(stream, headers) }
end

--- responses ------------------------------------------------------------------

local function head_of(request, status, headers)
  local lines = { ("HTTP/1.1 %d %s"):format(status, REASONS[status] or "Unknown"),
    "Date: " .. os.date("!%a, %d %b %Y %H:%M:%S GMT") }
  local names = {}
  for name in pairs(headers) do
    names[#names + 1] = name
  end
  table.sort(names)
  for _, name in ipairs(names) do
    local value = headers[name]
    for _, one in ipairs(type(value) == "table" and value or { value }) do
      lines[#lines + 1] = name .. ": " .. one
    end
  end
  if request.headers.connection == "close" then
    lines[#lines + 1] = "Connection: close"
  end
  return table.concat(lines, "\r\n") .. "\r\n\r\n"
end

-- Answers: the body is a string, or a function that is given one that writes.
local function respond(stream, request, status, headers, body)
  local is_string = type(body) == "string"
  headers[is_string and "Content-Length" or "Transfer-Encoding"] = is_string and #body or "chunked"
  local head = head_of(request, status, headers)
  if request.method == "HEAD" then
    stream:write(head)
  elseif is_string then
    stream:write(head, body)
  else
    stream:write(head)
    body(function(text)
      stream:write(("%x\r\n"):format(#text), text, "\r\n")
    end)
    stream:write("0\r\n\r\n")
  end
end

local function html(title, text, content_type)
  return 200, { ["Content-Type"] = content_type or "text/html; charset=utf-8" },
    ("<!DOCTYPE html>\n<title>%s</title>\n<p>%s</p>\n"):format(title, text)
end

local function plain(text)
  return 200, { ["Content-Type"] = "text/plain; charset=utf-8" }, text
end

local function as_json(value, status, headers)
  headers = headers or {}
  headers["Content-Type"] = "application/json"
  return status or 200, headers, json.encode(value)
end

-- A table that cjson writes as {}, not [].
local function object()
  return setmetatable({}, json.empty_object_mt)
end

local function cookies_of(request)
  local cookies = {}
  for name, value in (request.headers.cookie or ""):gmatch("([^=; ]+)=([^;]*)") do
    cookies[name] = value
  end
  return cookies
end

-- A query or a form as names with values.
local function values_of(params)
  local values = {}
  for _, pair in ipairs(params) do
    values[pair[1]] = params[pair[1]]
  end
  return values
end

--- the books ------------------------------------------------------------------

local BOOKS = {
  { title = "Frankenstein", author = "Mary Shelley", year = 1818 },
  { title = "Twenty Thousand Leagues Under the Seas", author = "Jules Verne", year = 1870 },
  { title = "Around the World in Eighty Days", author = "Jules Verne", year = 1872 },
  { title = "The Time Machine", author = "H. G. Wells", year = 1895 },
  { title = "The Island of Doctor Moreau", author = "H. G. Wells", year = 1896 },
  { title = "The Invisible Man", author = "H. G. Wells", year = 1897 },
  { title = "The War of the Worlds", author = "H. G. Wells", year = 1898 },
}
local BOOKS_ON_PAGE = 3

-- Three books a page, those of an author if one is asked for; the next page is in Link.
local function books(request)
  if request.headers["x-api-key"] ~= "secret" then
    return as_json({ error = "no X-Api-Key" }, 401)
  end
  local page, found = tonumber(request.query.page or 1), {}
  for _, book in ipairs(BOOKS) do
    if (request.query.author or book.author) == book.author then
      found[#found + 1] = book
    end
  end
  local shown, headers = {}, {}
  for i = (page - 1) * BOOKS_ON_PAGE + 1, math.min(page * BOOKS_ON_PAGE, #found) do
    shown[#shown + 1] = found[i]
  end
  if page * BOOKS_ON_PAGE < #found then
    headers.Link = ('<?%s>; rel="next"'):format(url.encode_query {
      author = request.query.author, page = page + 1 })
  end
  return as_json({ total = #found, books = shown }, 200, headers)
end

--- the teas -------------------------------------------------------------------

-- Pages with links, for those who follow them: the last one's next is broken, and one is for
-- no robot.
local TEAS = {
  { path = "assam", name = "Assam", from = "India", minutes = 4, kind = "black" },
  { path = "keemun", name = "Keemun", from = "China", minutes = 3, kind = "black" },
  { path = "sencha", name = "Sencha", from = "Japan", minutes = 1, kind = "green" },
}

local function page(title, text)
  return 200, { ["Content-Type"] = "text/html; charset=utf-8" },
    ("<!DOCTYPE html>\n<title>%s</title>\n<h1>%s</h1>\n%s\n"):format(title, title, text)
end

local function teas()
  local rows = {}
  for i, tea in ipairs(TEAS) do
    rows[i] = ('<tr class="%s"><td><a href="%s">%s</a><td>%s<td>%d\n'):format(tea.kind, tea.path,
      tea.name, tea.from, tea.minutes)
  end
  return page("Teas", "<table>\n<tr><th>Tea<th>From<th>Minutes\n" .. table.concat(rows)
    .. '</table>\n<p><a href="private/blend">Our own blend</a>')
end

local function tea(_, path)
  for i, one in ipairs(TEAS) do
    if one.path == path then
      return page(one.name, ('<p class="%s">From <b>%s</b>: %d min.\n<p><a href="./">All teas</a>'
        .. ' <a href="%s#top" rel="next">The next one</a>'):format(one.kind, one.from, one.minutes,
        TEAS[i + 1] and TEAS[i + 1].path or "gyokuro"))
    end
  end
  return 404, { ["Content-Type"] = "text/plain" }, "no such tea\n"
end

--- files ----------------------------------------------------------------------

local LINE = "a line of 24 characters\n"
local ETAG = '"1"'

-- A file of as many bytes as its name says, whole or from a byte on.
local function file(request, size)
  local data = LINE:rep(math.ceil(size / #LINE)):sub(1, size)
  local headers = { ["Content-Type"] = "application/octet-stream", ["Accept-Ranges"] = "bytes",
    ETag = ETAG }
  local first = (request.headers.range or ""):match("^bytes=(%d+)%-$")
  if not first or (request.headers["if-range"] or ETAG) ~= ETAG then
    return 200, headers, data
  elseif tonumber(first) >= size then
    headers["Content-Range"] = "bytes */" .. size
    return 416, headers, ""
  end
  headers["Content-Range"] = ("bytes %d-%d/%d"):format(first, size - 1, size)
  return 206, headers, data:sub(first + 1)
end

-- The same, but the connection breaks in the middle; asked for the rest, it gives the rest.
local function broken_file(request, size, stream)
  local status, headers, data = file(request, tonumber(size))
  if status ~= 200 then
    return status, headers, data
  end
  headers["Content-Length"] = #data
  stream:write(head_of(request, status, headers), data:sub(1, #data / 2))
  return nil
end

--- the rest -------------------------------------------------------------------

-- The parts of a multipart form by their names: the text, or what the file is.
local function parts_of(request)
  local boundary = (request.headers["content-type"] or ""):match("boundary=\"?([^\";]+)")
  local parts = object()
  local from = boundary and #boundary + 5
  while from do
    local to, next_part = request.body:find("\r\n--" .. boundary, from, true)
    local head, text = request.body:sub(from, (to or 0) - 1):match("^(.-\r\n)\r\n(.*)$")
    if head then
      local filename = head:match('filename="([^"]*)"')
      parts[head:match('name="([^"]*)"')] = filename
        and { filename = filename, size = #text, type = head:match("\r\nContent%-Type: ([^\r]+)")
          or head:match("^Content%-Type: ([^\r]+)") } or text
    end
    from = next_part and next_part + 3
  end
  return parts
end

-- What came, as JSON.
local function echo(request)
  local is_form = request.headers["content-type"] == "application/x-www-form-urlencoded"
  return as_json { method = request.method, path = request.path, body = request.body,
    query = values_of(request.query), headers = request.headers, cookies = cookies_of(request),
    form = is_form and values_of(url.decode_query(request.body)) or parts_of(request) }
end

local function set_cookies(request)
  local list = {}
  for _, pair in ipairs(request.query) do
    list[#list + 1] = pair[1] .. "=" .. pair[2] .. "; Path=/"
  end
  return 302, { ["Set-Cookie"] = list, Location = "/cookies" }, ""
end

local function login(request)
  local form = url.decode_query(request.body)
  if form.password ~= "secret" then
    return 401, { ["Content-Type"] = "text/plain" }, "wrong password\n"
  end
  return 303, { ["Set-Cookie"] = "user=" .. form.user .. "; Path=/; HttpOnly",
    Location = "/members" }, ""
end

local function members(request)
  local user = cookies_of(request).user
  if not user then
    return 401, { ["Content-Type"] = "text/plain" }, "log in first\n"
  end
  return plain("hello, " .. user .. "\n")
end

-- Basic authentication: ann, secret.
local function private(request)
  if request.headers.authorization ~= "Basic YW5uOnNlY3JldA==" then
    return 401, { ["WWW-Authenticate"] = 'Basic realm="private"' }, ""
  end
  return plain("welcome, ann\n")
end

-- How often something failed, by its name.
local failures = {}

-- Fails as often as it is asked to, then works.
local function flaky(request, name)
  failures[name] = (failures[name] or 0) + 1
  if failures[name] <= tonumber(request.query.times or 1) then
    return 503, { ["Retry-After"] = "0" }, "not now\n"
  end
  failures[name] = nil
  return plain("here you are\n")
end

local function lines(_, count)
  return 200, { ["Content-Type"] = "text/plain; charset=utf-8" }, function(write)
    for i = 1, count do
      write("line " .. i .. "\n")
      weft.sleep(0.005)
    end
  end
end

local function slow(request)
  local seconds = tonumber(request.query.seconds or 3)
  weft.sleep(seconds)
  return plain(("that took %g s\n"):format(seconds))
end

local ROUTES = {
  { "^/$", function() return html("A little site", "Welcome.") end },
  { "^/page/(%d+)$", function(_, n) return html("Page " .. n, "This is page " .. n .. ".") end },
  { "^/echo$", echo },
  { "^/books$", books },
  { "^/cookies$", function(request) return as_json(cookies_of(request)) end },
  { "^/cookies/set$", set_cookies },
  { "^/login$", login },
  { "^/members$", members },
  { "^/private$", private },
  { "^/file/(%d+)$", file },
  { "^/broken/(%d+)$", broken_file },
  { "^/flaky/(%w+)$", flaky },
  { "^/tea/$", teas },
  { "^/tea/(%w+)$", tea },
  { "^/tea/private/blend$", function() return page("Our own blend", "<p>Half and half.") end },
  { "^/robots%.txt$", function() return plain("User-agent: *\nDisallow: /tea/private/\n") end },
  { "^/lines/(%d+)$", lines },
  { "^/slow$", slow },
  { "^/status/(%d%d%d)$", function(_, status) return tonumber(status), {}, "" end },
  { "^/redirect/(%d+)$", function(_, n)
    return 302, { Location = n == "1" and "/" or "/redirect/" .. n - 1 }, ""
  end },
  -- "Привет, мир" with the encoding in the header; "你好，世界" with it in the page alone.
  { "^/windows%-1251$", function()
    return html("\207\240\232\226\229\242, \236\232\240", "", "text/html; charset=windows-1251")
  end },
  { "^/gb2312$", function()
    return html("\196\227\186\195\163\172\202\192\189\231", '<meta charset="gb2312">',
      "text/html")
  end },
}

local function answer(stream, request)
  for _, route in ipairs(ROUTES) do
    local capture = request.path:match(route[1])
    if capture then
      local status, headers, body = route[2](request, capture, stream)
      if status then
        respond(stream, request, status, headers, body)
      end
      return status ~= nil and request.headers.connection ~= "close"
    end
  end
  respond(stream, request, 404, { ["Content-Type"] = "text/plain" }, "there is no such page\n")
  return true
end

-- A peer that goes away is no failure of the site.
local function serve(stream)
  local ok, e = weft.try(function()
    local request = read_request(stream)
    while request and answer(stream, request) do
      request = read_request(stream)
    end
  end)
  if not ok and not weft.is_error(e, "connection") then
    error(e, 0)
  end
end

weft.main(function()
  local server = weft.start_server(serve, { port = tonumber(arg[1]) or 8080 })
  print(("listening on %s:%d"):format(server:getsockname()))
  io.stdout:flush()
  server:serve_forever()
end)
