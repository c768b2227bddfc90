/* SPDX-License-Identifier: Apache-2.0
 *
 * Where an image's files come from. A kind of source is one file that exports one struct source, or one struct container_kind for
 * those that have layers (oci/container.h); source.c has the tables of both.
 * A reader hands out entries one after the other, and the data of a regular file in between, so that nothing is ever kept. What an
 * entry means for the tree is the loader's matter (load.h), the same for every source.
 */
#ifndef SIMG_BUILDER_SOURCE_H
#define SIMG_BUILDER_SOURCE_H

#include "builder/xattr.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

struct container_kind;
struct err;
struct owners;
struct progress;
struct reader; /* a source's own state */

struct source_options {
	const char *name;  /* as the user gave it, for messages */
	int fd;            /* open for reading; stays the caller's */
	bool trusted;      /* the user said how much the source may hold: no limit on its compression ratio */
	struct progress *progress; /* its line is cleared before a note */
	bool quiet;        /* no notes */
	struct {
		dev_t device;
		ino_t inode;
	} output[2];       /* files that are the build's own and never part of its source */
	int output_count;

	/* Of directories only. With owners, the directory is a work directory: owner, type, permissions and what else the table has
	 * are the table's, labels of the host are no attributes, and a record in it is a file like any other. skip is asked about
	 * each name but the root ("etc/passwd", with what is on disk), and leaves it out with all that is below it. */
	const struct owners *owners;
	bool (*skip)(void *context, const char *path, const struct stat *st);
	void *skip_context;
};

struct source_entry {
	const char *path;     /* any bytes; normalised by the tree, not by the source */
	const char *target;   /* of a symlink or a hard link, else NULL */
	bool hard_link;       /* path is a second name of what the path target names; only that, and data if bytes > 0 */
	bool shared;          /* the file has other names, or had: hard links to path may follow; images and directories tell */
	uint32_t mode;        /* type and permissions, as in st_mode */
	int64_t uid, gid;
	int64_t mtime;        /* seconds since 1970, may be negative */
	uint32_t major, minor;
	uint64_t bytes;       /* of a regular file, with its holes */
	struct xattr *xattrs;
	size_t xattr_count;
	bool acl;             /* it has POSIX ACLs that are not among xattrs */
};

/* A piece of a file's data; pieces come in order, what lies between them is a hole. */
struct piece {
	uint64_t offset;
	const void *data;
	size_t bytes;
};

struct source {
	const char *name; /* "directory", "image", "tarball" */

	/* Whether it reads this kind of file; head is its beginning, for regular files. */
	bool (*matches)(mode_t mode, const uint8_t *head, size_t bytes);

	int (*open)(const struct source_options *options, struct reader **ret_reader, struct err *err);

	/* The next entry, valid until the next call. Returns 1, or 0 at the end of a source that is whole. Data not asked for is
	 * skipped. */
	int (*next)(struct reader *reader, struct source_entry *ret_entry, struct err *err);

	/* The next piece of the current entry's data, valid until the next call. Returns 1, or 0 at its end. */
	int (*read)(struct reader *reader, struct piece *ret_piece, struct err *err);

	/* How far it is: bytes read, and of how many (0: unknown). */
	void (*progress)(const struct reader *reader, uint64_t *ret_bytes, uint64_t *ret_total);

	void (*close)(struct reader *reader); /* takes NULL */
};

extern const struct source source_directory;
extern const struct source source_image;
extern const struct source source_tarball;

/* What the user named: a file or a directory, or a container ("docker://…"). */
struct source_place {
	const struct source *source;
	int fd;                                 /* of the file or directory, the caller's to close; else -1 */
	const struct container_kind *container; /* NULL: source and fd are set */
	const char *rest;                       /* what follows the container's scheme; part of the name */
	bool is_recipe;                         /* fd is a recipe's; source is NULL */
};

/* Opens what the user named ("-": standard input) and finds the kind of source by its content; or finds the kind of container by
 * the scheme before the first colon. A file whose name looks like that is given as "./docker:…". */
int source_find(const char *name, struct source_place *ret_place, struct err *err);

#endif
