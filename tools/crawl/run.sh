#!/bin/sh
# Serves a folder of pages (PAGES, by default PostgreSQL's manual as Debian has it) with nginx on
# a free port of loopback, and crawls all of it: `tools/crawl/run.sh LUA [options of
# examples/crawl.lua]`. With URL in the environment that site is crawled, and nothing is served.
set -eu

lua=$1
shift
here=$(dirname "$0")
crawl="$here/../../examples/crawl.lua"
[ -z "${URL:-}" ] || exec "$lua" "$crawl" "$URL" "$@"

pages=${PAGES:-/usr/share/doc/postgresql-doc-15/html}
PATH=$PATH:/usr/sbin
dir=$(mktemp -d)
chmod 755 "$dir" # nginx's worker may be another user

# nginx is a session of its own, so that Ctrl-C is the crawl's alone. It may be about to say which.
started=
stop() {
  for wait in ${started:+1 2 3 4 5 6 7 8 9 10}; do
    [ -s "$dir/nginx.pid" ] && break
    sleep 0.1
  done
  [ ! -e "$dir/nginx.pid" ] || kill "$(cat "$dir/nginx.pid")" 2>/dev/null || :
  rm -rf "$dir"
}
trap stop EXIT
trap : INT
trap 'exit 143' TERM HUP

# A port that was free may be another's a moment later.
for attempt in 1 2 3 4 5; do
  port=$("$lua" -e 'require("weft").run(function()
    local server = require("weft").start_server(print, { host = "127.0.0.1", port = 0 })
    print((select(2, server:getsockname())))
    server:close()
  end)')
  sed -e "s|\${dir}|$dir|" -e "s|\${root}|$pages|" -e "s|\${port}|$port|" \
    "$here/nginx.conf" >"$dir/nginx.conf"
  started=yes
  nginx -p "$dir" -c "$dir/nginx.conf" -e "$dir/error.log" && break
  started=
  [ "$attempt" != 5 ] || exit 1
done

echo "crawling $pages at http://127.0.0.1:$port/index.html" >&2
status=0
"$lua" "$crawl" "http://127.0.0.1:$port/index.html" "$@" || status=$?
exit "$status"
