/* SPDX-License-Identifier: Apache-2.0
 *
 * The tree of a sandbox: see sandbox.h. It is walked in the order of names, a directory's content right behind it, as a directory
 * is read: so a file with several names is recorded under the one that is met first there, too. Everything goes through
 * descriptors, so that paths may be of any length, and no name is ever looked up outside. A directory gets its mode and time when
 * all is in it.
 */
#include "builder/fakeroot/owners.h"
#include "builder/record.h"
#include "builder/remove.h"
#include "builder/sandbox_internal.h"
#include "builder/tree.h"
#include "lib/cleanup.h"
#include "lib/err.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

static const char RECORD_FILE[] = "record"; /* its name among the files, which are numbers */

struct walk {
	struct sandbox *sandbox;
	uint32_t seconds;
	int *fds;            /* of the directories on the way, the root's first */
	size_t depth, room;
	char *path;          /* of the current entry, "." for the root */
	size_t path_room;
	bool record_placed;
};

static int walk_failed(const struct walk *walk, int errnum, struct err *err)
{
	return sandbox_failed(walk->sandbox, errnum, walk->path, err);
}

static int current_fd(const struct walk *walk)
{
	return walk->fds[walk->depth - 1];
}

static bool is_work(const struct walk *walk)
{
	return walk->sandbox->work != NULL;
}

static bool is_root(const struct walk *walk)
{
	return walk->depth == 1;
}

/* --- the path, for messages and the record --- */

static int path_push(struct walk *walk, const char *name, struct err *err)
{
	size_t parent_bytes = is_root(walk) ? 0 : strlen(walk->path), bytes = parent_bytes + 1 + strlen(name) + 1;
	if (bytes > walk->path_room) {
		char *path = realloc(walk->path, bytes * 2);
		if (path == NULL)
			return walk_failed(walk, ENOMEM, err);
		walk->path = path;
		walk->path_room = bytes * 2;
	}
	snprintf(walk->path + parent_bytes, bytes - parent_bytes, parent_bytes > 0 ? "/%s" : "%s", name);
	return 0;
}

static void path_pop(struct walk *walk)
{
	char *slash = strrchr(walk->path, '/');
	if (slash != NULL)
		*slash = '\0';
	else
		strcpy(walk->path, ".");
}

/* --- owner, mode, time, attributes --- */

/* An entry that is to get its attributes: a name in a directory. Symlinks and devices cannot be opened. */
struct entry {
	int fd;
	const char *name;
	const struct inode *inode;
	mode_t disk_type;
	bool lost;                 /* something could not be kept, and is to be recorded */
	struct xattr *lost_xattrs;
	size_t lost_xattr_count;
};

static void lose(struct walk *walk, struct entry *entry, struct tally *tally)
{
	entry->lost = true;
	tally_add(tally, walk->path);
}

