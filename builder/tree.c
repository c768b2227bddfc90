/* SPDX-License-Identifier: Apache-2.0
 *
 * The tree in memory: see tree.h. Children hang in an unsorted list and are found through one hash table of (parent, name); they
 * are sorted once, at the end. Paths are the source's and hostile: no recursion, and every length is bounded.
 */
#include "builder/tree.h"

#include "builder/arena.h"
#include "lib/cleanup.h"
#include "lib/err.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { FIRST_BUCKETS = 1024, SYMLINK_HOPS_MAX = 40 };
#define TREE_BYTES_MAX ((size_t)2 << 30)

struct tree {
	struct arena arena;
	struct xattr_table xattrs;
	struct node **buckets;
	size_t bucket_count, node_count;
	struct node *root;
	uint32_t layer;
	bool killed; /* there are nodes without an inode */
};

/* Where a path leads: the directory, and the name in it, which may not exist. An empty name is the directory itself. */
struct place {
	struct node *directory;
	char name[NAME_BYTES_MAX + 1];
};

static int err_memory(struct err *err)
{
	err_set(err, ENOMEM, "the file tree does not fit in memory");
	return err_hint(err, "about ten million files do");
}

static size_t bucket_of(const struct tree *tree, const struct node *parent, const char *name)
{
	uint64_t h = (uint64_t)(uintptr_t)parent * 0x9e3779b97f4a7c15u;
	for (; *name != '\0'; name++)
		h = (h ^ (unsigned char)*name) * 1099511628211u;
	return (h ^ (h >> 32)) % tree->bucket_count;
}

static int grow(struct tree *tree)
{
	struct node **old = tree->buckets;
	size_t old_count = tree->bucket_count;
	struct node **buckets = calloc(old_count * 2 + FIRST_BUCKETS, sizeof(*buckets));
	if (buckets == NULL)
		return -1;
	tree->buckets = buckets;
	tree->bucket_count = old_count * 2 + FIRST_BUCKETS;
	for (size_t i = 0; i < old_count; i++) {
		for (struct node *node = old[i], *next; node != NULL; node = next) {
			struct node **bucket = &buckets[bucket_of(tree, node->parent, node->name)];
			next = node->chain;
			node->chain = *bucket;
			*bucket = node;
		}
	}
	free(old);
	return 0;
}

struct node *tree_child(const struct tree *tree, const struct node *parent, const char *name)
{
	struct node *node = tree->buckets[bucket_of(tree, parent, name)];
	while (node != NULL && (node->parent != parent || strcmp(node->name, name) != 0))
		node = node->chain;
	return node;
}

static struct node *child_add(struct tree *tree, struct node *parent, const char *name)
{
	if (tree->node_count >= tree->bucket_count && grow(tree) < 0)
		return NULL;
	size_t name_bytes = strlen(name) + 1;
	struct node *node = arena_alloc(&tree->arena, sizeof(*node) + name_bytes);
	if (node == NULL)
		return NULL;
	memcpy(node->name, name, name_bytes);
	node->parent = parent;
	node->sibling = parent->inode->children;
	parent->inode->children = node;
	struct node **bucket = &tree->buckets[bucket_of(tree, parent, name)];
	node->chain = *bucket;
	*bucket = node;
	tree->node_count++;
	return node;
}

static void unhash(struct tree *tree, const struct node *node)
{
	struct node **slot = &tree->buckets[bucket_of(tree, node->parent, node->name)];
	while (*slot != node)
		slot = &(*slot)->chain;
	*slot = node->chain;
	tree->node_count--;
}

/* Takes everything below a directory out of the hash table. The nodes stay in the arena; nothing leads to them. */
static void clear_below(struct tree *tree, struct node *top)
{
	struct node *node = top;
	for (;;) {
		while (node->inode != NULL && S_ISDIR(node->inode->mode) && node->inode->children != NULL) {
			struct node *child = node->inode->children;
			node->inode->children = child->sibling;
			node = child;
		}
		if (node == top)
			return;
		if (node->inode != NULL)
			unhash(tree, node);
		node = node->parent;
	}
}

static struct inode *implicit_directory(struct tree *tree)
{
	struct inode *inode = arena_alloc(&tree->arena, sizeof(*inode));
	if (inode != NULL)
		*inode = (struct inode){ .mode = S_IFDIR | 0755, .implicit = true };
	return inode;
}

