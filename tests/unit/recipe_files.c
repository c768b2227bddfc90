/* SPDX-License-Identifier: Apache-2.0
 *
 * builder/recipe/files.c and what it calls: lines of %files, where their files go, what they are there, and what is refused. Each
 * case has a directory of its own with the host's files in src and the image's in root.
 */
#include "builder/recipe/files.h"

#include "builder/oci/digest.h"
#include "lib/cleanup.h"
#include "lib/err.h"
#include "tests/tap.h"
#include "tests/unit/scratch.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>

enum { TIME = 1000000000, NOT_POSSIBLE = 99 };

static struct err failure;

/* --- help --- */

/* A new case's directory. */
static void fresh(void)
{
	static int number;
	char name[32];
	snprintf(name, sizeof(name), "case-%d", ++number);
	if (chdir(scratch.path) < 0 || mkdir(name, 0755) < 0 || chdir(name) < 0 || mkdir("src", 0755) < 0 ||
	    mkdir("root", 0755) < 0 || mkdir("stage", 0755) < 0)
		err(99, "%s", name);
}

static void set_time(const char *path, time_t seconds)
{
	struct timespec times[] = { { .tv_sec = seconds }, { .tv_sec = seconds, .tv_nsec = 5 } };
	if (utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW) < 0)
		err(99, "%s", path);
}

static struct stat stat_of(const char *path)
{
	struct stat st = { 0 };
	lstat(path, &st);
	return st;
}

static const char *read_file(const char *path)
{
	autoclose int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? "missing" : scratch_content(fd);
}

static const char *read_link(const char *path)
{
	static char text[PATH_MAX];
	ssize_t bytes = readlink(path, text, sizeof(text) - 1);
	text[bytes < 0 ? 0 : bytes] = '\0';
	return text;
}

static bool same_inode(const char *a, const char *b)
{
	struct stat x = stat_of(a), y = stat_of(b);
	return x.st_ino != 0 && x.st_ino == y.st_ino;
}

static struct files_list *parse(const char *text)
{
	struct files_list *list = NULL;
	failure = (struct err)ERR_INIT;
	files_parse(text, 10, "recipe.def", &list, &failure);
	return list;
}

static int copy_from(const struct walk_source *source, const char *text, struct owners *owners)
{
	struct files_list *list = parse(text);
	autoclose int root = scratch_open_dir("root");
	int r = list == NULL ? failure.code : files_copy(list, source, root, owners, &failure);
	files_free(list);
	return r;
}

/* Copies what the text says from src. */
static int copy(const char *text)
{
	struct owners *owners = owners_new();
	autoclose int directory = scratch_open_dir("src");
	struct walk_source source = { .directory_fd = directory, .name = "/home/src" };
	int r = copy_from(&source, text, owners);
	owners_free(owners);
	return r;
}

/* The same from a stage, with its owners. */
static int copy_stage(const char *text, const struct owners *from, struct owners *to)
{
	autoclose int directory = scratch_open_dir("stage");
	struct walk_source source = { .directory_fd = directory, .name = "build", .is_stage = true, .owners = from };
	return copy_from(&source, text, to);
}

static int digest_own(const char *text, const struct stat *own, struct digest *ret)
{
	struct files_list *list = parse(text);
	autoclose int directory = scratch_open_dir("src");
	struct walk_source source = { .directory_fd = directory, .name = "/home/src", .own = own, .own_count = own != NULL };
	struct hash *hash = hash_new(NULL);
	int r = list == NULL ? failure.code : files_digest(list, &source, hash, &failure);
	hash_digest(hash, ret);
	hash_free(hash);
	files_free(list);
	return r;
}

static struct digest digest(const char *text)
{
	struct digest ret = { "" };
	digest_own(text, NULL, &ret);
	return ret;
}

/* Runs it as an ordinary user who owns the current directory's stage and root. -1 where that is not possible; 0 if all its checks
 * held. */
static int as_user(void (*run)(void))
{
	const struct passwd *user = getpwnam("simgtest");
	if (geteuid() != 0) {
		run();
		return tap.failed;
	}
	if (user == NULL)
		return -1;
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		if (chown("root", user->pw_uid, user->pw_gid) < 0 || chown("stage", user->pw_uid, user->pw_gid) < 0 ||
		    setgroups(0, NULL) < 0 || setresgid(user->pw_gid, user->pw_gid, user->pw_gid) < 0 ||
		    setresuid(user->pw_uid, user->pw_uid, user->pw_uid) < 0)
			_exit(NOT_POSSIBLE); /* root of a user namespace */
		run();
		fflush(stdout);
		_exit(tap.failed);
	}
	int status;
	waitpid(pid, &status, 0);
	if (WIFEXITED(status) && WEXITSTATUS(status) == NOT_POSSIBLE)
		return -1;
	tap.failed |= status != 0;
	return status;
}

/* --- the text --- */

