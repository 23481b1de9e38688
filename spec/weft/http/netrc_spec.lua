-- SPDX-License-Identifier: MIT
-- weft.http.netrc: the format, which file may be used, and what is said of one that may
-- not.

local auth = require "weft.http.auth"
local netrc = require "weft.http.netrc"
local support = require "spec.support"
local weft = require "weft"

local function basic(login, password)
  return auth.basic_auth(login, password):encode()
end

-- What a text has for a host.
local function find(text, host)
  local found = netrc.parse(text, "netrc"):find(host)
  return found and found:encode()
end

describe("a netrc file", function()
  it("has logins and passwords by machine", support.outside(function()
    local text = "machine a.test login u password p\n"
      .. "machine B.test\n\tuser v\r\n\taccount x\r\n  password q\r\n\ndefault login d password e"
    assert.equal(basic("u", "p"), find(text, "a.test"))
    assert.equal(basic("v", "q"), find(text, "b.TEST"))
    assert.equal(basic("d", "e"), find(text, "c.test"))
    assert.is_nil(find("machine a.test login u password p", "x.a.test"))
    assert.is_nil(find("", "a.test"))
    assert.equal(basic("u", "p"), find("machine ::1 login u password p", "[::1]"))
  end))

  it("counts from its beginning", support.outside(function()
    local text = "machine a.test login u password p machine a.test login v default login d"
      .. " machine b.test login b"
    assert.equal(basic("u", "p"), find(text, "a.test"))
    assert.equal(basic("d", ""), find(text, "b.test"))
  end))

  it("may lack parts", support.outside(function()
    assert.equal(basic("u", ""), find("machine a.test login u", "a.test"))
    assert.equal(basic("", "p"), find("machine a.test password p", "a.test"))
    assert.equal(basic("x", "p"), find("machine a.test account x password p", "a.test"))
    assert.equal(basic("", ""), find("machine a.test", "a.test"))
  end))

  it("has comments, but not in values", support.outside(function()
    local text = "# machine no\n#x\nmachine a.test # login no\nlogin u #\n"
      .. "password #p# # machine x\n#"
    assert.equal(basic("u", "#p#"), find(text, "a.test"))
    assert.is_nil(find(text, "x"))
  end))

  it("has words in quotes, and characters behind backslashes", support.outside(function()
    assert.equal(basic("a b", 'p"\\q'), find([[machine "a.test" login "a b" password "p\"\\q"]],
      "a.test"))
    assert.equal(basic("a b", 'p"q\\'), find([[machine a.test login a\ b password p"q\\]],
      "a.test"))
    assert.equal(basic("", ""), find('machine a.test login "" password ""', "a.test"))
  end))

  it("has macros, which are left out", support.outside(function()
    local text = "machine a.test login u\nmacdef init\ncd /\nmachine no login x\n\n"
      .. "password p\nmacdef last\nmachine b.test"
    assert.equal(basic("u", "p"), find(text, "a.test"))
    assert.is_nil(find(text, "no"))
    assert.is_nil(find(text, "b.test"))
    assert.is_nil(find("macdef x\n\n\nmacdef y\n", "b.test"))
  end))

  it("is refused by line where it is not in order, without its secrets", support.outside(function()
    for text, line in pairs({ ["secret"] = 1, ["login secret"] = 1, ["machine a\nlogin"] = 2,
      ["machine a\n\n  password"] = 3, ["machine"] = 1, ["machine a login b secret"] = 1,
      ['machine a login "secret'] = 1, ['machine a\nlogin "secret\n"'] = 2,
      ["macdef x\na\n\nsecret"] = 4, ["macdef"] = 1, ['machine a login "x\\'] = 1 }) do
      local e = support.raises({ "decode", "invalid_netrc" }, netrc.parse, text, "/x/netrc")
      assert.equal(line, e.line, text)
      assert.matches("^/x/netrc:" .. line .. ": ", e.message)
      assert.not_matches("secret", tostring(e))
    end
    assert.equal("Netrc<1 entries>", tostring(netrc.parse("machine a password p", "x")))
  end))

  it("is read in time that is in proportion to its length", support.outside(function()
    for _, piece in ipairs({ " ", "\n", "#\n", "macdef a\n\n", "\\", "machine a ", "default " }) do
      pcall(netrc.parse, piece:rep(support.rounds(20000)), "x")
      pcall(netrc.parse, "macdef x" .. piece:rep(support.rounds(20000)), "x")
      pcall(netrc.parse, 'machine "' .. piece:rep(support.rounds(20000)), "x")
    end
  end))

  it("cannot name whom Basic cannot send", support.outside(function()
    support.raises({ "type", "invalid_auth" }, find, "machine a login u:v", "a")
  end))
end)

-- fn(dir, reports) with an environment of its own, in which HOME is `dir`.
local function with(fn)
  return support.run(function()
    weft.fs.temporary_directory(function(dir)
      local environment, reports = { HOME = dir }, {}
      local getenv = os.getenv
      os.getenv = function(name) return environment[name] end -- luacheck: ignore
      weft.get_running_loop():set_exception_handler(function(_, context)
        reports[#reports + 1] = context
      end)
      weft.finally(function() fn(dir, reports, environment) end, function()
        os.getenv = getenv -- luacheck: ignore
        weft.get_running_loop():set_exception_handler(nil)
      end)
    end)
  end)
end

local TEXT = "machine a.test login u password p"

describe("netrc.load", function()
  it("reads ~/.netrc", with(function(dir, reports)
    weft.fs.write_file(dir .. "/.netrc", TEXT, { perms = 384 })
    assert.equal(basic("u", "p"), netrc.load():find("a.test"):encode())
    assert.is_nil(netrc.find("b.test"))
    assert.same({}, reports)
  end))

  it("reads what NETRC names instead", with(function(dir, reports, environment)
    weft.fs.write_file(dir .. "/.netrc", "machine a.test login no", { perms = 384 })
    weft.fs.write_file(dir .. "/other", TEXT)
    environment.NETRC = dir .. "/other"
    assert.equal(basic("u", "p"), netrc.find("a.test"):encode())
    assert.same({}, reports)
  end))

  it("finds nothing, quietly, where there is no ~/.netrc", with(function(_, reports, environment)
    assert.is_nil(netrc.find("a.test"))
    environment.HOME = nil
    assert.is_nil(netrc.find("a.test"))
    assert.same({}, reports)
  end))

  it("reports a file that was named and is not there", with(function(dir, reports, environment)
    environment.NETRC = dir .. "/none"
    assert.is_nil(netrc.find("a.test"))
    assert.equal(1, #reports)
    assert.equal("ENOENT", reports[1].exception.code)
    assert.matches("none are not used", reports[1].message)
  end))

  it("does not use a ~/.netrc with passwords that others may read", with(function(dir, reports)
    local path = dir .. "/.netrc"
    weft.fs.write_file(path, TEXT)
    weft.fs.chmod(path, 420) -- 0644
    assert.is_nil(netrc.find("a.test"))
    assert.equal(1, #reports)
    assert.matches("others may use it too %(mode 0644%)", reports[1].exception.message)
    weft.fs.write_file(path, "machine a.test login anonymous password x@y")
    assert.equal(basic("anonymous", "x@y"), netrc.find("a.test"):encode())
    weft.fs.write_file(path, "machine a.test login u")
    assert.equal(basic("u", ""), netrc.find("a.test"):encode())
    assert.equal(1, #reports)
  end))

  it("does not use one that is not in order, too long or no file", with(function(dir, reports,
    environment)
    environment.NETRC = dir .. "/netrc"
    weft.fs.write_file(environment.NETRC, TEXT .. "\nrubbish")
    assert.is_nil(netrc.find("a.test"))
    weft.fs.write_file(environment.NETRC, TEXT .. (" "):rep(1024 * 1024))
    assert.is_nil(netrc.find("a.test"))
    environment.NETRC = dir
    assert.is_nil(netrc.find("a.test"))
    local kinds = {}
    for i, report in ipairs(reports) do
      kinds[i] = report.exception.kind
    end
    assert.same({ "decode", "limit", "os" }, kinds)
  end))

  it("can be cancelled at any moment", with(function(dir, reports)
    weft.fs.write_file(dir .. "/.netrc", TEXT, { perms = 384 })
    local task = weft.create_task(netrc.load)
    weft.yield()
    task:cancel()
    support.raises("cancelled", weft.await, task)
    assert.same({}, reports)
  end))
end)
