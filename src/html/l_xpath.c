/* SPDX-License-Identifier: MIT */
/*
 * html/l_xpath.c: compiling and evaluating XPath, for Lua.
 *
 * Owns: the one XPath context of a lua_State, and the compiled expressions in
 * their userdata. Must not know CSS. What an evaluation may take is limited:
 * expressions come from people, but the trees are strangers'.
 */
#include "html/l_html.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libxml/xmlerror.h>
#include <libxml/xpathInternals.h>

/* Steps of one evaluation: about a second. */
#define STEPS_MAX 50000000UL

#define COMPILED "weft.html.Compiled"
#define RESULT "weft.html.Result"

#if LIBXML_VERSION >= 21200
static void on_error(void *user, const xmlError *error)
#else
static void on_error(void *user, xmlErrorPtr error)
#endif
{
  struct html_state *state = user;
  size_t size;
  if (state->code != 0)
    return;
  state->code = error->domain == XML_FROM_XPATH
                    ? error->code - XML_XPATH_EXPRESSION_OK
                    : XPATH_MEMORY_ERROR;
  state->at = error->int1;
  snprintf(state->message, sizeof(state->message), "%s",
           error->message != NULL ? error->message : "invalid");
  size = strlen(state->message);
  while (size > 0 && state->message[size - 1] == '\n')
    state->message[--size] = '\0';
}

/* libxml2 prints some of its complaints, whoever it works for. */
static void on_print(void *ctx, const char *format, ...) {
  (void)ctx, (void)format;
}

struct printing {
  xmlGenericErrorFunc print;
  void *context;
};

/* The settings are the thread's. */
static struct printing silence(void) {
  struct printing old = {xmlGenericError, xmlGenericErrorContext};
  xmlSetGenericErrorFunc(NULL, on_print);
  return old;
}

static void unsilence(struct printing old) {
  xmlSetGenericErrorFunc(old.context, old.print);
}

/* A box for a result, so that no error loses it. [-0, +1, m] */
static xmlXPathObjectPtr *push_box(lua_State *L) {
  xmlXPathObjectPtr *box = lua_newuserdata(L, sizeof(xmlXPathObjectPtr));
  *box = NULL;
  luaL_getmetatable(L, RESULT);
  lua_setmetatable(L, -2);
  return box;
}

/* A set's object looks at its nodes when it is freed, as some are copies: so it
 * is freed at once, or, after an error, left without them. */
static void free_result(xmlXPathObjectPtr *box, int is_late) {
  xmlXPathObjectPtr object = *box;
  *box = NULL;
  if (object != NULL && is_late && object->nodesetval != NULL)
    object->nodesetval->nodeNr = 0;
  if (object != NULL)
    xmlXPathFreeObject(object);
}

static int l_result__gc(lua_State *L) {
  free_result(lua_touserdata(L, 1), 1);
  return 0;
}

/* The context. [-0, +0, e] */
static xmlXPathContextPtr check_context(lua_State *L,
                                        struct html_state *state) {
  state->code = 0;
  if (state->xpath == NULL) {
    state->xpath = xmlXPathNewContext(NULL);
    if (state->xpath == NULL || html_functions(state->xpath) != 0 ||
        xmlXPathContextSetCache(state->xpath, 1, -1, 0) != 0) {
      xmlXPathFreeContext(state->xpath);
      state->xpath = NULL;
      html_raise(L, "os", "not enough memory");
    }
    state->xpath->error = on_error;
    state->xpath->userData = state;
    state->xpath->user = &state->scope;
  }
  return state->xpath;
}

/* nil, what is wrong: libxml2's number, its words, the offset or -1 */
static int push_error(lua_State *L, const struct html_state *state) {
  lua_pushnil(L);
  lua_pushinteger(L, state->code);
  lua_pushstring(L, state->message);
  lua_pushinteger(L, state->at);
  return 4;
}

/* ---- compiling ------------------------------------------------------------
 */

