/* SPDX-License-Identifier: MIT */
/*
 * net/fsdata.c: see fs.h. What moves bytes. A thread of the pool must come back
 * when nobody waits for it any more: where a call could block for ever (a FIFO,
 * a terminal), it is polled first, and the work looks whether it was cancelled.
 */
#include "net/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define POLL_MS 50                  /* how late a cancellation may be noticed */
#define WRITE_MAX ((size_t)1 << 24) /* bytes between two looks at that */
#define NAME_TRIES 100              /* for the name of a temporary file */

static int system_error(void) {
  return uv_translate_sys_error(errno);
}

static int was_cancelled(struct weft_fs *fs) {
  return atomic_load(&fs->is_cancelled);
}

/* Waits until the descriptor is ready. Regular files always are. */
static int wait_for(struct weft_fs *fs, int events) {
  struct pollfd pfd = {fs->fd, (short)events, 0};
  int n;
  if (was_cancelled(fs))
    return UV_ECANCELED;
  if (fs->is_seekable)
    return 0;
  do {
    n = poll(&pfd, 1, POLL_MS);
    if (n < 0 && errno != EINTR)
      return system_error();
    if (was_cancelled(fs))
      return UV_ECANCELED;
  } while (n <= 0);
  return 0;
}

/* --- opening ------------------------------------------------------------- */

static int is_fifo(const char *path) {
  struct stat st;
  return stat(path, &st) == 0 && S_ISFIFO(st.st_mode);
}

/* What blocks until a FIFO has a reader, without blocking. */
static int open_path(struct weft_fs *fs) {
  int flags = fs->flags | O_NONBLOCK | O_CLOEXEC | O_NOCTTY;
  for (;;) {
    fs->fd = open(fs->path, flags, (mode_t)fs->mode);
    if (fs->fd >= 0)
      return 0;
    if (errno == ENXIO && is_fifo(fs->path))
      poll(NULL, 0, POLL_MS);
    else if (errno != EINTR)
      return system_error();
    if (was_cancelled(fs))
      return UV_ECANCELED;
  }
}

/* As opened by open_path, the file is in nonblocking mode, which whoever
 * inherits it would not expect. */
static int set_up(struct weft_fs *fs) {
  int flags = fcntl(fs->fd, F_GETFL);
  if (flags < 0 || fcntl(fs->fd, F_SETFL, flags & ~O_NONBLOCK) != 0)
    return system_error();
  fs->is_seekable = lseek(fs->fd, 0, SEEK_CUR) != -1;
  return was_cancelled(fs) ? UV_ECANCELED : 0;
}

static void close_file(struct weft_fs *fs) {
  if (fs->fd >= 0)
    close(fs->fd);
  fs->fd = -1;
}

int weft_fs_open(struct weft_fs *fs) {
  int rc = open_path(fs);
  if (rc == 0)
    rc = set_up(fs);
  if (rc != 0)
    close_file(fs);
  return rc;
}

int weft_fs_mkstemp(struct weft_fs *fs) {
  uv_fs_t req;
  int rc = uv_fs_mkstemp(NULL, &req, fs->path, NULL);
  if (rc >= 0) {
    fs->fd = rc;
    memcpy(fs->path, req.path, strlen(fs->path));
    fs->is_seekable = 1;
  }
  uv_fs_req_cleanup(&req);
  if (rc >= 0 && was_cancelled(fs)) {
    close_file(fs);
    unlink(fs->path);
    rc = UV_ECANCELED;
  }
  return rc < 0 ? rc : 0;
}

/* --- reading ------------------------------------------------------------- */

/* Up to `size` bytes into `to`; 0 at the end. */
static ssize_t read_some(struct weft_fs *fs, char *to, size_t size,
                         int64_t offset) {
  ssize_t n;
  int rc = wait_for(fs, POLLIN);
  if (rc != 0)
    return rc;
  do {
    n = offset >= 0 ? pread(fs->fd, to, size, (off_t)offset)
                    : read(fs->fd, to, size);
  } while (n < 0 && errno == EINTR);
  return n < 0 ? system_error() : n;
}

