-- SPDX-License-Identifier: MIT
-- lua/weft/url.lua against the data of the web-platform-tests, and against random bytes.
--
-- The data is not part of the project: it is read from the folder that WEFT_DATA names, or
-- ../shared/data. Where there is none, this file says so, and the random part is what is left.

local core = require "weft.core"
local support = require "spec.support"
local url = require("weft").url

local FOLDER = (os.getenv("WEFT_DATA") or "../shared/data") .. "/wpt-url/"

local function read(name)
  local file = io.open(FOLDER .. name, "rb")
  local text = file and file:read("*a")
  return file and file:close() and text
end

-- Surrogates that stand alone become U+FFFD, as in a browser's USVString: cjson takes none.
local function decoded(text)
  text = text:gsub("\\u([dD][89aAbB]%x%x)\\u([dD][c-fC-F]%x%x)", "\\<%1%2>")
  text = text:gsub("\\u[dD][89a-fA-F]%x%x", "\\uFFFD")
  return require("cjson").decode((text:gsub("\\<(%x%x%x%x)(%x%x%x%x)>", "\\u%1\\u%2")))
end

-- The objects in a file of cases, without its comments.
local function cases_of(name)
  local cases = {}
  for _, case in ipairs(decoded(read(name))) do
    if type(case) == "table" then
      cases[#cases + 1] = case
    end
  end
  return cases
end

local function delimited(mark, text)
  return (text or "") ~= "" and mark .. text or ""
end

-- What browsers show of a URL.
local function shown(u)
  return {
    href = u.href, origin = u.origin, protocol = u.scheme .. ":", username = u.username,
    password = u.password, host = u.host or "", hostname = u.hostname or "",
    port = u.port and ("%d"):format(u.port) or "", pathname = u.path,
    search = delimited("?", u.query), hash = delimited("#", u.fragment),
  }
end

-- What is wrong with a case, or nil; true if it cannot be told without libidn2.
local function judge(case)
  local base = type(case.base) == "string" and case.base or nil
  local ok, u = pcall(url.parse, case.input, base)
  if not ok and not core.idna_lookup and tostring(u):find("libidn2", 1, true) then
    return nil, true
  elseif case.failure then
    return ok and "is no failure, but " .. u.href or nil
  elseif not ok then
    return tostring(u)
  end
  local got = shown(u)
  for key, value in pairs(got) do
    if case[key] and case[key] ~= value then
      return ("%s is %s, not %s"):format(key, value, case[key])
    end
  end
  return url.parse(u.href).href ~= u.href and "its href means another one: " .. u.href or nil
end

local function say(...)
  io.write("\n", string.format(...), "\n")
end

local function data_cases()
  it("passes urltestdata.json", support.outside(function()
    local failed, without, cases = {}, 0, cases_of("urltestdata.json")
    for _, case in ipairs(cases) do
      local why, unknown = judge(case)
      without = without + (unknown and 1 or 0)
      failed[#failed + 1] = why and ("%q: %s"):format(case.input, why)
    end
    say("urltestdata.json: %d cases, %d failed%s", #cases, #failed,
      without > 0 and (", %d not decided without libidn2"):format(without) or "")
    assert.same({}, failed)
    assert.is_true(#cases > 800)
  end))

  it("passes percent-encoding.json", support.outside(function()
    local count = 0
    for _, case in ipairs(cases_of("percent-encoding.json")) do
      for encoding, wanted in pairs(case.output) do
        local u = url.parse(("https://doc.invalid/?%s#%s"):format(case.input, case.input), nil,
          { encoding = encoding })
        assert.equal(wanted, u.query, encoding)
        assert.equal(case.output["utf-8"], u.fragment)
        count = count + 1
      end
    end
    say("percent-encoding.json: %d cases, 0 failed", count)
    assert.is_true(count > 10)
  end))

  it("passes urlencoded-parser-data.json", support.outside(function()
    local cases = cases_of("urlencoded-parser-data.json")
    for _, case in ipairs(cases) do
      assert.same(case.output, url.decode_query(case.input), case.input)
      assert.same(case.output, url.decode_query(url.encode_query(case.output)), case.input)
    end
    say("urlencoded-parser-data.json: %d cases, 0 failed", #cases)
    assert.is_true(#cases > 30)
  end))
end

describe("the URL Standard's tests", function()
  if read("urltestdata.json") then
    data_cases()
  else
    say("%s is not there: the cases of the web-platform-tests do not run", FOLDER)
  end
end)

--- random ------------------------------------------------------------------------------------

-- A small generator of its own, so that a seed means the same on every Lua.
local function generator(seed)
  return function(n)
    seed = (seed * 16807) % 2147483647
    return seed % n + 1
  end
end

local PIECES = { "http", "https", "file", "foo", "blob", "data", "ws", ":", "://", "/", "//", "\\",
  "?", "#", "@", "[", "]", "::", "1.2.3.4", "0x7f", "[::1]", "localhost", "C:", "C|", "..", ".",
  "%2e", "%", "%41", "%00", "xn--", "xn--n3h", "é", "☃", "\239\188\133", "\255", " ", "\t", "\n",
  "\0", "a", "B", "-", "+", "&", "=", "'", "\"", "<", "^", "|", "`", "{", ":80", ":443", ":65536" }

local function random_text(random)
  local parts = {}
  for i = 1, random(9) do
    parts[i] = random(4) == 1 and string.char(random(256) - 1) or PIECES[random(#PIECES)]
  end
  return table.concat(parts)
end

local NAMES = { "protocol", "username", "password", "host", "hostname", "port", "pathname",
  "search", "hash" }

local SPECIAL = { http = true, https = true, ws = true, wss = true, ftp = true, file = true }

-- What is true of every URL.
local function check(u, what)
  local again = url.parse(u.href)
  assert.same(shown(u), shown(again), what)
  assert.is_nil(u.href:find("[^!-~ ]"), what)
  if SPECIAL[u.scheme] then
    assert.is_truthy(u.path:find("^/"), what)
    assert.is_true(u.scheme == "file" or u.hostname ~= "", what)
  end
  if not u.hostname or u.hostname == "" then
    assert.equal("", u.username .. u.password .. tostring(u.port or ""), what)
  end
  assert.equal(url.canonicalize(u), url.canonicalize(url.canonicalize(u)), what)
end

describe("random texts", function()
  it("are URLs that mean themselves, or errors", support.outside(function()
    local random = generator(20261)
    local known = { url.parse("http://h/a/b?q"), url.parse("file:///c:/x"), url.parse("foo:bar"),
      url.parse("foo://h") }
    local count = 0
    for _ = 1, support.rounds(8000) do
      local text, base = random_text(random), known[random(#known + 1)]
      local ok, u = pcall(url.parse, text, base)
      local what = ("%q to %s"):format(text, tostring(base))
      if ok then
        count = count + 1
        check(u, what)
        assert.equal(u.href, url.parse(u.href, base).href, what)
      else
        assert.equal("invalid_url", type(u) == "table" and u.code, what .. ": " .. tostring(u))
      end
      assert.equal(ok, url.can_parse(text, base), what)
    end
    assert.is_true(count > support.rounds(8000) / 4)
  end))

  it("are set or refused, and what results is a URL", support.outside(function()
    local random = generator(4711)
    local starts = { "http://u:p@h:1/a?q#f", "file:///c:/x", "file://h/", "foo:bar", "foo://h/a",
      "foo:/a", "foo:///", "https://[::1]/", "data:x ?y" }
    for _ = 1, support.rounds(1500) do
      local u = url.parse(starts[random(#starts)])
      for _ = 1, random(6) do
        local name, value, before = NAMES[random(#NAMES)], random_text(random), u.href
        local accepted = u:set(name, value)
        local what = ("%s of %s to %q"):format(name, before, value)
        check(u, what)
        assert.is_true(accepted or u.href == before or name == "host", what)
      end
    end
  end))

  it("come back from queries and from %XX", support.outside(function()
    local random = generator(99)
    for _ = 1, support.rounds(2000) do
      local name, value = random_text(random), random_text(random)
      assert.equal(value, url.percent_decode(url.percent_encode(value)))
      local query = url.encode_query({ { name, value }, { value, name } })
      assert.is_nil(query:find("[^!-~]"))
      local list = url.decode_query(query)
      assert.equal(2, #list)
      if not (name .. value):find("[\128-\255]") then
        assert.same({ { name, value }, { value, name } }, list)
      end
    end
  end))
end)
