/* SPDX-License-Identifier: Apache-2.0
 *
 * lib/image.c against a real image with tables of several blocks, and against every way to damage what it looks at.
 */
#include "lib/image.h"
#include "tests/tap.h"
#include "tests/unit/make_image.h"
#include "tests/unit/scratch.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdint.h>
#include <sys/mman.h>

enum { INODES = 3000, SUPER_BYTES = 96, META_BYTES = 8192, FLIPS = 20000 };

/* Where the fields of the superblock stand. */
enum {
	AT_MAGIC = 0,
	AT_INODES = 4,
	AT_BLOCK_BYTES = 12,
	AT_FRAGMENTS = 16,
	AT_COMPRESSOR = 20,
	AT_BLOCK_LOG = 22,
	AT_IDS = 26,
	AT_MAJOR = 28,
	AT_MINOR = 30,
	AT_ROOT = 32,
	AT_USED = 40,
	AT_ID_TABLE = 48,
	AT_XATTR_TABLE = 56,
	AT_INODE_TABLE = 64,
	AT_DIRECTORY_TABLE = 72,
	AT_FRAGMENT_TABLE = 80,
	AT_EXPORT_TABLE = 88,
};

static struct {
	uint8_t *bytes;
	size_t count;
} whole;

/* Files with owners, attributes and tails of their own, so that each table has more than one block. */
static void make_whole(void)
{
	struct maker maker;
	maker_begin(&maker, "whole.simg", 4096);
	for (uint32_t i = 0; i < INODES; i++) {
		char path[32], value[16], data[1500];
		snprintf(path, sizeof(path), "dir-%u/file-%u", i % 7, i);
		snprintf(value, sizeof(value), "%u", i);
		for (size_t k = 0; k < sizeof(data); k++)
			data[k] = (char)rand();
		struct xattr xattr = { "user.number", value, strlen(value) };
		struct inode inode = { .mode = S_IFREG | 0644, .uid = i + 1, .gid = i + 1 };
		inode.xattrs = xattr_intern(tree_xattrs(maker.tree), tree_arena(maker.tree), &xattr, 1);
		maker_file(&maker, path, data, sizeof(data), &inode);
	}
	maker_must(&maker, maker_end(&maker));
	FILE *file = fopen("whole.simg", "r");
	struct stat st;
	if (file == NULL || fstat(fileno(file), &st) < 0)
		err(99, "whole.simg");
	whole.count = (size_t)st.st_size;
	whole.bytes = malloc(whole.count);
	if (whole.bytes == NULL || fread(whole.bytes, 1, whole.count, file) != whole.count)
		err(99, "whole.simg");
	fclose(file);
}

static uint64_t get(const uint8_t *bytes, size_t at, size_t width)
{
	uint64_t value = 0;
	memcpy(&value, bytes + at, width);
	return le64toh(value);
}

static void put(uint8_t *bytes, size_t at, uint64_t value, size_t width)
{
	value = htole64(value);
	memcpy(bytes + at, &value, width);
}

/* Identifies and checks an image of these bytes. */
static int try_bytes(const uint8_t *bytes, size_t count, struct image *image, struct err *ret_err)
{
	int fd = memfd_create("image", 0);
	if (fd < 0 || write(fd, bytes, count) != (ssize_t)count)
		errx(99, "memfd");
	*ret_err = (struct err)ERR_INIT;
	int r = image_identify(fd, "x.simg", image, ret_err);
	if (r == 0)
		r = image_check(fd, "x.simg", image, ret_err);
	close(fd);
	return r;
}

/* The whole image with one field changed. */
static int try_field(size_t at, uint64_t value, size_t width, struct err *err)
{
	struct image image;
	uint8_t saved[8];
	memcpy(saved, whole.bytes + at, width);
	put(whole.bytes, at, value, width);
	int r = try_bytes(whole.bytes, whole.count, &image, err);
	memcpy(whole.bytes + at, saved, width);
	return r;
}

