/* SPDX-License-Identifier: MIT */
/*
 * net/stream.h: one operation at a time in each direction on a chain of
 * filters, tried again until it is done: connecting, reading and writing.
 *
 * Owns: the chain, the bytes received and not yet taken, and what is under way.
 * Knows no Lua and no tasks: whoever waits is told by a callback.
 * Invariants: nothing is read ahead of what was asked for beyond one block; an
 * operation that returned UV_EAGAIN calls back exactly once, unless it is
 * cancelled; its result is then in result[].
 */
#ifndef WEFT_NET_STREAM_H
#define WEFT_NET_STREAM_H

#include "base/buffer.h"
#include "net/filter.h"

enum weft_read_kind {
  WEFT_READ_SOME,    /* at least one byte, at most `size` */
  WEFT_READ_EXACTLY, /* `size` bytes */
  WEFT_READ_UNTIL,   /* up to and with a separator, `size` bytes at most */
  WEFT_READ_ALL,     /* up to the end of the stream, `size` bytes at most */
  WEFT_READ_PARSE    /* until `enough` says so */
};

struct weft_stream;

#define WEFT_SEPARATOR_MAX 64 /* what a delimiter can reasonably be */

struct weft_read {
  enum weft_read_kind kind;
  size_t size;
  size_t scanned; /* bytes in which the separator does not begin */
  size_t separator_size;
  char separator[WEFT_SEPARATOR_MAX];
  /* Looks at the bytes of stream->in (there may be none) and takes what it
   * wants: 0 when that is all, UV_EAGAIN when more must come, or an error. It
   * calls nothing else of the stream, and no Lua. */
  int (*enough)(struct weft_stream *stream, void *arg);
  void *arg;
  size_t want; /* bytes that it will surely need: room is made for them */
  /* An event may only end the operation, with UV_EAGAIN: who waits for it then
   * tries by weft_stream_read_now, so that what is received is used at once,
   * while it is in the processor's cache. */
  uint8_t is_deferred;
};

struct weft_write {
  uv_buf_t *bufs; /* not sent yet; borrowed until the write is done */
  unsigned count;
  size_t sent;         /* by this write, so far */
  uint8_t is_shutdown; /* when all is sent, or without anything: half close */
};

/* Indices of result[]; 1 << index is the enum weft_direction. */
enum weft_stream_op { WEFT_OP_CONNECT, WEFT_OP_READ, WEFT_OP_WRITE };

struct weft_stream {
  struct weft_filter *top; /* NULL once closed */
  struct weft_mem *mem;
  struct weft_buffer in;
  struct weft_read read;
  struct weft_write write;
  size_t ready; /* after a successful read: bytes of `in` that are its result */
  int in_error; /* what comes after `in`: 0, UV_EOF or why reading failed */
  int out_error; /* why nothing can be written any more */
  int result[3];
  uint8_t pending; /* set of enum weft_direction */
  /* An operation that was pending is done. Calls no function of the stream. */
  void (*on_done)(struct weft_stream *stream, enum weft_stream_op op);
};

/* Takes the chain over. */
void weft_stream_init(struct weft_stream *stream, struct weft_filter *top);

/* Puts a filter on top; what was read and not taken must be nothing. */
void weft_stream_push(struct weft_stream *stream, struct weft_filter *filter);

/* 0, UV_EAGAIN (on_done will come), or an error. */
int weft_stream_connect(struct weft_stream *stream);

/* stream->read says what. 0 once stream->ready bytes of stream->in are the
 * result; UV_EAGAIN; UV_EOF or another error, with what there is in stream->in:
 * for WEFT_READ_ALL, UV_EOF is success. WEFT_ELIMIT: more than `size`. */
int weft_stream_read(struct weft_stream *stream);

/* The same without waiting: after UV_EAGAIN nothing is pending. Not while a
 * read is. */
int weft_stream_read_now(struct weft_stream *stream);

/* Whether nothing has come that was not read, not even the end: of a stream
 * that nobody reads. Asks the system only if an event has come since the last
 * read. */
int weft_stream_is_quiet(struct weft_stream *stream);

/* Takes `size` bytes off the front of stream->in. */
void weft_stream_take(struct weft_stream *stream, size_t size);

/* stream->write says what. 0 once all is sent. */
int weft_stream_write(struct weft_stream *stream);

/* Stops an operation that is pending: on_done will not come for it. A write of
 * which a part may be sent leaves a stream to which nothing can be written. */
void weft_stream_cancel(struct weft_stream *stream, enum weft_stream_op op);

/* Destroys the chain; what is pending is done, with WEFT_ESTREAMCLOSED. */
void weft_stream_close(struct weft_stream *stream);

#endif
