/* SPDX-License-Identifier: MIT */
/*
 * proto/h1.h: HTTP/1 (RFC 9112): bytes in, events out; and requests out.
 *
 * Owns: the parser's fields and what of a line has come so far. Does no I/O.
 * Invariant: the events, the defects and the error are the same however the
 * bytes are split. What two readers could understand differently is refused;
 * what real servers get wrong without harm is accepted in responses, and said
 * in `defects`.
 */
#ifndef WEFT_PROTO_H1_H
#define WEFT_PROTO_H1_H

#include <llhttp.h>

#include "base/buffer.h"
#include "proto/fields.h"

#define WEFT_H1_START_LINE_MAX \
  ((size_t)16 * 1024)                /* long URLs are half of it */
#define WEFT_H1_INFORMATIONAL_MAX 16 /* a server that sends more is a trap */
#define WEFT_H1_CHUNK_LINE_MAX ((size_t)1024)      /* size and extensions */
#define WEFT_H1_EXTENSIONS_MAX ((size_t)16 * 1024) /* nobody reads them */

enum weft_h1_role { WEFT_H1_RESPONSES, WEFT_H1_REQUESTS };

/* What the request asked, which decides what the response means. */
enum weft_h1_asked {
  WEFT_H1_ASKED_HEAD = 1,
  WEFT_H1_ASKED_CONNECT = 2,
  WEFT_H1_ASKED_UPGRADE = 4
};

enum weft_h1_framing {
  WEFT_H1_NONE, /* no body */
  WEFT_H1_LENGTH,
  WEFT_H1_CHUNKED,
  WEFT_H1_UNTIL_CLOSE
};

/* X(bit, name, text) */
#define WEFT_H1_DEFECTS(X)                                                 \
  X(0, BARE_LF, "bare-lf")                   /* a line without its CR */   \
  X(1, OBS_FOLD, "obs-fold")                 /* a field on two lines */    \
  X(2, LEADING_LINE, "leading-line")         /* empty, before the start */ \
  X(3, NO_REASON, "no-reason")               /* nor the space before it */ \
  X(4, START_LINE_SPACE, "start-line-space") /* more than one */           \
  X(5, ODD_STATUS, "odd-status")             /* 600 to 999 */              \
  X(6, ODD_VERSION, "odd-version")           /* 1.2 to 1.9 */              \
  X(7, SPACE_BEFORE_COLON, "space-before-colon")                           \
  X(8, NO_COLON, "no-colon")               /* a line, which is left out */ \
  X(9, LENGTH_REPEATED, "length-repeated") /* the same each time */        \
  X(10, NO_BODY_HERE, "no-body-here")      /* framing of what has none */  \
  X(11, OLD_CHUNKED, "old-chunked")        /* in HTTP/1.0 */               \
  X(12, IDENTITY, "identity")              /* a coding of long ago */      \
  X(13, CHUNK_SPACE, "chunk-space")        /* after a chunk's size */      \
  X(14, TRAILER_FIELD, "trailer-field")    /* that has no effect there */  \
  X(15, NO_HOST, "no-host")                /* a request of HTTP/1.1 */

enum weft_h1_defect {
#define X(bit, name, text) WEFT_H1_##name = 1 << (bit),
  WEFT_H1_DEFECTS(X)
#undef X
};

#define WEFT_H1_DEFECTS_COUNT 16

enum weft_h1_type {
  WEFT_H1_MORE,          /* all bytes were taken: give it the next */
  WEFT_H1_INFORMATIONAL, /* a 1xx head; the response is still to come */
  WEFT_H1_HEAD,
  WEFT_H1_DATA, /* a piece of the body */
  WEFT_H1_END   /* of the message; bytes not taken are not of it */
};

struct weft_h1_event {
  enum weft_h1_type type;
  const char *data; /* of WEFT_H1_DATA: inside the bytes given, never empty */
  size_t size;
};

struct weft_h1_error {
  int code;         /* WEFT_EPROTOCOL, WEFT_ELIMIT, WEFT_ETRUNCATED, -ENOMEM */
  const char *what; /* static */
  uint64_t at; /* the byte of the message, from 0, or where its line began */
};

