/* SPDX-License-Identifier: MIT */
/*
 * html/tree.c: reading a tree: walking it, attributes, text, markup.
 *
 * Owns: what counts as a block, and what of a page is not read as text. Must
 * not know Lua. Nothing here recurses: trees are as deep as a limit allows.
 */
#include "html/html.h"

#include <stdlib.h>
#include <string.h>

#include <libxml/HTMLtree.h>
#include <libxml/xmlIO.h>

/* ---- buffers --------------------------------------------------------------
 */

#define CAPACITY_FIRST 256
#define CAPACITY_KEPT ((size_t)256 * 1024)

void html_buffer_put(struct html_buffer *b, const char *data, size_t size) {
  if (size > b->capacity - b->size) {
    size_t capacity = b->capacity > 0 ? b->capacity : CAPACITY_FIRST;
    char *grown;
    while (capacity - b->size < size)
      capacity *= 2;
    grown = b->failed ? NULL : realloc(b->data, capacity);
    if (grown == NULL) {
      b->failed = 1;
      return;
    }
    b->data = grown;
    b->capacity = capacity;
  }
  memcpy(b->data + b->size, data, size);
  b->size += size;
}

void html_buffer_clear(struct html_buffer *b) {
  if (b->capacity > CAPACITY_KEPT)
    html_buffer_deinit(b);
  b->size = 0;
  b->failed = 0;
}

void html_buffer_deinit(struct html_buffer *b) {
  free(b->data);
  memset(b, 0, sizeof(*b));
}

/* ---- walking --------------------------------------------------------------
 */

/* What an entity's reference has as its children is not below it. */
static xmlNodePtr first_child(const xmlNode *node) {
  switch (node->type) {
  case XML_ELEMENT_NODE:
  case XML_DOCUMENT_NODE:
  case XML_HTML_DOCUMENT_NODE:
    return node->children;
  default:
    return NULL;
  }
}

xmlNodePtr html_next(const xmlNode *node, const xmlNode *top, int skip) {
  xmlNodePtr child = skip ? NULL : first_child(node);
  if (child != NULL)
    return child;
  while (node != top) {
    if (node->next != NULL)
      return node->next;
    node = node->parent;
  }
  return NULL;
}

const xmlAttr *html_attribute(const xmlNode *node, const char *name) {
  const xmlAttr *attr;
  if (node->type != XML_ELEMENT_NODE)
    return NULL;
  for (attr = node->properties; attr != NULL; attr = attr->next)
    if (attr->ns == NULL && strcmp((const char *)attr->name, name) == 0)
      return attr;
  return NULL;
}

const char *html_value(const xmlAttr *attr, xmlChar **owned) {
  const xmlNode *text = attr->children;
  *owned = NULL;
  if (text == NULL)
    return "";
  if (text->next == NULL && text->type == XML_TEXT_NODE)
    return text->content != NULL ? (const char *)text->content : "";
  *owned = xmlNodeListGetString(attr->doc, attr->children, 1);
  return (const char *)*owned;
}

/* ---- text -----------------------------------------------------------------
 */

static int is_text(const xmlNode *node) {
  return (node->type == XML_TEXT_NODE ||
          node->type == XML_CDATA_SECTION_NODE) &&
         node->content != NULL;
}

static int has_own_content(const xmlNode *node) {
  return is_text(node) || node->type == XML_COMMENT_NODE ||
         node->type == XML_PI_NODE;
}

static void put_string(struct html_buffer *b, const char *s) {
  html_buffer_put(b, s, strlen(s));
}

void html_content(struct html_buffer *b, const xmlNode *node) {
  const xmlNode *n;
  if (node->type == XML_ATTRIBUTE_NODE) {
    xmlChar *owned;
    const char *value = html_value((const xmlAttr *)node, &owned);
    put_string(b, value != NULL ? value : "");
    xmlFree(owned);
  } else if (has_own_content(node)) {
    put_string(b, node->content != NULL ? (const char *)node->content : "");
  } else {
    for (n = node; n != NULL; n = html_next(n, node, 0))
      if (is_text(n))
        put_string(b, (const char *)n->content);
  }
}

