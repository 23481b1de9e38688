/* SPDX-License-Identifier: MIT */
/*
 * net/tls.c: see tls.h. Each call of OpenSSL is made with an empty queue of
 * errors and leaves it empty.
 */
#include "net/tls.h"

#include <openssl/err.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "net/tls_internal.h"

#define RECORD SSL3_RT_MAX_PLAIN_LENGTH /* 16 KiB: what one record can hold */

static struct weft_tls *to_tls(struct weft_filter *filter) {
  return (struct weft_tls *)(void *)filter;
}

/* --- failures --------------------------------------------------------------
 */

/* The connection is of no use any more. */
static int break_off(struct weft_tls *tls, int code) {
  tls->in_error = tls->out_error = code;
  ERR_clear_error();
  return code;
}

/* The filter below has ended without TLS's own end. */
static int end_unclean(struct weft_tls *tls) {
  if (!tls->is_up)
    weft_tls_error_set(&tls->error, "",
                       "the peer closed the connection during the TLS "
                       "handshake");
  else if (tls->ctx->allows_unclean_close) {
    tls->ended_unclean = 1;
    return UV_EOF;
  }
  return WEFT_ETLSEOF;
}

static int is_failure(int code) {
  return code != 0 && code != UV_EAGAIN && code != UV_EOF;
}

/* What failed first is the reason: OpenSSL may have tried to send an alert
 * after that, in vain. */
static int fail(struct weft_tls *tls, int why) {
  if (tls->error.text[0] != '\0')
    return break_off(tls, WEFT_ETLS);
  if (tls->read_error == UV_EOF)
    return break_off(tls, end_unclean(tls));
  if (is_failure(tls->read_error))
    return break_off(tls, tls->read_error);
  if (why == SSL_ERROR_SYSCALL && is_failure(tls->write_error))
    return break_off(tls, tls->write_error);
  weft_tls_error_drain(&tls->error, NULL);
  return break_off(tls, WEFT_ETLS);
}

/* To be called before each function of OpenSSL that moves bytes. To look
 * whether there is an error costs less than to clear a queue that is empty. */
static void begin(struct weft_tls *tls) {
  if (ERR_peek_error() != 0)
    ERR_clear_error();
  tls->read_error = tls->write_error = 0;
}

/* What a call in `direction` gives whose OpenSSL function returned `rc`. */
static int outcome(struct weft_tls *tls, int rc,
                   enum weft_direction direction) {
  int why = SSL_get_error(tls->ssl, rc);
  switch (why) {
  case SSL_ERROR_WANT_READ:
    tls->needs[direction] = WEFT_READ;
    return UV_EAGAIN;
  case SSL_ERROR_WANT_WRITE:
    tls->needs[direction] = WEFT_WRITE;
    return UV_EAGAIN;
  case SSL_ERROR_WANT_CLIENT_HELLO_CB:
    return WEFT_ETLSHELLO;
  case SSL_ERROR_ZERO_RETURN:
    if (!tls->is_up)
      return break_off(tls, end_unclean(tls));
    tls->in_error = UV_EOF;
    return UV_EOF;
  default:
    return fail(tls, why);
  }
}

/* --- connecting ------------------------------------------------------------
 */

static void resume(struct weft_tls *tls) {
  SSL_SESSION *session;
  if (tls->session_key == NULL)
    return;
  session = weft_tls_sessions_take(&tls->ctx->sessions, tls->session_key);
  if (session == NULL)
    return;
  SSL_set_session(tls->ssl, session);
  SSL_SESSION_free(session);
}

/* What need not be done before the first connect: the system's store, say. */
static int prepare(struct weft_tls *tls) {
  if (weft_tls_verify_prepare(tls) != 0)
    return break_off(tls, WEFT_ETLS);
  if (!tls->is_server) {
    resume(tls);
    if (tls->host[0] != '\0' && !weft_tls_is_address(tls->host))
      SSL_set_tlsext_host_name(tls->ssl, tls->host);
    if (tls->verifies)
      SSL_set_tlsext_status_type(tls->ssl, TLSEXT_STATUSTYPE_ocsp);
  }
  tls->is_prepared = 1;
  return 0;
}

