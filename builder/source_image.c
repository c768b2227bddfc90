/* SPDX-License-Identifier: Apache-2.0
 *
 * Images: SquashFS of any origin, Singularity 2.x, the system partition of a SIF. Entries come in the order of a directory's: names
 * sorted, a directory's content right behind it. So an image that was built of a directory gives the same image again.
 *
 * The image may be hostile. A directory that is reached twice is an error, so that no loop can hold the walk up; an inode with
 * several names is handed out once, and then by hard links.
 */
#include "builder/source_image.h"

#include "builder/image_data.h"
#include "builder/image_tables.h"
#include "builder/source.h"
#include "builder/tree.h"
#include "lib/err.h"
#include "lib/image.h"

#include <errno.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* A directory on the way to the current entry. */
struct level {
	struct level *up;
	size_t path_bytes;            /* of the directory's own path in reader->path */
	struct image_listing listing;
};

/* The first name of an inode that has several. */
struct first_name {
	uint32_t number;
	char path[];
};

struct reader {
	struct source_options options;
	struct image_tables *tables;
	struct image_data *data;
	struct level *level;          /* NULL: not begun, or done */
	bool begun;
	bool entering;                /* the current inode is a directory, to be entered next */
	struct image_inode inode;     /* the current one */
	struct image_entry entry;     /* its place in its directory */
	char *path;                   /* of the current entry, without "./" */
	size_t path_room;
	uint8_t *seen;                /* a bit for each inode */
	void *first_names;            /* tsearch(3) */
};

/* "#!" and a line, as Singularity 2.x put it before the superblock. */
static bool is_legacy(const uint8_t *head, size_t bytes)
{
	const uint8_t *end = bytes > 2 && memcmp(head, "#!", 2) == 0 ? memchr(head, '\n', bytes) : NULL;
	return end != NULL && (size_t)(end + 1 - head) + 4 <= bytes && memcmp(end + 1, "hsqs", 4) == 0;
}

static bool image_matches(mode_t mode, const uint8_t *head, size_t bytes)
{
	if (!S_ISREG(mode))
		return false;
	return (bytes >= 4 && memcmp(head, "hsqs", 4) == 0) || (bytes >= 42 && memcmp(head + 32, "SIF_MAGIC", 10) == 0) ||
	       is_legacy(head, bytes);
}

static int err_memory(struct err *err, const struct reader *reader)
{
	return err_sys(err, ENOMEM, "cannot read the image '%s'", reader->options.name);
}

static void image_close(struct reader *reader)
{
	if (reader == NULL)
		return;
	while (reader->level != NULL) {
		struct level *level = reader->level;
		reader->level = level->up;
		free(level);
	}
	tdestroy(reader->first_names, free);
	image_data_free(reader->data);
	image_tables_free(reader->tables);
	free(reader->seen);
	free(reader->path);
	free(reader);
}

static int image_prepare(struct reader *reader, struct err *err)
{
	const struct source_options *options = &reader->options;
	struct image image;
	int r = image_identify(options->fd, options->name, &image, err);
	if (r == 0 && image.format == IMAGE_SIF)
		r = image_sif_partition(options->fd, options->name, &image, err);
	if (r == 0)
		r = image_check(options->fd, options->name, &image, err);
	if (r == 0)
		r = image_tables_open(options->fd, options->name, &image, &reader->tables, err);
	if (r < 0)
		return r;
	reader->data = image_data_new(reader->tables, options->trusted);
	reader->seen = calloc(image.super.inode_count / 8 + 1, 1);
	reader->path_room = 64;
	reader->path = calloc(1, reader->path_room);
	return reader->data != NULL && reader->seen != NULL && reader->path != NULL ? 0 : err_memory(err, reader);
}

static int image_open(const struct source_options *options, struct reader **ret_reader, struct err *err)
{
	struct reader *reader = calloc(1, sizeof(*reader));
	if (reader == NULL)
		return err_sys(err, ENOMEM, "cannot read the image '%s'", options->name);
	reader->options = *options;
	int r = image_prepare(reader, err);
	if (r < 0) {
		image_close(reader);
		return r;
	}
	*ret_reader = reader;
	return 0;
}

static int level_push(struct reader *reader, struct err *err)
{
	struct level *level = malloc(sizeof(*level));
	if (level == NULL)
		return err_memory(err, reader);
	*level = (struct level){ .up = reader->level, .path_bytes = strlen(reader->path), .listing = reader->inode.listing };
	reader->level = level;
	return 0;
}

static void level_pop(struct reader *reader)
{
	struct level *level = reader->level;
	reader->level = level->up;
	free(level);
}

/* Also bounds the depth, since every level has a name. */
static int path_set(struct reader *reader, const char *name, struct err *err)
{
	size_t parent_bytes = reader->level->path_bytes, bytes = parent_bytes + 1 + strlen(name) + 1;
	if (bytes > PATH_BYTES_MAX)
		return image_damaged(reader->tables, "its directories are too deep", err);
	if (bytes > reader->path_room) {
		char *path = realloc(reader->path, bytes * 2);
		if (path == NULL)
			return err_memory(err, reader);
		reader->path = path;
		reader->path_room = bytes * 2;
	}
	snprintf(reader->path + parent_bytes, bytes - parent_bytes, parent_bytes > 0 ? "/%s" : "%s", name);
	reader->tables->place = reader->path;
	return 0;
}

static int compare_numbers(const void *a, const void *b)
{
	const struct first_name *x = a, *y = b;
	return x->number < y->number ? -1 : x->number > y->number;
}

