/* SPDX-License-Identifier: Apache-2.0
 *
 * Entries into the tree: see load.h.
 */
#include "builder/load.h"

#include "builder/arena.h"
#include "builder/hot.h"
#include "builder/oci/feed.h"
#include "builder/progress.h"
#include "builder/size.h"
#include "builder/source.h"
#include "builder/tree.h"
#include "builder/target.h"
#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/image_config.h"
#include "lib/strlist.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MAJOR_MAX = 0xfff, MINOR_MAX = 0xfffff };

/* An attribute, and where it came in the entry. */
struct ranked {
	struct xattr xattr;
	size_t rank;
};

static int compare_ranked(const void *a, const void *b)
{
	const struct ranked *left = a, *right = b;
	int names = strcmp(left->xattr.name, right->xattr.name);
	return names != 0 ? names : left->rank < right->rank ? -1 : left->rank > right->rank;
}

/* Moves what SquashFS cannot hold behind the rest: each value is still there once, for whoever frees it. Returns how many are left. */
static size_t xattrs_filter(struct load *load, const struct source_entry *entry)
{
	size_t kept = 0;
	for (size_t i = 0; i < entry->xattr_count; i++) {
		struct xattr xattr = entry->xattrs[i];
		if (!xattr_storable(&xattr)) {
			tally_add(&load->xattrs, entry->path);
			continue;
		}
		entry->xattrs[i] = entry->xattrs[kept];
		entry->xattrs[kept++] = xattr;
	}
	return kept;
}

