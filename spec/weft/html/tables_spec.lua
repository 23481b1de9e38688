-- SPDX-License-Identifier: MIT
-- weft.html.tables: tables as rows: headers, cells that span columns and rows, tables in
-- tables.

local html = require "weft.html"
local support = require "spec.weft.html.support"

local function table_of(text)
  return html.parse(text):tables()[1]
end

describe("a table", function()
  it("has a caption, a header and rows", support.documents(function()
    local t = table_of([[<table><caption> The  table </caption><thead><tr><th>skip<th>it
      <tr><th>A<th>B</thead><tbody><tr><td>1<td> 2 </tbody><tfoot><tr><td>3<td>4</table>]])
    assert.equal("The table", t.caption)
    assert.same({ "A", "B" }, t.header)
    assert.same({ { "1", "2" }, { "3", "4" } }, t.rows)
    assert.same({ { A = "1", B = "2" }, { A = "3", B = "4" } }, t:records())
    t = table_of("<table><tr><th>A<td>1<tr><th>B<td>2</table>")
    assert.is_nil(t.header)
    assert.same({ { "A", "1" }, { "B", "2" } }, t.rows)
    support.raises("state", t.records, t)
    t = table_of("<table><tr><th>A<th>A<tr><td>1<td>2</table>")
    assert.same({ { A = "1" } }, t:records())
  end))

  it("repeats what spans columns and rows", support.documents(function()
    assert.same({ { "a", "a", "b" }, { "c", "d", "b" }, { "c", "e" } }, table_of(
      [[<table><tr><td colspan=2>a<td rowspan=2>b<tr><td rowspan=9>c<td>d<tr><td>e</table>]])
      .rows)
    assert.same({ { "a", "b" }, { "a", "c" }, { "d" } }, table_of([[<table><tbody>
      <tr><td rowspan=0>a<td>b<tr><td>c</tbody><tbody><tr><td>d</table>]]).rows)
    assert.same({ { "a", "x", "b" }, { "c", "x", "d" } }, table_of(
      [[<table><tr><td>a<td rowspan=2>x<td>b<tr><td>c<td>d</table>]]).rows)
    assert.same({ { "a" } }, table_of("<table><tr><td colspan=x rowspan=-1>a</table>").rows)
    assert.same({ { "a" } }, table_of("<table><tr><td colspan=0>a</table>").rows)
  end))

  it("is not the tables in it", support.documents(function()
    local doc = html.parse("<table><tr><td><table><tr><td>in</table><td>out</table>")
    local tables = doc:tables()
    assert.equal(2, #tables)
    assert.same({ { "in", "out" } }, tables[1].rows)
    assert.same({ { "in" } }, tables[2].rows)
    assert.equal("table", tables[2].node:name())
  end))

  it("can be empty", support.documents(function()
    assert.same({}, table_of("<table></table>").rows)
    assert.same({ {}, { "x" } }, table_of("<table><tr><tr><td>x</table>").rows)
  end))

  it("has a limit", support.documents(function()
    local doc = html.parse("<table>" .. ("<tr><td colspan=1000 rowspan=65000>x"):rep(1100)
      .. "</table>")
    support.raises({ "limit", "max_cells" }, doc.tables, doc)
  end))
end)
