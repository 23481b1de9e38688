/* SPDX-License-Identifier: MIT */
/*
 * net/tls_store.c: stores of trusted authorities: the system's, and those made
 * of PEM text.
 *
 * The system's is opened once, when the first client that needs it connects. A
 * directory whose files are named by hash is read one certificate at a time, as
 * chains ask for them; a bundle takes tens of milliseconds, and is read only
 * where there is no such directory.
 */
#include <dirent.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/tls_internal.h"

static const char *const bundles[] = {
    "/etc/ssl/certs/ca-certificates.crt", /* Debian, Alpine, Arch */
    "/etc/pki/tls/certs/ca-bundle.crt",   /* Fedora */
    "/etc/ssl/ca-bundle.pem",             /* openSUSE */
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem", /* Alpine, macOS, BSD */
    "/opt/homebrew/etc/openssl@3/cert.pem",
    "/usr/local/etc/openssl@3/cert.pem",
    NULL};

static const char *const folders[] = {"/etc/ssl/certs", "/etc/pki/tls/certs",
                                      NULL};

/* "002c0b4f.0": the name by which OpenSSL looks a certificate up. */
static int is_hash(const char *name) {
  return strspn(name, "0123456789abcdef") == 8 && name[8] == '.';
}

static int has_hashes(const char *path) {
  DIR *dir = opendir(path);
  struct dirent *entry;
  int found = 0;
  if (dir == NULL)
    return 0;
  while (!found && (entry = readdir(dir)) != NULL)
    found = is_hash(entry->d_name);
  closedir(dir);
  return found;
}

static const char *system_folder(void) {
  const char *path = getenv(X509_get_default_cert_dir_env());
  int i;
  if (path != NULL && path[0] != '\0')
    return path;
  if (has_hashes(X509_get_default_cert_dir()))
    return X509_get_default_cert_dir();
  for (i = 0; folders[i] != NULL; i++) {
    if (has_hashes(folders[i]))
      return folders[i];
  }
  return NULL;
}

static const char *system_bundle(int has_folder) {
  const char *path = getenv(X509_get_default_cert_file_env());
  int i;
  if (path != NULL && path[0] != '\0')
    return path;
  if (has_folder)
    return NULL;
  if (access(X509_get_default_cert_file(), R_OK) == 0)
    return X509_get_default_cert_file();
  for (i = 0; bundles[i] != NULL; i++) {
    if (access(bundles[i], R_OK) == 0)
      return bundles[i];
  }
  return NULL;
}

/* What cannot be read is left out: a handshake that needs it will say that the
 * issuer is unknown. */
X509_STORE *weft_tls_store_system(struct weft_tls_shared *shared) {
  if (shared->store == NULL) {
    X509_STORE *store = X509_STORE_new();
    const char *folder = system_folder();
    const char *bundle = system_bundle(folder != NULL);
    if (store == NULL)
      return NULL;
    if (folder != NULL)
      X509_STORE_load_path(store, folder);
    if (bundle != NULL)
      X509_STORE_load_file(store, bundle);
    ERR_clear_error();
    shared->store = store;
  }
  X509_STORE_up_ref(shared->store);
  return shared->store;
}

static int add_pem(X509_STORE *store, const struct weft_tls_bytes *pem,
                   const char *what, struct weft_tls_error *error) {
  BIO *bio = BIO_new_mem_buf(pem->data, (int)pem->size);
  int count = 0;
  X509 *cert;
  if (bio == NULL)
    return -1;
  while ((cert = PEM_read_bio_X509_AUX(bio, NULL, NULL, NULL)) != NULL) {
    count += X509_STORE_add_cert(store, cert);
    X509_free(cert);
  }
  BIO_free(bio);
  if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
    weft_tls_error_drain(error, what);
  else if (count == 0)
    weft_tls_error_set(error, "NO_CERTIFICATE", "%s: no certificate in it",
                       what);
  ERR_clear_error();
  return error->text[0] == '\0' ? 0 : -1;
}

X509_STORE *weft_tls_store_new(const struct weft_tls_bytes *pem,
                               const char *path, const char *what,
                               struct weft_tls_error *error) {
  X509_STORE *store = X509_STORE_new();
  if (store == NULL)
    return NULL;
  if ((pem->data != NULL && add_pem(store, pem, what, error) != 0) ||
      (path != NULL && !X509_STORE_load_path(store, path))) {
    weft_tls_error_drain(error, what);
    X509_STORE_free(store);
    return NULL;
  }
  return store;
}
