/* SPDX-License-Identifier: MIT */
/*
 * bind/l_fs.c: work with paths for Lua: one function that waits, and a table of
 * what it can do. It returns true and results, or true, nil and what went
 * wrong; or false, as everything that waits.
 */
#include "bind/fsjob.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- results ------------------------------------------------------------- */

int weft_job_give_out(struct weft_job *job, lua_State *co) {
  size_t size = weft_buffer_size(&job->fs.out);
  lua_pushlstring(co, size > 0 ? weft_buffer_data(&job->fs.out) : "", size);
  return 1;
}

static void set_number(lua_State *co, const char *name, lua_Number value) {
  lua_pushnumber(co, value);
  lua_setfield(co, -2, name);
}

static void set_count(lua_State *co, const char *name, uint64_t value) {
  lua_pushinteger(co, (lua_Integer)value);
  lua_setfield(co, -2, name);
}

static void set_time(lua_State *co, const char *name, uv_timespec_t time) {
  set_number(co, name,
             (lua_Number)time.tv_sec + (lua_Number)time.tv_nsec / 1e9);
}

static const char *type_of_mode(uint64_t mode) {
  switch (mode & S_IFMT) {
  case S_IFREG:
    return "file";
  case S_IFDIR:
    return "directory";
  case S_IFLNK:
    return "link";
  case S_IFIFO:
    return "fifo";
  case S_IFSOCK:
    return "socket";
  case S_IFCHR:
    return "char";
  case S_IFBLK:
    return "block";
  default:
    return "unknown";
  }
}

int weft_job_give_stat(struct weft_job *job, lua_State *co) {
  const uv_stat_t *st = &job->fs.stat;
  lua_createtable(co, 0, 15);
  lua_pushstring(co, type_of_mode(st->st_mode));
  lua_setfield(co, -2, "type");
  set_count(co, "size", st->st_size);
  set_count(co, "mode", st->st_mode & 07777);
  set_count(co, "uid", st->st_uid);
  set_count(co, "gid", st->st_gid);
  set_count(co, "nlink", st->st_nlink);
  set_count(co, "ino", st->st_ino);
  set_count(co, "dev", st->st_dev);
  set_count(co, "blocks", st->st_blocks);
  set_count(co, "blksize", st->st_blksize);
  set_time(co, "atime", st->st_atim);
  set_time(co, "mtime", st->st_mtim);
  set_time(co, "ctime", st->st_ctim);
  set_time(co, "birthtime", st->st_birthtim);
  return 1;
}

static const char *type_of_entry(char type) {
  static const char *const types[] = {"unknown", "file", "directory",
                                      "link",    "fifo", "socket",
                                      "char",    "block"};
  return types[(unsigned char)type % 8];
}

/* {{name =, type =}, ...} */
static int give_list(struct weft_job *job, lua_State *co) {
  const char *at, *end;
  int i;
  lua_newtable(co);
  if (weft_buffer_size(&job->fs.out) == 0)
    return 1;
  at = weft_buffer_data(&job->fs.out);
  end = at + weft_buffer_size(&job->fs.out);
  for (i = 1; at < end; i++) {
    lua_createtable(co, 0, 2);
    lua_pushstring(co, type_of_entry(*at++));
    lua_setfield(co, -2, "type");
    lua_pushstring(co, at);
    lua_setfield(co, -2, "name");
    lua_rawseti(co, -2, i);
    at += strlen(at) + 1;
  }
  return 1;
}

/* the file and its name */
static int give_temporary(struct weft_job *job, lua_State *co) {
  weft_file_give(job, co);
  lua_pushstring(co, job->fs.path);
  return 2;
}

static void undo_mkdtemp(struct weft_fs *fs) {
  rmdir(weft_buffer_data(&fs->out));
}

static void undo_mkstemp(struct weft_fs *fs) {
  unlink(fs->path);
}

/* --- arguments ----------------------------------------------------------- */