static const struct {
	const char *sentence;
	size_t at, width;
	uint64_t value;
	const char *message;
} damages[] = {
	{ "another magic number is no image", AT_MAGIC, 4, 0x12345678, "'x.simg' is not a SquashFS image" },
	{ "version 3 is refused", AT_MAJOR, 2, 3, "is SquashFS version 3.0, only 4.0 is supported" },
	{ "version 4.1 is refused", AT_MINOR, 2, 1, "is SquashFS version 4.1, only 4.0 is supported" },
	{ "a block size that is no power of two", AT_BLOCK_BYTES, 4, 5000, "is damaged: block size" },
	{ "a block size of 2 KiB", AT_BLOCK_BYTES, 4, 2048, "is damaged: block size" },
	{ "a block size of 2 MiB", AT_BLOCK_BYTES, 4, 2097152, "is damaged: block size" },
	{ "a block size without its logarithm", AT_BLOCK_LOG, 2, 17, "is damaged: block size" },
	{ "a logarithm that would shift too far", AT_BLOCK_LOG, 2, 77, "is damaged: block size" },
	{ "compressor 0", AT_COMPRESSOR, 2, 0, "is damaged: unknown compressor (0)" },
	{ "compressor 7", AT_COMPRESSOR, 2, 7, "is damaged: unknown compressor (7)" },
	{ "no inodes", AT_INODES, 4, 0, "is damaged: no inodes" },
	{ "more inodes than the export table has room for", AT_INODES, 4, UINT32_MAX, "is damaged: export table out of bounds" },
	{ "no ids", AT_IDS, 2, 0, "is damaged: no ids" },
	{ "more ids than the table has room for", AT_IDS, 2, 65535, "is damaged: id table out of bounds" },
	{ "more fragments than the table has room for", AT_FRAGMENTS, 4, UINT32_MAX, "is damaged: fragment table out of bounds" },
	{ "a length of 0", AT_USED, 8, 0, "is damaged: length in the superblock" },
	{ "a length of more than the file", AT_USED, 8, (uint64_t)1 << 40, "is truncated: it has" },
	{ "a length of all ones", AT_USED, 8, UINT64_MAX, "is truncated: it has" },
	{ "an inode table in the superblock", AT_INODE_TABLE, 8, 95, "is damaged: inode table out of bounds" },
	{ "an inode table behind the directories", AT_INODE_TABLE, 8, (uint64_t)1 << 50, "is damaged: inode table out of bounds" },
	{ "a directory table behind the end", AT_DIRECTORY_TABLE, 8, (uint64_t)1 << 50, "is damaged: directory table out of bounds" },
	{ "a directory table of all ones", AT_DIRECTORY_TABLE, 8, UINT64_MAX, "is damaged: directory table out of bounds" },
	{ "a root inode behind the inodes", AT_ROOT, 8, (uint64_t)1 << 40, "is damaged: root inode out of bounds" },
	{ "a root inode behind its block", AT_ROOT, 8, META_BYTES, "is damaged: root inode out of bounds" },
	{ "an id table at 0", AT_ID_TABLE, 8, 0, "is damaged: id table out of bounds" },
	{ "an id table behind the end", AT_ID_TABLE, 8, (uint64_t)1 << 50, "is damaged: id table out of bounds" },
	{ "an id table that is absent", AT_ID_TABLE, 8, UINT64_MAX, "is damaged: id table out of bounds" },
	{ "a fragment table behind the end", AT_FRAGMENT_TABLE, 8, (uint64_t)1 << 50, "is damaged: fragment table out of bounds" },
	{ "a fragment table that is absent although there are fragments", AT_FRAGMENT_TABLE, 8, UINT64_MAX,
	  "is damaged: fragment table out of bounds" },
	{ "an export table behind the end", AT_EXPORT_TABLE, 8, (uint64_t)1 << 50, "is damaged: export table out of bounds" },
	{ "an export table close below all ones", AT_EXPORT_TABLE, 8, UINT64_MAX - 1, "is damaged: export table out of bounds" },
	{ "an xattr table behind the end", AT_XATTR_TABLE, 8, (uint64_t)1 << 50, "is damaged: xattr table out of bounds" },
	{ "an xattr table close below all ones", AT_XATTR_TABLE, 8, UINT64_MAX - 1, "is damaged: xattr table out of bounds" },
};

static const struct {
	const char *name, *message;
	size_t at, skip; /* the table's address in the superblock, and what stands there before the list */
} tables[] = {
	{ "id", "id table out of bounds", AT_ID_TABLE, 0 },
	{ "fragment", "fragment table out of bounds", AT_FRAGMENT_TABLE, 0 },
	{ "export", "export table out of bounds", AT_EXPORT_TABLE, 0 },
	{ "xattr", "xattr table out of bounds", AT_XATTR_TABLE, 16 },
};

static const uint64_t bad_addresses[] = { 0, 95, (uint64_t)1 << 33, UINT64_MAX };

/* What an accepted image promises, told in another way than image_check does. */
static bool in_bounds(const struct image *image)
{
	const struct image_super *super = &image->super;
	uint64_t used = super->used_bytes;
	return used <= image->file_bytes && super->inode_table < super->directory_table && super->directory_table < used &&
	       super->id_table < used && super->id_count > 0 && (super->fragment_count == 0 || super->fragment_table < used) &&
	       (super->export_table == UINT64_MAX || super->export_table < used) &&
	       (super->xattr_table == UINT64_MAX || super->xattr_table < used) && super->block_bytes >= 4096 &&
	       super->block_bytes <= 1048576;
}

