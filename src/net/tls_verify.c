/* SPDX-License-Identifier: MIT */
/*
 * net/tls_verify.c: who the peer is: its chain of certificates, its name, its
 * pinned fingerprint; and the words for what is wrong with them.
 *
 * OpenSSL judges the chain, with the name and the time set beforehand; this
 * file asks for it, and says what came of it while the certificate in question
 * is at hand.
 */
#include <arpa/inet.h>
#include <openssl/err.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "net/tls_internal.h"

#define NAMES_MAX 320 /* in an error; the rest is cut off */

int weft_tls_is_address(const char *host) {
  unsigned char address[sizeof(struct in6_addr)];
  return inet_pton(AF_INET, host, address) == 1 ||
         inet_pton(AF_INET6, host, address) == 1;
}

int64_t weft_tls_now(const struct weft_tls *tls) {
  return tls->ctx->verify_time != 0 ? tls->ctx->verify_time
                                    : (int64_t)time(NULL);
}

int64_t weft_tls_seconds(const ASN1_TIME *time) {
  struct tm tm;
  if (!ASN1_TIME_to_tm(time, &tm))
    return 0;
  return (int64_t)timegm(&tm);
}

const char *weft_tls_date(const ASN1_TIME *time, char *out) {
  struct tm tm;
  if (time == NULL || !ASN1_TIME_to_tm(time, &tm))
    return "an unreadable date";
  snprintf(out, 32, "%04d-%02d-%02d", (tm.tm_year + 1900) % 10000,
           tm.tm_mon + 1, tm.tm_mday);
  return out;
}

/* --- names ------------------------------------------------------------- */

static size_t add(char *out, size_t room, size_t at, const char *text,
                  size_t size) {
  if (at < room)
    memcpy(out + at, text, size < room - at ? size : room - at);
  return at + size;
}

static size_t add_name(const GENERAL_NAME *name, int with_kind, char *out,
                       size_t room, size_t at) {
  char address[INET6_ADDRSTRLEN];
  const ASN1_STRING *text = name->d.ia5;
  const char *kind = name->type == GEN_DNS     ? "DNS:"
                     : name->type == GEN_IPADD ? "IP:"
                     : name->type == GEN_EMAIL ? "email:"
                                               : "URI:";
  if (with_kind)
    at = add(out, room, at, kind, strlen(kind));
  if (name->type == GEN_IPADD) {
    const ASN1_OCTET_STRING *ip = name->d.iPAddress;
    int family = ASN1_STRING_length(ip) == 4 ? AF_INET : AF_INET6;
    if (ASN1_STRING_length(ip) != 4 && ASN1_STRING_length(ip) != 16)
      return at;
    inet_ntop(family, ASN1_STRING_get0_data(ip), address, sizeof(address));
    return add(out, room, at, address, strlen(address));
  }
  return add(out, room, at, (const char *)ASN1_STRING_get0_data(text),
             (size_t)ASN1_STRING_length(text));
}

size_t weft_tls_names(X509 *cert, int with_kinds, const char *separator,
                      char *out, size_t room) {
  GENERAL_NAMES *names =
      X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
  size_t at = 0;
  int i;
  for (i = 0; i < sk_GENERAL_NAME_num(names); i++) {
    const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
    int is_host = name->type == GEN_DNS || name->type == GEN_IPADD;
    if (!is_host &&
        (!with_kinds || (name->type != GEN_EMAIL && name->type != GEN_URI)))
      continue;
    if (at > 0)
      at = add(out, room, at, separator, strlen(separator));
    at = add_name(name, with_kinds, out, room, at);
  }
  GENERAL_NAMES_free(names);
  if (room > 0)
    out[at < room ? at : room - 1] = '\0';
  return at;
}

/* --- words --------------------------------------------------------------- */

