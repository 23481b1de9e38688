/* SPDX-License-Identifier: MIT */
/*
 * spec/c/stream_model.h: two streams over a pair beside plain arrays of what
 * was written to each, and operations on both with all checks: shared by
 * spec/c/stream.c, which draws them at random, and spec/fuzz/stream.c.
 *
 * Checked: bytes come in order and once; each result is one that its operation
 * may have; and, by model_settle, nobody waits who need not (a lost wake-up).
 */
#ifndef WEFT_SPEC_STREAM_MODEL_H
#define WEFT_SPEC_STREAM_MODEL_H

#include <string.h>

#include "base/err.h"
#include "base/list.h"
#include "check.h"
#include "net/pair.h"
#include "net/stream.h"

#define MODEL_DATA 65536 /* bytes written to one end in a run, at most */
#define MODEL_BUFS 16

struct model_end {
  struct weft_stream stream;
  char out[MODEL_DATA]; /* what was handed to its writes */
  size_t handed;        /* bytes of `out` that may have been sent */
  size_t got;           /* bytes of the peer's `out` taken from its reads */
  size_t parse_left;    /* bytes that the parser of its read has still to take */
  size_t parse_step;    /* it takes so many at a time */
  int parse_fails;      /* having them, it refuses them */
  uv_buf_t bufs[MODEL_BUFS];
  uint64_t alarm;
  int is_shut;   /* a shutdown was done */
  int is_closed; /* by us */
  int may_break; /* a fault was asked for, or memory was made to fail */
  int is_dead;   /* a write has failed: its bytes are no longer known */
};

static struct model {
  struct model_end ends[2];
  struct weft_mem mem;
  struct weft_pair *pair;
  struct weft_pair_clock clock;
  struct weft_pair_way ways[2];
  uint64_t now;
  unsigned alarms_fail; /* how many of the next alarms fail */
  int is_dropped;
} model;

static inline struct model_end *model_peer(struct model_end *end) {
  return &model.ends[end == &model.ends[0]];
}

/* --- the clock ----------------------------------------------------------- */

static uint64_t model_now(struct weft_pair_clock *clock) {
  (void)clock;
  return model.now;
}

static int model_alarm(struct weft_pair_clock *clock, int end, uint64_t at) {
  (void)clock;
  if (at != WEFT_PAIR_NEVER && model.alarms_fail > 0) {
    model.alarms_fail--;
    model.ends[end].alarm = WEFT_PAIR_NEVER;
    return UV_ENOMEM;
  }
  model.ends[end].alarm = at;
  return 0;
}

static void model_drop(struct weft_pair_clock *clock) {
  (void)clock;
  CHECK(!model.is_dropped);
  model.is_dropped = 1;
}

/* --- results ------------------------------------------------------------- */

static inline size_t model_in(const struct model_end *end) {
  return weft_buffer_size(&end->stream.in);
}

/* Where the separator first ends in the unread bytes of an end; 0: nowhere. */
static size_t model_find(struct model_end *end, size_t most) {
  const struct weft_read *read = &end->stream.read;
  const struct model_end *peer = model_peer(end);
  const char *text = peer->out + end->got;
  size_t n = read->separator_size, size = peer->handed - end->got, i;
  for (i = n; i <= size && i <= most; i++)
    if (memcmp(text + i - n, read->separator, n) == 0)
      return i;
  return 0;
}

static void model_is_in_order(struct model_end *end) {
  const struct model_end *peer = model_peer(end);
  CHECK(end->got + model_in(end) <= peer->handed);
  if (model_in(end) > 0)
    CHECK(memcmp(weft_buffer_data(&end->stream.in), peer->out + end->got,
                 model_in(end)) == 0);
}

static void model_take(struct model_end *end, size_t size) {
  CHECK(size <= model_in(end));
  if (size > 0)
    weft_stream_take(&end->stream, size);
  end->got += size;
}

/* A parser: takes whole steps of what there is. */
static int model_enough(struct weft_stream *stream, void *arg) {
  struct model_end *end = arg;
  size_t n = weft_buffer_size(&stream->in);
  CHECK(stream == &end->stream);
  model_is_in_order(end);
  n -= n % end->parse_step;
  if (n > end->parse_left)
    n = end->parse_left;
  model_take(end, n);
  end->parse_left -= n;
  if (end->parse_left > 0)
    return UV_EAGAIN;
  return end->parse_fails ? WEFT_EPROTOCOL : 0;
}

