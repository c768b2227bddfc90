/* SPDX-License-Identifier: Apache-2.0
 *
 * Entries of a source into the tree and the writer: checks what they hold, decides what SquashFS cannot hold, and keeps count of
 * what it had to leave out or change.
 */
#ifndef SIMG_BUILDER_LOAD_H
#define SIMG_BUILDER_LOAD_H

#include <stdbool.h>
#include <stdint.h>

struct err;
struct progress;
struct reader;
struct source;
struct tree;
struct target;

struct load {
	struct tree *tree;
	struct target *target;
	struct progress *progress;
	uint64_t content_max_bytes;  /* of all files together, holes included */
	uint64_t content_bytes;      /* so far */

	/* What is worth a note at the end: how many, and the first one's path. */
	struct tally {
		uint64_t count;
		char first[256];
	} sockets, xattrs, acls, times;
};

/* Takes in all entries of a source that is already open. */
int load_source(struct load *load, const struct source *source, struct reader *reader, struct err *err);

/* Adds the directories and files that a container runtime mounts on, where the tree has nothing of that name. */
int load_mount_points(struct load *load, struct err *err);

/* Prints one note for each kind of thing that was left out or changed. */
void load_notes(const struct load *load);

#endif
