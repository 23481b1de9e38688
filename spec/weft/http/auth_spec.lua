-- SPDX-License-Identifier: MIT
-- weft.http.auth: Basic and Bearer, functions, and what is refused; how an option of a session
-- is taken.

local auth = require "weft.http.auth"
local hops = require "spec.weft.http.hops"
local support = require "spec.support"
local urls = require "weft.url"

local function applied(object)
  local request = hops.request("GET", "http://a.test/")
  object:apply(request)
  return hops.authorization(request)
end

describe("basic_auth", function()
  it("sends name and password in base64, as RFC 7617 has it", support.outside(function()
    assert.equal("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
      applied(auth.basic_auth("Aladdin", "open sesame")))
    assert.equal("Basic dGVzdDoxMjPCow==", auth.basic_auth("test", "123£"):encode())
    assert.equal("Basic dGVzdDoxMjOj", auth.basic_auth("test", "123£", "latin1"):encode())
    assert.equal("Basic dTo=", auth.basic_auth("u"):encode())
    assert.equal("Basic OmE6Yg==", auth.basic_auth("", "a:b"):encode())
    assert.is_false(auth.basic_auth("u", "p"):challenged({}, hops.head(401)))
  end))

  it("refuses what cannot be sent", support.outside(function()
    local refused = { "type", "invalid_auth" }
    assert.matches("':'", support.raises(refused, auth.basic_auth, "a:b", "c").message)
    for _, text in ipairs({ "a\r\nb", "\0", "a\127" }) do
      assert.matches("the login has a control", support.raises(refused, auth.basic_auth, text, "b")
        .message)
      assert.matches("the password has a control", support.raises(refused, auth.basic_auth, "b",
        text).message)
    end
    assert.matches("latin1 lacks", support.raises(refused, auth.basic_auth, "ж", "b", "latin1")
      .message)
    assert.matches("not UTF%-8", support.raises(refused, auth.basic_auth, "\255", "b", "latin1")
      .message)
    assert.matches("'utf%-8'", support.raises("type", auth.basic_auth, "a", "b", "utf-7").message)
    support.raises("type", auth.basic_auth)
    support.raises("type", auth.basic_auth, "a", 1)
  end))

  it("comes from a URL, decoded", support.outside(function()
    local function from(text)
      local found = auth.from_url(urls.parse(text))
      return found and found:encode()
    end
    assert.is_nil(from("http://a.test/"))
    assert.equal(auth.basic_auth("u@x", "p:/"):encode(), from("http://u%40x:p%3A%2F@a.test/"))
    assert.equal(auth.basic_auth("u", ""):encode(), from("http://u@a.test/"))
    assert.equal(auth.basic_auth("", "p"):encode(), from("http://:p@a.test/"))
  end))
end)

describe("bearer_auth", function()
  it("sends the token", support.outside(function()
    assert.equal("Bearer mF_9.B5f-4.1JqM==", applied(auth.bearer_auth("mF_9.B5f-4.1JqM==")))
  end))

  it("refuses what is no token, without showing it", support.outside(function()
    for _, token in ipairs({ "", "sec ret", "secret\r\nX: y", "secr\195\169t" }) do
      local e = support.raises({ "type", "invalid_auth" }, auth.bearer_auth, token)
      assert.not_matches("sec", tostring(e))
    end
  end))
end)

describe("an auth option", function()
  it("may be an object or nothing", support.outside(function()
    assert.is_nil(auth.check(nil))
    assert.is_false(auth.check(false) or false)
    for _, object in ipairs({ auth.basic_auth("u", "p"), auth.bearer_auth("t"),
      auth.digest_auth("u", "p") }) do
      assert.equal(object, auth.check(object))
    end
  end))

  it("may be a function, which sets what it likes or returns a value", support.outside(function()
    local seen
    local object = auth.check(function(request)
      seen = request.method
      request.message.fields:set("X-Key", "k")
    end)
    local request = hops.request("PUT", "http://a.test/")
    object:apply(request)
    assert.same({ "PUT", "k" }, { seen, request.message.fields:get("X-Key") })
    assert.is_nil(hops.authorization(request))
    assert.is_false(object:challenged(request, hops.head(401)))
    assert.equal("Own x", applied(auth.check(function() return "Own x" end)))
    support.raises("type", applied, auth.check(function() return 1 end))
  end))

  it("is nothing else", support.outside(function()
    for _, value in ipairs({ "user:password", { "user", "password" }, 1 }) do
      local e = support.raises({ "type", "invalid_auth" }, auth.check, value)
      assert.matches("basic_auth", e.message)
      assert.not_matches("password$", e.message)
    end
    support.raises("type", auth.check, { apply = print })
  end))

  it("does not show its secret as text", support.outside(function()
    assert.equal("BasicAuth<login=u>", tostring(auth.basic_auth("u", "secret")))
    assert.equal("BearerAuth<>", tostring(auth.bearer_auth("secret")))
    assert.equal("DigestAuth<login=u>", tostring(auth.digest_auth("u", "secret")))
  end))
end)
