-- SPDX-License-Identifier: MIT
-- weft.http.challenges: challenges in one field and in several, with all that quoting allows;
-- and what is lost of those that break the rules.

local challenges = require "weft.http.challenges"
local support = require "spec.support"

local function parsed(...)
  local list = challenges.parse({ ... })
  local shown = {}
  for i, challenge in ipairs(list) do
    shown[i] = { challenge.scheme, challenge.token68 or challenge.params }
  end
  return shown
end

describe("challenges", function()
  it("are found in one field and in several", support.outside(function()
    assert.same({ { "newauth", { realm = "apps", type = "1", title = 'Login to "apps"' } },
      { "basic", { realm = "simple" } } },
      parsed('Newauth realm="apps", type=1, title="Login to \\"apps\\"", Basic realm="simple"'))
    assert.same({ { "digest", { realm = "a", nonce = "b" } }, { "basic", { realm = "c" } } },
      parsed('Digest realm="a", nonce="b"', 'Basic realm="c"'))
    assert.same({}, parsed())
    assert.same({}, parsed("", " , ,"))
  end))

  it("may have no parameters, or a token68", support.outside(function()
    assert.same({ { "negotiate", {} }, { "ntlm", {} } }, parsed("Negotiate, NTLM"))
    assert.same({ { "negotiate", "YII+a/b==" }, { "basic", { realm = "x" } } },
      parsed('Negotiate YII+a/b== , Basic realm="x"'))
    assert.same({ { "a", { b = "c" } }, { "negotiate", {} } }, parsed("A b=c, Negotiate"))
    assert.same({ { "a", "b=" } }, parsed("A b="))
  end))

  it("take spaces, tabs and empty elements where lists do", support.outside(function()
    assert.same({ { "digest", { realm = "a", nonce = "b", qop = "auth" } } },
      parsed(',  Digest\trealm = "a",,\tnonce\t=\t"b" , qop=auth ,'))
  end))

  it("keep commas, equal signs and scheme names that are quoted", support.outside(function()
    assert.same({ { "digest", { domain = "/a, /b", realm = 'x", Basic realm="y', qop = "" } } },
      parsed([[Digest domain="/a, /b", realm="x\", Basic realm=\"y", qop=""]]))
    assert.same({ { "digest", { realm = "a\\b" } } }, parsed([[Digest realm="a\\b"]]))
  end))

  it("have names without case, of which the first counts", support.outside(function()
    assert.same({ { "digest", { realm = "a" } } }, parsed('DIGEST REALM="a", realm="b"'))
  end))

  it("lose what cannot be understood, and no more", support.outside(function()
    assert.same({ { "basic", { realm = "x" } } }, parsed('@@ nonce="a, b", Basic realm="x"'))
    assert.same({ { "digest", { realm = "a" } } }, parsed('Digest realm="a", nonce="b'))
    assert.same({ { "digest", { realm = "a", opaque = "c" } } },
      parsed('Digest realm="a"x, nonce=, opaque="c"'))
    assert.same({}, parsed('realm="a", nonce="b"'))
    assert.same({ { "digest", {} } }, parsed('Digest "a"'))
  end))

  it("are read in time that is in proportion to their length", support.outside(function()
    local size = support.rounds(100000)
    for _, piece in ipairs({ ",", " ", "=", "a", '"', "\\", 'a="', "a=b,", "a b,", '"\\', "= " }) do
      challenges.parse({ "Digest " .. piece:rep(size) })
      challenges.parse({ piece:rep(size) })
      challenges.parse_params(piece:rep(size))
    end
  end))

  it("need no order in an Authentication-Info", support.outside(function()
    assert.same({ nextnonce = "n, 1", qop = "auth", nc = "00000001" },
      challenges.parse_params('nextnonce="n, 1" , qop=auth, ?, nc=00000001'))
  end))

  it("are quoted so that they are read as they were", support.outside(function()
    for _, text in ipairs({ "", 'a"b', "a\\b", '\\"', "a, b=c" }) do
      assert.same({ x = text }, challenges.parse_params("x=" .. challenges.quote(text)))
    end
  end))
end)
