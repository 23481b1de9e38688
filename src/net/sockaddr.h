/* SPDX-License-Identifier: MIT */
/*
 * net/sockaddr.h: numeric addresses and paths as text and as what sockets take.
 *
 * Owns nothing, looks nothing up but the names of interfaces. Knows no Lua.
 */
#ifndef WEFT_NET_SOCKADDR_H
#define WEFT_NET_SOCKADDR_H

#include <netinet/in.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

union weft_sockaddr {
  struct sockaddr any;
  struct sockaddr_in v4;
  struct sockaddr_in6 v6;
};

#define WEFT_HOST_MAX 80 /* an IPv6 address, '%' and an interface's name */

/* The numeric address `host` ("127.0.0.1", "fe80::1%eth0", "::") with a port.
 * 0; UV_EINVAL: not numeric; UV_ENODEV: there is no such interface. */
int weft_sockaddr_parse(const char *host, int port,
                        union weft_sockaddr *address);

/* The path of a Unix socket, of `size` bytes, to *address: the address' size,
 * or UV_EINVAL, UV_ENAMETOOLONG. A first byte of 0 is Linux's abstract name
 * space.
 */
int weft_sockaddr_path(const char *path, size_t size,
                       struct sockaddr_un *address);

/* The size that system calls want to know. */
socklen_t weft_sockaddr_size(const union weft_sockaddr *address);

/* The address as text, the scope by its interface's name if it has one. */
void weft_sockaddr_host(const union weft_sockaddr *address,
                        char text[WEFT_HOST_MAX]);

int weft_sockaddr_port(const union weft_sockaddr *address);

/* "inet" or "inet6". */
const char *weft_sockaddr_family(const union weft_sockaddr *address);

/* An IPv4 address as the IPv6 one that sockets of both families take. */
void weft_sockaddr_map(union weft_sockaddr *address);

#endif
