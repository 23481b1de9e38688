#!/bin/sh
# run.sh: builds weft and the programs that are compared with it, starts nginx and the slow
# server on the other core, then has report.lua measure weft's HTTP client beside the others.
# Ends what it starts.
# usage: bench/http/run.sh [CASE...] [ROUNDS] [--only NAME,...] [--seconds S] [--markdown];
#        --help says more
set -u
here=$(cd "$(dirname "$0")" && pwd) || exit 1
root=$(dirname "$(dirname "$here")")
out=$root/build/bench
mkdir -p "$out"
# shellcheck source=bench/common.sh
. "$here/../common.sh"

# What cannot be built is removed, so that the report says n/a and does not measure an old one.
rm -f "$out/http-limit" "$out/slow-server" "$out/http-go"
if ! make -s --no-print-directory -C "$root" build >"$out/weft.log" 2>&1; then
  echo "bench: weft did not build; see ${out#"$root"/}/weft.log" >&2
fi
eval "$(make -s --no-print-directory -C "$root" env)"
# shellcheck disable=SC2046
${CC:-cc} -std=gnu11 -O2 -w -o "$out/http-limit" "$here/limit.c" \
  $(make -s --no-print-directory -C "$root" llhttp) -luv -lssl -lcrypto >"$out/limit.log" 2>&1
${CC:-cc} -std=gnu11 -O2 -o "$out/slow-server" "$here/slow_server.c" -luv >"$out/slow.log" 2>&1
command -v go >/dev/null 2>&1 && go build -o "$out/http-go" "$here/client.go" >"$out/go.log" 2>&1
find_python aiohttp,uvloop
export PYTHON

# Ten thousand connections, and some files.
# shellcheck disable=SC3045
ulimit -n "$(ulimit -H -n)"

dir=$(mktemp -d) || exit 1
chmod 755 "$dir"
slow_pid=""
stop() {
  [ -s "$dir/nginx.pid" ] && kill "$(cat "$dir/nginx.pid")"
  [ -n "$slow_pid" ] && kill "$slow_pid"
  sleep 0.2 # nginx removes its own files
  rm -rf "$dir"
}
trap stop EXIT
trap 'exit 1' INT TERM

mkdir "$dir/files"
head -c 1024 /dev/zero | tr '\0' x >"$dir/files/1k"
head -c 65536 /dev/zero | tr '\0' x >"$dir/files/64k"
openssl req -x509 -newkey rsa:2048 -nodes -days 365 -keyout "$dir/key.pem" \
  -out "$dir/cert.pem" -subj /CN=localhost \
  -addext "subjectAltName=IP:127.0.0.1,DNS:localhost" 2>/dev/null

start_nginx "$here/nginx.conf" "$dir"
$server "$out/slow-server" >"$dir/slow.port" &
slow_pid=$!
while [ ! -s "$dir/slow.port" ]; do
  kill -0 $slow_pid || exit 1
  sleep 0.05
done

WEFT_BENCH_DIR=$here WEFT_BENCH_OUT=$out WEFT_BENCH_PIN=$client \
  WEFT_BENCH_CA=$dir/cert.pem WEFT_BENCH_HTTP=http://127.0.0.1:$http \
  WEFT_BENCH_HTTPS=https://127.0.0.1:$https \
  WEFT_BENCH_SLOW=http://127.0.0.1:$(cat "$dir/slow.port") \
  luajit "$here/report.lua" "$@"
