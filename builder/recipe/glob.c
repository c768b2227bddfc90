/* SPDX-License-Identifier: Apache-2.0
 *
 * Patterns for files: see glob.h. Braces are taken apart first; then each pattern goes down component by component, and what of it
 * is settled is a path.
 */
#include "builder/recipe/glob.h"

#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/fd.h"
#include "lib/path.h"
#include "lib/strlist.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <linux/limits.h>
#include <string.h>
#include <sys/stat.h>

#ifndef FNM_EXTMATCH
#define FNM_EXTMATCH 0 /* musl has no "@(a|b)" */
#endif

enum { WORDS_MAX = 4096 };

char *glob_literal(const char *pattern)
{
	char *text = malloc(strlen(pattern) + 1), *out = text;
	if (text == NULL)
		return NULL;
	for (const char *c = pattern; *c != '\0'; c++) {
		if (*c == '\\' && *++c == '\0')
			break;
		*out++ = *c;
	}
	*out = '\0';
	return text;
}

/* The next byte that has a meaning, at or after c. */
static const char *skip_quoted(const char *c)
{
	while (c[0] == '\\' && c[1] != '\0')
		c += 2;
	return c;
}

/* --- braces --- */

/* The "}" of the brace at open, or NULL if it has none, or no "," of its own: then it is a byte like others. */
static const char *brace_end(const char *open)
{
	int depth = 0;
	bool is_list = false;
	for (const char *c = open; *(c = skip_quoted(c)) != '\0'; c++) {
		depth += (*c == '{') - (*c == '}');
		is_list |= *c == ',' && depth == 1;
		if (depth == 0)
			return is_list ? c : NULL;
	}
	return NULL;
}

/* The end of the alternative that begins at c. */
static const char *alternative_end(const char *c)
{
	for (int depth = 0; *(c = skip_quoted(c)) != '\0'; c++) {
		if (depth == 0 && (*c == ',' || *c == '}'))
			break;
		depth += (*c == '{') - (*c == '}');
	}
	return c;
}

/* Appends every way to take the braces. */
static int braces_expand(const char *pattern, struct strlist *words)
{
	const char *open = pattern, *end = NULL;
	for (; *(open = skip_quoted(open)) != '\0'; open++)
		if (*open == '{' && (end = brace_end(open)) != NULL)
			break;
	if (end == NULL)
		return words->count >= WORDS_MAX ? -E2BIG : strlist_add(words, pattern);
	for (const char *from = open + 1, *to;; from = to + 1) {
		to = alternative_end(from);
		autofree char *word = NULL;
		if (asprintf(&word, "%.*s%.*s%s", (int)(open - pattern), pattern, (int)(to - from), from, end + 1) < 0) {
			word = NULL;
			return -ENOMEM;
		}
		int r = braces_expand(word, words);
		if (r < 0 || to >= end)
			return r;
	}
}

/* --- directories --- */

struct search {
	const struct glob_base *base;
	struct strlist *found;
};

static int directory_open(const struct search *search, const char *path, int flags)
{
	flags |= O_DIRECTORY | O_CLOEXEC;
	if (!search->base->is_root) {
		int fd = openat(search->base->fd, path[0] != '\0' ? path : ".", flags);
		return fd < 0 ? -errno : fd;
	}
	autoplace struct path_place place = PATH_PLACE_INIT;
	int r = path_resolve(search->base->fd, path, &place, NULL);
	if (r < 0)
		return r;
	return place.missing[0] != '\0' ? -ENOENT : fd_reopen(place.fd, flags);
}

/* Also for a symlink that leads nowhere: what is to be done about it is said when it is copied. */
static bool path_exists(const struct search *search, const char *path)
{
	const char *slash = strrchr(path, '/'), *name = slash != NULL ? slash + 1 : path;
	autofree char *directory = strndup(path, (size_t)(name - path));
	autoclose int fd = directory == NULL ? -1 : directory_open(search, directory, O_PATH);
	struct stat st;
	return fd >= 0 && (name[0] == '\0' || fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0);
}

static int names_read(const struct search *search, const char *path, struct strlist *names)
{
	autoclose int fd = directory_open(search, path, O_RDONLY);
	autoclosedir DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	if (dir == NULL)
		return fd == -ENOMEM || fd == -EMFILE ? fd : 0;
	steal_fd(&fd);
	for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 && strlist_add(names, entry->d_name) < 0)
			return -ENOMEM;
	return 0;
}

