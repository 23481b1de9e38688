/* SPDX-License-Identifier: MIT */
/*
 * net/tls_error.h: what went wrong in TLS, in words.
 *
 * Owns: the text and the symbolic code of the last failure. Knows OpenSSL's
 * reasons; its users need not.
 * Invariant: the first text set stays until it is cleared: what failed first is
 * why the rest failed.
 */
#ifndef WEFT_NET_TLS_ERROR_H
#define WEFT_NET_TLS_ERROR_H

#include <stddef.h>

/* Enough for a host and the ten names that its certificate is for instead. */
#define WEFT_TLS_TEXT_MAX 512
#define WEFT_TLS_CODE_MAX 48

struct weft_tls_error {
  char code[WEFT_TLS_CODE_MAX]; /* "CERT_HAS_EXPIRED"; "" for none */
  char text[WEFT_TLS_TEXT_MAX]; /* "" while nothing has failed */
};

void weft_tls_error_clear(struct weft_tls_error *error);

/* Sets both, unless something is set. What does not fit is cut off. */
void weft_tls_error_set(struct weft_tls_error *error, const char *code,
                        const char *format, ...);

/* The same from OpenSSL's queue of errors, which is empty after; `what` is put
 * before the words, if it is not NULL. */
void weft_tls_error_drain(struct weft_tls_error *error, const char *what);

#endif
