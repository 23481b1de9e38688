/* SPDX-License-Identifier: MIT */
/*
 * net/tlsctx.h: what many TLS connections share: trusted authorities, own
 * certificate, what may be negotiated, sessions to resume.
 *
 * Owns: struct weft_tlsctx, by counting references, and the system's store of
 * authorities, of which there is one for each struct weft_tls_shared. Knows no
 * connection and reads no file but what is named here.
 * Invariant: a context does not change once it is made, but for its sessions.
 */
#ifndef WEFT_NET_TLSCTX_H
#define WEFT_NET_TLSCTX_H

#include <stdint.h>

#include "base/mem.h"
#include "net/tls_error.h"

struct weft_tlsctx;
struct weft_tls_shared;

struct weft_tls_bytes {
  const char *data; /* NULL: not given */
  size_t size;
};

enum weft_tls_verify {
  WEFT_TLS_VERIFY_DEFAULT, /* clients: required; servers: if client_ca is set */
  WEFT_TLS_VERIFY_NONE,
  WEFT_TLS_VERIFY_OPTIONAL, /* servers: a certificate if the client has one */
  WEFT_TLS_VERIFY_REQUIRED
};

#define WEFT_TLS_PIN_SIZE 32 /* SHA-256 */

/* Everything is copied. Zeroes and NULLs are the defaults. */
struct weft_tlsctx_options {
  enum weft_tls_verify verify;
  struct weft_tls_bytes ca;   /* PEM; neither this nor ca_path: the system's */
  const char *ca_path;        /* a directory of certificates by hash */
  struct weft_tls_bytes cert; /* PEM: ours, then its chain */
  struct weft_tls_bytes key;  /* PEM */
  const char *key_password;
  struct weft_tls_bytes client_ca; /* PEM: who may issue clients' */
  const char *client_ca_path;
  struct weft_tls_bytes alpn;          /* as on the wire: length, name, … */
  struct weft_tls_bytes pins;          /* several of WEFT_TLS_PIN_SIZE */
  struct weft_tls_bytes ocsp_response; /* DER: what a server staples */
  const char *ciphers;                 /* TLS 1.2, OpenSSL's syntax */
  const char *ciphersuites;            /* TLS 1.3 */
  const char *keylog_file;
  const char *server_hostname;  /* in place of the host connected to */
  int64_t verify_time;          /* Unix seconds; 0: now */
  int min_version, max_version; /* 0x0303 for TLS 1.2; 0: TLS 1.2, no bound */
  uint8_t requires_ocsp, no_resumption, allows_unclean_close;
  uint8_t asks_for_context; /* a server's handshake stops: see tls.h */
};

/* One for each lua_State: what its contexts share. NULL when memory is out. The
 * memory `mem` outlives it and its contexts. Counted: each context has one. */
struct weft_tls_shared *weft_tls_shared_new(struct weft_mem *mem);
void weft_tls_shared_release(struct weft_tls_shared *shared);

/* Makes a context, which the caller owns, or returns NULL and says why. */
struct weft_tlsctx *weft_tlsctx_new(struct weft_tls_shared *shared,
                                    const struct weft_tlsctx_options *options,
                                    struct weft_tls_error *error);
void weft_tlsctx_retain(struct weft_tlsctx *ctx);
void weft_tlsctx_release(struct weft_tlsctx *ctx);

/* Sessions that are kept to be resumed. */
unsigned weft_tlsctx_sessions(const struct weft_tlsctx *ctx);

/* "OpenSSL 3.0.22 …". Static. */
const char *weft_tls_library(void);

#endif
