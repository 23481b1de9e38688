/* SPDX-License-Identifier: MIT */
/*
 * bind/l_file.c: open files for Lua.
 *
 * Owns: struct weft_file: the descriptor, where reading and writing stand, and
 * the work in line. Invariants: one piece of work at a time is under way on a
 * file, in the order of the calls, so that no two writes mix; the descriptor is
 * closed only when none is, so that no thread can meet another file under its
 * number; the position moves only by work whose result was delivered, so that a
 * read that was cancelled loses nothing.
 */
#include "bind/fsjob.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/err.h"

struct weft_file {
  struct weft_list link;  /* the loop's open files */
  struct weft_loop *loop; /* kept by the userdata's table */
  struct weft_file **box; /* the userdata; NULL once closed */
  struct weft_job *job;   /* under way, or NULL */
  struct weft_list jobs;  /* in line behind it */
  int64_t position;
  int fd;
  uint8_t is_seekable, is_append, is_closed;
};

/* --- closing ------------------------------------------------------------- */

/* The closing of a descriptor, on a thread, as it may block. */
struct closing {
  uv_work_t work;
  struct weft_mem *mem;
  int fd;
};

static void on_close_work(uv_work_t *work) {
  close(((struct closing *)work->data)->fd);
}

static void on_close_done(uv_work_t *work, int status) {
  struct closing *closing = work->data;
  (void)status;
  weft_free(closing->mem, closing);
}

static void close_descriptor(struct weft_loop *loop, int fd) {
  struct weft_mem *mem = &loop->vm->mem;
  struct closing *closing = NULL;
  if (loop->is_open && loop->pid == (long)getpid())
    closing = weft_malloc(mem, sizeof(*closing));
  if (closing != NULL) {
    closing->work.data = closing;
    closing->mem = mem;
    closing->fd = fd;
    if (uv_queue_work(&loop->uv, &closing->work, on_close_work,
                      on_close_done) == 0)
      return;
    weft_free(mem, closing);
  }
  close(fd);
}

/* Closes the descriptor and frees the struct as soon as that can be. */
static void release_file(struct weft_file *file) {
  if (!file->is_closed || file->job != NULL || !weft_list_is_empty(&file->jobs))
    return;
  close_descriptor(file->loop, file->fd);
  weft_free(&file->loop->vm->mem, file);
}

static void close_file(struct weft_file **box) {
  struct weft_file *file = *box;
  if (file == NULL)
    return;
  *box = NULL;
  file->box = NULL;
  file->is_closed = 1;
  weft_list_remove(&file->link);
  release_file(file);
}

/* --- the loop's files ---------------------------------------------------- */

/* As the loop closes, so do its files: it is told by a handle that never does
 * anything else. (When an object is collected nobody can say: compiled code may
 * hold on to it.) */
struct files {
  struct weft_closer closer;
  struct weft_mem *mem;
  struct weft_list open;
  uv_async_t uv;
};

static void on_files_closed(uv_handle_t *handle) {
  struct files *files = handle->data;
  weft_free(files->mem, files);
}

static void on_loop_close(struct weft_closer *closer) {
  struct files *files = (struct files *)(void *)closer;
  while (!weft_list_is_empty(&files->open)) {
    struct weft_file *file =
        WEFT_CONTAINER_OF(files->open.next, struct weft_file, link);
    close_file(file->box);
  }
  uv_close((uv_handle_t *)&files->uv, on_files_closed);
}

static struct files *new_files(struct weft_loop *loop) {
  struct files *files = weft_calloc(&loop->vm->mem, sizeof(*files));
  if (files == NULL)
    return NULL;
  if (uv_async_init(&loop->uv, &files->uv, NULL) != 0) {
    weft_free(&loop->vm->mem, files);
    return NULL;
  }
  uv_unref((uv_handle_t *)&files->uv);
  files->uv.data = files;
  files->closer.close = on_loop_close;
  files->mem = &loop->vm->mem;
  weft_list_init(&files->open);
  return files;
}

/* Those of a loop, made if need be; its root table leads to them. [-0, +0, m]
 */
static struct files *files_of(struct weft_loop *loop, lua_State *L) {
  struct files *files;
  lua_pushvalue(loop->home, WEFT_HOME_ROOT);
  lua_xmove(loop->home, L, 1);
  lua_getfield(L, -1, "files");
  files = lua_touserdata(L, -1);
  if (files == NULL) {
    lua_pushboolean(L, 0);
    lua_setfield(L, -3, "files"); /* so that there is room for it */
    files = new_files(loop);
    lua_pushlightuserdata(L, files);
    lua_setfield(L, -3, "files");
  }
  lua_pop(L, 2);
  return files;
}

