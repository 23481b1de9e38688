/* SPDX-License-Identifier: MIT */
/*
 * proto/coding_brotli.c: br, through libbrotlidec; nothing where weft is built
 * without it. It owns no more than brotli's state, whose memory is weft's.
 */
#include "proto/coding.h"

#ifdef WEFT_WITH_BROTLI

#include <brotli/decode.h>
#include <errno.h>

#include "base/err.h"

static void *allocate(void *mem, size_t size) {
  return weft_malloc(mem, size);
}

static void release(void *mem, void *block) {
  weft_free(mem, block);
}

static void *open_brotli(struct weft_mem *mem) {
  return BrotliDecoderCreateInstance(allocate, release, mem);
}

static void close_brotli(void *state, struct weft_mem *mem) {
  (void)mem;
  BrotliDecoderDestroyInstance(state);
}

static int failure(const BrotliDecoderState *state) {
  BrotliDecoderErrorCode code = BrotliDecoderGetErrorCode(state);
  return code <= BROTLI_DECODER_ERROR_ALLOC_CONTEXT_MODES &&
                 code >= BROTLI_DECODER_ERROR_ALLOC_BLOCK_TYPE_TREES
             ? -ENOMEM
             : WEFT_EDECODE;
}

static int step_brotli(void *state, struct weft_coding_step *step) {
  if (BrotliDecoderIsFinished(state)) { /* what follows is ignored */
    step->in += step->in_left;
    step->in_left = 0;
    return WEFT_CODING_END;
  }
  switch (BrotliDecoderDecompressStream(state, &step->in_left, &step->in,
                                        &step->out_left, &step->out, NULL)) {
  case BROTLI_DECODER_RESULT_ERROR:
    return failure(state);
  case BROTLI_DECODER_RESULT_SUCCESS:
    return WEFT_CODING_END;
  default:
    return WEFT_CODING_MORE;
  }
}

const struct weft_coding_class weft_coding_brotli = {"br", open_brotli,
                                                     step_brotli, close_brotli};

#else

typedef int weft_coding_no_brotli; /* ISO C wants something in a file */

#endif
