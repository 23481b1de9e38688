/* SPDX-License-Identifier: MIT */
/*
 * spec/fuzz/coding.c: whatever bytes there are as a coded body. The first byte
 * says which codings, the second how it is split, the third how much room there
 * is. What comes out must not depend on the split, stays within the limits, and
 * nothing may crash, leak or hang.
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "proto/coding.h"

#define MOST ((uint64_t)4 * 1024 * 1024)

static const char *const names[] = {
    "gzip",       "deflate",     "br",       "zstd",
    "gzip, gzip", "deflate, br", "br, zstd", "gzip, deflate",
};

struct outcome {
  int rc;
  uint64_t size;
  uint32_t sum;
};

static void check(int condition) {
  if (!condition)
    abort();
}

static ssize_t drain(struct weft_coding *coding, size_t room,
                     struct outcome *outcome) {
  char data[4096];
  ssize_t n, i;
  while ((n = weft_coding_read(coding, data, room)) > 0) {
    check((size_t)n <= room);
    outcome->size += (uint64_t)n;
    for (i = 0; i < n; i++)
      outcome->sum = outcome->sum * 31 + (unsigned char)data[i];
    check(outcome->size <= MOST + room);
  }
  return n;
}

static struct outcome decode(const char *name, const uint8_t *data, size_t size,
                             size_t piece, size_t room) {
  const struct weft_coding_limits limits = {WEFT_CODING_RATIO, MOST};
  struct weft_mem mem = {0};
  struct weft_coding *coding;
  struct outcome outcome = {0, 0, 0};
  if (weft_coding_open(&coding, &mem, name, strlen(name), &limits) != 0)
    return outcome; /* not built in */
  while (size > 0 && outcome.rc == 0) {
    size_t n = piece < size ? piece : size;
    weft_coding_feed(coding, (const char *)data, n);
    outcome.rc = (int)drain(coding, room, &outcome);
    data += n;
    size -= n;
  }
  if (outcome.rc == 0)
    outcome.rc = weft_coding_finish(coding);
  weft_coding_close(coding);
  check(mem.blocks == 0);
  return outcome;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct outcome whole, pieces;
  const char *name;
  if (size < 3)
    return 0;
  name = names[data[0] % (sizeof(names) / sizeof(names[0]))];
  whole = decode(name, data + 3, size - 3, size, 4096);
  pieces = decode(name, data + 3, size - 3, data[1] + 1u, data[2] + 1u);
  /* How far a body came before an error or a limit may depend on the pieces. */
  check((whole.rc == 0) == (pieces.rc == 0) || whole.rc == WEFT_EEXPANSION ||
        pieces.rc == WEFT_EEXPANSION);
  if (whole.rc == 0 && pieces.rc == 0)
    check(whole.size == pieces.size && whole.sum == pieces.sum);
  return 0;
}
