/* SPDX-License-Identifier: MIT */
/*
 * bench/net/tls_openssl.c: what TLS costs without weft: OpenSSL on blocking
 * sockets. A server and a client, which talk to those of tls.lua as well.
 * usage: tls_openssl server CERT KEY CONNECTIONS
 *        tls_openssl client PORT full|resumed|bulk N
 * Each prints its CPU milliseconds; the server first its port.
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define CHUNK 65536

static char chunk[CHUNK];

static double cpu_ms(void) {
  struct rusage use;
  getrusage(RUSAGE_SELF, &use);
  return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) * 1e3 +
         (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e3;
}

static SSL_SESSION *session;

static int on_session(SSL *ssl, SSL_SESSION *new) {
  (void)ssl;
  SSL_SESSION_free(session);
  session = new;
  return 1;
}

static void finish(SSL *ssl, int fd) {
  SSL_shutdown(ssl);
  SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
  SSL_free(ssl);
  close(fd);
}

static int serve(const char *cert, const char *key, long count) {
  struct sockaddr_in address = {.sin_family = AF_INET};
  socklen_t size = sizeof(address);
  SSL_CTX *ctx = SSL_CTX_new(TLS_method());
  int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (bind(listener, (struct sockaddr *)&address, size) != 0 ||
      listen(listener, 511) != 0 ||
      getsockname(listener, (struct sockaddr *)&address, &size) != 0 ||
      SSL_CTX_use_certificate_file(ctx, cert, SSL_FILETYPE_PEM) != 1 ||
      SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1)
    return 1;
  SSL_CTX_set_read_ahead(ctx, 1);
  printf("%d\n", ntohs(address.sin_port));
  fflush(stdout);
  while (count-- > 0) {
    int fd = accept(listener, NULL, NULL), n;
    SSL *ssl = SSL_new(ctx);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    SSL_set_fd(ssl, fd);
    if (SSL_accept(ssl) == 1 && (n = SSL_read(ssl, chunk, CHUNK)) > 0) {
      if (chunk[0] == 'h')
        SSL_write(ssl, "h", 1);
      else
        while (SSL_read(ssl, chunk, CHUNK) > 0)
          ;
    }
    finish(ssl, fd);
  }
  return 0;
}

static int talk(int port, const char *mode, long n) {
  struct sockaddr_in address = {.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port)};
  SSL_CTX *ctx = SSL_CTX_new(TLS_method());
  int one = 1, is_bulk = strcmp(mode, "bulk") == 0;
  long i, count = is_bulk ? 1 : n;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT |
                                          SSL_SESS_CACHE_NO_INTERNAL);
  if (strcmp(mode, "resumed") == 0)
    SSL_CTX_sess_set_new_cb(ctx, on_session);
  while (count-- > 0) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    SSL *ssl = SSL_new(ctx);
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
      return 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    SSL_set_fd(ssl, fd);
    SSL_set_tlsext_host_name(ssl, "localhost");
    if (session != NULL)
      SSL_set_session(ssl, session);
    if (SSL_connect(ssl) != 1)
      return 1;
    if (!is_bulk) {
      if (SSL_write(ssl, "h", 1) != 1 || SSL_read(ssl, chunk, CHUNK) != 1)
        return 1;
    } else {
      memset(chunk, 'b', CHUNK);
      for (i = 0; i < n * (1024 * 1024 / CHUNK); i++)
        if (SSL_write(ssl, chunk, CHUNK) != CHUNK)
          return 1;
      SSL_shutdown(ssl); /* and waits, as unread tickets would reset it */
      SSL_read(ssl, chunk, CHUNK);
    }
    finish(ssl, fd);
  }
  return 0;
}

int main(int argc, char **argv) {
  int rc = 2;
  double start = cpu_ms();
  if (argc == 5 && strcmp(argv[1], "server") == 0)
    rc = serve(argv[2], argv[3], atol(argv[4]));
  else if (argc == 5)
    rc = talk(atoi(argv[2]), argv[3], atol(argv[4]));
  printf("%.0f\n", cpu_ms() - start);
  return rc;
}
