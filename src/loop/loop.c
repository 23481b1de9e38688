/* SPDX-License-Identifier: MIT */
/*
 * loop/loop.c: the turn of the loop, its opening and closing, guest mode.
 * The store of anchors and threads is in store.c.
 */
#include "loop/loop.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/prefetch.h"
#include "loop/callback.h"
#include "loop/handle.h"
#include "loop/task.h"

/* Steps between two polls of the descriptors: at least one round of what is
 * ready, and more only while that takes little time, so that neither a lone
 * task that passes its turn pays for a system call each time, nor a busy one
 * keeps timers waiting. */
#define BURST_MAX 64u
#define BURST_SHORT 20000u /* ns; a burst below this may grow */
#define BURST_LONG 200000u /* ns; one above this shrinks */

#define TRIM_EVERY UINT64_C(1000000000) /* ns between two looks at the pool */

#define IDLE_WAIT_MS 86400000u /* nothing to wait for, or an endless sleep */

/* --- opening and closing ------------------------------------------------- */

static void ignore_sigpipe(void) {
  struct sigaction action;
  if (sigaction(SIGPIPE, NULL, &action) == 0 && action.sa_handler == SIG_DFL)
    signal(SIGPIPE, SIG_IGN);
}

static int open_timer(struct weft_loop *loop, struct weft_box *box) {
  struct weft_handle *handle = weft_handle_new(loop, box);
  if (handle == NULL)
    return UV_ENOMEM;
  uv_timer_init(&loop->uv, &handle->uv.timer); /* cannot fail */
  weft_handle_open(handle, box);
  loop->timer = &handle->uv.timer;
  return 0;
}

/* Makes the coroutine `home` with its stack of things at hand, and the root
 * table, which keeps loop and home alive. [L: userdata on top] */
static void open_home(struct weft_loop *loop, lua_State *L, int first) {
  int self = lua_gettop(L), i;
  luaL_checkstack(L, WEFT_HOME_SIZE + 6, NULL);
  loop->home = lua_newthread(L);    /* self home */
  loop->nursery = lua_newthread(L); /* self home nursery */
  luaL_checkstack(loop->nursery, LUA_MINSTACK, NULL);
  luaL_checkstack(loop->home, WEFT_HOME_SIZE + LUA_MINSTACK, NULL);
  lua_newtable(L); /* anchors */
  lua_newtable(L); /* root */
  lua_pushvalue(L, self);
  lua_setfield(L, -2, "loop");
  lua_pushvalue(L, self + 1);
  lua_setfield(L, -2, "home");
  lua_pushvalue(L, self + 2);
  lua_setfield(L, -2, "nursery");
  lua_pushvalue(L, -1);
  weft_lua_settable_of(L, self);
  for (i = 0; i <= WEFT_HOME_ERROR - WEFT_HOME_GATE; i++)
    lua_pushvalue(L, first + i);
  lua_pushnil(L); /* report */
  lua_pushnil(L); /* wakeup */
  lua_newtable(L);
  lua_newtable(L);
  lua_pushliteral(L, "k");
  lua_setfield(L, -2, "__mode");
  lua_setmetatable(L, -2); /* unretrieved */
  lua_xmove(L, loop->home, WEFT_HOME_SIZE);
  lua_settop(L, self);
}

int weft_loop_open(struct weft_loop *loop, lua_State *L, struct weft_vm *vm,
                   int first) {
  int rc;
  loop->vm = vm;
  weft_list_init(&loop->ready);
  weft_list_init(&loop->batch);
  weft_timers_init(&loop->timers, &vm->mem);
  weft_timer_init(&loop->trap);
  loop->burst = 1;
  loop->slow = 0.1;
  loop->pid = (long)getpid();
  open_home(loop, L, first);
  ignore_sigpipe();
  rc = uv_loop_init(&loop->uv);
  if (rc != 0)
    return rc;
  rc = open_timer(loop, &loop->timer_box);
  if (rc != 0) {
    uv_loop_close(&loop->uv);
    return rc;
  }
  loop->now = loop->epoch = uv_hrtime();
  loop->is_open = 1;
  weft_block_keep(&vm->mem, 1);
  return 0;
}

static void abandon_all(struct weft_loop *loop) {
  uint32_t slot;
  for (slot = 1; slot <= loop->slot_top; slot++) {
    struct weft_node *node = weft_loop_anchored(loop, slot);
    if (node == NULL)
      continue;
    if (node->kind == WEFT_KIND_TASK)
      weft_task_abandon((struct weft_task *)(void *)node);
    else
      weft_callback_cancel((struct weft_callback *)(void *)node);
  }
}

int weft_loop_separate(struct weft_loop *loop) {
  if (!loop->is_open || loop->is_separate || loop->pid == (long)getpid())
    return 0;
  if (uv_loop_fork(&loop->uv) != 0)
    return WEFT_EFORKED;
  loop->is_separate = 1;
  return 0;
}

