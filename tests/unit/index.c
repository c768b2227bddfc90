/* SPDX-License-Identifier: Apache-2.0
 *
 * builder/oci/index.c: what goes into an index comes out of it, and an index that is damaged ends with a message.
 */
#include "builder/oci/index.h"
#include "lib/err.h"
#include "tests/tap.h"

#include <errno.h>
#include <sys/stat.h>

static struct err err;

static struct xattr attributes[] = { { "user.empty", "", 0 }, { "trusted.bytes", "a\0b", 3 } };

static const struct source_entry entries[] = {
	{ .path = "", .mode = S_IFDIR | 0755 },
	{ .path = "odd/\xff\n name", .mode = S_IFREG | 04711, .uid = 4294967295, .gid = 7, .mtime = -1, .bytes = UINT64_MAX },
	{ .path = "link", .target = "", .mode = S_IFLNK | 0777, .mtime = INT64_MAX },
	{ .path = "hard", .target = "odd/name", .hard_link = true, .bytes = 3 },
	{ .path = "device", .mode = S_IFBLK | 0600, .major = 4095, .minor = 1048575, .acl = true },
	{ .path = "attributes", .mode = S_IFREG | 0644, .xattrs = attributes, .xattr_count = 2 },
	{ .path = "last", .mode = S_IFIFO | 0600 },
};
enum { ENTRIES = sizeof(entries) / sizeof(entries[0]) };

static struct index make(void)
{
	struct index index = { 0 };
	for (int i = 0; i < ENTRIES; i++)
		check_int(index_add(&index, &entries[i], &err), 0);
	check_int(index.entry_count, ENTRIES);
	return index;
}

static void compare(const struct source_entry *is, const struct source_entry *wanted)
{
	check_str(is->path, wanted->path);
	check((is->target == NULL) == (wanted->target == NULL));
	if (is->target != NULL && wanted->target != NULL)
		check_str(is->target, wanted->target);
	check(is->hard_link == wanted->hard_link && is->acl == wanted->acl);
	check(is->mode == wanted->mode && is->major == wanted->major && is->minor == wanted->minor);
	check(is->uid == wanted->uid && is->gid == wanted->gid && is->mtime == wanted->mtime && is->bytes == wanted->bytes);
	check_int(is->xattr_count, wanted->xattr_count);
	for (size_t i = 0; i < is->xattr_count && i < wanted->xattr_count; i++) {
		check_str(is->xattrs[i].name, wanted->xattrs[i].name);
		check_int(is->xattrs[i].value_bytes, wanted->xattrs[i].value_bytes);
		check(memcmp(is->xattrs[i].value, wanted->xattrs[i].value, wanted->xattrs[i].value_bytes) == 0);
	}
}

/* Reads to the end. Returns what index_next() said last. */
static int read_all(const struct index *index)
{
	struct index_cursor cursor = { .index = index };
	struct source_entry entry;
	int r;
	err = (struct err)ERR_INIT;
	while ((r = index_next(&cursor, &entry, &err)) > 0)
		continue;
	index_cursor_free(&cursor);
	return r;
}

/* A copy of exactly so many bytes, so that reading on would be noticed. */
static struct index copy(const struct index *index, size_t bytes)
{
	struct index out = { .data = malloc(bytes + (bytes == 0)), .bytes = bytes, .room = bytes };
	memcpy(out.data, index->data, bytes);
	return out;
}

int main(void)
{
	test_case ("entries come out as they went in, numbered from 1") {
		struct index index = make();
		struct index_cursor cursor = { .index = &index };
		struct source_entry entry;
		for (int i = 0; i < ENTRIES; i++) {
			check_int(index_next(&cursor, &entry, &err), 1);
			check_int(cursor.entry, i + 1);
			compare(&entry, &entries[i]);
		}
		check_int(index_next(&cursor, &entry, &err), 0);
		index_cursor_free(&cursor);
		index_free(&index);
	}

	test_case ("an index without entries has none") {
		struct index index = { 0 };
		check_int(read_all(&index), 0);
	}

	test_case ("an index that ends within a record is called damaged, wherever it ends") {
		struct index index = make();
		int whole = 0;
		for (size_t bytes = 0; bytes < index.bytes; bytes++) {
			struct index cut = copy(&index, bytes);
			int r = read_all(&cut);
			whole += r == 0;
			if (r != 0) {
				check_int(r, -EBADMSG);
				check_str(err.text, "the index of a layer is damaged");
			}
			index_free(&cut);
		}
		check_int(whole, ENTRIES); /* nothing, and after each record but the last */
		index_free(&index);
	}

	test_case ("an index with a wrong byte gives other entries or is called damaged, wherever the byte is") {
		static const uint8_t wrong[] = { 0x01, 0x08, 0x80, 0xff };
		struct index index = make();
		int refused = 0;
		for (size_t at = 0; at < index.bytes * sizeof(wrong); at++) {
			struct index bad = copy(&index, index.bytes);
			bad.data[at / sizeof(wrong)] ^= wrong[at % sizeof(wrong)];
			int r = read_all(&bad);
			check(r == 0 || (r == -EBADMSG && strcmp(err.text, "the index of a layer is damaged") == 0));
			refused += r < 0;
			index_free(&bad);
		}
		check(refused > 100);
		index_free(&index);
	}

	return test_end();
}
