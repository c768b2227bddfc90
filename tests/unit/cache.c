/* SPDX-License-Identifier: Apache-2.0
 *
 * builder/cache: one download for many builders, whichever of them are killed or stand still; and no harm from what others put
 * into a directory that they share.
 */
#include "builder/cache/cache_internal.h"
#include "builder/cache/lock.h"
#include "builder/cache/scan.h"
#include "lib/cleanup.h"
#include "lib/err.h"
#include "tests/tap.h"
#include "tests/unit/scratch.h"

#include <dirent.h>
#include <errno.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const uid_t STRANGER = 54321, OTHER = 54322;
static struct err failure;
static char top[PATH_MAX]; /* the cache of most cases: DIR/cache */
static const char HELLO[] = "hello, this is a blob";
enum { HELLO_BYTES = sizeof(HELLO) - 1 };
static struct digest hello;
static char hex_path[3][PATH_MAX]; /* of hello: the blob, the partial download, the lock; relative */
enum { BLOB, PARTIAL, LOCK };

static struct cache *open_at(const char *directory)
{
	struct cache *cache = NULL;
	failure = (struct err)ERR_INIT;
	if (cache_open(directory, &cache, &failure) < 0)
		tap_fail(__FILE__, __LINE__, "cannot open the cache: %s", failure.text);
	return cache;
}

static void remove_tree(const char *path)
{
	nftw(path, scratch_remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

/* A new and empty one. */
static struct cache *open_new(void)
{
	remove_tree("cache");
	return open_at(top);
}

static void hello_init(void)
{
	digest_of(HELLO, HELLO_BYTES, &hello);
	snprintf(top, sizeof(top), "%s/cache", scratch.path);
	snprintf(hex_path[BLOB], PATH_MAX, "cache/blobs/sha256/%s", digest_hex(&hello));
	snprintf(hex_path[PARTIAL], PATH_MAX, "cache/partial/sha256-%s", digest_hex(&hello));
	snprintf(hex_path[LOCK], PATH_MAX, "cache/locks/sha256-%s", digest_hex(&hello));
}

/* 0 with *ret_fetch, 1 if it is there, and *ret_fd is closed then. */
static int begin(struct cache *cache, struct cache_fetch **ret_fetch)
{
	autoclose int fd = -1;
	failure = (struct err)ERR_INIT;
	int r = cache_blob_begin(cache, &hello, HELLO_BYTES, NULL, NULL, &fd, ret_fetch, &failure);
	if (r == 1)
		check_str(scratch_content(fd), HELLO);
	return r;
}

static void put(struct cache_fetch *fetch, const char *text)
{
	check_int(pwrite(cache_fetch_fd(fetch), text, strlen(text), 0), strlen(text));
}

static int find(struct cache *cache, uint64_t bytes)
{
	autoclose int fd = -1;
	return cache_blob_find(cache, &hello, bytes, &fd, &failure);
}

static bool exists(const char *path)
{
	return faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static bool same_text(const char *path, const char *text)
{
	autoclose int fd = open(path, O_RDONLY);
	return fd >= 0 && strcmp(scratch_content(fd), text) == 0;
}

static int files_in(const char *path)
{
	autoclosedir DIR *directory = opendir(path);
	int count = 0;
	for (struct dirent *entry; directory != NULL && (entry = readdir(directory)) != NULL;)
		count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
	return count;
}

static void age(const char *path, time_t seconds)
{
	struct timespec times[2] = { { time(NULL) - seconds, 0 }, { time(NULL) - seconds, 0 } };
	check_int(utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW), 0);
}

static void pause_ms(long ms)
{
	nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000 }, NULL);
}

/* Runs the checks of a function in a process of its own, as another user if uid is not 0. */
static pid_t child_start(void (*checks)(void *), void *context, uid_t uid)
{
	fflush(stdout);
	pid_t pid = fork();
	if (pid != 0)
		return pid;
	tap.failed = false;
	if (uid != 0 && (setgroups(0, NULL) < 0 || setgid(uid) < 0 || setuid(uid) < 0))
		tap_fail(__FILE__, __LINE__, "cannot become user %u", uid);
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* some of them would run for ever */
	checks(context);
	fflush(stdout);
	_exit(tap.failed);
}

static void child_end(pid_t pid)
{
	int status = -1;
	waitpid(pid, &status, 0);
	check_int(status, 0);
}

static void in_child(void (*checks)(void *), void *context, uid_t uid)
{
	child_end(child_start(checks, context, uid));
}

/* --- the directory --- */

static void environment_set(const char *own, const char *xdg, const char *home)
{
	static const char *const names[] = { "SIMG_CACHE_DIR", "XDG_CACHE_HOME", "HOME" };
	const char *const values[] = { own, xdg, home };
	for (size_t i = 0; i < COUNT(names); i++)
		if (values[i] != NULL)
			setenv(names[i], values[i], 1);
		else
			unsetenv(names[i]);
}

