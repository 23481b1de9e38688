/* limit.c: what the operations of the benchmark cost when nothing is there but
 * LuaJIT and a few lines of C.
 *
 * A task here is a pooled coroutine and a number: no handle, no result, no
 * error, no cancellation. Scripts wait by lua_yield from a C function; this
 * file resumes them from a first-in-first-out queue and a timer heap.
 * usage: limit OPERATION [SCALE] */
#include <errno.h>
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "heap.h"

enum {
  BATCH = 10000,    /* tasks created before the first is awaited */
  PERMITS = 500,    /* of the semaphore */
  THREADS_SLOT = 1, /* stack index of the table that anchors the coroutines */
};

/* ---- clocks and memory ---- */

static uint64_t clock_ns(clockid_t id) {
  struct timespec t;
  clock_gettime(id, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t now_ns(void) {
  return clock_ns(CLOCK_MONOTONIC);
}

static long rss_bytes(void) {
  long size, resident = 0;
  FILE *f = fopen("/proc/self/statm", "r");
  if (!f)
    return 0;
  if (fscanf(f, "%ld %ld", &size, &resident) != 2)
    resident = 0;
  fclose(f);
  return resident * sysconf(_SC_PAGESIZE);
}

/* ---- growing arrays of task numbers ---- */

typedef struct {
  uint32_t *at;
  size_t head, tail, cap; /* a ring; cap is a power of two */
} ring;

static void *grown(void *p, size_t bytes) {
  p = realloc(p, bytes);
  if (!p) {
    perror("realloc");
    exit(1);
  }
  return p;
}

static void ring_push(ring *r, uint32_t v) {
  if (r->tail - r->head == r->cap) {
    size_t cap = r->cap ? r->cap * 2 : 64, n = r->tail - r->head;
    uint32_t *at = grown(NULL, cap * sizeof *at);
    for (size_t i = 0; i < n; i++)
      at[i] = r->at[(r->head + i) & (r->cap - 1)];
    free(r->at);
    *r = (ring){at, 0, n, cap};
  }
  r->at[r->tail++ & (r->cap - 1)] = v;
}

static int ring_empty(const ring *r) {
  return r->head == r->tail;
}

static uint32_t ring_pop(ring *r) {
  return r->at[r->head++ & (r->cap - 1)];
}

/* ---- the scheduler ---- */

static lua_State *L; /* the main state */
static lua_State *
    *thread; /* task number to coroutine; a finished one stays for reuse */
static size_t threads, thread_cap;
static ring idle, ready,
    waiting; /* free numbers; tasks to resume; tasks that wait for a permit */
static heap timers;
static uint32_t current;
static int permits;
static long asleep, sleepers, rss_asleep;

/* Takes a coroutine from the pool and makes it ready to call the function on
 * top of L's stack. */
static uint32_t spawn(int args) {
  uint32_t id;
  if (!ring_empty(&idle)) {
    id = ring_pop(&idle);
  } else {
    if (threads == thread_cap) {
      thread_cap = thread_cap ? thread_cap * 2 : 64;
      thread = grown(thread, thread_cap * sizeof(*thread));
    }
    id = (uint32_t)threads++;
    thread[id] = lua_newthread(L);
    lua_rawseti(L, THREADS_SLOT, (int)id + 1);
  }
  lua_xmove(L, thread[id], 1 + args);
  return id;
}

static void resume(uint32_t id, int args) {
  lua_State *co = thread[id];
  current = id;
  int status = lua_resume(co, args);
  if (status == LUA_YIELD)
    return;
  if (status != 0) {
    fprintf(stderr, "limit: %s\n", lua_tostring(co, -1));
    exit(1);
  }
  lua_settop(co, 0);
  ring_push(&idle, id);
}

static void run_ready(void) {
  while (!ring_empty(&ready))
    resume(ring_pop(&ready), 0);
}

/* ---- what the scripts call ---- */

static int l_yield(lua_State *co) {
  return lua_yield(co, 0);
}

static int l_sleep0(lua_State *co) {
  ring_push(&ready, current);
  return lua_yield(co, 0);
}

static int l_acquire(lua_State *co) {
  if (permits > 0) {
    permits--;
    return 0;
  }
  ring_push(&waiting, current);
  return lua_yield(co, 0);
}

static int l_release(lua_State *co) {
  (void)co;
  if (ring_empty(&waiting))
    permits++;
  else
    ring_push(&ready, ring_pop(&waiting));
  return 0;
}

static int l_sleep(lua_State *co) {
  heap_push(&timers, now_ns() + (uint64_t)(lua_tonumber(co, 1) * 1e9), current);
  if (++asleep == sleepers)
    rss_asleep = rss_bytes();
  return lua_yield(co, 0);
}

/* Runs `source`, which returns a function, and leaves the function on the stack
 * of L. */
static void load(const char *source) {
  if (luaL_dostring(L, source)) {
    fprintf(stderr, "limit: %s\n", lua_tostring(L, -1));
    exit(1);
  }
}

/* ---- the operations; each `pass` does `n` of them ---- */

static void pass_create(long n) {
  load("return function() end");
  for (long done = 0; done < n; done += BATCH) {
    for (int i = 0; i < BATCH; i++) {
      lua_pushvalue(L, -1);
      ring_push(&ready, spawn(0));
    }
    run_ready();
  }
  lua_pop(L, 1);
}

static void pass_sleep0(long n) {
  load("local yield = yield; return function(n) for _ = 1, n do yield() end "
       "end");
  lua_pushinteger(L, n);
  uint32_t id = spawn(1);
  resume(id, 1);
  while (lua_status(thread[id]) == LUA_YIELD)
    resume(id, 0);
}

static void pass_tasks(long n) {
  enum { TASKS = 1000 };
  load("local sleep0 = sleep0; return function(n) for _ = 1, n do sleep0() end "
       "end");
  for (int i = 0; i < TASKS; i++) {
    lua_pushvalue(L, -1);
    lua_pushinteger(L, n / TASKS);
    resume(spawn(1), 1);
  }
  run_ready();
  lua_pop(L, 1);
}

static void pass_semaphore(long n) {
  load("local acquire, sleep0, release = acquire, sleep0, release\n"
       "return function() acquire(); sleep0(); release() end");
  permits = PERMITS;
  for (long i = 0; i < n; i++) {
    lua_pushvalue(L, -1);
    ring_push(&ready, spawn(0));
  }
  run_ready();
  lua_pop(L, 1);
}

/* The ring is Lua, which the JIT compiles; only a full or an empty one goes
 * through C. */
static void pass_queue(long n) {
  load("local yield, buf, head, tail, count = yield, {}, 0, 0, 0\n"
       "local function put(v)\n"
       "  while count == 100 do yield() end\n"
       "  tail = tail == 100 and 1 or tail + 1; buf[tail] = v; count = count + "
       "1\n"
       "end\n"
       "local function get()\n"
       "  while count == 0 do yield() end\n"
       "  head = head == 100 and 1 or head + 1; count = count - 1\n"
       "  local v = buf[head]; buf[head] = false; return v\n"
       "end\n"
       "return function(n, producer)\n"
       "  if producer then for i = 1, n do put(i) end else for _ = 1, n do "
       "get() end end\n"
       "end");
  uint32_t side[2];
  for (int i = 0; i < 2; i++) {
    lua_pushvalue(L, -1);
    lua_pushinteger(L, n);
    lua_pushboolean(L, i == 0);
    side[i] = spawn(2);
    resume(side[i], 2);
  }
  while (lua_status(thread[side[0]]) == LUA_YIELD ||
         lua_status(thread[side[1]]) == LUA_YIELD)
    for (int i = 0; i < 2; i++)
      if (lua_status(thread[side[i]]) == LUA_YIELD)
        resume(side[i], 0);
  lua_pop(L, 1);
}

/* ---- timers ---- */

/* Waits for the next deadline in whole milliseconds rounded up, as libuv does.
 */
static void wait_for_timer(int ep) {
  uint64_t now = now_ns(), when = timers.at[0].when;
  struct epoll_event ev;
  if (when <= now)
    return;
  if (epoll_wait(ep, &ev, 1, (int)((when - now + 999999) / 1000000)) < 0 &&
      errno != EINTR) {
    perror("epoll_wait");
    exit(1);
  }
}

static void op_sleepers(double scale) {
  int ep = epoll_create1(0);
  long n = (long)(1000000 * scale), before = rss_bytes();
  uint64_t cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID), wall = now_ns();
  sleepers = n;
  load("local sleep = sleep; return function(d) sleep(d) end");
  for (long i = 0; i < n; i++) {
    lua_pushvalue(L, -1);
    lua_pushnumber(L, 1 + (double)(i * 7919 % 1000003) / 1000003);
    resume(spawn(1), 1);
  }
  while (timers.len) {
    wait_for_timer(ep);
    uint64_t now = now_ns();
    while (timers.len && timers.at[0].when <= now)
      resume(heap_pop(&timers).id, 0);
  }
  printf("op=sleepers n=%ld cpu=%.6f wall=%.6f rss=%ld\n", n,
         (double)(clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu) / 1e9,
         (double)(now_ns() - wall) / 1e9, rss_asleep - before);
}

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static void op_timers(double scale) {
  int ep = epoll_create1(0);
  long n = (long)(10000 * scale), fired = 0, early = 0;
  double *late = grown(NULL, (size_t)n * sizeof *late);
  uint64_t base = now_ns() + 100000000;
  for (long i = 0; i < n;
       i++) /* in an order that is not that of the deadlines */
    heap_push(&timers,
              base + (uint64_t)(i * 7919 % n) * 1000000000u / (uint64_t)n, 0);
  while (timers.len) {
    wait_for_timer(ep);
    while (timers.len && timers.at[0].when <= now_ns()) {
      double d = (double)(int64_t)(now_ns() - heap_pop(&timers).when) / 1e9;
      early += d < 0;
      late[fired++] = d;
    }
  }
  qsort(late, (size_t)n, sizeof *late, by_value);
  printf("op=timers n=%ld p50=%.6f p99=%.6f early=%ld earliest=%.6f\n", n,
         late[(n - 1) / 2], late[(n - 1) * 99 / 100], early,
         late[0] < 0 ? -late[0] : 0.0);
}

/* ---- main ---- */

static const struct {
  const char *name;
  void (*pass)(long n);
  long n;     /* operations in a pass */
  int passes; /* measured, after one that is not */
} ops[] = {
    {"create", pass_create, 10 * BATCH, 5},
    {"sleep0", pass_sleep0, 500000, 4},
    {"tasks", pass_tasks, 500000, 4},
    {"semaphore", pass_semaphore, 100000, 3},
    {"queue", pass_queue, 500000, 4},
};

static int op_passes(const char *name, double scale) {
  for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
    if (strcmp(ops[i].name, name) != 0)
      continue;
    long n = (long)((double)ops[i].n * scale) / BATCH * BATCH;
    if (n < BATCH)
      n = BATCH;
    ops[i].pass(n);
    uint64_t cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID), wall = now_ns();
    for (int p = 0; p < ops[i].passes; p++)
      ops[i].pass(n);
    printf("op=%s n=%ld cpu=%.6f wall=%.6f\n", name, n * ops[i].passes,
           (double)(clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu) / 1e9,
           (double)(now_ns() - wall) / 1e9);
    return 1;
  }
  return 0;
}

int main(int argc, char **argv) {
  static const luaL_Reg functions[] = {
      {"yield", l_yield},     {"sleep0", l_sleep0}, {"acquire", l_acquire},
      {"release", l_release}, {"sleep", l_sleep},   {NULL, NULL}};
  const char *name = argc > 1 ? argv[1] : "";
  double scale = argc > 2 ? atof(argv[2]) : 1;
  L = luaL_newstate();
  luaL_openlibs(L);
  for (const luaL_Reg *f = functions; f->name; f++)
    lua_register(L, f->name, f->func);
  lua_newtable(L); /* THREADS_SLOT */
  if (strcmp(name, "sleepers") == 0)
    op_sleepers(scale);
  else if (strcmp(name, "timers") == 0)
    op_timers(scale);
  else if (!op_passes(name, scale)) {
    fprintf(stderr, "limit: no operation '%s'\n", name);
    return 2;
  }
  return 0;
}