/* Reads until there are `limit` bytes in `out`, or the end. Memory grows with
 * what comes, `expected` bytes at first. */
static int read_up_to(struct weft_fs *fs, size_t limit, size_t expected,
                      int only_once) {
  ssize_t n = 1;
  size_t have = 0, room, least;
  while (n > 0 && have < limit && !(only_once && have > 0)) {
    char *to;
    least = have == 0 ? expected : WEFT_FS_BLOCK;
    least = least < limit - have ? least : limit - have;
    to = weft_buffer_reserve(&fs->out, &fs->mem, least, &room);
    if (to == NULL)
      return UV_ENOMEM;
    room = room < limit - have ? room : limit - have;
    room = room < WRITE_MAX ? room : WRITE_MAX;
    n = read_some(fs, to, room,
                  fs->offset >= 0 ? fs->offset + (int64_t)have : -1);
    if (n > 0) {
      weft_buffer_add(&fs->out, (size_t)n);
      have += (size_t)n;
    }
  }
  return n < 0 ? (int)n : 0;
}

int weft_fs_read(struct weft_fs *fs) {
  size_t expected = fs->size < 16 * WEFT_FS_BLOCK ? fs->size : WEFT_FS_BLOCK;
  return read_up_to(fs, fs->size, expected, !fs->is_seekable);
}

/* What is left of a regular file, and a byte to see its end. */
static size_t remaining(struct weft_fs *fs) {
  struct stat st;
  int64_t left;
  if (fstat(fs->fd, &st) != 0 || !S_ISREG(st.st_mode))
    return WEFT_FS_BLOCK;
  left = (int64_t)st.st_size - (fs->offset > 0 ? fs->offset : 0);
  return left > 0 ? (size_t)left + 1 : WEFT_FS_BLOCK; /* 0: also of /proc */
}

int weft_fs_read_all(struct weft_fs *fs) {
  size_t limit = fs->size < SIZE_MAX ? fs->size + 1 : SIZE_MAX;
  size_t expected = remaining(fs);
  int rc;
  if (expected > limit)
    return UV_EFBIG;
  rc = read_up_to(fs, limit, expected, 0);
  return rc == 0 && weft_buffer_size(&fs->out) > fs->size ? UV_EFBIG : rc;
}

/* --- writing ------------------------------------------------------------- */

static ssize_t write_some(struct weft_fs *fs, const char *data, size_t size,
                          int64_t offset) {
  ssize_t n;
  int rc = wait_for(fs, POLLOUT);
  if (rc != 0)
    return rc;
  if (!fs->is_seekable && size > PIPE_BUF)
    size = PIPE_BUF; /* for which there is room if there is any */
  do {
    n = offset >= 0 ? pwrite(fs->fd, data, size, (off_t)offset)
                    : write(fs->fd, data, size);
  } while (n < 0 && errno == EINTR);
  return n < 0 ? system_error() : n;
}

int weft_fs_write(struct weft_fs *fs) {
  size_t done = 0;
  while (done < fs->size) {
    size_t size = fs->size - done < WRITE_MAX ? fs->size - done : WRITE_MAX;
    ssize_t n = write_some(fs, fs->data + done, size,
                           fs->offset >= 0 ? fs->offset + (int64_t)done : -1);
    if (n < 0)
      return (int)n;
    done += (size_t)n;
  }
  return 0;
}

int weft_fs_append(struct weft_fs *fs) {
  int rc;
  fs->offset = -1;
  rc = weft_fs_write(fs);
  fs->offset = (int64_t)lseek(fs->fd, 0, SEEK_END);
  return rc;
}

int weft_fs_sync(struct weft_fs *fs) {
  uv_fs_t req;
  int rc = fs->flags ? uv_fs_fdatasync(NULL, &req, fs->fd, NULL)
                     : uv_fs_fsync(NULL, &req, fs->fd, NULL);
  uv_fs_req_cleanup(&req);
  return rc;
}

int weft_fs_truncate(struct weft_fs *fs) {
  return ftruncate(fs->fd, (off_t)fs->offset) == 0 ? 0 : system_error();
}

