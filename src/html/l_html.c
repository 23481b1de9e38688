/* SPDX-License-Identifier: MIT */
/*
 * html/l_html.c: the module weft.html_core: documents as userdata, and the
 * garbage collector's knowledge of them. Its only exported symbol is
 * luaopen_weft_html_core.
 *
 * Owns: struct html_state, one for each lua_State, and the trees. A tree is
 * outside of Lua's heap, and Lua counts a document as a few bytes: so each
 * parsing drives the collector on, in proportion, once the documents that are
 * open take more than what the last cycle left.
 */
#include "html/l_html.h"

#include <string.h>

#include <pthread.h>

#include <libxml/parser.h>

/* Below this nothing is collected for the documents' sake. */
#define THRESHOLD_MIN ((size_t)16 * 1024 * 1024)

/* LuaJIT's and Lua 5.4's lua.h both have it; LuaJIT's only from 2.1 on. */
#ifndef LUA_GCISRUNNING
#define LUA_GCISRUNNING 9
#endif

int html_raise(lua_State *L, const char *kind, const char *message) {
  lua_pushvalue(L, HTML_RAISE);
  lua_pushstring(L, kind);
  lua_pushstring(L, message);
  lua_call(L, 2, 0);
  return 0;
}

/* ---- arguments ------------------------------------------------------------
 */

static void *to_class(lua_State *L, int idx, int class) {
  void *udata = lua_touserdata(L, idx);
  int is;
  if (udata == NULL || !lua_getmetatable(L, idx))
    return NULL;
  is = lua_rawequal(L, -1, class);
  lua_pop(L, 1);
  return is ? udata : NULL;
}

void html_check_open(lua_State *L, const struct html_document *document) {
  if (document->doc == NULL)
    html_raise(L, "closed", "the document is closed");
}

struct html_document *html_check_document(lua_State *L, int idx) {
  struct html_document *document = to_class(L, idx, HTML_DOCUMENT);
  if (document == NULL)
    html_raise(L, "type", "a document expected");
  html_check_open(L, document);
  return document;
}

struct html_node *html_check_node(lua_State *L, int idx) {
  struct html_node *node = to_class(L, idx, HTML_NODE);
  if (node == NULL)
    html_raise(L, "type", "a node expected");
  html_check_open(L, node->document);
  return node;
}

xmlNodePtr html_check_either(lua_State *L, int idx,
                             struct html_document **document) {
  const struct html_node *node = to_class(L, idx, HTML_NODE);
  if (node == NULL) {
    *document = to_class(L, idx, HTML_DOCUMENT);
    if (*document == NULL)
      html_raise(L, "type", "a document or a node expected");
    html_check_open(L, *document);
    return (xmlNodePtr)(*document)->doc;
  }
  *document = node->document;
  html_check_open(L, *document);
  return node->node;
}

void html_push_node(lua_State *L, struct html_document *document,
                    xmlNodePtr node, int table) {
  struct html_node *box;
  if (node == NULL) {
    lua_pushnil(L);
    return;
  }
  box = weft_lua_newuserdata(L, sizeof(*box));
  box->node = node;
  box->document = document;
  lua_pushvalue(L, table);
  weft_lua_settable_of(L, -2);
  lua_pushvalue(L, HTML_NODE);
  lua_setmetatable(L, -2);
}

void html_push_buffer(lua_State *L, struct html_state *state) {
  struct html_buffer b = state->buffer;
  memset(&state->buffer, 0, sizeof(state->buffer));
  if (b.failed) {
    html_buffer_deinit(&b);
    html_raise(L, "os", "not enough memory");
  }
  lua_pushlstring(L, b.data != NULL ? b.data : "", b.size);
  html_buffer_clear(&b);
  html_buffer_deinit(&state->buffer); /* a finalizer's */
  state->buffer = b;
}

/* ---- the collector --------------------------------------------------------
 */

static size_t threshold_of(const struct html_state *state) {
  size_t twice = 2 * state->bytes;
  return twice < THRESHOLD_MIN ? THRESHOLD_MIN : twice;
}

/* Before a tree of `bytes` is added: as much of a cycle as keeps the garbage in
 * proportion. [-0, +0, e] */
static void pace(lua_State *L, struct html_state *state, size_t bytes) {
  size_t heap, slack = state->threshold / 2, size;
  if (state->bytes < state->threshold || !lua_gc(L, LUA_GCISRUNNING, 0))
    return;
  heap = (size_t)lua_gc(L, LUA_GCCOUNT, 0) + 1;
  size = bytes < slack ? (size_t)((double)heap * (double)bytes / (double)slack)
                       : heap;
  if (lua_gc(L, LUA_GCSTEP, (int)size + 1) != 0)
    state->threshold = threshold_of(state);
}