/* Moves all but the last of several values for one name behind the rest. Returns how many are left, or -ENOMEM. */
static long xattrs_unique(const struct source_entry *entry, size_t count)
{
	size_t kept = 0, dropped = count;
	autofree struct ranked *list = malloc(count * sizeof(*list));
	if (list == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		list[i] = (struct ranked){ entry->xattrs[i], i };
	qsort(list, count, sizeof(*list), compare_ranked);
	for (size_t i = 0; i < count; i++)
		if (i + 1 == count || strcmp(list[i].xattr.name, list[i + 1].xattr.name) != 0)
			entry->xattrs[kept++] = list[i].xattr;
		else
			entry->xattrs[--dropped] = list[i].xattr;
	return (long)kept;
}

/* What the kernel has no room to list, no program could copy. */
static int xattrs_check(const struct source_entry *entry, size_t count, struct err *err)
{
	size_t bytes = 0;
	for (size_t i = 0; i < count; i++)
		bytes += strlen(entry->xattrs[i].name) + 1;
	if (bytes <= XATTR_LIST_MAX)
		return 0;
	return err_set(err, E2BIG, "the names of the %zu extended attributes of '%s' take %zu bytes, Linux allows %d", count,
		       entry->path, bytes, XATTR_LIST_MAX);
}

static int xattrs_take(struct load *load, const struct source_entry *entry, struct xattr_set **ret_set, struct err *err)
{
	if (entry->acl)
		tally_add(&load->acls, entry->path);
	*ret_set = NULL;
	size_t storable = xattrs_filter(load, entry);
	if (storable == 0)
		return 0;
	long count = xattrs_unique(entry, storable);
	int r = count < 0 ? (int)count : xattrs_check(entry, (size_t)count, err);
	if (r == 0)
		*ret_set = xattr_intern(tree_xattrs(load->tree), tree_arena(load->tree), entry->xattrs, (size_t)count);
	if (r == -ENOMEM || (r == 0 && *ret_set == NULL))
		return err_set(err, ENOMEM, "the extended attributes of '%s' do not fit in memory", entry->path);
	return r;
}

static uint32_t time_take(struct load *load, const struct source_entry *entry)
{
	if (entry->mtime > load->time_max && load->time_max < UINT32_MAX)
		return load->time_max;
	if (entry->mtime >= 0 && entry->mtime <= UINT32_MAX)
		return (uint32_t)entry->mtime;
	tally_add(&load->times, entry->path);
	return entry->mtime < 0 ? 0 : UINT32_MAX;
}

static int device_take(const struct source_entry *entry, uint32_t *ret_device, struct err *err)
{
	if (entry->major > MAJOR_MAX || entry->minor > MINOR_MAX)
		return err_set(err, ERANGE, "the device node '%s' has the number %u:%u, SquashFS holds at most %d:%d", entry->path,
			       entry->major, entry->minor, MAJOR_MAX, MINOR_MAX);
	*ret_device = (entry->minor & 0xff) | entry->major << 8 | (entry->minor & ~0xffu) << 12;
	return 0;
}

/* What only some types of file have. */
static int type_take(const struct source_entry *entry, struct inode *inode, struct err *err)
{
	switch (entry->mode & S_IFMT) {
	case S_IFDIR:
	case S_IFREG:
	case S_IFIFO:
		return 0;
	case S_IFLNK:
		if (entry->target == NULL)
			return err_set(err, EBADMSG, "the symlink '%s' has no target", entry->path);
		inode->target = entry->target;
		inode->mode = S_IFLNK | 0777; /* Linux knows no other */
		return 0;
	case S_IFCHR:
	case S_IFBLK:
		return device_take(entry, &inode->device, err);
	default:
		return err_set(err, ENOTSUP, "'%s' is of a type that SquashFS does not know (0%o)", entry->path,
			       entry->mode & S_IFMT);
	}
}

static int inode_take(struct load *load, const struct source_entry *entry, struct inode *inode, struct err *err)
{
	if (entry->uid < 0 || entry->uid > UINT32_MAX || entry->gid < 0 || entry->gid > UINT32_MAX)
		return err_set(err, ERANGE, "the owner of '%s' is no Linux user and group: %" PRId64 ":%" PRId64, entry->path,
			       entry->uid, entry->gid);
	*inode = (struct inode){
		.mode = (uint16_t)(entry->mode & (S_IFMT | 07777)),
		.uid = (uint32_t)entry->uid,
		.gid = (uint32_t)entry->gid,
		.mtime = time_take(load, entry),
	};
	int r = type_take(entry, inode, err);
	return r < 0 ? r : xattrs_take(load, entry, &inode->xattrs, err);
}

int load_count(struct load *load, const char *path, uint64_t bytes, struct err *err)
{
	if (bytes <= load->content_max_bytes - load->content_bytes) {
		load->content_bytes += bytes;
		return 0;
	}
	char limit[SIZE_TEXT_MAX];
	err_set(err, EFBIG, "the files hold more than %s, up to '%s'", size_format(load->content_max_bytes, limit), path);
	return err_hint(err, "if that is right, allow more with --max-size SIZE");
}

static int piece_write(struct load *load, const struct source_entry *entry, const struct piece *piece, uint64_t *at,
		       struct err *err)
{
	if (piece->offset < *at || piece->offset > entry->bytes || piece->bytes > entry->bytes - piece->offset)
		return err_set(err, EBADMSG, "the map of holes in '%s' is damaged", entry->path);
	int r = target_file_hole(load->target, piece->offset - *at, err);
	if (r == 0)
		r = target_file_data(load->target, piece->data, piece->bytes, err);
	*at = piece->offset + piece->bytes;
	return r;
}

/* Where a file's data comes from: at once from a reader, or later from a layer. */
struct content {
	const struct source *source; /* NULL: later */
	struct reader *reader;
	uint32_t layer, entry;
};

static int pieces_copy(struct load *load, const struct source_entry *entry, load_read *read, void *context, struct err *err)
{
	uint64_t at = 0;
	struct piece piece;
	int r;
	while ((r = entry->bytes == 0 ? 0 : read(context, &piece, err)) > 0) {
		r = piece_write(load, entry, &piece, &at, err);
		if (r < 0)
			return r;
		load->show(load);
	}
	return r < 0 ? r : target_file_hole(load->target, entry->bytes - at, err);
}

int load_data(struct load *load, const struct source_entry *entry, load_read *read, void *context, struct file **ret_file,
	      struct err *err)
{
	int r = load_count(load, entry->path, entry->bytes, err);
	if (r == 0)
		r = target_file_begin(load->target, hot_set_contains(load->hot, entry->path), ret_file, err);
	if (r == 0)
		r = pieces_copy(load, entry, read, context, err);
	return r < 0 ? r : target_file_end(load->target, err);
}

static int source_piece(void *context, struct piece *ret_piece, struct err *err)
{
	const struct content *content = context;
	return content->source->read(content->reader, ret_piece, err);
}

static int content_take(struct load *load, struct content *content, const struct source_entry *entry, struct inode *inode,
			struct err *err)
{
	inode->deferred = content->source == NULL && entry->bytes > 0;
	if (!inode->deferred && load->target == NULL)
		return 0;
	if (!inode->deferred)
		return load_data(load, entry, source_piece, content, &inode->file, err);
	inode->origin.layer = content->layer;
	inode->origin.entry = content->entry;
	return 0;
}

/* A second name. The pax format lets it carry the data once more: then that is the inode's data from here on. */
static int link_take(struct load *load, struct content *content, const struct source_entry *entry, struct err *err)
{
	struct node *node;
	int r = tree_link(load->tree, entry->path, entry->target, &node, err);
	if (r < 0 || entry->bytes == 0)
		return r;
	if (!S_ISREG(node->inode->mode))
		return err_set(err, EBADMSG, "the hard link '%s' has data, but '%s' is no regular file", entry->path,
			       entry->target);
	return content_take(load, content, entry, node->inode, err);
}

static int entry_take(struct load *load, struct content *content, const struct source_entry *entry, struct err *err)
{
	if (entry->hard_link)
		return link_take(load, content, entry, err);
	if (S_ISSOCK(entry->mode)) {
		tally_add(&load->sockets, entry->path);
		return 0;
	}
	struct inode inode;
	struct node *node;
	int r = inode_take(load, entry, &inode, err);
	if (r == 0 && S_ISREG(inode.mode))
		r = content_take(load, content, entry, &inode, err);
	return r < 0 ? r : tree_insert(load->tree, entry->path, &inode, &node, err);
}

static void source_show(struct load *load)
{
	uint64_t bytes_in, bytes_total;
	load->source->progress(load->reader, &bytes_in, &bytes_total);
	progress_update(load->progress, "reading", bytes_in, bytes_total, target_bytes(load->target));
}

int load_source(struct load *load, const struct source *source, struct reader *reader, struct err *err)
{
	struct source_entry entry;
	struct content content = { .source = source, .reader = reader };
	int r;
	load->source = source;
	load->reader = reader;
	load->show = source_show;
	while ((r = source->next(reader, &entry, err)) > 0) {
		r = entry_take(load, &content, &entry, err);
		if (r < 0)
			return r;
		load->show(load);
	}
	return r;
}

int load_deferred(struct load *load, const struct source_entry *entry, uint32_t layer, uint32_t number, struct err *err)
{
	struct content content = { .layer = layer, .entry = number };
	return entry_take(load, &content, entry, err);
}

static int feed_piece(void *context, struct piece *ret_piece, struct err *err)
{
	return feed_read(context, ret_piece, err);
}

int load_feed(struct load *load, struct feed *feed, struct err *err)
{
	struct feed_file file;
	int r;
	while ((r = feed_next(feed, &file, err)) > 0) {
		struct source_entry entry = { .path = file.path, .bytes = file.bytes };
		struct file *data;
		r = load_data(load, &entry, feed_piece, feed, &data, err);
		if (r < 0)
			return r;
		file.inode->deferred = false;
		file.inode->file = data;
	}
	return r;
}

int load_text(struct load *load, const char *path, uint16_t mode, const char *text, size_t bytes, struct err *err)
{
	struct inode inode = { .mode = S_IFREG | mode, .implicit = true };
	struct node *node;
	int r = target_file_begin(load->target, false, &inode.file, err);
	if (r == 0 && bytes > 0)
		r = target_file_data(load->target, text, bytes, err);
	if (r == 0)
		r = target_file_end(load->target, err);
	return r < 0 ? r : tree_insert(load->tree, path, &inode, &node, err);
}

/* In this order, so that parents come first. */
static const struct {
	const char *path;
	uint16_t mode;
} mount_points[] = {
	{ "dev", S_IFDIR | 0755 },
	{ "etc", S_IFDIR | 0755 },
	{ "etc/group", S_IFREG | 0644 },
	{ "etc/hosts", S_IFREG | 0644 },
	{ "etc/localtime", S_IFREG | 0644 },
	{ "etc/passwd", S_IFREG | 0644 },
	{ "etc/resolv.conf", S_IFREG | 0644 },
	{ "home", S_IFDIR | 0755 },
	{ "mnt", S_IFDIR | 0755 },
	{ "proc", S_IFDIR | 0555 },
	{ "root", S_IFDIR | 0700 },
	{ "run", S_IFDIR | 0755 },
	{ "sys", S_IFDIR | 0555 },
	{ "tmp", S_IFDIR | 01777 },
	{ "var", S_IFDIR | 0755 },
	{ "var/tmp", S_IFDIR | 01777 },
};
enum { MOUNT_POINT_COUNT = sizeof(mount_points) / sizeof(mount_points[0]) };

static int mount_point_add(struct load *load, const char *path, uint16_t mode, struct err *err)
{
	struct inode inode = { .mode = mode, .implicit = true };
	struct node *node;
	return S_ISREG(mode) ? load_text(load, path, mode, "", 0, err) : tree_insert(load->tree, path, &inode, &node, err);
}

int load_mount_points(struct load *load, struct err *err)
{
	for (int i = 0; i < MOUNT_POINT_COUNT; i++) {
		struct err ignored = ERR_INIT;
		if (tree_find(load->tree, mount_points[i].path) != NULL)
			continue;
		/* A tree whose /etc or /var is a file, or leads in circles, is left as it is. */
		int r = mount_point_add(load, mount_points[i].path, mount_points[i].mode, &ignored);
		if (r < 0 && r != -ENOTDIR && r != -ELOOP) {
			*err = ignored;
			return r;
		}
	}
	return 0;
}

void load_count_variables(struct load *load, const struct strlist *env)
{
	for (size_t i = 0; i < env->count; i++) {
		char name[sizeof(load->variables.first)];
		snprintf(name, sizeof(name), "%.*s", (int)strcspn(env->items[i], "="), env->items[i]);
		if (!image_env_is_valid(env->items[i]))
			tally_add(&load->variables, name);
	}
}

void load_notes(const struct load *load)
{
	tally_note(&load->sockets, "socket is left out", "sockets are left out");
	tally_note(&load->xattrs, "extended attribute that SquashFS cannot hold is left out",
	     "extended attributes that SquashFS cannot hold are left out");
	tally_note(&load->acls, "access control list that SquashFS cannot hold is left out",
	     "access control lists that SquashFS cannot hold are left out");
	hot_set_note(load->hot);
	tally_note(&load->times, "time before 1970 or after 2106 is cut to that",
		   "times before 1970 or after 2106 are cut to that");
	tally_note(&load->variables, "variable of the image that no shell could set is left out",
	     "variables of the image that no shell could set are left out");
}
