/* SPDX-License-Identifier: MIT */
/*
 * net/process.h: a child process: starting it with nothing inherited but what
 * was said, learning how it ended, and ending it.
 *
 * Owns: the uv_process_t and the child's end: it is always waited for, so that
 * none becomes a zombie, also when nobody asks any more. Knows no Lua, and no
 * streams: the descriptors are the caller's.
 */
#ifndef WEFT_NET_PROCESS_H
#define WEFT_NET_PROCESS_H

#include <stdint.h>
#include <uv.h>

#include "base/closer.h"
#include "base/mem.h"

struct weft_process {
  struct weft_closer closer;
  struct weft_mem *mem;
  void (*on_exit)(void *owner);
  void *owner; /* NULL: nobody is interested any more */
  int64_t code;
  int signal;  /* that ended it; 0: none */
  int waiting; /* tasks that keep the loop up for it */
  uint8_t is_running, is_detached;
  uv_process_t uv;
};

/* How long the closing of a loop waits for a child that was killed: it can only
 * be held up by the kernel. */
#define WEFT_PROCESS_REAP_MS 1000

/* Starts one. Every descriptor but those in options->stdio stays here. The
 * child is unreferenced in the loop: see weft_process_want. NULL: *rc says why.
 * on_exit(owner) is called once, in the loop, calls no function of libuv. */
struct weft_process *weft_process_spawn(uv_loop_t *loop, struct weft_mem *mem,
                                        uv_process_options_t *options,
                                        void (*on_exit)(void *owner),
                                        void *owner, int *rc);

/* One more (1) or one less (-1) waits for the end. */
void weft_process_want(struct weft_process *process, int by);

/* 0, UV_ESRCH when it has ended, or another error. */
int weft_process_kill(struct weft_process *process, int signum);

/* The owner goes: kills the child unless it is detached, and frees the struct
 * when it has ended. */
void weft_process_abandon(struct weft_process *process);

#endif
