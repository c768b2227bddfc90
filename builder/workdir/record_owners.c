/* SPDX-License-Identifier: Apache-2.0
 *
 * Records by path and by inode: see record_owners.h. A file with several names is recorded under the one that comes first in the
 * walk, which has the order of the directory source.
 */
#include "builder/workdir/record_owners.h"

#include "builder/record.h"
#include "builder/workdir/work_walk.h"
#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/fd.h"
#include "lib/fdio.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

struct context {
	int root_fd;
	const char *path;
	uid_t uid, gid;            /* the caller's, outside */
	struct record *record;     /* as it was, or NULL */
	struct work_walk walk;
	struct owners *loaded;     /* to load: the table */
	const struct owners *saved; /* to save: the table */
	FILE *out;                 /* … the new record */
	bool made;                 /* … /.simg is there, or is going to be, for the record only */
};

/* What the disk says to who looks from outside. */
static uid_t outside_uid(const struct context *context, const struct stat *st)
{
	return st->st_uid == geteuid() ? context->uid : st->st_uid;
}

static gid_t outside_gid(const struct context *context, const struct stat *st)
{
	return st->st_gid == getegid() ? context->gid : st->st_gid;
}

static bool is_device(mode_t mode)
{
	return S_ISCHR(mode) || S_ISBLK(mode);
}

/* Whether the current entry is a further name of what was met before. */
static int is_known(struct work_walk *walk, struct err *err)
{
	const char *first;
	if (walk->st.st_nlink < 2 || S_ISDIR(walk->st.st_mode))
		return 0;
	int r = dir_walk_first_name(&walk->walk, &walk->st, &first);
	return r < 0 ? work_walk_failed(walk, -r, err) : r;
}

/* Calls take() for every file. */
static int walk_all(struct context *context, int (*take)(struct context *context, struct err *err), struct err *err)
{
	struct work_walk *walk = &context->walk;
	int r = work_walk_begin(walk, context->root_fd, context->path, NULL, err);
	while (r > 0) {
		r = is_known(walk, err);
		if (r == 0)
			r = take(context, err);
		if (r == 0 && S_ISDIR(walk->st.st_mode))
			r = work_walk_enter(walk, err);
		if (r >= 0)
			r = work_walk_next(walk, err);
	}
	work_walk_end(walk);
	return r;
}

/* --- from record to table --- */

static struct owner owner_of(const struct context *context, const struct record_entry *entry)
{
	const struct stat *st = &context->walk.st;
	if (entry == NULL || !record_holds(entry, st))
		return (struct owner){ .uid = outside_uid(context, st), .gid = outside_gid(context, st) };
	return (struct owner){
		.uid = entry->uid,
		.gid = entry->gid,
		.type = is_device(entry->mode) ? entry->mode & S_IFMT : 0,
		.device_number = (entry->minor & 0xff) | entry->major << 8 | (entry->minor & ~0xffu) << 12,
		.mode = entry->mode & 07777,
		.disk_mode = entry->disk_mode & 07777,
		.xattrs = entry->xattrs,
		.xattr_count = entry->xattr_count,
	};
}

static int owner_load(struct context *context, struct err *err)
{
	struct work_walk *walk = &context->walk;
	const char *path = dir_walk_path(&walk->walk);
	struct owner owner = owner_of(context, context->record == NULL ? NULL : record_find(context->record, path));
	int r = owners_set(context->loaded, &walk->key, &owner);
	return r < 0 ? work_walk_failed(walk, -r, err) : 0;
}

int record_owners_load(int root_fd, const char *path, uid_t uid, gid_t gid, struct owners *owners, struct err *err)
{
	struct context context = { .root_fd = root_fd, .path = path, .uid = uid, .gid = gid, .loaded = owners };
	int r = record_read(root_fd, path, &context.record, err);
	if (r == 0)
		r = walk_all(&context, owner_load, err);
	record_free(context.record);
	return r;
}

/* --- from table to record --- */

static int save_failed(const struct context *context, int errnum, struct err *err)
{
	return err_sys(err, errnum, "cannot write '" RECORD_DIRECTORY "/" RECORD_NAME "' in the sandbox '%s'", context->path);
}

/* What is there only for the record. */
static bool is_record(const struct context *context)
{
	const char *path = dir_walk_path(&context->walk.walk);
	return strcmp(path, RECORD_DIRECTORY "/" RECORD_NAME) == 0 || (context->made && strcmp(path, RECORD_DIRECTORY) == 0);
}

/* Gives the current entry the permissions that go with what it is in the image. *ret_mode is what it has on disk then. */
static int permissions_set(const struct context *context, mode_t image_mode, bool owner_kept, mode_t *ret_mode, struct err *err)
{
	const struct work_walk *walk = &context->walk;
	mode_t type = walk->st.st_mode & S_IFMT;
	*ret_mode = walk->st.st_mode;
	if (S_ISLNK(type))
		return 0;
	*ret_mode = type | record_permissions(image_mode, type, owner_kept, context->uid == 0);
	if (*ret_mode == walk->st.st_mode || fchmodat(work_walk_fd(walk), walk->name, *ret_mode & 07777, 0) == 0)
		return 0;
	return err_sys(err, errno, "cannot change the mode of '%s' in the sandbox '%s'", dir_walk_path(&walk->walk), context->path);
}

static bool is_on_disk(const struct work_walk *walk, const struct xattr *xattr)
{
	char proc_path[FD_PATH_MAX + NAME_MAX + 2];
	fd_path(work_walk_fd(walk), proc_path);
	snprintf(proc_path + strlen(proc_path), NAME_MAX + 2, "/%s", walk->name);
	return lgetxattr(proc_path, xattr->name, NULL, 0) >= 0;
}

