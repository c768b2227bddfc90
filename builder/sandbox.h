/* SPDX-License-Identifier: Apache-2.0
 *
 * The target that is a directory. Data goes to numbered files in a hidden directory beside the final one; at the end they get their
 * names, owners, modes, times and attributes there, and the whole gets its name. Nothing is ever written outside, and nothing of a
 * failed build is left (temporary.h). Nothing is synced to disk: a sandbox is made again as easily.
 *
 * Root gets everything as the tree has it. An ordinary user gets what users can have, with files that he can read and directories
 * that he can enter and empty; what is left out is counted, noted, and recorded in the sandbox (record.h), so that an image that is
 * made of it has it again.
 */
#ifndef SIMG_BUILDER_SANDBOX_H
#define SIMG_BUILDER_SANDBOX_H

#include <stdbool.h>
#include <sys/stat.h>

struct err;
struct owners;
struct target;

/* Creates the hidden directory. Fails if path exists; with force, only if it is neither an empty directory nor a sandbox. The
 * target is freed with target_free(). target_finish() is all that it takes to complete the sandbox. Sets the process's umask. */
int sandbox_open(const char *path, bool force, struct target **ret_target, struct err *err);

/* The same in a work directory: one that is there and empty, below a directory that only its owner can enter, and in which scripts
 * are going to run as the root of a user namespace. Nothing is done about its name, and nothing is hidden from anybody: modes are the
 * tree's, set-user-ID bits and all. No owner is ever set on disk, and no device made. What is not on disk so is recorded in owners,
 * which must outlive the target. No record is written, and one that is in the tree is left out. path is for messages. The process
 * is root, of a user namespace or of the machine. Sets its umask, too. -ENOTSUP from target_finish() where something has to be
 * recorded and the file system does not tell times of birth. */
int sandbox_open_work(int directory_fd, const char *path, struct owners *owners, struct target **ret_target, struct err *err);

/* What is the build's own: the hidden directory, and what it is to replace. Returns how many there are. */
int sandbox_own(const struct target *target, struct stat ret_st[static 2]);

/* After target_finish(): prints one note for each kind of thing that was left out. */
void sandbox_notes(const struct target *target);

#endif
