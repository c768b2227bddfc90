/* SPDX-License-Identifier: Apache-2.0
 *
 * The tree to SquashFS metadata. Inodes of regular files and the table of extended attributes are encoded here, not by libsquashfs
 * 1.2: it keeps a file's block list on the stack, which a large sparse file overflows, and it writes behind the end of a buffer for
 * certain numbers of attribute sets.
 *
 * Format: Linux, Documentation/filesystems/squashfs.rst and fs/squashfs/squashfs_fs.h.
 */
#include "builder/output.h"
#include "builder/tree.h"
#include "builder/writer_internal.h"
#include "lib/cleanup.h"
#include "lib/err.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <sqfs/block.h>
#include <sqfs/dir_writer.h>
#include <sqfs/error.h>
#include <sqfs/id_table.h>
#include <sqfs/meta_writer.h>
#include <sqfs/table.h>
#include <sqfs/xattr.h>

enum { NO_FRAGMENT = 0xffffffff, NO_XATTRS = 0xffffffff, IDS_MAX = 65535, ZERO_BATCH = 2048 };

struct metadata {
	struct writer *writer;
	uint32_t image_time;
	uint32_t inode_count;
	sqfs_meta_writer_t *inodes, *directories;
	sqfs_dir_writer_t *listing;
	sqfs_id_table_t *ids;
	bool ids_exceeded;
	uint64_t *references;     /* export table: where the inode of each number stands */
	struct xattr_set **xattrs; /* in the order of their index */
	size_t xattr_count;
};

static int xattr_index(struct metadata *md, struct xattr_set *set, uint32_t *ret_index)
{
	if (set == NULL) {
		*ret_index = NO_XATTRS;
		return 0;
	}
	if (set->index == XATTR_UNUSED) {
		if ((md->xattr_count & (md->xattr_count + 1)) == 0) { /* room is the next power of two, less one */
			struct xattr_set **sets = realloc(md->xattrs, (md->xattr_count * 2 + 1) * sizeof(*sets));
			if (sets == NULL)
				return SQFS_ERROR_ALLOC;
			md->xattrs = sets;
		}
		set->index = (int64_t)md->xattr_count;
		md->xattrs[md->xattr_count++] = set;
	}
	*ret_index = (uint32_t)set->index;
	return 0;
}

/* The fields that all inodes share. base.type is the caller's. */
static int base_fill(struct metadata *md, const struct inode *inode, sqfs_inode_t *base)
{
	base->mode = inode->mode;
	base->mod_time = inode->implicit ? md->image_time : inode->mtime;
	base->inode_number = inode->number;
	int r = sqfs_id_table_id_to_index(md->ids, inode->uid, &base->uid_idx);
	if (r == 0)
		r = sqfs_id_table_id_to_index(md->ids, inode->gid, &base->gid_idx);
	if (r == SQFS_ERROR_OVERFLOW)
		md->ids_exceeded = true;
	return r;
}

static void reference_take(struct metadata *md, struct inode *inode)
{
	sqfs_u64 block;
	sqfs_u32 offset;
	sqfs_meta_writer_get_position(md->inodes, &block, &offset);
	inode->reference = block << 16 | offset;
	md->references[inode->number - 1] = htole64(inode->reference);
}

/* What libsquashfs made holes of by itself. */
static uint64_t data_sparse_bytes(const sqfs_inode_generic_t *data)
{
	return data != NULL && data->base.type == SQFS_INODE_EXT_FILE ? data->data.file_ext.sparse : 0;
}

static int zero_blocks_write(struct metadata *md, uint64_t count)
{
	static const uint32_t zeros[ZERO_BATCH];
	int r = 0;
	while (count > 0 && r == 0) {
		uint64_t batch = count < ZERO_BATCH ? count : ZERO_BATCH;
		r = sqfs_meta_writer_append(md->inodes, zeros, batch * sizeof(*zeros));
		count -= batch;
	}
	return r;
}

/* The sizes of the blocks that libsquashfs wrote, with a zero for each block of the holes in between, and for a tail of zeros. */
static int block_list_write(struct metadata *md, const struct file *file)
{
	uint64_t stored = file->data->payload_bytes_used / sizeof(uint32_t), at = 0, skipped = 0;
	int r = 0;
	for (const struct hole *hole = file->holes; r == 0; hole = hole->next) {
		uint64_t until = hole == NULL ? stored : hole->first_block - skipped;
		for (; at < until && r == 0; at++) {
			uint32_t size = htole32(file->data->extra[at]);
			r = sqfs_meta_writer_append(md->inodes, &size, sizeof(size));
		}
		if (hole == NULL)
			break;
		if (r == 0)
			r = zero_blocks_write(md, hole->block_count);
		skipped += hole->block_count;
	}
	return r == 0 && file->tail != NULL ? zero_blocks_write(md, file->tail->payload_bytes_used / sizeof(uint32_t)) : r;
}

