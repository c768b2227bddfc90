/* SPDX-License-Identifier: Apache-2.0
 *
 * One of two trees, path after path: see diff_side.h.
 */
#include "builder/diff_side.h"

#include "builder/subject.h"
#include "lib/cleanup.h"
#include "lib/err.h"

#include <endian.h>
#include <errno.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { BLOCK_BYTES = 4096 }; /* most files are small, and a whole block is hashed */
#define SHARED_BYTES_MAX ((size_t)1 << 30) /* about three million files with several names */

/* Directories' readers name files alone, and advise on building. */
static int err_side(const struct diff_side *side, int result, struct err *err)
{
	if (result >= 0 || side->source != &source_directory)
		return result;
	err->hint[0] = '\0';
	err_prefix(err, "'%s'", side->name);
	if (result == -EACCES || result == -EPERM)
		return err_hint(err, "compare as a user who may read all of the directory");
	return result;
}

static int err_memory(struct err *err)
{
	return err_sys(err, ENOMEM, "cannot compare");
}

/* --- content --- */

/* A file's content, in blocks of which those that are zeros do not count, whether they are stored or holes. */
struct sum {
	struct hash *hash;
	uint64_t number; /* of the block that is being filled */
	uint8_t block[BLOCK_BYTES];
};

static const uint8_t zeros[BLOCK_BYTES];

static void block_end(struct sum *sum)
{
	uint64_t number = htole64(sum->number);
	if (memcmp(sum->block, zeros, BLOCK_BYTES) == 0)
		return;
	hash_add(sum->hash, &number, sizeof(number));
	hash_add(sum->hash, sum->block, BLOCK_BYTES);
	memset(sum->block, 0, BLOCK_BYTES);
}

static void sum_add(struct sum *sum, const struct piece *piece)
{
	const uint8_t *data = piece->data;
	for (size_t done = 0; done < piece->bytes;) {
		uint64_t at = piece->offset + done;
		size_t within = (size_t)(at % BLOCK_BYTES), room = BLOCK_BYTES - within, left = piece->bytes - done;
		if (at / BLOCK_BYTES != sum->number)
			block_end(sum);
		sum->number = at / BLOCK_BYTES;
		memcpy(sum->block + within, data + done, left < room ? left : room);
		done += left < room ? left : room;
	}
}

int diff_content(const struct source *source, struct reader *reader, struct digest *ret_digest, struct err *err)
{
	autofree struct sum *sum = calloc(1, sizeof(*sum));
	struct piece piece;
	int r = sum == NULL || (sum->hash = hash_new(NULL)) == NULL ? err_memory(err) : 1;
	while (r > 0 && (r = source->read(reader, &piece, err)) > 0)
		sum_add(sum, &piece);
	if (r == 0) {
		block_end(sum);
		hash_digest(sum->hash, ret_digest);
	}
	if (sum != NULL)
		hash_free(sum->hash);
	return r;
}

/* --- facts --- */

static int compare_xattrs(const void *a, const void *b)
{
	return strcmp(((const struct xattr *)a)->name, ((const struct xattr *)b)->name);
}

/* Attributes as one piece of memory, whose size does not depend on that of the values. The caller frees. */
static char *xattrs_format(const struct source_entry *entry, size_t *ret_bytes)
{
	char *text = NULL;
	FILE *out = open_memstream(&text, ret_bytes);
	if (out == NULL)
		return NULL;
	if (entry->xattr_count > 0)
		qsort(entry->xattrs, entry->xattr_count, sizeof(*entry->xattrs), compare_xattrs);
	for (size_t i = 0; i < entry->xattr_count; i++) {
		struct digest digest;
		digest_of(entry->xattrs[i].value, entry->xattrs[i].value_bytes, &digest);
		fprintf(out, "%s%c%s%c", entry->xattrs[i].name, 0, digest.text, 0);
	}
	bool failed = ferror(out) != 0;
	if (fclose(out) == 0 && !failed)
		return text;
	free(text);
	return NULL;
}

static int facts_fill(struct diff_side *side, const struct source_entry *entry, struct diff_facts *facts, struct err *err)
{
	*facts = (struct diff_facts){
		.mode = entry->mode,
		.major = entry->major,
		.minor = entry->minor,
		.uid = entry->uid,
		.gid = entry->gid,
		.mtime = entry->mtime,
		.bytes = S_ISREG(entry->mode) ? entry->bytes : 0,
		.target = S_ISLNK(entry->mode) ? entry->target : NULL,
	};
	free(side->xattrs);
	side->xattrs = xattrs_format(entry, &facts->xattrs_bytes);
	facts->xattrs = side->xattrs;
	return side->xattrs != NULL ? 0 : err_memory(err);
}

