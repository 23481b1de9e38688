#!/bin/sh
# bench/dns/run.sh: 1,000 distinct names at once against a name server that takes
# 100 ms: weft's resolver, bare c-ares, libuv's pool. usage: bench/dns/run.sh [NAMES]
# Linux, as root: a mount and a network name space of its own, so that libc's
# resolver asks the server of lookups.c, and nothing outside is touched.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=$(dirname "$(dirname "$here")")/build/bench
mkdir -p "$out"
# shellcheck disable=SC2046
${CC:-cc} -std=gnu11 -O2 -Wall -o "$out/dns-lookups" "$here/lookups.c" \
  $(pkg-config --cflags --libs libuv libcares)
printf 'nameserver 127.0.0.1\noptions timeout:5\n' >"$out/resolv.conf"

in_a_network_of_its_own() {
  # shellcheck disable=SC2016
  unshare -mn sh -c 'ip link set lo up && mount --bind "$1" /etc/resolv.conf &&
    shift && exec "$@"' sh "$out/resolv.conf" "$@"
}

make -s --no-print-directory -C "$(dirname "$(dirname "$here")")" module
eval "$(make -s --no-print-directory -C "$(dirname "$(dirname "$here")")" env)"
in_a_network_of_its_own "$out/dns-lookups" "luajit '$here/weft.lua'" "${1:-1000}"
in_a_network_of_its_own "$out/dns-lookups" cares "${1:-1000}"
echo "UV_THREADPOOL_SIZE=64:"
in_a_network_of_its_own env UV_THREADPOOL_SIZE=64 \
  "$out/dns-lookups" pool "${1:-1000}"
echo "UV_THREADPOOL_SIZE=4, the default:"
in_a_network_of_its_own "$out/dns-lookups" pool "${1:-1000}"
