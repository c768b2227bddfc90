/* SPDX-License-Identifier: Apache-2.0
 *
 * Directories, read as the calling user and as they are: names sorted, symlinks never followed, hard links found by device and
 * inode number, holes kept. The content of file systems mounted inside (/proc, /sys, a home directory) stays out. A file that
 * changes while it is read is an error, since nobody could say what the image holds. In a sandbox, what its record says about a
 * file holds instead of what is on disk (record.h); in a work directory, what the table of owners says (fakeroot/owners.h).
 */
#include "builder/source.h"

#include "builder/dir_walk.h"
#include "builder/fakeroot/owners.h"
#include "builder/progress.h"
#include "builder/record.h"
#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/fd.h"
#include "lib/log.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { READ_BYTES = 256 * 1024 };

struct reader {
	struct source_options options;
	struct dir_walk walk;
	bool begun;
	int entering;               /* descriptor of a directory that was handed out and is to be entered next, or -1 */
	char target[PATH_MAX];      /* of the current symlink */
	struct xattr *xattrs;
	size_t xattr_count;
	char *xattr_names;
	uint64_t bytes_read;
	struct record *record;      /* of a sandbox, or NULL */
	const struct owner *owner;  /* of the current entry, or NULL */

	int file_fd;                /* the current regular file, or -1 */
	struct stat file;
	uint64_t file_offset;
	uint64_t data_end;          /* of the run of data that file_offset lies in */
	uint8_t *buffer;            /* READ_BYTES */
};

static bool directory_matches(mode_t mode, const uint8_t *head, size_t bytes)
{
	(void)head;
	(void)bytes;
	return S_ISDIR(mode);
}

static int err_unreadable(struct err *err, int errnum, const char *what, const char *path)
{
	err_sys(err, errnum, "cannot read the %s '%s'", what, path);
	if (errnum == EACCES || errnum == EPERM)
		return err_hint(err, "build as a user who may read all of the tree, or from a tarball that one made");
	return err->code;
}

static int err_memory(struct err *err, const struct reader *reader)
{
	return err_sys(err, ENOMEM, "cannot read the directory '%s'", reader->options.name);
}

static void xattrs_clear(struct reader *reader)
{
	for (size_t i = 0; i < reader->xattr_count; i++)
		free((void *)reader->xattrs[i].value);
	free(reader->xattrs);
	free(reader->xattr_names);
	reader->xattrs = NULL;
	reader->xattr_names = NULL;
	reader->xattr_count = 0;
}

static int xattr_room(struct reader *reader)
{
	struct xattr *xattrs = realloc(reader->xattrs, (reader->xattr_count + 1) * sizeof(*xattrs));
	if (xattrs == NULL)
		return -ENOMEM;
	reader->xattrs = xattrs;
	return 0;
}

/* Capabilities that were given in the user's own namespace count for it alone. In the image they are what the user asked for. */
static void capability_settle(struct xattr *xattr)
{
	struct vfs_ns_cap_data data;
	if (strcmp(xattr->name, "security.capability") != 0 || xattr->value_bytes != sizeof(data))
		return;
	memcpy(&data, xattr->value, sizeof(data));
	uint32_t magic = le32toh(data.magic_etc);
	if ((magic & VFS_CAP_REVISION_MASK) != VFS_CAP_REVISION_3 || le32toh(data.rootid) != geteuid())
		return;
	data.magic_etc = htole32((magic & ~VFS_CAP_REVISION_MASK) | VFS_CAP_REVISION_2);
	memcpy((void *)xattr->value, &data, sizeof(data));
	xattr->value_bytes = XATTR_CAPS_SZ_2;
}

