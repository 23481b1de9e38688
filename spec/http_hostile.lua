-- SPDX-License-Identifier: MIT
-- spec.http_hostile: sessions and servers that do them wrong, for specs of what is left after that.
--
--     hostile.with({ cut = "HTTP/1.1 200 OK\r\nContent-" }, nil, function(session, site)
--       support.raises("connection", session.get, session, site.url .. "cut")
--       hostile.fine(session, site)
--     end)
--
-- Owns: nothing beyond a call.

local http = require "weft.http"
local raw = require "spec.http_raw"
local weft = require "weft"

local M = {}

local FINE = raw.response("fine")

-- What the server does with a connection: "/good" is answered, and the connection is kept; what
-- has a path of its own is done (a text, a list of steps, a function) once the head of the request
-- is read, and the connection is closed unless a function has returned true.
local function handler(acts)
  return function(stream, reader)
    while true do
      local head = reader:head()
      if not head then
        return
      end
      local path = head:match("^%S+ [^ ]-/([^ /?]*)[? ]")
      local act = acts[path]
      if act == nil then
        reader:body(head)
        stream:write(FINE)
      elseif not raw.play(type(act) == "string" and { act } or act, stream, reader, head) then
        return
      end
    end
  end
end

---Nothing of the session's is in use any more.
function M.quiet(session)
  local counts = session:statistics()
  assert(counts.in_use == 0 and counts.waiting == 0 and counts.open == counts.idle,
    ("in use %d, waiting %d, open %d, idle %d"):format(counts.in_use, counts.waiting, counts.open,
    counts.idle))
end

---Nothing is in use, and a further request works.
function M.fine(session, site)
  M.quiet(session)
  local text = session:get(site.url .. "good"):text()
  assert(text == "fine", text)
  M.quiet(session)
end

---Calls fn(session, site) with a session and a server (`url`, with its "/" at the end; `server`, as
---raw.serve returns it). Options: those of the session; `serve`, those of the server.
function M.with(acts, opts, fn)
  local made = { limit = 2, timeout = 20 }
  for key, value in pairs(opts or {}) do
    made[key] = value
  end
  local serve = made.serve
  made.serve = nil
  local server = raw.serve(handler(acts), serve)
  local session = http.session(made)
  local url = ("%s://127.0.0.1:%d/"):format(serve and serve.tls and "https" or "http", server.port)
  weft.finally(function()
    fn(session, { url = url, server = server })
  end, function()
    session:close()
    server:close()
  end)
end

---The head of a response; `fields` without the last line's end.
function M.head(fields, status)
  return ("HTTP/1.1 %s\r\n%s\r\n\r\n"):format(status or "200 OK", fields)
end

---An act that sends pieces for ever, each `pause` seconds (default: as soon as possible) after
---the one before.
function M.endless(first, piece, pause)
  return function(stream)
    stream:write(first)
    while true do
      stream:write(piece)
      weft.sleep(pause or 0)
    end
  end
end

---Bytes from their hexadecimal digits.
function M.bytes(hex)
  return (hex:gsub("%s", ""):gsub("%x%x", function(pair)
    return string.char(tonumber(pair, 16))
  end))
end

return M
