/* SPDX-License-Identifier: MIT */
/*
 * html/parse.c: bytes to a tree: libxml2's parsers, with limits that they do
 * not have and without what a page from a network must not do.
 *
 * Owns: the limits' checks, in the SAX handlers that build the tree. Must not
 * know Lua. Entities that a document declares stay undeclared, which leaves
 * nothing to expand; no DTD is loaded.
 */
#include "html/html.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include <libxml/HTMLparser.h>
#include <libxml/HTMLtree.h>
#include <libxml/SAX2.h>
#include <libxml/parser.h>
#include <libxml/parserInternals.h>

/* To close an element that is not open, the parser looks through all that are:
 * this many of those looks are a second's work, and far beyond any page. */
#define REPAIRS_MAX ((size_t)500 * 1000 * 1000)

/* What malloc adds to a block, roughly. */
#define MALLOC_EXTRA 16

static struct html_parse *parse_of(void *ctx) {
  return ((xmlParserCtxtPtr)ctx)->_private;
}

static void stop(xmlParserCtxtPtr ctxt, enum html_outcome outcome) {
  struct html_parse *p = ctxt->_private;
  if (p->outcome == HTML_FINE)
    p->outcome = outcome;
  xmlStopParser(ctxt);
}

/* Whether `nodes` more may be made, of `bytes` beside their structs. */
static int admit(xmlParserCtxtPtr ctxt, size_t nodes, size_t bytes) {
  struct html_parse *p = ctxt->_private;
  p->nodes += nodes;
  p->bytes += nodes * (sizeof(xmlNode) + MALLOC_EXTRA) + bytes;
  if (p->nodes > p->max_nodes)
    stop(ctxt, HTML_NODES);
  return p->outcome == HTML_FINE;
}

static int admit_element(xmlParserCtxtPtr ctxt) {
  struct html_parse *p = ctxt->_private;
  if (ctxt->nodeNr >= p->max_depth)
    stop(ctxt, HTML_DEEP);
  return p->outcome == HTML_FINE && admit(ctxt, 1, 0);
}

/* An attribute is a node, and its value another. */
static int admit_attribute(xmlParserCtxtPtr ctxt, size_t size) {
  return admit(ctxt, 2, size + MALLOC_EXTRA);
}

static int admit_text(xmlParserCtxtPtr ctxt, size_t size) {
  const xmlNode *last = ctxt->node != NULL ? ctxt->node->last : NULL;
  return admit(ctxt, last == NULL || last->type != XML_TEXT_NODE, size);
}

/* ---- SAX ------------------------------------------------------------------
 */

/* After an error the parser drops even "&amp;": not where errors are repaired.
 */
static void forgive(xmlParserCtxtPtr ctxt) {
  struct html_parse *p = ctxt->_private;
  if (!p->is_strict)
    ctxt->wellFormed = 1;
}

static void on_html_start(void *ctx, const xmlChar *name,
                          const xmlChar **atts) {
  int i, ok = admit_element(ctx);
  parse_of(ctx)->has_base |= strcmp((const char *)name, "base") == 0;
  for (i = 0; ok && atts != NULL && atts[i] != NULL; i += 2)
    ok = admit_attribute(
        ctx, atts[i + 1] != NULL ? strlen((const char *)atts[i + 1]) : 0);
  if (ok)
    xmlSAX2StartElement(ctx, name, atts);
}

/* Without the attributes that an internal DTD gives each element: a short
 * document could have them without end. */
static void on_xml_start(void *ctx, const xmlChar *name, const xmlChar *prefix,
                         const xmlChar *uri, int nb_namespaces,
                         const xmlChar **namespaces, int nb_attributes,
                         int nb_defaulted, const xmlChar **attributes) {
  int i, own = nb_attributes - nb_defaulted, ok = admit_element(ctx);
  for (i = 0; ok && i < own; i++)
    ok = admit_attribute(
        ctx, (size_t)(attributes[i * 5 + 4] - attributes[i * 5 + 3]));
  if (ok && admit(ctx, (size_t)nb_namespaces, 0))
    xmlSAX2StartElementNs(ctx, name, prefix, uri, nb_namespaces, namespaces,
                          own, 0, attributes);
  forgive(ctx);
}

