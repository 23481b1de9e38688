/* SPDX-License-Identifier: MIT */
/*
 * bench/crawl/limit.c: the limit of a crawl: libuv, llhttp and libxml2 with
 * nothing in between. It visits a site breadth-first, each URL once, and writes
 * a line of JSON for each page: title, headings and links. One walk over the
 * tree finds them all; there is no selector, no timeout, no redirect, no other
 * encoding than libxml2 finds, and it ends at the first error.
 * usage: limit URL CONNECTIONS FILE
 */
#define _GNU_SOURCE /* fputs_unlocked */
#include <arpa/inet.h>
#include <errno.h>
#include <libxml/HTMLparser.h>
#include <libxml/uri.h>
#include <llhttp.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#define READ_SIZE (68 * 1024)
#define OUTPUT_SIZE (64 * 1024) /* written at once */
#define SET_SIZE (1 << 17)      /* URLs that the filter has room for, a power */
#define PARSE_OPTIONS                                               \
  (HTML_PARSE_RECOVER | HTML_PARSE_NOERROR | HTML_PARSE_NOWARNING | \
   HTML_PARSE_NONET | HTML_PARSE_COMPACT)

struct text {
  char *data;
  size_t size, capacity;
};

struct connection {
  struct connection *next; /* among those that have nothing to do */
  uv_poll_t poll;
  int fd;
  llhttp_t parser;
  const char *url; /* what is fetched */
  struct text body, type;
  int in_type; /* the field is Content-Type */
  int is_complete;
};

static char host[64], origin[96];
static size_t origin_size;
static struct sockaddr_in address;
static llhttp_settings_t settings;
static htmlParserCtxtPtr html;
static char block[READ_SIZE];
static struct connection *idle;
static int active;
static FILE *output;

/* URLs in the order in which they were found; those before `head` were taken.
 * The filter has their places + 1, by their hashes. */
static char *found[SET_SIZE / 2];
static unsigned filter[SET_SIZE], found_count, head;

static void on_event(uv_poll_t *poll, int status, int events);

static void die(const char *what) {
  fprintf(stderr, "limit: %s: %s\n", what, strerror(errno));
  exit(1);
}

static void append(struct text *t, const char *data, size_t size) {
  if (t->size + size > t->capacity) {
    t->capacity = (t->size + size) * 2;
    t->data = realloc(t->data, t->capacity);
    if (t->data == NULL)
      die("memory");
  }
  memcpy(t->data + t->size, data, size);
  t->size += size;
}

/* ---- the frontier ---- */

static unsigned hash_of(const char *s, size_t size) {
  unsigned h = 2166136261u;
  while (size-- > 0)
    h = (h ^ (unsigned char)*s++) * 16777619u;
  return h;
}

static void add_url(const char *s, size_t size) {
  unsigned at = hash_of(s, size) & (SET_SIZE - 1);
  for (; filter[at] != 0; at = (at + 1) & (SET_SIZE - 1)) {
    const char *known = found[filter[at] - 1];
    if (strncmp(known, s, size) == 0 && known[size] == '\0')
      return;
  }
  if (found_count == SET_SIZE / 2)
    die("too many URLs");
  found[found_count] = strndup(s, size);
  filter[at] = ++found_count;
}

/* ---- links ---- */

static int is_simple(const char *href, size_t size) {
  size_t i;
  for (i = 0; i < size; i++)
    if (!((href[i] >= 'a' && href[i] <= 'z') ||
          (href[i] >= 'A' && href[i] <= 'Z') ||
          (href[i] >= '0' && href[i] <= '9') || href[i] == '-' ||
          href[i] == '_' || (href[i] == '.' && i > 0)))
      return 0;
  return size > 0;
}

/* What is not the name of a page beside this one. */
static int resolve_any(const char *href, size_t size, const char *base,
                       struct text *t) {
  char *reference = strndup(href, size);
  xmlChar *whole =
      xmlBuildURI((const xmlChar *)reference, (const xmlChar *)base);
  const char *s = (const char *)whole, *rest;
  int ok = s != NULL &&
           (strncmp(s, "http://", 7) == 0 || strncmp(s, "https://", 8) == 0);
  if (ok) {
    append(t, s, strlen(s));
    rest = strstr(s, "://") + 3;
    if (strchr(rest, '/') == NULL)
      append(t, "/", 1);
  }
  xmlFree(whole);
  free(reference);
  return ok;
}

/* Absolute, without its fragment; whether it is of HTTP's. */
static int resolve(const char *href, const char *base, struct text *t) {
  size_t size = strcspn(href, "#");
  t->size = 0;
  if (size == 0)
    append(t, base, strlen(base));
  else if (is_simple(href, size)) {
    append(t, base, (size_t)(strrchr(base, '/') + 1 - base));
    append(t, href, size);
  } else
    return resolve_any(href, size, base, t);
  return 1;
}

