/* SPDX-License-Identifier: Apache-2.0
 *
 * builder/workdir/ on real directories: no change escapes a delta, nothing else is in it, and layers give the directory again. Run
 * as root, and in a user namespace (tests/build/workdir.t).
 *
 *	workdir extract IMAGE DIRECTORY NEW-IMAGE   fills a new work directory from an image, and makes an image of it
 *	workdir record DIRECTORY UID GID            loads and saves a sandbox's record
 *	workdir save DIRECTORY UID GID              saves it, with nothing known of any file
 */
#include "builder/dir_walk.h"
#include "builder/workdir/record_owners.h"
#include "lib/cleanup.h"
#include "tests/tap.h"
#include "tests/unit/scratch.h"
#include "tests/unit/work.h"

#include <errno.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>

/* --- what a script could do, in the current directory --- */

static void put(const char *path, const char *text)
{
	scratch_file(path, text);
}

/* Other bytes of the same length, and the time that it had. */
static void rewrite(const char *path, const char *text)
{
	struct stat st;
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0 || pwrite(fd, text, strlen(text), 0) < 0)
		err(99, "%s", path);
	const struct timespec times[] = { st.st_atim, st.st_mtim };
	futimens(fd, times);
	close(fd);
}

static void touch(const char *path, time_t seconds)
{
	const struct timespec times[] = { { .tv_sec = seconds }, { .tv_sec = seconds } };
	if (utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW) < 0)
		err(99, "%s", path);
}

static void must(int r, const char *path)
{
	if (r < 0)
		err(99, "%s", path);
}

static void remove_all(const char *path)
{
	must(nftw(path, scratch_remove_one, 16, FTW_DEPTH | FTW_PHYS), path);
}

static struct owner owner_get(const struct work *work, const char *path, struct owner_key *ret_key)
{
	struct stat st;
	work_must(owner_key_read(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, ret_key, &st));
	const struct owner *owner = owners_find(work->owners, ret_key);
	return owner != NULL ? *owner : (struct owner){ 0 };
}

/* As under a fake root. */
static void own(struct work *work, const char *path, uint32_t uid, uint32_t gid)
{
	struct owner_key key;
	struct owner owner = owner_get(work, path, &key);
	owner.uid = uid;
	owner.gid = gid;
	work_must(owners_set(work->owners, &key, &owner));
}

static void label(struct work *work, const char *path, const char *name, const char *value)
{
	struct owner_key key;
	struct owner owner = owner_get(work, path, &key);
	struct xattr xattr = { name, value, strlen(value) };
	owner.xattrs = &xattr;
	owner.xattr_count = 1;
	work_must(owners_set(work->owners, &key, &owner));
}

static void device(struct work *work, const char *path, uint32_t type, uint32_t number)
{
	struct owner_key key;
	put(path, "");
	struct owner owner = owner_get(work, path, &key);
	owner.type = type;
	owner.device_number = number;
	work_must(owners_set(work->owners, &key, &owner));
}

static void make_socket(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	must(fd < 0 ? -1 : bind(fd, (struct sockaddr *)&address, sizeof(address)), path);
	close(fd);
}

/* --- one change each --- */

/* Enters a new directory with some of everything, and takes its baseline. */
static void scene_begin(struct work *work)
{
	struct maker maker;
	struct target_stats stats;
	work_make(work, "work");
	must(chdir("work"), "work");
	put("etc/passwd", "root");
	must(symlink("passwd", "etc/link"), "etc/link");
	put("bin/hard1", "text");
	must(link("bin/hard1", "bin/hard2"), "bin/hard2");
	put("bin/tool", "#!/bin/sh\n");
	must(setxattr("bin/tool", "user.comment", "text", 4, 0), "bin/tool");
	own(work, "bin/tool", 17, 18);
	put("lib/deep/er/file", "text");
	put("lib/deep/other", "text");
	must(mkdir("empty", 0755), "empty");
	put("locked/file", "text");
	must(chmod("locked/file", 0) < 0 ? -1 : chmod("locked", 0), "locked");
	device(work, "dev/null", S_IFCHR, 0x103);
	put("odd\n\xe9", "text");
	maker_begin(&maker, "../base.simg", 4096);
	struct load load = work_load(maker.tree, maker.target);
	work_read(work, &load);
	maker_must(&maker, target_finish(maker.target, maker.tree, 1000000000, &stats, &maker.err));
	work->tree = steal_ptr(&maker.tree);
	target_free(maker.target);
	output_free(maker.output);
	work_baseline(work);
}

