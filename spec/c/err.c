/* SPDX-License-Identifier: MIT */
/*
 * spec/c/err.c: base/err.c: the table has no holes and no doubles, and numbers
 * that are not weft's have no entry. Prints the table, a line for each code.
 */
#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "check.h"

static const int codes[] = {
#define X(offset, name, kind, message) WEFT_##name,
    WEFT_ERRORS(X)
#undef X
};

#define COUNT ((int)(sizeof(codes) / sizeof(codes[0])))

static void check_unknown(int code) {
  CHECK(weft_err_name(code) == NULL);
  CHECK(weft_err_kind(code) == NULL);
  CHECK(weft_err_message(code) == NULL);
}

int main(void) {
  int i, j;
  for (i = 0; i < COUNT; i++) {
    const char *name = weft_err_name(codes[i]);
    CHECK(codes[i] == -20000 - i);
    CHECK(name[0] == 'E');
    CHECK(strlen(weft_err_message(codes[i])) > 10);
    for (j = 0; j < i; j++)
      CHECK(strcmp(weft_err_name(codes[j]), name) != 0);
    printf("%d %s %s\n", codes[i], name, weft_err_kind(codes[i]));
  }
  CHECK(strcmp(weft_err_name(WEFT_ECLOSED), "ECLOSED") == 0);
  check_unknown(0);
  check_unknown(1);
  check_unknown(-ENOMEM);
  check_unknown(-4095); /* libuv's last, UV_EOF */
  check_unknown(-19999);
  check_unknown(-20000 - COUNT);
  check_unknown(-2147483647 - 1);
  check_unknown(2147483647);
  return 0;
}
