/* SPDX-License-Identifier: Apache-2.0
 *
 * Files that have several names, while a tree is walked: under which name each was met first.
 */
#ifndef SIMG_BUILDER_RECIPE_LINKS_H
#define SIMG_BUILDER_RECIPE_LINKS_H

#include <stdint.h>
#include <sys/stat.h>

struct links {
	void *by_inode, *by_made; /* tsearch(3) */
};

struct link_name {
	uint64_t device, inode;
	uint64_t made;    /* the inode that was made of it, or 0 */
	char path[];
};

/* What was remembered for the file, or NULL. */
const struct link_name *links_find(const struct links *links, const struct stat *st);

/* Remembers it, in the place of what was. 0 or -ENOMEM. */
int links_add(struct links *links, const struct stat *st, const char *path, uint64_t made);

/* Forgets the file of which an inode was made that is gone now: its number may be used again. */
void links_forget(struct links *links, uint64_t made);
void links_free(struct links *links);
#define autolinks __attribute__((cleanup(links_free)))

#endif
