/* SPDX-License-Identifier: MIT */
/*
 * spec/c/tls.c: two ends of net/tls.c that talk over memory, in portions as
 * small as one byte; what they say is printed. Its arguments are `c.NAME=VALUE`
 * and `s.NAME=VALUE` for the contexts of client and server, and what is in
 * `main` for the rest. Run by spec/net/tls_spec.lua and tlsctx_spec.lua.
 *
 * An end calls again only after what `needs` asked for is there, so one that
 * asks for the wrong thing gets stuck, which is an error.
 */
#include <string.h>

#include "base/err.h"
#include "check.h"
#include "net/tls.h"

/* --- the wire: two queues --------------------------------------------------
 */

#define WIRE_MAX (1 << 20)

struct queue {
  char data[WIRE_MAX];
  size_t start, end;
  size_t room; /* bytes it takes before it is full */
  size_t cut;  /* bytes after which it ends; 0: never */
  size_t total;
  int is_ended;
};

struct end {
  struct weft_bottom bottom;
  struct queue *in, *out;
  int moved;
};

static size_t split; /* largest portion; 0: as much as there is */
static uint32_t random_ = 1;
static int is_plain; /* the server's end speaks no TLS */

static size_t portion(size_t size) {
  size_t most = split > 1 ? 1 + check_random(&random_) % split : split;
  return most != 0 && most < size ? most : size;
}

static ssize_t end_recv(struct weft_filter *filter, char *data, size_t size) {
  struct end *end = (struct end *)(void *)filter;
  struct queue *q = end->in;
  size_t have = q->end - q->start;
  CHECK(size > 0);
  if (have == 0)
    return q->is_ended ? UV_EOF : UV_EAGAIN;
  have = portion(have < size ? have : size);
  memcpy(data, q->data + q->start, have);
  q->start += have;
  end->moved = 1;
  if (q->start == q->end)
    q->start = q->end = 0;
  return (ssize_t)have;
}

static ssize_t end_send(struct weft_filter *filter, const uv_buf_t *bufs,
                        unsigned count) {
  struct end *end = (struct end *)(void *)filter;
  struct queue *q = end->out;
  size_t room = q->room - (q->end - q->start), size = bufs->len;
  CHECK(count == 1);
  if (room == 0)
    return UV_EAGAIN;
  if (q->is_ended)
    return UV_EPIPE;
  size = portion(size < room ? size : room);
  CHECK(q->end + size <= WIRE_MAX);
  if (q->cut != 0 && q->total + size >= q->cut) {
    size = q->cut - q->total;
    q->is_ended = 1;
    if (size == 0)
      return UV_EPIPE;
  }
  memcpy(q->data + q->end, bufs->base, size);
  q->end += size;
  q->total += size;
  end->moved = 1;
  return (ssize_t)size;
}

static int end_connect(struct weft_filter *filter) {
  (void)filter;
  return 0;
}

static int end_shutdown(struct weft_filter *filter) {
  ((struct end *)(void *)filter)->out->is_ended = 1;
  return 0;
}

static int end_needs(struct weft_filter *filter, enum weft_direction way) {
  (void)filter;
  return way == WEFT_CONNECT ? WEFT_WRITE : way;
}

static void end_destroy(struct weft_filter *filter) {
  ((struct end *)(void *)filter)->out->is_ended = 1;
}

static const struct weft_filter_class end_class = {
    .name = "end",
    .connect = end_connect,
    .recv = end_recv,
    .send = end_send,
    .shutdown = end_shutdown,
    .needs = end_needs,
    .destroy = end_destroy,
};

static int is_ready(struct end *end, int needs) {
  struct queue *in = end->in, *out = end->out;
  return ((needs & WEFT_READ) && (in->end > in->start || in->is_ended)) ||
         ((needs & WEFT_WRITE) && out->end - out->start < out->room);
}

/* --- a side: connects, sends `size` bytes, reads to the end ----------------
 */

struct side {
  const char *name;
  struct end end;
  struct weft_filter *top;
  struct weft_tlsctx *ctx;
  size_t size, sent, read;
  int is_connected, is_shut, is_read, is_done, result;
  int waits[2]; /* for reading, writing: what for; 0: not at all */
};

