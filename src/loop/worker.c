/* SPDX-License-Identifier: MIT */
/*
 * loop/worker.c: see worker.h.
 * Memory: pool and threads come from pool->mem, under the lock; the pool is
 * freed by the last of the loop's side and the threads. A call has a struct
 * weft_mem of its own, so that the work can allocate without a lock.
 */
#include "loop/worker.h"

#include <dlfcn.h>
#include <pthread.h>
#include <unistd.h>

#include "loop/work.h"

struct weft_worker {
  struct weft_list link; /* pool->workers */
  struct weft_pool *pool;
  pthread_t thread;
  unsigned char is_ended; /* may be joined at once */
  unsigned char is_lost;  /* its function goes on for nobody: ends after it */
  unsigned char is_alone; /* the pool was closed: nobody will join it */
};

struct weft_pool {
  struct weft_closer closer;
  uv_async_t async;
  struct weft_pool **box;
  void (*on_done)(void *owner, struct weft_call *call);
  struct weft_list calls; /* all that were submitted and not given back */
  unsigned wanted;        /* calls that somebody waits for */
  /* what follows is locked */
  uv_mutex_t lock;
  uv_cond_t work, ended;
  struct weft_mem mem;
  struct weft_list queue, done, workers;
  unsigned threads, idle, lost, queued, limit, users;
  unsigned long completed;
  unsigned char is_closed;
};

/* --- calls --------------------------------------------------------------- */

struct weft_call *weft_call_new(void *owner) {
  struct weft_mem mem = {0};
  struct weft_call *call = weft_calloc(&mem, sizeof(*call));
  if (call == NULL)
    return NULL;
  call->mem = mem;
  call->owner = owner;
  weft_list_init(&call->link);
  weft_list_init(&call->sibling);
  weft_buffer_init(&call->in);
  weft_buffer_init(&call->out);
  return call;
}

void weft_call_free(struct weft_call *call) {
  struct weft_mem mem;
  if (call == NULL)
    return;
  weft_buffer_deinit(&call->in, &call->mem);
  weft_buffer_deinit(&call->out, &call->mem);
  mem = call->mem;
  weft_free(&mem, call);
}

/* --- a thread ------------------------------------------------------------ */

/* Drops one use of the pool, whose lock is held; unlocks. */
static void leave_pool(struct weft_pool *pool) {
  struct weft_mem mem;
  int is_last = --pool->users == 0;
  uv_mutex_unlock(&pool->lock);
  if (!is_last)
    return;
  uv_cond_destroy(&pool->work);
  uv_cond_destroy(&pool->ended);
  uv_mutex_destroy(&pool->lock);
  mem = pool->mem;
  weft_free(&mem, pool);
}

/* Whether a thread whose function nobody waited for is needed after all, as
 * none could be started in its place. Locked. */
static int is_found(struct weft_worker *worker) {
  struct weft_pool *pool = worker->pool;
  if (worker->is_lost && pool->threads < pool->limit) {
    worker->is_lost = 0;
    pool->lost--;
    pool->threads++;
  }
  return !worker->is_lost;
}

static struct weft_call *take_call(struct weft_worker *worker) {
  struct weft_list *link = weft_list_pop(&worker->pool->queue);
  struct weft_call *call;
  if (link == NULL)
    return NULL;
  worker->pool->queued--;
  call = WEFT_CONTAINER_OF(link, struct weft_call, link);
  call->state = WEFT_CALL_RUNNING;
  call->worker = worker;
  return call;
}

/* Waits for a call; NULL: the thread is to end. Locked. */
static struct weft_call *next_call(struct weft_worker *worker) {
  struct weft_pool *pool = worker->pool;
  int rc = 0;
  while (!pool->is_closed && is_found(worker)) {
    struct weft_call *call = take_call(worker);
    if (call != NULL)
      return call;
    if (rc == UV_ETIMEDOUT)
      return NULL;
    pool->idle++;
    rc = uv_cond_timedwait(&pool->work, &pool->lock,
                           WEFT_WORKER_IDLE_MS * UINT64_C(1000000));
    pool->idle--;
  }
  return NULL;
}

/* Gives a call back, or frees it if there is nobody to take it. Locked. */
static void give_back(struct weft_pool *pool, struct weft_call *call) {
  call->worker = NULL;
  call->state = WEFT_CALL_DONE;
  pool->completed++;
  if (pool->is_closed) {
    weft_call_free(call);
    return;
  }
  weft_list_push(&pool->done, &call->link);
  uv_async_send(&pool->async);
}

/* Tells that the thread has ended, as the last thing it does. Locked; unlocks.
 */
static void end_worker(struct weft_worker *worker) {
  struct weft_pool *pool = worker->pool;
  worker->is_ended = 1;
  if (worker->is_lost)
    pool->lost--;
  else
    pool->threads--;
  if (worker->is_alone) {
    weft_list_remove(&worker->link);
    weft_free(&pool->mem, worker);
  } else {
    uv_cond_signal(&pool->ended);
    if (!pool->is_closed)
      uv_async_send(&pool->async); /* to be joined */
  }
  leave_pool(pool);
}