struct tree *tree_new(void)
{
	struct tree *tree = calloc(1, sizeof(*tree));
	if (tree == NULL)
		return NULL;
	tree->arena.limit_bytes = TREE_BYTES_MAX;
	tree->root = arena_alloc(&tree->arena, sizeof(*tree->root) + 1);
	if (tree->root == NULL || (tree->root->inode = implicit_directory(tree)) == NULL || grow(tree) < 0) {
		tree_free(tree);
		return NULL;
	}
	return tree;
}

void tree_free(struct tree *tree)
{
	if (tree == NULL)
		return;
	xattr_table_free(&tree->xattrs);
	arena_free(&tree->arena);
	free(tree->buckets);
	free(tree);
}

struct node *tree_root(const struct tree *tree)
{
	return tree->root;
}

struct arena *tree_arena(struct tree *tree)
{
	return &tree->arena;
}

struct xattr_table *tree_xattrs(struct tree *tree)
{
	return &tree->xattrs;
}

/* The start of the first component that is not ".", or the end of the text. */
static const char *skip_empty(const char *rest)
{
	for (;;) {
		while (*rest == '/')
			rest++;
		if (rest[0] != '.' || (rest[1] != '/' && rest[1] != '\0'))
			return rest;
		rest++;
	}
}

/* Cuts the last component off a cleaned path. Returns how long it is then. */
static size_t component_drop(const char *clean, size_t length)
{
	do
		length--;
	while (length > 0 && clean[length] != '/');
	return length;
}

/* ".." in a source's path takes back the name before it, as text, whatever that is in the tree: so do other tools. In a symlink's
 * target it is the parent directory. The caller frees. */
static int path_clean(const char *path, char **ret_clean, struct err *err)
{
	if (strlen(path) > PATH_BYTES_MAX)
		return err_set(err, ENAMETOOLONG, "the path '%.64s…' has %zu bytes, at most %d are supported", path, strlen(path),
			       PATH_BYTES_MAX);
	autofree char *clean = malloc(strlen(path) + 1);
	size_t used = 0, length;
	if (clean == NULL)
		return err_memory(err);
	for (const char *rest = path; *(rest = skip_empty(rest)) != '\0'; rest += length) {
		length = strcspn(rest, "/");
		bool up = length == 2 && memcmp(rest, "..", 2) == 0;
		if (up && used == 0)
			return err_set(err, EINVAL, "the path '%s' leads out of the tree with '..'", path);
		if (length > NAME_BYTES_MAX)
			return err_set(err, ENAMETOOLONG, "a name in the path '%.64s…' has %zu bytes, at most %d are possible", path,
				       length, NAME_BYTES_MAX);
		if (up) {
			used = component_drop(clean, used);
			continue;
		}
		if (used > 0)
			clean[used++] = '/';
		memcpy(clean + used, rest, length);
		used += length;
	}
	clean[used] = '\0';
	*ret_clean = steal_ptr(&clean);
	return 0;
}

/* Puts the symlink's target before the rest of the path. */
static char *expand(const char *target, const char *rest)
{
	char *joined;
	return asprintf(&joined, "%s/%s", target, rest) < 0 ? NULL : joined;
}

/* Where a walk is. What is not there is made, or else only counted: the directory is then the last one that is there. */
struct walk {
	struct tree *tree;
	struct node *directory;
	size_t absent; /* how many of the last steps led to what had not been there */
	bool make;
};

/* Steps to the child name of the directory. *ret_target is set if it is a symlink. */
static int step(struct walk *walk, const char *name, const char **ret_target)
{
	struct node *child = walk->absent > 0 ? NULL : tree_child(walk->tree, walk->directory, name);
	if (child == NULL) {
		walk->absent++;
		if (!walk->make)
			return 0;
		struct inode *inode = implicit_directory(walk->tree);
		if (inode == NULL || (child = child_add(walk->tree, walk->directory, name)) == NULL)
			return -ENOMEM;
		child->inode = inode;
	}
	if (S_ISLNK(child->inode->mode))
		*ret_target = child->inode->target;
	else if (S_ISDIR(child->inode->mode))
		walk->directory = child;
	else
		return -ENOTDIR;
	return 0;
}

