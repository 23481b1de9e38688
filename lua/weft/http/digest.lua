-- SPDX-License-Identifier: MIT
-- weft.http.digest: the Digest scheme (RFC 7616, and what is left of RFC 2617 and 2069).
--
-- Owns: what servers have challenged with, by origin, and how often each nonce was used.
-- Must not know: sessions, connections, how a challenge is spelt.
-- Invariant: no nonce goes to another origin than the one that it came from, and none goes out
-- twice with the same count.

local challenges = require "weft.http.challenges"
local core = require "weft.core"
local errors = require "weft.error"
local options = require "weft.options"
local urls = require "weft.url"

---@class weft.http
local M = {}

-- How often one request is sent anew: for its challenge, and for nonces that went stale at once.
local ANSWERS_MAX = 3

-- What is remembered: a session that meets more is a crawler, and loses a round trip by it.
local ORIGINS_MAX = 1000
local SPACES_MAX = 16
local PREFIXES_MAX = 100

-- Those of RFC 7616, and two that servers offer beside them.
local ALGORITHMS = { md5 = "md5", ["sha-256"] = "sha256", ["sha-512-256"] = "sha512-256",
  sha = "sha1", ["sha-512"] = "sha512" }

local DEFAULT_ALGORITHM = "md5"

-- Random bytes of a client's nonce.
local CNONCE_SIZE = 16

local HEX = {}
for i = 0, 255 do
  HEX[string.char(i)] = ("%02x"):format(i)
end

local function hex(bytes)
  return (bytes:gsub(".", HEX))
end

local function digest(name, text)
  return hex(core.hash(name, text))
end

--- computing -------------------------------------------------------------------------------

-- A1 of the challenge, hashed. Of "-sess" it is made once, of the first nonces.
local function ha1_of(auth, space)
  if not space.ha1 then
    local ha1 = digest(space.hash, auth.login .. ":" .. space.realm .. ":" .. auth._password)
    if space.is_session then
      ha1 = digest(space.hash, ha1 .. ":" .. space.nonce .. ":" .. space.cnonce)
    end
    space.ha1 = ha1
  end
  return space.ha1
end

-- The body as one string; nil for one that is streamed.
local function whole_body(body)
  if type(body) == "table" then
    return table.concat(body)
  elseif body == nil then
    return ""
  end
  return type(body) == "string" and body or nil
end

local function ha2_of(space, method, uri, body)
  local a2 = method .. ":" .. uri
  if space.qop == "auth-int" then
    a2 = a2 .. ":" .. digest(space.hash, whole_body(body))
  end
  return digest(space.hash, a2)
end

local function response_of(auth, space, ha2, count)
  local ha1 = ha1_of(auth, space)
  if space.qop then
    return digest(space.hash, table.concat({ ha1, space.nonce, count, space.cnonce, space.qop,
      ha2 }, ":"))
  end
  return digest(space.hash, ha1 .. ":" .. space.nonce .. ":" .. ha2)
end

-- The parameter that names the user.
local function username(auth, space)
  if space.userhash then
    return 'username="' .. digest(space.hash, auth.login .. ":" .. space.realm) .. '"'
  elseif space.is_utf8 and auth.login:find("[\128-\255]") then
    return "username*=UTF-8''" .. auth.login:gsub("[^A-Za-z0-9!#$&+.^_`|~-]", function(c)
      return ("%%%02X"):format(c:byte())
    end)
  end
  return "username=" .. challenges.quote(auth.login)
end

