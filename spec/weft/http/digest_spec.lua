-- SPDX-License-Identifier: MIT
-- weft.http.digest: the examples of RFC 7616, 2617 and 2069, what servers challenge with, and
-- where an answer goes.

local challenges = require "weft.http.challenges"
local core = require "weft.core"
local digest = require "weft.http.digest"
local hops = require "spec.weft.http.hops"
local support = require "spec.support"

local function md5(...)
  return (core.hash("md5", table.concat({ ... }, ":")):gsub(".", function(c)
    return ("%02x"):format(c:byte())
  end))
end

local function object(login, password, cnonce, opts)
  local auth = digest.digest_auth(login, password, opts)
  if cnonce then
    auth._make_cnonce = function() return cnonce end
  end
  return auth
end

-- The parameters of what the request says; nil if it says nothing.
local function sent(auth, request)
  auth:apply(request)
  local value = hops.authorization(request)
  if value then
    local list = challenges.parse({ value })
    assert.equal(1, #list)
    assert.equal("digest", list[1].scheme)
    return list[1].params
  end
end

-- The same after the server's challenges.
local function answer(auth, request, ...)
  if not auth:challenged(request, hops.head(401, { ["WWW-Authenticate"] = { ... } })) then
    return nil
  end
  return sent(auth, request)
end

local function get(url, body)
  return hops.request(body and "POST" or "GET", url or "http://a.test/x", body)
end

describe("digest_auth", function()
  it("answers as in RFC 7616", support.outside(function()
    local nonce, opaque = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
      "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"
    local cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
    for algorithm, response in pairs({ MD5 = "8ca523f5e9506fed4657c9700eebdbec",
      ["SHA-256"] = "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1" }) do
      local auth = object("Mufasa", "Circle of Life", cnonce)
      local request = get("http://www.example.org/dir/index.html")
      assert.is_nil(sent(auth, request))
      assert.same({ username = "Mufasa", realm = "http-auth@example.org",
        uri = "/dir/index.html", algorithm = algorithm, nonce = nonce, nc = "00000001",
        cnonce = cnonce, qop = "auth", response = response, opaque = opaque },
        answer(auth, request, ('Digest realm="http-auth@example.org", qop="auth, auth-int", '
          .. 'algorithm=%s, nonce="%s", opaque="%s"'):format(algorithm, nonce, opaque)))
    end
  end))

  it("answers as in RFC 7616 with a hashed name, errata applied", support.outside(function()
    local cnonce = "NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v"
    local auth = object("Jäsøn Doe", "Secret, or not?", cnonce)
    local params = answer(auth, get("http://api.example.org/doe.json"),
      'Digest realm="api@example.org", qop="auth", algorithm=SHA-512-256, '
      .. 'nonce="5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK", '
      .. 'opaque="HRPCssKJSGjCrkzDg8OhwpzCiGPChXYjwrI2QmXDnsOS", charset=UTF-8, userhash=true')
    assert.equal("793263caabb707a56211940d90411ea4a575adeccb7e360aeb624ed06ece9b0b",
      params.username)
    assert.equal("3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5",
      params.response)
    assert.equal("true", params.userhash)
  end))

  it("answers as in RFC 2617", support.outside(function()
    local auth = object("Mufasa", "Circle Of Life", "0a4f113b")
    local params = answer(auth, get("http://www.nowhere.org/dir/index.html"),
      'Digest realm="testrealm@host.com", qop="auth,auth-int", '
      .. 'nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", opaque="5ccc069c403ebaf9f0171e9517f40e41"')
    assert.equal("6629fae49393a05397450978507c4ef1", params.response)
    assert.is_nil(params.algorithm)
  end))

  it("answers as in RFC 2069, errata applied", support.outside(function()
    local auth = object("Mufasa", "CircleOfLife")
    local params = answer(auth, get("http://www.nowhere.org/dir/index.html"),
      'Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093"')
    assert.same({ username = "Mufasa", realm = "testrealm@host.com",
      nonce = "dcd98b7102dd2f0e8b11d0f600bfb0c093", uri = "/dir/index.html",
      response = "1949323746fe6a43ef61f9606e7febea" }, params)
  end))

  it("makes the key of a session of the first nonces", support.outside(function()
    local auth = object("u", "p", "c")
    local request = get()
    local params = answer(auth, request,
      'Digest realm="r", nonce="n", algorithm=MD5-sess, qop=auth')
    local ha1, ha2 = md5(md5("u:r:p"), "n", "c"), md5("GET:/x")
    assert.equal(md5(ha1, "n", "00000001", "c", "auth", ha2), params.response)
    assert.equal("MD5-sess", params.algorithm)
    auth:challenged(request, hops.head(200, { ["Authentication-Info"] = 'nextnonce="m"' }))
    assert.equal(md5(ha1, "m", "00000001", "c", "auth", ha2), sent(auth, get()).response)
    params = answer(object("u", "p", "c"), get(), 'Digest realm="r",nonce="n",algorithm=md5-SESS')
    assert.equal(md5(ha1, "n", ha2), params.response)
    assert.equal("c", params.cnonce)
  end))

  it("hashes the body where only auth-int is offered", support.outside(function()
    local challenge = 'Digest realm="r", nonce="n", qop="auth-int"'
    local ha1 = md5("u:r:p")
    for _, body in ipairs({ "hello", { "he", "llo" } }) do
      local params = answer(object("u", "p", "c"), get(nil, body), challenge)
      assert.equal("auth-int", params.qop)
      assert.equal(md5(ha1, "n", "00000001", "c", "auth-int", md5("POST:/x", md5("hello"))),
        params.response)
    end
    local params = answer(object("u", "p", "c"), get(), challenge)
    assert.equal(md5(ha1, "n", "00000001", "c", "auth-int", md5("GET:/x", md5(""))),
      params.response)
    local function source() end
    assert.is_nil(answer(object("u", "p"), get(nil, source), challenge))
    assert.equal("auth", answer(object("u", "p"), get(nil, source), challenge,
      'Digest realm="r", nonce="n", qop="x,auth"').qop)
    local auth = object("u", "p")
    assert.is_truthy(answer(auth, get(), challenge))
    assert.is_nil(sent(auth, get(nil, source)))
  end))

  it("has the query in what it signs", support.outside(function()
    for url, uri in pairs({ ["http://a.test"] = "/", ["http://a.test/b?c=d%20e#f"] = "/b?c=d%20e",
      ["http://a.test/?"] = "/?" }) do
      assert.equal(uri, answer(object("u", "p"), get(url), 'Digest realm="r", nonce="n"').uri)
    end
  end))

  it("quotes what it repeats", support.outside(function()
    local params = answer(object('a"b\\c', "p"), get(),
      [[Digest realm="say \"x\\y\"", nonce="n, \"m", opaque="\\", qop="auth"]])
    assert.same({ 'say "x\\y"', 'n, "m', "\\", 'a"b\\c' },
      { params.realm, params.nonce, params.opaque, params.username })
  end))

  it("spells a name in UTF-8 so that it is known as that", support.outside(function()
    assert.equal("UTF-8''J%C3%A4s%20%22o%22",
      answer(object('Jäs "o"', "p"), get(), 'Digest realm="r", nonce="n", charset=UTF-8')
        ["username*"])
    assert.equal("Jäs", answer(object("Jäs", "p"), get(), 'Digest realm="r", nonce="n"').username)
  end))

  it("takes the first challenge that it can answer", support.outside(function()
    local function first(...)
      local params = answer(object("u", "p"), get(), ...)
      return params and params.nonce
    end
    assert.equal("2", first('Basic realm="b", Digest nonce="1", algorithm=SHA-3, '
      .. 'Digest nonce="2", algorithm=SHA-256, Digest nonce="3"'))
    assert.equal("2", first("Negotiate", 'Digest realm="none"', 'Digest nonce="2", realm="r"'))
    assert.equal("2", first('Digest nonce="1", qop="other"', 'Digest nonce="2"'))
    assert.is_nil(first('Basic realm="b"'))
    assert.is_nil(first())
  end))

  it("gives up when the answer was wrong", support.outside(function()
    local auth, request = object("u", "p"), get()
    assert.is_truthy(answer(auth, request, 'Digest realm="r", nonce="1"'))
    assert.is_nil(answer(auth, request, 'Digest realm="r", nonce="2"'))
    assert.is_nil(sent(auth, get())) -- nor does it try that again
  end))

  it("answers again when the nonce was stale, but not for ever", support.outside(function()
    local auth, request = object("u", "p"), get()
    local count = 0
    while answer(auth, request, ('Digest realm="r", nonce="%d", qop=auth, stale=TRUE')
      :format(count)) do
      count = count + 1
    end
    assert.equal(3, count)
  end))

  it("sends its answer at once to where it was asked for before", support.outside(function()
    local auth, request = object("u", "p"), get("http://a.test/x/y")
    answer(auth, request, 'Digest realm="r", nonce="n", qop=auth')
    assert.is_false(auth:challenged(request, hops.head(200)))
    for i = 2, 12 do
      assert.equal(("%08x"):format(i), sent(auth, get("http://a.test/" .. i)).nc)
    end
    for _, other in ipairs({ "https://a.test/", "http://a.test:81/", "http://b.a.test/" }) do
      assert.is_nil(sent(auth, get(other)), other)
    end
    request = get()
    sent(auth, request)
    assert.equal("00000001", answer(auth, request, 'Digest realm="r", nonce="m", qop=auth').nc)
    assert.equal("m", sent(auth, get()).nonce)
  end))

  it("does not where it was told so", support.outside(function()
    local auth, request = object("u", "p", nil, { preemptive = false }), get()
    assert.is_truthy(answer(auth, request, 'Digest realm="r", nonce="n"'))
    assert.is_nil(sent(auth, get()))
    support.raises("type", digest.digest_auth, "u", "p", { preemptiv = true })
  end))

  it("sends it to the paths of the domain only", support.outside(function()
    local auth, request = object("u", "p"), get("http://a.test/login")
    local challenge = 'Digest realm="r", nonce="n", '
      .. 'domain="/in http://a.test/b/ //evil.test/ http://["'
    assert.is_truthy(answer(auth, request, challenge)) -- though its own path is not in it
    for path, is_in in pairs({ ["/in"] = true, ["/in/x"] = true, ["/in?x"] = true, ["/b/"] = true,
      ["/b/c"] = true, ["/b"] = false, ["/inside"] = false, ["/"] = false, ["/login"] = false }) do
      assert.equal(is_in, sent(auth, get("http://a.test" .. path)) ~= nil, path)
    end
    assert.is_nil(sent(auth, get("http://evil.test/")))
  end))

  it("keeps realms of one server apart", support.outside(function()
    local auth = object("u", "p")
    answer(auth, get("http://a.test/"), 'Digest realm="all", nonce="1"')
    answer(auth, get("http://a.test/b/"), 'Digest realm="b", nonce="2", domain="/b/"')
    answer(auth, get("http://a.test/b/c/"), 'Digest realm="c", nonce="3", domain="/b/c/"')
    for path, nonce in pairs({ ["/"] = "1", ["/b/x"] = "2", ["/b/c/x"] = "3", ["/bc"] = "1" }) do
      assert.equal(nonce, sent(auth, get("http://a.test" .. path)).nonce)
    end
  end))

  it("takes the next nonce that a response gives", support.outside(function()
    local auth, request = object("u", "p"), get()
    answer(auth, request, 'Digest realm="r", nonce="1", qop=auth')
    assert.is_false(auth:challenged(request, hops.head(200,
      { ["Authentication-Info"] = 'rspauth="x", nextnonce="2"' })))
    local params = sent(auth, get())
    assert.same({ "2", "00000001" }, { params.nonce, params.nc })
    -- One who sent nothing is told nothing.
    assert.is_false(auth:challenged(get(), hops.head(200, { ["Authentication-Info"] =
      'nextnonce="3"' })))
    assert.equal("2", sent(auth, get()).nonce)
  end))

  it("remembers a bounded number of challenges", support.outside(function()
    local auth = object("u", "p")
    for i = 1, 1001 do
      answer(auth, get(("http://h%d.test/"):format(i)), 'Digest realm="r", nonce="n"')
    end
    assert.is_nil(sent(auth, get("http://h1.test/")))
    assert.is_truthy(sent(auth, get("http://h2.test/")))
    for i = 1, 100 do
      answer(auth, get("http://h9.test/"), ('Digest realm="%d", nonce="n"'):format(i))
    end
    assert.equal(16, #auth._origins["http://h9.test"])
    assert.equal("100", sent(auth, get("http://h9.test/")).realm)
  end))

  it("makes another nonce of its own for each challenge", support.outside(function()
    local auth = object("u", "p")
    local function cnonce()
      return answer(auth, get(), 'Digest realm="r", nonce="n", qop=auth').cnonce
    end
    assert.matches("^%x+$", cnonce())
    assert.not_equal(cnonce(), cnonce())
  end))

  it("refuses what is no name or password", support.outside(function()
    support.raises({ "type", "invalid_auth" }, digest.digest_auth, "a\nb", "p")
    support.raises("type", digest.digest_auth, "a")
    support.raises("type", digest.digest_auth, nil, "p")
  end))
end)
