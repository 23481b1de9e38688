/* SPDX-License-Identifier: MIT */
/*
 * bind/l_pair.c: pairs of streams in memory for Lua: their clock is the loop's,
 * real or virtual. For weft.testing, which checks the arguments.
 */
#include <string.h>

#include "base/err.h"
#include "bind/l_stream.h"
#include "net/pair.h"

#define SPLITS_MAX 65536 /* of one direction: more is no script any more */

/* Belongs to the pair; goes by drop. */
struct clock {
  struct weft_pair_clock clock;
  struct weft_loop *loop; /* kept by the streams' tables */
  struct weft_pair *pair;
  struct weft_timer timers[2];
  uint32_t *splits[2]; /* owned */
};

static struct clock *of(struct weft_pair_clock *clock) {
  return (struct clock *)(void *)clock;
}

static uint64_t clock_now(struct weft_pair_clock *clock) {
  return weft_loop_now(of(clock)->loop);
}

static void on_first(struct weft_timer *timer) {
  weft_pair_ring(WEFT_CONTAINER_OF(timer, struct clock, timers[0])->pair, 0);
}

static void on_second(struct weft_timer *timer) {
  weft_pair_ring(WEFT_CONTAINER_OF(timer, struct clock, timers[1])->pair, 1);
}

/* The timers of a loop that is closed are gone already. */
static int clock_alarm(struct weft_pair_clock *clock, int end, uint64_t at) {
  struct weft_loop *loop = of(clock)->loop;
  struct weft_timer *timer = &of(clock)->timers[end];
  if (!loop->is_open)
    return 0;
  weft_timer_stop(&loop->timers, timer);
  if (at == WEFT_PAIR_NEVER)
    return 0;
  return weft_timer_start(&loop->timers, timer, at,
                          end == 0 ? on_first : on_second) == 0
             ? 0
             : UV_ENOMEM;
}

static void clock_drop(struct weft_pair_clock *clock) {
  struct weft_mem *mem = &of(clock)->loop->vm->mem;
  weft_free(mem, of(clock)->splits[0]);
  weft_free(mem, of(clock)->splits[1]);
  weft_free(mem, clock);
}

static struct clock *new_clock(struct weft_loop *loop) {
  struct clock *clock = weft_calloc(&loop->vm->mem, sizeof(*clock));
  if (clock == NULL)
    return NULL;
  clock->clock.now = clock_now;
  clock->clock.alarm = clock_alarm;
  clock->clock.drop = clock_drop;
  clock->loop = loop;
  weft_timer_init(&clock->timers[0]);
  weft_timer_init(&clock->timers[1]);
  return clock;
}

/* The list at idx as an array, which the clock owns; UV_ENOMEM. */
static int read_splits(lua_State *L, int idx, struct clock *clock, int i,
                       struct weft_pair_way *way) {
  size_t n = lua_istable(L, idx) ? weft_lua_objlen(L, idx) : 0, k;
  if (n > SPLITS_MAX)
    n = SPLITS_MAX;
  if (n == 0)
    return 0;
  clock->splits[i] =
      weft_malloc(&clock->loop->vm->mem, n * sizeof(*clock->splits[i]));
  if (clock->splits[i] == NULL)
    return UV_ENOMEM;
  for (k = 0; k < n; k++) {
    lua_rawgeti(L, idx, (int)k + 1);
    clock->splits[i][k] = (uint32_t)lua_tonumber(L, -1);
    lua_pop(L, 1);
  }
  way->splits = clock->splits[i];
  way->nsplits = n;
  return 0;
}

static int open_pair(lua_State *L, struct weft_loop *loop, struct l_stream *a,
                     struct l_stream *b) {
  struct weft_pair_way ways[2] = {{0, 0, NULL, 0}, {0, 0, NULL, 0}};
  struct weft_filter *ends[2];
  struct clock *clock = new_clock(loop);
  int i, rc = clock != NULL ? 0 : UV_ENOMEM;
  for (i = 0; rc == 0 && i < 2; i++) {
    ways[i].capacity = (size_t)lua_tonumber(L, 3 * i + 1);
    ways[i].delay = weft_to_ns(lua_tonumber(L, 3 * i + 2));
    rc = read_splits(L, 3 * i + 3, clock, i, &ways[i]);
  }
  if (rc == 0)
    rc = weft_pair_new(&loop->vm->mem, &clock->clock, ways, ends, &clock->pair);
  if (rc != 0) {
    if (clock != NULL)
      clock_drop(&clock->clock);
    return rc;
  }
  weft_stream_attach(a, ends[0]);
  weft_stream_attach(b, ends[1]);
  return 0;
}

/* pair(capacity, delay, splits or nil, and the same for the second) -> two
 * streams, or nil, code; the first three are for what the first one receives */
static int l_pair_new(lua_State *L) {
  struct weft_loop *loop = weft_current_loop(L);
  struct l_stream *a, *b;
  int rc;
  lua_settop(L, 6);
  a = weft_stream_new(L, loop);
  b = weft_stream_new(L, loop);
  rc = open_pair(L, loop, a, b);
  if (rc == 0)
    return 2;
  lua_pushnil(L);
  lua_pushinteger(L, rc);
  return 2;
}

static const struct {
  const char *name;
  int code;
} faults[] = {{"reset", UV_ECONNRESET},
              {"eof", UV_EOF},
              {"timeout", UV_ETIMEDOUT},
              {NULL, 0}};

static int fault_named(lua_State *L, int idx) {
  const char *name = luaL_checkstring(L, idx);
  int i;
  for (i = 0; faults[i].name != NULL; i++)
    if (strcmp(faults[i].name, name) == 0)
      return faults[i].code;
  return weft_raise_kind(L, "type",
                         "a fault is \"reset\", \"eof\" or \"timeout\", not "
                         "\"%s\"",
                         name);
}

/* pair_fault(stream, name, after): what it sees after that many bytes */
static int l_pair_fault(lua_State *L) {
  struct l_stream *s = weft_check_stream(L, 1);
  int code = fault_named(L, 2);
  lua_Number after = weft_check_number(L, 3, "the number of bytes");
  struct weft_filter *end;
  if (s->stream.top == NULL)
    return weft_raise(L, WEFT_ESTREAMCLOSED);
  end = weft_pair_of(s->stream.top);
  if (end == NULL)
    return weft_raise_kind(L, "state", "the stream is not one of a pair");
  if (!s->loop->is_open)
    return weft_raise(L, WEFT_ECLOSED);
  weft_pair_fault(end, code, (uint64_t)after);
  return 0;
}

static const luaL_Reg functions[] = {
    {"pair", l_pair_new},
    {"pair_fault", l_pair_fault},
    {NULL, NULL},
};

void weft_open_pair(lua_State *L) {
  weft_set_functions(L, functions, NULL);
}
