/* SPDX-License-Identifier: Apache-2.0
 *
 * Bump allocation: see arena.h.
 */
#include "builder/arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK_BYTES = 256 * 1024, ALIGNMENT = 8 };

struct arena_chunk {
	struct arena_chunk *older;
	size_t bytes;
	alignas(ALIGNMENT) char data[];
};

static int chunk_add(struct arena *arena, size_t bytes)
{
	size_t wanted = bytes > CHUNK_BYTES ? bytes : CHUNK_BYTES;
	struct arena_chunk *chunk = calloc(1, sizeof(*chunk) + wanted);
	if (chunk == NULL)
		return -1;
	chunk->older = arena->chunks;
	chunk->bytes = wanted;
	arena->chunks = chunk;
	arena->free_bytes = wanted;
	return 0;
}

void *arena_alloc(struct arena *arena, size_t bytes)
{
	if (bytes > arena->limit_bytes - arena->used_bytes)
		return NULL;
	size_t rounded = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
	if (rounded > arena->free_bytes && chunk_add(arena, rounded) < 0)
		return NULL;
	void *place = arena->chunks->data + arena->chunks->bytes - arena->free_bytes;
	arena->free_bytes -= rounded;
	arena->used_bytes += bytes;
	return place;
}

char *arena_strdup(struct arena *arena, const char *text)
{
	size_t bytes = strlen(text) + 1;
	char *copy = arena_alloc(arena, bytes);
	return copy == NULL ? NULL : memcpy(copy, text, bytes);
}

void arena_free(struct arena *arena)
{
	while (arena->chunks != NULL) {
		struct arena_chunk *chunk = arena->chunks;
		arena->chunks = chunk->older;
		free(chunk);
	}
	arena->free_bytes = arena->used_bytes = 0;
}
