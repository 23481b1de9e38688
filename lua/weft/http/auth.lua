-- SPDX-License-Identifier: MIT
-- weft.http.auth: what a request says about who sends it: Basic, Bearer, and what a script
-- makes itself; Digest is weft.http.digest's.
--
-- Owns: the two methods that every kind has: `auth:apply(request)` sets the fields of a request
-- that is about to be sent, `auth:challenged(request, head)` looks at each response, and
-- returns true if the request is to be sent again, by `apply` anew. A request has `method`,
-- `url`, `message.fields` and `message.body`; what is kept about it is in its `auth_state`.
-- Must not know: to whom the request goes. That nothing goes to another origin by a redirect is
-- the session's work.
-- Invariant: no tostring and no error has a secret in it.

local core = require "weft.core"
local digest = require "weft.http.digest"
local errors = require "weft.error"
local options = require "weft.options"
local urls = require "weft.url"

---@class weft.http
local M = { digest_auth = digest.digest_auth }

-- Controls, of which RFC 7617 allows none in logins and passwords.
local CONTROL = "[%z\1-\31\127]"

local function refuse(what, why)
  errors.raise("type", what .. " " .. why, { code = "invalid_auth" })
end

local function never()
  return false
end

--- fixed values ------------------------------------------------------------------------------

-- A class whose objects have the value of the field once and for all.
local function class(name)
  local Class = { __name = "weft.http." .. name, challenged = never }
  Class.__index = Class

  ---@private
  function Class:apply(request)
    request.message.fields:set("Authorization", self._value)
  end

  return Class
end

---A name and a password, sent as they are, in base64. See `weft.http.basic_auth`.
---@class weft.http.BasicAuth
---@field login string
local BasicAuth = class("BasicAuth")

---The value of the Authorization field. It has the password.
---@return string
function BasicAuth:encode()
  return self._value
end

function BasicAuth:__tostring()
  return ("BasicAuth<login=%s>"):format(self.login)
end

-- Names of encodings, as iconv has them; UTF-8 is what strings are in.
local ENCODINGS = { ["utf-8"] = "UTF-8", utf8 = "UTF-8", latin1 = "ISO-8859-1",
  ["latin-1"] = "ISO-8859-1", ["iso-8859-1"] = "ISO-8859-1" }

-- `text`, UTF-8, in ISO-8859-1.
local function to_latin1(text, what)
  local pieces = core.text_encode(text, "ISO-8859-1")
  if not pieces then
    refuse(what, "is not UTF-8")
  end
  for _, piece in ipairs(pieces) do
    if type(piece) ~= "string" then
      refuse(what, "has a character that latin1 lacks")
    end
  end
  return table.concat(pieces)
end

---A name and a password for servers that ask for them (RFC 7617). They are sent with every
---request, whether or not the server asked, and anybody can read them where there is no TLS.
---
---The strings are sent as they are, in UTF-8 if that is what they are in; with the encoding
---"latin1", which is aiohttp's default, they are taken as UTF-8 and sent in that.
---
---Raises `type`, code "invalid_auth", for a login with a colon, for control characters, and for
---what cannot be encoded.
---@param login string
---@param password string? default ""
---@param encoding string? "utf-8" (default) or "latin1"
---@return weft.http.BasicAuth
function M.basic_auth(login, password, encoding)
  options.expect(login, "string", "the login")
  password = options.expect(password == nil and "" or password, "string", "the password")
  encoding = options.expect(encoding == nil and "utf-8" or encoding, "string", "the encoding")
  local name = ENCODINGS[encoding:lower()]
  if not name then
    errors.raise("type", ("basic_auth: unknown encoding '%s' (did you mean '%s'?)")
      :format(encoding, options.nearest(encoding, ENCODINGS)))
  elseif login:find(":", 1, true) then
    refuse("the login", "has a ':', which would end it")
  elseif login:find(CONTROL) or password:find(CONTROL) then
    refuse(login:find(CONTROL) and "the login" or "the password", "has a control character")
  end
  local sent_login, sent_password = login, password
  if name ~= "UTF-8" then
    sent_login, sent_password = to_latin1(login, "the login"), to_latin1(password, "the password")
  end
  return setmetatable({ login = login,
    _value = "Basic " .. core.base64_encode(sent_login .. ":" .. sent_password) }, BasicAuth)
end

---A token, sent as it is. See `weft.http.bearer_auth`.
---@class weft.http.BearerAuth
local BearerAuth = class("BearerAuth")

---The value of the Authorization field. It has the token.
---@return string
function BearerAuth:encode()
  return self._value
end

function BearerAuth:__tostring() -- luacheck: no self
  return "BearerAuth<>"
end

---A token of OAuth 2 or the like (RFC 6750). It is sent with every request.
---
---Raises `type`, code "invalid_auth", for one that is empty, or has a space or anything else
---beside visible ASCII.
---@param token string
---@return weft.http.BearerAuth
function M.bearer_auth(token)
  options.expect(token, "string", "the token")
  if not token:find("^[!-~]+$") then
    refuse("the token", token == "" and "is empty"
      or "has a character that is not visible ASCII")
  end
  return setmetatable({ _value = "Bearer " .. token }, BearerAuth)
end

--- what a script makes itself ------------------------------------------------------------------

local FunctionAuth = { __name = "weft.http.FunctionAuth", challenged = never }
FunctionAuth.__index = FunctionAuth

function FunctionAuth:apply(request)
  local value = self._fn(request)
  if value ~= nil then
    request.message.fields:set("Authorization", options.expect(value, "string",
      "what the auth function returns"))
  end
end

local function has_methods(value)
  return type(value) == "table" and type(value.apply) == "function"
end

---The object for what was given as option `auth`: one of the kinds above, any table with `apply`
---(and `challenged`), or a function, which gets each request that is about to be sent, may wait,
---and may return the value of the Authorization field. nil and false stay.
---@private
---@param value any
---@return table?
function M.check(value)
  if not value then
    return value or nil
  elseif has_methods(value) then
    if value.challenged == nil then
      errors.raise("type", "auth: the object has a method 'apply', and none 'challenged'")
    end
    return value
  elseif type(value) == "function" then
    return setmetatable({ _fn = value }, FunctionAuth)
  end
  errors.raise("type", ("auth must be made by http.basic_auth, bearer_auth or digest_auth, or be "
    .. "a function, got %s"):format(type(value)), { code = "invalid_auth" })
end

---What a URL has before its "@", decoded; nil if there is nothing.
---@private
---@param url weft.url.URL
---@return weft.http.BasicAuth?
function M.from_url(url)
  if url.username == "" and url.password == "" then
    return nil
  end
  return M.basic_auth(urls.percent_decode(url.username), urls.percent_decode(url.password))
end

return M
