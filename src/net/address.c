/* SPDX-License-Identifier: MIT */
/*
 * net/address.c: socket addresses from text; declared in socket.h.
 * Nothing is looked up: a name of a host is no address here.
 */
#include <net/if.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "net/socket.h"

static int parse_v6(const char *host, int port, struct sockaddr_in6 *address) {
  char text[INET6_ADDRSTRLEN + 1];
  const char *zone = strchr(host, '%');
  size_t size = zone != NULL ? (size_t)(zone - host) : strlen(host);
  if (size >= sizeof(text))
    return UV_EINVAL;
  memcpy(text, host, size);
  text[size] = '\0';
  if (uv_inet_pton(AF_INET6, text, &address->sin6_addr) != 0)
    return UV_EINVAL;
  if (zone != NULL) {
    char *end;
    unsigned long index = strtoul(zone + 1, &end, 10);
    if (*end != '\0' || end == zone + 1)
      index = if_nametoindex(zone + 1);
    if (index == 0)
      return UV_EINVAL;
    address->sin6_scope_id = (uint32_t)index;
  }
  address->sin6_family = AF_INET6;
  address->sin6_port = htons((uint16_t)port);
  return (int)sizeof(*address);
}

int weft_address_parse(const char *host, int port,
                       union weft_address *address) {
  struct sockaddr_in *v4 = (struct sockaddr_in *)(void *)address;
  memset(address, 0, sizeof(*address));
  if (port < 0 || port > 65535)
    return UV_EINVAL;
  if (uv_inet_pton(AF_INET, host, &v4->sin_addr) != 0)
    return parse_v6(host, port, (struct sockaddr_in6 *)(void *)address);
  v4->sin_family = AF_INET;
  v4->sin_port = htons((uint16_t)port);
  return (int)sizeof(*v4);
}

int weft_address_path(const char *path, size_t size,
                      union weft_address *address) {
  struct sockaddr_un *un = (struct sockaddr_un *)(void *)address;
  int is_abstract = size > 0 && path[0] == '\0';
  memset(address, 0, sizeof(*address));
  if (size == 0 || (!is_abstract && memchr(path, '\0', size) != NULL))
    return UV_EINVAL;
  if (size + !is_abstract > sizeof(un->sun_path))
    return UV_ENAMETOOLONG;
  un->sun_family = AF_UNIX;
  memcpy(un->sun_path, path, size);
  return (int)(offsetof(struct sockaddr_un, sun_path) + size + !is_abstract);
}
