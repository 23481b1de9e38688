/* SPDX-License-Identifier: MIT */
/*
 * proto/fields.h: header fields: an ordered multimap from names, which are
 * compared without regard to case but keep their spelling, to values.
 *
 * Owns: one block of memory, none while it is empty. Knows libc only.
 * Invariant: what went in through weft_fields_add or weft_fields_set can be
 * written to a peer: no byte of it ends a field or a line.
 *
 * Pointers to names and values are valid until the fields are changed next, and
 * those passed in must not be such pointers.
 */
#ifndef WEFT_PROTO_FIELDS_H
#define WEFT_PROTO_FIELDS_H

#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"

/* No site needs more; what browsers and servers accept is of this size. */
#define WEFT_FIELDS_COUNT_MAX 256
#define WEFT_FIELDS_FIELD_MAX ((size_t)32 * 1024)  /* name and value */
#define WEFT_FIELDS_TOTAL_MAX ((size_t)128 * 1024) /* names and values */

struct weft_fields_limits {
  size_t count, field, total;
};

struct weft_fields {
  struct weft_mem *mem;
  struct weft_fields_limits limits; /* the three above, unless changed */
  char *block;           /* texts from the front, entries at the end */
  size_t capacity, used; /* bytes; of texts, dead ones too */
  size_t count, live;    /* fields; bytes of their texts */
  uint8_t is_received;   /* by weft_fields_open: not checked for sending */
};

struct weft_field {
  const char *name, *value; /* not terminated */
  size_t name_size, value_size;
};

/* `mem` must outlive the fields. Allocates nothing. */
void weft_fields_init(struct weft_fields *fields, struct weft_mem *mem);
void weft_fields_deinit(struct weft_fields *fields);

/* Removes all; a block of ordinary size is kept for the next. */
void weft_fields_clear(struct weft_fields *fields);

/* 0 when it is a token (RFC 9110), or WEFT_EFIELD. */
int weft_fields_check_name(const char *name, size_t size);

/* 0 when there is no control character in it but tabs, and no space or tab at
 * its ends; else WEFT_EFIELD. An empty one is fine. */
int weft_fields_check_value(const char *value, size_t size);

/* Adds a field at the end. WEFT_EFIELD for a name or value that cannot be
 * sent, WEFT_ELIMIT, -ENOMEM; then all is as it was. */
int weft_fields_add(struct weft_fields *fields, const char *name,
                    size_t name_size, const char *value, size_t value_size);

/* Makes it the only field of its name, in the place of the first such or at the
 * end. Errors as weft_fields_add. */
int weft_fields_set(struct weft_fields *fields, const char *name,
                    size_t name_size, const char *value, size_t value_size);

/* Makes `to`, which is empty, a copy, whatever its limits. 0 or -ENOMEM. */
int weft_fields_copy(struct weft_fields *to, const struct weft_fields *from);

/* Removes all fields of the name; returns how many there were. */
size_t weft_fields_remove(struct weft_fields *fields, const char *name,
                          size_t name_size);

/* The index of the first field of the name at `from` or after it; the count of
 * the fields when there is none. */
size_t weft_fields_find(const struct weft_fields *fields, const char *name,
                        size_t name_size, size_t from);

/* The field at an index below the count. */
struct weft_field weft_fields_at(const struct weft_fields *fields, size_t i);

/* The first field of the name into *field: 1, or 0 when there is none. */
int weft_fields_get(const struct weft_fields *fields, const char *name,
                    size_t name_size, struct weft_field *field);

/* For parsers, which have checked the bytes: adds a field without a value, puts
 * bytes to the end of the value of the field added last, and takes spaces and
 * tabs off that end. WEFT_ELIMIT, -ENOMEM; then all is as it was. */
int weft_fields_open(struct weft_fields *fields, const char *name, size_t size);
int weft_fields_extend(struct weft_fields *fields, const char *value,
                       size_t size);
void weft_fields_trim(struct weft_fields *fields);

#endif
