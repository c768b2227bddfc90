/* SPDX-License-Identifier: Apache-2.0
 *
 * Blobs, downloads, and files by key: see cache.h. Whatever goes wrong in looking something up only means that it is not there.
 */
#include "builder/cache/cache_internal.h"

#include "builder/cache/lock.h"
#include "lib/cleanup.h"
#include "lib/err.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

enum { KEY_BYTES_MAX = 200 };

struct cache_fetch {
	struct cache *cache;
	struct digest digest;
	uint64_t bytes;             /* 0: unknown */
	int fd, lock_fd;            /* lock_fd -1: alone, and the file has a name that no other process uses */
	char partial[NAME_MAX + 1]; /* the file's name */
};

static int algorithm_index(const struct digest *digest)
{
	return strcmp(digest_algorithm(digest), CACHE_ALGORITHM_NAMES[0]) == 0 ? 0 : 1;
}

int cache_blobs(const struct cache *cache, const struct digest *digest)
{
	return cache->blobs[algorithm_index(digest)];
}

void cache_blob_name(const struct digest *digest, char name[static NAME_MAX + 1])
{
	snprintf(name, NAME_MAX + 1, "%s-%s", digest_algorithm(digest), digest_hex(digest));
}

bool cache_key_is_sound(const char *key)
{
	size_t length = strlen(key);
	return length > 0 && length <= KEY_BYTES_MAX && key[0] != '.' &&
	       strspn(key, "0123456789abcdefghijklmnopqrstuvwxyz.-") == length;
}

/* Keeps prune away as long as the descriptor or a copy of it is open, and dates the use. Neither is possible for every file. */
static void mark_used(int fd)
{
	shared_lock(fd, LOCK_SH);
	(void)futimens(fd, NULL);
}

/* --- blobs --- */

static bool is_distrusted(struct cache *cache, const struct digest *digest)
{
	bool found = false;
	pthread_mutex_lock(&cache->mutex);
	for (size_t i = 0; i < cache->distrusted.count && !found; i++)
		found = strcmp(cache->distrusted.items[i], digest->text) == 0;
	pthread_mutex_unlock(&cache->mutex);
	return found;
}

static void distrust(struct cache *cache, const struct digest *digest)
{
	pthread_mutex_lock(&cache->mutex);
	strlist_add(&cache->distrusted, digest->text);
	pthread_mutex_unlock(&cache->mutex);
}

int cache_blob_find(struct cache *cache, const struct digest *digest, uint64_t bytes, int *ret_fd, struct err *err)
{
	struct stat st;
	int directory_fd = cache_blobs(cache, digest);
	autoclose int fd = shared_open(directory_fd, digest_hex(digest), O_RDONLY, &st);
	if (fd == -EMFILE || fd == -ENFILE || fd == -ENOMEM)
		return err_sys(err, -fd, "cannot open the blob '%s' in the cache '%s'", digest->text, cache->directory);
	if (fd < 0 || (bytes != 0 && (uint64_t)st.st_size != bytes) || is_distrusted(cache, digest))
		return 0;
	mark_used(fd);
	if (!shared_is(directory_fd, digest_hex(digest), fd)) /* just pruned: over NFS its data could go any moment */
		return 0;
	*ret_fd = steal_fd(&fd);
	return 1;
}

void cache_blob_store(struct cache *cache, const struct digest *digest, const void *data, size_t bytes)
{
	struct err ignored = ERR_INIT;
	autoclose int fd = -1;
	if (cache_blob_find(cache, digest, bytes, &fd, &ignored) == 0)
		shared_write(cache_blobs(cache, digest), digest_hex(digest), data, bytes, -1);
}