static void on_characters(void *ctx, const xmlChar *text, int size) {
  forgive(ctx);
  if (admit_text(ctx, (size_t)size))
    xmlSAX2Characters(ctx, text, size);
}

static void on_cdata(void *ctx, const xmlChar *text, int size) {
  if (admit(ctx, 1, (size_t)size + MALLOC_EXTRA))
    xmlSAX2CDataBlock(ctx, text, size);
}

static void on_comment(void *ctx, const xmlChar *text) {
  if (admit(ctx, 1, strlen((const char *)text) + MALLOC_EXTRA))
    xmlSAX2Comment(ctx, text);
}

static void on_instruction(void *ctx, const xmlChar *target,
                           const xmlChar *data) {
  if (admit(ctx, 1, data != NULL ? strlen((const char *)data) : 0))
    xmlSAX2ProcessingInstruction(ctx, target, data);
}

static void on_reference(void *ctx, const xmlChar *name) {
  (void)ctx, (void)name; /* nothing is declared */
}

/* Feeds have HTML's entities, which XML does not: as a predefined one is, it is
 * put into the text. Any other stands for its own letters, as in browsers. Of
 * one in an attribute the parser would take one byte. */
static xmlEntityPtr on_get_entity(void *ctx, const xmlChar *name) {
  xmlParserCtxtPtr ctxt = ctx;
  struct html_parse *p = ctxt->_private;
  const htmlEntityDesc *known = htmlEntityLookup(name);
  int size;
  if (ctxt->instate != XML_PARSER_CONTENT ||
      strlen((const char *)name) + 3 > sizeof(p->text))
    return NULL;
  if (known != NULL) {
    size = xmlCopyChar(0, (xmlChar *)p->text, (int)known->value);
    p->text[size] = '\0';
  } else {
    size = snprintf(p->text, sizeof(p->text), "&%s;", (const char *)name);
  }
  memset(&p->entity, 0, sizeof(p->entity));
  p->entity.type = XML_ENTITY_DECL;
  p->entity.etype = XML_INTERNAL_PREDEFINED_ENTITY;
  p->entity.name = name;
  p->entity.content = p->entity.orig = (xmlChar *)p->text;
  p->entity.length = size;
  forgive(ctxt);
  return &p->entity;
}

static void on_entity(void *ctx, const xmlChar *name, int type,
                      const xmlChar *public_id, const xmlChar *system_id,
                      xmlChar *content) {
  (void)ctx, (void)name, (void)type, (void)public_id, (void)system_id;
  (void)content;
}

static xmlParserInputPtr on_resolve(void *ctx, const xmlChar *public_id,
                                    const xmlChar *system_id) {
  (void)ctx, (void)public_id, (void)system_id;
  return NULL;
}

static void on_external_subset(void *ctx, const xmlChar *name,
                               const xmlChar *public_id,
                               const xmlChar *system_id) {
  (void)ctx, (void)name, (void)public_id, (void)system_id;
}

/* `user` is the parser's context; what is kept of the error is its first. */
#if LIBXML_VERSION >= 21200
static void on_error(void *user, const xmlError *error)
#else
static void on_error(void *user, xmlErrorPtr error)
#endif
{
  xmlParserCtxtPtr ctxt = user;
  struct html_parse *p = parse_of(ctxt);
  if (error->code == XML_ERR_NO_MEMORY) {
    stop(ctxt, HTML_NO_MEMORY);
    return;
  }
  if (error->code == XML_HTML_UNKNOWN_TAG)
    return; /* known to HTML 5, as like as not */
  p->repairs += 1 + (size_t)(ctxt->nameNr > 0 ? ctxt->nameNr : 0);
  if (p->repairs > REPAIRS_MAX)
    stop(ctxt, HTML_REPAIRS);
  if (p->message[0] == '\0' && error->level >= XML_ERR_ERROR) {
    size_t size;
    snprintf(p->message, sizeof(p->message), "%s",
             error->message != NULL ? error->message : "malformed");
    size = strlen(p->message);
    while (size > 0 && p->message[size - 1] == '\n')
      p->message[--size] = '\0';
    p->line = error->line;
    p->column = error->int2;
  }
}

