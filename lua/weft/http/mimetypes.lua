-- SPDX-License-Identifier: MIT
-- weft.http.mimetypes: what a file is, by its name, as far as it matters when it is sent.
--
-- Owns: the list.
-- Must not know: files.

local M = {}

local TYPES = {
  avif = "image/avif", bin = "application/octet-stream", bmp = "image/bmp",
  bz2 = "application/x-bzip2", css = "text/css", csv = "text/csv", doc = "application/msword",
  docx = "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
  epub = "application/epub+zip", flac = "audio/flac", gif = "image/gif",
  gz = "application/gzip", htm = "text/html", html = "text/html", ico = "image/vnd.microsoft.icon",
  ics = "text/calendar", jpeg = "image/jpeg", jpg = "image/jpeg", js = "text/javascript",
  json = "application/json", jsonl = "application/jsonl", log = "text/plain",
  m4a = "audio/mp4", md = "text/markdown", mjs = "text/javascript", mp3 = "audio/mpeg",
  mp4 = "video/mp4", mpeg = "video/mpeg", odt = "application/vnd.oasis.opendocument.text",
  oga = "audio/ogg", ogg = "audio/ogg", ogv = "video/ogg", otf = "font/otf",
  pdf = "application/pdf", png = "image/png",
  pptx = "application/vnd.openxmlformats-officedocument.presentationml.presentation",
  rtf = "application/rtf", svg = "image/svg+xml", tar = "application/x-tar", tif = "image/tiff",
  tiff = "image/tiff", tsv = "text/tab-separated-values", ttf = "font/ttf", txt = "text/plain",
  wasm = "application/wasm", wav = "audio/wav", webm = "video/webm", webp = "image/webp",
  woff = "font/woff", woff2 = "font/woff2", xhtml = "application/xhtml+xml",
  xls = "application/vnd.ms-excel",
  xlsx = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
  xml = "application/xml", zip = "application/zip", zst = "application/zstd",
}

-- What is not known.
M.DEFAULT = "application/octet-stream"

---The type of a file by the end of its name.
---@private
---@param name string?
---@return string
function M.guess(name)
  local ending = name and name:match("%.(%w+)$")
  return ending and TYPES[ending:lower()] or M.DEFAULT
end

return M
