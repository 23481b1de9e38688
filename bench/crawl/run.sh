#!/bin/sh
# run.sh: builds weft and the programs that are compared with it, serves a site by an nginx on the
# other core, then has report.lua measure weft's crawl of it beside the others. Ends what it starts.
# usage: bench/crawl/run.sh [ROUNDS] [--only NAME,...] [--markdown]; --help says more.
# SITE in the environment is the folder that is served; default: Debian's postgresql-doc-15.
set -u
here=$(cd "$(dirname "$0")" && pwd) || exit 1
root=$(dirname "$(dirname "$here")")
out=$root/build/bench/crawl
mkdir -p "$out"
# shellcheck source=bench/common.sh
. "$here/../common.sh"

site=${SITE:-/usr/share/doc/postgresql-doc-15/html}
if [ ! -e "$site/index.html" ]; then
  echo "bench: no $site/index.html; it is in Debian's postgresql-doc-15" >&2
  exit 1
fi

# What cannot be built is removed, so that the report says n/a and does not measure an old one.
rm -f "$out/limit" "$out/measure"
if ! make -s --no-print-directory -C "$root" build >"$out/weft.log" 2>&1; then
  echo "bench: weft did not build; see ${out#"$root"/}/weft.log" >&2
fi
eval "$(make -s --no-print-directory -C "$root" env)"
${CC:-cc} -std=gnu11 -O2 -o "$out/measure" "$here/measure.c" || exit 1
# shellcheck disable=SC2046
${CC:-cc} -std=gnu11 -O2 -w -o "$out/limit" "$here/limit.c" $(pkg-config --cflags libxml-2.0) \
  $(make -s --no-print-directory -C "$root" llhttp) -luv -lxml2 >"$out/limit.log" 2>&1
find_python aiohttp,lxml,scrapy,uvloop
export PYTHON

dir=$(mktemp -d) || exit 1
chmod 755 "$dir"
stop() {
  [ -s "$dir/nginx.pid" ] && kill "$(cat "$dir/nginx.pid")"
  sleep 0.2 # nginx removes its own files
  rm -rf "$dir"
}
trap stop EXIT
trap 'exit 1' INT TERM
start_nginx "$here/nginx.conf" "$dir" -e "s|@SITE@|$site|"

WEFT_BENCH_DIR=$here WEFT_BENCH_OUT=$out WEFT_BENCH_PIN=$client \
  WEFT_BENCH_URL=http://127.0.0.1:$http/index.html luajit "$here/report.lua" "$@"
