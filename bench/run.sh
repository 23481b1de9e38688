#!/bin/sh
# run.sh: builds weft, the limit program and the Go peer, then has report.lua
# measure everything and print the table.
# usage: bench/run.sh [OPERATION...] [ROUNDS] [--only NAME,...] [--scale X]
#        [--markdown]; --help says more
set -u
here=$(cd "$(dirname "$0")" && pwd) || exit 1
root=$(dirname "$here")
out=$root/build/bench
mkdir -p "$out"

# What cannot be built is removed, so that the report says n/a and does not measure an old one.
if ! make -s --no-print-directory -C "$root" build >"$out/weft.log" 2>&1; then
  echo "bench: weft did not build; see ${out#"$root"/}/weft.log" >&2
  WEFT_BENCH_NO_WEFT=1
  export WEFT_BENCH_NO_WEFT
else
  eval "$(make -s --no-print-directory -C "$root" env)"
fi

rm -f "$out/limit" "$out/ops-go"
# shellcheck disable=SC2046
${CC:-cc} -std=gnu11 -O2 -Wall -o "$out/limit" "$here/limit/limit.c" \
  $(pkg-config --cflags --libs luajit 2>/dev/null) >"$out/limit.log" 2>&1
command -v go >/dev/null 2>&1 && go build -o "$out/ops-go" "$here/peers/ops.go" >"$out/go.log" 2>&1

# uvloop belongs to the system's Python; another one may stand before it in PATH.
if [ -z "${PYTHON:-}" ]; then
  for PYTHON in python3 /usr/bin/python3; do
    "$PYTHON" -c 'import uvloop' >/dev/null 2>&1 && break
  done
fi
export PYTHON

WEFT_BENCH_DIR=$here WEFT_BENCH_OUT=$out exec luajit "$here/report.lua" "$@"