static void test_parse(void)
{
	static const struct {
		const char *text, *message, *hint;
	} bad[] = {
		{ "a b c", "recipe.def:10: more than a source and a destination: what is 'c'?", "a name with blanks" },
		{ "a\n\n# c\na 'b c' d", "recipe.def:13: more than a source and a destination: what is 'd'?", "quotes" },
		{ "a 'b", "recipe.def:10: a quote is not closed", "\\'" },
		{ "\"a\nb\"", "recipe.def:10: a quote is not closed", "\\\"" },
		{ "\"a\\", "recipe.def:10: the line ends with a backslash", "each line" },
		{ "a b\\\nc", "recipe.def:10: the line ends with a backslash", "cannot go on" },
		{ "'' /b", "recipe.def:10: the source is empty", "" },
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		test_case ("the line '%s' is refused", bad[i].text) {
			check(parse(bad[i].text) == NULL);
			check_int(failure.code, -EINVAL);
			check_str(failure.text, bad[i].message);
			check_has(failure.hint, bad[i].hint);
		}
	test_case ("comments, blank lines and carriage returns say nothing") {
		fresh();
		scratch_file("src/a", "A");
		scratch_file("src/b#c", "B");
		check_int(copy("\n  # comment\r\n\ta /x   # one more\r\n\n   b#c\r\n#"), 0);
		check_str(read_file("root/x"), "A");
		check_str(read_file("root/b#c"), "B");
	}
	test_case ("an empty section is no error")
		check_int(copy(""), 0);
	test_case ("quotes and backslashes keep blanks in a name") {
		fresh();
		scratch_file("src/a b", "A");
		scratch_file("src/it's", "I");
		check_int(copy("\"a b\" '/x y/1'\na\\ b /x\\ y/2\n'a b' \"/x y/\"\"3\"\n\"it's\" \"/\\\"q\\\"\" "), 0);
		check_str(read_file("root/x y/1"), "A");
		check_str(read_file("root/x y/2"), "A");
		check_str(read_file("root/x y/3"), "A");
		check_str(read_file("root/\"q\""), "I");
	}
	test_case ("wildcards hold in double quotes, but not in single ones") {
		fresh();
		scratch_file("src/a b/1.c", "1");
		scratch_file("src/a b/*.c", "*");
		check_int(copy("\"a b/*.c\" /all/\n'a b/*.c' /one/\na\\ b/\\*.c /two/"), 0);
		check_str(read_file("root/all/1.c"), "1");
		check_str(read_file("root/one/1.c"), "missing");
		check_str(read_file("root/one/*.c"), "*");
		check_str(read_file("root/two/1.c"), "missing");
	}
	test_case ("a destination is no pattern") {
		fresh();
		scratch_file("src/a", "A");
		check_int(copy("a /{b,c}*"), 0);
		check_str(read_file("root/{b,c}*"), "A");
	}
}

/* --- where to --- */

static void test_destinations(void)
{
	test_case ("without a destination a file keeps its path") {
		fresh();
		scratch_file("src/a/b", "A");
		char text[PATH_MAX + 128], absolute[PATH_MAX + 128];
		check_int(copy("a/b\n./a/../a/b\n"), 0);
		check_str(read_file("root/a/b"), "A");
		snprintf(absolute, sizeof(absolute), "%s/absolute", scratch.path);
		scratch_file(absolute, "X");
		snprintf(text, sizeof(text), "%s/../%s/absolute", scratch.path, strrchr(scratch.path, '/') + 1);
		check_int(copy(text), 0);
		snprintf(text, sizeof(text), "root%s/absolute", scratch.path);
		check_str(read_file(text), "X");
	}
	test_case ("without a destination a directory is added to what is there") {
		fresh();
		scratch_file("src/etc/b", "B");
		scratch_file("root/etc/a", "A");
		check_int(copy("etc/"), 0);
		check_str(read_file("root/etc/a"), "A");
		check_str(read_file("root/etc/b"), "B");
	}
	test_case ("a destination that is missing becomes the file, and its directories are made") {
		fresh();
		scratch_file("src/a", "A");
		check_int(copy("a /x/y/z"), 0);
		check_str(read_file("root/x/y/z"), "A");
		check_int(stat_of("root/x/y").st_mode, S_IFDIR | 0755);
	}
	test_case ("a relative destination begins at the root") {
		fresh();
		scratch_file("src/a", "A");
		check_int(copy("a opt/b"), 0);
		check_str(read_file("root/opt/b"), "A");
	}
	test_case ("into a directory a source goes under its own name") {
		fresh();
		scratch_file("src/d/a", "A");
		scratch_mkdirs("root/opt/");
		check_int(copy("d/a /opt\nd /opt\nd /slash/\nd/ /dot/."), 0);
		check_str(read_file("root/opt/a"), "A");
		check_str(read_file("root/opt/d/a"), "A");
		check_str(read_file("root/slash/d/a"), "A");
		check_str(read_file("root/dot/d/a"), "A");
	}
	test_case ("a directory becomes a destination that is missing") {
		fresh();
		scratch_file("src/d/e/a", "A");
		check_int(copy("d /new"), 0);
		check_str(read_file("root/new/e/a"), "A");
	}
	test_case ("'.' and 'DIR/.' are the content of a directory") {
		fresh();
		scratch_file("src/d/.a", "A");
		scratch_mkdirs("root/opt/");
		check_int(copy(". /opt\nd/. /opt\n. /new/\n. /\nd/.. /up"), 0);
		check_str(read_file("root/opt/d/.a"), "A");
		check_str(read_file("root/opt/.a"), "A");
		check_str(read_file("root/new/d/.a"), "A");
		check_str(read_file("root/d/.a"), "A");
		check_str(read_file("root/up/d/.a"), "A");
	}
	test_case ("a source that matches several files makes a directory of its destination") {
		fresh();
		scratch_file("src/a.c", "A");
		scratch_file("src/b.c", "B");
		check_int(copy("*.c /code\n{a,b}.c"), 0);
		check_str(read_file("root/code/a.c"), "A");
		check_str(read_file("root/code/b.c"), "B");
		check_str(read_file("root/b.c"), "B");
	}
	test_case ("a destination that has to be a directory and is a file is refused") {
		fresh();
		scratch_file("src/a.c", "A");
		scratch_file("src/b.c", "B");
		scratch_file("root/file", "");
		check_int(copy("\n*.c /file"), -ENOTDIR);
		check_str(failure.text, "recipe.def:11: the destination '/file' is not a directory in the image");
		check_has(failure.hint, "the source matches several files");
		check_int(copy("a.c /file/"), -ENOTDIR);
		check_int(copy("a.c /file/below"), -ENOTDIR);
		check_has(failure.hint, "choose another destination");
	}
	test_case ("files replace files, with a new inode") {
		fresh();
		scratch_file("src/a", "new");
		scratch_file("root/a", "old");
		check_int(link("root/a", "root/b"), 0);
		check_int(copy("a"), 0);
		check_str(read_file("root/a"), "new");
		check_str(read_file("root/b"), "old");
	}
	test_case ("a directory does not replace a file, nor a file a directory") {
		fresh();
		scratch_file("src/d/f", "");
		scratch_file("src/x/d", "");
		scratch_file("root/file", "");
		scratch_mkdirs("root/in/x/d/");
		check_int(copy("d /file"), -ENOTDIR);
		check_str(failure.text, "recipe.def:10: cannot write the directory 'd' over the file '/file' of the image");
		check_has(failure.hint, "remove the file first");
		check_int(copy("x /in"), -EISDIR);
		check_str(failure.text, "recipe.def:10: cannot write the file 'x/d' over the directory '/in/x/d' of the image");
		check_has(failure.hint, "remove the directory first");
		check_int(copy("d/f /"), 0);
		check_str(read_file("root/f"), "");
	}
}

static void test_escapes(void)
{
	char outside[PATH_MAX];
	test_case ("symlinks of the root do not lead out") {
		fresh();
		scratch_file("src/d/a", "A");
		snprintf(outside, sizeof(outside), "%s/outside", scratch.path);
		mkdir(outside, 0755);
		scratch_link(outside, "root/etc");
		scratch_link("../../../../../..", "root/up");
		check_int(copy("d/a /etc/a\nd/a /up/b\nd/a /../../c\nd /up/"), 0);
		snprintf(outside, sizeof(outside), "%s/outside/a", scratch.path);
		check_str(read_file(outside), "missing");
		snprintf(outside, sizeof(outside), "root%s/outside/a", scratch.path);
		check_str(read_file(outside), "A");
		check_str(read_file("root/b"), "A");
		check_str(read_file("root/c"), "A");
		check_str(read_file("root/d/a"), "A");
	}
	test_case ("below a directory that is added to, symlinks do not lead out either") {
		fresh();
		scratch_file("src/tree/etc/a", "A");
		scratch_file("src/tree/file", "F");
		snprintf(outside, sizeof(outside), "%s/outside", scratch.path);
		scratch_mkdirs("root/usr/etc/");
		snprintf(outside, sizeof(outside), "%s/outside/file", scratch.path);
		scratch_link("/usr/etc", "root/etc");
		scratch_link(outside, "root/file");
		check_int(copy("tree/. /"), 0);
		check_str(read_link("root/etc"), "/usr/etc");
		check_str(read_file("root/usr/etc/a"), "A");
		check_str(read_file(outside), "missing");
		snprintf(outside, sizeof(outside), "root%s/outside/file", scratch.path);
		check_str(read_file(outside), "F");
	}
	test_case ("/var/tmp that is a symlink to /tmp stays one") {
		fresh();
		scratch_file("src/a", "A");
		scratch_mkdirs("root/tmp/");
		scratch_link("/tmp", "root/var/tmp");
		check_int(copy("a /var/tmp/\na /var/tmp/b"), 0);
		check_str(read_file("root/tmp/a"), "A");
		check_str(read_file("root/tmp/b"), "A");
		check_str(read_link("root/var/tmp"), "/tmp");
	}
	test_case ("a symlink to what does not exist is written through, inside the root") {
		fresh();
		scratch_file("src/a", "A");
		scratch_link("/run/x/resolv.conf", "root/etc/resolv.conf");
		check_int(copy("a /etc/resolv.conf"), 0);
		check_str(read_file("root/run/x/resolv.conf"), "A");
		check_str(read_link("root/etc/resolv.conf"), "/run/x/resolv.conf");
	}
	test_case ("a directory is not written through a symlink to a file") {
		fresh();
		scratch_file("src/t/d/a", "A");
		scratch_file("root/file", "");
		scratch_link("file", "root/d");
		check_int(copy("t/. /"), -ENOTDIR);
		check_has(failure.text, "cannot write the directory 't/./d' over the file '/file' of the image");
	}
	test_case ("a loop of symlinks in the root is an error") {
		fresh();
		scratch_file("src/a", "A");
		scratch_link("loop", "root/loop");
		check_int(copy("a /loop/b"), -ELOOP);
		check_has(failure.text, "recipe.def:10: cannot use the destination '/loop/b': Too many levels of symbolic links");
	}
}

/* --- what --- */

static void test_host(void)
{
	test_case ("symlinks of the source are followed, in directories too") {
		fresh();
		scratch_file("src/real/a", "A");
		scratch_link("../real", "src/t/dir");
		scratch_link("../real/a", "src/t/file");
		scratch_link("real/a", "src/link");
		check_int(copy("t /t\nlink /link"), 0);
		check_int(stat_of("root/t/dir").st_mode, S_IFDIR | 0755);
		check_str(read_file("root/t/dir/a"), "A");
		check_str(read_file("root/t/file"), "A");
		check_str(read_file("root/link"), "A");
	}
	test_case ("permissions and times are kept, set-user-ID and set-group-ID bits are not") {
		fresh();
		scratch_file("src/d/a", "A");
		chmod("src/d/a", 06751);
		chmod("src/d", 02711);
		set_time("src/d/a", TIME);
		set_time("src/d", TIME + 1);
		umask(077);
		check_int(copy("d /x/d"), 0);
		umask(022);
		check_int(stat_of("root/x/d/a").st_mode, S_IFREG | 0751);
		check_int(stat_of("root/x/d").st_mode, S_IFDIR | 0711);
		check_int(stat_of("root/x").st_mode, S_IFDIR | 0755);
		check_int(stat_of("root/x/d/a").st_mtim.tv_sec, TIME);
		check_int(stat_of("root/x/d/a").st_mtim.tv_nsec, 5);
		check_int(stat_of("root/x/d").st_mtim.tv_sec, TIME + 1);
	}
	test_case ("directories that were there keep their time, and those that are made have the source's") {
		fresh();
		scratch_file("src/a", "A");
		scratch_file("src/etc/b", "B");
		set_time("src/a", TIME);
		scratch_mkdirs("root/etc/");
		set_time("root/etc", TIME + 1);
		set_time("root", TIME + 2);
		check_int(copy("a /etc/new/x/a\netc"), 0);
		check_int(stat_of("root/etc/new").st_mtim.tv_sec, TIME);
		check_int(stat_of("root/etc/new/x").st_mtim.tv_sec, TIME);
		check_int(stat_of("root/etc").st_mtim.tv_sec, TIME + 1);
		check_int(stat_of("root").st_mtim.tv_sec, TIME + 2);
	}
	test_case ("holes stay holes") {
		fresh();
		autoclose int fd = open("src/sparse", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
		check(pwrite(fd, "x", 1, 8 << 20) == 1 && pwrite(fd, "y", 1, 0) == 1 && ftruncate(fd, 64 << 20) == 0);
		if (stat_of("src/sparse").st_blocks > 1 << 10)
			test_skip("a file system with holes");
		check_int(copy("sparse"), 0);
		check_int(stat_of("root/sparse").st_size, 64 << 20);
		check(stat_of("root/sparse").st_blocks < 1 << 10);
		check_int(system("cmp src/sparse root/sparse"), 0);
	}
	test_case ("a file that is nothing but a hole is copied") {
		fresh();
		scratch_file("src/hole", "");
		check_int(truncate("src/hole", 1 << 20), 0);
		check_int(copy("hole"), 0);
		check_int(stat_of("root/hole").st_size, 1 << 20);
	}
	test_case ("a file of /proc, which says that it is empty, is copied") {
		fresh();
		check_int(copy("/proc/version /version\n/proc/sys/kernel/ostype /ostype"), 0);
		check(stat_of("root/version").st_size > 0);
		check_str(read_file("root/ostype"), "Linux\n");
	}
	test_case ("hard links are kept within a line, but not through symlinks") {
		fresh();
		scratch_file("src/d/a", "A");
		check(link("src/d/a", "src/d/b") == 0 && mkdir("src/d/e", 0755) == 0 && link("src/d/a", "src/d/e/c") == 0);
		scratch_link("a", "src/d/z");
		check_int(copy("d /d\nd/* /g/\nd/b /b"), 0);
		check(same_inode("root/d/a", "root/d/b"));
		check(same_inode("root/d/a", "root/d/e/c"));
		check(!same_inode("root/d/a", "root/d/z"));
		check_str(read_file("root/d/z"), "A");
		check(same_inode("root/g/a", "root/g/e/c"));
		check(!same_inode("root/g/a", "root/d/a"));
		check(!same_inode("root/b", "root/d/b"));
		check_int(copy("d/. /d"), 0);
		check(same_inode("root/d/a", "root/d/e/c"));
	}
	test_case ("a hard link whose first name was written over is copied again") {
		fresh();
		scratch_file("src/1/x", "same");
		scratch_file("src/2/x", "other");
		scratch_mkdirs("src/3/");
		check(link("src/1/x", "src/3/x") == 0 && link("src/2/x", "src/two") == 0);
		check_int(copy("{1,2,3}/x /d/"), 0);
		check_str(read_file("root/d/x"), "same");
		check_int(copy("{1,2,1,3,2}/x /d/"), 0);
		check_str(read_file("root/d/x"), "other");
	}
	test_case ("names that are no UTF-8 are copied") {
		fresh();
		scratch_file("src/caf\xe9/\xff\n", "A");
		check_int(copy("caf\xe9 /\xfe\ncaf? /d/"), 0);
		check_str(read_file("root/\xfe/\xff\n"), "A");
		check_str(read_file("root/d/caf\xe9/\xff\n"), "A");
	}
	test_case ("a big directory is copied whole") {
		fresh();
		char name[64];
		for (int i = 0; i < 3000; i++) {
			snprintf(name, sizeof(name), "src/big/%d", i);
			scratch_file(name, name);
		}
		int before = scratch_fd_count();
		check_int(copy("big"), 0);
		check_int(scratch_fd_count(), before);
		check_int(system("diff -r src/big root/big"), 0);
	}
}

static void test_host_refusals(void)
{
	test_case ("a source that does not exist is an error with line and hint") {
		fresh();
		check_int(copy("\n\nno /x"), -ENOENT);
		check_str(failure.text, "recipe.def:12: there is no 'no'");
		check_str(failure.hint, "paths are relative to '/home/src'");
		check_int(copy("/no/*.c /x"), -ENOENT);
		check_str(failure.text, "recipe.def:10: nothing matches '/no/*.c'");
		check_str(failure.hint, "");
		check_int(copy("$HOME/x /x"), -ENOENT);
		check_has(failure.hint, "variables are not expanded");
	}
	test_case ("a symlink that leads nowhere is an error") {
		fresh();
		scratch_link("nowhere", "src/d/link");
		check_int(copy("d /x"), -ENOENT);
		check_str(failure.text, "recipe.def:10: the symlink 'd/link' leads to a file that does not exist");
		check_has(failure.hint, "mend or remove the symlink");
		check_int(copy("d/link /x"), -ENOENT);
	}
	test_case ("loops of symlinks are errors") {
		fresh();
		scratch_link("self", "src/d/self");
		check_int(copy("d /x"), -ELOOP);
		check_has(failure.text, "cannot read 'd/self': Too many levels of symbolic links");
		fresh();
		scratch_link("../..", "src/d/e/up");
		check_int(copy("d /x"), -ELOOP);
		check_str(failure.text, "recipe.def:10: the symlink 'd/e/up/d' leads back to a directory that it is in");
		check_has(failure.hint, "symlinks are followed");
	}
	test_case ("FIFOs, sockets and devices are errors") {
		fresh();
		scratch_mkdirs("src/d/");
		check_int(mkfifo("src/d/pipe", 0644), 0);
		check_int(copy("d /x"), -EINVAL);
		check_str(failure.text, "recipe.def:10: cannot copy 'd/pipe': it is a FIFO");
		check_has(failure.hint, "only regular files and directories");
		struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = "src/socket" };
		autoclose int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		check_int(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
		check_int(copy("socket /x"), -EINVAL);
		check_has(failure.text, "cannot copy 'socket': it is a socket");
		check_int(copy("/dev/null /x"), -EINVAL);
		check_has(failure.text, "cannot copy '/dev/null': it is a device");
	}
	test_case ("a source that holds the root leaves the root out") {
		fresh();
		scratch_file("src/a", "A");
		check_int(rename("root", "src/root"), 0);
		check_int(symlink("src/root", "root"), 0);
		check_int(copy(". /all"), 0);
		check_str(read_file("root/all/a"), "A");
		check_int(stat_of("root/all/root").st_mode, 0);
		check_int(copy("root /x"), -EPERM);
		check_str(failure.text, "recipe.def:10: cannot copy 'root', which this build itself is writing");
	}
	test_case ("a source inside the root does not copy itself for ever") {
		fresh();
		scratch_file("root/d/e/a", "A");
		check_int(rmdir("src"), 0);
		check_int(symlink("root", "src"), 0);
		check_int(copy("d /d/e/"), -EINVAL);
		check_has(failure.text, "into itself");
		check_int(copy("d"), -EINVAL);
		check_has(failure.text, "cannot copy the directory 'd' to itself");
		check_int(copy("d/e/a /"), 0);
		check_int(copy("a /a"), -EINVAL);
		check_has(failure.text, "cannot copy 'a' to itself");
		check_str(read_file("root/a"), "A");
	}
}

static void user_unreadable(void)
{
	check_int(copy("d /x"), -EACCES);
	check_has(failure.text, "recipe.def:10: cannot read 'd/secret': Permission denied");
	check_has(failure.hint, "make it readable for the user who builds");
	check_int(copy("closed/* /x"), -ENOENT);
	check_int(copy("closed/a /x"), -ENOENT);
}

/* A user's own files and directories stay usable for him; what they are to be is recorded. */
static void user_modes(void)
{
	struct owners *owners = owners_new();
	struct owner_key key;
	struct stat st;
	autoclose int directory = scratch_open_dir("src");
	struct walk_source source = { .directory_fd = directory, .name = "/home/src" };
	check_int(copy_from(&source, "d /x", owners), 0);
	check_int(stat_of("root/x").st_mode, S_IFDIR | 0755);
	check_int(owner_key_read(AT_FDCWD, "root/x", 0, &key, &st), 0);
	const struct owner *owner = owners_find(owners, &key);
	if (check(owner != NULL)) {
		owner_apply(owner, &st);
		check_int(st.st_mode, S_IFDIR | 0555);
	}
	check_int(copy_from(&source, "d/a /x/b", owners), 0);
	check_str(read_file("root/x/b"), "A");
	owners_free(owners);
}

static void test_users(void)
{
	test_case ("a file that may not be read is an error") {
		fresh();
		scratch_file("src/d/secret", "");
		scratch_file("src/closed/a", "");
		chmod("src/d/secret", 0);
		chmod("src/closed", 0);
		int r = as_user(user_unreadable);
		chmod("src/closed", 0755);
		if (r < 0)
			test_skip("a user simgtest");
	}
	test_case ("an ordinary user's directories stay writable on disk, and what they are is recorded") {
		fresh();
		scratch_file("src/d/a", "A");
		chmod("src/d", 0555);
		int r = as_user(user_modes);
		chmod("src/d", 0755);
		if (r < 0)
			test_skip("a user simgtest");
	}
	test_case ("root reads a file without permissions, and keeps them") {
		if (geteuid() != 0)
			test_skip("root");
		fresh();
		scratch_file("src/secret", "A");
		chmod("src/secret", 0);
		check_int(copy("secret"), 0);
		check_int(stat_of("root/secret").st_mode, S_IFREG);
	}
}

/* --- stages --- */

static void record(struct owners *owners, const char *path, const struct owner *owner)
{
	struct owner_key key;
	struct stat st;
	if (owner_key_read(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, &key, &st) < 0 || owners_set(owners, &key, owner) < 0)
		errx(99, "%s", path);
}

/* What a file of the root is in the image. */
static const struct owner *image_stat(const struct owners *owners, const char *path, struct stat *st)
{
	struct owner_key key;
	*st = (struct stat){ 0 };
	if (owner_key_read(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, &key, st) < 0)
		return NULL;
	const struct owner *owner = owners_find(owners, &key);
	owner_apply(owner, st);
	return owner;
}

static void check_stage_copy(void)
{
	struct owners *from = owners_new(), *to = owners_new();
	struct xattr capability = { .name = "security.capability", .value = "\1\0\0\2abc", .value_bytes = 7 };
	scratch_file("stage/app/bin/tool", "T");
	scratch_file("stage/app/null", "");
	check_int(link("stage/app/bin/tool", "stage/app/tool2"), 0);
	scratch_link("/etc/none", "stage/app/link");
	check_int(mkfifo("stage/app/pipe", 0600), 0);
	chmod("stage/app/bin/tool", 04755);
	chmod("stage/app/null", 0400);
	set_time("stage/app/link", TIME);
	set_time("stage/app/bin/tool", TIME + 1);
	set_time("stage/app/bin", TIME + 2);
	record(from, "stage/app/bin/tool", &(struct owner){ .uid = 7, .gid = 8, .xattrs = &capability, .xattr_count = 1 });
	record(from, "stage/app/null", &(struct owner){ .type = S_IFCHR, .device_number = 0x103, .mode = 0666, .disk_mode = 0400 });
	record(from, "stage/app/link", &(struct owner){ .uid = 9, .gid = 9 });
	record(from, "stage/app/bin", &(struct owner){ .gid = 5, .mode = 02750, .disk_mode = 0755 });
	check_int(copy_stage("/app /opt/app", from, to), 0);
	check_str(failure.text, "");

	struct stat st;
	const struct owner *owner = image_stat(to, "root/opt/app/bin/tool", &st);
	check(st.st_uid == 7 && st.st_gid == 8);
	check_int(st.st_mode, S_IFREG | 04755);
	check_int(st.st_mtim.tv_sec, TIME + 1);
	check(same_inode("root/opt/app/bin/tool", "root/opt/app/tool2"));
	if (check(owner != NULL && owner->xattr_count == 1))
		check(strcmp(owner->xattrs[0].name, "security.capability") == 0 && owner->xattrs[0].value_bytes == 7);
	image_stat(to, "root/opt/app/null", &st);
	check_int(st.st_mode, S_IFCHR | 0666);
	check_int(st.st_rdev, makedev(1, 3));
	image_stat(to, "root/opt/app/link", &st);
	check_int(st.st_uid, 9);
	check_str(read_link("root/opt/app/link"), "/etc/none");
	check_int(st.st_mtim.tv_sec, TIME);
	image_stat(to, "root/opt/app/bin", &st);
	check(st.st_uid == 0 && st.st_gid == 5);
	check_int(st.st_mode, S_IFDIR | 02750);
	check_int(st.st_mtim.tv_sec, TIME + 2);
	image_stat(to, "root/opt/app/pipe", &st);
	check_int(st.st_mode, S_IFIFO | 0600);
	check(image_stat(to, "root/opt", &st) == NULL);
	owners_free(from);
	owners_free(to);
}

static bool births_known(void)
{
	autoclose int fd = scratch_open_dir(".");
	return owners_possible(fd);
}

static void test_stage(void)
{
	test_case ("from a stage come owners, modes, times, links, devices and attributes") {
		fresh();
		if (!births_known())
			test_skip("a file system that knows times of birth");
		check_stage_copy();
	}
	test_case ("so they do for an ordinary user") {
		fresh();
		if (!births_known())
			test_skip("a file system that knows times of birth");
		if (as_user(check_stage_copy) < 0)
			test_skip("a user simgtest");
	}
	test_case ("attributes of users come on disk") {
		fresh();
		struct owners *owners = owners_new();
		scratch_file("stage/a", "A");
		char value[8] = "";
		bool possible = setxattr("stage/a", "user.comment", "hello", 5, 0) == 0;
		check_int(copy_stage("/a", NULL, owners), 0);
		if (possible)
			check_int(getxattr("root/a", "user.comment", value, sizeof(value)), 5);
		owners_free(owners);
		if (!possible)
			test_skip("attributes of users");
	}
	test_case ("only the named source is followed, inside the stage, and keeps its own name") {
		fresh();
		struct owners *owners = owners_new();
		scratch_file("stage/opt/.view/abc/a", "A");
		scratch_link("a", "stage/opt/.view/abc/link");
		scratch_link("/opt/.view/abc", "stage/opt/view");
		scratch_mkdirs("root/opt/");
		check_int(copy_stage("/opt/view /opt\nopt/v* /glob/\n/opt/view", NULL, owners), 0);
		check_str(read_file("root/opt/view/a"), "A");
		check_str(read_link("root/opt/view/link"), "a");
		check_str(read_file("root/glob/view/a"), "A");
		owners_free(owners);
	}
	test_case ("a stage's symlinks do not lead to files of the host") {
		fresh();
		struct owners *owners = owners_new();
		char outside[PATH_MAX];
		snprintf(outside, sizeof(outside), "%s/secret", scratch.path);
		scratch_file(outside, "secret");
		scratch_link(outside, "stage/link");
		check_int(copy_stage("/link /x", NULL, owners), -ENOENT);
		check_has(failure.text, "recipe.def:10: '/link' leads to '/");
		check_has(failure.text, "which does not exist in the stage");
		check_int(copy_stage("../../../secret /x", NULL, owners), -ENOENT);
		check_str(failure.hint, "paths are those of the stage 'build'");
		owners_free(owners);
	}
	test_case ("below its destination a file of a stage replaces a symlink, and a symlink a file") {
		fresh();
		struct owners *owners = owners_new();
		scratch_file("stage/t/a", "A");
		scratch_link("target", "stage/t/b");
		scratch_file("stage/t/lib/c", "C");
		scratch_file("root/x/other", "other");
		scratch_link("other", "root/x/a");
		scratch_file("root/x/b", "B");
		scratch_mkdirs("root/usr/lib/");
		scratch_link("../usr/lib", "root/x/lib");
		check_int(copy_stage("/t/. /x", NULL, owners), 0);
		check_str(read_file("root/x/a"), "A");
		check_str(read_file("root/x/other"), "other");
		check_str(read_link("root/x/b"), "target");
		check_str(read_file("root/usr/lib/c"), "C");
		owners_free(owners);
	}
	test_case ("a directory that is there becomes what the stage's is") {
		fresh();
		struct owners *from = owners_new(), *to = owners_new();
		struct stat st;
		scratch_mkdirs("stage/d/");
		scratch_mkdirs("root/d/");
		record(from, "stage/d", &(struct owner){ .uid = 3, .gid = 4 });
		record(to, "root/d", &(struct owner){ .uid = 5, .gid = 6 });
		chmod("stage/d", 0700);
		check_int(copy_stage("/d", from, to), 0);
		image_stat(to, "root/d", &st);
		check(st.st_uid == 3 && st.st_gid == 4);
		check_int(st.st_mode, S_IFDIR | 0700);
		record(from, "stage/d", &(struct owner){ 0 });
		check_int(copy_stage("/d", from, to), 0);
		check(image_stat(to, "root/d", &st) == NULL);
		owners_free(from);
		owners_free(to);
	}
	test_case ("the owner of a file that is replaced is forgotten") {
		fresh();
		struct owners *owners = owners_new();
		struct stat st;
		scratch_file("stage/a", "A");
		scratch_file("root/a", "old");
		record(owners, "root/a", &(struct owner){ .uid = 5, .gid = 6 });
		check_int(copy_stage("/a", NULL, owners), 0);
		check(image_stat(owners, "root/a", &st) == NULL);
		owners_free(owners);
	}
	test_case ("sockets of a stage are passed over") {
		fresh();
		struct owners *owners = owners_new();
		struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = "stage/socket" };
		autoclose int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		check_int(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
		check_int(copy_stage("/ /all", NULL, owners), 0);
		check_int(stat_of("root/all/socket").st_mode, 0);
		owners_free(owners);
	}
}

/* --- the digest --- */

static void test_digest(void)
{
	test_case ("the digest changes with every file that is copied, and with nothing else") {
		fresh();
		scratch_file("src/d/a", "A");
		scratch_file("src/d/b", "B");
		scratch_file("src/other", "");
		set_time("src/d/a", TIME);
		set_time("src/d/b", TIME);
		set_time("src/d", TIME);
		struct digest first = digest("d /x"), second = digest("\n# comment\n  d\t/x #"), third;
		check(digest_is_set(&first));
		check_str(second.text, first.text);
		scratch_file("src/other", "changed");
		third = digest("d /x");
		check_str(third.text, first.text);
#define check_other(change) do { change; third = digest("d /x"); check(!digest_equal(&third, &first)); first = third; } while (0)
		check_other(scratch_file("src/d/a", "X"); set_time("src/d/a", TIME));
		check_other(set_time("src/d/a", TIME + 1));
		check_other(chmod("src/d/a", 0600));
		check_other(set_time("src/d", TIME + 1));
		check_other(chmod("src/d", 0700));
		check_other(rename("src/d/b", "src/d/c"); set_time("src/d", TIME + 1));
		check_other(unlink("src/d/c"); set_time("src/d", TIME + 1));
		check_other(scratch_link("../other", "src/d/link"); set_time("src/d", TIME + 1));
		check_other(scratch_file("src/other", "behind the symlink"));
		check_other(mkdir("src/d/e", 0755); set_time("src/d", TIME + 1));
		check_other(check_int(link("src/d/a", "src/d/z"), 0); set_time("src/d", TIME + 1));
		check_other(unlink("src/d/z"); check_int(system("cp -p src/d/a src/d/z"), 0); set_time("src/d", TIME + 1));
	}
	test_case ("the digest changes with the words and with what a pattern matches") {
		fresh();
		scratch_file("src/a.c", "A");
		struct digest first = digest("*.c /x"), second = digest("*.c /y"), third = digest("a.c /x");
		check(!digest_equal(&first, &second) && !digest_equal(&first, &third));
		scratch_file("src/b.c", "B");
		second = digest("*.c /x");
		check(!digest_equal(&first, &second));
	}
	test_case ("the digest fails where the copy would") {
		fresh();
		struct digest ignored;
		scratch_link("nowhere", "src/d/link");
		check_int(digest_own("d /x", NULL, &ignored), -ENOENT);
		check_has(failure.text, "recipe.def:10: the symlink 'd/link' leads to a file that does not exist");
		check_int(digest_own("*.c /x", NULL, &ignored), -ENOENT);
	}
	test_case ("what the build itself writes is no part of the digest") {
		fresh();
		struct digest first, second;
		scratch_file("src/a", "A");
		scratch_file("src/work/x", "1");
		struct stat own = stat_of("src/work");
		check_int(digest_own(".", &own, &first), 0);
		scratch_file("src/work/x", "2");
		scratch_file("src/.lock", "");
		unlink("src/.lock");
		check_int(digest_own(".", &own, &second), 0);
		check_str(second.text, first.text);
		check_int(digest_own("work", &own, &second), -EPERM);
	}
	test_case ("of a stage the digest takes the words alone") {
		fresh();
		struct digest first, second;
		autoclose int directory = scratch_open_dir("stage");
		struct walk_source source = { .directory_fd = directory, .name = "build", .is_stage = true };
		struct files_list *list = parse("/no/such /x");
		struct hash *hash = hash_new(NULL);
		check_int(files_digest(list, &source, hash, &failure), 0);
		hash_digest(hash, &first);
		digest_of("", 0, &second);
		check(!digest_equal(&first, &second));
		hash_free(hash);
		files_free(list);
	}
}

int main(void)
{
	scratch_enter();
	test_parse();
	test_destinations();
	test_escapes();
	test_host();
	test_host_refusals();
	test_users();
	test_stage();
	test_digest();
	return test_end();
}
