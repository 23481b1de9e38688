-- SPDX-License-Identifier: MIT
-- weft.tls: what secures a stream: contexts, handshakes, and what is known of the peer.
--
-- Owns: what the options mean, the files that they name, the default context, and which
-- context a server takes for which name. Certificates are judged in src/net/tls_verify.c.
-- Must not know: how a connection came to be (weft.net), or what is said over it.

local core = require "weft.core"
local errors = require "weft.error"
local await = require "weft.await"
local options = require "weft.options"
local scope = require "weft.scope"
local streams = require "weft.stream"

---TLS: contexts, which hold what connections have in common.
---@class weft.tls
local M = {}

---@class weft.Stream
local Stream = streams._Stream

--- contexts -----------------------------------------------------------------------------

---What TLS connections have in common: whom they trust, who they are, what they offer, and
---sessions to resume. Made by `weft.tls.context`; serves clients and servers. Loading
---certificates takes a while: make one and use it often.
---@class weft.TLSContext
local Context = {}

---Options of `weft.tls.context`. PEM is text, in which there can be several certificates, one
---after the other.
---
---`verify` says whether the peer's certificate is checked. By default a client does, and a server
---if it was told whom to trust (`client_ca_…`); "optional", for servers, means: if there is one.
---`fingerprint` refuses every other certificate, also with `verify = false`. A stapled OCSP
---response is always checked; `ocsp = "require"` refuses a server that staples none, or one that
---does not say "good".
---
---`sni` makes a server of several names: a table of contexts by name, "*.a.example" for all one
---level below; or a function that gives a context for the name that the client asks for, "" if it
---asks for none. For nil it is the context that has the `sni`.
---@class weft.TLSOptions
---@field verify (boolean | "optional")? default: see above
---@field ca_file string? a PEM file with trusted authorities, in place of the system's
---@field ca_path string? a directory of such files, named by hash (`openssl rehash`)
---@field ca_data string? the same as PEM
---@field client_ca_file string? for servers: the authorities of clients' certificates
---@field client_ca_path string? for servers
---@field client_ca_data string? for servers
---@field cert string? own certificate, then those of its issuers: PEM, or the path of a file
---@field key string? its private key: PEM, or the path of a file; default: in `cert` too
---@field key_password (string | fun(): string)? of an encrypted key; a function is called at once
---@field min_version string? "TLSv1.2" (the default), "TLSv1.3", or what is older and unsafe
---@field max_version string? default: the latest
---@field ciphers string? up to TLS 1.2, in OpenSSL's notation
---@field ciphersuites string? of TLS 1.3, in OpenSSL's notation
---@field alpn string[]? protocols ("h2", "http/1.1"), the best first
---@field session_resumption boolean? default true
---@field fingerprint (string | string[])? SHA-256 of the peer's certificate, hexadecimal
---@field server_hostname string? the name to ask for and verify, in place of the host
---@field ocsp string? "require"
---@field ocsp_response string? for servers: the response to staple, DER
---@field sni (table<string, weft.TLSContext> | fun(name: string): weft.TLSContext?)? see above
---@field allow_unclean_close boolean? take the end of the connection for the end of the stream
---@field keylog_file string? where secrets are added, for Wireshark; default: SSLKEYLOGFILE's
---@field verify_time number? Unix seconds at which certificates are to be valid, for tests
local TLSOptions = {} -- luacheck: ignore 211

local OPTIONS = {}
for name in ([[verify ca_file ca_path ca_data client_ca_file client_ca_path client_ca_data cert
  key key_password min_version max_version ciphers ciphersuites alpn session_resumption
  fingerprint server_hostname ocsp ocsp_response sni allow_unclean_close keylog_file
  verify_time]]):gmatch("[%w_]+") do
  OPTIONS[name] = true
end

local VERSIONS = { ["TLSv1"] = 0x0301, ["TLSv1.1"] = 0x0302, ["TLSv1.2"] = 0x0303,
  ["TLSv1.3"] = 0x0304 }

-- By value of enum weft_tls_verify.
local VERIFY = { [false] = 1, optional = 2, [true] = 3 }

-- Bytes of a PEM file: the bundles of whole systems have a quarter of a megabyte.
local FILE_MAX = 16 * 1024 * 1024

local function refuse(name, what, value)
  errors.raise("type", ("tls.context: %s must be %s, got %s"):format(name, what,
    type(value) == "string" and ("%q"):format(value) or tostring(value)))
end

