/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of the cache share; and for tests, which cannot wait for a minute.
 */
#ifndef SIMG_BUILDER_CACHE_CACHE_INTERNAL_H
#define SIMG_BUILDER_CACHE_CACHE_INTERNAL_H

#include "builder/cache/cache.h"
#include "builder/cache/shared.h"
#include "lib/strlist.h"

#include <limits.h>
#include <pthread.h>
#include <sys/types.h>

enum { CACHE_ROOM_COUNT = 2, CACHE_ALGORITHM_COUNT = 2 };

/* By enum cache_room, and in the order of cache->blobs. */
extern const char *const CACHE_ROOM_NAMES[CACHE_ROOM_COUNT], *const CACHE_ALGORITHM_NAMES[CACHE_ALGORITHM_COUNT];

/* Subdirectories are opened once, so that nobody can put another one in their place. The strangers among the users of a
 * directory are those who are neither the caller nor root. */
struct cache {
	char *directory;
	int fd;
	mode_t mode;                         /* of the directory: what is made in it gets the same */
	bool shared;                         /* others may write to the directory: rooms are below user-UID */
	int blobs[CACHE_ALGORITHM_COUNT];
	int partial, locks;
	int rooms[CACHE_ROOM_COUNT];         /* the caller's, or -1: then nothing is found there and nothing stored */
	int root_rooms[CACHE_ROOM_COUNT];    /* in a shared directory, what root made for everybody, or -1 */
	unsigned stalled_s, stranger_s;      /* not waited for: a download without progress for so long, or a stranger's in all */
	pthread_mutex_t mutex;               /* for distrusted */
	struct strlist distrusted;           /* digests of blobs that are damaged and could not be removed */
};

/* The directory of the digest's algorithm. */
int cache_blobs(const struct cache *cache, const struct digest *digest);

/* "sha256-HEX": of the lock, and of partial downloads, which may have more behind it, beginning with a dot. */
void cache_blob_name(const struct digest *digest, char name[static NAME_MAX + 1]);

/* Opens an existing subdirectory, or makes it if make is true. Returns its descriptor, or a negative errno. */
int cache_subdirectory(int parent_fd, const char *name, bool make, mode_t mode);

/* For what was to be written to the cache: names the directory, with a hint how to make room. */
int cache_err_write(const struct cache *cache, int errnum, struct err *err);

/* Whether a key is one: [0-9a-z.-], at most 200, not beginning with a dot. */
bool cache_key_is_sound(const char *key);

#endif
