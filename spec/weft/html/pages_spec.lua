-- SPDX-License-Identifier: MIT
-- weft.html: its answers on pages that others wrote, beside those of lxml, cssselect and parsel,
-- which a Python process gives in the same run.

local html = require "weft.html"
local selectors = require "spec.weft.html.selectors"
local support = require "spec.support"

local POSTGRES = "/usr/share/doc/postgresql-doc-15/html/"
local APACHE = "/usr/share/doc/apache2-doc/manual/"

-- Debian's; without the sanitizers that this process may run under.
local PYTHON = "env -u LD_PRELOAD /usr/bin/python3"

-- Path, and what the page is in.
local PAGES = {
  logical = { POSTGRES .. "functions-logical.html", "utf-8" },
  alterindex = { POSTGRES .. "sql-alterindex.html", "utf-8" },
  boolean = { POSTGRES .. "datatype-boolean.html", "utf-8" },
  mod_dir = { APACHE .. "en/mod/mod_dir.html", "utf-8" },
  korean = { APACHE .. "ko/bind.html", "euc-kr" },
  japanese = { APACHE .. "ja/bind.html", "utf-8" },
}

local function read(path)
  local file = io.open(path, "rb")
  if not file then
    return nil
  end
  local text = file:read("*a")
  file:close()
  return text
end

local function succeeds(command)
  local status = os.execute(command)
  return status == 0 or status == true
end

local function is_here()
  for _, page in pairs(PAGES) do
    if not read(page[1]) then
      return false
    end
  end
  return succeeds(PYTHON .. " -c 'import lxml, cssselect, parsel' 2>/dev/null")
end

local answers

local function peers()
  if answers then
    return answers
  end
  local json = require "cjson"
  local asked, answered = os.tmpname(), os.tmpname()
  local file = assert(io.open(asked, "w"))
  file:write(json.encode({ pages = PAGES, css = selectors.css, xpath = selectors.xpath,
    below = selectors.below }))
  file:close()
  assert(succeeds(("%s spec/weft/html/peers.py %s %s"):format(PYTHON, asked, answered)),
    "the Python process has failed")
  answers = json.decode(read(answered))
  os.remove(asked)
  os.remove(answered)
  return answers
end

local test = is_here() and it or pending

-- parsel strips the text, and the nodes that libxml2 makes of what stands around it.
local function parse(page)
  return html.parse((read(page[1]):gsub("^%s+", ""):gsub("%s+$", "")))
end

-- Fails with the first difference alone: pages are long.
local function same(expected, found, what)
  for i = 1, math.max(#expected, #found) do
    if expected[i] ~= found[i] then
      error(("%s: item %d of %d is %s, expected %s of %d"):format(what, i, #found,
        tostring(found[i]):sub(1, 200), tostring(expected[i]):sub(1, 200), #expected), 2)
    end
  end
end

describe("documents, beside lxml, cssselect and parsel,", function()
  for name, page in pairs(PAGES) do
    test("are selected from by CSS: " .. name, support.outside(function()
      local doc, expected = parse(page), peers()[name]
      for _, selector in ipairs(selectors.css) do
        local list = doc:css(selector)
        same(expected.css[selector], list:getall(), selector)
        assert.equal(expected.cssselect[selector] or #list, #list, selector)
      end
      doc:close()
    end))

    test("are selected from by XPath: " .. name, support.outside(function()
      local doc, expected = parse(page), peers()[name]
      for _, expression in ipairs(selectors.xpath) do
        same(expected.xpath[expression], doc:xpath(expression):getall(), expression)
      end
      doc:close()
    end))

    test("are selected from below nodes: " .. name, support.outside(function()
      local doc, expected = parse(page), peers()[name]
      for i, pair in ipairs(selectors.below) do
        same(expected.below[i], doc:css(pair[1]):css(pair[2]):getall(),
          pair[1] .. " / " .. pair[2])
      end
      doc:close()
    end))

    test("have the same encoding, title and texts: " .. name, support.outside(function()
      local doc, expected = parse(page), peers()[name]
      assert.equal(page[2]:upper(), (doc:encoding()))
      assert.equal(expected.title, doc:title())
      for i, node in ipairs(doc:xpath("//td//a | //h2")) do
        assert.equal(expected.text[i], (node:text_content():gsub("\194\160", " ")
          :gsub("%s+", " "):gsub("^ ", ""):gsub(" $", "")))
      end
      doc:close()
    end))
  end

  it("are compared on many selectors", function()
    io.write(("selectors: %d of CSS, %d of XPath, on 6 pages\n"):format(#selectors.css,
      #selectors.xpath))
    assert.is_true(#selectors.css >= 150)
  end)
end)
