/* SPDX-License-Identifier: Apache-2.0
 *
 * Runs a program as root of a work directory, without privilege and without set-up: in a user namespace with one id, which is the
 * builder's outside and 0 inside. What the program asks for that needs more than one id, other owners and device nodes, is recorded
 * in a table and seen again by stat (owners.h); the rest of what it would take a real root for does nothing (filter.h). No process
 * that it starts outlives it.
 *
 *	builder ── fakeroot_enter(): a user namespace
 *	   └── fakeroot_run(): the first process of new mount and pid namespaces: mounts (view.h), then answers system calls
 *	         └── the program, behind the filter
 */
#ifndef SIMG_BUILDER_FAKEROOT_FAKEROOT_H
#define SIMG_BUILDER_FAKEROOT_FAKEROOT_H

#include "builder/fakeroot/view.h"

#include <stddef.h>

struct err;
struct owners;

struct fakeroot {
	struct view view;
	struct owners *owners;    /* what is recorded, before and after; NULL: nothing is */
	char *const *argv;        /* argv[0] is a path in the view */
	char *const *environment;
	const char *directory;    /* the working directory in the view */
	int input_fd;             /* standard input; -1: /dev/null */
	/* Called with what the program prints, standard output and error in one. NULL: it has the caller's terminal and descriptors. */
	void (*print)(void *context, const char *data, size_t bytes);
	void *context;
};

/* Makes the calling process root of a user namespace that has only its own user and group; for good. It must have one thread. Its
 * files belong to root from now on, other users' to nobody. Fails where the kernel or the site allows no user namespaces, with a
 * hint. */
int fakeroot_enter(struct err *err);

/* Whether owners can be recorded on this kernel and in the file system of that directory. If not, *ret_reason says why. */
bool fakeroot_can_record(const char *root, const char **ret_reason);

/* Runs the program to its end. *ret_status is its wait status. */
int fakeroot_run(const struct fakeroot *fakeroot, int *ret_status, struct err *err);

#endif
