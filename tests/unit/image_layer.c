/* SPDX-License-Identifier: Apache-2.0
 *
 * builder/image_layer.c, image_stored.c and writer_stored.c: images as layers, merged and put together again, by copying what is
 * stored and by compressing it anew. Results are read back by builder/image_reader.c, and by unsquashfs where there is one.
 */
#include "builder/image_layer.h"

#include "builder/hot.h"
#include "builder/image_reader.h"
#include "builder/load.h"
#include "builder/progress.h"
#include "builder/sandbox.h"
#include "builder/source.h"
#include "lib/cleanup.h"
#include "lib/image.h"
#include "tests/tap.h"
#include "tests/unit/make_image.h"
#include "tests/unit/scratch.h"

#include <endian.h>
#include <errno.h>
#include <stdarg.h>
#include <sys/wait.h>

enum { BLOCK = 4096, FILE_MAX = 64 * BLOCK, LAYERS_MAX = 4 };

static const struct writer_options usual = { .compressor = "zstd", .level = LEVEL_DEFAULT, .block_bytes = BLOCK, .jobs = 2 };

/* --- layers to begin with --- */

/* Bytes that are the same for the same seed, and that compress to a half, or, for an odd seed, not at all. */
static void fill(char *data, size_t bytes, unsigned seed)
{
	uint64_t state = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
	for (size_t i = 0; i < bytes; i++) {
		state = state * UINT64_C(6364136223846793005) + 1442695040888963407;
		data[i] = seed % 2 != 0 ? (char)(state >> 56) : (char)('a' + (state >> 60));
	}
}

static void add_file(struct maker *maker, const char *path, size_t bytes, unsigned seed)
{
	static char data[FILE_MAX];
	fill(data, bytes, seed);
	maker_file(maker, path, data, bytes, NULL);
}

static void add_hot(struct maker *maker, const char *path, size_t bytes, unsigned seed)
{
	static char data[FILE_MAX];
	struct inode inode = { .mode = S_IFREG | 0755 };
	struct node *node;
	fill(data, bytes, seed);
	maker_must(maker, target_file_begin(maker->target, true, &inode.file, &maker->err));
	maker_must(maker, target_file_data(maker->target, data, bytes, &maker->err));
	maker_must(maker, target_file_end(maker->target, &maker->err));
	maker_must(maker, tree_insert(maker->tree, path, &inode, &node, &maker->err));
}

/* Data and holes: "d" or "h" and a number of bytes. The data is that of the seed, as if there were no holes. */
static void add_pieces(struct maker *maker, const char *path, const char *pieces, unsigned seed)
{
	static char data[FILE_MAX];
	struct inode inode = { .mode = S_IFREG | 0644 };
	struct node *node;
	size_t at = 0;
	fill(data, sizeof(data), seed);
	maker_must(maker, target_file_begin(maker->target, false, &inode.file, &maker->err));
	for (char *rest = (char *)pieces; *rest != '\0'; rest += *rest == ' ') {
		char kind = *rest;
		size_t bytes = strtoul(rest + 1, &rest, 10);
		maker_must(maker, kind == 'd' ? target_file_data(maker->target, data + at, bytes, &maker->err) :
						target_file_hole(maker->target, bytes, &maker->err));
		at += bytes;
	}
	maker_must(maker, target_file_end(maker->target, &maker->err));
	maker_must(maker, tree_insert(maker->tree, path, &inode, &node, &maker->err));
}

static void add_directory(struct maker *maker, const char *path, uint16_t mode)
{
	struct inode inode = { .mode = S_IFDIR | mode };
	struct node *node;
	maker_must(maker, tree_insert(maker->tree, path, &inode, &node, &maker->err));
}

static void add_symlink(struct maker *maker, const char *path, const char *target)
{
	struct inode inode = { .mode = S_IFLNK | 0777, .target = target };
	struct node *node;
	maker_must(maker, tree_insert(maker->tree, path, &inode, &node, &maker->err));
}

static void add_link(struct maker *maker, const char *path, const char *target)
{
	struct node *node;
	maker_must(maker, tree_link(maker->tree, path, target, &node, &maker->err));
}

/* A device 0:0, which is a whiteout if it has that attribute and no permissions. */
static void add_device(struct maker *maker, const char *path, uint16_t mode, const char *attribute)
{
	struct xattr xattr = { .name = attribute, .value = "y", .value_bytes = 1 };
	struct inode inode = { .mode = S_IFCHR | mode };
	struct node *node;
	if (attribute != NULL)
		inode.xattrs = xattr_intern(tree_xattrs(maker->tree), tree_arena(maker->tree), &xattr, 1);
	maker_must(maker, tree_insert(maker->tree, path, &inode, &node, &maker->err));
}

static void add_whiteout(struct maker *maker, const char *path)
{
	add_device(maker, path, 0, DELTA_WHITEOUT_XATTR);
}

