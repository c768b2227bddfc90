/* SPDX-License-Identifier: Apache-2.0
 *
 * One of the two trees that simg diff compares, path after path, in an order that is the same for images and directories: names by
 * their bytes, what is in a directory right behind it. Memory does not grow with the tree, but for files with several names.
 */
#ifndef SIMG_BUILDER_DIFF_SIDE_H
#define SIMG_BUILDER_DIFF_SIDE_H

#include "builder/arena.h"
#include "builder/oci/digest.h"
#include "builder/source.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct subject;

/* What is compared of a file. */
struct diff_facts {
	uint32_t mode;            /* type and permissions, as in st_mode */
	uint32_t major, minor;    /* of a device node */
	int64_t uid, gid, mtime;
	uint64_t bytes;           /* of a regular file */
	struct digest content;    /* of a regular file, once it was read; it is of the content, but not the content's own digest */
	const char *target;       /* of a symlink, else NULL */
	const char *xattrs;       /* name, zero, digest of the value, zero, and so on; sorted by name */
	size_t xattrs_bytes;
};

/* A file with several names. */
struct diff_shared {
	const char *path;         /* its first one */
	const char *common;       /* the first one that the other side has too, or NULL; diff_tree.c's to set */
	struct diff_facts facts;
};

struct diff_side {
	const char *name;            /* the subject's, for messages */
	const struct source *source;
	struct reader *reader;
	bool done;                   /* there is no current path */
	const char *path;            /* the current one, "" for the root; this and the next two are valid until the next one */
	const struct diff_facts *facts;
	struct diff_shared *shared;  /* NULL: a file with one name */
	bool linked;                 /* shared, and this is not its first name */

	struct diff_facts own;       /* of a file with one name */
	char *xattrs;
	struct arena arena;
	void *table;                 /* of struct diff_shared, tsearch(3) */
};
#define DIFF_SIDE_INIT { .done = true }

/* Begins to read. The subject must outlive the side. There is no current path yet. */
int diff_side_open(const struct subject *subject, struct diff_side *ret_side, struct err *err);

/* Moves to the next path, or to the end. */
int diff_side_next(struct diff_side *side, struct err *err);

/* Sees to it that facts->content is there, if the current file is a regular one. Files with several names have been read before. */
int diff_side_read(struct diff_side *side, struct err *err);

/* The digest of what a reader's current file holds, the same however its holes lie. Of two files of different length it may be the
 * same. */
int diff_content(const struct source *source, struct reader *reader, struct digest *ret_digest, struct err *err);

/* The order of paths. */
int diff_path_compare(const char *a, const char *b);

void diff_side_close(struct diff_side *side);
#define autoside __attribute__((cleanup(diff_side_close)))

#endif