local function read_file(name, path)
  local file, message, number = io.open(path, "rb")
  local text
  if file then
    text, message, number = file:read(FILE_MAX + 1)
    file:close()
  end
  if not text then
    errors.raise("os", ("tls.context: %s: %s"):format(name, message or path .. ": it is empty"),
      { code = number == 2 and "ENOENT" or number == 13 and "EACCES" or nil, path = path })
  elseif #text > FILE_MAX then
    errors.raise("limit", ("tls.context: %s: %s is larger than %d bytes"):format(name, path,
      FILE_MAX), { limit = FILE_MAX, path = path })
  end
  return text
end

-- PEM text, from an option that is that or a path.
local function pem(opts, name)
  local value = opts[name]
  if value == nil then
    return nil
  end
  options.expect(value, "string", "tls.context: " .. name)
  return value:find("-----BEGIN", 1, true) and value or read_file(name, value)
end

-- The authorities of `prefix`_file and `prefix`_data, as one text.
local function authorities(opts, prefix)
  local data, file = opts[prefix .. "_data"], opts[prefix .. "_file"]
  if data ~= nil then
    options.expect(data, "string", "tls.context: " .. prefix .. "_data")
  end
  if file ~= nil then
    options.expect(file, "string", "tls.context: " .. prefix .. "_file")
    data = read_file(prefix .. "_file", file) .. "\n" .. (data or "")
  end
  return data
end

local function version(opts, name)
  local value = opts[name]
  if value ~= nil and not VERSIONS[value] then
    refuse(name, '"TLSv1.2", "TLSv1.3" or an older one', value)
  end
  return VERSIONS[value]
end

