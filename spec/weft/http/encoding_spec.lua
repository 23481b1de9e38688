-- SPDX-License-Identifier: MIT
-- weft.http.encoding: labels, decoding at any split and of any bytes, and where an encoding is
-- found; the cases of the Encoding Standard and of html5lib, where they are at hand.

local cases = require "spec.weft.http.cases"
local http = require "weft.http.encoding"
local support = require "spec.support"

local U = "\239\191\189" -- U+FFFD

-- Bytes, and what they are in UTF-8.
local SAMPLES = {
  ["UTF-8"] = { "a\195\169\226\130\172\240\159\152\128z", "aé€😀z" },
  ["IBM866"] = { "\143\224\168\162\165\226", "Привет" },
  ["ISO-8859-2"] = { "P\248\237li\185", "Příliš" },
  ["ISO-8859-3"] = { "e\182o\254an\248", "eĥoŝanĝ" },
  ["ISO-8859-4"] = { "\185ogs", "šogs" },
  ["ISO-8859-5"] = { "\191\224\216\210\213\226", "Привет" },
  ["ISO-8859-6"] = { "\229\209\205\200\199", "مرحبا" },
  ["ISO-8859-7"] = { "\195\229\233\220 \164", "Γειά €" },
  ["ISO-8859-8"] = { "\249\236\229\237", "שלום" },
  ["ISO-8859-8-I"] = { "\249\236\229\237", "שלום" },
  ["ISO-8859-10"] = { "\185\240", "đð" },
  ["ISO-8859-13"] = { "\251\240", "ūš" },
  ["ISO-8859-14"] = { "\240\161", "ŵḂ" },
  ["ISO-8859-15"] = { "\164\189", "€œ" },
  ["ISO-8859-16"] = { "\170\186", "Șș" },
  ["KOI8-R"] = { "\240\210\201\215\197\212", "Привет" },
  ["KOI8-U"] = { "\246\166\174\190", "ЖіўЎ" },
  ["macintosh"] = { "caf\142 \219\240\198", "café €\239\163\191∆" },
  ["windows-874"] = { "\202\199\209\202\180\213", "สวัสดี" },
  ["windows-1250"] = { "P\248\237li\154", "Příliš" },
  ["windows-1251"] = { "\207\240\232\226\229\242", "Привет" },
  ["windows-1252"] = { "\147caf\233\148 \128\129", "“café” €\194\129" },
  ["windows-1253"] = { "\195\229\233\220", "Γειά" },
  ["windows-1254"] = { "\254\240\253", "şğı" },
  ["windows-1255"] = { "\249\236\229\237\225\204\202", "שלום\215\145\214\188\214\186" },
  ["windows-1256"] = { "\227\209\205\200\199", "مرحبا" },
  ["windows-1257"] = { "\251\240", "ūš" },
  ["windows-1258"] = { "Vi\234\242t", "Viê\204\163t" },
  ["x-mac-cyrillic"] = { "\143\220\162\182\255", "П№Ґґ€" },
  ["GBK"] = { "\214\208\206\196\128", "中文€" },
  ["gb18030"] = { "\214\208\1290\1290\128", "中\194\128€" },
  ["Big5"] = { "\164\164\164\229", "中文" },
  ["EUC-JP"] = { "\198\252\203\220\184\236\142\177", "日本語ｱ" },
  ["ISO-2022-JP"] = { "\27$BF|K\\8l\27(B!", "日本語!" },
  ["Shift_JIS"] = { "\147\250\150{\140\234\177\128\135@", "日本語ｱ\194\128①" },
  ["EUC-KR"] = { "\199\209\177\219\129A", "한글갂" },
  ["replacement"] = { "anything", U },
  ["UTF-16BE"] = { "\0a \172\216=\222\0", "a€😀" },
  ["UTF-16LE"] = { "a\0\172 =\216\0\222", "a€😀" },
  ["x-user-defined"] = { "a\128\255", "a\239\158\128\239\159\191" },
}
-- What the pieces of `bytes`, cut at `cut`, give.
local function in_pieces(label, bytes, errors, ...)
  local decoder, parts, from = http.decoder(label, { errors = errors }), {}, 1
  for _, cut in ipairs({ ... }) do
    parts[#parts + 1] = decoder:decode(bytes:sub(from, cut))
    from = cut + 1
  end
  parts[#parts + 1] = decoder:decode(bytes:sub(from), true)
  return table.concat(parts)
end

local function is_utf8(text)
  return pcall(http.decode, text, "utf-8", { errors = "strict" })
end

describe("an encoding", function()
  it("has the labels of the Encoding Standard", support.outside(function()
    local count, names = 0, 0
    for _, section in ipairs(cases.json("whatwg-encoding/encodings.json")) do
      for _, encoding in ipairs(section.encodings) do
        names = names + 1
        for _, label in ipairs(encoding.labels) do
          assert.equal(encoding.name, http.encoding_name(label))
          assert.equal(encoding.name, http.encoding_name("\t" .. label:upper() .. " \r\n"))
          count = count + 1
        end
      end
    end
    cases.ran("whatwg-encoding/encodings.json", count)
    if count > 0 then
      local ours = 0
      for _ in pairs(require("weft.http.charsets").labels) do ours = ours + 1 end
      assert.same({ count, 40 }, { ours, names })
    end
  end))

  it("is known by its labels", support.outside(function()
    assert.equal("windows-1252", http.encoding_name("Latin1"))
    assert.equal("GBK", http.encoding_name(" gb2312 "))
    assert.equal("UTF-16LE", http.encoding_name("utf-16"))
    for _, label in ipairs({ "", "utf-7", "utf 8", "latin1\0", "\194\160utf-8" }) do
      assert.is_nil(http.encoding_name(label))
    end
    support.raises({ "decode", "unknown_encoding" }, http.decode, "x", "utf-7")
    support.raises("type", http.decode, "x", "utf-8", { errors = "explode" })
    support.raises({ "type", "unknown_option" }, http.decode, "x", "utf-8", { error = "strict" })
  end))

  it("is decoded, each", support.outside(function()
    local count = 0
    for name, sample in pairs(SAMPLES) do
      assert.equal(sample[2], http.decode(sample[1], name), name)
      assert.equal("", http.decode("", name), name)
      count = count + 1
    end
    assert.equal(40, count)
  end))

  it("is decoded whatever the split", support.outside(function()
    for name, sample in pairs(SAMPLES) do
      for i = 0, #sample[1] do
        assert.equal(sample[2], in_pieces(name, sample[1], nil, i), name)
        for j = i, #sample[1] do
          assert.equal(sample[2], in_pieces(name, sample[1], nil, i, j), name)
        end
      end
    end
  end))

  it("gives UTF-8 of any bytes, the same at any split", support.outside(function()
    math.randomseed(11)
    for name in pairs(SAMPLES) do
      for _ = 1, support.rounds(60) do
        local bytes = {}
        for i = 1, math.random(12) do
          local is_ascii = math.random(3) == 1
          bytes[i] = string.char(math.random(is_ascii and 0 or 128, is_ascii and 127 or 255))
        end
        bytes = table.concat(bytes)
        for _, errors in ipairs({ "replace", "ignore" }) do
          local whole = http.decode(bytes, name, { errors = errors })
          assert.is_true(is_utf8(whole), name)
          for cut = 1, #bytes - 1 do
            assert.equal(whole, in_pieces(name, bytes, errors, cut), name)
          end
        end
        local ok, e = pcall(http.decode, bytes, name, { errors = "strict" })
        local _, lost = http.decode(bytes, name):gsub(U, "")
        if ok or name == "replacement" then
          assert.equal(name == "replacement" and 1 or 0, lost, name)
        else
          assert.is_true(lost > 0, name)
          assert.is_true(e.offset >= 0 and e.offset < #bytes, name)
        end
      end
    end
  end))

  it("counts errors in UTF-8 as browsers do", support.outside(function()
    for bytes, text in pairs({
      ["\128"] = U,
      ["a\192\128b"] = "a" .. U .. U .. "b",
      ["\193\191"] = U .. U,
      ["\224\128\128"] = U:rep(3),
      ["\237\160\128"] = U:rep(3),
      ["\226\130z"] = U .. "z",
      ["\226\130"] = U,
      ["\240\159\152"] = U,
      ["\240\159\152\240\159\152\128"] = U .. "😀",
      ["\240\128\128\128"] = U:rep(4),
      ["\244\144\128\128"] = U:rep(4),
      ["\245\128"] = U .. U,
      ["\255\254\253"] = U:rep(3),
      ["\195<"] = U .. "<",
    }) do
      assert.equal(text, http.decode(bytes, "utf8"))
    end
  end))

  it("counts errors in UTF-16 as browsers do", support.outside(function()
    assert.equal(U, http.decode("a", "utf-16le"))
    assert.equal("a" .. U, http.decode("a\0b", "utf-16le"))
    assert.equal(U .. "a", http.decode("\0\220a\0", "utf-16le"), "a second half alone")
    assert.equal(U .. "a", http.decode("\0\216a\0", "utf-16le"), "a first half alone")
    assert.equal(U, http.decode("\0\216", "utf-16le"))
    assert.equal(U, http.decode("\0\216\0", "utf-16le"))
    assert.equal(U .. "😀", http.decode("\216=\216=\222\0", "utf-16be"))
  end))

  it("does not swallow markup behind a broken character", support.outside(function()
    assert.equal(U .. "<b>", http.decode("\129<b>", "gbk"))
    assert.equal(U .. '">', http.decode('\164">', "big5"))
    assert.equal(U .. "<", http.decode("\129<", "shift_jis"))
    assert.equal(U .. "<", http.decode("\161<", "euc-jp"))
    assert.equal(U .. "中", http.decode("\255\214\208", "gbk"))
    assert.equal("中" .. U, http.decode("\214\208\214", "gbk"), "cut at the end")
    assert.equal("x" .. U, http.decode("x\1290\129", "gb18030"))
  end))

  it("leaves the undefined undefined, but for controls", support.outside(function()
    assert.equal("\194\129\194\141\194\143\194\144\194\157",
      http.decode("\129\141\143\144\157", "latin1"))
    assert.equal(U .. "x", http.decode("\165x", "iso-8859-6"))
    assert.equal("x", http.decode("\165x", "iso-8859-6", { errors = "ignore" }))
    assert.equal("\194\128", http.decode("\128", "iso-8859-2"))
  end))

  it("is malformed at an offset, when it is strict", support.outside(function()
    local function offset(bytes, label)
      local e = support.raises({ "decode", "malformed" }, http.decode, bytes, label,
        { errors = "strict" })
      return e.offset
    end
    assert.equal(3, offset("abc\255", "utf-8"))
    assert.equal(1, offset("a\226\130", "utf-8"))
    assert.equal(2, offset("a\0b", "utf-16le"))
    assert.equal(2, offset("\214\208\255", "gbk"))
    assert.equal(2, offset("\214\208\214", "gbk"))
    assert.equal(4, offset("abcd\165", "arabic"))
    assert.equal(0, offset("x", "hz-gb-2312"))
    local decoder = http.decoder("utf-8", { errors = "strict" })
    assert.equal("ab", decoder:decode("ab\226"))
    assert.equal("€c", decoder:decode("\130\172c"))
    local e = support.raises("decode", decoder.decode, decoder, "d\128")
    assert.same({ 7, "UTF-8" }, { e.offset, e.encoding })
    assert.equal("new", decoder:decode("new", true), "what follows is another text")
  end))

  it("begins with a byte order mark, which is no text, once", support.outside(function()
    local bom = "\239\187\191"
    assert.equal("a", http.decode(bom .. "a", "utf-8"))
    assert.equal(bom .. "a", http.decode(bom .. bom .. "a", "utf-8"))
    assert.equal("a", http.decode("\255\254a\0", "utf-16"))
    assert.equal("a", http.decode("\254\255\0a", "utf-16be"))
    assert.equal("ï»¿a", http.decode(bom .. "a", "latin1"))
    for i = 0, 4 do
      assert.equal("a" .. bom, in_pieces("utf-8", bom .. "a" .. bom, nil, i))
    end
    local decoder = http.decoder("utf-8")
    assert.equal("x", decoder:decode(bom .. "x", true))
    assert.equal("y", decoder:decode(bom .. "y", true))
  end))

  it("is decoded when long", support.outside(function()
    local n = support.rounds(100000)
    for _, name in ipairs({ "GBK", "windows-1251", "UTF-8", "UTF-16LE", "Shift_JIS" }) do
      local sample = SAMPLES[name]
      assert.is_true(sample[2]:rep(n) == http.decode(sample[1]:rep(n), name), name)
    end
    assert.is_true(U:rep(n) == http.decode(("\255"):rep(n), "gbk"))
    assert.is_true(U:rep(n) == http.decode(("\255"):rep(n), "utf-8"))
  end))
end)

describe("the encoding of a document", function()
  -- A file of html5lib's: { data =, encoding = }.
  local function read_cases(path)
    local list = {}
    for block in ((cases.read(path) or "") .. "#data\n"):gmatch("(.-)#data\n") do
      local data, encoding = block:match("^(.*)\n#encoding\n([^\n]*)")
      if data then list[#list + 1] = { data = data, encoding = encoding } end
    end
    return list
  end

  it("is what html5lib says", support.outside(function()
    local count = 0
    for _, file in ipairs({ "tests1", "tests2", "test-yahoo-jp" }) do
      for _, case in ipairs(read_cases("html5lib/encoding/" .. file .. ".dat")) do
        -- Some name their encoding behind the first 1024 bytes, for parsers that look there too.
        local name = http.charset_of(nil, case.data, "windows-1252")
        if #case.data > 1024 and name == "windows-1252" then
          name = http.prescan(case.data, #case.data) or name
        end
        assert.equal(http.encoding_name(case.encoding), name, case.data)
        count = count + 1
      end
    end
    cases.ran("html5lib/encoding", count)
  end))

  it("is in a meta", support.outside(function()
    for text, name in pairs({
      ["<meta charset=koi8-r>"] = "KOI8-R",
      ["<!-- <meta charset=big5> --><META\nCHARSET = 'koi8-r' >"] = "KOI8-R",
      ["<!--><meta charset=koi8-r>"] = "KOI8-R",
      ["<p title='<meta charset=big5>'><meta/charset=koi8-r>"] = "KOI8-R",
      ["<meta charset=nonsense><meta charset=koi8-r>"] = "KOI8-R",
      ["<meta charset=big5 charset=koi8-r>"] = "Big5",
      ["<meta http-equiv=content-type content='text/html; charset=\"koi8-r\"'>"] = "KOI8-R",
      ["<meta content='charset charset = koi8-r;x' http-equiv=Content-Type>"] = "KOI8-R",
      ["<meta charset=utf-16>"] = "UTF-8",
      ["<meta charset=x-user-defined>"] = "windows-1252",
      ["<?php ?><!doctype html></p x='>'><meta charset=koi8-r>"] = "KOI8-R",
      ["<?xml version='1.0' encoding='koi8-r'?><rss>"] = "KOI8-R",
      ['<?xml version="1.0" encoding="utf-16"?><rss>'] = "UTF-8",
      ["<?xml encoding='big5'?><meta charset=koi8-r>"] = "KOI8-R",
      ["<\0?\0x\0m\0l\0"] = "UTF-16LE",
      ["\0<\0?\0x\0m\0l"] = "UTF-16BE",
    }) do
      assert.equal(name, http.prescan(text), text)
      for cut = 1, #text - 1 do http.prescan(text:sub(1, cut)) end
    end
    for _, text in ipairs({ "", "<", "<meta", "<meta charset=koi8-r", "<meta charset='koi8-r>",
      "<!-- <meta charset=koi8-r>", "<meta content='text/html; charset=koi8-r'>",
      "<metacharset=koi8-r>", (" "):rep(1024 - 20) .. "<meta charset=koi8-r>" }) do
      assert.is_nil(http.prescan(text), text)
    end
  end))

  it("is the header's, the mark's, the document's, the fallback", support.outside(function()
    local meta, bom = "<meta charset=koi8-r>", "\239\187\191"
    local function found(...) return table.concat({ http.charset_of(...) }, " ") end
    assert.equal("Big5 header", found("text/html; charset=big5", bom .. meta))
    assert.equal("UTF-8 bom", found("text/html; charset=nonsense", bom .. meta))
    assert.equal("KOI8-R document", found("text/html", meta))
    assert.equal("KOI8-R document", found(nil, meta))
    assert.equal("KOI8-R document", found("nonsense", meta))
    assert.equal("UTF-8 fallback", found("text/plain", meta))
    assert.equal("UTF-8 fallback", found("text/html", "<p>"))
    assert.equal("windows-1252 fallback", found("text/html", "<p>", "latin1"))
    assert.equal("UTF-16BE bom", found("text/html; charset=utf-16", "\254\255\0a"))
    assert.equal("UTF-16LE header", found("text/html; charset=utf-16", "a\0"))
    support.raises({ "decode", "unknown_encoding" }, http.charset_of, nil, "", "nonsense")
  end))
end)
