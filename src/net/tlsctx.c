/* SPDX-License-Identifier: MIT */
/*
 * net/tlsctx.c: see tlsctx.h. One SSL_CTX serves clients and servers: what
 * differs between them is set on each connection.
 */
#include "net/tlsctx.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/tls_internal.h"

#define SECURITY_LEVEL 2 /* 112 bits: no RSA of 1024, no SHA-1 */

const char *weft_tls_library(void) {
  return OpenSSL_version(OPENSSL_VERSION);
}

/* --- shared -------------------------------------------------------------- */

struct weft_tls_shared *weft_tls_shared_new(struct weft_mem *mem) {
  struct weft_tls_shared *shared = weft_calloc(mem, sizeof(*shared));
  if (shared == NULL)
    return NULL;
  shared->mem = mem;
  shared->references = 1;
  shared->bio = weft_tls_bio_method();
  if (shared->bio != NULL)
    return shared;
  weft_free(mem, shared);
  return NULL;
}

void weft_tls_shared_release(struct weft_tls_shared *shared) {
  if (--shared->references != 0)
    return;
  BIO_meth_free(shared->bio);
  X509_STORE_free(shared->store);
  weft_free(shared->mem, shared);
}

/* --- callbacks -------------------------------------------------------------
 */

static int on_session(SSL *ssl, SSL_SESSION *session) {
  struct weft_tls *tls = weft_tls_of(ssl);
  if (tls->is_server || tls->session_key == NULL)
    return 0;
  weft_tls_sessions_put(&tls->ctx->sessions, tls->session_key, session);
  return 1; /* the reference is ours */
}

static void on_keylog(const SSL *ssl, const char *line) {
  struct weft_tls *tls = weft_tls_of((SSL *)(uintptr_t)ssl);
  size_t size = strlen(line);
  char text[1024];
  if (size + 1 > sizeof(text))
    return;
  memcpy(text, line, size);
  text[size] = '\n'; /* one write a line: several processes may log */
  if (write(tls->ctx->keylog, text, size + 1) < 0)
    return; /* a log that cannot be written stops nobody */
}

static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *size,
                   const unsigned char *in, unsigned in_size, void *unused) {
  const struct weft_tls_bytes *ours = &weft_tls_of(ssl)->ctx->alpn;
  unsigned char *chosen;
  (void)unused;
  if (SSL_select_next_proto(&chosen, size, (const unsigned char *)ours->data,
                            (unsigned)ours->size, in,
                            in_size) != OPENSSL_NPN_NEGOTIATED)
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

/* The name in a ClientHello's server_name extension (RFC 6066, 3): a list's
 * size, a kind (0), the name's size, the name. */
static void read_name(SSL *ssl, char *out) {
  const unsigned char *data;
  size_t size, length;
  out[0] = '\0';
  if (!SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &data, &size) ||
      size < 5 || data[2] != TLSEXT_NAMETYPE_host_name)
    return;
  length = (size_t)data[3] << 8 | data[4];
  if (length > size - 5 || length > WEFT_TLS_HOST_MAX ||
      memchr(data + 5, '\0', length) != NULL)
    return;
  memcpy(out, data + 5, length);
  out[length] = '\0';
}

static int on_hello(SSL *ssl, int *alert, void *unused) {
  struct weft_tls *tls = weft_tls_of(ssl);
  (void)alert;
  (void)unused;
  if (tls->is_chosen)
    return SSL_CLIENT_HELLO_SUCCESS;
  read_name(ssl, tls->host);
  return tls->ctx->asks_for_context ? SSL_CLIENT_HELLO_RETRY
                                    : SSL_CLIENT_HELLO_SUCCESS;
}

struct password {
  const char *text;
  int was_asked;
};

static int on_password(char *out, int room, int is_writing, void *data) {
  struct password *password = data;
  size_t size = password->text != NULL ? strlen(password->text) : 0;
  (void)is_writing;
  password->was_asked = 1;
  if (password->text == NULL || size > (size_t)room)
    return -1;
  memcpy(out, password->text, size);
  return (int)size;
}

/* --- own certificate -------------------------------------------------------
 */

