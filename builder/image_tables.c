/* SPDX-License-Identifier: Apache-2.0
 *
 * Decoding of metadata: see image_tables.h. libsquashfs finds and decompresses metadata blocks; what is in them is decoded here,
 * because its own readers allocate whatever size a damaged inode or attribute claims.
 *
 * Format: Linux, Documentation/filesystems/squashfs.rst and fs/squashfs/squashfs_fs.h.
 */
#include "builder/image_tables.h"

#include "lib/cleanup.h"
#include "lib/err.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <sqfs/block.h>
#include <sqfs/dir.h>
#include <sqfs/error.h>
#include <sqfs/inode.h>
#include <sqfs/xattr.h>

enum {
	META_BYTES = 8192,         /* a metadata block, decompressed */
	META_STORED_MIN = 3,       /* the least that one takes in the image: its header and a byte */
	INODE_BYTES_MIN = 20,
	RUN_MAX = 256,             /* entries that share a header */
	LISTING_EXTRA = 3,         /* a directory's size counts "." and ".." */
	XATTR_OUT_OF_LINE = 0x100,
	XATTR_SET_MAX = 16 << 20,  /* all values of one file; Linux file systems hold far less */
};
#define TABLE_ABSENT UINT64_MAX

int image_damaged(const struct image_tables *tables, const char *why, struct err *err)
{
	const char *place = tables->place;
	err_set(err, EBADMSG, "the image '%s' is damaged: %s%s%s%s", tables->name, why, place[0] != '\0' ? ", at '" : "", place,
		place[0] != '\0' ? "'" : "");
	return err_hint(err, "copy or build the image again");
}

int image_tables_failed(const struct image_tables *tables, int result, const char *what, struct err *err)
{
	char why[64];
	if (result == SQFS_ERROR_ALLOC)
		return err_sys(err, ENOMEM, "cannot read the image '%s'", tables->name);
	if (result == SQFS_ERROR_IO && tables->file.errnum != 0)
		return err_sys(err, tables->file.errnum, "cannot read the image '%s'", tables->name);
	snprintf(why, sizeof(why), "cannot read %s", what);
	return image_damaged(tables, why, err);
}

/* --- lookup tables --- */

/* One entry of a table that is stored in blocks, whose addresses stand at list_start. image_check() checked the addresses. */
static int table_lookup(struct image_tables *tables, sqfs_meta_reader_t *reader, uint64_t list_start, uint64_t index, void *entry,
			size_t bytes)
{
	uint64_t at = index * bytes, address;
	sqfs_file_t *file = &tables->file.base;
	int r = file->read_at(file, list_start + at / META_BYTES * sizeof(address), &address, sizeof(address));
	if (r == 0)
		r = sqfs_meta_reader_seek(reader, le64toh(address), at % META_BYTES);
	return r != 0 ? r : sqfs_meta_reader_read(reader, entry, bytes);
}

static int ids_load(struct image_tables *tables, struct err *err)
{
	const struct image_super *super = &tables->super;
	sqfs_meta_reader_t *reader = sqfs_meta_reader_create(&tables->file.base, tables->decompressor, 0, super->id_table);
	tables->ids = calloc(super->id_count, sizeof(*tables->ids));
	int r = reader == NULL || tables->ids == NULL ? SQFS_ERROR_ALLOC : 0;
	for (uint32_t i = 0; i < super->id_count && r == 0; i++) {
		r = table_lookup(tables, reader, super->id_table, i, &tables->ids[i], sizeof(*tables->ids));
		tables->ids[i] = le32toh(tables->ids[i]);
	}
	sqfs_destroy(reader);
	return r == 0 ? 0 : image_tables_failed(tables, r, "the table of owners", err);
}

static int xattrs_open(struct image_tables *tables, struct err *err)
{
	const struct image_super *super = &tables->super;
	sqfs_file_t *file = &tables->file.base;
	sqfs_xattr_id_table_t header;
	if (super->xattr_table == TABLE_ABSENT)
		return 0;
	int r = file->read_at(file, super->xattr_table, &header, sizeof(header));
	if (r != 0)
		return image_tables_failed(tables, r, "the extended attributes", err);
	tables->xattrs_start = le64toh(header.xattr_table_start);
	tables->xattr_count = le32toh(header.xattr_ids);
	tables->xattr_ids = sqfs_meta_reader_create(file, tables->decompressor, tables->xattrs_start, super->xattr_table);
	tables->xattrs = sqfs_meta_reader_create(file, tables->decompressor, tables->xattrs_start, super->xattr_table);
	return tables->xattr_ids != NULL && tables->xattrs != NULL ? 0 : image_tables_failed(tables, SQFS_ERROR_ALLOC, "", err);
}

