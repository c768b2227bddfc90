/* SPDX-License-Identifier: Apache-2.0
 *
 * Lists of packages, and where in a tree they come from: see packages.h. What a database looks like inside is the business of
 * package_text.c and package_rpm.c.
 */
#include "builder/packages.h"

#include "builder/addition.h"
#include "builder/package_rpm.h"
#include "builder/package_text.h"
#include "lib/cleanup.h"
#include "lib/err.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARENA_BYTES_MAX ((size_t)256 << 20)

#define DPKG_STATUS "var/lib/dpkg/status"
#define DPKG_STATUS_D "var/lib/dpkg/status.d"

/* --- the list --- */

static int err_memory(struct err *err, const char *path)
{
	return err_sys(err, ENOMEM, "cannot read the list of packages in '/%s'", path);
}

/* A copy of a word that can be printed. */
static const char *word_copy(struct packages *packages, const struct package_word *word)
{
	if (word->bytes == 0)
		return "";
	autofree char *raw = strndup(word->data, word->bytes);
	autofree char *clean = raw == NULL ? NULL : addition_printable(raw);
	return clean == NULL ? NULL : arena_strdup(&packages->arena, clean);
}

static struct package *package_new(struct packages *packages)
{
	if (packages->count == packages->room) {
		size_t room = packages->room * 2 + 64;
		struct package *list = realloc(packages->list, room * sizeof(*list));
		if (list == NULL)
			return NULL;
		packages->list = list;
		packages->room = room;
	}
	return &packages->list[packages->count];
}

int packages_add(struct packages *packages, const char *manager, const struct package_word *name,
		 const struct package_word *version, const struct package_word *architecture, const char *path, struct err *err)
{
	if (name->bytes == 0)
		return err_set(err, EBADMSG, "'/%s' is damaged: a package without a name", path);
	if (name->bytes > PACKAGE_WORD_MAX || version->bytes > PACKAGE_WORD_MAX || architecture->bytes > PACKAGE_WORD_MAX)
		return err_set(err, EBADMSG, "'/%s' is damaged: a package's name, version or architecture is too long", path);
	if (packages->count == PACKAGES_MAX)
		return err_set(err, EFBIG, "'/%s' has too many packages", path);
	packages->arena.limit_bytes = ARENA_BYTES_MAX;
	struct package *package = package_new(packages);
	if (package == NULL)
		return err_memory(err, path);
	*package = (struct package){
		.manager = manager,
		.name = word_copy(packages, name),
		.version = word_copy(packages, version),
		.architecture = word_copy(packages, architecture),
	};
	if (package->name == NULL || package->version == NULL || package->architecture == NULL)
		return err_memory(err, path);
	if (package->name[0] == '\0') /* it began with a zero byte */
		return err_set(err, EBADMSG, "'/%s' is damaged: a package without a name", path);
	packages->count++;
	return 0;
}

int package_compare(const struct package *a, const struct package *b)
{
	int r = strcmp(a->manager, b->manager);
	if (r == 0)
		r = strcmp(a->name, b->name);
	return r != 0 ? r : strcmp(a->architecture, b->architecture);
}

static int compare_all(const void *a, const void *b)
{
	const struct package *x = a, *y = b;
	int r = package_compare(x, y);
	return r != 0 ? r : strcmp(x->version, y->version);
}

static void packages_sort(struct packages *packages)
{
	size_t kept = 0;
	if (packages->count == 0)
		return;
	qsort(packages->list, packages->count, sizeof(*packages->list), compare_all);
	for (size_t i = 1; i < packages->count; i++)
		if (compare_all(&packages->list[kept], &packages->list[i]) != 0)
			packages->list[++kept] = packages->list[i];
	packages->count = kept + 1;
}

void packages_free(struct packages *packages)
{
	free(packages->list);
	strlist_free(&packages->unread);
	arena_free(&packages->arena);
	*packages = (struct packages){ 0 };
}

/* --- databases in a tree --- */

/* What is wrong with one database, instead of its packages. */
static int unread_add(struct packages *packages, const char *text, struct err *err)
{
	if (strlist_add(&packages->unread, text) < 0)
		return err_memory(err, "");
	*err = (struct err)ERR_INIT;
	return 0;
}

/* The result of reading one database, of which nothing is kept if it failed. */
static int database_end(struct packages *packages, size_t count_before, int result, struct err *err)
{
	if (result != -EBADMSG && result != -EFBIG && result != -ENOTSUP)
		return result;
	packages->count = count_before;
	return unread_add(packages, err->text, err);
}

