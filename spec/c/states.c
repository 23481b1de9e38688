/* SPDX-License-Identifier: MIT */
/*
 * spec/c/states.c: a program with threads, each with a lua_State of its own in
 * which it runs a file: states THREADS ROUNDS FILE. The file gets the number of
 * the thread and of the round. The module weft.core is linked in, so that the
 * thread sanitizer sees all of weft. Ends with 1 if a file raised an error.
 */
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define THREADS 8

int luaopen_weft_core(lua_State *L);

struct one {
  pthread_t thread;
  const char *file;
  int number, rounds, failed;
};

static void preload(lua_State *L) {
  lua_getglobal(L, "package");
  lua_getfield(L, -1, "preload");
  lua_pushcfunction(L, luaopen_weft_core);
  lua_setfield(L, -2, "weft.core");
  lua_pop(L, 2);
}

static int run(const struct one *one, int round) {
  lua_State *L = luaL_newstate();
  int status;
  luaL_openlibs(L);
  preload(L);
  status = luaL_loadfile(L, one->file);
  if (status == 0) {
    lua_pushinteger(L, one->number);
    lua_pushinteger(L, round);
    status = lua_pcall(L, 2, 0, 0);
  }
  if (status != 0)
    fprintf(stderr, "thread %d, round %d: %s\n", one->number, round,
            lua_tostring(L, -1));
  lua_close(L);
  return status != 0;
}

static void *start(void *arg) {
  struct one *one = arg;
  int round;
  for (round = 1; round <= one->rounds; round++)
    one->failed |= run(one, round);
  return NULL;
}

int main(int argc, char **argv) {
  struct one all[THREADS];
  int n = argc == 4 ? atoi(argv[1]) : 0, i, failed = 0;
  if (n < 1 || n > THREADS)
    return 2;
  for (i = 0; i < n; i++) {
    all[i].file = argv[3];
    all[i].number = i + 1;
    all[i].rounds = atoi(argv[2]);
    all[i].failed = 0;
    if (pthread_create(&all[i].thread, NULL, start, &all[i]) != 0)
      return 2;
  }
  for (i = 0; i < n; i++) {
    pthread_join(all[i].thread, NULL);
    failed |= all[i].failed;
  }
  return failed;
}
