/* SPDX-License-Identifier: Apache-2.0
 *
 * See supervisor.h.
 */
#include "builder/fakeroot/supervisor.h"

#include "builder/fakeroot/caller.h"
#include "builder/fakeroot/filter.h"
#include "builder/fakeroot/owners.h"
#include "lib/cleanup.h"
#include "lib/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* Linux 6.6: the answer wakes the caller on this very processor. */
#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS _IOW('!', 4, uint64_t)
#endif
enum { SYNC_WAKE_UP = 1 };

enum { ANSWER_CONTINUE = 1 }; /* what a handler returns for "go on yourself" */

struct supervisor {
	int listener_fd;
	struct owners *owners;
	struct caller caller;
	struct seccomp_notif *call;       /* in memory of the kernel's size */
	struct seccomp_notif_resp *answer;
	size_t call_bytes, answer_bytes;
};

/* --- owners --- */

static bool is_plain(const struct owner *owner)
{
	return owner->uid == 0 && owner->gid == 0 && owner->type == 0 && owner->xattr_count == 0 &&
	       (owner->mode | owner->disk_mode) == 0;
}

static int owner_put(struct supervisor *supervisor, const struct owner_key *key, const struct owner *owner)
{
	if (!is_plain(owner))
		return owners_set(supervisor->owners, key, owner);
	owners_remove(supervisor->owners, key);
	return 0;
}

static struct owner owner_get(const struct supervisor *supervisor, const struct owner_key *key)
{
	const struct owner *found = owners_find(supervisor->owners, key);
	return found != NULL ? *found : (struct owner){ 0 };
}

/* What Linux does to these bits when the owner changes. */
static uint32_t setids_dropped(uint32_t mode, mode_t type)
{
	if (S_ISDIR(type))
		return mode;
	mode &= ~(uint32_t)S_ISUID;
	return (mode & S_IXGRP) != 0 ? mode & ~(uint32_t)S_ISGID : mode;
}

/* --- chown --- */

static int place_chown(struct supervisor *supervisor, const struct caller_place *place, uint32_t uid, uint32_t gid)
{
	struct owner_key key;
	struct stat st;
	const uint32_t keep = (uint32_t)-1;
	int r = owner_key_read(place->fd, place->path, place->flags, &key, &st);
	if (r < 0)
		return r;
	if (fchownat(place->fd, place->path, uid == keep ? (uid_t)-1 : 0, gid == keep ? (gid_t)-1 : 0, place->flags) < 0)
		return errno == EPERM && (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode)) ? 0 : -errno;
	struct owner owner = owner_get(supervisor, &key);
	if (uid != keep)
		owner.uid = uid;
	if (gid != keep)
		owner.gid = gid;
	owner.mode = setids_dropped(owner.mode, st.st_mode);
	return owner_put(supervisor, &key, &owner);
}

/* --- mknod --- */

/* Devices that a chroot needs, and that a user may use. Under another name it is somebody's probe, who is going to remove it, and what
 * is mounted on cannot be removed. */
static const char *shared_device(const char *path, mode_t mode, dev_t device)
{
	const char *slash = strrchr(path, '/'), *name = slash != NULL ? slash + 1 : path;
	static const struct {
		unsigned major, minor;
		const char *path;
	} devices[] = {
		{ 1, 3, "/dev/null" }, { 1, 5, "/dev/zero" },    { 1, 7, "/dev/full" },
		{ 1, 8, "/dev/random" }, { 1, 9, "/dev/urandom" }, { 5, 0, "/dev/tty" },
	};
	for (size_t i = 0; i < sizeof(devices) / sizeof(devices[0]) && S_ISCHR(mode); i++)
		if (devices[i].major == major(device) && devices[i].minor == minor(device) &&
		    strcmp(strrchr(devices[i].path, '/') + 1, name) == 0)
			return devices[i].path;
	return NULL;
}

/* If that fails, the empty file has to do. */
static void device_mount(const char *source, int target_fd)
{
	char target[FD_PATH_MAX];
	fd_path(target_fd, target);
	(void)!mount(source, target, NULL, MS_BIND, NULL);
}

static uint32_t device_encode(dev_t device)
{
	return (minor(device) & 0xff) | major(device) << 8 | (minor(device) & ~0xffu) << 12;
}

