-- SPDX-License-Identifier: MIT
-- Which ports of this machine are open? Tries each, a hundred at once, and prints those that
-- take a connection.
--
--   luajit examples/net/port_scanner.lua [first [last]]

local weft = require "weft"

local AT_ONCE = 100
local PATIENCE = 1 -- seconds for one port

local function is_open(port)
  local ok, result = weft.try(weft.open_connection,
    { host = "127.0.0.1", port = port, timeout = PATIENCE })
  if ok then
    result:close()
    return true
  elseif weft.is_error(result, "connection") or weft.is_error(result, "timeout") then
    return false
  end
  error(result, 0)
end

weft.main(function()
  local first, last = tonumber(arg[1]) or 1, tonumber(arg[2]) or 1024
  local semaphore, open = weft.semaphore(AT_ONCE), {}
  weft.task_group(function(group)
    for port = first, last do
      group:create_task(function()
        if semaphore:with(is_open, port) then
          open[#open + 1] = port
        end
      end)
    end
  end)
  table.sort(open)
  for _, port in ipairs(open) do
    print(port)
  end
  print(("%d of %d ports are open"):format(#open, last - first + 1))
end)
