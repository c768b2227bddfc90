/* SPDX-License-Identifier: Apache-2.0
 *
 * Attributes of copies: see attributes.h.
 */
#include "builder/recipe/attributes.h"

#include "builder/recipe/walk.h"
#include "lib/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

const struct owner *attributes_of(const struct walk_source *source, const struct walk_file *file, struct stat *ret_st)
{
	const struct owner *owner = source->is_stage && source->owners != NULL ? owners_find(source->owners, &file->key) : NULL;
	*ret_st = file->st;
	owner_apply(owner, ret_st);
	if (!source->is_stage)
		ret_st->st_mode &= ~(mode_t)(S_ISUID | S_ISGID);
	return owner;
}

/* --- extended attributes --- */

struct xattrs {
	struct xattr *items;
	size_t count, own_count; /* the values of the first own_count are this list's */
};

static void xattrs_free(struct xattrs *xattrs)
{
	for (size_t i = 0; i < xattrs->own_count; i++) {
		free((char *)xattrs->items[i].name);
		free((void *)xattrs->items[i].value);
	}
	free(xattrs->items);
}

static int xattrs_add(struct xattrs *xattrs, const struct xattr *xattr)
{
	struct xattr *items = realloc(xattrs->items, (xattrs->count + 1) * sizeof(*items));
	if (items == NULL)
		return -ENOMEM;
	xattrs->items = items;
	items[xattrs->count++] = *xattr;
	return 0;
}

static bool is_kept(const char *name)
{
	return strncmp(name, "user.", strlen("user.")) == 0 || strcmp(name, "security.capability") == 0;
}

/* Without privilege, of the wrong type, or more than the file system has room for beside the inode. */
static bool is_impossible(int errnum)
{
	return errnum == EPERM || errnum == EACCES || errnum == ENOTSUP || errnum == EINVAL || errnum == E2BIG ||
	       errnum == ERANGE || errnum == ENOSPC;
}

/* Copies one attribute from fd to the file at to_path, or appends it to those that are to be recorded. */
static int xattr_copy(int fd, const char *name, const char *to_path, struct xattrs *record)
{
	autofree void *value = malloc(XATTR_SIZE_MAX);
	ssize_t bytes = value == NULL ? -1 : fgetxattr(fd, name, value, XATTR_SIZE_MAX);
	if (bytes < 0)
		return value == NULL ? -ENOMEM : errno == ENODATA || errno == ENOTSUP ? 0 : -errno;
	if (lsetxattr(to_path, name, value, (size_t)bytes, 0) == 0)
		return 0;
	if (!is_impossible(errno))
		return -errno;
	struct xattr own = { .name = strdup(name), .value = value, .value_bytes = (size_t)bytes };
	if (own.name == NULL || xattrs_add(record, &own) < 0) {
		free((char *)own.name);
		return -ENOMEM;
	}
	record->own_count++;
	steal_ptr(&value);
	return 0;
}

/* Those on disk first, then those of the record. */
static int xattrs_copy(const struct walk_file *file, const struct owner *owner, int directory_fd, const char *name,
		       struct xattrs *record)
{
	char to_path[sizeof("/proc/self/fd/") + 12 + NAME_MAX + 1];
	snprintf(to_path, sizeof(to_path), "/proc/self/fd/%d/%s", directory_fd, name);
	autofree char *names = malloc(XATTR_LIST_MAX);
	if (names == NULL)
		return -ENOMEM;
	bool readable = S_ISREG(file->st.st_mode) || S_ISDIR(file->st.st_mode);
	ssize_t bytes = readable ? flistxattr(file->fd, names, XATTR_LIST_MAX) : 0;
	if (bytes < 0 && errno != ENOTSUP)
		return -errno;
	int r = 0;
	for (const char *at = names; bytes > 0 && at < names + bytes && r == 0; at += strlen(at) + 1)
		r = is_kept(at) ? xattr_copy(file->fd, at, to_path, record) : 0;
	for (size_t i = 0; owner != NULL && i < owner->xattr_count && r == 0; i++)
		r = xattrs_add(record, &owner->xattrs[i]);
	return r;
}

/* --- permissions, and the record --- */

/* What the disk is given: an ordinary user has to be able to read his files, and to enter and change his directories. */
static mode_t disk_permissions(mode_t wanted, mode_t disk_type)
{
	mode_t needed = geteuid() == 0 ? 0 : S_ISDIR(disk_type) ? 0700 : S_ISREG(disk_type) ? 0400 : 0;
	return wanted | needed;
}

/* As Linux encodes it in 32 bits. */
static uint32_t device_encode(dev_t device)
{
	uint32_t low = minor(device);
	return (low & 0xff) | (major(device) << 8) | ((low & ~0xffu) << 12);
}

static int permissions_set(int directory_fd, const char *name, mode_t wanted)
{
	struct stat st;
	if (fstatat(directory_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (S_ISLNK(st.st_mode))
		return 0;
	return fchmodat(directory_fd, name, disk_permissions(wanted & 07777, st.st_mode & S_IFMT), 0) < 0 ? -errno : 0;
}

/* Compares what is on disk now with what is wanted, and records the difference. */
static int record_set(const struct stat *wanted, const struct xattrs *xattrs, struct owners *owners, int directory_fd,
		      const char *name)
{
	struct owner_key key;
	struct stat st;
	int r = owner_key_read(directory_fd, name, AT_SYMLINK_NOFOLLOW, &key, &st);
	if (r < 0)
		return r;
	struct owner owner = { .uid = wanted->st_uid, .gid = wanted->st_gid,
			       .xattrs = xattrs->items, .xattr_count = xattrs->count };
	bool is_device = S_ISCHR(wanted->st_mode) || S_ISBLK(wanted->st_mode);
	if (is_device && S_ISREG(st.st_mode)) {
		owner.type = wanted->st_mode & S_IFMT;
		owner.device_number = device_encode(wanted->st_rdev);
	}
	if (!S_ISLNK(st.st_mode) && ((st.st_mode ^ wanted->st_mode) & 07777) != 0) {
		owner.mode = wanted->st_mode & 07777;
		owner.disk_mode = st.st_mode & 07777;
	}
	if ((owner.uid | owner.gid | owner.type | owner.mode | owner.disk_mode) == 0 && owner.xattr_count == 0) {
		owners_remove(owners, &key);
		return 0;
	}
	return key.birth_ns == 0 ? -ENOTSUP : owners_set(owners, &key, &owner);
}

/* Attributes before permissions, which may forbid to set them. */
int attributes_set(const struct walk_source *source, const struct walk_file *file, struct owners *owners, int directory_fd,
		   const char *name)
{
	struct stat wanted;
	struct xattrs xattrs = { 0 };
	struct timespec times[] = { { .tv_nsec = UTIME_OMIT }, file->st.st_mtim };
	const struct owner *owner = attributes_of(source, file, &wanted);
	int r = source->is_stage ? xattrs_copy(file, owner, directory_fd, name, &xattrs) : 0;
	if (r == 0)
		r = permissions_set(directory_fd, name, wanted.st_mode);
	if (r == 0 && utimensat(directory_fd, name, times, AT_SYMLINK_NOFOLLOW) < 0)
		r = -errno;
	if (r == 0)
		r = record_set(&wanted, &xattrs, owners, directory_fd, name);
	xattrs_free(&xattrs);
	return r;
}
