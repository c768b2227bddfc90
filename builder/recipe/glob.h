/* SPDX-License-Identifier: Apache-2.0
 *
 * Patterns for files, as bash has them with extglob and globstar: "*", "?", "[…]", "@(a|b)" and its kind, "**" for any number of
 * directories, and lists in braces. A backslash takes the meaning from the byte after it. Names are bytes, no charset.
 *
 * A hidden file needs a "." in the pattern. "**" enters no symlinks, and is the same as "*" where it is the last component: who
 * copies gets the whole tree once, while bash would name each file of it again.
 */
#ifndef SIMG_BUILDER_RECIPE_GLOB_H
#define SIMG_BUILDER_RECIPE_GLOB_H

#include <stdbool.h>

struct err;
struct strlist;

/* Where a pattern's paths begin. */
struct glob_base {
	int fd;       /* the directory that relative paths are relative to; O_PATH will do */
	bool is_root; /* it is "/" for all paths, and no symlink leads out of it (path_resolve()) */
};

/* The text without backslashes: what it names if it is no pattern. The caller frees; NULL without memory. */
char *glob_literal(const char *pattern);

/* Appends the paths of all files that the pattern matches, sorted for each way to take its braces. They begin as the pattern does.
 * What matches nothing but is the name of a file, as "a[1]" can be, stands for that file. -ENOENT if anything, or any way to take
 * the braces, matches nothing. Directories that may not be read match nothing. */
int glob_expand(const struct glob_base *base, const char *pattern, struct strlist *ret_paths, struct err *err);

#endif