void weft_loop_close(struct weft_loop *loop) {
  if (!loop->is_open)
    return;
  weft_loop_separate(loop);
  loop->is_open = 0;
  abandon_all(loop);
  weft_timers_deinit(&loop->timers);
  weft_loop_free_store(loop);
  weft_block_keep(&loop->vm->mem, -1);
  weft_handle_close_all(loop, loop->pid != (long)getpid());
  lua_settop(loop->home, WEFT_HOME_SIZE);
  lua_pushnil(loop->home);
  lua_replace(loop->home, WEFT_HOME_ANCHORS);
}

int weft_loop_check(const struct weft_loop *loop) {
  if (!loop->is_open)
    return WEFT_ECLOSED;
  if (loop->pid != (long)getpid())
    return WEFT_EFORKED;
  if (loop->in_turn)
    return WEFT_EREENTERED;
  if (loop->vm->loop != NULL)
    return WEFT_ENESTED;
  return 0;
}

/* --- time ---------------------------------------------------------------- */

uint64_t weft_loop_now(const struct weft_loop *loop) {
  return loop->is_virtual ? loop->now : uv_hrtime();
}

/* To a timer without end (sleep(math.huge)) a virtual clock cannot jump. */
static int has_timer(const struct weft_loop *loop) {
  return loop->is_virtual ? weft_timers_next(&loop->timers) != UINT64_MAX
                          : loop->timers.count != 0;
}

int weft_loop_can_wake(const struct weft_loop *loop) {
  return !weft_list_is_empty(&loop->ready) ||
         !weft_list_is_empty(&loop->batch) || has_timer(loop) ||
         uv_loop_alive(&loop->uv);
}

uint64_t weft_loop_next_timeout(struct weft_loop *loop) {
  uint64_t next = weft_timers_next(&loop->timers), now;
  if (!weft_list_is_empty(&loop->ready) || !weft_list_is_empty(&loop->batch) ||
      loop->is_stopping)
    return 0;
  if (uv_loop_alive(&loop->uv) && uv_backend_timeout(&loop->uv) == 0)
    return 0;
  if (next == UINT64_MAX || loop->is_virtual)
    return loop->is_virtual && next != UINT64_MAX ? 0 : UINT64_MAX;
  now = uv_hrtime();
  return next > now ? next - now : 0;
}

/* --- work ---------------------------------------------------------------- */

static void step(struct weft_node *node, lua_State *L) {
  if (node->kind == WEFT_KIND_TASK)
    weft_task_step((struct weft_task *)(void *)node, L);
  else
    weft_callback_step((struct weft_callback *)(void *)node, L);
}

/* Names what took too long. The node's userdata may be gone from the anchors:
 * only its number is told. */
static void report_slow(struct weft_loop *loop, lua_State *L, uint8_t kind,
                        uint32_t id, double seconds) {
  luaL_checkstack(L, 5, NULL);
  lua_pushliteral(L, "slow");
  lua_pushboolean(L, kind == WEFT_KIND_TASK);
  lua_pushinteger(L, (lua_Integer)id);
  lua_pushnumber(L, seconds);
  weft_loop_report(loop, L, 4);
}

static void step_timed(struct weft_loop *loop, struct weft_node *node,
                       lua_State *L) {
  uint64_t start = uv_hrtime();
  uint8_t kind = node->kind;
  uint32_t id = node->id;
  double seconds;
  step(node, L);
  seconds = (double)(uv_hrtime() - start) / 1e9;
  if (seconds >= loop->slow)
    report_slow(loop, L, kind, id, seconds);
}

/* Asks for the coroutine of the next task and the struct of the one after. */
static void look_ahead(const struct weft_list *queue) {
  const struct weft_list *next = queue->next;
  weft_prefetch(next->next);
  if (next != queue && ((const struct weft_node *)next)->kind == WEFT_KIND_TASK)
    weft_prefetch(((const struct weft_task *)next)->co);
}

/* Rounds of the ready queue; each runs what was ready at its start. */
static void run_ready(struct weft_loop *loop, lua_State *L,
                      const struct weft_node *until) {
  uint32_t steps = 0;
  struct weft_list *link;
  do {
    weft_list_splice(&loop->batch, &loop->ready);
    while ((link = weft_list_pop(&loop->batch)) != NULL) {
      steps++;
      look_ahead(&loop->batch);
      if (loop->gc_every_step)
        lua_gc(L, LUA_GCCOLLECT, 0);
      if (loop->is_debugging)
        step_timed(loop, weft_node_of(link), L);
      else
        step(weft_node_of(link), L);
    }
  } while (steps < loop->burst && !weft_list_is_empty(&loop->ready) &&
           !loop->is_stopping &&
           (until == NULL || until->state < WEFT_RETURNED));
  loop->steps += steps;
}

/* Grows or shrinks the burst by how long the last one took. */
static void pace(struct weft_loop *loop, uint64_t now) {
  uint64_t took = now - loop->polled;
  if (took < BURST_SHORT && loop->burst < BURST_MAX)
    loop->burst *= 2;
  else if (took > BURST_LONG)
    loop->burst = 1;
}