static const struct weft_job_kind kinds[] = {
    {"stat", weft_fs_stat, weft_job_give_stat, NULL},
    {"lstat", weft_fs_lstat, weft_job_give_stat, NULL},
    {"access", weft_fs_access, NULL, NULL},
    {"mkdir", weft_fs_mkdir, NULL, NULL},
    {"mkdir_all", weft_fs_mkdir_all, NULL, NULL},
    {"rmdir", weft_fs_rmdir, NULL, NULL},
    {"unlink", weft_fs_unlink, NULL, NULL},
    {"rename", weft_fs_rename, NULL, NULL},
    {"copy", weft_fs_copy_file, NULL, NULL},
    {"link", weft_fs_link, NULL, NULL},
    {"symlink", weft_fs_symlink, NULL, NULL},
    {"readlink", weft_fs_readlink, weft_job_give_out, NULL},
    {"realpath", weft_fs_realpath, weft_job_give_out, NULL},
    {"chmod", weft_fs_chmod, NULL, NULL},
    {"utime", weft_fs_utime, NULL, NULL},
    {"mkdtemp", weft_fs_mkdtemp, weft_job_give_out, undo_mkdtemp},
    {"mkstemp", weft_fs_mkstemp, give_temporary, undo_mkstemp},
    {"remove_all", weft_fs_remove_all, NULL, NULL},
    {"list", weft_fs_list, give_list, NULL},
    {"open", weft_fs_open, weft_file_give, NULL},
    {"read_file", weft_fs_read_file, weft_job_give_out, NULL},
    {"write_file", weft_fs_write_file, NULL, NULL},
    {"write_atomic", weft_fs_write_atomic, NULL, NULL},
    {NULL, NULL, NULL, NULL},
};

static const struct weft_job_kind *find_kind(lua_State *L, int idx) {
  const char *name = luaL_checkstring(L, idx);
  const struct weft_job_kind *kind = kinds;
  while (kind->name != NULL && strcmp(kind->name, name) != 0)
    kind++;
  if (kind->name == NULL)
    weft_raise_kind(L, "type", "no work '%s'", name);
  return kind;
}

static int field(lua_State *L, const char *name) {
  lua_getfield(L, 3, name);
  return !lua_isnil(L, -1);
}

/* The fields of the table at index 3; each leaves its value on the stack. */
static void read_fields(lua_State *L, struct weft_job *job) {
  struct weft_fs *fs = &job->fs;
  if (field(L, "other") &&
      (fs->other = weft_fs_copy(fs, luaL_checkstring(L, -1))) == NULL)
    luaL_error(L, "not enough memory");
  if (field(L, "flags"))
    fs->flags = (int)luaL_checkinteger(L, -1);
  if (field(L, "mode"))
    fs->mode = (int)luaL_checkinteger(L, -1);
  if (field(L, "size"))
    fs->size = (size_t)luaL_checknumber(L, -1);
  if (field(L, "atime"))
    fs->times[0] = luaL_checknumber(L, -1);
  if (field(L, "mtime"))
    fs->times[1] = luaL_checknumber(L, -1);
  if (field(L, "data"))
    weft_job_set_data(job, L, lua_gettop(L));
}

static int gives_file(const struct weft_job_kind *kind) {
  return kind->give == weft_file_give || kind->give == give_temporary;
}

/* fs(what, path, fields) -> true, results... | true, nil, code, message, path
 * of the failure or nil */
static int l_fs_call(lua_State *L) {
  const struct weft_job_kind *kind = find_kind(L, 1);
  const char *path = luaL_checkstring(L, 2);
  struct weft_job *job;
  int rc;
  luaL_checktype(L, 3, LUA_TTABLE);
  lua_settop(L, 3);
  rc = weft_check_park(L);
  if (rc != 0)
    return weft_refuse(L, rc);
  job = weft_job_new(L, kind); /* at 4 */
  job->fs.path = weft_fs_copy(&job->fs, path);
  if (gives_file(kind))
    weft_file_prepare(job, L);
  if (job->fs.path == NULL || (gives_file(kind) && job->to_give == NULL))
    return luaL_error(L, "not enough memory");
  read_fields(L, job);
  return weft_job_wait(job, L, 4);
}

static const luaL_Reg functions[] = {
    {"fs", l_fs_call},
    {NULL, NULL},
};

static const struct {
  const char *name;
  int value;
} flags[] = {
    {"RDONLY", O_RDONLY},       {"WRONLY", O_WRONLY}, {"RDWR", O_RDWR},
    {"CREAT", O_CREAT},         {"EXCL", O_EXCL},     {"TRUNC", O_TRUNC},
    {"APPEND", O_APPEND},       {"SYNC", O_SYNC},     {"NOFOLLOW", O_NOFOLLOW},
    {"DIRECTORY", O_DIRECTORY},
};

void weft_open_fs(lua_State *L) {
  size_t i;
  weft_set_functions(L, functions, NULL);
  lua_newtable(L);
  for (i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
    lua_pushinteger(L, flags[i].value);
    lua_setfield(L, -2, flags[i].name);
  }
  lua_setfield(L, -2, "open_flags");
}
