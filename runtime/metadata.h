/* SPDX-License-Identifier: Apache-2.0
 *
 * What an image says about itself that a launch needs: environment and working directory, from the OCI image configuration that the
 * image carries as /.simg/config.json. Parsed by the planner, as the user.
 */
#ifndef SIMG_RUNTIME_METADATA_H
#define SIMG_RUNTIME_METADATA_H

#include "lib/strlist.h"

struct err;

struct metadata {
	struct strlist env; /* NAME=VALUE; items with another kind of name are left out: lib/image_config.h */
	char *workdir;      /* absolute, or NULL */
};

/* Reads it from the root that root_fd is open on. An image without the file has empty metadata; one that is too large or malformed is an
 * error that names the file. The caller frees with metadata_free(). */
int metadata_read(int root_fd, struct metadata *ret_metadata, struct err *err);
void metadata_free(struct metadata *metadata);

#endif
