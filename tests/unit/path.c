/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/path.h"

#include "lib/cleanup.h"
#include "lib/err.h"
#include "tests/tap.h"
#include "tests/unit/scratch.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { RENAME_EXCHANGE_FLAG = 2, RACE_TRIES = 20000 };

/* --- strings --- */

static void test_strings(void)
{
	static const struct {
		const char *path, *base;
		bool beneath;
	} beneath[] = {
		{ "/a", "/a", true },	 { "/a/b", "/a", true },  { "/ab", "/a", false }, { "/a", "/a/b", false },
		{ "/anything", "/", true }, { "/", "/", true },	   { "/", "/a", false },
	};
	for (size_t i = 0; i < COUNT(beneath); i++)
		test_case ("'%s' is %sbeneath '%s'", beneath[i].path, beneath[i].beneath ? "" : "not ", beneath[i].base)
			check_int(path_is_beneath(beneath[i].path, beneath[i].base), beneath[i].beneath);

	static const struct {
		const char *path;
		bool has;
	} dotdot[] = {
		{ "..", true }, { "/..", true }, { "a/../b", true }, { "/a/..", true },	   { "/a/../", true },
		{ "", false },	{ "/a", false }, { "/...", false },  { "/a..b/c", false }, { "/..a", false },
	};
	for (size_t i = 0; i < COUNT(dotdot); i++)
		test_case ("'%s' has %s '..' component", dotdot[i].path, dotdot[i].has ? "a" : "no")
			check_int(path_has_dotdot(dotdot[i].path), dotdot[i].has);
}

static void test_normalise(void)
{
	static const struct {
		const char *path, *expected;
	} good[] = {
		{ "/", "/" },
		{ "//", "/" },
		{ "/.", "/" },
		{ "/a", "/a" },
		{ "/a/", "/a" },
		{ "//a///b/./c//", "/a/b/c" },
		{ "/./.", "/" },
		{ "/...", "/..." },
		{ "/.a/b.", "/.a/b." },
		{ "/a b/$(c)\n", "/a b/$(c)\n" },
	};
	for (size_t i = 0; i < COUNT(good); i++)
		test_case ("'%s' normalises", good[i].path) {
			struct err err = ERR_INIT;
			autofree char *path = NULL;
			check_int(path_normalise(good[i].path, "path", &path, &err), 0);
			check_str(path, good[i].expected);
		}

	static const struct {
		const char *path;
		int r;
		const char *message;
	} bad[] = {
		{ "", -EINVAL, "bind target '' is not an absolute path" },
		{ "a/b", -EINVAL, "bind target 'a/b' is not an absolute path" },
		{ "./a", -EINVAL, "bind target './a' is not an absolute path" },
		{ "/a/../b", -EINVAL, "bind target '/a/../b' contains '..'" },
		{ "/..", -EINVAL, "bind target '/..' contains '..'" },
	};
	for (size_t i = 0; i < COUNT(bad); i++)
		test_case ("'%s' is refused", bad[i].path) {
			struct err err = ERR_INIT;
			char *path = NULL;
			check_int(path_normalise(bad[i].path, "bind target", &path, &err), bad[i].r);
			check_str(err.text, bad[i].message);
			check(path == NULL);
		}

	char text[PATH_MAX + 2];
	memset(text, 'a', sizeof(text));
	text[0] = '/';
	test_case ("the longest path there can be normalises") {
		autofree char *path = NULL;
		text[PATH_MAX - 1] = '\0';
		check_int(path_normalise(text, "path", &path, NULL), 0);
		check_str(path, text);
	}
	test_case ("a path longer than one can be is refused, and the message shows its beginning only") {
		struct err err = ERR_INIT;
		char *path = NULL;
		text[PATH_MAX - 1] = 'a';
		text[PATH_MAX] = '\0';
		check_int(path_normalise(text, "bind target", &path, &err), -ENAMETOOLONG);
		check_has(err.text, "bind target is 4096 bytes long, more than a path can be: '/aaa");
		check(strlen(err.text) < 200);
	}
}

/* --- resolution --- */

