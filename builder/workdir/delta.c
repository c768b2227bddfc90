/* SPDX-License-Identifier: Apache-2.0
 *
 * Changes: see delta.h. A first walk compares directory and tree, and marks inodes of the tree that are changed: then all their
 * names are in the delta, and all directories above. A second one, the directory source's, leaves out what is neither marked nor
 * new.
 */
#include "builder/workdir/delta.h"

#include "builder/image_layer.h"
#include "builder/load.h"
#include "builder/source.h"
#include "builder/tree.h"
#include "builder/workdir/baseline.h"
#include "builder/workdir/work_walk.h"
#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/strlist.h"

#include <errno.h>
#include <linux/limits.h>
#include <stdlib.h>
#include <string.h>

/* An inode that has several names, to be found by what it is on disk. */
struct linked {
	uint64_t device, inode;
	struct baseline_inode *known;
};

struct delta {
	struct delta_options options;
	struct strlist left_out, gone;
	struct linked *linked;
	size_t linked_count;
};

static int err_memory(const struct delta *delta, struct err *err)
{
	return err_sys(err, ENOMEM, "cannot read the directory '%s'", delta->options.name);
}

static struct baseline_inode *known_of(const struct delta *delta, const struct node *node)
{
	return baseline_find(delta->options.baseline, node->inode);
}

/* --- paths that are left out --- */

static bool is_left_out(const struct delta *delta, const char *path)
{
	for (size_t i = 0; i < delta->left_out.count; i++)
		if (strcmp(delta->left_out.items[i], path) == 0)
			return true;
	return false;
}

static int left_out_take(struct delta *delta, struct err *err)
{
	for (const char *const *path = delta->options.left_out; path != NULL && *path != NULL; path++)
		if (strlist_add(&delta->left_out, *path) < 0)
			return err_memory(delta, err);
	return 0;
}

/* --- inodes with several names --- */

static int compare_linked(const void *a, const void *b)
{
	const struct linked *x = a, *y = b;
	if (x->device != y->device)
		return x->device < y->device ? -1 : 1;
	return x->inode < y->inode ? -1 : x->inode > y->inode;
}

static void linked_add(struct delta *delta, const struct node *node)
{
	struct baseline_inode *known = known_of(delta, node);
	if (!S_ISDIR(node->inode->mode) && node->inode->links > 1 && known->key.inode != 0)
		delta->linked[delta->linked_count++] = (struct linked){ known->key.device, known->key.inode, known };
}

/* Every name is in the list, so that an inode is there several times. */
static int linked_take(struct delta *delta, struct err *err)
{
	size_t count = 0;
	for (struct node *d = tree_root(delta->options.tree); d != NULL; d = tree_next_down(d))
		for (const struct node *child = d->inode->children; child != NULL; child = child->sibling)
			count += child->inode->links > 1;
	delta->linked = malloc((count + 1) * sizeof(*delta->linked));
	if (delta->linked == NULL)
		return err_memory(delta, err);
	for (struct node *d = tree_root(delta->options.tree); d != NULL; d = tree_next_down(d))
		for (const struct node *child = d->inode->children; child != NULL; child = child->sibling)
			linked_add(delta, child);
	qsort(delta->linked, delta->linked_count, sizeof(*delta->linked), compare_linked);
	return 0;
}

/* An inode that has a name that it did not have: it is to be found under its others, too. */
static void linked_change(struct delta *delta, const struct stat *st)
{
	struct linked wanted = { .device = st->st_dev, .inode = st->st_ino };
	struct linked *found = delta->linked_count == 0 ? NULL :
		bsearch(&wanted, delta->linked, delta->linked_count, sizeof(wanted), compare_linked);
	if (found != NULL)
		found->known->changed = true;
}

/* --- comparison --- */

static void directory_change(struct delta *delta, const struct work_walk *walk)
{
	const struct node *directory = walk->walk.level == NULL ? NULL : work_walk_directory(walk);
	if (directory != NULL)
		known_of(delta, directory)->changed = true;
}

/* A path of the tree that is not there. */
static int gone_add(struct delta *delta, const struct work_walk *walk, const char *name, struct err *err)
{
	const struct dir_level *level = walk->walk.level;
	autofree char *path = NULL;
	if (asprintf(&path, "%.*s/%s", (int)level->path_bytes, walk->walk.path, name) < 0)
		return err_memory(delta, err);
	const char *relative = path + 2; /* without "./" */
	if (is_left_out(delta, relative))
		return 0;
	known_of(delta, work_walk_directory(walk))->changed = true;
	return strlist_add(&delta->gone, relative) < 0 ? err_memory(delta, err) : 0;
}