static bool file_is_extended(const struct file *file, const sqfs_inode_file_ext_t *ext)
{
	return ext->blocks_start > UINT32_MAX || file->bytes > UINT32_MAX || ext->sparse > 0 || ext->nlink > 1 ||
	       ext->xattr_idx != NO_XATTRS;
}

static void file_gather(const struct inode *inode, uint32_t xattrs, sqfs_inode_file_ext_t *ext)
{
	const struct file *file = inode->file;
	const sqfs_inode_generic_t *data = file->data;
	*ext = (sqfs_inode_file_ext_t){ .file_size = file->bytes, .nlink = inode->links, .xattr_idx = xattrs };
	sqfs_u64 start;
	sqfs_u32 fragment, offset;
	sqfs_inode_get_file_block_start(data, &start);
	sqfs_inode_get_frag_location(file->tail != NULL ? file->tail : data, &fragment, &offset);
	ext->blocks_start = start;
	ext->fragment_idx = fragment;
	ext->fragment_offset = fragment == NO_FRAGMENT ? 0 : offset;
	ext->sparse = file->hole_bytes + data_sparse_bytes(data) + data_sparse_bytes(file->tail);
}

static int file_head_write(struct metadata *md, const struct file *file, const sqfs_inode_t *base, const sqfs_inode_file_ext_t *ext)
{
	bool extended = file_is_extended(file, ext);
	sqfs_inode_t head = {
		.type = htole16(extended ? SQFS_INODE_EXT_FILE : SQFS_INODE_FILE),
		.mode = htole16(base->mode & ~S_IFMT),
		.uid_idx = htole16(base->uid_idx),
		.gid_idx = htole16(base->gid_idx),
		.mod_time = htole32(base->mod_time),
		.inode_number = htole32(base->inode_number),
	};
	sqfs_inode_file_t small = {
		.blocks_start = htole32((uint32_t)ext->blocks_start),
		.fragment_index = htole32(ext->fragment_idx),
		.fragment_offset = htole32(ext->fragment_offset),
		.file_size = htole32((uint32_t)ext->file_size),
	};
	sqfs_inode_file_ext_t large = {
		.blocks_start = htole64(ext->blocks_start),
		.file_size = htole64(ext->file_size),
		.sparse = htole64(ext->sparse),
		.nlink = htole32(ext->nlink),
		.fragment_idx = htole32(ext->fragment_idx),
		.fragment_offset = htole32(ext->fragment_offset),
		.xattr_idx = htole32(ext->xattr_idx),
	};
	int r = sqfs_meta_writer_append(md->inodes, &head, sizeof(head));
	if (r != 0)
		return r;
	return extended ? sqfs_meta_writer_append(md->inodes, &large, sizeof(large)) :
			  sqfs_meta_writer_append(md->inodes, &small, sizeof(small));
}

static int file_write(struct metadata *md, const struct inode *inode, const sqfs_inode_t *base, uint32_t xattrs)
{
	sqfs_inode_file_ext_t ext;
	file_gather(inode, xattrs, &ext);
	int r = file_head_write(md, inode->file, base, &ext);
	return r != 0 ? r : block_list_write(md, inode->file);
}

/* Symlinks, device nodes and FIFOs. */
static int special_write(struct metadata *md, const struct inode *inode, const sqfs_inode_t *base, uint32_t xattrs)
{
	size_t target_bytes = S_ISLNK(inode->mode) ? strlen(inode->target) : 0;
	autofree sqfs_inode_generic_t *out = calloc(1, sizeof(*out) + target_bytes);
	if (out == NULL)
		return SQFS_ERROR_ALLOC;
	out->base = *base;
	switch (inode->mode & S_IFMT) {
	case S_IFLNK:
		out->base.type = SQFS_INODE_SLINK;
		out->data.slink = (sqfs_inode_slink_t){ .nlink = inode->links, .target_size = (sqfs_u32)target_bytes };
		memcpy(out->extra, inode->target, target_bytes);
		break;
	case S_IFIFO:
		out->base.type = SQFS_INODE_FIFO;
		out->data.ipc.nlink = inode->links;
		break;
	default:
		out->base.type = S_ISBLK(inode->mode) ? SQFS_INODE_BDEV : SQFS_INODE_CDEV;
		out->data.dev = (sqfs_inode_dev_t){ .nlink = inode->links, .devno = inode->device };
	}
	int r = sqfs_inode_set_xattr_index(out, xattrs);
	return r != 0 ? r : sqfs_meta_writer_write_inode(md->inodes, out);
}