/* The superblock may claim any number of inodes; the table has room for so many. */
static int inode_count_check(const struct image_tables *tables, struct err *err)
{
	const struct image_super *super = &tables->super;
	uint64_t blocks = (super->directory_table - super->inode_table) / META_STORED_MIN + 1;
	uint64_t least = (uint64_t)super->inode_count * INODE_BYTES_MIN / META_BYTES;
	return least <= blocks ? 0 : image_damaged(tables, "the number of inodes", err);
}

static int tables_fill(struct image_tables *tables, const struct image *image, struct err *err)
{
	const struct image_super *super = &tables->super;
	sqfs_file_t *file = &tables->file.base;
	int r = inode_count_check(tables, err);
	if (r == 0)
		r = image_decompressor_create(image, tables->name, &tables->decompressor, err);
	if (r < 0)
		return r;
	/* What follows the directories differs from writer to writer, so the image's end is their limit. */
	tables->inodes = sqfs_meta_reader_create(file, tables->decompressor, super->inode_table, super->directory_table);
	tables->listings = sqfs_meta_reader_create(file, tables->decompressor, super->directory_table, super->used_bytes);
	tables->fragments = sqfs_meta_reader_create(file, tables->decompressor, 0, super->fragment_table);
	if (tables->inodes == NULL || tables->listings == NULL || tables->fragments == NULL)
		return image_tables_failed(tables, SQFS_ERROR_ALLOC, "", err);
	r = ids_load(tables, err);
	return r < 0 ? r : xattrs_open(tables, err);
}

int image_tables_open(int fd, const char *name, const struct image *image, struct image_tables **ret_tables, struct err *err)
{
	struct image_tables *tables = calloc(1, sizeof(*tables));
	if (tables == NULL)
		return err_sys(err, ENOMEM, "cannot read the image '%s'", name);
	*tables = (struct image_tables){ .name = name, .place = "", .super = image->super, .set_index = IMAGE_NO_XATTRS };
	image_file_init(&tables->file, fd, image);
	int r = tables_fill(tables, image, err);
	if (r < 0) {
		image_tables_free(tables);
		return r;
	}
	*ret_tables = tables;
	return 0;
}

int image_fragment_find(struct image_tables *tables, uint32_t index, uint64_t *ret_start, uint32_t *ret_size, struct err *err)
{
	sqfs_fragment_t fragment;
	if (index >= tables->super.fragment_count)
		return image_damaged(tables, "a fragment that does not exist", err);
	int r = table_lookup(tables, tables->fragments, tables->super.fragment_table, index, &fragment, sizeof(fragment));
	if (r != 0)
		return image_tables_failed(tables, r, "the fragment table", err);
	*ret_start = le64toh(fragment.start_offset);
	*ret_size = le32toh(fragment.size);
	return 0;
}

/* --- inodes --- */

static int inode_part(struct image_tables *tables, void *part, size_t bytes, struct err *err)
{
	int r = sqfs_meta_reader_read(tables->inodes, part, bytes);
	return r == 0 ? 0 : image_tables_failed(tables, r, "an inode", err);
}

int image_block_size_next(struct image_tables *tables, uint32_t *ret_size, struct err *err)
{
	uint32_t size = 0;
	int r = inode_part(tables, &size, sizeof(size), err);
	*ret_size = le32toh(size);
	return r;
}

int image_stored_bytes(const struct image_tables *tables, uint32_t size, uint32_t *ret_bytes, struct err *err)
{
	*ret_bytes = size & ~(uint32_t)IMAGE_STORED_PLAIN;
	if (*ret_bytes == 0 || *ret_bytes > tables->super.block_bytes)
		return image_damaged(tables, "the length of a block", err);
	return 0;
}

/* The number of an attribute set, at the end of extended inodes. */
static int xattr_index_read(struct image_tables *tables, struct image_inode *inode, struct err *err)
{
	return image_block_size_next(tables, &inode->xattrs, err);
}