static void test_place(void)
{
	char a[PATH_MAX], b[PATH_MAX], c[PATH_MAX], below_b[PATH_MAX], below_c[PATH_MAX];
	snprintf(a, sizeof(a), "%s/p/a", scratch.path);
	snprintf(b, sizeof(b), "%s/p/b", scratch.path);
	snprintf(c, sizeof(c), "%s/p/c", scratch.path);
	snprintf(below_b, sizeof(below_b), "%s/p/b/simg", scratch.path);
	snprintf(below_c, sizeof(below_c), "%s/p/c/.cache/simg", scratch.path);
	const struct {
		const char *sentence, *own, *xdg, *home, *place;
	} places[] = {
		{ "SIMG_CACHE_DIR comes first", a, b, c, a },
		{ "an empty SIMG_CACHE_DIR counts as unset: then XDG_CACHE_HOME", "", b, c, below_b },
		{ "a relative XDG_CACHE_HOME is ignored", NULL, "cache", c, below_c },
		{ "without both, it is in the home directory", NULL, NULL, c, below_c },
	};
	for (size_t i = 0; i < COUNT(places); i++)
		test_case ("%s", places[i].sentence) {
			if (i > 0 && access(SIMG_SYSCONFDIR "/simg.conf", F_OK) == 0)
				test_skip("there is a " SIMG_SYSCONFDIR "/simg.conf");
			struct stat st;
			environment_set(places[i].own, places[i].xdg, places[i].home);
			struct cache *cache = open_at(NULL);
			if (cache == NULL)
				break;
			check_str(cache_directory(cache), places[i].place);
			check_int(stat(places[i].place, &st), 0);
			check_int(st.st_mode & 07777, 0700);
			check_int(faccessat(cache->fd, "CACHEDIR.TAG", F_OK, 0), 0);
			cache_close(cache);
			remove_tree("p");
		}

	const struct {
		const char *sentence, *own, *home, *message, *hint;
		int status;
	} bad[] = {
		{ "a relative SIMG_CACHE_DIR is refused", "cache", c, "SIMG_CACHE_DIR 'cache' is not an absolute path", "", -EINVAL },
		{ "a missing HOME is named", NULL, NULL, "there is no place for the cache: HOME is not set",
		  "SIMG_CACHE_DIR=DIRECTORY names another place for the cache", -ENOENT },
		{ "a relative HOME is named", NULL, "home", "there is no place for the cache: HOME is not an absolute path",
		  "SIMG_CACHE_DIR=DIRECTORY names another place for the cache", -ENOENT },
		{ "a directory that cannot be made is named", "/proc/simg/cache", c,
		  "cannot open the cache directory '/proc/simg/cache': No such file or directory",
		  "SIMG_CACHE_DIR=DIRECTORY names another place for the cache", -ENOENT },
		{ "a file in its place is named", "/etc/passwd", c, "cannot open the cache directory '/etc/passwd': Not a directory",
		  "SIMG_CACHE_DIR=DIRECTORY names another place for the cache", -ENOTDIR },
	};
	for (size_t i = 0; i < COUNT(bad); i++)
		test_case ("%s", bad[i].sentence) {
			if (bad[i].own == NULL && access(SIMG_SYSCONFDIR "/simg.conf", F_OK) == 0)
				test_skip("there is a " SIMG_SYSCONFDIR "/simg.conf");
			struct cache *cache = NULL;
			int fds = scratch_fd_count();
			failure = (struct err)ERR_INIT;
			environment_set(bad[i].own, NULL, bad[i].home);
			check_int(cache_open(NULL, &cache, &failure), bad[i].status);
			check_str(failure.text, bad[i].message);
			check_str(failure.hint, bad[i].hint);
			check_int(scratch_fd_count(), fds);
		}
}

/* --- one downloader --- */

static void test_download(void)
{
	struct cache_fetch *fetch = NULL;
	test_case ("a download is found once it is committed, and not before") {
		int fds = scratch_fd_count();
		struct cache *cache = open_new();
		check_int(begin(cache, &fetch), 0);
		put(fetch, HELLO);
		check_int(find(cache, HELLO_BYTES), 0);
		check_int(cache_fetch_commit(fetch, &failure), 0);
		check_int(find(cache, HELLO_BYTES), 1);
		check_int(find(cache, 0), 1);
		check_int(begin(cache, &fetch), 1);
		check_int(files_in("cache/partial"), 0);
		cache_close(cache);
		check_int(scratch_fd_count(), fds);
	}
	test_case ("a file of another size is not the blob") {
		struct cache *cache = open_at(top);
		check_int(find(cache, HELLO_BYTES + 1), 0);
		cache_close(cache);
	}
	test_case ("a commit of another size is refused, and leaves nothing") {
		struct cache *cache = open_new();
		check_int(begin(cache, &fetch), 0);
		put(fetch, "hello");
		check_int(cache_fetch_commit(fetch, &failure), -EBADMSG);
		check_has(failure.text, "has 5 bytes in the cache");
		check_has(failure.text, ", not 21");
		check_int(find(cache, 0), 0);
		check_int(files_in("cache/partial"), 0);
		cache_close(cache);
	}
	test_case ("an abandoned download is continued where it ended") {
		struct cache *cache = open_new();
		check_int(begin(cache, &fetch), 0);
		put(fetch, "hello");
		cache_fetch_abandon(fetch, true);
		check_int(begin(cache, &fetch), 0);
		check_str(scratch_content(cache_fetch_fd(fetch)), "hello");
		cache_fetch_abandon(fetch, false);
		check_int(files_in("cache/partial"), 0);
		cache_fetch_abandon(NULL, true);
		cache_close(cache);
	}
	test_case ("a beginning that is longer than the blob is dropped") {
		struct cache *cache = open_new();
		scratch_file(hex_path[PARTIAL], "far more than the blob could ever hold");
		check_int(begin(cache, &fetch), 0);
		check_str(scratch_content(cache_fetch_fd(fetch)), "");
		cache_fetch_abandon(fetch, false);
		cache_close(cache);
	}
	test_case ("a copy of the descriptor stays of use after the commit") {
		struct cache *cache = open_new();
		check_int(begin(cache, &fetch), 0);
		autoclose int fd = fcntl(cache_fetch_fd(fetch), F_DUPFD_CLOEXEC, 3);
		put(fetch, HELLO);
		check_int(cache_fetch_commit(fetch, &failure), 0);
		check_str(scratch_content(fd), HELLO);
		cache_close(cache);
	}
	test_case ("the umask decides who may read a blob") {
		struct cache *cache = open_new();
		struct stat st;
		umask(027);
		check_int(begin(cache, &fetch), 0);
		put(fetch, HELLO);
		check_int(cache_fetch_commit(fetch, &failure), 0);
		umask(022);
		check_int(stat(hex_path[BLOB], &st), 0);
		check_int(st.st_mode & 07777, 0640);
		cache_close(cache);
	}
	test_case ("a use is dated") {
		struct cache *cache = open_at(top);
		struct stat st;
		age(hex_path[BLOB], 1000000);
		check_int(find(cache, 0), 1);
		stat(hex_path[BLOB], &st);
		check(time(NULL) - st.st_mtime < 100);
		cache_close(cache);
	}
}