static void model_read_ok(struct model_end *end) {
  const struct weft_read *read = &end->stream.read;
  size_t ready = end->stream.ready;
  switch (read->kind) {
  case WEFT_READ_SOME:
    CHECK(ready > 0 && ready <= read->size);
    break;
  case WEFT_READ_EXACTLY:
    CHECK(ready == read->size);
    break;
  case WEFT_READ_UNTIL:
    CHECK(ready == model_find(end, read->size));
    CHECK(ready > 0);
    break;
  case WEFT_READ_PARSE:
    CHECK(end->parse_left == 0 && !end->parse_fails);
    return;
  default:
    CHECK(0);
  }
  model_take(end, ready);
}

/* A read has ended with `rc`. */
static void model_read_done(struct model_end *end, int rc) {
  const struct weft_read *read = &end->stream.read;
  struct model_end *peer = model_peer(end);
  if (rc == WEFT_ESTREAMCLOSED) {
    CHECK(end->is_closed);
    return;
  }
  model_is_in_order(end);
  if (rc == 0) {
    model_read_ok(end);
  } else if (rc == WEFT_EPROTOCOL) {
    CHECK(read->kind == WEFT_READ_PARSE && end->parse_left == 0);
    CHECK(end->parse_fails);
  } else if (rc == WEFT_ELIMIT && read->kind == WEFT_READ_ALL) {
    CHECK(model_in(end) > read->size);
  } else if (rc == WEFT_ELIMIT) {
    CHECK(read->kind == WEFT_READ_UNTIL && model_find(end, read->size) == 0);
    CHECK(peer->handed - end->got >= read->size);
  } else if (rc == UV_EOF && !end->may_break) {
    CHECK(peer->is_shut || peer->is_closed);
    CHECK(peer->is_dead || end->got + model_in(end) == peer->handed);
    if (read->kind == WEFT_READ_EXACTLY)
      CHECK(model_in(end) < read->size);
    if (read->kind == WEFT_READ_PARSE)
      CHECK(end->parse_left > 0 && model_in(end) < end->parse_step);
    model_take(end, model_in(end));
  } else {
    CHECK(end->may_break);
  }
}

/* A write has ended with `rc`: what it did not send never was. */
static void model_write_done(struct model_end *end, int rc) {
  const struct model_end *peer = model_peer(end);
  if (rc == 0) {
    CHECK(end->stream.write.count == 0);
    end->is_shut |= end->stream.write.is_shutdown;
    return;
  }
  end->is_dead = 1;
  CHECK(rc == WEFT_ESTREAMCLOSED ? end->is_closed
        : rc == UV_EPIPE         ? peer->is_closed || end->is_shut
                                 : end->may_break || rc == WEFT_EHALFSENT);
}

static void model_on_done(struct weft_stream *stream, enum weft_stream_op op) {
  struct model_end *end = WEFT_CONTAINER_OF(stream, struct model_end, stream);
  if (op == WEFT_OP_READ)
    model_read_done(end, stream->result[op]);
  else
    model_write_done(end, stream->result[op]);
}

/* --- operations ---------------------------------------------------------- */

static inline int model_is_pending(struct model_end *end,
                                   enum weft_stream_op op) {
  return (end->stream.pending & (1 << op)) != 0;
}

static void model_read(struct model_end *end, enum weft_read_kind kind,
                       size_t size, unsigned separator) {
  static const char *const separators[] = {"a", "ab", "aab", "abab", "bbbbbb"};
  struct weft_read *read = &end->stream.read;
  int rc;
  if (end->is_closed || model_is_pending(end, WEFT_OP_READ))
    return;
  read->kind = kind;
  read->size = size + (kind == WEFT_READ_SOME);
  read->scanned = 0;
  strcpy(read->separator, separators[separator % 5]);
  read->separator_size = strlen(read->separator);
  rc = weft_stream_read(&end->stream);
  if (rc != UV_EAGAIN)
    model_read_done(end, rc);
  else
    CHECK(model_is_pending(end, WEFT_OP_READ));
}

