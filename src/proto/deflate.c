/* SPDX-License-Identifier: MIT */
/*
 * proto/deflate.c: see deflate.h. zlib counts with unsigned ints: larger sizes
 * go to it in portions.
 */
#include "proto/deflate.h"

#include <errno.h>
#include <limits.h>
#include <zlib.h>

#define GZIP (15 + 16) /* windowBits, as deflateInit2 takes them */
#define WRAPPED 15
#define MEM_LEVEL 8 /* zlib's default */

struct weft_deflate {
  z_stream z;
  struct weft_mem *mem;
  const unsigned char *in;
  size_t in_left;
  int is_last, is_end;
};

static void *allocate(void *mem, unsigned count, unsigned size) {
  return weft_malloc(mem, (size_t)count * size);
}

static void release(void *mem, void *block) {
  weft_free(mem, block);
}

int weft_deflate_open(struct weft_deflate **deflate, struct weft_mem *mem,
                      int is_gzip) {
  struct weft_deflate *made = weft_calloc(mem, sizeof(*made));
  *deflate = NULL;
  if (made == NULL)
    return -ENOMEM;
  made->mem = mem;
  made->z.zalloc = allocate;
  made->z.zfree = release;
  made->z.opaque = mem;
  if (deflateInit2(&made->z, Z_DEFAULT_COMPRESSION, Z_DEFLATED,
                   is_gzip ? GZIP : WRAPPED, MEM_LEVEL,
                   Z_DEFAULT_STRATEGY) != Z_OK) {
    weft_free(mem, made);
    return -ENOMEM;
  }
  *deflate = made;
  return 0;
}

void weft_deflate_close(struct weft_deflate *d) {
  if (d == NULL)
    return;
  deflateEnd(&d->z);
  weft_free(d->mem, d);
}

void weft_deflate_feed(struct weft_deflate *d, const char *data, size_t size,
                       int is_last) {
  d->in = (const unsigned char *)data;
  d->in_left = size;
  d->is_last = is_last;
}

static unsigned portion(size_t size) {
  return size > INT_MAX ? INT_MAX : (unsigned)size;
}

ssize_t weft_deflate_read(struct weft_deflate *d, char *data, size_t size) {
  z_stream *z = &d->z;
  unsigned room = portion(size);
  z->next_out = (unsigned char *)data;
  z->avail_out = room;
  while (z->avail_out == room && !d->is_end) {
    unsigned in = portion(d->in_left);
    int ends = d->is_last && in == d->in_left;
    if (in == 0 && !ends)
      break;
    z->next_in = (unsigned char *)d->in; /* zlib does not change it */
    z->avail_in = in;
    d->is_end = deflate(z, ends ? Z_FINISH : Z_NO_FLUSH) == Z_STREAM_END;
    d->in += in - z->avail_in;
    d->in_left -= in - z->avail_in;
  }
  return (ssize_t)(room - z->avail_out);
}
