/* SPDX-License-Identifier: MIT */
/*
 * net/stream.c: see stream.h.
 * Each operation is a function that tries; the first try is in the call, the
 * next ones come from the bottom's events.
 */
#include "net/stream.h"

#include <string.h>

#include "base/err.h"

/* One read from the bottom: large enough to empty a busy socket at one go, and
 * small enough that thousands of streams may have one each. */
#define BLOCK WEFT_BLOCK

/* Reads in a row for one stream, before the others have their turn. */
#define READS_MAX 16

static int try_connect(struct weft_stream *stream) {
  return weft_filter_connect(stream->top);
}

/* --- reading ------------------------------------------------------------- */

static size_t least(size_t a, size_t b) {
  return a < b ? a : b;
}

/* Is the separator there? Then stream->ready is all up to its end. */
static int find_separator(struct weft_stream *stream) {
  struct weft_read *read = &stream->read;
  const char *data, *found;
  size_t size = weft_buffer_size(&stream->in);
  if (size < read->separator_size)
    return 0;
  data = weft_buffer_data(&stream->in);
  found = memmem(data + read->scanned, size - read->scanned, read->separator,
                 read->separator_size);
  if (found == NULL) {
    read->scanned = size - read->separator_size + 1;
    return 0;
  }
  stream->ready = (size_t)(found - data) + read->separator_size;
  return 1;
}

/* 0 when what is there is enough, UV_EAGAIN when there must be more. */
static int look(struct weft_stream *stream) {
  const struct weft_read *read = &stream->read;
  size_t size = weft_buffer_size(&stream->in);
  stream->ready = least(size, read->size);
  switch (read->kind) {
  case WEFT_READ_SOME:
    return size > 0 ? 0 : UV_EAGAIN;
  case WEFT_READ_EXACTLY:
    return size >= read->size ? 0 : UV_EAGAIN;
  case WEFT_READ_UNTIL:
    if (find_separator(stream))
      return stream->ready <= read->size ? 0 : WEFT_ELIMIT;
    return size >= read->size ? WEFT_ELIMIT : UV_EAGAIN;
  case WEFT_READ_PARSE:
    return read->enough(stream, read->arg);
  default:
    return size > read->size ? WEFT_ELIMIT : UV_EAGAIN;
  }
}

/* How many bytes to make room for: to a read of many more than a block holds,
 * it all goes into one that grows once. */
static size_t block_size(const struct weft_stream *stream) {
  const struct weft_read *read = &stream->read;
  size_t used = weft_buffer_size(&stream->in);
  if (read->kind == WEFT_READ_EXACTLY && read->size - used > BLOCK)
    return least(read->size - used, used + BLOCK);
  if (read->kind == WEFT_READ_PARSE && read->want > used &&
      read->want - used > BLOCK)
    return least(read->want - used, used + BLOCK);
  return used == 0 ? BLOCK : BLOCK / 4;
}

/* Reads once. 1: there may be more at once; 0: there is not. */
static int fill(struct weft_stream *stream) {
  size_t room, want = block_size(stream);
  ssize_t n;
  char *at = weft_buffer_reserve(&stream->in, stream->mem, want, &room);
  if (at == NULL) {
    stream->in_error = UV_ENOMEM;
    return 1;
  }
  if (stream->read.kind == WEFT_READ_SOME)
    room = least(room, stream->read.size);
  n = weft_filter_recv(stream->top, at, room);
  if (n > 0)
    weft_buffer_add(&stream->in, (size_t)n);
  else
    weft_buffer_take(&stream->in, stream->mem, 0); /* no block for nothing */
  if (n < 0 && n != UV_EAGAIN)
    stream->in_error = (int)n;
  return n != UV_EAGAIN;
}

static int try_read(struct weft_stream *stream) {
  int i, rc;
  for (i = 0; i < READS_MAX; i++) {
    rc = look(stream);
    if (rc != UV_EAGAIN)
      return rc;
    if (stream->in_error != 0)
      return stream->in_error;
    if (!fill(stream))
      return UV_EAGAIN;
    if (stream->in_error == UV_ENOMEM) {
      stream->in_error = 0;
      return UV_ENOMEM;
    }
  }
  return look(stream);
}

/* --- writing ------------------------------------------------------------- */

static void advance(struct weft_write *write, size_t n) {
  write->sent += n;
  while (write->count > 0 && n >= write->bufs->len) {
    n -= write->bufs->len;
    write->bufs++;
    write->count--;
  }
  if (n > 0) {
    write->bufs->base += n;
    write->bufs->len -= n;
  }
}

static int try_write(struct weft_stream *stream) {
  struct weft_write *write = &stream->write;
  advance(write, 0); /* over empty ones */
  while (write->count > 0) {
    ssize_t n = weft_filter_send(stream->top, write->bufs, write->count);
    if (n < 0)
      return (int)n;
    advance(write, (size_t)n);
  }
  return write->is_shutdown ? weft_filter_shutdown(stream->top) : 0;
}

/* --- trying again -------------------------------------------------------- */

static int try_op(struct weft_stream *stream, enum weft_stream_op op) {
  int rc = op == WEFT_OP_CONNECT ? try_connect(stream)
           : op == WEFT_OP_READ  ? try_read(stream)
                                 : try_write(stream);
  if (op == WEFT_OP_WRITE && rc < 0 && rc != UV_EAGAIN)
    stream->out_error = rc;
  return rc;
}

static int arm(struct weft_stream *stream) {
  int op, events = 0;
  for (op = WEFT_OP_CONNECT; op <= WEFT_OP_WRITE; op++)
    if (stream->pending & (1 << op))
      events |= weft_filter_needs(stream->top, (enum weft_direction)(1 << op));
  return weft_filter_want(stream->top, events);
}

