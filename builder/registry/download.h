/* SPDX-License-Identifier: Apache-2.0
 *
 * A blob on its way into a file, from any number of servers one after the other: what one has sent stays, the next continues behind
 * it. Bytes are hashed as they lie in the file and never written twice, so that a reader may follow while they come.
 */
#ifndef SIMG_BUILDER_REGISTRY_DOWNLOAD_H
#define SIMG_BUILDER_REGISTRY_DOWNLOAD_H

#include "builder/oci/manifest.h"
#include "builder/registry/server.h"

#include <stdbool.h>
#include <stdint.h>

struct download {
	const struct descriptor *descriptor;
	int fd;
	bool (*arrived)(void *context, uint64_t bytes); /* false: stop */
	void *context;
	struct hash *hash;        /* of the first `position` bytes of the file */
	uint64_t position, skip;  /* skip: bytes of this answer that are there already */
};

/* Hashes what fd holds; empties it if that is more than the blob. */
int download_begin(struct download *download, struct err *err);
void download_end(struct download *download);

/* Fetches what is missing. request says where from, and how many tries. Like server_send(); -EBADMSG where the server's blob
 * has another size. */
int download_from(struct download *download, struct server *server, struct server_request *request,
		  struct http_response *ret_response, struct err *err);

/* All is there: compares the digest. -EBADMSG if it is another one; source, who sent it, is for that message. */
int download_verify(const struct download *download, const char *source, struct err *err);

#endif