static void scene_end(struct work *work)
{
	must(chdir(".."), "..");
	work_free(work);
	remove_all("work");
}

/* Appends the paths of a delta's tree: "etc/ etc/passwd -bin/gone". */
static void node_list(FILE *out, const struct node *node, const char *path)
{
	for (const struct node *child = node->inode->children; child != NULL; child = child->sibling) {
		char *below;
		bool gone = child->inode->mode == S_IFCHR && child->inode->xattrs != NULL;
		if (asprintf(&below, "%s%s%s", path, child->name, S_ISDIR(child->inode->mode) ? "/" : "") < 0)
			err(99, "asprintf");
		fprintf(out, "%s%s ", gone ? "-" : "", below);
		if (S_ISDIR(child->inode->mode))
			node_list(out, child, below);
		free(below);
	}
}

/* What is in the delta, in one static buffer. */
static const char *changes(struct work *work)
{
	static char text[4096];
	struct maker maker;
	struct target_stats stats;
	struct delta *delta = work_delta(work);
	memset(text, 0, sizeof(text));
	if (delta_is_empty(delta)) {
		delta_free(delta);
		return "nothing";
	}
	maker_begin(&maker, "../delta.simg", 4096);
	struct load load = work_load(maker.tree, maker.target);
	work_must(delta_load(delta, &load, &work_err));
	maker_must(&maker, target_finish(maker.target, maker.tree, 1000000000, &stats, &maker.err));
	FILE *out = fmemopen(text, sizeof(text) - 1, "w");
	node_list(out, tree_root(maker.tree), "");
	fclose(out);
	target_free(maker.target);
	tree_free(maker.tree);
	output_free(maker.output);
	delta_free(delta);
	return text;
}

static void change_nothing(struct work *work)
{
	char byte;
	int fd = open("etc/passwd", O_RDONLY | O_CLOEXEC);
	(void)work;
	must(fd < 0 || read(fd, &byte, 1) < 0 ? -1 : 0, "etc/passwd");
	close(fd);
}

static void change_content(struct work *work)
{
	(void)work;
	rewrite("etc/passwd", "toor");
}

static void change_mode(struct work *work)
{
	(void)work;
	must(chmod("etc/passwd", 0600), "etc/passwd");
}

static void change_locked(struct work *work)
{
	(void)work;
	rewrite("locked/file", "TEXT");
}

static void change_owner(struct work *work)
{
	own(work, "etc/passwd", 1, 2);
}

static void change_owner_directory(struct work *work)
{
	own(work, "empty", 1, 2);
}

static void change_owner_back(struct work *work)
{
	struct owner_key key;
	owner_get(work, "bin/tool", &key);
	owners_remove(work->owners, &key);
}

static void change_label(struct work *work)
{
	label(work, "etc/link", "trusted.name", "value");
}

static void change_xattr(struct work *work)
{
	(void)work;
	must(setxattr("bin/tool", "user.comment", "TEXT", 4, 0), "bin/tool");
}

static void change_xattr_gone(struct work *work)
{
	(void)work;
	must(removexattr("bin/tool", "user.comment"), "bin/tool");
}

static void change_device(struct work *work)
{
	struct owner_key key;
	struct owner owner = owner_get(work, "dev/null", &key);
	owner.device_number = 0x105;
	work_must(owners_set(work->owners, &key, &owner));
}

static void change_time(struct work *work)
{
	(void)work;
	touch("empty", 1);
	touch("etc/link", 1);
}

