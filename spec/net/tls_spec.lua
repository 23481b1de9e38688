-- SPDX-License-Identifier: MIT
-- src/net/tls.c and the files it is made of (verify, ocsp, session, bio): two ends that talk
-- over memory, by spec/c/tls.c, which prints what each came to.

local cc = require "spec.c.cc"
local certs = require "spec.tls_certs"
local support = require "spec.support"

-- What the program says for these arguments; {NAME} stands for the path of a certificate's file.
local function talk(format, ...)
  local program = cc.unit("tls", "src/net/tls*.c src/net/filter.c src/base/err.c src/base/mem.c",
    "libuv openssl")
  local arguments = format:format(...):gsub("{([%w._]+)}", certs.path)
  local output, status = cc.run(program, arguments)
  assert.equal(0, status, output)
  return output
end

local GOOD = "s.cert={a.pem} s.key={a.key} "
local CLIENT = "c.ca={root.pem} c.host=a.test "

local function server(name, chain)
  return ("s.cert={%s.%spem} s.key={%s.key} "):format(name, chain or "", name)
end

local function is_fine(output)
  assert.truthy(output:find("client: ok", 1, true), output)
  assert.truthy(output:find("server: ok", 1, true), output)
end

-- Fails unless the side says exactly this.
local function says(output, side, words)
  local line = output:match(side .. ": ([^\n]*)")
  assert.equal(words, line, output)
end

local function lines(output, pattern)
  local _, count = output:gsub(pattern, "")
  return count
end

