-- SPDX-License-Identifier: MIT
-- spec.server_kinds: how the servers and proxies that others made are run: where their programs
-- are, and their configurations, each complete and for a folder of its own.
--
-- Owns: the texts. A kind has `programs` (paths, of which the first that is there counts), `ports`
-- (how many it listens on), and `prepare(dir, ports)`, which writes its files and returns the
-- arguments. Must not know: processes.

local core = require "weft.core"
local weft = require "weft"
local certs = require "spec.tls_certs"

local M = {}

local function write(dir, name, text)
  weft.fs.write_file(dir .. "/" .. name, text)
end

-- `text` with ${name} replaced.
local function filled(text, values)
  return (text:gsub("%${(%w+)}", function(name)
    return tostring(values[name] == nil and error("no value for " .. name) or values[name])
  end))
end

local function certificate()
  return weft.fs.realpath(certs.path "b.chain.pem"), weft.fs.realpath(certs.path "b.key")
end

M.TEXT = ("The quick brown fox jumps over the lazy dog. "):rep(1500) -- 66 KiB

local function write_documents(dir)
  weft.fs.mkdir(dir .. "/www")
  weft.fs.mkdir(dir .. "/www/dav", { perms = 511 })
  weft.fs.chmod(dir .. "/www/dav", 511) -- 0777: the server may be another user
  weft.fs.mkdir(dir .. "/www/basic")
  weft.fs.mkdir(dir .. "/www/digest")
  write(dir, "www/1k.bin", ("0123456789abcdef"):rep(64))
  write(dir, "www/text.txt", M.TEXT)
  write(dir, "www/empty.txt", "")
  write(dir, "www/basic/in.txt", "basic\n")
  write(dir, "www/digest/in.txt", "digest\n")
  write(dir, "www/page.html", "<!doctype html><meta charset=windows-1251><p>\207\240\232\226")
end

--- nginx -----------------------------------------------------------------------------------

