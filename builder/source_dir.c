/* SPDX-License-Identifier: Apache-2.0
 *
 * Directories, read as the calling user and as they are: names sorted, symlinks never followed, hard links found by device and
 * inode number, holes kept. The content of file systems mounted inside (/proc, /sys, a home directory) stays out. A file that
 * changes while it is read is an error, since nobody could say what the image holds. In a sandbox, what its record says about a
 * file holds instead of what is on disk (record.h).
 */
#include "builder/source.h"

#include "builder/progress.h"
#include "builder/record.h"
#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/fd.h"
#include "lib/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/limits.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { READ_BYTES = 256 * 1024 };

/* A directory on the way to the current file. */
struct level {
	struct level *up;
	int fd;
	size_t path_bytes; /* of the directory's own path in reader->path */
	char **names;
	size_t count, next;
};

/* The first name of an inode that has several. */
struct first_name {
	dev_t device;
	ino_t inode;
	char path[];
};

struct reader {
	struct source_options options;
	struct level *level;        /* NULL: not begun, or done */
	bool begun;
	int entering;               /* descriptor of a directory that was handed out and is to be entered next, or -1 */
	char *path;                 /* of the current entry */
	size_t path_room;
	void *first_names;          /* tsearch(3) */
	char target[PATH_MAX];      /* of the current symlink */
	struct xattr *xattrs;
	size_t xattr_count;
	char *xattr_names;
	uint64_t bytes_read;
	struct record *record;      /* of a sandbox, or NULL */

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

static void level_pop(struct reader *reader)
{
	struct level *level = reader->level;
	reader->level = level->up;
	for (size_t i = 0; i < level->count; i++)
		free(level->names[i]);
	free(level->names);
	close(level->fd);
	free(level);
}

static int name_add(struct level *level, const char *name)
{
	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return 0;
	if ((level->count & (level->count + 1)) == 0) { /* room is the next power of two, less one */
		char **names = realloc(level->names, (level->count * 2 + 1) * sizeof(*names));
		if (names == NULL)
			return -ENOMEM;
		level->names = names;
	}
	level->names[level->count] = strdup(name);
	return level->names[level->count++] == NULL ? -ENOMEM : 0;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int level_fill(struct level *level)
{
	autoclose int fd = fcntl(level->fd, F_DUPFD_CLOEXEC, 3);
	autoclosedir DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	if (dir == NULL)
		return -errno;
	steal_fd(&fd);
	for (;;) {
		errno = 0;
		struct dirent *entry = readdir(dir);
		if (entry == NULL) {
			int r = -errno;
			if (level->count > 0)
				qsort(level->names, level->count, sizeof(*level->names), compare_names);
			return r;
		}
		int r = name_add(level, entry->d_name);
		if (r < 0)
			return r;
	}
}

/* Takes the descriptor of the directory that reader->path names. */
static int level_push(struct reader *reader, int fd, struct err *err)
{
	struct level *level = calloc(1, sizeof(*level));
	if (level == NULL) {
		close(fd);
		return err_memory(err, reader);
	}
	*level = (struct level){ .up = reader->level, .fd = fd, .path_bytes = strlen(reader->path) };
	reader->level = level;
	int r = level_fill(level);
	return r < 0 ? err_unreadable(err, -r, "directory", reader->path) : 0;
}

static int path_set(struct reader *reader, const char *name)
{
	size_t parent_bytes = reader->level->path_bytes, bytes = parent_bytes + 1 + strlen(name) + 1;
	if (bytes > reader->path_room) {
		char *path = realloc(reader->path, bytes * 2);
		if (path == NULL)
			return -ENOMEM;
		reader->path = path;
		reader->path_room = bytes * 2;
	}
	snprintf(reader->path + parent_bytes, bytes - parent_bytes, "/%s", name);
	return 0;
}

static int compare_inodes(const void *a, const void *b)
{
	const struct first_name *x = a, *y = b;
	if (x->device != y->device)
		return x->device < y->device ? -1 : 1;
	return x->inode < y->inode ? -1 : x->inode > y->inode;
}

/* Returns 1 if the inode was handed out before under *ret_path, else remembers it. */
static int link_find(struct reader *reader, const struct stat *st, const char **ret_path)
{
	size_t bytes = strlen(reader->path) + 1;
	struct first_name *own = malloc(sizeof(*own) + bytes);
	if (own == NULL)
		return -ENOMEM;
	*own = (struct first_name){ .device = st->st_dev, .inode = st->st_ino };
	memcpy(own->path, reader->path, bytes);
	struct first_name **found = tsearch(own, &reader->first_names, compare_inodes);
	if (found == NULL || *found != own)
		free(own);
	if (found == NULL)
		return -ENOMEM;
	*ret_path = (*found)->path;
	return *found != own;
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
	reader->xattrs[reader->xattr_count++] =
		(struct xattr){ .name = name, .value = fitted != NULL ? fitted : value, .value_bytes = (size_t)bytes };
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
		int r = xattr_add(reader, proc_path, at);
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
	log_note("'%s' %s", reader->path, what);
}

static bool is_output(const struct reader *reader, const struct stat *st)
{
	for (int i = 0; i < reader->options.output_count; i++)
		if (st->st_dev == reader->options.output[i].device && st->st_ino == reader->options.output[i].inode)
			return true;
	return false;
}

static void entry_fill(const struct reader *reader, const struct stat *st, struct source_entry *entry)
{
	*entry = (struct source_entry){
		.path = reader->path,
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

/* The path of the current entry as a record has it: without "./". */
static const char *record_path(const struct reader *reader)
{
	return reader->path[1] == '/' ? reader->path + 2 : reader->path;
}

/* Whether the current entry is there only for the record of the sandbox. */
static bool is_record(const struct reader *reader)
{
	const char *path = record_path(reader);
	if (reader->record == NULL)
		return false;
	return strcmp(path, RECORD_DIRECTORY "/" RECORD_NAME) == 0 ||
	       (strcmp(path, RECORD_DIRECTORY) == 0 && record_owns_directory(reader->record, reader->options.fd));
}

/* Adds a recorded attribute, unless somebody has set it on disk since. */
static int record_xattr_add(struct reader *reader, const struct xattr *xattr)
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

/* Puts what the record says in the place of what is on disk, if it is still the file that was made with the sandbox. */
static int record_apply(struct reader *reader, const struct stat *st, struct source_entry *entry, struct err *err)
{
	const struct record_entry *recorded = reader->record == NULL ? NULL : record_find(reader->record, record_path(reader));
	if (recorded == NULL || recorded->disk_mode != st->st_mode || ((recorded->mode ^ st->st_mode) & S_IFMT && st->st_size > 0))
		return 0;
	for (size_t i = 0; i < recorded->xattr_count; i++)
		if (record_xattr_add(reader, &recorded->xattrs[i]) < 0)
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

static int hand_directory(struct reader *reader, const char *name, struct stat *st, struct err *err)
{
	autoclose int fd = openat(reader->level->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, st) < 0)
		return err_unreadable(err, errno, "directory", reader->path);
	if (!fd_is_mount_point(fd, reader->level->fd))
		reader->entering = steal_fd(&fd);
	else
		note(reader, "is a mount point: its content stays out of the image");
	return 0;
}

static int hand_file(struct reader *reader, const char *name, struct stat *st, struct err *err)
{
	/* Without O_NONBLOCK a FIFO that took the file's place meanwhile would stop the build. */
	int fd = openat(reader->level->fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return err_unreadable(err, errno, "file", reader->path);
	reader->file_fd = fd;
	if (fstat(fd, st) < 0)
		return err_unreadable(err, errno, "file", reader->path);
	if (!S_ISREG(st->st_mode))
		return err_set(err, EBUSY, "the file '%s' was replaced while it was read", reader->path);
	reader->file = *st;
	reader->file_offset = 0;
	bool holes = (uint64_t)st->st_blocks * 512 < (uint64_t)st->st_size;
	reader->data_end = holes ? 0 : (uint64_t)st->st_size; /* 0: look for holes */
	return 0;
}

static int hand_symlink(struct reader *reader, const char *name, struct err *err)
{
	ssize_t bytes = readlinkat(reader->level->fd, name, reader->target, sizeof(reader->target) - 1);
	if (bytes < 0)
		return err_unreadable(err, errno, "symlink", reader->path);
	reader->target[bytes] = '\0';
	return 0;
}

/* A second name of what was handed out before. Returns 0 if it is the first one. A socket is in no image, so nothing can name
 * it. */
static int hand_link(struct reader *reader, const struct stat *st, struct source_entry *entry, struct err *err)
{
	const char *first;
	if (st->st_nlink < 2 || S_ISDIR(st->st_mode) || S_ISSOCK(st->st_mode))
		return 0;
	int r = link_find(reader, st, &first);
	if (r > 0)
		*entry = (struct source_entry){ .path = reader->path, .target = first, .hard_link = true };
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
	r = xattrs_read(reader, reader->level->fd, name);
	if (r < 0)
		return err_unreadable(err, -r, "extended attributes of", reader->path);
	entry_fill(reader, st, entry);
	if (S_ISLNK(st->st_mode))
		entry->target = reader->target;
	r = record_apply(reader, st, entry, err);
	return r < 0 ? r : 1;
}

/* Fills the entry for one name of the current directory. Returns 0 if there is nothing to hand out for it. */
static int hand_name(struct reader *reader, const char *name, struct source_entry *entry, struct err *err)
{
	struct stat st;
	if (path_set(reader, name) < 0)
		return err_memory(err, reader);
	if (fstatat(reader->level->fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_unreadable(err, errno, "file", reader->path);
	if (is_output(reader, &st) || is_record(reader))
		return 0;
	int r = hand_link(reader, &st, entry, err);
	return r != 0 ? r : hand_inode(reader, name, &st, entry, err);
}

/* The root, as ".". */
static int hand_root(struct reader *reader, struct source_entry *entry, struct err *err)
{
	struct stat st;
	reader->begun = true;
	if (fstat(reader->options.fd, &st) < 0 || (reader->entering = fcntl(reader->options.fd, F_DUPFD_CLOEXEC, 3)) < 0)
		return err_unreadable(err, errno, "directory", reader->options.name);
	int r = xattrs_read(reader, reader->entering, ".");
	if (r < 0)
		return err_unreadable(err, -r, "extended attributes of", reader->options.name);
	entry_fill(reader, &st, entry);
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
	if (reader->entering >= 0) {
		int r = level_push(reader, steal_fd(&reader->entering), err);
		if (r < 0)
			return r;
	}
	while (reader->level != NULL) {
		if (reader->level->next == reader->level->count) {
			level_pop(reader);
			continue;
		}
		int r = hand_name(reader, reader->level->names[reader->level->next++], ret_entry, err);
		if (r != 0)
			return r;
	}
	return 0;
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
	err_set(err, EBUSY, "the file '%s' changed while it was read", reader->path);
	return err_hint(err, "build from a tree that nothing writes to");
}

static int file_end(struct reader *reader, struct err *err)
{
	struct stat now;
	const struct stat *then = &reader->file;
	if (fstat(reader->file_fd, &now) < 0)
		return err_unreadable(err, errno, "file", reader->path);
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
		return err_unreadable(err, errno, "file", reader->path);
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
	while (reader->level != NULL)
		level_pop(reader);
	xattrs_clear(reader);
	tdestroy(reader->first_names, free);
	record_free(reader->record);
	free(reader->buffer);
	free(reader->path);
	free(reader);
}

static int directory_open(const struct source_options *options, struct reader **ret_reader, struct err *err)
{
	struct reader *reader = calloc(1, sizeof(*reader));
	if (reader == NULL)
		return err_sys(err, ENOMEM, "cannot read the directory '%s'", options->name);
	*reader = (struct reader){ .options = *options, .entering = -1, .file_fd = -1, .path_room = 2 };
	reader->path = strdup(".");
	reader->buffer = malloc(READ_BYTES);
	if (reader->path == NULL || reader->buffer == NULL) {
		directory_close(reader);
		return err_sys(err, ENOMEM, "cannot read the directory '%s'", options->name);
	}
	fd_limit_raise();
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
