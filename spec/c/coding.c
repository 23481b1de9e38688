/* SPDX-License-Identifier: MIT */
/*
 * spec/c/coding.c: proto/coding.c: a body comes out as it went in, whatever the
 * coding, the split and the room; cut short it is truncated; changed it never
 * does harm; a bomb is stopped; and nothing is left behind, also without
 * memory.
 */
#include <errno.h>
#include <string.h>
#include <zlib.h>
#ifdef WEFT_WITH_BROTLI
#include <brotli/encode.h>
#endif
#ifdef WEFT_WITH_ZSTD
#include <zstd.h>
#endif

#include "base/err.h"
#include "check.h"
#include "proto/coding.h"

#define ROOM (8 * 1024 * 1024)

struct bytes {
  unsigned char *data;
  size_t size;
};

static struct weft_mem mem;
static const struct weft_coding_limits usual = {WEFT_CODING_RATIO, 0};
static unsigned char result[ROOM];

/* ---- Encoding ------------------------------------------------------------ */

static struct bytes bytes_new(size_t room) {
  struct bytes made = {malloc(room), 0};
  CHECK(made.data != NULL);
  return made;
}

static struct bytes deflated(struct bytes plain, int window) {
  struct bytes made = bytes_new(plain.size + plain.size / 8 + 256);
  z_stream z = {0};
  CHECK(deflateInit2(&z, 9, Z_DEFLATED, window, 9, Z_DEFAULT_STRATEGY) == Z_OK);
  z.next_in = plain.data;
  z.avail_in = (unsigned)plain.size;
  z.next_out = made.data;
  z.avail_out = (unsigned)(plain.size + plain.size / 8 + 256);
  CHECK(deflate(&z, Z_FINISH) == Z_STREAM_END);
  made.size = z.total_out;
  deflateEnd(&z);
  return made;
}

static struct bytes encoded(const char *name, struct bytes plain) {
  struct bytes made;
  if (strcmp(name, "gzip") == 0)
    return deflated(plain, 15 + 16);
  if (strcmp(name, "deflate") == 0)
    return deflated(plain, 15);
  if (strcmp(name, "raw") == 0)
    return deflated(plain, -15);
  made = bytes_new(plain.size + plain.size / 8 + 1024);
  made.size = plain.size + plain.size / 8 + 1024;
#ifdef WEFT_WITH_BROTLI
  if (strcmp(name, "br") == 0)
    CHECK(BrotliEncoderCompress(5, 22, BROTLI_MODE_GENERIC, plain.size,
                                plain.data, &made.size, made.data));
#endif
#ifdef WEFT_WITH_ZSTD
  if (strcmp(name, "zstd") == 0)
    made.size = ZSTD_compress(made.data, made.size, plain.data, plain.size, 3);
#endif
  return made;
}

static struct bytes joined(struct bytes a, struct bytes b) {
  struct bytes made = bytes_new(a.size + b.size + 1);
  memcpy(made.data, a.data, a.size);
  memcpy(made.data + a.size, b.data, b.size);
  made.size = a.size + b.size;
  return made;
}

/* ---- Decoding ------------------------------------------------------------ */

struct decoding {
  size_t cuts[2], room;
  struct weft_coding_limits limits;
};

static ssize_t read_all(struct weft_coding *coding, size_t room, size_t at) {
  for (;;) {
    size_t most = room < ROOM - at ? room : ROOM - at;
    ssize_t n = weft_coding_read(coding, (char *)result + at, most);
    if (n < 0)
      CHECK(weft_coding_read(coding, (char *)result, 1) == n);
    if (n <= 0)
      return n < 0 ? n : (ssize_t)at;
    at += (size_t)n;
  }
}

/* Decodes into `result`; returns how many bytes, or an error. */
static ssize_t decode(const char *names, struct bytes body,
                      const struct decoding *how) {
  struct weft_coding *coding;
  size_t from = 0, i;
  ssize_t n = 0;
  int rc = weft_coding_open(&coding, &mem, names, strlen(names), &how->limits);
  if (rc != 0)
    return rc;
  CHECK(coding != NULL);
  for (i = 0; i < 3 && n >= 0; i++) {
    size_t to = i < 2 && how->cuts[i] < body.size ? how->cuts[i] : body.size;
    char *piece;
    if (to < from)
      to = from;
    piece = malloc(to - from + 1); /* so that a byte too many is seen */
    memcpy(piece, body.data + from, to - from);
    weft_coding_feed(coding, piece, to - from);
    n = read_all(coding, how->room, (size_t)n);
    free(piece);
    from = to;
  }
  if (n >= 0 && (rc = weft_coding_finish(coding)) != 0)
    n = rc;
  weft_coding_close(coding);
  CHECK(mem.blocks == 0);
  return n;
}

