/* SPDX-License-Identifier: MIT */
/*
 * loop/work.h: what a thread does with a call: runs the function that the call
 * names, in the thread's own lua_State.
 *
 * Owns: that state. Knows no threads and no loop.
 *
 * A call's message has: package.path, package.cpath, a module's name or false,
 * the function's name in it or its bytes, and the arguments.
 */
#ifndef WEFT_LOOP_WORK_H
#define WEFT_LOOP_WORK_H

#include "loop/compat.h"

struct weft_call;

/* call->status, and what is in call->out */
enum weft_work_status {
  WEFT_WORK_OK,     /* the results */
  WEFT_WORK_RAISED, /* the value, or what stands for it; its text; traceback */
  WEFT_WORK_ERROR,  /* the fields of a weft.Error; traceback */
  WEFT_WORK_TYPE,   /* a sentence: no function, or a result cannot be copied */
  WEFT_WORK_LIMIT,  /* a sentence: a result is too large */
  WEFT_WORK_MEMORY  /* nothing */
};

/* Runs the call in L, which is made if it is NULL; returns it, NULL when memory
 * is out. Never raises. */
lua_State *weft_work_run(lua_State *L, struct weft_call *call);

/* Closes the state, which may be NULL. */
void weft_work_close(lua_State *L);

#endif
