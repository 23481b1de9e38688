/* SPDX-License-Identifier: MIT */
/*
 * bench/h1/parse.c: a response of ten fields and 1 KiB of body through weft's
 * HTTP/1 parser, and through llhttp alone with callbacks that only count. The
 * CPU time of one message, the least of five rounds, in ns.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "proto/h1.h"

#define MESSAGES 200000
#define ROUNDS 5

static const char head[] =
    "HTTP/1.1 200 OK\r\n"
    "Server: nginx/1.22.1\r\n"
    "Date: Sat, 21 Nov 2026 11:00:00 GMT\r\n"
    "Content-Type: text/html; charset=utf-8\r\n"
    "Content-Length: 1024\r\n"
    "Last-Modified: Fri, 20 Nov 2026 09:30:00 GMT\r\n"
    "Connection: keep-alive\r\n"
    "ETag: \"65537fd0-400\"\r\n"
    "Cache-Control: max-age=3600, must-revalidate\r\n"
    "X-Request-Id: 3f2b6d0e-4c6f-4f0e-9a52-0b9a4e1c7d11\r\n"
    "Accept-Ranges: bytes\r\n\r\n";

static char message[sizeof(head) - 1 + 1024];
static size_t seen;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int count(llhttp_t *llhttp, const char *data, size_t size) {
  (void)llhttp;
  (void)data;
  seen += size;
  return 0;
}

static int complete(llhttp_t *llhttp) {
  (void)llhttp;
  seen++;
  return 0;
}

static double bare(size_t step) {
  llhttp_settings_t settings;
  llhttp_t llhttp;
  double start = now();
  int i;
  llhttp_settings_init(&settings);
  settings.on_status = settings.on_header_field = count;
  settings.on_header_value = settings.on_body = count;
  settings.on_header_value_complete = settings.on_message_complete = complete;
  llhttp_init(&llhttp, HTTP_RESPONSE, &settings);
  for (i = 0; i < MESSAGES; i++) {
    size_t at = 0, size;
    for (; at < sizeof(message); at += size) {
      size = step < sizeof(message) - at ? step : sizeof(message) - at;
      if (llhttp_execute(&llhttp, message + at, size) != HPE_OK)
        return -1;
    }
  }
  return (now() - start) / MESSAGES;
}

/* Returns whether the message ended, or -1. */
static int feed(struct weft_h1 *h1, const char *data, size_t size) {
  struct weft_h1_event event;
  size_t used = 0;
  do {
    ptrdiff_t n = weft_h1_feed(h1, data + used, size - used, &event);
    if (n < 0)
      return -1;
    used += (size_t)n;
    seen += event.size;
  } while (event.type != WEFT_H1_MORE && event.type != WEFT_H1_END);
  return event.type == WEFT_H1_END;
}

static double weft(size_t step) {
  struct weft_mem mem = {0};
  struct weft_h1 h1;
  double start;
  int i, rc = 0;
  weft_block_keep(&mem, 1);
  weft_h1_init(&h1, WEFT_H1_RESPONSES, &mem);
  start = now();
  for (i = 0; i < MESSAGES; i++) {
    size_t at = 0, size;
    weft_h1_begin(&h1, 0);
    for (; at < sizeof(message) && rc >= 0; at += size) {
      size = step < sizeof(message) - at ? step : sizeof(message) - at;
      rc = feed(&h1, message + at, size);
    }
    if (rc != 1)
      return -1;
  }
  start = (now() - start) / MESSAGES;
  weft_h1_deinit(&h1);
  weft_block_keep(&mem, -1);
  return start;
}

static double least(double (*run)(size_t), size_t step) {
  double best = run(step);
  int i;
  for (i = 1; i < ROUNDS; i++) {
    double time = run(step);
    best = time < best ? time : best;
  }
  return best;
}

int main(void) {
  static const size_t steps[] = {sizeof(message), 500, 100};
  size_t i;
  memcpy(message, head, sizeof(head) - 1);
  memset(message + sizeof(head) - 1, 'x', 1024);
  for (i = 0; i < 3; i++)
    printf("in pieces of %4zu bytes: llhttp %5.0f ns, weft %5.0f ns\n",
           steps[i], least(bare, steps[i]), least(weft, steps[i]));
  return seen == 0;
}
