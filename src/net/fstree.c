/* SPDX-License-Identifier: MIT */
/*
 * net/fstree.c: see fs.h. What goes through directories. Removing works on
 * descriptors of directories opened without following links, so that nobody
 * can lead it elsewhere by putting a link in its way.
 */
#include "net/fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- mkdir -p ------------------------------------------------------------ */

static int is_directory(const char *path) {
  struct stat st;
  return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* Makes one directory, unless it is there. */
static int make(struct weft_fs *fs, const char *path) {
  if (mkdir(path, (mode_t)fs->mode) == 0)
    return 0;
  if ((errno == EEXIST || errno == EISDIR || errno == EROFS) &&
      is_directory(path))
    return 0;
  return uv_translate_sys_error(errno);
}

int weft_fs_mkdir_all(struct weft_fs *fs) {
  char *at = fs->path, *slash;
  int rc = 0;
  while (*at == '/')
    at++;
  while (rc == 0 && (slash = strchr(at, '/')) != NULL) {
    *slash = '\0';
    rc = make(fs, fs->path);
    if (rc != 0)
      fs->where = weft_fs_copy(fs, fs->path);
    *slash = '/';
    for (at = slash; *at == '/'; at++)
      ;
  }
  return rc == 0 && *at != '\0' ? make(fs, fs->path) : rc;
}

/* --- rm -r --------------------------------------------------------------- */

static int remove_below(struct weft_fs *fs, int dir, const char *name,
                        int depth);

static int is_dots(const char *name) {
  return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* Removes what is in the directory; *count: how much there was. */
static int empty(struct weft_fs *fs, DIR *dir, int depth, size_t *count) {
  struct dirent *entry;
  int rc = 0;
  *count = 0;
  rewinddir(dir);
  while (rc == 0 && (entry = readdir(dir)) != NULL) {
    if (is_dots(entry->d_name))
      continue;
    ++*count;
    rc = atomic_load(&fs->is_cancelled)
             ? UV_ECANCELED
             : remove_below(fs, dirfd(dir), entry->d_name, depth + 1);
  }
  return rc;
}

/* Removes the directory `name` of `at`. A file system may skip entries in a
 * directory that changes: it is read again until nothing is left. */
static int remove_directory(struct weft_fs *fs, int at, const char *name,
                            int depth) {
  int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
  int rc = dir == NULL ? uv_translate_sys_error(errno) : 0;
  size_t count = 1;
  if (dir == NULL && fd >= 0)
    close(fd);
  while (rc == 0 && count > 0)
    rc = empty(fs, dir, depth, &count);
  if (dir != NULL)
    closedir(dir);
  if (rc == 0 && unlinkat(at, name, AT_REMOVEDIR) != 0 && errno != ENOENT)
    rc = uv_translate_sys_error(errno);
  return rc;
}

/* Removes `name` of the directory `at`, whatever it is. */
static int remove_below(struct weft_fs *fs, int at, const char *name,
                        int depth) {
  int rc = 0, error;
  if (depth > WEFT_FS_DEPTH)
    return UV_ELOOP;
  if (unlinkat(at, name, 0) == 0 || errno == ENOENT)
    return 0;
  error = errno; /* of a directory, EISDIR, or EPERM on some systems */
  if (error == EISDIR || error == EPERM)
    rc = remove_directory(fs, at, name, depth);
  else
    rc = uv_translate_sys_error(error);
  if (rc == UV_ENOTDIR)
    rc = uv_translate_sys_error(error);
  if (rc != 0 && rc != UV_ECANCELED && depth > 0 && fs->where == NULL)
    fs->where = weft_fs_copy(fs, name);
  return rc;
}

int weft_fs_remove_all(struct weft_fs *fs) {
  size_t size = strlen(fs->path);
  while (size > 1 && fs->path[size - 1] == '/') /* would follow a link */
    fs->path[--size] = '\0';
  return remove_below(fs, AT_FDCWD, fs->path, 0);
}

/* --- ls ------------------------------------------------------------------ */

static int add_entry(struct weft_fs *fs, const uv_dirent_t *entry) {
  size_t size = strlen(entry->name) + 1, room;
  char *to = weft_buffer_reserve(&fs->out, &fs->mem, size + 1, &room);
  if (to == NULL)
    return UV_ENOMEM;
  *to = (char)entry->type;
  memcpy(to + 1, entry->name, size);
  weft_buffer_add(&fs->out, size + 1);
  return 0;
}

int weft_fs_list(struct weft_fs *fs) {
  uv_fs_t req;
  uv_dirent_t entry;
  int rc = uv_fs_scandir(NULL, &req, fs->path, 0, NULL);
  rc = rc < 0 ? rc : 0;
  while (rc == 0 && uv_fs_scandir_next(&req, &entry) != UV_EOF)
    rc = add_entry(fs, &entry);
  uv_fs_req_cleanup(&req);
  return rc;
}