static const struct {
  int error;
  const char *code;
  const char *text; /* NULL: OpenSSL's */
} errors[] = {
    {X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY,
     "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
     "unable to get local issuer certificate"},
    {X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, "UNABLE_TO_GET_ISSUER_CERT", NULL},
    {X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE,
     "UNABLE_TO_VERIFY_LEAF_SIGNATURE", NULL},
    {X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, "DEPTH_ZERO_SELF_SIGNED_CERT",
     "self-signed certificate"},
    {X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, "SELF_SIGNED_CERT_IN_CHAIN",
     "self-signed certificate in the chain: its root is not trusted"},
    {X509_V_ERR_CERT_SIGNATURE_FAILURE, "CERT_SIGNATURE_FAILURE",
     "a certificate's signature is wrong"},
    {X509_V_ERR_CERT_CHAIN_TOO_LONG, "CERT_CHAIN_TOO_LONG", NULL},
    {X509_V_ERR_CERT_REVOKED, "CERT_REVOKED", NULL},
    {X509_V_ERR_INVALID_CA, "INVALID_CA",
     "a certificate was issued by one that is not an authority's"},
    {X509_V_ERR_PATH_LENGTH_EXCEEDED, "PATH_LENGTH_EXCEEDED", NULL},
    {X509_V_ERR_CERT_UNTRUSTED, "CERT_UNTRUSTED", NULL},
    {X509_V_ERR_CERT_REJECTED, "CERT_REJECTED", NULL},
    {X509_V_ERR_PERMITTED_VIOLATION, "PERMITTED_VIOLATION",
     "certificate is for a name that its issuer may not certify"},
    {X509_V_ERR_EXCLUDED_VIOLATION, "EXCLUDED_VIOLATION",
     "certificate is for a name that its issuer may not certify"},
    {X509_V_ERR_EE_KEY_TOO_SMALL, "EE_KEY_TOO_SMALL",
     "certificate's key is too small"},
    {X509_V_ERR_CA_KEY_TOO_SMALL, "CA_KEY_TOO_SMALL",
     "an issuer's key is too small"},
    {X509_V_ERR_CA_MD_TOO_WEAK, "CA_MD_TOO_WEAK",
     "certificate's signature algorithm is too weak"},
};

#define ISSUER_MAX 128

/* The name of the issuer whose certificate it is; "" for the peer's own. */
static void get_issuer(X509_STORE_CTX *store, char *name) {
  X509 *cert = X509_STORE_CTX_get_current_cert(store);
  name[0] = '\0';
  if (X509_STORE_CTX_get_error_depth(store) > 0 && cert != NULL)
    X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, name,
                              ISSUER_MAX);
}

static void explain_mismatch(struct weft_tls *tls, X509 *cert, int error) {
  char names[NAMES_MAX];
  size_t size =
      cert != NULL ? weft_tls_names(cert, 0, ", ", names, sizeof(names)) : 0;
  weft_tls_error_set(&tls->error,
                     error == X509_V_ERR_HOSTNAME_MISMATCH
                         ? "HOSTNAME_MISMATCH"
                         : "IP_ADDRESS_MISMATCH",
                     "host name mismatch: asked for %s, certificate is for "
                     "%s%s",
                     tls->host, size > 0 ? names : "no name",
                     size >= sizeof(names) ? "…" : "");
}

static void explain_purpose(struct weft_tls *tls, const char *subject) {
  weft_tls_error_set(&tls->error, "INVALID_PURPOSE",
                     "%s has the wrong purpose: it is not for a TLS %s",
                     subject, tls->is_server ? "client" : "server");
}

static void explain_other(struct weft_tls *tls, int error, const char *issuer) {
  char number[32];
  const char *code = number, *text = X509_verify_cert_error_string(error);
  size_t i;
  snprintf(number, sizeof(number), "VERIFY_%d", error);
  for (i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
    if (errors[i].error != error)
      continue;
    code = errors[i].code;
    text = errors[i].text != NULL ? errors[i].text : text;
  }
  if (issuer[0] != '\0')
    weft_tls_error_set(&tls->error, code, "%s (\"%s\")", text, issuer);
  else
    weft_tls_error_set(&tls->error, code, "%s", text);
}

static void explain(struct weft_tls *tls, X509_STORE_CTX *store) {
  int error = X509_STORE_CTX_get_error(store);
  X509 *cert = X509_STORE_CTX_get_current_cert(store);
  char issuer[ISSUER_MAX], subject[ISSUER_MAX + 64], date[32];
  get_issuer(store, issuer);
  snprintf(subject, sizeof(subject), "certificate%s%s%s",
           issuer[0] != '\0' ? " of the issuer \"" : "", issuer,
           issuer[0] != '\0' ? "\"" : "");
  switch (error) {
  case X509_V_ERR_CERT_HAS_EXPIRED:
    weft_tls_error_set(&tls->error, "CERT_HAS_EXPIRED", "%s has expired on %s",
                       subject, weft_tls_date(X509_get0_notAfter(cert), date));
    break;
  case X509_V_ERR_CERT_NOT_YET_VALID:
    weft_tls_error_set(&tls->error, "CERT_NOT_YET_VALID",
                       "%s is not valid before %s", subject,
                       weft_tls_date(X509_get0_notBefore(cert), date));
    break;
  case X509_V_ERR_HOSTNAME_MISMATCH:
  case X509_V_ERR_IP_ADDRESS_MISMATCH:
    explain_mismatch(tls, cert, error);
    break;
  case X509_V_ERR_INVALID_PURPOSE:
    explain_purpose(tls, subject);
    break;
  default:
    explain_other(tls, error, issuer);
  }
}

