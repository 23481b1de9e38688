-- SPDX-License-Identifier: MIT
-- src/net/tlsctx.c and tls_store.c: what contexts are made of, and the words for what they
-- cannot be made of, by spec/c/tls.c.

local cc = require "spec.c.cc"
local certs = require "spec.tls_certs"
local support = require "spec.support"

local function talk(format, ...)
  local program = cc.unit("tls", "src/net/tls*.c src/net/filter.c src/base/err.c src/base/mem.c",
    "libuv openssl")
  local arguments = format:format(...):gsub("{([%w._]+)}", certs.path)
  local output, status = cc.run(program, arguments)
  assert.equal(0, status, output)
  return output
end

-- The same in an environment: "NAME=value ...".
local function talk_in(environment, arguments)
  local path = cc.unit("tls", "src/net/tls*.c src/net/filter.c src/base/err.c src/base/mem.c",
    "libuv openssl")
  local pipe = io.popen(("unset LD_PRELOAD; %s ./%s %s 2>&1"):format(
    environment:gsub("{([%w._]+)}", certs.path), path, (arguments:gsub("{([%w._]+)}", certs.path))))
  local output = pipe:read("*a")
  pipe:close()
  return output
end

local GOOD = "s.cert={a.pem} s.key={a.key} "
local CLIENT = "c.ca={root.pem} c.host=a.test "

local function is_fine(output)
  assert.truthy(output:find("client: ok", 1, true), output)
  assert.truthy(output:find("server: ok", 1, true), output)
end

describe("tlsctx", function()
  describe("refuses", function()
    local cases = {
      ["a key that is another certificate's"] = { "server: context KEY_VALUES_MISMATCH: key: it "
        .. "does not belong to the certificate", "s.cert={a.pem} s.key={b.key}" },
      ["a key of another kind"] = { "server: context KEY_VALUES_MISMATCH: key: it does not belong "
        .. "to the certificate", "s.cert={a.pem} s.key={rsa.key}" },
      ["a locked key without its password"] = { "server: context BAD_PASSWORD: key: it is "
        .. "encrypted, and key_password is not given", "s.cert={a.pem} s.key={a.locked.key}" },
      ["a locked key with another password"] = { "server: context BAD_PASSWORD: key: the password "
        .. "is wrong", "s.cert={a.pem} s.key={a.locked.key} s.password=guess" },
      ["a certificate that is none"] = { "server: context NO_CERTIFICATE: cert: no certificate in "
        .. "it", "s.cert={a.key} s.key={a.key}" },
      ["a key that is none"] = { "server: context NO_KEY: key: no private key in it",
        "s.cert={a.pem} s.key={a.pem}" },
      ["a certificate without a key"] = { "server: context NO_KEY: key: no private key in it",
        "s.cert={a.pem}" },
      ["authorities without a certificate"] = { "client: context NO_CERTIFICATE: ca: no "
        .. "certificate in it", GOOD .. "c.ca={a.key}" },
      ["authorities that are damaged"] = { "client: context BAD_END_LINE: ca: bad end line",
        GOOD .. "c.ca_text='-----BEGIN CERTIFICATE-----\nAAAA\n-----END X-----\n'" },
      ["an own certificate that is too weak to be verified"] = { "server: context CA_MD_TOO_WEAK: "
        .. "cert: the certificate's signature algorithm is too weak",
        "s.cert={sha1.pem} s.key={sha1.key}" },
      ["ciphers that do not exist"] = { "client: context NO_CIPHER_MATCH: ciphers: no cipher match",
        GOOD .. "c.ciphers=BOGUS" },
      ["suites that do not exist"] = { "client: context NO_CIPHER_MATCH: ciphersuites: no cipher "
        .. "match", GOOD .. "c.ciphersuites=BOGUS" },
      ["a key log that cannot be opened"] = { "client: context KEYLOG_FILE: keylog_file: cannot "
        .. "open /nowhere/keys: No such file or directory", GOOD .. "c.keylog=/nowhere/keys" },
    }
    for name, case in pairs(cases) do
      it(name, function()
        local output = talk(case[2])
        assert.truthy(output:find(case[1] .. "\n", 1, true), output)
      end)
    end
  end)

  it("takes a certificate and its key from one text", function()
    is_fine(talk("s.cert={a.both.pem} " .. CLIENT))
  end)

  it("opens a locked key", function()
    is_fine(talk("s.cert={a.pem} s.key={a.locked.key} s.password=secret " .. CLIENT))
  end)

  it("keeps few sessions of a peer whose connections come one by one", function()
    local output = talk(GOOD .. CLIENT .. "rounds=%d", support.rounds(30))
    assert.truthy(output:find("sessions: 2", 1, true), output)
    output = talk(GOOD .. CLIENT .. "rounds=3 layers=2 amount=10")
    local count = tonumber(output:match("sessions: (%d+)"))
    assert.is_true(count > 0 and count <= 4, output)
  end)

  describe("the system's authorities", function()
    it("are those of SSL_CERT_FILE", function()
      is_fine(talk_in("SSL_CERT_FILE={root.pem}", GOOD .. "c.host=a.test"))
    end)

    it("are those of SSL_CERT_DIR", function()
      is_fine(talk_in("SSL_CERT_DIR={hashed}", GOOD .. "c.host=a.test"))
    end)

    it("may be missing: then the issuer is unknown", function()
      local output = talk_in("SSL_CERT_FILE=/nowhere SSL_CERT_DIR=/nowhere",
        GOOD .. "c.host=a.test")
      assert.truthy(output:find("client: ETLS UNABLE_TO_GET_ISSUER_CERT_LOCALLY", 1, true), output)
    end)

    it("are not asked where others are given", function()
      local output = talk_in("SSL_CERT_FILE={root.pem}", GOOD .. "c.host=a.test c.ca={other.pem}")
      assert.truthy(output:find("client: ETLS UNABLE_TO_GET_ISSUER_CERT_LOCALLY", 1, true), output)
    end)
  end)

  describe("the key log", function()
    local function logged(run)
      local path = os.tmpname()
      run(path)
      local file = assert(io.open(path))
      local text = file:read("*a")
      file:close()
      os.remove(path)
      return text
    end

    it("has the secrets of each connection", function()
      local text = logged(function(path)
        is_fine(talk(GOOD .. CLIENT .. "c.keylog=" .. path))
      end)
      assert.truthy(text:find("^SERVER_HANDSHAKE_TRAFFIC_SECRET %x+ %x+\n"), text)
      assert.truthy(text:find("\nCLIENT_TRAFFIC_SECRET_0 %x+ %x+\n"), text)
    end)

    it("is the file of SSLKEYLOGFILE when none is named", function()
      local text = logged(function(path)
        is_fine(talk_in("SSLKEYLOGFILE=" .. path, GOOD .. CLIENT .. "c.max=303"))
      end)
      assert.truthy(text:find("CLIENT_RANDOM %x+ %x+\n"), text)
    end)
  end)
end)