-- As on the wire: each name with its size in front.
local function protocols(list)
  if list == nil then
    return nil
  end
  options.expect(list, "table", "tls.context: alpn")
  local wire = {}
  for i, name in ipairs(list) do
    if type(name) ~= "string" or #name == 0 or #name > 255 then
      refuse("alpn", "a list of names of 1 to 255 bytes", name)
    end
    wire[i] = string.char(#name) .. name
  end
  return table.concat(wire)
end

local function digest(value)
  local hex = type(value) == "string" and value:gsub(":", "") or ""
  if #hex ~= 64 or hex:find("%X") then
    refuse("fingerprint", "a SHA-256 in hexadecimal", value)
  end
  return (hex:gsub("%x%x", function(byte) return string.char(tonumber(byte, 16)) end))
end

local function pins(value)
  if value == nil then
    return nil
  end
  local list = {}
  for i, one in ipairs(type(value) == "table" and value or { value }) do
    list[i] = digest(one)
  end
  if not list[1] then
    refuse("fingerprint", "one fingerprint or more", value)
  end
  return table.concat(list)
end

local function password(value)
  if type(value) == "function" then
    value = value()
  end
  return value and options.expect(value, "string", "tls.context: key_password")
end

local function number(opts, name)
  return opts[name] and options.number(opts[name], "tls.context: " .. name, 1)
end

-- The contexts of a table, by lower-case name.
local function by_name(sni)
  if type(sni) ~= "table" or getmetatable(sni) ~= nil then
    return sni and options.callable(sni, "tls.context: sni")
  end
  local contexts = {}
  for name, context in pairs(sni) do
    options.expect(name, "string", "tls.context: a name in sni")
    core.tls_context_table(context)
    contexts[name:lower():gsub("%.$", "")] = context
  end
  return contexts
end

local PLAIN = { "ca_path", "client_ca_path", "ciphers", "ciphersuites", "keylog_file",
  "server_hostname", "ocsp_response" }

-- What weft.core takes.
local function resolve(opts)
  if opts.verify ~= nil and not VERIFY[opts.verify] then
    refuse("verify", 'true, false or "optional"', opts.verify)
  elseif opts.ocsp ~= nil and opts.ocsp ~= "require" then
    refuse("ocsp", '"require"', opts.ocsp)
  elseif opts.ocsp and opts.verify == false then
    errors.raise("type", "tls.context: ocsp needs verify")
  elseif opts.key and not opts.cert then
    errors.raise("type", "tls.context: key needs cert")
  end
  local all = { verify = VERIFY[opts.verify], ca_data = authorities(opts, "ca"),
    client_ca_data = authorities(opts, "client_ca"), cert = pem(opts, "cert"),
    key = pem(opts, "key"), key_password = password(opts.key_password),
    alpn = protocols(opts.alpn), pins = pins(opts.fingerprint),
    verify_time = number(opts, "verify_time"), min_version = version(opts, "min_version"),
    max_version = version(opts, "max_version"), requires_ocsp = opts.ocsp == "require",
    no_resumption = opts.session_resumption == false,
    allow_unclean_close = opts.allow_unclean_close, asks_for_context = opts.sni ~= nil }
  for _, name in ipairs(PLAIN) do
    all[name] = opts[name] and options.expect(opts[name], "string", "tls.context: " .. name)
  end
  return all
end

-- What a context remembers takes the place of the options, among which are secrets.
local function remember(context, opts, sni)
  local own = core.tls_context_table(context)
  for key in pairs(own) do
    own[key] = nil
  end
  own.sni, own.has_cert = sni, opts.cert ~= nil
  return context
end

---Makes a context. Without options it is what every client wants: the peer's certificate must
---have been issued by an authority that the system trusts, for the host that was asked for.
---
---Raises `type` for options that cannot be; `tls` for certificates, keys, passwords and ciphers
---that OpenSSL refuses; `os` for a file that cannot be read; `limit` for one that is too large;
---what `key_password` raised.
---@param opts weft.TLSOptions?
---@return weft.TLSContext
function M.context(opts)
  opts = options.check(opts, OPTIONS, "tls.context")
  local sni = by_name(opts.sni)
  local context, code, text = core.tls_context(resolve(opts))
  if not context then
    errors.raise("tls", "tls.context: " .. text, { code = code })
  end
  return remember(context, opts, sni)
end

---Which OpenSSL it is: "OpenSSL 3.0.17 …".
---@return string
function M.library()
  return core.tls_library()
end

---Gives up what it holds as soon as the last of its connections has ended; no new one can be
---made with it. Idempotent.
function Context:close()
  core.tls_context_close(self)
end

---True once it was closed.
---@return boolean
function Context:is_closed()
  return core.tls_context_sessions(self) == nil
end

---Counts: `sessions` that are kept to be resumed.
---@return {sessions: integer}
function Context:statistics()
  return { sessions = core.tls_context_sessions(self) or 0 }
end

local Class = core.classes.TLSContext

Class.__index = Context
Class.__close = Context.close

function Class:__tostring()
  local sessions = core.tls_context_sessions(self)
  return sessions and ("TLSContext<open sessions=%d>"):format(sessions) or "TLSContext<closed>"
end

--- choosing ---------------------------------------------------------------------------------

local default

---The context of an option `tls`: true for the default one, a context as it is, a table of
---options as a new one; nil for nil and false.
---@private
function M._context(value, what)
  if value == nil or value == false then
    return nil
  elseif value == true then
    if not default or default:is_closed() then
      default = M.context()
    end
    return default
  elseif type(value) == "userdata" then
    if core.tls_context_sessions(value) == nil then
      errors.raise("closed", what .. ": the TLS context is closed")
    end
    return value
  elseif type(value) == "table" then
    return M.context(value)
  end
  errors.raise("type", what .. ": tls must be true, a context or its options, got "
    .. type(value))
end

---The same for a server, which must have a certificate, or a way to come by one.
---@private
function M._server_context(value, what)
  local context = M._context(value, what)
  if context then
    local own = core.tls_context_table(context)
    if not own.has_cert and not own.sni then
      errors.raise("type", what .. ": a TLS server needs a context with cert")
    end
  end
  return context
end

-- The context for a name: exact, or one level below a wildcard.
local function look_up(contexts, name)
  name = name:lower():gsub("%.$", "")
  return contexts[name] or contexts[name:gsub("^[^.]+", "*", 1)]
end

-- The server's choice for the name that the client asks for.
local function choose(stream, context)
  local sni = core.tls_context_table(context).sni
  local name = core.tls_asked_name(stream)
  local chosen
  if type(sni) == "table" then
    chosen = look_up(sni, name)
  else
    chosen = sni(name)
  end
  local ok, code = core.tls_choose(stream, chosen)
  if not ok then
    return code
  end
end

--- handshakes ------------------------------------------------------------------------------

-- What a stream says of an error of TLS: see weft.stream.
local function explain(stream, code)
  local name = core.error_of(code)
  if name ~= "ETLS" and name ~= "ETLSEOF" then
    return nil
  end
  local text, reason = core.tls_explain(stream)
  return text, { code = reason ~= "" and reason or nil }
end

-- Connects the chain; a server may have to choose a context on the way.
local function shake(stream, context, what)
  while true do
    local ok, done, code = core.stream_connect(stream)
    if done then
      return
    elseif ok ~= true then
      return await._interrupted(ok)
    end
    if core.error_of(code) == "ETLSHELLO" then
      code = choose(stream, context)
    end
    if code then
      error(streams._failure(stream, code, what, nil, "tls"), 0)
    end
  end
end

local function finished(stream, ok, e)
  if not ok then
    stream:close()
    error(e, 0)
  end
  return stream
end

local function start(stream, context, is_server, host, port, alpn)
  local own = core.stream_table(stream)
  local what = is_server and "TLS handshake with" or "connect to"
  await._before_wait()
  local ok, code, text = core.stream_start_tls(stream, context, is_server, host, port, alpn)
  if not ok then
    errors.raise("tls", ("%s %s: %s"):format(what, own.name or "the peer", text),
      { code = code, host = own.host, port = own.port, phase = "tls" })
  end
  own.explain = explain
  shake(stream, context, what)
end

---Makes the handshake of a client or server on a connected stream, which is closed if that fails.
---`alpn`: what a client offers in place of what its context says, as on the wire.
---@private
---@async
function M._start(stream, context, is_server, host, port, alpn)
  return finished(stream, errors.guarded(start, stream, context, is_server, host, port, alpn))
end

---Options of `stream:start_tls`: those of a context, or one that is there; and which side it is.
---@class weft.StartTLSOptions: weft.TLSOptions
---@field context weft.TLSContext? in place of a context's options
---@field server_side boolean? default false: as a client
---@field server_hostname string? the name to ask for and verify; default: the host connected to
---@field timeout number? seconds for the handshake; default 60
local StartTLSOptions = {} -- luacheck: ignore 211

local START = { context = true, server_side = true, server_hostname = true, timeout = true }
for name in pairs(OPTIONS) do
  START[name] = true
end

-- Seconds for a handshake that is not part of a connect: asyncio's default.
M._HANDSHAKE_TIMEOUT = 60

-- The context that the options of start_tls stand for.
local function context_of(opts)
  local rest, is_given = {}, false
  for key, value in pairs(opts) do
    if OPTIONS[key] and key ~= "server_hostname" then
      rest[key], is_given = value, true
    end
  end
  if is_given and opts.context ~= nil then
    errors.raise("type", "start_tls: either a context, or the options of one")
  end
  local value = opts.context ~= nil and opts.context or is_given and rest or true
  return (opts.server_side and M._server_context or M._context)(value, "start_tls")
end

---Secures the connection from here on: makes the handshake, after which all that is read and
---written is encrypted. What came before must have been read. If it fails the stream is closed.
---
---Raises `tls` (with OpenSSL's `code`), `connection`, `timeout`, `cancelled`; `state` if bytes are
---unread or another task reads or writes; `closed`; as `weft.tls.context` for its options.
---@async
---@param opts (weft.StartTLSOptions | weft.TLSContext)?
---@return weft.Stream self
function Stream:start_tls(opts)
  if type(opts) == "userdata" then
    opts = { context = opts }
  end
  opts = options.check(opts, START, "start_tls")
  local own, limit = core.stream_table(self), opts.timeout or M._HANDSHAKE_TIMEOUT
  local host = opts.server_hostname or own.host
  return scope.timeout(limit, M._start, self, context_of(opts), opts.server_side, host, own.port)
end

--- information -------------------------------------------------------------------------------

---The peer's certificate.
---@class weft.TLSPeer
---@field subject string as in RFC 2253: "CN=a.example,O=A"
---@field issuer string
---@field serial string hexadecimal
---@field names string[] what it is for: "DNS:a.example", "IP:192.0.2.1", …
---@field not_before integer Unix seconds
---@field not_after integer
---@field fingerprint string SHA-256, hexadecimal
---@field pem string
---@field chain string PEM: all that the peer sent
local TLSPeer = {} -- luacheck: ignore 211

---What is known of a TLS connection.
---@class weft.TLSInfo
---@field version string "TLSv1.3"
---@field cipher string "TLS_AES_256_GCM_SHA384"
---@field alpn string? the protocol that was agreed on
---@field server_name string? that the client asked for
---@field resumed boolean whether an earlier session was resumed
---@field verified boolean whether the peer's certificate was checked, and is good
---@field ocsp string? of the stapled response: "good", "none", "expired", "unknown"
---@field peer weft.TLSPeer? nil when it has shown no certificate
local TLSInfo = {} -- luacheck: ignore 211

---As `stream:tls_info`; where the peer's certificate is that of `known`, what is known of another
---one, that is taken: to put it together is most of the work.
---@private
---@param stream weft.Stream
---@param known weft.TLSPeer?
---@return weft.TLSInfo?
function M._info(stream, known)
  local info = core.tls_info(stream, known and known.fingerprint)
  local peer = info and info.peer
  if peer == true then
    info.peer = known
  elseif peer then
    peer.not_before, peer.not_after = tonumber(peer.not_before), tonumber(peer.not_after)
    local names = {}
    for name in (peer.names or ""):gmatch("[^\n]+") do
      names[#names + 1] = name
    end
    peer.names = names
  end
  return info
end

---What is known of the connection's TLS; nil without.
---
---Raises `closed`.
---@return weft.TLSInfo?
function Stream:tls_info()
  return M._info(self)
end

return M
