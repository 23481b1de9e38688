-- SPDX-License-Identifier: MIT
-- tools/layers.lua finds what it is there to find: each rule is broken once in
-- a small tree, and what is allowed beside it stays silent.

local layers = dofile("tools/layers.lua")

local C_HEAD = "/* one: what it is\n * two: what it must not know */\n"
local LUA_HEAD = "-- one: what it is\n-- two: what it must not know\n"

-- What `check` says of one file under a good head, as "line: why" with the line
-- counted below the head.
local function complaints(path, body)
  local head = path:find("%.lua$") and LUA_HEAD or C_HEAD
  local list = {}
  for i, one in ipairs(layers.check({ [path] = head .. body })) do
    assert.equal(path, one.path)
    list[i] = ("%d: %s"):format(one.line - 2, one.why)
  end
  return list
end

local function accepts(path, body)
  assert.same({}, complaints(path, body))
end

local function refuses(path, body, expected)
  local list = complaints(path, body)
  assert.equal(1, #list, table.concat(list, "\n"))
  assert.is_truthy(list[1]:find(expected, 1, true), list[1])
end

describe("layers", function()
  describe("of C", function()
    it("may include themselves, what is below, and libc", function()
      accepts("src/base/mem.c", '#include "base/mem.h"\n#include <stdlib.h>\n')
      accepts("src/proto/h1.c", '#include "base/bufq.h"\n#include <llhttp.h>\n')
      accepts("src/net/tcp.c", '#include "base/mem.h"\n#include <uv.h>\n#include <netinet/tcp.h>\n')
      accepts("src/loop/op.c", '#include "base/list.h"\n#include <uv.h>\n#include <lauxlib.h>\n')
      accepts("src/bind/weft.c", '#include "net/tcp.h"\n#include "loop/op.h"\n#include <lua.h>\n')
    end)

    it("are refused what is above or beside them", function()
      refuses("src/base/mem.c", '\n\n#include "loop/loop.h"\n', "3: \"loop/loop.h\": base may not")
      refuses("src/proto/h1.c", '#include "net/tcp.h"\n', "proto may not include net")
      refuses("src/net/tcp.c", '#include "loop/loop.h"\n', "net may not include loop")
      refuses("src/net/tcp.c", '#include "proto/h1.h"\n', "net may not include proto")
      refuses("src/loop/loop.c", '#include "net/tcp.h"\n', "loop may not include net")
      refuses("src/loop/loop.c", '  #  include "bind/lutil.h"\n', "loop may not include bind")
    end)

    it("are refused the libraries of others", function()
      refuses("src/base/mem.h", "#include <uv.h>\n", "may not include uv")
      refuses("src/base/mem.h", "#include <lualib.h>\n", "may not include lua")
      refuses("src/base/mem.h", "#include <sys/socket.h>\n", "may not include sockets")
      refuses("src/proto/ws.c", "#include <uv.h>\n", "may not include uv")
      refuses("src/net/tcp.c", "#include <lua.h>\n", "may not include lua")
      refuses("src/loop/loop.c", "#include <openssl/ssl.h>\n", "may not include openssl")
      refuses("src/loop/loop.c", "#include <left-pad.h>\n", "of no known library")
    end)

    it("leave OpenSSL to the TLS files", function()
      accepts("src/net/tlsctx.c", "#include <openssl/ssl.h>\n")
      refuses("src/net/tcp.c", "#include <openssl/ssl.h>\n", "may not include openssl")
      refuses("src/net/tlsctx.c", "#include <lua.h>\n", "may not include lua")
    end)

    it("must be known, and named in each include", function()
      refuses("src/util/misc.c", "", "is in no layer")
      refuses("src/misc.c", "", "is in no layer")
      refuses("src/base/mem.c", '#include "mem.h"\n', "names no layer")
      refuses("src/base/mem.c", '#include "util/misc.h"\n', "names no layer")
    end)
  end)

  describe("of Lua", function()
    it("may require what is below, and what is not weft's", function()
      accepts("lua/weft/task.lua", 'local core = require "weft.core"\nrequire("weft.await")\n')
      accepts("lua/weft/init.lua", "local task = require 'weft.task'\nrequire [[weft.loop]]\n")
      accepts("lua/weft/http/init.lua", 'require "weft"\npcall(require, "cjson")\n')
    end)

    it("are refused what is above or beside them, however it is written", function()
      for _, form in ipairs({
        'require "weft.task"', "require'weft.task'", 'require("weft.task")', "require[[weft.task]]",
        'pcall(require, "weft.task")', 'x = f(require "weft.task")', 'require\n("weft.task")',
      }) do
        refuses("lua/weft/await.lua", "\n" .. form, "2: weft.await may not require weft.task")
      end
      refuses("lua/weft/loop.lua", 'require "weft"', "weft.loop may not require weft,")
      refuses("lua/weft/sync.lua", 'require "weft.queue"', "weft.sync may not require weft.queue")
      refuses("lua/weft/init.lua", 'require "weft.http.url"', "weft may not require weft.http.url")
    end)

    it("are not read out of comments, strings and fields", function()
      accepts("lua/weft/await.lua", [==[
        -- require "weft.task"
        --[[ require "weft.task"
        ]] --[=[ ]] require "weft.task" ]=]
        local text = "require 'weft.task' \" require 'weft.task'"
        text = 'it''s', [[ require "weft.task" ]]
        loader.require "weft.task"
        local load = require
      ]==])
    end)

    it("are refused a computed name", function()
      refuses("lua/weft/init.lua", 'return require("weft." .. name)', "computed name")
      refuses("lua/weft/init.lua", "pcall(require, name)", "computed name")
    end)

    it("let the modules of a package require each other", function()
      accepts("lua/weft/http/session.lua", 'require "weft.http.pool"')
      accepts("lua/weft/http/pool.lua", 'require "weft.http.session"')
      refuses("lua/weft/http/pool.lua", 'require "weft.crawl"', "may not require weft.crawl")
    end)

    it("have exceptions by name, for one direction", function()
      layers.lua_exceptions["weft.sync"] = { "weft.queue" }
      finally(function() layers.lua_exceptions["weft.sync"] = nil end)
      accepts("lua/weft/sync.lua", 'require "weft.queue"')
      refuses("lua/weft/sync.lua", 'require "weft.group"', "may not require weft.group")
      refuses("lua/weft/queue.lua", 'require "weft.sync"', "may not require weft.sync")
    end)

    it("must be listed", function()
      refuses("lua/weft/misc.lua", "", "weft.misc is not listed")
      refuses("lua/weft/init.lua", 'require "weft.misc"', "weft.misc is not listed")
      refuses("lua/weftwork.lua", "", "weftwork is not listed")
    end)
  end)

  describe("want a head comment", function()
    local function accepts_head(path, text) assert.same({}, layers.check({ [path] = text })) end
    local function refuses_head(path, text)
      local found = layers.check({ [path] = text })
      assert.equal(1, #found)
      assert.is_truthy(found[1].why:find("without a comment", 1, true))
    end

    it("of two lines, in each of the comment's forms", function()
      accepts_head("src/base/a.h", "/* SPDX-License-Identifier: MIT */\n/*\n * one\n * two\n */\n")
      accepts_head("src/base/mem.h", "// SPDX-License-Identifier: MIT\n\n// one\n// two\n")
      accepts_head("tools/x.lua", "#!/usr/bin/env luajit\n-- one\n-- two\n")
      accepts_head("spec/x_spec.lua", "--[[ one\ntwo ]]\nreturn {}")
      accepts_head("spec/x_spec.lua", "--- one\n--- two")
    end)

    it("that says something", function()
      refuses_head("src/base/mem.h", "")
      refuses_head("src/base/mem.h", "int x;\n/* one\n * two */\n")
      refuses_head("src/base/mem.h", "/* SPDX-License-Identifier: MIT */\n/*\n * one\n */\n")
      refuses_head("src/base/mem.h", "/* one */\n#include <stdio.h>\n/* two */\n")
      refuses_head("lua/weft/init.lua", "-- one\n--\n\nreturn 1\n-- two\n")
      refuses_head("bench/x.lua", "#!/usr/bin/env luajit -- one\n-- two\n")
    end)
  end)

  it("are read from a directory", function()
    local root = os.tmpname()
    os.remove(root)
    local made = os.execute(("mkdir '%s' && cd '%s' && mkdir -p %s"):format(
      root, root, "src/base lua/weft/_meta docs"))
    assert.is_truthy(made == true or made == 0)
    local function write(path, text)
      local file = assert(io.open(root .. "/" .. path, "w"))
      file:write(text)
      file:close()
    end
    write("src/base/mem.c", "text")
    write("lua/weft/_meta/weft.lua", "generated")
    write("docs/example.lua", "not code of weft's")
    local files = layers.read(root)
    os.execute(("rm -r '%s'"):format(root))
    assert.same({ ["src/base/mem.c"] = "text" }, files)
  end)
end)
