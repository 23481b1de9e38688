/* SPDX-License-Identifier: MIT */
/*
 * base/list.h: an intrusive, circular, doubly linked list.
 *
 * Owns nothing: nodes belong to the structs that embed them. Invariant: a node
 * that is on no list is linked to itself, so that removing it twice is harmless
 * and "is it on a list" can be asked without knowing which.
 */
#ifndef WEFT_BASE_LIST_H
#define WEFT_BASE_LIST_H

#include <stddef.h>

struct weft_list {
  struct weft_list *next, *prev;
};

#define WEFT_CONTAINER_OF(ptr, type, member) \
  ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

static inline void weft_list_init(struct weft_list *list) {
  list->next = list->prev = list;
}

static inline int weft_list_is_empty(const struct weft_list *list) {
  return list->next == list;
}

static inline void weft_list_push(struct weft_list *list,
                                  struct weft_list *node) {
  node->next = list;
  node->prev = list->prev;
  list->prev->next = node;
  list->prev = node;
}

static inline void weft_list_remove(struct weft_list *node) {
  node->prev->next = node->next;
  node->next->prev = node->prev;
  weft_list_init(node);
}

/* Takes the first node off, or returns NULL. */
static inline struct weft_list *weft_list_pop(struct weft_list *list) {
  struct weft_list *node = list->next;
  if (node == list)
    return NULL;
  weft_list_remove(node);
  return node;
}

/* Moves all nodes of `from` to the end of `to`; `from` is empty after. */
static inline void weft_list_splice(struct weft_list *to,
                                    struct weft_list *from) {
  if (weft_list_is_empty(from))
    return;
  from->next->prev = to->prev;
  to->prev->next = from->next;
  from->prev->next = to;
  to->prev = from->prev;
  weft_list_init(from);
}

#endif
