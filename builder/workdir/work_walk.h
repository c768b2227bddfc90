/* SPDX-License-Identifier: Apache-2.0
 *
 * A walk over a work directory (dir_walk.h) that knows of each entry what the disk says, the key in a table of owners, and which
 * node of a tree has the same path. What is mounted inside is not entered. Results are 0 or more, or a negative errno with err
 * filled.
 */
#ifndef SIMG_BUILDER_WORKDIR_WORK_WALK_H
#define SIMG_BUILDER_WORKDIR_WORK_WALK_H

#include "builder/dir_walk.h"
#include "builder/fakeroot/owners.h"

struct err;
struct node;
struct tree;

struct work_walk {
	struct dir_walk walk;
	const char *path;         /* the directory's, for messages */
	int root_fd;
	const struct tree *tree;  /* may be NULL: all nodes are */

	/* The current entry. */
	const char *name;         /* "." for the root */
	const struct node *node;  /* NULL: the tree has no such path */
	struct owner_key key;
	struct stat st;
};

/* The current entry is the root. The walk is to be ended, also after a failure. */
int work_walk_begin(struct work_walk *walk, int root_fd, const char *path, const struct tree *tree, struct err *err);

/* The directory of the current entry, in which name is looked up. */
int work_walk_fd(const struct work_walk *walk);

/* Goes into the current entry, a directory. Returns 0 if something is mounted on it, else 1. */
int work_walk_enter(struct work_walk *walk, struct err *err);

/* Whether something is mounted on the current entry, of any type. */
bool work_walk_is_mount(const struct work_walk *walk);

/* The next entry. Returns 1, or 0 at the end. */
int work_walk_next(struct work_walk *walk, struct err *err);

/* The node of the directory that was entered last; NULL if the tree has none. */
const struct node *work_walk_directory(const struct work_walk *walk);

/* Fills err for a failed system call on the current entry. */
int work_walk_failed(const struct work_walk *walk, int errnum, struct err *err);

void work_walk_end(struct work_walk *walk);

#endif
