-- SPDX-License-Identifier: MIT
-- spec.tls_certs: certificates good and bad, made with the openssl command when the first
-- spec asks for them: authorities, servers, clients, responses of OCSP.
--
-- Owns: the folder build/spec/VM/certs, which is made again when this file is newer. For
-- each NAME there are NAME.pem, NAME.key and, where others issued it, NAME.chain.pem with
-- the issuers. Nothing in it is secret.

local M = {}

local VM = rawget(_G, "jit") and "luajit" or "lua5.4"
local FOLDER = "build/spec/" .. VM .. "/certs"

-- The moments in the certificates, as `openssl ca` takes them.
local PAST, FUTURE = "200101000000Z", "20500101000000Z"
M.EXPIRED_ON, M.VALID_FROM = "2026-01-02", "2049-03-04"

local CONFIG = [[
[req]
distinguished_name = dn
prompt = no
[dn]
[issue]
new_certs_dir = .
database = index.txt
rand_serial = yes
unique_subject = no
default_md = sha256
policy = any
copy_extensions = none
[any]
commonName = supplied
[root]
basicConstraints = critical, CA:true
keyUsage = critical, keyCertSign, cRLSign, digitalSignature
subjectKeyIdentifier = hash
[limited]
basicConstraints = critical, CA:true
keyUsage = critical, keyCertSign
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
nameConstraints = critical, permitted;DNS:allowed.test
[client]
basicConstraints = CA:false
extendedKeyUsage = clientAuth
subjectAltName = email:client@a.test
[responder]
basicConstraints = CA:false
extendedKeyUsage = OCSPSigning
[nameless]
basicConstraints = CA:false
extendedKeyUsage = serverAuth
[notca]
basicConstraints = critical, CA:false
subjectAltName = DNS:a.test
]]

-- A section of the configuration for a server with these names.
local function server(name, names, more)
  return ("[%s]\nbasicConstraints = CA:false\nsubjectKeyIdentifier = hash\n"
    .. "authorityKeyIdentifier = keyid\n%ssubjectAltName = %s\n")
    :format(name, more or "extendedKeyUsage = serverAuth\n", names)
end

local SECTIONS = table.concat {
  server("a", "DNS:a.test, DNS:www.a.test"),
  server("local", "DNS:localhost, IP:127.0.0.1, IP:::1"),
  server("wild", "DNS:*.wild.test, DNS:wild.test"),
  server("partial", "DNS:w*.part.test"),
  server("ip", "IP:192.0.2.7, IP:2001:db8::7"),
  server("clientonly", "DNS:a.test", "extendedKeyUsage = clientAuth\n"),
  server("outside", "DNS:a.test"),
  server("inside", "DNS:x.allowed.test"),
}

-- name, issuer, section, options: from, to, md, key
local CERTS = {
  { "mid", "root", "root" },
  { "limited", "root", "limited" },
  { "a", "root", "a" },
  { "b", "root", "local" },
  { "viamid", "mid", "a" },
  { "expired", "root", "a", to = "260102030405Z" },
  { "future", "root", "a", from = "20490304000000Z" },
  { "wild", "root", "wild" },
  { "partial", "root", "partial" },
  { "ip", "root", "ip" },
  { "clientonly", "root", "clientonly" },
  { "outside", "limited", "outside" },
  { "inside", "limited", "inside" },
  { "nameless", "root", "nameless" },
  { "untrusted", "other", "a" },
  { "sha1", "mid1", "a", md = "sha1" },
  { "small", "root", "a", key = "rsa:1024" },
  { "rsa", "root", "a", key = "rsa:2048" },
  { "notca", "root", "notca" },
  { "byleaf", "notca", "a" },
  { "client", "root", "client" },
  { "foreign", "other", "client" },
  { "responder", "root", "responder" },
  { "revoked", "root", "a" },
}

local KEY = "ec -pkeyopt ec_paramgen_curve:P-256"

local lines

