/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory for the many small things of a tree (names, nodes, inodes): allocated one after the other, freed all at once. It has a
 * limit, so that an archive made to exhaust memory ends with an error.
 */
#ifndef SIMG_BUILDER_ARENA_H
#define SIMG_BUILDER_ARENA_H

#include <stddef.h>

struct arena_chunk;

struct arena {
	struct arena_chunk *chunks; /* newest first */
	size_t free_bytes;          /* left in the newest chunk */
	size_t used_bytes;          /* given out in all */
	size_t limit_bytes;
};

/* Zeroed memory aligned for any of our structs, or NULL when memory or the limit is exhausted. */
void *arena_alloc(struct arena *arena, size_t bytes);

/* A copy of text with its terminating zero, or NULL. */
char *arena_strdup(struct arena *arena, const char *text);

void arena_free(struct arena *arena);

#endif