/* Ends the poll; also where libuv (up to 1.44) expires timers before it polls,
 * and would then wait for the handles alone. */
static void on_timer(uv_timer_t *timer) {
  uv_stop(timer->loop);
}

/* libuv counts milliseconds and truncates: the deadline is rounded up. */
static void poll_until(struct weft_loop *loop, uint64_t deadline) {
  uint64_t due = deadline / 1000000 + (deadline % 1000000 != 0), now;
  uv_update_time(&loop->uv);
  now = uv_now(&loop->uv);
  uv_timer_start(loop->timer, on_timer, due > now ? due - now : 0, 0);
  uv_run(&loop->uv, UV_RUN_ONCE);
  uv_timer_stop(loop->timer);
}

static void poll_blocking(struct weft_loop *loop, int forever) {
  uint64_t next = weft_timers_next(&loop->timers);
  if (loop->is_virtual && !uv_loop_alive(&loop->uv) && next != UINT64_MAX) {
    if (next > loop->now)
      loop->now = next;
  } else if (next != UINT64_MAX && !loop->is_virtual) {
    poll_until(loop, next);
  } else if (uv_loop_alive(&loop->uv)) {
    uv_run(&loop->uv, UV_RUN_ONCE);
  } else if (forever || has_timer(loop)) {
    poll_until(loop, uv_hrtime() + IDLE_WAIT_MS * UINT64_C(1000000));
  }
}

static void poll(struct weft_loop *loop, int block, int forever) {
  int idle = weft_list_is_empty(&loop->ready) && !loop->is_stopping;
  uint64_t now = uv_hrtime();
  pace(loop, now);
  weft_loop_set_gate(loop, 0);
  if (block && idle)
    poll_blocking(loop, forever);
  else if (uv_loop_alive(&loop->uv))
    uv_run(&loop->uv, UV_RUN_NOWAIT);
  loop->polled = uv_hrtime();
  if (!loop->is_virtual)
    loop->now = loop->polled;
  weft_timers_expire(&loop->timers, loop->now);
  if (loop->polled - loop->trimmed > TRIM_EVERY)
    weft_loop_trim_pool(loop);
}

static int turn(struct weft_loop *loop, lua_State *L, int block, int forever,
                const struct weft_node *until) {
  if (loop->pid != (long)getpid())
    return WEFT_EFORKED;
  if (loop->has_reports) {
    loop->has_reports = 0;
    luaL_checkstack(L, 2, NULL);
    lua_pushliteral(L, "lost");
    weft_loop_report(loop, L, 1);
  }
  run_ready(loop, L, until);
  if (until == NULL || until->state < WEFT_RETURNED)
    poll(loop, block, forever);
  return 0;
}

static void enter(struct weft_loop *loop) {
  loop->vm->loop = loop;
  loop->in_turn = 1;
  loop->polled = uv_hrtime();
  if (!loop->is_virtual)
    loop->now = loop->polled;
}

void weft_loop_leave(struct weft_loop *loop) {
  weft_loop_set_gate(loop, 0);
  loop->in_turn = 0;
  loop->vm->loop = NULL;
  loop->vm->task = NULL;
  loop->vm->running = NULL;
  loop->vm->chain = NULL;
}

int weft_loop_turn(struct weft_loop *loop, lua_State *L, int block) {
  int rc;
  enter(loop);
  loop->burst = 1; /* the host counts in rounds */
  rc = turn(loop, L, block, 0, NULL);
  loop->is_stopping = 0;
  weft_loop_leave(loop);
  return rc;
}

int weft_loop_run(struct weft_loop *loop, lua_State *L,
                  const struct weft_node *until, int forever) {
  int rc;
  enter(loop);
  do {
    rc = turn(loop, L, 1, forever, until);
    if (rc == 0 && until != NULL && until->state >= WEFT_RETURNED)
      rc = WEFT_RUN_DONE;
    else if (rc == 0 && loop->is_stopping)
      rc = WEFT_RUN_STOPPED;
    else if (rc == 0 && !forever && !weft_loop_can_wake(loop))
      rc = WEFT_RUN_IDLE;
    else if (rc == 0)
      continue;
    break;
  } while (1);
  loop->is_stopping = 0;
  weft_loop_leave(loop);
  return rc;
}

/* --- telling the host ---------------------------------------------------- */

void weft_loop_notify(struct weft_loop *loop) {
  if (loop->in_turn || loop->in_wakeup || !loop->has_wakeup)
    return;
  loop->in_wakeup = 1;
  lua_pushliteral(loop->nursery, "wakeup");
  weft_loop_report(loop, loop->nursery, 1);
  loop->in_wakeup = 0;
}

void weft_loop_push(struct weft_loop *loop, struct weft_node *node) {
  weft_list_push(&loop->ready, &node->link);
  if (!loop->in_turn)
    weft_loop_notify(loop);
}
