/* SPDX-License-Identifier: Apache-2.0
 *
 * One layer into the tree: see merge.h.
 */
#include "builder/oci/merge.h"

#include "builder/load.h"
#include "builder/oci/index.h"
#include "builder/tree.h"
#include "lib/cleanup.h"
#include "lib/err.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static const char WHITEOUT[] = ".wh.", OPAQUE[] = ".wh..wh..opq", AUFS[] = ".wh..wh.";

/* The last name of a path, without a slash behind it. Returns its length. */
static size_t last_name(const char *path, const char **ret_name)
{
	size_t length = strlen(path);
	while (length > 0 && path[length - 1] == '/')
		length--;
	size_t begin = length;
	while (begin > 0 && path[begin - 1] != '/')
		begin--;
	*ret_name = path + begin;
	return length - begin;
}

static bool name_is(const char *name, size_t length, const char *other)
{
	return length == strlen(other) && memcmp(name, other, length) == 0;
}

static bool is_whiteout(const char *path)
{
	const char *name;
	size_t length = last_name(path, &name);
	return length >= sizeof(WHITEOUT) - 1 && memcmp(name, WHITEOUT, sizeof(WHITEOUT) - 1) == 0;
}

/* What AUFS keeps for itself at the root of a layer, which old tools packed, too. */
static bool is_aufs(const char *path)
{
	while (path[0] == '/' || (path[0] == '.' && path[1] == '/'))
		path++;
	return strncmp(path, AUFS, sizeof(AUFS) - 1) == 0 && strcmp(path, OPAQUE) != 0;
}

/* path is writable, and what stands before its last name is the directory. */
static int whiteout_apply(struct tree *tree, char *path, struct err *err)
{
	const char *end;
	size_t length = last_name(path, &end);
	char *name = path + (end - path);
	if (name_is(name, length, OPAQUE))
		return tree_clear(tree, path, err);
	size_t hidden = length - (sizeof(WHITEOUT) - 1);
	const char *hidden_name = name + sizeof(WHITEOUT) - 1;
	if (hidden == 0 || name_is(hidden_name, hidden, ".") || name_is(hidden_name, hidden, ".."))
		return err_set(err, EBADMSG, "the whiteout '%s' names no file", path);
	memmove(name, hidden_name, hidden);
	name[hidden] = '\0';
	return tree_remove(tree, path, err);
}

static int whiteout_take(struct load *load, const struct source_entry *entry, struct err *err)
{
	autofree char *path = strdup(entry->path);
	return path == NULL ? err_sys(err, ENOMEM, "cannot merge the layers") : whiteout_apply(load->tree, path, err);
}

/* Attributes that belong to the machine that the layer was made on, not to the image. */
static bool is_foreign(const char *name)
{
	static const char *const exact[] = { "security.selinux", "security.ima", "security.evm", "system.nfs4_acl" };
	static const char *const prefixes[] = { "trusted.overlay.", "user.overlay." };
	for (size_t i = 0; i < sizeof(exact) / sizeof(exact[0]); i++)
		if (strcmp(name, exact[i]) == 0)
			return true;
	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
		if (strncmp(name, prefixes[i], strlen(prefixes[i])) == 0)
			return true;
	return false;
}

static void xattrs_strip(struct source_entry *entry)
{
	size_t kept = 0;
	for (size_t i = 0; i < entry->xattr_count; i++)
		if (!is_foreign(entry->xattrs[i].name))
			entry->xattrs[kept++] = entry->xattrs[i];
	entry->xattr_count = kept;
}

static int entry_take(struct load *load, struct source_entry *entry, uint32_t layer, uint64_t number, struct err *err)
{
	if (is_aufs(entry->path))
		return 0;
	if (is_whiteout(entry->path))
		return whiteout_take(load, entry, err);
	xattrs_strip(entry);
	return load_deferred(load, entry, layer, (uint32_t)number, err);
}

/* In the order of the layer: a path may lead through a symlink, and a hard link to a file, that goes or comes later. */
int merge_layer(struct load *load, const struct index *index, uint32_t number, const char *name, struct err *err)
{
	struct index_cursor cursor = { .index = index };
	struct source_entry entry;
	int r;
	tree_layer_begin(load->tree);
	while ((r = index_next(&cursor, &entry, err)) > 0) {
		r = entry_take(load, &entry, number, cursor.entry, err);
		if (r < 0)
			break;
	}
	tree_sweep(load->tree);
	index_cursor_free(&cursor);
	return r < 0 ? err_prefix(err, "%s", name) : r;
}
