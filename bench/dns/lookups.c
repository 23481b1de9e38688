/* SPDX-License-Identifier: MIT */
/*
 * bench/dns/lookups.c: many distinct names at once, each answered by the name
 * server after 100 ms: uv_getaddrinfo in libuv's pool against c-ares polled by
 * the loop.
 *
 * usage: lookups pool|cares|COMMAND [NAMES]: a COMMAND is run with NAMES as its
 * argument, with the name server there; run by run.sh in a network of its own.
 * The name server is a child of this program, on 127.0.0.1:53, because that is
 * where libc's resolver asks.
 */
#include <ares.h>
#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <uv.h>

#define DELAY_MS 100
#define QUERIES_MAX 8192 /* waiting for their answer at once */
#define DATAGRAM_MAX 600

static void fail(const char *what) {
  perror(what);
  exit(1);
}

/* --- the name server ----------------------------------------------------- */

struct question {
  uint64_t due_ms;
  struct sockaddr_in from;
  size_t size;
  unsigned char data[DATAGRAM_MAX];
};

static struct question questions[QUERIES_MAX]; /* a ring, in order of arrival */
static size_t first, count;

static uint64_t now_ms(void) {
  return uv_hrtime() / 1000000;
}

/* The question as its own answer: one A record for type A, none for others. */
static void answer(int fd, struct question *q) {
  static const unsigned char record[] = {0xc0, 12, 0, 1, 0,   1, 0, 0,
                                         0,    60, 0, 4, 127, 0, 0, 1};
  size_t end = 12;
  while (end < q->size && q->data[end] != 0)
    end += q->data[end] + 1u;
  end += 5; /* the root's length, type and class */
  q->data[2] = 0x81;
  q->data[3] = 0x80;
  memset(q->data + 6, 0, 6); /* counts */
  if (q->data[end - 3] == 1) {
    q->data[7] = 1;
    memcpy(q->data + end, record, sizeof(record));
    end += sizeof(record);
  }
  sendto(fd, q->data, end, 0, (struct sockaddr *)&q->from, sizeof(q->from));
}

static void receive(int fd) {
  struct question *q = &questions[(first + count) % QUERIES_MAX];
  socklen_t size = sizeof(q->from);
  ssize_t n = recvfrom(fd, q->data, sizeof(q->data) - 16, 0,
                       (struct sockaddr *)&q->from, &size);
  if (n < 17 || count == QUERIES_MAX)
    return;
  q->size = (size_t)n;
  q->due_ms = now_ms() + DELAY_MS;
  count++;
}

static void serve(int fd) {
  for (;;) {
    struct pollfd poll_fd = {fd, POLLIN, 0};
    uint64_t now = now_ms();
    int wait_ms = -1;
    while (count > 0 && questions[first].due_ms <= now) {
      answer(fd, &questions[first]);
      first = (first + 1) % QUERIES_MAX;
      count--;
    }
    if (count > 0)
      wait_ms = (int)(questions[first].due_ms - now);
    if (poll(&poll_fd, 1, wait_ms) > 0)
      receive(fd);
  }
}

static pid_t start_server(void) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(53)};
  int fd = socket(AF_INET, SOCK_DGRAM, 0), room = 8 << 20;
  pid_t pid;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
  if (bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
    fail("bind 127.0.0.1:53");
  pid = fork();
  if (pid == 0)
    serve(fd);
  close(fd);
  return pid;
}

/* --- the look-ups -------------------------------------------------------- */

static double started;
static double *latencies;
static size_t done, failed;

static void finish(int is_good) {
  latencies[done++] = (double)uv_hrtime() / 1e9 - started;
  failed += !is_good;
}

static void on_pool(uv_getaddrinfo_t *req, int status, struct addrinfo *res) {
  uv_freeaddrinfo(res);
  finish(status == 0);
  free(req);
}

static void look_up_pool(const char *name) {
  struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
  uv_getaddrinfo(uv_default_loop(), malloc(sizeof(uv_getaddrinfo_t)), on_pool,
                 name, NULL, &hints);
}

static ares_channel channel;
static uv_poll_t polls[64]; /* by descriptor */
static uv_timer_t timer;

static void on_poll(uv_poll_t *poll, int status, int events) {
  int fd = (int)(poll - polls);
  ares_process_fd(channel, status < 0 || events & UV_READABLE ? fd : -1,
                  status < 0 || events & UV_WRITABLE ? fd : -1);
}

static void on_timer(uv_timer_t *handle) {
  (void)handle;
  ares_process_fd(channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
}

static void on_socket(void *data, int fd, int readable, int writable) {
  (void)data;
  if (!readable && !writable) {
    uv_close((uv_handle_t *)&polls[fd], NULL);
    return;
  }
  if (!uv_is_active((uv_handle_t *)&polls[fd]))
    uv_poll_init(uv_default_loop(), &polls[fd], fd);
  uv_poll_start(&polls[fd],
                (readable ? UV_READABLE : 0) | (writable ? UV_WRITABLE : 0),
                on_poll);
}

static void on_cares(void *arg, int status, int timeouts,
                     struct ares_addrinfo *res) {
  (void)arg;
  (void)timeouts;
  if (res != NULL)
    ares_freeaddrinfo(res);
  finish(status == ARES_SUCCESS);
  if (done == *(size_t *)arg)
    uv_timer_stop(&timer);
}

static void open_cares(void) {
  struct ares_options options = {.sock_state_cb = on_socket};
  if (ares_init_options(&channel, &options, ARES_OPT_SOCK_STATE_CB) != 0)
    exit(1);
  uv_timer_init(uv_default_loop(), &timer);
  uv_timer_start(&timer, on_timer, 500, 500);
}

static void look_up_cares(const char *name, size_t *names) {
  struct ares_addrinfo_hints hints = {.ai_family = AF_UNSPEC};
  ares_getaddrinfo(channel, name, NULL, &hints, on_cares, names);
}

/* --- the measurement ----------------------------------------------------- */

static int compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double cpu(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void report(const char *how, size_t names) {
  double total = (double)uv_hrtime() / 1e9 - started;
  qsort(latencies, done, sizeof(*latencies), compare);
  printf("%-5s %zu names: %.3f s, p50 %.3f s, p99 %.3f s, %zu failed, "
         "%.0f us of CPU a name\n",
         how, names, total, latencies[names / 2], latencies[names * 99 / 100],
         failed, cpu() * 1e6 / (double)names);
}

/* A program of its own in place of this one's look-ups. */
static int run_command(const char *command, size_t names, pid_t server) {
  char line[4096];
  int status;
  snprintf(line, sizeof(line), "%s %zu", command, names);
  status = system(line);
  kill(server, SIGKILL);
  return status != 0;
}

int main(int argc, char **argv) {
  int is_cares = argc > 1 && strcmp(argv[1], "cares") == 0;
  size_t names = argc > 2 ? (size_t)atoi(argv[2]) : 1000, i;
  pid_t server = start_server();
  if (argc > 1 && !is_cares && strcmp(argv[1], "pool") != 0)
    return run_command(argv[1], names, server);
  latencies = calloc(names, sizeof(*latencies));
  started = (double)uv_hrtime() / 1e9;
  if (is_cares)
    open_cares();
  for (i = 0; i < names; i++) {
    char name[64];
    snprintf(name, sizeof(name), "host-%zu.example.com", i);
    if (is_cares)
      look_up_cares(name, &names);
    else
      look_up_pool(name);
  }
  uv_run(uv_default_loop(), UV_RUN_DEFAULT);
  report(is_cares ? "cares" : "pool", names);
  kill(server, SIGKILL);
  return failed != 0;
}
