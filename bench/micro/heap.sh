#!/bin/sh
# heap.sh: builds heap.c with 2, 4 and 8 children to a node and runs it with 1,000, 100,000 and 1,000,000 timers.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=$here/../../build/bench
mkdir -p "$out"
for arity in 2 4 8; do
  ${CC:-cc} -std=gnu11 -O2 -Wall -Wextra -DHEAP_ARITY=$arity -o "$out/heap$arity" "$here/heap.c"
done
for entries in 1000 100000 1000000; do
  for arity in 2 4 8; do "$out/heap$arity" $entries; done
done
