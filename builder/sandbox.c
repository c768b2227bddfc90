/* SPDX-License-Identifier: Apache-2.0
 *
 * Data, and the sandbox's own name: see sandbox.h.
 */
#include "builder/sandbox.h"

#include "builder/record.h"
#include "builder/remove.h"
#include "builder/sandbox_internal.h"
#include "builder/tree.h"
#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/fd.h"
#include "lib/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

int sandbox_failed(const struct sandbox *sandbox, int errnum, const char *path, struct err *err)
{
	const char *what = sandbox->work != NULL ? "work directory" : "sandbox";
	err_sys(err, errnum, "cannot write '%s' in the %s '%s'", path, what, sandbox->path);
	if (errnum != ENOSPC && errnum != EDQUOT)
		return err->code;
	if (sandbox->work != NULL)
		return err_hint(err, "free space there, or set TMPDIR to a directory that has more");
	return err_hint(err, "the sandbox is made beside its final name: free space there, or build elsewhere");
}

void sandbox_file_name(uint64_t number, char name[FILE_NAME_MAX])
{
	snprintf(name, FILE_NAME_MAX, "%" PRIu64, number);
}

static struct sandbox *sandbox_of(struct target *target)
{
	return (struct sandbox *)target;
}

static int sandbox_file_begin(struct target *target, bool hot, struct file **ret_file, struct err *err)
{
	struct sandbox *sandbox = sandbox_of(target);
	(void)hot;
	struct file *file = malloc(sizeof(*file));
	if (file == NULL)
		return sandbox_failed(sandbox, ENOMEM, "a file", err);
	*file = (struct file){ .next = sandbox->files, .number = sandbox->file_count++ };
	sandbox->files = file;
	char name[FILE_NAME_MAX];
	sandbox_file_name(file->number, name);
	sandbox->data_fd = openat(sandbox->files_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (sandbox->data_fd < 0)
		return sandbox_failed(sandbox, errno, "a file", err);
	sandbox->data_bytes = 0;
	sandbox->data_hole = false;
	*ret_file = file;
	return 0;
}

static int sandbox_file_data(struct target *target, const void *data, size_t bytes, struct err *err)
{
	struct sandbox *sandbox = sandbox_of(target);
	while (bytes > 0) {
		ssize_t n = pwrite(sandbox->data_fd, data, bytes, (off_t)sandbox->data_bytes);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return sandbox_failed(sandbox, n < 0 ? errno : EIO, "data", err);
		data = (const char *)data + n;
		bytes -= (size_t)n;
		sandbox->data_bytes += (uint64_t)n;
		sandbox->written_bytes += (uint64_t)n;
		sandbox->data_hole = false;
	}
	return 0;
}

static int sandbox_file_hole(struct target *target, uint64_t bytes, struct err *err)
{
	struct sandbox *sandbox = sandbox_of(target);
	(void)err;
	sandbox->data_bytes += bytes;
	sandbox->data_hole |= bytes > 0;
	return 0;
}

static int sandbox_file_end(struct target *target, struct err *err)
{
	struct sandbox *sandbox = sandbox_of(target);
	int r = sandbox->data_hole && ftruncate(sandbox->data_fd, (off_t)sandbox->data_bytes) < 0 ? -errno : 0;
	/* Network file systems tell only here that the quota is exceeded. */
	if (close(steal_fd(&sandbox->data_fd)) < 0 && r == 0)
		r = -errno;
	sandbox->content_bytes += sandbox->data_bytes;
	return r < 0 ? sandbox_failed(sandbox, -r, "data", err) : 0;
}

static uint64_t sandbox_bytes(const struct target *target)
{
	return ((const struct sandbox *)target)->written_bytes;
}

static bool is_same(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

static int err_changed(const struct sandbox *sandbox, struct err *err)
{
	err_set(err, EEXIST, "'%s' came into being or was replaced while the sandbox was made", sandbox->path);
	return err_hint(err, "somebody else builds it too");
}

/* Where names cannot be exchanged (NFS, kernels before 3.15): there is a moment without a sandbox. */
static int replace_in_two_steps(struct sandbox *sandbox, struct err *err)
{
	struct temporary *temporary = &sandbox->temporary;
	int r = remove_tree(temporary->directory_fd, temporary->name);
	if (r < 0)
		return err_sys(err, -r, "cannot remove the old sandbox '%s'", sandbox->path);
	r = temporary_rename(temporary, false);
	return r < 0 ? err_sys(err, -r, "cannot rename the finished sandbox to '%s'", sandbox->path) : 0;
}

/* After the exchange it has the hidden name. */
static int old_remove(struct sandbox *sandbox, struct err *err)
{
	char hidden[NAME_MAX + 1];
	memcpy(hidden, sandbox->temporary.hidden, sizeof(hidden));
	int r = temporary_remove(&sandbox->temporary);
	if (r == 0)
		return 0;
	err_sys(err, -r, "the sandbox '%s' is complete, but the old one, now '%s', cannot be removed", sandbox->path, hidden);
	return r == -EBUSY ? err_hint(err, "unmount what is mounted in it, and remove it") : r;
}

static int replace(struct sandbox *sandbox, struct err *err)
{
	struct temporary *temporary = &sandbox->temporary;
	const char *hidden = temporary->hidden, *name = temporary->name;
	int at = temporary->directory_fd;
	struct stat now;
	if (fstatat(at, name, &now, AT_SYMLINK_NOFOLLOW) < 0 || !is_same(&now, &sandbox->old))
		return err_changed(sandbox, err);
	if (renameat2(at, hidden, at, name, RENAME_EXCHANGE) < 0) {
		if (errno == EINVAL || errno == ENOSYS || errno == ENOTSUP)
			return replace_in_two_steps(sandbox, err);
		return err_sys(err, errno, "cannot rename the finished sandbox to '%s'", sandbox->path);
	}
	if (fstatat(at, hidden, &now, AT_SYMLINK_NOFOLLOW) < 0 || !is_same(&now, &sandbox->old)) {
		renameat2(at, hidden, at, name, RENAME_EXCHANGE);
		return err_changed(sandbox, err);
	}
	return old_remove(sandbox, err);
}

static int commit(struct sandbox *sandbox, struct err *err)
{
	if (sandbox->replace)
		return replace(sandbox, err);
	int r = temporary_rename(&sandbox->temporary, false);
	if (r == -EEXIST)
		return err_changed(sandbox, err);
	return r < 0 ? err_sys(err, -r, "cannot rename the finished sandbox to '%s'", sandbox->path) : 0;
}

static int sandbox_finish(struct target *target, struct tree *tree, uint64_t target_time, struct target_stats *ret_stats,
			  struct err *err)
{
	struct sandbox *sandbox = sandbox_of(target);
	uint32_t inode_count, newest;
	int r = tree_number(tree, &inode_count, &newest, err);
	if (r == 0)
		r = sandbox_tree_make(sandbox, tree, target_time == TARGET_TIME_NEWEST ? newest : (uint32_t)target_time, err);
	if (r == 0 && sandbox->work == NULL)
		r = commit(sandbox, err);
	if (r == 0)
		*ret_stats = (struct target_stats){ sandbox->content_bytes, sandbox->file_count, inode_count };
	return r;
}

static void sandbox_free(struct target *target)
{
	struct sandbox *sandbox = sandbox_of(target);
	temporary_close(&sandbox->temporary);
	int fds[] = { sandbox->data_fd, sandbox->files_fd, sandbox->root_fd };
	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	if (sandbox->record != NULL)
		fclose(sandbox->record);
	while (sandbox->files != NULL) {
		struct file *file = sandbox->files;
		sandbox->files = file->next;
		free(file);
	}
	free(sandbox->path);
	free(sandbox);
}

static const struct target_ops sandbox_ops = {
	.file_begin = sandbox_file_begin,
	.file_data = sandbox_file_data,
	.file_hole = sandbox_file_hole,
	.file_end = sandbox_file_end,
	.finish = sandbox_finish,
	.bytes = sandbox_bytes,
	.free = sandbox_free,
};

static bool is_empty(int fd)
{
	autoclose int own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	autoclosedir DIR *directory = own < 0 ? NULL : fdopendir(own);
	int count = 0;
	if (directory == NULL)
		return false;
	steal_fd(&own);
	while (count <= 2 && readdir(directory) != NULL)
		count++;
	return count <= 2; /* "." and ".." */
}

/* What stands in the sandbox's place. */
static int old_check(struct sandbox *sandbox, bool force, struct err *err)
{
	const struct temporary *temporary = &sandbox->temporary;
	const char *path = sandbox->path;
	if (fstatat(temporary->directory_fd, temporary->name, &sandbox->old, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : err_sys(err, errno, "cannot stat '%s'", path);
	if (!S_ISDIR(sandbox->old.st_mode))
		return err_set(err, EEXIST, "the sandbox '%s' would replace something that is no directory", path);
	if (!force) {
		err_set(err, EEXIST, "the sandbox '%s' exists", path);
		return err_hint(err, "--force replaces a directory that is empty or a sandbox made by simg build");
	}
	autoclose int fd = openat(temporary->directory_fd, temporary->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_sys(err, errno, "cannot read the directory '%s'", path);
	if (!is_empty(fd) && !record_marks(fd)) {
		err_set(err, EEXIST, "'%s' is no sandbox made by simg build, and not empty", path);
		return err_hint(err, "--force replaces nothing else: remove it yourself, or name another directory");
	}
	sandbox->replace = true;
	return 0;
}

/* The directory of files is one that no tree has: its name has a random part. */
static int places_create(struct sandbox *sandbox, struct err *err)
{
	const char *name = sandbox->files_name;
	sandbox->root_fd = temporary_create(&sandbox->temporary, true, err);
	if (sandbox->root_fd < 0)
		return sandbox->root_fd;
	memcpy(sandbox->files_name, sandbox->temporary.hidden, sizeof(sandbox->files_name));
	if (mkdirat(sandbox->root_fd, name, 0700) < 0)
		return sandbox_failed(sandbox, errno, name, err);
	sandbox->files_fd = openat(sandbox->root_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return sandbox->files_fd < 0 ? sandbox_failed(sandbox, errno, name, err) : 0;
}

static struct sandbox *sandbox_new(const char *path)
{
	struct sandbox *sandbox = calloc(1, sizeof(*sandbox));
	if (sandbox == NULL)
		return NULL;
	*sandbox = (struct sandbox){ .base = { .ops = &sandbox_ops }, .path = strdup(path), .temporary = TEMPORARY_INIT,
				     .root_fd = -1, .files_fd = -1, .data_fd = -1, .privileged = geteuid() == 0 };
	if (sandbox->path == NULL) {
		free(sandbox);
		return NULL;
	}
	umask(077); /* modes are set explicitly, at the end */
	fd_limit_raise();
	return sandbox;
}

int sandbox_open(const char *path, bool force, struct target **ret_target, struct err *err)
{
	struct sandbox *sandbox = sandbox_new(path);
	if (sandbox == NULL)
		return err_sys(err, ENOMEM, "cannot make the sandbox '%s'", path);
	for (size_t end = strlen(sandbox->path); end > 1 && sandbox->path[end - 1] == '/'; end--)
		sandbox->path[end - 1] = '\0';
	int r = temporary_place(&sandbox->temporary, "sandbox", sandbox->path, err);
	if (r == 0)
		r = old_check(sandbox, force, err);
	if (r == 0)
		r = places_create(sandbox, err);
	if (r < 0) {
		sandbox_free(&sandbox->base);
		return r;
	}
	*ret_target = &sandbox->base;
	return 0;
}

/* The directory's group and default ACL would go on to all that is made in it, and a group that is not the process's own takes the
 * set-group-ID bit off. */
static int work_settle(const struct sandbox *sandbox, struct err *err)
{
	int fd = sandbox->root_fd;
	fremovexattr(fd, "system.posix_acl_default");
	fremovexattr(fd, "system.posix_acl_access");
	if (fchown(fd, (uid_t)-1, getegid()) < 0 || fchmod(fd, 0700) < 0)
		return sandbox_failed(sandbox, errno, ".", err);
	return 0;
}

static int work_places_create(struct sandbox *sandbox, int directory_fd, struct err *err)
{
	char template[FD_PATH_MAX + sizeof("/.files.XXXXXX")];
	sandbox->root_fd = openat(directory_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (sandbox->root_fd < 0)
		return sandbox_failed(sandbox, errno, ".", err);
	int r = work_settle(sandbox, err);
	if (r < 0)
		return r;
	fd_path(sandbox->root_fd, template);
	strcat(template, "/.files.XXXXXX");
	if (mkdtemp(template) == NULL)
		return sandbox_failed(sandbox, errno, ".files", err);
	snprintf(sandbox->files_name, sizeof(sandbox->files_name), "%s", strrchr(template, '/') + 1);
	sandbox->files_fd = openat(sandbox->root_fd, sandbox->files_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return sandbox->files_fd < 0 ? sandbox_failed(sandbox, errno, sandbox->files_name, err) : 0;
}

int sandbox_open_work(int directory_fd, const char *path, struct owners *owners, struct target **ret_target, struct err *err)
{
	struct sandbox *sandbox = sandbox_new(path);
	if (sandbox == NULL)
		return err_sys(err, ENOMEM, "cannot write the work directory '%s'", path);
	sandbox->work = owners;
	int r = work_places_create(sandbox, directory_fd, err);
	if (r < 0) {
		sandbox_free(&sandbox->base);
		return r;
	}
	*ret_target = &sandbox->base;
	return 0;
}

int sandbox_own(const struct target *target, struct stat ret_st[static 2])
{
	const struct sandbox *sandbox = (const struct sandbox *)target;
	if (fstat(sandbox->root_fd, &ret_st[0]) < 0)
		return 0;
	ret_st[1] = sandbox->old;
	return sandbox->replace ? 2 : 1;
}

void sandbox_notes(const struct target *target)
{
	const struct sandbox *sandbox = (const struct sandbox *)target;
	tally_note(&sandbox->owners, "file belongs to you, not to its owner", "files belong to you, not to their owners");
	tally_note(&sandbox->setids, "file lacks its set-user-ID or set-group-ID bit, for want of its owner",
		   "files lack their set-user-ID or set-group-ID bits, for want of their owners");
	tally_note(&sandbox->modes, "file is more accessible to you than its mode says",
		   "files are more accessible to you than their modes say");
	tally_note(&sandbox->devices, "device node is an empty file: only root makes device nodes",
		   "device nodes are empty files: only root makes device nodes");
	tally_note(&sandbox->xattrs, "extended attribute cannot be set here", "extended attributes cannot be set here");
	if (sandbox->recorded)
		log_note("all of that is in '%s/" RECORD_DIRECTORY "/" RECORD_NAME "': an image built of the sandbox has it again",
			 sandbox->path);
}
