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

/* Waits for its answer, timeout_s at most, and then ends it: it has done its work, or never will. On success ret_fds has the two
 * descriptors (and -1 in the places up to WIRE_FDS_MAX), which are the caller's. Needs CAP_KILL, the helper being root's. */
int spawn_collect(struct spawn *spawn, unsigned timeout_s, int *ret_fds, struct err *err);

/* Reaps the helper that spawn_collect() has ended, so that the user's program finds no child that it does not know. An error if it is not
 * gone within a second, because it hangs in the kernel. */
int spawn_reap(struct spawn *spawn, struct err *err);

#endif
