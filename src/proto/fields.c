/* SPDX-License-Identifier: MIT */
/*
 * proto/fields.c: see fields.h. Texts (name, then value) are appended; entries
 * of 16 bytes grow towards them from the end of the block. A look-up compares
 * the entries' hashes in a row, which for the numbers that occur is faster than
 * a table, and bounded by the limit on their count. Texts that no entry means
 * any more go when the block grows.
 */
#include "proto/fields.h"

#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "proto/chars.h"

#define BLOCK_MIN ((size_t)1024)      /* an ordinary head, without growing */
#define BLOCK_KEPT ((size_t)8 * 1024) /* by weft_fields_clear */

struct entry {
  uint32_t at, name_size, value_size, hash;
};

static struct entry *entry_at(const struct weft_fields *fields, size_t i) {
  char *end = fields->block + fields->capacity;
  return (struct entry *)(void *)end - 1 - i;
}

/* Made of the length and four letters: it is to tell the names of one head
 * apart, nothing more. */
static uint32_t hash_of(const char *name, size_t size) {
  const unsigned char *s = (const unsigned char *)name;
  uint32_t hash = (uint32_t)size;
  if (size == 0)
    return 0;
  hash = hash * 31 + weft_lower(s[0]);
  hash = hash * 31 + weft_lower(s[size / 3]);
  hash = hash * 31 + weft_lower(s[size / 2]);
  return hash * 31 + weft_lower(s[size - 1]);
}

void weft_fields_init(struct weft_fields *fields, struct weft_mem *mem) {
  memset(fields, 0, sizeof(*fields));
  fields->mem = mem;
  fields->limits.count = WEFT_FIELDS_COUNT_MAX;
  fields->limits.field = WEFT_FIELDS_FIELD_MAX;
  fields->limits.total = WEFT_FIELDS_TOTAL_MAX;
}

void weft_fields_deinit(struct weft_fields *fields) {
  weft_free(fields->mem, fields->block);
  fields->block = NULL;
  fields->capacity = fields->used = fields->count = fields->live = 0;
  fields->is_received = 0;
}

void weft_fields_clear(struct weft_fields *fields) {
  if (fields->capacity > BLOCK_KEPT)
    weft_fields_deinit(fields);
  fields->used = fields->count = fields->live = 0;
  fields->is_received = 0;
}

int weft_fields_check_name(const char *name, size_t size) {
  size_t i;
  for (i = 0; i < size; i++)
    if (!weft_is_token(name[i]))
      return WEFT_EFIELD;
  return size > 0 ? 0 : WEFT_EFIELD;
}

int weft_fields_check_value(const char *value, size_t size) {
  size_t i;
  if (size > 0 && (weft_is_blank(value[0]) || weft_is_blank(value[size - 1])))
    return WEFT_EFIELD;
  for (i = 0; i < size; i++)
    if (!weft_is_text(value[i]))
      return WEFT_EFIELD;
  return 0;
}

/* Copies what is alive into a block with room for `need` more bytes. */
static int rebuild(struct weft_fields *fields, size_t need) {
  size_t entries = fields->count * sizeof(struct entry), i;
  size_t wanted = fields->live + entries + need, capacity = BLOCK_MIN;
  struct weft_fields old = *fields;
  char *block;
  while (capacity < wanted)
    capacity *= 2;
  block = weft_malloc(fields->mem, capacity);
  if (block == NULL)
    return -ENOMEM;
  fields->block = block;
  fields->capacity = capacity;
  fields->used = 0;
  for (i = 0; i < old.count; i++) {
    struct entry *from = entry_at(&old, i), *to = entry_at(fields, i);
    size_t size = (size_t)from->name_size + from->value_size;
    *to = *from;
    to->at = (uint32_t)fields->used;
    memcpy(block + fields->used, old.block + from->at, size);
    fields->used += size;
  }
  weft_free(fields->mem, old.block);
  return 0;
}

/* Room for `size` bytes of text and one more entry. */
static int reserve(struct weft_fields *fields, size_t size) {
  size_t need = size + sizeof(struct entry);
  size_t entries = fields->count * sizeof(struct entry);
  if (fields->capacity - fields->used - entries >= need)
    return 0;
  return rebuild(fields, need);
}

/* Whether texts of `before` bytes in all may become `after` bytes. */
static int is_within(const struct weft_fields *fields, size_t before,
                     size_t name_size, size_t value_size) {
  size_t field = fields->limits.field, total = fields->limits.total;
  size_t others = fields->live - before;
  if (name_size > field || value_size > field - name_size)
    return 0;
  return others <= total && name_size + value_size <= total - others;
}

static uint32_t put(struct weft_fields *fields, const char *text, size_t size) {
  uint32_t at = (uint32_t)fields->used;
  if (size > 0)
    memcpy(fields->block + fields->used, text, size);
  fields->used += size;
  return at;
}

static int append(struct weft_fields *fields, const char *name,
                  size_t name_size, const char *value, size_t value_size) {
  struct entry *entry;
  int rc;
  if (fields->count >= fields->limits.count ||
      !is_within(fields, 0, name_size, value_size))
    return WEFT_ELIMIT;
  rc = reserve(fields, name_size + value_size);
  if (rc != 0)
    return rc;
  entry = entry_at(fields, fields->count++);
  entry->at = put(fields, name, name_size);
  put(fields, value, value_size);
  entry->name_size = (uint32_t)name_size;
  entry->value_size = (uint32_t)value_size;
  entry->hash = hash_of(name, name_size);
  fields->live += name_size + value_size;
  return 0;
}

