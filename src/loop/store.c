/* SPDX-License-Identifier: MIT */
/*
 * loop/store.c: what a loop keeps at hand: anchors, threads, the gate, and the
 * thread on which it calls its Lua report function.
 *
 * Owns: the array of anchors and its free slots, the pool of finished threads.
 * Slots are numbers in one table, because a registry reference costs a hash
 * look-up and a light userdata key far more at 200,000 live tasks.
 */
#include <stdio.h>

#include "loop/loop.h"
#include "loop/task.h"

#define FIRST_SLOTS 64u
#define POOL_MIN 1024u /* finished threads always kept, 0.5 KB each */

/* --- anchors ------------------------------------------------------------- */

/* A new, larger array; storing into the old one past its end would make it grow
 * through its hash part, at twice the memory. */
static void grow_anchors(struct weft_loop *loop, lua_State *L) {
  uint32_t capacity =
      loop->slot_capacity != 0 ? loop->slot_capacity * 2 : FIRST_SLOTS;
  uint32_t i;
  luaL_checkstack(L, 4, NULL);
  lua_createtable(L, (int)capacity, 0);
  lua_pushvalue(loop->home, WEFT_HOME_ANCHORS);
  lua_xmove(loop->home, L, 1); /* new old */
  for (i = 1; i <= capacity; i++) {
    if (i <= loop->slot_top)
      lua_rawgeti(L, -1, (int)i);
    else
      lua_pushboolean(L, 0);
    lua_rawseti(L, -3, (int)i);
  }
  lua_pop(L, 1);
  lua_xmove(L, loop->home, 1);
  lua_replace(loop->home, WEFT_HOME_ANCHORS);
  loop->slot_capacity = capacity;
}

static int resize(struct weft_loop *loop, uint32_t **array) {
  uint32_t *larger = weft_realloc(&loop->vm->mem, *array,
                                  loop->slot_capacity * sizeof(**array));
  if (larger == NULL)
    return -1;
  *array = larger;
  return 0;
}

/* The list of free slots must be able to hold every slot, so that freeing one
 * cannot fail. */
static int reserve_free_slots(struct weft_loop *loop) {
  if (loop->free_capacity >= loop->slot_capacity)
    return 0;
  if (resize(loop, &loop->free_slots) != 0 || resize(loop, &loop->uses) != 0)
    return -1;
  loop->free_capacity = loop->slot_capacity;
  return 0;
}

uint32_t weft_loop_take_slot(struct weft_loop *loop, lua_State *L) {
  if (loop->free_count > 0)
    return loop->free_slots[--loop->free_count];
  if (loop->slot_top == loop->slot_capacity)
    grow_anchors(loop, L);
  if (reserve_free_slots(loop) != 0)
    return 0;
  return ++loop->slot_top;
}

void weft_loop_free_slot(struct weft_loop *loop, uint32_t slot) {
  lua_pushboolean(loop->home, 0);
  lua_rawseti(loop->home, WEFT_HOME_ANCHORS, (int)slot);
  loop->free_slots[loop->free_count++] = slot;
}

uint32_t weft_loop_keep_function(struct weft_loop *loop, lua_State *L,
                                 int idx) {
  const void *function = lua_topointer(L, idx);
  uint32_t slot = loop->function_slot;
  if (function == loop->function) {
    loop->uses[slot - 1]++;
    return slot;
  }
  slot = weft_loop_take_slot(loop, L);
  if (slot == 0)
    return 0;
  lua_pushvalue(L, idx);
  lua_xmove(L, loop->home, 1);
  lua_rawseti(loop->home, WEFT_HOME_ANCHORS, (int)slot);
  loop->uses[slot - 1] = 1;
  loop->function = function;
  loop->function_slot = slot;
  return slot;
}

void weft_loop_take_function(struct weft_loop *loop, uint32_t slot,
                             lua_State *co) {
  lua_rawgeti(loop->home, WEFT_HOME_ANCHORS, (int)slot);
  lua_xmove(loop->home, co, 1);
  if (--loop->uses[slot - 1] != 0)
    return;
  if (slot == loop->function_slot)
    loop->function = NULL;
  weft_loop_free_slot(loop, slot);
}

static int has_metatable(lua_State *home, int which) {
  int is = 0;
  if (lua_getmetatable(home, -1)) {
    is = lua_rawequal(home, -1, which);
    lua_pop(home, 1);
  }
  return is;
}

