/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/image_name.h"

#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/image.h"
#include "lib/strlist.h"
#include "tests/tap.h"
#include "tests/unit/scratch.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct {
	const char *name, *path; /* below the scratch directory */
} found[] = {
	{ "app.simg", "cwd/app.simg" },
	{ "./app.simg", "cwd/./app.simg" },
	{ "sub/app.simg", "cwd/sub/app.simg" },
	{ "../site1/tool.simg", "cwd/../site1/tool.simg" },
	{ "dir", "cwd/dir" },
	/* along image_path, NAME before NAME.simg, the directories in their order */
	{ "tool", "site1/tool.simg" },
	{ "tool.simg", "site1/tool.simg" },
	{ "both", "site1/both" },
	{ "later", "site2/later.simg" },
	{ "everywhere", "cwd/everywhere" },
	/* a link that leads nowhere is found, so that opening it tells */
	{ "dangling", "cwd/dangling" },
};

static const struct {
	const char *name, *message, *hint;
} missing[] = {
	{ "./tool", "there is no image './tool' in '%s/cwd'", "a relative path starts at the directory where the job is submitted" },
	{ "sub/tool.simg", "there is no image 'sub/tool.simg' in '%s/cwd'", "a relative path starts at" },
	{ "app", "there is no image 'app' in '%s/cwd' or along image_path (", "" },
};

static void test_find(void)
{
	autostrlist struct strlist image_path = { 0 };
	char cwd[PATH_MAX];
	static const char *const files[] = { "cwd/app.simg", "cwd/sub/app.simg",   "cwd/dir/x",	     "site1/tool.simg",	    "site1/both",
					     "site1/both.simg", "site2/later.simg", "site2/tool",    "site2/tool.simg", "cwd/everywhere",
					     "site1/everywhere" };
	for (size_t i = 0; i < COUNT(files); i++)
		scratch_file(files[i], "");
	scratch_link("nowhere", "cwd/dangling");
	snprintf(cwd, sizeof(cwd), "%s/cwd", scratch.path);
	strlist_addf(&image_path, "%s/site1", scratch.path);
	strlist_addf(&image_path, "%s/site2", scratch.path);

	for (size_t i = 0; i < COUNT(found); i++)
		test_case ("'%s' is found as %s", found[i].name, found[i].path) {
			struct err err = ERR_INIT;
			autofree char *path = NULL;
			char expected[2 * PATH_MAX];
			check_int(image_name_find(found[i].name, cwd, &image_path, &path, &err), 0);
			snprintf(expected, sizeof(expected), "%s/%s", scratch.path, found[i].path);
			check_str(path, expected);
		}
	for (size_t i = 0; i < COUNT(missing); i++)
		test_case ("'%s' is not found", missing[i].name) {
			struct err err = ERR_INIT;
			autofree char *path = NULL;
			char expected[2 * PATH_MAX];
			check_int(image_name_find(missing[i].name, cwd, &image_path, &path, &err), -ENOENT);
			const char *place = strstr(missing[i].message, "%s");
			snprintf(expected, sizeof(expected), "%.*s%s%s", (int)(place - missing[i].message), missing[i].message, scratch.path,
				 place + 2);
			check_has(err.text, expected);
			check_has(err.hint, missing[i].hint);
			check(path == NULL);
		}
	test_case ("without an image_path the message says so") {
		struct err err = ERR_INIT;
		const struct strlist none = { 0 };
		char *path = NULL;
		check_int(image_name_find("tool", "/", &none, &path, &err), -ENOENT);
		check_str(err.text, "there is no image 'tool' in '/', and the site has set no image_path");
	}
	test_case ("an absolute path is taken as it is, there or not") {
		autofree char *path = NULL;
		check_int(image_name_find("/no/where//app.simg", cwd, &image_path, &path, NULL), 0);
		check_str(path, "/no/where//app.simg");
	}
	test_case ("an empty name is refused") {
		struct err err = ERR_INIT;
		char *path = NULL;
		check_int(image_name_find("", cwd, &image_path, &path, &err), -EINVAL);
		check_str(err.text, "the image's name is empty");
	}
	test_case ("a name of 4096 bytes is refused") {
		static char name[PATH_MAX + 1];
		struct err err = ERR_INIT;
		char *path = NULL;
		memset(name, 'a', PATH_MAX);
		check_int(image_name_find(name, cwd, &image_path, &path, &err), -ENAMETOOLONG);
		check_str(err.text, "the image's name is 4096 bytes long, more than a path can be");
	}
	test_case ("a long image_path is cut in the message") {
		struct err err = ERR_INIT;
		autostrlist struct strlist many = { 0 };
		char *path = NULL;
		for (int i = 0; i < 100; i++)
			strlist_addf(&many, "/some/directory/of/the/site/%d", i);
		check_int(image_name_find("tool", "/", &many, &path, &err), -ENOENT);
		check_has(err.text, "along image_path (/some/directory/of/the/site/0, /some/directory/of/the/site/1, ");
	}
}

/* --- opening --- */

static void put_le(uint8_t *at, uint64_t value, int bytes)
{
	for (int i = 0; i < bytes; i++)
		at[i] = (uint8_t)(value >> (8 * i));
}

