-- SPDX-License-Identifier: MIT
-- weft.http: aiohttp's client for Lua. This file only puts the public names together; each is
-- documented where it is made.

local fields = require "weft.http.fields"
local urls = require "weft.url"

---The HTTP client: sessions, requests and what they need.
---@class weft.http
local http = {
  ---A URL, taken apart: `weft.url.parse`.
  ---@type fun(text: string, base: (string | weft.url.URL)?): weft.url.URL
  url = urls.parse,
  ---Header fields: empty, or of a table, a list of pairs, or others.
  ---@type fun(source: (table | weft.http.Headers)?): weft.http.Headers
  headers = fields.new,
}

local function take(module, names)
  for name in names:gmatch("[%w_]+") do
    http[name] = module[name]
  end
end

take(require "weft.http.session", "session request get post put patch delete head options")
take(require "weft.http.cookies", "cookie_jar CookieJar")
take(require "weft.http.auth", "basic_auth bearer_auth digest_auth")
take(require "weft.http.multipart", "form_data")
take(require "weft.http.filebody", "file")
take(require "weft.http.jsonbody", "json_array json_null")
take(require "weft.http.encoding", "decoder decode encoding_name charset_of prescan")
take(require "weft.http.mime", "parse_mime")
take(require "weft.http.record", "record replay")

return http
