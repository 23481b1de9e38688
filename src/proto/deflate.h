/* SPDX-License-Identifier: MIT */
/*
 * proto/deflate.h: a body that comes in pieces, compressed with gzip or deflate
 * (with zlib's wrapping, as RFC 9110 has it).
 *
 * Owns: the encoder's state, about 270 KB. Knows no sockets, no Lua, no loop.
 * Invariant: what was fed is in the output at the latest when the last piece
 * was fed and weft_deflate_read returned 0.
 */
#ifndef WEFT_PROTO_DEFLATE_H
#define WEFT_PROTO_DEFLATE_H

#include <sys/types.h>

#include "base/mem.h"

struct weft_deflate;

/* *deflate is the caller's, to be closed. 0, or -ENOMEM. */
int weft_deflate_open(struct weft_deflate **deflate, struct weft_mem *mem,
                      int is_gzip);

/* Frees it, also in the middle. NULL is allowed. */
void weft_deflate_close(struct weft_deflate *deflate);

/* Gives the next bytes, which stay the caller's and must stay there until
 * weft_deflate_read returns 0. Only when all that was given before is used;
 * none after the last. */
void weft_deflate_feed(struct weft_deflate *deflate, const char *data,
                       size_t size, int is_last);

/* Puts up to `size` bytes (at least 1) into `data`. Returns how many; 0 when
 * more must be fed, or after the last all is out. */
ssize_t weft_deflate_read(struct weft_deflate *deflate, char *data,
                          size_t size);

#endif