/* ---- JSON ---- */

static void put_string(const char *s, size_t size) {
  const char *end = s + size, *from = s;
  putc_unlocked('"', output);
  for (; s < end; s++)
    if (*s == '"' || *s == '\\' || (unsigned char)*s < 32) {
      fwrite_unlocked(from, 1, (size_t)(s - from), output);
      fprintf(output, (unsigned char)*s < 32 ? "\\u%04x" : "\\%c", *s);
      from = s + 1;
    }
  fwrite_unlocked(from, 1, (size_t)(s - from), output);
  putc_unlocked('"', output);
}

static void put(const char *s) {
  fputs_unlocked(s, output);
}

/* ---- a page ---- */

static xmlNode *next_node(xmlNode *node, const xmlNode *top) {
  if (node->children != NULL && node->type == XML_ELEMENT_NODE)
    return node->children;
  while (node != top && node->next == NULL)
    node = node->parent;
  return node == top ? NULL : node->next;
}

/* The text below a node, white space being one space. */
static void text_of(xmlNode *top, struct text *t) {
  xmlNode *node;
  const char *s;
  t->size = 0;
  for (node = top; node != NULL; node = next_node(node, top))
    if (node->type == XML_TEXT_NODE || node->type == XML_CDATA_SECTION_NODE)
      for (s = (const char *)node->content; *s != '\0';) {
        size_t word = strcspn(s, " \t\r\n\f");
        append(t, s, word);
        s += word + strspn(s + word, " \t\r\n\f");
        if (s[-1] <= ' ' && t->size > 0 && t->data[t->size - 1] != ' ')
          append(t, " ", 1);
      }
  if (t->size > 0 && t->data[t->size - 1] == ' ')
    t->size--;
}

/* The value of an attribute that has no entities of its own: as it is. */
static const char *href_of(const xmlNode *node) {
  const xmlAttr *a = node->properties;
  while (a != NULL && strcmp((const char *)a->name, "href") != 0)
    a = a->next;
  if (a == NULL || a->children == NULL || a->children->content == NULL)
    return NULL;
  return (const char *)a->children->content +
         strspn((const char *)a->children->content, " \t\r\n");
}

/* Titles and headings are written as they are found, links gathered. */
struct page {
  xmlNode *title;
  xmlNode **headings, **links;
  size_t heading_count, link_count, heading_capacity, link_capacity;
};

static struct page page;

static void keep(xmlNode ***list, size_t *count, size_t *capacity,
                 xmlNode *node) {
  if (*count == *capacity) {
    *capacity = *capacity * 2 + 64;
    *list = realloc(*list, *capacity * sizeof(**list));
    if (*list == NULL)
      die("memory");
  }
  (*list)[(*count)++] = node;
}

static void find_nodes(xmlNode *root) {
  xmlNode *node;
  page.title = NULL;
  page.heading_count = page.link_count = 0;
  for (node = root; node != NULL; node = next_node(node, root)) {
    const char *name = (const char *)node->name;
    if (node->type != XML_ELEMENT_NODE)
      continue;
    if (name[0] == 'a' && (name[1] == '\0' || strcmp(name, "area") == 0))
      keep(&page.links, &page.link_count, &page.link_capacity, node);
    else if (name[0] == 'h' && name[1] >= '1' && name[1] <= '3' &&
             name[2] == '\0')
      keep(&page.headings, &page.heading_count, &page.heading_capacity, node);
    else if (page.title == NULL && strcmp(name, "title") == 0)
      page.title = node;
  }
}

static void write_link(xmlNode *node, const char *url, int *is_first) {
  static struct text absolute, text;
  const char *href = href_of(node);
  if (href == NULL || !resolve(href, url, &absolute))
    return;
  put(*is_first ? "{\"url\":" : ",{\"url\":");
  *is_first = 0;
  put_string(absolute.data, absolute.size);
  put(",\"text\":");
  text_of(node, &text);
  put_string(text.data, text.size);
  put("}");
  if (absolute.size > origin_size &&
      memcmp(absolute.data, origin, origin_size) == 0)
    add_url(absolute.data, absolute.size);
}

static void write_page(xmlNode *root, const char *url) {
  static struct text text;
  int is_first = 1;
  size_t i;
  find_nodes(root);
  put("{\"url\":");
  put_string(url, strlen(url));
  put(",\"title\":");
  text.size = 0;
  if (page.title != NULL)
    text_of(page.title, &text);
  put_string(text.data, text.size);
  put(",\"headings\":[");
  for (i = 0; i < page.heading_count; i++) {
    put(i > 0 ? "," : "");
    text_of(page.headings[i], &text);
    put_string(text.data, text.size);
  }
  put("],\"links\":[");
  for (i = 0; i < page.link_count; i++)
    write_link(page.links[i], url, &is_first);
  put("]}\n");
}

