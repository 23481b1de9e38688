/* SPDX-License-Identifier: MIT */
/*
 * net/tls_error.c: see tls_error.h. OpenSSL's own words where they say what a
 * person would ask; where they do not, those of the table below.
 */
#include "net/tls_error.h"

#include <ctype.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char no_tls[] = "the peer does not speak TLS";
static const char no_version[] = "no shared protocol version";
static const char no_cipher[] = "no shared cipher";
static const char no_alpn[] = "no shared application protocol (ALPN)";

static const struct {
  int library, reason;
  const char *text;
} words[] = {
    {ERR_LIB_SSL, SSL_R_WRONG_VERSION_NUMBER, no_tls},
    {ERR_LIB_SSL, SSL_R_HTTP_REQUEST, no_tls},
    {ERR_LIB_SSL, SSL_R_HTTPS_PROXY_REQUEST, no_tls},
    {ERR_LIB_SSL, SSL_R_PACKET_LENGTH_TOO_LONG, no_tls},
    {ERR_LIB_SSL, SSL_R_UNSUPPORTED_PROTOCOL, no_version},
    {ERR_LIB_SSL, SSL_R_VERSION_TOO_LOW, no_version},
    {ERR_LIB_SSL, SSL_R_VERSION_TOO_HIGH, no_version},
    {ERR_LIB_SSL, SSL_R_NO_PROTOCOLS_AVAILABLE, no_version},
    {ERR_LIB_SSL, SSL_R_WRONG_SSL_VERSION, no_version},
    {ERR_LIB_SSL, SSL_R_TLSV1_ALERT_PROTOCOL_VERSION,
     "no shared protocol version (the peer says)"},
    {ERR_LIB_SSL, SSL_R_NO_SHARED_CIPHER, no_cipher},
    {ERR_LIB_SSL, SSL_R_NO_CIPHERS_AVAILABLE, "no cipher is left to offer"},
    {ERR_LIB_SSL, SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM,
     "no shared signature algorithm"},
    {ERR_LIB_SSL, SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE,
     "the peer refused the handshake: no shared cipher, or no certificate"},
    {ERR_LIB_SSL, SSL_R_NO_APPLICATION_PROTOCOL, no_alpn},
    {ERR_LIB_SSL, SSL_AD_REASON_OFFSET + SSL_AD_NO_APPLICATION_PROTOCOL,
     "no shared application protocol (ALPN; the peer says)"},
    {ERR_LIB_SSL, SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE,
     "the client sent no certificate"},
    {ERR_LIB_SSL, SSL_R_UNEXPECTED_EOF_WHILE_READING,
     "the peer closed the connection without close_notify"},
    {ERR_LIB_SSL, SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED,
     "the peer wants a certificate"},
    {ERR_LIB_SSL, SSL_R_EE_KEY_TOO_SMALL, "the certificate's key is too small"},
    {ERR_LIB_SSL, SSL_R_CA_MD_TOO_WEAK,
     "the certificate's signature algorithm is too weak"},
};

void weft_tls_error_clear(struct weft_tls_error *error) {
  error->code[0] = error->text[0] = '\0';
}

static void set_code(struct weft_tls_error *error, const char *code) {
  size_t i;
  for (i = 0; code[i] != '\0' && i < WEFT_TLS_CODE_MAX - 1; i++)
    error->code[i] =
        isalnum((unsigned char)code[i]) ? (char)toupper(code[i]) : '_';
  error->code[i] = '\0';
}

void weft_tls_error_set(struct weft_tls_error *error, const char *code,
                        const char *format, ...) {
  va_list args;
  if (error->text[0] != '\0')
    return;
  set_code(error, code);
  va_start(args, format);
  vsnprintf(error->text, sizeof(error->text), format, args);
  va_end(args);
}

/* "sslv3 alert bad certificate" without what only OpenSSL cares for. */
static const char *alert_words(const char *reason) {
  const char *alert = strstr(reason, " alert "), *space = strchr(reason, ' ');
  return alert != NULL   ? alert + strlen(" alert ")
         : space != NULL ? space + 1
                         : reason;
}

/* The first error of the queue is the deepest; for what OpenSSL reports twice
 * (a decoder that gives up, say) it is the one that tells why. */
static unsigned long first_error(const char **data) {
  unsigned long first = 0, code;
  const char *text;
  int flags;
  *data = NULL;
  while ((code = ERR_get_error_all(NULL, NULL, NULL, &text, &flags)) != 0) {
    if (first == 0)
      first = code;
  }
  return first;
}

static const char *known_words(unsigned long code) {
  size_t i;
  for (i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
    if (words[i].library == ERR_GET_LIB(code) &&
        words[i].reason == ERR_GET_REASON(code))
      return words[i].text;
  }
  return NULL;
}

void weft_tls_error_drain(struct weft_tls_error *error, const char *what) {
  const char *data, *reason, *text;
  char number[32];
  unsigned long code = first_error(&data);
  int is_alert = ERR_GET_LIB(code) == ERR_LIB_SSL &&
                 ERR_GET_REASON(code) > SSL_AD_REASON_OFFSET;
  reason = code != 0 ? ERR_reason_error_string(code) : "unknown";
  if (reason == NULL) {
    snprintf(number, sizeof(number), "error %08lX", code);
    reason = number;
  }
  text = known_words(code);
  weft_tls_error_set(error, reason, "%s%s%s%s", what != NULL ? what : "",
                     what != NULL ? ": " : "",
                     text == NULL && is_alert ? "the peer reports: " : "",
                     text != NULL ? text
                     : is_alert   ? alert_words(reason)
                                  : reason);
}
