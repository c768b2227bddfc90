/* SPDX-License-Identifier: Apache-2.0
 *
 * A walk over a source: see walk.h. A file is looked at by an O_PATH descriptor and then opened through it, so that no device or
 * FIFO is ever opened. It takes a descriptor for each level (fd_limit_raise()).
 */
#include "builder/recipe/walk.h"

#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/fd.h"
#include "lib/path.h"
#include "lib/strlist.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

enum { DEPTH_MAX = 2000 };

/* A directory on the way to the current file. */
struct level {
	const struct level *up;
	int fd;
	dev_t device;
	ino_t inode;
	unsigned depth;
	bool via_symlink;
	bool left_out;
};

struct walk {
	const struct walk_source *source;
	const struct walk_visitor *visitor;
	char *path;
	size_t path_room;
};

static int err_unreadable(struct err *err, int errnum, const char *path)
{
	err_sys(err, errnum, "cannot read '%s'", path);
	if (errnum == EACCES || errnum == EPERM)
		return err_hint(err, "make it readable for the user who builds, or copy something else");
	return err->code;
}

/* --- the path --- */

static int path_append(struct walk *walk, const char *name, struct err *err)
{
	size_t used = strlen(walk->path), bytes = used + 1 + strlen(name) + 1;
	if (bytes > walk->path_room) {
		char *path = realloc(walk->path, bytes * 2);
		if (path == NULL)
			return err_unreadable(err, ENOMEM, walk->path);
		walk->path = path;
		walk->path_room = bytes * 2;
	}
	bool slash = used > 0 && walk->path[used - 1] == '/';
	snprintf(walk->path + used, bytes, "%s%s", slash ? "" : "/", name);
	return 0;
}

/* --- opening --- */

static int err_special(const struct walk *walk, mode_t mode, struct err *err)
{
	const char *word = S_ISFIFO(mode) ? "FIFO" : S_ISSOCK(mode) ? "socket" : "device";
	err_set(err, EINVAL, "cannot copy '%s': it is a %s", walk->path, word);
	return err_hint(err, "only regular files and directories can be copied: remove it, or name the files beside it one by one");
}

/* Takes an O_PATH descriptor of the file. */
static int file_fill(const struct walk *walk, int path_fd, struct walk_file *file, struct err *err)
{
	autoclose int fd = path_fd;
	int r = owner_key_read(fd, "", AT_EMPTY_PATH, &file->key, &file->st);
	if (r < 0)
		return err_unreadable(err, -r, walk->path);
	mode_t mode = file->st.st_mode;
	if (!S_ISREG(mode) && !S_ISDIR(mode)) {
		if (!walk->source->is_stage)
			return err_special(walk, mode, err);
		file->fd = steal_fd(&fd);
		return 0;
	}
	r = fd_reopen(fd, O_RDONLY);
	if (r < 0)
		return err_unreadable(err, -r, walk->path);
	file->fd = r;
	return 0;
}

static int err_missing(const struct walk *walk, bool is_symlink, struct err *err)
{
	if (!is_symlink)
		return err_unreadable(err, ENOENT, walk->path);
	err_set(err, ENOENT, "the symlink '%s' leads to a file that does not exist", walk->path);
	return err_hint(err, "mend or remove the symlink, or name what is to be copied without it");
}

/* A file of the host, which may be behind symlinks. */
static int host_open(const struct walk *walk, int directory_fd, const char *name, bool *ret_symlink, struct err *err)
{
	struct stat st;
	int fd = openat(directory_fd, name, O_PATH | O_CLOEXEC), errnum = errno;
	*ret_symlink = fstatat(directory_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode);
	if (fd < 0)
		return errnum == ENOENT ? err_missing(walk, *ret_symlink, err) : err_unreadable(err, errnum, walk->path);
	return fd;
}

/* The source that was named, inside the stage. */
static int stage_open(const struct walk *walk, struct err *err)
{
	autoplace struct path_place place = PATH_PLACE_INIT;
	int r = path_resolve(walk->source->directory_fd, walk->path, &place, err);
	if (r < 0)
		return r;
	if (place.missing[0] == '\0')
		return steal_fd(&place.fd);
	return err_set(err, ENOENT, "'%s' leads to '%s/%s', which does not exist in the stage", walk->path,
		       place.real[1] == '\0' ? "" : place.real, place.missing);
}

/* --- files --- */

static bool is_own(const struct walk_source *source, const struct stat *st)
{
	for (size_t i = 0; i < source->own_count; i++)
		if (source->own[i].st_dev == st->st_dev && source->own[i].st_ino == st->st_ino)
			return true;
	return false;
}