/* *ret_kept: whether it has its owner. */
static int owner_set(struct walk *walk, struct entry *entry, bool *ret_kept, struct err *err)
{
	const struct inode *inode = entry->inode;
	struct stat st;
	*ret_kept = true;
	if (is_work(walk)) { /* the record counts, whoever has it on disk */
		if (inode->uid != 0 || inode->gid != 0)
			lose(walk, entry, &walk->sandbox->owners);
		return 0;
	}
	if (walk->sandbox->privileged && fchownat(entry->fd, entry->name, inode->uid, inode->gid, AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	if (walk->sandbox->privileged && errno != EPERM && errno != EINVAL) /* root of a user namespace */
		return walk_failed(walk, errno, err);
	if (fstatat(entry->fd, entry->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return walk_failed(walk, errno, err);
	*ret_kept = st.st_uid == inode->uid && st.st_gid == inode->gid;
	if (!*ret_kept)
		lose(walk, entry, &walk->sandbox->owners);
	return 0;
}

static int xattr_lose(struct walk *walk, struct entry *entry, const struct xattr *xattr, struct err *err)
{
	struct xattr *xattrs = realloc(entry->lost_xattrs, (entry->lost_xattr_count + 1) * sizeof(*xattrs));
	if (xattrs == NULL)
		return walk_failed(walk, ENOMEM, err);
	entry->lost_xattrs = xattrs;
	xattrs[entry->lost_xattr_count] = *xattr;
	xattrs[entry->lost_xattr_count].name = strdup(xattr->name);
	if (xattrs[entry->lost_xattr_count].name == NULL)
		return walk_failed(walk, ENOMEM, err);
	entry->lost_xattr_count++;
	lose(walk, entry, &walk->sandbox->xattrs);
	return 0;
}

/* Without privilege, of the wrong type, or more than the file system has room for beside the inode. */
static bool xattr_is_impossible(int errnum)
{
	return errnum == EPERM || errnum == EACCES || errnum == ENOTSUP || errnum == EINVAL || errnum == E2BIG ||
	       errnum == ERANGE || errnum == ENOSPC;
}

static int xattrs_set(struct walk *walk, struct entry *entry, struct err *err)
{
	char proc_path[sizeof("/proc/self/fd/") + 12 + NAME_MAX + 1], name[XATTR_NAME_MAX + 1];
	snprintf(proc_path, sizeof(proc_path), "/proc/self/fd/%d/%s", entry->fd, entry->name);
	const struct xattr_set *set = entry->inode->xattrs;
	struct xattr xattr;
	for (size_t at = 0; set != NULL && xattr_set_next(set, &at, name, &xattr);) {
		bool possible = !is_work(walk) || !xattr_is_label(name);
		if (possible && lsetxattr(proc_path, name, xattr.value, xattr.value_bytes, 0) == 0)
			continue;
		int r = !possible || xattr_is_impossible(errno) ? xattr_lose(walk, entry, &xattr, err) : walk_failed(walk, errno, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int time_set(struct walk *walk, const struct entry *entry, struct err *err)
{
	const struct inode *inode = entry->inode;
	struct timespec times[] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = inode->implicit ? walk->seconds : inode->mtime } };
	if (utimensat(entry->fd, entry->name, times, AT_SYMLINK_NOFOLLOW) < 0)
		return walk_failed(walk, errno, err);
	return 0;
}

static mode_t permissions_of(struct walk *walk, struct entry *entry, bool owner_kept)
{
	mode_t wanted = entry->inode->mode & 07777;
	if (is_work(walk))
		return wanted;
	mode_t given = record_permissions(entry->inode->mode, entry->disk_type, owner_kept, walk->sandbox->privileged);
	if (entry->disk_type != (entry->inode->mode & S_IFMT))
		return given;
	if ((wanted & ~given) != 0)
		lose(walk, entry, &walk->sandbox->setids);
	if ((given & ~wanted) != 0)
		lose(walk, entry, &walk->sandbox->modes);
	return given;
}

static void record_entry_add(struct walk *walk, const struct entry *entry, mode_t disk_mode)
{
	const struct inode *inode = entry->inode;
	uint32_t device = S_ISCHR(inode->mode) || S_ISBLK(inode->mode) ? inode->device : 0;
	struct record_entry record = {
		.path = walk->path,
		.disk_mode = disk_mode,
		.mode = inode->mode,
		.uid = inode->uid,
		.gid = inode->gid,
		.major = (device >> 8) & 0xfff,
		.minor = (device & 0xff) | ((device >> 12) & 0xfff00),
		.xattrs = entry->lost_xattrs,
		.xattr_count = entry->lost_xattr_count,
	};
	record_add(walk->sandbox->record, &record);
	walk->sandbox->recorded = true;
}

/* In the table of a work directory, where permissions are the disk's. */
static int owner_record(struct walk *walk, const struct entry *entry, struct err *err)
{
	const struct inode *inode = entry->inode;
	bool device = S_ISCHR(inode->mode) || S_ISBLK(inode->mode);
	struct owner owner = {
		.uid = inode->uid,
		.gid = inode->gid,
		.type = device ? inode->mode & S_IFMT : 0,
		.device_number = device ? inode->device : 0,
		.xattrs = entry->lost_xattrs,
		.xattr_count = entry->lost_xattr_count,
	};
	struct owner_key key;
	struct stat st;
	int r = owner_key_read(entry->fd, entry->name, AT_SYMLINK_NOFOLLOW, &key, &st);
	if (r == 0 && key.birth_ns == 0) {
		err_set(err, ENOTSUP, "the file system of the work directory '%s' does not tell when a file came into being, by "
			"which owners are kept", walk->sandbox->path);
		return err_hint(err, "set TMPDIR to a directory on a local file system: ext4, XFS, Btrfs");
	}
	if (r == 0)
		r = owners_set(walk->sandbox->work, &key, &owner);
	return r < 0 ? walk_failed(walk, -r, err) : 0;
}

static int loss_record(struct walk *walk, const struct entry *entry, mode_t permissions, struct err *err)
{
	if (is_work(walk))
		return owner_record(walk, entry, err);
	record_entry_add(walk, entry, entry->disk_type | permissions);
	return 0;
}

/* The owner first: a change of it clears set-user-ID bits and capabilities. The mode last: it may forbid the rest. */
static int attributes_set(struct walk *walk, struct entry *entry, struct err *err)
{
	bool owner_kept;
	mode_t permissions = 0777;
	int r = owner_set(walk, entry, &owner_kept, err);
	if (r == 0)
		r = xattrs_set(walk, entry, err);
	if (r == 0)
		r = time_set(walk, entry, err);
	if (r == 0 && !S_ISLNK(entry->disk_type)) {
		permissions = permissions_of(walk, entry, owner_kept);
		r = fchmodat(entry->fd, entry->name, permissions, 0) < 0 ? walk_failed(walk, errno, err) : 0;
	}
	if (r == 0 && entry->lost)
		r = loss_record(walk, entry, permissions, err);
	for (size_t i = 0; i < entry->lost_xattr_count; i++)
		free((char *)entry->lost_xattrs[i].name);
	free(entry->lost_xattrs);
	return r;
}

/* --- the record --- */

static int record_create(struct walk *walk, struct err *err)
{
	struct sandbox *sandbox = walk->sandbox;
	autoclose int fd = openat(sandbox->files_fd, RECORD_FILE, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	sandbox->record = fd < 0 ? NULL : fdopen(fd, "w");
	if (sandbox->record == NULL)
		return walk_failed(walk, errno, err);
	steal_fd(&fd);
	record_begin(sandbox->record);
	return 0;
}

/* Gives the record, which is still being written, its name in the directory. */
static int record_place(struct walk *walk, int directory_fd, struct err *err)
{
	if (renameat(walk->sandbox->files_fd, RECORD_FILE, directory_fd, RECORD_NAME) < 0)
		return sandbox_failed(walk->sandbox, errno, RECORD_DIRECTORY "/" RECORD_NAME, err);
	walk->record_placed = true;
	return 0;
}

/* Makes the directory that the tree lacks. */
static int record_directory_make(struct walk *walk, struct err *err)
{
	int root_fd = walk->sandbox->root_fd;
	struct timespec times[] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = walk->seconds } };
	record_made_directory(walk->sandbox->record);
	autoclose int fd = mkdirat(root_fd, RECORD_DIRECTORY, 0700) < 0 ? -1 :
		openat(root_fd, RECORD_DIRECTORY, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return sandbox_failed(walk->sandbox, errno, RECORD_DIRECTORY, err);
	int r = record_place(walk, fd, err);
	if (r == 0 && (fchmod(fd, 0755) < 0 || futimens(fd, times) < 0))
		r = sandbox_failed(walk->sandbox, errno, RECORD_DIRECTORY, err);
	return r;
}

static int record_end(struct walk *walk, struct err *err)
{
	FILE *record = walk->sandbox->record;
	struct timespec times[] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = walk->seconds } };
	int r = fflush(record) != 0 || ferror(record) ? -EIO : 0;
	if (r == 0 && (fchmod(fileno(record), 0644) < 0 || futimens(fileno(record), times) < 0))
		r = -errno;
	walk->sandbox->record = NULL;
	if (fclose(record) != 0 && r == 0)
		r = -errno;
	return r < 0 ? sandbox_failed(walk->sandbox, -r, RECORD_DIRECTORY "/" RECORD_NAME, err) : 0;
}

/* --- files --- */

static void leaf_name(const struct inode *inode, char name[FILE_NAME_MAX])
{
	if (S_ISREG(inode->mode))
		sandbox_file_name(inode->file->number, name);
	else
		snprintf(name, FILE_NAME_MAX, "inode-%" PRIu32, inode->number);
}

/* Makes what has no data yet. *ret_type is that of what is there then. */
static int special_make(struct walk *walk, const struct inode *inode, const char *name, mode_t *ret_type, struct err *err)
{
	int at = walk->sandbox->files_fd;
	uint32_t number = S_ISFIFO(inode->mode) ? 0 : inode->device;
	*ret_type = inode->mode & S_IFMT;
	if (S_ISLNK(inode->mode))
		return symlinkat(inode->target, at, name) < 0 ? walk_failed(walk, errno, err) : 0;
	dev_t device = makedev((number >> 8) & 0xfff, (number & 0xff) | ((number >> 12) & 0xfff00));
	bool possible = S_ISFIFO(inode->mode) || !is_work(walk);
	if (possible && mknodat(at, name, (inode->mode & S_IFMT) | 0600, device) == 0)
		return 0;
	if (possible && errno != EPERM)
		return walk_failed(walk, errno, err);
	autoclose int fd = openat(at, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	*ret_type = S_IFREG;
	return fd < 0 ? walk_failed(walk, errno, err) : 0;
}

/* Completes an inode among the files, where it has no name yet. */
static int leaf_make(struct walk *walk, struct inode *inode, const char *name, struct err *err)
{
	struct entry entry = { .fd = walk->sandbox->files_fd, .name = name, .inode = inode, .disk_type = S_IFREG };
	int r = S_ISREG(inode->mode) ? 0 : special_make(walk, inode, name, &entry.disk_type, err);
	if (r < 0)
		return r;
	if (entry.disk_type != (inode->mode & S_IFMT))
		lose(walk, &entry, &walk->sandbox->devices);
	inode->reference = 1; /* made */
	return attributes_set(walk, &entry, err);
}

static int leaf(struct walk *walk, const struct node *node, struct err *err)
{
	struct inode *inode = node->inode;
	char name[FILE_NAME_MAX];
	if (strcmp(walk->path, RECORD_DIRECTORY "/" RECORD_NAME) == 0)
		return 0; /* of the sandbox that the image was made of, and no longer true */
	if (strcmp(walk->path, RECORD_DIRECTORY) == 0 && !is_work(walk))
		return walk_failed(walk, ENOTDIR, err);
	leaf_name(inode, name);
	int r = inode->reference != 0 ? 0 : leaf_make(walk, inode, name, err);
	if (r < 0)
		return r;
	int files_fd = walk->sandbox->files_fd, at = current_fd(walk);
	if (inode->links == 1)
		r = renameat(files_fd, name, at, node->name);
	else
		r = linkat(files_fd, name, at, node->name, 0);
	return r < 0 ? walk_failed(walk, errno, err) : 0;
}

/* --- directories --- */

/* Takes the descriptor. */
static int fd_push(struct walk *walk, int fd, struct err *err)
{
	if (walk->depth == walk->room) {
		int *fds = realloc(walk->fds, (walk->room * 2 + 16) * sizeof(*fds));
		if (fds == NULL) {
			close(fd);
			return walk_failed(walk, ENOMEM, err);
		}
		walk->fds = fds;
		walk->room = walk->room * 2 + 16;
	}
	walk->fds[walk->depth++] = fd;
	return 0;
}

static int enter(struct walk *walk, const char *name, struct err *err)
{
	int at = current_fd(walk);
	if (mkdirat(at, name, 0700) < 0)
		return walk_failed(walk, errno, err);
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? walk_failed(walk, errno, err) : fd_push(walk, fd, err);
}

static int leave(struct walk *walk, const struct node *node, struct err *err)
{
	struct entry entry = { .fd = current_fd(walk), .name = ".", .inode = node->inode, .disk_type = S_IFDIR };
	int r = 0;
	if (strcmp(walk->path, RECORD_DIRECTORY) == 0 && !is_work(walk))
		r = record_place(walk, entry.fd, err);
	if (r == 0)
		r = attributes_set(walk, &entry, err);
	close(walk->fds[--walk->depth]);
	path_pop(walk);
	return r;
}

/* Everything in the tree but the root's attributes. */
static int content_make(struct walk *walk, struct tree *tree, struct err *err)
{
	const struct node *directory = tree_root(tree), *at = directory->inode->children;
	for (;;) {
		int r = 0;
		if (at == NULL && directory->parent == NULL)
			return 0;
		if (at == NULL) {
			r = leave(walk, directory, err);
			at = directory->sibling;
			directory = directory->parent;
		} else if ((r = path_push(walk, at->name, err)) == 0 && S_ISDIR(at->inode->mode)) {
			r = enter(walk, at->name, err);
			directory = at;
			at = directory->inode->children;
		} else if (r == 0) {
			r = leaf(walk, at, err);
			path_pop(walk);
			at = at->sibling;
		}
		if (r < 0)
			return r;
	}
}

/* The root last of all: what becomes of the record and of the files without names changes its time. */
static int root_complete(struct walk *walk, const struct node *root, struct err *err)
{
	struct sandbox *sandbox = walk->sandbox;
	struct entry entry = { .fd = sandbox->root_fd, .name = ".", .inode = root->inode, .disk_type = S_IFDIR };
	int r = walk->record_placed || is_work(walk) ? 0 : record_directory_make(walk, err);
	if (r == 0)
		r = attributes_set(walk, &entry, err);
	if (r == 0 && !is_work(walk))
		r = record_end(walk, err);
	if (r == 0 && (r = remove_tree(sandbox->root_fd, sandbox->files_name)) < 0)
		r = sandbox_failed(sandbox, -r, sandbox->files_name, err);
	return r < 0 ? r : time_set(walk, &entry, err);
}

int sandbox_tree_make(struct sandbox *sandbox, struct tree *tree, uint32_t seconds, struct err *err)
{
	struct walk walk = { .sandbox = sandbox, .seconds = seconds, .path = strdup("."), .path_room = 2 };
	int fd = fcntl(sandbox->root_fd, F_DUPFD_CLOEXEC, 3);
	int r = walk.path == NULL || fd < 0 ? sandbox_failed(sandbox, fd < 0 ? errno : ENOMEM, ".", err) : fd_push(&walk, fd, err);
	if (r == 0 && !is_work(&walk))
		r = record_create(&walk, err);
	if (r == 0)
		r = content_make(&walk, tree, err);
	if (r == 0)
		r = root_complete(&walk, tree_root(tree), err);
	while (walk.depth > 0)
		close(walk.fds[--walk.depth]);
	free(walk.fds);
	free(walk.path);
	return r;
}