static void end(struct maker *maker)
{
	maker_must(maker, maker_end(maker));
}

/* --- putting together --- */

struct chain {
	const char *names[LAYERS_MAX + 1]; /* up to NULL */
	bool trusted;
	uint64_t max_bytes;                /* 0: no limit */
	const char *before, *after;        /* texts that files have that are written before and after the layers' */
};

/* What has been opened of a chain. */
struct opened {
	struct image_layer *layers[LAYERS_MAX];
	int fds[LAYERS_MAX];
	size_t count;
	struct progress progress;
	struct hot_set hot;
	struct load load;
};

static int text_add(struct opened *opened, const char *path, const char *text, struct err *err)
{
	return text == NULL ? 0 : load_text(&opened->load, path, 0644, text, strlen(text), err);
}

static int chain_load(struct opened *opened, const struct chain *chain, struct tree *tree, struct target *target, struct err *err)
{
	opened->load = (struct load){
		.tree = tree,
		.target = target,
		.progress = &opened->progress,
		.hot = &opened->hot,
		.content_max_bytes = chain->max_bytes > 0 ? chain->max_bytes : UINT64_MAX,
		.time_max = UINT32_MAX,
	};
	int r = text_add(opened, "before", chain->before, err);
	for (size_t i = 0; chain->names[i] != NULL && r == 0; i++) {
		opened->fds[i] = open(chain->names[i], O_RDONLY | O_CLOEXEC);
		opened->count++;
		r = image_layer_open(opened->fds[i], chain->names[i], chain->trusted, &opened->layers[i], err);
		if (r == 0)
			r = image_layer_merge(opened->layers[i], &opened->load, (uint32_t)i, err);
	}
	if (r == 0)
		r = image_layers_feed(&opened->load, opened->layers, opened->count, err);
	return r < 0 ? r : text_add(opened, "after", chain->after, err);
}

static void opened_close(struct opened *opened)
{
	for (size_t i = 0; i < opened->count; i++) {
		image_layer_close(opened->layers[i]);
		close(opened->fds[i]);
	}
}

/* An image of a chain. */
static int assemble_with(const char *path, const struct writer_options *options, const struct chain *chain, struct err *err)
{
	struct opened opened = { .count = 0 };
	struct maker maker;
	maker_begin_with(&maker, path, options);
	int r = chain_load(&opened, chain, maker.tree, maker.target, err);
	if (r == 0) {
		r = maker_end(&maker);
		*err = maker.err;
	} else {
		target_free(maker.target);
		tree_free(maker.tree);
		output_free(maker.output);
	}
	opened_close(&opened);
	return r;
}

static int assemble(const char *path, const struct chain *chain)
{
	struct err err = ERR_INIT;
	int r = assemble_with(path, &usual, chain, &err);
	check_str(err.text, "");
	return r;
}

/* A directory of a chain. */
static int unpack(const char *path, const struct chain *chain)
{
	struct opened opened = { .count = 0 };
	struct err err = ERR_INIT;
	struct tree *tree = tree_new();
	struct target *target = NULL;
	struct target_stats stats;
	int r = sandbox_open(path, false, &target, &err);
	if (r == 0)
		r = chain_load(&opened, chain, tree, target, &err);
	if (r == 0)
		r = target_finish(target, tree, 1000000000, &stats, &err);
	check_str(err.text, "");
	target_free(target);
	tree_free(tree);
	opened_close(&opened);
	umask(022);
	return r;
}

/* --- looking at it --- */

