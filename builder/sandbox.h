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
struct target;

/* Creates the hidden directory. Fails if path exists; with force, only if it is neither an empty directory nor a sandbox. The
 * target is freed with target_free(). target_finish() is all that it takes to complete the sandbox. Sets the process's umask. */
int sandbox_open(const char *path, bool force, struct target **ret_target, struct err *err);

/* What is the build's own: the hidden directory, and what it is to replace. Returns how many there are. */
int sandbox_own(const struct target *target, struct stat ret_st[static 2]);

/* After target_finish(): prints one note for each kind of thing that was left out. */
void sandbox_notes(const struct target *target);

#endif
