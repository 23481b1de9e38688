-- SPDX-License-Identifier: MIT
-- spec.helper: loaded by busted before the specs: makes `spec.support` and the like
-- reachable, and loads weft before anything takes functions of the coroutine library.

package.path = "./?.lua;" .. package.path

local weft = require "weft"

-- libuv keeps two descriptors for signals from the first use on: not a spec's leak.
weft.run(function() end)

-- What all TLS contexts share, and the default one, live as long as the lua_State.
require("weft.tls")._context(true, "the specs")
