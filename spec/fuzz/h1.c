/* SPDX-License-Identifier: MIT */
/*
 * spec/fuzz/h1.c: libFuzzer's bytes as HTTP/1 messages: whole, byte by byte and
 * in pieces as the second byte says, with the same result as text; see
 * spec/c/h1_model.h, which also checks that limits hold and nothing leaks.
 *
 * The first byte: whose messages they are, what was asked, and whether limits
 * are small; the second: the pieces. The rest is the bytes.
 */
#include "../c/h1_model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t vary(void *state, size_t at) {
  (void)at;
  return check_random(state) % 16;
}

static void compare(char *expected, char *text) {
  if (strcmp(expected, text) != 0) {
    fprintf(stderr, "whole:\n%s\nin pieces:\n%s\n", expected, text);
    abort();
  }
  free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct model_input input = {0};
  size_t all = (size_t)-1, one = 1, first;
  uint32_t seed;
  char *expected;
  if (size < 2)
    return 0;
  input.role = data[0] & 1 ? WEFT_H1_REQUESTS : WEFT_H1_RESPONSES;
  input.asked = input.role == WEFT_H1_RESPONSES ? data[0] >> 1 & 7 : 0;
  if (data[0] & 16) {
    input.limits = (struct weft_h1_limits){30, 120, 12, 20, 2};
    input.fields = (struct weft_fields_limits){4, 40, 100};
  }
  seed = data[1] + 1u;
  first = data[1];
  input.data = (const char *)data + 2;
  input.size = size - 2;
  expected = model_parse(&input, model_each, &all);
  compare(expected, model_parse(&input, model_each, &one));
  compare(expected, model_parse(&input, model_once, &first));
  compare(expected, model_parse(&input, vary, &seed));
  free(expected);
  return 0;
}
