/* SPDX-License-Identifier: Apache-2.0
 *
 * Extended attributes. The attributes of one file form a set; equal sets are kept once, in the very bytes that SquashFS stores, so
 * that a label on every file of a tree costs next to nothing.
 */
#ifndef SIMG_BUILDER_XATTR_H
#define SIMG_BUILDER_XATTR_H

#include <linux/limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;

struct xattr {
	const char *name;   /* "user.comment" */
	const void *value;
	size_t value_bytes;
};

enum { XATTR_UNUSED = -1 };

struct xattr_set {
	struct xattr_set *chain; /* hash bucket */
	int64_t index;           /* in the image's table; XATTR_UNUSED until the writer meets the first file that has the set */
	uint32_t count;
	uint32_t bytes;          /* length of data */
	uint8_t data[];          /* per attribute: type, name length, name without prefix, value length, value; little-endian */
};

struct xattr_table {
	struct xattr_set **buckets;
	size_t bucket_count, count;
};

/* Whether SquashFS can hold the attribute: its name begins with "user.", "trusted." or "security.", and name and value are within
 * the kernel's limits. POSIX ACLs ("system.posix_acl_…") are not. */
bool xattr_storable(const struct xattr *xattr);

/* Whether it is the host's own word on a file: "security.*" but for capabilities. Many hosts give each file some of these by
 * themselves. */
bool xattr_is_label(const char *name);

/* Finds or adds the set of the given attributes, which must all be storable and have different names; sorts them by name. Memory
 * comes from the arena. Returns NULL when that is exhausted. */
struct xattr_set *xattr_intern(struct xattr_table *table, struct arena *arena, struct xattr *xattrs, size_t count);

/* The next attribute of a set: *at is 0 for the first, and is moved on. The name is copied to name, the value stays the set's.
 * Returns false at the end. */
bool xattr_set_next(const struct xattr_set *set, size_t *at, char name[XATTR_NAME_MAX + 1], struct xattr *ret_xattr);

void xattr_table_free(struct xattr_table *table);

#endif
