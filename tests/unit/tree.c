/* SPDX-License-Identifier: Apache-2.0
 *
 * builder/tree.c: entries have the meaning that extraction would give them, and hostile paths end with a message.
 */
#include "builder/tree.h"
#include "lib/err.h"
#include "tests/tap.h"

#include <errno.h>
#include <sys/stat.h>

static struct err err;

static struct node *insert(struct tree *tree, const char *path, uint16_t mode, const char *target)
{
	struct inode inode = { .mode = mode, .target = target, .mtime = 7 };
	struct node *node = NULL;
	err = (struct err)ERR_INIT;
	tree_insert(tree, path, &inode, &node, &err);
	return node;
}

static struct node *file(struct tree *tree, const char *path)
{
	return insert(tree, path, S_IFREG | 0644, NULL);
}

static struct node *directory(struct tree *tree, const char *path)
{
	return insert(tree, path, S_IFDIR | 0700, NULL);
}

static struct node *symlink_to(struct tree *tree, const char *path, const char *target)
{
	return insert(tree, path, S_IFLNK | 0777, target);
}

/* The names of all directories in the order that the writer takes them, "/" for the root. */
static const char *directories(struct tree *tree)
{
	static char text[1024];
	text[0] = '\0';
	for (struct node *d = tree_deepest(tree_root(tree)); d != NULL; d = tree_next_up(d)) {
		size_t used = strlen(text);
		snprintf(text + used, sizeof(text) - used, "%s ", d->parent == NULL ? "/" : d->name);
	}
	return text;
}

static const char *children(struct tree *tree, const char *path)
{
	static char text[1024];
	text[0] = '\0';
	for (struct node *child = tree_find(tree, path)->inode->children; child != NULL; child = child->sibling) {
		size_t used = strlen(text);
		snprintf(text + used, sizeof(text) - used, "%s ", child->name);
	}
	return text;
}

