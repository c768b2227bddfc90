/* SPDX-License-Identifier: Apache-2.0
 *
 * A stage's root directory on disk, in which scripts run: made of a chain of images, and read back as a delta after a step. Used in a
 * process that is root of a user namespace (workshop.h).
 */
#ifndef SIMG_BUILDER_RECIPE_ROOT_H
#define SIMG_BUILDER_RECIPE_ROOT_H

#include "builder/recipe/chain.h"
#include "builder/writer.h"

struct baseline;
struct err;
struct hot_set;
struct owners;
struct progress;
struct tree;

/* How images are read and written. */
struct root_options {
	struct writer_options writer; /* checked ones */
	struct hot_set *hot;
	struct progress *progress;
};

struct root {
	const struct root_options *options;
	char *path;
	int fd;
	struct owners *owners;
	struct chain chain;        /* what it was made of, and the deltas since */
	struct tree *tree;         /* the same as a tree */
	struct baseline *baseline; /* the directory as of the tree */
};
#define ROOT_INIT { .fd = -1 }

/* Makes the directory path, which must not be there, with the files of the chain. An empty chain gives an empty directory. */
int root_make(struct root *root, const char *path, const struct chain *chain, const struct root_options *options, struct err *err);

/* Writes what has changed since the last delta to an image at path, which must not be there, and appends it to the chain under that
 * name, which is the caller's. left_out: as in delta.h. The image's descriptor is the root's until root_close(). */
int root_delta(struct root *root, const char *path, const char *const *left_out, struct err *err);

/* Before the directory is worked in again after a delta: takes note of what is there. After the last one, it is not worth its time. */
int root_next(struct root *root, struct err *err);

/* Makes the directory path ("/scif/apps/x") in the root, with its parents; symlinks lead nowhere else. Returns a descriptor (O_PATH), the
 * caller's. */
int root_directory(const struct root *root, const char *path, struct err *err);

/* Releases all but the directory. */
void root_close(struct root *root);

#endif