/* Writes what is no directory, once for all its names. */
static int leaf_write(struct metadata *md, struct inode *inode)
{
	sqfs_inode_t base = { 0 };
	uint32_t xattrs;
	if (le64toh(md->references[inode->number - 1]) != UINT64_MAX)
		return 0;
	int r = base_fill(md, inode, &base);
	if (r == 0)
		r = xattr_index(md, inode->xattrs, &xattrs);
	if (r != 0)
		return r;
	reference_take(md, inode);
	return S_ISREG(inode->mode) ? file_write(md, inode, &base, xattrs) : special_write(md, inode, &base, xattrs);
}

static int listing_write(struct metadata *md, const struct inode *directory)
{
	int r = sqfs_dir_writer_begin(md->listing, 0);
	for (struct node *child = directory->children; child != NULL && r == 0; child = child->sibling)
		r = sqfs_dir_writer_add_entry(md->listing, child->name, child->inode->number, child->inode->reference,
					      child->inode->mode);
	return r != 0 ? r : sqfs_dir_writer_end(md->listing);
}

static int directory_write(struct metadata *md, struct node *node)
{
	struct inode *inode = node->inode;
	int r = 0;
	for (struct node *child = inode->children; child != NULL && r == 0; child = child->sibling)
		if (!S_ISDIR(child->inode->mode))
			r = leaf_write(md, child->inode);
	uint32_t xattrs;
	if (r == 0)
		r = listing_write(md, inode);
	if (r == 0)
		r = xattr_index(md, inode->xattrs, &xattrs);
	if (r != 0)
		return r;
	/* The root has no parent; like mksquashfs, give it a number that no inode has. */
	uint32_t parent = node->parent != NULL ? node->parent->inode->number : md->inode_count + 1;
	autofree sqfs_inode_generic_t *out = sqfs_dir_writer_create_inode(md->listing, 0, xattrs, parent);
	if (out == NULL)
		return SQFS_ERROR_ALLOC;
	if (out->base.type == SQFS_INODE_DIR)
		out->data.dir.nlink = inode->links;
	else
		out->data.dir_ext.nlink = inode->links;
	r = base_fill(md, inode, &out->base);
	if (r != 0)
		return r;
	reference_take(md, inode);
	return sqfs_meta_writer_write_inode(md->inodes, out);
}

static int tree_write(struct metadata *md, struct tree *tree)
{
	sqfs_super_t *super = &md->writer->super;
	struct output *output = md->writer->output;
	int r = 0;
	super->inode_table_start = output_bytes(output);
	for (struct node *node = tree_deepest(tree_root(tree)); node != NULL && r == 0; node = tree_next_up(node))
		r = directory_write(md, node);
	if (r == 0)
		r = sqfs_meta_writer_flush(md->inodes);
	if (r == 0)
		r = sqfs_meta_writer_flush(md->directories);
	super->root_inode_ref = tree_root(tree)->inode->reference;
	super->directory_table_start = output_bytes(output);
	return r != 0 ? r : sqfs_meta_write_write_to_file(md->directories);
}

static int append_raw(struct metadata *md, const void *data, size_t bytes)
{
	sqfs_file_t *file = &md->writer->sink.base;
	return file->write_at(file, file->get_size(file), data, bytes);
}

/* Attribute sets one behind the other, and for each where it stands. */
static int xattr_sets_write(struct metadata *md, sqfs_meta_writer_t *out, sqfs_xattr_id_t *ids)
{
	int r = 0;
	for (size_t i = 0; i < md->xattr_count && r == 0; i++) {
		sqfs_u64 block;
		sqfs_u32 offset;
		sqfs_meta_writer_get_position(out, &block, &offset);
		ids[i] = (sqfs_xattr_id_t){
			.xattr = htole64(block << 16 | offset),
			.count = htole32(md->xattrs[i]->count),
			.size = htole32(md->xattrs[i]->bytes),
		};
		r = sqfs_meta_writer_append(out, md->xattrs[i]->data, md->xattrs[i]->bytes);
	}
	return r != 0 ? r : sqfs_meta_writer_flush(out);
}

