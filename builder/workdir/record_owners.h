/* SPDX-License-Identifier: Apache-2.0
 *
 * Between the record of a sandbox (record.h), which knows files by their paths, and the table of owners (fakeroot/owners.h), which
 * knows them by their inodes: for work in a sandbox as the root of a user namespace. Both functions are called in that namespace,
 * whose only user and group are, outside, uid and gid. Loaded and saved again, a sandbox gives the same image as before.
 */
#ifndef SIMG_BUILDER_WORKDIR_RECORD_OWNERS_H
#define SIMG_BUILDER_WORKDIR_RECORD_OWNERS_H

#include <sys/types.h>

struct err;
struct owners;

/* Fills an empty table with what the files of the sandbox are in an image: as recorded, else the owner's that they have outside.
 * path is the sandbox's, for messages. A directory without a record is taken as it is on disk. */
int record_owners_load(int root_fd, const char *path, uid_t uid, gid_t gid, struct owners *owners, struct err *err);

/* Writes the record anew, for all that the disk cannot say to who reads the sandbox outside. Modes that would lock the user out are
 * widened on disk, and set-user-ID bits without their owner taken off, and recorded (record_permissions()). Times stay. -ENOTDIR if
 * /.simg is no directory. */
int record_owners_save(int root_fd, const char *path, uid_t uid, gid_t gid, const struct owners *owners, struct err *err);

#endif