struct weft_node *weft_loop_anchored(struct weft_loop *loop, uint32_t slot) {
  lua_State *home = loop->home;
  struct weft_node *node = NULL;
  lua_rawgeti(home, WEFT_HOME_ANCHORS, (int)slot);
  if (lua_isuserdata(home, -1) && (has_metatable(home, WEFT_HOME_TASK) ||
                                   has_metatable(home, WEFT_HOME_CALLBACK)))
    node = lua_touserdata(home, -1);
  lua_pop(home, 1);
  return node;
}

/* --- threads ------------------------------------------------------------- */

struct weft_thread weft_loop_take_thread(struct weft_loop *loop, lua_State *L) {
  struct weft_thread thread = {NULL, 0};
  if (loop->pool_count > 0)
    return loop->pool[--loop->pool_count];
  thread.slot = weft_loop_take_slot(loop, L);
  if (thread.slot == 0)
    return thread;
  /* Not from L, whose host data (OpenResty's) may be some request's; and not
   * from `home`: the collector calls finalizers on the stack of the thread that
   * allocates, where home's values would not be found by their places. */
  thread.co = lua_newthread(loop->nursery);
  lua_xmove(loop->nursery, loop->home, 1);
  lua_rawseti(loop->home, WEFT_HOME_ANCHORS, (int)thread.slot);
  return thread;
}

void weft_loop_drop_thread(struct weft_loop *loop, struct weft_thread thread) {
  weft_loop_free_slot(loop, thread.slot);
}

static int grow_pool(struct weft_loop *loop) {
  uint32_t capacity = loop->pool_capacity != 0 ? loop->pool_capacity * 2 : 64;
  struct weft_thread *pool =
      weft_realloc(&loop->vm->mem, loop->pool, capacity * sizeof(*pool));
  if (pool == NULL)
    return -1;
  loop->pool = pool;
  loop->pool_capacity = capacity;
  return 0;
}

void weft_loop_give_thread(struct weft_loop *loop, struct weft_thread thread) {
  if (loop->pool_count < loop->pool_capacity || grow_pool(loop) == 0)
    loop->pool[loop->pool_count++] = thread;
  else
    weft_loop_drop_thread(loop, thread);
}

void weft_loop_trim_pool(struct weft_loop *loop) {
  uint32_t keep = loop->peak > POOL_MIN ? loop->peak : POOL_MIN;
  while (loop->pool_count > keep)
    weft_loop_drop_thread(loop, loop->pool[--loop->pool_count]);
  loop->peak = loop->tasks;
  loop->trimmed = loop->polled;
}

void weft_loop_free_store(struct weft_loop *loop) {
  weft_free(&loop->vm->mem, loop->pool);
  weft_free(&loop->vm->mem, loop->free_slots);
  weft_free(&loop->vm->mem, loop->uses);
  loop->uses = NULL;
  loop->function = NULL;
  loop->pool = NULL;
  loop->free_slots = NULL;
  loop->pool_count = loop->pool_capacity = 0;
  loop->free_count = loop->free_capacity = 0;
  loop->slot_top = loop->slot_capacity = 0;
}

/* --- gate and reports ---------------------------------------------------- */

void weft_loop_set_gate(struct weft_loop *loop, int open) {
  if (loop->vm->gate_is_open == open)
    return;
  loop->vm->gate_is_open = open;
  lua_pushboolean(loop->home, open);
  lua_rawseti(loop->home, WEFT_HOME_GATE, 1);
}

void weft_loop_report(struct weft_loop *loop, lua_State *L, int n) {
  struct weft_thread thread = weft_loop_take_thread(loop, L);
  lua_State *co = thread.co;
  int status;
  if (co == NULL || !lua_checkstack(co, n + 2)) {
    lua_pop(L, n);
    return;
  }
  lua_pushvalue(loop->home, WEFT_HOME_REPORT);
  lua_xmove(loop->home, co, 1);
  lua_xmove(L, co, n);
  status = weft_run_outside(loop, co, L, n);
  if (status == LUA_OK) {
    lua_settop(co, 0);
    weft_loop_give_thread(loop, thread);
    return;
  }
  fprintf(stderr, "weft: error in an error report: %s\n",
          lua_isstring(co, -1) ? lua_tostring(co, -1) : "(not a string)");
  weft_loop_drop_thread(loop, thread);
}
