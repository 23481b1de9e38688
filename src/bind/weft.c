/* SPDX-License-Identifier: MIT */
/*
 * bind/weft.c: the module weft.core: makes the struct weft_vm of this
 * lua_State, the classes, and the table of functions. The only exported symbol.
 *
 * What weft.core offers is for the Lua files of weft alone: it checks what
 * would crash, and leaves the rest to them.
 */
#include "bind/lutil.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

static void open_vm(lua_State *L) {
  struct weft_vm *vm = lua_newuserdata(L, sizeof(*vm));
  memset(vm, 0, sizeof(*vm));
  lua_setfield(L, LUA_REGISTRYINDEX, "weft.vm");
}

static void open_classes(lua_State *L) {
  weft_new_class(L, "weft.Loop", l_loop__gc);
  weft_new_class(L, "weft.Task", NULL);
  weft_new_class(L, "weft.Future", NULL);
  weft_new_class(L, "weft.Callback", NULL);
  weft_new_class(L, "weft.Failure", l_failure__gc);
  weft_new_class(L, "weft.Error", NULL);
  weft_new_class(L, "weft.Waitlist", NULL);
  weft_new_class(L, "weft.Latch", l_latch__gc);
  weft_new_class(L, "weft.Scope", l_scope__gc);
  weft_new_class(L, "weft.Signal", l_signal__gc);
  weft_new_class(L, "weft.Request", weft_request_gc);
  weft_new_class(L, "weft.Stream", l_stream__gc);
  weft_new_class(L, "weft.Listener", l_listener__gc);
  weft_new_class(L, "weft.TLSContext", l_tls_context__gc);
  weft_new_class(L, "weft.TLSShared", l_tls_shared__gc);
  weft_new_class(L, "weft.Resolve", l_resolve__gc);
  weft_new_class(L, "weft.Lookup", l_lookup__gc);
  weft_new_class(L, "weft.Udp", l_udp__gc);
  weft_new_class(L, "weft.File", l_file__gc);
  weft_new_class(L, "weft.Pool", l_pool__gc);
  weft_new_class(L, "weft.Process", l_process__gc);
  weft_new_class(L, "weft.RawMode", l_tty__gc);
  weft_new_class(L, "weft.Watch", l_watch__gc);
  weft_new_class(L, "weft.PublicSuffixes", l_psl__gc);
  weft_new_class(L, "weft.Charset", l_charset__gc);
  weft_new_class(L, "weft.Deflater", l_deflater__gc);
  weft_new_class(L, "weft.Fields", l_fields__gc);
  weft_new_class(L, "weft.H1", l_h1__gc);
}

/* set_raise(function(kind, code, message)) */
static int l_core_set_raise(lua_State *L) {
  lua_settop(L, 1);
  weft_raise_set(L);
  return 0;
}

/* set_default_loop(function() -> loop) */
static int l_core_set_default_loop(lua_State *L) {
  lua_settop(L, 1);
  lua_setfield(L, LUA_REGISTRYINDEX, "weft.default_loop");
  return 0;
}

/* memory() -> blocks, bytes, calls of weft's own C allocations */
static int l_core_memory(lua_State *L) {
  const struct weft_mem *mem = &weft_vm_of(L)->mem;
  lua_pushinteger(L, (lua_Integer)mem->blocks);
  lua_pushinteger(L, (lua_Integer)mem->bytes);
  lua_pushinteger(L, (lua_Integer)mem->calls);
  return 3;
}

/* fail_allocation(n): the n-th from now fails; 0 takes it back */
static int l_core_fail_allocation(lua_State *L) {
  weft_vm_of(L)->mem.fail_after =
      (size_t)weft_check_number(L, 1, "the number of the allocation");
  return 0;
}

/* What libuv keeps, from the first use on, as long as the loop is open. */
static int is_libuvs(lua_State *L, int fd) {
#if defined(__linux__)
  const struct weft_loop *loop = weft_vm_of(L)->loop;
  return loop != NULL && fd == loop->uv.inotify_fd;
#else
  (void)L, (void)fd;
  return 0;
#endif
}

/* descriptors() -> list of the open descriptors of the process, but those that
 * libuv keeps for the running loop */
static int l_core_descriptors(lua_State *L) {
  DIR *dir = opendir("/dev/fd");
  struct dirent *entry;
  int n = 0;
  lua_newtable(L);
  if (dir == NULL)
    return 1;
  while ((entry = readdir(dir)) != NULL) {
    int fd = atoi(entry->d_name);
    if (entry->d_name[0] == '.' || fd == dirfd(dir) || is_libuvs(L, fd))
      continue;
    lua_pushinteger(L, fd);
    lua_rawseti(L, -2, ++n);
  }
  closedir(dir);
  return 1;
}

static const luaL_Reg functions[] = {
    {"set_raise", l_core_set_raise},
    {"set_default_loop", l_core_set_default_loop},
    {"memory", l_core_memory},
    {"descriptors", l_core_descriptors},
    {"fail_allocation", l_core_fail_allocation},
    {NULL, NULL},
};

#if defined(__GNUC__)
__attribute__((visibility("default")))
#endif
int luaopen_weft_core(lua_State *L);

int luaopen_weft_core(lua_State *L) {
  open_vm(L);
  lua_newtable(L); /* the module */
  lua_newtable(L); /* its classes */
  open_classes(L);
  lua_setfield(L, -2, "classes");
  lua_createtable(L, 1, 0);
  lua_pushboolean(L, 0);
  lua_rawseti(L, -2, 1);
  lua_pushvalue(L, -1);
  lua_setfield(L, LUA_REGISTRYINDEX, "weft.gate");
  lua_setfield(L, -2, "gate");
  weft_set_functions(L, functions, NULL);
  weft_open_loop(L);
  weft_open_task(L);
  weft_open_wait(L);
  weft_open_latch(L);
  weft_open_scope(L);
  weft_open_callback(L);
  weft_open_stream(L);
  weft_open_net(L);
  weft_open_pair(L);
  weft_open_tls(L);
  weft_open_resolve(L);
  weft_open_udp(L);
  weft_open_fs(L);
  weft_open_file(L);
  weft_open_worker(L);
  weft_open_process(L);
  weft_open_tty(L);
  weft_open_watch(L);
  weft_open_idna(L);
  weft_open_encode(L);
  weft_open_psl(L);
  weft_open_text(L);
  weft_open_deflate(L);
  weft_open_hash(L);
  weft_open_fields(L);
  weft_open_h1(L);
  weft_open_h1_send(L);
  weft_open_h1_body(L);
  return 1;
}
