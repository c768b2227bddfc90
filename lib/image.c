/* SPDX-License-Identifier: Apache-2.0
 *
 * Image identification and superblock checks: see image.h. Input is hostile: every offset is compared before it is used, and
 * sums are arranged so that they cannot wrap.
 */
#include "lib/image.h"

#include "lib/err.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	SQUASHFS_MAGIC = 0x73717368,
	SQUASHFS_SUPER_BYTES = 96,
	SQUASHFS_META_BYTES = 8192, /* a metadata block before compression */
	SQUASHFS_FRAGMENT_BYTES = 16,
	SQUASHFS_ID_BYTES = 4,
	SQUASHFS_EXPORT_BYTES = 8,
	SQUASHFS_XATTR_BYTES = 16,
	SQUASHFS_XATTR_HEADER_BYTES = 16,
	LEGACY_HEADER_MAX = 4096,
	SIF_MAGIC_OFFSET = 32,
};
#define TABLE_ABSENT UINT64_MAX

static uint16_t le16(const uint8_t *p)
{
	uint16_t v;
	memcpy(&v, p, sizeof(v));
	return le16toh(v);
}

static uint32_t le32(const uint8_t *p)
{
	uint32_t v;
	memcpy(&v, p, sizeof(v));
	return le32toh(v);
}

static uint64_t le64(const uint8_t *p)
{
	uint64_t v;
	memcpy(&v, p, sizeof(v));
	return le64toh(v);
}

const char *image_format_name(enum image_format format)
{
	switch (format) {
	case IMAGE_SQUASHFS:
		return "squashfs";
	case IMAGE_LEGACY_SIMG:
		return "singularity 2.x";
	case IMAGE_SIF:
		return "sif";
	case IMAGE_DIRECTORY:
		return "directory";
	case IMAGE_UNKNOWN:
		break;
	}
	return "unknown";
}

const char *image_compressor_name(unsigned compressor)
{
	static const char *const names[] = { "unknown", "gzip", "lzma", "lzo", "xz", "lz4", "zstd" };
	return compressor < sizeof(names) / sizeof(names[0]) ? names[compressor] : names[0];
}

