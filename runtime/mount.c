/* SPDX-License-Identifier: Apache-2.0
 *
 * Mount system calls: see mount.h.
 */
#include "runtime/mount.h"

#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/fd.h"
#include "lib/path.h"

#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>

/* Numbers and values of the kernel's interface, which are the same on every architecture since Linux 5.2: glibc before 2.36 has none of
 * them, later ones have some in conflicting headers. Source: include/uapi/linux/mount.h, include/uapi/asm-generic/unistd.h. */
enum { SYSCALL_OPEN_TREE = 428, SYSCALL_MOVE_MOUNT = 429, SYSCALL_MOUNT_SETATTR = 442 };
enum { TREE_CLONE = 1, TREE_RECURSIVE = 0x8000, MOVE_FROM_EMPTY_PATH = 4, MOVE_TO_EMPTY_PATH = 0x40 };
enum { ATTR_RDONLY = 1, ATTR_NOSUID = 2, ATTR_NODEV = 4 };
struct attr {
	uint64_t set, clear, propagation, userns_fd;
};

/* 1 done, 0 the kernel lacks a call, negative: failed. */
static int bind_detached(int src_fd, int dst_fd, unsigned flags)
{
	unsigned recursive = (flags & MOUNT_RECURSIVE) != 0 ? TREE_RECURSIVE : 0;
	struct attr attr = { .set = ((flags & MOUNT_READ_ONLY) != 0 ? ATTR_RDONLY : 0) |
				    ((flags & MOUNT_NOSUID) != 0 ? ATTR_NOSUID : 0) |
				    ((flags & MOUNT_NODEV) != 0 ? ATTR_NODEV : 0) };
	autoclose int tree = (int)syscall(SYSCALL_OPEN_TREE, src_fd, "", AT_EMPTY_PATH | TREE_CLONE | O_CLOEXEC | recursive);
	if (tree < 0)
		return errno == ENOSYS ? 0 : -errno;
	if (syscall(SYSCALL_MOUNT_SETATTR, tree, "", AT_EMPTY_PATH | recursive, &attr, sizeof(attr)) < 0)
		return errno == ENOSYS ? 0 : -errno;
	if (syscall(SYSCALL_MOVE_MOUNT, tree, "", dst_fd, "", MOVE_FROM_EMPTY_PATH | MOVE_TO_EMPTY_PATH) < 0)
		return -errno;
	return 1;
}

/* Changes one mount, keeping what else it has: a remount replaces all flags. */
static int remount(int fd, unsigned flags)
{
	static const struct {
		unsigned long stat, mount;
	} kept[] = {
		{ ST_NOEXEC, MS_NOEXEC }, { ST_NOATIME, MS_NOATIME }, { ST_NODIRATIME, MS_NODIRATIME }, { ST_RELATIME, MS_RELATIME },
		{ ST_NOSUID, MS_NOSUID }, { ST_NODEV, MS_NODEV },     { ST_RDONLY, MS_RDONLY },
	};
	struct statvfs st;
	if (fstatvfs(fd, &st) < 0)
		return -errno;
	unsigned long all = MS_REMOUNT | MS_BIND;
	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
		if ((st.f_flag & kept[i].stat) != 0)
			all |= kept[i].mount;
	all |= ((flags & MOUNT_READ_ONLY) != 0 ? MS_RDONLY : 0) | ((flags & MOUNT_NOSUID) != 0 ? MS_NOSUID : 0) |
	       ((flags & MOUNT_NODEV) != 0 ? MS_NODEV : 0);
	char path[FD_PATH_MAX];
	fd_path(fd, path);
	return mount(NULL, path, NULL, all, NULL) < 0 ? -errno : 0;
}

/* "\040" and its like, in place. */
static void mountinfo_unescape(char *text)
{
	char *out = text;
	for (const char *c = text; *c != '\0'; out++) {
		unsigned a, b, d;
		if (c[0] == '\\' && sscanf(c + 1, "%1o%1o%1o", &a, &b, &d) == 3) {
			*out = (char)(a * 64 + b * 8 + d);
			c += 4;
		} else {
			*out = *c++;
		}
	}
	*out = '\0';
}

struct mountinfo_line {
	int id, parent;
	char *point;
};

static bool mountinfo_parse(char *line, struct mountinfo_line *ret)
{
	/* ID PARENT MAJOR:MINOR ROOT POINT … */
	int point = 0;
	if (sscanf(line, "%d %d %*s %*s %n", &ret->id, &ret->parent, &point) < 2 || point == 0)
		return false;
	ret->point = line + point;
	ret->point[strcspn(ret->point, " ")] = '\0';
	mountinfo_unescape(ret->point);
	return true;
}

enum { TREE_MOUNTS_MAX = 1024 };

static bool has_id(const int *ids, int count, int id)
{
	for (int i = 0; i < count; i++)
		if (ids[i] == id)
			return true;
	return false;
}

/* Remounts the mount that was just put on `point` (a path below cover_fd, with a leading slash) and, if asked, all below it. mountinfo
 * lists parents before children, and the newest mount of a place last. */