static void read_page(struct connection *c) {
  htmlDocPtr doc = htmlCtxtReadMemory(html, c->body.data, (int)c->body.size,
                                      c->url, NULL, PARSE_OPTIONS);
  xmlNode *root = doc != NULL ? xmlDocGetRootElement(doc) : NULL;
  if (root != NULL)
    write_page(root, c->url);
  xmlFreeDoc(doc);
}

/* ---- the response ---- */

static int on_field(llhttp_t *parser, const char *data, size_t size) {
  struct connection *c = parser->data;
  c->in_type = size == 12 && strncasecmp(data, "content-type", 12) == 0;
  return 0;
}

static int on_value(llhttp_t *parser, const char *data, size_t size) {
  struct connection *c = parser->data;
  if (c->in_type)
    append(&c->type, data, size);
  return 0;
}

static int on_body(llhttp_t *parser, const char *data, size_t size) {
  struct connection *c = parser->data;
  append(&c->body, data, size);
  return 0;
}

static int on_complete(llhttp_t *parser) {
  struct connection *c = parser->data;
  c->is_complete = 1;
  return 0;
}

/* ---- connections ---- */

static void connect_one(void) {
  struct connection *c = calloc(1, sizeof(*c));
  int one = 1;
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
  if (connect(c->fd, (struct sockaddr *)&address, sizeof(address)) != 0)
    die("connect");
  llhttp_init(&c->parser, HTTP_RESPONSE, &settings);
  c->parser.data = c->poll.data = c;
  uv_poll_init(uv_default_loop(), &c->poll, c->fd);
  uv_poll_start(&c->poll, UV_READABLE, on_event);
  c->next = idle;
  idle = c;
}

static void fetch(struct connection *c, const char *url) {
  char request[1024];
  int n = snprintf(request, sizeof(request),
                   "GET %s HTTP/1.1\r\n"
                   "Host: %s:%d\r\n"
                   "User-Agent: limit/1.0\r\n"
                   "Accept: */*\r\n"
                   "Accept-Encoding: identity\r\n\r\n",
                   url + origin_size - 1, host, ntohs(address.sin_port));
  if (n >= (int)sizeof(request) || send(c->fd, request, (size_t)n, 0) != n)
    die("write");
  c->url = url;
  c->body.size = c->type.size = 0;
  c->is_complete = 0;
  active++;
}

/* Gives what is to be fetched to those that have nothing to do. */
static void dispatch(void) {
  while (idle != NULL && head < found_count) {
    struct connection *c = idle;
    idle = c->next;
    fetch(c, found[head++]);
  }
  if (active == 0)
    uv_stop(uv_default_loop());
}

static void finish(struct connection *c) {
  active--;
  if (c->parser.status_code == 200 && c->type.size >= 9 &&
      strncasecmp(c->type.data, "text/html", 9) == 0)
    read_page(c);
  c->next = idle;
  idle = c;
  dispatch();
}

static void on_event(uv_poll_t *poll, int status, int events) {
  struct connection *c = poll->data;
  ssize_t n;
  (void)events;
  if (status != 0)
    die("poll");
  n = recv(c->fd, block, sizeof(block), MSG_DONTWAIT);
  if (n < 0 && errno == EAGAIN)
    return;
  if (n <= 0)
    die("read");
  if (llhttp_execute(&c->parser, block, (size_t)n) != HPE_OK)
    die("response");
  if (c->is_complete)
    finish(c);
}

int main(int argc, char **argv) {
  int port, i;
  if (argc != 4 || sscanf(argv[1], "http://%63[0-9.]:%d/", host, &port) != 2) {
    fprintf(stderr, "usage: limit http://IP:PORT/PATH CONNECTIONS FILE\n");
    return 2;
  }
  signal(SIGPIPE, SIG_IGN);
  output = fopen(argv[3], "we");
  if (output == NULL)
    die(argv[3]);
  setvbuf(output, NULL, _IOFBF, OUTPUT_SIZE);
  origin_size =
      (size_t)snprintf(origin, sizeof(origin), "http://%s:%d/", host, port);
  uv_ip4_addr(host, port, &address);
  llhttp_settings_init(&settings);
  settings.on_header_field = on_field;
  settings.on_header_value = on_value;
  settings.on_body = on_body;
  settings.on_message_complete = on_complete;
  html = htmlNewParserCtxt();
  for (i = 0; i < atoi(argv[2]); i++)
    connect_one();
  add_url(argv[1], strlen(argv[1]));
  dispatch();
  uv_run(uv_default_loop(), UV_RUN_DEFAULT);
  if (fclose(output) != 0)
    die(argv[3]);
  return 0;
}
