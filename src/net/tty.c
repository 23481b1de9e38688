/* SPDX-License-Identifier: MIT */
/*
 * net/tty.c: see tty.h. The list is there for the handler of exit(), which runs
 * also when the module is unloaded.
 */
#include "net/tty.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>
#include <uv.h>

#include "base/list.h"

struct weft_tty {
  struct weft_list link;
  struct termios before;
  int fd; /* of its own: the caller's may be closed by accident */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct weft_list raw = {&raw, &raw};

int weft_tty_size(int fd, int *columns, int *rows) {
  struct winsize size;
  if (ioctl(fd, TIOCGWINSZ, &size) != 0)
    return uv_translate_sys_error(errno);
  *columns = size.ws_col;
  *rows = size.ws_row;
  return 0;
}

static void set_back(struct weft_tty *tty) {
  while (tcsetattr(tty->fd, TCSADRAIN, &tty->before) != 0 && errno == EINTR)
    ;
}

/* Newest first, as they may be of one terminal. */
static void on_exit_of_process(void) {
  struct weft_list *link;
  if (pthread_mutex_trylock(&lock) != 0)
    return;
  for (link = raw.prev; link != &raw; link = link->prev)
    set_back(WEFT_CONTAINER_OF(link, struct weft_tty, link));
  pthread_mutex_unlock(&lock);
}

static void register_handler(void) {
  atexit(on_exit_of_process);
}

static int set_raw(struct weft_tty *tty) {
  struct termios mode;
  if (tcgetattr(tty->fd, &tty->before) != 0)
    return uv_translate_sys_error(errno);
  mode = tty->before;
  mode.c_iflag &= ~(tcflag_t)(BRKINT | ICRNL | INPCK | ISTRIP | IXON);
  mode.c_cflag |= CS8;
  mode.c_lflag &= ~(tcflag_t)(ECHO | ICANON | IEXTEN | ISIG);
  mode.c_cc[VMIN] = 1;
  mode.c_cc[VTIME] = 0;
  return tcsetattr(tty->fd, TCSADRAIN, &mode) == 0
             ? 0
             : uv_translate_sys_error(errno);
}

struct weft_tty *weft_tty_raw(int fd, int *rc) {
  struct weft_tty *tty = malloc(sizeof(*tty));
  *rc = UV_ENOMEM;
  if (tty == NULL)
    return NULL;
  pthread_once(&once, register_handler);
  tty->fd = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
  *rc = tty->fd < 0 ? uv_translate_sys_error(errno) : set_raw(tty);
  if (*rc == 0) {
    pthread_mutex_lock(&lock);
    weft_list_push(&raw, &tty->link);
    pthread_mutex_unlock(&lock);
    return tty;
  }
  if (tty->fd >= 0)
    close(tty->fd);
  free(tty);
  return NULL;
}

void weft_tty_restore(struct weft_tty *tty) {
  pthread_mutex_lock(&lock);
  weft_list_remove(&tty->link);
  set_back(tty);
  pthread_mutex_unlock(&lock);
  close(tty->fd);
  free(tty);
}
