/* SPDX-License-Identifier: MIT */
/*
 * net/tls_hash.c: digests, by OpenSSL's EVP.
 *
 * See tls_hash.h. The digest is fetched each time: that is what asks whether it
 * is allowed, and it costs less than the first block does.
 */
#include "net/tls_hash.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <string.h>
#include <uv.h>

static const struct {
  const char *name, *openssl;
} names[] = {
    {"md5", "MD5"},
    {"sha1", "SHA1"},
    {"sha256", "SHA256"},
    {"sha512", "SHA512"},
    {"sha512-256", "SHA512-256"},
};

static const char *openssl_name(const char *name) {
  size_t i;
  for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
    if (strcmp(names[i].name, name) == 0)
      return names[i].openssl;
  return NULL;
}

int weft_hash(const char *name, const char *data, size_t size,
              unsigned char out[WEFT_HASH_MAX], size_t *out_size) {
  const char *known = openssl_name(name);
  EVP_MD *md;
  unsigned length = 0;
  int rc = 0;
  if (known == NULL)
    return UV_EINVAL;
  ERR_set_mark();
  md = EVP_MD_fetch(NULL, known, NULL);
  if (md == NULL)
    rc = UV_ENOTSUP;
  else if (EVP_Digest(data, size, out, &length, md, NULL) != 1)
    rc = UV_ENOMEM;
  EVP_MD_free(md);
  ERR_pop_to_mark();
  *out_size = length;
  return rc;
}
