/* SPDX-License-Identifier: MIT */
/*
 * html/l_node.c: the methods of nodes that read the tree.
 *
 * Owns nothing. Must not know selectors.
 */
#include "html/l_html.h"

#include <string.h>

#include <libxml/HTMLtree.h>

static int is_document(const xmlNode *node) {
  return node->type == XML_HTML_DOCUMENT_NODE ||
         node->type == XML_DOCUMENT_NODE;
}

/* The node's own and, as the second, the one given, with its document's table
 * behind the arguments, at index 3. */
static struct html_node *check_with_table(lua_State *L) {
  struct html_node *n = html_check_node(L, 1);
  lua_settop(L, 2);
  weft_lua_gettable_of(L, 1);
  return n;
}

static void push_string(lua_State *L, const xmlChar *s) {
  lua_pushstring(L, s != NULL ? (const char *)s : "");
}

/* name(): "p", "#text", "#comment", … with its prefix, if it has one */
static int l_node_name(lua_State *L) {
  const xmlNode *node = html_check_node(L, 1)->node;
  switch (node->type) {
  case XML_ELEMENT_NODE:
  case XML_ATTRIBUTE_NODE:
    if (node->ns != NULL && node->ns->prefix != NULL)
      lua_pushfstring(L, "%s:%s", (const char *)node->ns->prefix,
                      (const char *)node->name);
    else
      push_string(L, node->name);
    break;
  case XML_TEXT_NODE:
    lua_pushliteral(L, "#text");
    break;
  case XML_CDATA_SECTION_NODE:
    lua_pushliteral(L, "#cdata-section");
    break;
  case XML_COMMENT_NODE:
    lua_pushliteral(L, "#comment");
    break;
  default:
    push_string(L, node->name);
  }
  return 1;
}

/* kind(): "element", "text", "attribute", "comment" or "other" */
static int l_node_kind(lua_State *L) {
  switch (html_check_node(L, 1)->node->type) {
  case XML_ELEMENT_NODE:
    lua_pushliteral(L, "element");
    break;
  case XML_ATTRIBUTE_NODE:
    lua_pushliteral(L, "attribute");
    break;
  case XML_TEXT_NODE:
  case XML_CDATA_SECTION_NODE:
    lua_pushliteral(L, "text");
    break;
  case XML_COMMENT_NODE:
    lua_pushliteral(L, "comment");
    break;
  default:
    lua_pushliteral(L, "other");
  }
  return 1;
}

/* namespace() -> URI or nil */
static int l_node_namespace(lua_State *L) {
  const xmlNode *node = html_check_node(L, 1)->node;
  int has = node->type == XML_ELEMENT_NODE || node->type == XML_ATTRIBUTE_NODE;
  if (!has || node->ns == NULL)
    return 0;
  push_string(L, node->ns->href);
  return 1;
}

static int l_node_line(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)xmlGetLineNo(html_check_node(L, 1)->node));
  return 1;
}

/* ---- attributes -----------------------------------------------------------
 */

/* [-0, +1, e] */
static void push_value(lua_State *L, const xmlAttr *attr) {
  struct html_state *state = html_state_of(L);
  xmlChar *owned;
  const char *value = html_value(attr, &owned);
  if (value == NULL) {
    html_raise(L, "os", "not enough memory");
  } else if (owned == NULL) {
    lua_pushstring(L, value);
  } else {
    html_buffer_put(&state->buffer, value, strlen(value));
    xmlFree(owned);
    html_push_buffer(L, state);
  }
}

/* Whether the attribute has the name, which may have a prefix. */
static int is_named(const xmlAttr *attr, const char *name) {
  const char *prefix;
  size_t size;
  if (attr->ns == NULL || attr->ns->prefix == NULL)
    return strcmp((const char *)attr->name, name) == 0;
  prefix = (const char *)attr->ns->prefix;
  size = strlen(prefix);
  return strncmp(name, prefix, size) == 0 && name[size] == ':' &&
         strcmp((const char *)attr->name, name + size + 1) == 0;
}

/* attr(name) -> value or nil */
static int l_node_attr(lua_State *L) {
  const xmlNode *node = html_check_node(L, 1)->node;
  const xmlAttr *attr;
  const char *name;
  if (lua_type(L, 2) != LUA_TSTRING)
    return html_raise(L, "type", "the attribute's name must be a string");
  name = lua_tostring(L, 2);
  attr = node->type == XML_ELEMENT_NODE ? node->properties : NULL;
  for (; attr != NULL; attr = attr->next) {
    if (is_named(attr, name)) {
      push_value(L, attr);
      return 1;
    }
  }
  lua_pushnil(L);
  return 1;
}

