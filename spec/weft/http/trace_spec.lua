-- SPDX-License-Identifier: MIT
-- weft.http.trace: which hook is called when, with what.
-- The events of the network are those of a real connection.

local fake = require "spec.http_fake"
local http = require "weft.http"
local raw = require "spec.http_raw"
local support = require "spec.support"
local weft = require "weft"

local raises, run, virtual = support.raises, support.run, support.virtual

local SITE = "http://example.com/"

describe("hooks", function()
  it("are told of all that happens over the network", run(function()
    local events, signals = {}, {}
    local hooks = { on_event = function(event, fields)
      events[#events + 1] = event
      assert.is_number(fields.time)
      assert.is_string(fields.url)
    end }
    for _, name in ipairs({ "on_request_start", "on_request_end", "on_connection_create_start",
      "on_connection_create_end", "on_connection_reuseconn", "on_request_headers_sent",
      "on_response_chunk_received" }) do
      hooks[name] = function(session, context, params)
        assert.equal("Session<", tostring(session):sub(1, 8))
        assert.equal("mine", context.trace_request_ctx)
        assert.equal("GET", params.method)
        signals[#signals + 1] = name
      end
    end
    local server = raw.serve(raw.answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
      .. raw.chunked(("x"):rep(300000), 100000)))
    local session = http.session({ trace = hooks })
    local url = ("http://127.0.0.1:%d/"):format(server.port)
    for _ = 1, 2 do
      session:get(url, { trace_request_ctx = "mine" }):read()
    end
    session:close()
    server:close()
    local text = table.concat(events, " ")
    assert.truthy(text:find("^start .*connect .*sent .*head .*chunk .*end start "), text)
    assert.truthy(text:find("reused sent head chunk end$"), text)
    text = table.concat(signals, " ")
    assert.truthy(text:find("^on_request_start on_connection_create_start "
      .. "on_connection_create_end on_request_headers_sent on_request_end "
      .. "on_response_chunk_received"), text)
    assert.truthy(text:find("on_connection_reuseconn", 1, true), text)
  end))

  it("are told of each piece that is sent and received", run(function()
    local sent, received, events = {}, {}, {}
    local hooks = {
      on_request_chunk_sent = function(_, _, params)
        sent[#sent + 1] = params.chunk .. params.size
      end,
      on_response_chunk_received = function(_, _, params)
        received[#received + 1] = params.chunk .. params.size
      end,
      on_event = function(event)
        events[#events + 1] = event
      end,
    }
    local function pieces()
      local list, i = { "ab", "", "c" }, 0
      return function()
        i = i + 1
        return list[i]
      end
    end
    local server = raw.serve(raw.answer(raw.response("hello")))
    local session = http.session({ trace = hooks })
    local url = ("http://127.0.0.1:%d/"):format(server.port)
    session:post(url, { data = pieces() }):read()
    session:post(url, { data = "whole" }):read()
    session:put(url, { data = "late", expect100 = true, expect_timeout = 0 }):read()
    session:get(url):read()
    assert.same({ "ab2", "c1", "whole5", "late4" }, sent)
    assert.same({ "hello5", "hello5", "hello5", "hello5" }, received)
    assert.matches("upload upload sent head chunk end", table.concat(events, " "), 1, true)
    hooks.on_request_chunk_sent = function()
      error("mine", 0)
    end
    for _, data in ipairs { pieces, "whole" } do
      local body = type(data) == "function" and data() or data
      assert.equal("mine", support.error_of(session.post, session, url, { data = body }))
      assert.equal(0, session:statistics().in_use)
    end
    session:close()
    server:close()
  end))

  it("are told of redirects, retries and failures", virtual(function()
    local events = {}
    local session = fake.session({ ["/"] = { { status = 503 }, { status = 302,
      headers = { Location = "/b" } } }, ["/b"] = function()
        error(weft.Error({ kind = "protocol", message = "no" }))
      end }, { retry = true, trace = { on_event = function(event, fields)
        events[#events + 1] = { event, fields.status or fields.exception and fields.exception.kind,
          fields.location }
      end } })
    raises("protocol", session.get, session, SITE)
    assert.same({ { "start" }, { "sent" }, { "head", 503 }, { "retry", 503 }, { "sent" },
      { "head", 302 }, { "redirect", 302, SITE .. "b" }, { "sent" }, { "error", "protocol" } },
      events)
  end))

  it("can be several, with a context each", run(function()
    local contexts = {}
    local function hook(_, context)
      contexts[context] = true
    end
    local session = fake.session({ default = "ok" }, { trace = {
      { on_request_start = hook, on_request_end = hook }, { on_request_start = hook } } })
    session:get(SITE)
    local count = 0
    for _ in pairs(contexts) do
      count = count + 1
    end
    assert.equal(2, count)
  end))

  it("may wait, and end the request by raising", virtual(function()
    local session = fake.session({ default = "ok" }, { trace = { on_request_start = function()
      weft.sleep(2)
    end } })
    assert.equal(2, session:get(SITE).elapsed)
    local seen
    session = fake.session({ default = "ok" }, { trace = { on_request_end = function()
      error("mine", 0)
    end, on_request_exception = function(_, _, params)
      seen = params.exception
    end } })
    assert.equal("mine", support.error_of(session.get, session, SITE))
    assert.equal("mine", seen)
  end))
end)