static void finish(struct weft_stream *stream, enum weft_stream_op op, int rc) {
  stream->pending &= (uint8_t) ~(1 << op);
  stream->result[op] = rc;
  stream->on_done(stream, op);
}

static void finish_all(struct weft_stream *stream, int rc) {
  int op;
  if ((stream->pending & WEFT_WRITE) && stream->out_error == 0)
    stream->out_error = rc; /* a part of it may be sent */
  for (op = WEFT_OP_CONNECT; op <= WEFT_OP_WRITE; op++)
    if (stream->pending & (1 << op))
      finish(stream, (enum weft_stream_op)op, rc);
}

/* Not while something is being sent: of what breaks both, the system tells only
 * one, and it must be the read. */
static int is_deferred(const struct weft_stream *stream) {
  return stream->pending == WEFT_READ && stream->read.kind == WEFT_READ_PARSE &&
         stream->read.is_deferred;
}

/* With TLS a read may wait for writing and the other way round, so each that is
 * pending is tried. */
static void on_ready(void *listener, int events) {
  struct weft_stream *stream = listener;
  int op, rc;
  (void)events;
  if (is_deferred(stream)) {
    finish(stream, WEFT_OP_READ, UV_EAGAIN);
    return;
  }
  for (op = WEFT_OP_CONNECT; op <= WEFT_OP_WRITE; op++) {
    if (!(stream->pending & (1 << op)))
      continue;
    rc = try_op(stream, (enum weft_stream_op)op);
    if (rc != UV_EAGAIN)
      finish(stream, (enum weft_stream_op)op, rc);
  }
  if (stream->pending != 0 && (rc = arm(stream)) != 0)
    finish_all(stream, rc);
}

/* The first try. */
static int start(struct weft_stream *stream, enum weft_stream_op op) {
  int rc = try_op(stream, op);
  if (rc != UV_EAGAIN)
    return rc;
  stream->pending |= (uint8_t)(1 << op);
  rc = arm(stream);
  if (rc == 0)
    return UV_EAGAIN;
  stream->pending &= (uint8_t) ~(1 << op);
  if (op == WEFT_OP_WRITE)
    stream->out_error = rc;
  return rc;
}

/* --- the interface ------------------------------------------------------- */

static void listen_to(struct weft_stream *stream) {
  struct weft_bottom *bottom = weft_filter_bottom(stream->top);
  bottom->on_ready = on_ready;
  bottom->listener = stream;
}

void weft_stream_init(struct weft_stream *stream, struct weft_filter *top) {
  memset(stream, 0, sizeof(*stream));
  stream->top = top;
  stream->mem = top->mem;
  listen_to(stream);
}

void weft_stream_push(struct weft_stream *stream, struct weft_filter *filter) {
  filter->below = stream->top;
  stream->top = filter;
}

int weft_stream_connect(struct weft_stream *stream) {
  return start(stream, WEFT_OP_CONNECT);
}

int weft_stream_read(struct weft_stream *stream) {
  return start(stream, WEFT_OP_READ);
}

/* The event is wanted all the same, as the bottom may give nothing before it
 * has come; it finds nothing pending. */
int weft_stream_read_now(struct weft_stream *stream) {
  int rc = try_op(stream, WEFT_OP_READ), armed;
  if (rc != UV_EAGAIN)
    return rc;
  stream->pending |= WEFT_READ;
  armed = arm(stream);
  stream->pending &= (uint8_t)~WEFT_READ;
  return armed == 0 ? UV_EAGAIN : armed;
}

int weft_stream_is_quiet(struct weft_stream *stream) {
  struct weft_filter *top = stream->top;
  struct weft_filter *bottom = &weft_filter_bottom(top)->filter;
  if (weft_buffer_size(&stream->in) > 0 || stream->in_error != 0)
    return 0;
  if (bottom->cls->is_quiet != NULL && bottom->cls->is_quiet(bottom) &&
      bottom == top)
    return 1;
  stream->read.kind = WEFT_READ_SOME;
  stream->read.size = BLOCK;
  (void)fill(stream);
  return weft_buffer_size(&stream->in) == 0 && stream->in_error == 0;
}

void weft_stream_take(struct weft_stream *stream, size_t size) {
  weft_buffer_take(&stream->in, stream->mem, size);
}

int weft_stream_write(struct weft_stream *stream) {
  if (stream->out_error != 0)
    return stream->out_error;
  stream->write.sent = 0;
  return start(stream, WEFT_OP_WRITE);
}

/* Above a socket bytes may be in a record that is half sent. */
static int may_be_half_sent(const struct weft_stream *stream) {
  return stream->write.sent > 0 || stream->write.is_shutdown ||
         stream->top->below != NULL;
}

void weft_stream_cancel(struct weft_stream *stream, enum weft_stream_op op) {
  int rc;
  if (!(stream->pending & (1 << op)))
    return;
  stream->pending &= (uint8_t) ~(1 << op);
  if (op == WEFT_OP_WRITE && may_be_half_sent(stream))
    stream->out_error = WEFT_EHALFSENT;
  rc = arm(stream);
  if (rc != 0)
    finish_all(stream, rc);
}

void weft_stream_close(struct weft_stream *stream) {
  struct weft_filter *top = stream->top;
  if (top == NULL)
    return;
  stream->top = NULL;
  weft_filter_destroy(top);
  weft_buffer_deinit(&stream->in, stream->mem);
  stream->in_error = stream->out_error = WEFT_ESTREAMCLOSED;
  finish_all(stream, WEFT_ESTREAMCLOSED);
}