-- The value of the Authorization field.
local function authorization(auth, space, method, uri, body)
  space.count = space.count + 1
  local quote, count = challenges.quote, ("%08x"):format(space.count)
  local response = response_of(auth, space, ha2_of(space, method, uri, body), count)
  local parts = { username(auth, space), "realm=" .. quote(space.realm),
    "nonce=" .. quote(space.nonce), "uri=" .. quote(uri), 'response="' .. response .. '"' }
  if space.algorithm then
    parts[#parts + 1] = "algorithm=" .. space.algorithm
  end
  if space.opaque then
    parts[#parts + 1] = "opaque=" .. quote(space.opaque)
  end
  if space.qop then
    parts[#parts + 1] = "qop=" .. space.qop
    parts[#parts + 1] = "nc=" .. count
  end
  if space.qop or space.is_session then
    parts[#parts + 1] = "cnonce=" .. quote(space.cnonce)
  end
  if space.userhash then
    parts[#parts + 1] = "userhash=true"
  end
  return "Digest " .. table.concat(parts, ", ")
end

--- challenges ------------------------------------------------------------------------------

-- Which qop to use: "auth", "auth-int" or false for a challenge of RFC 2069; nil for none that
-- can be.
local function choose_qop(offered, body)
  if not offered then
    return false
  end
  local has = {}
  for word in offered:lower():gmatch("[^%s,]+") do
    has[word] = true
  end
  return has["auth"] and "auth" or has["auth-int"] and whole_body(body) and "auth-int" or nil
end

-- The paths that the challenge is for. Other hosts that it names are nothing to us.
local function prefixes_of(domain, url)
  local prefixes = {}
  for reference in (domain or ""):gmatch("%S+") do
    if #prefixes == PREFIXES_MAX then
      break
    end
    if urls.can_parse(reference, url) then
      local target = urls.parse(reference, url)
      if target.origin == url.origin then
        prefixes[#prefixes + 1] = target.path
      end
    end
  end
  return domain and domain:find("%S") and prefixes or { "/" }
end

-- A protection space, made of a challenge; nil if the challenge is not for us.
local function space_of(auth, challenge, request)
  local params = challenge.params
  local name, session = (params.algorithm or DEFAULT_ALGORITHM):lower():gsub("%-sess$", "")
  local qop = choose_qop(params.qop, request.message.body)
  if challenge.scheme ~= "digest" or not params.nonce or not ALGORITHMS[name] or qop == nil then
    return nil
  end
  return { realm = params.realm or "", nonce = params.nonce, opaque = params.opaque,
    algorithm = params.algorithm, hash = ALGORITHMS[name], is_session = session == 1,
    qop = qop or nil, userhash = (params.userhash or ""):lower() == "true",
    is_utf8 = (params.charset or ""):lower() == "utf-8", cnonce = auth._make_cnonce(), count = 0,
    is_stale = (params.stale or ""):lower() == "true",
    origin = request.url.origin, prefixes = prefixes_of(params.domain, request.url) }
end

-- Of the first challenge that can be answered: the server has them in its order of preference.
local function first_space(auth, request, head)
  for _, challenge in ipairs(challenges.parse(head.fields:getall("WWW-Authenticate"))) do
    local space = space_of(auth, challenge, request)
    if space then
      return space
    end
  end
end

--- protection spaces -------------------------------------------------------------------------

local function new_origin(auth, origin)
  local order = auth._order
  if #order >= ORIGINS_MAX then
    auth._origins[table.remove(order, 1)] = nil
  end
  order[#order + 1] = origin
  auth._origins[origin] = {}
  return auth._origins[origin]
end

local function forget(auth, realm, origin)
  local list = auth._origins[origin] or {}
  for i = #list, 1, -1 do
    if list[i].realm == realm then
      table.remove(list, i)
    end
  end
end

-- In place of an older one of the same realm.
local function remember(auth, space)
  forget(auth, space.realm, space.origin)
  local list = auth._origins[space.origin] or new_origin(auth, space.origin)
  if #list >= SPACES_MAX then
    table.remove(list, 1)
  end
  list[#list + 1] = space
end

local function covers(prefix, path)
  return path:sub(1, #prefix) == prefix
    and (prefix:sub(-1) == "/" or #path == #prefix or path:sub(#prefix + 1, #prefix + 1) == "/")
end

-- The space in which the URL is: that of the longest prefix, and of equal ones the newest.
local function find_space(auth, url)
  local best, best_length = nil, -1
  for _, space in ipairs(auth._origins[url.origin] or {}) do
    for _, prefix in ipairs(space.prefixes) do
      if #prefix >= best_length and covers(prefix, url.path) then
        best, best_length = space, #prefix
      end
    end
  end
  return best
end

--- the object ------------------------------------------------------------------------------

---A name and a password by the Digest scheme. See `weft.http.digest_auth`.
---@class weft.http.DigestAuth
---@field login string
local DigestAuth = {}
DigestAuth.__index = DigestAuth
DigestAuth.__name = "weft.http.DigestAuth"

-- Sets the Authorization of a request, if a challenge to answer is known.
---@private
function DigestAuth:apply(request)
  local state, url = request.auth_state, request.url
  local space = state and state.space or self._preemptive and find_space(self, url)
  if not space or space.qop == "auth-int" and not whole_body(request.message.body) then
    return
  end
  request.auth_state = state or { space = space, answers = 0 }
  local uri = url.query and url.path .. "?" .. url.query or url.path
  request.message.fields:set("Authorization",
    authorization(self, space, request.method, uri, request.message.body))
end

-- The server may give the nonce of the next request with a response.
local function take_info(request, head)
  local space = request.auth_state and request.auth_state.space
  local info = space and head.fields:get("Authentication-Info")
  local nonce = info and challenges.parse_params(info).nextnonce
  if nonce then
    space.nonce, space.count = nonce, 0
  end
end

-- Looks at a response; true if the request is to be sent again, with what `apply` sets then.
---@private
function DigestAuth:challenged(request, head)
  if head.status ~= 401 then
    take_info(request, head)
    return false
  end
  local state = request.auth_state
  local answers = state and state.answers or 0
  local space = first_space(self, request, head)
  if not space then
    return false
  elseif answers >= ANSWERS_MAX or answers > 0 and not space.is_stale then
    forget(self, space.realm, space.origin)
    return false
  end
  remember(self, space)
  request.auth_state = { space = space, answers = answers + 1 }
  return true
end

function DigestAuth:__tostring()
  return ("DigestAuth<login=%s>"):format(self.login)
end

local OPTIONS = { preemptive = "boolean" }

---A name and a password, never sent in clear but as a digest of them and of what the server
---challenged with (RFC 7616): MD5, SHA-256 and SHA-512-256, and their "-sess"; qop "auth", and
---"auth-int" for bodies that are not streamed; user hashes. One object serves any number of
---requests and sessions. The first request to an origin is sent twice: without, and with an
---answer to the challenge. Those that follow into the same protection space have the answer at
---once, unless `preemptive = false`. A body that is streamed from a function cannot be sent twice.
---
---A password is given in the encoding that the server expects, which today is UTF-8.
---@param login string
---@param password string
---@param opts {preemptive: boolean?}?
---@return weft.http.DigestAuth
function M.digest_auth(login, password, opts)
  options.expect(login, "string", "the login")
  options.expect(password, "string", "the password")
  opts = options.check(opts, OPTIONS, "digest_auth")
  if login:find("[%z\1-\31\127]") then
    errors.raise("type", "the login has a control character", { code = "invalid_auth" })
  end
  return setmetatable({ login = login, _password = password,
    _preemptive = opts.preemptive ~= false, _origins = {}, _order = {},
    _make_cnonce = function() return hex(core.random_bytes(CNONCE_SIZE)) end }, DigestAuth)
end

return M
