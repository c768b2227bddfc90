/* SPDX-License-Identifier: Apache-2.0
 *
 * Files that have several names: see links.h.
 */
#include "builder/recipe/links.h"

#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

static int compare_inodes(const void *a, const void *b)
{
	const struct link_name *x = a, *y = b;
	if (x->device != y->device)
		return x->device < y->device ? -1 : 1;
	return x->inode < y->inode ? -1 : x->inode > y->inode;
}

static int compare_made(const void *a, const void *b)
{
	const struct link_name *x = a, *y = b;
	return x->made < y->made ? -1 : x->made > y->made;
}

const struct link_name *links_find(const struct links *links, const struct stat *st)
{
	struct link_name key = { .device = st->st_dev, .inode = st->st_ino };
	struct link_name **found = tfind(&key, &links->by_inode, compare_inodes);
	return found != NULL ? *found : NULL;
}

static void forget(struct links *links, struct link_name *name)
{
	struct link_name **found = tfind(name, &links->by_made, compare_made);
	if (found != NULL && *found == name)
		tdelete(name, &links->by_made, compare_made);
	tdelete(name, &links->by_inode, compare_inodes);
	free(name);
}

void links_forget(struct links *links, uint64_t made)
{
	struct link_name key = { .made = made };
	struct link_name **found = tfind(&key, &links->by_made, compare_made);
	if (found != NULL)
		forget(links, *found);
}

int links_add(struct links *links, const struct stat *st, const char *path, uint64_t made)
{
	struct link_name *old = (struct link_name *)links_find(links, st);
	size_t bytes = strlen(path) + 1;
	struct link_name *name = malloc(sizeof(*name) + bytes);
	if (name == NULL)
		return -ENOMEM;
	*name = (struct link_name){ .device = st->st_dev, .inode = st->st_ino, .made = made };
	memcpy(name->path, path, bytes);
	if (old != NULL)
		forget(links, old);
	if (tsearch(name, &links->by_inode, compare_inodes) == NULL) {
		free(name);
		return -ENOMEM;
	}
	return made != 0 && tsearch(name, &links->by_made, compare_made) == NULL ? -ENOMEM : 0;
}

static void keep(void *name)
{
	(void)name;
}

void links_free(struct links *links)
{
	tdestroy(links->by_made, keep);
	tdestroy(links->by_inode, free);
	*links = (struct links){ 0 };
}