int main(void)
{
	struct err err = ERR_INIT;
	struct image image;
	scratch_enter();
	srand(1);
	make_whole();

	test_case ("a whole image is accepted, and its superblock read") {
		check_int(try_bytes(whole.bytes, whole.count, &image, &err), 0);
		check_str(image_format_name(image.format), "squashfs");
		check_str(image_compressor_name(image.super.compressor), "zstd");
		check_int(image.super.block_bytes, 4096);
		check_int(image.super.inode_count, INODES + 8);
		check_int(image.super.id_count, INODES + 1);
		check(image.super.fragment_count > 512);
		check_int(image.super.modified_seconds, 1000000000);
		check_int(image.file_bytes, whole.count);
	}

	for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
		test_case ("%s", damages[i].sentence) {
			check_int(try_field(damages[i].at, damages[i].value, damages[i].width, &err), -EBADMSG);
			check_has(err.text, damages[i].message);
			check(err.hint[0] != '\0' || strstr(err.text, "version") != NULL);
		}
	}

	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
		test_case ("an address in the list of the %s table that is out of bounds or out of order", tables[i].name) {
			uint64_t list = get(whole.bytes, tables[i].at, 8) + tables[i].skip, second = get(whole.bytes, list + 8, 8);
			for (size_t k = 0; k < sizeof(bad_addresses) / sizeof(bad_addresses[0]); k++) {
				for (int entry = 0; entry < 2; entry++) {
					check_int(try_field(list + (uint64_t)entry * 8, bad_addresses[k], 8, &err), -EBADMSG);
					check_has(err.text, tables[i].message);
				}
			}
			check_int(try_field(list, second, 8, &err), -EBADMSG);
			check_has(err.text, tables[i].message);
		}
	}

	test_case ("xattr values that begin behind their table") {
		uint64_t table = get(whole.bytes, AT_XATTR_TABLE, 8);
		check_int(try_field(table, table, 8, &err), -EBADMSG);
		check_has(err.text, "xattr values out of bounds");
		check_int(try_field(table + 8, UINT32_MAX, 4, &err), -EBADMSG);
		check_has(err.text, "xattr table out of bounds");
	}

	test_case ("an image without xattrs, export table and fragments is accepted") {
		struct maker maker;
		maker_begin(&maker, "bare.simg", 131072);
		check_int(maker_end(&maker), 0);
		int fd = open("bare.simg", O_RDONLY | O_CLOEXEC);
		check_int(image_identify(fd, "bare.simg", &image, &err), 0);
		check_int(image_check(fd, "bare.simg", &image, &err), 0);
		check(image.super.xattr_table == UINT64_MAX);
		check_int(image.super.fragment_count, 0);
		close(fd);
	}

	test_case ("an image that is cut anywhere is truncated, an empty one empty") {
		check_int(try_bytes(whole.bytes, 0, &image, &err), -EBADMSG);
		check_str(err.text, "image 'x.simg' is empty");
		for (size_t count = 4; count < image.super.used_bytes; count += count < 200 ? 1 : 997) {
			check_int(try_bytes(whole.bytes, count, &image, &err), -EBADMSG);
			if (!check_has(err.text, "is truncated: "))
				break;
		}
	}

	test_case ("each flipped bit of the superblock is refused or leaves the tables in bounds") {
		for (size_t bit = 0; bit < SUPER_BYTES * 8; bit++) {
			whole.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
			int r = try_bytes(whole.bytes, whole.count, &image, &err);
			whole.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
			if (!check(r == 0 ? in_bounds(&image) : r == -EBADMSG && err.text[0] != '\0'))
				break;
		}
	}

	test_case ("%d random changes to superblock and address lists never crash it", FLIPS) {
		uint8_t *bytes = malloc(whole.count);
		uint64_t tail = get(whole.bytes, AT_DIRECTORY_TABLE, 8);
		for (int i = 0; i < FLIPS / 100; i++) {
			memcpy(bytes, whole.bytes, whole.count);
			for (int k = 0; k < 100; k++) {
				size_t at = rand() % 2 == 0 ? (size_t)rand() % SUPER_BYTES : tail + (size_t)rand() % (whole.count - tail);
				bytes[at] = (uint8_t)rand();
				if (rand() % 4 == 0)
					memcpy(bytes, whole.bytes, AT_ROOT); /* so that more than the first checks are reached */
			}
			int r = try_bytes(bytes, whole.count, &image, &err);
			if (!check(r < 0 || in_bounds(&image)))
				break;
		}
		free(bytes);
	}

	test_case ("a line before the superblock is skipped, if it ends within 4 KiB") {
		for (size_t length = 10; length <= 4200; length += 4190) {
			uint8_t *bytes = malloc(length + whole.count);
			memset(bytes, 'x', length);
			memcpy(bytes, "#!", 2);
			bytes[length - 1] = '\n';
			memcpy(bytes + length, whole.bytes, whole.count);
			int r = try_bytes(bytes, length + whole.count, &image, &err);
			check_int(r, length < 4096 ? 0 : -EBADMSG);
			if (r == 0) {
				check_str(image_format_name(image.format), "singularity 2.x");
				check_int(image.offset_bytes, length);
			}
			free(bytes);
		}
	}

	test_case ("a directory is one, a device is nothing") {
		int fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		check_int(image_identify(fd, ".", &image, &err), 0);
		check_str(image_format_name(image.format), "directory");
		check_int(image_check(fd, ".", &image, &err), -EINVAL);
		close(fd);
		fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
		check_int(image_identify(fd, "/dev/null", &image, &err), -EINVAL);
		check_has(err.text, "is neither a regular file nor a directory");
		close(fd);
	}

	free(whole.bytes);
	return test_end();
}
