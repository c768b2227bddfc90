/* SPDX-License-Identifier: Apache-2.0
 *
 * The packages that are installed in a tree, as the databases of its package managers tell: dpkg's (/var/lib/dpkg/status, and
 * status.d of images without dpkg), apk's, and rpm's in SQLite. A database is anybody's file: what it takes is bounded, its
 * words are cut to printable ones, and nothing of the tree is ever executed.
 */
#ifndef SIMG_BUILDER_PACKAGES_H
#define SIMG_BUILDER_PACKAGES_H

#include "builder/arena.h"
#include "lib/strlist.h"

#include <jansson.h>
#include <stddef.h>

struct err;

enum {
	PACKAGES_MAX = 200000,
	PACKAGE_WORD_MAX = 1023,                  /* bytes of a name, a version or an architecture */
	PACKAGES_TEXT_BYTES_MAX = 64 << 20,       /* of a database of dpkg's or apk's, or of all files of one */
	PACKAGES_DATABASE_BYTES_MAX = 512 << 20,  /* of rpm's; it is held in memory meanwhile */
};

/* UTF-8 without control characters; empty where the database does not say. */
struct package {
	const char *manager; /* "dpkg", "apk" or "rpm" */
	const char *name, *version, *architecture;
};

struct packages {
	struct package *list;  /* sorted by manager, name, architecture, version; none comes twice */
	size_t count;
	struct strlist unread; /* a text for each database that is there and could not be read, and why */

	size_t room;
	struct arena arena;    /* of the words */
};

/* How files of the tree are read. Paths have no leading slash; no symlink on the way is to be followed. */
struct packages_tree {
	/* The content of a regular file, with a terminating zero, for the caller to free. -ENOENT without touching err if there
	 * is no such file, -EFBIG if it has more than max_bytes. */
	int (*file)(const void *tree, const char *path, size_t max_bytes, char **ret_text, size_t *ret_bytes, struct err *err);

	/* Adds the names in a directory, in any order, to a list. -ENOENT likewise, -EFBIG if there are too many. */
	int (*list)(const void *tree, const char *path, struct strlist *names, struct err *err);

	const void *tree;
};

/* Reads all databases of a tree. One that is damaged, too large, or kept in a way that simg does not read is no failure: it is in
 * unread. A failure is what file() and list() fail with, and want of memory. For packages_free(), also after a failure. */
int packages_read(const struct packages_tree *tree, struct packages *ret_packages, struct err *err);

/* The list as an array of objects with the strings manager, name, version and architecture, the last two only if there are
 * such: the key "packages" of a build record. A new reference, NULL without memory. */
json_t *packages_json(const struct packages *packages);

/* Takes in such an array, in the place of what was there. What has no name is skipped. */
int packages_take_json(struct packages *packages, const json_t *array, struct err *err);

/* Prints a table on standard output. */
void packages_print(const struct packages *packages);

void packages_free(struct packages *packages);
#define autopackages __attribute__((cleanup(packages_free)))

/* Orders by manager, name and architecture, but not by version. */
int package_compare(const struct package *a, const struct package *b);

/* --- for the readers of databases --- */

/* Words in a buffer, which need no terminating zero. No data: empty. */
struct package_word {
	const char *data;
	size_t bytes;
};

/* Adds a package. path is the database's, for messages. -EBADMSG for no name or too long words, -EFBIG for too many packages. */
int packages_add(struct packages *packages, const char *manager, const struct package_word *name,
		 const struct package_word *version, const struct package_word *architecture, const char *path, struct err *err);

#endif