static int names_read(int directory_fd, struct strlist *names)
{
	autoclose int fd = fcntl(directory_fd, F_DUPFD_CLOEXEC, 3);
	autoclosedir DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	if (dir == NULL)
		return -errno;
	steal_fd(&fd);
	for (;;) {
		errno = 0;
		struct dirent *entry = readdir(dir);
		if (entry == NULL)
			return -errno;
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 && strlist_add(names, entry->d_name) < 0)
			return -ENOMEM;
	}
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int visit_name(struct walk *walk, struct level *level, const char *name, struct err *err);

static int visit_names(struct walk *walk, struct level *level, const struct strlist *names, struct err *err)
{
	size_t path_bytes = strlen(walk->path);
	for (size_t i = 0; i < names->count; i++) {
		int r = path_append(walk, names->items[i], err);
		if (r == 0)
			r = visit_name(walk, level, names->items[i], err);
		if (r < 0)
			return r;
		walk->path[path_bytes] = '\0';
	}
	return 0;
}

static int level_check(const struct walk *walk, const struct level *level, struct err *err)
{
	for (const struct level *at = level->up; at != NULL; at = at->up) {
		if (at->device != level->device || at->inode != level->inode)
			continue;
		err_set(err, ELOOP, "the symlink '%s' leads back to a directory that it is in", walk->path);
		return err_hint(err, "symlinks are followed, so that this one would never end: remove it, or copy something else");
	}
	if (level->depth > DEPTH_MAX)
		return err_set(err, ELOOP, "more than %d directories are inside each other in '%.200s…'", (int)DEPTH_MAX,
			       walk->path);
	return 0;
}

/* The names are read before the visitor makes anything: a copy into the directory that is copied does not find itself. */
static int visit_directory(struct walk *walk, const struct level *up, bool via_symlink, struct walk_file *file, struct err *err)
{
	struct level level = { .up = up, .fd = file->fd, .device = file->st.st_dev, .inode = file->st.st_ino,
			       .depth = up != NULL ? up->depth + 1 : 0, .via_symlink = via_symlink };
	autostrlist struct strlist names = { 0 };
	int r = level_check(walk, &level, err);
	if (r < 0)
		return r;
	if ((r = names_read(file->fd, &names)) < 0)
		return err_unreadable(err, -r, walk->path);
	if (names.count > 0)
		qsort(names.items, names.count, sizeof(*names.items), compare_names);
	file->path = walk->path;
	r = walk->visitor->enter(walk->visitor->data, file, err);
	if (r == 0)
		r = visit_names(walk, &level, &names, err);
	file->path = walk->path;
	file->left_out = level.left_out;
	return r < 0 ? r : walk->visitor->leave(walk->visitor->data, file, err);
}

/* Takes an O_PATH descriptor. */
static int visit(struct walk *walk, struct level *up, const char *name, int path_fd, bool via_symlink, struct err *err)
{
	struct walk_file file = { .path = walk->path, .name = name, .fd = -1 };
	struct stat st;
	if (fstat(path_fd, &st) == 0 && is_own(walk->source, &st)) {
		close(path_fd);
		if (up != NULL) {
			up->left_out = true;
			return 0;
		}
		return err_set(err, EPERM, "cannot copy '%s', which this build itself is writing", walk->path);
	}
	int r = file_fill(walk, path_fd, &file, err);
	file.is_link = r == 0 && file.st.st_nlink > 1 && !S_ISDIR(file.st.st_mode) && !via_symlink;
	if (r == 0 && S_ISDIR(file.st.st_mode))
		r = visit_directory(walk, up, via_symlink, &file, err);
	else if (r == 0 && !S_ISSOCK(file.st.st_mode))
		r = walk->visitor->file(walk->visitor->data, &file, err);
	cleanup_close(&file.fd);
	return r;
}

static int visit_name(struct walk *walk, struct level *level, const char *name, struct err *err)
{
	bool is_symlink = false;
	int fd;
	if (!walk->source->is_stage) {
		fd = host_open(walk, level->fd, name, &is_symlink, err);
	} else {
		fd = openat(level->fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0)
			fd = err_unreadable(err, errno, walk->path);
	}
	return fd < 0 ? fd : visit(walk, level, name, fd, level->via_symlink || is_symlink, err);
}

int walk_run(const struct walk_source *source, const char *path, const struct walk_visitor *visitor, struct err *err)
{
	struct walk walk = { .source = source, .visitor = visitor, .path = strdup(path), .path_room = strlen(path) + 1 };
	bool is_symlink;
	if (walk.path == NULL)
		return err_unreadable(err, ENOMEM, path);
	int fd = source->is_stage ? stage_open(&walk, err) : host_open(&walk, source->directory_fd, path, &is_symlink, err);
	int r = fd < 0 ? fd : visit(&walk, NULL, path, fd, false, err);
	free(walk.path);
	return r;
}