/* *ret_fd: the file that stands for the device. */
static int place_mknod(struct supervisor *supervisor, const struct caller_place *place, mode_t mode, dev_t device, int *ret_fd)
{
	struct owner_key key;
	struct stat st;
	/* A chmod() of one that is mounted over comes too late. */
	mode_t mask = shared_device(place->path, mode, device) != NULL ? 0 : caller_umask(&supervisor->caller);
	mode_t permissions = mode & 07777 & ~mask;
	if (mknodat(place->fd, place->path, S_IFREG, 0) < 0)
		return -errno;
	int r = owner_key_read(place->fd, place->path, AT_SYMLINK_NOFOLLOW, &key, &st);
	if (r == 0 && fchmodat(place->fd, place->path, permissions, 0) < 0)
		r = -errno;
	if (r < 0)
		return r;
	struct owner owner = { .type = mode & S_IFMT, .device_number = device_encode(device) };
	*ret_fd = openat(place->fd, place->path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	return owner_put(supervisor, &key, &owner);
}

/* --- chmod --- */

static int place_chmod(struct supervisor *supervisor, const struct caller_place *place)
{
	struct owner_key key;
	struct stat st;
	if (owner_key_read(place->fd, place->path, place->flags, &key, &st) < 0)
		return ANSWER_CONTINUE;
	if ((S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode)) && st.st_uid != 0)
		return 0; /* the host's, mounted here */
	struct owner owner = owner_get(supervisor, &key);
	if ((owner.mode | owner.disk_mode) != 0) {
		owner.mode = owner.disk_mode = 0;
		int r = owner_put(supervisor, &key, &owner);
		if (r < 0)
			return r;
	}
	return ANSWER_CONTINUE;
}

/* --- stat --- */

/* What is recorded of the file, and it is worth telling. */
static const struct owner *place_owner(const struct supervisor *supervisor, const struct caller_place *place)
{
	struct owner_key key;
	struct stat st;
	if (owner_key_read(place->fd, place->path, place->flags, &key, &st) < 0)
		return NULL;
	return owners_find(supervisor->owners, &key);
}

static int place_stat(const struct supervisor *supervisor, const struct caller_place *place, uint64_t address)
{
	struct stat st;
	const struct owner *owner = place_owner(supervisor, place);
	if (owner == NULL || fstatat(place->fd, place->path, &st, place->flags) < 0)
		return ANSWER_CONTINUE;
	owner_apply(owner, &st);
	return caller_write(&supervisor->caller, address, &st, sizeof(st));
}

static int place_statx(const struct supervisor *supervisor, const struct caller_place *place, unsigned mask, uint64_t address)
{
	struct statx stx;
	const struct owner *owner = place_owner(supervisor, place);
	if (owner == NULL || statx(place->fd, place->path, place->flags, mask | STATX_BASIC_STATS, &stx) < 0)
		return ANSWER_CONTINUE;
	struct stat st = { .st_mode = stx.stx_mode, .st_size = (off_t)stx.stx_size };
	owner_apply(owner, &st);
	stx.stx_uid = st.st_uid;
	stx.stx_gid = st.st_gid;
	stx.stx_mode = (uint16_t)st.st_mode;
	if (st.st_rdev != 0) {
		stx.stx_rdev_major = major(st.st_rdev);
		stx.stx_rdev_minor = minor(st.st_rdev);
	}
	return caller_write(&supervisor->caller, address, &stx, sizeof(stx));
}

/* --- which call it is --- */

/* Where its arguments stand. */
static const struct {
	int directory; /* -1: the working directory */
	int path;      /* -1: none, directory is the file itself */
	int flags;     /* -1: fixed ones */
	int fixed_flags;
	int rest;      /* the first of the other arguments */
} shapes[] = {
	[CALL_CHOWN] = { -1, 0, -1, 0, 1 },
	[CALL_LCHOWN] = { -1, 0, -1, AT_SYMLINK_NOFOLLOW, 1 },
	[CALL_FCHOWN] = { 0, -1, -1, 0, 1 },
	[CALL_FCHOWNAT] = { 0, 1, 4, 0, 2 },
	[CALL_MKNOD] = { -1, 0, -1, AT_SYMLINK_NOFOLLOW, 1 },
	[CALL_MKNODAT] = { 0, 1, -1, AT_SYMLINK_NOFOLLOW, 2 },
	[CALL_CHMOD] = { -1, 0, -1, 0, 1 },
	[CALL_FCHMOD] = { 0, -1, -1, 0, 1 },
	[CALL_FCHMODAT] = { 0, 1, -1, 0, 2 },
	[CALL_FCHMODAT2] = { 0, 1, 3, 0, 2 },
	[CALL_STAT] = { -1, 0, -1, 0, 1 },
	[CALL_LSTAT] = { -1, 0, -1, AT_SYMLINK_NOFOLLOW, 1 },
	[CALL_FSTAT] = { 0, -1, -1, 0, 1 },
	[CALL_FSTATAT] = { 0, 1, 3, 0, 2 },
	[CALL_STATX] = { 0, 1, 2, 0, 3 },
};

static int place_find(const struct supervisor *supervisor, enum filter_call call, struct caller_place *place)
{
	const uint64_t *arguments = (const uint64_t *)supervisor->call->data.args;
	int directory_fd = shapes[call].directory < 0 ? AT_FDCWD : (int)arguments[shapes[call].directory];
	int flags = shapes[call].flags < 0 ? shapes[call].fixed_flags : (int)arguments[shapes[call].flags];
	if (shapes[call].path < 0)
		return caller_place_fd(&supervisor->caller, directory_fd, place);
	return caller_place_find(&supervisor->caller, directory_fd, arguments[shapes[call].path], flags, place);
}

