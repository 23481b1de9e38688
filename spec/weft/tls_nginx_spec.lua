-- SPDX-License-Identifier: MIT
-- weft.tls and weft.stream against nginx, a server of others' making: what the web's servers
-- do with TLS and with connections. It listens on Unix sockets in a folder of its own.

local weft = require "weft"
local support = require "spec.support"
local certs = require "spec.tls_certs"

-- Not in everybody's PATH.
local NGINX = weft.run(function()
  return weft.fs.exists("/usr/sbin/nginx") and "/usr/sbin/nginx" or "nginx"
end)

local BODY = ("0123456789abcdef"):rep(64 * 1024) -- 1 MiB

local CONFIG = [[
daemon off;
master_process off;
pid %s/nginx.pid;
error_log stderr warn;
events { worker_connections 64; }
http {
  access_log off;
  client_body_temp_path %s/body;
  proxy_temp_path %s/proxy;
  fastcgi_temp_path %s/fastcgi;
  uwsgi_temp_path %s/uwsgi;
  scgi_temp_path %s/scgi;
  ssl_certificate %s;
  ssl_certificate_key %s;
  ssl_session_cache shared:s:1m;
  keepalive_requests 2;
  server { listen unix:%s/tls13.sock ssl; ssl_protocols TLSv1.3; root %s; }
  server { listen unix:%s/tls12.sock ssl; ssl_protocols TLSv1.2; root %s; }
  server { listen unix:%s/mutual.sock ssl; root %s; ssl_client_certificate %s;
    ssl_verify_client on; }
  server { listen unix:%s/plain.sock; root %s; }
}
]]

local function absolute(path)
  return weft.fs.realpath(path)
end

local function write_config(dir)
  local cert, key, ca = absolute(certs.path "b.pem"), absolute(certs.path "b.key"),
    absolute(certs.path "root.pem")
  weft.fs.write_file(dir .. "/nginx.conf", CONFIG:format(dir, dir, dir, dir, dir, dir, cert, key,
    dir, dir, dir, dir, dir, dir, ca, dir, dir))
  weft.fs.write_file(dir .. "/body.txt", BODY)
  weft.fs.chmod(dir, 493) -- 0755: its worker may be another user
end

-- Waits until somebody listens at the path; nginx tells nobody when it is ready.
local function wait_for(path)
  while true do
    local ok, stream = weft.try(weft.open_connection, { path = path })
    if ok then
      stream:close()
      return
    end
    weft.sleep(0.01)
  end
end

-- fn(dir) while nginx runs.
local function with_nginx(fn)
  return support.run(function()
    weft.fs.temporary_directory(function(dir)
      write_config(dir)
      local nginx = weft.create_subprocess(NGINX, { "-p", dir, "-c", dir .. "/nginx.conf" },
        { stdin = "null", stdout = "null", stderr = "null" })
      nginx:with(function()
        wait_for(dir .. "/plain.sock")
        fn(dir)
        nginx:terminate()
        nginx:wait()
      end)
    end)
  end)
end

local function connect(path, options)
  options.ca_file = certs.path "root.pem"
  return weft.open_connection{ path = path, tls = weft.tls.context(options),
    server_hostname = "localhost" }
end

-- One exchange; the body of the answer.
local function get(stream, how)
  stream:write("GET /body.txt HTTP/1.1\r\nHost: localhost\r\nConnection: ", how, "\r\n\r\n")
  local head = stream:read_until("\r\n\r\n", 65536)
  assert.matches("^HTTP/1.1 200 OK\r\n", head)
  return stream:read_exactly(tonumber(head:match("Content%-Length: (%d+)")))
end

describe("nginx", function()
  for _, version in ipairs { "1.3", "1.2" } do
    it("answers over TLS " .. version .. ", and says goodbye", with_nginx(function(dir)
      local stream = connect(dir .. "/tls" .. version:gsub("%.", "") .. ".sock", {})
      assert.equal("TLSv" .. version, stream:tls_info().version)
      assert.is_true(BODY == get(stream, "keep-alive"))
      assert.is_true(BODY == get(stream, "close"))
      assert.equal("", stream:read()) -- the end, by close_notify
      stream:close()
    end))

    it("resumes a session of TLS " .. version, with_nginx(function(dir)
      local path = dir .. "/tls" .. version:gsub("%.", "") .. ".sock"
      local context = weft.tls.context{ ca_file = certs.path "root.pem" }
      local resumed = {}
      for i = 1, 3 do
        local stream = weft.open_connection{ path = path, tls = context,
          server_hostname = "localhost" }
        assert.is_true(BODY == get(stream, "close"))
        resumed[i] = stream:tls_info().resumed
        stream:close()
      end
      assert.same({ false, true, true }, resumed)
      context:close()
    end))
  end

  it("is refused where its certificate is for another host", with_nginx(function(dir)
    local e = support.raises("tls", weft.open_connection, { path = dir .. "/tls13.sock",
      tls = weft.tls.context{ ca_file = certs.path "root.pem" },
      server_hostname = "other.test" })
    assert.matches("host name mismatch: asked for other.test", e.message)
  end))

  it("wants a certificate where it was told to", with_nginx(function(dir)
    local stream = connect(dir .. "/mutual.sock", { cert = certs.path "client.pem",
      key = certs.path "client.key" })
    assert.is_true(BODY == get(stream, "close"))
    stream:close()
    stream = connect(dir .. "/mutual.sock", {})
    stream:write("GET /body.txt HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert.matches("^HTTP/1.1 400 .*No required SSL certificate was sent", stream:read_all())
    stream:close()
  end))

  it("does not speak TLS on a port without", with_nginx(function(dir)
    local e = support.raises("tls", connect, dir .. "/plain.sock", {})
    assert.matches("does not speak TLS", e.message)
  end))
end)
