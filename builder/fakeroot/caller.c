/* SPDX-License-Identifier: Apache-2.0
 *
 * See caller.h. A relative path becomes one below /proc/THREAD/cwd or /proc/THREAD/fd/N, which the kernel follows without a look at
 * names: one string, no descriptor to open.
 */
#include "builder/fakeroot/caller.h"

#include "lib/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { PAGE_BYTES = 4096 };

/* Page by page: the string may end just before memory that is not there. */
static int string_read(const struct caller *caller, uint64_t address, char text[PATH_MAX])
{
	for (size_t done = 0; done < PATH_MAX;) {
		size_t bytes = PAGE_BYTES - (address + done) % PAGE_BYTES;
		if (bytes > PATH_MAX - done)
			bytes = PATH_MAX - done;
		struct iovec own = { text + done, bytes }, others = { (void *)(uintptr_t)(address + done), bytes };
		ssize_t n = process_vm_readv(caller->thread, &own, 1, &others, 1, 0);
		if (n <= 0)
			return n < 0 ? -errno : -EFAULT;
		if (memchr(text + done, '\0', (size_t)n) != NULL)
			return 0;
		done += (size_t)n;
	}
	return -ENAMETOOLONG;
}

int caller_write(const struct caller *caller, uint64_t address, const void *data, size_t bytes)
{
	struct iovec own = { (void *)data, bytes }, others = { (void *)(uintptr_t)address, bytes };
	ssize_t n = process_vm_writev(caller->thread, &own, 1, &others, 1, 0);
	return n == (ssize_t)bytes ? 0 : n < 0 ? -errno : -EFAULT;
}

mode_t caller_umask(const struct caller *caller)
{
	char path[64], line[256];
	unsigned mask = 022;
	snprintf(path, sizeof(path), "/proc/%d/status", (int)caller->thread);
	autofclose FILE *file = fopen(path, "re");
	while (file != NULL && fgets(line, sizeof(line), file) != NULL)
		if (sscanf(line, "Umask: %o", &mask) == 1)
			break;
	return mask;
}

/* Whether the caller has a root of its own. */
static bool has_root(const struct caller *caller)
{
	struct stat own, others;
	char path[64];
	if (!caller->may_have_root)
		return false;
	snprintf(path, sizeof(path), "/proc/%d/root", (int)caller->thread);
	return fstat(caller->root_fd, &own) == 0 && stat(path, &others) == 0 &&
	       (own.st_dev != others.st_dev || own.st_ino != others.st_ino);
}

/* The path of what (directory_fd, "") is. */
static void base_path(const struct caller *caller, int directory_fd, char *path, size_t room)
{
	if (directory_fd == AT_FDCWD)
		snprintf(path, room, "/proc/%d/cwd", (int)caller->thread);
	else
		snprintf(path, room, "/proc/%d/fd/%d", (int)caller->thread, directory_fd);
}

/* "/proc/self/fd/3" and "/dev/fd/3" mean the caller's own. */
static void own_path(const struct caller *caller, const char *text, char *path, size_t room)
{
	static const struct {
		const char *from, *to;
	} own[] = { { "/proc/self/", "" }, { "/proc/thread-self/", "" }, { "/dev/fd/", "fd/" } };
	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
		size_t length = strlen(own[i].from);
		if (strncmp(text, own[i].from, length) == 0) {
			snprintf(path, room, "/proc/%d/%s%s", (int)caller->thread, own[i].to, text + length);
			return;
		}
	}
	snprintf(path, room, "%s", text);
}

/* Goes into the caller's root, where only descriptors that are open already lead out again. */
static int root_enter(const struct caller *caller, struct caller_place *place)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/root", (int)caller->thread);
	autoclose int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fchdir(fd) < 0)
		return -errno;
	place->entered = true;
	return chroot(".") < 0 ? -errno : 0;
}

/* For a caller with a root of its own: the base as a descriptor, opened before the change of root. */
static int place_in_root(const struct caller *caller, int directory_fd, const char *text, struct caller_place *place)
{
	snprintf(place->path, sizeof(place->path), "%s", text);
	if (text[0] != '/') {
		char base[64];
		base_path(caller, directory_fd, base, sizeof(base));
		place->fd = open(base, O_PATH | O_CLOEXEC);
		if (place->fd < 0)
			return -errno;
	}
	return root_enter(caller, place);
}

int caller_place_fd(const struct caller *caller, int fd, struct caller_place *ret_place)
{
	ret_place->fd = AT_FDCWD;
	ret_place->flags = 0;
	ret_place->entered = false;
	base_path(caller, fd, ret_place->path, sizeof(ret_place->path));
	return 0;
}

int caller_place_find(const struct caller *caller, int directory_fd, uint64_t address, int flags, struct caller_place *ret_place)
{
	char text[PATH_MAX];
	ret_place->fd = AT_FDCWD;
	ret_place->flags = flags & AT_SYMLINK_NOFOLLOW;
	ret_place->entered = false;
	if (address == 0 && (flags & AT_EMPTY_PATH)) /* Linux 6.11 */
		return caller_place_fd(caller, directory_fd, ret_place);
	int r = string_read(caller, address, text);
	if (r < 0)
		return r;
	if (text[0] == '\0')
		return flags & AT_EMPTY_PATH ? caller_place_fd(caller, directory_fd, ret_place) : -ENOENT;
	if (has_root(caller))
		return place_in_root(caller, directory_fd, text, ret_place);
	if (text[0] == '/') {
		own_path(caller, text, ret_place->path, sizeof(ret_place->path));
		return 0;
	}
	base_path(caller, directory_fd, ret_place->path, sizeof(ret_place->path));
	size_t length = strlen(ret_place->path);
	snprintf(ret_place->path + length, sizeof(ret_place->path) - length, "/%s", text);
	return strlen(ret_place->path) < PATH_MAX ? 0 : -ENAMETOOLONG;
}

void caller_place_end(const struct caller *caller, struct caller_place *place)
{
	if (place->fd >= 0)
		close(place->fd);
	if (place->entered && fchdir(caller->root_fd) == 0 && chroot(".") == 0)
		place->entered = false;
	place->fd = AT_FDCWD;
}
