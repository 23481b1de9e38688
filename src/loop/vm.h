/* SPDX-License-Identifier: MIT */
/*
 * loop/vm.h: what weft keeps for one lua_State, and the small structs that all
 * of src/loop shares.
 *
 * Owns: struct weft_vm (one per lua_State, in a userdata that the module's
 * functions hold as their first upvalue). There are no C globals, so that any
 * number of lua_States in any number of threads can use weft at once.
 */
#ifndef WEFT_LOOP_VM_H
#define WEFT_LOOP_VM_H

#include <stdint.h>

#include "base/list.h"
#include "base/mem.h"
#include "loop/compat.h"

struct weft_loop;
struct weft_task;
struct weft_chain;

struct weft_vm {
  struct weft_mem mem;
  struct weft_loop *loop; /* the loop that is in a turn, or NULL */
  struct weft_task *task; /* the task that runs now, or NULL */
  /* The coroutine that weft itself resumed last: the only one that may wait.
   * NULL while its resumer could not pass a wait on. */
  lua_State *running;
  struct weft_chain *chain; /* coroutines resumed by `running`'s resumers */
  uint32_t depth;           /* of coroutines that weft resumes in others */
  int gate_is_open;         /* what the Lua table `gate` says at [1] */
};

/* What can stand in a ready queue or in a list of waiters. */
enum weft_kind {
  WEFT_KIND_FUTURE,
  WEFT_KIND_TASK,
  WEFT_KIND_CALLBACK,
  WEFT_KIND_WATCH
};

struct weft_node {
  struct weft_list link;
  struct weft_loop *loop; /* borrowed: the node's userdata keeps it alive */
  uint32_t id;
  uint8_t kind, state;
  uint16_t flags;
};

static inline struct weft_node *weft_node_of(struct weft_list *link) {
  return WEFT_CONTAINER_OF(link, struct weft_node, link);
}

/* Each loop has a coroutine, `home`, that never runs: its stack holds what the
 * loop needs at hand, and threads are made from it. */
enum weft_home {
  WEFT_HOME_ANCHORS = 1, /* array: what the loop keeps from being collected */
  WEFT_HOME_ROOT,        /* table set on tasks' userdata: keeps the loop */
  WEFT_HOME_GATE,        /* [1]: true while a fast path needs no check */
  WEFT_HOME_TASK,        /* metatables */
  WEFT_HOME_FUTURE,
  WEFT_HOME_CALLBACK,
  WEFT_HOME_FAILURE,
  WEFT_HOME_ERROR,       /* metatable of weft.Error */
  WEFT_HOME_REPORT,      /* function(loop, what, ...) that takes reports */
  WEFT_HOME_WAKEUP,      /* function or nil: the host's on_wakeup */
  WEFT_HOME_UNRETRIEVED, /* weak set of failures that nobody looked at */
  WEFT_HOME_SIZE = WEFT_HOME_UNRETRIEVED
};

#endif