static int tls_connect(struct weft_filter *filter) {
  struct weft_tls *tls = to_tls(filter);
  int rc;
  if (tls->is_up || tls->in_error != 0)
    return tls->is_up ? 0 : tls->in_error;
  if (!tls->is_below_up) {
    rc = weft_filter_connect(filter->below);
    if (rc != 0)
      return rc;
    tls->is_below_up = 1;
  }
  begin(tls);
  if (!tls->is_prepared && (rc = prepare(tls)) != 0)
    return rc;
  rc = SSL_do_handshake(tls->ssl);
  if (rc != 1)
    return outcome(tls, rc, WEFT_CONNECT);
  tls->is_up = 1;
  return 0;
}

static int tls_needs(struct weft_filter *filter,
                     enum weft_direction direction) {
  struct weft_tls *tls = to_tls(filter);
  enum weft_direction needs = tls->needs[direction];
  if (!tls->is_below_up)
    return weft_filter_needs(filter->below, WEFT_CONNECT);
  if (needs != 0)
    return weft_filter_needs(filter->below, needs);
  needs = direction == WEFT_WRITE ? WEFT_WRITE : WEFT_READ;
  /* Who reads in portions may stop before UV_EAGAIN, with bytes left in
   * OpenSSL that no event below will announce: one that comes soon must do. */
  if (needs == WEFT_READ && SSL_has_pending(tls->ssl))
    return weft_filter_needs(filter->below, WEFT_READ) |
           weft_filter_needs(filter->below, WEFT_WRITE);
  return weft_filter_needs(filter->below, needs);
}

/* --- data
 * -------------------------------------------------------------------*/

static ssize_t tls_recv(struct weft_filter *filter, char *data, size_t size) {
  struct weft_tls *tls = to_tls(filter);
  size_t total = 0, done;
  int rc;
  if (tls->in_error != 0)
    return tls->in_error;
  do {
    begin(tls);
    rc = SSL_read_ex(tls->ssl, data + total, size - total, &done);
    if (rc != 1) {
      rc = outcome(tls, rc, WEFT_READ);
      return total > 0 ? (ssize_t)total : rc; /* a failure comes again */
    }
    total += done;
    tls->needs[WEFT_READ] = 0;
  } while (total < size && SSL_has_pending(tls->ssl));
  return (ssize_t)total;
}

/* The next bytes to send: a buffer as it is, or several small ones put together
 * in `block`, so that each does not become a record. */
static uv_buf_t next_chunk(const uv_buf_t *bufs, unsigned count, size_t skip,
                           char *block) {
  uv_buf_t chunk;
  size_t size = 0;
  chunk.base = bufs->base + skip;
  chunk.len = bufs->len - skip;
  if (count == 1 || chunk.len >= RECORD)
    return chunk;
  for (; count > 0 && size < RECORD; bufs++, count--, skip = 0) {
    size_t part = bufs->len - skip;
    if (part > RECORD - size)
      part = RECORD - size;
    memcpy(block + size, bufs->base + skip, part);
    size += part;
  }
  chunk.base = block;
  chunk.len = size;
  return chunk;
}

static ssize_t send_chunk(struct weft_tls *tls, uv_buf_t chunk) {
  size_t done;
  int rc;
  begin(tls);
  rc = SSL_write_ex(tls->ssl, chunk.base,
                    chunk.len < RECORD ? chunk.len : RECORD, &done);
  if (rc == 1) {
    tls->is_sending = 0;
    return (ssize_t)done;
  }
  rc = outcome(tls, rc, WEFT_WRITE);
  tls->is_sending = rc == UV_EAGAIN;
  return rc == UV_EOF ? UV_EPIPE : rc;
}

