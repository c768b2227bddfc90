/* SPDX-License-Identifier: Apache-2.0
 *
 * The cache's directory: where it is, and what is made in it.
 *
 * In a directory for all users, subdirectories get the mode of the directory itself (1777). Whoever comes first makes them and
 * owns them, and so could rename what lies in them. Blobs do not mind, but a derived file under the wrong key would be believed:
 * hence each user has a directory user-UID for these, which nobody else can write to.
 */
#include "builder/cache/cache_internal.h"

#include "lib/cleanup.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/path.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { STALLED_SECONDS = 60, STRANGER_SECONDS = 600, USER_NAME_MAX = 32 };

const char *const CACHE_ROOM_NAMES[CACHE_ROOM_COUNT] = { [CACHE_DERIVED] = "derived", [CACHE_IMAGES] = "images" };
const char *const CACHE_ALGORITHM_NAMES[CACHE_ALGORITHM_COUNT] = { "sha256", "sha512" };

static const char TAG[] =
	"Signature: 8a477f597d28d172789f06886806bc55\n"
	"# This directory is a cache of simg, and needs no backup. See simg-cache(1) and https://bford.info/cachedir/\n";

static int err_place(struct err *err)
{
	return err_hint(err, "SIMG_CACHE_DIR=DIRECTORY names another place for the cache");
}

static const char *environment(const char *name)
{
	const char *value = getenv(name);
	return value != NULL && value[0] != '\0' ? value : NULL;
}

/* What simg.conf says: *ret_path is NULL if that is nothing. */
static int place_of_site(char **ret_path, struct err *err)
{
	autoconf struct conf conf = { 0 };
	int r = conf_load(&conf, 0, NULL, err);
	if (r < 0)
		return r;
	*ret_path = steal_ptr(&conf.cache_dir);
	if (*ret_path == NULL || access(*ret_path, F_OK) == 0 || errno != ENOENT)
		return 0;
	/* A user who made it would make it for himself. */
	r = err_set(err, ENOENT, "the cache directory '%s' of simg.conf does not exist", *ret_path);
	err_hint(err, "root makes it for all users: mkdir -m 1777 '%s'; SIMG_CACHE_DIR=DIRECTORY names another one", *ret_path);
	return r;
}

static int place_of_user(char **ret_path, struct err *err)
{
	const char *base = environment("XDG_CACHE_HOME"), *home = environment("HOME"), *below = "simg";
	if (base == NULL || base[0] != '/') { /* the specification has relative ones ignored */
		base = home;
		below = ".cache/simg";
	}
	if (base == NULL || base[0] != '/') {
		err_set(err, ENOENT, "there is no place for the cache: HOME is %s",
			home == NULL ? "not set" : "not an absolute path");
		return err_place(err);
	}
	autofree char *path = NULL;
	if (asprintf(&path, "%s/%s", base, below) < 0)
		return err_sys(err, ENOMEM, "cannot open the cache");
	return path_normalise(path, "the cache directory", ret_path, err);
}

static int place_find(const char *directory, char **ret_path, struct err *err)
{
	const char *value = directory != NULL ? directory : environment("SIMG_CACHE_DIR");
	if (value != NULL)
		return path_normalise(value, directory != NULL ? "the cache directory" : "SIMG_CACHE_DIR", ret_path, err);
	int r = place_of_site(ret_path, err);
	return r < 0 || *ret_path != NULL ? r : place_of_user(ret_path, err);
}

/* The directory and what is missing above it, for the user alone. From below: over NFS, mkdir can fail with EACCES where
 * something exists. */
static int place_make(char *path)
{
	if (mkdir(path, 0700) == 0 || errno == EEXIST)
		return 0;
	char *slash = strrchr(path, '/');
	if (errno != ENOENT || slash == path)
		return -errno;
	*slash = '\0';
	int r = place_make(path);
	*slash = '/';
	return r < 0 || mkdir(path, 0700) == 0 || errno == EEXIST ? r : -errno;
}

static int place_open(char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT) {
		int r = place_make(path);
		if (r < 0)
			return r;
		fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	return fd < 0 ? -errno : fd;
}