static void listing_set(const struct image_tables *tables, uint32_t block, uint16_t offset, uint32_t bytes,
			struct image_listing *listing)
{
	listing->block = tables->super.directory_table + block;
	listing->offset = offset;
	listing->bytes = bytes > LISTING_EXTRA ? bytes - LISTING_EXTRA : 0;
}

static int directory_read(struct image_tables *tables, bool extended, struct image_inode *inode, struct err *err)
{
	sqfs_inode_dir_t small;
	sqfs_inode_dir_ext_t large;
	int r = extended ? inode_part(tables, &large, sizeof(large), err) : inode_part(tables, &small, sizeof(small), err);
	if (r < 0)
		return r;
	if (!extended) {
		listing_set(tables, le32toh(small.start_block), le16toh(small.offset), le16toh(small.size), &inode->listing);
		return 0;
	}
	listing_set(tables, le32toh(large.start_block), le16toh(large.offset), le32toh(large.size), &inode->listing);
	inode->xattrs = le32toh(large.xattr_idx);
	return 0;
}

static int file_read(struct image_tables *tables, struct image_inode *inode, struct err *err)
{
	sqfs_inode_file_t file;
	int r = inode_part(tables, &file, sizeof(file), err);
	if (r < 0)
		return r;
	inode->data_start = le32toh(file.blocks_start);
	inode->bytes = le32toh(file.file_size);
	inode->fragment = le32toh(file.fragment_index);
	inode->fragment_offset = le32toh(file.fragment_offset);
	return 0;
}

static int file_extended_read(struct image_tables *tables, struct image_inode *inode, struct err *err)
{
	sqfs_inode_file_ext_t file;
	int r = inode_part(tables, &file, sizeof(file), err);
	if (r < 0)
		return r;
	inode->data_start = le64toh(file.blocks_start);
	inode->bytes = le64toh(file.file_size);
	inode->fragment = le32toh(file.fragment_idx);
	inode->fragment_offset = le32toh(file.fragment_offset);
	inode->links = le32toh(file.nlink);
	inode->xattrs = le32toh(file.xattr_idx);
	return 0;
}

static int symlink_read(struct image_tables *tables, bool extended, struct image_inode *inode, struct err *err)
{
	sqfs_inode_slink_t link;
	int r = inode_part(tables, &link, sizeof(link), err);
	if (r < 0)
		return r;
	uint32_t bytes = le32toh(link.target_size);
	inode->links = le32toh(link.nlink);
	if (bytes == 0 || bytes >= sizeof(inode->target))
		return image_damaged(tables, "the length of a symlink's target", err);
	r = inode_part(tables, inode->target, bytes, err);
	inode->target[bytes] = '\0';
	if (r == 0 && strlen(inode->target) != bytes)
		return image_damaged(tables, "a symlink's target", err);
	return r < 0 || !extended ? r : xattr_index_read(tables, inode, err);
}

static int device_read(struct image_tables *tables, bool extended, struct image_inode *inode, struct err *err)
{
	sqfs_inode_dev_t device;
	int r = inode_part(tables, &device, sizeof(device), err);
	if (r < 0)
		return r;
	inode->links = le32toh(device.nlink);
	inode->device = le32toh(device.devno);
	return extended ? xattr_index_read(tables, inode, err) : 0;
}

/* FIFOs and sockets. */
static int pipe_read(struct image_tables *tables, bool extended, struct image_inode *inode, struct err *err)
{
	sqfs_inode_ipc_t pipe;
	int r = inode_part(tables, &pipe, sizeof(pipe), err);
	if (r < 0)
		return r;
	inode->links = le32toh(pipe.nlink);
	return extended ? xattr_index_read(tables, inode, err) : 0;
}

/* By the number of the basic type; the extended ones are the same, seven further on. */
static const mode_t types[] = { 0, S_IFDIR, S_IFREG, S_IFLNK, S_IFBLK, S_IFCHR, S_IFIFO, S_IFSOCK };
enum { TYPE_COUNT = sizeof(types) / sizeof(types[0]), TYPE_EXTENDED = 7 };

