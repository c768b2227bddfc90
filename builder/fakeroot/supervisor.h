/* SPDX-License-Identifier: Apache-2.0
 *
 * Answers the system calls that the filter asks about (filter.h), and keeps the table of owners by them. Runs in the first process of
 * the build's namespaces, outside the filter.
 *
 * - chown: really done to the builder's own ids, so that time and set-user-ID bits change as they do for root, and recorded.
 * - mknod of devices: an empty file, and recorded. Where a device is one that the namespace has (/dev/null and the like), the real
 *   one is mounted on it until the namespace ends, so that a chroot that is being built works.
 * - chmod of such a device: nothing. Of other files: the kernel's, but what is recorded of the mode is void.
 * - stat: the kernel's, unless something is recorded.
 */
#ifndef SIMG_BUILDER_FAKEROOT_SUPERVISOR_H
#define SIMG_BUILDER_FAKEROOT_SUPERVISOR_H

struct owners;
struct supervisor;

/* Takes the filter's descriptor. The table stays the caller's. NULL without memory. */
struct supervisor *supervisor_new(int listener_fd, struct owners *owners);

/* The descriptor: there is something to answer when it can be read. */
int supervisor_fd(const struct supervisor *supervisor);

/* Answers one call. Returns 0, or a bare negative errno when nobody is left to ask. */
int supervisor_answer(struct supervisor *supervisor);

void supervisor_free(struct supervisor *supervisor); /* takes NULL */

#endif
