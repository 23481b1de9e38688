/* SPDX-License-Identifier: MIT */
/*
 * net/process.c: see process.h.
 * The struct is freed in the handle's close callback, which comes after the end
 * of the child and after the owner has gone, or as the loop closes.
 */
#include "net/process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/list.h"

/* --- what children inherit ----------------------------------------------- */

struct exposed {
  int *fds;
  size_t count, capacity;
  struct weft_mem *mem;
};

static int remember(struct exposed *exposed, int fd) {
  size_t capacity = exposed->capacity != 0 ? exposed->capacity * 2 : 16;
  int *fds;
  if (exposed->count == exposed->capacity) {
    fds = weft_realloc(exposed->mem, exposed->fds, capacity * sizeof(*fds));
    if (fds == NULL)
      return UV_ENOMEM;
    exposed->fds = fds;
    exposed->capacity = capacity;
  }
  exposed->fds[exposed->count++] = fd;
  return 0;
}

/* Keeps from the child what the program (io.open, another library) opened
 * without thinking of children. Only for the moment, as a host may have its
 * reasons. */
static int hide(struct exposed *exposed) {
  DIR *dir = opendir("/dev/fd");
  struct dirent *entry;
  int rc = 0;
  if (dir == NULL)
    return 0;
  while (rc == 0 && (entry = readdir(dir)) != NULL) {
    int fd = atoi(entry->d_name);
    int flags = fd > STDERR_FILENO ? fcntl(fd, F_GETFD) : -1;
    if (flags < 0 || (flags & FD_CLOEXEC) != 0)
      continue;
    rc = remember(exposed, fd);
    if (rc == 0)
      fcntl(fd, F_SETFD, flags | FD_CLOEXEC);
  }
  closedir(dir);
  return rc;
}

static void show(struct exposed *exposed) {
  size_t i;
  for (i = 0; i < exposed->count; i++)
    fcntl(exposed->fds[i], F_SETFD, 0);
  weft_free(exposed->mem, exposed->fds);
}

/* --- ending -------------------------------------------------------------- */

static void on_close(uv_handle_t *handle) {
  struct weft_process *process =
      WEFT_CONTAINER_OF(handle, struct weft_process, uv);
  weft_free(process->mem, process);
}

static void close_handle(struct weft_process *process) {
  if (!uv_is_closing((uv_handle_t *)&process->uv))
    uv_close((uv_handle_t *)&process->uv, on_close);
}

static void on_exit_of(uv_process_t *uv, int64_t code, int signum) {
  struct weft_process *process = WEFT_CONTAINER_OF(uv, struct weft_process, uv);
  process->is_running = 0;
  process->code = code;
  process->signal = signum;
  if (process->owner != NULL)
    process->on_exit(process->owner);
  close_handle(process);
}

/* The loop will not tell any more: waits here for what was killed. */
static void reap(struct weft_process *process) {
  struct timespec pause = {0, 1000000};
  int i, status;
  kill(process->uv.pid, SIGKILL);
  for (i = 0; i < WEFT_PROCESS_REAP_MS; i++) {
    pid_t pid = waitpid(process->uv.pid, &status, WNOHANG);
    if (pid != 0 && !(pid < 0 && errno == EINTR))
      return;
    nanosleep(&pause, NULL);
  }
}

static void on_loop_close(struct weft_closer *closer) {
  struct weft_process *process = (struct weft_process *)(void *)closer;
  if (process->is_running && !process->is_detached)
    reap(process);
  process->is_running = 0;
  process->signal = process->is_detached ? 0 : SIGKILL;
  if (process->owner != NULL)
    process->on_exit(process->owner);
  close_handle(process);
}

/* --- the rest ------------------------------------------------------------ */

struct weft_process *weft_process_spawn(uv_loop_t *loop, struct weft_mem *mem,
                                        uv_process_options_t *options,
                                        void (*on_exit)(void *owner),
                                        void *owner, int *rc) {
  struct weft_process *process = weft_calloc(mem, sizeof(*process));
  struct exposed exposed = {NULL, 0, 0, mem};
  *rc = UV_ENOMEM;
  if (process == NULL)
    return NULL;
  process->closer.close = on_loop_close;
  process->mem = mem;
  process->on_exit = on_exit;
  options->exit_cb = on_exit_of;
  *rc = hide(&exposed);
  if (*rc == 0) {
    *rc = uv_spawn(loop, &process->uv, options);
    process->uv.data = process;
    if (*rc != 0) /* libuv has initialised the handle all the same */
      close_handle(process);
  } else {
    weft_free(mem, process);
  }
  show(&exposed);
  if (*rc != 0)
    return NULL;
  process->is_running = 1;
  process->is_detached = (options->flags & UV_PROCESS_DETACHED) != 0;
  process->owner = owner;
  uv_unref((uv_handle_t *)&process->uv);
  return process;
}

void weft_process_want(struct weft_process *process, int by) {
  process->waiting += by;
  if (!process->is_running)
    return;
  if (process->waiting > 0)
    uv_ref((uv_handle_t *)&process->uv);
  else
    uv_unref((uv_handle_t *)&process->uv);
}

int weft_process_kill(struct weft_process *process, int signum) {
  return process->is_running ? uv_process_kill(&process->uv, signum) : UV_ESRCH;
}

void weft_process_abandon(struct weft_process *process) {
  process->owner = NULL;
  if (process->is_running && !process->is_detached)
    uv_process_kill(&process->uv, SIGKILL);
}