/* What the directory that was just entered lacks. */
static int gone_find(struct delta *delta, const struct work_walk *walk, struct err *err)
{
	const struct node *directory = work_walk_directory(walk);
	if (directory == NULL)
		return 0;
	for (const struct node *child = directory->inode->children; child != NULL; child = child->sibling) {
		int r = dir_walk_has(&walk->walk, child->name) ? 0 : gone_add(delta, walk, child->name, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static bool is_unchanged(const struct delta *delta, const struct work_walk *walk)
{
	if (walk->node == NULL)
		return false;
	const struct baseline_inode *known = known_of(delta, walk->node);
	return baseline_holds(known, &walk->st) && known->key.birth_ns == walk->key.birth_ns &&
	       known->owner == baseline_owner(delta->options.owners, &walk->key);
}

/* Marks what a changed or new entry changes. */
static void change(struct delta *delta, const struct work_walk *walk)
{
	struct baseline_inode *known = walk->node == NULL ? NULL : known_of(delta, walk->node);
	bool is_same = known != NULL && known->key.inode == walk->st.st_ino && known->key.device == walk->st.st_dev;
	bool is_directory = known != NULL && S_ISDIR(walk->st.st_mode) && S_ISDIR(walk->node->inode->mode);
	if (is_same || is_directory)
		known->changed = true;
	else
		linked_change(delta, &walk->st);
	directory_change(delta, walk);
}

static int entry_leave_out(struct delta *delta, const struct work_walk *walk, struct err *err)
{
	return strlist_add(&delta->left_out, dir_walk_path(&walk->walk)) < 0 ? err_memory(delta, err) : 0;
}

static int entry_compare(struct delta *delta, struct work_walk *walk, struct err *err)
{
	if (is_left_out(delta, dir_walk_path(&walk->walk)))
		return 0;
	if (S_ISSOCK(walk->st.st_mode))
		return walk->node == NULL ? 0 : gone_add(delta, walk, walk->name, err);
	bool unchanged = is_unchanged(delta, walk);
	if (!unchanged && work_walk_is_mount(walk))
		return entry_leave_out(delta, walk, err);
	if (!unchanged)
		change(delta, walk);
	if (!S_ISDIR(walk->st.st_mode))
		return 0;
	int r = work_walk_enter(walk, err);
	return r <= 0 ? r : gone_find(delta, walk, err);
}

static int compare(struct delta *delta, struct err *err)
{
	const struct delta_options *options = &delta->options;
	struct work_walk walk;
	int r = work_walk_begin(&walk, options->root_fd, options->name, options->tree, err);
	while (r > 0) {
		r = entry_compare(delta, &walk, err);
		if (r == 0)
			r = work_walk_next(&walk, err);
	}
	work_walk_end(&walk);
	return r;
}

/* Directories on the way to what is marked. */
static void ways_mark(struct delta *delta)
{
	for (struct node *d = tree_deepest(tree_root(delta->options.tree)); d != NULL; d = tree_next_up(d))
		for (const struct node *child = d->inode->children; child != NULL; child = child->sibling)
			if (known_of(delta, child)->changed)
				known_of(delta, d)->changed = true;
}

int delta_find(const struct delta_options *options, struct delta **ret_delta, struct err *err)
{
	struct delta *delta = calloc(1, sizeof(*delta));
	if (delta == NULL)
		return err_sys(err, ENOMEM, "cannot read the directory '%s'", options->name);
	delta->options = *options;
	for (uint32_t i = 0; i < options->baseline->inode_count; i++)
		options->baseline->inodes[i].changed = false;
	int r = left_out_take(delta, err);
	if (r == 0)
		r = linked_take(delta, err);
	if (r == 0)
		r = compare(delta, err);
	if (r < 0) {
		delta_free(delta);
		return r;
	}
	ways_mark(delta);
	*ret_delta = delta;
	return 0;
}

bool delta_is_empty(const struct delta *delta)
{
	return !known_of(delta, tree_root(delta->options.tree))->changed;
}

/* --- the delta's tree --- */

/* Without following symlinks, unlike tree_find(). */
static const struct node *node_find(const struct tree *tree, const char *path)
{
	const struct node *node = tree_root(tree);
	char name[NAME_MAX + 1];
	while (node != NULL && *path != '\0') {
		size_t bytes = strcspn(path, "/");
		if (bytes > NAME_MAX || !S_ISDIR(node->inode->mode))
			return NULL;
		memcpy(name, path, bytes);
		name[bytes] = '\0';
		node = tree_child(tree, node, name);
		path += bytes + (path[bytes] == '/');
	}
	return node;
}

static bool skip(void *context, const char *path, const struct stat *st)
{
	const struct delta *delta = context;
	if (is_left_out(delta, path) || S_ISSOCK(st->st_mode))
		return true;
	const struct node *node = node_find(delta->options.tree, path);
	return node != NULL && !known_of(delta, node)->changed && baseline_holds(known_of(delta, node), st);
}

static int entries_load(struct delta *delta, struct load *load, struct err *err)
{
	struct reader *reader = NULL;
	const struct source_options options = {
		.name = delta->options.name,
		.fd = delta->options.root_fd,
		.trusted = true,
		.progress = load->progress,
		.quiet = true,
		.owners = delta->options.owners,
		.skip = skip,
		.skip_context = delta,
	};
	int r = source_directory.open(&options, &reader, err);
	if (r == 0)
		r = load_source(load, &source_directory, reader, err);
	source_directory.close(reader);
	return r;
}

static int whiteouts_add(const struct delta *delta, struct tree *tree, struct err *err)
{
	struct xattr xattr = { .name = DELTA_WHITEOUT_XATTR, .value = "y", .value_bytes = 1 };
	struct inode inode = { .mode = S_IFCHR };
	struct node *node;
	int r = 0;
	inode.xattrs = xattr_intern(tree_xattrs(tree), tree_arena(tree), &xattr, 1);
	if (inode.xattrs == NULL)
		return err_memory(delta, err);
	for (size_t i = 0; r == 0 && i < delta->gone.count; i++)
		r = tree_insert(tree, delta->gone.items[i], &inode, &node, err);
	return r;
}

int delta_load(struct delta *delta, struct load *load, struct err *err)
{
	int r = entries_load(delta, load, err);
	return r < 0 ? r : whiteouts_add(delta, load->tree, err);
}

void delta_free(struct delta *delta)
{
	if (delta == NULL)
		return;
	strlist_free(&delta->left_out);
	strlist_free(&delta->gone);
	free(delta->linked);
	free(delta);
}