static struct decoding how(size_t first, size_t second, size_t room) {
  struct decoding made = {{first, second}, room, usual};
  return made;
}

static void check_same(const char *names, struct bytes body, struct bytes plain,
                       struct decoding d) {
  ssize_t n = decode(names, body, &d);
  CHECK(n == (ssize_t)plain.size);
  CHECK(plain.size == 0 || memcmp(result, plain.data, plain.size) == 0);
}

/* ---- The cases ----------------------------------------------------------- */

static struct bytes text(size_t size) {
  struct bytes made = bytes_new(size + 1);
  uint32_t state = 7;
  for (; made.size < size; made.size++)
    made.data[made.size] = (unsigned char)("weft, the "[made.size % 10] +
                                           (check_random(&state) % 16 == 0));
  return made;
}

static const char *names_of(const char *name) {
  return strcmp(name, "raw") == 0 ? "deflate" : name;
}

static void check_splits(const char *name, struct bytes plain,
                         struct bytes body) {
  size_t i, j;
  for (i = 0; i <= body.size; i++) {
    check_same(names_of(name), body, plain, how(i, body.size, 4096));
    check_same(names_of(name), body, plain, how(i, i + 1, 1));
    for (j = i; j <= body.size && body.size < 60; j++)
      check_same(names_of(name), body, plain, how(i, j, 3));
  }
}

static void check_cut_short(const char *name, struct bytes body) {
  struct decoding d = how(0, 0, 4096);
  struct bytes part = body;
  for (part.size = 1; part.size < body.size; part.size++)
    CHECK(decode(names_of(name), part, &d) == WEFT_ECODINGCUT);
  part.size = 0;
  CHECK(decode(names_of(name), part, &d) == 0);
}

static void check_changed(const char *name, struct bytes body) {
  struct decoding d = how(3, 7, 100);
  uint32_t state = 99;
  int i;
  for (i = 0; i < 500; i++) {
    size_t at = check_random(&state) % body.size;
    unsigned char was = body.data[at];
    ssize_t n;
    body.data[at] = (unsigned char)check_random(&state);
    n = decode(names_of(name), body, &d);
    CHECK(n >= 0 || n == WEFT_EDECODE || n == WEFT_ECODINGCUT ||
          n == WEFT_EEXPANSION);
    body.data[at] = was;
  }
}

/* Without memory at the n-th allocation: told, and nothing is left. */
static void check_no_memory(const char *name, struct bytes plain,
                            struct bytes body) {
  struct decoding d = how(0, 0, 4096);
  size_t n;
  ssize_t rc = -1;
  for (n = 1; rc < 0 && n < 100; n++) {
    mem.fail_after = n;
    rc = decode(names_of(name), body, &d);
    CHECK(rc == -ENOMEM || rc == (ssize_t)plain.size);
  }
  CHECK(rc == (ssize_t)plain.size);
  mem.fail_after = 0;
}

static void check_bomb(const char *name) {
  struct bytes plain = {calloc(1, 6 * 1024 * 1024), 6 * 1024 * 1024};
  struct bytes body = encoded(name, plain);
  struct decoding d = how(0, 0, 65536);
  int is_zlib = strcmp(name, "br") != 0 && strcmp(name, "zstd") != 0;
  if (is_zlib) /* 1,030 times is near enough: stop it earlier */
    d.limits.ratio = 500;
  CHECK(decode(names_of(name), body, &d) == WEFT_EEXPANSION);
  d.limits.ratio = 0;
  CHECK(decode(names_of(name), body, &d) == (ssize_t)plain.size);
  d.limits.max = plain.size;
  CHECK(decode(names_of(name), body, &d) == (ssize_t)plain.size);
  d.limits.max--;
  CHECK(decode(names_of(name), body, &d) == WEFT_EEXPANSION);
  plain.size = WEFT_CODING_FREE;
  free(body.data);
  body = encoded(name, plain);
  d.limits = usual;
  CHECK(decode(names_of(name), body, &d) == (ssize_t)plain.size);
  free(body.data);
  free(plain.data);
}

