/* SPDX-License-Identifier: MIT */
/*
 * bind/fsjob.h: one piece of work with files as a request: a struct weft_fs on
 * its way to a thread of libuv's pool and back.
 *
 * Owns: the request, and a pin on the string that is being written: it stays
 * until the work is done, also when nobody waits any more.
 */
#ifndef WEFT_BIND_FSJOB_H
#define WEFT_BIND_FSJOB_H

#include "bind/lutil.h"
#include "net/fs.h"

struct weft_job;

struct weft_job_kind {
  const char *name;
  int (*run)(struct weft_fs *fs); /* on a thread */
  /* Pushes the results; NULL: `true`. Returns how many. */
  int (*give)(struct weft_job *job, lua_State *co);
  /* Undoes what was done if the results reach nobody; NULL: leaves it. Called
   * in the loop; must be quick. */
  void (*undo)(struct weft_fs *fs);
};

struct weft_job {
  struct weft_request request;
  uv_work_t work;
  struct weft_fs fs;
  const struct weft_job_kind *kind;
  void (*done)(struct weft_job *job);
  int rc;
  uint32_t pin;  /* anchor slot of the data; 0: none */
  uint8_t is_at; /* works where the file stands, and moves that on */
  uint8_t is_queued, has_run, is_given;
  struct weft_file *file;    /* that it is the work of, or NULL */
  struct weft_file *to_give; /* for the descriptor that it will have; owned */
  struct weft_list link;     /* in the file's queue */
};

/* Makes one for the running loop; its userdata is pushed. Raises when memory is
 * out. [-0, +1, v] */
struct weft_job *weft_job_new(lua_State *L, const struct weft_job_kind *kind);

/* Pins the string at `idx` as the data to write. [-0, +0, v] */
void weft_job_set_data(struct weft_job *job, lua_State *L, int idx);

/* Queues it in libuv's pool; `done` is called in the loop, also after a
 * cancellation, and calls weft_job_end. 0 or an error. */
int weft_job_queue(struct weft_job *job, void (*done)(struct weft_job *job));

/* Ends the request; frees it if nobody waits. */
void weft_job_end(struct weft_job *job);

/* Starts a job of no file and parks; its userdata is at index `object` of L.
 * To be returned from the C function. */
int weft_job_wait(struct weft_job *job, lua_State *L, int object);

/* Memory for the file that the job will open; to_give is NULL when memory is
 * out. [-0, +0, m] */
void weft_file_prepare(struct weft_job *job, lua_State *L);
void weft_file_discard(struct weft_job *job);

/* Pushes to_give with the job's open descriptor, which it takes. */
int weft_file_give(struct weft_job *job, lua_State *co);

int weft_job_give_stat(struct weft_job *job, lua_State *co);
int weft_job_give_out(struct weft_job *job, lua_State *co);

#endif
