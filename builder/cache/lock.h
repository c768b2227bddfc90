/* SPDX-License-Identifier: Apache-2.0
 *
 * The right to download one blob: flock on a file in the cache's directory locks. The system takes the lock back when its holder
 * dies, also over NFS. The file stays: whoever removes it (simg cache prune) holds the lock meanwhile, and a lock counts only
 * while its file still has its name.
 *
 * The file says which partial download the holder writes to, so that those who wait can see whether it comes along.
 */
#ifndef SIMG_BUILDER_CACHE_LOCK_H
#define SIMG_BUILDER_CACHE_LOCK_H

#include "builder/cache/shared.h"

#include <stdbool.h>
#include <time.h>

struct cache;

/* Tries to take the lock of that name. *ret_fd is the lock (taken), the file of the one who has it (busy), or -1. */
enum shared_lock lock_take(const struct cache *cache, const char *name, int *ret_fd);

/* The holder says which partial download it writes to. */
void lock_note(int fd, const char *partial);

/* Waiting for the holder. */
struct lock_wait {
	struct timespec begun, progressed;
	struct stat seen; /* the holder's partial download */
	unsigned pause_ms;
};

void lock_wait_begin(struct lock_wait *wait);

/* Whether waiting has lost its sense: the holder makes no progress, or is a stranger who takes his time. fd is the busy lock's. */
bool lock_wait_is_over(const struct cache *cache, struct lock_wait *wait, const char *name, int fd);

/* Sleeps, a little longer each time, up to a second. Returns whether it was that long. */
bool lock_wait_sleep(struct lock_wait *wait);

#endif