static void set_handlers(xmlParserCtxtPtr ctxt, struct html_parse *p) {
  xmlSAXHandlerPtr sax = ctxt->sax;
  ctxt->_private = p;
  /* This says that `serror` is there. */
  sax->initialized = XML_SAX2_MAGIC;
  sax->serror = on_error;
  sax->error = sax->fatalError = sax->warning = NULL;
  sax->characters = on_characters;
  sax->cdataBlock = on_cdata;
  sax->comment = on_comment;
  sax->processingInstruction = on_instruction;
  if (!p->is_xml) {
    sax->startElement = on_html_start;
    return;
  }
  sax->startElementNs = on_xml_start;
  sax->ignorableWhitespace = on_characters;
  sax->reference = on_reference;
  sax->entityDecl = on_entity;
  if (!p->is_strict)
    sax->getEntity = on_get_entity;
  sax->resolveEntity = on_resolve;
  sax->externalSubset = on_external_subset;
}

/* ---- parsing --------------------------------------------------------------
 */

/* Without HUGE libxml2 has limits of its own: 256 elements deep. */
#define HTML_OPTIONS                                            \
  (HTML_PARSE_RECOVER | HTML_PARSE_NONET | HTML_PARSE_COMPACT | \
   HTML_PARSE_NODEFDTD | HTML_PARSE_IGNORE_ENC | XML_PARSE_HUGE)
#define XML_OPTIONS                                                           \
  (XML_PARSE_NONET | XML_PARSE_COMPACT | XML_PARSE_NOCDATA | XML_PARSE_HUGE | \
   XML_PARSE_IGNORE_ENC)

static void run(struct html_parse *p, xmlParserCtxtPtr ctxt, const char *text,
                int size) {
  set_handlers(ctxt, p);
  if (p->is_xml)
    p->doc =
        xmlCtxtReadMemory(ctxt, text, size, NULL, "UTF-8",
                          XML_OPTIONS | (p->is_strict ? 0 : XML_PARSE_RECOVER));
  else
    p->doc = htmlCtxtReadMemory(ctxt, text, size, NULL, "UTF-8", HTML_OPTIONS);
  if (p->outcome == HTML_FINE && ctxt->errNo == XML_ERR_NO_MEMORY)
    p->outcome = HTML_NO_MEMORY;
  if (p->outcome == HTML_FINE && p->doc == NULL && p->is_strict)
    p->outcome = HTML_MALFORMED;
}

/* A tree without an element, for a text that has none. */
static void make_empty(struct html_parse *p) {
  p->doc = p->is_xml ? xmlNewDoc(BAD_CAST "1.0") : htmlNewDocNoDtD(NULL, NULL);
  if (p->doc == NULL)
    p->outcome = HTML_NO_MEMORY;
}

void html_parse(struct html_parse *p, const char *text, size_t size) {
  xmlParserCtxtPtr ctxt =
      p->is_xml ? xmlNewParserCtxt() : (xmlParserCtxtPtr)htmlNewParserCtxt();
  p->outcome = HTML_FINE;
  p->doc = NULL;
  if (ctxt == NULL || size > INT_MAX) {
    p->outcome = HTML_NO_MEMORY;
  } else {
    p->bytes = sizeof(xmlDoc);
    run(p, ctxt, text, (int)size);
  }
  if (ctxt != NULL)
    xmlFreeParserCtxt(ctxt);
  if (p->outcome == HTML_FINE && p->doc == NULL)
    make_empty(p);
  if (p->outcome != HTML_FINE && p->doc != NULL) {
    xmlFreeDoc(p->doc);
    p->doc = NULL;
  }
}