/* Appends one attribute. One that went away meanwhile, or whose value may not be read, is as good as not there. */
static int xattr_add(struct reader *reader, const char *proc_path, const char *name)
{
	if (xattr_room(reader) < 0)
		return -ENOMEM;
	void *value = malloc(XATTR_SIZE_MAX);
	if (value == NULL)
		return -ENOMEM;
	ssize_t bytes = lgetxattr(proc_path, name, value, XATTR_SIZE_MAX);
	if (bytes < 0) {
		int errnum = errno;
		free(value);
		return errnum == ENODATA || errnum == ENOTSUP ? 0 : -errnum;
	}
	void *fitted = realloc(value, bytes > 0 ? (size_t)bytes : 1);
	struct xattr *xattr = &reader->xattrs[reader->xattr_count++];
	*xattr = (struct xattr){ .name = name, .value = fitted != NULL ? fitted : value, .value_bytes = (size_t)bytes };
	if (reader->record != NULL)
		capability_settle(xattr);
	return 0;
}

/* Through the directory's descriptor, so that it works for symlinks and device nodes, which cannot be opened, and for "." */
static int xattrs_read(struct reader *reader, int directory_fd, const char *name)
{
	char proc_path[sizeof("/proc/self/fd/") + 12 + NAME_MAX + 1];
	snprintf(proc_path, sizeof(proc_path), "/proc/self/fd/%d/%s", directory_fd, name);
	xattrs_clear(reader);
	ssize_t bytes = llistxattr(proc_path, NULL, 0);
	if (bytes <= 0)
		return bytes < 0 && errno != ENOTSUP && errno != ENOENT ? -errno : 0;
	reader->xattr_names = malloc(XATTR_LIST_MAX);
	if (reader->xattr_names == NULL)
		return -ENOMEM;
	bytes = llistxattr(proc_path, reader->xattr_names, XATTR_LIST_MAX);
	for (const char *at = reader->xattr_names; bytes > 0 && at < reader->xattr_names + bytes; at += strlen(at) + 1) {
		bool other = reader->options.owners != NULL && xattr_is_label(at);
		int r = other ? 0 : xattr_add(reader, proc_path, at);
		if (r < 0)
			return r;
	}
	return bytes < 0 ? -errno : 0;
}

static void note(const struct reader *reader, const char *what)
{
	if (reader->options.quiet)
		return;
	progress_clear(reader->options.progress);
	log_note("'%s' %s", reader->walk.path, what);
}

static bool is_output(const struct reader *reader, const struct stat *st)
{
	for (int i = 0; i < reader->options.output_count; i++)
		if (st->st_dev == reader->options.output[i].device && st->st_ino == reader->options.output[i].inode)
			return true;
	return false;
}

/* Whether it can come again, under another name. A socket is in no image, so nothing can name it. */
static bool is_shared(const struct stat *st)
{
	return st->st_nlink >= 2 && !S_ISDIR(st->st_mode) && !S_ISSOCK(st->st_mode);
}

static void entry_fill(const struct reader *reader, const struct stat *st, struct source_entry *entry)
{
	*entry = (struct source_entry){
		.path = reader->walk.path,
		.shared = is_shared(st),
		.mode = st->st_mode,
		.uid = st->st_uid,
		.gid = st->st_gid,
		.mtime = st->st_mtim.tv_sec,
		.major = major(st->st_rdev),
		.minor = minor(st->st_rdev),
		.bytes = S_ISREG(st->st_mode) ? (uint64_t)st->st_size : 0,
		.xattrs = reader->xattrs,
		.xattr_count = reader->xattr_count,
	};
}

/* Whether the current entry is there only for the record of the sandbox. */
static bool is_record(const struct reader *reader)
{
	const char *path = dir_walk_path(&reader->walk);
	if (reader->record == NULL)
		return false;
	return strcmp(path, RECORD_DIRECTORY "/" RECORD_NAME) == 0 ||
	       (strcmp(path, RECORD_DIRECTORY) == 0 && record_owns_directory(reader->record, reader->options.fd));
}

