/* SPDX-License-Identifier: MIT */
/*
 * net/resolve_cares.c: look-ups by c-ares, whose sockets the loop polls. See
 * resolve.h. Compiled to nothing without c-ares.
 *
 * Owns: the channel, a uv_poll_t for each of its sockets, and one timer; all
 * but the channel exist only while there is something to wait for, so that an
 * idle resolver is no open handle. c-ares cannot cancel one look-up: one that
 * is forgotten goes on, for nobody, as long as there are others.
 */
#ifdef WEFT_WITH_CARES

#include <ares.h>
#include <string.h>
#include <sys/stat.h>

#include "base/closer.h"
#include "net/resolve.h"

const int weft_resolve_has_options = 1;

/* Each look-up sends two datagrams. What a socket holds by default on Linux, be
 * it ours or the name server's (212,992 bytes), is 277 small ones; the rest is
 * lost and asked again a timeout later. So no more than this many start in
 * BURST_MS. */
#define BURST_MAX 128
#define BURST_MS 50

/* A query has 16 bits of identity, and c-ares tries numbers until one is free.
 */
#define ASKED_MAX 8192

#define RECEIVE_BUFFER (1 << 20) /* bytes; the kernel makes less of it */

#define SYSTEM_CONF "/etc/resolv.conf"

struct handle {
  struct weft_closer closer;
  struct weft_list link;        /* of resolve->handles */
  struct weft_resolve *resolve; /* NULL once it is closing */
  struct weft_mem *mem;
  int fd;
  int events; /* that c-ares waits for */
  union {
    uv_handle_t any;
    uv_poll_t poll;
    uv_timer_t timer;
  } uv;
};

struct weft_query {
  struct weft_resolve *resolve;
  struct weft_lookup *lookup; /* NULL: nobody waits for it */
};

struct weft_resolve {
  uv_loop_t *uv;
  struct weft_mem *mem;
  ares_channel channel; /* NULL: not open */
  struct weft_list handles;
  struct handle *timer;
  struct weft_list waiting, asked; /* look-ups */
  unsigned waiting_count;
  unsigned queries;             /* that c-ares has, for somebody or nobody */
  unsigned burst;               /* started since burst_ms */
  uint64_t burst_ms;            /* by the loop's clock */
  unsigned char is_closed;      /* for good */
  struct weft_lookup *starting; /* is being handed to c-ares */
  struct stat conf;             /* of SYSTEM_CONF when the channel was opened */
  int timeout_ms, tries, ndots, domain_count;
  char *servers;
  char **domains; /* one block with the texts behind the pointers */
};

/* --- handles ------------------------------------------------------------- */

static void on_close(uv_handle_t *uv) {
  struct handle *handle = uv->data;
  weft_free(handle->mem, handle);
}

static void close_handle(struct handle *handle) {
  weft_list_remove(&handle->link);
  handle->resolve = NULL;
  uv_close(&handle->uv.any, on_close);
}

static void on_loop_close(struct weft_closer *closer) {
  struct handle *handle = (struct handle *)(void *)closer;
  if (handle->resolve != NULL)
    weft_resolve_close(handle->resolve);
}

static struct handle *new_handle(struct weft_resolve *resolve, int fd) {
  struct handle *handle = weft_calloc(resolve->mem, sizeof(*handle));
  if (handle == NULL)
    return NULL;
  handle->closer.close = on_loop_close;
  handle->resolve = resolve;
  handle->mem = resolve->mem;
  handle->fd = fd;
  return handle;
}

static void keep_handle(struct weft_resolve *resolve, struct handle *handle) {
  handle->uv.any.data = handle;
  weft_list_push(&resolve->handles, &handle->link);
}

static struct handle *find_poll(struct weft_resolve *resolve, int fd) {
  struct weft_list *link;
  for (link = resolve->handles.next; link != &resolve->handles;
       link = link->next) {
    struct handle *handle = WEFT_CONTAINER_OF(link, struct handle, link);
    if (handle->fd == fd)
      return handle;
  }
  return NULL;
}

static struct handle *open_poll(struct weft_resolve *resolve, int fd) {
  struct handle *handle = new_handle(resolve, fd);
  if (handle == NULL)
    return NULL;
  if (uv_poll_init(resolve->uv, &handle->uv.poll, fd) != 0) {
    weft_free(resolve->mem, handle);
    return NULL;
  }
  keep_handle(resolve, handle);
  return handle;
}

