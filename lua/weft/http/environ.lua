-- SPDX-License-Identifier: MIT
-- weft.http.environ: the proxies that environment variables name: http_proxy, https_proxy,
-- all_proxy and no_proxy, in lower or upper case.
--
-- Owns: which variable counts. Must not know: how a proxy is spoken to.
-- Invariant: no error has a proxy's password in it.

local errors = require "weft.error"
local noproxy = require "weft.http.noproxy"
local urls = require "weft.url"

local M = {}

local SCHEMES = { http = "http", https = "https", ws = "http", wss = "https" }
local DEFAULT_PORTS = { http = 80, https = 443, ws = 80, wss = 443 }
local PROXY_SCHEMES = { http = true, https = true, socks4 = true, socks4a = true, socks5 = true,
  socks5h = true }

-- For specs.
M._getenv = os.getenv

-- What has been read of a variable's value, by that value; the values change rarely.
local KNOWN_MAX = 16

-- `read(value, name)`, which remembers.
local function remembering(read)
  local known, count = {}, 0
  return function(value, name)
    local result = known[value]
    if not result then
      result = read(value, name)
      if count >= KNOWN_MAX then
        known, count = {}, 0
      end
      known[value], count = result, count + 1
    end
    return result
  end
end

local parse_no_proxy = remembering(noproxy.parse)

-- The value of a variable and its name; lower case comes first.
local function variable(name)
  local value = M._getenv(name)
  if value then
    return value, name
  end
  -- In a CGI program HTTP_PROXY is the Proxy field of the request: anybody could have set it.
  if name == "http_proxy" and M._getenv("REQUEST_METHOD") then
    return nil
  end
  name = name:upper()
  return M._getenv(name), name
end

local function refuse(name, why)
  errors.raise("type", ("%s in the environment is no proxy: %s"):format(name, why),
    { code = "invalid_proxy", variable = name })
end

local read_proxy = remembering(function(value, name)
  local text = value:find("^%a[%w+.-]*://") and value or "http://" .. value
  if not urls.can_parse(text) then
    refuse(name, "its value is no URL") -- which may have a password: it is not shown
  end
  local url = urls.parse(text)
  if not PROXY_SCHEMES[url.scheme] then
    refuse(name, ("its scheme is '%s', not one of http, https, socks4, socks4a, socks5 and socks5h")
      :format(url.scheme))
  elseif (url.hostname or "") == "" then
    refuse(name, "it names no host")
  end
  return url
end)

local function is_excluded(url)
  local value, name = variable("no_proxy")
  if not value or not value:find("[^%s,]") then
    return false
  end
  return noproxy.matches(parse_no_proxy(value, name), url.hostname,
    url.port or DEFAULT_PORTS[url.scheme])
end

---The proxy that the environment has for a URL: of `http_proxy` for http and ws, of
---`https_proxy` for https and wss, else of `all_proxy`; each in lower case first, then in upper
---case. A variable that is set and empty names none. HTTP_PROXY does not count where
---REQUEST_METHOD is set, as it is for CGI programs. `no_proxy` lists what is reached without:
---hosts and the domains below them ("example.com", with or without a dot in front), addresses,
---networks ("10.0.0.0/8"), each with or without a port; "*" is everything.
---
---Raises `type`, code "invalid_proxy" or "invalid_no_proxy", for a value that makes no sense.
---@private
---@param url weft.url.URL|string
---@return weft.url.URL?
function M.proxy_for(url)
  url = type(url) == "string" and urls.parse(url) or url
  local scheme = SCHEMES[url.scheme]
  if not scheme then
    return nil
  end
  local value, name = variable(scheme .. "_proxy")
  if not value then
    value, name = variable("all_proxy")
  end
  value = value and value:match("^%s*(.-)%s*$")
  if not value or value == "" or is_excluded(url) then
    return nil
  end
  return read_proxy(value, name)
end

return M
