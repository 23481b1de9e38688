-- SPDX-License-Identifier: MIT
-- src/proto/h1*.c. The table of cases is in spec/c/h1.c, a program that runs with the address
-- sanitizer and gives each message at every split. Here: requests that others have collected.

local cc = require "spec.c.cc"
local support = require "spec.support"

local SOURCES = "src/proto/h1.c src/proto/h1_head.c src/proto/h1_write.c src/proto/fields.c "
  .. "src/base/err.c src/base/mem.c src/base/buffer.c"

-- gunicorn's requests; its limits by default.
local DATA = (os.getenv("WEFT_DATA") or "../shared/data") .. "/gunicorn-http1/requests.json"
local FIELD, COUNT, LINE = 8190, 100, 4094

-- Its verdicts that this parser does not share, and why.
local REFUSED = {
  ["valid/009"] = "Content-Length and Transfer-Encoding together",
  ["valid/028"] = "a space before a colon",
  ["valid/099"] = "the body is shorter than its Content-Length",
  ["valid/compat_obs_fold"] = "a folded field",
  ["valid/compat_obs_fold_huge"] = "a folded field",
  ["valid/pp_01"] = "the PROXY protocol is not HTTP",
  ["valid/pp_02"] = "the PROXY protocol is not HTTP",
  ["valid/pp_04"] = "the PROXY protocol is not HTTP",
  ["valid/pp_05"] = "the PROXY protocol is not HTTP",
}
local ACCEPTED = {
  ["invalid/003c"] = "any token is a method",
  ["invalid/019"] = "what X-Forwarded-* mean is for a server to decide",
  ["invalid/040"] = "an underscore in a name is a danger to CGI alone",
}

local function program()
  return cc.unit("h1", SOURCES, nil, nil, cc.LLHTTP)
end

local function read_data()
  local file = io.open(DATA, "rb")
  local has_json, json = pcall(require, "cjson")
  if not file or not has_json then
    return nil
  end
  local text = file:read("*a")
  file:close()
  return json.decode(text)
end

-- What the program makes of each case: a list of texts, see spec/c/h1_model.h.
local function parse(cases)
  local path = os.tmpname()
  local file = assert(io.open(path, "w"))
  for _, case in ipairs(cases) do
    local config = case.config
    local field = config.limit_request_field_size or 0
    field = (field > 0 and field or FIELD) - 4 -- it counts colon, space and line end
    file:write(("%s %d %d %d\n"):format(case.raw_hex, field,
      config.limit_request_fields or COUNT, config.limit_request_line or LINE))
  end
  file:close()
  local output, status = cc.run(program(), "requests <" .. support.quote(path))
  os.remove(path)
  assert.equal(0, status, output)
  local texts = {}
  for text in output:gmatch("(.-)\n%.\n") do
    texts[#texts + 1] = text .. "\n"
  end
  assert.equal(#cases, #texts)
  return texts
end

local function escape(text)
  return (text:gsub("[%c%W]", function(c)
    if c < " " or c > "~" or c == "\\" then
      return ("\\x%02x"):format(c:byte())
    end
  end))
end

-- The data has bytes as the characters of the same number, in UTF-8.
local function latin1(text)
  return (text:gsub("([\194\195])([\128-\191])", function(lead, c)
    return string.char((lead:byte() - 194) * 64 + c:byte())
  end))
end

-- The text without what the data does not say: framing, and what follows the last message; and
-- with what gunicorn does to the parsed request.
local function bare(text, config)
  if config.header_map ~= "dangerous" then
    text = text:gsub("f %a+_[^\n]*\n", "")
  end
  if config.casefold_http_method then
    text = text:gsub("^H %S+", string.upper)
  end
  return (("\n" .. text):gsub("\n(H %S+ %[.-%] %d%.%d) [^\n]*", "\n%1")
    :gsub("\nE[^\n]*", "\nE"):gsub("\n([ft]) ([^=]+)", function(mark, name)
      return ("\n%s %s"):format(mark, name:upper())
    end))
end

local function expected(requests)
  local lines = { "" }
  for _, request in ipairs(requests) do
    lines[#lines + 1] = ("H %s [%s] %d.%d"):format(request.method, escape(latin1(request.uri)),
      request.version[1], request.version[2])
    for _, header in ipairs(request.headers) do
      lines[#lines + 1] = ("f %s=[%s]"):format(header[1], escape(latin1(header[2])))
    end
    if request.body ~= "" then
      lines[#lines + 1] = "D " .. escape(latin1(request.body))
    end
    for _, header in ipairs(request.trailers or {}) do
      lines[#lines + 1] = ("t %s=[%s]"):format(header[1], escape(latin1(header[2])))
    end
    lines[#lines + 1] = "E"
  end
  return table.concat(lines, "\n") .. "\n"
end

describe("h1", function()
  it("gives the same events at every split, and refuses what it should", function()
    local output, status = cc.run(program())
    assert.same({ "", 0 }, { output, status })
  end)

  local cases = read_data()
  it("agrees with gunicorn's verdicts but for those listed" .. (cases
    and "" or " (without them: WEFT_DATA)"), function()
    local texts, valid, invalid = parse(cases or {}), 0, 0
    for i, text in ipairs(texts) do
      local case = cases[i]
      local name, is_error = case.name, text:find("^! ") or text:find("\n! ")
      if case.expect == "ok" and not REFUSED[name] then
        valid = valid + 1
        assert.equal(expected(case.requests), bare(text, case.config), name)
      else
        invalid = invalid + (case.expect == "ok" and 0 or 1)
        assert.equal(not ACCEPTED[name], is_error ~= nil, name .. ": " .. text)
      end
    end
    if cases then
      assert.same({ 54, 37 }, { valid, invalid })
    end
  end)
end)
