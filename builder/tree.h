/* SPDX-License-Identifier: Apache-2.0
 *
 * The file tree of the image to be, in memory: names (nodes) and what they name (inodes, shared by hard links). It is filled entry
 * by entry with the meaning that extraction would give them: the last entry of a path wins, and a path runs through the symlinks
 * that are in the tree at that moment, with the tree's root as "/". Nothing here touches a disk.
 *
 * A node and its inode take about 120 bytes and the name.
 */
#ifndef SIMG_BUILDER_TREE_H
#define SIMG_BUILDER_TREE_H

#include "builder/xattr.h"

#include <stdbool.h>
#include <stdint.h>

struct arena;
struct err;
struct file; /* where the writer put a file's data: writer.h */

enum { NAME_BYTES_MAX = 255, TARGET_BYTES_MAX = 4095, PATH_BYTES_MAX = 65535 };

struct inode {
	uint16_t mode;            /* type and permissions, as in st_mode */
	bool implicit;            /* a parent that no entry described: gets the image's own time */
	bool deferred;            /* a regular file whose data has not been read: origin, not file */
	uint32_t uid, gid;
	uint32_t mtime;           /* seconds since 1970 */
	uint32_t links;           /* from here on set by tree_number() … */
	uint32_t number;          /* 1 is the root */
	uint64_t reference;       /* … and by the writer: where it stands in the image */
	struct xattr_set *xattrs; /* NULL: none */
	union {
		struct node *children; /* of a directory; the sibling list */
		const char *target;    /* of a symlink */
		uint32_t device;       /* of a device node, as Linux encodes it in 32 bits */
		struct file *file;     /* of a regular file … */
		struct {
			uint32_t layer, entry; /* … or where its data is going to come from: deferred */
		} origin;
	};
};

struct node {
	struct node *parent;  /* NULL: the root */
	struct node *sibling;
	struct node *chain;   /* hash bucket */
	struct inode *inode;
	uint32_t layer;       /* the last one that put the node there, described it, or put something below it */
	uint32_t cleared;     /* the last one that left nothing of other layers below it */
	char name[];
};

struct tree;

/* A tree with a root directory (0755, owned by root, implicit), or NULL without memory. tree_free takes NULL. */
struct tree *tree_new(void);
void tree_free(struct tree *tree);

struct node *tree_root(const struct tree *tree);

/* Memory that lives as long as the tree, and the tree's attribute sets. */
struct arena *tree_arena(struct tree *tree);
struct xattr_table *tree_xattrs(struct tree *tree);

/* Puts an inode with the given attributes (mode, owner, mtime, xattrs, and target, device or file) at path, and makes missing
 * parents. A directory that is there already keeps its children and takes the attributes; anything else that is there is removed
 * first, with all that is below it. The target is copied. ".." in the path takes back the name before it, as text. Fails on a path
 * that leads out of the tree so, on too long names, through a file, and through more than 40 symlinks; the text names the path. */
int tree_insert(struct tree *tree, const char *path, const struct inode *attributes, struct node **ret_node, struct err *err);

/* Gives what target names (not followed, if a symlink) the second name path. Fails if it is not there or a directory. */
int tree_link(struct tree *tree, const char *path, const char *target, struct node **ret_node, struct err *err);

/* The node that path names, last symlink not followed, or NULL. */
struct node *tree_find(struct tree *tree, const char *path);

/* The child of a directory that has the name, or NULL. */
struct node *tree_child(const struct tree *tree, const struct node *directory, const char *name);

/* Layers: what is inserted after tree_layer_begin() belongs to the new layer. tree_remove() takes path (last symlink not followed) out
 * of the tree with all that is below it, but for what belongs to that layer. tree_clear() does so with all that is in the directory
 * that path would be made in. A path that is not there is no error. Finding and inserting go on meanwhile; before anything else,
 * tree_sweep() has to be called: once for many removals. */
void tree_layer_begin(struct tree *tree);
int tree_remove(struct tree *tree, const char *path, struct err *err);
int tree_clear(struct tree *tree, const char *path, struct err *err);
void tree_sweep(struct tree *tree);

/* All directories, each before those below it: for (d = tree_root(tree); d != NULL; d = tree_next_down(d)). */
struct node *tree_next_down(struct node *directory);

/* Sorts every directory by the names' bytes, gives inodes their number and link count, and returns how many inodes there are.
 * ret_newest is the latest mtime that an entry gave, 0 if there was none. Once something was inserted afterwards, it has to be
 * called again. */
int tree_number(struct tree *tree, uint32_t *ret_count, uint32_t *ret_newest, struct err *err);

/* All directories, each after the directories below it: for (d = tree_deepest(root); d != NULL; d = tree_next_up(d)). For sorted
 * trees. */
struct node *tree_deepest(struct node *directory);
struct node *tree_next_up(struct node *directory);

#endif
