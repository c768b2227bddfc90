/* SPDX-License-Identifier: Apache-2.0
 *
 * builder/source_image.c on images made by hand to do harm: each breaks one rule, and is refused with the reason and the place.
 */
#include "builder/source.h"
#include "lib/err.h"
#include "tests/tap.h"
#include "tests/unit/scratch.h"

#include <endian.h>
#include <errno.h>

enum { BLOCK_BYTES = 4096, SUPER_BYTES = 96, PLAIN_METADATA = 0x8000, PLAIN_BLOCK = 1 << 24, FILE_BYTES = 10, DIRECTORY_INODE_BYTES = 32 };

/* Bytes that are put one behind the other. */
struct bytes {
	uint8_t data[16384];
	size_t count;
};

static void put(struct bytes *out, const void *data, size_t count)
{
	if (count > sizeof(out->data) - out->count)
		errx(99, "the test's image is too large");
	memcpy(out->data + out->count, data, count);
	out->count += count;
}

static void put_number(struct bytes *out, uint64_t number, size_t bytes)
{
	uint64_t little = htole64(number);
	put(out, &little, bytes);
}

/* What an image says. The tree: the file "a", and the directory "d" with the empty directory "e". */
struct plan {
	const char *a_name, *d_name;
	size_t a_name_bytes;      /* 0: its length */
	uint32_t inode_count;
	uint32_t a_number, a_entry_number;
	uint16_t a_type, a_owner;
	uint32_t a_bytes, a_stored, a_fragment;
	uint32_t link_bytes;      /* not 0: "a" is a symlink, with a target of so many bytes */
	uint32_t run;             /* entries in the root's run */
	uint32_t root_bytes;      /* what is added to the length of the root's listing */
	bool e_is_d;              /* "e" lists what "d" lists */
	uint64_t root;            /* what is added to the root's reference */
	bool root_is_a;
};

static const struct plan sound = {
	.a_name = "a",
	.d_name = "d",
	.inode_count = 4,
	.a_number = 2,
	.a_entry_number = 2,
	.a_type = 2,
	.a_bytes = FILE_BYTES,
	.a_stored = PLAIN_BLOCK | FILE_BYTES,
	.a_fragment = 0xffffffff,
	.run = 2,
};

static void put_inode(struct bytes *out, uint16_t type, uint16_t owner, uint32_t number)
{
	put_number(out, type, 2);
	put_number(out, 0755, 2);
	put_number(out, owner, 2);
	put_number(out, 0, 2);
	put_number(out, 1000000000, 4);
	put_number(out, number, 4);
}

static void put_directory(struct bytes *out, uint32_t number, size_t listing, size_t listing_bytes)
{
	put_inode(out, 1, 0, number);
	put_number(out, 0, 4); /* the first metadata block */
	put_number(out, 2, 4);
	put_number(out, listing_bytes + 3, 2);
	put_number(out, listing, 2);
	put_number(out, 1, 4);
}

static void put_run(struct bytes *out, uint32_t count, uint32_t number)
{
	put_number(out, count - 1, 4);
	put_number(out, 0, 4);
	put_number(out, number, 4);
}

static void put_entry(struct bytes *out, size_t inode, int number, uint16_t type, const char *name, size_t name_bytes)
{
	put_number(out, inode, 2);
	put_number(out, (uint16_t)number, 2);
	put_number(out, type, 2);
	put_number(out, name_bytes - 1, 2);
	put(out, name, name_bytes);
}

static void put_a(struct bytes *out, const struct plan *plan)
{
	if (plan->link_bytes > 0) {
		put_inode(out, 3, plan->a_owner, plan->a_number);
		put_number(out, 1, 4);
		put_number(out, plan->link_bytes, 4);
		put(out, "somewhere", 9);
		return;
	}
	put_inode(out, plan->a_type, plan->a_owner, plan->a_number);
	put_number(out, SUPER_BYTES, 4);
	put_number(out, plan->a_fragment, 4);
	put_number(out, 0, 4);
	put_number(out, plan->a_bytes, 4);
	put_number(out, plan->a_stored, 4);
}

