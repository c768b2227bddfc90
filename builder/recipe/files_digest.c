/* SPDX-License-Identifier: Apache-2.0
 *
 * A digest of what a section %files copies: see files.h. Every piece ends with a zero byte, which no name has.
 */
#include "builder/oci/digest.h"
#include "builder/recipe/files_internal.h"
#include "builder/recipe/links.h"
#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/strlist.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

enum { READ_BYTES = 256 << 10 };

struct state {
	struct hash *hash;
	struct links links;
};

static void add(struct hash *hash, const char *text)
{
	hash_add(hash, text, strlen(text) + 1);
}

/* --- content --- */

static int content_read(int fd, struct hash *hash)
{
	autofree char *buffer = malloc(READ_BYTES);
	if (buffer == NULL)
		return -ENOMEM;
	for (;;) {
		ssize_t n = read(fd, buffer, READ_BYTES);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : 0;
		hash_add(hash, buffer, (size_t)n);
	}
}

static int content_add(struct state *state, const struct walk_file *file, struct err *err)
{
	struct hash *content = hash_new(NULL);
	struct digest digest;
	int r = content == NULL ? -ENOMEM : content_read(file->fd, content);
	if (r == 0) {
		hash_digest(content, &digest);
		add(state->hash, digest.text);
	}
	hash_free(content);
	return r < 0 ? err_sys(err, -r, "cannot read '%s'", file->path) : 0;
}

/* --- files --- */

static void time_add(struct state *state, const struct stat *st)
{
	char text[64];
	snprintf(text, sizeof(text), "%" PRId64 ".%09ld", (int64_t)st->st_mtim.tv_sec, st->st_mtim.tv_nsec);
	add(state->hash, text);
}

static void head_add(struct state *state, const struct walk_file *file, const char *word)
{
	char text[32];
	snprintf(text, sizeof(text), "%o", (unsigned)file->st.st_mode);
	add(state->hash, word);
	add(state->hash, file->path);
	add(state->hash, text);
}

/* A further name of a file that was read before is only that. */
static int visit_file(void *data, const struct walk_file *file, struct err *err)
{
	struct state *state = data;
	const struct link_name *first = file->is_link ? links_find(&state->links, &file->st) : NULL;
	head_add(state, file, first != NULL ? "link" : "file");
	if (first != NULL) {
		add(state->hash, first->path);
		return 0;
	}
	char size[32];
	snprintf(size, sizeof(size), "%" PRId64, (int64_t)file->st.st_size);
	add(state->hash, size);
	time_add(state, &file->st);
	if (file->is_link && links_add(&state->links, &file->st, file->path, 0) < 0)
		return err_sys(err, ENOMEM, "cannot read '%s'", file->path);
	return content_add(state, file, err);
}

static int visit_enter(void *data, const struct walk_file *file, struct err *err)
{
	(void)err;
	head_add(data, file, "directory");
	return 0;
}

/* The build itself changes the time of a directory in which it writes. */
static int visit_leave(void *data, const struct walk_file *file, struct err *err)
{
	struct state *state = data;
	(void)err;
	add(state->hash, "end");
	if (!file->left_out)
		time_add(state, &file->st);
	return 0;
}

/* --- entries --- */

static int sources_add(struct state *state, const struct files_entry *entry, const struct walk_source *source, struct err *err)
{
	struct walk_visitor visitor = { .data = state, .file = visit_file, .enter = visit_enter, .leave = visit_leave };
	autostrlist struct strlist paths = { 0 };
	int r = files_expand(entry, source, &paths, err);
	for (size_t i = 0; i < paths.count && r == 0; i++) {
		add(state->hash, "source");
		r = walk_run(source, paths.items[i], &visitor, err);
	}
	links_free(&state->links);
	return r;
}

int files_digest(const struct files_list *list, const struct walk_source *source, struct hash *hash, struct err *err)
{
	struct state state = { .hash = hash };
	add(hash, "%files 1");
	for (size_t i = 0; i < list->count; i++) {
		const struct files_entry *entry = &list->entries[i];
		add(hash, "entry");
		add(hash, entry->source);
		add(hash, entry->destination != NULL ? entry->destination : "");
		if (!source->is_stage && sources_add(&state, entry, source, err) < 0)
			return files_failed(list, entry, err);
	}
	return 0;
}