static int place_handle(struct supervisor *supervisor, enum filter_call call, const struct caller_place *place, int *ret_device_fd)
{
	const uint64_t *rest = (const uint64_t *)supervisor->call->data.args + shapes[call].rest;
	switch (call) {
	case CALL_CHOWN:
	case CALL_LCHOWN:
	case CALL_FCHOWN:
	case CALL_FCHOWNAT:
		return place_chown(supervisor, place, (uint32_t)rest[0], (uint32_t)rest[1]);
	case CALL_MKNOD:
	case CALL_MKNODAT:
		return place_mknod(supervisor, place, (mode_t)rest[0], (dev_t)rest[1], ret_device_fd);
	case CALL_CHMOD:
	case CALL_FCHMOD:
	case CALL_FCHMODAT:
	case CALL_FCHMODAT2:
		return place_chmod(supervisor, place);
	case CALL_STATX:
		return place_statx(supervisor, place, (unsigned)rest[0], rest[1]);
	default:
		return place_stat(supervisor, place, rest[0]);
	}
}

static bool may_be_left(enum filter_call call)
{
	return call >= CALL_CHMOD;
}

/* In the supervisor's own root. */
static void device_supply(const struct supervisor *supervisor, enum filter_call call, const char *path, int device_fd)
{
	const uint64_t *rest = (const uint64_t *)supervisor->call->data.args + shapes[call].rest;
	const char *source = device_fd < 0 ? NULL : shared_device(path, (mode_t)rest[0], (dev_t)rest[1]);
	if (source != NULL)
		device_mount(source, device_fd);
}

static int call_handle(struct supervisor *supervisor)
{
	const struct seccomp_data *data = &supervisor->call->data;
	enum filter_call call = filter_call_of(data->arch, data->nr);
	struct caller_place place;
	supervisor->caller.thread = (pid_t)supervisor->call->pid;
	if (call == CALL_CHROOT || call == CALL_PIVOT_ROOT)
		supervisor->caller.may_have_root = true;
	if (call == CALL_NONE || call >= CALL_CHROOT)
		return ANSWER_CONTINUE;
	autoclose int device_fd = -1;
	int r = place_find(supervisor, call, &place);
	if (r == 0)
		r = place_handle(supervisor, call, &place, &device_fd);
	caller_place_end(&supervisor->caller, &place);
	device_supply(supervisor, call, place.path, device_fd);
	return r < 0 && may_be_left(call) ? ANSWER_CONTINUE : r;
}

/* --- the conversation --- */

int supervisor_fd(const struct supervisor *supervisor)
{
	return supervisor->listener_fd;
}

int supervisor_answer(struct supervisor *supervisor)
{
	memset(supervisor->call, 0, supervisor->call_bytes);
	memset(supervisor->answer, 0, supervisor->answer_bytes);
	if (ioctl(supervisor->listener_fd, SECCOMP_IOCTL_NOTIF_RECV, supervisor->call) < 0)
		return errno == EINTR || errno == ENOENT ? 0 : -errno; /* ENOENT: the caller is gone already */
	int r = call_handle(supervisor);
	supervisor->answer->id = supervisor->call->id;
	supervisor->answer->error = r < 0 ? r : 0;
	supervisor->answer->flags = r == ANSWER_CONTINUE ? SECCOMP_USER_NOTIF_FLAG_CONTINUE : 0;
	if (ioctl(supervisor->listener_fd, SECCOMP_IOCTL_NOTIF_SEND, supervisor->answer) < 0 && errno != ENOENT)
		return -errno;
	return 0;
}

static size_t at_least(size_t bytes, size_t minimum)
{
	return bytes > minimum ? bytes : minimum;
}

struct supervisor *supervisor_new(int listener_fd, struct owners *owners)
{
	struct seccomp_notif_sizes sizes = { 0 };
	struct supervisor *supervisor = calloc(1, sizeof(*supervisor));
	if (supervisor == NULL || syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes) < 0) {
		free(supervisor);
		return NULL;
	}
	*supervisor = (struct supervisor){ .listener_fd = listener_fd, .owners = owners };
	supervisor->call_bytes = at_least(sizes.seccomp_notif, sizeof(struct seccomp_notif));
	supervisor->answer_bytes = at_least(sizes.seccomp_notif_resp, sizeof(struct seccomp_notif_resp));
	supervisor->call = malloc(supervisor->call_bytes);
	supervisor->answer = malloc(supervisor->answer_bytes);
	supervisor->caller.root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (supervisor->call == NULL || supervisor->answer == NULL || supervisor->caller.root_fd < 0) {
		supervisor_free(supervisor);
		return NULL;
	}
	ioctl(listener_fd, SECCOMP_IOCTL_NOTIF_SET_FLAGS, (uint64_t)SYNC_WAKE_UP);
	return supervisor;
}

void supervisor_free(struct supervisor *supervisor)
{
	if (supervisor == NULL)
		return;
	if (supervisor->caller.root_fd >= 0)
		close(supervisor->caller.root_fd);
	close(supervisor->listener_fd);
	free(supervisor->call);
	free(supervisor->answer);
	free(supervisor);
}
