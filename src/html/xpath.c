/* SPDX-License-Identifier: MIT */
/*
 * html/xpath.c: the XPath functions that CSS selectors are made of, and three
 * that XPath 1.0 lacks for everyone.
 *
 * Owns: the positions of elements among their siblings that an evaluation has
 * counted, so that a table of n rows does not take n * n steps. Must not know
 * Lua, nor CSS's syntax.
 *
 *   has-class(name)         the context node has it among its classes
 *   ends-with(s, end)       as in XPath 2.0
 *   lower-case(s)           of A to Z
 *   weft-nth(a, b, from_end, of_type)   :nth-child() and its kin
 *   weft-in-scope()         the context node is, or is below, where the
 *                           selector is applied
 *   weft-is-scope()         it is that
 */
#include "html/html.h"

#include <string.h>

#include <libxml/xpathInternals.h>

#define FROM_END 1
#define OF_TYPE 2

/* How far a position is looked for that was counted before. */
#define BACK_MAX 16

static struct html_scope *scope_of(xmlXPathParserContextPtr ctxt) {
  return ctxt->context->user;
}

static int is_space(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f';
}

static int has_word(const char *list, const char *word, size_t size) {
  while (*list != '\0') {
    const char *start;
    while (is_space(*list))
      list++;
    for (start = list; *list != '\0' && !is_space(*list);)
      list++;
    if (size > 0 && (size_t)(list - start) == size &&
        memcmp(start, word, size) == 0)
      return 1;
  }
  return 0;
}

static void on_has_class(xmlXPathParserContextPtr ctxt, int nargs) {
  xmlChar *name, *owned = NULL;
  const char *list = NULL;
  const xmlAttr *attr;
  int has;
  CHECK_ARITY(1);
  name = xmlXPathPopString(ctxt);
  if (ctxt->error != 0 || name == NULL) {
    xmlFree(name);
    return;
  }
  attr = html_attribute(ctxt->context->node, "class");
  if (attr != NULL)
    list = html_value(attr, &owned);
  has = list != NULL &&
        has_word(list, (const char *)name, strlen((const char *)name));
  xmlFree(owned);
  xmlFree(name);
  valuePush(ctxt, xmlXPathNewBoolean(has));
}

static void on_ends_with(xmlXPathParserContextPtr ctxt, int nargs) {
  xmlChar *end, *s;
  size_t n, m;
  int does;
  CHECK_ARITY(2);
  end = xmlXPathPopString(ctxt);
  s = xmlXPathPopString(ctxt);
  if (ctxt->error == 0 && s != NULL && end != NULL) {
    n = strlen((const char *)s);
    m = strlen((const char *)end);
    does = m <= n && memcmp(s + (n - m), end, m) == 0;
    valuePush(ctxt, xmlXPathNewBoolean(does));
  }
  xmlFree(end);
  xmlFree(s);
}

static void on_lower_case(xmlXPathParserContextPtr ctxt, int nargs) {
  xmlChar *s, *p;
  CHECK_ARITY(1);
  s = xmlXPathPopString(ctxt);
  if (ctxt->error != 0 || s == NULL) {
    xmlFree(s);
    return;
  }
  for (p = s; *p != '\0'; p++)
    if (*p >= 'A' && *p <= 'Z')
      *p = (xmlChar)(*p + ('a' - 'A'));
  valuePush(ctxt, xmlXPathWrapString(s));
}

/* ---- positions ------------------------------------------------------------
 */

static int counts(const xmlNode *node, const xmlNode *like, int flags) {
  if (node->type != XML_ELEMENT_NODE)
    return 0;
  return !(flags & OF_TYPE) ||
         (xmlStrEqual(node->name, like->name) && node->ns == like->ns);
}

static long count_to(const xmlNode *node, int flags, int forward) {
  const xmlNode *n = forward ? node->next : node->prev;
  long count = 1;
  for (; n != NULL; n = forward ? n->next : n->prev)
    count += counts(n, node, flags);
  return count;
}

