/* SPDX-License-Identifier: MIT */
/*
 * loop/worker.h: a loop's own threads, each with a lua_State of its own, that
 * call functions for its tasks.
 *
 * Owns: the threads and the calls on their way. Knows how a call gets to a
 * thread and back, not what runs there (work.h).
 * Invariants: what both sides touch is in struct weft_pool and is touched under
 * its lock; a call belongs to the loop until it is submitted, then to the pool,
 * from when it is done to the loop again; each call that was submitted is
 * handed to on_done once. The lua_States share nothing.
 *
 * As the loop closes, the threads end and are joined. One whose function goes
 * on is waited for WEFT_WORKER_GRACE_MS and then left to itself: it ends when
 * the function does, and frees what is left.
 */
#ifndef WEFT_LOOP_WORKER_H
#define WEFT_LOOP_WORKER_H

#include <uv.h>

#include "base/buffer.h"
#include "base/closer.h"
#include "base/list.h"

#define WEFT_WORKER_STACK \
  ((size_t)4 << 20) /* bytes; some systems give 128 KiB */
#define WEFT_WORKER_MAX                                 \
  4 /* threads of a pool by default, if there are cores \
     */
#define WEFT_WORKER_IDLE_MS 10000 /* after which a thread has nothing to do */
/* How long closing a loop waits for functions that are under way: enough for
 * what is about to end, little for who waits. */
#define WEFT_WORKER_GRACE_MS 2000
/* Threads, beside the limit, whose function goes on though nobody waits for it;
 * with more, calls wait for one of them to end. */
#define WEFT_WORKER_LOST_MAX 64

enum weft_call_state { WEFT_CALL_QUEUED, WEFT_CALL_RUNNING, WEFT_CALL_DONE };

struct weft_worker;

struct weft_call {
  struct weft_list link;    /* the pool's queue, or what is done: locked */
  struct weft_list sibling; /* all calls of the pool: the loop's */
  struct weft_mem mem;      /* its own: used by whom the call belongs to */
  struct weft_buffer in, out;
  int status;                 /* as the work set it */
  enum weft_call_state state; /* locked */
  struct weft_worker *worker; /* while it runs: locked */
  void *owner;                /* the loop's: for on_done */
  unsigned char is_wanted;    /* the loop's: somebody waits */
};

struct weft_pool_statistics {
  unsigned threads, idle, queued, lost;
  unsigned long completed;
};

struct weft_pool;

/* A call for `owner`, with empty messages; NULL when memory is out. */
struct weft_call *weft_call_new(void *owner);
void weft_call_free(struct weft_call *call);

/* Makes the pool of a loop; no thread is started yet. `on_done` is called in
 * the loop when a call is the loop's again, or, with NULL, when the pool was
 * closed and the call is with a thread for ever; it must not call the pool.
 * *box is set to NULL when the loop closes. 0 or a libuv error. */
int weft_pool_open(struct weft_pool **box, uv_loop_t *loop,
                   void (*on_done)(void *owner, struct weft_call *call));

/* Closes it; see above. Blocks. Idempotent. */
void weft_pool_close(struct weft_pool *pool);

/* Queues a call, and starts a thread if none is idle. 0, or a libuv error when
 * no thread could be started and none is there: then the call is the caller's.
 */
int weft_pool_submit(struct weft_pool *pool, struct weft_call *call);

/* Nobody waits for the call any more: takes it out of the queue, or lets it run
 * on and its thread end. on_done comes all the same, later. */
void weft_pool_cancel(struct weft_pool *pool, struct weft_call *call);

/* How many threads there may be, 1 or more. */
void weft_pool_limit(struct weft_pool *pool, unsigned limit);

void weft_pool_count(struct weft_pool *pool, struct weft_pool_statistics *st);

#endif