static void test_store(void)
{
	test_case ("a small blob is stored as it is, and found") {
		struct cache *cache = open_new();
		cache_blob_store(cache, &hello, HELLO, HELLO_BYTES);
		check_int(find(cache, HELLO_BYTES), 1);
		check(same_text(hex_path[BLOB], HELLO));
		check_int(files_in("cache/blobs/sha256"), 1);
		cache_close(cache);
	}
	test_case ("SHA-512 has its own directory") {
		struct cache *cache = open_new();
		struct digest like, digest;
		autoclose int fd = -1;
		char text[DIGEST_TEXT_MAX] = "sha512:";
		memset(text + 7, 'a', 128);
		check_int(digest_parse(text, 135, &like, &failure), 0);
		struct hash *hash = hash_new(&like);
		hash_add(hash, HELLO, HELLO_BYTES);
		hash_digest(hash, &digest);
		hash_free(hash);
		cache_blob_store(cache, &digest, HELLO, HELLO_BYTES);
		check_int(cache_blob_find(cache, &digest, HELLO_BYTES, &fd, &failure), 1);
		check_int(files_in("cache/blobs/sha512"), 1);
		check_int(files_in("cache/blobs/sha256"), 0);
		cache_close(cache);
	}
	test_case ("discarding a blob removes what was derived from it, and nothing else") {
		struct cache *cache = open_new();
		char key[256];
		autoclose int fd = -1;
		cache_blob_store(cache, &hello, HELLO, HELLO_BYTES);
		snprintf(key, sizeof(key), "index-2-%s", digest_hex(&hello));
		cache_file_store(cache, CACHE_DERIVED, key, "i", 1);
		cache_file_store(cache, CACHE_DERIVED, "index-2-0000", "j", 1);
		cache_blob_discard(cache, &hello);
		check_int(find(cache, 0), 0);
		check_int(cache_file_find(cache, CACHE_DERIVED, key, &fd), 0);
		check_int(cache_file_find(cache, CACHE_DERIVED, "index-2-0000", &fd), 1);
		cache_blob_store(cache, &hello, HELLO, HELLO_BYTES);
		check_int(find(cache, 0), 1);
		cache_close(cache);
	}
	test_case ("a file by its key is stored, replaced, and found only in its room") {
		struct cache *cache = open_new();
		int fd = -1;
		cache_file_store(cache, CACHE_DERIVED, "a.b-7", "one", 3);
		cache_file_store(cache, CACHE_DERIVED, "a.b-7", "two!", 4);
		check_int(cache_file_find(cache, CACHE_DERIVED, "a.b-7", &fd), 1);
		check_str(scratch_content(fd), "two!");
		close(fd);
		check_int(cache_file_find(cache, CACHE_IMAGES, "a.b-7", &fd), 0);
		check_int(files_in("cache/derived"), 1);
		cache_close(cache);
	}
	test_case ("a copied file is the whole one, wherever its descriptor stands") {
		struct cache *cache = open_new();
		int fd = -1;
		autoclose int from = open("big", O_RDWR | O_CREAT, 0600);
		check_int(ftruncate(from, 5 << 20), 0);
		check_int(pwrite(from, "begin", 5, 0), 5);
		check_int(pwrite(from, "end", 4, (5 << 20) - 4), 4);
		lseek(from, 1000, SEEK_SET);
		cache_file_copy(cache, CACHE_IMAGES, "image", from);
		check_int(cache_file_find(cache, CACHE_IMAGES, "image", &fd), 1);
		check_int(lseek(fd, 0, SEEK_END), 5 << 20);
		char end[4] = "";
		check_int(pread(fd, end, 4, (5 << 20) - 4), 4);
		check_str(end, "end");
		check_has(scratch_content(fd), "begin");
		check_int(lseek(from, 0, SEEK_CUR), 1000);
		close(fd);
		cache_close(cache);
	}
	static char long_key[202];
	memset(long_key, 'a', 201);
	const char *const bad[] = { "", ".hidden", "..", "../x", "a/b", "UPPER", "a b", long_key };
	for (size_t i = 0; i < COUNT(bad); i++)
		test_case ("'%.20s' is no key", bad[i]) {
			struct cache *cache = open_new();
			int fd = -1;
			cache_file_store(cache, CACHE_DERIVED, bad[i], "x", 1);
			check_int(cache_file_find(cache, CACHE_DERIVED, bad[i], &fd), 0);
			check_int(files_in("cache/derived"), 0);
			check(!exists("cache/x"));
			cache_close(cache);
		}
}

/* --- many --- */

static int *shared_counter(void)
{
	int *counter = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return counter;
}

static void builder(void *context)
{
	int *downloads = context;
	struct cache_fetch *fetch = NULL;
	struct cache *cache = open_at(top);
	int r = begin(cache, &fetch);
	check(r >= 0);
	if (r == 0) {
		__atomic_add_fetch(downloads, 1, __ATOMIC_SEQ_CST);
		put(fetch, "hello");
		pause_ms(300);
		put(fetch, HELLO);
		check_int(cache_fetch_commit(fetch, &failure), 0);
	}
	check_int(find(cache, HELLO_BYTES), 1);
	cache_close(cache);
}

/* Downloads a part and then stands still. */
static void holder(void *context)
{
	struct cache_fetch *fetch = NULL;
	struct cache *cache = open_at(top);
	check_int(begin(cache, &fetch), 0);
	put(fetch, "hello");
	__atomic_store_n((int *)context, 1, __ATOMIC_SEQ_CST);
	for (;;)
		pause();
}

static pid_t holder_start(int *flag)
{
	*flag = 0;
	pid_t pid = child_start(holder, flag, 0);
	for (int i = 0; i < 1000 && __atomic_load_n(flag, __ATOMIC_SEQ_CST) == 0; i++)
		pause_ms(5);
	check_int(*flag, 1);
	return pid;
}

