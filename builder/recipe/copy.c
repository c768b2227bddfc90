/* SPDX-License-Identifier: Apache-2.0
 *
 * Copying into a root: see copy.h. A visitor of a walk, with a descriptor for each directory that is being written.
 */
#include "builder/recipe/copy.h"

#include "builder/recipe/attributes.h"
#include "builder/recipe/destination.h"
#include "builder/recipe/walk.h"
#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/fdio.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <string.h>
#include <sys/stat.h>

/* A directory that is being written. */
struct level {
	struct level *up;
	int fd;
	char *path;       /* in the root */
	struct stat st;   /* of the directory, before */
	bool made;        /* and not there before */
	struct destination followed; /* what a symlink led to */
};

struct run {
	struct copy *copy;
	const char *destination;
	struct destination top; /* where the source itself goes */
	struct level *level;    /* NULL before it */
};

/* Where the current file goes. */
struct target {
	int fd;
	const char *directory, *name;
	struct stat st;              /* st_mode is 0 if nothing is there */
	struct destination followed; /* where a symlink in the root led to */
};
#define TARGET_INIT { .fd = -1, .followed = DESTINATION_INIT }

/* The path in the root, for messages. */
static const char *target_text(const struct target *target, char text[static ERR_TEXT_MAX])
{
	const char *slash = target->directory[1] != '\0' ? "/" : "";
	if (strcmp(target->name, ".") == 0)
		snprintf(text, ERR_TEXT_MAX, "%s", target->directory);
	else
		snprintf(text, ERR_TEXT_MAX, "%s%s%s", target->directory, slash, target->name);
	return text;
}

static int failed(struct err *err, int errnum, const struct target *target)
{
	char text[ERR_TEXT_MAX];
	return err_sys(err, errnum, "cannot write '%s' in the image", target_text(target, text));
}

/* --- where to --- */