/* Adds a recorded attribute, unless somebody has set it on disk since. */
static int recorded_xattr_add(struct reader *reader, const struct xattr *xattr)
{
	for (size_t i = 0; i < reader->xattr_count; i++)
		if (strcmp(reader->xattrs[i].name, xattr->name) == 0)
			return 0;
	void *value = malloc(xattr->value_bytes + 1);
	if (value == NULL || xattr_room(reader) < 0) {
		free(value);
		return -ENOMEM;
	}
	memcpy(value, xattr->value, xattr->value_bytes);
	struct xattr *taken = &reader->xattrs[reader->xattr_count++];
	*taken = (struct xattr){ .name = xattr->name, .value = value, .value_bytes = xattr->value_bytes };
	return 0;
}

static int xattrs_append(struct reader *reader, const struct xattr *xattrs, size_t count)
{
	int r = 0;
	for (size_t i = 0; i < count && r == 0; i++)
		r = recorded_xattr_add(reader, &xattrs[i]);
	return r;
}

/* Puts what the record says in the place of what is on disk, if it is still the file that was made with the sandbox. */
static int record_apply(struct reader *reader, const struct stat *st, struct source_entry *entry, struct err *err)
{
	const struct record *record = reader->record;
	const struct record_entry *recorded = record == NULL ? NULL : record_find(record, dir_walk_path(&reader->walk));
	if (recorded == NULL || !record_holds(recorded, st))
		return 0;
	if (xattrs_append(reader, recorded->xattrs, recorded->xattr_count) < 0)
		return err_memory(err, reader);
	entry->mode = recorded->mode;
	entry->uid = recorded->uid;
	entry->gid = recorded->gid;
	entry->major = recorded->major;
	entry->minor = recorded->minor;
	entry->xattrs = reader->xattrs;
	entry->xattr_count = reader->xattr_count;
	return 0;
}

/* The table's word on the current entry of a work directory, into what stat said and the attributes. */
static int owner_take(struct reader *reader, struct stat *st)
{
	if (reader->options.owners == NULL)
		return 0;
	owner_apply(reader->owner, st);
	return reader->owner == NULL ? 0 : xattrs_append(reader, reader->owner->xattrs, reader->owner->xattr_count);
}

/* As fstatat(). A work directory's entry is looked up in the table, too. */
static int entry_stat(struct reader *reader, int fd, const char *name, int flags, struct stat *st)
{
	struct owner_key key;
	if (reader->options.owners == NULL)
		return fstatat(fd, name, st, flags) < 0 ? -errno : 0;
	int r = owner_key_read(fd, name, flags, &key, st);
	reader->owner = r < 0 ? NULL : owners_find(reader->options.owners, &key);
	return r;
}

static int hand_directory(struct reader *reader, const char *name, struct stat *st, struct err *err)
{
	autoclose int fd = openat(reader->walk.level->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, st) < 0)
		return err_unreadable(err, errno, "directory", reader->walk.path);
	if (!fd_is_mount_point(fd, reader->walk.level->fd))
		reader->entering = steal_fd(&fd);
	else
		note(reader, "is a mount point: its content stays out of the image");
	return 0;
}

