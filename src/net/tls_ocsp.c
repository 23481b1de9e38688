/* SPDX-License-Identifier: MIT */
/*
 * net/tls_ocsp.c: the response of OCSP that a server staples to its handshake:
 * sent by ours, checked in theirs.
 *
 * A response counts when it is about this certificate, is signed by its issuer
 * (or by a responder to whom the issuer gave that right), and is of now. One
 * that is out of date counts as none, unless it says "revoked": who can leave
 * it out could do so anyway.
 */
#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <string.h>

#include "net/tls_internal.h"

#define CLOCK_SKEW 300 /* s; what clocks of hosts are commonly off */

static int staple(struct weft_tls *tls) {
  const struct weft_tls_bytes *response = &tls->ctx->ocsp_response;
  unsigned char *copy;
  if (response->data == NULL)
    return SSL_TLSEXT_ERR_NOACK;
  copy = OPENSSL_memdup(response->data, response->size);
  if (copy == NULL)
    return SSL_TLSEXT_ERR_NOACK;
  SSL_set_tlsext_status_ocsp_resp(tls->ssl, copy, (long)response->size);
  return SSL_TLSEXT_ERR_OK;
}

static int is_responder_of(X509 *signer, X509 *issuer, int64_t now) {
  return X509_check_issued(issuer, signer) == X509_V_OK &&
         X509_verify(signer, X509_get0_pubkey(issuer)) == 1 &&
         (X509_get_extension_flags(signer) & EXFLAG_XKUSAGE) != 0 &&
         (X509_get_extended_key_usage(signer) & XKU_OCSP_SIGN) != 0 &&
         weft_tls_seconds(X509_get0_notBefore(signer)) <= now &&
         weft_tls_seconds(X509_get0_notAfter(signer)) >= now;
}

static int is_signed(OCSP_BASICRESP *basic, X509 *issuer, int64_t now) {
  STACK_OF(X509) *certs = sk_X509_new_null();
  X509 *signer = NULL;
  int fine = 0;
  if (certs == NULL || !sk_X509_push(certs, issuer))
    goto out;
  if (!OCSP_resp_get0_signer(basic, &signer, certs))
    goto out;
  if (X509_cmp(signer, issuer) != 0 && !is_responder_of(signer, issuer, now))
    goto out;
  /* The signer is trusted: only the signature remains. */
  sk_X509_set(certs, 0, signer);
  fine =
      OCSP_basic_verify(basic, certs, NULL, OCSP_NOINTERN | OCSP_NOVERIFY) == 1;
out:
  sk_X509_free(certs);
  return fine;
}

/* Whether `id`, by whichever digest, is that of `cert`. */
static int is_about(const OCSP_CERTID *id, X509 *cert, X509 *issuer) {
  ASN1_OBJECT *digest;
  OCSP_CERTID *ours;
  const EVP_MD *md;
  int same;
  OCSP_id_get0_info(NULL, &digest, NULL, NULL, (OCSP_CERTID *)(uintptr_t)id);
  md = EVP_get_digestbyobj(digest);
  ours = md != NULL ? OCSP_cert_to_id(md, cert, issuer) : NULL;
  same = ours != NULL && OCSP_id_cmp(ours, id) == 0;
  OCSP_CERTID_free(ours);
  return same;
}

static OCSP_SINGLERESP *find(OCSP_BASICRESP *basic, X509 *cert, X509 *issuer) {
  int i;
  for (i = 0; i < OCSP_resp_count(basic); i++) {
    OCSP_SINGLERESP *single = OCSP_resp_get0(basic, i);
    if (is_about(OCSP_SINGLERESP_get0_id(single), cert, issuer))
      return single;
  }
  return NULL;
}

static int refuse(struct weft_tls *tls, const char *text) {
  weft_tls_error_set(&tls->error, "OCSP_INVALID",
                     "the stapled OCSP response %s", text);
  return 0;
}

static int judge_single(struct weft_tls *tls, OCSP_SINGLERESP *single) {
  ASN1_GENERALIZEDTIME *revoked = NULL, *from = NULL, *until = NULL;
  int64_t now = weft_tls_now(tls);
  char date[32];
  int status = OCSP_single_get0_status(single, NULL, &revoked, &from, &until);
  if (status == V_OCSP_CERTSTATUS_REVOKED) {
    weft_tls_error_set(&tls->error, "CERT_REVOKED",
                       "certificate was revoked on %s",
                       weft_tls_date(revoked, date));
    return 0;
  }
  if (weft_tls_seconds(from) > now + CLOCK_SKEW ||
      (until != NULL && weft_tls_seconds(until) < now - CLOCK_SKEW))
    tls->ocsp = "expired";
  else
    tls->ocsp = status == V_OCSP_CERTSTATUS_GOOD ? "good" : "unknown";
  return 1;
}

static int judge_basic(struct weft_tls *tls, OCSP_BASICRESP *basic) {
  STACK_OF(X509) *chain = SSL_get0_verified_chain(tls->ssl);
  X509 *cert = sk_X509_value(chain, 0), *issuer = sk_X509_value(chain, 1);
  OCSP_SINGLERESP *single;
  if (cert == NULL)
    return refuse(tls, "cannot be checked: there is no certificate");
  if (issuer == NULL)
    issuer = cert; /* a trusted one that is its own */
  single = find(basic, cert, issuer);
  if (single == NULL)
    return refuse(tls, "is not for this certificate");
  if (!is_signed(basic, issuer, weft_tls_now(tls)))
    return refuse(tls, "is badly signed");
  return judge_single(tls, single);
}

static int judge(struct weft_tls *tls, const unsigned char *data, long size) {
  OCSP_RESPONSE *response = d2i_OCSP_RESPONSE(NULL, &data, size);
  OCSP_BASICRESP *basic = NULL;
  int fine = 1;
  if (response == NULL)
    return refuse(tls, "is unreadable");
  tls->ocsp = "none"; /* "try later" and the like */
  if (OCSP_response_status(response) == OCSP_RESPONSE_STATUS_SUCCESSFUL) {
    basic = OCSP_response_get1_basic(response);
    fine =
        basic != NULL ? judge_basic(tls, basic) : refuse(tls, "is unreadable");
  }
  OCSP_BASICRESP_free(basic);
  OCSP_RESPONSE_free(response);
  return fine;
}

int weft_tls_on_status(SSL *ssl, void *unused) {
  struct weft_tls *tls = weft_tls_of(ssl);
  const unsigned char *data = NULL;
  long size;
  int fine = 1;
  (void)unused;
  if (tls->is_server)
    return staple(tls);
  /* A resumed session was judged when it was made. */
  if (!tls->verifies || SSL_session_reused(ssl))
    return 1;
  tls->ocsp = "none";
  size = SSL_get_tlsext_status_ocsp_resp(ssl, &data);
  if (data != NULL && size > 0)
    fine = judge(tls, data, size);
  if (fine && tls->ctx->requires_ocsp && strcmp(tls->ocsp, "good") != 0) {
    weft_tls_error_set(&tls->error, "OCSP_REQUIRED",
                       "the server stapled no OCSP response that says that its "
                       "certificate is good (%s)",
                       tls->ocsp);
    fine = 0;
  }
  ERR_clear_error();
  return fine;
}