static unsigned char pattern(size_t i) {
  return (unsigned char)(i * 31 + (i >> 8));
}

static const char *text_of(struct side *side) {
  const struct weft_tls_error *error =
      side->top != NULL ? weft_tls_error_of(side->top) : NULL;
  static char text[1024];
  const char *name = side->result == UV_EOF ? "EOF"
                     : side->result == 0    ? "unfinished"
                     : weft_err_name(side->result) != NULL
                         ? weft_err_name(side->result)
                         : uv_err_name(side->result);
  if (error == NULL)
    return name;
  snprintf(text, sizeof(text), "%s %s: %s", name, error->code, error->text);
  return text;
}

static void end_with(struct side *side, int result) {
  side->result = result;
  side->is_done = 1;
}

static const char *chosen_for; /* what the server was asked for */
static struct weft_tlsctx *choice;

static void step_connect(struct side *side) {
  int rc;
  if (side->waits[0] != 0 && !is_ready(&side->end, side->waits[0]))
    return;
  rc = weft_filter_connect(side->top);
  if (rc == WEFT_ETLSHELLO) {
    static char name[256];
    CHECK(weft_filter_connect(side->top) == WEFT_ETLSHELLO); /* again */
    snprintf(name, sizeof(name), "%s", weft_tls_asked_name(side->top));
    chosen_for = name;
    rc = weft_tls_choose(side->top, choice);
    if (rc == 0)
      rc = weft_filter_connect(side->top);
  }
  side->waits[0] = 0;
  side->is_connected = rc == 0;
  if (rc == UV_EAGAIN)
    side->waits[0] = weft_filter_needs(side->top, WEFT_CONNECT);
  else if (rc != 0)
    end_with(side, rc);
  if (rc == 0)
    CHECK(weft_filter_connect(side->top) == 0);
}

static void step_write(struct side *side) {
  char data[40000];
  uv_buf_t bufs[3];
  size_t left = side->size - side->sent, i, size;
  ssize_t n;
  if (side->waits[1] != 0 && !is_ready(&side->end, side->waits[1]))
    return;
  size = left < sizeof(data) ? left : sizeof(data);
  for (i = 0; i < size; i++)
    data[i] = (char)pattern(side->sent + i);
  bufs[0] = uv_buf_init(data, (unsigned)(size / 3));
  bufs[1] = uv_buf_init(data + size / 3, 0);
  bufs[2] = uv_buf_init(data + size / 3, (unsigned)(size - size / 3));
  n = size > 0 ? weft_filter_send(side->top, bufs, 3)
               : weft_filter_shutdown(side->top);
  side->waits[1] = 0;
  if (n == UV_EAGAIN)
    side->waits[1] = weft_filter_needs(side->top, WEFT_WRITE);
  else if (n < 0)
    end_with(side, (int)n);
  else if (size == 0)
    side->is_shut = 1;
  else
    side->sent += (size_t)n;
}

static void step_read(struct side *side) {
  char data[5000];
  ssize_t n, i;
  if (side->waits[0] != 0 && !is_ready(&side->end, side->waits[0]))
    return;
  n = weft_filter_recv(side->top, data, sizeof(data));
  side->waits[0] = 0;
  for (i = 0; i < n; i++)
    CHECK((unsigned char)data[i] == pattern(side->read + (size_t)i));
  if (n > 0)
    side->read += (size_t)n;
  /* Now and then it is as if the last call had not been: what waits is asked
   * for although there may be more. */
  if (n == UV_EAGAIN || (n > 0 && check_random(&random_) % 4 == 0))
    side->waits[0] = weft_filter_needs(side->top, WEFT_READ);
  else if (n == UV_EOF)
    side->is_read = 1;
  else if (n < 0)
    end_with(side, (int)n);
}