static void holder_kill(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void kill_soon(void *context)
{
	pause_ms(300);
	kill(*(pid_t *)context, SIGKILL);
}

/* Grows the file for three seconds, and then has all of it. */
static void slow_downloader(void *context)
{
	struct cache_fetch *fetch = NULL;
	struct cache *cache = open_at(top);
	check_int(begin(cache, &fetch), 0);
	for (int i = 1; i <= 15; i++) {
		check_int(pwrite(cache_fetch_fd(fetch), HELLO, (size_t)i, 0), i);
		__atomic_store_n((int *)context, 1, __ATOMIC_SEQ_CST);
		pause_ms(200);
	}
	put(fetch, HELLO);
	check_int(cache_fetch_commit(fetch, &failure), 0);
	cache_close(cache);
}

static void count_call(void *context)
{
	++*(int *)context;
}

static bool count_wait(void *context)
{
	count_call(context);
	return true;
}

static bool no_use(void *context)
{
	(void)context;
	return false;
}

static void test_many(void)
{
	int *counter = shared_counter();
	test_case ("of eight builders, one downloads and the others get what it has downloaded") {
		pid_t pids[8];
		cache_close(open_new());
		*counter = 0;
		for (size_t i = 0; i < COUNT(pids); i++)
			pids[i] = child_start(builder, counter, 0);
		for (size_t i = 0; i < COUNT(pids); i++)
			child_end(pids[i]);
		check_int(*counter, 1);
		check_int(files_in("cache/partial"), 0);
		check_int(files_in("cache/blobs/sha256"), 1);
	}
	test_case ("when the downloader is killed, one that waits continues its download") {
		struct cache *cache = open_new();
		struct cache_fetch *fetch = NULL;
		pid_t pid = holder_start(counter);
		pid_t killer = child_start(kill_soon, &pid, 0);
		check_int(begin(cache, &fetch), 0);
		waitpid(pid, NULL, 0);
		child_end(killer);
		check_str(scratch_content(cache_fetch_fd(fetch)), "hello");
		check(fetch != NULL && exists(hex_path[PARTIAL]));
		put(fetch, HELLO);
		check_int(cache_fetch_commit(fetch, &failure), 0);
		check_int(find(cache, HELLO_BYTES), 1);
		cache_close(cache);
	}
	test_case ("a downloader that stands still is not waited for, and both may finish") {
		struct cache *cache = open_new();
		struct cache_fetch *fetch = NULL, *stalled = NULL;
		cache->stalled_s = 1;
		check_int(begin(cache, &stalled), 0);
		put(stalled, "hello");
		check_int(begin(cache, &fetch), 0);
		check_str(scratch_content(cache_fetch_fd(fetch)), "");
		check_int(files_in("cache/partial"), 2);
		put(fetch, HELLO);
		check_int(cache_fetch_commit(fetch, &failure), 0);
		check_int(find(cache, HELLO_BYTES), 1);
		put(stalled, HELLO);
		check_int(cache_fetch_commit(stalled, &failure), 0);
		check_int(find(cache, HELLO_BYTES), 1);
		check_int(files_in("cache/partial"), 0);
		cache_close(cache);
	}
	test_case ("one that went ahead alone and gives up leaves its beginning only if there is no other") {
		struct cache *cache = open_new();
		struct cache_fetch *fetch = NULL, *stalled = NULL;
		cache->stalled_s = 0;
		check_int(begin(cache, &stalled), 0);
		put(stalled, "hello");
		check_int(begin(cache, &fetch), 0);
		put(fetch, "hel");
		cache_fetch_abandon(fetch, true);
		check_int(files_in("cache/partial"), 1);
		check(same_text(hex_path[PARTIAL], "hello"));
		check_int(begin(cache, &fetch), 0);
		put(fetch, "hello, th");
		cache_fetch_abandon(stalled, false);
		cache_fetch_abandon(fetch, true);
		check_int(files_in("cache/partial"), 1);
		check(same_text(hex_path[PARTIAL], "hello, th"));
		cache_close(cache);
	}
	test_case ("a slow downloader is waited for as long as it makes progress, with a call each second") {
		struct cache *cache = open_new();
		struct cache_fetch *fetch = NULL;
		autoclose int fd = -1;
		int calls = 0;
		cache->stalled_s = 1;
		*counter = 0;
		pid_t pid = child_start(slow_downloader, counter, 0);
		for (int i = 0; i < 1000 && __atomic_load_n(counter, __ATOMIC_SEQ_CST) == 0; i++)
			pause_ms(5);
		check_int(cache_blob_begin(cache, &hello, HELLO_BYTES, count_wait, &calls, &fd, &fetch, &failure), 1);
		check_str(scratch_content(fd), HELLO);
		check(calls >= 1 && calls <= 4);
		child_end(pid);
		cache_close(cache);
	}
	test_case ("waiting for another downloader ends when it has lost its use") {
		struct cache *cache = open_new();
		struct cache_fetch *fetch = NULL, *held = NULL;
		autoclose int fd = -1;
		check_int(begin(cache, &held), 0);
		check_int(cache_blob_begin(cache, &hello, HELLO_BYTES, no_use, NULL, &fd, &fetch, &failure), -ECANCELED);
		check_has(failure.text, "cancelled while another build downloads the blob 'sha256:");
		cache_fetch_abandon(held, false);
		cache_close(cache);
	}
	munmap(counter, 4096);
}

static bool is_within_a_second(const struct timespec *begin)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (now.tv_sec - begin->tv_sec) * 1000 + (now.tv_nsec - begin->tv_nsec) / 1000000 < 1000;
}

static void contender(void *context)
{
	int *shared = context; /* [0] how many are inside, [1] how often one was */
	struct cache *cache = open_at(top);
	struct timespec begin;
	clock_gettime(CLOCK_MONOTONIC, &begin);
	while (is_within_a_second(&begin)) {
		autoclose int fd = -1;
		if (lock_take(cache, "sha256-x", &fd) != SHARED_LOCK_TAKEN)
			continue;
		check_int(__atomic_add_fetch(&shared[0], 1, __ATOMIC_SEQ_CST), 1);
		usleep(50);
		__atomic_sub_fetch(&shared[0], 1, __ATOMIC_SEQ_CST);
		__atomic_add_fetch(&shared[1], 1, __ATOMIC_SEQ_CST);
	}
	cache_close(cache);
}