/* The index in blocks of 8 KiB, a header, and the blocks' addresses. */
static int xattr_index_write(struct metadata *md, sqfs_meta_writer_t *out, const sqfs_xattr_id_t *ids, uint64_t sets_start)
{
	size_t bytes = md->xattr_count * sizeof(*ids), block_count = (bytes + SQFS_META_BLOCK_SIZE - 1) / SQFS_META_BLOCK_SIZE;
	autofree uint64_t *addresses = calloc(block_count, sizeof(*addresses));
	if (addresses == NULL)
		return SQFS_ERROR_ALLOC;
	int r = 0;
	for (size_t i = 0; i < block_count && r == 0; i++) {
		size_t done = i * SQFS_META_BLOCK_SIZE, part = bytes - done;
		addresses[i] = htole64(output_bytes(md->writer->output));
		r = sqfs_meta_writer_append(out, (const char *)ids + done,
					    part < SQFS_META_BLOCK_SIZE ? part : SQFS_META_BLOCK_SIZE);
		if (r == 0)
			r = sqfs_meta_writer_flush(out);
	}
	sqfs_xattr_id_table_t header = { .xattr_table_start = htole64(sets_start),
					 .xattr_ids = htole32((uint32_t)md->xattr_count) };
	md->writer->super.xattr_id_table_start = output_bytes(md->writer->output);
	md->writer->super.flags &= (sqfs_u16)~SQFS_FLAG_NO_XATTRS;
	if (r == 0)
		r = append_raw(md, &header, sizeof(header));
	return r != 0 ? r : append_raw(md, addresses, block_count * sizeof(*addresses));
}

static int xattrs_write(struct metadata *md)
{
	if (md->xattr_count == 0)
		return 0;
	uint64_t sets_start = output_bytes(md->writer->output);
	autofree sqfs_xattr_id_t *ids = calloc(md->xattr_count, sizeof(*ids));
	sqfs_meta_writer_t *out = sqfs_meta_writer_create(&md->writer->sink.base, md->writer->compressor, 0);
	int r = ids == NULL || out == NULL ? SQFS_ERROR_ALLOC : 0;
	if (r == 0)
		r = xattr_sets_write(md, out, ids);
	if (r == 0) {
		sqfs_meta_writer_reset(out);
		r = xattr_index_write(md, out, ids, sets_start);
	}
	sqfs_destroy(out);
	return r;
}

static int export_write(struct metadata *md)
{
	sqfs_super_t *super = &md->writer->super;
	int r = sqfs_write_table(&md->writer->sink.base, md->writer->compressor, md->references,
				 md->inode_count * sizeof(*md->references), &super->export_table_start);
	super->flags |= SQFS_FLAG_EXPORTABLE;
	return r;
}

static int tables_write(struct metadata *md)
{
	struct writer *writer = md->writer;
	sqfs_super_t *super = &writer->super;
	int r = sqfs_frag_table_write(writer->fragments, &writer->sink.base, super, writer->compressor);
	if (r == 0)
		r = export_write(md);
	if (r == 0)
		r = sqfs_id_table_write(md->ids, &writer->sink.base, super, writer->compressor);
	if (r == 0 && super->id_count == 0) { /* libsquashfs takes 65536, which do not fit the 16 bits of the count */
		md->ids_exceeded = true;
		r = SQFS_ERROR_OVERFLOW;
	}
	if (r == 0)
		r = xattrs_write(md);
	super->inode_count = md->inode_count;
	super->bytes_used = output_bytes(writer->output);
	return r != 0 ? r : sqfs_super_write(super, &writer->sink.base);
}

static void metadata_free(struct metadata *md)
{
	sqfs_destroy(md->listing);
	sqfs_destroy(md->directories);
	sqfs_destroy(md->inodes);
	sqfs_destroy(md->ids);
	free(md->references);
	free(md->xattrs);
}

static int metadata_create(struct metadata *md)
{
	struct writer *writer = md->writer;
	md->inodes = sqfs_meta_writer_create(&writer->sink.base, writer->compressor, 0);
	md->directories = sqfs_meta_writer_create(&writer->sink.base, writer->compressor, SQFS_META_WRITER_KEEP_IN_MEMORY);
	md->listing = md->directories == NULL ? NULL : sqfs_dir_writer_create(md->directories, 0);
	md->ids = sqfs_id_table_create(0);
	md->references = malloc(md->inode_count * sizeof(*md->references));
	if (md->inodes == NULL || md->listing == NULL || md->ids == NULL || md->references == NULL)
		return SQFS_ERROR_ALLOC;
	memset(md->references, 0xff, md->inode_count * sizeof(*md->references)); /* UINT64_MAX: not written */
	return 0;
}

int metadata_write(struct writer *writer, struct tree *tree, uint32_t inode_count, struct err *err)
{
	struct metadata md = { .writer = writer, .image_time = writer->super.modification_time, .inode_count = inode_count };
	int r = metadata_create(&md);
	if (r == 0)
		r = tree_write(&md, tree);
	if (r == 0)
		r = tables_write(&md);
	metadata_free(&md);
	if (md.ids_exceeded)
		return err_set(err, EOVERFLOW, "the files have more than %d different owners and groups, SquashFS holds no more",
			       IDS_MAX);
	return r == 0 ? 0 : writer_failed(writer, r, "the metadata", err);
}