/* Remembers the current path as the first name of the current inode, or finds the one before. */
static int first_name(struct reader *reader, const char **ret_path, struct err *err)
{
	size_t bytes = strlen(reader->path) + 1;
	struct first_name *own = malloc(sizeof(*own) + bytes);
	if (own == NULL)
		return err_memory(err, reader);
	own->number = reader->inode.number;
	memcpy(own->path, reader->path, bytes);
	struct first_name **found = tsearch(own, &reader->first_names, compare_numbers);
	if (found == NULL || *found != own)
		free(own);
	if (found == NULL)
		return err_memory(err, reader);
	*ret_path = (*found)->path;
	return 0;
}

/* Whether it can come again, under another name. */
static bool is_shared(const struct image_inode *inode)
{
	return inode->links >= 2 && !S_ISDIR(inode->mode) && !S_ISSOCK(inode->mode);
}

/* Whether the current inode was handed out before, under *ret_path. Sockets always count as new: they are left out of images. */
static int link_find(struct reader *reader, const char **ret_path, struct err *err)
{
	const struct image_inode *inode = &reader->inode;
	uint8_t *byte = &reader->seen[inode->number / 8], bit = (uint8_t)(1 << inode->number % 8);
	bool seen = (*byte & bit) != 0;
	*byte |= bit;
	if (seen && S_ISDIR(inode->mode))
		return image_damaged(reader->tables, "a directory that is reached twice", err);
	if (seen && inode->links < 2)
		return image_damaged(reader->tables, "a file with more names than it says", err);
	if (!is_shared(inode))
		return 0;
	int r = first_name(reader, ret_path, err);
	return r < 0 ? r : seen;
}

static int entry_fill(struct reader *reader, struct source_entry *entry, struct err *err)
{
	const struct image_inode *inode = &reader->inode;
	*entry = (struct source_entry){
		.path = reader->path[0] != '\0' ? reader->path : ".",
		.target = S_ISLNK(inode->mode) ? inode->target : NULL,
		.shared = is_shared(inode),
		.mode = inode->mode,
		.uid = inode->uid,
		.gid = inode->gid,
		.mtime = inode->mtime,
		.major = (inode->device >> 8) & 0xfff,
		.minor = (inode->device & 0xff) | ((inode->device >> 12) & 0xfff00),
		.bytes = inode->bytes,
	};
	return image_xattrs_read(reader->tables, inode->xattrs, &entry->xattrs, &entry->xattr_count, err);
}

/* Hands out the current inode under the current path. */
static int hand_inode(struct reader *reader, struct source_entry *entry, struct err *err)
{
	const char *first = NULL;
	int r = link_find(reader, &first, err);
	if (r < 0)
		return r;
	if (r > 0) {
		*entry = (struct source_entry){ .path = reader->path, .target = first, .hard_link = true };
		return 1;
	}
	reader->entering = S_ISDIR(reader->inode.mode);
	if (S_ISREG(reader->inode.mode))
		image_data_begin(reader->data, &reader->inode);
	r = entry_fill(reader, entry, err);
	return r < 0 ? r : 1;
}

static int hand_root(struct reader *reader, struct source_entry *entry, struct err *err)
{
	reader->begun = true;
	int r = image_inode_read(reader->tables, reader->tables->super.root_inode, &reader->inode, err);
	if (r < 0)
		return r;
	if (!S_ISDIR(reader->inode.mode))
		return image_damaged(reader->tables, "its root is no directory", err);
	return hand_inode(reader, entry, err);
}

/* The entry that was read last, with its inode. */
static int hand_entry(struct reader *reader, struct source_entry *entry, struct err *err)
{
	int r = path_set(reader, reader->entry.name, err);
	if (r == 0)
		r = image_inode_read(reader->tables, reader->entry.reference, &reader->inode, err);
	if (r < 0)
		return r;
	if (reader->inode.number != reader->entry.number) /* it would be taken for another file's second name */
		return image_damaged(reader->tables, "an entry for another inode", err);
	return hand_inode(reader, entry, err);
}

static int image_next(struct reader *reader, struct source_entry *ret_entry, struct err *err)
{
	if (!reader->begun)
		return hand_root(reader, ret_entry, err);
	if (reader->entering) {
		reader->entering = false;
		int r = level_push(reader, err);
		if (r < 0)
			return r;
	}
	while (reader->level != NULL) {
		reader->path[reader->level->path_bytes] = '\0'; /* the directory's, for messages */
		int r = image_entry_next(reader->tables, &reader->level->listing, &reader->entry, err);
		if (r != 0)
			return r < 0 ? r : hand_entry(reader, ret_entry, err);
		level_pop(reader);
	}
	return 0;
}

static int image_read(struct reader *reader, struct piece *ret_piece, struct err *err)
{
	return image_data_next(reader->data, ret_piece, err);
}

struct image_tables *source_image_tables(struct reader *reader)
{
	return reader->tables;
}

struct image_data *source_image_data(struct reader *reader)
{
	return reader->data;
}

const struct image_inode *source_image_inode(const struct reader *reader, uint64_t *ret_reference)
{
	*ret_reference = reader->entry.reference;
	return &reader->inode;
}

/* Blocks that files share are read again, so the image's length is a guess. */
static void image_progress(const struct reader *reader, uint64_t *ret_bytes, uint64_t *ret_total)
{
	uint64_t bytes = image_data_bytes(reader->data), total = reader->tables->super.used_bytes;
	*ret_bytes = bytes < total ? bytes : total;
	*ret_total = total;
}

const struct source source_image = {
	.name = "image",
	.matches = image_matches,
	.open = image_open,
	.next = image_next,
	.read = image_read,
	.progress = image_progress,
	.close = image_close,
};