/* --- whole files --------------------------------------------------------- */

int weft_fs_read_file(struct weft_fs *fs) {
  int rc = weft_fs_open(fs);
  if (rc == 0)
    rc = weft_fs_read_all(fs);
  close_file(fs);
  return rc;
}

/* Some file systems tell only now that there was no room. */
static int close_written(struct weft_fs *fs) {
  int rc =
      fs->fd < 0 || close(fs->fd) == 0 || errno == EINTR ? 0 : system_error();
  fs->fd = -1;
  return rc;
}

int weft_fs_write_file(struct weft_fs *fs) {
  int rc = weft_fs_open(fs), closed;
  if (rc == 0)
    rc = weft_fs_write(fs);
  closed = close_written(fs);
  return rc != 0 ? rc : closed;
}

/* The file to be replaced is the one that a link at `path` leads to. */
static int follow(struct weft_fs *fs) {
  char *path;
  int rc = weft_fs_realpath(fs);
  if (rc == UV_ENOENT)
    return 0;
  if (rc != 0)
    return rc;
  path = weft_fs_copy(fs, weft_buffer_data(&fs->out));
  if (path == NULL)
    return UV_ENOMEM;
  weft_free(&fs->mem, fs->path);
  fs->path = path;
  return 0;
}

/* Opens a new file beside `path`; its name is then in `other`. The kernel
 * applies the umask to its mode, which mkstemp's would not have. */
static int open_beside(struct weft_fs *fs) {
  size_t size = strlen(fs->path) + 32;
  int i, rc = 0;
  fs->other = weft_malloc(&fs->mem, size);
  if (fs->other == NULL)
    return UV_ENOMEM;
  for (i = 0; i < NAME_TRIES; i++) {
    uint64_t random;
    rc = uv_random(NULL, NULL, &random, sizeof(random), 0, NULL);
    if (rc != 0)
      return rc;
    snprintf(fs->other, size, "%s.%016llx.tmp", fs->path,
             (unsigned long long)random);
    fs->fd = open(fs->other, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
                  (mode_t)fs->mode);
    fs->is_seekable = 1;
    if (fs->fd >= 0)
      return 0;
    rc = system_error();
    if (rc != UV_EEXIST)
      break;
  }
  weft_free(&fs->mem, fs->other);
  fs->other = NULL;
  return rc;
}

/* Mode and, as far as that is allowed, owner of the file that is replaced. */
static int keep_mode(struct weft_fs *fs) {
  struct stat old;
  if (stat(fs->path, &old) != 0)
    return 0;
  if (fchown(fs->fd, old.st_uid, old.st_gid) != 0)
    errno = 0; /* another's file, which becomes ours */
  return fchmod(fs->fd, old.st_mode & 07777) == 0 ? 0 : system_error();
}

/* A new name is on the disk when its directory is. Where directories cannot be
 * synced, the system does what it can. */
static void sync_directory(struct weft_fs *fs) {
  char *slash = strrchr(fs->path, '/');
  const char *name = slash == NULL ? "." : slash == fs->path ? "/" : fs->path;
  int fd;
  if (slash != NULL && slash != fs->path)
    *slash = '\0';
  fd = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd >= 0) {
    fsync(fd);
    close(fd);
  }
  if (slash != NULL)
    *slash = '/';
}

int weft_fs_write_atomic(struct weft_fs *fs) {
  int rc = follow(fs), closed;
  if (rc == 0)
    rc = open_beside(fs);
  if (rc != 0)
    return rc;
  rc = keep_mode(fs);
  if (rc == 0)
    rc = weft_fs_write(fs);
  if (rc == 0)
    rc = weft_fs_sync(fs);
  closed = close_written(fs);
  rc = rc != 0 ? rc : closed;
  if (rc == 0 && was_cancelled(fs))
    rc = UV_ECANCELED;
  if (rc == 0 && rename(fs->other, fs->path) != 0)
    rc = system_error();
  if (rc == 0)
    sync_directory(fs);
  else
    unlink(fs->other);
  return rc;
}