static void change_name(struct work *work)
{
	(void)work;
	must(rename("etc/passwd", "etc/shadow"), "etc/shadow");
}

static void change_directory_name(struct work *work)
{
	(void)work;
	must(rename("lib", "lib64"), "lib64");
}

static void change_two_names(struct work *work)
{
	(void)work;
	must(renameat2(AT_FDCWD, "lib/deep/er/file", AT_FDCWD, "lib/deep/other", RENAME_EXCHANGE), "lib/deep/other");
}

static void change_name_over(struct work *work)
{
	(void)work;
	must(rename("lib/deep/er/file", "etc/passwd"), "etc/passwd");
}

static void change_link_more(struct work *work)
{
	(void)work;
	must(link("bin/tool", "empty/tool"), "empty/tool");
}

static void change_link_less(struct work *work)
{
	(void)work;
	must(unlink("bin/hard1"), "bin/hard1");
}

static void change_linked(struct work *work)
{
	(void)work;
	rewrite("bin/hard2", "TEXT");
}

static void change_to_directory(struct work *work)
{
	(void)work;
	must(unlink("etc/passwd"), "etc/passwd");
	put("etc/passwd/file", "text");
}

static void change_to_file(struct work *work)
{
	(void)work;
	remove_all("lib/deep");
	put("lib/deep", "text");
}

static void change_to_symlink(struct work *work)
{
	(void)work;
	must(rename("lib", "empty/lib"), "lib");
	must(symlink("empty/lib", "lib"), "lib");
}

static void change_target(struct work *work)
{
	(void)work;
	must(unlink("etc/link") < 0 ? -1 : symlink("passwd", "etc/link"), "etc/link");
}

static void change_gone(struct work *work)
{
	(void)work;
	remove_all("lib");
	must(unlink("odd\n\xe9"), "odd");
}

static void change_new(struct work *work)
{
	(void)work;
	put("new/directory/file", "text");
	must(mkfifo("empty/fifo", 0644), "empty/fifo");
	device(work, "dev/zero", S_IFCHR, 0x105);
}

static void change_same(struct work *work)
{
	struct stat st;
	must(stat("etc/passwd", &st), "etc/passwd");
	put("etc/new", "root");
	touch("etc/new", st.st_mtime);
	must(rename("etc/new", "etc/passwd"), "etc/passwd");
	(void)work;
}

static void change_made_again(struct work *work)
{
	(void)work;
	remove_all("lib");
	put("lib/deep/er/new", "text");
}

static void change_socket(struct work *work)
{
	(void)work;
	must(unlink("etc/passwd"), "etc/passwd");
	make_socket("etc/passwd");
	make_socket("empty/socket");
}

static void change_left_out(struct work *work)
{
	static const char *const left_out[] = { "labels", "locked", "empty", "odd\n\xe9", NULL };
	work->left_out = left_out;
	put("labels", "text");
	must(chmod("locked", 0700) < 0 ? -1 : chmod("locked/file", 0600), "locked/file");
	put("empty/file", "text");
	must(unlink("odd\n\xe9"), "odd");
}

static void change_deep(struct work *work)
{
	char name[256];
	(void)work;
	memset(name, 'd', 255);
	name[255] = '\0';
	int fd = open("empty", O_RDONLY | O_CLOEXEC);
	for (int i = 0; i < 3; i++) {
		must(mkdirat(fd, name, 0), name);
		int next = openat(fd, name, O_RDONLY | O_CLOEXEC);
		close(fd);
		fd = next;
	}
	close(fd);
}

static char deep_list[2400];

