/* SPDX-License-Identifier: Apache-2.0
 *
 * Entries of a source into the tree and the writer: checks what they hold, decides what SquashFS cannot hold, and keeps count of
 * what it had to leave out or change.
 */
#ifndef SIMG_BUILDER_LOAD_H
#define SIMG_BUILDER_LOAD_H

#include "builder/tally.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct feed;
struct file;
struct hot_set;
struct piece;
struct progress;
struct reader;
struct source;
struct source_entry;
struct strlist;
struct tree;
struct target;

struct load {
	struct tree *tree;
	struct target *target;       /* NULL: the tree alone is wanted, of entries whose data comes later */
	struct progress *progress;
	struct hot_set *hot;         /* which files are stored for a fast start */
	uint64_t content_max_bytes;  /* of all files together, holes included */
	uint64_t content_bytes;      /* so far */
	uint32_t time_max;           /* no file gets a later time; UINT32_MAX: as they are */

	/* Draws the progress; called often. Set by load_source(), and by who calls load_feed() or load_data(). */
	void (*show)(struct load *load);
	const struct source *source;
	struct reader *reader;

	/* What is worth a note at the end: how many, and the first one's path. */
	struct tally sockets, xattrs, acls, times, variables;
};

/* Takes in all entries of a source that is already open. */
int load_source(struct load *load, const struct source *source, struct reader *reader, struct err *err);

/* Takes in one entry of a layer, whose data comes later: as the origin of its inode, layer and number are kept. */
int load_deferred(struct load *load, const struct source_entry *entry, uint32_t layer, uint32_t number, struct err *err);

/* Takes in the data of deferred files. */
int load_feed(struct load *load, struct feed *feed, struct err *err);

/* Takes in the data of one file, of which entry has path and length. read returns the next piece: 1, or 0 at the end. load_count()
 * is for files whose data goes to the target another way: it adds to content_bytes, and checks the sum. */
typedef int load_read(void *context, struct piece *ret_piece, struct err *err);
int load_data(struct load *load, const struct source_entry *entry, load_read *read, void *context, struct file **ret_file,
	      struct err *err);
int load_count(struct load *load, const char *path, uint64_t bytes, struct err *err);

/* Puts a file of the builder's own at path, owned by root, with the image's own time. mode is its permissions. */
int load_text(struct load *load, const char *path, uint16_t mode, const char *text, size_t bytes, struct err *err);

/* Adds the directories and files that a container runtime mounts on, where the tree has nothing of that name. */
int load_mount_points(struct load *load, struct err *err);

/* Counts the variables of an image configuration that a launch leaves out, for a note. */
void load_count_variables(struct load *load, const struct strlist *env);

/* Prints one note for each kind of thing that was left out or changed. */
void load_notes(const struct load *load);

#endif
