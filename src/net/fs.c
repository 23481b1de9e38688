/* SPDX-License-Identifier: MIT */
/*
 * net/fs.c: see fs.h. What is one call of libuv's, made at once and without a
 * callback, which is allowed on any thread.
 */
#include "net/fs.h"

#include <string.h>
#include <unistd.h>

void weft_fs_init(struct weft_fs *fs) {
  memset(fs, 0, sizeof(*fs));
  weft_buffer_init(&fs->out);
  atomic_init(&fs->is_cancelled, 0);
  fs->fd = -1;
  fs->offset = -1;
}

char *weft_fs_copy(struct weft_fs *fs, const char *text) {
  size_t size = strlen(text) + 1;
  char *copy = weft_malloc(&fs->mem, size);
  return copy != NULL ? memcpy(copy, text, size) : NULL;
}

void weft_fs_deinit(struct weft_fs *fs) {
  weft_free(&fs->mem, fs->path);
  weft_free(&fs->mem, fs->other);
  weft_free(&fs->mem, fs->where);
  weft_buffer_deinit(&fs->out, &fs->mem);
  if (fs->fd >= 0)
    close(fs->fd);
  fs->path = fs->other = fs->where = NULL;
  fs->fd = -1;
}

static int end(uv_fs_t *req, int rc) {
  uv_fs_req_cleanup(req);
  return rc < 0 ? rc : 0;
}

static int end_stat(struct weft_fs *fs, uv_fs_t *req, int rc) {
  if (rc >= 0)
    fs->stat = req->statbuf;
  return end(req, rc);
}

/* Keeps the text that the call gave. */
static int end_text(struct weft_fs *fs, uv_fs_t *req, int rc,
                    const char *text) {
  size_t size = rc >= 0 ? strlen(text) : 0, room;
  char *to =
      rc >= 0 ? weft_buffer_reserve(&fs->out, &fs->mem, size + 1, &room) : NULL;
  if (rc >= 0 && to == NULL)
    rc = UV_ENOMEM;
  if (rc >= 0) {
    memcpy(to, text, size + 1);
    weft_buffer_add(&fs->out, size);
  }
  return end(req, rc);
}

int weft_fs_stat(struct weft_fs *fs) {
  uv_fs_t req;
  return end_stat(fs, &req, uv_fs_stat(NULL, &req, fs->path, NULL));
}

int weft_fs_lstat(struct weft_fs *fs) {
  uv_fs_t req;
  return end_stat(fs, &req, uv_fs_lstat(NULL, &req, fs->path, NULL));
}

int weft_fs_fstat(struct weft_fs *fs) {
  uv_fs_t req;
  return end_stat(fs, &req, uv_fs_fstat(NULL, &req, fs->fd, NULL));
}

int weft_fs_access(struct weft_fs *fs) {
  uv_fs_t req;
  return end(&req, uv_fs_access(NULL, &req, fs->path, fs->mode, NULL));
}

int weft_fs_mkdir(struct weft_fs *fs) {
  uv_fs_t req;
  return end(&req, uv_fs_mkdir(NULL, &req, fs->path, fs->mode, NULL));
}

int weft_fs_rmdir(struct weft_fs *fs) {
  uv_fs_t req;
  return end(&req, uv_fs_rmdir(NULL, &req, fs->path, NULL));
}

int weft_fs_unlink(struct weft_fs *fs) {
  uv_fs_t req;
  return end(&req, uv_fs_unlink(NULL, &req, fs->path, NULL));
}

int weft_fs_rename(struct weft_fs *fs) {
  uv_fs_t req;
  return end(&req, uv_fs_rename(NULL, &req, fs->path, fs->other, NULL));
}

int weft_fs_copy_file(struct weft_fs *fs) {
  uv_fs_t req;
  return end(&req,
             uv_fs_copyfile(NULL, &req, fs->path, fs->other, fs->flags, NULL));
}

int weft_fs_link(struct weft_fs *fs) {
  uv_fs_t req;
  return end(&req, uv_fs_link(NULL, &req, fs->path, fs->other, NULL));
}

int weft_fs_symlink(struct weft_fs *fs) {
  uv_fs_t req;
  return end(&req, uv_fs_symlink(NULL, &req, fs->path, fs->other, 0, NULL));
}

int weft_fs_readlink(struct weft_fs *fs) {
  uv_fs_t req;
  int rc = uv_fs_readlink(NULL, &req, fs->path, NULL);
  return end_text(fs, &req, rc, req.ptr);
}

int weft_fs_realpath(struct weft_fs *fs) {
  uv_fs_t req;
  int rc = uv_fs_realpath(NULL, &req, fs->path, NULL);
  return end_text(fs, &req, rc, req.ptr);
}

int weft_fs_chmod(struct weft_fs *fs) {
  uv_fs_t req;
  return end(&req, uv_fs_chmod(NULL, &req, fs->path, fs->mode, NULL));
}

int weft_fs_utime(struct weft_fs *fs) {
  uv_fs_t req;
  return end(&req, uv_fs_utime(NULL, &req, fs->path, fs->times[0], fs->times[1],
                               NULL));
}

int weft_fs_mkdtemp(struct weft_fs *fs) {
  uv_fs_t req;
  int rc = uv_fs_mkdtemp(NULL, &req, fs->path, NULL);
  rc = end_text(fs, &req, rc, req.path);
  if (rc == 0 && atomic_load(&fs->is_cancelled)) {
    rmdir(weft_buffer_data(&fs->out));
    rc = UV_ECANCELED;
  }
  return rc;
}