/* --- c-ares' sockets and timer ------------------------------------------- */

static void begin_waiting(struct weft_resolve *resolve);
static void settle(struct weft_resolve *resolve);

static void on_poll(uv_poll_t *poll, int status, int events) {
  struct handle *handle = poll->data;
  struct weft_resolve *resolve = handle->resolve;
  int in = status < 0 || (events & UV_READABLE) != 0;
  int out = status < 0 || (events & UV_WRITABLE) != 0;
  ares_process_fd(resolve->channel, in ? handle->fd : ARES_SOCKET_BAD,
                  out ? handle->fd : ARES_SOCKET_BAD);
  if (status < 0 && handle->resolve != NULL) /* libuv has stopped polling it */
    uv_poll_start(poll, handle->events, on_poll);
  settle(resolve);
}

/* Where memory is out the socket is not polled: its queries time out. */
static void on_socket(void *data, ares_socket_t fd, int in, int out) {
  struct weft_resolve *resolve = data;
  struct handle *handle = find_poll(resolve, fd);
  if (!in && !out) {
    if (handle != NULL)
      close_handle(handle);
    return;
  }
  if (handle == NULL)
    handle = open_poll(resolve, fd);
  if (handle == NULL)
    return;
  handle->events = (in ? UV_READABLE : 0) | (out ? UV_WRITABLE : 0);
  uv_poll_start(&handle->uv.poll, handle->events, on_poll);
}

static void on_timer(uv_timer_t *timer);

/* The next time that something is due. No query is due before its first
 * timeout, so that a new one needs no change. */
static void start_timer(struct weft_resolve *resolve) {
  struct timeval most, next;
  uint64_t ms;
  most.tv_sec = resolve->timeout_ms / 1000;
  most.tv_usec = resolve->timeout_ms % 1000 * 1000;
  if (!weft_list_is_empty(&resolve->waiting)) {
    ms = BURST_MS;
  } else {
    const struct timeval *tv = ares_timeout(resolve->channel, &most, &next);
    ms = (uint64_t)tv->tv_sec * 1000 + (uint64_t)tv->tv_usec / 1000 + 1;
  }
  uv_update_time(resolve->uv);
  uv_timer_start(&resolve->timer->uv.timer, on_timer, ms, 0);
}