local function sh(format, ...)
  lines[#lines + 1] = format:format(...)
end

local function new_key(kind)
  return kind and "-newkey " .. kind or "-newkey " .. KEY
end

local function authority(name)
  sh("openssl req -new -nodes %s -keyout %s.key -out %s.csr -subj '/CN=weft %s' -config c.cnf",
    new_key(), name, name, name)
  sh("openssl ca -batch -notext -selfsign -config c.cnf -name issue -keyfile %s.key -in %s.csr "
    .. "-out %s.pem -extensions root -startdate %s -enddate %s", name, name, name, PAST, FUTURE)
end

local function issue(one)
  local name, issuer, section = one[1], one[2], one[3]
  sh("openssl req -new -nodes %s -keyout %s.key -out %s.csr -subj '/CN=%s' -config c.cnf",
    new_key(one.key), name, name, section == "nameless" and "a.test" or "weft " .. name)
  sh("openssl ca -batch -notext -config c.cnf -name issue -cert %s.pem -keyfile %s.key -in %s.csr "
    .. "-out %s.pem -extensions %s -startdate %s -enddate %s -md %s", issuer, issuer, name, name,
    section, one.from or PAST, one.to or FUTURE, one.md or "sha256")
  sh("cat %s.pem %s.pem > %s.chain.pem", name, issuer, name)
end

-- The response of OCSP on `name`, signed by `signer`, valid for these days.
local function respond(out, name, signer, more)
  sh("openssl ocsp -issuer root.pem -cert %s.pem -no_nonce %s-reqout %s.req", name,
    more and more.request or "", out)
  sh("openssl ocsp -index index.txt -CA root.pem -rsigner %s.pem -rkey %s.key -reqin %s.req "
    .. "-respout %s.der %s", signer, signer, out, out, more and more.days or "-ndays 9000")
end

local function script()
  lines = { "exec 2>&1", "set -ex", "cat > c.cnf <<'CONFIG'", CONFIG, SECTIONS, "CONFIG",
    ": > index.txt", ": > index.txt.attr" }
  authority("root")
  authority("other")
  authority("mid1")
  sh("openssl req -x509 -new -nodes %s -keyout self.key -out self.pem -days 9000 -subj "
    .. "'/CN=weft self' -config c.cnf -extensions a -sha256", new_key())
  for _, one in ipairs(CERTS) do
    issue(one)
  end
  sh("cat viamid.pem mid.pem root.pem > viamid.full.pem")
  sh("cat untrusted.pem other.pem > untrusted.full.pem")
  sh("openssl ec -aes256 -passout pass:secret -in a.key -out a.locked.key")
  sh("cat a.pem a.key > a.both.pem")
  sh("openssl ca -config c.cnf -name issue -cert root.pem -keyfile root.key -revoke revoked.pem")
  sh("mkdir -p hashed && cp root.pem hashed/ && openssl rehash hashed")
  respond("good", "a", "root")
  respond("delegated", "a", "responder")
  respond("revoked", "revoked", "root")
  respond("wrongcert", "b", "root")
  respond("badsigner", "a", "client")
  respond("byitself", "a", "a")
  respond("brief", "a", "root", { days = "-nmin 1" })
  sh("openssl x509 -in a.pem -noout -fingerprint -sha256 | sed 's/.*=//' > a.fingerprint")
  return table.concat(lines, "\n")
end

local function is_fresh()
  local pipe = io.popen(("[ -e %s/done ] && find spec/tls_certs.lua -newer %s/done | wc -l")
    :format(FOLDER, FOLDER))
  local count = pipe:read("*a")
  pipe:close()
  return tonumber(count) == 0
end

-- Makes them all in a folder beside, which then takes the place.
local function make()
  local new = FOLDER .. ".new"
  local path = os.tmpname()
  local file = assert(io.open(path, "w"))
  file:write(("rm -rf %s; mkdir -p %s; cd %s\n"):format(new, new, new), script(), "\n: > done\n")
  file:close()
  local pipe = io.popen(("unset LD_PRELOAD; sh %s; echo status=$?"):format(path))
  local output = pipe:read("*a")
  pipe:close()
  os.remove(path)
  if not output:find("status=0%s*$") then
    error("cannot make certificates:\n" .. output, 0)
  end
  os.execute(("rm -rf %s && mv %s %s"):format(FOLDER, new, FOLDER))
end

local is_made = false

---The path of a file among them; makes them if need be.
function M.path(name)
  if not is_made then
    if not is_fresh() then
      make()
    end
    is_made = true
  end
  return FOLDER .. "/" .. name
end

---Its contents.
function M.read(name)
  local file = assert(io.open(M.path(name), "rb"))
  local text = file:read("*a")
  file:close()
  return text
end

return M