static const struct {
	const char *sentence;
	void (*change)(struct work *work);
	const char *expected;
} kinds[] = {
	{ "reading is no change", change_nothing, "nothing" },
	{ "other content of the same length and time", change_content, "etc/ etc/passwd " },
	{ "a mode", change_mode, "etc/ etc/passwd " },
	{ "a file that nobody may read, in a directory that nobody may enter", change_locked, "locked/ locked/file " },
	{ "an owner that is only recorded", change_owner, "etc/ etc/passwd " },
	{ "… of a directory", change_owner_directory, "empty/ " },
	{ "… and that is no more", change_owner_back, "bin/ bin/tool " },
	{ "an attribute that is only recorded, of a symlink", change_label, "etc/ etc/link " },
	{ "an attribute", change_xattr, "bin/ bin/tool " },
	{ "an attribute that is no more", change_xattr_gone, "bin/ bin/tool " },
	{ "a device's number", change_device, "dev/ dev/null " },
	{ "the time of a directory and of a symlink", change_time, "empty/ etc/ etc/link " },
	{ "a name", change_name, "etc/ -etc/passwd etc/shadow " },
	{ "a directory's name", change_directory_name,
	  "-lib lib64/ lib64/deep/ lib64/deep/er/ lib64/deep/er/file lib64/deep/other " },
	{ "two names that were exchanged", change_two_names, "lib/ lib/deep/ lib/deep/er/ lib/deep/er/file lib/deep/other " },
	{ "a name that took another's place", change_name_over, "etc/ etc/passwd lib/ lib/deep/ lib/deep/er/ -lib/deep/er/file " },
	{ "a second name", change_link_more, "bin/ bin/tool empty/ empty/tool " },
	{ "one name less", change_link_less, "bin/ -bin/hard1 bin/hard2 " },
	{ "a file under all its names", change_linked, "bin/ bin/hard1 bin/hard2 " },
	{ "a directory for a file", change_to_directory, "etc/ etc/passwd/ etc/passwd/file " },
	{ "a file for a directory", change_to_file, "lib/ lib/deep " },
	{ "a symlink for a directory, which is elsewhere", change_to_symlink,
	  "empty/ empty/lib/ empty/lib/deep/ empty/lib/deep/er/ empty/lib/deep/er/file empty/lib/deep/other lib " },
	{ "a symlink that was made again", change_target, "etc/ etc/link " },
	{ "a tree and a file that are gone", change_gone, "-lib -odd\n\xe9 " },
	{ "what is new", change_new, "dev/ dev/zero empty/ empty/fifo new/ new/directory/ new/directory/file " },
	{ "the same content in another file", change_same, "etc/ etc/passwd " },
	{ "a directory that was removed and made again", change_made_again,
	  "lib/ lib/deep/ lib/deep/er/ -lib/deep/er/file lib/deep/er/new -lib/deep/other " },
	{ "a socket is as good as nothing", change_socket, "empty/ etc/ -etc/passwd " },
	{ "paths that are left out, whatever became of them", change_left_out, "" },
	{ "directories with long names that nobody may enter", change_deep, deep_list },
};

static void kinds_test(void)
{
	char name[257] = "";
	memset(name, 'd', 255);
	name[255] = '/';
	snprintf(deep_list, sizeof(deep_list), "empty/ empty/%s empty/%s%s empty/%s%s%s ", name, name, name, name, name, name);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		test_case ("change: %s", kinds[i].sentence) {
			struct work work;
			scene_begin(&work);
			kinds[i].change(&work);
			check_str(changes(&work), kinds[i].expected);
			scene_end(&work);
		}
	}
}

/* --- what is not one change --- */

/* As where a rename leaves the time of change alone. */
static void time_forge(struct work *work, const char *was, const char *is)
{
	struct stat st;
	must(lstat(is, &st), is);
	baseline_find(work->baseline, tree_find(work->tree, was)->inode)->change_ns =
		st.st_ctim.tv_sec * INT64_C(1000000000) + st.st_ctim.tv_nsec;
}