static int remount_tree(const char *point, unsigned flags, int cover_fd)
{
	autofree char *line = NULL;
	size_t size = 0;
	int ids[TREE_MOUNTS_MAX], count = 0, r = 0;
	for (int pass = 0; pass < 2 && r == 0; pass++) { /* first find the id, then its tree */
		autofclose FILE *file = fopen("/proc/self/mountinfo", "re");
		if (file == NULL)
			return -errno;
		while (r == 0 && getline(&line, &size, file) > 0) {
			struct mountinfo_line info;
			if (!mountinfo_parse(line, &info))
				continue;
			if (pass == 0) {
				if (strcmp(info.point, point) == 0)
					ids[0] = info.id, count = 1;
				continue;
			}
			bool below = (flags & MOUNT_RECURSIVE) != 0 && has_id(ids, count, info.parent);
			if (info.id != ids[0] && !below)
				continue;
			if (count == TREE_MOUNTS_MAX)
				return -E2BIG;
			if (below)
				ids[count++] = info.id;
			/* A mount lies in the user's own directories, maybe, who could put a link in its way. */
			autoplace struct path_place place = PATH_PLACE_INIT;
			r = path_resolve(cover_fd, info.point, &place, NULL);
			if (r == 0)
				r = place.missing[0] == '\0' && strcmp(place.real, info.point) == 0 ? remount(place.fd, flags) : -ENOENT;
		}
		if (count == 0)
			return -EINVAL;
	}
	return r;
}

static int bind_then_remount(int src_fd, int dst_fd, unsigned flags, int cover_fd)
{
	char src[FD_PATH_MAX], dst[FD_PATH_MAX], point[PATH_MAX];
	fd_path(src_fd, src);
	fd_path(dst_fd, dst);
	ssize_t length = readlink(dst, point, sizeof(point) - 1);
	if (length <= 0)
		return length < 0 ? -errno : -EINVAL;
	point[length] = '\0';
	if (mount(src, dst, NULL, MS_BIND | ((flags & MOUNT_RECURSIVE) != 0 ? MS_REC : 0), NULL) < 0)
		return -errno;
	if ((flags & ~(unsigned)MOUNT_RECURSIVE) == 0)
		return 0;
	return remount_tree(point, flags, cover_fd);
}

int mount_bind(int src_fd, int dst_fd, unsigned flags, int cover_fd, struct err *err)
{
	int r = bind_detached(src_fd, dst_fd, flags);
	if (r == 0)
		r = bind_then_remount(src_fd, dst_fd, flags, cover_fd);
	return r < 0 ? err_sys(err, -r, "bind mount failed") : 0;
}

int mount_new(const char *type, const char *source, int dst_fd, unsigned flags, const char *options, struct err *err)
{
	char dst[FD_PATH_MAX];
	fd_path(dst_fd, dst);
	unsigned long all = MS_NOSUID | MS_NODEV | ((flags & MOUNT_READ_ONLY) != 0 ? MS_RDONLY : 0);
	if (mount(source, dst, type, all, options) < 0)
		return err_sys(err, errno, "cannot mount %s", type);
	return 0;
}

int mount_unbindable(int fd, struct err *err)
{
	char path[FD_PATH_MAX];
	fd_path(fd, path);
	return mount(NULL, path, NULL, MS_UNBINDABLE, NULL) < 0 ? err_sys(err, errno, "cannot make a mount unbindable") : 0;
}

/* pivot_root needs a root that is a mount point with a parent. The first file system of a diskless node (an unpacked initramfs) has
 * none: there the new root is moved on top of it, and the rest of the namespace stays below, out of reach. */
static int move_over_root(int root_fd)
{
	char root[FD_PATH_MAX];
	fd_path(root_fd, root);
	if (mount(root, "/", NULL, MS_MOVE, NULL) < 0 || fchdir(root_fd) < 0 || chroot(".") < 0)
		return -errno;
	return 0;
}

/* "/.." is what is mounted last on the root directory. */
static bool is_root_on_top(int root_fd)
{
	struct stat root, top;
	return fstat(root_fd, &root) == 0 && stat("/..", &top) == 0 && root.st_dev == top.st_dev && root.st_ino == top.st_ino;
}

int mount_pivot(int root_fd, struct err *err)
{
	autoclose int old_root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (old_root < 0 || fchdir(root_fd) < 0)
		return err_sys(err, errno, "cannot open the root directory");
	/* Both arguments the same: the old root ends up on top of the new one, and needs no directory in the image. pivot_root(2) */
	if (syscall(SYS_pivot_root, ".", ".") < 0) {
		int r = errno == EINVAL ? move_over_root(root_fd) : -errno;
		return r < 0 ? err_sys(err, -r, "cannot change the root to the image") : 0;
	}
	/* The old root now lies on top of the new one, and on top of it what was mounted there: umount follows the stack to its top, so each
	 * call takes one layer off. Entering the namespace also leads to the top, which must be the image. */
	if (fchdir(old_root) < 0)
		return err_sys(err, errno, "cannot go to the host's root");
	while (!is_root_on_top(root_fd))
		if (umount2(".", MNT_DETACH) < 0)
			return err_sys(err, errno, "cannot let go of the host's root");
	return chdir("/") < 0 ? err_sys(err, errno, "cannot go to the new root") : 0;
}
