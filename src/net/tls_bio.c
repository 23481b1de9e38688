/* SPDX-License-Identifier: MIT */
/*
 * net/tls_bio.c: the BIO through which OpenSSL reads and writes the filter
 * below, straight from and into OpenSSL's own buffers.
 *
 * Invariant: what the filter below said other than a number of bytes is in
 * tls->read_error and write_error; OpenSSL only hears "again" or "no".
 */
#include <openssl/bio.h>

#include "net/tls_internal.h"

/* After -1 OpenSSL remembers that it must go on, after 0 not always: an alert
 * that was half sent would count as sent. */
static int answer(ssize_t rc) {
  return rc > 0 ? 1 : rc == UV_EOF ? 0 : -1;
}

static int on_read(BIO *bio, char *data, size_t size, size_t *done) {
  struct weft_tls *tls = BIO_get_data(bio);
  ssize_t rc = weft_filter_recv(tls->filter.below, data, size);
  BIO_clear_retry_flags(bio);
  tls->read_error = rc < 0 ? (int)rc : 0;
  *done = rc > 0 ? (size_t)rc : 0;
  if (rc == UV_EAGAIN)
    BIO_set_retry_read(bio);
  return answer(rc);
}

static int on_write(BIO *bio, const char *data, size_t size, size_t *done) {
  struct weft_tls *tls = BIO_get_data(bio);
  uv_buf_t buf;
  ssize_t rc;
  buf.base = (char *)(uintptr_t)data;
  buf.len = size;
  rc = weft_filter_send(tls->filter.below, &buf, 1);
  BIO_clear_retry_flags(bio);
  tls->write_error = rc < 0 ? (int)rc : 0;
  *done = rc > 0 ? (size_t)rc : 0;
  if (rc == UV_EAGAIN)
    BIO_set_retry_write(bio);
  return answer(rc);
}

static long on_control(BIO *bio, int command, long number, void *pointer) {
  struct weft_tls *tls = BIO_get_data(bio);
  (void)number;
  (void)pointer;
  switch (command) {
  case BIO_CTRL_EOF:
    return tls->read_error == UV_EOF;
  case BIO_CTRL_FLUSH:
    return 1; /* nothing is held back */
  default:
    return 0;
  }
}

BIO_METHOD *weft_tls_bio_method(void) {
  BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "weft filter");
  if (method == NULL)
    return NULL;
  BIO_meth_set_read_ex(method, on_read);
  BIO_meth_set_write_ex(method, on_write);
  BIO_meth_set_ctrl(method, on_control);
  return method;
}

BIO *weft_tls_bio_new(struct weft_tls *tls) {
  BIO *bio = BIO_new(tls->ctx->shared->bio);
  if (bio == NULL)
    return NULL;
  BIO_set_data(bio, tls);
  BIO_set_init(bio, 1);
  return bio;
}
