/* SPDX-License-Identifier: Apache-2.0
 *
 * builder/writer.c and metadata.c, read back by builder/image_reader.c: data with holes in every position, and the limits of the
 * format.
 */
#include "builder/image_reader.h"
#include "lib/image.h"
#include "tests/tap.h"
#include "tests/unit/make_image.h"
#include "tests/unit/scratch.h"

#include <errno.h>

enum { BLOCK = 4096, FILE_MAX = 64 * BLOCK };

/* An open image and its reader. */
struct opened {
	int fd;
	struct image_reader *reader;
	struct err err;
};

static void image_open(struct opened *opened, const char *path)
{
	struct image image;
	*opened = (struct opened){ .fd = open(path, O_RDONLY | O_CLOEXEC) };
	if (image_identify(opened->fd, path, &image, &opened->err) < 0 || image_check(opened->fd, path, &image, &opened->err) < 0 ||
	    image_reader_open(opened->fd, path, &image, &opened->reader, &opened->err) < 0)
		errx(99, "%s", opened->err.text);
}

static void image_close(struct opened *opened)
{
	image_reader_free(opened->reader);
	close(opened->fd);
}

/* Writes a file as pieces of data and holes, and the same bytes into expected. Returns how many. A piece is "d" or "h" and a
 * number of bytes. */
static size_t pieces_write(struct maker *maker, const char *path, const char *pieces, char *expected)
{
	struct inode inode = { .mode = S_IFREG | 0644 };
	struct node *node;
	size_t at = 0;
	maker_must(maker, target_file_begin(maker->target, false, &inode.file, &maker->err));
	for (char *rest = (char *)pieces; *rest != '\0';) {
		char kind = *rest;
		size_t bytes = strtoul(rest + 1, &rest, 10);
		rest += *rest == ' ';
		for (size_t i = 0; i < bytes; i++)
			expected[at + i] = kind == 'd' ? (char)(rand() | 1) : 0;
		maker_must(maker, kind == 'd' ? target_file_data(maker->target, expected + at, bytes, &maker->err) :
						target_file_hole(maker->target, bytes, &maker->err));
		at += bytes;
	}
	maker_must(maker, target_file_end(maker->target, &maker->err));
	maker_must(maker, tree_insert(maker->tree, path, &inode, &node, &maker->err));
	return at;
}

static const char *const layouts[] = {
	"",
	"d0 h0 d0",
	"d1",
	"h1",
	"h4096",
	"h40960",
	"d4096",
	"d4096 h4096",
	"h4096 d4096",
	"d100 h10000",
	"h10000 d100",
	"d100 h3996 d4096",
	"d100 h8092 d1",
	"d5000 h20000 d5000 h1 d1 h4095 d4097",
	"h4095 d1 h4096 d4096 h4097 d4095",
	"h8192 h8192 d1 h8192 h100",
	"d4096 h4096 d4096 h4096 d4096 h4096",
	"d10000 h50000 d10000 h50000 d10000 h50000 d1",
	"h1 h1 h4094 h8192 d3",
};
enum { LAYOUTS = sizeof(layouts) / sizeof(layouts[0]) };

/* 65535 ids: 0 of the root, and two for each file. */
static int many_ids(const char *path, uint32_t files, struct err *ret_err)
{
	struct maker maker;
	maker_begin(&maker, path, 131072);
	for (uint32_t i = 0; i < files; i++) {
		char name[16];
		struct inode inode = { .mode = S_IFREG | 0644, .uid = 2 * i + 1, .gid = 2 * i + 2 };
		snprintf(name, sizeof(name), "%u", i);
		maker_file(&maker, name, "", 0, &inode);
	}
	int r = maker_end(&maker);
	*ret_err = maker.err;
	return r;
}

