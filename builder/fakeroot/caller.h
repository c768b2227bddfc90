/* SPDX-License-Identifier: Apache-2.0
 *
 * The process whose system call the supervisor answers: its memory, and what its paths mean. The supervisor stands in the same mount
 * and pid namespace, has the same user and capabilities, and sees the same root unless the caller has changed its own. Nothing here is
 * a boundary: whatever the caller makes the supervisor do, it could do itself.
 */
#ifndef SIMG_BUILDER_FAKEROOT_CALLER_H
#define SIMG_BUILDER_FAKEROOT_CALLER_H

#include <linux/limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct caller {
	pid_t thread;
	bool may_have_root; /* somebody has called chroot(2): the caller's root may be another one */
	int root_fd;        /* the supervisor's own */
};

/* What a path of the caller is for the supervisor: arguments of its own *at() calls. */
struct caller_place {
	int fd;             /* AT_FDCWD, or a descriptor of the place's own */
	char path[PATH_MAX + 64];
	int flags;          /* AT_SYMLINK_NOFOLLOW or 0 */
	bool entered;       /* the supervisor is in the caller's root until caller_place_end() */
};

/* Finds what (directory_fd, the path at address, flags) mean for the caller: AT_FDCWD, AT_EMPTY_PATH and AT_SYMLINK_NOFOLLOW as for
 * fstatat(2). The place is ended with caller_place_end(), also after an error. 0 or a bare negative errno. */
int caller_place_find(const struct caller *caller, int directory_fd, uint64_t address, int flags, struct caller_place *ret_place);

/* The same for an open descriptor of the caller. */
int caller_place_fd(const struct caller *caller, int fd, struct caller_place *ret_place);

void caller_place_end(const struct caller *caller, struct caller_place *place);

/* Writes into the caller's memory. 0 or a bare negative errno. */
int caller_write(const struct caller *caller, uint64_t address, const void *data, size_t bytes);

/* The caller's umask. */
mode_t caller_umask(const struct caller *caller);

#endif
