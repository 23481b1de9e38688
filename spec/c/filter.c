/* SPDX-License-Identifier: MIT */
/*
 * spec/c/filter.c: net/filter.c: what a filter has no function for is done by
 * the one below, and a chain is destroyed from the top down.
 */
#include <string.h>

#include "check.h"
#include "net/filter.h"

static char calls[64]; /* a letter for each call: of whom, and what */

static void note(char who, char what) {
  size_t n = strlen(calls);
  calls[n] = who;
  calls[n + 1] = what;
  calls[n + 2] = '\0';
}

struct one {
  struct weft_bottom bottom;
  char name;
};

static char name_of(struct weft_filter *filter) {
  return ((struct one *)(void *)filter)->name;
}

static int on_connect(struct weft_filter *filter) {
  note(name_of(filter), 'c');
  return -1;
}

static ssize_t on_recv(struct weft_filter *filter, char *data, size_t size) {
  note(name_of(filter), 'r');
  memset(data, 'x', size);
  return (ssize_t)size;
}

static ssize_t on_send(struct weft_filter *filter, const uv_buf_t *bufs,
                       unsigned count) {
  note(name_of(filter), 's');
  return (ssize_t)(bufs[count - 1].len);
}

static int on_shutdown(struct weft_filter *filter) {
  note(name_of(filter), 'h');
  return -2;
}

static int on_needs(struct weft_filter *filter, enum weft_direction direction) {
  note(name_of(filter), 'n');
  return direction == WEFT_READ ? WEFT_WRITE : WEFT_READ;
}

static int on_want(struct weft_filter *filter, int events) {
  note(name_of(filter), 'w');
  return -events;
}

static void on_destroy(struct weft_filter *filter) {
  note(name_of(filter), 'd');
  filter->below = NULL; /* it is read before */
}

static const struct weft_filter_class full = {"full",  on_connect,  on_recv,
                                              on_send, on_shutdown, on_needs,
                                              on_want, on_destroy, NULL};
static const struct weft_filter_class empty = {"empty", NULL, NULL, NULL,
                                               NULL,    NULL, NULL, on_destroy, NULL};

static void expect(const char *text) {
  CHECK(strcmp(calls, text) == 0);
  calls[0] = '\0';
}

static void link_chain(struct one *list, int n,
                       const struct weft_filter_class *const *classes) {
  int i;
  for (i = 0; i < n; i++) {
    memset(&list[i], 0, sizeof(list[i]));
    list[i].name = (char)('A' + i);
    list[i].bottom.filter.cls = classes[i];
    list[i].bottom.filter.below = i > 0 ? &list[i - 1].bottom.filter : NULL;
  }
}

static void call_all(struct weft_filter *top) {
  char data[4] = "";
  uv_buf_t bufs[2] = {{data, 1}, {data, 3}};
  CHECK(weft_filter_connect(top) == -1);
  CHECK(weft_filter_recv(top, data, 4) == 4 && data[3] == 'x');
  CHECK(weft_filter_send(top, bufs, 2) == 3);
  CHECK(weft_filter_shutdown(top) == -2);
  CHECK(weft_filter_needs(top, WEFT_READ) == WEFT_WRITE);
  CHECK(weft_filter_needs(top, WEFT_WRITE) == WEFT_READ);
  CHECK(weft_filter_want(top, WEFT_READ) == -WEFT_READ);
}

int main(void) {
  static const struct weft_filter_class *const mixed[] = {&full, &empty, &full,
                                                          &empty, &empty};
  struct one list[5];
  link_chain(list, 1, mixed);
  call_all(&list[0].bottom.filter);
  expect("AcArAsAhAnAnAw");
  CHECK(weft_filter_bottom(&list[0].bottom.filter) == &list[0].bottom);
  link_chain(list, 2, mixed); /* through one that does nothing */
  call_all(&list[1].bottom.filter);
  expect("AcArAsAhAnAnAw");
  link_chain(list, 5, mixed); /* through two, to one above the bottom */
  call_all(&list[4].bottom.filter);
  expect("CcCrCsChCnCnCw");
  CHECK(weft_filter_bottom(&list[4].bottom.filter) == &list[0].bottom);
  weft_filter_destroy(&list[4].bottom.filter);
  expect("EdDdCdBdAd");
  weft_filter_destroy(NULL);
  expect("");
  return 0;
}
