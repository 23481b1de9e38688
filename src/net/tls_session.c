/* SPDX-License-Identifier: MIT */
/*
 * net/tls_session.c: the sessions that a client can resume, by what they were
 * made with: host, port and protocols.
 *
 * Owns: a list of sessions, the least recently used first. Walked from its end;
 * all of it costs about a hundredth of the handshake that is saved.
 * Invariant: at most SESSIONS in all and SESSIONS_EACH for one key.
 */
#include <string.h>

#include "net/tls_internal.h"

#define SESSIONS 512 /* a crawler's hosts of the last minutes; 2 MB or so */
#define SESSIONS_EACH \
  100 /* connections to one host at a time: weft.http's usual limit */

struct session {
  struct weft_list link;
  SSL_SESSION *ssl;
  char key[];
};

void weft_tls_sessions_init(struct weft_tls_sessions *sessions,
                            struct weft_mem *mem) {
  weft_list_init(&sessions->list);
  sessions->mem = mem;
  sessions->count = 0;
}

static void drop(struct weft_tls_sessions *sessions, struct session *session) {
  weft_list_remove(&session->link);
  sessions->count--;
  SSL_SESSION_free(session->ssl);
  weft_free(sessions->mem, session);
}

static struct session *session_of(struct weft_list *link) {
  return WEFT_CONTAINER_OF(link, struct session, link);
}

void weft_tls_sessions_deinit(struct weft_tls_sessions *sessions) {
  while (!weft_list_is_empty(&sessions->list))
    drop(sessions, session_of(sessions->list.next));
}

/* The oldest of the key if there are SESSIONS_EACH, or if it is of TLS 1.2,
 * where a new one replaces it; else the oldest of all if there are SESSIONS. */
static void make_room(struct weft_tls_sessions *sessions, const char *key) {
  struct weft_list *link = sessions->list.next;
  struct session *oldest = NULL;
  unsigned each = 0;
  for (; link != &sessions->list; link = link->next) {
    struct session *session = session_of(link);
    if (strcmp(session->key, key) == 0) {
      oldest = oldest != NULL ? oldest : session;
      each++;
    }
  }
  if (oldest != NULL &&
      (each >= SESSIONS_EACH ||
       SSL_SESSION_get_protocol_version(oldest->ssl) < TLS1_3_VERSION))
    drop(sessions, oldest);
  else if (sessions->count >= SESSIONS)
    drop(sessions, session_of(sessions->list.next));
}

void weft_tls_sessions_put(struct weft_tls_sessions *sessions, const char *key,
                           SSL_SESSION *ssl) {
  size_t size = strlen(key) + 1;
  struct session *session = weft_malloc(sessions->mem, sizeof(*session) + size);
  if (session == NULL) {
    SSL_SESSION_free(ssl);
    return;
  }
  make_room(sessions, key);
  memcpy(session->key, key, size);
  session->ssl = ssl;
  weft_list_push(&sessions->list, &session->link);
  sessions->count++;
}

SSL_SESSION *weft_tls_sessions_take(struct weft_tls_sessions *sessions,
                                    const char *key) {
  struct weft_list *link = sessions->list.prev;
  for (; link != &sessions->list; link = link->prev) {
    struct session *session = session_of(link);
    SSL_SESSION *ssl = session->ssl;
    if (strcmp(session->key, key) != 0)
      continue;
    SSL_SESSION_up_ref(ssl);
    if (SSL_SESSION_get_protocol_version(ssl) >= TLS1_3_VERSION) {
      drop(sessions, session); /* twice would tell who is the same client */
    } else {
      weft_list_remove(link);
      weft_list_push(&sessions->list, link);
    }
    return ssl;
  }
  return NULL;
}
