/* SPDX-License-Identifier: MIT */
/*
 * net/tls_info.c: what there is to know about a TLS connection that is up, and
 * about the peer's certificate. Nothing is kept: each field is made when it is
 * asked for.
 */
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <string.h>

#include "net/tls_internal.h"

void weft_tls_get_info(struct weft_filter *filter, struct weft_tls_info *info) {
  struct weft_tls *tls = (struct weft_tls *)(void *)filter;
  const unsigned char *alpn;
  unsigned size;
  memset(info, 0, sizeof(*info));
  info->version = SSL_get_version(tls->ssl);
  info->cipher = SSL_get_cipher_name(tls->ssl);
  SSL_get0_alpn_selected(tls->ssl, &alpn, &size);
  if (alpn != NULL) {
    info->alpn.data = (const char *)alpn;
    info->alpn.size = size;
  }
  if (tls->host[0] != '\0' && !weft_tls_is_address(tls->host))
    info->server_name = tls->host;
  info->ocsp = tls->ocsp;
  info->is_resumed = (uint8_t)SSL_session_reused(tls->ssl);
  info->has_peer = SSL_get0_peer_certificate(tls->ssl) != NULL;
  info->is_verified = tls->verifies && info->has_peer;
}

static void print_name(BIO *bio, const X509_NAME *name) {
  X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB);
}

static void print_serial(BIO *bio, const X509 *cert) {
  BIGNUM *number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(cert), NULL);
  if (number != NULL)
    BN_print(bio, number);
  BN_free(number);
}

static void print_names(BIO *bio, X509 *cert) {
  size_t size = weft_tls_names(cert, 1, "\n", NULL, 0);
  char *names = OPENSSL_malloc(size + 1);
  if (names == NULL)
    return;
  weft_tls_names(cert, 1, "\n", names, size + 1);
  BIO_write(bio, names, (int)size);
  OPENSSL_free(names);
}

static void print_digest(BIO *bio, const X509 *cert) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size, i;
  if (!X509_digest(cert, EVP_sha256(), digest, &size))
    return;
  for (i = 0; i < size; i++)
    BIO_printf(bio, "%02x", digest[i]);
}

static void print_chain(BIO *bio, struct weft_tls *tls) {
  STACK_OF(X509) *chain = SSL_get_peer_cert_chain(tls->ssl);
  int i;
  if (tls->is_server) /* a server's chain is without the leaf */
    PEM_write_bio_X509(bio, SSL_get0_peer_certificate(tls->ssl));
  for (i = 0; i < sk_X509_num(chain); i++)
    PEM_write_bio_X509(bio, sk_X509_value(chain, i));
}

static void print(BIO *bio, struct weft_tls *tls, X509 *cert,
                  enum weft_tls_field field) {
  switch (field) {
  case WEFT_TLS_SUBJECT:
    print_name(bio, X509_get_subject_name(cert));
    break;
  case WEFT_TLS_ISSUER:
    print_name(bio, X509_get_issuer_name(cert));
    break;
  case WEFT_TLS_SERIAL:
    print_serial(bio, cert);
    break;
  case WEFT_TLS_NAMES:
    print_names(bio, cert);
    break;
  case WEFT_TLS_NOT_BEFORE:
    BIO_printf(bio, "%lld",
               (long long)weft_tls_seconds(X509_get0_notBefore(cert)));
    break;
  case WEFT_TLS_NOT_AFTER:
    BIO_printf(bio, "%lld",
               (long long)weft_tls_seconds(X509_get0_notAfter(cert)));
    break;
  case WEFT_TLS_FINGERPRINT:
    print_digest(bio, cert);
    break;
  case WEFT_TLS_PEM:
    PEM_write_bio_X509(bio, cert);
    break;
  default:
    print_chain(bio, tls);
  }
}

size_t weft_tls_peer_field(struct weft_filter *filter,
                           enum weft_tls_field field, char *out, size_t room) {
  struct weft_tls *tls = (struct weft_tls *)(void *)filter;
  X509 *cert = SSL_get0_peer_certificate(tls->ssl);
  BIO *bio = cert != NULL ? BIO_new(BIO_s_mem()) : NULL;
  char *text;
  long size;
  if (bio == NULL)
    return 0;
  print(bio, tls, cert, field);
  size = BIO_get_mem_data(bio, &text);
  if (size > 0 && room > 0)
    memcpy(out, text, (size_t)size < room ? (size_t)size : room);
  BIO_free(bio);
  ERR_clear_error();
  return size > 0 ? (size_t)size : 0;
}
