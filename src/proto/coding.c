/* SPDX-License-Identifier: MIT */
/*
 * proto/coding.c: the stack of codings and its limits.
 *
 * Owns: struct weft_coding. It must not know how any coding is decoded. What
 * stage 0 gives is the input of stage 1, and so on; the last gives the body.
 * Every stage's output is held to the limits: between two stages, too, a bomb
 * would cost time.
 */
#include "proto/coding.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "base/err.h"

#define BETWEEN ((size_t)16 * 1024) /* bytes of a buffer between two stages */

struct stage {
  const struct weft_coding_class *class;
  void *state;
  const unsigned char *in; /* of the caller's, or of `buffer` */
  size_t in_left;
  uint64_t in_total, out_total;
  int is_end;            /* whether the body may end here */
  unsigned char *buffer; /* what the stage before gave; NULL: it is the first */
};

struct weft_coding {
  struct weft_mem *mem;
  struct weft_coding_limits limits;
  size_t count;
  int failed; /* 0, or what the last read returned */
  struct stage stages[WEFT_CODINGS_MAX];
};

static const struct {
  const char *name;
  const struct weft_coding_class *class; /* NULL: nothing to do */
} known[] = {
    {"gzip", &weft_coding_gzip},       {"x-gzip", &weft_coding_gzip},
    {"deflate", &weft_coding_deflate}, {"identity", NULL},
#ifdef WEFT_WITH_BROTLI
    {"br", &weft_coding_brotli},
#endif
#ifdef WEFT_WITH_ZSTD
    {"zstd", &weft_coding_zstd},
#endif
};

const char *weft_coding_names(void) {
  return "gzip, deflate"
#ifdef WEFT_WITH_BROTLI
         ", br"
#endif
#ifdef WEFT_WITH_ZSTD
         ", zstd"
#endif
      ;
}

static int add_stage(struct weft_coding *coding,
                     const struct weft_coding_class *class) {
  struct stage *stage = &coding->stages[coding->count];
  if (coding->count == WEFT_CODINGS_MAX)
    return WEFT_ELIMIT;
  if (coding->count > 0) {
    stage->buffer = weft_malloc(coding->mem, BETWEEN);
    if (stage->buffer == NULL)
      return -ENOMEM;
  }
  stage->class = class;
  coding->count++;
  stage->state = class->open(coding->mem);
  return stage->state != NULL ? 0 : -ENOMEM;
}

/* The coding of this name, which may be empty. */
static int add_name(struct weft_coding *coding, const char *name, size_t size) {
  size_t i;
  if (size == 0)
    return 0;
  for (i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
    if (strlen(known[i].name) == size &&
        strncasecmp(known[i].name, name, size) == 0)
      return known[i].class != NULL ? add_stage(coding, known[i].class) : 0;
  }
  return WEFT_ECODING;
}

static int is_blank(char c) {
  return c == ' ' || c == '\t';
}

/* The names from the last to the first: what was applied last goes first. */
static int add_names(struct weft_coding *coding, const char *names,
                     size_t size) {
  int rc = 0;
  while (rc == 0 && size > 0) {
    size_t end = size, start;
    while (end > 0 && is_blank(names[end - 1]))
      end--;
    for (start = end; start > 0 && names[start - 1] != ','; start--)
      ;
    size = start > 0 ? start - 1 : 0;
    while (start < end && is_blank(names[start]))
      start++;
    rc = add_name(coding, names + start, end - start);
  }
  return rc;
}

int weft_coding_open(struct weft_coding **coding, struct weft_mem *mem,
                     const char *names, size_t size,
                     const struct weft_coding_limits *limits) {
  struct weft_coding *opened = weft_calloc(mem, sizeof(*opened));
  int rc;
  *coding = NULL;
  if (opened == NULL)
    return -ENOMEM;
  opened->mem = mem;
  opened->limits = *limits;
  rc = add_names(opened, names, size);
  if (rc != 0 || opened->count == 0)
    weft_coding_close(opened);
  else
    *coding = opened;
  return rc;
}

void weft_coding_close(struct weft_coding *coding) {
  size_t i;
  if (coding == NULL)
    return;
  for (i = 0; i < WEFT_CODINGS_MAX; i++) {
    struct stage *stage = &coding->stages[i];
    if (stage->state != NULL)
      stage->class->close(stage->state, coding->mem);
    weft_free(coding->mem, stage->buffer);
  }
  weft_free(coding->mem, coding);
}

void weft_coding_feed(struct weft_coding *coding, const char *data,
                      size_t size) {
  coding->stages[0].in = (const unsigned char *)data;
  coding->stages[0].in_left = size;
}

static int is_too_much(const struct weft_coding *coding, uint64_t out) {
  const struct weft_coding_limits *limits = &coding->limits;
  if (limits->max != 0 && out > limits->max)
    return 1;
  return limits->ratio != 0 && out > WEFT_CODING_FREE &&
         out / limits->ratio > coding->stages[0].in_total;
}

/* One step of a stage; returns how much it gave, or an error. */
static ssize_t step(struct weft_coding *coding, struct stage *stage,
                    unsigned char *data, size_t size) {
  struct weft_coding_step io = {stage->in, stage->in_left, data, size};
  int rc = stage->class->step(stage->state, &io);
  stage->in_total += stage->in_left - io.in_left;
  stage->out_total += size - io.out_left;
  if (rc < 0)
    return rc;
  if (is_too_much(coding, stage->out_total))
    return WEFT_EEXPANSION;
  if (io.in_left == stage->in_left && io.in_left > 0 && io.out_left == size)
    return WEFT_EDECODE; /* neither used nor gave anything */
  stage->is_end = rc == WEFT_CODING_END;
  stage->in = io.in;
  stage->in_left = io.in_left;
  return (ssize_t)(size - io.out_left);
}

static ssize_t stage_read(struct weft_coding *coding, size_t i,
                          unsigned char *data, size_t size) {
  struct stage *stage = &coding->stages[i];
  for (;;) {
    ssize_t n;
    int is_starved;
    if (stage->in_left == 0 && i > 0) {
      n = stage_read(coding, i - 1, stage->buffer, BETWEEN);
      if (n < 0)
        return n;
      stage->in = stage->buffer;
      stage->in_left = (size_t)n;
    }
    is_starved = stage->in_left == 0;
    n = step(coding, stage, data, size);
    if (n != 0 || is_starved)
      return n;
  }
}

ssize_t weft_coding_read(struct weft_coding *coding, char *data, size_t size) {
  ssize_t n;
  if (coding->failed != 0)
    return coding->failed;
  n = stage_read(coding, coding->count - 1, (unsigned char *)data, size);
  if (n < 0)
    coding->failed = (int)n;
  return n;
}

int weft_coding_finish(const struct weft_coding *coding) {
  size_t i;
  for (i = 0; i < coding->count; i++) {
    const struct stage *stage = &coding->stages[i];
    if (!stage->is_end && stage->in_total > 0)
      return WEFT_ECODINGCUT;
  }
  return coding->failed;
}