__attribute__((format(printf, 1, 2))) static int shell(const char *format, ...)
{
	char command[1024];
	va_list args;
	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	int status = system(command);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

static bool same(const char *one, const char *other)
{
	return shell("cmp %s %s", one, other) == 0;
}

struct content {
	char *data;
	size_t bytes;
};

/* The whole of a file. */
static struct content slurp(const char *path)
{
	struct stat st;
	autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		err(99, "%s", path);
	struct content content = { .data = malloc((size_t)st.st_size + 1), .bytes = (size_t)st.st_size };
	if (content.data == NULL || read(fd, content.data, content.bytes) != st.st_size)
		err(99, "%s", path);
	return content;
}

/* Where an image's data ends: at the inode table. */
static size_t data_end(const struct content *image)
{
	uint64_t table;
	memcpy(&table, image->data + 64, sizeof(table));
	return (size_t)le64toh(table);
}

/* Whether a file has these bytes in it. */
static bool holds(const char *path, const void *part, size_t bytes)
{
	struct content content = slurp(path);
	bool found = memmem(content.data, content.bytes, part, bytes) != NULL;
	free(content.data);
	return found;
}

static bool holds_seed(const char *path, size_t bytes, unsigned seed)
{
	static char data[FILE_MAX];
	fill(data, bytes, seed);
	return holds(path, data, bytes);
}

/* The content of a file in an image; data is NULL if it is not there. */
static struct content content_of(const char *image_path, const char *path)
{
	struct image image;
	struct image_reader *reader = NULL;
	struct err err = ERR_INIT;
	struct content content = { .data = NULL };
	autoclose int fd = open(image_path, O_RDONLY | O_CLOEXEC);
	if (image_identify(fd, image_path, &image, &err) == 0 && image_check(fd, image_path, &image, &err) == 0 &&
	    image_reader_open(fd, image_path, &image, &reader, &err) == 0)
		image_reader_file(reader, path, FILE_MAX, &content.data, &content.bytes, &err);
	image_reader_free(reader);
	if (err.code != 0)
		printf("# %s\n", err.text);
	return content;
}

static bool is_there(const char *image_path, const char *path)
{
	struct content content = content_of(image_path, path);
	bool there = content.data != NULL;
	free(content.data);
	return there;
}

static bool has_seed(const char *image_path, const char *path, size_t bytes, unsigned seed)
{
	static char expected[FILE_MAX];
	struct content content = content_of(image_path, path);
	fill(expected, bytes, seed);
	bool equal = content.data != NULL && content.bytes == bytes && memcmp(content.data, expected, bytes) == 0;
	free(content.data);
	return equal;
}

static off_t length(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0 ? st.st_size : -1;
}

static bool has_unsquashfs(void)
{
	return shell("command -v unsquashfs >/dev/null 2>&1") == 0;
}

/* Unpacks an image with unsquashfs, and a chain with the sandbox: both have the same in them. */
static void compare_unpacked(const char *image, const struct chain *chain)
{
	check_int(shell("rm -rf squashfs sandbox; unsquashfs -q -n -no-xattrs -d squashfs %s >unsquashfs.log 2>&1", image), 0);
	check_int(unpack("sandbox", chain), 0);
	check_int(shell("rm -rf sandbox/.simg; diff -r --no-dereference squashfs sandbox"), 0);
	check_int(shell("for d in squashfs sandbox; do (cd $d && find . ! -path . -printf '%%P %%m %%s %%n %%l\\n' | sort) >$d.list;"
			" done; diff squashfs.list sandbox.list"), 0);
}

/* --- a base and deltas --- */

static void base_fill(struct maker *maker)
{
	add_directory(maker, "etc", 0755);
	add_file(maker, "etc/hosts", 120, 2);
	add_file(maker, "etc/empty", 0, 0);
	add_file(maker, "etc/motd", 3000, 4);
	add_directory(maker, "usr", 0755);
	add_directory(maker, "usr/bin", 0755);
	add_file(maker, "usr/bin/tool", 5 * BLOCK + 700, 6);
	add_file(maker, "usr/bin/plain", 3 * BLOCK + 50, 7);
	add_link(maker, "usr/bin/alias", "usr/bin/tool");
	add_hot(maker, "usr/bin/hot", 2 * BLOCK + 100, 8);
	add_file(maker, "usr/exact", 4 * BLOCK, 10);
	add_symlink(maker, "bin", "usr/bin");
	add_directory(maker, "var", 0755);
	add_file(maker, "var/one", 10, 12);
	add_file(maker, "var/two", 2 * BLOCK + 20, 14);
	add_pieces(maker, "var/holes", "d4096 h40960 d4096 h8192 d100", 16);
	add_pieces(maker, "var/hole", "h20000", 0);
	add_pieces(maker, "var/end", "d8192 h4000", 18);
	add_pieces(maker, "var/partial", "d100 h4096 d5000", 20);
	add_file(maker, "var/copy", 2 * BLOCK + 20, 14);
}

static void base_make(const char *path, const struct writer_options *options)
{
	struct maker maker;
	maker_begin_with(&maker, path, options);
	base_fill(&maker);
	end(&maker);
}

static void deltas_make(void)
{
	struct maker maker;
	maker_begin_with(&maker, "delta-1.simg", &usual);
	add_directory(&maker, "etc", 0700);
	add_file(&maker, "etc/new", 333, 30);
	add_whiteout(&maker, "etc/motd");
	add_whiteout(&maker, "usr");
	add_file(&maker, "var/two", 6 * BLOCK + 1, 32);
	add_file(&maker, "opt/program", 7 * BLOCK + 77, 34);
	add_link(&maker, "opt/second", "opt/program");
	end(&maker);
	maker_begin_with(&maker, "delta-2.simg", &usual);
	add_whiteout(&maker, "opt/second");
	add_file(&maker, "usr/bin/tool", 99, 36);
	add_symlink(&maker, "var", "usr"); /* in the place of a directory */
	add_directory(&maker, "etc", 0700);
	add_directory(&maker, "etc/hosts", 0711); /* in the place of a file */
	add_file(&maker, "etc/hosts/inside", 5, 38);
	end(&maker);
}

static const struct chain base = { .names = { "base.simg" }, .trusted = true };
static const struct chain two = { .names = { "base.simg", "delta-1.simg" }, .trusted = true };
static const struct chain three = { .names = { "base.simg", "delta-1.simg", "delta-2.simg" }, .trusted = true };

static struct chain distrusted(const struct chain *chain)
{
	struct chain copy = *chain;
	copy.trusted = false;
	return copy;
}

static void test_merge(void)
{
	test_case ("a chain of two: files new, replaced and removed, a directory's attributes") {
		check_int(assemble("out.simg", &two), 0);
		check(has_seed("out.simg", "etc/hosts", 120, 2));
		check(has_seed("out.simg", "etc/new", 333, 30));
		check(has_seed("out.simg", "etc/empty", 0, 0));
		check(!is_there("out.simg", "etc/motd"));
		check(!is_there("out.simg", "usr/bin/tool"));
		check(!is_there("out.simg", "usr/exact"));
		check(has_seed("out.simg", "var/one", 10, 12));
		check(has_seed("out.simg", "var/two", 6 * BLOCK + 1, 32));
		check(has_seed("out.simg", "var/copy", 2 * BLOCK + 20, 14));
		check(has_seed("out.simg", "opt/program", 7 * BLOCK + 77, 34));
		check(has_seed("out.simg", "opt/second", 7 * BLOCK + 77, 34));
	}
	test_case ("a chain of three: names of a hard link, a symlink for a directory, a directory for a file") {
		check_int(assemble("out.simg", &three), 0);
		check(has_seed("out.simg", "opt/program", 7 * BLOCK + 77, 34));
		check(!is_there("out.simg", "opt/second"));
		check(has_seed("out.simg", "usr/bin/tool", 99, 36));
		check(!is_there("out.simg", "var/one"));
		check(has_seed("out.simg", "etc/hosts/inside", 5, 38));
	}
	for (int i = 1; i <= 3; i++) {
		test_case ("unsquashfs and the sandbox see the same in a chain of %d", i) {
			const struct chain *chain = i == 1 ? &base : i == 2 ? &two : &three;
			if (!has_unsquashfs())
				test_skip("no unsquashfs");
			check_int(assemble("out.simg", chain), 0);
			compare_unpacked("out.simg", chain);
		}
	}
	test_case ("modes, hard links and symlinks of the chain of three") {
		check_int(unpack("tree", &three), 0);
		check_int(shell("test $(stat -c %%a tree/etc) = 700"), 0);
		check_int(shell("test $(stat -c %%h tree/opt/program) = 1"), 0);
		check_int(shell("test $(readlink tree/var) = usr"), 0);
		check_int(unpack("tree-2", &two), 0);
		check_int(shell("test tree-2/opt/program -ef tree-2/opt/second"), 0);
		check_int(unpack("tree-1", &base), 0);
		check_int(shell("test tree-1/usr/bin/tool -ef tree-1/usr/bin/alias"), 0);
	}
}

static void test_whiteouts(void)
{
	struct maker maker;
	const struct source_entry good = { .path = "x", .mode = S_IFCHR, .xattr_count = 1,
					   .xattrs = &(struct xattr){ .name = DELTA_WHITEOUT_XATTR, .value = "" } };
	test_case ("what is a whiteout, and what is none") {
		check(image_layer_is_whiteout(&good));
		struct source_entry other = good;
		other.xattr_count = 0;
		check(!image_layer_is_whiteout(&other));
		other = good;
		other.mode = S_IFCHR | 0600;
		check(!image_layer_is_whiteout(&other));
		other = good;
		other.mode = S_IFBLK;
		check(!image_layer_is_whiteout(&other));
		other = good;
		other.minor = 1;
		check(!image_layer_is_whiteout(&other));
		other = good;
		other.hard_link = true;
		check(!image_layer_is_whiteout(&other));
	}
	test_case ("a whiteout removes a symlink, not what it leads to, and what is not there is no error") {
		maker_begin_with(&maker, "delta.simg", &usual);
		add_whiteout(&maker, "bin");
		add_whiteout(&maker, "nowhere");
		end(&maker);
		check_int(assemble("out.simg", &(struct chain){ .names = { "base.simg", "delta.simg" }, .trusted = true }), 0);
		check(has_seed("out.simg", "usr/bin/tool", 5 * BLOCK + 700, 6));
		check(!is_there("out.simg", "bin"));
	}
	test_case ("devices 0:0 without the attribute, or with permissions, are devices") {
		maker_begin_with(&maker, "delta.simg", &usual);
		add_device(&maker, "etc", 0, NULL);
		add_device(&maker, "usr", 0600, DELTA_WHITEOUT_XATTR);
		end(&maker);
		check_int(assemble("out.simg", &(struct chain){ .names = { "base.simg", "delta.simg" }, .trusted = true }), 0);
		if (!has_unsquashfs())
			test_skip("no unsquashfs");
		check_int(shell("test $(unsquashfs -lln out.simg | grep -cE '^c.*/(etc|usr)$') = 2"), 0);
	}
	test_case ("in the lowest layer, a whiteout is a device") {
		maker_begin_with(&maker, "lowest.simg", &usual);
		add_whiteout(&maker, "device");
		end(&maker);
		check_int(assemble("out.simg", &(struct chain){ .names = { "lowest.simg" }, .trusted = true }), 0);
		check(same("out.simg", "lowest.simg"));
	}
}

/* --- copying what is stored --- */

static void test_copy(void)
{
	test_case ("a layer alone gives the same image again") {
		const struct chain chain = distrusted(&base);
		check_int(assemble("out.simg", &base), 0);
		check(same("out.simg", "base.simg"));
		check_int(assemble("out.simg", &chain), 0);
		check(same("out.simg", "base.simg"));
	}
	test_case ("nothing is compressed anew: the level stays") {
		struct writer_options high = usual;
		struct err err = ERR_INIT;
		high.level = 15; /* libsquashfs's own: an image without the compressor's options */
		base_make("high.simg", &high);
		check_int(assemble_with("out.simg", &high, &base, &err), 0);
		check(has_seed("out.simg", "usr/bin/tool", 5 * BLOCK + 700, 6));
		/* behind the beginning of an image there is data, as it was */
		struct content from = slurp("base.simg"), to = slurp("out.simg");
		check(memmem(to.data, to.bytes, from.data + 200, data_end(&from) - 200) != NULL);
		free(from.data);
		from = slurp("high.simg");
		check(memmem(to.data, to.bytes, from.data + 200, data_end(&from) - 200) == NULL);
		free(from.data);
		free(to.data);
	}
	test_case ("the same chain gives the same bytes, with any number of threads") {
		struct writer_options many = usual;
		struct err err = ERR_INIT;
		many.jobs = 7;
		check_int(assemble("out.simg", &three), 0);
		check_int(assemble_with("again.simg", &many, &three, &err), 0);
		check(same("out.simg", "again.simg"));
	}
	test_case ("a layer of our own is as good as one that is checked") {
		const struct chain chain = distrusted(&three);
		check_int(assemble("out.simg", &three), 0);
		check_int(assemble("again.simg", &chain), 0);
		check(same("out.simg", "again.simg"));
	}
	test_case ("hot files stay uncompressed") {
		check(holds_seed("base.simg", 2 * BLOCK + 100, 8));
		check_int(assemble("out.simg", &base), 0);
		check(holds_seed("out.simg", 2 * BLOCK + 100, 8));
		check(!holds_seed("out.simg", BLOCK, 6));
	}
	test_case ("data before and after that is the same as others': nothing that was copied is cut off") {
		static char text[3 * BLOCK + 51];
		fill(text, sizeof(text) - 1, 42);
		struct chain chain = three;
		chain.before = chain.after = text;
		check_int(assemble("out.simg", &chain), 0);
		check(has_seed("out.simg", "before", sizeof(text) - 1, 42));
		check(has_seed("out.simg", "after", sizeof(text) - 1, 42));
		check(has_seed("out.simg", "opt/program", 7 * BLOCK + 77, 34));
		check(has_seed("out.simg", "usr/bin/tool", 99, 36));
		check(has_seed("out.simg", "etc/new", 333, 30));
		check(has_seed("out.simg", "etc/hosts/inside", 5, 38));
		check(length("out.simg") < 3 * 4096 * 4 + 8 * 4096); /* and it is there once */
	}
}

/* A base of files with a mark in each, and a delta that removes some. */
static void test_removed(void)
{
	struct maker maker;
	maker_begin_with(&maker, "marks.simg", &usual);
	add_file(&maker, "small-1", 900, 51);
	add_file(&maker, "small-2", 900, 53);
	add_file(&maker, "small-3", 900, 55);
	add_file(&maker, "small-4", 900, 57);
	add_file(&maker, "small-5", 900, 59); /* the second fragment block begins here */
	add_file(&maker, "small-6", 900, 61);
	add_file(&maker, "large-1", 3 * BLOCK + 200, 63);
	add_file(&maker, "large-2", 3 * BLOCK + 200, 65);
	end(&maker);
	const char *const removed[] = { "small-1", "small-2", "small-4", "large-1", "large-2", "small-6" };
	const unsigned seeds[] = { 51, 53, 57, 63, 65, 61 };
	const size_t bytes[] = { 900, 900, 900, 3 * BLOCK + 200, 3 * BLOCK + 200, 900 };
	for (int i = 0; i < 6; i++) {
		test_case ("no byte of the removed '%s' gets into the image, whoever made the layer", removed[i]) {
			const struct chain chains[] = { { .names = { "marks.simg", "delta.simg" }, .trusted = true },
							{ .names = { "marks.simg", "delta.simg" } } };
			maker_begin_with(&maker, "delta.simg", &usual);
			add_whiteout(&maker, removed[i]);
			end(&maker);
			static char data[FILE_MAX];
			fill(data, bytes[i], seeds[i]);
			check(holds("marks.simg", data, 200));
			for (int c = 0; c < 2; c++) {
				check_int(assemble("out.simg", &chains[c]), 0);
				check(!holds("out.simg", data, 64));
				check(!holds("out.simg", data + bytes[i] - 64, 64));
				check(!is_there("out.simg", removed[i]));
				for (int other = 0; other < 6; other++)
					check(other == i || has_seed("out.simg", removed[other], bytes[other], seeds[other]));
				check(has_seed("out.simg", "small-3", 900, 55));
				check(has_seed("out.simg", "small-5", 900, 59));
			}
		}
	}
	test_case ("an image of which much is removed is as small as if that had never been there") {
		maker_begin_with(&maker, "delta.simg", &usual);
		add_whiteout(&maker, "large-1");
		add_whiteout(&maker, "small-1");
		end(&maker);
		maker_begin_with(&maker, "fresh.simg", &usual);
		for (unsigned i = 2; i <= 6; i++) {
			char name[16];
			snprintf(name, sizeof(name), "small-%u", i);
			add_file(&maker, name, 900, 49 + 2 * i);
		}
		add_file(&maker, "large-2", 3 * BLOCK + 200, 65);
		end(&maker);
		check_int(assemble("out.simg", &(struct chain){ .names = { "marks.simg", "delta.simg" }, .trusted = true }), 0);
		check_int(length("out.simg"), length("fresh.simg"));
	}
}

static void test_shared(void)
{
	struct maker maker;
	static char data[12 * BLOCK];
	fill(data, sizeof(data), 71);
	maker_begin_with(&maker, "shared.simg", &usual);
	maker_file(&maker, "all", data, 8 * BLOCK, NULL);
	maker_file(&maker, "copy", data, 8 * BLOCK, NULL);
	maker_file(&maker, "middle", data + 2 * BLOCK, 4 * BLOCK, NULL);
	maker_file(&maker, "head", data, 3 * BLOCK, NULL);
	end(&maker);
	test_case ("files that share blocks share them again") {
		check_int(assemble("out.simg", &(struct chain){ .names = { "shared.simg" }, .trusted = true }), 0);
		check(same("out.simg", "shared.simg"));
	}
	test_case ("of shared blocks, those that are left are copied once") {
		maker_begin_with(&maker, "delta.simg", &usual);
		add_whiteout(&maker, "all");
		add_whiteout(&maker, "copy");
		end(&maker);
		check_int(assemble("out.simg", &(struct chain){ .names = { "shared.simg", "delta.simg" }, .trusted = true }), 0);
		for (int i = 0; i < 2; i++) {
			struct content content = content_of("out.simg", i == 0 ? "middle" : "head");
			check_int(content.bytes, (i == 0 ? 4 : 3) * BLOCK);
			check(content.data != NULL && memcmp(content.data, data + (i == 0 ? 2 : 0) * BLOCK, content.bytes) == 0);
			free(content.data);
		}
		check(!holds("out.simg", data + 6 * BLOCK, 64));
		check(length("out.simg") <= 8 * BLOCK);
	}
}

static void test_holes(void)
{
	test_case ("a hole of 4 TiB takes no memory") {
		struct maker maker;
		struct writer_options options = usual;
		struct inode inode = { .mode = S_IFREG | 0644 };
		struct node *node;
		struct err err = ERR_INIT;
		options.block_bytes = 1048576;
		maker_begin_with(&maker, "hole.simg", &options);
		maker_must(&maker, target_file_begin(maker.target, false, &inode.file, &maker.err));
		maker_must(&maker, target_file_data(maker.target, "begin", 5, &maker.err));
		maker_must(&maker, target_file_hole(maker.target, (uint64_t)4 << 40, &maker.err));
		maker_must(&maker, target_file_data(maker.target, "end", 3, &maker.err));
		maker_must(&maker, target_file_end(maker.target, &maker.err));
		maker_must(&maker, tree_insert(maker.tree, "huge", &inode, &node, &maker.err));
		end(&maker);
		check_int(assemble_with("out.simg", &options, &(struct chain){ .names = { "hole.simg" } }, &err), 0);
		check_str(err.text, "");
		check(same("out.simg", "hole.simg"));
	}
	test_case ("a tail of zeros whose fragment block is not copied") {
		struct maker maker;
		maker_begin_with(&maker, "zeros.simg", &usual);
		add_file(&maker, "gone", 100, 81);
		add_file(&maker, "kept", BLOCK + 100, 83);
		end(&maker);
		/* libsquashfs makes a hole of zeros, so this image has to be changed to have some in a fragment */
		struct content content = slurp("zeros.simg");
		static char data[FILE_MAX];
		fill(data, BLOCK + 100, 83);
		char *tail = memmem(content.data, content.bytes, data + BLOCK, 100);
		check(tail != NULL);
		if (tail != NULL)
			memset(tail, 0, 100);
		scratch_bytes("zeros.simg", content.data, content.bytes);
		free(content.data);
		maker_begin_with(&maker, "delta.simg", &usual);
		add_whiteout(&maker, "gone");
		end(&maker);
		check_int(assemble("out.simg", &(struct chain){ .names = { "zeros.simg", "delta.simg" }, .trusted = true }), 0);
		content = content_of("out.simg", "kept");
		memset(data + BLOCK, 0, 100);
		check_int(content.bytes, BLOCK + 100);
		check(content.data != NULL && memcmp(content.data, data, BLOCK + 100) == 0);
		free(content.data);
		if (!has_unsquashfs())
			test_skip("no unsquashfs");
		compare_unpacked("out.simg", &(struct chain){ .names = { "zeros.simg", "delta.simg" }, .trusted = true });
	}
}

/* --- compressing anew --- */

static void test_other(void)
{
	static const struct writer_options others[] = {
		{ .compressor = "gzip", .level = LEVEL_DEFAULT, .block_bytes = BLOCK, .jobs = 2 },
		{ .compressor = "xz", .level = LEVEL_DEFAULT, .block_bytes = 4 * BLOCK, .jobs = 2 },
		{ .compressor = "lz4", .level = LEVEL_DEFAULT, .block_bytes = BLOCK, .jobs = 2 },
		{ .compressor = "zstd", .level = LEVEL_DEFAULT, .block_bytes = 4 * BLOCK, .jobs = 2 },
		{ .compressor = "zstd", .level = LEVEL_DEFAULT, .block_bytes = 131072, .jobs = 2, .plain_metadata = true },
	};
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		test_case ("layers into an image with %s and blocks of %u", others[i].compressor, others[i].block_bytes) {
			struct err err = ERR_INIT;
			check_int(assemble_with("out.simg", &others[i], &three, &err), 0);
			check_str(err.text, "");
			check(has_seed("out.simg", "opt/program", 7 * BLOCK + 77, 34));
			if (!has_unsquashfs())
				test_skip("no unsquashfs");
			compare_unpacked("out.simg", &three);
		}
		test_case ("a layer with %s and blocks of %u alone gives the same image again", others[i].compressor,
			   others[i].block_bytes) {
			struct err err = ERR_INIT;
			base_make("other.simg", &others[i]);
			check_int(assemble_with("out.simg", &others[i], &(struct chain){ .names = { "other.simg" } }, &err), 0);
			check_str(err.text, "");
			check(same("out.simg", "other.simg"));
		}
	}
	test_case ("layers of different kinds in one image") {
		const struct chain chain = { .names = { "other.simg", "delta-1.simg", "delta-2.simg" }, .trusted = true };
		check_int(assemble("out.simg", &chain), 0);
		check_int(assemble("again.simg", &chain), 0);
		check(same("out.simg", "again.simg"));
		if (!has_unsquashfs())
			test_skip("no unsquashfs");
		compare_unpacked("out.simg", &chain);
	}
	test_case ("a layer with options of xz is compressed anew") {
		if (shell("command -v mksquashfs >/dev/null 2>&1") != 0 || !has_unsquashfs())
			test_skip("no mksquashfs");
		struct err err = ERR_INIT;
		check_int(shell("mksquashfs sandbox xz.simg -comp xz -b 8192 -Xbcj x86 -noappend -quiet -no-progress"
				" >mksquashfs.log 2>&1"), 0);
		const struct writer_options options = { .compressor = "xz", .level = LEVEL_DEFAULT, .block_bytes = 8192, .jobs = 1 };
		const struct chain chain = { .names = { "xz.simg" } };
		check_int(assemble_with("out.simg", &options, &chain, &err), 0);
		check_str(err.text, "");
		compare_unpacked("out.simg", &chain);
	}
	test_case ("an image of another maker") {
		if (shell("command -v mksquashfs >/dev/null 2>&1") != 0 || !has_unsquashfs())
			test_skip("no mksquashfs");
		const struct chain chains[] = { { .names = { "foreign.simg" } }, { .names = { "foreign.simg", "delta-1.simg" } } };
		check_int(shell("mksquashfs sandbox foreign.simg -comp zstd -b 4096 -always-use-fragments -noappend -quiet -no-progress"
				" >mksquashfs.log 2>&1"), 0);
		for (int i = 0; i < 2; i++) {
			check_int(assemble("out.simg", &chains[i]), 0);
			compare_unpacked("out.simg", &chains[i]);
		}
	}
}

