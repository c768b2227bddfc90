/* SPDX-License-Identifier: Apache-2.0
 *
 * Removal of trees: see remove.h. There is no way up: ".." of a directory that somebody moved meanwhile leads anywhere, and a
 * descriptor for each level needs memory. So each round goes down from the top to one directory without subdirectories, empties it
 * and removes it by its parent's descriptor.
 */
#include "builder/remove.h"

#include "lib/cleanup.h"
#include "lib/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { ENTRIES_BYTES = 16 * 1024 };

/* As getdents64(2) describes it; older C libraries have no name for it. */
struct entry {
	uint64_t inode;
	int64_t offset;
	uint16_t bytes;
	uint8_t type;
	char name[];
};

static int directory_open(int parent_fd, const char *name)
{
	int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	int fd = openat(parent_fd, name, flags);
	if (fd < 0 && errno == EACCES && fchmodat(parent_fd, name, 0700, 0) == 0) /* no root's: it needs no such permission */
		fd = openat(parent_fd, name, flags);
	if (fd < 0)
		return -errno;
	if (fd_is_mount_point(fd, parent_fd)) {
		close(fd);
		return -EBUSY;
	}
	fchmod(fd, 0700);
	return fd;
}

/* Removes one entry, also an empty directory. Returns 1 if it is a directory that is not empty. */
static int entry_remove(int fd, const char *name)
{
	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || unlinkat(fd, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return -errno;
	if (unlinkat(fd, name, AT_REMOVEDIR) == 0)
		return 0;
	return errno == ENOTEMPTY || errno == EEXIST ? 1 : -errno;
}

/* Removes what it can of a directory's content. Returns 1 at the first subdirectory that is not empty, with its name, or 0 if none
 * is left. */
static int directory_empty(int fd, char subdirectory[NAME_MAX + 1])
{
	union {
		char bytes[ENTRIES_BYTES];
		struct entry align;
	} entries;
	if (lseek(fd, 0, SEEK_SET) < 0)
		return -errno;
	for (;;) {
		long bytes = syscall(SYS_getdents64, fd, entries.bytes, sizeof(entries.bytes));
		if (bytes <= 0)
			return bytes < 0 ? -errno : 0;
		for (long at = 0; at < bytes;) {
			const struct entry *entry = (const struct entry *)(entries.bytes + at);
			int r = entry_remove(fd, entry->name);
			if (r > 0)
				strncpy(subdirectory, entry->name, NAME_MAX);
			if (r != 0)
				return r;
			at += entry->bytes;
		}
	}
}

/* One round, on the directory name that is there. Returns 1 if something was removed below it, 0 if it is gone. */
static int round_down(int directory_fd, const char *name)
{
	autoclose int parent = -1;
	autoclose int current = directory_open(directory_fd, name);
	char subdirectory[NAME_MAX + 1] = "";
	if (current < 0)
		return current;
	int r;
	while ((r = directory_empty(current, subdirectory)) > 0) {
		int next = directory_open(current, subdirectory);
		if (next < 0)
			return next;
		if (parent >= 0)
			close(parent);
		parent = current;
		current = next;
	}
	if (r < 0)
		return r;
	if (parent < 0)
		return unlinkat(directory_fd, name, AT_REMOVEDIR) < 0 && errno != ENOENT ? -errno : 0;
	return unlinkat(parent, subdirectory, AT_REMOVEDIR) < 0 && errno != ENOENT ? -errno : 1;
}

int remove_tree(int directory_fd, const char *name)
{
	int r = entry_remove(directory_fd, name);
	while (r > 0)
		r = round_down(directory_fd, name);
	return r;
}
