/* SPDX-License-Identifier: Apache-2.0
 *
 * A stack of directories: see dir_walk.h.
 */
#include "builder/dir_walk.h"

#include "lib/cleanup.h"
#include "lib/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The first name of an inode that has several. */
struct first_name {
	dev_t device;
	ino_t inode;
	char path[];
};

int dir_walk_begin(struct dir_walk *walk)
{
	*walk = (struct dir_walk){ .path = strdup("."), .path_room = 2 };
	fd_limit_raise();
	return walk->path == NULL ? -ENOMEM : 0;
}

static void level_pop(struct dir_walk *walk)
{
	struct dir_level *level = walk->level;
	walk->level = level->up;
	for (size_t i = 0; i < level->count; i++)
		free(level->names[i]);
	free(level->names);
	close(level->fd);
	free(level);
}

static int name_add(struct dir_level *level, const char *name)
{
	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return 0;
	if ((level->count & (level->count + 1)) == 0) { /* room is the next power of two, less one */
		char **names = realloc(level->names, (level->count * 2 + 1) * sizeof(*names));
		if (names == NULL)
			return -ENOMEM;
		level->names = names;
	}
	char *copy = strdup(name);
	if (copy == NULL)
		return -ENOMEM;
	level->names[level->count++] = copy;
	return 0;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int level_fill(struct dir_level *level)
{
	autoclose int fd = fcntl(level->fd, F_DUPFD_CLOEXEC, 3);
	autoclosedir DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	if (dir == NULL)
		return -errno;
	steal_fd(&fd);
	rewinddir(dir); /* the caller's descriptor may have been read before */
	for (;;) {
		errno = 0;
		struct dirent *entry = readdir(dir);
		if (entry == NULL) {
			int r = -errno;
			if (level->count > 0)
				qsort(level->names, level->count, sizeof(*level->names), compare_names);
			return r;
		}
		int r = name_add(level, entry->d_name);
		if (r < 0)
			return r;
	}
}

int dir_walk_enter(struct dir_walk *walk, int fd)
{
	struct dir_level *level = calloc(1, sizeof(*level));
	if (level == NULL) {
		close(fd);
		return -ENOMEM;
	}
	*level = (struct dir_level){ .up = walk->level, .fd = fd, .path_bytes = strlen(walk->path) };
	walk->level = level;
	return level_fill(level);
}

static int path_set(struct dir_walk *walk, const char *name)
{
	size_t parent_bytes = walk->level->path_bytes, name_bytes = strlen(name), bytes = parent_bytes + 1 + name_bytes + 1;
	if (bytes > walk->path_room) {
		char *path = realloc(walk->path, bytes * 2);
		if (path == NULL)
			return -ENOMEM;
		walk->path = path;
		walk->path_room = bytes * 2;
	}
	walk->path[parent_bytes] = '/';
	memcpy(walk->path + parent_bytes + 1, name, name_bytes + 1);
	return 0;
}

int dir_walk_next(struct dir_walk *walk, const char **ret_name)
{
	while (walk->level != NULL && walk->level->next == walk->level->count)
		level_pop(walk);
	if (walk->level == NULL)
		return 0;
	*ret_name = walk->level->names[walk->level->next++];
	int r = path_set(walk, *ret_name);
	return r < 0 ? r : 1;
}

bool dir_walk_has(const struct dir_walk *walk, const char *name)
{
	const struct dir_level *level = walk->level;
	return level->count > 0 && bsearch(&name, level->names, level->count, sizeof(*level->names), compare_names) != NULL;
}

const char *dir_walk_path(const struct dir_walk *walk)
{
	return walk->path[1] == '/' ? walk->path + 2 : walk->path;
}

static int compare_inodes(const void *a, const void *b)
{
	const struct first_name *x = a, *y = b;
	if (x->device != y->device)
		return x->device < y->device ? -1 : 1;
	return x->inode < y->inode ? -1 : x->inode > y->inode;
}

int dir_walk_first_name(struct dir_walk *walk, const struct stat *st, const char **ret_path)
{
	size_t bytes = strlen(walk->path) + 1;
	struct first_name *own = malloc(sizeof(*own) + bytes);
	if (own == NULL)
		return -ENOMEM;
	*own = (struct first_name){ .device = st->st_dev, .inode = st->st_ino };
	memcpy(own->path, walk->path, bytes);
	struct first_name **found = tsearch(own, &walk->first_names, compare_inodes);
	if (found == NULL || *found != own)
		free(own);
	if (found == NULL)
		return -ENOMEM;
	*ret_path = (*found)->path;
	return *found != own;
}

void dir_walk_end(struct dir_walk *walk)
{
	while (walk->level != NULL)
		level_pop(walk);
	tdestroy(walk->first_names, free);
	free(walk->path);
	*walk = (struct dir_walk){ 0 };
}
