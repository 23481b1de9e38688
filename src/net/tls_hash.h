/* SPDX-License-Identifier: MIT */
/*
 * net/tls_hash.h: digests of bytes.
 *
 * Owns nothing. Knows OpenSSL, which has them; its users need not.
 * Invariant: the queue of OpenSSL's errors is as it was.
 */
#ifndef WEFT_NET_TLS_HASH_H
#define WEFT_NET_TLS_HASH_H

#include <stddef.h>

#define WEFT_HASH_MAX 64 /* bytes of the longest digest, that of SHA-512 */

/* Writes the digest of the `size` bytes at `data` to `out`, and how long it is
 * to *out_size. `name` is "md5", "sha1", "sha256", "sha512" or "sha512-256".
 * Returns 0; UV_EINVAL for another name; UV_ENOTSUP where OpenSSL refuses the
 * digest, as one in FIPS mode does md5; UV_ENOMEM. */
int weft_hash(const char *name, const char *data, size_t size,
              unsigned char out[WEFT_HASH_MAX], size_t *out_size);

#endif
