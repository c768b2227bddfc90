/* SPDX-License-Identifier: Apache-2.0
 *
 * Mounts of a build: see view.h.
 */
#include "builder/fakeroot/view.h"

#include "lib/bind.h"
#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/fd.h"
#include "lib/path.h"
#include "runtime/mount.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

enum { KIND_DIRECTORY, KIND_FILE };

static bool is_there(const char *path)
{
	return access(path, F_OK) == 0;
}

/* --- mount points --- */

static int make(int parent_fd, const char *name, int kind)
{
	if (kind == KIND_DIRECTORY)
		return mkdirat(parent_fd, name, 0755) < 0 ? -errno : 0;
	autoclose int fd = openat(parent_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	return fd < 0 ? -errno : 0;
}

/* Directories keep the time that the image gives them. */
static void time_restore(int fd, const struct stat *st)
{
	const struct timespec times[] = { st->st_atim, st->st_mtim };
	autoclose int own = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (own >= 0)
		futimens(own, times);
}

/* Makes what is missing of path, and appends each part of it to made. */
static int point_make(int root_fd, const char *path, int kind, struct strlist *made, struct err *err)
{
	for (;;) {
		autoplace struct path_place place = PATH_PLACE_INIT;
		struct stat st;
		int r = path_resolve(root_fd, path, &place, err);
		if (r < 0)
			return r;
		if (place.missing[0] == '\0')
			return 0;
		size_t length = strcspn(place.missing, "/");
		bool last = place.missing[length] == '\0';
		place.missing[length] = '\0';
		if (fstat(place.fd, &st) < 0)
			return err_sys(err, errno, "cannot stat '%s'", place.real);
		r = make(place.fd, place.missing, last ? kind : KIND_DIRECTORY);
		if (r < 0)
			return err_sys(err, -r, "cannot make '%s/%s' to mount on", place.real, place.missing);
		time_restore(place.fd, &st);
		if (strlist_addf(made, "%s/%s", strcmp(place.real, "/") == 0 ? "" : place.real, place.missing) < 0)
			return err_sys(err, ENOMEM, "cannot prepare '%s'", path);
	}
}

static int bind_kind(const struct bind *bind, struct err *err)
{
	struct stat st;
	if (stat(bind->source, &st) < 0)
		return err_sys(err, errno, "%s: cannot bind '%s'", bind->origin, bind->source);
	return S_ISDIR(st.st_mode) ? KIND_DIRECTORY : KIND_FILE;
}

static int binds_prepare(const struct view *view, int root_fd, struct strlist *made, struct err *err)
{
	for (size_t i = 0; view->binds != NULL && i < view->binds->count; i++) {
		const struct bind *bind = &view->binds->items[i];
		int r = bind_kind(bind, err);
		if (r >= 0)
			r = point_make(root_fd, bind->target, r, made, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static const struct {
	const char *path;
	int kind;
	bool read_only_only;
} points[] = {
	{ "/dev", KIND_DIRECTORY, false },           { "/proc", KIND_DIRECTORY, false }, { "/sys", KIND_DIRECTORY, false },
	{ "/etc/resolv.conf", KIND_FILE, false },    { "/etc/hosts", KIND_FILE, false }, { VIEW_FILES, KIND_DIRECTORY, false },
	{ "/tmp", KIND_DIRECTORY, true },            { "/var/tmp", KIND_DIRECTORY, true },
};
enum { POINT_COUNT = sizeof(points) / sizeof(points[0]) };

int view_prepare(const struct view *view, struct strlist *ret_made, struct err *err)
{
	if (view->root == NULL)
		return 0;
	autoclose int root = open(view->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return err_sys(err, errno, "cannot open the directory '%s'", view->root);
	for (int i = 0; i < POINT_COUNT; i++) {
		/* An image whose /etc is a file goes without. */
		struct err ignored = ERR_INIT;
		if (!points[i].read_only_only || view->read_only)
			point_make(root, points[i].path, points[i].kind, ret_made, &ignored);
	}
	return binds_prepare(view, root, ret_made, err);
}

void view_clean(const struct view *view, const struct strlist *made)
{
	autoclose int root = view->root == NULL ? -1 : open(view->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	for (size_t i = made->count; root >= 0 && i-- > 0;) {
		char *name = strrchr(made->items[i], '/');
		autoplace struct path_place place = PATH_PLACE_INIT;
		struct stat st, parent;
		*name = '\0';
		int r = path_resolve(root, made->items[i][0] == '\0' ? "/" : made->items[i], &place, NULL);
		*name = '/';
		if (r < 0 || place.missing[0] != '\0' || fstat(place.fd, &parent) < 0 ||
		    fstatat(place.fd, name + 1, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (S_ISDIR(st.st_mode) ? unlinkat(place.fd, name + 1, AT_REMOVEDIR) == 0 :
					  S_ISREG(st.st_mode) && st.st_size == 0 && unlinkat(place.fd, name + 1, 0) == 0)
			time_restore(place.fd, &parent);
	}
}

/* --- mounting --- */

/* Where a path lies in the root, if it is there and of that kind. A descriptor, or -1. */
static int point_open(int root_fd, const char *path, int kind)
{
	autoplace struct path_place place = PATH_PLACE_INIT;
	struct stat st;
	if (path_resolve(root_fd, path, &place, NULL) < 0 || place.missing[0] != '\0' || fstat(place.fd, &st) < 0)
		return -1;
	if (S_ISDIR(st.st_mode) != (kind == KIND_DIRECTORY))
		return -1;
	return steal_fd(&place.fd);
}

static int bind_path(const char *source, int target_fd, unsigned flags, int root_fd, struct err *err)
{
	autoclose int fd = open(source, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return err_sys(err, errno, "cannot open '%s'", source);
	int r = mount_bind(fd, target_fd, flags, root_fd, err);
	return r < 0 ? err_prefix(err, "'%s'", source) : 0;
}

/* Of the devices, those are left out that the host lacks. */
static int devices_add(int dev_fd, int root_fd, struct err *err)
{
	static const char *const names[] = { "null", "zero", "full", "random", "urandom", "tty" };
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char host[32];
		snprintf(host, sizeof(host), "/dev/%s", names[i]);
		autoclose int fd = !is_there(host) ? -1 : openat(dev_fd, names[i], O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
		int r = fd < 0 ? 0 : bind_path(host, fd, 0, root_fd, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static void device_links_add(int dev_fd)
{
	static const struct {
		const char *name, *target;
	} links[] = {
		{ "fd", "/proc/self/fd" },          { "stdin", "/proc/self/fd/0" }, { "stdout", "/proc/self/fd/1" },
		{ "stderr", "/proc/self/fd/2" },    { "ptmx", "pts/ptmx" },         { "core", "/proc/kcore" },
	};
	for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++)
		(void)!symlinkat(links[i].target, dev_fd, links[i].name);
	if (mkdirat(dev_fd, "shm", 0777) == 0)
		(void)!fchmodat(dev_fd, "shm", 01777, 0);
}

/* Terminals are a comfort: without a devpts of its own, a program that wants one fails. Not nodev: its files are devices. */
static void terminals_add(int dev_fd)
{
	autoclose int fd = mkdirat(dev_fd, "pts", 0755) < 0 ? -1 : openat(dev_fd, "pts", O_PATH | O_DIRECTORY | O_CLOEXEC);
	char path[FD_PATH_MAX];
	if (fd < 0)
		return;
	fd_path(fd, path);
	(void)!mount("devpts", path, "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620");
}

static int dev_mount(int root_fd, struct err *err)
{
	autoclose int point = point_open(root_fd, "/dev", KIND_DIRECTORY);
	int r = point < 0 ? err_set(err, ENOTDIR, "/dev is no directory") : mount_new("tmpfs", "dev", point, 0, "mode=0755", err);
	if (r < 0)
		return r;
	autoclose int dev = point_open(root_fd, "/dev", KIND_DIRECTORY);
	r = devices_add(dev, root_fd, err);
	if (r < 0)
		return r;
	device_links_add(dev);
	terminals_add(dev);
	return 0;
}

/* A container that builds in a container may have no right to a /proc of its own: then the host's has to do. */
static int proc_mount(int root_fd, bool own_pids, struct err *err)
{
	struct err ignored = ERR_INIT;
	autoclose int point = point_open(root_fd, "/proc", KIND_DIRECTORY);
	if (point < 0)
		return 0;
	if (own_pids && mount_new("proc", "proc", point, 0, NULL, &ignored) == 0)
		return 0;
	return bind_path("/proc", point, MOUNT_RECURSIVE, root_fd, err);
}

/* root's rights over the host's settings come with its number, not with capabilities: a build by root must not have them. */
static int settings_protect(int root_fd, struct err *err)
{
	static const char *const paths[] = { "/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus" };
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		autoplace struct path_place place = PATH_PLACE_INIT;
		int r = path_resolve(root_fd, paths[i], &place, NULL);
		if (r < 0 || place.missing[0] != '\0')
			continue;
		r = mount_bind(place.fd, place.fd, MOUNT_READ_ONLY | MOUNT_RECURSIVE, root_fd, err);
		if (r < 0)
			return err_prefix(err, "'%s'", paths[i]);
	}
	return 0;
}

static int sys_mount(int root_fd, struct err *err)
{
	autoclose int point = point_open(root_fd, "/sys", KIND_DIRECTORY);
	return point < 0 ? 0 : bind_path("/sys", point, MOUNT_RECURSIVE | MOUNT_READ_ONLY, root_fd, err);
}

static int memory_mount(int root_fd, const char *path, struct err *err)
{
	autoclose int point = point_open(root_fd, path, KIND_DIRECTORY);
	return point < 0 ? 0 : mount_new("tmpfs", "tmp", point, 0, "mode=1777", err);
}

/* Copies, so that what a script writes there is its own. */
static int files_mount(const struct view *view, int root_fd, struct err *err)
{
	static const struct {
		const char *name, *path;
		int kind;
	} files[] = {
		{ "", VIEW_FILES, KIND_DIRECTORY }, { "/resolv.conf", "/etc/resolv.conf", KIND_FILE }, { "/hosts", "/etc/hosts", KIND_FILE },
	};
	for (size_t i = 0; view->files != NULL && i < sizeof(files) / sizeof(files[0]); i++) {
		autofree char *source = NULL;
		if (asprintf(&source, "%s%s", view->files, files[i].name) < 0)
			return err_sys(err, ENOMEM, "cannot mount '%s'", files[i].path);
		autoclose int point = point_open(root_fd, files[i].path, files[i].kind);
		int r = point < 0 || !is_there(source) ? 0 : bind_path(source, point, 0, root_fd, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int binds_mount(const struct view *view, int root_fd, struct err *err)
{
	for (size_t i = 0; view->binds != NULL && i < view->binds->count; i++) {
		const struct bind *bind = &view->binds->items[i];
		int kind = bind_kind(bind, err);
		if (kind < 0)
			return kind;
		autoclose int point = point_open(root_fd, bind->target, kind);
		if (point < 0)
			return err_set(err, kind == KIND_DIRECTORY ? ENOTDIR : EISDIR, "%s: cannot bind '%s': '%s' is %s", bind->origin,
				       bind->source, bind->target, kind == KIND_DIRECTORY ? "no directory" : "no file");
		int r = bind_path(bind->source, point, MOUNT_RECURSIVE | (bind->read_only ? MOUNT_READ_ONLY : 0), root_fd, err);
		if (r < 0)
			return err_prefix(err, "%s", bind->origin);
	}
	return 0;
}

/* The directory as a mount of its own. Returns a descriptor of that. */
static int root_mount(const struct view *view, struct err *err)
{
	autoclose int below = open(view->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	autoclose int host = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (below < 0 || host < 0)
		return err_sys(err, errno, "cannot open the directory '%s'", view->root);
	int r = mount_bind(below, below, view->read_only ? MOUNT_READ_ONLY : 0, host, err);
	if (r < 0)
		return r;
	int fd = open(view->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? err_sys(err, errno, "cannot open the directory '%s'", view->root) : fd;
}

static int all_mount(const struct view *view, bool own_pids, int root_fd, struct err *err)
{
	int r = dev_mount(root_fd, err);
	if (r == 0)
		r = proc_mount(root_fd, own_pids, err);
	if (r == 0)
		r = settings_protect(root_fd, err);
	if (r == 0)
		r = sys_mount(root_fd, err);
	if (r == 0 && view->read_only)
		r = memory_mount(root_fd, "/tmp", err);
	if (r == 0 && view->read_only)
		r = memory_mount(root_fd, "/var/tmp", err);
	if (r == 0)
		r = files_mount(view, root_fd, err);
	return r < 0 ? r : binds_mount(view, root_fd, err);
}

/* For a script on the host: its processes must be seen under their numbers. */
static int host_enter(bool own_pids, struct err *err)
{
	autoclose int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	int r = root < 0 ? err_sys(err, errno, "cannot open '/'") : own_pids ? proc_mount(root, own_pids, err) : 0;
	return r < 0 ? r : settings_protect(root, err);
}

int view_enter(const struct view *view, bool own_pids, struct err *err)
{
	if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
		return err_sys(err, errno, "cannot cut the mount namespace off the host's");
	if (view->root == NULL)
		return host_enter(own_pids, err);
	autoclose int root = root_mount(view, err);
	int r = root < 0 ? root : all_mount(view, own_pids, root, err);
	return r < 0 ? r : mount_pivot(root, err);
}
