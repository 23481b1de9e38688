-- SPDX-License-Identifier: MIT
-- bench/net/report.lua: measures weft's streams beside plain C (and asyncio on uvloop where it
-- is there) and prints a table. bench/net/run.sh builds what it needs and calls it.
-- usage: report.lua [ROUNDS]

local out = os.getenv("WEFT_BENCH_OUT")
local here = os.getenv("WEFT_BENCH_DIR")
local python = os.getenv("PYTHON") or "python3"
local rounds = tonumber(arg[1]) or 5

local function run(command)
  local pipe = assert(io.popen(command .. " 2>/dev/null", "r"))
  local text = pipe:read("*a")
  pipe:close()
  return tonumber(text:match("[%d.]+"))
end

local function median(values)
  table.sort(values)
  return values[math.floor((#values + 1) / 2)]
end

-- The server of the TLS figures, on a port of its own choice; ended by `stop`.
local function serve()
  local file = out .. "/tls_port"
  local pipe = assert(io.popen(("%s/tls_peer serve %s/cert.pem %s/key.pem > %s & echo $!")
    :format(out, out, out, file)))
  local pid = pipe:read("*l")
  pipe:close()
  local port
  repeat
    local opened = io.open(file)
    port = opened and opened:read("*n")
    if opened then
      opened:close()
    end
  until port
  return port, function() os.execute("kill " .. pid) end
end

local port, stop = serve()

-- name, unit, target ratio, { program = command }
local weft = "luajit " .. here .. "/"
local cert = out .. "/cert.pem " .. port
local OPERATIONS = {
  { "echo round trip, 64 connections, 64 bytes", "ns CPU, both ends", 1.5, {
    weft = weft .. "echo.lua 64 3000 64", C = out .. "/echo_libuv 64 3000 64",
    uvloop = python .. " " .. here .. "/echo.py" } },
  { "1 GiB by TCP", "ms CPU, both ends", 1.15, {
    weft = weft .. "bulk.lua 1024", C = out .. "/bulk_libuv 1024" } },
  { "1 GiB by TLS 1.3, received", "ms CPU, client", 1.15, {
    weft = weft .. "tls.lua bulk " .. cert .. " 1024",
    C = out .. "/tls_peer bulk " .. cert .. " 1024" } },
  { "full handshake, RSA 2048", "µs CPU, client", 1.1, {
    weft = weft .. "tls.lua handshakes " .. cert .. " 500 full",
    C = out .. "/tls_peer handshakes " .. cert .. " 500 full" } },
  { "resumed handshake", "µs CPU, client", 1.1, {
    weft = weft .. "tls.lua handshakes " .. cert .. " 500 resumed",
    C = out .. "/tls_peer handshakes " .. cert .. " 500 resumed" } },
}

local function measure(operation)
  local programs, values, ratios = operation[4], {}, {}
  for _ = 1, rounds do
    local mine = run(programs.weft)
    for _, name in ipairs { "weft", "C", "uvloop" } do
      local value = name == "weft" and mine or programs[name] and run(programs[name])
      if value then
        values[name] = values[name] or {}
        table.insert(values[name], value)
        ratios[name] = ratios[name] or {}
        table.insert(ratios[name], mine / value)
      end
    end
  end
  return values, ratios
end

local function cell(values, ratios, name)
  if not values[name] then
    return "–"
  elseif name == "weft" then
    return ("%.0f"):format(median(values[name]))
  end
  return ("%.0f (%.2f)"):format(median(values[name]), median(ratios[name]))
end

print("| operation | unit | target | weft | C | asyncio + uvloop |")
print("|---|---|---:|---:|---:|---:|")
for _, operation in ipairs(OPERATIONS) do
  local values, ratios = measure(operation)
  print(("| %s | %s | ≤ %g × C | %s | %s | %s |"):format(operation[1], operation[2], operation[3],
    cell(values, ratios, "weft"), cell(values, ratios, "C"), cell(values, ratios, "uvloop")))
end
for _, kind in ipairs { "tcp", "tls" } do
  local kb = run(("%sidle.lua %s %s/cert.pem %s/key.pem 5000"):format(weft, kind, out, out))
  local bound = kind == "tcp" and 8 or 45
  print(("| one end of an idle %s connection, with its task | KB of resident memory | ≤ %d | %s "
    .. "| – | – |"):format(kind:upper(), bound, kb or "–"))
end
stop()