static int type_part_read(struct image_tables *tables, bool extended, struct image_inode *inode, struct err *err)
{
	switch (inode->mode & S_IFMT) {
	case S_IFDIR:
		return directory_read(tables, extended, inode, err);
	case S_IFREG:
		return extended ? file_extended_read(tables, inode, err) : file_read(tables, inode, err);
	case S_IFLNK:
		return symlink_read(tables, extended, inode, err);
	case S_IFBLK:
	case S_IFCHR:
		return device_read(tables, extended, inode, err);
	default:
		return pipe_read(tables, extended, inode, err);
	}
}

/* What all types have in common. */
static int base_decode(const struct image_tables *tables, const sqfs_inode_t *base, struct image_inode *inode, struct err *err)
{
	uint16_t type = le16toh(base->type), uid = le16toh(base->uid_idx), gid = le16toh(base->gid_idx);
	uint32_t number = le32toh(base->inode_number);
	if (type == 0 || type >= TYPE_COUNT + TYPE_EXTENDED)
		return image_damaged(tables, "an inode of unknown type", err);
	if (uid >= tables->super.id_count || gid >= tables->super.id_count)
		return image_damaged(tables, "an inode's owner", err);
	if (number == 0 || number > tables->super.inode_count)
		return image_damaged(tables, "an inode's number", err);
	*inode = (struct image_inode){
		.mode = types[type >= TYPE_COUNT ? type - TYPE_EXTENDED : type] | (le16toh(base->mode) & 07777),
		.uid = tables->ids[uid],
		.gid = tables->ids[gid],
		.mtime = le32toh(base->mod_time),
		.number = number,
		.links = 1,
		.xattrs = IMAGE_NO_XATTRS,
		.fragment = IMAGE_NO_FRAGMENT,
	};
	return 0;
}

int image_inode_read(struct image_tables *tables, uint64_t reference, struct image_inode *inode, struct err *err)
{
	sqfs_inode_t base;
	int r = sqfs_meta_reader_seek(tables->inodes, tables->super.inode_table + (reference >> 16), reference & 0xffff);
	if (r != 0)
		return image_tables_failed(tables, r, "an inode", err);
	r = inode_part(tables, &base, sizeof(base), err);
	if (r == 0)
		r = base_decode(tables, &base, inode, err);
	return r < 0 ? r : type_part_read(tables, le16toh(base.type) >= TYPE_COUNT, inode, err);
}

/* --- directories --- */

static int listing_part(struct image_tables *tables, struct image_listing *listing, void *part, uint32_t bytes, struct err *err)
{
	if (bytes > listing->bytes)
		return image_damaged(tables, "a directory's length", err);
	listing->bytes -= bytes;
	int r = sqfs_meta_reader_read(tables->listings, part, bytes);
	return r == 0 ? 0 : image_tables_failed(tables, r, "a directory", err);
}

static int run_begin(struct image_tables *tables, struct image_listing *listing, struct err *err)
{
	sqfs_dir_header_t header;
	int r = listing_part(tables, listing, &header, sizeof(header), err);
	if (r < 0)
		return r;
	if (le32toh(header.count) >= RUN_MAX)
		return image_damaged(tables, "a directory's number of entries", err);
	listing->run = le32toh(header.count) + 1;
	listing->inode_block = le32toh(header.start_block);
	listing->number = le32toh(header.inode_number);
	return 0;
}

