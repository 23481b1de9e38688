-- SPDX-License-Identifier: MIT
-- weft.http: the public names.
-- A name that is missing here is missing for every user.

local http = require "weft.http"
local support = require "spec.support"

describe("weft.http", function()
  it("has what the manual promises", support.outside(function()
    for name in ([[session request get post put patch delete head options cookie_jar form_data file
      basic_auth bearer_auth digest_auth url headers json_array json_null decoder decode
      encoding_name charset_of prescan parse_mime record replay]]):gmatch("[%w_]+") do
      assert.is_function(http[name], name)
    end
    assert.equal("http://a/b", http.url("b", "http://a/").href)
    assert.equal("c", http.headers({ ["A-B"] = "c" })["a-b"])
  end))

  it("has nothing that is weft's own", support.outside(function()
    for name in pairs(http) do
      assert.is_nil(name:find("^_"))
    end
    assert.is_nil(http.check)
    assert.is_nil(http.encode)
  end))
end)