static void remove_derived(int room_fd, const char *hex)
{
	autoclose int fd = openat(room_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	autoclosedir DIR *directory = fd < 0 ? NULL : fdopendir(fd);
	if (directory == NULL)
		return;
	steal_fd(&fd);
	for (struct dirent *entry; (entry = readdir(directory)) != NULL;)
		if (strstr(entry->d_name, hex) != NULL)
			unlinkat(room_fd, entry->d_name, 0);
}

void cache_blob_discard(struct cache *cache, const struct digest *digest)
{
	if (unlinkat(cache_blobs(cache, digest), digest_hex(digest), 0) < 0 && errno != ENOENT)
		distrust(cache, digest);
	for (int i = 0; i < CACHE_ROOM_COUNT; i++)
		if (cache->rooms[i] >= 0)
			remove_derived(cache->rooms[i], digest_hex(digest));
}

/* --- downloads --- */

/* What somebody began and the caller may continue: his own file, by no other name than this, and not longer than the blob. A
 * stranger could change his under our hands. Whatever else has the name goes, if it is not a stranger's file. */
static int partial_continue(int directory_fd, const char *name, uint64_t bytes)
{
	struct stat st;
	autoclose int fd = shared_open(directory_fd, name, O_RDWR, &st);
	if (fd == -ENOENT)
		return -ENOENT;
	bool own = fd >= 0 && st.st_uid == geteuid();
	if (own && st.st_nlink == 1 && shared_is_trusted(&st)) {
		if (bytes != 0 && (uint64_t)st.st_size > bytes && ftruncate(fd, 0) < 0)
			return -errno;
		return steal_fd(&fd);
	}
	return (own || fd == -EINVAL || fd == -ELOOP) && unlinkat(directory_fd, name, 0) == 0 ? -ENOENT : -EACCES;
}

static int partial_open(int directory_fd, const char *name, uint64_t bytes)
{
	int fd = partial_continue(directory_fd, name, bytes);
	return fd == -ENOENT ? shared_create(directory_fd, name, 0644) : fd;
}

static void partial_name_unique(struct cache_fetch *fetch)
{
	char random[SHARED_RANDOM_CHARS + 1];
	cache_blob_name(&fetch->digest, fetch->partial);
	shared_random(random);
	snprintf(strchr(fetch->partial, '\0'), SHARED_RANDOM_CHARS + 2, ".%s", random);
}

/* With the lock: the blob's usual partial file, or where a stranger's is in the way, the user's. */
static int fetch_open_locked(struct cache_fetch *fetch)
{
	int directory_fd = fetch->cache->partial;
	cache_blob_name(&fetch->digest, fetch->partial);
	int fd = partial_open(directory_fd, fetch->partial, fetch->bytes);
	if (fd == -EACCES || fd == -EEXIST) {
		snprintf(strchr(fetch->partial, '\0'), 16, ".%u", (unsigned)geteuid());
		fd = partial_open(directory_fd, fetch->partial, fetch->bytes);
	}
	if (fd == -EACCES || fd == -EEXIST) {
		partial_name_unique(fetch);
		fd = shared_create(directory_fd, fetch->partial, 0644);
	}
	if (fd >= 0)
		lock_note(fetch->lock_fd, fetch->partial);
	return fd;
}

/* Whether the usual partial file has been left alone for as long as a downloader may stand still. */
static bool partial_is_idle(const struct cache *cache, const char *name)
{
	struct stat st;
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	return fstatat(cache->partial, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() &&
	       now.tv_sec - st.st_mtim.tv_sec >= cache->stalled_s;
}

/* Alone: a file of this process. Without locks in the file system it may be what another one has left, which becomes
 * this process's by a rename: only one can succeed in that. */
static int fetch_open_alone(struct cache_fetch *fetch, bool may_take_over)
{
	char usual[NAME_MAX + 1];
	int directory_fd = fetch->cache->partial;
	cache_blob_name(&fetch->digest, usual);
	partial_name_unique(fetch);
	if (may_take_over && partial_is_idle(fetch->cache, usual) &&
	    renameat(directory_fd, usual, directory_fd, fetch->partial) == 0)
		return partial_open(directory_fd, fetch->partial, fetch->bytes);
	return shared_create(directory_fd, fetch->partial, 0644);
}

/* Takes lock_fd, also when it fails. */
static int fetch_start(struct cache *cache, const struct digest *digest, uint64_t bytes, enum shared_lock lock, int lock_fd,
		       struct cache_fetch **ret_fetch, struct err *err)
{
	struct cache_fetch *fetch = malloc(sizeof(*fetch));
	if (fetch == NULL) {
		cleanup_close(&lock_fd);
		return err_sys(err, ENOMEM, "cannot download the blob '%s'", digest->text);
	}
	*fetch = (struct cache_fetch){ .cache = cache, .digest = *digest, .bytes = bytes, .lock_fd = lock_fd };
	fetch->fd = lock == SHARED_LOCK_TAKEN ? fetch_open_locked(fetch) : fetch_open_alone(fetch, lock == SHARED_LOCK_NONE);
	if (fetch->fd < 0) {
		int r = cache_err_write(cache, -fetch->fd, err);
		cleanup_close(&fetch->lock_fd);
		free(fetch);
		return r;
	}
	shared_lock(fetch->fd, LOCK_EX); /* tells prune that it is in use */
	*ret_fetch = fetch;
	return 0;
}

int cache_blob_begin(struct cache *cache, const struct digest *digest, uint64_t bytes, bool (*waiting)(void *context),
		     void *context, int *ret_fd, struct cache_fetch **ret_fetch, struct err *err)
{
	char name[NAME_MAX + 1];
	struct lock_wait wait;
	cache_blob_name(digest, name);
	lock_wait_begin(&wait);
	int r = cache_blob_find(cache, digest, bytes, ret_fd, err); /* spares the lock */
	while (r == 0) {
		autoclose int lock_fd = -1;
		enum shared_lock lock = lock_take(cache, name, &lock_fd);
		r = cache_blob_find(cache, digest, bytes, ret_fd, err); /* it may have come until the lock was free */
		if (r != 0)
			break;
		if (lock == SHARED_LOCK_BUSY && lock_wait_is_over(cache, &wait, name, lock_fd))
			return fetch_start(cache, digest, bytes, lock, -1, ret_fetch, err);
		if (lock != SHARED_LOCK_BUSY)
			return fetch_start(cache, digest, bytes, lock, steal_fd(&lock_fd), ret_fetch, err);
		if (lock_wait_sleep(&wait) && waiting != NULL && !waiting(context))
			return err_set(err, ECANCELED, "cancelled while another build downloads the blob '%s'", digest->text);
	}
	return r;
}

int cache_fetch_fd(const struct cache_fetch *fetch)
{
	return fetch->fd;
}

int cache_fetch_err(const struct cache_fetch *fetch, int errnum, struct err *err)
{
	return cache_err_write(fetch->cache, errnum, err);
}

static void fetch_free(struct cache_fetch *fetch)
{
	close(fetch->fd);
	cleanup_close(&fetch->lock_fd);
	free(fetch);
}

/* The last step of a download. What another process has finished meanwhile stays: it may be open on another node, and NFS would
 * take its data away. A stranger's file of that name that is no such blob cannot be replaced in a sticky directory; then this one
 * lives on without a name as long as it is open. */
static void fetch_publish(struct cache_fetch *fetch, uint64_t bytes)
{
	struct cache *cache = fetch->cache;
	struct err ignored = ERR_INIT;
	autoclose int found = -1;
	if (cache_blob_find(cache, &fetch->digest, bytes, &found, &ignored) == 0 &&
	    shared_is(cache->partial, fetch->partial, fetch->fd) &&
	    renameat(cache->partial, fetch->partial, cache_blobs(cache, &fetch->digest), digest_hex(&fetch->digest)) == 0)
		mark_used(fetch->fd);
	else
		shared_remove(cache->partial, fetch->partial, fetch->fd);
}

int cache_fetch_commit(struct cache_fetch *fetch, struct err *err)
{
	struct stat st;
	int r = 0;
	if (fsync(fetch->fd) < 0 || fstat(fetch->fd, &st) < 0)
		r = cache_err_write(fetch->cache, errno, err);
	else if (fetch->bytes != 0 && (uint64_t)st.st_size != fetch->bytes)
		r = err_set(err, EBADMSG, "the download of '%s' has %lld bytes in the cache '%s', not %llu", fetch->digest.text,
			    (long long)st.st_size, fetch->cache->directory, (unsigned long long)fetch->bytes);
	if (r == 0)
		fetch_publish(fetch, (uint64_t)st.st_size);
	else
		shared_remove(fetch->cache->partial, fetch->partial, fetch->fd);
	fetch_free(fetch);
	return r;
}

/* The file of a process that was alone gets the usual name, for the next one, unless there is such a file. A link fails then,
 * where a rename would take the file away from the one who writes it. */
static void partial_leave(const struct cache_fetch *fetch)
{
	char usual[NAME_MAX + 1];
	int directory_fd = fetch->cache->partial;
	cache_blob_name(&fetch->digest, usual);
	if (shared_is(directory_fd, fetch->partial, fetch->fd) &&
	    linkat(directory_fd, fetch->partial, directory_fd, usual, 0) < 0 && errno != EEXIST)
		return;
	shared_remove(directory_fd, fetch->partial, fetch->fd);
}

void cache_fetch_abandon(struct cache_fetch *fetch, bool keep)
{
	if (fetch == NULL)
		return;
	if (!keep)
		shared_remove(fetch->cache->partial, fetch->partial, fetch->fd);
	else if (fetch->lock_fd < 0)
		partial_leave(fetch);
	fetch_free(fetch);
}

/* --- files by key --- */

static bool find_in(int room_fd, const char *key, int *ret_fd)
{
	struct stat st;
	autoclose int fd = room_fd < 0 ? -1 : shared_open(room_fd, key, O_RDONLY, &st);
	if (fd < 0 || !shared_is_trusted(&st))
		return false;
	mark_used(fd);
	*ret_fd = steal_fd(&fd);
	return true;
}

int cache_file_find(struct cache *cache, enum cache_room room, const char *key, int *ret_fd)
{
	return cache_key_is_sound(key) &&
	       (find_in(cache->rooms[room], key, ret_fd) || find_in(cache->root_rooms[room], key, ret_fd));
}

static void file_write(struct cache *cache, enum cache_room room, const char *key, const void *data, size_t bytes, int fd)
{
	if (cache->rooms[room] >= 0 && cache_key_is_sound(key))
		shared_write(cache->rooms[room], key, data, bytes, fd);
}

void cache_file_store(struct cache *cache, enum cache_room room, const char *key, const void *data, size_t bytes)
{
	file_write(cache, room, key, data != NULL ? data : "", bytes, -1);
}

void cache_file_copy(struct cache *cache, enum cache_room room, const char *key, int fd)
{
	bool usable = cache->rooms[room] >= 0 && cache_key_is_sound(key);
	if (usable && shared_link(cache->rooms[room], key, fd) < 0)
		file_write(cache, room, key, NULL, 0, fd);
}

/* Each user has locks of his own, since he has files of his own; a lock that a stranger has planted does not count. */
int cache_file_lock(struct cache *cache, const char *key, void (*waiting)(void *context), void *context)
{
	char name[NAME_MAX + 1];
	struct lock_wait wait;
	struct stat st;
	lock_wait_begin(&wait);
	if (snprintf(name, sizeof(name), "user-%u-%s", (unsigned)geteuid(), key) >= (int)sizeof(name))
		return -1;
	for (;;) {
		autoclose int fd = -1;
		enum shared_lock lock = lock_take(cache, name, &fd);
		if (lock == SHARED_LOCK_TAKEN)
			return steal_fd(&fd);
		if (lock == SHARED_LOCK_NONE || fstat(fd, &st) < 0 || st.st_uid != geteuid())
			return -1;
		if (lock_wait_sleep(&wait))
			waiting(context);
	}
}