/* A mount in a namespace of its own: returns what the delta has then, or NULL where that is not possible. */
static const char *changes_mounted(struct work *work)
{
	static char text[4096];
	int pipes[2], status;
	must(pipe(pipes), "pipe");
	pid_t child = fork();
	if (child == 0) {
		if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
		    mount("none", "empty", "tmpfs", 0, NULL) < 0 || mount("bin/tool", "etc/passwd", NULL, MS_BIND, NULL) < 0 ||
		    mount("lib", "stub", NULL, MS_BIND, NULL) < 0)
			_exit(1);
		work->fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* in the new namespace */
		put("empty/file", "text");
		const char *found = changes(work);
		_exit(write(pipes[1], found, strlen(found)) < 0);
	}
	close(pipes[1]);
	ssize_t bytes = read(pipes[0], text, sizeof(text) - 1);
	text[bytes > 0 ? bytes : 0] = '\0';
	close(pipes[0]);
	return waitpid(child, &status, 0) == child && status == 0 ? text : NULL;
}

static void other_tests(void)
{
	struct work work;

	test_case ("a change right behind the baseline is found") {
		scene_begin(&work);
		for (int i = 0; i < 200; i++) {
			work_baseline(&work);
			rewrite("etc/passwd", i % 2 == 0 ? "toor" : "root");
			if (!check_str(changes(&work), "etc/ etc/passwd "))
				break;
		}
		scene_end(&work);
	}

	test_case ("a new name is found where the time of change stays") {
		scene_begin(&work);
		must(rename("bin/hard2", "bin/hard3"), "bin/hard3");
		time_forge(&work, "bin/hard2", "bin/hard3");
		must(rename("etc/passwd", "lib/passwd"), "lib/passwd");
		time_forge(&work, "etc/passwd", "lib/passwd");
		check_str(changes(&work), "bin/ bin/hard1 -bin/hard2 bin/hard3 etc/ -etc/passwd lib/ lib/passwd ");
		scene_end(&work);
	}

	test_case ("an inode's next file has nothing of the one before") {
		struct owner_key key;
		struct stat before, after;
		scene_begin(&work);
		must(stat("bin/tool", &before), "bin/tool");
		must(unlink("bin/tool"), "bin/tool");
		put("bin/tool", "#!/bin/sh\n");
		must(stat("bin/tool", &after), "bin/tool");
		check_int(owner_get(&work, "bin/tool", &key).uid, 0);
		check_str(changes(&work), "bin/ bin/tool ");
		scene_end(&work);
		if (before.st_ino != after.st_ino)
			test_skip("this file system does not use numbers of inodes again at once");
	}

	test_case ("what is mounted does not matter") {
		scene_begin(&work);
		must(mkdir("stub", 0755), "stub");
		const char *mounted = changes_mounted(&work);
		if (mounted != NULL)
			check_str(mounted, "");
		check_str(changes(&work), "stub/ ");
		scene_end(&work);
		if (mounted == NULL)
			test_skip("no mounts here");
	}

	test_case ("a baseline can be taken again, with the same tree") {
		scene_begin(&work);
		put("etc/passwd", "other");
		work_baseline(&work);
		check_str(changes(&work), "nothing");
		scene_end(&work);
	}

	test_case ("times that the clock has not reached count as changed") {
		scene_begin(&work);
		baseline_find(work.baseline, tree_find(work.tree, "etc/passwd")->inode)->key.inode = 0;
		check_str(changes(&work), "etc/ etc/passwd ");
		scene_end(&work);
	}

	test_case ("a table copies attributes, whatever was at their place before") {
		struct xattr xattr = { "user.name", "value", 5 };
		struct owner owner = { .uid = 1, .xattrs = &xattr, .xattr_count = 0 };
		struct owner_key key = { .device = 1, .inode = 2, .birth_ns = 3 };
		struct owners *owners = owners_new();
		check_int(owners_set(owners, &key, &owner), 0);
		owner.xattr_count = 1;
		check_int(owners_set(owners, &key, &owner), 0);
		xattr.name = "user.other";
		check_str(owners_find(owners, &key)->xattrs[0].name, "user.name");
		owners_free(owners);
	}

	test_case ("no descriptor is lost") {
		int before = scratch_fd_count();
		scene_begin(&work);
		change_made_again(&work);
		changes(&work);
		scene_end(&work);
		check_int(scratch_fd_count(), before);
	}
}

