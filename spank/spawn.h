/* SPDX-License-Identifier: Apache-2.0
 *
 * Running simg-helper from a task's process.
 */
#ifndef SIMG_SPANK_SPAWN_H
#define SIMG_SPANK_SPAWN_H

#include <sys/types.h>

struct err;
struct launch_request;

enum { SPAWN_FD_COUNT = 2 }; /* the namespace and the entry, see lib/launch.h */

/* A helper at work. */
struct spawn {
	pid_t pid;  /* 0: none, or reaped */
	int socket; /* where it answers */
	const char *helper; /* its path, the caller's */
};

/* Starts the helper. Root. */
int spawn_start(const char *helper, const struct launch_request *request, struct spawn *ret_spawn, struct err *err);

/* Waits for its answer, timeout_s at most. On success ret_fds has the two descriptors (and -1 in the places up to WIRE_FDS_MAX), which are
 * the caller's. Needs no privilege, and so cannot end a helper of root's that hangs: after a failure the caller must end its own
 * process, and the helper is killed with it. */
int spawn_collect(struct spawn *spawn, unsigned timeout_s, int *ret_fds, struct err *err);

/* Reaps a helper that has answered and is about to end, so that the user's program finds no child that it does not know. An error if it
 * does not end within a second: see above. */
int spawn_reap(struct spawn *spawn, struct err *err);

#endif