/* Reads up to count bytes at offset; returns how many there were. */
static ssize_t read_at(int fd, void *buffer, size_t count, uint64_t offset)
{
	size_t done = 0;
	while (done < count) {
		ssize_t n = pread(fd, (char *)buffer + done, count - done, (off_t)(offset + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

static void super_decode(const uint8_t *raw, struct image_super *super)
{
	*super = (struct image_super){
		.inode_count = le32(raw + 4),
		.modified_seconds = le32(raw + 8),
		.block_bytes = le32(raw + 12),
		.fragment_count = le32(raw + 16),
		.compressor = le16(raw + 20),
		.flags = le16(raw + 24),
		.id_count = le16(raw + 26),
		.root_inode = le64(raw + 32),
		.used_bytes = le64(raw + 40),
		.id_table = le64(raw + 48),
		.xattr_table = le64(raw + 56),
		.inode_table = le64(raw + 64),
		.directory_table = le64(raw + 72),
		.fragment_table = le64(raw + 80),
		.export_table = le64(raw + 88),
	};
}

int image_identify(int fd, const char *path, struct image *ret_image, struct err *err)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return err_sys(err, errno, "cannot stat image '%s'", path);
	struct image image = { .format = IMAGE_UNKNOWN, .file_bytes = (uint64_t)st.st_size };
	if (S_ISDIR(st.st_mode)) {
		image.format = IMAGE_DIRECTORY;
		*ret_image = image;
		return 0;
	}
	if (!S_ISREG(st.st_mode)) {
		err_set(err, EINVAL, "image '%s' is neither a regular file nor a directory", path);
		return err_hint(err, "give a SquashFS image, or a directory with a root filesystem");
	}
	uint8_t head[LEGACY_HEADER_MAX + SQUASHFS_SUPER_BYTES] = { 0 };
	ssize_t got = read_at(fd, head, sizeof(head), 0);
	if (got < 0)
		return err_sys(err, (int)-got, "cannot read image '%s'", path);
	if (got == 0)
		return err_set(err, EBADMSG, "image '%s' is empty", path);
	if (got >= SQUASHFS_SUPER_BYTES && le32(head) == SQUASHFS_MAGIC)
		image.format = IMAGE_SQUASHFS;
	else if (got >= SIF_MAGIC_OFFSET + 10 && memcmp(head + SIF_MAGIC_OFFSET, "SIF_MAGIC", 10) == 0)
		image.format = IMAGE_SIF;
	else if (memcmp(head, "#!", 2) == 0) {
		const uint8_t *end = memchr(head, '\n', LEGACY_HEADER_MAX);
		if (end != NULL && end + 1 + SQUASHFS_SUPER_BYTES <= head + got && le32(end + 1) == SQUASHFS_MAGIC) {
			image.format = IMAGE_LEGACY_SIMG;
			image.offset_bytes = (uint64_t)(end + 1 - head);
		}
	}
	if (image.format == IMAGE_UNKNOWN && got >= 4 && le32(head) == SQUASHFS_MAGIC)
		return err_set(err, EBADMSG, "image '%s' is truncated: %zd bytes, less than a superblock", path, got);
	if (image.format == IMAGE_UNKNOWN) {
		err_set(err, EBADMSG, "'%s' is not a SquashFS image", path);
		return err_hint(err, "make an image of it with: simg build app.simg SOURCE");
	}
	if (image.format != IMAGE_SIF)
		super_decode(head + image.offset_bytes, &image.super);
	*ret_image = image;
	return 0;
}

/* Where the fields stand that lead to the primary partition: a global header of 128 bytes, and descriptors of 585 (packed).
 * Source: github.com/apptainer/sif, pkg/sif. */
enum {
	SIF_HEADER_BYTES = 128,
	SIF_HEADER_TOTAL = 88,
	SIF_HEADER_DESCRIPTORS = 96,
	SIF_DESCRIPTOR_BYTES = 585,
	SIF_DESCRIPTOR_USED = 4,
	SIF_DESCRIPTOR_OFFSET = 17,
	SIF_DESCRIPTOR_LENGTH = 25,
	SIF_DESCRIPTOR_FSTYPE = 201,
	SIF_DESCRIPTOR_PARTTYPE = 205,
	SIF_DESCRIPTORS_MAX = 4096,
	SIF_DATA_PARTITION = 0x4004,
	SIF_FS_SQUASHFS = 1,
	SIF_PART_PRIMARY = 2,
};

static int sif_damaged(const char *path, struct err *err)
{
	err_set(err, EBADMSG, "image '%s' is damaged: its SIF descriptors are out of bounds", path);
	return err_hint(err, "copy or build the image again");
}

static int sif_super_read(int fd, const char *path, const uint8_t *descriptor, struct image *image, struct err *err)
{
	uint64_t offset = le64(descriptor + SIF_DESCRIPTOR_OFFSET), length = le64(descriptor + SIF_DESCRIPTOR_LENGTH);
	uint8_t raw[SQUASHFS_SUPER_BYTES];
	if (offset < SIF_HEADER_BYTES || offset > image->file_bytes || length > image->file_bytes - offset)
		return sif_damaged(path, err);
	if (read_at(fd, raw, sizeof(raw), offset) != (ssize_t)sizeof(raw) || le32(raw) != SQUASHFS_MAGIC)
		return err_set(err, EBADMSG, "image '%s' is damaged: there is no SquashFS in its system partition", path);
	image->offset_bytes = offset;
	super_decode(raw, &image->super);
	return 0;
}

int image_sif_partition(int fd, const char *path, struct image *image, struct err *err)
{
	uint8_t header[SIF_HEADER_BYTES], descriptor[SIF_DESCRIPTOR_BYTES];
	if (read_at(fd, header, sizeof(header), 0) != (ssize_t)sizeof(header))
		return sif_damaged(path, err);
	uint64_t count = le64(header + SIF_HEADER_TOTAL), start = le64(header + SIF_HEADER_DESCRIPTORS);
	if (count > SIF_DESCRIPTORS_MAX || start > image->file_bytes || count * sizeof(descriptor) > image->file_bytes - start)
		return sif_damaged(path, err);
	for (uint64_t i = 0; i < count; i++) {
		if (read_at(fd, descriptor, sizeof(descriptor), start + i * sizeof(descriptor)) != (ssize_t)sizeof(descriptor))
			return sif_damaged(path, err);
		if (le32(descriptor) == SIF_DATA_PARTITION && descriptor[SIF_DESCRIPTOR_USED] == 1 &&
		    le32(descriptor + SIF_DESCRIPTOR_PARTTYPE) == SIF_PART_PRIMARY &&
		    le32(descriptor + SIF_DESCRIPTOR_FSTYPE) == SIF_FS_SQUASHFS)
			return sif_super_read(fd, path, descriptor, image, err);
	}
	return err_set(err, ENOTSUP, "image '%s' is a SIF image without a SquashFS system partition", path);
}

/* One image under check, with what the messages need. */
struct check {
	int fd;
	const char *path;
	uint64_t offset_bytes;
	const struct image_super *super;
};

static int damaged(const struct check *check, struct err *err, const char *what, uint64_t value)
{
	err_set(err, EBADMSG, "image '%s' is damaged: %s (%" PRIu64 ")", check->path, what, value);
	return err_hint(err, "copy or build the image again");
}

/* A lookup table is stored as metadata blocks somewhere before its start, and a list of their 64 bit addresses at its start. The
 * kernel reads the list when it mounts and trusts the addresses later. */
static int check_table(const struct check *check, const char *name, uint64_t start, uint64_t entries, uint64_t entry_bytes,
		       uint64_t first_block_min, struct err *err)
{
	uint64_t blocks = (entries * entry_bytes + SQUASHFS_META_BYTES - 1) / SQUASHFS_META_BYTES;
	uint64_t used = check->super->used_bytes;
	if (start < SQUASHFS_SUPER_BYTES || start > used || blocks * 8 > used - start)
		return damaged(check, err, name, start);
	uint64_t previous = first_block_min;
	for (uint64_t i = 0; i < blocks;) {
		uint8_t raw[512 * 8];
		uint64_t count = blocks - i < 512 ? blocks - i : 512;
		if (read_at(check->fd, raw, count * 8, check->offset_bytes + start + i * 8) != (ssize_t)(count * 8))
			return damaged(check, err, name, start);
		for (uint64_t k = 0; k < count; k++) {
			uint64_t address = le64(raw + k * 8);
			bool grows = i + k == 0 ? address >= previous : address > previous;
			if (!grows || address >= start || address - previous > SQUASHFS_META_BYTES + 2 + (i + k == 0 ? used : 0))
				return damaged(check, err, name, address);
			previous = address;
		}
		i += count;
	}
	return 0;
}

static int check_xattrs(const struct check *check, struct err *err)
{
	const struct image_super *super = check->super;
	if (super->xattr_table == TABLE_ABSENT)
		return 0;
	uint8_t raw[SQUASHFS_XATTR_HEADER_BYTES];
	if (super->xattr_table > super->used_bytes || super->used_bytes - super->xattr_table < sizeof(raw) ||
	    read_at(check->fd, raw, sizeof(raw), check->offset_bytes + super->xattr_table) != (ssize_t)sizeof(raw))
		return damaged(check, err, "xattr table out of bounds", super->xattr_table);
	uint64_t values = le64(raw);
	uint32_t ids = le32(raw + 8);
	if (values >= super->xattr_table || values < SQUASHFS_SUPER_BYTES)
		return damaged(check, err, "xattr values out of bounds", values);
	/* The address list follows the header, so check_table sees a table that starts behind it. */
	return check_table(check, "xattr table out of bounds", super->xattr_table + sizeof(raw), ids, SQUASHFS_XATTR_BYTES, values, err);
}

static int check_super(const struct check *check, const struct image *image, uint16_t major, uint16_t minor, uint16_t block_log,
		       struct err *err)
{
	const struct image_super *super = &image->super;
	if (major != 4 || minor != 0)
		return err_set(err, EBADMSG, "image '%s' is SquashFS version %u.%u, only 4.0 is supported", check->path, major, minor);
	if (super->block_bytes < 4096 || super->block_bytes > 1048576 || block_log > 20 || super->block_bytes != 1u << block_log)
		return damaged(check, err, "block size", super->block_bytes);
	if (super->compressor < 1 || super->compressor > 6)
		return damaged(check, err, "unknown compressor", super->compressor);
	if (super->used_bytes < SQUASHFS_SUPER_BYTES)
		return damaged(check, err, "length in the superblock", super->used_bytes);
	if (super->used_bytes > image->file_bytes - image->offset_bytes) {
		err_set(err, EBADMSG, "image '%s' is truncated: it has %" PRIu64 " bytes, its superblock says %" PRIu64, check->path,
			image->file_bytes - image->offset_bytes, super->used_bytes);
		return err_hint(err, "copy it again; the copy is not complete");
	}
	return 0;
}

int image_check(int fd, const char *path, const struct image *image, struct err *err)
{
	bool found = image->format == IMAGE_SIF && image->offset_bytes > 0;
	if (image->format != IMAGE_SQUASHFS && image->format != IMAGE_LEGACY_SIMG && !found)
		return err_set(err, EINVAL, "'%s' is no SquashFS image but %s", path, image_format_name(image->format));
	const struct image_super *super = &image->super;
	struct check check = { .fd = fd, .path = path, .offset_bytes = image->offset_bytes, .super = super };
	uint8_t raw[SQUASHFS_SUPER_BYTES];
	if (read_at(fd, raw, sizeof(raw), image->offset_bytes) != (ssize_t)sizeof(raw))
		return err_set(err, EBADMSG, "image '%s' is truncated: no superblock", path);
	int r = check_super(&check, image, le16(raw + 28), le16(raw + 30), le16(raw + 22), err);
	if (r < 0)
		return r;

	if (super->inode_count == 0)
		return damaged(&check, err, "no inodes", 0);
	if (super->inode_table < SQUASHFS_SUPER_BYTES || super->inode_table >= super->directory_table)
		return damaged(&check, err, "inode table out of bounds", super->inode_table);
	if (super->directory_table >= super->used_bytes)
		return damaged(&check, err, "directory table out of bounds", super->directory_table);
	/* The root inode is a reference: metadata block relative to the inode table, and offset in the block. */
	if ((super->root_inode >> 16) >= super->directory_table - super->inode_table || (super->root_inode & 0xffff) >= SQUASHFS_META_BYTES)
		return damaged(&check, err, "root inode out of bounds", super->root_inode);
	if (super->id_count == 0)
		return damaged(&check, err, "no ids", 0);
	r = check_table(&check, "id table out of bounds", super->id_table, super->id_count, SQUASHFS_ID_BYTES, super->directory_table, err);
	if (r < 0)
		return r;
	if (super->fragment_count > 0) {
		r = check_table(&check, "fragment table out of bounds", super->fragment_table, super->fragment_count, SQUASHFS_FRAGMENT_BYTES,
				super->directory_table, err);
		if (r < 0)
			return r;
	}
	if (super->export_table != TABLE_ABSENT) {
		r = check_table(&check, "export table out of bounds", super->export_table, super->inode_count, SQUASHFS_EXPORT_BYTES,
				super->directory_table, err);
		if (r < 0)
			return r;
	}
	return check_xattrs(&check, err);
}