/* Reads by a parser that takes `count` steps: without waiting if `is_now`. */
static void model_parse(struct model_end *end, size_t count, unsigned how) {
  struct weft_read *read = &end->stream.read;
  int is_now = how & 1, rc;
  if (end->is_closed || model_is_pending(end, WEFT_OP_READ))
    return;
  end->parse_fails = (how >> 1) % 8 == 0;
  end->parse_step = 1 + (how >> 4) % 3;
  end->parse_left = count * end->parse_step;
  read->kind = WEFT_READ_PARSE;
  read->size = 0;
  read->want = end->parse_left;
  read->enough = model_enough;
  read->arg = end;
  if (is_now)
    rc = weft_stream_read_now(&end->stream);
  else
    rc = weft_stream_read(&end->stream);
  if (rc != UV_EAGAIN)
    model_read_done(end, rc);
  else
    CHECK(model_is_pending(end, WEFT_OP_READ) == !is_now);
}

/* Writes `count` strings of up to `most` bytes that depend on `seed`. */
static void model_write(struct model_end *end, unsigned count, unsigned most,
                        uint32_t seed, int is_shutdown) {
  struct weft_write *write = &end->stream.write;
  unsigned i;
  int rc;
  if (end->is_closed || end->is_dead || model_is_pending(end, WEFT_OP_WRITE))
    return;
  for (i = 0; i < count && i < MODEL_BUFS; i++) {
    size_t size = check_random(&seed) % (most + 1), k;
    if (size > MODEL_DATA - end->handed)
      size = MODEL_DATA - end->handed;
    end->bufs[i].base = end->out + end->handed;
    end->bufs[i].len = size;
    for (k = 0; k < size; k++)
      end->out[end->handed++] = check_random(&seed) % 4 == 0 ? 'a' : 'b';
  }
  write->bufs = end->bufs;
  write->count = i;
  write->is_shutdown = (uint8_t)is_shutdown;
  rc = weft_stream_write(&end->stream);
  if (rc != UV_EAGAIN)
    model_write_done(end, rc);
  else
    CHECK(model_is_pending(end, WEFT_OP_WRITE));
}

/* What was not sent of a write that is cancelled was never there. */
static void model_cancel(struct model_end *end, enum weft_stream_op op) {
  struct weft_write *write = &end->stream.write;
  size_t left = 0, i;
  if (end->is_closed || !model_is_pending(end, op))
    return;
  for (i = 0; op == WEFT_OP_WRITE && i < write->count; i++)
    left += write->bufs[i].len;
  weft_stream_cancel(&end->stream, op);
  CHECK(!model_is_pending(end, op));
  if (op == WEFT_OP_WRITE) {
    end->handed -= left;
    end->is_dead = write->sent > 0 || write->is_shutdown;
    CHECK((end->stream.out_error == WEFT_EHALFSENT) == end->is_dead ||
          end->may_break);
  }
}

static void model_close_end(struct model_end *end) {
  end->is_closed = 1;
  weft_stream_close(&end->stream);
  CHECK(end->stream.pending == 0);
}

static void model_fault(struct model_end *end, unsigned kind, uint64_t after) {
  static const int codes[] = {UV_EOF, UV_ECONNRESET, UV_ETIMEDOUT};
  struct weft_filter *bottom;
  if (end->is_closed)
    return;
  bottom = weft_pair_of(end->stream.top);
  CHECK(bottom != NULL);
  model.ends[0].may_break = model.ends[1].may_break = 1;
  weft_pair_fault(bottom, codes[kind % 3], after);
}

static void model_fail(unsigned allocation, unsigned alarms) {
  model.ends[0].may_break = model.ends[1].may_break = 1;
  model.mem.fail_after = allocation;
  model.alarms_fail = alarms;
}

static void model_pass(uint64_t ns) {
  int i, is_busy;
  model.now += ns;
  do {
    is_busy = 0;
    for (i = 0; i < 2; i++) {
      if (model.ends[i].alarm > model.now)
        continue;
      model.ends[i].alarm = WEFT_PAIR_NEVER;
      is_busy = 1;
      weft_pair_ring(model.pair, i);
    }
  } while (is_busy && !model.is_dropped);
}

/* --- the whole ----------------------------------------------------------- */