/* The smallest file whose superblock and tables are within bounds. */
static void put_squashfs(const char *path, const char *before)
{
	uint8_t raw[4096 + 300] = { 0 };
	size_t offset = strlen(before);
	uint8_t *s = raw + offset;
	memcpy(raw, before, offset);
	put_le(s, 0x73717368, 4);
	put_le(s + 4, 1, 4);       /* inodes */
	put_le(s + 12, 131072, 4); /* block size */
	put_le(s + 20, 6, 2);      /* zstd */
	put_le(s + 22, 17, 2);
	put_le(s + 26, 1, 2);      /* ids */
	put_le(s + 28, 4, 2);
	put_le(s + 40, 200, 8);    /* bytes used */
	put_le(s + 48, 192, 8);    /* id table: one address of a block, in front of it */
	put_le(s + 56, UINT64_MAX, 8);
	put_le(s + 64, 96, 8);     /* inode table */
	put_le(s + 72, 128, 8);    /* directory table */
	put_le(s + 80, UINT64_MAX, 8);
	put_le(s + 88, UINT64_MAX, 8);
	put_le(s + 192, 160, 8);
	scratch_bytes(path, raw, offset + 200);
}

static void expect_refused(const char *path, int r, const char *message, const char *hint)
{
	struct err err = ERR_INIT;
	struct image image;
	int before = scratch_fd_count();
	check_int(image_name_open(path, &image, &err), r);
	check_str(err.text, message);
	check_has(err.hint, hint);
	check_int(scratch_fd_count(), before);
}

static void expect_opened(const char *path, enum image_format format, uint64_t offset)
{
	struct err err = ERR_INIT;
	struct image image;
	autoclose int fd = image_name_open(path, &image, &err);
	check(fd >= 0);
	check_str(err.text, "");
	check_int(image.format, format);
	check_int(image.offset_bytes, offset);
	check_int(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	check_int(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
}

static void test_open(void)
{
	test_case ("a SquashFS image is opened") {
		put_squashfs("a.simg", "");
		expect_opened("a.simg", IMAGE_SQUASHFS, 0);
	}
	test_case ("an image of Singularity 2.x is opened, with its offset") {
		put_squashfs("old.simg", "#!/usr/bin/env run-singularity\n");
		expect_opened("old.simg", IMAGE_LEGACY_SIMG, 31);
	}
	test_case ("a link to an image is opened") {
		scratch_link("a.simg", "link.simg");
		expect_opened("link.simg", IMAGE_SQUASHFS, 0);
	}
	static const char *const parts[] = { "usr", "bin", "lib" };
	for (size_t i = 0; i < COUNT(parts); i++)
		test_case ("a directory with %s is opened", parts[i]) {
			char path[64];
			snprintf(path, sizeof(path), "tree%zu/%s/", i, parts[i]);
			scratch_mkdirs(path);
			path[5] = '\0';
			expect_opened(path, IMAGE_DIRECTORY, 0);
		}
	test_case ("a directory without a root filesystem is refused") {
		mkdir("empty", 0755);
		expect_refused("empty", -ENOENT, "directory 'empty' holds no root filesystem: it has no usr, bin or lib",
			       "give the directory that is to be '/' in the container");
	}
	test_case ("a missing file is refused") {
		expect_refused("none.simg", -ENOENT, "cannot open image 'none.simg': No such file or directory",
			       "is the file system that holds it mounted here?");
	}
	test_case ("a path through a file is refused")
		expect_refused("a.simg/x", -ENOTDIR, "cannot open image 'a.simg/x': Not a directory", "");
	test_case ("an empty file is refused") {
		scratch_file("zero.simg", "");
		expect_refused("zero.simg", -EBADMSG, "image 'zero.simg' is empty", "");
	}
	test_case ("a file that is no image is refused") {
		scratch_file("script.sh", "#!/bin/sh\necho hello\n");
		expect_refused("script.sh", -EBADMSG, "'script.sh' is not a SquashFS image", "simg build app.simg SOURCE");
	}
	test_case ("a damaged image is refused") {
		put_squashfs("bad.simg", "");
		int fd = open("bad.simg", O_WRONLY | O_CLOEXEC);
		check_int(pwrite(fd, "\xff\xff", 2, 66), 2); /* inode table */
		close(fd);
		expect_refused("bad.simg", -EBADMSG, "image 'bad.simg' is damaged: inode table out of bounds (4294901856)",
			       "copy or build the image again");
	}
	test_case ("a truncated image is refused") {
		put_squashfs("short.simg", "");
		check_int(truncate("short.simg", 150), 0);
		expect_refused("short.simg", -EBADMSG, "image 'short.simg' is truncated: it has 150 bytes, its superblock says 200",
			       "the copy is not complete");
	}
	test_case ("a FIFO is refused and not waited for") {
		mkfifo("fifo", 0644);
		expect_refused("fifo", -EINVAL, "image 'fifo' is neither a regular file nor a directory", "give a SquashFS image");
	}
	test_case ("a device is refused and not opened")
		expect_refused("/dev/null", -EINVAL, "image '/dev/null' is neither a regular file nor a directory", "");
	test_case ("a socket is refused") {
		struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = "socket" };
		autoclose int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		check_int(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
		expect_refused("socket", -EINVAL, "image 'socket' is neither a regular file nor a directory", "");
	}
	test_case ("an image that the user may not read is refused") {
		if (geteuid() == 0)
			test_skip("root may read everything");
		put_squashfs("closed.simg", "");
		chmod("closed.simg", 0);
		expect_refused("closed.simg", -EACCES, "cannot read image 'closed.simg': Permission denied", "");
	}
}

int main(void)
{
	scratch_enter();
	test_find();
	test_open();
	return test_end();
}
