/* SPDX-License-Identifier: MIT */
/*
 * bind/fsjob.c: see fsjob.h. While it is on a thread only `fs` is touched
 * there, and here only fs.is_cancelled.
 */
#include "bind/fsjob.h"

static int push_error(struct weft_job *job, lua_State *co) {
  lua_pushnil(co);
  lua_pushstring(co, uv_err_name(job->rc));
  lua_pushstring(co, uv_strerror(job->rc));
  lua_pushstring(co, job->fs.where); /* NULL: nil */
  return 4;
}

static int push_job(struct weft_request *request, lua_State *co) {
  struct weft_job *job = (struct weft_job *)(void *)request;
  int n;
  if (job->rc < 0)
    return push_error(job, co);
  if (job->kind->give == NULL) {
    lua_pushboolean(co, 1);
    return 1;
  }
  n = job->kind->give(job, co);
  job->is_given = 1;
  return n;
}

/* As the loop closes, its anchors have gone before the last jobs end. */
static void unpin(struct weft_job *job) {
  if (job->pin != 0 && job->request.loop->is_open)
    weft_loop_free_slot(job->request.loop, job->pin);
  job->pin = 0;
}

static void deinit_job(struct weft_request *request) {
  struct weft_job *job = (struct weft_job *)(void *)request;
  struct weft_mem *mem = &request->loop->vm->mem;
  if (job->file != NULL)
    job->fs.fd = -1; /* the file's, not the job's */
  if (job->kind->undo != NULL && job->has_run && job->rc == 0 && !job->is_given)
    job->kind->undo(&job->fs);
  weft_file_discard(job);
  weft_fs_deinit(&job->fs);
  mem->blocks += job->fs.mem.blocks; /* should there be a leak, it shows */
  unpin(job);
}

static void cancel_job(struct weft_request *request) {
  struct weft_job *job = (struct weft_job *)(void *)request;
  atomic_store(&job->fs.is_cancelled, 1);
  if (job->is_queued)
    uv_cancel((uv_req_t *)&job->work);
}

static const struct weft_request_class job_class = {
    WEFT_REQUEST_OP("file"), push_job, deinit_job, cancel_job};

struct weft_job *weft_job_new(lua_State *L, const struct weft_job_kind *kind) {
  struct weft_loop *loop = weft_vm_of(L)->loop;
  struct weft_job *job = weft_request_new(L, loop, &job_class, sizeof(*job));
  if (job == NULL) {
    luaL_error(L, "not enough memory");
    return NULL;
  }
  weft_fs_init(&job->fs);
  weft_list_init(&job->link);
  job->kind = kind;
  return job;
}

void weft_job_set_data(struct weft_job *job, lua_State *L, int idx) {
  struct weft_loop *loop = job->request.loop;
  job->fs.data = lua_tolstring(L, idx, &job->fs.size);
  job->pin = weft_loop_take_slot(loop, L);
  if (job->pin == 0)
    luaL_error(L, "not enough memory");
  lua_pushvalue(L, idx);
  lua_xmove(L, loop->home, 1);
  lua_rawseti(loop->home, WEFT_HOME_ANCHORS, (int)job->pin);
}

static void on_work(uv_work_t *work) {
  struct weft_job *job = WEFT_CONTAINER_OF(work, struct weft_job, work);
  job->rc = atomic_load(&job->fs.is_cancelled) ? UV_ECANCELED
                                               : job->kind->run(&job->fs);
}

static void on_done(uv_work_t *work, int status) {
  struct weft_job *job = WEFT_CONTAINER_OF(work, struct weft_job, work);
  job->is_queued = 0;
  job->has_run = status == 0;
  if (status != 0)
    job->rc = status;
  job->done(job);
}

int weft_job_queue(struct weft_job *job, void (*done)(struct weft_job *job)) {
  int rc = uv_queue_work(&job->request.loop->uv, &job->work, on_work, on_done);
  job->done = done;
  job->is_queued = rc == 0;
  return rc;
}

void weft_job_end(struct weft_job *job) {
  weft_request_complete(&job->request);
}

int weft_job_wait(struct weft_job *job, lua_State *L, int object) {
  int rc = weft_job_queue(job, weft_job_end);
  if (rc != 0)
    return weft_raise(L, rc);
  return weft_request_park(&job->request, weft_vm_of(L)->task, L, object);
}
