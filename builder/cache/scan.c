/* SPDX-License-Identifier: Apache-2.0
 *
 * All files of a cache: see scan.h. Builders hold a lock (flock) on each file that they read or write, so prune can tell what is
 * in use, also by other nodes, whose data NFS would take away.
 */
#include "builder/cache/scan.h"

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

enum { UNLOCKED_IN_USE_SECONDS = 3600 }; /* without locks in the file system, what was written within the last hour is in use */

struct scan_place {
	enum scan_kind kind;
	const char *algorithm; /* of blobs */
	int fd;
	uid_t owner;
	bool sticky;
};

static const char *const KIND_NAMES[] = {
	[SCAN_BLOB] = "blob",       [SCAN_DERIVED] = "derived",     [SCAN_IMAGE] = "image",
	[SCAN_PARTIAL] = "partial", [SCAN_TEMPORARY] = "temporary",
};
static const enum scan_kind ROOM_KINDS[CACHE_ROOM_COUNT] = { [CACHE_DERIVED] = SCAN_DERIVED, [CACHE_IMAGES] = SCAN_IMAGE };

const char *scan_kind_name(enum scan_kind kind)
{
	return KIND_NAMES[kind];
}

const char *scan_text(const struct scan_entry *entry)
{
	return digest_is_set(&entry->digest) ? entry->digest.text : entry->name;
}

/* "sha256" and "HEX", or "sha256-HEX" with anything behind a dot. */
static bool digest_of_name(const char *algorithm, const char *name, struct digest *ret_digest)
{
	char text[NAME_MAX + 16];
	struct err ignored = ERR_INIT;
	if (algorithm != NULL) {
		snprintf(text, sizeof(text), "%s:%s", algorithm, name);
	} else {
		snprintf(text, sizeof(text), "%.*s", (int)strcspn(name, "."), name);
		char *dash = strchr(text, '-');
		if (dash != NULL)
			*dash = ':';
	}
	return digest_parse(text, strlen(text), ret_digest, &ignored) == 0;
}

/* Whether a file of that name belongs to a cache. Fills kind and digest. */
static bool entry_identify(const struct scan_place *place, const char *name, struct scan_entry *entry)
{
	entry->kind = place->kind;
	if (strncmp(name, SHARED_TEMPORARY, sizeof(SHARED_TEMPORARY) - 1) == 0) {
		entry->kind = SCAN_TEMPORARY;
		return true;
	}
	if (place->kind == SCAN_BLOB || place->kind == SCAN_PARTIAL)
		return digest_of_name(place->algorithm, name, &entry->digest);
	return cache_key_is_sound(name);
}