static void step(struct side *side) {
  if (side->top == NULL)
    return;
  if (!side->is_done && !side->is_connected)
    step_connect(side);
  if (side->is_connected && !side->is_done && !side->is_shut)
    step_write(side);
  if (side->is_connected && !side->is_done && !side->is_read)
    step_read(side);
  if (!side->is_done && side->is_read && side->is_shut)
    end_with(side, UV_EOF);
}

/* --- contexts ---------------------------------------------------------------
 */

static char arena[1 << 20]; /* what the options point to */
static size_t used;

static char *keep(size_t size) {
  used += size;
  CHECK(used <= sizeof(arena));
  return arena + used - size;
}

static struct weft_tls_bytes file(const char *path) {
  FILE *f = fopen(path, "rb");
  struct weft_tls_bytes bytes;
  char *data = keep(1 << 16);
  CHECK(f != NULL);
  bytes.size = fread(data, 1, 1 << 16, f);
  bytes.data = data;
  fclose(f);
  return bytes;
}

static struct weft_tls_bytes bytes_of(const char *text) {
  struct weft_tls_bytes bytes = {text, strlen(text)};
  return bytes;
}

/* "h2,http/1.1" as on the wire. */
static struct weft_tls_bytes alpn_of(const char *list) {
  char *wire = keep(strlen(list) + 2);
  struct weft_tls_bytes bytes = {wire, 0};
  while (*list != '\0') {
    size_t n = strcspn(list, ",");
    wire[bytes.size++] = (char)n;
    memcpy(wire + bytes.size, list, n);
    bytes.size += n;
    list += n + (list[n] == ',');
  }
  return bytes;
}

static struct weft_tls_bytes pin_of(const char *hex) {
  char *pin = keep(WEFT_TLS_PIN_SIZE);
  struct weft_tls_bytes bytes = {pin, WEFT_TLS_PIN_SIZE};
  int i;
  CHECK(strlen(hex) == 64);
  for (i = 0; i < WEFT_TLS_PIN_SIZE; i++) {
    unsigned byte;
    CHECK(sscanf(hex + 2 * i, "%2x", &byte) == 1);
    pin[i] = (char)byte;
  }
  return bytes;
}

static struct weft_tls_options conn[2];

static void set_files(struct weft_tlsctx_options *o, const char *name,
                      const char *value) {
  if (strcmp(name, "ca") == 0)
    o->ca = file(value);
  else if (strcmp(name, "cert") == 0)
    o->cert = file(value);
  else if (strcmp(name, "key") == 0)
    o->key = file(value);
  else if (strcmp(name, "client_ca") == 0)
    o->client_ca = file(value);
  else if (strcmp(name, "ocsp_response") == 0)
    o->ocsp_response = file(value);
}

static void set_option(struct weft_tlsctx_options *o,
                       struct weft_tls_options *c, const char *name,
                       const char *value) {
  set_files(o, name, value);
  if (strcmp(name, "ca_text") == 0)
    o->ca = bytes_of(value);
  else if (strcmp(name, "ca_path") == 0)
    o->ca_path = value;
  else if (strcmp(name, "password") == 0)
    o->key_password = value;
  else if (strcmp(name, "verify") == 0)
    o->verify = (enum weft_tls_verify)atoi(value);
  else if (strcmp(name, "alpn") == 0)
    o->alpn = alpn_of(value);
  else if (strcmp(name, "pin") == 0)
    o->pins = pin_of(value);
  else if (strcmp(name, "ciphers") == 0)
    o->ciphers = value;
  else if (strcmp(name, "ciphersuites") == 0)
    o->ciphersuites = value;
  else if (strcmp(name, "keylog") == 0)
    o->keylog_file = value;
  else if (strcmp(name, "time") == 0)
    o->verify_time = atoll(value);
  else if (strcmp(name, "min") == 0)
    o->min_version = (int)strtol(value, NULL, 16);
  else if (strcmp(name, "max") == 0)
    o->max_version = (int)strtol(value, NULL, 16);
  else if (strcmp(name, "ocsp") == 0)
    o->requires_ocsp = strcmp(value, "require") == 0;
  else if (strcmp(name, "unclean") == 0)
    o->allows_unclean_close = 1;
  else if (strcmp(name, "asks") == 0)
    o->asks_for_context = 1;
  else if (strcmp(name, "resume") == 0)
    o->no_resumption = value[0] == '0';
  else if (strcmp(name, "host") == 0)
    c->host = value;
}