/* --- files with several names --- */

static int compare_shared(const void *a, const void *b)
{
	return strcmp(((const struct diff_shared *)a)->path, ((const struct diff_shared *)b)->path);
}

static const void *arena_copy(struct arena *arena, const void *data, size_t bytes)
{
	void *copy = arena_alloc(arena, bytes + 1);
	return copy == NULL ? NULL : memcpy(copy, data, bytes);
}

/* Keeps what is known of the current file for its other names. */
static int shared_add(struct diff_side *side, const char *path, struct err *err)
{
	struct diff_facts *facts = &side->own;
	int r = S_ISREG(facts->mode) ? diff_content(side->source, side->reader, &facts->content, err) : 0;
	if (r < 0)
		return r;
	struct diff_shared *shared = arena_alloc(&side->arena, sizeof(*shared));
	if (shared == NULL)
		return err_memory(err);
	*shared = (struct diff_shared){ .path = arena_strdup(&side->arena, path), .facts = *facts };
	shared->facts.xattrs = arena_copy(&side->arena, facts->xattrs, facts->xattrs_bytes);
	if (facts->target != NULL)
		shared->facts.target = arena_strdup(&side->arena, facts->target);
	if (shared->path == NULL || shared->facts.xattrs == NULL || (facts->target != NULL && shared->facts.target == NULL) ||
	    tsearch(shared, &side->table, compare_shared) == NULL)
		return err_memory(err);
	side->shared = shared;
	side->facts = &shared->facts;
	return 0;
}

/* What the first name of the current path's file was found to be. */
static int shared_find(struct diff_side *side, const char *first, struct err *err)
{
	const struct diff_shared wanted = { .path = first };
	struct diff_shared *const *found = tfind(&wanted, &side->table, compare_shared);
	if (found == NULL)
		return err_set(err, EBADMSG, "'%s' is a hard link to '%s', which was not there before", side->path, first);
	side->shared = *found;
	side->facts = &side->shared->facts;
	side->linked = true;
	return 0;
}

/* --- the walk --- */

int diff_side_open(const struct subject *subject, struct diff_side *ret_side, struct err *err)
{
	/* Whatever an image expands to, it is read and dropped. */
	const struct source_options options = { .name = subject->path, .fd = subject->fd, .trusted = true, .quiet = true };
	struct diff_side *side = ret_side;
	*side = (struct diff_side){ .name = subject->path, .arena.limit_bytes = SHARED_BYTES_MAX, .done = true };
	side->source = subject->image.format == IMAGE_DIRECTORY ? &source_directory : &source_image;
	return err_side(side, side->source->open(&options, &side->reader, err), err);
}

/* "./a" and "a" are the same, and "." is the root. */
static const char *path_of(const char *path)
{
	if (path[0] == '.' && path[1] == '/')
		return path + 2;
	return strcmp(path, ".") == 0 ? "" : path;
}

int diff_side_next(struct diff_side *side, struct err *err)
{
	struct source_entry entry;
	int r = side->source->next(side->reader, &entry, err);
	side->done = r <= 0;
	side->shared = NULL;
	side->linked = false;
	side->facts = &side->own;
	if (r <= 0)
		return err_side(side, r, err);
	side->path = path_of(entry.path);
	if (entry.hard_link)
		return shared_find(side, path_of(entry.target), err);
	r = facts_fill(side, &entry, &side->own, err);
	return r == 0 && entry.shared ? err_side(side, shared_add(side, side->path, err), err) : r;
}

int diff_side_read(struct diff_side *side, struct err *err)
{
	if (side->shared != NULL || !S_ISREG(side->own.mode) || digest_is_set(&side->own.content))
		return 0;
	return err_side(side, diff_content(side->source, side->reader, &side->own.content, err), err);
}

/* A slash comes before every other byte, and the end before that. */
int diff_path_compare(const char *a, const char *b)
{
	while (*a != '\0' && *a == *b) {
		a++;
		b++;
	}
	int x = *a == '/' ? 1 : *a == '\0' ? 0 : (unsigned char)*a + 2;
	int y = *b == '/' ? 1 : *b == '\0' ? 0 : (unsigned char)*b + 2;
	return x - y;
}

static void shared_forget(void *shared)
{
	(void)shared; /* the arena's */
}

void diff_side_close(struct diff_side *side)
{
	if (side->source != NULL)
		side->source->close(side->reader);
	tdestroy(side->table, shared_forget);
	arena_free(&side->arena);
	free(side->xattrs);
	*side = (struct diff_side)DIFF_SIDE_INIT;
}