static void lock_remover(void *context)
{
	struct cache *cache = open_at(top);
	struct timespec begin;
	(void)context;
	clock_gettime(CLOCK_MONOTONIC, &begin);
	while (is_within_a_second(&begin)) {
		autoclose int fd = -1;
		if (lock_take(cache, "sha256-x", &fd) == SHARED_LOCK_TAKEN)
			unlinkat(cache->locks, "sha256-x", 0);
	}
	cache_close(cache);
}

static bool blob_is_whole(void)
{
	return !exists(hex_path[BLOB]) || same_text(hex_path[BLOB], HELLO);
}

/* Downloads and discards for ever. */
static void restless(void *context)
{
	struct cache *cache = open_at(top);
	(void)context;
	for (;;) {
		struct cache_fetch *fetch = NULL;
		if (begin(cache, &fetch) == 0) {
			put(fetch, "hello");
			put(fetch, HELLO);
			cache_fetch_commit(fetch, &failure);
		}
		cache_file_store(cache, CACHE_DERIVED, "whole", HELLO, HELLO_BYTES);
		cache_blob_discard(cache, &hello);
	}
}

static void test_races(void)
{
	test_case ("a lock excludes others while its file is removed again and again") {
		int *shared = shared_counter();
		pid_t pids[4];
		cache_close(open_new());
		for (size_t i = 0; i < COUNT(pids); i++)
			pids[i] = child_start(i == 0 ? lock_remover : contender, shared, 0);
		for (size_t i = 0; i < COUNT(pids); i++)
			child_end(pids[i]);
		check(shared[1] > 0);
		munmap(shared, 4096);
	}
	test_case ("wherever a builder is killed, a blob or a derived file is whole or not there") {
		int seen = 0;
		cache_close(open_new());
		for (int i = 0; i < 100; i++) {
			pid_t pid = child_start(restless, NULL, 0);
			pause_ms(3 + i % 10);
			holder_kill(pid);
			check(blob_is_whole());
			check(!exists("cache/derived/whole") || same_text("cache/derived/whole", HELLO));
			seen += exists("cache/derived/whole");
		}
		check(seen > 0);
		struct cache *cache = open_at(top);
		struct cache_fetch *fetch = NULL;
		if (begin(cache, &fetch) == 0) { /* the next one is not kept waiting */
			put(fetch, HELLO);
			check_int(cache_fetch_commit(fetch, &failure), 0);
		}
		check_int(find(cache, HELLO_BYTES), 1);
		cache_close(cache);
	}
}

/* --- a file system without locks --- */

static void test_lockless(void)
{
	test_case ("without locks, each goes ahead with a file of its own") {
		struct cache *cache = open_new();
		struct cache_fetch *one = NULL, *two = NULL;
		cleanup_close(&cache->locks);
		cache->locks = -1;
		check_int(begin(cache, &one), 0);
		check_int(begin(cache, &two), 0);
		put(one, "hello");
		check_str(scratch_content(cache_fetch_fd(two)), "");
		put(two, HELLO);
		check_int(cache_fetch_commit(two, &failure), 0);
		cache_fetch_abandon(one, true);
		check_int(find(cache, HELLO_BYTES), 1);
		cache_close(cache);
	}
	test_case ("without locks, one of them continues what has been left alone for a minute") {
		struct cache *cache = open_new();
		struct cache_fetch *fetch = NULL;
		cleanup_close(&cache->locks);
		cache->locks = -1;
		scratch_file(hex_path[PARTIAL], "hello");
		check_int(begin(cache, &fetch), 0);
		check_str(scratch_content(cache_fetch_fd(fetch)), "");
		cache_fetch_abandon(fetch, false);
		age(hex_path[PARTIAL], 61);
		check_int(begin(cache, &fetch), 0);
		check_str(scratch_content(cache_fetch_fd(fetch)), "hello");
		check(!exists(hex_path[PARTIAL]));
		cache_fetch_abandon(fetch, true);
		check(same_text(hex_path[PARTIAL], "hello"));
		check_int(files_in("cache/partial"), 1);
		cache_close(cache);
	}
}

/* --- others --- */

static void plant(const char *kind, const char *path)
{
	char victim[PATH_MAX];
	snprintf(victim, sizeof(victim), "%s/victim", scratch.path);
	scratch_file("victim", "precious");
	if (strcmp(kind, "symlink") == 0)
		scratch_link(victim, path);
	else if (strcmp(kind, "hard link") == 0)
		check_int(link("victim", path), 0);
	else if (strcmp(kind, "FIFO") == 0)
		check_int(mkfifo(path, 0666), 0);
	else
		check_int(mkdir(path, 0777), 0);
}

static void test_planted(void)
{
	static const char *const kinds[] = { "symlink", "hard link", "FIFO", "directory" };
	static const char *const what[] = { "blob", "partial download", "lock" };
	for (size_t k = 0; k < COUNT(kinds); k++)
		for (size_t i = BLOB; i <= LOCK; i++)
			test_case ("a %s that was planted as a %s does no harm", kinds[k], what[i]) {
				struct cache *cache = open_new();
				struct cache_fetch *fetch = NULL;
				unlink("victim");
				plant(kinds[k], hex_path[i]);
				check_int(find(cache, HELLO_BYTES), 0);
				check_int(begin(cache, &fetch), 0);
				put(fetch, HELLO);
				check_int(cache_fetch_commit(fetch, &failure), 0);
				check(same_text("victim", "precious"));
				if (i != BLOB || strcmp(kinds[k], "directory") != 0) /* which no file can replace */
					check_int(find(cache, HELLO_BYTES), 1);
				cache_close(cache);
			}
	static const struct {
		const char *sentence;
		uid_t owner;
		mode_t mode;
	} derived[] = {
		{ "a derived file of somebody else is not taken", 54321, 0644 },
		{ "a derived file that its group may write is not taken", 0, 0664 },
		{ "a derived file that everybody may write is not taken", 0, 0646 },
	};
	for (size_t i = 0; i < COUNT(derived); i++)
		test_case ("%s", derived[i].sentence) {
			if (derived[i].owner != 0 && geteuid() != 0)
				test_skip("not root");
			struct cache *cache = open_new();
			int fd = -1;
			cache_file_store(cache, CACHE_DERIVED, "key", "x", 1);
			check_int(cache_file_find(cache, CACHE_DERIVED, "key", &fd), 1);
			close(fd);
			if (derived[i].owner != 0)
				check_int(chown("cache/derived/key", derived[i].owner, 0), 0);
			check_int(chmod("cache/derived/key", derived[i].mode), 0);
			check_int(cache_file_find(cache, CACHE_DERIVED, "key", &fd), 0);
			cache_close(cache);
		}
	test_case ("a derived directory that others may write is not used") {
		int fd = -1;
		cache_close(open_new());
		check_int(chmod("cache/derived", 0777), 0);
		struct cache *cache = open_at(top);
		cache_file_store(cache, CACHE_DERIVED, "key", "x", 1);
		check_int(cache_file_find(cache, CACHE_DERIVED, "key", &fd), 0);
		check_int(files_in("cache/derived"), 0);
		cache_close(cache);
	}
}

