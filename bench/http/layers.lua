-- SPDX-License-Identifier: MIT
-- bench/http/layers.lua: the same requests by less and less of weft's client, to see which layer
-- spends what. Prints the CPU microseconds of a request; a long run suits a profiler.
-- usage: layers.lua stream|connection|network|session URL [CONNECTIONS [SECONDS [CA_FILE]]]
--   stream      write, read_until, read_exactly
--   connection  the exchange: a request's head written, its response parsed, in C
--   network     with the pool
--   session     all of it
-- LUA_PATH and LUA_CPATH are as `make -s env` says.

local weft = require "weft"

local layer, url, count, seconds = arg[1], arg[2], tonumber(arg[3] or 64), tonumber(arg[4] or 2)
local scheme, host, port, path = url:match "^(https?)://([%d.]+):(%d+)(/.*)$"
local tls = scheme == "https" and weft.tls.context { ca_file = arg[5] } or nil
local authority = host .. ":" .. port
local WARM_UP = 0.3
local done = 0

local layers = {}

local function connect()
  return weft.open_connection { host = host, port = tonumber(port), tls = tls }
end

function layers.stream()
  local stream = connect()
  local request = ("GET %s HTTP/1.1\r\nHost: %s\r\n\r\n"):format(path, authority)
  return function()
    stream:write(request)
    local head = stream:read_until("\r\n\r\n", 16384)
    local body = stream:read_exactly(tonumber(head:match "Content%-Length: (%d+)"))
    assert(head:find("HTTP/1.1 200", 1, true) == 1 and #body > 0)
  end
end

local function new_message(target)
  local fields = require("weft.http.fields").new { { "Host", authority }, { "Accept", "*/*" },
    { "Accept-Encoding", "gzip, deflate, br" }, { "User-Agent", "weft/1.0" } }
  return { method = "GET", target = target, fields = fields }
end

function layers.connection()
  local connection = require("weft.http.connection").new(connect())
  local message, options = new_message(path), { decode = true }
  return function()
    local head = connection:exchange(message, options)
    local body = head.body or connection:read_all()
    assert(head.status == 200 and #body > 0)
  end
end

function layers.network(shared)
  shared.network = shared.network or require("weft.http.network").new {}
  local network = shared.network
  local parsed = require("weft.url").parse(url)
  return function()
    local head, body = network:send { method = "GET", url = parsed, message = new_message(),
      tls = tls, tls_key = tls and "tls" or nil,
      timeouts = {}, options = { decode = true }, is_replayable = true, is_idempotent = true }
    local text = head.body or body:read_all()
    assert(head.status == 200 and #text > 0)
  end
end

function layers.session(shared)
  shared.session = shared.session or require("weft.http").session { tls = tls }
  local session = shared.session
  return function()
    local response = session:get(url)
    assert(#response:read() > 0 and response.status == 200)
  end
end

local function worker(shared)
  local one = layers[layer](shared)
  while true do
    one()
    done = done + 1
  end
end

weft.main(function()
  local loop, shared, start, n = weft.get_running_loop(), {}, nil, nil
  loop:call_later(WARM_UP, function()
    start, n = os.clock(), done
  end)
  loop:call_later(WARM_UP + seconds, function()
    print(("%s: %.2f"):format(layer, (os.clock() - start) / (done - n) * 1e6))
    os.exit(0, true) -- so that a profiler reports
  end)
  weft.task_group(function(group)
    for _ = 1, count do
      group:create_task(worker, shared)
    end
  end)
end)
