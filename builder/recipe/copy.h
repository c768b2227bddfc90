/* SPDX-License-Identifier: Apache-2.0
 *
 * One source, a file or a directory with all that is in it, into a root. From the host it is what "cp -fLr" makes of it, but with
 * times, holes and hard links; from a stage what tar makes of it (walk.h, attributes.h). Nothing is written outside of the root,
 * whatever symlinks it has.
 *
 * A file that is there is replaced, with a new inode: other names of it keep the old data. A directory goes into a directory that
 * is there, also through a symlink. Below the place that was named a file of the host is written through a symlink, one of a stage
 * replaces it. A file never replaces a directory, nor a directory a file.
 */
#ifndef SIMG_BUILDER_RECIPE_COPY_H
#define SIMG_BUILDER_RECIPE_COPY_H

#include "builder/recipe/links.h"

struct err;
struct owners;
struct walk_source;

struct copy {
	const struct walk_source *source;
	int root_fd;           /* O_PATH will do; everything in it is the caller's own */
	struct owners *owners; /* of the root */
	struct links links;    /* names in the root of files that have several; kept over sources that belong together */
};

/* Copies the source at the path to exactly the destination, a path in the root; directories that are missing are made. */
int copy_run(struct copy *copy, const char *source, const char *destination, struct err *err);

#endif
