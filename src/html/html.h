/* SPDX-License-Identifier: MIT */
/*
 * html/html.h: documents on libxml2: parsing within limits, text, XPath.
 *
 * Owns: the structs behind the userdata. What stands in this header but is in
 * no l_*.c knows no Lua. Nothing here prints, reads files or uses the network,
 * and no setting of libxml2 is changed beyond a call: the process may have
 * other users of it. A tree does not change once it is parsed, so that pointers
 * into it are good until the document is closed.
 */
#ifndef WEFT_HTML_HTML_H
#define WEFT_HTML_HTML_H

#include <stddef.h>

#include <libxml/tree.h>
#include <libxml/xpath.h>

/* Bytes that grow. After a failed allocation `failed` is set and stays. */
struct html_buffer {
  char *data;
  size_t size, capacity;
  int failed;
};

void html_buffer_put(struct html_buffer *b, const char *data, size_t size);
/* Empties it, and frees what is more than it is worth keeping. */
void html_buffer_clear(struct html_buffer *b);
void html_buffer_deinit(struct html_buffer *b);

/* ---- parsing --------------------------------------------------------------
 */

enum html_outcome {
  HTML_FINE,
  HTML_DEEP,      /* passed max_depth */
  HTML_NODES,     /* passed max_nodes */
  HTML_REPAIRS,   /* more to repair than is worth it */
  HTML_MALFORMED, /* XML, and is_strict */
  HTML_NO_MEMORY
};

struct html_parse {
  /* what is asked for */
  int is_xml, is_strict;
  int max_depth;
  size_t max_nodes;
  /* what came of it */
  enum html_outcome outcome;
  xmlDocPtr doc; /* the caller's, to be freed with xmlFreeDoc */
  size_t nodes;  /* attributes included */
  size_t bytes;  /* what the tree takes, roughly */
  size_t repairs;
  int has_base;     /* HTML: there is a <base> */
  int line, column; /* of the first error */
  char message[160];
  xmlEntity entity; /* the one that the parser asked for last, and its text */
  char text[80];
};

/* Parses UTF-8. Never raises; the text is not needed afterwards. */
void html_parse(struct html_parse *p, const char *text, size_t size);

/* ---- reading the tree -----------------------------------------------------
 */

/* The next node in document order inside `top`, `node` being `top` or one in
 * it; NULL at the end. With `skip`, its children are passed over. */
xmlNodePtr html_next(const xmlNode *node, const xmlNode *top, int skip);

/* The value of an attribute: borrowed from the tree, or *owned, which the
 * caller frees with xmlFree. NULL: there is none, or no memory. */
const char *html_value(const xmlAttr *attr, xmlChar **owned);
const xmlAttr *html_attribute(const xmlNode *node, const char *name);

/* The text of a node as XPath's string() has it. */
void html_content(struct html_buffer *b, const xmlNode *node);
/* The text as a reader sees it: one space for white space, none at the ends,
 * one between blocks, no scripts and styles. */
void html_visible(struct html_buffer *b, const xmlNode *node);
/* Markup: of the node, or of what is in it. 0, or -1: no memory. */
int html_markup(struct html_buffer *b, xmlNodePtr node, int is_inner);

/* ---- XPath ----------------------------------------------------------------
 */

#define HTML_SLOTS 64 /* parents whose children's positions are remembered */

struct html_place {
  const xmlNode *parent, *node;
  int flags;
  long index, total;
};

/* What the functions of an evaluation look at. */
struct html_scope {
  const xmlNode *top; /* where the selector is applied */
  int has_places;
  struct html_place places[HTML_SLOTS];
};

/* Registers has-class, ends-with, lower-case, and those that selectors are
 * made of; `scope` must be in the context's `user`. 0, or -1: no memory. */
int html_functions(xmlXPathContextPtr xpath);

#endif
