/* SPDX-License-Identifier: MIT */
/*
 * base/closer.h: what the data pointer of every libuv handle of weft leads to:
 * how to close it when its loop closes, whichever layer it belongs to.
 *
 * Owns nothing. The struct is the first member of whatever owns the handle.
 */
#ifndef WEFT_BASE_CLOSER_H
#define WEFT_BASE_CLOSER_H

struct weft_closer {
  /* Starts closing. Idempotent; calls no Lua, does not block. */
  void (*close)(struct weft_closer *closer);
};

#endif
