/* SPDX-License-Identifier: MIT */
/*
 * net/sockaddr.c: see sockaddr.h.
 * A scope is the name or the number of an interface.
 */
#include "net/sockaddr.h"

#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

static int parse_scope(const char *text, uint32_t *scope) {
  char *end;
  unsigned long index = strtoul(text, &end, 10);
  if (end == text || *end != '\0')
    index = if_nametoindex(text);
  if (index == 0 || index > UINT32_MAX)
    return UV_ENODEV;
  *scope = (uint32_t)index;
  return 0;
}

int weft_sockaddr_parse(const char *host, int port,
                        union weft_sockaddr *address) {
  char text[INET6_ADDRSTRLEN + 1];
  const char *scope = strchr(host, '%');
  size_t size = scope != NULL ? (size_t)(scope - host) : strlen(host);
  memset(address, 0, sizeof(*address));
  if (scope == NULL &&
      uv_inet_pton(AF_INET, host, &address->v4.sin_addr) == 0) {
    address->v4.sin_family = AF_INET;
    address->v4.sin_port = htons((uint16_t)port);
    return 0;
  }
  if (size >= sizeof(text))
    return UV_EINVAL;
  memcpy(text, host, size);
  text[size] = '\0';
  if (uv_inet_pton(AF_INET6, text, &address->v6.sin6_addr) != 0)
    return UV_EINVAL;
  address->v6.sin6_family = AF_INET6;
  address->v6.sin6_port = htons((uint16_t)port);
  return scope != NULL ? parse_scope(scope + 1, &address->v6.sin6_scope_id) : 0;
}

int weft_sockaddr_path(const char *path, size_t size,
                       struct sockaddr_un *address) {
  int is_abstract = size > 0 && path[0] == '\0';
  memset(address, 0, sizeof(*address));
  if (size == 0 || (!is_abstract && memchr(path, '\0', size) != NULL))
    return UV_EINVAL;
  if (size + !is_abstract > sizeof(address->sun_path))
    return UV_ENAMETOOLONG;
  address->sun_family = AF_UNIX;
  memcpy(address->sun_path, path, size);
  return (int)(offsetof(struct sockaddr_un, sun_path) + size + !is_abstract);
}

socklen_t weft_sockaddr_size(const union weft_sockaddr *address) {
  return address->any.sa_family == AF_INET ? sizeof(address->v4)
                                           : sizeof(address->v6);
}

void weft_sockaddr_host(const union weft_sockaddr *address,
                        char text[WEFT_HOST_MAX]) {
  char name[IF_NAMESIZE];
  size_t size;
  text[0] = '\0';
  if (address->any.sa_family == AF_INET) {
    uv_ip4_name(&address->v4, text, WEFT_HOST_MAX);
    return;
  }
  uv_ip6_name(&address->v6, text, WEFT_HOST_MAX);
  if (address->v6.sin6_scope_id == 0)
    return;
  size = strlen(text);
  if (if_indextoname(address->v6.sin6_scope_id, name) != NULL)
    snprintf(text + size, WEFT_HOST_MAX - size, "%%%s", name);
  else
    snprintf(text + size, WEFT_HOST_MAX - size, "%%%u",
             (unsigned)address->v6.sin6_scope_id);
}

int weft_sockaddr_port(const union weft_sockaddr *address) {
  return ntohs(address->any.sa_family == AF_INET ? address->v4.sin_port
                                                 : address->v6.sin6_port);
}

const char *weft_sockaddr_family(const union weft_sockaddr *address) {
  return address->any.sa_family == AF_INET ? "inet" : "inet6";
}

void weft_sockaddr_map(union weft_sockaddr *address) {
  union weft_sockaddr v4 = *address;
  memset(address, 0, sizeof(*address));
  address->v6.sin6_family = AF_INET6;
  address->v6.sin6_port = v4.v4.sin_port;
  address->v6.sin6_addr.s6_addr[10] = 0xff;
  address->v6.sin6_addr.s6_addr[11] = 0xff;
  memcpy(&address->v6.sin6_addr.s6_addr[12], &v4.v4.sin_addr, 4);
}
