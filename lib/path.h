/* SPDX-License-Identifier: Apache-2.0
 *
 * Paths as strings, and their resolution inside another root. Strings are bytes, no charset.
 */
#ifndef SIMG_LIB_PATH_H
#define SIMG_LIB_PATH_H

#include <stdbool.h>

struct err;

/* True if an absolute, normalised path is base itself or lies below it. */
bool path_is_beneath(const char *path, const char *base);

/* True if a component of path is "..". */
bool path_has_dotdot(const char *path);

/* A copy of an absolute path without "//", "." components and trailing slashes. A ".." component is refused (-EINVAL), and so are
 * a relative path and one of PATH_MAX bytes or more. The caller frees *ret_path; `what` names the thing in messages. */
int path_normalise(const char *path, const char *what, char **ret_path, struct err *err);

/* Where a path leads inside a root: what of it exists, and what does not. */
struct path_place {
	int fd;        /* O_PATH descriptor of the deepest part that exists; never a symlink */
	char *real;    /* that part's path from the root, without symlinks: "/" or "/a/b" */
	char *missing; /* what follows it and does not exist: "" or "c/d", squeezed; only the last component may be a file's name */
};

/* Resolves path as if the directory root_fd were "/": symlinks are followed inside it, ".." stops at it, and no step can leave it, even
 * while somebody renames directories (".." goes back to a descriptor that is already open). Mount points are crossed. Works on
 * every kernel: openat2's RESOLVE_IN_ROOT (5.6) would do the same for existing paths, but does not tell how far it came.
 *
 * Permission is the caller's (its filesystem ids). Symlink loops and more than 40 links give -ELOOP, a component of an existing
 * path that is not a directory -ENOTDIR. The caller releases ret_place with path_place_free(). */
int path_resolve(int root_fd, const char *path, struct path_place *ret_place, struct err *err);

void path_place_free(struct path_place *place);
#define PATH_PLACE_INIT { .fd = -1 }
#define autoplace __attribute__((cleanup(path_place_free)))

#endif