static int add_chain(SSL_CTX *ssl, BIO *bio) {
  X509 *cert;
  while ((cert = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
    if (!SSL_CTX_add0_chain_cert(ssl, cert)) {
      X509_free(cert);
      return 0;
    }
  }
  if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
    return 0;
  ERR_clear_error();
  return 1;
}

static int use_cert(SSL_CTX *ssl, const struct weft_tls_bytes *pem,
                    struct weft_tls_error *error) {
  BIO *bio = BIO_new_mem_buf(pem->data, (int)pem->size);
  X509 *cert = PEM_read_bio_X509_AUX(bio, NULL, NULL, NULL);
  int fine =
      cert != NULL && SSL_CTX_use_certificate(ssl, cert) && add_chain(ssl, bio);
  if (cert == NULL)
    weft_tls_error_set(error, "NO_CERTIFICATE", "cert: no certificate in it");
  if (!fine)
    weft_tls_error_drain(error, "cert");
  ERR_clear_error();
  X509_free(cert);
  BIO_free(bio);
  return fine;
}

static int use_key(SSL_CTX *ssl, const struct weft_tls_bytes *pem,
                   const char *text, struct weft_tls_error *error) {
  struct password password = {text, 0};
  X509 *cert = SSL_CTX_get0_certificate(ssl); /* set just before */
  BIO *bio = BIO_new_mem_buf(pem->data, (int)pem->size);
  EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, on_password, &password);
  int belongs = key != NULL && X509_check_private_key(cert, key);
  int fine = belongs && SSL_CTX_use_PrivateKey(ssl, key);
  if (key == NULL && password.was_asked)
    weft_tls_error_set(error, "BAD_PASSWORD",
                       text != NULL
                           ? "key: the password is wrong"
                           : "key: it is encrypted, and key_password is not "
                             "given");
  else if (key == NULL)
    weft_tls_error_set(error, "NO_KEY", "key: no private key in it");
  else if (!belongs)
    weft_tls_error_set(error, "KEY_VALUES_MISMATCH",
                       "key: it does not belong to the certificate");
  if (!fine)
    weft_tls_error_drain(error, "key");
  ERR_clear_error();
  EVP_PKEY_free(key);
  BIO_free(bio);
  return fine;
}

/* --- the rest
 * ---------------------------------------------------------------*/

static int copy_bytes(struct weft_tlsctx *ctx, struct weft_tls_bytes *to,
                      const struct weft_tls_bytes *from) {
  char *copy;
  if (from->data == NULL || from->size == 0)
    return 1;
  copy = weft_malloc(ctx->shared->mem, from->size);
  if (copy == NULL)
    return 0;
  memcpy(copy, from->data, from->size);
  to->data = copy;
  to->size = from->size;
  return 1;
}

static int copy_options(struct weft_tlsctx *ctx,
                        const struct weft_tlsctx_options *options) {
  const char *host = options->server_hostname;
  ctx->verify = options->verify;
  ctx->verify_time = options->verify_time;
  ctx->min_version =
      options->min_version != 0 ? options->min_version : TLS1_2_VERSION;
  ctx->max_version = options->max_version;
  ctx->requires_ocsp = options->requires_ocsp;
  ctx->no_resumption = options->no_resumption;
  ctx->allows_unclean_close = options->allows_unclean_close;
  ctx->asks_for_context = options->asks_for_context;
  if (host != NULL) {
    ctx->server_hostname = weft_malloc(ctx->shared->mem, strlen(host) + 1);
    if (ctx->server_hostname == NULL)
      return 0;
    memcpy(ctx->server_hostname, host, strlen(host) + 1);
  }
  return copy_bytes(ctx, &ctx->alpn, &options->alpn) &&
         copy_bytes(ctx, &ctx->pins, &options->pins) &&
         copy_bytes(ctx, &ctx->ocsp_response, &options->ocsp_response);
}

static void set_callbacks(struct weft_tlsctx *ctx) {
  SSL_CTX_set_cert_verify_callback(ctx->ssl, weft_tls_verify, NULL);
  SSL_CTX_set_client_hello_cb(ctx->ssl, on_hello, NULL);
  SSL_CTX_sess_set_new_cb(ctx->ssl, on_session);
  SSL_CTX_set_tlsext_status_cb(ctx->ssl, weft_tls_on_status);
  if (ctx->alpn.data != NULL)
    SSL_CTX_set_alpn_select_cb(ctx->ssl, on_alpn, NULL);
  if (ctx->keylog >= 0)
    SSL_CTX_set_keylog_callback(ctx->ssl, on_keylog);
}

/* Sessions are bound to their context: one that does not ask clients for a
 * certificate cannot hand out what another takes for the proof of one. */
static int set_session_id(SSL_CTX *ssl) {
  unsigned char id[SSL_MAX_SID_CTX_LENGTH];
  return RAND_bytes(id, sizeof(id)) == 1 &&
         SSL_CTX_set_session_id_context(ssl, id, sizeof(id));
}

static int set_protocol(struct weft_tlsctx *ctx,
                        const struct weft_tlsctx_options *options,
                        struct weft_tls_error *error) {
  SSL_CTX *ssl = ctx->ssl;
  SSL_CTX_set_options(ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                               SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS |
                            SSL_MODE_ENABLE_PARTIAL_WRITE |
                            SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_read_ahead(ssl, 1);
  SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_CLIENT |
                                          SSL_SESS_CACHE_NO_INTERNAL);
  if (ctx->no_resumption)
    SSL_CTX_set_options(ssl, SSL_OP_NO_TICKET);
  if (SSL_CTX_get_security_level(ssl) < SECURITY_LEVEL)
    SSL_CTX_set_security_level(ssl, SECURITY_LEVEL);
  if (!SSL_CTX_set_min_proto_version(ssl, ctx->min_version) ||
      !SSL_CTX_set_max_proto_version(ssl, ctx->max_version) ||
      !set_session_id(ssl))
    weft_tls_error_drain(error, NULL);
  if (options->ciphers != NULL &&
      !SSL_CTX_set_cipher_list(ssl, options->ciphers))
    weft_tls_error_drain(error, "ciphers");
  if (options->ciphersuites != NULL &&
      !SSL_CTX_set_ciphersuites(ssl, options->ciphersuites))
    weft_tls_error_drain(error, "ciphersuites");
  return error->text[0] == '\0';
}

