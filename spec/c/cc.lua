-- SPDX-License-Identifier: MIT
-- spec.c.cc: compiles the C files beside it: programs that test C units, and modules that
-- give a spec what plain Lua cannot do (fork, poll, kill).
--
-- What is made is kept in build/spec/ and made again when a source is newer.

local support = require "spec.support"

local M = {}

local VM = rawget(_G, "jit") and "luajit" or "lua5.4"
local FOLDER = "build/spec/" .. VM
local CC = os.getenv("CC") or "cc"

-- Without the sanitizers that a spec may be run under: they are for weft, not for cc.
local FLAGS = "-std=c11 -D_GNU_SOURCE -g -O1 -Wall -Wextra -Isrc -Ispec/c"
local SANITIZE = "-fsanitize=address,undefined -fno-sanitize-recover=undefined"

local function shell(command)
  local pipe = assert(io.popen("exec 2>&1; set -e; unset LD_PRELOAD; " .. command
    .. "\nprintf 'status=ok'"))
  local output = pipe:read("*a")
  pipe:close()
  local text, fine = output:gsub("status=ok$", "")
  return fine == 1, text
end

-- Runs `command`, in which $out is the file to make, unless `path` is newer than `sources`.
local function make(path, sources, command)
  local fine, output = shell(("out=%s; new=$out.$$; mkdir -p %s\n"):format(path, FOLDER)
    .. ('if [ -e $out ] && [ -z "$(find %s -newer $out)" ]; then :; else\n'):format(sources)
    .. command:gsub("%$out", "$new") .. "\nmv $new $out\nfi")
  if not fine then
    error("cannot compile " .. path .. ":\n" .. output, 0)
  end
  return path
end

---For the shell: what src/proto needs, as the Makefile knows it (headers, sources, a library).
M.LLHTTP = "$(unset MAKEFLAGS MFLAGS; make -s --no-print-directory llhttp)"

---The path of a program made of spec/c/NAME.c and sources of weft that know no Lua; with
---the address sanitizer where the compiler has it. `packages` are those of pkg-config;
---`optional` maps others, which may be missing, to a flag for when they are there; `more` is
---what else the compiler needs, for the shell.
function M.unit(name, sources, packages, optional, more)
  local files = ("spec/c/%s.c %s"):format(name, sources or "")
  local libraries = packages and (" $(pkg-config --cflags --libs %s)"):format(packages) or ""
  for package, flag in pairs(optional or {}) do
    libraries = libraries .. (" $(pkg-config --exists %s && echo %s $(pkg-config --libs %s))")
      :format(package, flag, package)
  end
  local command = ("%s %s %%s -o $out %s%s %s"):format(CC, FLAGS, files, libraries, more or "")
  return make(FOLDER .. "/" .. name, files .. " spec/c src/base src/proto src/loop src/net",
    "if " .. command:format(SANITIZE) .. " 2>$new.log; then rm -f $new.log; else rm -f $new.log; "
    .. command:format("") .. "; fi")
end

---The path of a program made of spec/c/NAME.c and all C sources of weft's core that embeds
---this Lua; with the thread sanitizer where there is a clang that has it.
function M.host(name)
  local command = ("%%s %s -o $out spec/c/%s.c "
    .. "$(ls src/*/*.c | grep -v ^src/html/) -pthread -Wl,-E "
    .. "$(pkg-config --cflags --libs %s libuv openssl zlib) %s"):format(FLAGS, name, VM, M.LLHTTP)
  return make(FOLDER .. "/" .. name, "spec/c src", "if "
    .. command:format("clang -fsanitize=thread") .. " 2>/dev/null; then :; else "
    .. command:format(CC) .. "; fi")
end

---Loads the Lua module that spec/c/NAME.c is.
function M.module(name)
  local path = M.module_path(name)
  local open, problem = package.loadlib("./" .. path, "luaopen_" .. name)
  return (open or error(problem, 0))()
end

---Its path, for a script in a process of its own.
function M.module_path(name)
  return make(("%s/%s.so"):format(FOLDER, name), "spec/c", ("%s %s -shared -fPIC -o $out "
    .. "spec/c/%s.c $(pkg-config --cflags %s)"):format(CC, FLAGS, name, VM))
end

---Runs Lua source as `support.script` does; it finds `weft`, and `posix`, the module of
---spec/c/posix.c.
function M.script(source, before)
  local text, status = support.script(("io.stdout:setvbuf 'no' local weft, posix = "
    .. "require 'weft', package.loadlib(%q, 'luaopen_posix')()\n")
    :format("./" .. M.module_path("posix")) .. source, before)
  if status > 128 then -- what the shell says of it
    text = text:gsub("Killed\n$", ""):gsub("Terminated\n$", "")
  end
  return text, status
end

---Runs a program with arguments (a text for the shell); returns what it wrote, and its status
---as in `support.script`. It has sanitizers of its own, if any; that for threads is to look at
---weft's code alone, as libraries close descriptors behind its back.
function M.run(path, arguments)
  local pipe = assert(io.popen(("{ unset LD_PRELOAD; TSAN_OPTIONS=ignore_noninstrumented_modules=1 "
    .. "%s %s; } 2>&1; status=$?; "
    .. "echo; echo status=$status"):format(support.quote("./" .. path), arguments or "")))
  local output = pipe:read("*a")
  pipe:close()
  local text, status = output:match("^(.*)\nstatus=(%d+)\n$")
  return text, tonumber(status)
end

return M
