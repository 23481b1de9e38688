-- SPDX-License-Identifier: MIT
-- Sessions against a server that does everything wrong, while requests are cancelled at random.
-- What counts is what is left: no connection, slot, task, descriptor or byte.

local http = require "weft.http"
local raw = require "spec.http_raw"
local support = require "spec.support"
local testing = require "weft.testing"
local weft = require "weft"

local ROUNDS = tonumber(os.getenv("WEFT_FAULTS")) or support.rounds(3000)

-- A sequence that is the same in every run.
local function random(seed)
  return function(n)
    seed = (seed * 16807) % 2147483647
    return seed % n + 1
  end
end

local OK = raw.response(("x"):rep(100))
local LARGE = raw.response(("x"):rep(200000))

-- What the server may do with a request; true: the connection goes on.
local FAULTS = {
  function(stream) stream:write(OK) return true end,
  function(stream) stream:write(OK) return true end,
  function(stream) stream:write(LARGE) return true end,
  function(stream)
    stream:write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
      raw.chunked(("y"):rep(5000), 700))
    return true
  end,
  function(stream)
    stream:write("HTTP/1.1 302 Found\r\nLocation: /next\r\nContent-Length: 3\r\n\r\nabc")
    return true
  end,
  function(stream)
    stream:write("HTTP/1.1 503 Busy\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n")
    return true
  end,
  function() end, -- closes
  function(stream) stream:write("HTTP/1.1 2") end,
  function(stream) stream:write("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nabc") end,
  function(stream) stream:write("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: "
    .. "chunked\r\n\r\n0\r\n\r\n") end,
  function(stream) stream:write("garbage\r\n\r\n") end,
  function(stream) stream:write(OK, "HTTP/1.1 200 OK\r\n") return true end,
  function(stream) stream:write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n") end,
  function(stream)
    stream:write("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
    weft.sleep(0)
    stream:write("defghi")
    return true
  end,
}

local KINDS = { connection = true, protocol = true, redirect = true, cancelled = true,
  timeout = true }

-- One request and what a script may do with its response.
local function use(session, url, dice)
  local resp = session:get(url, { retry = dice(3) == 1 and { attempts = 2, backoff = 0 } or nil })
  local what = dice(5)
  if what == 1 then
    resp:release()
  elseif what == 2 then
    resp:iter_chunked(100)()
  elseif what ~= 3 then -- 3: nothing at all
    resp:read()
  end
end

-- A long run has no guard time: WEFT_FAULTS=100000.
local function run(fn)
  if ROUNDS <= 10000 then
    return support.run(fn)
  end
  return support.outside(function() weft.run(testing.leaks, fn) end)
end

describe("a session among faults", function()
  it(("loses nothing in %d requests"):format(ROUNDS), run(function()
    local dice = random(20261121)
    local server = raw.serve(function(stream, reader)
      while reader:head() do
        if not FAULTS[dice(#FAULTS)](stream) then
          return
        end
      end
    end)
    local session = http.session({ limit = 12, max_redirects = 3, timeout = 20 })
    local url = ("http://127.0.0.1:%d/"):format(server.port)
    local unexpected
    for _ = 1, ROUNDS / 10 do
      local tasks = {}
      for i = 1, 10 do
        tasks[i] = weft.create_task(use, session, url, dice)
      end
      collectgarbage() -- what was dropped unread has its slot until then
      for _ = 1, dice(6) do
        weft.sleep(0)
      end
      for _ = 1, 3 do
        tasks[dice(10)]:cancel()
      end
      for i = 1, 10 do
        local ok, e = weft.try(weft.await, tasks[i])
        if not ok and not (weft.is_error(e) and KINDS[e.kind]) then
          unexpected = e
        end
      end
      assert.is_nil(unexpected and tostring(unexpected))
    end
    for _ = 1, 3 do
      collectgarbage()
      weft.sleep(0)
    end
    local counts = session:statistics()
    assert.same({ 0, 0 }, { counts.in_use, counts.waiting })
    assert.is_true(counts.open <= 12 and counts.open == counts.idle)
    session:close()
    server:close()
  end))

  it("survives a collection at every step", support.run(function()
    local server = raw.serve(raw.answer("HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\n"
      .. "Transfer-Encoding: chunked\r\n\r\n" .. raw.chunked(("y"):rep(70000), 9000)))
    testing.gc_stress(function()
      http.session():with(function(session)
        local url = ("http://127.0.0.1:%d/"):format(server.port)
        for _ = 1, 3 do
          assert.equal(70000, #session:post(url, { data = { a = 1 } }):read())
        end
      end)
    end)
    server:close()
  end))
end)
