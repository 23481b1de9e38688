/* SPDX-License-Identifier: MIT */
/*
 * net/resolve.h: names to addresses: many look-ups at once, none of which holds
 * up another.
 *
 * Owns: the channel to the name servers, its sockets and its timer, which are
 * open only while there is a look-up. With c-ares (resolve_cares.c), or else in
 * libuv's threads (resolve_pool.c). Knows no Lua, no tasks, no cache.
 * Invariant: a look-up that returned UV_EAGAIN calls back exactly once, unless
 * it is cancelled.
 */
#ifndef WEFT_NET_RESOLVE_H
#define WEFT_NET_RESOLVE_H

#include <stdint.h>
#include <uv.h>

#include "base/list.h"
#include "base/mem.h"
#include "net/sockaddr.h"

/* X(name, message) */
#define WEFT_DNS_ERRORS(X)                                                 \
  X(OK, "no error")                                                        \
  X(ENOTFOUND, "there is no such name")                                    \
  X(ENODATA, "the name has no address of the wanted family")               \
  X(ETIMEOUT, "the name servers did not answer in time")                   \
  X(ESERVFAIL, "the name server failed")                                   \
  X(EREFUSED, "the name server refused the query")                         \
  X(EFORMERR, "the name server did not understand the query")              \
  X(ENOTIMP, "the name server does not know this kind of query")           \
  X(EBADRESP, "the name server's answer makes no sense")                   \
  X(ECONNREFUSED, "no name server can be reached, or none gave an answer") \
  X(EBADNAME, "this is no host name")                                      \
  X(ENODEV, "there is no such network interface")                          \
  X(ECLOSED, "the resolver was closed")                                    \
  X(ENOMEM, "not enough memory")                                           \
  X(EFAIL, "the look-up failed")

enum weft_dns {
#define X(name, message) WEFT_DNS_##name,
  WEFT_DNS_ERRORS(X)
#undef X
};

/* "ENOTFOUND" and its sentence. Static strings. */
const char *weft_dns_name(enum weft_dns error);
const char *weft_dns_message(enum weft_dns error);

#define WEFT_DNS_NAME_MAX 254      /* RFC 1035: 253 and a final dot */
#define WEFT_DNS_ADDRESSES_MAX 128 /* of an answer; nobody tries that many */
#define WEFT_DNS_TTL_UNKNOWN (-1)

struct weft_answer {
  int ttl; /* seconds, the least of all records; WEFT_DNS_TTL_UNKNOWN */
  unsigned count;
  char name[WEFT_DNS_NAME_MAX + 1]; /* the canonical one; "": unknown */
  union weft_sockaddr addresses[];  /* best first; ports are 0 */
};

struct weft_resolve;
struct weft_query;

/* A look-up, in memory of the caller's. */
struct weft_lookup {
  struct weft_list link;
  struct weft_resolve *resolve; /* while it is under way */
  struct weft_query *query;
  struct weft_mem *mem;
  struct weft_answer *answer; /* owned; when error is OK */
  enum weft_dns error;
  int family; /* AF_UNSPEC, AF_INET or AF_INET6 */
  char host[WEFT_DNS_NAME_MAX + 1];
  /* A look-up that was under way is done. Starts and cancels none. */
  void (*on_done)(struct weft_lookup *lookup);
};

struct weft_resolve_options {
  const char *servers;        /* "127.0.0.1:53,[::1]:53"; NULL: the system's */
  const char *const *domains; /* to search in; NULL: the system's */
  int domain_count;
  int ndots; /* -1: the system's */
  int timeout_ms, tries;
};

/* Whether servers, domains, timeouts and tries can be chosen (c-ares). */
extern const int weft_resolve_has_options;

/* Makes a resolver for a loop; `options` are copied. NULL: *rc is UV_ENOMEM,
 * UV_EINVAL (servers) or UV_ENOTSUP (see above). */
struct weft_resolve *weft_resolve_new(
    uv_loop_t *uv, struct weft_mem *mem,
    const struct weft_resolve_options *options, int *rc);

/* Ends all look-ups with WEFT_DNS_ECLOSED. Idempotent. */
void weft_resolve_close(struct weft_resolve *resolve);

/* Closes it and frees the memory. */
void weft_resolve_free(struct weft_resolve *resolve);

/* Look-ups that were sent off, and those that wait for their turn. */
void weft_resolve_counts(const struct weft_resolve *resolve, unsigned *asked,
                         unsigned *waiting);

/* Starts to look up `size` bytes of a name or numeric address. 0: it is done;
 * UV_EAGAIN: on_done, set by the caller before, will be called. The caller
 * frees it by weft_lookup_deinit in any case. */
int weft_lookup_start(struct weft_lookup *lookup, struct weft_resolve *resolve,
                      struct weft_mem *mem, const char *host, size_t size,
                      int family);

/* Forgets a look-up that is under way: on_done will not come. Idempotent. */
void weft_lookup_cancel(struct weft_lookup *lookup);

/* Cancels, and frees the answer. */
void weft_lookup_deinit(struct weft_lookup *lookup);

/* --- for resolve*.c only -------------------------------------------------- */

/* Sends it off: UV_EAGAIN, or 0 when it is done already. */
int weft_resolve_ask(struct weft_resolve *resolve, struct weft_lookup *lookup);

/* Forgets one that is under way. */
void weft_resolve_forget(struct weft_lookup *lookup);

/* An answer with room for `count` addresses, to which weft_answer_add adds. */
struct weft_answer *weft_answer_new(struct weft_mem *mem, unsigned count);
void weft_answer_add(struct weft_answer *answer,
                     const struct sockaddr *address);

#endif
