/* SPDX-License-Identifier: Apache-2.0
 *
 * Mount system calls by descriptor. Everything here needs CAP_SYS_ADMIN in a private mount namespace and acts on descriptors that
 * the caller has resolved, so that no path is looked up twice.
 */
#ifndef SIMG_RUNTIME_MOUNT_H
#define SIMG_RUNTIME_MOUNT_H

struct err;

enum mount_flags {
	MOUNT_READ_ONLY = 1,
	MOUNT_NOSUID = 2,
	MOUNT_NODEV = 4,
	MOUNT_RECURSIVE = 8, /* with what is mounted below the source; the other flags then hold for all of it */
};

/* Mounts what src_fd is open on (a file or a directory) on what dst_fd is open on. Descriptors of dst_fd's kind keep pointing at what is
 * now covered: look the path up again to get at the new mount. cover_fd is
 * the mount on "/" with dst_fd somewhere below it.
 *
 * Linux 5.12 sets the flags on a detached copy before it is attached (open_tree, mount_setattr, move_mount). Older kernels bind
 * first and change each mount afterwards, which nobody can use in between, because nobody else is in the namespace yet. */
int mount_bind(int src_fd, int dst_fd, unsigned flags, int cover_fd, struct err *err);

/* Mounts a file system of `type` on dst_fd, nosuid and nodev. source and options as for mount(2). */
int mount_new(const char *type, const char *source, int dst_fd, unsigned flags, const char *options, struct err *err);

/* Keeps the mount that fd is the root of, and all below it, out of recursive binds. */
int mount_unbindable(int fd, struct err *err);

/* Makes the directory root_fd (a mount point) the root of this mount namespace and lets go of the old one. */
int mount_pivot(int root_fd, struct err *err);

#endif
