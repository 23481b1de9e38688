/* SPDX-License-Identifier: MIT */
/*
 * net/filter.c: see filter.h. Passing through is the default: what a filter has
 * no function for, the one below does.
 */
#include "net/filter.h"

int weft_filter_connect(struct weft_filter *filter) {
  while (filter->cls->connect == NULL)
    filter = filter->below;
  return filter->cls->connect(filter);
}

ssize_t weft_filter_recv(struct weft_filter *filter, char *data, size_t size) {
  while (filter->cls->recv == NULL)
    filter = filter->below;
  return filter->cls->recv(filter, data, size);
}

ssize_t weft_filter_send(struct weft_filter *filter, const uv_buf_t *bufs,
                         unsigned count) {
  while (filter->cls->send == NULL)
    filter = filter->below;
  return filter->cls->send(filter, bufs, count);
}

int weft_filter_shutdown(struct weft_filter *filter) {
  while (filter->cls->shutdown == NULL)
    filter = filter->below;
  return filter->cls->shutdown(filter);
}

int weft_filter_needs(struct weft_filter *filter,
                      enum weft_direction direction) {
  while (filter->cls->needs == NULL)
    filter = filter->below;
  return filter->cls->needs(filter, direction);
}

int weft_filter_want(struct weft_filter *filter, int events) {
  while (filter->cls->want == NULL)
    filter = filter->below;
  return filter->cls->want(filter, events);
}

void weft_filter_destroy(struct weft_filter *filter) {
  while (filter != NULL) {
    struct weft_filter *below = filter->below;
    filter->cls->destroy(filter);
    filter = below;
  }
}

struct weft_bottom *weft_filter_bottom(struct weft_filter *filter) {
  while (filter->below != NULL)
    filter = filter->below;
  return (struct weft_bottom *)(void *)filter;
}
