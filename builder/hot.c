/* SPDX-License-Identifier: Apache-2.0
 *
 * Files that every start reads: see hot.h.
 */
#include "builder/hot.h"

#include "builder/oci/digest.h"
#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/log.h"

#include <errno.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Real files, not the symlinks to them: the last component of a path, or the last two. Each line has earned its bytes in
 * bench/layout. */
static const char *const standard_names[] = {
	/* loader: glibc, before 2.33, on POWER; musl, which is its libc, too */
	"ld-linux*.so.[0-9]", "ld-[0-9]*.so", "ld64.so.[0-9]", "ld-musl-*.so.[0-9]",
	/* C library; those before 2.34 have real files named by version, and threads apart */
	"libc.so.6", "libc-[0-9]*.so", "libm.so.6", "libm-[0-9]*.so", "libdl-[0-9]*.so", "libpthread-[0-9]*.so",
	/* what the loader and every program that asks for a locale look up */
	"etc/ld.so.cache", "gconv/gconv-modules.cache", "C.utf8/LC_*", "C.UTF-8/LC_*",
	/* C++ */
	"libstdc++.so.6", "libstdc++.so.6.*[0-9]", "libgcc_s.so.1", "libgcc_s-*.so.1",
	/* shells */
	"bin/bash", "bin/dash", "bin/busybox", "libtinfo.so.[0-9]*",
	/* ls, cp, mkdir and their like */
	"bin/coreutils", "libselinux.so.1", "libpcre2-8.so.0*",
	/* Python */
	"bin/python3.[0-9]", "bin/python3.[0-9][0-9]", "libpython3.*.so.1.0", "libz.so.1*", "libexpat.so.1*",
};
enum { STANDARD_COUNT = sizeof(standard_names) / sizeof(standard_names[0]) };

/* The last component, or the last two. */
static const char *path_tail(const char *path, bool two)
{
	const char *at = path + strlen(path);
	for (int slashes = 0; at > path; at--)
		if (at[-1] == '/' && ++slashes > two)
			break;
	return at;
}

static bool is_standard(const char *path)
{
	const char *tails[2] = { path_tail(path, false), path_tail(path, true) };
	for (int i = 0; i < STANDARD_COUNT; i++) {
		const char *tail = tails[strchr(standard_names[i], '/') != NULL];
		if (tail[0] == standard_names[i][0] && fnmatch(standard_names[i], tail, FNM_PATHNAME) == 0)
			return true;
	}
	return false;
}

/* Compares the beginning of a path with a whole path of a list. */
struct prefix {
	const char *path;
	size_t bytes;
};

static int compare_prefix(const void *a, const void *b)
{
	const struct prefix *prefix = a;
	const char *path = ((const struct hot_path *)b)->path;
	int order = strncmp(prefix->path, path, prefix->bytes);
	return order != 0 ? order : -(path[prefix->bytes] != '\0');
}

static int compare_paths(const void *a, const void *b)
{
	return strcmp(((const struct hot_path *)a)->path, ((const struct hot_path *)b)->path);
}

static bool prefix_mark(struct hot_set *set, const char *path, size_t bytes)
{
	struct prefix prefix = { path, bytes };
	struct hot_path *hot = bsearch(&prefix, set->paths, set->count, sizeof(*set->paths), compare_prefix);
	if (hot != NULL)
		hot->found = true;
	return hot != NULL;
}

/* Looks for the path, for each directory above it, and for the root. */
static bool is_listed(struct hot_set *set, const char *path)
{
	bool found = prefix_mark(set, path, strlen(path));
	found |= prefix_mark(set, path, 0);
	for (const char *slash = strchr(path, '/'); slash != NULL; slash = strchr(slash + 1, '/'))
		found |= prefix_mark(set, path, (size_t)(slash - path) + 1);
	return found;
}

bool hot_set_contains(struct hot_set *set, const char *path)
{
	while (path[0] == '/' || (path[0] == '.' && path[1] == '/'))
		path++;
	bool listed = set->count > 0 && is_listed(set, path); /* always asked: it keeps the record of what was found */
	return listed || (set->standard && is_standard(path));
}

bool hot_set_is_empty(const struct hot_set *set)
{
	return !set->standard && set->count == 0;
}