/* Steps to the parent: the root's is the root. A directory that was made only to leave it again goes. */
static void step_up(struct walk *walk)
{
	struct node *left = walk->directory;
	bool was_absent = walk->absent > 0;
	walk->absent -= was_absent;
	if ((was_absent && !walk->make) || left->parent == NULL)
		return;
	walk->directory = left->parent;
	if (was_absent) {
		unhash(walk->tree, left);
		walk->directory->inode->children = left->sibling; /* the newest is the first */
	}
}

/* Cuts the first component off the rest of a path. */
static int component_take(const char **rest, char name[NAME_BYTES_MAX + 1])
{
	size_t length = strcspn(*rest, "/");
	if (length > NAME_BYTES_MAX)
		return -ENAMETOOLONG;
	memcpy(name, *rest, length);
	name[length] = '\0';
	*rest = skip_empty(*rest + length);
	return 0;
}

/* Walks to the directory of a cleaned path. Returns a bare negative errno. */
static int walk(struct tree *tree, const char *path, bool make, struct place *ret_place)
{
	struct walk walk = { .tree = tree, .directory = tree->root, .make = make };
	autofree char *expanded = NULL;
	const char *rest = skip_empty(path);
	char name[NAME_BYTES_MAX + 1] = "";

	for (int hops = 0; *rest != '\0';) {
		const char *target = NULL;
		int r = component_take(&rest, name);
		if (r == 0 && strcmp(name, "..") == 0)
			step_up(&walk);
		else if (r == 0 && *rest == '\0')
			break;
		else if (r == 0)
			r = step(&walk, name, &target);
		name[0] = '\0';
		if (r < 0)
			return r;
		if (target == NULL)
			continue;
		if (++hops > SYMLINK_HOPS_MAX)
			return -ELOOP;
		char *joined = expand(target, rest);
		if (joined == NULL)
			return -ENOMEM;
		free(expanded);
		expanded = joined;
		rest = skip_empty(expanded);
		walk.directory = target[0] == '/' ? tree->root : walk.directory;
	}
	if (walk.absent > 0 && !make)
		return -ENOENT;
	ret_place->directory = walk.directory;
	memcpy(ret_place->name, name, sizeof(name));
	return 0;
}

static int walk_failed(int code, const char *path, struct err *err)
{
	switch (-code) {
	case ENOMEM:
		return err_memory(err);
	case ENOTDIR:
		return err_set(err, ENOTDIR, "the path '%s' leads through a file that is no directory", path);
	case ELOOP:
		return err_set(err, ELOOP, "the path '%s' leads through more than %d symlinks", path, SYMLINK_HOPS_MAX);
	default:
		return err_sys(err, -code, "cannot follow the path '%s'", path);
	}
}

static int attributes_check(const char *path, const struct inode *attributes, struct err *err)
{
	if (!S_ISLNK(attributes->mode))
		return 0;
	size_t length = strlen(attributes->target);
	if (length == 0)
		return err_set(err, EINVAL, "the symlink '%s' has an empty target", path);
	if (length > TARGET_BYTES_MAX)
		return err_set(err, ENAMETOOLONG, "the target of the symlink '%s' has %zu bytes, Linux allows %d", path, length,
			       TARGET_BYTES_MAX);
	return 0;
}

/* A directory's children stay its own when it gets new attributes. */
static void directory_update(struct inode *inode, const struct inode *attributes)
{
	struct node *children = inode->children;
	*inode = *attributes;
	inode->children = children;
}

/* The node, and so all that is above it, belongs to the current layer. */
static void belong(const struct tree *tree, struct node *node)
{
	for (; node != NULL && node->layer != tree->layer; node = node->parent)
		node->layer = tree->layer;
}

/* The node for a name in a directory, new or emptied of what it named. */
static struct node *node_claim(struct tree *tree, const struct place *place)
{
	struct node *node = tree_child(tree, place->directory, place->name);
	if (node == NULL)
		return child_add(tree, place->directory, place->name);
	if (S_ISDIR(node->inode->mode))
		clear_below(tree, node);
	return node;
}

static struct inode *inode_copy(struct tree *tree, const struct inode *attributes)
{
	struct inode *inode = arena_alloc(&tree->arena, sizeof(*inode));
	if (inode == NULL)
		return NULL;
	*inode = *attributes;
	if (S_ISLNK(inode->mode))
		inode->target = arena_strdup(&tree->arena, inode->target);
	return S_ISLNK(inode->mode) && inode->target == NULL ? NULL : inode;
}

