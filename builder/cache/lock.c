/* SPDX-License-Identifier: Apache-2.0
 *
 * Locks of downloads: see lock.h. The lock is tried again and again, because flock() with a time limit does not exist and the
 * blob may arrive without the lock being free. In a directory for all users, everybody may write to a lock file: what it says is
 * a guess.
 */
#include "builder/cache/lock.h"

#include "builder/cache/cache_internal.h"
#include "lib/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

enum { TRIES_MAX = 16, PAUSE_FIRST_MS = 10, PAUSE_MAX_MS = 1000 };

/* A holder that continues a download reads its beginning again first, and that is no standstill. */
enum { READ_BYTES_PER_SECOND = 50 << 20 };

/* For writing where possible: over NFS that is what LOCK_EX takes. Never with O_CREAT on a file that exists, which Linux refuses
 * for other users' files in a sticky directory (fs.protected_regular). */
static int lock_open(const struct cache *cache, const char *name)
{
	struct stat st;
	int fd = shared_open(cache->locks, name, O_RDWR, &st);
	if (fd == -EACCES)
		fd = shared_open(cache->locks, name, O_RDONLY, &st);
	if (fd == -ENOENT) {
		fd = shared_create(cache->locks, name, 0666);
		if (fd >= 0)
			fchmod(fd, cache->mode & 0666);
	} else if (fd >= 0 && st.st_nlink > 1) { /* a link that somebody planted: it would be written to */
		close(fd);
		fd = -EINVAL;
	}
	return fd;
}

enum shared_lock lock_take(const struct cache *cache, const char *name, int *ret_fd)
{
	*ret_fd = -1;
	for (int i = 0; i < TRIES_MAX; i++) {
		autoclose int fd = lock_open(cache, name);
		if (fd == -EEXIST) /* somebody else just made it */
			continue;
		enum shared_lock lock = fd < 0 ? SHARED_LOCK_NONE : shared_lock(fd, LOCK_EX);
		if (lock == SHARED_LOCK_NONE && errno != ESTALE)
			return lock;
		if (lock != SHARED_LOCK_NONE && shared_is(cache->locks, name, fd)) {
			*ret_fd = steal_fd(&fd);
			return lock;
		}
	}
	return SHARED_LOCK_NONE;
}

void lock_note(int fd, const char *partial)
{
	char text[NAME_MAX + 2];
	int length = snprintf(text, sizeof(text), "%s\n", partial);
	if (pwrite(fd, text, (size_t)length, 0) < 0)
		return; /* a full disk: then nobody sees the progress */
}

/* The name of a partial download of this blob, as the lock file has it, or else its usual one. */
static void lock_partial(int fd, const char *name, char partial[static NAME_MAX + 1])
{
	size_t length = strlen(name);
	ssize_t n = pread(fd, partial, NAME_MAX, 0);
	partial[n > 0 ? n : 0] = '\0';
	partial[strcspn(partial, "\n")] = '\0';
	if (strncmp(partial, name, length) != 0 || (partial[length] != '\0' && partial[length] != '.') ||
	    strchr(partial, '/') != NULL)
		strcpy(partial, name);
}

static double seconds_since(const struct timespec *then)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - then->tv_sec) + (double)(now.tv_nsec - then->tv_nsec) / 1e9;
}

void lock_wait_begin(struct lock_wait *wait)
{
	*wait = (struct lock_wait){ .pause_ms = PAUSE_FIRST_MS };
	clock_gettime(CLOCK_MONOTONIC, &wait->begun);
	wait->progressed = wait->begun;
}

static bool has_changed(const struct stat *a, const struct stat *b)
{
	return a->st_ino != b->st_ino || a->st_size != b->st_size || a->st_mtim.tv_sec != b->st_mtim.tv_sec ||
	       a->st_mtim.tv_nsec != b->st_mtim.tv_nsec;
}

bool lock_wait_is_over(const struct cache *cache, struct lock_wait *wait, const char *name, int fd)
{
	char partial[NAME_MAX + 1];
	struct stat st;
	lock_partial(fd, name, partial);
	if (fstatat(cache->partial, partial, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return seconds_since(&wait->progressed) >= cache->stalled_s;
	if (has_changed(&st, &wait->seen)) {
		clock_gettime(CLOCK_MONOTONIC, &wait->progressed);
		wait->seen = st;
	}
	if (st.st_uid != geteuid() && st.st_uid != 0 && seconds_since(&wait->begun) >= cache->stranger_s)
		return true;
	return seconds_since(&wait->progressed) >= cache->stalled_s + (double)st.st_size / READ_BYTES_PER_SECOND;
}

bool lock_wait_sleep(struct lock_wait *wait)
{
	struct timespec pause = { wait->pause_ms / 1000, (long)(wait->pause_ms % 1000) * 1000000 };
	bool whole = wait->pause_ms == PAUSE_MAX_MS;
	nanosleep(&pause, NULL);
	wait->pause_ms = wait->pause_ms * 2 < PAUSE_MAX_MS ? wait->pause_ms * 2 : PAUSE_MAX_MS;
	return whole;
}
