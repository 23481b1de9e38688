#!/bin/sh
# run.sh: builds weft, the C programs and a certificate, then has report.lua measure
# weft's streams beside them. Ends what it starts.
# usage: bench/net/run.sh [ROUNDS]
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$(dirname "$here")")
out=$root/build/bench
mkdir -p "$out"
make -s --no-print-directory -C "$root" build >"$out/weft.log" 2>&1
eval "$(make -s --no-print-directory -C "$root" env)"
for name in echo_libuv bulk_libuv tls_peer; do
  ${CC:-cc} -O2 -o "$out/$name" "$here/$name.c" -luv -lssl -lcrypto
done
[ -e "$out/cert.pem" ] || openssl req -x509 -newkey rsa:2048 -nodes -days 365 \
  -keyout "$out/key.pem" -out "$out/cert.pem" -subj /CN=localhost \
  -addext "subjectAltName=DNS:localhost" 2>/dev/null
if [ -z "${PYTHON:-}" ]; then
  for PYTHON in python3 /usr/bin/python3; do
    "$PYTHON" -c 'import uvloop' >/dev/null 2>&1 && break
  done
fi
export PYTHON
WEFT_BENCH_DIR=$here WEFT_BENCH_OUT=$out exec luajit "$here/report.lua" "$@"