static int target_look(struct target *target, struct err *err)
{
	if (fstatat(target->fd, target->name, &target->st, AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	target->st.st_mode = 0;
	return errno == ENOENT ? 0 : failed(err, errno, target);
}

static void target_at(struct target *target, const struct destination *destination)
{
	target->fd = destination->fd;
	target->directory = destination->directory;
	target->name = destination->name;
}

/* Through the symlink that is there, inside the root. */
static int target_follow(struct run *run, const struct walk_file *file, struct target *target, struct err *err)
{
	autofree char *path = NULL;
	if (asprintf(&path, "%s/%s", target->directory, target->name) < 0) {
		path = NULL;
		return failed(err, ENOMEM, target);
	}
	int r = destination_find(run->copy->root_fd, path, &file->st.st_mtim, &target->followed, err);
	if (r < 0)
		return r;
	target_at(target, &target->followed);
	return target_look(target, err);
}

/* Released with target->followed. */
static int target_find(struct run *run, const struct walk_file *file, struct target *target, struct err *err)
{
	if (run->level == NULL) {
		int r = destination_find(run->copy->root_fd, run->destination, &file->st.st_mtim, &run->top, err);
		if (r < 0)
			return r;
		target_at(target, &run->top);
	} else {
		*target = (struct target){ .fd = run->level->fd, .directory = run->level->path, .name = file->name,
					   .followed = DESTINATION_INIT };
	}
	int r = target_look(target, err);
	bool follows = S_ISDIR(file->st.st_mode) || !run->copy->source->is_stage;
	return r == 0 && S_ISLNK(target->st.st_mode) && follows ? target_follow(run, file, target, err) : r;
}

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* Makes room for a file. */
static int target_clear(struct run *run, const struct walk_file *file, const struct target *target, struct err *err)
{
	char text[ERR_TEXT_MAX];
	if (target->st.st_mode == 0)
		return 0;
	if (same_file(&target->st, &file->st))
		return err_set(err, EINVAL, "cannot copy '%s' to itself", file->path);
	if (S_ISDIR(target->st.st_mode)) {
		err_set(err, EISDIR, "cannot write the file '%s' over the directory '%s' of the image", file->path,
			target_text(target, text));
		return err_hint(err, "remove the directory first, or choose another destination");
	}
	if (unlinkat(target->fd, target->name, 0) < 0)
		return failed(err, errno, target);
	links_forget(&run->copy->links, target->st.st_ino);
	return 0;
}

/* --- hard links --- */

/* Opens a directory by its path without symlinks, however long it is. */
static int directory_open(int root_fd, const char *path, size_t bytes)
{
	int fd = fcntl(root_fd, F_DUPFD_CLOEXEC, 3);
	for (const char *end = path + bytes, *at = path; fd >= 0 && at < end;) {
		char name[NAME_MAX + 1];
		size_t length = strcspn(at, "/");
		if (length > 0 && length < sizeof(name)) {
			memcpy(name, at, length);
			name[length] = '\0';
			int next = openat(fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
			close(fd);
			fd = next;
		}
		at += length + (at[length] == '/');
	}
	return fd;
}

/* Whether the target now is a further name of what was copied before. If not, the file is copied again. */
static bool link_make(const struct run *run, const struct link_name *first, const struct target *target)
{
	const char *name = strrchr(first->path, '/') + 1;
	autoclose int fd = directory_open(run->copy->root_fd, first->path, (size_t)(name - first->path));
	struct stat st;
	if (fd < 0 || fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_ino != first->made)
		return false; /* it was replaced meanwhile */
	return linkat(fd, name, target->fd, target->name, 0) == 0;
}

static int link_remember(struct run *run, const struct walk_file *file, const struct target *target, struct err *err)
{
	struct stat st;
	autofree char *path = NULL;
	if (!file->is_link)
		return 0;
	if (fstatat(target->fd, target->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return failed(err, errno, target);
	if (asprintf(&path, "%s/%s", target->directory, target->name) < 0) {
		path = NULL;
		return failed(err, ENOMEM, target);
	}
	return links_add(&run->copy->links, &file->st, path, st.st_ino) < 0 ? failed(err, ENOMEM, target) : 0;
}

/* --- files --- */

static bool same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

/* Nobody could say what the image holds otherwise. */
static int unchanged_check(const struct walk_file *file, struct err *err)
{
	struct stat now;
	if (fstat(file->fd, &now) == 0 && now.st_size == file->st.st_size && same_time(now.st_mtim, file->st.st_mtim))
		return 0;
	return err_set(err, EBUSY, "the file '%s' changed while it was copied", file->path);
}

static int regular_make(const struct walk_file *file, const struct target *target, struct err *err)
{
	char text[ERR_TEXT_MAX];
	autoclose int fd = openat(target->fd, target->name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return failed(err, errno, target);
	int r = fdio_copy_sparse(file->fd, fd);
	if (r < 0)
		return err_sys(err, -r, "cannot copy '%s' to '%s' in the image", file->path, target_text(target, text));
	return unchanged_check(file, err);
}

static int symlink_make(const struct walk_file *file, const struct target *target, struct err *err)
{
	char text[PATH_MAX];
	ssize_t bytes = readlinkat(file->fd, "", text, sizeof(text) - 1);
	if (bytes < 0)
		return err_sys(err, errno, "cannot read '%s'", file->path);
	text[bytes] = '\0';
	return symlinkat(text, target->fd, target->name) < 0 ? failed(err, errno, target) : 0;
}

/* A device node needs privilege: an empty file stands in for it, and the record says what it is. */
static int node_make(const struct walk_file *file, const struct target *target, struct err *err)
{
	const struct stat *st = &file->st;
	if (mknodat(target->fd, target->name, (st->st_mode & S_IFMT) | 0600, st->st_rdev) == 0)
		return 0;
	if (errno == EPERM && !S_ISFIFO(st->st_mode) && mknodat(target->fd, target->name, S_IFREG | 0600, 0) == 0)
		return 0;
	return failed(err, errno, target);
}

static int file_make(const struct walk_file *file, const struct target *target, struct err *err)
{
	if (S_ISREG(file->st.st_mode))
		return regular_make(file, target, err);
	return (S_ISLNK(file->st.st_mode) ? symlink_make : node_make)(file, target, err);
}

static int attributes_copy(struct run *run, const struct walk_file *file, const struct target *target, struct err *err)
{
	char text[ERR_TEXT_MAX];
	int r = attributes_set(run->copy->source, file, run->copy->owners, target->fd, target->name);
	return r < 0 ? err_sys(err, -r, "cannot set owner, mode or time of '%s' in the image", target_text(target, text)) : 0;
}

static int file_copy(struct run *run, const struct walk_file *file, const struct target *target, struct err *err)
{
	const struct link_name *first = file->is_link ? links_find(&run->copy->links, &file->st) : NULL;
	if (first != NULL && target->st.st_mode != 0 && target->st.st_ino == first->made)
		return 0; /* the very file, under the same or another name */
	int r = target_clear(run, file, target, err);
	if (r < 0 || (first != NULL && link_make(run, first, target)))
		return r;
	r = file_make(file, target, err);
	if (r == 0)
		r = attributes_copy(run, file, target, err);
	return r < 0 ? r : link_remember(run, file, target, err);
}

static int visit_file(void *data, const struct walk_file *file, struct err *err)
{
	struct target target = TARGET_INIT;
	int r = target_find(data, file, &target, err);
	if (r == 0)
		r = file_copy(data, file, &target, err);
	destination_free(&target.followed);
	return r;
}

/* --- directories --- */

static void level_pop(struct run *run)
{
	struct level *level = run->level;
	run->level = level->up;
	cleanup_close(&level->fd);
	destination_free(&level->followed);
	free(level->path);
	free(level);
}

/* A source that is in the place that it is copied to would never end. */
static int recursion_check(const struct run *run, const struct walk_file *file, struct err *err)
{
	for (const struct level *level = run->level; level != NULL; level = level->up)
		if (same_file(&level->st, &file->st))
			return err_set(err, EINVAL, "cannot copy the directory '%s' into itself", file->path);
	return 0;
}

static char *target_path(const struct target *target)
{
	char *path = NULL;
	if (strcmp(target->name, ".") == 0)
		return strdup(target->directory);
	const char *slash = target->directory[1] != '\0' ? "/" : "";
	return asprintf(&path, "%s%s%s", target->directory, slash, target->name) < 0 ? NULL : path;
}

/* Enters what is at the target. */
static int level_push(struct run *run, struct target *target, bool made, struct err *err)
{
	struct level *level = calloc(1, sizeof(*level));
	if (level == NULL)
		return failed(err, ENOMEM, target);
	*level = (struct level){ .up = run->level, .fd = -1, .path = target_path(target), .made = made,
				 .followed = DESTINATION_INIT };
	run->level = level;
	if (level->path == NULL)
		return failed(err, ENOMEM, target);
	level->fd = openat(target->fd, target->name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (level->fd < 0 || fstat(level->fd, &level->st) < 0)
		return failed(err, errno, target);
	level->followed = target->followed;
	target->followed = (struct destination)DESTINATION_INIT;
	return 0;
}

static int directory_make(struct run *run, const struct walk_file *file, struct target *target, struct err *err)
{
	char text[ERR_TEXT_MAX];
	bool made = target->st.st_mode == 0;
	if (!made && same_file(&target->st, &file->st))
		return err_set(err, EINVAL, "cannot copy the directory '%s' to itself", file->path);
	if (!made && !S_ISDIR(target->st.st_mode)) {
		err_set(err, ENOTDIR, "cannot write the directory '%s' over the file '%s' of the image", file->path,
			target_text(target, text));
		return err_hint(err, "remove the file first, or choose another destination");
	}
	if (made && mkdirat(target->fd, target->name, 0700) < 0)
		return failed(err, errno, target);
	return level_push(run, target, made, err);
}

static int visit_enter(void *data, const struct walk_file *file, struct err *err)
{
	struct target target = TARGET_INIT;
	int r = recursion_check(data, file, err);
	if (r == 0)
		r = target_find(data, file, &target, err);
	if (r == 0)
		r = directory_make(data, file, &target, err);
	destination_free(&target.followed);
	return r;
}

/* A directory that was there keeps what it is, as with cp, unless a stage says what it is to be, as with tar. */
static int visit_leave(void *data, const struct walk_file *file, struct err *err)
{
	struct run *run = data;
	struct level *level = run->level;
	struct target target = { .fd = level->fd, .directory = level->path, .name = "." };
	struct timespec times[] = { { .tv_nsec = UTIME_OMIT }, level->st.st_mtim };
	int r = 0;
	if (level->made || run->copy->source->is_stage)
		r = attributes_copy(run, file, &target, err);
	else if (utimensat(level->fd, ".", times, 0) < 0)
		r = failed(err, errno, &target);
	level_pop(run);
	return r;
}

int copy_run(struct copy *copy, const char *source, const char *destination, struct err *err)
{
	struct run run = { .copy = copy, .destination = destination, .top = DESTINATION_INIT };
	struct walk_visitor visitor = { .data = &run, .file = visit_file, .enter = visit_enter, .leave = visit_leave };
	int r = walk_run(copy->source, source, &visitor, err);
	while (run.level != NULL)
		level_pop(&run);
	destination_free(&run.top);
	return r;
}