static void *run_worker(void *arg) {
  struct weft_worker *worker = arg;
  struct weft_pool *pool = worker->pool;
  struct weft_call *call;
  lua_State *L = NULL;
  uv_mutex_lock(&pool->lock);
  while ((call = next_call(worker)) != NULL) {
    uv_mutex_unlock(&pool->lock);
    L = weft_work_run(L, call);
    uv_mutex_lock(&pool->lock);
    give_back(pool, call);
  }
  uv_mutex_unlock(&pool->lock);
  weft_work_close(L);
  uv_mutex_lock(&pool->lock);
  end_worker(worker);
  return NULL;
}

/* A thread may outlive the lua_State that loaded this module, which would take
 * the code away from under it. */
static void keep_module(void) {
  Dl_info info;
  static const char here;
  if (dladdr(&here, &info) != 0 && info.dli_fname != NULL)
    dlopen(info.dli_fname, RTLD_NOW | RTLD_NOLOAD | RTLD_NODELETE);
}

/* Locked. */
static int start_worker(struct weft_pool *pool) {
  struct weft_worker *worker = weft_calloc(&pool->mem, sizeof(*worker));
  pthread_attr_t attr;
  int rc;
  if (worker == NULL)
    return UV_ENOMEM;
  keep_module();
  worker->pool = pool;
  pthread_attr_init(&attr);
  pthread_attr_setstacksize(&attr, WEFT_WORKER_STACK);
  rc = pthread_create(&worker->thread, &attr, run_worker, worker);
  pthread_attr_destroy(&attr);
  if (rc != 0) {
    weft_free(&pool->mem, worker);
    return uv_translate_sys_error(rc);
  }
  weft_list_push(&pool->workers, &worker->link);
  pool->threads++;
  pool->users++;
  return 0;
}

/* --- the loop's side ----------------------------------------------------- */

/* Joins the threads that have ended. Locked; a join takes no time. */
static void join_ended(struct weft_pool *pool) {
  struct weft_list *link = pool->workers.next;
  while (link != &pool->workers) {
    struct weft_worker *worker =
        WEFT_CONTAINER_OF(link, struct weft_worker, link);
    link = link->next;
    if (!worker->is_ended)
      continue;
    weft_list_remove(&worker->link);
    uv_mutex_unlock(&pool->lock); /* its last act is to unlock */
    pthread_join(worker->thread, NULL);
    uv_mutex_lock(&pool->lock);
    weft_free(&pool->mem, worker);
    link = pool->workers.next;
  }
}

/* While somebody waits, the loop does not end for want of anything to do. */
static void want(struct weft_pool *pool, struct weft_call *call, int is) {
  if (call->is_wanted == is)
    return;
  call->is_wanted = (unsigned char)is;
  pool->wanted += is ? 1u : -1u;
  if (pool->wanted != 0)
    uv_ref((uv_handle_t *)&pool->async);
  else
    uv_unref((uv_handle_t *)&pool->async);
}

static void hand_over(struct weft_pool *pool, struct weft_call *call) {
  weft_list_remove(&call->sibling);
  want(pool, call, 0);
  pool->on_done(call->owner, call);
}

static void on_async(uv_async_t *async) {
  struct weft_pool *pool = WEFT_CONTAINER_OF(async, struct weft_pool, async);
  struct weft_list done, *link;
  weft_list_init(&done);
  uv_mutex_lock(&pool->lock);
  weft_list_splice(&done, &pool->done);
  join_ended(pool);
  uv_mutex_unlock(&pool->lock);
  while ((link = weft_list_pop(&done)) != NULL)
    hand_over(pool, WEFT_CONTAINER_OF(link, struct weft_call, link));
}

static unsigned default_limit(void) {
  long cores = sysconf(_SC_NPROCESSORS_ONLN);
  return cores < 1                 ? 1
         : cores < WEFT_WORKER_MAX ? (unsigned)cores
                                   : WEFT_WORKER_MAX;
}

static void on_loop_close(struct weft_closer *closer) {
  weft_pool_close(
      (struct weft_pool *)(void *)((char *)closer -
                                   offsetof(struct weft_pool, closer)));
}

static struct weft_pool *new_pool(void) {
  struct weft_mem mem = {0};
  struct weft_pool *pool = weft_calloc(&mem, sizeof(*pool));
  if (pool == NULL)
    return NULL;
  pool->mem = mem;
  pool->closer.close = on_loop_close;
  weft_list_init(&pool->calls);
  weft_list_init(&pool->queue);
  weft_list_init(&pool->done);
  weft_list_init(&pool->workers);
  pool->limit = default_limit();
  pool->users = 1;
  return pool;
}