static ssize_t tls_send(struct weft_filter *filter, const uv_buf_t *bufs,
                        unsigned count) {
  struct weft_tls *tls = to_tls(filter);
  char block[RECORD];
  size_t total = 0, skip = 0;
  if (tls->out_error != 0)
    return tls->out_error == UV_EOF ? UV_EPIPE : tls->out_error;
  for (;;) {
    ssize_t done;
    while (count > 0 && skip >= bufs->len) {
      skip -= bufs->len;
      bufs++;
      count--;
    }
    if (count == 0)
      return (ssize_t)total;
    done = send_chunk(tls, next_chunk(bufs, count, skip, block));
    if (done < 0)
      return total > 0 ? (ssize_t)total : done;
    total += (size_t)done;
    skip += (size_t)done;
  }
}

/* --- the end
 * ----------------------------------------------------------------*/

static int tls_shutdown(struct weft_filter *filter) {
  struct weft_tls *tls = to_tls(filter);
  int rc;
  if (tls->is_up && !tls->is_shut && tls->out_error == 0) {
    begin(tls);
    rc = SSL_shutdown(tls->ssl);
    if (rc < 0) {
      rc = outcome(tls, rc, WEFT_WRITE);
      return rc == UV_EOF ? UV_EPIPE : rc;
    }
    tls->is_shut = 1;
  }
  return weft_filter_shutdown(filter->below);
}

/* Says goodbye if that needs no waiting. In any case OpenSSL is told that it
 * was said: a connection that ends without is not one to resume. */
