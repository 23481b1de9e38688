/* SPDX-License-Identifier: MIT */
/*
 * bind/l_fields.h: the userdata of header fields, for the binding files that
 * take or give them.
 */
#ifndef WEFT_BIND_L_FIELDS_H
#define WEFT_BIND_L_FIELDS_H

#include "bind/lutil.h"
#include "proto/fields.h"

/* Pushes new fields, which are empty. [-0, +1, m] */
struct weft_fields *weft_fields_push(lua_State *L, struct weft_mem *mem);

/* Pushes new fields with all of `from`, which is empty after that. [-0, +1, m]
 */
void weft_fields_push_moved(lua_State *L, struct weft_fields *from);

/* The fields at an index; raises `type`. */
struct weft_fields *weft_fields_check(lua_State *L, int idx);

#endif
