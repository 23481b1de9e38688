/* SPDX-License-Identifier: MIT */
/*
 * spec/fuzz/tls.c: a client or a server of net/tls.c that gets whatever bytes
 * there are, in whatever portions. The first byte says which, and how. Nothing
 * may crash, leak, or hang: a connection ends within a bounded number of calls.
 */
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <string.h>

#include "base/err.h"
#include "net/tls.h"

#define CALLS 10000 /* far above what any input needs */

enum flag { IS_SERVER = 1, IS_OLD = 2, IS_SLOW = 4, IS_ASKED = 8 };

struct end {
  struct weft_bottom bottom;
  const uint8_t *data;
  size_t size, most;
};

static ssize_t end_recv(struct weft_filter *filter, char *data, size_t size) {
  struct end *end = (struct end *)(void *)filter;
  size = size < end->most ? size : end->most;
  size = size < end->size ? size : end->size;
  if (size == 0)
    return UV_EOF;
  memcpy(data, end->data, size);
  end->data += size;
  end->size -= size;
  return (ssize_t)size;
}

static ssize_t end_send(struct weft_filter *filter, const uv_buf_t *bufs,
                        unsigned count) {
  (void)filter;
  (void)count;
  return (ssize_t)bufs->len;
}

static int end_nothing(struct weft_filter *filter) {
  (void)filter;
  return 0;
}

static void end_destroy(struct weft_filter *filter) {
  (void)filter;
}

static const struct weft_filter_class end_class = {
    .name = "end",
    .connect = end_nothing,
    .recv = end_recv,
    .send = end_send,
    .shutdown = end_nothing,
    .destroy = end_destroy,
};

static struct weft_mem mem;
static struct weft_tls_shared *shared;
static struct weft_tlsctx *contexts[16];

/* A certificate that signs itself, and its key, as PEM. */
static struct weft_tls_bytes identity(void) {
  struct weft_tls_bytes bytes;
  BIO *bio = BIO_new(BIO_s_mem());
  EVP_PKEY *key = EVP_EC_gen("P-256");
  X509 *cert = X509_new();
  static char text[4096];
  X509_gmtime_adj(X509_getm_notBefore(cert), 0);
  X509_gmtime_adj(X509_getm_notAfter(cert), 1000000);
  X509_set_pubkey(cert, key);
  X509_sign(cert, key, EVP_sha256());
  PEM_write_bio_X509(bio, cert);
  PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL);
  bytes.size = (size_t)BIO_read(bio, text, sizeof(text));
  bytes.data = text;
  BIO_free(bio);
  X509_free(cert);
  EVP_PKEY_free(key);
  return bytes;
}

static struct weft_tlsctx *context(unsigned flags) {
  struct weft_tlsctx_options options = {0};
  struct weft_tls_error error = {"", ""};
  static struct weft_tls_bytes pem;
  if (contexts[flags] != NULL)
    return contexts[flags];
  if (pem.data == NULL)
    pem = identity();
  options.cert = options.client_ca = options.ca = pem;
  options.verify = WEFT_TLS_VERIFY_OPTIONAL;
  options.max_version = flags & IS_OLD ? 0x0303 : 0;
  options.asks_for_context = (flags & IS_ASKED) != 0;
  options.alpn.data = "\2h2\10http/1.1";
  options.alpn.size = 12;
  if (shared == NULL)
    shared = weft_tls_shared_new(&mem);
  contexts[flags] = weft_tlsctx_new(shared, &options, &error);
  if (contexts[flags] == NULL)
    abort();
  return contexts[flags];
}

static int connect_all(struct weft_filter *tls) {
  int i, rc = 0;
  for (i = 0; i < CALLS; i++) {
    rc = weft_filter_connect(tls);
    if (rc == WEFT_ETLSHELLO)
      rc = weft_tls_choose(tls, NULL);
    else
      return rc;
  }
  abort();
}

static void read_all(struct weft_filter *tls) {
  char data[100];
  int i;
  for (i = 0; i < CALLS; i++)
    if (weft_filter_recv(tls, data, sizeof(data)) <= 0)
      return;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct end end = {.bottom.filter.cls = &end_class};
  struct weft_tls_options options = {.host = "a.test", .port = 443};
  struct weft_tls_error error = {"", ""};
  struct weft_filter *tls;
  unsigned flags = size > 0 ? data[0] % 16 : 0;
  uv_buf_t buf = uv_buf_init((char *)(uintptr_t) "hello", 5);
  if (size == 0)
    return 0;
  end.data = data + 1;
  end.size = size - 1;
  end.most = flags & IS_SLOW ? 1 : 16384;
  options.is_server = flags & IS_SERVER;
  tls = weft_tls_new(&mem, context(flags), &options, &error);
  if (tls == NULL)
    abort();
  tls->below = &end.bottom.filter;
  if (connect_all(tls) == 0) {
    (void)weft_filter_send(tls, &buf, 1);
    read_all(tls);
    (void)weft_filter_shutdown(tls);
  } else if (weft_tls_error_of(tls) == NULL) {
    abort(); /* what fails says why */
  }
  weft_filter_destroy(tls);
  return 0;
}