/* Which slot is the parent's and the type's. */
static struct html_place *place_of(struct html_scope *scope,
                                   const xmlNode *node, int flags) {
  size_t hash = (size_t)(const void *)node->parent / sizeof(void *);
  if (flags & OF_TYPE)
    hash += node->name[0] * (size_t)7 + 1;
  if (!scope->has_places)
    memset(scope->places, 0, sizeof(scope->places));
  scope->has_places = 1;
  return &scope->places[(hash ^ hash >> 7) % HTML_SLOTS];
}

/* The index of `node` from the one in the slot, if that stands close before it;
 * 0 otherwise. */
static long index_after(const struct html_place *place, const xmlNode *node,
                        int flags) {
  const xmlNode *n = node;
  long count = 0;
  int i;
  if (place->parent != node->parent || place->flags != (flags & OF_TYPE) ||
      place->node == NULL || !counts(place->node, node, flags))
    return 0;
  for (i = 0; i < BACK_MAX && n != NULL; i++, n = n->prev) {
    if (n == place->node)
      return place->index + count;
    count += counts(n, node, flags);
  }
  return 0;
}

static long position(struct html_scope *scope, const xmlNode *node, int flags) {
  struct html_place *place = place_of(scope, node, flags);
  long index = index_after(place, node, flags);
  if (index == 0) {
    index = count_to(node, flags, 0);
    if (place->parent != node->parent || place->flags != (flags & OF_TYPE) ||
        place->node == NULL || !counts(place->node, node, flags))
      place->total = 0;
  }
  place->parent = node->parent;
  place->flags = flags & OF_TYPE;
  place->node = node;
  place->index = index;
  if (!(flags & FROM_END))
    return index;
  if (place->total == 0)
    place->total = index + count_to(node, flags, 1) - 1;
  return place->total - index + 1;
}

static void on_nth(xmlXPathParserContextPtr ctxt, int nargs) {
  double a, b, n;
  int flags, is;
  CHECK_ARITY(4);
  flags = xmlXPathPopNumber(ctxt) != 0 ? OF_TYPE : 0;
  flags |= xmlXPathPopNumber(ctxt) != 0 ? FROM_END : 0;
  b = xmlXPathPopNumber(ctxt);
  a = xmlXPathPopNumber(ctxt);
  if (ctxt->error != 0)
    return;
  is = ctxt->context->node->type == XML_ELEMENT_NODE;
  if (is) {
    n = (double)position(scope_of(ctxt), ctxt->context->node, flags) - b;
    is = a == 0 ? n == 0 : n / a >= 0 && (double)(long long)(n / a) * a == n;
  }
  valuePush(ctxt, xmlXPathNewBoolean(is));
}

/* ---- scope ----------------------------------------------------------------
 */

static void on_in_scope(xmlXPathParserContextPtr ctxt, int nargs) {
  const xmlNode *top = scope_of(ctxt)->top, *node = ctxt->context->node;
  CHECK_ARITY(0);
  while (node != NULL && node != top)
    node = node->parent;
  valuePush(ctxt, xmlXPathNewBoolean(node != NULL));
}

static void on_is_scope(xmlXPathParserContextPtr ctxt, int nargs) {
  const xmlNode *top = scope_of(ctxt)->top, *node = ctxt->context->node;
  CHECK_ARITY(0);
  if (top->type != XML_ELEMENT_NODE) /* a document's is its root */
    top = xmlDocGetRootElement(top->doc);
  valuePush(ctxt, xmlXPathNewBoolean(node == top));
}

int html_functions(xmlXPathContextPtr xpath) {
  static const struct {
    const char *name;
    xmlXPathFunction function;
  } FUNCTIONS[] = {
      {"has-class", on_has_class},    {"ends-with", on_ends_with},
      {"lower-case", on_lower_case},  {"weft-nth", on_nth},
      {"weft-in-scope", on_in_scope}, {"weft-is-scope", on_is_scope},
  };
  size_t i;
  for (i = 0; i < sizeof(FUNCTIONS) / sizeof(FUNCTIONS[0]); i++)
    if (xmlXPathRegisterFunc(xpath, BAD_CAST FUNCTIONS[i].name,
                             FUNCTIONS[i].function) != 0)
      return -1;
  return 0;
}