/* attrs() -> table of names and values, list of the names in their order */
static int l_node_attrs(lua_State *L) {
  const xmlNode *node = html_check_node(L, 1)->node;
  const xmlAttr *attr =
      node->type == XML_ELEMENT_NODE ? node->properties : NULL;
  int n = 0;
  lua_settop(L, 1);
  lua_newtable(L);
  lua_newtable(L);
  html_check_node(L, 1);
  for (; attr != NULL; attr = attr->next) {
    if (attr->ns != NULL && attr->ns->prefix != NULL)
      lua_pushfstring(L, "%s:%s", (const char *)attr->ns->prefix,
                      (const char *)attr->name);
    else
      push_string(L, attr->name);
    lua_pushvalue(L, -1);
    lua_rawseti(L, 3, ++n);
    html_check_node(L, 1);
    push_value(L, attr);
    lua_rawset(L, 2);
    html_check_node(L, 1);
  }
  return 2;
}

/* ---- text and markup ------------------------------------------------------
 */

static int l_text_content(lua_State *L) {
  struct html_document *document;
  xmlNodePtr node = html_check_either(L, 1, &document);
  html_content(&document->state->buffer, node);
  html_push_buffer(L, document->state);
  return 1;
}

static int l_text(lua_State *L) {
  struct html_document *document;
  xmlNodePtr node = html_check_either(L, 1, &document);
  html_visible(&document->state->buffer, node);
  html_push_buffer(L, document->state);
  return 1;
}

static int push_markup(lua_State *L, int is_inner) {
  struct html_document *document;
  xmlNodePtr node = html_check_either(L, 1, &document);
  struct html_buffer *buffer = &document->state->buffer;
  if (node->type == XML_ATTRIBUTE_NODE)
    html_content(buffer, node);
  else if (html_markup(buffer, node, is_inner) != 0)
    buffer->failed = 1;
  html_push_buffer(L, document->state);
  return 1;
}

static int l_html(lua_State *L) {
  return push_markup(L, 0);
}

static int l_inner_html(lua_State *L) {
  return push_markup(L, 1);
}

/* get(): what a selector list's get() and getall() give for it */
static int l_get(lua_State *L) {
  struct html_document *document;
  xmlNodePtr node = html_check_either(L, 1, &document);
  if (node->type != XML_TEXT_NODE && node->type != XML_CDATA_SECTION_NODE)
    return push_markup(L, 0);
  html_content(&document->state->buffer, node);
  html_push_buffer(L, document->state);
  return 1;
}

/* ---- around ---------------------------------------------------------------
 */

static int l_node_parent(lua_State *L) {
  const struct html_node *n = check_with_table(L);
  xmlNodePtr parent = n->node->parent;
  if (parent != NULL && is_document(parent))
    parent = NULL;
  html_push_node(L, n->document, parent, 3);
  return 1;
}

static int l_node_next(lua_State *L) {
  const struct html_node *n = check_with_table(L);
  xmlNodePtr node = n->node->type == XML_ATTRIBUTE_NODE ? NULL : n->node->next;
  while (node != NULL && node->type != XML_ELEMENT_NODE)
    node = node->next;
  html_push_node(L, n->document, node, 3);
  return 1;
}

static int l_node_prev(lua_State *L) {
  const struct html_node *n = check_with_table(L);
  xmlNodePtr node = n->node->type == XML_ATTRIBUTE_NODE ? NULL : n->node->prev;
  while (node != NULL && node->type != XML_ELEMENT_NODE)
    node = node->prev;
  html_push_node(L, n->document, node, 3);
  return 1;
}

/* children(): a selector list of the elements */
static int l_node_children(lua_State *L) {
  const struct html_node *n = check_with_table(L);
  xmlNodePtr child =
      n->node->type == XML_ELEMENT_NODE ? n->node->children : NULL;
  int count = 0;
  lua_newtable(L);
  for (; child != NULL; child = child->next) {
    if (child->type != XML_ELEMENT_NODE)
      continue;
    html_push_node(L, n->document, child, 3);
    lua_rawseti(L, 4, ++count);
    html_check_open(L, n->document);
  }
  lua_pushvalue(L, HTML_LIST);
  lua_setmetatable(L, 4);
  return 1;
}

static int l_node__eq(lua_State *L) {
  const struct html_node *a = lua_touserdata(L, 1), *b = lua_touserdata(L, 2);
  int i, are = a != NULL && b != NULL;
  for (i = 1; are && i <= 2; i++) {
    are = lua_getmetatable(L, i) && lua_rawequal(L, -1, HTML_NODE);
    lua_settop(L, 2);
  }
  lua_pushboolean(L, are && a->node == b->node);
  return 1;
}

static const luaL_Reg methods[] = {
    {"name", l_node_name},
    {"kind", l_node_kind},
    {"namespace", l_node_namespace},
    {"line", l_node_line},
    {"attr", l_node_attr},
    {"attrs", l_node_attrs},
    {"text", l_text},
    {"text_content", l_text_content},
    {"html", l_html},
    {"inner_html", l_inner_html},
    {"get", l_get},
    {"parent", l_node_parent},
    {"next", l_node_next},
    {"prev", l_node_prev},
    {"children", l_node_children},
    {"__eq", l_node__eq},
    {NULL, NULL},
};

void html_open_node(lua_State *L) {
  html_set_functions(L, methods);
}