describe("tls", function()
  describe("moves bytes", function()
    it("one at a time, in all states", function()
      is_fine(talk(GOOD .. CLIENT .. "split=1 amount=300"))
      is_fine(talk(GOOD .. CLIENT .. "split=1 amount=300 c.max=303"))
    end)

    it("in portions of any size, through wires of any size", function()
      for seed = 1, support.rounds(40) do
        local split, room = 1 + (seed * 7919) % 20000, 1 + (seed * 104729) % 30000
        is_fine(talk(GOOD .. CLIENT .. "amount=%d split=%d room=%d seed=%d %s",
          (seed * 1299709) % 100000, split, room, seed, seed % 2 == 0 and "c.max=303" or ""))
      end
    end)

    it("through TLS in TLS in TLS", function()
      local output = talk(GOOD .. CLIENT .. "layers=3 amount=200000 split=3000 room=5000")
      is_fine(output)
    end)

    it("of a megabyte at once", function()
      is_fine(talk(GOOD .. CLIENT .. "amount=1000000"))
    end)

    it("of none: both only close", function()
      is_fine(talk(GOOD .. CLIENT .. "amount=0"))
    end)
  end)

  describe("accepts", function()
    local cases = {
      ["the host in the certificate"] = { server "a", "c.host=a.test" },
      ["another of its names, in capitals, with a dot at the end"] =
        { server "a", "c.host=WWW.a.TEST." },
      ["a name below a wildcard"] = { server "wild", "c.host=x.wild.test" },
      ["an IPv4 address"] = { server "ip", "c.host=192.0.2.7" },
      ["an IPv6 address, however it is written"] = { server "ip", "c.host=2001:DB8:0::7" },
      ["a chain that is sent whole"] = { server("viamid", "chain."), "c.host=a.test" },
      ["a chain with a root that need not be sent"] = { server("viamid", "full."),
        "c.host=a.test" },
      ["a name that its issuer may certify"] = { server("inside", "chain."),
        "c.host=x.allowed.test" },
      ["an RSA key"] = { server "rsa", "c.host=a.test" },
      ["what was valid at verify_time"] = { server "expired", "c.host=a.test c.time=1700000000" },
      ["what will be valid at verify_time"] = { server "future",
        "c.host=a.test c.time=2500000000" },
      ["authorities from a directory"] = { server "a", "c.host=a.test c.ca_path={hashed}",
        ca = "" },
    }
    for name, case in pairs(cases) do
      it(name, function()
        local output = talk(case[1] .. case[2] .. " " .. (case.ca or "c.ca={root.pem}"))
        is_fine(output)
        assert.truthy(output:find("verified=1", 1, true), output)
      end)
    end
  end)

  describe("refuses", function()
    local unknown = "ETLS UNABLE_TO_GET_ISSUER_CERT_LOCALLY: unable to get local issuer "
      .. "certificate"
    local weak = "s.ciphers=ALL@SECLEVEL=0 "
    local cases = {
      ["an expired certificate"] = { server "expired", CLIENT,
        "ETLS CERT_HAS_EXPIRED: certificate has expired on " .. certs.EXPIRED_ON },
      ["one that is not valid yet"] = { server "future", CLIENT,
        "ETLS CERT_NOT_YET_VALID: certificate is not valid before " .. certs.VALID_FROM },
      ["an expired issuer, by name"] = { server "a", CLIENT .. "c.time=2600000000",
        'ETLS CERT_HAS_EXPIRED: certificate of the issuer "weft root" has expired on 2050-01-01' },
      ["another host"] = { server "a", "c.ca={root.pem} c.host=b.test",
        "ETLS HOSTNAME_MISMATCH: host name mismatch: asked for b.test, certificate is for "
        .. "a.test, www.a.test" },
      ["a name two levels below a wildcard"] = { server "wild",
        "c.ca={root.pem} c.host=x.y.wild.test", "ETLS HOSTNAME_MISMATCH: host name mismatch: "
        .. "asked for x.y.wild.test, certificate is for *.wild.test, wild.test" },
      ["a wildcard that is a part of a label"] = { server "partial",
        "c.ca={root.pem} c.host=www.part.test", "ETLS HOSTNAME_MISMATCH: host name mismatch: "
        .. "asked for www.part.test, certificate is for w*.part.test" },
      ["an address that is not in the certificate"] = { server "a",
        "c.ca={root.pem} c.host=192.0.2.7", "ETLS IP_ADDRESS_MISMATCH: host name mismatch: "
        .. "asked for 192.0.2.7, certificate is for a.test, www.a.test" },
      ["a name where there are addresses"] = { server "ip", CLIENT, "ETLS HOSTNAME_MISMATCH: "
        .. "host name mismatch: asked for a.test, certificate is for 192.0.2.7, 2001:db8::7" },
      ["a common name in place of a name"] = { server "nameless", CLIENT,
        "ETLS HOSTNAME_MISMATCH: host name mismatch: asked for a.test, certificate is for no "
        .. "name" },
      ["one that signed itself"] = { server "self", CLIENT,
        "ETLS DEPTH_ZERO_SELF_SIGNED_CERT: self-signed certificate" },
      ["one of an authority nobody trusts"] = { server "untrusted", CLIENT, unknown },
      ["the same with its root"] = { server("untrusted", "full."), CLIENT,
        "ETLS SELF_SIGNED_CERT_IN_CHAIN: self-signed certificate in the chain: its root is not "
        .. 'trusted ("weft other")' },
      ["a chain in which one is missing"] = { server "viamid", CLIENT, unknown },
      ["a chain that does not reach a root"] = { server("viamid", "chain."),
        "c.ca={mid.pem} c.host=a.test",
        'ETLS UNABLE_TO_GET_ISSUER_CERT: unable to get issuer certificate ("weft mid")' },
      ["what the system's authorities do not know"] = { server "a", "c.host=a.test", unknown },
      ["one for clients"] = { server "clientonly", CLIENT,
        "ETLS INVALID_PURPOSE: certificate has the wrong purpose: it is not for a TLS server" },
      ["a name that its issuer may not certify"] = { server("outside", "chain."), CLIENT,
        "ETLS PERMITTED_VIOLATION: certificate is for a name that its issuer may not certify" },
      ["one issued by a server's certificate"] = { server("byleaf", "chain."), CLIENT,
        "ETLS INVALID_CA: a certificate was issued by one that is not an authority's "
        .. '("weft notca")' },
      ["a signature with SHA-1"] = { server "sha1" .. weak, "c.ca={mid1.pem} c.host=a.test",
        "ETLS CA_MD_TOO_WEAK: certificate's signature algorithm is too weak" },
      ["a key of 1024 bits"] = { server "small" .. weak, CLIENT,
        "ETLS EE_KEY_TOO_SMALL: certificate's key is too small" },
    }
    for name, case in pairs(cases) do
      it(name, function()
        says(talk(case[1] .. case[2]), "client", case[3])
      end)
    end

    it("to verify without a name to verify", function()
      says(talk(GOOD .. "c.ca={root.pem}"), "client", "none NO_HOST: a host name is needed to "
        .. "verify the certificate: give server_hostname")
    end)

    it("nothing where it is told not to verify", function()
      local output = talk(server "expired" .. "c.verify=1")
      is_fine(output)
      assert.falsy(output:find("verified=1", 1, true), output)
    end)
  end)

  describe("pins", function()
    local function hex()
      return (certs.read("a.fingerprint"):gsub("[:%s]", ""):lower())
    end

    it("the certificate that it was told of", function()
      is_fine(talk(GOOD .. CLIENT .. "c.pin=" .. hex()))
    end)

    it("one that nobody trusts, when it need not be verified", function()
      local output = talk(GOOD .. "c.verify=1 c.host=other.test c.pin=" .. hex())
      is_fine(output)
      assert.truthy(output:find("verified=0", 1, true))
    end)

    it("against any other, also unverified, saying both", function()
      local pin = ("ab"):rep(32)
      for _, more in ipairs { CLIENT, "c.verify=1 " } do
        says(talk(GOOD .. more .. "c.pin=" .. pin), "client", "ETLS FINGERPRINT_MISMATCH: "
          .. ("fingerprint mismatch: certificate has %s, pinned is %s"):format(hex(), pin))
      end
    end)
  end)

  describe("a stapled OCSP response", function()
    local function staple(name, more)
      return talk(GOOD .. CLIENT .. ("s.ocsp_response={%s.der} "):format(name) .. (more or ""))
    end

    it("that says good is fine, by the issuer or by whom it appointed, in both versions", function()
      for _, more in ipairs { "", "c.max=303" } do
        for _, name in ipairs { "good", "delegated" } do
          local output = staple(name, "c.ocsp=require " .. more)
          is_fine(output)
          assert.truthy(output:find("ocsp=good", 1, true), output)
        end
      end
    end)

    it("that says revoked is refused, with the day, and also when it is out of date", function()
      for _, more in ipairs { "", "c.time=2500000000" } do
        local output = talk(server "revoked" .. CLIENT .. "s.ocsp_response={revoked.der} " .. more)
        assert.truthy(output:find("client: ETLS CERT_REVOKED: certificate was revoked on 20%d%d"),
          output)
      end
    end)

    it("for another certificate is refused", function()
      says(staple("wrongcert"), "client",
        "ETLS OCSP_INVALID: the stapled OCSP response is not for this certificate")
    end)

    it("signed by anybody else is refused, the certificate itself among them", function()
      for _, name in ipairs { "badsigner", "byitself" } do
        says(staple(name), "client",
          "ETLS OCSP_INVALID: the stapled OCSP response is badly signed")
      end
    end)

    it("that is unreadable is refused", function()
      says(talk(GOOD .. CLIENT .. "s.ocsp_response={a.pem}"), "client",
        "ETLS OCSP_INVALID: the stapled OCSP response is unreadable")
    end)

    it("that is out of date counts as none", function()
      local output = staple("brief", "c.time=1900000000")
      is_fine(output)
      assert.truthy(output:find("ocsp=expired", 1, true), output)
      says(staple("brief", "c.time=1900000000 c.ocsp=require"), "client", "ETLS OCSP_REQUIRED: "
        .. "the server stapled no OCSP response that says that its certificate is good (expired)")
    end)

    it("that is missing is fine unless it is required", function()
      says(talk(GOOD .. CLIENT .. "c.ocsp=require"), "client", "ETLS OCSP_REQUIRED: "
        .. "the server stapled no OCSP response that says that its certificate is good (none)")
    end)

    it("is required of new sessions, not of resumed ones", function()
      local output = staple("good", "c.ocsp=require rounds=2")
      assert.equal(2, lines(output, "client: ok"), output)
      assert.equal(1, lines(output, "client: ok [^\n]*resumed=1"), output)
    end)
  end)

  describe("sessions", function()
    it("are resumed, of TLS 1.3 and 1.2", function()
      for more, left in pairs { [""] = 2, ["c.max=303"] = 1 } do
        local output = talk(GOOD .. CLIENT .. "rounds=4 " .. more)
        assert.equal(4, lines(output, "client: ok"), output)
        assert.equal(3, lines(output, "client: ok [^\n]*resumed=1"), output)
        assert.equal(3, lines(output, "server: ok [^\n]*resumed=1"), output)
        assert.truthy(output:find("sessions: " .. left, 1, true), output)
      end
    end)

    it("are not, where either side does not want it", function()
      for _, more in ipairs { "c.resume=0", "s.resume=0 c.max=303" } do
        local output = talk(GOOD .. CLIENT .. "rounds=2 " .. more)
        assert.equal(2, lines(output, "client: ok [^\n]*resumed=0"), output)
      end
    end)

    it("are resumed with what was proved by a client's certificate", function()
      local output = talk(GOOD .. CLIENT .. "s.client_ca={root.pem} c.cert={client.pem} "
        .. "c.key={client.key} rounds=2")
      assert.equal(1, lines(output, "server: ok [^\n]*resumed=1 verified=1"), output)
    end)

    it("survive an end without close_notify", function()
      local output = talk(GOOD .. CLIENT .. "rounds=2 cut_down=1470 c.unclean=1 amount=1")
      assert.equal(1, lines(output, "client: ok [^\n]*resumed=1"), output)
    end)
  end)

  describe("negotiates", function()
    it("the server's favourite among the protocols of both", function()
      local output = talk(GOOD .. CLIENT .. "c.alpn=http/1.1,h2,x s.alpn=h2,http/1.1")
      is_fine(output)
      assert.equal(2, lines(output, "alpn=h2 "), output)
    end)

    it("no protocol where one side knows none", function()
      is_fine(talk(GOOD .. CLIENT .. "c.alpn=h2"))
      is_fine(talk(GOOD .. CLIENT .. "s.alpn=h2"))
    end)

    it("and says so when there is none in common", function()
      local output = talk(GOOD .. CLIENT .. "c.alpn=h2 s.alpn=http/1.1")
      says(output, "server", "ETLS NO_APPLICATION_PROTOCOL: no shared application protocol (ALPN)")
      says(output, "client", "ETLS TLSV1_ALERT_NO_APPLICATION_PROTOCOL: no shared application "
        .. "protocol (ALPN; the peer says)")
    end)

    it("no version below 1.2, unless it is told to", function()
      local output = talk(GOOD .. CLIENT .. "c.min=301 c.max=302 c.ciphers=ALL@SECLEVEL=0")
      says(output, "server", "ETLS UNSUPPORTED_PROTOCOL: no shared protocol version")
      says(output, "client", "ETLS TLSV1_ALERT_PROTOCOL_VERSION: no shared protocol version (the "
        .. "peer says)")
      output = talk(GOOD .. CLIENT .. "c.min=301 c.max=302 c.ciphers=ALL@SECLEVEL=0 s.min=301 "
        .. "s.ciphers=ALL@SECLEVEL=0")
      is_fine(output)
      assert.truthy(output:find("ok TLSv1.1", 1, true), output)
    end)

    it("a cipher, or says that none is shared", function()
      local output = talk(GOOD .. CLIENT .. "c.max=303 c.ciphers=AES128-SHA256")
      says(output, "server", "ETLS NO_SHARED_CIPHER: no shared cipher")
      says(output, "client", "ETLS SSLV3_ALERT_HANDSHAKE_FAILURE: the peer refused the handshake: "
        .. "no shared cipher, or no certificate")
      output = talk(GOOD .. CLIENT .. "c.ciphersuites=TLS_CHACHA20_POLY1305_SHA256")
      assert.truthy(output:find("ok TLSv1.3 TLS_CHACHA20_POLY1305_SHA256", 1, true), output)
    end)
  end)

  describe("clients' certificates", function()
    local ASK = GOOD .. CLIENT .. "s.client_ca={root.pem} "

    it("are accepted from who is trusted", function()
      local output = talk(ASK .. "c.cert={client.pem} c.key={client.key}")
      is_fine(output)
      assert.truthy(output:find("server: ok [^\n]*verified=1 [^\n]*subject=CN=weft client"), output)
    end)

    it("must be there, unless they are optional", function()
      local output = talk(ASK)
      says(output, "server", "ETLS PEER_DID_NOT_RETURN_A_CERTIFICATE: the client sent no "
        .. "certificate")
      says(output, "client", "later ETLS TLSV13_ALERT_CERTIFICATE_REQUIRED: the peer wants a "
        .. "certificate")
      output = talk(ASK .. "s.verify=2")
      is_fine(output)
      assert.truthy(output:find("server: ok [^\n]*verified=0"), output)
    end)

    it("are refused when they are bad, optional or not", function()
      for _, more in ipairs { "", "s.verify=2" } do
        local output = talk(ASK .. "c.cert={foreign.pem} c.key={foreign.key} " .. more)
        says(output, "server", "ETLS UNABLE_TO_GET_ISSUER_CERT_LOCALLY: unable to get local "
          .. "issuer certificate")
        says(output, "client", "later ETLS TLSV1_ALERT_UNKNOWN_CA: the peer reports: unknown ca")
        output = talk(ASK .. "c.cert={a.pem} c.key={a.key} " .. more)
        says(output, "server", "ETLS INVALID_PURPOSE: certificate has the wrong purpose: it is not "
          .. "for a TLS client")
      end
    end)
  end)

  describe("a server of several names", function()
    local ASK = "s.cert={a.pem} s.key={a.key} s.asks=1 c.ca={root.pem} "

    it("stops to be told, at whichever byte, and goes on with the context it is given", function()
      for _, more in ipairs { "", "split=1", "split=1 c.max=303" } do
        local output = talk(ASK .. "c.host=localhost o.cert={b.pem} o.key={b.key} " .. more)
        is_fine(output)
        assert.truthy(output:find("asked: localhost", 1, true), output)
        assert.truthy(output:find("client: ok [^\n]*subject=CN=weft b"), output)
      end
    end)

    it("goes on with its own when it is given none", function()
      is_fine(talk(ASK .. "c.host=a.test"))
    end)

    it("takes over what the context demands", function()
      local output = talk(ASK .. "c.host=localhost o.cert={b.pem} o.key={b.key} "
        .. "o.client_ca={root.pem}")
      says(output, "server", "ETLS PEER_DID_NOT_RETURN_A_CERTIFICATE: the client sent no "
        .. "certificate")
      output = talk(ASK .. "c.host=localhost o.cert={b.pem} o.key={b.key} o.min=304 c.max=303")
      says(output, "server", "ETLS UNSUPPORTED_PROTOCOL: no shared protocol version")
      output = talk(ASK .. "c.host=localhost o.cert={b.pem} o.key={b.key} c.alpn=h2 o.alpn=h2")
      assert.equal(2, lines(output, "alpn=h2 "), output)
    end)

    it("is asked for no name where the client has an address", function()
      local output = talk(ASK .. "c.host=127.0.0.1 o.cert={b.pem} o.key={b.key}")
      is_fine(output)
      assert.truthy(output:find("asked: \n", 1, true), output)
    end)
  end)

  describe("a stream that ends", function()
    it("in the handshake fails with words of its own, whoever is cut off", function()
      local words = "ETLSEOF : the peer closed the connection during the TLS handshake"
      for _, at in ipairs { 1, 5, 100, 500 } do
        says(talk(GOOD .. CLIENT .. "cut_down=%d", at), "client", words)
      end
      for _, at in ipairs { 1, 5, 100 } do
        says(talk(GOOD .. CLIENT .. "cut_up=%d", at), "server", words)
      end
    end)

    it("without close_notify fails, at whichever byte", function()
      local output = talk(GOOD .. CLIENT .. "amount=1000")
      is_fine(output)
      for _, at in ipairs { 1900, 2000, 2100, 2200 } do
        says(talk(GOOD .. CLIENT .. "amount=1000 cut_down=%d", at), "client", "later ETLSEOF")
      end
    end)

    it("without close_notify is fine where that is allowed", function()
      local output = talk(GOOD .. CLIENT .. "amount=0 cut_down=1480 c.unclean=1")
      assert.truthy(output:find("client: ok", 1, true), output)
    end)

    it("at any moment leaves no memory behind, from either side", function()
      talk(GOOD .. CLIENT .. "split=100 stop=%d", support.slow and 60 or 200)
      talk(GOOD .. CLIENT .. "split=100 c.max=303 stop=60")
    end)
  end)

  describe("a peer that does not speak TLS", function()
    it("is told from one that does", function()
      for _, text in ipairs { "HTTP/1.1 400 Bad Request", "SSH-2.0-OpenSSH", "220 mail ESMTP" } do
        says(talk(GOOD .. CLIENT .. "plain=%s", support.quote(text)), "client",
          "ETLS WRONG_VERSION_NUMBER: the peer does not speak TLS")
      end
    end)

    it("does not crash anything, whatever it sends", function()
      for _, text in ipairs { "\22\3\3", "\22\3\3\255\255", "\21\3\3\0\2\2\40",
        "\22\3\3\0\4\2\0\0\0", "\23\3\3\0\5hello", "\20\3\3\0\1\1", "\128\46\1\3\1" } do
        local escaped = text:gsub(".", function(c) return ("\\%03o"):format(c:byte()) end)
        local output = talk(GOOD .. CLIENT .. 'plain="$(printf %s | tr -d "\\000")"',
          support.quote(escaped))
        assert.truthy(output:find("client: ETLS", 1, true), output)
      end
    end)
  end)
end)