static int hand_file(struct reader *reader, const char *name, struct stat *st, struct err *err)
{
	/* Without O_NONBLOCK a FIFO that took the file's place meanwhile would stop the build. */
	int fd = openat(reader->walk.level->fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return err_unreadable(err, errno, "file", reader->walk.path);
	reader->file_fd = fd;
	if (fstat(fd, st) < 0)
		return err_unreadable(err, errno, "file", reader->walk.path);
	if (!S_ISREG(st->st_mode))
		return err_set(err, EBUSY, "the file '%s' was replaced while it was read", reader->walk.path);
	reader->file = *st;
	reader->file_offset = 0;
	bool holes = (uint64_t)st->st_blocks * 512 < (uint64_t)st->st_size;
	reader->data_end = holes ? 0 : (uint64_t)st->st_size; /* 0: look for holes */
	return 0;
}

static int hand_symlink(struct reader *reader, const char *name, struct err *err)
{
	ssize_t bytes = readlinkat(reader->walk.level->fd, name, reader->target, sizeof(reader->target) - 1);
	if (bytes < 0)
		return err_unreadable(err, errno, "symlink", reader->walk.path);
	reader->target[bytes] = '\0';
	return 0;
}

/* A second name of what was handed out before. Returns 0 if it is the first one. */
static int hand_link(struct reader *reader, const struct stat *st, struct source_entry *entry, struct err *err)
{
	const char *first;
	if (!is_shared(st))
		return 0;
	int r = dir_walk_first_name(&reader->walk, st, &first);
	if (r > 0)
		*entry = (struct source_entry){ .path = reader->walk.path, .target = first, .hard_link = true };
	return r < 0 ? err_memory(err, reader) : r;
}

static int hand_inode(struct reader *reader, const char *name, struct stat *st, struct source_entry *entry, struct err *err)
{
	int r = 0;
	if (S_ISDIR(st->st_mode))
		r = hand_directory(reader, name, st, err);
	else if (S_ISREG(st->st_mode))
		r = hand_file(reader, name, st, err);
	else if (S_ISLNK(st->st_mode))
		r = hand_symlink(reader, name, err);
	if (r < 0)
		return r;
	r = xattrs_read(reader, reader->walk.level->fd, name);
	if (r < 0)
		return err_unreadable(err, -r, "extended attributes of", reader->walk.path);
	if (owner_take(reader, st) < 0)
		return err_memory(err, reader);
	entry_fill(reader, st, entry);
	if (S_ISLNK(st->st_mode))
		entry->target = reader->target;
	r = record_apply(reader, st, entry, err);
	return r < 0 ? r : 1;
}

static bool is_skipped(const struct reader *reader, const struct stat *st)
{
	const struct source_options *options = &reader->options;
	return options->skip != NULL && options->skip(options->skip_context, dir_walk_path(&reader->walk), st);
}

/* Fills the entry for one name of the current directory. Returns 0 if there is nothing to hand out for it. */
static int hand_name(struct reader *reader, const char *name, struct source_entry *entry, struct err *err)
{
	struct stat st;
	int r = entry_stat(reader, reader->walk.level->fd, name, AT_SYMLINK_NOFOLLOW, &st);
	if (r < 0)
		return err_unreadable(err, -r, "file", reader->walk.path);
	if (is_output(reader, &st) || is_record(reader) || is_skipped(reader, &st))
		return 0;
	r = hand_link(reader, &st, entry, err);
	return r != 0 ? r : hand_inode(reader, name, &st, entry, err);
}

/* The root, as ".". */
static int hand_root(struct reader *reader, struct source_entry *entry, struct err *err)
{
	struct stat st;
	reader->begun = true;
	int r = entry_stat(reader, reader->options.fd, "", AT_EMPTY_PATH, &st);
	if (r == 0 && (reader->entering = fcntl(reader->options.fd, F_DUPFD_CLOEXEC, 3)) < 0)
		r = -errno;
	if (r < 0)
		return err_unreadable(err, -r, "directory", reader->options.name);
	r = xattrs_read(reader, reader->entering, ".");
	if (r < 0)
		return err_unreadable(err, -r, "extended attributes of", reader->options.name);
	if (owner_take(reader, &st) < 0)
		return err_memory(err, reader);
	entry_fill(reader, &st, entry);
	if (reader->options.owners == NULL)
		r = record_read(reader->options.fd, reader->options.name, &reader->record, err);
	if (r == 0)
		r = record_apply(reader, &st, entry, err);
	return r < 0 ? r : 1;
}

static void file_close(struct reader *reader)
{
	if (reader->file_fd >= 0)
		close(reader->file_fd);
	reader->file_fd = -1;
}

static int directory_next(struct reader *reader, struct source_entry *ret_entry, struct err *err)
{
	file_close(reader);
	if (!reader->begun)
		return hand_root(reader, ret_entry, err);
	int r = reader->entering < 0 ? 0 : dir_walk_enter(&reader->walk, steal_fd(&reader->entering));
	if (r < 0)
		return err_unreadable(err, -r, "directory", reader->walk.path);
	const char *name;
	while ((r = dir_walk_next(&reader->walk, &name)) > 0) {
		r = hand_name(reader, name, ret_entry, err);
		if (r != 0)
			return r;
	}
	return r < 0 ? err_memory(err, reader) : 0;
}

/* Moves to the next run of data. Returns 0 if nothing but a hole is left. */
static int data_find(struct reader *reader)
{
	off_t start = lseek(reader->file_fd, (off_t)reader->file_offset, SEEK_DATA);
	if (start < 0 && errno == ENXIO)
		return 0;
	off_t end = start < 0 ? -1 : lseek(reader->file_fd, start, SEEK_HOLE);
	if (end < 0) { /* the file system does not tell */
		reader->data_end = (uint64_t)reader->file.st_size;
		return 1;
	}
	reader->file_offset = (uint64_t)start;
	reader->data_end = (uint64_t)end < (uint64_t)reader->file.st_size ? (uint64_t)end : (uint64_t)reader->file.st_size;
	return reader->file_offset < reader->data_end;
}

static int err_changed(struct err *err, const struct reader *reader)
{
	err_set(err, EBUSY, "the file '%s' changed while it was read", reader->walk.path);
	return err_hint(err, "build from a tree that nothing writes to");
}

static int file_end(struct reader *reader, struct err *err)
{
	struct stat now;
	const struct stat *then = &reader->file;
	if (fstat(reader->file_fd, &now) < 0)
		return err_unreadable(err, errno, "file", reader->walk.path);
	if (now.st_size != then->st_size || now.st_mtim.tv_sec != then->st_mtim.tv_sec ||
	    now.st_mtim.tv_nsec != then->st_mtim.tv_nsec)
		return err_changed(err, reader);
	return 0;
}

static int directory_read(struct reader *reader, struct piece *ret_piece, struct err *err)
{
	if (reader->file_offset >= (uint64_t)reader->file.st_size)
		return file_end(reader, err);
	if (reader->file_offset >= reader->data_end && data_find(reader) == 0)
		return file_end(reader, err);
	uint64_t wanted = reader->data_end - reader->file_offset;
	ssize_t n;
	do
		n = pread(reader->file_fd, reader->buffer, wanted < READ_BYTES ? wanted : READ_BYTES, (off_t)reader->file_offset);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return err_unreadable(err, errno, "file", reader->walk.path);
	if (n == 0)
		return err_changed(err, reader);
	*ret_piece = (struct piece){ .offset = reader->file_offset, .data = reader->buffer, .bytes = (size_t)n };
	reader->file_offset += (uint64_t)n;
	reader->bytes_read += (uint64_t)n;
	return 1;
}

static void directory_progress(const struct reader *reader, uint64_t *ret_bytes, uint64_t *ret_total)
{
	*ret_bytes = reader->bytes_read;
	*ret_total = 0;
}

static void directory_close(struct reader *reader)
{
	if (reader == NULL)
		return;
	file_close(reader);
	if (reader->entering >= 0)
		close(reader->entering);
	dir_walk_end(&reader->walk);
	xattrs_clear(reader);
	record_free(reader->record);
	free(reader->buffer);
	free(reader);
}

static int directory_open(const struct source_options *options, struct reader **ret_reader, struct err *err)
{
	struct reader *reader = calloc(1, sizeof(*reader));
	if (reader == NULL)
		return err_sys(err, ENOMEM, "cannot read the directory '%s'", options->name);
	*reader = (struct reader){ .options = *options, .entering = -1, .file_fd = -1 };
	reader->buffer = malloc(READ_BYTES);
	if (dir_walk_begin(&reader->walk) < 0 || reader->buffer == NULL) {
		directory_close(reader);
		return err_sys(err, ENOMEM, "cannot read the directory '%s'", options->name);
	}
	*ret_reader = reader;
	return 0;
}

const struct source source_directory = {
	.name = "directory",
	.matches = directory_matches,
	.open = directory_open,
	.next = directory_next,
	.read = directory_read,
	.progress = directory_progress,
	.close = directory_close,
};