int weft_fields_add(struct weft_fields *fields, const char *name,
                    size_t name_size, const char *value, size_t value_size) {
  if (weft_fields_check_name(name, name_size) != 0 ||
      weft_fields_check_value(value, value_size) != 0)
    return WEFT_EFIELD;
  return append(fields, name, name_size, value, value_size);
}

static void drop(struct weft_fields *fields, size_t i) {
  struct entry *last = entry_at(fields, fields->count - 1);
  const struct entry *entry = entry_at(fields, i);
  fields->live -= (size_t)entry->name_size + entry->value_size;
  memmove(last + 1, last, (fields->count - 1 - i) * sizeof(*last));
  fields->count--;
}

/* Removes the fields of the name from index `i` on. */
static size_t drop_from(struct weft_fields *fields, const char *name,
                        size_t name_size, size_t i) {
  size_t n = 0;
  for (;;) {
    i = weft_fields_find(fields, name, name_size, i);
    if (i == fields->count)
      return n;
    drop(fields, i);
    n++;
  }
}

int weft_fields_set(struct weft_fields *fields, const char *name,
                    size_t name_size, const char *value, size_t value_size) {
  size_t i = weft_fields_find(fields, name, name_size, 0), old;
  struct entry *entry;
  int rc;
  if (i == fields->count)
    return weft_fields_add(fields, name, name_size, value, value_size);
  if (weft_fields_check_value(value, value_size) != 0)
    return WEFT_EFIELD;
  entry = entry_at(fields, i);
  old = (size_t)entry->name_size + entry->value_size;
  if (!is_within(fields, old, name_size, value_size))
    return WEFT_ELIMIT;
  rc = reserve(fields, name_size + value_size);
  if (rc != 0)
    return rc;
  entry = entry_at(fields, i);
  entry->at = put(fields, name, name_size);
  put(fields, value, value_size);
  entry->value_size = (uint32_t)value_size;
  fields->live += name_size + value_size - old;
  drop_from(fields, name, name_size, i + 1);
  return 0;
}

/* The block is the same but for its empty middle. */
int weft_fields_copy(struct weft_fields *to, const struct weft_fields *from) {
  size_t entries = from->count * sizeof(struct entry);
  if (from->count == 0)
    return 0;
  to->block = weft_malloc(to->mem, from->capacity);
  if (to->block == NULL)
    return -ENOMEM;
  memcpy(to->block, from->block, from->used);
  memcpy(to->block + from->capacity - entries,
         from->block + from->capacity - entries, entries);
  to->capacity = from->capacity;
  to->used = from->used;
  to->count = from->count;
  to->live = from->live;
  to->is_received = from->is_received;
  return 0;
}

size_t weft_fields_remove(struct weft_fields *fields, const char *name,
                          size_t name_size) {
  return drop_from(fields, name, name_size, 0);
}

size_t weft_fields_find(const struct weft_fields *fields, const char *name,
                        size_t name_size, size_t from) {
  uint32_t hash = hash_of(name, name_size);
  size_t i;
  for (i = from; i < fields->count; i++) {
    const struct entry *entry = entry_at(fields, i);
    if (entry->hash == hash && entry->name_size == name_size &&
        weft_is_same(fields->block + entry->at, name, name_size))
      return i;
  }
  return fields->count;
}

struct weft_field weft_fields_at(const struct weft_fields *fields, size_t i) {
  const struct entry *entry = entry_at(fields, i);
  struct weft_field field;
  field.name = fields->block + entry->at;
  field.name_size = entry->name_size;
  field.value = field.name + entry->name_size;
  field.value_size = entry->value_size;
  return field;
}

int weft_fields_get(const struct weft_fields *fields, const char *name,
                    size_t name_size, struct weft_field *field) {
  size_t i = weft_fields_find(fields, name, name_size, 0);
  if (i == fields->count)
    return 0;
  *field = weft_fields_at(fields, i);
  return 1;
}

int weft_fields_open(struct weft_fields *fields, const char *name,
                     size_t size) {
  fields->is_received = 1;
  return append(fields, name, size, "", 0);
}

int weft_fields_extend(struct weft_fields *fields, const char *value,
                       size_t size) {
  struct entry *entry = entry_at(fields, fields->count - 1);
  size_t value_size = entry->value_size + size;
  size_t old = (size_t)entry->name_size + entry->value_size;
  int rc;
  if (!is_within(fields, old, entry->name_size, value_size))
    return WEFT_ELIMIT;
  rc = reserve(fields, size);
  if (rc != 0)
    return rc;
  put(fields, value, size); /* its text is the last */
  entry = entry_at(fields, fields->count - 1);
  entry->value_size = (uint32_t)value_size;
  fields->live += size;
  return 0;
}

void weft_fields_trim(struct weft_fields *fields) {
  struct entry *entry = entry_at(fields, fields->count - 1);
  const char *value = fields->block + entry->at + entry->name_size;
  while (entry->value_size > 0 && weft_is_blank(value[entry->value_size - 1])) {
    entry->value_size--;
    fields->used--;
    fields->live--;
  }
}
