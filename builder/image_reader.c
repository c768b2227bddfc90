/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading images: see image_reader.h. Counting walks the inode table from its beginning to its end, not the directories, so that
 * no loop or shared subtree in a hostile image can hold it up.
 */
#include "builder/image_reader.h"

#include "builder/image_file.h"
#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/image.h"
#include "lib/strlist.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <sqfs/data_reader.h>
#include <sqfs/dir.h>
#include <sqfs/dir_reader.h>
#include <sqfs/error.h>
#include <sqfs/inode.h>
#include <sqfs/meta_reader.h>
#include <sqfs/super.h>

struct image_reader {
	const char *path;
	struct image_file file;
	sqfs_super_t super;
	sqfs_compressor_t *decompressor;
	sqfs_dir_reader_t *directories;
	sqfs_data_reader_t *data;
};

static int reader_failed(const struct image_reader *reader, int result, const char *what, struct err *err)
{
	if (result == SQFS_ERROR_ALLOC)
		return err_sys(err, ENOMEM, "cannot read %s of the image '%s'", what, reader->path);
	err_set(err, EBADMSG, "the image '%s' is damaged: cannot read %s (%d)", reader->path, what, result);
	return err_hint(err, "copy or build the image again");
}

static int parts_create(struct image_reader *reader, const struct image *image, struct err *err)
{
	sqfs_file_t *file = &reader->file.base;
	int r = sqfs_super_read(&reader->super, file);
	if (r != 0)
		return reader_failed(reader, r, "the superblock", err);
	r = image_decompressor_create(image, reader->path, &reader->decompressor, err);
	if (r < 0)
		return r;
	reader->directories = sqfs_dir_reader_create(&reader->super, reader->decompressor, file, 0);
	reader->data = sqfs_data_reader_create(file, reader->super.block_size, reader->decompressor, 0);
	if (reader->directories == NULL || reader->data == NULL)
		return reader_failed(reader, SQFS_ERROR_ALLOC, "the directories", err);
	if (reader->super.fragment_entry_count == 0)
		return 0;
	r = sqfs_data_reader_load_fragment_table(reader->data, &reader->super);
	return r == 0 ? 0 : reader_failed(reader, r, "the fragment table", err);
}

int image_reader_open(int fd, const char *path, const struct image *image, struct image_reader **ret_reader, struct err *err)
{
	struct image_reader *reader = calloc(1, sizeof(*reader));
	if (reader == NULL)
		return err_sys(err, ENOMEM, "cannot read the image '%s'", path);
	reader->path = path;
	image_file_init(&reader->file, fd, image);
	int r = parts_create(reader, image, err);
	if (r < 0) {
		image_reader_free(reader);
		return r;
	}
	*ret_reader = reader;
	return 0;
}

static void inode_count(const sqfs_inode_generic_t *inode, struct image_counts *counts)
{
	sqfs_u64 bytes = 0;
	switch (inode->base.mode & S_IFMT) {
	case S_IFREG:
		sqfs_inode_get_file_size(inode, &bytes);
		counts->files++;
		counts->content_bytes += bytes;
		break;
	case S_IFDIR:
		counts->directories++;
		break;
	case S_IFLNK:
		counts->symlinks++;
		break;
	case S_IFCHR:
	case S_IFBLK:
		counts->devices++;
		break;
	case S_IFIFO:
		counts->fifos++;
		break;
	default:
		counts->sockets++;
	}
}