/* The file, or the one that other programs log to as well. */
static int open_keylog(struct weft_tlsctx *ctx, const char *path,
                       struct weft_tls_error *error) {
  if (path == NULL && getuid() == geteuid())
    path = getenv("SSLKEYLOGFILE");
  if (path == NULL || path[0] == '\0')
    return 1;
  ctx->keylog = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  if (ctx->keylog < 0)
    weft_tls_error_set(error, "KEYLOG_FILE", "keylog_file: cannot open %s: %s",
                       path, strerror(errno));
  return ctx->keylog >= 0;
}

static STACK_OF(X509_NAME) * names_of(X509_STORE *store) {
  STACK_OF(X509_NAME) *names = sk_X509_NAME_new_null();
  STACK_OF(X509_OBJECT) *objects = X509_STORE_get0_objects(store);
  int i;
  for (i = 0; i < sk_X509_OBJECT_num(objects); i++) {
    X509 *cert = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(objects, i));
    X509_NAME *name =
        cert != NULL ? X509_NAME_dup(X509_get_subject_name(cert)) : NULL;
    if (name != NULL && !sk_X509_NAME_push(names, name))
      X509_NAME_free(name);
  }
  return names;
}

static int open_stores(struct weft_tlsctx *ctx,
                       const struct weft_tlsctx_options *options,
                       struct weft_tls_error *error) {
  if (options->ca.data != NULL || options->ca_path != NULL) {
    ctx->ca = weft_tls_store_new(&options->ca, options->ca_path, "ca", error);
    if (ctx->ca == NULL)
      return 0;
  }
  if (options->client_ca.data != NULL || options->client_ca_path != NULL) {
    ctx->client_ca = weft_tls_store_new(
        &options->client_ca, options->client_ca_path, "client_ca", error);
    if (ctx->client_ca == NULL)
      return 0;
    SSL_CTX_set_client_CA_list(ctx->ssl, names_of(ctx->client_ca));
  }
  return 1;
}

static int use_identity(struct weft_tlsctx *ctx,
                        const struct weft_tlsctx_options *options,
                        struct weft_tls_error *error) {
  if (options->cert.data == NULL)
    return 1;
  return use_cert(ctx->ssl, &options->cert, error) &&
         use_key(ctx->ssl,
                 options->key.data != NULL ? &options->key : &options->cert,
                 options->key_password, error);
}

struct weft_tlsctx *weft_tlsctx_new(struct weft_tls_shared *shared,
                                    const struct weft_tlsctx_options *options,
                                    struct weft_tls_error *error) {
  struct weft_tlsctx *ctx = weft_calloc(shared->mem, sizeof(*ctx));
  if (ctx == NULL)
    goto failed;
  ctx->shared = shared;
  ctx->references = 1;
  ctx->keylog = -1;
  shared->references++;
  weft_tls_sessions_init(&ctx->sessions, shared->mem);
  ERR_clear_error();
  ctx->ssl = SSL_CTX_new(TLS_method());
  if (ctx->ssl != NULL && copy_options(ctx, options) &&
      set_protocol(ctx, options, error) && open_stores(ctx, options, error) &&
      use_identity(ctx, options, error) &&
      open_keylog(ctx, options->keylog_file, error)) {
    set_callbacks(ctx);
    return ctx;
  }
failed:
  if (ERR_peek_error() != 0)
    weft_tls_error_drain(error, NULL);
  weft_tls_error_set(error, "ENOMEM", "not enough memory");
  if (ctx != NULL)
    weft_tlsctx_release(ctx);
  return NULL;
}

void weft_tlsctx_retain(struct weft_tlsctx *ctx) {
  ctx->references++;
}

static void free_bytes(struct weft_mem *mem, struct weft_tls_bytes *bytes) {
  weft_free(mem, (void *)(uintptr_t)bytes->data);
}

void weft_tlsctx_release(struct weft_tlsctx *ctx) {
  struct weft_tls_shared *shared = ctx->shared;
  if (--ctx->references != 0)
    return;
  weft_tls_sessions_deinit(&ctx->sessions);
  SSL_CTX_free(ctx->ssl);
  X509_STORE_free(ctx->ca);
  X509_STORE_free(ctx->client_ca);
  if (ctx->keylog >= 0)
    close(ctx->keylog);
  weft_free(shared->mem, ctx->server_hostname);
  free_bytes(shared->mem, &ctx->alpn);
  free_bytes(shared->mem, &ctx->pins);
  free_bytes(shared->mem, &ctx->ocsp_response);
  weft_free(shared->mem, ctx);
  weft_tls_shared_release(shared);
}

unsigned weft_tlsctx_sessions(const struct weft_tlsctx *ctx) {
  return ctx->sessions.count;
}