/* --- the line ------------------------------------------------------------ */

static void move_on(struct weft_file *file, const struct weft_job *job) {
  const struct weft_fs *fs = &job->fs;
  if (job->kind->run == weft_fs_append)
    file->position = fs->offset;
  else if (job->kind->run == weft_fs_write)
    file->position += (int64_t)fs->size;
  else
    file->position += (int64_t)weft_buffer_size(&fs->out);
}

static void start_next(struct weft_file *file);

static void on_file_done(struct weft_job *job) {
  struct weft_file *file = job->file;
  if (job->is_at && job->rc == 0 && job->request.task != NULL)
    move_on(file, job);
  file->job = NULL;
  weft_job_end(job);
  start_next(file);
  release_file(file);
}

static int start_job(struct weft_file *file, struct weft_job *job) {
  if (file->is_closed)
    return UV_EBADF;
  job->fs.fd = file->fd;
  job->fs.is_seekable = file->is_seekable;
  if (job->is_at && file->is_seekable)
    job->fs.offset = file->position;
  return weft_job_queue(job, on_file_done);
}

/* Work that nobody waits for any more is passed over. */
static void start_next(struct weft_file *file) {
  struct weft_list *link;
  while (file->job == NULL && (link = weft_list_pop(&file->jobs)) != NULL) {
    struct weft_job *job = WEFT_CONTAINER_OF(link, struct weft_job, link);
    int rc = job->request.task != NULL ? start_job(file, job) : UV_ECANCELED;
    if (rc == 0) {
      file->job = job; /* whose rc is the thread's from now on */
    } else {
      job->rc = rc;
      weft_job_end(job);
    }
  }
}

/* --- the object ---------------------------------------------------------- */

/* The userdata's table, pushed: path, and [0], which keeps the loop. */
static const char *push_path(lua_State *L) {
  weft_lua_gettable_of(L, 1);
  lua_getfield(L, -1, "path");
  lua_remove(L, -2);
  return lua_tostring(L, -1);
}

/* Raises `closed` if it is. */
static struct weft_file *check_file(lua_State *L) {
  struct weft_file *file = *(struct weft_file **)weft_check_self(L, "file");
  if (file == NULL)
    weft_raise_kind(L, "closed", "the file '%s' is closed", push_path(L));
  return file;
}

void weft_file_prepare(struct weft_job *job, lua_State *L) {
  struct weft_loop *loop = job->request.loop;
  struct weft_file *file;
  if (files_of(loop, L) == NULL)
    return;
  file = weft_calloc(&loop->vm->mem, sizeof(*file));
  if (file == NULL)
    return;
  weft_list_init(&file->link);
  file->loop = loop;
  file->fd = -1;
  weft_list_init(&file->jobs);
  job->to_give = file;
}

void weft_file_discard(struct weft_job *job) {
  weft_free(&job->request.loop->vm->mem, job->to_give);
  job->to_give = NULL;
}

/* [co: box -> box] */
static void set_table(struct weft_job *job, lua_State *co) {
  struct weft_loop *loop = job->request.loop;
  lua_createtable(co, 0, 2);
  lua_pushvalue(loop->home, WEFT_HOME_ROOT);
  lua_xmove(loop->home, co, 1);
  lua_rawseti(co, -2, 0);
  lua_pushstring(co, job->fs.path);
  lua_setfield(co, -2, "path");
  weft_lua_settable_of(co, -2);
}

int weft_file_give(struct weft_job *job, lua_State *co) {
  struct weft_file *file = job->to_give;
  struct weft_file **box = weft_lua_newuserdata(co, sizeof(*box));
  *box = NULL;
  set_table(job, co);
  luaL_getmetatable(co, "weft.File");
  lua_setmetatable(co, -2);
  file->fd = job->fs.fd;
  file->is_seekable = (uint8_t)job->fs.is_seekable;
  file->is_append = (job->fs.flags & O_APPEND) != 0;
  file->box = box;
  *box = file;
  weft_list_push(&files_of(file->loop, co)->open, &file->link);
  job->to_give = NULL;
  job->fs.fd = -1;
  return 1;
}

int l_file__gc(lua_State *L) {
  close_file(lua_touserdata(L, 1));
  return 0;
}

/* file_close(file): the descriptor goes when no work is under way */
static int l_file_close(lua_State *L) {
  close_file(weft_check_self(L, "file"));
  return 0;
}

/* file_state(file) -> path, descriptor or nil (closed), position or nil */
static int l_file_state(lua_State *L) {
  struct weft_file *file = *(struct weft_file **)weft_check_self(L, "file");
  push_path(L);
  if (file == NULL)
    return 1;
  lua_pushinteger(L, file->fd);
  if (!file->is_seekable)
    return 2;
  lua_pushnumber(L, (lua_Number)file->position);
  return 3;
}

