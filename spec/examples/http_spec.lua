-- SPDX-License-Identifier: MIT
-- examples/http: each script prints what its head says, and so does its Python text where there
-- is an aiohttp. They talk to the examples' own site, and through their own proxy, each in a
-- process of its own on a port that the system chooses.

local weft = require "weft"
local support = require "spec.support"

local DIRECTORY = "examples/http/"

-- A sanitizer that is loaded into everything is none of Python's business.
local CLEAN = { PATH = os.getenv("PATH") }

-- The scripts, and the arguments of each: the site's address in place of SITE, the proxy's in
-- place of PROXY, a file that is not there yet in place of FILE.
local EXAMPLES = {
  { "01_one_page", "SITE/" },
  { "02_ten_pages", "SITE" },
  { "03_gather", "SITE" },
  { "04_semaphore", "SITE" },
  { "05_post", "SITE/echo" },
  { "06_api", "SITE" },
  { "07_cookies", "SITE" },
  { "08_encodings", "SITE/windows-1251", "SITE/gb2312" },
  { "09_timeout", "SITE/slow?seconds=1" },
  { "10_done_callback", "SITE/page/7" },
  { "11_proxy", "SITE/echo", "PROXY" },
  { "12_download", "SITE/broken/1000000", "FILE" },
}

-- Those with a spec of their own.
local OTHERS = { ["13_slow_server"] = true }

-- The programs that the others talk to.
local SERVERS = { site = true, forward_proxy = true }

local function read(path)
  local file = assert(io.open(path))
  local text = file:read("*a")
  file:close()
  return text
end

-- The Python program and the output that stand at the top of an example.
local function head_of(name)
  local python, output = read(DIRECTORY .. name .. ".lua"):match("\n%-%- Python:\n%-%-%[%[\n"
    .. "(.-\n)%]%]\n%-%- Output:\n%-%-%[%[\n(.-\n)%]%]\n")
  assert(python, name .. ": the head is not as it should be")
  return python, output
end

-- What a program prints, to stdout and to stderr, and its exit status.
local function run(command, args, env)
  local process = weft.create_subprocess(command, args, { stdout = "pipe", stderr = "pipe",
    env = env })
  return process:with(function()
    local out, err = process:communicate()
    return out, err, process:wait().code
  end)
end

-- fn(address) while a server of the examples runs; then it is ended as by Ctrl-C. It has
-- nothing to say but where it listens.
local function with_server(name, fn)
  local process = weft.create_subprocess(support.interpreter, { DIRECTORY .. name .. ".lua", "0" },
    { stdout = "pipe", stderr = "stdout" })
  return process:with(function()
    local line = process.stdout:read_line()
    local port = tonumber((line or ""):match("^listening on 127%.0%.0%.1:(%d+)$"))
    assert.truthy(port, line)
    fn("http://127.0.0.1:" .. port)
    process:send_signal("SIGINT")
    assert.equal("", process.stdout:read_all())
    assert.equal(130, process:wait().code)
  end)
end

-- fn(place) with a function that puts the addresses into arguments.
local function with_servers(fn)
  with_server("site", function(site)
    with_server("forward_proxy", function(proxy)
      weft.fs.temporary_directory(function(directory)
        local files = 0
        fn(function(args)
          files = files + 1
          local made = {}
          for i, argument in ipairs(args) do
            made[i] = argument:gsub("SITE", site):gsub("PROXY", proxy)
              :gsub("FILE", directory .. "/" .. files)
          end
          return made
        end)
      end)
    end)
  end)
end

local function arguments_of(example)
  return { (unpack or table.unpack)(example, 2) }
end

local function run_lua(name, args)
  local list = { DIRECTORY .. name .. ".lua" }
  for _, argument in ipairs(args) do
    list[#list + 1] = argument
  end
  local out, err, status = run(support.interpreter, list)
  assert.equal(0, status, out .. err)
  return out, err
end

-- The first Python that has an aiohttp; nil where there is none.
local function find_python()
  for _, name in ipairs { "python3", "/usr/bin/python3" } do
    local pipe = assert(io.popen("env -u LD_PRELOAD " .. name
      .. " -c 'import aiohttp; print(1)' 2>/dev/null"))
    local answer = pipe:read("*l")
    pipe:close()
    if answer == "1" then
      return name
    end
  end
end

local python = find_python()

local function run_python(program, args)
  local list = { "-c", program }
  for _, argument in ipairs(args) do
    list[#list + 1] = argument
  end
  local out, err, status = run(python, list, CLEAN)
  assert.equal(0, status, out .. err)
  return out
end

-- Fails unless the script and its Python text print what the script's head says.
local function check(name, place, example)
  local program, expected = head_of(name)
  local results = weft.gather(function()
    return (run_lua(name, place(arguments_of(example))))
  end, function()
    return python and run_python(program, place(arguments_of(example))) or expected
  end)
  assert.equal(expected, results[1])
  assert.equal(expected, results[2])
end

describe("the HTTP example", function()
  for _, example in ipairs(EXAMPLES) do
    local name = example[1]
    it(name .. " prints what its head says" .. (python and ", as in Python" or ""),
      support.run(function()
        with_servers(function(place)
          check(name, place, example)
        end)
      end))
  end

  it("01_one_page says why there is no page", support.run(function()
    local _, err, status = run(support.interpreter,
      { DIRECTORY .. "01_one_page.lua", "http://127.0.0.1:1/" })
    assert.equal(1, status)
    assert.matches("127.0.0.1:1: connection refused", err, 1, true)
  end))

  it("09_timeout says how far it came", support.run(function()
    with_servers(function(place)
      local _, err = run_lua("09_timeout", place { "SITE/slow?seconds=1" })
      assert.matches("^timeout: ", err)
      assert.matches("0.001", err, 1, true)
    end)
  end))

  it("12_download shows how far it is", support.run(function()
    with_servers(function(place)
      local args = place { "SITE/broken/1000000", "FILE" }
      local _, err = run_lua("12_download", args)
      assert.matches("\r *%d+ %%", err)
      assert.matches("\r100 %%\n$", err)
      assert.equal(1000000, weft.fs.stat(args[2]).size)
      assert.equal(("a line of 24 characters\n"):rep(41667):sub(1, 1000000),
        weft.fs.read_file(args[2]))
      assert.is_false(weft.fs.exists(args[2] .. ".part"))
    end)
  end))

  it("13_slow_server takes 3 s for 5 requests of 3 s, and for 100", support.run(function()
    with_servers(function(place)
      local texts = weft.gather(function()
        return check("13_slow_server", place, { "", "SITE" })
      end, function()
        return (run_lua("13_slow_server", place { "SITE", "100" }))
      end)
      assert.equal("100 times: that took 3 s\n3 s in all\n", texts[2])
    end)
  end))

  it("of each name is listed in the README, with one line, and run", function()
    local known, text = {}, read(DIRECTORY .. "README.md")
    for _, example in ipairs(EXAMPLES) do
      known[example[1]] = true
    end
    local pipe = assert(io.popen("ls " .. DIRECTORY))
    for name in pipe:read("*a"):gmatch("([%w_]+)%.lua") do
      assert.truthy(text:find(("| [%s](%s.lua) |"):format(name, name), 1, true), name)
      assert.is_true(known[name] or OTHERS[name] or SERVERS[name], name .. " is not run")
    end
    pipe:close()
  end)
end)
