/* SPDX-License-Identifier: MIT */
/*
 * net/pair.c: see pair.h.
 * Each end holds what comes to it: the bytes, and with a delay also when which
 * of them arrive.
 */
#include "net/pair.h"

#include <string.h>

#include "base/buffer.h"

struct arrival {
  uint64_t at;
  size_t size;
};

struct end {
  struct weft_bottom bottom;
  struct weft_pair *pair;
  struct weft_pair_way way;
  struct weft_buffer in;       /* sent to this end and not received */
  struct weft_buffer arrivals; /* struct arrival; of what is not ripe */
  size_t ripe;                 /* bytes of `in` that have arrived */
  uint64_t end_at;             /* when the end of the stream arrives */
  uint64_t fault_after;        /* bytes; NEVER: no fault is to come */
  int fault;                   /* what then happens */
  int broken;                  /* 0, or what sending and receiving give */
  size_t piece;                /* index of the next of the splits */
  uint8_t is_between; /* a piece was received, the next comes with an alarm */
  uint8_t is_shut, is_dropped;
  uint8_t wanted; /* set of enum weft_direction */
};

struct weft_pair {
  struct end ends[2];
  struct weft_mem *mem;
  struct weft_pair_clock *clock;
};

static struct end *of(struct weft_filter *filter) {
  return (struct end *)(void *)filter;
}

static int index_of(const struct end *end) {
  return end == &end->pair->ends[1];
}

static struct end *peer_of(struct end *end) {
  return &end->pair->ends[!index_of(end)];
}

static uint64_t now_of(struct end *end) {
  return end->pair->clock->now(end->pair->clock);
}

/* --- when ---------------------------------------------------------------- */

/* When what is sent now arrives. */
static uint64_t arrives_at(struct end *to) {
  uint64_t now = now_of(to);
  return to->way.delay < WEFT_PAIR_NEVER - 1 - now ? now + to->way.delay
                                                   : WEFT_PAIR_NEVER - 1;
}

static const struct arrival *first_arrival(const struct end *end) {
  return weft_buffer_size(&end->arrivals) != 0
             ? (const void *)weft_buffer_data(&end->arrivals)
             : NULL;
}

static void ripen(struct end *end, uint64_t now) {
  const struct arrival *first;
  while ((first = first_arrival(end)) != NULL && first->at <= now) {
    end->ripe += first->size;
    weft_buffer_take(&end->arrivals, end->pair->mem, sizeof(*first));
  }
}

/* When receiving will give something, bytes, the end or a failure; 0: now. */
static uint64_t readable_at(struct end *end, uint64_t now) {
  const struct arrival *first;
  ripen(end, now);
  if (end->broken != 0 || end->fault_after == 0 || end->ripe > 0)
    return 0;
  first = first_arrival(end);
  return first != NULL ? first->at : end->end_at;
}

static int is_writable(struct end *end) {
  struct end *peer = peer_of(end);
  return end->broken != 0 || end->is_shut || peer->is_dropped ||
         weft_buffer_size(&peer->in) < peer->way.capacity;
}

/* What of `wanted` is there. */
static int ready(struct end *end) {
  uint64_t now = now_of(end);
  int events = 0;
  if ((end->wanted & WEFT_READ) && readable_at(end, now) <= now)
    events |= WEFT_READ;
  if ((end->wanted & WEFT_WRITE) && is_writable(end))
    events |= WEFT_WRITE;
  return events;
}

static int schedule(struct end *end) {
  struct weft_pair_clock *clock = end->pair->clock;
  uint64_t now = now_of(end), at = WEFT_PAIR_NEVER;
  if ((end->wanted & WEFT_WRITE) && is_writable(end))
    at = 0;
  else if (end->wanted & WEFT_READ)
    at = readable_at(end, now);
  return clock->alarm(clock, index_of(end), at);
}

