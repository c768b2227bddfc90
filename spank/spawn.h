/* SPDX-License-Identifier: Apache-2.0
 *
 * Running simg-helper from a task's process.
 */
#ifndef SIMG_SPANK_SPAWN_H
#define SIMG_SPANK_SPAWN_H

struct err;
struct launch_request;

enum { SPAWN_FD_COUNT = 2 }; /* the namespace and the entry, see lib/launch.h */

/* Runs the helper as root and waits for its answer, timeout_s at most; then it is dead and reaped, in every case. On success ret_fds has the
 * two descriptors (and -1 in the places up to WIRE_FDS_MAX), which are the caller's. */
int spawn_helper(const char *helper, unsigned timeout_s, const struct launch_request *request, int *ret_fds, struct err *err);

#endif
