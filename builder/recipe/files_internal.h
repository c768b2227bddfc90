/* SPDX-License-Identifier: Apache-2.0
 *
 * What files.c (the section), files_copy.c and files_digest.c share; see files.h.
 */
#ifndef SIMG_BUILDER_RECIPE_FILES_INTERNAL_H
#define SIMG_BUILDER_RECIPE_FILES_INTERNAL_H

#include "builder/recipe/files.h"

struct strlist;

struct files_entry {
	unsigned line;
	char *source;      /* a pattern */
	char *destination; /* a path, or NULL */
};

struct files_list {
	char *recipe_name;
	struct files_entry *entries;
	size_t count;
};

/* Appends the paths that the entry's source names. */
int files_expand(const struct files_entry *entry, const struct walk_source *source, struct strlist *ret_paths, struct err *err);

/* Puts recipe and line before a message, and returns err's code. */
int files_failed(const struct files_list *list, const struct files_entry *entry, struct err *err);

#endif