void weft_pair_ring(struct weft_pair *pair, int i) {
  struct end *end = &pair->ends[i];
  int events = ready(end);
  if (events == 0) {
    (void)schedule(end); /* the memory of this alarm is free */
    return;
  }
  end->is_between = 0;
  end->wanted = 0;
  if (end->bottom.listener != NULL)
    end->bottom.on_ready(end->bottom.listener, events);
}

/* Something has happened to an end from outside of it. */
static void touch(struct end *end) {
  if (end->wanted != 0 && schedule(end) != 0)
    weft_pair_ring(end->pair, index_of(end));
}

static int pair_want(struct weft_filter *filter, int events) {
  struct end *end = of(filter);
  end->wanted = (uint8_t)events;
  return schedule(end);
}

static int pair_needs(struct weft_filter *filter,
                      enum weft_direction direction) {
  (void)filter;
  return direction == WEFT_READ ? WEFT_READ : WEFT_WRITE;
}

/* --- faults -------------------------------------------------------------- */

static void fall(struct end *end, int code) {
  if (end->broken != 0)
    return;
  end->broken = code;
  touch(end);
}

/* Returns the failure that is due, or 0. */
static int fault_of(struct end *end) {
  if (end->broken != 0 || end->fault_after > 0)
    return end->broken;
  if (end->fault == UV_EOF)
    return UV_EOF;
  fall(end, end->fault);
  if (end->fault == UV_ECONNRESET)
    fall(peer_of(end), UV_ECONNRESET);
  return end->broken;
}

void weft_pair_fault(struct weft_filter *filter, int code, uint64_t after) {
  struct end *end = of(filter);
  end->fault = code;
  end->fault_after = after;
  if (fault_of(end) == UV_EOF)
    touch(end);
}

/* --- moving bytes -------------------------------------------------------- */

/* No connecting: an end is made connected. */
static int pair_connect(struct weft_filter *filter) {
  (void)filter;
  return 0;
}

static size_t least(size_t a, size_t b) {
  return a < b ? a : b;
}

/* How much of what is there comes with one call. */
static size_t next_piece(struct end *end, size_t size) {
  const struct weft_pair_way *way = &end->way;
  size = least(size, end->ripe);
  if (end->fault_after < size)
    size = (size_t)end->fault_after;
  if (way->nsplits == 0)
    return size;
  size = least(size, way->splits[end->piece]);
  end->piece = (end->piece + 1) % way->nsplits;
  end->is_between = 1;
  return size;
}

static ssize_t pair_recv(struct weft_filter *filter, char *data, size_t size) {
  struct end *end = of(filter);
  uint64_t now = now_of(end);
  int rc = fault_of(end);
  if (rc != 0)
    return rc;
  if (end->is_between || readable_at(end, now) > now)
    return UV_EAGAIN;
  if (end->ripe == 0)
    return UV_EOF;
  size = next_piece(end, size);
  memcpy(data, weft_buffer_data(&end->in), size);
  weft_buffer_take(&end->in, end->pair->mem, size);
  end->ripe -= size;
  if (end->fault_after != WEFT_PAIR_NEVER)
    end->fault_after -= size;
  touch(peer_of(end));
  return (ssize_t)size;
}

/* Makes room for `size` bytes and their time; 0 or UV_ENOMEM. */
static int reserve(struct end *to, size_t size, char **at) {
  struct weft_mem *mem = to->pair->mem;
  struct arrival arrival = {0, size};
  size_t room;
  char *entry;
  *at = weft_buffer_reserve(&to->in, mem, size, &room);
  if (*at == NULL)
    return UV_ENOMEM;
  if (to->way.delay == 0) {
    to->ripe += size;
    return 0;
  }
  arrival.at = arrives_at(to);
  entry = weft_buffer_reserve(&to->arrivals, mem, sizeof(arrival), &room);
  if (entry == NULL) {
    weft_buffer_take(&to->in, mem, 0);
    return UV_ENOMEM;
  }
  memcpy(entry, &arrival, sizeof(arrival));
  weft_buffer_add(&to->arrivals, sizeof(arrival));
  return 0;
}