/* The tree: "root" is the root of the container, what lies beside it must never be reached. */
static void make_tree(void)
{
	scratch_file("secret", "outside");
	scratch_file("outside/y/secret", "outside");
	scratch_file("root/secret", "inside");
	scratch_file("root/a/b/file", "");
	scratch_file("root/x/y/file", "");
	scratch_link("/a/b", "root/absolute");
	scratch_link("a/b", "root/relative");
	scratch_link("a/b/file", "root/tofile");
	scratch_link("..", "root/a/up");
	scratch_link("../../../../..", "root/a/b/high");
	scratch_link("../../secret", "root/a/escape");
	scratch_link("/../../secret", "root/a/climb");
	scratch_link("self", "root/self");
	scratch_link("/loop2", "root/loop1");
	scratch_link("a/../loop1", "root/loop2");
	scratch_link("gone", "root/dangling");
	scratch_link("/run/./systemd//resolve/conf", "root/a/conf");
	scratch_link("../gone/../secret", "root/a/dangledots");
	scratch_link("gone/", "root/dangleslash");
	for (int i = 0; i <= 41; i++) {
		char name[32], target[32];
		snprintf(name, sizeof(name), "root/chain%d", i);
		snprintf(target, sizeof(target), "chain%d", i - 1);
		scratch_link(i == 0 ? "a" : target, name);
	}
}

static const struct {
	const char *path;
	int r;
	const char *real, *missing;
} places[] = {
	/* plain */
	{ "/", 0, "/", "" },
	{ "", 0, "/", "" },
	{ ".", 0, "/", "" },
	{ "/a/b", 0, "/a/b", "" },
	{ "a/b", 0, "/a/b", "" },
	{ "//a/.//b/", 0, "/a/b", "" },
	{ "/a/b/file", 0, "/a/b/file", "" },
	/* '..' */
	{ "/..", 0, "/", "" },
	{ "/../../secret", 0, "/secret", "" },
	{ "/a/b/../../../../../a", 0, "/a", "" },
	{ "/a/b/..", 0, "/a", "" },
	/* symlinks */
	{ "/absolute", 0, "/a/b", "" },
	{ "/absolute/file", 0, "/a/b/file", "" },
	{ "/absolute/../up/a", 0, "/a", "" },
	{ "/relative/file", 0, "/a/b/file", "" },
	{ "/tofile", 0, "/a/b/file", "" },
	{ "/a/up/a/up", 0, "/", "" },
	{ "/a/b/high/secret", 0, "/secret", "" },
	{ "/a/escape", 0, "/secret", "" },
	{ "/a/climb", 0, "/secret", "" },
	/* what does not exist */
	{ "/new", 0, "/", "new" },
	{ "/a/new/dir", 0, "/a", "new/dir" },
	{ "/a//new/./dir/", 0, "/a", "new/dir" },
	{ "/absolute/new", 0, "/a/b", "new" },
	{ "/dangling", 0, "/", "gone" },
	{ "/dangling/more", 0, "/", "gone/more" },
	{ "/dangleslash", 0, "/", "gone" },
	{ "/dangleslash/more", 0, "/", "gone/more" },
	{ "/a/conf", 0, "/", "run/systemd/resolve/conf" },
	{ "/a/b/../new", 0, "/a", "new" },
	{ "/new/../secret", -ENOENT },
	{ "/new/..", -ENOENT },
	{ "/a/dangledots", -ENOENT },
	/* loops and chains: 40 links are followed */
	{ "/self", -ELOOP },
	{ "/self/a", -ELOOP },
	{ "/loop1", -ELOOP },
	{ "/chain39", 0, "/a", "" },
	{ "/chain39/b/file", 0, "/a/b/file", "" },
	{ "/chain40", -ELOOP },
	{ "/chain41", -ELOOP },
	/* a file is no directory */
	{ "/a/b/file/x", -ENOTDIR },
	{ "/a/b/file/", -ENOTDIR },
	{ "/a/b/file/.", -ENOTDIR },
	{ "/a/b/file/..", -ENOTDIR },
	{ "/tofile/x", -ENOTDIR },
	{ "/tofile/", -ENOTDIR },
};

