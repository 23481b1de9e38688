/* heap.c: what the timer heap of limit/heap.h costs: filling it, cancelling
 * from it, emptying it.
 *
 * HEAP_ARITY is the number of children of a node; heap.sh builds and runs this
 * with 2, 4 and 8.
 * usage: heap [ENTRIES] */
#include <stddef.h>
#include <stdint.h>

static uint32_t
    *place; /* entry number to index in the heap, as cancelling needs it */
#define HEAP_MOVED(entry, index) (place[(entry).id] = (uint32_t)(index))

#include <time.h>

#include "../limit/heap.h"

static double cpu_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static uint64_t random64(void) { /* xorshift: the same numbers in every run */
  static uint64_t x = 88172645463325252u;
  x ^= x << 13;
  x ^= x >> 7;
  x ^= x << 17;
  return x;
}

int main(int argc, char **argv) {
  uint32_t n = argc > 1 ? (uint32_t)atol(argv[1]) : 1000000;
  heap h = {0};
  double t, insert = 0, cancel = 0, pop = 0;
  place = calloc(n, sizeof *place);
  if (!place || n == 0)
    return 1;
  for (int warm = 1; warm >= 0; warm--) {
    t = cpu_ns();
    for (uint32_t i = 0; i < n; i++)
      heap_push(&h, random64() % 1000000000u, i);
    insert = cpu_ns() - t;
    t = cpu_ns();
    for (uint32_t i = 0; i < n / 2; i++)
      heap_remove(&h, place[i * 2]);
    cancel = cpu_ns() - t;
    for (uint32_t i = 0; i < n / 2; i++)
      heap_push(&h, random64() % 1000000000u, i * 2);
    t = cpu_ns();
    for (uint64_t last = 0; h.len > 0;) {
      uint64_t when = heap_pop(&h).when;
      if (when < last)
        return 1;
      last = when;
    }
    pop = cpu_ns() - t;
  }
  printf("arity %d, %u entries: insert %.1f ns, cancel %.1f ns, pop %.1f ns\n",
         HEAP_ARITY, n, insert / n, cancel / (n / 2 > 0 ? n / 2 : 1), pop / n);
  return 0;
}
