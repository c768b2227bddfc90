/* SPDX-License-Identifier: Apache-2.0
 *
 * The record of a sandbox, /.simg/sandbox in it: what its files are in the image, where they could not be given that on disk. It is
 * written when a sandbox is made, marks the directory as one, and is read when the directory is built into an image.
 *
 * Text: a first line "simg-sandbox 1"; a line "made" if the directory .simg is not the image's but was made for the record; and for
 * each file of which something was left out
 *
 *	PATH DISK-MODE MODE UID GID MAJOR MINOR [ATTRIBUTE=HEX …]
 *
 * with modes in octal, as in st_mode. PATH is relative, "." for the root; in it and in names of attributes, bytes that are not
 * printable ASCII, spaces, "%" and "=" are written as "%" and two hexadecimal digits.
 */
#ifndef SIMG_BUILDER_RECORD_H
#define SIMG_BUILDER_RECORD_H

#include "builder/xattr.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>

struct err;
struct record;

#define RECORD_DIRECTORY ".simg"
#define RECORD_NAME "sandbox"

struct record_entry {
	const char *path;
	uint32_t disk_mode;    /* type and permissions that it was given on disk: what is so no more is not the same file */
	uint32_t mode;         /* in the image, and so is the rest */
	uint32_t uid, gid;
	uint32_t major, minor;
	struct xattr *xattrs;  /* those that are not on disk */
	size_t xattr_count;
};

/* Write to a stream, whose error is to be looked at in the end. */
void record_begin(FILE *out);
void record_made_directory(FILE *out);
void record_add(FILE *out, const struct record_entry *entry);

/* Reads the record of an open directory. *ret_record is NULL if it has none. -EBADMSG if it cannot be understood; path is the
 * directory's, for messages. */
int record_read(int root_fd, const char *path, struct record **ret_record, struct err *err);

/* The permissions on disk of what has this mode in the image: a set-user-ID bit means nothing good with another owner, and a user
 * has to be able to read his files, and to enter, change and remove his directories. An empty file that stands for a device node is
 * no more than there. */
mode_t record_permissions(mode_t mode, mode_t disk_type, bool owner_kept, bool privileged);

/* What is recorded for a path, or NULL. It holds if stat still says of the file what it did when it was recorded. */
const struct record_entry *record_find(const struct record *record, const char *path);
bool record_holds(const struct record_entry *entry, const struct stat *st);

/* Whether .simg was made for the record, and holds nothing else still. */
bool record_owns_directory(const struct record *record, int root_fd);

/* Whether an open directory has a record, by its first line. */
bool record_marks(int root_fd);

void record_free(struct record *record); /* takes NULL */

#endif