/* Does the descriptor stand for what real names below the root? */
static bool fd_is(int fd, const char *real)
{
	char path[PATH_MAX];
	struct stat a, b;
	snprintf(path, sizeof(path), "root%s", real);
	return fstat(fd, &a) == 0 && lstat(path, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

static void test_resolve(int root)
{
	for (size_t i = 0; i < COUNT(places); i++)
		test_case ("in the root, '%s' %s %s", places[i].path, places[i].r < 0 ? "is refused:" : "leads to",
			   places[i].r < 0 ? strerror(-places[i].r) : places[i].real) {
			struct err err = ERR_INIT;
			autoplace struct path_place place = PATH_PLACE_INIT;
			int before = scratch_fd_count();
			check_int(path_resolve(root, places[i].path, &place, &err), places[i].r);
			if (places[i].r < 0) {
				char message[256];
				snprintf(message, sizeof(message), "cannot resolve '%s': %s", places[i].path, strerror(-places[i].r));
				check_str(err.text, message);
				check_int(place.fd, -1);
				check_int(scratch_fd_count(), before);
				break;
			}
			check_str(place.real, places[i].real);
			check_str(place.missing, places[i].missing);
			check(fd_is(place.fd, places[i].real));
			check_int(fcntl(place.fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
			check_int(scratch_fd_count(), before + 1);
		}
}

static void expect_too_long(int root, const char *path)
{
	struct err err = ERR_INIT;
	autoplace struct path_place place = PATH_PLACE_INIT;
	int before = scratch_fd_count();
	check_int(path_resolve(root, path, &place, &err), -ENAMETOOLONG);
	check_has(err.text, strlen(path) >= PATH_MAX ? "path of 4096 bytes is too long" : "File name too long");
	check_int(scratch_fd_count(), before);
}

/* A directory of `depth` levels named d below root/deep. */
static void make_deep(int depth)
{
	int dir = scratch_open_dir("root");
	mkdirat(dir, "deep", 0755);
	int at = openat(dir, "deep", O_PATH | O_DIRECTORY | O_CLOEXEC);
	close(dir);
	for (int i = 0; i < depth; i++) {
		mkdirat(at, "d", 0755);
		int next = openat(at, "d", O_PATH | O_DIRECTORY | O_CLOEXEC);
		close(at);
		at = next;
	}
	close(at);
}

static char *repeat(char *out, const char *head, const char *part, int count)
{
	char *end = stpcpy(out, head);
	for (int i = 0; i < count; i++)
		end = stpcpy(end, part);
	return out;
}

static void test_limits(int root)
{
	static char path[4 * PATH_MAX], link[PATH_MAX];
	make_deep(520);
	test_case ("a path of 510 directories resolves") {
		autoplace struct path_place place = PATH_PLACE_INIT;
		check_int(path_resolve(root, repeat(path, "/deep", "/d", 509), &place, NULL), 0);
		check_str(place.real, path);
	}
	test_case ("a path deeper than a walk goes is refused")
		expect_too_long(root, repeat(path, "/deep", "/d", 515));
	test_case ("going up and down again has no limit of its own") {
		autoplace struct path_place place = PATH_PLACE_INIT;
		check_int(path_resolve(root, repeat(path, "", "/a/..", 800), &place, NULL), 0);
		check_str(place.real, "/");
	}
	test_case ("a name of 255 bytes resolves, one of 256 is refused") {
		autoplace struct path_place place = PATH_PLACE_INIT;
		check_int(path_resolve(root, repeat(path, "/", "n", 255), &place, NULL), 0);
		check_str(place.missing, path + 1);
		expect_too_long(root, repeat(path, "/", "n", 256));
	}
	test_case ("a path of 4095 bytes resolves, one of 4096 is refused") {
		autoplace struct path_place place = PATH_PLACE_INIT;
		check_int(path_resolve(root, repeat(path, "/", "./", 2047), &place, NULL), 0);
		check_str(place.real, "/");
		expect_too_long(root, repeat(path, "", "./", 2048));
	}
	test_case ("links that expand into more than a walk holds are refused") {
		for (int i = 0; i < 3; i++) {
			char name[32], next[32];
			snprintf(name, sizeof(name), "root/long%d", i);
			snprintf(next, sizeof(next), "long%d", i + 1);
			scratch_link(repeat(link, next, "/.", 2000), name);
		}
		expect_too_long(root, repeat(path, "/long0", "/x", 20));
	}
	test_case ("a walk that runs out of descriptors fails cleanly") {
		struct err err = ERR_INIT;
		autoplace struct path_place place = PATH_PLACE_INIT;
		struct rlimit saved, few = { .rlim_cur = 64, .rlim_max = 64 };
		int before = scratch_fd_count(), held[64], count = 0;
		getrlimit(RLIMIT_NOFILE, &saved);
		few.rlim_max = saved.rlim_max;
		setrlimit(RLIMIT_NOFILE, &few);
		while ((held[count] = dup(root)) >= 0)
			count++;
		close(held[--count]);
		int r = path_resolve(root, "/a/b/file", &place, &err);
		while (count > 0)
			close(held[--count]);
		setrlimit(RLIMIT_NOFILE, &saved);
		check_int(r, -EMFILE);
		check_str(err.text, "cannot resolve '/a/b/file': Too many open files");
		check_int(scratch_fd_count(), before);
	}
	test_case ("the caller's permission counts: a closed directory cannot be walked through") {
		if (geteuid() == 0)
			test_skip("root may walk everywhere");
		struct err err = ERR_INIT;
		autoplace struct path_place place = PATH_PLACE_INIT;
		scratch_file("root/closed/file", "");
		chmod("root/closed", 0);
		check_int(path_resolve(root, "/closed/file", &place, &err), -EACCES);
		check_str(err.text, "cannot resolve '/closed/file': Permission denied");
		chmod("root/closed", 0755);
	}
}

/* --- somebody renames while we walk --- */

static pid_t exchange_for_ever(const char *a, const char *b)
{
	pid_t pid = fork();
	if (pid != 0)
		return pid;
	for (;;)
		syscall(SYS_renameat2, AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE_FLAG);
}

static void race(int root, const char *a, const char *b, const char *path)
{
	struct stat outside, outside_deep, st;
	int reached = 0, lost = 0;
	stat("secret", &outside);
	stat("keep/secret", &outside_deep);
	pid_t pid = exchange_for_ever(a, b);
	for (int i = 0; i < RACE_TRIES && (i < 2000 || reached == 0 || lost == 0); i++) {
		autoplace struct path_place place = PATH_PLACE_INIT;
		int r = path_resolve(root, path, &place, NULL);
		if (r < 0 || place.missing[0] != '\0') {
			lost++;
			continue;
		}
		reached++;
		fstat(place.fd, &st);
		if (!check(st.st_ino != outside.st_ino && st.st_ino != outside_deep.st_ino))
			break;
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	check(reached > 0);
}

static void test_races(int root)
{
	scratch_file("keep/secret", "outside");
	test_case ("no walk leaves the root while a directory moves out of it and back") {
		/* With "..", the kernel would go to where the directory is by then: beside the root. */
		scratch_file("root/x/secret", "inside");
		scratch_file("root/x/y/z/file", "");
		scratch_file("keep/y/z/file", "");
		race(root, "root/x/y", "keep/y", "/x/y/z/../../secret");
		race(root, "root/x/y", "keep/y", "/x/y/z/../../../../secret");
	}
	test_case ("no walk leaves the root while a directory and a symlink change places") {
		scratch_link("../../../..", "root/x/link");
		scratch_file("root/x/dir/secret", "inside");
		race(root, "root/x/link", "root/x/dir", "/x/dir/secret");
		unlink("root/x/link");
	}
}

int main(void)
{
	scratch_enter();
	make_tree();
	int root = scratch_open_dir("root");
	test_strings();
	test_normalise();
	test_resolve(root);
	test_limits(root);
	test_races(root);
	close(root);
	return test_end();
}
