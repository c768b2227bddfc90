/* SPDX-License-Identifier: Apache-2.0
 *
 * A work directory as it was at one moment: for each inode of the tree that it holds, which inode on disk that is, and when that
 * was changed last. No change escapes: Linux sets an inode's time of change itself, and before the baseline is done, the clock of
 * the file system has passed the newest of these times. What only the table of owners says is remembered, too.
 */
#ifndef SIMG_BUILDER_WORKDIR_BASELINE_H
#define SIMG_BUILDER_WORKDIR_BASELINE_H

#include "builder/fakeroot/owners.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

struct err;
struct inode;
struct tree;

struct baseline_inode {
	struct owner_key key; /* key.inode is 0: not on disk */
	int64_t change_ns;
	uint64_t owner;       /* baseline_owner() of what the table said */
	bool changed;         /* since then: for the delta (delta.h) */
};

struct baseline {
	struct baseline_inode *inodes; /* by number, from 1 */
	uint32_t inode_count;
};

/* Takes the baseline of a directory that holds what the tree says, sandbox_open_work()'s or the same after scripts and their delta.
 * Numbers the tree. name is the directory's, for messages. Waits for the clock: on most file systems some milliseconds, on those
 * with coarse times up to two seconds. What the builder itself puts into the directory for the scripts is best there already. */
int baseline_take(int root_fd, const char *name, struct tree *tree, const struct owners *owners, struct baseline **ret_baseline,
		  struct err *err);

struct baseline_inode *baseline_find(const struct baseline *baseline, const struct inode *inode);

/* Whether it is still that inode on disk, and unchanged there. */
bool baseline_holds(const struct baseline_inode *inode, const struct stat *st);

/* A number for what a table says of a file. */
uint64_t baseline_owner(const struct owners *owners, const struct owner_key *key);

void baseline_free(struct baseline *baseline); /* takes NULL */

#endif