int tree_insert(struct tree *tree, const char *path, const struct inode *attributes, struct node **ret_node, struct err *err)
{
	struct place place;
	autofree char *clean = NULL;
	int r = path_clean(path, &clean, err);
	if (r == 0)
		r = attributes_check(path, attributes, err);
	if (r < 0)
		return r;
	r = walk(tree, clean, true, &place);
	if (r < 0)
		return walk_failed(r, path, err);

	struct node *there = place.name[0] == '\0' ? place.directory : tree_child(tree, place.directory, place.name);
	if (there != NULL && S_ISDIR(there->inode->mode) && S_ISDIR(attributes->mode)) {
		directory_update(there->inode, attributes);
		belong(tree, there);
		*ret_node = there;
		return 0;
	}
	if (place.name[0] == '\0')
		return err_set(err, EINVAL, "the root of the tree, '%s', is no directory in the source", path);

	struct inode *inode = inode_copy(tree, attributes);
	struct node *node = inode == NULL ? NULL : node_claim(tree, &place);
	if (node == NULL)
		return err_memory(err);
	node->inode = inode;
	belong(tree, node);
	*ret_node = node;
	return 0;
}

int tree_link(struct tree *tree, const char *path, const char *target, struct node **ret_node, struct err *err)
{
	autofree char *clean = NULL, *clean_target = NULL;
	int r = path_clean(path, &clean, err);
	if (r == 0)
		r = path_clean(target, &clean_target, err);
	if (r < 0)
		return r;
	struct node *origin = tree_find(tree, clean_target);
	if (origin == NULL)
		return err_set(err, ENOENT, "the hard link '%s' points to '%s', which does not exist", path, target);
	if (S_ISDIR(origin->inode->mode))
		return err_set(err, EISDIR, "the hard link '%s' points to '%s', which is a directory", path, target);
	struct place place;
	r = walk(tree, clean, true, &place);
	if (r < 0)
		return walk_failed(r, path, err);
	if (place.name[0] == '\0')
		return err_set(err, EINVAL, "the root of the tree, '%s', is no directory in the source", path);
	struct inode *inode = origin->inode; /* claiming the name may remove the origin */
	struct node *node = node_claim(tree, &place);
	if (node == NULL)
		return err_memory(err);
	node->inode = inode;
	belong(tree, node);
	*ret_node = node;
	return 0;
}

struct node *tree_find(struct tree *tree, const char *path)
{
	struct place place;
	if (walk(tree, path, false, &place) < 0)
		return NULL;
	return place.name[0] == '\0' ? place.directory : tree_child(tree, place.directory, place.name);
}

/* The first directory in a sibling list. */
static struct node *first_directory(struct node *node)
{
	while (node != NULL && (node->inode == NULL || !S_ISDIR(node->inode->mode)))
		node = node->sibling;
	return node;
}

/* The next directory, on a walk over top and all below it. */
static struct node *next_down(const struct node *top, struct node *directory)
{
	struct node *next = first_directory(directory->inode->children);
	while (next == NULL && directory != top && directory->parent != NULL) {
		next = first_directory(directory->sibling);
		directory = directory->parent;
	}
	return next;
}

struct node *tree_next_down(struct node *directory)
{
	return next_down(NULL, directory);
}

/* Where a removal takes place. Returns 0 if nothing can be there, else 1. */
static int removal_place(struct tree *tree, const char *path, struct place *ret_place, struct err *err)
{
	autofree char *clean = NULL;
	int r = path_clean(path, &clean, err);
	if (r < 0)
		return r;
	r = walk(tree, clean, false, ret_place);
	if (r == -ENOMEM || r == -ELOOP)
		return walk_failed(r, path, err);
	return r == 0;
}

/* The node stays in its parent's list, without an inode, until the sweep: to find its place there takes as long as the list is. */
static void node_kill(struct tree *tree, struct node *node)
{
	if (S_ISDIR(node->inode->mode))
		clear_below(tree, node);
	unhash(tree, node);
	node->inode = NULL;
	tree->killed = true;
}

static void children_kill(struct tree *tree, struct node *directory)
{
	for (struct node *child = directory->inode->children; child != NULL; child = child->sibling)
		if (child->inode != NULL && child->layer != tree->layer)
			node_kill(tree, child);
	directory->cleared = tree->layer;
}

