/* SPDX-License-Identifier: MIT */
/*
 * proto/h1_internal.h: what the files of the HTTP/1 codec share.
 *
 * Owns nothing. h1.c walks through the bytes, h1_head.c knows what the lines of
 * a head mean, h1_write.c writes. All return 0 or an error's code, which they
 * have put into h1->error.
 */
#ifndef WEFT_PROTO_H1_INTERNAL_H
#define WEFT_PROTO_H1_INTERNAL_H

#include "proto/h1.h"

/* Fails: the code is returned. `at` is a byte of the message. */
int weft_h1_fail(struct weft_h1 *h1, int code, uint64_t at, const char *what);

/* Notes a defect in a response; in a request, which must be as it should, it
 * fails with `what`. */
int weft_h1_defect(struct weft_h1 *h1, unsigned defect, const char *what);

/* The line that a message begins with, without its end. */
int weft_h1_start_line(struct weft_h1 *h1, const char *line, size_t size);

/* After the last field of a head: decides framing and all that goes with it. */
int weft_h1_decide(struct weft_h1 *h1);

/* Whether a field of this name has no effect after the body: 1; or would have a
 * bad one, being about framing or routing: 2; else 0. */
int weft_h1_is_bad_trailer(const char *name, size_t size);

/* Digits and nothing else, up to 2^63 - 1; -1 if it is anything else. */
int64_t weft_h1_number(const char *text, size_t size);

#endif