/* A directory for all users, as root makes it. */
static void shared_make(void)
{
	remove_tree("cache");
	check_int(mkdir("cache", 0700), 0);
	check_int(chmod("cache", 01777), 0);
}

static void stranger_leaves_partial(void *context)
{
	struct cache_fetch *fetch = NULL;
	struct cache *cache = open_at(top);
	(void)context;
	check_int(begin(cache, &fetch), 0);
	put(fetch, "hello");
	cache_fetch_abandon(fetch, true);
	cache_file_store(cache, CACHE_DERIVED, "key", "stranger's", 10);
	cache_close(cache);
}

static void other_downloads(void *context)
{
	struct cache_fetch *fetch = NULL;
	struct cache *cache = open_at(top);
	int fd = -1;
	(void)context;
	check_int(cache_file_find(cache, CACHE_DERIVED, "key", &fd), 0);
	check_int(begin(cache, &fetch), 0);
	check_str(scratch_content(cache_fetch_fd(fetch)), "");
	put(fetch, "hell");
	cache_fetch_abandon(fetch, true);
	check_int(begin(cache, &fetch), 0); /* continues the own one */
	check_str(scratch_content(cache_fetch_fd(fetch)), "hell");
	put(fetch, HELLO);
	check_int(cache_fetch_commit(fetch, &failure), 0);
	cache_close(cache);
}

static void stranger_finds(void *context)
{
	struct cache *cache = open_at(top);
	int fd = -1;
	(void)context;
	check_int(find(cache, HELLO_BYTES), 1);
	check_int(cache_file_find(cache, CACHE_DERIVED, "roots", &fd), 1);
	check_str(scratch_content(fd), "root's");
	check_int(cache_file_find(cache, CACHE_DERIVED, "key", &fd), 1);
	check_str(scratch_content(fd), "stranger's");
	cache_close(cache);
}

static void stranger_plants_blob(void *context)
{
	(void)context;
	cache_close(open_at(top));
	scratch_file(hex_path[BLOB], "hello, this is a blub");
}

static void other_discards(void *context)
{
	struct cache_fetch *fetch = NULL;
	struct cache *cache = open_at(top);
	(void)context;
	check_int(find(cache, HELLO_BYTES), 1); /* a reader compares the digest, and then: */
	cache_blob_discard(cache, &hello);
	check_int(find(cache, HELLO_BYTES), 0);
	check_int(begin(cache, &fetch), 0);
	autoclose int fd = fcntl(cache_fetch_fd(fetch), F_DUPFD_CLOEXEC, 3);
	put(fetch, HELLO);
	check_int(cache_fetch_commit(fetch, &failure), 0);
	check_str(scratch_content(fd), HELLO);
	check_int(files_in("cache/partial"), 0);
	cache_close(cache);
}

/* Holds the lock and pretends to be downloading. */
static void stranger_holds(void *context)
{
	struct cache_fetch *fetch = NULL;
	struct cache *cache = open_at(top);
	check_int(begin(cache, &fetch), 0);
	for (int i = 0;; i++) {
		put(fetch, i % 2 ? "hello" : "hell");
		__atomic_store_n((int *)context, 1, __ATOMIC_SEQ_CST);
		pause_ms(100);
	}
}

static void other_goes_ahead(void *context)
{
	struct cache_fetch *fetch = NULL;
	struct cache *cache = open_at(top);
	(void)context;
	cache->stranger_s = 2;
	check_int(begin(cache, &fetch), 0);
	put(fetch, HELLO);
	check_int(cache_fetch_commit(fetch, &failure), 0);
	check_int(find(cache, HELLO_BYTES), 1);
	cache_close(cache);
}

static void stranger_plants_rooms(void *context)
{
	char path[64];
	(void)context;
	snprintf(path, sizeof(path), "cache/user-%u", OTHER);
	check_int(mkdir(path, 0777), 0);
	snprintf(path, sizeof(path), "cache/user-%u/derived", OTHER);
	check_int(mkdir(path, 0777), 0);
}

static void other_uses_no_room(void *context)
{
	struct cache *cache = open_at(top);
	int fd = -1;
	(void)context;
	cache_file_store(cache, CACHE_DERIVED, "key", "x", 1);
	check_int(cache_file_find(cache, CACHE_DERIVED, "key", &fd), 0);
	cache_close(cache);
}

