/* SPDX-License-Identifier: Apache-2.0
 *
 * One file of credentials in JSON, as Docker and Podman write it: "auths" with user and password, "credHelpers" and
 * "credsStore" with the names of programs that keep them. Hosts are compared without a scheme, without /v1/ or /v2/ at the end
 * and without case; Docker's hub has several names.
 *
 * Source: containers-auth.json(5); Docker, "docker login".
 */
#ifndef SIMG_BUILDER_REGISTRY_AUTHFILE_H
#define SIMG_BUILDER_REGISTRY_AUTHFILE_H

#include "builder/registry/credentials.h"

/* auth.json and config.json, or ~/.dockercfg, which is the content of "auths" alone. */
enum authfile_format { AUTHFILE_JSON, AUTHFILE_DOCKERCFG };

/* The name that entries are compared by: "https://index.docker.io/v1/" becomes "docker.io". The caller frees it. NULL without
 * memory. */
char *authfile_normalise(const char *key);

/* The most specific entry for a repository; repository may be NULL or "". 1 if there is one, 0 if not or if there is no such
 * file. -EINVAL with file and position if it is malformed; the errors of helper_run(). */
int authfile_find(const char *path, enum authfile_format format, const char *host, const char *repository,
		  struct credentials *ret_credentials, struct err *err);

/* Stores in the file, which is made if there is none, or with the helper that it names for host. *ret_place: which of both; the
 * caller frees it. */
int authfile_store(const char *path, const char *host, const struct credentials *credentials, char **ret_place, struct err *err);

/* Removes the entry of host, or all of them if host is NULL, from the file and the helpers that it names. *ret_place is NULL if
 * there was none. */
int authfile_remove(const char *path, const char *host, char **ret_place, struct err *err);

#endif
