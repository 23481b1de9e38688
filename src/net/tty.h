/* SPDX-License-Identifier: MIT */
/*
 * net/tty.h: terminals: their size, and raw mode that is always left again.
 *
 * Owns: which terminals are in raw mode, and how they were before. That is the
 * one thing of weft's that belongs to the process and not to a lua_State: when
 * the process exits, in whichever way but by a signal, they are set back.
 * Knows no Lua and no loop. All functions may be called from any thread.
 */
#ifndef WEFT_NET_TTY_H
#define WEFT_NET_TTY_H

struct weft_tty;

/* Columns and rows of the terminal: 0 or a libuv error. */
int weft_tty_size(int fd, int *columns, int *rows);

/* Sets the terminal to raw mode: no echo, no lines, no signals from keys; what
 * is written is treated as before. The result is to be given to
 * weft_tty_restore; NULL: *rc says why. The descriptor stays the caller's, and
 * must be open until then. */
struct weft_tty *weft_tty_raw(int fd, int *rc);

/* Sets it back and frees the struct. */
void weft_tty_restore(struct weft_tty *tty);

#endif