/* --- one connection ----------------------------------------------------------
 */

static struct weft_mem mem;
static struct queue up, down;
static size_t limits[2]; /* cut of up, of down */
static size_t amount = 3;
static size_t room = WIRE_MAX;
static int layers = 1; /* of TLS on each other */

static void open_side(struct side *side, const char *name, struct queue *in,
                      struct queue *out, struct weft_tlsctx *ctx,
                      int is_server) {
  struct weft_tls_error error = {"", ""};
  int i;
  memset(side, 0, sizeof(*side));
  side->name = name;
  side->ctx = ctx;
  side->size = amount;
  side->end.bottom.filter.cls = &end_class;
  side->end.in = in;
  side->end.out = out;
  side->top = &side->end.bottom.filter;
  conn[is_server].is_server = (uint8_t)is_server;
  conn[is_server].port = 443;
  for (i = 0; i < layers; i++) {
    struct weft_filter *tls = weft_tls_new(&mem, ctx, &conn[is_server], &error);
    if (tls == NULL) {
      printf("%s: none %s: %s\n", name, error.code, error.text);
      exit(0);
    }
    tls->below = side->top;
    side->top = tls;
  }
}

static void print_field(struct side *side, const char *name,
                        enum weft_tls_field field) {
  char text[8192];
  size_t i,
      size = weft_tls_peer_field(side->top, field, text, sizeof(text) - 1);
  CHECK(size < sizeof(text));
  text[size] = '\0';
  for (i = 0; i < size; i++)
    text[i] = text[i] == '\n' ? '|' : text[i];
  printf(" %s=%s", name, text);
}

static void print_side(struct side *side) {
  struct weft_tls_info info;
  if (side->top->below == NULL)
    return;
  if (!side->is_connected || side->result != UV_EOF) {
    printf("%s: %s%s\n", side->name, side->is_connected ? "later " : "",
           text_of(side));
    return;
  }
  weft_tls_get_info(weft_tls_find(side->top), &info);
  printf("%s: ok %s %s alpn=%.*s resumed=%d verified=%d ocsp=%s sni=%s",
         side->name, info.version, info.cipher, (int)info.alpn.size,
         info.alpn.size > 0 ? info.alpn.data : "", info.is_resumed,
         info.is_verified, info.ocsp != NULL ? info.ocsp : "",
         info.server_name != NULL ? info.server_name : "");
  if (info.has_peer) {
    print_field(side, "subject", WEFT_TLS_SUBJECT);
    print_field(side, "names", WEFT_TLS_NAMES);
    print_field(side, "fingerprint", WEFT_TLS_FINGERPRINT);
  }
  printf("\n");
}

static void reset(struct queue *q, size_t cut) {
  q->start = q->end = q->total = 0;
  q->is_ended = 0;
  q->cut = cut;
  q->room = room;
}

/* Whether a byte moved in this round, or an end's state did. */
static int turn(struct side *client, struct side *server) {
  int before = client->is_done + server->is_done + client->is_shut +
               server->is_shut + client->is_connected + server->is_connected;
  client->end.moved = server->end.moved = 0;
  step(client);
  if (!is_plain)
    step(server);
  return client->end.moved || server->end.moved ||
         before != client->is_done + server->is_done + client->is_shut +
                       server->is_shut + client->is_connected +
                       server->is_connected;
}

static void drop(struct side *side) {
  struct weft_filter *top = side->top;
  if (top != NULL)
    weft_filter_destroy(top);
  side->top = NULL;
}