int cache_subdirectory(int parent_fd, const char *name, bool make, mode_t mode)
{
	if (make && mkdirat(parent_fd, name, mode) < 0 && errno != EEXIST)
		return -errno;
	int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* The umask took some of the mode, or a builder was killed before it got here. Where it cannot be changed, others may be kept
 * out. */
static void mode_repair(int fd, mode_t mode)
{
	struct stat st;
	if (fstat(fd, &st) == 0 && st.st_uid == geteuid() && (st.st_mode & 07777) != mode)
		(void)fchmod(fd, mode);
}

static int subdirectory(const struct cache *cache, int parent_fd, const char *name, int *ret_fd, struct err *err)
{
	int fd = cache_subdirectory(parent_fd, name, true, cache->mode);
	if (fd == -ENOSPC || fd == -EDQUOT)
		return cache_err_write(cache, -fd, err);
	if (fd < 0) {
		err_sys(err, -fd, "cannot make the directory '%s' in the cache '%s'", name, cache->directory);
		return err_place(err);
	}
	mode_repair(fd, cache->mode);
	*ret_fd = fd;
	return 0;
}

static int trusted_subdirectory(int parent_fd, const char *name, bool make)
{
	int fd = cache_subdirectory(parent_fd, name, make, 0755);
	struct stat st;
	if (fd >= 0 && fstat(fd, &st) == 0 && shared_is_trusted(&st))
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

static void rooms_open(int parent_fd, bool make, int rooms[CACHE_ROOM_COUNT])
{
	for (int i = 0; parent_fd >= 0 && i < CACHE_ROOM_COUNT; i++)
		rooms[i] = trusted_subdirectory(parent_fd, CACHE_ROOM_NAMES[i], make);
}

static void user_rooms_open(struct cache *cache)
{
	char name[USER_NAME_MAX];
	snprintf(name, sizeof(name), "user-%u", (unsigned)geteuid());
	autoclose int own = trusted_subdirectory(cache->fd, name, true);
	rooms_open(own, true, cache->rooms);
	autoclose int root = geteuid() != 0 ? trusted_subdirectory(cache->fd, "user-0", false) : -1;
	rooms_open(root, false, cache->root_rooms);
}

static int cache_open_below(struct cache *cache, struct err *err)
{
	struct stat st;
	if (fstat(cache->fd, &st) < 0)
		return err_sys(err, errno, "cannot stat the cache '%s'", cache->directory);
	cache->mode = st.st_mode & 07777;
	cache->shared = st.st_uid != geteuid() || (st.st_mode & (S_IWGRP | S_IWOTH)) != 0;
	autoclose int blobs = -1;
	int r = subdirectory(cache, cache->fd, "blobs", &blobs, err);
	for (int i = 0; r == 0 && i < CACHE_ALGORITHM_COUNT; i++)
		r = subdirectory(cache, blobs, CACHE_ALGORITHM_NAMES[i], &cache->blobs[i], err);
	if (r == 0)
		r = subdirectory(cache, cache->fd, "partial", &cache->partial, err);
	if (r == 0)
		r = subdirectory(cache, cache->fd, "locks", &cache->locks, err);
	if (r < 0)
		return r;
	if (cache->shared)
		user_rooms_open(cache);
	else
		rooms_open(cache->fd, true, cache->rooms);
	if (faccessat(cache->fd, "CACHEDIR.TAG", F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		shared_write(cache->fd, "CACHEDIR.TAG", TAG, sizeof(TAG) - 1, -1);
	return 0;
}

int cache_open(const char *directory, struct cache **ret_cache, struct err *err)
{
	struct cache *cache = malloc(sizeof(*cache));
	if (cache == NULL)
		return err_sys(err, ENOMEM, "cannot open the cache");
	*cache = (struct cache){ .fd = -1, .blobs = { -1, -1 }, .partial = -1, .locks = -1, .rooms = { -1, -1 },
				 .root_rooms = { -1, -1 }, .stalled_s = STALLED_SECONDS, .stranger_s = STRANGER_SECONDS,
				 .mutex = PTHREAD_MUTEX_INITIALIZER };
	int r = place_find(directory, &cache->directory, err);
	if (r == 0 && (cache->fd = place_open(cache->directory)) < 0) {
		r = err_sys(err, -cache->fd, "cannot open the cache directory '%s'", cache->directory);
		err_place(err);
	}
	if (r == 0)
		r = cache_open_below(cache, err);
	if (r < 0)
		cache_close(cache);
	else
		*ret_cache = cache;
	return r;
}

void cache_close(struct cache *cache)
{
	if (cache == NULL)
		return;
	int *const fds[] = { &cache->fd, &cache->blobs[0], &cache->blobs[1], &cache->partial, &cache->locks,
			     &cache->rooms[0], &cache->rooms[1], &cache->root_rooms[0], &cache->root_rooms[1] };
	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		cleanup_close(fds[i]);
	pthread_mutex_destroy(&cache->mutex);
	strlist_free(&cache->distrusted);
	free(cache->directory);
	free(cache);
}

const char *cache_directory(const struct cache *cache)
{
	return cache->directory;
}

int cache_err_write(const struct cache *cache, int errnum, struct err *err)
{
	err_sys(err, errnum, "cannot write to the cache '%s'", cache->directory);
	if (errnum == ENOSPC || errnum == EDQUOT)
		return err_hint(err, "'simg cache prune' makes room in it; SIMG_CACHE_DIR=DIRECTORY names another one");
	return err_place(err);
}
