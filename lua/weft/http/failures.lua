-- SPDX-License-Identifier: MIT
-- weft.http.failures: the errors of an HTTP/1 connection, from the codes of src/bind/l_h1.c.
--
-- Owns: their kinds, words and fields.
-- Must not know: when a connection is closed.

local core = require "weft.core"
local errors = require "weft.error"
local streams = require "weft.stream"

local M = {}

local function name_of(stream)
  return core.stream_table(stream).name or "the server"
end

-- Codes of weft's own that are about the message and not about the stream.
local WORDS = {
  EPROTOCOL = "malformed response from %s",
  ETRUNCATED = "response from %s",
  ELIMIT = "response from %s",
  EEXPANSION = "response from %s",
  ECODING = "response from %s",
  EDECODE = "response from %s",
  ECODINGCUT = "response from %s",
}

local function timed_out(h1, stream, phase, name, seconds)
  local sent, received, has_begun, _, is_sent = core.h1_counts(h1)
  local what = has_begun and "nothing more was received"
    or is_sent and "no byte of the response was received" or "the request could not be sent"
  if phase == "head" and not is_sent and not has_begun then
    phase = "send"
  end
  return errors.new("timeout", ("%s for %g s from %s"):format(what, seconds, name_of(stream)),
    { phase = phase, timeout = name, bytes_sent = sent, bytes_received = received })
end

-- What is wrong with the message, in words.
local function of_message(stream, phase, partial, code, what, at)
  local name, message, kind = core.error_of(code)
  local own = core.stream_table(stream)
  local fields = { code = name, phase = phase, partial = partial, host = own.host,
    port = own.port }
  if name == "ELIMIT" and not what then
    what, fields.code = "the body is larger than the limit", "max_body_size"
  elseif name == "EPROTOCOL" or name == "ELIMIT" then
    fields.at = at
  end
  return errors.new(kind, WORDS[name]:format(name_of(stream)) .. ": " .. (what or message),
    fields)
end

---The error of a code that an operation of a connection failed with; or of a time limit, by its
---name (in place of the code) and seconds. `send_code`: what sending had failed with before.
---@private
function M.of(h1, stream, phase, code, what, at, has_begun, send_code)
  local partial
  if phase == "body" then
    partial = core.h1_partial(h1)
  end
  if type(code) == "string" then
    local e = timed_out(h1, stream, phase, code, what)
    e.partial = partial
    return e
  end
  if send_code and not has_begun then
    phase, code, what = "send", send_code, nil
  end
  if WORDS[core.error_of(code)] then
    return of_message(stream, phase, partial, code, what, at)
  end
  return streams._failure(stream, code, phase == "send" and "write to" or "read from", partial,
    phase)
end

local CODES = {
  ["the method is no token"] = "invalid_method",
  ["the target is empty"] = "invalid_url",
  ["a character in the target that must be encoded"] = "invalid_url",
}

---The error of what cannot be sent.
---@private
function M.refused(code, what)
  local name = core.error_of(code)
  return errors.new("type", "the request cannot be sent: " .. what,
    { code = CODES[what] or name == "EFIELD" and "invalid_header" or "invalid_request" })
end

return M
