-- SPDX-License-Identifier: MIT
-- spec.servers: each of the servers starts, answers, and is gone when it was stopped.
--
-- Owns: nothing.

local servers = require "spec.servers"
local weft = require "weft"

local function ask(port, request)
  local stream = weft.open_connection{ host = "127.0.0.1", port = port }
  stream:write(request)
  local answer = stream:read()
  stream:close()
  return answer
end

local HTTP = "GET /status/200 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"

local KINDS = { nginx = { HTTP, "^HTTP/1.1 200" }, apache = { HTTP, "^HTTP/1.1 404" },
  httpbin = { HTTP, "^HTTP/1.1 200" }, tinyproxy = { HTTP, "^HTTP/1.%d 40" },
  squid = { HTTP, "^HTTP/1.1 400" }, microsocks = { "\5\1\2", "^\5\2$" },
  dante = { "\5\1\0", "^\5%z$" } }

for name, expected in pairs(KINDS) do
  describe(name, function()
    local suite = servers.suite(name)
    if suite.missing then
      pending(suite.missing)
      return
    end
    setup(suite.start)
    teardown(suite.stop)

    it("answers", suite.spec(function(server)
      assert.matches(expected[2], ask(server.ports[1], expected[1]))
    end))
  end)
end
