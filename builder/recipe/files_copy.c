/* SPDX-License-Identifier: Apache-2.0
 *
 * Copying what a section %files names: see files.h. Here is decided where each source goes; copy.c does it.
 */
#include "builder/recipe/copy.h"
#include "builder/recipe/files_internal.h"
#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/path.h"
#include "lib/strlist.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/* --- names --- */

/* The name of a source, in one allocation: "" for ".", ".." and "/", which have none that a copy could have. */
static char *base_name(const char *source)
{
	size_t end = strlen(source);
	while (end > 0 && source[end - 1] == '/')
		end--;
	size_t start = end;
	while (start > 0 && source[start - 1] != '/')
		start--;
	char *name = strndup(source + start, end - start);
	if (name != NULL && (strcmp(name, ".") == 0 || strcmp(name, "..") == 0))
		name[0] = '\0';
	return name;
}

/* The path of a source as one in the root: without ".", and ".." takes the component before it away. */
static char *same_path(const char *source)
{
	char *path = malloc(strlen(source) + 2), *end = path;
	if (path == NULL)
		return NULL;
	for (const char *at = source; *(at += strspn(at, "/")) != '\0';) {
		size_t length = strcspn(at, "/");
		if (length == 2 && strncmp(at, "..", length) == 0) {
			while (end > path && *--end != '/')
				continue;
		} else if (length != 1 || *at != '.') {
			*end++ = '/';
			end = mempcpy(end, at, length);
		}
		at += length;
	}
	strcpy(end, end == path ? "/" : "");
	return path;
}

/* Whether the text itself says that it is a directory. */
static bool names_directory(const char *destination)
{
	const char *slash = strrchr(destination, '/'), *last = slash != NULL ? slash + 1 : destination;
	return last[0] == '\0' || strcmp(last, ".") == 0 || strcmp(last, "..") == 0;
}

/* --- destinations --- */

static int err_destination(struct err *err, int errnum, const char *destination)
{
	return err_sys(err, errnum, "cannot use the destination '%s'", destination);
}

/* 1: it is a directory of the root, 0: it is missing. -ENOTDIR: it is something else, though it has to be a directory. */
static int is_directory(int root_fd, const char *destination, bool required, struct err *err)
{
	autoplace struct path_place place = PATH_PLACE_INIT;
	struct stat st;
	int r = path_resolve(root_fd, destination, &place, NULL);
	if (r == 0 && place.missing[0] != '\0')
		return 0;
	if (r == 0 && fstat(place.fd, &st) < 0)
		r = -errno;
	if (r == 0 && S_ISDIR(st.st_mode))
		return 1;
	if (r == -ENOTDIR || (r == 0 && required)) {
		err_set(err, ENOTDIR, "the destination '%s' is not a directory in the image", destination);
		return err_hint(err, required ? "it has to be one, because it ends with a slash or the source matches several files"
					      : "a part of it is a file: choose another destination");
	}
	return r < 0 ? err_destination(err, -r, destination) : 0;
}

/* Where the source goes, one of count that the entry matches. */
static int destination_of(const struct files_entry *entry, const char *source, size_t count, int root_fd, char **ret_path,
			  struct err *err)
{
	const char *destination = entry->destination;
	if (destination == NULL) {
		*ret_path = same_path(source);
		return *ret_path == NULL ? err_destination(err, ENOMEM, source) : 0;
	}
	bool required = count > 1 || names_directory(destination);
	int r = is_directory(root_fd, destination, required, err);
	if (r < 0)
		return r;
	autofree char *name = r > 0 || required ? base_name(source) : strdup("");
	if (name == NULL || asprintf(ret_path, name[0] != '\0' ? "%s/%s" : "%s%s", destination, name) < 0) {
		*ret_path = NULL;
		return err_destination(err, ENOMEM, destination);
	}
	return 0;
}

/* --- entries --- */

static int entry_copy(struct copy *copy, const struct files_entry *entry, struct err *err)
{
	autostrlist struct strlist paths = { 0 };
	int r = files_expand(entry, copy->source, &paths, err);
	for (size_t i = 0; i < paths.count && r == 0; i++) {
		autofree char *destination = NULL;
		r = destination_of(entry, paths.items[i], paths.count, copy->root_fd, &destination, err);
		if (r == 0)
			r = copy_run(copy, paths.items[i], destination, err);
	}
	links_free(&copy->links);
	return r;
}

static int entries_copy(const struct files_list *list, struct copy *copy, struct err *err)
{
	for (size_t i = 0; i < list->count; i++)
		if (entry_copy(copy, &list->entries[i], err) < 0)
			return files_failed(list, &list->entries[i], err);
	return 0;
}

int files_copy(const struct files_list *list, const struct walk_source *source, int root_fd, struct owners *owners,
	       struct err *err)
{
	struct walk_source without_root = *source;
	autofree struct stat *own = calloc(source->own_count + 1, sizeof(*own));
	if (own == NULL || fstat(root_fd, own) < 0)
		return err_sys(err, own == NULL ? ENOMEM : errno, "cannot copy the files of %s", list->recipe_name);
	if (source->own_count > 0)
		memcpy(own + 1, source->own, source->own_count * sizeof(*own));
	without_root.own = own;
	without_root.own_count++;
	struct copy copy = { .source = &without_root, .root_fd = root_fd, .owners = owners };
	return entries_copy(list, &copy, err);
}
