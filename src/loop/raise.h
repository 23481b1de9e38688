/* SPDX-License-Identifier: MIT */
/*
 * loop/raise.h: how C code of weft raises an error object.
 *
 * Owns: the way to the Lua function (set by weft.error) that builds and raises
 * it. Everything declared here raises, or makes something raise.
 */
#ifndef WEFT_LOOP_RAISE_H
#define WEFT_LOOP_RAISE_H

#include "loop/vm.h"

/* Sets the function on the top of L: raise(kind, code, message). [-1, +0, m] */
void weft_raise_set(lua_State *L);

/* Raises the error of one of weft's codes or of libuv's. Never returns; the
 * int is for `return weft_raise(...)`. [-0, +0, v] */
int weft_raise(lua_State *L, int code);

/* Raises an error of the given kind. */
int weft_raise_kind(lua_State *L, const char *kind, const char *format, ...);

/* Pushes the error that weft_raise would raise. [-0, +1, m] */
void weft_raise_push(lua_State *L, int code);

/* Makes `co`, which has yielded, raise as soon as it is resumed: in it, where
 * it was, so that its own pcall can catch it. */
void weft_raise_in(lua_State *co, int code);

/* To be called once `co` was resumed after that: takes back a raise that it
 * ended or yielded without, having run nothing but C. */
void weft_raise_undo(lua_State *co);

#endif