/* --- random changes --- */

static uint64_t seed;

static unsigned pick(unsigned count)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(seed >> 33) % count;
}

enum { PATHS_MAX = 4096 };

/* All paths below the current directory. */
struct paths {
	char *items[PATHS_MAX];
	mode_t types[PATHS_MAX];
	unsigned count;
};

static void paths_read(struct paths *paths)
{
	struct dir_walk walk;
	const char *name;
	struct stat st;
	paths->count = 0;
	work_must(dir_walk_begin(&walk));
	work_must(dir_walk_enter(&walk, open(".", O_RDONLY | O_CLOEXEC)));
	while (dir_walk_next(&walk, &name) > 0 && paths->count < PATHS_MAX) {
		must(fstatat(walk.level->fd, name, &st, AT_SYMLINK_NOFOLLOW), name);
		paths->items[paths->count] = strdup(dir_walk_path(&walk));
		paths->types[paths->count++] = st.st_mode & S_IFMT;
		if (S_ISDIR(st.st_mode))
			work_must(dir_walk_enter(&walk, openat(walk.level->fd, name, O_RDONLY | O_CLOEXEC)));
	}
	dir_walk_end(&walk);
}

static void paths_free(struct paths *paths)
{
	while (paths->count > 0)
		free(paths->items[--paths->count]);
}

/* A path that may be there or not, in a directory that is. */
static const char *path_new(const struct paths *paths)
{
	static const char *const names[] = { "a", "b", "c", "d", "e", "f", "\xff\xfe", "new\nline", "with space", ".hidden", "%41=",
					     "z" };
	static char path[PATH_MAX];
	unsigned at = paths->count == 0 ? 0 : pick(paths->count + 3);
	bool taken = at < paths->count && S_ISDIR(paths->types[at]) && strlen(paths->items[at]) < 200;
	const char *directory = taken ? paths->items[at] : ".";
	snprintf(path, sizeof(path), "%s/%s", directory, names[pick(sizeof(names) / sizeof(names[0]))]);
	return path;
}

static void write_random(const char *path)
{
	static const size_t sizes[] = { 0, 1, 5, 100, 4096, 5000, 70000 };
	size_t bytes = sizes[pick(sizeof(sizes) / sizeof(sizes[0]))];
	char *data = malloc(bytes + 1);
	int fd = open(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | (pick(2) == 0 ? O_TRUNC : 0), 0644);
	for (size_t i = 0; i < bytes; i++)
		data[i] = i < 64 ? (char)pick(256) : data[i % 64];
	if (fd >= 0 && pwrite(fd, data, bytes, pick(4) == 0 ? 100000 : 0) < 0 && errno != ESPIPE)
		err(99, "%s", path);
	if (fd >= 0)
		close(fd);
	free(data);
}

static void own_random(struct work *work, const char *path)
{
	static const uint32_t ids[] = { 0, 0, 1, 1000, 4000000000 };
	struct owner_key key;
	struct stat st;
	if (owner_key_read(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, &key, &st) < 0 || S_ISSOCK(st.st_mode))
		return;
	struct owner owner = owner_get(work, path, &key);
	struct xattr xattr = { "trusted.random", "value", pick(6) };
	owner.uid = ids[pick(5)];
	owner.gid = ids[pick(5)];
	owner.xattrs = &xattr;
	owner.xattr_count = pick(2);
	if (pick(4) == 0 && S_ISREG(st.st_mode) && st.st_size == 0) {
		owner.type = pick(2) == 0 ? S_IFCHR : S_IFBLK;
		owner.device_number = pick(1 << 20);
	}
	work_must(owners_set(work->owners, &key, &owner));
}

