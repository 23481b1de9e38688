-- SPDX-License-Identifier: MIT
-- Sessions whose requests are broken off at each of their waits: by cancellation, by a limit of
-- time, by closing the session, by forgetting. Nothing is in use after that, and a further request
-- on the same session works.

local certs = require "spec.tls_certs"
local core = require "weft.core"
local hostile = require "spec.http_hostile"
local http = require "weft.http"
local proxies = require "spec.http_proxies"
local raw = require "spec.http_raw"
local support = require "spec.support"
local testing = require "weft.testing"
local weft = require "weft"

local head, run = hostile.head, support.run

local LARGE = ("x"):rep(150000)

local function answer(text)
  return function(stream, reader)
    reader:body(reader.requests[#reader.requests])
    stream:write(text)
    return true
  end
end

-- What the servers of all cases do.
local function acts()
  local failed = false
  return {
    large = answer(raw.response(LARGE)),
    chunks = answer(head("Transfer-Encoding: chunked") .. raw.chunked(LARGE, 20000, "A: b\r\n")),
    first = answer(raw.response("moved", "Location: second\r\nSet-Cookie: a=b\r\n", "302 F")),
    second = answer(raw.response("moved", "Location: good\r\nSet-Cookie: c=d\r\n", "303 S")),
    digest = function(stream, reader)
      local sent = reader.requests[#reader.requests]
      reader:body(sent)
      stream:write(raw.field(sent, "authorization") and raw.response("in")
        or head("WWW-Authenticate: Digest realm=\"a\", nonce=\"n\", qop=\"auth\"\r\n"
          .. "Content-Length: 0", "401 Unauthorized"))
      return true
    end,
    busy = function(stream)
      failed = not failed
      stream:write(failed and raw.response("later", nil, "503 Busy") or raw.response("now"))
      return true
    end,
    slow = { head("Content-Length: 3") .. "a", function() weft.sleep(0.002) end, "b", raw.hang() },
  }
end

local function source()
  local left = 4
  return function()
    weft.sleep(0)
    left = left - 1
    return left >= 0 and ("s"):rep(40000) or nil
  end
end

local function path_of_file()
  local path = os.tmpname()
  os.remove(path)
  return path
end

-- Is there anything beside the path, or at it?
local function no_file(path)
  local pipe = io.popen("ls -d " .. path .. "* 2>/dev/null")
  local names = pipe:read("*a")
  pipe:close()
  assert(names == "", "left: " .. names)
end

-- What is done with a session; `serve` and `session` are options.
local CASES = {
  { "a GET", function(s, url) assert(s:get(url .. "good"):text() == "fine") end },
  { "a large body", function(s, url) assert(s:get(url .. "large"):read() == LARGE) end },
  { "a body in chunks", function(s, url)
    local size = 0
    for piece in s:get(url .. "chunks"):iter_chunked(30000) do
      size = size + #piece
    end
    assert(size == #LARGE)
  end },
  { "a second request", function(s, url)
    s:get(url .. "good"):read()
    s:get(url .. "good"):read()
  end },
  { "an upload of a string", function(s, url) s:post(url .. "good", { data = LARGE }):read() end },
  { "an upload of a source", function(s, url)
    s:post(url .. "good", { data = source() }):read()
  end },
  { "an upload that waits for a 100", function(s, url)
    s:put(url .. "good", { data = "abc", expect100 = true, expect_timeout = 0.001 }):read()
  end, has_pauses = true },
  { "an upload in gzip", function(s, url)
    s:post(url .. "good", { data = source(), compress = "gzip" }):read()
  end },
  { "redirects with cookies", function(s, url)
    local resp = s:post(url .. "first", { data = { a = "b" } })
    assert(resp:text() == "fine" and #resp.history == 2)
  end },
  { "digest auth", function(s, url)
    local resp = s:post(url .. "digest", { auth = http.digest_auth("u", "p"), data = "abc" })
    assert(resp:text() == "in")
  end },
  { "a retry with a pause", function(s, url)
    s:get(url .. "busy", { retry = { attempts = 3, backoff = 0.001 } }):read()
  end, has_pauses = true },
  { "TLS", function(s, url) s:get(url .. "large"):read() end, tls = true },
  { "an upload over TLS", function(s, url)
    s:post(url .. "good", { data = source() }):read()
  end, tls = true },
  { "several limits", function(s, url)
    s:get(url .. "chunks", { timeout = { total = 9, pool = 9, connect = 9, sock_connect = 9,
      ttfb = 9, sock_read = 9, min_rate = 1 } }):read()
  end },
  { "two at once on one connection", function(s, url)
    local results = weft.gather({ function() s:get(url .. "large"):read() end,
      function() s:get(url .. "good"):read() end }, { return_exceptions = true })
    for i = 1, 2 do
      if results[i] then
        error(results[i], 0)
      end
    end
  end, session = { limit = 1 } },
  { "middlewares", function(s, url)
    s:get(url .. "first", { middlewares = {
      function(request, next)
        weft.sleep(0)
        return next(request)
      end } }):read()
  end },
  { "a saved body", function(s, url)
    local path = path_of_file()
    weft.finally(function()
      assert(s:get(url .. "chunks"):save(path) == #LARGE)
    end, function()
      os.remove(path)
      no_file(path)
    end)
  end },
}

local function options_of(case)
  local opts = { limit = 1 }
  for key, value in pairs(case.session or {}) do
    opts[key] = value
  end
  if case.tls then
    opts.serve = { tls = weft.tls.context { cert = certs.path "b.pem", key = certs.path "b.key" } }
    opts.tls = { verify = false }
  end
  return opts
end

-- Nothing is in use, once what was forgotten is collected; then the session is as good as before.
local function all_well(session, site)
  collectgarbage()
  collectgarbage()
  weft.sleep(0)
  hostile.fine(session, site)
end

-- A task of its own for the user, so that the session can be looked at after it was cancelled.
local function broken_off_at(case, n)
  local reached
  hostile.with(acts(), options_of(case), function(session, site)
    local loop = weft.get_running_loop()
    local task = weft.create_task(case[2], session, site.url)
    core.loop_trap(loop, task, n)
    local ok, e = pcall(weft.shield, task)
    reached = core.loop_trap_left(loop) == 0
    core.loop_trap(loop, nil, 0)
    if not ok and not weft.is_error(e, "cancelled") then
      error(("at wait %d: %s"):format(n, tostring(e)), 0)
    end
    task = nil -- luacheck: ignore 311
    all_well(session, site)
  end)
  return reached
end

describe("a cancellation at any wait of", function()
  for _, case in ipairs(CASES) do
    it(case[1] .. " leaves a session that works", run(function()
      local n = 1
      while broken_off_at(case, n) do
        n = n + 1
      end
      assert.is_true(n > 1)
    end))
  end

  for _, case in ipairs(CASES) do
    -- The clock is a virtual one here, which stands still while there is a socket.
    local test = case.has_pauses and function() end or it
    test(case[1] .. ", in any task, leaves nothing", support.outside(function()
      testing.cancel_everywhere(function()
        hostile.with(acts(), options_of(case), function(session, site)
          local ok, e = weft.try(weft.timeout, 20, case[2], session, site.url)
          assert(ok or weft.is_error(e) or e, e)
        end)
      end, nil, { every_task = true })
    end))
  end

  it("a proxy's CONNECT leaves a session that works", run(function()
    for _, kind in ipairs { "connect", "socks" } do
      local proxy = proxies[kind]()
      local url = ("%s://127.0.0.1:%d"):format(kind == "socks" and "socks5h" or "http", proxy.port)
      local case = { "a proxy", function(s, site)
        s:get(site .. "large", { proxy = url }):read()
      end, tls = true }
      local n = 1
      while broken_off_at(case, n) do
        n = n + 1
      end
      assert.is_true(n > 3)
      proxy.close()
    end
  end))
end)

describe("a limit of time", function()
  it("at any moment leaves a session that works", run(function()
    for _, case in ipairs(CASES) do
      hostile.with(acts(), options_of(case), function(session, site)
        for i = 0, support.rounds(12) do
          local ok, e = weft.try(weft.timeout, i * i * 0.0001, case[2], session, site.url)
          assert(ok or weft.is_error(e, "timeout"), tostring(e))
        end
        all_well(session, site)
      end)
    end
  end))

  it("of the session is one of the request", run(function()
    for _, case in ipairs(CASES) do
      local opts = options_of(case)
      opts.timeout = { total = 0.001 }
      hostile.with(acts(), opts, function(session, site)
        for _ = 1, support.rounds(4) do
          local ok, e = weft.try(case[2], session, site.url)
          assert(ok or weft.is_error(e, "timeout") and e.timeout == "total" and e.phase,
            tostring(e))
          collectgarbage()
          weft.sleep(0)
          hostile.quiet(session)
        end
      end)
    end
  end))
end)

describe("closing the session", function()
  it("at any moment ends what is under way with closed", run(function()
    for _, case in ipairs(CASES) do
      for turns = 0, support.rounds(20) do
        hostile.with(acts(), options_of(case), function(session, site)
          local task = weft.create_task(case[2], session, site.url)
          for _ = 1, turns do
            weft.sleep(0)
          end
          session:close()
          local ok, e = weft.try(weft.await, task)
          assert(ok or weft.is_error(e, "closed") or weft.is_error(e, "connection"),
            ("%s, after %d turns: %s"):format(case[1], turns, tostring(e)))
          local counts = session:statistics()
          assert.same({ 0, 0, 0 }, { counts.open, counts.in_use, counts.waiting })
          support.raises("closed", session.get, session, site.url)
        end)
      end
    end
  end))
end)

describe("a collection", function()
  it("at every step does no harm", run(function()
    for _, case in ipairs(CASES) do
      hostile.with(acts(), options_of(case), function(session, site)
        testing.gc_stress(case[2], session, site.url)
        all_well(session, site)
      end)
    end
  end))

  it("of responses that nobody reads gives their slots back", run(function()
    hostile.with(acts(), { limit = 3 }, function(session, site)
      for _ = 1, support.rounds(30) do
        for _, name in ipairs { "large", "chunks", "slow" } do
          weft.create_task(function() -- the response is on its stack, which goes
            local resp = session:get(site.url .. name)
            assert(resp.status == 200)
          end):await()
        end
        collectgarbage()
        collectgarbage()
        weft.sleep(0)
        assert.equal(0, session:statistics().in_use)
      end
      all_well(session, site)
    end)
  end))

  it("of iterators that were left gives their slots back", run(function()
    hostile.with(acts(), { limit = 1 }, function(session, site)
      for _ = 1, support.rounds(10) do
        weft.create_task(function()
          local next_piece = session:get(site.url .. "chunks"):iter_chunked(10)
          assert.equal(10, #next_piece())
        end):await()
        all_well(session, site)
      end
    end)
  end))
end)