static void test_shared(void)
{
	if (geteuid() != 0) {
		test_case ("a directory of all users") {
			test_skip("not root");
		}
		return;
	}
	test_case ("in a directory for all users, everything that is made is for all users, whatever the umask") {
		static const char *const made[] = { "blobs", "blobs/sha256", "partial", "locks" };
		struct stat st;
		shared_make();
		umask(077);
		in_child(stranger_leaves_partial, NULL, STRANGER);
		umask(022);
		for (size_t i = 0; i < COUNT(made); i++) {
			char path[64];
			snprintf(path, sizeof(path), "cache/%s", made[i]);
			check_int(stat(path, &st), 0);
			check_int(st.st_mode & 07777, 01777);
		}
		check_int(stat(hex_path[LOCK], &st), 0);
		check_int(st.st_mode & 07777, 0666);
	}
	test_case ("another user's partial download is let alone, and an own one continued") {
		in_child(other_downloads, NULL, OTHER);
		check(same_text(hex_path[PARTIAL], "hello"));
		check_int(files_in("cache/partial"), 1);
	}
	test_case ("another user's partial download is let alone by root, too") {
		check_int(unlink(hex_path[BLOB]), 0);
		in_child(other_downloads, NULL, 0);
		check(same_text(hex_path[PARTIAL], "hello"));
		check_int(files_in("cache/partial"), 1);
	}
	test_case ("blobs are everybody's, derived files are the user's own or root's") {
		struct cache *cache = open_at(top);
		cache_file_store(cache, CACHE_DERIVED, "roots", "root's", 6);
		cache_close(cache);
		in_child(stranger_finds, NULL, STRANGER);
	}
	test_case ("a damaged blob of another user is not found again, and a download of it of use without a name") {
		shared_make();
		in_child(stranger_plants_blob, NULL, STRANGER);
		in_child(other_discards, NULL, OTHER);
		check(same_text(hex_path[BLOB], "hello, this is a blub"));
	}
	test_case ("a stranger who holds a lock for ever is not waited for as long") {
		int *flag = shared_counter();
		shared_make();
		pid_t pid = child_start(stranger_holds, flag, STRANGER);
		for (int i = 0; i < 1000 && __atomic_load_n(flag, __ATOMIC_SEQ_CST) == 0; i++)
			pause_ms(5);
		in_child(other_goes_ahead, NULL, OTHER);
		holder_kill(pid);
		munmap(flag, 4096);
	}
	test_case ("a directory of derived files that a stranger has made for the user is not used") {
		shared_make();
		in_child(stranger_plants_rooms, NULL, STRANGER);
		in_child(other_uses_no_room, NULL, OTHER);
	}
	test_case ("a directory in the cache that is a symlink is refused by name") {
		struct cache *cache = NULL;
		shared_make();
		scratch_link("/tmp", "cache/blobs");
		check_int(cache_open(top, &cache, &failure), -ENOTDIR);
		check_has(failure.text, "cannot make the directory 'blobs' in the cache '");
		check_str(failure.hint, "SIMG_CACHE_DIR=DIRECTORY names another place for the cache");
	}
}

/* --- the disk is full, or cannot be written --- */

static bool private_mount(const char *options, unsigned long flags)
{
	remove_tree("cache");
	mkdir("cache", 0755);
	return unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
	       mount("tmpfs", "cache", "tmpfs", flags, options) == 0;
}

static void full_disk(void *context)
{
	struct cache_fetch *fetch = NULL;
	static char chunk[64 << 10];
	char digit[2] = "0";
	(void)context;
	if (!check(private_mount("size=256k,mode=0700", 0)))
		return;
	struct cache *cache = open_at(top);
	check_int(begin(cache, &fetch), 0);
	ssize_t n = 1;
	for (off_t at = 0; n > 0; at += n)
		n = pwrite(cache_fetch_fd(fetch), chunk, sizeof(chunk), at);
	check_int(errno, ENOSPC);
	check_int(cache_fetch_err(fetch, errno, &failure), -ENOSPC);
	check_has(failure.text, "cannot write to the cache '");
	check_has(failure.text, "/cache': No space left on device");
	check_str(failure.hint, "'simg cache prune' makes room in it; SIMG_CACHE_DIR=DIRECTORY names another one");
	for (; digit[0] <= '9'; digit[0]++) { /* stores nothing, and leaves nothing behind */
		cache_blob_store(cache, &hello, HELLO, HELLO_BYTES);
		cache_file_store(cache, CACHE_DERIVED, digit, chunk, sizeof(chunk));
	}
	check_int(find(cache, 0), 0);
	check_int(files_in("cache/blobs/sha256"), 0);
	check_int(files_in("cache/derived"), 0);
	cache_fetch_abandon(fetch, false);
	cache_file_store(cache, CACHE_DERIVED, "key", chunk, sizeof(chunk));
	check_int(files_in("cache/derived"), 1);
	cache_close(cache);
}

static void no_inode(void *context)
{
	struct cache *cache = NULL;
	(void)context;
	if (!check(private_mount("nr_inodes=3,mode=0700", 0)))
		return;
	check_int(cache_open(top, &cache, &failure), -ENOSPC);
	check_has(failure.text, "cannot write to the cache '");
	check_str(failure.hint, "'simg cache prune' makes room in it; SIMG_CACHE_DIR=DIRECTORY names another one");
}

static void read_only(void *context)
{
	struct cache *cache = NULL;
	(void)context;
	if (!check(private_mount("mode=0700", MS_RDONLY)))
		return;
	check_int(cache_open(top, &cache, &failure), -EROFS);
	check_has(failure.text, "cannot make the directory 'blobs' in the cache '");
	check_has(failure.text, "Read-only file system");
	check_str(failure.hint, "SIMG_CACHE_DIR=DIRECTORY names another place for the cache");
}

