/* SPDX-License-Identifier: MIT */
/*
 * net/fs.h: what is done with files, as functions that block: they are run on
 * a thread of libuv's pool, one piece of work each from beginning to end, so
 * that whatever it made on the way is undone in the same place.
 *
 * Owns: struct weft_fs, the work and its results. Knows no Lua, no loop and no
 * threads. Invariant: a function uses nothing but its struct weft_fs, which
 * meanwhile belongs to it alone, but for is_cancelled.
 */
#ifndef WEFT_NET_FS_H
#define WEFT_NET_FS_H

#include <stdatomic.h>
#include <stdint.h>
#include <uv.h>

#include "base/buffer.h"

struct weft_fs {
  struct weft_mem mem; /* of its own, as no other may be used on a thread */
  char *path, *other;  /* owned; NULL where there is none */
  const char *data;    /* to be written: borrowed */
  size_t size;         /* of `data`; or how much to read */
  int64_t offset;      /* where to read and write; -1: where the file stands */
  int flags, mode;
  double times[2];         /* of access and modification, in seconds */
  atomic_int is_cancelled; /* nobody wants the results: end soon, undo */
  /* results */
  int fd; /* owned; -1: none */
  int is_seekable;
  uv_stat_t stat;
  struct weft_buffer out;
  char *where; /* owned; the path that failed, if it is not `path` */
};

#define WEFT_FS_BLOCK 65536 /* of a read without a size, and of growing */

/* How deep a tree may be that is removed; each level costs a descriptor and
 * some stack. */
#define WEFT_FS_DEPTH 4096

/* Sets up the work; nothing is owned yet. */
void weft_fs_init(struct weft_fs *fs);

/* Copies a string (path, other) into the work. NULL when memory is out. */
char *weft_fs_copy(struct weft_fs *fs, const char *text);

/* Frees all that is owned, and closes the descriptor. */
void weft_fs_deinit(struct weft_fs *fs);

/* All that follow return 0 or a negative error of libuv's. UV_ECANCELED: it was
 * cancelled, and nothing is left behind. They block, and may not be called with
 * the same struct at once. */

/* fs.c: `path` (and `other`); what they give is in `stat`, or is text in
 * `out`, with a 0 behind it */
int weft_fs_stat(struct weft_fs *fs);
int weft_fs_lstat(struct weft_fs *fs);
int weft_fs_access(struct weft_fs *fs); /* mode */
int weft_fs_mkdir(struct weft_fs *fs);  /* mode */
int weft_fs_rmdir(struct weft_fs *fs);
int weft_fs_unlink(struct weft_fs *fs);
int weft_fs_rename(struct weft_fs *fs);
int weft_fs_copy_file(struct weft_fs *fs); /* flags: UV_FS_COPYFILE_EXCL */
int weft_fs_link(struct weft_fs *fs);
int weft_fs_symlink(struct weft_fs *fs); /* `path` is what it points to */
int weft_fs_readlink(struct weft_fs *fs);
int weft_fs_realpath(struct weft_fs *fs);
int weft_fs_chmod(struct weft_fs *fs);   /* mode */
int weft_fs_utime(struct weft_fs *fs);   /* times */
int weft_fs_mkdtemp(struct weft_fs *fs); /* `path` ends in XXXXXX */

/* fstree.c */
int weft_fs_mkdir_all(struct weft_fs *fs);  /* mode; `where` it failed */
int weft_fs_remove_all(struct weft_fs *fs); /* 0 also if there is nothing */
/* `out`: for each entry the enum uv_dirent_type_t in a byte, its name, a 0 */
int weft_fs_list(struct weft_fs *fs);

/* fsdata.c */
int weft_fs_open(struct weft_fs *fs); /* flags, mode; gives fd, is_seekable */
int weft_fs_mkstemp(struct weft_fs *fs); /* `path` ends in XXXXXX, is changed */
/* fd, offset, size: into `out`, less at the end of the file only; of what is
 * no file, as much as there is */
int weft_fs_read(struct weft_fs *fs);
/* fd, offset: to the end, UV_EFBIG if that is more than `size` */
int weft_fs_read_all(struct weft_fs *fs);
int weft_fs_write(struct weft_fs *fs);  /* fd, offset, data, size: all of it */
int weft_fs_append(struct weft_fs *fs); /* the same; offset: the end after it */
int weft_fs_sync(struct weft_fs *fs);   /* fd; flags: 1 for the data only */
int weft_fs_truncate(struct weft_fs *fs);   /* fd, offset */
int weft_fs_fstat(struct weft_fs *fs);      /* fd */
int weft_fs_read_file(struct weft_fs *fs);  /* path, size: see read_all */
int weft_fs_write_file(struct weft_fs *fs); /* path, flags, mode, data, size */
/* The same by a new file beside it that takes its place when it is whole and
 * on the disk. A link at `path` is followed; the mode of what was there is
 * kept. */
int weft_fs_write_atomic(struct weft_fs *fs);

#endif