/* --- what is refused --- */

enum { FIELD_START = -12, FIELD_FRAGMENT = -8, FIELD_OFFSET = -4, FIELD_BYTES = 0, FIELD_BLOCKS = 4 };

/* Changes a field of the one inode that says it has so many bytes, or of its block list. Needs plain metadata. */
static void harm(const char *from, const char *to, uint32_t bytes, int field, uint32_t value)
{
	struct content content = slurp(from);
	uint32_t little = htole32(bytes);
	size_t table = data_end(&content);
	char *found = memmem(content.data + table, content.bytes - table, &little, sizeof(little));
	if (found == NULL)
		errx(99, "no inode of %u bytes", bytes);
	little = htole32(value);
	memcpy(found + field, &little, sizeof(little));
	scratch_bytes(to, content.data, content.bytes);
	free(content.data);
}

static void refused(bool trusted, const struct writer_options *options, const char *message)
{
	struct err err = ERR_INIT;
	struct chain chain = { .names = { "bad.simg" }, .trusted = trusted };
	check_int(assemble_with("refused.simg", options, &chain, &err), -EBADMSG);
	check_has(err.text, "the image 'bad.simg' is damaged: ");
	check_has(err.text, message);
	check(access("refused.simg", F_OK) < 0);
}

static void test_damaged(void)
{
	struct writer_options plain = usual, other = usual;
	struct maker maker;
	plain.plain_metadata = true;
	other.block_bytes = 2 * BLOCK;
	maker_begin_with(&maker, "sound.simg", &plain);
	add_file(&maker, "full", 2 * BLOCK, 6);
	add_file(&maker, "more", 3 * BLOCK + 333, 7);
	add_file(&maker, "tail", 555, 4);
	add_file(&maker, "tail-2", 655, 8);
	end(&maker);
	static const struct {
		const char *what;
		uint32_t bytes;
		int field;
		uint32_t value;
		const char *message;
	} harms[] = {
		{ "blocks beyond the image", 2 * BLOCK, FIELD_START, 1 << 30, "" },
		{ "a block larger than a block", 2 * BLOCK, FIELD_BLOCKS, BLOCK + 1, "the length of a block, at 'full'" },
		{ "a plain block that is too short", 3 * BLOCK + 333, FIELD_BLOCKS, 1 << 24 | 4095, "the length of a block, at 'more'" },
		{ "an unknown flag in a block's length", 2 * BLOCK, FIELD_BLOCKS + 4, 1 << 25 | 100, "the length of a block, at 'full'" },
		{ "a fragment that is not there", 555, FIELD_FRAGMENT, 77, "a fragment that does not exist" },
		{ "a tail beyond its fragment", 555, FIELD_OFFSET, BLOCK - 1, "the place of a file's tail" },
		{ "a tail far beyond its fragment", 555, FIELD_OFFSET, 0xfffffff0, "the place of a file's tail" },
		{ "a block list without end", 2 * BLOCK, FIELD_BYTES, 0xfffffff0, "" },
	};
	for (size_t i = 0; i < sizeof(harms) / sizeof(harms[0]); i++) {
		test_case ("refused: %s", harms[i].what) {
			harm("sound.simg", "bad.simg", harms[i].bytes, harms[i].field, harms[i].value);
			refused(false, &usual, harms[i].message);
			refused(true, &usual, harms[i].message);
			refused(false, &other, harms[i].message);
		}
	}
	test_case ("refused: a tail behind what its fragment block holds, of an image that is not our own") {
		harm("sound.simg", "bad.simg", 655, FIELD_OFFSET, 2000);
		refused(false, &usual, "the place of a file's tail");
		refused(false, &other, "the place of a file's tail");
	}
	test_case ("refused: a fragment block that cannot be decompressed, of an image that is not our own") {
		struct content content = slurp("sound.simg");
		uint32_t frame = htole32(0xfd2fb528); /* zstd's magic number */
		char *last = NULL, *next = content.data, *tables = content.data + data_end(&content);
		while ((next = memmem(next, (size_t)(tables - next), &frame, sizeof(frame))) != NULL)
			last = next++;
		check(last != NULL);
		if (last != NULL)
			memset(last, 0x55, 16);
		scratch_bytes("bad.simg", content.data, content.bytes);
		free(content.data);
		refused(false, &usual, "cannot read a block of data");
	}
	test_case ("refused: more than --max-size allows, also where nothing is decompressed") {
		struct err err = ERR_INIT;
		struct chain chain = { .names = { "sound.simg" }, .trusted = true, .max_bytes = 5 * BLOCK };
		check_int(assemble_with("refused.simg", &usual, &chain, &err), -EFBIG);
		check_has(err.text, "the files hold more than 20.0 KiB, up to '");
		check_has(err.hint, "--max-size");
	}
	test_case ("refused: what is no image") {
		struct err err = ERR_INIT;
		scratch_file("bad.simg", "hsqs, and nothing more");
		struct chain chain = { .names = { "bad.simg" } };
		check(assemble_with("refused.simg", &usual, &chain, &err) < 0);
		check_has(err.text, "bad.simg");
	}
}

int main(void)
{
	scratch_enter();
	base_make("base.simg", &usual);
	deltas_make();
	test_merge();
	test_whiteouts();
	test_copy();
	test_removed();
	test_shared();
	test_holes();
	test_other();
	test_damaged();
	return test_end();
}
