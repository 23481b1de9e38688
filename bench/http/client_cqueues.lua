-- SPDX-License-Identifier: MIT
-- bench/http/client_cqueues.lua: lua-http under LuaJIT. It has no pool: here each worker keeps a
-- connection. It resumes no TLS session: `fresh` connections have full handshakes.
-- usage: client_cqueues.lua keep|fresh|slow URL CONNECTIONS SECONDS [CA_FILE]; limit.c says more.

local cqueues = require "cqueues"
local client = require "http.client"
local request = require "http.request"
local http_tls = require "http.tls"
local store = require "openssl.x509.store"
local ffi = require "ffi"

local WARM_UP = 0.5
local TIMEOUT = 30 -- seconds, for each step
local operation, url, count, seconds, ca_file = arg[1], arg[2], tonumber(arg[3]),
  tonumber(arg[4]), arg[5]

local context
if ca_file then
  context = http_tls.new_client_context()
  context:setStore(store.new():add(ca_file))
end

ffi.cdef [[
  struct timeval_ { long sec, usec; };
  struct rusage_ { struct timeval_ user, system; long rest[14]; };
  int getrusage(int who, struct rusage_ *usage);
]]
local usage = ffi.new "struct rusage_"

local function cpu()
  ffi.C.getrusage(0, usage)
  return tonumber(usage.user.sec + usage.system.sec) +
    tonumber(usage.user.usec + usage.system.usec) / 1e6
end

local function memory(name)
  for line in io.lines "/proc/self/status" do
    local kb = line:match("^" .. name .. ":%s*(%d+)")
    if kb then
      return tonumber(kb) * 1024
    end
  end
end

local done = 0
local template = request.new_from_uri(url)
template.ctx, template.version = context, 1.1

local function finish(headers, stream)
  local body = assert(stream:get_body_as_string(TIMEOUT))
  assert(headers:get ":status" == "200" and #body > 0)
  done = done + 1
end

local function keep()
  local connection = assert(client.connect({ host = template.host, port = template.port,
    tls = template.tls, ctx = context, version = 1.1 }, TIMEOUT))
  while true do
    local stream = assert(connection:new_stream())
    assert(stream:write_headers(template.headers, true, TIMEOUT))
    finish(assert(stream:get_headers(TIMEOUT)), stream)
  end
end

local function one()
  local headers, stream = assert(template:go(TIMEOUT))
  finish(headers, stream)
  stream:shutdown()
end

local function fresh()
  while true do
    one()
  end
end

local queue = cqueues.new()
local resident, c, start, n = memory "VmRSS", cpu(), cqueues.monotime(), 0
for _ = 1, count do
  queue:wrap(operation == "keep" and keep or operation == "fresh" and fresh or one)
end
if operation == "slow" then
  assert(queue:loop())
  print(("op=slow n=%d cpu=%.6f wall=%.6f rss=%.0f"):format(count, cpu() - c,
    cqueues.monotime() - start, (memory "VmHWM" - resident) / count))
  os.exit(0)
end
queue:wrap(function()
  cqueues.sleep(WARM_UP)
  c, start, n = cpu(), cqueues.monotime(), done
  cqueues.sleep(seconds)
  print(("op=%s n=%d cpu=%.6f wall=%.6f"):format(operation, done - n, cpu() - c,
    cqueues.monotime() - start))
  os.exit(0)
end)
assert(queue:loop())
