-- SPDX-License-Identifier: MIT
-- weft.http.charsets: the encodings of the web: their names and labels, as the Encoding
-- Standard has them, and how each is read with what libc has.
--
-- Owns: the tables.
-- Must not know: how bytes are decoded.
-- Invariant: a label is of one encoding, and in lower case.

local M = {}

-- Name, then labels. A name in lower case is a label as well.
local NAMES = [[
UTF-8 unicode-1-1-utf-8 unicode11utf8 unicode20utf8 utf8 x-unicode20utf8
IBM866 866 cp866 csibm866
ISO-8859-2 csisolatin2 iso-ir-101 iso8859-2 iso88592 iso_8859-2 iso_8859-2:1987 l2 latin2
ISO-8859-3 csisolatin3 iso-ir-109 iso8859-3 iso88593 iso_8859-3 iso_8859-3:1988 l3 latin3
ISO-8859-4 csisolatin4 iso-ir-110 iso8859-4 iso88594 iso_8859-4 iso_8859-4:1988 l4 latin4
ISO-8859-5 csisolatincyrillic cyrillic iso-ir-144 iso8859-5 iso88595 iso_8859-5 iso_8859-5:1988
ISO-8859-6 arabic asmo-708 csiso88596e csiso88596i csisolatinarabic ecma-114 iso-8859-6-e
 iso-8859-6-i iso-ir-127 iso8859-6 iso88596 iso_8859-6 iso_8859-6:1987
ISO-8859-7 csisolatingreek ecma-118 elot_928 greek greek8 iso-ir-126 iso8859-7 iso88597
 iso_8859-7 iso_8859-7:1987 sun_eu_greek
ISO-8859-8 csiso88598e csisolatinhebrew hebrew iso-8859-8-e iso-ir-138 iso8859-8 iso88598
 iso_8859-8 iso_8859-8:1988 visual
ISO-8859-8-I csiso88598i logical
ISO-8859-10 csisolatin6 iso-ir-157 iso8859-10 iso885910 l6 latin6
ISO-8859-13 iso8859-13 iso885913
ISO-8859-14 iso8859-14 iso885914
ISO-8859-15 csisolatin9 iso8859-15 iso885915 iso_8859-15 l9
ISO-8859-16
KOI8-R cskoi8r koi koi8 koi8_r
KOI8-U koi8-ru
macintosh csmacintosh mac x-mac-roman
windows-874 dos-874 iso-8859-11 iso8859-11 iso885911 tis-620
windows-1250 cp1250 x-cp1250
windows-1251 cp1251 x-cp1251
windows-1252 ansi_x3.4-1968 ascii cp1252 cp819 csisolatin1 ibm819 iso-8859-1 iso-ir-100
 iso8859-1 iso88591 iso_8859-1 iso_8859-1:1987 l1 latin1 us-ascii x-cp1252
windows-1253 cp1253 x-cp1253
windows-1254 cp1254 csisolatin5 iso-8859-9 iso-ir-148 iso8859-9 iso88599 iso_8859-9
 iso_8859-9:1989 l5 latin5 x-cp1254
windows-1255 cp1255 x-cp1255
windows-1256 cp1256 x-cp1256
windows-1257 cp1257 x-cp1257
windows-1258 cp1258 x-cp1258
x-mac-cyrillic x-mac-ukrainian
GBK chinese csgb2312 csiso58gb231280 gb2312 gb_2312 gb_2312-80 iso-ir-58 x-gbk
gb18030
Big5 big5-hkscs cn-big5 csbig5 x-x-big5
EUC-JP cseucpkdfmtjapanese x-euc-jp
ISO-2022-JP csiso2022jp
Shift_JIS csshiftjis ms932 ms_kanji shift-jis sjis windows-31j x-sjis
EUC-KR cseuckr csksc56011987 iso-ir-149 korean ks_c_5601-1987 ks_c_5601-1989 ksc5601 ksc_5601
 windows-949
replacement csiso2022kr hz-gb-2312 iso-2022-cn iso-2022-cn-ext iso-2022-kr
UTF-16BE unicodefffe
UTF-16LE csunicode iso-10646-ucs-2 ucs-2 unicode unicodefeff utf-16
x-user-defined
]]

-- The name of each label.
local labels = {}

-- How each name is read: `kind`, the charset's name for iconv, `patches` of single bytes
-- that iconv reads otherwise or not at all, and `leads`, ranges of the bytes that others follow.
local methods = {}

for line in NAMES:gsub("\n ", " "):gmatch("[^\n]+") do
  local name = line:match("^%S+")
  for label in line:lower():gmatch("%S+") do
    labels[label] = name
  end
  methods[name] = { kind = "table", charset = name:upper(), patches = {} }
end

local function set(name, kind, charset, patches, leads)
  methods[name] = { kind = kind, charset = charset, patches = patches or {}, leads = leads or "" }
end

set("UTF-8", "utf8")
set("UTF-16BE", "utf16be")
set("UTF-16LE", "utf16le")
set("replacement", "replacement")

set("ISO-8859-8-I", "table", "ISO-8859-8")
set("KOI8-U", "table", "KOI8-U", { [0xAE] = 0x45E, [0xBE] = 0x40E })
set("macintosh", "table", "MACINTOSH", { [0xC6] = 0x2206, [0xF0] = 0xF8FF })
set("windows-1255", "table", "WINDOWS-1255", { [0xCA] = 0x5BA })
set("x-mac-cyrillic", "table", "MAC-CYRILLIC", { [0xFF] = 0x20AC })

local user_defined = {}
for byte = 0x80, 0xFF do
  user_defined[byte] = 0xF700 + byte
end
set("x-user-defined", "table", nil, user_defined)

-- Each is what browsers mean by the name: supersets with the vendors' characters.
set("GBK", "iconv", "GB18030", { [0x80] = 0x20AC }, "\129\254")
set("gb18030", "iconv", "GB18030", { [0x80] = 0x20AC }, "\129\254")
set("Big5", "iconv", "BIG5-HKSCS", nil, "\129\254")
set("EUC-JP", "iconv", "EUC-JP-MS", nil, "\142\143\161\254")
set("ISO-2022-JP", "iconv", "ISO-2022-JP")
set("Shift_JIS", "iconv", "CP932", { [0x80] = 0x80 }, "\129\159\224\252")
set("EUC-KR", "iconv", "UHC", nil, "\129\254")

---The name of the encoding that a label stands for; nil if none does.
---@private
function M.name(label)
  return labels[label:gsub("^[\t\n\f\r ]+", ""):gsub("[\t\n\f\r ]+$", ""):lower()]
end

---How the encoding of this name is read.
---@private
function M.method(name)
  return methods[name]
end

M.labels = labels

return M
