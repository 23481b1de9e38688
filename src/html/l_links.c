/* SPDX-License-Identifier: MIT */
/*
 * html/l_links.c: elements by their names, and links: what every crawler asks
 * of every page, in one walk through the tree and without XPath.
 *
 * Owns nothing. Must not know what a URL is, beyond the references that mean
 * the same to everyone: a plain name, and a fragment.
 */
#include "html/l_html.h"

#include <string.h>

#define NAMES_MAX 16

struct names {
  struct {
    const char *data;
    size_t size;
  } name[NAMES_MAX];
  int count;
};

/* Of a text with a space between them. */
static void split_names(struct names *names, const char *text) {
  names->count = 0;
  while (*text != '\0' && names->count < NAMES_MAX) {
    size_t size = strcspn(text, " ");
    names->name[names->count].data = text;
    names->name[names->count++].size = size;
    text += size + (text[size] == ' ');
  }
}

static int is_among(const struct names *names, const xmlNode *node) {
  const char *s = (const char *)node->name;
  int i;
  if (node->type != XML_ELEMENT_NODE || node->ns != NULL)
    return 0;
  for (i = 0; i < names->count; i++)
    if (s[0] == names->name[i].data[0] &&
        strncmp(s, names->name[i].data, names->name[i].size) == 0 &&
        s[names->name[i].size] == '\0')
      return 1;
  return 0;
}

/* elements(document or node, names, is_first) -> list of the elements that have
 * one of the names and no namespace, the node itself among them; at most
 * NAMES_MAX names, with a space between them. With `is_first`: of the first. */
static int l_html_elements(lua_State *L) {
  struct html_document *document;
  xmlNodePtr top = html_check_either(L, 1, &document), node = top;
  int count = 0, is_first = lua_toboolean(L, 3);
  struct names names;
  split_names(&names, luaL_checkstring(L, 2));
  lua_settop(L, 2);
  weft_lua_gettable_of(L, 1); /* 3 */
  lua_newtable(L);
  html_check_open(L, document);
  for (; node != NULL && !(is_first && count); node = html_next(node, top, 0)) {
    if (!is_among(&names, node))
      continue;
    html_push_node(L, document, node, 3);
    lua_rawseti(L, -2, ++count);
    html_check_open(L, document);
  }
  lua_pushvalue(L, HTML_LIST);
  lua_setmetatable(L, -2);
  return 1;
}

/* ---- links ----------------------------------------------------------------
 */

/* The value of an attribute without the white space around it, into the buffer;
 * in lower case, if asked. 0: there is no such attribute. */
static int put_attribute(struct html_buffer *b, const xmlNode *node,
                         const char *name, int is_lower) {
  const xmlAttr *attr = html_attribute(node, name);
  xmlChar *owned;
  const char *value;
  size_t size, i;
  if (attr == NULL)
    return 0;
  value = html_value(attr, &owned);
  if (value == NULL) {
    b->failed = 1;
    return 1;
  }
  while (*value != '\0' && (unsigned char)*value <= ' ')
    value++;
  size = strlen(value);
  while (size > 0 && (unsigned char)value[size - 1] <= ' ')
    size--;
  html_buffer_put(b, value, size);
  for (i = b->failed || !is_lower ? size : 0; i < size; i++) {
    char *c = &b->data[b->size - size + i];
    if (*c >= 'A' && *c <= 'Z')
      *c = (char)(*c - 'A' + 'a');
  }
  if (owned != NULL)
    xmlFree(owned);
  return 1;
}

/* How much of a text are letters, digits, "_", "-" and ".". */
static size_t plain_run(const char *s) {
  return strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                   "0123456789_-.");
}

/* The URL of a reference, where that is one text put behind another: a plain
 * name behind the base's folder, and a fragment behind all of the base. Or nil.
 * [-0, +1, m] */
static void push_url(lua_State *L, const char *href, const char *folder,
                     const char *base) {
  size_t name = plain_run(href), end = name;
  if (href[end] == '#')
    end += 1 + plain_run(href + end + 1);
  if (folder == NULL || base == NULL || href[end] != '\0' || href[0] == '.' ||
      end == 0)
    lua_pushnil(L);
  else
    lua_pushfstring(L, "%s%s", name > 0 ? folder : base, href);
}

/* Pushes what a link is, with the document's table at index 4. [-0, +1, e] */
static void push_link(lua_State *L, struct html_document *document,
                      xmlNodePtr node) {
  struct html_state *state = document->state;
  lua_createtable(L, 0, 5);
  html_push_node(L, document, node, 4);
  lua_setfield(L, -2, "node");
  html_check_open(L, document);
  html_visible(&state->buffer, node);
  html_push_buffer(L, state);
  lua_setfield(L, -2, "text");
  html_check_open(L, document);
  if (put_attribute(&state->buffer, node, "rel", 1)) {
    html_push_buffer(L, state);
    lua_setfield(L, -2, "rel");
    html_check_open(L, document);
  }
  put_attribute(&state->buffer, node, "href", 0);
  html_push_buffer(L, state);
  push_url(L, lua_tostring(L, -1), lua_tostring(L, 2), lua_tostring(L, 3));
  lua_setfield(L, -3, "url");
  lua_setfield(L, -2, "href");
  html_check_open(L, document);
}

/* links(document, folder or nil, base or nil) -> list of tables with `href`,
 * `text`, `rel` and `node` for each <a href> and <area href>; `folder` and
 * `base` are what is put before plain names and fragments, whose `url` is made
 * here */
static int l_html_links(lua_State *L) {
  struct html_document *document = html_check_document(L, 1);
  xmlNodePtr top = (xmlNodePtr)document->doc, node = top;
  struct names names;
  int count = 0;
  split_names(&names, "a area");
  lua_settop(L, 3);
  weft_lua_gettable_of(L, 1); /* 4 */
  lua_newtable(L);            /* 5 */
  html_check_open(L, document);
  for (; node != NULL; node = html_next(node, top, 0)) {
    if (!is_among(&names, node) || html_attribute(node, "href") == NULL)
      continue;
    push_link(L, document, node);
    lua_rawseti(L, 5, ++count);
    html_check_open(L, document);
  }
  return 1;
}

static const luaL_Reg functions[] = {
    {"elements", l_html_elements},
    {"links", l_html_links},
    {NULL, NULL},
};

void html_open_links(lua_State *L) {
  html_set_functions(L, functions);
}