/* ---- documents ------------------------------------------------------------
 */

static void close_document(struct html_document *document) {
  struct html_state *state = document->state;
  if (document->doc == NULL)
    return;
  xmlFreeDoc(document->doc);
  document->doc = NULL;
  state->documents--;
  state->bytes -= document->bytes;
  if (threshold_of(state) < state->threshold) /* what made it high is gone */
    state->threshold = threshold_of(state);
}

static int l_document__gc(lua_State *L) {
  close_document(lua_touserdata(L, 1));
  return 0;
}

/* close(): frees the tree at once */
static int l_document_close(lua_State *L) {
  struct html_document *document = to_class(L, 1, HTML_DOCUMENT);
  if (document == NULL)
    return html_raise(L, "type", "a document expected");
  close_document(document);
  return 0;
}

static int l_document_is_closed(lua_State *L) {
  const struct html_document *document = to_class(L, 1, HTML_DOCUMENT);
  if (document == NULL)
    return html_raise(L, "type", "a document expected");
  lua_pushboolean(L, document->doc == NULL);
  return 1;
}

/* table_of(document or node) -> the table that they share, whether it is the
 * document; also of closed ones */
static int l_html_table_of(lua_State *L) {
  int is_document = to_class(L, 1, HTML_DOCUMENT) != NULL;
  if (!is_document && to_class(L, 1, HTML_NODE) == NULL)
    return html_raise(L, "type", "a document or a node expected");
  weft_lua_gettable_of(L, 1);
  lua_pushboolean(L, is_document);
  return 2;
}

/* root(document) -> its outermost element, or nil */
static int l_document_root(lua_State *L) {
  struct html_document *document = html_check_document(L, 1);
  lua_settop(L, 1);
  weft_lua_gettable_of(L, 1);
  html_push_node(L, document, xmlDocGetRootElement(document->doc), 2);
  return 1;
}

/* has_base(document) -> whether there is a <base>, in HTML */
static int l_document_has_base(lua_State *L) {
  lua_pushboolean(L, html_check_document(L, 1)->has_base);
  return 1;
}

/* bytes(document) -> what its tree takes, roughly; 0 when closed */
static int l_document_bytes(lua_State *L) {
  const struct html_document *document = to_class(L, 1, HTML_DOCUMENT);
  if (document == NULL)
    return html_raise(L, "type", "a document expected");
  lua_pushinteger(L, document->doc != NULL ? (lua_Integer)document->bytes : 0);
  return 1;
}

/* [-0, +1, m] */
static struct html_document *push_document(lua_State *L,
                                           struct html_state *state) {
  struct html_document *document = weft_lua_newuserdata(L, sizeof(*document));
  memset(document, 0, sizeof(*document));
  document->state = state;
  lua_createtable(L, 1, 6);
  lua_pushvalue(L, -2);
  lua_rawseti(L, -2, 1);
  weft_lua_settable_of(L, -2);
  lua_pushvalue(L, HTML_DOCUMENT);
  lua_setmetatable(L, -2);
  return document;
}

static const char *const OUTCOMES[] = {
    [HTML_FINE] = "fine",           [HTML_DEEP] = "max_depth",
    [HTML_NODES] = "max_nodes",     [HTML_REPAIRS] = "repairs",
    [HTML_MALFORMED] = "malformed", [HTML_NO_MEMORY] = "memory"};

/* parse(text in UTF-8, is_xml, is_strict, max_depth, max_nodes) -> document; or
 * nil, "max_depth", "max_nodes", "repairs", "malformed" (with message, line,
 * column) or "memory" */
static int l_html_parse(lua_State *L) {
  struct html_state *state = html_state_of(L);
  struct html_parse p;
  struct html_document *document;
  size_t size;
  const char *text = luaL_checklstring(L, 1, &size);
  memset(&p, 0, sizeof(p));
  p.is_xml = lua_toboolean(L, 2);
  p.is_strict = lua_toboolean(L, 3);
  p.max_depth = (int)luaL_checkinteger(L, 4);
  p.max_nodes = (size_t)luaL_checknumber(L, 5);
  document = push_document(L, state);
  html_parse(&p, text, size);
  if (p.outcome != HTML_FINE) {
    lua_pushnil(L);
    lua_pushstring(L, OUTCOMES[p.outcome]);
    lua_pushstring(L, p.message);
    lua_pushinteger(L, p.line);
    lua_pushinteger(L, p.column);
    return 5;
  }
  document->doc = p.doc;
  document->bytes = p.bytes;
  document->has_base = p.has_base;
  state->documents++;
  state->bytes += p.bytes;
  pace(L, state, p.bytes);
  return 1;
}