int main(void)
{
	static char expected[LAYOUTS][FILE_MAX];
	size_t bytes[LAYOUTS];
	struct opened opened;
	char name[32];
	scratch_enter();
	srand(1);

	struct maker maker;
	maker_begin(&maker, "holes.simg", BLOCK);
	for (int i = 0; i < LAYOUTS; i++) {
		snprintf(name, sizeof(name), "file-%d", i);
		bytes[i] = pieces_write(&maker, name, layouts[i], expected[i]);
	}
	maker_must(&maker, maker_end(&maker));
	image_open(&opened, "holes.simg");
	for (int i = 0; i < LAYOUTS; i++) {
		test_case ("data and holes: %s", layouts[i][0] != '\0' ? layouts[i] : "none") {
			char *text = NULL;
			size_t count = 0;
			snprintf(name, sizeof(name), "file-%d", i);
			check_int(image_reader_file(opened.reader, name, FILE_MAX, &text, &count, &opened.err), 0);
			check_int(count, bytes[i]);
			check(text != NULL && memcmp(text, expected[i], bytes[i]) == 0);
			free(text);
		}
	}

	test_case ("files that are not there, too large, or no files") {
		char *text;
		size_t count;
		check_int(image_reader_file(opened.reader, "nowhere", 10, &text, &count, &opened.err), -ENOENT);
		check_int(image_reader_file(opened.reader, "file-1/below", 10, &text, &count, &opened.err), -ENOENT);
		check_int(image_reader_file(opened.reader, "", 10, &text, &count, &opened.err), -ENOENT);
		check_int(image_reader_file(opened.reader, "file-5", 40959, &text, &count, &opened.err), -EFBIG);
		check_str(opened.err.text, "'file-5' in the image 'holes.simg' is too large");
	}
	image_close(&opened);

	test_case ("a hole of 4 TiB takes no memory and little of the image") {
		struct inode inode = { .mode = S_IFREG | 0644 };
		struct node *node;
		struct stat st;
		struct image_counts counts;
		maker_begin(&maker, "hole.simg", 1048576);
		maker_must(&maker, target_file_begin(maker.target, false, &inode.file, &maker.err));
		check_int(target_file_hole(maker.target, (uint64_t)4 << 40, &maker.err), 0);
		check_int(target_file_data(maker.target, "end", 3, &maker.err), 0);
		maker_must(&maker, target_file_end(maker.target, &maker.err));
		maker_must(&maker, tree_insert(maker.tree, "huge", &inode, &node, &maker.err));
		check_int(maker_end(&maker), 0);
		check(stat("hole.simg", &st) == 0 && st.st_size < 1000000);
		image_open(&opened, "hole.simg");
		check_int(image_reader_count(opened.reader, &counts, &opened.err), 0);
		check_int(counts.content_bytes, ((uint64_t)4 << 40) + 3);
		image_close(&opened);
	}

	test_case ("65535 owners and groups fit, 65537 are refused") {
		struct err err = ERR_INIT;
		struct image_counts counts;
		check_int(many_ids("ids.simg", 32767, &err), 0);
		image_open(&opened, "ids.simg");
		check_int(image_reader_count(opened.reader, &counts, &opened.err), 0);
		check_int(counts.files, 32767);
		image_close(&opened);
		check_int(many_ids("more.simg", 32768, &err), -EOVERFLOW);
		check_str(err.text, "the files have more than 65535 different owners and groups, SquashFS holds no more");
		check(access("more.simg", F_OK) < 0);
	}

	test_case ("65536 owners and groups, which would count as none, are refused") {
		struct err err = ERR_INIT;
		maker_begin(&maker, "full.simg", 131072);
		for (uint32_t i = 0; i < 65535; i++) {
			struct inode inode = { .mode = S_IFREG | 0644, .uid = i + 1 };
			snprintf(name, sizeof(name), "%u", i);
			maker_file(&maker, name, "", 0, &inode);
		}
		check_int(maker_end(&maker), -EOVERFLOW);
		err = maker.err;
		check_has(err.text, "more than 65535 different owners");
	}

	return test_end();
}