/* file_seek(file, position) */
static int l_file_seek(lua_State *L) {
  struct weft_file *file = check_file(L);
  file->position = (int64_t)luaL_checknumber(L, 2);
  return 0;
}

/* --- work ---------------------------------------------------------------- */

/* Makes the job; NULL when *rc says why not. Its userdata is pushed. */
static struct weft_job *begin(lua_State *L, const struct weft_job_kind *kind,
                              int *rc) {
  struct weft_file *file = check_file(L);
  struct weft_job *job;
  *rc = weft_check_park(L);
  if (*rc == 0 && file->loop != weft_vm_of(L)->loop)
    *rc = WEFT_EOTHERLOOP;
  if (*rc != 0)
    return NULL;
  job = weft_job_new(L, kind);
  job->file = file;
  return job;
}

/* Puts it in line and parks. As the file is open, nothing is completed within:
 * what does not start now waits for what is under way. */
static int start(struct weft_job *job, lua_State *L) {
  int object = lua_gettop(L);
  job->request.task = weft_vm_of(L)->task; /* start_next looks at it */
  weft_list_push(&job->file->jobs, &job->link);
  start_next(job->file);
  return weft_request_park(&job->request, weft_vm_of(L)->task, L, object);
}

/* file_read(file, size, offset or nil) -> true, data | ... */
static int l_file_read(lua_State *L) {
  static const struct weft_job_kind kind = {"read", weft_fs_read,
                                            weft_job_give_out, NULL};
  size_t size = (size_t)luaL_checknumber(L, 2);
  int64_t offset = (int64_t)luaL_optnumber(L, 3, -1);
  int rc;
  struct weft_job *job = begin(L, &kind, &rc);
  if (job == NULL)
    return weft_refuse(L, rc);
  job->fs.size = size;
  job->fs.offset = offset;
  job->is_at = offset < 0;
  return start(job, L);
}

/* file_read_all(file, max) -> true, data | ... */
static int l_file_read_all(lua_State *L) {
  static const struct weft_job_kind kind = {"read", weft_fs_read_all,
                                            weft_job_give_out, NULL};
  size_t size = (size_t)luaL_checknumber(L, 2);
  int rc;
  struct weft_job *job = begin(L, &kind, &rc);
  if (job == NULL)
    return weft_refuse(L, rc);
  job->fs.size = size;
  job->is_at = 1;
  return start(job, L);
}

/* file_write(file, data, offset or nil) */
static int l_file_write(lua_State *L) {
  static const struct weft_job_kind write = {"write", weft_fs_write, NULL,
                                             NULL};
  static const struct weft_job_kind append = {"write", weft_fs_append, NULL,
                                              NULL};
  struct weft_file *file = check_file(L);
  int64_t offset = (int64_t)luaL_optnumber(L, 3, -1);
  int rc, appends = file->is_append && file->is_seekable;
  struct weft_job *job;
  luaL_checktype(L, 2, LUA_TSTRING);
  job = begin(L, appends ? &append : &write, &rc);
  if (job == NULL)
    return weft_refuse(L, rc);
  weft_job_set_data(job, L, 2);
  job->fs.offset = offset;
  job->is_at = offset < 0;
  return start(job, L);
}

/* file_do(file, "sync" | "datasync" | "truncate" | "stat" [, size]) */
static int l_file_do(lua_State *L) {
  static const struct weft_job_kind kinds[] = {
      {"sync", weft_fs_sync, NULL, NULL},
      {"datasync", weft_fs_sync, NULL, NULL},
      {"truncate", weft_fs_truncate, NULL, NULL},
      {"stat", weft_fs_fstat, weft_job_give_stat, NULL}};
  static const char *const names[] = {"sync", "datasync", "truncate", "stat",
                                      NULL};
  int which = luaL_checkoption(L, 2, NULL, names), rc;
  int64_t offset = (int64_t)luaL_optnumber(L, 3, 0);
  struct weft_job *job = begin(L, &kinds[which], &rc);
  if (job == NULL)
    return weft_refuse(L, rc);
  job->fs.flags = which == 1;
  job->fs.offset = offset;
  return start(job, L);
}

static const luaL_Reg functions[] = {
    {"file_read", l_file_read},   {"file_read_all", l_file_read_all},
    {"file_write", l_file_write}, {"file_do", l_file_do},
    {"file_close", l_file_close}, {"file_state", l_file_state},
    {"file_seek", l_file_seek},   {NULL, NULL},
};

void weft_open_file(lua_State *L) {
  weft_set_functions(L, functions, "weft.File");
}