/* Once for each directory and layer: what comes there later belongs to the layer. */
static void clear_lower(struct tree *tree, struct node *top)
{
	if (top->cleared == tree->layer)
		return;
	for (struct node *directory = top; directory != NULL; directory = next_down(top, directory))
		if (directory->cleared != tree->layer)
			children_kill(tree, directory);
}

void tree_layer_begin(struct tree *tree)
{
	tree->layer++;
}

int tree_remove(struct tree *tree, const char *path, struct err *err)
{
	struct place place;
	int r = removal_place(tree, path, &place, err);
	if (r <= 0)
		return r;
	if (place.name[0] == '\0')
		return err_set(err, EINVAL, "the root of the tree, '%s', cannot be removed", path);
	struct node *node = tree_child(tree, place.directory, place.name);
	if (node == NULL)
		return 0;
	if (node->layer != tree->layer)
		node_kill(tree, node);
	else if (S_ISDIR(node->inode->mode))
		clear_lower(tree, node);
	return 0;
}

int tree_clear(struct tree *tree, const char *path, struct err *err)
{
	struct place place;
	int r = removal_place(tree, path, &place, err);
	if (r > 0)
		clear_lower(tree, place.directory);
	return r < 0 ? r : 0;
}

void tree_sweep(struct tree *tree)
{
	struct node *first = tree->killed ? tree->root : NULL;
	for (struct node *directory = first; directory != NULL; directory = tree_next_down(directory)) {
		struct node **slot = &directory->inode->children;
		while (*slot != NULL) {
			if ((*slot)->inode == NULL)
				*slot = (*slot)->sibling;
			else
				slot = &(*slot)->sibling;
		}
	}
	tree->killed = false;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp((*(struct node *const *)a)->name, (*(struct node *const *)b)->name);
}

static int children_sort(struct inode *directory)
{
	size_t count = 0;
	for (struct node *child = directory->children; child != NULL; child = child->sibling)
		count++;
	if (count == 0)
		return 0;
	autofree struct node **list = malloc(count * sizeof(*list));
	if (list == NULL)
		return -ENOMEM;
	struct node *child = directory->children;
	for (size_t i = 0; i < count; i++, child = child->sibling)
		list[i] = child;
	qsort(list, count, sizeof(struct node *), compare_names);
	struct node **slot = &directory->children;
	for (size_t i = 0; i < count; i++) {
		*slot = list[i];
		slot = &list[i]->sibling;
	}
	*slot = NULL;
	return 0;
}

static void children_number(struct inode *directory, uint32_t *count, uint32_t *newest)
{
	directory->links = 2;
	for (struct node *child = directory->children; child != NULL; child = child->sibling) {
		struct inode *inode = child->inode;
		if (inode->number == 0)
			inode->number = ++*count;
		if (S_ISDIR(inode->mode))
			directory->links++;
		else
			inode->links++;
		if (!inode->implicit && inode->mtime > *newest)
			*newest = inode->mtime;
	}
}

/* What an earlier numbering left. */
static void numbers_clear(struct tree *tree)
{
	for (struct node *directory = tree->root; directory != NULL; directory = tree_next_down(directory)) {
		for (struct node *child = directory->inode->children; child != NULL; child = child->sibling) {
			child->inode->number = child->inode->links = 0;
			child->inode->reference = 0;
		}
	}
}

int tree_number(struct tree *tree, uint32_t *ret_count, uint32_t *ret_newest, struct err *err)
{
	const struct inode *root = tree->root->inode;
	uint32_t count = 1, newest = root->implicit ? 0 : root->mtime;
	numbers_clear(tree);
	tree->root->inode->number = 1;
	for (struct node *directory = tree->root; directory != NULL; directory = tree_next_down(directory)) {
		if (children_sort(directory->inode) < 0)
			return err_memory(err);
		children_number(directory->inode, &count, &newest);
	}
	*ret_count = count;
	*ret_newest = newest;
	return 0;
}

struct node *tree_deepest(struct node *directory)
{
	for (struct node *child; (child = first_directory(directory->inode->children)) != NULL;)
		directory = child;
	return directory;
}

struct node *tree_next_up(struct node *directory)
{
	struct node *sibling = directory->parent == NULL ? NULL : first_directory(directory->sibling);
	return sibling != NULL ? tree_deepest(sibling) : directory->parent;
}
