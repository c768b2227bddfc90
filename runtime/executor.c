/* SPDX-License-Identifier: Apache-2.0
 *
 * The executor: see executor.h.
 */
#include "runtime/executor.h"

#include "lib/cleanup.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/fd.h"
#include "lib/image.h"
#include "lib/path.h"
#include "lib/wire.h"
#include "runtime/driver.h"
#include "runtime/mount.h"
#include "runtime/policy.h"
#include "runtime/privilege.h"

#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

/* Room for mount points, passwd and group; a tmpfs takes only what is used. Closed to the user, who can name it as /.. in a bind. */
#define TOP_OPTIONS "mode=0700,size=64m"

void executor_free(struct executor *executor)
{
	cleanup_close(&executor->cover_fd);
	cleanup_close(&executor->top_fd);
	cleanup_close(&executor->image_fd);
	cleanup_close(&executor->root_fd);
}

static int open_dir(int dir_fd, const char *name)
{
	int fd = openat(dir_fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* Makes a directory on the tmpfs and opens it. */
static int make_dir(int dir_fd, const char *name, struct err *err)
{
	if (mkdirat(dir_fd, name, 0755) < 0)
		return err_sys(err, errno, "cannot make the directory '%s' of the new root", name);
	int fd = open_dir(dir_fd, name);
	return fd < 0 ? err_sys(err, -fd, "cannot open the directory '%s' of the new root", name) : fd;
}

static int make_numbered_dir(struct executor *executor, const char *kind, struct err *err)
{
	char name[32];
	snprintf(name, sizeof(name), "%s%u", kind, executor->made++);
	return make_dir(executor->top_fd, name, err);
}

int executor_begin(struct executor *executor, const struct launch_request *request, const struct conf *conf, struct err *err)
{
	executor->request = request;
	executor->conf = conf;
	umask(022);
	int r = privilege_private_mounts(err);
	if (r < 0)
		return r;
	if (mount("simg", "/", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0700,size=64k") < 0)
		return err_sys(err, errno, "cannot mount a tmpfs for the new root");
	/* "/" is the old root below the tmpfs; its ".." is what is mounted on top of it. */
	executor->cover_fd = open("/..", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (executor->cover_fd < 0)
		return err_sys(err, errno, "cannot open the tmpfs of the new root");
	r = mount_unbindable(executor->cover_fd, err);
	autoclose int top = r < 0 ? r : make_dir(executor->cover_fd, "top", err);
	if (top < 0)
		return top;
	r = mount_new("tmpfs", "simg", top, 0, TOP_OPTIONS, err);
	executor->top_fd = r < 0 ? r : open_dir(executor->cover_fd, "top");
	if (executor->top_fd < 0)
		return r < 0 ? r : err_sys(err, -executor->top_fd, "cannot open the tmpfs of the new root");
	autoclose int place = make_dir(executor->top_fd, "root", err);
	return place < 0 ? place : 0;
}

int executor_mount_image(struct executor *executor, int fd, const struct image *image, struct err *err)
{
	autoclose int place = open_dir(executor->top_fd, "root");
	if (place < 0)
		return err_sys(err, -place, "cannot open the new root");
	int r = image->format == IMAGE_DIRECTORY ? driver_directory_mount(fd, place, executor->cover_fd, err) :
						   driver_kernel_mount(fd, image, place, &executor->fresh, err);
	if (r < 0)
		return err_prefix(err, "cannot mount image '%s'", executor->request->image);
	executor->image_fd = open_dir(executor->top_fd, "root");
	executor->root_fd = open_dir(executor->top_fd, "root");
	if (executor->image_fd < 0 || executor->root_fd < 0)
		return err_set(err, EIO, "cannot open the mounted image '%s'", executor->request->image);
	return 0;
}

/* --- mount points that the image lacks --- */

/* The overlay shows the upper directory's mode and owner, so a mount point's parents must look like the image's own. */
static void copy_attributes(int image_dir, int dir)
{
	struct stat st;
	if (image_dir < 0 || fstat(image_dir, &st) < 0)
		return;
	char path[FD_PATH_MAX];
	fd_path(dir, path);
	const struct timespec times[] = { st.st_mtim, st.st_mtim };
	if (chown(path, st.st_uid, st.st_gid) == 0 && chmod(path, st.st_mode & 07777) == 0)
		utimensat(AT_FDCWD, path, times, 0);
}

static int make_leaf_file(int dir, const char *name)
{
	autoclose int fd = openat(dir, name, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0444);
	return fd < 0 ? -errno : 0;
}

/* Makes `path` below the directory skel_fd; image_fd is the image's directory at the same place. Takes both over. */
static int make_point(int skel_fd, int image_fd, const char *path, bool directory)
{
	autoclose int dir = skel_fd;
	autoclose int image_dir = image_fd;
	autofree char *copy = strdup(path);
	char *rest = copy, *name;
	if (copy == NULL)
		return -ENOMEM;
	while ((name = strsep(&rest, "/")) != NULL) {
		if (name[0] == '\0')
			continue;
		int r = rest == NULL && !directory ? make_leaf_file(dir, name) : mkdirat(dir, name, 0755);
		if (r == 0) /* only now: a new name changes the directory's time */
			copy_attributes(image_dir, dir);
		if (rest == NULL && !directory)
			return r;
		int next = open_dir(dir, name);
		int image_next = image_dir < 0 ? -1 : openat(image_dir, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		cleanup_close(&dir);
		cleanup_close(&image_dir);
		dir = next;
		image_dir = image_next;
		if (dir < 0)
			return dir;
	}
	return 0;
}

/* Fills skel_fd with all points below `anchor`. */
static int make_points(int skel_fd, int anchor_fd, const struct plan *plan, const char *anchor, struct err *err)
{
	copy_attributes(anchor_fd, skel_fd);
	for (size_t i = 0; i < plan->point_count; i++) {
		const struct plan_point *point = &plan->points[i];
		if (!path_is_beneath(point->anchor, anchor))
			continue;
		autofree char *path = NULL;
		if (asprintf(&path, "%s/%s", point->anchor + (strcmp(anchor, "/") == 0 ? 0 : strlen(anchor)), point->missing) < 0)
			return err_sys(err, ENOMEM, "cannot make mount points");
		int r = make_point(dup(skel_fd), dup(anchor_fd), path, point->directory);
		if (r < 0)
			return err_sys(err, -r, "cannot make the mount point '%s/%s', which the image lacks", point->anchor, point->missing);
	}
	return 0;
}

/* Mount points come from a second, read-only layer above the directory that lacks them: the image stays as it is, and files elsewhere
 * are read without a detour. redirect_dir=nofollow: xattrs of the image must not send lookups elsewhere (Linux 4.15). */
static int overlay_points(struct executor *executor, const struct plan *plan, const char *anchor, struct err *err)
{
	autoplace struct path_place place = PATH_PLACE_INIT;
	int r = path_resolve(executor->root_fd, anchor, &place, err);
	if (r < 0)
		return r;
	if (place.missing[0] != '\0' || strcmp(place.real, anchor) != 0)
		return err_set(err, EBADMSG, "the plan's directory '%s' is not in the image", anchor);
	autoclose int skel = make_numbered_dir(executor, "points", err);
	r = skel < 0 ? skel : make_points(skel, place.fd, plan, anchor, err);
	if (r < 0)
		return r;
	char options[128];
	snprintf(options, sizeof(options), "redirect_dir=nofollow,lowerdir=/proc/self/fd/%d:/proc/self/fd/%d", skel, place.fd);
	r = mount_new("overlay", "simg", place.fd, MOUNT_READ_ONLY, options, err);
	if (r == -ENODEV)
		return err_hint(err, "this kernel lacks overlayfs, which '%s' needs for mount points; add them to the image", anchor);
	return r;
}

static bool anchor_needs_overlay(const struct plan *plan, size_t index)
{
	const char *anchor = plan->points[index].anchor;
	for (size_t i = 0; i < plan->point_count; i++) {
		const char *other = plan->points[i].anchor;
		bool same = strcmp(anchor, other) == 0;
		if (same ? i < index : path_is_beneath(anchor, other))
			return false; /* another overlay covers it */
	}
	return true;
}

/* A file system of tmp_size in a place of its own, which nobody else has seen. Returns its root. */
static int make_tmpfs(struct executor *executor, const char *kind, const char *mode, struct err *err)
{
	char name[32], options[64];
	snprintf(name, sizeof(name), "%s%u", kind, executor->made);
	autoclose int place = make_numbered_dir(executor, kind, err);
	if (place < 0)
		return place;
	snprintf(options, sizeof(options), "mode=%s,size=%s", mode, executor->conf->tmp_size);
	int r = mount_new("tmpfs", "simg", place, 0, options, err);
	if (r < 0)
		return r;
	int fd = open_dir(executor->top_fd, name);
	return fd < 0 ? err_sys(err, -fd, "cannot open a tmpfs of the new root") : fd;
}

/* A throw-away layer over the whole image; the mount points go into it. */
static int overlay_writable(struct executor *executor, const struct plan *plan, struct err *err)
{
	char options[160];
	autoclose int layer = make_tmpfs(executor, "writable", "0755", err);
	if (layer < 0)
		return err_prefix(err, "--container-writable");
	autoclose int upper = make_dir(layer, "upper", err);
	autoclose int work = upper < 0 ? upper : make_dir(layer, "work", err);
	if (work < 0)
		return work;
	int r = make_points(upper, executor->image_fd, plan, "/", err);
	if (r < 0)
		return r;
	snprintf(options, sizeof(options), "redirect_dir=nofollow,lowerdir=/proc/self/fd/%d,upperdir=/proc/self/fd/%d,workdir=/proc/self/fd/%d",
		 executor->image_fd, upper, work);
	r = mount_new("overlay", "simg", executor->image_fd, 0, options, err);
	return r < 0 ? err_prefix(err, "--container-writable") : 0;
}

/* After an overlay on the root itself, the name TOP/root leads to it. */
static int reopen_root(struct executor *executor, struct err *err)
{
	cleanup_close(&executor->root_fd);
	executor->root_fd = open_dir(executor->top_fd, "root");
	return executor->root_fd < 0 ? err_sys(err, -executor->root_fd, "cannot open the new root") : 0;
}

static int supply_points(struct executor *executor, const struct plan *plan, struct err *err)
{
	int r = 0;
	if (plan->writable)
		r = overlay_writable(executor, plan, err);
	for (size_t i = 0; !plan->writable && i < plan->point_count && r == 0; i++)
		if (anchor_needs_overlay(plan, i))
			r = overlay_points(executor, plan, plan->points[i].anchor, err);
	return r < 0 ? r : reopen_root(executor, err);
}

/* --- the mounts --- */

/* The planner's content as a file that can be bound: a memfd itself can't, it belongs to no namespace. */
static int make_file(struct executor *executor, int content_fd, struct err *err)
{
	char name[32];
	struct stat st;
	snprintf(name, sizeof(name), "file%u", executor->made++);
	if (!wire_is_sealed(content_fd) || fstat(content_fd, &st) < 0 || st.st_size > PLAN_FILE_BYTES_MAX)
		return err_set(err, EBADMSG, "the plan holds a file that is too large, or can still change");
	autoclose int fd = openat(executor->top_fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
	off_t offset = 0;
	while (fd >= 0 && offset < st.st_size)
		if (sendfile(fd, content_fd, &offset, (size_t)(st.st_size - offset)) <= 0)
			return err_sys(err, errno, "cannot write a file of the new root");
	return fd < 0 ? err_sys(err, errno, "cannot make a file of the new root") : steal_fd(&fd);
}

/* The system's own trees stay as the host has them: /dev is of no use without devices. */
static unsigned bind_flags(const struct plan_mount *mount)
{
	unsigned flags = MOUNT_RECURSIVE | (mount->read_only ? MOUNT_READ_ONLY : 0);
	static const char *const trees[] = { "/proc", "/sys", "/dev" };
	for (size_t i = 0; mount->origin == PLAN_SYSTEM && i < sizeof(trees) / sizeof(trees[0]); i++)
		if (strcmp(mount->target, trees[i]) == 0)
			return flags;
	return flags | MOUNT_NOSUID | MOUNT_NODEV;
}

/* Remembered, because it is ours to make mount points in. Mounted in our own place first and then bound: looking the target up again to
 * see what was mounted could lead elsewhere by now, if it goes through a symlink that the user can change. */
static int mount_private_tmp(struct executor *executor, int dst_fd, struct err *err)
{
	struct stat st;
	autoclose int fd = make_tmpfs(executor, "tmp", "1777", err);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return err_sys(err, errno, "cannot stat a private tmpfs");
	executor->private_tmp[executor->private_tmp[0] != 0] = st.st_dev;
	return mount_bind(fd, dst_fd, MOUNT_NOSUID | MOUNT_NODEV, executor->cover_fd, err);
}

static int mount_at(struct executor *executor, const struct plan_mount *mount, int dst_fd, struct err *err)
{
	switch (mount->kind) {
	case PLAN_BIND:
		return mount_bind(mount->fd, dst_fd, bind_flags(mount), executor->cover_fd, err);
	case PLAN_FILE: {
		autoclose int file = make_file(executor, mount->fd, err);
		return file < 0 ? file : mount_bind(file, dst_fd, MOUNT_READ_ONLY | MOUNT_NOSUID | MOUNT_NODEV, executor->cover_fd, err);
	}
	case PLAN_TMPFS:
		return mount_private_tmp(executor, dst_fd, err);
	}
	return err_set(err, EBADMSG, "unknown kind of mount");
}

static int look_up(const struct executor *executor, const char *target, struct path_place *ret_place, struct err *err)
{
	privilege_lookup_as_user(executor->request->uid, executor->request->gid);
	int r = path_resolve(executor->root_fd, target, ret_place, err);
	privilege_lookup_as_root();
	return r;
}

static bool is_private_tmp(const struct executor *executor, int fd)
{
	struct stat st;
	return fstat(fd, &st) == 0 && (st.st_dev == executor->private_tmp[0] || st.st_dev == executor->private_tmp[1]);
}

/* The target does not exist as things are mounted by now. */
static int add_target(const struct executor *executor, const struct policy *policy, const struct plan_mount *mount,
		      struct path_place *place, struct err *err)
{
	autofree char *resolved = NULL;
	if (asprintf(&resolved, "%s/%s", strcmp(place->real, "/") == 0 ? "" : place->real, place->missing) < 0)
		return err_sys(err, ENOMEM, "cannot make mount points");
	int r = policy_check_target(policy, mount, resolved, err);
	if (r < 0)
		return r;
	if (!is_private_tmp(executor, place->fd)) {
		err_set(err, ENOENT, "%s: cannot mount on '%s': '%s' is mounted from the host and has no '%s'", mount->rule, mount->target,
			place->real, place->missing);
		return err_hint(err, "make the directory on the host, or choose another target");
	}
	r = make_point(dup(place->fd), -1, place->missing, mount->directory);
	if (r < 0)
		return err_sys(err, -r, "%s: cannot make the mount point '%s'", mount->rule, mount->target);
	path_place_free(place);
	return look_up(executor, mount->target, place, err);
}

/* Looks the target up as the user in the root as it is by now, asks the policy about where it leads, and mounts. */
static int carry_out_mount(struct executor *executor, const struct policy *policy, const struct plan_mount *mount, struct err *err)
{
	autoplace struct path_place place = PATH_PLACE_INIT;
	int r = look_up(executor, mount->target, &place, err);
	if (r < 0)
		return err_prefix(err, "%s", mount->rule);
	if (place.missing[0] != '\0')
		r = add_target(executor, policy, mount, &place, err);
	if (r < 0)
		return r;
	r = policy_check_target(policy, mount, place.real, err);
	if (r < 0)
		return r;
	/* The kernel would say EINVAL or ENOTDIR, depending on the call; where root may not stat, it still does. */
	struct stat st;
	if (fstat(place.fd, &st) == 0 && S_ISDIR(st.st_mode) != mount->directory)
		return err_set(err, ENOTDIR, "%s: cannot mount '%s' on '%s': one is a directory and the other is not", mount->rule, mount->source,
			       mount->target);
	r = mount_at(executor, mount, place.fd, err);
	return r < 0 ? err_prefix(err, "%s: cannot mount '%s' on '%s'", mount->rule, mount->source, mount->target) : 0;
}

int executor_carry_out(struct executor *executor, struct plan *plan, struct err *err)
{
	struct policy policy;
	int r = policy_init(&policy, executor->conf, executor->image_fd, err);
	privilege_lookup_as_user(executor->request->uid, executor->request->gid);
	if (r == 0)
		r = policy_check_plan(&policy, executor->request, plan, err);
	privilege_lookup_as_root();
	if (r == 0)
		r = supply_points(executor, plan, err);
	for (size_t i = 0; i < plan->mount_count && r == 0; i++)
		r = carry_out_mount(executor, &policy, &plan->mounts[i], err);
	policy_free(&policy);
	struct stat st;
	if (r == 0 && fstat(executor->root_fd, &st) < 0)
		r = err_sys(err, errno, "cannot stat the new root");
	if (r < 0)
		return r;
	plan->entry.root_dev = st.st_dev;
	plan->entry.root_ino = st.st_ino;
	return mount_pivot(executor->root_fd, err);
}
