/* SPDX-License-Identifier: MIT */
/*
 * spec/c/list.c: base/list.h against two plain arrays, by pseudo-random
 * operations.
 */
#include <string.h>

#include "base/list.h"
#include "check.h"

#define NODES 40

struct item {
  int before; /* so that the node is not at the start */
  struct weft_list node;
};

static struct weft_list lists[2];
static struct item items[NODES];
static int model[2][NODES], length[2], where[NODES]; /* where: -1 for none */

static void model_take(int item) {
  int list = where[item], i;
  if (list < 0)
    return;
  for (i = 0; model[list][i] != item; i++)
    ;
  length[list]--;
  memmove(&model[list][i], &model[list][i + 1],
          (size_t)(length[list] - i) * sizeof(int));
  where[item] = -1;
}

static void model_put(int list, int item) {
  model[list][length[list]++] = item;
  where[item] = list;
}

static void push(int list, int item) {
  weft_list_remove(&items[item].node); /* harmless when it is on none */
  model_take(item);
  weft_list_push(&lists[list], &items[item].node);
  model_put(list, item);
}

static void drop(int item) {
  weft_list_remove(&items[item].node);
  model_take(item);
  CHECK(weft_list_is_empty(&items[item].node));
}

static void pop(int list) {
  struct weft_list *node = weft_list_pop(&lists[list]);
  int item;
  if (node == NULL) {
    CHECK(length[list] == 0);
    return;
  }
  item = (int)(WEFT_CONTAINER_OF(node, struct item, node) - items);
  CHECK(item == model[list][0]);
  CHECK(weft_list_is_empty(node));
  model_take(item);
}

static void splice(int to) {
  int from = 1 - to;
  weft_list_splice(&lists[to], &lists[from]);
  while (length[from] > 0) {
    int item = model[from][0];
    model_take(item);
    model_put(to, item);
  }
}

static void check_list(int list) {
  struct weft_list *node = lists[list].next;
  int i;
  CHECK(weft_list_is_empty(&lists[list]) == (length[list] == 0));
  for (i = 0; i < length[list]; i++, node = node->next) {
    CHECK(node == &items[model[list][i]].node);
    CHECK(node->next->prev == node && node->prev->next == node);
  }
  CHECK(node == &lists[list]);
}

int main(void) {
  uint32_t seed = 1;
  int i;
  weft_list_init(&lists[0]);
  weft_list_init(&lists[1]);
  for (i = 0; i < NODES; i++) {
    weft_list_init(&items[i].node);
    where[i] = -1;
  }
  for (i = 0; i < 200000; i++) {
    int list = (int)(check_random(&seed) % 2);
    int item = (int)(check_random(&seed) % NODES);
    switch (check_random(&seed) % 16) {
    case 0:
      splice(list);
      break;
    case 1:
    case 2:
    case 3:
      pop(list);
      break;
    case 4:
    case 5:
      drop(item);
      break;
    default:
      push(list, item);
    }
    check_list(0);
    check_list(1);
  }
  return 0;
}