static void model_open(size_t capacity, uint64_t delay, const uint32_t *splits,
                       size_t nsplits) {
  struct weft_filter *tops[2];
  int i;
  memset(&model, 0, sizeof(model));
  model.clock.now = model_now;
  model.clock.alarm = model_alarm;
  model.clock.drop = model_drop;
  for (i = 0; i < 2; i++) {
    struct weft_pair_way way = {capacity, delay, splits, nsplits};
    model.ways[i] = way;
    model.ends[i].alarm = WEFT_PAIR_NEVER;
  }
  CHECK(weft_pair_new(&model.mem, &model.clock, model.ways, tops,
                      &model.pair) == 0);
  for (i = 0; i < 2; i++) {
    weft_stream_init(&model.ends[i].stream, tops[i]);
    model.ends[i].stream.on_done = model_on_done;
  }
}

static void model_may_wait(struct model_end *end) {
  struct model_end *peer = model_peer(end);
  const struct weft_read *read = &end->stream.read;
  size_t unread = peer->handed - end->got;
  if (model_is_pending(peer, WEFT_OP_WRITE)) { /* what is on its way is full */
    size_t i;
    for (i = 0; i < peer->stream.write.count; i++)
      unread -= peer->stream.write.bufs[i].len;
    CHECK(unread - model_in(end) == model.ways[0].capacity);
  }
  if (!model_is_pending(end, WEFT_OP_READ))
    return;
  CHECK(!peer->is_shut && !peer->is_closed);
  CHECK(model_in(end) == unread);
  if (read->kind == WEFT_READ_SOME)
    CHECK(unread == 0);
  else if (read->kind == WEFT_READ_PARSE)
    CHECK(end->parse_left > 0 && unread < end->parse_step);
  else if (read->kind == WEFT_READ_ALL)
    CHECK(unread <= read->size);
  else
    CHECK(unread < read->size);
  if (read->kind == WEFT_READ_UNTIL)
    CHECK(model_find(end, read->size) == 0);
}

/* When all that was on its way has arrived, who still waits has to. */
static void model_settle(void) {
  int i;
  model.mem.fail_after = 0;
  model.alarms_fail = 0;
  do
    model_pass(model.ways[0].delay + 1);
  while (!model.is_dropped && (model.ends[0].alarm != WEFT_PAIR_NEVER ||
                               model.ends[1].alarm != WEFT_PAIR_NEVER));
  for (i = 0; i < 2; i++) {
    struct model_end *end = &model.ends[i];
    if (end->may_break || end->is_closed || end->is_dead ||
        model_peer(end)->is_dead)
      continue;
    model_may_wait(end);
  }
}

static void model_close(void) {
  int i;
  for (i = 0; i < 2; i++)
    if (!model.ends[i].is_closed)
      model_close_end(&model.ends[i]);
  CHECK(model.is_dropped);
  CHECK(model.mem.blocks == 0 && model.mem.bytes == 0);
}

/* One operation of four bytes. */
static void model_operate(const uint8_t *four) {
  struct model_end *end = &model.ends[four[0] & 1];
  size_t size = four[1] | (size_t)four[2] << 8;
  switch ((four[0] >> 1) % 16) {
  case 0:
    model_read(end, WEFT_READ_SOME, size, 0);
    break;
  case 1:
    model_parse(end, size % 3000, four[3]);
    break;
  case 2:
    model_read(end, WEFT_READ_EXACTLY, size % 5000, 0);
    break;
  case 3:
  case 4:
    model_read(end, WEFT_READ_UNTIL, size % 300 + 1, four[3]);
    break;
  case 5:
    model_read(end, WEFT_READ_ALL, size, 0);
    break;
  case 6:
  case 7:
  case 8:
    model_write(end, four[1] % (MODEL_BUFS + 1), four[2], four[3] + 1u, 0);
    break;
  case 9:
    model_write(end, four[1] % 3, 4000, four[3] + 1u, 0);
    break;
  case 10:
    if (four[3] % 8 == 0)
      model_write(end, 0, 0, 1, 1);
    break;
  case 11:
    model_cancel(end, four[1] % 2 ? WEFT_OP_READ : WEFT_OP_WRITE);
    break;
  case 12:
    if (four[3] % 64 == 0)
      model_fault(end, four[1], four[2]);
    else if (four[3] % 64 == 1)
      model_fail(four[1] % 8, four[2] % 8);
    break;
  case 13:
    if (four[3] % 128 == 0)
      model_close_end(end);
    break;
  case 14:
    if (!model.is_dropped)
      model_pass(size);
    break;
  default:
    if (!model.is_dropped)
      model_settle();
  }
}

#endif
