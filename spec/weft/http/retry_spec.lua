-- SPDX-License-Identifier: MIT
-- weft.http.retry: which failures are tried again, how often and when.
-- The spec answers the requests itself: spec.http_fake.

local fake = require "spec.http_fake"
local http = require "weft.http"
local httpdate = require "weft.http.httpdate"
local retry = require "weft.http.retry"
local support = require "spec.support"
local weft = require "weft"

local raises, virtual = support.raises, support.virtual

local SITE = "http://example.com/"

local function now()
  return weft.get_running_loop():time()
end

local function failing(kind, fields)
  return function()
    local e = { kind = kind, message = "no" }
    for name, value in pairs(fields or {}) do
      e[name] = value
    end
    error(weft.Error(e), 0)
  end
end

-- Makes a request of a session with these answers; returns what came, the requests, the seconds.
local function try(answers, policy, opts, method)
  local session, seen = fake.session({ default = answers, ["/"] = answers }, { retry = policy })
  local start = now()
  local ok, resp = pcall(session.request, session, method or "GET", SITE, opts)
  return ok and resp.status or resp, seen, now() - start, session
end

local PLAIN = { jitter = 0, backoff = 1 }

describe("a request", function()
  it("is not made again unless told to", virtual(function()
    local status, seen = try({ { status = 503 }, { status = 200 } })
    assert.same({ 503, 1 }, { status, #seen })
  end))

  it("is made again after certain statuses", virtual(function()
    for _, status in ipairs({ 429, 500, 502, 503, 504 }) do
      local got, seen, seconds = try({ { status = status }, { status = status }, "ok" }, PLAIN)
      assert.same({ 200, 3, 3 }, { got, #seen, seconds })
    end
    assert.equal(501, (try({ { status = 501 }, "ok" }, PLAIN)))
    assert.equal(200, (try({ { status = 501 }, "ok" }, { statuses = { 501 }, jitter = 0 })))
  end))

  it("is made again after failures of the way", virtual(function()
    for _, kind in ipairs({ "connection", "dns", "timeout", "proxy" }) do
      assert.equal(200, (try({ failing(kind), "ok" }, PLAIN)), kind)
    end
    for _, kind in ipairs({ "tls", "protocol", "limit", "type", "decode", "closed" }) do
      local e, seen = try({ failing(kind), "ok" }, PLAIN)
      assert.same({ kind, 1 }, { e.kind, #seen })
    end
    assert.equal("timeout", try({ failing("timeout", { timeout = "total" }), "ok" }, PLAIN).kind)
  end))

  it("is made as often as is said, and the last failure is what counts", virtual(function()
    local status, seen = try({ { status = 503, body = "x" } }, { attempts = 4, jitter = 0 })
    assert.same({ 503, 4 }, { status, #seen })
    local e, tries = try({ failing("connection", { code = "A" }),
      failing("connection", { code = "B" }) }, 2)
    assert.same({ "B", 2, SITE }, { e.code, #tries, e.url })
    status, seen = try({ { status = 503 }, "ok" }, 1)
    assert.same({ 503, 1 }, { status, #seen })
  end))

  it("is made again only by a method that may be repeated", virtual(function()
    for _, method in ipairs({ "POST", "PATCH", "PURGE" }) do
      assert.equal(503, (try({ { status = 503 }, "ok" }, PLAIN, nil, method)))
    end
    for _, method in ipairs({ "GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE" }) do
      assert.equal(200, (try({ { status = 503 }, "ok" }, PLAIN, nil, method)))
    end
    assert.equal(200, (try({ { status = 503 }, "ok" }, { methods = { "post" }, jitter = 0 }, nil,
      "POST")))
  end))

  it("is made again only with a body that can be", virtual(function()
    local status, seen = try({ { status = 503 }, "ok" }, PLAIN, { data = "abc" }, "PUT")
    assert.same({ 200, "abc", "abc" }, { status, seen[1].body, seen[2].body })
    assert.equal(503, (try({ { status = 503 }, "ok" }, PLAIN, { data = fake.pieces("a") }, "PUT")))
  end))

  it("can have a policy of its own", virtual(function()
    local session = fake.session({ ["/"] = { { status = 503 }, "ok", { status = 503 } } },
      { retry = true })
    assert.equal(503, session:get(SITE, { retry = false }).status)
    assert.equal(200, session:get(SITE).status)
    assert.equal(2, fake.session({ default = { status = 503 } }):get(SITE,
      { retry = 2 })._request.session:statistics().requests)
    local four = fake.session({ default = { status = 503 } }, { retry = 4 })
    four:get(SITE)
    assert.equal(4, four:statistics().requests)
  end))
end)

describe("the pause", function()
  it("doubles, up to a bound", virtual(function()
    local _, _, seconds = try({ { status = 503 } }, { attempts = 6, backoff = 1, max_backoff = 5,
      jitter = 0 })
    assert.equal(1 + 2 + 4 + 5 + 5, seconds)
  end))

  it("is left to chance in part", virtual(function()
    local policy, different = retry.policy({ backoff = 8, jitter = 0.5 }, "retry"), {}
    for _ = 1, 50 do
      local pause = retry.backoff(policy, 1)
      assert.is_true(pause >= 4 and pause <= 8)
      different[pause] = true
    end
    assert.truthy(next(different, next(different)))
  end))

  it("is what the server asks for, within bounds", virtual(function()
    local function after(value, policy)
      local status, seen, seconds = try({ { status = 503, headers = { ["Retry-After"] = value } },
        "ok" }, policy or PLAIN)
      return { status, #seen, seconds }
    end
    assert.same({ 200, 2, 7 }, after("7"))
    assert.same({ 200, 2, 0 }, after("0"))
    assert.same({ 200, 2, 60 }, after("60"))
    assert.same({ 503, 1, 0 }, after("61"))
    assert.same({ 200, 2, 100 }, after("100", { max_retry_after = 100 }))
    assert.same({ 200, 2, 1 }, after("100", { respect_retry_after = false, backoff = 1,
      jitter = 0 }))
    assert.same({ 200, 2, 1 }, after("soon"))
    assert.same({ 200, 2, 0 }, after("Sun, 06 Nov 1994 08:49:37 GMT"))
  end))

  it("is up to a date", support.outside(function()
    local headers = http.headers({ ["Retry-After"] = httpdate.format(1000010) })
    assert.equal(10, retry.retry_after(headers, 1000000))
    assert.equal(0, retry.retry_after(headers, 1000020))
    assert.is_nil(retry.retry_after(http.headers()))
  end))

  it("is not begun when the request has no time for it", virtual(function()
    local status, seen, seconds = try({ { status = 503, headers = { ["Retry-After"] = "50" } } },
      PLAIN, { timeout = 40 })
    assert.same({ 503, 1, 0 }, { status, #seen, seconds })
  end))

  it("can be cancelled", virtual(function()
    local session = fake.session({ default = { status = 503 } }, { retry = PLAIN })
    local task = weft.create_task(session.get, session, SITE)
    weft.sleep(0.5)
    task:cancel()
    raises("cancelled", task.await, task)
  end))
end)

describe("a policy", function()
  it("is checked", support.outside(function()
    for _, bad in ipairs({ { attempts = 0 }, { attempts = 1.5 }, { backoff = -1 }, { statuses = 3 },
      { methods = { 3 } }, { statuses = { "x" } }, { tries = 3 } }) do
      raises("type", retry.policy, bad, "retry")
    end
    assert.equal(3, retry.policy(true, "retry").attempts)
  end))
end)