struct weft_h1_limits {
  size_t start_line;
  size_t head; /* of all lines of a head; again of the trailers */
  size_t chunk_line, extensions;
  unsigned informational;
};

struct weft_h1_text {
  const char *data;
  size_t size;
};

struct weft_h1 {
  /* Changeable after init, as is `fields.limits`, which is the trailers' too.
   */
  struct weft_h1_limits limits;

  /* The head, from its event until the next call of feed, begin or deinit. */
  unsigned status, major, minor;
  struct weft_h1_text reason;         /* of a response */
  struct weft_h1_text method, target; /* of a request */
  struct weft_fields fields;

  /* From the event of the head on. */
  enum weft_h1_framing framing;
  int64_t length;      /* as Content-Length says, also without a body; or -1 */
  unsigned keep_alive; /* may another message follow? */
  unsigned is_tunnel;  /* 101 or CONNECT: what follows is another protocol */
  unsigned is_coded;   /* codings beside chunked: see the fields */
  unsigned defects;    /* complete with the end */
  struct weft_fields trailers; /* from the end on */

  struct weft_h1_error error; /* of the last call that failed */
  uint64_t taken;             /* bytes of this message so far */

  /* The rest is the parser's own. */
  enum weft_h1_role role;
  unsigned asked, state, open, informational, is_eol_due;
  int callback_error;
  const char *eol;        /* in the input, just before what comes next */
  const char *start;      /* the first byte of the line in hand */
  uint64_t line_at, left; /* where the line began; of the body or chunk */
  size_t head_size, extensions;
  struct weft_mem *mem;
  struct weft_buffer held; /* a line that is not complete */
  char *start_line;
  size_t start_capacity;
  llhttp_t llhttp, primed;
};

/* Allocates nothing. `mem` must outlive the parser, which must not move. */
void weft_h1_init(struct weft_h1 *h1, enum weft_h1_role role,
                  struct weft_mem *mem);
void weft_h1_deinit(struct weft_h1 *h1);

/* Makes it ready for the next message; `asked` is a set of enum weft_h1_asked,
 * 0 for requests. */
void weft_h1_begin(struct weft_h1 *h1, unsigned asked);

/* Parses up to the next event and returns how many bytes that took, or the
 * error's code, after which only begin and deinit may be called. Call it until
 * the event is MORE or END, with no bytes if none are left: an end needs none.
 * Neither keeps `data` nor calls back. */
ptrdiff_t weft_h1_feed(struct weft_h1 *h1, const char *data, size_t size,
                       struct weft_h1_event *event);

/* The peer will send no more: 0 if that ends the message (or it had ended), and
 * WEFT_ETRUNCATED if it does not; `taken` tells whether it had begun. */
int weft_h1_finish(struct weft_h1 *h1);

/* The name of a defect by the number of its bit. */
const char *weft_h1_defect_name(unsigned bit);

/* ---- Writing ------------------------------------------------------------- */

struct weft_h1_request {
  struct weft_h1_text method, target;
  const struct weft_fields *fields; /* one Host among them */
  enum weft_h1_framing framing;     /* NONE, LENGTH or CHUNKED */
  uint64_t length;
};

/* Adds a request's head to the end of `out`. The framing is written from the
 * request: a Content-Length among the fields must be the same, and there must
 * be no Transfer-Encoding. WEFT_EMESSAGE or WEFT_EFIELD with the reason in
 * *what (static), or -ENOMEM; then nothing was added. */
int weft_h1_write_head(struct weft_buffer *out, struct weft_mem *mem,
                       const struct weft_h1_request *request,
                       const char **what);

/* What goes before the data of a chunk, `size` being above 0, and behind it. */
int weft_h1_write_chunk_head(struct weft_buffer *out, struct weft_mem *mem,
                             size_t size);
int weft_h1_write_chunk_tail(struct weft_buffer *out, struct weft_mem *mem);

/* The end of a chunked body, with `trailers` unless NULL: fields about framing,
 * routing, credentials and the content's form are WEFT_EFIELD there. */
int weft_h1_write_end(struct weft_buffer *out, struct weft_mem *mem,
                      const struct weft_fields *trailers, const char **what);

#endif