/* One thing, which may fail. */
static void change_random(struct work *work, const struct paths *paths)
{
	static const mode_t modes[] = { 0644, 0755, 0, 0400, 04755, 06711, 01777, 0111 };
	const char *there = paths->count > 0 ? paths->items[pick(paths->count)] : ".";
	const char *name = path_new(paths);
	int r = 0;
	switch (pick(20)) {
	case 0 ... 2: write_random(name); break;
	case 3: write_random(there); break;
	case 4: r = mkdir(name, 0755); break;
	case 5: r = symlink(pick(2) == 0 ? "a" : "../b", name); break;
	case 6: r = mkfifo(name, 0644); break;
	case 7 ... 8: r = rename(there, name); break;
	case 9: r = renameat2(AT_FDCWD, there, AT_FDCWD, name, RENAME_EXCHANGE); break;
	case 10 ... 11: r = link(there, name); break;
	case 12: r = remove(there); break;
	case 13: r = pick(4) == 0 ? nftw(there, scratch_remove_one, 16, FTW_DEPTH | FTW_PHYS) : unlink(name); break;
	case 14: r = fchmodat(AT_FDCWD, there, modes[pick(8)], AT_SYMLINK_NOFOLLOW); break;
	case 15: r = lsetxattr(there, pick(2) == 0 ? "user.one" : "user.two", "value", pick(6), 0); break;
	case 16: r = lremovexattr(there, "user.one"); break;
	case 17 ... 18: own_random(work, there); break;
	default:
		if (paths->count > 0)
			touch(there, (time_t)pick(1u << 31));
	}
	(void)r;
}

static void change_much(struct work *work, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		struct paths paths;
		paths_read(&paths);
		change_random(work, &paths);
		paths_free(&paths);
	}
}

/* Writes the delta. Returns false if there is none. */
static bool delta_write(struct work *work, const char *path)
{
	struct maker maker;
	struct delta *delta = work_delta(work);
	bool empty = delta_is_empty(delta);
	if (!empty) {
		maker_begin(&maker, path, 4096);
		struct load load = work_load(maker.tree, maker.target);
		work_must(delta_load(delta, &load, &work_err));
		maker_must(&maker, maker_end(&maker));
	}
	delta_free(delta);
	return !empty;
}

/* The first line in which two descriptions differ. */
static void check_same(char *actual, char *expected)
{
	char *one = actual, *other = expected;
	for (;;) {
		char *line = strsep(&one, "\n"), *line_expected = strsep(&other, "\n");
		if (line == NULL && line_expected == NULL)
			break;
		if (!check_str(line, line_expected))
			break;
	}
	free(actual);
	free(expected);
}

/* What the layers are together is the directory: extracted, and once more as the tree of the next baseline. */
static void layers_check(struct work *work, struct layers *layers)
{
	struct work copy;
	work_make(&copy, "../copy");
	work_extract(&copy, layers);
	check_same(work_describe(&copy), work_describe(work));
	tree_free(work->tree);
	work->tree = steal_ptr(&copy.tree);
	work_free(&copy);
	remove_all("../copy");
}

static void random_test(unsigned rounds, unsigned steps, unsigned changes_count)
{
	for (unsigned round = 0; round < rounds && !tap.failed; round++) {
		struct layers layers = { .count = 0 };
		struct work work;
		seed = 1000 + round;
		work_make(&work, "work");
		must(chdir("work"), "work");
		work.tree = tree_new();
		work_baseline(&work);
		for (unsigned step = 0; step < steps && !tap.failed; step++) {
			char path[64];
			snprintf(path, sizeof(path), "../layer-%u.simg", step);
			change_much(&work, changes_count);
			if (delta_write(&work, path)) {
				layers_add(&layers, path);
				layers_check(&work, &layers);
				work_baseline(&work);
			}
			check_str(changes(&work), "nothing");
		}
		if (tap.failed)
			printf("# seed %u\n", 1000 + round);
		layers_close(&layers);
		scene_end(&work);
	}
}

static void random_tests(void)
{
	test_case ("layer upon layer of random changes gives the directory again") {
		random_test(20, 6, 30);
	}

	test_case ("… of many changes at once") {
		random_test(4, 3, 300);
	}
}

/* --- filling a directory --- */

