/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of a work directory are in the image, where the disk cannot say it. Everything in such a directory belongs to the
 * user who builds, who is root in its user namespace; an owner other than root, a device node or an attribute that only the host's
 * root may set is kept here. A file that is not in the table is root's, and otherwise as it is on disk.
 *
 * Files are known by their inode, so that renaming and hard links need no attention. An inode's number is used again after it was
 * deleted; its time of birth tells the two apart. File systems that do not know that time cannot hold a work directory of which
 * anything is recorded (owners_possible()).
 */
#ifndef SIMG_BUILDER_FAKEROOT_OWNERS_H
#define SIMG_BUILDER_FAKEROOT_OWNERS_H

#include "builder/xattr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

struct err;
struct owners;

struct owner_key {
	uint64_t device, inode;
	int64_t birth_ns;         /* since 1970; 0 where the file system does not tell */
};

struct owner {
	uint32_t uid, gid;
	uint32_t type;            /* S_IFCHR or S_IFBLK for an empty file that stands for a device node, else 0: as on disk */
	uint32_t device_number;   /* … and its number, as Linux encodes it in 32 bits */
	uint32_t mode, disk_mode; /* permissions: mode holds as long as those on disk are still disk_mode. Both 0: as on disk */
	const struct xattr *xattrs; /* that are not on disk; they live as long as the table */
	size_t xattr_count;
};

struct owners *owners_new(void); /* NULL without memory */
void owners_free(struct owners *owners); /* takes NULL */

/* Whether the file system of an open directory tells times of birth. */
bool owners_possible(int directory_fd);

/* The key of name in a directory (AT_FDCWD, AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW as for fstatat()), and what fstatat() would say of
 * it. 0 or a bare negative errno. */
int owner_key_read(int directory_fd, const char *name, int flags, struct owner_key *ret_key, struct stat *ret_st);

/* What is recorded, or NULL; valid until the table is changed. */
const struct owner *owners_find(const struct owners *owners, const struct owner_key *key);

/* Records it, in the place of what was there. The attributes are copied. 0 or -ENOMEM. */
int owners_set(struct owners *owners, const struct owner_key *key, const struct owner *owner);
void owners_remove(struct owners *owners, const struct owner_key *key);
size_t owners_count(const struct owners *owners);

/* What the file is in the image: puts owner, type, permissions and device number into what stat said. owner may be NULL: root's. */
void owner_apply(const struct owner *owner, struct stat *st);

/* All of it to a file and back, from one process to another that has the table as it was before: attributes do not travel but stay
 * with their inode. 0 or a bare negative errno. */
int owners_save(const struct owners *owners, int fd);
int owners_load(struct owners *owners, int fd);

#endif