/* declared(document) -> table of prefixes and URIs that its root declares */
static int l_html_declared(lua_State *L) {
  const struct html_document *document = html_check_document(L, 1);
  const xmlNode *root = xmlDocGetRootElement(document->doc);
  const xmlNs *ns = root != NULL ? root->nsDef : NULL;
  lua_newtable(L);
  for (; ns != NULL; ns = ns->next) {
    if (ns->prefix == NULL || ns->href == NULL)
      continue;
    lua_pushstring(L, (const char *)ns->prefix);
    html_check_open(L, document);
    lua_pushstring(L, (const char *)ns->href);
    lua_rawset(L, -3);
    html_check_open(L, document);
  }
  return 1;
}

/* statistics() -> documents that are open, bytes of their trees */
static int l_html_statistics(lua_State *L) {
  const struct html_state *state = html_state_of(L);
  lua_pushinteger(L, (lua_Integer)state->documents);
  lua_pushinteger(L, (lua_Integer)state->bytes);
  return 2;
}

/* ---- the module -----------------------------------------------------------
 */

static int l_state__gc(lua_State *L) {
  struct html_state *state = lua_touserdata(L, 1);
  if (state->xpath != NULL)
    xmlXPathFreeContext(state->xpath);
  state->xpath = NULL;
  html_buffer_deinit(&state->buffer);
  return 0;
}

static const luaL_Reg functions[] = {
    {"parse", l_html_parse},
    {"declared", l_html_declared},
    {"statistics", l_html_statistics},
    {"table_of", l_html_table_of},
    {NULL, NULL},
};

static const luaL_Reg document_methods[] = {
    {"close", l_document_close},        {"__gc", l_document__gc},
    {"__close", l_document_close},      {"is_closed", l_document_is_closed},
    {"root", l_document_root},          {"_bytes", l_document_bytes},
    {"_has_base", l_document_has_base}, {NULL, NULL},
};

void html_set_functions(lua_State *L, const luaL_Reg *list) {
  int i;
  for (; list->name != NULL; list++) {
    for (i = 1; i <= 5; i++)
      lua_pushvalue(L, lua_upvalueindex(i));
    lua_pushcclosure(L, list->func, 5);
    lua_setfield(L, -2, list->name);
  }
}

/* Puts the class in the upvalue into the module on the top. [-0, +0, m] */
static void open_class(lua_State *L, int class, const char *name,
                       const luaL_Reg *methods) {
  lua_pushvalue(L, class);
  lua_pushvalue(L, -1);
  lua_setfield(L, -2, "__index");
  if (methods != NULL)
    html_set_functions(L, methods);
  lua_setfield(L, -2, name);
}

/* Runs with the five upvalues that its functions get. */
static int open_module(lua_State *L) {
  lua_newtable(L);
  html_set_functions(L, functions);
  html_open_xpath(L);
  html_open_links(L);
  open_class(L, HTML_DOCUMENT, "Document", document_methods);
  open_class(L, HTML_LIST, "SelectorList", NULL);
  open_class(L, HTML_NODE, "Node", NULL);
  lua_pushvalue(L, HTML_NODE);
  html_open_node(L);
  lua_pop(L, 1);
  return 1;
}

/* [-0, +1, m] */
static void push_state(lua_State *L) {
  struct html_state *state = lua_newuserdata(L, sizeof(*state));
  memset(state, 0, sizeof(*state));
  state->threshold = THRESHOLD_MIN;
  lua_newtable(L);
  lua_pushcfunction(L, l_state__gc);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
}

static pthread_once_t once = PTHREAD_ONCE_INIT;

#if defined(__GNUC__)
__attribute__((visibility("default")))
#endif
int luaopen_weft_html_core(lua_State *L);

int luaopen_weft_html_core(lua_State *L) {
  pthread_once(&once, xmlInitParser);
  push_state(L);
  lua_newtable(L);
  lua_newtable(L);
  lua_newtable(L);
  lua_getglobal(L, "require");
  lua_pushliteral(L, "weft.error");
  lua_call(L, 1, 1);
  lua_getfield(L, -1, "raise");
  lua_remove(L, -2);
  lua_pushcclosure(L, open_module, 5);
  lua_call(L, 0, 1);
  return 1;
}