/* -ENOENT if there is no such file. A file that is too large counts as unread: *ret_text is then NULL. */
static int database_file(const struct packages_tree *tree, const char *path, size_t max_bytes, struct packages *packages,
			 char **ret_text, size_t *ret_bytes, struct err *err)
{
	int r = tree->file(tree->tree, path, max_bytes, ret_text, ret_bytes, err);
	if (r != -EFBIG)
		return r;
	*ret_text = NULL;
	err_set(err, EFBIG, "'/%s' is too large for a list of packages", path);
	return unread_add(packages, err->text, err);
}

typedef int parse_function(struct packages *packages, const char *text, size_t bytes, const char *path, struct err *err);

static int text_read(const struct packages_tree *tree, const char *path, parse_function *parse, struct packages *packages,
		     struct err *err)
{
	autofree char *text = NULL;
	size_t bytes, before = packages->count;
	int r = database_file(tree, path, PACKAGES_TEXT_BYTES_MAX, packages, &text, &bytes, err);
	if (r < 0 || text == NULL)
		return r;
	return database_end(packages, before, parse(packages, text, bytes, path, err), err);
}

/* The sums of files that stand beside the status of the same name. */
static bool is_sums(const char *name)
{
	size_t bytes = strlen(name);
	return bytes > 8 && strcmp(name + bytes - 8, ".md5sums") == 0;
}

static int status_d_file(const struct packages_tree *tree, const char *name, size_t *bytes_left, struct packages *packages,
			 struct err *err)
{
	autofree char *path = NULL, *text = NULL;
	size_t bytes, before = packages->count;
	if (asprintf(&path, DPKG_STATUS_D "/%s", name) < 0) {
		path = NULL;
		return err_memory(err, DPKG_STATUS_D);
	}
	int r = database_file(tree, path, *bytes_left, packages, &text, &bytes, err);
	if (r < 0 || text == NULL)
		return r == -ENOENT ? 0 : r; /* a directory */
	*bytes_left -= bytes;
	return database_end(packages, before, package_text_dpkg(packages, text, bytes, path, err), err);
}

static int status_d_read(const struct packages_tree *tree, struct packages *packages, struct err *err)
{
	autostrlist struct strlist names = { 0 };
	size_t bytes_left = PACKAGES_TEXT_BYTES_MAX;
	int r = tree->list(tree->tree, DPKG_STATUS_D, &names, err);
	if (r < 0)
		return r == -ENOENT ? 0 : r == -EFBIG ? unread_add(packages, err->text, err) : r;
	for (size_t i = 0; i < names.count && r == 0; i++)
		if (!is_sums(names.items[i]))
			r = status_d_file(tree, names.items[i], &bytes_left, packages, err);
	return r;
}

static int dpkg_read(const struct packages_tree *tree, struct packages *packages, struct err *err)
{
	int r = text_read(tree, DPKG_STATUS, package_text_dpkg, packages, err);
	return r < 0 && r != -ENOENT ? r : status_d_read(tree, packages, err);
}

/* Only the first one: where /lib is a link to /usr/lib, they are the same. */
static int apk_read(const struct packages_tree *tree, struct packages *packages, struct err *err)
{
	int r = text_read(tree, "lib/apk/db/installed", package_text_apk, packages, err);
	if (r == -ENOENT)
		r = text_read(tree, "usr/lib/apk/db/installed", package_text_apk, packages, err);
	return r == -ENOENT ? 0 : r;
}

/* Whether there is a file that is not empty. */
static int has_content(const struct packages_tree *tree, const char *path, struct err *err)
{
	autofree char *text = NULL;
	size_t bytes;
	int r = tree->file(tree->tree, path, 0, &text, &bytes, err);
	if (r == -EFBIG)
		*err = (struct err)ERR_INIT;
	return r == -EFBIG ? 1 : r == -ENOENT ? 0 : r;
}

static int rpm_sqlite_read(const struct packages_tree *tree, const char *directory, struct packages *packages, struct err *err)
{
	char path[64], log_path[72];
	autofree char *database = NULL;
	size_t bytes, before = packages->count;
	snprintf(path, sizeof(path), "%s/rpmdb.sqlite", directory);
	snprintf(log_path, sizeof(log_path), "%s-wal", path);
	int r = database_file(tree, path, PACKAGES_DATABASE_BYTES_MAX, packages, &database, &bytes, err);
	if (r < 0 || database == NULL)
		return r;
	int pending = has_content(tree, log_path, err);
	if (pending < 0)
		return pending;
	if (pending > 0)
		r = err_set(err, ENOTSUP, "'/%s' is not up to date: changes to it are in '/%s' still", path, log_path);
	else
		r = package_rpm_sqlite(packages, database, bytes, path, err);
	return database_end(packages, before, r, err);
}

