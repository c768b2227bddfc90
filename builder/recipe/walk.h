/* SPDX-License-Identifier: Apache-2.0
 *
 * A walk over one source of a copy and all that is in it, names sorted. Copying and computing a digest are two visitors of the same
 * walk, so that they see the same files.
 *
 * On the host every symlink is followed, as "cp -L" does, and there is nothing but regular files and directories: any other file is
 * an error. In a stage only the source that was named is followed, inside the stage; sockets are passed over.
 */
#ifndef SIMG_BUILDER_RECIPE_WALK_H
#define SIMG_BUILDER_RECIPE_WALK_H

#include "builder/fakeroot/owners.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

struct err;

/* Where sources are. All of it is the caller's. */
struct walk_source {
	int directory_fd;            /* of the host's directory, or a stage's root; O_PATH will do */
	const char *name;            /* the directory's path or the stage's name, for messages */
	bool is_stage;               /* paths begin at directory_fd, and no symlink leads out */
	const struct owners *owners; /* of the stage; NULL on the host */
	const struct stat *own;      /* files and directories that are the build's own, as the work directory: no source has them */
	size_t own_count;
};

struct walk_file {
	const char *path;       /* the source that was named, and what is below it; for messages */
	const char *name;       /* the last component */
	int fd;                 /* open for reading if it is a regular file or a directory, else O_PATH; the walk's */
	struct owner_key key;
	struct stat st;         /* as on disk; a symlink only in a stage */
	bool is_link;           /* it is one of several names of a file, and none was reached through a symlink */
	bool left_out;          /* a directory that holds something of the build's own; known when it is left */
};

/* Each returns 0, or a negative errno with err filled. */
struct walk_visitor {
	void *data;
	int (*file)(void *data, const struct walk_file *file, struct err *err);  /* what is no directory */
	int (*enter)(void *data, const struct walk_file *file, struct err *err); /* a directory, before what is in it */
	int (*leave)(void *data, const struct walk_file *file, struct err *err); /* after it; not after a failure */
};

/* Walks over the source at path. -ELOOP if a symlink leads back to where the walk is, -EINVAL for a file that cannot be copied,
 * -EPERM for a path that is the build's own. */
int walk_run(const struct walk_source *source, const char *path, const struct walk_visitor *visitor, struct err *err);

#endif
