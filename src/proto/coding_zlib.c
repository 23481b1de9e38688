/* SPDX-License-Identifier: MIT */
/*
 * proto/coding_zlib.c: gzip and deflate, through zlib.
 *
 * Owns: struct inflater. A gzip body may have several members; what follows the
 * last one and is none is ignored, as browsers do. A deflate body should have
 * zlib's wrapping, and some servers send it without: its first two bytes tell.
 */
#include "proto/coding.h"

#include <errno.h>
#include <limits.h>
#include <zlib.h>

#include "base/err.h"

#define GZIP (15 + 16) /* windowBits, as inflateInit2 takes them */
#define WRAPPED 15
#define RAW (-15)

struct inflater {
  z_stream z;
  int is_gzip, is_open, is_end;
  unsigned char head[2]; /* of a deflate body */
  unsigned nhead;
};

static void *allocate(void *mem, unsigned count, unsigned size) {
  return weft_malloc(mem, (size_t)count * size);
}

static void release(void *mem, void *block) {
  weft_free(mem, block);
}

static struct inflater *open_inflater(struct weft_mem *mem) {
  struct inflater *inflater = weft_calloc(mem, sizeof(*inflater));
  if (inflater == NULL)
    return NULL;
  inflater->z.zalloc = allocate;
  inflater->z.zfree = release;
  inflater->z.opaque = mem;
  return inflater;
}

static void close_inflater(void *state, struct weft_mem *mem) {
  struct inflater *inflater = state;
  if (inflater->is_open)
    inflateEnd(&inflater->z);
  weft_free(mem, inflater);
}

static void *open_gzip(struct weft_mem *mem) {
  struct inflater *inflater = open_inflater(mem);
  if (inflater == NULL)
    return NULL;
  inflater->is_gzip = 1;
  inflater->is_open = inflateInit2(&inflater->z, GZIP) == Z_OK;
  if (inflater->is_open)
    return inflater;
  close_inflater(inflater, mem);
  return NULL;
}

static void *open_deflate(struct weft_mem *mem) {
  return open_inflater(mem);
}

/* zlib counts with unsigned ints. */
static unsigned portion(size_t size) {
  return size > INT_MAX ? INT_MAX : (unsigned)size;
}

static int run(struct inflater *inflater, struct weft_coding_step *step) {
  z_stream *z = &inflater->z;
  unsigned in = portion(step->in_left), out = portion(step->out_left);
  int rc;
  z->next_in = (unsigned char *)step->in;
  z->avail_in = in;
  z->next_out = step->out;
  z->avail_out = out;
  rc = inflate(z, Z_NO_FLUSH);
  step->in += in - z->avail_in;
  step->in_left -= in - z->avail_in;
  step->out += out - z->avail_out;
  step->out_left -= out - z->avail_out;
  inflater->is_end = rc == Z_STREAM_END;
  if (rc == Z_STREAM_END)
    return WEFT_CODING_END;
  if (rc == Z_MEM_ERROR)
    return -ENOMEM;
  return rc == Z_OK || rc == Z_BUF_ERROR ? WEFT_CODING_MORE : WEFT_EDECODE;
}

/* After the end: another member, or nothing that counts. */
static int after_end(struct inflater *inflater, struct weft_coding_step *step) {
  if (inflater->is_gzip && step->in_left > 0 && step->in[0] == 0x1F) {
    inflater->is_end = 0;
    inflateReset(&inflater->z);
    return run(inflater, step);
  }
  inflater->is_gzip = 0; /* no member comes after what is none */
  step->in += step->in_left;
  step->in_left = 0;
  return WEFT_CODING_END;
}

static int step_gzip(void *state, struct weft_coding_step *step) {
  struct inflater *inflater = state;
  if (!inflater->is_end)
    return run(inflater, step);
  return step->in_left > 0 ? after_end(inflater, step) : WEFT_CODING_END;
}

/* Looks at the first two bytes, and gives them to zlib. */
static int begin_deflate(struct inflater *inflater) {
  const unsigned char *head = inflater->head;
  struct weft_coding_step step = {head, 2, NULL, 0};
  unsigned char none;
  int is_wrapped =
      (head[0] & 0x0F) == Z_DEFLATED && (head[0] << 8 | head[1]) % 31 == 0;
  step.out = &none; /* zlib wants a place, though it has no room */
  if (inflateInit2(&inflater->z, is_wrapped ? WRAPPED : RAW) != Z_OK)
    return -ENOMEM;
  inflater->is_open = 1;
  return run(inflater, &step);
}

static int step_deflate(void *state, struct weft_coding_step *step) {
  struct inflater *inflater = state;
  while (inflater->nhead < 2 && step->in_left > 0) {
    inflater->head[inflater->nhead++] = *step->in++;
    step->in_left--;
  }
  if (inflater->nhead < 2)
    return WEFT_CODING_MORE;
  if (!inflater->is_open) {
    int rc = begin_deflate(inflater);
    if (rc < 0)
      return rc;
  }
  return step_gzip(inflater, step);
}

const struct weft_coding_class weft_coding_gzip = {"gzip", open_gzip, step_gzip,
                                                   close_inflater};

const struct weft_coding_class weft_coding_deflate = {
    "deflate", open_deflate, step_deflate, close_inflater};
