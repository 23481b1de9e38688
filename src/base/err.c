/* SPDX-License-Identifier: MIT */
/*
 * base/err.c: look-ups in the table of err.h.
 * The table is constant; nothing here allocates or fails.
 */
#include "base/err.h"

#include <stddef.h>

struct entry {
  const char *name, *kind, *message;
};

static const struct entry entries[] = {
#define X(offset, name, kind, message) {#name, kind, message},
    WEFT_ERRORS(X)
#undef X
};

static const struct entry *find(int code) {
  size_t i;
  if (code > -20000)
    return NULL;
  i = (size_t)(-20000 - code);
  if (i >= sizeof(entries) / sizeof(entries[0]))
    return NULL;
  return &entries[i];
}

const char *weft_err_name(int code) {
  const struct entry *e = find(code);
  return e != NULL ? e->name : NULL;
}

const char *weft_err_kind(int code) {
  const struct entry *e = find(code);
  return e != NULL ? e->kind : NULL;
}

const char *weft_err_message(int code) {
  const struct entry *e = find(code);
  return e != NULL ? e->message : NULL;
}