static int path_add(struct hot_set *set, const char *path)
{
	struct hot_path *paths = realloc(set->paths, (set->count + 1) * sizeof(*paths));
	if (paths == NULL)
		return -ENOMEM;
	set->paths = paths;
	paths[set->count] = (struct hot_path){ .path = strdup(path) };
	if (paths[set->count].path == NULL)
		return -ENOMEM;
	set->count++;
	return 0;
}

/* "." and "..", "//": what is compared byte by byte has to be written in the one way. */
static bool is_plain(const char *path)
{
	for (const char *at = path; *at == '/'; at += strcspn(at, "/")) {
		size_t bytes = strcspn(++at, "/");
		if ((bytes == 0 && *at != '\0') || (bytes == 1 && at[0] == '.') || (bytes == 2 && at[0] == '.' && at[1] == '.'))
			return false;
	}
	return path[0] == '/';
}

static int line_take(struct hot_set *set, char *line, size_t bytes, struct err *err)
{
	if (bytes > 0 && line[bytes - 1] == '\n')
		line[--bytes] = '\0';
	if (bytes == 0 || line[0] == '#')
		return 0;
	if (strlen(line) != bytes || bytes >= PATH_MAX || !is_plain(line)) {
		err_set(err, EINVAL, "'%s' is no path", line);
		return err_hint(err, "a list of hot files has one path on a line, as in the image: /usr/bin/perl");
	}
	return path_add(set, line + 1) < 0 ? err_sys(err, ENOMEM, "cannot take '%s'", line) : 0;
}

static int lines_read(struct hot_set *set, FILE *file, const char *list, struct err *err)
{
	autofree char *line = NULL;
	size_t room = 0;
	ssize_t bytes;
	for (unsigned long number = 1; (bytes = getline(&line, &room, file)) >= 0; number++) {
		int r = line_take(set, line, (size_t)bytes, err);
		if (r < 0)
			return err_prefix(err, "%s:%lu", list, number);
	}
	return ferror(file) ? err_sys(err, errno, "cannot read the list of hot files '%s'", list) : 0;
}

static void paths_sort(struct hot_set *set)
{
	size_t kept = 0;
	qsort(set->paths, set->count, sizeof(*set->paths), compare_paths);
	for (size_t i = 0; i < set->count; i++)
		if (kept > 0 && strcmp(set->paths[kept - 1].path, set->paths[i].path) == 0)
			free(set->paths[i].path);
		else
			set->paths[kept++] = set->paths[i];
	set->count = kept;
}

int hot_set_read(struct hot_set *set, const char *list, struct err *err)
{
	size_t before = set->count;
	autofclose FILE *file = fopen(list, "re");
	if (file == NULL)
		return err_sys(err, errno, "cannot open the list of hot files '%s'", list);
	int r = lines_read(set, file, list, err);
	if (r < 0)
		return r;
	if (set->count == before)
		return err_set(err, EINVAL, "the list of hot files '%s' names none", list);
	paths_sort(set);
	return 0;
}

void hot_set_key(const struct hot_set *set, char *key)
{
	struct digest digest = { "" };
	struct hash *hash = hash_new(NULL);
	if (hash != NULL) {
		hash_add(hash, set->standard ? "1" : "0", 1);
		for (size_t i = 0; i < set->count; i++)
			hash_add(hash, set->paths[i].path, strlen(set->paths[i].path) + 1);
		hash_digest(hash, &digest);
	}
	hash_free(hash);
	memcpy(key, digest.text, sizeof(digest.text));
}

void hot_set_note(const struct hot_set *set)
{
	size_t missing = 0;
	const char *first = NULL;
	for (size_t i = 0; i < set->count; i++) {
		if (set->paths[i].found)
			continue;
		first = first == NULL ? set->paths[i].path : first;
		missing++;
	}
	if (missing == 1)
		log_note("1 path of the list of hot files is no file in the image: '/%s'", first);
	else if (missing > 1)
		log_note("%zu paths of the list of hot files are no files in the image, the first: '/%s'", missing, first);
}

void hot_set_free(struct hot_set *set)
{
	for (size_t i = 0; i < set->count; i++)
		free(set->paths[i].path);
	free(set->paths);
	*set = (struct hot_set){ .standard = false };
}