/* A database of a kind that is known by its name alone. -ENOENT if there is none. */
static int rpm_other_note(const struct packages_tree *tree, const char *directory, struct packages *packages, struct err *err)
{
	static const struct {
		const char *name, *kind;
	} others[] = { { "Packages", "Berkeley DB" }, { "Packages.db", "rpm's own format ndb" } };
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		char path[64];
		snprintf(path, sizeof(path), "%s/%s", directory, others[i].name);
		int r = has_content(tree, path, err);
		if (r < 0)
			return r;
		if (r == 0)
			continue;
		err_set(err, ENOTSUP, "the packages in '/%s' are kept in %s, which simg does not read", path, others[i].kind);
		return unread_add(packages, err->text, err);
	}
	return -ENOENT;
}

/* The first one that is there: one of the directories is mostly a link to the other. */
static int rpm_read(const struct packages_tree *tree, struct packages *packages, struct err *err)
{
	static const char *const directories[] = { "usr/lib/sysimage/rpm", "var/lib/rpm" };
	int r = -ENOENT;
	for (int i = 0; i < 2 && r == -ENOENT; i++)
		r = rpm_sqlite_read(tree, directories[i], packages, err);
	for (int i = 0; i < 2 && r == -ENOENT; i++)
		r = rpm_other_note(tree, directories[i], packages, err);
	return r == -ENOENT ? 0 : r;
}

int packages_read(const struct packages_tree *tree, struct packages *ret_packages, struct err *err)
{
	*ret_packages = (struct packages){ 0 };
	int r = dpkg_read(tree, ret_packages, err);
	if (r == 0)
		r = apk_read(tree, ret_packages, err);
	if (r == 0)
		r = rpm_read(tree, ret_packages, err);
	packages_sort(ret_packages);
	return r;
}

/* --- JSON and text --- */

static void put(json_t *object, const char *key, const char *text)
{
	if (text[0] != '\0')
		json_object_set_new(object, key, json_string(text));
}

json_t *packages_json(const struct packages *packages)
{
	json_t *array = json_array();
	for (size_t i = 0; i < packages->count; i++) {
		const struct package *package = &packages->list[i];
		json_t *object = json_object();
		put(object, "manager", package->manager);
		put(object, "name", package->name);
		put(object, "version", package->version);
		put(object, "architecture", package->architecture);
		if (json_array_append_new(array, object) < 0) {
			json_decref(array);
			return NULL;
		}
	}
	return array;
}

static struct package_word word_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));
	return (struct package_word){ .data = text, .bytes = text != NULL ? strlen(text) : 0 };
}

int packages_take_json(struct packages *packages, const json_t *array, struct err *err)
{
	static const char *const managers[] = { "apk", "dpkg", "rpm" };
	size_t i;
	const json_t *object;
	int r = 0;
	packages_free(packages);
	json_array_foreach(array, i, object) {
		const char *manager = json_string_value(json_object_get(object, "manager"));
		struct package_word name = word_of(object, "name"), version = word_of(object, "version"),
				    architecture = word_of(object, "architecture");
		for (size_t k = 0; k < 3 && manager != NULL && name.bytes > 0 && r == 0; k++)
			if (strcmp(manager, managers[k]) == 0)
				r = packages_add(packages, managers[k], &name, &version, &architecture, ".simg/build.json", err);
	}
	packages_sort(packages);
	return r;
}

static void widen(int *width, const char *word)
{
	int bytes = (int)strlen(word);
	if (bytes > *width)
		*width = bytes;
}

void packages_print(const struct packages *packages)
{
	int name_width = 4, version_width = 7, architecture_width = 12;
	for (size_t i = 0; i < packages->count; i++) {
		widen(&name_width, packages->list[i].name);
		widen(&version_width, packages->list[i].version);
		widen(&architecture_width, packages->list[i].architecture);
	}
	printf("%-*s  %-*s  %-*s  MANAGER\n", name_width, "NAME", version_width, "VERSION", architecture_width, "ARCHITECTURE");
	for (size_t i = 0; i < packages->count; i++) {
		const struct package *package = &packages->list[i];
		printf("%-*s  %-*s  %-*s  %s\n", name_width, package->name, version_width, package->version, architecture_width,
		       package->architecture, package->manager);
	}
	printf("%zu package%s\n", packages->count, packages->count == 1 ? "" : "s");
}
