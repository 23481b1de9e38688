/* SPDX-License-Identifier: MIT */
/*
 * bind/lutil.h: what the binding files share: finding the structs behind
 * arguments, and registering functions.
 *
 * Every function that weft registers has four upvalues: the struct weft_vm, the
 * metatables of Task and Future, and that of the class it is a method of. The
 * functions here that take an argument raise `type` when it is not what it must
 * be.
 */
#ifndef WEFT_BIND_LUTIL_H
#define WEFT_BIND_LUTIL_H

#include "loop/callback.h"
#include "loop/latch.h"
#include "loop/loop.h"
#include "loop/raise.h"
#include "loop/request.h"
#include "loop/scope.h"
#include "loop/signal.h"
#include "loop/task.h"

#define WEFT_UPVALUE_VM lua_upvalueindex(1)
#define WEFT_UPVALUE_TASK lua_upvalueindex(2)
#define WEFT_UPVALUE_FUTURE lua_upvalueindex(3)

#define WEFT_UPVALUE_CLASS lua_upvalueindex(4)

static inline struct weft_vm *weft_vm_of(lua_State *L) {
  return lua_touserdata(L, WEFT_UPVALUE_VM);
}

/* Arguments. [-0, +0, e] */
struct weft_future *weft_to_future(lua_State *L, int idx); /* or NULL */
struct weft_future *weft_check_future(lua_State *L, int idx);
struct weft_task *weft_check_task(lua_State *L, int idx);
struct weft_loop *weft_check_loop(lua_State *L, int idx);
void *weft_check_udata(lua_State *L, int idx, const char *name);
void *weft_check_self(lua_State *L, const char *what); /* at index 1 */
lua_Number weft_check_number(lua_State *L, int idx, const char *what);

/* The running loop, or the one that weft.get_event_loop gives. */
struct weft_loop *weft_current_loop(lua_State *L);

/* Pushes the userdata of a loop or of a live task. [-0, +1, -] */
void weft_push_loop(lua_State *L, struct weft_loop *loop);
void weft_push_task(lua_State *L, struct weft_task *task);

/* Seconds to nanoseconds; what does not fit becomes UINT64_MAX (never). */
uint64_t weft_to_ns(lua_Number seconds);

/* What a function that waits does in place of waiting, given what a check said:
 * returns false when an interruption is to be raised, raises all else. */
int weft_refuse(lua_State *L, int rc);

/* Both checks of task.h: 0 if L may be suspended now. */
int weft_check_park(lua_State *L);

/* Sets the functions into the table on the top; `name` is their class, or NULL.
 * [-0, +0, m] */
void weft_set_functions(lua_State *L, const luaL_Reg *functions,
                        const char *name);

/* Makes a metatable: with `name`, __gc (or NULL); leaves it in the registry and
 * as field `name` of the table on the top. [-0, +0, m] */
void weft_new_class(lua_State *L, const char *name, lua_CFunction gc);

/* Each adds its functions to the module table on the top. [-0, +0, m] */
void weft_open_loop(lua_State *L);
void weft_open_task(lua_State *L);
void weft_open_wait(lua_State *L);
void weft_open_latch(lua_State *L);
void weft_open_scope(lua_State *L);
void weft_open_callback(lua_State *L);
void weft_open_stream(lua_State *L);
void weft_open_net(lua_State *L);
void weft_open_pair(lua_State *L);
void weft_open_tls(lua_State *L);
void weft_open_resolve(lua_State *L);
void weft_open_udp(lua_State *L);
void weft_open_fs(lua_State *L);
void weft_open_file(lua_State *L);
void weft_open_worker(lua_State *L);
void weft_open_process(lua_State *L);
void weft_open_tty(lua_State *L);
void weft_open_watch(lua_State *L);
void weft_open_idna(lua_State *L);
void weft_open_encode(lua_State *L);
void weft_open_psl(lua_State *L);
void weft_open_text(lua_State *L);
void weft_open_deflate(lua_State *L);
void weft_open_hash(lua_State *L);
void weft_open_fields(lua_State *L);
void weft_open_h1(lua_State *L);
void weft_open_h1_send(lua_State *L);
void weft_open_h1_body(lua_State *L);

/* __gc of the classes. */
int l_loop__gc(lua_State *L);
int l_failure__gc(lua_State *L);
int l_latch__gc(lua_State *L);
int l_scope__gc(lua_State *L);
int l_signal__gc(lua_State *L);
int l_stream__gc(lua_State *L);
int l_listener__gc(lua_State *L);
int l_tls_context__gc(lua_State *L);
int l_tls_shared__gc(lua_State *L);
int l_resolve__gc(lua_State *L);
int l_lookup__gc(lua_State *L);
int l_udp__gc(lua_State *L);
int l_file__gc(lua_State *L);
int l_pool__gc(lua_State *L);
int l_process__gc(lua_State *L);
int l_tty__gc(lua_State *L);
int l_watch__gc(lua_State *L);
int l_psl__gc(lua_State *L);
int l_charset__gc(lua_State *L);
int l_deflater__gc(lua_State *L);
int l_fields__gc(lua_State *L);
int l_h1__gc(lua_State *L);

#endif
