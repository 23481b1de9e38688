-- SPDX-License-Identifier: MIT
-- weft.http.connection: over TLS: exchanges, the ends of bodies with and without close_notify, and
-- what is known of an idle connection. TLS itself is the subject of spec/weft/tls_spec.lua.

local certs = require "spec.tls_certs"
local connection = require "weft.http.connection"
local http = require "spec.http_exchange"
local raw = require "spec.http_raw"
local support = require "spec.support"
local testing = require "weft.testing"
local weft = require "weft"

local GET = http.request("GET")
local UNTIL_CLOSE = "HTTP/1.1 200 OK\r\n\r\nhello"

-- Calls fn(conn, peer, under) with a connection over TLS and its server's end.
local function secured(fn, more)
  local a, b = testing.pair()
  local opts = { ca_file = certs.path "root.pem", server_hostname = "localhost" }
  for key, value in pairs(more or {}) do
    opts[key] = value
  end
  weft.gather(function()
    a:start_tls(opts)
  end, function()
    b:start_tls { server_side = true, cert = certs.path "b.pem", key = certs.path "b.key" }
  end)
  local conn = connection.new(a)
  local ok, e = pcall(fn, conn, b, a)
  conn:close()
  b:close()
  for _, task in ipairs(http.tasks) do
    task:cancel()
    weft.try(weft.shield, task)
  end
  http.tasks = {}
  assert(ok, e)
end

-- The end of the stream in place of close_notify, once all that was sent has come.
local function cut(stream)
  weft.sleep(1)
  stream:fault("eof")
end

describe("a connection over TLS", function()
  it("serves one exchange after the other, and is alive between them", support.virtual(function()
    secured(function(conn, peer)
      for _ = 1, 3 do
        http.answer(peer, false, raw.response("hello"))
        assert.equal("hello", conn:exchange(GET).body)
        assert.is_true(conn:is_reusable())
        assert.is_true(conn:is_alive())
        assert.is_true(conn:is_alive())
      end
      peer:write("x")
      weft.sleep(1)
      assert.is_false(conn:is_alive())
    end)
  end))

  it("is not alive once the server has said goodbye", support.virtual(function()
    secured(function(conn, peer)
      http.answer(peer, false, raw.response("hello"))
      conn:exchange(GET)
      peer:close()
      weft.sleep(1)
      assert.is_false(conn:is_alive())
    end)
  end))

  it("takes close_notify for the end of a body", support.virtual(function()
    secured(function(conn, peer)
      http.answer(peer, true, UNTIL_CLOSE)
      local head = conn:exchange(GET)
      assert.equal("hello", conn:read_all())
      assert.same({}, head.defects)
      assert.same({}, conn:defects())
    end)
  end))

  it("does not take less for it", support.virtual(function()
    secured(function(conn, peer, stream)
      http.answer(peer, false, UNTIL_CLOSE)
      conn:exchange(GET)
      cut(stream)
      local e = support.raises({ "connection", "ETLSEOF" }, conn.read_all, conn)
      assert.equal("hello", e.partial)
      assert.equal("body", e.phase)
    end)
  end))

  it("takes less for it where that is allowed, as a defect", support.virtual(function()
    secured(function(conn, peer, stream)
      http.answer(peer, false, UNTIL_CLOSE)
      conn:exchange(GET)
      cut(stream)
      assert.equal("hello", conn:read_all())
      assert.same({ "unclean-close" }, conn:defects())
    end, { allow_unclean_close = true })
  end))

  it("that is cut in a message is that, by close_notify or not", support.virtual(function()
    for _, text in ipairs { "", "HTTP/1.1 2",
      "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello" } do
      for _, is_clean in ipairs { true, false } do
        secured(function(conn, peer, stream)
          http.answer(peer, is_clean, text)
          local task = weft.create_task(function()
            return conn:exchange(GET).body or conn:read_all()
          end)
          if not is_clean then
            cut(stream)
          end
          local e = support.raises({ "connection", "ETRUNCATED" }, task.await, task)
          assert.equal(#text > 20 and "body" or "head", e.phase)
          assert.equal(#text > 20 and "hello" or nil, e.partial)
        end)
      end
    end
  end))
end)
