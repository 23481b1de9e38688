/* SPDX-License-Identifier: MIT */
/*
 * bind/l_h1.h: the userdata of an HTTP/1 connection of a client, for the files
 * that make it up: l_h1.c (its life, heads in), l_h1_send.c and l_h1_body.c.
 *
 * Owns: struct l_h1: the parser, what is being sent, the codings of the body in
 * hand, what of it was decoded and not handed out.
 * Invariants: what was taken from the stream is in `body` or was handed out; a
 * wait that is broken off loses nothing; while the codings have input, nothing
 * is read into the stream, where that input lies.
 */
#ifndef WEFT_BIND_L_H1_H
#define WEFT_BIND_L_H1_H

#include "bind/l_stream.h"
#include "proto/coding.h"
#include "proto/h1.h"

#define WEFT_H1_BUFS 8 /* pieces of one write that need no allocation */

/* Defects that are not the parser's, from its last bit on. */
#define WEFT_H1_UNKNOWN_CODING (1u << WEFT_H1_DEFECTS_COUNT)
#define WEFT_H1_UNCLEAN_CLOSE (2u << WEFT_H1_DEFECTS_COUNT)

enum l_h1_state {
  L_H1_IDLE,
  L_H1_HEAD, /* a request was begun: the head of its response is due */
  L_H1_BODY,
  L_H1_ENDED,  /* the message has */
  L_H1_TUNNEL, /* it has, and what follows is another protocol */
  L_H1_FAILED  /* error, or detached */
};

struct l_h1 {
  struct weft_h1 h1;
  struct l_stream *s; /* kept by the userdata's table */
  struct weft_mem *mem;
  struct weft_loop *loop;

  struct weft_buffer out;         /* a head or what frames a chunk */
  uv_buf_t bufs[WEFT_H1_BUFS];    /* what is being sent */
  uv_buf_t *more_bufs;            /* owned; in their place */
  uint64_t sent, received, begun; /* bytes; begun: `received` at the request */
  uint64_t seen;                  /* bytes received, taken or not */
  uint64_t active_at;             /* ns: when bytes moved last */
  size_t noticed;                 /* bytes of the write that counted as that */
  uint8_t has_write;              /* stream.write is of this connection */
  uint8_t has_pin;                /* the table keeps what is being sent */
  uint8_t is_chunked;             /* the request's body */
  uint8_t says_close;             /* the request: it is the last one */

  uint8_t state;         /* enum l_h1_state */
  uint8_t may_decode;    /* take off what Content-Encoding says */
  uint8_t wants_interim; /* stop at informational responses */
  uint8_t interim;       /* the head in hand is one */
  unsigned defects;      /* beside the parser's */

  struct weft_coding *coding;
  size_t fed;              /* bytes at the front of stream.in that it has */
  struct weft_buffer body; /* decoded, not handed out */
  uint64_t raw, decoded;   /* bytes of the body so far, handed out or not */
  uint64_t max_body;       /* of them; 0: any number */
  size_t want;             /* what the read in hand asks for */

  int failed; /* 0, or the code of what ended it */
  const char *what;
  uint64_t at;
};

enum { L_H1_PIN_STREAM = 1, L_H1_PIN_BODY }; /* in the userdata's table */

static inline int weft_h1_is_open(const struct l_h1 *c) {
  return c->s->stream.top != NULL && c->state != L_H1_FAILED;
}

/* The connection at index 1; raises `type`; `state` in another loop. */
struct l_h1 *weft_h1_check(lua_State *L);

/* Takes bytes off the front of what was received. */
void weft_h1_take(struct l_h1 *c, size_t size);

/* Bytes have moved. */
static inline void weft_h1_touch(struct l_h1 *c) {
  c->active_at = c->loop->now;
}

/* The same if there are more of them than when it was last called. */
static inline void weft_h1_notice(struct l_h1 *c) {
  uint64_t all = c->received + weft_buffer_size(&c->s->stream.in);
  if (all != c->seen)
    weft_h1_touch(c);
  c->seen = all;
}

/* Keeps what went wrong; returns the code. `what` is static or NULL. */
int weft_h1_failed(struct l_h1 *c, int code, const char *what);

/* The same for an error of the parser. */
int weft_h1_parse_failed(struct l_h1 *c);

/* The end of the stream, or its failure `rc`: 0 if that ends the message. */
int weft_h1_on_stream_end(struct l_h1 *c, int rc);

/* Pushes true nil code what at: how it has failed. Returns 5. [-0, +5, m] */
int weft_h1_push_failure(lua_State *L, const struct l_h1 *c);

/* Reads until `enough` says so: `cls` is what the task parks on meanwhile,
 * `push` what makes the results, also when it needs no wait. To be returned. */
int weft_h1_read(lua_State *L, struct l_h1 *c,
                 int (*enough)(struct weft_stream *stream, void *arg),
                 size_t want, const struct weft_op_class *cls,
                 int (*push)(lua_State *L, struct l_h1 *c, int rc));

/* The read that `task` waited for is done, with this result. */
int weft_h1_read_result(struct weft_task *task);

/* Breaks that read off. */
void weft_h1_abort_read(struct weft_task *task);

/* ---- Sending (l_h1_send.c) ----------------------------------------------- */

/* Whether a write is under way. */
int weft_h1_is_writing(const struct l_h1 *c);

/* Accounts for a write that is over. */
void weft_h1_settle_write(struct l_h1 *c);

/* Lets go of what was sent, of the connection at index 1. [-0, +0, -] */
void weft_h1_unpin(lua_State *L, struct l_h1 *c);

void weft_h1_free_bufs(struct l_h1 *c);

/* ---- The body (l_h1_body.c) ---------------------------------------------- */

/* The head is in: opens the codings. */
void weft_h1_body_begin(struct l_h1 *c);

/* Pushes the whole body if all of it is there already, small and sound: returns
 * 1, or 0 having pushed nothing. [-0, +0|1, m] */
int weft_h1_body_push_whole(lua_State *L, struct l_h1 *c);

/* Drops what is left of the body's state. */
void weft_h1_body_drop(struct l_h1 *c);

#endif