static void put_metadata(struct bytes *out, const struct bytes *block)
{
	put_number(out, PLAIN_METADATA | block->count, 2);
	put(out, block->data, block->count);
}

static void put_super(struct bytes *out, const struct plan *plan, uint64_t root, const uint64_t tables[5], uint64_t used)
{
	put(out, "hsqs", 4);
	put_number(out, plan->inode_count, 4);
	put_number(out, 1000000000, 4);
	put_number(out, BLOCK_BYTES, 4);
	put_number(out, 0, 4);
	put_number(out, 1, 2);  /* gzip */
	put_number(out, 12, 2); /* log of the block size */
	put_number(out, 0, 2);
	put_number(out, 1, 2);  /* ids */
	put_number(out, 4, 2);
	put_number(out, 0, 2);
	put_number(out, root, 8);
	put_number(out, used, 8);
	for (int i = 0; i < 5; i++)
		put_number(out, tables[i], 8);
	put_number(out, UINT64_MAX, 8); /* export table */
}

/* The inodes: "a", "d", "e", root. Returns the root's place. */
static size_t put_inodes(struct bytes *inodes, struct bytes *listings, const struct plan *plan)
{
	put_a(inodes, plan);
	size_t d = inodes->count, e = d + DIRECTORY_INODE_BYTES, root = e + DIRECTORY_INODE_BYTES;
	put_run(listings, 1, 4);
	put_entry(listings, e, 0, 1, "e", 1);
	size_t d_bytes = listings->count;
	put_directory(inodes, 3, 0, d_bytes);
	put_directory(inodes, 4, 0, plan->e_is_d ? d_bytes : 0);
	put_run(listings, plan->run, 2);
	put_entry(listings, 0, (int)plan->a_entry_number - 2, 2, plan->a_name,
		  plan->a_name_bytes > 0 ? plan->a_name_bytes : strlen(plan->a_name));
	put_entry(listings, d, 1, 1, plan->d_name, strlen(plan->d_name));
	put_directory(inodes, 1, d_bytes, listings->count - d_bytes + plan->root_bytes);
	return plan->root_is_a ? 0 : root;
}

static void image_make(const char *path, const struct plan *plan)
{
	struct bytes inodes = { .count = 0 }, listings = { .count = 0 }, ids = { .count = 0 }, tail = { .count = 0 }, image = { .count = 0 };
	uint64_t root = put_inodes(&inodes, &listings, plan) + plan->root, inode_table = SUPER_BYTES + FILE_BYTES;
	put_number(&ids, 0, 4);
	put(&tail, "0123456789", FILE_BYTES);
	put_metadata(&tail, &inodes);
	uint64_t directory_table = SUPER_BYTES + tail.count;
	put_metadata(&tail, &listings);
	uint64_t id_block = SUPER_BYTES + tail.count;
	put_metadata(&tail, &ids);
	uint64_t id_table = SUPER_BYTES + tail.count;
	put_number(&tail, id_block, 8);
	uint64_t tables[] = { id_table, UINT64_MAX, inode_table, directory_table, UINT64_MAX };
	put_super(&image, plan, root, tables, SUPER_BYTES + tail.count);
	put(&image, tail.data, tail.count);
	scratch_bytes(path, image.data, image.count);
}

/* Reads all entries and data. paths takes the entries' paths, one behind the other. Returns 0 or the first error. */
static int image_read_all(const char *path, char paths[256], uint64_t *ret_bytes, struct err *err)
{
	struct source_options options = { .name = path, .fd = open(path, O_RDONLY | O_CLOEXEC), .quiet = true };
	struct reader *reader = NULL;
	struct source_entry entry;
	struct piece piece;
	paths[0] = '\0';
	*ret_bytes = 0;
	int r = source_image.open(&options, &reader, err);
	while (r >= 0 && (r = source_image.next(reader, &entry, err)) > 0) {
		snprintf(paths + strlen(paths), 256 - strlen(paths), "%s ", entry.path);
		while (S_ISREG(entry.mode) && (r = source_image.read(reader, &piece, err)) > 0)
			*ret_bytes += piece.bytes;
		if (r < 0)
			break;
	}
	source_image.close(reader);
	close(options.fd);
	return r;
}

