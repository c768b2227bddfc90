/* SPDX-License-Identifier: Apache-2.0
 *
 * The headers of a layer's entries, in the layer's order: what the merge needs to know of it. One run of bytes, so that it can be
 * kept in the cache as it stands. An entry takes about 70 bytes, and its names and attributes.
 */
#ifndef SIMG_BUILDER_OCI_INDEX_H
#define SIMG_BUILDER_OCI_INDEX_H

#include "builder/source.h"

#include <stddef.h>
#include <stdint.h>

struct err;

struct index {
	uint8_t *data;
	size_t bytes, room;
	uint64_t entry_count;
};

/* Walks through an index; starts as { .index = … }. */
struct index_cursor {
	const struct index *index;
	size_t at;
	uint64_t entry;            /* the number of the entry that was returned last, 1 is the first */
	struct xattr *xattrs;      /* room, freed by index_cursor_free() */
	size_t xattr_room;
};

/* -ENOMEM when it grows beyond a gigabyte, which takes about eight million entries. */
int index_add(struct index *index, const struct source_entry *entry, struct err *err);

/* Returns 1 and the next entry, which is valid until the next call, or 0 at the end. -EBADMSG for an index that was not made by
 * index_add(): it may come from a file. */
int index_next(struct index_cursor *cursor, struct source_entry *ret_entry, struct err *err);

void index_cursor_free(struct index_cursor *cursor);
void index_free(struct index *index);

#endif