/* --- judging ------------------------------------------------------------- */

static void to_hex(const unsigned char *bytes, char *out) {
  int i;
  for (i = 0; i < WEFT_TLS_PIN_SIZE; i++)
    snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}

static int is_pinned(struct weft_tls *tls, X509 *cert) {
  const struct weft_tls_bytes *pins = &tls->ctx->pins;
  unsigned char digest[EVP_MAX_MD_SIZE];
  char have[2 * WEFT_TLS_PIN_SIZE + 1], wanted[2 * WEFT_TLS_PIN_SIZE + 1];
  unsigned size;
  size_t at;
  if (cert == NULL || !X509_digest(cert, EVP_sha256(), digest, &size))
    return 0;
  for (at = 0; at < pins->size; at += WEFT_TLS_PIN_SIZE) {
    if (memcmp(digest, pins->data + at, WEFT_TLS_PIN_SIZE) == 0)
      return 1;
  }
  to_hex(digest, have);
  to_hex((const unsigned char *)pins->data, wanted);
  weft_tls_error_set(&tls->error, "FINGERPRINT_MISMATCH",
                     "fingerprint mismatch: certificate has %s, pinned is %s%s",
                     have, wanted,
                     pins->size > WEFT_TLS_PIN_SIZE ? " or others" : "");
  return 0;
}

int weft_tls_verify(X509_STORE_CTX *store, void *unused) {
  SSL *ssl =
      X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
  struct weft_tls *tls = weft_tls_of(ssl);
  (void)unused;
  if (tls->verifies && X509_verify_cert(store) <= 0) {
    if (X509_STORE_CTX_get_error(store) == X509_V_OK)
      X509_STORE_CTX_set_error(store, X509_V_ERR_UNSPECIFIED);
    explain(tls, store);
    return 0;
  }
  if (tls->ctx->pins.data != NULL &&
      !is_pinned(tls, X509_STORE_CTX_get0_cert(store))) {
    X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
    return 0;
  }
  return 1;
}

/* --- asking for it ------------------------------------------------------- */

static int verify_mode(const struct weft_tls *tls) {
  const struct weft_tlsctx *ctx = tls->ctx;
  enum weft_tls_verify verify = ctx->verify;
  if (verify == WEFT_TLS_VERIFY_DEFAULT)
    verify = !tls->is_server || ctx->client_ca != NULL
                 ? WEFT_TLS_VERIFY_REQUIRED
                 : WEFT_TLS_VERIFY_NONE;
  if (verify == WEFT_TLS_VERIFY_NONE)
    return SSL_VERIFY_NONE;
  if (tls->is_server && verify == WEFT_TLS_VERIFY_REQUIRED)
    return SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
  return SSL_VERIFY_PEER;
}

static int set_store(struct weft_tls *tls) {
  X509_STORE *store = tls->ctx->ca;
  if (tls->is_server && tls->ctx->client_ca != NULL)
    store = tls->ctx->client_ca;
  if (store != NULL)
    X509_STORE_up_ref(store);
  else if ((store = weft_tls_store_system(tls->ctx->shared)) == NULL)
    return 0;
  return (int)SSL_set0_verify_cert_store(tls->ssl, store);
}

static int set_name(struct weft_tls *tls) {
  X509_VERIFY_PARAM *param = SSL_get0_param(tls->ssl);
  if (tls->is_server || tls->host[0] == '\0')
    return 1;
  X509_VERIFY_PARAM_set_hostflags(param,
                                  X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
                                      X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
  return weft_tls_is_address(tls->host)
             ? X509_VERIFY_PARAM_set1_ip_asc(param, tls->host)
             : X509_VERIFY_PARAM_set1_host(param, tls->host, 0);
}

int weft_tls_verify_prepare(struct weft_tls *tls) {
  int mode = verify_mode(tls);
  tls->verifies = mode != SSL_VERIFY_NONE;
  if (tls->ctx->pins.data != NULL)
    mode |= tls->is_server ? SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT
                           : SSL_VERIFY_PEER;
  SSL_set_verify(tls->ssl, mode, NULL);
  if (!tls->verifies)
    return 0;
  if (tls->ctx->verify_time != 0)
    X509_VERIFY_PARAM_set_time(SSL_get0_param(tls->ssl),
                               (time_t)tls->ctx->verify_time);
  if (set_store(tls) && set_name(tls))
    return 0;
  weft_tls_error_drain(&tls->error, "preparing the verification");
  return WEFT_ETLS;
}