static int l_compiled__gc(lua_State *L) {
  xmlXPathCompExprPtr *box = lua_touserdata(L, 1);
  if (*box != NULL)
    xmlXPathFreeCompExpr(*box);
  *box = NULL;
  return 0;
}

/* compile(expression without NUL) -> compiled; or see push_error */
static int l_html_compile(lua_State *L) {
  struct html_state *state = html_state_of(L);
  const char *expression = luaL_checkstring(L, 1);
  xmlXPathContextPtr xpath = check_context(L, state);
  xmlXPathCompExprPtr *box = lua_newuserdata(L, sizeof(xmlXPathCompExprPtr));
  struct printing old;
  *box = NULL;
  luaL_getmetatable(L, COMPILED);
  lua_setmetatable(L, -2);
  xpath->opLimit = STEPS_MAX;
  xpath->opCount = 0;
  old = silence();
  *box = xmlXPathCtxtCompile(xpath, BAD_CAST expression);
  unsilence(old);
  if (*box != NULL)
    return 1;
  if (state->code == 0)
    snprintf(state->message, sizeof(state->message), "Invalid expression");
  return push_error(L, state);
}

/* ---- variables and namespaces ----------------------------------------------
 */

static xmlXPathObjectPtr object_of_nodes(lua_State *L, int idx,
                                         const struct html_document *document) {
  xmlXPathObjectPtr object = xmlXPathNewNodeSet(NULL);
  int i, n = (int)weft_lua_objlen(L, idx);
  for (i = 1; object != NULL && i <= n; i++) {
    const struct html_node *node;
    int is;
    lua_rawgeti(L, idx, i);
    node = lua_touserdata(L, -1);
    is = node != NULL && lua_getmetatable(L, -1) &&
         lua_rawequal(L, -1, HTML_NODE) && node->document == document;
    lua_settop(L, idx);
    if (!is || xmlXPathNodeSetAdd(object->nodesetval, node->node) != 0) {
      xmlXPathFreeObject(object);
      object = NULL;
    }
  }
  return object;
}

/* The value on the top for XPath; NULL if it cannot be one. [-0, +0, -] */
static xmlXPathObjectPtr object_of(lua_State *L,
                                   const struct html_document *document) {
  int idx = lua_gettop(L);
  const char *s;
  size_t size;
  switch (lua_type(L, idx)) {
  case LUA_TBOOLEAN:
    return xmlXPathNewBoolean(lua_toboolean(L, idx));
  case LUA_TNUMBER:
    return xmlXPathNewFloat(lua_tonumber(L, idx));
  case LUA_TSTRING:
    s = lua_tolstring(L, idx, &size);
    return strlen(s) == size ? xmlXPathNewCString(s) : NULL;
  case LUA_TTABLE:
    return object_of_nodes(L, idx, document);
  default:
    return NULL;
  }
}

/* Registers what the tables at `variables` and `namespaces` (names to values,
 * both checked to be tables or nil) have. 0, or -1 with the name at fault on
 * the top. [-0, +(0|1), -] */
static int set_names(lua_State *L, xmlXPathContextPtr xpath, int variables,
                     int namespaces, const struct html_document *document) {
  if (lua_istable(L, variables)) {
    lua_pushnil(L);
    while (lua_next(L, variables)) {
      xmlXPathObjectPtr object = NULL;
      if (lua_type(L, -2) == LUA_TSTRING)
        object = object_of(L, document);
      lua_pop(L, 1);
      if (object == NULL)
        return -1;
      if (xmlXPathRegisterVariable(xpath, BAD_CAST lua_tostring(L, -1),
                                   object) != 0)
        return -1;
    }
  }
  if (lua_istable(L, namespaces)) {
    lua_pushnil(L);
    while (lua_next(L, namespaces)) {
      int rc = xmlXPathRegisterNs(xpath, BAD_CAST lua_tostring(L, -2),
                                  BAD_CAST lua_tostring(L, -1));
      lua_pop(L, 1);
      if (rc != 0)
        return -1;
    }
  }
  return 0;
}

/* ---- evaluating -----------------------------------------------------------
 */

