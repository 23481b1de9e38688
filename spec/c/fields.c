/* SPDX-License-Identifier: MIT */
/*
 * spec/c/fields.c: proto/fields.c: against a plain array under random
 * operations, its limits, what it refuses, and want of memory.
 */
#include "proto/fields.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "base/err.h"
#include "check.h"

#define MOST 40

/* What the fields should be. */
static struct {
  char name[MOST][8], value[MOST][64];
  size_t count;
} model;

static const char *const names[] = {"a",    "A",    "ab",   "AB",   "x-y",
                                    "X-Y",  "x-z",  "host", "HoSt", "acde",
                                    "abde", "abce", "abcd"};

static int is_named(size_t i, const char *name) {
  return strcasecmp(model.name[i], name) == 0;
}

static size_t model_drop(const char *name, size_t from) {
  size_t i, to = from, dropped;
  for (i = from; i < model.count; i++) {
    if (is_named(i, name))
      continue;
    memmove(model.name[to], model.name[i], sizeof(model.name[i]));
    memmove(model.value[to], model.value[i], sizeof(model.value[i]));
    to++;
  }
  dropped = model.count - to;
  model.count = to;
  return dropped;
}

static void model_put(size_t i, const char *name, const char *value) {
  strcpy(model.name[i], name);
  strcpy(model.value[i], value);
  model.count += i == model.count;
}

static void model_set(const char *name, const char *value) {
  size_t i = 0;
  while (i < model.count && !is_named(i, name))
    i++;
  model_put(i, name, value);
  model_drop(name, i + 1);
}

static int is_text(const char *data, size_t size, const char *text) {
  return size == strlen(text) && memcmp(data, text, size) == 0;
}

static void compare(const struct weft_fields *fields) {
  size_t i, live = 0;
  CHECK(fields->count == model.count);
  for (i = 0; i < model.count; i++) {
    struct weft_field field = weft_fields_at(fields, i);
    CHECK(is_text(field.name, field.name_size, model.name[i]));
    CHECK(is_text(field.value, field.value_size, model.value[i]));
    live += field.name_size + field.value_size;
  }
  CHECK(fields->live == live);
}

static void compare_find(const struct weft_fields *fields, const char *name) {
  size_t i = 0, at = 0;
  struct weft_field field;
  for (;; i++, at++) {
    at = weft_fields_find(fields, name, strlen(name), at);
    while (i < model.count && !is_named(i, name))
      i++;
    CHECK(at == i);
    if (i == model.count)
      break;
  }
  CHECK(weft_fields_get(fields, name, strlen(name), &field) ==
        (weft_fields_find(fields, name, strlen(name), 0) < model.count));
}

static void keeps_what_it_is_given(uint32_t seed) {
  struct weft_mem mem = {0};
  struct weft_fields fields;
  int i;
  weft_fields_init(&fields, &mem);
  model.count = 0;
  for (i = 0; i < 3000; i++) {
    const char *name =
        names[check_random(&seed) % (sizeof(names) / sizeof(names[0]))];
    char value[64];
    size_t size = check_random(&seed) % 60;
    memset(value, 'a' + i % 26, size);
    value[size] = 0;
    switch (check_random(&seed) % 8) {
    case 0:
      CHECK(weft_fields_remove(&fields, name, strlen(name)) ==
            model_drop(name, 0));
      break;
    case 1:
    case 2:
      CHECK(weft_fields_set(&fields, name, strlen(name), value, size) == 0);
      model_set(name, value);
      break;
    default:
      if (model.count == MOST - 1 || i % 500 == 499) {
        weft_fields_clear(&fields);
        model.count = 0;
      }
      CHECK(weft_fields_add(&fields, name, strlen(name), value, size) == 0);
      model_put(model.count, name, value);
    }
    compare(&fields);
    compare_find(&fields, name);
    CHECK(mem.blocks <= 1 && fields.capacity <= 8192);
  }
  weft_fields_deinit(&fields);
  CHECK(mem.blocks == 0 && mem.bytes == 0);
}