static void on_timer(uv_timer_t *timer) {
  struct weft_resolve *resolve = ((struct handle *)timer->data)->resolve;
  ares_process_fd(resolve->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
  begin_waiting(resolve);
  settle(resolve);
  if (resolve->timer != NULL)
    start_timer(resolve);
}

static int open_timer(struct weft_resolve *resolve) {
  if (resolve->timer != NULL)
    return 0;
  resolve->timer = new_handle(resolve, -1);
  if (resolve->timer == NULL)
    return UV_ENOMEM;
  uv_timer_init(resolve->uv, &resolve->timer->uv.timer);
  keep_handle(resolve, resolve->timer);
  return 0;
}

/* Lets go of the timer once nothing is left to wait for. */
static void settle(struct weft_resolve *resolve) {
  if (resolve->timer == NULL || resolve->queries > 0 ||
      !weft_list_is_empty(&resolve->waiting))
    return;
  close_handle(resolve->timer);
  resolve->timer = NULL;
}

/* --- the channel --------------------------------------------------------- */

static void close_channel(struct weft_resolve *resolve) {
  ares_channel channel = resolve->channel;
  resolve->channel = NULL;
  if (channel == NULL)
    return;
  ares_cancel(channel);
  ares_destroy(channel);
}

static int is_same(const struct stat *a, const struct stat *b) {
  return a->st_ino == b->st_ino && a->st_mtime == b->st_mtime &&
         a->st_size == b->st_size;
}

static int count_servers(ares_channel channel) {
  struct ares_addr_port_node *servers = NULL, *server;
  int count = 0;
  if (ares_get_servers_ports(channel, &servers) != ARES_SUCCESS)
    return 0;
  for (server = servers; server != NULL; server = server->next)
    count++;
  ares_free_data(servers);
  return count;
}

static int init_channel(struct weft_resolve *resolve, int flags) {
  struct ares_options options;
  int mask = ARES_OPT_SOCK_STATE_CB | ARES_OPT_LOOKUPS | ARES_OPT_TIMEOUTMS |
             ARES_OPT_TRIES | ARES_OPT_SOCK_RCVBUF | ARES_OPT_FLAGS;
  memset(&options, 0, sizeof(options));
  options.flags = flags;
  options.sock_state_cb = on_socket;
  options.sock_state_cb_data = resolve;
  options.lookups = (char *)(uintptr_t) "fb"; /* /etc/hosts, then the servers */
  options.timeout = resolve->timeout_ms;
  options.tries = resolve->tries;
  options.socket_receive_buffer_size = RECEIVE_BUFFER;
  if (resolve->ndots >= 0) {
    options.ndots = resolve->ndots;
    mask |= ARES_OPT_NDOTS;
  }
  if (resolve->domains != NULL) {
    options.domains = resolve->domains;
    options.ndomains = resolve->domain_count;
    mask |= ARES_OPT_DOMAINS;
  }
  if (ares_init_options(&resolve->channel, &options, mask) != ARES_SUCCESS) {
    resolve->channel = NULL;
    return UV_ENOMEM;
  }
  if (resolve->servers != NULL &&
      ares_set_servers_ports_csv(resolve->channel, resolve->servers) !=
          ARES_SUCCESS) {
    close_channel(resolve);
    return UV_EINVAL;
  }
  return 0;
}

/* Opens the channel, or opens it again if the system's settings changed. When a
 * name server says that it failed or refuses, c-ares asks the next one, and in
 * the end says no more than that it found none; so where there is no other, it
 * is told to pass the answer on. */
static int open_channel(struct weft_resolve *resolve) {
  struct stat conf;
  int rc;
  if (stat(SYSTEM_CONF, &conf) != 0)
    memset(&conf, 0, sizeof(conf));
  if (resolve->channel != NULL &&
      (resolve->queries > 0 || is_same(&conf, &resolve->conf)))
    return 0;
  close_channel(resolve);
  resolve->conf = conf;
  rc = init_channel(resolve, 0);
  if (rc == 0 && count_servers(resolve->channel) == 1) {
    close_channel(resolve);
    rc = init_channel(resolve, ARES_FLAG_NOCHECKRESP);
  }
  return rc;
}

static char *copy_text(struct weft_mem *mem, const char *text) {
  size_t size = strlen(text) + 1;
  char *copy = weft_malloc(mem, size);
  return copy != NULL ? memcpy(copy, text, size) : NULL;
}

static char **copy_list(struct weft_mem *mem, const char *const *list,
                        int count) {
  size_t size = (size_t)count * sizeof(char *);
  char **copy, *text;
  int i;
  for (i = 0; i < count; i++)
    size += strlen(list[i]) + 1;
  copy = weft_malloc(mem, size > 0 ? size : 1);
  if (copy == NULL)
    return NULL;
  text = (char *)(copy + count);
  for (i = 0; i < count; i++) {
    copy[i] = strcpy(text, list[i]);
    text += strlen(list[i]) + 1;
  }
  return copy;
}

static int copy_options(struct weft_resolve *resolve,
                        const struct weft_resolve_options *options) {
  resolve->timeout_ms = options->timeout_ms;
  resolve->tries = options->tries;
  resolve->ndots = options->ndots;
  resolve->domain_count = options->domain_count;
  if (options->servers != NULL) {
    resolve->servers = copy_text(resolve->mem, options->servers);
    if (resolve->servers == NULL)
      return UV_ENOMEM;
  }
  if (options->domains != NULL) {
    resolve->domains =
        copy_list(resolve->mem, options->domains, options->domain_count);
    if (resolve->domains == NULL)
      return UV_ENOMEM;
  }
  return resolve->servers != NULL ? open_channel(resolve) : 0;
}

struct weft_resolve *weft_resolve_new(
    uv_loop_t *uv, struct weft_mem *mem,
    const struct weft_resolve_options *options, int *rc) {
  struct weft_resolve *resolve = weft_calloc(mem, sizeof(*resolve));
  *rc = UV_ENOMEM;
  if (resolve == NULL)
    return NULL;
  resolve->uv = uv;
  resolve->mem = mem;
  weft_list_init(&resolve->handles);
  weft_list_init(&resolve->waiting);
  weft_list_init(&resolve->asked);
  *rc = copy_options(resolve, options);
  if (*rc == 0)
    return resolve;
  weft_resolve_free(resolve);
  return NULL;
}

/* --- look-ups ------------------------------------------------------------ */

static enum weft_dns error_of(int status) {
  switch (status) {
  case ARES_SUCCESS:
    return WEFT_DNS_OK;
  case ARES_ENOTFOUND:
    return WEFT_DNS_ENOTFOUND;
  case ARES_ENODATA:
    return WEFT_DNS_ENODATA;
  case ARES_ETIMEOUT:
    return WEFT_DNS_ETIMEOUT;
  case ARES_ESERVFAIL:
    return WEFT_DNS_ESERVFAIL;
  case ARES_EREFUSED:
    return WEFT_DNS_EREFUSED;
  case ARES_EFORMERR:
    return WEFT_DNS_EFORMERR;
  case ARES_ENOTIMP:
    return WEFT_DNS_ENOTIMP;
  case ARES_EBADRESP:
    return WEFT_DNS_EBADRESP;
  case ARES_ECONNREFUSED:
    return WEFT_DNS_ECONNREFUSED;
  case ARES_EBADNAME:
    return WEFT_DNS_EBADNAME;
  case ARES_ECANCELLED:
  case ARES_EDESTRUCTION:
    return WEFT_DNS_ECLOSED;
  case ARES_ENOMEM:
    return WEFT_DNS_ENOMEM;
  default:
    return WEFT_DNS_EFAIL;
  }
}

static int least_ttl(const struct ares_addrinfo *res) {
  const struct ares_addrinfo_node *node;
  const struct ares_addrinfo_cname *cname;
  int ttl = INT32_MAX;
  for (node = res->nodes; node != NULL; node = node->ai_next)
    ttl = node->ai_ttl < ttl ? node->ai_ttl : ttl;
  for (cname = res->cnames; cname != NULL; cname = cname->next)
    ttl = cname->ttl < ttl ? cname->ttl : ttl;
  return ttl < 0 ? 0 : ttl;
}

/* Where the chain of aliases leads. */
static const char *canonical_name(const struct ares_addrinfo *res) {
  const struct ares_addrinfo_cname *cname = res->cnames;
  while (cname != NULL && cname->next != NULL)
    cname = cname->next;
  return cname != NULL && cname->name != NULL ? cname->name : res->name;
}

/* What comes at once comes from /etc/hosts, and has no time to live. */
static void take_answer(struct weft_lookup *lookup,
                        const struct ares_addrinfo *res, int is_at_once) {
  const struct ares_addrinfo_node *node;
  const char *name = canonical_name(res);
  struct weft_answer *answer;
  unsigned count = 0;
  for (node = res->nodes; node != NULL; node = node->ai_next)
    count += count < WEFT_DNS_ADDRESSES_MAX;
  lookup->answer = answer = weft_answer_new(lookup->mem, count);
  if (answer == NULL || count == 0) {
    lookup->error = answer == NULL ? WEFT_DNS_ENOMEM : WEFT_DNS_ENODATA;
    return;
  }
  for (node = res->nodes; answer->count < count; node = node->ai_next)
    weft_answer_add(answer, node->ai_addr);
  if (!is_at_once)
    answer->ttl = least_ttl(res);
  if (name != NULL && strlen(name) < sizeof(answer->name))
    strcpy(answer->name, name);
}

static void on_answer(void *arg, int status, int timeouts,
                      struct ares_addrinfo *res) {
  struct weft_query *query = arg;
  struct weft_resolve *resolve = query->resolve;
  struct weft_lookup *lookup = query->lookup;
  (void)timeouts;
  resolve->queries--;
  weft_free(resolve->mem, query);
  if (lookup != NULL) {
    int is_at_once = lookup == resolve->starting;
    weft_list_remove(&lookup->link);
    lookup->query = NULL;
    lookup->resolve = NULL;
    lookup->error = error_of(status);
    if (status == ARES_SUCCESS)
      take_answer(lookup, res, is_at_once);
    if (!is_at_once)
      lookup->on_done(lookup);
  }
  if (res != NULL)
    ares_freeaddrinfo(res);
}

/* Hands it to c-ares, which may call back before this returns. */
static void begin(struct weft_resolve *resolve, struct weft_lookup *lookup) {
  struct ares_addrinfo_hints hints;
  struct weft_query *query = weft_malloc(resolve->mem, sizeof(*query));
  lookup->resolve = NULL;
  if (query == NULL) {
    lookup->error = WEFT_DNS_ENOMEM;
    return;
  }
  memset(&hints, 0, sizeof(hints));
  hints.ai_family = lookup->family;
  hints.ai_socktype = SOCK_STREAM; /* each address once */
  hints.ai_flags = ARES_AI_CANONNAME;
  query->resolve = lookup->resolve = resolve;
  query->lookup = lookup;
  lookup->query = query;
  weft_list_push(&resolve->asked, &lookup->link);
  resolve->queries++;
  resolve->burst++;
  resolve->starting = lookup;
  ares_getaddrinfo(resolve->channel, lookup->host, NULL, &hints, on_answer,
                   query);
  resolve->starting = NULL;
}

static int has_room(struct weft_resolve *resolve) {
  uint64_t now = uv_now(resolve->uv);
  if (now - resolve->burst_ms >= BURST_MS) {
    resolve->burst_ms = now;
    resolve->burst = 0;
  }
  return resolve->burst < BURST_MAX && resolve->queries < ASKED_MAX;
}

static void begin_waiting(struct weft_resolve *resolve) {
  while (!weft_list_is_empty(&resolve->waiting) && has_room(resolve)) {
    struct weft_lookup *lookup = WEFT_CONTAINER_OF(
        weft_list_pop(&resolve->waiting), struct weft_lookup, link);
    resolve->waiting_count--;
    begin(resolve, lookup);
    if (lookup->resolve == NULL)
      lookup->on_done(lookup);
  }
}

static void wait(struct weft_resolve *resolve, struct weft_lookup *lookup) {
  int is_first = weft_list_is_empty(&resolve->waiting);
  lookup->resolve = resolve;
  weft_list_push(&resolve->waiting, &lookup->link);
  resolve->waiting_count++;
  if (is_first)
    start_timer(resolve);
}

int weft_resolve_ask(struct weft_resolve *resolve, struct weft_lookup *lookup) {
  int is_idle = resolve->timer == NULL;
  if (resolve->is_closed) {
    lookup->error = WEFT_DNS_ECLOSED;
    return 0;
  }
  if (open_channel(resolve) != 0 || open_timer(resolve) != 0) {
    lookup->error = WEFT_DNS_ENOMEM;
    return 0;
  }
  if (!weft_list_is_empty(&resolve->waiting) || !has_room(resolve)) {
    wait(resolve, lookup);
    return UV_EAGAIN;
  }
  begin(resolve, lookup);
  if (lookup->resolve == NULL) {
    settle(resolve);
    return 0;
  }
  if (is_idle)
    start_timer(resolve);
  return UV_EAGAIN;
}

void weft_resolve_forget(struct weft_lookup *lookup) {
  struct weft_resolve *resolve = lookup->resolve;
  weft_list_remove(&lookup->link);
  lookup->resolve = NULL;
  if (lookup->query != NULL)
    lookup->query->lookup = NULL;
  else
    resolve->waiting_count--;
  lookup->query = NULL;
  if (weft_list_is_empty(&resolve->asked) &&
      weft_list_is_empty(&resolve->waiting))
    ares_cancel(resolve->channel);
  settle(resolve);
}

/* --- the end ------------------------------------------------------------- */

static void end_waiting(struct weft_resolve *resolve) {
  struct weft_list *link;
  while ((link = weft_list_pop(&resolve->waiting)) != NULL) {
    struct weft_lookup *lookup =
        WEFT_CONTAINER_OF(link, struct weft_lookup, link);
    lookup->resolve = NULL;
    lookup->error = WEFT_DNS_ECLOSED;
    lookup->on_done(lookup);
  }
  resolve->waiting_count = 0;
}

void weft_resolve_close(struct weft_resolve *resolve) {
  resolve->is_closed = 1;
  end_waiting(resolve);
  close_channel(resolve);
  settle(resolve);
}

void weft_resolve_free(struct weft_resolve *resolve) {
  weft_resolve_close(resolve);
  weft_free(resolve->mem, resolve->servers);
  weft_free(resolve->mem, resolve->domains);
  weft_free(resolve->mem, resolve);
}

void weft_resolve_counts(const struct weft_resolve *resolve, unsigned *asked,
                         unsigned *waiting) {
  *asked = resolve->queries;
  *waiting = resolve->waiting_count;
}

#else

/* An empty translation unit is none. */
extern const int weft_resolve_has_options;

#endif
