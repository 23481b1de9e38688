/* SPDX-License-Identifier: MIT */
/*
 * html/l_html.h: what the files share in which documents meet Lua.
 *
 * Every function that they register has five upvalues: the struct html_state of
 * the lua_State, the metatables of Document, Node and SelectorList, and the
 * function that raises. A document and its nodes carry one table, whose [1] is
 * the document: that is how a node keeps it alive.
 *
 * What allocates in Lua may run a finalizer, and that may do anything: query,
 * or close the document at hand. So nothing of struct html_state is in use
 * across such a call, and loops over a tree look whether it is still there.
 */
#ifndef WEFT_HTML_L_HTML_H
#define WEFT_HTML_L_HTML_H

#include "html/html.h"
#include "loop/compat.h"

#define HTML_STATE lua_upvalueindex(1)
#define HTML_DOCUMENT lua_upvalueindex(2)
#define HTML_NODE lua_upvalueindex(3)
#define HTML_LIST lua_upvalueindex(4)
#define HTML_RAISE lua_upvalueindex(5)

/* One for each lua_State. */
struct html_state {
  size_t documents, bytes; /* that are open */
  size_t threshold;        /* of bytes, above which garbage is looked for */
  xmlXPathContextPtr xpath;
  struct html_scope scope;
  struct html_buffer buffer; /* for the text that is being made */
  /* The last error of XPath. */
  int code, at;
  char message[160];
};

struct html_document {
  struct html_state *state;
  xmlDocPtr doc; /* NULL: closed */
  size_t bytes;
  int is_ordered; /* the elements carry their order */
  int has_base;
};

struct html_node {
  xmlNodePtr node;
  struct html_document *document; /* alive: see above */
};

static inline struct html_state *html_state_of(lua_State *L) {
  return lua_touserdata(L, HTML_STATE);
}

/* Raises a weft.Error. Does not return. */
int html_raise(lua_State *L, const char *kind, const char *message);

/* Arguments; these raise `type`, and `closed`. [-0, +0, e] */
struct html_document *html_check_document(lua_State *L, int idx);
struct html_node *html_check_node(lua_State *L, int idx);
/* A document's node is the document itself. */
xmlNodePtr html_check_either(lua_State *L, int idx,
                             struct html_document **document);

/* Raises `closed` unless the document is open. [-0, +0, e] */
void html_check_open(lua_State *L, const struct html_document *document);

/* Pushes a node of the document whose table is at `table`; nil for NULL.
 * [-0, +1, m] */
void html_push_node(lua_State *L, struct html_document *document,
                    xmlNodePtr node, int table);

/* Pushes what the state's buffer has, and empties it; raises when memory is
 * out. [-0, +1, e] */
void html_push_buffer(lua_State *L, struct html_state *state);

/* Sets functions with the five upvalues of the running one into the table on
 * the top. [-0, +0, m] */
void html_set_functions(lua_State *L, const luaL_Reg *functions);

/* Each puts its functions: into the module on the top (two); into the class of
 * nodes on the top. */
void html_open_xpath(lua_State *L);
void html_open_links(lua_State *L);
void html_open_node(lua_State *L);

#endif
