/* SPDX-License-Identifier: MIT */
/*
 * base/err.h: weft's own error codes, from -20000 down, beside libuv's (which
 * are negated errno values and never reach that far).
 *
 * Owns the one table of name, kind and message. Knows neither Lua nor libuv:
 * what turns a code into a raised error is in src/bind/lutil.c.
 */
#ifndef WEFT_BASE_ERR_H
#define WEFT_BASE_ERR_H

/* X(offset, name, kind, message) */
#define WEFT_ERRORS(X)                                                         \
  X(0, ECLOSED, "closed", "the event loop is closed")                          \
  X(1, EFORKED, "state",                                                       \
    "the event loop belongs to the parent process: it cannot be used after "   \
    "fork")                                                                    \
  X(2, EREENTERED, "state",                                                    \
    "the event loop is already running: it cannot be run from inside itself")  \
  X(3, ENESTED, "state",                                                       \
    "cannot run an event loop while another one is running in this thread")    \
  X(4, ENOTASK, "state", "waiting is possible only inside a task")             \
  X(5, EBLOCKED, "state", "waiting is impossible here")                        \
  X(6, EFOREIGN, "state",                                                      \
    "cannot wait in this coroutine: it was resumed by a function that was "    \
    "taken from the coroutine library before weft was loaded")                 \
  X(7, ESELF, "state", "a task cannot await itself")                           \
  X(8, ECYCLE, "state", "the tasks would await each other in a cycle")         \
  X(9, EOTHERLOOP, "state", "the object belongs to another event loop")        \
  X(10, EDONE, "state", "the outcome is already set")                          \
  X(11, ENOTDONE, "state", "the outcome is not there yet")                     \
  X(12, EYIELD, "state",                                                       \
    "coroutine.yield outside a coroutine that somebody resumed: a task waits " \
    "with weft.sleep, weft.await and the like")                                \
  X(13, ERESUMED, "state",                                                     \
    "the task's coroutine was resumed by hand in the middle of a wait")        \
  X(14, ESTREAMCLOSED, "closed", "the stream is closed")                       \
  X(15, EHALFSENT, "state",                                                    \
    "an earlier write was broken off half-way: nothing more can be written")   \
  X(16, ELIMIT, "limit", "the limit was passed")                               \
  X(17, ETLS, "tls", "TLS has failed")                                         \
  X(18, ETLSEOF, "connection",                                                 \
    "the peer closed the connection without close_notify")                     \
  X(19, ETLSHELLO, "state", "the handshake waits for its context")             \
  X(20, EPROTOCOL, "protocol", "the peer broke the protocol")                  \
  X(21, ETRUNCATED, "connection",                                              \
    "the connection ended before the message was complete")                    \
  X(22, EFIELD, "type", "the header field cannot be sent")                     \
  X(23, EMESSAGE, "type", "the message cannot be sent")                        \
  X(24, ECODING, "decode", "the content coding is not known here")             \
  X(25, EDECODE, "decode", "the content coding is malformed")                  \
  X(26, ECODINGCUT, "decode", "the coded content ends too early")              \
  X(27, EEXPANSION, "limit", "the content expands too much when decoded")

enum weft_error {
#define X(offset, name, kind, message) WEFT_##name = -20000 - (offset),
  WEFT_ERRORS(X)
#undef X
};

/* The symbolic name ("ECLOSED"), the kind ("closed") and the sentence of one of
 * weft's own codes; NULL for any other number. Static strings. */
const char *weft_err_name(int code);
const char *weft_err_kind(int code);
const char *weft_err_message(int code);

#endif