static void check_coding(const char *name) {
  size_t sizes[] = {0, 1, 30, 3000}, i;
  for (i = 0; i < 4; i++) {
    struct bytes plain = text(sizes[i]), body = encoded(name, plain);
    check_splits(name, plain, body);
    check_cut_short(name, body);
    free(body.data);
    free(plain.data);
  }
  {
    struct bytes plain = text(30000), body = encoded(name, plain);
    check_same(names_of(name), body, plain, how(1000, 1001, 4096));
    check_same(names_of(name), body, plain, how(body.size - 1, 0, ROOM));
    check_changed(name, body);
    check_no_memory(name, plain, body);
    free(body.data);
    free(plain.data);
  }
  check_bomb(name);
}

static void check_what_follows(void) {
  struct bytes plain = text(100), gzip = encoded("gzip", plain);
  struct bytes zeros = {(unsigned char[8]){0}, 8};
  struct bytes twice = joined(gzip, gzip), both = joined(plain, plain);
  struct bytes padded = joined(gzip, zeros), half = twice;
  struct decoding d = how(0, 0, 4096);
  size_t i;
  for (i = 0; i <= twice.size; i++)
    check_same("gzip", twice, both, how(i, i + 1, 7));
  for (i = 0; i <= padded.size; i++)
    check_same("gzip", padded, plain, how(i, padded.size, 4096));
  half.size = twice.size - 3;
  CHECK(decode("gzip", half, &d) == WEFT_ECODINGCUT);
  CHECK(decode("gzip", plain, &d) == WEFT_EDECODE);
  free(gzip.data), free(plain.data), free(twice.data), free(both.data);
  free(padded.data);
}

static void check_stacks(void) {
  struct bytes plain = text(5000), one = encoded("gzip", plain);
  struct bytes two = encoded("deflate", one), bomb, outer;
  struct decoding d = how(0, 0, 4096);
  size_t i;
  for (i = 0; i <= two.size; i++)
    check_same(" GZip\t,, identity,deflate ", two, plain, how(i, i + 1, 50));
  two.size--;
  CHECK(decode("gzip, deflate", two, &d) == WEFT_ECODINGCUT);
  check_no_memory("gzip, deflate", plain, (two.size++, two));
  CHECK(decode("gzip, gzip", one, &d) == WEFT_EDECODE);
  plain.size = 0;
  bomb = encoded("gzip", plain);
  free(plain.data), free(one.data), free(two.data);
  /* Many empty members inside: all output is between the stages. */
  one = bytes_new(bomb.size * 200000);
  for (i = 0; i < 200000; i++)
    memcpy(one.data + one.size, bomb.data, bomb.size), one.size += bomb.size;
  outer = encoded("gzip", one);
  d.limits.ratio = 100;
  CHECK(decode("gzip, gzip", outer, &d) == WEFT_EEXPANSION);
  free(bomb.data), free(one.data), free(outer.data);
}

static void check_names(void) {
  struct weft_coding *coding;
  const char *many = "gzip,gzip,gzip,gzip,gzip";
  CHECK(weft_coding_open(&coding, &mem, "", 0, &usual) == 0 && coding == NULL);
  CHECK(weft_coding_open(&coding, &mem, "identity", 8, &usual) == 0);
  CHECK(coding == NULL);
  CHECK(weft_coding_open(&coding, &mem, "gzip, lzma", 10, &usual) ==
        WEFT_ECODING);
  CHECK(coding == NULL);
  CHECK(weft_coding_open(&coding, &mem, many, strlen(many), &usual) ==
        WEFT_ELIMIT);
  CHECK(weft_coding_open(&coding, &mem, many, strlen(many) - 5, &usual) == 0);
  weft_coding_close(coding);
  weft_coding_close(NULL);
  CHECK(strncmp(weft_coding_names(), "gzip, deflate", 13) == 0);
  CHECK(mem.blocks == 0);
}

int main(void) {
  check_names();
  check_coding("gzip");
  check_coding("deflate");
  check_coding("raw");
#ifdef WEFT_WITH_BROTLI
  check_coding("br");
#endif
#ifdef WEFT_WITH_ZSTD
  check_coding("zstd");
#endif
  check_what_follows();
  check_stacks();
  return 0;
}
