/* SPDX-License-Identifier: Apache-2.0
 *
 * A walk over a directory and all that is below it: names sorted by their bytes, a directory's content right behind it. It goes
 * through descriptors, one for each level, so that paths may be of any length and no symlink is followed. What a name is, and
 * whether a directory is entered, is the caller's matter. Results are 0 or more, or a bare negative errno.
 */
#ifndef SIMG_BUILDER_DIR_WALK_H
#define SIMG_BUILDER_DIR_WALK_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

/* A directory on the way to the current entry. */
struct dir_level {
	struct dir_level *up;
	int fd;
	size_t path_bytes; /* of the directory's own path */
	char **names;
	size_t count, next;
	void *context;     /* the caller's; NULL at first */
};

struct dir_walk {
	struct dir_level *level; /* the current entry's directory; NULL before the root was entered, and at the end */
	char *path;              /* of the current entry, "." for the root and "./NAME…" below it */
	size_t path_room;
	void *first_names;       /* tsearch(3) */
};

/* The current entry is the root, which is to be entered. The walk is to be ended, also after a failure. */
int dir_walk_begin(struct dir_walk *walk);

/* Goes into the current entry: takes the descriptor of that directory, open for reading. */
int dir_walk_enter(struct dir_walk *walk, int fd);

/* Returns 1 with the next entry, a name in walk->level->fd, or 0 at the end. The name lives until the next call. */
int dir_walk_next(struct dir_walk *walk, const char **ret_name);

/* Whether the directory that was entered last has the name. */
bool dir_walk_has(const struct dir_walk *walk, const char *name);

/* The current entry's path without "./". */
const char *dir_walk_path(const struct dir_walk *walk);

/* Returns 1 if the inode was asked for before, with the path that it had then, else 0, and remembers it. */
int dir_walk_first_name(struct dir_walk *walk, const struct stat *st, const char **ret_path);

void dir_walk_end(struct dir_walk *walk);

#endif
