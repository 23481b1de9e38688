-- SPDX-License-Identifier: MIT
-- weft.crawl.page: text and document of a page, in the encoding that it says. What is followed is
-- in crawler_spec.lua.

local fields = require "weft.http.fields"
local pages = require "weft.crawl.page"

local function page_of(content_type, body)
  return pages.new({}, { url = "http://a.example/x", depth = 2, data = { user = "mine" } },
    { status = 200, headers = fields.new { ["Content-Type"] = content_type },
      content_type = "text/html" }, body, 0.5)
end

describe("weft.crawl.page", function()
  it("has its text and its document in the encoding of the headers, or of the page", function()
    local korean = "<title>\199\209\177\219</title><a href='y#z'>\199\209</a>" -- EUC-KR
    for _, page in ipairs { page_of("text/html; charset=euc-kr", korean),
      page_of("text/html", "<meta charset=euc-kr>" .. korean) } do
      assert.truthy(page:text():find("<title>한글</title>", 1, true))
      assert.equal("한글", page:document():title())
      assert.equal(page:document(), page:document())
      local link = page:document():links()[1]
      assert.equal("http://a.example/y#z", link.url)
      assert.equal("한", link.text)
      page:document():close()
    end
  end)

  it("says where it is from", function()
    local page = page_of("text/html", "")
    assert.same({ "http://a.example/x", 200, 2, 0.5, "mine" },
      { page.url, page.status, page.depth, page.seconds, page.data })
    assert.equal("Page<200 http://a.example/x>", tostring(page))
  end)
end)
