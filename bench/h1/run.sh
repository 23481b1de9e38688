#!/bin/sh
# bench/h1/run.sh: what parsing a small response costs, beside llhttp alone; about five seconds.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$(dirname "$here")")
mkdir -p "$root/build/bench"
# shellcheck disable=SC2046
${CC:-cc} -std=gnu11 -O2 -flto -w -I "$root/src" -o "$root/build/bench/h1-parse" \
  "$here/parse.c" "$root"/src/proto/*.c "$root"/src/base/*.c \
  $(make -s --no-print-directory -C "$root" llhttp)
"$root/build/bench/h1-parse"