int image_reader_count(struct image_reader *reader, struct image_counts *ret_counts, struct err *err)
{
	struct image_counts counts = { 0 };
	const sqfs_super_t *super = &reader->super;
	sqfs_meta_reader_t *table = sqfs_meta_reader_create(&reader->file.base, reader->decompressor, super->inode_table_start,
							    super->directory_table_start);
	int r = table == NULL ? SQFS_ERROR_ALLOC : 0;
	sqfs_u64 block = super->inode_table_start;
	size_t offset = 0;
	for (uint32_t i = 0; i < super->inode_count && r == 0; i++) {
		sqfs_inode_generic_t *inode;
		r = sqfs_meta_reader_read_inode(table, super, block - super->inode_table_start, offset, &inode);
		if (r == 0) {
			inode_count(inode, &counts);
			sqfs_free(inode);
			sqfs_meta_reader_get_position(table, &block, &offset);
		}
	}
	sqfs_destroy(table);
	if (r != 0)
		return reader_failed(reader, r, "the inode table", err);
	*ret_counts = counts;
	return 0;
}

static int file_read(struct image_reader *reader, const sqfs_inode_generic_t *inode, const char *path, size_t max_bytes,
		     char **ret_text, size_t *ret_bytes, struct err *err)
{
	sqfs_u64 bytes = 0;
	if (sqfs_inode_get_file_size(inode, &bytes) != 0)
		return -ENOENT;
	if (bytes > max_bytes)
		return err_set(err, EFBIG, "'%s' in the image '%s' is too large", path, reader->path);
	autofree char *text = malloc(bytes + 1);
	if (text == NULL)
		return reader_failed(reader, SQFS_ERROR_ALLOC, path, err);
	for (sqfs_u64 done = 0; done < bytes;) {
		sqfs_s32 n = sqfs_data_reader_read(reader->data, inode, done, text + done, (sqfs_u32)(bytes - done));
		if (n <= 0)
			return reader_failed(reader, n, path, err);
		done += (sqfs_u64)n;
	}
	text[bytes] = '\0';
	*ret_text = steal_ptr(&text);
	*ret_bytes = bytes;
	return 0;
}

int image_reader_file(struct image_reader *reader, const char *path, size_t max_bytes, char **ret_text, size_t *ret_bytes,
		      struct err *err)
{
	sqfs_inode_generic_t *inode;
	int r = sqfs_dir_reader_find_by_path(reader->directories, NULL, path, &inode);
	if (r == SQFS_ERROR_NO_ENTRY || r == SQFS_ERROR_NOT_DIR)
		return -ENOENT;
	if (r != 0)
		return reader_failed(reader, r, path, err);
	r = file_read(reader, inode, path, max_bytes, ret_text, ret_bytes, err);
	sqfs_free(inode);
	return r;
}

static int names_read(struct image_reader *reader, const char *path, size_t max_count, struct strlist *names, struct err *err)
{
	for (size_t count = 0;; count++) {
		sqfs_dir_entry_t *entry;
		int r = sqfs_dir_reader_read(reader->directories, &entry);
		if (r != 0)
			return r > 0 ? 0 : reader_failed(reader, r, path, err);
		if (count == max_count)
			r = err_set(err, EFBIG, "the directory '%s' in the image '%s' has too many names", path, reader->path);
		else if (strlist_addf(names, "%.*s", (int)entry->size + 1, (const char *)entry->name) < 0)
			r = reader_failed(reader, SQFS_ERROR_ALLOC, path, err);
		sqfs_free(entry);
		if (r < 0)
			return r;
	}
}

int image_reader_list(struct image_reader *reader, const char *path, size_t max_count, struct strlist *names, struct err *err)
{
	sqfs_inode_generic_t *inode;
	int r = sqfs_dir_reader_find_by_path(reader->directories, NULL, path, &inode);
	if (r == 0) {
		r = sqfs_dir_reader_open_dir(reader->directories, inode, 0);
		sqfs_free(inode);
	}
	if (r == SQFS_ERROR_NO_ENTRY || r == SQFS_ERROR_NOT_DIR)
		return -ENOENT;
	if (r != 0)
		return reader_failed(reader, r, path, err);
	return names_read(reader, path, max_count, names, err);
}

void image_reader_free(struct image_reader *reader)
{
	if (reader == NULL)
		return;
	sqfs_destroy(reader->data);
	sqfs_destroy(reader->directories);
	sqfs_destroy(reader->decompressor);
	free(reader);
}