static void run(struct weft_tlsctx *cc, struct weft_tlsctx *sc,
                const char *plain, long stop) {
  struct side client, server;
  int idle = 0;
  reset(&up, limits[0]);
  reset(&down, limits[1]);
  open_side(&client, "client", &down, &up, cc, 0);
  open_side(&server, "server", &up, &down, sc, 1);
  if (plain != NULL) {
    is_plain = server.is_done = 1;
    memcpy(down.data, plain, strlen(plain));
    down.end = strlen(plain);
    down.is_ended = 1;
  }
  while (!(client.is_done && server.is_done) && idle < 100 && --stop != 0) {
    idle = turn(&client, &server) ? 0 : idle + 1;
    if (client.is_done && client.result != UV_EOF)
      up.is_ended = 1; /* who failed closes */
    if (server.is_done && server.result != UV_EOF)
      down.is_ended = 1;
  }
  if (stop != 0) {
    if (idle >= 100)
      printf("stuck\n");
    print_side(&client);
    if (!is_plain)
      print_side(&server);
    if (client.result == UV_EOF && server.result == UV_EOF)
      CHECK(client.read == amount && server.read == amount);
  }
  drop(&client);
  drop(&server);
}

static struct weft_tlsctx *context(struct weft_tls_shared *shared,
                                   struct weft_tlsctx_options *o,
                                   const char *name) {
  struct weft_tls_error error = {"", ""};
  struct weft_tlsctx *ctx = weft_tlsctx_new(shared, o, &error);
  if (ctx != NULL)
    return ctx;
  printf("%s: context %s: %s\n", name, error.code, error.text);
  CHECK(error.text[0] != '\0');
  return NULL;
}

int main(int argc, char **argv) {
  struct weft_tlsctx_options options[3];
  struct weft_tls_options unused;
  struct weft_tls_shared *shared = weft_tls_shared_new(&mem);
  struct weft_tlsctx *c, *s;
  const char *plain = NULL;
  long rounds = 1, stop = 0, i;
  memset(options, 0, sizeof(options));
  for (i = 1; i < argc; i++) {
    char *name = argv[i], *value = strchr(name, '=');
    CHECK(value != NULL);
    *value++ = '\0';
    if (strncmp(name, "c.", 2) == 0)
      set_option(&options[0], &conn[0], name + 2, value);
    else if (strncmp(name, "s.", 2) == 0)
      set_option(&options[1], &conn[1], name + 2, value);
    else if (strncmp(name, "o.", 2) == 0) /* the server's other context */
      set_option(&options[2], &unused, name + 2, value);
    else if (strcmp(name, "split") == 0)
      split = (size_t)atol(value);
    else if (strcmp(name, "seed") == 0)
      random_ = (uint32_t)atol(value);
    else if (strcmp(name, "room") == 0)
      room = (size_t)atol(value);
    else if (strcmp(name, "amount") == 0)
      amount = (size_t)atol(value);
    else if (strcmp(name, "rounds") == 0)
      rounds = atol(value);
    else if (strcmp(name, "layers") == 0)
      layers = atoi(value);
    else if (strcmp(name, "cut_up") == 0)
      limits[0] = (size_t)atol(value);
    else if (strcmp(name, "cut_down") == 0)
      limits[1] = (size_t)atol(value);
    else if (strcmp(name, "plain") == 0)
      plain = value;
    else if (strcmp(name, "stop") ==
             0) /* after each number of turns up to it */
      stop = atol(value);
    else
      CHECK(!"known");
  }
  CHECK(shared != NULL);
  c = context(shared, &options[0], "client");
  s = context(shared, &options[1], "server");
  if (options[2].cert.data != NULL)
    choice = context(shared, &options[2], "other");
  weft_tls_shared_release(shared);
  for (i = 0; c != NULL && s != NULL && i < rounds; i++)
    run(c, s, plain, 0);
  for (i = 1; c != NULL && s != NULL && i < stop; i++)
    run(c, s, plain, i);
  if (chosen_for != NULL)
    printf("asked: %s\n", chosen_for);
  if (c != NULL) {
    printf("sessions: %u\n", weft_tlsctx_sessions(c));
    weft_tlsctx_release(c);
  }
  if (s != NULL)
    weft_tlsctx_release(s);
  if (choice != NULL)
    weft_tlsctx_release(choice);
  CHECK(mem.blocks == 0);
  return 0;
}
