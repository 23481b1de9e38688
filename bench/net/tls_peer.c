/* SPDX-License-Identifier: MIT */
/*
 * bench/net/tls_peer.c: TLS 1.3 with nothing but OpenSSL and blocking sockets:
 * the server of all TLS figures, and the client that is their limit.
 * usage: tls_peer serve CERT KEY             prints the port, serves until killed
 *        tls_peer handshakes CERT PORT N full|resumed     CPU µs a handshake
 *        tls_peer bulk CERT PORT MIB         CPU ms to receive as much
 * After the handshake the server sends one byte. Then the client sends a line:
 * "0" is the end, any other number how many MiB it wants.
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static char block[65536];

static void die(const char *what) {
  perror(what);
  exit(1);
}

static void answer(SSL *ssl) {
  char line[16] = "";
  long mib;
  if (SSL_write(ssl, ".", 1) != 1 || SSL_read(ssl, line, 15) <= 0)
    return;
  for (mib = atol(line) * 16; mib > 0; mib--)
    if (SSL_write(ssl, block, sizeof(block)) <= 0)
      return;
  SSL_shutdown(ssl);
}

static int listen_on_any(int *port) {
  struct sockaddr_in address = {.sin_family = AF_INET};
  socklen_t size = sizeof(address);
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (bind(fd, (struct sockaddr *)&address, size) != 0 || listen(fd, 64) != 0)
    die("listen");
  getsockname(fd, (struct sockaddr *)&address, &size);
  *port = ntohs(address.sin_port);
  return fd;
}

static void serve(const char *cert, const char *key) {
  SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
  int port, fd = listen_on_any(&port), one = 1;
  if (SSL_CTX_use_certificate_chain_file(ctx, cert) != 1 ||
      SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1)
    die("certificate");
  printf("%d\n", port);
  fflush(stdout);
  for (;;) {
    int peer = accept(fd, NULL, NULL);
    SSL *ssl = SSL_new(ctx);
    setsockopt(peer, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    SSL_set_fd(ssl, peer);
    if (SSL_accept(ssl) == 1)
      answer(ssl);
    SSL_free(ssl);
    close(peer);
  }
}

static SSL_SESSION *session;

static int on_session(SSL *ssl, SSL_SESSION *new_session) {
  (void)ssl;
  SSL_SESSION_free(session);
  session = new_session;
  return 1;
}

static SSL *connect_to(SSL_CTX *ctx, int port, int is_resumed) {
  struct sockaddr_in address = {.sin_family = AF_INET};
  SSL *ssl = SSL_new(ctx);
  int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
  char byte;
  address.sin_port = htons((uint16_t)port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
    die("connect");
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
  SSL_set_fd(ssl, fd);
  SSL_set_tlsext_host_name(ssl, "localhost");
  SSL_set1_host(ssl, "localhost");
  if (is_resumed && session != NULL)
    SSL_set_session(ssl, session);
  if (SSL_connect(ssl) != 1 || SSL_read(ssl, &byte, 1) != 1)
    die("handshake");
  return ssl;
}

static void end(SSL *ssl) {
  int fd = SSL_get_fd(ssl);
  SSL_shutdown(ssl);
  SSL_free(ssl);
  close(fd);
}

static SSL_CTX *client_context(const char *cert) {
  SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
  SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
  SSL_CTX_load_verify_file(ctx, cert);
  SSL_CTX_set_session_cache_mode(
      ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(ctx, on_session);
  return ctx;
}

static double cpu(void) {
  struct timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void handshakes(const char *cert, int port, int n, int is_resumed) {
  SSL_CTX *ctx = client_context(cert);
  double start;
  int i;
  end(connect_to(ctx, port, 0));
  start = cpu();
  for (i = 0; i < n; i++) {
    SSL *ssl = connect_to(ctx, port, is_resumed);
    if (SSL_session_reused(ssl) != is_resumed)
      die("resumption");
    end(ssl);
  }
  printf("%.1f\n", (cpu() - start) / n * 1e6);
}

static void bulk(const char *cert, int port, long mib) {
  SSL *ssl = connect_to(client_context(cert), port, 0);
  long left = mib << 20;
  char line[16];
  double start = cpu();
  int n = snprintf(line, sizeof(line), "%ld\n", mib);
  if (SSL_write(ssl, line, n) != n)
    die("write");
  while (left > 0 && (n = SSL_read(ssl, block, sizeof(block))) > 0)
    left -= n;
  if (left != 0)
    die("read");
  printf("%.0f\n", (cpu() - start) * 1e3);
  end(ssl);
}

int main(int argc, char **argv) {
  signal(SIGPIPE, SIG_IGN);
  if (argc > 3 && strcmp(argv[1], "serve") == 0)
    serve(argv[2], argv[3]);
  else if (argc > 5 && strcmp(argv[1], "handshakes") == 0)
    handshakes(argv[2], atoi(argv[3]), atoi(argv[4]),
               strcmp(argv[5], "resumed") == 0);
  else if (argc > 4 && strcmp(argv[1], "bulk") == 0)
    bulk(argv[2], atoi(argv[3]), atol(argv[4]));
  return 0;
}
