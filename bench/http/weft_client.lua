-- SPDX-License-Identifier: MIT
-- bench/http/weft_client.lua: weft, by its public session: default headers, a cookie jar, and
-- redirects followed, as a script that sets no option has it.
-- usage: weft_client.lua keep|fresh|slow URL CONNECTIONS SECONDS [CA_FILE]; limit.c says more.

local weft = require "weft"
local http = require "weft.http"

local WARM_UP = 0.5
local operation, url, count, seconds, ca_file = arg[1], arg[2], tonumber(arg[3]),
  tonumber(arg[4]), arg[5]
local done, resumed = 0, 0

-- Seconds of processor time, as getrusage has them; os.clock says the same.
local cpu = os.clock

local function memory(name)
  for line in io.lines "/proc/self/status" do
    local kb = line:match("^" .. name .. ":%s*(%d+)")
    if kb then
      return tonumber(kb) * 1024
    end
  end
end

local function get(session)
  local response = session:get(url)
  local body = response:read()
  assert(response.status == 200 and #body > 0)
  done = done + 1
  if operation == "fresh" and response.headers["x-session"] == "r" then
    resumed = resumed + 1
  end
end

local function repeatedly(session)
  while true do
    get(session)
  end
end

local function throughput(session)
  local loop = weft.get_running_loop()
  local c, start, n, r
  loop:call_later(WARM_UP, function()
    c, start, n, r = cpu(), loop:time(), done, resumed
  end)
  loop:call_later(WARM_UP + seconds, function()
    print(("op=%s n=%d cpu=%.6f wall=%.6f resumed=%d"):format(operation, done - n, cpu() - c,
      loop:time() - start, resumed - r))
    os.exit(0)
  end)
  weft.task_group(function(group)
    for _ = 1, count do
      group:create_task(repeatedly, session)
    end
  end)
end

local function slow(session)
  local loop = weft.get_running_loop()
  local resident, c, start = memory "VmRSS", cpu(), loop:time()
  weft.task_group(function(group)
    for _ = 1, count do
      group:create_task(get, session)
    end
  end)
  print(("op=slow n=%d cpu=%.6f wall=%.6f rss=%.0f"):format(count, cpu() - c,
    loop:time() - start, (memory "VmHWM" - resident) / count))
end

weft.main(function()
  local session = http.session {
    limit = operation == "slow" and 0 or 100,
    force_close = operation == "fresh",
    tls = ca_file and { ca_file = ca_file } or nil,
  }
  session:with(function()
    (operation == "slow" and slow or throughput)(session)
  end)
end)
