/* SPDX-License-Identifier: MIT */
/*
 * proto/coding_zstd.c: zstd, through libzstd; nothing where weft is built
 * without it. A body may have several frames. It owns the state; what libzstd
 * allocates for itself is not counted, as its interface for that is not stable.
 */
#include "proto/coding.h"

#ifdef WEFT_WITH_ZSTD

#include <errno.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "base/err.h"

/* 8 MiB, which is what a sender may ask of whoever reads it (RFC 9659). */
#define WINDOW_LOG 23

struct unpacker {
  ZSTD_DStream *stream;
  int is_end;      /* between two frames */
  unsigned nmagic; /* bytes of the frame's magic number seen, at most 4 */
  unsigned kinds;  /* what it can still be */
};

enum { FRAME = 1, SKIPPABLE = 2 };

/* Old versions' frames, which some builds of the library read, are no content
 * coding (RFC 8878). Looks at the next bytes of a magic number: how many were
 * looked at, or -1 when it can be none. */
static int look_at_magic(struct unpacker *unpacker, const uint8_t *in,
                         size_t size) {
  static const unsigned char frame[] = {0x28, 0xb5, 0x2f, 0xfd};
  static const unsigned char skippable[] = {0x50, 0x2a, 0x4d, 0x18};
  unsigned i = unpacker->nmagic, n = 0;
  for (; i < 4 && n < size; i++, n++) {
    uint8_t byte = in[n];
    if (byte != frame[i])
      unpacker->kinds &= ~(unsigned)FRAME;
    if ((i == 0 ? byte & 0xf0 : byte) != skippable[i])
      unpacker->kinds &= ~(unsigned)SKIPPABLE;
  }
  return unpacker->kinds != 0 ? (int)n : -1;
}

static void close_zstd(void *state, struct weft_mem *mem) {
  struct unpacker *unpacker = state;
  ZSTD_freeDStream(unpacker->stream);
  weft_free(mem, unpacker);
}

static void *open_zstd(struct weft_mem *mem) {
  struct unpacker *unpacker = weft_calloc(mem, sizeof(*unpacker));
  if (unpacker == NULL)
    return NULL;
  unpacker->kinds = FRAME | SKIPPABLE;
  unpacker->stream = ZSTD_createDStream();
  if (unpacker->stream != NULL &&
      !ZSTD_isError(ZSTD_DCtx_setParameter(unpacker->stream,
                                           ZSTD_d_windowLogMax, WINDOW_LOG)))
    return unpacker;
  close_zstd(unpacker, mem);
  return NULL;
}

static int step_zstd(void *state, struct weft_coding_step *step) {
  struct unpacker *unpacker = state;
  ZSTD_inBuffer in = {step->in, step->in_left, 0};
  ZSTD_outBuffer out = {step->out, step->out_left, 0};
  size_t rc;
  int n;
  if (unpacker->is_end && step->in_left == 0)
    return WEFT_CODING_END;
  n = look_at_magic(unpacker, step->in, step->in_left);
  if (n < 0)
    return WEFT_EDECODE;
  rc = ZSTD_decompressStream(unpacker->stream, &out, &in);
  if (ZSTD_isError(rc))
    return ZSTD_getErrorCode(rc) == ZSTD_error_memory_allocation ? -ENOMEM
                                                                 : WEFT_EDECODE;
  step->in += in.pos;
  step->in_left -= in.pos;
  step->out += out.pos;
  step->out_left -= out.pos;
  unpacker->nmagic += (unsigned)n < in.pos ? (unsigned)n : (unsigned)in.pos;
  unpacker->is_end = rc == 0;
  if (unpacker->is_end) {
    unpacker->nmagic = 0;
    unpacker->kinds = FRAME | SKIPPABLE;
  }
  return unpacker->is_end ? WEFT_CODING_END : WEFT_CODING_MORE;
}

const struct weft_coding_class weft_coding_zstd = {"zstd", open_zstd, step_zstd,
                                                   close_zstd};

#else

typedef int weft_coding_no_zstd; /* ISO C wants something in a file */

#endif
