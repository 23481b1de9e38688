/* SPDX-License-Identifier: MIT */
/*
 * net/resolve_pool.c: look-ups by libc in libuv's threads, for builds without
 * c-ares. See resolve.h.
 *
 * libuv gives look-ups half of its threads: two, unless UV_THREADPOOL_SIZE says
 * otherwise. A few slow names hold up all others here, and one that is
 * forgotten keeps its thread until libc gives up.
 */
#ifndef WEFT_WITH_CARES

#include <netdb.h>
#include <string.h>

#include "net/resolve.h"

const int weft_resolve_has_options = 0;

struct weft_query {
  uv_getaddrinfo_t uv;
  struct weft_mem *mem;
  struct weft_lookup *lookup; /* NULL: nobody waits for it */
};

struct weft_resolve {
  uv_loop_t *uv;
  struct weft_mem *mem;
  struct weft_list asked;
  unsigned count;
  int is_closed;
};

struct weft_resolve *weft_resolve_new(
    uv_loop_t *uv, struct weft_mem *mem,
    const struct weft_resolve_options *options, int *rc) {
  struct weft_resolve *resolve;
  *rc = UV_ENOTSUP;
  if (options->servers != NULL || options->domains != NULL ||
      options->ndots >= 0)
    return NULL;
  *rc = UV_ENOMEM;
  resolve = weft_calloc(mem, sizeof(*resolve));
  if (resolve == NULL)
    return NULL;
  *rc = 0;
  resolve->uv = uv;
  resolve->mem = mem;
  weft_list_init(&resolve->asked);
  return resolve;
}

static enum weft_dns error_of(int status) {
  switch (status) {
  case 0:
    return WEFT_DNS_OK;
  case UV_EAI_NONAME:
    return WEFT_DNS_ENOTFOUND;
  case UV_EAI_NODATA:
  case UV_EAI_ADDRFAMILY:
    return WEFT_DNS_ENODATA;
  case UV_EAI_AGAIN:
    return WEFT_DNS_ETIMEOUT;
  case UV_EAI_FAIL:
    return WEFT_DNS_ESERVFAIL;
  case UV_EAI_MEMORY:
  case UV_ENOMEM:
    return WEFT_DNS_ENOMEM;
  default:
    return WEFT_DNS_EFAIL;
  }
}

static void take_answer(struct weft_lookup *lookup,
                        const struct addrinfo *res) {
  const struct addrinfo *node;
  struct weft_answer *answer;
  unsigned count = 0;
  for (node = res; node != NULL; node = node->ai_next)
    count += count < WEFT_DNS_ADDRESSES_MAX;
  lookup->answer = answer = weft_answer_new(lookup->mem, count);
  if (answer == NULL) {
    lookup->error = WEFT_DNS_ENOMEM;
    return;
  }
  for (node = res; answer->count < count; node = node->ai_next)
    weft_answer_add(answer, node->ai_addr);
  if (res != NULL && res->ai_canonname != NULL &&
      strlen(res->ai_canonname) < sizeof(answer->name))
    strcpy(answer->name, res->ai_canonname);
}

/* The look-up belongs to nobody any more. */
static struct weft_lookup *detach(struct weft_query *query) {
  struct weft_lookup *lookup = query->lookup;
  query->lookup = NULL;
  weft_list_remove(&lookup->link);
  lookup->resolve->count--;
  lookup->resolve = NULL;
  lookup->query = NULL;
  return lookup;
}

static void on_answer(uv_getaddrinfo_t *uv, int status, struct addrinfo *res) {
  struct weft_query *query = uv->data;
  if (query->lookup != NULL) {
    struct weft_lookup *lookup = detach(query);
    lookup->error = error_of(status);
    if (status == 0)
      take_answer(lookup, res);
    lookup->on_done(lookup);
  }
  uv_freeaddrinfo(res);
  weft_free(query->mem, query);
}

int weft_resolve_ask(struct weft_resolve *resolve, struct weft_lookup *lookup) {
  struct addrinfo hints;
  struct weft_query *query;
  int rc;
  lookup->error = WEFT_DNS_ECLOSED;
  if (resolve->is_closed)
    return 0;
  lookup->error = WEFT_DNS_ENOMEM;
  query = weft_calloc(resolve->mem, sizeof(*query));
  if (query == NULL)
    return 0;
  memset(&hints, 0, sizeof(hints));
  hints.ai_family = lookup->family;
  hints.ai_socktype = SOCK_STREAM; /* each address once */
  hints.ai_flags = AI_CANONNAME;
  query->uv.data = query;
  query->mem = resolve->mem;
  rc = uv_getaddrinfo(resolve->uv, &query->uv, on_answer, lookup->host, NULL,
                      &hints);
  if (rc != 0) {
    weft_free(resolve->mem, query);
    lookup->error = rc == UV_EINVAL ? WEFT_DNS_EBADNAME : error_of(rc);
    return 0;
  }
  query->lookup = lookup;
  lookup->query = query;
  lookup->resolve = resolve;
  weft_list_push(&resolve->asked, &lookup->link);
  resolve->count++;
  return UV_EAGAIN;
}

void weft_resolve_forget(struct weft_lookup *lookup) {
  struct weft_query *query = lookup->query;
  detach(query);
  uv_cancel((uv_req_t *)&query->uv); /* its callback comes, also if it fails */
}

void weft_resolve_close(struct weft_resolve *resolve) {
  resolve->is_closed = 1;
  while (!weft_list_is_empty(&resolve->asked)) {
    struct weft_lookup *lookup =
        WEFT_CONTAINER_OF(resolve->asked.next, struct weft_lookup, link);
    weft_resolve_forget(lookup);
    lookup->error = WEFT_DNS_ECLOSED;
    lookup->on_done(lookup);
  }
}

void weft_resolve_free(struct weft_resolve *resolve) {
  weft_resolve_close(resolve);
  weft_free(resolve->mem, resolve);
}

void weft_resolve_counts(const struct weft_resolve *resolve, unsigned *asked,
                         unsigned *waiting) {
  *asked = resolve->count;
  *waiting = 0;
}

#else

/* An empty translation unit is none. */
extern const int weft_resolve_has_options;

#endif