/* Names ascend, so none comes twice. */
static int name_check(const struct image_tables *tables, const struct image_listing *listing, const char *name, size_t bytes,
		      struct err *err)
{
	if (strlen(name) != bytes || strchr(name, '/') != NULL || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return image_damaged(tables, "a name that no file can have", err);
	if (strcmp(listing->last, name) >= 0)
		return image_damaged(tables, "a name that comes twice or out of order", err);
	return 0;
}

static int entry_read(struct image_tables *tables, struct image_listing *listing, struct image_entry *entry, struct err *err)
{
	sqfs_dir_entry_t head;
	int r = listing_part(tables, listing, &head, sizeof(head), err);
	if (r < 0)
		return r;
	size_t bytes = (size_t)le16toh(head.size) + 1;
	if (bytes > IMAGE_NAME_MAX)
		return image_damaged(tables, "the length of a name", err);
	r = listing_part(tables, listing, entry->name, (uint32_t)bytes, err);
	entry->name[bytes] = '\0';
	if (r == 0)
		r = name_check(tables, listing, entry->name, bytes, err);
	if (r < 0)
		return r;
	memcpy(listing->last, entry->name, bytes + 1);
	entry->reference = (uint64_t)listing->inode_block << 16 | le16toh(head.offset);
	entry->number = listing->number + (uint32_t)(int16_t)le16toh((uint16_t)head.inode_diff);
	listing->run--;
	return 1;
}

int image_entry_next(struct image_tables *tables, struct image_listing *listing, struct image_entry *ret_entry, struct err *err)
{
	if (listing->bytes == 0 && listing->run == 0)
		return 0;
	int r = sqfs_meta_reader_seek(tables->listings, listing->block, listing->offset);
	if (r != 0)
		return image_tables_failed(tables, r, "a directory", err);
	if (listing->run == 0)
		r = run_begin(tables, listing, err);
	if (r == 0)
		r = entry_read(tables, listing, ret_entry, err);
	sqfs_u64 block;
	sqfs_meta_reader_get_position(tables->listings, &block, &listing->offset);
	listing->block = block;
	return r;
}

/* --- extended attributes --- */

static const char *const prefixes[] = { "user.", "trusted.", "security." };
enum { PREFIX_COUNT = sizeof(prefixes) / sizeof(prefixes[0]) };

/* What is left of the limits for one file's attributes. */
struct budget {
	size_t name_bytes, value_bytes;
};

static int xattr_part(struct image_tables *tables, void *part, size_t bytes, struct err *err)
{
	int r = sqfs_meta_reader_read(tables->xattrs, part, bytes);
	return r == 0 ? 0 : image_tables_failed(tables, r, "the extended attributes", err);
}

static int xattr_seek(struct image_tables *tables, uint64_t reference, struct err *err)
{
	int r = sqfs_meta_reader_seek(tables->xattrs, tables->xattrs_start + (reference >> 16), reference & 0xffff);
	return r == 0 ? 0 : image_tables_failed(tables, r, "the extended attributes", err);
}

static int xattr_name_read(struct image_tables *tables, struct budget *budget, char name[XATTR_NAME_MAX + 1], bool *ret_elsewhere,
			   struct err *err)
{
	sqfs_xattr_entry_t head;
	int r = xattr_part(tables, &head, sizeof(head), err);
	if (r < 0)
		return r;
	unsigned type = le16toh(head.type), prefix = type & 0xff;
	size_t bytes = le16toh(head.size), prefix_bytes = prefix < PREFIX_COUNT ? strlen(prefixes[prefix]) : 0;
	if (prefix >= PREFIX_COUNT || bytes == 0 || prefix_bytes + bytes > XATTR_NAME_MAX || bytes > budget->name_bytes)
		return image_damaged(tables, "the name of an extended attribute", err);
	budget->name_bytes -= bytes;
	memcpy(name, prefixes[prefix], prefix_bytes);
	r = xattr_part(tables, name + prefix_bytes, bytes, err);
	name[prefix_bytes + bytes] = '\0';
	*ret_elsewhere = (type & XATTR_OUT_OF_LINE) != 0;
	if (r == 0 && strlen(name) != prefix_bytes + bytes)
		return image_damaged(tables, "the name of an extended attribute", err);
	return r;
}

static int xattr_length_read(struct image_tables *tables, uint32_t *ret_bytes, struct err *err)
{
	sqfs_xattr_value_t head;
	int r = xattr_part(tables, &head, sizeof(head), err);
	*ret_bytes = r == 0 ? le32toh(head.size) : 0;
	return r;
}

/* Name and value in one piece of memory, the name first. */
static int xattr_store(struct image_tables *tables, const char *name, uint32_t bytes, struct budget *budget, struct err *err)
{
	if (bytes > XATTR_SIZE_MAX || bytes > budget->value_bytes)
		return image_damaged(tables, "the length of an extended attribute", err);
	budget->value_bytes -= bytes;
	if (tables->set_count == tables->set_room) {
		struct xattr *room = realloc(tables->set, (tables->set_room * 2 + 4) * sizeof(*room));
		if (room == NULL)
			return image_tables_failed(tables, SQFS_ERROR_ALLOC, "", err);
		tables->set = room;
		tables->set_room = tables->set_room * 2 + 4;
	}
	size_t name_bytes = strlen(name) + 1;
	char *memory = malloc(name_bytes + bytes);
	if (memory == NULL)
		return image_tables_failed(tables, SQFS_ERROR_ALLOC, "", err);
	memcpy(memory, name, name_bytes);
	tables->set[tables->set_count++] = (struct xattr){ .name = memory, .value = memory + name_bytes, .value_bytes = bytes };
	return xattr_part(tables, memory + name_bytes, bytes, err);
}

/* A value that several sets share stands with the first of them; the others have its place as theirs. last: nothing is to be read
 * behind it, where the table may end. */
static int xattr_shared_read(struct image_tables *tables, const char *name, bool last, struct budget *budget, struct err *err)
{
	uint32_t bytes;
	uint64_t reference;
	int r = xattr_length_read(tables, &bytes, err);
	if (r == 0 && bytes != sizeof(reference))
		return image_damaged(tables, "the place of an extended attribute", err);
	if (r == 0)
		r = xattr_part(tables, &reference, sizeof(reference), err);
	if (r < 0)
		return r;
	sqfs_u64 block;
	size_t offset;
	sqfs_meta_reader_get_position(tables->xattrs, &block, &offset);
	r = xattr_seek(tables, le64toh(reference), err);
	if (r == 0)
		r = xattr_length_read(tables, &bytes, err);
	if (r == 0)
		r = xattr_store(tables, name, bytes, budget, err);
	if (r < 0 || last)
		return r;
	r = sqfs_meta_reader_seek(tables->xattrs, block, offset);
	return r == 0 ? 0 : image_tables_failed(tables, r, "the extended attributes", err);
}

static int xattr_read(struct image_tables *tables, bool last, struct budget *budget, struct err *err)
{
	char name[XATTR_NAME_MAX + 1];
	bool elsewhere = false;
	uint32_t bytes;
	int r = xattr_name_read(tables, budget, name, &elsewhere, err);
	if (r < 0)
		return r;
	if (elsewhere)
		return xattr_shared_read(tables, name, last, budget, err);
	r = xattr_length_read(tables, &bytes, err);
	return r < 0 ? r : xattr_store(tables, name, bytes, budget, err);
}

static void set_clear(struct image_tables *tables)
{
	for (size_t i = 0; i < tables->set_count; i++)
		free((char *)tables->set[i].name);
	tables->set_count = 0;
	tables->set_index = IMAGE_NO_XATTRS;
}

static int set_read(struct image_tables *tables, uint32_t index, struct err *err)
{
	struct budget budget = { .name_bytes = XATTR_LIST_MAX, .value_bytes = XATTR_SET_MAX };
	sqfs_xattr_id_t id;
	if (index >= tables->xattr_count)
		return image_damaged(tables, "a set of extended attributes that does not exist", err);
	uint64_t list_start = tables->super.xattr_table + sizeof(sqfs_xattr_id_table_t);
	int r = table_lookup(tables, tables->xattr_ids, list_start, index, &id, sizeof(id));
	if (r != 0)
		return image_tables_failed(tables, r, "the extended attributes", err);
	r = xattr_seek(tables, le64toh(id.xattr), err);
	for (uint32_t left = le32toh(id.count); left > 0 && r == 0; left--)
		r = xattr_read(tables, left == 1, &budget, err);
	if (r == 0)
		tables->set_index = index;
	return r;
}

int image_xattrs_read(struct image_tables *tables, uint32_t index, struct xattr **ret_xattrs, size_t *ret_count, struct err *err)
{
	int r = 0;
	if (index == IMAGE_NO_XATTRS || index != tables->set_index) {
		set_clear(tables);
		r = index == IMAGE_NO_XATTRS ? 0 : set_read(tables, index, err);
	}
	*ret_xattrs = tables->set;
	*ret_count = tables->set_count;
	return r;
}

void image_tables_free(struct image_tables *tables)
{
	if (tables == NULL)
		return;
	set_clear(tables);
	free(tables->set);
	free(tables->ids);
	sqfs_destroy(tables->xattrs);
	sqfs_destroy(tables->xattr_ids);
	sqfs_destroy(tables->fragments);
	sqfs_destroy(tables->listings);
	sqfs_destroy(tables->inodes);
	sqfs_destroy(tables->decompressor);
	free(tables);
}
