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
  int is_end; /* between two frames */
};

static void close_zstd(void *state, struct weft_mem *mem) {
  struct unpacker *unpacker = state;
  ZSTD_freeDStream(unpacker->stream);
  weft_free(mem, unpacker);
}

static void *open_zstd(struct weft_mem *mem) {
  struct unpacker *unpacker = weft_calloc(mem, sizeof(*unpacker));
  if (unpacker == NULL)
    return NULL;
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
  if (unpacker->is_end && step->in_left == 0)
    return WEFT_CODING_END;
  rc = ZSTD_decompressStream(unpacker->stream, &out, &in);
  if (ZSTD_isError(rc))
    return ZSTD_getErrorCode(rc) == ZSTD_error_memory_allocation ? -ENOMEM
                                                                 : WEFT_EDECODE;
  step->in += in.pos;
  step->in_left -= in.pos;
  step->out += out.pos;
  step->out_left -= out.pos;
  unpacker->is_end = rc == 0;
  return unpacker->is_end ? WEFT_CODING_END : WEFT_CODING_MORE;
}

const struct weft_coding_class weft_coding_zstd = {"zstd", open_zstd, step_zstd,
                                                   close_zstd};

#else

typedef int weft_coding_no_zstd; /* ISO C wants something in a file */

#endif
