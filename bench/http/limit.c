/* SPDX-License-Identifier: MIT */
/*
 * bench/http/limit.c: the limit of an HTTP client: libuv, llhttp and OpenSSL
 * with nothing in between. It builds each request, parses the response and
 * collects the body in a string of its own; it keeps no header, has no pool,
 * no timeout and no redirect, and ends at the first error.
 * usage: limit keep|fresh|slow URL CONNECTIONS SECONDS [CA_FILE]
 *   keep   each connection is used again
 *   fresh  a connection for each request; TLS sessions are resumed
 *   slow   one request on each connection, all at once
 * Prints `op=… n=requests cpu=seconds wall=seconds`, of `slow` also `rss=`, the
 * bytes of resident memory that each request added at most.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <llhttp.h>
#include <malloc.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#define WARM_UP_MS 500
#define READ_SIZE (68 * 1024) /* a body of 64 KiB with its head */

/* With connections that are kept, the memory of freed bodies is not given back
 * to the system: getting it again, page by page, would take most of the time of
 * a 64 KiB response. */
#define HEAP_KEPT (256 << 20)

struct connection {
  uv_poll_t poll;
  int fd;
  int is_ready; /* connected, and its handshake is over */
  SSL *ssl;
  llhttp_t parser;
  char *body;
  size_t size, capacity;
  int is_complete;
};

static const char *operation;
static char host[64], path[256];
static struct sockaddr_in address;
static SSL_CTX *tls; /* NULL: plain TCP */
static SSL_SESSION *session;
static llhttp_settings_t settings;
static char block[READ_SIZE];
static int is_fresh, is_slow;
static long total, done, resumed;
static struct {
  double cpu, wall;
  long done, resumed;
} begun;
static long resident;

static void on_event(uv_poll_t *poll, int status, int events);

static void die(const char *what) {
  fprintf(stderr, "limit: %s: %s\n", what, strerror(errno));
  ERR_print_errors_fp(stderr);
  exit(1);
}

/* ---- figures ---- */