/* Elements between which a reader sees a gap, in the alphabet's order. */
static const char *const BLOCKS[] = {
    "address", "article",  "aside",   "blockquote", "body",     "br",
    "button",  "caption",  "center",  "dd",         "details",  "dialog",
    "dir",     "div",      "dl",      "dt",         "fieldset", "figcaption",
    "figure",  "footer",   "form",    "h1",         "h2",       "h3",
    "h4",      "h5",       "h6",      "head",       "header",   "hr",
    "html",    "legend",   "li",      "main",       "menu",     "nav",
    "ol",      "optgroup", "option",  "p",          "pre",      "search",
    "section", "select",   "summary", "table",      "tbody",    "td",
    "tfoot",   "th",       "thead",   "title",      "tr",       "ul"};

static const char *const HIDDEN[] = {"noframes", "script", "style", "template"};

static int compare_names(const void *a, const void *b) {
  return strcmp(a, *(const char *const *)b);
}

static int is_in(const xmlNode *node, const char *const *names, size_t count) {
  return node->type == XML_ELEMENT_NODE &&
         bsearch(node->name, names, count, sizeof(*names), compare_names);
}

#define IS_IN(node, names) is_in(node, names, sizeof(names) / sizeof(*(names)))

static int is_space(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f';
}

/* Puts the words of `s`; *gap: whether there is a gap before the next one. */
static void put_words(struct html_buffer *b, const char *s, int *gap) {
  while (*s != '\0') {
    const char *start;
    while (is_space(*s)) {
      *gap = 1;
      s++;
    }
    for (start = s; *s != '\0' && !is_space(*s);)
      s++;
    if (s == start)
      continue;
    if (*gap && b->size > 0)
      html_buffer_put(b, " ", 1);
    *gap = 0;
    html_buffer_put(b, start, (size_t)(s - start));
  }
}

void html_visible(struct html_buffer *b, const xmlNode *node) {
  const xmlNode *n = node;
  int gap = 0;
  b->size = 0;
  if (node->type == XML_ATTRIBUTE_NODE || has_own_content(node)) {
    struct html_buffer raw = {NULL, 0, 0, 0};
    html_content(&raw, node);
    html_buffer_put(&raw, "", 1);
    if (raw.failed)
      b->failed = 1;
    else
      put_words(b, raw.data, &gap);
    html_buffer_deinit(&raw);
    return;
  }
  while (n != NULL) {
    const xmlNode *next;
    int is_block = IS_IN(n, BLOCKS), skip = n != node && IS_IN(n, HIDDEN);
    gap |= is_block;
    if (is_text(n))
      put_words(b, (const char *)n->content, &gap);
    next = html_next(n, node, skip);
    /* What is left on the way to `next` may be blocks. */
    for (; next != NULL && n != next->parent && n != node; n = n->parent)
      gap |= IS_IN(n, BLOCKS);
    n = next;
  }
}

/* ---- markup ---------------------------------------------------------------
 */

static void dump(xmlOutputBufferPtr out, xmlNodePtr node) {
  int is_html = node->doc->type == XML_HTML_DOCUMENT_NODE;
  if (is_html)
    htmlNodeDumpFormatOutput(out, node->doc, node, NULL, 0);
  else
    xmlNodeDumpOutput(out, node->doc, node, 0, 0, "UTF-8");
}

int html_markup(struct html_buffer *b, xmlNodePtr node, int is_inner) {
  xmlOutputBufferPtr out = xmlAllocOutputBuffer(NULL);
  xmlNodePtr child;
  int rc;
  if (out == NULL)
    return -1;
  if (node->type == XML_HTML_DOCUMENT_NODE || node->type == XML_DOCUMENT_NODE)
    is_inner = 1;
  if (!is_inner)
    dump(out, node);
  else
    for (child = first_child(node); child != NULL; child = child->next)
      dump(out, child);
  html_buffer_put(b, (const char *)xmlOutputBufferGetContent(out),
                  xmlOutputBufferGetSize(out));
  rc = out->error != 0 || b->failed ? -1 : 0;
  xmlOutputBufferClose(out);
  return rc;
}
