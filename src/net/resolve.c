/* SPDX-License-Identifier: MIT */
/*
 * net/resolve.c: what needs no name server: numeric addresses, localhost, names
 * that cannot be. See resolve.h.
 */
#include "net/resolve.h"

#include <string.h>
#include <strings.h>

static const struct {
  const char *name, *message;
} errors[] = {
#define X(name, message) {#name, message},
    WEFT_DNS_ERRORS(X)
#undef X
};

const char *weft_dns_name(enum weft_dns error) {
  return errors[error].name;
}

const char *weft_dns_message(enum weft_dns error) {
  return errors[error].message;
}

struct weft_answer *weft_answer_new(struct weft_mem *mem, unsigned count) {
  struct weft_answer *answer =
      weft_calloc(mem, sizeof(*answer) + count * sizeof(union weft_sockaddr));
  if (answer != NULL)
    answer->ttl = WEFT_DNS_TTL_UNKNOWN;
  return answer;
}

void weft_answer_add(struct weft_answer *answer,
                     const struct sockaddr *address) {
  union weft_sockaddr *to = &answer->addresses[answer->count++];
  memcpy(to, address,
         address->sa_family == AF_INET ? sizeof(to->v4) : sizeof(to->v6));
}

/* Letters, digits and whatever else printable: labels of 1 to 63 bytes. What is
 * not ASCII must come as punycode. */
static int is_name(const char *host, size_t size) {
  size_t label = 0, i;
  if (size > 0 && host[size - 1] == '.')
    size--;
  if (size == 0 || size > WEFT_DNS_NAME_MAX - 1)
    return 0;
  for (i = 0; i < size; i++) {
    unsigned char c = (unsigned char)host[i];
    if (c <= ' ' || c >= 127 || c == '%' || c == ':' || c == '/' ||
        (c == '.' && label == 0) || (c != '.' && label == 63))
      return 0;
    label = c == '.' ? 0 : label + 1;
  }
  return 1;
}

/* localhost and all below it (RFC 6761: such names are not to be asked for). */
static int is_localhost(const char *host) {
  size_t size = strlen(host), n = strlen("localhost");
  if (host[size - 1] == '.')
    size--;
  return size >= n && strncasecmp(host + size - n, "localhost", n) == 0 &&
         (size == n || host[size - n - 1] == '.');
}

static int is_wanted(const struct weft_lookup *lookup, int family) {
  return lookup->family == AF_UNSPEC || lookup->family == family;
}

static void add_if_wanted(struct weft_lookup *lookup,
                          const union weft_sockaddr *address) {
  if (is_wanted(lookup, address->any.sa_family))
    weft_answer_add(lookup->answer, &address->any);
}

/* IPv4 first: that is where servers for this machine alone are found. */
static void answer_localhost(struct weft_lookup *lookup) {
  union weft_sockaddr v4, v6;
  weft_sockaddr_parse("127.0.0.1", 0, &v4);
  weft_sockaddr_parse("::1", 0, &v6);
  lookup->answer = weft_answer_new(lookup->mem, 2);
  if (lookup->answer == NULL) {
    lookup->error = WEFT_DNS_ENOMEM;
    return;
  }
  add_if_wanted(lookup, &v4);
  add_if_wanted(lookup, &v6);
}

static void answer_numeric(struct weft_lookup *lookup,
                           const union weft_sockaddr *address) {
  if (!is_wanted(lookup, address->any.sa_family)) {
    lookup->error = WEFT_DNS_ENODATA;
    return;
  }
  lookup->answer = weft_answer_new(lookup->mem, 1);
  if (lookup->answer == NULL)
    lookup->error = WEFT_DNS_ENOMEM;
  else
    weft_answer_add(lookup->answer, &address->any);
}

int weft_lookup_start(struct weft_lookup *lookup, struct weft_resolve *resolve,
                      struct weft_mem *mem, const char *host, size_t size,
                      int family) {
  union weft_sockaddr address;
  int is_short = size <= WEFT_DNS_NAME_MAX && memchr(host, '\0', size) == NULL;
  int rc = UV_EINVAL;
  weft_list_init(&lookup->link);
  lookup->resolve = NULL;
  lookup->query = NULL;
  lookup->mem = mem;
  lookup->answer = NULL;
  lookup->error = WEFT_DNS_OK;
  lookup->family = family;
  lookup->host[0] = '\0';
  if (is_short) {
    memcpy(lookup->host, host, size);
    lookup->host[size] = '\0';
    rc = weft_sockaddr_parse(lookup->host, 0, &address);
  }
  if (rc == 0)
    answer_numeric(lookup, &address);
  else if (rc == UV_ENODEV)
    lookup->error = WEFT_DNS_ENODEV;
  else if (!is_short || !is_name(lookup->host, size))
    lookup->error = WEFT_DNS_EBADNAME;
  else if (is_localhost(lookup->host))
    answer_localhost(lookup);
  else
    return weft_resolve_ask(resolve, lookup);
  return 0;
}

void weft_lookup_cancel(struct weft_lookup *lookup) {
  if (lookup->resolve != NULL)
    weft_resolve_forget(lookup);
}

void weft_lookup_deinit(struct weft_lookup *lookup) {
  weft_lookup_cancel(lookup);
  weft_free(lookup->mem, lookup->answer);
  lookup->answer = NULL;
}