/* The result, or NULL with the state's error set. */
static xmlXPathObjectPtr evaluate(struct html_state *state,
                                  xmlXPathCompExprPtr compiled,
                                  struct html_document *document,
                                  xmlNodePtr node) {
  xmlXPathObjectPtr result;
  xmlXPathContextPtr xpath = state->xpath;
  struct printing old;
  if (!document->is_ordered) {
    xmlXPathOrderDocElems(document->doc);
    document->is_ordered = 1;
  }
  xpath->doc = document->doc;
  xpath->node = node;
  xpath->opLimit = STEPS_MAX;
  xpath->opCount = 0;
  state->scope.top = node;
  state->scope.has_places = 0;
  old = silence();
  result = xmlXPathCompiledEval(compiled, xpath);
  unsilence(old);
  xpath->doc = NULL;
  xpath->node = NULL;
  if (result == NULL && state->code == 0) {
    state->code = XPATH_EXPR_ERROR;
    snprintf(state->message, sizeof(state->message), "Invalid expression");
  }
  return result;
}

/* A namespace node is a copy that goes with the result: its URI is what is left
 * of it. */
static void push_item(lua_State *L, struct html_document *document,
                      xmlNodePtr node, int table) {
  if (node->type == XML_NAMESPACE_DECL) {
    const xmlNs *ns = (const xmlNs *)node;
    lua_pushstring(L, ns->href != NULL ? (const char *)ns->href : "");
  } else if (node->type == XML_DOCUMENT_NODE ||
             node->type == XML_HTML_DOCUMENT_NODE) {
    lua_rawgeti(L, table, 1);
  } else {
    html_push_node(L, document, node, table);
  }
}

/* The result as a list. [-0, +1, e] */
static void push_result(lua_State *L, const xmlXPathObject *result,
                        struct html_document *document, int table) {
  const xmlNodeSet *set = result->nodesetval;
  int i, n = 1;
  if (result->type == XPATH_NODESET || result->type == XPATH_XSLT_TREE) {
    n = set != NULL ? set->nodeNr : 0;
    lua_createtable(L, n, 0);
    for (i = 0; i < n; i++) {
      html_check_open(L, document);
      push_item(L, document, set->nodeTab[i], table);
      lua_rawseti(L, -2, i + 1);
    }
  } else {
    lua_createtable(L, 1, 0);
    if (result->type == XPATH_BOOLEAN)
      lua_pushboolean(L, result->boolval);
    else if (result->type == XPATH_NUMBER)
      lua_pushnumber(L, result->floatval);
    else
      lua_pushstring(
          L, result->stringval != NULL ? (const char *)result->stringval : "");
    lua_rawseti(L, -2, 1);
  }
  lua_pushvalue(L, HTML_LIST);
  lua_setmetatable(L, -2);
}

static xmlXPathCompExprPtr check_compiled(lua_State *L, int idx) {
  xmlXPathCompExprPtr *box = luaL_checkudata(L, idx, COMPILED);
  return *box;
}

/* select(document or node, compiled, variables or nil, namespaces or nil) ->
 * list; false and the name at fault; or see push_error */
static int l_html_select(lua_State *L) {
  struct html_document *document;
  xmlNodePtr node = html_check_either(L, 1, &document);
  struct html_state *state = document->state;
  xmlXPathCompExprPtr compiled = check_compiled(L, 2);
  xmlXPathObjectPtr *box;
  int rc;
  lua_settop(L, 4);
  weft_lua_gettable_of(L, 1); /* 5 */
  luaL_checkstack(L, 20, NULL);
  box = push_box(L); /* 6 */
  html_check_open(L, document);
  check_context(L, state);
  rc = set_names(L, state->xpath, 3, 4, document);
  if (rc == 0) {
    *box = evaluate(state, compiled, document, node);
    rc = *box != NULL ? 0 : 1;
  }
  xmlXPathRegisteredVariablesCleanup(state->xpath);
  xmlXPathRegisteredNsCleanup(state->xpath);
  if (rc < 0) {
    lua_pushboolean(L, 0);
    lua_insert(L, -2);
    return 2;
  }
  if (rc > 0)
    return push_error(L, state);
  push_result(L, *box, document, 5);
  free_result(box, document->doc == NULL);
  return 1;
}

