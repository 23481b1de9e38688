/* SPDX-License-Identifier: MIT */
/*
 * loop/task.h: a coroutine that runs by turns and parks on one operation.
 *
 * Owns: the life of a task (new, ready, running, parked, done), its threads,
 * its cancellation count. Knows what an operation is, not which there are.
 * Invariants: a parked task is on exactly one operation, which completes once:
 * by weft_task_wake or by its abort; only weft_task_step resumes a coroutine.
 */
#ifndef WEFT_LOOP_TASK_H
#define WEFT_LOOP_TASK_H

#include "loop/future.h"

/* What a task can park on. One constant per kind of operation. */
struct weft_op_class {
  const char *name; /* for people: "sleep", "await", ... */
  /* Takes the task off the operation. Must not fail, call Lua or park; after
   * it the operation will not touch the task again. */
  void (*abort)(struct weft_task *task);
  /* Pushes what the wait returns on `co`, whose stack holds, at index 2, the
   * object that the task waited for; returns the number of values. NULL: true.
   * May raise only for want of memory. */
  int (*push)(struct weft_task *task, lua_State *co);
  /* The task to which a cancellation is passed on in place of aborting the
   * wait; NULL (also for the function) when there is none. */
  struct weft_task *(*passes_to)(struct weft_task *task);
};

struct weft_scope;

struct weft_task {
  /* future.node.link: the ready queue, or the list of what it waits for; the
   * timer of a sleeping task lies over it. */
  struct weft_future future;
  const struct weft_op_class *op;
  lua_State *co;             /* the innermost coroutine: the one to resume */
  struct weft_scope *scopes; /* newest first */
  uint32_t slot;             /* anchor of the userdata */
  uint32_t thread;   /* anchor of the task's own coroutine, or the function */
  uint32_t since_ms; /* loop time of the last park */
  uint16_t nargs;    /* values on the stack for the next resume */
  uint16_t cancels;  /* cancel requests not taken back */
};

static inline struct weft_task *weft_task_of(struct weft_list *link) {
  return (struct weft_task *)(void *)weft_node_of(link);
}

/* Makes a task that will call the function at index `fn` of L with the values
 * above it; the class of tasks is at index `metatable`. Returns NULL when C
 * memory is out. [-nargs, +1, m] */
struct weft_task *weft_task_new(lua_State *L, struct weft_loop *loop, int fn,
                                int metatable);

/* Runs one step of a ready task. Raises only for want of memory. */
void weft_task_step(struct weft_task *task, lua_State *L);

/* Makes a parked task ready; its op's push makes the resume values later. */
void weft_task_wake(struct weft_task *task);

/* Makes a parked task ready with the top `n` values of L as what its wait
 * returns, `true` put before them. The op must have let go of it. [-n, +0, m]
 */
void weft_task_wake_with(struct weft_task *task, lua_State *L, int n);

/* Whether a function that may wait may go on: 0, or WEFT_EINTERRUPTED when it
 * must raise the task's own cancellation, or WEFT_ENOTASK. Touches nothing. */
int weft_task_check(struct weft_vm *vm, lua_State *L);
#define WEFT_EINTERRUPTED 1

/* Whether, after that, L can really be suspended: 0, WEFT_EBLOCKED or
 * WEFT_EFOREIGN. Touches nothing. */
int weft_task_check_park(struct weft_vm *vm, lua_State *L);

/* Parks the running task: records `op` and yields the value at index `object`
 * (0: none) to whoever reports on the task. To be returned from the C function
 * that Lua called: its resume values become that function's results. */
int weft_task_park(struct weft_task *task, lua_State *L,
                   const struct weft_op_class *op, int object);

/* As weft_task_park, but ready again at once, behind those ready now. */
int weft_task_pass(struct weft_task *task, lua_State *L);

/* Asks for cancellation: counts it and interrupts the task. Returns 0 if the
 * task is done already. Never raises, never calls Lua. */
int weft_task_cancel(struct weft_task *task);

/* A cancel or an expired scope has come: wakes the task if that concerns it. */
void weft_task_interrupt(struct weft_task *task);

/* Ends a task without running it again, as the loop closes. */
void weft_task_abandon(struct weft_task *task);

/* Parks the running task on a future, whose userdata is at index 1 of L; its
 * outcome is what the wait returns. A cancellation is passed on to the future
 * unless `shielded`, in which case cancellations of before do not count. */
int weft_task_await(struct weft_task *task, lua_State *L,
                    struct weft_future *future, int shielded);

/* Parks the running task until `deadline`. Returns -1 when memory is out. */
int weft_task_sleep(struct weft_task *task, lua_State *L, uint64_t deadline);

/* What a parked task awaits, or NULL if it waits for something else. */
const struct weft_future *weft_task_awaits(const struct weft_task *task);

/* Pushes the light userdata that marks parked coroutines. */
void weft_co_push_mark(lua_State *L);

/* True for a coroutine that lies parked in a wait of weft, or holds the
 * function and arguments of a task that has not started. */
int weft_co_is_parked(lua_State *co);

/* Who resumed `co`, a coroutine of the chain that runs now or lies parked in
 * `task`; NULL at the task's own coroutine. */
lua_State *weft_co_parent(struct weft_task *task, lua_State *co);

/* coroutine.resume for use inside a task: L's stack has the coroutine and the
 * arguments. Returns the number of results, or yields. */
int weft_co_resume(struct weft_vm *vm, lua_State *L);

/* Resumes `co`, which `parent` resumed (NULL: nobody), as the task's, with its
 * top `nargs` values; the results are on its top. Returns a status of
 * lua_resume. For task.c. */
int weft_co_run(struct weft_task *task, lua_State *co, lua_State *parent,
                lua_State *L, int nargs, int *nres);

/* Hands what `co` gave (the top `nres` values, by `status`) to `parent`, which
 * resumed it, and makes that the innermost; *parent is then who resumed that.
 * Returns the number of values to resume it with. For task.c. */
int weft_co_return(struct weft_task *task, lua_State *co, lua_State **parent,
                   lua_State *L, int status, int nres);

/* Pushes, on a coroutine that is about to yield, what leads to its resumer. For
 * task.c; only if the loop resumed it in its resumer's place. */
int weft_co_push_parent(struct weft_task *task, lua_State *L);

/* Runs a function and its arguments (the top nargs + 1 values of `co`) on `co`,
 * a thread of the pool, outside any task; a yield in it raises. Returns LUA_OK
 * or the status of an error. */
int weft_run_outside(struct weft_loop *loop, lua_State *co, lua_State *L,
                     int nargs);

#endif
