/* SPDX-License-Identifier: MIT */
/*
 * base/base64.h: bytes as letters and digits, and back: RFC 4648, section 4.
 *
 * Owns nothing. Knows libc only.
 * Invariant: what is decoded is encoded to the same text.
 */
#ifndef WEFT_BASE_BASE64_H
#define WEFT_BASE_BASE64_H

#include <stddef.h>

/* How long the text of `size` bytes is; SIZE_MAX if that is too long. */
size_t weft_base64_length(size_t size);

/* Writes the text of the `size` bytes at `data`, padded, to `text`, which has
 * room for weft_base64_length(size). */
void weft_base64_encode(char *text, const char *data, size_t size);

/* Writes what the `length` bytes of text stand for to `data`, which has room
 * for length / 4 * 3 bytes. Returns how many there are; -1 if the text is none:
 * it has anything but the alphabet, lacks padding, or has bits that no encoder
 * sets. */
long weft_base64_decode(char *data, const char *text, size_t length);

#endif