/* The attributes that are in the table only. *ret_xattrs is the caller's to free. */
static int xattrs_find(const struct context *context, const struct owner *owner, struct xattr **ret_xattrs, size_t *ret_count,
		       struct err *err)
{
	size_t count = owner == NULL ? 0 : owner->xattr_count;
	*ret_xattrs = count == 0 ? NULL : malloc(count * sizeof(**ret_xattrs));
	*ret_count = 0;
	if (count > 0 && *ret_xattrs == NULL)
		return save_failed(context, ENOMEM, err);
	for (size_t i = 0; i < count; i++)
		if (!is_on_disk(&context->walk, &owner->xattrs[i]))
			(*ret_xattrs)[(*ret_count)++] = owner->xattrs[i];
	return 0;
}

static int owner_save(struct context *context, struct err *err)
{
	const struct stat *disk = &context->walk.st;
	const struct owner *owner = owners_find(context->saved, &context->walk.key);
	autofree struct xattr *xattrs = NULL;
	struct stat st = *disk;
	mode_t disk_mode;
	if (is_record(context) || S_ISSOCK(disk->st_mode))
		return 0;
	owner_apply(owner, &st);
	bool owner_kept = st.st_uid == outside_uid(context, disk) && st.st_gid == outside_gid(context, disk);
	struct record_entry entry = {
		.path = dir_walk_path(&context->walk.walk),
		.mode = st.st_mode,
		.uid = st.st_uid,
		.gid = st.st_gid,
		.major = is_device(st.st_mode) ? major(st.st_rdev) : 0,
		.minor = is_device(st.st_mode) ? minor(st.st_rdev) : 0,
	};
	int r = permissions_set(context, st.st_mode, owner_kept, &disk_mode, err);
	if (r == 0)
		r = xattrs_find(context, owner, &xattrs, &entry.xattr_count, err);
	entry.xattrs = xattrs;
	entry.disk_mode = disk_mode;
	if (r == 0 && (!owner_kept || disk_mode != st.st_mode || entry.xattr_count > 0))
		record_add(context->out, &entry);
	return r;
}

static int text_make(struct context *context, struct err *err)
{
	record_begin(context->out);
	if (context->made)
		record_made_directory(context->out);
	return walk_all(context, owner_save, err);
}

/* --- the file --- */

/* Opens /.simg. *ret_fd is -1 if there is none. */
static int directory_find(struct context *context, int *ret_fd, struct err *err)
{
	*ret_fd = openat(context->root_fd, RECORD_DIRECTORY, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (*ret_fd < 0 && errno != ENOENT)
		return save_failed(context, errno == ELOOP ? ENOTDIR : errno, err);
	context->made = *ret_fd < 0 || (context->record != NULL && record_owns_directory(context->record, context->root_fd));
	return 0;
}

static int time_restore(int fd, const struct stat *st)
{
	const struct timespec times[] = { { .tv_nsec = UTIME_OMIT }, st->st_mtim };
	return futimens(fd, times) < 0 ? -errno : 0;
}

/* Makes /.simg, and the root looks as before. */
static int directory_make(const struct context *context)
{
	struct stat st;
	if (fstat(context->root_fd, &st) < 0 || mkdirat(context->root_fd, RECORD_DIRECTORY, 0700) < 0)
		return -errno;
	autoclose int fd = openat(context->root_fd, RECORD_DIRECTORY, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fchmod(fd, 0755) < 0)
		return -errno;
	int r = time_restore(context->root_fd, &st);
	return r < 0 ? r : steal_fd(&fd);
}

static int text_write(int fd, const char *text, size_t bytes)
{
	int r = fdio_write(fd, 0, text, bytes);
	return r == 0 && fchmod(fd, 0644) < 0 ? -errno : r;
}

/* The old record stays until the new one is complete. */
static int file_replace(int directory_fd, const char *text, size_t bytes)
{
	char path[FD_PATH_MAX + sizeof("/." RECORD_NAME ".XXXXXX")];
	struct stat st;
	fd_path(directory_fd, path);
	strcat(path, "/." RECORD_NAME ".XXXXXX");
	autoclose int fd = fstat(directory_fd, &st) < 0 ? -1 : mkostemp(path, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	int r = text_write(fd, text, bytes);
	if (r == 0 && renameat(AT_FDCWD, path, directory_fd, RECORD_NAME) < 0)
		r = -errno;
	if (r < 0)
		unlink(path);
	int restored = time_restore(directory_fd, &st);
	return r < 0 ? r : restored;
}

static int save(struct context *context, struct err *err)
{
	autofree char *text = NULL;
	size_t bytes = 0;
	autoclose int directory = -1;
	int r = directory_find(context, &directory, err);
	if (r < 0)
		return r;
	context->out = open_memstream(&text, &bytes);
	if (context->out == NULL)
		return save_failed(context, errno, err);
	r = text_make(context, err);
	bool whole = !ferror(context->out);
	whole &= fclose(context->out) == 0;
	if (r == 0 && !whole)
		r = save_failed(context, ENOMEM, err);
	if (r < 0)
		return r;
	if (directory < 0)
		directory = directory_make(context);
	r = directory < 0 ? directory : file_replace(directory, text, bytes);
	return r < 0 ? save_failed(context, -r, err) : 0;
}

int record_owners_save(int root_fd, const char *path, uid_t uid, gid_t gid, const struct owners *owners, struct err *err)
{
	struct context context = { .root_fd = root_fd, .path = path, .uid = uid, .gid = gid, .saved = owners };
	int r = record_read(root_fd, path, &context.record, err);
	if (r == 0)
		r = save(&context, err);
	record_free(context.record);
	return r;
}