int weft_pool_open(struct weft_pool **box, uv_loop_t *loop,
                   void (*on_done)(void *owner, struct weft_call *call)) {
  struct weft_pool *pool = new_pool();
  struct weft_mem mem;
  int rc = pool != NULL ? 0 : UV_ENOMEM;
  if (rc == 0 && (rc = uv_async_init(loop, &pool->async, on_async)) != 0) {
    mem = pool->mem;
    weft_free(&mem, pool);
  }
  if (rc != 0)
    return rc;
  pool->async.data = pool;
  pool->on_done = on_done;
  pool->box = box;
  uv_unref((uv_handle_t *)&pool->async);
  uv_mutex_init(&pool->lock);
  uv_cond_init(&pool->work);
  uv_cond_init(&pool->ended);
  *box = pool;
  return 0;
}

int weft_pool_submit(struct weft_pool *pool, struct weft_call *call) {
  int rc = 0;
  uv_mutex_lock(&pool->lock);
  join_ended(pool);
  weft_list_push(&pool->queue, &call->link);
  call->state = WEFT_CALL_QUEUED;
  pool->queued++;
  if (pool->queued > pool->idle && pool->threads < pool->limit)
    rc = start_worker(pool);
  else
    uv_cond_signal(&pool->work);
  if (pool->threads > 0)
    rc = 0;
  if (rc != 0) {
    weft_list_remove(&call->link);
    pool->queued--;
  }
  uv_mutex_unlock(&pool->lock);
  if (rc == 0) {
    weft_list_push(&pool->calls, &call->sibling);
    want(pool, call, 1);
  }
  return rc;
}

/* Its thread does not count any more, so that others are served meanwhile. */
static void lose_worker(struct weft_pool *pool, struct weft_worker *worker) {
  if (worker->is_lost || pool->lost >= WEFT_WORKER_LOST_MAX)
    return;
  worker->is_lost = 1;
  pool->lost++;
  pool->threads--;
  if (pool->queued > pool->idle)
    start_worker(pool);
}

void weft_pool_cancel(struct weft_pool *pool, struct weft_call *call) {
  want(pool, call, 0);
  uv_mutex_lock(&pool->lock);
  if (call->state == WEFT_CALL_QUEUED) {
    weft_list_remove(&call->link);
    pool->queued--;
    call->state = WEFT_CALL_DONE;
    weft_list_push(&pool->done, &call->link);
    uv_async_send(&pool->async);
  } else if (call->state == WEFT_CALL_RUNNING) {
    lose_worker(pool, call->worker);
  }
  uv_mutex_unlock(&pool->lock);
}

void weft_pool_limit(struct weft_pool *pool, unsigned limit) {
  uv_mutex_lock(&pool->lock);
  pool->limit = limit;
  uv_mutex_unlock(&pool->lock);
}

void weft_pool_count(struct weft_pool *pool, struct weft_pool_statistics *st) {
  uv_mutex_lock(&pool->lock);
  st->threads = pool->threads;
  st->idle = pool->idle;
  st->lost = pool->lost;
  st->completed = pool->completed;
  st->queued = pool->queued;
  uv_mutex_unlock(&pool->lock);
}

/* --- closing ------------------------------------------------------------- */

/* Waits until all threads have ended, or the grace is over. Locked. */
static void await_workers(struct weft_pool *pool) {
  uint64_t deadline = uv_hrtime() + WEFT_WORKER_GRACE_MS * UINT64_C(1000000);
  uv_cond_broadcast(&pool->work);
  join_ended(pool);
  while (!weft_list_is_empty(&pool->workers)) {
    uint64_t now = uv_hrtime();
    if (now >= deadline)
      return;
    uv_cond_timedwait(&pool->ended, &pool->lock, deadline - now);
    join_ended(pool);
  }
}

static void leave_workers(struct weft_pool *pool) {
  struct weft_list *link;
  for (link = pool->workers.next; link != &pool->workers; link = link->next) {
    struct weft_worker *worker =
        WEFT_CONTAINER_OF(link, struct weft_worker, link);
    worker->is_alone = 1;
    pthread_detach(worker->thread);
  }
}

static void on_async_closed(uv_handle_t *handle) {
  struct weft_pool *pool = WEFT_CONTAINER_OF(handle, struct weft_pool, async);
  uv_mutex_lock(&pool->lock);
  leave_pool(pool);
}

/* Gives all calls back but those that run: these their threads will free. */
static void give_up_calls(struct weft_pool *pool) {
  while (!weft_list_is_empty(&pool->calls)) {
    struct weft_call *call =
        WEFT_CONTAINER_OF(pool->calls.next, struct weft_call, sibling);
    weft_list_remove(&call->sibling);
    if (call->state == WEFT_CALL_RUNNING) {
      pool->on_done(call->owner, NULL);
    } else {
      weft_list_remove(&call->link);
      pool->on_done(call->owner, call);
    }
  }
  pool->queued = 0;
}

void weft_pool_close(struct weft_pool *pool) {
  if (pool->is_closed)
    return;
  *pool->box = NULL;
  uv_mutex_lock(&pool->lock);
  pool->is_closed = 1;
  give_up_calls(pool);
  await_workers(pool);
  leave_workers(pool);
  uv_mutex_unlock(&pool->lock);
  uv_close((uv_handle_t *)&pool->async, on_async_closed);
}