int main(void)
{
	struct node *node;
	uint32_t count, newest;

	test_case ("untidy paths name the same file") {
		struct tree *tree = tree_new();
		node = file(tree, "a/b");
		check(node != NULL);
		static const char *const same[] = { "a/b", "/a/b", "./a/b", "a//b", "a/./b", "//./a///./b/", "a/b/." };
		for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++)
			check(tree_find(tree, same[i]) == node);
		check(tree_find(tree, "a/bb") == NULL);
		check(tree_find(tree, "b") == NULL);
		check(tree_find(tree, ".") == tree_root(tree));
		check(tree_find(tree, "") == tree_root(tree));
		tree_free(tree);
	}

	test_case ("'..' in a path takes back the name before it, whatever that is") {
		struct tree *tree = tree_new();
		directory(tree, "real/deep");
		symlink_to(tree, "link", "real/deep");
		file(tree, "not-there/../link/.././a/b/../../c/d");
		check(tree_find(tree, "c/d") != NULL);
		check(tree_find(tree, "a") == NULL);
		check(tree_find(tree, "not-there") == NULL);
		check_int(tree_link(tree, "x/../e", "./link/../c/x/../d", &node, &err), 0);
		check(tree_find(tree, "e")->inode == tree_find(tree, "c/d")->inode);
		check(tree_find(tree, "x") == NULL);
		check(directory(tree, "c/..") == tree_root(tree));
		tree_layer_begin(tree);
		check_int(tree_remove(tree, "link/../c", &err), 0);
		tree_sweep(tree);
		check(tree_find(tree, "c") == NULL);
		check(tree_find(tree, "real/deep") != NULL);
		tree_free(tree);
	}

	test_case ("'..' of a symlink leaves nothing of what is not there") {
		struct tree *tree = tree_new();
		symlink_to(tree, "link", "nowhere/more/../../deep/down/../up");
		struct node *found = file(tree, "link/x");
		check(found != NULL);
		check(tree_find(tree, "deep/up/x") == found);
		check(tree_find(tree, "link/x") == found);
		check(tree_find(tree, "nowhere") == NULL);
		check(tree_find(tree, "deep/down") == NULL);
		symlink_to(tree, "away", "nowhere/../../../deep");
		check(tree_find(tree, "away/up/x") == found);
		check(tree_find(tree, "away/nowhere") == NULL);
		check_int(tree_number(tree, &count, &newest, &err), 0);
		check_int(count, 6);
		tree_free(tree);
	}

	test_case ("missing parents are implicit, until an entry describes them") {
		struct tree *tree = tree_new();
		file(tree, "a/b/c");
		check(tree_find(tree, "a")->inode->implicit);
		check_int(tree_find(tree, "a")->inode->mode, S_IFDIR | 0755);
		directory(tree, "a");
		check(!tree_find(tree, "a")->inode->implicit);
		check_int(tree_find(tree, "a")->inode->mode, S_IFDIR | 0700);
		check(tree_find(tree, "a/b/c") != NULL);
		tree_free(tree);
	}

	test_case ("what replaces a directory takes all that was below it") {
		struct tree *tree = tree_new();
		file(tree, "a/b/c");
		file(tree, "a/b/d/e");
		file(tree, "a/f");
		file(tree, "a/b");
		check(S_ISREG(tree_find(tree, "a/b")->inode->mode));
		check(tree_find(tree, "a/b/c") == NULL);
		check(tree_find(tree, "a/f") != NULL);
		directory(tree, "a/b");
		check(tree_find(tree, "a/b/c") == NULL);
		check_int(tree_number(tree, &count, &newest, &err), 0);
		check_int(count, 4);
		tree_free(tree);
	}

	test_case ("a hard link keeps the inode that its target had") {
		struct tree *tree = tree_new();
		struct inode *first = file(tree, "a")->inode;
		check_int(tree_link(tree, "dir/link", "./a", &node, &err), 0);
		check(node->inode == first);
		file(tree, "a");
		check(tree_find(tree, "a")->inode != first);
		check(tree_find(tree, "dir/link")->inode == first);
		check_int(tree_link(tree, "a", "a", &node, &err), 0);
		check_int(tree_number(tree, &count, &newest, &err), 0);
		check_int(first->links, 1);
		check_int(count, 4);
		tree_free(tree);
	}

	test_case ("symlinks on the way are followed inside the tree, the last one is not") {
		struct tree *tree = tree_new();
		directory(tree, "usr/lib");
		symlink_to(tree, "lib", "usr/lib");
		symlink_to(tree, "usr/up", "../../../..");
		symlink_to(tree, "usr/absolute", "/usr/./lib/");
		file(tree, "lib/a");
		file(tree, "usr/up/b");
		file(tree, "usr/absolute/c");
		check(tree_find(tree, "usr/lib/a") != NULL);
		check(tree_find(tree, "b") != NULL);
		check(tree_find(tree, "usr/lib/c") != NULL);
		check(S_ISLNK(tree_find(tree, "lib")->inode->mode));
		tree_free(tree);
	}

	test_case ("40 symlinks in a row are followed, 41 are not") {
		struct tree *tree = tree_new();
		char name[32], target[32];
		directory(tree, "l0");
		for (int i = 1; i <= 41; i++) {
			snprintf(name, sizeof(name), "l%d", i);
			snprintf(target, sizeof(target), "l%d", i - 1);
			symlink_to(tree, name, target);
		}
		check(file(tree, "l40/a") != NULL);
		check(file(tree, "l41/b") == NULL);
		check_int(err.code, -ELOOP);
		check_has(err.text, "leads through more than 40 symlinks");
		tree_free(tree);
	}

	test_case ("paths that climb, are too long or lead through a file are refused by name") {
		struct tree *tree = tree_new();
		char *longer = malloc(PATH_BYTES_MAX + 2);
		memset(longer, 'n', PATH_BYTES_MAX + 1);
		longer[PATH_BYTES_MAX + 1] = '\0';
		file(tree, "file");
		check(file(tree, "a/../../b") == NULL);
		check_has(err.text, "the path 'a/../../b' leads out of the tree with '..'");
		check(file(tree, "..") == NULL);
		check_has(err.text, "the path '..' leads out of the tree with '..'");
		check(file(tree, "/a/b/../.././../c") == NULL);
		check_has(err.text, "leads out of the tree with '..'");
		check_int(tree_link(tree, "h", "file/../../x", &node, &err), -EINVAL);
		check_has(err.text, "the path 'file/../../x' leads out of the tree with '..'");
		check(file(tree, "a/..") == NULL);
		check_has(err.text, "the root of the tree, 'a/..', is no directory");
		check(file(tree, "..a/b..") != NULL);
		check(file(tree, "file/a") == NULL);
		check_int(err.code, -ENOTDIR);
		check(file(tree, longer) == NULL);
		check_has(err.text, "has 65536 bytes, at most 65535 are supported");
		check(file(tree, longer + PATH_BYTES_MAX + 1 - 256) == NULL);
		check_has(err.text, "has 256 bytes, at most 255 are possible");
		check(file(tree, longer + PATH_BYTES_MAX + 1 - 255) != NULL);
		check(file(tree, ".") == NULL);
		check_has(err.text, "the root of the tree, '.', is no directory");
		free(longer);
		tree_free(tree);
	}

	test_case ("a symlink's target has 1 to 4095 bytes") {
		struct tree *tree = tree_new();
		char target[TARGET_BYTES_MAX + 2];
		memset(target, 't', sizeof(target));
		target[TARGET_BYTES_MAX + 1] = '\0';
		check(symlink_to(tree, "s", target) == NULL);
		check_has(err.text, "has 4096 bytes");
		check(symlink_to(tree, "s", target + 1) != NULL);
		check(symlink_to(tree, "s", "") == NULL);
		check_has(err.text, "has an empty target");
		tree_free(tree);
	}

	test_case ("names are sorted as bytes, directories come after what is below them") {
		struct tree *tree = tree_new();
		file(tree, "b/\xff");
		file(tree, "b/Z");
		file(tree, "b/a");
		file(tree, "b/\xc3\xa9");
		directory(tree, "b/sub/deep");
		directory(tree, "a");
		directory(tree, "c/x");
		check_int(tree_number(tree, &count, &newest, &err), 0);
		check_str(children(tree, "b"), "Z a sub \xc3\xa9 \xff ");
		check_str(directories(tree), "a deep sub b x c / ");
		check_int(count, 11);
		check_int(newest, 7);
		check_int(tree_root(tree)->inode->number, 1);
		check_int(tree_root(tree)->inode->links, 5);
		tree_free(tree);
	}

	test_case ("a tree is numbered again when there is more in it") {
		struct tree *tree = tree_new();
		file(tree, "b");
		check_int(tree_number(tree, &count, &newest, &err), 0);
		check_int(count, 2);
		file(tree, "a");
		check_int(tree_link(tree, "c", "b", &node, &err), 0);
		check_int(tree_number(tree, &count, &newest, &err), 0);
		check_int(count, 3);
		check_int(tree_find(tree, "a")->inode->number, 2);
		check_int(node->inode->number, 3);
		check_int(node->inode->links, 2);
		check_str(children(tree, "/"), "a b c ");
		tree_free(tree);
	}

	test_case ("a child is found by its name, and no symlink is followed") {
		struct tree *tree = tree_new();
		const struct node *top = directory(tree, "d");
		struct node *child = file(tree, "d/file");
		struct node *link = symlink_to(tree, "link", "d");
		check(tree_child(tree, top, "file") == child);
		check(tree_child(tree, tree_root(tree), "link") == link);
		check(tree_child(tree, tree_root(tree), "file") == NULL);
		tree_free(tree);
	}

	test_case ("six branches of 32768 levels each, and a directory of 200000 names") {
		struct tree *tree = tree_new();
		char path[PATH_BYTES_MAX + 1], name[32];
		for (size_t i = 0; i < sizeof(path) - 1; i++)
			path[i] = i % 2 == 0 ? 'd' : '/';
		path[sizeof(path) - 1] = '\0';
		for (int i = 0; i < 6; i++) {
			path[0] = (char)('a' + i);
			check(directory(tree, path) != NULL);
		}
		for (int i = 0; i < 200000; i++) {
			snprintf(name, sizeof(name), "many/%d", i);
			if (file(tree, name) == NULL)
				break;
		}
		check(tree_find(tree, "many/199999") != NULL);
		check_int(tree_number(tree, &count, &newest, &err), 0);
		check_int(count, 1 + 6 * 32768 + 1 + 200000);
		tree_free(tree);
	}

	return test_end();
}
