/* SPDX-License-Identifier: Apache-2.0
 *
 * Removing a directory with all that is in it.
 */
#ifndef SIMG_BUILDER_REMOVE_H
#define SIMG_BUILDER_REMOVE_H

/* Removes the file or directory name in the directory, also directories whose modes forbid it to their owner. Follows no symlink
 * and enters no mount point (-EBUSY: what is mounted there stays whole), whatever anybody does to the tree meanwhile. Nothing of
 * that name is success. Returns 0 or a negative errno. May be called in a signal handler: allocates nothing. */
int remove_tree(int directory_fd, const char *name);

#endif