/* A sound image but for one thing is refused, with a text that has this message. */
static void refused_check(const struct plan *plan, const char *message)
{
	struct err err = ERR_INIT;
	char paths[256];
	uint64_t bytes;
	image_make("bad.simg", plan);
	check_int(image_read_all("bad.simg", paths, &bytes, &err), -EBADMSG);
	check_has(err.text, "image 'bad.simg' is damaged: ");
	check_has(err.text, message);
	check_has(err.hint, "copy or build the image again");
}

#define refused(rule, harm, message) \
	test_case (rule) { \
		struct plan plan = sound; \
		plan.harm; \
		refused_check(&plan, message); \
	}

int main(void)
{
	scratch_enter();
	char paths[256];
	uint64_t bytes;

	test_case ("the image that the others are made of is sound") {
		struct err err = ERR_INIT;
		image_make("sound.simg", &sound);
		check_int(image_read_all("sound.simg", paths, &bytes, &err), 0);
		check_str(err.text, "");
		check_str(paths, ". a d d/e ");
		check_int(bytes, FILE_BYTES);
	}
	test_case ("a block of length 0 is a hole") {
		struct err err = ERR_INIT;
		struct plan plan = sound;
		plan.a_stored = 0;
		image_make("hole.simg", &plan);
		check_int(image_read_all("hole.simg", paths, &bytes, &err), 0);
		check_int(bytes, 0);
	}
	refused("no loop of directories", e_is_d = true, "a directory that is reached twice, at 'd/e/e'")
	refused("no two inodes of one number", a_number = plan.a_entry_number = 3, "a directory that is reached twice, at 'd'")
	refused("no slash in a name", a_name = "a/b", "a name that no file can have")
	refused("no name that is \"..\"", a_name = "..", "a name that no file can have")
	refused("no name that is \".\"", a_name = ".", "a name that no file can have")
	refused("no zero byte in a name", a_name_bytes = 3; plan.a_name = "a\0b", "a name that no file can have")
	refused("no name twice", d_name = "a", "a name that comes twice or out of order")
	refused("names in order", d_name = "A", "a name that comes twice or out of order")
	refused("no inode 0", a_number = plan.a_entry_number = 0, "an inode's number, at 'a'")
	refused("no inode beyond the superblock's count", a_number = plan.a_entry_number = 5, "an inode's number, at 'a'")
	refused("an entry has its inode's number", a_entry_number = 3, "an entry for another inode, at 'a'")
	refused("no more inodes than the table can hold", inode_count = 1 << 30, "the number of inodes")
	refused("no inode of unknown type", a_type = 15, "an inode of unknown type, at 'a'")
	refused("no owner beyond the table", a_owner = 7, "an inode's owner, at 'a'")
	refused("no block list beyond the table", a_bytes = 0xfffffff0; plan.a_stored = 0, "the length of a block, at 'a'")
	refused("no block larger than a block", a_stored = PLAIN_BLOCK | 5000, "the length of a block, at 'a'")
	refused("no block shorter than its file", a_stored = PLAIN_BLOCK | 9, "the length of a block, at 'a'")
	refused("no unknown flag in a block's length", a_stored = 1 << 25 | 10, "the length of a block, at 'a'")
	refused("no block that does not decompress", a_stored = FILE_BYTES, "cannot read a block of data, at 'a'")
	refused("no fragment beyond the table", a_fragment = 0, "a fragment that does not exist, at 'a'")
	refused("no symlink target without end", link_bytes = 0xffffffff, "the length of a symlink's target, at 'a'")
	refused("no symlink target longer than PATH_MAX", link_bytes = 4096, "the length of a symlink's target, at 'a'")
	refused("no listing longer than its entries", root_bytes = 5, "a directory's length")
	refused("no listing beyond the table", root_bytes = 8192, "is damaged")
	refused("no more than 256 entries in a run", run = 257, "a directory's number of entries")
	refused("no run longer than the listing", run = 3, "a directory's length")
	refused("a root inside the table", root = 1 << 16, "cannot read an inode")
	refused("a root that is a directory", root_is_a = true, "its root is no directory")
	return test_end();
}