static double cpu(void) {
  struct rusage u;
  getrusage(RUSAGE_SELF, &u);
  return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
         (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static double wall(void) {
  return (double)uv_hrtime() / 1e9;
}

/* Of /proc/self/status, in bytes. */
static long memory(const char *name) {
  FILE *file = fopen("/proc/self/status", "r");
  char line[128];
  long kb = 0;
  while (file != NULL && fgets(line, sizeof(line), file) != NULL)
    if (strncmp(line, name, strlen(name)) == 0)
      kb = atol(line + strlen(name) + 1);
  if (file != NULL)
    fclose(file);
  return kb * 1024;
}

static void begin(uv_timer_t *timer) {
  (void)timer;
  begun.cpu = cpu();
  begun.wall = wall();
  begun.done = done;
  begun.resumed = resumed;
}

static void finish(uv_timer_t *timer) {
  long n = done - begun.done;
  (void)timer;
  printf("op=%s n=%ld cpu=%.6f wall=%.6f", operation, n, cpu() - begun.cpu,
         wall() - begun.wall);
  if (is_slow)
    printf(" rss=%.0f", (double)(memory("VmHWM") - resident) / (double)total);
  if (is_fresh && tls != NULL)
    printf(" resumed=%ld", resumed - begun.resumed);
  printf("\n");
  exit(0);
}

/* ---- the response ---- */

static int on_head(llhttp_t *parser) {
  struct connection *c = parser->data;
  if (parser->status_code != 200)
    die("status");
  c->size = 0;
  c->capacity = parser->content_length + 1;
  c->body = malloc(c->capacity);
  return 0;
}

static int on_body(llhttp_t *parser, const char *data, size_t size) {
  struct connection *c = parser->data;
  if (c->size + size >= c->capacity) {
    c->capacity = (c->size + size) * 2;
    c->body = realloc(c->body, c->capacity);
  }
  memcpy(c->body + c->size, data, size);
  c->size += size;
  return 0;
}

static int on_complete(llhttp_t *parser) {
  struct connection *c = parser->data;
  c->body[c->size] = '\0';
  c->is_complete = 1;
  return 0;
}

/* ---- a connection ---- */

static int on_session(SSL *ssl, SSL_SESSION *new_session) {
  (void)ssl;
  SSL_SESSION_free(session);
  session = new_session;
  return 1;
}

static void set_up_tls(const char *ca_file) {
  tls = SSL_CTX_new(TLS_client_method());
  SSL_CTX_set_verify(tls, SSL_VERIFY_PEER, NULL);
  if (SSL_CTX_load_verify_file(tls, ca_file) != 1)
    die("CA file");
  SSL_CTX_set_read_ahead(tls, 1);
  SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_CLIENT |
                                          SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(tls, on_session);
}

static void start_tls(struct connection *c) {
  c->ssl = SSL_new(tls);
  SSL_set_fd(c->ssl, c->fd);
  SSL_set_connect_state(c->ssl);
  X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(c->ssl), host);
  if (is_fresh && session != NULL)
    SSL_set_session(c->ssl, session);
}

static void on_closed(uv_handle_t *handle) {
  free(handle->data);
}

static void connect_one(void) {
  struct connection *c = calloc(1, sizeof(*c));
  int one = 1;
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
  if (connect(c->fd, (struct sockaddr *)&address, sizeof(address)) != 0 &&
      errno != EINPROGRESS)
    die("connect");
  if (tls != NULL)
    start_tls(c);
  llhttp_init(&c->parser, HTTP_RESPONSE, &settings);
  c->parser.data = c->poll.data = c;
  uv_poll_init(uv_default_loop(), &c->poll, c->fd);
  uv_poll_start(&c->poll, UV_WRITABLE, on_event);
}

static void disconnect(struct connection *c) {
  if (c->ssl != NULL) {
    SSL_shutdown(c->ssl);
    SSL_free(c->ssl);
  }
  uv_close((uv_handle_t *)&c->poll, on_closed);
  close(c->fd);
}

static void send_request(struct connection *c) {
  char request[1024];
  int n = snprintf(request, sizeof(request),
                   "GET %s HTTP/1.1\r\n"
                   "Host: %s:%d\r\n"
                   "User-Agent: limit/1.0\r\n"
                   "Accept: */*\r\n"
                   "Accept-Encoding: gzip, deflate, br\r\n%s\r\n",
                   path, host, ntohs(address.sin_port),
                   is_fresh ? "Connection: close\r\n" : "");
  c->is_complete = 0;
  if ((c->ssl != NULL ? SSL_write(c->ssl, request, n)
                      : (int)send(c->fd, request, (size_t)n, 0)) != n)
    die("write");
  uv_poll_start(&c->poll, UV_READABLE, on_event);
}

static void get_ready(struct connection *c) {
  int result, error;
  socklen_t size = sizeof(error);
  if (c->ssl == NULL) {
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if ((errno = error) != 0)
      die("connect");
  } else if ((result = SSL_do_handshake(c->ssl)) != 1) {
    if (SSL_get_error(c->ssl, result) != SSL_ERROR_WANT_READ)
      die("handshake");
    uv_poll_start(&c->poll, UV_READABLE, on_event);
    return;
  } else
    resumed += SSL_session_reused(c->ssl);
  c->is_ready = 1;
  send_request(c);
}

static void next_request(struct connection *c) {
  free(c->body);
  done++;
  if (is_slow) {
    disconnect(c);
    if (done == total)
      finish(NULL);
  } else if (is_fresh) {
    disconnect(c);
    connect_one();
  } else
    send_request(c);
}

/* How many bytes came; 0: none as yet. */
static size_t receive(struct connection *c) {
  ssize_t n;
  if (c->ssl != NULL) {
    n = SSL_read(c->ssl, block, sizeof(block));
    if (n <= 0 && SSL_get_error(c->ssl, (int)n) == SSL_ERROR_WANT_READ)
      return 0;
  } else {
    n = recv(c->fd, block, sizeof(block), 0);
    if (n < 0 && errno == EAGAIN)
      return 0;
  }
  if (n <= 0)
    die("read");
  return (size_t)n;
}

static void on_event(uv_poll_t *poll, int status, int events) {
  struct connection *c = poll->data;
  size_t n;
  (void)events;
  if (status != 0)
    die("poll");
  if (!c->is_ready) {
    get_ready(c);
    return;
  }
  do {
    if ((n = receive(c)) == 0)
      return;
    if (llhttp_execute(&c->parser, block, n) != HPE_OK)
      die("response");
  } while (!c->is_complete && c->ssl != NULL);
  if (c->is_complete)
    next_request(c);
}

int main(int argc, char **argv) {
  uv_timer_t start, stop;
  char scheme[8];
  int port, i;
  if (argc < 5 || sscanf(argv[2], "%7[a-z]://%63[0-9.]:%d%255s", scheme, host,
                         &port, path) != 4) {
    fprintf(stderr, "usage: limit keep|fresh|slow http[s]://IP:PORT/PATH "
                    "CONNECTIONS SECONDS [CA_FILE]\n");
    return 2;
  }
  operation = argv[1];
  is_fresh = strcmp(operation, "fresh") == 0;
  is_slow = strcmp(operation, "slow") == 0;
  total = atol(argv[3]);
  signal(SIGPIPE, SIG_IGN);
  if (!is_fresh && !is_slow)
    mallopt(M_TRIM_THRESHOLD, HEAP_KEPT);
  uv_ip4_addr(host, port, &address);
  if (strcmp(scheme, "https") == 0)
    set_up_tls(argc > 5 ? argv[5] : "");
  llhttp_settings_init(&settings);
  settings.on_headers_complete = on_head;
  settings.on_body = on_body;
  settings.on_message_complete = on_complete;
  resident = memory("VmRSS");
  begin(NULL);
  for (i = 0; i < total; i++)
    connect_one();
  uv_timer_init(uv_default_loop(), &start);
  uv_timer_init(uv_default_loop(), &stop);
  if (!is_slow) {
    uv_timer_start(&start, begin, WARM_UP_MS, 0);
    uv_timer_start(&stop, finish, WARM_UP_MS + (uint64_t)(atof(argv[4]) * 1e3),
                   0);
  }
  uv_run(uv_default_loop(), UV_RUN_DEFAULT);
  die("the connections ended");
  return 1;
}
