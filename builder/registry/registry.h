/* SPDX-License-Identifier: Apache-2.0
 *
 * The client of a container registry: manifests and blobs by HTTP, with everything between: challenges and tokens, redirects,
 * mirrors, retries, continued downloads. Knows nothing of layers; container_registry.c (the source docker://) is built on it.
 *
 * Source: OCI distribution specification; Docker, "Token Authentication Specification"; RFC 9110.
 */
#ifndef SIMG_BUILDER_REGISTRY_REGISTRY_H
#define SIMG_BUILDER_REGISTRY_REGISTRY_H

#include "builder/oci/digest.h"
#include "builder/oci/manifest.h"
#include "builder/oci/reference.h"

#include <stdbool.h>
#include <stdint.h>

struct credentials;
struct err;
struct progress;
struct registry; /* one repository at one registry and its mirrors; any thread may use it */

struct registry_options {
	const char *auth_file;     /* NULL: the usual places */
	struct progress *progress; /* its line is cleared before a note */
	bool quiet;
};

int registry_open(const struct reference *reference, const struct registry_options *options, struct registry **ret_registry,
		  struct err *err);
void registry_close(struct registry *registry); /* takes NULL */

/* The digest of what the reference's tag names now (HEAD; GET where the registry does not answer with a digest). For a reference
 * with a digest, that without asking. */
int registry_resolve(struct registry *registry, struct digest *ret_digest, struct err *err);

/* A manifest or an index by digest, which is compared. The caller frees *ret_text and *ret_media_type (NULL if there was no
 * Content-Type). */
int registry_manifest(struct registry *registry, const struct digest *digest, char **ret_text, size_t *ret_bytes,
		      char **ret_media_type, struct err *err);

/* A small blob (a configuration) to memory; digest and size are compared. */
int registry_blob_read(struct registry *registry, const struct descriptor *descriptor, size_t bytes_max, char **ret_text,
		       size_t *ret_bytes, struct err *err);

/* A blob to a file: continues behind what fd holds already (hashing that first), appends to fd, calls arrived after each write with
 * the count of bytes that are there, stops with -ECANCELED if that returns false. 0 once all is there and size and digest are
 * right; -EBADMSG if they are not: then the file is of no use. Other errors leave a beginning that can be continued. */
int registry_blob_fetch(struct registry *registry, const struct descriptor *descriptor, int fd,
			bool (*arrived)(void *context, uint64_t bytes), void *context, struct err *err);

/* For simg login: whether the registry host[:port], as users name it, takes these credentials. Asks it as registry_open() would ask
 * for a repository, with its settings and certificates, for a token that opens nothing in particular. -EACCES if it refuses them,
 * with the status that it gave; the errors of a connection; 0 if it takes them, or wants none from anybody. */
int registry_login_check(const char *host, const struct credentials *credentials, struct err *err);

#endif
