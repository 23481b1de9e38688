-- SPDX-License-Identifier: MIT
-- weft: asyncio for Lua. This file only puts the public names together; each is
-- documented where it is made.

require "weft.coroutines"

local errors = require "weft.error"

---asyncio for Lua: an event loop, tasks, and what tasks wait for.
---@class weft
---@field http weft.http the HTTP client, as `require "weft.http"`; loaded when it is first used
local weft = {
  _VERSION = "0.1.0",
  ---The class of all error objects; `weft.Error{kind = …, message = …}` makes one.
  ---@type weft.Error
  Error = errors.Error,
  is_error = errors.is_error,
  try = errors.try,
  ---TLS.
  ---@type weft.tls
  tls = require "weft.tls",
  ---Files and directories.
  ---@type weft.fs
  fs = require "weft.fs",
  ---Terminals.
  ---@type weft.tty
  tty = require "weft.tty",
  ---URLs.
  ---@type weft.url
  url = require "weft.url",
}

local modules = {
  require "weft.await",
  require "weft.task",
  require "weft.scope",
  require "weft.combine",
  require "weft.map",
  require "weft.group",
  require "weft.sync",
  require "weft.queue",
  require "weft.resolver",
  require "weft.datagram",
  require "weft.stream",
  require "weft.net",
  require "weft.server",
  require "weft.inspect",
  require "weft.loop",
  require "weft.thread",
  require "weft.process",
  (require "weft.runner"), -- Lua 5.4 would give the file's name as well
}
for _, module in ipairs(modules) do
  for name, value in pairs(module) do
    if name:sub(1, 1) ~= "_" then -- what begins so is for weft's own files
      weft[name] = value
    end
  end
end

-- What is large and above this file is loaded when it is first used.
local later = {
  http = function()
    return require "weft.http"
  end,
}

return setmetatable(weft, { __index = function(_, name)
  local load = later[name]
  if load then
    local module = load()
    rawset(weft, name, module)
    return module
  end
end })
