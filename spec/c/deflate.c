/* SPDX-License-Identifier: MIT */
/*
 * spec/c/deflate.c: proto/deflate.c: what it compresses, at any split and with
 * any room, comes out of proto/coding.c as it went in; and nothing is left
 * behind, also in the middle and without memory.
 */
#include <errno.h>
#include <string.h>

#include "check.h"
#include "proto/coding.h"
#include "proto/deflate.h"

#define SIZE ((size_t)200000)

static struct weft_mem mem;
static char plain[SIZE], coded[2 * SIZE], result[SIZE + 1];

static void fill(void) {
  uint32_t state = 7;
  size_t i;
  for (i = 0; i < SIZE; i++) /* noise, then what compresses well */
    plain[i] = (char)(i < SIZE / 2 ? check_random(&state) : i / 1000);
}

/* Compresses the first `size` bytes in pieces; returns the length of `coded`. */
static size_t encode(int is_gzip, size_t size, size_t piece, size_t room) {
  struct weft_deflate *d;
  size_t at = 0, from = 0;
  ssize_t n;
  CHECK(weft_deflate_open(&d, &mem, is_gzip) == 0);
  do {
    size_t length = size - from < piece ? size - from : piece;
    char *copy = malloc(length + 1); /* so that a byte too many is seen */
    memcpy(copy, plain + from, length);
    from += length;
    weft_deflate_feed(d, copy, length, from == size);
    while ((n = weft_deflate_read(d, coded + at, room)) > 0) {
      at += (size_t)n;
      CHECK(at + room <= sizeof(coded));
    }
    CHECK(n == 0);
    free(copy);
  } while (from < size);
  CHECK(weft_deflate_read(d, coded + at, room) == 0);
  weft_deflate_close(d);
  CHECK(mem.blocks == 0);
  return at;
}

static void check_decoded(const char *name, size_t coded_size, size_t size) {
  static const struct weft_coding_limits limits = {0, 0};
  struct weft_coding *coding;
  size_t at = 0;
  ssize_t n;
  CHECK(weft_coding_open(&coding, &mem, name, strlen(name), &limits) == 0);
  weft_coding_feed(coding, coded, coded_size);
  while ((n = weft_coding_read(coding, result + at, SIZE + 1 - at)) > 0)
    at += (size_t)n;
  CHECK(n == 0 && weft_coding_finish(coding) == 0);
  CHECK(at == size && memcmp(result, plain, size) == 0);
  weft_coding_close(coding);
}

static void check_round_trips(void) {
  static const size_t sizes[] = {0, 1, 2, 1000, SIZE};
  static const size_t pieces[] = {1, 7, 4096, SIZE};
  static const size_t rooms[] = {1, 13, 8192};
  size_t s, p, r;
  int is_gzip;
  for (s = 0; s < 5; s++)
    for (p = 0; p < 4; p++)
      for (r = 0; r < 3; r++)
        for (is_gzip = 0; is_gzip < 2; is_gzip++) {
          size_t n = encode(is_gzip, sizes[s], pieces[p], rooms[r]);
          CHECK((coded[0] == 0x1F) == is_gzip);
          check_decoded(is_gzip ? "gzip" : "deflate", n, sizes[s]);
        }
  CHECK(encode(1, SIZE, SIZE, 8192) < SIZE * 6 / 10);
}

static void check_broken_off(void) {
  struct weft_deflate *d;
  CHECK(weft_deflate_open(&d, &mem, 1) == 0);
  weft_deflate_feed(d, plain, SIZE, 0);
  CHECK(weft_deflate_read(d, coded, 100) > 0);
  weft_deflate_close(d);
  weft_deflate_close(NULL);
  CHECK(mem.blocks == 0);
}

static void check_without_memory(void) {
  struct weft_deflate *d;
  size_t n = 0;
  int rc;
  do {
    mem.fail_after = ++n;
    rc = weft_deflate_open(&d, &mem, 0);
    CHECK(rc == 0 || (rc == -ENOMEM && d == NULL && mem.blocks == 0));
  } while (rc != 0);
  CHECK(n > 2);
  mem.fail_after = 0;
  weft_deflate_close(d);
  CHECK(mem.blocks == 0);
}

int main(void) {
  fill();
  check_round_trips();
  check_broken_off();
  check_without_memory();
  return 0;
}