static void extract_tests(void)
{
	test_case ("the record of a sandbox in the tree is left out, and a file may be where it would be") {
		struct maker maker;
		struct layers layers = { .count = 0 };
		struct work work;
		struct inode directory = { .mode = S_IFDIR | 0750, .mtime = 5 };
		struct node *node;
		maker_begin(&maker, "one.simg", 4096);
		maker_must(&maker, tree_insert(maker.tree, ".simg", &directory, &node, &maker.err));
		maker_file(&maker, ".simg/sandbox", "simg-sandbox 1\n", 15, NULL);
		maker_file(&maker, ".simg/file", "text", 4, NULL);
		maker_must(&maker, maker_end(&maker));
		layers_add(&layers, "one.simg");
		work_make(&work, "work");
		work_extract(&work, &layers);
		check(access("work/.simg/file", F_OK) == 0);
		check(access("work/.simg/sandbox", F_OK) < 0);
		struct stat st;
		check_int(stat("work/.simg", &st), 0);
		check_int(st.st_mode, S_IFDIR | 0750);
		check_int(st.st_mtime, 5);
		work_baseline(&work);
		must(chdir("work"), "work");
		check_str(changes(&work), ".simg/ -.simg/sandbox ");
		layers_close(&layers);
		scene_end(&work);

		maker_begin(&maker, "two.simg", 4096);
		maker_file(&maker, ".simg", "text", 4, NULL);
		maker_must(&maker, maker_end(&maker));
		layers = (struct layers){ .count = 0 };
		layers_add(&layers, "two.simg");
		work_make(&work, "work");
		work_extract(&work, &layers);
		check_int(stat("work/.simg", &st), 0);
		check_int(st.st_size, 4);
		layers_close(&layers);
		work_free(&work);
		remove_all("work");
	}
}

/* --- for tests/build/workdir.t --- */

static int run_extract(const char *image, const char *directory, const char *new_image)
{
	struct writer_options options = { .compressor = "zstd", .level = LEVEL_DEFAULT, .block_bytes = 128 << 10, .jobs = 2,
					  .plain_metadata = true };
	struct layers layers = { .count = 0 };
	struct work work;
	struct output *output;
	struct target *target;
	struct target_stats stats;
	struct tree *tree = tree_new();
	work_make(&work, directory);
	layers_add(&layers, image);
	work_extract(&work, &layers);
	work_must(writer_options_check(&options, &work_err));
	work_must(output_open(new_image, false, &output, &work_err));
	work_must(writer_open(output, &options, &target, &work_err));
	work_hot.standard = true;
	struct load load = work_load(tree, target);
	work_read(&work, &load);
	work_must(target_finish(target, tree, TARGET_TIME_NEWEST, &stats, &work_err));
	work_must(output_commit(output, &work_err));
	target_free(target);
	tree_free(tree);
	output_free(output);
	layers_close(&layers);
	work_free(&work);
	return EXIT_SUCCESS;
}

static int run_record(bool load, const char *directory, const char *uid, const char *gid)
{
	struct owners *owners = owners_new();
	int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	uid_t outside_uid = (uid_t)strtoul(uid, NULL, 10);
	gid_t outside_gid = (gid_t)strtoul(gid, NULL, 10);
	if (load)
		work_must(record_owners_load(fd, directory, outside_uid, outside_gid, owners, &work_err));
	work_must(record_owners_save(fd, directory, outside_uid, outside_gid, owners, &work_err));
	owners_free(owners);
	close(fd);
	return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	if (argc == 5 && strcmp(argv[1], "extract") == 0)
		return run_extract(argv[2], argv[3], argv[4]);
	if (argc == 5 && (strcmp(argv[1], "record") == 0 || strcmp(argv[1], "save") == 0))
		return run_record(argv[1][0] == 'r', argv[2], argv[3], argv[4]);
	scratch_enter();
	if (!work_become_root()) {
		test_case ("a user namespace can be had") {
			test_skip("no user namespaces here");
		}
		return test_end();
	}
	kinds_test();
	other_tests();
	random_tests();
	extract_tests();
	return test_end();
}
