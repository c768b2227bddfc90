/* SPDX-License-Identifier: Apache-2.0
 *
 * See addition.h.
 */
#include "builder/addition.h"

#include "builder/load.h"
#include "builder/tree.h"
#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/log.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

bool addition_has_file(const struct load *load, const char *path)
{
	const struct node *node = tree_find(load->tree, path);
	return node != NULL && S_ISREG(node->inode->mode);
}

int addition_directory(struct load *load, const char *path, struct err *err)
{
	struct inode inode = { .mode = S_IFDIR | 0755, .implicit = true };
	struct node *node = tree_find(load->tree, path);
	return node != NULL && S_ISDIR(node->inode->mode) ? 0 : tree_insert(load->tree, path, &inode, &node, err);
}

int addition_link(struct load *load, const char *path, const char *target, struct err *err)
{
	struct inode inode = { .mode = S_IFLNK | 0777, .implicit = true, .target = target };
	struct node *node = tree_find(load->tree, path);
	return node != NULL && !S_ISLNK(node->inode->mode) ? 0 : tree_insert(load->tree, path, &inode, &node, err);
}

int addition_text(struct load *load, const char *path, uint16_t mode, char *text, struct err *err)
{
	if (text == NULL)
		return err_sys(err, ENOMEM, "cannot make the image's '/%s'", path);
	int r = load_text(load, path, mode, text, strlen(text), err);
	free(text);
	return r;
}

int addition_keep(struct load *load, const char *path, const char *prefix, const char *suffix, struct err *err)
{
	struct node *node;
	if (!addition_has_file(load, path))
		return -ENOENT;
	for (int number = 0; number < HISTORY_MAX; number++) {
		autofree char *name = NULL;
		if (asprintf(&name, "%s%d%s", prefix, number, suffix) < 0) {
			name = NULL;
			return err_sys(err, ENOMEM, "cannot keep the image's '/%s'", path);
		}
		if (tree_find(load->tree, name) != NULL)
			continue;
		int r = tree_link(load->tree, name, path, &node, err);
		return r < 0 ? r : number;
	}
	return -ENOENT;
}

static bool is_utf8(const char *text)
{
	json_t *string = json_string(text);
	json_decref(string);
	return string != NULL;
}

char *addition_printable(const char *text)
{
	char *copy = strdup(text);
	if (copy == NULL)
		return NULL;
	log_sanitize(copy);
	if (!is_utf8(copy))
		for (char *c = copy; *c != '\0'; c++)
			if ((unsigned char)*c >= 0x80)
				*c = '?';
	return copy;
}