static void copy(char *at, const uv_buf_t *bufs, size_t size) {
  for (; size > 0; bufs++) {
    size_t n = least(size, bufs->len);
    if (n > 0)
      memcpy(at, bufs->base, n);
    at += n;
    size -= n;
  }
}

static ssize_t pair_send(struct weft_filter *filter, const uv_buf_t *bufs,
                         unsigned count) {
  struct end *end = of(filter), *to = peer_of(end);
  size_t size = 0, room;
  unsigned i;
  char *at;
  if (end->broken != 0)
    return end->broken;
  if (end->is_shut || to->is_dropped)
    return UV_EPIPE;
  room = to->way.capacity - weft_buffer_size(&to->in);
  if (room == 0)
    return UV_EAGAIN;
  for (i = 0; i < count && size < room; i++)
    size += least(bufs[i].len, room - size);
  if (reserve(to, size, &at) != 0)
    return UV_ENOMEM;
  copy(at, bufs, size);
  weft_buffer_add(&to->in, size);
  touch(to);
  return (ssize_t)size;
}

static void end_stream(struct end *to) {
  if (to->end_at == WEFT_PAIR_NEVER)
    to->end_at = arrives_at(to);
  touch(to);
}

static int pair_shutdown(struct weft_filter *filter) {
  struct end *end = of(filter);
  if (end->broken != 0)
    return end->broken;
  end->is_shut = 1;
  end_stream(peer_of(end));
  return 0;
}

/* --- the whole ----------------------------------------------------------- */

static void pair_destroy(struct weft_filter *filter) {
  struct end *end = of(filter), *peer = peer_of(end);
  struct weft_pair *pair = end->pair;
  end->bottom.listener = NULL;
  end->is_dropped = 1;
  end->wanted = 0;
  (void)pair->clock->alarm(pair->clock, index_of(end), WEFT_PAIR_NEVER);
  weft_buffer_deinit(&end->in, pair->mem);
  weft_buffer_deinit(&end->arrivals, pair->mem);
  if (!peer->is_dropped) {
    end_stream(peer);
    return;
  }
  pair->clock->drop(pair->clock);
  weft_free(pair->mem, pair);
}

/* Also between two pieces. */
static int pair_is_quiet(struct weft_filter *filter) {
  of(filter)->is_between = 0;
  return 0;
}

static const struct weft_filter_class pair_class = {
    "pair",     pair_connect, pair_recv,    pair_send,    pair_shutdown,
    pair_needs, pair_want,    pair_destroy, pair_is_quiet};

static void init_end(struct weft_pair *pair, struct end *end,
                     const struct weft_pair_way *way) {
  end->bottom.filter.cls = &pair_class;
  end->bottom.filter.mem = pair->mem;
  end->pair = pair;
  end->way = *way;
  end->end_at = end->fault_after = WEFT_PAIR_NEVER;
  weft_buffer_init(&end->in);
  weft_buffer_init(&end->arrivals);
}

int weft_pair_new(struct weft_mem *mem, struct weft_pair_clock *clock,
                  const struct weft_pair_way ways[2],
                  struct weft_filter *ends[2], struct weft_pair **made) {
  struct weft_pair *pair = weft_calloc(mem, sizeof(*pair));
  int i;
  if (pair == NULL)
    return UV_ENOMEM;
  pair->mem = mem;
  pair->clock = clock;
  for (i = 0; i < 2; i++) {
    init_end(pair, &pair->ends[i], &ways[i]);
    ends[i] = &pair->ends[i].bottom.filter;
  }
  *made = pair;
  return 0;
}

struct weft_filter *weft_pair_of(struct weft_filter *filter) {
  struct weft_filter *bottom = &weft_filter_bottom(filter)->filter;
  return bottom->cls == &pair_class ? bottom : NULL;
}