static void say_goodbye(struct weft_tls *tls) {
  if (!tls->is_up || tls->in_error == WEFT_ETLS)
    return;
  if (!tls->is_shut && !tls->is_sending && tls->out_error == 0)
    SSL_shutdown(tls->ssl);
  SSL_set_shutdown(tls->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
}

static void tls_destroy(struct weft_filter *filter) {
  struct weft_tls *tls = to_tls(filter);
  if (tls->ssl != NULL) {
    ERR_clear_error();
    say_goodbye(tls);
    SSL_free(tls->ssl);
    ERR_clear_error();
  }
  weft_free(filter->mem, tls->session_key);
  weft_tlsctx_release(tls->ctx);
  weft_free(filter->mem, tls);
}

static const struct weft_filter_class tls_class = {
    .name = "tls",
    .connect = tls_connect,
    .recv = tls_recv,
    .send = tls_send,
    .shutdown = tls_shutdown,
    .needs = tls_needs,
    .destroy = tls_destroy,
};

/* --- making one
 * -------------------------------------------------------------*/

/* The name without the dot that marks it as absolute, and without a scope. */
static int set_host(struct weft_tls *tls, const char *host) {
  size_t size = strlen(host);
  if (size > WEFT_TLS_HOST_MAX)
    return -1;
  memcpy(tls->host, host, size + 1);
  if (strchr(host, ':') != NULL)
    tls->host[strcspn(host, "%")] = '\0';
  else if (size > 1 && host[size - 1] == '.')
    tls->host[size - 1] = '\0';
  return 0;
}

static int needs_host(const struct weft_tlsctx *ctx) {
  return ctx->verify != WEFT_TLS_VERIFY_NONE;
}

/* Sessions count for one peer and one set of protocols. */
static int set_session_key(struct weft_tls *tls, unsigned port,
                           const struct weft_tls_bytes *alpn) {
  size_t size = strlen(tls->host) + sizeof(":65535:") + alpn->size;
  int at;
  if (tls->ctx->no_resumption || tls->host[0] == '\0')
    return 0;
  tls->session_key = weft_malloc(tls->filter.mem, size + 8);
  if (tls->session_key == NULL)
    return -1;
  at = snprintf(tls->session_key, size, "%s:%u:", tls->host, port % 65536);
  if (alpn->size > 0)
    memcpy(tls->session_key + at, alpn->data, alpn->size);
  tls->session_key[(size_t)at + alpn->size] = '\0';
  return 0;
}

static int init_client(struct weft_tls *tls,
                       const struct weft_tls_options *options) {
  const char *host = options->host;
  struct weft_tls_bytes alpn =
      options->alpn.data != NULL ? options->alpn : tls->ctx->alpn;
  if (host == NULL)
    host = tls->ctx->server_hostname;
  if (host != NULL && set_host(tls, host) != 0) {
    weft_tls_error_set(&tls->error, "HOST_TOO_LONG",
                       "the host name is longer "
                       "than any can be");
    return -1;
  }
  if (tls->host[0] == '\0' && needs_host(tls->ctx)) {
    weft_tls_error_set(&tls->error, "NO_HOST",
                       "a host name is needed to verify the certificate: give "
                       "server_hostname");
    return -1;
  }
  SSL_set_connect_state(tls->ssl);
  if (alpn.size > 0 &&
      SSL_set_alpn_protos(tls->ssl, (const unsigned char *)alpn.data,
                          (unsigned)alpn.size) != 0)
    return -1;
  return set_session_key(tls, options->port, &alpn);
}

static int init_ssl(struct weft_tls *tls,
                    const struct weft_tls_options *options) {
  BIO *bio = weft_tls_bio_new(tls);
  tls->ssl = SSL_new(tls->ctx->ssl);
  if (bio == NULL || tls->ssl == NULL) {
    BIO_free(bio);
    return -1;
  }
  SSL_set_app_data(tls->ssl, tls);
  SSL_set_bio(tls->ssl, bio, bio);
  if (!tls->is_server)
    return init_client(tls, options);
  SSL_set_accept_state(tls->ssl);
  return 0;
}

struct weft_filter *weft_tls_new(struct weft_mem *mem, struct weft_tlsctx *ctx,
                                 const struct weft_tls_options *options,
                                 struct weft_tls_error *error) {
  struct weft_tls *tls = weft_calloc(mem, sizeof(*tls));
  ERR_clear_error();
  if (tls != NULL) {
    tls->filter.cls = &tls_class;
    tls->filter.mem = mem;
    tls->ctx = ctx;
    tls->is_server = options->is_server;
    weft_tlsctx_retain(ctx);
    if (init_ssl(tls, options) == 0)
      return &tls->filter;
    *error = tls->error;
    tls_destroy(&tls->filter);
  }
  weft_tls_error_set(error, "ENOMEM", "not enough memory");
  return NULL;
}

/* --- servers of several names ------------------------------------------------
 */

const char *weft_tls_asked_name(struct weft_filter *filter) {
  return to_tls(filter)->host;
}

int weft_tls_choose(struct weft_filter *filter, struct weft_tlsctx *ctx) {
  struct weft_tls *tls = to_tls(filter);
  tls->is_chosen = 1;
  if (ctx == NULL || ctx == tls->ctx)
    return 0;
  ERR_clear_error();
  if (SSL_set_SSL_CTX(tls->ssl, ctx->ssl) == NULL ||
      !SSL_set_min_proto_version(tls->ssl, ctx->min_version) ||
      !SSL_set_max_proto_version(tls->ssl, ctx->max_version)) {
    weft_tls_error_drain(&tls->error, "the chosen context");
    return break_off(tls, WEFT_ETLS);
  }
  weft_tlsctx_retain(ctx);
  weft_tlsctx_release(tls->ctx);
  tls->ctx = ctx;
  return prepare(tls);
}

struct weft_filter *weft_tls_find(struct weft_filter *top) {
  for (; top != NULL; top = top->below) {
    if (top->cls == &tls_class)
      return top;
  }
  return NULL;
}

const struct weft_tls_error *weft_tls_error_of(struct weft_filter *top) {
  for (top = weft_tls_find(top); top != NULL; top = weft_tls_find(top->below)) {
    if (to_tls(top)->error.text[0] != '\0')
      return &to_tls(top)->error;
  }
  return NULL;
}

int weft_tls_ended_unclean(struct weft_filter *top) {
  top = weft_tls_find(top);
  return top != NULL && to_tls(top)->ended_unclean;
}