local NGINX = [[
daemon off;
master_process off;
pid ${dir}/nginx.pid;
error_log stderr warn;
events { worker_connections 512; }
http {
  types { text/plain txt; text/html html; application/octet-stream bin; }
  access_log off;
  client_body_temp_path ${dir}/body;
  proxy_temp_path ${dir}/proxy;
  fastcgi_temp_path ${dir}/fastcgi;
  uwsgi_temp_path ${dir}/uwsgi;
  scgi_temp_path ${dir}/scgi;
  ssl_certificate ${cert};
  ssl_certificate_key ${key};
  gzip on;
  gzip_types text/plain;
  server {
    listen 127.0.0.1:${port1};
    listen 127.0.0.1:${port2} ssl;
    root ${dir}/www;
    client_max_body_size 64m;
    keepalive_requests 1000000;
    location / { }
    location = /redirect { return 302 /text.txt; }
    location = /permanent { return 308 /status/200; }
    location = /secure { return 301 https://localhost:${port2}/1k.bin; }
    location = /elsewhere { return 302 http://localhost:${port1}/credentials; }
    location = /here { return 302 /credentials; }
    location = /credentials { return 200 "$http_authorization|$http_cookie|$http_x_own"; }
    location = /loop { return 302 /loop; }
    location = /status/200 { add_header X-Seen yes; return 200 "200\n"; }
    location = /status/404 { add_header X-Seen yes always; return 404 "404\n"; }
    location = /status/503 { add_header Retry-After 1 always; return 503; }
    location = /204 { return 204; }
    location = /silence { return 444; }
    location = /last { keepalive_timeout 0; return 200 last; }
    location = /brief { keepalive_timeout 100ms; return 200 brief; }
    location = /slow { gzip off; limit_rate 4096; alias ${dir}/www/text.txt; }
    location = /part { gzip off; limit_rate_after 40k; limit_rate 4096;
      alias ${dir}/www/text.txt; }
    location = /refused { proxy_pass http://127.0.0.1:${port3}/; }
    location = /small { client_max_body_size 1k; proxy_pass http://127.0.0.1:${port1}/status/200; }
    location = /upload { client_body_buffer_size 16k;
      proxy_pass http://127.0.0.1:${port1}/status/200; }
    location = /headers {
      add_header Set-Cookie "a=1; Path=/";
      add_header Set-Cookie "b=2; HttpOnly";
      add_header Link "</next>; rel=next";
      return 200 "$request_method|$http_host|$http_user_agent|$http_x_own|$http_cookie|$args";
    }
    location /basic/ { auth_basic "b"; auth_basic_user_file ${dir}/users; }
  }
}
]]

M.nginx = {
  programs = { "/usr/sbin/nginx" },
  ports = 3, -- plain, TLS, and one where nobody listens
  silent_ports = 1,
  prepare = function(dir, ports)
    local cert, key = certificate()
    write_documents(dir)
    write(dir, "users", "user:{PLAIN}secret\n")
    write(dir, "nginx.conf", filled(NGINX, { dir = dir, cert = cert, key = key,
      port1 = ports[1], port2 = ports[2], port3 = ports[3] }))
    return { "-p", dir, "-c", dir .. "/nginx.conf" }
  end,
}

--- folders of pages, as `make crawl` serves them ---------------------------------------------

local function pages(root)
  return {
    programs = { "/usr/sbin/nginx" },
    needs = { root .. "/index.html" },
    ports = 1,
    prepare = function(dir, ports)
      local text = weft.fs.read_file("tools/crawl/nginx.conf"):gsub("^#[^\n]*\n#[^\n]*\n", "")
      write(dir, "nginx.conf", filled(text, { dir = dir, root = root, port = ports[1] }))
      return { "-p", dir, "-c", dir .. "/nginx.conf", "-e", "stderr",
        "-g", "daemon off; master_process off;" }
    end,
  }
end

M.postgresql_pages = pages "/usr/share/doc/postgresql-doc-15/html"
M.apache_pages = pages "/usr/share/doc/apache2-doc/manual"

--- apache ----------------------------------------------------------------------------------

local APACHE_MODULES = [[mpm_event authn_core authn_file authz_core authz_user auth_basic
  auth_digest alias mime filter deflate brotli dav dav_fs setenvif headers ssl socache_shmcb dir
  asis cgid ratelimit env proxy proxy_http proxy_connect]]

local APACHE = [[
ServerName localhost
ServerRoot ${dir}
PidFile ${dir}/apache.pid
Listen 127.0.0.1:${port1}
Listen 127.0.0.1:${port2}
Listen 127.0.0.1:${port3}
User nobody
Group nogroup
Mutex pthread
StartServers 1
ServerLimit 2
ThreadsPerChild 25
MaxRequestWorkers 50
ErrorLog /dev/stderr
LogLevel warn
DocumentRoot ${dir}/www
DavLockDB ${dir}/www/dav/.lock
SSLSessionCache none
ScriptSock ${dir}/cgid.sock
KeepAliveTimeout 5
TypesConfig /dev/null
AddType text/plain txt
AddType text/html html
AddDefaultCharset off
AddHandler send-as-is asis
<VirtualHost 127.0.0.1:${port2}>
  SSLEngine on
  SSLCertificateFile ${cert}
  SSLCertificateKeyFile ${key}
</VirtualHost>
<VirtualHost 127.0.0.1:${port3}>
  SSLEngine on
  SSLCertificateFile ${cert}
  SSLCertificateKeyFile ${key}
  ProxyRequests On
  ProxyVia On
  AllowCONNECT 1-65535
</VirtualHost>
Redirect 302 /redirect /text.txt
Redirect 303 /see /1k.bin
Redirect 307 /again /cgi/echo
ScriptAlias /cgi/ ${dir}/cgi/
ScriptAlias /digest/cgi/ ${dir}/cgi/
<Directory ${dir}>
  Require all granted
</Directory>
<Location /text.txt>
  SetOutputFilter DEFLATE
</Location>
<Location /br>
  SetOutputFilter BROTLI_COMPRESS
</Location>
Alias /br ${dir}/www/text.txt
<Location /dav>
  Dav on
</Location>
<Location /basic>
  AuthType Basic
  AuthName "b"
  AuthUserFile ${dir}/users
  Require valid-user
</Location>
<Location /digest>
  AuthType Digest
  AuthName "a realm, with = and such"
  AuthDigestDomain /digest /other
  AuthUserFile ${dir}/digests
  Require valid-user
</Location>
Alias /brief ${dir}/www/digest
<Location /brief>
  AuthType Digest
  AuthName "brief"
  AuthDigestNonceLifetime 1
  AuthUserFile ${dir}/digests
  Require valid-user
</Location>
]]

-- What it was sent, as it came.
local ECHO = [[#!/bin/sh
printf 'Content-Type: text/plain\r\n\r\n'
echo "$REQUEST_METHOD $HTTP_TRANSFER_ENCODING $CONTENT_LENGTH $CONTENT_TYPE"
cat
]]

-- An answer that Apache passes on as it is.
local ASIS = "Status: 200 As Is\r\nContent-Type: text/plain\r\nX-Odd:  a  \r\nX-Odd: b\r\n\r\n"
  .. "asis\n"

local function hex(bytes)
  return (bytes:gsub(".", function(c) return ("%02x"):format(c:byte()) end))
end

local function digest_line(realm)
  return ("user:%s:%s\n"):format(realm, hex(core.hash("md5", "user:" .. realm .. ":secret")))
end

M.apache = {
  programs = { "/usr/sbin/apache2" },
  ports = 3, -- plain, TLS, and a proxy that is spoken to by TLS
  prepare = function(dir, ports)
    local cert, key = certificate()
    local lines = {}
    for name in APACHE_MODULES:gmatch("[%w_]+") do
      lines[#lines + 1] = ("LoadModule %s_module /usr/lib/apache2/modules/mod_%s.so\n")
        :format(name, name)
    end
    write_documents(dir)
    write(dir, "www/odd.asis", ASIS)
    weft.fs.mkdir(dir .. "/cgi")
    write(dir, "cgi/echo", ECHO)
    weft.fs.chmod(dir .. "/cgi/echo", 493)
    write(dir, "users", "user:{SHA}" .. core.base64_encode(core.hash("sha1", "secret")) .. "\n")
    write(dir, "digests", digest_line("a realm, with = and such") .. digest_line("brief"))
    write(dir, "apache.conf", table.concat(lines) .. filled(APACHE, { dir = dir, cert = cert,
      key = key, port1 = ports[1], port2 = ports[2], port3 = ports[3] }))
    return { "-DFOREGROUND", "-f", dir .. "/apache.conf" }
  end,
}

--- httpbin -----------------------------------------------------------------------------------

M.httpbin = {
  programs = { "/usr/bin/gunicorn" },
  needs = { "/usr/lib/python3/dist-packages/httpbin/core.py" },
  ports = 1,
  prepare = function(dir, ports)
    return { "--bind", "127.0.0.1:" .. ports[1], "--worker-class", "gthread", "--threads", "16",
      "--worker-tmp-dir", dir, "--keep-alive", "30", "--graceful-timeout", "1",
      "httpbin:app" }
  end,
}

--- proxies ---------------------------------------------------------------------------------

local TINYPROXY = [[
Port ${port1}
Listen 127.0.0.1
Timeout 30
MaxClients 50
LogLevel Warning
BasicAuth user secret
]]

M.tinyproxy = {
  programs = { "/usr/bin/tinyproxy", "/usr/sbin/tinyproxy" },
  ports = 1,
  prepare = function(dir, ports)
    write(dir, "tinyproxy.conf", filled(TINYPROXY, { port1 = ports[1] }))
    return { "-d", "-c", dir .. "/tinyproxy.conf" }
  end,
}

local SQUID = [[
http_port 127.0.0.1:${port1}
http_port 127.0.0.1:${port2}
acl open localport ${port1}
acl refused dstdomain refused.test
auth_param basic program ${dir}/users.sh
auth_param basic realm squid
acl known proxy_auth REQUIRED
http_access deny refused
http_access allow open
http_access allow known
http_access deny all
cache deny all
access_log none
cache_store_log none
cache_log ${dir}/squid.log
pid_filename ${dir}/squid.pid
coredump_dir ${dir}
pinger_enable off
shutdown_lifetime 0 seconds
via on
forwarded_for transparent
visible_hostname squid.test
max_filedescriptors 1024
dns_nameservers 127.0.0.1
hosts_file ${dir}/hosts
]]

local USERS = [[#!/bin/sh
while read -r line; do
  if [ "$line" = "user secret" ]; then echo OK; else echo ERR; fi
done
]]

M.squid = {
  programs = { "/usr/sbin/squid" },
  ports = 2, -- open to everybody, and for who logs in
  prepare = function(dir, ports)
    write(dir, "users.sh", USERS)
    weft.fs.chmod(dir .. "/users.sh", 493)
    write(dir, "hosts", "127.0.0.1 localhost\n")
    write(dir, "squid.conf", filled(SQUID, { dir = dir, port1 = ports[1], port2 = ports[2] }))
    return { "-N", "-f", dir .. "/squid.conf" }
  end,
}

M.microsocks = {
  programs = { "/usr/bin/microsocks" },
  ports = 1,
  prepare = function(_, ports)
    return { "-i", "127.0.0.1", "-p", tostring(ports[1]), "-u", "user", "-P", "secret" }
  end,
}

local DANTE = [[
logoutput: stderr
internal: 127.0.0.1 port = ${port1}
external: lo
clientmethod: none
socksmethod: none
client pass { from: 127.0.0.0/8 to: 0.0.0.0/0 }
socks block { from: 0.0.0.0/0 to: 127.0.0.9/32 }
socks pass { from: 127.0.0.0/8 to: 0.0.0.0/0 command: connect }
]]

M.dante = {
  programs = { "/usr/sbin/danted" },
  ports = 1,
  prepare = function(dir, ports)
    write(dir, "danted.conf", filled(DANTE, { port1 = ports[1] }))
    return { "-f", dir .. "/danted.conf", "-p", dir .. "/danted.pid", "-N", "1" }
  end,
}

return M