static int entry_add(struct scan *scan, size_t place, const char *name, struct err *err)
{
	struct scan_entry entry = { .place = place };
	struct stat st;
	if (!entry_identify(&scan->places[place], name, &entry) ||
	    fstatat(scan->places[place].fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
		return 0;
	struct scan_entry *entries = reallocarray(scan->entries, scan->count + 1, sizeof(entry));
	if (entries == NULL || (scan->entries = entries, entry.name = strdup(name)) == NULL)
		return err_sys(err, ENOMEM, "cannot list the cache");
	entry.bytes = (uint64_t)st.st_size;
	entry.used = st.st_atim.tv_sec > st.st_mtim.tv_sec ? st.st_atim.tv_sec : st.st_mtim.tv_sec;
	entry.owner = st.st_uid;
	scan->entries[scan->count++] = entry;
	if (__builtin_add_overflow(scan->bytes, entry.bytes, &scan->bytes)) /* planted files full of holes */
		scan->bytes = UINT64_MAX;
	return 0;
}

/* A descriptor of its own to read the directory with. */
static DIR *directory_open(int directory_fd)
{
	int fd = openat(directory_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *directory = fd < 0 ? NULL : fdopendir(fd);
	if (directory == NULL && fd >= 0)
		close(fd);
	return directory;
}

/* Takes fd, which is negative if there is no such directory or it may not be read. */
static int place_add(struct scan *scan, enum scan_kind kind, const char *algorithm, int fd, struct err *err)
{
	struct stat st;
	if (fd < 0)
		return 0;
	struct scan_place *places = reallocarray(scan->places, scan->place_count + 1, sizeof(*places));
	if (places == NULL || fstat(fd, &st) < 0) {
		close(fd);
		return err_sys(err, ENOMEM, "cannot list the cache");
	}
	scan->places = places;
	places[scan->place_count++] = (struct scan_place){
		.kind = kind, .algorithm = algorithm, .fd = fd, .owner = st.st_uid, .sticky = (st.st_mode & S_ISVTX) != 0
	};
	autoclosedir DIR *directory = directory_open(fd);
	int r = 0;
	for (struct dirent *entry; r == 0 && directory != NULL && (entry = readdir(directory)) != NULL;)
		r = entry_add(scan, scan->place_count - 1, entry->d_name, err);
	return r;
}

static int rooms_add(struct scan *scan, int parent_fd, struct err *err)
{
	int r = 0;
	for (int i = 0; r == 0 && i < CACHE_ROOM_COUNT; i++)
		r = place_add(scan, ROOM_KINDS[i], NULL, cache_subdirectory(parent_fd, CACHE_ROOM_NAMES[i], false, 0), err);
	return r;
}

/* The rooms of all users in a shared directory. */
static int user_rooms_add(struct scan *scan, int parent_fd, struct err *err)
{
	autoclosedir DIR *directory = directory_open(parent_fd);
	int r = 0;
	for (struct dirent *entry; r == 0 && directory != NULL && (entry = readdir(directory)) != NULL;) {
		if (strncmp(entry->d_name, "user-", 5) != 0)
			continue;
		autoclose int fd = cache_subdirectory(parent_fd, entry->d_name, false, 0);
		if (fd >= 0)
			r = rooms_add(scan, fd, err);
	}
	return r;
}

static int entry_compare(const void *left, const void *right)
{
	const struct scan_entry *a = left, *b = right;
	if (a->used != b->used)
		return a->used < b->used ? -1 : 1;
	return strcmp(a->name, b->name);
}

int scan_open(struct cache *cache, struct scan *ret_scan, struct err *err)
{
	*ret_scan = (struct scan){ 0 };
	int r = 0;
	for (int i = 0; r == 0 && i < CACHE_ALGORITHM_COUNT; i++)
		r = place_add(ret_scan, SCAN_BLOB, CACHE_ALGORITHM_NAMES[i], fcntl(cache->blobs[i], F_DUPFD_CLOEXEC, 3), err);
	if (r == 0)
		r = place_add(ret_scan, SCAN_PARTIAL, NULL, fcntl(cache->partial, F_DUPFD_CLOEXEC, 3), err);
	if (r == 0)
		r = rooms_add(ret_scan, cache->fd, err);
	if (r == 0)
		r = user_rooms_add(ret_scan, cache->fd, err);
	if (r == 0 && ret_scan->count > 0)
		qsort(ret_scan->entries, ret_scan->count, sizeof(ret_scan->entries[0]), entry_compare);
	return r;
}

void scan_close(struct scan *scan)
{
	for (size_t i = 0; i < scan->place_count; i++)
		close(scan->places[i].fd);
	for (size_t i = 0; i < scan->count; i++)
		free(scan->entries[i].name);
	free(scan->places);
	free(scan->entries);
	*scan = (struct scan){ 0 };
}

time_t scan_idle_seconds(time_t now, time_t date)
{
	time_t seconds;
	return !__builtin_sub_overflow(now, date, &seconds) ? seconds : INT64_MAX;
}

int scan_entry_open(const struct scan *scan, const struct scan_entry *entry)
{
	struct stat st;
	int directory_fd = scan->places[entry->place].fd;
	int fd = shared_open(directory_fd, entry->name, O_RDONLY | O_NOATIME, &st);
	return fd == -EPERM ? shared_open(directory_fd, entry->name, O_RDONLY, &st) : fd; /* another user's */
}

static bool may_remove(const struct scan_place *place, const struct scan_entry *entry)
{
	uid_t uid = geteuid();
	return uid == 0 || entry->owner == uid || place->owner == uid || !place->sticky;
}

/* Opens the file and takes its lock. -EBUSY: it is in use. */
static int entry_seize(const struct scan_place *place, const struct scan_entry *entry)
{
	struct stat st;
	autoclose int fd = shared_open(place->fd, entry->name, O_RDWR, &st);
	if (fd == -EACCES)
		fd = shared_open(place->fd, entry->name, O_RDONLY, &st);
	if (fd < 0)
		return fd;
	enum shared_lock lock = shared_lock(fd, LOCK_EX);
	bool written = entry->kind == SCAN_PARTIAL || entry->kind == SCAN_TEMPORARY;
	if (lock == SHARED_LOCK_BUSY ||
	    (lock == SHARED_LOCK_NONE && written && scan_idle_seconds(time(NULL), st.st_mtim.tv_sec) < UNLOCKED_IN_USE_SECONDS))
		return -EBUSY;
	return steal_fd(&fd);
}

static enum scan_removal entry_remove(const struct scan_place *place, const struct scan_entry *entry, bool dry_run)
{
	autoclose int fd = entry_seize(place, entry);
	if (fd == -EBUSY)
		return SCAN_IN_USE;
	if (fd == -ENOENT || (fd >= 0 && !shared_is(place->fd, entry->name, fd)))
		return SCAN_GONE;
	if (dry_run || unlinkat(place->fd, entry->name, 0) == 0)
		return SCAN_REMOVED;
	return errno == EACCES || errno == EPERM ? SCAN_FOREIGN : SCAN_FAILED;
}

/* Under the lock of its download, which a builder takes before it opens the file. */
static enum scan_removal partial_remove(struct cache *cache, const struct scan_place *place, const struct scan_entry *entry,
					bool dry_run)
{
	char name[NAME_MAX + 1];
	autoclose int lock_fd = -1;
	cache_blob_name(&entry->digest, name);
	enum shared_lock lock = lock_take(cache, name, &lock_fd);
	if (lock == SHARED_LOCK_BUSY)
		return SCAN_IN_USE;
	enum scan_removal removal = entry_remove(place, entry, dry_run);
	if (lock == SHARED_LOCK_TAKEN)
		unlinkat(cache->locks, name, 0);
	return removal;
}

enum scan_removal scan_remove(struct cache *cache, const struct scan *scan, const struct scan_entry *entry, bool dry_run)
{
	const struct scan_place *place = &scan->places[entry->place];
	if (!may_remove(place, entry))
		return SCAN_FOREIGN;
	return entry->kind == SCAN_PARTIAL ? partial_remove(cache, place, entry, dry_run) : entry_remove(place, entry, dry_run);
}

static void lock_remove(struct cache *cache, const char *name, time_t idle_seconds)
{
	struct digest ignored;
	struct stat st;
	if (!digest_of_name(NULL, name, &ignored) || fstatat(cache->locks, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
	    scan_idle_seconds(time(NULL), st.st_mtim.tv_sec) < idle_seconds)
		return;
	autoclose int fd = -1;
	if (lock_take(cache, name, &fd) == SHARED_LOCK_TAKEN)
		unlinkat(cache->locks, name, 0);
}

void scan_remove_locks(struct cache *cache, time_t idle_seconds)
{
	autoclosedir DIR *directory = directory_open(cache->locks);
	for (struct dirent *entry; directory != NULL && (entry = readdir(directory)) != NULL;)
		lock_remove(cache, entry->d_name, idle_seconds);
}