static void read_only_later(void *context)
{
	struct cache *cache = NULL;
	struct cache_fetch *fetch = NULL;
	(void)context;
	if (!check(private_mount("mode=0700", 0)))
		return;
	cache = open_at(top);
	cache_blob_store(cache, &hello, HELLO, HELLO_BYTES);
	cache_close(cache);
	check_int(mount(NULL, "cache", NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
	cache = open_at(top);
	check_int(find(cache, HELLO_BYTES), 1);
	check_int(begin(cache, &fetch), 1);
	struct digest digest;
	autoclose int fd = -1;
	digest_of("x", 1, &digest);
	check_int(cache_blob_begin(cache, &digest, 1, NULL, NULL, &fd, &fetch, &failure), -EROFS);
	check_has(failure.text, "cannot write to the cache '");
	check_str(failure.hint, "SIMG_CACHE_DIR=DIRECTORY names another place for the cache");
	cache_close(cache);
}

static void test_full(void)
{
	static const struct {
		const char *sentence;
		void (*checks)(void *);
	} cases[] = {
		{ "a full disk is named with what to do, and leaves nothing broken", full_disk },
		{ "a disk without a free inode is named with what to do", no_inode },
		{ "a read-only file system is named with what to do", read_only },
		{ "a cache on a read-only file system serves what it holds", read_only_later },
	};
	for (size_t i = 0; i < COUNT(cases); i++)
		test_case ("%s", cases[i].sentence) {
			if (geteuid() != 0)
				test_skip("not root");
			in_child(cases[i].checks, NULL, 0);
		}
}

/* --- what is in use --- */

static const struct scan_entry *entry_of(const struct scan *scan, enum scan_kind kind)
{
	for (size_t i = 0; i < scan->count; i++)
		if (scan->entries[i].kind == kind)
			return &scan->entries[i];
	return NULL;
}

static int removal(struct cache *cache, enum scan_kind kind, bool dry_run)
{
	autoscan struct scan scan;
	check_int(scan_open(cache, &scan, &failure), 0);
	const struct scan_entry *entry = entry_of(&scan, kind);
	return entry == NULL ? -1 : (int)scan_remove(cache, &scan, entry, dry_run);
}

static void test_scan(void)
{
	test_case ("a blob that a builder has open is in use, until it is closed") {
		struct cache *cache = open_new();
		autoclose int fd = -1;
		cache_blob_store(cache, &hello, HELLO, HELLO_BYTES);
		check_int(cache_blob_find(cache, &hello, 0, &fd, &failure), 1);
		check_int(removal(cache, SCAN_BLOB, false), SCAN_IN_USE);
		cleanup_close(&fd);
		fd = -1;
		check_int(removal(cache, SCAN_BLOB, true), SCAN_REMOVED);
		check_int(find(cache, 0), 1);
		check_int(removal(cache, SCAN_BLOB, false), SCAN_REMOVED);
		check_int(find(cache, 0), 0);
		cache_close(cache);
	}
	test_case ("a blob is in use by its downloader, too, and others can find it") {
		struct cache *cache = open_new();
		struct cache_fetch *fetch = NULL;
		check_int(begin(cache, &fetch), 0);
		autoclose int fd = fcntl(cache_fetch_fd(fetch), F_DUPFD_CLOEXEC, 3);
		check(fd >= 0);
		put(fetch, HELLO);
		check_int(cache_fetch_commit(fetch, &failure), 0);
		check_int(removal(cache, SCAN_BLOB, false), SCAN_IN_USE);
		check_int(find(cache, 0), 1);
		cache_close(cache);
	}
	test_case ("a download under way is in use, an interrupted one is not") {
		struct cache *cache = open_new();
		struct cache_fetch *fetch = NULL;
		check_int(begin(cache, &fetch), 0);
		check_int(removal(cache, SCAN_PARTIAL, false), SCAN_IN_USE);
		scan_remove_locks(cache, 0);
		check(exists(hex_path[LOCK]));
		cache_fetch_abandon(fetch, true);
		check_int(removal(cache, SCAN_PARTIAL, false), SCAN_REMOVED);
		check(!exists(hex_path[PARTIAL]) && !exists(hex_path[LOCK]));
		cache_close(cache);
	}
	test_case ("the file of one that downloads alone is in use") {
		struct cache *cache = open_new();
		struct cache_fetch *fetch = NULL, *stalled = NULL;
		cache->stalled_s = 0;
		check_int(begin(cache, &stalled), 0);
		check_int(begin(cache, &fetch), 0);
		cache_fetch_abandon(stalled, false);
		check_int(removal(cache, SCAN_PARTIAL, false), SCAN_IN_USE);
		cache_fetch_abandon(fetch, true);
		check_int(removal(cache, SCAN_PARTIAL, false), SCAN_REMOVED);
		cache_close(cache);
	}
	test_case ("locks that nobody holds are removed, but not fresh ones") {
		struct cache *cache = open_new();
		scratch_file(hex_path[LOCK], "");
		scan_remove_locks(cache, 100);
		check(exists(hex_path[LOCK]));
		age(hex_path[LOCK], 200);
		scan_remove_locks(cache, 100);
		check(!exists(hex_path[LOCK]));
		cache_close(cache);
	}
	test_case ("names that no cache would give are neither listed nor touched") {
		static const char *const names[] = { "cache/blobs/sha256/.nfs0001", "cache/blobs/sha256/abc", "cache/partial/md5-abc",
						     "cache/locks/readme",	  "cache/derived/README",   "cache/notes" };
		struct cache *cache = open_new();
		autoscan struct scan scan;
		for (size_t i = 0; i < COUNT(names); i++)
			scratch_file(names[i], "x");
		check_int(scan_open(cache, &scan, &failure), 0);
		check_int(scan.count, 0);
		scan_remove_locks(cache, 0);
		for (size_t i = 0; i < COUNT(names); i++)
			check(exists(names[i]));
		cache_close(cache);
	}
	test_case ("the least recently used comes first, and holes do not make sizes overflow") {
		struct cache *cache = open_new();
		autoscan struct scan scan;
		cache_blob_store(cache, &hello, HELLO, HELLO_BYTES);
		for (int i = 0; i < 3; i++) {
			char path[64];
			snprintf(path, sizeof(path), "cache/images/%d", i);
			scratch_file(path, "x");
			if (truncate(path, (off_t)8 << 40) == 0)
				age(path, 1000 * (i + 1));
		}
		check_int(scan_open(cache, &scan, &failure), 0);
		check_int(scan.count, 4);
		check_str(scan.entries[0].name, "2");
		check_str(scan_text(&scan.entries[3]), hello.text);
		check_int(scan.bytes, ((uint64_t)24 << 40) + HELLO_BYTES);
		cache_close(cache);
	}
}

int main(void)
{
	scratch_enter();
	hello_init();
	test_place();
	test_download();
	test_store();
	test_many();
	test_races();
	test_lockless();
	test_planted();
	test_shared();
	test_full();
	test_scan();
	return test_end();
}
