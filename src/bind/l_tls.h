/* SPDX-License-Identifier: MIT */
/*
 * bind/l_tls.h: TLS contexts as arguments, for the binding files that put TLS
 * on something.
 */
#ifndef WEFT_BIND_L_TLS_H
#define WEFT_BIND_L_TLS_H

#include "bind/lutil.h"
#include "net/tlsctx.h"

/* The context at an index, which the userdata owns; raises `type`, or `closed`.
 * [-0, +0, e] */
struct weft_tlsctx *weft_check_tls_context(lua_State *L, int idx);

#endif
