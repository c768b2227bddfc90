/* SPDX-License-Identifier: Apache-2.0
 *
 * What a recipe's stage stands on, as an image.
 */
#ifndef SIMG_BUILDER_BASE_H
#define SIMG_BUILDER_BASE_H

#include "builder/oci/digest.h"

#include <stdbool.h>

struct build_options;
struct cache;
struct err;
struct progress;

struct base {
	int fd;               /* of the image; -1: none */
	char *source;         /* as a source of simg build: "docker://debian:12", "base.simg" */
	char *name;           /* of a container, in full: "docker.io/library/debian:12"; NULL: of none */
	struct digest digest; /* of the container, or of the image's file */
	struct digest key;    /* of all that the image's bytes depend on */
	bool trusted;         /* this program made it */
};
#define BASE_INIT { .fd = -1 }

/* Finds or builds the image of a source: a container's comes from the cache or goes there, an image is taken as it is, and what else
 * there is gets built at path, which must not be there. options are those of the whole build. */
int base_open(const char *source, const char *path, const struct build_options *options, struct cache *cache,
	      struct progress *progress, struct base *ret_base, struct err *err);

void base_close(struct base *base);

#endif