static bool is_directory(const struct search *search, const char *path, const char *name)
{
	autoclose int fd = directory_open(search, path, O_PATH);
	struct stat st;
	return fd >= 0 && fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

/* --- components --- */

static bool has_wildcard(const char *pattern, size_t bytes)
{
	const char *end = pattern + bytes;
	for (const char *c = pattern; (c = skip_quoted(c)) < end; c++)
		if (strchr("*?[", *c) != NULL || (strchr("@+!", *c) != NULL && c[1] == '('))
			return true;
	return false;
}

static int search_from(struct search *search, const char *path, const char *rest);

/* Goes on with path and name, and what separates them: nothing or "/". */
static int search_name(struct search *search, const char *path, const char *name, const char *slash, const char *rest)
{
	autofree char *next = NULL;
	if (asprintf(&next, "%s%s%s", path, name, slash) < 0) {
		next = NULL;
		return -ENOMEM;
	}
	return search_from(search, next, rest);
}

static int search_literal(struct search *search, const char *path, const char *component, const char *rest)
{
	autofree char *name = glob_literal(component);
	return name == NULL ? -ENOMEM : search_name(search, path, name, "", rest);
}

/* Whether a component that begins so spells out a "." at the beginning. fnmatch() takes the "." of "!(a).b" for one. */
static bool names_hidden(const char *component)
{
	if (strchr("?*@+!", component[0]) != NULL && component[1] == '(')
		return strstr(component, "(.") != NULL || strstr(component, "|.") != NULL;
	return component[component[0] == '\\'] == '.';
}

static int search_wildcard(struct search *search, const char *path, const char *component, const char *rest)
{
	autostrlist struct strlist names = { 0 };
	int r = names_read(search, path, &names);
	for (size_t i = 0; i < names.count && r == 0; i++)
		if ((names.items[i][0] != '.' || names_hidden(component)) &&
		    fnmatch(component, names.items[i], FNM_PERIOD | FNM_EXTMATCH) == 0)
			r = search_name(search, path, names.items[i], "", rest);
	return r;
}

/* Here, and in every directory below; pattern is the whole, from "**" on, and rest what follows its slash. */
static int search_below(struct search *search, const char *path, const char *pattern, const char *rest)
{
	autostrlist struct strlist names = { 0 };
	int r = search_from(search, path, rest);
	if (r == 0)
		r = names_read(search, path, &names);
	for (size_t i = 0; i < names.count && r == 0; i++)
		if (names.items[i][0] != '.' && is_directory(search, path, names.items[i]))
			r = search_name(search, path, names.items[i], "/", pattern);
	return r;
}

/* Adds what the rest of a pattern matches below a path that is settled, and ends where a component begins. */
static int search_from(struct search *search, const char *path, const char *rest)
{
	if (*rest == '\0')
		return path_exists(search, path) ? strlist_add(search->found, path) : 0;
	if (*rest == '/')
		return search_name(search, path, "/", "", rest + strspn(rest, "/"));
	size_t bytes = strcspn(rest, "/");
	const char *next = rest + bytes, *after = next + strspn(next, "/");
	if (strncmp(rest, "**", bytes) == 0 && bytes == 2 && *after != '\0')
		return strncmp(after, "**/", 3) == 0 ? search_from(search, path, after) : search_below(search, path, rest, after);
	autofree char *component = strndup(rest, bytes);
	if (component == NULL)
		return -ENOMEM;
	return (has_wildcard(rest, bytes) ? search_wildcard : search_literal)(search, path, component, next);
}

/* --- all of it --- */

static int compare_paths(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sorts the paths from the index first on, and leaves one of each: "**" + "/" + "**" finds some on several ways. */
static void paths_sort(struct strlist *paths, size_t first)
{
	size_t kept = first;
	if (paths->count <= first)
		return;
	qsort(paths->items + first, paths->count - first, sizeof(*paths->items), compare_paths);
	for (size_t i = first; i < paths->count; i++) {
		if (kept > first && strcmp(paths->items[kept - 1], paths->items[i]) == 0)
			free(paths->items[i]);
		else
			paths->items[kept++] = paths->items[i];
	}
	paths->count = kept;
	paths->items[kept] = NULL;
}

static int word_expand(const struct glob_base *base, const char *word, struct strlist *paths, struct err *err)
{
	struct search search = { .base = base, .found = paths };
	size_t first = paths->count;
	autofree char *literal = glob_literal(word);
	int r = literal == NULL ? -ENOMEM : search_from(&search, "", word);
	if (r == 0 && paths->count == first && path_exists(&search, literal))
		r = strlist_add(paths, literal);
	if (r < 0)
		return err_sys(err, -r, "cannot look for '%s'", word);
	if (paths->count == first && has_wildcard(word, strlen(word)))
		return err_set(err, ENOENT, "nothing matches '%s'", word);
	if (paths->count == first)
		return err_set(err, ENOENT, "there is no '%s'", literal);
	paths_sort(paths, first);
	return 0;
}

int glob_expand(const struct glob_base *base, const char *pattern, struct strlist *ret_paths, struct err *err)
{
	autostrlist struct strlist words = { 0 };
	if (strlen(pattern) >= PATH_MAX)
		return err_set(err, ENAMETOOLONG, "the pattern of %zu bytes is too long: '%.64s…'", strlen(pattern), pattern);
	int r = braces_expand(pattern, &words);
	if (r == -E2BIG)
		return err_set(err, E2BIG, "there are more than %d ways to take the braces in '%s'", (int)WORDS_MAX, pattern);
	if (r < 0)
		return err_sys(err, -r, "cannot look for '%s'", pattern);
	for (size_t i = 0; i < words.count && r == 0; i++)
		r = words.items[i][0] == '\0' ? 0 : word_expand(base, words.items[i], ret_paths, err);
	return r;
}
