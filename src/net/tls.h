/* SPDX-License-Identifier: MIT */
/*
 * net/tls.h: the filter that speaks TLS on top of any other filter.
 *
 * Owns: one connection's state of OpenSSL. Knows no Lua, and of the filter
 * below only its interface, so TLS in TLS is the same as TLS on TCP.
 * Invariants: OpenSSL reads and writes by calling the filter below, without a
 * buffer between; a stream that ends without close_notify ends with
 * WEFT_ETLSEOF, never with UV_EOF, unless the context allows it.
 *
 * A failure of TLS is WEFT_ETLS, and weft_tls_error_of has the words.
 */
#ifndef WEFT_NET_TLS_H
#define WEFT_NET_TLS_H

#include "net/filter.h"
#include "net/tlsctx.h"

struct weft_tls_options {
  const char *host; /* what must be in the certificate; a name is sent as SNI.
                       NULL: the context's server_hostname */
  unsigned port;    /* sessions are resumed for the same host and port */
  struct weft_tls_bytes alpn; /* of clients; none: the context's */
  uint8_t is_server;
};

/* Makes the filter, which the caller owns and puts on top of another before its
 * first use (filter->below). The context is retained. Returns NULL and says
 * why: memory is out, or a client that verifies has no host name. */
struct weft_filter *weft_tls_new(struct weft_mem *mem, struct weft_tlsctx *ctx,
                                 const struct weft_tls_options *options,
                                 struct weft_tls_error *error);

/* The highest TLS filter of the chain, or NULL. */
struct weft_filter *weft_tls_find(struct weft_filter *top);

/* What went wrong in the chain's TLS, the highest first; NULL if nothing has.
 * Valid as long as the filter. */
const struct weft_tls_error *weft_tls_error_of(struct weft_filter *top);

/* Whether the end that was read came without close_notify: where the context
 * allows that. 0 for a chain without TLS. */
int weft_tls_ended_unclean(struct weft_filter *top);

/* A server whose context asks_for_context stops its handshake, connect gives
 * WEFT_ETLSHELLO, when it knows the name that the client asks for: "" for none.
 * Valid until the next call of connect. */
const char *weft_tls_asked_name(struct weft_filter *filter);

/* Then connect goes on, with this context (NULL: its own). 0, or WEFT_ETLS. */
int weft_tls_choose(struct weft_filter *filter, struct weft_tlsctx *ctx);

struct weft_tls_info {
  const char *version;     /* "TLSv1.3" */
  const char *cipher;      /* "TLS_AES_256_GCM_SHA384" */
  const char *server_name; /* that was asked for; or NULL */
  const char *ocsp;        /* "good", "none" …: see tls_ocsp.c; or NULL */
  struct weft_tls_bytes alpn;
  uint8_t is_resumed, is_verified, has_peer;
};

/* About a connection that is up; all pointers are the filter's. */
void weft_tls_get_info(struct weft_filter *filter, struct weft_tls_info *info);

enum weft_tls_field {
  WEFT_TLS_SUBJECT,
  WEFT_TLS_ISSUER,
  WEFT_TLS_SERIAL,     /* hexadecimal */
  WEFT_TLS_NAMES,      /* of the subject: "DNS:a\nIP:1.2.3.4\n…" */
  WEFT_TLS_NOT_BEFORE, /* Unix seconds, in decimal */
  WEFT_TLS_NOT_AFTER,
  WEFT_TLS_FINGERPRINT, /* SHA-256, hexadecimal */
  WEFT_TLS_PEM,
  WEFT_TLS_CHAIN, /* PEM: all that the peer sent */
  WEFT_TLS_FIELDS
};

/* Writes a field of the peer's certificate, up to `room` bytes of it, and
 * returns its size; 0 when there is no such field or memory is out. */
size_t weft_tls_peer_field(struct weft_filter *filter,
                           enum weft_tls_field field, char *out, size_t room);

#endif