static void refuses(void) {
  static const char *const bad_names[] = {
      "", "a b", "a:", "a\r\n", "a\t", " a", "\xc3\xa9", "a(", "\177"};
  static const char *const bad_values[] = {" a",  "a ",   "\ta",   "a\t",
                                           "a\r", "a\nb", "a\001", "\177"};
  struct weft_mem mem = {0};
  struct weft_fields fields;
  size_t i;
  weft_fields_init(&fields, &mem);
  for (i = 0; i < sizeof(bad_names) / sizeof(bad_names[0]); i++) {
    CHECK(weft_fields_add(&fields, bad_names[i], strlen(bad_names[i]), "b",
                          1) == WEFT_EFIELD);
    CHECK(weft_fields_set(&fields, bad_names[i], strlen(bad_names[i]), "b",
                          1) == WEFT_EFIELD);
  }
  CHECK(weft_fields_add(&fields, "a\0b", 3, "c", 1) == WEFT_EFIELD);
  CHECK(weft_fields_add(&fields, "a", 1, "c\0d", 3) == WEFT_EFIELD);
  for (i = 0; i < sizeof(bad_values) / sizeof(bad_values[0]); i++)
    CHECK(weft_fields_add(&fields, "a", 1, bad_values[i],
                          strlen(bad_values[i])) == WEFT_EFIELD);
  CHECK(mem.blocks == 0);
  CHECK(weft_fields_add(&fields, "!#$%&'*+-.^_`|~09azAZ", 21, "a\tb \xff", 5) ==
        0);
  for (i = 0; i < sizeof(bad_values) / sizeof(bad_values[0]); i++)
    CHECK(weft_fields_set(&fields, "!#$%&'*+-.^_`|~09AZaz", 21, bad_values[i],
                          strlen(bad_values[i])) == WEFT_EFIELD);
  CHECK(fields.count == 1 && fields.live == 26);
  weft_fields_deinit(&fields);
}

static void has_limits(void) {
  struct weft_mem mem = {0};
  struct weft_fields fields;
  static char value[WEFT_FIELDS_FIELD_MAX];
  int i;
  memset(value, 'v', sizeof(value));
  weft_fields_init(&fields, &mem);
  CHECK(weft_fields_add(&fields, "n", 1, value, sizeof(value)) == WEFT_ELIMIT);
  for (i = 0; i < 4; i++)
    CHECK(weft_fields_add(&fields, "n", 1, value, sizeof(value) - 1) == 0);
  CHECK(weft_fields_add(&fields, "n", 1, "", 0) == WEFT_ELIMIT);
  CHECK(weft_fields_extend(&fields, "x", 1) == WEFT_ELIMIT);
  CHECK(weft_fields_set(&fields, "N", 1, value, sizeof(value)) == WEFT_ELIMIT);
  CHECK(fields.count == 4 && fields.live == WEFT_FIELDS_TOTAL_MAX);
  CHECK(weft_fields_set(&fields, "N", 1, "", 0) == 0);
  CHECK(fields.count == 1 && fields.live == 1);
  weft_fields_clear(&fields);
  CHECK(mem.blocks == 0); /* a large block is not kept */
  for (i = 0; i < WEFT_FIELDS_COUNT_MAX; i++)
    CHECK(weft_fields_add(&fields, "n", 1, "v", 1) == 0);
  CHECK(weft_fields_add(&fields, "n", 1, "v", 1) == WEFT_ELIMIT);
  weft_fields_deinit(&fields);
  CHECK(mem.blocks == 0);
}

static void survives_want_of_memory(void) {
  struct weft_mem mem = {0};
  struct weft_fields fields;
  char value[1000];
  memset(value, 'v', sizeof(value));
  weft_fields_init(&fields, &mem);
  mem.fail_after = 1;
  CHECK(weft_fields_add(&fields, "a", 1, "b", 1) == -ENOMEM);
  CHECK(fields.count == 0 && mem.blocks == 0);
  CHECK(weft_fields_add(&fields, "a", 1, "b", 1) == 0);
  mem.fail_after = 1;
  CHECK(weft_fields_extend(&fields, value, sizeof(value)) == -ENOMEM);
  mem.fail_after = 1;
  CHECK(weft_fields_set(&fields, "a", 1, value, sizeof(value)) == -ENOMEM);
  model.count = 0;
  model_put(0, "a", "b");
  compare(&fields);
  weft_fields_deinit(&fields);
  CHECK(mem.blocks == 0);
}

int main(void) {
  uint32_t seed;
  for (seed = 1; seed <= 10; seed++)
    keeps_what_it_is_given(seed * 2654435761u | 1);
  refuses();
  has_limits();
  survives_want_of_memory();
  return 0;
}