/* ---- several selectors -----------------------------------------------------
 */

/* A set of nodes, open addressing. */
struct set {
  const void **slots;
  size_t size, count;
};

static size_t slot_of(const struct set *set, const void *node) {
  size_t i = (size_t)node / sizeof(void *);
  i ^= i >> 9;
  while (set->slots[i & (set->size - 1)] != NULL &&
         set->slots[i & (set->size - 1)] != node)
    i++;
  return i & (set->size - 1);
}

static void set_add(struct set *set, const void *node) {
  size_t i = slot_of(set, node);
  set->count += set->slots[i] == NULL;
  set->slots[i] = node;
}

static int set_has(const struct set *set, const void *node) {
  return set->slots[slot_of(set, node)] != NULL;
}

/* A set of the nodes of the lists in the table at 2, in a userdata on the top.
 * [-0, +1, e] */
static void push_set(lua_State *L, struct set *set) {
  size_t total = 0, i, n, list, lists = weft_lua_objlen(L, 2);
  for (list = 1; list <= lists; list++) {
    lua_rawgeti(L, 2, (int)list);
    total += weft_lua_objlen(L, -1);
    lua_pop(L, 1);
  }
  for (set->size = 16; set->size < total * 2;)
    set->size *= 2;
  set->count = 0;
  set->slots = lua_newuserdata(L, set->size * sizeof(*set->slots));
  memset(set->slots, 0, set->size * sizeof(*set->slots));
  for (list = 1; list <= lists; list++) {
    lua_rawgeti(L, 2, (int)list);
    n = weft_lua_objlen(L, -1);
    for (i = 1; i <= n; i++) {
      lua_rawgeti(L, -1, (int)i);
      set_add(set, html_check_node(L, -1)->node);
      lua_pop(L, 1);
    }
    lua_pop(L, 1);
  }
}

/* Appends the node to the list on the top if it is in the set. [-0, +0, m] */
static void append(lua_State *L, struct set *set, xmlNodePtr node, int *count,
                   struct html_document *document) {
  if (!set_has(set, node))
    return;
  html_push_node(L, document, node, 3);
  lua_rawseti(L, -2, ++*count);
  set->count--;
  html_check_open(L, document);
}

/* merge(document or node, table of lists) -> the lists' nodes, all below the
 * first argument, each once and in document order */
static int l_html_merge(lua_State *L) {
  struct html_document *document;
  xmlNodePtr top = html_check_either(L, 1, &document), node = top;
  int count = 0;
  struct set set;
  luaL_checktype(L, 2, LUA_TTABLE);
  lua_settop(L, 2);
  weft_lua_gettable_of(L, 1);
  push_set(L, &set);
  lua_newtable(L);
  html_check_open(L, document);
  for (; node != NULL && set.count > 0; node = html_next(node, top, 0)) {
    xmlAttrPtr attr = node->type == XML_ELEMENT_NODE ? node->properties : NULL;
    append(L, &set, node, &count, document);
    for (; attr != NULL; attr = attr->next)
      append(L, &set, (xmlNodePtr)attr, &count, document);
  }
  lua_pushvalue(L, HTML_LIST);
  lua_setmetatable(L, -2);
  return 1;
}

static const luaL_Reg functions[] = {
    {"compile", l_html_compile},
    {"select", l_html_select},
    {"merge", l_html_merge},
    {NULL, NULL},
};

void html_open_xpath(lua_State *L) {
  luaL_newmetatable(L, COMPILED);
  lua_pushcfunction(L, l_compiled__gc);
  lua_setfield(L, -2, "__gc");
  lua_pop(L, 1);
  luaL_newmetatable(L, RESULT);
  lua_pushcfunction(L, l_result__gc);
  lua_setfield(L, -2, "__gc");
  lua_pop(L, 1);
  html_set_functions(L, functions);
}
