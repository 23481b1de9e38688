/* SPDX-License-Identifier: MIT */
/*
 * proto/coding.h: content codings (gzip, deflate, br, zstd, and stacks of them)
 * taken off a body that comes in pieces.
 *
 * Owns: the decoders' states and the buffers between them. Knows no sockets, no
 * Lua, no loop. Whatever comes in, what comes out is bounded, in size and in
 * proportion to it.
 */
#ifndef WEFT_PROTO_CODING_H
#define WEFT_PROTO_CODING_H

#include <stdint.h>
#include <sys/types.h>

#include "base/mem.h"

#define WEFT_CODINGS_MAX 4 /* stacked: nobody needs more than two */

/* How many times larger than the input the output may be. Text compresses up to
 * 20 times; zlib gives 1,032 times at most, the others millions. */
#define WEFT_CODING_RATIO 1000

/* Bytes that may come out however few went in: a page of blanks is no bomb. */
#define WEFT_CODING_FREE ((uint64_t)1024 * 1024)

struct weft_coding_limits {
  uint64_t ratio; /* 0: any */
  uint64_t max;   /* bytes that may come out; 0: any number */
};

struct weft_coding; /* all codings of one body */

/* Opens what decodes a body with this Content-Encoding: names, apart by commas,
 * in the order in which they were applied. *coding is the caller's, to be
 * closed; NULL if there is nothing to decode. Returns 0; WEFT_ECODING for a
 * name that is not known or not built in; WEFT_ELIMIT for too many; -ENOMEM. */
int weft_coding_open(struct weft_coding **coding, struct weft_mem *mem,
                     const char *names, size_t size,
                     const struct weft_coding_limits *limits);

/* Frees it, also in the middle. NULL is allowed. */
void weft_coding_close(struct weft_coding *coding);

/* Gives the next bytes, which stay the caller's and must stay there until
 * weft_coding_read returns 0. Only when all that was given before is used. */
void weft_coding_feed(struct weft_coding *coding, const char *data,
                      size_t size);

/* Decodes up to `size` bytes (at least 1) into `data`. Returns how many; 0 when
 * all that was fed is used and nothing is held back; WEFT_EDECODE when it is
 * malformed; WEFT_EEXPANSION when a limit is passed; -ENOMEM. After an error
 * it returns that again. */
ssize_t weft_coding_read(struct weft_coding *coding, char *data, size_t size);

/* After a read that returned 0: whether the body may end here. Returns 0, or
 * WEFT_ECODINGCUT. A body of no bytes is an empty one. */
int weft_coding_finish(const struct weft_coding *coding);

/* What is built in, for Accept-Encoding: "gzip, deflate, br". Static. */
const char *weft_coding_names(void);

/* ---- What each coding is, for coding*.c ---------------------------------- */

struct weft_coding_step {
  const unsigned char *in;
  size_t in_left;
  unsigned char *out;
  size_t out_left;
};

enum { WEFT_CODING_MORE = 0, WEFT_CODING_END = 1 };

struct weft_coding_class {
  const char *name;
  /* The state; NULL when memory is out. */
  void *(*open)(struct weft_mem *mem);
  /* Uses input and gives output until one of them is at its end. Returns
   * WEFT_CODING_END when the body may end where the input now is. */
  int (*step)(void *state, struct weft_coding_step *step);
  void (*close)(void *state, struct weft_mem *mem);
};

extern const struct weft_coding_class weft_coding_gzip, weft_coding_deflate;
#ifdef WEFT_WITH_BROTLI
extern const struct weft_coding_class weft_coding_brotli;
#endif
#ifdef WEFT_WITH_ZSTD
extern const struct weft_coding_class weft_coding_zstd;
#endif

#endif
