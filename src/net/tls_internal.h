/* SPDX-License-Identifier: MIT */
/*
 * net/tls_internal.h: what the files of src/net/tls* share, OpenSSL included.
 * Nobody else may include it.
 *
 * Owns: the structs of contexts, sessions and connections.
 */
#ifndef WEFT_NET_TLS_INTERNAL_H
#define WEFT_NET_TLS_INTERNAL_H

#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "base/list.h"
#include "net/tls.h"

#define WEFT_TLS_HOST_MAX 255 /* a name in the DNS has 253 characters */

struct weft_tls_shared {
  struct weft_mem *mem;
  BIO_METHOD *bio;   /* see tls_bio.c */
  X509_STORE *store; /* the system's; NULL until it is needed */
  unsigned references;
};

/* Sessions of a client: see tls_session.c. */
struct weft_tls_sessions {
  struct weft_list list; /* the least recently used first */
  struct weft_mem *mem;
  unsigned count;
};

struct weft_tlsctx {
  struct weft_tls_shared *shared;
  SSL_CTX *ssl;
  X509_STORE *ca;        /* NULL: the system's */
  X509_STORE *client_ca; /* NULL: as `ca` */
  char *server_hostname;
  struct weft_tls_bytes alpn, pins, ocsp_response; /* owned; data may be NULL */
  struct weft_tls_sessions sessions;
  int64_t verify_time;
  int min_version, max_version;
  int keylog; /* descriptor, or -1 */
  unsigned references;
  enum weft_tls_verify verify;
  uint8_t requires_ocsp, no_resumption, allows_unclean_close, asks_for_context;
};

struct weft_tls {
  struct weft_filter filter;
  SSL *ssl;
  struct weft_tlsctx *ctx;
  char *session_key; /* NULL: nothing to resume */
  const char *ocsp;  /* what came of the stapled response; NULL: not asked */
  int read_error, write_error;   /* what the filter below gave, if no bytes */
  int in_error, out_error;       /* what recv and send give from now on */
  uint8_t needs[WEFT_WRITE + 1]; /* by direction: after UV_EAGAIN, of which */
  uint8_t is_below_up, is_prepared, is_up, is_shut, is_server;
  uint8_t verifies;      /* the peer's chain is checked, if it has one */
  uint8_t is_chosen;     /* the server's context was chosen */
  uint8_t is_sending;    /* a record is half sent */
  uint8_t ended_unclean; /* without close_notify, as is allowed */
  char host[WEFT_TLS_HOST_MAX + 1]; /* "" for none; a server: SNI's */
  struct weft_tls_error error;
};

/* tls_bio.c: a BIO that reads and writes the filter below. */
BIO_METHOD *weft_tls_bio_method(void);
BIO *weft_tls_bio_new(struct weft_tls *tls);

/* tls_store.c. A new reference to the system's store, which is opened first if
 * need be; NULL when memory is out. */
X509_STORE *weft_tls_store_system(struct weft_tls_shared *shared);

/* A store with the certificates of PEM text and of a directory (each may be
 * missing), or NULL and why. `what` names the option. */
X509_STORE *weft_tls_store_new(const struct weft_tls_bytes *pem,
                               const char *path, const char *what,
                               struct weft_tls_error *error);

/* tls_session.c. */
void weft_tls_sessions_init(struct weft_tls_sessions *sessions,
                            struct weft_mem *mem);
void weft_tls_sessions_deinit(struct weft_tls_sessions *sessions);
/* Takes the reference over, also when it cannot keep it. */
void weft_tls_sessions_put(struct weft_tls_sessions *sessions, const char *key,
                           SSL_SESSION *session);
/* A reference to the newest one, or NULL. One of TLS 1.3 is given only once. */
SSL_SESSION *weft_tls_sessions_take(struct weft_tls_sessions *sessions,
                                    const char *key);

/* tls_verify.c. Decides on the peer's chain, for SSL_CTX_set_cert_verify_. */
int weft_tls_verify(X509_STORE_CTX *store, void *unused);

/* Sets on the connection who is trusted, what is asked of the peer, and when. 0
 * or WEFT_ETLS with tls->error. */
int weft_tls_verify_prepare(struct weft_tls *tls);

/* True for "1.2.3.4" and "::1". */
int weft_tls_is_address(const char *host);

/* "2026-01-02"; `out` has room for 32. */
const char *weft_tls_date(const ASN1_TIME *time, char *out);

/* The names in the subjectAltName: "DNS:a", "IP:::1", separated by
 * `separator`, with that prefix or without; 0 when there are none. Returns the
 * size, writes up to `room` bytes and a final '\0'. */
size_t weft_tls_names(X509 *cert, int with_kinds, const char *separator,
                      char *out, size_t room);

/* Seconds since 1970 at which certificates are to be valid. */
int64_t weft_tls_now(const struct weft_tls *tls);
int64_t weft_tls_seconds(const ASN1_TIME *time);

/* tls_ocsp.c: for SSL_CTX_set_tlsext_status_cb, both sides. */
int weft_tls_on_status(SSL *ssl, void *unused);

static inline struct weft_tls *weft_tls_of(SSL *ssl) {
  return SSL_get_app_data(ssl);
}

#endif
